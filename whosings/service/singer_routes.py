"""Routes: enrolled singers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Response
from pydantic import Field

from whosings.service.asking import (
    FORM,
    AsJob,
    Flag,
    Limit,
    NewName,
    Offset,
    Recording,
    Seconds,
    Sha256,
    SingerField,
    SingerQuery,
    SomeText,
    TheCaller,
    TheDesk,
    answers,
    problems,
    said,
    sounds,
)
from whosings.service.desk import Ask, Kind
from whosings.service.gate import needs
from whosings.service.rows import Enrolled, SingerPage, SingerRecordings, SingerRow
from whosings.service.singers import clean_name
from whosings.service.tokens import Scope
from whosings.settings import Strict
from whosings.spans import Span

router = APIRouter(tags=["singers"])
_READ, _ENROL = needs(Scope.READ), needs(Scope.ENROL)
_Name = Annotated[str, Field(max_length=500, examples=["Ann"])]


class Renaming(Strict):
    """A singer's name, and the new one."""

    name: _Name
    to: NewName


class Merging(Strict):
    """A singer whose recordings another one gets."""

    name: _Name
    into: _Name


@router.post(
    "/v1/enrol",
    response_model=Enrolled,
    responses=answers(),
    dependencies=FORM,
    openapi_extra=needs(Scope.ENROL, listens=True),
)
async def enrol(
    desk: TheDesk,
    caller: TheCaller,
    singer: SingerField,
    file: Recording,
    keep: Annotated[Flag, Form(description="Keep the sound, so that it can be played as evidence.")] = False,
    job: AsJob = False,
) -> Response:
    """Add a recording of a singer. Its sound is not kept unless that is asked for."""
    clean_name(singer)  # before anything is listened to
    async with desk.received(file.file, file.filename) as upload:
        ask = Ask(Kind.ENROL, singer=singer, keep=keep)
        return said(await desk.ask(caller.name, ask, upload, job))


@router.get("/v1/singers", response_model=SingerPage, responses=problems(), openapi_extra=_READ)
async def singers(desk: TheDesk, q: SomeText = "", offset: Offset = 0, limit: Limit = 100) -> Response:
    """Who is enrolled, by name."""
    return said(await desk.listening.at_desk(desk.singers.page, q, offset, limit))


@router.delete("/v1/singers", status_code=204, responses=problems(404), openapi_extra=_ENROL)
async def remove_singer(desk: TheDesk, name: SingerQuery) -> Response:
    """Forget a singer: recordings, voice, what was fitted and measured with them, sounds kept for them, job results."""
    spelt = await desk.listening.at_desk(desk.singers.remove, name)
    desk.jobs.forget_results_with(spelt)
    return Response(status_code=204)


@router.get("/v1/singers/recordings", response_model=SingerRecordings, responses=problems(404), openapi_extra=_READ)
async def singer_recordings(desk: TheDesk, name: SingerQuery) -> Response:
    """What is enrolled of a singer."""
    return said(await desk.listening.at_desk(desk.singers.recordings, name))


@router.delete("/v1/singers/recordings", status_code=204, responses=problems(404), openapi_extra=_ENROL)
async def remove_singer_recording(desk: TheDesk, name: SingerQuery, sha256: Sha256) -> Response:
    """Forget a recording of a singer, and the singer with the last one."""
    await desk.listening.at_desk(desk.singers.remove_recording, name, sha256)
    return Response(status_code=204)


@router.get(
    "/v1/singers/clip",
    response_class=Response,
    responses={**problems(404), **sounds()},
    openapi_extra=_READ,
)
async def singer_clip(desk: TheDesk, name: SingerQuery, sha256: Sha256, start_s: Seconds, stop_s: Seconds) -> Response:
    """A few seconds of an enrolled recording around a passage, as FLAC, levelled."""
    path = await desk.listening.at_desk(desk.singers.file_of, name, sha256)
    content = await desk.listening.decoders.clip(path, path.name, Span(start_s, max(start_s, stop_s)))
    return Response(content, media_type="audio/flac")


@router.post("/v1/singers/rename", response_model=SingerRow, responses=problems(404, 409), openapi_extra=_ENROL)
async def rename_singer(desk: TheDesk, renaming: Renaming) -> Response:
    """Give a singer another name."""
    return said(await desk.listening.at_desk(desk.singers.rename, renaming.name, renaming.to))


@router.post("/v1/singers/merge", response_model=SingerRow, responses=problems(404, 409), openapi_extra=_ENROL)
async def merge_singers(desk: TheDesk, merging: Merging) -> Response:
    """Give all recordings of one singer to another."""
    return said(await desk.listening.at_desk(desk.singers.merge, merging.name, merging.into))
