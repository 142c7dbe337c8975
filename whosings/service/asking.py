"""What routes share: who asks, what they may be given, how they answer."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from fastapi import Depends, File, Form, Query, Request, UploadFile
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from whosings.console import json_text
from whosings.service.desk import Desk
from whosings.service.problems import MEDIA_TYPE, Refusal
from whosings.service.rows import Job
from whosings.service.singers import LONGEST_NAME
from whosings.service.tokens import Caller

_MOST_TOLD = 100  # letters of a name that a stranger chose
_MOST_S = 24 * 3600.0
MOST_ID = (1 << 53) - 1  # the largest whole number that every reader of JSON knows exactly

_FIT = r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0][^\x00-\x1f\x7f-\x9f]*$"  # what ``clean_name`` takes, nearly

_PROBLEMS = {
    400: "The request is not in the form that HTTP or this route asks for.",
    401: "A valid token is missing.",
    403: "The token, or the site that asks, may not do this.",
    404: "There is no such thing, or no longer.",
    408: "The request came too slowly.",
    409: "It cannot be done as things are.",
    413: "The upload is too large, or the recording too long.",
    415: "The body is no form of parts.",
    416: "The recording has no such bytes.",
    421: "The service is asked by a name of another machine.",
    422: "The recording or a value cannot be used.",
    431: "The address and the headers are too long.",
    429: "The caller has too many jobs that wait.",
    503: "The service has as much to do as it takes, or cannot use its files now.",
}
_MACHINE_READABLE: dict[str, Any] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Responses of a route besides its answer, for OpenAPI; what any route may say is included.

    ``document.completed`` takes out again what cannot come: of tokens where none is asked for, of bodies where none is.
    """
    told = sorted({400, 401, 403, 408, 413, 415, 421, 422, 431, 503, *statuses})
    return {status: {"description": _PROBLEMS[status], "content": _MACHINE_READABLE} for status in told}


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Responses of a route that may make a job of what is asked."""
    job: dict[int | str, dict[str, Any]] = {
        202: {"model": Job, "description": "It takes longer; this is the job that does it."}
    }
    return {**problems(409, 429, *statuses), **job}


def _desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _caller_of(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


def sounds(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """Responses of a route that answers with sound, for OpenAPI."""
    sound = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": "The sound.", "content": dict.fromkeys(kinds or ("audio/flac",), sound)}}


def _flag(given: object) -> object:
    if given in ("true", "false", True, False):
        return given
    raise ValueError("say true or false")


def _whole(given: object) -> object:
    if isinstance(given, bool | str):  # which pydantic would take for numbers
        raise ValueError("say a whole number")
    return given


async def _one_of_each(request: Request) -> None:
    """Refuse a form with two parts of one name, of which the route would take the last, or with an empty text."""
    parts = (await request.form()).multi_items()
    if empty := next((name for name, value in parts if value == ""), None):
        raise Refusal(
            422, "UnfitRequest", f"The form has {empty[:_MOST_TOLD]} without a value; give one, or leave it out."
        )
    names = [name for name, _ in parts]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Refusal(422, "UnfitRequest", f"The form has {twice[:_MOST_TOLD]} more than once; send one.")


FORM = [Depends(_one_of_each)]
"""Dependencies of a route that takes a form."""

TheDesk: TypeAlias = Annotated[Desk, Depends(_desk_of)]
TheCaller: TypeAlias = Annotated[Caller, Depends(_caller_of)]
Recording: TypeAlias = Annotated[UploadFile, File(description="A recording: WAV, FLAC, MP3, OGG, Opus, AIFF or M4A.")]
Top: TypeAlias = Annotated[int, Query(ge=1, le=50, description="Number of candidates.")]
FalseAccepts: TypeAlias = Annotated[
    float | None,
    Query(gt=0, lt=1, description="Share of strangers that may be given a name; 0.01 unless given.", examples=[0.01]),
]
Flag: TypeAlias = Annotated[bool, BeforeValidator(_flag)]
AsJob: TypeAlias = Annotated[Flag, Query(description="Answer with a job at once, whatever the length.")]
Offset: TypeAlias = Annotated[int, Query(ge=0, le=MOST_ID, description="How many to leave out.")]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=500, description="How many to tell at most.")]
SomeText: TypeAlias = Annotated[str, Query(max_length=500, description="A text in the name, whatever the case.")]
SingerQuery: TypeAlias = Annotated[str, Query(max_length=500, description="A singer's name.", examples=["Ann"])]
NewName: TypeAlias = Annotated[
    str,
    Field(
        max_length=LONGEST_NAME,
        description="A singer's name: a text in which something can be seen.",
        examples=["Ann"],
        json_schema_extra={"minLength": 1, "pattern": _FIT},
    ),
]
SingerField: TypeAlias = Annotated[NewName, Form()]
Sha256: TypeAlias = Annotated[str, Query(max_length=200, description="Of a recording's content.")]
Number: TypeAlias = Annotated[int, Field(ge=0, le=MOST_ID), BeforeValidator(_whole)]
Seconds: TypeAlias = Annotated[
    float, Query(ge=0, le=_MOST_S, allow_inf_nan=False, description="Seconds into the recording.")
]
SomeSeconds: TypeAlias = Annotated[
    float | None, Query(ge=0, le=_MOST_S, allow_inf_nan=False, description="Seconds into the recording.")
]


def said(result: Any, status: int = 200) -> Response:
    """A result as the command line prints it as JSON; a job with where to ask for it."""
    headers = None
    if isinstance(result, Job):
        status, headers = 202, {"Location": f"/v1/jobs/{result.id}"}
    return Response(json_text(result), status, headers, "application/json")
