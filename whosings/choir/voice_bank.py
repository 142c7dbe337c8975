"""Material that the networks that ship learn from: voices that speak, sing and are resynthesised, and bands.

Conventions
-----------
- Sound is mono at 16 kHz: int16 at nearly full range in clips, float32 before.
- Every clip is drawn from a generator of its own, seeded by its number, so that it is the same in any process.
- The first part serves ``whosings.training.distillation``, the second ``whosings.training.activity``, ``short_band``
  ``whosings.training.opinion_bank``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import soxr

from whosings import audio
from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.catalogue.manifest import read_manifest
from whosings.choir.band import draw_palette, play
from whosings.choir.expression import Manner
from whosings.choir.from_speech import Speaker, Style, draw_style, read_speaker, sing_speech, voiced_only
from whosings.choir.genres import GENRES, draw_chain
from whosings.choir.parametric import draw_voice, sing
from whosings.choir.performer import Performer
from whosings.choir.score import compose
from whosings.choir.soundfont import LEADS, arrange, draw_ensemble, find_soundfont, render
from whosings.choir.technique import draw_technique, roughened, used
from whosings.errors import TooShortError
from whosings.sound.record_effects import apply
from whosings.sound.vocoder import Frames, sound
from whosings.training import activity
from whosings.training.distillation.bank import Clip, Samples, to_int16

SPEEDS = (1.0, 0.86, 1.16)
"""Speeds of a speaker's speech; each makes another person."""
SONGS = 3
"""That a person sings syllable by syllable."""
_SONG_S, _LONGEST_S = 9.0, 40
_PLAIN = 2  # the first of a person's songs have no technique
_CHORDS = ((60, 64, 67), (57, 60, 64), (53, 57, 60), (55, 59, 62)) * 4  # for a channel vocoder


def speaker_clips(task: tuple[str, list[str], int]) -> list[Clip]:
    """Make all clips of one speaker and of the persons that other speeds make of it.

    Each speaks and sings: the speech as it runs, and syllable by syllable, in the end with a technique.

    Args:
        task: the speaker's name, the recordings, and a seed.

    Raises:
        AudioError: a recording cannot be read.
        MissingExtraError: pyworld is not installed.
    """
    speaker, files, seed = task
    clips = []
    speech = voiced_only(_joined(files))
    for number, speed in enumerate(SPEEDS):
        rng = np.random.default_rng([seed, number])
        person = speech if speed == 1.0 else soxr.resample(speech, SAMPLE_RATE * speed, SAMPLE_RATE)
        name = f"{speaker}x{speed}"
        clips.append(Clip(name, "speech", to_int16(person)))
        with suppress(TooShortError):  # hardly any voiced sound
            clips.append(Clip(name, "sung", to_int16(sing_speech(person[: 14 * SAMPLE_RATE], draw_style(rng), rng))))
        with suppress(TooShortError):
            singer = read_speaker([Path(f) for f in files], rng, 1 / speed)
            own = [perform(singer, rng, plain=song < _PLAIN) for song in range(SONGS)]
            clips += [Clip(name, "sung", studio(sound(song, rng), rng)) for song in own]
    return clips


def more_clips(folder: Path, seed: int) -> list[Clip]:
    """Make clips of what another person says, who may be a synthetic voice, and of that person singing.

    Args:
        folder: where the person's recordings lie; it is named as the person.

    Raises:
        AudioError: a recording cannot be read.
        MissingExtraError: pyworld is not installed.
    """
    files = sorted(folder.iterdir())
    speech = voiced_only(_joined(files))
    clips, rng = [Clip(folder.name, "speech", to_int16(speech))], np.random.default_rng([5, seed])
    with suppress(TooShortError):
        singer = read_speaker(files, rng, 1.0)
        clips += [Clip(folder.name, "sung", studio(sound(perform(singer, rng), rng), rng)) for _ in range(SONGS)]
    return clips


def parametric_clips(seed: int, plain: bool = False) -> list[Clip]:
    """Let a parametric singer sing three songs; ``plain`` leaves techniques out."""
    rng = np.random.default_rng([7, seed])
    voice = draw_voice(rng)
    songs = range(3)
    return [Clip(f"parametric-{seed}", "sung", studio(sound(perform(voice, rng, plain), rng), rng)) for _ in songs]


def perform(singer: Performer, rng: np.random.Generator, plain: bool = False) -> Frames:
    """Sing a song, with a technique of its own, now and then on a syllable or a few; or as the singer always sings."""
    if isinstance(singer, Speaker) and not plain and rng.random() < 0.4:
        few = rng.permutation(len(singer.syllables))[: int(rng.choice([1, 1, 3]))]
        singer = replace(singer, syllables=singer.syllables[few])
    centre = singer.centre + float(rng.normal(0, 4))
    score = compose(rng, _SONG_S, centre, float(rng.uniform(60, 140)))
    if plain:
        return singer.perform(score, singer.manner, rng)
    return used(singer.perform(score, roughened(singer.manner, rng), rng), draw_technique(rng))


def studio(voice: FloatArray, rng: np.random.Generator) -> Samples:
    """Give two voices of five a genre's effects: corrected, doubled, driven, echoed, rarely vocoded."""
    dry = voiced_only(voice)
    if rng.random() >= 0.4:
        return to_int16(dry)
    chain = draw_chain(GENRES[int(rng.integers(len(GENRES)))], rng)
    return to_int16(apply(chain, dry.astype(np.float64), 0.5, _CHORDS, rng))


