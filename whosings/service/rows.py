"""What a service answers with, besides answers themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from whosings.answer import NOTICE, Answer
from whosings.evidence_rows import RecordingEvidence
from whosings.library.decision_rows import Decision, LikelyName, Said
from whosings.spans import Span


@dataclass(frozen=True)
class Problem:
    """Why a request was not answered.

    Attributes:
        title: the kind of problem.
        status: of HTTP.
        detail: one sentence: what is named, what is wrong with it, what to do.
        request_id: by which the service's log has it.
    """

    title: str
    status: int
    detail: str
    request_id: str = ""


@dataclass(frozen=True)
class TellingLimits:
    """What a client should know before it sends a recording.

    Attributes:
        upload_bytes: most bytes of a request.
        duration_s: longest recording, in seconds.
        answer_at_once_s: longest recording that is answered at once, in seconds.
    """

    upload_bytes: int
    duration_s: float
    answer_at_once_s: float


@dataclass(frozen=True)
class About:
    """What a service is.

    Attributes:
        notice: what an answer is and is not.
        needs_token: requests need a token.
        may: what the caller may do.
        singers, recordings: how many are enrolled, and are in the library; None for callers who may not read.
    """

    version: str
    encoder: str
    notice: str
    needs_token: bool
    may: tuple[str, ...]
    limits: TellingLimits
    singers: int | None
    recordings: int | None


@dataclass(frozen=True)
class Explained:
    """An answer with what speaks for it."""

    answer: Answer
    evidence: RecordingEvidence


@dataclass(frozen=True)
class Enrolled:
    """What an enrolment did.

    Attributes:
        singer: as the gallery spells the name.
        added: False where this very content was enrolled already.
        sha256: of the content.
        recordings: how many are enrolled of the singer now.
        doubts: sentences on why the recording may not be the singer's.
    """

    singer: str
    added: bool
    sha256: str
    recordings: int
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class SingerRow:
    """An enrolled singer.

    Attributes:
        recordings, seconds: how many are enrolled, and how many seconds of singing they hold.
    """

    name: str
    recordings: int
    seconds: float


@dataclass(frozen=True)
class SingerPage:
    """Some of the enrolled singers, by name, and how many there are."""

    total: int
    singers: tuple[SingerRow, ...]


@dataclass(frozen=True)
class SingerRecording:
    """An enrolled recording.

    Attributes:
        sha256: of its content.
        source: the file's name when it was enrolled.
        seconds, spans: of singing, and where.
        playable: its file is there.
    """

    sha256: str
    source: str
    seconds: float
    spans: tuple[Span, ...]
    playable: bool


@dataclass(frozen=True)
class SingerRecordings:
    """What is enrolled of a singer, in the order of enrolment."""

    name: str
    recordings: tuple[SingerRecording, ...]


@dataclass(frozen=True)
class LibraryRow:
    """A recording of the library.

    Attributes:
        recording: its number.
        name: of its file.
        duration_s, vocal_s: seconds, and seconds of singing.
        playable: its sound is there.
        answer: who sings; None while nobody is enrolled.
    """

    recording: int
    name: str
    sha256: str
    duration_s: float
    vocal_s: float
    playable: bool
    answer: Answer | None


@dataclass(frozen=True)
class LibraryPage:
    """Some recordings of the library, by number, and how many there are."""

    total: int
    recordings: tuple[LibraryRow, ...]


@dataclass(frozen=True)
class LibraryVoice:
    """A voice of a recording.

    Attributes:
        voice: which one, counted from 0.
        decision: the last one on it.
    """

    voice: int
    seconds: float
    spans: tuple[Span, ...]
    decision: Decision | None


@dataclass(frozen=True)
class LibraryRecording(LibraryRow):
    """A recording of the library with its voices."""

    voices: tuple[LibraryVoice, ...]


@dataclass(frozen=True)
class Kept:
    """A recording that was put into the library.

    Attributes:
        state: ``"heard"`` where it is new, and ``"known"`` where this very content was there.
        answer: who sings; None while nobody is enrolled.
    """

    recording: int
    name: str
    sha256: str
    state: str
    answer: Answer | None


@dataclass(frozen=True)
class FoundRecording:
    """A recording in which a voice may sing; see ``whosings.library.search.Match``."""

    recording: int
    name: str
    voice: int
    probability: float
    score: float
    seconds: float
    spans: tuple[Span, ...]
    enrolled: bool


@dataclass(frozen=True)
class FoundVoice:
    """A voice that was looked for, and the recordings in which it may sing, the likeliest first.

    Attributes:
        seconds, spans: of the voice where it was asked with a recording; nothing for an enrolled singer.
    """

    seconds: float | None
    spans: tuple[Span, ...]
    matches: tuple[FoundRecording, ...]


@dataclass(frozen=True)
class Found:
    """What was found by voice."""

    voices: tuple[FoundVoice, ...]
    notice: str = NOTICE


@dataclass(frozen=True)
class GroupClip:
    """The few seconds of a group by which to know its voice."""

    recording: int
    start_s: float
    stop_s: float


@dataclass(frozen=True)
class GroupMember:
    """A voice of a group.

    Attributes:
        by_person: somebody put it there or left it there.
    """

    recording: int
    name: str
    voice: int
    seconds: float
    by_person: bool


@dataclass(frozen=True)
class GroupRow:
    """Voices of one singer whom nobody has named yet; see ``whosings.library.grouping.Group``."""

    id: int
    kept: bool
    name: str | None
    recordings: int
    seconds: float
    clip: GroupClip | None
    likely: tuple[LikelyName, ...]
    voices: tuple[GroupMember, ...]


@dataclass(frozen=True)
class Groups:
    """All groups, the one with the most recordings first."""

    groups: tuple[GroupRow, ...]


@dataclass(frozen=True)
class EnrolledVoices:
    """How many recordings were enrolled, were enrolled already, and are no longer in the library."""

    added: int
    skipped: int
    missing: int


@dataclass(frozen=True)
class NamedGroup:
    """A group that has a name now, which its voices are enrolled under."""

    group: int
    name: str
    enrolled: EnrolledVoices


@dataclass(frozen=True)
class ChangedGroup:
    """A group after a change, and how many voices it has."""

    group: int
    voices: int


@dataclass(frozen=True)
class ReviewRow:
    """A voice that is worth a person's look.

    Attributes:
        why: in words.
        said: what the model says of it.
        decided: the last decision on it.
    """

    recording: int
    name: str
    voice: int
    seconds: float
    spans: tuple[Span, ...]
    playable: bool
    why: str
    said: Said
    decided: Decision | None


@dataclass(frozen=True)
class ReviewPage:
    """Some of what is worth a look, and how much there is."""

    total: int
    items: tuple[ReviewRow, ...]


@dataclass(frozen=True)
class Log:
    """All decisions, the first one first; ``path`` of each is the file's name."""

    decisions: tuple[Decision, ...]


@dataclass(frozen=True)
class Job:
    """Work that takes longer than a request.

    Attributes:
        kind: what is done: identify, evidence, enrol, library or groups.
        name: of the upload.
        state: waiting, running, done or failed.
        created_at: UTC, as ISO 8601 has it.
        stage: what is being done now, in words.
        done, steps: how far that is; None where the number of steps is not known.
        result: what the request would have answered.
        error: why it failed.
    """

    id: str
    kind: str
    name: str
    state: str
    created_at: str
    stage: str = ""
    done: int = 0
    steps: int | None = None
    result: dict[str, Any] | None = None
    error: Problem | None = None


@dataclass(frozen=True)
class Jobs:
    """The caller's jobs, the newest first, without their results."""

    jobs: tuple[Job, ...]
