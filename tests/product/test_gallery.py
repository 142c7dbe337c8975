import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from whosings.embedding import Embeddings
from whosings.encoder.checkpoint import load_checkpoint
from whosings.errors import GalleryError
from whosings.gallery import FORMER, Gallery
from whosings.vocals.activity import Activity

PRINT = "a" * 64


def made(seed, segments=5, dimensions=8, fingerprint=PRINT, name=None):
    """A track of random unit embeddings."""
    vectors = np.random.default_rng(seed).standard_normal((segments, dimensions)).astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    starts = np.arange(segments) * 3.0
    activity = Activity(starts, np.ones(segments), "level")
    return Embeddings(
        name or f"{seed}.mp3", vectors, starts, np.ones(segments), 6.0, 3.0 * segments + 3, fingerprint, False, activity
    )


@pytest.fixture
def gallery(tmp_path):
    with Gallery(tmp_path / "g", PRINT) as opened:
        yield opened


def test_voices_are_means_over_tracks_of_means_over_segments(gallery):
    tracks = {"Ann": [made(1), made(2, 9)], "Bob": [made(3)]}
    for name, some in tracks.items():
        for number, track in enumerate(some):
            assert gallery.add(name, track, f"{name}{number}")
    voices = gallery.voices
    assert voices.names == ("Ann", "Bob")
    assert voices.segments.tolist() == [14, 5]
    assert voices.without("Ann").segments.tolist() == [5]
    for name, vector in zip(voices.names, voices.vectors, strict=True):
        np.testing.assert_allclose(vector, np.mean([t.vectors.mean(axis=0) for t in tracks[name]], axis=0), atol=1e-6)
    assert [(s.name, s.tracks, s.segments) for s in gallery.singers()] == [("Ann", 2, 14), ("Bob", 1, 5)]


def test_everything_is_there_after_reopening(tmp_path):
    with Gallery(tmp_path / "g", PRINT) as first:
        first.add("Ann", made(1), "1")
        expected = first.voices
    with Gallery(tmp_path / "g") as second:
        assert second.fingerprint == PRINT
        assert second.voices.names == expected.names
        np.testing.assert_array_equal(second.voices.vectors, expected.vectors)
        np.testing.assert_array_equal(second.voices.segments, expected.segments)
        assert second.holds("Ann", "1")


def test_the_same_content_counts_once(gallery):
    assert gallery.add("Ann", made(1), "same")
    before = gallery.voices.vectors.copy()
    assert not gallery.add("Ann", made(1), "same")
    np.testing.assert_array_equal(gallery.voices.vectors, before)
    assert gallery.add("Bob", made(1), "same"), "a duet is enrolled for both"


def test_remove(gallery):
    gallery.add("Ann", made(1), "1")
    gallery.add("Bob", made(2), "2")
    gallery.remove("Ann")
    assert gallery.voices.names == ("Bob",)
    assert not gallery.holds("Ann", "1")
    assert gallery.add("Ann", made(1), "1"), "can be enrolled again"
    with pytest.raises(GalleryError, match="nobody named Cid"):
        gallery.remove("Cid")


def test_a_renamed_singer_keeps_everything_else(gallery):
    gallery.add("Ann", made(1), "1")
    gallery.add("Bob", made(2), "2")
    before = gallery.voices.vectors[0]
    gallery.rename("Ann", "Zoe")
    assert gallery.voices.names == ("Bob", "Zoe")
    np.testing.assert_array_equal(gallery.voices.vectors[1], before)
    assert gallery.holds("Zoe", "1") and not gallery.holds("Ann", "1")
    with pytest.raises(GalleryError, match="Bob is enrolled already; merge the two, or choose another name"):
        gallery.rename("Zoe", "Bob")
    with pytest.raises(GalleryError, match="nobody named Ann is enrolled"):
        gallery.rename("Ann", "Eve")
    with pytest.raises(GalleryError, match="a singer needs a name"):
        gallery.rename("Zoe", " ")


