"""What studios, rooms and codecs do to recordings, drawn at random: a batch at once, where its tensors are.

Own lines, because pedalboard is under GPL-3.0 and torch-audiomentations needs torchaudio.

Order: of the voice speed, pitch, formants, pitch correction, vocoder artefacts, compression, saturation, equaliser,
echo, room; of the band an equaliser; the mix; of the record an equaliser, compression, saturation, band limits, noise,
codec, level. All linear effects take one pass through the spectral domain.

Everything is drawn from a NumPy generator, as many numbers whatever the views hold: a seed gives the same effects on
every device, and no view depends on what another one holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whosings.audio import SAMPLE_RATE
from whosings.sound import batch_effects

Rows = NDArray[np.intp]

_RESPONSE = 8192  # samples of the longest room or echo
_SPEED = 0.7  # semitones; more makes another person
_PITCH = 2.0  # semitones
_FORMANTS = 0.04  # more begins to change who is heard
_KNOTS = 9  # of an equaliser
_OPUS = 0.2  # of coded views: it takes two to four times as long as MP3


@dataclass(frozen=True)
class Chances:
    """Chance of each effect, 0 to 1. Where a record has both a voice and a band, each is drawn for itself."""

    speed: float = 0.25
    """Pitch and formants together, at most 0.7 semitones."""
    pitch: float = 0.1
    """The pitch alone, at most two semitones, in other words sung in another key."""
    formants: float = 0.1
    """At most 4 %."""
    correction: float = 0.003
    """The pitch on semitones; 40 to 100 ms a view on a CPU, and none where pyworld is missing."""
    vocoder: float = 0.03
    """Through 80 mel bands and back."""
    phases: float = 0.03
    """Turned at random."""
    equaliser: float = 0.8
    echo: float = 0.25
    room: float = 0.4
    compression: float = 0.3
    saturation: float = 0.2
    low_cut: float = 0.2
    high_cut: float = 0.3
    noise: float = 0.5
    codec: float = 0.015
    """MP3 or Opus; 20 to 90 ms a view on a CPU."""
    level: float = 0.5


def augment(waves: Tensor, rng: np.random.Generator, chances: Chances | None = None) -> Tensor:
    """Changed copies of recordings, each view drawn for itself: ``produce`` without a band.

    Args:
        waves: float32 (views, channels, samples) at 16 kHz; a peak of about 1 is expected.

    Returns:
        The same shape on the same device; no peak above 1.
    """
    return _chain(waves, None, np.full(len(waves), np.inf), rng, chances or Chances()).waves


def produce(
    voices: Tensor, bands: Tensor, voice_db: Tensor, rng: np.random.Generator, chances: Chances | None = None
) -> Tensor:
    """Voices over bands, as a studio would: the waves of ``record``."""
    return record(voices, bands, voice_db, rng, chances).waves


@dataclass(frozen=True)
class Record:
    """Voices over bands, and what they are made of.

    Attributes:
        waves: (views, channels, samples).
        voice, band: their parts in the mix, before what is done to the whole, alike in shape. A gain, an equaliser or
            a compressor changes both alike, so that their ratio is still that of the record.
    """

    waves: Tensor
    voice: Tensor
    band: Tensor


def record(
    voices: Tensor, bands: Tensor, voice_db: Tensor, rng: np.random.Generator, chances: Chances | None = None
) -> Record:
    """Voices over bands, as a studio would.

    Args:
        voices, bands: float32 (views, channels, samples) at 16 kHz, alike in shape.
        voice_db: (views,): level of what sounds of the voice over what sounds of the band, after the effects on
            each; inf leaves the band out.

    Returns:
        Waves of the same shape on the same device; no peak above 1.

    Raises:
        ValueError: the shapes differ.
    """
    if voices.shape != bands.shape or voice_db.shape != voices.shape[:1]:
        raise ValueError(
            f"expected voices and bands of one shape and a level each, "
            f"got {tuple(voices.shape)}, {tuple(bands.shape)}, {tuple(voice_db.shape)}"
        )
    return _chain(voices, bands, voice_db.cpu().double().numpy(), rng, chances or Chances())


@torch.no_grad()
def _chain(
    voices: Tensor, bands: Tensor | None, voice_db: NDArray[np.float64], rng: np.random.Generator, chances: Chances
) -> Record:
    with torch.autocast(voices.device.type, enabled=False):
        waves = _voice(voices.float().clone(), rng, chances)  # what follows works in place
        voice, band = _mixed(waves, None if bands is None else bands.float(), voice_db, rng, chances)
        waves = _dynamics(voice + band, rng, chances)
        waves = _limited(waves, rng, chances)
        count = len(waves)
        rows, opus, level = _drawn(rng, count, chances.codec), rng.random(count), rng.uniform(0.7, 0.97, count)
        waves = _on(rows, waves, lambda some: batch_effects.codec(some, opus[rows] < _OPUS, level[rows]))
        gain_db = rng.uniform(-20, 3, count) * _mask(_drawn(rng, count, chances.level), count)
        waves *= batch_effects.column(10 ** (gain_db / 20), waves)
        return Record(waves / waves.abs().amax((1, 2), keepdim=True).clamp(min=1.0), voice, band)


def _voice(waves: Tensor, rng: np.random.Generator, chances: Chances) -> Tensor:
    """What a singer and a producer do to the voice alone."""
    count = len(waves)
    speed = 2 ** (rng.uniform(-_SPEED, _SPEED, count) * _mask(_drawn(rng, count, chances.speed), count) / 12)
    pitch = 2 ** (rng.uniform(-_PITCH, _PITCH, count) * _mask(_drawn(rng, count, chances.pitch), count) / 12)
    formants = 1 + rng.uniform(-_FORMANTS, _FORMANTS, count) * _mask(_drawn(rng, count, chances.formants), count)
    rows = np.flatnonzero(speed * pitch != 1)
    waves = _on(rows, waves, lambda some: batch_effects.resampled(some, (speed * pitch)[rows]))
    rows_f = np.flatnonzero(formants / pitch != 1)  # a pitch shift moved the formants, too: they go back
    waves = _on(rows_f, waves, lambda some: batch_effects.formants_shifted(some, (formants / pitch)[rows_f]))
    tuned, seeds = _drawn(rng, count, chances.correction), rng.integers(2**32, size=count)
    if find_spec("pyworld") is not None:
        waves = _on(tuned, waves, lambda some: batch_effects.corrected(some, seeds[tuned]))
    for chance, bands, iterations, most in ((chances.vocoder, 80, 2, 1.0), (chances.phases, 0, 0, 0.5)):
        coded = _drawn(rng, count, chance)
        blur = rng.uniform(0.1, most, count)[coded]
        turns = (
            batch_effects.white(rng, (len(coded), *batch_effects.vocoder_frames(waves.shape[-1])), waves.device)
            / 3**0.5
        )
        again = _resynthesis(turns, blur, bands, iterations)
        waves = _on(coded, waves, again)
    return _dynamics(waves, rng, chances)


def _resynthesis(turns: Tensor, blur: NDArray[np.float64], bands: int, iterations: int) -> Callable[[Tensor], Tensor]:
    return lambda some: batch_effects.resynthesised(some, turns, blur, bands, iterations)


def _dynamics(waves: Tensor, rng: np.random.Generator, chances: Chances) -> Tensor:
    """Compression and saturation."""
    count = len(waves)
    rows, depth, ratio = _drawn(rng, count, chances.compression), rng.uniform(6, 24, count), rng.uniform(1.5, 6, count)
    waves = _on(rows, waves, lambda some: batch_effects.compressed(some, depth[rows], ratio[rows]))
    driven, drive = _drawn(rng, count, chances.saturation), rng.uniform(1, 5, count)
    return _on(driven, waves, lambda some: batch_effects.saturated(some, drive[driven]))


def _mixed(
    voices: Tensor, bands: Tensor | None, voice_db: NDArray[np.float64], rng: np.random.Generator, chances: Chances
) -> tuple[Tensor, Tensor]:
    """Voice and band after the linear effects on them and on the record, each in one pass, at their levels."""
    count, _, samples = voices.shape
    size = batch_effects.fast_length(samples + _RESPONSE)
    voice_knots, band_knots, record_knots = (
        rng.normal(0, deviation, (count, _KNOTS)).cumsum(1)
        * _mask(_drawn(rng, count, chances.equaliser), count)[:, None]
        for deviation in (1.5, 2.5, 1.5)
    )
    spectrum = torch.fft.rfft(voices, size)
    roomy, echoing = (_mask(_drawn(rng, count, chance), count) for chance in (chances.room, chances.echo))
    decay = rng.uniform(0.1 * _RESPONSE, _RESPONSE, count)
    wet, repeat = rng.uniform(0.05, 0.6, count) * roomy, rng.uniform(0.1, 0.5, count) * echoing
    delay = rng.integers(round(0.08 * SAMPLE_RATE), round(0.45 * SAMPLE_RATE), count)
    rows = np.flatnonzero(roomy + echoing)
    tails = batch_effects.white(rng, (len(rows), _RESPONSE), voices.device)
    late = batch_effects.responses(tails, decay[rows], wet[rows], delay[rows], repeat[rows])
    spectrum = _on(rows, spectrum, lambda some: some * torch.fft.rfft(late, size))
    spectrum *= batch_effects.equaliser(voice_knots + record_knots, size, voices)
    both, behind = np.flatnonzero(np.isfinite(voice_db)), torch.zeros_like(voices)
    if bands is not None and both.size:
        index = torch.from_numpy(both).to(voices.device)
        some = bands[index]
        band = torch.fft.rfft(some, size)
        band *= batch_effects.equaliser((band_knots + record_knots)[both], size, voices)
        balance = _loudness(spectrum, voices)[index] / _loudness(band, some).clamp(min=1e-9)
        band *= balance * batch_effects.column(10 ** (-voice_db[both] / 20), voices)
        behind.index_copy_(0, index, torch.fft.irfft(band, size)[..., :samples])
    return torch.fft.irfft(spectrum, size)[..., :samples], behind


def _loudness(spectrum: Tensor, waves: Tensor) -> Tensor:
    """Root of the mean power of what sounds, up to a factor, (views, 1, 1): pauses, 40 dB under the peak, are none."""
    heard = waves[..., ::4].abs()
    sounding = (heard > 0.01 * heard.amax((1, 2), keepdim=True)).float().mean((1, 2), keepdim=True)
    power = torch.linalg.vector_norm(torch.view_as_real(spectrum), dim=(1, 2, 3))[:, None, None]
    loudness: Tensor = power / sounding.clamp(min=1e-6).sqrt()
    return loudness


def _limited(waves: Tensor, rng: np.random.Generator, chances: Chances) -> Tensor:
    """Band limits and noise."""
    count, _, samples = waves.shape
    size = batch_effects.fast_length(samples)
    cut_low, cut_high = (_mask(_drawn(rng, count, c), count) for c in (chances.low_cut, chances.high_cut))
    low = rng.uniform(60, 300, count) * cut_low
    high = np.where(cut_high > 0, rng.uniform(3000, 7500, count), np.inf)
    noisy, slope, noise_db = _drawn(rng, count, chances.noise), rng.uniform(0, 1, count), rng.uniform(-80, -35, count)
    noise = batch_effects.white(rng, (len(noisy), size // 2 + 1, 2), waves.device)
    cut = np.flatnonzero(cut_low + cut_high)
    rows = np.union1d(cut, noisy)
    if not rows.size:
        return waves
    peak = waves.abs().amax((1, 2), keepdim=True)
    spectrum = torch.fft.rfft(waves[torch.from_numpy(rows).to(waves.device)], size)
    limits = batch_effects.band_limits(low[cut], high[cut], size, waves)
    spectrum = _on(np.searchsorted(rows, cut), spectrum, lambda some: some * limits)
    rms = batch_effects.column(10 ** (noise_db[noisy] / 20), waves) * peak[torch.from_numpy(noisy).to(waves.device)]
    hiss = batch_effects.coloured(noise, slope[noisy], rms, size)
    spectrum = _on(np.searchsorted(rows, noisy), spectrum, lambda some: some + hiss)
    return _on(rows, waves, lambda some: torch.fft.irfft(spectrum, size)[..., :samples])


def _drawn(rng: np.random.Generator, count: int, chance: float) -> Rows:
    """Which views get an effect."""
    return np.flatnonzero(rng.random(count) < chance)


def _mask(rows: Rows, count: int) -> NDArray[np.float64]:
    return np.isin(np.arange(count), rows).astype(np.float64)


def _on(rows: Rows, waves: Tensor, effect: Callable[[Tensor], Tensor]) -> Tensor:
    """An effect on some of the views, in place."""
    if rows.size:
        index = torch.from_numpy(rows).to(waves.device)
        waves.index_copy_(0, index, effect(waves[index]))
    return waves
