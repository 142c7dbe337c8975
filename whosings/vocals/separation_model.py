"""What a separation model is to the rest: vocals of windows of a mixture, a name, a fingerprint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from whosings.audio import FloatArray
from whosings.errors import ConfigError, SeparationError, clause


@dataclass(frozen=True)
class Windows:
    """How a model listens, in samples at its own rate: windows that overlap and are cross-faded.

    Attributes:
        length: samples of a window; a shorter mixture is one shorter window.
        overlap: samples that two neighbours share, at most half of ``length``.
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


@contextmanager
def running(name: str) -> Iterator[None]:
    """What goes wrong with one track, as an error that the next track survives."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        remedy = "use another device or fewer workers"
        raise SeparationError(name, "does not fit into the device's memory", remedy) from error
    except (RuntimeError, ValueError) as error:
        raise SeparationError(name, f"failed ({clause(error)})", "try the cpu, or another model") from error
