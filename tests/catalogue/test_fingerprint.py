"""Whether two files hold the same recording: copies of every kind are, other takes and clones over a band are not."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from whosings.audio import SAMPLE_RATE
from whosings.catalogue.fingerprint import (
    HOP_S,
    MOST_DIFFERENT,
    Relation,
    Sighting,
    candidates,
    difference,
    landmarks,
    relation,
    words_in,
    words_of,
)
from whosings.choir.cast import draw_singer
from whosings.choir.songs import record
from whosings.spool import Spool

FloatArray = NDArray[np.float32]


@pytest.fixture(scope="module")
def song() -> FloatArray:
    return record(draw_singer(3, 0), 0, 40).mixture


def encoded(samples: FloatArray, kind: str) -> FloatArray:
    buffer = io.BytesIO()
    options = {
        "mp3 low": {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": 0.8},
        "mp3 high": {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": 0.2},
        "vorbis": {"format": "OGG", "subtype": "VORBIS"},
        "8 bit": {"format": "WAV", "subtype": "PCM_U8"},
    }[kind]
    soundfile.write(buffer, samples, SAMPLE_RATE, **options)
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32")[0]


def related(words: np.ndarray, *others: np.ndarray) -> dict[int, Relation]:
    """By brute force over all words: what the journal's index does in a database."""
    seen = [
        (int(place), Sighting(number, int(there)))
        for place in landmarks(words)
        for number, other in enumerate(others)
        for there in np.flatnonzero(other == words[place])
        if there in landmarks(other)
    ]
    found = {c.track: relation(words, others[c.track], c.place) for c in candidates(words, seen)}
    return {track: kind for track, kind in found.items() if kind is not None}


def find(words: np.ndarray, *others: np.ndarray) -> list[int]:
    """Which of the others are the same recording."""
    return [track for track, kind in related(words, *others).items() if kind is Relation.SAME]


@pytest.mark.parametrize("kind", ["mp3 low", "mp3 high", "vorbis", "8 bit"])
def test_encoding_makes_no_other_recording(song: FloatArray, kind: str) -> None:
    original = words_of(song[None])
    assert find(words_of(encoded(song, kind)[None]), original) == [0]


@pytest.mark.parametrize("cut", [0, 1, 137, 256, 400, 5_000, 51_234])
def test_a_copy_cut_anywhere_is_found_from_both_sides(song: FloatArray, cut: int) -> None:
    original, copy = words_of(song[None]), words_of(song[None, cut:] * 0.25)
    assert find(copy, original) == [0]
    assert find(original, copy) == [0]


def test_noise_equaliser_and_leading_silence(song: FloatArray) -> None:
    rng = np.random.default_rng(0)
    changed = np.concatenate([np.zeros(SAMPLE_RATE, np.float32), np.diff(song) * 3])
    changed += rng.normal(0, 1e-3, changed.size).astype(np.float32)
    assert find(words_of(changed[None]), words_of(song[None])) == [0]


