"""Indexes over very many voices: recall, time, memory, adding and deleting, each way on one core.

Voices are made with the statistics of real ones of the `default` encoder (``made``). Each way is built in a process of
its own and asked in another. The least effort is told with which it finds 99 % of the exact ten nearest voices of
recordings that are not in the index, half of singers who are, half of strangers. Where a way's store rounds, it is
asked for more, and the exact scores of these say which ten are nearest, within the time that is told.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import index_candidates
import measure
import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray

QUERIES, CHANGED, NEAREST, ENOUGH = 400, 1000, 10, 0.99
DIMENSIONS = 192
KINDS, KIND, COMMON = 60, 0.25, 0.3
NOISE, SPREAD, MOST_SONGS = 0.55, 0.3, 300
_BLOCK, _SINGERS = 1 << 16, 4096


@dataclass(frozen=True)
class Made:
    """Unit vectors in a file, the singer of each, and recordings to ask with.

    Attributes:
        vectors: (voices + CHANGED, dimensions); the last ones are to be added.
        queries: (QUERIES, dimensions).
    """

    vectors: FloatArray
    singers: NDArray[np.int64]
    queries: FloatArray


TOLD = ("recall", "median_ms", "ram_bytes", "disk_bytes")
HEADINGS = ("build s", "build B", "disk B", "open s", "RAM B", "effort", "recall", "known", "ms", "p99 ms")
HEADINGS += ("add s", "delete s", "save s", "recall after")


def made(count: int, queries: int, seed: int = 0) -> Made:
    """Recordings like those of the `default` encoder, of singers with 1 to 300 of them.

    Real ones (351 recordings of LibriSpeech's 261 readers, without the mean voice): cosines of one speaker 0.63 to 0.90
    (5th to 95th percentile, median 0.79), of strangers -0.08 to 0.28 (median 0.09, 99th 0.38). Of what differs between
    speakers 56 % lies in 24 of 192 directions and 96 % in 96. What differs within them lies flatter. Strangers of one
    sex, studio and language are more alike, and so singers are drawn around one of KINDS centres.
    """
    rng = np.random.default_rng(seed)
    songs = np.minimum(rng.pareto(1.0, count) + 1, MOST_SONGS).astype(int)
    singers = rng.permutation(np.repeat(np.arange(count), songs)[:count])
    places = np.arange(DIMENSIONS)
    between, within = (np.exp(-places / (2 * decay)) for decay in (30, 80))
    between, within = between / np.linalg.norm(between), within / np.linalg.norm(within)
    common = COMMON * _unit(rng.standard_normal(DIMENSIONS) * between)
    kinds = common + np.sqrt(KIND) * rng.standard_normal((KINDS, DIMENSIONS)) * between
    kind = rng.choice(KINDS, 2 * count, p=_shares(KINDS))
    vectors = np.empty((count, DIMENSIONS), np.float32)

    def draw(who: NDArray[np.int64], stream: int) -> FloatArray:
        # A singer is drawn from a seed of the block it lies in, so that no table of all singers is held.
        centres = np.empty((len(who), DIMENSIONS), np.float32)
        blocks = who // _SINGERS
        for block in np.unique(blocks):
            own = blocks == block
            drawn = np.random.default_rng((seed, 1, block)).standard_normal((_SINGERS, DIMENSIONS), np.float32)
            centres[own] = (drawn * (np.sqrt(1 - KIND) * between).astype(np.float32))[who[own] % _SINGERS]
        own = np.random.default_rng((seed, 2, stream))
        noise = own.lognormal(np.log(NOISE), SPREAD, (len(who), 1))
        rest = noise * own.standard_normal((len(who), DIMENSIONS), np.float32) * within
        return _unit(kinds[kind[who]] + centres + rest).astype(np.float32)

    order = np.argsort(singers, kind="stable")
    for first in range(0, count, _BLOCK):
        places = order[first : first + _BLOCK]
        vectors[places] = draw(singers[places], 1 + first)
    strangers = count + np.arange(queries - queries // 2)
    asked = np.concatenate([rng.choice(singers, queries // 2), strangers])
    return Made(vectors, singers, draw(asked, 0))


def _unit(rows: NDArray[Any]) -> NDArray[Any]:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def _shares(count: int) -> NDArray[np.float64]:
    """Of kinds, the commonest first, as 1/rank."""
    found = 1 / np.arange(1, count + 1)
    return found / found.sum()


def exact(vectors: FloatArray, queries: FloatArray, left_out: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of the nearest of each query, (queries, NEAREST)."""
    best = np.full((len(queries), NEAREST), -np.inf, np.float32)
    numbers = np.full((len(queries), NEAREST), -1, np.int64)
    for first in range(0, len(vectors), _BLOCK):
        scores = queries @ vectors[first : first + _BLOCK].T
        gone = left_out[(left_out >= first) & (left_out < first + _BLOCK)] - first
        scores[:, gone] = -np.inf
        few = np.argpartition(-scores, NEAREST - 1, axis=1)[:, :NEAREST]
        both = np.concatenate([best, np.take_along_axis(scores, few, 1)], axis=1)
        place = np.argsort(-both, axis=1)[:, :NEAREST]
        numbers = np.take_along_axis(np.concatenate([numbers, few + first], axis=1), place, 1)
        best = np.take_along_axis(both, place, 1)
    return numbers


@dataclass(frozen=True)
class Figures:
    """What one way costs.

    Attributes:
        build_s, open_s, add_s, delete_s, save_s: seconds; of CHANGED voices.
        build_bytes, ram_bytes, disk_bytes: a voice: at the peak of building, while it is asked, on the disk.
        effort: the least one that was enough, or the best.
        recall, changed_recall: of the ten nearest, before and after voices came and went.
        recall_known: the same of singers who are in the index.
        median_ms, p99_ms: of a query, of processor time; of wall time where a server answers.
    """

    build_s: float
    build_bytes: float
    disk_bytes: float
    open_s: float
    ram_bytes: float
    effort: int
    recall: float
    recall_known: float
    median_ms: float
    p99_ms: float
    add_s: float
    delete_s: float
    save_s: float
    changed_recall: float


def _ask(way: Any, vectors: FloatArray, query: FloatArray, effort: int) -> NDArray[np.int64]:
    """The nearest, by exact scores."""
    found = way.ask(query, effort)
    if way.near > NEAREST:
        found = found[found >= 0]
        found = found[np.argsort(-(vectors[found] @ query))[:NEAREST]]
    return found


def _recall(found: list[NDArray[np.int64]], truth: NDArray[np.int64]) -> float:
    return float(np.mean([len(np.intersect1d(one, right)) / NEAREST for one, right in zip(found, truth, strict=True)]))


def _disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _build(pipe: Connection, way: Any, data: Path, folder: Path, core: int) -> None:
    _pin(core)
    vectors = np.load(data / "vectors.npy", mmap_mode="r")[:-CHANGED]
    vectors = np.array(vectors)  # in memory before the clock runs
    measure._reset_peak()
    before, began = measure._memory_mb("VmRSS"), time.perf_counter()
    way.build(vectors, folder)
    seconds = time.perf_counter() - began
    pipe.send((seconds, 1e6 * (measure._memory_mb("VmHWM") - before)))


def _use(pipe: Connection, way: Any, data: Path, folder: Path, core: int) -> None:
    _pin(core)
    vectors, queries = np.load(data / "vectors.npy"), np.load(data / "queries.npy")
    truth, changed = np.load(data / "truth.npy"), np.load(data / "changed.npy")
    before, began = measure._memory_mb("VmRSS"), time.perf_counter()
    way.open(folder)
    _ask(way, vectors, queries[0], way.efforts[0])
    open_s = time.perf_counter() - began
    best = (0.0, 0, 0.0)
    half = len(queries) // 2
    for effort in way.efforts:
        began = time.process_time()
        found = [_ask(way, vectors, query, effort) for query in queries]
        each_ms = 1e3 * (time.process_time() - began) / len(queries)
        known, strangers = _recall(found[:half], truth[:half]), _recall(found[half:], truth[half:])
        print(
            f"  effort {effort}: recall {known:.4f} of singers, {strangers:.4f} of strangers, {each_ms:.2f} ms",
            flush=True,
        )
        best = max(best, ((known + strangers) / 2, effort, known))
        if best[0] >= ENOUGH:
            break
    recall, effort, known = best
    # Processor time, which other programs disturb less; a server's is not this process's.
    clock, spent = time.perf_counter if hasattr(way, "sizes") else time.process_time, []
    for query in queries:
        began = clock()
        _ask(way, vectors, query, effort)
        spent.append(clock() - began)
    ram = 1e6 * (measure._memory_mb("VmRSS") - before)
    if hasattr(way, "sizes"):
        ram = float(way.sizes()[1])  # of the index, in the server
    new, gone = np.arange(len(vectors) - CHANGED, len(vectors)), np.load(data / "gone.npy")
    times = []
    try:
        for change in (lambda: way.add(new, vectors[new]), lambda: way.delete(gone), lambda: way.save(folder)):
            began = time.perf_counter()
            change()
            times.append(time.perf_counter() - began)
        after = _recall([_ask(way, vectors, query, effort) for query in queries], changed)
    except NotImplementedError:  # it cannot delete
        after, times = math.nan, [*times, math.nan, math.nan][:3]
    way.close()
    median, worst = 1e3 * np.percentile(spent, [50, 99])
    pipe.send((open_s, ram, effort, recall, known, float(median), float(worst), *times, after))


def _pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def _child(work: Any, *given: Any) -> Any:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=work, args=(theirs, *given))
    child.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        child.join()


