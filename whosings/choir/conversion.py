"""Clones: a performance in another singer's timbre, by real conversion of its frames (no relabelling).

Methods
-------
- ``neighbours``: each frame's envelope becomes the mean of the ``k`` frames of the target that sound most alike, among
  those of the same phoneme where both sides are labelled. Melody, timing and loudness stay the source's.
- ``statistics``: the source's mel-cepstra are given the target's mean and variance.
- ``degraded``: the nearest frame of a few seconds of the target, in 30-ms steps and up to 4 kHz, as from a poor model.

A strong speaker encoder finds a clone by ``neighbours`` or ``degraded`` nearer to its target than to its source in four
of five cases, one by ``statistics`` in one of four (``benchmarks/choir_voices.py``): the latter is ``WEAK``.

All of them move the pitch by whole octaves only, into the target's range, so that the song stays in its key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whosings.audio import SAMPLE_RATE
from whosings.errors import TooShortError
from whosings.sound.vocoder import BINS, FRAME_RATE, FREQUENCIES, SILENT, Array, Frames
from whosings.spectrogram import htk_filterbank

_BANDS, _ORDER = 40, 20
_NEIGHBOURS = 4
_LEAST = 20  # frames of a phoneme that the target must have sung; else any phoneme will do
_LEAST_S = 3.0  # of singing
_CHUNK = 512
_FLOOR = 1e-12
_POOR_S, _POOR_HOLD, _POOR_HZ = 8.0, 3, 4000.0


@dataclass(frozen=True)
class TargetVoice:
    """What is known of a target's voice.

    Attributes:
        frames: its sung frames, one performance after another.
        cepstra: (frames, 20), the loudness left out.
        pitch: median, MIDI number.
    """

    frames: Frames
    cepstra: Array
    pitch: float


def gather(performances: Iterable[Frames], name: str) -> TargetVoice:
    """A target's voice from its own performances.

    Args:
        name: how messages call the target.

    Raises:
        TooShortError: less than three seconds of singing.
    """
    parts = [part[_sounds(part)] for part in performances]
    joined = Frames(
        *(np.concatenate([getattr(p, key) for p in parts]) for key in ("f0", "envelope", "aperiodicity", "labels"))
    )
    if joined.voiced.sum() < _LEAST_S * FRAME_RATE:
        raise TooShortError(name, f"has less than {_LEAST_S:g} s of singing to imitate", "give more of it")
    return TargetVoice(joined, cepstra(joined.envelope), _pitch(joined))


def cepstra(envelope: Array) -> Array:
    """Mel-cepstra of power envelopes, (frames, 20): cosine transform of log bands, without the first."""
    filters = _filters()
    log = np.log(envelope @ (filters / filters.sum(axis=0)) + _FLOOR)
    return np.asarray(log @ _cosines()[1 : _ORDER + 1].T)


def neighbours(source: Frames, target: TargetVoice, k: int = _NEIGHBOURS) -> Frames:
    """Frame-wise nearest neighbours; see the module's text."""
    sung = np.flatnonzero(_sounds(source))
    if not source.voiced[sung].any():  # nobody sings
        return source
    mine = cepstra(source.envelope[sung])
    voiced = (source.voiced[sung], target.frames.voiced)
    alike = [
        _standardised(rows, rows[mask] if mask.any() else rows)
        for rows, mask in zip((mine, target.cepstra), voiced, strict=True)
    ]
    found = np.zeros((sung.size, k), np.intp)
    for own, theirs in _classes(source[sung], target.frames):
        near = min(k, theirs.size)
        for first in range(0, own.size, _CHUNK):
            rows = own[first : first + _CHUNK]
            distance = _distances(alike[0][rows], alike[1][theirs])
            nearest = np.argpartition(distance, near - 1, axis=1)[:, :near]
            found[rows] = theirs[nearest[:, np.arange(k) % near]]
    log = np.log(target.frames.envelope + _FLOOR)
    envelope, aperiodicity = np.empty((sung.size, BINS)), np.empty((sung.size, BINS))
    for first in range(0, sung.size, _CHUNK):
        rows = found[first : first + _CHUNK]
        envelope[first : first + _CHUNK] = np.exp(log[rows].mean(axis=1))
        aperiodicity[first : first + _CHUNK] = target.frames.aperiodicity[rows].mean(axis=1)
    return _rebuilt(source, target, sung, envelope, aperiodicity)


