"""What a service answers is what the command line says; what is deleted is gone; nothing is kept unasked."""

import json

import pytest

from tests.service.house import house, write_songs
from whosings import cli
from whosings.gallery import Gallery
from whosings.library.decisions import DecidedLibrary


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return write_songs(tmp_path_factory.mktemp("songs"))


@pytest.fixture(scope="module")
def served(tmp_path_factory, songs):
    """Two singers enrolled, the first with its sound kept."""
    with house(tmp_path_factory.mktemp("house")) as found:
        for place, (name, (first, *_)) in enumerate(songs.items()):
            keep = "true" if place == 0 else "false"
            assert found.send("/v1/enrol", first, singer=name, keep=keep).json()["added"] is True
        yield found


def _said(capsys, *words):
    with pytest.raises(SystemExit):
        cli.main([str(word) for word in words])
    return json.loads(capsys.readouterr().out)


def test_identify_says_what_the_command_line_says(served, songs, capsys):
    for path in (songs["Singer A"][1], songs["Singer B"][2]):
        own = _said(capsys, "identify", path, "--gallery", served.places.gallery, "--json")[0]
        found = served.send("/v1/identify", path).json()
        assert found["verdict"] == "singer"
        assert found.pop("track_id") == path.name
        own.pop("track_id")
        assert _alike(found, own)


