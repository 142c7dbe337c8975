"""Classifier heads on frozen embeddings, the heads of many runs trained at once (paper: Singer identification).

Conventions
-----------
- All runs share one matrix of embeddings; a track is a range of its rows. A run's singers are classes 0, 1, 2, ...
- A batch draws a singer, then one of its tracks, then one of its segments, each uniformly.
- Every run draws from random numbers of its own seed, and its arithmetic is a slice of batched matrix products: what
  comes of it does not depend on the runs beside it.
- Kinds of head: ``projector``, the paper's; ``linear``; ``prototype``, the nearest mean of unit embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from whosings.audio import FloatArray
from whosings.config import HeadConfig
from whosings.devices import has_bf16, one_thread_each
from whosings.errors import EvaluationError
from whosings.head_layers import HeadStack, forward
from whosings.tensor_file import packed, unpacked

_ROWS = 8192  # embeddings scored at a time

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Tracks:
    """Tracks as ranges of rows: ``start``, ``length`` and class ``label``, each (tracks,)."""

    label: Rows
    start: Rows
    length: Rows


@dataclass(frozen=True)
class HeadData:
    """The data of one run's head.

    Attributes:
        train, validation: tracks of every class.
        classes: how many.
        seed: random seed of its weights and draws.
    """

    train: Tracks
    validation: Tracks
    classes: int
    seed: int


@dataclass(frozen=True)
class Votes:
    """What segments say of tracks.

    Attributes:
        counts: (tracks, classes) segments that answer each class; several equal best classes share a segment.
        means: (tracks, classes) mean probability over segments.
    """

    counts: FloatArray
    means: FloatArray


@dataclass(frozen=True)
class Head:
    """A trained head.

    Attributes:
        weights: by name, without the dimension of runs.
        epochs: it was trained for, up to the best.
        loss: on the validation segments, the least.
    """

    config: HeadConfig
    weights: dict[str, Tensor]
    epochs: int = 0
    loss: float = math.nan

    @property
    def classes(self) -> int:
        """How many singers it knows."""
        return int(self.weights["out.weight"].shape[1])

    @torch.inference_mode()
    def __call__(self, vectors: Tensor) -> Tensor:
        """Embeddings (rows, dimensions) -> probabilities (rows, classes)."""
        stacked = {name: value[None].to(vectors.device) for name, value in self.weights.items()}
        parts = []
        with _precision(self.config, vectors.device):
            for block in torch.split(vectors, _ROWS):
                parts.append(forward(stacked, block[None], self.config)[0].to(vectors.dtype).softmax(dim=-1))
        return torch.cat(parts) if parts else vectors.new_zeros(0, self.classes)

    def to_bytes(self) -> bytes:
        """Weights as safetensors, without the settings."""
        return packed(self.weights)

    @classmethod
    def from_bytes(cls, content: bytes, config: HeadConfig) -> Head:
        """What ``to_bytes`` gave."""
        return cls(config, unpacked(content))


def train_heads(
    vectors: Tensor,
    data: Sequence[HeadData],
    config: HeadConfig,
    progress: Callable[[int], None] = lambda running: None,
) -> tuple[Head, ...]:
    """Train a head on each data set, all at once, each until it stops.

    Args:
        vectors: (rows, dimensions) on the device that is to compute; rows of unit length or not (then consider
            standardising them before).
        data: all with as many classes.
        progress: called after each epoch of a head, or of all on a GPU, with the number of heads still in training; by
            one thread at a time.

    Raises:
        EvaluationError: data with different numbers of classes, or a class without training track or segments.
    """
    if len({one.classes for one in data}) > 1:
        raise EvaluationError("the runs", "have different numbers of classes", "train them in groups")
    samplers = [_Sampler(one, config, vectors.device) for one in data]
    if config.kind == "prototype":
        return tuple(Head(config, _prototypes(vectors, one), 0) for one in data)
    given = vectors.bfloat16() if _in_half(config, vectors.device) else vectors
    running = _Running(len(data), progress)

    def train(runs: slice) -> tuple[Head, ...]:
        try:
            return _Trainer(given, data[runs], samplers[runs], config, vectors.dtype, running).run()
        except BaseException:
            running.is_wanted = False  # the others are waited for, and before they end nobody hears of it
            raise

    if stacks(vectors.device):
        return train(slice(None))
    with one_thread_each(min(torch.get_num_threads(), len(data))) as pool:
        try:
            return tuple(heads[0] for heads in pool.map(train, (slice(run, run + 1) for run in range(len(data)))))
        finally:
            running.is_wanted = False  # after an error or Ctrl-C, the pool waits for heads that are in training


def vote(head: Head, vectors: Tensor, tracks: Tracks) -> Votes:
    """Answers of a head for whole tracks; a track without segments has no votes and no probability."""
    own = [np.arange(start, start + n) for start, n in zip(tracks.start, tracks.length, strict=True)]
    rows = np.concatenate([np.zeros(0, np.int64), *own])
    owner = torch.from_numpy(np.repeat(np.arange(tracks.start.size), tracks.length)).to(vectors.device)
    counts, means = (vectors.new_zeros(tracks.start.size, head.classes) for _ in range(2))
    index = torch.from_numpy(rows).to(vectors.device)
    for block, whose in zip(torch.split(index, _ROWS), torch.split(owner, _ROWS), strict=True):
        found = head(vectors[block])
        best = (found == found.amax(dim=1, keepdim=True)).to(found.dtype)
        counts.index_add_(0, whose, best / best.sum(dim=1, keepdim=True))
        means.index_add_(0, whose, found)
    lengths = torch.from_numpy(tracks.length).to(vectors.device).clamp(min=1)
    return Votes(counts.cpu().numpy(), (means / lengths[:, None]).cpu().numpy())


def stacks(device: torch.device) -> bool:
    """Whether heads are trained together. A GPU wants large kernels; in a CPU's cache there is room for one head."""
    return device.type != "cpu"


