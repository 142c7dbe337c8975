"""What people decided on a library's voices, and a log of it that only grows.

Decisions are about a recording's content and the number of a voice in it, so that they hold wherever its files move,
and when it is forgotten and scanned again. Where only a file's tags change, they follow what sounds the same.

Each line of the log says who decided what and when, and what the model said by then. Its digest covers the line before,
so that a line that was changed, or taken out from between others, is told. Lines missing at the end are not.

A *kept* group is one that a person named, merged or split. Which voices a person put into it, or took out of it, stays
as it is whatever is computed later. All other groups are what was found last.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from whosings.errors import LibraryError
from whosings.heard import sound_alike
from whosings.library.decision_rows import (
    TABLES,
    Decision,
    Deed,
    FoundGroup,
    KeptGroup,
    VoiceKey,
    line_digest,
    plain_keys,
)
from whosings.library.library_file import Library
from whosings.library.library_rows import LibraryFile, LibraryVoices
from whosings.safe_text import encodable

_LINE = "decided_at, who, decision, sha256, number, path, singer, said"


class DecidedLibrary(Library):
    """A library with what people decided on its voices; its tables are made when it is first opened so.

    Args and errors are those of ``Library``.
    """

    def __init__(
        self, path: str | Path, fingerprint: str | None = None, encoder: str = "", segment_s: float | None = None
    ) -> None:
        super().__init__(path, fingerprint, encoder, segment_s)
        with self._faults():
            query = "SELECT 1 FROM sqlite_master WHERE name = 'same_sound'"
            if self._db.execute(query).fetchone() is None:
                with self._transaction():
                    for statement in TABLES:
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

    def rewritten(self, file: LibraryFile, sha256: str) -> None:
        """As of a ``Library``; decisions on the recording stay with it."""
        with self._faults():
            query = "SELECT sha256 FROM recordings JOIN files ON recording = recordings.id WHERE path = ?"
            row = self._db.execute(query, (file.path,)).fetchone()
        if row is not None:  # first, because a scan finds the new content if this is the last that is done
            self.follow(row[0], sha256)
        super().rewritten(file, sha256)

    def follow(self, before: str, now: str) -> None:
        """Say that one content sounds as another one did, because only its tags have changed: decisions go with it."""
        if before == now:
            return
        with self._faults(), self._transaction():
            self._db.execute("UPDATE same_sound SET now = ? WHERE now = ?", (now, before))
            self._db.execute("INSERT OR REPLACE INTO same_sound VALUES (?, ?)", (before, now))
            self._db.execute("DELETE FROM same_sound WHERE before = now")
            for table in ("group_voices", "group_strangers"):
                self._db.execute(f"UPDATE OR REPLACE {table} SET sha256 = ? WHERE sha256 = ?", (now, before))

    def follow_changes(self) -> int:
        """Find the contents on which somebody decided, which no file has any more, among what was heard since.

        A recording sounds the same if it is as long and its voices were heard as they were before. What was forgotten
        meanwhile cannot be compared.

        Returns:
            How many contents were found again.
        """
        filed = "EXISTS (SELECT 1 FROM files WHERE recording = recordings.id)"
        decided = (
            "SELECT coalesce(now, sha256) FROM decisions LEFT JOIN same_sound ON before = sha256"
            " UNION SELECT sha256 FROM group_voices WHERE by_person = 1 UNION SELECT sha256 FROM group_strangers"
        )
        query = f"SELECT id, sha256 FROM recordings WHERE error IS NULL AND NOT {filed} AND sha256 IN ({decided})"
        alike = f"SELECT id, sha256 FROM recordings WHERE error IS NULL AND abs(duration_s - ?) < 0.05 AND {filed}"
        with self._faults():
            gone = self._db.execute(query).fetchall()
        found = 0
        for number, before in gone:
            track = self.heard(number)
            with self._faults():
                likely = self._db.execute(alike, (track.duration_s,)).fetchall()
            now = next((sha256 for other, sha256 in likely if sound_alike(track, self.heard(other))), None)
            if now is not None:
                self.follow(before, now)
                found += 1
        return found

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
            if number != place or any(isinstance(cell, bytes) for cell in line) or digest != line_digest(before, line):
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
        """The last decision on each voice that anybody decided on, by what its content is now."""
        with self._faults():
            now = dict(self._db.execute("SELECT before, now FROM same_sound"))
        found = {}
        for line in self.decisions():
            if line.voice is not None:
                found[VoiceKey(now.get(line.voice.sha256, line.voice.sha256), line.voice.number)] = line
        return found

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
        row = (last[0] + 1, *values, line_digest(last[1], values))
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
            self._write(who, Deed.NAME, None, f"group {number}", name, {**said, "voices": plain_keys(group.voices)})

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
            both = {"voices": plain_keys(part.voices), "into": into, "into_voices": plain_keys(whole.voices)}
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
            taken = {"out": plain_keys(sorted(out)), "voices": plain_keys(group.voices)}
            self._write(who, Deed.SPLIT, None, f"group {number}", group.name, {**said, **taken})

    def _new_group(self) -> int:
        return int(self._db.execute("INSERT INTO groups (kept, name) VALUES (0, NULL)").lastrowid or 0)

    def _keep(self, number: int, name: str | None) -> None:
        self._db.execute("UPDATE groups SET kept = 1, name = ? WHERE id = ?", (name, number))
        self._db.execute("UPDATE group_voices SET by_person = 1 WHERE group_id = ?", (number,))