def _alike(one, other):
    """Equal, numbers to rounding: threads add in another order."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(_alike(left, right) for left, right in zip(one, other, strict=True))
    return one == other or one == pytest.approx(other, abs=1e-3)


def test_verify_says_what_the_command_line_says(served, songs, capsys):
    first, second = songs["Singer A"][0], songs["Singer A"][2]
    own = _said(capsys, "verify", first, second, "--json")
    files = {"first": ("x.flac", first.read_bytes()), "second": ("y.flac", second.read_bytes())}
    found = served.client.post("/v1/verify", files=files).json()
    assert (found.pop("first"), found.pop("second")) == ("x.flac", "y.flac")
    assert _alike(found, {key: value for key, value in own.items() if key not in ("first", "second")})
    assert found["same"] is True


def test_rates_change_what_is_named(served, songs):
    path = songs["Singer A"][1]
    for rate, status in ((0.001, 200), (0.0, 422), (1.0, 422), ("nan", 422), ("much", 422)):
        found = served.client.post(
            "/v1/identify", params={"false_accepts": rate}, files={"file": ("a.flac", path.read_bytes())}
        )
        assert found.status_code == status
        if status == 200:
            assert found.json()["terms"]["false_accepts"] == rate


def test_evidence_plays_what_was_kept_and_names_no_path(served, songs):
    found = served.send("/v1/evidence", songs["Singer A"][1])
    match = found.json()["evidence"]["voices"][0]["matches"][0]
    assert match["source"] == songs["Singer A"][0].name
    assert str(served.places.data.parent) not in found.text
    span = match["enrolled"]
    about = {"name": "singer a", "sha256": match["sha256"], **span}
    clip = served.client.get("/v1/singers/clip", params=about)
    assert clip.headers["content-type"] == "audio/flac"
    assert clip.content.startswith(b"fLaC")


def test_sound_that_was_not_kept_is_told_in_a_sentence(served):
    row = served.client.get("/v1/singers/recordings", params={"name": "Singer B"}).json()["recordings"][0]
    assert row["playable"] is False
    about = {"name": "Singer B", "sha256": row["sha256"], "start_s": 0, "stop_s": 2}
    found = served.client.get("/v1/singers/clip", params=about)
    assert found.status_code == 404
    assert "is not kept" in found.json()["detail"]


def test_nothing_uploaded_is_kept_unless_asked(served, songs):
    before = sorted(path for path in served.places.data.rglob("*") if path.is_file() and "jobs" not in path.name)
    assert served.send("/v1/identify", songs["Singer B"][1]).status_code == 200
    assert served.send("/v1/evidence", songs["Singer B"][1]).status_code == 200
    after = sorted(path for path in served.places.data.rglob("*") if path.is_file() and "jobs" not in path.name)
    assert before == after
    assert served.clean()


def test_upload_look_decide_and_find_it_in_the_log(tmp_path, songs):
    with house(tmp_path) as found:
        assert found.client.get("/v1/review").json()["total"] == 0
        for name, (first, *_) in songs.items():
            found.send("/v1/enrol", first, singer=name)
        kept = found.send("/v1/library", songs["Singer B"][1], "song.flac").json()
        assert kept["state"] == "heard"
        assert kept["answer"]["top"][0]["singer"] == "Singer B"
        again = found.send("/v1/library", songs["Singer B"][1], "song.flac").json()
        assert (again["state"], again["recording"]) == ("known", kept["recording"])
        deciding = {"recording": kept["recording"], "voice": 0, "decision": "confirm", "by": "Ida"}
        line = found.client.post("/v1/review", json=deciding).json()
        assert (line["who"], line["deed"], line["singer"], line["path"]) == ("Ida", "confirm", "Singer B", "song.flac")
        assert found.client.get("/v1/review/log").json()["decisions"] == [line]
        row = found.client.get(f"/v1/library/recordings/{kept['recording']}").json()
        assert row["voices"][0]["decision"] == line
        other = {**deciding, "decision": "somebody else", "singer": "Cy"}
        assert found.client.post("/v1/review", json=other).json()["singer"] == "Cy"
        nameless = found.client.post("/v1/review", json={**deciding, "decision": "somebody else"})
        assert nameless.status_code == 422
        assert "needs the singer's name" in nameless.json()["detail"]
        with DecidedLibrary(found.places.library) as library:  # the same log as the command line's
            assert [one.who for one in library.decisions()] == ["Ida", "Ida"]


def test_library_lists_filters_plays_and_forgets(tmp_path, songs):
    with house(tmp_path) as found:
        found.send("/v1/enrol", songs["Singer A"][0], singer="Ann")
        for name in songs:
            found.send("/v1/library", songs[name][1])
        page = found.client.get("/v1/library").json()
        assert [row["name"] for row in page["recordings"]] == ["a-2.flac", "b-2.flac"]
        assert found.client.get("/v1/library", params={"q": "B-2"}).json()["total"] == 1
        assert found.client.get("/v1/library", params={"singer": "Ann"}).json()["recordings"][0]["name"] == "a-2.flac"
        first = page["recordings"][0]["recording"]
        sound = found.client.get(f"/v1/library/recordings/{first}/audio")
        assert sound.content == songs["Singer A"][1].read_bytes()
        part = found.client.get(f"/v1/library/recordings/{first}/audio", headers={"Range": "bytes=0-3"})
        assert (part.status_code, part.content) == (206, b"fLaC")
        like = found.client.get("/v1/library/search", params={"singer": "ann"}).json()["voices"][0]["matches"]
        assert like[0]["recording"] == first
        assert like[0]["probability"] > 0.9 > like[1]["probability"]
        with_clip = found.send("/v1/library/search", songs["Singer B"][2]).json()["voices"][0]["matches"]
        assert with_clip[0]["name"] == "b-2.flac"
        both = found.client.get("/v1/library/search", params={"singer": "Ann", "recording": 1})
        assert both.status_code == 422
        assert found.client.delete(f"/v1/library/recordings/{first}").status_code == 204
        assert found.client.get(f"/v1/library/recordings/{first}").status_code == 404
        assert [path.name for path in found.places.recordings.rglob("*.flac")] == ["b-2.flac"]


def test_deleting_a_singer_deletes_what_was_derived(tmp_path, songs):
    with house(tmp_path) as found:
        for name, (first, *_) in songs.items():
            found.send("/v1/enrol", first, singer=name, keep="true")
        job = found.client.post(
            "/v1/identify", params={"job": True}, files={"file": ("a.flac", songs["Singer A"][1].read_bytes())}
        ).json()
        assert _ended(found, job["id"])["result"]["top"][0]["singer"] == "Singer A"
        assert found.client.delete("/v1/singers", params={"name": "singer a"}).status_code == 204
        assert [row["name"] for row in found.client.get("/v1/singers").json()["singers"]] == ["Singer B"]
        assert [path.name for path in found.places.recordings.rglob("*.flac")] == ["b-1.flac"]
        assert found.client.get(f"/v1/jobs/{job['id']}").status_code == 404
        assert found.client.delete("/v1/singers", params={"name": "singer a"}).status_code == 404
        for path in (found.places.gallery, found.places.jobs):
            assert b"Singer A" not in path.read_bytes()


def test_sound_that_another_singer_has_stays(tmp_path, songs):
    with house(tmp_path) as found:
        path = songs["Singer A"][0]
        for name in ("One", "Two"):
            found.send("/v1/enrol", path, singer=name, keep="true")
        found.client.delete("/v1/singers", params={"name": "One"})
        assert len(list(found.places.recordings.rglob("*.flac"))) == 1
        found.client.delete("/v1/singers", params={"name": "Two"})
        assert not any(found.places.recordings.iterdir())


def test_care_of_singers(tmp_path, songs):
    with house(tmp_path) as found:
        for name, (first, *_) in songs.items():
            found.send("/v1/enrol", first, singer=name)
        ask = found.client.post
        assert ask("/v1/singers/rename", json={"name": "Singer A", "to": "singer b"}).status_code == 409
        assert ask("/v1/singers/rename", json={"name": "Nobody", "to": "X"}).status_code == 404
        assert ask("/v1/singers/rename", json={"name": "Singer A", "to": " "}).status_code == 422
        assert ask("/v1/singers/rename", json={"name": "Singer A", "to": "AC/DC & <b>"}).json()["name"] == "AC/DC & <b>"
        merged = ask("/v1/singers/merge", json={"name": "AC/DC & <b>", "into": "Singer B"}).json()
        assert (merged["name"], merged["recordings"]) == ("Singer B", 2)
        row = found.client.get("/v1/singers/recordings", params={"name": "Singer B"}).json()["recordings"][0]
        gone = found.client.delete("/v1/singers/recordings", params={"name": "Singer B", "sha256": row["sha256"]})
        assert gone.status_code == 204
        with Gallery(found.places.gallery) as gallery:
            assert [(one.name, one.tracks) for one in gallery.singers()] == [("Singer B", 1)]


def test_changes_by_others_count_at_once(tmp_path, songs, capsys):
    with house(tmp_path) as found:
        found.send("/v1/enrol", songs["Singer A"][0], singer="Ann")
        assert found.send("/v1/identify", songs["Singer B"][1]).json()["verdict"] == "unknown"
        with pytest.raises(SystemExit):
            cli.main(["enrol", "Bea", str(songs["Singer B"][0]), "--gallery", str(found.places.gallery)])
        assert found.send("/v1/identify", songs["Singer B"][1]).json()["top"][0]["singer"] == "Bea"


def test_nobody_enrolled_is_told(tmp_path, songs):
    with house(tmp_path) as found:
        answer = found.send("/v1/identify", songs["Singer A"][0])
        assert (answer.status_code, answer.json()["title"]) == (409, "NobodyEnrolled")
        assert found.send("/v1/library", songs["Singer A"][0]).json()["answer"] is None


def test_groups_are_found_named_and_enrolled(tmp_path, songs):
    with house(tmp_path) as found:
        for name in songs:
            for path in songs[name]:
                found.send("/v1/library", path)
        job = found.client.post("/v1/library/groups")
        assert job.status_code == 202
        groups = _ended(found, job.json()["id"])["result"]["groups"]
        assert [group["recordings"] for group in groups] == [3, 3]
        assert found.client.get("/v1/library/groups").json()["groups"] == groups
        clip = groups[0]["clip"]
        sound = found.client.get(
            f"/v1/library/recordings/{clip['recording']}/clip",
            params={"start_s": clip["start_s"], "stop_s": clip["stop_s"]},
        )
        assert sound.content.startswith(b"fLaC")
        named = found.client.post(f"/v1/library/groups/{groups[0]['id']}/name", json={"name": "Ann", "by": "Ida"})
        assert named.json()["enrolled"] == {"added": 3, "skipped": 0, "missing": 0}
        voice = groups[1]["voices"][0]
        out = {"voices": [{"recording": voice["recording"], "voice": voice["voice"]}], "by": "Ida"}
        assert found.client.post(f"/v1/library/groups/{groups[1]['id']}/split", json=out).json()["voices"] == 2
        assert found.client.post("/v1/library/groups/99/split", json=out).status_code == 404


def _ended(found, id):
    """A job once it is done, followed by its events."""
    names = []
    with found.client.stream("GET", f"/v1/jobs/{id}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
    assert names[-1] == "done"
    return found.client.get(f"/v1/jobs/{id}").json()


def test_a_sound_never_comes_as_what_a_browser_would_run(tmp_path, songs):
    with house(tmp_path) as found:
        for name, kind in (("page.html", "application/octet-stream"), ("song.flac", "audio/flac")):
            path = songs["Singer A" if name == "page.html" else "Singer B"][0]
            kept = found.send("/v1/library", path, name).json()
            sound = found.client.get(f"/v1/library/recordings/{kept['recording']}/audio")
            assert sound.headers["content-type"] == kind
            assert sound.headers["x-content-type-options"] == "nosniff"
            assert sound.headers["content-security-policy"].startswith("sandbox")
