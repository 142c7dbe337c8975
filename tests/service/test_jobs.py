"""Jobs: how far they are, one at a time, taken back, limits, restarts."""

import json
import time

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, singing
from tests.service.house import house, write_songs
from whosings.service.jobs_file import JobsError, JobsFile, State


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return write_songs(tmp_path_factory.mktemp("songs"), singers=1, takes=2)["Singer A"]


@pytest.fixture(scope="module")
def long_song(tmp_path_factory):
    """A minute and a half; more than what the services here answer at once."""
    path = tmp_path_factory.mktemp("long") / "long.flac"
    soundfile.write(path, np.tile(singing(30.0, seed=1), 3), RATE)
    return path


def _wait(found, id, states=("done", "failed")):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        job = found.client.get(f"/v1/jobs/{id}").json()
        if job["state"] in states:
            return job
        time.sleep(0.05)
    raise AssertionError(job)


def _ask(found, route, path, job=True, **form):
    return found.client.post(route, params={"job": job}, files={"file": (path.name, path.read_bytes())}, data=form)


def test_long_recordings_become_jobs_with_the_same_answer(tmp_path, songs, long_song):
    with house(tmp_path, answer_at_once_s=20.0) as found:
        assert found.send("/v1/enrol", songs[0], singer="Ann").status_code == 200
        told = _ask(found, "/v1/identify", long_song, job=False)
        assert told.status_code == 202
        assert told.headers["location"] == f"/v1/jobs/{told.json()['id']}"
        job = _wait(found, told.json()["id"])
        found.desk.limits = found.desk.limits.model_copy(update={"answer_at_once_s": 600.0})
        assert job["result"] == found.send("/v1/identify", long_song).json()
        assert not any(found.places.waiting.iterdir())
        assert found.clean()
        for route in ("/v1/verify", "/v1/library/search"):  # which no job answers
            found.desk.limits = found.desk.limits.model_copy(update={"answer_at_once_s": 20.0})
            files = {name: ("l.flac", long_song.read_bytes()) for name in ("first", "second", "file")}
            fit = {"file": files["file"]} if "search" in route else {name: files[name] for name in ("first", "second")}
            assert found.client.post(route, files=fit).status_code == 413


def test_every_kind_of_question_can_be_a_job(tmp_path, songs):
    with house(tmp_path) as found:
        enrolled = _wait(found, _ask(found, "/v1/enrol", songs[0], singer="Ann", keep="true").json()["id"])
        assert (enrolled["result"]["singer"], enrolled["result"]["added"]) == ("Ann", True)
        explained = _wait(found, _ask(found, "/v1/evidence", songs[1]).json()["id"])
        assert explained["result"]["evidence"]["voices"][0]["singer"] == "Ann"
        kept = _wait(found, _ask(found, "/v1/library", songs[1], keep_audio="true").json()["id"])
        assert found.client.get(f"/v1/library/recordings/{kept['result']['recording']}/audio").status_code == 200
        assert [job["kind"] for job in found.client.get("/v1/jobs").json()["jobs"]] == ["library", "evidence", "enrol"]
        assert all(job["result"] is None for job in found.client.get("/v1/jobs").json()["jobs"])


def test_events_tell_how_far_it_is(tmp_path, songs, long_song):
    with house(tmp_path) as found:
        found.send("/v1/enrol", songs[0], singer="Ann")
        id = _ask(found, "/v1/identify", long_song).json()["id"]
        events, numbers = [], []
        with found.client.stream("GET", f"/v1/jobs/{id}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    events.append(json.loads(line.removeprefix("data: ")))
                if line.startswith("id: "):
                    numbers.append(int(line.removeprefix("id: ")))
        assert numbers == list(range(1, len(events) + 1))
        assert events[-1]["state"] == "done"
        assert events[-1]["result"]["verdict"] == "singer"
        assert {"decoding", "listening"} & {event["stage"] for event in events}
        with found.client.stream("GET", f"/v1/jobs/{id}/events", headers={"Last-Event-ID": "3"}) as stream:
            again = [line for line in stream.iter_lines() if line.startswith("event: ")]
        assert again == ["event: done"]


def test_a_job_that_fails_says_why(tmp_path, songs):
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"RIFF" + bytes(40))
    with house(tmp_path / "house") as found:
        job = _wait(found, _ask(found, "/v1/identify", noise).json()["id"])
        assert job["state"] == "failed"
        assert job["error"]["detail"].startswith("noise.wav: ")
        assert str(tmp_path) not in json.dumps(job)
        nobody = _wait(found, _ask(found, "/v1/identify", songs[0]).json()["id"])
        assert nobody["error"]["title"] == "NobodyEnrolled"


def test_jobs_are_taken_back(tmp_path, songs, long_song):
    with house(tmp_path) as found:
        found.send("/v1/enrol", songs[0], singer="Ann")
        ids = [_ask(found, "/v1/identify", long_song).json()["id"] for _ in range(3)]
        _wait(found, ids[0], ("running", "done"))
        for id in ids[:2]:
            assert found.client.delete(f"/v1/jobs/{id}").status_code == 204
            assert found.client.get(f"/v1/jobs/{id}").status_code == 404
        assert _wait(found, ids[2])["state"] == "done"
        assert not any(found.places.waiting.iterdir())


def test_so_many_jobs_and_no_more(tmp_path, songs):
    with house(tmp_path, jobs_waiting=3, jobs_each=2) as found:
        statuses = [_ask(found, "/v1/identify", songs[0]) for _ in range(12)]
        refused = [told for told in statuses if told.status_code != 202]
        assert {told.status_code for told in refused} <= {429, 503}
        assert all(int(told.headers["retry-after"]) > 0 for told in refused)
        assert refused, "twelve jobs fitted where two may wait"


def test_jobs_survive_a_restart(tmp_path, songs):
    with JobsFile(tmp_path / "data" / "jobs.sqlite") as file:
        (tmp_path / "data" / "waiting").mkdir()
        for name in ("one.flac", "two.flac"):
            job = file.add("", "identify", name, {"top": 1, "kind": "identify"})
            (tmp_path / "data" / "waiting" / job.id).write_bytes(songs[1].read_bytes())
        file.run(job.id)  # the service was killed at it
    stray = tmp_path / "data" / "waiting" / "of-nobody"
    stray.write_bytes(b"x")
    with house(tmp_path) as found:
        found.send("/v1/enrol", songs[0], singer="Ann")
        jobs = found.client.get("/v1/jobs").json()["jobs"]
        assert {job["name"] for job in jobs} == {"one.flac", "two.flac"}
        for job in jobs:
            ended = _wait(found, job["id"])
            assert ended["state"] == "done" or ended["error"]["title"] == "NobodyEnrolled"
        assert not stray.exists()


def test_a_damaged_file_of_jobs_is_told(tmp_path):
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"no database, but long enough to be looked at as one" * 20)
    with pytest.raises(JobsError, match="move it away"):
        JobsFile(path)


def test_ended_jobs_are_forgotten_in_time(tmp_path):
    with JobsFile(tmp_path / "jobs.sqlite") as file:
        first, second = (file.add("ann", "identify", "a.flac", {}) for _ in range(2))
        file.end(first.id, '{"a": 1}', None)
        file.forget_ended(time.time() - 60)
        assert file.job(first.id).result == {"a": 1}
        file.forget_ended(time.time() + 60)
        assert file.job(first.id) is None
        assert file.job(second.id).state is State.WAITING
