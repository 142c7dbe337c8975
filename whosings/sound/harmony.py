"""Bands in the key of a voice: which transposition fits best, by chroma."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from whosings.audio import SAMPLE_RATE, FloatArray

Array = NDArray[np.float64]

MOST_SEMITONES = 3
"""Farther a band does not go: its tempo goes with it."""
_LOWEST_HZ, _HIGHEST_HZ = 65.0, 1000.0  # above, overtones outweigh


def chroma(samples: FloatArray) -> Array:
    """How strong each pitch class is in a few seconds, (12,) of unit length, C first; zeros for silence.

    Args:
        samples: (channels, samples) at 16 kHz.
    """
    mono = samples.mean(axis=0, dtype=np.float64)
    magnitude = np.abs(np.fft.rfft(mono * np.hanning(mono.size)))
    hertz = np.fft.rfftfreq(mono.size, 1 / SAMPLE_RATE)
    heard = (hertz > _LOWEST_HZ) & (hertz < _HIGHEST_HZ)
    pitch = np.round(69 + 12 * np.log2(hertz[heard] / 440.0)).astype(int) % 12
    energy = np.bincount(pitch, magnitude[heard] ** 2, 12)
    strength = np.sqrt(energy)  # so that one loud note does not decide alone
    return np.asarray(strength / (float(np.sqrt(energy.sum())) or 1.0))


def transposition(voice: FloatArray, band: FloatArray) -> int:
    """Semitones, -3 to 3, by which the band has to go up for its chroma to correlate best with the voice's.

    Args:
        voice, band: (channels, samples) at 16 kHz.
    """
    sung, played = (part - part.mean() for part in (chroma(voice), chroma(band)))
    shifts = sorted(range(-MOST_SEMITONES, MOST_SEMITONES + 1), key=abs)  # of equals the smallest
    return max(shifts, key=lambda shift: float(sung @ np.roll(played, shift)))


def transposed(samples: FloatArray, semitones: int) -> FloatArray:
    """As a tape that runs faster: (channels, fewer or more samples), the tempo changed by the same ratio."""
    if semitones == 0:
        return samples
    faster = soxr.resample(samples.T, SAMPLE_RATE * 2 ** (semitones / 12), SAMPLE_RATE)
    return np.ascontiguousarray(faster.T, np.float32)
