"""Names of uploads are fit for a folder; sentences hold no path of the machine."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whosings.service.limits import Places
from whosings.service.names import safe_name


@given(st.text(st.characters(codec=None), max_size=400))
def test_any_name_becomes_one_part_of_a_path(given):
    name = safe_name(given)
    assert 0 < len(name.encode("utf-8")) <= 160
    assert name == Path(name).name
    assert name not in (".", "..")
    assert not set(name) & set('/\\\0\n\r\t:*?"<>|\u202e')
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("song.flac", "song.flac"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Music\\song.mp3", "song.mp3"),
        ("Björk – Jóga.flac", "Björk – Jóga.flac"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("..", "recording"),
        ("", "recording"),
        (None, "recording"),
        ("x" * 300 + ".flac", "x" * 145 + ".flac"),
        ("\ud800.wav", "recording.wav"),
    ],
)
def test_names_that_people_send(given, name):
    assert safe_name(given) == name


def test_sentences_name_files_and_no_folders(tmp_path):
    places = Places(tmp_path / "my.gallery", Path("songs.library"), tmp_path / "data")
    kept = places.kept("ab12", "song one.flac")
    told = {
        f"{places.gallery}: is damaged (x); restore it.": "the gallery: is damaged (x); restore it.",
        "songs.library: has no recording 3; scan again.": "the library: has no recording 3; scan again.",
        f"{kept} sounds unlike Ann's other recording; like nobody enrolled.": (
            "song one.flac sounds unlike Ann's other recording; like nobody enrolled."
        ),
        "/music/Ann/old.mp3 sounds unlike Ann's other recording.": "old.mp3 sounds unlike Ann's other recording.",
        "my.gallery.old stays": "my.gallery.old stays",
    }
    for sentence, expected in told.items():
        assert places.hidden(sentence, ["/music/Ann/old.mp3", str(kept)]) == expected


def test_what_a_killed_service_left_is_removed(tmp_path):
    places = Places(tmp_path / "g", tmp_path / "l", tmp_path / "data")
    places.make()
    (places.work / "left").write_bytes(b"x")
    (places.waiting / "job").write_bytes(b"x")
    places.make()
    assert not any(places.work.iterdir())
    assert [path.name for path in places.waiting.iterdir()] == ["job"]
    assert places.data.stat().st_mode & 0o077 == 0
