"""Typed settings from TOML files and the command line; an unknown key is an error.

Conventions
-----------
- Every default is the paper's value where the paper states one; a comment says so where it does not.
- A file may begin with ``extends = "base.toml"`` (relative to itself) and then hold only what differs.
- Overrides are dotted: ``{"training.seed": 3}``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from whosings.errors import ConfigError

T = TypeVar("T", bound=BaseModel)


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FrontEndConfig(_Settings):
    """From samples to log-mel spectrograms (paper, section 4.1)."""

    sample_rate: Literal[16000] = 16000
    """Hz."""
    channels: Literal[1, 2] = 2
    """1: all channels averaged; 2: mono duplicated."""
    segment_s: PositiveFloat = 6.0
    """Seconds a segment."""
    fft_size: PositiveInt = 800
    """Samples a window."""
    hop: PositiveInt = 400
    """Samples between frames."""
    mel_bins: Annotated[int, Field(gt=0, multiple_of=8)] = 128
    log_offset: PositiveFloat = 1e-10
    """Added to mel energies before the natural logarithm."""
    peak_normalise: bool = True
    """Scale each segment to a peak of 1."""

    @property
    def samples(self) -> int:
        """Samples a segment."""
        return round(self.segment_s * self.sample_rate)

    @property
    def frames(self) -> int:
        """Spectrogram frames a segment."""
        return self.samples // self.hop


class TransformerConfig(_Settings):
    """Audio Spectrogram Transformer (paper, section 4.1; ViT-S/16 by default)."""

    kind: Literal["transformer"] = "transformer"
    width: PositiveInt = 384
    blocks: PositiveInt = 12
    heads: PositiveInt = 6
    mlp_ratio: PositiveFloat = 4.0
    patch: PositiveInt = 16
    """Side of a square patch, in bins and frames; patches do not overlap."""
    embedding: PositiveInt = 2048
    """Dimensions of the embedding."""

    @model_validator(mode="after")
    def _heads_divide(self) -> TransformerConfig:
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        return self


class MaskConfig(_Settings):
    """What lets the voice through and keeps the band out: a U-Net over the spectrogram."""

    channels: tuple[PositiveInt, PositiveInt, PositiveInt] = (16, 32, 64)
    """Of the levels, each with half the bins and frames of the one before."""
    width: PositiveInt = 256
    """Channels of the blocks over time at the bottom."""
    blocks: PositiveInt = 8


class ConvolutionalConfig(_Settings):
    """Two-dimensional stem over frequency, one-dimensional residual blocks over time, attentive statistics."""

    kind: Literal["convolutional"] = "convolutional"
    stem: tuple[PositiveInt, PositiveInt] = (24, 48)
    """Channels of the two stem stages."""
    width: PositiveInt = 256
    """Channels of the blocks."""
    blocks: PositiveInt = 6
    kernel: PositiveInt = 7
    """Frames (of 50 ms) a depthwise kernel, an odd number."""
    mlp_ratio: PositiveFloat = 3.0
    embedding: PositiveInt = 256
    """Dimensions of the embedding."""
    mask: MaskConfig | None = None
    """What keeps the band out of the spectrogram first; none unless given."""

    @model_validator(mode="after")
    def _kernel_is_odd(self) -> ConvolutionalConfig:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel ({self.kernel}) must be odd")
        return self


EncoderConfig = Annotated[TransformerConfig | ConvolutionalConfig, Field(discriminator="kind")]


class ProjectorConfig(_Settings):
    """Projection head: three linear layers, batch norm and ReLU between them (paper, section 4.1)."""

    layers: tuple[PositiveInt, PositiveInt, PositiveInt] = (2048, 1024, 2048)
    """Outputs of the layers; the authors' code has (1024, 1024, 2048)."""
    last_bias: bool = True
    """False in the authors' code."""


class ModelConfig(_Settings):
    """Everything that decides what an encoder computes, and the projector it is trained with."""

    front_end: FrontEndConfig = FrontEndConfig()
    encoder: EncoderConfig = TransformerConfig()
    projector: ProjectorConfig = ProjectorConfig()


PROJECTORS: Mapping[str, ProjectorConfig] = {
    "paper": ProjectorConfig(),
    "authors-code": ProjectorConfig(layers=(1024, 1024, 2048), last_bias=False),
}

MODELS: Mapping[str, ModelConfig] = {
    "small": ModelConfig(),
    "compact": ModelConfig(
        front_end=FrontEndConfig(channels=1),
        encoder=ConvolutionalConfig(),
        projector=ProjectorConfig(layers=(512, 512, 512)),
    ),
    "tiny": ModelConfig(
        front_end=FrontEndConfig(channels=1, segment_s=3.0),
        encoder=TransformerConfig(width=32, blocks=2, heads=2, embedding=64),
        projector=ProjectorConfig(layers=(64, 32, 64)),
    ),
}
"""Presets: ``small`` is the paper's encoder, ``compact`` the one for CPUs, ``tiny`` is for tests."""


