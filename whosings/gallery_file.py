"""A gallery's file: what is read from it is what was written to it, or it is refused.

Every row carries a digest (``whosings.gallery_rows``). ``about`` holds the sum of the singers' digests, the head's
digest, and one over ``about`` itself. A singer's row is found by its number, which the name decides, and by its name:
damage that hides it from one search is told by the other.

Galleries of the former format have no digests. They are read as they are, with what must hold of any gallery checked,
and are rewritten in this format by the first change (``whosings.gallery_writer``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.errors import GalleryError
from whosings.gallery_rows import (
    MODULUS,
    SingerRow,
    TrackRow,
    as_hex,
    digest_of,
    mark_of,
    number_of,
    sealed,
)
from whosings.sqlite_file import ABOUT, Fault, SqliteFile

FORMAT, FORMER_FORMAT = "2", "1"
SINGERS = """
CREATE TABLE singers (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, tracks INTEGER NOT NULL, segments REAL NOT NULL,
    content TEXT NOT NULL, digest TEXT NOT NULL, voice BLOB NOT NULL
)"""
TRACKS = """
CREATE TABLE tracks (
    id INTEGER PRIMARY KEY, singer INTEGER NOT NULL REFERENCES singers ON UPDATE CASCADE ON DELETE CASCADE,
    sha256 TEXT NOT NULL, digest TEXT NOT NULL, segments REAL NOT NULL, source TEXT NOT NULL,
    start_s BLOB NOT NULL, vectors BLOB NOT NULL, UNIQUE (singer, sha256)
)"""
HEAD = """
CREATE TABLE head (
    names TEXT NOT NULL, config TEXT NOT NULL, weights BLOB NOT NULL, accuracy REAL NOT NULL, before REAL NOT NULL
)"""
_SCHEMA = f"{SINGERS};{TRACKS};{HEAD};"
_ALL_SINGERS = (
    "SELECT value, id, name, tracks, segments, voice, content, digest FROM about LEFT JOIN singers"
    " WHERE key = 'singers'"
)
_ONE_SINGER = "SELECT '', id, name, tracks, segments, voice, content, digest FROM singers"
_ALL_SINGERS_FORMER = "SELECT '', id, name, tracks, segments, voice, '', '' FROM singers"
_ALL_TRACKS = "SELECT singer, id, sha256, segments, source, start_s, vectors, digest FROM tracks"
ALL_TRACKS_FORMER = "SELECT singer, id, sha256, NULL, source, start_s, vectors, NULL FROM tracks"
# What is removed is overwritten with zeros.
_PRAGMAS = "PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON"
_LONGEST = 1.001  # norm of a mean of unit embeddings, with rounding
_ROUNDING = 2e-3  # of a track's mean embedding, stored as float16


_T = TypeVar("_T")


def voice_fits(voice: FloatArray, total: NDArray[np.float64], tracks: int) -> bool:
    """Whether a voice is the sum of the mean embeddings of so many tracks, which are stored as float16."""
    scale = max(1.0, float(np.linalg.norm(total)) / tracks)
    return bool(np.abs(voice - total).max() <= _ROUNDING * scale * tracks)


class GalleryFile(SqliteFile):
    """Rows of a gallery; see ``whosings.gallery.Gallery``, which says what they mean.

    Raises:
        GalleryError: damaged, not a gallery, of another format, or it cannot be used now.
    """

    def __init__(self, path: str | Path, facts: dict[str, str] | None) -> None:
        if facts is not None:
            facts = sealed({"format": FORMAT, "singers": as_hex(0), "head": "", **facts})
        super().__init__(path, FORMAT, _SCHEMA, facts, _PRAGMAS, (FORMER_FORMAT,))
        with self._faults():
            self._trust(self._facts)
            found = {row[0] for row in self._db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
        if self._has_digests and found != {part.strip() for part in (ABOUT, SINGERS, TRACKS, HEAD)}:
            raise self._damaged("its tables are not those of a gallery")

    @property
    def _has_digests(self) -> bool:
        return bool(self._facts["format"] == FORMAT)

    def _trust(self, facts: dict[str, Any]) -> None:
        if not isinstance(facts.get("fingerprint"), str):
            raise self._damaged("it does not say which encoder it is of")
        if (facts["format"] == FORMAT) != ("digest" in facts) or ("digest" in facts and facts != sealed(facts)):
            raise self._damaged("what it says of itself does not match its digest")
        self._facts = facts

    # ------------------------------------------------------------------ reading

    def _about(self) -> dict[str, str]:
        """What the file says of itself, checked, as it is now."""
        with self._faults():
            self._trust(dict(self._db.execute("SELECT key, value FROM about")))
        return self._facts

    def _singer_rows(self) -> list[SingerRow]:
        """All singers by name, each checked, and that they are all."""
        with self._faults():
            found = self._db.execute(_ALL_SINGERS if self._has_digests else _ALL_SINGERS_FORMER).fetchall()
        rows = [self._singer_row(row) for row in found if row[1] is not None]
        if len({row.name for row in rows}) != len(rows):
            raise self._damaged("a singer is there twice")
        total = sum(row.digest for row in rows) % MODULUS
        if self._has_digests and (not found or found[0][0] != as_hex(total)):
            raise self._damaged("singers are missing, or were added by something else")
        return sorted(rows, key=lambda row: row.name)

    def _singer_row(self, found: tuple[Any, ...]) -> SingerRow:
        _, number, name, tracks, segments, voice, content, digest = found
        plain = isinstance(name, str) and isinstance(tracks, int) and isinstance(voice, bytes)
        if not plain or not isinstance(segments, int | float):
            raise self._damaged("a singer's row is not one")
        try:
            row = SingerRow(name, tracks, float(segments), voice, int(content or "0", 16), number)
        except (TypeError, ValueError) as error:
            raise self._damaged(f"the row of {name} is not one") from error
        if self._has_digests and (digest != as_hex(row.digest) or number != number_of(name)):
            raise self._damaged(f"the row of {name} does not match its digest")
        right = name.strip() and tracks >= 1 and math.isfinite(segments) and segments > 0 and len(voice) % 4 == 0
        if not right or not voice:
            raise self._damaged(f"the row of {name} holds what no singer has")
        return row

    def _matrix(self, rows: list[SingerRow]) -> FloatArray:
        """Mean voices (singers, dimensions), checked."""
        if len({len(row.voice) for row in rows}) > 1:
            raise self._damaged("voices are of different lengths")
        sums = np.frombuffer(b"".join(row.voice for row in rows), np.float32).reshape(len(rows), -1)
        voices = np.asarray(sums / np.array([row.tracks for row in rows], np.float32)[:, None], np.float32)
        norms = np.linalg.norm(voices.astype(np.float64), axis=1)
        # Some embedders from outside give other lengths than one; then all voices are longer, not a few.
        wrong = ~np.isfinite(norms) | ((norms > _LONGEST) & (np.median(norms) <= _LONGEST))
        if wrong.any():
            raise self._damaged(f"the voice of {rows[int(wrong.argmax())].name} is none")
        return voices

    def _find(self, name: str) -> tuple[SingerRow, dict[str, str]] | None:
        """A singer, and the digest of each of the tracks by content hash; None where nobody has that name."""
        if not self._has_digests:
            former = self._db.execute(f"{_ALL_SINGERS_FORMER} WHERE name = ?", (name,)).fetchone()
            hashes = self._db.execute("SELECT sha256 FROM tracks WHERE singer = ?", former[1:2]) if former else ()
            return (self._singer_row(former), {sha256: "" for (sha256,) in hashes}) if former else None
        found = self._db.execute(f"{_ONE_SINGER} WHERE name = ?", (name,)).fetchall()
        if found != self._db.execute(f"{_ONE_SINGER} WHERE id = ?", (number_of(name),)).fetchall():
            raise self._damaged(f"{name} is found by one search and not by another")
        if not found:
            return None
        row = self._singer_row(found[0])
        pairs = self._db.execute("SELECT sha256, digest FROM tracks WHERE singer = ?", (row.number,)).fetchall()
        self._all_there(row, [mark_of(*pair) for pair in pairs])
        return row, dict(pairs)

    def _all_there(self, row: SingerRow, marks: list[int]) -> None:
        if len(marks) != row.tracks or (self._has_digests and sum(marks) % MODULUS != row.content):
            raise self._damaged(f"recordings of {row.name} are missing, changed, or were added by something else")

    def _track_rows(self, singers: Iterable[SingerRow], width: int) -> Iterator[TrackRow]:
        """The tracks of some singers in the order of enrolment, each checked, and that they are all."""
        query = _ALL_TRACKS if self._has_digests else ALL_TRACKS_FORMER
        for singer in singers:
            marks = []
            for found in self._db.execute(f"{query} WHERE singer = ? ORDER BY id", (singer.number,)).fetchall():
                row = self._track_row(found, singer, width)
                marks.append(row.mark)
                yield row
            self._all_there(singer, marks)

    def _track_row(self, found: tuple[Any, ...], owner: SingerRow, width: int) -> TrackRow:
        singer, number, sha256, segments, source, start_s, vectors, digest = found
        wrong = self._damaged(f"a recording of {owner.name} does not match its digest, or is none")
        if self._has_digests and digest != as_hex(digest_of(number, sha256, segments, source, start_s, vectors)):
            raise wrong
        if singer != owner.number:  # the index and the table disagree
            raise wrong
        try:
            rows = np.frombuffer(vectors, np.float16).reshape(-1, width).astype(np.float32)
            starts = np.frombuffer(start_s, np.float32)
        except (TypeError, ValueError) as error:
            raise wrong from error
        if len(rows) == 0 or len(rows) != len(starts) or not (np.isfinite(rows).all() and np.isfinite(starts).all()):
            raise wrong
        if not (isinstance(sha256, str) and isinstance(source, str)):
            raise wrong
        amount = float(len(rows)) if segments is None else segments
        return TrackRow(singer, number, sha256, amount, source, starts, rows, mark_of(sha256, digest or ""))

    def _head_row(self) -> tuple[Any, ...] | None:
        """The head's columns, checked; None where there is no head."""
        columns = "names, config, weights, accuracy, before"
        with self._faults():
            if not self._has_digests:
                # Galleries of before there were heads have no such table.
                if self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'head'").fetchone() is None:
                    return None
                former: tuple[Any, ...] | None = self._db.execute(f"SELECT {columns} FROM head").fetchone()
                return former
            query = f"SELECT value, {columns} FROM about LEFT JOIN head WHERE key = 'head'"
            found = self._db.execute(query).fetchall()
        if len(found) != 1 or found[0][0] != ("" if found[0][1] is None else as_hex(digest_of(*found[0][1:]))):
            raise self._damaged("its classifier does not match its digest")
        return None if found[0][1] is None else tuple(found[0][1:])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Read the gallery as it is at one moment; who wants to change it waits meanwhile."""
        with self._faults():
            self._refuse_within_a_change()
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.rollback()

    def _steadily(self, read: Callable[[], _T]) -> _T:
        """What several statements read, read again where the gallery was changed meanwhile."""
        while True:
            with self._faults():
                before = self._db.execute("SELECT * FROM about").fetchall()
                try:
                    found, fault = read(), None
                except GalleryError as error:
                    found, fault = None, error
                if self._db.execute("SELECT * FROM about").fetchall() == before:
                    break
        if fault is not None:
            raise fault
        return cast(_T, found)

    def _verify(self) -> None:
        """Read everything: every row matches its digest, and every voice and count its tracks."""
        rows = self._singer_rows()
        width = self._matrix(rows).shape[1] if rows else 1
        for singer in rows:
            tracks = list(self._track_rows([singer], width))
            voice: NDArray[np.float64] = np.sum([t.vectors.mean(axis=0) for t in tracks], axis=0, dtype=np.float64)
            if not voice_fits(singer.vector, voice, len(tracks)):
                raise self._damaged(f"the voice of {singer.name} is not that of the recordings")
            if singer.segments > sum(track.segments for track in tracks) * (1 + 1e-6):
                raise self._damaged(f"{singer.name} has fewer segments than are counted")
        found = self._db.execute("SELECT count(*) FROM tracks NOT INDEXED").fetchone()[0]
        if found != sum(row.tracks for row in rows):
            raise self._damaged("it holds recordings of nobody")

    # ------------------------------------------------------------------ faults

    def _damaged(self, reason: str) -> GalleryError:
        return self._fault(Fault.DAMAGED, reason)

    def _fault(self, fault: Fault, reason: str) -> GalleryError:
        if fault is Fault.FORMAT:
            return GalleryError(self.path, f"has {reason}", "update whosings, or enrol again")
        remedy = "restore it from a copy, or enrol again"
        if fault is Fault.DAMAGED:
            return GalleryError(self.path, f"is damaged ({reason})", remedy)
        return GalleryError(self.path, f"is damaged or not a gallery ({reason})", remedy)
