"""Whether two files hold the same recording, whatever their format, level, bit rate and leading silence.

Conventions
-----------
- A fingerprint is one 32-bit word every 32 ms: the signs of energy differences between neighbouring bands and frames,
  300 to 3000 Hz (Haitsma and Kalker, ISMIR 2002). Encoding flips a few of the bits, another take about half of them.
- Two files are compared at one offset, where at most ``MOST_DIFFERENT`` of the bits may differ. They hold the same
  recording if that covers at least ``OVERLAP`` of each. If it covers as much of only one, that is a part of the other,
  as a song is of an album in one file. Silence does not count, and another voice over the same band is another
  recording.
- So that not everything is compared with everything, some words are looked up: every sixteenth, chosen by its own
  value, and at least 512 of a track, so that short ones have enough that survive encoding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from whosings.audio import SAMPLE_RATE, FloatArray, Segment
from whosings.spool import Sound

Words = NDArray[np.uint32]

HOP_S = 0.032
"""Seconds a word."""
OVERLAP = 0.8
"""Least part of a recording that must be in another, for it to be held by that."""
MOST_DIFFERENT = 0.15
"""Largest share of differing bits of one and the same recording."""

_RATE = SAMPLE_RATE // 2  # enough for the highest band
_HOP, _FRAME = round(HOP_S * _RATE), 4096  # a frame of half a second: a copy cut anywhere falls close to a hop
_EDGES_HZ = np.geomspace(300, 3000, 34)
_BLOCK = 512  # frames transformed at once
_MARGIN = 4  # samples around a block that its smoothing needs; even
_QUIET = 1e-6  # of the loudest frame's energy: no sound to compare
_VOTES = 3  # looked-up words that must agree on an offset
_EVERY, _FEWEST = 16, 512
_SPREAD = np.uint32(2654435761)  # odd, so that the product is another order of all words


class Relation(Enum):
    """What one recording is to another: the same, a part of it, or a whole that holds it."""

    SAME = auto()
    PART = auto()
    WHOLE = auto()


@dataclass(frozen=True)
class Sighting:
    """An indexed word: in which track, at which of its words."""

    track: int
    place: int


def words_of(samples: FloatArray) -> Words:
    """The fingerprint of a recording.

    Args:
        samples: (channels, samples) at 16 kHz.

    Returns:
        uint32 (words,); 0 where there is nothing to hear. Empty below half a second.
    """
    return words_in(Segment(samples, 0.0, ""))


def words_in(sound: Sound) -> Words:
    """The same of a recording of any length, of which a few seconds are in memory at a time."""
    frames = max(0, (round(sound.duration_s * SAMPLE_RATE) // 2 - _FRAME) // _HOP + 1)
    if frames < 2:
        return np.zeros(0, np.uint32)
    window = np.hanning(_FRAME).astype(np.float32)
    bins = np.round(_EDGES_HZ / _RATE * _FRAME).astype(int)
    energy = np.empty((frames, bins.size - 1))
    for first in range(0, frames, _BLOCK):
        last = min(frames, first + _BLOCK)
        mono = _halved(sound, first * _HOP, (last - 1) * _HOP + _FRAME)
        spectrum = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(mono, _FRAME)[::_HOP] * window)
        power = spectrum.real**2 + spectrum.imag**2
        energy[first:last] = np.add.reduceat(power[:, : bins[-1]], bins[:-1], axis=1)
    level = energy.sum(axis=1)
    least = 1e-9 * level.max()
    words = np.empty(frames - 1, np.uint32)
    for first in range(0, words.size, _BLOCK):
        log = np.log(energy[first : first + _BLOCK + 1] + least + 1e-12)
        bits = np.diff(np.diff(log, axis=1), axis=0) > 0
        words[first : first + _BLOCK] = np.packbits(bits, axis=1).view(">u4")[:, 0]
    heard = level > _QUIET * level.max()
    words[~(heard[1:] & heard[:-1])] = 0
    return words


def _halved(sound: Sound, first: int, stop: int) -> FloatArray:
    """Samples ``first`` to ``stop`` of a recording at half the rate, mono and smoothed."""
    begin = max(0, 2 * first - _MARGIN)
    end = min(2 * stop + _MARGIN, round(sound.duration_s * SAMPLE_RATE) // 2 * 2)
    mono = sound.cut(begin / SAMPLE_RATE, (end - begin) / SAMPLE_RATE).samples.mean(axis=0)
    smooth = np.convolve(mono, np.array([1, 3, 3, 1], np.float32) / 8, "same")
    return np.ascontiguousarray(smooth[2 * first - begin : 2 * stop - begin : 2])


def landmarks(words: Words) -> NDArray[np.intp]:
    """Places of the words that are looked up, in order."""
    places: NDArray[np.intp] = np.flatnonzero(words)
    count = max(_FEWEST, places.size // _EVERY)
    if places.size <= count:
        return places
    with np.errstate(over="ignore"):
        order = words[places] * _SPREAD
    last = np.partition(order, count - 1)[count - 1]
    chosen = order < last
    chosen[np.flatnonzero(order == last)[: count - np.count_nonzero(chosen)]] = True
    return np.asarray(places[chosen])


def candidates(words: Words, sightings: Iterable[tuple[int, Sighting]]) -> list[Sighting]:
    """Tracks that may hold the recording, likeliest first.

    Args:
        sightings: (place in ``words``, where the index has the same word).

    Returns:
        Each track with the place in it at which ``words`` would begin; negative where it begins earlier.
    """
    votes: Counter[tuple[int, int]] = Counter()
    for place, sighting in sightings:
        votes[sighting.track, sighting.place - place] += 1
    best: dict[int, tuple[int, int]] = {}
    for (track, offset), count in votes.items():
        # Frames of a shifted copy fall between two of the original's: neighbouring offsets are one.
        count += max(votes.get((track, offset - 1), 0), votes.get((track, offset + 1), 0))
        if count >= _VOTES and count > best.get(track, (0, 0))[0]:
            best[track] = (count, offset)
    ranked = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))
    return [Sighting(track, offset) for track, (_, offset) in ranked]


def relation(words: Words, other: Words, offset: int) -> Relation | None:
    """What ``words`` is to ``other``, beginning at ``offset`` (or beside it) of it; None where they differ."""
    return next(filter(None, (_relation_at(words, other, offset + shift) for shift in (0, -1, 1))), None)


def difference(words: Words, other: Words) -> float:
    """Share of differing bits where both have something to hear; 1.0 where they never do."""
    heard = (words != 0) & (other != 0)
    if not heard.any():
        return 1.0
    return float(np.mean(np.unpackbits((words[heard] ^ other[heard]).view(np.uint8))))


def _relation_at(words: Words, other: Words, offset: int) -> Relation | None:
    start = max(0, offset)
    stop = min(other.size, offset + words.size)
    if stop <= start:
        return None
    mine, theirs = words[start - offset : stop - offset], other[start:stop]
    within, holds = _covers(mine, words), _covers(theirs, other)
    if not (within or holds) or difference(mine, theirs) > MOST_DIFFERENT:
        return None
    return Relation.SAME if within and holds else Relation.PART if within else Relation.WHOLE


def _covers(part: Words, words: Words) -> bool:
    return bool(np.count_nonzero(part) >= OVERLAP * np.count_nonzero(words))
