"""The client against the real service: every route has a method, and every answer is of the form that is documented."""

from __future__ import annotations

import inspect
import io
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import soundfile

from tests.service.conftest import serving
from tests.service.documented import Document
from whosings.answer import Outcome, Verdict
from whosings.errors import MissingExtraError
from whosings.library.decision_rows import Deed
from whosings.service import rows
from whosings.service.client import Client
from whosings.service.client_http import ServiceError, UnreachableError

NOT_ROUTES = {"close", "wait"}
METHODS = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")} - NOT_ROUTES


class Watched:
    """A client whose every answer is held against the OpenAPI document of its service."""

    def __init__(self, address: str) -> None:
        self.client, self.document = Client(address), Document(address)
        self.seen: set[str] = set()
        self.tests: set[str] = set()
        self.client._line._http.event_hooks["response"].append(self._check)

    def _check(self, response: httpx2.Response) -> None:
        operation = self.document.check(response)
        if response.is_success:
            self.seen.add(operation["operationId"])


@pytest.fixture(scope="module")
def watched(two_singers, tmp_path_factory):
    """A service of its own, which is changed here."""
    with serving(tmp_path_factory.mktemp("client"), gallery=two_singers) as served:
        found = Watched(served.address)
        with found.client:
            yield found
    assert not served.faults


@pytest.fixture
def client(watched, request):
    watched.tests.add(request.node.name)
    return watched.client


def test_every_operation_has_a_method_and_every_method_is_an_operation(watched):
    assert set(watched.document.operations) == METHODS


