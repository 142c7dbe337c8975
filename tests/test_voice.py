"""Sung notes have the pitch of the score, voices the formants of their tract."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from whosings.audio import SAMPLE_RATE
from whosings.choir.score import Note, Score, compose
from whosings.choir.voice import Voice, draw_voice, sing


def voice(seed: int, **changes) -> Voice:
    return replace(draw_voice(np.random.default_rng(seed)), **changes)


def one_note(pitch: float, vowel: str = "a", consonant: str = "", duration_s: float = 1.6) -> Score:
    return Score((Note(0.0, duration_s, pitch, vowel, consonant),), ((60, 64, 67),), 0.5)


def take(singer: Voice, score: Score, seed: int = 0) -> np.ndarray:
    return sing(singer, score, np.random.default_rng(seed))


def f0(frame: np.ndarray, low: float = 60.0, high: float = 1100.0) -> float:
    """Frequency by the first high peak of the normalised autocorrelation."""
    frame = frame - frame.mean()
    n = frame.size
    longest = int(SAMPLE_RATE / low)
    square = np.concatenate([[0], np.cumsum(frame**2)])
    match = np.zeros(longest + 2)
    for lag in range(1, longest + 2):
        left, right = square[n - lag], square[n] - square[lag]
        match[lag] = frame[: n - lag] @ frame[lag:] / np.sqrt(left * right + 1e-12)
    shortest = int(SAMPLE_RATE / high)
    inside = match[shortest : longest + 1]
    peaks = [lag for lag in range(shortest, longest + 1) if match[lag - 1] < match[lag] >= match[lag + 1]]
    lag = next(lag for lag in peaks if match[lag] > 0.93 * inside[np.array(peaks) - shortest].max())
    a, b, c = match[lag - 1 : lag + 2]
    return SAMPLE_RATE / (lag + 0.5 * (a - c) / (a - 2 * b + c))


def cents(hertz: float, pitch: float) -> float:
    return 1200 * np.log2(hertz / (440 * 2 ** ((pitch - 69) / 12)))


def test_the_oracle_hears_a_known_pitch():
    time = np.arange(1600) / SAMPLE_RATE
    for hertz in (98.0, 220.5, 523.3):
        tone = sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, 8))
        assert abs(1200 * np.log2(f0(tone) / hertz)) < 5


@pytest.mark.parametrize("pitch", [43.0, 52.0, 60.0, 67.5, 76.0])
@pytest.mark.parametrize("vowel", ["a", "i"])
def test_a_steady_note_has_the_scores_pitch(pitch, vowel):
    for seed in (1, 2):
        steady = voice(seed, vibrato_cents=0.0, scoop_cents=0.0, jitter=0.0, breath=0.003)
        sound = take(steady, one_note(pitch, vowel))[8000:19200]
        heard = [cents(f0(part), pitch) for part in sound.reshape(-1, 1600)]
        assert abs(np.median(heard)) < 30


def test_vibrato_swings_and_scoops_come_from_below():
    swinging = voice(1, vibrato_cents=70.0, vibrato_hz=5.0, vibrato_delay_s=0.1, scoop_cents=0.0, jitter=0.0)
    sound = take(swinging, one_note(60.0))[9600:22400]
    heard = np.array([cents(f0(sound[i : i + 800], 150), 60.0) for i in range(0, 12000, 400)])
    assert abs(heard.mean()) < 30
    assert 60 < np.ptp(heard) < 200
    scooping = voice(1, vibrato_cents=0.0, scoop_cents=200.0, jitter=0.0)
    early = [cents(f0(take(scooping, one_note(60.0), seed)[480:1280], 150), 60.0) for seed in range(5)]
    assert max(early) < 0


@pytest.mark.parametrize("tract", [0.8, 1.25])
def test_formants_move_with_the_tract(tract):
    def peak(singer: Voice) -> float:
        """Hz of the first formant of a whispered a, by an averaged spectrum."""
        sound = take(singer, one_note(50.0, "a", duration_s=1.9)).astype(np.float64)
        frames = np.lib.stride_tricks.sliding_window_view(sound[3200:28800], 512)[::256] * np.hanning(512)
        power = (np.abs(np.fft.rfft(frames, 2048)) ** 2).mean(axis=0)
        frequency = np.fft.rfftfreq(2048, 1 / SAMPLE_RATE)
        window = (frequency > 400) & (frequency < 1200)
        window &= power > 0.5 * power[window].max()
        return float((frequency * power)[window].sum() / power[window].sum())

    formants = np.array([[700.0, 2000, 3200, 4200, 5200]] * 5)
    whisper = voice(3, breath=50.0, colour=np.zeros(17), gains=np.array([0.0, -20, -20, -20, -20]))
    whisper = replace(whisper, bandwidths=np.full(5, 60.0), formants=formants)
    before, after = peak(whisper), peak(replace(whisper, formants=formants * tract))
    assert before == pytest.approx(700, rel=0.06)
    assert after / before == pytest.approx(tract, rel=0.06)


def test_long_tracts_have_low_voices_and_low_formants():
    voices = [voice(seed) for seed in range(300)]
    centre = np.array([v.centre for v in voices])
    first = np.log([v.formants.mean() for v in voices])
    assert np.corrcoef(centre, first)[0, 1] > 0.5
    assert 35 < centre.min() < 50 < 62 < centre.max() < 78
    assert all((np.diff(v.formants, axis=1) > 0).mean() > 0.8 for v in voices)


def test_a_seed_is_a_voice_and_a_performance():
    first, second = voice(5), voice(5)
    assert first.centre == second.centre
    assert np.array_equal(first.formants, second.formants)
    assert voice(6).centre != first.centre
    score = compose(np.random.default_rng(0), 4.0, 57.0, 100.0)
    assert np.array_equal(take(first, score, 1), take(second, score, 1))
    assert not np.array_equal(take(first, score, 1), take(first, score, 2))


def test_another_process_sings_the_same():
    code = """
