"""What lives in one SQLite file: made once, whole or unchanged, and refused in sentences."""

import os
import re
import signal
import sqlite3
import threading
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from whosings.errors import GalleryError
from whosings.sqlite_file import Fault, SqliteFile

SCHEMA = "CREATE TABLE notes (text TEXT NOT NULL UNIQUE);"


class Notebook(SqliteFile):
    def __init__(self, path: str | Path, facts: dict[str, str] | None, number: str = "3", pragmas: str = "") -> None:
        super().__init__(path, number, SCHEMA, facts, pragmas)

    def _fault(self, fault: Fault, reason: str) -> GalleryError:
        return GalleryError(self.path, f"{fault.name}: {reason}", "begin anew")

    def write(self, *texts: str) -> None:
        with self._faults(), self._transaction():
            self._db.executemany("INSERT INTO notes VALUES (?)", [(text,) for text in texts])

    def read(self) -> list[str]:
        with self._faults():
            return [row[0] for row in self._db.execute("SELECT text FROM notes ORDER BY rowid")]


@pytest.fixture
def notes(tmp_path: Path):
    with Notebook(tmp_path / "deep" / "notes", {"owner": "Ann"}) as opened:
        yield opened


def test_a_new_file_says_what_it_is_and_an_old_one_keeps_to_it(notes: Notebook) -> None:
    notes.write("a", "b")
    for facts in ({"owner": "Bob"}, None):
        with Notebook(notes.path, facts) as again:
            assert again.read() == ["a", "b"]
            assert again._facts == {"format": "3", "owner": "Ann"}
    with sqlite3.connect(notes.path) as db:
        assert [row[0] for row in db.execute("SELECT sql FROM sqlite_master WHERE type = 'table'")] == [
            "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
            SCHEMA.rstrip(";"),
        ]


def test_a_change_is_whole_or_not_there(notes: Notebook) -> None:
    notes.write("a")
    with pytest.raises(
        GalleryError, match=r"notes: DAMAGED: UNIQUE constraint failed: notes.text; begin anew\.$"
    ) as caught:
        notes.write("b", "c", "a")
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
    assert notes.read() == ["a"]
    with pytest.raises(KeyError), notes._transaction():  # what is no fault of the file stays what it is
        notes._db.execute("INSERT INTO notes VALUES ('d')")
        raise KeyError
    notes.write("e")
    assert notes.read() == ["a", "e"]


def test_an_iterator_that_is_left_early_changes_nothing(notes: Notebook) -> None:
    def writing():
        with notes._transaction():
            notes._db.execute("INSERT INTO notes VALUES ('a')")
            yield

    going = writing()
    next(going)
    going.close()
    assert notes.read() == []


def test_a_fault_that_ended_the_transaction_is_the_one_that_is_told(notes: Notebook) -> None:
    notes._db.execute(
        "CREATE TRIGGER full BEFORE INSERT ON notes BEGIN SELECT raise(ROLLBACK, 'the disk is full'); END"
    )
    with pytest.raises(GalleryError, match="the disk is full"):
        notes.write("a")


class _Failing:
    """A connection that fails as SQLite does, at statements that begin with a word, and at every rollback."""

    def __init__(self, real: sqlite3.Connection, word: str, code: int) -> None:
        self._real, self._word, self._code = real, word, code

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement.startswith(self._word):
            raise self._error("the first", self._code)
        return self._real.execute(statement, *values)

    def executemany(self, statement: str, rows: Any) -> sqlite3.Cursor:
        return [self.execute(statement, row) for row in rows][-1]

    def rollback(self) -> None:
        self._real.rollback()
        raise self._error("the second", sqlite3.SQLITE_CORRUPT)

    @staticmethod
    def _error(text: str, code: int) -> sqlite3.DatabaseError:
        error = sqlite3.DatabaseError(text)
        error.sqlite_errorcode = code
        return error


@pytest.mark.parametrize("word", ["BEGIN", "INSERT", "COMMIT", "SELECT"])
@pytest.mark.parametrize(
    ("code", "says"),
    [
        (sqlite3.SQLITE_FULL, "cannot be used now (the first); free some space on the disk."),
        (sqlite3.SQLITE_IOERR_FSYNC, "cannot be used now (the first); check the disk."),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "cannot be used now (the first); wait until the other program has finished."),
        (sqlite3.SQLITE_LOCKED, "cannot be used now (the first); wait until the other program has finished."),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "cannot be used now (the first); check that the file and its folder"),
        (sqlite3.SQLITE_CANTOPEN, "cannot be used now (the first); check that the file and its folder"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "DAMAGED: the first; begin anew."),
        (sqlite3.SQLITE_NOTADB, "FOREIGN: the first; begin anew."),
    ],
)
def test_faults_are_told_for_what_they_are(notes: Notebook, word: str, code: int, says: str) -> None:
    real = notes._db
    notes._db = _Failing(real, word, code)  # type: ignore[assignment]
    with pytest.raises(GalleryError, match=re.escape(f"notes: {says}")):
        notes.write("a")
        notes.read()
    notes._db = real
    assert notes.read() == [] or word == "SELECT"