def test_merged_singers_are_as_if_enrolled_as_one(tmp_path, gallery):
    for singer, seed in (("Ann", 1), ("Ann", 2), ("Bob", 2), ("Bob", 3), ("Eve", 4)):
        gallery.add(singer, made(seed, segments=3 + seed), str(seed))  # Ann and Bob share track 2
    gallery.merge("Bob", "Ann")
    with Gallery(tmp_path / "other", PRINT) as other:
        for singer, seed in (("Ann", 1), ("Ann", 2), ("Ann", 3), ("Eve", 4)):
            other.add(singer, made(seed, segments=3 + seed), str(seed))
        assert gallery.singers() == other.singers()
        np.testing.assert_allclose(gallery.voices.vectors, other.voices.vectors, atol=1e-3)
        assert [(t.singer, t.sha256) for t in gallery.tracks()] == [(t.singer, t.sha256) for t in other.tracks()]
    with pytest.raises(GalleryError, match="nobody named Bob"):
        gallery.merge("Bob", "Ann")
    with pytest.raises(GalleryError, match="Ann cannot be merged with itself"):
        gallery.merge("Ann", "Ann")


def test_removed_tracks_leave_no_rows(gallery):
    gallery.add("Ann", made(1), "1")
    gallery.remove("Ann")
    with sqlite3.connect(gallery.path) as db:
        assert db.execute("SELECT count(*) FROM tracks").fetchone() == (0,)


def test_stored_vectors_are_the_tracks(gallery):
    track = made(4)
    gallery.add("Ann", track, "1")
    with sqlite3.connect(gallery.path) as db:
        vectors, starts = db.execute("SELECT vectors, start_s FROM tracks").fetchone()
    np.testing.assert_array_equal(np.frombuffer(vectors, np.float16).reshape(5, 8), track.vectors.astype(np.float16))
    np.testing.assert_array_equal(np.frombuffer(starts, np.float32), track.start_s)


def test_another_encoder_is_refused(tmp_path, gallery):
    with pytest.raises(GalleryError, match="was made with encoder aaaaaaaaaaaa, not encoder bbbbbbbbbbbb"):
        gallery.add("Ann", made(1, fingerprint="b" * 64), "1")
    with pytest.raises(GalleryError, match="was made with encoder aaaaaaaaaaaa, not encoder bbbbbbbbbbbb"):
        Gallery(gallery.path, "b" * 64)
    assert gallery.singers() == ()


def test_encoders_have_names(tmp_path):
    with Gallery(tmp_path / "g", PRINT, "fast"):
        pass
    with pytest.raises(
        GalleryError, match=r"was made with encoder fast \(a{12}\), not encoder default \(b{12}\); name"
    ):
        Gallery(tmp_path / "g", "b" * 64, "default")
    with pytest.raises(GalleryError, match=r"not encoder fast \(b{12}\); enrol again into a new gallery"):
        Gallery(tmp_path / "g", "b" * 64, "fast")  # another one of that name: there is nothing to name


def test_a_gallery_of_the_former_default(tmp_path):
    (former,) = FORMER
    assert load_checkpoint("fast").fingerprint == former
    with Gallery(tmp_path / "g", former):
        pass
    said = r"was made with encoder fast, once default \(eb0b109bbcd1\), not encoder default .*; name the encoder"
    with pytest.raises(GalleryError, match=said):
        Gallery(tmp_path / "g", "b" * 64, "default")


def test_bad_additions(gallery):
    with pytest.raises(GalleryError, match="too little singing"):
        gallery.add("Ann", made(1, segments=0), "1")
    with pytest.raises(GalleryError, match="needs a name"):
        gallery.add("  ", made(1), "1")
    with pytest.raises(GalleryError, match="nobody is enrolled"):
        _ = gallery.voices


