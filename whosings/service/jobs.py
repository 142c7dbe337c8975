"""Jobs: one at a time, in the order in which they came; told as they go on, and begun again after a restart."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from whosings.console import json_text
from whosings.service import rows
from whosings.service.jobs_file import JobsFile, State, StoredJob
from whosings.service.limits import Limits, Places
from whosings.service.listening import Upload
from whosings.service.problems import BUSY_S, Refusal
from whosings.service.rows import Problem

Work = Callable[[StoredJob, Upload | None, "Course"], Awaitable[Any]]
"""Does a job, given its upload if it has one."""

_BETWEEN_S = 0.25  # two tidings of a job's progress
_SWEEP_S = 600.0  # between two looks for jobs to forget


class TakenBackError(Exception):
    """Somebody took the job back."""


class Course:
    """How far a running job is; a ``Progress``, told from the thread that works."""

    def __init__(self, tell: Callable[[], object]) -> None:
        self._tell, self._told = tell, 0.0
        self.stage, self.done, self.steps = "", 0, 0
        self.cancelled = threading.Event()

    def __call__(self, label: str, steps: int) -> Callable[[], None]:
        """Begin a stage; see ``whosings.progress``."""
        self.stage, self.done, self.steps = label, 0, steps
        self._tell()

        def step() -> None:
            if self.cancelled.is_set():
                raise TakenBackError
            self.done += 1
            if time.monotonic() - self._told >= _BETWEEN_S or self.done == self.steps:
                self._told = time.monotonic()
                self._tell()

        return step


@dataclass
class _Running:
    job: StoredJob
    course: Course


class JobQueue:
    """Jobs on their way. All methods but ``Course`` are called from the event loop's thread.

    Args:
        work: does a job; whatever it returns is the result, and what it raises the error.
        problem_of: an error as a problem.
    """

    def __init__(self, places: Places, limits: Limits, work: Work, problem_of: Callable[[Exception], Problem]) -> None:
        self._file = JobsFile(places.jobs)
        self._places, self._limits, self._work, self._problem_of = places, limits, work, problem_of
        self._running: _Running | None = None
        self._come = asyncio.Event()
        self._changed: dict[str, asyncio.Event] = {}
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work, with what an earlier service left undone first."""
        self._file.wait_again()
        self._remove_uploads_of_nobody()
        self._task = asyncio.create_task(self._go_on())

    async def stop(self) -> None:
        """Stop; the job that runs waits again."""
        self.end_streams()
        if self._running is not None:
            self._running.course.cancelled.set()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._file.wait_again()
        self._file.close()

    def end_streams(self) -> None:
        """Let nobody wait for changes any more."""
        self._stopping = True
        for event in self._changed.values():
            event.set()

    def add(self, owner: str, kind: str, upload: Upload | None, asked: dict[str, Any]) -> rows.Job:
        """Take a job; its upload is moved.

        Raises:
            Refusal: too many jobs wait, or too many of one owner.
        """
        waiting = self._file.waiting()
        if len(waiting) >= self._limits.jobs_waiting:
            raise Refusal(503, "TooManyJobs", "Too many jobs wait; ask again in a while.", 60)
        own = sum(job.owner == owner for job in waiting)
        if own >= self._limits.jobs_each:
            raise Refusal(429, "TooManyJobs", f"{own} of your jobs wait; ask again when some are done.", 60)
        job = self._file.add(owner, kind, "" if upload is None else upload.name, asked)
        if upload is not None:
            upload.path.rename(self._upload_of(job))
        self._come.set()
        return self._told(job)

    def job(self, owner: str, id: str) -> rows.Job:
        """Somebody's job.

        Raises:
            Refusal: there is none, or no longer.
        """
        return self._told(self._own(owner, id))

    def jobs(self, owner: str) -> rows.Jobs:
        """Somebody's jobs, without results."""
        return rows.Jobs(tuple(replace(self._told(job), result=None) for job in self._file.of(owner)))

    def remove(self, owner: str, id: str) -> None:
        """Take a job back, or forget its result.

        Raises:
            Refusal: there is none, or no longer.
        """
        job = self._own(owner, id)
        if self._running is not None and self._running.job.id == id:
            self._running.course.cancelled.set()
        self._file.forget(id)
        self._upload_of(job).unlink(missing_ok=True)
        self._tell(id)

    def forget_results_with(self, singer: str) -> None:
        """Forget results that name a singer."""
        self._file.forget_results_with(singer)

    def lengths(self) -> dict[str, int]:
        """How many jobs wait, and how many run."""
        return {"waiting": len(self._file.waiting()), "running": int(self._running is not None)}

    async def change(self, id: str, seconds: float) -> bool:
        """Wait until a job may have changed, or for so long; False where the service stops."""
        event = self._changed.setdefault(id, asyncio.Event())
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)
        return not self._stopping

    # ------------------------------------------------------------------ inside

    async def _go_on(self) -> None:
        swept = 0.0
        while True:
            if time.monotonic() - swept > _SWEEP_S:
                swept = time.monotonic()
                self._file.forget_ended(time.time() - self._limits.keep_results_s)
            waiting = self._file.waiting()
            if not waiting:
                self._come.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._come.wait(), _SWEEP_S)
                continue
            await self._do(waiting[0])

    async def _do(self, job: StoredJob) -> None:
        loop = asyncio.get_running_loop()
        course = Course(lambda: loop.call_soon_threadsafe(self._tell, job.id))
        self._running = _Running(job, course)
        self._file.run(job.id)
        self._tell(job.id)
        path = self._upload_of(job)
        upload = Upload(job.name, path) if job.name else None
        try:
            result = await self._work(job, upload, course)
            self._file.end(job.id, json_text(result), None)
        except TakenBackError:
            pass
        except Exception as error:  # whatever is wrong with one job, the others are done
            self._file.end(job.id, None, self._problem_of(error))
        finally:
            self._running = None
        path.unlink(missing_ok=True)
        self._tell(job.id)

    def _tell(self, id: str) -> None:
        """Wake up whoever waits for a change of a job."""
        if (event := self._changed.pop(id, None)) is not None:
            event.set()

    def _own(self, owner: str, id: str) -> StoredJob:
        job = self._file.job(id)
        if job is None or job.owner != owner:
            raise Refusal(404, "NoSuchJob", "There is no such job, or no longer; list your jobs.")
        return job

    def _told(self, job: StoredJob) -> rows.Job:
        state = job.state.value
        found = rows.Job(job.id, job.kind, job.name, state, job.created_at, result=job.result, error=job.error)
        if self._running is not None and self._running.job.id == job.id and job.state is State.RUNNING:
            course = self._running.course
            return replace(found, stage=course.stage, done=course.done, steps=course.steps or None)
        return found

    def _upload_of(self, job: StoredJob) -> Path:
        return self._places.waiting / job.id

    def _remove_uploads_of_nobody(self) -> None:
        known = {job.id for job in self._file.waiting()}
        for path in self._places.waiting.iterdir():
            if path.name not in known:
                path.unlink(missing_ok=True)


def busy() -> Refusal:
    """What is said where as much is being done as may be."""
    return Refusal(503, "Busy", "The service has as much to do as it takes; ask again in a moment.", BUSY_S)
