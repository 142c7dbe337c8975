"""What the convolutional networks share: how spectrograms come in, a block over time, windows of a stretch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LOG_MEL_MEAN, _LOG_MEL_STD = -5.0, 5.0  # of peak-normalised music
_LOG_MEL_FLOOR = -14.0  # below it digital silence and codec zeros differ, voices do not


def scaled(spectrograms: Tensor) -> Tensor:
    """Log-mel energies of peak-normalised music, brought to about zero mean and unit deviation."""
    return (spectrograms.clamp(min=_LOG_MEL_FLOOR) - _LOG_MEL_MEAN) / _LOG_MEL_STD


@dataclass(frozen=True)
class FrameWindows:
    """Windows of one length in a stretch: their ``first`` frames, (windows,), and how many ``frames`` each has."""

    first: Tensor
    frames: int


def windows_of(first: Tensor, frames: int, frames_a_step: int, steps: int) -> Tensor:
    """Steps of windows of ``frames`` frames that begin at frames ``first``: (windows, steps of each).

    Where a start was rounded up, the last of all ``steps`` counts twice.
    """
    place = (first // frames_a_step)[:, None] + torch.arange(-(-frames // frames_a_step), device=first.device)
    return place.clamp(max=steps - 1)


class TimeBlock(nn.Module):
    """(batch, frames, width) -> the same: depthwise over time, then a pointwise bottleneck, with a residual."""

    def __init__(self, width: int, kernel: int, hidden: int, dilation: int = 1) -> None:
        super().__init__()
        reach = kernel // 2 * dilation
        self.depthwise = nn.Conv1d(width, width, kernel, padding=reach, dilation=dilation, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        mixed = self.depthwise(maps.transpose(1, 2)).transpose(1, 2)
        change: Tensor = self.contract(F.gelu(self.expand(self.norm(mixed))))
        return maps + self.scale * change
