"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int], Callable[[], None]]
"""Is given a label and a number of steps, and returns a function to call after each step."""


def silent(label: str, steps: int) -> Callable[[], None]:
    """The ``Progress`` that shows nothing."""
    return lambda: None


@contextmanager
def stage(progress: Progress, label: str, steps: int) -> Iterator[Callable[[int], None]]:
    """Work of about so many steps: when it ends, or breaks off, all of them have been told.

    Yields:
        What to call with the number of steps that are done.
    """
    steps, told = max(1, steps), 0
    step = progress(label, steps)

    def reach(done: int) -> None:
        nonlocal told
        for _ in range(min(done, steps) - told):
            step()
            told += 1

    try:
        yield lambda done: reach(min(done, steps - 1))  # the last step is the end's
    finally:
        reach(steps)
