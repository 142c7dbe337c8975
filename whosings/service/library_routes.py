"""Routes: the library, search by voice, groups, review."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Path, Query, Response
from fastapi.responses import FileResponse
from pydantic import Field, model_validator

from whosings.library.decision_rows import Decision, Deed
from whosings.service import rows
from whosings.service.asking import (
    FORM,
    MOST_ID,
    AsJob,
    Flag,
    Limit,
    NewName,
    Number,
    Offset,
    Recording,
    Seconds,
    SomeSeconds,
    SomeText,
    TheCaller,
    TheDesk,
    answers,
    problems,
    said,
    sounds,
)
from whosings.service.desk import Ask, Kind
from whosings.service.document import ANY_KIND, SOUND_KINDS
from whosings.service.gate import needs
from whosings.service.problems import Refusal
from whosings.service.tokens import Caller, Scope
from whosings.settings import Strict
from whosings.spans import Span

router = APIRouter()
_READ, _REVIEW = needs(Scope.READ), needs(Scope.REVIEW)
_WHOLE = sounds(*sorted({*SOUND_KINDS.values(), ANY_KIND}))
_Id = Annotated[int, Path(ge=0, le=MOST_ID)]
_SomeSinger = Annotated[str | None, Query(max_length=500, description="A singer's name.")]
_Outcome = Annotated[
    Literal["named", "worth a look", "unknown", "no vocals"] | None, Query(description="Of the best of its voices.")
]
_Most = Annotated[int, Query(ge=1, le=500, description="Number of recordings of each voice.")]
_Who = Annotated[str | None, Field(max_length=200, description="Who decides, where the service knows no tokens.")]
_UNNAMED = "somebody at this machine"


class Naming(Strict):
    """The singer of a group."""

    name: NewName
    by: _Who = None


class Joining(Strict):
    """The group that gets another one's voices."""

    into: Number
    by: _Who = None


class VoiceOf(Strict):
    """A voice of a recording, counted from 0."""

    recording: Number
    voice: Number


class Splitting(Strict):
    """Voices that are not the singer of a group."""

    voices: Annotated[list[VoiceOf], Field(min_length=1, max_length=1000)]
    by: _Who = None


class Deciding(Strict):
    """What somebody decided on a voice; ``singer`` is who sings, for ``somebody else``."""

    recording: Number
    voice: Number = 0
    decision: Literal["confirm", "reject", "somebody else", "not sung"]
    singer: NewName | None = None
    by: _Who = None

    @model_validator(mode="after")
    def _names_who_sings(self) -> Deciding:
        if (self.singer is not None) != (self.decision == "somebody else"):
            needs = "needs the singer's name" if self.singer is None else "takes no singer's name"
            raise ValueError(f"{self.decision} {needs}")
        return self


def _who(caller: Caller, by: str | None) -> str:
    """Who decides: the token's name, which nobody can choose, or what is given where there are no tokens."""
    return caller.name or (by or "").strip() or _UNNAMED


@router.post(
    "/v1/library",
    tags=["library"],
    response_model=rows.Kept,
    responses=answers(),
    dependencies=FORM,
    openapi_extra=needs(Scope.REVIEW, listens=True),
)
async def add_recording(
    desk: TheDesk,
    caller: TheCaller,
    file: Recording,
    keep_audio: Annotated[Flag, Form(description="Keep the sound, so that it can be played.")] = True,
    job: AsJob = False,
) -> Response:
    """Keep what is heard of a recording in the library, and its sound."""
    async with desk.received(file.file, file.filename) as upload:
        ask = Ask(Kind.LIBRARY, keep=keep_audio)
        return said(await desk.ask(caller.name, ask, upload, job))


@router.get("/v1/library", tags=["library"], response_model=rows.LibraryPage, responses=problems(), openapi_extra=_READ)
async def library(
    desk: TheDesk,
    q: SomeText = "",
    singer: _SomeSinger = None,
    outcome: _Outcome = None,
    offset: Offset = 0,
    limit: Limit = 50,
) -> Response:
    """Recordings of the library, and who sings them by the gallery as it is now."""
    return said(await desk.listening.at_desk(desk.recordings.page, q, singer, outcome, offset, limit))


@router.get(
    "/v1/library/recordings/{id}",
    tags=["library"],
    response_model=rows.LibraryRecording,
    responses=problems(404),
    openapi_extra=_READ,
)
async def recording(desk: TheDesk, id: _Id) -> Response:
    """A recording with its voices and what was decided on them."""
    return said(await desk.listening.at_desk(desk.recordings.recording, id))


@router.delete(
    "/v1/library/recordings/{id}", tags=["library"], status_code=204, responses=problems(404), openapi_extra=_REVIEW
)
async def remove_recording(desk: TheDesk, id: _Id) -> Response:
    """Forget a recording, and its sound if the service kept it; the log of decisions stays."""
    await desk.listening.at_desk(desk.recordings.remove, id)
    return Response(status_code=204)


@router.get(
    "/v1/library/recordings/{id}/audio",
    tags=["library"],
    response_class=FileResponse,
    responses={**problems(404, 416), **_WHOLE, 206: {**_WHOLE[200], "description": "The part that ``Range`` names."}},
    openapi_extra=_READ,
)
async def recording_audio(desk: TheDesk, id: _Id) -> Response:
    """A recording's sound, as its file has it; parts of it by ``Range``."""
    path: FilePath = await desk.listening.at_desk(desk.recordings.file_of, id)
    kind = SOUND_KINDS.get(path.suffix.lower(), ANY_KIND)  # a stranger's ending decides no more than that
    return FileResponse(path, media_type=kind, headers={"Content-Security-Policy": "sandbox; default-src 'none'"})


