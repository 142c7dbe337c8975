"""What `service.py` and its long mixed load share: a service that runs, and generated singers to ask about."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from gallery import sung, unit
from numpy.typing import NDArray

from whosings.audio import SAMPLE_RATE
from whosings.choir.cast import draw_singer
from whosings.choir.songs import Song, record
from whosings.embedding import Embeddings
from whosings.enrolled import NewTrack
from whosings.gallery import Gallery
from whosings.vocals.activity import Activity

FloatArray = NDArray[np.float32]

SEED = 100  # of the first singer
START_S = 180.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Clip:
    """A clip to ask about: a FLAC of one singer.

    Attributes:
        singer: who sings.
        seconds: about how long; each has a length of its own.
    """

    name: str
    singer: str
    seconds: float
    content: bytes


def recorded(singer: int, number: int, seconds: float) -> Song:
    """A song of a generated singer, by stems; song 0 is the one that is enrolled."""
    return record(draw_singer(SEED + singer, 0), number, seconds)


def name_of(singer: int) -> str:
    """Of a generated singer."""
    return f"singer {singer}"


def clips_of(singer: int, seconds: float, count: int) -> Iterator[Clip]:
    """Loud passages of a singer's song 1, each of a slightly different length, as real clips have."""
    song = recorded(singer, 1, 60.0).vocals
    for number in range(count):
        length = round((seconds + 0.37 * (number % 3) / 2 + 0.011 * singer) * SAMPLE_RATE)
        power = np.cumsum(np.square(song, dtype=np.float64))
        starts = np.arange(0, len(song) - length, SAMPLE_RATE // 4)
        start = int(starts[np.argsort(power[starts] - power[starts + length])[2 * number]])
        yield Clip(
            f"{singer}-{seconds:g}-{number}.flac",
            name_of(singer),
            seconds,
            as_file(song[start : start + length], "FLAC"),
        )


def as_file(samples: FloatArray, format: str) -> bytes:
    """A mono file at 16 kHz."""
    import soundfile

    content = BytesIO()
    soundfile.write(content, samples, SAMPLE_RATE, format=format, subtype="PCM_16")
    return content.getvalue()


def enrol_made(path: Path, singers: int) -> None:
    """Enrol so many made voices besides those that are there: two tracks each, as `gallery.py` makes them."""
    with Gallery(path) as gallery:
        rng, dimensions = np.random.default_rng(0), gallery.voices.vectors.shape[1]
        voices = unit(rng.standard_normal((singers, dimensions), np.float32))
        start_s, vocal = 3.0 * np.arange(10), np.ones(10)
        activity = Activity(start_s, vocal, "level")

        def tracks() -> Iterator[NewTrack]:
            for number, voice in enumerate(voices):
                for track in range(2):
                    rows, name = sung(voice, (10,), rng), f"made {number}/{track}"
                    heard = Embeddings(name, rows, start_s, vocal, 6.0, 33.0, gallery.fingerprint, False, activity)
                    yield NewTrack(f"~ made {number:05d}", heard, name)

        gallery.add_many(tracks())


def as_processes(words: Sequence[Sequence[str]], at_once: int) -> list[float]:
    """Run `whosings` with each list of words, so many at once with one thread each; seconds of each."""
    seconds, waiting, running = [], list(words), {}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    while waiting or running:
        while waiting and len(running) < at_once:
            command = [sys.executable, "-m", "whosings", *waiting.pop(0)]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
            running[process.pid] = (process, time.perf_counter())
        done = next((pid for pid, (process, _) in running.items() if process.poll() is not None), None)
        if done is None:
            time.sleep(0.005)
            continue
        process, began = running.pop(done)
        if process.returncode:
            raise SystemExit(f"whosings ended with code {process.returncode}")
        seconds.append(time.perf_counter() - began)
    return seconds


class Running:
    """`whosings serve` as people run it, in a folder of its own; ``stop`` or ``kill`` it.

    Attributes:
        ready_s: seconds from the start of the program until it was ready.
    """

    def __init__(self, folder: Path, encoder: str, *words: str) -> None:
        self.folder, self.data = folder, folder / "data"
        self.log = folder / "log.txt"
        files = ["--gallery", folder / "singers.gallery", "--library", folder / "songs.library", "--data", self.data]
        command = [sys.executable, "-m", "whosings", "serve", "--port", "0", "--json", "--encoder", encoder]
        began = time.perf_counter()
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*command, *map(str, files), *words], stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        self.address = json.loads(self.process.stdout.readline())["address"].rstrip("/")
        while not self._ready():
            if self.process.poll() is not None or time.perf_counter() - began > START_S:
                raise SystemExit(f"the service did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.01)
        self.ready_s = time.perf_counter() - began

    def _ready(self) -> bool:
        try:
            with urlopen(f"{self.address}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    # ------------------------------------------------------------------ what it uses

    def children(self) -> list[int]:
        """Processes that decode."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                parent = int(stat_of(path)[1])
                if parent == self.process.pid and b"spawn_main" in (path / "cmdline").read_bytes():
                    found.append(int(path.name))
            except (OSError, IndexError):  # it has ended
                continue
        return found

    def processor_s(self) -> float:
        """Processor seconds of the service and its processes, also of those that have ended."""
        total = 0
        for pid in (self.process.pid, *self.children()):
            try:
                total += sum(map(int, stat_of(Path(f"/proc/{pid}"))[11 : 15 if pid == self.process.pid else 13]))
            except OSError:
                continue
        return total / _TICKS

    def memory_mb(self) -> tuple[float, float]:
        """Resident memory of the service, and of all its processes, in 10^6 bytes."""
        own, *others = [resident_mb(pid) for pid in (self.process.pid, *self.children())]
        return own, own + sum(others)

    def open_files(self) -> int:
        """Open file descriptors of the service."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def lines(self) -> Iterator[dict[str, Any]]:
        """Lines of its log."""
        with self.log.open() as log:
            yield from (json.loads(line) for line in log if line.startswith("{"))


def stat_of(process: Path) -> list[str]:
    """Fields of /proc/PID/stat from the state on, which is the third one."""
    return (process / "stat").read_text().rsplit(")", 1)[1].split()


def resident_mb(pid: int) -> float:
    """Resident memory of a process; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmRSS:")), 0.0)
