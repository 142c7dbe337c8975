"""Separators for tests: one with a closed form, and tiny untrained demucs models in demucs' own formats."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from whosings.audio import FloatArray
from whosings.vocals.separation_model import Windows

SOURCES = ["drums", "bass", "other", "vocals"]
MEMORY = 40  # samples before and after, of the filter


@dataclass(frozen=True)
class Filter:
    """Takes a linear filter's output for the vocals: what a window must give is known for every sample."""

    sample_rate: int = 8000
    windows: Windows = field(default_factory=lambda: Windows(8000, 1000, MEMORY))
    name: str = "filter"
    fingerprint: str = "f" * 64
    calls: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def taps(self) -> NDArray[np.float64]:
        return np.random.default_rng(5).normal(0, 0.1, 2 * MEMORY + 1)

    def __call__(self, mixtures: FloatArray) -> FloatArray:
        self.calls.append(mixtures.shape)
        filtered = [[np.convolve(channel, self.taps)[MEMORY:-MEMORY] for channel in mixture] for mixture in mixtures]
        return np.array(filtered, np.float32)


def tiny_demucs(kind: str = "HTDemucs", seed: int = 0, **changes: Any) -> Any:
    """An untrained model of some 100,000 weights with windows of two seconds."""
    from demucs.hdemucs import HDemucs
    from demucs.htdemucs import HTDemucs

    torch.manual_seed(seed)
    if kind == "HDemucs":
        return HDemucs(SOURCES, **{"channels": 4, "segment": 2, **changes}).eval()
    small = {"channels": 4, "dconv_comp": 2, "t_layers": 1, "t_heads": 2, "bottom_channels": 16, "segment": 2}
    return HTDemucs(SOURCES, **{**small, **changes}).eval()


def save_safetensors(model: Any, path: Path) -> Path:
    """The form in which demucs' models lie on the hub."""
    args, kwargs = model._init_args_kwargs
    card = {"klass": f"{type(model).__module__}.{type(model).__name__}"}
    save_file(
        {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()},
        path,
        {**card, "args": json.dumps(args), "kwargs": json.dumps(kwargs)},
    )
    return path


def save_th(model: Any, path: Path) -> Path:
    """The form in which demucs' own training saves them; demucs adds the checksum to the name."""
    from demucs.states import get_state, save_with_checksum

    args, kwargs = model._init_args_kwargs
    content = {"klass": type(model), "args": args, "kwargs": kwargs, "state": get_state(model, None)}
    save_with_checksum({**content, "training_args": {"seed": 1}}, path)
    return next(path.parent.glob(f"{path.stem}-*.th"))
