"""What recipes keep on disk: clips as 16-bit samples, and training that can go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from whosings.files import atomic


def to_int16(samples: NDArray[np.floating]) -> NDArray[np.int16]:
    """Scaled to nearly full range."""
    return np.round(samples / max(1e-9, float(np.abs(samples).max())) * 32000).astype(np.int16)


def resume(path: Path, optimiser: torch.optim.Optimizer, device: str = "cpu", **modules: torch.nn.Module) -> int:
    """Bring modules and optimiser to where ``keep`` left them; returns the step, 0 where there is nothing yet."""
    if not path.exists():
        return 0
    state = torch.load(path, map_location=device, weights_only=True)
    for name, module in modules.items():
        module.load_state_dict(state[name])
    optimiser.load_state_dict(state["optimiser"])
    step: int = state["step"]
    return step


def keep(path: Path, step: int, optimiser: torch.optim.Optimizer, **modules: torch.nn.Module) -> None:
    """Write modules, by name, and optimiser."""
    state = {name: module.state_dict() for name, module in modules.items()}
    with atomic(path) as beside:
        torch.save({**state, "optimiser": optimiser.state_dict(), "step": step}, beside)
