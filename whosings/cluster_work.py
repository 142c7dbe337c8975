"""How a Ray cluster works on many items: crews of processes, what they are at, and what is done where one dies."""

from __future__ import annotations

import os
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic

from whosings.errors import ClusterError
from whosings.parallel import Done, Finished, InHalves, Item, Result, take_one_thread

_AHEAD = 2  # items given out for each process
_KILLS = 3  # processes that an item may end
_LOOK_S = 2.0  # after which nodes that came are noticed
_FAILED_STARTS = 3  # in a row, without any that worked
_NOBODY_S = 600.0  # without a single process that could be begun


@dataclass
class Census:
    """How many processes work at this moment."""

    processes: int = 0


@dataclass(frozen=True)
class _About:
    """What a process that is begun says of itself."""

    node: str
    host: str
    versions: str


def _versions() -> str:
    from importlib.metadata import version

    return f"whosings {version('whosings')} on Python {'.'.join(platform.python_version_tuple()[:2])}"


class _Worker:
    """A process of the cluster that does one half or the whole of the work.

    Args:
        gpus: that it was given; without any it sees none.
    """

    def __init__(self, function: Callable[[Any], Any], gpus: float) -> None:
        if not gpus:  # Ray lets it see all of its node's (2.60.0), and each would load the model there
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        take_one_thread()
        self._function = function

    def about(self) -> _About:
        import ray

        return _About(ray.get_runtime_context().get_node_id(), platform.node(), _versions())

    def work(self, item: Any) -> Any:
        return self._function(item)

    def half(self, item: Any) -> Any:
        """Of the first half: whether it was all, and what it returned."""
        found = self._function(item)
        return (found, None) if isinstance(found, Finished) else (None, found)


@dataclass
class _Task(Generic[Item]):
    """An item on its way.

    Attributes:
        half: reference to what the first half returned, once it has.
        kills: processes that ended while they had it.
    """

    item: Item
    half: Any = None
    kills: int = 0


@dataclass(eq=False)
class _Member:
    """One process.

    Attributes:
        node: where it is, once that is known.
        tasks: what was given to it.
        reserved: takes no more until it is idle, and then what may end it.
    """

    actor: Any
    node: str = ""
    tasks: list[_Task[Any]] = field(default_factory=list)
    reserved: bool = False

    def done(self, task: _Task[Any]) -> None:
        """It is at that no more."""
        self.tasks = [one for one in self.tasks if one is not task]


