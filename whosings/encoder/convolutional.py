"""The compact encoder for CPUs: a convolutional network, at least five times cheaper a segment than AST-small.

A two-dimensional stem sees harmonics and formants while it shrinks 128 mel bins to 16 and 25-ms frames to 50 ms; what
is left of the frequency axis becomes channels; residual blocks of a depthwise convolution over time and a pointwise
bottleneck do most of the work as large matrix products, which is what CPUs do best; attentive statistics (mean and
deviation under learned weights) let it dwell on frames where the voice is heard. No layer couples the items of a batch,
so that training in chunks gives the gradients of the whole batch. ``docs/compact.md`` holds the measurements behind it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from whosings.config import ConvolutionalConfig, FrontEndConfig
from whosings.encoder.blocks import FrameWindows, TimeBlock, scaled, windows_of
from whosings.encoder.masking import Heard, Listened, VoiceMask

_STEM_STRIDE = 8  # mel bins to one stem row
_FRAMES_A_STEP = 2


class ConvolutionalEncoder(nn.Module):
    """Log-mel (batch, channels, mel_bins, frames) -> embeddings (batch, config.embedding); any number of frames."""

    def __init__(self, config: ConvolutionalConfig, front_end: FrontEndConfig) -> None:
        super().__init__()
        self.mask = None if config.mask is None else VoiceMask(config.mask, front_end)
        narrow, wide = config.stem
        self.stem = nn.Sequential(
            nn.Conv2d(front_end.channels, narrow, kernel_size=(7, 5), stride=(4, _FRAMES_A_STEP), padding=(3, 2)),
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
            TimeBlock(config.width, config.kernel, round(config.width * config.mlp_ratio)) for _ in range(config.blocks)
        )
        self.pool = _AttentiveStatistics(config.width)
        self.head = nn.Linear(2 * config.width, config.embedding)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """See the class."""
        return self.listen(spectrograms).embeddings

    def listen(self, spectrograms: Tensor) -> Listened:
        """The same, with what the mask said."""
        found = None if self.mask is None else self.mask(spectrograms)
        return Listened(self.head(self.pool(self._steps(self._masked(spectrograms, found)))), found)

    def windows(self, spectrogram: Tensor, *wanted: FrameWindows) -> list[Tensor]:
        """Embeddings of windows of one stretch, through which the network goes once.

        Args:
            spectrogram: the stretch, (1, channels, mel_bins, frames).
            wanted: windows of one length or of several.

        Returns:
            (windows, dimensions) of each length.
        """
        found = None if self.mask is None else self.mask(spectrogram)
        steps = self._steps(self._masked(spectrogram, found))[0]
        places = (windows_of(windows.first, windows.frames, _FRAMES_A_STEP, len(steps)) for windows in wanted)
        return [self.head(self.pool(steps[place])) for place in places]

    @staticmethod
    def _masked(spectrograms: Tensor, found: Heard | None) -> Tensor:
        return spectrograms if found is None else spectrograms + found.log_share

    def _steps(self, spectrograms: Tensor) -> Tensor:
        """(batch, steps, width), a step for every two frames."""
        seen = self.stem(scaled(spectrograms))
        maps: Tensor = self.merge((seen + self.refine(seen)).flatten(1, 2)).transpose(1, 2)
        for block in self.blocks:
            maps = block(maps)
        return maps


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
