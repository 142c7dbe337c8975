"""Who may ask what, how much may come, and what is told of it."""

import asyncio
import errno
import json

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute

from tests.service.house import house, write_songs
from whosings.errors import ConfigError
from whosings.service import app as application
from whosings.service.gate import Gate, needs
from whosings.service.limits import Limits
from whosings.service.telemetry import Telemetry
from whosings.service.tokens import Scope, Tokens, add_token

OPEN = {"/v1/about", "/healthz", "/readyz"}


def _routes():
    return [route for router in application._ROUTERS for route in router.routes if isinstance(route, APIRoute)]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """A file of tokens, and the tokens by what each allows."""
    path = tmp_path_factory.mktemp("tokens") / "tokens.toml"
    made = {scope: add_token(path, f"for-{scope}", [scope]) for scope in Scope}
    return path, made


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, tokens):
    with house(tmp_path_factory.mktemp("guarded"), tokens[0]) as found:
        yield found


def test_every_route_says_who_may_ask():
    assert {route.path for route in _routes() if "x-scope" not in (route.openapi_extra or {})} == OPEN


def test_what_changes_things_is_not_for_readers():
    harmless = {"/v1/identify", "/v1/evidence", "/v1/verify", "/v1/library/search", "/v1/jobs/{id}"}
    for route in _routes():
        if route.methods - {"GET"} and route.path not in harmless:
            assert route.openapi_extra["x-scope"] in ("enrol", "review"), route.path


@pytest.mark.parametrize("route", _routes(), ids=lambda route: f"{min(route.methods)} {route.path}")
def test_a_token_allows_what_it_says_and_nothing_else(guarded, tokens, route):
    method, path = min(route.methods), route.path.replace("{id}", "1")
    if route.path in OPEN:
        assert guarded.client.request(method, path).status_code == 200
        return
    needed = Scope(route.openapi_extra["x-scope"])
    for given in (None, "", "Bearer", "Bearer nonsense", "Basic abc", f"Bearer {tokens[1][needed]}x"):
        headers = {} if given is None else {"Authorization": given}
        found = guarded.client.request(method, path, headers=headers)
        assert found.status_code == 401, given
        assert found.headers["www-authenticate"] == "Bearer"
        assert found.json()["title"] == "NoToken"
    for scope, token in tokens[1].items():
        if "groups" in path and method == "POST" and scope is needed:
            continue  # begins a job
        found = guarded.client.request(method, path, headers={"Authorization": f"Bearer {token}"})
        assert (found.status_code == 403) == (scope is not needed), scope


def test_naming_a_group_asks_for_both_scopes(guarded, tokens):
    headers = {"Authorization": f"Bearer {tokens[1][Scope.REVIEW]}"}
    found = guarded.client.post("/v1/library/groups/1/name", json={"name": "Ann"}, headers=headers)
    assert (found.status_code, "enrol" in found.json()["detail"]) == (403, True)


def test_about_tells_what_the_caller_may(guarded, tokens):
    stranger = guarded.client.get("/v1/about").json()
    assert (stranger["needs_token"], stranger["may"], stranger["singers"]) == (True, [], None)
    headers = {"Authorization": f"bearer {tokens[1][Scope.READ]}"}
    assert guarded.client.get("/v1/about", headers=headers).json()["may"] == ["read"]


def test_the_token_says_who_decides(tmp_path):
    path = tmp_path / "tokens.toml"
    token = add_token(path, "Ida", list(Scope))
    songs = write_songs(tmp_path, singers=1, takes=2)["Singer A"]
    with house(tmp_path / "house", path) as found:
        found.client.headers["Authorization"] = f"Bearer {token}"
        found.send("/v1/enrol", songs[0], singer="Ann")
        kept = found.send("/v1/library", songs[1]).json()
        deciding = {"recording": kept["recording"], "voice": 0, "decision": "confirm", "by": "Mallory"}
        assert found.client.post("/v1/review", json=deciding).json()["who"] == "Ida"


