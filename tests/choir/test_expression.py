"""How scores are sung: frame by frame on pitch, in time, with the vibrato, glides, scoops and loudness asked for."""

import subprocess
import sys
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest

from whosings.choir.expression import Line, Manner, draw_manner, held, sing_line
from whosings.choir.score import Note, Score, compose
from whosings.sound.vocoder import FRAME_RATE

PLAIN = Manner(
    glide_s=0.01, scoop_cents=0.0, vibrato_cents=0.0, drift_cents=0.0, jitter_cents=0.0, late_s=0.0, accent_db=0.0
)


def score(*notes: tuple[float, float, float], bars: int = 4) -> Score:
    """Notes of (start, duration, pitch) in bars of two seconds."""
    return Score(tuple(Note(*note, "a", "") for note in notes), ((60, 64, 67),) * bars, 0.5)


def line(song: Score, seed: int = 0, **habits) -> Line:
    return sing_line(song, replace(PLAIN, **habits), np.random.default_rng(seed))


def cents(sung: Line, pitch: float) -> np.ndarray:
    return 1200 * np.log2(sung.f0 / 440) - 100 * (pitch - 69)


def songs(count: int = 12) -> list[Score]:
    return [compose(np.random.default_rng(seed), 8.0, 50.0 + seed, 70.0 + 8 * seed) for seed in range(count)]


def test_there_is_a_frame_every_ten_milliseconds():
    for song in songs():
        sung = sing_line(song, Manner(), np.random.default_rng(0))
        frames = round(song.duration_s * 100)
        assert sung.f0.shape == sung.note.shape == sung.level_db.shape == (frames,)
        assert sung.start.shape == sung.end.shape == (len(song.notes),)
        assert np.isfinite(sung.f0).all() and (sung.f0 > 0).all()


def test_notes_follow_one_another_and_rests_are_silent():
    for song in songs():
        sung = sing_line(song, Manner(), np.random.default_rng(1))
        for number, (first, last) in enumerate(zip(sung.start, sung.end, strict=True)):
            assert (sung.note[first:last] == number).all()
        assert all(last <= first for last, first in zip(sung.end[:-1], sung.start[1:], strict=True))
        assert np.array_equal(np.isneginf(sung.level_db), sung.note == -1)
        assert np.isfinite(sung.level_db[sung.note >= 0]).all()


def test_pitch_is_the_scores_away_from_glides():
    for song in songs():
        sung = sing_line(song, replace(PLAIN, glide_s=0.08), np.random.default_rng(2))
        checked = 0
        for note, first, last in zip(song.notes, sung.start, sung.end, strict=True):
            inside = slice(first + 5, last - 5)
            checked += max(0, last - first - 10)
            np.testing.assert_allclose(cents(sung, note.pitch)[inside], 0, atol=1e-6)
        assert checked > 100


def test_a_usual_singer_is_on_pitch_within_cents():
    sung = line(score((0.0, 8.0, 64.0)), scoop_cents=60, vibrato_cents=25, drift_cents=10, jitter_cents=3)
    off = cents(sung, 64.0)[50:]
    assert abs(off.mean()) < 10
    assert np.abs(off).max() < 80


@pytest.mark.parametrize("rate", [4.5, 5.5, 6.5])
@pytest.mark.parametrize("depth", [20.0, 70.0])
def test_vibrato_has_its_rate_and_depth(rate, depth):
    sung = line(score((0.0, 8.0, 60.0)), vibrato_hz=rate, vibrato_cents=depth, vibrato_delay_s=0.2)
    bend = cents(sung, 60.0)[100:700]
    spectrum = np.abs(np.fft.rfft(bend * np.hanning(bend.size), 1 << 14)) / (np.hanning(bend.size).sum() / 2)
    assert spectrum.argmax() * FRAME_RATE / (1 << 14) == pytest.approx(rate, abs=0.02)
    assert spectrum.max() == pytest.approx(depth, rel=0.02)


def test_vibrato_waits_and_then_grows():
    sung = line(score((0.0, 8.0, 60.0)), vibrato_cents=50.0, vibrato_delay_s=0.5)
    bend = np.abs(cents(sung, 60.0)[sung.start[0] :])
    assert bend[:50].max() < 1e-6
    # It has grown to its whole depth 0.3 s later.
    assert 1 < bend[50:65].max() < 26
    assert bend[80:700].max() == pytest.approx(50.0, rel=0.02)


