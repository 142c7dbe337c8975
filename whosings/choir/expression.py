"""How a score is sung, frame by frame: pitch with glides, scoops, vibrato and drift, timing and loudness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whosings.choir.score import Score
from whosings.sound.vocoder import FRAME_RATE, Array

_BREATH_S = 0.12  # a shorter gap between notes is sung through
_RELEASE_S = 0.08


@dataclass(frozen=True)
class Manner:
    """A singer's habits.

    Attributes:
        glide_s: from one note to the next; 0.01 is a pitch corrector's step.
        scoop_cents: how far below a phrase's notes their onsets begin.
        vibrato_hz, vibrato_cents, vibrato_delay_s: its rate, depth and onset.
        drift_cents: standard deviation, every quarter of a second, of a slow wandering.
        jitter_cents: standard deviation from frame to frame.
        late_s: mean delay behind the beat.
        accent_db: standard deviation of loudness from note to note.
    """

    glide_s: float = 0.08
    scoop_cents: float = 60.0
    vibrato_hz: float = 5.5
    vibrato_cents: float = 25.0
    vibrato_delay_s: float = 0.3
    drift_cents: float = 10.0
    jitter_cents: float = 3.0
    late_s: float = 0.0
    accent_db: float = 2.0


def draw_manner(rng: np.random.Generator) -> Manner:
    """A new singer's habits."""
    return Manner(
        glide_s=float(rng.uniform(0.04, 0.14)),
        scoop_cents=float(rng.uniform(0, 90)),
        vibrato_hz=float(rng.uniform(4.4, 6.8)),
        vibrato_cents=float(rng.uniform(5, 70)),
        vibrato_delay_s=float(rng.uniform(0.1, 0.5)),
        drift_cents=float(rng.uniform(4, 16)),
        jitter_cents=float(10 ** rng.uniform(0.0, 1.1)),
        late_s=float(rng.uniform(0, 0.04)),
        accent_db=float(rng.uniform(1, 3)),
    )


@dataclass(frozen=True)
class Line:
    """A sung line, frame by frame.

    Attributes:
        f0: Hz, (frames,), everywhere: unvoiced sounds ignore it.
        note: index of the note that sounds, (frames,); -1 in rests.
        start, end: frames of each note, (notes,).
        level_db: (frames,); -inf in rests.
    """

    f0: Array
    note: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    level_db: Array


def sing_line(score: Score, manner: Manner, rng: np.random.Generator) -> Line:
    """Give a score to a singer; the line has as many frames as the score lasts."""
    frames = round(score.duration_s * FRAME_RATE)
    count = len(score.notes)
    late = manner.late_s + rng.normal(0, 0.01, count)
    starts = np.array([note.start_s for note in score.notes]) + late
    ends = starts + np.array([note.duration_s for note in score.notes])
    for number in range(count - 1):  # legato, and one note at a time
        if starts[number + 1] - ends[number] < _BREATH_S:
            ends[number] = starts[number + 1]
    start = np.clip(np.round(starts * FRAME_RATE), 0, frames).astype(np.int64)
    end = np.clip(np.round(ends * FRAME_RATE), start, frames).astype(np.int64)
    note = np.full(frames, -1, np.int64)
    for number in range(count):
        note[start[number] : end[number]] = number
    if not (note >= 0).any():
        return Line(np.full(frames, 220.0), note, start, end, np.full(frames, -np.inf))
    steps = np.array([n.pitch for n in score.notes])
    sung = np.flatnonzero(note >= 0)
    nearest = sung[np.clip(np.searchsorted(sung, np.arange(frames)), 0, sung.size - 1)]
    pitch = _smooth(steps[note[nearest]], manner.glide_s)
    accents = rng.normal(0, manner.accent_db, count)
    level = np.where(note >= 0, _smooth(accents[note[nearest]], 0.08), -np.inf)
    bend = _wander(frames, 25, manner.drift_cents, rng) + rng.normal(0, manner.jitter_cents, frames)
    for number in range(count):
        first, last = int(start[number]), int(end[number])
        time = np.arange(last - first) / FRAME_RATE
        joined = number > 0 and end[number - 1] == first
        scoop = manner.scoop_cents * rng.uniform(0.2, 1.0) * (0.3 if joined else 1.0)
        depth = manner.vibrato_cents * np.clip((time - manner.vibrato_delay_s) / 0.3, 0, 1)
        turn = 2 * np.pi * manner.vibrato_hz * time + rng.uniform(0, 2 * np.pi)
        bend[first:last] += depth * np.sin(turn) - scoop * np.exp(-time / 0.05)
        if not joined:
            level[first:last] += 20 * np.log10(np.clip(time / 0.04, 0.03, 1))
        if number + 1 == count or start[number + 1] > last:
            level[first:last] += 20 * np.log10(np.clip(time[::-1] / _RELEASE_S, 0.03, 1))
    f0 = 440.0 * 2.0 ** ((pitch - 69.0) / 12.0 + bend / 1200.0)
    return Line(f0, note, start, end, level)


def held(start: float, end: float, size: int) -> Array:
    """Which frames of a spoken vowel, from ``start`` to ``end``, a sung one of ``size`` frames goes through.

    A vowel's edges carry its glides and keep their pace; its middle is what a singer holds.
    """
    edge = min(0.25 * (end - start), 0.25 * size)
    last = end - start - 1.0
    knots = [0.0, edge, max(edge, size - 1 - edge), size - 1.0]
    return np.asarray(start + np.interp(np.arange(size), knots, [0.0, edge, last - edge, last]))


def _smooth(values: Array, seconds: float) -> Array:
    window = np.hanning(max(1, round(seconds * FRAME_RATE)) + 2)[1:-1]
    padded = np.pad(values, window.size, "edge")
    return np.asarray(np.convolve(padded, window / window.sum(), "same")[window.size : -window.size])


def _wander(frames: int, every: int, deviation: float, rng: np.random.Generator) -> Array:
    """Gaussian noise drawn at every ``every``-th frame, linear in between."""
    knots = rng.normal(0, deviation, frames // every + 2)
    return np.asarray(np.interp(np.arange(frames), np.arange(knots.size) * every, knots))
