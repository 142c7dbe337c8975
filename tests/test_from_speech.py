"""Speech turned singing: the melody is sung, the length grows as asked, the voice's formants stay or move as asked."""

from dataclasses import replace

import numpy as np
import pytest

from whosings.audio import SAMPLE_RATE
from whosings.choir.from_speech import Style, draw_style, sing_speech, voiced_only
from whosings.choir.score import compose
from whosings.choir.voice import draw_voice, sing
from whosings.errors import TooShortError

pyworld = pytest.importorskip("pyworld")

PLAIN = Style(stretch=2.0, lift=3.0, tempo=100, glide_s=0.01, vibrato_semitones=0.0)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """A voice whose pitch wanders: syllables of a parametric singer."""
    rng = np.random.default_rng(4)
    return sing(draw_voice(rng), compose(rng, 6, 50, 120), rng)


def pitch(samples: np.ndarray) -> np.ndarray:
    f0, _ = pyworld.harvest(samples.astype(np.float64), SAMPLE_RATE, frame_period=10.0)
    return f0


def test_it_is_longer_where_it_is_voiced_and_as_loud(speech: np.ndarray) -> None:
    f0, at = pyworld.dio(speech.astype(np.float64), SAMPLE_RATE, frame_period=10.0)
    voiced = float(np.mean(pyworld.stonemask(speech.astype(np.float64), f0, at, SAMPLE_RATE) > 0))
    for stretch in (1.0, 2.0, 3.0):
        sung = sing_speech(speech, replace(PLAIN, stretch=stretch), np.random.default_rng(0))
        assert sung.size == pytest.approx(speech.size * (1 - voiced + voiced * stretch), rel=0.02)
        assert np.std(sung) == pytest.approx(np.std(speech), rel=1e-3)
        assert sung.dtype == np.float32 and np.isfinite(sung).all()


def test_a_melody_of_semitones_is_sung(speech: np.ndarray) -> None:
    sung = sing_speech(speech, PLAIN, np.random.default_rng(1))
    f0 = pitch(sung)
    notes = 69 + 12 * np.log2(f0[f0 > 0] / 440)
    steady = np.abs(np.diff(notes, prepend=notes[0])) < 0.02
    assert steady.mean() > 0.5
    off = np.abs(notes[steady] - np.round(notes[steady]))
    assert np.median(off) < 0.1 and len(np.unique(np.round(notes[steady]))) >= 3


def test_lift_moves_the_melody(speech: np.ndarray) -> None:
    low, high = (
        np.median((f := pitch(sing_speech(speech, replace(PLAIN, lift=lift), np.random.default_rng(1))))[f > 0])
        for lift in (0.0, 7.0)
    )
    assert 12 * np.log2(high / low) == pytest.approx(7, abs=2.5)


def test_another_tract_moves_the_formants(speech: np.ndarray) -> None:
    def centre(tract: float) -> float:
        sung = sing_speech(speech, replace(PLAIN, tract=tract), np.random.default_rng(1))
        spectrum = np.abs(np.fft.rfft(sung)) ** 2
        return float(np.sum(spectrum * np.arange(spectrum.size)) / np.sum(spectrum))

    assert centre(0.8) > 1.05 * centre(1.0) > 1.1 * centre(1.25)


def test_breath_makes_noise_of_it(speech: np.ndarray) -> None:
    clean = sing_speech(speech, PLAIN, np.random.default_rng(1))
    whisper = sing_speech(speech, replace(PLAIN, breath=1.0), np.random.default_rng(1))
    assert np.mean(pitch(whisper) > 0) < 0.5 * np.mean(pitch(clean) > 0)


def test_the_seed_decides(speech: np.ndarray) -> None:
    first, again, other = (sing_speech(speech, PLAIN, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    styles = [draw_style(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert styles[0] == styles[1] != styles[2]


def test_noise_cannot_sing() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE).astype(np.float32)
    with pytest.raises(TooShortError, match="too little voiced sound"):
        sing_speech(noise, PLAIN, np.random.default_rng(0))


def test_pauses_are_dropped() -> None:
    tone = np.sin(np.arange(SAMPLE_RATE) * 0.1).astype(np.float32)
    kept = voiced_only(np.concatenate([tone, np.zeros(SAMPLE_RATE, np.float32), tone]))
    assert kept.size == pytest.approx(2 * SAMPLE_RATE + 2 * 3 * 480, abs=2 * 480)
