"""What the second opinion's network hears in training: pairs of views, natural and processed, produced alike.

Conventions
-----------
- A *view* is two seconds of mono at 16 kHz, float32 (``VIEW``,); on disk int16.
- The two views of a pair are of one speaker and share all that a studio does, drawn once for both: the speed of the
  tape, doubling, chorus, echo, room, equalisers, compression, saturation, the band and the voices behind, noise, band
  limits, the limiter of the master, one or two lossy codecs, and what a separation leaves. All but the resynthesis.
- A folder of views holds ``views.npy`` (views, ``VIEW``), natural and processed in turns, and ``views.json``, how many
  are made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.errors import TrainingError
from whosings.files import write_atomic
from whosings.sound.batch_effects import codec
from whosings.sound.record_effects import doubled
from whosings.training.contrastive.augment import Chances, produce
from whosings.training.distillation.bank import to_int16
from whosings.training.opinion_bank import BAND, NATURAL, Bank, Clip, Tell

VIEW = 2 * SAMPLE_RATE
_BANDED, _BACKED, _OTHER_SPEED, _SEMITONES = 0.6, 0.15, 0.5, 4.0
_THICK, _LIMITED, _CODED, _CODED_TWICE, _SEPARATED = 0.3, 0.4, 0.6, 0.25, 0.25
_OPUS = 0.3  # of coded views
_LOOK_AHEAD = 81  # samples of a limiter's window
_KEPT_EVERY = 50  # pairs


def crop(clip: NDArray[np.int16], size: int, rng: np.random.Generator) -> FloatArray:
    """Take ``size`` samples of a clip in which something sounds; a short clip is repeated."""
    whole = np.tile(clip, -(-size // clip.size)).astype(np.float32) / np.float32(32768)
    for _ in range(5):
        first = int(rng.integers(0, whole.size - size + 1))
        view = whole[first : first + size]
        if view.std() > 0.6 * whole.std():
            break
    return view


def at_speed(clip: NDArray[np.int16], semitones: float, rng: np.random.Generator) -> FloatArray:
    """Take a view of a clip from a tape that runs faster, pitch and formants with it: (``VIEW``,)."""
    ratio = 2 ** (semitones / 12)
    if ratio == 1:
        return crop(clip, VIEW, rng)
    longer = crop(clip, int(np.ceil(VIEW * ratio)) + 8, rng)
    return np.ascontiguousarray(soxr.resample(longer, SAMPLE_RATE * ratio, SAMPLE_RATE)[:VIEW])


def studio(
    voice: FloatArray, band: FloatArray | None, seed: int, alone: Callable[[Tensor], Tensor] | None = None
) -> FloatArray:
    """Produce a voice, alone or over a band, all (``VIEW``,), as the seed alone says; nothing resynthesises it.

    Args:
        alone: separates the voice of waves (1, samples), and leaves its residue; it is used on a quarter of the seeds.
    """
    rng = np.random.default_rng([72, seed])
    chances = Chances(noise=0.4, echo=0.2, room=0.5, compression=0.5, saturation=0.3, codec=0,
                      speed=0, pitch=0, formants=0, correction=0, vocoder=0, phases=0)  # fmt: skip
    over_db = torch.tensor([np.inf if band is None else rng.uniform(-6, 15)])
    thick = _thickened(voice, rng)
    loud, quiet = (
        torch.from_numpy(part / np.float32(np.abs(part).max() + 1e-6))[None, None]
        for part in (thick, np.zeros_like(voice) if band is None else band)
    )
    wave = _mastered(produce(loud, quiet, over_db, rng, chances), rng)[0]
    if rng.random() < _SEPARATED and alone is not None:
        wave = alone(wave)
    return np.asarray(wave[0].numpy())


def _thickened(voice: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Double a voice, or give it a chorus of up to four: copies that are late by a wandering delay."""
    copies, level_db = int(rng.integers(1, 5)), rng.uniform(-12, -1)
    if rng.random() >= _THICK:
        return voice
    made = [doubled(voice.astype(np.float64), level_db, rng) - voice for _ in range(copies)]
    return np.asarray(voice + np.sum(made, axis=0) / copies**0.5, np.float32)


def _mastered(waves: Tensor, rng: np.random.Generator) -> Tensor:
    """Limit a record, and code it as it is sold and sent."""
    drive = 10 ** (rng.uniform(0, 12) / 20)
    if rng.random() < _LIMITED:
        waves = limited(waves * (drive / waves.abs().max().clamp(min=1e-6)))
    for chance in (_CODED, _CODED_TWICE):
        opus, level = np.array([rng.random() < _OPUS]), rng.uniform(0.5, 0.97, 1)
        if rng.random() < chance:
            waves = codec(waves, opus, level)
    return waves


