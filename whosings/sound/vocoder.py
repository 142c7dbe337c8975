"""The one vocoder: every generated voice, real or cloned, is made from frames by ``synthesize``, so that the way of
making sound says nothing about who sings or whether a voice is a clone.

Conventions
-----------
- A frame is 10 ms: pitch, a power envelope and an aperiodicity over ``BINS`` frequencies from 0 to 8 kHz, and a label.
- Aperiodicity is an amplitude ratio, as in WORLD: of the envelope's power, its square is noise.
- Synthesis is source and filter: a band-limited pulse train and white noise, each through minimum-phase filters that
  change from frame to frame. It works on batches, in double precision unless told otherwise: rounding, which differs
  between processors, then stays far below a step of 16-bit samples.
- Analysis is WORLD's (DIO, StoneMask, CheapTrick, D4C) by pyworld, the ``speech`` extra.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.errors import MissingExtraError

HOP = 160
FRAME_RATE = SAMPLE_RATE // HOP
"""Frames a second."""
BINS = 513
FREQUENCIES = np.linspace(0.0, SAMPLE_RATE / 2, BINS)
"""Hz of each bin."""
SILENT = -1
"""Label of a frame in which nobody sings, or of which nothing is known."""

_FFT, _WINDOW = 2 * (BINS - 1), 2 * HOP
_FLOOR = 1e-12  # power of an empty bin
_PERIOD_MS = 1000.0 / FRAME_RATE

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Frames:
    """A performance as a vocoder sees it.

    Attributes:
        f0: Hz, (frames,); 0 where unvoiced.
        envelope: power, (frames, BINS); a flat envelope of 1 gives sound of variance 1.
        aperiodicity: 0 (periodic) to 1 (noise), (frames, BINS).
        labels: which sound, (frames,); ``SILENT`` for none.
    """

    f0: Array
    envelope: Array
    aperiodicity: Array
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.f0.size)

    def __getitem__(self, index: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Frames:
        return Frames(self.f0[index], self.envelope[index], self.aperiodicity[index], self.labels[index])

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """Whether a frame has a pitch, (frames,)."""
        return self.f0 > 0


def synthesize(
    f0: torch.Tensor, envelope: torch.Tensor, aperiodicity: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """Sound of a batch of performances, on the device and in the precision of the tensors.

    Args:
        f0: Hz, (batch, frames); 0 where unvoiced.
        envelope, aperiodicity: (batch, frames, BINS), as in ``Frames``.
        noise: white, of variance 1, (batch, frames * HOP).

    Returns:
        (batch, frames * HOP) at 16 kHz.
    """
    frames = f0.shape[1]
    pulses = torch.nn.functional.pad(_pulses(f0), (HOP, HOP))
    rough = torch.nn.functional.pad(noise, (HOP, HOP))
    window = torch.hann_window(_WINDOW, dtype=f0.dtype, device=f0.device)
    # A frame's window is centred on its middle; neighbours overlap by half and add up to one.
    first = HOP // 2
    parts = [source[:, first:].unfold(1, _WINDOW, HOP)[:, :frames] * window for source in (pulses, rough)]
    response = _minimum_phase(envelope)
    ratio = aperiodicity.clamp(0.0, 1.0)
    shaped = torch.fft.rfft(parts[0], _FFT) * torch.sqrt(1 - ratio**2) + torch.fft.rfft(parts[1], _FFT) * ratio
    sounds = torch.fft.irfft(shaped * response, _FFT)
    out = torch.nn.functional.fold(
        sounds.transpose(1, 2), (1, (frames - 1) * HOP + _FFT), (1, _FFT), stride=(1, HOP)
    ).reshape(f0.shape[0], -1)
    return torch.nn.functional.pad(out, (0, HOP))[:, HOP - first : HOP - first + frames * HOP]


def sound(frames: Frames, rng: np.random.Generator) -> FloatArray:
    """Sound of one performance: float32 (len(frames) * HOP,) at 16 kHz."""
    noise = rng.standard_normal(len(frames) * HOP)
    f0, envelope, aperiodicity, white = (
        torch.from_numpy(np.ascontiguousarray(a))[None]
        for a in (frames.f0, frames.envelope, frames.aperiodicity, noise)
    )
    return synthesize(f0, envelope, aperiodicity, white)[0].numpy().astype(np.float32)


def analyze(samples: FloatArray, f0: Array | None = None) -> Frames:
    """What a vocoder needs to sing a recording again.

    Args:
        samples: (samples,) at 16 kHz, one voice alone.
        f0: Hz, one a frame, where it is known; else it is estimated.

    Returns:
        samples // HOP + 1 frames, labels ``SILENT``; as many as ``f0`` has, if given. Without it they are WORLD's,
        5 ms before the middle of ours.

    Raises:
        MissingExtraError: pyworld is not installed.
    """
    MissingExtraError.require("pyworld", "analysing a voice", "speech")
    import pyworld

    wave = samples.astype(np.float64)
    if f0 is None:
        f0, at = pyworld.dio(wave, SAMPLE_RATE, frame_period=_PERIOD_MS)
        f0 = pyworld.stonemask(wave, f0, at, SAMPLE_RATE)
    else:
        at = (np.arange(f0.size) + 0.5) * _PERIOD_MS / 1000  # our frames are known by their middle
        f0 = np.ascontiguousarray(f0, np.float64)
    envelope = pyworld.cheaptrick(wave, f0, at, SAMPLE_RATE, fft_size=_FFT)
    aperiodicity = pyworld.d4c(wave, f0, at, SAMPLE_RATE, fft_size=_FFT)
    return Frames(f0, envelope, aperiodicity, np.full(f0.size, SILENT))


def resampled(frames: Frames, places: Array) -> Frames:
    """Frames at any places in time, in frames from the first: envelopes and aperiodicity are interpolated, pitch and
    labels are the nearest one's."""
    low = np.floor(places).astype(int).clip(0, len(frames) - 1)
    high, part = np.minimum(low + 1, len(frames) - 1), (places - low)[:, None]
    log = np.log(np.stack([frames.envelope[low], frames.envelope[high]]) + _FLOOR)
    nearest = frames[np.where(part[:, 0] < 0.5, low, high)]
    ratio = frames.aperiodicity[low] * (1 - part) + frames.aperiodicity[high] * part
    return replace(nearest, envelope=np.exp(log[0] * (1 - part) + log[1] * part), aperiodicity=ratio)