@router.get(
    "/v1/library/recordings/{id}/clip",
    tags=["library"],
    response_class=Response,
    responses={**problems(404), **sounds()},
    openapi_extra=_READ,
)
async def recording_clip(desk: TheDesk, id: _Id, start_s: Seconds, stop_s: Seconds) -> Response:
    """A few seconds of a recording around a passage, as FLAC, levelled."""
    path = await desk.listening.at_desk(desk.recordings.file_of, id)
    content = await desk.listening.decoders.clip(path, path.name, Span(start_s, max(start_s, stop_s)))
    return Response(content, media_type="audio/flac")


@router.get(
    "/v1/library/search", tags=["search"], response_model=rows.Found, responses=problems(404), openapi_extra=_READ
)
async def search(
    desk: TheDesk,
    singer: _SomeSinger = None,
    recording: Annotated[int | None, Query(ge=0, le=MOST_ID)] = None,
    voice: Annotated[int, Query(ge=0, le=MOST_ID, description="Counted from 0.")] = 0,
    top: _Most = 20,
) -> Response:
    """Recordings in which an enrolled singer, or a voice of a recording, may sing, the likeliest first."""
    if (singer is None) == (recording is None):
        raise Refusal(422, "WhatToFind", "Name a singer or a recording, and not both.")
    if singer is not None:
        return said(await desk.listening.at_desk(desk.recordings.find_singer, singer, top))
    return said(await desk.listening.at_desk(desk.recordings.find_voice, recording or 0, voice, top))


@router.post(
    "/v1/library/search",
    tags=["search"],
    response_model=rows.Found,
    responses=problems(),
    dependencies=FORM,
    openapi_extra=needs(Scope.READ, listens=True),
)
async def search_with(
    desk: TheDesk, file: Recording, from_s: SomeSeconds = None, to_s: SomeSeconds = None, top: _Most = 20
) -> Response:
    """Recordings in which the voices of an upload may sing; it is not kept."""
    async with desk.received(file.file, file.filename) as upload:
        heard = await desk.heard_at_once(upload)
        found = await desk.listening.at_desk(desk.recordings.find_heard, heard.track, from_s, to_s, top)
        return said(found)


@router.get(
    "/v1/library/groups", tags=["groups"], response_model=rows.Groups, responses=problems(), openapi_extra=_READ
)
async def groups(desk: TheDesk) -> Response:
    """Voices that nobody has named, by singer, as they were grouped last."""
    return said(await desk.listening.at_desk(desk.recordings.groups))


@router.post(
    "/v1/library/groups",
    tags=["groups"],
    status_code=202,
    response_model=rows.Job,
    responses=problems(429),
    openapi_extra=_REVIEW,
)
async def group_anew(desk: TheDesk, caller: TheCaller) -> Response:
    """Group the voices that nobody has named anew: a job."""
    return said(desk.group_anew(caller.name))


@router.post(
    "/v1/library/groups/{id}/name",
    tags=["groups"],
    response_model=rows.NamedGroup,
    responses=problems(404),
    openapi_extra=_REVIEW,
)
async def name_group(desk: TheDesk, caller: TheCaller, id: _Id, naming: Naming) -> Response:
    """Say who sings in a group, and enrol its voices; for this, a token must allow to enrol, too."""
    if Scope.ENROL not in caller.may:
        raise Refusal(403, "NotAllowed", f"The token of {caller.name} does not allow to enrol.")
    who = _who(caller, naming.by)
    return said(await desk.listening.at_desk(desk.recordings.name_group, id, naming.name, who))


@router.post(
    "/v1/library/groups/{id}/merge",
    tags=["groups"],
    response_model=rows.ChangedGroup,
    responses=problems(404, 409),
    openapi_extra=_REVIEW,
)
async def merge_group(desk: TheDesk, caller: TheCaller, id: _Id, joining: Joining) -> Response:
    """Say that two groups are one singer's."""
    who = _who(caller, joining.by)
    return said(await desk.listening.at_desk(desk.recordings.merge_groups, id, joining.into, who))


@router.post(
    "/v1/library/groups/{id}/split",
    tags=["groups"],
    response_model=rows.ChangedGroup,
    responses=problems(404, 409),
    openapi_extra=_REVIEW,
)
async def split_group(desk: TheDesk, caller: TheCaller, id: _Id, splitting: Splitting) -> Response:
    """Say that voices are not the singer of a group."""
    who = _who(caller, splitting.by)
    out = [(one.recording, one.voice) for one in splitting.voices]
    return said(await desk.listening.at_desk(desk.recordings.split_group, id, out, who))


@router.get("/v1/review", tags=["review"], response_model=rows.ReviewPage, responses=problems(), openapi_extra=_READ)
async def review(
    desk: TheDesk,
    decided: Annotated[Flag, Query(description="Also what somebody decided on.")] = False,
    offset: Offset = 0,
    limit: Limit = 50,
) -> Response:
    """What is worth a person's look."""
    return said(await desk.listening.at_desk(desk.recordings.review, decided, offset, limit))


@router.post(
    "/v1/review", tags=["review"], response_model=Decision, responses=problems(404, 409), openapi_extra=_REVIEW
)
async def decide(desk: TheDesk, caller: TheCaller, deciding: Deciding) -> Response:
    """Write into the log what somebody decided on a voice, with what the model says of it now."""
    made, who = deciding, _who(caller, deciding.by)
    decide = desk.recordings.decide
    return said(await desk.listening.at_desk(decide, made.recording, made.voice, Deed(made.decision), made.singer, who))


@router.get("/v1/review/log", tags=["review"], response_model=rows.Log, responses=problems(), openapi_extra=_READ)
async def log(desk: TheDesk) -> Response:
    """All decisions: who decided what and when, and what the model said by then."""
    return said(await desk.listening.at_desk(desk.recordings.log))
