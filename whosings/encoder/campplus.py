"""CAM++, a speaker encoder: densely connected time-delay layers with context-aware masking (arXiv 2303.00332).

A residual two-dimensional front shrinks 80 bins to 10 rows, a time-delay layer halves the frames, three dense stages
follow: in each of their layers a gate, computed from the mean over all frames and over pieces of 100, decides what of
the layer's output counts. The embedding is a linear map of mean and deviation over frames. Normalisations by fixed
statistics are part of the weights (``recipes/convert_campplus.py``), so that no layer couples the items of a batch.

A mask, where there is one, takes the band out of the filterbank and weighs the frames; mean and deviation follow the
weights. Frames and statistics are separate steps, so that a long stretch can pass through the network once and be
pooled by any windows.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whosings.config import CampplusConfig, FilterbankConfig
from whosings.encoder.blocks import FrameWindows, windows_of
from whosings.encoder.masking import Heard, Listened, VoiceMask

FRAMES_A_STEP = 2
"""Frames of the filterbank for one of ``FrameMaps``."""

_FRONT_STRIDE = 8  # mel bins to one row
_PIECE = 100  # frames of context
_LEAST_VARIANCE = 1e-6
_EVEN_ENOUGH = 3  # binary orders of magnitude


@dataclass(frozen=True)
class FrameMaps:
    """What the network makes of the frames of a stretch.

    Attributes:
        maps: (batch, channels, steps), a step for every two frames.
        weights: (batch, steps) of steps in statistics; None where all weigh the same.
    """

    maps: Tensor
    weights: Tensor | None


class Campplus(nn.Module):
    """Filterbank (batch, 1, mel_bins, frames) -> embeddings (batch, config.embedding); any number of frames."""

    def __init__(self, config: CampplusConfig, front_end: FilterbankConfig) -> None:
        super().__init__()
        self.mask = None if config.mask is None else VoiceMask(config.mask, front_end)
        size = config.channels
        self.front = nn.Sequential(
            nn.Conv2d(1, size, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            *(_Residual(size, stride) for stride in (2, 1, 2, 1)),
            nn.Conv2d(size, size, kernel_size=3, stride=(2, 1), padding=1),
            nn.ReLU(inplace=True),
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        rows = size * (front_end.mel_bins // _FRONT_STRIDE)
        self.enter = nn.Conv1d(rows, config.width, kernel_size=5, stride=FRAMES_A_STEP, padding=2)
        stages: list[nn.Module] = []
        width = config.width
        for count, dilation in zip(config.layers, config.dilations, strict=True):
            stages.append(_DenseStage(width, count, dilation, config.growth, config.bottleneck))
            width = (width + count * config.growth) // 2
        self.stages = nn.ModuleList(stages)
        self.head = nn.Linear(2 * width, config.embedding)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """See the class."""
        return self.listen(spectrograms).embeddings

    def listen(self, spectrograms: Tensor) -> Listened:
        """The same, with what the mask said."""
        found = None if self.mask is None else self.mask(spectrograms)
        return Listened(self.pooled(self._masked(spectrograms, found)), found)

    def in_bf16(self) -> Campplus:
        """A copy that computes in bf16, but for levels, normalisations, statistics and the last layer."""
        copied = deepcopy(self).bfloat16()
        for module in (copied.head, *(part for part in copied.modules() if isinstance(part, _Activation))):
            module.float()
        return copied

    @torch.no_grad()
    def balance(self) -> None:
        """Bring the first layer and the one behind the front to weights of one size; what is computed stays the same.

        In the published network the latter are a thousand times smaller than the former, once normalisations are part
        of them, and an optimiser's step that suits all others destroys them. ReLU lets positive factors through, and a
        power of two costs no precision.
        """
        first, behind = self.front[0], self.enter
        sizes = [float(layer.weight.square().mean().sqrt()) for layer in (first, behind)]
        if not all(sizes):
            return
        power = round(0.5 * math.log2(sizes[0] / sizes[1]))
        if abs(power) < _EVEN_ENOUGH:
            return
        factor = 2.0**power
        first.weight /= factor
        for name, weight in self.front.named_parameters():
            if name.endswith("bias"):
                weight /= factor
        behind.weight *= factor

    def frame_maps(self, spectrograms: Tensor) -> FrameMaps:
        """Filterbank (batch, 1, mel_bins, frames), a mask, if there is one, put on it -> what is pooled."""
        return self._masked(spectrograms, None if self.mask is None else self.mask(spectrograms))

    def _masked(self, spectrograms: Tensor, found: Heard | None) -> FrameMaps:
        if found is None:
            return self.heard(spectrograms)
        return self.heard(spectrograms + found.log_share, found.weights)

    def heard(self, spectrograms: Tensor, weights: Tensor | None = None) -> FrameMaps:
        """As ``frame_maps``, of a filterbank that needs no mask any more.

        Args:
            weights: (batch, frames) of frames, at least 0.
        """
        if weights is None:
            mean = spectrograms.mean(dim=3, keepdim=True)
        else:
            share = weights / weights.sum(dim=1, keepdim=True)
            mean = (spectrograms * share[:, None, None]).sum(dim=3, keepdim=True)
        heard = (spectrograms - mean).to(self.enter.weight.dtype)
        maps = F.relu(self.enter(self.front(heard).flatten(1, 2)))
        for stage in self.stages:
            maps = stage(maps)
        if weights is not None:
            weights = F.adaptive_avg_pool1d(weights[:, None], maps.shape[-1])[:, 0]
        return FrameMaps(F.relu(maps).float(), weights)  # statistics do not survive half precision

    def pooled(self, found: FrameMaps) -> Tensor:
        """Embeddings (batch, dimensions) of whole stretches."""
        if found.weights is None:
            mean, deviation = found.maps.mean(dim=2), found.maps.std(dim=2)
        else:
            share = (found.weights / found.weights.sum(dim=1, keepdim=True))[:, None]
            mean = (found.maps * share).sum(dim=2)
            variance = ((found.maps - mean[..., None]).square() * share).sum(dim=2)
            deviation = variance.clamp(min=_LEAST_VARIANCE).sqrt()
        embeddings: Tensor = self.head(torch.cat([mean, deviation], dim=1))
        return embeddings

    def windows(self, spectrogram: Tensor, *wanted: FrameWindows) -> list[Tensor]:
        """Embeddings of windows of one stretch, through which the network goes once.

        Args:
            spectrogram: the stretch, (1, 1, mel_bins, frames).
            wanted: windows of one length or of several.

        Returns:
            (windows, dimensions) of each length.
        """
        found = self.frame_maps(spectrogram)
        rows = []
        for windows in wanted:
            place = windows_of(windows.first, windows.frames, FRAMES_A_STEP, found.maps.shape[-1])
            weights = None if found.weights is None else found.weights[0, place]
            rows.append(self.pooled(FrameMaps(found.maps[0, :, place].transpose(0, 1), weights)))
        return rows


class _Residual(nn.Module):
    """(batch, channels, rows, frames) -> rows divided by ``stride``."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, kernel_size=3, stride=(stride, 1), padding=1)
        self.second = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.stride = stride
        self.shortcut = nn.Conv2d(channels, channels, kernel_size=1) if stride > 1 else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        changed = self.second(F.relu(self.first(maps), inplace=True))
        # Rows are left out before, not by a stride: with few channels, training such a layer crashes torch 2.13.
        return F.relu(changed + self.shortcut(maps[:, :, :: self.stride]), inplace=True)


