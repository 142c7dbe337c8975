"""Who is enrolled under which name, with which recordings: spellings, removing, renaming, merging."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from whosings.errors import GalleryError
from whosings.gallery_rows import MODULUS, SingerRow, singer_row
from whosings.gallery_writer import UNSWEPT, GalleryWriter, Growing
from whosings.singer_names import name_key, singer_name


class GalleryCare(GalleryWriter):
    """Care of a gallery's singers; see ``whosings.gallery.Gallery``.

    Nothing of a name, a recording or a voice that is removed or renamed is in the file afterwards. Every such change
    rewrites the file, which takes time in a large gallery: see ``sweep``.

    Raises:
        GalleryError: damaged, not a gallery, of another format, or it cannot be used now.
    """

    def __init__(self, path: str | Path, facts: dict[str, str] | None) -> None:
        self._spellings: dict[str, list[str]] = {}
        self._spelt_in: int | None = None  # SQLite's data version when they were read
        self._read_in = ""  # the file's version, when everything else was
        super().__init__(path, facts)

    def refresh(self) -> None:
        """Forget what was read, such as voices, if the gallery has changed since."""
        if (version := self.version) != self._read_in:
            self._read_in = version
            self._forget()

    def holds(self, singer: str, sha256: str) -> bool:
        """Whether this content is already enrolled for the singer."""
        with self._faults():
            found = self._steadily(lambda: self._find(self.spelling(singer)))
        return found is not None and sha256 in found[1]

    def contents(self, singer: str) -> frozenset[str]:
        """Content hashes of all that is enrolled of a singer; none of nobody enrolled."""
        with self._faults():
            found = self._steadily(lambda: self._find(self.spelling(singer)))
        return frozenset() if found is None else frozenset(found[1])

    def spelling(self, singer: str) -> str:
        """How a singer is spelt here, whatever the case, blanks and Unicode form; of nobody enrolled, a clean name.

        Raises:
            GalleryError: the name is empty or no text.
        """
        clean = singer_name(singer, self.path, GalleryError)
        with self._faults():
            version = self._db.execute("PRAGMA data_version").fetchone()[0]  # another one, where others wrote
            if version != self._spelt_in:
                names = self._db.execute("SELECT name FROM singers NOT INDEXED ORDER BY id").fetchall()
                self._spellings = {}
                for (name,) in names:
                    self._spellings.setdefault(name_key(str(name)), []).append(name)
                self._spelt_in = version
        known = self._spellings.get(name_key(clean), [clean])
        return singer if singer in known else known[0]

    def _known_as(self, name: str) -> None:
        """Remember a spelling that this change enrols."""
        self._spellings.setdefault(name_key(name), [name])

    def remove(self, *singers: str) -> None:
        """Forget singers and all their tracks, all of them in one change.

        Raises:
            GalleryError: nobody of one of the names is enrolled; or the file cannot be rewritten now, and says so.
        """
        with self._removing():
            for singer in dict.fromkeys(self.spelling(name) for name in singers):
                self._store(self._enrolled(singer)[0], None)

    def remove_track(self, singer: str, sha256: str) -> bool:
        """Forget one track of a singer, and the singer with the last one; whether the singer is still enrolled.

        The voice becomes that of the other tracks, as they are stored.

        Raises:
            GalleryError: the singer or the track is not enrolled; or the file cannot be rewritten now, and says so.
        """
        with self._removing():
            row, held = self._enrolled(singer)
            if sha256 not in held:
                remedy = "list them with: whosings gallery show NAME"
                raise GalleryError(self.path, f"{row.name} has no recording {sha256}", remedy)
            voice, segments, content = np.zeros(row.vector.size, np.float64), 0.0, 0
            for track in self._track_rows([row], row.vector.size):
                if track.sha256 == sha256:
                    number = track.number
                else:
                    voice += track.vectors.mean(axis=0)
                    segments, content = segments + track.segments, content + track.mark
            self._db.execute("DELETE FROM tracks WHERE id = ?", (number,))
            rest = row.tracks - 1
            kept = singer_row(row.name, rest, segments, voice.astype(np.float32), content % MODULUS)
            self._store(row, kept if rest else None)
        return rest > 0

    def rename(self, singer: str, name: str) -> None:
        """Give a singer another name.

        Raises:
            GalleryError: nobody has the old name, somebody has the new one, or it is empty.
        """
        name = singer_name(name, self.path, GalleryError)
        with self._removing():
            row, _ = self._enrolled(singer)
            taken = self.spelling(name)
            if taken != row.name and self._find(taken) is not None:
                raise GalleryError(self.path, f"{taken} is enrolled already", "merge the two, or choose another name")
            self._store(row, row.changed(0, 0.0, np.zeros_like(row.vector), 0, name))

    def merge(self, singer: str, into: str) -> None:
        """Give all tracks of one singer to another; a track that both have counts once.

        Raises:
            GalleryError: one of them is not enrolled, or both are the same.
        """
        with self._removing():
            (whole, held), (part, _) = self._enrolled(into), self._enrolled(singer)
            if whole.name == part.name:
                raise GalleryError(self.path, f"{singer} cannot be merged with itself", "name two singers")
            if len(whole.voice) != len(part.voice):
                raise self._damaged("voices are of different lengths")
            rest = part
            for track in [t for t in self._track_rows([part], part.vector.size) if t.sha256 in held]:
                rest = rest.changed(-1, -track.segments, -track.vectors.mean(axis=0), -track.mark)
                self._db.execute("DELETE FROM tracks WHERE id = ?", (track.number,))
            self._db.execute("UPDATE tracks SET singer = ? WHERE singer = ?", (whole.number, part.number))
            self._store(part, None)
            self._store(whole, whole.changed(rest.tracks, rest.segments, rest.vector, rest.content))

    @contextmanager
    def _adding(self) -> Iterator[dict[str, Growing]]:
        try:
            with super()._adding() as growing:
                yield growing
        except BaseException:
            self._spelt_in = None  # spellings of this change count no more
            raise

    @contextmanager
    def _removing(self) -> Iterator[None]:
        """A change that leaves nothing of what it removes."""
        try:
            with self._writing():
                yield
                self._say(**{UNSWEPT: "yes"})
            self.sweep()
        finally:
            self._forget()

    def _enrolled(self, singer: str) -> tuple[SingerRow, dict[str, str]]:
        found = self._find(self.spelling(singer))
        if found is None:
            remedy = "list the names with: whosings gallery list"
            raise GalleryError(self.path, f"nobody named {singer} is enrolled", remedy)
        return found

    def _forget(self, names: bool = True) -> None:
        if names:
            self._spelt_in = None
        for name in ("voices", "head", "rates"):
            self.__dict__.pop(name, None)
