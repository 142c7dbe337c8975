"""Views against what they are said to be: speeds by the pitch of a sine, levels by measuring the parts of a record."""

import math

import numpy as np
import pytest
import torch

from tests.conftest import RATE
from tests.distillation_fixtures import tone, toy_bank
from whosings.errors import TrainingError
from whosings.training.distillation import views
from whosings.training.distillation.bank import Clip, open_bank, to_int16, write_bank
from whosings.training.distillation.config import ViewsConfig
from whosings.training.distillation.draw import Draw
from whosings.training.distillation.views import ViewMaker

CPU = torch.device("cpu")
PLAIN = views._Chances(0.0, 0.0, 0.0, 0.0)


@pytest.fixture
def plain(monkeypatch):
    """Records without effects."""
    for name in ("_VOICE", "_BAND"):
        monkeypatch.setattr(views, name, PLAIN)
    for name in ("_RECORD_SATURATION", "_LOW_PASS"):
        monkeypatch.setattr(views, name, 0.0)


def sines(folder, hertz=(200, 300, 450, 700), bands=None):
    """People who sing one tone each, all their lives."""
    noise = np.random.default_rng(1).normal(size=6 * RATE)
    clips = [Clip(f"p{h}", "sung", to_int16(tone(h, 3.0 + n))) for h in hertz for n in range(2)]
    write_bank(folder, clips, [to_int16(noise)] if bands is None else bands)
    return open_bank(folder)


def pitch(wave: torch.Tensor) -> float:
    """Of a sine: from the peak of a windowed, padded spectrum, Hz."""
    spectrum = torch.fft.rfft(wave * torch.hann_window(len(wave)), 8 * len(wave)).abs()
    return spectrum.argmax().item() * RATE / (8 * len(wave))


def test_views_and_their_teachers_hear_one_variation(tmp_path):
    maker = ViewMaker(sines(tmp_path), ViewsConfig(count_on_cpu=16, seconds=1.0), 0, CPU)
    made = maker(3)
    assert made.records.shape == made.voices_alone.shape == made.others_alone.shape == (16, 16_000)
    pitches = torch.tensor([200.0, 300.0, 450.0, 700.0])[made.people]
    for alone, other, sung, speed in zip(made.voices_alone, made.others_alone, pitches, made.varied_by, strict=True):
        # Lengths that transform fast bring a speed to within a per cent.
        assert pitch(alone) == pytest.approx(float(sung * speed), rel=0.011)
        assert pitch(other) == pytest.approx(pitch(alone), rel=0.001)
    assert sorted(set(made.varied_by.tolist())) == pytest.approx([0.84, 1.0, 1.2])
    assert (made.varied_by == 1).float().mean() == 0.5
    alike = made.alike
    assert torch.equal(alike, (made.people[:, None] == made.people) & (made.varied_by[:, None] == made.varied_by))


def test_speeds_of_the_bank_count_and_near_ones_are_one_person(tmp_path):
    names = ("annx1.0", "annx0.93", "annx0.8", "bob")
    clips = [Clip(name, "sung", to_int16(tone(300, 2.0))) for name in names]
    write_bank(tmp_path, clips, [to_int16(tone(90, 2.0))])
    made = ViewMaker(open_bank(tmp_path), ViewsConfig(count_on_cpu=4, seconds=0.5, speeds=(1.0,)), 0, CPU)(0)
    order = made.varied_by.argsort(stable=True)
    assert made.varied_by[order].tolist() == pytest.approx([0.8, 0.93, 1.0, 1.0])
    ann = made.people == made.people[order[0]]
    assert ann.sum() == 3
    alike = made.alike
    near = [int(place) for place in torch.nonzero(ann & (made.varied_by > 0.9))]
    assert alike[near[0], near[1]] and not alike[order[0], near].any() and alike.diagonal().all()
    assert alike.sum() == 4 + 2


