"""Routes: who sings, do two recordings have one singer, and what the service is."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from whosings import __version__
from whosings.answer import NOTICE, Answer, Verification
from whosings.service.asking import (
    FORM,
    AsJob,
    FalseAccepts,
    Recording,
    TheCaller,
    TheDesk,
    Top,
    answers,
    problems,
    said,
)
from whosings.service.desk import Ask, Kind
from whosings.service.gate import needs
from whosings.service.problems import Refusal
from whosings.service.rows import About, Explained, TellingLimits
from whosings.service.tokens import Scope

router = APIRouter()
READ = needs(Scope.READ)
LISTEN = needs(Scope.READ, listens=True)


@router.post(
    "/v1/identify",
    tags=["answers"],
    response_model=Answer,
    responses=answers(),
    dependencies=FORM,
    openapi_extra=LISTEN,
)
async def identify(
    desk: TheDesk,
    caller: TheCaller,
    file: Recording,
    top: Top = 5,
    false_accepts: FalseAccepts = None,
    job: AsJob = False,
) -> Response:
    """Say who sings a recording: as ``whosings identify --json`` does, with the notice."""
    async with desk.received(file.file, file.filename) as upload:
        ask = Ask(Kind.IDENTIFY, top, false_accepts)
        return said(await desk.ask(caller.name, ask, upload, job))


@router.post(
    "/v1/evidence",
    tags=["answers"],
    response_model=Explained,
    responses=answers(),
    dependencies=FORM,
    openapi_extra=LISTEN,
)
async def evidence(
    desk: TheDesk,
    caller: TheCaller,
    file: Recording,
    top: Top = 5,
    false_accepts: FalseAccepts = None,
    job: AsJob = False,
) -> Response:
    """Say who sings a recording, and what speaks for it: matching passages, the runner-up, caveats."""
    async with desk.received(file.file, file.filename) as upload:
        ask = Ask(Kind.EVIDENCE, top, false_accepts)
        return said(await desk.ask(caller.name, ask, upload, job))


@router.post(
    "/v1/verify",
    tags=["answers"],
    response_model=Verification,
    responses=problems(),
    dependencies=FORM,
    openapi_extra=LISTEN,
)
async def verify(desk: TheDesk, first: Recording, second: Recording, false_accepts: FalseAccepts = None) -> Response:
    """Say whether two recordings have one singer: as ``whosings verify --json`` does."""
    async with (
        desk.received(first.file, first.filename) as one,
        desk.received(second.file, second.filename) as other,
    ):
        left, right = await desk.heard_at_once(one), await desk.heard_at_once(other)
        found = await desk.listening.at_desk(desk.singers.verify, left.probe, right.probe, false_accepts)
        return said(found)


@router.get("/v1/about", tags=["service"], response_model=About, responses=problems())
async def about(desk: TheDesk, caller: TheCaller, request: Request) -> Response:
    """What the service is, what it takes, and what the caller may do; anybody may ask."""
    limits, may = desk.limits, caller.may
    told = TellingLimits(limits.upload_bytes, limits.duration_s, limits.answer_at_once_s)
    singers = recordings = None
    if Scope.READ in may:
        singers = await desk.listening.at_desk(desk.singers.count)
        recordings = await desk.listening.at_desk(desk.recordings.count)
    allowed = tuple(scope.value for scope in Scope if scope in may)
    encoder, needs_token = desk.listening.embedder.name, bool(request.app.state.needs_token)
    return said(About(__version__, encoder, NOTICE, needs_token, allowed, told, singers, recordings))


@router.get("/healthz", tags=["service"], response_class=PlainTextResponse, responses=problems())
async def healthz() -> PlainTextResponse:
    """Whether the process lives."""
    return PlainTextResponse("ok")


@router.get("/readyz", tags=["service"], response_class=PlainTextResponse, responses=problems())
async def readyz(desk: TheDesk) -> PlainTextResponse:
    """Whether requests are answered: not before the model is loaded, nor while the service stops."""
    if not desk.ready:
        raise Refusal(503, "NotReady", "The service is starting or stopping; ask again in a moment.", 1)
    return PlainTextResponse("ready")


@router.get("/metrics", tags=["service"], response_class=PlainTextResponse, responses=problems(), openapi_extra=READ)
async def metrics(desk: TheDesk) -> Response:
    """Numbers for Prometheus."""
    found = await desk.listening.at_desk(desk.telemetry.metrics)
    return Response(found, media_type="text/plain; version=0.0.4; charset=utf-8")
