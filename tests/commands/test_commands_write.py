"""Tags, playlists and tables from kept answers, on the real command line."""

import csv
import json

import pytest
import soundfile

pytest.importorskip("mutagen")

from mutagen.id3 import ID3

from tests.library.files_with_tags import make, sound
from whosings.answer import Answer, Outcome, Terms, Verdict, Voice
from whosings.exports import export
from whosings.spans import Span


def answer(track, *voices):
    terms = Terms(0.01, "a test", 3.0, 1.0)
    return Answer(str(track), Verdict.SEVERAL, (), 0.0, (), 61.4, 40.0, False, "f", terms, voices=tuple(voices))


def voice(singer, probability, *spans, outcome=Outcome.NAMED):
    seconds = sum(stop - start for start, stop in spans)
    return Voice(singer, probability, outcome, seconds, tuple(Span(start, stop) for start, stop in spans))


@pytest.fixture(params=[".json", ".csv"])
def home(request, tmp_path, monkeypatch):
    """Three songs, and answers on them as identify exports them; the name of these."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "music").mkdir()
    for name in ("24.mp3", "23.mp3", "a.flac"):
        make(tmp_path / "music", name)
    export(
        [
            answer("music/24.mp3", voice("Ann", 0.99, (0, 9), (12, 20)), voice("=Bö", 0.95, (9, 12))),
            answer("music/23.mp3", voice("Ann", 0.98, (0, 9)), voice(None, 0.6, (9, 30), outcome=Outcome.UNKNOWN)),
            answer("music/a.flac", voice("Eve", 0.6, (0, 9), outcome=Outcome.WORTH_A_LOOK)),
        ],
        f"answers{request.param}",
    )
    return f"answers{request.param}"


def test_tags_are_shown_written_and_undone(home, tmp_path, run):
    songs = [tmp_path / "music" / name for name in ("24.mp3", "23.mp3", "a.flac")]
    before, sounds = [song.read_bytes() for song in songs], [sound(song) for song in songs]
    for extra in ([], ["--dry-run"]):
        code, out, err = run("write", "tags", "--from", home, *extra)
        assert (code, err) == (0, "")
        assert out == (
            f"{songs[0]}: Ann (vocals) (99%), =Bö (vocals) (95%)\n{songs[1]}: Ann (vocals) (98%)\n"
            "3 credits in 2 files would be added; nothing is changed, add --apply to write\n"
        )
        assert [song.read_bytes() for song in songs] == before and not (tmp_path / "whosings-tags.journal").exists()
    code, out, _ = run("write", "tags", "--from", home, "--apply")
    assert code == 0
    assert out.endswith("2 files changed; undo it with: whosings write undo whosings-tags.journal\n")
    assert ID3(songs[0])["TMCL"].people == [["guitar", "Gil"], ["vocals", "Ann"], ["vocals", "=Bö"]]
    assert [sound(song) for song in songs] == sounds and songs[2].read_bytes() == before[2]
    code, out, _ = run("write", "tags", "--from", home, "--json")
    assert json.loads(out) == {"applied": False, "files": [], "failed": []}
    assert "2 files have them already" in run("write", "tags", "--from", home)[1]
    code, out, _ = run("write", "tags", "--from", home, "--worth-a-look", "--role", "lead vocals", "--apply", "--json")
    (row,) = json.loads(out)["files"]
    assert code == 0 and row["path"] == str(songs[2]) and row["before"] != row["after"]
    code, out, _ = run("write", "undo", "whosings-tags.journal")
    assert (code, out) == (0, "3 files as before\n")
    assert [song.read_bytes() for song in songs] == before
    assert run("write", "undo", "whosings-tags.journal")[1] == "0 files as before\n"


def test_playlists(home, tmp_path, run):
    code, out, _ = run("write", "playlists", "--from", home, "--out", "lists")
    assert (code, out) == (0, "2 playlists in lists\n")
    length = -1 if home.endswith("csv") else 61
    assert (tmp_path / "lists/Ann.m3u8").read_text().splitlines() == [
        "#EXTM3U",
        "#WHOSINGS Ann",
        "#PLAYLIST:Ann",
        f"#EXTINF:{length},24",
        "../music/24.mp3",
        f"#EXTINF:{length},23",
        "../music/23.mp3",
    ]
    for line in (tmp_path / "lists/Ann.m3u8").read_text().splitlines():
        assert line.startswith("#") or soundfile.info(tmp_path / "lists" / line).frames
    assert run("write", "playlists", "--from", home, "--out", "lists")[0] == 0
    (tmp_path / "lists/Ann.m3u8").write_text("#EXTM3U\nmine.mp3\n")
    code, _, err = run("write", "playlists", "--from", home, "--out", "lists")
    assert code == 1 and "is there already and is no playlist of whosings" in err
    assert (tmp_path / "lists/Ann.m3u8").read_text() == "#EXTM3U\nmine.mp3\n"


def test_table(home, tmp_path, run):
    assert run("write", "csv", "--from", home, "--out", "who.csv", "--worth-a-look")[:2] == (0, "4 rows in who.csv\n")
    rows = list(csv.DictReader((tmp_path / "who.csv").open()))
    assert [(row["singer"], row["outcome"], row["seconds"]) for row in rows] == [
        ("Ann", "named", "17.000"),
        ("'=Bö", "named", "3.000"),
        ("Ann", "named", "9.000"),
        ("Eve", "worth a look", "9.000"),
    ]
    code, _, err = run("write", "csv", "--from", home, "--out", home)
    assert code == 2 and (home.endswith("json") or "also an input" in " ".join(err.replace("│", " ").split()))


def test_bad_input(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in (
        ("a.json", "{}"),
        ("b.json", "nothing"),
        ("c.csv", "x,y\n1,2\n"),
        ("d.json", '[{"voices": 3}]'),
    ):
        (tmp_path / name).write_text(content)
        code, out, err = run("write", "tags", "--from", name)
        assert (code, out) == (1, "") and f"{name}: does not hold answers of identify; give what" in err, name
    assert "none.json: cannot be read (No such file or directory)" in run("write", "tags", "--from", "none.json")[2]
    export([answer("gone.mp3", voice("Ann", 0.9, (0, 9)))], "e.json")
    code, out, err = run("write", "tags", "--from", "e.json", "--apply")
    assert code == 1 and "gone.mp3: cannot be read (No such file or directory)" in err and "0 files changed" in out
    assert run("write", "tags", "--from", "e.json", "--apply", "--dry-run")[0] == 2
    assert run("write", "tags", "--from", "e.json", "--role", "a (b)")[0] == 2
    assert "no such journal" in run("write", "undo", "nothing")[2]


def test_names_of_playlists_fit_every_file_system(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["AC/DC", "ac:dc", "con", "...", "a" * 300, "a" * 301, "東" * 200]
    make(tmp_path, "24.mp3").rename(tmp_path / "# one.mp3")
    export([answer("# one.mp3", *(voice(name, 0.9, (n, n + 1)) for n, name in enumerate(names)))], "e.json")
    assert run("write", "playlists", "--from", "e.json", "--out", "lists")[:2] == (0, "7 playlists in lists\n")
    found = sorted(path.name for path in (tmp_path / "lists").iterdir())
    assert len({name.casefold() for name in found}) == 7 and all(len(name.encode()) < 256 for name in found)
    assert {"AC_DC.m3u8", "ac_dc (2).m3u8", "con_.m3u8", "_.m3u8"} <= set(found)
    assert (tmp_path / "lists/con_.m3u8").read_text().splitlines()[-1] == "../# one.mp3"
