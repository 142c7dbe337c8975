"""Uploads decoded in processes of their own, with limits of memory and time.

A file of a stranger meets a decoder in such a process only. It leaves one channel (or two) of float32 at 16 kHz, which
the service reads a piece at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np

from whosings import audio
from whosings.audio import SAMPLE_RATE, Channels, Segment
from whosings.catalogue.folder_songs import read_tags
from whosings.clips import as_flac, clip_of, levelled
from whosings.errors import AudioError, TooLongError, WhosingsError
from whosings.files import content_hash
from whosings.service.limits import Limits
from whosings.service.problems import BUSY_S, Refusal, named_anew, no_room
from whosings.service.processes import DiedError, Process
from whosings.spans import Span

T = TypeVar("T")
_TRIES = 2  # of a file at whose decoding a process died, which may have been somebody else's doing
_STARTS = 4  # of processes for a file, of which some may end before they begin with it
_MOST_FILES = 500  # of one process: what a decoder leaks is bounded
_VALUE = np.dtype(np.float32).itemsize


class LongError(Exception):
    """A recording takes longer than a request should."""


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
        self._processes: set[Process] = set()
        self._free: SimpleQueue[Process] = SimpleQueue()
        for _ in range(limits.decoders):
            self._free.put(self._new())
        self._threads = ThreadPoolExecutor(limits.decoders, "decoding")  # each waits for one process
        self._closed = False
        self.died = 0

    async def start(self) -> None:
        """Wait until a process can work."""
        await self._run("the decoder", _prepare, ())

    async def decode(
        self, path: Path, name: str, into: Path, channels: Channels = 1, most_s: float | None = None
    ) -> DecodedFile:
        """Decode an upload.

        Args:
            name: what its sender calls it.
            into: the file that is written.
            most_s: seconds of a recording that is decoded now.

        Raises:
            LongError: it is longer than that, by its header or in truth.
            TooLongError: it is longer than the service takes.
            AudioError: it cannot be used, or takes too long or too much memory.
        """
        found = await self._run(name, _decode, (path, into, channels, most_s, self._limits.duration_s), path)
        return replace(found, track_id=name)

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
        loop = asyncio.get_running_loop()
        deaths = 0
        for _ in range(_STARTS):
            try:
                return await loop.run_in_executor(self._threads, self._ask, function, arguments)
            except DiedError as death:
                deaths += death.at_work
            except TimeoutError as error:
                problem = f"takes more than {self._limits.decode_s:g} seconds to decode"
                raise AudioError(name, problem, "send a shorter recording, or in a plainer format") from error
            except WhosingsError as error:
                raise (error if path is None else named_anew(error, str(path), name)) from error
            except MemoryError as error:
                raise AudioError(
                    name, "needs more memory than the service allows", "convert it to FLAC or WAV"
                ) from error
            if self._closed:
                raise Refusal(503, "Stopping", "The service is stopping; ask again in a moment.", BUSY_S)
            if deaths == _TRIES:
                raise AudioError(name, "ends the process that decodes it", "convert it to FLAC or WAV")
        raise Refusal(503, "NoDecoder", "The service cannot decode now; ask again in a moment.", BUSY_S)

    def _ask(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        """In a thread: ask a process that is free, of which there are as many as threads."""
        process = self._free.get()
        try:
            process = self._usable(process)
            return process.ask(function, arguments, self._limits.decode_s)
        except (DiedError, TimeoutError):
            process.end()
            raise
        finally:
            with suppress(DiedError):  # whoever asks next tries again
                process = self._usable(process)
            self._free.put(process)

    def _usable(self, process: Process) -> Process:
        """The process, or a new one where it has ended or done its share.

        Raises:
            DiedError: there cannot be a new one now.
        """
        lives = process.lives
        if self._closed or (lives and process.asked < _MOST_FILES):
            return process
        try:
            new = self._new()
        except OSError as error:  # the system has no more processes or memory
            raise DiedError(at_work=False) from error
        self.died += not lives
        self._processes.discard(process)
        process.end()
        return new

    def _new(self) -> Process:
        process = Process(_prepare, self._limits.decode_bytes)
        self._processes.add(process)
        return process

    def close(self) -> None:
        """End all processes; what they are at is lost."""
        self._closed = True
        for process in tuple(self._processes):
            process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.end()


def too_long(name: str | Path, longest_s: float, lasts_s: float | None = None) -> TooLongError:
    """What is said of a recording that is longer than the service takes.

    Args:
        lasts_s: how long it is, where that is known.
    """
    unit, size = ("hours", 3600.0) if longest_s >= 3600 else ("minutes", 60.0)
    most = f"{longest_s / size:g}"
    problem = (
        f"is longer than {most} {unit}" if lasts_s is None else f"lasts {lasts_s / size:.1f} {unit}, more than {most}"
    )
    return TooLongError(name, problem, "cut it into shorter files")


def _prepare() -> None:
    """In a new process: what decoding needs is imported by now."""


def _decode(path: Path, into: Path, channels: Channels, most_s: float | None, longest_s: float) -> DecodedFile:
    told_s = audio.probe(path).duration_s
    if told_s > longest_s:
        raise too_long(path, longest_s, told_s)
    if most_s is not None and told_s > most_s:
        raise LongError
    sha256, samples = content_hash(path), 0
    try:
        with into.open("wb") as file:  # a process that was killed may have begun it
            for block in audio.blocks(path, channels=channels):
                samples += block.shape[1]
                lasts_s = samples / SAMPLE_RATE  # whatever its header promised
                if lasts_s > longest_s:
                    raise too_long(path, longest_s)
                if most_s is not None and lasts_s > most_s:
                    raise LongError
                file.write(np.ascontiguousarray(block.T).data)
    except OSError as error:
        into.unlink(missing_ok=True)
        raise no_room(error) from error
    except BaseException:
        into.unlink(missing_ok=True)
        raise
    tags = {name: value for name, value in asdict(read_tags(path)).items() if value}
    return DecodedFile(str(path), into, sha256, tags, samples, channels)


def _clip(path: Path, span: Span, within: tuple[Span, ...]) -> bytes:
    return as_flac(levelled(clip_of(path, span, within).samples))
