"""Answers for songs of several voices, on windows whose truth is known by construction."""

from dataclasses import replace

import numpy as np
import pytest

from tests.product.test_diarization import HOP_S, WINDOW_S
from tests.product.test_identification import DIMENSIONS, KNOWN, OFFSET, PRINT, VOICES, calibrated, track
from whosings import heard
from whosings.answer import Verdict
from whosings.answer_text import verdict_line
from whosings.gallery import Gallery
from whosings.identification import Identifier
from whosings.segment_embedding import Windows

CENTRED = replace(KNOWN, centre=tuple(OFFSET / 10))


def song(turns, seed=0, noise=0.3):
    """A song of (voices, seconds) in order, where several voices sing at once."""
    rng = np.random.default_rng([11, seed])
    edges = np.cumsum([0.0, *(seconds for _, seconds in turns)])
    starts = np.arange(0.0, edges[-1] - WINDOW_S + 1e-6, HOP_S)

    def heard(start, length):
        middle = min(start + length / 2, edges[-1] - 1e-6)
        who = turns[int(np.searchsorted(edges[1:], middle, "right"))][0]
        mixed = VOICES[list(who)].mean(axis=0) * np.sqrt(len(who)) + OFFSET
        return mixed + noise * rng.standard_normal(DIMENSIONS)

    def unit(rows):
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    windows = Windows(unit(np.array([heard(start, WINDOW_S) for start in starts])), starts)
    whole = track([0] * max(1, int(edges[-1] / 3) - 1), seed)
    segments = unit(np.array([heard(start, 6.0) for start in whole.start_s]))
    return replace(whole, vectors=segments, duration_s=float(edges[-1]), windows=windows)


@pytest.fixture
def identifier(tmp_path):
    with Gallery(tmp_path / "g", PRINT) as gallery:
        for singer in range(8):
            gallery.add(f"singer {singer}", track([singer] * 20, singer), str(singer))
        yield Identifier(gallery, calibrated(CENTRED))


def test_a_song_of_one_voice_has_one(identifier):
    answer = identifier.answer(song([((2,), 60)]))
    assert answer.verdict is Verdict.SINGER and answer.named == ("singer 2",)
    (voice,) = answer.voices
    assert not voice.together and voice.probability == answer.top[0].probability > 0.9
    assert voice.seconds == pytest.approx(60, abs=WINDOW_S) and answer.top[0].share == pytest.approx(1)
    (part,) = answer.timeline
    assert (part.start_s, part.duration_s) == (voice.spans[0].start_s, voice.seconds)


def test_it_is_scored_as_a_song_without_windows_is(identifier):
    probe = song([((2,), 60)])
    with_windows, without = identifier.answer(probe), identifier.answer(replace(probe, windows=None))
    for one, other in zip(with_windows.top, without.top, strict=True):
        assert (one.singer, one.score, one.probability) == (other.singer, other.score, other.probability)


def test_each_singer_of_a_duet_is_named_where_they_sing(identifier):
    answer = identifier.answer(song([((1,), 25), ((4,), 15)]))
    assert answer.verdict is Verdict.SEVERAL and answer.named == ("singer 1", "singer 4")
    first, second = answer.voices
    assert first.spans[0].stop_s == pytest.approx(25, abs=0.5) and second.spans[0].start_s == pytest.approx(25, abs=0.5)
    assert first.probability > 0.9 and second.probability > 0.9, "presences, not shares of one"
    assert [candidate.singer for candidate in answer.top[:2]] == ["singer 1", "singer 4"]
    assert answer.top[0].share == pytest.approx(25 / 40, abs=0.03)
    assert answer.unknown_probability < 0.01
    assert [part.singer for part in answer.timeline] == ["singer 1", "singer 4"]
    assert verdict_line(answer) == "singer 1 (100%) and singer 4 (100%)"


def test_short_turns_are_joined_to_one_voice_each(identifier):
    answer = identifier.answer(song([((1,), 5), ((4,), 5)] * 4))
    assert set(answer.named) == {"singer 1", "singer 4"}
    assert [len(voice.spans) for voice in answer.voices] == [4, 4]


def test_a_stranger_beside_a_singer_is_somebody_else(identifier):
    answer = identifier.answer(song([((1,), 25), ((12,), 15)]))
    assert answer.verdict is Verdict.SEVERAL and answer.named == ("singer 1",)
    assert [voice.singer for voice in answer.voices] == ["singer 1", None]
    assert verdict_line(answer).endswith("and somebody else (100%)")


def test_a_brief_stranger_is_no_voice_and_a_brief_singer_is(identifier):
    """A passage of four seconds that is nobody's in particular: doubled vocals, an effect, a crowd."""
    stranger = identifier.answer(song([((1,), 40), ((12,), 4)]))
    assert stranger.verdict is Verdict.SINGER and len(stranger.voices) == 1
    guest = identifier.answer(song([((1,), 40), ((5,), 6)]))
    assert guest.named == ("singer 1", "singer 5")


def test_several_strangers_are_unknown(identifier):
    answer = identifier.answer(song([((12,), 20), ((13,), 20)]))
    assert answer.verdict is Verdict.UNKNOWN and answer.named == () and len(answer.voices) == 2
    assert answer.unknown_probability > 0.9


def test_two_voices_at_once_are_both_named(identifier):
    answer = identifier.answer(song([((3, 6), 40)], noise=0.1))
    assert set(answer.named) == {"singer 3", "singer 6"}
    assert [voice.together for voice in answer.voices] == [False, True]
    assert answer.voices[0].spans == answer.voices[1].spans


def test_leaving_one_singer_of_a_duet_out(identifier):
    answer = identifier.answer(song([((1,), 20), ((4,), 20)]), leave_out="singer 4")
    assert answer.named == ("singer 1",) and answer.verdict is Verdict.SEVERAL


def test_what_all_voices_share_is_taken_away_before_they_are_told_apart(tmp_path, monkeypatch):
    """Otherwise recordings of one studio would be one voice."""
    seen = []
    told_apart = heard.diarize
    monkeypatch.setattr(heard, "diarize", lambda *of: seen.append(of[0]) or told_apart(*of))
    with Gallery(tmp_path / "g", PRINT) as gallery:
        gallery.add("singer 1", track([1] * 20, 1), "1")
        probe = song([((1,), 20), ((4,), 20)])
        Identifier(gallery, calibrated(CENTRED)).answer(probe)
    rest = probe.windows.vectors - np.array(CENTRED.centre, np.float32)
    np.testing.assert_allclose(seen[0], rest / np.linalg.norm(rest, axis=1, keepdims=True), atol=1e-5)
