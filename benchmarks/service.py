"""Asking a service against starting the program for every request; stacks of clips; a long mixed load with faults.

Without options, clips of 4 and 8 seconds and a song of 3 minutes are asked of a real `whosings serve` by 1, 8 and 64
clients at once, and in turns as people do without a service: `whosings identify --json FILE`, one process a request,
as many at once as there are cores. `--start` measures how long a service takes to be ready, and its memory at rest,
`--batching` what stacks of clips of one length would gain in the encoder, `--soak MINUTES` runs mixed requests while
processes are killed. `--singers` enrols made voices besides the generated singers who are asked for.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import measure
import numpy as np
import service_soak
import soundfile
import soxr
import torch
from served import Clip, Running, as_file, as_processes, clips_of, enrol_made, name_of, recorded

from whosings.audio import SAMPLE_RATE
from whosings.segment_embedding import Encoder, SegmentEmbedder

SINGERS = 4
CLIENTS = (1, 8, 64)
STACKS = (1, 4, 16)


def main() -> None:
    given = measure.arguments(
        __doc__,
        encoder={"default": "default"},
        singers={"type": int, "default": 0, "help": "made voices to enrol besides"},
        clients={"type": int, "default": 12, "help": "of the long mixed load"},
        start={"action": "store_true"},
        batching={"action": "store_true"},
        soak={"type": float, "nargs": "?", "const": 30.0, "default": None, "metavar": "MINUTES"},
    )
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    figures: dict[str, float | str | bool | None] = {"load_before": os.getloadavg()[0], "singers": float(given.singers)}
    if given.start:
        figures |= start(given.encoder, given.singers, 1 if given.quick else 3)
    if given.batching:
        figures |= batching(given.encoder, 1 if given.quick else 3)
    if given.soak is not None:
        figures |= service_soak.run(given.encoder, given.soak, given.clients)
    if not (given.start or given.batching or given.soak is not None):
        figures |= speed(given.encoder, given.singers, given.quick)
    measure.finish("service", given.quick, **figures, load_after=os.getloadavg()[0])


# ---------------------------------------------------------------------- requests


@dataclass
class Taken:
    """What one way of asking took, over its turns.

    Attributes:
        rates: requests a second of each turn.
        seconds: of each request.
        processor: seconds of each turn, a request.
    """

    rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


def speed(encoder: str, made: int, quick: bool) -> dict[str, float]:
    """Requests a second by ways of asking, in turns; ratios to one process a request."""
    cores = len(os.sched_getaffinity(0))
    singers = range(2 if quick else SINGERS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gallery = folder / "singers.gallery"
        enrol(folder, encoder, singers, made)
        asked = {
            f"{seconds:g} s": [clip for singer in singers for clip in clips_of(singer, seconds, 3)]
            for seconds in (4.0, 8.0)
        }
        asked["3 minutes"] = [song(folder, singer, 12.0 if quick else 180.0) for singer in singers]
        rows: list[list[object]] = []
        figures: dict[str, float] = {}
        service = Running(folder, encoder)
        try:
            for kind, clips in asked.items():
                files = [folder / clip.name for clip in clips]
                for path, clip in zip(files, clips, strict=True):
                    path.write_bytes(clip.content)
                words = [["identify", str(path), "--json", "-g", str(gallery), "--encoder", encoder] for path in files]
                crowd = Crowd(service, clips)
                taken = turns(crowd, words, cores, kind == "3 minutes", quick)
                usual = median(taken["a process a request"].rates)
                for way, found in taken.items():
                    rate = median(found.rates)
                    milliseconds = 1e3 * np.percentile(found.seconds, (50, 99))
                    rows.append([kind, way, rate, rate / usual, *milliseconds, 1e3 * median(found.processor)])
                    if way.endswith("at once"):
                        figures[f"{kind.replace(' ', '_')}_{way.split()[0]}"] = rate / usual
                print(f"{kind}: {crowd.right} of {crowd.asked} answers name the right singer first\n")
                if crowd.changed:
                    raise SystemExit(f"{crowd.changed} answers changed under load")
        finally:
            service.stop()
    headings = ["recording", "way", "requests/s", "times usual", "p50 ms", "p99 ms", "processor ms a request"]
    measure.table(headings, rows)
    return figures


def enrol(folder: Path, encoder: str, singers: Sequence[int], made: int) -> None:
    """Enrol a song of each singer, and made voices."""
    gallery = folder / "singers.gallery"
    for singer in singers:
        path = folder / f"enrolled-{singer}.flac"
        path.write_bytes(as_file(recorded(singer, 0, 60.0).vocals, "FLAC"))
        as_processes([["enrol", name_of(singer), str(path), "-g", str(gallery), "--encoder", encoder]], 1)
    if made:
        enrol_made(gallery, made)


def song(folder: Path, singer: int, seconds: float) -> Clip:
    """A song with its band, as an MP3 of 44.1 kHz in stereo."""
    mono = soxr.resample(recorded(singer, 1, seconds).mixture, SAMPLE_RATE, measure.SONG_RATE)
    path = folder / f"song-{singer}.mp3"
    soundfile.write(path, np.stack([mono, mono], axis=1), measure.SONG_RATE)
    return Clip(path.name, name_of(singer), seconds, path.read_bytes())


def turns(crowd: Crowd, words: Sequence[Sequence[str]], cores: int, long: bool, quick: bool) -> dict[str, Taken]:
    """Each way of asking, several times."""
    counts = {1: 3, 8: 12} if long else {1: 16, 8: 64, 64: 128}
    own = 4 if long else 8
    if quick:
        counts, own = {clients: clients for clients in counts}, 2
    found = {f"{clients} at once": Taken() for clients in counts} | {"a process a request": Taken()}
    crowd.ask(2, 2 * len(crowd.clips))  # which does not count
    for _ in range(1 if quick else 3):
        for clients, count in counts.items():
            crowd.turn(found[f"{clients} at once"], clients, count)
        taken, before, began = found["a process a request"], os.times(), time.perf_counter()
        some = [words[number % len(words)] for number in range(own)]
        taken.seconds += as_processes(some, cores)
        taken.rates.append(own / (time.perf_counter() - began))
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        taken.processor.append(used / own)
    return found


class Crowd:
    """Clients of a service, and whether it tells all of them what it tells one.

    Attributes:
        asked, right: answers, and those in which the right singer comes first.
        changed: answers that were another one than the first for that clip.
    """

    def __init__(self, service: Running, clips: Sequence[Clip]) -> None:
        self.clips, self._service = clips, service
        self._first: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.asked = self.right = self.changed = 0

    def turn(self, taken: Taken, clients: int, count: int) -> None:
        """Ask so often, and write down what it took."""
        before, began = self._service.processor_s(), time.perf_counter()
        taken.seconds += self.ask(clients, count)
        taken.rates.append(count / (time.perf_counter() - began))
        taken.processor.append((self._service.processor_s() - before) / count)

    def ask(self, clients: int, count: int) -> list[float]:
        """Seconds of each of so many requests, by so many clients at once, each of which waits for its answer."""
        numbers: Iterator[int] = iter(range(count))

        def client() -> list[float]:
            seconds = []
            with httpx2.Client(base_url=self._service.address, timeout=600) as line:
                while (number := self._next(numbers)) is not None:
                    clip = self.clips[number % len(self.clips)]
                    began = time.perf_counter()
                    answer = line.post("/v1/identify", files={"file": (clip.name, clip.content)})
                    seconds.append(time.perf_counter() - began)
                    self._look_at(clip, answer)
            return seconds

        with ThreadPoolExecutor(clients) as pool:
            return [one for found in pool.map(lambda _: client(), range(clients)) for one in found]

    def _next(self, numbers: Iterator[int]) -> int | None:
        with self._lock:
            return next(numbers, None)

    def _look_at(self, clip: Clip, answer: httpx2.Response) -> None:
        said = answer.raise_for_status().json()
        named = [(one["singer"], round(one["probability"], 2)) for one in said["top"][:2]]
        with self._lock:
            self.asked += 1
            self.right += bool(named) and named[0][0] == clip.singer
            self.changed += named != self._first.setdefault(clip.name, named)


# ---------------------------------------------------------------------- start


def start(encoder: str, made: int, repeats: int) -> dict[str, float]:
    """Seconds until it is ready, and memory then."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        enrol(folder, encoder, range(1), made)
        rows = []
        for _ in range(repeats + 1):  # the first one reads files that the system does not hold yet
            service = Running(folder, encoder)
            time.sleep(2.0)
            rows.append([service.ready_s, *service.memory_mb(), float(service.open_files())])
            service.stop()
    middle = [median(column) for column in zip(*rows[1:], strict=True)]
    headings = ["start", "seconds", "service MB", "all processes MB", "open files"]
    measure.table(headings, [["first", *rows[0]], ["median of the others", *middle]])
    return {"start_s": middle[0], "service_mb": middle[1], "all_mb": middle[2]}


