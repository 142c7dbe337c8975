"""Parametric singers: a source-filter voice in NumPy, unlimited identities from seeds.

The source is a band-limited glottal pulse train with a voice's own tilt, jitter, vibrato and breath; the filter is a
bank of formants scaled by the length of a vocal tract, with a voice's own deviations for each vowel, a fixed colouring
of the upper spectrum, and consonants. Enough to tell voices apart and to run everything without data; no substitute for
real singing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.choir.score import CONSONANTS, VOWELS, Note, Score

Array = NDArray[np.float64]

_HOP, _FRAME = 160, 640
# Formants of an adult of average tract length, Hz; rows follow VOWELS.
_FORMANTS = np.array(
    [
        [750, 1250, 2600, 3500, 4500],
        [480, 1900, 2550, 3550, 4550],
        [310, 2250, 2950, 3650, 4600],
        [480, 850, 2500, 3450, 4450],
        [340, 780, 2350, 3400, 4450],
    ],
    dtype=np.float64,
)
_NASAL = np.array([270, 1050, 2200, 3300, 4400], dtype=np.float64)
_NASALS, _FRICATIVES, _STOPS = "nml", "sf", "td"


@dataclass(frozen=True)
class Voice:
    """One singer's voice.

    Attributes:
        centre: comfortable pitch, MIDI number.
        formants: Hz, (vowels, 5).
        nasal: Hz, (5,).
        bandwidths: Hz, (5,).
        gains: dB of each formant, (5,).
        colour: dB added to the envelope at 17 points from 0 to 8 kHz.
        tilt: dB an octave of the glottal source.
        breath: level of aspiration noise against the source.
        jitter: relative deviation from period to period.
        vibrato_hz, vibrato_cents, vibrato_delay_s: its rate, depth and onset.
        scoop_cents: how far below a note its onset begins.
        hiss_hz: centre of its fricatives.
    """

    centre: float
    formants: Array
    nasal: Array
    bandwidths: Array
    gains: Array
    colour: Array
    tilt: float
    breath: float
    jitter: float
    vibrato_hz: float
    vibrato_cents: float
    vibrato_delay_s: float
    scoop_cents: float
    hiss_hz: float


def draw_voice(rng: np.random.Generator) -> Voice:
    """A new identity. Tract length and pitch go together, loosely, as in people."""
    stature = float(rng.uniform(-1.0, 1.0))  # -1: long tract, low voice
    centre = 57.0 + 8.5 * stature + float(rng.normal(0, 2.0))
    tract = float(np.exp(0.13 * stature + rng.normal(0, 0.05)))
    habits = np.exp(rng.normal(0, [0.06, 0.06, 0.05, 0.05, 0.05], size=(len(VOWELS), 5)))
    common = np.exp(rng.normal(0, [0.03, 0.04, 0.05, 0.06, 0.06]))
    return Voice(
        centre=centre,
        formants=_FORMANTS * tract * habits * common,
        nasal=_NASAL * tract * common,
        bandwidths=np.array([70, 90, 120, 160, 200]) * np.exp(rng.normal(0, 0.25, 5)),
        gains=np.array([0, -3, -8, -12, -18]) + rng.normal(0, 3.0, 5),
        colour=np.cumsum(rng.normal(0, 1.6, 17)) - 0.6 * rng.uniform(0, 1) * np.arange(17),
        tilt=float(rng.uniform(-13, -6)),
        breath=float(10 ** rng.uniform(-2.6, -1.1)),
        jitter=float(10 ** rng.uniform(-2.8, -1.9)),
        vibrato_hz=float(rng.uniform(4.4, 6.8)),
        vibrato_cents=float(rng.uniform(5, 70)),
        vibrato_delay_s=float(rng.uniform(0.1, 0.6)),
        scoop_cents=float(rng.uniform(0, 200)),
        hiss_hz=float(rng.uniform(3800, 6500)),
    )


def sing(voice: Voice, score: Score, rng: np.random.Generator) -> FloatArray:
    """One voice sings a score: float32 (samples,) at 16 kHz with a peak of 0.9."""
    line = np.zeros(round(score.duration_s * SAMPLE_RATE) + _FRAME, dtype=np.float64)
    for note in score.notes:
        sound = _syllable(voice, note, rng)
        first = round(note.start_s * SAMPLE_RATE)
        end = min(line.size, first + sound.size)
        line[first:end] += sound[: end - first]
    line = line[: round(score.duration_s * SAMPLE_RATE)]
    return np.asarray(0.9 * line / max(1e-9, float(np.abs(line).max())), np.float32)


def _syllable(voice: Voice, note: Note, rng: np.random.Generator) -> Array:
    samples = max(_FRAME * 2, round(note.duration_s * SAMPLE_RATE))
    time = np.arange(samples) / SAMPLE_RATE
    onset = 0.07 if note.consonant else 0.0
    cents = _intonation(voice, time, rng)
    hertz = 440.0 * 2.0 ** ((note.pitch - 69.0) / 12.0 + cents / 1200.0)
    loudness = _loudness(note, time, onset, rng)
    buzz = _glottal(voice, hertz, rng) * loudness
    air = rng.normal(0, 1, samples) * (voice.breath * loudness)
    return _filter(buzz + air, _envelopes(voice, note, samples, rng)) + _noise_onset(voice, note, samples, rng)


def _intonation(voice: Voice, time: Array, rng: np.random.Generator) -> Array:
    """Deviation from the note in cents: scoop, vibrato, slow drift."""
    scoop = -voice.scoop_cents * rng.uniform(0.2, 1.0) * np.exp(-time / 0.05)
    depth = voice.vibrato_cents * np.clip((time - voice.vibrato_delay_s) / 0.3, 0, 1)
    vibrato = depth * np.sin(2 * np.pi * voice.vibrato_hz * time + rng.uniform(0, 2 * np.pi))
    return np.asarray(scoop + vibrato + _wander(time.size, SAMPLE_RATE // 10, 8.0, rng))


def _loudness(note: Note, time: Array, onset: float, rng: np.random.Generator) -> Array:
    rise, fall = 0.03 + rng.uniform(0, 0.04), 0.05 + rng.uniform(0, 0.05)
    shape = np.clip(time / rise, 0, 1) * np.clip((time[-1] - time) / fall, 0, 1)
    if note.consonant and note.consonant in _FRICATIVES + _STOPS:
        shape = shape * np.clip((time - onset) / 0.02, 0, 1)
    return np.asarray(shape * 10 ** (rng.normal(0, 2.0) / 20) * (1 - 0.15 * time / max(time[-1], 1e-9)))


def _glottal(voice: Voice, hertz: Array, rng: np.random.Generator) -> Array:
    """Band-limited pulse train from one period's table, so that nothing folds back over Nyquist."""
    harmonics = np.arange(1, max(2, int(0.48 * SAMPLE_RATE / hertz.max())) + 1)
    levels = 10 ** (voice.tilt * np.log2(harmonics) / 20) * harmonics**0.5
    phases = -0.35 * harmonics**0.8
    angle = 2 * np.pi * np.arange(2048) / 2048
    table = (levels[:, None] * np.cos(harmonics[:, None] * angle[None] + phases[:, None])).sum(axis=0)
    table /= np.sqrt(np.mean(table**2))
    phase = np.cumsum(hertz * (1 + _wander(hertz.size, 80, voice.jitter, rng))) / SAMPLE_RATE + rng.random()
    return np.asarray(np.interp((phase % 1.0) * 2048, np.arange(2049), np.append(table, table[0])))


