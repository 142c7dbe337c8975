"""The bank of voices and bands that `whosings train BANK --config default` learns from.

    python recipes/voice_bank.py --out runs/bank --speech LIBRISPEECH --more KOKORO --music MUSIC/*.ogg
    python recipes/convert_campplus.py campplus_cn_en_common.pt --out runs/campplus
    whosings train runs/bank --config default --out runs/default

`LIBRISPEECH` is a folder `speaker/*.{opus,flac,wav}` (CC BY 4.0). Each speaker, also at other speeds (which makes other
persons), speaks and sings (WORLD: melody imposed, vowels stretched, timbre kept, each song with another technique);
parametric singers join them, and with `--more` anybody else. Bands are generated; recorded music may join them. With
`--files runs/bank-files` the bank is also written as Opus files, three to four times smaller, to be carried to a GPU.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from whosings import audio
from whosings.audio import SAMPLE_RATE
from whosings.choir.band import draw_palette, play
from whosings.choir.from_speech import Speaker, draw_style, read_speaker, sing_speech, voiced_only
from whosings.choir.genres import GENRES, draw_chain
from whosings.choir.parametric import draw_voice
from whosings.choir.performer import Performer
from whosings.choir.score import compose
from whosings.choir.soundfont import LEADS, arrange, draw_ensemble, find_soundfont, render
from whosings.choir.technique import draw_technique, roughened, used
from whosings.errors import TooShortError
from whosings.sound.record_effects import apply
from whosings.sound.vocoder import Frames, sound
from whosings.training.distillation.bank import Clip, Samples, export_bank, open_bank, to_int16, write_bank

SPEEDS = (1.0, 0.86, 1.16)
SONGS, SONG_S = 3, 9.0  # that a person sings syllable by syllable
PLAIN = 2  # the first of them have no technique
MOST_RECORDINGS = 4  # of a speaker who trains
SHORTEST_S = 3  # of clips that train


def speaker_clips(task: tuple[str, list[str], int]) -> list[Clip]:
    """All clips of one speaker and of the persons that other speeds make of it.

    Each speaks and sings: the speech as it runs, and syllable by syllable, in the end with a technique.
    """
    import soxr

    speaker, files, seed = task
    clips = []
    speech = voiced_only(np.concatenate([audio.load(f).samples[0] for f in files])[: 40 * SAMPLE_RATE])
    for number, speed in enumerate(SPEEDS):
        rng = np.random.default_rng([seed, number])
        person = speech if speed == 1.0 else soxr.resample(speech, SAMPLE_RATE * speed, SAMPLE_RATE)
        name = f"{speaker}x{speed}"
        clips.append(Clip(name, "speech", to_int16(person)))
        with suppress(TooShortError):  # hardly any voiced sound
            clips.append(Clip(name, "sung", to_int16(sing_speech(person[: 14 * SAMPLE_RATE], draw_style(rng), rng))))
        with suppress(TooShortError):
            singer = read_speaker([Path(f) for f in files], rng, 1 / speed)
            own = [sung(singer, rng, plain=song < PLAIN) for song in range(SONGS)]
            clips += [Clip(name, "sung", studio(sound(song, rng), rng)) for song in own]
    return clips


def sung(singer: Performer, rng: np.random.Generator, plain: bool = False) -> Frames:
    """One song, with a technique of its own, now and then on one syllable or a few; or as the singer always sings."""
    if isinstance(singer, Speaker) and not plain and rng.random() < 0.4:
        few = rng.permutation(len(singer.syllables))[: int(rng.choice([1, 1, 3]))]
        singer = replace(singer, syllables=singer.syllables[few])
    centre = singer.centre + float(rng.normal(0, 4))
    score = compose(rng, SONG_S, centre, float(rng.uniform(60, 140)))
    if plain:
        return singer.perform(score, singer.manner, rng)
    return used(singer.perform(score, roughened(singer.manner, rng), rng), draw_technique(rng))


_CHORDS = ((60, 64, 67), (57, 60, 64), (53, 57, 60), (55, 59, 62)) * 4  # for a channel vocoder


def studio(voice: NDArray[np.float32], rng: np.random.Generator) -> Samples:
    """Two voices of five get a genre's effects: corrected, doubled, driven, echoed, rarely vocoded."""
    voice = voiced_only(voice)
    if rng.random() < 0.4:
        chain = draw_chain(GENRES[int(rng.integers(len(GENRES)))], rng)
        voice = apply(chain, voice.astype(np.float64), 0.5, _CHORDS, rng)
    return to_int16(voice)


