"""Who works on a scan, side by side: processes of this machine, a Ray cluster's actors, and one process alone.

Generated songs are written as MP3, and each way scans them into a new library, in turns, in a process of its own as
people run it. ``steady`` leaves out what comes once: it counts from the end of the first file to the end of the last,
with as many files as that takes, so that a cluster's start and the loading of models are not in it. ``whole`` is all of
it. Processor seconds are those of the scan's own processes and, without a cluster, of all.

The model of cost in ``docs/scaling.md`` stands on ``steady``: ``--workers 1 2 4`` gives throughput by workers.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import measure


@dataclass(frozen=True)
class Run:
    """One scan.

    Attributes:
        whole_s: from the beginning of the process to its end.
        steady_s: a file, between the first one's end and the last one's.
        processor_s: of all processes, a file, starts included.
    """

    whole_s: float
    steady_s: float
    processor_s: float


def main() -> None:
    given = measure.arguments(
        __doc__,
        songs={"type": int, "default": 24},
        minutes={"type": float, "default": 3.0},
        encoders={"nargs": "+", "default": ["fast", "default"]},
        workers={"nargs": "+", "type": int, "default": [2]},
        repeats={"type": int, "default": 3},
    )
    songs, minutes, repeats = (6, 0.5, 1) if given.quick else (given.songs, given.minutes, given.repeats)
    figures: dict[str, float] = {}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "songs").mkdir()
        for number in range(min(songs, 4)):
            measure.write_song(folder / f"songs/{number}.mp3", 60 * minutes, number)
        copies(folder / "songs", songs)
        for encoder in given.encoders:
            ways = {
                f"{engine}, {workers} workers": ("--engine", engine, "--workers", str(workers), "--encoder", encoder)
                for workers in given.workers
                for engine in ("local", "ray")
            }
            found: dict[str, list[Run]] = {way: [] for way in ways}
            for turn in range(repeats):
                for way, words in ways.items():
                    found[way].append(scan(folder, words, f"{turn}"))
            for way, runs in found.items():
                steady = median(run.steady_s for run in runs)
                spread = [3600 / run.steady_s for run in runs]
                whole, processor = (median(getattr(run, kind) for run in runs) for kind in ("whole_s", "processor_s"))
                between = f"{min(spread):,.0f}-{max(spread):,.0f}"
                of_all = "" if way.startswith("ray") else f"{processor:.3g}"  # a cluster's are nobody's children
                rows.append((encoder, way, 3600 / steady, between, 24 * 3600 / steady, whole, of_all))
            for workers in given.workers:
                local, ray = (
                    median(run.steady_s for run in found[f"{engine}, {workers} workers"]) for engine in ("local", "ray")
                )
                figures[f"{encoder}_{workers}_ray_over_local"] = ray / local
    measure.table(
        ("encoder", "way", "tracks an hour", "least and most", "a day", "whole, s", "processor s a track"), rows
    )
    print(f"{songs} songs of {minutes:g} minutes, {repeats} turns, {os.cpu_count()} cores\n")
    measure.finish("scale_engines", given.quick, **figures)


def copies(folder: Path, count: int) -> None:
    """As many files as that, of the songs that are there: other contents by what stands behind the last frame."""
    made = sorted(folder.iterdir())
    for number in range(len(made), count):
        whole = made[number % len(made)].read_bytes()
        (folder / f"{number}.mp3").write_bytes(whole + b"\0" * (number + 1))


def scan(folder: Path, words: tuple[str, ...], name: str) -> Run:
    """All songs into a new library."""
    library = folder / f"{name}.library"
    library.unlink(missing_ok=True)
    command = [sys.executable, "-m", "whosings", "scan", folder / "songs", "--library", library, "--json", *words]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ends = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            ends.append(time.perf_counter())
            if json.loads(line)["state"] != "heard":
                raise SystemExit(f"a song was not heard: {line}")
    whole_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(whole_s, (ends[-1] - ends[0]) / (len(ends) - 1), used / len(ends))


if __name__ == "__main__":
    main()
