"""Scores: repeatable, inside the song, in a singer's range, on triads of one key, in one language, with refrains."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from whosings.choir.score import CONSONANTS, LANGUAGES, PHONES, VOWELS, Form, Note, Score, compose

_SCALES = {"major": {0, 2, 4, 5, 7, 9, 11}, "minor": {0, 2, 3, 5, 7, 8, 10}}
_PHRASE_BEATS = 8
# A note for every beat but no rest: the phrases are told apart by their starts alone.
_STEADY = Form(lengths=(1.0,), breath=0.0)


def song(seed: int, duration_s: float = 30.0, centre: float = 57.0, tempo: float = 100.0, **form) -> Score:
    return compose(np.random.default_rng(seed), duration_s, centre, tempo, replace(Form(), **form))


def phrases(score: Score) -> list[list[Note]]:
    """The notes by phrases of two bars, their starts from its first beat on, in beats."""
    parts: list[list[Note]] = [[] for _ in range(-(-len(score.chords) // 2))]
    for note in score.notes:
        beat = note.start_s / score.beat_s + 1e-9
        number = int(beat // _PHRASE_BEATS)
        parts[number].append(replace(note, start_s=round(beat - number * _PHRASE_BEATS, 6)))
    return parts


def words(notes: list[Note]) -> list[tuple[str, str, str]]:
    return [(note.consonant, note.vowel, note.coda) for note in notes]


def tune(notes: list[Note]) -> list[tuple[float, float, float]]:
    return [(note.start_s, round(note.duration_s, 6), note.pitch) for note in notes]


SONGS = [
    song(seed, 20 + seed, 45 + seed % 30, 70 + 3 * seed, language=LANGUAGES[seed % len(LANGUAGES)])
    for seed in range(40)
]


def test_a_seed_is_a_song():
    assert song(3) == song(3) == compose(np.random.default_rng(3), 30.0, 57.0, 100.0)
    assert len({song(seed) for seed in range(20)}) == 20


def test_a_seed_is_the_same_song_in_another_process():
    code = (
        "import numpy as np; from whosings.choir.score import LANGUAGES, Form, compose;"
        "print([compose(np.random.default_rng(3), 30.0, 57.0, 100.0, Form(language=code)) for code in LANGUAGES])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == str([song(3, language=code) for code in LANGUAGES])


@pytest.mark.parametrize("duration_s", [0.0, 0.1, 1.0, 7.3, 60.0])
def test_lasts_as_long_as_asked_and_ends_with_a_bar(duration_s):
    score = song(0, duration_s, tempo=90.0)
    bar_s = 4 * 60 / 90
    assert duration_s <= score.duration_s < duration_s + bar_s or score.duration_s == pytest.approx(bar_s)
    assert score.duration_s == pytest.approx(len(score.chords) * bar_s)
    assert score.beat_s == pytest.approx(60 / 90)
    assert len(score.notes) >= 1


def test_notes_lie_inside_the_song_one_after_another():
    for score in SONGS:
        end = 0.0
        for note in score.notes:
            assert note.start_s >= end - 1e-9
            assert note.duration_s > 0.17 * score.beat_s
            end = note.start_s + note.duration_s
        assert end <= score.duration_s + 1e-9


def test_notes_keep_to_one_scale():
    for score in SONGS:
        pitches = {int(note.pitch) % 12 for note in score.notes} | {p % 12 for chord in score.chords for p in chord}
        assert all(note.pitch == int(note.pitch) for note in score.notes)
        assert any(
            {(step + tonic) % 12 for step in scale} >= pitches for scale in _SCALES.values() for tonic in range(12)
        )


def test_chords_are_triads():
    for score in SONGS:
        for chord in score.chords:
            assert len(chord) == 3
            low, middle, high = chord
            assert (middle - low, high - middle) in {(4, 3), (3, 4), (3, 3)}
            assert 55 <= low <= 77


def test_major_and_minor_are_as_asked():
    """The same seed has the same roots; on the first, fourth and fifth degree the key decides about the third."""
    for seed in range(30):
        bright, dark = song(seed, minor=0.0), song(seed, minor=1.0)
        pairs = [(a, b) for a, b in zip(bright.chords, dark.chords, strict=True) if a[0] == b[0]]
        assert pairs
        assert all((a[1] - a[0], b[1] - b[0]) == (4, 3) for a, b in pairs)
        assert all(a[2] == b[2] for a, b in pairs)
    either = [song(seed, minor=0.4) for seed in range(200)]
    dark = [score.chords == song(seed, minor=1.0).chords for seed, score in enumerate(either)]
    assert np.mean(dark) == pytest.approx(0.4, abs=0.1)


def test_sounds_are_all_used_and_all_known():
    notes = [note for score in SONGS for note in score.notes]
    assert {note.vowel for note in notes} == set(VOWELS)
    assert {note.consonant for note in notes} == set(CONSONANTS)
    assert {note.coda for note in notes} == {"", "n", "m", "l", "r", "s", "t"}
    assert len(set(PHONES)) == len(PHONES) == len(VOWELS) + len(CONSONANTS) - 1


def test_a_language_has_its_own_sounds_whoever_sings_it():
    def sounds(language: str, first: int) -> dict[str, Counter]:
        notes = [n for s in range(first, first + 12) for n in song(s, 120.0, language=language).notes]
        found = {name: Counter(getattr(n, name) for n in notes) for name in ("vowel", "consonant", "coda")}
        return {name: Counter({k: v / len(notes) for k, v in c.items()}) for name, c in found.items()}

    def distance(one: Counter, two: Counter) -> float:
        return sum(abs(one[k] - two[k]) for k in {*one, *two})

    first, second = ({code: sounds(code, seed) for code in LANGUAGES} for seed in (0, 100))
    for code in LANGUAGES:
        for name in ("vowel", "consonant", "coda"):
            assert distance(first[code][name], second[code][name]) < 0.25
        # Only what is rare could be missing from one of two samples.
        odd = set(first[code]["consonant"]) ^ set(second[code]["consonant"])
        assert all(first[code]["consonant"][k] + second[code]["consonant"][k] < 0.01 for k in odd)
        assert {"a", "e", "i", "o", "u"} <= set(first[code]["vowel"])
        assert {"", "n", "m"} <= set(first[code]["consonant"])
        assert 5 <= len(first[code]["vowel"]) <= 8
    for one, two in pairwise(LANGUAGES):
        assert distance(first[one]["consonant"], first[two]["consonant"]) > 0.4
    assert any(len(first[code]["consonant"]) < len(CONSONANTS) for code in LANGUAGES)
    assert len({frozenset(first[code]["consonant"]) for code in LANGUAGES}) == len(LANGUAGES)


def test_only_invented_languages_are_spoken():
    with pytest.raises(ValueError):
        song(0, language="eng")


def test_a_language_changes_neither_the_chords_nor_the_beginning():
    one, two = song(0, 3.0, language="qaa"), song(0, 3.0, language="qab")
    assert one.chords == two.chords and one.notes[0].start_s == two.notes[0].start_s


def test_the_refrain_comes_back_words_and_all():
    for seed in range(10):
        parts = phrases(song(seed, 130.0, tempo=120.0, **vars(_STEADY)))
        assert len(parts) >= 32
        for number in (6, 12, 14, 20, 30):  # the first and third of each refrain
            assert tune(parts[number]) == tune(parts[4])
            assert words(parts[number]) == words(parts[4])
        for number, first in ((13, 5), (21, 5), (15, 7), (23, 7)):
            assert tune(parts[number]) == tune(parts[first])
            assert words(parts[number]) == words(parts[first])
        assert tune(parts[5]) != tune(parts[4])


def test_another_verse_has_the_tune_and_other_words():
    for seed in range(10):
        parts = phrases(song(seed, 130.0, tempo=120.0, **vars(_STEADY)))
        for number in (2, 8, 10, 16):
            assert tune(parts[number]) == tune(parts[0])
            assert words(parts[number]) != words(parts[0])
        assert tune(parts[9]) == tune(parts[1]) != tune(parts[0])
        assert tune(parts[3]) != tune(parts[4])


def test_verse_and_refrain_have_their_chords():
    for seed in range(10):
        chords = song(seed, 130.0, tempo=120.0).chords
        assert chords[:4] == chords[4:8] == chords[16:20]
        assert chords[8:12] == chords[12:16] == chords[24:28]


@pytest.mark.parametrize("centre", [45.0, 57.0, 70.0])
def test_the_melody_stays_around_its_centre(centre):
    pitches = np.array([note.pitch for seed in range(30) for note in song(seed, 40.0, centre).notes])
    assert pitches.size > 1000
    assert abs(np.median(pitches) - centre) < 2.5  # refrains lie higher
    assert np.abs(pitches - centre).max() <= Form().reach


@pytest.mark.parametrize("reach", [1, 3, 5, 9, 14])
def test_reach_bounds_the_range_and_is_used(reach):
    for centre in (41.3, 57.0, 74.5):
        pitches = np.array([n.pitch for seed in range(12) for n in song(seed, 60.0, centre, reach=reach, leap=4).notes])
        assert np.abs(pitches - centre).max() <= reach
        assert np.ptp(pitches) >= min(reach, 1.2 * reach - 1)


@pytest.mark.parametrize("leap", [0, 1, 2, 4])
def test_leap_bounds_the_steps_within_a_phrase(leap):
    for name, minor in (("major", 0.0), ("minor", 1.0)):
        for seed in range(15):
            score = song(seed, 60.0, leap=leap, reach=12, minor=minor)
            degrees = [pitch for pitch in range(128) if (pitch - _tonic(score, name)) % 12 in _SCALES[name]]
            for part in phrases(score):
                places = [degrees.index(int(note.pitch)) for note in part]
                assert all(abs(b - a) <= leap for a, b in pairwise(places))


def _tonic(score: Score, mode: str) -> int:
    """A tonic for which every note and chord lies in the scale."""
    pitches = {int(n.pitch) % 12 for n in score.notes} | {p % 12 for chord in score.chords for p in chord}
    return next(t for t in range(12) if {(t + step) % 12 for step in _SCALES[mode]} >= pitches)


def test_all_of_leap_is_used():
    steps = [abs(b.pitch - a.pitch) for s in range(10) for part in phrases(song(s, leap=4)) for a, b in pairwise(part)]
    assert max(steps) >= 5


def test_monotone_repeats_and_its_absence_moves():
    for seed in range(10):
        for part in phrases(song(seed, monotone=1.0)):
            assert len({note.pitch for note in part}) <= 1
    repeats = {
        chance: np.mean(
            [a.pitch == b.pitch for s in range(20) for p in phrases(song(s, monotone=chance)) for a, b in pairwise(p)]
        )
        for chance in (0.0, 0.5)
    }
    assert repeats[0.0] < 0.3 < 0.5 < repeats[0.5]


def test_lengths_are_those_asked():
    for part in phrases(song(1, 60.0, lengths=(0.5,), breath=0.0)):
        starts = [note.start_s for note in part]
        np.testing.assert_allclose(np.diff(starts), 0.5)
        assert starts[0] in (0.0, 0.5)
    beat_s = song(1).beat_s
    for note in song(1, 60.0, lengths=(2.0,), breath=0.0).notes:
        assert note.duration_s <= 2 * beat_s + 1e-9
    # A note is sung for nine tenths of its time at least.
    assert all(note.duration_s >= 0.9 * 0.5 * beat_s - 1e-9 for note in song(1, 60.0, lengths=(0.5,), breath=0.0).notes)


def test_singers_breathe_as_often_as_asked():
    def rests(breath: float) -> list[bool]:
        ends = [
            part[-1].start_s + part[-1].duration_s / score.beat_s < _PHRASE_BEATS - 0.45
            for seed in range(10)
            for score in [song(seed, 60.0, lengths=(0.5,), breath=breath)]
            for part in phrases(score)[:-1]
        ]
        assert len(ends) > 100
        return ends

    assert not any(rests(0.0))
    assert all(rests(1.0))
    assert 0.4 < np.mean(rests(0.6)) < 0.8


def test_no_song_is_silent():
    assert min(len(song(seed, 0.5, tempo=tempo).notes) for seed in range(100) for tempo in (40.0, 100.0, 220.0)) >= 1


def test_an_empty_score_lasts_as_long_as_its_chords():
    assert Score((), (), 0.5).duration_s == 0
    assert Score((), ((60, 64, 67),) * 3, 0.5).duration_s == 6.0
