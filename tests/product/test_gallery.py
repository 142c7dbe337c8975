import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from whosings.embedding import Embeddings
from whosings.encoder.checkpoint import load_checkpoint
from whosings.enrolled import Voices
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


@contextmanager
def says(gallery, problem):
    """The whole message, after the file's name."""
    with pytest.raises(GalleryError) as caught:
        yield
    assert str(caught.value) == f"{gallery.path}: {problem}."


LIST = "list the names with: whosings gallery list"
ENROL = "enrol singers first: whosings enrol NAME FILES"
RESTORE = "restore it from a copy, or enrol again"


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
        assert (second.fingerprint, second.encoder) == (PRINT, "")
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
    with says(gallery, f"nobody named Cid is enrolled; {LIST}"):
        gallery.remove("Cid")


def test_a_renamed_singer_keeps_everything_else(gallery):
    gallery.add("Ann", made(1), "1")
    gallery.add("Bob", made(2), "2")
    before = gallery.voices.vectors[0]
    gallery.rename("Ann", "Zoe")
    assert gallery.voices.names == ("Bob", "Zoe")
    np.testing.assert_array_equal(gallery.voices.vectors[1], before)
    assert gallery.holds("Zoe", "1") and not gallery.holds("Ann", "1")
    with says(gallery, "Bob is enrolled already; merge the two, or choose another name"):
        gallery.rename("Zoe", " BOB")
    with pytest.raises(GalleryError, match="nobody named Ann is enrolled"):
        gallery.rename("Ann", "Eve")
    with says(gallery, "a singer needs a name; give one"):
        gallery.rename("Zoe", " ")
    gallery.rename("zoe", "ZOE")  # another spelling of the own name
    assert [(s.name, s.tracks, s.segments) for s in gallery.singers()] == [("Bob", 1, 5), ("ZOE", 1, 5)]
    gallery.check()


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
    with says(gallery, "ann cannot be merged with itself; name two singers"):
        gallery.merge("ann", "Ann")
    gallery.check()


def test_voices_of_other_lengths_cannot_be_merged(gallery):
    gallery.add("Ann", made(1), "1")
    with says(gallery, f"is damaged (Ann has embeddings of 8 numbers, not 4); {RESTORE}"):
        gallery.add("Ann", made(2, dimensions=4), "2")
    gallery.add("Bob", made(2, dimensions=4), "2")
    with says(gallery, f"is damaged (voices are of different lengths); {RESTORE}"):
        gallery.merge("Bob", "Ann")
    assert gallery.holds("Bob", "2") and not gallery.holds("Ann", "2")


def test_a_singer_has_one_spelling_whatever_others_write_meanwhile(tmp_path, gallery):
    assert gallery.spelling(" beyonce\u0301 ") == "beyoncé", "of nobody enrolled, a clean name"
    assert gallery.add("Beyoncé", made(1), "1")
    assert gallery.spelling("BEYONCE\u0301") == "Beyoncé"
    assert gallery.add(" BEYONCÉ", made(2), "2") and gallery.holds("beyoncé", "2")
    assert [(s.name, s.tracks) for s in gallery.singers()] == [("Beyoncé", 2)]
    with Gallery(gallery.path) as other:
        assert other.spelling("beyoncé") == "Beyoncé"
        gallery.rename("Beyoncé", "BEYONCÉ")
        assert other.spelling("beyoncé") == gallery.spelling("beyoncé") == "BEYONCÉ"
        other.remove("Beyoncé")
        assert other.spelling("Beyoncé") == gallery.spelling("Beyoncé") == "Beyoncé"
    with says(gallery, "a singer needs a name; give one"):
        gallery.spelling("\u200b")


def test_of_two_spellings_that_are_enrolled_each_is_itself(gallery):
    """Galleries of before spellings were compared may hold both."""
    gallery.add("Ann", made(1), "1")
    gallery._spellings, gallery.spelling = {}, lambda name: name
    gallery.add("ANN", made(2), "2")
    with Gallery(gallery.path) as again:
        assert [again.spelling(name) for name in ("Ann", "ANN")] == ["Ann", "ANN"]
        assert again.spelling("ann") in ("Ann", "ANN")


def test_what_was_read_is_read_again_after_a_change(gallery):
    seen = []
    for change in (
        lambda: gallery.add("Ann", made(1), "1"),
        lambda: gallery.add("Bob", made(2), "2"),
        lambda: gallery.rename("Bob", "Cid"),
        lambda: gallery.merge("Cid", "Ann"),
        lambda: gallery.add("Dan", made(3), "3"),
        lambda: gallery.remove("Ann"),
    ):
        change()
        seen.append((gallery.voices.names, gallery.voices is gallery.voices))
    names = [("Ann",), ("Ann", "Bob"), ("Ann", "Cid"), ("Ann",), ("Ann", "Dan"), ("Dan",)]
    assert seen == [(each, True) for each in names]