def band_clip(seed: int, soundfonts: Sequence[Path] = ()) -> Samples:
    """Let a band play: two of three are sampled instruments, one of two of these with a melody instrument.

    Args:
        soundfonts: that play in turn; where there are none, the usual one.

    Raises:
        WhosingsError: FluidSynth or mido is missing, or a soundfont cannot be used.
    """
    rng = np.random.default_rng([9, seed])
    palette = draw_palette(rng)
    score = compose(rng, 20, 60, palette.tempo)
    soundfont = soundfonts[seed % len(soundfonts)] if soundfonts else find_soundfont()
    if soundfont is None or rng.random() < 1 / 3:
        return to_int16(play(palette, score, rng))
    lead = str(rng.choice(sorted(LEADS))) if rng.random() < 0.5 else None
    return to_int16(render(arrange(draw_ensemble(rng, lead), score, rng), soundfont)[: 30 * SAMPLE_RATE])


def recorded(path: Path) -> Samples:
    """Read a piece of recorded music.

    Raises:
        AudioError: the recording cannot be read.
    """
    return to_int16(audio.load(path).samples[0])


def draw_wide_style(rng: np.random.Generator) -> Style:
    """Draw anything a voice does: slow, fast, low, falsetto, hard-tuned, sliding, breathy, of another tract."""
    return Style(
        stretch=float(rng.uniform(1.0, 3.0)),
        lift=float(rng.uniform(-2, 14)),
        tempo=float(rng.uniform(60, 160)),
        manner=Manner(
            glide_s=float(rng.choice([0.01, 0.05, 0.1, 0.2])),
            vibrato_hz=float(rng.uniform(4, 7)),
            vibrato_cents=float(rng.uniform(0, 80)),
        ),
        breath=float(rng.choice([0, 0, rng.uniform(0, 0.6)])),
        tract=float(np.exp(rng.normal(0, 0.1))),
    )


def wide_speaker_clips(task: tuple[int, list[str]]) -> list[activity.Clip]:
    """Make clips of a speaker as recorded, and singing four times, each in another wide style.

    Args:
        task: a seed and the recordings.

    Raises:
        AudioError: a recording cannot be read.
        MissingExtraError: pyworld is not installed.
    """
    seed, files = task
    speech = _joined(files)
    clips = [activity.Clip("speech", to_int16(speech))]
    voice = voiced_only(speech)
    for number in range(4):
        rng = np.random.default_rng([50, seed, number])
        first = int(rng.integers(0, max(1, voice.size - 16 * SAMPLE_RATE)))
        style = draw_wide_style(rng)
        with suppress(TooShortError):
            sung = sing_speech(voice[first : first + 16 * SAMPLE_RATE], style, rng)
            clips.append(activity.Clip("sung", to_int16(sung)))
    return clips


def dry_parametric_clip(seed: int) -> activity.Clip:
    """Let a parametric singer sing one dry song."""
    rng = np.random.default_rng([51, seed])
    voice = draw_voice(rng)
    score = compose(rng, 14, voice.centre + rng.normal(0, 2), rng.uniform(70, 140))
    return activity.Clip("parametric", to_int16(sing(voice, score, rng)))


def arranged_clip(task: tuple[int, str, str]) -> activity.Clip:
    """Let a band play, whose clip is named by the instruments that play the melody, if any do.

    Args:
        task: a seed; "band", "lead" (somebody plays a melody), "solo" (hardly anybody else does) or "numpy" (the
            built-in band); and a soundfont, which the built-in band does not need.

    Raises:
        WhosingsError: FluidSynth or mido is missing, or the soundfont cannot be used.
    """
    seed, kind, soundfont = task
    rng = np.random.default_rng([52, seed, len(kind), len(soundfont)])
    if kind == "numpy":
        palette = draw_palette(rng)
        return activity.Clip(kind, to_int16(play(palette, compose(rng, 30, 60, palette.tempo), rng)))
    family = list(LEADS)[seed % len(LEADS)] if kind != "band" else None
    score = compose(rng, 40, float(rng.uniform(52, 76)), float(rng.uniform(65, 165)))
    band = draw_ensemble(rng, family)
    if kind == "solo":
        levels = (int(rng.choice([1, 40])), *band.levels[1:])
        band = replace(band, bass=None, pad=None, figure=None, kit=None, levels=levels)
    return activity.Clip(family or kind, to_int16(render(arrange(band, score, rng), soundfont)))


def stems_of(table: Path) -> activity.Bank:
    """Read voices and bands of tracks that have stems; their kind is "stem".

    Raises:
        ManifestError: the table cannot be read.
        AudioError: a stem cannot be read.
    """
    tracks = read_manifest(table).tracks
    voices, bands = (
        [activity.Clip("stem", recorded(Path(path))) for path in paths if path is not None]
        for paths in ([t.vocals_path for t in tracks], [t.instrumental_path for t in tracks])
    )
    return activity.Bank(voices, bands)


def short_band(seed: int) -> FloatArray:
    """Let the built-in band play for 20 seconds, float32 (samples,)."""
    rng = np.random.default_rng([71, seed])
    palette = draw_palette(rng)
    return play(palette, compose(rng, 20, 60, palette.tempo), rng)


def _joined(files: Sequence[str | Path]) -> FloatArray:
    """Recordings of one person, one after another, at most 40 seconds: (samples,)."""
    return np.concatenate([audio.load(file).samples[0] for file in files])[: _LONGEST_S * SAMPLE_RATE]
