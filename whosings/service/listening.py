"""Uploads to what is heard of them: decoded by processes, listened to by threads that share one warm model.

Several recordings are heard at once, each by one thread. They are not stacked into one batch: recordings differ in
length, and the encoder pools over the whole stretch that it hears, so that padding would change answers
(``benchmarks/service.py`` says what stacks of equal length would gain).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar
from uuid import uuid4

import torch

from whosings.calibration import Calibration, calibration_of
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.heard import HeardTrack, hear
from whosings.onnx_segments import open_segments
from whosings.opinion import SecondOpinion
from whosings.parallel import cores
from whosings.progress import Progress, silent
from whosings.service.decoders import DecodedFile, Decoders
from whosings.service.limits import Limits, Places

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Upload:
    """A file that was sent.

    Attributes:
        name: what its sender calls it, made fit.
        path: where it lies for the time of the request.
    """

    name: str
    path: Path


@dataclass(frozen=True)
class Heard:
    """What was heard of an upload."""

    decoded: DecodedFile
    probe: Embeddings
    track: HeardTrack


class Listening:
    """The model, and the threads and processes that use it.

    Args:
        encoder, device: as of the command line.

    Raises:
        CheckpointError: there is no such encoder, or it carries no calibration.
    """

    def __init__(self, places: Places, limits: Limits, encoder: str = "default", device: str = "auto") -> None:
        self.decoders = Decoders(limits)  # they start while the model is loaded
        self.embedder = TrackEmbedder(open_segments(encoder, device), second_opinion=SecondOpinion())
        self.calibration: Calibration = calibration_of(self.embedder.checkpoint)
        self._places = places
        self._quick = ThreadPoolExecutor(limits.listeners or cores(), "listening")
        self._long = ThreadPoolExecutor(1, "long")
        self._clerk = ThreadPoolExecutor(1, "clerk")

    async def start(self) -> None:
        """Get ready: processes that decode, and a model that has heard something."""
        torch.set_num_threads(1)  # recordings are heard side by side, which two threads for one are no match for
        await self.decoders.start()

    async def at_desk(self, function: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Do something with gallery or library, one at a time."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._clerk, lambda: function(*given, **named))

    async def at_length(self, function: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Do something that takes minutes, one at a time."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._long, lambda: function(*given, **named))

    async def hear(self, upload: Upload, progress: Progress | None = None, most_s: float | None = None) -> Heard:
        """Decode an upload, and listen to it.

        Args:
            progress: of a job, which has a thread of its own; None for a request that somebody waits for.
            most_s: seconds of a recording that is listened to; of any length unless given.

        Raises:
            AudioError: it cannot be used.
            LongError: it is longer than ``most_s``.
        """
        into = self._places.work / f"{uuid4().hex}.f32"
        channels = self.embedder.front_end.channels
        try:
            decoded = await self.decoders.decode(upload.path, upload.name, into, channels, most_s)
            lane = self._quick if progress is None else self._long
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(lane, self._listen, decoded, progress or silent)
        finally:
            with suppress(OSError):
                into.unlink(missing_ok=True)

    def _listen(self, decoded: DecodedFile, progress: Progress) -> Heard:
        probe = self.embedder(decoded, progress)
        return Heard(decoded, probe, hear(probe, self.calibration))

    def close(self) -> None:
        """End processes and threads."""
        self.decoders.close()
        for pool in (self._quick, self._long, self._clerk):
            pool.shutdown(wait=True, cancel_futures=True)
