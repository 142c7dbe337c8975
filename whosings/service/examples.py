"""Examples for OpenAPI, made of the objects themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from whosings import __version__
from whosings.answer import NOTICE, Answer, Candidate, Outcome, Terms, TimelineSegment, Verdict, Verification, Voice
from whosings.evidence_rows import Match, RecordingEvidence, RunnerUp, VoiceEvidence
from whosings.library.decision_rows import Decision, Deed, LikelyName, Said, VoiceKey
from whosings.opinion_rows import Opinion, Sound
from whosings.service import rows
from whosings.spans import Span

_SHA = "6d83f766e5df50ba694ab2aa5ac6f94a7132749d3fab26d02d055d678b278bc0"
_ENCODER = "5e2c0f3ab1d4"
_SPANS = (Span(0.0, 12.5),)
_TERMS = Terms(0.01, "on the model's calibration set", 4.4, 1.2)
_WHEN = "2026-05-04T09:30:00+00:00"

_ANSWER = Answer(
    track_id="ann-3.flac",
    verdict=Verdict.SINGER,
    top=(Candidate("Ann", 0.81, 0.998, 1.0), Candidate("Bob", 0.12, 0.001, 0.0)),
    unknown_probability=0.001,
    timeline=(TimelineSegment(0.0, 12.5, "Ann", 0.998),),
    duration_s=14.0,
    vocal_s=12.5,
    short=False,
    fingerprint=_ENCODER,
    terms=_TERMS,
    opinion=Opinion(0.21, 0.64, 0.97, 3, Sound.NATURAL),
    voices=(Voice("Ann", 0.998, Outcome.NAMED, 12.5, _SPANS),),
)
_EVIDENCE = RecordingEvidence(
    recording="ann-3.flac",
    voices=(
        VoiceEvidence(
            singer="Ann",
            outcome=Outcome.NAMED,
            probability=0.998,
            seconds=12.5,
            spans=_SPANS,
            together=False,
            score=0.81,
            recordings=1,
            enrolled_s=12.0,
            matches=(Match("ann-1.flac", _SHA, Span(3.0, 9.0), Span(6.0, 12.0), 0.84, 0.79, 12.0),),
            runner_up=RunnerUp("Bob", 0.12, 0.69, 1000.0, "more than 1,000 times as likely as Bob"),
            caveats=("Only 12 s of Ann are enrolled.",),
        ),
    ),
)
_DECISION = Decision(
    "Eve",
    Deed.CONFIRM,
    VoiceKey(_SHA, 0),
    "song.flac",
    "Ann",
    {"encoder": _ENCODER, "singer": "Ann", "outcome": "worth a look", "probability": 0.93},
    _WHEN,
)
_ROW = rows.LibraryRow(1, "song.flac", _SHA, 14.0, 12.5, True, _ANSWER)
_GROUPS = rows.Groups(
    (
        rows.GroupRow(
            id=1,
            kept=False,
            name=None,
            recordings=2,
            seconds=25.0,
            clip=rows.GroupClip(2, 3.0, 11.0),
            likely=(LikelyName("Bob", "gallery", 0.12),),
            voices=(
                rows.GroupMember(2, "one.flac", 0, 12.5, False),
                rows.GroupMember(3, "two.flac", 0, 12.5, False),
            ),
        ),
    )
)
_JOB = rows.Job("4b5eb1e38035411b8ccdf0da5b42dd45", "identify", "concert.flac", "running", _WHEN, "listening", 3, 40)

ANSWERS: dict[str, Any] = {
    "Answer": _ANSWER,
    "Explained": rows.Explained(_ANSWER, _EVIDENCE),
    "Verification": Verification(
        first="ann-1.flac",
        second="ann-3.flac",
        same=True,
        score=0.78,
        probability=0.978,
        threshold=0.6,
        false_accept_rate=0.01,
        measured_on="249 speakers and 150 generated singers",
        fingerprint=_ENCODER,
    ),
    "About": rows.About(
        __version__,
        "default",
        NOTICE,
        True,
        ("read", "review"),
        rows.TellingLimits(500_000_000, 14_400.0, 600.0),
        2,
        1,
    ),
    "Enrolled": rows.Enrolled("Ann", True, _SHA, 2, ()),
    "SingerRow": rows.SingerRow("Ann", 2, 180.0),
    "SingerPage": rows.SingerPage(1, (rows.SingerRow("Ann", 2, 180.0),)),
    "SingerRecordings": rows.SingerRecordings("Ann", (rows.SingerRecording(_SHA, "ann-1.flac", 12.5, _SPANS, True),)),
    "Kept": rows.Kept(1, "song.flac", _SHA, "heard", _ANSWER),
    "LibraryPage": rows.LibraryPage(1, (_ROW,)),
    "LibraryRecording": rows.LibraryRecording(**_ROW.__dict__, voices=(rows.LibraryVoice(0, 12.5, _SPANS, _DECISION),)),
    "Found": rows.Found(
        (rows.FoundVoice(12.5, _SPANS, (rows.FoundRecording(2, "one.flac", 0, 0.97, 0.74, 12.5, _SPANS, False),)),)
    ),
    "Groups": _GROUPS,
    "NamedGroup": rows.NamedGroup(1, "Ann", rows.EnrolledVoices(2, 0, 0)),
    "ChangedGroup": rows.ChangedGroup(1, 2),
    "ReviewPage": rows.ReviewPage(
        1,
        (
            rows.ReviewRow(
                recording=1,
                name="song.flac",
                voice=0,
                seconds=12.5,
                spans=_SPANS,
                playable=True,
                why="perhaps Ann",
                said=Said(_ENCODER, "Ann", Outcome.WORTH_A_LOOK, 0.93, 2.6, "Bob", -6.1, _TERMS, 2),
                decided=None,
            ),
        ),
    ),
    "Decision": _DECISION,
    "Log": rows.Log((_DECISION,)),
    "Job": _JOB,
    "Jobs": rows.Jobs((replace(_JOB, state="done", stage="", done=0, steps=None), _JOB)),
    "Problem": rows.Problem(
        "TooShortError",
        422,
        "song.wav: is shorter than one second; use a longer recording.",
        "ffff763c1d1f4a55929e1b9f0505fcd3",
    ),
}
"""Answers by the names of their schemas."""

BODIES: dict[str, Any] = {
    "Renaming": {"name": "Ann", "to": "Anna"},
    "Merging": {"name": "Anne", "into": "Ann"},
    "Naming": {"name": "Ann"},
    "Joining": {"into": 1},
    "Splitting": {"voices": [{"recording": 2, "voice": 0}]},
    "Deciding": {"recording": 1, "voice": 0, "decision": "somebody else", "singer": "Bob"},
}
"""Bodies of requests, likewise."""
