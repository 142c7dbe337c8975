"""Jobs in one SQLite file, so that they survive a restart of the service."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

from whosings.errors import WhosingsError
from whosings.service.rows import Problem
from whosings.sqlite_file import Fault, SqliteFile

FORMAT = "1"
_SCHEMA = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, number INTEGER NOT NULL, owner TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    asked TEXT NOT NULL, state TEXT NOT NULL, created_at TEXT NOT NULL, ended REAL, result TEXT, error TEXT
)"""
_COLUMNS = "id, owner, kind, name, asked, state, created_at, result, error"


class JobsError(WhosingsError):
    """The file of jobs cannot be used."""


class State(StrEnum):
    """How far a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class StoredJob:
    """A job as the file has it.

    Attributes:
        owner: name of the token that asked.
        name: of the upload.
        asked: what was asked besides, as plain values.
        result, error: of a job that ended, as plain values.
    """

    id: str
    owner: str
    kind: str
    name: str
    asked: dict[str, Any]
    state: State
    created_at: str
    result: dict[str, Any] | None = None
    error: Problem | None = None


class JobsFile(SqliteFile):
    """All jobs that are not forgotten.

    Raises:
        JobsError: damaged, no file of jobs, or it cannot be used now.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, FORMAT, _SCHEMA, {"kind": "whosings jobs"}, "PRAGMA secure_delete = ON")

    def add(self, owner: str, kind: str, name: str, asked: dict[str, Any]) -> StoredJob:
        """A new job, which waits."""
        job = StoredJob(
            uuid4().hex, owner, kind, name, asked, State.WAITING, datetime.now(UTC).isoformat(timespec="seconds")
        )
        row = (job.id, owner, kind, name, json.dumps(asked), job.state.value, job.created_at)
        with self._writing():
            self._db.execute(
                "INSERT INTO jobs (id, number, owner, kind, name, asked, state, created_at) VALUES"
                " (?, (SELECT ifnull(max(number), 0) + 1 FROM jobs), ?, ?, ?, ?, ?, ?)",
                row,
            )
        return job

    def job(self, id: str) -> StoredJob | None:
        """A job by its id."""
        return next(self._read("WHERE id = ?", id), None)

    def of(self, owner: str) -> tuple[StoredJob, ...]:
        """Somebody's jobs, the newest first."""
        return tuple(self._read("WHERE owner = ? ORDER BY number DESC", owner))

    def waiting(self) -> tuple[StoredJob, ...]:
        """Jobs that wait, the oldest first."""
        return tuple(self._read("WHERE state = 'waiting' ORDER BY number"))

    def run(self, id: str) -> None:
        """A job has begun."""
        self._set("UPDATE jobs SET state = 'running' WHERE id = ?", id)

    def wait_again(self) -> None:
        """Jobs that ran when the service ended wait again."""
        self._set("UPDATE jobs SET state = 'waiting' WHERE state = 'running'")

    def end(self, id: str, result: str | None, error: Problem | None) -> None:
        """A job has ended.

        Args:
            result: JSON; None where there is an error.
        """
        state = State.DONE if error is None else State.FAILED
        said = None if error is None else json.dumps(error.__dict__)
        query = "UPDATE jobs SET state = ?, ended = ?, result = ?, error = ? WHERE id = ?"
        self._set(query, state.value, time.time(), result, said, id)

    def forget(self, id: str) -> None:
        """Forget a job and its result."""
        self._set("DELETE FROM jobs WHERE id = ?", id)

    def forget_ended(self, before: float) -> None:
        """Forget jobs that ended before a time, in seconds since the epoch."""
        self._set("DELETE FROM jobs WHERE ended < ?", before)

    def forget_results_with(self, name: str) -> None:
        """Forget jobs whose questions or results hold a name as a text of its own."""
        text = json.dumps(name, ensure_ascii=False)
        found = [
            row.id
            for row in self._read("")
            if text in json.dumps([row.result, row.asked], ensure_ascii=False) and row.state is not State.RUNNING
        ]
        for id in found:
            self.forget(id)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._faults(), self._transaction():
            yield

    def _set(self, query: str, *values: Any) -> None:
        with self._writing():
            self._db.execute(query, values)

    def _read(self, where: str, *values: str) -> Iterator[StoredJob]:
        with self._faults():
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM jobs {where}", values).fetchall()
        for id, owner, kind, name, asked, state, created_at, result, error in rows:
            try:
                told = None if error is None else Problem(**json.loads(error))
                found = None if result is None else json.loads(result)
                yield StoredJob(id, owner, kind, name, json.loads(asked), State(state), created_at, found, told)
            except (TypeError, ValueError) as fault:
                raise self._fault(Fault.DAMAGED, f"job {id} is none") from fault

    def _fault(self, fault: Fault, reason: str) -> JobsError:
        what = "has" if fault is Fault.FORMAT else "is damaged or no file of jobs:"
        return JobsError(self.path, f"{what} {reason}", "move it away; the jobs in it are lost")
