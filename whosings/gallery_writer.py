"""Changes of a gallery's file: each is one transaction, and what was removed is nowhere in the file afterwards.

SQLite overwrites what is deleted (``secure_delete``), but pages may keep copies of rows that it moved before they were
deleted, and files that older versions changed keep whole rows. Therefore a removal is followed by rewriting the file
(``VACUUM``). ``about`` says so under ``unswept`` from the removal on until that is done: where it was interrupted, the
next change does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.errors import GalleryError
from whosings.gallery_file import ALL_TRACKS_FORMER, FORMAT, HEAD, SINGERS, TRACKS, GalleryFile
from whosings.gallery_rows import MODULUS, SingerRow, as_hex, digest_of, mark_of, sealed, singer_row

UNSWEPT = "unswept"
"""What ``about`` says while the file may hold something that was removed."""
_MOST_OPEN = 4096  # singers to whom one transaction adds, in memory


@dataclass
class Growing:
    """A singer to whom one transaction adds tracks.

    Attributes:
        stored: the row as it is in the file.
        row: the row as it will be.
        held: content hashes of all tracks.
    """

    stored: SingerRow
    row: SingerRow
    held: set[str]


class GalleryWriter(GalleryFile):
    """Changes rows of a gallery; see ``whosings.gallery.Gallery``, which says what they mean.

    Raises:
        GalleryError: damaged, not a gallery, of another format, or it cannot be used now.
    """

    def sweep(self) -> None:
        """Rewrite the file without anything that was ever removed from it; the other changes here do so themselves.

        Copies of the file, and what the disk keeps of deleted files, are beyond reach. It needs room on the disk for
        the file twice more, and nobody else may be reading.

        Raises:
            GalleryError: it cannot be done now; what was removed stays removed.
        """
        try:
            with self._faults():
                self._refuse_within_a_change()
                self._db.execute("VACUUM")
                # Where somebody has set the file to SQLite's mode WAL, former pages lie beside it, too.
                if self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    raise self._obstacle("another program is reading it", "wait until that has finished")
            if self.unswept:
                with self._writing():
                    del self._facts[UNSWEPT]
        except GalleryError as error:
            remedy = f"{error.remedy}, and then run: whosings gallery sweep"
            problem = f"is changed, but may still hold the bytes of what was removed, because it {error.problem}"
            raise GalleryError(self.path, problem, remedy) from error

    @property
    def unswept(self) -> bool:
        """Whether something that was removed may still be in the file, because the removal was interrupted."""
        return UNSWEPT in self._about()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A change: whole or not there, on a gallery of the present format."""
        known = self._facts
        try:
            with self._faults(), self._transaction():
                self._trust(dict(self._db.execute("SELECT key, value FROM about")))
                before = self._facts
                self._facts = dict(before)
                if not self._has_digests:
                    self._renew()
                yield
                if self._facts != before:
                    self._put_about()
        except BaseException:
            self._facts = known
            raise

    @contextmanager
    def _adding(self) -> Iterator[dict[str, Growing]]:
        """A change that adds tracks, and removes nothing, to singers by name; a removal that was interrupted ends."""
        growing: dict[str, Growing] = {}
        with self._writing():
            yield growing
            self._store_all(growing)
        if UNSWEPT in self._facts:
            with suppress(GalleryError):  # what was added is there; the next change tries again
                self.sweep()

    def _grown(self, growing: dict[str, Growing], name: str, width: int) -> Growing:
        """A singer who gets tracks of so many dimensions; a new one's row is blank until it is stored."""
        if name not in growing:
            if len(growing) >= _MOST_OPEN:
                self._store_all(growing)
            found = self._find(name)
            if found is None:
                row = singer_row(name, 0, 0.0, np.zeros(width, np.float32), 0)
                self._store(None, row)
                growing[name] = Growing(row, row, set())
            else:
                growing[name] = Growing(found[0], found[0], set(found[1]))
        return growing[name]

    def _grow(
        self,
        singer: Growing,
        sha256: str,
        segments: float,
        source: str,
        start_s: FloatArray,
        vectors: NDArray[np.float16],
        mean: FloatArray,
    ) -> None:
        """Add a track; ``vectors`` are float16 (segments, dimensions), ``mean`` what the voice adds up."""
        if singer.row.vector.shape != mean.shape:
            held, given = singer.row.vector.size, mean.size
            raise self._damaged(f"{singer.row.name} has embeddings of {held} numbers, not {given}")
        mark = self._put_track(singer.row.number, sha256, segments, source, start_s.tobytes(), vectors.tobytes())
        singer.row = singer.row.changed(1, segments, mean, mark)
        singer.held.add(sha256)

    def _store_all(self, growing: dict[str, Growing]) -> None:
        for singer in growing.values():
            if singer.row != singer.stored:
                self._store(singer.stored, singer.row)
        growing.clear()

    def _store(self, before: SingerRow | None, after: SingerRow | None) -> None:
        """Put a singer's row in the place of another one; None is no row. A head is of the singers as they were."""
        if after is None:
            assert before is not None
            self._db.execute("DELETE FROM singers WHERE id = ?", (before.number,))
        else:
            values = (
                after.number,
                after.name,
                after.tracks,
                after.segments,
                as_hex(after.content),
                as_hex(after.digest),
            )
            if before is None:
                self._db.execute("INSERT INTO singers VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, after.voice))
            else:
                self._db.execute(
                    "UPDATE singers SET id = ?, name = ?, tracks = ?, segments = ?, content = ?, digest = ?, voice = ?"
                    " WHERE id = ?",
                    (*values, after.voice, before.number),
                )
        less, more = (0 if row is None else row.digest for row in (before, after))
        self._say(singers=as_hex((int(self._facts["singers"], 16) + more - less) % MODULUS))
        self._put_head(None)

    def _put_track(self, singer: int, sha256: str, segments: float, source: str, start_s: bytes, vectors: bytes) -> int:
        """Add a track to a singer's row that is there; the mark to add to it."""
        number = self._db.execute("SELECT coalesce(max(id), 0) + 1 FROM tracks").fetchone()[0]
        digest = as_hex(digest_of(number, sha256, segments, source, start_s, vectors))
        row = (number, singer, sha256, digest, segments, source, start_s, vectors)
        self._db.execute("INSERT INTO tracks VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        return mark_of(sha256, digest)

    def _put_head(self, row: tuple[str, str, bytes, float, float] | None) -> None:
        self._db.execute("DELETE FROM head")
        if row is not None:
            self._db.execute("INSERT INTO head VALUES (?, ?, ?, ?, ?)", row)
        self._say(head="" if row is None else as_hex(digest_of(*row)))

    def _put_about(self) -> None:
        self._facts = sealed(self._facts)
        self._db.execute("DELETE FROM about")
        self._db.executemany("INSERT INTO about VALUES (?, ?)", self._facts.items())

    def _say(self, **facts: str) -> None:
        """Say something of the gallery, which is written as the transaction ends."""
        self._facts |= facts

    def _renew(self) -> None:
        """Rewrite a gallery of the former format; its head is left behind, because any change drops it."""
        self._verify()
        singers = self._singer_rows()
        width = self._matrix(singers).shape[1] if singers else 1
        for table in ("singers", "tracks"):
            self._db.execute(f"ALTER TABLE {table} RENAME TO former_{table}")
        for statement in ("DROP TABLE IF EXISTS head", SINGERS, TRACKS, HEAD):
            self._db.execute(statement)
        query = ALL_TRACKS_FORMER.replace("FROM tracks", "FROM former_tracks WHERE singer = ? ORDER BY id")
        self._say(format=FORMAT, singers=as_hex(0), head="")
        for singer in singers:
            blank = singer_row(singer.name, singer.tracks, singer.segments, singer.vector, 0)
            self._db.execute(
                "INSERT INTO singers VALUES (?, ?, ?, ?, '', '', x'')",
                (blank.number, blank.name, blank.tracks, blank.segments),
            )
            found = self._db.execute(query, (singer.number,)).fetchall()
            counts = [len(row[6]) // (2 * width) for row in found]
            alone = counts.count(1)
            # Only recordings shorter than a segment counted for less than their segments, and they have one.
            short = 1 - (sum(counts) - singer.segments) / alone if alone else 1.0
            content = 0
            for row, count in zip(found, counts, strict=True):
                amount = min(1.0, max(1e-3, short)) if count == 1 else float(count)
                content += self._put_track(blank.number, row[2], amount, *row[4:7])
            row = singer_row(singer.name, singer.tracks, singer.segments, singer.vector, content % MODULUS)
            self._store(row, row)
            self._say(singers=as_hex((int(self._facts["singers"], 16) + row.digest) % MODULUS))
        for table in ("former_tracks", "former_singers"):
            self._db.execute(f"DROP TABLE {table}")
