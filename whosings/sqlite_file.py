"""One SQLite file of a known format: every change is one transaction, and its faults are told for what they are.

SQLite's faults are of four kinds. The file is damaged, it is something else, it is of another format: these a subclass
puts into words. Or the file is well, and the disk, the rights or another program are in the way: this is told here, and
never as damage, because what is thrown away for that reason is lost for nothing.
"""

from __future__ import annotations

import sqlite3
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path
from sqlite3 import DatabaseError, OperationalError, connect
from typing import Self

from whosings.errors import WhosingsError

_BUSY_S = 30.0  # how long to wait for another process's transaction
ABOUT = "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
"""Makes the table in which a file says what it is."""
# Nothing that a file holds may run, and cells of pages are measured before they are read.
_CAREFUL = "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"


class Fault(Enum):
    """What is wrong with a file, which a subclass puts into words."""

    DAMAGED = auto()
    FOREIGN = auto()
    FORMAT = auto()


_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG)
_FOREIGN = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
_REMEDIES = {
    sqlite3.SQLITE_FULL: "free some space on the disk",
    sqlite3.SQLITE_BUSY: "wait until the other program has finished",
    sqlite3.SQLITE_LOCKED: "wait until the other program has finished",
    sqlite3.SQLITE_IOERR: "check the disk",
}
_RIGHTS = "check that the file and its folder may be read and written"


class SqliteFile(ABC):
    """Something that lives in one SQLite file; use it as a context manager, or ``close`` it.

    Args:
        path: the file; its folder is made when it does not exist.
        number: the format that is written, and read.
        schema: statements that make the tables of a new file, after ``about``, which holds the facts.
        facts: what a new file says of itself; None makes no tables.
        pragmas: statements that set up the connection.
        former: numbers of other formats that are read.

    Raises:
        WhosingsError: the file cannot be used; the subclass chooses the class and the sentence.
    """

    def __init__(
        self,
        path: str | Path,
        number: str,
        schema: str,
        facts: dict[str, str] | None,
        pragmas: str,
        former: Collection[str] = (),
    ) -> None:
        self.path = Path(path)
        with self._faults():
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise self._obstacle(str(error), _RIGHTS) from error
            self._db = connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            if sys.version_info >= (3, 12):
                self._db.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE)
            self._db.executescript(_CAREFUL + pragmas)
            if facts is not None:
                self._make(schema, {"format": number, **facts})
            self._facts = dict(self._db.execute("SELECT key, value FROM about"))
            if (found := self._facts.get("format")) != number and found not in former:
                raise self._fault(Fault.FORMAT, f"format {found}")
            if self._db.execute("SELECT 1 FROM sqlite_master WHERE type IN ('trigger', 'view')").fetchone():
                raise self._fault(Fault.FOREIGN, "it holds triggers or views, which change what is read or written")

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def version(self) -> str:
        """Another text after every change of the file, whether this object or another process made it."""
        with self._faults():
            others = self._db.execute("PRAGMA data_version").fetchone()[0]
        return f"{others}.{self._db.total_changes}"

    @abstractmethod
    def _fault(self, fault: Fault, reason: str) -> WhosingsError:
        """What is said of a file with a fault; ``reason`` is a clause, or for ``Fault.FORMAT`` the format's name."""

    def _obstacle(self, reason: str, remedy: str) -> WhosingsError:
        """What is said where the file is well and cannot be used."""
        return type(self._fault(Fault.DAMAGED, ""))(self.path, f"cannot be used now ({reason})", remedy)

    def _make(self, schema: str, facts: dict[str, str]) -> None:
        with self._transaction():  # two processes may both find no file
            if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in f"{ABOUT};{schema}".split(";"):
                    self._db.execute(statement)
                self._db.executemany("INSERT INTO about VALUES (?, ?)", facts.items())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Keep all changes of a block, or after an error none."""
        self._refuse_within_a_change()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(DatabaseError):  # what ended the transaction is told, not what ending it may raise besides
                self._db.rollback()
            raise

    def _refuse_within_a_change(self) -> None:
        if self._db.in_transaction:
            raise self._obstacle("another change is not finished", "make one change at a time")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            raise self._told(error) from error
        except UnicodeDecodeError as error:  # SQLite quotes the file, and sqlite3 cannot read its message
            raise self._fault(Fault.DAMAGED, "what it holds is no text") from error

    def _told(self, error: DatabaseError) -> WhosingsError:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:  # raised by Python: text that is no UTF-8, or a connection that is closed
            text = isinstance(error, OperationalError)
            return self._fault(Fault.DAMAGED, str(error)) if text else self._obstacle(str(error), "open it again")
        primary = code & 0xFF
        if primary in _DAMAGED:
            return self._fault(Fault.DAMAGED, str(error))
        if primary in _FOREIGN:
            return self._fault(Fault.FOREIGN, str(error))
        return self._obstacle(str(error), _REMEDIES.get(primary, _RIGHTS))
