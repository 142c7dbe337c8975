"""What is known of each track of a catalogue, on disk: an interrupted preparation goes on, and a grown one adds to it.

One SQLite file. Every change is one transaction, so that after ``kill -9`` at any moment what was found out before is
there. Memory does not grow with the catalogue: questions about all tracks are answered by the database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whosings.catalogue.fingerprint import Relation, Words, candidates, relation
from whosings.catalogue.track_status import (
    Entry,
    Examination,
    Listed,
    Stored,
    TrackOutcome,
    track_from_json,
    track_to_json,
)
from whosings.catalogue.word_index import SCHEMA as _WORDS
from whosings.catalogue.word_index import WordPage, forget
from whosings.errors import ManifestError, MissingObjectError, StorageError
from whosings.sqlite_file import Fault, SqliteFile
from whosings.storage import REQUESTS, is_remote, signature

_FORMAT = "1"
_SCHEMA = f"""
CREATE TABLE tracks (
    number INTEGER PRIMARY KEY, track_id TEXT NOT NULL UNIQUE, singer_id TEXT NOT NULL, facts TEXT NOT NULL,
    path TEXT NOT NULL, stamp TEXT NOT NULL, run INTEGER NOT NULL,
    outcome TEXT NOT NULL, detail TEXT NOT NULL DEFAULT '',
    sha256 TEXT, duration_s REAL, vocal REAL, pieces BLOB, words BLOB, twin INTEGER, matched INTEGER NOT NULL DEFAULT 0,
    stored TEXT
);
CREATE INDEX by_content ON tracks (sha256);
CREATE INDEX by_singer ON tracks (singer_id);
CREATE INDEX by_twin ON tracks (twin);
{_WORDS};
"""
_PARTS = """
CREATE TABLE parts (part INTEGER, whole INTEGER, PRIMARY KEY (part, whole)) WITHOUT ROWID;
CREATE INDEX parts_of ON parts (whole);
"""
_PRAGMAS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"  # a crash of the machine may lose the last tracks
_TO_EXAMINE = "sha256 IS NULL AND outcome = ''"
_PAGE = 500  # rows in memory at a time
_COMPARED = 2_000  # tracks whose words are looked up at once


class Journal(SqliteFile):
    """Use it as a context manager.

    Args:
        path: the file; made when it does not exist.
        method: what the examinations depend on; a journal of another method is examined anew.

    Attributes:
        unasked: why a store did not say whether songs of this run have changed, an error each.

    Raises:
        ManifestError: not a journal, or of another version. Every method raises it where SQLite fails: a full disk, a
            lock that somebody else holds, damage.
    """

    def __init__(self, path: str | Path, method: str) -> None:
        super().__init__(path, _FORMAT, _SCHEMA + _PARTS, {"method": method, "run": "0"}, _PRAGMAS)
        self._run, self.unasked = int(self._facts["run"]), list[StorageError]()
        if not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'parts'"):
            self._compare_anew()
        if self._rows("SELECT 1 FROM sqlite_master WHERE name = 'words_of'"):
            with self._transaction():  # former journals: nothing asks for it now, and it is as large as the words
                self._db.execute("DROP INDEX words_of")
        if self._facts["method"] != method:
            with self._transaction():
                self._db.execute("UPDATE tracks SET stamp = ''")
                self._db.execute("UPDATE about SET value = ? WHERE key = 'method'", (method,))

    def begin(self, tracks: Iterable[Listed]) -> int:
        """Begin a run over these tracks, in order; what is known of unchanged files is kept. The number of tracks.

        Whether an object of a store has changed is asked for. Where the store does not say, what is known is kept, and
        ``unasked`` holds why.

        Raises:
            ManifestError: two tracks have one id.
            StorageError: the store answers nothing at all.
        """
        self._run += 1
        self.unasked = []
        count = 0
        with self._transaction():
            self._db.execute("UPDATE about SET value = ? WHERE key = 'run'", (str(self._run),))
            for listed, stamp in _stamped(tracks):
                self._list(listed, stamp)
                count += 1
            # What a track was a duplicate of may have left the catalogue.
            self._db.execute(
                "UPDATE tracks SET twin = NULL, matched = 0 WHERE run = ? AND twin IN"
                " (SELECT number FROM tracks WHERE run != ? OR outcome != '')",
                (self._run, self._run),
            )
        return count

    def unexamined(self) -> Iterator[Entry]:
        """Tracks of this run to be listened to: new, changed, or unreadable last time."""
        return self._entries(_TO_EXAMINE)

    def count_unexamined(self) -> int:
        """How many those are."""
        return int(self._rows(f"SELECT count(*) FROM tracks WHERE run = ? AND {_TO_EXAMINE}", self._run)[0][0])

    def examined(self, number: int, found: Examination) -> None:
        """Keep what was found out about a track."""
        with self._transaction():
            self._db.execute(
                "UPDATE tracks SET sha256 = ?, duration_s = ?, vocal = ?, pieces = ?, words = ?, outcome = '',"
                " detail = '' WHERE number = ?",
                (found.sha256, found.duration_s, found.vocal, found.pieces.astype("<f4").tobytes(),
                 found.words.astype("<u4").tobytes(), number),
            )  # fmt: skip

    def stored(self, number: int, where: Stored) -> None:
        """Keep where a track's sound lies."""
        with self._transaction():
            self._db.execute("UPDATE tracks SET stored = ? WHERE number = ?", (json.dumps(asdict(where)), number))

    def settle(self, number: int, outcome: TrackOutcome, detail: str) -> None:
        """Say what became of a track."""
        with self._transaction():
            self._settle("number = ?", (number,), outcome, detail)

    def match(self) -> Iterator[None]:
        """Find, for each track not yet compared, the same recording and those that hold it or that it holds.

        Yields once a track.
        """
        last = -1
        while True:
            rows = self._rows(
                "SELECT number, sha256, words FROM tracks WHERE run = ? AND sha256 IS NOT NULL AND outcome = ''"
                " AND NOT matched AND number > ? ORDER BY number LIMIT ?",
                self._run, last, _COMPARED,
            )  # fmt: skip
            if not rows:
                return
            with self._transaction():
                prints = {number: np.frombuffer(blob, "<u4") for number, _, blob in rows}
                page = WordPage(self._db, list(prints.items()))
                for number, sha256, _ in rows:
                    self._match(number, sha256, prints[number], page)
                    yield
                page.write()
            last = rows[-1][0]

    def decide(self, min_vocal: float, min_tracks: int) -> None:
        """Apply the filters to what is known: conflicts, duplicates, wholes, share of singing, tracks a singer."""
        with self._transaction():
            later = (
                TrackOutcome.CONFLICT, TrackOutcome.DUPLICATE, TrackOutcome.COMPILATION, TrackOutcome.FEW_VOCALS,
                TrackOutcome.FEW_TRACKS, TrackOutcome.KEPT,
            )  # fmt: skip
            marks = ", ".join("?" * len(later))
            self._db.execute(
                f"UPDATE tracks SET outcome = '', detail = '' WHERE run = ? AND outcome IN ({marks})",
                (self._run, *later),
            )
            self._set_conflicts_apart()
            self._db.execute(
                "UPDATE tracks SET outcome = ?, detail = 'the same recording as ' ||"
                " (SELECT track_id FROM tracks AS first WHERE first.number = tracks.twin)"
                " WHERE run = ? AND outcome = '' AND twin IS NOT NULL",
                (TrackOutcome.DUPLICATE, self._run),
            )
            self._set_wholes_apart(min_vocal)
            few = f"somebody sings in less than {min_vocal:.0%} of it"
            self._settle("run = ? AND outcome = '' AND vocal < ?", (self._run, min_vocal), TrackOutcome.FEW_VOCALS, few)
            self._db.execute(
                "UPDATE tracks SET outcome = ? WHERE run = ? AND outcome = ''", (TrackOutcome.KEPT, self._run)
            )
            self._drop_lone(min_tracks)

    def drop_lone(self, min_tracks: int) -> None:
        """Apply the last filter once more, after kept tracks were lost."""
        with self._transaction():
            self._drop_lone(min_tracks)

    def entries(self, *outcomes: TrackOutcome) -> Iterator[Entry]:
        """The run's tracks in order; those with one of these outcomes, or all."""
        return self._entries(f"outcome IN ({', '.join('?' * len(outcomes))})" if outcomes else "TRUE", *outcomes)

    def tally(self) -> dict[TrackOutcome, tuple[int, int, float]]:
        """For each outcome: tracks, singers, hours of what could be decoded."""
        rows = self._rows(
            "SELECT outcome, count(*), count(DISTINCT singer_id), total(duration_s) / 3600 FROM tracks"
            " WHERE run = ? AND outcome != '' GROUP BY outcome",
            self._run,
        )
        return {TrackOutcome(outcome): (tracks, singers, hours) for outcome, tracks, singers, hours in rows}

    def vocal_shares(self, bins: int) -> NDArray[np.int64]:
        """Histogram (bins,) of the share of singing, 0 to 1, of the tracks that could be decoded."""
        counts = np.zeros(bins, np.int64)
        for place, count in self._rows(
            "SELECT min(CAST(vocal * ? AS INTEGER), ? - 1) AS place, count(*) FROM tracks"
            " WHERE run = ? AND vocal IS NOT NULL GROUP BY place",
            bins, bins, self._run,
        ):  # fmt: skip
            counts[place] = count
        return counts

    # ------------------------------------------------------------------ inside

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._faults(), super()._transaction():
            yield

    def _rows(self, question: str, *values: Any) -> list[Any]:
        with self._faults():
            return self._db.execute(question, values).fetchall()

    def _compare_anew(self) -> None:
        """A journal from before wholes were told from copies: its tracks need no listening, but comparing."""
        with self._transaction():
            for statement in _PARTS.split(";"):
                self._db.execute(statement)
            self._db.execute("DELETE FROM words")
            self._db.execute("UPDATE tracks SET twin = NULL, matched = 0")

    def _list(self, listed: Listed, stamp: str | StorageError) -> None:
        track = listed.track
        row = self._db.execute("SELECT number, stamp, run FROM tracks WHERE track_id = ?", (track.track_id,)).fetchone()
        facts = track_to_json(track)
        values = (track.singer_id, facts, str(track.path), self._run, listed.excluded or "", listed.detail)
        if row is None:
            self._db.execute(
                "INSERT INTO tracks (track_id, stamp, singer_id, facts, path, run, outcome, detail)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (track.track_id, stamp if isinstance(stamp, str) else "", *values),
            )
            return
        number, known, run = row
        if run == self._run:
            problem = f"track_id {track.track_id} occurs twice"
            raise ManifestError("the catalogue", problem, "give each track an id of its own")
        self._db.execute(
            "UPDATE tracks SET singer_id = ?, facts = ?, path = ?, run = ?, outcome = ?, detail = ? WHERE number = ?",
            (*values, number),
        )
        if isinstance(stamp, StorageError):
            self.unasked.append(stamp)
        new: str = known if isinstance(stamp, StorageError) else stamp
        if new != known or not known:
            self._forget(number, new)

    def _forget(self, number: int, stamp: str) -> None:
        """A file has changed: what was found out no longer holds, nor do comparisons with it."""
        row = self._db.execute("SELECT words FROM tracks WHERE number = ?", (number,)).fetchone()
        if row[0] is not None:
            forget(self._db, number, np.frombuffer(row[0], "<u4"))
        self._db.execute("DELETE FROM parts WHERE part = ? OR whole = ?", (number, number))
        self._db.execute(
            "UPDATE tracks SET stamp = ?, sha256 = NULL, duration_s = NULL, vocal = NULL, pieces = NULL, words = NULL,"
            " stored = NULL, twin = NULL, matched = 0 WHERE number = ?",
            (stamp, number),
        )
        self._db.execute("UPDATE tracks SET twin = NULL, matched = 0 WHERE twin = ?", (number,))

    def _match(self, number: int, sha256: str, words: Words, page: WordPage) -> None:
        twin = self._db.execute(
            "SELECT number FROM tracks WHERE sha256 = ? AND run = ? AND outcome = '' AND number != ? AND matched"
            " AND twin IS NULL ORDER BY number LIMIT 1",
            (sha256, self._run, number),
        ).fetchone()
        found = twin[0] if twin else self._twin_by_sound(number, words, page)
        if found is None:
            page.keep(number)
        self._db.execute("UPDATE tracks SET twin = ?, matched = 1 WHERE number = ?", (found, number))

    def _twin_by_sound(self, number: int, words: Words, page: WordPage) -> int | None:
        """The same recording; where there is none, its wholes and parts are kept."""
        pairs: list[tuple[int, int]] = []  # part, whole
        for candidate in candidates(words, page.sightings(number)):
            row = self._db.execute(
                "SELECT words FROM tracks WHERE number = ? AND run = ? AND outcome = ''", (candidate.track, self._run)
            ).fetchone()
            match row and relation(words, np.frombuffer(row[0], "<u4"), candidate.place):
                case Relation.SAME:
                    return candidate.track
                case Relation.PART:
                    pairs.append((number, candidate.track))
                case Relation.WHOLE:
                    pairs.append((candidate.track, number))
        self._db.executemany("INSERT OR IGNORE INTO parts VALUES (?, ?)", pairs)
        return None

    def _set_conflicts_apart(self) -> None:
        """The same bytes under several singers: nobody knows who is right."""
        self._db.execute(
            "UPDATE tracks SET outcome = :conflict, detail = 'the same file as ' ||"
            " (SELECT track_id FROM tracks AS other WHERE other.run = :run AND other.sha256 = tracks.sha256"
            " AND other.singer_id != tracks.singer_id"
            " AND other.outcome IN ('', :conflict) ORDER BY number LIMIT 1) || ', which is listed for another singer'"
            " WHERE run = :run AND outcome = '' AND sha256 IN (SELECT sha256 FROM tracks WHERE run = :run"
            " AND outcome = '' GROUP BY sha256 HAVING count(DISTINCT singer_id) > 1)",
            {"conflict": TrackOutcome.CONFLICT, "run": self._run},
        )

    def _set_wholes_apart(self, min_vocal: float) -> None:
        """Keep the parts of a long file rather than the file: they say more exactly who sings. Parts must be sung."""
        parts = (
            "FROM parts JOIN tracks AS part ON part.number = parts.part"
            " WHERE part.run = :run AND part.outcome IN ('', :whole) AND part.vocal >= :least"
        )
        self._db.execute(
            "UPDATE tracks SET outcome = :whole, detail = 'contains all of ' ||"
            f" (SELECT part.track_id {parts} AND parts.whole = tracks.number ORDER BY part.number LIMIT 1)"
            f" WHERE run = :run AND outcome = '' AND number IN (SELECT parts.whole {parts})",
            {"whole": TrackOutcome.COMPILATION, "run": self._run, "least": min_vocal},
        )

    def _drop_lone(self, min_tracks: int) -> None:
        self._db.execute(
            "UPDATE tracks SET outcome = :few, detail = (SELECT count(*) FROM tracks AS every"
            " WHERE every.run = tracks.run AND every.singer_id = tracks.singer_id AND every.outcome = :kept)"
            " || ' usable, fewer than ' || :least WHERE run = :run AND outcome = :kept AND singer_id IN ("
            "SELECT singer_id FROM tracks WHERE run = :run AND outcome = :kept GROUP BY singer_id"
            " HAVING count(*) < :least)",
            {"few": TrackOutcome.FEW_TRACKS, "kept": TrackOutcome.KEPT, "least": min_tracks, "run": self._run},
        )

    def _settle(self, condition: str, values: tuple[Any, ...], outcome: TrackOutcome, detail: str) -> None:
        self._db.execute(f"UPDATE tracks SET outcome = ?, detail = ? WHERE {condition}", (outcome, detail, *values))

    def _entries(self, condition: str, *values: Any) -> Iterator[Entry]:
        """The run's tracks that meet a condition, page by page: the caller writes while it reads."""
        last = -1
        while page := self._page(f"{condition} AND number > ?", *values, last):
            yield from page
            last = page[-1].number

    def _page(self, condition: str, *values: Any) -> list[Entry]:
        rows = self._rows(
            "SELECT number, facts, outcome, detail, sha256, duration_s, vocal, pieces, stored FROM tracks"
            f" WHERE run = ? AND {condition} ORDER BY number LIMIT ?",
            self._run, *values, _PAGE,
        )  # fmt: skip
        return [
            Entry(number, track_from_json(facts), TrackOutcome(outcome) if outcome else None, detail, sha256, length_s,
                  vocal, np.frombuffer(pieces or b"", "<f4"), Stored(**json.loads(stored)) if stored else None)
            for number, facts, outcome, detail, sha256, length_s, vocal, pieces, stored in rows
        ]  # fmt: skip

    def _fault(self, fault: Fault, reason: str) -> ManifestError:
        if fault is Fault.DAMAGED:
            return ManifestError(self.path, f"is damaged ({reason})", "remove it to begin anew")
        if fault is Fault.FORMAT:
            return ManifestError(self.path, f"is a journal of {reason}", "remove it to begin anew")
        return ManifestError(self.path, f"is not a journal of a preparation ({reason})", "name another folder")


def _stamped(tracks: Iterable[Listed]) -> Iterator[tuple[Listed, str | StorageError]]:
    """Tracks with their files' stamps; a store is asked for several at once.

    Raises:
        StorageError: it answers nothing at all.
    """
    left = iter(tracks)
    with ThreadPoolExecutor(REQUESTS) as pool:
        while some := list(islice(left, _PAGE)):
            remote = any(is_remote(str(listed.track.path)) for listed in some)
            stamps = list((pool.map if remote else map)(_stamp, some))
            errors = [stamp for stamp in stamps if isinstance(stamp, StorageError)]
            if len(errors) == _PAGE:
                raise errors[0]
            yield from zip(some, stamps, strict=True)


def _stamp(listed: Listed) -> str | StorageError:
    """Changes when the file does; why not where a store does not tell."""
    try:
        found = signature(str(listed.track.path))
    except (OSError, ValueError, MissingObjectError):  # a path that no file can have
        return "missing"
    except StorageError as error:
        return error
    return f"{found.size} {found.mark}"
