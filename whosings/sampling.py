"""Draws by hash: the same on every machine, whatever else is drawn."""

from __future__ import annotations

import hashlib
import json


def sort_key(seed: int, name: str) -> str:
    """A key for one name; sorting names by it shuffles them in a way that the seed alone decides."""
    return hashlib.sha256(json.dumps([seed, name]).encode()).hexdigest()


def draw(seed: int, name: str, below: int, number: int) -> list[int]:
    """So many different numbers from 0 to ``below - 1``, in the order of their draw; all of them where there are fewer.

    The seed, the name and ``below`` decide alone.
    """
    if number >= below:
        return sorted(range(below), key=lambda value: sort_key(seed, f"{name} {value}"))
    found: dict[int, None] = {}
    attempt = 0
    while len(found) < number:
        found.setdefault(int(sort_key(seed, f"{name} {attempt}")[:15], 16) % below)
        attempt += 1
    return list(found)
