"""An index over a library's voices against comparing with all: recall, upkeep, damage, kill -9, probabilities."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.library.made import Maker
from whosings.enrolled import Voices
from whosings.errors import LibraryError, MissingExtraError
from whosings.heard import HeardTrack, HeardVoice
from whosings.library import near_search
from whosings.library.library_rows import LibraryFile
from whosings.library.near_search import Searcher
from whosings.library.search import competing, competing_in_part, like_singer, like_voice, matches
from whosings.library.voice_index import VoiceIndex, bring_up_to_date, index_folder, remove
from whosings.library.voice_lists import VoiceLists
from whosings.spans import Span

faiss = pytest.importorskip("faiss")
MAKER = Maker()
SONGS = 6


def means(singer, count, seed=0):
    """(count, dimensions) recordings of a singer: strangers are alike at times, and one singer's songs differ."""
    scale = np.exp(-np.arange(len(MAKER.calibration.centre)) / 40)
    own = np.random.default_rng([5, singer]).standard_normal(len(scale)) * scale
    rest = 0.5 * np.random.default_rng([6, singer, seed]).standard_normal((count, len(scale))) * scale
    return (np.asarray(MAKER.calibration.centre) + 0.1 * (own + rest)).astype(np.float32)


def fill(library, singers, songs=SONGS, name="s"):
    """Recordings of so many singers, in one transaction a singer's song."""
    rng = np.random.default_rng(0)
    library._db.execute("PRAGMA synchronous = OFF")
    for singer in singers:
        for song, mean in enumerate(means(singer, songs)):
            heard = HeardVoice(mean, float(rng.uniform(2, 40)), (Span(1.0, 9.0),), 8.0)
            track = HeardTrack("made", (heard,), 30.0, 8.0, False, MAKER.fingerprint)
            key = f"{name}-{singer}-{song}"
            library.add(LibraryFile(f"/songs/{key}", 1, 1), f"sha-{key}", track)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A library of some thousands of voices, to be read only."""
    with MAKER.library(tmp_path_factory.mktemp("large") / "l") as opened:
        fill(opened, range(300))
        bring_up_to_date(opened, MAKER.calibration)
        yield opened


@pytest.fixture
def small(tmp_path):
    with MAKER.library(tmp_path / "l") as opened:
        fill(opened, range(60))
        yield opened


def by_cosine(library, mean, count):
    """The nearest by brute force."""
    voices = library.voices()
    centred = voices.means - np.asarray(MAKER.calibration.centre)
    asked = mean - np.asarray(MAKER.calibration.centre)
    cosines = centred @ asked / np.linalg.norm(centred, axis=1) / np.linalg.norm(asked)
    return voices.ids[np.argsort(-cosines)[:count]]


def test_nearly_all_of_the_nearest_are_found(large):
    index, shares = VoiceIndex(large, MAKER.calibration), []
    for singer in (*range(0, 300, 15), *range(9000, 9020)):  # of the library, and strangers
        asked = means(singer, 1, seed=1)[0]
        shares.append(len(np.intersect1d(index.nearest(asked, 64), by_cosine(large, asked, 10))) / 10)
    assert len(index) == 1800 and np.mean(shares) >= 0.99


def test_what_is_told_is_what_comparing_with_all_tells(large):
    exact, near = Searcher(large, MAKER.calibration), Searcher.of(large, MAKER.calibration, worth_it=1)
    assert near.index is not None and not near.told and exact.index is None
    for singer in (3, 77, 9001):
        asked = means(singer, 1, seed=1)[0]
        right, found = (one.voice(asked, 9.0, 8, leave_out=5) for one in (exact, near))
        assert [one.sha256 for one in found] == [one.sha256 for one in right]
        for one, other in zip(found, right, strict=True):
            assert (one.nats, one.score) == (pytest.approx(other.nats), pytest.approx(other.score))
            assert one.probability == pytest.approx(other.probability, abs=1e-6)  # the sample is the whole library
            assert dataclasses.replace(one, nats=0, score=0, probability=0) == dataclasses.replace(
                other, nats=0, score=0, probability=0
            )


def test_an_enrolled_singer_is_found(large):
    vectors = np.stack([means(singer, 4, seed=2).mean(axis=0) for singer in range(8)])
    enrolled = Voices(tuple("abcdefgh"), vectors, np.full(8, 36.0))
    near = Searcher.of(large, MAKER.calibration, worth_it=1)
    found = near.singer(enrolled, "c", SONGS, frozenset({"sha-s-2-1"}))
    voices = large.voices()
    right = matches(large, voices, like_singer(voices, enrolled, "c", MAKER.calibration), SONGS)
    assert [one.sha256 for one in found] == [one.sha256 for one in right]
    assert [one.enrolled for one in found] == [one.sha256 == "sha-s-2-1" for one in found]
    with pytest.raises(KeyError):
        near.singer(enrolled, "nobody", 3, frozenset())


def test_small_libraries_and_those_without_an_index_are_compared_whole(small):
    asked = means(3, 1, seed=1)[0]
    voices = small.voices()
    right = matches(small, voices, like_voice(voices, asked, 9.0, MAKER.calibration), 5)
    bring_up_to_date(small, MAKER.calibration)
    below = Searcher.of(small, MAKER.calibration)
    assert below.index is None and not below.told and below.voice(asked, 9.0, 5) == right
    remove(small)
    assert not index_folder(small.path).exists()
    without = Searcher.of(small, MAKER.calibration, worth_it=1)
    assert without.index is None and "whosings index" in without.told and without.voice(asked, 9.0, 5) == right


def test_new_voices_come_in_and_forgotten_ones_go(small):
    assert dataclasses.astuple(bring_up_to_date(small, MAKER.calibration))[:3] == (360, 360, 0)
    assert dataclasses.astuple(bring_up_to_date(small, MAKER.calibration)) == (360, 0, 0, "")
    fill(small, [1000], name="new")
    small.forget_files(f"/songs/s-7-{song}" for song in range(SONGS))
    small.forget_missing()
    done = bring_up_to_date(small, MAKER.calibration)
    assert dataclasses.astuple(done) == (360, 6, 6, "")
    index = VoiceIndex(small, MAKER.calibration)
    for singer in (7, 1000, 8):
        asked = means(singer, 1, seed=1)[0]
        assert set(index.nearest(asked, 12)) >= set(by_cosine(small, asked, 6))
    assert index.is_of(small)


def test_coming_and_going_wears_nothing_out_and_leaves_nothing_behind(small):
    """faiss leaves the codes of removed voices behind the lists' ends, and merges new ones with them."""
    bring_up_to_date(small, MAKER.calibration)
    for turn in range(3):
        small.forget_files(
            f"/songs/s-{singer}-{song}" for singer in range(20 * turn, 20 * turn + 20) for song in range(6)
        )
        small.forget_missing()
        assert bring_up_to_date(small, MAKER.calibration).deleted == 120
        lists = VoiceIndex(small, MAKER.calibration)._lists.index
        codes = faiss.downcast_InvertedLists(lists.invlists)
        for number in range(lists.nlist):
            held, size = codes.list_size(number), codes.block_size
            blocks = -(-held // 32)
            packed = faiss.rev_swig_ptr(codes.get_codes(number), blocks * size).reshape(blocks, size)
            assert not any(codes.packer.unpack_1(packed, place).any() for place in range(held, 32 * blocks))
        fill(small, range(3000 + 20 * turn, 3020 + 20 * turn), name=f"new{turn}")
        assert bring_up_to_date(small, MAKER.calibration).added == 120
    index = VoiceIndex(small, MAKER.calibration)
    for singer in range(3000, 3060):
        asked = means(singer, 1, seed=1)[0]
        assert set(index.nearest(asked, 24)) >= set(by_cosine(small, asked, 6))


def test_a_number_that_came_back_is_another_voice(small):
    bring_up_to_date(small, MAKER.calibration)
    last = max(small.voices().ids)
    small.forget_files([f"/songs/s-59-{SONGS - 1}"])
    small.forget_missing()
    fill(small, [2000], songs=1, name="again")
    assert max(small.voices().ids) == last
    assert dataclasses.astuple(bring_up_to_date(small, MAKER.calibration)) == (360, 1, 1, "")
    assert VoiceIndex(small, MAKER.calibration).nearest(means(2000, 1, seed=1)[0], 9)[0] == last


def test_find_brings_an_index_up_to_date(small):
    bring_up_to_date(small, MAKER.calibration)
    fill(small, [1000], name="new")
    found = Searcher.of(small, MAKER.calibration, worth_it=1).voice(means(1000, 1, seed=1)[0], 9.0, SONGS)
    assert {one.sha256 for one in found} == {f"sha-new-1000-{song}" for song in range(SONGS)}
    fill(small, range(3000, 3400), name="many")  # the centres do not fit any more
    slow = Searcher.of(small, MAKER.calibration, worth_it=1)
    assert slow.index is None and "does not fit any more" in slow.told
    done = bring_up_to_date(small, MAKER.calibration)
    assert done.why_anew == "most of the library has changed" and done.voices == len(small.voices().ids)


def test_another_librarys_index_is_made_anew(small, tmp_path):
    bring_up_to_date(small, MAKER.calibration)
    with MAKER.library(tmp_path / "other") as other:
        fill(other, range(100, 160), name="other")
        index_folder(small.path).rename(index_folder(other.path))
        assert bring_up_to_date(other, MAKER.calibration).why_anew == "most of the library has changed"
        asked = means(130, 1, seed=1)[0]
        assert set(VoiceIndex(other, MAKER.calibration).nearest(asked, 6)) == set(by_cosine(other, asked, 6))


@pytest.mark.parametrize("what", ["encoder", "centre"])
def test_another_encoder_is_refused_and_then_made_anew(small, what):
    bring_up_to_date(small, MAKER.calibration)
    calibration = MAKER.calibration
    if what == "encoder":
        small.fingerprint = "f" * 64
    else:
        calibration = dataclasses.replace(calibration, centre=tuple(0.5 * x for x in calibration.centre))
    with pytest.raises(LibraryError, match=r"is an index of another .* than the library's; make it anew"):
        VoiceIndex(small, calibration)
    slow = Searcher.of(small, calibration, worth_it=1)
    assert slow.index is None and "of another" in slow.told
    assert "of another" in bring_up_to_date(small, calibration).why_anew
    assert len(VoiceIndex(small, calibration)) == 360


def damaged(folder):
    """Every file that counts cut short, emptied, with a bit turned, and removed."""
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        if not content:  # the lock
            continue
        turned = bytearray(content)
        turned[len(content) // 2] ^= 4
        for other in (content[:-1], b"", bytes(turned), None):
            if other is None:
                file.unlink()
            else:
                file.write_bytes(other)
            yield file
            file.write_bytes(content)


def test_damage_is_told_and_repaired(small):
    bring_up_to_date(small, MAKER.calibration)
    told = 0
    for file in damaged(index_folder(small.path)):
        try:
            VoiceIndex(small, MAKER.calibration)
        except LibraryError as error:
            told += 1
            assert str(error).endswith("."), file
            assert "damaged" in str(error) or "no index" in str(error) or "of another" in str(error)
    # A bit of current.json may fall into a digit that nobody needs.
    assert told >= 15
    (index_folder(small.path) / "current.json").write_text('{"format": 1}')
    assert Searcher.of(small, MAKER.calibration, worth_it=1).index is None
    assert "damaged" in bring_up_to_date(small, MAKER.calibration).why_anew
    assert len(VoiceIndex(small, MAKER.calibration)) == 360
    (index_folder(small.path) / "current.json").write_text('{"format": 2}')  # that of a later whosings
    assert bring_up_to_date(small, MAKER.calibration).why_anew == "is an index of format 2, not 1"


CHILD = """
import sys
from tests.library.made import Maker
from tests.library.test_voice_index import MAKER
from whosings.library.voice_index import bring_up_to_date
with MAKER.library(sys.argv[1]) as library:
    print("ready", flush=True)
    while True:
        bring_up_to_date(library, MAKER.calibration, anew=True)
        print("done", flush=True)
"""


def test_lists_of_another_kind_are_no_lists():
    for kind in ("IVF1,SQ8", "Flat"):
        other = faiss.index_factory(8, kind)
        with pytest.raises(RuntimeError, match="not voices in lists"):
            VoiceLists.from_bytes(faiss.serialize_index(other).tobytes())


@pytest.mark.slow
def test_kill_9_leaves_an_index_that_is_whole(small):
    bring_up_to_date(small, MAKER.calibration)
    asked = means(30, 1, seed=1)[0]
    right = set(by_cosine(small, asked, 6))
    command = [sys.executable, "-c", CHILD, str(small.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        try:
            for _ in range(2):
                child.stdout.readline()
            for turn in range(8):
                time.sleep(0.01 + 0.013 * turn)
                os.kill(child.pid, signal.SIGSTOP)  # as dead as it will be: what lies on the disk is looked at
                index = VoiceIndex(small, MAKER.calibration)
                assert set(index.nearest(asked, 6)) == right and index.is_of(small)
                os.kill(child.pid, signal.SIGCONT)
        finally:
            child.kill()
    assert bring_up_to_date(small, MAKER.calibration) == (done := bring_up_to_date(small, MAKER.calibration))
    assert done.added == done.deleted == 0
    bring_up_to_date(small, MAKER.calibration, anew=True)
    assert len(list(index_folder(small.path).iterdir())) == 5  # current.json, a lock, three files


def test_without_faiss_all_voices_are_compared(small, monkeypatch):
    bring_up_to_date(small, MAKER.calibration)

    def missing(module, purpose, extra):
        raise MissingExtraError(purpose, f"needs the package {module}", f"whosings[{extra}]")

    monkeypatch.setattr(MissingExtraError, "require", staticmethod(missing))
    slow = Searcher.of(small, MAKER.calibration, worth_it=1)
    assert slow.index is None and "whosings[scale]" in slow.told
    with pytest.raises(MissingExtraError):
        bring_up_to_date(small, MAKER.calibration)


def test_a_library_without_voices_has_no_index(tmp_path):
    with MAKER.library(tmp_path / "l") as opened:
        with pytest.raises(LibraryError, match="no voices to index"):
            bring_up_to_date(opened, MAKER.calibration)
        fill(opened, [1], songs=1)
        assert bring_up_to_date(opened, MAKER.calibration).voices == 1
        assert VoiceIndex(opened, MAKER.calibration).nearest(means(2, 1)[0], 5).tolist() == [1]


def test_who_competes_is_known_from_a_part():
    rng = np.random.default_rng(0)
    whole = np.concatenate([rng.normal(-7, 2.5, 40_000), rng.normal(9, 1, 20)])  # strangers, and the singer's own
    order = np.argsort(-whole)
    near, rest = whole[order[:512]], whole[order[512:]]
    assert competing_in_part(near, rest, len(rest)) == pytest.approx(competing(whole))
    found = [competing_in_part(near, rng.choice(rest, 4000, replace=False), len(rest)) for _ in range(40)]
    assert np.mean(found) == pytest.approx(competing(whole), rel=0.02)
    assert np.max(np.abs(np.log(np.array(found) / competing(whole)))) < 0.1


def test_songs_of_a_singer_with_more_than_are_near_do_not_compete():
    rng = np.random.default_rng(1)
    strangers, own = rng.normal(-7, 2.5, 60_000), rng.normal(12, 0.5, 3000)
    whole = np.concatenate([strangers, own])
    order = np.argsort(-whole)
    sample = rng.choice(whole[order[512:]], 4000, replace=False)
    found = competing_in_part(whole[order[:512]], sample, len(whole) - 512)
    assert found == pytest.approx(competing(whole), rel=0.3)


def test_an_estimate_without_a_sample_counts_what_is_known():
    assert competing_in_part(np.array([9.0]), np.zeros(0), 0) == 1
    assert near_search.NEAR > 100