def limited(waves: Tensor) -> Tensor:
    """Hold waves (views, channels, samples) below 1, with a gain that looks ahead by 2.5 ms."""
    over = waves.abs().amax(dim=1, keepdim=True).clamp(min=1.0)
    held = F.max_pool1d(over, _LOOK_AHEAD, 1, _LOOK_AHEAD // 2)
    # The mean of gains each of which suffices for all samples within reach suffices, too.
    gain = F.avg_pool1d(F.pad(1 / held, (_LOOK_AHEAD // 2,) * 2, mode="replicate"), _LOOK_AHEAD, 1)
    return waves * gain


class Pairs:
    """Draws pairs of views of one speaker with the same production, by number.

    Args:
        left_out: kinds that do not take part.
        alone: see ``studio``.
    """

    def __init__(
        self, bank: Bank, seed: int, left_out: Sequence[str] = (), alone: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self._seed, self._bands, self._alone = seed, bank.of_kind(BAND), alone
        natural: dict[str, list[Clip]] = {}
        made: dict[str, list[Clip]] = {}
        for clip in bank.clips:
            if clip.kind not in (BAND, *left_out):
                (natural if clip.kind == NATURAL else made).setdefault(clip.speaker, []).append(clip)
        self._behind = [clip for clips in natural.values() for clip in clips]
        self._people = [(natural[who], made[who]) for who in sorted(made)]

    def pair(self, number: int) -> tuple[FloatArray, FloatArray]:
        """Draw a natural view and a processed one."""
        rng = np.random.default_rng([74, self._seed, number])
        natural, made = self._people[int(rng.integers(len(self._people)))]
        seed, semitones = int(rng.integers(1 << 31)), float(rng.uniform(-_SEMITONES, _SEMITONES))
        semitones *= rng.random() < _OTHER_SPEED
        behind = [pool for pool, chance in ((self._bands, _BANDED), (self._behind, _BACKED)) if rng.random() < chance]
        parts = [crop(pool[int(rng.integers(len(pool)))].samples, VIEW, rng) for pool in behind]
        band = np.sum([part / np.float32(part.std() + 1e-6) for part in parts], axis=0) if parts else None
        views = [
            studio(at_speed(clips[int(rng.integers(len(clips)))].samples, semitones, rng), band, seed, self._alone)
            for clips in (natural, made)
        ]
        return views[0], views[1]


@dataclass(frozen=True)
class Batch:
    """Views: waves (views, ``VIEW``), and 1 for processed and 0 for natural (views,), float32."""

    waves: Tensor
    truth: Tensor


@dataclass(frozen=True)
class Views:
    """Views on disk, in pairs; see the module's text."""

    waves: NDArray[np.int16]

    @classmethod
    def load(cls, folder: Path) -> Views:
        """Open what ``make_views`` wrote, as far as it is made.

        Raises:
            TrainingError: there is none, or it is damaged.
        """
        try:
            made = 2 * _pairs_made(folder)
            waves = np.load(folder / "views.npy", mmap_mode="r")[:made]
        except (OSError, ValueError, KeyError) as error:
            raise TrainingError(folder, "holds no views", "make them with the recipe") from error
        if not made:
            raise TrainingError(folder, "holds no views", "make them with the recipe")
        return cls(waves)

    def batch(self, number: int, size: int) -> Batch:
        """Take ``size`` views, an even number: all pairs take part once before any does again."""
        pairs = len(self.waves) // 2
        first = number * (size // 2)
        places = [_shuffled(place // pairs, pairs)[place % pairs] for place in range(first, first + size // 2)]
        rows = np.array([[2 * place, 2 * place + 1] for place in places]).reshape(-1)
        waves = torch.from_numpy(self.waves[rows].astype(np.float32) / np.float32(32768))
        return Batch(waves, torch.tensor([0.0, 1.0]).repeat(size // 2))


def make_views(folder: Path, pairs: Pairs, count: int, tell: Tell = print) -> None:
    """Make so many pairs in a folder, or go on where an earlier sitting stopped."""
    done = _pairs_made(folder) if (folder / "views.json").exists() else 0
    if done >= count:
        return
    waves = _open(folder / "views.npy", 2 * count, 2 * done)
    for number in range(done, count):
        waves[2 * number : 2 * number + 2] = np.stack([to_int16(view) for view in pairs.pair(number)])
        if number % _KEPT_EVERY == _KEPT_EVERY - 1 or number == count - 1:
            waves.flush()
            write_atomic(folder / "views.json", json.dumps({"pairs": number + 1}))
            tell(f"{number + 1} of {count} pairs")


def _open(path: Path, count: int, done: int) -> np.memmap[Any, np.dtype[np.int16]]:
    """Open views on disk for writing; where there are too few of them, what is done is kept."""
    before: np.memmap[Any, np.dtype[np.int16]] | None = np.load(path, mmap_mode="r+") if done else None
    if before is not None and len(before) == count:
        return before
    beside = path.with_suffix(".new")
    made: np.memmap[Any, np.dtype[np.int16]] = np.lib.format.open_memmap(
        beside, "w+", np.dtype(np.int16), (count, VIEW)
    )
    if before is not None:
        made[:done] = before[:done]
    beside.replace(path)
    return made


def _pairs_made(folder: Path) -> int:
    return int(json.loads((folder / "views.json").read_text())["pairs"])


def _shuffled(round_number: int, pairs: int) -> NDArray[np.int64]:
    return np.random.default_rng([77, round_number]).permutation(pairs)
