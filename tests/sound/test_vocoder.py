"""The vocoder: noise stays noise, pulses are exactly the harmonics, envelopes are heard, analysis gives them back."""

import numpy as np
import pytest
import torch

from whosings.audio import SAMPLE_RATE
from whosings.sound.vocoder import (
    BINS,
    FRAME_RATE,
    FREQUENCIES,
    HOP,
    SILENT,
    Frames,
    analyze,
    resampled,
    sound,
    synthesize,
    with_tract,
)

FFT = 2 * (BINS - 1)


def play(f0, envelope=1.0, aperiodicity=0.0, noise=None) -> np.ndarray:
    """``synthesize`` of one performance; envelope and aperiodicity may be numbers."""
    f0 = np.asarray(f0, float)
    shape = (f0.size, BINS)
    noise = np.zeros(f0.size * HOP) if noise is None else noise
    given = (f0, np.broadcast_to(envelope, shape), np.broadcast_to(aperiodicity, shape), noise)
    return synthesize(*(torch.from_numpy(np.array(part, float))[None] for part in given))[0].numpy()


def white(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(frames * HOP)


def resonance(*poles: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of an all-pole filter with resonances of (Hz, bandwidth), and its power at the bins."""
    coefficients = np.ones(1)
    for hertz, width in poles:
        radius, angle = np.exp(-np.pi * width / SAMPLE_RATE), 2 * np.pi * hertz / SAMPLE_RATE
        coefficients = np.convolve(coefficients, [1, -2 * radius * np.cos(angle), radius**2])
    return coefficients, 1 / np.abs(np.fft.rfft(coefficients, FFT)) ** 2


def recursive(coefficients: np.ndarray, source: np.ndarray) -> np.ndarray:
    """The filter's difference equation, sample by sample."""
    order = coefficients.size - 1
    out = np.zeros(source.size + order)
    for n, sample in enumerate(source):
        out[n + order] = sample - coefficients[1:] @ out[n : n + order][::-1]
    return out[order:]


def smoothed(samples: np.ndarray, size: int = 512) -> np.ndarray:
    """Averaged power of windows, every ``SAMPLE_RATE / size`` Hz; 1 for white noise of variance 1."""
    window = np.hanning(size)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2] * window
    return (np.abs(np.fft.rfft(frames)) ** 2).mean(axis=0) / np.sum(window**2)


def tone(frames: int, f0, envelope, aperiodicity: float) -> Frames:
    shape = (frames, BINS)
    return Frames(
        np.broadcast_to(np.asarray(f0, float), frames).copy(),
        np.broadcast_to(envelope, shape).copy(),
        np.full(shape, aperiodicity),
        np.zeros(frames, np.int64),
    )


def test_flat_noise_passes_unchanged():
    noise = white(100)
    out = play(np.zeros(100), 1.0, 1.0, noise)
    assert out.shape == (16000,)
    # But for half a frame at either end, where only one window reaches.
    np.testing.assert_allclose(out[HOP // 2 : -HOP // 2], noise[HOP // 2 : -HOP // 2], atol=1e-9)
    assert np.abs(out).max() <= np.abs(noise).max() + 1e-9
    assert np.var(out) == pytest.approx(1.0, abs=0.05)


def test_noise_through_a_resonance_is_its_difference_equation():
    coefficients, power = resonance((1000, 100), (3000, 250))
    noise = white(30, 1)
    noise[: 5 * HOP] = noise[-5 * HOP :] = 0  # past the edges' half windows
    out = play(np.zeros(30), power, 1.0, noise)
    expected = recursive(coefficients, noise)
    np.testing.assert_allclose(out, expected, atol=1e-3 * np.abs(expected).max())


def test_a_changing_envelope_fades_from_frame_to_frame():
    """By a naive loop: windows of the noise, each through its frame's filter, added up."""
    filters = [resonance((hertz, 200)) for hertz in (500, 900, 1500, 2500, 4000, 6000)]
    noise = white(6, 2)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2 * HOP) / (2 * HOP))
    expected = np.zeros(noise.size + 4 * FFT)
    padded = np.pad(noise, HOP)
    for number, (coefficients, _) in enumerate(filters):
        first = HOP // 2 + number * HOP
        grain = np.pad(padded[first : first + 2 * HOP] * window, (0, 600))
        expected[first : first + grain.size] += recursive(coefficients, grain)
    out = play(np.zeros(6), np.stack([power for _, power in filters]), 1.0, noise)
    np.testing.assert_allclose(out, expected[HOP : HOP + noise.size], atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("f0", [60.0, 125.0, 440.0, 2600.0, 7900.0])
def test_pulses_are_all_harmonics_below_the_half_rate_and_nothing_else(f0):
    frames = 120
    out = play(np.full(frames, f0))[1600:17600]  # a second: bins of 1 Hz
    level = np.abs(np.fft.rfft(out)) / 8000  # amplitude of a cosine
    count = int(8000 // f0) - (8000 % f0 == 0)
    heard = (f0 * np.arange(1, count + 1)).astype(int)
    np.testing.assert_allclose(level[heard], np.sqrt(2 / count if 8000 % f0 else 2 / (count + 1)), rtol=1e-6)
    rest = np.delete(level[:8000], heard)
    assert rest.max() < 1e-6
    assert np.var(out) == pytest.approx(1.0, rel=0.05)


def test_a_glide_does_not_fold_back():
    """A high note slides from 3 to 3.9 kHz: two harmonics, and nothing where their images would be."""
    out = play(np.linspace(3000, 3900, 200))
    frames = np.lib.stride_tricks.sliding_window_view(out, 1024)[::512] * np.blackman(1024)
    power = np.abs(np.fft.rfft(frames)) ** 2
    frequency = np.fft.rfftfreq(1024, 1 / SAMPLE_RATE)
    assert power[:, frequency < 2500].max() < 1e-5 * power.max()
    assert power[:, (frequency > 4300) & (frequency < 5500)].max() < 1e-5 * power.max()


def test_pitch_glides_through_unvoiced_frames_and_needs_none():
    gap = np.full(40, 200.0)
    gap[10:20] = 0
    np.testing.assert_allclose(play(gap), play(np.full(40, 200.0)), atol=1e-12)
    late = np.full(40, 200.0)
    late[:15] = 0
    np.testing.assert_allclose(play(late), play(np.full(40, 200.0)), atol=1e-12)
    nowhere = play(np.zeros(40), 1.0, 0.5, white(40))
    assert np.isfinite(nowhere).all()


def test_aperiodicity_is_the_share_of_noise():
    frames, noise = 300, white(300, 3)
    for ratio in (0.0, 0.3, 0.8, 1.0):
        out = play(np.full(frames, 100.0), 1.0, ratio, noise)[800:-800]
        assert np.var(out) == pytest.approx(1.0, rel=0.06)
        pulses = play(np.full(frames, 100.0))[800:-800]
        rough = out - np.sqrt(1 - ratio**2) * pulses
        np.testing.assert_allclose(rough, ratio * noise[800:-800], atol=1e-9)
    # Beyond its range it is clipped.
    np.testing.assert_array_equal(play(np.full(9, 100.0), 1.0, 1.5, white(9)), play([100.0] * 9, 1.0, 1.0, white(9)))


def test_noise_can_fill_the_treble_alone():
    ratio = (FREQUENCIES > 4000).astype(float)
    out = play(np.full(200, 250.0), 1.0, ratio, white(200, 4))[1600:17600]
    power = np.abs(np.fft.rfft(out)) ** 2
    low = power[:3500]
    heard = np.arange(250, 3500, 250)
    assert low[heard].sum() > 0.999 * low.sum()
    high = power[4500:7900]
    assert np.median(high) > 0.3 * high.mean()  # 0.69 for noise, 0 for lines


@pytest.mark.parametrize("hertz", [600.0, 2000.0, 5000.0])
def test_a_resonance_is_heard_in_noise(hertz):
    _, power = resonance((hertz, 150))
    heard = smoothed(play(np.zeros(400), power, 1.0, white(400, 5))[1600:-1600])
    frequency = np.arange(heard.size) * SAMPLE_RATE / 512
    assert abs(frequency[heard.argmax()] - hertz) < 80
    expected = np.interp(frequency, FREQUENCIES, power)
    away = (np.abs(frequency - hertz) > 400) & (frequency > 200) & (frequency < 7800)
    assert abs(np.mean(10 * np.log10(heard / expected)[away])) < 0.5


@pytest.mark.parametrize("hertz", [600.0, 2000.0, 5000.0])
def test_a_resonance_is_heard_in_a_voice(hertz):
    """Each harmonic has exactly its pulse's amplitude times the filter's, and no phase beyond the filter's own."""
    coefficients, power = resonance((hertz, 150))
    out = play(np.full(140, 100.0), power)[3200:19200]
    source = play(np.full(140, 100.0))[3200:19200]
    at = np.arange(100, 8000, 100)
    filtered = np.fft.rfft(out)[at] / np.fft.rfft(source)[at]
    exact = 1 / np.exp(-2j * np.pi * np.outer(at, np.arange(coefficients.size)) / SAMPLE_RATE).dot(coefficients)
    np.testing.assert_allclose(filtered, exact, atol=2e-3 * np.abs(exact).max())
    assert at[np.abs(filtered).argmax()] == hertz


def test_loudness_follows_the_envelope():
    steps = np.repeat([1.0, 100.0, 0.01], 50)
    out = play(np.full(150, 220.0), steps[:, None])
    level = [np.var(out[first + 800 : first + 7200]) for first in (0, 8000, 16000)]
    np.testing.assert_allclose(level, [1.0, 100.0, 0.01], rtol=0.05)


def test_silence_is_silent_and_short_performances_are_whole():
    quiet = play(np.full(20, 200.0), 0.0, 0.5, white(20))
    assert np.abs(quiet).max() < 1e-4
    for frames in (1, 2, 3):
        out = play(np.full(frames, 200.0), 1.0, 0.5, white(frames))
        assert out.shape == (frames * HOP,)
        assert np.isfinite(out).all() and out.any()


@pytest.mark.parametrize("f0", [1.0, 20.0, 7999.0, 8000.0, 8001.0, 12543.9])
def test_extreme_pitches_are_finite(f0):
    out = play(np.full(20, f0), 1.0, 0.2, white(20))
    assert np.isfinite(out).all()
    assert np.abs(out).max() < 200


def test_a_pitch_beyond_the_half_rate_has_no_harmonic():
    assert np.abs(play(np.full(20, 9000.0))).max() < 1e-9


def test_a_batch_is_each_alone_and_single_precision_is_close():
    rng = np.random.default_rng(6)
    f0 = torch.from_numpy(rng.uniform(80, 400, (3, 25)))
    envelope = torch.from_numpy(rng.uniform(0.1, 2.0, (3, 25, BINS)))
    ratio = torch.from_numpy(rng.uniform(0, 1, (3, 25, BINS)))
    noise = torch.from_numpy(rng.standard_normal((3, 25 * HOP)))
    together = synthesize(f0, envelope, ratio, noise)
    assert together.dtype == torch.float64
    for number in range(3):
        one = slice(number, number + 1)
        alone = synthesize(f0[one], envelope[one], ratio[one], noise[one])[0]
        torch.testing.assert_close(together[number], alone, atol=1e-10, rtol=0)
    single = synthesize(f0.float(), envelope.float(), ratio.float(), noise.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), together, atol=0.02, rtol=0)


def test_a_seed_is_a_sound():
    frames = tone(30, 150.0, 1.0, 0.5)
    first, again, other = (sound(frames, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.float32 and first.shape == (30 * HOP,)
    assert first.tobytes() == again.tobytes() != other.tobytes()
    noise = np.random.default_rng(1).standard_normal(30 * HOP)
    np.testing.assert_allclose(first, play(frames.f0, frames.envelope, frames.aperiodicity, noise), atol=1e-6)


def test_frames_are_cut_as_arrays_are():
    frames = tone(30, np.where(np.arange(30) % 3, 150.0, 0.0), 1.0, 0.5)
    assert len(frames) == 30
    assert frames.voiced.sum() == 20
    part = frames[5:9]
    assert len(part) == 4 and part.envelope.shape == (4, BINS) and part.labels.shape == (4,)
    assert frames[frames.voiced].voiced.all()
    np.testing.assert_array_equal(frames[np.array([3, 1])].f0, frames.f0[[3, 1]])
    assert FREQUENCIES[0] == 0 and FREQUENCIES[-1] == SAMPLE_RATE / 2 and HOP * FRAME_RATE == SAMPLE_RATE


def test_a_tract_of_length_one_changes_nothing():
    rng = np.random.default_rng(7)
    frames = tone(3, 100.0, 10 ** rng.uniform(-4, 2, (3, BINS)), 0.3)
    same = with_tract(frames, 1.0)
    np.testing.assert_allclose(same.envelope, frames.envelope, rtol=1e-6)
    np.testing.assert_array_equal(same.f0, frames.f0)
    np.testing.assert_array_equal(same.aperiodicity, frames.aperiodicity)


@pytest.mark.parametrize(("length", "hertz"), [(2.0, 1000.0), (0.5, 4000.0), (1.25, 1600.0), (0.8, 2500.0)])
def test_a_tract_moves_its_resonance(length, hertz):
    _, power = resonance((2000.0, 100.0))
    moved = with_tract(tone(2, 100.0, power, 0.0), length).envelope[0]
    assert abs(FREQUENCIES[moved.argmax()] - hertz) <= FREQUENCIES[1] * max(1, 1 / length)
    assert moved.max() == pytest.approx(power.max(), rel=0.3)
    # Log power at every bin is the old one's at ``length`` times the frequency, by interpolation.
    source = np.minimum(FREQUENCIES * length, 8000.0)
    np.testing.assert_allclose(np.log(moved), np.interp(source, FREQUENCIES, np.log(power)), atol=1e-6)


def test_frames_resampled_at_their_own_places_are_themselves():
    rng = np.random.default_rng(8)
    frames = tone(6, rng.uniform(100, 200, 6), 10 ** rng.uniform(-3, 2, (6, BINS)), 0.3)
    for places in (np.arange(6.0), np.array([4.0, 0.0, 0.0, 5.0])):
        again, expected = resampled(frames, places), frames[places.astype(int)]
        np.testing.assert_allclose(again.envelope, expected.envelope, rtol=1e-6)
        for name in ("f0", "aperiodicity", "labels"):
            np.testing.assert_allclose(getattr(again, name), getattr(expected, name), atol=1e-12)


def test_frames_between_two_are_their_geometric_mean():
    frames = tone(2, np.array([100.0, 200.0]), np.array([[1.0], [100.0]]), 0.3)
    between = resampled(frames, np.array([0.25, 0.5, 0.75]))
    np.testing.assert_allclose(between.envelope[:, 7], 10 ** np.array([0.5, 1.0, 1.5]), rtol=1e-6)
    assert between.f0[0] == 100 and between.f0[2] == 200
    assert len(resampled(frames, np.zeros(0))) == 0


def test_analysis_gives_back_pitch_and_envelope():
    pytest.importorskip("pyworld")
    _, power = resonance((700.0, 120.0), (1800.0, 200.0), (3300.0, 300.0))
    power = power / power.mean()
    f0 = 180.0 * 2 ** (np.linspace(-2, 3, 200) / 12)
    voice = sound(tone(200, f0, power, 0.05), np.random.default_rng(8))
    found = analyze(voice)
    assert len(found) == voice.size // HOP + 1
    assert (found.labels == SILENT).all()
    inside = slice(10, 190)
    assert found.voiced[inside].mean() > 0.98
    # Its frame n lies at 10 n ms, ours in the middle, 5 ms later.
    expected = np.interp(np.arange(201) - 0.5, np.arange(200), f0)
    cents = 1200 * np.log2(found.f0[inside][found.voiced[inside]] / expected[inside][found.voiced[inside]])
    assert np.median(np.abs(cents)) < 4
    with_pitch = analyze(voice, f0)
    assert len(with_pitch) == 200
    np.testing.assert_array_equal(with_pitch.f0, f0)
    for frames in (found, with_pitch):
        decibels = 10 * np.log10(frames.envelope[inside] / power)
        heard = (FREQUENCIES > 250) & (FREQUENCIES < 5000)
        assert abs(np.median(decibels[:, heard])) < 1.5
        assert np.percentile(np.abs(decibels[:, heard]), 90) < 6


def test_what_was_analysed_sings_again():
    pytest.importorskip("pyworld")
    _, power = resonance((700.0, 120.0), (1800.0, 200.0))
    f0 = 200.0 + 10 * np.sin(np.arange(150) / 5)
    first = sound(tone(150, f0, power / power.mean(), 0.1), np.random.default_rng(9))
    again = sound(analyze(first, f0), np.random.default_rng(10))
    assert again.shape == first.shape
    assert np.std(again) == pytest.approx(np.std(first), rel=0.15)
    before, after = (smoothed(samples[1600:-1600].astype(float)) for samples in (first, again))
    loud = before > 1e-3 * before.max()
    assert np.median(np.abs(10 * np.log10(after / before)[loud])) < 2.0


def test_silence_and_noise_are_analysed_as_unvoiced():
    pytest.importorskip("pyworld")
    silent = analyze(np.zeros(8000, np.float32))
    assert not silent.voiced.any()
    assert np.isfinite(silent.envelope).all() and np.isfinite(silent.aperiodicity).all()
    assert np.abs(sound(silent, np.random.default_rng(0))).max() < 1e-3
    noise = analyze(np.random.default_rng(0).normal(0, 1, 16000).astype(np.float32))
    assert noise.voiced.mean() < 0.2
    assert 10 * np.log10(np.median(noise.envelope[10:-10])) == pytest.approx(0, abs=3)
    assert np.mean(noise.aperiodicity[~noise.voiced] > 0.9) > 0.9
