"""What strangers may send: bad recordings, hostile names, forms and bodies of no form, files at which decoders die."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import struct
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import numpy as np
import pytest
import soundfile

from tests.commands.test_cli import BAD, _bad_files
from tests.conftest import singing
from tests.ground.test_audio import wav
from tests.service.conftest import Served, serving
from whosings.service.client import Client
from whosings.service.client_http import ServiceError
from whosings.service.names import safe_name

INSIDE = ("Traceback", "site-packages", 'File "', "/tmp/", "/var/", "whosings-service", ".sqlite", "<class")
"""What no answer may hold: tracebacks, and paths of the server."""


@pytest.fixture(scope="module")
def strict(two_singers, tmp_path_factory):
    """A service that knows Ann and Bob and has little patience."""
    words = [word for limit in ("idle_s=2", "upload_bytes=3000000") for word in ("--set", limit)]
    with serving(tmp_path_factory.mktemp("strict"), *words, gallery=two_singers) as found:
        yield found
    assert not found.faults
    assert not list((found.folder / "whosings-service" / "work").iterdir()), "nothing is left of requests"
    assert all(line.startswith("{") for line in found.log.read_text().splitlines()), "the log is JSON"


@pytest.fixture(scope="module")
def song():
    """Three seconds of a singer, as WAV."""
    return wave_file(singing(3.0, 0))


def wave_file(samples) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, 16_000, format="WAV")
    return content.getvalue()


def safe(response: httpx2.Response, *statuses: int) -> dict[str, object]:
    """The JSON of a response with one of these statuses, which tells nothing of what is inside."""
    assert response.status_code in statuses, response.text[:500]
    for secret in INSIDE:
        assert secret not in response.text, response.text
    plain = response.json()
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/problem+json"
        assert plain["status"] == response.status_code and plain["detail"].endswith(".") and plain["title"]
    return plain


def form(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


def part(name: bytes, content: bytes, filename: bytes | None = None, headers: bytes = b"") -> bytes:
    named = b"" if filename is None else b'; filename="' + filename + b'"'
    return b'Content-Disposition: form-data; name="' + name + b'"' + named + b"\r\n" + headers + b"\r\n" + content


def post(served: Served, path: str, body: bytes, kind: str | bytes = "multipart/form-data; boundary=b"):
    return httpx2.post(served.address + path, content=body, headers={"Content-Type": kind}, timeout=60)


def spoken(served: Served, *pieces: bytes | float, wait_s: float = 20.0) -> bytes:
    """What a service says to bytes sent as they are; numbers are seconds of silence. b"" where it hangs up."""
    place = urlsplit(served.address)
    with socket.create_connection((place.hostname, place.port), wait_s) as line:
        try:
            for piece in pieces:
                if isinstance(piece, float):
                    time.sleep(piece)
                else:
                    line.sendall(piece)
        except OSError:
            pass
        found = b""
        try:
            while piece := line.recv(1 << 16):
                found += piece
        except ConnectionError:
            pass
        return found


# ---------------------------------------- recordings


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    """Bad recordings of the tests of the command line and of decoding."""
    folder = tmp_path_factory.mktemp("bad")
    found = {name: path for name, (path, _) in _bad_files(folder).items() if path.is_file()}
    rng = np.random.default_rng(2)
    others = {
        "noise.wav": rng.bytes(20_000),
        "zeros.mp3": bytes(20_000),
        "one.ogg": b"O",
        "page.html": b"<!doctype html><title>404</title>",
        "list.m3u8": b"#EXTM3U\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n",
        "list.txt": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "rate.wav": wav(struct.pack("<HHIIHH", 1, 1, 0xFFFFFFFF, 0, 2, 16), bytes(64)),
        "channels.wav": wav(struct.pack("<HHIIHH", 1, 0xFFFF, 44100, 0, 2, 16), bytes(64)),
        "promise.wav": wav(struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16), bytes(64)).replace(
            b"data" + struct.pack("<I", 64), b"data" + struct.pack("<I", 1 << 30)
        ),
    }
    for name, content in others.items():
        found[name] = folder / name
        found[name].write_bytes(content)
    return found


def test_bad_recordings_are_refused_with_the_sentence_of_the_command_line(run, strict, two_singers, bad_files):
    words = ("-g", two_singers, "--encoder", "fast", "--device", "cpu", "--json")
    code, out, err = run("identify", *bad_files.values(), *words)
    assert code == 1 and json.loads(out) == []
    assert set(bad_files) >= set(BAD) - {"missing", "folder"}
    for name, path in bad_files.items():
        sentence = next(line.strip() for line in err.splitlines() if line.strip().startswith(f"{path}: "))
        sentence = sentence.replace(str(path), name)
        for route in ("identify", "evidence", "library", "library/search"):
            response = httpx2.post(
                f"{strict.address}/v1/{route}", files={"file": (name, path.read_bytes())}, timeout=60
            )
            assert safe(response, 413, 422)["detail"] == sentence
        response = httpx2.post(
            f"{strict.address}/v1/enrol", files={"file": (name, path.read_bytes())}, data={"singer": "Eve"}, timeout=60
        )
        assert safe(response, 413, 422)["detail"] == sentence
    assert "Eve" not in httpx2.get(f"{strict.address}/v1/singers").text


def test_a_bad_recording_beside_a_good_one_is_named(strict, song):
    files = {"first": ("good.wav", song), "second": ("bad.wav", b"no sound")}
    detail = safe(httpx2.post(f"{strict.address}/v1/verify", files=files, timeout=60), 422)["detail"]
    assert str(detail).startswith("bad.wav: ")


def test_hard_songs_are_answered_as_by_the_command_line(run, strict, two_singers, tmp_path):
    """A shout in a silent song, a song of one second, and noise."""
    shout = np.zeros(4 * 16_000, np.float32)
    shout[16_000:24_000] = 0.9 * singing(0.5, 0) / np.abs(singing(0.5, 0)).max()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * 16_000).astype(np.float32)
    for name, samples in (("shout.wav", shout), ("short.wav", singing(1.1, 1)), ("noise.wav", noise)):
        path = tmp_path / name
        path.write_bytes(wave_file(samples))
        words = ("-g", two_singers, "--encoder", "fast", "--device", "cpu", "--json")
        code, out, _ = run("identify", path, *words)
        response = httpx2.post(f"{strict.address}/v1/identify", files={"file": (name, path.read_bytes())}, timeout=60)
        said, (told,) = safe(response, 200), json.loads(out)
        assert code == 0 and said.pop("track_id") == name and told.pop("track_id")
        assert near(said, told)


def near(one, other) -> bool:
    """Whether two answers are the same but for rounding."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(near(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(near, one, other))
    return one == pytest.approx(other, abs=1e-4) if isinstance(one, float) else one == other


