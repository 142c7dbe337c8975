"""Enrolled singers: add, remove, list, persist.

A gallery is one SQLite file: every change is one transaction, so that a crash at any moment leaves the gallery before
or after the change, and readers and a writer can share it. It belongs to one encoder and refuses embeddings of another.

A track counts once: enrolling a file whose content is already enrolled changes nothing, which is also how an
interrupted enrolment goes on.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from sqlite3 import DatabaseError, NotSupportedError, OperationalError

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.classifier import Head
from whosings.config import HeadConfig
from whosings.embedding import Embeddings
from whosings.errors import GalleryError
from whosings.settings import parse
from whosings.singer_names import name_key, singer_name
from whosings.sqlite_file import SqliteFile

_FORMAT = "1"
_SCHEMA = """
CREATE TABLE singers (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    tracks INTEGER NOT NULL, segments INTEGER NOT NULL, voice BLOB NOT NULL
);
CREATE TABLE tracks (
    id INTEGER PRIMARY KEY, singer INTEGER NOT NULL REFERENCES singers ON DELETE CASCADE,
    sha256 TEXT NOT NULL, source TEXT NOT NULL, start_s BLOB NOT NULL, vectors BLOB NOT NULL,
    UNIQUE (singer, sha256)
);
"""
_HEAD = """
CREATE TABLE head (
    names TEXT NOT NULL, config TEXT NOT NULL, weights BLOB NOT NULL, accuracy REAL NOT NULL, before REAL NOT NULL
)
"""
FORMER = {"eb0b109bbcd16ea9b39e0287baaab49740c852eb7a2d14174ab396413709a5de": "fast, once default"}
"""Names of encoders in galleries that kept none; ``fast`` shipped as ``default`` once."""


@dataclass(frozen=True)
class EnrolledSinger:
    """One row of a gallery; of short recordings, parts of segments count."""

    name: str
    tracks: int
    segments: float


@dataclass(frozen=True)
class Voices:
    """All enrolled singers at once.

    Attributes:
        names: (singers,) in alphabetical order.
        vectors: float32 (singers, dimensions): the mean over a singer's tracks of each track's mean unit embedding.
        segments: (singers,) how many were enrolled; of short recordings, parts count.
    """

    names: tuple[str, ...]
    vectors: FloatArray
    segments: NDArray[np.float64]

    def without(self, singer: str) -> Voices:
        """The others."""
        kept = [number for number, name in enumerate(self.names) if name != singer]
        return Voices(tuple(self.names[number] for number in kept), self.vectors[kept], self.segments[kept])


@dataclass(frozen=True)
class EnrolledTrack:
    """One enrolled track: float32 (segments, dimensions) of unit length."""

    singer: str
    sha256: str
    vectors: FloatArray


@dataclass(frozen=True)
class FittedHead:
    """A classifier trained on a gallery.

    Attributes:
        names: its classes.
        accuracy: on tracks that were held back while it was tried; ``before`` is that of the mean voices there.
    """

    names: tuple[str, ...]
    head: Head
    accuracy: float
    before: float


class Gallery(SqliteFile):
    """A gallery on disk; use it as a context manager, or ``close`` it.

    Args:
        path: its file; made when it does not exist and ``fingerprint`` is given.
        fingerprint: of the encoder whose embeddings it holds; None accepts whatever the file says.
        encoder: what people call that encoder; a new gallery keeps it, so that a message can say it.

    Raises:
        GalleryError: missing, damaged, not a gallery, or another encoder's.
    """

    def __init__(self, path: str | Path, fingerprint: str | None = None, encoder: str = "") -> None:
        if not Path(path).exists() and fingerprint is None:
            raise GalleryError(path, "no such gallery", "enrol singers first: whosings enrol NAME FILES")
        if Path(path).is_dir():
            raise GalleryError(path, "is a folder, not a gallery", "name a file")
        facts = None if fingerprint is None else {"fingerprint": fingerprint, "encoder": encoder}
        super().__init__(path, _FORMAT, _SCHEMA, facts, "PRAGMA foreign_keys = ON")
        self.fingerprint = self._facts["fingerprint"]
        self.encoder = self._facts.get("encoder") or FORMER.get(self.fingerprint, "")
        if fingerprint is not None:
            self.refuse_other(fingerprint, encoder)

    def refuse_other(self, fingerprint: str, encoder: str = "") -> None:
        """Check that the gallery holds embeddings of an encoder.

        Raises:
            GalleryError: it was made with another one.
        """
        if fingerprint != self.fingerprint:
            made, given = (
                f"encoder {name} ({digest[:12]})" if name else f"encoder {digest[:12]}"
                for name, digest in ((self.encoder, self.fingerprint), (encoder, fingerprint))
            )
            remedy = "name the encoder it was made with, or enrol again into a new gallery"
            if self.encoder == encoder != "":  # another one has that name now
                remedy = "enrol again into a new gallery"
            raise GalleryError(self.path, f"was made with {made}, not {given}", remedy)

    def add(self, singer: str, track: Embeddings, sha256: str) -> bool:
        """Enrol one track of a singer; False where that content is already enrolled for the singer.

        Raises:
            GalleryError: the embeddings are another encoder's, or hold no vocal segment; or the name is no name.
        """
        self.refuse_other(track.fingerprint)
        if len(track.vectors) == 0:
            remedy = "use a recording in which the singer is heard"
            raise GalleryError(track.track_id, "holds too little singing to enrol", remedy)
        mean = track.vectors.mean(axis=0)
        start_s, vectors = track.start_s.astype(np.float32), track.vectors.astype(np.float16)
        with self._faults(), self._transaction():
            singer = self.spelling(singer)
            if self.holds(singer, sha256):
                return False
            self._drop_head()
            row = self._db.execute("SELECT id, voice FROM singers WHERE name = ?", (singer,)).fetchone()
            voice = mean if row is None else np.frombuffer(row[1], np.float32) + mean
            if row is None:
                self._db.execute("INSERT INTO singers (name, tracks, segments, voice) VALUES (?, 0, 0, x'')", (singer,))
            self._db.execute(
                "UPDATE singers SET tracks = tracks + 1, segments = segments + ?, voice = ? WHERE name = ?",
                (track.amount, voice.astype(np.float32).tobytes(), singer),
            )
            self._db.execute(
                "INSERT INTO tracks (singer, sha256, source, start_s, vectors) "
                "SELECT id, ?, ?, ?, ? FROM singers WHERE name = ?",
                (sha256, track.track_id, start_s.tobytes(), vectors.tobytes(), singer),
            )
        self._forget()
        return True

    def holds(self, singer: str, sha256: str) -> bool:
        """Whether this content is already enrolled for the singer."""
        query = "SELECT 1 FROM tracks JOIN singers ON singers.id = tracks.singer WHERE name = ? AND sha256 = ?"
        with self._faults():
            return self._db.execute(query, (self.spelling(singer), sha256)).fetchone() is not None

    def spelling(self, singer: str) -> str:
        """How a singer is spelt here, whatever the case, blanks and Unicode form; of nobody enrolled, a clean name.

        Raises:
            GalleryError: the name is empty or no text.
        """
        with self._faults():
            with suppress(UnicodeEncodeError):
                if self._db.execute("SELECT 1 FROM singers WHERE name = ?", (singer,)).fetchone():
                    return singer
            clean = singer_name(singer, self.path, GalleryError)
            names = self._db.execute("SELECT name FROM singers ORDER BY id")
            return next((name for (name,) in names if name_key(name) == name_key(clean)), clean)

    def remove(self, singer: str) -> None:
        """Forget a singer and all tracks.

        Raises:
            GalleryError: nobody of that name is enrolled.
        """
        with self._faults(), self._transaction():
            self._db.execute("DELETE FROM singers WHERE id = ?", (self._singer_id(singer),))
            self._drop_head()
        self._forget()

    def rename(self, singer: str, name: str) -> None:
        """Give a singer another name.

        Raises:
            GalleryError: nobody has the old name, somebody has the new one, or it is empty.
        """
        name = singer_name(name, self.path, GalleryError)
        with self._faults(), self._transaction():
            own, taken = self._singer_id(singer), self.spelling(name)
            if self._db.execute("SELECT 1 FROM singers WHERE name = ? AND id != ?", (taken, own)).fetchone():
                raise GalleryError(self.path, f"{taken} is enrolled already", "merge the two, or choose another name")
            self._db.execute("UPDATE singers SET name = ? WHERE id = ?", (name, own))
            self._drop_head()
        self._forget()

    def merge(self, singer: str, into: str) -> None:
        """Give all tracks of one singer to another; a track that both have counts once.

        Raises:
            GalleryError: one of them is not enrolled, or both are the same.
        """
        with self._faults(), self._transaction():
            ids = self._singer_id(into), self._singer_id(singer)
            if ids[0] == ids[1]:
                raise GalleryError(self.path, f"{singer} cannot be merged with itself", "name two singers")
            query = "SELECT tracks, segments, voice FROM singers WHERE id = ?"
            rows = [self._db.execute(query, (one,)).fetchone() for one in ids]
            voices = [np.frombuffer(row[2], np.float32) for row in rows]
            query = (
                "SELECT a.vectors FROM tracks AS a JOIN tracks AS b USING (sha256) WHERE b.singer = ? AND a.singer = ?"
            )
            twice = [_read_vectors(row[0], voices[0].size) for row in self._db.execute(query, ids)]
            self._db.execute("UPDATE OR IGNORE tracks SET singer = ? WHERE singer = ?", ids)
            self._db.execute("DELETE FROM singers WHERE id = ?", ids[1:])  # and the tracks that both had
            voice = np.sum(voices + [-vectors.mean(axis=0) for vectors in twice], axis=0, dtype=np.float32)
            tracks = rows[0][0] + rows[1][0] - len(twice)
            segments = rows[0][1] + rows[1][1] - sum(map(len, twice))
            self._db.execute(
                "UPDATE singers SET tracks = ?, segments = ?, voice = ? WHERE id = ?",
                (tracks, segments, voice.tobytes(), ids[0]),
            )
            self._drop_head()
        self._forget()

    def singers(self) -> tuple[EnrolledSinger, ...]:
        """Who is enrolled, by name."""
        with self._faults():
            rows = self._db.execute("SELECT name, tracks, segments FROM singers ORDER BY name")
            return tuple(EnrolledSinger(*row) for row in rows)

    @cached_property
    def voices(self) -> Voices:
        """Everyone's mean voice, read once and kept until this object changes the gallery.

        Raises:
            GalleryError: nobody is enrolled.
        """
        with self._faults():
            rows = self._db.execute("SELECT name, tracks, segments, voice FROM singers ORDER BY name").fetchall()
        if not rows:
            raise GalleryError(self.path, "nobody is enrolled", "enrol singers first: whosings enrol NAME FILES")
        vectors = np.frombuffer(b"".join(row[3] for row in rows), np.float32).reshape(len(rows), -1)
        tracks = np.array([row[1] for row in rows], np.float32)
        segments = np.array([row[2] for row in rows], np.float64)
        return Voices(tuple(row[0] for row in rows), np.asarray(vectors / tracks[:, None], np.float32), segments)

    def tracks(self) -> tuple[EnrolledTrack, ...]:
        """Everything that is enrolled, by singer and in the order of enrolment."""
        query = "SELECT name, sha256, vectors FROM tracks JOIN singers ON singers.id = tracks.singer"
        with self._faults():
            rows = self._db.execute(f"{query} ORDER BY name, tracks.id").fetchall()
        width = self.voices.vectors.shape[1] if rows else 1
        return tuple(EnrolledTrack(name, sha256, _read_vectors(blob, width)) for name, sha256, blob in rows)

    def keep_head(self, fitted: FittedHead | None) -> None:
        """Store a head for ``identify`` to vote with, in the place of another one; None forgets it.

        It is forgotten, too, whenever a singer or a track comes or goes.
        """
        with self._faults(), self._transaction():
            self._drop_head()
            if fitted is not None:
                self._db.execute(_HEAD)
                weights, config = fitted.head.to_bytes(), fitted.head.config.model_dump_json()
                row = (json.dumps(fitted.names), config, weights, fitted.accuracy, fitted.before)
                self._db.execute("INSERT INTO head VALUES (?, ?, ?, ?, ?)", row)
        self.__dict__.pop("head", None)

    @cached_property
    def head(self) -> FittedHead | None:
        """The head that was fitted on the gallery as it is; None where there is none."""
        with self._faults():
            # Galleries of before there were heads, and those that may only be read, have no such table.
            if self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'head'").fetchone() is None:
                return None
            row = self._db.execute("SELECT names, config, weights, accuracy, before FROM head").fetchone()
        names, config, weights, accuracy, before = row
        head = Head.from_bytes(weights, parse(HeadConfig, json.loads(config), str(self.path)))
        return FittedHead(tuple(json.loads(names)), head, accuracy, before)

    def check(self) -> None:
        """Read every page of the file.

        Raises:
            GalleryError: a part of it is damaged.
        """
        with self._faults():
            found = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise GalleryError(self.path, f"is damaged ({found})", "restore it from a copy, or enrol again")

    def _singer_id(self, singer: str) -> int:
        row = self._db.execute("SELECT id FROM singers WHERE name = ?", (self.spelling(singer),)).fetchone()
        if row is None:
            remedy = "list the names with: whosings gallery list"
            raise GalleryError(self.path, f"nobody named {singer} is enrolled", remedy)
        return int(row[0])

    def _drop_head(self) -> None:
        self._db.execute("DROP TABLE IF EXISTS head")

    def _forget(self) -> None:
        for name in ("voices", "head"):
            self.__dict__.pop(name, None)

    def _fault(self, error: DatabaseError) -> GalleryError:
        if isinstance(error, NotSupportedError):
            return GalleryError(self.path, f"has {error}", "update whosings, or enrol again")
        if not isinstance(error, OperationalError):
            remedy = "restore it from a copy, or enrol again"
            return GalleryError(self.path, f"is damaged or not a gallery ({error})", remedy)
        if "no such table" in str(error):
            return GalleryError(self.path, "is not a gallery", "name a file made by: whosings enrol")
        return GalleryError(self.path, f"cannot be used ({error})", "check the file and who else uses it")


def _read_vectors(blob: bytes, width: int) -> FloatArray:
    return np.frombuffer(blob, np.float16).reshape(-1, width).astype(np.float32)
