"""Draws by hash: the same on every machine, whatever else is drawn."""

from __future__ import annotations

import hashlib
import json


def sort_key(seed: int, name: str) -> str:
    """A key for one name; sorting names by it shuffles them in a way that the seed alone decides."""
    return hashlib.sha256(json.dumps([seed, name]).encode()).hexdigest()