# ---------------------------------------- names

NAMES = {
    b"../../etc/passwd": "passwd",
    b"..": "recording",
    b".": "recording",
    b"": "recording",
    b"a\x00b.wav": "ab.wav",
    b"/etc/shadow/": "recording",
    b"C:\\\\Users\\\\me\\\\song.wav": "song.wav",
    "‮gnp.wav".encode(): "gnp.wav",
    "a\u2028b\u0085c\u061cd\ufeff.wav".encode(): "abcd.wav",
    b"\xff\xfe.wav": "ÿþ.wav",
    b".bashrc": "recording.bashrc",
    b"a\tb\x1b[31m.wav": "ab[31m.wav",
    b"<img src=x onerror=alert(1)>.wav": "img src=x onerror=alert(1).wav",
    b"CON": "CON",
    b"NUL.wav": "NUL.wav",
    "Ångström – Ünïcödé 歌.wav".encode(): "Ångström – Ünïcödé 歌.wav",
    b"x" * 3000 + b".wav": "x" * 146 + ".wav",
}


@pytest.mark.parametrize("given", NAMES, ids=[f"{name[:12]!r}" for name in NAMES])
def test_names_of_uploads_steer_nothing(strict, song, given):
    answer = safe(post(strict, "/v1/identify", form(part(b"file", song, given))), 200)
    assert answer["track_id"] == NAMES[given]


