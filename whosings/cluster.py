"""Work on many items by a Ray cluster, as ``parallel`` does it by the processes of one machine.

Actors hold the models and take one item at a time from this process, which waits for results and loses nothing: an
item that was on a node or in a process that died is given out again, after a process's death alone, and one that has
ended three is returned as crashed. Work in halves has a crew for each: where GPUs are asked for,
processor cores decode into the object store, a bounded number of recordings ahead of the actors that hold a GPU.

Ray Data is not what gives out the work, for three reasons: it tries a row that ends its process again without end
(ray 2.60.0), it begins its actors anew for every set of rows, and rows cannot be told while they are still coming.
``ray_data`` is for pipelines that are Ray Data's already.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from whosings.cluster_work import Census, ClusterWork
from whosings.errors import ClusterError, MissingExtraError, clause
from whosings.parallel import Done, Item, Result

_SHARED_S = 60.0  # for every node to look at a folder


@dataclass(frozen=True)
class RayEngine:
    """A Ray cluster as an ``Engine``; ``connect`` makes one.

    Attributes:
        address: of the cluster, for messages.
        workers: processes at most, those not counted that hold a model and share GPUs; None takes all of the cluster's
            cores, as they come and go.
        gpus: of each process that holds a model, such as 0.25; 0 works on processor cores.
        census: who works now.
    """

    address: str
    workers: int | None = None
    gpus: float = 0.0
    census: Census = field(default_factory=Census, compare=False)

    @staticmethod
    def connect(address: str | None = None, workers: int | None = None, gpus: float = 0.0) -> RayEngine:
        """Reach a cluster, or begin one of this machine's cores.

        Args:
            address: ``HOST:PORT``, or ``auto`` for the one that this machine belongs to; None begins one, which ends
                with this process.

        Raises:
            MissingExtraError: Ray is not installed.
            ClusterError: no cluster answers, or it is of another version of Ray or Python.
        """
        MissingExtraError.require("ray", "a Ray cluster", "scale")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that is begun here tells nobody
        import ray

        where = address or "of this machine"
        options: dict[str, Any] = {} if address else {"include_dashboard": False}
        try:
            if not ray.is_initialized():
                # Without an address, Ray takes a cluster that runs here already.
                ray.init(address=address or "local", logging_level=logging.ERROR, log_to_driver=False, **options)
        except ConnectionError as error:
            remedy = "begin it with ray start --head; one that asks for a token wants RAY_AUTH_MODE and RAY_AUTH_TOKEN"
            raise ClusterError(f"the Ray cluster {where}", "does not answer", remedy) from error
        except (RuntimeError, ValueError, OSError) as error:
            raise ClusterError(
                f"the Ray cluster {where}", f"cannot be used ({clause(error)})", "check the address and its versions"
            ) from error
        return RayEngine(where, workers, gpus)

    def each(
        self, function: Callable[[Item], Result], items: Iterable[Item | Done[Item, Result]]
    ) -> Iterator[Done[Item, Result]]:
        """As ``parallel.each``.

        Raises:
            ClusterError: no process can be begun on any node.
        """
        work = ClusterWork(function, self.workers, self.gpus, self.census)
        try:
            yield from work.each(iter(items))
        finally:
            work.end()

    def on_cores(self) -> RayEngine:
        """As ``parallel.on_cores``."""
        return replace(self, gpus=0.0)

    def processes(self) -> int:
        """As ``parallel.processes``."""
        return self.census.processes

    def answered_here(self, function: Callable[[Item], Result]) -> Callable[[Item], Result]:
        """As ``parallel.answered_here``: an actor on this node answers."""
        import ray

        here = ray.get_runtime_context().get_node_id()
        actor: Any = ray.remote(_Answerer)
        return _Ask(actor.options(num_cpus=0, scheduling_strategy=_at(here)).remote(function))

    def refuse_unshared(self, folder: Path) -> None:
        """As ``parallel.refuse_unshared``.

        Raises:
            ClusterError: a node does not see the folder; it is named.
        """
        import ray

        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        mark = folder / f".seen-by-all-{uuid4().hex}"
        mark.touch()
        try:
            look: Any = ray.remote(_exists)
            nodes = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}
            asked = {
                look.options(num_cpus=0, max_retries=0, scheduling_strategy=_at(node)).remote(str(mark)): node
                for node in nodes
            }
            ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=_SHARED_S)
            for answer in ready:
                try:
                    seen = ray.get(answer)
                except ray.exceptions.RayError:  # the node went: it will not work, either
                    continue
                if not seen:
                    late.append(answer)
            if late:
                problem = f"is not seen by node {nodes[asked[late[0]]]} of the Ray cluster {self.address}"
                raise ClusterError(folder, problem, "name a folder that all nodes share")
        finally:
            mark.unlink(missing_ok=True)


def _at(node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)


def _exists(path: str) -> bool:
    return Path(path).exists()


class _Answerer:
    """Calls a function for others."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def answer(self, question: Any) -> Any:
        return self._function(question)


@dataclass(frozen=True)
class _Ask:
    """Whoever has it asks the actor."""

    actor: Any

    def __call__(self, question: Any) -> Any:
        import ray

        try:
            return ray.get(self.actor.answer.remote(question))
        except ray.exceptions.RayTaskError as error:  # whose text is a traceback
            raise error.cause from error
        except ray.exceptions.RayActorError as error:
            raise ClusterError("the Ray cluster", "lost the process that answers the others", "run again") from error
