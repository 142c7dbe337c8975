"""Each effect alone does what it says; all together stay finite and bounded."""

import numpy as np
import pytest

from tests.conftest import singing
from whosings.contrastive.augment import Chances, augment

NOTHING = dict.fromkeys(vars(Chances()), 0.0)


def only(name, samples, seed=0):
    return augment(samples, np.random.default_rng(seed), Chances(**{**NOTHING, name: 1.0}))


@pytest.fixture(scope="module")
def voice():
    return 0.8 * singing(3.0)[None]


def test_nothing_changes_nothing(voice):
    np.testing.assert_allclose(augment(voice, np.random.default_rng(0), Chances(**NOTHING)), voice, atol=1e-6)


@pytest.mark.parametrize("name", list(NOTHING))
def test_every_effect_is_heard_and_drawn_anew(voice, name):
    first, second = only(name, voice), only(name, voice, 1)
    least = min(first.shape[1], second.shape[1], voice.shape[1])
    assert np.abs(first[:, :least] - voice[:, :least]).max() > 1e-4
    assert np.abs(first[:, :least] - second[:, :least]).max() > 1e-4


def test_speed_moves_the_pitch_by_two_semitones_at_most():
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)[None].astype(np.float32)
    for seed in range(10):
        changed = only("speed", tone, seed)[0]
        found = np.argmax(np.abs(np.fft.rfft(changed * np.hanning(changed.size)))) * 16_000 / changed.size
        assert 440 * 2 ** (-2 / 12) - 1 < found < 440 * 2 ** (2 / 12) + 1
        assert changed.size == pytest.approx(32_000 * 440 / found, rel=0.01)


def test_a_band_limit_takes_the_treble(voice):
    spectrum = np.abs(np.fft.rfft(only("band", voice + 0.1 * np.random.default_rng(0).normal(size=voice.shape))[0]))
    top, middle = spectrum[int(0.96 * spectrum.size) :], spectrum[int(0.1 * spectrum.size) : int(0.3 * spectrum.size)]
    assert top.mean() < 0.05 * middle.mean()


def test_rooms_and_echoes_only_add_what_was_before():
    click = np.zeros((1, 16_000), np.float32)
    click[0, 8_000] = 0.5
    for name in ("room", "echo"):
        changed = only(name, click)[0]
        assert np.abs(changed[:8_000]).max() < 1e-6 < 0.01 < np.abs(changed[8_001:]).max()


def test_saturation_keeps_the_peak_and_lifts_the_rest(voice):
    changed = only("saturation", voice)
    assert np.abs(changed).max() == pytest.approx(np.abs(voice).max(), rel=1e-3)
    assert np.mean(changed**2) > np.mean(voice**2)


@pytest.mark.parametrize("samples", [np.zeros((2, 8_000), np.float32), np.ones((1, 1_000), np.float32)])
def test_all_together_stay_within_bounds(samples):
    for seed in range(20):
        changed = augment(samples, np.random.default_rng(seed), Chances(**dict.fromkeys(NOTHING, 1.0)))
        assert changed.dtype == np.float32 and changed.shape[0] == samples.shape[0]
        assert np.isfinite(changed).all() and np.abs(changed).max() <= 1
