"""The closed protocol's heads: all runs at once from memory, against one head after another, a file read a sample.

Made embeddings, 1,000 singers with 5 tracks of 40 segments. Both ways train the paper's head (three layers, batch norm,
Adam) with the paper's batches and validate after each epoch. The usual way keeps one pickle a track and opens it for
every sample, as the paper's authors do. Time is per epoch, the ways taking turns; that of one run of the usual way is
counted once a run. ``stacked`` trains all heads in one stack, as on a GPU and as earlier versions did on CPUs, too.
Accuracies are of whole trainings, of both ways, on fewer singers.
"""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import measure
import numpy as np
import torch
from torch import nn

from whosings.classifier import HeadData, Tracks, train_heads, vote
from whosings.config import HeadConfig

SEGMENTS, TRACKS = 40, 5  # of a singer: test, validation, three to train


def main() -> None:
    given = measure.arguments(
        __doc__,
        classes={"type": int, "default": 1000, "help": "singers"},
        runs={"type": int, "default": 10},
        dimensions={"type": int, "default": 256, "help": "of an embedding; the paper has 2048"},
        repeats={"type": int, "default": 3, "help": "turns of each way"},
    )
    classes, runs = (100, 2) if given.quick else (given.classes, given.runs)
    threads = torch.get_num_threads()
    summary: dict[str, float] = {}
    plans = (
        ("projector", "float32", 1),
        ("projector", "float32", runs),
        ("projector", "bf16", runs),
        ("linear", "float32", runs),
    )
    with tempfile.TemporaryDirectory() as folder:
        vectors = made(classes, given.dimensions)
        write(vectors, Path(folder))
        slow = HeadConfig(precision="float32")
        ways: dict[str, Callable[[], object]] = {
            "usual": lambda: usual_way(partial(read, Path(folder)), given.dimensions, classes, slow, 1, seed=0)
        }
        for plan in plans:
            ways[" ".join(map(str, plan))] = partial(ours, vectors, classes, runs, plan)
        ways["stacked"] = partial(stacked, vectors, classes, runs, plans[2])
        seconds = measure.interleaved(ways, 1 if given.quick else given.repeats)
    usual_s = seconds.pop("usual") * runs
    rows = [("one after another, a file read a sample", "float32", 1, usual_s, 1.0)]
    stacked_s = seconds.pop("stacked")
    rows.append(("ours, projector, stacked", "bf16", runs, stacked_s, usual_s / stacked_s))
    summary["stacked_times_faster"] = round(usual_s / stacked_s, 2)
    for (kind, precision, together), taken in zip(plans, seconds.values(), strict=True):
        rows.append((f"ours, {kind}", precision, together, taken, usual_s / taken))
        summary[f"{kind}_{precision}_{together}_times_faster"] = round(usual_s / taken, 2)
    cost = measure.in_child(prepared, given.dimensions, classes, runs, plans[2])
    summary["peak_mb"] = round(cost.peak_mb)
    title = f"an epoch of {runs} runs, s"
    measure.table(("way", "precision", "at once", title, "times faster"), rows)
    few, seeds = (30, 2) if given.quick else (100, 10)
    vectors, config = made(few, given.dimensions), HeadConfig(hidden=(512, 256), max_epochs=60)
    blocks = vectors.numpy().reshape(-1, SEGMENTS, given.dimensions)  # the same samples, without the files' time
    theirs = [
        usual_way(lambda track, segment: blocks[track][segment], given.dimensions, few, config, 60, seed).accuracy
        for seed in range(seeds)
    ]
    test = tracks(few, slice(0, 1))
    mine = [
        np.mean(vote(head, vectors, test).counts.argmax(axis=1) == np.arange(few))
        for head in train_heads(vectors, [head_data(few, seed) for seed in range(seeds)], config)
    ]
    measure.table(
        (f"way, {few} singers, {seeds} seeds, trained to the end", "top-1", "deviation", "median"),
        [
            (name, np.mean(found), np.std(found), np.median(found))
            for name, found in (("usual", theirs), ("ours", mine))
        ],
    )
    growth = []
    for singers, each in (
        ((100, 5), (300, 5), (1000, 5), (300, 10), (300, 20)) if not given.quick else ((30, 5), (60, 5))
    ):
        matrix = made(singers, given.dimensions, each)
        config = HeadConfig(precision="bf16", max_epochs=1)
        begin = time.perf_counter()
        train_heads(matrix, [head_data(singers, seed, each) for seed in range(runs)], config)
        growth.append((singers, each, time.perf_counter() - begin))
    measure.table(("singers", "tracks a singer", title), growth)
    summary |= {"top_1_usual": float(np.mean(theirs)), "top_1_ours": float(np.mean(mine)), "threads": threads}
    measure.finish("heads", given.quick, classes=classes, runs=runs, dimensions=given.dimensions, **summary)


