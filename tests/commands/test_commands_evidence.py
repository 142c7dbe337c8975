"""Evidence, exports and what is enrolled of a singer, from the command line, with an encoder that ships."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from jsonschema import Draft202012Validator

from tests.product.test_evidence_page import place_of
from tests.product.test_exports import rttm
from whosings.choir.cast import draw_singer
from whosings.choir.songs import record
from whosings.gallery import Gallery

ROOT = Path(__file__).parents[2]
FAST = ["--encoder", "fast", "--device", "cpu"]


def schema(name):
    return Draft202012Validator(json.loads((ROOT / f"docs/{name}.schema.json").read_text()))


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Three songs of ten seconds by each of two generated singers."""
    folder = tmp_path_factory.mktemp("songs")
    for name, number in (("ann", 0), ("bob", 1)):
        for song in range(3):
            soundfile.write(
                folder / f"{name}-{song + 1}.flac", record(draw_singer(6, number), song, 10).mixture, 16_000
            )
    return folder


@pytest.fixture
def home(tmp_path, songs, run, monkeypatch):
    """A folder with the songs and a gallery of two of each singer's, named by relative paths."""
    for song in songs.iterdir():
        (tmp_path / song.name).write_bytes(song.read_bytes())
    monkeypatch.chdir(tmp_path)
    for name in ("Ann", "Bob"):
        assert run("enrol", name, *(f"{name.lower()}-{n}.flac" for n in (1, 2)), "-g", "g", *FAST)[0] == 0
    return tmp_path


def identify(run, *words):
    code, out, err = run("identify", *words, "-g", "g", *FAST)
    assert code == 0, err
    return out


def test_what_is_enrolled_is_given_back(home, run):
    code, out, _ = run("gallery", "show", "ann", "-g", "g", "--json")
    found = json.loads(out)
    assert code == 0 and [row["source"] for row in found] == [str(home / f"ann-{n}.flac") for n in (1, 2)]
    with Gallery("g") as gallery:
        for row, track in zip(found, gallery.tracks_of("Ann"), strict=True):
            assert row["singer"] == "Ann" and row["sha256"] == track.sha256 and gallery.segment_s == 6
            assert row["start_s"] == track.start_s.tolist() and row["segments"] == len(row["start_s"]) >= 2
            covered = np.zeros(400, bool)
            for start in row["start_s"]:
                covered[round(10 * start) : round(10 * start) + 60] = True
            assert row["seconds"] == pytest.approx(covered.sum() / 10, abs=0.11)
            assert sum(span["stop_s"] - span["start_s"] for span in row["spans"]) == pytest.approx(row["seconds"])
    code, out, _ = run("gallery", "show", "ann", "-g", "g")
    assert code == 0 and f"{home}/ann-1.flac" in out and out.splitlines()[0].split() == [
        "recording", "content", "segments", "seconds", "heard",
    ]  # fmt: skip
    code, out, err = run("gallery", "show", "Eve", "-g", "g")
    assert code == 1 and err == "g: nobody named Eve is enrolled; list the names with: whosings gallery list.\n"


