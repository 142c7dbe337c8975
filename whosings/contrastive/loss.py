"""NT-Xent, one process or many (paper, section 3; Chen et al. 2020).

Conventions
-----------
- ``left[i]`` and ``right[i]`` are a positive pair; every other view of the batch, on every process, is a negative.
- Inputs are of unit length, so that a matrix product is the cosine similarity: one (2B, 2B) matrix and no broadcast.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def nt_xent(left: Tensor, right: Tensor, temperature: float = 0.2, gather: bool = True) -> Tensor:
    """Normalised temperature-scaled cross-entropy over all 2B views.

    In a process group, the views of all processes are compared (gathered with gradients) and the loss is the mean over
    this process's own views: averaging it, or its gradients, over processes gives the loss of the whole batch, exactly.

    Args:
        left, right: (B, dimensions), rows of unit length, B the same on every process.
        temperature: the paper's is 0.2.
        gather: compare the views of all processes; False where every process has the same batch, as in validation.

    Returns:
        A scalar in nats. With random projections it is near log(2B - 1) for all B of all processes together.

    Raises:
        ValueError: the shapes differ or are not (B, dimensions).
    """
    if left.shape != right.shape or left.ndim != 2:
        raise ValueError(f"expected two (B, dimensions) tensors, got {tuple(left.shape)} and {tuple(right.shape)}")
    own = torch.cat([left, right])
    if gather and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        views, rank = torch.cat(all_gather(own)), dist.get_rank()  # type: ignore[no-untyped-call]
    else:
        views, rank = own, 0
    pairs, count = left.shape[0], own.shape[0]
    similarity = own @ views.T / temperature
    here = torch.arange(count, device=own.device)
    offset = rank * count
    itself = torch.zeros_like(similarity, dtype=torch.bool)
    itself[here, here + offset] = True
    partner = (here + pairs) % count + offset
    return F.cross_entropy(similarity.masked_fill(itself, float("-inf")).float(), partner)
