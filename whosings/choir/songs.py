"""From singers to recordings: a song is composed, performed, accompanied and produced.

Every step draws from random numbers of its own, named by the singer's seed and the song's number: a song comes out the
same whatever else is made, and whoever makes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from whosings.audio import FloatArray
from whosings.choir import band, soundfont
from whosings.choir.cast import Album, Singer, aged, aged_manner
from whosings.choir.score import Score, compose
from whosings.choir.takes import captured, manner_of, sung
from whosings.sound.record_effects import apply, tilted
from whosings.sound.vocoder import Array, Frames, sound

# Streams of random numbers, apart from those of ``cast``.
_COMPOSE, _PERFORM, _SONG, _SOUND, _ACCOMPANY, _PRODUCE, _MANNER, _CAPTURE = range(10, 18)
PEAK = 0.95
"""Peak of the loudest of mixture and stems."""


@dataclass(frozen=True)
class Performance:
    """A song as a singer performs it, before there is sound.

    Attributes:
        seed: decides what is still to be drawn for the song.
    """

    singer: Singer
    album: Album
    score: Score
    frames: Frames
    seed: tuple[int, ...]


@dataclass(frozen=True)
class Song:
    """Stems of one song: float32 (samples,) at 16 kHz; they and their sum have peaks of at most 0.95."""

    vocals: FloatArray
    instrumental: FloatArray

    @property
    def mixture(self) -> FloatArray:
        """Both together."""
        return self.vocals + self.instrumental


def perform(singer: Singer, number: int, duration_s: float) -> Performance:
    """Song ``number`` of a singer.

    Args:
        duration_s: at least; songs end with a bar.
    """
    album = singer.album(number)
    rng = np.random.default_rng([*singer.seed, _COMPOSE, number])
    centre = singer.performer.centre + singer.ageing.semitones * album.years + float(rng.normal(0, 1.0))
    tempo = album.palette.tempo * float(rng.uniform(0.93, 1.07))
    score = compose(rng, duration_s, centre, tempo, replace(singer.genre.form, language=singer.language))
    manner = aged_manner(singer.manner, singer.ageing, album.years)
    manner = manner_of(album.take, singer.genre, manner, np.random.default_rng([*singer.seed, _MANNER, number]))
    frames = singer.performer.perform(score, manner, np.random.default_rng([*singer.seed, _PERFORM, number]))
    frames = sung(aged(frames, singer.ageing, album.years), album.take)
    return Performance(singer, album, score, frames, (*singer.seed, _SONG, number))


def accompany(album: Album, score: Score, seed: tuple[int, ...], samples: Path | None = None) -> FloatArray:
    """An album's band plays a score: float32 (samples,) at 16 kHz.

    Args:
        samples: a soundfont to play it with; None is the built-in band.

    Raises:
        WhosingsError: FluidSynth or mido is missing, or the soundfont cannot be used.
    """
    rng = np.random.default_rng([*seed, _ACCOMPANY])
    if samples is None:
        return band.play(album.palette, score, rng)
    return soundfont.render(soundfont.arrange(album.ensemble, score, rng), samples)


def produce(
    voice: FloatArray, instrumental: FloatArray, album: Album, score: Score, seed: tuple[int, ...], voice_db: float
) -> Song:
    """Effects, balance and mastering; the stems add up to the mixture.

    Args:
        voice, instrumental: dry, (samples,); the shorter one is filled up with silence.
        voice_db: level of the voice over the band.
    """
    length = max(voice.size, instrumental.size)
    dry, music = (np.pad(part.astype(np.float64), (0, length - part.size)) for part in (voice, instrumental))
    wet = apply(album.chain, dry, score.beat_s, score.chords, np.random.default_rng([*seed, _PRODUCE]))
    wet, music = tilted(wet, album.master_db), tilted(music, album.master_db)
    music *= level(wet) / level(music) * 10 ** (-voice_db / 20)
    wet, music = captured(wet, music, album.take, np.random.default_rng([*seed, _CAPTURE]))
    mixture = wet + music
    scale = PEAK / max(float(np.abs(part).max()) for part in (mixture, wet, music))
    return Song(*((part * scale).astype(np.float32) for part in (wet, music)))


def record(
    singer: Singer, number: int, duration_s: float, voice_db: float | None = None, samples: Path | None = None
) -> Song:
    """Song ``number`` of a singer, from composition to master.

    Args:
        voice_db: level of the voice over the band; None as on the album.
        samples: as for ``accompany``.
    """
    song = perform(singer, number, duration_s)
    return mix(song, song.frames, song.album, voice_db, samples)


def mix(
    song: Performance, frames: Frames, album: Album, voice_db: float | None = None, samples: Path | None = None
) -> Song:
    """A performance, or what a conversion made of it, over an album's band and with its production."""
    voice = sound(frames, np.random.default_rng([*song.seed, _SOUND]))
    instrumental = accompany(album, song.score, song.seed, samples)
    balance = album.voice_db if voice_db is None else voice_db
    return produce(voice, instrumental, album, song.score, song.seed, balance)


def level(stem: FloatArray | Array) -> float:
    """Root of the mean power where it sounds, that is, within 40 dB of its peak."""
    loud = stem[np.abs(stem) > 0.01 * np.abs(stem).max()]
    return float(np.sqrt(np.mean(loud**2))) if loud.size else 1.0