def parametric_clips(seed: int, plain: bool = False) -> list[Clip]:
    rng = np.random.default_rng([7, seed])
    voice = draw_voice(rng)
    return [Clip(f"parametric-{seed}", "sung", studio(sound(sung(voice, rng, plain), rng), rng)) for _ in range(3)]


def band_clip(seed: int, soundfonts: Sequence[Path] = ()) -> Samples:
    """Two bands of three are sampled instruments, one of two of these with a melody instrument.

    Args:
        soundfonts: that play in turn; where there are none, the usual one.
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
    """A piece of recorded music."""
    return to_int16(audio.load(path).samples[0])


def speaker_folders(speech: Path) -> list[Path]:
    """Speakers with many recordings are kept for measuring; the others train."""
    folders = sorted(p for p in speech.iterdir() if p.is_dir())
    return [f for f in folders if len(list(f.iterdir())) <= MOST_RECORDINGS]


def more_clips(folder: Path, seed: int) -> list[Clip]:
    """What another person says, who may be a synthetic voice, and that person singing."""
    files = sorted(folder.iterdir())
    speech = voiced_only(np.concatenate([audio.load(f).samples[0] for f in files])[: 40 * SAMPLE_RATE])
    clips, rng = [Clip(folder.name, "speech", to_int16(speech))], np.random.default_rng([5, seed])
    with suppress(TooShortError):
        singer = read_speaker(files, rng, 1.0)
        clips += [Clip(folder.name, "sung", studio(sound(sung(singer, rng), rng), rng)) for _ in range(SONGS)]
    return clips


def make_bank(given: argparse.Namespace) -> None:
    """Write a bank; one that is there stays."""
    if (given.out / "bank.npz").exists():
        return
    with multiprocessing.get_context("spawn").Pool(given.workers, torch.set_num_threads, (1,)) as pool:
        folders = [sorted(str(p) for p in f.iterdir()) for f in speaker_folders(given.speech)]
        tasks = [(Path(own[0]).parent.name, own, number) for number, own in enumerate(folders)]
        clips = [c for some in pool.imap(speaker_clips, tasks, 4) for c in some]
        clips += [c for some in pool.imap(parametric_clips, range(given.parametric), 8) for c in some]
        others = sorted(p for folder in given.more for p in folder.iterdir() if p.is_dir())
        clips += [c for some in pool.starmap(more_clips, [(p, n) for n, p in enumerate(others)]) for c in some]
        clips = [clip for clip in clips if clip.samples.size >= SHORTEST_S * SAMPLE_RATE]
        hours = sum(clip.samples.size for clip in clips) / SAMPLE_RATE / 3600
        print(f"{len(clips)} clips, {hours:.1f} h", flush=True)
        bands = list(pool.imap(partial(band_clip, soundfonts=given.soundfont), range(given.bands), 4))
        bands += pool.imap(recorded, given.music)
    write_bank(given.out, clips, bands)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the bank")
    parser.add_argument("--speech", type=Path, required=True, help="folder speaker/*.{opus,flac,wav}")
    parser.add_argument("--more", type=Path, nargs="+", default=[], help="folders person/*.flac of more voices")
    parser.add_argument("--parametric", type=int, default=150, help="generated singers")
    parser.add_argument("--bands", type=int, default=400, help="generated bands")
    parser.add_argument("--soundfont", type=Path, nargs="+", default=[], help="that play the bands in turn")
    parser.add_argument("--music", type=Path, nargs="+", default=[], help="recordings without singing, as bands, too")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--files", type=Path, help="folder for the bank as Opus files, which is how it travels")
    given = parser.parse_args()
    make_bank(given)
    if given.files is not None:
        export_bank(open_bank(given.out), given.files, given.workers)


if __name__ == "__main__":
    main()