class _Crew:
    """The processes that do one function.

    Args:
        cores, gpus: of each.
        most: how many of them.
    """

    def __init__(self, function: Callable[[Any], Any], cores: float, gpus: float, most: int | None) -> None:
        self._function, self._cores, self._gpus, self._most = function, cores, gpus, most
        self.members: list[_Member] = []
        self.starting: dict[Any, _Member] = {}
        self.failed_starts = 0

    def grow(self, nodes: list[dict[str, Any]]) -> None:
        """Begin processes on what the cluster has by now; those for which there is no room yet wait for it."""
        import ray

        room = sum(self._room(node.get("Resources", {})) for node in nodes if node["Alive"])
        target = room if self._most is None else min(room, self._most)
        actor: Any = ray.remote(_Worker)
        options = {"num_cpus": self._cores, "num_gpus": self._gpus, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        for _ in range(target - len(self.members) - len(self.starting)):
            member = _Member(actor.options(**options).remote(self._function, self._gpus))
            self.starting[member.actor.about.remote()] = member

    def _room(self, resources: dict[str, float]) -> int:
        wanted = {"CPU": self._cores, "GPU": self._gpus}
        return min(int(resources.get(name, 0) / each + 1e-9) for name, each in wanted.items() if each)

    def started(self, answer: Any) -> None:
        """A process is there, or could not be begun.

        Raises:
            ClusterError: none can.
        """
        import ray

        member = self.starting.pop(answer)
        try:
            about = ray.get(answer)
        except ray.exceptions.RayError as error:
            self.failed_starts += 1
            if self.failed_starts >= _FAILED_STARTS and not self.members:
                remedy = "install the same whosings on all nodes, with what this work needs"
                raise ClusterError("the Ray cluster", f"cannot begin a process ({_why(error)})", remedy) from error
            return
        if about.versions != _versions():
            problem = f"runs {about.versions}, and this machine {_versions()}"
            raise ClusterError(f"node {about.host}", problem, "install the same on all nodes")
        self.failed_starts, member.node = 0, about.node
        self.members.append(member)

    def free(self) -> _Member | None:
        """Whoever has least to do, if that is not enough."""
        open_ones = (member for member in self.members if not member.reserved)
        least = min(open_ones, key=lambda member: len(member.tasks), default=None)
        return least if least is not None and len(least.tasks) < _AHEAD else None

    def alone(self) -> _Member | None:
        """Whoever has nothing to do, for one item and nothing beside it; somebody is reserved until there is one."""
        idle = next((member for member in self.members if not member.tasks), None)
        if idle is not None:
            idle.reserved = True
        elif self.members and not any(member.reserved for member in self.members):
            min(self.members, key=lambda member: len(member.tasks)).reserved = True
        return idle

    def release(self) -> None:
        """Nobody waits for somebody idle."""
        for member in self.members:
            member.reserved = any(task.kills for task in member.tasks)

    def lose(self, member: _Member) -> None:
        """A process that died takes nothing more."""
        if member in self.members:
            self.members.remove(member)

    def end(self) -> None:
        """All of them end."""
        import ray

        for member in (*self.members, *self.starting.values()):
            ray.kill(member.actor)
        self.members, self.starting = [], {}


def _why(error: BaseException) -> str:
    """The last line that says anything: Ray's messages begin with where and end with what."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


class ClusterWork(Generic[Item, Result]):
    """One call of ``each``.

    Args:
        workers: processes at most; None takes all cores of the cluster.
        gpus: of each process that holds a model; with any, work in halves has two crews: ``workers`` counts those that
            decode, and as many others hold the model as there are GPUs for.
    """

    def __init__(self, function: Callable[[Item], Result], workers: int | None, gpus: float, census: Census) -> None:
        import ray

        self._last: _Crew
        self._first: _Crew | None = None
        if isinstance(function, InHalves) and gpus:
            self._first = _Crew(function.first, 1, 0, workers)
            self._last = _Crew(function.second, 0, gpus, None)
        else:
            self._last = _Crew(function, 1, gpus, workers)
        self._census = census
        self._running: dict[Any, tuple[_Crew, _Member, _Task[Item]]] = {}
        self._again: deque[_Task[Item]] = deque()  # lost with a node
        self._suspects: deque[_Task[Item]] = deque()
        self._halves: deque[_Task[Item]] = deque()
        self._dead = (
            ray.exceptions.RayActorError,
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.NodeDiedError,
        )
        self._looked, self._worked = -_LOOK_S, time.monotonic()

    def each(self, waiting: Iterator[Item | Done[Item, Result]]) -> Iterator[Done[Item, Result]]:
        """Items are read as far as there is work for; results come as they are ready."""
        import ray

        more = True
        while True:
            self._look()
            passed = False
            self._give_suspects()
            self._give_halves()
            while not passed and (self._again or more) and (free := self._to_begin()):
                if self._again:
                    self._give(*free, self._again.popleft())
                    continue
                try:
                    item = next(waiting)
                except StopIteration:
                    more = False
                else:
                    if passed := isinstance(item, Done):
                        yield item
                    else:
                        self._give(*free, _Task(item))
            if not (more or self._running or self._again or self._suspects or self._halves):
                return
            crews = [self._last] if self._first is None else [self._first, self._last]
            self._census.processes = sum(len(crew.members) for crew in crews)
            pending = [*self._running, *(answer for crew in crews for answer in crew.starting)]
            if not pending:
                time.sleep(0 if passed else _LOOK_S / 10)
                continue
            # What a first half returned stays where it is until the second half wants it.
            ready, _ = ray.wait(pending, timeout=0 if passed else _LOOK_S, fetch_local=False)
            if ready and len(pending) > 1:
                ready, _ = ray.wait(pending, num_returns=len(pending), timeout=0, fetch_local=False)
            for answer in ready:
                for crew in crews:
                    if answer in crew.starting:
                        crew.started(answer)
                if answer in self._running:
                    yield from self._done(answer)

    def end(self) -> None:
        """Nobody works any more."""
        self._census.processes = 0
        self._last.end()
        if self._first is not None:
            self._first.end()

    def _look(self) -> None:
        """At the cluster, now and then."""
        import ray

        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked, nodes = now, ray.nodes()
        self._last.grow(nodes)
        if self._first is not None:
            self._first.grow(nodes)
        if self._last.members and (self._first is None or self._first.members):
            self._worked = now
        elif now - self._worked > _NOBODY_S:
            problem = f"has had no room for a process for {_NOBODY_S / 60:g} minutes"
            raise ClusterError("the Ray cluster", problem, "end other work on it or add nodes, and run again")

    def _to_begin(self) -> tuple[_Crew, _Member] | None:
        """Who takes a new item; nobody where enough is ahead already."""
        crew = self._last
        if self._first is not None:
            crew = self._first
            if len(self._halves) >= _AHEAD * max(1, len(self._last.members)):
                return None
        member = crew.free()
        return None if member is None else (crew, member)

    def _give(self, crew: _Crew, member: _Member, task: _Task[Item]) -> None:
        if crew is self._first:
            answer, half = member.actor.half.options(num_returns=2).remote(task.item)
            task.half = half
        else:
            answer = member.actor.work.remote(task.item if self._first is None else task.half)
        member.tasks.append(task)
        self._running[answer] = crew, member, task

    def _done(self, answer: Any) -> Iterator[Done[Item, Result]]:
        import ray

        crew, member, task = self._running.pop(answer)
        try:
            result = ray.get(answer)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ray.exceptions.ObjectLostError):  # decoded on a node that died since
                member.done(task)
                task.half = None
                self._again.append(task)
                return
            if crew is self._last and self._first is not None and isinstance(error.cause, OSError):
                yield from self._unopened(member, task)
                return
            raise error.cause from error
        except ray.exceptions.ObjectLostError:
            member.done(task)
            self._again.append(task)
            return
        except self._dead:
            yield from self._died(crew, member, task)
            return
        member.done(task)
        if crew is not self._first:
            yield Done(task.item, result)
        elif result is None:
            self._halves.append(task)
        else:
            yield Done(task.item, result.result)

    def _died(self, crew: _Crew, member: _Member, task: _Task[Item]) -> Iterator[Done[Item, Result]]:
        """A process is gone, or cannot be reached, with what it was given.

        Which item it was at is not known: of an item that was done the answer may be lost with the process. So all of
        them are tried again, each alone, where nothing else can be blamed.
        """
        import ray

        crew.lose(member)
        ray.kill(member.actor)
        task.half = None
        self._looked = -_LOOK_S  # another process is wanted at once
        if any(node["NodeID"] == member.node and node["Alive"] for node in ray.nodes()):
            task.kills += 1
        if task.kills >= _KILLS:
            yield Done(task.item, None, crashed=True)
        else:
            (self._suspects if task.kills else self._again).append(task)

    def _unopened(self, member: _Member, task: _Task[Item]) -> Iterator[Done[Item, Result]]:
        """What was decoded does not fit on the node that was to go on with it: tried again, elsewhere with luck."""
        member.done(task)
        task.half, task.kills = None, task.kills + 1
        if task.kills >= _KILLS:
            yield Done(task.item, None, crashed=True)
        else:
            self._suspects.append(task)

    def _give_suspects(self) -> None:
        crew = self._last if self._first is None else self._first
        while self._suspects and (member := crew.alone()):
            self._give(crew, member, self._suspects.popleft())
        if not self._suspects:
            crew.release()

    def _give_halves(self) -> None:
        while self._halves:
            suspected = self._halves[0].kills > 0
            if not suspected:
                self._last.release()  # those whose suspect is done
            member = self._last.alone() if suspected else self._last.free()
            if member is None:
                return
            self._give(self._last, member, self._halves.popleft())
        if self._first is not None:
            self._last.release()