import hashlib, numpy as np
from whosings.choir.score import compose
from whosings.choir.voice import draw_voice, sing
score = compose(np.random.default_rng(0), 4.0, 57.0, 100.0)
sound = sing(draw_voice(np.random.default_rng(5)), score, np.random.default_rng(1))
print(hashlib.sha256(sound.tobytes()).hexdigest())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    here = take(voice(5), compose(np.random.default_rng(0), 4.0, 57.0, 100.0), 1)
    assert done.stdout.strip() == hashlib.sha256(here.tobytes()).hexdigest()


def test_many_songs_are_finite_and_within_limits():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        singer = draw_voice(rng)
        score = compose(rng, 5.0, singer.centre, 60.0 + 10 * seed)
        sound = sing(singer, score, rng)
        assert sound.dtype == np.float32
        assert sound.shape == (round(score.duration_s * SAMPLE_RATE),)
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() == pytest.approx(0.9, abs=1e-6)
        assert abs(sound.mean()) < 0.01


@pytest.mark.parametrize("pitch", [12.0, 108.0, 126.0])
@pytest.mark.parametrize("consonant", ["", "n", "s", "t"])
def test_extreme_notes_are_finite(pitch, consonant):
    for duration_s in (0.01, 0.5):
        sound = take(voice(0), one_note(pitch, "u", consonant, duration_s))
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() == pytest.approx(0.9, abs=1e-6)


def test_it_sings_where_the_score_says_and_nowhere_else():
    notes = (Note(0.5, 0.4, 57.0, "a", ""), Note(1.4, 0.4, 60.0, "o", "m"))
    sound = take(voice(2), Score(notes, ((60, 64, 67),), 0.5))
    level = np.abs(sound).reshape(-1, 1600).max(axis=1)  # by tenths of a second
    sung = [5, 6, 7, 8, 14, 15, 16, 17]
    assert (level[sung] > 0.02).all()
    assert np.delete(level, sung).max() < 0.01 * level.max()


def test_fricatives_hiss_and_vowels_do_not():
    def hiss(consonant: str) -> float:
        sound = take(voice(4, breath=0.003), one_note(50.0, "o", consonant))[:1440]
        power = np.abs(np.fft.rfft(sound * np.hanning(1440))) ** 2
        return float(power[270:].sum() / power.sum())  # above 3 kHz

    assert hiss("s") > 0.5
    assert hiss("") < 0.2
    assert hiss("n") < 0.2


def test_no_note_no_sound():
    sound = take(voice(0), Score((), ((60, 64, 67),), 0.5))
    assert sound.shape == (32000,)
    assert not sound.any()
