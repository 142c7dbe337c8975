"""The server: uvicorn, and an end that waits for answers on their way."""

from __future__ import annotations

import socket
from types import FrameType

import uvicorn

from whosings.errors import ConfigError
from whosings.service.desk import Desk
from whosings.service.gate import Gate
from whosings.service.protocol import PatientProtocol

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts of this machine alone."""

_HEADER_BYTES = 32 * 1024  # of a request's line and headers together
_GRACE_S = 30


class Server(uvicorn.Server):
    """A server that tells its service at once when it is asked to stop, so that event streams end."""

    def __init__(self, config: uvicorn.Config, desk: Desk) -> None:
        super().__init__(config)
        self._desk = desk

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self._desk.ready = False
        self._desk.jobs.end_streams()
        super().handle_exit(sig, frame)


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        port: 0 takes any that is free.

    Raises:
        ConfigError: the address is not to be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only where the protocol is named, asyncio sends each part of an answer at once (TCP_NODELAY).
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        remedy = "name another one with --host and --port"
        raise ConfigError(f"{host}:{port}", f"cannot be listened at ({error.strerror})", remedy) from error
    return found


def server_of(app: Gate, desk: Desk) -> Server:
    """A server for an application; run it with ``serve(sockets=[...])``."""

    class Protocol(PatientProtocol):
        limits = desk.limits

    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_GRACE_S,
        h11_max_incomplete_event_size=_HEADER_BYTES,
    )
    return Server(config, desk)
