"""Enrolled singers: add, remove, list, persist.

A gallery is one SQLite file: every change is one transaction, so that a crash at any moment leaves the gallery before
or after the change, and readers and a writer can share it. It belongs to one encoder and refuses embeddings of another.

A track counts once: enrolling a file whose content is already enrolled changes nothing, which is also how an
interrupted enrolment goes on.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Generator, Iterable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError

from whosings.enrolled import (
    EnrolledSinger,
    EnrolledTrack,
    FittedHead,
    MeasuredRates,
    NewTrack,
    TakenIn,
    Voices,
    WholeSinger,
)
from whosings.errors import ConfigError, GalleryError
from whosings.false_accepts import FalseAccepts
from whosings.gallery_care import GalleryCare
from whosings.gallery_writer import Growing
from whosings.safe_text import encodable
from whosings.settings import parse

if TYPE_CHECKING:  # torch takes long to import, and most care of a gallery does without
    from whosings.embedding import Embeddings

FORMER = {"eb0b109bbcd16ea9b39e0287baaab49740c852eb7a2d14174ab396413709a5de": "fast, once default"}
"""Names of encoders in galleries that kept none; ``fast`` shipped as ``default`` once."""


class Gallery(GalleryCare):
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
        return self.add_many([NewTrack(singer, track, sha256, source)])[0]

    def add_many(self, tracks: Iterable[NewTrack]) -> tuple[bool, ...]:
        """Enrol many tracks in one transaction: all of them, or after an error none.

        They are taken one at a time, so that an iterator's embeddings need not fit in memory; until it ends, no other
        process can change the gallery.

        Returns:
            whether each is new, as ``add`` does.

        Raises:
            GalleryError: as ``add``.
        """
        with self._adding() as growing:
            added = tuple([self._enrol(new, growing) for new in tracks])
        self._forget(names=False)  # to read all of them again for each new singer takes long
        return added

    def refuse_unfit(self, track: Embeddings) -> None:
        """Check that a track can be enrolled.

        Raises:
            GalleryError: the embeddings are another encoder's, are no numbers, or hold no vocal segment.
        """
        self.refuse_other(track.fingerprint)
        if len(track.vectors) == 0:
            remedy = "use a recording in which the singer is heard"
            raise GalleryError(track.track_id, "holds too little singing to enrol", remedy)
        if not np.isfinite(track.vectors).all():
            raise GalleryError(track.track_id, "has embeddings that are no numbers", "use another recording or encoder")

    def _enrol(self, new: NewTrack, growing: dict[str, Growing]) -> bool:
        track = new.track
        self.refuse_unfit(track)
        mean, name = track.vectors.mean(axis=0), self.spelling(new.singer)
        singer = self._grown(growing, name, mean.size)
        if new.sha256 in singer.held:
            return False
        self._known_as(name)
        place = encodable(track.track_id if new.source is None else new.source)
        start_s, vectors = track.start_s.astype(np.float32), track.vectors.astype(np.float16)
        self._grow(singer, new.sha256, float(track.amount), place, start_s, vectors, mean)
        if not track.short and self._facts.get("segment_s") is None:
            self._say(segment_s=f"{track.segment_s:g}")
        return True

    def take_in(self, singers: Iterable[WholeSinger], segment_s: float | None) -> TakenIn:
        """Enrol singers of another gallery of the same encoder in one transaction: all of them, or after an error none.

        A singer who is enrolled already, whatever the spelling, gets the recordings that are not; where all of them are
        new, the voice is taken over as it is, and otherwise it is added up from them.

        Args:
            singers: their tracks are taken one at a time.
            segment_s: seconds of a segment, where the other gallery knows.

        Raises:
            GalleryError: they do not fit this gallery.
        """
        known, added, held = len(self._singer_rows()), 0, 0
        with self._adding() as growing:
            for whole in singers:
                name = self.spelling(whole.name)
                singer = self._grown(growing, name, whole.voice.size)
                before, repeated = singer.row, 0
                self._known_as(name)
                for track in whole.tracks:
                    if track.sha256 in singer.held:
                        repeated += 1
                        continue
                    vectors, mean = track.vectors.astype(np.float16), track.vectors.mean(axis=0)
                    self._grow(singer, track.sha256, track.segments, track.source, track.start_s, vectors, mean)
                if singer.row.tracks == 0:
                    raise GalleryError(self.path, f"cannot take {name} in without a recording", "give one")
                more = singer.row.tracks - before.tracks
                if not repeated:
                    content = singer.row.content - before.content
                    singer.row = before.changed(more, whole.segments, whole.voice, content)
                added, held = added + more, held + repeated
            if segment_s is not None and self._facts.get("segment_s") is None:
                self._say(segment_s=f"{segment_s:g}")
            self._store_all(growing)
            self._put_about()
            rows = self._singer_rows()
            try:
                _ = self._matrix(rows) if rows else None
            except GalleryError as error:
                reason = error.problem.removeprefix("is damaged (").removesuffix(")")
                remedy = "look at where they come from"
                raise GalleryError(self.path, f"cannot take them in ({reason})", remedy) from error
            new = len(rows) - known
        self._forget()
        return TakenIn(new, added, held)

    def singers(self) -> tuple[EnrolledSinger, ...]:
        """Who is enrolled, by name."""
        return tuple(EnrolledSinger(row.name, row.tracks, row.segments) for row in self._singer_rows())

    def anybody(self) -> bool:
        """Whether somebody is enrolled; who that is is not read."""
        with self._faults():
            found = self._db.execute("SELECT 1 FROM singers LIMIT 1").fetchone()
        return found is not None or bool(self.singers())  # which tells of a damaged file

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

    def whole_singers(self) -> Generator[WholeSinger]:
        """Everyone by name, with all tracks, as the gallery is now: others can change it when the iterator ends.

        Each one's tracks are read as they are asked for, and must be taken before the next singer.

        Raises:
            GalleryError: a part of the gallery is damaged.
        """
        with self._reading():
            rows = self._singer_rows()
            width = self._matrix(rows).shape[1] if rows else 1
            for row in rows:
                tracks = (EnrolledTrack.of(row.name, track) for track in self._track_rows([row], width))
                yield WholeSinger(row.name, row.tracks, row.segments, row.vector, tracks)

    def tracks(self, singers: Collection[str] | None = None) -> tuple[EnrolledTrack, ...]:
        """Everything that is enrolled, or that of some singers, by singer and in the order of enrolment.

        Of other singers nothing is read.
        """

        def read() -> tuple[EnrolledTrack, ...]:
            if singers is None:
                rows = self._singer_rows()
            else:
                rows = [found[0] for name in sorted(set(singers)) if (found := self._find(name)) is not None]
            if not rows:
                return ()
            names, width = {row.number: row.name for row in rows}, self._matrix(rows).shape[1]
            return tuple(EnrolledTrack.of(names[track.singer], track) for track in self._track_rows(rows, width))

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

    def has_source(self, source: str) -> bool:
        """Whether some recording was enrolled from a place; rows are not checked against their digests."""
        with self._faults():
            return self._db.execute("SELECT 1 FROM tracks WHERE source = ? LIMIT 1", (source,)).fetchone() is not None

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
        import torch

        from whosings.classifier import Head
        from whosings.config import HeadConfig

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
