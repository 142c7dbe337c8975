"""Singers: the same from the same seed, with careers in which band, studio and voice change little by little."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from whosings.choir.cast import Ageing, aged, aged_manner, draw_singer
from whosings.choir.expression import Manner
from whosings.choir.genres import GENRES
from whosings.choir.parametric import draw_voice
from whosings.choir.score import LANGUAGES
from whosings.sound.vocoder import BINS, FREQUENCIES, Frames


def plain(frames: int = 3) -> Frames:
    """A flat spectrum with one peak at 2 kHz."""
    envelope = np.tile(1.0 + 99.0 * np.exp(-0.5 * ((FREQUENCIES - 2000) / 60) ** 2), (frames, 1))
    return Frames(np.full(frames, 200.0), envelope, np.zeros((frames, BINS)), np.zeros(frames, np.int64))


def test_a_number_is_a_singer():
    first, again, other, elsewhere = (draw_singer(*key) for key in [(0, 1), (0, 1), (0, 2), (1, 1)])
    assert first.name == "singer-0001" and first.seed == (0, 1)
    assert first.performer.centre == again.performer.centre
    assert np.array_equal(first.performer.formants, again.performer.formants)
    assert first.chain == again.chain and first.ageing == again.ageing and first.manner == again.manner
    assert len({singer.performer.centre for singer in (first, other, elsewhere)}) == 3


def test_another_performer_has_the_same_career():
    voice = draw_voice(np.random.default_rng(99))
    given, drawn = draw_singer(3, 5, voice, "guest-0005"), draw_singer(3, 5)
    assert given.performer is voice and given.name == "guest-0005"
    assert (given.genre, given.language, given.chain) == (drawn.genre, drawn.language, drawn.chain)
    assert given.album(4).year == drawn.album(4).year


def test_there_are_singers_of_every_genre_and_language():
    singers = [draw_singer(0, number) for number in range(150)]
    assert {singer.genre.name for singer in singers} == {genre.name for genre in GENRES}
    assert {singer.language for singer in singers} == set(LANGUAGES)


def test_songs_of_an_album_share_it_and_years_pass_between_albums():
    singer = draw_singer(0, 3)
    size = singer.songs_an_album
    albums = [singer.album(song) for song in range(4 * size)]
    for number in range(4):
        same = albums[number * size : (number + 1) * size]
        assert len({(a.title, a.year, a.chain, a.voice_db) for a in same}) == 1
    firsts = albums[::size]
    assert firsts[0].years == 0 and firsts[0].year == singer.first_year
    assert all(later.year > earlier.year for earlier, later in pairwise(firsts))
    assert len({a.master_db for a in firsts}) == 4
    assert firsts[0].palette is singer.palette and firsts[0].ensemble == singer.ensemble
    assert firsts[3].ensemble != singer.ensemble


def test_an_albums_band_is_more_like_the_singers_than_like_anothers():
    def distance(one, two) -> float:
        fields = ("chords", "bass", "kit", "chord_beats", "kick", "snare", "hat")
        return float(np.mean([getattr(one, f) != getattr(two, f) for f in fields]))

    singers = [draw_singer(0, number) for number in range(20)]
    later = [singer.album(2 * singer.songs_an_album).ensemble for singer in singers]
    own = np.mean([distance(s.ensemble, e) for s, e in zip(singers, later, strict=True)])
    others = np.mean([distance(s.ensemble, e) for n, s in enumerate(singers) for m, e in enumerate(later) if n != m])
    assert own < 0.4 * others


def test_age_darkens_and_lengthens():
    old = aged(plain(), Ageing(semitones=0.0, tilt_db=-0.1, tract=0.005, vibrato=0.0), 20)
    assert FREQUENCIES[old.envelope[0].argmax()] == pytest.approx(2000 / 1.1, abs=20)
    before, after = (frames.envelope[1] for frames in (plain(), old))
    at = np.searchsorted(FREQUENCIES, [500.0, 4000.0])
    change = 10 * np.log10(after[at] / before[at])
    np.testing.assert_allclose(change, [2.0, -4.0], atol=0.1)  # -0.1 dB a year and octave, from 1 kHz
    assert np.array_equal(old.f0, plain().f0)


def test_no_years_change_nothing():
    frames, manner = plain(), Manner(vibrato_cents=30.0)
    ageing = Ageing(-0.1, -0.05, 0.001, 0.02)
    assert aged(frames, ageing, 0) is frames
    assert aged_manner(manner, ageing, 0) == manner
    older = aged_manner(manner, ageing, 10)
    assert older.vibrato_cents == pytest.approx(30 * 1.02**10) and older.vibrato_hz < manner.vibrato_hz
    assert replace(older, vibrato_cents=30.0, vibrato_hz=manner.vibrato_hz) == manner
