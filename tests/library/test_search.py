"""Find by voice on made voices: who is ranked first, what a large library asks for, which voice a span picks."""

import math

import numpy as np
import pytest

from tests.library.made import Maker
from whosings.calibration import COMPETITORS
from whosings.enrolled import Voices
from whosings.errors import AudioError
from whosings.heard import HeardTrack, HeardVoice
from whosings.library import search
from whosings.library.search import competing, like_singer, like_voice, matches, overlap_s, voices_within
from whosings.spans import Span

MAKER = Maker()


@pytest.fixture
def library(tmp_path):
    with MAKER.library(tmp_path / "l") as opened:
        for take in range(3):
            for singer in range(6):
                MAKER.add(opened, f"{singer}-{take}", [10 * singer], take)
        MAKER.add(opened, "duet", [0, 10], 9)
        MAKER.add(opened, "silence", [])
        yield opened


def names(found):
    return [match.paths[0].removeprefix("/songs/") for match in found]


def test_recordings_of_the_voice_come_first_each_by_its_likeliest_voice(library):
    voices = library.voices()
    asked = library.heard(2).voices[0]  # singer 1, take 0
    found = matches(library, voices, like_voice(voices, asked.mean, asked.amount, MAKER.calibration), 50, leave_out=2)
    assert set(names(found)[:3]) == {"1-1", "1-2", "duet"} and len(found) == 18
    assert next(match for match in found if match.sha256 == "sha-duet").voice == 1
    assert [match.probability for match in found] == sorted((match.probability for match in found), reverse=True)
    assert found[2].probability > 0.5 > 0.1 > found[3].probability
    assert found[0].spans == asked.spans and found[0].seconds == 15.0 and not found[0].enrolled


def test_numbers_are_those_of_the_pair_calibration(library):
    voices = library.voices()
    asked = MAKER.voice(20, 77, amount=3.0)
    likeness = like_voice(voices, asked.mean, asked.amount, MAKER.calibration)
    (best, *_) = matches(library, voices, likeness, 1)
    kept = library.heard(best.recording).voices[best.voice]
    pair = MAKER.calibration.ratios(
        kept.mean[None], np.array([kept.amount]), asked.mean[None], np.array([asked.amount])
    )
    assert (best.nats, best.score) == (pytest.approx(pair.llr[0, 0]), pytest.approx(pair.scores[0, 0]))
    odds = math.exp(best.nats) / len(voices.ids)  # all compete in a small library
    assert best.probability == pytest.approx(odds / (1 + odds))


def test_a_library_without_voices_has_none_that_is_alike(tmp_path):
    with MAKER.library(tmp_path / "l") as opened:
        for _ in range(2):  # with no recording, and with one in which nobody sings
            voices, asked = opened.voices(), MAKER.voice(20, 77)
            enrolled = Voices(("Ann",), asked.mean[None], np.array([3.0]))
            for likeness in (
                like_voice(voices, asked.mean, asked.amount, MAKER.calibration),
                like_singer(voices, enrolled, "Ann", MAKER.calibration),
            ):
                assert len(likeness.llr) == len(likeness.scores) == 0
                assert matches(opened, voices, likeness, 5) == ()
            MAKER.add(opened, "silence", [])


def test_blocks_change_nothing(library, monkeypatch):
    voices = library.voices()
    whole = like_voice(voices, MAKER.mean(0, 50), 9.0, MAKER.calibration)
    monkeypatch.setattr(search, "_BLOCK", 3)
    parts = like_voice(voices, MAKER.mean(0, 50), 9.0, MAKER.calibration)
    np.testing.assert_allclose(parts.llr, whole.llr, atol=1e-4)
    assert parts.llr.shape == (20,)


def test_an_enrolled_singer_is_found_and_enrolled_recordings_are_marked(library):
    vectors = np.stack([np.mean([MAKER.mean(10 * n, 30 + take) for take in range(4)], axis=0) for n in range(6)])
    enrolled = Voices(tuple("abcdef"), vectors, np.full(6, 36.0))
    voices = library.voices()
    found = matches(
        library, voices, like_singer(voices, enrolled, "c", MAKER.calibration), 4, enrolled=frozenset({"sha-2-1"})
    )
    assert set(names(found)[:3]) == {"2-0", "2-1", "2-2"} and found[2].probability > 0.9 > 0.1 > found[3].probability
    assert [match.enrolled for match in found] == [name == "2-1" for name in names(found)]
    with pytest.raises(KeyError):
        like_singer(voices, enrolled, "nobody", MAKER.calibration)


def test_a_library_of_one_recording_has_no_other(tmp_path):
    with MAKER.library(tmp_path / "one") as opened:
        MAKER.add(opened, "a", [1])
        voices = opened.voices()
        likeness = like_voice(voices, MAKER.mean(1, 0), 9.0, MAKER.calibration)
        assert matches(opened, voices, likeness, 5, leave_out=1) == ()
        (alone,) = matches(opened, voices, likeness, 5)
        assert alone.probability > 0.9


def test_who_competes():
    rng = np.random.default_rng(0)
    assert competing(np.array([9.0])) == 1 and competing(np.full(7, -20.0)) == 7
    far = rng.normal(-9, 1, 50_000)  # unlike the voice: they count for little
    assert competing(far) == pytest.approx(COMPETITORS + np.exp(far).sum())
    assert competing(np.append(far, [12.0] * 500)) == pytest.approx(competing(far))  # its own songs do not compete
    likes = np.log(rng.exponential(1.0, 5000))  # strangers as the calibration expects them: all count
    assert competing(likes) == pytest.approx(5000, rel=0.05)
    assert competing(np.append(likes, 500.0)) == pytest.approx(5000, rel=0.05)


def test_a_span_picks_who_is_heard_longest_in_it():
    mean = np.ones(4, np.float32)
    first = HeardVoice(mean, 3.0, (Span(0, 10), Span(20, 30)), 20.0)
    second = HeardVoice(mean, 3.0, (Span(10, 20),), 10.0)
    track = HeardTrack("song", (first, second), 40.0, 30.0, False, "f")
    assert voices_within(track, None, None) == (first, second)
    assert voices_within(track, 8.0, 15.0) == (second,) and voices_within(track, 18.0, None) == (first,)
    assert voices_within(track, None, 12.0) == (first,)
    with pytest.raises(AudioError, match=r"nobody who sings in 0:32.0-0:40.0"):
        voices_within(track, 32.0, None)
    with pytest.raises(AudioError, match="too little singing"):
        voices_within(HeardTrack("song", (), 40.0, 0.0, False, "f"), None, None)
    assert overlap_s(first.spans, 5, 25) == 10
