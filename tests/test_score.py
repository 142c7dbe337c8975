"""Scores: repeatable, inside the song, around a singer's range, on triads of one key."""

import subprocess
import sys

import numpy as np
import pytest

from whosings.choir.score import CONSONANTS, VOWELS, Score, compose

_SCALES = [{0, 2, 4, 5, 7, 9, 11}, {0, 2, 3, 5, 7, 8, 10}]


def song(seed: int, duration_s: float = 30.0, centre: float = 57.0, tempo: float = 100.0) -> Score:
    return compose(np.random.default_rng(seed), duration_s, centre, tempo)


SONGS = [song(seed, 20 + seed, 45 + seed % 30, 70 + 3 * seed) for seed in range(40)]


def test_a_seed_is_a_song():
    assert song(3) == song(3)
    assert len({song(seed) for seed in range(20)}) == 20


def test_a_seed_is_the_same_song_in_another_process():
    code = (
        "import numpy as np; from whosings.choir.score import compose;"
        "print(compose(np.random.default_rng(3), 30.0, 57.0, 100.0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == str(song(3))


@pytest.mark.parametrize("duration_s", [0.1, 1.0, 7.3, 60.0])
def test_lasts_as_long_as_asked_and_ends_with_a_bar(duration_s):
    score = song(0, duration_s, tempo=90.0)
    bar_s = 4 * 60 / 90
    assert duration_s <= score.duration_s < duration_s + bar_s
    assert score.duration_s == pytest.approx(len(score.chords) * bar_s)
    assert score.beat_s == pytest.approx(60 / 90)
    assert len(score.notes) >= 1


def test_notes_lie_inside_the_song_one_after_another():
    for score in SONGS:
        end = 0.0
        for note in score.notes:
            assert note.start_s >= end - 1e-9
            assert note.duration_s > 0.2 * score.beat_s
            end = note.start_s + note.duration_s
        assert end <= score.duration_s + 1e-9


def test_notes_keep_to_one_scale():
    for score in SONGS:
        pitches = {int(note.pitch) % 12 for note in score.notes} | {p % 12 for chord in score.chords for p in chord}
        assert all(note.pitch == int(note.pitch) for note in score.notes)
        assert any({(step + tonic) % 12 for step in scale} >= pitches for scale in _SCALES for tonic in range(12))


def test_chords_are_triads():
    for score in SONGS:
        for chord in score.chords:
            assert len(chord) == 3
            low, middle, high = chord
            assert (middle - low, high - middle) in {(4, 3), (3, 4), (3, 3)}
            assert 55 <= low <= 77


def test_syllables_are_all_used_and_all_known():
    notes = [note for score in SONGS for note in score.notes]
    assert {note.vowel for note in notes} == set(VOWELS)
    assert {note.consonant for note in notes} == set(CONSONANTS)


@pytest.mark.parametrize("centre", [45.0, 57.0, 70.0])
def test_the_melody_stays_around_its_centre(centre):
    pitches = np.array([note.pitch for seed in range(40) for note in song(seed, 40.0, centre).notes])
    assert pitches.size > 1000
    assert abs(np.median(pitches) - centre) < 1.5
    assert np.mean(np.abs(pitches - centre) <= 12) > 0.9
    assert np.abs(pitches - centre).max() < 40


def test_the_melody_stays_in_a_singers_range():
    pitches = np.array([note.pitch for seed in range(40) for note in song(seed, 40.0, 57.0).notes])
    assert np.abs(pitches - 57.0).max() <= 19  # a range of three octaves


def test_singers_breathe():
    gaps = [
        second.start_s - first.start_s - first.duration_s
        for score in SONGS
        for first, second in zip(score.notes, score.notes[1:], strict=False)
    ]
    bars = [4 * score.beat_s for score in SONGS]
    assert sum(gap > 0.9 * min(bars) for gap in gaps) > 20


def test_no_bar_can_be_silent_for_good():
    assert min(len(song(seed, 0.5).notes) for seed in range(300)) >= 1
