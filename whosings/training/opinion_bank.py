"""What the second opinion's network learns from: natural voices, and the same voices resynthesised.

Conventions
-----------
- Sound is mono at 16 kHz: int16 in a bank, float32 elsewhere.
- Only the processing must tell the classes apart: both are the same speakers, and what is processed goes once more
  through the codec of the recordings.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from whosings import audio
from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.errors import TooShortError, TrainingError
from whosings.files import atomic
from whosings.sound.batch_effects import codec
from whosings.training.distillation.bank import to_int16
from whosings.vocals.activity import trim

NATURAL, BAND, AGAIN = "natural", "band", "natural, coded again"
"""Kinds of clips that are not processed."""
HELD = 100_000
"""Seeds of what does not train begin here."""

_MOST_RECORDINGS = 4  # of a speaker who trains
_NATURAL_S, _PROCESSED_S, _KINDS_A_SPEAKER, _PROCESSED_RECORDINGS = 10, 4, 3, 2

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Take:
    """A voice, and another speaker's voice to make something else of it: float32 (samples,) each."""

    samples: FloatArray
    other: FloatArray


Process = Callable[[Take, np.random.Generator], FloatArray]
"""What resynthesises a take; it may raise ``TooShortError``."""


@dataclass(frozen=True)
class Kind:
    """A way of processing, and how often it is drawn for training; 0 holds it out, to be measured only."""

    share: float
    process: Process


@dataclass(frozen=True)
class Clip:
    """What a recording is (``NATURAL``, ``BAND``, ``AGAIN``, or a kind of processing) and who speaks ("" of bands)."""

    kind: str
    speaker: str
    samples: NDArray[np.int16]


@dataclass(frozen=True)
class Bank:
    """Clips of natural and of processed voices, and of bands."""

    clips: Sequence[Clip]

    def save(self, path: Path) -> None:
        """Write one ``.npz`` file, whole or not at all."""
        kinds, speakers = [clip.kind for clip in self.clips], [clip.speaker for clip in self.clips]
        samples = [clip.samples for clip in self.clips]
        with atomic(path) as beside:
            sizes, joined = [own.size for own in samples], np.concatenate(samples)
            np.savez(beside, kinds=np.array(kinds), speakers=np.array(speakers), sizes=sizes, clips=joined)

    @classmethod
    def load(cls, path: Path) -> Bank:
        """Read what ``save`` wrote.

        Raises:
            TrainingError: the file is missing or damaged.
        """
        try:
            with np.load(path) as data:
                samples = np.split(data["clips"], np.cumsum(data["sizes"])[:-1])
                rows = zip(data["kinds"], data["speakers"], samples, strict=True)
                return cls([Clip(str(kind), str(speaker), own) for kind, speaker, own in rows])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise TrainingError(path, "is no bank of processed voices", "make one with the recipe") from error

    def of_kind(self, kind: str) -> list[Clip]:
        """Clips of one kind."""
        return [clip for clip in self.clips if clip.kind == kind]


def coded(samples: FloatArray) -> FloatArray:
    """Send a voice once more through Opus, about as the recordings came."""
    wave = torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None, None]
    return np.asarray(codec(wave, np.array([True]), np.array([0.87]))[0, 0].numpy())


def processed(kind: Kind, take: Take, rng: np.random.Generator) -> FloatArray:
    """Process a voice; the result is as loud as before, and went through the codec that LibriSpeech came in.

    Raises:
        TooShortError: there is too little voice for this kind.
    """
    made = kind.process(take, rng)[: take.samples.size]
    if not made.size or not np.isfinite(made).all() or made.std() < 1e-6:
        raise TooShortError("the voice", "is too soft or too short", "use another one")
    return coded(made * np.float32(take.samples.std() / made.std()))


def speech_clips(speech: Path, kinds: Mapping[str, Kind], train: bool, tell: Tell = print) -> Iterator[Clip]:
    """Make clips of speakers who train, or of those who do not, because they have many recordings.

    Args:
        speech: a folder ``speaker/recording``, of more than one speaker.
        kinds: by name; who trains gets three drawn by their shares, who does not gets all.
        tell: is given a line every twenty speakers.

    Raises:
        AudioError: a recording cannot be read.
    """
    folders = {p.name: sorted(p.iterdir()) for p in sorted(speech.iterdir()) if p.is_dir()}
    people = [who for who, found in folders.items() if (len(found) <= _MOST_RECORDINGS) == train]
    names = [name for name, kind in kinds.items() if kind.share]
    shares = np.array([kinds[name].share for name in names])
    for number, who in enumerate(people):
        rng = np.random.default_rng([70, (0 if train else HELD) + number])
        other = audio.load(folders[people[number - 1]][0]).samples[0]
        for place, file in enumerate(folders[who]):
            voice = audio.load(file).samples[0][: _NATURAL_S * SAMPLE_RATE]
            yield Clip(NATURAL, who, to_int16(voice))
            drawn = [str(name) for name in rng.choice(names, _KINDS_A_SPEAKER, False, p=shares / sum(shares))]
            for name in () if place >= _PROCESSED_RECORDINGS else drawn if train else kinds:
                first = int(rng.integers(0, max(1, voice.size - _PROCESSED_S * SAMPLE_RATE)))
                take = Take(voice[first : first + _PROCESSED_S * SAMPLE_RATE], other)
                with suppress(TooShortError):
                    yield Clip(name, who, to_int16(processed(kinds[name], take, rng)))
        if number % 20 == 19:
            tell(f"{'train' if train else 'held'}: {number + 1} of {len(people)} speakers")


def singing_clips(folder: Path, kinds: Mapping[str, Kind], clips: int) -> Iterator[Clip]:
    """Make clips of real singing, to measure on: natural, coded again, and of all kinds.

    Args:
        folder: ``singer/recording``, of more than one singer.
        clips: how many clips of each singer are processed; four times as many are natural.

    Raises:
        AudioError: a recording cannot be read.
    """
    singers = {p.name: sorted(p.iterdir()) for p in sorted(folder.iterdir()) if p.is_dir()}
    names = list(singers)
    for number, who in enumerate(names):
        rng = np.random.default_rng([75, number])
        order = rng.permutation(len(singers[who]))
        other = np.concatenate([audio.load(file).samples[0] for file in singers[names[number - 1]][:4]])
        for place, file in enumerate(singers[who][n] for n in order[: 4 * clips]):
            whole = audio.load(file).samples
            voice = whole[0, trim(whole)]
            yield Clip(NATURAL, who, to_int16(voice))
            yield Clip(AGAIN, who, to_int16(coded(voice)))
            for name in kinds if place < clips else ():
                with suppress(TooShortError):
                    yield Clip(name, who, to_int16(processed(kinds[name], Take(voice, other), rng)))
