"""``whosings choir`` from the command line."""

import errno
import json

import pytest

from whosings import audio
from whosings.catalogue.manifest import read_manifest
from whosings.choir.build import PUBLISHED
from whosings.choir.soundfont import find_soundfont


def test_tiny_is_made_shown_and_found_again(run, tmp_path):
    code, out, err = run("choir", "tiny", "--out", tmp_path, "--workers", 1)
    assert code == 0, err
    lines = [line.split() for line in out.splitlines()]
    assert ["closed", "4", "12"] in lines and ["cloned", "2", "6"] in lines
    assert "24 tracks made, 0 kept" in out
    assert (tmp_path / "contact-sheet.png").stat().st_size > 50_000
    assert (tmp_path / "listen.html").exists()
    assert len(read_manifest(tmp_path / "choir.parquet").tracks) == 24
    code, out, _ = run("choir", "tiny", "--out", tmp_path, "--workers", 2, "--json")
    said = json.loads(out)
    assert code == 0 and said["made"] == 0 and said["kept"] == 24 and said["clones"] == 6
    assert said["counts"]["clones by method"] == {"neighbours": 2, "statistics": 2, "degraded": 2}
    assert said["published"] is (said["digest"] == PUBLISHED["tiny"])


def test_another_seed_does_not_go_into_the_same_folder(run, quick_choir, tmp_path):
    assert run("choir", "tiny", "--out", tmp_path)[0] == 0
    code, _, err = run("choir", "tiny", "--out", tmp_path, "--seed", 1)
    assert code == 1 and "holds another choir (seed, plan differ); take another folder or delete it." in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("huge",), 2, "no preset huge; there are tiny, starter, small, medium, standard"),
        (("standard-speech",), 1, "is made from speech; name a folder with --speech"),
        (("standard-speech", "--speech", "nowhere"), 1, "nowhere"),
        (("tiny", "--band", "nowhere.sf2"), 1, "nowhere.sf2"),
        (("tiny", "--format", "mp3"), 2, "mp3"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(run, tmp_path, words, code, message):
    found, _, err = run("choir", *words, "--out", tmp_path / "choir")
    assert found == code and message in err.replace("\n", " ") and "Traceback" not in err


@pytest.mark.slow
def test_a_soundfont_plays_where_there_is_one(run, quick_choir, tmp_path):
    pytest.importorskip("mido")
    if find_soundfont() is None:
        pytest.skip("needs FluidSynth and a soundfont")
    digests = []
    for name, band in (("a", "auto"), ("b", str(find_soundfont())), ("c", "builtin")):
        code, out, err = run("choir", "tiny", "--out", tmp_path / name, "--band", band, "--json")
        assert code == 0, err
        digests.append(json.loads(out)["digest"])
    assert digests[0] == digests[1] != digests[2]


def test_a_full_disk_is_one_sentence_with_what_to_do(run, quick_choir, tmp_path, monkeypatch):
    def full(path, samples):
        with audio.atomic(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(audio, "write_flac", full)
    code, _, err = run("choir", "tiny", "--out", tmp_path, "--workers", 1)
    assert code == 1 and len(err.strip().splitlines()) == 1
    assert err.strip().endswith(": No space left on device; make room there and run the same command again.")
    assert str(tmp_path / "songs") in err
