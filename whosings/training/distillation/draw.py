"""Random numbers of one step of a distillation, on the device where they are wanted.

Nothing waits for the device: how many views get an effect follows from the number of the step; which of them do is
drawn.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


class Draw:
    """Random numbers of one step: the same from a seed and a step, whatever was drawn before.

    Attributes:
        device: where they are wanted.
    """

    def __init__(self, seed: int, step: int, device: torch.device) -> None:
        self._step, self.device = step, device
        try:
            self._generator = torch.Generator(device)
        except RuntimeError:  # not every device has one
            self._generator = torch.Generator()
        state = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
        self._generator.manual_seed(int(state))

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Evenly distributed between two bounds."""
        drawn = torch.rand(shape, generator=self._generator, device=self._generator.device)
        return low + (high - low) * drawn.to(self.device)

    def noise(self, *shape: int) -> Tensor:
        """White, of variance 1."""
        return torch.randn(shape, generator=self._generator, device=self._generator.device).to(self.device)

    def below(self, bounds: Tensor) -> Tensor:
        """Whole numbers from 0 to under each of the bounds, which are whole numbers above 0."""
        drawn = self.uniform(0.0, 1.0, *bounds.shape) * bounds
        return torch.minimum(drawn.long(), bounds - 1)  # float32 may round up

    def order(self, count: int) -> Tensor:
        """The numbers from 0 to under ``count``, shuffled."""
        return torch.randperm(count, generator=self._generator, device=self._generator.device).to(self.device)

    def rows(self, chance: float, count: int) -> Tensor:
        """Which of ``count`` views get an effect: a number of them that over many steps is the chance."""
        some = math.floor((self._step + 1) * chance * count) - math.floor(self._step * chance * count)
        return self.order(count)[:some]