# ---------------------------------------------------------------------- stacks


def batching(encoder: str, repeats: int) -> dict[str, float]:
    """Clips a second in stacks of exactly one length, against as many threads side by side with a clip each."""
    embedder = SegmentEmbedder(Encoder(encoder, "cpu"))
    figures, rows = {}, []
    with ThreadPoolExecutor(2) as pool:
        torch.set_num_threads(1)
        list(pool.map(torch.ones, [8, 8]))  # each thread settles with how many it works
        for seconds in (4.0, 8.0):
            voice = recorded(0, 1, 8.0 * (STACKS[-1] + 1)).vocals
            length = round(seconds * SAMPLE_RATE)
            waves = [voice[None, first * length : (first + 1) * length] for first in range(STACKS[-1])]
            ways: dict[str, Callable[[], object]] = {}
            for threads in (1, 2):
                for stack in STACKS:
                    ways[f"{threads} thread{'s'[: threads - 1]}, stacks of {stack}"] = stacked(
                        embedder, waves, stack, threads
                    )
            for stack in STACKS[:2]:
                parts = [waves[first : first + stack] for first in range(0, len(waves), stack)]
                ways[f"2 side by side, stacks of {stack}"] = partial(side_by_side, pool, embedder, parts)
            found = measure.interleaved(ways, repeats, rest_s=0.3)
            one, two = found["1 thread, stacks of 1"], found["2 side by side, stacks of 1"]
            for way, took in found.items():
                rows.append([f"{seconds:g} s", way, len(waves) / took, (one if way.startswith("1") else two) / took])
            figures |= {
                f"stacks_of_{stack}_on_{threads}_{seconds:g}s": base / found[f"{threads} thread{s}, stacks of {stack}"]
                for stack in STACKS[1:]
                for threads, s, base in ((1, "", one), (2, "s", two))
            }
    measure.table(["clips", "way", "clips/s", "times one by one"], rows)
    return figures


def stacked(embedder: SegmentEmbedder, waves: Sequence[np.ndarray], stack: int, threads: int) -> Callable[[], object]:
    """All clips in stacks, by so many threads that work on one stack together."""

    def call() -> None:
        torch.set_num_threads(threads)
        for first in range(0, len(waves), stack):
            embedder(waves[first : first + stack])

    return call


def side_by_side(pool: ThreadPoolExecutor, embedder: SegmentEmbedder, stacks: Sequence[Sequence[np.ndarray]]) -> None:
    """All stacks, each by one of the pool's threads."""
    torch.set_num_threads(1)
    list(pool.map(embedder, stacks))


if __name__ == "__main__":
    main()
