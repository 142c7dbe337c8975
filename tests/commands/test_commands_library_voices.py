"""``whosings find``, ``group`` and ``review`` end to end, on a library of made voices and on one song."""

import csv
import json

import pytest
import soundfile

from tests.conftest import singing
from tests.library.made import Maker
from whosings.gallery import Gallery

MAKER = Maker()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A library of four singers with three songs each, two of them enrolled, and a voice like two who are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "ida")
    with MAKER.library("songs.library") as library:
        for take in range(3):
            for singer in range(4):
                MAKER.add(library, f"{singer}-{take}", [10 * singer], take, artists=[f"Artist {singer}"])
        MAKER.add(library, "half", [30.5], 60)
        MAKER.add(library, "duet", [0, 10], 9)
    with Gallery("singers.gallery", MAKER.fingerprint, "default") as gallery:
        for singer in (0, 30, 31, *range(200, 211)):
            name = {0: "Ann", 30: "Bob", 31: "Bea"}.get(singer, f"singer {singer}")
            for take in range(50, 53):
                gallery.add(name, MAKER.embeddings(singer, take), f"{singer}-{take}")
    return tmp_path


def test_find_by_a_song_of_the_library_hears_nothing(home, run):
    code, out, _ = run("find", "/songs/1-0", "--json")
    (voice,) = json.loads(out)
    paths = [match["paths"][0] for match in voice["matches"]]
    assert code == 0 and set(paths[:3]) == {"/songs/1-1", "/songs/1-2", "/songs/duet"} and "/songs/1-0" not in paths
    code, out, _ = run("find", "/songs/1-0", "--top", 2)
    assert code == 0 and out.count("/songs/") == 2 and "0:01.0-0:04.0, 0:10.0-0:22.0" in out and "indication" in out


def test_find_in_a_duet_looks_for_each_voice(home, run):
    found = json.loads(run("find", "/songs/duet", "--json")[1])
    assert [voice["matches"][0]["paths"][0][7] for voice in found] == ["0", "1"]
    assert run("find", "/songs/duet")[1].count("the voice in") == 2
    (one,) = json.loads(run("find", "/songs/duet", "--from", "0:12", "--to", "20", "--json")[1])
    assert one["seconds"] == 15.0
    code, _, err = run("find", "/songs/duet", "--from", "25")
    assert code == 1 and "/songs/duet: has nobody who sings in 0:25.0-0:30.0" in err
    code, _, err = run("find", "/songs/duet", "--from", "noon")
    assert code == 2 and "noon is no moment" in err


def test_find_by_a_singer(home, run):
    (found,) = json.loads(run("find", "ANN", "--json", "--gallery", "singers.gallery")[1])
    assert found["spans"] is None
    assert {match["paths"][0] for match in found["matches"][:4]} == {f"/songs/0-{take}" for take in range(3)} | {
        "/songs/duet"
    }
    code, _, err = run("find", "Zoe")
    assert code == 1 and "Zoe: is neither a file, nor a song of the library, nor enrolled in singers.gallery" in err
    code, _, err = run("find", "Ann", "--from", "3")
    assert code == 2 and "choose a voice of a song" in err
    code, _, err = run("find", "Ann", "--library", "none")
    assert code == 1 and "no such library" in err


def test_find_by_a_song_that_is_not_in_the_library(home, run):
    soundfile.write("new.flac", singing(8), 16_000)
    code, out, err = run("find", "new.flac", "--json")
    assert code == 0, err
    assert len(json.loads(out)[0]["matches"]) == 14
    soundfile.write("short.wav", singing(0.5), 16_000)
    code, _, err = run("find", "short.wav")
    assert code == 1 and "short.wav" in err


