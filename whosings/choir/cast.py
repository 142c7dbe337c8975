"""Singers with careers: a voice, a genre, a language, a band and studio of their own, albums over the years.

Song ``n`` of a singer is on its album ``n // songs_an_album``. From album to album the band changes an instrument, the
studio its sound, and the voice ages: lower, darker, with slower and wider vibrato.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from whosings.choir.band import Palette, draw_palette
from whosings.choir.expression import Manner
from whosings.choir.genres import GENRES, Genre, draw_band, draw_chain, draw_manner
from whosings.choir.parametric import blended, draw_voice
from whosings.choir.performer import Performer
from whosings.choir.score import LANGUAGES
from whosings.choir.soundfont import Ensemble, draw_ensemble
from whosings.choir.takes import EASY, STUDIO, Difficulty, Take, draw_take
from whosings.sound.record_effects import Chain
from whosings.sound.vocoder import FREQUENCIES, Frames, with_tract

_CAREER, _BAND, _ALBUM, _FAMILY, _TAKE = range(5)  # streams of random numbers, one each
_FIRST_YEARS = (1975, 2016)


@dataclass(frozen=True)
class Ageing:
    """What a year does to a voice.

    Attributes:
        semitones: its comfortable pitch.
        tilt_db: treble against bass, per octave from 1 kHz.
        tract: relative change of the tract's apparent length.
        vibrato: relative change of its depth; its rate changes by as much the other way, a third as fast.
    """

    semitones: float
    tilt_db: float
    tract: float
    vibrato: float

    def faster(self, times: float) -> Ageing:
        """The same, so many times as fast."""
        return Ageing(*(times * getattr(self, part.name) for part in fields(self)))


@dataclass(frozen=True)
class Album:
    """What a singer's songs of one time have in common.

    Attributes:
        years: since the singer's first album.
        chain: effects on the voice.
        master_db: treble against bass of the whole record, as ``effects.tilted``.
        voice_db: level of the voice over the band.
        take: how this song of it came about.
    """

    title: str
    year: int
    years: int
    palette: Palette
    ensemble: Ensemble
    chain: Chain
    master_db: float
    voice_db: float
    take: Take = STUDIO


@dataclass(frozen=True)
class Singer:
    """A generated singer.

    Attributes:
        seed: decides all that this singer does; no two singers have the same.
        manner: how it shapes notes on its records.
        difficulty: what makes it hard to tell from others.
    """

    name: str
    seed: tuple[int, ...]
    performer: Performer
    genre: Genre
    language: str
    manner: Manner
    ageing: Ageing
    first_year: int
    songs_an_album: int
    palette: Palette
    ensemble: Ensemble
    chain: Chain
    difficulty: Difficulty = EASY

    def album(self, song: int) -> Album:
        """The album that a song is on, and how the song was taken."""
        count = song // self.songs_an_album
        palette, ensemble, chain = self.palette, self.ensemble, self.chain
        year, master_db = self.first_year, 0.0
        for number in range(count + 1):
            rng = np.random.default_rng([*self.seed, _ALBUM, number])
            master_db = float(rng.normal(0, 2.0))
            voice_db = float(rng.normal(2.5, 1.5))
            if number:
                low, high = self.difficulty.years_apart
                year += int(rng.integers(low, high + 1))
                palette, ensemble = _changed(palette, ensemble, rng)
                wet = float(np.clip(chain.wet + rng.normal(0, 0.05), 0.0, 0.6))
                chain = replace(chain, wet=wet, tilt_db=0.7 * chain.tilt_db + float(rng.normal(0, 1.5)))
        take = draw_take(self.difficulty, self.genre, np.random.default_rng([*self.seed, _TAKE, song]))
        return Album(
            f"{self.name}, album {count + 1}",
            year,
            year - self.first_year,
            palette,
            ensemble,
            chain if take.chain is None else take.chain,
            master_db,
            voice_db + take.voice_db,
            take,
        )


def draw_singer(
    seed: int,
    number: int,
    performer: Performer | None = None,
    name: str | None = None,
    difficulty: Difficulty = EASY,
) -> Singer:
    """Singer ``number`` of a seed; the same on every machine.

    Args:
        performer: whose voice it is; None draws a parametric one, of a family if there are any.
    """
    rng = np.random.default_rng([seed, number, _CAREER])
    voice = draw_voice(rng)  # always drawn, so that the rest is the same whoever performs
    if difficulty.families:
        family = np.random.default_rng([seed, number % difficulty.families, _FAMILY])
        voice = blended(voice, draw_voice(family), difficulty.likeness)
    performer = performer or voice
    genre = GENRES[int(rng.integers(len(GENRES)))]
    palette, ensemble = draw_band(genre, np.random.default_rng([seed, number, _BAND]))
    return Singer(
        name=name or f"singer-{number:04d}",
        seed=(seed, number),
        performer=performer,
        genre=genre,
        language=LANGUAGES[int(rng.integers(len(LANGUAGES)))],
        manner=draw_manner(genre, performer.manner, rng),
        ageing=Ageing(
            semitones=float(rng.normal(-0.05, 0.03)),
            tilt_db=float(rng.normal(-0.03, 0.02)),
            tract=float(rng.normal(0, 0.0007)),
            vibrato=float(rng.normal(0.015, 0.01)),
        ).faster(difficulty.ageing),
        first_year=int(rng.integers(*_FIRST_YEARS)) - difficulty.earlier,
        songs_an_album=int(rng.integers(2, 5)),
        palette=palette,
        ensemble=ensemble,
        chain=draw_chain(genre, rng),
        difficulty=difficulty,
    )


def aged_manner(manner: Manner, ageing: Ageing, years: int) -> Manner:
    """How a singer shapes notes after so many years."""
    wider = (1 + ageing.vibrato) ** years
    return replace(manner, vibrato_cents=manner.vibrato_cents * wider, vibrato_hz=manner.vibrato_hz * wider ** (-1 / 3))


def aged(frames: Frames, ageing: Ageing, years: int) -> Frames:
    """The same performance by a voice so many years older."""
    if not years:
        return frames
    octaves = np.clip(np.log2(np.maximum(FREQUENCIES, 60.0) / 1000.0), -3, 3)
    older = with_tract(frames, 1 + ageing.tract * years)
    return replace(older, envelope=older.envelope * 10 ** (ageing.tilt_db * years * octaves / 10))


def _changed(palette: Palette, ensemble: Ensemble, rng: np.random.Generator) -> tuple[Palette, Ensemble]:
    """Another album's band: a little of it is new."""
    other, others = draw_palette(rng), draw_ensemble(rng)
    part = int(rng.integers(3))
    palette = replace(palette, tempo=float(np.clip(palette.tempo * rng.uniform(0.92, 1.08), 60, 170)))
    if part == 0:
        palette = replace(palette, chord_pattern=other.chord_pattern, octave=other.octave)
        ensemble = replace(ensemble, chord_beats=others.chord_beats, octave=others.octave)
    elif part == 1:
        palette = replace(palette, bass_partials=other.bass_partials, snare_hz=other.snare_hz)
        ensemble = replace(ensemble, figure=others.figure, bass_beats=others.bass_beats)
    else:
        palette = replace(palette, chord_partials=0.5 * (palette.chord_partials + other.chord_partials))
        ensemble = replace(ensemble, pad=others.pad, reverb=others.reverb)
    return palette, ensemble
