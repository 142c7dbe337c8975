"""One track on its way through a preparation: what is given, found out, stored, and what becomes of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whosings.catalogue.fingerprint import Words
from whosings.catalogue.manifest import Track
from whosings.storage import is_remote


class TrackOutcome(StrEnum):
    """What became of a track. The order is that of the filters."""

    NO_SINGER = "no singer"
    SET_APART = "not one lead singer"
    UNREADABLE = "unreadable"
    CONFLICT = "conflicting singers"
    DUPLICATE = "duplicate"
    COMPILATION = "contains other tracks"
    FEW_VOCALS = "few vocals"
    FEW_TRACKS = "few tracks of the singer"
    NOT_SEPARATED = "not separated"
    KEPT = "kept"


@dataclass(frozen=True)
class Listed:
    """A track as it is given to a preparation.

    Attributes:
        excluded: why it is not even listened to; None if it is.
        detail: one clause on that.
    """

    track: Track
    excluded: TrackOutcome | None = None
    detail: str = ""


@dataclass(frozen=True)
class Examination:
    """What listening to a file tells.

    Attributes:
        sha256: of the file.
        pieces: (pieces,) vocal probability of each 3-second piece.
        vocal: share of the duration in pieces that hold singing.
        words: fingerprint of the recording.
    """

    sha256: str
    duration_s: float
    pieces: NDArray[np.float32]
    vocal: float
    words: Words


@dataclass(frozen=True)
class Stored:
    """Where a kept track's sound lies, and by what method it was made.

    Attributes:
        sha256: of the file at ``path``.
    """

    path: str
    sha256: str
    vocals_path: str | None
    instrumental_path: str | None
    method: str


@dataclass(frozen=True)
class Entry:
    """One track of the journal; what is not known of it is None."""

    number: int
    track: Track
    outcome: TrackOutcome | None
    detail: str
    sha256: str | None
    duration_s: float | None
    vocal: float | None
    pieces: NDArray[np.float32]
    stored: Stored | None


def storable(listed: Listed) -> Listed:
    """A track as tables can hold it: what is no text is escaped, and a track with such a path not listened to."""
    values = {field.name: getattr(listed.track, field.name) for field in fields(Track)}
    paths: dict[str, Any] = {n: Path(_escaped(str(path))) for n, path in values.items() if isinstance(path, Path)}
    texts: dict[str, Any] = {n: _escaped(text) for n, text in values.items() if isinstance(text, str)}
    track = replace(listed.track, **texts, **paths)
    if all(path == values[name] for name, path in paths.items()):
        return replace(listed, track=track)
    return Listed(track, TrackOutcome.UNREADABLE, "has characters in its path that tables cannot hold")


def _escaped(text: str) -> str:
    """Text with escapes for what no table and no file can have: surrogates, by which Python passes on bytes; NUL."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def track_to_json(track: Track) -> str:
    """A track as text, for a database."""
    return json.dumps({field.name: _plain(getattr(track, field.name)) for field in fields(Track)})


def track_from_json(text: str) -> Track:
    """The inverse of ``track_to_json``."""
    values = json.loads(text)
    for name in ("path", "vocals_path", "instrumental_path"):
        if values[name] is not None and not is_remote(values[name]):
            values[name] = Path(values[name])
    return Track(**{**values, "target_singer_ids": tuple(values["target_singer_ids"])})


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