def body_of(document: dict[str, Any], operation: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Names of the parts of an operation's form, and of the fields of its JSON."""
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        names = set(document["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]["properties"])
        return (names, set()) if kind == "multipart/form-data" else (set(), names)
    return set(), set()


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_sends_what_its_operation_takes(watched, name):
    """All that is documented, and nothing else."""
    asked: list[SimpleNamespace] = []

    def record(method: str, path: str, query=None, files=None, form=None, plain=None, changes=False):
        given = {key for key, value in (query or {}).items() if value is not None}
        sent = SimpleNamespace(method=method.lower(), path=path, query=given, plain=set(plain or {}))
        sent.parts = {*(files or {}), *(form or {})}
        asked.append(sent)
        raise StopAsyncIteration

    client = Client("http://127.0.0.1:1")
    client._line = SimpleNamespace(
        ask=record, streamed=lambda path: record("get", path), events=lambda path: record("get", path)
    )
    values = {"id": "7", "voices": [(1, 0)], "path": "x.flac", "recording": 1, "voice": 0, "top": 3}
    parameters = list(inspect.signature(getattr(Client, name)).parameters.values())[1:]
    given = {p.name: values.get(p.name, 0.5 if p.name.endswith("_s") else "x") for p in parameters if p.name != "wait"}
    with pytest.raises((StopAsyncIteration, RuntimeError)):
        found = getattr(client, name)(**given)
        next(iter(found))
    (sent,) = asked
    operation = watched.document.operation_of(sent.method, sent.path)
    assert operation["operationId"] == name
    assert sent.query == {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
    assert (sent.parts, sent.plain) == body_of(watched.document.plain, operation)


def test_who_sings(client, songs):
    answer = client.identify(songs("Ann", 1))
    assert (answer.verdict, answer.named, answer.track_id) == (Verdict.SINGER, ("Ann",), "ann-1-12.flac")
    assert answer.voices[0].outcome is Outcome.NAMED
    told = client.evidence(songs("Ann", 1), top=1)
    assert isinstance(told, rows.Explained) and len(told.answer.top) == 1
    assert [voice.matches[0].source for voice in told.evidence.voices] == [songs("Ann").name]
    same = client.verify(songs("Ann"), songs("Ann", 1), false_accepts=0.01)
    assert same.same and (same.first, same.second) == (songs("Ann").name, songs("Ann", 1).name)
    assert client.verify(songs("Ann"), songs("Bob")).same is False


def test_files_may_be_paths_texts_and_open_files(client, songs):
    path = songs("Bob", 1)
    expected = client.identify(path)
    assert client.identify(str(path)) == expected
    with path.open("rb") as file:
        file.read(100)
        assert client.identify(file) == expected
    nameless = client.identify(io.BytesIO(path.read_bytes()))
    assert nameless.track_id == "recording" and nameless.top == expected.top

    class Pipe(io.RawIOBase):
        """Can be read once, from its beginning to its end, and does not say how long it is."""

        def __init__(self) -> None:
            self.left = io.BytesIO(path.read_bytes())

        def readable(self):
            return True

        def read(self, size=-1):
            return self.left.read(size)

    assert client.identify(Pipe()).top == expected.top
    with pytest.raises(FileNotFoundError):
        client.identify("/nowhere/song.flac")


def test_a_long_question_is_a_job_that_is_followed(client, songs):
    job = client.identify(songs("Ann", 1), wait=False)
    assert isinstance(job, rows.Job) and job.kind == "identify"
    told: list[rows.Job] = []
    done = client.wait(job, told.append)
    assert done.state == "done" and done.result["verdict"] == "singer"
    assert [one.state for one in told][-1] == "done" and {"running"} <= {one.state for one in told}
    assert client.job(job.id) == done == client.wait(job.id)
    assert job.id in [one.id for one in client.jobs()]
    client.remove_job(job.id)
    with pytest.raises(ServiceError) as refused:
        client.wait(job)
    assert (refused.value.status, refused.value.title) == (404, "NoSuchJob")


def test_a_job_that_fails_is_an_error(client, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF" + bytes(100))
    job = client.enrol("Ann", bad, wait=False)
    with pytest.raises(ServiceError, match=r"^bad\.wav: .*\.$") as failed:
        client.wait(job)
    assert failed.value.status == 422 and failed.value.title.endswith("AudioError")
    client.remove_job(job.id)


def test_singers(client, songs):
    song = songs("Eve")
    first = client.enrol("Eve", song, keep=True)
    assert (first.singer, first.added, first.recordings) == ("Eve", True, 1)
    assert client.enrol("eve", song) == rows.Enrolled("Eve", False, first.sha256, 1, ())
    other = client.wait(client.enrol("Eva", songs("Eve", 1), keep=True, wait=False)).result
    assert other["singer"] == "Eva"
    assert [one.name for one in client.singers()] == ["Ann", "Bob", "Eva", "Eve"]
    assert [one.name for one in client.singers("EV")] == ["Eva", "Eve"]
    (recording,) = client.singer_recordings("Eve").recordings
    assert (recording.source, recording.sha256, recording.playable) == (song.name, first.sha256, True)
    samples, rate = soundfile.read(io.BytesIO(client.singer_clip("Eve", first.sha256, 2.0, 5.0)))
    assert 3.0 <= len(samples) / rate <= 8.0
    assert client.rename_singer("Eva", "Evi").name == "Evi"
    assert client.merge_singers("Evi", "Eve").recordings == 2
    client.remove_singer_recording("Eve", other["sha256"])
    assert len(client.singer_recordings("Eve").recordings) == 1
    client.remove_singer("Eve")
    assert [one.name for one in client.singers()] == ["Ann", "Bob"]


@pytest.mark.slow
def test_library_groups_and_review(client, songs, tmp_path):
    kept = {}
    for name in ("Ann", "Cy", "Dee"):
        for number in (1, 2):
            kept[name, number] = client.add_recording(songs(name, number))
    assert kept["Ann", 1].state == "heard" and client.add_recording(songs("Ann", 1)).state == "known"
    assert [one.name for one in client.library()] == [one.name for one in kept.values()]
    assert [one.name for one in client.library("CY", outcome="worth a look")] == [songs("Cy", n).name for n in (1, 2)]
    assert {one.recording for one in client.library(singer="Ann")} >= {kept["Ann", n].recording for n in (1, 2)}
    ann, dee = kept["Ann", 1].recording, kept["Dee", 1].recording
    assert client.recording(ann).voices[0].decision is None
    client.recording_audio(ann, tmp_path / "again.flac")
    assert (tmp_path / "again.flac").read_bytes() == songs("Ann", 1).read_bytes(), "also where it was sent twice"
    assert soundfile.info(io.BytesIO(client.recording_clip(ann, 1.0, 4.0))).frames >= 3 * 16_000

    assert {one.recording for one in client.search(singer="Ann", top=2).voices[0].matches} == {
        kept["Ann", n].recording for n in (1, 2)
    }
    assert client.search(recording=dee).voices[0].matches[0].recording == kept["Dee", 2].recording
    assert client.search_with(songs("Dee"), from_s=2.0).voices[0].matches[0].name.startswith("dee")

    groups = client.group_anew()
    assert client.groups() == groups
    of = {member.name[:2]: group for group in groups.groups for member in group.voices}
    assert of["cy"].id != of["de"].id
    assert client.group_anew(wait=False).kind == "groups"
    apart = [(one.recording, one.voice) for one in of["cy"].voices if one.recording == kept["Cy", 2].recording]
    assert client.split_group(of["cy"].id, apart, by="me").voices == len(of["cy"].voices) - len(apart)
    merged = client.merge_group(of["cy"].id, of["de"].id)
    assert merged.group == of["de"].id
    named = client.name_group(of["de"].id, "Somebody", by="me")
    assert named.name == "Somebody" and named.enrolled.added >= 2

    (item, *_) = client.review(decided=True)
    decision = client.decide(item.recording, item.voice, "not sung", by="me")
    assert (decision.deed, decision.who) == (Deed.NOT_SUNG, "me")
    assert client.log().decisions[-1].deed is Deed.NOT_SUNG
    client.remove_singer("Somebody")
    client.remove_recording(ann)
    with pytest.raises(ServiceError) as refused:
        client.recording(ann)
    assert refused.value.status == 404 and refused.value.request_id


def test_the_service_itself(client):
    about = client.about()
    assert about.encoder == "fast" and about.may == ("read", "enrol", "review") and about.limits.upload_bytes > 0
    assert client.healthz() == "ok" and client.readyz() == "ready"
    assert "whosings_requests_total" in client.metrics()


def test_long_lists_come_whole(watched, monkeypatch):
    monkeypatch.setattr("whosings.service.client._PAGE", 1)
    assert [one.name for one in watched.client.singers()][:2] == ["Ann", "Bob"]


def test_every_operation_was_asked_and_answered_as_documented(watched):
    if not watched.tests >= {
        "test_who_sings",
        "test_a_long_question_is_a_job_that_is_followed",
        "test_singers",
        "test_library_groups_and_review",
        "test_the_service_itself",
    }:
        pytest.skip("counts the operations of all tests above")
    assert watched.seen == METHODS


def test_refusals_are_errors_with_the_sentence(client, tmp_path):
    short = tmp_path / "short.wav"
    soundfile.write(short, [0.1, -0.1] * 400, 16_000)
    with pytest.raises(ServiceError) as refused:
        client.identify(short)
    error = refused.value
    assert (error.status, error.title, error.retry_s) == (422, "TooShortError", None)
    assert str(error) == error.detail and error.detail.startswith("short.wav: ")
    again = error.__reduce__()
    assert str(again[0](*again[1])) == str(error)


def test_nobody_answers():
    with Client("http://127.0.0.1:9", timeout_s=2, retries=0) as client, pytest.raises(UnreachableError, match="check"):
        client.about()


@pytest.mark.slow
def test_tokens(two_singers, tmp_path):
    with serving(tmp_path, gallery=two_singers, tokens={"reader": ("read",)}) as served:
        with Client(served.address) as nobody:
            assert nobody.about().may == () and nobody.about().needs_token
            with pytest.raises(ServiceError, match="token") as refused:
                list(nobody.singers())
            assert refused.value.status == 401
        with Client(served.address, served.tokens["reader"]) as reader:
            assert reader.about().may == ("read",)
            with pytest.raises(ServiceError) as refused:
                reader.rename_singer("Ann", "Anna")
            assert (refused.value.status, refused.value.title) == (403, "NotAllowed")


@pytest.mark.slow
def test_a_job_is_followed_through_a_restart_of_the_service(two_singers, songs, tmp_path):
    """The service ends while jobs wait and is started again at the same place; whoever follows one gets its result."""
    song, found = songs("Ann", 1, 30.0), []
    with serving(tmp_path, gallery=two_singers) as before, Client(before.address) as client:
        jobs = [client.identify(song, wait=False) for _ in range(6)]
        thread = threading.Thread(target=lambda: found.append(client.wait(jobs[-1])))
        thread.start()
        time.sleep(0.5)
        before.process.send_signal(signal.SIGINT)
        before.process.wait(60)
        assert not found
        port = str(urlsplit(before.address).port)
        with serving(tmp_path, "--port", port, "--gallery", two_singers.name) as after:
            assert after.address == before.address
            thread.join(90)
            assert [job.id for job in found] == [jobs[-1].id] and found[0].result["verdict"] == "singer"
            assert {job.state for job in client.jobs()} == {"done"}


def test_without_httpx_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("whosings.errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'whosings\[client\]'"):
        Client("http://127.0.0.1:9")


def test_importing_the_client_loads_nothing_heavy():
    code = "import sys, whosings.service.client; print(*(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "numpy", "scipy", "soundfile", "fastapi", "starlette", "uvicorn", "httpx2", "pydantic"}
    assert not heavy & set(done.stdout.split())


def test_answers_of_the_client_need_nothing_that_listens(served, songs):
    code = f"""
import sys
from whosings.service.client import Client
with Client({served.address!r}) as client:
    client.identify({str(songs("Ann"))!r})
    client.evidence({str(songs("Ann"))!r})
    client.log()
print(*(name.partition('.')[0] for name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "scipy", "soundfile", "fastapi", "starlette"} & set(done.stdout.split())


def test_files_are_named_without_their_folders(client, songs):
    answer = json.dumps(client.identify(songs("Ann", 1)), default=vars)
    assert str(songs("Ann").parent) not in answer and str(Path.cwd()) not in answer
