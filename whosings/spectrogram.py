"""Front ends: waveforms to log spectrograms, as torch modules that run where the encoder runs.

Conventions
-----------
- Input: waveforms, float, (batch, channels, samples) at 16 kHz. Output: (batch, channels, mel bins, frames).
- ``LogMel`` (paper, section 4.1): power spectrogram of centred, reflect-padded, Hann-windowed frames; HTK mel filters
  with unit peak; natural log of the mel energy plus ``log_offset``; ``samples // hop`` frames: the last centred frame
  is dropped, so that 6 seconds give 128 x 240.
- ``Filterbank``: Kaldi's, as speaker encoders expect it: frames that lie in the waveform whole, without their mean,
  pre-emphasised, under a Povey window; natural log of mel energies of 16-bit samples, without dither.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whosings.audio import FloatArray
from whosings.config import AnyFrontEnd, FilterbankConfig, FrontEndConfig

_FULL_SCALE = 32768  # of 16-bit samples
_POVEY = 0.85  # power of a Hann window
_LEAST_ENERGY = float(np.finfo(np.float32).eps)


def open_front_end(config: AnyFrontEnd) -> LogMel | Filterbank:
    """The front end that a configuration asks for."""
    return Filterbank(config) if isinstance(config, FilterbankConfig) else LogMel(config)


def conform(samples: FloatArray, config: AnyFrontEnd, repeat: bool = True) -> FloatArray:
    """Bring one segment to what a front end and an encoder expect: (config.channels, config.samples).

    Mono is duplicated or stereo averaged; a long segment is cut, a short one repeated until it is full; the peak is
    scaled to 1 where the configuration says so (a silent segment stays silent).

    Args:
        samples: (1 or 2 channels, any samples > 0).
        repeat: False leaves a short segment as short as it is, for encoders that take any length.

    Raises:
        ValueError: samples without a dimension of channels, or none at all.
    """
    if samples.ndim != 2 or not samples.size:
        raise ValueError(f"a segment of the shape {samples.shape} is not (channels, samples)")
    repeats = -(-config.samples // samples.shape[1]) if repeat else 1
    full = np.tile(in_channels(samples, config.channels), (1, repeats))[:, : config.samples]
    peak = float(np.abs(full).max())
    return full / np.float32(peak) if config.peak_normalise and peak > 0 else full


def in_channels(samples: FloatArray, channels: int) -> FloatArray:
    """(1 or 2 channels, samples) -> (channels, samples): stereo averaged or mono duplicated where they differ."""
    if samples.shape[0] > channels:
        return np.asarray(samples.mean(axis=0, keepdims=True), np.float32)
    return np.tile(samples, (channels // samples.shape[0], 1))


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


class Filterbank(nn.Module):
    """Waveforms (batch, channels, samples) -> Kaldi's log mel filterbank (batch, channels, mel_bins, frames).

    There are 1 + (samples - window) // hop frames; a waveform shorter than a window is filled up with zeros.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, config: FilterbankConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("window", torch.hann_window(config.window, periodic=False) ** _POVEY, persistent=False)
        self.register_buffer("filters", kaldi_filterbank(config), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """See the class. Always computed in float32, as in ``LogMel``."""
        with torch.autocast(waveforms.device.type, enabled=False):
            return self.power(waveforms).clamp(min=_LEAST_ENERGY).log()

    def power(self, waveforms: Tensor) -> Tensor:
        """The same before the logarithm: energies of different sounds at one time nearly add up."""
        size, hop = self.config.window, self.config.hop
        waveforms = F.pad(waveforms.float() * _FULL_SCALE, (0, max(0, size - waveforms.shape[-1])))
        frames = waveforms.unfold(-1, size, hop)
        frames = frames - frames.mean(dim=-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        frames = (frames - self.config.preemphasis * before) * self.window
        spectrum = torch.fft.rfft(frames, 2 * (len(self.filters) - 1))
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.matmul(power, self.filters).transpose(-1, -2)


def kaldi_filterbank(config: FilterbankConfig) -> Tensor:
    """Filters that are triangles in mel (1127 log(1 + f / 700)): (fft_size // 2 + 1, mel_bins).

    The size of the transform is the least power of two that holds a window.
    """
    fft_size = 2 ** math.ceil(math.log2(config.window))
    frequencies = torch.arange(fft_size // 2 + 1, dtype=torch.float64) * config.sample_rate / fft_size
    mel = 1127 * torch.log1p(frequencies / 700)
    low, high = (1127 * math.log1p(edge / 700) for edge in (config.lowest_hz, config.sample_rate / 2))
    width = (high - low) / (config.mel_bins + 1)
    centres = low + width * torch.arange(1, config.mel_bins + 1, dtype=torch.float64)
    filters = (1 - (mel[:, None] - centres).abs() / width).clamp(min=0)
    filters[-1] = 0  # Kaldi leaves out the Nyquist frequency
    return filters.float()
