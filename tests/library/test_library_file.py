"""A library gives back what was put into it, whatever moves, changes or dies."""

import os
import signal
import sqlite3
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from whosings.errors import LibraryError, SilentAudioError, UnreadableAudioError
from whosings.heard import HeardTrack, HeardVoice
from whosings.library.library_file import Library
from whosings.library.library_rows import LibraryFile
from whosings.opinion_rows import Opinion
from whosings.spans import Span

PRINT = "a" * 64


def heard(seed: int, voices: int = 2, name: str = "song.mp3") -> HeardTrack:
    """A track of drawn voices, with numbers that no decimal writes exactly."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(voices):
        ends = np.sort(rng.uniform(0, 200, 6)).tolist()
        spans = tuple(Span(*ends[place : place + 2]) for place in (0, 2, 4))
        vector = rng.standard_normal(8).astype(np.float32)
        found.append(HeardVoice(vector, rng.uniform(1, 30), spans, rng.uniform(1, 90)))
    opinion = Opinion(rng.uniform(), rng.uniform(), rng.uniform(), 12) if seed % 2 else None
    return HeardTrack(name, tuple(found), rng.uniform(60, 300), rng.uniform(10, 60), seed % 3 == 0, PRINT, opinion)


def file(path: str, size: int = 5, mtime_ns: int = 7) -> LibraryFile:
    return LibraryFile(path, size, mtime_ns, {"title": "Ünïcode", "artists": ["A", "B"]})


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "l.library", PRINT, "fast", 6.0) as opened:
        yield opened


def same(one: HeardTrack, other: HeardTrack) -> bool:
    for left, right in zip(one.voices, other.voices, strict=True):
        numbers = [(v.amount, v.spans, v.seconds, v.mean.tobytes(), v.mean.dtype) for v in (left, right)]
        if numbers[0] != numbers[1]:
            return False
    names = ("track_id", "duration_s", "vocal_s", "short", "fingerprint", "opinion")
    return all(getattr(one, name) == getattr(other, name) for name in names)


@pytest.mark.parametrize("voices", [0, 1, 3])
def test_what_was_heard_comes_back_to_the_last_bit(library, voices):
    for seed in range(4):
        track = heard(seed, voices, f"/music/{seed}.mp3")
        number = library.add(file(track.track_id), f"{seed:064x}", track)
        assert same(library.heard(number), track)
    assert [same(track, library.heard(number)) for number, track in library.all_heard()] == [True] * 4
    assert [row.sha256 for row in library.recordings()] == [f"{seed:064x}" for seed in range(4)]


def test_voices_all_at_once_are_those_of_the_tracks(library):
    tracks = {
        library.add(file(f"/{seed}"), str(seed), heard(seed, seed % 4)): heard(seed, seed % 4) for seed in range(9)
    }
    found = library.voices()
    expected = [(number, voice) for number, track in tracks.items() for voice in track.voices]
    assert found.recordings.tolist() == [number for number, _ in expected]
    assert np.array_equal(found.means, np.stack([voice.mean for _, voice in expected]))
    assert found.amounts.tolist() == [voice.amount for _, voice in expected]
    assert found.seconds.tolist() == [voice.seconds for _, voice in expected]
    assert len(set(found.ids.tolist())) == len(expected)


def test_no_voices(library):
    assert library.voices().means.shape == (0, 0) and list(library.all_heard()) == []


def test_a_file_is_known_until_it_changes(library):
    number = library.add(file("/a.mp3", 5, 7), "x", heard(1))
    assert library.known("/a.mp3", 5, 7).id == number
    assert library.known("/a.mp3", 5, 8) is None and library.known("/a.mp3", 6, 7) is None
    assert library.known("/b.mp3", 5, 7) is None
    assert list(library.files()) == [file("/a.mp3", 5, 7)]


def test_a_copy_shares_the_recording_and_keeps_what_was_heard_first(library):
    first = library.add(file("/a.mp3"), "x", heard(1, name="/a.mp3"))
    assert library.add(file("/b.mp3"), "x", heard(2)) == first
    library.add_file(file("/c.mp3"), first)
    assert library.paths(first) == ("/a.mp3", "/b.mp3", "/c.mp3")
    assert same(library.heard(first), heard(1, name="/a.mp3")) and len(list(library.recordings())) == 1
    assert [one.path for one in library.files(first)] == ["/a.mp3", "/b.mp3", "/c.mp3"]
    assert library.with_content("x").id == first and library.with_content("y") is None


def test_a_file_that_was_written_anew_is_the_recording_that_it_was(library):
    number = library.add(file("/a.mp3"), "x", heard(1))
    library.add(file("/b.mp3"), "x", heard(1))
    library.rewritten(file("/a.mp3", 6, 8), "y")
    assert library.known("/a.mp3", 6, 8).id == library.known("/b.mp3", 5, 7).id == number
    assert library.with_content("y").id == number and library.with_content("x") is None
    library.rewritten(file("/b.mp3", 6, 9), "y")
    assert library.paths(number) == ("/a.mp3", "/b.mp3") and len(list(library.recordings())) == 1
    with pytest.raises(LibraryError, match=r"has no recording of /c\.mp3; scan it"):
        library.rewritten(file("/c.mp3"), "z")


def test_an_error_is_told_of_whichever_file_is_asked_for(library):
    error = SilentAudioError("/old.wav", "is silent", "use a recording in which somebody sings")
    number = library.add(file("/old.wav"), "x", error)
    told = library.recording(number).error_of("/new.wav")
    assert type(told) is SilentAudioError
    assert str(told) == "/new.wav: is silent; use a recording in which somebody sings."
    with pytest.raises(LibraryError, match=r"holds nothing that was heard of /old.wav \(is silent\)"):
        library.heard(number)
    assert list(library.all_heard()) == [] and len(library.voices().ids) == 0


def test_forgetting_files_leaves_recordings_until_the_missing_are_forgotten(library):
    first = library.add(file("/a.mp3"), "x", heard(1))
    second = library.add(file("/b.mp3"), "y", heard(2))
    library.forget_files(["/a.mp3", "/nothing.mp3"])
    assert library.paths(first) == () and library.heard(first).track_id == "x"
    assert library.forget_missing() == 1 and library.forget_missing() == 0
    assert [row.id for row in library.recordings()] == [second]
    assert set(library.voices().recordings.tolist()) == {second}
    with pytest.raises(LibraryError, match="has no recording"):
        library.recording(first)


def test_it_is_read_again_as_it_was(tmp_path):
    with Library(tmp_path / "l", PRINT, "fast", 6.0) as opened:
        number = opened.add(file("/a.mp3"), "x", heard(5))
    with Library(tmp_path / "l") as again:
        assert (again.fingerprint, again.encoder, again.segment_s) == (PRINT, "fast", 6.0)
        assert same(again.heard(number), heard(5, name="/a.mp3"))


def test_another_encoder_is_refused_in_one_sentence(tmp_path, library):
    with pytest.raises(LibraryError, match=r"was made with encoder fast \(a{12}\), not encoder other \(b{12}\); name "):
        Library(library.path, "b" * 64, "other")
    foreign = HeardTrack("s", (), 1.0, 0.0, False, "b" * 64)
    with pytest.raises(LibraryError, match="was made with"):
        library.add(file("/a.mp3"), "x", foreign)
    assert list(library.files()) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"no database at all, only text" * 40, "is damaged or not a library"), (b"", "not a library")],
)
def test_something_else_is_refused(tmp_path, content, says):
    (tmp_path / "l").write_bytes(content)
    with pytest.raises(LibraryError, match=says):
        Library(tmp_path / "l").close()


def test_missing_and_folders_are_refused(tmp_path):
    with pytest.raises(LibraryError, match="no such library; scan songs first"):
        Library(tmp_path / "none")
    with pytest.raises(LibraryError, match="is a folder"):
        Library(tmp_path, PRINT)


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ("UPDATE voices SET mean = x'00112233'", lambda one: one.voices()),
        ("UPDATE voices SET mean = x'001122'", lambda one: one.heard(1)),
        ("UPDATE voices SET spans = x'00'", lambda one: one.heard(1)),
        ("UPDATE recordings SET opinion = '{\"a\": 1}'", lambda one: list(one.recordings())),
        ("UPDATE recordings SET opinion = '{'", lambda one: list(one.all_heard())),
        ("UPDATE files SET tags = '[]'", lambda one: list(one.files())),
    ],
)
def test_damaged_rows_are_told(tmp_path, change, read):
    with Library(tmp_path / "l", PRINT) as opened:
        opened.add(file("/a.mp3"), "x", heard(1))
        opened.add(file("/b.mp3"), "y", heard(2))
    with sqlite3.connect(tmp_path / "l") as raw:
        raw.execute(change + " WHERE rowid = 1")
    raw.close()
    with Library(tmp_path / "l") as opened, pytest.raises(LibraryError, match="is damaged"):
        read(opened)


def test_errors_of_no_known_kind_are_errors_of_audio(library):
    number = library.add(file("/a"), "x", UnreadableAudioError("/a", "is no sound", "take another"))
    with sqlite3.connect(library.path) as raw:
        raw.execute("UPDATE recordings SET error = replace(error, 'UnreadableAudioError', 'find_spec')")
    raw.close()
    assert str(library.recording(number).error_of("/a")) == "/a: is no sound; take another."


def _write_forever(path: Path) -> None:
    with Library(path, PRINT) as library:
        done = len(list(library.recordings()))
        for number in range(done, 1_000_000):
            library.add(file(f"/{number}"), str(number), heard(number))


def test_kill_9_leaves_whole_recordings(tmp_path):
    for attempt in range(4):
        process = get_context("fork").Process(target=_write_forever, args=(tmp_path / "l",))
        process.start()
        time.sleep(0.1 + 0.05 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    with Library(tmp_path / "l", PRINT) as library:
        numbers = [int(row.sha256) for row in library.recordings()]
        assert numbers == list(range(len(numbers))) and numbers
        for number, track in library.all_heard():
            assert same(track, heard(number - 1, name=f"/{number - 1}"))
