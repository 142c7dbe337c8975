"""NT-Xent (paper, section 3; Chen et al. 2020) and the supervised contrastive loss, one process or many.

Conventions
-----------
- ``left[i]`` and ``right[i]`` are a positive pair; every other view of the batch, on every process, is a negative: in
  NT-Xent all of them, in the supervised loss those of other singers.
- Inputs are of unit length, so that a matrix product is the cosine similarity: one (2B, 2B) matrix and no broadcast.
- In a process group, the views of all processes are compared (gathered with gradients) and the loss is the mean over
  this process's own views: averaging it, or its gradients, over processes gives the loss of the whole batch, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def nt_xent(left: Tensor, right: Tensor, temperature: float = 0.2, gather: bool = True) -> Tensor:
    """Normalised temperature-scaled cross-entropy over all 2B views.

    Args:
        left, right: (B, dimensions), rows of unit length, B the same on every process.
        temperature: the paper's is 0.2.
        gather: compare the views of all processes; False where every process has the same batch, as in validation.

    Returns:
        A scalar in nats. With random projections it is near log(2B - 1) for all B of all processes together.

    Raises:
        ValueError: the shapes differ or are not (B, dimensions).
    """
    compared = _compare(left, right, temperature, gather)
    pairs, count = left.shape[0], 2 * left.shape[0]
    partner = (torch.arange(count, device=left.device) + pairs) % count + compared.offset
    return F.cross_entropy(compared.logits, partner)


def supcon(left: Tensor, right: Tensor, singers: Tensor, temperature: float = 0.2, gather: bool = True) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, equation 2): all other views of one singer are positives.

    Where no singer has two pairs in the batch it is NT-Xent.

    Args:
        left, right, temperature, gather: as in ``nt_xent``.
        singers: (B,) whole numbers: whose pair it is.

    Returns:
        A scalar in nats: the mean over views of the mean cross-entropy of their positives.

    Raises:
        ValueError: the shapes differ or are not (B, dimensions) and (B,).
    """
    if singers.shape != left.shape[:1]:
        raise ValueError(f"expected {left.shape[0]} singers, got {tuple(singers.shape)}")
    compared = _compare(left, right, temperature, gather)
    own = torch.cat([singers, singers])
    everyone = own
    if compared.gathered:
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, own)
        everyone = torch.cat(parts)
    positive = (own[:, None] == everyone[None]) & ~compared.itself
    chances = F.log_softmax(compared.logits, dim=1).masked_fill(~positive, 0.0)
    return -(chances.sum(dim=1) / positive.sum(dim=1)).mean()


@dataclass(frozen=True)
class _Comparison:
    """This process's 2B views against those of all.

    Attributes:
        logits: (2B, all views), float32; -inf against itself.
        itself: where that is, bool of the same shape.
        offset: number of this process's first view among all.
        gathered: whether there are other processes' views.
    """

    logits: Tensor
    itself: Tensor
    offset: int
    gathered: bool


def _compare(left: Tensor, right: Tensor, temperature: float, gather: bool) -> _Comparison:
    if left.shape != right.shape or left.ndim != 2:
        raise ValueError(f"expected two (B, dimensions) tensors, got {tuple(left.shape)} and {tuple(right.shape)}")
    own = torch.cat([left, right])
    gathered = gather and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    views = torch.cat(all_gather(own)) if gathered else own  # type: ignore[no-untyped-call]
    offset = dist.get_rank() * len(own) if gathered else 0
    similarity = own @ views.T / temperature
    here = torch.arange(len(own), device=own.device)
    itself = torch.zeros_like(similarity, dtype=torch.bool)
    itself[here, here + offset] = True
    return _Comparison(similarity.masked_fill(itself, float("-inf")).float(), itself, offset, gathered)
