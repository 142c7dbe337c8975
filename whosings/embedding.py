"""Audio to vocal segments to embeddings: the one inference path.

Evaluation, gallery, command line and service all embed through ``TrackEmbedder``. The ladder below it, each rung adding
one conversion: ``Encoder`` (spectrograms), ``SegmentEmbedder`` (waveforms), ``TrackEmbedder`` (files).

Conventions
-----------
- Embeddings are float32 rows of unit length; cosine similarity is a dot product.
- A track is cut into segments of the encoder's length, one every ``hop_s`` seconds; those with singing are embedded.
- A recording shorter than a segment is trimmed of silence and repeated until it fills one, and flagged ``short``.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from whosings import audio
from whosings.audio import FloatArray, Segment
from whosings.config import FrontEndConfig
from whosings.devices import open_device, usable
from whosings.encoder.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from whosings.errors import AudioError, ManifestError, SilentAudioError
from whosings.files import atomic
from whosings.opinion import Opinion, SecondOpinion
from whosings.spectrogram import LogMel, conform
from whosings.vocals.activity import Activity, trim
from whosings.vocals.detector import ActivityDetector

VOCAL_THRESHOLD = 0.5
"""Least mean vocal probability of a segment that is embedded."""

_SILENT_PEAK = 1e-4  # -80 dBFS
_TAIL_S = 0.1  # a longer rest at the end gets a segment of its own
_MIN_TRIMMED_S = 0.25  # of voice, left of a short recording


@dataclass(frozen=True)
class Embeddings:
    """What an encoder makes of one track.

    Attributes:
        track_id: the file's path unless named otherwise.
        vectors: float32 (segments, dimensions), unit length; no rows where nobody sings.
        start_s: (segments,) seconds into the track.
        vocal: (segments,) probability that somebody sings.
        segment_s: seconds a segment covers.
        duration_s: of the track.
        fingerprint: of the encoder.
        short: the recording was shorter than a segment and has been repeated: expect less of it.
        activity: where in the track somebody sings, by 3-second pieces.
        opinion: how processed the voice sounds, if that was asked for and there is enough of it.
    """

    track_id: str
    vectors: FloatArray
    start_s: NDArray[np.float64]
    vocal: NDArray[np.float64]
    segment_s: float
    duration_s: float
    fingerprint: str
    short: bool
    activity: Activity
    opinion: Opinion | None = None


class Encoder:
    """Spectrograms -> embeddings.

    Args:
        checkpoint: name, path, hub id, or one already loaded.
        device: a torch device; ``"auto"`` takes a GPU if there is one.

    Raises:
        CheckpointError: see ``load_checkpoint``.
        ConfigError: there is no such device, or no room on it.
    """

    def __init__(self, checkpoint: str | Path | Checkpoint = DEFAULT, device: str = "auto") -> None:
        self.device = open_device(device)
        self.checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else load_checkpoint(checkpoint)
        with usable(self.device):
            self._module = self.checkpoint.encoder.to(self.device)

    @torch.inference_mode()
    def __call__(self, spectrograms: Tensor) -> Tensor:
        """(batch, channels, mel_bins, frames) -> (batch, dimensions), rows of unit length."""
        return F.normalize(self._module(spectrograms.to(self.device)).float(), dim=-1)


class SegmentsToVectors(Protocol):
    """What ``TrackEmbedder`` needs: a ``SegmentEmbedder``, or any other embedder made to look like one."""

    @property
    def front_end(self) -> FrontEndConfig:
        """Length of a segment and number of channels; the rest as the embedder pleases."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of everything that decides what it computes."""
        ...

    def __call__(self, waveforms: Sequence[FloatArray]) -> FloatArray:
        """Segments, each (channels, samples) at 16 kHz -> float32 (segments, dimensions)."""
        ...


class SegmentEmbedder:
    """Waveforms -> embeddings.

    Args:
        encoder: an ``Encoder``, or what makes one.
        batch: segments a forward pass.
    """

    def __init__(self, encoder: Encoder | str | Path | Checkpoint = DEFAULT, batch: int = 16) -> None:
        self.encoder = encoder if isinstance(encoder, Encoder) else Encoder(encoder)
        self.front_end = self.encoder.checkpoint.config.front_end
        self._log_mel = LogMel(self.front_end).to(self.encoder.device)
        self._batch = batch

    @property
    def fingerprint(self) -> str:
        """Of the encoder."""
        return self.encoder.checkpoint.fingerprint

    @torch.inference_mode()
    def __call__(self, waveforms: Sequence[FloatArray]) -> FloatArray:
        """Embed segments.

        Args:
            waveforms: each (1 or 2 channels, any samples) at 16 kHz; see ``conform`` for how they are brought to size.

        Returns:
            float32 (segments, dimensions), rows of unit length.
        """
        rows = [np.zeros((0, self.encoder.checkpoint.dimensions), np.float32)]
        for first in range(0, len(waveforms), self._batch):
            block = np.stack([conform(samples, self.front_end) for samples in waveforms[first : first + self._batch]])
            spectrograms = self._log_mel(torch.from_numpy(block).to(self.encoder.device))
            rows.append(self.encoder(spectrograms).cpu().numpy())
        return np.concatenate(rows)


