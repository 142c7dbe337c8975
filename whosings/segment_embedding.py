"""Waveforms to embeddings: an encoder on its device, and segments of a track in batches or in one pass.

The ladder: ``Encoder`` (spectrograms), ``SegmentEmbedder`` (waveforms), and above them ``whosings.embedding`` (files).
Embeddings are float32 rows of unit length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from whosings.audio import FloatArray
from whosings.config import AnyFrontEnd
from whosings.devices import convolves_faster_in_bf16, open_device, usable
from whosings.encoder.blocks import FrameWindows
from whosings.encoder.campplus import Campplus
from whosings.encoder.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from whosings.progress import Progress, silent, stage
from whosings.spectrogram import conform, in_channels, open_front_end
from whosings.spool import Cuts, Sound, stretches

WINDOW_S, WINDOW_HOP_S = 2.0, 0.5
"""Seconds of the windows by which voices are told apart, and from one to the next."""

_ROUNDING_S = 1e-3


@dataclass(frozen=True)
class Windows:
    """Short windows of one track that are sung.

    Attributes:
        vectors: float32 (windows, dimensions), unit length.
        start_s: (windows,) ascending, seconds into the track.
        window_s: seconds a window covers, and ``hop_s`` from one to the next.
    """

    vectors: FloatArray
    start_s: NDArray[np.float64]
    window_s: float = WINDOW_S
    hop_s: float = WINDOW_HOP_S


class Encoder:
    """Spectrograms -> embeddings.

    Args:
        checkpoint: name, path, ``hub:owner/name``, or one already loaded.
        device: a torch device; ``"auto"`` takes a GPU if there is one.
        precision: ``"auto"`` computes CAM++ in bf16 where the device does so natively, which is faster by half and
            changes no answer (``benchmarks/inference.py``); ``"float32"`` is the same everywhere.

    Raises:
        CheckpointError: see ``load_checkpoint``.
        ConfigError: there is no such device, or no room on it.
    """

    def __init__(
        self,
        checkpoint: str | Path | Checkpoint = DEFAULT,
        device: str = "auto",
        precision: Literal["auto", "float32"] = "auto",
    ) -> None:
        self.device = open_device(device)
        self.checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else load_checkpoint(checkpoint)
        with usable(self.device):
            self._module = self.checkpoint.encoder.to(self.device)
        if precision == "auto" and isinstance(self._module, Campplus) and convolves_faster_in_bf16(self.device):
            self._module = self._module.in_bf16()

    @property
    def pools_windows(self) -> bool:
        """Whether ``windows`` can be asked."""
        return isinstance(self._module, PoolsWindows)

    @torch.inference_mode()
    def __call__(self, spectrograms: Tensor) -> Tensor:
        """(batch, channels, mel_bins, frames) -> (batch, dimensions), rows of unit length."""
        return F.normalize(self._module(spectrograms.to(self.device)).float(), dim=-1)

    @torch.inference_mode()
    def windows(self, spectrogram: Tensor, *wanted: SecondsWindows) -> list[FloatArray]:
        """Embeddings (windows, dimensions) of each length in one stretch, through which the encoder goes once.

        Args:
            spectrogram: the whole stretch, (1, channels, mel_bins, frames).
        """
        assert isinstance(self._module, PoolsWindows)
        front_end = self.checkpoint.config.front_end
        rate = front_end.sample_rate / front_end.hop
        frames = [
            FrameWindows(torch.from_numpy(np.round(windows.start_s * rate).astype(np.int64)).to(self.device), length)
            for windows in wanted
            for length in [front_end.frames if windows.length_s is None else round(windows.length_s * rate)]
        ]
        found = self._module.windows(spectrogram.to(self.device), *frames)
        return [F.normalize(rows.float(), dim=-1).cpu().numpy() for rows in found]


@dataclass(frozen=True)
class SecondsWindows:
    """Windows of one length in a stretch, by their starts in seconds; a length of None is a segment's."""

    start_s: NDArray[np.float64]
    length_s: float | None = None


@runtime_checkable
class PoolsWindows(Protocol):
    """An encoder's module that works frame by frame before it pools."""

    def windows(self, spectrogram: Tensor, *wanted: FrameWindows) -> list[Tensor]:
        """A stretch (1, channels, mel_bins, frames) -> (windows, dimensions) of each length that is wanted."""
        ...


class SegmentsToVectors(Protocol):
    """What ``TrackEmbedder`` needs: a ``SegmentEmbedder``, or any other embedder made to look like one."""

    @property
    def front_end(self) -> AnyFrontEnd:
        """Length of a segment and number of channels; the rest as the embedder pleases."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash over everything that decides what it computes."""
        ...

    def __call__(self, waveforms: Sequence[FloatArray]) -> FloatArray:
        """Segments, each (channels, samples) at 16 kHz -> float32 (segments, dimensions)."""
        ...


@dataclass(frozen=True)
class TrackVectors:
    """Embeddings of a track's segments, (segments, dimensions), and of short windows, if the encoder gives any."""

    segments: FloatArray
    windows: Windows | None


