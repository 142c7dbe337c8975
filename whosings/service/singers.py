"""The gallery of a service: answers, enrolment, care. All calls come from one thread."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

from whosings.answer import Answer, Verification
from whosings.calibration import Calibration
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.enrolled import EnrolledSinger, EnrolledTrack
from whosings.enrolled_files import EnrolledFiles
from whosings.errors import AudioError, ConfigError, GalleryError
from whosings.evidence import EvidenceFinder, enrolled_spans, seconds_of
from whosings.evidence_rows import RecordingEvidence
from whosings.gallery import Gallery
from whosings.gallery_audit import audit
from whosings.heard import HeardTrack
from whosings.identification import Identifier, Verifier
from whosings.service.limits import Places
from whosings.service.problems import Refusal, refused_with
from whosings.service.rows import Enrolled, Explained, SingerPage, SingerRecording, SingerRecordings, SingerRow
from whosings.singer_names import singer_name

_MOST_TERMS = 8  # rates at which names were asked for lately
_NAME = "the singer's name"
LONGEST_NAME = 200
"""Letters of a singer's name at most."""


class Singers:
    """A gallery with what answers from it.

    Args:
        embedder: of the gallery's encoder.
        calibration: what reads its scores.

    Raises:
        GalleryError: the gallery is damaged, or another encoder's.
    """

    def __init__(self, places: Places, embedder: TrackEmbedder, calibration: Calibration) -> None:
        self._places, self._embedder, self._calibration = places, embedder, calibration
        self.gallery = Gallery(places.gallery, embedder.fingerprint, embedder.name)
        self._listed: tuple[str, tuple[EnrolledSinger, ...]] = ("", ())
        self._identifiers: OrderedDict[float | None, Identifier] = OrderedDict()
        self._finder = EvidenceFinder(self.gallery, calibration, embedder.front_end.segment_s)

    def close(self) -> None:
        """Release the gallery."""
        self.gallery.close()

    def count(self) -> int:
        """How many singers are enrolled."""
        return len(self._singers())

    def identifier(self, false_accepts: float | None = None) -> Identifier | None:
        """What answers from the gallery as it is now; None while nobody is enrolled.

        Raises:
            ConfigError: no such rate of false accepts was measured.
        """
        self.gallery.refresh()
        if not self.gallery.anybody():
            return None
        if false_accepts not in self._identifiers:
            found = Identifier(self.gallery, self._embedder, None, self._calibration, false_accepts)
            self._identifiers[false_accepts] = found
            if len(self._identifiers) > _MOST_TERMS:
                self._identifiers.popitem(last=False)
        self._identifiers.move_to_end(false_accepts)
        return self._identifiers[false_accepts]

    def identifier_of(self, gallery: Gallery) -> Identifier:
        """What answers from the same gallery, opened once more: for another thread."""
        return Identifier(gallery, self._embedder, None, self._calibration)

    def answer(self, track: HeardTrack, top: int, false_accepts: float | None) -> Answer:
        """Who sings.

        Raises:
            Refusal: nobody is enrolled.
        """
        identifier = self.identifier(false_accepts)
        if identifier is None:
            raise Refusal(409, "NobodyEnrolled", "Nobody is enrolled yet; enrol a singer first.")
        return identifier.name(track, top)

    def explained(self, track: HeardTrack, probe: Embeddings, top: int, false_accepts: float | None) -> Explained:
        """Who sings, and what speaks for it."""
        answer = self.answer(track, top, false_accepts)
        found = self._finder(answer, probe)
        return Explained(answer, self._without_paths(found))

    def verify(self, first: Embeddings, second: Embeddings, false_accepts: float | None) -> Verification:
        """Whether two recordings have one singer."""
        return Verifier(self._embedder, self._calibration, false_accepts).compare(first, second)

    # ------------------------------------------------------------------ enrolment and care

    def enrol(self, singer: str, probe: Embeddings, sha256: str, keep: Path | None) -> Enrolled:
        """Enrol a recording.

        Args:
            keep: the upload, if its sound is to be kept; it is moved.

        Raises:
            ConfigError: the name is none.
            Refusal: the recording holds too little singing.
        """
        self.gallery.refresh()
        name = self.gallery.spelling(clean_name(singer))
        with refused_with(422, GalleryError):
            self.gallery.refuse_unfit(probe)
        place = self._places.kept(sha256, probe.track_id)
        if keep is not None:
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.move(keep, place)
        added = self.gallery.add(name, probe, sha256, place if keep is not None else probe.track_id)
        if keep is not None and not added:
            self._remove_sounds([(str(place), sha256)])
        self.gallery.refresh()  # now, so that what is read for doubts serves the next answers, too
        tracks = self.gallery.tracks_of(name)
        doubts = audit(self.gallery, self._calibration, {(name, sha256)}) if added else None
        said = () if doubts is None else (*doubts.misfits, *doubts.duplicates)
        sources = [track.source for track in tracks]
        told = tuple(self._places.hidden(f"{one}.", sources) for one in said)
        return Enrolled(name, added, sha256, len(tracks), told)

    def page(self, query: str, offset: int, limit: int) -> SingerPage:
        """Singers whose names hold a text, whatever the case."""
        wanted = query.casefold()
        found = [singer for singer in self._singers() if wanted in singer.name.casefold()]
        segment_s = self._segment_s
        rows = (SingerRow(one.name, one.tracks, one.segments * segment_s) for one in found[offset : offset + limit])
        return SingerPage(len(found), tuple(rows))

    def recordings(self, name: str) -> SingerRecordings:
        """What is enrolled of a singer.

        Raises:
            Refusal: nobody of that name is enrolled.
        """
        files = EnrolledFiles(self._places.gallery)
        rows = tuple(self._row(track, files) for track in self._tracks(name))
        return SingerRecordings(self.gallery.spelling(name), rows)

    def file_of(self, name: str, sha256: str) -> Path:
        """Where the file of an enrolled recording is.

        Raises:
            Refusal: the singer or the recording is not enrolled, or the file is gone.
        """
        track = next((one for one in self._tracks(name) if one.sha256 == sha256), None)
        if track is None:
            raise Refusal(404, "NoSuchRecording", "The singer has no such recording; list them first.")
        try:
            return EnrolledFiles(self._places.gallery).find(track.source, track.sha256)
        except AudioError as error:
            raise Refusal(
                404, "NoSound", f"{Path(track.source).name}: its sound is not kept; {error.remedy}."
            ) from error

    def rename(self, name: str, to: str) -> SingerRow:
        """Give a singer another name.

        Raises:
            ConfigError: the new name is none.
            Refusal: nobody has the old name, or somebody has the new one.
        """
        new = clean_name(to)
        self._tracks(name)
        with refused_with(409, GalleryError):
            self.gallery.rename(name, new)
        return self._singer(new)

    def merge(self, name: str, into: str) -> SingerRow:
        """Give all recordings of one singer to another.

        Raises:
            Refusal: one of them is not enrolled, or both are the same.
        """
        self._tracks(name)
        self._tracks(into)
        with refused_with(409, GalleryError):
            self.gallery.merge(name, into)
        return self._singer(into)

    def remove(self, name: str) -> str:
        """Forget a singer, the recordings, and their sound where it was kept for this singer alone; the name.

        Raises:
            Refusal: nobody of that name is enrolled.
        """
        tracks = self._tracks(name)
        spelt = self.gallery.spelling(name)
        self.gallery.remove(spelt)
        self._remove_sounds([(track.source, track.sha256) for track in tracks])
        return spelt

    def remove_recording(self, name: str, sha256: str) -> None:
        """Forget a recording of a singer, and the singer with the last one.

        Raises:
            Refusal: the singer or the recording is not enrolled.
        """
        track = next((one for one in self._tracks(name) if one.sha256 == sha256), None)
        if track is None:
            raise Refusal(404, "NoSuchRecording", "The singer has no such recording; list them first.")
        self.gallery.remove_track(self.gallery.spelling(name), sha256)
        self._remove_sounds([(track.source, track.sha256)])

    def uses(self, path: Path) -> bool:
        """Whether an enrolled recording has its sound at a path."""
        return self.gallery.has_source(str(path))

    def _remove_sounds(self, gone: list[tuple[str, str]]) -> None:
        """Remove files that were kept for recordings that nobody has any more."""
        own = self._places.recordings.absolute()
        places = [Path(source) for source, _ in gone if Path(source).is_relative_to(own)]
        for place in places:
            if not self.uses(place) and not self._in_library(place):
                place.unlink(missing_ok=True)
                if place.parent.is_dir() and not any(place.parent.iterdir()):
                    place.parent.rmdir()

    def _in_library(self, place: Path) -> bool:
        from whosings.library.library_file import Library

        if not self._places.library.exists():
            return False
        with Library(self._places.library) as library:
            return library.recording_at(str(place)) is not None

    # ------------------------------------------------------------------ rows

    @property
    def _segment_s(self) -> float:
        return self.gallery.segment_s or self._embedder.front_end.segment_s

    def _singers(self) -> tuple[EnrolledSinger, ...]:
        """Who is enrolled, read once for as long as the gallery stays the same."""
        version = self.gallery.version
        if version != self._listed[0]:
            self._listed = (version, self.gallery.singers())
        return self._listed[1]

    def _singer(self, name: str) -> SingerRow:
        spelt = self.gallery.spelling(name)
        found = next(one for one in self._singers() if one.name == spelt)
        return SingerRow(found.name, found.tracks, found.segments * self._segment_s)

    def _tracks(self, name: str) -> tuple[EnrolledTrack, ...]:
        self.gallery.refresh()
        if not self._holds(name):
            raise Refusal(
                404, "NoSuchSinger", f"Nobody named {name[:LONGEST_NAME]} is enrolled; list the singers first."
            )
        return self.gallery.tracks_of(name)

    def _holds(self, name: str) -> bool:
        try:
            return bool(self.gallery.contents(singer_name(name, _NAME, ConfigError)))
        except ConfigError:  # nobody can have such a name
            return False

    def _row(self, track: EnrolledTrack, files: EnrolledFiles) -> SingerRecording:
        spans = enrolled_spans(track, self._segment_s)
        try:
            files.find(track.source, track.sha256)
            playable = True
        except AudioError:
            playable = False
        return SingerRecording(track.sha256, Path(track.source).name, seconds_of(spans), spans, playable)

    def _without_paths(self, evidence: RecordingEvidence) -> RecordingEvidence:
        voices = []
        for voice in evidence.voices:
            sources = [track.source for track in self.gallery.tracks_of(voice.singer)]
            caveats = tuple(self._places.hidden(caveat, sources) for caveat in voice.caveats)
            matches = tuple(replace(match, source=Path(match.source).name) for match in voice.matches)
            voices.append(replace(voice, caveats=caveats, matches=matches))
        return replace(evidence, voices=tuple(voices))


def clean_name(given: str) -> str:
    """A singer's name as galleries take it.

    Raises:
        ConfigError: it is empty, no text, or too long.
    """
    if len(given) > LONGEST_NAME:
        raise ConfigError(_NAME, f"has {len(given)} letters", f"give one of at most {LONGEST_NAME}")
    return singer_name(given, _NAME, ConfigError)