def test_a_full_file_is_not_a_damaged_one(notes: Notebook) -> None:
    notes.write("a")
    notes._db.execute("PRAGMA max_page_count = 5")
    with pytest.raises(GalleryError, match=r"cannot be used now .*full.*; free some space"):
        notes.write(*(f"{number} " * 3000 for number in range(9)))
    assert notes.read() == ["a"]


def test_a_file_that_is_locked_or_may_not_be_written(notes: Notebook, tmp_path: Path) -> None:
    notes.write("a")
    with Notebook(notes.path, None, pragmas="PRAGMA busy_timeout = 1") as other:
        notes._db.execute("BEGIN IMMEDIATE")
        with pytest.raises(GalleryError, match=r"cannot be used now .database is locked.; wait until"):
            other.write("b")
        notes._db.execute("ROLLBACK")
        other._db.execute("PRAGMA query_only = ON")
        with pytest.raises(GalleryError, match=r"cannot be used now .*readonly.*; check that the file"):
            other.write("b")
    (tmp_path / "file").touch()
    with pytest.raises(GalleryError, match=r"cannot be used now .*; check that the file and its folder"):
        Notebook(tmp_path / "file" / "notes", {})


def test_text_that_is_none_is_damage(notes: Notebook) -> None:
    notes._db.execute("INSERT INTO notes VALUES (CAST(x'ff' AS TEXT))")
    with pytest.raises(GalleryError, match="DAMAGED: Could not decode to UTF-8"):
        notes.read()


def test_a_change_within_a_change_is_no_damage(notes: Notebook) -> None:
    with notes._transaction(), pytest.raises(GalleryError, match="another change is not finished"):
        notes.write("a")


@pytest.mark.parametrize("thing", ["VIEW more AS SELECT 1", "TRIGGER t AFTER INSERT ON notes BEGIN SELECT 1; END"])
def test_nothing_in_a_file_runs(notes: Notebook, thing: str) -> None:
    assert notes._db.execute("PRAGMA trusted_schema").fetchone() == (0,)
    assert notes._db.execute("PRAGMA cell_size_check").fetchone() == (1,)
    notes._db.execute(f"CREATE {thing}")
    with pytest.raises(GalleryError, match="FOREIGN: it holds triggers or views"):
        Notebook(notes.path, None)


def test_closing(notes: Notebook) -> None:
    with notes as same:
        assert same is notes
    with pytest.raises(
        GalleryError, match=r"notes: cannot be used now .Cannot operate on a closed database.*open it again"
    ):
        notes.read()


def test_pragmas_hold_for_the_connection(tmp_path: Path) -> None:
    with Notebook(tmp_path / "n", {}, pragmas="PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL") as opened:
        assert opened._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert opened._db.execute("PRAGMA synchronous").fetchone() == (1,)


@pytest.mark.parametrize("facts", [{"owner": "Ann"}, None])
def test_other_files(tmp_path: Path, notes: Notebook, facts: dict[str, str] | None) -> None:
    with pytest.raises(GalleryError, match="notes: FORMAT: format 3"):
        Notebook(notes.path, facts, number="4")
    (tmp_path / "text").write_text("no database " * 100)
    with pytest.raises(GalleryError, match="text: FOREIGN: file is not a database"):
        Notebook(tmp_path / "text", facts)
    with sqlite3.connect(tmp_path / "foreign") as db:
        db.execute("CREATE TABLE songs (name)")
    with pytest.raises(GalleryError, match="foreign: FOREIGN: no such table: about"):
        Notebook(tmp_path / "foreign", facts)
    with sqlite3.connect(tmp_path / "foreign") as db:
        assert [row[0] for row in db.execute("SELECT name FROM sqlite_master")] == ["songs"]
        db.execute("CREATE TABLE about (key TEXT, value TEXT)")
    with pytest.raises(GalleryError, match="foreign: FORMAT: format None"):
        Notebook(tmp_path / "foreign", facts)
    whole = notes.path.read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GalleryError, match="cut: DAMAGED: "):
        Notebook(tmp_path / "cut", facts)


def test_without_facts_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(GalleryError, match="empty: FOREIGN: no such table: about"):
        Notebook(tmp_path / "empty", None)
    assert (tmp_path / "empty").read_bytes() == b""


def test_it_waits_for_another_ones_transaction_and_serves_any_thread(notes: Notebook) -> None:
    with Notebook(notes.path, None) as other:
        other._db.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=notes.write, args=("a",))
        thread.start()
        time.sleep(0.1)
        other._db.execute("COMMIT")
        thread.join()
    assert notes.read() == ["a"]


def _write_forever(path: Path) -> None:
    with Notebook(path, {}) as notes:
        for number in range(1_000_000):
            notes.write(f"{number} left", f"{number} right")


def test_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    seen = 0
    for attempt in range(8):
        path = tmp_path / f"n{attempt // 4}"
        process = get_context("fork").Process(target=_write_forever, args=(path,))
        process.start()
        time.sleep(0.01 + 0.03 * (attempt % 4))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with Notebook(path, {}) as notes:
            texts = notes.read()
        assert [text.split()[1] for text in texts] == ["left", "right"] * (len(texts) // 2)
        seen = max(seen, len(texts))
    assert seen