class TrackEmbedder:
    """Files -> embeddings.

    Args:
        segments: what embeds segments, or what makes a ``SegmentEmbedder``: a checkpoint's name, path or hub id.
        hop_s: seconds from one segment to the next; None takes half a segment.
        second_opinion: listens to the same segments, if given.
    """

    def __init__(
        self,
        segments: SegmentsToVectors | Encoder | str | Path | Checkpoint = DEFAULT,
        hop_s: float | None = None,
        second_opinion: SecondOpinion | None = None,
    ) -> None:
        self.segments: SegmentsToVectors = (
            SegmentEmbedder(segments) if isinstance(segments, Encoder | str | Path | Checkpoint) else segments
        )
        self.front_end = self.segments.front_end
        self._detector, self._second_opinion = ActivityDetector(), second_opinion
        self.hop_s = hop_s if hop_s is not None else self.front_end.segment_s / 2

    @property
    def checkpoint(self) -> Checkpoint:
        """The encoder's checkpoint; of a ``SegmentEmbedder`` only."""
        assert isinstance(self.segments, SegmentEmbedder)
        return self.segments.encoder.checkpoint

    @property
    def fingerprint(self) -> str:
        """Of what embeds the segments."""
        return self.segments.fingerprint

    def __call__(self, track: str | Path | Segment) -> Embeddings:
        """Embed one track: a file, or samples already decoded.

        Raises:
            AudioError: a subclass says why: missing, unreadable, empty, truncated, silent, too short, too long, NaN.
        """
        return self._embed(self._cut(track))

    def many(self, tracks: Iterable[str | Path | Segment]) -> Iterator[Embeddings | AudioError]:
        """Embed tracks in order; what cannot be used comes back as its error, and the work goes on.

        Decoding runs ahead in a thread; no more than a few tracks are in memory at a time.
        """
        remaining = iter(tracks)
        with ThreadPoolExecutor(1) as pool:
            ahead: list[Future[_Cut]] = [pool.submit(self._cut, track) for track in islice(remaining, 3)]
            while ahead:
                first = ahead.pop(0)
                ahead.extend(pool.submit(self._cut, track) for track in islice(remaining, 1))
                try:
                    yield self._embed(first.result())
                except AudioError as error:
                    yield error

    def at(self, track: str | Path | Segment, start_s: Iterable[float]) -> FloatArray:
        """Embed given places of a track, whoever sings or does not there: float32 (places, dimensions).

        How a stem is embedded where its mixture is sung.

        Raises:
            AudioError: as calling it; silence is no error here.
        """
        whole = track if isinstance(track, Segment) else audio.load(track, self.front_end.channels)
        return self.segments([whole.cut(float(start), self.front_end.segment_s).samples for start in start_s])

    def _cut(self, track: str | Path | Segment) -> _Cut:
        whole = track if isinstance(track, Segment) else audio.load(track, self.front_end.channels)
        name, duration_s = whole.track_id, whole.duration_s
        audio.refuse_short(name, duration_s)
        if float(max(whole.samples.max(), -whole.samples.min())) < _SILENT_PEAK:
            raise SilentAudioError(name, "is silent", "use a recording in which somebody sings")
        activity = self._detector(whole.samples)
        segment_s = self.front_end.segment_s
        short = duration_s < segment_s
        if short:
            voiced = trim(whole.samples)
            start_s = voiced.start / audio.SAMPLE_RATE
            segment = whole.cut(start_s, voiced.stop / audio.SAMPLE_RATE - start_s)
            return _Cut(whole.track_id, duration_s, [segment] * (segment.duration_s >= _MIN_TRIMMED_S), activity, short)
        starts = np.arange(0.0, duration_s - segment_s + 1e-6, self.hop_s)
        if duration_s - segment_s - starts[-1] > _TAIL_S:  # the end of the track is sung too
            starts = np.append(starts, duration_s - segment_s)
        segments = [
            whole.cut(float(start), segment_s) for start in starts if activity.of(start, segment_s) >= VOCAL_THRESHOLD
        ]
        return _Cut(whole.track_id, duration_s, segments, activity, short)

    def _embed(self, cut: _Cut) -> Embeddings:
        length_s = self.front_end.segment_s
        samples = [segment.samples for segment in cut.segments]
        return Embeddings(
            track_id=cut.track_id,
            vectors=self.segments(samples),
            start_s=np.array([segment.start_s for segment in cut.segments], dtype=np.float64),
            vocal=np.array([cut.activity.of(s.start_s, s.duration_s) for s in cut.segments], dtype=np.float64),
            segment_s=min(length_s, cut.duration_s),
            duration_s=cut.duration_s,
            fingerprint=self.fingerprint,
            short=cut.short,
            activity=cut.activity,
            opinion=self._second_opinion(samples) if self._second_opinion is not None else None,
        )


