"""A process of its own for work that may crash, hang or eat memory: it is asked for one thing at a time.

Each has a line of its own to the service and shares no lock, so that a process that is killed at any moment breaks
nothing but what it was at.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar, cast

T = TypeVar("T")
_START_S = 120.0  # in which a process has to be ready, on a machine that is very busy


class DiedError(Exception):
    """A process ended before it answered.

    Args:
        at_work: it was asked before it ended, so that this may be why.
    """

    def __init__(self, at_work: bool) -> None:
        super().__init__()
        self.at_work = at_work


class Process:
    """A process that waits to be asked; ``end`` ends it. It ends by itself when the service does.

    Args:
        prepare: is called before anything is asked.
        most_bytes: of its memory (address space).
    """

    def __init__(self, prepare: Callable[[], object], most_bytes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_answer, args=(theirs, prepare, most_bytes), daemon=True)
        self._process.start()
        theirs.close()
        self._ready = False
        self.asked = 0

    @property
    def lives(self) -> bool:
        """Whether it can be asked."""
        return self._process.is_alive()

    def ask(self, function: Callable[..., T], arguments: tuple[Any, ...], most_s: float) -> T:
        """What a function gives there.

        Args:
            most_s: seconds after which it is killed.

        Raises:
            DiedError: it ended.
            TimeoutError: it took longer.
            Exception: whatever the function raises.
        """
        self.asked += 1
        try:
            if not self._ready:
                self._ready = self._line.poll(_START_S) and self._line.recv()
            if not self._ready:
                raise EOFError
            self._line.send((function, arguments))
            in_time = self._line.poll(most_s)
            found, error = self._line.recv() if in_time else (None, TimeoutError())
        except (EOFError, OSError) as fault:
            raise DiedError(self._ready) from fault
        if not in_time:
            self.kill()
        if error is not None:
            raise error
        return cast(T, found)

    def kill(self) -> None:
        """Kill it, whatever it is at; somebody who waits for it is told."""
        self._process.kill()

    def end(self) -> None:
        """End it; nobody may be waiting for it."""
        self.kill()
        self._process.join()
        self._line.close()


def _answer(line: Connection, prepare: Callable[[], object], most_bytes: int) -> None:
    """In the new process: answer until the service ends it, or has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all at once, and the service handles it
    prepare()
    with Path(os.devnull).open("wb") as nowhere:  # libraries in C write what they think, and the log is the service's
        os.dup2(nowhere.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "darwin":  # where address space has no limit
        resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    try:
        line.send(True)
        while True:
            function, arguments = line.recv()
            line.send(_outcome(function, arguments))
    except (EOFError, OSError):
        return


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    try:
        return function(*arguments), None
    except Exception as error:  # the service tells what is to be told of it
        return None, _sendable(error)


def _sendable(error: Exception) -> Exception:
    """The error, or one that says the same where it cannot be sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its class makes of that
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
