"""Models that take a mixture apart: demucs and audio-separator behind one protocol, opened by a spec.

Specs, strings that worker processes can be given: ``demucs`` (its ``htdemucs``), ``demucs:NAME`` (a pretrained bag; the
paper's authors used ``mdx_extra``), ``demucs:FOLDER`` (model files on this disk), ``audio-separator:MODEL_FILE``,
``stems:FOLDER`` (ready-made stems), ``none``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from whosings.audio import FloatArray
from whosings.errors import ConfigError, SeparationError
from whosings.vocals.ready_stems import ReadyStems

if TYPE_CHECKING:
    import torch

DEFAULT_DEMUCS = "htdemucs"
"""Better and about a third of the cost of ``mdx_extra``, which the paper's authors used (docs/separation.md)."""


@dataclass(frozen=True)
class Windows:
    """How a model listens, in samples at its own rate: windows that overlap and are cross-faded.

    Attributes:
        length: of a window; a shorter mixture is one shorter window.
        overlap: of two neighbours, at most half of ``length``.
        context: at either end of a window that is not used, unless the music begins or ends there.
        batch: windows that are given to the model at once.
    """

    length: int
    overlap: int
    context: int = 0
    batch: int = 1

    def __post_init__(self) -> None:
        if not (self.fade > 0 <= self.context and 2 * self.overlap <= self.length and self.batch > 0):
            raise ConfigError(
                str(self), "no such windows", "keep 2 contexts < overlap <= half of the length, batch >= 1"
            )

    @property
    def fade(self) -> int:
        """Samples over which neighbours are cross-faded."""
        return self.overlap - 2 * self.context


class Separator(Protocol):
    """A model that gives the vocals of a mixture; the instrumental is what is left."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over what decides the result: weights and settings."""

    @property
    def sample_rate(self) -> int:
        """Hz, of what the model takes and gives."""

    @property
    def windows(self) -> Windows:
        """How much of a track it wants at once."""

    def __call__(self, mixtures: FloatArray) -> FloatArray:
        """Vocals of some stretches: float32 (batch, 2, samples) to the same shape."""


def open_separator(spec: str, device: str = "auto") -> Separator | ReadyStems | None:
    """Open what a spec names; see the module. ``none`` gives None.

    Args:
        device: a torch device; ``"auto"`` takes a GPU if there is one.

    Raises:
        SeparationError: unknown spec or model, no network, a damaged file.
        MissingExtraError: the spec's package is not installed.
        ConfigError: there is no such device.
    """
    kind, _, name = spec.partition(":")
    if kind == "none" and not name:
        return None
    if kind == "stems" and name:
        if not Path(name).is_dir():
            raise SeparationError(name, "is not a folder of stems", "check the path")
        return ReadyStems(Path(name))
    if kind == "demucs":
        from whosings.vocals.demucs_models import open_demucs

        return open_demucs(name or DEFAULT_DEMUCS, open_device(device))
    if kind == "audio-separator" and name:
        from whosings.vocals.uvr_models import open_audio_separator

        return open_audio_separator(name, open_device(device))
    raise SeparationError(
        spec or "''",
        "no such separation model",
        "choose demucs, demucs:NAME, audio-separator:FILE, stems:FOLDER or none",
    )


def open_device(device: str) -> torch.device:
    """A torch device that works here.

    Raises:
        ConfigError: there is none of this name.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.zeros(1, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {device}", "cannot be used here", "use cpu or auto") from error
