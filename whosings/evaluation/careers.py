"""Long careers: how well a singer is known years after the enrolment.

Conventions
-----------
- A singer is enrolled with the tracks of the first album but its last one; every other track is a probe.
- Years are those between the first album's and the probe's; a probe of the first album itself counts apart.
- A probe is compared with the mean voice of every singer by cosine. Vectors without unit length are standardised first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from whosings.audio import FloatArray
from whosings.catalogue.manifest import Track
from whosings.catalogue.roles import album_key
from whosings.errors import EvaluationError
from whosings.evaluation.corpus import Corpus
from whosings.evaluation.paper_tables import spread
from whosings.evaluation.protocol import even_rows
from whosings.metrics import Interval, share_interval, top_k_credit

YEARS = ((0, 2), (3, 5), (6, 10), (11, 20), (21, None))
"""Bins of years between enrolment and probe."""

SAME_ALBUM = "same album"


@dataclass(frozen=True)
class YearsApart:
    """Probes so many years from the enrolment.

    Attributes:
        years: the bin, or ``SAME_ALBUM``.
        singers: who have such probes.
        top_1: share of probes nearest to their own singer.
        cosine: mean cosine to the own mean voice, -1 to 1.
        others: mean over probes of the cosine to the nearest other singer.
    """

    years: str
    singers: int
    top_1: Interval
    cosine: float
    others: float


@dataclass(frozen=True)
class Careers:
    """Accuracy by years.

    Attributes:
        enrolled: singers.
        bins: in order of years; those without probes are left out.
    """

    model: str
    enrolled: int
    bins: tuple[YearsApart, ...]


def careers(model: str, tracks: Sequence[Track], corpus: Corpus) -> Careers:
    """Ask every later track.

    Args:
        tracks: real ones, whose ``release_date`` begins with a year. Others are passed over, and so are singers whose
            tracks are all of one album.

    Raises:
        EvaluationError: fewer than two singers with tracks of several years.
    """
    by_singer: dict[str, list[Track]] = {}
    for track in tracks:
        if not track.cloned and _year(track) is not None and track.track_id in corpus.place:
            by_singer.setdefault(track.singer_id, []).append(track)
    voice_of = _voices(corpus)
    voices: list[FloatArray] = []
    probes: list[tuple[int, str, Track]] = []
    for own in (by_singer[name] for name in sorted(by_singer)):
        first = min(own, key=lambda track: (_year(track), track.track_id))
        album = [track for track in own if _same_record(track, first)]
        later = [track for track in own if not _same_record(track, first)]
        if not later:
            continue
        enrolled, held_back = (album[:-1], album[-1:]) if len(album) > 1 else (album, [])
        probes += [(len(voices), SAME_ALBUM, track) for track in held_back]
        probes += [(len(voices), _bin(_years(first, track)), track) for track in later]
        voices.append(_mean([voice_of[corpus.place[track.track_id]] for track in enrolled]))
    if len(voices) < 2:
        raise EvaluationError("careers", "need two singers with tracks of several years", "give release dates")
    cosines = voice_of[[corpus.place[track.track_id] for _, _, track in probes]] @ np.stack(voices).T
    place = np.array([number for number, _, _ in probes])
    right = np.arange(len(voices)) == place[:, None]
    credit = top_k_credit(cosines, right)
    own_cosine, other = cosines[right], np.where(right, -np.inf, cosines).max(axis=1)
    bins = []
    for name in (SAME_ALBUM, *map(_name, YEARS)):
        chosen = np.array([label == name for _, label, _ in probes])
        if chosen.any():
            singers = [probes[number][2].singer_id for number in np.flatnonzero(chosen)]
            found = share_interval(credit[chosen], singers)
            bins.append(
                YearsApart(
                    name, len(set(singers)), found, float(own_cosine[chosen].mean()), float(other[chosen].mean())
                )
            )
    return Careers(model, len(voices), tuple(bins))


def careers_from(content: Mapping[str, Any]) -> Careers:
    """Accuracy by years from what ``asdict`` makes of it."""
    bins = (YearsApart(**{**part, "top_1": Interval(**part["top_1"])}) for part in content["bins"])
    return Careers(content["model"], content["enrolled"], tuple(bins))


CAREER_COLUMNS = ("years apart", "probes", "singers", "top-1", "cosine to own voice", "to the nearest other")


def career_cells(one: YearsApart) -> tuple[str, ...]:
    """A bin as text, for ``CAREER_COLUMNS``."""
    shares = str(one.top_1.count), str(one.singers), spread(one.top_1)
    return one.years, *shares, f"{one.cosine:.3f}", f"{one.others:.3f}"


def _year(track: Track) -> int | None:
    text = (track.release_date or "")[:4]
    return int(text) if text.isdecimal() else None


def _years(first: Track, later: Track) -> int:
    begin, end = _year(first), _year(later)
    assert begin is not None and end is not None
    return end - begin


def _same_record(one: Track, other: Track) -> bool:
    key = album_key(one)
    return key == album_key(other) if key is not None else _year(one) == _year(other)


def _bin(years: int) -> str:
    return _name(next(pair for pair in YEARS if pair[1] is None or years <= pair[1]))


def _name(pair: tuple[int, int | None]) -> str:
    return f"{pair[0]}-{pair[1]}" if pair[1] is not None else f"{pair[0]}+"


def _voices(corpus: Corpus) -> FloatArray:
    """Mean direction of each track's segments."""
    vectors = even_rows(corpus.vectors)
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.stack([_mean(units[begin:end]) for begin, end in pairwise(corpus.first)])


def _mean(voices: Sequence[FloatArray] | FloatArray) -> FloatArray:
    mean = np.mean(voices, axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)
