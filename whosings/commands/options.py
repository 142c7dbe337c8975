"""Options that verbs share, and the embedder they name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whosings.console import Report
from whosings.errors import AudioError

if TYPE_CHECKING:
    from whosings.embedding import Embeddings, TrackEmbedder
    from whosings.opinion import SecondOpinion

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
GalleryFile = Annotated[Path, typer.Option("--gallery", "-g", help="Gallery file.")]
EncoderName = Annotated[str, typer.Option("--encoder", help="'default', 'fast', a checkpoint folder, or a hub id.")]
Device = Annotated[str, typer.Option(help="Torch device; auto takes a GPU if there is one.")]
UnknownPrior = Annotated[
    float,
    typer.Option(
        min=0.001,
        max=0.999,
        help="Probability, before listening, that nobody enrolled sings; less names more clones and strangers.",
    ),
]
Files = Annotated[list[Path], typer.Argument(help="Audio files.", show_default=False)]

GALLERY = Path("singers.gallery")


def open_embedder(encoder: str, device: str, second_opinion: SecondOpinion | None = None) -> TrackEmbedder:
    """The embedder of a named encoder."""
    from whosings.embedding import Encoder, SegmentEmbedder, TrackEmbedder

    return TrackEmbedder(SegmentEmbedder(Encoder(encoder, device)), second_opinion=second_opinion)


def embedded(
    run: Report, embedder: TrackEmbedder, paths: Sequence[Path], label: str
) -> Iterator[Embeddings | AudioError]:
    """Each file's embeddings, or why it has none, with a progress bar."""
    with run.bars() as bars:
        step = bars(label, len(paths))
        for result in embedder.many(paths):
            yield result
            step()
