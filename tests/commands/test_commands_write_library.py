"""Tags from a library: nothing is listened to, and the library knows the files afterwards."""

import json

import pytest
import soundfile

from whosings.choir.cast import draw_singer
from whosings.choir.songs import record
from whosings.library.library_file import Library

FAST = ["--encoder", "fast", "--device", "cpu"]


def test_a_library_knows_what_is_written_into_its_files(tmp_path, run, monkeypatch):
    pytest.importorskip("mutagen")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "music").mkdir()
    for name, number in (("ann", 0), ("bob", 1)):
        for song in range(3):
            folder = tmp_path / "music" if song == 2 else tmp_path
            soundfile.write(folder / f"{name}-{song}.flac", record(draw_singer(6, number), song, 10).mixture, 16_000)
        assert run("enrol", name, f"{name}-0.flac", f"{name}-1.flac", "-g", "g", *FAST)[0] == 0
    (tmp_path / "music/twin.flac").write_bytes((tmp_path / "music/ann-2.flac").read_bytes())
    assert run("scan", "music", "-l", "l", "--workers", 0, *FAST)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "music").iterdir()}

    def state():
        with Library("l") as library:
            return {p: r.sha256 for r in library.recordings() for p in library.paths(r.id)}, library.count()

    then = state()
    words = ("write", "tags", "-l", "l", "-g", "g")
    code, out, err = run(*words)
    assert code == 0 and "3 credits in 3 files would be added" in out, err
    assert run(*words, "--apply")[0] == 0
    assert "3 files have them already" in run(*words)[1]
    now, count = state()
    assert count <= then[1] + 1 and now.keys() == then[0].keys() and all(now[p] != then[0][p] for p in now)
    code, out, _ = run("scan", "music", "-l", "l", "--workers", 0, *FAST)
    assert code == 0 and [json.loads(line)["state"] for line in out.splitlines()] == ["known"] * 3
    code, out, _ = run("write", "undo", "whosings-tags.journal", "-l", "l")
    assert code == 0 and {path: path.read_bytes() for path in before} == before
    assert state()[0] == then[0]
    assert run(*words, "--from", "x.json")[0] == 2
