"""Stretches of a recording."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A stretch of a recording, in seconds."""

    start_s: float
    stop_s: float

    def __str__(self) -> str:
        """Minutes and seconds of both ends, to tenths, as ``0:12.0-0:18.0``."""
        ends = (round(self.start_s, 1), round(self.stop_s, 1))
        return "-".join(f"{int(end) // 60}:{end % 60:04.1f}" for end in ends)


def joined(parts: Iterable[Span]) -> tuple[Span, ...]:
    """Stretches in order, those that touch as one."""
    found: list[Span] = []
    for part in sorted(parts, key=lambda part: part.start_s):
        if found and part.start_s <= found[-1].stop_s + 1e-6:
            found[-1] = Span(found[-1].start_s, max(found[-1].stop_s, part.stop_s))
        else:
            found.append(part)
    return tuple(found)
