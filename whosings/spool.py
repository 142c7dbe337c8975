"""Decoded recordings of any length, read a piece at a time: memory does not grow with them.

What listens to whole tracks needs some of them more than once: how loud the loud parts are is known at the end only. A
``Spool`` decodes a file once. What a song needs stays in memory, what is longer lies in a temporary file without a name
(230 MB an hour and channel, in the folder that ``TMPDIR`` says), which is gone with the object, or with the process.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from whosings import audio
from whosings.audio import SAMPLE_RATE, Channels, FloatArray, Segment
from whosings.errors import AudioError, MissingFileError, MissingObjectError, StorageError, WhosingsError
from whosings.progress import Progress, silent
from whosings.storage import fetched, is_remote

_IN_MEMORY = 1 << 22  # bytes of a recording that need no file: a minute
STRETCH_S = 60.0
"""Most seconds of a recording that are worked on at once."""

_VALUE = np.dtype(np.float32).itemsize


class Sound(Protocol):
    """A decoded recording: a ``Segment``, in memory, or a ``Spool``."""

    @property
    def track_id(self) -> str:
        """The track it belongs to."""
        ...

    @property
    def start_s(self) -> float:
        """Start in the track, in seconds."""
        ...

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        ...

    def cut(self, start_s: float, duration_s: float) -> Segment:
        """The part that begins ``start_s`` seconds into this one, at most ``duration_s`` long."""
        ...


@contextmanager
def at_hand(path: str | Path) -> Iterator[str | Path]:
    """A recording as a file here: itself, or for as long as the block runs a copy of an object, under its names.

    Errors about the copy become errors about the object.

    Raises:
        AudioError: the object cannot be had.
    """
    location = str(path)
    if not is_remote(location):
        yield path
        return
    try:
        with fetched(location) as here:
            try:
                yield here
            except WhosingsError as error:
                if error.subject != str(here):
                    raise
                raise error.about(location) from error
    except MissingObjectError as error:
        raise MissingFileError(location, error.problem, error.remedy) from error
    except StorageError as error:
        raise AudioError(location, error.problem, error.remedy) from error


class Spool:
    """A whole file, decoded.

    Args:
        path: a file, or the location of an object, which is fetched and kept no longer than it takes to decode it.
        progress: is told of every minute.

    Attributes:
        track_id: the file's path unless named otherwise.
        start_s: 0: it begins where the file does.

    Raises:
        AudioError: as ``audio.load``; also when the folder for temporary files has no room for it.
    """

    start_s = 0.0

    def __init__(
        self, path: str | Path, channels: Channels = 1, track_id: str | None = None, progress: Progress = silent
    ) -> None:
        self.track_id = str(path) if track_id is None else track_id
        self._channels, self._samples = channels, 0
        self._open()
        with at_hand(path) as here:
            self._decode(here, progress)

    def _open(self) -> None:
        """The file, open for as long as this object lives, and no longer."""
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        weakref.finalize(self, self._file.close)

    def _decode(self, path: str | Path, progress: Progress) -> None:
        for block in audio.blocks(path, channels=self._channels, progress=progress):
            self._samples += block.shape[1]
            try:
                self._file.write(np.ascontiguousarray(block.T).data)
            except OSError as error:
                problem = f"cannot be kept decoded in a temporary file ({error.strerror or error})"
                raise AudioError(path, problem, "free space, or let TMPDIR name a folder that has some") from error

    def __getstate__(self) -> dict[str, object]:
        """What is sent to another process: with the samples, so that whole files travel."""
        self._file.seek(0)
        return {**self.__dict__, "_file": self._file.read()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()
        self._file.write(state["_file"])

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self._samples / SAMPLE_RATE

    def cut(self, start_s: float, duration_s: float) -> Segment:
        """See ``Sound``; the samples are read now."""
        first = round(start_s * SAMPLE_RATE)
        count = max(0, min(round(duration_s * SAMPLE_RATE), self._samples - first))
        samples = np.empty((count, self._channels), np.float32)
        self._file.seek(first * self._channels * _VALUE)
        self._file.readinto(samples.data)
        return Segment(np.ascontiguousarray(samples.T), self.start_s + start_s, self.track_id)


@dataclass(frozen=True)
class Cuts(Sequence[FloatArray]):
    """Segments of one length of a recording, (channels, samples) each, read when they are asked for."""

    whole: Sound
    start_s: NDArray[np.float64]
    segment_s: float

    def __len__(self) -> int:
        return len(self.start_s)

    @overload
    def __getitem__(self, place: int) -> FloatArray: ...

    @overload
    def __getitem__(self, place: slice) -> Cuts: ...

    def __getitem__(self, place: int | slice) -> FloatArray | Cuts:
        if isinstance(place, slice):
            return Cuts(self.whole, self.start_s[place], self.segment_s)
        return self.whole.cut(float(self.start_s[place]), self.segment_s).samples


def pieces(sound: Sound, piece_s: float) -> Iterator[FloatArray]:
    """All of a recording, (channels, samples) each, the last one as short as it comes."""
    size = round(piece_s * SAMPLE_RATE)
    for first in range(0, round(sound.duration_s * SAMPLE_RATE), size):
        yield sound.cut(first / SAMPLE_RATE, piece_s).samples


def stretches(start_s: NDArray[np.float64], segment_s: float) -> Iterator[NDArray[np.float64]]:
    """Starts of segments that overlap, a stretch of at most ``STRETCH_S`` at a time."""
    first = 0
    for place in range(1, len(start_s) + 1):
        apart = place == len(start_s) or start_s[place] >= start_s[place - 1] + segment_s
        if apart or start_s[place] + segment_s > start_s[first] + STRETCH_S:
            yield start_s[first:place]
            first = place
