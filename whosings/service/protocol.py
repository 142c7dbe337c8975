"""HTTP/1.1 with patience that ends: uvicorn itself waits for ever for headers that come slowly."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from whosings.console import json_text
from whosings.service.limits import Limits
from whosings.service.problems import MEDIA_TYPE
from whosings.service.rows import Problem

CROWDED = "crowded"
"""In a request's state: there are more connections than there may be."""


class PatientProtocol(H11Protocol):
    """One connection. Subclasses name the limits.

    Whole headers have to be there in time, those of a first request and of later ones. What comes of a body after its
    request was refused is read for as long, so that its sender gets to read the answer, and no longer.
    """

    limits: Limits

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for headers."""
        super().connection_made(transport)
        self._ending: asyncio.TimerHandle | None = None
        self._hurry()

    def data_received(self, data: bytes) -> None:
        """Go on with what came, or with waiting."""
        self.app_state = {**self.app_state, CROWDED: len(self.connections) > self.limits.connections}
        super().data_received(data)
        if self._unasked:
            self._hurry()
        else:
            self._stop_hurrying()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_hurrying()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the form of all problems."""
        sentence = "The request is not in the form that HTTP asks for; correct it."
        body = json_text(Problem("NoRequest", 400, sentence)).encode()
        headers = [("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(body))), ("Connection", "close")]
        try:
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            pass  # an answer is on its way already
        self.transport.close()

    @property
    def _unasked(self) -> bool:
        """Whether nothing is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _hurry(self) -> None:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().call_later(self.limits.idle_s, self._end)

    def _stop_hurrying(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def _end(self) -> None:
        self._ending = None
        if self._unasked and not self.transport.is_closing():
            self.transport.close()
