"""One polite way to ask a web service: paced, cached on disk, retried with back-off, and named.

Conventions
-----------
- A request that the cache answers costs the service nothing and does not wait.
- Answers are JSON. Status 200 and 404 are answers (404: the service knows no such thing) and are cached; everything
  else is an error.
- 429, 500, 502, 503, 504, lost connections and a service's own way of saying "too fast" are retried after what
  ``Retry-After`` asks (RFC 9110, section 10.2.3), else after a doubling wait.
- One process asks a service at a time: the pace is kept within a process.
"""

from __future__ import annotations

import json
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from whosings.errors import (
    AnnotationError,
    MalformedAnswerError,
    MissingExtraError,
    ServiceBusyError,
    ServiceRefusalError,
)

MissingExtraError.require("requests_cache", "asking the annotation services", "annotate")

import requests  # noqa: E402
from requests.adapters import HTTPAdapter  # noqa: E402
from requests_cache import CachedSession  # noqa: E402
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt  # noqa: E402

_BUSY = frozenset({429, 500, 502, 503, 504})


class Clock(Protocol):
    """Time, so that tests need not wait."""

    def now(self) -> float:
        """Seconds that only go forward."""

    def today(self) -> float:
        """Seconds since 1970, for dates in headers."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The computer's clock."""

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def today(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(frozen=True)
class Pace:
    """At most ``requests`` in any ``seconds``."""

    requests: int
    seconds: float


@dataclass(frozen=True)
class WebSettings:
    """How to ask, whichever the service.

    Attributes:
        contact: an address or page at which the service can reach you, sent with every request; services ask for it.
        cache: folder of the answers' cache, one file a service.
        keep_s: seconds for which an answer stays good.
        attempts: times a request is sent before giving up.
        longest_wait_s: a service that asks for a longer wait is given up on at once.
        timeout_s: to connect, and between bytes.
        most_bytes: longest answer, unpacked, that is not refused. The largest usual ones have a few megabytes.
    """

    contact: str
    cache: Path
    keep_s: float = 30 * 24 * 3600
    attempts: int = 6
    longest_wait_s: float = 300.0
    timeout_s: float = 60.0
    most_bytes: int = 64 << 20


@dataclass(frozen=True)
class Answer:
    """What a service answered: 200 with a JSON document, or 404."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    from_cache: bool

    @property
    def document(self) -> Any:
        """The body as plain values; None for 404."""
        return json.loads(self.body) if self.status == 200 else None


class RateLimiter:
    """Lets at most ``pace.requests`` pass in any ``pace.seconds``; the next caller waits. Safe among threads."""

    def __init__(self, pace: Pace, clock: Clock) -> None:
        self._pace = pace
        self._clock = clock
        self._passed: deque[float] = deque(maxlen=pace.requests)
        self._closed_until = float("-inf")
        self._lock = Lock()

    def wait(self) -> None:
        """Return when one more request may be sent, and count it."""
        with self._lock:
            ready = self._closed_until
            if len(self._passed) == self._pace.requests:
                ready = max(ready, self._passed[0] + self._pace.seconds)
            if (pause := ready - self._clock.now()) > 0:
                self._clock.sleep(pause)
            self._passed.append(self._clock.now())

    def close(self, seconds: float) -> None:
        """Let nothing pass for ``seconds`` from now."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock.now() + seconds)


class Web:
    """A service's front door.

    Args:
        service: name, for messages and for the cache's file.
        pace: the service's documented limit.
        settings: contact, cache, retries.
        too_fast: whether the JSON of a 200 answer says that requests come too fast (Deezer does that).
        exhausted: whether the headers of an answer say that the quota is used up (Discogs does that); then nothing is
            sent for ``pace.seconds``.
        clock: replaced in tests.

    Raises:
        AnnotationError: no contact, or the cache cannot be opened.
    """

    def __init__(
        self,
        service: str,
        pace: Pace,
        settings: WebSettings,
        *,
        too_fast: Callable[[Any], bool] | None = None,
        exhausted: Callable[[Mapping[str, str]], bool] | None = None,
        clock: Clock | None = None,
    ) -> None:
        if "@" not in settings.contact and "://" not in settings.contact:
            raise AnnotationError("contact", "is neither an e-mail address nor a web page", "say who asks")
        self.service = service
        self.user_agent = f"whosings/{version('whosings')} ( {settings.contact} )"
        self._settings = settings
        self._too_fast = too_fast
        self._clock = clock or SystemClock()
        settings.cache.mkdir(parents=True, exist_ok=True)
        try:
            self._session = CachedSession(
                str(settings.cache / f"{service}.sqlite"),
                serializer="json",
                expire_after=settings.keep_s,
                allowable_codes=(200, 404),
                allowable_methods=("GET", "POST"),
                ignored_parameters=["Authorization", "token"],
                filter_fn=self._good,
            )
        except Exception as error:
            raise AnnotationError(settings.cache, f"cannot hold a cache ({error})", "name another folder") from error
        adapter = _PacedAdapter(RateLimiter(pace, self._clock), pace.seconds, exhausted, settings.most_bytes)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._retrying = Retrying(
            stop=stop_after_attempt(settings.attempts),
            retry=retry_if_exception_type(_TooFastError),
            wait=self._wait_s,
            sleep=self._clock.sleep,
            reraise=True,
        )

    def ask(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        *,
        form: Mapping[str, str] | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """GET ``url``, or POST it when there is a ``form``.

        Raises:
            ServiceBusyError: after every retry, or when asked to wait longer than ``longest_wait_s``.
            ServiceRefusalError: any other status than 200 and 404.
            MalformedAnswerError: 200 without JSON, or more than ``most_bytes``.
        """
        sent = {"Accept": "application/json", **(headers or {}), "User-Agent": self.user_agent}
        try:
            return self._retrying(self._once, url, params, form, sent)
        except _TooFastError as error:
            remedy = "try again later: what was answered is cached"
            raise ServiceBusyError(self.service, f"is busy or cannot be reached ({error})", remedy) from error

    def close(self) -> None:
        """Close connections and the cache."""
        self._session.close()  # type: ignore[no-untyped-call]

    def _once(self, url: str, params: Any, form: Any, headers: Mapping[str, str]) -> Answer:
        try:
            response = self._session.request(
                "POST" if form is not None else "GET",
                url,
                params=params,
                data=form,
                headers=dict(headers),
                timeout=self._settings.timeout_s,
            )
        except _TooLongError as error:
            problem = f"answers with more than {self._settings.most_bytes:,} bytes"
            raise MalformedAnswerError(self.service, problem, "try again later, or report it") from error
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _TooFastError(type(error).__name__) from error
        except requests.RequestException as error:
            raise ServiceRefusalError(self.service, f"cannot be asked ({error})", "check its address") from error
        if response.status_code in _BUSY:
            wait_s = self._retry_after_s(response.headers.get("Retry-After"))
            if wait_s is not None and wait_s > self._settings.longest_wait_s:
                raise ServiceBusyError(self.service, f"asks to wait {wait_s:.0f} s", "try again after that time")
            raise _TooFastError(f"status {response.status_code}", wait_s)
        if response.status_code not in (200, 404):
            said = response.text[:200].strip().rstrip(".")
            remedy = "check the token, the contact and the query"
            raise ServiceRefusalError(self.service, f"refuses with status {response.status_code} ({said})", remedy)
        answer = Answer(
            response.status_code, response.headers, response.content, bool(getattr(response, "from_cache", False))
        )
        try:
            document = answer.document
        except ValueError as error:
            raise MalformedAnswerError(url, "the answer is not JSON", "try again later, or report it") from error
        if self._too_fast is not None and self._too_fast(document):
            raise _TooFastError("quota exceeded")
        return answer

    def _good(self, response: requests.Response) -> bool:
        """Whether an answer may be kept: a cut or "too fast" answer with status 200 must not."""
        if response.status_code == 404:
            return True
        try:
            document = json.loads(response.content)
        except ValueError:
            return False
        return self._too_fast is None or not self._too_fast(document)

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait_s if isinstance(error, _TooFastError) else None
        doubling = min(2.0 ** (state.attempt_number - 1), self._settings.longest_wait_s)
        return asked if asked is not None else doubling * random.uniform(1.0, 1.25)

    def _retry_after_s(self, header: str | None) -> float | None:
        if header is None:
            return None
        try:
            return max(0.0, float(header))
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(header).timestamp() - self._clock.today())
        except ValueError:
            return None


class _TooFastError(Exception):
    """Worth another attempt, after ``wait_s`` where the service says so."""

    def __init__(self, problem: str, wait_s: float | None = None) -> None:
        self.wait_s = wait_s
        super().__init__(problem)


class _TooLongError(Exception):
    """An answer of more bytes than are read."""


class _PacedAdapter(HTTPAdapter):
    """Waits before what is really sent; the cache's answers do not come this way."""

    def __init__(
        self,
        limiter: RateLimiter,
        window_s: float,
        exhausted: Callable[[Mapping[str, str]], bool] | None,
        most_bytes: int,
    ) -> None:
        self._most_bytes = most_bytes
        self._limiter = limiter
        self._window_s = window_s
        self._exhausted = exhausted
        super().__init__()

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        self._limiter.wait()
        response = super().send(*args, **{**kwargs, "stream": True})
        body = bytearray()
        for piece in response.iter_content(1 << 16):
            body += piece
            if len(body) > self._most_bytes:
                response.close()
                raise _TooLongError
        response._content = bytes(body)  # as ``requests`` itself keeps what it has read
        if self._exhausted is not None and self._exhausted(response.headers):
            self._limiter.close(self._window_s)
        return response
