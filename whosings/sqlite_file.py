"""One SQLite file of a known format: every change is one transaction, and its faults are told in sentences."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import DatabaseError, NotSupportedError, connect
from typing import Self

from whosings.errors import WhosingsError

_BUSY_S = 30.0  # how long to wait for another process's transaction
_ABOUT = "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);"


class SqliteFile(ABC):
    """Something that lives in one SQLite file; use it as a context manager, or ``close`` it.

    Args:
        path: the file; its folder is made when it does not exist.
        number: of the format that is read and written.
        schema: statements that make the tables of a new file, after ``about``, which holds the facts.
        facts: what a new file says of itself; None makes no tables.
        pragmas: statements that set up the connection.

    Raises:
        WhosingsError: the file cannot be used; the subclass chooses the class and the sentence.
    """

    def __init__(self, path: str | Path, number: str, schema: str, facts: dict[str, str] | None, pragmas: str) -> None:
        self.path = Path(path)
        with self._faults():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            self._db.executescript(pragmas)
            if facts is not None:
                self._make(schema, {"format": number, **facts})
            self._facts = dict(self._db.execute("SELECT key, value FROM about"))
            if self._facts.get("format") != number:
                raise NotSupportedError(f"format {self._facts.get('format')}")

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def _fault(self, error: DatabaseError) -> WhosingsError:
        """What is said where SQLite fails, or, by a ``NotSupportedError``, where the file is of another format."""

    def _make(self, schema: str, facts: dict[str, str]) -> None:
        with self._transaction():  # two processes may both find no file
            if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in (_ABOUT + schema).split(";"):
                    self._db.execute(statement)
                self._db.executemany("INSERT INTO about VALUES (?, ?)", facts.items())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._db:  # ends it: keeps all changes of the block, or after an error none
            self._db.execute("BEGIN IMMEDIATE")
            yield

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            raise self._fault(error) from error