class _Sampler:
    """Draws segments of one run."""

    def __init__(self, data: HeadData, config: HeadConfig, device: torch.device) -> None:
        for name, tracks in (("training", data.train), ("validation", data.validation)):
            counts = np.bincount(tracks.label, minlength=data.classes)
            if counts.size != data.classes or (counts == 0).any() or (tracks.length <= 0).any():
                raise EvaluationError("a run", f"has a class without {name} track or segments", "leave it out")
        order = np.argsort(data.train.label, kind="stable")
        counts = np.bincount(data.train.label, minlength=data.classes)

        def on_device(values: Rows) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(device)

        self._count, self._first = on_device(counts), on_device(np.cumsum(counts) - counts)
        self._start, self._length = on_device(data.train.start[order]), on_device(data.train.length[order])
        self._shape = (config.iterations_per_epoch, config.batch)
        self._generator = torch.Generator(device).manual_seed(data.seed)
        held = data.validation
        strata = torch.arange(config.validation_segments, device=device)
        draws = torch.rand(held.start.size, strata.numel(), generator=self._generator, device=device)
        # One of each quarter of a track's segments: different ones, where there are as many.
        length = on_device(held.length)[:, None]
        first, end = strata * length // strata.numel(), (strata + 1) * length // strata.numel()
        rows = on_device(held.start)[:, None] + first + _floor(draws, (end - first).clamp(min=1))
        self.validation = rows.flatten()
        self.validation_labels = on_device(held.label).repeat_interleave(strata.numel())

    def uniform(self, shape: tuple[int, ...], bound: float) -> Tensor:
        """Between -bound and bound."""
        device = self._generator.device
        return (torch.rand(shape, generator=self._generator, device=device) * 2 - 1) * bound

    def epoch(self) -> tuple[Tensor, Tensor]:
        """Rows and classes of an epoch's batches, (iterations, batch) each."""
        draws = torch.rand(3, *self._shape, generator=self._generator, device=self._generator.device)
        label = _floor(draws[0], self._count.new_tensor(self._count.numel()))
        track = self._first[label] + _floor(draws[1], self._count[label])
        return self._start[track] + _floor(draws[2], self._length[track]), label


class _Running:
    """How many heads are still in training, in whatever thread, and whether anybody waits for them."""

    def __init__(self, heads: int, progress: Callable[[int], None]) -> None:
        self.is_wanted = True
        self._heads, self._progress, self._lock = heads, progress, Lock()

    def epoch(self, stopped: int) -> None:
        """Count an epoch, after which so many heads have stopped."""
        with self._lock:
            self._heads -= stopped
            self._progress(self._heads)