def test_drift_is_slow_and_jitter_is_not():
    long = score((0.0, 400.0, 60.0), bars=200)
    drift = cents(line(long, drift_cents=12.0), 60.0)[10:-10]
    jitter = cents(line(long, jitter_cents=5.0), 60.0)[10:-10]
    assert 0.75 * 12 < drift.std() < 1.05 * 12  # knots of 12 cents, straight lines between
    assert jitter.std() == pytest.approx(5.0, rel=0.03)
    assert np.corrcoef(drift[1:], drift[:-1])[0, 1] > 0.99
    assert abs(np.corrcoef(jitter[1:], jitter[:-1])[0, 1]) < 0.02
    assert abs(np.corrcoef(drift[60:], drift[:-60])[0, 1]) < 0.15


def test_a_corrected_voice_steps_and_another_glides():
    song = score((0.0, 2.0, 55.0), (2.0, 2.0, 62.0), (4.0, 2.0, 59.0), (6.0, 2.0, 60.0))
    steps = cents(line(song), 60.0)
    assert {round(value) for value in np.unique(np.round(steps, 6))} == {-500, 200, -100, 0}
    for glide_s in (0.04, 0.14):
        glides = cents(line(song, glide_s=glide_s), 60.0)
        between = (np.abs(glides[:, None] - [-500, 200, -100, 0]) > 1e-6).all(axis=1)
        assert between.sum() == pytest.approx(3 * glide_s * FRAME_RATE, abs=4)
        sung = line(song, glide_s=glide_s)
        for rising, joint in zip((True, False, True), sung.start[1:], strict=True):
            part = np.diff(sung.f0[joint - 15 : joint + 15])
            assert (part >= -1e-9).all() if rising else (part <= 1e-9).all()


def test_scoops_come_from_below_and_phrases_start_lower():
    song = score((0.5, 1.0, 60.0), (1.5, 1.0, 60.0), (4.0, 1.0, 60.0))
    first, joined, apart = [], [], []
    for seed in range(40):
        sung = line(song, seed, scoop_cents=80.0)
        bend = cents(sung, 60.0)
        assert bend.max() < 1e-6
        first.append(bend[sung.start[0]])
        joined.append(bend[sung.start[1]])
        apart.append(bend[sung.start[2]])
        assert abs(bend[sung.start[0] + 30]) < 0.01 * 80
    for onsets in (first, apart):
        assert -80.0 - 1e-6 <= min(onsets) < max(onsets) <= -0.2 * 80 + 1e-6
        assert np.mean(onsets) == pytest.approx(-0.6 * 80, abs=15)
    assert min(joined) >= -0.3 * 80 - 1e-6
    assert np.mean(joined) == pytest.approx(-0.18 * 80, abs=5)


def test_late_singers_are_late():
    song = score(*((0.5 * n, 0.4, 60.0) for n in range(1, 390)), bars=100)
    starts = np.array([note.start_s for note in song.notes])
    for late in (0.0, 0.04):
        delay = line(song, late_s=late).start / FRAME_RATE - starts
        assert delay.mean() == pytest.approx(late, abs=0.002)
        assert 0.006 < delay.std() < 0.014


def test_short_gaps_are_sung_through_and_long_ones_are_breaths():
    song = score((0.0, 0.95, 60.0), (1.0, 0.6, 62.0), (2.0, 1.0, 64.0))
    sung = line(song)
    assert sung.end[0] == sung.start[1]
    assert sung.start[2] - sung.end[1] == pytest.approx(40, abs=4)
    level = sung.level_db
    assert np.abs(level[sung.start[0] + 5 : sung.end[1] - 9]).max() < 1e-9  # no dip at the joint
    for onset in (sung.start[0], sung.start[2]):
        rise = level[onset : onset + 6]
        assert rise[0] < -25 and rise[-1] == 0 and (np.diff(rise) >= 0).all()
    for end in (sung.end[1], sung.end[2]):
        fall = level[end - 9 : end]
        assert fall[-1] < -25 and fall[0] == 0 and (np.diff(fall) <= 0).all()


def test_accents_differ_from_note_to_note():
    song = score(*((0.5 * n, 0.5, 60.0) for n in range(400)), bars=100)
    sung = line(song, accent_db=3.0)
    middles = (sung.start + sung.end)[1:-1] // 2
    assert sung.level_db[middles].std() == pytest.approx(3.0, rel=0.12)
    assert abs(sung.level_db[middles].mean()) < 0.6


def test_no_notes_are_a_rest():
    sung = line(score())
    assert sung.f0.shape == (800,)
    assert (sung.note == -1).all() and np.isneginf(sung.level_db).all()
    assert sung.start.size == sung.end.size == 0
    assert np.isfinite(sung.f0).all() and (sung.f0 > 0).all()