def _wander(samples: int, every: int, deviation: float, rng: np.random.Generator) -> Array:
    """Gaussian noise drawn at every ``every``-th sample, linear in between."""
    knots = rng.normal(0, deviation, samples // every + 2)
    return np.asarray(np.interp(np.arange(samples), np.arange(knots.size) * every, knots))


def _envelopes(voice: Voice, note: Note, samples: int, rng: np.random.Generator) -> Array:
    """Filter magnitudes, (frames, _FRAME // 2 + 1): a glide from the consonant to the vowel, then the vowel."""
    frames = samples // _HOP + 1
    vowel = voice.formants[VOWELS.index(note.vowel)] * np.exp(rng.normal(0, 0.012, 5))
    if note.consonant and note.consonant in _NASALS:
        begin, glide = voice.nasal, 9
    else:
        begin, glide = vowel * np.array([0.8, 1.1, 1.0, 1.0, 1.0]), 5
    mix = np.clip(np.arange(frames) / glide, 0, 1)[:, None]
    centres = begin * (1 - mix) + vowel * mix
    frequency = np.fft.rfftfreq(_FRAME, 1 / SAMPLE_RATE)
    distance = (frequency[None, None] - centres[:, :, None]) / voice.bandwidths[None, :, None]
    peaks = (10 ** (voice.gains / 20))[None, :, None] / np.sqrt(1 + distance**2)
    colour = np.interp(frequency, np.linspace(0, SAMPLE_RATE / 2, voice.colour.size), voice.colour)
    return np.asarray(peaks.sum(axis=1) * 10 ** (colour / 20)[None])


def _filter(signal: Array, envelopes: Array) -> Array:
    """Overlap-add with one magnitude response a frame."""
    window = np.hanning(_FRAME + 1)[:-1]
    padded = np.pad(signal, (_FRAME // 2, _FRAME))
    index = np.arange(envelopes.shape[0])[:, None] * _HOP + np.arange(_FRAME)[None]
    shaped = np.fft.irfft(np.fft.rfft(padded[index] * window) * envelopes, _FRAME, axis=1) * window
    out = np.zeros(padded.size + _FRAME)
    for phase in range(_FRAME // _HOP):  # frames that do not overlap are added at once
        rows = shaped[phase :: _FRAME // _HOP]
        first = phase * _HOP
        out[first : first + rows.size] += rows.reshape(-1)
    return out[_FRAME // 2 : _FRAME // 2 + signal.size] / 1.5


def _noise_onset(voice: Voice, note: Note, samples: int, rng: np.random.Generator) -> Array:
    noise = np.zeros(samples)
    if not note.consonant or note.consonant in _NASALS:
        return noise
    length = min(samples, round((0.09 if note.consonant in _FRICATIVES else 0.02) * SAMPLE_RATE))
    spectrum = np.fft.rfft(rng.normal(0, 1, length))
    frequency = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    centre = voice.hiss_hz * {"s": 1.0, "f": 0.75, "t": 0.8, "d": 0.5}[note.consonant]
    spectrum *= np.exp(-0.5 * ((frequency - centre) / 1500.0) ** 2)
    burst = np.fft.irfft(spectrum, length) * np.hanning(length)
    noise[:length] = 0.25 * burst / max(1e-9, np.sqrt(np.mean(burst**2)))
    return noise


assert set(_NASALS + _FRICATIVES + _STOPS) == set("".join(CONSONANTS))