def test_groups_from_finding_to_naming(home, run):
    found = json.loads(run("group", "--gallery", "singers.gallery", "--json")[1])
    groups = {one["likely"][0]["name"]: one for one in found}
    assert set(groups) == {"Artist 1", "Artist 2"}  # the others are enrolled
    first, second = groups["Artist 1"]["id"], groups["Artist 2"]["id"]
    assert groups["Artist 1"]["recordings"] == 4
    text = run("group", "--gallery", "singers.gallery")[1]
    assert "perhaps Artist 1 (75%, tags)" in text and "0:12.0-0:20.0" in text
    assert "/songs/2-1" in run("group", "show", second)[1]
    code, out, err = run("group", "split", second, "/songs/2-1", "--by", "Jo")
    assert code == 0 and "1 voice taken out" in out, err
    code, _, err = run("group", "split", second, "/songs/2-1")
    assert code == 1 and f"/songs/2-1: is not in group {second}" in err
    code, _, err = run("group", "split", second, "elsewhere.mp3")
    assert code == 1 and "elsewhere.mp3: is not in the library" in err
    code, out, _ = run("group", "name", first, "Cy", "--json")
    assert code == 0 and json.loads(out)["enrolled"]["added"] == 4
    assert "Cy" in run("list")[1]
    again = {one["id"]: one for one in json.loads(run("group", "--json")[1])}
    assert again[first]["name"] == "Cy" and all(voice["by_person"] for voice in again[first]["voices"])
    assert "/songs/2-1" not in {voice["path"] for voice in again[second]["voices"]}
    code, out, _ = run("group", "merge", second, first)
    assert code == 0 and "6 voices" in out
    code, _, err = run("group", "name", 999, "Dee")
    assert code == 1 and "has no group 999" in err
    code, _, err = run("group", "--top", 3, "show", first)
    assert code == 2 and "after the verb" in err
    run("review", "export", "log.json")
    log = json.loads((home / "log.json").read_text())
    assert [line["deed"] for line in log] == ["split group", "name group", "merge groups"]
    assert [line["who"] for line in log] == ["Jo", "ida", "ida"]


def test_review_from_the_list_to_the_thresholds(home, run):
    code, out, err = run("review", "list", "--json")
    assert code == 0, err
    items = json.loads(out)
    assert [item["path"] for item in items] == ["/songs/half"] and items[0]["said"]["outcome"] == "named"
    one, other = items[0]["said"]["singer"], items[0]["said"]["runner_up"]
    assert {one, other} == {"Bob", "Bea"} and f"{one}, and {other} is nearly as likely" in run("review", "list")[1]
    code, _, err = run("review", "decide", "/songs/half", "somebody-else")
    assert code == 1 and "needs the singer's name" in err
    code, out, err = run("review", "decide", "/songs/half", "reject", "--by", "=Eve()")
    assert code == 0 and f"/songs/half, voice 1: reject {one}, by =Eve()" in out, err
    assert (
        "nothing is worth a look" in run("review", "list")[1] and "by =Eve()" in run("review", "list", "--decided")[1]
    )
    code, _, err = run("review", "decide", "/songs/duet", "confirm")
    assert code == 1 and "--voice" in err
    assert run("review", "decide", "/songs/duet", "somebody-else", "--name", "ann", "--voice", 1)[0] == 0
    code, out, _ = run("review", "export", "log.csv", "--json")
    assert code == 0 and json.loads(out)["decisions"] == 2
    with (home / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["who"] for row in rows] == ["'=Eve()", "ida"] and rows[1]["singer"] == "Ann"
    code, _, err = run("review", "export", "log.xls")
    assert code == 2 and ".csv or .json" in err
    plain = json.loads(run("gallery", "calibrate", "--json")[1])
    more = json.loads(run("gallery", "calibrate", "--library", "songs.library", "--json")[1])
    assert plain["rates"]["recordings"] == 42 and more["rates"]["recordings"] > 42
    assert more["held_back"] == 43


def test_an_index_is_made_used_kept_and_removed(home, run, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr("whosings.library.near_search.WORTH_IT", 1)
    whole = json.loads(run("find", "/songs/1-0", "--json")[1])
    assert "make an index on this machine: whosings index" in " ".join(run("find", "/songs/1-0")[2].split())
    code, out, _ = run("index")
    assert code == 0 and "songs.library.index: 15 voices, 15 added, 0 deleted" in out.replace("\n", "")
    code, out, err = run("find", "/songs/1-0", "--json")
    assert code == 0 and not err
    for one, right in zip(json.loads(out)[0]["matches"], whole[0]["matches"], strict=True):
        assert one["sha256"] == right["sha256"] and one["probability"] == pytest.approx(right["probability"], abs=1e-4)
    with MAKER.library("songs.library") as library:
        MAKER.add(library, "1-9", [10], 9)
    assert json.loads(run("index", "--json")[1])["upkeep"]["added"] == 1
    (home / "songs.library.index/current.json").write_text("{")
    assert "is damaged (current.json cannot be read)" in " ".join(run("find", "/songs/1-0")[2].split())
    assert "made anew: is damaged" in run("index")[1]
    assert run("index", "--anew", "--remove")[0] == 2
    assert run("index", "--remove")[0] == 0 and not (home / "songs.library.index").exists()
