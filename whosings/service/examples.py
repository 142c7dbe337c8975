"""Examples for OpenAPI, made of the objects themselves."""

from __future__ import annotations

import json
from typing import Any

from whosings.answer import Answer, Candidate, Outcome, Terms, TimelineSegment, Verdict, Verification, Voice
from whosings.console import json_text
from whosings.spans import Span


def _response(value: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": json.loads(json_text(value))}}}}


ANSWER = _response(
    Answer(
        track_id="ann-3.flac",
        verdict=Verdict.SINGER,
        top=(Candidate("Ann", 0.81, 0.998, 1.0), Candidate("Bob", 0.12, 0.001, 0.0)),
        unknown_probability=0.001,
        timeline=(TimelineSegment(0.0, 12.5, "Ann", 0.998),),
        duration_s=14.0,
        vocal_s=12.5,
        short=False,
        fingerprint="5e2c0f3ab1d4",
        terms=Terms(0.01, "on the model's calibration set", 4.4, 1.2),
        voices=(Voice("Ann", 0.998, Outcome.NAMED, 12.5, (Span(0.0, 12.5),)),),
    )
)
VERIFICATION = _response(
    Verification(
        first="ann-1.flac",
        second="ann-3.flac",
        same=True,
        score=0.78,
        probability=0.978,
        threshold=0.6,
        false_accept_rate=0.01,
        measured_on="249 speakers and 150 generated singers",
        fingerprint="5e2c0f3ab1d4",
    )
)