def test_evidence_from_another_folder(home, run, monkeypatch, tmp_path_factory):
    """The songs were named by relative paths when they were enrolled, and are found from anywhere."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    code, out, err = run("identify", home / "ann-1.flac", "-g", home / "g", *FAST, "--evidence", "why")
    assert code == 0, err
    assert out.endswith(f"evidence: {Path('why/index.html').resolve()}\n")
    written = json.loads(Path("why/evidence.json").read_text())
    schema("evidence").validate(written)
    assert sorted(written["files"]) == sorted(path.name for path in Path("why").iterdir())
    (voice,) = written["recordings"][0]["voices"]
    assert voice["singer"] == "Ann" and voice["recordings"] == 2 and voice["runner_up"]["singer"] == "Bob"
    best = voice["matches"][0]
    # The probe is enrolled itself: the same passage of the same file, which is said.
    assert best["source"] == str(home / "ann-1.flac") and best["cosine"] == pytest.approx(1, abs=1e-3)
    assert best["heard"]["start_s"] == pytest.approx(best["enrolled"]["start_s"])
    assert any("the same as one of" in caveat for caveat in voice["caveats"])
    samples, _ = soundfile.read(home / "ann-1.flac", dtype="float32")
    for side in ("heard", "enrolled"):
        clip, _ = soundfile.read(f"why/1-1-1-{side}.flac", dtype="float32")
        place, fit = place_of(clip, samples)
        span = best[side]
        assert 3 <= len(clip) / 16_000 <= 6 and fit > 0.99
        assert place <= span["stop_s"] and place + len(clip) / 16_000 >= span["start_s"]


def test_what_is_printed_and_exported_is_of_the_schema(home, run):
    for probes in (["ann-3.flac"], ["ann-3.flac", "bob-3.flac"]):
        printed = identify(run, *probes, "--json", "--export", "all.json")
        schema("answer").validate(json.loads(printed))
        assert Path("all.json").read_text() == printed
    exported = identify(run, "ann-3.flac", "bob-3.flac", "--export", "all.rttm")
    found = rttm(Path("all.rttm").read_text())
    answers = json.loads(printed)
    for name, answer in zip(("ann-3", "bob-3"), answers, strict=True):
        starts = [span["start_s"] for voice in answer["voices"] for span in voice["spans"]]
        assert [start for start, _, _ in found[name]] == pytest.approx(sorted(starts), abs=1e-3)
    assert "ann-3.flac: " in exported
    assert "evidence" not in identify(run, "ann-3.flac", "--json", "--evidence", "why") and Path("why/1.png").exists()


def test_labels_hold_one_recording(home, run):
    identify(run, "ann-3.flac", "--export", "a.txt")
    assert Path("a.txt").read_text().count("\t") == 2 * len(Path("a.txt").read_text().splitlines()) > 0
    code, out, err = run("identify", "ann-3.flac", "bob-3.flac", "-g", "g", *FAST, "--export", "b.txt")
    assert code == 2 and out == "" and "a label track holds one recording, not 2; export each by itself" in err


def test_outputs_that_would_lose_something_are_refused(home, run):
    (home / "mine").mkdir()
    (home / "mine/letter.txt").write_text("dear")
    (home / "in").mkdir()
    (home / "in/a.flac").write_bytes((home / "ann-3.flac").read_bytes())
    before = sorted(home.rglob("*"))
    for words, says in (
        (["ann-3.flac", "--evidence", "mine"], "holds letter.txt, which would be lost"),
        (["ann-3.flac", "--evidence", "ann-1.flac"], "ann-1.flac: is a file; name a folder"),
        (["in/a.flac", "--evidence", "in"], "holds a.flac, which would be lost"),
        (["ann-3.flac", "--evidence", "new", "--export", "new/a.csv"], "new/a.csv lies in the folder new"),
        (["ann-3.flac", "--evidence", "new", "--picture", "new/a.png"], "new/a.png lies in the folder new"),
        (["ann-3.flac", "--export", "a.xml"], "a.xml should end with .rttm or .txt or .csv or .json"),
        (["ann-3.flac", "--export", "a"], "a should end with .rttm or .txt or .csv or .json"),
    ):
        code, out, err = run("identify", *words, "-g", "g", *FAST)
        assert code == 2 and out == "" and says in " ".join(err.replace("│", " ").split()), (words, err)
    assert sorted(home.rglob("*")) == before


def test_a_bad_file_loses_no_other(home, run):
    (home / "bad.flac").write_text("no sound")
    words = ["bad.flac", "ann-3.flac", "--evidence", "why", "--export", "a.csv"]
    code, _, err = run("identify", *words, "-g", "g", *FAST)
    assert code == 1 and "bad.flac" in err
    assert (home / "a.csv").read_text().count("ann-3.flac") >= 1
    written = json.loads((home / "why/evidence.json").read_text())
    assert [row["recording"] for row in written["recordings"]] == ["ann-3.flac"]
    code, _, _ = run("identify", "bad.flac", "-g", "g", *FAST, "--evidence", "none", "--export", "none.csv")
    assert code == 1 and not (home / "none").exists() and not (home / "none.csv").exists()


def test_a_gallery_of_before_keeps_working(home, run):
    """It says nothing of the length of segments, and its sources are as they were typed."""
    with Gallery("g") as gallery, gallery._writing():
        kept = {key: value for key, value in gallery._facts.items() if key != "segment_s"}
        gallery._db.execute("DELETE FROM about WHERE key = 'segment_s'")
        gallery._facts = kept
        gallery._say()
    code, out, _ = run("gallery", "show", "Bob", "-g", "g", "--json")
    assert code == 0 and [(row["seconds"], row["spans"]) for row in json.loads(out)] == [(None, None)] * 2
    assert run("gallery", "show", "Bob", "-g", "g")[1].splitlines()[1].split()[3:] == ["-", "-"]
    identify(run, "bob-1.flac", "--evidence", "why")
    assert (home / "why/1-1-1-enrolled.flac").exists()
    assert run("gallery", "check", "-g", "g")[0] == 0
