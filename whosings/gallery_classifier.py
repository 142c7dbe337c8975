"""A classifier head for a gallery: trained on what is enrolled, kept only where held-back tracks say that it helps.

How it is judged: of every singer with three tracks or more, one track is held back and another stops the training; both
the head and the mean voices of the same remaining tracks then name the held-back ones. The better one becomes what
``identify`` uses; a head is trained again with the held-back tracks before it is kept. Copies of one recording, such as
another encoding or a shorter lead-in, count as one track: a head would know what is held back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from whosings.audio import FloatArray
from whosings.calibration import unit_rows
from whosings.classifier import Head, HeadData, Tracks, train_heads, vote
from whosings.config import HeadConfig
from whosings.enrolled import EnrolledTrack, FittedHead
from whosings.errors import GalleryError
from whosings.gallery import Gallery
from whosings.metrics import top_k_credit
from whosings.progress import Progress, silent
from whosings.sampling import sort_key

_LEAST = 3  # recordings of a singer, one of them held back
# Two tracks are copies where their means are alike and their segments differ from these in the same ways. Generated
# songs of 24 s, both shipped encoders: copies as MP3, with 1.3 s cut off in front, or both reach 0.86 and 0.60 at
# least; other songs of the same singer reach 0.47 of the latter at most.
_ALIKE, _SAME_WAYS = 0.85, 0.535
_IDENTICAL = 0.999  # cosine of tracks of one segment, which differs from nothing


@dataclass(frozen=True)
class Fitted:
    """What came of a fit.

    Attributes:
        singers: enrolled.
        held_back: tracks that were named by both.
        head, voices: shares of them that the head, and the mean voices, named right.
        kept: whether the head became the gallery's way to identify.
    """

    singers: int
    held_back: int
    head: float
    voices: float
    kept: bool


def fit_gallery(
    gallery: Gallery,
    config: HeadConfig | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Fitted:
    """Train a head on a gallery and keep it if it names held-back tracks better than the mean voices do.

    Raises:
        GalleryError: fewer than two singers, or no singer with three tracks; copies of one recording count once.
    """
    config = config or HeadConfig()
    tracks = sorted(gallery.tracks(), key=lambda track: sort_key(seed, track.sha256))
    names = sorted({track.singer for track in tracks})
    by_singer = [_recordings([t for t in tracks if t.singer == name]) for name in names]
    if len(names) < 2 or not any(len(own) >= _LEAST for own in by_singer):
        raise GalleryError(
            gallery.path, f"has no two singers, or none with {_LEAST} recordings", "enrol more before fitting"
        )
    rows = _Rows(tracks)
    held = [own[0] if len(own) >= _LEAST else None for own in by_singer]
    probes = [(label, track) for label, track in enumerate(held) if track is not None]
    rest = [[track for track in own if track is not first] for own, first in zip(by_singer, held, strict=True)]
    step = progress("fitting", 3 if config.kind != "prototype" else 2)

    def learned(groups: Sequence[Sequence[EnrolledTrack]], kind: HeadConfig) -> Head:
        found = train_heads(rows.vectors, [rows.one(groups, seed)], kind)[0]
        step()
        return found

    targets = np.zeros((len(probes), len(names)), bool)
    targets[np.arange(len(probes)), [label for label, _ in probes]] = True

    def accuracy(head: Head) -> float:
        ranges = rows.tracks([(label, track) for label, track in probes])
        return float(top_k_credit(vote(head, rows.vectors, ranges).counts, targets).mean())

    before = accuracy(learned(rest, config.model_copy(update={"kind": "prototype"})))
    after = accuracy(learned(rest, config))
    better = after > before
    if better:
        gallery.keep_head(FittedHead(tuple(names), learned(by_singer, config), after, before))
    else:
        gallery.keep_head(None)
    return Fitted(len(names), len(probes), after, before, better)


def _recordings(tracks: Sequence[EnrolledTrack]) -> list[EnrolledTrack]:
    """One track of each recording, the first one of its copies."""
    kept: list[EnrolledTrack] = []
    for track in tracks:
        if not any(_copies(track.vectors, one.vectors) for one in kept):
            kept.append(track)
    return kept


def _copies(left: FloatArray, right: FloatArray) -> bool:
    """Whether two tracks, (segments, dimensions) each, are of one recording: encoded otherwise, cut off in front."""
    means = left.mean(axis=0), right.mean(axis=0)
    alike = float(means[0] @ means[1]) / max(1e-9, float(np.linalg.norm(means[0]) * np.linalg.norm(means[1])))
    if len(left) == len(right) == 1:
        return alike > _IDENTICAL
    return alike > _ALIKE and _same_ways(left, right) > _SAME_WAYS


def _same_ways(left: FloatArray, right: FloatArray) -> float:
    """Mean cosine of each segment with the likest of the other track, without the tracks' means.

    Another encoding moves all segments of a track alike, and a cut moves where segments begin.
    """
    first, second = (unit_rows(side - side.mean(axis=0)) for side in (left, right))
    cosines = first @ second.T
    return float(cosines.max(axis=0).mean() + cosines.max(axis=1).mean()) / 2


class _Rows:
    """Tracks as ranges of one matrix."""

    def __init__(self, tracks: Sequence[EnrolledTrack]) -> None:
        self.vectors = torch.from_numpy(np.concatenate([track.vectors for track in tracks]))
        lengths = [len(track.vectors) for track in tracks]
        starts = np.cumsum([0, *lengths])
        self._place = {(t.singer, t.sha256): (int(s), n) for t, s, n in zip(tracks, starts, lengths, strict=False)}

    def tracks(self, labelled: Sequence[tuple[int, EnrolledTrack]]) -> Tracks:
        places = [(label, *self._place[track.singer, track.sha256]) for label, track in labelled]
        return Tracks(*(np.array(column, np.int64) for column in zip(*places, strict=True)))

    def one(self, groups: Sequence[Sequence[EnrolledTrack]], seed: int) -> HeadData:
        """The last track of a singer stops the training; one that is alone also trains."""
        train = [(label, track) for label, own in enumerate(groups) for track in own[: max(1, len(own) - 1)]]
        validation = [(label, own[-1]) for label, own in enumerate(groups)]
        return HeadData(self.tracks(train), self.tracks(validation), len(groups), seed)
