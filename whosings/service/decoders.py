"""Uploads decoded in processes of their own, with limits of memory and time.

A file of a stranger meets a decoder in such a process only. It leaves one channel (or two) of float32 at 16 kHz, which
the service reads a piece at a time.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pebble import ProcessExpired, ProcessPool

from whosings import audio
from whosings.audio import SAMPLE_RATE, Channels, Segment
from whosings.catalogue.folder_songs import read_tags
from whosings.clips import as_flac, clip_of, levelled
from whosings.errors import AudioError, TooLongError, WhosingsError
from whosings.files import content_hash
from whosings.service.limits import Limits
from whosings.service.problems import Refusal, named_anew, no_room
from whosings.spans import Span

T = TypeVar("T")
_TRIES = 2  # of a file at whose decoding a process died, which may have been somebody else's doing
_VALUE = np.dtype(np.float32).itemsize


@dataclass(frozen=True)
class DecodedFile:
    """A decoded recording that lies in a file: float32 at 16 kHz, channels interleaved. See ``spool.Sound``.

    Attributes:
        track_id: what its sender calls it.
        sha256: of the upload's content.
        tags: what the upload says of itself, as plain values.
        samples: of each channel.
    """

    track_id: str
    path: Path
    sha256: str
    tags: dict[str, Any]
    samples: int
    channels: int = 1
    start_s: float = 0.0

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / SAMPLE_RATE

    def cut(self, start_s: float, duration_s: float) -> Segment:
        """See ``spool.Sound``; the samples are read now."""
        first = round(start_s * SAMPLE_RATE)
        count = max(0, min(round(duration_s * SAMPLE_RATE), self.samples - first))
        with self.path.open("rb") as file:
            file.seek(first * self.channels * _VALUE)
            found = np.fromfile(file, np.float32, count * self.channels)
        return Segment(np.ascontiguousarray(found.reshape(-1, self.channels).T), self.start_s + start_s, self.track_id)


class Decoders:
    """Processes that decode; ``close`` ends them.

    A process that dies, or takes too long, is replaced. A file at whose decoding one died is tried once more.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        context = multiprocessing.get_context("spawn")
        # Each ends after some files: what a decoder leaks is bounded.
        self._pool = ProcessPool(limits.decoders, 500, _begin, [limits.decode_bytes], context)
        self.died = 0

    async def start(self) -> None:
        """Wait until a process can work."""
        await self._run("the decoder", _is_ready, ())

    async def decode(self, path: Path, name: str, into: Path, channels: Channels = 1) -> DecodedFile:
        """Decode an upload.

        Args:
            name: what its sender calls it.
            into: the file that is written.

        Raises:
            AudioError: it cannot be used, or takes too long or too much memory.
        """
        found = await self._run(name, _decode, (path, into, channels, self._limits.duration_s), path)
        return replace(found, track_id=name)

    async def duration_s(self, path: Path, name: str) -> float:
        """How long a recording is by its header, in seconds.

        Raises:
            TooLongError: longer than what is taken.
            AudioError: it cannot be used.
        """
        found = await self._run(name, _duration_s, (path,), path)
        if found > self._limits.duration_s:
            unit, size = ("hours", 3600.0) if self._limits.duration_s >= 3600 else ("minutes", 60.0)
            problem = f"lasts {found / size:.1f} {unit}, more than {self._limits.duration_s / size:g}"
            raise TooLongError(name, problem, "cut it into shorter files")
        return found

    async def clip(self, path: Path, name: str, span: Span, within: Sequence[Span] = ()) -> bytes:
        """A few seconds around a passage, as FLAC, levelled.

        Args:
            within: where the voice sings; see ``clips.clip_of``.

        Raises:
            AudioError: the recording cannot be used.
        """
        return await self._run(name, _clip, (path, span, tuple(within)), path)

    async def _run(
        self, name: str, function: Callable[..., T], arguments: tuple[Any, ...], path: Path | None = None
    ) -> T:
        for _ in range(_TRIES):
            try:
                future = self._pool.schedule(function, arguments, timeout=self._limits.decode_s)
                return await asyncio.wrap_future(future)
            except ProcessExpired:
                self.died += 1
            except TimeoutError as error:
                self.died += 1
                problem = f"takes more than {self._limits.decode_s:g} seconds to decode"
                raise AudioError(name, problem, "send a shorter recording, or in a plainer format") from error
            except WhosingsError as error:
                raise (error if path is None else named_anew(error, str(path), name)) from error
            except MemoryError as error:
                raise AudioError(
                    name, "needs more memory than the service allows", "convert it to FLAC or WAV"
                ) from error
            except RuntimeError as error:  # the pool is closed
                raise Refusal(503, "Stopping", "The service is stopping; ask again in a moment.", 5) from error
        raise AudioError(name, "ends the process that decodes it", "convert it to FLAC or WAV")

    def close(self) -> None:
        """End all processes; what they are at is lost."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


def _begin(most_bytes: int) -> None:
    """In a new process: bounded memory, no core dumps, silence; a terminal's interrupt is the service's to handle."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "darwin":  # where address space has no limit
        resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # where libraries in C write what they think


def _is_ready() -> bool:
    return True


def _decode(path: Path, into: Path, channels: Channels, longest_s: float) -> DecodedFile:
    sha256, samples = content_hash(path), 0
    try:
        with into.open("wb") as file:  # which may hold what a process left that died
            for block in audio.blocks(path, channels=channels):
                samples += block.shape[1]
                if samples > longest_s * SAMPLE_RATE:
                    problem = f"is longer than {longest_s / 60:g} minutes"  # whatever its header said
                    raise TooLongError(path, problem, "cut it into shorter files")
                file.write(np.ascontiguousarray(block.T).data)
    except OSError as error:
        into.unlink(missing_ok=True)
        raise no_room(error) from error
    except BaseException:
        into.unlink(missing_ok=True)
        raise
    tags = {name: value for name, value in asdict(read_tags(path)).items() if value}
    return DecodedFile(str(path), into, sha256, tags, samples, channels)


def _duration_s(path: Path) -> float:
    return audio.probe(path).duration_s


def _clip(path: Path, span: Span, within: tuple[Span, ...]) -> bytes:
    return as_flac(levelled(clip_of(path, span, within).samples))
