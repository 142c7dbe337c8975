"""The chain as a whole: each effect is heard, a seed decides, views are apart, levels are as asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.conftest import singing
from whosings.training.contrastive.augment import Chances, augment, produce, record

NOTHING = Chances(**dict.fromkeys(vars(Chances()), 0.0))
ALL = Chances(**dict.fromkeys(vars(Chances()), 1.0))
EFFECTS = [pytest.param(name, marks=pytest.mark.slow) if name == "correction" else name for name in vars(NOTHING)]


def only(name, waves, seed=0):
    if name == "correction":
        pytest.importorskip("pyworld")
    return augment(waves, np.random.default_rng(seed), replace(NOTHING, **{name: 1.0}))


@pytest.fixture(scope="module")
def voices():
    """Four voices, (4, 1, 32000)."""
    return torch.from_numpy(np.stack([0.8 * singing(2.0, seed)[None] for seed in range(4)]))


def test_nothing_changes_nothing(voices):
    torch.testing.assert_close(augment(voices, np.random.default_rng(0), NOTHING), voices, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", EFFECTS)
def test_every_effect_is_heard_and_drawn_anew(voices, name):
    before = voices.clone()
    first, second = only(name, voices), only(name, voices, 1)
    torch.testing.assert_close(voices, before, atol=0, rtol=0)
    assert first.shape == voices.shape and first.abs().max() <= 1
    assert (first - voices).abs().amax((1, 2)).min() > 1e-5
    assert (first - second).abs().amax((1, 2)).min() > 1e-5


@pytest.mark.parametrize("name", EFFECTS)
def test_no_view_depends_on_another(voices, name):
    first = only(name, voices)
    other = voices.clone()
    other[2] = 0.3 * voices[0].flip(-1)
    second = only(name, other)
    untouched = [0, 1, 3]
    torch.testing.assert_close(second[untouched], first[untouched], atol=1e-6, rtol=0)
    torch.testing.assert_close(only(name, voices), first, atol=0, rtol=0)


def test_all_together_are_deterministic(voices):
    first, again = (augment(voices, np.random.default_rng(7)) for _ in range(2))
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert (augment(voices, np.random.default_rng(8)) - first).abs().max() > 0.01


def test_without_a_band_produce_is_augment(voices):
    alone = torch.full((4,), torch.inf)
    changed = produce(voices, voices.flip(0), alone, np.random.default_rng(3))
    torch.testing.assert_close(changed, augment(voices, np.random.default_rng(3)), atol=0, rtol=0)


@pytest.mark.parametrize("chances", [NOTHING, replace(NOTHING, equaliser=1.0)])
def test_voices_are_as_loud_over_the_bands_as_asked(chances):
    """A tone and a tone, so that each can be measured in the mix."""
    time = torch.arange(32_000) / 16_000
    voice, band = (0.3 * torch.sin(2 * torch.pi * hertz * time).expand(5, 1, -1) for hertz in (300, 2000))
    asked = torch.tensor([-12.0, 0.0, 5.0, 20.0, torch.inf])
    mix = produce(voice, band, asked, np.random.default_rng(0), chances)
    spectrum = torch.fft.rfft(mix[:, 0]).abs()
    found = 20 * torch.log10(spectrum[:, 600] / spectrum[:, 4000])
    torch.testing.assert_close(found[:4], asked[:4], atol=0.1, rtol=0)
    assert found[4] > 60


def test_a_record_is_its_voice_and_its_band(voices):
    bands, level = voices.roll(1, 0), torch.tensor([6.0, -3.0, torch.inf, 0.0])[: len(voices)]
    made = record(voices, bands, level, np.random.default_rng(0), NOTHING)
    mix = made.voice + made.band
    torch.testing.assert_close(made.waves, mix / mix.abs().amax((1, 2), keepdim=True).clamp(min=1.0))
    assert made.band[torch.isinf(level)].abs().max() == 0
    torch.testing.assert_close(made.voice, voices, atol=1e-4, rtol=1e-4)


def test_the_parts_of_a_record_have_the_effects_of_both(voices):
    """An equaliser of the whole changes both parts alike: they still add up to it."""
    chances = replace(NOTHING, equaliser=1.0, room=1.0)
    level = torch.full((len(voices),), 3.0)
    made = record(voices, voices.roll(1, 0), level, np.random.default_rng(1), chances)
    mix = made.voice + made.band
    torch.testing.assert_close(made.waves, mix / mix.abs().amax((1, 2), keepdim=True).clamp(min=1.0))
    assert (made.voice - voices).abs().max() > 0.01


def test_pauses_do_not_make_a_voice_quieter():
    """Half of the time silent, a voice has to be as loud while it sounds."""
    time = torch.arange(32_000) / 16_000
    voice, band = (0.3 * torch.sin(2 * torch.pi * hertz * time)[None, None] for hertz in (300, 2000))
    pausing = voice * (time < 1)
    levels = []
    for given in (voice, pausing):
        mix = produce(given, band, torch.zeros(1), np.random.default_rng(0), NOTHING)[0, 0, 2000:14_000]
        spectrum = torch.fft.rfft(mix * torch.hann_window(12_000)).abs()
        levels.append(20 * torch.log10(spectrum[:750].max() / spectrum[750:].max()))
    assert levels[0] == pytest.approx(0, abs=0.1) and levels[1] == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("shape", [(2, 2, 8_000), (1, 1, 1_000), (3, 1, 12_345)])
def test_all_effects_stay_within_bounds(shape):
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
    most = replace(ALL, correction=0.0)
    for waves in (torch.zeros(shape), torch.ones(shape), noise):
        changed = produce(waves, noise, torch.zeros(shape[0]), rng, most)
        assert changed.shape == shape and changed.dtype == torch.float32
        assert changed.isfinite().all() and changed.abs().max() <= 1


def test_channels_that_are_alike_stay_alike(voices):
    twice = augment(voices.expand(-1, 2, -1), np.random.default_rng(0), replace(ALL, correction=0.0, codec=0.0))
    torch.testing.assert_close(twice[:, 0], twice[:, 1], atol=1e-5, rtol=0)


def test_a_seed_decides_in_reduced_precision_as_well(voices):
    plain = augment(voices, np.random.default_rng(0))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(augment(voices, np.random.default_rng(0)), plain, atol=1e-6, rtol=0)


def test_refuses_other_shapes(voices):
    with pytest.raises(ValueError, match="one shape"):
        produce(voices, voices[:2], torch.zeros(4), np.random.default_rng(0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_makes_the_same_views(voices):
    there = augment(voices.cuda(), np.random.default_rng(0), replace(ALL, correction=0.0, codec=0.0, vocoder=0.0))
    here = augment(voices, np.random.default_rng(0), replace(ALL, correction=0.0, codec=0.0, vocoder=0.0))
    torch.testing.assert_close(there.cpu(), here, atol=1e-3, rtol=0)
