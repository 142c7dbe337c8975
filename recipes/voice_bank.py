"""Voices that train and calibrate the default encoder, made from an hour of speech and from nothing.

Each speaker, also at other speeds (which makes other persons), speaks, sings (WORLD: melody imposed, vowels stretched,
timbre kept, each song with another technique) and is imitated in somebody else's performance; parametric singers join
them; bands are generated. `default_encoder.py` writes and reads the bank.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from on_disk import to_int16

from whosings import audio
from whosings.audio import SAMPLE_RATE
from whosings.choir.band import draw_palette, play
from whosings.choir.conversion import METHODS, gather
from whosings.choir.effects import apply
from whosings.choir.from_speech import Speaker, draw_style, read_speaker, sing_speech, voiced_only
from whosings.choir.genres import GENRES, draw_chain
from whosings.choir.parametric import draw_voice
from whosings.choir.performer import Performer
from whosings.choir.score import compose
from whosings.choir.soundfont import LEADS, arrange, draw_ensemble, find_soundfont, render
from whosings.choir.technique import draw_technique, roughened, used
from whosings.choir.vocoder import Frames, sound
from whosings.contrastive.augment import Chances, augment
from whosings.contrastive.effects import resampled
from whosings.errors import TooShortError
from whosings.files import atomic

Samples = NDArray[np.int16]
SPEEDS = (1.0, 0.86, 1.16, 0.93)
APART = 3  # the first of them are other persons for certain
SONGS, SONG_S = 3, 9.0  # that a person sings syllable by syllable
PLAIN = 2  # the first of them have no technique; imitations learn from these
IMITATED_BY = (("neighbours", "statistics"), ("neighbours", "degraded"), ("neighbours", "neighbours"))
MOST_RECORDINGS = 4  # of a speaker who trains
PAUSES = 0.2  # chance that a voice begins late or ends early
SHORTEST_S = 3  # of clips that train
WINDOW, HOP = 160, 140  # frames of 10 ms that the teacher hears at once, and from one beginning to the next


@dataclass(frozen=True)
class Clip:
    """A recording of one person: ``speech``, ``sung``, or an ``imitation`` of it."""

    person: str
    kind: str
    samples: Samples


def speaker_clips(task: tuple[str, list[str], list[str], int], plain: bool = False) -> list[Clip]:
    """All clips of one speaker and of the persons that other speeds make of it.

    Each speaks, sings (the speech as it runs, and syllable by syllable, in the end with a technique) and is imitated
    twice, in another speaker's songs or a parametric singer's. ``plain`` leaves techniques and imitations out.
    """
    import soxr

    speaker, files, others, seed = task
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
            own = [sung(singer, rng, plain or song < PLAIN) for song in range(SONGS)]
            clips += [Clip(name, "sung", studio(sound(song, rng), rng)) for song in own]
            if plain:
                continue
            timbre = gather(own[:PLAIN], name)
            for method in IMITATED_BY[int(rng.integers(len(IMITATED_BY)))]:
                imitation = METHODS[method](sung(somebody(others, rng), rng), timbre)
                clips.append(Clip(name, "imitation", studio(sound(imitation, rng), rng)))
    return clips


def somebody(recordings: list[str], rng: np.random.Generator) -> Performer:
    """A parametric singer, or more often the speaker of these recordings with another length of the vocal tract."""
    if rng.random() < 0.6:
        with suppress(TooShortError):
            return read_speaker([Path(f) for f in recordings], rng, float(np.exp(rng.uniform(-0.2, 0.2))))
    return draw_voice(rng)


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


def teach(clip: Samples) -> NDArray[np.float32]:
    """resemblyzer's embedding of a clip, (256,), the mean over windows."""
    from resemblyzer import VoiceEncoder
    from resemblyzer.audio import wav_to_mel_spectrogram

    global _TEACHER
    if _TEACHER is None:
        _TEACHER = VoiceEncoder("cpu", verbose=False)
    mel = wav_to_mel_spectrogram(at_level(clip))
    windows = mel[np.arange(0, len(mel) - WINDOW + 1, HOP)[:, None] + np.arange(WINDOW)]
    with torch.inference_mode():
        heard: NDArray[np.float32] = _TEACHER(torch.from_numpy(windows)).numpy().mean(axis=0)
    return heard


def at_level(clip: Samples) -> NDArray[np.float32]:
    """At -30 dB, the level that the teacher learned at: its input is not logarithmic."""
    samples = clip.astype(np.float32)
    return samples * np.float32(10 ** (-30 / 20) / np.sqrt(np.mean(samples**2)))


_TEACHER = None  # one a worker process


def speaker_folders(speech: Path, for_training: bool) -> list[Path]:
    """Speakers with many recordings are kept for calibration; the others train."""
    folders = sorted(p for p in speech.iterdir() if p.is_dir())
    return [f for f in folders if (len(list(f.iterdir())) <= MOST_RECORDINGS) == for_training]


