"""Sources of pairs become views: in order, on their own, at a peak of one."""

import numpy as np
import torch

from whosings.config import FrontEndConfig, PairsConfig
from whosings.training.contrastive.augment import Chances
from whosings.training.contrastive.views import Sources, assemble, stacked, usual_chances

FRONT_END = FrontEndConfig(channels=1, segment_s=0.5)


def _pair(number, bands=False):
    rng = np.random.default_rng(number)
    voices, band = (torch.from_numpy(rng.uniform(-1, 1, (2, 1, 8000)).astype(np.float32)) for _ in range(2))
    levels = torch.tensor([0.0, torch.inf])
    return Sources(voices, torch.tensor(number), band, levels) if bands else Sources(voices, torch.tensor(number))


def test_views_are_all_left_ones_and_then_all_right_ones():
    pairs = [_pair(number) for number in (4, 5, 6)]
    batch = stacked(pairs)
    assert len(batch) == 3 and batch.singers.tolist() == [4, 5, 6] and batch.bands is None
    views = assemble(batch, FRONT_END)
    expected = [pair.voices[side] / pair.voices[side].abs().max() for side in (0, 1) for pair in pairs]
    torch.testing.assert_close(views, torch.stack(expected))


def test_bands_go_under_the_voices_that_have_one():
    pairs = [_pair(number, bands=True) for number in (1, 2)]
    views = assemble(stacked(pairs), FRONT_END)
    for place, pair in enumerate(pairs):
        mix = pair.voices[0] / pair.voices[0].norm() + pair.bands[0] / pair.bands[0].norm()  # as loud, hardly a pause
        found = torch.corrcoef(torch.stack([views[place].flatten(), mix.flatten()]))[0, 1]
        assert found > 0.999
        torch.testing.assert_close(views[2 + place], pair.voices[1] / pair.voices[1].abs().max(), atol=1e-5, rtol=0)


def test_silence_stays_silent_and_peaks_may_be_left_alone():
    silent = Sources(torch.zeros(2, 1, 8000), torch.tensor(0))
    assert not assemble(stacked([silent]), FRONT_END).any()
    quiet = Sources(0.25 * _pair(0).voices, torch.tensor(0))
    free = FRONT_END.model_copy(update={"peak_normalise": False})
    torch.testing.assert_close(assemble(stacked([quiet]), free), quiet.voices)


def test_changes_are_drawn_from_the_generator_alone():
    batch = stacked([_pair(1, bands=True), _pair(2, bands=True)])
    first, again, other = (assemble(batch, FRONT_END, np.random.default_rng(seed)) for seed in (3, 3, 4))
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert (first - other).abs().max() > 0.01
    torch.testing.assert_close(first.abs().amax((1, 2)), torch.ones(4))


def test_pitch_correction_is_for_voices_alone():
    assert usual_chances(PairsConfig(mode="mixture")).correction == 0
    assert usual_chances(PairsConfig(mode="mashup")) == usual_chances(PairsConfig(mode="vocal")) == Chances()


def test_sources_move_whole():
    moved = stacked([_pair(1, bands=True)]).to(torch.device("meta"))
    assert all(part.is_meta for part in vars(moved).values())
    assert _pair(1).to(torch.device("cpu")).bands is None