def test_jobs_are_their_callers_own(tmp_path):
    path = tmp_path / "tokens.toml"
    ann, bob = (add_token(path, name, [Scope.READ]) for name in ("ann", "bob"))
    song = write_songs(tmp_path, singers=1, takes=1)["Singer A"][0]
    with house(tmp_path / "house", path) as found:
        job = found.client.post(
            "/v1/identify",
            params={"job": True},
            files={"file": ("a.flac", song.read_bytes())},
            headers={"Authorization": f"Bearer {ann}"},
        ).json()["id"]
        other = {"Authorization": f"Bearer {bob}"}
        for method, route in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
            assert found.client.request(method, f"/v1/jobs/{job}{route}", headers=other).status_code == 404
        assert found.client.get("/v1/jobs", headers=other).json()["jobs"] == []
        assert found.client.get(f"/v1/jobs/{job}", headers={"Authorization": f"Bearer {ann}"}).status_code == 200


def test_a_file_of_tokens_holds_no_token(tokens):
    path, made = tokens
    assert not any(token in path.read_text() for token in made.values())
    assert path.stat().st_mode & 0o077 == 0


def test_bad_files_of_tokens_are_told(tmp_path):
    path = tmp_path / "tokens.toml"
    for text, problem in (
        ("", "holds no token"),
        ("[[token", "is no file of tokens"),
        ('[[token]]\nname = "a"\nsha256 = "12"\nmay = ["read"]', "sha256"),
        (f'[[token]]\nname = "a"\nsha256 = "{"0" * 64}"\nmay = ["everything"]', "may"),
        (f'[[token]]\nname = "a"\nsha256 = "{"0" * 64}"\nmay = ["read"]\n' * 2, "two tokens of a"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=problem.replace("(", r"\(")):
            Tokens(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        Tokens(tmp_path / "none.toml")


def test_pages_of_other_sites_are_kept_out(tmp_path):
    song = write_songs(tmp_path, singers=1, takes=1)["Singer A"][0]
    with house(tmp_path / "house") as found:
        for origin, status in (("http://localhost:8765", 200), ("https://evil.example", 403), ("null", 403)):
            files = {"file": ("a.flac", song.read_bytes())}
            sent = found.client.post("/v1/enrol", files=files, data={"singer": "A"}, headers={"Origin": origin})
            assert sent.status_code == status, origin
        for host, status in (("127.0.0.1:8765", 200), ("[::1]:8765", 200), ("evil.example", 421), ("", 421)):
            assert found.client.get("/v1/singers", headers={"Host": host}).status_code == status, host


def test_bodies_have_a_size(tmp_path):
    song = write_songs(tmp_path, singers=1, takes=1)["Singer A"][0]
    with house(tmp_path / "house", upload_bytes=20_000) as found:
        told = found.send("/v1/identify", song)
        assert (told.status_code, told.json()["title"]) == (413, "TooLarge")

        def pieces():  # no length is told beforehand
            for _ in range(100):
                yield b"x" * 1000

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        chunked = found.client.post("/v1/identify", content=pieces(), headers=headers)
        assert chunked.status_code == 413
        assert found.clean()


def test_a_full_disk_is_no_fault_of_the_client(tmp_path, monkeypatch):
    song = write_songs(tmp_path, singers=1, takes=1)["Singer A"][0]
    full = OSError(errno.ENOSPC, "No space left on device")
    with house(tmp_path / "house") as found:
        for place in ("whosings.service.desk._copy", "starlette.datastructures.UploadFile.write"):
            with monkeypatch.context() as patch:
                patch.setattr(place, lambda *given, **named: (_ for _ in ()).throw(full))
                told = found.send("/v1/identify", song)
            assert (told.status_code, told.json()["title"]) == (503, "NoRoom"), place
            assert "No space left" in told.json()["detail"]
            assert int(told.headers["retry-after"]) > 0
        assert found.clean()


def test_who_looks_whether_it_lives_is_not_logged(tmp_path):
    with house(tmp_path) as found:
        for path in ("/healthz", "/readyz", "/metrics", "/v1/about"):
            assert found.client.get(path).status_code == 200
        assert [line["route"] for line in found.lines() if line["event"] == "request"] == ["/v1/about"]
        assert 'route="/healthz"' in found.client.get("/metrics").text


def test_problems_are_sentences_with_a_request_id(tmp_path):
    with house(tmp_path) as found:
        for method, path, status in (
            ("GET", "/nothing", 404),
            ("PUT", "/v1/identify", 405),
            ("POST", "/v1/identify", 415),
            ("GET", "/v1/singers?limit=none", 422),
            ("GET", "/v1/library/recordings/-1", 422),
            ("GET", "/v1/library/recordings/9223372036854775807", 422),
            ("GET", "/v1/library/recordings/900719925474099", 404),
            ("GET", "/v1/jobs/none", 404),
        ):
            told = found.client.request(method, path)
            assert told.headers["content-type"] == "application/problem+json", path
            body = told.json()
            assert (told.status_code, body["status"]) == (status, status), path
            assert body["detail"].endswith(".")
            assert body["request_id"] == told.headers["x-request-id"]


def test_log_and_metrics_hold_no_names(tmp_path):
    song = write_songs(tmp_path, singers=1, takes=1)["Singer A"][0]
    with house(tmp_path / "house") as found:
        found.send("/v1/enrol", song, "secret-song.flac", singer="Secret Singer")
        found.client.get("/v1/singers/recordings", params={"name": "Secret Singer"})
        found.send("/v1/identify", song, "secret-song.flac")
        numbers = found.client.get("/metrics").text
        assert "whosings_heard_seconds_total 16.0" in numbers
        assert 'whosings_requests_total{method="POST",route="/v1/enrol",status="200"} 1.0' in numbers
        text = json.dumps(found.lines()) + numbers
        assert "ecret" not in text
        assert all(line["seconds"] >= 0 for line in found.lines() if line["event"] == "request")


@pytest.fixture
def gate():
    """A gate before a small application: ``.ask`` asks it as a server would."""
    router = APIRouter()

    @router.post("/work", openapi_extra=needs(Scope.READ, listens=True))
    async def work(request: Request):
        await asyncio.sleep(0.2)
        return {"bytes": len(await request.body())}

    @router.get("/fault", openapi_extra=needs(Scope.READ))
    async def fault():
        raise RuntimeError("/secret/place")

    inner = FastAPI()
    inner.include_router(router)
    log = []

    class Log(Telemetry):
        def write(self, event, **fields):
            log.append((event, fields))

    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    limits = Limits(idle_s=0.5, upload_s=1.5, waiting=2)
    import sys

    found = Gate(inner, routes, limits, None, Log(sys.stderr))

    async def ask(path, pieces=(), gap_s=0.0, method="POST"):
        """Status and body; the pieces of the body come with gaps."""
        waiting, sent = list(pieces), []

        async def receive():
            await asyncio.sleep(gap_s)
            if waiting:
                return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}
            await asyncio.sleep(60)

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"localhost:1"), (b"content-type", b"multipart/form-data; boundary=b")],
            "root_path": "",
            "http_version": "1.1",
            "scheme": "http",
            "client": None,
            "server": None,
        }
        await found(scope, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])

    found.ask, found.log = ask, log
    return found


def test_only_so_many_are_taken_at_once(gate):
    async def crowd():
        return await asyncio.gather(*(gate.ask("/work", [b"x"]) for _ in range(5)))

    statuses = sorted(status for status, _ in asyncio.run(crowd()))
    assert statuses == [200, 200, 503, 503, 503]
    assert asyncio.run(gate.ask("/work", [b"x"]))[0] == 200  # there is room again


def test_slow_bodies_are_given_up(gate):
    assert asyncio.run(gate.ask("/work", [b"x"] * 3, gap_s=0.02))[0] == 200
    assert asyncio.run(gate.ask("/work", [b"x"] * 3, gap_s=1.0))[0] == 408  # a gap too long
    assert asyncio.run(gate.ask("/work", [b"x"] * 50, gap_s=0.1))[0] == 408  # too slow altogether
    assert {fields["error"] for event, fields in gate.log if event == "request"} == {"", "SlowUpload"}


def test_faults_of_ours_show_nothing_of_the_inside(gate):
    status, body = asyncio.run(gate.ask("/fault", [b""], method="GET"))
    assert status == 500
    assert b"secret" not in body
    assert any(event == "fault" and fields["kind"] == "RuntimeError" for event, fields in gate.log)
