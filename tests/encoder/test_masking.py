"""The voice mask: any length, items apart, shares that can be learned."""

import pytest
import torch
import torch.nn.functional as F

from whosings.config import ConvolutionalConfig, FrontEndConfig, MaskConfig
from whosings.encoder.convolutional import ConvolutionalEncoder
from whosings.encoder.masking import VoiceMask

FRONT = FrontEndConfig(channels=1)
CONFIG = MaskConfig(channels=(4, 6, 8), width=16, blocks=2)


def log_mel(batch: int, frames: int = 60) -> torch.Tensor:
    return torch.randn(batch, 1, 128, frames, generator=torch.Generator().manual_seed(frames)) * 4 - 5


@pytest.fixture
def mask() -> VoiceMask:
    torch.manual_seed(0)
    return VoiceMask(CONFIG, FRONT).eval()


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 120, 1001])
@torch.no_grad()
def test_a_share_for_every_bin(mask, frames):
    heard = log_mel(2, frames)
    share = mask(heard).log_share.exp()
    assert share.shape == heard.shape
    assert ((share > 0) & (share <= 1)).all()


@torch.no_grad()
def test_nothing_is_fainter_than_35_db(mask):
    torch.nn.init.constant_(mask.leave.bias, -100.0)
    torch.testing.assert_close(
        mask(log_mel(1)).log_share.exp(), torch.full((1, 1, 128, 60), 10**-3.474), rtol=1e-3, atol=0
    )


@torch.no_grad()
def test_two_channels_have_masks_of_their_own():
    torch.manual_seed(0)
    mask = VoiceMask(CONFIG, FrontEndConfig(channels=2)).eval()
    heard = torch.cat([log_mel(1), log_mel(1).flip(2)], dim=1)
    share = mask(heard).log_share
    assert share.shape == heard.shape
    assert (share[:, 0] - share[:, 1]).abs().max() > 1e-3


@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_items_of_a_batch_do_not_touch_each_other(mask, training):
    mask.train(training)
    items = log_mel(3)
    items[1] *= 20  # a wild neighbour
    torch.testing.assert_close(
        mask(items).bins, torch.cat([mask(item[None]).bins for item in items]), atol=1e-5, rtol=1e-5
    )


def test_every_weight_takes_part_in_training(mask):
    (mask.train()(log_mel(3)).bins * torch.randn(3, 1, 128, 60)).sum().backward()
    idle = [name for name, w in mask.named_parameters() if w.grad is None or not w.grad.abs().sum() > 0]
    assert idle == []


def test_it_learns_which_stripes_are_voice():
    """Wavy stripes are the voice, straight ones the band: their shares are known, and of others they are guessed."""
    torch.manual_seed(0)
    bins, frames = torch.arange(128.0)[:, None], torch.arange(40.0)
    turn = torch.rand(24, 2, 1, 1) * 6.3

    wavy = 4 * torch.sin(bins / 2 + 3 * torch.sin(frames / 2 + turn[:, :1]) + turn[:, 1:]) - 6
    straight = 4 * torch.sin(bins / 2 + turn[:, 1:].flip(0) + 0 * frames) - 6
    heard, share = torch.logaddexp(wavy, straight), torch.sigmoid(wavy - straight)
    mask = VoiceMask(CONFIG, FRONT)
    optimiser = torch.optim.Adam(mask.parameters(), 1e-2)
    for _ in range(60):
        loss = F.binary_cross_entropy_with_logits(mask(heard[:16]).bins, share[:16])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        guessed = mask(heard[16:]).log_share.exp()
    assert (guessed - share[16:]).abs().mean() < 0.5 * (share[:16].mean() - share[16:]).abs().mean()


@torch.no_grad()
def test_an_encoder_hears_what_its_mask_lets_through():
    torch.manual_seed(0)
    config = ConvolutionalConfig(stem=(4, 6), width=16, blocks=2, kernel=5, embedding=12, mask=CONFIG)
    encoder = ConvolutionalEncoder(config, FRONT).eval()
    plain = ConvolutionalEncoder(config.model_copy(update={"mask": None}), FRONT).eval()
    plain.load_state_dict({k: v for k, v in encoder.state_dict().items() if not k.startswith("mask.")})
    heard = log_mel(2)
    torch.testing.assert_close(encoder(heard), plain(heard + encoder.mask(heard).log_share))
    assert (encoder(heard) - plain(heard)).abs().max() > 1e-4


@torch.no_grad()
def test_against_the_loudest_bin_level_does_not_matter():
    torch.manual_seed(0)
    mask = VoiceMask(CONFIG.model_copy(update={"relative": True}), FRONT).eval()
    heard = log_mel(2)
    torch.testing.assert_close(mask(heard + 9.5).bins, mask(heard).bins, atol=1e-4, rtol=1e-4)
    assert mask(heard).frames is None and mask(heard).weights is None


@pytest.mark.parametrize("frames", [3, 8, 21])
@torch.no_grad()
def test_frames_are_weighed_by_eights(frames):
    torch.manual_seed(0)
    mask = VoiceMask(CONFIG.model_copy(update={"weighs_frames": True, "dilations": (1, 3)}), FRONT).eval()
    assert (mask(log_mel(2, frames)).weights == mask(log_mel(2, frames)).weights[:1, :1]).all()  # at first all alike
    torch.nn.init.normal_(mask.frame.weight)
    weights = mask(log_mel(2, frames)).weights
    assert weights.shape == (2, frames) and (weights > 0).all() and (weights <= 1.001).all()
    for first in range(0, frames, 8):
        assert (weights[:, first : first + 8] == weights[:, first : first + 1]).all()
