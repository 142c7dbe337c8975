"""A library's file: what was heard of every recording of a collection, so that no question is a new listening.

Conventions
-----------
- A recording is known by its content (SHA-256), and a file by its path. Copies of a file are one recording, and a file
  that moved is the recording that it was.
- A recording that cannot be used is kept with its error, so that it is not tried again until it changes.
- One process writes at a time, and others may read. Every change is one transaction: after a crash it is whole, or not
  there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from whosings.audio import FloatArray
from whosings.errors import AudioError, LibraryError
from whosings.heard import HeardTrack
from whosings.library.library_rows import LibraryFile, LibraryVoices, Problem, Recording, of_voice, to_voice
from whosings.opinion_rows import Opinion
from whosings.sqlite_file import Fault, SqliteFile

FORMAT = "1"
_SCHEMA = """
CREATE TABLE recordings (
    id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, duration_s REAL NOT NULL, vocal_s REAL NOT NULL,
    short INTEGER NOT NULL, opinion TEXT, error TEXT, heard_at TEXT NOT NULL
);
CREATE TABLE files (
    path TEXT PRIMARY KEY, recording INTEGER NOT NULL REFERENCES recordings ON DELETE CASCADE, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, tags TEXT NOT NULL
);
CREATE INDEX files_of_recordings ON files (recording);
CREATE TABLE voices (
    id INTEGER PRIMARY KEY, recording INTEGER NOT NULL REFERENCES recordings ON DELETE CASCADE,
    number INTEGER NOT NULL, mean BLOB NOT NULL, amount REAL NOT NULL, seconds REAL NOT NULL, spans BLOB NOT NULL,
    UNIQUE (recording, number)
)"""
_RECORDING = "recordings.id, sha256, duration_s, vocal_s, short, opinion, error, heard_at"
_BLOCK = 1000  # rows that are read at once


class Library(SqliteFile):
    """A library on disk; use it as a context manager, or ``close`` it.

    Args:
        path: its file; made when it does not exist and ``fingerprint`` is given.
        fingerprint: that of the encoder that listens; None accepts whatever the file says.
        encoder: what people call that encoder.
        segment_s: seconds of its segments.

    Raises:
        LibraryError: missing, damaged, not a library, another encoder's, or it cannot be used now.
    """

    def __init__(
        self, path: str | Path, fingerprint: str | None = None, encoder: str = "", segment_s: float | None = None
    ) -> None:
        if not Path(path).exists() and fingerprint is None:
            raise LibraryError(path, "no such library", "scan songs first: whosings scan FOLDER --library FILE")
        if Path(path).is_dir():
            raise LibraryError(path, "is a folder, not a library", "name a file")
        facts = None
        if fingerprint is not None:
            facts = {"fingerprint": fingerprint, "encoder": encoder}
            facts |= {} if segment_s is None else {"segment_s": repr(segment_s)}
        super().__init__(path, FORMAT, _SCHEMA, facts, "PRAGMA foreign_keys = ON")
        if "fingerprint" not in self._facts:
            raise self._fault(Fault.FOREIGN, "it does not say which encoder it is of")
        self.fingerprint, self.encoder = self._facts["fingerprint"], self._facts.get("encoder", "")
        if fingerprint is not None:
            self.refuse_other(fingerprint, encoder)

    @property
    def segment_s(self) -> float | None:
        """Seconds of the encoder's segments; None where that was not said."""
        said = self._facts.get("segment_s")
        return None if said is None else float(said)

    def refuse_other(self, fingerprint: str, encoder: str = "") -> None:
        """Check that an encoder is the one that listened.

        Raises:
            LibraryError: it is another one.
        """
        if fingerprint != self.fingerprint:
            made, given = (
                f"encoder {name} ({digest[:12]})" if name else f"encoder {digest[:12]}"
                for name, digest in ((self.encoder, self.fingerprint), (encoder, fingerprint))
            )
            remedy = "name the encoder it was made with, or scan again into a new library"
            raise LibraryError(self.path, f"was made with {made}, not {given}", remedy)

    # ------------------------------------------------------------------ writing

    def add(self, file: LibraryFile, sha256: str, heard: HeardTrack | AudioError, again: bool = False) -> int:
        """Keep what was heard of a file's content, or why nothing can be; the number of its recording.

        Content that is there already is left as it is, and the file is one more of it.

        Args:
            again: content that is there with an error takes what was heard now.

        Raises:
            LibraryError: another encoder listened.
        """
        if isinstance(heard, HeardTrack):
            self.refuse_other(heard.fingerprint)
        with self._faults(), self._transaction():
            found = self._db.execute("SELECT id, error FROM recordings WHERE sha256 = ?", (sha256,)).fetchone()
            if found is not None and not (again and found[1] is not None):
                recording = int(found[0])
            else:
                recording = self._put_recording(sha256, heard, None if found is None else int(found[0]))
            self._put_file(file, recording)
        return recording

    def add_file(self, file: LibraryFile, recording: int, moved_from: str | None = None) -> None:
        """Keep that a file holds a recording that is known; a file that was at its path before is forgotten.

        Args:
            moved_from: where the file was; it is forgotten there.
        """
        with self._faults(), self._transaction():
            self._put_file(file, recording)
            if moved_from is not None:
                self._db.execute("DELETE FROM files WHERE path = ?", (moved_from,))

    def rewritten(self, file: LibraryFile, sha256: str) -> None:
        """Keep that a known file was written anew with the same sound, as when tags change: it is not heard again.

        Its copies, if there are any, keep the recording for as long as they do not change, either.

        Raises:
            LibraryError: no recording is known at its path.
        """
        with self._faults(), self._transaction():
            found = self._db.execute("SELECT recording FROM files WHERE path = ?", (file.path,)).fetchone()
            if found is None:
                raise LibraryError(self.path, f"has no recording of {file.path}", "scan it")
            other = self._db.execute("SELECT id FROM recordings WHERE sha256 = ?", (sha256,)).fetchone()
            if other is None:
                self._db.execute("UPDATE recordings SET sha256 = ? WHERE id = ?", (sha256, found[0]))
            self._put_file(file, int((other or found)[0]))

    def forget_files(self, paths: Iterable[str]) -> None:
        """Forget files; what was heard of their recordings stays until ``forget_missing``."""
        with self._faults(), self._transaction():
            self._db.executemany("DELETE FROM files WHERE path = ?", ((path,) for path in paths))

    def forget_missing(self) -> int:
        """Forget the recordings of which no file is left; how many these were."""
        with self._faults(), self._transaction():
            query = "DELETE FROM recordings WHERE NOT EXISTS (SELECT 1 FROM files WHERE recording = recordings.id)"
            return self._db.execute(query).rowcount

    def _put_file(self, file: LibraryFile, recording: int) -> None:
        tags = json.dumps(file.tags, ensure_ascii=False)
        self._db.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
            (file.path, recording, file.size, file.mtime_ns, tags),
        )

    def _put_recording(self, sha256: str, heard: HeardTrack | AudioError, number: int | None) -> int:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        if isinstance(heard, AudioError):
            problem = Problem(type(heard).__name__, heard.problem, heard.remedy)
            values: tuple[Any, ...] = (sha256, 0.0, 0.0, 0, None, json.dumps(asdict(problem)), now)
        else:
            opinion = None if heard.opinion is None else json.dumps(asdict(heard.opinion))
            values = (sha256, float(heard.duration_s), float(heard.vocal_s), int(heard.short), opinion, None, now)
        if number is None:
            number = self._db.execute("SELECT coalesce(max(id), 0) + 1 FROM recordings").fetchone()[0]
            self._db.execute("INSERT INTO recordings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (number, *values))
        else:
            columns = "sha256 = ?, duration_s = ?, vocal_s = ?, short = ?, opinion = ?, error = ?, heard_at = ?"
            self._db.execute(f"UPDATE recordings SET {columns} WHERE id = ?", (*values, number))
        if isinstance(heard, HeardTrack):
            self._db.executemany(
                "INSERT INTO voices (recording, number, mean, amount, seconds, spans) VALUES (?, ?, ?, ?, ?, ?)",
                ((number, place, *of_voice(voice)) for place, voice in enumerate(heard.voices)),
            )
        return int(number or 0)

    # ------------------------------------------------------------------ reading

    def known(self, path: str, size: int, mtime_ns: int) -> Recording | None:
        """The recording of a file that has not changed; None where it has, or is new."""
        where = "JOIN files ON recording = recordings.id WHERE path = ? AND size = ? AND mtime_ns = ?"
        return self._one_recording(where, (path, size, mtime_ns))

    def with_content(self, sha256: str) -> Recording | None:
        """The recording of some content, if it is known."""
        return self._one_recording("WHERE sha256 = ?", (sha256,))

    def recording(self, recording: int) -> Recording:
        """A recording by its number.

        Raises:
            LibraryError: there is none.
        """
        found = self._one_recording("WHERE id = ?", (recording,))
        if found is None:
            raise LibraryError(self.path, f"has no recording {recording}", "scan again")
        return found

    def count(self) -> int:
        """How many recordings can be used."""
        with self._faults():
            return int(self._db.execute("SELECT count(*) FROM recordings WHERE error IS NULL").fetchone()[0])

    def recordings(self) -> Iterator[Recording]:
        """All of them, those that cannot be used included, in the order in which they were heard."""
        for row in self._rows(f"SELECT {_RECORDING} FROM recordings WHERE id > ? ORDER BY id LIMIT ?"):
            yield self._recording(row)

    def heard(self, recording: int) -> HeardTrack:
        """What was heard of a recording, named after its first file.

        Raises:
            LibraryError: there is no such recording, or it cannot be used.
        """
        row = self.recording(recording)
        paths = self.paths(recording)
        name = paths[0] if paths else row.sha256
        if (error := row.error_of(name)) is not None:
            raise LibraryError(self.path, f"holds nothing that was heard of {name} ({error.problem})", error.remedy)
        query = "SELECT mean, amount, seconds, spans FROM voices WHERE recording = ? ORDER BY number"
        with self._faults():
            voices = self._db.execute(query, (recording,)).fetchall()
        return self._track(row, name, voices)

    def all_heard(self) -> Iterator[tuple[int, HeardTrack]]:
        """Numbers of the recordings that can be used, and what was heard of them, in order; never all in memory."""
        joined = (
            f"SELECT {_RECORDING}, (SELECT min(path) FROM files WHERE recording = recordings.id), mean, amount,"
            " seconds, spans FROM (SELECT * FROM recordings WHERE id > ? ORDER BY id LIMIT ?) AS recordings"
            " LEFT JOIN voices ON voices.recording = recordings.id ORDER BY recordings.id, number"
        )
        for _, rows in groupby(self._rows(joined), key=lambda row: row[0]):
            found = list(rows)
            row = self._recording(found[0][:8])
            if row.error is None:
                voices = [one[9:] for one in found if one[9] is not None]
                yield row.id, self._track(row, found[0][8] or row.sha256, voices)

    def voices(self) -> LibraryVoices:
        """All voices at once, by recording and number."""
        with self._faults():
            count, width = self._db.execute("SELECT count(*), max(length(mean)) FROM voices").fetchone()
            rows = self._db.execute(
                "SELECT id, recording, mean, amount, seconds FROM voices ORDER BY recording, number LIMIT ?", (count,)
            )
            means = np.zeros((count, (width or 0) // 4), np.float32)
            numbers = np.zeros((2, count), np.int64)
            measures = np.zeros((2, count))
            filled = 0
            for place, (number, recording, mean, amount, seconds) in enumerate(rows):
                means[place] = self._mean(mean, width)
                numbers[:, place], measures[:, place] = (number, recording), (amount, seconds)
                filled = place + 1
        whole = slice(0, filled)  # another process may have forgotten some meanwhile
        ids, recordings = numbers[:, whole]
        amounts, lengths = measures[:, whole]
        return LibraryVoices(ids, recordings, means[whole], amounts, lengths)

    def count_voices(self) -> int:
        """How many voices there are, of all recordings."""
        with self._faults():
            return int(self._db.execute("SELECT count(*) FROM voices").fetchone()[0])

    def voices_of(self, ids: Iterable[int]) -> LibraryVoices:
        """Some voices by their rows' numbers, by recording and number; those that are there no more are left out."""
        wanted = json.dumps([int(number) for number in ids])
        query = (
            "SELECT id, recording, mean, amount, seconds FROM voices WHERE id IN (SELECT value FROM json_each(?))"
            " ORDER BY recording, number"
        )
        with self._faults():
            rows = self._db.execute(query, (wanted,)).fetchall()
            width = self._db.execute("SELECT max(length(mean)) FROM (SELECT mean FROM voices LIMIT 1)").fetchone()[0]
        means = np.zeros((len(rows), (width or 0) // 4), np.float32)
        for place, row in enumerate(rows):
            means[place] = self._mean(row[2], width)
        numbers, recordings, amounts, seconds = (np.array([row[at] for row in rows]) for at in (0, 1, 3, 4))
        return LibraryVoices(
            numbers.astype(np.int64), recordings.astype(np.int64), means, amounts.astype(float), seconds.astype(float)
        )

    def number_of(self, voice: int) -> int:
        """Which of its recording's voices one is, counted from 0.

        Raises:
            LibraryError: it is there no more.
        """
        with self._faults():
            found = self._db.execute("SELECT number FROM voices WHERE id = ?", (voice,)).fetchone()
        if found is None:
            raise LibraryError(self.path, "was changed while it was read", "run the same command again")
        return int(found[0])

    def voice_keys(self) -> Iterator[tuple[int, str]]:
        """All voices' rows' numbers in order, and a text of each that another voice does not have.

        A row's number may come back with another voice, after the last one was forgotten.
        """
        keyed = (
            "SELECT voices.id, sha256 || ' ' || number || ' ' || heard_at FROM voices"
            " JOIN recordings ON recordings.id = recording WHERE voices.id > ? ORDER BY voices.id LIMIT ?"
        )
        for number, key in self._rows(keyed):
            yield int(number), key

    def paths(self, recording: int) -> tuple[str, ...]:
        """Where the files of a recording are, in order."""
        with self._faults():
            query = "SELECT path FROM files WHERE recording = ? ORDER BY path"
            return tuple(path for (path,) in self._db.execute(query, (recording,)).fetchall())

    def recording_at(self, path: str) -> int | None:
        """The recording that was last seen at a path."""
        with self._faults():
            found = self._db.execute("SELECT recording FROM files WHERE path = ?", (path,)).fetchone()
        return None if found is None else int(found[0])

    def files(self, recording: int | None = None) -> Iterator[LibraryFile]:
        """All files, or those of one recording, by path."""
        last = ""
        where = "" if recording is None else "AND recording = ?"
        query = f"SELECT path, size, mtime_ns, tags FROM files WHERE path > ? {where} ORDER BY path LIMIT {_BLOCK}"
        while True:
            with self._faults():
                rows = self._db.execute(query, (last,) if recording is None else (last, recording)).fetchall()
            if not rows:
                return
            for path, size, mtime_ns, tags in rows:
                yield LibraryFile(path, size, mtime_ns, self._plain(tags))
            last = rows[-1][0]

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Rows of blocks of recordings; ``query`` begins them after one number and takes so many."""
        last = -1
        while True:
            with self._faults():
                rows = self._db.execute(query, (last, _BLOCK)).fetchall()
            if not rows:
                return
            yield from rows
            last = rows[-1][0]

    def _one_recording(self, where: str, values: tuple[Any, ...]) -> Recording | None:
        with self._faults():
            row = self._db.execute(f"SELECT {_RECORDING} FROM recordings {where}", values).fetchone()
        return None if row is None else self._recording(row)

    def _recording(self, row: tuple[Any, ...]) -> Recording:
        number, sha256, duration_s, vocal_s, short, opinion, error, heard_at = row
        try:
            said = None if opinion is None else Opinion(**self._plain(opinion))
            problem = None if error is None else Problem(**self._plain(error))
            return Recording(number, sha256, float(duration_s), float(vocal_s), bool(short), said, problem, heard_at)
        except (TypeError, ValueError) as fault:
            raise self._fault(Fault.DAMAGED, f"recording {number} is none") from fault

    def _track(self, row: Recording, name: str, voices: Iterable[tuple[Any, ...]]) -> HeardTrack:
        try:
            found = tuple(to_voice(*voice) for voice in voices)
        except (TypeError, ValueError) as error:
            raise self._fault(Fault.DAMAGED, f"a voice of {name} is none") from error
        return HeardTrack(name, found, row.duration_s, row.vocal_s, row.short, self.fingerprint, row.opinion)

    def _mean(self, mean: Any, width: int) -> FloatArray:
        if not isinstance(mean, bytes) or len(mean) != width or width % 4:
            raise self._fault(Fault.DAMAGED, "voices are of different lengths")
        return np.frombuffer(mean, np.float32)

    def _plain(self, text: Any) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except (TypeError, ValueError) as error:
            raise self._fault(Fault.DAMAGED, "a row holds no JSON") from error
        if not isinstance(found, dict):
            raise self._fault(Fault.DAMAGED, "a row holds another thing than it should")
        return found

    def _fault(self, fault: Fault, reason: str) -> LibraryError:
        if fault is Fault.FORMAT:
            return LibraryError(self.path, f"has {reason}", "update whosings, or scan again into a new library")
        remedy = "restore it from a copy, or scan again into a new library"
        if fault is Fault.DAMAGED:
            return LibraryError(self.path, f"is damaged ({reason})", remedy)
        return LibraryError(self.path, f"is damaged or not a library ({reason})", remedy)
