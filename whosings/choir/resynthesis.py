"""Ways of resynthesising a voice: what the second opinion learns to hear, and what it is measured on.

Each takes a ``Take``, float32 (samples,) at 16 kHz, and returns float32 of about that length, but ``sung`` and
``sung_clone``, which keep no time. They may raise ``TooShortError`` where there is too little voice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import soxr
import torch

from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.choir import conversion
from whosings.choir.from_speech import draw_style, sing_speech
from whosings.sound.batch_effects import resynthesised, vocoder_frames
from whosings.sound.record_effects import carrier, channel_vocoder
from whosings.sound.vocoder import Frames, analyze, sound
from whosings.spectrogram import htk_filterbank
from whosings.training.opinion_bank import Kind, Process, Take


def world(take: Take, rng: np.random.Generator) -> FloatArray:
    """Analyse and synthesise a voice, nothing else: by WORLD itself or with the choir's synthesis."""
    return _synthesised(analyze(take.samples), rng)


def tuned(take: Take, rng: np.random.Generator) -> FloatArray:
    """Draw the pitch to semitones, and perhaps transpose it."""
    frames = analyze(take.samples)
    voiced = frames.f0 > 0
    pitch = 69 + 12 * np.log2(np.where(voiced, frames.f0, 440) / 440)
    pitch += rng.uniform(0.5, 1) * (np.round(pitch) - pitch) + rng.integers(-4, 5)
    return _synthesised(replace(frames, f0=np.where(voiced, 440 * 2 ** ((pitch - 69) / 12), 0.0)), rng)


def sung(take: Take, rng: np.random.Generator) -> FloatArray:
    """Turn speech into singing; see ``whosings.choir.from_speech``."""
    return sing_speech(take.samples, draw_style(rng), rng)


def converted(method: str) -> Process:
    """Give the voice the timbre of the other speaker, by one of ``whosings.choir.conversion.METHODS``."""

    def convert(take: Take, rng: np.random.Generator) -> FloatArray:
        target = conversion.gather([analyze(take.other)], "the target")
        return sound(conversion.METHODS[method](analyze(take.samples), target), rng)

    return convert


def sung_clone(take: Take, rng: np.random.Generator) -> FloatArray:
    """Turn speech into singing, and give that the timbre of the other speaker: how a choir's clones come about."""
    performance = Take(sung(take, rng), take.other)
    return converted(str(rng.choice(list(conversion.METHODS))))(performance, rng)


def griffin_lim(take: Take, rng: np.random.Generator) -> FloatArray:
    """Go through 80 mel bands, and find phases from nothing by 16 to 47 rounds of Griffin-Lim."""
    return _from_mel(take.samples, int(rng.integers(16, 48)))


def random_phase(take: Take, rng: np.random.Generator) -> FloatArray:
    """Go through 80 mel bands, and take phases at random or by at most two rounds of Griffin-Lim."""
    return _from_mel(take.samples, int(rng.integers(0, 3)))


def own_phases(take: Take, rng: np.random.Generator) -> FloatArray:
    """Go through mel bands at a common rate, and keep the phases but for an error, as good neural vocoders do."""
    rate = int(rng.choice([16_000, 22_050, 24_000]))
    wave = torch.from_numpy(soxr.resample(take.samples, SAMPLE_RATE, rate))[None, None]
    turns = torch.from_numpy(rng.uniform(-1, 1, (1, *vocoder_frames(wave.shape[-1])))).float()
    blur, bands, rounds = rng.uniform(0.02, 0.4, 1), int(rng.choice([64, 80, 100, 128])), int(rng.integers(0, 3))
    made = soxr.resample(resynthesised(wave, turns, blur, bands, rounds)[0, 0].numpy(), rate, SAMPLE_RATE)
    return np.asarray(made, np.float32)


