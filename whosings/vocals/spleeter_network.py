"""Spleeter's networks for two stems, in torch (Hennequin et al., JOSS 2020; after Jansson et al., ISMIR 2017).

A U-Net each for the vocals and for the accompaniment hears magnitudes of 512 frames below 11 kHz and gives how much of
each bin is its own. The shares of energy that both claim make the mask on the mixture's spectrum. Above 11 kHz nothing
is voice. Frames, paddings and constants are those of Deezer's program.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RATE = 44_100
FRAME, STEP = 4096, 1024
FRAMES, BINS = 512, 1024
"""What a U-Net sees at once."""

LAYERS = 6
WINDOW = FRAMES * STEP - FRAME
"""Samples that fill these frames: they begin with one frame of silence."""

_EPSILON = 1e-10
_OVERLAPPING = 2 / 3  # squared Hann windows at a quarter of their length sum to 1.5


class ScaleAndShift(nn.Module):
    """A batch normalisation by fixed statistics: (batch, channels, frames, bins) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        return torch.addcmul(self.shift[:, None, None], maps, self.scale[:, None, None])


class UNet(nn.Module):
    """Magnitudes (batch, 2, frames, bins), frames and bins multiples of 64, to those of one stem."""

    def __init__(self, filters: tuple[int, ...]) -> None:
        super().__init__()
        into = (2, *filters[:-1])
        self.down = nn.ModuleList(nn.Conv2d(i, o, 5, stride=2) for i, o in zip(into, filters, strict=True))
        self.down_norm = nn.ModuleList(ScaleAndShift(count) for count in filters[:-1])
        out = (*filters[-2::-1], 1)
        into = (filters[-1], *(2 * count for count in out[:-1]))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(i, o, 5, stride=2, padding=1) for i, o in zip(into, out, strict=True)
        )
        self.up_norm = nn.ModuleList(ScaleAndShift(count) for count in out)
        self.mask = nn.Conv2d(1, 2, 4, dilation=2, padding=3)

    def forward(self, magnitudes: Tensor) -> Tensor:
        """See the class."""
        maps, kept = magnitudes, []
        for depth, down in enumerate(self.down):
            if depth:
                kept.append(maps)
                maps = F.leaky_relu(self.down_norm[depth - 1](maps), 0.2)
            maps = down(F.pad(maps, (1, 2, 1, 2)))  # as TensorFlow pads what is even: more behind
        for depth, up in enumerate(self.up):
            if depth:
                maps = torch.cat([kept.pop(), maps], dim=1)
            maps = self.up_norm[depth](F.relu(up(maps)[..., :-1, :-1]))
        return torch.sigmoid(self.mask(maps)) * magnitudes


class Spleeter(nn.Module):
    """Mixtures (batch, 2, samples) at 44.1 kHz to their vocals, of the same shape.

    What is longer than ``WINDOW`` is heard in stretches of ``FRAMES`` that know nothing of each other, as the original
    does it.
    """

    def __init__(self, filters: tuple[int, ...]) -> None:
        super().__init__()
        self.filters = filters
        self.vocals, self.accompaniment = UNet(filters), UNet(filters)

    def forward(self, mixtures: Tensor) -> Tensor:
        """See the class."""
        batch, channels, samples = mixtures.shape
        stretches = -(-(samples + FRAME) // (FRAMES * STEP))
        count = stretches * FRAMES
        window = torch.hann_window(FRAME, device=mixtures.device)
        padded = F.pad(mixtures.flatten(0, 1), (FRAME, (count - 1) * STEP - samples))
        spectrum = torch.stft(padded, FRAME, STEP, window=window, center=False, return_complex=True).transpose(1, 2)
        heard = spectrum[..., :BINS].abs().reshape(batch, channels, stretches, FRAMES, BINS)
        mask = self._mask(heard.transpose(1, 2).flatten(0, 1)).reshape(batch, stretches, channels, FRAMES, BINS)
        spectrum[..., :BINS] *= mask.transpose(1, 2).reshape(batch * channels, count, BINS)
        spectrum[..., BINS:] = 0
        frames: Tensor = torch.fft.irfft(spectrum, n=FRAME) * (_OVERLAPPING * window)
        sound = frames.new_zeros(batch * channels, count + FRAME // STEP - 1, STEP)
        for late in range(FRAME // STEP):
            sound[:, late : late + count] += frames[..., late * STEP : (late + 1) * STEP]
        return sound.flatten(1)[:, FRAME : FRAME + samples].reshape(batch, channels, samples)

    def _mask(self, magnitudes: Tensor) -> Tensor:
        """The vocals' share of the energy in each bin; where nobody claims any, a half."""
        vocals, accompaniment = self.vocals(magnitudes).square(), self.accompaniment(magnitudes).square()
        share: Tensor = (vocals + _EPSILON / 2) / (vocals + accompaniment + _EPSILON)
        return share


def network_of(weights: Mapping[str, Tensor]) -> Spleeter:
    """A network with these weights, as wide as they are, for inference.

    Raises:
        ValueError: they are not the weights of such a network.
    """
    try:
        filters = tuple(len(weights[f"vocals.down.{depth}.weight"]) for depth in range(LAYERS))
        with torch.device("meta"):  # widths that do not fit together must not ask for memory
            network = Spleeter(filters)
        network.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    except (LookupError, TypeError, RuntimeError) as error:
        raise ValueError("weights of another network") from error
    return network.eval().requires_grad_(False)
