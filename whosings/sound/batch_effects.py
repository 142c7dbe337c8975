"""Effects on batches of recordings in torch, on the device where they lie; the caller says how much of each.

Conventions
-----------
- Waves are float32 (views, samples) or (views, channels, samples) at 16 kHz and come back in the same shape. All
  channels of a view get the same treatment, and no view depends on another. ``formants_shifted``, ``resynthesised``,
  ``compressed``, ``coloured``, ``codec`` and ``corrected`` take waves with channels only.
- Amounts hold one number a view: NumPy arrays or tensors (views,), or tensors (views, 1).
- Linear effects are also given as factors of spectra, so that several of them take one pass through the Fourier
  transform.
- ``codec`` and ``corrected`` leave torch: they work on the CPU, view by view.
"""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from whosings.audio import SAMPLE_RATE
from whosings.sound.vocoder import analyze, sound
from whosings.spectrogram import htk_filterbank

Array = NDArray[np.float64]
Amounts = NDArray[Any] | Tensor | float

_SILENT = 1e-9
_QUIET = 1e-3  # a peak under which nothing is made louder
_LOWEST_HZ = 60.0  # first knot of an equaliser
_FRAME, _HOP = 512, 256  # windows of the formant shift
_ORDER = 18  # of linear prediction: eight formants and the slope
_LAG_WINDOW_HZ = 40.0  # widens resonances, so that they do not stand on single harmonics
_MOST_GAIN = 10.0  # 20 dB
_VOCODER_FRAME, _VOCODER_HOP = 1024, 256
_FOLLOWER, _FOLLOWER_HOP = 512, 128  # 32 ms
_MP3_DELAY = 1105  # samples of encoder and decoder, where a low bit rate leaves no room for the header that says so


def column(amounts: Amounts, like: Tensor) -> Tensor:
    """Amounts of each view on the device of ``like``, in a shape that multiplies it: (views, 1) or (views, 1, 1)."""
    given = torch.as_tensor(amounts, dtype=torch.float32, device=like.device)
    return given.reshape(-1, *[1] * (like.dim() - 1))


