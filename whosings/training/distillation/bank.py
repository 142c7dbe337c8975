"""Voices and bands as one array each, with what is known of every clip.

A bank is a folder: ``voices.npy`` (all clips one after another, int16 at 16 kHz), ``bank.npz`` (``names``, ``kinds``
and ``lengths`` of the clips), ``bands.npy`` (one long tape of music without singing).

It travels as a folder of files that any program can play, three to four times smaller: ``voices/PERSON/KIND-N.opus``
and ``bands/*``. ``import_bank`` also takes other formats; a file whose name begins with no kind is ``speech``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from whosings import audio
from whosings.errors import AudioError, SilentAudioError, TrainingError, UnreadableAudioError
from whosings.files import atomic
from whosings.parallel import each

Samples = NDArray[np.int16]

KINDS = ("speech", "sung", "imitation")
"""Kinds of clips: spoken, sung by that person, or somebody else's performance in that person's timbre."""

_MAKE = "make one with recipes/voice_bank.py"
_SPEED = re.compile(r"(.+)x(\d+\.\d+)")  # of a name: the speaker, and how much faster the speech runs
_LEAST_SPEAKERS = 2
_PIECE = 600 * audio.SAMPLE_RATE  # samples of the tape of bands in one file
_LOUDEST = 32_000


@dataclass(frozen=True)
class Clip:
    """A recording of one person, int16 (samples,) at 16 kHz, at nearly full range.

    Attributes:
        person: a name; ``ANNx0.86`` is the speaker ANN at another speed, and counts as another person.
        kind: one of ``KINDS``.
    """

    person: str
    kind: str
    samples: Samples


@dataclass(frozen=True)
class Bank:
    """An open bank; sound stays on disk until it is asked for.

    Attributes:
        voices: all clips one after another, int16 (samples,), memory-mapped.
        offsets, lengths: place and length of each clip in ``voices``, int64 (clips,).
        kinds: each clip's kind, one of ``KINDS``, (clips,).
        persons: the number of each clip's person, int64 (clips,).
        people: names of persons, by number.
        bands: int16 (samples,), memory-mapped.
    """

    voices: Samples
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    kinds: NDArray[np.str_]
    persons: NDArray[np.int64]
    people: tuple[str, ...]
    bands: Samples

    @cached_property
    def speakers(self) -> tuple[str, ...]:
        """The speaker of each person: the name without a speed."""
        return tuple(_SPEED.sub(r"\1", name) for name in self.people)

    @cached_property
    def speeds(self) -> NDArray[np.float64]:
        """How much faster than the speaker each person is, (people,)."""
        found = (_SPEED.fullmatch(name) for name in self.people)
        return np.array([1.0 if match is None else float(match[2]) for match in found])

    def clip(self, number: int) -> Clip:
        """One of the clips."""
        first = int(self.offsets[number])
        samples = self.voices[first : first + int(self.lengths[number])]
        return Clip(self.people[self.persons[number]], str(self.kinds[number]), samples)


@dataclass(frozen=True)
class Imported:
    """What ``import_bank`` found: how many clips it could use, and what is wrong with the other files."""

    clips: int
    failures: tuple[AudioError, ...]


def open_bank(folder: str | Path) -> Bank:
    """What ``write_bank`` wrote.

    Raises:
        TrainingError: there is no bank, it is damaged, or it holds fewer than two speakers.
    """
    folder = Path(folder)
    if not (folder / "bank.npz").is_file():
        raise TrainingError(folder, "holds no bank of voices", _MAKE)
    try:
        with np.load(folder / "bank.npz") as held:
            names, kinds, lengths = held["names"], held["kinds"], held["lengths"].astype(np.int64)
        # Copied on write, because torch shares memory only with arrays that may change.
        voices, bands = (np.load(folder / name, mmap_mode="c") for name in ("voices.npy", "bands.npy"))
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(folder, f"holds a damaged bank of voices ({error})", _MAKE) from error
    if voices.dtype != np.int16 or bands.dtype != np.int16 or voices.ndim != 1 or bands.ndim != 1:
        raise TrainingError(folder, "holds a bank that is not of 16-bit samples", _MAKE)
    if voices.size != lengths.sum() or not (len(names) == len(kinds) == len(lengths)) or not bands.size:
        raise TrainingError(folder, "holds a bank with more or less sound than its table says", "make it again")
    people, persons = np.unique(names, return_inverse=True)
    bank = Bank(voices, np.cumsum(lengths) - lengths, lengths, kinds, persons, tuple(map(str, people)), bands)
    if (speakers := len(set(bank.speakers))) < _LEAST_SPEAKERS:
        raise TrainingError(folder, f"holds a bank of too few people ({speakers})", f"add at least {_LEAST_SPEAKERS}")
    return bank


def write_bank(folder: str | Path, clips: Iterable[Clip], bands: Iterable[Samples]) -> int:
    """Write a bank, in memory bounded by one clip where clips come one by one; returns their number.

    The table comes last, so that half a bank is none.
    """
    folder = Path(folder)
    names, kinds, lengths = [], [], []

    def noted() -> Iterator[Samples]:
        for clip in clips:
            names.append(clip.person)
            kinds.append(clip.kind)
            lengths.append(clip.samples.size)
            yield clip.samples

    (folder / "bank.npz").unlink(missing_ok=True)
    _write_array(folder / "voices.npy", noted())
    _write_array(folder / "bands.npy", bands)
    with atomic(folder / "bank.npz") as beside:
        np.savez(
            beside,
            names=np.array(names, np.str_),
            kinds=np.array(kinds, np.str_),
            lengths=np.array(lengths, np.int64),
        )
    return len(lengths)


def import_bank(source: str | Path, folder: str | Path, workers: int) -> Imported:
    """Decode ``source/voices/PERSON/*`` and ``source/bands/*`` into a bank.

    Args:
        workers: processes that decode; 0: none but this one.

    Raises:
        TrainingError: there is no such folder, or nothing in it can be used.
    """
    source = Path(source)
    voices = [path for path in _files(source / "voices") if path.parent.parent == source / "voices"]
    bands = _files(source / "bands")
    for found, name in ((voices, "voices/PERSON"), (bands, "bands")):
        if not found:
            raise TrainingError(source / name, "holds no recordings", "put WAV, FLAC or Opus files there")
    failures: list[AudioError] = []

    def usable(paths: Sequence[Path]) -> Iterator[tuple[Path, Samples]]:
        for path, result in _decoded(paths, workers):
            if isinstance(result, AudioError):
                failures.append(result)
            else:
                yield path, result

    clips = (Clip(path.parent.name, _kind(path), samples) for path, samples in usable(voices))
    written = write_bank(folder, clips, (samples for _, samples in usable(bands)))
    if not written:
        raise TrainingError(source / "voices", "holds nothing that can be decoded", "put WAV, FLAC or Opus files there")
    return Imported(written, tuple(failures))


def export_bank(bank: Bank, folder: str | Path, workers: int) -> int:
    """Write a bank as Opus files that ``import_bank`` reads; returns their number. What is there already stays."""
    folder = Path(folder)
    jobs = ((path, samples) for path, samples in _files_of(bank, folder) if not path.exists())
    return sum(1 for _ in each(_encode, jobs, workers))


def to_int16(samples: NDArray[np.floating]) -> Samples:
    """Scaled to nearly full range."""
    return np.round(samples / max(1e-9, float(np.abs(samples).max())) * _LOUDEST).astype(np.int16)


def _files_of(bank: Bank, folder: Path) -> Iterator[tuple[Path, Samples]]:
    for number in range(bank.lengths.size):
        clip = bank.clip(number)
        yield folder / "voices" / clip.person / f"{clip.kind}-{number:06}.opus", np.asarray(clip.samples)
    for number, first in enumerate(range(0, bank.bands.size, _PIECE)):
        yield folder / "bands" / f"{number:06}.opus", np.asarray(bank.bands[first : first + _PIECE])


def _encode(job: tuple[Path, Samples]) -> None:
    path, samples = job
    audio.write_opus(path, np.asarray(samples[None] / 32768, np.float32))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in audio.AUDIO_ENDINGS)


def _kind(path: Path) -> str:
    return next((kind for kind in KINDS if path.name.startswith(kind)), "speech")


def _decoded(paths: Sequence[Path], workers: int) -> Iterator[tuple[Path, Samples | AudioError]]:
    """Files in their order, however fast each is decoded: a bank must not depend on that."""
    ready: dict[Path, Samples | AudioError] = {}
    place = 0
    for done in each(_decode, paths, workers):
        crash = UnreadableAudioError(done.item, "makes its decoder crash", "convert it or leave it out")
        ready[done.item] = crash if done.result is None else done.result
        while place < len(paths) and paths[place] in ready:
            yield paths[place], ready.pop(paths[place])
            place += 1


def _decode(path: Path) -> Samples | AudioError:
    try:
        samples = audio.load(path).samples[0]
        if not samples.any():
            raise SilentAudioError(path, "is silent", "leave it out")
    except AudioError as error:
        return error
    return to_int16(samples)


def _write_array(path: Path, parts: Iterable[Samples]) -> None:
    """A ``.npy`` file of all parts, one after another."""
    samples = 0
    with atomic(path) as beside, beside.open("wb") as file:
        _write_header(file, 0)
        begins = file.tell()
        for part in parts:
            file.write(np.ascontiguousarray(part, "<i2").data)
            samples += part.size
        file.seek(0)
        _write_header(file, samples)  # NumPy leaves room for a larger number
        assert file.tell() == begins


def _write_header(file: BinaryIO, samples: int) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "<i2", "fortran_order": False, "shape": (samples,)})
