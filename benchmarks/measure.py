"""What the benchmarks share: interleaved timing, peak memory of a child process, a generated song, tables, a JSON line.

Machines are noisy: ways that are compared take turns, and medians are reported. Nothing here asserts on time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from whosings.choir.songs import Song

FloatArray = NDArray[np.float32]

SONG_RATE = 44_100
MP3_KBITS = 192
_MP3_KBITS_RANGE = (320, 32)  # libsndfile's compression levels 0 and 1 at a constant bit rate


def arguments(description: str | None, **extra: dict[str, Any]) -> argparse.Namespace:
    """The command line that all benchmarks have, plus what one of them adds."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything: to see that it runs")
    for name, options in extra.items():
        parser.add_argument(f"--{name}", **options)
    return parser.parse_args()


def interleaved(
    ways: Mapping[str, Callable[[], object]], repeats: int, calls: int = 1, rest_s: float = 0.0
) -> dict[str, float]:
    """Median seconds a call of each way; the ways take turns, after one call of each that does not count.

    Args:
        calls: calls a turn, for short ones; a turn then begins with one more that does not count.
        rest_s: seconds before a turn, where one way's threads would still be spinning in the next one's time.
    """
    for call in ways.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, call in ways.items():
            time.sleep(rest_s)
            if calls > 1:
                call()
            began = time.perf_counter()
            for _ in range(calls):
                call()
            seconds[name].append((time.perf_counter() - began) / calls)
    return {name: median(values) for name, values in seconds.items()}


@dataclass(frozen=True)
class Cost:
    """What one call cost in a process of its own.

    Attributes:
        seconds: of the call.
        extra_mb: peak resident memory during the call beyond what was resident before it, in 10^6 bytes.
        peak_mb: peak resident memory of the whole process.
        result: what the call returned.
    """

    seconds: float
    extra_mb: float
    peak_mb: float
    result: Any


def in_child(prepare: Callable[..., Callable[[], Any]], *given: Any) -> Cost:
    """Run ``prepare(*given)`` and then, measured, what it returns, in a new process.

    Args:
        prepare: a function of the script's top level, so that the new process finds it.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_measured, args=(theirs, prepare, given))
    child.start()
    theirs.close()
    try:
        cost: Cost = ours.recv()
    except EOFError:
        child.join()
        raise SystemExit(f"the measured process ended with code {child.exitcode} (-9: out of memory)") from None
    child.join()
    return cost


def write_song(path: Path, duration_s: float = 240.0, seed: int = 0) -> Path:
    """Write a generated song of about this length, 44.1 kHz stereo (Opus: 48 kHz); the path's ending says the format.

    MP3 has a constant bit rate of 192 kbit/s; ``.flac`` is 16-kHz mono, as the package writes it.
    """
    import soundfile
    import soxr

    from whosings.audio import SAMPLE_RATE, write_flac

    song = _song(duration_s, seed)
    if path.suffix == ".flac":
        write_flac(path, song.mixture[None])
        return path
    rate = 48_000 if path.suffix == ".opus" else SONG_RATE
    stereo = np.stack([0.9 * song.vocals + song.instrumental, 0.9 * song.vocals + 0.7 * song.instrumental], axis=1)
    stereo = soxr.resample(stereo.astype(np.float32), SAMPLE_RATE, rate)
    # Real recordings fill the band above 8 kHz, and codecs work on it.
    stereo += np.random.default_rng(seed).normal(0, 0.003, stereo.shape).astype(np.float32)
    stereo *= np.float32(0.9 / np.abs(stereo).max())
    if path.suffix == ".mp3":
        most, least = _MP3_KBITS_RANGE
        level = (most - MP3_KBITS) / (most - least)
        soundfile.write(path, stereo, rate, bitrate_mode="CONSTANT", compression_level=level)
    elif path.suffix == ".opus":
        _write_blocks(path, stereo, rate, "OPUS")
    else:
        _write_blocks(path, stereo, rate, "VORBIS")
    return path


def need_ffmpeg() -> None:
    """Stop with one sentence where the usual way cannot run."""
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        raise SystemExit(
            "The usual way runs the ffmpeg and ffprobe programs, which are not installed: "
            "apt-get install ffmpeg (Debian, Ubuntu) or brew install ffmpeg (macOS)."
        )


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in columns; floats get three significant digits."""
    cells = [[str(heading) for heading in headings], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for number, row in enumerate(cells):
        first, *others = zip(row, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
    print(flush=True)


def finish(benchmark: str, quick: bool, **figures: float | str | bool | None) -> None:
    """Print the last line: one JSON object."""
    rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"benchmark": benchmark, "quick": quick, **rounded}))


@cache
def _song(duration_s: float, seed: int) -> Song:
    from whosings.choir.cast import draw_singer
    from whosings.choir.songs import record

    return record(draw_singer(seed, 0), 0, duration_s)


def _write_blocks(path: Path, stereo: FloatArray, rate: int, subtype: str) -> None:
    """Block by block: libsndfile's Ogg encoders overflow the stack when given minutes at once."""
    import soundfile

    with soundfile.SoundFile(path, "w", rate, stereo.shape[1], subtype, format="OGG") as file:
        for first in range(0, len(stereo), rate):
            file.write(stereo[first : first + rate])


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def _measured(to_parent: Connection, prepare: Callable[..., Callable[[], Any]], given: tuple[Any, ...]) -> None:
    call = prepare(*given)
    _reset_peak()
    before = _memory_mb("VmRSS")
    began = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - began
    peak = _memory_mb("VmHWM")
    to_parent.send(Cost(seconds, peak - before, peak, result))
    to_parent.close()


def _reset_peak() -> None:
    """Let the peak start from what is resident now, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _memory_mb(field: str) -> float:
    """Resident memory of this process: now (``VmRSS``) or at its peak (``VmHWM``).

    Where there is no /proc, both are the peak so far that getrusage knows. It is the second choice on Linux, because
    there a new process inherits the peak of the one that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith(field + ":"))
        return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