def test_a_note_outside_the_song_is_not_sung():
    sung = line(score((9.0, 1.0, 60.0)))
    assert (sung.note == -1).all() and sung.start[0] == sung.end[0] == 800
    both = line(score((1.0, 1.0, 60.0), (9.0, 1.0, 90.0)))
    assert set(both.note) == {-1, 0}
    assert cents(both, 60.0)[150] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("duration_s", [0.001, 0.01, 0.02, 0.05])
def test_very_short_notes_are_well_behaved(duration_s):
    song = score(*((0.02 * n, duration_s, 50.0 + n % 20) for n in range(100)))
    for seed in range(5):
        sung = sing_line(song, Manner(late_s=0.03), np.random.default_rng(seed))
        assert np.isfinite(sung.f0).all()
        assert (sung.end >= sung.start).all() and sung.start.min() >= 0 and sung.end.max() <= 800
        assert np.array_equal(np.isneginf(sung.level_db), sung.note == -1)
        assert np.isfinite(sung.level_db[sung.note >= 0]).all()


@pytest.mark.parametrize("pitch", [0.0, 12.0, 108.0, 127.0])
def test_extreme_pitches_are_sung_as_written(pitch):
    sung = line(score((0.0, 8.0, pitch)))
    np.testing.assert_allclose(sung.f0, 440 * 2 ** ((pitch - 69) / 12), rtol=1e-9)


def test_one_frame_is_enough():
    tiny = Score((Note(0.0, 0.01, 60.0, "a", ""),), ((60, 64, 67),), 0.0025)
    sung = sing_line(tiny, Manner(), np.random.default_rng(0))
    assert sung.f0.shape == (1,) and np.isfinite(sung.f0).all()


@pytest.mark.parametrize("size", [1, 2, 5, 12, 40, 300])
def test_a_held_vowel_goes_through_the_spoken_one_in_order(size):
    for start, end in ((0.0, 12.0), (7.5, 30.0), (3.0, 5.0)):
        places = held(start, end, size)
        assert places.shape == (size,)
        assert start <= places.min() and places.max() <= end - 1 + 1e-9
        assert (np.diff(places) >= -1e-9).all()
        assert places[0] == start
        if size > 2:
            assert places[-1] == pytest.approx(end - 1)


def test_a_long_held_vowel_keeps_the_pace_of_its_edges():
    pace = np.diff(held(10.0, 30.0, 200))
    np.testing.assert_allclose(pace[:5], 1.0)
    np.testing.assert_allclose(pace[-5:], 1.0)
    assert pace[6:-6].max() < 0.1
    np.testing.assert_allclose(held(10.0, 30.0, 20), np.arange(10.0, 30.0))


def test_manners_differ_and_are_human():
    drawn = [draw_manner(np.random.default_rng(seed)) for seed in range(300)]
    assert len(set(drawn)) == 300
    assert drawn[7] == draw_manner(np.random.default_rng(7))
    for field in fields(Manner):
        values = np.array([getattr(manner, field.name) for manner in drawn])
        assert np.isfinite(values).all() and values.min() >= 0
        assert np.ptp(values) > 0.3 * values.mean()
    assert all(4 < manner.vibrato_hz < 7 and manner.late_s < 0.05 and manner.glide_s > 0.02 for manner in drawn)


def test_a_seed_is_a_line():
    song = songs(1)[0]
    first, again, other = (sing_line(song, Manner(), np.random.default_rng(seed)) for seed in (3, 3, 4))
    for field in fields(Line):
        assert getattr(first, field.name).tobytes() == getattr(again, field.name).tobytes()
    assert not np.array_equal(first.f0, other.f0)


def test_another_process_sings_the_same_line():
    code = """
import numpy as np
from whosings.choir.expression import draw_manner, sing_line
from whosings.choir.score import compose
rng = np.random.default_rng(5)
line = sing_line(compose(rng, 6.0, 57.0, 100.0), draw_manner(rng), rng)
print(line.f0.tobytes().hex() + line.level_db.tobytes().hex())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    rng = np.random.default_rng(5)
    here = sing_line(compose(rng, 6.0, 57.0, 100.0), draw_manner(rng), rng)
    assert done.stdout.strip() == here.f0.tobytes().hex() + here.level_db.tobytes().hex()


def test_repeated_takes_differ_as_peoples_do():
    song = songs(1)[0]
    takes = [sing_line(song, Manner(), np.random.default_rng(seed)) for seed in range(4)]
    for one, two in pairwise(takes):
        off = 1200 * np.log2(one.f0 / two.f0)
        assert 2 < np.median(np.abs(off)) < 60
        assert np.abs(one.start - two.start).max() <= 8
