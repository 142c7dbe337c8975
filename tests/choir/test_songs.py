"""Recordings: stems that add up, levels as asked, a song for every seed, singer and number, nothing else in play."""

from dataclasses import replace

import numpy as np
import pytest

from whosings.audio import SAMPLE_RATE
from whosings.choir.cast import draw_singer
from whosings.choir.songs import PEAK, level, mix, perform, produce, record
from whosings.sound.record_effects import Chain
from whosings.sound.vocoder import HOP


@pytest.mark.parametrize("voice_db", [-6.0, 0.0, 3.0, 10.0])
def test_stems_add_up_and_stand_at_the_level_asked_for(voice_db):
    song = record(draw_singer(0, 1), 0, 5.0, voice_db)
    assert np.array_equal(song.vocals + song.instrumental, song.mixture)
    assert 20 * np.log10(level(song.vocals) / level(song.instrumental)) == pytest.approx(voice_db, abs=0.05)


def test_the_level_is_that_of_what_sounds():
    tone = np.sin(np.arange(16_000) * 0.1)
    assert (
        level(np.concatenate([tone, np.zeros(64_000)])) == pytest.approx(level(tone)) == pytest.approx(0.5**0.5, 0.01)
    )
    assert level(np.zeros(100)) == 1.0


def test_songs_are_finite_and_within_limits():
    for number in range(10):
        song = record(draw_singer(7, number), number, 4.0)
        stems = (song.mixture, song.vocals, song.instrumental)
        assert len({stem.shape for stem in stems}) == 1
        assert all(stem.dtype == np.float32 and np.isfinite(stem).all() for stem in stems)
        assert max(np.abs(stem).max() for stem in stems) == pytest.approx(PEAK, abs=1e-5)
        assert min(np.abs(stem).max() for stem in stems) > 0.05
        assert song.mixture.size >= 4 * SAMPLE_RATE


def test_seeds_singers_and_numbers_each_change_the_song():
    def tune(seed: int, singer: int, number: int) -> bytes:
        return record(draw_singer(seed, singer), number, 2.0).mixture.tobytes()

    assert tune(0, 0, 0) == tune(0, 0, 0)
    assert len({tune(*key) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}) == 4


def test_a_performance_is_in_the_singers_range_language_and_length():
    singer = draw_singer(0, 4)
    for number in range(3):
        song = perform(singer, number, 6.0)
        assert len(song.frames) == pytest.approx(song.score.duration_s * SAMPLE_RATE / HOP, abs=1)
        pitches = [note.pitch for note in song.score.notes]
        assert abs(np.median(pitches) - singer.performer.centre) < 8
        heard = song.frames.f0[song.frames.voiced]
        assert abs(12 * np.log2(np.median(heard) / 440) + 69 - np.median(pitches)) < 3
        assert song.album == singer.album(number)


def test_another_album_is_another_band_and_another_sound_for_the_same_tune():
    singer, other = draw_singer(0, 4), draw_singer(0, 5)
    song = perform(singer, 0, 3.0)
    own, borrowed = (mix(song, song.frames, album) for album in (song.album, other.album(0)))
    assert own.mixture.shape == borrowed.mixture.shape
    assert abs(np.corrcoef(own.instrumental, borrowed.instrumental)[0, 1]) < 0.5


def test_a_dry_record_leaves_the_voice_as_it_was():
    song = perform(draw_singer(0, 1), 0, 2.0)
    album = replace(song.album, chain=Chain(), master_db=0.0)
    rng = np.random.default_rng(0)
    voice, band = (rng.normal(0, 0.1, size).astype(np.float32) for size in (32_000, 30_000))
    made = produce(voice, band, album, song.score, (1,), 0.0)
    np.testing.assert_allclose(made.vocals / voice, np.full(32_000, made.vocals[0] / voice[0]), rtol=1e-4)
    assert np.abs(made.instrumental[30_000:]).max() < 1e-9


def spectrum(stem: np.ndarray) -> np.ndarray:
    """Long-term average spectrum of what sounds, dB in 40 bands."""
    frames = stem[: stem.size // 1024 * 1024].reshape(-1, 1024)
    frames = frames[np.abs(frames).max(axis=1) > 0.02] * np.hanning(1024)
    power = (np.abs(np.fft.rfft(frames)) ** 2).mean(axis=0)
    bands = np.array([band.mean() for band in np.array_split(power[4:], 40)])
    db = 10 * np.log10(bands + 1e-5 * bands.max())
    return db - db.mean()


def test_two_singers_differ_more_than_two_songs_of_one():
    singers = [[spectrum(record(draw_singer(0, s), n, 8.0).vocals) for n in range(2)] for s in range(6)]
    same = [np.linalg.norm(first - second) for first, second in singers]
    other = [np.linalg.norm(singers[a][0] - singers[b][1]) for a in range(6) for b in range(6) if a != b]
    assert np.mean(other) > 1.5 * np.mean(same)
