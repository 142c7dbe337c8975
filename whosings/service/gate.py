"""Before anything of a request is read: who asks, whether there is room, and how much may come.

FastAPI reads a body before it looks at anything else. So who may ask, and how much, is settled here.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from whosings.console import json_text
from whosings.service.jobs import busy
from whosings.service.limits import Limits
from whosings.service.problems import MEDIA_TYPE, Refusal, problem_response
from whosings.service.protocol import CROWDED
from whosings.service.rows import Problem
from whosings.service.telemetry import Line, Telemetry
from whosings.service.tokens import EVERYBODY, Caller, Scope, Tokens

_SCOPE, _LISTENS = "x-scope", "x-listens"
_NOBODY = Caller("", frozenset())
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_MOST_HEADERS, _MOST_PLAIN = 32_000, 1_000_000  # bytes
_SENTENCES = {
    HTTPStatus.BAD_REQUEST: "The request is of a form that is not known; correct it.",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "The recording has no such bytes; ask for others.",
}
_HOST = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?")


def needs(scope: Scope, listens: bool = False) -> dict[str, Any]:
    """What a route asks of its callers, as its ``openapi_extra``.

    Args:
        listens: a recording is worked on, of which only so many are taken at once.
    """
    return {_SCOPE: scope.value, _LISTENS: listens, "security": [{"token": []}]}


@dataclass(frozen=True)
class _Door:
    """A route: the methods and paths it is for, and what it asks of callers; None where everybody may."""

    methods: frozenset[str]
    path: re.Pattern[str]
    template: str
    scope: Scope | None
    listens: bool


@dataclass
class _Visit:
    """A request while it is in the house; ``left`` where its sender went away in the middle."""

    id: str
    began: float
    template: str = "none"
    caller: Caller = _NOBODY
    bytes: int = 0
    status: int = 0
    error: str = ""
    begun: bool = False
    left: bool = False


class Gate:
    """The application behind checks; an ASGI application itself.

    Args:
        app: what answers.
        routes: all that it knows.
        tokens: None where everybody on this machine may do everything.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Iterable[APIRoute],
        limits: Limits,
        tokens: Tokens | None,
        telemetry: Telemetry,
        debug: bool = False,
    ) -> None:
        self._app, self._limits, self._tokens, self._telemetry = app, limits, tokens, telemetry
        self._debug = debug
        self._doors = tuple(_door(route) for route in routes)
        self._listening = 0
        telemetry.gauge("whosings_in_work", "Requests with recordings in work.", lambda: {"": self._listening})

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = _Visit(uuid4().hex, time.monotonic())
        scope["state"] = {**scope.get("state", {}), "request_id": visit.id, "caller": visit.caller}
        outgoing = self._outgoing(visit, send)
        room = False
        try:
            door = self._settle(scope, visit)
            scope["state"]["caller"] = visit.caller
            if scope["state"].get(CROWDED):
                raise busy()
            if door is not None and door.listens:
                if self._listening >= self._limits.waiting:
                    raise busy()
                self._listening += 1
                room = True
            await self._app(scope, self._incoming(visit, receive, self._most_bytes(door)), outgoing)
        except Refusal as refusal:
            await self._refuse(visit, refusal, scope, receive, outgoing)
        except Exception as error:  # a fault of ours: told in the log, and to the client without what is inside
            self._tell_fault(visit, error)
            sentence = f"Something went wrong inside; tell who runs the service: request {visit.id}."
            await self._refuse(visit, Refusal(500, "Fault", sentence), scope, receive, outgoing)
        finally:
            self._listening -= room
            seconds = round(time.monotonic() - visit.began, 4)
            self._telemetry.request(
                Line(
                    visit.id,
                    _known(str(scope["method"])),
                    visit.template,
                    499 if visit.left else visit.status or 499,
                    seconds,
                    visit.bytes,
                    visit.caller.name,
                    visit.error,
                )
            )

    def caller_of(self, headers: Headers) -> Caller:
        """Who asks; nobody in particular where the token is missing or wrong."""
        if self._tokens is None:
            return EVERYBODY
        kind, _, token = headers.get("authorization", "").partition(" ")
        found = self._tokens.caller(token.strip()) if kind.lower() == "bearer" else None
        return found or _NOBODY

    def _settle(self, scope: AsgiScope, visit: _Visit) -> _Door | None:
        """Whether the caller may ask this.

        Raises:
            Refusal: not so.
        """
        headers, path, method = Headers(scope=scope), str(scope["path"]), str(scope["method"])
        here = [one for one in self._doors if one.path.match(path)]
        door = next((one for one in here if method in one.methods), None)
        if here:
            visit.template = here[0].template
        self._refuse_strangers(headers, method)
        if here and door is None:
            allowed = ", ".join(sorted({one for other in here for one in other.methods}))
            refusal = Refusal(405, "NoSuchMethod", f"This place is not asked that way; ask with {allowed}.")
            raise _with(refusal, {"Allow": allowed})
        visit.caller = self.caller_of(headers)
        if door is not None and door.scope is not None and door.scope not in visit.caller.may:
            if not visit.caller.may:
                refusal = Refusal(401, "NoToken", "A valid token is needed: Authorization: Bearer TOKEN.")
                raise _with(refusal, {"WWW-Authenticate": "Bearer"})
            raise Refusal(403, "NotAllowed", f"The token of {visit.caller.name} does not allow to {door.scope.value}.")
        if _head_bytes(scope) > _MOST_HEADERS:
            raise Refusal(431, "LargeHeaders", "The request's address and headers are too long; shorten them.")
        length, most = headers.get("content-length", "0"), self._most_bytes(door)
        if length.isdecimal() and int(length[:20]) > most:
            raise _too_large(most)
        if door is not None and door.listens and not headers.get("content-type", "").startswith("multipart/form-data"):
            raise Refusal(415, "NoForm", "Send the recording with its name, as a part of multipart/form-data.")
        return door

    def _most_bytes(self, door: _Door | None) -> int:
        """Most bytes of a body: what holds no recording is short, and is held in memory."""
        return self._limits.upload_bytes if door is not None and door.listens else _MOST_PLAIN

    def _refuse_strangers(self, headers: Headers, method: str) -> None:
        """Without tokens, keep out pages of other sites that a browser on this machine shows."""
        if self._tokens is not None:
            return
        host = headers.get("host", "")
        if not _HOST.fullmatch(host):
            raise Refusal(421, "OtherHost", "The service answers on this machine only; ask it as localhost.")
        origin = headers.get("origin")
        if method not in ("GET", "HEAD") and origin is not None and urlsplit(origin).netloc != host:
            raise Refusal(403, "OtherSite", "Pages of other sites may not ask this service.")

    def _incoming(self, visit: _Visit, receive: Receive, most: int) -> Receive:
        """The body, counted and timed."""
        limits, whole = self._limits, False

        async def bounded() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            left = limits.upload_s - (time.monotonic() - visit.began)
            try:
                message = await asyncio.wait_for(receive(), max(0.01, min(limits.idle_s, left)))
            except TimeoutError:
                visit.error = "SlowUpload"
                sentence = "The request came too slowly; send it again over a faster line."
                raise _with(Refusal(408, "SlowUpload", sentence), {"Connection": "close"}) from None
            visit.left = message["type"] == "http.disconnect"
            if message["type"] == "http.request":
                visit.bytes += len(message.get("body", b""))
                whole = not message.get("more_body", False)
                if visit.bytes > most:
                    raise _too_large(most)
            return message

        return bounded

    def _outgoing(self, visit: _Visit, send: Send) -> Send:
        instead: bytes | None = None

        async def marked(message: Message) -> None:
            nonlocal instead
            if message["type"] == "http.response.start":
                visit.status, visit.begun = int(message["status"]), True
                headers = MutableHeaders(scope=message)
                if visit.status >= 400 and headers.get("content-type") != MEDIA_TYPE:
                    instead = _in_our_words(visit, headers)
                headers["X-Request-Id"] = visit.id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            elif message["type"] == "http.response.body" and instead is not None:
                message, instead = {**message, "body": instead}, b""
            await send(message)

        return marked

    async def _refuse(self, visit: _Visit, refusal: Refusal, scope: AsgiScope, receive: Receive, send: Send) -> None:
        visit.error = refusal.title
        if not visit.begun:
            problem = Problem(refusal.title, refusal.status_code, refusal.detail, visit.id)
            await problem_response(problem, refusal.headers)(scope, receive, send)

    def _tell_fault(self, visit: _Visit, error: Exception) -> None:
        import traceback

        text = "".join(traceback.format_exception(error)) if self._debug else traceback.format_exception(error)[-2:]
        self._telemetry.write("fault", request_id=visit.id, kind=type(error).__name__, where=text)