def prepare(voices: int, folder: Path) -> None:
    """Make voices, queries and the truth about them."""
    found = made(voices + CHANGED, QUERIES)
    rng = np.random.default_rng(1)
    truth = exact(found.vectors[:-CHANGED], found.queries, np.zeros(0, np.int64))
    # Half of what goes is what was found, so that it is missed where it is found nevertheless.
    near = rng.permutation(np.unique(truth[:, :3]))[: CHANGED // 2]
    others = np.setdiff1d(np.arange(voices), near)
    gone = np.concatenate([near, rng.choice(others, CHANGED - len(near), replace=False)])
    changed = exact(found.vectors, found.queries, gone)
    parts = {"vectors": found.vectors, "queries": found.queries, "truth": truth, "gone": gone, "changed": changed}
    for name, values in parts.items():
        np.save(folder / f"{name}.npy", values)


def cost(way: Any, data: Path, voices: int, core: int) -> Figures:
    """Build a way, and use it."""
    with tempfile.TemporaryDirectory(dir=data) as name:
        folder = Path(name)
        folder.chmod(0o755)
        build_s, build_bytes = _child(_build, way, data, folder, core)
        disk = _disk(folder)
        open_s, ram, *rest = _child(_use, way, data, folder, core)
    return Figures(build_s, build_bytes / voices, disk / voices, open_s, ram / voices, *rest)


def main() -> None:
    given = measure.arguments(
        __doc__,
        voices={"type": int, "default": 1_000_000, "help": "voices in the index"},
        only={"nargs": "*", "help": "names of ways, or parts of them"},
        postgres={"type": Path, "help": "folder with PostgreSQL's programs (initdb, pg_ctl), with pgvector installed"},
        core={"type": int, "default": 0, "help": "the core that all run on"},
        folder={"type": Path, "help": "where to work; a temporary folder unless given"},
    )
    voices = min(given.voices, 20_000) if given.quick else given.voices
    known = index_candidates.ways(given.postgres)
    chosen = [name for name in known if not given.only or any(part in name for part in given.only)]
    rows: list[list[object]] = []
    figures: dict[str, float | str | bool | None] = {"voices": voices}
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        data = Path(name)
        data.chmod(0o755)  # PostgreSQL runs as somebody else
        prepare(voices, data)
        for way in chosen:
            try:
                found = cost(known[way](), data, voices, given.core)
            except (EOFError, ImportError) as error:
                print(f"{way}: {error or 'ended'}", flush=True)
                continue
            rows.append([way, *asdict(found).values()])
            print(*rows[-1], flush=True)
            figures |= {f"{key} {way}": value for key, value in asdict(found).items() if key in TOLD}
    print()
    measure.table(["way", *HEADINGS], rows)
    measure.finish("scale_index", given.quick, **figures)


if __name__ == "__main__":
    main()
