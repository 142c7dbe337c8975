"""A real S3 server in this process (moto's), and a proxy before it that fails when it is told to."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "server", "date"}


@dataclass
class Fault:
    """What goes wrong with requests.

    Attributes:
        kind: a number, which is answered as a status with ``code``; ``reset``: the connection breaks before an answer;
            ``lost``: the same, after the server has done what it was asked; ``cut``: half of the body comes, and the
            connection ends; ``short``: half of the body comes, as if that were all; ``slow``: the answer waits for
            ``seconds``; ``drip``: the body comes byte by byte; ``damaged``: a byte of the body is another one;
            ``call``: ``then`` is called before the server is asked.
        of: requests whose method and path hold this.
        times: how often; None for ever.
    """

    kind: int | str
    of: str = ""
    times: int | None = None
    code: str = "InternalError"
    seconds: float = 5.0
    then: Callable[[], object] | None = None


@dataclass
class FaultyStore:
    """The proxy: its address, the faults that are to come, and all requests as ``METHOD /path``."""

    url: str = ""
    server: str = ""
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault_of(self, asked: str) -> Fault | None:
        with self.lock:
            self.requests.append(asked)
            for fault in self.faults:
                if fault.of in asked and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def reset(self) -> None:
        self.faults.clear()
        self.requests.clear()


@dataclass(frozen=True)
class Bucket:
    """A bucket of the server, seen past the proxy.

    Attributes:
        url: its location.
        store: the proxy.
        client: boto3's, straight to the server.
    """

    url: str
    store: FaultyStore
    client: Any

    @classmethod
    def made(cls, store: FaultyStore) -> Bucket:
        import boto3
        from botocore.config import Config

        # No checksums besides ETags, as in buckets of before 2024.
        plain = Config(request_checksum_calculation="when_required")
        client = boto3.client("s3", endpoint_url=store.server, config=plain)
        name = f"songs-{uuid4().hex[:8]}"
        client.create_bucket(Bucket=name)
        return cls(f"s3://{name}", store, client)

    @property
    def name(self) -> str:
        return self.url.removeprefix("s3://")

    def put(self, key: str, data: bytes) -> str:
        """Make an object; its location."""
        self.client.put_object(Bucket=self.name, Key=key, Body=data)
        return f"{self.url}/{key}"

    def get(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def fail(self, kind: int | str, of: str = "", times: int | None = None, **more: Any) -> None:
        self.store.faults.append(Fault(kind, of, times, **more))

    def asked(self, of: str = "") -> list[str]:
        """Requests that came, whose method and path hold this."""
        return [asked for asked in self.store.requests if of in asked]

    def parts_left(self) -> int:
        return len(self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", ()))


def _handler(store: FaultyStore, port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:  # whoever asked is gone
                self.close_connection = True

        def _forward(self) -> None:
            body = self._read()
            fault = store.fault_of(f"{self.command} {unquote(self.path)}")
            if fault is not None and fault.then is not None:
                fault.then()
            kind = None if fault is None else fault.kind
            if isinstance(kind, int):
                self._refuse(kind, fault.code)
                return
            if kind == "reset":
                self._break()
                return
            if kind == "slow":
                time.sleep(fault.seconds)
            behind = http.client.HTTPConnection("127.0.0.1", port)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            behind.request(self.command, self.path, body, headers)
            answer = behind.getresponse()
            data = answer.read()
            behind.close()
            if kind == "lost":
                self._break()
                return
            length = int(answer.headers.get("Content-Length", 0)) if self.command == "HEAD" else len(data)
            if kind == "short":
                data = data[: length // 2]
                length = len(data)
            if kind == "damaged" and data:
                data = bytes([data[0] ^ 1]) + data[1:]
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command == "HEAD":
                return
            if kind == "cut":
                self.wfile.write(data[: length // 2])
                self.wfile.flush()
                self._break()
            elif kind == "drip":
                for byte in data:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(0.05)
            else:
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward

        def _read(self) -> bytes:
            if self.headers.get("Expect", "").lower() == "100-continue":
                pass  # answered by the base class
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _refuse(self, status: int, code: str) -> None:
            said = f"<Error><Code>{code}</Code><Message>secret of the server</Message></Error>".encode()
            self.send_response_only(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said)

        def _break(self) -> None:
            self.close_connection = True
            # Closed with what was not sent thrown away: the other side sees a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)

    return Handler


@contextmanager
def serving() -> Iterator[FaultyStore]:
    """An S3 server, and a proxy before it, on free ports of this machine."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    behind = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    behind.start()
    port = behind.get_host_and_port()[1]
    store = FaultyStore(server=f"http://127.0.0.1:{port}")
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(store, port))
    proxy.daemon_threads = True
    store.url = f"http://127.0.0.1:{proxy.server_address[1]}"
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        proxy.shutdown()
        proxy.server_close()
        behind.stop()
