"""Routes: jobs, and how far they are as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from whosings.console import json_text
from whosings.service.asking import TheCaller, TheDesk, problems, said
from whosings.service.gate import needs
from whosings.service.problems import Refusal
from whosings.service.rows import Job, Jobs
from whosings.service.tokens import Scope

router = APIRouter(tags=["jobs"])
_READ = needs(Scope.READ)
_ALIVE_S = 15.0  # between two signs of life
_ENDED = ("done", "failed")
_EVENT = {
    "type": "object",
    "description": "One event; there is one after another.",
    "properties": {
        "event": {"type": "string", "enum": ["progress", *_ENDED]},
        "id": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/Job"},
        },
    },
    "required": ["event", "id", "data"],
}
_Id = Annotated[str, Path(max_length=100)]


@router.get("/v1/jobs", response_model=Jobs, responses=problems(), openapi_extra=_READ)
async def jobs(desk: TheDesk, caller: TheCaller) -> Response:
    """The caller's jobs, the newest first, without their results."""
    return said(desk.jobs.jobs(caller.name))


@router.get("/v1/jobs/{id}", response_model=Job, responses=problems(404), openapi_extra=_READ)
async def job(desk: TheDesk, caller: TheCaller, id: _Id) -> Response:
    """A job, with its result once it is done."""
    found = desk.jobs.job(caller.name, id)
    return Response(json_text(found), media_type="application/json")


@router.delete("/v1/jobs/{id}", status_code=204, responses=problems(404), openapi_extra=_READ)
async def remove_job(desk: TheDesk, caller: TheCaller, id: _Id) -> Response:
    """Take a job back, or forget its result."""
    desk.jobs.remove(caller.name, id)
    return Response(status_code=204)


@router.get(
    "/v1/jobs/{id}/events",
    response_class=StreamingResponse,
    responses={**problems(404), 200: {"content": {"text/event-stream": {"schema": _EVENT}}}},
    openapi_extra=_READ,
)
async def job_events(desk: TheDesk, caller: TheCaller, id: _Id) -> StreamingResponse:
    """How far a job is, as server-sent events: ``progress``, and at last ``done`` or ``failed``, each with the job.

    Each event tells everything, so that a stream that broke is resumed by asking again.
    """
    desk.jobs.job(caller.name, id)

    async def told() -> AsyncIterator[bytes]:
        number, before = 0, None
        while True:
            try:
                found = desk.jobs.job(caller.name, id)
            except Refusal:
                return  # somebody took it back
            if found != before:
                number, before = number + 1, found
                name = found.state if found.state in _ENDED else "progress"
                yield format_sse_event(data_str=json_text(found), event=name, id=str(number))
            else:
                yield KEEPALIVE_COMMENT
            if found.state in _ENDED or not await desk.jobs.change(id, _ALIVE_S):
                return

    return StreamingResponse(told(), media_type="text/event-stream")
