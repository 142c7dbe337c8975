"""What a gallery holds: singers, their voices and recordings, a fitted classifier, measured rates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.false_accepts import FalseAccepts
from whosings.gallery_rows import TrackRow

if TYPE_CHECKING:
    from whosings.classifier import Head
    from whosings.embedding import Embeddings


@dataclass(frozen=True)
class EnrolledSinger:
    """One row of a gallery; of short recordings, parts of segments count."""

    name: str
    tracks: int
    segments: float


@dataclass(frozen=True)
class Voices:
    """All enrolled singers at once.

    Attributes:
        names: (singers,) in alphabetical order.
        vectors: float32 (singers, dimensions): the mean over a singer's tracks of each track's mean unit embedding.
        segments: (singers,) how many were enrolled; of short recordings, parts count.
    """

    names: tuple[str, ...]
    vectors: FloatArray
    segments: NDArray[np.float64]

    def without(self, singer: str) -> Voices:
        """The others."""
        kept = [number for number, name in enumerate(self.names) if name != singer]
        return Voices(tuple(self.names[number] for number in kept), self.vectors[kept], self.segments[kept])


@dataclass(frozen=True)
class EnrolledTrack:
    """One enrolled track: float32 (segments, dimensions) of unit length.

    Attributes:
        segments: how many it counts for; of a short recording, a part of one.
        source: where the recording was, or its name, when it was enrolled.
        start_s: (segments,) seconds into the recording.
    """

    singer: str
    sha256: str
    vectors: FloatArray
    segments: float
    source: str
    start_s: FloatArray

    def heard_s(self, segment_s: float) -> float:
        """Seconds that each of its segments holds, given those of a whole one: a short recording has no whole one."""
        return segment_s * min(1.0, self.segments / len(self.start_s))

    @classmethod
    def of(cls, singer: str, row: TrackRow) -> EnrolledTrack:
        """A row of the file as a track."""
        return cls(singer, row.sha256, row.vectors, row.segments, row.source, row.start_s)


@dataclass(frozen=True)
class NewTrack:
    """A track to be enrolled.

    Attributes:
        sha256: of the recording's content.
        source: where the recording lies, to find it again; the track's name unless given.
    """

    singer: str
    track: Embeddings
    sha256: str
    source: str | Path | None = None


@dataclass(frozen=True)
class WholeSinger:
    """A singer with all that a gallery holds.

    Attributes:
        recordings: how many there are.
        segments: how many are enrolled; of short recordings, parts count.
        voice: float32 (dimensions,), the sum of the tracks' mean embeddings.
        tracks: in the order of enrolment; an iterator may be read once.
    """

    name: str
    recordings: int
    segments: float
    voice: FloatArray
    tracks: Iterable[EnrolledTrack]


@dataclass(frozen=True)
class TakenIn:
    """What came into a gallery from another one: singers and recordings that are new, recordings it had already."""

    singers: int
    recordings: int
    held: int


@dataclass(frozen=True)
class FittedHead:
    """A classifier trained on a gallery.

    Attributes:
        names: its classes.
        accuracy: on tracks that were held back while it was tried; ``before`` is that of the mean voices there.
    """

    names: tuple[str, ...]
    head: Head
    accuracy: float
    before: float


@dataclass(frozen=True)
class MeasuredRates:
    """False-accept rates that were measured on a gallery, each singer being left out in turn.

    Attributes:
        singers, recordings: how many were left out and asked.
        naming: thresholds by rate, as a calibration has them.
        changed: singers or recordings have come or gone since.
    """

    singers: int
    recordings: int
    naming: FalseAccepts
    changed: bool = False

    def __str__(self) -> str:
        """On what they were measured, in words."""
        now = "your gallery when it had" if self.changed else "your"
        return f"measured on {now} {self.singers} singers"
