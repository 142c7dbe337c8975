"""What studios, rooms and codecs do to a recording, drawn at random: views of one track that do not sound the same.

Each effect has its own chance. Order: speed (pitch and formants together, at most two semitones), equaliser, room,
echo, band limit, saturation, noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from whosings.audio import SAMPLE_RATE, FloatArray

Array = NDArray[np.float64]
_KNOTS_HZ = np.geomspace(60, 8000, 8)


@dataclass(frozen=True)
class Chances:
    """Chance of each effect, 0 to 1."""

    speed: float = 0.4
    equaliser: float = 0.8
    room: float = 0.4
    echo: float = 0.3
    band: float = 0.3
    saturation: float = 0.3
    noise: float = 0.6


def augment(samples: FloatArray, rng: np.random.Generator, chances: Chances | None = None) -> FloatArray:
    """A changed copy of a segment, with a peak of at most 1.

    Args:
        samples: (channels, samples) at 16 kHz.

    Returns:
        float32 (channels, samples): as many channels; samples may be fewer or more, where the speed has changed.
    """
    chances = chances or Chances()
    draw = {name: rng.random() < chance for name, chance in vars(chances).items()}
    out = samples.astype(np.float64)
    if draw["speed"]:
        out = np.atleast_2d(soxr.resample(out.T, SAMPLE_RATE * 2 ** (rng.uniform(-2, 2) / 12), SAMPLE_RATE).T)
    out = _filtered(out, draw, rng)
    peak = float(np.abs(out).max()) or 1.0
    if draw["saturation"]:
        drive = rng.uniform(1, 5)
        out = np.tanh(drive * out / peak) / np.tanh(drive) * peak
    if draw["noise"]:
        out = out + rng.standard_normal(out.shape) * peak * 10 ** (rng.uniform(-70, -35) / 20)
    return np.asarray(out / max(1.0, float(np.abs(out).max())), np.float32)


def _filtered(samples: Array, draw: dict[str, bool], rng: np.random.Generator) -> Array:
    """Equaliser, room, echo and band limit at once, in the spectral domain."""
    response = np.zeros(SAMPLE_RATE)  # a second of impulse response
    response[0] = 1.0
    if draw["echo"]:
        delay, level = int(rng.uniform(0.1, 0.4) * SAMPLE_RATE), rng.uniform(0.1, 0.5)
        for repeat in range(1, 4):
            if repeat * delay < response.size:
                response[repeat * delay] += level**repeat
    if draw["room"]:
        length = int(rng.uniform(0.1, 1.0) * SAMPLE_RATE)
        tail = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
        response[:length] += tail * rng.uniform(0.05, 0.5) / np.sqrt(np.sum(tail**2))
    size = samples.shape[1] + response.size
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    gain_db = np.zeros(hertz.size)
    if draw["equaliser"]:
        gain_db += np.interp(np.log(hertz + 1), np.log(_KNOTS_HZ), np.cumsum(rng.normal(0, 2.5, _KNOTS_HZ.size)))
    if draw["band"]:
        low, high = rng.uniform(0, 300), rng.uniform(3000, 7500)
        gain_db -= 40.0 * ((hertz < low) | (hertz > high))
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(response, size) * 10 ** (gain_db / 20)
    return np.asarray(np.fft.irfft(spectrum, size)[:, : samples.shape[1]])