def test_a_name_that_no_part_may_have_is_refused(strict, song):
    safe(post(strict, "/v1/identify", form(part(b"file", song, b"x" * 5000 + b".wav"))), 400)


@pytest.mark.parametrize(
    "given", ["\ud800.wav", "é" * 5000, "a" * 200 + "." + "b" * 200, " . ", "\u202e", "👩\u200d🎤.wav", "‍.wav"]
)
def test_made_fit_names_are_names_of_files(given, tmp_path):
    made = safe_name(given)
    assert made and len(made.encode()) <= 150 and made == Path(made).name
    assert made.replace("\u200d", "").isprintable() and made.strip(" .\u200d") == made
    (tmp_path / made).write_bytes(b"")
    assert safe_name(made) == made, "once is enough"


def test_kept_files_lie_in_the_folder_of_the_service(strict, song, tmp_path):
    outside = {path for path in strict.folder.rglob("*") if "recordings" not in path.parts}
    for number, name in enumerate((b"../../../up.wav", b"..%2f..%2fup.wav", b"recordings/x.wav")):
        content = song + bytes(2 * number)
        kept = safe(post(strict, "/v1/library", form(part(b"file", content, name))), 200)
        path = f"{strict.address}/v1/library/recordings/{kept['recording']}"
        assert httpx2.get(f"{path}/audio").content == content
        assert httpx2.delete(path).status_code == 204
    left = {path for path in strict.folder.rglob("*") if "recordings" not in path.parts}
    assert {path.name for path in left - outside} <= {"songs.library", "songs.library-wal", "songs.library-shm"}
    assert not [path for path in (strict.folder / "whosings-service" / "recordings").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "name",
    [b"", b"  ", b"\x00", b"a\x00b", b"x" * 201, b"x" * 5000, "\u200b\u202e".encode(), b"\xed\xa0\x80"],
    ids=repr,
)
def test_names_of_singers_that_are_none(strict, song, name):
    safe(post(strict, "/v1/enrol", form(part(b"singer", name), part(b"file", song, b"a.wav"))), 422)
    text = name.decode("utf-8", "surrogatepass")
    safe(post(strict, "/v1/singers/rename", json.dumps({"name": "Ann", "to": text}).encode(), "application/json"), 422)
    assert [one["name"] for one in httpx2.get(f"{strict.address}/v1/singers").json()["singers"]] == ["Ann", "Bob"]


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "=cmd|' /C calc'!A0", "../../x", "A\nB", "‮Ann B", "%00", "null"]
)
def test_odd_names_of_singers_are_texts_and_nothing_else(strict, song, name):
    body = form(part(b"singer", name.encode()), part(b"file", song, b"a.wav"), part(b"keep", b"true"))
    spelt = safe(post(strict, "/v1/enrol", body), 200)["singer"]
    assert spelt == " ".join(name.replace("‮", "").split())
    found = safe(httpx2.get(f"{strict.address}/v1/singers/recordings", params={"name": name}), 200)
    assert found["name"] == spelt
    assert httpx2.delete(f"{strict.address}/v1/singers", params={"name": name}).status_code == 204


# ---------------------------------------- forms and bodies