def make_bank(
    speech: Path,
    out: Path,
    parametric: int,
    bands: int,
    workers: int,
    soundfonts: Sequence[Path] = (),
    music: Sequence[Path] = (),
) -> None:
    """Write to ``out`` voices, bands and what the teacher hears, a file each; what is there stays.

    Args:
        music: recordings without singing that join the generated bands.
    """
    out.mkdir(parents=True, exist_ok=True)
    bank, played, taught = out / "bank.npz", out / "bands.npy", out / "taught.npy"
    with multiprocessing.get_context("spawn").Pool(workers, torch.set_num_threads, (1,)) as pool:
        if not bank.exists():
            folders = [sorted(str(p) for p in f.iterdir()) for f in speaker_folders(speech, for_training=True)]
            tasks = [(Path(own[0]).parent.name, own, folders[i - 1], i) for i, own in enumerate(folders)]
            clips = [c for some in pool.imap(speaker_clips, tasks, 4) for c in some]
            print(f"speech: {len(clips)} clips", flush=True)
            clips += [c for some in pool.imap(parametric_clips, range(parametric), 8) for c in some]
            clips = [clip for clip in clips if clip.samples.size >= SHORTEST_S * SAMPLE_RATE]
            hours = sum(clip.samples.size for clip in clips) / SAMPLE_RATE / 3600
            print(f"{len(clips)} clips, {hours:.1f} h", flush=True)
            write_voices(out, clips)
        if not played.exists():
            band = list(pool.imap(partial(band_clip, soundfonts=soundfonts), range(bands), 4))
            band += pool.imap(recorded, music)
            with atomic(played) as beside:
                np.save(beside, np.concatenate(band))
        if not taught.exists():
            with atomic(taught) as beside:
                np.save(beside, np.stack(list(pool.imap(teach, Bank.load(out).clips, 16))))


def write_voices(out: Path, clips: Sequence[Clip]) -> None:
    """``voices.npy``, all clips one after another, and ``bank.npz``, which says whose they are."""
    with atomic(out / "voices.npy") as beside:
        np.save(beside, np.concatenate([clip.samples for clip in clips]))
    with atomic(out / "bank.npz") as beside:
        np.savez(
            beside,
            names=np.array([clip.person for clip in clips]),
            kinds=np.array([clip.kind for clip in clips]),
            lengths=np.array([clip.samples.size for clip in clips]),
        )


@dataclass(frozen=True)
class Bank:
    """Voices by identity.

    Attributes:
        clips: of everybody, and the ``kinds`` of each.
        people: of each person the numbers of its clips.
        speakers: of each person whose speech it is made of; at other speeds they are nearly one person.
        band: one long tape of bands.
    """

    clips: list[Samples]
    kinds: list[str]
    people: list[list[int]]
    speakers: list[str]
    band: Samples

    @classmethod
    def load(cls, folder: Path) -> Bank:
        """What ``make_bank`` wrote; sound stays on disk until it is asked for."""
        data = np.load(folder / "bank.npz")
        clips = np.split(np.load(folder / "voices.npy", mmap_mode="r"), np.cumsum(data["lengths"])[:-1])
        by_name: dict[str, list[int]] = {}
        for index, name in enumerate(data["names"]):
            by_name.setdefault(str(name), []).append(index)
        speakers = [name.split("x")[0] for name in by_name]
        band: Samples = np.load(folder / "bands.npy", mmap_mode="r")
        return cls(clips, data["kinds"].tolist(), list(by_name.values()), speakers, band)

    def of_people(self, said: NDArray[np.float32]) -> NDArray[np.float32]:
        """Means of what is said of clips, (clips, 256), over people's own, of unit length, (people, 256)."""
        own = [[c for c in some if self.kinds[c] != "imitation"] for some in self.people]
        means = np.stack([said[some].mean(axis=0) for some in own])
        return means / np.linalg.norm(means, axis=1, keepdims=True)


def crop(clip: Samples, first: int, samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A stretch of a clip."""
    voice = clip[first : first + samples].astype(np.float32) / 32768
    if rng.random() < 0.2:  # a short recording, repeated as inference repeats it
        voice = voice[: int(rng.uniform(0.4, 1.0) * voice.size)]
    return np.resize(voice, samples)


def paused(voices: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Copies of which some begin late or end early, (voices, 1, samples)."""
    voices, samples = voices.clone(), voices.shape[-1]
    for number in np.flatnonzero(rng.random(len(voices)) < PAUSES):
        silent = int(rng.uniform(0.1, 0.6) * samples)
        voices[number, :, slice(silent) if rng.random() < 0.5 else slice(samples - silent, None)] = 0.0
    return voices


def start(clip: Samples, samples: int, rng: np.random.Generator) -> int:
    return int(rng.integers(0, max(1, clip.size - samples)))


def tape(bank: Bank, samples: int, guest: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """One or two random bands at once, now and then with somebody else: a choir, a duet, a bad separation."""
    band = np.zeros(samples, np.float32)
    for _ in range(int(rng.integers(1, 3))):
        at = int(rng.integers(0, bank.band.size - samples))
        band += bank.band[at : at + samples].astype(np.float32) / 32768
    if rng.random() < guest:
        clip = bank.clips[int(rng.integers(len(bank.clips)))]
        voice = crop(clip, start(clip, samples, rng), samples, rng)
        band += voice * np.float32(10 ** (-rng.uniform(3, 15) / 20) * band.std() / (voice.std() + 1e-6))
    return band


PLAYED = Chances(
    speed=0, pitch=0, formants=0, correction=0, vocoder=0, phases=0, codec=0, level=0, noise=0, low_cut=0, high_cut=0,
    compression=0.5, saturation=0.4, equaliser=0, echo=0.1, room=0.4,
)  # fmt: skip
"""What happens to a band alone."""


def played(tapes: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Bands up to a third faster or slower, as other studios would have them, (bands, 1, samples)."""
    return augment(resampled(tapes, np.exp(rng.uniform(-0.3, 0.3, len(tapes)))), rng, PLAYED)
