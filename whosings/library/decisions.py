"""What people decided on a library's voices, and a log of it that only grows.

Decisions are about a recording's content and the number of a voice in it, so that they hold wherever its files move,
and when it is forgotten and scanned again. Each line of the log says who decided what and when, and what the model said
by then. Its digest covers the line before, so that a line that was changed, or taken out from between others, is told.
Lines missing at the end are not.

A *kept* group is one that a person named, merged or split. Which voices a person put into it, or took out of it, stays
as it is whatever is computed later. All other groups are what was found last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from whosings.errors import LibraryError
from whosings.library.library_file import Library, LibraryVoices
from whosings.safe_text import encodable

_TABLES = (
    """CREATE TABLE IF NOT EXISTS decisions (
        id INTEGER PRIMARY KEY, decided_at TEXT NOT NULL, who TEXT NOT NULL, decision TEXT NOT NULL, sha256 TEXT,
        number INTEGER, path TEXT NOT NULL, singer TEXT, said TEXT NOT NULL, digest TEXT NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS decisions_on_voices ON decisions (sha256, number)",
    # Numbers are not used again: an old one never means another group.
    "CREATE TABLE IF NOT EXISTS groups (id INTEGER PRIMARY KEY AUTOINCREMENT, kept INTEGER NOT NULL, name TEXT)",
    """CREATE TABLE IF NOT EXISTS group_voices (
        sha256 TEXT NOT NULL, number INTEGER NOT NULL, group_id INTEGER NOT NULL REFERENCES groups ON DELETE CASCADE,
        by_person INTEGER NOT NULL, PRIMARY KEY (sha256, number)
    )""",
    "CREATE INDEX IF NOT EXISTS voices_of_groups ON group_voices (group_id)",
    """CREATE TABLE IF NOT EXISTS group_strangers (
        sha256 TEXT NOT NULL, number INTEGER NOT NULL, group_id INTEGER NOT NULL REFERENCES groups ON DELETE CASCADE,
        PRIMARY KEY (sha256, number, group_id)
    )""",
)
_LINE = "decided_at, who, decision, sha256, number, path, singer, said"


class Deed(StrEnum):
    """What somebody decided."""

    CONFIRM = "confirm"
    REJECT = "reject"
    SOMEBODY_ELSE = "somebody else"
    NOT_SUNG = "not sung"
    NAME = "name group"
    MERGE = "merge groups"
    SPLIT = "split group"


@dataclass(frozen=True, order=True)
class VoiceKey:
    """A voice of a recording, wherever its files are: the content's SHA-256, and which voice, counted from 0."""

    sha256: str
    number: int


@dataclass(frozen=True)
class Decision:
    """One line of the log.

    Attributes:
        who: a person's name, as given.
        voice: what it is about; None for a group.
        path: where the recording was by then, or the group in words.
        singer: the singer whom the person named, or the one who was confirmed or rejected.
        said: what the model said by then, as plain values: encoder, terms, evidence, probability.
        decided_at: UTC, as ISO 8601 has it.
    """

    who: str
    deed: Deed
    voice: VoiceKey | None
    path: str
    singer: str | None
    said: dict[str, Any]
    decided_at: str


@dataclass(frozen=True)
class KeptGroup:
    """A group as the library has it.

    Attributes:
        kept: a person named, merged or split it.
        voices: in order.
        by_person: those of them that a person looked at as this group's.
    """

    id: int
    kept: bool
    name: str | None
    voices: tuple[VoiceKey, ...]
    by_person: frozenset[VoiceKey]


@dataclass(frozen=True)
class FoundGroup:
    """A group as it was computed: the number of the group that it goes on, if any, and its voices."""

    id: int | None
    voices: tuple[VoiceKey, ...]