class SegmentEmbedder:
    """Waveforms -> embeddings.

    Args:
        encoder: an ``Encoder``, or what makes one.
        batch: segments a forward pass.
    """

    def __init__(self, encoder: Encoder | str | Path | Checkpoint = DEFAULT, batch: int = 16) -> None:
        self.encoder = encoder if isinstance(encoder, Encoder) else Encoder(encoder)
        self.front_end = self.encoder.checkpoint.config.front_end
        self._spectrograms = open_front_end(self.front_end).to(self.encoder.device)
        self._batch = batch

    @property
    def fingerprint(self) -> str:
        """The encoder's fingerprint."""
        return self.encoder.checkpoint.fingerprint

    @torch.inference_mode()
    def __call__(self, waveforms: Sequence[FloatArray]) -> FloatArray:
        """Embed segments.

        Args:
            waveforms: each (1 or 2 channels, any samples) at 16 kHz; see ``conform`` for how they are brought to size.

        Returns:
            float32 (segments, dimensions), rows of unit length.
        """
        rows = np.zeros((len(waveforms), self.encoder.checkpoint.dimensions), np.float32)
        fitting = [conform(samples, self.front_end, not self.front_end.any_length) for samples in waveforms]
        for places in _of_one_length(fitting, self._batch):
            rows[places] = self.encoder(self._heard([fitting[place] for place in places])).cpu().numpy()
        return rows

    def along(self, whole: Sound, start_s: NDArray[np.float64]) -> FloatArray:
        """Embed segments of a track: float32 (segments, dimensions), rows of unit length.

        Args:
            start_s: starts of the segments in seconds, ascending.
        """
        return self.listen(whole, start_s).segments

    @torch.inference_mode()
    def listen(self, whole: Sound, start_s: NDArray[np.float64], progress: Progress = silent) -> TrackVectors:
        """Embed segments of a track, and short windows of what they cover.

        An encoder that can be pooled by windows hears overlapping segments once, in stretches; segments that the end of
        the track cuts short, and those of any other encoder, are heard one by one, and have no windows.

        Args:
            start_s: starts of the segments in seconds, ascending.
            progress: is told of every stretch, of a minute at most, and of every batch.
        """
        segment_s = self.front_end.segment_s
        fit = (start_s + segment_s <= whole.duration_s + _ROUNDING_S) & self.encoder.pools_windows
        # Filled in as they come: results kept by themselves would lie among what is freed, and the heap would grow.
        vectors = np.zeros((len(start_s), self.encoder.checkpoint.dimensions), np.float32)
        grid = _window_starts(start_s[fit], segment_s)
        windows = np.zeros((len(grid), vectors.shape[1]), np.float32)
        places, alone = np.flatnonzero(fit), np.flatnonzero(~fit)
        parts, batches = _parts(start_s[places], segment_s, grid), range(0, len(alone), self._batch)
        with stage(progress, f"embedding {Path(whole.track_id).name}", len(parts) + len(batches)) as step:
            # The longest first: of memory in which a long one fitted, a shorter one needs no more.
            for number, part in enumerate(sorted(parts, key=lambda part: -part.duration_s), 1):
                stretch = whole.cut(part.start_s, part.duration_s)
                heard = self._heard([in_channels(stretch.samples, self.front_end.channels)])
                wanted = [SecondsWindows(start_s[places[part.segments]] - part.start_s)]
                if part.windows.stop > part.windows.start:
                    wanted.append(SecondsWindows(grid[part.windows] - part.start_s, WINDOW_S))
                vectors[places[part.segments]], *short = self.encoder.windows(heard, *wanted)
                if short:
                    windows[part.windows] = short[0]
                step(number)
            for number, first in enumerate(batches, 1):
                places = alone[first : first + self._batch]
                vectors[places] = self(Cuts(whole, start_s[places], segment_s))
                step(len(parts) + number)
        return TrackVectors(vectors, Windows(windows, grid) if len(grid) else None)

    def _heard(self, waves: Sequence[FloatArray]) -> Tensor:
        """Spectrograms of waves of one length."""
        heard: Tensor = self._spectrograms(torch.from_numpy(np.stack(waves)).to(self.encoder.device))
        return heard


@dataclass(frozen=True)
class _Part:
    """A stretch of a track: where it is, in seconds, and which segments and windows are read from it."""

    start_s: float
    duration_s: float
    segments: slice
    windows: slice


def _parts(start_s: NDArray[np.float64], segment_s: float, grid: NDArray[np.float64]) -> list[_Part]:
    """Stretches of overlapping segments; a window is read from the first stretch that holds it.

    Args:
        start_s, grid: starts of segments and of windows, ascending.
    """
    parts: list[_Part] = []
    first = done = 0
    for own in stretches(start_s, segment_s):
        end_s = float(own[-1]) + segment_s
        until = int(np.searchsorted(grid, end_s - WINDOW_S + _ROUNDING_S))
        segments, windows = slice(first, first + len(own)), slice(done, max(done, until))
        parts.append(_Part(float(own[0]), end_s - float(own[0]), segments, windows))
        first, done = segments.stop, windows.stop
    return parts


def _of_one_length(waves: Sequence[FloatArray], most: int) -> Iterator[list[int]]:
    """Places of waves in batches of one length."""
    by_length: dict[int, list[int]] = {}
    for place, wave in enumerate(waves):
        by_length.setdefault(wave.shape[1], []).append(place)
    for places in by_length.values():
        for first in range(0, len(places), most):
            yield places[first : first + most]


def _window_starts(start_s: NDArray[np.float64], segment_s: float) -> NDArray[np.float64]:
    """Starts of the short windows that lie within segments, on a grid that begins with the track."""
    first = np.ceil((start_s - _ROUNDING_S) / WINDOW_HOP_S).astype(int)
    last = np.floor((start_s + segment_s - WINDOW_S + _ROUNDING_S) / WINDOW_HOP_S).astype(int)
    places = {place for begin, end in zip(first, last, strict=True) for place in range(begin, end + 1)}
    return np.array(sorted(places), float) * WINDOW_HOP_S