def test_tracks_of_everyone_or_of_some(gallery):
    parts = [("Bob", 3, 1.0), ("Ann", 1, 1.0), ("Ann", 2, 0.5)]
    for singer, seed, share in parts:
        gallery.add(singer, replace(made(seed, segments=seed, name=f"{seed}.flac"), share=share), str(seed))
    found = [(t.singer, t.sha256, len(t.vectors), t.segments, t.source) for t in gallery.tracks()]
    ann, bob = [("Ann", "1", 1, 1.0, "1.flac"), ("Ann", "2", 2, 1.0, "2.flac")], [("Bob", "3", 3, 3.0, "3.flac")]
    assert found == ann + bob
    assert [t.sha256 for t in gallery.tracks(["Bob"])] == ["3"]
    assert [t.sha256 for t in gallery.tracks(["Bob", "Ann", "Bob"])] == ["1", "2", "3"]
    assert gallery.tracks([]) == gallery.tracks(["Cid"]) == ()
    assert gallery.has_source("3.flac") and not gallery.has_source("3.fla")
    for track in gallery.tracks():
        seed = int(track.sha256)
        np.testing.assert_allclose(track.vectors, made(seed, segments=seed).vectors, atol=1e-3)


def test_whether_anybody_is_enrolled(gallery):
    assert not gallery.anybody()
    gallery.add("Ann", made(1), "1")
    assert gallery.anybody()
    gallery._db.execute("DELETE FROM singers")
    with pytest.raises(GalleryError, match="singers are missing"):
        gallery.anybody()


def test_the_others():
    voices = Voices(("Ann", "Bob", "Cid"), np.arange(6, dtype=np.float32).reshape(3, 2), np.array([1.0, 2.0, 3.0]))
    rest = voices.without("Bob")
    assert (
        rest.names == ("Ann", "Cid") and rest.vectors.tolist() == [[0, 1], [4, 5]] and rest.segments.tolist() == [1, 3]
    )
    assert voices.without("Dan").names == voices.names


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
    remedy = "name the encoder it was made with, or enrol again into a new gallery"
    with says(gallery, f"was made with encoder aaaaaaaaaaaa, not encoder bbbbbbbbbbbb; {remedy}"):
        gallery.add("Ann", made(1, fingerprint="b" * 64), "1")
    with says(gallery, f"was made with encoder aaaaaaaaaaaa, not encoder bbbbbbbbbbbb; {remedy}"):
        Gallery(gallery.path, "b" * 64)
    assert gallery.singers() == ()


def test_encoders_have_names(tmp_path):
    with Gallery(tmp_path / "g", PRINT, "fast"):
        pass
    with Gallery(tmp_path / "g") as gallery:
        made_with, remedy = "was made with encoder fast (aaaaaaaaaaaa)", "enrol again into a new gallery"
        assert gallery.encoder == "fast"
    with says(
        gallery, f"{made_with}, not encoder default (bbbbbbbbbbbb); name the encoder it was made with, or {remedy}"
    ):
        Gallery(tmp_path / "g", "b" * 64, "default")
    with says(gallery, f"{made_with}, not encoder fast (bbbbbbbbbbbb); {remedy}"):
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
    remedy = "use a recording in which the singer is heard"
    with pytest.raises(GalleryError) as caught:
        gallery.add("Ann", made(1, segments=0), "1")
    assert str(caught.value) == f"1.mp3: holds too little singing to enrol; {remedy}."
    wrong = made(1)
    wrong.vectors[2, 3] = np.nan
    with pytest.raises(GalleryError) as caught:
        gallery.add("Ann", wrong, "1")
    assert str(caught.value) == "1.mp3: has embeddings that are no numbers; use another recording or encoder."
    with says(gallery, "a singer needs a name; give one"):
        gallery.add("  ", made(1), "1")
    with says(gallery, f"nobody is enrolled; {ENROL}"):
        _ = gallery.voices
    assert gallery.singers() == gallery.tracks() == ()


def test_files_that_are_no_gallery(tmp_path):
    with pytest.raises(GalleryError) as caught:
        Gallery(tmp_path / "gone")
    assert str(caught.value) == f"{tmp_path / 'gone'}: no such gallery; {ENROL}."
    with pytest.raises(GalleryError) as caught:
        Gallery(tmp_path)
    assert str(caught.value) == f"{tmp_path}: is a folder, not a gallery; name a file."
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
    assert (tmp_path / "empty").stat().st_size == 0, "nothing is made without an encoder"


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