def test_people_are_all_heard_before_any_is_heard_twice_and_clips_differ(tmp_path):
    bank = toy_bank(tmp_path)
    maker = ViewMaker(bank, ViewsConfig(count_on_cpu=8, seconds=0.5, speeds=(1.0,)), 0, CPU)
    for step in range(5):
        made = maker(step)
        assert np.bincount(made.people.numpy()).tolist() == [2, 2, 2, 2]
        # Of two clips on two pitches the other one is another one.
        assert all(
            abs(pitch(a) / pitch(b) - 1) > 0.02 or not torch.allclose(a, b)
            for a, b in zip(made.voices_alone, made.others_alone, strict=True)
        )


def test_voices_stand_over_bands_as_they_should(tmp_path, plain):
    config = ViewsConfig(count_on_cpu=64, seconds=0.5, guest=0.0, pause=0.0, speeds=(1.0,))
    maker = ViewMaker(sines(tmp_path), config, 0, CPU)
    over = []
    for step in range(4):
        made = maker(step, with_others=False)
        assert made.others_alone is None
        torch.testing.assert_close(made.records, made.voices + made.bands, atol=1e-5, rtol=0)
        torch.testing.assert_close(made.records.abs().amax(dim=1), torch.ones(64))
        over.append(10 * torch.log10(made.voices.square().mean(dim=1) / made.bands.square().mean(dim=1)))
    found = torch.cat(over)
    # What has no band has noise 25 to 65 dB under the voice.
    assert (found > 20).float().mean().item() == pytest.approx(config.alone, abs=0.02)
    loud = found[found < 20]
    assert loud.min() > -8.1 and loud.max() < 14.1
    assert loud.min() < -7 and loud.max() > 13 and loud.mean().item() == pytest.approx(3, abs=1.5)


def test_guests_are_other_voices_of_the_batch_under_the_voice(tmp_path, plain):
    silence = [np.zeros(6 * RATE, np.int16)]
    hertz = (200, 300, 450, 700)
    config = ViewsConfig(count_on_cpu=64, seconds=0.5, guest=0.2, alone=0.0, pause=0.0, speeds=(1.0,))
    made = ViewMaker(sines(tmp_path, hertz, silence), config, 0, CPU)(0)
    level = 10 * torch.log10(made.bands.square().mean(dim=1) / made.voices.square().mean(dim=1))
    guests = level > -20
    assert guests.sum() == math.floor(0.2 * 64)
    assert level[guests].max() < -3.9 and level[guests].min() > -15.1
    for row in torch.nonzero(guests)[:, 0]:
        own, other = hertz[made.people[row]], pitch(made.bands[row])
        assert min(abs(other / h - 1) for h in hertz if h != own) < 0.02


def test_some_voices_pause_at_one_end_at_no_cost_to_their_level(tmp_path, plain):
    config = ViewsConfig(count_on_cpu=40, seconds=1.0, guest=0.0, alone=0.0, pause=0.35, speeds=(1.0,))
    bank = sines(tmp_path, bands=[to_int16(np.random.default_rng(0).choice([-1.0, 1.0], 6 * RATE))])
    made = ViewMaker(bank, config.model_copy(update={"softest_db": 6.0, "loudest_db": 6.0}), 0, CPU)(0)
    silent = made.voices.abs().unfold(1, 400, 400).amax(dim=2) < 1e-4 * made.voices.abs().amax(dim=1, keepdim=True)
    share = silent.float().mean(dim=1)
    assert (share > 0).sum() == 14
    assert share[share > 0].min() > 0.12 and share[share > 0].max() < 0.66
    assert (silent[:, 0] ^ silent[:, -1])[share > 0].all()
    over = 10 * torch.log10(made.voices.square().mean(dim=1) / (1 - share) / made.bands.square().mean(dim=1))
    assert over.min() > 5.6 and over.max() < 6.4


