"""A service asked over HTTP: files on their way, problems as errors, requests that are sent again, events of jobs.

Conventions
-----------
- A request that changes nothing is sent again when the service says 429 or 503, after ``Retry-After``, or when the line
  breaks. One that changes something is sent again only when the service says that it has done nothing.
- httpx2 and pydantic are loaded when they are first needed: a program that imports the client starts as fast as before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from whosings.errors import ConfigError, MissingExtraError, WhosingsError
from whosings.service.rows import Problem

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")
SentFile = str | PathLike[str] | BinaryIO
"""A recording to send: its path, or a file that is open for reading bytes."""

_NOTHING_DONE = frozenset({"Busy", "TooManyJobs", "NotReady", "NoRoom", "Stopping"})
_COME_AGAIN = (429, 503)
_CONNECT_S, _STREAM_S = 10.0, 60.0  # a service gives a sign of life on a stream every 15 s
_PAUSE_S = 1.0  # before a request is sent again, unless the service says how long


class ServiceError(WhosingsError):
    """A service did not answer a request as asked.

    Args:
        status: of HTTP.
        title: the kind of problem, as ``TooShortError``.
        detail: one sentence for people.
        request_id: by which the service's log has it.
        retry_s: seconds after which the same request may succeed; None where that is not to be expected.
    """

    def __init__(
        self, status: int, title: str, detail: str, request_id: str = "", retry_s: float | None = None
    ) -> None:
        super().__init__(title, detail.rstrip("."), "")
        self.args = (detail,)
        self.status, self.title, self.detail = status, title, detail
        self.request_id, self.retry_s = request_id, retry_s

    def __reduce__(self) -> tuple[type[ServiceError], tuple[Any, ...]]:
        return (type(self), (self.status, self.title, self.detail, self.request_id, self.retry_s))

    @classmethod
    def of(cls, problem: Problem, retry_s: float | None = None) -> ServiceError:
        """What a problem says."""
        return cls(problem.status, problem.title, problem.detail, problem.request_id, retry_s)


class UnreachableError(WhosingsError):
    """A service does not answer at all, or the line broke."""


@dataclass(frozen=True)
class Patience:
    """How long a client waits.

    Attributes:
        timeout_s: seconds without a byte after which a request is given up.
        retries: how often a request is sent again at most.
        most_wait_s: seconds between tries of one request, together, and without a connection to a job's events.
    """

    timeout_s: float
    retries: int
    most_wait_s: float


class Line:
    """A connection to a service; ``close`` it.

    Args:
        address: as ``http://127.0.0.1:8765``; a path in it is put before every route's.
        token: sent with every request, if given.

    Raises:
        MissingExtraError: httpx2 is not installed.
        ConfigError: the address is none of HTTP.
    """

    def __init__(self, address: str, token: str | None, patience: Patience) -> None:
        MissingExtraError.require("httpx2", "the client of a service", "client")
        import httpx2

        if not address.startswith(("http://", "https://")):
            raise ConfigError(address, "is no address of a service", "give one as http://127.0.0.1:8765")
        self._address, self._patience = address, patience
        headers = {"Accept": "application/json, */*"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        timeout = httpx2.Timeout(patience.timeout_s, connect=min(_CONNECT_S, patience.timeout_s))
        try:
            self._http = httpx2.Client(base_url=address, headers=headers, timeout=timeout)
        except (httpx2.InvalidURL, ValueError) as error:
            raise ConfigError(address, f"cannot be used ({error})", "correct the address or the token") from error

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        files: Mapping[str, SentFile] | None = None,
        form: Mapping[str, Any] | None = None,
        plain: Mapping[str, Any] | None = None,
        changes: bool = False,
    ) -> httpx2.Response:
        """The response to a request that succeeded.

        Args:
            query: values that are None are left out.
            files: by the names of their parts; an open file is sent from its beginning.
            form: further parts.
            plain: a body that is JSON.
            changes: the request is not to be done twice.

        Raises:
            ServiceError: the service refused.
            UnreachableError: it does not answer.
            OSError: a file cannot be read.
        """
        import httpx2

        given = {name: value for name, value in (query or {}).items() if value is not None}
        waits = _Waits(self._patience, changes, _can_be_read_again(files))
        while True:
            try:
                with ExitStack() as opened:
                    parts = {name: _part(file, opened) for name, file in (files or {}).items()}
                    response = self._http.request(
                        method, path, params=given, files=parts or None, data=form, json=plain
                    )
                if response.is_success:
                    return response
                waits.before_next(error_of(response))
            except httpx2.TransportError as error:
                waits.before_next(self._unreachable(error))

    @contextmanager
    def streamed(self, path: str, headers: Mapping[str, str] | None = None) -> Iterator[httpx2.Response]:
        """The response to a GET, whose body comes piece by piece.

        Raises:
            ServiceError: the service refused.
            UnreachableError: it does not answer, or the line broke.
        """
        import httpx2

        patience = httpx2.Timeout(max(_STREAM_S, self._patience.timeout_s), connect=_CONNECT_S)
        try:
            with self._http.stream("GET", path, headers=headers, timeout=patience) as response:
                if not response.is_success:
                    response.read()
                    raise error_of(response)
                yield response
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error

    def events(self, path: str) -> Iterator[Event]:
        """Events of a stream, which is taken up again where it breaks, for as long as somebody wants more.

        Raises:
            ServiceError: the service refused.
            UnreachableError: it did not answer for ``most_wait_s`` seconds.
        """
        last, gone = "", None
        while True:
            try:
                with self.streamed(
                    path, {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
                ) as response:
                    for event in events_of(response.iter_lines()):
                        last, gone = event.id or last, None
                        yield event
            except (ServiceError, UnreachableError) as error:
                if isinstance(error, ServiceError) and error.status not in _COME_AGAIN:
                    raise
                gone = gone or time.monotonic()
                if time.monotonic() - gone > self._patience.most_wait_s:
                    raise
            time.sleep(_PAUSE_S)

    def _unreachable(self, error: httpx2.TransportError) -> UnreachableError:
        reason = str(error) or type(error).__name__
        return UnreachableError(self._address, f"does not answer ({reason})", "check that the service runs there")


class _Waits:
    """Whether and when a request is sent again."""

    def __init__(self, patience: Patience, changes: bool, again: bool) -> None:
        self._left, self._left_s = patience.retries if again else 0, patience.most_wait_s
        self._changes = changes

    def before_next(self, error: ServiceError | UnreachableError) -> None:
        """Wait, or raise the error where the request is not to be sent again."""
        pause = _PAUSE_S
        if isinstance(error, ServiceError):
            safe = error.status in _COME_AGAIN and (not self._changes or error.title in _NOTHING_DONE)
            pause = pause if error.retry_s is None else error.retry_s
        else:
            safe = not self._changes
        if not safe or not self._left or pause > self._left_s:
            raise error
        self._left, self._left_s = self._left - 1, self._left_s - pause
        time.sleep(pause)


@dataclass(frozen=True)
class Event:
    """A server-sent event."""

    name: str
    data: str
    id: str


def events_of(lines: Iterator[str]) -> Iterator[Event]:
    """Events of a stream's lines, as the HTML standard reads them; one that is not whole is left out."""
    name, last = "", ""
    data: list[str] = []
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Event(name or "message", "\n".join(data), last)
            name, data = "", []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            last = value