class DecidedLibrary(Library):
    """A library with what people decided on its voices; its tables are made when it is first opened so.

    Args and errors are those of ``Library``.
    """

    def __init__(
        self, path: str | Path, fingerprint: str | None = None, encoder: str = "", segment_s: float | None = None
    ) -> None:
        super().__init__(path, fingerprint, encoder, segment_s)
        with self._faults():
            query = "SELECT 1 FROM sqlite_master WHERE name = 'group_strangers'"
            if self._db.execute(query).fetchone() is None:
                with self._transaction():
                    for statement in _TABLES:
                        self._db.execute(statement)

    def keys(self, voices: LibraryVoices) -> tuple[VoiceKey, ...]:
        """What voices are called in decisions, in their order."""
        with self._faults():
            query = "SELECT voices.id, sha256, number FROM voices JOIN recordings ON recordings.id = recording"
            known = {row[0]: VoiceKey(row[1], int(row[2])) for row in self._db.execute(query)}
        try:
            return tuple(known[number] for number in voices.ids.tolist())
        except KeyError as error:
            raise LibraryError(self.path, "was changed while it was read", "run the same command again") from error

    def file_named(self, path: str | Path) -> int | None:
        """The recording of a file that the library knows by this path, given as it is or absolute; None for others."""
        with self._faults():
            for name in (encodable(path), encodable(Path(path).absolute())):
                row = self._db.execute("SELECT recording FROM files WHERE path = ?", (name,)).fetchone()
                if row is not None:
                    return int(row[0])
        return None

    # ------------------------------------------------------------------ the log

    def log(
        self,
        who: str,
        deed: Deed,
        voice: VoiceKey | None,
        path: str,
        singer: str | None,
        said: dict[str, Any],
    ) -> Decision:
        """Write a line into the log, and give it back.

        Raises:
            LibraryError: nobody is named as who decided.
        """
        with self._faults(), self._transaction():
            return self._write(who, deed, voice, path, singer, said)

    def decisions(self) -> tuple[Decision, ...]:
        """The whole log, the first line first.

        Raises:
            LibraryError: a line was changed or taken out.
        """
        with self._faults():
            rows = self._db.execute(f"SELECT id, {_LINE}, digest FROM decisions ORDER BY id").fetchall()
        before, found = "", []
        for place, (number, *line, digest) in enumerate(rows, 1):
            if number != place or any(isinstance(cell, bytes) for cell in line) or digest != _digest(before, line):
                remedy = "restore the library from a copy; nobody's decisions are to be changed afterwards"
                raise LibraryError(self.path, f"has a log of decisions that was changed at line {place}", remedy)
            before = digest
            decided_at, who, deed, sha256, voice, path, singer, said = line
            try:
                key = None if sha256 is None else VoiceKey(sha256, int(voice))
                found.append(Decision(who, Deed(deed), key, path, singer, self._plain(said), decided_at))
            except (TypeError, ValueError) as error:  # well signed: another version wrote it
                problem = f"has a decision in line {place} that this version does not know ({deed})"
                raise LibraryError(self.path, problem, "update whosings") from error
        return tuple(found)

    def verdicts(self) -> dict[VoiceKey, Decision]:
        """The last decision on each voice that anybody decided on."""
        return {line.voice: line for line in self.decisions() if line.voice is not None}

    def _write(
        self, who: str, deed: Deed, voice: VoiceKey | None, path: str, singer: str | None, said: dict[str, Any]
    ) -> Decision:
        if not who.strip():
            raise LibraryError(self.path, "keeps who decided what, and nobody is named", "give your name: --by NAME")
        line = Decision(
            encodable(who.strip()),
            deed,
            voice,
            encodable(path),
            None if singer is None else encodable(singer),
            said,
            datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        sha256, number = (None, None) if voice is None else (voice.sha256, voice.number)
        plain = json.dumps(said, sort_keys=True, ensure_ascii=False)
        values = [line.decided_at, line.who, deed.value, sha256, number, line.path, line.singer, plain]
        last = self._db.execute("SELECT id, digest FROM decisions ORDER BY id DESC LIMIT 1").fetchone() or (0, "")
        marks = ", ".join("?" * 10)
        row = (last[0] + 1, *values, _digest(last[1], values))
        self._db.execute(f"INSERT INTO decisions (id, {_LINE}, digest) VALUES ({marks})", row)
        return line

    # ------------------------------------------------------------------ groups

    def groups(self) -> tuple[KeptGroup, ...]:
        """All groups, kept ones and those that were found last, by number."""
        with self._faults():
            rows = self._db.execute("SELECT id, kept, name FROM groups ORDER BY id").fetchall()
            voices: dict[int, list[tuple[VoiceKey, bool]]] = {}
            query = "SELECT group_id, sha256, number, by_person FROM group_voices ORDER BY sha256, number"
            for group, sha256, number, by_person in self._db.execute(query):
                voices.setdefault(group, []).append((VoiceKey(sha256, int(number)), bool(by_person)))
        found = []
        for number, kept, name in rows:
            own = voices.get(number, [])
            looked_at = frozenset(key for key, by_person in own if by_person)
            found.append(KeptGroup(int(number), bool(kept), name, tuple(key for key, _ in own), looked_at))
        return tuple(found)

    def group(self, number: int) -> KeptGroup:
        """A group by its number.

        Raises:
            LibraryError: there is none.
        """
        found = next((group for group in self.groups() if group.id == number), None)
        if found is None:
            remedy = "list the groups with: whosings group --library FILE"
            raise LibraryError(self.path, f"has no group {number}, or no longer", remedy)
        return found

    def strangers(self) -> dict[int, frozenset[VoiceKey]]:
        """Voices that a person took out of kept groups, by group."""
        found: dict[int, set[VoiceKey]] = {}
        with self._faults():
            for sha256, number, group in self._db.execute("SELECT sha256, number, group_id FROM group_strangers"):
                found.setdefault(group, set()).add(VoiceKey(sha256, int(number)))
        return {group: frozenset(keys) for group, keys in found.items()}

    def store_found(self, found: Iterable[FoundGroup]) -> None:
        """Replace everything that was found before; what a person put into a group, or took out of it, stays."""
        with self._faults(), self._transaction():
            self._db.execute("DELETE FROM group_voices WHERE by_person = 0")
            known = {row[0] for row in self._db.execute("SELECT id FROM groups")}
            used = set()
            for group in found:
                number = group.id if group.id in known else self._new_group()
                used.add(number)
                self._db.executemany(
                    "INSERT OR IGNORE INTO group_voices VALUES (?, ?, ?, 0)",
                    ((key.sha256, key.number, number) for key in group.voices),
                )
            rows = self._db.execute("SELECT id FROM groups WHERE kept = 0").fetchall()
            self._db.executemany("DELETE FROM groups WHERE id = ?", ((row[0],) for row in rows if row[0] not in used))

    def name_group(self, number: int, name: str, who: str, said: dict[str, Any]) -> None:
        """Say who sings in a group.

        Raises:
            LibraryError: there is no such group.
        """
        group = self.group(number)
        with self._faults(), self._transaction():
            self._keep(group.id, name)
            self._write(who, Deed.NAME, None, f"group {number}", name, {**said, "voices": _plain(group.voices)})

    def merge_groups(self, number: int, into: int, who: str, said: dict[str, Any]) -> None:
        """Say that two groups are one singer's; the second one gets the voices of the first.

        Raises:
            LibraryError: there is no such group, or both are the same.
        """
        part, whole = self.group(number), self.group(into)
        if part.id == whole.id:
            raise LibraryError(self.path, f"cannot merge group {number} with itself", "name two groups")
        with self._faults(), self._transaction():
            self._db.execute("UPDATE group_voices SET group_id = ? WHERE group_id = ?", (into, number))
            self._db.execute("UPDATE OR IGNORE group_strangers SET group_id = ? WHERE group_id = ?", (into, number))
            self._db.execute("DELETE FROM groups WHERE id = ?", (number,))
            self._keep(into, whole.name or part.name)
            self._db.execute(
                "DELETE FROM group_strangers WHERE group_id = ? AND EXISTS (SELECT 1 FROM group_voices AS own WHERE"
                " own.sha256 = group_strangers.sha256 AND own.number = group_strangers.number AND own.group_id = ?)",
                (into, into),
            )
            both = {"voices": _plain(part.voices), "into": into, "into_voices": _plain(whole.voices)}
            self._write(who, Deed.MERGE, None, f"group {number}", whole.name or part.name, {**said, **both})

    def split_group(self, number: int, voices: Collection[VoiceKey], who: str, said: dict[str, Any]) -> None:
        """Say that voices are not the singer of a group; the rest stays together.

        Raises:
            LibraryError: there is no such group, a voice is not in it, or nobody would be left.
        """
        group, out = self.group(number), set(voices)
        if not out or not out <= set(group.voices):
            raise LibraryError(self.path, f"has a group {number} without that voice", "name one of its recordings")
        if out == set(group.voices):
            raise LibraryError(self.path, f"has nobody else in group {number}", "leave a recording in the group")
        with self._faults(), self._transaction():
            for key in sorted(out):
                both = (key.sha256, key.number, number)
                self._db.execute("DELETE FROM group_voices WHERE sha256 = ? AND number = ? AND group_id = ?", both)
                self._db.execute("INSERT OR IGNORE INTO group_strangers VALUES (?, ?, ?)", both)
            self._keep(number, group.name)
            taken = {"out": _plain(sorted(out)), "voices": _plain(group.voices)}
            self._write(who, Deed.SPLIT, None, f"group {number}", group.name, {**said, **taken})

    def _new_group(self) -> int:
        return int(self._db.execute("INSERT INTO groups (kept, name) VALUES (0, NULL)").lastrowid or 0)

    def _keep(self, number: int, name: str | None) -> None:
        self._db.execute("UPDATE groups SET kept = 1, name = ? WHERE id = ?", (name, number))
        self._db.execute("UPDATE group_voices SET by_person = 1 WHERE group_id = ?", (number,))


def _plain(keys: Sequence[VoiceKey]) -> list[dict[str, Any]]:
    return [asdict(key) for key in keys]


def _digest(before: str, line: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps([before, *line], ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()
