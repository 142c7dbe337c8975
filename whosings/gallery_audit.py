"""Doubts about who is enrolled: recordings unlike the rest of their singer's, and names that are likely one voice.

Both weigh what the calibration says against what is expected. A recording is a misfit where "somebody else sings it" is
a hundred times as likely as "the singer of the name's other recordings does", somebody else being, at even odds, nobody
enrolled or any other enrolled singer. Two names are likely one voice where that is a hundred times as likely as that
they differ, after a prior by which a name is another one's singer as often as not. With ratios that hold, no more than
one recording or name in a hundred is doubted without cause. Of a singer who has just been named, less certain
``namesakes`` are worth a word, too: ten times as likely, among those who compete (``calibration.competitors``).

Voices are compared in blocks, so that memory grows with the number of singers and not with its square.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.calibration import Calibration, Scores, competitors
from whosings.enrolled import EnrolledTrack
from whosings.gallery import Gallery
from whosings.ranking import ReadyVoices

_SURE = math.log(100)  # nats that a doubt must exceed: one in a hundred is wrong
_LIKELY = math.log(10)  # nats of one voice against two that the singer of an answer and a namesake must exceed
_BLOCK = 1 << 24  # scores at once
_SINGERS = 1000  # whose recordings are read at once


@dataclass(frozen=True)
class Misfit:
    """A recording that sounds unlike the others of its name.

    Attributes:
        singer: the name.
        recording: its name when it was enrolled.
        sha256: of its content.
        others: how many other recordings the name has.
        like: the enrolled singer whom it resembles; None where it resembles nobody enrolled.
        nats: log-likelihood ratio of somebody else against the singer.
    """

    singer: str
    recording: str
    sha256: str
    others: int
    like: str | None
    nats: float

    def __str__(self) -> str:
        rest = "other recording" if self.others == 1 else f"other {self.others} recordings"
        like = "like nobody enrolled" if self.like is None else f"most like {self.like}"
        return f"{self.recording} sounds unlike {self.singer}'s {rest}; {like}"


@dataclass(frozen=True)
class Duplicate:
    """Two names that are likely one voice.

    Attributes:
        nats: log-likelihood ratio of one singer against two.
    """

    first: str
    second: str
    nats: float

    def __str__(self) -> str:
        return f"{self.first} and {self.second} sound like one singer"


@dataclass(frozen=True)
class Doubts:
    """What is doubted in a gallery, in the order of its names.

    Attributes:
        comparable: whether the names are few enough that two of them could be found to be one voice.
    """

    misfits: tuple[Misfit, ...]
    duplicates: tuple[Duplicate, ...]
    comparable: bool = True

    def __str__(self) -> str:
        return "\n".join(map(str, (*self.misfits, *self.duplicates)))


def audit(gallery: Gallery, calibration: Calibration, added: Collection[tuple[str, str]] | None = None) -> Doubts:
    """What is doubted in a gallery, or of some recordings in it and their singers.

    Args:
        calibration: that of the gallery's encoder.
        added: only these recordings, by singer and content hash, and only pairs with one of their singers; None takes
            all.

    Raises:
        GalleryError: the gallery is damaged.
    """
    if not (gallery.singers() if added is None else added):
        return Doubts((), ())
    voices = EnrolledVoices(ReadyVoices.of(gallery.voices, calibration))
    singers = None if added is None else {singer for singer, _ in added}
    chosen = [name for name in voices.names if singers is None or name in singers]
    misfits: list[Misfit] = []
    for start in range(0, len(chosen), _SINGERS):
        misfits += voices.misfits(gallery.tracks(frozenset(chosen[start : start + _SINGERS])))
    told = [misfit for misfit in misfits if added is None or (misfit.singer, misfit.sha256) in added]
    return Doubts(tuple(told), tuple(voices.duplicates(chosen)), voices.comparable)


class EnrolledVoices:
    """Everyone's voice, compared with recordings and with one another."""

    def __init__(self, ready: ReadyVoices) -> None:
        self.names = ready.voices.names
        self._calibration, self._vectors, self._reach = ready.calibration, ready.voices.vectors, ready.reach

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    @property
    def _least(self) -> float:
        """Nats by which two voices are likely one."""
        return math.log(max(1, len(self.names) - 1)) + _SURE

    @property
    def comparable(self) -> bool:
        """Whether equal voices reach that."""
        line = self._calibration.track
        return line.scale + line.offset > self._least

    def duplicates(self, chosen: Collection[str]) -> Iterator[Duplicate]:
        """Each chosen name and the likeliest other one, where that is likely enough; a pair is told once."""
        if len(self.names) < 2 or not self.comparable:
            return
        told = set()
        rows = np.array([self._place[name] for name in chosen], np.intp)
        for some in self._blocks(rows):
            llr = self._ratios(self._vectors[some], self._reach[some])
            llr[np.arange(len(some)), some] = -np.inf
            best = llr.argmax(axis=1)
            nats = llr[np.arange(len(some)), best]
            for row in np.flatnonzero(nats > self._least):
                first, second = sorted((int(some[row]), int(best[row])))
                if (first, second) not in told:
                    told.add((first, second))
                    yield Duplicate(self.names[first], self.names[second], float(nats[row]))

    def namesakes(self, singer: str) -> Iterator[Duplicate]:
        """Those who are likely one voice with a singer, the likeliest first."""
        place = self.names.index(singer)
        llr = self._ratios(self._vectors[[place]], self._reach[[place]])[0]
        others = np.delete(np.arange(len(self.names)), place)
        if not others.size:
            return
        least = math.log(competitors(llr[others])) + _LIKELY
        for other in others[np.argsort(-llr[others], kind="stable")]:
            if llr[other] <= least:
                return
            yield Duplicate(singer, self.names[other], float(llr[other]))

    def misfits(self, tracks: Collection[EnrolledTrack]) -> Iterator[Misfit]:
        """Recordings that are unlike their singer's others; all those of each singer must be given."""
        kept = _Recordings.of(list(tracks), self._place)
        own = self._own(kept)
        for some in self._blocks(np.flatnonzero(kept.others > 0)):
            reach = np.asarray(self._calibration.reach(kept.segments[some]), np.float32)
            llr = self._ratios(self._calibration.centred(kept.means[some]), reach)
            llr[np.arange(len(some)), kept.owner[some]] = -np.inf
            best = llr.argmax(axis=1)
            likeness = llr[np.arange(len(some)), best] - math.log(max(1, len(self.names) - 1))
            nats = _anybody_else(llr) - own[some]
            for row in np.flatnonzero(nats > _SURE):
                track = kept.tracks[some[row]]
                like = self.names[best[row]] if likeness[row] > 0 else None
                others = int(kept.others[some[row]])
                yield Misfit(track.singer, track.source, track.sha256, others, like, float(nats[row]))

    def _own(self, kept: _Recordings) -> Scores:
        """Log-likelihood ratios of recordings for their singers, who are without them here."""
        sums, amounts = kept.without_each()
        voices = self._calibration.centred(sums / np.maximum(1, kept.others)[:, None])
        scores = (self._calibration.centred(kept.means) * voices).sum(axis=1)
        return self._calibration.track(scores, self._calibration.reach(kept.segments, np.maximum(amounts, 1e-9)))

    def _ratios(self, rows: FloatArray, reach: FloatArray) -> Scores:
        """Log-likelihood ratios of voices (rows, dimensions) for every singer, (rows, singers)."""
        return self._calibration.track(rows @ self._vectors.T, reach[:, None] * self._reach)

    def _blocks(self, rows: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
        size = max(1, _BLOCK // len(self.names))
        return (rows[start : start + size] for start in range(0, len(rows), size))


@dataclass(frozen=True)
class _Recordings:
    """Recordings as arrays, one row each: mean embeddings, segments, place of the singer, how many others it has."""

    tracks: list[EnrolledTrack]
    means: FloatArray
    segments: NDArray[np.float64]
    owner: NDArray[np.intp]
    others: NDArray[np.intp]

    @classmethod
    def of(cls, tracks: list[EnrolledTrack], place: dict[str, int]) -> _Recordings:
        owner = np.array([place[track.singer] for track in tracks], np.intp)
        means = np.stack([track.vectors.mean(axis=0) for track in tracks])
        others = np.bincount(owner)[owner] - 1
        return cls(tracks, means, np.array([track.segments for track in tracks]), owner, others)

    def without_each(self) -> tuple[FloatArray, NDArray[np.float64]]:
        """Sums of the means, and of the segments, of the same singer's other recordings."""
        _, group = np.unique(self.owner, return_inverse=True)
        sums = np.zeros((group.max() + 1, self.means.shape[1]), np.float64)
        np.add.at(sums, group, self.means)
        rest = np.asarray(sums[group] - self.means, np.float32)
        return rest, np.bincount(group, self.segments)[group] - self.segments


def _anybody_else(llr: Scores) -> Scores:
    """Log-likelihood ratio (rows,) of somebody who is not the singer; the singer's own column is -inf.

    Nobody enrolled and all other singers together are as likely before listening.
    """
    others = llr.shape[1] - 1
    if others == 0:
        return np.zeros(len(llr))
    top = np.maximum(llr.max(axis=1), 0)
    total = np.exp(-top) + np.exp(llr - top[:, None]).sum(axis=1) / others
    return np.asarray(top + np.log(total / 2))
