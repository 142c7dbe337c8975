"""CAM++ against a second implementation, with the batch normalisations of the original file, written from the paper."""

import importlib.util
import math
import shutil
from copy import deepcopy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from whosings.config import MODELS, CampplusConfig, FilterbankConfig, MaskConfig, ModelConfig
from whosings.encoder.blocks import FrameWindows
from whosings.encoder.campplus import Campplus
from whosings.encoder.checkpoint import build

SMALL = CampplusConfig(channels=4, width=8, layers=(2, 3), dilations=(1, 2), growth=4, bottleneck=8, embedding=6)
BANK = FilterbankConfig(mel_bins=16)


def recipe():
    path = Path(__file__).parents[2] / "recipes" / "convert_campplus.py"
    spec = importlib.util.spec_from_file_location("convert_campplus", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Original:
    """The network as published: random weights under the file's names, and what they compute."""

    def __init__(self, config: CampplusConfig, bins: int) -> None:
        self.config, self.found = config, {}
        size, rng = config.channels, torch.Generator().manual_seed(3)

        def add(name, *shape, bias=False):
            self.found[f"{name}.weight"] = torch.randn(shape, generator=rng) / math.sqrt(math.prod(shape[1:]))
            if bias:
                self.found[f"{name}.bias"] = torch.randn(shape[0], generator=rng)

        def norm(name, channels, affine=True):
            self.found[f"{name}.running_mean"] = torch.randn(channels, generator=rng)
            self.found[f"{name}.running_var"] = torch.rand(channels, generator=rng) + 0.1
            if affine:
                self.found[f"{name}.weight"] = torch.randn(channels, generator=rng)
                self.found[f"{name}.bias"] = torch.randn(channels, generator=rng)

        add("head.conv1", size, 1, 3, 3), norm("head.bn1", size)
        for block in ("layer1.0", "layer1.1", "layer2.0", "layer2.1"):
            for number in (1, 2):
                add(f"head.{block}.conv{number}", size, size, 3, 3), norm(f"head.{block}.bn{number}", size)
            if block.endswith("0"):
                add(f"head.{block}.shortcut.0", size, size, 1, 1), norm(f"head.{block}.shortcut.1", size)
        add("head.conv2", size, size, 3, 3), norm("head.bn2", size)
        width = config.width
        add("xvector.tdnn.linear", width, size * bins // 8, 5), norm("xvector.tdnn.nonlinear.batchnorm", width)
        for stage, layers in enumerate(config.layers, 1):
            for layer in range(1, layers + 1):
                name = f"xvector.block{stage}.tdnnd{layer}"
                norm(f"{name}.nonlinear1.batchnorm", width)
                add(f"{name}.linear1", config.bottleneck, width, 1)
                norm(f"{name}.nonlinear2.batchnorm", config.bottleneck)
                add(f"{name}.cam_layer.linear_local", config.growth, config.bottleneck, 3)
                add(f"{name}.cam_layer.linear1", config.bottleneck // 2, config.bottleneck, 1, bias=True)
                add(f"{name}.cam_layer.linear2", config.growth, config.bottleneck // 2, 1, bias=True)
                width += config.growth
            norm(f"xvector.transit{stage}.nonlinear.batchnorm", width)
            add(f"xvector.transit{stage}.linear", width // 2, width, 1)
            width //= 2
        norm("xvector.out_nonlinear.batchnorm", width)
        add("xvector.dense.linear", config.embedding, 2 * width, 1)
        norm("xvector.dense.nonlinear.batchnorm", config.embedding, affine=False)

    def norm(self, maps, name):
        found = self.found
        args = (found[f"{name}.running_mean"], found[f"{name}.running_var"])
        return F.batch_norm(maps, *args, found.get(f"{name}.weight"), found.get(f"{name}.bias"))

    def conv2d(self, maps, conv, norm, stride=1):
        weight = self.found[f"{conv}.weight"]
        return self.norm(F.conv2d(maps, weight, stride=(stride, 1), padding=weight.shape[-1] // 2), norm)

    def __call__(self, spectrograms: torch.Tensor) -> torch.Tensor:
        found = self.found
        maps = spectrograms - spectrograms.mean(-1, keepdim=True)
        maps = F.relu(self.conv2d(maps, "head.conv1", "head.bn1"))
        for block in ("layer1.0", "layer1.1", "layer2.0", "layer2.1"):
            name, stride = f"head.{block}", 2 if block.endswith("0") else 1
            inner = F.relu(self.conv2d(maps, f"{name}.conv1", f"{name}.bn1", stride))
            beside = self.conv2d(maps, f"{name}.shortcut.0", f"{name}.shortcut.1", stride) if stride == 2 else maps
            maps = F.relu(self.conv2d(inner, f"{name}.conv2", f"{name}.bn2") + beside)
        maps = F.relu(self.conv2d(maps, "head.conv2", "head.bn2", 2)).flatten(1, 2)
        maps = F.conv1d(maps, found["xvector.tdnn.linear.weight"], stride=2, padding=2)
        maps = F.relu(self.norm(maps, "xvector.tdnn.nonlinear.batchnorm"))
        for stage, (layers, dilation) in enumerate(zip(self.config.layers, self.config.dilations, strict=True), 1):
            for layer in range(1, layers + 1):
                name = f"xvector.block{stage}.tdnnd{layer}"
                inner = F.relu(self.norm(maps, f"{name}.nonlinear1.batchnorm"))
                inner = F.conv1d(inner, found[f"{name}.linear1.weight"])
                inner = F.relu(self.norm(inner, f"{name}.nonlinear2.batchnorm"))
                cam = f"{name}.cam_layer"
                new = F.conv1d(inner, found[f"{cam}.linear_local.weight"], padding=dilation, dilation=dilation)
                for step in range(inner.shape[-1]):  # the context of each step by itself
                    piece = inner[..., step // 100 * 100 : step // 100 * 100 + 100].mean(-1)
                    context = inner.mean(-1) + piece
                    hidden = F.relu(context @ found[f"{cam}.linear1.weight"][..., 0].T + found[f"{cam}.linear1.bias"])
                    gate = hidden @ found[f"{cam}.linear2.weight"][..., 0].T + found[f"{cam}.linear2.bias"]
                    new[..., step] *= torch.sigmoid(gate)
                maps = torch.cat([maps, new], dim=1)
            maps = F.relu(self.norm(maps, f"xvector.transit{stage}.nonlinear.batchnorm"))
            maps = F.conv1d(maps, found[f"xvector.transit{stage}.linear.weight"])
        maps = F.relu(self.norm(maps, "xvector.out_nonlinear.batchnorm"))
        pooled = torch.cat([maps.mean(-1), maps.std(-1)], dim=1)
        return self.norm(pooled @ found["xvector.dense.linear.weight"][..., 0].T, "xvector.dense.nonlinear.batchnorm")


@pytest.fixture(scope="module")
def both() -> tuple[Original, Campplus]:
    original = Original(SMALL, BANK.mel_bins)
    ours = Campplus(SMALL, BANK).eval()
    ours.load_state_dict(recipe().converted(original.found, SMALL.layers))
    return original, ours


@pytest.mark.parametrize("frames", [9, 100, 198, 199, 431])
def test_converted_weights_compute_what_the_published_network_does(both, frames: int) -> None:
    original, ours = both
    heard = torch.randn(2, 1, 16, frames, generator=torch.Generator().manual_seed(frames)) * 3 + 5
    with torch.inference_mode():
        wanted, got = original(heard), ours(heard)
    assert got.shape == (2, 6)
    assert torch.allclose(got, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_balancing_changes_weights_but_not_what_they_compute(both) -> None:
    _, ours = both
    skewed = deepcopy(ours)
    with torch.no_grad():
        skewed.enter.weight /= 1024
        skewed.front[0].weight *= 1024
        for name, weight in skewed.front.named_parameters():
            if name.endswith("bias"):
                weight *= 1024
    even = deepcopy(skewed)
    even.balance()
    heard = torch.randn(2, 1, 16, 120, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        assert torch.equal(even(heard), skewed(heard))
    first, behind = (float(layer.weight.detach().square().mean().sqrt()) for layer in (even.front[0], even.enter))
    assert 0.5 <= first / behind <= 2
    again = deepcopy(even)
    again.balance()
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), even.parameters(), strict=True))


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_the_compiled_network_computes_the_same() -> None:
    """With a number of steps that no piece divides: torch 2.13 compiles some ways to repeat a gate wrongly."""
    torch.manual_seed(0)
    config = SMALL.model_copy(update={"mask": MaskConfig(channels=(2, 3, 4), width=8, blocks=1)})
    encoder = Campplus(config, BANK).eval().requires_grad_(False)
    heard = torch.randn(2, 1, 16, 2 * 250 - 3, generator=torch.Generator().manual_seed(4)) * 3 + 5
    with torch.inference_mode():
        wanted, got = encoder(heard.clone()), torch.compile(encoder)(heard.clone())
    assert torch.allclose(got, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


def test_level_and_batch_do_not_matter(both) -> None:
    _, ours = both
    heard = torch.randn(3, 1, 16, 120, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([ours(one[None]) for one in heard])
    assert torch.allclose(ours(heard), alone, atol=1e-5)
    assert torch.allclose(ours(heard + 7.5), alone, atol=1e-4)


def test_frames_of_no_weight_do_not_count(both) -> None:
    _, ours = both
    rng = torch.Generator().manual_seed(2)
    maps = torch.rand(1, 12, 40, generator=rng)
    from whosings.encoder.campplus import FrameMaps

    head = torch.nn.Linear(24, 6)
    ours_head, ours.head = ours.head, head
    try:
        weights = torch.zeros(1, 40)
        weights[:, 10:25] = 0.7
        got = ours.pooled(FrameMaps(maps, weights))
        part = maps[..., 10:25]
        wanted = head(torch.cat([part.mean(-1), part.std(-1, correction=0)], dim=1))
    finally:
        ours.head = ours_head
    assert torch.allclose(got, wanted, atol=1e-5)


def masked() -> Campplus:
    torch.manual_seed(0)
    mask = MaskConfig(channels=(4, 4, 4), width=8, blocks=2, dilations=(1, 2), relative=True, weighs_frames=True)
    encoder = build(ModelConfig(front_end=BANK, encoder=SMALL.model_copy(update={"mask": mask}))).eval()
    torch.nn.init.normal_(encoder.mask.frame.weight)
    return encoder


def test_one_window_over_all_is_the_whole() -> None:
    encoder = masked()
    heard = torch.randn(1, 1, 16, 300)
    with torch.inference_mode():
        (whole,) = encoder(heard)
        (window,) = encoder.windows(heard, FrameWindows(torch.tensor([0]), 300))[0]
    assert torch.allclose(whole, window, atol=1e-6)


def test_windows_hear_their_own_part() -> None:
    """What is far away in a stretch reaches a window by its context only: less than what is in the window."""
    encoder = masked()
    heard = torch.randn(1, 1, 16, 600, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        before = encoder.windows(heard, FrameWindows(torch.tensor([0, 400]), 200))[0]
        louder = heard.clone()
        louder[..., 450:550] = louder[..., 450:550].flip(3)
        change = (encoder.windows(louder, FrameWindows(torch.tensor([0, 400]), 200))[0] - before).norm(dim=1)
    assert change[0] < change[1]


def test_the_preset_has_the_published_size() -> None:
    config = MODELS["cam++"]
    plain = build(config.model_copy(update={"encoder": config.encoder.model_copy(update={"mask": None})}))
    # 6.93 million with running statistics; folded, layers have a bias where those were.
    assert sum(p.numel() for p in plain.parameters()) == pytest.approx(6.87e6, rel=0.01)