def test_files_that_are_no_gallery(tmp_path):
    with pytest.raises(GalleryError, match="no such gallery"):
        Gallery(tmp_path / "gone")
    with pytest.raises(GalleryError, match="is a folder"):
        Gallery(tmp_path)
    (tmp_path / "text").write_text("hello " * 100)
    for fingerprint in (None, PRINT):
        with pytest.raises(GalleryError, match="is damaged or not a gallery"):
            Gallery(tmp_path / "text", fingerprint)
    with sqlite3.connect(tmp_path / "other") as db:
        db.execute("CREATE TABLE things (x)")
    for fingerprint in (None, PRINT):
        with pytest.raises(GalleryError, match="other"):
            Gallery(tmp_path / "other", fingerprint)
    (tmp_path / "empty").touch()
    with pytest.raises(GalleryError, match="empty"):
        Gallery(tmp_path / "empty")


def test_truncated_gallery_is_an_error_not_a_shorter_gallery(tmp_path):
    path = tmp_path / "g"
    with Gallery(path, PRINT) as opened:
        for number in range(50):
            opened.add(f"singer {number}", made(number, 20, 64), str(number))
    whole = path.read_bytes()
    for size in (10, 5000, len(whole) // 2, len(whole) - 4096):
        path.write_bytes(whole[:size])
        with pytest.raises(GalleryError), Gallery(path) as opened:
            assert len(opened.voices.names) == 50
            opened.check()


def test_future_format(tmp_path):
    with Gallery(tmp_path / "g", PRINT):
        pass
    with sqlite3.connect(tmp_path / "g") as db:
        db.execute("UPDATE about SET value = '99' WHERE key = 'format'")
    with pytest.raises(GalleryError, match="has format 99"):
        Gallery(tmp_path / "g")


def test_names_are_data(gallery):
    names = ["Robert'); DROP TABLE singers;--", "Beyoncé", "忌野清志郎", "a/b\\c", "[red]x[/red]"]
    for number, name in enumerate(names):
        gallery.add(name, made(number), str(number))
    assert set(gallery.voices.names) == set(names)


def _enrol_forever(path):
    with Gallery(path, PRINT) as opened:
        for number in range(100_000):
            opened.add(f"singer {number % 7}", made(number), str(number))


def test_survives_kill_9_at_any_moment(tmp_path):
    path, rng = tmp_path / "g", np.random.default_rng(0)
    seen = 0
    for _ in range(6):
        process = multiprocessing.get_context("fork").Process(target=_enrol_forever, args=(path,))
        process.start()
        while not path.exists():
            time.sleep(0.005)
        time.sleep(float(rng.uniform(0.02, 0.4)))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with Gallery(path, PRINT) as opened:
            opened.check()
            tracks = sum(singer.tracks for singer in opened.singers())
            assert tracks >= seen, "what was enrolled stays enrolled"
            seen = tracks
            if tracks:
                # Counters and voices agree with the tracks: no half of an enrolment is visible.
                with sqlite3.connect(path) as db:
                    assert db.execute("SELECT count(*) FROM tracks").fetchone() == (tracks,)
                    rows = db.execute("SELECT name, sha256 FROM tracks JOIN singers ON singers.id = singer").fetchall()
                for name, vector in zip(opened.voices.names, opened.voices.vectors, strict=True):
                    mine = [made(int(sha)).vectors.mean(axis=0) for who, sha in rows if who == name]
                    np.testing.assert_allclose(vector, np.mean(mine, axis=0), atol=1e-5)
    assert seen > 0


def test_two_processes_enrol_at_once(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[3])\n"
        "from tests.product.test_gallery import *\n"
        "with Gallery(sys.argv[1], PRINT) as g:\n"
        "    for n in range(20): g.add('Ann', made(n), sys.argv[2] + str(n))\n"
    )
    from pathlib import Path

    root = Path(__file__).parents[2]
    processes = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path / "g", name, root], cwd=root) for name in ("x", "y")
    ]
    assert [process.wait() for process in processes] == [0, 0]
    with Gallery(tmp_path / "g") as opened:
        assert opened.singers()[0].tracks == 40
