"""Work on many items in several processes, so that one bad item cannot take the others down.

Results come as they are ready. An item whose process dies (a decoder's crash, too little memory) is tried once more
alone; if its process dies again, the item is returned as crashed and the rest goes on. When the process that gives out
the work dies, those that do it end, too.

Whoever gives out work names its ``Workers``: a number of processes of this machine, or an ``Engine``, such as a
cluster's.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Half = TypeVar("Half")
Result = TypeVar("Result")

_AHEAD = 2  # items given out for each process


@dataclass(frozen=True)
class Done(Generic[Item, Result]):
    """One item's outcome.

    Attributes:
        result: what the function returned; None if its process died, each time.
    """

    item: Item
    result: Result | None
    crashed: bool = False


@dataclass(frozen=True)
class Finished(Generic[Result]):
    """What the first half of a function returns where no second one is needed."""

    result: Result


@dataclass(frozen=True)
class InHalves(Generic[Item, Half, Result]):
    """A function whose second half wants what is scarce, such as a GPU: an engine may do the halves in two places.

    Attributes:
        first: decodes, say; what it returns is given to ``second``, unless it is ``Finished``.
    """

    first: Callable[[Item], Half | Finished[Result]]
    second: Callable[[Half], Result]

    def __call__(self, item: Item) -> Result:
        """Both halves, here."""
        half = self.first(item)
        return half.result if isinstance(half, Finished) else self.second(half)


class Engine(Protocol):
    """Where work is done that is not done by processes of this machine."""

    def each(
        self, function: Callable[[Item], Result], items: Iterable[Item | Done[Item, Result]]
    ) -> Iterator[Done[Item, Result]]:
        """As ``parallel.each``."""
        ...

    def processes(self) -> int:
        """As ``parallel.processes``."""
        ...

    def answered_here(self, function: Callable[[Item], Result]) -> Callable[[Item], Result]:
        """As ``parallel.answered_here``."""
        ...

    def on_cores(self) -> Engine:
        """As ``parallel.on_cores``."""
        ...

    def refuse_unshared(self, folder: Path) -> None:
        """As ``parallel.refuse_unshared``."""
        ...


Workers = int | Engine
"""Who works: so many processes of this machine (0: this process, without protection from crashes), or an engine."""


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(
    function: Callable[[Item], Result], items: Iterable[Item | Done[Item, Result]], workers: Workers
) -> Iterator[Done[Item, Result]]:
    """Apply a function to every item, in any order.

    Args:
        function: one of a module's top level; it returns expected errors rather than raising them.
        items: read as far ahead as there is work for. One that is ``Done`` comes back as it is, and results that are
            ready come with it: a source that has to wait gives such an item now and then.
    """
    if not isinstance(workers, int):
        yield from workers.each(function, items)
        return
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


def in_order(results: Iterable[Done[Item, Result]], items: Sequence[Item]) -> Iterator[Done[Item, Result]]:
    """Results of ``each`` in the order of the items, no two of which are equal; those that come too early wait."""
    early: dict[Item, Done[Item, Result]] = {}
    coming = iter(results)
    for item in items:
        while item not in early:
            done = next(coming)
            early[done.item] = done
        yield early.pop(item)


def processes(workers: Workers) -> int:
    """How many processes work now, or will."""
    return max(1, workers) if isinstance(workers, int) else workers.processes()


def answered_here(function: Callable[[Item], Result], workers: Workers) -> Callable[[Item], Result]:
    """The same function, to be called by those who work, wherever that is: it is done on this machine."""
    return function if isinstance(workers, int) else workers.answered_here(function)


def on_cores(workers: Workers) -> Workers:
    """The same, for work that no GPU does: as many as there are cores for."""
    return workers if isinstance(workers, int) else workers.on_cores()


def refuse_unshared(folder: Path, workers: Workers) -> None:
    """Check that all who work see a folder of this machine.

    Raises:
        ClusterError: somebody does not.
    """
    if not isinstance(workers, int):
        workers.refuse_unshared(folder)


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
    Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a terminal sends it to all: end at once, and without a traceback
    take_one_thread()


def take_one_thread() -> None:
    """For a process of several that work: threads on top of processes would fight over the cores."""
    import threadpoolctl

    for library in ("OMP", "MKL", "OPENBLAS"):  # those that are imported from now on
        os.environ[f"{library}_NUM_THREADS"] = "1"
    if "torch" in sys.modules:  # importing it takes seconds, and not all work needs it
        sys.modules["torch"].set_num_threads(1)
    threadpoolctl.threadpool_limits(1)  # NumPy's BLAS has threads of its own


def _end_with_parent() -> None:
    """A parent that was killed tells nobody, and its processes would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
