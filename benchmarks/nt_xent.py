"""NT-Xent of 128 pairs in 2048 dimensions, forward and backward, against the broadcast cosine similarity.

The usual way lets ``F.cosine_similarity`` broadcast (2B, 1, D) against (1, 2B, D).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import measure
import torch
import torch.nn.functional as F
from torch import Tensor

from whosings.training.contrastive.loss import nt_xent

PAIRS, DIMENSIONS, TEMPERATURE = 128, 2048, 0.2

Loss = Callable[[Tensor, Tensor, float], Tensor]


def main() -> None:
    given = measure.arguments(__doc__, threads={"type": int, "default": 2})
    pairs, dimensions = (32, 512) if given.quick else (PAIRS, DIMENSIONS)
    costs = {name: measure.in_child(prepare, name, pairs, dimensions, given.threads) for name in LOSSES}
    torch.set_num_threads(given.threads)
    steps = {name: partial(step, loss, *views(pairs, dimensions)) for name, loss in LOSSES.items()}
    seconds = measure.interleaved(steps, repeats=3 if given.quick else 7)
    values = {name: cost.result for name, cost in costs.items()}
    difference = abs(values["ours"] - values["usual"])
    rows = [[name, 1e3 * seconds[name], costs[name].extra_mb, values[name]] for name in LOSSES]
    print(f"{pairs} pairs, {dimensions} dimensions, float32, forward and backward, {given.threads} threads")
    measure.table(["way", "ms", "extra memory MB", "loss"], rows)
    measure.finish(
        "nt_xent",
        given.quick,
        time_ratio=seconds["usual"] / seconds["ours"],
        memory_ratio=costs["usual"].extra_mb / max(costs["ours"].extra_mb, 0.1),
        loss_difference=difference,
    )
    if difference > 1e-5:
        raise SystemExit(f"the two losses differ by {difference:.1e}")


def broadcast_nt_xent(left: Tensor, right: Tensor, temperature: float) -> Tensor:
    """The usual way."""
    x = torch.cat([left, right])
    similarity = F.cosine_similarity(x.unsqueeze(1), x.unsqueeze(0), dim=-1) / temperature
    count, pairs = len(x), len(left)
    others = ~torch.eye(count, dtype=torch.bool)
    positive = torch.cat([similarity.diagonal(pairs), similarity.diagonal(-pairs)])
    return (similarity.exp() * others).sum(dim=1).log().sub(positive).mean()


LOSSES: dict[str, Loss] = {"ours": nt_xent, "usual": broadcast_nt_xent}


def views(pairs: int, dimensions: int) -> tuple[Tensor, Tensor]:
    """Unit rows; partners are alike, so that the loss is that of a network half trained."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(pairs, dimensions, generator=generator)
    left, right = (base + torch.randn(base.shape, generator=generator) for _ in range(2))
    return F.normalize(left, dim=-1).requires_grad_(), F.normalize(right, dim=-1).requires_grad_()


def step(loss: Loss, left: Tensor, right: Tensor) -> float:
    """Forward and backward."""
    left.grad = right.grad = None
    value = loss(left, right, TEMPERATURE)
    value.backward()
    return float(value.detach())


def prepare(name: str, pairs: int, dimensions: int, threads: int) -> Callable[[], float]:
    """For a process of its own: one small step first, so that loading PyTorch's kernels does not count as memory."""
    torch.set_num_threads(threads)
    step(LOSSES[name], *views(8, dimensions))
    return partial(step, LOSSES[name], *views(pairs, dimensions))


if __name__ == "__main__":
    main()
