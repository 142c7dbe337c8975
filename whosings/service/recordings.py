"""The library of a service: recordings, search, groups, review. All calls come from one thread."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from whosings.answer import Answer, Outcome, Verdict
from whosings.audio import FloatArray
from whosings.calibration import Calibration
from whosings.embedding import TrackEmbedder
from whosings.errors import ConfigError, LibraryError
from whosings.heard import HeardTrack
from whosings.library.decision_rows import Decision, Deed, KeptGroup, VoiceKey
from whosings.library.decisions import DecidedLibrary
from whosings.library.enrolment import enrol_voices
from whosings.library.grouping import Group, described
from whosings.library.library_rows import LibraryFile, Recording
from whosings.library.matching import Matcher
from whosings.library.review import Reviewer, ReviewItem, decide
from whosings.library.search import Likeness, Match, like_singer, like_voice, matches, voices_within
from whosings.service import rows
from whosings.service.decoders import DecodedFile
from whosings.service.limits import Places
from whosings.service.problems import Refusal, refused_with
from whosings.service.singers import Singers, clean_name
from whosings.spans import Span

NO_VOCALS = "no vocals"
"""What stands for the outcome of a recording in which nobody sings."""

_TOP = 5  # candidates of an answer


@dataclass(frozen=True)
class _Gist:
    """What a list is filtered by."""

    recording: int
    outcome: str
    singers: frozenset[str]


class Recordings:
    """A library with what is asked of it.

    Args:
        calibration: that of the library's encoder.

    Raises:
        LibraryError: the library is damaged, or another encoder's.
    """

    def __init__(self, places: Places, singers: Singers, embedder: TrackEmbedder, calibration: Calibration) -> None:
        self._places, self._singers, self._calibration = places, singers, calibration
        segment_s = embedder.front_end.segment_s
        self.library = DecidedLibrary(places.library, embedder.fingerprint, embedder.name, segment_s)
        self._gists: tuple[str, tuple[_Gist, ...]] = ("", ())

    def close(self) -> None:
        """Release the library."""
        self.library.close()

    def count(self) -> int:
        """How many recordings can be asked for."""
        return self.library.count()

    # ------------------------------------------------------------------ recordings

    def add(self, track: HeardTrack, decoded: DecodedFile, upload: Path, keep: bool) -> rows.Kept:
        """Put what was heard of an upload into the library.

        Args:
            keep: keep its sound, too: the upload is moved.
        """
        known = self.library.with_content(decoded.sha256)
        place = self._places.kept(decoded.sha256, decoded.track_id)
        if keep and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.move(upload, place)
        about = (place if place.exists() else upload).stat()  # the file may have been kept before
        without = replace(track, voices=tuple(replace(voice, embeddings=None) for voice in track.voices))
        file = LibraryFile(str(place), about.st_size, about.st_mtime_ns, decoded.tags)
        number = self.library.add(file, decoded.sha256, without, again=True)
        state = "heard" if known is None or known.error is not None else "known"
        return rows.Kept(number, decoded.track_id, decoded.sha256, state, self._answer(number))

    def page(self, query: str, singer: str | None, outcome: str | None, offset: int, limit: int) -> rows.LibraryPage:
        """Recordings by number.

        Args:
            query: a text in the file's name, whatever the case.
            singer: somebody who is named or worth a look in it.
            outcome: ``named``, ``worth a look``, ``unknown`` or ``no vocals``: the best of its voices.
        """
        wanted = query.casefold()
        found = [row for row in self._usable() if not wanted or wanted in self._name(row).casefold()]
        if singer is not None or outcome is not None:
            fit = {
                gist.recording
                for gist in self._all_gists()
                if outcome in (None, gist.outcome) and (singer is None or singer in gist.singers)
            }
            found = [row for row in found if row.id in fit]
        return rows.LibraryPage(len(found), tuple(self._row(row) for row in found[offset : offset + limit]))

    def recording(self, number: int) -> rows.LibraryRecording:
        """A recording with its voices.

        Raises:
            Refusal: there is none.
        """
        row = self._row(self._found(number))
        heard = self.library.heard(number)
        verdicts = self.library.verdicts()
        voices = tuple(
            rows.LibraryVoice(place, one.seconds, one.spans, _told(verdicts.get(VoiceKey(row.sha256, place))))
            for place, one in enumerate(heard.voices)
        )
        return rows.LibraryRecording(**{name: getattr(row, name) for name in row.__dataclass_fields__}, voices=voices)

    def file_of(self, number: int) -> Path:
        """Where a recording's sound is: the file has not changed since it was heard.

        Raises:
            Refusal: there is no such recording, or its sound is not there.
        """
        found = self._found(number)
        if (path := self._playable(found)) is None:
            raise Refusal(404, "NoSound", f"{self._name(found)}: its sound is not kept, or its file has changed.")
        return path

    def remove(self, number: int) -> None:
        """Forget a recording and what was heard of it; its sound, too, if the service kept it.

        Raises:
            Refusal: there is no such recording.
        """
        self._found(number)
        paths = self.library.paths(number)
        self.library.forget_files(paths)
        self.library.forget_missing()
        for path in map(Path, paths):
            if path.is_relative_to(self._places.recordings.absolute()) and not self._singers.uses(path):
                path.unlink(missing_ok=True)
                if path.parent.is_dir() and not any(path.parent.iterdir()):
                    path.parent.rmdir()

    # ------------------------------------------------------------------ search

    def find_singer(self, singer: str, top: int) -> rows.Found:
        """Recordings in which an enrolled singer may sing.

        Raises:
            Refusal: nobody of that name is enrolled.
        """
        self._singers.recordings(singer)
        gallery = self._singers.gallery
        name, contents = gallery.spelling(singer), gallery.contents(singer)
        likeness = like_singer(self.library.voices(), gallery.voices, name, self._calibration)
        return rows.Found((self._voice_found(None, likeness, top, None, contents),))

    def find_voice(self, number: int, voice: int, top: int) -> rows.Found:
        """Recordings in which a voice of the library may sing, too.

        Raises:
            Refusal: there is no such recording or voice.
        """
        self._found(number)
        voices = self.library.heard(number).voices
        if not 0 <= voice < len(voices):
            raise Refusal(404, "NoSuchVoice", f"The recording has {len(voices)} voices, counted from 0.")
        return self._found_like(self.library.heard(number), [voice], number, top)

    def find_heard(self, track: HeardTrack, from_s: float | None, to_s: float | None, top: int) -> rows.Found:
        """Recordings in which voices of an upload may sing.

        Raises:
            AudioError: nobody sings there.
        """
        chosen = voices_within(track, from_s, to_s)
        places = [place for place, one in enumerate(track.voices) if any(one is other for other in chosen)]
        return self._found_like(track, places, None, top)

    def _found_like(self, track: HeardTrack, places: Iterable[int], leave_out: int | None, top: int) -> rows.Found:
        found = []
        for place in places:
            voice = track.voices[place]
            likeness = self._like(voice.mean, voice.amount)
            found.append(self._voice_found(track.voices[place].spans, likeness, top, leave_out))
        return rows.Found(tuple(found))

    def _like(self, mean: FloatArray, amount: float) -> Likeness:
        return like_voice(self.library.voices(), mean, amount, self._calibration)

    def _voice_found(
        self,
        spans: tuple[Span, ...] | None,
        likeness: Likeness,
        top: int,
        leave_out: int | None,
        enrolled: frozenset[str] = frozenset(),
    ) -> rows.FoundVoice:
        found = matches(self.library, self.library.voices(), likeness, top, leave_out, enrolled)
        seconds = None if spans is None else sum(span.stop_s - span.start_s for span in spans)
        return rows.FoundVoice(seconds, spans or (), tuple(map(_found_recording, found)))

    # ------------------------------------------------------------------ groups

    def groups(self) -> rows.Groups:
        """The groups as they were found last."""
        enrolled = self._singers.gallery.voices if self._singers.identifier() is not None else None
        return rows.Groups(tuple(map(self.group_row, described(self.library, self._calibration, enrolled))))

    def group_row(self, group: Group) -> rows.GroupRow:
        """A group without paths."""
        members = tuple(
            rows.GroupMember(one.recording, Path(one.path).name, one.number, one.seconds, one.by_person)
            for one in group.voices
        )
        clip = None
        if group.clip is not None and (number := self.library.recording_at(group.clip.path)) is not None:
            clip = rows.GroupClip(number, group.clip.span.start_s, group.clip.span.stop_s)
        return rows.GroupRow(
            group.id, group.kept, group.name, group.recordings, group.seconds, clip, group.likely, members
        )

    def name_group(self, number: int, name: str, who: str) -> rows.NamedGroup:
        """Say who sings in a group, and enrol its voices.

        Raises:
            ConfigError: the name is none.
            Refusal: there is no such group.
        """
        group, gallery = self._group(number), self._singers.gallery
        gallery.refresh()
        singer = gallery.spelling(clean_name(name))
        found = enrol_voices(self.library, gallery, singer, group.voices)
        self.library.name_group(number, singer, who, {"encoder": self.library.fingerprint})
        return rows.NamedGroup(number, singer, rows.EnrolledVoices(found.added, found.skipped, found.missing))

    def merge_groups(self, number: int, into: int, who: str) -> rows.ChangedGroup:
        """Say that two groups are one singer's.

        Raises:
            Refusal: there is no such group, or both are the same.
        """
        self._group(number)
        self._group(into)
        with refused_with(409, LibraryError):
            self.library.merge_groups(number, into, who, {"encoder": self.library.fingerprint})
        return rows.ChangedGroup(into, len(self._group(into).voices))

    def split_group(self, number: int, voices: Iterable[tuple[int, int]], who: str) -> rows.ChangedGroup:
        """Say that voices are not the singer of a group.

        Args:
            voices: recording and voice of each.

        Raises:
            Refusal: there is no such group, a voice is not in it, or nobody would be left.
        """
        self._group(number)
        out = [VoiceKey(self._found(recording).sha256, voice) for recording, voice in voices]
        with refused_with(409, LibraryError):
            self.library.split_group(number, out, who, {"encoder": self.library.fingerprint})
        return rows.ChangedGroup(number, len(self._group(number).voices))

    def _group(self, number: int) -> KeptGroup:
        found = next((group for group in self.library.groups() if group.id == number), None)
        if found is None:
            raise Refusal(404, "NoSuchGroup", f"There is no group {number}, or no longer; list the groups.")
        return found

    # ------------------------------------------------------------------ review

    def review(self, decided: bool, offset: int, limit: int) -> rows.ReviewPage:
        """What is worth a look; nothing while nobody is enrolled."""
        if (reviewer := self._reviewer()) is None:
            return rows.ReviewPage(0, ())
        found = reviewer.queue(decided)
        return rows.ReviewPage(len(found), tuple(map(self._review_row, found[offset : offset + limit])))

    def decide(self, number: int, voice: int, deed: Deed, singer: str | None, who: str) -> Decision:
        """Write into the log what somebody decided on a voice.

        Raises:
            ConfigError: a name is missing, or given where none belongs.
            Refusal: nobody is enrolled, or there is no such voice.
        """
        self._found(number)
        if (reviewer := self._reviewer()) is None:
            raise Refusal(409, "NobodyEnrolled", "Nobody is enrolled yet; enrol a singer first.")
        with refused_with(404, ConfigError):
            item = reviewer.item(number, voice)
        name = None if singer is None else self._singers.gallery.spelling(clean_name(singer))
        return replace(decide(self.library, item, deed, who, name), path=Path(item.path).name)

    def log(self) -> rows.Log:
        """All decisions."""
        return rows.Log(tuple(replace(line, path=Path(line.path).name) for line in self.library.decisions()))

    def _reviewer(self) -> Reviewer | None:
        identifier = self._singers.identifier()
        if identifier is None:
            return None
        return Reviewer(self.library, self._singers.gallery.voices, identifier.terms, self._calibration)

    def _review_row(self, item: ReviewItem) -> rows.ReviewRow:
        found = self.library.with_content(item.voice.sha256)
        assert found is not None
        return rows.ReviewRow(
            found.id,
            Path(item.path).name,
            item.voice.number,
            item.seconds,
            item.spans,
            self._playable(found) is not None,
            item.why,
            item.said,
            _told(item.decided),
        )

    # ------------------------------------------------------------------ rows

    def _usable(self) -> list[Recording]:
        return [row for row in self.library.recordings() if row.error is None]

    def _found(self, number: int) -> Recording:
        try:
            found = self.library.recording(number)
        except LibraryError:
            found = None
        except OverflowError:  # SQLite's integers end somewhere
            found = None
        if found is None or found.error is not None:
            raise Refusal(404, "NoSuchRecording", f"The library has no recording {number}; list them first.")
        return found

    def _name(self, row: Recording) -> str:
        return next((Path(path).name for path in self.library.paths(row.id)), row.sha256[:12])

    def _playable(self, row: Recording) -> Path | None:
        for file in self.library.files(row.id):
            path = Path(file.path)
            if path.is_file() and self.library.known(file.path, path.stat().st_size, path.stat().st_mtime_ns):
                return path
        return None

    def _row(self, row: Recording) -> rows.LibraryRow:
        playable = self._playable(row) is not None
        answer = self._answer(row.id)
        return rows.LibraryRow(row.id, self._name(row), row.sha256, row.duration_s, row.vocal_s, playable, answer)

    def _answer(self, number: int) -> Answer | None:
        identifier = self._singers.identifier()
        if identifier is None:
            return None
        answer = identifier.name(self.library.heard(number), _TOP)
        return replace(answer, track_id=Path(answer.track_id).name)

    def _all_gists(self) -> tuple[_Gist, ...]:
        """What every recording is filtered by, computed once for as long as gallery and library stay the same."""
        identifier = self._singers.identifier()
        version = f"{self.library.version} {self._singers.gallery.version}"
        if self._gists[0] != version:
            found = () if identifier is None else Matcher(identifier)(self.library.all_heard())
            self._gists = (version, tuple(_gist(one.recording, one.answer) for one in found))
        return self._gists[1]


def _gist(recording: int, answer: Answer) -> _Gist:
    if answer.verdict is Verdict.NOT_ENOUGH_VOCALS:
        return _Gist(recording, NO_VOCALS, frozenset())
    outcome = Outcome.NAMED if answer.named else Outcome.WORTH_A_LOOK if answer.worth_a_look else Outcome.UNKNOWN
    return _Gist(recording, outcome.value, frozenset((*answer.named, *answer.worth_a_look)))


def _found_recording(match: Match) -> rows.FoundRecording:
    name = Path(match.paths[0]).name if match.paths else match.sha256[:12]
    return rows.FoundRecording(
        match.recording, name, match.voice, match.probability, match.score, match.seconds, match.spans, match.enrolled
    )


def _told(line: Decision | None) -> Decision | None:
    """A decision without a path of this machine."""
    return None if line is None else replace(line, path=Path(line.path).name)
