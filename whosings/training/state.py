"""Training that can go on: modules and optimiser on disk, whole or not there."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

from whosings.errors import TrainingError
from whosings.files import atomic


def keep(path: Path, step: int, optimiser: torch.optim.Optimizer, **modules: torch.nn.Module) -> None:
    """Write modules, by name, and their optimiser."""
    state = {name: module.state_dict() for name, module in modules.items()}
    with atomic(path) as beside:
        torch.save({**state, "optimiser": optimiser.state_dict(), "step": step}, beside)


def resume(
    path: Path, optimiser: torch.optim.Optimizer, device: str | torch.device = "cpu", **modules: torch.nn.Module
) -> int:
    """Bring modules and optimiser to where ``keep`` left them; returns the step, 0 where there is nothing yet.

    Raises:
        TrainingError: the file is damaged, or of other modules.
    """
    if not path.exists():
        return 0
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        for name, module in modules.items():
            module.load_state_dict(state[name])
        optimiser.load_state_dict(state["optimiser"])
        return int(state["step"])
    except (RuntimeError, OSError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise TrainingError(path, "is damaged or of another model", "remove it, and training begins anew") from error