def white(rng: np.random.Generator, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """White noise of variance 1, evenly distributed; a byte a sample, which is drawn and sent fast."""
    raw = np.frombuffer(rng.bytes(int(np.prod(shape))), np.int8).reshape(shape)
    return (torch.from_numpy(raw.copy()).to(device).float() + 0.5) / float(np.sqrt((256**2 - 1) / 12))


def fast_length(samples: float) -> int:
    """The next even length without a prime factor above 5: others transform slowly."""
    lengths: list[int] = [2 * 2**a * 3**b * 5**c for a in range(22) for b in range(10) for c in range(8)]
    return min(length for length in lengths if length >= samples)


def amplitude(gain_db: Tensor) -> Tensor:
    """Convert dB to factors."""
    return torch.exp(gain_db * (math.log(10.0) / 20.0))


def level(waves: Tensor) -> Tensor:
    """Root of the mean power of each view, in a shape that multiplies the waves, never 0."""
    return waves.square().mean(_all_but_views(waves), keepdim=True).sqrt().clamp(min=_SILENT)


def peak_normalised(waves: Tensor) -> Tensor:
    """Waves with a peak of 1; what is nearly silent is not made loud."""
    return waves / _peak(waves).clamp(min=_QUIET)


def equaliser(knots_db: Array | Tensor, size: int, like: Tensor) -> Tensor:
    """Factors of an FFT of ``size``, (views, bins) or (views, 1, bins) as ``like`` has channels or not.

    Args:
        knots_db: (views, knots): dB at frequencies evenly spaced in octaves from 60 Hz to 8 kHz; straight in between.
    """
    knots = torch.as_tensor(knots_db, dtype=torch.float32, device=like.device)
    last = knots.shape[1] - 1
    hertz = torch.fft.rfftfreq(size, 1 / SAMPLE_RATE, device=like.device).clamp(min=_LOWEST_HZ)
    place = torch.log(hertz / _LOWEST_HZ) * (last / math.log(SAMPLE_RATE / 2 / _LOWEST_HZ))
    tents = (1 - (place - torch.arange(last + 1, device=like.device)[:, None]).abs()).clamp(min=0)
    factors: Tensor = amplitude(knots @ tents).reshape(len(knots), *[1] * (like.dim() - 2), -1)
    return factors


def reverberation(tails: Tensor, decay: Amounts, wet: Amounts, late: Amounts = 0.0) -> Tensor:
    """What a room adds to the direct sound: noise that decays exponentially, (views, samples).

    Args:
        tails: noise, (views, samples).
        decay: samples until it is 60 dB down; it ends there.
        wet: amplitude of all of it against the direct sound; 0 for no room.
        late: samples before the first reflection.
    """
    place, length = torch.arange(tails.shape[1], device=tails.device)[None], column(decay, tails)
    shaped = tails * torch.exp(-6.9 * place / length) * (place < length) * (place >= column(late, tails))
    return shaped * column(wet, tails) / shaped.square().sum(1, keepdim=True).sqrt().clamp(min=_SILENT)


def echo(delay: Amounts, gain: Amounts, size: int, like: Tensor) -> Tensor:
    """What one echo adds, as complex factors of an FFT of ``size``, (views, bins) or (views, 1, bins).

    Args:
        delay: whole samples until the sound comes again.
        gain: its amplitude.
    """
    turns = torch.arange(size // 2 + 1, device=like.device) * (column(delay, like) / size)
    return torch.polar(column(gain, like).expand_as(turns), -2 * math.pi * turns)


def responses(tails: Tensor, decay: Amounts, wet: Amounts, delay: Amounts, repeat: Amounts) -> Tensor:
    """Impulse responses of rooms and echoes, (views, 1, samples), the direct sound first.

    Args:
        tails, decay, wet: as for ``reverberation``.
        delay, repeat: samples to the first echo and its amplitude; each one after is weaker by the same ratio.
    """
    place = torch.arange(tails.shape[1], device=tails.device)[None]
    late = column(delay, tails).clamp(min=1)
    order = torch.div(place, late, rounding_mode="floor")
    repeats = torch.where(place == order * late, column(repeat, tails) ** order, torch.zeros_like(tails))
    direct_first = torch.where(place == 0, torch.ones_like(repeats), repeats)
    return (reverberation(tails, decay, wet) + direct_first)[:, None]


def stretched(waves: Tensor, samples: int) -> Tensor:
    """Waves brought to so many samples through the Fourier transform, band-limited; pitch and formants move along."""
    if waves.shape[-1] == samples:
        return waves
    spectrum = torch.fft.rfft(waves)[..., : samples // 2 + 1]
    found: Tensor = torch.fft.irfft(spectrum, samples) * (samples / waves.shape[-1])
    return found


def resampled(waves: Tensor, ratio: Array) -> Tensor:
    """Faster by ``ratio``, pitch and formants with it; what is missing at the end begins again, what is over is cut.

    The ratio is rounded to half a per cent, for lengths that transform fast.
    """
    samples, step = waves.shape[-1], max(1, waves.shape[-1] // 200)
    out = torch.empty_like(waves)
    for view, length in enumerate(np.round(samples / ratio / step).astype(int) * step):
        short = stretched(waves[view], int(length))
        out[view] = short.repeat(*[1] * (short.dim() - 1), -(-samples // int(length)))[..., :samples]
    return out


def formants_shifted(waves: Tensor, factor: Array) -> Tensor:
    """Formants multiplied by ``factor``, the pitch kept: frame by frame, linear prediction's envelope is stretched.

    (A cepstrally smoothed envelope is too round: it moves peaks less than half as far as it should.)
    """
    flat, window = waves.flatten(0, 1), torch.hann_window(_FRAME, device=waves.device).sqrt()
    spectrum = torch.stft(flat, _FRAME, _HOP, window=window, pad_mode="constant", return_complex=True)
    power = (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)
    predictor = _predictor(torch.fft.irfft(power)[..., : _ORDER + 1])
    bins = torch.arange(_FRAME // 2 + 1, device=waves.device, dtype=torch.float32)
    lag = torch.arange(_ORDER + 1, device=waves.device, dtype=torch.float32) * (2 * torch.pi / _FRAME)
    source = (bins / column(factor, bins[None])).clamp(max=_FRAME // 2).repeat_interleave(waves.shape[1], 0)
    here = _inverse_power(predictor, lag[:, None] * bins)
    there = _inverse_power(predictor, lag[:, None] * source[:, None])
    gain = (here / there.clamp(min=_SILENT)).sqrt().clamp(1 / _MOST_GAIN, _MOST_GAIN).transpose(1, 2)
    out = torch.istft(spectrum * gain, _FRAME, _HOP, window=window, length=waves.shape[-1])
    return out.reshape(waves.shape)


def resynthesised(waves: Tensor, turns: Tensor, blur: Array, bands: int = 0, iterations: int = 0) -> Tensor:
    """What neural and phase vocoders do to a sound: magnitudes through mel bands, phases that are not its own.

    Args:
        turns: noise between -1 and 1, (views, 513, samples // 256 + 1).
        blur: how far phases are turned by it before the first iteration, in half turns.
        bands: mel bands that magnitudes go through; 0 leaves them alone.
        iterations: how often phases are estimated anew, as by Griffin and Lim (1984).
    """
    flat, window = waves.flatten(0, 1), torch.hann_window(_VOCODER_FRAME, device=waves.device)
    spectrum = torch.stft(flat, _VOCODER_FRAME, _VOCODER_HOP, window=window, pad_mode="constant", return_complex=True)
    magnitude = spectrum.abs()
    turned = (turns * column(blur * np.pi, turns)).repeat_interleave(waves.shape[1], 0)
    phase = spectrum / magnitude.clamp(min=_SILENT) * torch.polar(torch.ones_like(turned), turned)
    if bands:
        filters = htk_filterbank(_VOCODER_FRAME, bands, SAMPLE_RATE).to(waves.device)
        across = filters / filters.sum(0, keepdim=True).clamp(min=_SILENT)
        back = filters / filters.sum(1, keepdim=True).clamp(min=_SILENT)
        magnitude = (back @ (across.T @ magnitude.square())).sqrt()
    for _ in range(iterations):
        heard = torch.istft(magnitude * phase, _VOCODER_FRAME, _VOCODER_HOP, window=window, length=waves.shape[-1])
        again = torch.stft(heard, _VOCODER_FRAME, _VOCODER_HOP, window=window, pad_mode="constant", return_complex=True)
        phase = again / again.abs().clamp(min=_SILENT)
    out = torch.istft(magnitude * phase, _VOCODER_FRAME, _VOCODER_HOP, window=window, length=waves.shape[-1])
    return out.reshape(waves.shape)


def vocoder_frames(samples: int) -> tuple[int, int]:
    """Shape of ``turns`` of one view."""
    return _VOCODER_FRAME // 2 + 1, samples // _VOCODER_HOP + 1


def compressed(waves: Tensor, depth_db: Array, ratio: Array) -> Tensor:
    """Dynamic range compression; the peak stays.

    Args:
        depth_db: threshold below the loudest 32 ms.
        ratio: input dB above the threshold for one dB of output, at least 1.
    """
    power = waves.square().mean(1, keepdim=True)
    followed = F.avg_pool1d(power, _FOLLOWER, _FOLLOWER_HOP, _FOLLOWER // 2)
    level_db = 10 * torch.log10(followed + _SILENT**2)
    threshold = level_db.amax(2, keepdim=True) - column(depth_db, waves)
    gain = amplitude(-(level_db - threshold).clamp(min=0) * column(1 - 1 / ratio, waves))
    return _with_peak_of(waves * F.interpolate(gain, waves.shape[-1], mode="linear", align_corners=True), waves)


def saturated(waves: Tensor, drive: Amounts) -> Tensor:
    """A soft clipper, driven by the peak times ``drive``; the peak stays."""
    peak = _peak(waves).clamp(min=_SILENT)
    amount = column(drive, waves)
    return torch.tanh(waves * (amount / peak)) * (peak / torch.tanh(amount))


def band_limits(low_hz: Amounts, high_hz: Amounts, size: int, like: Tensor) -> Tensor:
    """Gains of a high pass of second order and a low pass of sixteenth, (views, 1, bins); 0 and inf leave all."""
    hertz = torch.fft.rfftfreq(size, 1 / SAMPLE_RATE, device=like.device)
    below = (column(low_hz, like) / hertz.clamp(min=1.0)) ** 4
    above = (hertz / column(high_hz, like)) ** 32
    gains: Tensor = ((1 + below) * (1 + above)).rsqrt()
    return gains


def low_passed(waves: Tensor, edge_hz: Amounts) -> Tensor:
    """Waves without anything above ``edge_hz``."""
    spectrum = torch.fft.rfft(waves)
    hertz = torch.fft.rfftfreq(waves.shape[-1], 1 / SAMPLE_RATE, device=waves.device)
    passed: Tensor = torch.fft.irfft(spectrum * (hertz < column(edge_hz, waves)), waves.shape[-1])
    return passed


def paused(waves: Tensor, share: Tensor, at_the_beginning: Tensor) -> Tensor:
    """Waves that are silent for a share of their length, at the beginning or at the end."""
    place = torch.linspace(0, 1, waves.shape[-1], device=waves.device)
    return waves.masked_fill(torch.where(at_the_beginning, place < share, place > 1 - share), 0.0)


def coloured(noise: Tensor, slope: Array, rms: Tensor, size: int) -> Tensor:
    """Spectra of noise, (views, 1, bins) complex, that an inverse FFT of ``size`` turns to sound.

    Args:
        noise: white, (views, bins, 2).
        slope: 0 white, 1 pink (3 dB an octave).
        rms: level of the sound, (views, 1, 1).
    """
    place = torch.arange(noise.shape[1], device=noise.device, dtype=torch.float32).clamp(min=1.0)
    spectrum = torch.view_as_complex(noise)[:, None] * torch.exp(-0.5 * column(slope, noise) * torch.log(place))
    spectrum[..., 0] = 0
    power = 2 * torch.view_as_real(spectrum).square().sum((2, 3))[..., None] / size**2
    return spectrum * (rms / power.sqrt())


def codec(waves: Tensor, opus: NDArray[np.bool_], level: Array) -> Tensor:
    """Through real encoders in memory, MP3 or Opus, sample-accurate; unchanged where libsndfile has no such encoder.

    Args:
        level: libsndfile's compression level, 0 to 1: 0.7 is some 60 kbit/s (MP3) and 80 (Opus), 0.95 16 and 20.
    """
    out = [_coded(wave, bool(o), float(c)) for wave, o, c in zip(waves.cpu().numpy(), opus, level, strict=True)]
    return torch.from_numpy(np.stack(out)).to(waves.device)


def corrected(waves: Tensor, seeds: NDArray[np.int64]) -> Tensor:
    """Voices alone whose pitch jumps to the next semitone, by WORLD; all channels become one. Needs pyworld."""
    out = waves.clone()
    for view, seed in enumerate(seeds):
        mono = waves[view].mean(0).cpu().numpy()
        frames = analyze(mono)
        semitones = 12 * np.log2(np.where(frames.voiced, frames.f0, 440.0) / 440.0)
        tuned = replace(frames, f0=np.where(frames.voiced, 440.0 * 2 ** (np.round(semitones) / 12), 0.0))
        sung = torch.from_numpy(sound(tuned, np.random.default_rng(int(seed)))[: mono.size]).to(waves.device)
        out[view] = _with_peak_of(sung[None, None], waves[view : view + 1])[0]
    return out


def _coded(wave: NDArray[np.float32], opus: bool, level: float) -> NDArray[np.float32]:
    file = io.BytesIO()
    kind: dict[str, str] = {"format": "OGG", "subtype": "OPUS"}
    if not opus:
        kind = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
    peak = max(1.0, float(np.abs(wave).max()))
    try:
        soundfile.write(file, wave.T / peak, SAMPLE_RATE, compression_level=level, **kind)
        file.seek(0)
        heard, _ = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, ValueError, TypeError):  # an older libsndfile
        return wave
    late = _MP3_DELAY if not opus and len(heard) >= wave.shape[1] + _MP3_DELAY else 0
    heard = heard[late : late + wave.shape[1]]
    return np.asarray(np.pad(heard, ((0, wave.shape[1] - len(heard)), (0, 0))).T * peak, np.float32)


def _predictor(correlation: Tensor) -> Tensor:
    """Levinson and Durbin's recursion on (..., order + 1) autocorrelations: coefficients, the first of them 1."""
    order = correlation.shape[-1] - 1
    place = torch.arange(order + 1, device=correlation.device, dtype=torch.float32)
    window = torch.exp(-0.5 * (2 * torch.pi * _LAG_WINDOW_HZ / SAMPLE_RATE * place).square())
    window[0] = 1.0 + 1e-5  # a floor 50 dB down, for silence and for what band limits took away
    r = correlation * window
    r[..., 0] += _SILENT
    a = torch.zeros_like(r)
    a[..., 0] = 1.0
    error = r[..., :1]
    for step in range(1, order + 1):
        backward = a[..., :step].flip(-1)
        reflection = -(backward * r[..., 1 : step + 1]).sum(-1, keepdim=True) / error
        a[..., 1 : step + 1] += reflection * backward
        error = error * (1 - reflection.square()).clamp(min=_SILENT)
    return a


def _inverse_power(predictor: Tensor, turns: Tensor) -> Tensor:
    """Squared magnitude of the prediction filter: (views, frames, order + 1) and (order + 1, bins) of each view."""
    return (predictor @ torch.cos(turns)).square() + (predictor @ torch.sin(turns)).square()


def _all_but_views(waves: Tensor) -> tuple[int, ...]:
    return tuple(range(1, waves.dim()))


def _peak(waves: Tensor) -> Tensor:
    """Largest sample of each view, dimensions kept."""
    return waves.abs().amax(_all_but_views(waves), keepdim=True)


def _with_peak_of(waves: Tensor, model: Tensor) -> Tensor:
    return waves * (_peak(model) / _peak(waves).clamp(min=_SILENT))
