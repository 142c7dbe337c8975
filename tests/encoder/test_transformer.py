"""The transformer against a forward pass written out by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from whosings.config import MODELS, FrontEndConfig, ModelConfig, TransformerConfig
from whosings.encoder.transformer import SpectrogramTransformer

FRONT = FrontEndConfig(channels=1, segment_s=1.0, mel_bins=32)  # 32 x 40: patches 4 x 5 of side 8
SMALLEST = TransformerConfig(width=12, blocks=2, heads=3, mlp_ratio=2.0, patch=8, embedding=10)


def tiny(seed: int = 0) -> SpectrogramTransformer:
    torch.manual_seed(seed)
    encoder = SpectrogramTransformer(SMALLEST, FRONT)
    with torch.no_grad():  # biases and norms away from their first values, so that forgetting one shows
        for weight in encoder.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return encoder.eval()


def log_mel(batch: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, 1, 32, 40, generator=torch.Generator().manual_seed(seed)) * 5 - 5


def norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-6) * weight + bias


def gelu(x: torch.Tensor) -> torch.Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def attention(x: torch.Tensor, w: dict[str, torch.Tensor], heads: int) -> torch.Tensor:
    """Softmax(Q K' / sqrt d) V for one item (tokens, width), head by head and query by query."""
    tokens, width = x.shape
    size = width // heads
    q, k, v = (x @ w["self_attn.in_proj_weight"].T + w["self_attn.in_proj_bias"]).split(width, dim=1)
    out = torch.zeros(tokens, width)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for query in range(tokens):
            scores = torch.stack([q[query, part] @ k[key, part] / math.sqrt(size) for key in range(tokens)])
            odds = (scores - scores.max()).exp()
            out[query, part] = (odds / odds.sum()) @ v[:, part]
    return out @ w["self_attn.out_proj.weight"].T + w["self_attn.out_proj.bias"]


def by_hand(encoder: SpectrogramTransformer, item: torch.Tensor) -> torch.Tensor:
    """The embedding of one log-mel (1, 32, 40)."""
    state = encoder.state_dict()
    scaled = (item[0] + 5) / 5
    kernel = state["patches.weight"][:, 0]
    patches = [
        (kernel * scaled[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]).sum(dim=(1, 2)) + state["patches.bias"]
        for row in range(4)
        for column in range(5)
    ]
    x = torch.stack([state["class_token"][0, 0], *patches]) + state["positions"][0]
    for number in range(SMALLEST.blocks):
        prefix = f"blocks.{number}."
        w = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        x = x + attention(norm(x, w["norm1.weight"], w["norm1.bias"]), w, SMALLEST.heads)
        hidden = gelu(norm(x, w["norm2.weight"], w["norm2.bias"]) @ w["linear1.weight"].T + w["linear1.bias"])
        x = x + hidden @ w["linear2.weight"].T + w["linear2.bias"]
    first = norm(x[0], state["norm.weight"], state["norm.bias"])
    return gelu(first @ state["head.0.weight"].T + state["head.0.bias"])


@torch.no_grad()
def test_forward_is_the_one_written_by_hand():
    encoder, items = tiny(), log_mel(2)
    expected = torch.stack([by_hand(encoder, item) for item in items])
    assert expected.std() > 0.05
    torch.testing.assert_close(encoder(items), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoder.train()(items), expected, atol=1e-5, rtol=1e-5)


def expected_parameters(config: ModelConfig) -> int:
    encoder, front = config.encoder, config.front_end
    w, hidden = encoder.width, int(encoder.width * encoder.mlp_ratio)
    patches = (front.mel_bins // encoder.patch) * (front.frames // encoder.patch)
    attention_and_mlp = 3 * w * (w + 1) + w * (w + 1) + hidden * (w + 1) + w * (hidden + 1)
    block = attention_and_mlp + 2 * 2 * w
    inputs = w * (front.channels * encoder.patch**2 + 1) + w + (patches + 1) * w
    return inputs + encoder.blocks * block + 2 * w + encoder.embedding * (w + 1)


def test_small_has_the_shapes_and_size_of_vit_s_16():
    config = MODELS["small"]
    encoder = SpectrogramTransformer(config.encoder, config.front_end).eval()
    assert encoder.positions.shape == (1, 8 * 15 + 1, 384)
    assert len(encoder.blocks) == 12
    count = sum(weight.numel() for weight in encoder.parameters())
    assert count == expected_parameters(config) == 22_326_656
    with torch.inference_mode():
        out = encoder(torch.randn(2, 2, 128, 240))
    assert out.shape == (2, 2048)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("config", [MODELS["tiny"], ModelConfig(front_end=FRONT, encoder=SMALLEST)])
def test_other_sizes(config):
    encoder = SpectrogramTransformer(config.encoder, config.front_end)
    assert sum(weight.numel() for weight in encoder.parameters()) == expected_parameters(config)


@torch.no_grad()
def test_the_class_token_reaches_the_embedding():
    encoder, items = tiny(), log_mel(1)
    before = encoder(items)
    encoder.class_token += torch.linspace(-1, 1, SMALLEST.width)
    assert (encoder(items) - before).abs().max() > 1e-2


@torch.no_grad()
def test_positions_tell_the_order_of_patches():
    encoder, items = tiny(), log_mel(1)
    swapped = items.clone()
    swapped[..., :8], swapped[..., 8:16] = items[..., 8:16], items[..., :8]
    assert (encoder(swapped) - encoder(items)).abs().max() > 1e-3
    encoder.positions[:, 1:] = encoder.positions[:, 1:2].clone()  # without them, patches are a set
    torch.testing.assert_close(encoder(swapped), encoder(items), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_items_of_a_batch_are_embedded_alone():
    encoder, items = tiny(), log_mel(5)
    for mode in (True, False):
        encoder.train(mode)
        alone = torch.cat([encoder(item[None]) for item in items])
        torch.testing.assert_close(encoder(items), alone, atol=1e-5, rtol=1e-5)


def test_training_runs_without_dropout():
    encoder, items = tiny().train(), log_mel(3)
    torch.testing.assert_close(encoder(items), encoder(items), atol=0, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(items), encoder.train()(items), atol=1e-5, rtol=1e-5)


def test_training_attends_through_the_fused_kernel(monkeypatch):
    calls = []
    fused = F.scaled_dot_product_attention

    def watched(query, *args, **options):
        calls.append(tuple(query.shape))
        return fused(query, *args, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    tiny().train()(log_mel(3)).sum().backward()
    assert calls == [(3, SMALLEST.heads, 21, SMALLEST.width // SMALLEST.heads)] * SMALLEST.blocks


def test_every_weight_takes_part_in_training():
    encoder = tiny().train()
    (encoder(log_mel(3)) * torch.randn(3, 10)).sum().backward()
    idle = [name for name, w in encoder.named_parameters() if w.grad is None or not w.grad.abs().sum() > 0]
    assert idle == []


def test_a_spectrogram_of_another_length_is_refused():
    with pytest.raises(RuntimeError):
        tiny()(torch.randn(1, 1, 32, 80))
