"""Work on many items in several processes, so that one bad item cannot take the others down.

Results come as they are ready. An item whose process dies (a decoder's crash, too little memory) is tried once more
alone; if its process dies again, the item is returned as crashed and the rest goes on.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2  # items given out for each process


@dataclass(frozen=True)
class Done(Generic[Item, Result]):
    """One item's outcome.

    Attributes:
        result: what the function returned; None if its process died, twice.
    """

    item: Item
    result: Result | None
    crashed: bool = False


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Done[Item, Result]]:
    """Apply a function to every item, in any order.

    Args:
        function: one of a module's top level; it returns expected errors rather than raising them.
        items: read as far ahead as there is work for.
        workers: processes; 0 works in this one, without protection from crashes.
    """
    if workers == 0:
        for item in items:
            yield Done(item, function(item))
        return
    waiting = iter(items)
    suspects: list[Item] = []
    while True:
        yield from _until_crash(function, waiting, workers, suspects)
        if not suspects:
            return
        for item in suspects:
            alone: list[Item] = []
            yield from _until_crash(function, iter([item]), 1, alone)
            if alone:
                yield Done(item, None, crashed=True)
        suspects.clear()


def _until_crash(
    function: Callable[[Item], Result], waiting: Iterator[Item], workers: int, suspects: list[Item]
) -> Iterator[Done[Item, Result]]:
    """Work until the items are used up or a process dies; then ``suspects`` are the items given out and not done."""
    running: dict[Future[Result], Item] = {}
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_one_thread)
    try:
        while True:
            for item in islice(waiting, workers * _AHEAD - len(running)):
                running[pool.submit(function, item)] = item
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                result = future.result()
                yield Done(running.pop(future), result)
    except BrokenProcessPool:
        suspects.extend(running.values())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _one_thread() -> None:
    """Parallelism is by processes: threads on top would fight over the cores."""
    import threadpoolctl
    import torch

    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)  # NumPy's BLAS has threads of its own
