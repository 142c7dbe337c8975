"""How much of each bin of a spectrum is voice, as the mask of an encoder says: for whatever listens to the voice alone.

Conventions
-----------
- Waves are float32 (batch, samples) at 16 kHz. What the mask says is the natural logarithm of a share of power, from -8
  (35 dB down) to 0, float32 (batch, bands, frames), a frame every 10 ms.
- A spectrum is centred, ``FFT`` samples every ``HOP``: its frame n has its middle where the mask's frame n - 1 has its.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property

import torch
from torch import Tensor

from whosings.config import FilterbankConfig
from whosings.devices import has_bf16
from whosings.encoder.checkpoint import DEFAULT, load_checkpoint
from whosings.encoder.masking import VoiceMask
from whosings.spectrogram import Filterbank, kaldi_filterbank

FFT, HOP = 512, 160


class VoiceShare:
    """Waves -> what of them is voice. The mask is read when it is first needed.

    Args:
        name: an encoder whose front end is a filterbank and which has a mask.
    """

    def __init__(self, name: str = DEFAULT) -> None:
        self._name = name

    @torch.inference_mode()
    def __call__(self, waves: Tensor) -> Tensor:
        """See the module's text.

        Raises:
            CheckpointError: the encoder's file is missing or damaged.
        """
        mask, front_end = self._ready
        loudest = waves.abs().amax(dim=1, keepdim=True).clamp(min=1e-6)  # as loud as what the mask learned from
        said: Tensor = mask(front_end((waves / loudest)[:, None])).log_share[:, 0]
        return said

    @torch.inference_mode()
    def alone(self, waves: Tensor) -> Tensor:
        """What is left of waves where the mask's shares are taken as gains of power: the same shape."""
        window = torch.hann_window(FFT)
        spectrum = torch.stft(waves, FFT, HOP, window=window, center=True, return_complex=True)
        share = on_spectrum(self(waves), spectrum.shape[-1])
        return torch.istft(spectrum * torch.exp(share / 2), FFT, HOP, window=window, length=waves.shape[-1])

    @cached_property
    def _ready(self) -> tuple[VoiceMask, Filterbank]:
        checkpoint = load_checkpoint(self._name)
        mask, config = checkpoint.encoder.mask, checkpoint.config.front_end
        assert isinstance(mask, VoiceMask)
        assert isinstance(config, FilterbankConfig)
        if has_bf16(torch.device("cpu")):
            mask = deepcopy(mask).bfloat16()
        return mask, Filterbank(config)


def on_spectrum(share: Tensor, frames: int) -> Tensor:
    """Shares by bands -> by the bins and frames of a centred spectrum: (batch, ``FFT`` // 2 + 1, frames)."""
    bins = torch.einsum("fb,nbt->nft", _bands_of_bins(share.shape[1]), share)
    return bins[..., (torch.arange(frames) - 1).clamp(0, share.shape[-1] - 1)]


def _bands_of_bins(bands: int) -> Tensor:
    """What each bin takes from each band, (bins, bands): rows sum to 1; what no filter covers follows its neighbour."""
    config = FilterbankConfig(mel_bins=bands)
    filters = kaldi_filterbank(config)
    covered = torch.nonzero(filters.sum(dim=1))[:, 0]
    places = torch.arange(len(filters)).clamp(int(covered[0]), int(covered[-1]))
    found = filters[places]
    return found / found.sum(dim=1, keepdim=True)
