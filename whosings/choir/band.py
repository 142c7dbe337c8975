"""A small band in NumPy: chords, bass and drums for a score, in a singer's habitual palette."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.choir.score import Score
from whosings.sound.record_effects import room

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Palette:
    """A band's habits.

    Attributes:
        tempo: beats a minute.
        chord_partials: amplitudes of the chord instrument's partials.
        chord_decay_s: seconds to fall to 1/e; long ones are pads, short ones plucked.
        chord_pattern: beats of a bar on which the chord sounds.
        bass_partials: amplitudes of the bass's partials.
        octave: transposition of the chords, semitones.
        drums: level of the kit, 0 for none.
        snare_hz, hat_hz: where their noise lies.
        wet: level of the room, 0 to 1.
        room_s: its decay in seconds.
    """

    tempo: float
    chord_partials: Array
    chord_decay_s: float
    chord_pattern: tuple[float, ...]
    bass_partials: Array
    octave: int
    drums: float
    snare_hz: float
    hat_hz: float
    wet: float
    room_s: float


def draw_palette(rng: np.random.Generator) -> Palette:
    """A new band."""
    patterns = (
        (0.0,),
        (0.0, 2.0),
        (0.0, 1.0, 2.0, 3.0),
        (0.0, 1.5, 3.0),
        (0.5, 1.5, 2.5, 3.5),
        (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5),
    )
    slope = rng.uniform(0.6, 2.2)
    partials = np.arange(1, 13) ** -slope * 10 ** (rng.normal(0, 5, 12) / 20)
    if rng.random() < 0.3:
        partials[1::2] *= 0.1  # hollow, as a clarinet
    return Palette(
        tempo=float(rng.uniform(70, 150)),
        chord_partials=partials,
        chord_decay_s=float(10 ** rng.uniform(-0.8, 0.7)),
        chord_pattern=patterns[int(rng.integers(len(patterns)))],
        bass_partials=np.arange(1.0, 9.0) ** -rng.uniform(0.8, 2.5),
        octave=int(rng.choice([-12, 0, 0, 12])),
        drums=float(rng.choice([0.0, 1.0], p=[0.25, 0.75]) * rng.uniform(0.3, 1.0)),
        snare_hz=float(rng.uniform(1200, 3500)),
        hat_hz=float(rng.uniform(5000, 7500)),
        wet=float(rng.uniform(0.0, 0.5)),
        room_s=float(rng.uniform(0.1, 0.8)),
    )


def play(palette: Palette, score: Score, rng: np.random.Generator) -> FloatArray:
    """The band plays a score: float32 (samples,) at 16 kHz with a peak of 0.9."""
    samples = round(score.duration_s * SAMPLE_RATE)
    mix = np.zeros(samples)
    cache: dict[tuple[int, ...], Array] = {}
    bar_s = 4 * score.beat_s
    kit = _kit(palette, rng) if palette.drums else None
    for bar, chord in enumerate(score.chords):
        if chord not in cache:
            tones = [_tone(p + palette.octave, palette.chord_partials, palette.chord_decay_s, bar_s) for p in chord]
            cache[chord] = np.sum(tones, axis=0)
        for beat in palette.chord_pattern:
            _add(mix, cache[chord] * 10 ** (rng.normal(0, 1) / 20), bar * bar_s + beat * score.beat_s, 0.25)
        bass = (-1, *chord)
        if bass not in cache:
            cache[bass] = _tone(chord[0] - 24, palette.bass_partials, 0.6, 2 * score.beat_s)
        for beat in (0.0, 2.0):
            _add(mix, cache[bass], bar * bar_s + beat * score.beat_s, 0.6)
        if kit is not None:
            for beat in range(4):
                at = bar * bar_s + beat * score.beat_s
                _add(mix, kit["snare" if beat % 2 else "kick"], at, palette.drums)
                _add(mix, kit["hat"], at, 0.3 * palette.drums)
                _add(mix, kit["hat"], at + score.beat_s / 2, 0.2 * palette.drums)
    mix = room(mix, palette.wet, palette.room_s, rng)
    return np.asarray(0.9 * mix / max(1e-9, float(np.abs(mix).max())), np.float32)


def _tone(pitch: float, partials: Array, decay_s: float, length_s: float) -> Array:
    time = np.arange(round(length_s * SAMPLE_RATE)) / SAMPLE_RATE
    hertz = 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)
    tone = np.zeros(time.size)
    for number, level in enumerate(partials, start=1):
        if number * hertz < 0.47 * SAMPLE_RATE:
            tone += level * np.sin(2 * np.pi * number * hertz * time + number) * np.exp(-time * number**0.5 / decay_s)
    edge = np.clip(time / 0.006, 0, 1) * np.clip((time[-1] - time) / 0.02, 0, 1)
    return np.asarray(tone / np.sqrt(np.sum(partials**2)) * edge)


def _kit(palette: Palette, rng: np.random.Generator) -> dict[str, Array]:
    time = np.arange(round(0.3 * SAMPLE_RATE)) / SAMPLE_RATE
    frequency = np.fft.rfftfreq(time.size, 1 / SAMPLE_RATE)

    def noise(centre: float, width: float, decay_s: float) -> Array:
        spectrum = np.fft.rfft(rng.normal(0, 1, time.size)) * np.exp(-0.5 * ((frequency - centre) / width) ** 2)
        sound = np.fft.irfft(spectrum, time.size)
        return np.asarray(sound / np.abs(sound).max() * np.exp(-time / decay_s))

    kick = np.sin(2 * np.pi * (50 * time + 4.0 * (1 - np.exp(-time / 0.03)))) * np.exp(-time / 0.09)
    return {"kick": kick, "snare": noise(palette.snare_hz, 1500, 0.06), "hat": noise(palette.hat_hz, 800, 0.025)}


def _add(mix: Array, sound: Array, start_s: float, level: float) -> None:
    first = round(start_s * SAMPLE_RATE)
    end = min(mix.size, first + sound.size)
    if end > first:
        mix[first:end] += level * sound[: end - first]
