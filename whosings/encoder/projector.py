"""Projection head: used while training, thrown away afterwards (paper, section 4.1)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from whosings.config import ProjectorConfig


class Projector(nn.Module):
    """Embeddings (batch, dimensions) -> projections (batch, config.layers[-1]) of unit length."""

    def __init__(self, config: ProjectorConfig, dimensions: int) -> None:
        super().__init__()
        first, second, last = config.layers
        self.layers = nn.Sequential(
            nn.Linear(dimensions, first),
            nn.BatchNorm1d(first),
            nn.ReLU(),
            nn.Linear(first, second),
            nn.BatchNorm1d(second),
            nn.ReLU(),
            nn.Linear(second, last, bias=config.last_bias),
        )

    def forward(self, embeddings: Tensor) -> Tensor:
        """See the class."""
        return F.normalize(self.layers(embeddings), dim=-1)
