"""Embedders by name, any ONNX model among them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.config import FrontEndConfig
from whosings.errors import CheckpointError, MissingExtraError
from whosings.files import content_hash
from whosings.segment_embedding import Encoder, SegmentEmbedder, SegmentsToVectors
from whosings.spectrogram import conform

ONNX = "onnx:"
"""Begins the name of an ONNX model: ``onnx:FILE``."""

_BATCH = 16  # segments a run, as ``SegmentEmbedder`` has them


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

        self.name = Path(path).name
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
        ready = (conform(samples, self.front_end)[0] for samples in waveforms)
        return np.concatenate([self._run(np.stack(batch)) for batch in iter(lambda: list(islice(ready, _BATCH)), [])])

    def _run(self, batch: FloatArray) -> FloatArray:
        try:
            (found,) = self._session.run(None, {self._input: batch.astype(np.float32)})
        except Exception as error:
            raise CheckpointError(self._path, f"cannot embed segments of {SAMPLE_RATE} Hz", self._remedy) from error
        if found.ndim != 2 or len(found) != len(batch):
            raise CheckpointError(self._path, f"gives an output of the shape {found.shape}", self._remedy)
        return np.asarray(found, np.float32)


def open_segments(name: str, device: str = "auto") -> SegmentsToVectors:
    """An embedder by name: ``onnx:FILE``, else an encoder's name, path or ``hub:owner/name``.

    Raises:
        CheckpointError: no such model.
        MissingExtraError: what it needs is not installed.
    """
    if name.startswith(ONNX):
        return OnnxSegments(name.removeprefix(ONNX))
    return SegmentEmbedder(Encoder(name, device))
