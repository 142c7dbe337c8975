"""The compact encoder for CPUs: a convolutional network, at least five times cheaper a segment than AST-small.

A two-dimensional stem sees harmonics and formants while it shrinks 128 mel bins to 16 and 25-ms frames to 50 ms; what
is left of the frequency axis becomes channels; residual blocks of a depthwise convolution over time and a pointwise
bottleneck do most of the work as large matrix products, which is what CPUs do best; attentive statistics (mean and
deviation under learned weights) let it dwell on frames where the voice is heard. No layer couples the items of a batch,
so that training in chunks gives the gradients of the whole batch. ``docs/compact.md`` holds the measurements behind it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whosings.config import ConvolutionalConfig, FrontEndConfig

_LOG_MEL_MEAN, _LOG_MEL_STD = -5.0, 5.0  # of peak-normalised music
_LOG_MEL_FLOOR = -14.0  # below it digital silence and codec zeros differ, voices do not
_STEM_STRIDE = 8  # mel bins to one stem row


class ConvolutionalEncoder(nn.Module):
    """Log-mel (batch, channels, mel_bins, frames) -> embeddings (batch, config.embedding); any number of frames."""

    def __init__(self, config: ConvolutionalConfig, front_end: FrontEndConfig) -> None:
        super().__init__()
        narrow, wide = config.stem
        self.stem = nn.Sequential(
            nn.Conv2d(front_end.channels, narrow, kernel_size=(7, 5), stride=(4, 2), padding=(3, 2)),
            nn.GroupNorm(1, narrow),
            nn.GELU(),
            nn.Conv2d(narrow, wide, kernel_size=3, stride=(2, 1), padding=1),
            nn.GroupNorm(1, wide),
            nn.GELU(),
        )
        self.refine = nn.Sequential(
            nn.Conv2d(wide, wide, kernel_size=3, padding=1),
            nn.GroupNorm(1, wide),
            nn.GELU(),
        )
        self.merge = nn.Conv1d(wide * (front_end.mel_bins // _STEM_STRIDE), config.width, kernel_size=1)
        self.blocks = nn.ModuleList(
            _Block(config.width, config.kernel, round(config.width * config.mlp_ratio)) for _ in range(config.blocks)
        )
        self.pool = _AttentiveStatistics(config.width)
        self.head = nn.Linear(2 * config.width, config.embedding)
        self._parts = config.parts

    def forward(self, spectrograms: Tensor) -> Tensor:
        """See the class."""
        scaled = (spectrograms.clamp(min=_LOG_MEL_FLOOR) - _LOG_MEL_MEAN) / _LOG_MEL_STD
        maps = self.stem(scaled)
        maps = self.merge((maps + self.refine(maps)).flatten(1, 2)).transpose(1, 2)
        for block in self.blocks:
            maps = block(maps)
        embeddings: Tensor = self.head(self.pool(maps))
        if self._parts > 1:
            embeddings = F.normalize(embeddings.float().reshape(len(embeddings), self._parts, -1), dim=2).flatten(1)
        return embeddings


class _Block(nn.Module):
    """(batch, frames, width) -> the same: depthwise over time, then a pointwise bottleneck, with a residual."""

    def __init__(self, width: int, kernel: int, hidden: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, maps: Tensor) -> Tensor:
        mixed = self.depthwise(maps.transpose(1, 2)).transpose(1, 2)
        change: Tensor = self.contract(F.gelu(self.expand(self.norm(mixed))))
        return maps + self.scale * change


class _AttentiveStatistics(nn.Module):
    """(batch, frames, width) -> (batch, 2 * width): mean and deviation over frames, by learned weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.Sequential(nn.Linear(width, 64), nn.Tanh(), nn.Linear(64, width))

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.norm(maps)
        weights = self.attention(maps).softmax(dim=1)
        mean = (weights * maps).sum(dim=1)
        variance = (weights * maps.square()).sum(dim=1) - mean.square()
        return torch.cat([mean, variance.clamp(min=1e-5).sqrt()], dim=1)
