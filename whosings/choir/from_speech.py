"""Speech turned singing: a melody imposed, vowels stretched, consonants and timbre kept (WORLD vocoder).

A singer made this way keeps the voice of a real speaker; another tract length or speed makes another person. Needs
pyworld (the ``speech`` extra, which needs a C++ compiler).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.choir.score import compose
from whosings.errors import MissingExtraError, TooShortError

_PERIOD_MS = 10.0
_FRAMES_S = 100  # WORLD frames a second
_LOWEST, _HIGHEST = 38.0, 76.0  # MIDI numbers of a melody's centre
_LEAST_VOICED = 0.2  # share of frames; less is no speech


@dataclass(frozen=True)
class Style:
    """How a speaker sings.

    Attributes:
        stretch: times longer that voiced frames become.
        lift: semitones from the speaker's usual pitch to the melody's centre.
        tempo: beats a minute.
        glide_s: seconds from one note to the next; 0.01 is a pitch corrector's step.
        vibrato_hz, vibrato_semitones: its rate and depth.
        breath: 0 to 1: how much of the periodic sound becomes noise; 1 is a whisper.
        tract: length of the vocal tract against the speaker's; above 1 the formants fall.
    """

    stretch: float
    lift: float
    tempo: float
    glide_s: float = 0.1
    vibrato_hz: float = 5.5
    vibrato_semitones: float = 0.25
    breath: float = 0.0
    tract: float = 1.0


def draw_style(rng: np.random.Generator) -> Style:
    """An ordinary way of singing; breath and tract as the speaker's own."""
    return Style(
        stretch=float(rng.uniform(1.3, 2.4)),
        lift=float(rng.uniform(0, 7)),
        tempo=float(rng.uniform(70, 140)),
        glide_s=float(rng.uniform(0.05, 0.15)),
        vibrato_hz=float(rng.uniform(4.5, 6.5)),
        vibrato_semitones=float(rng.uniform(0, 0.5)),
    )


def voiced_only(samples: FloatArray) -> FloatArray:
    """Drop pauses: 30-ms frames more than 35 dB under the loud ones, none within 100 ms of a kept one."""
    frames = samples[: samples.size // 480 * 480].reshape(-1, 480)
    level = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-10)
    loud = level > np.percentile(level, 90) - 35
    kept = np.convolve(loud, np.ones(7), "same") > 0
    return frames[kept].reshape(-1)


def sing_speech(samples: FloatArray, style: Style, rng: np.random.Generator) -> FloatArray:
    """Turn speech into singing.

    Args:
        samples: (samples,) at 16 kHz, of one speaker.

    Returns:
        float32 (samples,), ``style.stretch`` times longer where the speech is voiced; same loudness.

    Raises:
        TooShortError: less than a fifth of it is voiced.
    """
    MissingExtraError.require("pyworld", "speech turned singing", "speech")
    import pyworld

    speech = samples.astype(np.float64)
    f0, at = pyworld.dio(speech, SAMPLE_RATE, frame_period=_PERIOD_MS)
    f0 = pyworld.stonemask(speech, f0, at, SAMPLE_RATE)
    voiced = f0 > 0
    if voiced.mean() < _LEAST_VOICED:
        raise TooShortError("the speech", "holds too little voiced sound to sing", "use a longer or cleaner recording")
    envelope = pyworld.cheaptrick(speech, f0, at, SAMPLE_RATE)
    aperiodicity = pyworld.d4c(speech, f0, at, SAMPLE_RATE)
    index = _stretched(voiced, style.stretch)
    centre = 69 + 12 * np.log2(np.median(f0[voiced]) / 440.0) + style.lift
    melody = _melody(index.size, float(np.clip(centre, _LOWEST, _HIGHEST)), style, rng)
    pitch = np.where(voiced[index], 440.0 * 2 ** ((melody - 69) / 12), 0.0)
    spectrum = envelope[index]
    if style.tract != 1.0:
        spectrum = _other_tract(spectrum, style.tract)
    noise = aperiodicity[index] * (1 - style.breath) + style.breath
    sung = pyworld.synthesize(
        pitch, np.ascontiguousarray(spectrum), np.ascontiguousarray(noise), SAMPLE_RATE, _PERIOD_MS
    )
    return np.asarray(sung * (np.std(speech) / (np.std(sung) + 1e-12)), np.float32)


def _stretched(voiced: NDArray[np.bool_], stretch: float) -> NDArray[np.intp]:
    """For each new frame, the frame of the speech it comes from: consonants keep their length."""
    ends = np.cumsum(np.where(voiced, stretch, 1.0))
    found = np.searchsorted(ends, np.arange(0, ends[-1]), side="left")
    return found.clip(0, voiced.size - 1)


def _melody(frames: int, centre: float, style: Style, rng: np.random.Generator) -> NDArray[np.float64]:
    """MIDI numbers, one a frame, with glides and vibrato."""
    score = compose(rng, frames / _FRAMES_S, centre, style.tempo)
    pitch = np.full(frames, np.nan)
    for note in score.notes:
        pitch[round(note.start_s * _FRAMES_S) : round((note.start_s + note.duration_s) * _FRAMES_S)] = note.pitch
    known = np.flatnonzero(~np.isnan(pitch))
    pitch = np.interp(np.arange(frames), known, pitch[known]) if known.size else np.full(frames, centre)
    glide = np.hanning(max(1, round(style.glide_s * _FRAMES_S)) + 2)[1:-1]
    pitch = np.convolve(np.pad(pitch, glide.size, "edge"), glide / glide.sum(), "same")[glide.size : -glide.size]
    time_s = np.arange(frames) / _FRAMES_S
    shaken = np.sin(time_s * 1.7) > 0  # vibrato comes and goes
    return np.asarray(pitch + style.vibrato_semitones * shaken * np.sin(2 * np.pi * style.vibrato_hz * time_s))


def _other_tract(spectrum: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    """Envelopes with their frequencies divided by ``length``."""
    bins = np.arange(spectrum.shape[1])
    source = np.minimum(bins * length, bins[-1])
    low = np.floor(source).astype(int)
    high, part = np.minimum(low + 1, bins[-1]), source - low
    return np.asarray(np.exp(np.log(spectrum[:, low]) * (1 - part) + np.log(spectrum[:, high]) * part))
