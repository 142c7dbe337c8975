"""Technique changes how one voice sounds, by known amounts, and leaves who it is alone."""

from dataclasses import replace

import numpy as np
import pytest

from whosings.choir.expression import Manner
from whosings.choir.technique import Technique, draw_technique, roughened, used
from whosings.sound.vocoder import BINS, FREQUENCIES, SILENT, Frames, with_tract


def bump(centre_hz, width_hz=120.0):
    return np.exp(-0.5 * ((FREQUENCIES - centre_hz) / width_hz) ** 2)


@pytest.fixture
def frames():
    """Ten frames with resonances at 700 and 2,500 Hz, two of them unvoiced, of different loudness."""
    shape = 1e-4 + bump(700) + bump(2500)
    loud = np.linspace(0.1, 2, 10)[:, None]
    f0 = np.full(10, 200.0)
    f0[:2] = 0
    return Frames(f0, shape * loud, np.full((10, BINS), 0.2), np.full(10, SILENT))


def peak_hz(envelope, low, high):
    inside = (low <= FREQUENCIES) & (high >= FREQUENCIES)
    return float(FREQUENCIES[inside][np.argmax(envelope[inside])])


def db(envelope, hertz):
    return 10 * np.log10(envelope[np.argmin(np.abs(FREQUENCIES - hertz))])


def test_the_default_changes_nothing(frames):
    same = used(frames, Technique())
    np.testing.assert_allclose(same.envelope, frames.envelope, rtol=1e-9)
    np.testing.assert_array_equal(same.aperiodicity, frames.aperiodicity)


@pytest.mark.parametrize("technique", [Technique(tilt_db=5), Technique(ring_db=9, open_db=-6), Technique(0.3, jaw=1.1)])
def test_pitch_and_loudness_stay(frames, technique):
    after = used(frames, technique)
    np.testing.assert_allclose(after.envelope.mean(axis=1), frames.envelope.mean(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(after.f0, frames.f0)


def test_tilt_is_decibels_an_octave_above_500_hz(frames):
    after = used(frames, Technique(tilt_db=3))
    change = [db(after.envelope[5], hz) - db(frames.envelope[5], hz) for hz in (250, 500, 1000, 4000)]
    assert change[1] - change[0] == pytest.approx(0, abs=1e-6)
    assert change[3] - change[2] == pytest.approx(6, abs=0.01)


def test_ring_lifts_3_khz_and_openness_the_lowest_harmonic_of_voiced_frames(frames):
    ring = used(frames, Technique(ring_db=10))
    gain = [db(ring.envelope[5], hz) - db(frames.envelope[5], hz) for hz in (3000, 6000)]
    assert gain[0] - gain[1] == pytest.approx(10, abs=0.1)
    lifted = used(frames, Technique(open_db=6))
    gain = [db(lifted.envelope[5], hz) - db(frames.envelope[5], hz) for hz in (200, 4000)]
    assert gain[0] - gain[1] == pytest.approx(6, abs=0.2)
    np.testing.assert_allclose(lifted.envelope[0], frames.envelope[0], rtol=1e-9)  # unvoiced


def test_breath_makes_noise_of_what_was_periodic(frames):
    assert used(frames, Technique(breath=0.5)).aperiodicity[0, 0] == pytest.approx(0.6)
    assert used(frames, Technique(breath=1.0)).aperiodicity.max() < 1


def test_the_jaw_moves_low_resonances_alone(frames):
    after = used(frames, Technique(jaw=1.1)).envelope[5]
    assert peak_hz(after, 400, 1200) == pytest.approx(770, abs=16)
    assert peak_hz(after, 2000, 3000) == pytest.approx(2500, abs=16)


def test_the_larynx_is_a_tract_a_little_longer(frames):
    expected = with_tract(frames, 1.04).envelope
    expected *= frames.envelope.mean(axis=1, keepdims=True) / expected.mean(axis=1, keepdims=True)
    got = used(frames, Technique(larynx=1.04)).envelope
    assert peak_hz(got[5], 2000, 3000) == pytest.approx(2500 / 1.04, abs=16)
    np.testing.assert_allclose(got / got.sum(axis=1, keepdims=True), expected / expected.sum(axis=1, keepdims=True))


def test_draws_vary_and_never_make_another_person():
    drawn = [draw_technique(np.random.default_rng(seed)) for seed in range(300)]
    assert all(0.95 <= t.larynx <= 1.05 and 0 <= t.breath <= 0.6 and 0.75 < t.jaw < 1.3 for t in drawn)
    breathy = np.mean([t.breath > 0 for t in drawn])
    assert 0.3 < breathy < 0.5 and len({t.tilt_db for t in drawn}) == 300
    assert drawn[7] == draw_technique(np.random.default_rng(7))


def test_a_roughened_manner_keeps_what_is_the_singer_s_habit():
    manner = Manner(scoop_cents=33, drift_cents=7, late_s=0.02)
    for seed in range(50):
        other = roughened(manner, np.random.default_rng(seed))
        kept = replace(manner, **{k: getattr(other, k) for k in ("vibrato_cents", "vibrato_hz", "glide_s")})
        assert replace(other, jitter_cents=manner.jitter_cents, accent_db=manner.accent_db) == kept
        assert 4.0 <= other.vibrato_hz <= 7.5 and 0 < other.glide_s <= 0.25
