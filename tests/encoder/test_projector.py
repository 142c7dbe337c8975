"""The projection head: sizes of the presets, unit output, batch norm."""

import pytest
import torch
from torch import nn

from whosings.config import PROJECTORS, ProjectorConfig
from whosings.encoder.projector import Projector


@pytest.mark.parametrize(
    ("preset", "sizes", "last_bias"),
    [("paper", (2048, 1024, 2048), True), ("authors-code", (1024, 1024, 2048), False)],
)
def test_presets(preset, sizes, last_bias):
    projector = Projector(PROJECTORS[preset], 384)
    linear = [layer for layer in projector.layers if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == list(
        zip((384, *sizes[:-1]), sizes, strict=True)
    )
    assert [layer.bias is not None for layer in linear] == [True, True, last_bias]
    kinds = [type(layer).__name__ for layer in projector.layers]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    first, second, last = sizes
    expected = 385 * first + 2 * first + (first + 1) * second + 2 * second + (second + last_bias) * last
    assert sum(weight.numel() for weight in projector.parameters()) == expected


def small() -> Projector:
    torch.manual_seed(0)
    return Projector(ProjectorConfig(layers=(6, 5, 4)), 7)


@pytest.mark.parametrize("training", [True, False])
def test_outputs_have_unit_length(training):
    out = small().train(training)(3 * torch.randn(9, 7))
    torch.testing.assert_close(out.norm(dim=1), torch.ones(9), atol=1e-6, rtol=0)


@torch.no_grad()
def test_training_normalises_by_the_batch():
    projector = small().train()
    batch = torch.randn(8, 7) * 3 + 2
    x = batch
    for linear, norm in ((0, 1), (3, 4)):
        y = x @ projector.layers[linear].weight.T + projector.layers[linear].bias
        y = (y - y.mean(0)) / torch.sqrt(y.var(0, unbiased=False) + projector.layers[norm].eps)
        x = torch.relu(y)
    y = x @ projector.layers[6].weight.T + projector.layers[6].bias
    torch.testing.assert_close(projector(batch), y / y.pow(2).sum(1, keepdim=True).sqrt(), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_only_training_learns_statistics_and_couples_items():
    projector = small()
    batch = torch.randn(8, 7) + 3
    projector.eval()
    fresh = projector.layers[1].running_mean.clone()
    alone = torch.cat([projector(row[None]) for row in batch])
    torch.testing.assert_close(projector(batch), alone, atol=1e-6, rtol=1e-5)
    assert torch.equal(projector.layers[1].running_mean, fresh)
    projector.train()
    coupled = projector(batch)
    assert (projector(torch.cat([batch[:4], batch[4:] * 5]))[:4] - coupled[:4]).abs().max() > 1e-3
    assert not torch.equal(projector.layers[1].running_mean, fresh)
