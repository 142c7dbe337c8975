"""Pretrained models of others as embedders: Hugging Face audio models from a local folder, and Resemblyzer.

Both hear segments of 16-kHz audio, as every embedder here does. A model that wants another rate is given resampled
audio, without anything above 8 kHz.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch

from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.config import FrontEndConfig
from whosings.devices import open_device
from whosings.errors import CheckpointError, MissingExtraError, clause
from whosings.files import content_hash
from whosings.spectrogram import conform

HF, HF_CODE = "hf:", "hf-code:"
"""Begin the names of Hugging Face models: ``hf:FOLDER``, or ``hf-code:FOLDER`` to run the Python code in the folder."""

_BATCH = 8  # segments a forward pass
_XVECTOR, _EXTRACTOR = "ForXVector", "preprocessor_config.json"
_SPEECH_DB = -30.0  # level to which Resemblyzer brings quiet recordings


class TransformersSegments:
    """A Hugging Face audio model: mean over time of a hidden layer, or its speaker embedding if it has one.

    Args:
        folder: as ``save_pretrained`` writes it, with ``config.json`` and ``preprocessor_config.json``.
        layer: hidden layer, 0 for what goes into the first; None takes the last, or the speaker embedding.
        code: run the Python code that comes with the model. Only for folders that you trust.
        segment_s: seconds a segment.

    Raises:
        MissingExtraError: transformers is not installed.
        CheckpointError: no such folder, no audio model, a damaged one, or one that needs its own code.
    """

    def __init__(
        self,
        folder: str | Path,
        device: str = "cpu",
        layer: int | None = None,
        code: bool = False,
        segment_s: float = 6.0,
    ) -> None:
        MissingExtraError.require("transformers", "Hugging Face models", "rivals")
        from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioXVector

        self._folder, self._layer, self._device = Path(folder), layer, open_device(device)
        if not (self._folder / "config.json").is_file():
            raise CheckpointError(folder, "is no folder of a Hugging Face model", "give one that holds config.json")
        local = {"local_files_only": True, "trust_remote_code": code}
        try:
            with _quietly():
                config = AutoConfig.from_pretrained(self._folder, **local)
                speaker = layer is None and any(name.endswith(_XVECTOR) for name in config.architectures or ())
                self._extractor: Any = AutoFeatureExtractor.from_pretrained(self._folder, **local)
                model: Any = (AutoModelForAudioXVector if speaker else AutoModel).from_pretrained(self._folder, **local)
        except Exception as error:  # whatever a model's own code or a damaged file raises
            raise self._not_loaded(error) from error
        model = model.get_encoder() if getattr(config, "is_encoder_decoder", False) else model
        self._model = model.to(self._device).eval()
        self._rate = int(getattr(self._extractor, "sampling_rate", SAMPLE_RATE))
        self.front_end = FrontEndConfig(channels=1, segment_s=segment_s, peak_normalise=False)
        self.fingerprint = _folder_hash(self._folder, f"{layer}")
        self.parameters = sum(weight.numel() for weight in self._model.parameters())
        self._dimensions = self([np.zeros((1, self.front_end.samples), np.float32)]).shape[1]

    @torch.inference_mode()
    def __call__(self, waveforms: Sequence[FloatArray]) -> FloatArray:
        """See ``SegmentsToVectors``; the rows do not have unit length."""
        if not len(waveforms):
            return np.zeros((0, self._dimensions), np.float32)
        parts = []
        for first in range(0, len(waveforms), _BATCH):
            ready = [self._ready(samples) for samples in waveforms[first : first + _BATCH]]
            try:
                given = self._extractor(ready, sampling_rate=self._rate, return_tensors="pt").to(self._device)
                found = self._model(**given, output_hidden_states=True)
                vectors = found.embeddings if "embeddings" in found else self._pooled(found)
            except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
                remedy = "give a model that takes audio, and a layer that it has"
                raise CheckpointError(self._folder, f"cannot embed segments ({clause(error)})", remedy) from error
            parts.append(vectors.float().cpu().numpy())
        return np.concatenate(parts)

    def _ready(self, samples: FloatArray) -> FloatArray:
        wave = conform(samples, self.front_end)[0]
        return (
            wave if self._rate == SAMPLE_RATE else np.asarray(soxr.resample(wave, SAMPLE_RATE, self._rate), np.float32)
        )

    def _pooled(self, found: Any) -> torch.Tensor:
        """Mean over everything between the first dimension and the last."""
        states: torch.Tensor = found.last_hidden_state if self._layer is None else found.hidden_states[self._layer]
        return states.flatten(1, -2).mean(dim=1)

    def _not_loaded(self, error: Exception) -> CheckpointError:
        problem, remedy = f"cannot be loaded ({clause(error)})", "give a whole folder, as save_pretrained writes it"
        if "trust_remote_code" in str(error):
            remedy = f"if you trust the Python code in the folder, name it {HF_CODE}{self._folder}"
        elif "feature extractor" in str(error) and not (self._folder / _EXTRACTOR).exists():
            problem, remedy = f"holds no {_EXTRACTOR}", "copy it from where the model is published"
        return CheckpointError(self._folder, problem, remedy)


class ResemblyzerSegments:
    """Resemblyzer's speaker encoder (GE2E, 256 numbers), with its own pretrained weights, on CPU.

    Raises:
        CheckpointError: the package is not installed, or cannot be imported.
    """

    def __init__(self, segment_s: float = 6.0) -> None:
        try:
            from resemblyzer import VoiceEncoder
            from resemblyzer.audio import normalize_volume
        except ImportError as error:  # 0.1.4 needs webrtcvad, and that pkg_resources, which setuptools no longer has
            remedy = "run: pip install resemblyzer 'setuptools<81'"
            raise CheckpointError("resemblyzer", f"cannot be imported ({clause(error)})", remedy) from error
        self._encoder: Any = VoiceEncoder("cpu", verbose=False)
        self._normalise: Any = normalize_volume
        self.front_end = FrontEndConfig(channels=1, segment_s=segment_s, peak_normalise=False)
        digest = hashlib.sha256(b"resemblyzer")
        for name, weight in sorted(self._encoder.state_dict().items()):
            digest.update(name.encode() + weight.cpu().numpy().tobytes())
        self.fingerprint = digest.hexdigest()
        self.parameters = sum(weight.numel() for weight in self._encoder.parameters())

    def __call__(self, waveforms: Sequence[FloatArray]) -> FloatArray:
        """See ``SegmentsToVectors``."""
        rows = [np.zeros((0, 256), np.float32)]
        for samples in waveforms:
            wave = conform(samples, self.front_end)[0]
            loud = self._normalise(wave, _SPEECH_DB, increase_only=True) if np.abs(wave).max() > 0 else wave
            rows.append(self._encoder.embed_utterance(loud)[None])
        return np.concatenate(rows).astype(np.float32)


def open_transformers(name: str, device: str) -> TransformersSegments:
    """``hf:FOLDER`` or ``hf:FOLDER#LAYER``, likewise with ``hf-code:``.

    Raises:
        CheckpointError: as ``TransformersSegments``; or no folder is named, or a layer that is no number.
        MissingExtraError: transformers is not installed.
    """
    kind = HF_CODE if name.startswith(HF_CODE) else HF
    folder, _, layer = name.removeprefix(kind).partition("#")
    if not folder:
        raise CheckpointError(name, "names no folder", f"write {kind}FOLDER")
    if layer and not layer.isdecimal():
        raise CheckpointError(name, "names a layer that is no number", f"write {kind}{folder}#6, say")
    return TransformersSegments(folder, device, int(layer) if layer else None, kind == HF_CODE)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' own bars and warnings."""
    from transformers import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _folder_hash(folder: Path, settings: str) -> str:
    """Over the files from which a model is loaded."""
    digest = hashlib.sha256(settings.encode())
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".safetensors", ".bin", ".py"):
            digest.update(f"{path.name} {content_hash(path)}".encode())
    return digest.hexdigest()
