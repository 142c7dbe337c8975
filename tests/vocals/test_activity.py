"""Which pieces hold singing: the level rule on built signals, means over stretches, trimming."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whosings.audio import SAMPLE_RATE
from whosings.vocals.activity import PIECE_S, Activity, level_activity, trim

PIECE = round(PIECE_S * SAMPLE_RATE)


def noise(seconds: float, level_db: float, channels: int = 1) -> np.ndarray:
    """White noise of a stated root mean square."""
    samples = np.random.default_rng(3).standard_normal((channels, round(seconds * SAMPLE_RATE)))
    return (samples * 10 ** (level_db / 20)).astype(np.float32)


def test_loud_pieces_sing_and_silence_does_not() -> None:
    silence = np.zeros((1, PIECE), np.float32)
    activity = level_activity(np.concatenate([silence, noise(6, -20), silence, noise(3, -23)], axis=1))
    assert activity.method == "level"
    assert np.array_equal(activity.start_s, [0, 3, 6, 9, 12])
    assert (activity.probability[[0, 3]] < 1e-3).all()
    assert (activity.probability[[1, 2, 4]] > 0.99).all()


def test_a_quiet_intro_is_left_out() -> None:
    activity = level_activity(np.concatenate([noise(3, -60), noise(12, -20)], axis=1))
    assert activity.probability[0] < 0.05
    assert (activity.probability[1:] > 0.99).all()


def test_the_rule_in_closed_form() -> None:
    """25 dB under the loud pieces, or 60 dB under the peak, is the middle; 3 dB away is one logistic unit."""
    square = np.ones((1, PIECE), np.float32)
    square[:, ::2] = -1
    steps = [0.0, 0.0, 0.0, 0.0, -22.0, -25.0, -28.0]
    activity = level_activity(np.concatenate([square * np.float32(10 ** (step / 20)) for step in steps], axis=1))
    want = 1 / (1 + np.exp([-25 / 3] * 4 + [-1.0, 0.0, 1.0]))
    assert activity.probability == pytest.approx(want, abs=1e-3)


@pytest.mark.parametrize("gain_db", [-30, -20, 6])
def test_volume_does_not_matter(gain_db: float) -> None:
    samples = np.concatenate([noise(3, -50), noise(6, -20), noise(3, -45)], axis=1)
    want = level_activity(samples).probability
    got = level_activity(samples * np.float32(10 ** (gain_db / 20))).probability
    assert got == pytest.approx(want, abs=1e-3)


def test_all_silence_is_no_singing() -> None:
    probability = level_activity(np.zeros((2, 3 * PIECE), np.float32)).probability
    assert probability.shape == (3,) and (probability < 1e-3).all()
    # Nor is the hiss of an empty track, however it is cut.
    assert (level_activity(noise(9, -90)).probability < 0.05).all()


@pytest.mark.parametrize(
    ("samples", "pieces"), [(PIECE, 1), (PIECE + 100, 1), (PIECE + 480, 2), (2 * PIECE - 1, 2), (16000, 1), (100, 1)]
)
def test_the_last_piece_may_be_short_but_not_a_click(samples: int, pieces: int) -> None:
    activity = level_activity(np.full((1, samples), 0.5, np.float32))
    assert len(activity.start_s) == len(activity.probability) == pieces
    assert (activity.probability > 0.9).all()


def test_of_is_the_mean_weighted_by_overlap() -> None:
    activity = Activity(np.array([0.0, 3.0, 6.0]), np.array([0.0, 1.0, 0.5]), "level")
    assert activity.of(0, 3) == 0
    assert activity.of(3, 3) == 1
    assert activity.of(1.5, 3) == pytest.approx(0.5)
    assert activity.of(0, 9) == pytest.approx(0.5)
    assert activity.of(5, 2) == pytest.approx((1 * 1 + 1 * 0.5) / 2)
    assert activity.of(8, 6) == pytest.approx(0.5)  # only one second of it lies in the track
    assert activity.of(100, 3) == 0


@given(start_s=st.floats(0, 29), duration_s=st.floats(0.1, 30), seed=st.integers(0, 9))
def test_of_equals_counting_fine_steps(start_s: float, duration_s: float, seed: int) -> None:
    probability = np.random.default_rng(seed).uniform(size=10)
    activity = Activity(np.arange(10) * PIECE_S, probability, "level")
    steps = start_s + (np.arange(20_000) + 0.5) / 20_000 * duration_s
    steps = steps[steps < 30]
    assert activity.of(start_s, duration_s) == pytest.approx(
        probability[(steps // PIECE_S).astype(int)].mean(), abs=2e-3
    )


def test_trim_cuts_silence_at_both_ends_only() -> None:
    frame = SAMPLE_RATE * 30 // 1000
    samples = np.zeros((2, 100 * frame), np.float32)
    samples[:, 10 * frame : 20 * frame] = 0.5
    samples[:, 60 * frame : 70 * frame] = 0.5
    assert trim(samples) == slice(10 * frame, 70 * frame)


@pytest.mark.parametrize(("level_db", "kept"), [(-39.0, True), (-41.0, False)])
def test_trim_keeps_what_is_within_range(level_db: float, kept: bool) -> None:
    frame = SAMPLE_RATE * 30 // 1000
    samples = np.zeros((1, 10 * frame), np.float32)
    samples[:, 2 * frame : 3 * frame] = 10 ** (level_db / 20)
    samples[:, 5 * frame : 6 * frame] = 1.0
    assert trim(samples).start == (2 if kept else 5) * frame
    assert trim(samples, range_db=20).start == 5 * frame


def test_trim_keeps_an_odd_end_and_short_recordings_whole() -> None:
    loud = np.ones((1, 1234), np.float32)
    assert trim(loud) == slice(0, 1234)
    assert trim(loud[:, :100]) == slice(0, 100)
    assert trim(np.zeros((1, 960), np.float32)) == slice(0, 960)