class _Trainer:
    """The heads still in training, and the best of each so far."""

    def __init__(
        self,
        vectors: Tensor,
        data: Sequence[HeadData],
        samplers: Sequence[_Sampler],
        config: HeadConfig,
        dtype: torch.dtype,
        running: _Running,
    ) -> None:
        sizes = [vectors.shape[1], *(config.hidden if config.kind == "projector" else ()), data[0].classes]
        self._config = config
        self._stack = HeadStack(sizes, [s.uniform for s in samplers], config, vectors, dtype)
        self._vectors, self._running = vectors, running
        self._samplers = list(samplers)
        self._owner = list(range(len(data)))
        self._best: list[Head] = [Head(config, {}, 0, math.inf) for _ in data]
        self._rate = [config.learning_rate] * len(data)
        self._since_drop, self._since_best = [0] * len(data), [0] * len(data)

    @torch.no_grad()
    def run(self) -> tuple[Head, ...]:
        for epoch in range(1, self._config.max_epochs + 1):
            batches = [sampler.epoch() for sampler in self._samplers]
            rows, labels = (torch.stack([b[side] for b in batches], dim=1) for side in (0, 1))
            for row, label in zip(rows, labels, strict=True):
                self._stack.step(self._vectors[row], label, self._rate)
            before = len(self._owner)
            self._judge(epoch)
            self._running.epoch(before - len(self._owner))
            if not self._owner or not self._running.is_wanted:
                break
        return tuple(self._best)

    def _judge(self, epoch: int) -> None:
        """Validation losses; keep the best, lower rates, drop the heads that are done."""
        config, going = self._config, []
        for place, owner in enumerate(self._owner):
            loss = self._loss(place)
            if loss < self._best[owner].loss:
                self._best[owner] = Head(config, self._stack.weights(place), epoch, loss)
                self._since_best[place] = self._since_drop[place] = 0
            else:
                self._since_best[place] += 1
                self._since_drop[place] += 1
            if self._since_drop[place] >= config.plateau_epochs:
                self._rate[place] *= config.plateau_factor
                self._since_drop[place] = 0
            if self._since_best[place] < config.stop_epochs:
                going.append(place)
        if len(going) < len(self._owner):
            for name in ("_samplers", "_owner", "_rate", "_since_drop", "_since_best"):
                values = getattr(self, name)
                setattr(self, name, [values[place] for place in going])
            self._stack.keep(going)

    def _loss(self, place: int) -> float:
        sampler, total = self._samplers[place], 0.0
        for block, labels in zip(
            torch.split(sampler.validation, _ROWS), torch.split(sampler.validation_labels, _ROWS), strict=True
        ):
            logits = self._stack.logits(self._vectors[block], place)
            total += float(F.cross_entropy(logits.to(self._stack.dtype), labels, reduction="sum"))
        return total / sampler.validation.numel()


def _prototypes(vectors: Tensor, one: HeadData) -> dict[str, Tensor]:
    """Direction of the mean over a singer's tracks of each track's mean unit embedding, as a gallery keeps it."""
    tracks = one.train
    means = torch.stack(
        [
            F.normalize(vectors[start : start + length]).mean(dim=0)
            for start, length in zip(tracks.start.tolist(), tracks.length.tolist(), strict=True)
        ]
    )
    label = torch.from_numpy(tracks.label).to(vectors.device)
    sums = means.new_zeros(one.classes, means.shape[1]).index_add_(0, label, means)
    return {"out.weight": F.normalize(sums).T.contiguous()}


def _floor(share: Tensor, size: Tensor) -> Tensor:
    """Whole numbers from 0 to size - 1."""
    return torch.minimum((share * size).long(), size - 1)


def _in_half(config: HeadConfig, device: torch.device) -> bool:
    """Prototypes are one product with small matrices, and ties between them matter."""
    wanted = config.precision == "bf16" or (config.precision == "auto" and has_bf16(device))
    return wanted and config.kind != "prototype"


def _precision(config: HeadConfig, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=_in_half(config, device))
