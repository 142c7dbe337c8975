"""The client and services that are busy, broken, or none of ours: a web service on loopback says what it is told."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from whosings.errors import ConfigError, WhosingsError
from whosings.service.client import Client
from whosings.service.client_http import Event, ServiceError, UnreachableError, events_of

JOB = {
    "id": "j1",
    "kind": "identify",
    "name": "song.wav",
    "state": "running",
    "created_at": "2026-01-01T00:00:00+00:00",
}
SINGERS = {"total": 1, "singers": [{"name": "Ann", "recordings": 1, "seconds": 9.0}]}


@dataclass
class Said:
    """One answer; ``body`` as bytes is sent as it is, and None breaks the line instead."""

    status: int
    body: object
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def problem(status: int, title: str, **headers: str) -> Said:
    body = {"title": title, "status": status, "detail": f"{title} it is.", "request_id": "r1"}
    return Said(status, body, "application/problem+json", headers)


@dataclass
class Stub:
    address: str
    script: list[Said]
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def stub(*script: Said) -> Iterator[Stub]:
    """A service that answers one after another; the last answer for good."""
    found = Stub("", list(script))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.asked.append((f"{self.command} {self.path}", dict(self.headers), body))
            said = found.script.pop(0) if len(found.script) > 1 else found.script[0]
            self.close_connection = said.body is None or said.kind == "text/event-stream"
            if said.body is None:
                return
            content = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            self.send_response(said.status)
            self.send_header("Content-Type", said.kind)
            for name, value in said.headers.items():
                self.send_header(name.replace("_", "-"), value)
            if not self.close_connection:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_DELETE = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def events(*jobs: dict[str, object], first: int = 1) -> Said:
    text = ": hello\n\n"
    for number, job in enumerate(jobs, first):
        name = job["state"] if job["state"] in ("done", "failed") else "progress"
        text += f"event: {name}\ndata: {json.dumps(job)}\nid: {number}\n\n"
    return Said(200, text.encode(), "text/event-stream")


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    """Seconds that the client would have waited."""
    found: list[float] = []
    monkeypatch.setattr("whosings.service.client_http.time.sleep", found.append)
    return found


@pytest.mark.parametrize("status", [429, 503])
def test_what_changes_nothing_is_asked_again_after_retry_after(slept, status):
    with stub(problem(status, "Whatever", Retry_After="7"), problem(status, "Busy"), Said(200, SINGERS)) as said:
        with Client(said.address) as client:
            assert [one.name for one in client.singers()] == ["Ann"]
        assert slept == [7.0, 1.0] and len(said.asked) == 3


def test_patience_ends(slept):
    with stub(problem(503, "Busy", Retry_After="5")) as said, Client(said.address, retries=2) as client:
        with pytest.raises(ServiceError) as refused:
            client.about()
        assert (refused.value.status, refused.value.retry_s, len(said.asked)) == (503, 5.0, 3)
    with stub(problem(503, "Busy", Retry_After="90")) as said, Client(said.address, most_wait_s=100) as client:
        with pytest.raises(ServiceError):
            client.about()
        assert len(said.asked) == 2 and slept == [5.0, 5.0, 90.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 502])
def test_what_is_no_matter_of_time_is_not_asked_again(slept, status):
    with stub(problem(status, "Wrong", Retry_After="1")) as said, Client(said.address) as client:
        with pytest.raises(ServiceError, match=r"^Wrong it is\.$") as refused:
            client.groups()
        assert (refused.value.status, refused.value.title, refused.value.request_id) == (status, "Wrong", "r1")
        assert isinstance(refused.value, WhosingsError) and len(said.asked) == 1 and not slept


@pytest.mark.parametrize("title", ["Busy", "TooManyJobs", "NotReady", "NoRoom", "Stopping"])
def test_a_change_is_asked_for_again_where_nothing_was_done(title):
    done = {"name": "Anna", "recordings": 1, "seconds": 9.0}
    with stub(problem(503, title), Said(200, done)) as said, Client(said.address) as client:
        assert client.rename_singer("Ann", "Anna").name == "Anna"
        assert len(said.asked) == 2


@pytest.mark.parametrize(
    "first",
    [problem(503, "GalleryError"), Said(503, b"later", "text/plain"), Said(0, None)],
    ids=["ours", "a proxy's", "none"],
)
def test_a_change_that_may_have_been_made_is_not_asked_for_again(first):
    with stub(first) as said, Client(said.address) as client:
        changes = [
            lambda: client.rename_singer("Ann", "Anna"),
            lambda: client.enrol("Ann", io.BytesIO(b"sound")),
            lambda: client.add_recording(io.BytesIO(b"sound")),
            lambda: client.decide(1, 0, "confirm"),
            lambda: client.group_anew(),
            lambda: client.identify(io.BytesIO(b"sound"), wait=False),
            lambda: client.remove_singer("Ann"),
        ]
        for change in changes:
            said.asked.clear()
            with pytest.raises((ServiceError, UnreachableError)):
                change()
            assert len(said.asked) == 1


def test_a_line_that_breaks_is_taken_up_for_what_changes_nothing():
    with stub(Said(0, None), Said(0, None), Said(200, SINGERS)) as said, Client(said.address) as client:
        assert len(list(client.singers())) == 1
        assert len(said.asked) == 3


def test_a_file_is_sent_whole_each_time(tmp_path):
    path = tmp_path / "song.wav"
    path.write_bytes(bytes(range(256)) * 1000)
    with stub(problem(503, "Busy"), problem(422, "TooShortError")) as said, Client(said.address) as client:
        for file in (path, path.open("rb")):
            said.script[:] = [problem(503, "Busy"), problem(422, "TooShortError")]
            said.asked.clear()
            with pytest.raises(ServiceError):
                client.identify(file)
            bodies = [body for _, _, body in said.asked]
            assert len(bodies) == 2 and all(path.read_bytes() in body for body in bodies)
            assert all(b'filename="song.wav"' in body for body in bodies)
        file.close()


def test_what_can_be_read_once_is_sent_once():
    class Pipe(io.RawIOBase):
        def readable(self):
            return True

        def read(self, size=-1):
            return b""

    with stub(problem(503, "Busy")) as said, Client(said.address) as client:
        with pytest.raises(ServiceError):
            client.identify(Pipe())
        assert len(said.asked) == 1


def test_a_broken_stream_is_taken_up_where_it_broke():
    running = [{**JOB, "done": number, "stage": "listening"} for number in range(3)]
    done = {**JOB, "state": "done", "result": {}}
    half = events(running[1], first=2)
    half.body += b"event: progress\ndata: {"
    script = [
        Said(202, JOB),
        events(running[0]),
        Said(0, None),
        half,
        problem(503, "Stopping"),
        events(running[2], done),
    ]
    told = []
    with stub(*script) as said, Client(said.address) as client:
        job = client.identify(io.BytesIO(b"x"), wait=False)
        assert client.wait(job, told.append).state == "done"
        last = [headers.get("Last-Event-ID") for path, headers, _ in said.asked if path.endswith("/events")]
        assert last == [None, "1", "1", "2", "2"]
    assert [one.done for one in told] == [0, 1, 2, 0]


def test_a_stream_that_stays_away_is_given_up(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("whosings.service.client_http.time.sleep", lambda s: now.__setitem__(0, now[0] + s))
    monkeypatch.setattr("whosings.service.client_http.time.monotonic", lambda: now[0])
    with stub(events(JOB), Said(0, None)) as said, Client(said.address, most_wait_s=5) as client:
        with pytest.raises(UnreachableError):
            client.wait("j1")
        assert 4 < now[0] < 10


def test_a_job_that_failed_raises_its_problem():
    failed = {**JOB, "state": "failed", "error": problem(422, "TooShortError").body}
    with (
        stub(events(failed)) as said,
        Client(said.address) as client,
        pytest.raises(ServiceError, match="it is") as error,
    ):
        client.wait("j1")
    assert (error.value.status, error.value.title) == (422, "TooShortError")


def test_ids_stay_within_their_place():
    with stub(problem(404, "NoSuchJob")) as said, Client(f"{said.address}/base/") as client:
        with pytest.raises(ServiceError):
            client.job("../singers?x=1#")
        assert said.asked[0][0] == "GET /base/v1/jobs/..%2Fsingers%3Fx%3D1%23"


@pytest.mark.parametrize(
    "said",
    [Said(200, b"<html>welcome</html>", "text/html"), Said(200, {"total": 1}), Said(200, [1]), Said(200, b"{")],
    ids=["a page", "less", "another form", "half"],
)
def test_answers_of_another_form_are_told(said):
    with stub(said) as found, Client(found.address) as client, pytest.raises(ServiceError, match="is not a Groups"):
        client.groups()


def test_what_stands_between_is_told_by_its_status():
    page = Said(502, b"<html>bad gateway</html>", "text/html")
    with (
        stub(page) as said,
        Client(said.address) as client,
        pytest.raises(ServiceError, match="502 Bad Gateway") as error,
    ):
        client.groups()
    assert "<html" not in str(error.value)
    moved = Said(302, b"", "text/html", {"Location": "http://127.0.0.1:9/elsewhere"})
    with stub(moved) as said, Client(said.address, "secret") as client, pytest.raises(ServiceError, match="302"):
        client.groups()


def test_a_problem_of_another_form_is_told_by_its_status():
    odd = Said(503, b"[]", "application/problem+json")
    with (
        stub(odd) as said,
        Client(said.address, retries=0) as client,
        pytest.raises(ServiceError, match="503") as error,
    ):
        client.groups()
    assert error.value.status == 503


def test_a_service_that_says_nothing_is_given_up():
    held = threading.Event()

    class Silent(Said):
        @property
        def headers(self):
            held.wait(5)
            return {}

        @headers.setter
        def headers(self, value):
            pass

    began = time.monotonic()
    with stub(Silent(200, SINGERS)) as said, Client(said.address, timeout_s=0.2, retries=0) as client:
        with pytest.raises(UnreachableError, match="timed out"):
            client.about()
        assert time.monotonic() - began < 4
        held.set()


@pytest.mark.parametrize(
    "address", ["localhost:8765", "ftp://localhost", "http://", "http://[::1", "http://local host"]
)
def test_addresses_that_are_none(address):
    with pytest.raises((ConfigError, UnreachableError), match=r"address|answer"), Client(address, retries=0) as client:
        client.about()


def test_a_token_that_no_header_can_hold():
    with pytest.raises(ConfigError, match="token"), Client("http://127.0.0.1:9", "geheim\u2028\n", retries=0) as client:
        client.about()


def test_events_are_read_as_the_standard_has_them():
    lines = [
        ":c",
        "",
        "data",
        "",
        "data: a",
        "data:b",
        "event: x",
        "id: 7",
        "",
        "id",
        "data: {",
        "retry: 5",
        "",
        "data: cut",
    ]
    assert list(events_of(iter([*lines, "data: cut"]))) == [
        Event("message", "", ""),
        Event("x", "a\nb", "7"),
        Event("message", "{", ""),
    ]