FORMS = {
    "no boundary": ("multipart/form-data", 400),
    "another boundary": ("multipart/form-data; boundary=c", 400),
    "a long boundary": (f"multipart/form-data; boundary={'b' * 300}", 400),
    "an empty boundary": ("multipart/form-data; boundary=", 400),
    "text": ("text/plain", 415),
    "sound": ("audio/wav", 415),
    "json": ("application/json", 415),
    "pairs": ("application/x-www-form-urlencoded", 415),
    "nothing": ("", 415),
    "another charset": ("multipart/form-data; boundary=b; charset=utf-16", 422),
    "no charset": (b"multipart/form-data; boundary=b; charset=\xff\xfe", 200),
    "a codec": ("multipart/form-data; boundary=b; charset=rot13", 200),
}


@pytest.mark.parametrize("name", FORMS)
def test_kinds_of_bodies(strict, song, name):
    kind, status = FORMS[name]
    safe(post(strict, "/v1/identify", form(part(b"file", song, b"a.wav")), kind), status)


def odd_forms(song: bytes) -> dict[str, tuple[bytes, int]]:
    whole = part(b"file", song, b"a.wav")
    return {
        "cut": (form(whole)[:-9], 422),
        "empty": (b"", 422),
        "no parts": (b"--b--\r\n", 422),
        "a text": (form(part(b"file", song[:100])), 422),
        "two files": (form(whole, whole), 422),
        "three files": (form(whole, whole, whole), 400),
        "an empty text": (form(whole, part(b"keep", b"")), 422),
        "another file": (form(whole, part(b"other", song, b"b.wav")), 200),
        "1,000 parts": (form(*(part(b"p%d" % number, b"x") for number in range(1000)), whole), 400),
        "a long text": (form(part(b"more", b"x" * 20_000), whole), 400),
        "a long header": (form(part(b"file", song, b"a.wav", b"X-A: " + b"a" * 100_000 + b"\r\n")), 400),
        "5,000 headers": (form(part(b"file", song, b"a.wav", b"X-A: b\r\n" * 5000)), 400),
        "no name": (form(b"Content-Disposition: form-data\r\n\r\nx"), 400),
        "no disposition": (form(b"X-A: b\r\n\r\nx"), 400),
        "a part in it": (form(part(b"file", form(whole), b"a.wav")), 422),
        "too large": (form(part(b"file", bytes(3_100_000), b"a.wav")), 413),
    }


@pytest.mark.parametrize("name", odd_forms(b""))
def test_odd_forms(strict, song, name):
    body, status = odd_forms(song)[name]
    safe(post(strict, "/v1/identify", body), status)