class PairsConfig(_Settings):
    """Positive pairs (paper, section 4.2)."""

    mode: Literal["mixture", "vocal", "hybrid", "mashup", "track"] = "mixture"
    """mashup: vocal stems over other singers' instrumentals. track: two segments of one mixture, whoever sings it:
    self-supervised, the kind of the paper's baseline."""
    augment: bool = False
    """Views changed at random as studios, rooms and codecs change recordings (not in the paper's own models); on the
    training device, and never in validation."""
    clones: bool = False
    """Cloned tracks with exactly one target singer are that singer's, too; by default only real recordings train, as
    in the paper."""
    pairs_per_singer: PositiveInt = 1
    """Pairs of one singer that follow each other. More are meant for ``supcon``: in NT-Xent they are false
    negatives."""
    min_vocal: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least vocal probability of a 3-second piece from which a segment may be drawn (not stated in the paper)."""


class TrainingConfig(_Settings):
    """Schedule and machinery of contrastive training (paper, section 4.2)."""

    batch_pairs: PositiveInt = 128
    """Positive pairs a step, over all processes together."""
    loss: Literal["nt_xent", "supcon"] = "nt_xent"
    """supcon: all views of one singer in a batch are positives of each other (not in the paper)."""
    temperature: PositiveFloat = 0.2
    learning_rate: PositiveFloat = 1e-4
    adam_eps: PositiveFloat = 1e-9
    iterations_per_epoch: PositiveInt = 32
    plateau_epochs: PositiveInt = 25
    """Epochs without better validation loss after which the learning rate falls."""
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    stop_epochs: PositiveInt = 100
    """Epochs without better validation loss after which training stops."""
    max_epochs: PositiveInt = 5000
    """Upper bound; the paper has none."""
    seed: Annotated[int, Field(ge=0)] = 0
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """auto: bf16 where the device computes it natively, on a GPU; float32 on CPUs."""
    chunk: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Views encoded at a time; 0: all at once; auto: 16 on CPUs (faster there, an eighth of the memory), all on GPUs.
    Any value gives the same gradients."""
    compile: bool = False
    """Let torch.compile fuse the encoder, which takes half a minute first and a C++ compiler."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: Annotated[int, Field(ge=1)] = 1
    """Processes, one a GPU; batch_pairs is divided among them."""
    workers: Annotated[int, Field(ge=0)] = 2
    """Decoding processes for each training process."""


class HeadConfig(_Settings):
    """A classifier on frozen embeddings, and how it is trained (paper: Singer identification)."""

    kind: Literal["projector", "linear", "prototype"] = "projector"
    """projector: the projection head's three layers, the last as wide as there are singers; prototype: the nearest
    mean, without training."""
    hidden: tuple[PositiveInt, PositiveInt] = (2048, 1024)
    """Outputs of the first two layers of ``projector``."""
    normalise_outputs: bool = False
    """Outputs of unit length before the softmax, as in the authors' code."""
    last_bias: bool = True
    """False in the authors' code, of ``projector``."""
    batch: PositiveInt = 100
    """Segments a step."""
    learning_rate: PositiveFloat = 0.01
    iterations_per_epoch: PositiveInt = 32
    plateau_epochs: PositiveInt = 10
    """Epochs without better validation loss after which the learning rate falls."""
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    stop_epochs: PositiveInt = 20
    """Epochs without better validation loss after which training stops."""
    max_epochs: PositiveInt = 1000
    """Upper bound; the paper has none."""
    validation_segments: PositiveInt = 4
    """Of each validation track, drawn once a run."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """auto: bf16 matrix products where the processor or GPU computes them natively."""


HEADS: Mapping[str, HeadConfig] = {
    "projector": HeadConfig(),
    "projector-normalised": HeadConfig(normalise_outputs=True),
    "projector-authors-code": HeadConfig(hidden=(1024, 1024), last_bias=False, normalise_outputs=True),
    "linear": HeadConfig(kind="linear"),
    "prototype": HeadConfig(kind="prototype"),
}
"""Presets: ``projector`` is the paper's text, ``projector-authors-code`` what its code does."""


class Settings(_Settings):
    """One experiment."""

    model: ModelConfig = ModelConfig()
    pairs: PairsConfig = PairsConfig()
    training: TrainingConfig = TrainingConfig()


def load_settings(path: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read an experiment's settings.

    Args:
        path: TOML file, or None for the defaults.
        overrides: dotted key -> value, applied last.

    Raises:
        ConfigError: missing file, bad TOML, unknown key, wrong type or value.
    """
    tree = _read(Path(path)) if path is not None else {}
    subject = str(path) if path is not None else "settings"
    for dotted, value in (overrides or {}).items():
        *parents, leaf = dotted.split(".")
        node = tree
        for parent in parents:
            child = node.setdefault(parent, {})
            if not isinstance(child, dict):
                raise ConfigError(subject, f"{parent} in {dotted} is a value, not a table", "check the key")
            node = child
        node[leaf] = value
    return parse(Settings, tree, subject)


def parse(model: type[T], tree: Any, subject: str) -> T:
    """Validate a tree of plain values as ``model``.

    Raises:
        ConfigError: naming the first key that is wrong.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        if first["type"] == "extra_forbidden":
            raise ConfigError(subject, f"unknown key {key}", "remove it or correct its name") from error
        raise ConfigError(subject, f"{key}: {first['msg'].lower()}", "correct the value") from error


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """``["training.seed=3"]`` -> ``{"training.seed": 3}``; values are TOML, bare words are strings."""
    overrides: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise ConfigError(pair, "is not KEY=VALUE", "write for example training.seed=3")
        try:
            overrides[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            overrides[key] = text
    return overrides


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(path, "cannot be read", "check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path, f"is not TOML ({error})", "correct the file") from error
    parent = tree.pop("extends", None)
    return tree if parent is None else _merge(_read(path.parent / str(parent)), tree)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        # A table of another kind replaces the one below: its keys mean something else.
        if isinstance(below, dict) and isinstance(value, dict) and value.get("kind") in (None, below.get("kind")):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged
