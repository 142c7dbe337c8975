"""A client of a service: every route as a method, answers as the same objects that the package itself returns.

>>> from whosings.service.client import Client
>>> with Client("http://127.0.0.1:8765") as client:           # doctest: +SKIP
...     answer = client.identify("song.mp3")
...     print(answer.verdict, answer.top[0].singer, answer.notice)

It needs httpx2 (``pip install 'whosings[client]'``), and loads nothing that listens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar, overload
from urllib.parse import quote

from whosings.answer import Answer, Verification
from whosings.files import atomic
from whosings.library.decision_rows import Decision
from whosings.service import rows
from whosings.service.client_http import Line, Patience, SentFile, ServiceError, made_of, read

T = TypeVar("T")
Told = Callable[[rows.Job], object]
"""Is told how far a job is."""

_PAGE = 500  # most that a service tells at once
Outcome = Literal["named", "worth a look", "unknown", "no vocals"]
Verdict = Literal["confirm", "reject", "somebody else", "not sung"]


class Client:
    """A service, to be asked; close it at the end, or use ``with``.

    All methods raise ``ServiceError`` where the service refuses, with its sentence and the status, and
    ``UnreachableError`` where it does not answer. One client may be used by several threads.

    Args:
        address: as ``http://127.0.0.1:8765``.
        token: of ``whosings serve --add-token``, where the service asks for one.
        timeout_s: seconds without a byte after which a request is given up.
        retries: how often a request is sent again where the service is busy. One that changes something is sent again
            only where the service says that it has done nothing.
        most_wait_s: seconds that are waited for that, together.

    Raises:
        MissingExtraError: httpx2 is not installed.
        ConfigError: the address is none.
    """

    def __init__(
        self,
        address: str,
        token: str | None = None,
        timeout_s: float = 600.0,
        retries: int = 3,
        most_wait_s: float = 120.0,
    ) -> None:
        self._line = Line(address, token, Patience(timeout_s, retries, most_wait_s))

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._line.close()

    # ------------------------------------------------------------------ answers

    @overload
    def identify(
        self, file: SentFile, top: int = 5, false_accepts: float | None = None, *, wait: Literal[True] = True
    ) -> Answer: ...
    @overload
    def identify(
        self, file: SentFile, top: int = 5, false_accepts: float | None = None, *, wait: Literal[False]
    ) -> rows.Job: ...
    def identify(
        self, file: SentFile, top: int = 5, false_accepts: float | None = None, *, wait: bool = True
    ) -> Answer | rows.Job:
        """Who sings a recording.

        Args:
            wait: for the answer, however long the recording is; False makes a job of it at once.
        """
        query = {"top": top, "false_accepts": false_accepts}
        return self._asked("/v1/identify", Answer, {"file": file}, query, wait)

    @overload
    def evidence(
        self, file: SentFile, top: int = 5, false_accepts: float | None = None, *, wait: Literal[True] = True
    ) -> rows.Explained: ...
    @overload
    def evidence(
        self, file: SentFile, top: int = 5, false_accepts: float | None = None, *, wait: Literal[False]
    ) -> rows.Job: ...
    def evidence(
        self, file: SentFile, top: int = 5, false_accepts: float | None = None, *, wait: bool = True
    ) -> rows.Explained | rows.Job:
        """Who sings a recording, and what speaks for it. See ``identify``."""
        query = {"top": top, "false_accepts": false_accepts}
        return self._asked("/v1/evidence", rows.Explained, {"file": file}, query, wait)

    def verify(self, first: SentFile, second: SentFile, false_accepts: float | None = None) -> Verification:
        """Whether two recordings have one singer."""
        files = {"first": first, "second": second}
        return read(Verification, self._line.ask("POST", "/v1/verify", {"false_accepts": false_accepts}, files).content)

    # ------------------------------------------------------------------ singers

    @overload
    def enrol(
        self, singer: str, file: SentFile, keep: bool = False, *, wait: Literal[True] = True
    ) -> rows.Enrolled: ...
    @overload
    def enrol(self, singer: str, file: SentFile, keep: bool = False, *, wait: Literal[False]) -> rows.Job: ...
    def enrol(self, singer: str, file: SentFile, keep: bool = False, *, wait: bool = True) -> rows.Enrolled | rows.Job:
        """Add a recording of a singer.

        Args:
            keep: its sound, too, so that it can be played as evidence.
            wait: see ``identify``.
        """
        form = {"singer": singer, "keep": keep}
        return self._asked("/v1/enrol", rows.Enrolled, {"file": file}, {}, wait, form)

    def singers(self, q: str = "") -> Iterator[rows.SingerRow]:
        """Enrolled singers by name.

        Args:
            q: a text in their names, whatever the case.
        """
        return self._all("/v1/singers", {"q": q}, rows.SingerPage, lambda page: page.singers)

    def remove_singer(self, name: str) -> None:
        """Forget a singer, with all recordings."""
        self._line.ask("DELETE", "/v1/singers", {"name": name}, changes=True)

    def singer_recordings(self, name: str) -> rows.SingerRecordings:
        """What is enrolled of a singer."""
        return self._got(rows.SingerRecordings, "/v1/singers/recordings", {"name": name})

    def remove_singer_recording(self, name: str, sha256: str) -> None:
        """Forget a recording of a singer, and the singer with the last one."""
        self._line.ask("DELETE", "/v1/singers/recordings", {"name": name, "sha256": sha256}, changes=True)

    def singer_clip(self, name: str, sha256: str, start_s: float, stop_s: float) -> bytes:
        """A few seconds of an enrolled recording around a passage, as FLAC."""
        query = {"name": name, "sha256": sha256, "start_s": start_s, "stop_s": stop_s}
        return self._line.ask("GET", "/v1/singers/clip", query).content

    def rename_singer(self, name: str, to: str) -> rows.SingerRow:
        """Give a singer another name."""
        return self._done(rows.SingerRow, "/v1/singers/rename", {"name": name, "to": to})

    def merge_singers(self, name: str, into: str) -> rows.SingerRow:
        """Give all recordings of one singer to another."""
        return self._done(rows.SingerRow, "/v1/singers/merge", {"name": name, "into": into})

    # ------------------------------------------------------------------ library

    @overload
    def add_recording(self, file: SentFile, keep_audio: bool = True, *, wait: Literal[True] = True) -> rows.Kept: ...
    @overload
    def add_recording(self, file: SentFile, keep_audio: bool = True, *, wait: Literal[False]) -> rows.Job: ...
    def add_recording(self, file: SentFile, keep_audio: bool = True, *, wait: bool = True) -> rows.Kept | rows.Job:
        """Keep what is heard of a recording in the library.

        Args:
            keep_audio: its sound, too, so that it can be played.
            wait: see ``identify``.
        """
        return self._asked("/v1/library", rows.Kept, {"file": file}, {}, wait, {"keep_audio": keep_audio})

    def library(
        self, q: str = "", singer: str | None = None, outcome: Outcome | None = None
    ) -> Iterator[rows.LibraryRow]:
        """Recordings of the library, and who sings them by the gallery as it is now.

        Args:
            q: a text in the file's name, whatever the case.
            singer: who is named or worth a look in them.
            outcome: of the best of their voices.
        """
        query = {"q": q, "singer": singer, "outcome": outcome}
        return self._all("/v1/library", query, rows.LibraryPage, lambda page: page.recordings)

    def recording(self, id: int) -> rows.LibraryRecording:
        """A recording with its voices and what was decided on them."""
        return self._got(rows.LibraryRecording, f"/v1/library/recordings/{id}")

    def remove_recording(self, id: int) -> None:
        """Forget a recording, and its sound if the service kept it."""
        self._line.ask("DELETE", f"/v1/library/recordings/{id}", changes=True)

    def recording_audio(self, id: int, path: str | Path) -> None:
        """Write a recording's sound into a file, as it was sent.

        Raises:
            OSError: the file cannot be written.
        """

        streamed = self._line.streamed(f"/v1/library/recordings/{id}/audio")
        with streamed as response, atomic(path) as beside, beside.open("wb") as file:
            for piece in response.iter_bytes():
                file.write(piece)

    def recording_clip(self, id: int, start_s: float, stop_s: float) -> bytes:
        """A few seconds of a recording around a passage, as FLAC."""
        query = {"start_s": start_s, "stop_s": stop_s}
        return self._line.ask("GET", f"/v1/library/recordings/{id}/clip", query).content

    def search(
        self, singer: str | None = None, recording: int | None = None, voice: int = 0, top: int = 20
    ) -> rows.Found:
        """Recordings in which an enrolled singer, or a voice of a recording, may sing. Give one of the two."""
        query = {"singer": singer, "recording": recording, "voice": voice, "top": top}
        return self._got(rows.Found, "/v1/library/search", query)

    def search_with(
        self, file: SentFile, from_s: float | None = None, to_s: float | None = None, top: int = 20
    ) -> rows.Found:
        """Recordings in which the voices of a file may sing; it is not kept.

        Args:
            from_s, to_s: seconds of the file between which a voice has to sing.
        """
        query = {"from_s": from_s, "to_s": to_s, "top": top}
        return read(rows.Found, self._line.ask("POST", "/v1/library/search", query, {"file": file}).content)

    # ------------------------------------------------------------------ groups and review

    def groups(self) -> rows.Groups:
        """Voices that nobody has named, by singer, as they were grouped last."""
        return self._got(rows.Groups, "/v1/library/groups")

    @overload
    def group_anew(self, *, wait: Literal[True] = True) -> rows.Groups: ...
    @overload
    def group_anew(self, *, wait: Literal[False]) -> rows.Job: ...
    def group_anew(self, *, wait: bool = True) -> rows.Groups | rows.Job:
        """Group the voices that nobody has named anew."""
        job = read(rows.Job, self._line.ask("POST", "/v1/library/groups", changes=True).content)
        return made_of(rows.Groups, self.wait(job).result) if wait else job

    def name_group(self, id: int, name: str, by: str | None = None) -> rows.NamedGroup:
        """Say who sings in a group, and enrol its voices.

        Args:
            by: who says so, where the service asks for no tokens.
        """
        return self._done(rows.NamedGroup, f"/v1/library/groups/{id}/name", {"name": name, "by": by})

    def merge_group(self, id: int, into: int, by: str | None = None) -> rows.ChangedGroup:
        """Say that two groups are one singer's. See ``name_group``."""
        return self._done(rows.ChangedGroup, f"/v1/library/groups/{id}/merge", {"into": into, "by": by})

    def split_group(self, id: int, voices: Iterable[tuple[int, int]], by: str | None = None) -> rows.ChangedGroup:
        """Say that voices are not the singer of a group.

        Args:
            voices: recording and voice of each.
            by: see ``name_group``.
        """
        out = [{"recording": recording, "voice": voice} for recording, voice in voices]
        return self._done(rows.ChangedGroup, f"/v1/library/groups/{id}/split", {"voices": out, "by": by})

    def review(self, decided: bool = False) -> Iterator[rows.ReviewRow]:
        """What is worth a person's look.

        Args:
            decided: also what somebody decided on.
        """
        return self._all("/v1/review", {"decided": decided}, rows.ReviewPage, lambda page: page.items)

    def decide(
        self, recording: int, voice: int, decision: Verdict, singer: str | None = None, by: str | None = None
    ) -> Decision:
        """Write into the log what somebody decided on a voice.

        Args:
            singer: who sings, for ``somebody else``.
            by: see ``name_group``.
        """
        plain = {"recording": recording, "voice": voice, "decision": decision, "singer": singer, "by": by}
        return self._done(Decision, "/v1/review", plain)

    def log(self) -> rows.Log:
        """All decisions."""
        return self._got(rows.Log, "/v1/review/log")

    # ------------------------------------------------------------------ jobs

    def jobs(self) -> tuple[rows.Job, ...]:
        """The caller's jobs, the newest first, without their results."""
        return self._got(rows.Jobs, "/v1/jobs").jobs

    def job(self, id: str) -> rows.Job:
        """A job, with its result once it is done."""
        return self._got(rows.Job, f"/v1/jobs/{_quoted(id)}")

    def remove_job(self, id: str) -> None:
        """Take a job back, or forget its result."""
        self._line.ask("DELETE", f"/v1/jobs/{_quoted(id)}", changes=True)

    def job_events(self, id: str) -> Iterator[rows.Job]:
        """A job each time that it got further, the last time as done or failed.

        A stream that breaks is taken up again, for ``most_wait_s`` seconds without the service.
        """
        for event in self._line.events(f"/v1/jobs/{_quoted(id)}/events"):
            job = read(rows.Job, event.data.encode())
            yield job
            if event.name in ("done", "failed"):
                return

    def wait(self, job: rows.Job | str, told: Told | None = None) -> rows.Job:
        """A job that is done, with its result as plain values.

        Args:
            job: or its id.
            told: is told how far it is.

        Raises:
            ServiceError: the job failed, or somebody took it back.
        """
        for found in self.job_events(job if isinstance(job, str) else job.id):
            if told is not None:
                told(found)
            if found.error is not None:
                raise ServiceError.of(found.error)
        return found

    # ------------------------------------------------------------------ the service

    def about(self) -> rows.About:
        """What the service is, what it takes, and what the caller may do."""
        return self._got(rows.About, "/v1/about")

    def healthz(self) -> str:
        """``ok``, if the process lives."""
        return self._line.ask("GET", "/healthz").text

    def readyz(self) -> str:
        """``ready``, if requests are answered."""
        return self._line.ask("GET", "/readyz").text

    def metrics(self) -> str:
        """Numbers in the format of Prometheus."""
        return self._line.ask("GET", "/metrics").text

    # ------------------------------------------------------------------ inside

    def _got(self, kind: type[T], path: str, query: Mapping[str, Any] | None = None) -> T:
        return read(kind, self._line.ask("GET", path, query).content)

    def _done(self, kind: type[T], path: str, plain: Mapping[str, Any]) -> T:
        return read(kind, self._line.ask("POST", path, plain=plain, changes=True).content)

    def _all(
        self, path: str, query: Mapping[str, Any], kind: type[T], rows_of: Callable[[T], tuple[Any, ...]]
    ) -> Iterator[Any]:
        """Rows of a list, which the service tells a page at a time."""
        offset = 0
        while True:
            found = rows_of(self._got(kind, path, {**query, "offset": offset, "limit": _PAGE}))
            yield from found
            offset += len(found)
            if len(found) < _PAGE:
                return

    def _asked(
        self,
        path: str,
        kind: type[T],
        files: Mapping[str, SentFile],
        query: Mapping[str, Any],
        wait: bool,
        form: Mapping[str, Any] | None = None,
    ) -> T | rows.Job:
        """What a question with a recording gives: its answer, or the job where nobody waits."""
        changes = form is not None or not wait
        response = self._line.ask("POST", path, {**query, "job": not wait}, files, form, changes=changes)
        if response.status_code != 202:
            return read(kind, response.content)
        job = read(rows.Job, response.content)
        return made_of(kind, self.wait(job).result) if wait else job


def _quoted(id: str) -> str:
    return quote(id, safe="")
