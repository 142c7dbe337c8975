"""Enrolled singers: add, remove, list, persist.

A gallery is one SQLite file: every change is one transaction, so that a crash at any moment leaves the gallery before
or after the change, and readers and a writer can share it. It belongs to one encoder and refuses embeddings of another.

A track counts once: enrolling a file whose content is already enrolled changes nothing, which is also how an
interrupted enrolment goes on.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from whosings.classifier import Head
from whosings.config import HeadConfig
from whosings.embedding import Embeddings
from whosings.enrolled import EnrolledSinger, EnrolledTrack, FittedHead, MeasuredRates, Voices
from whosings.errors import ConfigError, GalleryError
from whosings.false_accepts import FalseAccepts
from whosings.gallery_file import GalleryFile
from whosings.gallery_rows import SingerRow, singer_row
from whosings.safe_text import encodable
from whosings.settings import parse
from whosings.singer_names import name_key, singer_name

FORMER = {"eb0b109bbcd16ea9b39e0287baaab49740c852eb7a2d14174ab396413709a5de": "fast, once default"}
"""Names of encoders in galleries that kept none; ``fast`` shipped as ``default`` once."""


class Gallery(GalleryFile):
    """A gallery on disk; use it as a context manager, or ``close`` it.

    Whatever is read is checked against its digest: a damaged file is told, and is never believed.

    Args:
        path: its file; made when it does not exist and ``fingerprint`` is given.
        fingerprint: that of the encoder whose embeddings it holds; None accepts whatever the file says.
        encoder: what people call that encoder; a new gallery keeps it, so that a message can say it.

    Raises:
        GalleryError: missing, damaged, not a gallery, another encoder's, or it cannot be used now.
    """

    def __init__(self, path: str | Path, fingerprint: str | None = None, encoder: str = "") -> None:
        if not Path(path).exists() and fingerprint is None:
            raise GalleryError(path, "no such gallery", "enrol singers first: whosings enrol NAME FILES")
        if Path(path).is_dir():
            raise GalleryError(path, "is a folder, not a gallery", "name a file")
        self._spellings: dict[str, list[str]] = {}
        self._spelt_in: int | None = None  # SQLite's data version when they were read
        super().__init__(path, None if fingerprint is None else {"fingerprint": fingerprint, "encoder": encoder})
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

    def add(self, singer: str, track: Embeddings, sha256: str, source: str | Path | None = None) -> bool:
        """Enrol one track of a singer; False where that content is already enrolled for the singer.

        Args:
            source: where the recording lies, to find it again; the track's name unless given.

        Raises:
            GalleryError: the embeddings are another encoder's, or hold no vocal segment; or the name is no name.
        """
        self.refuse_other(track.fingerprint)
        if len(track.vectors) == 0:
            remedy = "use a recording in which the singer is heard"
            raise GalleryError(track.track_id, "holds too little singing to enrol", remedy)
        if not np.isfinite(track.vectors).all():
            raise GalleryError(track.track_id, "has embeddings that are no numbers", "use another recording or encoder")
        start_s, vectors = track.start_s.astype(np.float32), track.vectors.astype(np.float16)
        with self._writing():
            singer = self.spelling(singer)
            found = self._find(singer)
            row, held = found if found is not None else (None, {})
            if sha256 in held:
                return False
            mean, amount = track.vectors.mean(axis=0), float(track.amount)
            if row is None:
                row = singer_row(singer, 0, 0.0, np.zeros_like(mean), 0)
                self._store(None, row)
            if row.vector.shape != mean.shape:
                raise self._damaged(f"{singer} has embeddings of {row.vector.size} numbers, not {mean.size}")
            place = encodable(track.track_id if source is None else source)
            mark = self._put_track(row.number, sha256, amount, place, start_s.tobytes(), vectors.tobytes())
            if not track.short and self._facts.get("segment_s") is None:
                self._say(segment_s=f"{track.segment_s:g}")
            self._store(row, row.changed(1, amount, mean, mark))
        self._spellings.setdefault(name_key(singer), [singer])
        self._forget(names=False)  # to read all of them again for each new singer takes long
        return True

    def holds(self, singer: str, sha256: str) -> bool:
        """Whether this content is already enrolled for the singer."""
        with self._faults():
            found = self._steadily(lambda: self._find(self.spelling(singer)))
        return found is not None and sha256 in found[1]

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

    def remove(self, singer: str) -> None:
        """Forget a singer and all tracks.

        Raises:
            GalleryError: nobody of that name is enrolled.
        """
        with self._writing():
            self._store(self._enrolled(singer)[0], None)
        self._forget()

    def rename(self, singer: str, name: str) -> None:
        """Give a singer another name.

        Raises:
            GalleryError: nobody has the old name, somebody has the new one, or it is empty.
        """
        name = singer_name(name, self.path, GalleryError)
        with self._writing():
            row, _ = self._enrolled(singer)
            taken = self.spelling(name)
            if taken != row.name and self._find(taken) is not None:
                raise GalleryError(self.path, f"{taken} is enrolled already", "merge the two, or choose another name")
            self._store(row, row.changed(0, 0.0, np.zeros_like(row.vector), 0, name))
        self._forget()

    def merge(self, singer: str, into: str) -> None:
        """Give all tracks of one singer to another; a track that both have counts once.

        Raises:
            GalleryError: one of them is not enrolled, or both are the same.
        """
        with self._writing():
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
        self._forget()

    def singers(self) -> tuple[EnrolledSinger, ...]:
        """Who is enrolled, by name."""
        return tuple(EnrolledSinger(row.name, row.tracks, row.segments) for row in self._singer_rows())

    @cached_property
    def voices(self) -> Voices:
        """Everyone's mean voice, read once and kept until this object changes the gallery.

        Raises:
            GalleryError: nobody is enrolled.
        """
        rows = self._singer_rows()
        if not rows:
            raise GalleryError(self.path, "nobody is enrolled", "enrol singers first: whosings enrol NAME FILES")
        segments = np.array([row.segments for row in rows], np.float64)
        return Voices(tuple(row.name for row in rows), self._matrix(rows), segments)

    @property
    def segment_s(self) -> float | None:
        """Seconds of a segment; None where only short recordings, or none since this is kept, were enrolled."""
        said = self._facts.get("segment_s")
        return None if said is None else float(said)

    def tracks(self, singers: Collection[str] | None = None) -> tuple[EnrolledTrack, ...]:
        """Everything that is enrolled, or that of some singers, by singer and in the order of enrolment."""

        def read() -> tuple[EnrolledTrack, ...]:
            rows = [row for row in self._singer_rows() if singers is None or row.name in singers]
            names = {row.number: row.name for row in rows}
            found = self._track_rows(rows, self._matrix(rows).shape[1]) if rows else ()
            return tuple(EnrolledTrack.of(names[track.singer], track) for track in found)

        return self._steadily(read)

    def tracks_of(self, singer: str) -> tuple[EnrolledTrack, ...]:
        """What is enrolled of one singer, in the order of enrolment; no other singer is read.

        Raises:
            GalleryError: nobody of that name is enrolled.
        """

        def read() -> tuple[EnrolledTrack, ...]:
            row, _ = self._enrolled(singer)
            return tuple(EnrolledTrack.of(row.name, track) for track in self._track_rows([row], row.vector.size))

        return self._steadily(read)

    def keep_head(self, fitted: FittedHead | None) -> None:
        """Store a head for ``identify`` to vote with, in the place of another one; None forgets it.

        It is forgotten, too, whenever a singer or a track comes or goes.
        """
        row = None
        if fitted is not None:
            weights, config = fitted.head.to_bytes(), fitted.head.config.model_dump_json()
            row = (json.dumps(fitted.names), config, weights, float(fitted.accuracy), float(fitted.before))
        with self._writing():
            self._put_head(row)
        self.__dict__.pop("head", None)

    @cached_property
    def head(self) -> FittedHead | None:
        """The head that was fitted on the gallery as it is; None where there is none.

        Raises:
            GalleryError: it is damaged, or of other singers than ``voices``, because another process changed them.
        """
        row = self._head_row()
        if row is None:
            return None
        try:
            names = tuple(json.loads(row[0]))
            head = Head.from_bytes(row[2], parse(HeadConfig, json.loads(row[1]), str(self.path)))
            tried = head(torch.zeros(1, self.voices.vectors.shape[1]))
            if tried.shape != (1, len(names)) or not all(value.isfinite().all() for value in head.weights.values()):
                raise ValueError("the weights are of another shape, or no numbers")
            found = FittedHead(names, head, float(row[3]), float(row[4]))
        except (SafetensorError, ConfigError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise self._damaged(f"its classifier cannot be used: {error}") from error
        if names != self.voices.names:
            raise GalleryError(self.path, "has a classifier of other singers", "open it again, or fit again")
        return found

    def keep_rates(self, rates: MeasuredRates) -> None:
        """Store measured rates, of the gallery as it is, in the place of former ones."""
        with self._writing():
            self._say(rates=json.dumps({**asdict(rates), "changed": self._facts["singers"]}))
        self._forget(names=False)

    @cached_property
    def rates(self) -> MeasuredRates | None:
        """The rates that were measured last; None where nobody did.

        Raises:
            GalleryError: they are damaged.
        """
        facts = self._about()
        if "rates" not in facts:
            return None
        try:
            values = json.loads(facts["rates"])
            naming = FalseAccepts.of(values["naming"])
            changed = values["changed"] != facts["singers"]
            found = MeasuredRates(int(values["singers"]), int(values["recordings"]), naming, changed)
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged("its false-accept rates cannot be read") from error
        if naming.faults():
            raise self._damaged("its false-accept rates are none")
        return found

    def check(self) -> None:
        """Read every page and every row of the file, and compare voices and counts with the recordings.

        Raises:
            GalleryError: a part of it is damaged.
        """
        with self._faults():
            found = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise self._damaged(found)
        self._steadily(self._verify)
        if self.singers():
            self.__dict__.pop("head", None)
            _ = self.head
        _ = self.rates

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