def statistics(source: Frames, target: TargetVoice) -> Frames:
    """The target's mean and variance of mel-cepstra; see the module's text."""
    sung = np.flatnonzero(_sounds(source))
    if not source.voiced[sung].any():  # nobody sings
        return source
    mine = cepstra(source.envelope[sung])
    of_source, of_target = source.voiced[sung], target.frames.voiced
    theirs = target.cepstra[of_target]
    spread = theirs.std(axis=0) / (mine[of_source].std(axis=0) + _FLOOR)
    moved = (mine - mine[of_source].mean(axis=0)) * spread + theirs.mean(axis=0)
    # What changes is a smooth curve of gains: the fine shape stays. Between its bands' centres it is a straight line.
    filters = _filters()
    whole = (moved - mine) @ _cosines()[1 : _ORDER + 1] @ (filters / (filters.sum(axis=1, keepdims=True) + _FLOOR)).T
    envelope = np.exp(np.log(source.envelope[sung] + _FLOOR) + whole)
    noise = source.aperiodicity[sung]
    shift = target.frames.aperiodicity[of_target].mean(axis=0) - noise[of_source].mean(axis=0)
    return _rebuilt(source, target, sung, envelope, np.clip(noise + shift, 0, 1))


def degraded(source: Frames, target: TargetVoice) -> Frames:
    """What a poor model makes; see the module's text."""
    first = target.frames[slice(0, round(_POOR_S * FRAME_RATE))]
    few = TargetVoice(first, target.cepstra[: len(first)], target.pitch)
    poor = neighbours(source, few, 1)
    held = np.arange(len(poor)) // _POOR_HOLD * _POOR_HOLD
    kept = poor.labels == poor.labels[held]
    index = np.where(kept & (poor.voiced == poor.voiced[held]), held, np.arange(len(poor)))
    cut = np.where(FREQUENCIES > _POOR_HZ, 1e-4, 1.0)
    coarse = replace(poor, envelope=poor.envelope[index] * cut, aperiodicity=poor.aperiodicity[index])
    return _as_loud(coarse, poor, np.flatnonzero(_sounds(poor)))


METHODS: Mapping[str, Callable[[Frames, TargetVoice], Frames]] = {
    "neighbours": neighbours,
    "statistics": statistics,
    "degraded": degraded,
}


WEAK = frozenset({"statistics"})
"""Methods by which fewer than 70 % of clones are nearer to their target than to their source, by CAM++ as published."""


def _rebuilt(
    source: Frames, target: TargetVoice, sung: NDArray[np.intp], envelope: Array, aperiodicity: Array
) -> Frames:
    out = replace(source, envelope=source.envelope.copy(), aperiodicity=source.aperiodicity.copy())
    out.envelope[sung], out.aperiodicity[sung] = envelope, aperiodicity
    octaves = round((target.pitch - _pitch(source)) / 12) if source.voiced.any() else 0
    return _as_loud(replace(out, f0=source.f0 * 2.0**octaves), source, sung)


def _as_loud(frames: Frames, like: Frames, sung: NDArray[np.intp]) -> Frames:
    """The loudness of each frame as another performance has it."""
    envelope = frames.envelope.copy()
    now, wanted = (part.envelope[sung].mean(axis=1, keepdims=True) for part in (frames, like))
    envelope[sung] *= wanted / (now + _FLOOR)
    return replace(frames, envelope=envelope)


def _sounds(frames: Frames) -> NDArray[np.bool_]:
    """Frames within 45 dB of the loud ones."""
    power = frames.envelope.mean(axis=1)
    loud = np.percentile(power, 95) if power.size else 0.0
    return np.asarray(power > max(loud * 10**-4.5, 1e-9))


def _pitch(frames: Frames) -> float:
    return float(69 + 12 * np.log2(np.median(frames.f0[frames.voiced]) / 440.0)) if frames.voiced.any() else 60.0


def _classes(source: Frames, target: Frames) -> Iterable[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Frames of the source, and those of the target that may replace them."""
    labelled = (source.labels != SILENT).any() and (target.labels != SILENT).any()
    for voiced in (True, False):
        own, theirs = (np.flatnonzero(part.voiced == voiced) for part in (source, target))
        if theirs.size == 0:
            theirs = np.arange(len(target))
        if not labelled:
            yield own, theirs
            continue
        for label in np.unique(source.labels[own]):
            same = theirs[target.labels[theirs] == label]
            yield own[source.labels[own] == label], same if same.size >= _LEAST else theirs


def _standardised(rows: Array, reference: Array) -> Array:
    return np.asarray((rows - reference.mean(axis=0)) / (reference.std(axis=0) + 1e-6))


def _distances(first: Array, second: Array) -> Array:
    """Squared Euclidean, (first, second), without what is the same along a row."""
    return np.asarray(np.sum(second**2, axis=1) - 2 * first @ second.T)


def _filters() -> Array:
    """Mel filters, (BINS, 40)."""
    return htk_filterbank(2 * (BINS - 1), _BANDS, SAMPLE_RATE).numpy().astype(np.float64)


def _cosines() -> Array:
    """Orthonormal cosine transform, (40, 40)."""
    rows = np.cos(np.pi / _BANDS * (np.arange(_BANDS) + 0.5) * np.arange(_BANDS)[:, None]) * np.sqrt(2 / _BANDS)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows)
