"""One training in several processes of one thread each: on CPUs faster than one process of several threads; on a GPU
that they share, the way to feed it.

Each process draws batches of its own; gradients are averaged, so that weights stay alike.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


def spread(processes: int, work: Callable[..., None], *given: Any) -> None:
    """Run ``work(rank, processes, *given)`` in each process."""
    if processes == 1:
        work(0, 1, *given)
        return
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"file://{Path(folder) / 'meeting'}"
        torch.multiprocessing.spawn(_joined, (processes, meeting, work, given), processes)


def _joined(rank: int, processes: int, meeting: str, work: Callable[..., None], given: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=processes)
    try:
        work(rank, processes, *given)
    finally:
        dist.destroy_process_group()


def average(parameters: Iterable[torch.nn.Parameter], processes: int) -> None:
    """Gradients become their mean over the processes."""
    if processes == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    joined = (torch.cat([g.flatten() for g in gradients]) / processes).cpu()
    dist.all_reduce(joined)
    for gradient, mean in zip(gradients, joined.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
