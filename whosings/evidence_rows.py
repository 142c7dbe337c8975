"""What speaks for an answer, as ``whosings.evidence`` finds it: matching passages, the runner-up, caveats."""

from __future__ import annotations

from dataclasses import dataclass

from whosings.answer import NOTICE, Outcome
from whosings.spans import Span


@dataclass(frozen=True)
class Match:
    """An enrolled recording, by the passage that is most like the voice.

    Attributes:
        source: where the recording was, or its name, when it was enrolled.
        sha256: of its content then.
        enrolled: the passage of it, in seconds.
        heard: the passage of the probe that this one is most like.
        cosine: of the two passages, -1 to 1.
        recording_cosine: of the voice as a whole and the recording as a whole.
        recording_s: seconds of singing that are enrolled of the recording.
    """

    source: str
    sha256: str
    enrolled: Span
    heard: Span
    cosine: float
    recording_cosine: float
    recording_s: float


@dataclass(frozen=True)
class RunnerUp:
    """The enrolled singer who comes next.

    Attributes:
        score: cosine of the voice with that singer's, -1 to 1.
        margin: by how much the named singer's score is higher; negative where a fitted classifier said otherwise.
        times: how many times as likely the named singer is.
        words: the same in words.
    """

    singer: str
    score: float
    margin: float
    times: float
    words: str


@dataclass(frozen=True)
class VoiceEvidence:
    """What speaks for the singer of one voice.

    Attributes:
        singer, outcome, probability, seconds, spans, together: as of the answer's ``Voice``.
        score: cosine of the voice with the singer's, -1 to 1.
        recordings: how many are enrolled of the singer.
        enrolled_s: seconds of singing in them.
        matches: the recordings with the best matching passages, the best first, at most ``MOST_MATCHES``.
        runner_up: None where nobody else is enrolled, and for a voice under another one, which hides it.
        caveats: sentences on what would change the answer; empty where nothing was found.
    """

    singer: str
    outcome: Outcome
    probability: float
    seconds: float
    spans: tuple[Span, ...]
    together: bool
    score: float
    recordings: int
    enrolled_s: float
    matches: tuple[Match, ...]
    runner_up: RunnerUp | None
    caveats: tuple[str, ...]


@dataclass(frozen=True)
class RecordingEvidence:
    """What speaks for an answer.

    Attributes:
        recording: the probe, as its answer calls it.
        voices: one for each voice that has a singer, who is named or worth a look.
    """

    recording: str
    voices: tuple[VoiceEvidence, ...]


@dataclass(frozen=True)
class EvidenceFile:
    """What ``evidence.json`` holds.

    Attributes:
        format: its name and number.
        files: names of all files of the folder.
        notice: what an answer is and is not.
    """

    format: str
    files: tuple[str, ...]
    recordings: tuple[RecordingEvidence, ...]
    notice: str = NOTICE