def phase_vocoder(take: Take, rng: np.random.Generator) -> FloatArray:
    """Stretch in the spectral domain (Flanagan and Golden, 1966), and mostly go back to the length: transposed."""
    size = int(rng.choice([512, 1024, 2048]))
    hop = size // 4
    window, rate = torch.hann_window(size), float(2 ** (rng.choice([-1, 1]) * rng.uniform(0.8, 5) / 12))
    spectrum = torch.stft(torch.from_numpy(take.samples), size, hop, window=window, return_complex=True)
    places = torch.arange(0, spectrum.shape[1] - 2, rate)
    low = places.long()
    part = (places - low)[None]
    magnitude = (1 - part) * spectrum[:, low].abs() + part * spectrum[:, low + 1].abs()
    expected = 2 * math.pi * hop / size * torch.arange(size // 2 + 1)[:, None]
    turn = spectrum[:, low + 1].angle() - spectrum[:, low].angle() - expected
    turn = turn - 2 * math.pi * torch.round(turn / (2 * math.pi)) + expected
    phase = torch.cumsum(torch.cat([spectrum[:, :1].angle(), turn[:, :-1]], dim=1), dim=1)
    made: FloatArray = torch.istft(torch.polar(magnitude, phase), size, hop, window=window).numpy()
    return soxr.resample(made, SAMPLE_RATE, SAMPLE_RATE * rate) if rng.random() < 0.75 else made


def studio_vocoder(take: Take, rng: np.random.Generator) -> FloatArray:
    """Impose the voice's bands on chords, or on noise: a channel vocoder."""
    dry = take.samples.astype(np.float64)
    root = rng.integers(50, 66, 8)
    chords = [[int(r), int(r) + int(rng.choice([3, 4])), int(r) + 7] for r in root]
    other = rng.standard_normal(dry.size) if rng.random() < 0.3 else carrier(chords, 1.5, dry.size)
    return np.asarray(channel_vocoder(dry, other, int(rng.integers(12, 40))), np.float32)


def linear_prediction(take: Take, rng: np.random.Generator) -> FloatArray:
    """Send pulses or noise through an all-pole filter, as in LPC-10."""
    size, hop, order = 512, 128, int(rng.integers(12, 22))
    f0 = np.repeat(analyze(take.samples).f0, SAMPLE_RATE // 100)[: take.samples.size]
    wave = take.samples[: f0.size].astype(np.float64)
    phase = np.cumsum(f0 / SAMPLE_RATE)
    pulses = np.diff(np.floor(phase), prepend=0.0) * np.sqrt(SAMPLE_RATE / np.maximum(f0, 50))
    source = np.where(f0 > 0, pulses, rng.standard_normal(f0.size))
    window, out = np.hanning(size + 1)[:-1], np.zeros(wave.size)
    for first in range(0, wave.size - size, hop):
        frame = wave[first : first + size] * window
        lags = np.fft.irfft(np.abs(np.fft.rfft(frame, 2 * size)) ** 2)[: order + 1]
        lags[0] = lags[0] * 1.0001 + 1e-9
        rows = lags[np.abs(np.subtract.outer(np.arange(order), np.arange(order)))]
        all_pole = np.concatenate([[1.0], -np.linalg.solve(rows, lags[1:])])
        shaped = np.fft.rfft(source[first : first + size] * window, 2 * size) / np.fft.rfft(all_pole, 2 * size)
        made = np.fft.irfft(shaped)[:size] * window
        out[first : first + size] += made * np.sqrt(np.sum(frame**2) / (np.sum(made**2) + 1e-9))
    return out.astype(np.float32)


KINDS: Mapping[str, Kind] = {
    "WORLD": Kind(0.1, world),
    "WORLD, pitch corrected": Kind(0.1, tuned),
    "WORLD, sung": Kind(0.07, sung),
    "conversion, of singing": Kind(0.1, sung_clone),
    "conversion, neighbours": Kind(0.1, converted("neighbours")),
    "conversion, statistics": Kind(0.08, converted("statistics")),
    "conversion, degraded": Kind(0.06, converted("degraded")),
    "Griffin-Lim of 80 mels": Kind(0.1, griffin_lim),
    "80 mels, random phase": Kind(0.05, random_phase),
    "mels, own phases": Kind(0.1, own_phases),
    "phase vocoder": Kind(0.09, phase_vocoder),
    "channel vocoder": Kind(0.05, studio_vocoder),
    "linear prediction": Kind(0.0, linear_prediction),
}
"""Ways of processing a voice, and how often each is drawn for training; what is never drawn is held out."""


def _synthesised(frames: Frames, rng: np.random.Generator) -> FloatArray:
    if rng.random() < 0.5:
        return sound(frames, rng)
    import pyworld

    f0, envelope, aperiodicity = (np.ascontiguousarray(a) for a in (frames.f0, frames.envelope, frames.aperiodicity))
    return np.asarray(pyworld.synthesize(f0, envelope, aperiodicity, SAMPLE_RATE, 10.0), np.float32)


def _from_mel(samples: FloatArray, rounds: int) -> FloatArray:
    """80 mel bands, and phases from nothing by so many rounds of fast Griffin-Lim (Perraudin et al., 2013)."""
    size, hop = 1024, 256
    window, filters = torch.hann_window(size), htk_filterbank(size, 80, SAMPLE_RATE)
    wave = torch.from_numpy(samples)
    mel = torch.stft(wave, size, hop, window=window, return_complex=True).abs().T @ filters
    magnitude = (mel @ torch.linalg.pinv(filters)).clamp(min=1e-6).T
    generator = torch.Generator().manual_seed(samples.size)
    phase = torch.polar(torch.ones_like(magnitude), 2 * math.pi * torch.rand(magnitude.shape, generator=generator))
    before = torch.zeros_like(phase)
    for _ in range(rounds):
        made = torch.istft(magnitude * phase, size, hop, window=window, length=wave.numel())
        again = torch.stft(made, size, hop, window=window, return_complex=True)
        ahead = again + 0.99 * (again - before)
        phase, before = ahead / (ahead.abs() + 1e-9), again
    found: FloatArray = torch.istft(magnitude * phase, size, hop, window=window, length=wave.numel()).numpy()
    return found
