"""What the tests give to a cluster: functions that its processes import."""

import os
import time
from pathlib import Path

from whosings.parallel import Finished


def note_and_square(folder: Path, number: int) -> int:
    """Leaves a file for each time that it is tried; item 7 ends its process."""
    (folder / f"{number}-{os.getpid()}-{time.time_ns()}").touch()
    if number == 7:
        os._exit(1)
    time.sleep(0.2)
    return number * number


def tries(folder: Path, number: int) -> int:
    return len(list(folder.glob(f"{number}-*")))


def process_of(folder: Path, number: int) -> int:
    """The process that was last at an item."""
    return int(max(folder.glob(f"{number}-*"), key=lambda path: path.name.split("-")[2]).name.split("-")[1])


def half(number: int) -> Finished[str] | bytes:
    return Finished("none") if number % 3 == 0 else bytes([number]) * 1_000_000


def rest(samples: bytes) -> str:
    return f"{len(samples)} of {samples[0]}"