class _Activation(nn.Module):
    """Scale, shift and rectify each channel of (batch, channels, steps): a normalisation by fixed statistics."""

    none: Tensor
    unit: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.register_buffer("none", torch.zeros(channels), persistent=False)
        self.register_buffer("unit", torch.ones(channels), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        # On CPUs one pass; products and sums that broadcast take three to eight times as long.
        return F.relu(F.batch_norm(maps, self.none, self.unit, self.scale, self.shift, eps=0.0), inplace=True)


class _DenseStage(nn.Module):
    """(batch, channels, steps) -> half as many channels as enter and are added."""

    def __init__(self, channels: int, layers: int, dilation: int, growth: int, bottleneck: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _DenseLayer(channels + number * growth, dilation, growth, bottleneck) for number in range(layers)
        )
        wide = channels + layers * growth
        self.before = _Activation(wide)
        self.transition = nn.Conv1d(wide, wide // 2, kernel_size=1)

    def forward(self, maps: Tensor) -> Tensor:
        for layer in self.layers:
            maps = torch.cat([maps, layer(maps)], dim=1)
        passed: Tensor = self.transition(self.before(maps))
        return passed


class _DenseLayer(nn.Module):
    """(batch, channels, steps) -> (batch, growth, steps), by a time-delay layer under a gate."""

    def __init__(self, channels: int, dilation: int, growth: int, bottleneck: int) -> None:
        super().__init__()
        self.before = _Activation(channels)
        self.narrow = nn.Conv1d(channels, bottleneck, kernel_size=1)
        self.local = nn.Conv1d(bottleneck, growth, kernel_size=3, padding=dilation, dilation=dilation, bias=False)
        self.squeeze = nn.Conv1d(bottleneck, bottleneck // 2, kernel_size=1)
        self.excite = nn.Conv1d(bottleneck // 2, growth, kernel_size=1)

    def forward(self, maps: Tensor) -> Tensor:
        inner = F.relu(self.narrow(self.before(maps)), inplace=True)
        steps = inner.shape[-1]
        # The context is one for all steps of a piece: the gate is worked out a piece, not a step.
        pieces = F.avg_pool1d(inner, _PIECE, stride=_PIECE, ceil_mode=True) + inner.mean(dim=2, keepdim=True)
        gates = torch.sigmoid(self.excite(F.relu(self.squeeze(pieces))))
        # Not repeated and cut to length, because torch.compile of torch 2.13 multiplies by wrong numbers then, on CPUs
        # and without a word (findings/compiled-repeats.sh).
        piece = torch.arange(steps, device=maps.device) // _PIECE
        gated: Tensor = self.local(inner) * gates.index_select(2, piece)
        return gated