def with_tract(frames: Frames, length: float) -> Frames:
    """The same from a vocal tract ``length`` times as long: the envelopes' frequencies divided by it."""
    return replace(frames, envelope=at_bins(frames.envelope, np.minimum(np.arange(BINS) * length, BINS - 1)))


def at_bins(envelope: Array, places: Array) -> Array:
    """Envelopes read at other places, (BINS,) from 0 to ``BINS`` - 1, in between by their logarithm."""
    low = np.floor(places).astype(int)
    high, part = np.minimum(low + 1, BINS - 1), places - low
    log = np.log(envelope + _FLOOR)
    return np.asarray(np.exp(log[:, low] * (1 - part) + log[:, high] * part))


def _pulses(f0: torch.Tensor) -> torch.Tensor:
    """Pulse trains of variance 1, band-limited: the sum of all harmonics below 8 kHz, in closed form."""
    knots = _filled(f0)
    hertz = torch.nn.functional.interpolate(knots[:, None], scale_factor=HOP, mode="linear", align_corners=False)[:, 0]
    phase = torch.cumsum(hertz / SAMPLE_RATE, dim=1)
    harmonics = torch.floor(0.5 * SAMPLE_RATE / hertz)
    half = torch.pi * (phase - torch.round(phase))
    top = torch.sin((2 * harmonics + 1) * half)
    bottom = torch.sin(half)
    near = bottom.abs() < 1e-6
    kernel = torch.where(near, 2 * harmonics + 1, top / torch.where(near, torch.ones_like(bottom), bottom))
    return (kernel - 1) / torch.sqrt(2 * harmonics.clamp(min=1.0))  # no harmonic, no sound


def _filled(f0: torch.Tensor) -> torch.Tensor:
    """Pitch that goes on through unvoiced frames: the last one known, before the first the first."""
    place = torch.arange(f0.shape[1], device=f0.device).expand_as(f0)
    last = torch.cummax(torch.where(f0 > 0, place, -1), dim=1).values
    first = (f0 > 0).to(torch.int64).argmax(dim=1, keepdim=True)
    known = torch.gather(f0, 1, torch.where(last < 0, first, last))
    return torch.where(known > 0, known, torch.full_like(known, 100.0))


def _minimum_phase(envelope: torch.Tensor) -> torch.Tensor:
    """Responses whose squared magnitudes are the envelopes and that sound at once, (..., BINS) complex."""
    cepstrum = torch.fft.irfft(0.5 * torch.log(envelope + _FLOOR), _FFT)
    cepstrum[..., 1 : _FFT // 2] *= 2
    cepstrum[..., _FFT // 2 + 1 :] = 0
    return torch.exp(torch.fft.rfft(cepstrum, _FFT))
