"""The convolutional encoder: any length, no coupling of items, pooling by hand."""

import math

import pytest
import torch

from whosings.config import MODELS, ConvolutionalConfig, FrontEndConfig
from whosings.encoder.blocks import FrameWindows
from whosings.encoder.convolutional import ConvolutionalEncoder, _AttentiveStatistics

FRONT = FrontEndConfig(channels=2)
CONFIG = ConvolutionalConfig(stem=(4, 6), width=16, blocks=2, kernel=5, embedding=12)


@pytest.fixture
def encoder() -> ConvolutionalEncoder:
    torch.manual_seed(0)
    return ConvolutionalEncoder(CONFIG, FRONT).eval()


def log_mel(batch: int, frames: int = 60) -> torch.Tensor:
    return torch.randn(batch, 2, 128, frames, generator=torch.Generator().manual_seed(frames)) * 4 - 5


@pytest.mark.parametrize("frames", [1, 2, 3, 39, 120, 240, 1001])
@torch.no_grad()
def test_any_number_of_frames(encoder, frames):
    out = encoder(log_mel(2, frames))
    assert out.shape == (2, 12)
    assert torch.isfinite(out).all()


@torch.no_grad()
def test_the_preset_embeds_six_seconds():
    config = MODELS["compact"]
    torch.manual_seed(0)
    out = ConvolutionalEncoder(config.encoder, config.front_end).eval()(torch.randn(1, 1, 128, 240) - 5)
    assert out.shape == (1, 256)
    assert out.std() > 1e-3


@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_items_of_a_batch_do_not_touch_each_other(encoder, training):
    encoder.train(training)
    items = log_mel(4)
    items[1] *= 20  # a wild neighbour
    alone = torch.cat([encoder(item[None]) for item in items])
    torch.testing.assert_close(encoder(items), alone, atol=1e-5, rtol=1e-5)


def test_gradients_do_not_touch_each_other(encoder):
    items = log_mel(3).requires_grad_()
    encoder.train()(items)[1].sum().backward()
    assert items.grad[1].abs().sum() > 0
    assert items.grad[0].abs().sum() == 0
    assert items.grad[2].abs().sum() == 0


@torch.no_grad()
def test_pooling_against_a_loop():
    torch.manual_seed(1)
    pool = _AttentiveStatistics(8)
    maps = torch.randn(2, 7, 8)
    out = pool(maps)
    w1, b1, w2, b2 = (p.double() for p in pool.attention.parameters())
    for item in range(2):
        rows = []
        for frame in maps[item].double():
            mean = sum(frame) / 8
            variance = sum((value - mean) ** 2 for value in frame) / 8
            rows.append((frame - mean) / math.sqrt(variance + 1e-5))
        logits = [w2 @ torch.tanh(w1 @ row + b1) + b2 for row in rows]
        for channel in range(8):
            odds = [math.exp(logit[channel]) for logit in logits]
            weights = [value / sum(odds) for value in odds]
            mean = sum(w * row[channel] for w, row in zip(weights, rows, strict=True))
            spread = sum(w * (row[channel] - mean) ** 2 for w, row in zip(weights, rows, strict=True))
            assert out[item, channel] == pytest.approx(float(mean), abs=1e-5)
            assert out[item, 8 + channel] == pytest.approx(math.sqrt(float(spread)), abs=1e-4)


def test_pooling_of_a_steady_sound_has_finite_gradients():
    pool = _AttentiveStatistics(8)
    maps = torch.randn(1, 1, 8).expand(1, 9, 8).clone().requires_grad_()
    pool(maps).sum().backward()
    assert torch.isfinite(maps.grad).all()


@torch.no_grad()
def test_digital_silence_equals_the_floor(encoder):
    silence = torch.full((1, 2, 128, 40), math.log(1e-10))
    floor = torch.full((1, 2, 128, 40), -14.0)
    assert silence.min() < -20
    torch.testing.assert_close(encoder(silence), encoder(floor), atol=0, rtol=0)
    above = torch.full((1, 2, 128, 40), -13.0)
    above[..., :20, :] = -3.0
    assert (encoder(above) - encoder(floor)).abs().max() > 1e-3


def test_every_weight_takes_part_in_training(encoder):
    (encoder.train()(log_mel(3)) * torch.randn(3, 12)).sum().backward()
    idle = [name for name, w in encoder.named_parameters() if w.grad is None or not w.grad.abs().sum() > 0]
    assert idle == []


@torch.no_grad()
def test_a_block_looks_as_far_as_its_kernel(encoder):
    block = encoder.blocks[0]
    maps = torch.zeros(1, 21, 16)
    poked = maps.clone()
    poked[0, 10] = torch.randn(16)
    changed = (block(poked) - block(maps)).abs().sum(dim=2)[0] > 1e-7
    assert changed.nonzero().flatten().tolist() == list(range(8, 13))


@torch.no_grad()
def test_windows_of_a_stretch():
    """One window over all is the whole; what lies outside a window reaches it through the norms of the stem only."""
    torch.manual_seed(0)
    config = ConvolutionalConfig(stem=(4, 6), width=16, blocks=1, kernel=3, embedding=12)
    encoder = ConvolutionalEncoder(config, FrontEndConfig(channels=1)).eval()
    heard = torch.randn(1, 1, 128, 400)
    torch.testing.assert_close(encoder.windows(heard, FrameWindows(torch.tensor([0]), 400))[0], encoder(heard))
    changed = heard.clone()
    changed[..., 320:] = changed[..., 320:].flip(3)
    first = torch.tensor([0, 100])
    change = (
        encoder.windows(changed, FrameWindows(first, 300))[0] - encoder.windows(heard, FrameWindows(first, 300))[0]
    ).norm(dim=1)
    assert change[0] < 0.1 * change[1]
