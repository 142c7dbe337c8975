"""Options that verbs share, and the embedder they name."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from whosings.console import Report
from whosings.errors import AudioError, CheckpointError

if TYPE_CHECKING:
    from whosings.calibration import Calibration
    from whosings.embedding import Embeddings, TrackEmbedder
    from whosings.gallery_audit import Doubts
    from whosings.opinion import SecondOpinion


def place_of(given: str | Path) -> Path | str:
    """What names a file of this machine, as a path; what names an object of a store, as it is.

    A ``Path`` of the latter would have one slash less, and be a file here.
    """
    from whosings.storage import is_remote, local_path

    text = str(given)
    return text if is_remote(text) else local_path(text)


def on_this_machine(given: str | Path) -> Path:
    """A file that is worked on where it is."""
    place = place_of(given)
    if isinstance(place, str):
        raise typer.BadParameter(f"{place} is on a store, and this takes a file of this machine; copy it here")
    return place


def place_told(given: str | Path) -> str:
    """The same as text, as people are told it."""
    return str(place_of(given))


DataSetName = Literal["vocalset", "m4singer", "gtsinger", "ravdess-song", "artist20", "jamendolyrics", "mtg", "fma"]
"""A public data set, as ``open_data.registry`` lists them."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
GalleryFile = Annotated[
    Path, typer.Option("--gallery", "-g", help="Gallery file.", parser=on_this_machine, metavar="FILE")
]
EncoderName = Annotated[
    str, typer.Option("--encoder", help="'default', 'fast', a checkpoint's folder, hub:OWNER/NAME, or onnx:FILE.")
]
Device = Annotated[str, typer.Option(help="Torch device; auto takes a GPU if there is one.")]
UnknownPrior = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        max=0.999,
        show_default=False,
        help="Prior probability that the singer is not enrolled, 0.5 unless given. It names whoever is likelier than "
        "somebody else; a lower one names more clones and more strangers.",
    ),
]


def worked_on_here(context: typer.Context, place: Path | str | None) -> Path | None:
    """A file for a verb that needs one: itself, or a copy that is put back when the verb ends."""
    from whosings.storage import working_copy

    found: Path | None = context.with_resource(working_copy(place)) if isinstance(place, str) else place
    return found


def _rate(text: str) -> float:
    """A rate as a share of one, from '1%' or '0.01'."""
    try:
        number = float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        number = math.nan
    if not 0 < number < 1:
        raise typer.BadParameter(f"{text} is no rate; write 1% or 0.01")
    return number


FalseAcceptsOption = Annotated[
    float | None,
    typer.Option(
        "--false-accepts",
        parser=_rate,
        metavar="RATE",
        show_default=False,
        help="Share of strangers that may pass, such as 0.1%, 1% or 5%; 1% unless given.",
    ),
]
# A file that may not be read is a failure among others, which the verb lists, and no wrong usage.
Files = Annotated[list[Path], typer.Argument(help="Audio files.", show_default=False, readable=False)]
Recordings = Annotated[
    list[str],
    typer.Argument(
        help="Audio files, or s3://BUCKET/FILE.",
        show_default=False,
        parser=place_told,
        metavar="FILES...",
    ),
]
SingerFromOption = Annotated[
    Literal["folder", "tag", "albumartist"] | None,
    typer.Option(
        "--singer-from",
        help="What names the singers of a folder's songs; unless given, the folder, and the tags of loose files.",
        show_default=False,
    ),
]

GALLERY = Path("singers.gallery")


def open_embedder(encoder: str, device: str, second_opinion: SecondOpinion | None = None) -> TrackEmbedder:
    """The embedder of a named encoder."""
    from whosings.embedding import TrackEmbedder
    from whosings.onnx_segments import open_segments

    return TrackEmbedder(open_segments(encoder, device), second_opinion=second_opinion)


def embedded(
    run: Report, embedder: TrackEmbedder, paths: Sequence[Path | str], label: str
) -> Iterator[Embeddings | AudioError]:
    """Each file's embeddings, or why it has none, with progress bars: of all files, and inside of long ones."""
    with run.bars() as bars:
        step = bars(label, len(paths))
        for result in embedder.many(paths, bars):
            yield result
            step()


def shipped_calibration(fingerprint: str) -> Calibration | None:
    """That of the encoder that ships and has a fingerprint; None where none has."""
    from whosings.calibration import calibration_of
    from whosings.encoder.checkpoint import SHIPPED, load_checkpoint

    for checkpoint in map(load_checkpoint, SHIPPED):
        if checkpoint.fingerprint == fingerprint:
            return calibration_of(checkpoint)
    return None


def calibration_or_reason(embedder: TrackEmbedder) -> Calibration | str:
    """What reads an embedder's scores, or in words why nothing does, as with any ONNX model."""
    from whosings.calibration import calibration_of

    try:
        return calibration_of(embedder.checkpoint)
    except CheckpointError as error:
        return str(error)


def print_doubts(run: Report, doubts: Doubts | str) -> None:
    """Notes on who may not be who is enrolled, or why that was not looked at."""
    if isinstance(doubts, str):
        doubts = f"not checked whether recordings fit their singers: {doubts}"
    if text := str(doubts):
        run.err.print(text, style="yellow", markup=False)


def refuse_ignored(context: typer.Context, what: str, counts_for: Mapping[str, Collection[str]]) -> None:
    """Refuse options that were given although they change nothing.

    Args:
        what: is done.
        counts_for: by the name of an option's parameter, where it counts; other options always count.
    """
    for name, places in counts_for.items():
        source = context.get_parameter_source(name)
        # By its name, because Typer 0.29 carries a Click of its own inside, whose enumerations equal nobody else's.
        if source is not None and source.name == "COMMANDLINE" and what not in places:
            option = "--" + name.replace("_", "-")
            raise typer.BadParameter(f"{option} changes nothing for {what}; it counts for {', '.join(places)}")


def here(locations: Iterable[str]) -> list[Path]:
    """Those that are files of this machine."""
    from whosings.storage import is_remote, local_path

    return [local_path(location) for location in locations if not is_remote(location)]


def refuse_output(option: str, path: Path, endings: Collection[str], inputs: Iterable[Path]) -> None:
    """Refuse, before any work, an output of another type than its ending says, or one that would replace an input."""
    if path.suffix.lower() not in endings:
        raise typer.BadParameter(f"{path} should end with {' or '.join(endings)}", param_hint=option)
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder; name a file", param_hint=option)
    if path.exists() and any(given.exists() and path.samefile(given) for given in inputs):
        raise typer.BadParameter(f"{path} is also an input and would be lost; name another file", param_hint=option)