def made(classes: int, dimensions: int, each: int = TRACKS) -> torch.Tensor:
    """Clouds on the sphere, so wide that singers are confused: (classes * each * SEGMENTS, dimensions)."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(classes, 1, 1, dimensions))
    songs = 1.5 * rng.normal(size=(classes, each, 1, dimensions))
    noise = 4.0 * rng.standard_normal((classes, each, SEGMENTS, dimensions), dtype=np.float32)
    vectors = (centres + songs + noise).reshape(-1, dimensions)
    return torch.from_numpy((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))


def tracks(classes: int, columns: slice, each: int = TRACKS) -> Tracks:
    start = (np.arange(classes * each).reshape(classes, each) * SEGMENTS)[:, columns]
    label = np.repeat(np.arange(classes), start.shape[1])
    return Tracks(label, start.reshape(-1), np.full(start.size, SEGMENTS))


def head_data(classes: int, seed: int, each: int = TRACKS) -> HeadData:
    return HeadData(tracks(classes, slice(2, None), each), tracks(classes, slice(1, 2), each), classes, seed)


Plan = tuple[str, str, int]  # kind of head, precision, runs at once


def ours(vectors: torch.Tensor, classes: int, runs: int, plan: Plan) -> None:
    """An epoch of all runs, so many of them at once."""
    kind, precision, together = plan
    config = HeadConfig(kind=kind, precision=precision, max_epochs=1)  # type: ignore[arg-type]
    for first in range(0, runs, together):
        train_heads(vectors, [head_data(classes, seed) for seed in range(first, first + together)], config)


def stacked(vectors: torch.Tensor, classes: int, runs: int, plan: Plan) -> None:
    """``ours``, in one stack."""
    with mock.patch("whosings.classifier.stacks", lambda device: True):
        ours(vectors, classes, runs, plan)


def prepared(dimensions: int, classes: int, runs: int, plan: Plan) -> Callable[[], None]:
    """``ours``, for a process of its own."""
    return partial(ours, made(classes, dimensions), classes, runs, plan)


# ---------------------------------------------------------------- the usual way


@dataclass(frozen=True)
class Usual:
    """What the usual way took and reached."""

    epoch_s: float
    accuracy: float


def write(vectors: torch.Tensor, folder: Path) -> None:
    for number, block in enumerate(vectors.numpy().reshape(-1, SEGMENTS, vectors.shape[1])):
        with (folder / f"{number}.pkl").open("wb") as file:
            pickle.dump(dict(enumerate(block)), file)


def read(folder: Path, track: int, segment: int) -> np.ndarray:
    with (folder / f"{track}.pkl").open("rb") as file:
        return pickle.load(file)[segment]


def usual_way(
    read: Callable[[int, int], np.ndarray], dimensions: int, classes: int, config: HeadConfig, epochs: int, seed: int
) -> Usual:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    first, second = config.hidden
    network = nn.Sequential(
        *(nn.Linear(dimensions, first), nn.BatchNorm1d(first), nn.ReLU()),
        *(nn.Linear(first, second), nn.BatchNorm1d(second), nn.ReLU()),
        nn.Linear(second, classes),
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=config.plateau_factor, patience=config.plateau_epochs
    )
    held = [(s, s * TRACKS + 1, int(k)) for s in range(classes) for k in rng.choice(SEGMENTS, 4, replace=False)]
    best, since, state, begin, done = np.inf, 0, {}, time.perf_counter(), 0
    for _ in range(epochs):
        network.train()
        for _ in range(config.iterations_per_epoch):
            labels = rng.integers(classes, size=config.batch)
            samples = [read(s * TRACKS + int(rng.integers(2, TRACKS)), int(rng.integers(SEGMENTS))) for s in labels]
            optimiser.zero_grad()
            logits = network(torch.from_numpy(np.stack(samples)))
            nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
            optimiser.step()
        network.eval()
        with torch.no_grad():
            batch = torch.from_numpy(np.stack([read(track, segment) for _, track, segment in held]))
            loss = float(nn.functional.cross_entropy(network(batch), torch.tensor([s for s, _, _ in held])))
        plateau.step(loss)
        done += 1
        since = 0 if loss < best else since + 1
        if loss < best:
            best, state = loss, {name: value.clone() for name, value in network.state_dict().items()}
        if since >= config.stop_epochs:
            break
    epoch_s = (time.perf_counter() - begin) / done
    network.load_state_dict(state)
    right = 0
    with torch.no_grad():
        for s in range(classes):
            block = np.stack([read(s * TRACKS, segment) for segment in range(SEGMENTS)])
            right += int(np.bincount(network(torch.from_numpy(block)).argmax(dim=1), minlength=classes).argmax() == s)
    return Usual(epoch_s, right / classes)


if __name__ == "__main__":
    main()
