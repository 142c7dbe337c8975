"""How much of each bin of a spectrogram is voice, so that an encoder hears a voice and not its band.

A small U-Net: what is heard shrinks to 16 x 200 ms, is seen across all frequencies over some seconds, and grows back;
what is voice and what is not shows in the shape of harmonics, so the outer levels are two-dimensional convolutions. It
learns from mixtures of known parts, for which no singer's name is needed, and so from far more than an encoder can.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whosings.config import AnyFrontEnd, MaskConfig
from whosings.encoder.blocks import TimeBlock, scaled

_DEEPEST = -8.0  # nepers of power (35 dB): what is no voice is faint, not gone, so that an error can be heard through
_LEVELS = 3  # each halves bins and frames


_FAINTEST, _MIDDLE, _SPREAD = -16.0, -7.0, 4.0  # of log energies against the loudest, nepers of power
_WEIGHT_FLOOR = 1e-3  # of a frame, so that no sum of weights is zero


@dataclass(frozen=True)
class Heard:
    """What a mask says of spectrograms.

    Attributes:
        bins: log odds that a bin is voice, as the spectrograms in shape.
        frames: log odds that a frame is worth hearing, (batch, frames); None of a mask that does not say so.
    """

    bins: Tensor
    frames: Tensor | None

    @property
    def log_share(self) -> Tensor:
        """The logarithm of the share that is voice, -8 (35 dB) to 0."""
        return F.logsigmoid(self.bins.float()).clamp(min=_DEEPEST)

    @property
    def weights(self) -> Tensor | None:
        """Weights of frames, (batch, frames), more than 0 and up to 1."""
        return None if self.frames is None else self.frames.float().sigmoid() + _WEIGHT_FLOOR


@dataclass(frozen=True)
class Listened:
    """What an encoder makes of spectrograms: embeddings (batch, dimensions), and what its mask, if any, said."""

    embeddings: Tensor
    heard: Heard | None


class VoiceMask(nn.Module):
    """Log spectrograms (batch, channels, bins, frames) -> what of them is voice."""

    def __init__(self, config: MaskConfig, front_end: AnyFrontEnd) -> None:
        super().__init__()
        self._relative = config.relative
        sizes = config.channels
        self.enter = nn.Conv2d(front_end.channels, sizes[0], kernel_size=5, stride=2, padding=2)
        self.near = nn.ModuleList(_Shape(size) for size in sizes)
        self.down = nn.ModuleList(nn.Conv2d(a, b, kernel_size=2, stride=2) for a, b in pairwise(sizes))
        rows = front_end.mel_bins // 2**_LEVELS * sizes[-1]
        self.gather = nn.Conv1d(rows, config.width, kernel_size=1)
        self.across = nn.ModuleList(
            TimeBlock(config.width, 7, 2 * config.width, config.dilations[number % len(config.dilations)])
            for number in range(config.blocks)
        )
        self.frame = nn.Linear(config.width, 1) if config.weighs_frames else None
        self.spread = nn.Conv1d(config.width, rows, kernel_size=1)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, kernel_size=2, stride=2) for a, b in pairwise(sizes))
        self.back = nn.ModuleList(_Shape(size) for size in sizes)
        self.leave = nn.ConvTranspose2d(sizes[0], front_end.channels, kernel_size=2, stride=2)
        nn.init.constant_(self.leave.get_parameter("bias"), 2.0)  # begins by letting nearly everything through
        if self.frame is not None:
            nn.init.zeros_(self.frame.weight)
            nn.init.constant_(self.frame.bias, 2.0)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster on CPUs

    def forward(self, spectrograms: Tensor) -> Heard:
        """See the class."""
        frames = spectrograms.shape[-1]
        levels = self._levels(spectrograms).to(self.enter.weight.dtype)
        maps = F.pad(levels, (0, -frames % 2**_LEVELS, 0, 0), mode="replicate")
        maps = self.near[0](self.enter(maps))
        kept = []
        for down, near in zip(self.down, self.near[1:], strict=True):
            kept.append(maps)
            maps = near(down(maps))
        seen = self.gather(maps.flatten(1, 2)).transpose(1, 2)
        for block in self.across:
            seen = block(seen)
        worth = None
        if self.frame is not None:
            step = torch.arange(frames, device=seen.device) // 2**_LEVELS  # not repeated and cut, as in ``campplus``
            worth = self.frame(seen)[..., 0].index_select(1, step)
        maps = maps + self.spread(seen.transpose(1, 2)).unflatten(1, maps.shape[1:3])
        maps = self.back[-1](maps)
        for up, back, skip in zip(reversed(self.up), reversed(self.back[:-1]), reversed(kept), strict=True):
            maps = back(up(maps) + skip)
        return Heard(self.leave(maps)[..., :frames], worth)

    def _levels(self, spectrograms: Tensor) -> Tensor:
        """Brought to about zero mean and unit deviation."""
        if not self._relative:
            return scaled(spectrograms)
        loudest = spectrograms.amax(dim=(1, 2, 3), keepdim=True)
        return ((spectrograms - loudest).clamp(min=_FAINTEST) - _MIDDLE) / _SPREAD


class _Shape(nn.Module):
    """(batch, channels, bins, frames) -> the same: what neighbouring bins and frames form together."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.first = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.second = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        change: Tensor = self.second(F.gelu(self.first(self.norm(maps))))
        return maps + change