def read(kind: type[T], content: bytes) -> T:
    """An answer's JSON as what it is.

    Raises:
        ServiceError: it is not of that form.
    """
    return _valid(kind, content, "validate_json")


def made_of(kind: type[T], plain: Any) -> T:
    """Plain values as what they are; see ``read``."""
    return _valid(kind, plain, "validate_python")


def _valid(kind: type[T], given: Any, how: str) -> T:
    from pydantic import TypeAdapter, ValidationError

    try:
        found: T = getattr(TypeAdapter(kind), how)(given)
        return found
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "it"
        sentence = f"The service's answer is not a {kind.__name__} ({where}: {error.errors()[0]['msg'].lower()})."
        raise ServiceError(200, "UnknownForm", sentence) from error


def error_of(response: httpx2.Response) -> ServiceError:
    """What a response that is no success says; of whatever stands between, its status alone."""
    after = response.headers.get("retry-after", "")
    retry_s = float(after) if after.isdecimal() and len(after) < 10 else None
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        with suppress(ServiceError):
            return ServiceError.of(read(Problem, response.content), retry_s)
    sentence = f"The answer is {response.status_code} {response.reason_phrase}, and not of whosings."
    return ServiceError(response.status_code, "Refused", sentence, "", retry_s)


def _part(file: SentFile, opened: ExitStack) -> tuple[str, BinaryIO]:
    """A file's name and its content, for a form."""
    if isinstance(file, str | PathLike):
        return Path(file).name, opened.enter_context(Path(file).open("rb"))
    if file.seekable():
        file.seek(0)
    name = getattr(file, "name", "")
    return Path(name).name if isinstance(name, str) and name else "recording", file


def _can_be_read_again(files: Mapping[str, SentFile] | None) -> bool:
    return all(isinstance(file, str | PathLike) or file.seekable() for file in (files or {}).values())
