"""What befalls a service: killed processes, clients that go away, a killed service, the end while it works."""

import itertools
import os
import random
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, singing
from tests.service.conftest import serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")


def _decoders(process):
    """Processes of a service that decode."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == process.pid and b"spawn_main" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except (OSError, IndexError):  # it has ended
            continue
    return found


def _resident_mb(process):
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def _open_files(process):
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def _ask(found, path, line=None, **query):
    files = {"file": (path.name, path.read_bytes())}
    return (line or httpx2).post(f"{found.address}/v1/identify", params=query, files=files, timeout=60)


def _until(true, seconds=30.0):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def _work(found):
    return list((found.folder / "whosings-service" / "work").iterdir())


@pytest.fixture(scope="module")
def long_song(tmp_path_factory):
    """Two minutes and a half."""
    path = tmp_path_factory.mktemp("long") / "long.flac"
    soundfile.write(path, np.tile(singing(30.0, seed=0), 5), RATE)
    return path


def test_idle_processes_that_are_killed_are_replaced(served, songs):
    for _ in range(2):
        killed = _decoders(served.process)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        answer = _ask(served, songs("Ann", 1))
        assert (answer.status_code, answer.json()["top"][0]["singer"]) == (200, "Ann")
        assert not set(killed) & set(_decoders(served.process))


def test_while_processes_are_killed_everybody_gets_the_answer_or_is_told_to_come_again(tmp_path, two_singers, songs):
    statuses, wrong, over = [], [], threading.Event()

    def client(number):
        with httpx2.Client() as line:
            while not over.is_set():
                singer = "Ann" if number % 2 else "Bob"
                answer = _ask(found, songs(singer, 1), line)
                statuses.append(answer.status_code)
                if answer.status_code == 200:
                    wrong.extend([answer.json()] if answer.json()["top"][0]["singer"] != singer else [])
                elif answer.status_code != 503 or "retry-after" not in answer.headers:
                    wrong.append(answer.text)

    with serving(tmp_path, gallery=two_singers) as found:
        songs("Ann", 1), songs("Bob", 1)
        clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
        for one in clients:
            one.start()
        fate = random.Random(0)
        for _ in range(12):
            time.sleep(fate.uniform(0.1, 0.8))
            for pid in _decoders(found.process)[: fate.choice([1, 2])]:
                os.kill(pid, signal.SIGKILL)
        over.set()
        for one in clients:
            one.join()
        assert not wrong
        assert statuses.count(200) > 4
        assert _ask(found, songs("Ann", 1)).status_code == 200
        assert not _work(found)
        assert not found.faults
        metrics = httpx2.get(f"{found.address}/metrics").text
        assert "whosings_decoders_died 0.0" not in metrics


def test_clients_that_go_away_leave_nothing(served, songs):
    content, address = songs("Ann", 1).read_bytes(), httpx2.URL(served.address)
    before, number = _open_files(served.process), len(served.lines)
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.flac"\r\n\r\n' + content + b"\r\n--x--\r\n"
    head = (
        f"POST /v1/identify HTTP/1.1\r\nHost: localhost:{address.port}\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    ).encode()
    for sent in (head, head + body[: len(body) // 2], head + body):  # the last is not listened to
        with socket.create_connection((address.host, address.port)) as line:
            line.sendall(sent)
            time.sleep(0.1)
    _until(lambda: len(served.lines) >= number + 3)
    assert sorted(line["status"] for line in served.lines[number:]) == [200, 499, 499]
    _until(lambda: _open_files(served.process) <= before)
    assert not _work(served)
    assert not served.faults


@pytest.mark.long
def test_memory_and_files_stay_the_same(served, songs):
    clips = [songs(singer, number, seconds) for singer in ("Ann", "Bob") for number in (1, 2) for seconds in (4.0, 7.0)]
    bad = songs("Ann", 1).parent / "bad.flac"
    bad.write_bytes(b"no sound" * 1000)
    sizes = []
    with httpx2.Client() as line:
        for _ in range(4):
            for path in itertools.islice(itertools.cycle([*clips, bad]), 63):
                assert _ask(served, path, line).status_code == (422 if path is bad else 200)
            sizes.append((_resident_mb(served.process), _open_files(served.process)))
    assert sizes[-1][0] < sizes[1][0] + 30
    assert sizes[-1][1] <= sizes[0][1] + 1
    assert not _work(served)


def test_a_job_of_a_killed_service_is_done_by_the_next_one(tmp_path, two_singers, long_song):
    with serving(tmp_path, gallery=two_singers) as found:
        id = _ask(found, long_song, job=True).json()["id"]
        later = _ask(found, long_song, job=True).json()["id"]
        _until(lambda: httpx2.get(f"{found.address}/v1/jobs/{id}").json()["state"] == "running")
        decoders = _decoders(found.process)
        found.process.kill()
        found.process.wait()
        _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in decoders))
    (tmp_path / "whosings-service" / "work" / "left").write_bytes(b"of a request")
    with serving(tmp_path, gallery=two_singers) as found:
        assert not (tmp_path / "whosings-service" / "work" / "left").exists()
        for one in (id, later):
            _until(lambda one=one: httpx2.get(f"{found.address}/v1/jobs/{one}").json()["state"] == "done", 60)
            result = httpx2.get(f"{found.address}/v1/jobs/{one}").json()["result"]
            assert result["top"][0]["singer"] == "Ann"
        assert not any((tmp_path / "whosings-service" / "waiting").iterdir())
        assert not _work(found)


def test_a_service_that_is_asked_to_end_finishes_requests_and_closes_streams(tmp_path, two_singers, songs, long_song):
    answers, events, ended = [], [], []

    def ask():
        answers.append(_ask(found, songs("Ann", 1, 40.0)))

    def follow():
        with httpx2.stream("GET", f"{found.address}/v1/jobs/{id}/events", timeout=60) as stream:
            events.extend(stream.iter_lines())
        ended.append(time.monotonic())

    with serving(tmp_path, gallery=two_singers) as found:
        songs("Ann", 1, 40.0)
        id = _ask(found, long_song, job=True).json()["id"]
        threads = [threading.Thread(target=ask), threading.Thread(target=follow)]
        for thread in threads:
            thread.start()
        _until(lambda: "whosings_in_work 1.0" in httpx2.get(f"{found.address}/metrics").text)
        _until(lambda: events)
        found.process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        for thread in threads:
            thread.join()
        assert found.process.wait(30) in (0, -signal.SIGTERM)
        assert (answers[0].status_code, answers[0].json()["top"][0]["singer"]) == (200, "Ann")
        assert ended[0] < asked + 10
        assert not _work(found)
        assert not found.faults
        assert found.lines[-1]["event"] == "stopped"
    with serving(tmp_path, gallery=two_singers) as found:  # what was not done is done now
        _until(lambda: httpx2.get(f"{found.address}/v1/jobs/{id}").json()["state"] == "done", 60)
