"""Work on many items in several processes, so that one bad item cannot take the others down.

Results come as they are ready. An item whose process dies (a decoder's crash, too little memory) is tried once more
alone; if its process dies again, the item is returned as crashed and the rest goes on. When the process that gives out
the work dies, those that do it end, too.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from threading import Thread
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


def each(
    function: Callable[[Item], Result], items: Iterable[Item | Done[Item, Result]], workers: int
) -> Iterator[Done[Item, Result]]:
    """Apply a function to every item, in any order.

    Args:
        function: one of a module's top level; it returns expected errors rather than raising them.
        items: read as far ahead as there is work for. One that is ``Done`` comes back as it is, and results that are
            ready come with it: a source that has to wait gives such an item now and then.
        workers: processes; 0 works in this one, without protection from crashes.
    """
    if workers == 0:
        for item in items:
            yield item if isinstance(item, Done) else Done(item, function(item))
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
    function: Callable[[Item], Result],
    waiting: Iterator[Item | Done[Item, Result]],
    workers: int,
    suspects: list[Item],
) -> Iterator[Done[Item, Result]]:
    """Work until the items are used up or a process dies; then ``suspects`` are the items given out and not done."""
    running: dict[Future[Result], Item] = {}
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        more = True
        while True:
            passed = False
            while more and not passed and len(running) < workers * _AHEAD:
                try:
                    item = next(waiting)
                except StopIteration:
                    more = False
                else:
                    if passed := isinstance(item, Done):
                        yield item
                    else:
                        running[pool.submit(function, item)] = item
            if not running and not more:
                return
            for future in wait(running, 0 if passed else None, FIRST_COMPLETED).done:
                result = future.result()
                yield Done(running.pop(future), result)
    except BrokenProcessPool:
        suspects.extend(running.values())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """One thread, because parallelism is by processes: threads on top would fight over the cores."""
    Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent lets work end in order
    import threadpoolctl
    import torch

    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)  # NumPy's BLAS has threads of its own


def _end_with_parent() -> None:
    """A parent that was killed tells nobody, and its processes would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
