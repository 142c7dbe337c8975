"""Many files through an embedder, in order, by several workers: processes of this machine, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from whosings.embedding import Cut, Embeddings, TrackEmbedder
from whosings.errors import AudioError
from whosings.onnx_segments import open_segments
from whosings.parallel import Finished, InHalves, Workers, each, in_order
from whosings.progress import Progress, silent
from whosings.segment_embedding import SegmentsToVectors
from whosings.spool import Spool
from whosings.storage import from_root

_CRASHED = "ends the process that reads it", "check the file, or use fewer --workers"


@dataclass(frozen=True)
class NamedEmbedder:
    """An embedder by name, to be opened by whoever works, once a process.

    Attributes:
        encoder: as ``opener`` takes it.
        device: torch device, of the machine that works.
        opener: a function of a module's top level, from both to what embeds segments.
    """

    encoder: str = "default"
    device: str = "auto"
    opener: Callable[[str, str], SegmentsToVectors] = open_segments

    def open(self) -> TrackEmbedder:
        """This process's.

        Raises:
            CheckpointError, MissingExtraError, ConfigError: as the opener.
        """
        return _opened(self)


def embed_each(
    named: NamedEmbedder, paths: Sequence[str | Path], workers: Workers = 0, progress: Progress = silent
) -> Iterator[Embeddings | AudioError]:
    """Embed files in order; what cannot be used comes back as its error, and the work goes on.

    Args:
        progress: of what goes on inside of a file, where this process works.
    """
    if workers == 0:
        yield from named.open().many(paths, progress)
        return
    places = [_Place(number, str(path), from_root(str(path))) for number, path in enumerate(paths)]
    work: InHalves[_Place, Cut, Embeddings | AudioError] = InHalves(partial(_cut, named), partial(_embed, named))
    for done in in_order(each(work, places, workers), places):
        yield done.result if done.result is not None else AudioError(done.item.name, *_CRASHED)


@dataclass(frozen=True)
class _Place:
    """A file among others, of which two may be the same.

    Attributes:
        name: its path, as it was given.
        path: from the root: a cluster's processes begin in other folders; or a location.
    """

    number: int
    name: str
    path: str


@lru_cache(maxsize=1)
def _opened(named: NamedEmbedder) -> TrackEmbedder:
    return TrackEmbedder(named.opener(named.encoder, named.device))


def _cut(named: NamedEmbedder, place: _Place) -> Cut | Finished[Embeddings | AudioError]:
    try:
        embedder = named.open()
        return embedder.cut(Spool(place.path, embedder.front_end.channels, track_id=place.name))
    except AudioError as error:
        return Finished(error.about(place.name))


def _embed(named: NamedEmbedder, cut: Cut) -> Embeddings | AudioError:
    try:
        return named.open().embed(cut)
    except AudioError as error:
        return error
