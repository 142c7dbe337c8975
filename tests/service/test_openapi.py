"""The OpenAPI document: valid, complete, and true."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
import schemathesis

from tests.service.conftest import serving
from tests.service.documented import Document
from whosings.service.client import Client

ROOT = Path(__file__).parents[2]
TAGS = {"answers", "singers", "library", "search", "groups", "review", "jobs", "service"}
PROBLEM = {"application/problem+json"}
SEED = 20260504


@pytest.fixture(scope="module")
def document(served):
    return Document(served.address)


def test_it_is_an_openapi_document(document):
    schemathesis.openapi.from_dict(document.plain).validate()
    assert document.plain["openapi"].startswith("3.1")


def test_operations_say_what_they_are_for(document):
    for name, operation in document.operations.items():
        assert set(operation["tags"]) <= TAGS and len(operation["tags"]) == 1, name
        assert operation["summary"] and operation["description"].endswith((".", ".\n")), name
        assert {"413", "421", "503"} <= set(operation["responses"]), name
        assert ("401" in operation["responses"]) == bool(operation.get("security")), name


def test_problems_have_one_form(document):
    for name, operation in document.operations.items():
        for status, response in operation["responses"].items():
            assert response["description"], (name, status)
            if status >= "400":
                assert set(response["content"]) == PROBLEM, (name, status)
                (content,) = response["content"].values()
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, (name, status)


def test_all_that_is_json_has_an_example_of_its_form(document):
    for name, operation in document.operations.items():
        parts = [operation.get("requestBody", {}), *operation["responses"].values()]
        for kind, content in (pair for part in parts for pair in part.get("content", {}).items()):
            if kind.endswith("json"):
                assert "example" in content, (name, kind)
                document.valid(content["example"], content["schema"])
        for parameter in operation.get("parameters", ()):
            for example in parameter["schema"].get("examples", ()):
                document.valid(example, parameter["schema"])


def test_examples_of_fields_are_of_their_form(document):
    seen = 0
    for schema in document.plain["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            for example in field.get("examples", ()):
                document.valid(example, field)
                seen += 1
    assert seen


def test_every_documented_kind_of_problem_comes(served, songs, two_singers, tmp_path):
    """Each status once, by requests that are wrong in one way each."""
    song = songs("Ann", 1).read_bytes()
    file = {"file": ("song.flac", song)}
    limits = [f"{name}=1" for name in ("idle_s", "waiting", "jobs_each")] + ["upload_bytes=2000000"]
    words = [word for limit in limits for word in ("--set", limit)]
    tokens = {"all": ("read", "enrol", "review"), "reader": ("read",)}
    came: set[str] = set()
    with serving(tmp_path / "s", *words, gallery=two_singers, tokens=tokens) as other:
        document = Document(other.address)

        def ask(method, path, status, token="all", address=other.address, **how):
            headers = {"Authorization": f"Bearer {other.tokens.get(token, token)}", **how.pop("headers", {})}
            response = httpx2.request(method, address + path, headers=headers, timeout=60, **how)
            assert response.status_code in (status, 202), response.text
            if response.status_code == status:
                document.check(response)
                came.add(str(status))

        ask("POST", "/v1/identify", 400, content=b"x", headers={"Content-Type": "multipart/form-data"})
        ask("GET", "/v1/singers", 401, token="wrong")
        ask("DELETE", "/v1/singers?name=Ann", 403, token="reader")
        ask("DELETE", "/v1/singers?name=Nobody", 404)
        ask("POST", "/v1/singers/merge", 409, json={"name": "Ann", "into": "ann"})
        ask("POST", "/v1/identify", 413, files={"file": bytes(3_000_000)})
        ask("GET", "/v1/singers", 421, address=served.address, headers={"Host": "example.org"})
        ask("POST", "/v1/identify", 415, content=song, headers={"Content-Type": "audio/flac"})
        ask("POST", "/v1/identify", 422, files={"file": b"no sound"})
        ask("GET", "/v1/singers", 431, params={"q": "x" * 40_000})
        with Client(other.address, other.tokens["all"]) as client:
            recording = client.add_recording(songs("Bob", 1)).recording
        ask("GET", f"/v1/library/recordings/{recording}/audio", 206, headers={"Range": "bytes=10-19"})
        ask("GET", f"/v1/library/recordings/{recording}/audio", 416, headers={"Range": "bytes=999999999-"})
        for _ in range(20):
            ask("POST", "/v1/identify?job=true", 429, files=file)
            if "429" in came:
                break
        slow = http.client.HTTPConnection(urlsplit(other.address).netloc, timeout=20)
        slow.putrequest("POST", "/v1/identify")
        slow.putheader("Authorization", f"Bearer {other.tokens['all']}")
        slow.putheader("Content-Type", "multipart/form-data; boundary=b")
        slow.putheader("Content-Length", "1000")
        slow.endheaders(b"--b\r\n")
        time.sleep(0.3)
        ask("POST", "/v1/identify", 503, files=file)
        late = slow.getresponse()
        assert late.status == 408 and json.loads(late.read())["title"] == "SlowUpload"
        came.add("408")
        assert not other.faults
    documented = {status for one in document.operations.values() for status in one["responses"]}
    assert documented - {"200", "202", "204"} == came


CONFIG = """
[generation]
deterministic = true
database = "none"
no-shrink = true

[[operations]]
include-operation-id = [
    "identify", "evidence", "verify", "enrol", "add_recording", "search_with", "search", "decide", "name_group",
    "rename_singer",
]
# Recordings in which nobody sings, rates that were not measured, names of blanks: no schema tells them apart.
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 413, 422, 429, 503]
"""

HOOKS = """
import schemathesis
from hypothesis import strategies as st
from pathlib import Path

SONGS = [path.read_bytes() for path in sorted(Path({folder!r}).iterdir())]
for kind in {kinds!r}:
    schemathesis.openapi.media_type(kind, st.sampled_from(SONGS))
"""


@pytest.mark.slow
def test_requests_at_random_are_answered_as_documented(songs, two_singers, tmp_path):
    """Of the document's form, and not of it: examples, edges, and sequences of requests; a bounded number of them."""
    found = at_random(songs, two_singers, tmp_path, "--max-examples", "4")
    assert found.returncode == 0, found.stdout[-10_000:]


def at_random(songs, two_singers, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Ask a service of its own with schemathesis, with uploads that are songs."""
    (folder / "songs").mkdir()
    for name in ("Ann", "Cy"):
        song = songs(name, 0, 3.0)
        (folder / "songs" / song.name).write_bytes(song.read_bytes())
    with serving(folder / "s", gallery=two_singers, tokens={"all": ("read", "enrol", "review")}) as served:
        with Client(served.address, served.tokens["all"]) as client:
            for name in ("Ann", "Cy", "Cy"):
                client.add_recording(songs(name, 1, 3.0))
        encoding = Document(served.address).plain["paths"]["/v1/identify"]["post"]["requestBody"]["content"]
        kinds = encoding["multipart/form-data"]["encoding"]["file"]["contentType"].split(", ")
        (folder / "random_hooks.py").write_text(HOOKS.format(folder=str(folder / "songs"), kinds=kinds))
        (folder / "schemathesis.toml").write_text(CONFIG)
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"]
        command += [f"{served.address}/openapi.json", "-H", f"Authorization: Bearer {served.tokens['all']}"]
        command += ["--seed", str(SEED), "--continue-on-failure", "--no-color", "--request-timeout", "60", *words]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "random_hooks", "PYTHONPATH": str(folder)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert not served.faults
    return done
