"""Many tracks into a gallery: as one by one, whole or not at all, and little is lost."""

import os
import signal
import sqlite3
import time
import weakref
from dataclasses import replace
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
import pytest

from tests.product.test_gallery import PRINT, made
from whosings import enrolling as module
from whosings import gallery_writer
from whosings.enrolled import NewTrack
from whosings.enrolling import Enrolling
from whosings.errors import GalleryError
from whosings.gallery import Gallery


def new(number, singers=5, **how):
    return NewTrack(f"singer {number % singers}", made(number, 1 + number % 4, **how), str(number), f"/{number}.flac")


def content(gallery):
    with sqlite3.connect(gallery.path) as db:
        return [db.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in ("about", "singers", "tracks")]


def count(path):
    """Transactions that were written, by SQLite's own counter in the file's header."""
    return int.from_bytes(path.read_bytes()[24:28], "big")


def test_many_at_once_are_as_one_by_one(tmp_path):
    tracks = [replace(new(n), singer=new(n).singer.upper() if n % 3 else new(n).singer) for n in range(30)]
    tracks.insert(9, tracks[2])  # given twice
    with Gallery(tmp_path / "a", PRINT) as single, Gallery(tmp_path / "b", PRINT) as many:
        one = tuple(single.add(t.singer, t.track, t.sha256, t.source) for t in tracks)
        before = count(many.path)
        assert many.add_many(iter(tracks)) == one and one.count(False) == 1
        assert count(many.path) == before + 1
        assert content(many) == content(single)
        assert many.voices.names == single.voices.names
        assert set(many.voices.names) == {"singer 0", "SINGER 1", "SINGER 2", "singer 3", "SINGER 4"}
        assert many.add_many(tracks) == (False,) * 31 and many.add_many([]) == ()
        many.check()


def test_more_singers_than_are_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery_writer, "_MOST_OPEN", 4)
    tracks = [new(number, singers=11) for number in range(30)]
    with Gallery(tmp_path / "a", PRINT) as single, Gallery(tmp_path / "b", PRINT) as many:
        for track in tracks:
            single.add(*vars(track).values())
        many.add_many(tracks)
        assert content(many) == content(single)
        many.check()


def test_an_error_in_the_middle_leaves_nothing(tmp_path):
    with Gallery(tmp_path / "g", PRINT) as gallery:
        gallery.add("Ann", made(1), "1")
        before = content(gallery)
        for wrong in (made(3, segments=0), made(3, fingerprint="b" * 64), made(3, dimensions=4)):
            with pytest.raises(GalleryError):
                gallery.add_many([NewTrack("BOB", made(2), "2"), NewTrack("Ann", wrong, "3")])
        with pytest.raises(GalleryError, match="a singer needs a name"):
            gallery.add_many([NewTrack("BOB", made(2), "2"), NewTrack(" ", made(3), "3")])

        def interrupted():
            yield NewTrack("BOB", made(2), "2")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            gallery.add_many(interrupted())
        assert content(gallery) == before
        assert gallery.spelling("bob") == "bob", "the spelling of what was not enrolled is forgotten"
        assert gallery.add("Bob", made(2), "2") and gallery.singers()[1].name == "Bob"


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test turns."""
    held = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: held.now)
    return held


def test_slow_tracks_are_kept_one_by_one_and_fast_ones_together(tmp_path, clock):
    with Gallery(tmp_path / "g", PRINT) as gallery:
        before = count(gallery.path)
        with Enrolling(gallery, seconds=1.0) as enrolling:
            for number in range(3):
                clock.now += 1.5
                enrolling.add(*vars(new(number)).values())
                assert count(gallery.path) == before + number + 1 and gallery.holds(f"singer {number}", str(number))
            for number in range(3, 12):
                clock.now += 0.2  # every fifth is a second after the last that was kept
                enrolling.add(*vars(new(number)).values())
            assert count(gallery.path) == before + 4 and len(enrolling.added) == 8
        assert count(gallery.path) == before + 5
        assert enrolling.added == {(f"singer {n % 5}", str(n)) for n in range(12)} and enrolling.failures == []
        gallery.check()


def test_few_numbers_wait(tmp_path, clock):
    with Gallery(tmp_path / "g", PRINT) as gallery:
        before = count(gallery.path)
        with Enrolling(gallery, most=100) as enrolling:
            for number in range(40):
                enrolling.add("Ann", made(number, 4, 8), str(number))  # 32 numbers each
        assert count(gallery.path) == before + 10


def test_what_was_given_is_kept_when_the_work_is_interrupted(tmp_path, clock):
    with Gallery(tmp_path / "g", PRINT) as gallery:
        with pytest.raises(KeyboardInterrupt), Enrolling(gallery) as enrolling:
            enrolling.add("Ann", made(1), "1")
            raise KeyboardInterrupt
        assert gallery.contents("Ann") == {"1"} and enrolling.added == {("Ann", "1")}


def test_a_track_that_fails_costs_no_other(tmp_path, clock):
    with Gallery(tmp_path / "g", PRINT) as gallery:
        gallery.add("Ann", made(1), "1")
        with Enrolling(gallery) as enrolling:
            with pytest.raises(GalleryError, match="holds too little singing"):
                enrolling.add("Bob", made(5, segments=0), "5")
            with pytest.raises(GalleryError, match="a singer needs a name"):
                enrolling.add(" ", made(5), "5")
            enrolling.add("Bob", made(2), "2")
            enrolling.add("ann", made(3, dimensions=4), "3")
            enrolling.add("ANN", made(4), "4")
            enrolling.add("Ann", made(1), "1")
        assert enrolling.added == {("Bob", "2"), ("Ann", "4")}
        assert [str(error).split(": ")[1][:24] for error in enrolling.failures] == ["is damaged (Ann has embe"]
        gallery.check()


def _enrol_forever(path):
    with Gallery(path, PRINT) as gallery:
        for start in range(0, 1_000_000, 20):
            gallery.add_many(new(number, dimensions=64) for number in range(start, start + 20))


def test_kill_9_leaves_whole_batches(tmp_path):
    """Wherever the process dies, also with pages that SQLite wrote before the transaction ended."""
    path, rng, seen = tmp_path / "g", np.random.default_rng(0), 0
    for _ in range(5):
        process = get_context("fork").Process(target=_enrol_forever, args=(path,))
        process.start()
        while not path.exists():
            time.sleep(0.005)
        time.sleep(float(rng.uniform(0.05, 0.4)))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with Gallery(path, PRINT) as gallery:
            gallery.check()
            hashes = sorted(int(track.sha256) for track in gallery.tracks())
        assert hashes == list(range(len(hashes))) and len(hashes) % 20 == 0
        assert len(hashes) >= seen
        seen = len(hashes)
    assert seen > 0


def test_memory_does_not_grow_with_what_is_added(tmp_path):
    """Tracks of an iterator are gone as soon as they are written."""
    given, most = [], []

    def tracks():
        for number in range(50):
            track = made(number)
            given.append(weakref.ref(track))
            yield NewTrack("Ann", track, str(number))
            del track
            most.append(sum(one() is not None for one in given))

    with Gallery(tmp_path / "g", PRINT) as gallery:
        assert sum(gallery.add_many(tracks())) == 50
    assert max(most) <= 2 and len(most) == 50