BODIES = {
    "half": (b"[", 422),
    "deep": (b"[" * 200_000, 400),
    "deep tables": (b'{"name":' * 100_000, 400),
    "no text": (b"\xff\xfe\x00", 400),
    "null": (b"null", 422),
    "a list": (b"[]", 422),
    "long numbers": (b'{"name":' + b"9" * 5000 + b',"to":"x"}', 400),
    "infinite": (b'{"name":1e999,"to":"x"}', 422),
    "NaN": (b"NaN", 422),
    "a stranger's field": (b'{"name":"Ann","to":"B","' + b"k" * 100_000 + b'":1}', 422),
    "half a letter": (b'{"name":"Ann","to":"\\ud800"}', 422),
    "half a letter in a name": (b'{"name":"\\udfff","to":"Anna"}', 422),
    "NUL": (b'{"name":"Ann","to":"a\\u0000b"}', 422),
    "long": (b'{"name":"Nobody","to":"B"}' + b" " * 1_100_000, 413),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_of_json(strict, name):
    body, status = BODIES[name]
    found = safe(post(strict, "/v1/singers/rename", body, "application/json"), status)
    assert len(str(found["detail"])) < 500, "what a stranger sent is not sent back"


@pytest.mark.parametrize(
    "path",
    [
        "/page/../app.py",
        "/page/..%2f..%2fapp.py",
        "/page/%2e%2e/%2e%2e/desk.py",
        "/page/%00",
        "/page//etc/passwd",
        "/page/" + "a" * 5000,
        "//",
        "/%ff",
        "/docs",
        "/v1/singers/",
        "/v1/jobs/..%2f..",
        "/v1/jobs/%00",
        "/v1/singers/recordings?name=%00",
        "/v1/singers/recordings?name=%ed%a0%80",
        "/v1/singers/clip?name=Ann&sha256=..%2f..&start_s=0&stop_s=1",
        "/v1/library/recordings/9007199254740991",
    ],
    ids=lambda path: path[:24],
)
def test_paths_that_are_none(strict, path):
    safe_bytes = spoken(strict, b"GET " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert safe_bytes.startswith(b"HTTP/1.1 404 ")
    assert not any(secret.encode() in safe_bytes for secret in INSIDE)


RAW = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
    "no version": (b"GET /v1/about\r\n\r\n", 400),
    "no host": (b"GET /v1/about HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
    "two hosts": (b"GET /v1/about HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", 400),
    "another host": (b"GET /v1/about HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n", 421),
    "another method": (b"BREW /v1/about HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
    "negative": (b"POST /v1/identify HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
    "two lengths": (
        b"POST /v1/identify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        400,
    ),
    "a long header": (
        b"GET /v1/about HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        431,
    ),
    "a very long header": (b"GET /v1/about HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 3_000_000, 400),
    "many headers": (
        b"GET /v1/about HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + b"X: a\r\n" * 9000 + b"\r\n",
        431,
    ),
    "a long path": (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 431),
    "a bad chunk": (
        b"POST /v1/singers/rename HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        400,
    ),
}


@pytest.mark.parametrize("name", RAW)
def test_requests_that_are_none(strict, name):
    sent, status = RAW[name]
    head, _, body = spoken(strict, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert json.loads(body)["status"] == status and b"application/problem+json" in head


def test_a_body_in_chunks_is_counted(strict, song):
    def pieces():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        for _ in range(40):
            yield bytes(100_000)

    response = httpx2.post(
        f"{strict.address}/v1/identify",
        content=pieces(),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
        timeout=30,
    )
    assert safe(response, 413)["title"] == "TooLarge"


def test_a_large_body_is_refused_in_words_that_its_sender_gets_to_read(strict):
    for _ in range(3):
        content = bytes(30_000_000)
        response = httpx2.post(f"{strict.address}/v1/identify", files={"file": ("a.wav", content)}, timeout=30)
        assert safe(response, 413)["title"] == "TooLarge"


HEAD = b"POST /v1/identify HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
SLOW = {
    "headers": (b"GET /v1/about HTTP/1.1\r\nX: ", *[b"a", 0.5] * 10),
    "a second request's headers": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1", *[b"a", 0.5] * 10),
    "nothing": (6.0,),
}


@pytest.mark.parametrize("name", SLOW)
def test_slow_headers_end(strict, name):
    began = time.monotonic()
    said = spoken(strict, *SLOW[name])
    assert said.count(b"HTTP/1.1") == ("second" in name) and time.monotonic() - began < 10


def test_a_sender_who_hangs_up_leaves_nothing(strict):
    """Whether half of the upload is there, or all of it and the answer is on its way."""
    whole = form(part(b"file", wave_file(singing(12.0, 0)), b"a.wav"))
    for sent in (whole[: len(whole) // 2], whole):
        for _ in range(3):
            place = urlsplit(strict.address)
            with socket.create_connection((place.hostname, place.port)) as line:
                line.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(whole) + sent)
                time.sleep(0.05)
    until = time.monotonic() + 20
    while list((strict.folder / "whosings-service" / "work").iterdir()):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert httpx2.get(f"{strict.address}/readyz", timeout=20).text == "ready" and not strict.faults


def test_slow_bodies_end(strict):
    began = time.monotonic()
    said = spoken(strict, HEAD + b"Content-Length: 1000\r\n\r\n--b")
    assert said.startswith(b"HTTP/1.1 408 ") and b"SlowUpload" in said
    assert 1.5 < time.monotonic() - began < 8


def test_bodies_that_come_after_a_refusal_end(strict):
    began = time.monotonic()
    spoken(strict, HEAD + b"Content-Length: 9000000\r\n\r\n", *[b"x" * 1000, 0.25] * 40)
    assert time.monotonic() - began < 13
    assert httpx2.get(f"{strict.address}/healthz").text == "ok"


# ---------------------------------------- decoders

PATCH = """
# A decoder that meets the word END dies, WAIT hangs, EAT takes all memory there is.
import os, signal, time
import soundfile

_begin = soundfile.SoundFile.__init__

def begin(self, file, *given, **named):
    if isinstance(file, (str, bytes, os.PathLike)) and os.path.isfile(file):
        with open(file, "rb") as opened:
            head = opened.read(200)
        if b"-END-" in head:
            os.kill(os.getpid(), signal.SIGKILL)
        if b"-WAIT-" in head:
            time.sleep(60)
        if b"-EAT-" in head:
            bytearray(1 << 40)
    _begin(self, file, *given, **named)

soundfile.SoundFile.__init__ = begin
"""


def marked(song: bytes, word: bytes) -> bytes:
    """A WAV with a word in a chunk that means nothing."""
    chunk = b"note" + struct.pack("<I", 8) + (b"-" + word + b"-").ljust(8, b"-")
    body = song[8:12] + chunk + song[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.slow
def test_decoders_that_die_hang_or_want_too_much(songs, two_singers, song, tmp_path):
    words = ("--set", "decode_s=2", "--set", "decoders=2", "--set", "duration_s=3600", "--debug")
    with serving(tmp_path / "s", *words, gallery=two_singers, patch=PATCH) as served:

        def ask(word: bytes, name: str, query: str = "") -> httpx2.Response:
            files = {"file": (name, marked(song, word))}
            return httpx2.post(f"{served.address}/v1/identify{query}", files=files, timeout=60)

        for _ in range(2):
            assert safe(ask(b"END", "end.wav"), 422)["detail"] == (
                "end.wav: ends the process that decodes it; convert it to FLAC or WAV."
            )
            assert "takes more than 2 seconds" in str(safe(ask(b"WAIT", "wait.wav"), 422)["detail"])
            safe(ask(b"EAT", "eat.wav"), 422)
            assert safe(ask(b"FINE", "fine.wav"), 200)["verdict"] == "singer"
        job = safe(ask(b"END", "end.wav", "?job=true"), 202)
        until = time.monotonic() + 30
        while (told := httpx2.get(f"{served.address}/v1/jobs/{job['id']}").json())["state"] not in ("done", "failed"):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert told["error"]["status"] == 422 and told["error"]["detail"].startswith("end.wav: ends the process")
        assert died(served) == 2 * (2 + 1) + 2, "a file is tried once more, unless it took too long"
        assert not served.faults
        assert not list((served.folder / "whosings-service" / "work").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 2])
def test_a_decoder_that_is_killed_while_it_works_is_replaced(two_singers, song, tmp_path, kills):
    """By somebody else: the same file is decoded once more; after that it is taken to be the file's doing."""
    patch = PATCH.replace("time.sleep(60)", "time.sleep(3)")
    with serving(tmp_path / "s", "--set", "decoders=1", gallery=two_singers, patch=patch) as served:
        files = {"file": ("wait.wav", marked(song, b"WAIT"))}
        job = safe(httpx2.post(f"{served.address}/v1/identify?job=true", files=files, timeout=60), 202)
        for number in range(kills):
            while not (workers := [pid for pid in children(served.process.pid) if b"spawn_main" in command(pid)]):
                time.sleep(0.05)
            time.sleep(0.5 if number == 0 else 2.5)  # a new one starts first
            os.kill(workers[0], signal.SIGKILL)
            while died(served) < number + 1:
                time.sleep(0.05)
        with Client(served.address) as client:
            if kills == 1:
                assert client.wait(str(job["id"])).result["verdict"] == "singer"
            else:
                with pytest.raises(ServiceError, match="ends the process that decodes it"):
                    client.wait(str(job["id"]))
        assert died(served) == kills and not served.faults
        assert not list((served.folder / "whosings-service" / "work").iterdir())


@pytest.mark.slow
def test_a_full_disk_is_the_service_s_trouble(songs, two_singers, song, tmp_path):
    """Files of more than 700 kB cannot be written: neither a large upload, nor a small one when it is decoded."""
    patch = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))"
    with serving(tmp_path / "s", gallery=two_singers, patch=patch) as served:
        small = songs("Ann", 0, 20.0).read_bytes()
        for content in (wave_file(singing(40.0, 0)), small):
            response = httpx2.post(f"{served.address}/v1/identify", files={"file": ("a.wav", content)}, timeout=60)
            assert safe(response, 503)["title"] == "NoRoom" and response.headers["Retry-After"] == "60"
        assert safe(httpx2.post(f"{served.address}/v1/identify", files={"file": song}, timeout=60), 200)
        with Client(served.address) as client, pytest.raises(ServiceError) as failed:
            client.wait(client.identify(io.BytesIO(small), wait=False))
        assert (failed.value.status, failed.value.title) == (503, "NoRoom")
        assert not served.faults and not list((served.folder / "whosings-service" / "work").iterdir())


@pytest.mark.slow
def test_too_many_connections_are_told_to_come_again(two_singers, tmp_path):
    with serving(tmp_path / "s", "--set", "connections=5", gallery=two_singers) as served:
        place = urlsplit(served.address)
        idle = [socket.create_connection((place.hostname, place.port)) for _ in range(5)]
        time.sleep(0.2)
        response = httpx2.get(f"{served.address}/v1/about")
        assert safe(response, 503)["title"] == "Busy" and int(response.headers["Retry-After"]) > 0
        for line in idle:
            line.close()
        time.sleep(0.2)
        assert httpx2.get(f"{served.address}/v1/about").status_code == 200


def died(served: Served) -> float:
    """Decoders that died so far."""
    found = re.search(r"^whosings_decoders_died (\S+)", httpx2.get(f"{served.address}/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for one in lists for word in one.read_text().split()]


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.slow
def test_hours_of_silence_in_a_small_file(two_singers, tmp_path):
    """A FLAC of three hours has a few kilobytes; time and memory stay bounded, and so does length."""
    path = tmp_path / "silence.flac"
    with soundfile.SoundFile(path, "w", 16_000, 1, "PCM_16") as file:
        for _ in range(180):
            file.write(np.zeros(60 * 16_000, np.int16))
    assert path.stat().st_size < 2_000_000
    words = ("--set", "duration_s=7200", "--set", "decode_bytes=1000000000")
    with serving(tmp_path / "s", *words, gallery=two_singers) as served:
        files = {"file": ("silence.flac", path.read_bytes())}
        began = time.monotonic()
        refused = safe(httpx2.post(f"{served.address}/v1/identify", files=files, timeout=60), 413)
        assert refused["detail"] == "silence.flac: lasts 3.0 hours, more than 2; cut it into shorter files."
        assert time.monotonic() - began < 5, "its header says so"
        assert not served.faults
    words = ("--set", "decode_s=0.5", "--set", "answer_at_once_s=14400")
    with serving(tmp_path / "t", *words, gallery=two_singers) as served:
        refused = safe(httpx2.post(f"{served.address}/v1/identify", files=files, timeout=60), 422)
        assert "takes more than 0.5 seconds to decode" in str(refused["detail"])
        assert not list((served.folder / "whosings-service" / "work").iterdir())
