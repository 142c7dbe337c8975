"""Other embedders under the same protocol: MFCC statistics, any ONNX model.

Each is a ``SegmentsToVectors``, so that tracks are cut, decoded and judged for singing as for our own encoders. A
self-supervised baseline (the paper's CLMR) is trained with ``--pairs track`` and is a checkpoint like any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.config import FrontEndConfig
from whosings.embedding import Encoder, SegmentEmbedder, SegmentsToVectors
from whosings.errors import CheckpointError, EvaluationError, MissingExtraError
from whosings.files import content_hash
from whosings.spectrogram import LogMel, conform

_COEFFICIENTS = 20
_ONNX = "onnx:"


class MfccStatistics:
    """Mean and deviation over time of 20 mel-frequency cepstral coefficients and of their differences: 80 numbers."""

    fingerprint = "mfcc-1"
    front_end = FrontEndConfig(channels=1)

    def __call__(self, waveforms: Sequence[FloatArray]) -> FloatArray:
        """See ``SegmentsToVectors``; the rows do not have unit length."""
        if not len(waveforms):
            return np.zeros((0, 4 * _COEFFICIENTS), np.float32)
        batch = torch.from_numpy(np.stack([conform(samples, self.front_end) for samples in waveforms]))
        log_mel = self._log_mel(batch)[:, 0]
        cepstra = torch.einsum("kb,nbt->nkt", self._cosines, log_mel)
        change = cepstra.diff(dim=2)
        return torch.cat([f(x) for x in (cepstra, change) for f in (_mean, _deviation)], dim=1).numpy()

    @cached_property
    def _log_mel(self) -> LogMel:
        return LogMel(self.front_end)

    @cached_property
    def _cosines(self) -> torch.Tensor:
        """Orthonormal type-II cosine transform, its first rows."""
        bins = self.front_end.mel_bins
        rows = torch.cos(torch.pi / bins * (torch.arange(bins) + 0.5) * torch.arange(_COEFFICIENTS)[:, None])
        rows *= (2 / bins) ** 0.5
        rows[0] /= 2**0.5
        return rows


class OnnxSegments:
    """An ONNX model with one input (batch, samples) of mono audio at 16 kHz and one output (batch, dimensions).

    Args:
        path: the model.
        segment_s: seconds a segment.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        CheckpointError: no such model, or one of another form.
    """

    def __init__(self, path: str | Path, segment_s: float = 6.0) -> None:
        MissingExtraError.require("onnxruntime", "ONNX models", "export")
        import onnxruntime

        self.front_end = FrontEndConfig(channels=1, segment_s=segment_s)
        remedy = "give a model with one input (batch, samples) and one output (batch, dimensions)"
        try:
            self.fingerprint = content_hash(path)
            self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except OSError as error:
            raise CheckpointError(path, "cannot be read", "check the path") from error
        except Exception as error:  # onnxruntime's own errors have no public base
            raise CheckpointError(path, "is no ONNX model that can be run", remedy) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 2 or len(outputs) != 1:
            raise CheckpointError(path, "has other inputs or outputs", remedy)
        self._path, self._remedy, self._input = path, remedy, inputs[0].name
        self._dimensions = self._run(np.zeros((1, self.front_end.samples), np.float32)).shape[1]

    def __call__(self, waveforms: Sequence[FloatArray]) -> FloatArray:
        """See ``SegmentsToVectors``."""
        if not len(waveforms):
            return np.zeros((0, self._dimensions), np.float32)
        return self._run(np.stack([conform(samples, self.front_end)[0] for samples in waveforms]))

    def _run(self, batch: FloatArray) -> FloatArray:
        try:
            (found,) = self._session.run(None, {self._input: batch.astype(np.float32)})
        except Exception as error:
            raise CheckpointError(self._path, f"cannot embed segments of {SAMPLE_RATE} Hz", self._remedy) from error
        if found.ndim != 2 or len(found) != len(batch):
            raise CheckpointError(self._path, f"gives an output of the shape {found.shape}", self._remedy)
        return np.asarray(found, np.float32)


def open_segments(name: str, device: str = "auto") -> SegmentsToVectors:
    """An embedder by name: ``mfcc``, ``onnx:FILE``, else an encoder's name, path or ``hub:owner/name``.

    Raises:
        EvaluationError: an empty name.
        CheckpointError: no such model.
        MissingExtraError: what it needs is not installed.
    """
    if not name:
        raise EvaluationError("the encoder", "has no name", "name one, such as default")
    if name == "mfcc":
        return MfccStatistics()
    if name.startswith(_ONNX):
        return OnnxSegments(name.removeprefix(_ONNX))
    return SegmentEmbedder(Encoder(name, device))


def short_name(name: str) -> str:
    """An embedder's name as it may stand in a file's: the last part of a path, and a digest of the rest."""
    plain = name.removeprefix(_ONNX).rstrip("/")
    last = Path(plain).stem if name.startswith(_ONNX) else Path(plain).name
    return last if last == plain else f"{last}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _mean(values: torch.Tensor) -> torch.Tensor:
    return values.mean(dim=2)


def _deviation(values: torch.Tensor) -> torch.Tensor:
    return values.std(dim=2, correction=0)
