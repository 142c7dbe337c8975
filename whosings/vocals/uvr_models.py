"""Models of the audio-separator package (MDX-Net, MDX23C, RoFormer, VR), by the name of their file.

The package works from file to file: a window goes in as a float WAV in a temporary folder, and the vocals come back as
one. It scales by peaks on the way, which would make windows differ in loudness; it is given windows of peak 1, and the
scale is put back here.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from whosings.audio import FloatArray
from whosings.errors import MissingExtraError, SeparationError, clause
from whosings.files import content_hash
from whosings.vocals.separation_model import Windows

if TYPE_CHECKING:
    import torch

RATE = 44_100
_WINDOWS = Windows(60 * RATE, 4 * RATE, RATE)  # the package cuts these further, as each model wants
_STEM = "Vocals"


@dataclass(frozen=True)
class AudioSeparator:
    """A loaded model and the folder through which it is given windows."""

    name: str
    fingerprint: str
    model: Any
    folder: TemporaryDirectory[str]
    sample_rate: int = RATE
    windows: Windows = _WINDOWS

    def __call__(self, mixtures: FloatArray) -> FloatArray:
        """(batch, 2, samples) to the same shape."""
        return np.stack([self._vocals(mixture) for mixture in mixtures])

    def _vocals(self, mixture: FloatArray) -> FloatArray:
        folder, peak = Path(self.folder.name), float(np.abs(mixture).max())
        given, taken = folder / "mixture.wav", folder / "vocals.wav"
        soundfile.write(given, mixture.T / peak, RATE, subtype="FLOAT")
        taken.unlink(missing_ok=True)
        with _one_sentence(self.name, "failed"), redirect_stderr(StringIO()):  # its progress bars
            self.model.separate(str(given), {_STEM: taken.stem})
        if not taken.is_file():
            raise SeparationError(self.name, "gives no vocal stem", "use a model whose stems are vocals and the rest")
        vocals: FloatArray = soundfile.read(taken, dtype="float32", always_2d=True)[0].T
        return vocals * np.float32(peak)


def open_audio_separator(name: str, device: torch.device) -> AudioSeparator:
    """Load a model file: a path, or the name of one that the package downloads to ``~/.cache/audio-separator``.

    Beside a local file the package wants its own lists too (docs/separation.md).

    Raises:
        SeparationError: unknown name, no network, a damaged file, no ffmpeg.
        MissingExtraError: audio-separator is not installed.
    """
    MissingExtraError.require("audio_separator", "separating vocals with this model", "separate-better")
    given = Path(name)
    place = given.parent if given.is_file() else Path.home() / ".cache" / "audio-separator"
    folder = TemporaryDirectory(prefix="whosings-")
    spec = f"audio-separator:{name}"
    with _one_sentence(spec, "cannot be loaded"):
        from audio_separator.separator import Separator

        model = Separator(
            log_level=logging.CRITICAL,
            model_file_dir=str(place),
            output_dir=folder.name,
            output_format="WAV",
            normalization_threshold=1.0,
            output_single_stem=_STEM,
            use_soundfile=True,
        )
        if device.type == "cpu":
            model.torch_device, model.onnx_execution_provider = device, ["CPUExecutionProvider"]
        model.load_model(given.name)
        loaded = model.model_instance
        decides = [1, version("audio-separator"), content_hash(loaded.model_path), loaded.model_data]
    fingerprint = hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()
    return AudioSeparator(spec, fingerprint, model, folder)


@contextmanager
def _one_sentence(name: str, problem: str) -> Iterator[None]:
    """Whatever the package meets, as one typed error."""
    try:
        yield
    except (SeparationError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, FileNotFoundError) and error.filename == "ffmpeg":
            raise SeparationError(name, "needs the ffmpeg program", "install ffmpeg") from error
        is_network = isinstance(error, OSError) and not error.filename
        reason = type(error).__name__ if is_network else clause(error)
        raise SeparationError(name, f"{problem} ({reason})", "check the name, the network or the file") from error
