"""Rows of a library's file: files, recordings and voices."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whosings import errors
from whosings.audio import FloatArray
from whosings.errors import AudioError, LibraryError
from whosings.heard import HeardVoice
from whosings.opinion_rows import Opinion
from whosings.spans import Span


@dataclass(frozen=True)
class LibraryFile:
    """One file of a collection.

    Attributes:
        path: absolute.
        size: bytes.
        mtime_ns: when it was last changed, in nanoseconds as ``os.stat`` has them.
        tags: what it says of itself, as plain values.
    """

    path: str
    size: int
    mtime_ns: int
    tags: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recording:
    """What a library says of one content.

    Attributes:
        duration_s, vocal_s: seconds, and seconds of singing; 0 where it cannot be used.
        short: it is shorter than a segment.
        opinion: how processed it sounds, if anybody listened for that.
        error: why it cannot be used; None where it can.
        heard_at: UTC, as ISO 8601 has it.
    """

    id: int
    sha256: str
    duration_s: float
    vocal_s: float
    short: bool
    opinion: Opinion | None
    error: Problem | None
    heard_at: str

    def error_of(self, path: str | Path) -> AudioError | None:
        """Why a file of this content cannot be used; None where it can."""
        return None if self.error is None else self.error.of(path)


@dataclass(frozen=True)
class Problem:
    """An error without the file that it was about: a file may move."""

    kind: str
    problem: str
    remedy: str

    def of(self, path: str | Path) -> AudioError:
        """The error of a file."""
        kind = getattr(errors, self.kind, AudioError)
        known = isinstance(kind, type) and issubclass(kind, AudioError)
        return (kind if known else AudioError)(path, self.problem, self.remedy)


@dataclass(frozen=True)
class LibraryVoices:
    """Voices of a library, by recording and number.

    Attributes:
        ids, recordings: (voices,) the rows' own numbers, and the recordings they belong to.
        means: float32 (voices, dimensions), each the mean of unit embeddings.
        amounts: (voices,) how many segments' worth of voice that is.
        seconds: (voices,) how long each is heard.
    """

    ids: NDArray[np.int64]
    recordings: NDArray[np.int64]
    means: FloatArray
    amounts: NDArray[np.float64]
    seconds: NDArray[np.float64]


def of_voice(voice: HeardVoice) -> tuple[bytes, float, float, bytes]:
    """A voice as the columns ``mean``, ``amount``, ``seconds`` and ``spans``.

    Raises:
        LibraryError: its embedding is no number.
    """
    ends = np.array([(span.start_s, span.stop_s) for span in voice.spans], np.float64)
    mean = np.asarray(voice.mean, np.float32)
    if not np.isfinite(mean).all():
        raise LibraryError("a voice", "has an embedding that is no number", "use another recording or encoder")
    return mean.tobytes(), float(voice.amount), float(voice.seconds), ends.tobytes()


def to_voice(mean: bytes, amount: float, seconds: float, ends: bytes) -> HeardVoice:
    """The inverse.

    Raises:
        TypeError, ValueError: the columns hold no voice.
    """
    spans = tuple(Span(*both) for both in np.frombuffer(ends, np.float64).reshape(-1, 2).tolist())
    return HeardVoice(np.frombuffer(mean, np.float32), float(amount), spans, float(seconds))
