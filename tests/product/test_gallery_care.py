"""Removing, renaming and merging: what is gone is gone from the file, byte by byte, and the rest stands."""

import hashlib
import os
import shutil
import signal
import sqlite3
from multiprocessing import get_context

import numpy as np
import pytest

from tests.product.test_gallery import PRINT, RESTORE, made, says
from whosings.enrolled import NewTrack
from whosings.enrolled_files import recordings_meant
from whosings.errors import GalleryError
from whosings.gallery import Gallery

SECRET = "Zacharias Secret"


def sha(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def tracks(count=40, dimensions=32):
    """Some tracks of some singers; the secret one's lie among the others'."""
    for number in range(count):
        singer = SECRET if number % 5 == 2 else f"singer {number % 7}"
        source = f"/home/{'hidden' if singer == SECRET else 'open'}/{number}.flac"
        yield NewTrack(singer, made(number, 4 + number % 9, dimensions), sha(number), source)


def bytes_of(new):
    """What a track may leave in a file: embeddings, where it lay, its hash."""
    vectors = new.track.vectors.astype("<f2").tobytes()
    return [vectors[place : place + 16] for place in range(0, len(vectors), 64)] + [
        new.source.encode(), new.sha256.encode(),
    ]  # fmt: skip


def folder_bytes(folder):
    return b"".join(path.read_bytes() for path in folder.iterdir())


def left(folder, patterns):
    """How many of some byte strings are in any file of a folder."""
    content = folder_bytes(folder)
    return sum(pattern in content for pattern in patterns)


@pytest.fixture
def filled(tmp_path):
    with Gallery(tmp_path / "g", PRINT) as gallery:
        gallery.add_many(tracks())
        yield gallery


def secret_patterns(gallery):
    """All bytes of the secret singer, with the voice as the file has it."""
    (row,) = [whole for whole in gallery.whole_singers() if whole.name == SECRET]
    voice = row.voice.tobytes()
    voices = [voice[place : place + 16] for place in range(0, len(voice), 16)]
    own = [pattern for new in tracks() if new.singer == SECRET for pattern in bytes_of(new)]
    return [SECRET.encode(), *voices, *own]


@pytest.mark.parametrize("mode", ["DELETE", "WAL", "TRUNCATE", "PERSIST"])
def test_a_removed_singer_is_in_no_byte_of_the_folder(filled, tmp_path, mode):
    """Whatever SQLite's journal is set to; with WAL, what was written lies beside the file."""
    filled._db.execute(f"PRAGMA journal_mode = {mode}")
    filled.add(SECRET, made(999, 6, 32), "f" * 64, "/home/hidden/last.flac")
    patterns = [*secret_patterns(filled), *bytes_of(NewTrack(SECRET, made(999, 6, 32), "f" * 64, "/home/hidden/last"))]
    assert left(tmp_path, patterns) >= len(patterns) - 1 and len(patterns) > 50
    filled.remove(SECRET)
    assert not filled.unswept
    found = sorted(path.name for path in tmp_path.iterdir())
    if mode == "PERSIST":  # the journal of the connection that was told to keep one; ours goes
        filled.close()
        with Gallery(tmp_path / "g") as again:
            again.remove("singer 1")
        found = sorted(path.name for path in tmp_path.iterdir())
    assert left(tmp_path, patterns) == 0
    assert found in (["g"], ["g", "g-shm", "g-wal"], ["g", "g-journal"])
    with Gallery(tmp_path / "g") as again:
        again.check()
        kept = {track.sha256: track for track in again.tracks()}
        for new in tracks():
            if new.singer not in (SECRET, "singer 1"):
                np.testing.assert_array_equal(kept[new.sha256].vectors, new.track.vectors.astype(np.float16))


def test_a_removed_recording_is_in_no_byte_of_the_folder(filled, tmp_path):
    gone, *others = [new for new in tracks() if new.singer == SECRET]
    patterns = bytes_of(gone)
    (before,) = [row.voice.tobytes() for row in filled.whole_singers() if row.name == SECRET]
    assert left(tmp_path, patterns) == len(patterns)
    assert filled.remove_track("zacharias secret", gone.sha256)
    assert left(tmp_path, [*patterns, before]) == 0
    assert left(tmp_path, [pattern for new in others for pattern in bytes_of(new)]) == sum(
        len(bytes_of(new)) for new in others
    )
    filled.check()


@pytest.mark.parametrize("change", ["rename", "merge"])
def test_a_former_name_is_in_no_byte_of_the_folder(filled, tmp_path, change):
    assert left(tmp_path, [SECRET.encode(), b"Zacharias"]) == 2
    filled.rename(SECRET, "Somebody") if change == "rename" else filled.merge(SECRET, "singer 1")
    assert left(tmp_path, [SECRET.encode(), b"Zacharias"]) == 0
    filled.check()
    everything = [pattern for new in tracks() for pattern in bytes_of(new)]
    assert left(tmp_path, everything) == len(everything)


def test_pages_that_sqlite_moved_are_rewritten(tmp_path):
    """Here, overwriting what is deleted would leave one piece in a page that rows had moved from."""
    with Gallery(tmp_path / "g", PRINT) as gallery:
        gallery.add_many(tracks(400, 64))
        own = [pattern for new in tracks(400, 64) if new.singer == SECRET for pattern in bytes_of(new)]
        gallery.remove(SECRET)
        assert left(tmp_path, own) == 0 and len(own) > 1000


def test_what_an_older_version_left_is_swept(filled, tmp_path):
    patterns = secret_patterns(filled)
    filled._db.execute("PRAGMA secure_delete = OFF")
    filled.sweep, sweep = lambda: None, filled.sweep
    filled.remove(SECRET)
    assert left(tmp_path, patterns) > len(patterns) / 2, "it is as if whosings had not looked after it"
    size = filled.path.stat().st_size
    sweep()
    assert left(tmp_path, patterns) == 0
    assert filled.path.stat().st_size < size
    filled.check()


def _remove_and_die(path):
    gallery = Gallery(path, PRINT)
    gallery.sweep = lambda: os.kill(os.getpid(), signal.SIGKILL)
    gallery.remove(SECRET)


def test_an_interrupted_removal_is_ended_by_the_next_change(filled, tmp_path):
    process = get_context("fork").Process(target=_remove_and_die, args=(filled.path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert filled.unswept and SECRET not in [row.name for row in filled.singers()]
    filled.check()
    filled.add("singer 1", made(500, 3, 32), "e" * 64)
    assert not filled.unswept


def test_a_file_that_others_read_is_told_and_swept_later(filled, tmp_path):
    filled._db.execute("PRAGMA busy_timeout = 1")
    with sqlite3.connect(filled.path, isolation_level=None) as reader:
        reader.execute("PRAGMA journal_mode = WAL")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM tracks").fetchone()
        problem = "is changed, but may still hold the bytes of what was removed, because it cannot be used now"
        with pytest.raises(GalleryError, match=f"g: {problem} .*run: whosings gallery sweep"):
            filled.remove(SECRET)
        assert filled.unswept and SECRET not in [row.name for row in filled.singers()]
        assert filled.add("singer 1", made(500, 3, 32), "e" * 64), "who adds need not wait for it"
        reader.execute("COMMIT")
    reader.close()
    filled.sweep()
    assert not filled.unswept and left(tmp_path, [SECRET.encode()]) == 0


def test_within_a_change_nothing_is_swept(filled):
    singers = filled.whole_singers()
    next(singers)
    told = "cannot be used now (another change is not finished)"
    with pytest.raises(GalleryError) as caught:
        filled.sweep()
    assert told in str(caught.value)
    with says(filled, f"{told}; make one change at a time"):
        filled.remove(SECRET)
    singers.close()
    filled.remove(SECRET)


def test_several_singers_are_removed_in_one_change_or_none(filled):
    with says(filled, "nobody named Eve is enrolled; list the names with: whosings gallery list"):
        filled.remove("singer 1", "Eve")
    assert "singer 1" in [row.name for row in filled.singers()]
    filled.remove("singer 1", "SINGER 1", SECRET)
    assert [row.name for row in filled.singers()] == [f"singer {n}" for n in (0, 2, 3, 4, 5, 6)]
    filled.check()


def test_without_a_recording_a_singer_is_as_if_it_was_never_enrolled(tmp_path):
    with Gallery(tmp_path / "a", PRINT) as whole, Gallery(tmp_path / "b", PRINT) as other:
        for number in range(4):
            whole.add("Ann", made(number, 3 + number), str(number))
            whole.add("Bob", made(10 + number), str(number))
            if number != 2:
                other.add("Ann", made(number, 3 + number), str(number))
            other.add("Bob", made(10 + number), str(number))
        assert whole.remove_track("ann", "2")
        assert whole.singers() == other.singers()
        np.testing.assert_allclose(whole.voices.vectors, other.voices.vectors, atol=1e-3)
        assert [(t.singer, t.sha256) for t in whole.tracks()] == [(t.singer, t.sha256) for t in other.tracks()]
        assert whole.holds("Bob", "2") and not whole.holds("Ann", "2")
        whole.check()
        with says(whole, "Ann has no recording 2; list them with: whosings gallery show NAME"):
            whole.remove_track("Ann", "2")
        with says(whole, "nobody named Eve is enrolled; list the names with: whosings gallery list"):
            whole.remove_track("Eve", "1")
        assert whole.add("Ann", made(2, 5), "2"), "it can be enrolled again"
        assert whole.contents("ANN") == {"0", "1", "2", "3"} and whole.contents("Eve") == frozenset()


def test_the_last_recording_takes_the_singer_with_it(tmp_path):
    with Gallery(tmp_path / "g", PRINT) as gallery:
        gallery.add("Ann", made(1), "1")
        gallery.add("Bob", made(2), "2")
        assert not gallery.remove_track("Ann", "1")
        assert [row.name for row in gallery.singers()] == ["Bob"]
        assert gallery.add("ANN", made(1), "1") and gallery.singers()[0].name == "ANN", "the former spelling is gone"
        gallery.check()


def test_a_removal_of_a_damaged_recording_is_refused(filled, tmp_path):
    path = tmp_path / "damaged" / "g"
    path.parent.mkdir()
    shutil.copy(filled.path, path)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE tracks SET source = 'x' WHERE sha256 = ?", (sha(7),))
    db.close()
    with Gallery(path) as gallery:
        with says(gallery, f"is damaged (a recording of {SECRET} does not match its digest, or is none); {RESTORE}"):
            gallery.remove_track(SECRET, sha(2))
        assert sha(2) in gallery.contents(SECRET)


def test_which_recording_is_meant(filled, tmp_path, monkeypatch):
    own = filled.tracks_of(SECRET)

    def meant(text):
        return [track.sha256 for track in recordings_meant(own, text)]

    assert meant("/home/hidden/7.flac") == meant("7.flac") == meant("hidden/7.flac") == [sha(7)]
    assert len(own) == 8
    assert meant(sha(12)[:4]) == meant(sha(12)) == meant(sha(12).upper()) == [sha(12)]
    assert meant(sha(12)[:3]) == meant(".flac") == meant("den/7.flac") == meant("") == []
    (tmp_path / "moved.wav").write_bytes(b"sound")
    with Gallery(tmp_path / "other", PRINT) as other:
        other.add("Ann", made(1), hashlib.sha256(b"sound").hexdigest(), "/gone/1.flac")
        other.add("Ann", made(2), "b" * 64, str(tmp_path / "2.flac"))
        other.add("Ann", made(3), "c" * 64, "/elsewhere/2.flac")
        own = other.tracks_of("Ann")
    assert len(meant(tmp_path / "moved.wav")) == 1, "it is known by its content, wherever it lies now"
    monkeypatch.chdir(tmp_path)
    assert meant("2.flac") == ["b" * 64], "the very path counts more than the end of another one"
