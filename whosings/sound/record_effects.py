"""What studios do to a voice and to a record, in NumPy: room, echo, saturation, doubling, vocoder, equaliser.

Own lines, because the benchmark is compared by checksums: a library's compiled effects differ in their last bits from
build to build (and the best kept one, pedalboard, is under the GPL). Arrays are float64 (samples,) at 16 kHz; every
effect returns as many samples as it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from whosings.audio import SAMPLE_RATE
from whosings.sound.vocoder import Array

_GRAIN, _STEP = 512, 128  # window and hop of the channel vocoder
_CARRIER_PARTIALS = 40


@dataclass(frozen=True)
class Chain:
    """One record's effects on the voice; at 0 a stage does nothing. Pitch correction is a matter of ``Manner``.

    Attributes:
        drive_db: gain before the saturation.
        double_db: level of a doubled voice against the voice; -inf for none.
        bands: how many bands a channel vocoder has that plays the song's chords.
        echo_db: level of the first echo, half a beat later; -inf for none.
        wet: level of the room, 0 to 1.
        room_s: its decay.
        tilt_db: treble against bass.
    """

    drive_db: float = 0.0
    double_db: float = -np.inf
    bands: int = 0
    echo_db: float = -np.inf
    wet: float = 0.0
    room_s: float = 0.5
    tilt_db: float = 0.0


def apply(chain: Chain, dry: Array, beat_s: float, chords: Sequence[Sequence[int]], rng: np.random.Generator) -> Array:
    """The whole chain.

    Args:
        beat_s: seconds a beat, for the echo.
        chords: MIDI numbers of each bar of four beats, for the vocoder.
    """
    wet = dry
    if chain.bands:
        wet = channel_vocoder(wet, carrier(chords, 4 * beat_s, wet.size), chain.bands)
    if chain.drive_db:
        wet = saturate(wet, chain.drive_db)
    if np.isfinite(chain.double_db):
        wet = doubled(wet, chain.double_db, rng)
    wet = tilted(wet, chain.tilt_db)
    if np.isfinite(chain.echo_db):
        wet = echo(wet, beat_s / 2, chain.echo_db)
    return room(wet, chain.wet, chain.room_s, rng)


def room(dry: Array, wet: float, decay_s: float, rng: np.random.Generator) -> Array:
    """A diffuse room: exponentially decaying noise as impulse response."""
    if wet <= 0:
        return dry
    length = max(1, round(decay_s * SAMPLE_RATE))
    impulse = rng.normal(0, 1, length) * np.exp(-4.0 * np.arange(length) / length)
    impulse /= np.sqrt(np.sum(impulse**2))
    size = 1 << int(np.ceil(np.log2(dry.size + length)))
    reverberation = np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(impulse, size), size)[: dry.size]
    return np.asarray(dry + wet * reverberation)


def echo(dry: Array, delay_s: float, level_db: float) -> Array:
    """Repeats that grow weaker by the same ratio, until 60 dB down."""
    gain, shift = 10 ** (level_db / 20), max(1, round(delay_s * SAMPLE_RATE))
    out, level, at = dry.copy(), gain, shift
    while at < dry.size and level > 1e-3 and gain < 1:
        out[at:] += level * dry[:-at]
        level, at = level * gain, at + shift
    return out


def saturate(dry: Array, drive_db: float) -> Array:
    """A soft clipper, run at twice the rate so that the strongest overtones do not fold back; as loud as before."""
    peak = float(np.abs(dry).max())
    if peak == 0:
        return dry
    spectrum = np.fft.rfft(dry)
    fast = np.fft.irfft(2 * spectrum, 2 * dry.size)
    shaped = np.fft.rfft(np.tanh(fast * (10 ** (drive_db / 20) / peak)))[: spectrum.size]
    out = np.fft.irfft(shaped / 2, dry.size)
    return np.asarray(out * np.sqrt(np.sum(dry**2) / np.sum(out**2)))


def doubled(dry: Array, level_db: float, rng: np.random.Generator) -> Array:
    """A second voice, as by tape: 15 to 35 ms late, its delay wandering by some 2 ms."""
    knots = rng.uniform(0.015, 0.035) + rng.normal(0, 0.002, dry.size // (SAMPLE_RATE // 2) + 2)
    delay = np.interp(np.arange(dry.size), np.arange(knots.size) * (SAMPLE_RATE // 2), knots)
    late = np.interp(np.arange(dry.size) - delay * SAMPLE_RATE, np.arange(dry.size), dry, left=0.0)
    return np.asarray(dry + 10 ** (level_db / 20) * late)


def tilted(dry: Array, tilt_db: float) -> Array:
    """An equaliser: a straight line in dB over octaves, 0 at 1 kHz, ``tilt_db`` from 125 Hz to 8 kHz."""
    if tilt_db == 0:
        return dry
    spectrum = np.fft.rfft(dry)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(dry.size, 1 / SAMPLE_RATE), 60.0) / 1000.0)
    return np.asarray(np.fft.irfft(spectrum * 10 ** (tilt_db / 6 * octaves / 20), dry.size))


def band_passed(dry: Array, low_hz: float, high_hz: float) -> Array:
    """What a poor microphone or tape keeps: outside of two corners 24 dB less an octave."""
    spectrum = np.fft.rfft(dry)
    frequency = np.fft.rfftfreq(dry.size, 1 / SAMPLE_RATE)
    gain = 1 / np.sqrt(1 + (frequency / high_hz) ** 8)
    if low_hz > 0:
        gain /= np.sqrt(1 + (low_hz / np.maximum(frequency, 1.0)) ** 8)
    return np.asarray(np.fft.irfft(spectrum * gain, dry.size))


def channel_vocoder(dry: Array, sound: Array, bands: int) -> Array:
    """The voice's loudness in each of so many bands, imposed on another sound; as loud as the voice."""
    window = np.hanning(_GRAIN + 1)[:-1]
    spectra = [np.fft.rfft(_grains(samples) * window) for samples in (dry, sound)]
    edges = np.unique(np.round(np.geomspace(3, _GRAIN // 2 + 1, bands + 1)).astype(int))
    out = np.zeros_like(spectra[1])
    for low, high in pairwise(edges):
        voice, other = (np.sqrt(np.mean(np.abs(s[:, low:high]) ** 2, axis=1, keepdims=True)) for s in spectra)
        out[:, low:high] = spectra[1][:, low:high] * voice / (other + 1e-9)
    grains = np.fft.irfft(out, _GRAIN) * window
    joined = np.zeros(dry.size + 2 * _GRAIN)
    for place in range(_GRAIN // _STEP):  # every fourth grain side by side, four times over
        part = grains[place :: _GRAIN // _STEP].reshape(-1)
        joined[place * _STEP : place * _STEP + part.size] += part
    joined = joined[_GRAIN // 2 : _GRAIN // 2 + dry.size]
    return np.asarray(joined * np.sqrt(np.sum(dry**2) / (np.sum(joined**2) + 1e-12)))


def carrier(chords: Sequence[Sequence[int]], bar_s: float, samples: int) -> Array:
    """What a channel vocoder speaks with: the chords on sawtooth waves an octave down."""
    out = np.zeros(samples)
    time = np.arange(samples) / SAMPLE_RATE
    for bar, chord in enumerate(chords):
        first, last = (min(samples, round(number * bar_s * SAMPLE_RATE)) for number in (bar, bar + 1))
        for pitch in chord:
            hertz = 440.0 * 2.0 ** ((pitch - 12 - 69) / 12)
            for partial in range(1, min(_CARRIER_PARTIALS, int(7600 / hertz)) + 1):
                out[first:last] += np.sin(2 * np.pi * partial * hertz * time[first:last]) / partial
    return out


def _grains(samples: Array) -> Array:
    """Overlapping windows' content, (grains, _GRAIN), the first centred on the first sample; a multiple of four."""
    step = _GRAIN // _STEP
    count = -(-(samples.size // _STEP + 1) // step) * step
    padded = np.pad(samples, (_GRAIN // 2, count * _STEP + _GRAIN - samples.size))
    return np.lib.stride_tricks.sliding_window_view(padded, _GRAIN)[::_STEP][:count]
