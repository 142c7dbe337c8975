"""Ready-made stems beside their mixture: brought to its time, and refused where they are not of it.

Decoders of lossy formats do not agree on where a file begins, so stems that another program made of it may be late.

How much later a stem begins is found by generalised cross-correlation with phase transform (GCC-PHAT, Knapp and Carter
1976) over the stem's loudest stretches, so that long rests of a voice do no harm.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whosings import audio
from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.errors import SeparationError

MOST_LAG_S = 0.5
"""Largest lag that is looked for, in seconds, either way."""

_STRETCH_S, _STRETCHES = 10.0, 6
_SIZE = 1 << 18  # samples of a transform: a stretch and the largest lag
_FINER = 8  # steps of the correlation within one sample at 16 kHz
_GAIN = 1e-4  # of the stem's energy, by which a lag must agree better than none
_LOUDER = 10**0.01  # 0.1 dB: a stem that is in a mixture makes it quieter when it is taken away
_LOSS = 0.01  # of the mixture's energy may be in neither stem: lossy formats leave as much of an instrumental's rests
_CANCELS = 0.5  # of the stem's energy, from which on taking it away makes the mixture quieter
_FINE_RATE = 44_100  # Hz, from which on whole samples are shifted: half of one costs 20 dB at 1 kHz at 16 kHz


def lag_of(stem: Path, mixture: Path) -> float:
    """Seconds by which a stem begins later than its mixture; 0.0 where none makes it cancel, and better than at once.

    Raises:
        AudioError: a file cannot be read.
    """
    cross = np.zeros(_SIZE // 2 + 1, np.complex128)
    whitened = np.zeros_like(cross)
    energy = 0.0
    last_s = audio.probe(mixture).duration_s - audio.MIN_DURATION_S
    for stretch in _loudest(stem):
        if stretch.start_s > last_s:  # a stem may be longer than its mixture
            continue
        samples = stretch.samples * np.hanning(stretch.samples.size)  # its ends would be heard as events
        given = audio.read_segment(mixture, stretch.start_s, samples.size / SAMPLE_RATE).samples[0]
        spectrum = np.fft.rfft(samples, _SIZE) * np.conj(np.fft.rfft(given, _SIZE))
        cross += spectrum
        whitened += spectrum / np.maximum(np.abs(spectrum), np.finfo(np.float64).tiny)
        energy += float(samples @ stretch.samples)
    reach = round(MOST_LAG_S * SAMPLE_RATE) * _FINER
    sharp, agrees = _around_zero(whitened, reach), _around_zero(cross, reach)
    best = int(np.argmax(sharp))
    found = agrees[best] > max(agrees[reach] + _GAIN * energy, _CANCELS * energy)
    return (best - reach) / (_FINER * SAMPLE_RATE) if found else 0.0


def aligned(stem: Path, lag_s: float, block_s: float) -> Iterator[FloatArray]:
    """``audio.blocks`` of a stem, mono at 16 kHz, as if it began with its mixture; the end differs by the lag.

    Raises:
        AudioError: the stem cannot be read.
    """
    native = audio.probe(stem).sample_rate
    finer = -(-_FINE_RATE // native)
    if round(lag_s * native * finer) % finer == 0:
        finer = 1
    rate = native * finer
    late = round(lag_s * rate)
    if late == 0:
        return audio.blocks(stem, block_s=block_s)
    return audio.resampled(_shifted(audio.blocks(stem, rate, block_s=block_s), late), rate)


class Remainder:
    """What is left of a mixture when its stems are taken away, block by block."""

    def __init__(self) -> None:
        self._energies = np.zeros(3)

    def add(self, mixture: FloatArray, vocals: FloatArray, instrumental: FloatArray) -> None:
        """Count one block, each (1, samples)."""
        left = (mixture, mixture - vocals, mixture - vocals - instrumental)
        self._energies += [float(np.vdot(samples, samples)) for samples in left]

    def check(self, track: Path, vocals: Path, instrumental: Path | None) -> None:
        """Refuse stems that are not the track's, wherever they begin.

        Raises:
            SeparationError: the vocals do not cancel in the mixture, or both stems together are another mixture.
        """
        mixture, without, neither = self._energies
        if without > _LOUDER * mixture:
            raise SeparationError(
                vocals, f"is not in {track.name}, which is louder without it", "check that it belongs to this track"
            )
        if instrumental is not None and neither > max(_LOUDER * without, _LOSS * mixture):
            raise SeparationError(
                instrumental, f"does not add up to {track.name} with the vocals", "check that it belongs to this track"
            )


def _shifted(blocks: Iterator[FloatArray], late: int) -> Iterator[FloatArray]:
    """Without the first samples, or where ``late`` is negative with as many zeros before them."""
    if late < 0:
        yield np.zeros((1, -late), np.float32)
    skip = max(0, late)
    for block in blocks:
        if block.shape[1] > skip:
            yield block[:, skip:]
        skip = max(0, skip - block.shape[1])


@dataclass(frozen=True, order=True)
class _Stretch:
    """A part of a stem; the louder is the larger."""

    energy: float
    start_s: float
    samples: FloatArray


def _loudest(stem: Path) -> list[_Stretch]:
    """Mono at 16 kHz, each (samples,); those as far below the loudest as silence are left out."""
    loudest: list[_Stretch] = []
    at = 0
    for block in audio.blocks(stem, block_s=_STRETCH_S):
        samples = block[0]
        stretch = _Stretch(float(samples @ samples), at / SAMPLE_RATE, samples)
        at += samples.size
        (heapq.heappush if len(loudest) < _STRETCHES else heapq.heappushpop)(loudest, stretch)
    return [stretch for stretch in loudest if stretch.energy > 1e-3 * max(loudest).energy]


def _around_zero(spectrum: NDArray[np.complex128], reach: int) -> NDArray[np.float64]:
    """A correlation from lag ``-reach`` to ``reach``, in steps of ``1 / _FINER`` sample."""
    correlation = np.fft.irfft(spectrum, _SIZE * _FINER) * _FINER
    return np.concatenate([correlation[-reach:], correlation[: reach + 1]])