def _door(route: APIRoute) -> _Door:
    asked = route.openapi_extra or {}
    scope = Scope(asked[_SCOPE]) if _SCOPE in asked else None
    return _Door(frozenset(route.methods or ()), route.path_regex, route.path, scope, bool(asked.get(_LISTENS)))


def _head_bytes(scope: AsgiScope) -> int:
    """How long a request's address and headers are."""
    headers = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return headers + len(scope["raw_path"]) + len(scope["query_string"])


def _too_large(most: int) -> Refusal:
    sentence = f"The request is larger than {most / 1e6:,.3g} MB; send a smaller or compressed file."
    return Refusal(413, "TooLarge", sentence)


def _in_our_words(visit: _Visit, headers: MutableHeaders) -> bytes:
    """The body of a problem, in the place of what a library says; its headers are made fit."""
    status = HTTPStatus(visit.status)
    visit.error = visit.error or status.phrase.title().replace(" ", "")
    sentence = _SENTENCES.get(status, f"{status.phrase}.")
    body = json_text(Problem(visit.error, visit.status, sentence, visit.id)).encode()
    headers["Content-Type"], headers["Content-Length"] = MEDIA_TYPE, str(len(body))
    return body


def _known(method: str) -> str:
    """A method for the log and the metrics, which strangers' words do not swell."""
    return method if method in HTTPMethod.__members__ else "other"


def _with(refusal: Refusal, headers: dict[str, str]) -> Refusal:
    refusal.headers = {**(refusal.headers or {}), **headers}
    return refusal
