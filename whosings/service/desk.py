"""Everything behind the routes of a service: what is asked with a recording, at once or as a job."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from starlette.exceptions import HTTPException

from whosings.errors import WhosingsError
from whosings.gallery import Gallery
from whosings.library.decisions import DecidedLibrary
from whosings.library.grouping import regroup
from whosings.progress import Progress
from whosings.service.decoders import LongError, too_long
from whosings.service.jobs import Course, JobQueue
from whosings.service.jobs_file import JobsError, StoredJob
from whosings.service.limits import Limits, Places
from whosings.service.listening import Heard, Listening, Upload
from whosings.service.names import safe_name
from whosings.service.problems import BUSY_S, Refusal, no_room, refusal_of
from whosings.service.recordings import Recordings
from whosings.service.rows import Groups, Job, Problem
from whosings.service.singers import Singers
from whosings.service.telemetry import Telemetry


class Kind(StrEnum):
    """What can be asked with a recording, and of the library as a whole."""

    IDENTIFY = "identify"
    EVIDENCE = "evidence"
    ENROL = "enrol"
    LIBRARY = "library"
    GROUPS = "groups"


@dataclass(frozen=True)
class Ask:
    """A question with a recording.

    Attributes:
        top, false_accepts: of an answer; see ``Identifier``.
        singer: who is enrolled.
        keep: the sound is to be kept.
    """

    kind: Kind
    top: int = 5
    false_accepts: float | None = None
    singer: str = ""
    keep: bool = False


class Desk:
    """A service without its routes; ``start`` it in an event loop, and ``stop`` it.

    Args:
        encoder, device: as of the command line.

    Raises:
        WhosingsError: encoder, gallery, library or jobs cannot be used.
    """

    def __init__(self, places: Places, limits: Limits, encoder: str, device: str, telemetry: Telemetry) -> None:
        self.places, self.limits, self.telemetry = places, limits, telemetry
        places.make()
        self.listening = Listening(places, limits, encoder, device)
        embedder, calibration = self.listening.embedder, self.listening.calibration
        self.singers = Singers(places, embedder, calibration)
        self.recordings = Recordings(places, self.singers, embedder, calibration)
        self.jobs = JobQueue(places, limits, self._work, self.problem_of)
        self.ready = False
        telemetry.gauge("whosings_jobs", "Jobs by state.", lambda: dict(self.jobs.lengths()), "state")
        died = self.listening.decoders
        telemetry.gauge("whosings_decoders_died", "Decoding processes that died.", lambda: {"": died.died})

    async def start(self) -> None:
        """Get ready to answer."""
        await self.listening.start()
        self.jobs.start()
        self.ready = True

    async def stop(self) -> None:
        """Finish what is being answered; a job that runs waits for the next start."""
        self.ready = False
        await self.jobs.stop()
        await asyncio.to_thread(self.listening.close)
        self.places.empty_work()
        self.recordings.close()
        self.singers.close()

    # ------------------------------------------------------------------ uploads

    @asynccontextmanager
    async def received(self, file: BinaryIO, name: str | None) -> AsyncIterator[Upload]:
        """An upload as a file, gone at the end unless somebody moved it.

        Args:
            file: open at its beginning.
            name: as its sender gives it.
        """
        upload = Upload(safe_name(name), self.places.work / uuid4().hex)
        try:
            await asyncio.to_thread(_copy, file, upload.path)
            yield upload
        except OSError as error:
            raise no_room(error) from error
        finally:
            upload.path.unlink(missing_ok=True)

    async def ask(self, owner: str, ask: Ask, upload: Upload, as_job: bool) -> Any:
        """What a question with a recording gives: its answer, or a ``Job`` where it takes long or that was asked for.

        Raises:
            AudioError: the recording cannot be used.
            Refusal: nobody is enrolled, or too many jobs wait.
        """
        if not as_job:
            try:
                heard = await self.heard(upload)
                return await self.listening.at_desk(self._reply, ask, heard, upload)
            except LongError:
                pass
        return self.jobs.add(owner, ask.kind.value, upload, {**ask.__dict__, "kind": ask.kind.value})

    async def heard(self, upload: Upload) -> Heard:
        """What is heard of an upload that is short enough to wait for.

        Raises:
            AudioError: it cannot be used.
            LongError: it is too long for a request.
        """
        heard = await self.listening.hear(upload, None, self.limits.answer_at_once_s)
        self.telemetry.heard(heard.decoded.duration_s)
        return heard

    async def heard_at_once(self, upload: Upload) -> Heard:
        """As ``heard``, where no job can answer.

        Raises:
            TooLongError: it is too long for a request.
        """
        try:
            return await self.heard(upload)
        except LongError:
            raise too_long(upload.name, self.limits.answer_at_once_s) from None

    def group_anew(self, owner: str) -> Job:
        """A job that groups the library's voices that nobody has named."""
        return self.jobs.add(owner, Kind.GROUPS.value, None, {})

    def _reply(self, ask: Ask, heard: Heard, upload: Upload) -> Any:
        decoded, keep = heard.decoded, upload.path if ask.keep else None
        if ask.kind is Kind.IDENTIFY:
            return self.singers.answer(heard.track, ask.top, ask.false_accepts)
        if ask.kind is Kind.EVIDENCE:
            return self.singers.explained(heard.track, heard.probe, ask.top, ask.false_accepts)
        if ask.kind is Kind.ENROL:
            return self.singers.enrol(ask.singer, heard.probe, decoded.sha256, keep)
        return self.recordings.add(heard.track, decoded, upload.path, ask.keep)

    # ------------------------------------------------------------------ jobs

    async def _work(self, job: StoredJob, upload: Upload | None, course: Course) -> Any:
        if upload is None:
            await self.listening.at_length(self._regroup, course)
            return await self.listening.at_desk(self.recordings.groups)
        course("decoding", 0)
        heard = await self.listening.hear(upload, _renamed(course))
        self.telemetry.heard(heard.decoded.duration_s)
        ask = Ask(**{**job.asked, "kind": Kind(job.kind)})
        return await self.listening.at_desk(self._reply, ask, heard, upload)

    def _regroup(self, course: Progress) -> Groups:
        """In a thread of its own, with connections of its own."""
        with DecidedLibrary(self.places.library) as library, Gallery(self.places.gallery) as gallery:
            if gallery.anybody():
                identifier = self.singers.identifier_of(gallery)
                regroup(library, self.listening.calibration, gallery.voices, identifier.terms, course)
            else:
                regroup(library, self.listening.calibration, progress=course)
        return Groups(())

    # ------------------------------------------------------------------ problems

    def problem_of(self, error: Exception) -> Problem:
        """An error as a client may see it."""
        if isinstance(error, WhosingsError):
            error = refusal_of(error)
        if isinstance(error, OSError):
            error = no_room(error)
        if isinstance(error, JobsError):
            error = Refusal(503, type(error).__name__, str(error), BUSY_S)
        if isinstance(error, HTTPException):
            title = error.title if isinstance(error, Refusal) else "Refused"
            return Problem(title, error.status_code, self.places.hidden(str(error.detail)))
        self.telemetry.write("fault", kind=type(error).__name__, where=str(error))
        return Problem("Fault", 500, "Something went wrong inside; tell who runs the service.")


def _renamed(course: Course) -> Progress:
    """Stages in words for people, without the recording's name."""

    def start(label: str, steps: int) -> Callable[[], None]:
        return course(label.split(" ", 1)[0], steps)

    return start


def _copy(file: BinaryIO, path: Path) -> None:
    with path.open("xb") as out:
        shutil.copyfileobj(file, out, 1 << 20)
