"""Each effect alone, on tones, clicks and vowels of which the answer is known."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate, lfilter

from tests.conftest import singing
from whosings.sound import batch_effects

RATE = 16_000


def tone(hertz, seconds=2.0, level=0.5):
    return level * torch.sin(2 * torch.pi * hertz * torch.arange(round(RATE * seconds)) / RATE)[None, None]


FORMANTS = (700.0, 1220.0, 2600.0)


def vowel(excitation):
    """Two-pole resonators."""
    for formant in FORMANTS:
        radius = np.exp(-np.pi * 90 / RATE)
        excitation = lfilter([1.0], [1, -2 * radius * np.cos(2 * np.pi * formant / RATE), radius**2], excitation)
    return torch.from_numpy((0.7 * excitation / np.abs(excitation).max()).astype(np.float32))[None, None]


def whispered():
    """6 s of a vowel on noise: between harmonics, formants cannot be measured this well."""
    return vowel(np.random.default_rng(0).standard_normal(6 * RATE))


def spoken(f0=125.0):
    return vowel((np.arange(2 * RATE) % round(RATE / f0) == 0).astype(float))


def heard_formants(waves):
    """By linear prediction of sixth order over the whole: three resonances and nothing else."""
    wave = waves[0, 0].numpy().astype(float)[2000:-2000]
    windowed = wave * np.hanning(wave.size)
    r = correlate(windowed, windowed, method="fft")[wave.size - 1 : wave.size + 6]
    roots = np.roots(np.append(1, -np.linalg.solve(r[np.abs(np.subtract.outer(np.arange(6), np.arange(6)))], r[1:])))
    return np.sort(np.angle(roots[roots.imag > 0]) * RATE / (2 * np.pi))


def heard_f0(waves):
    wave = waves[0, 0].numpy().astype(float)[4000:-4000]
    lags = correlate(wave, wave, method="fft")[wave.size - 1 :]
    period = 60 + lags[60:300].argmax()
    a, b, c = lags[period - 1 : period + 2]
    return RATE / (period + 0.5 * (a - c) / (a - 2 * b + c))


def test_vowels_are_heard_as_they_were_made():
    assert heard_f0(spoken()) == pytest.approx(125, rel=0.002)
    np.testing.assert_allclose(heard_formants(whispered()), FORMANTS, rtol=0.01)


@pytest.mark.parametrize("factor", [0.96, 1.04])
def test_formants_move_and_the_pitch_stays(factor):
    amount = np.array([factor])
    assert heard_f0(batch_effects.formants_shifted(spoken(), amount)) == pytest.approx(125, rel=0.002)
    moved = heard_formants(batch_effects.formants_shifted(whispered(), amount)) / heard_formants(whispered())
    np.testing.assert_allclose(moved, factor, rtol=0.015)


@pytest.mark.parametrize("semitones", [-2.0, -0.7, 0.7, 2.0])
def test_resampling_moves_both_and_envelope_correction_brings_formants_back(semitones):
    ratio = np.array([2 ** (semitones / 12)])
    faster, moved = batch_effects.resampled(spoken(), ratio), batch_effects.resampled(whispered(), ratio)
    np.testing.assert_allclose(heard_formants(moved) / FORMANTS, ratio[0], rtol=0.01)
    kept = batch_effects.formants_shifted(faster, 1 / ratio)
    assert heard_f0(faster) == pytest.approx(125 * ratio[0], rel=0.004)
    assert heard_f0(kept) == pytest.approx(125 * ratio[0], rel=0.004)
    back = heard_formants(batch_effects.formants_shifted(moved, 1 / ratio)) / FORMANTS
    np.testing.assert_allclose(back, 1.0, rtol=0.04)  # of 12 %
    np.testing.assert_allclose(back.mean(), 1.0, rtol=0.02)


def test_a_ratio_or_factor_of_one_is_the_sound_itself():
    voice = torch.from_numpy(singing(2.0))[None, None]
    torch.testing.assert_close(batch_effects.resampled(voice, np.ones(1)), voice, atol=1e-5, rtol=0)
    torch.testing.assert_close(batch_effects.formants_shifted(voice, np.ones(1)), voice, atol=1e-5, rtol=0)
    still = torch.zeros(1, *batch_effects.vocoder_frames(voice.shape[-1]))
    torch.testing.assert_close(batch_effects.resynthesised(voice, still, np.ones(1)), voice, atol=1e-5, rtol=0)


def test_a_faster_sound_begins_again_where_it_ends():
    click = torch.zeros(1, 1, 20_000)
    click[..., 1000] = 1.0
    loud = batch_effects.resampled(click, np.array([1.25]))[0, 0].abs() > 0.4
    assert loud.nonzero().flatten().tolist() == [800, 16_800]


def test_vocoders_keep_the_spectrum_in_mel_bands_and_lose_the_phase():
    voice = torch.from_numpy(singing(3.0))[None, None]
    turns = (
        torch.rand(1, *batch_effects.vocoder_frames(voice.shape[-1]), generator=torch.Generator().manual_seed(0)) * 2
        - 1
    )
    for bands, blur in ((80, 1.0), (80, 0.1), (0, 0.5)):
        changed = batch_effects.resynthesised(voice, turns, np.array([blur]), bands, 2 if bands else 0)
        before, after = (
            torch.stft(w[0], 512, return_complex=True, window=torch.hann_window(512)).abs()[0] for w in (voice, changed)
        )
        coarse = [
            torch.nn.functional.avg_pool2d(s[None] ** 2, (8, 8))[0].log().flatten().numpy() for s in (before, after)
        ]
        assert np.corrcoef(coarse)[0, 1] > 0.9
        assert np.corrcoef(voice.flatten(), changed.flatten())[0, 1] < 0.95


def test_compression_takes_the_loud_down_against_the_quiet():
    steps = torch.cat([tone(220, 1.0, level) for level in (0.9, 0.09)], -1)  # 20 dB apart
    changed = batch_effects.compressed(steps, np.array([20.0]), np.array([4.0]))
    loud, quiet = (changed[..., part].square().mean().sqrt() for part in (slice(4000, 12_000), slice(20_000, 28_000)))
    assert 20 * torch.log10(loud / quiet) == pytest.approx(5.0, abs=0.3)  # 20 dB over the threshold become 5
    assert changed.abs().max() == pytest.approx(0.9, rel=1e-3)
    torch.testing.assert_close(batch_effects.compressed(steps, np.array([20.0]), np.ones(1)), steps, atol=1e-4, rtol=0)


def test_saturation_keeps_the_peak_and_lifts_the_rest():
    voice = 0.7 * torch.from_numpy(singing(1.0))[None, None]
    changed = batch_effects.saturated(voice, np.array([3.0]))
    assert changed.abs().max() == pytest.approx(voice.abs().max().item(), rel=1e-4)
    assert changed.square().mean() > voice.square().mean()


def test_responses_hold_the_sound_itself_echoes_and_a_tail_that_dies():
    tails = batch_effects.white(np.random.default_rng(0), (3, 8192), torch.device("cpu"))
    given = batch_effects.responses(
        tails, np.array([4000, 4000, 100]), np.array([0.0, 0.3, 0.0]), np.array([2000, 1, 1]), np.array([0.5, 0.0, 0.0])
    )[:, 0]
    assert [(n, given[0, n].item()) for n in given[0].nonzero().flatten().tolist()] == [
        (0, 1.0), (2000, 0.5), (4000, 0.25), (6000, 0.125), (8000, 0.0625)
    ]  # fmt: skip
    tail = given[1] - torch.eye(8192)[0]
    assert tail.square().sum().sqrt() == pytest.approx(0.3, rel=1e-4)
    assert not tail[4000:].any()
    early, late = (tail[part].square().mean() for part in (slice(0, 400), slice(3600, 4000)))
    assert 10 * torch.log10(early / late) == pytest.approx(54, abs=3)  # 60 dB in 4000 samples, 3600 apart
    assert given[2].nonzero().flatten().tolist() == [0]


def test_equalisers_pass_through_their_knots():
    knots = np.array([[0.0, 6.0, -3.0, 9.0]])
    curve = 20 * torch.log10(batch_effects.equaliser(knots, RATE, torch.zeros(1, 1, 1))[0, 0])  # a bin a hertz
    places = np.round(np.geomspace(60, 8000, 4)).astype(int)
    np.testing.assert_allclose(curve[places], knots[0], atol=0.1)
    assert curve[:60].abs().max() < 1e-6
    torch.testing.assert_close(batch_effects.amplitude(torch.tensor([20.0, -6.0])), torch.tensor([10.0, 0.501187]))


def test_band_limits_are_those_of_butterworth_filters():
    gains = batch_effects.band_limits(np.array([200.0, 0.0]), np.array([np.inf, 4000.0]), RATE, torch.zeros(1, 1, 1))[
        :, 0
    ]
    db = 20 * torch.log10(gains)
    assert db[0, 200] == pytest.approx(-3.01, abs=0.01) and db[0, 50] == pytest.approx(-24.1, abs=0.1)
    assert db[1, 4000] == pytest.approx(-3.01, abs=0.01) and db[1, 8000] == pytest.approx(-96.3, abs=0.1)
    assert db[0, 2000:].abs().max() < 0.01 and db[1, :2000].abs().max() < 0.01


def test_noise_has_the_level_and_the_slope_asked_for():
    size = 65_536
    noise = batch_effects.white(np.random.default_rng(0), (2, size // 2 + 1, 2), torch.device("cpu"))
    assert noise.mean() == pytest.approx(0, abs=0.01) and noise.std() == pytest.approx(1, abs=0.01)
    rms = torch.tensor([0.1, 0.02])[:, None, None]
    sound = torch.fft.irfft(batch_effects.coloured(noise, np.array([0.0, 1.0]), rms, size), size)
    torch.testing.assert_close(sound.square().mean(2).sqrt(), rms[..., 0], rtol=0.01, atol=0)
    power = torch.fft.rfft(sound[:, 0]).abs().square()
    octaves = torch.stack([power[:, 2**n : 2 ** (n + 1)].mean(1) for n in range(8, 15)])
    np.testing.assert_allclose((10 * torch.log10(octaves)).diff(dim=0).mean(0), [0.0, -3.01], atol=0.3)


@pytest.mark.parametrize("opus", [False, True])
@pytest.mark.parametrize("level", [0.7, 0.85, 0.97])
def test_codecs_are_real_and_do_not_delay(opus, level):
    voice = torch.from_numpy(np.stack([0.8 * singing(3.0), 0.8 * singing(3.0, 1)]))[None]
    coded = batch_effects.codec(voice, np.array([opus]), np.array([level]))
    assert coded.shape == voice.shape
    for before, after in zip(voice[0].numpy(), coded[0].numpy(), strict=True):
        assert correlate(after, before, method="fft").argmax() == before.size - 1
        assert 1e-4 < np.mean((after - before) ** 2) / np.mean(before**2) < 0.5


def test_where_there_is_no_encoder_views_stay_as_they_are(monkeypatch):
    def refuse(*args, **kwargs):
        raise batch_effects.soundfile.LibsndfileError(1)

    monkeypatch.setattr(batch_effects.soundfile, "write", refuse)
    voice = torch.from_numpy(singing(1.0))[None, None]
    torch.testing.assert_close(batch_effects.codec(voice, np.array([False]), np.array([0.8])), voice, atol=0, rtol=0)


def test_correction_puts_the_pitch_on_semitones():
    pytest.importorskip("pyworld")
    assert heard_f0(spoken(128)) == pytest.approx(128, rel=0.003)  # 38 cents under C3
    changed = batch_effects.corrected(spoken(128).expand(1, 2, -1), np.array([5]))
    assert heard_f0(changed) == pytest.approx(130.81, rel=0.004)
    torch.testing.assert_close(changed[:, 0], changed[:, 1])
    assert changed.abs().max() == pytest.approx(spoken(128).abs().max().item(), rel=1e-4)


def test_lengths_transform_fast():
    for wanted in (1, 7, 100, 4321, 40_320, 48_000, 57_600, 65_024):
        length = batch_effects.fast_length(wanted)
        assert length % 2 == 0 and wanted <= length <= max(1.02 * wanted, 8)
        for factor in (2, 3, 5):
            while length % factor == 0:
                length //= factor
        assert length == 1


def test_resampling_keeps_a_sine_a_sine():
    wave = tone(1000, 1.0)[0]
    for samples, hertz in ((12_800, 1250.0), (20_000, 800.0)):
        found = batch_effects.stretched(wave, samples)[0]
        assert found.numpy() == pytest.approx(
            tone(hertz, samples / RATE)[0, 0].numpy(), abs=1e-3
        )  # the tone itself is float32
    assert batch_effects.stretched(wave, 16_000) is wave


def test_a_low_pass_keeps_what_is_below():
    low = tone(500, 1.0)[0]
    passed = batch_effects.low_passed(low + tone(5000, 1.0, 0.3)[0], np.array([4000.0]))
    torch.testing.assert_close(passed, low, atol=1e-3, rtol=0)


def test_waves_with_and_without_channels_get_the_same():
    flat = torch.cat([tone(500, 1.0)[0], tone(300, 1.0, 0.1)[0]])
    amount = np.array([3.0, 2.0])
    for effect in (
        lambda waves: batch_effects.saturated(waves, amount),
        lambda waves: batch_effects.low_passed(waves, 1000 * amount),
        lambda waves: batch_effects.resampled(waves, amount),
        lambda waves: torch.fft.rfft(waves) * batch_effects.band_limits(100 * amount, 1000 * amount, 16_000, waves),
        lambda waves: torch.fft.rfft(waves) * batch_effects.equaliser(np.outer(amount, [1, 2]), 16_000, waves),
        lambda waves: torch.fft.rfft(waves) * batch_effects.echo(100 * amount, amount, 16_000, waves),
        batch_effects.peak_normalised,
        lambda waves: waves / batch_effects.level(waves),
    ):
        torch.testing.assert_close(effect(flat[:, None])[:, 0], effect(flat))
