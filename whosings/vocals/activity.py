"""Which 3-second pieces of a track hold singing: what is said of them, and the plain rule by level.

On vocal stems level is a good judge; on mixtures it takes loud instrumental passages for singing, and the network in
``vocals.detector`` is the judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whosings.audio import SAMPLE_RATE, FloatArray, Segment
from whosings.spool import Sound, pieces

PIECE_S = 3.0
"""Seconds a piece (paper, section 4.1)."""

_SILENCE_DB = -60.0  # under the track's peak: never singing
_NOTHING_DB = -80.0  # under full scale: nothing at all
_BELOW_LOUD_DB = 25.0  # under the track's loud pieces: a rest, a fade, a quiet intro
_SOFTNESS_DB = 3.0
_FRAME = SAMPLE_RATE * 30 // 1000


@dataclass(frozen=True)
class Activity:
    """Pieces of a track, in order, without gaps; the last one may be shorter than ``PIECE_S``.

    Attributes:
        start_s: (pieces,) seconds.
        probability: (pieces,) that somebody sings, 0 to 1.
        method: ``"network"``, or ``"level"``: by loudness alone.
    """

    start_s: NDArray[np.floating[Any]]
    probability: NDArray[np.floating[Any]]
    method: str

    def of(self, start_s: float, duration_s: float) -> float:
        """Mean probability over a stretch of the track."""
        covered = np.minimum(self.start_s + PIECE_S, start_s + duration_s) - np.maximum(self.start_s, start_s)
        weights = np.clip(covered, 0.0, None)
        return float(weights @ self.probability / weights.sum()) if weights.sum() > 0 else 0.0

    def share(self, duration_s: float, threshold: float = 0.5) -> float:
        """Share of the track's duration in pieces at or above the threshold, 0 to 1 (paper, section 3.1)."""
        lengths = np.clip(duration_s - self.start_s, 0.0, PIECE_S)
        return float(lengths[self.probability >= threshold].sum() / lengths.sum()) if lengths.sum() > 0 else 0.0


def piece_levels_db(sound: Sound) -> NDArray[np.float64]:
    """Root mean square of each piece of a whole track in dB of full scale: (pieces,).

    A last piece shorter than 30 ms is left out, unless it is the only one.
    """
    levels: list[float] = []
    for piece in pieces(sound, PIECE_S):
        if not levels or piece.shape[1] >= _FRAME:
            levels.append(10 * np.log10(np.mean(np.square(piece.mean(axis=0), dtype=np.float64)) + 1e-12))
    return np.array(levels)


def level_activity(samples: FloatArray) -> Activity:
    """Judge pieces by their level against the loud pieces of the same track.

    Args:
        samples: (channels, samples) of the whole track.
    """
    level = piece_levels_db(Segment(samples, 0.0, ""))
    peak_db = 20 * np.log10(float(np.abs(samples.mean(axis=0)).max()) + 1e-12)
    threshold = max(float(np.percentile(level, 95)) - _BELOW_LOUD_DB, peak_db + _SILENCE_DB)
    return Activity(np.arange(level.size) * PIECE_S, audible(level, threshold), "level")


def audible(level_db: NDArray[np.float64], threshold_db: float) -> NDArray[np.float64]:
    """How surely pieces are above a level, 0 to 1, a half at it; below -80 dB of full scale nothing is."""
    over = (level_db - max(threshold_db, _NOTHING_DB)) / _SOFTNESS_DB
    return np.asarray(1 / (1 + np.exp(-np.clip(over, -30, 30))))


def trim(samples: FloatArray, range_db: float = 40.0) -> slice:
    """The stretch between the first and the last 30-ms frame within ``range_db`` of the loudest one.

    Meant for recordings shorter than a segment, whose silence would otherwise be repeated with the voice.
    """
    mono = samples.mean(axis=0)
    frames = mono[: mono.size // _FRAME * _FRAME].reshape(-1, _FRAME)
    if frames.shape[0] == 0:
        return slice(0, mono.size)
    energy = np.mean(np.square(frames, dtype=np.float64), axis=1)
    loud = np.flatnonzero(energy >= energy.max() * 10 ** (-range_db / 10))
    last = mono.size if loud[-1] == frames.shape[0] - 1 else (int(loud[-1]) + 1) * _FRAME
    return slice(int(loud[0]) * _FRAME, last)
