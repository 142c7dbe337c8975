"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int], Callable[[], None]]
"""Is given a label and a number of steps, and returns a function to call after each step."""


def silent(label: str, steps: int) -> Callable[[], None]:
    """The ``Progress`` that shows nothing."""
    return lambda: None
