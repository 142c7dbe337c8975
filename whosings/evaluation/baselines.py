"""Other embedders under the same protocol.

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

from whosings.audio import FloatArray
from whosings.config import FrontEndConfig
from whosings.errors import EvaluationError
from whosings.evaluation.pretrained import HF, HF_CODE, ResemblyzerSegments, open_transformers
from whosings.onnx_segments import ONNX
from whosings.onnx_segments import open_segments as open_named
from whosings.segment_embedding import SegmentsToVectors
from whosings.spectrogram import LogMel, conform

_COEFFICIENTS = 20


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


def open_segments(name: str, device: str = "auto") -> SegmentsToVectors:
    """An embedder by name: ``mfcc``, ``resemblyzer``, ``hf:FOLDER``, or as ``onnx_segments.open_segments``.

    Raises:
        EvaluationError: an empty name.
        CheckpointError: no such model.
        MissingExtraError: what it needs is not installed.
    """
    if not name:
        raise EvaluationError("the encoder", "has no name", "name one, such as default")
    if name == "mfcc":
        return MfccStatistics()
    if name == "resemblyzer":
        return ResemblyzerSegments()
    return open_transformers(name, device) if name.startswith((HF, HF_CODE)) else open_named(name, device)


def short_name(name: str) -> str:
    """An embedder's name as it may stand in a file's: the last part of a path, and a digest of the rest."""
    plain = name.removeprefix(ONNX).removeprefix(HF).removeprefix(HF_CODE).rstrip("/")
    last = Path(plain).stem if name.startswith(ONNX) else Path(plain).name
    return last if last == plain else f"{last}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _mean(values: torch.Tensor) -> torch.Tensor:
    return values.mean(dim=2)


def _deviation(values: torch.Tensor) -> torch.Tensor:
    return values.std(dim=2, correction=0)