def test_the_same_step_is_the_same_whatever_came_before(tmp_path):
    bank, config = toy_bank(tmp_path), ViewsConfig(count_on_cpu=6, seconds=0.5)
    maker = ViewMaker(bank, config, 5, CPU)
    first = [maker(step) for step in range(3)]
    again = ViewMaker(bank, config, 5, CPU)(2)
    for name in ("records", "voices", "bands", "voices_alone", "others_alone", "people", "varied_by"):
        assert torch.equal(getattr(first[2], name), getattr(again, name)), name
    assert torch.equal(maker(2, with_others=False).records, again.records)
    assert not torch.equal(first[1].records, first[2].records)
    assert not torch.equal(ViewMaker(bank, config, 6, CPU)(2).records, again.records)


def test_imitations_take_part_only_where_they_are_asked_for(tmp_path):
    kinds = {"speech": 200, "sung": 400, "imitation": 800}
    clips = [Clip(f"p{n}", kind, to_int16(tone(hertz, 2.0))) for n in range(2) for kind, hertz in kinds.items()]
    write_bank(tmp_path, clips, [to_int16(tone(90, 2.0))])
    bank = open_bank(tmp_path)
    config = ViewsConfig(count_on_cpu=32, seconds=0.5, speeds=(1.0,))
    heard = {round(pitch(wave) / 100) for wave in ViewMaker(bank, config, 0, CPU)(0).voices_alone}
    assert heard == {2, 4}
    config = config.model_copy(update={"kinds": ("imitation",)})
    assert {round(pitch(wave) / 100) for wave in ViewMaker(bank, config, 0, CPU)(0).voices_alone} == {8}
    only = Clip("p0", "imitation", clips[0].samples)
    write_bank(tmp_path, [only, *clips[3:]], [clips[0].samples])
    with pytest.raises(TrainingError, match="fewer than two people with speech or sung clips"):
        ViewMaker(open_bank(tmp_path), ViewsConfig(), 0, CPU)


def test_an_equaliser_is_smooth_and_bounded_and_differs_from_row_to_row():
    gains = 20 * torch.log10(views._equaliser(Draw(0, 0, CPU), 20, 16_000))
    assert gains.shape == (20, 8001) and gains.abs().max() < 9.01
    octave = gains[:, 2000] - gains[:, 1000]
    assert gains.std(dim=0).min() > 1 and octave.abs().max() < 20 and octave.std() > 1
    assert gains[:, 100:].diff(dim=1).abs().max() < 0.3


def test_a_room_decays_and_stays_under_the_direct_sound():
    size = 16_000
    added = torch.fft.irfft(views._room(Draw(0, 0, CPU), 50, size, size), size)
    wet_db = 10 * torch.log10(added.square().sum(dim=1))
    assert wet_db.max() < -1.9 and wet_db.min() > -20.1
    assert added[:, : round(0.005 * RATE)].abs().max() < 1e-5
    early, later = (added[:, part].square().sum(dim=1) for part in (slice(0, 4000), slice(8000, 12_000)))
    assert (early > later).all()


def test_an_echo_is_the_sound_again():
    size = 9600
    impulse = torch.zeros(30, size)
    impulse[:, 0] = 1
    added = torch.fft.irfft(torch.fft.rfft(impulse) * views._echo(Draw(0, 0, CPU), 30, size), size)
    gain, place = added.max(dim=1)
    assert place.min() >= 240 and place.max() <= 4800 and gain.min() >= 0.3 and gain.max() <= 0.7
    assert added.square().sum(dim=1) == pytest.approx(gain.square().numpy(), rel=1e-3)


def test_how_many_rows_get_an_effect_is_the_chance_in_the_long_run():
    counts = [len(Draw(0, step, CPU).rows(0.15, 6)) for step in range(100)]
    assert sum(counts) == 90 and set(counts) == {0, 1}
    assert len({tuple(Draw(0, step, CPU).rows(0.5, 6).tolist()) for step in range(50)}) > 15
    bounds = torch.tensor([1, 2, 1000])
    drawn = torch.stack([Draw(0, step, CPU).below(bounds) for step in range(200)])
    assert (drawn < bounds).all() and drawn.min() == 0 and drawn[:, 1].float().mean() == pytest.approx(0.5, abs=0.12)
