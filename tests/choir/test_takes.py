"""Takes by what can be measured of them: bandwidth, noise, formants, and who sounds like whom."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from whosings.choir.build import build
from whosings.choir.cast import draw_singer
from whosings.choir.genres import GENRES
from whosings.choir.parametric import blended, draw_voice
from whosings.choir.plan import PRESETS, Part, Preset, make_plan
from whosings.choir.songs import perform, record
from whosings.choir.takes import EASY, STUDIO, Difficulty, Take, captured, draw_take, sung
from whosings.choir.technique import draw_technique
from whosings.errors import ConfigError
from whosings.sound.record_effects import band_passed
from whosings.sound.vocoder import FREQUENCIES, Frames

HARD = Difficulty(families=3, likeness=0.5, technique=1.0, treated=True, live=0.3, demo=0.3, years_apart=(5, 9))
BY_NAME = {genre.name: genre for genre in GENRES}


def takes(difficulty, genre, count=400):
    return [draw_take(difficulty, BY_NAME[genre], np.random.default_rng([1, n])) for n in range(count)]


def test_an_easy_choir_changes_nothing():
    assert set(takes(EASY, "electronic")) == {STUDIO}
    noise = np.random.default_rng(0).standard_normal((2, 4000))
    np.testing.assert_array_equal(captured(*noise, STUDIO, np.random.default_rng(0)), noise)
    singer, easy = draw_singer(0, 3, difficulty=EASY), draw_singer(0, 3)
    for name in ("year", "chain", "voice_db", "take"):
        assert getattr(singer.album(5), name) == getattr(easy.album(5), name)
    assert singer.performer.centre == easy.performer.centre


def test_occasions_and_effects_come_as_often_as_they_should():
    made = takes(HARD, "electronic")
    shares = {name: np.mean([take.occasion == name for take in made]) for name in ("live", "demo", "studio")}
    assert shares == pytest.approx({"live": 0.3, "demo": 0.3, "studio": 0.4}, abs=0.07)
    shifted = [np.mean([take.shift != 1.0 for take in takes(HARD, name)]) for name in ("electronic", "pop", "folk")]
    assert shifted == pytest.approx(
        [BY_NAME[name].treatment.shifted for name in ("electronic", "pop", "folk")], abs=0.07
    )
    assert (
        np.mean([take.voice_db for take in takes(HARD, "rock")])
        < np.mean([t.voice_db for t in takes(HARD, "jazz")]) - 2
    )
    assert len({take.chain for take in made}) == len(made)


def test_a_demo_is_narrow_and_noise_is_as_loud_as_said():
    take = Take("demo", band_hz=(200.0, 4000.0), noise_db=-20.0)
    noise = np.random.default_rng(0).standard_normal((2, 64_000))
    voice, music = captured(*noise, take, np.random.default_rng(1))
    spectrum = np.abs(np.fft.rfft(voice)) ** 2
    hertz = np.fft.rfftfreq(voice.size, 1 / 16_000)
    middle = spectrum[(hertz > 500) & (hertz < 2500)].mean()
    assert spectrum[hertz > 7000].mean() < middle / 50 and spectrum[hertz < 80].mean() < middle / 50
    quiet = captured(*noise, replace(take, noise_db=-np.inf), np.random.default_rng(1))
    np.testing.assert_allclose(quiet[0], voice)
    added = music - quiet[1]
    assert 10 * np.log10(np.mean(added**2) / np.mean((quiet[0] + quiet[1]) ** 2)) == pytest.approx(-20, abs=0.1)


def test_corners_are_three_decibels_down():
    tones = [np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000) for hertz in (300, 1000, 3000)]
    levels = [10 * np.log10(np.mean(band_passed(tone, 300.0, 3000.0) ** 2) / np.mean(tone**2)) for tone in tones]
    assert levels == pytest.approx([-3.0, 0.0, -3.0], abs=0.1)


def test_a_formant_shifter_moves_the_envelope_and_not_the_pitch():
    envelope = np.exp(-0.5 * ((FREQUENCIES - 2000) / 200) ** 2)[None].repeat(3, axis=0)
    frames = Frames(np.full(3, 200.0), envelope, np.zeros_like(envelope), np.zeros(3, np.int64))
    moved = sung(frames, Take(shift=1.25))
    assert FREQUENCIES[moved.envelope[0].argmax()] == pytest.approx(1600, abs=20)
    np.testing.assert_array_equal(moved.f0, frames.f0)


def test_a_technique_that_does_not_reach_far():
    whole = draw_technique(np.random.default_rng(7))
    half, none = whole.reaching(0.5), whole.reaching(0.0)
    assert half.tilt_db == whole.tilt_db / 2 and half.jaw**2 == pytest.approx(whole.jaw)
    assert none == type(whole)() and whole.reaching(1.0) == whole


def test_voices_of_a_family_are_alike():
    voices = [draw_singer(0, number, difficulty=HARD).performer for number in range(12)]

    def apart(one, other):
        return float(np.abs(np.log(one.formants / other.formants)).mean())

    family = np.mean([apart(voices[n], voices[n + 3]) for n in range(9)])
    strangers = np.mean([apart(voices[n], voices[n + 1]) for n in range(9)])
    assert family < 0.8 * strangers
    one, other = draw_voice(np.random.default_rng(1)), draw_voice(np.random.default_rng(2))
    np.testing.assert_allclose(blended(one, other, 0.0).formants, one.formants)
    assert blended(one, other, 1.0).manner == other.manner
    assert blended(one, other, 0.25).centre == pytest.approx(0.75 * one.centre + 0.25 * other.centre)


def test_songs_of_one_album_differ_in_all_but_the_singer():
    singer = draw_singer(0, 4, difficulty=HARD)
    albums = [singer.album(song) for song in range(6 * singer.songs_an_album)]
    assert len({album.take for album in albums}) == len(albums) and len({album.chain for album in albums}) == len(
        albums
    )
    years = sorted({album.year for album in albums})
    assert all(5 <= later - earlier <= 9 for earlier, later in pairwise(years))
    song = perform(singer, 1, 2.0)
    assert song.album == singer.album(1)
    made = record(singer, 1, 2.0)
    np.testing.assert_array_equal(made.mixture, record(singer, 1, 2.0).mixture)
    assert np.abs(made.mixture).max() == pytest.approx(0.95, abs=1e-3) and np.abs(made.vocals).max() > 0.5


def test_the_hard_preset_has_short_and_long_discographies():
    plan = make_plan(PRESETS["hard"])
    closed = [role.songs for role in plan.cast if role.set == "closed"]
    assert closed[:5] == [7, 9, 12, 20, 7] and len(closed) == 320
    assert all(clone.song < clone.source.songs for clone in plan.clones)
    assert {role.songs for role in plan.cast if role.set == "train"} == {4}


def test_a_hard_choir_says_so_and_is_not_mixed_with_an_easy_one(tmp_path):
    nobody = Part(0, 0)
    easy = Preset("custom", Part(1, (2, 1)), nobody, nobody, 0, 0, 2.0)
    hard = replace(easy, difficulty=replace(HARD, live=1.0))
    built = build(make_plan(hard), tmp_path)
    assert [track.title for track in built.manifest.tracks] == ["Song 0 (live)", "Song 1 (live)"]
    assert build(make_plan(hard), tmp_path).made == 0
    for other in (easy, replace(easy, difficulty=HARD)):
        with pytest.raises(ConfigError, match="difficulty"):
            build(make_plan(other), tmp_path)