def test_a_part_of_a_song_is_not_the_song(song: FloatArray) -> None:
    original, half = words_of(song[None]), words_of(song[None, : song.size // 2])
    assert related(half, original) == {0: Relation.PART} and related(original, half) == {0: Relation.WHOLE}
    other = record(draw_singer(3, 1), 0, 40).mixture
    medley = np.concatenate([song[: song.size // 2], other[: song.size // 2]])
    assert related(words_of(medley[None]), original) == {}
    album = words_of(np.concatenate([song, other])[None])
    assert related(album, original, words_of(other[None])) == {0: Relation.WHOLE, 1: Relation.WHOLE}


def test_silence_makes_no_longer_recording(song: FloatArray) -> None:
    silent = np.zeros(2 * song.size, np.float32)
    original = words_of(song[None])
    assert find(words_of(np.concatenate([song, silent])[None]), original) == [0]
    assert find(original, words_of(np.concatenate([silent, song])[None])) == [0]


def test_another_voice_over_the_same_band_is_another_recording(song: FloatArray) -> None:
    first, second = draw_singer(3, 0), draw_singer(3, 1)
    clone = record(replace(first, performer=second.performer), 0, 40).mixture
    assert find(words_of(clone[None]), words_of(song[None])) == []
    assert difference(words_of(clone[None])[:1000], words_of(song[None])[:1000]) > MOST_DIFFERENT


def test_different_songs_differ_in_half_of_the_bits(song: FloatArray) -> None:
    others = [words_of(record(draw_singer(3, n), n, 40).mixture[None]) for n in range(1, 5)]
    own = words_of(song[None])
    assert find(own, *others) == []
    for other in others:
        size = min(own.size, other.size)
        assert 0.3 < difference(own[:size], other[:size]) < 0.7


def test_the_right_one_of_many(song: FloatArray) -> None:
    others = [words_of(record(draw_singer(3, n), n, 40).mixture[None]) for n in range(1, 5)]
    others.insert(2, words_of(song[None]))
    assert find(words_of(encoded(song, "vorbis")[None]), *others) == [2]


def test_difference_counts_bits() -> None:
    one, other = np.array([0b1111, 0xFFFFFFFF, 0], np.uint32), np.array([0b1100, 0xFFFFFFFF, 7], np.uint32)
    assert difference(one, other) == pytest.approx(2 / 64)  # the last word is silence in one of them
    assert difference(one[2:], other[2:]) == 1.0


def test_silence_and_short_sounds_have_nothing_to_compare() -> None:
    assert not words_of(np.zeros((1, 5 * SAMPLE_RATE), np.float32)).any()
    assert words_of(np.ones((1, SAMPLE_RATE // 4), np.float32)).size == 0
    assert words_of(np.zeros((1, 0), np.float32)).size == 0
    empty = np.zeros(0, np.uint32)
    assert landmarks(empty).size == 0 and candidates(empty, []) == []


def test_words_are_counted_in_hops() -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, (2, 10 * SAMPLE_RATE)).astype(np.float32)
    assert words_of(samples).size == pytest.approx((10 - 0.512) / HOP_S, abs=1)


def test_a_sixteenth_of_the_words_is_looked_up_but_512_at_least(song: FloatArray) -> None:
    words = np.random.default_rng(0).integers(1, 2**32, 20_000, dtype=np.uint32)
    assert landmarks(words).size == 20_000 // 16
    assert landmarks(words[:5_000]).size == 512
    assert landmarks(words[:100]).size == 100 and landmarks(np.zeros(100, np.uint32)).size == 0
    own = words_of(song[None])
    assert (own[landmarks(own)] != 0).all() and (np.diff(landmarks(own)) > 0).all()


def test_the_choice_is_by_value() -> None:
    words = np.random.default_rng(0).integers(1, 2**32, 20_000, dtype=np.uint32)
    again = words[np.random.default_rng(1).permutation(words.size)]
    assert set(words[landmarks(words)].tolist()) == set(again[landmarks(again)].tolist())


@pytest.mark.parametrize("seconds", [8, 12, 20])
def test_short_copies_are_found(song: FloatArray, seconds: int) -> None:
    short = song[: seconds * SAMPLE_RATE]
    assert find(words_of(encoded(short[3000:], "mp3 high")[None]), words_of(short[None])) == [0]


@pytest.mark.parametrize("samples", [8_191, 8_192, 8_705, 525_311, 525_313, 1_000_001])
def test_a_fingerprint_in_parts_is_that_of_one_pass(
    samples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a file that is read from disk a piece at a time."""
    sound = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    sound[samples // 2 : samples // 2 + 20_000] = 0
    soundfile.write(tmp_path / "a.wav", sound, SAMPLE_RATE, subtype="FLOAT")
    monkeypatch.setattr("whosings.spool._IN_MEMORY", 1000)
    in_parts = words_in(Spool(tmp_path / "a.wav"))
    monkeypatch.setattr("whosings.catalogue.fingerprint._BLOCK", 1 << 20)
    np.testing.assert_array_equal(in_parts, words_of(sound[None]))
