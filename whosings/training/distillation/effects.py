"""What happens to voices and bands on a record, for whole batches in few large operations, where the tensors lie.

Conventions
-----------
- Waves are float32 (views, samples) at 16 kHz; amounts are tensors (rows, 1) on the same device.
- Effects that are linear are factors of spectra, so that all of them together take one pass through the Fourier
  transform.
- Nothing waits for the device: how many views get an effect follows from the number of the step; which of them do is
  drawn.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from whosings.audio import SAMPLE_RATE

_KNOTS = 9  # of an equaliser
_LOWEST_HZ = 60.0  # of its first knot
_SILENT = 1e-6


class Draw:
    """Random numbers of one step: the same from a seed and a step, whatever was drawn before.

    Attributes:
        device: where they are wanted.
    """

    def __init__(self, seed: int, step: int, device: torch.device) -> None:
        self._step, self.device = step, device
        try:
            self._generator = torch.Generator(device)
        except RuntimeError:  # not every device has one
            self._generator = torch.Generator()
        state = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
        self._generator.manual_seed(int(state))

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Evenly distributed between two bounds."""
        drawn = torch.rand(shape, generator=self._generator, device=self._generator.device)
        return low + (high - low) * drawn.to(self.device)

    def noise(self, *shape: int) -> Tensor:
        """White, of variance 1."""
        return torch.randn(shape, generator=self._generator, device=self._generator.device).to(self.device)

    def below(self, bounds: Tensor) -> Tensor:
        """Whole numbers from 0 to under each of the bounds, which are whole numbers above 0."""
        drawn = self.uniform(0.0, 1.0, *bounds.shape) * bounds
        return torch.minimum(drawn.long(), bounds - 1)  # float32 may round up

    def order(self, count: int) -> Tensor:
        """The numbers from 0 to under ``count``, shuffled."""
        return torch.randperm(count, generator=self._generator, device=self._generator.device).to(self.device)

    def rows(self, chance: float, count: int) -> Tensor:
        """Which of ``count`` views get an effect: a number of them that over many steps is the chance."""
        some = math.floor((self._step + 1) * chance * count) - math.floor(self._step * chance * count)
        return self.order(count)[:some]


def fast_length(samples: float) -> int:
    """The nearest even length that has no prime factor above 5: others transform slowly."""
    lengths = [2 * 2**a * 3**b * 5**c for a in range(22) for b in range(10) for c in range(8)]
    return int(min(lengths, key=lambda length: (abs(length - samples), length)))


def resampled(waves: Tensor, samples: int) -> Tensor:
    """Waves stretched or squeezed to so many samples, through their spectra; pitch and formants move with it."""
    if waves.shape[1] == samples:
        return waves
    spectrum = torch.fft.rfft(waves)[:, : samples // 2 + 1]
    found: Tensor = torch.fft.irfft(spectrum, samples) * (samples / waves.shape[1])
    return found


def peak_normalised(waves: Tensor) -> Tensor:
    """With a peak of 1; what is nearly silent is not made loud."""
    return waves / waves.abs().amax(dim=1, keepdim=True).clamp(min=1e-3)


def level(waves: Tensor) -> Tensor:
    """Root of the mean power, (views, 1), never 0."""
    return waves.square().mean(dim=1, keepdim=True).sqrt().clamp(min=_SILENT)


def amplitude(decibels: Tensor) -> Tensor:
    """dB to factors."""
    return torch.exp(decibels * (math.log(10) / 20))


def equaliser(draw: Draw, count: int, size: int, most_db: float) -> Tensor:
    """Smooth random gains, (count, bins) of a transform of ``size`` samples: straight between knots in octaves."""
    knots_db = draw.uniform(-most_db, most_db, count, _KNOTS)
    hertz = torch.fft.rfftfreq(size, 1 / SAMPLE_RATE, device=knots_db.device).clamp(min=_LOWEST_HZ)
    place = torch.log(hertz / _LOWEST_HZ) * ((_KNOTS - 1) / math.log(SAMPLE_RATE / 2 / _LOWEST_HZ))
    number = torch.arange(_KNOTS, device=knots_db.device)
    tents = (1 - (place - number[:, None]).abs()).clamp(min=0)
    return amplitude(knots_db @ tents)


def room(draw: Draw, count: int, size: int, tail: int) -> Tensor:
    """What a room adds to the direct sound: noise that decays exponentially, (count, bins) complex.

    Decays by 60 dB take 0.15 to 1.95 s, short ones most often; the first reflection is 5 to 45 ms late, and all of
    them together are 2 to 20 dB under the direct sound.

    Args:
        tail: samples after which a room is silent.
    """
    place = torch.arange(tail, device=draw.device) / SAMPLE_RATE
    decay = 0.15 + 1.8 * draw.uniform(0, 1, count, 1).square()
    late = draw.uniform(0.005, 0.045, count, 1)
    response = draw.noise(count, tail) * torch.exp(-6.9 * place / decay) * (place > late)
    wet = amplitude(draw.uniform(-20, -2, count, 1))
    response = response * wet / response.square().sum(dim=1, keepdim=True).sqrt().clamp(min=_SILENT)
    added: Tensor = torch.fft.rfft(response, size)
    return added


def echo(draw: Draw, count: int, size: int) -> Tensor:
    """What a doubled voice or a short echo adds: the sound again 15 to 300 ms later, (count, bins) complex."""
    late = torch.exp(draw.uniform(math.log(0.015), math.log(0.3), count, 1)) * SAMPLE_RATE
    gain = draw.uniform(0.3, 0.7, count, 1)
    turns = torch.arange(size // 2 + 1, device=late.device) * (late.round() / size)
    return torch.polar(gain.expand_as(turns), -2 * math.pi * turns)


def saturated(waves: Tensor, drive: Tensor) -> Tensor:
    """A soft clipper, driven by the peak times ``drive``; the peak stays."""
    peak = waves.abs().amax(dim=1, keepdim=True).clamp(min=_SILENT)
    return torch.tanh(waves * (drive / peak)) * (peak / torch.tanh(drive))


def low_passed(waves: Tensor, edge_hz: Tensor) -> Tensor:
    """Without anything above ``edge_hz``."""
    spectrum = torch.fft.rfft(waves)
    hertz = torch.fft.rfftfreq(waves.shape[1], 1 / SAMPLE_RATE, device=waves.device)
    passed: Tensor = torch.fft.irfft(spectrum * (hertz < edge_hz), waves.shape[1])
    return passed


def paused(waves: Tensor, share: Tensor, late: Tensor) -> Tensor:
    """Waves silent for a share of their length, at the beginning where ``late``, else at the end."""
    place = torch.linspace(0, 1, waves.shape[1], device=waves.device)
    return waves.masked_fill(torch.where(late, place < share, place > 1 - share), 0.0)