@dataclass(frozen=True)
class _Cut:
    track_id: str
    duration_s: float
    segments: list[Segment]
    activity: Activity
    short: bool


class EmbeddingStore:
    """Embeddings of a run on their way to one Parquet file; use it as a context manager.

    Columns ``track_id, start_s, vocal, embedding`` (float16, fixed length), the encoder's fingerprint in the metadata.
    Until ``finish``, tracks lie in parts beside the file, so that an interrupted run loses at most one part.

    Args:
        path: the file; one that is there already is extended.

    Raises:
        ManifestError: the file, or a part, is of another encoder or is not a table of embeddings.
    """

    def __init__(self, path: str | Path, fingerprint: str, tracks_a_part: int = 64) -> None:
        self._path, self._fingerprint, self._size = Path(path), fingerprint, tracks_a_part
        self._folder = self._path.with_name(f"{self._path.name}.parts")
        self._waiting: list[Embeddings] = []
        self._tables: list[pa.Table] = []
        self._done: set[str] = set()
        parts = sorted(part for part in self._folder.glob("*.parquet") if part.name[0] != ".")
        for part in [self._path, *parts]:
            if part.exists():
                table = self._read(part)  # a crash while finishing leaves parts that the file holds, too
                names = table["track_id"].to_pylist()
                table = table.filter(pa.array([name not in self._done for name in names], pa.bool_()))
                self._done.update(names)
                self._tables.append(table)

    def __contains__(self, track_id: str) -> bool:
        """Whether the track's embeddings are stored; a track without singing never is."""
        return track_id in self._done

    def add(self, track: Embeddings) -> None:
        """Take a track's embeddings."""
        self._waiting.append(track)
        self._done.add(track.track_id)
        if len(self._waiting) >= self._size:
            self._flush()

    def finish(self) -> int:
        """Write the file, if there is anything to write, and clear the parts away; the number of segments in it."""
        self._flush()
        if not self._tables:
            return 0
        whole = pa.concat_tables(self._tables)
        _write_parquet(whole, self._path)
        if self._folder.exists():
            shutil.rmtree(self._folder)
        return int(whole.num_rows)

    def __enter__(self) -> EmbeddingStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._tables.append(self._table(self._waiting))
            _write_parquet(self._tables[-1], self._folder / f"{time.time_ns():020d}.parquet")
            self._waiting = []

    def _table(self, tracks: Sequence[Embeddings]) -> pa.Table:
        dimensions = tracks[0].vectors.shape[1]
        vectors = [track.vectors.astype(np.float16).reshape(-1) for track in tracks]
        return pa.table(
            {
                "track_id": pa.array([track.track_id for track in tracks for _ in track.start_s], pa.string()),
                "start_s": pa.array([float(s) for track in tracks for s in track.start_s], pa.float64()),
                "vocal": pa.array([float(v) for track in tracks for v in track.vocal], pa.float64()),
                "embedding": pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(vectors)), dimensions),
            }
        ).replace_schema_metadata({"fingerprint": self._fingerprint})

    def _read(self, path: Path) -> pa.Table:
        try:
            table = pa.parquet.read_table(path)
            fingerprint = (table.schema.metadata or {})[b"fingerprint"].decode()
        except (pa.ArrowException, OSError, KeyError) as error:
            raise ManifestError(path, "is not a table of embeddings", "name another file") from error
        if fingerprint != self._fingerprint:
            raise ManifestError(
                path,
                f"holds embeddings of encoder {fingerprint[:12]}, not {self._fingerprint[:12]}",
                "name another file, or that encoder",
            )
        return table


def _write_parquet(table: pa.Table, path: Path) -> None:
    with atomic(path) as beside:
        pa.parquet.write_table(table, beside)
