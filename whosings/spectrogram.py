"""Log-mel front end: a torch module that runs where the encoder runs (paper, section 4.1).

Conventions
-----------
- Input: waveforms, float, (batch, channels, samples) at 16 kHz.
- Power spectrogram of centred, reflect-padded, Hann-windowed frames; HTK mel filters with unit peak; natural log of the
  mel energy plus ``log_offset``.
- Output: (batch, channels, mel bins, frames) with ``samples // hop`` frames: the last centred frame is dropped, so
  that 6 seconds give 128 x 240.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from whosings.audio import FloatArray
from whosings.config import FrontEndConfig


def conform(samples: FloatArray, config: FrontEndConfig) -> FloatArray:
    """Bring one segment to what ``LogMel`` and an encoder expect: (config.channels, config.samples).

    Mono is duplicated or stereo averaged; a long segment is cut, a short one repeated until it is full; the peak is
    scaled to 1 where the configuration says so (a silent segment stays silent).

    Args:
        samples: (1 or 2 channels, any samples > 0).
    """
    if samples.shape[0] > config.channels:
        samples = samples.mean(axis=0, keepdims=True, dtype=np.float32)
    repeats = -(-config.samples // samples.shape[1])
    full = np.tile(samples, (config.channels // samples.shape[0], repeats))[:, : config.samples]
    peak = float(np.abs(full).max())
    return full / np.float32(peak) if config.peak_normalise and peak > 0 else full


def htk_filterbank(fft_size: int, mel_bins: int, sample_rate: int) -> Tensor:
    """Triangular HTK mel filters from 0 Hz to Nyquist with unit peaks: (fft_size // 2 + 1, mel_bins)."""
    nyquist = sample_rate / 2
    frequencies = torch.linspace(0, nyquist, fft_size // 2 + 1)
    top = 2595.0 * torch.log10(torch.tensor(1.0 + nyquist / 700.0))
    edges = 700.0 * (10.0 ** (torch.linspace(0, float(top), mel_bins + 2) / 2595.0) - 1.0)
    slopes = edges.unsqueeze(0) - frequencies.unsqueeze(1)
    widths = edges.diff()
    rising = -slopes[:, :-2] / widths[:-1]
    falling = slopes[:, 2:] / widths[1:]
    return torch.minimum(rising, falling).clamp(min=0)


class LogMel(nn.Module):
    """Waveforms (batch, channels, samples) -> log-mel spectrograms (batch, channels, mel_bins, samples // hop)."""

    window: Tensor
    filters: Tensor

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("window", torch.hann_window(config.fft_size), persistent=False)
        filters = htk_filterbank(config.fft_size, config.mel_bins, config.sample_rate)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """See the class. Always computed in float32: the log of small energies does not survive half precision."""
        with torch.autocast(waveforms.device.type, enabled=False):
            batch, channels, samples = waveforms.shape
            spectrum = torch.stft(
                waveforms.reshape(batch * channels, samples).float(),
                n_fft=self.config.fft_size,
                hop_length=self.config.hop,
                window=self.window,
                center=True,
                pad_mode="reflect",
                return_complex=True,
            )
            power = spectrum.real.square() + spectrum.imag.square()
            frames = samples // self.config.hop
            mel = torch.matmul(power[..., :frames].transpose(-1, -2), self.filters).transpose(-1, -2)
            log_mel = torch.log(mel + self.config.log_offset)
            return log_mel.reshape(batch, channels, self.config.mel_bins, frames)
