"""What can be set: front ends, encoders, pairs, training, heads; presets.

Every default is the paper's value where the paper states one; a comment says so where it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    Tag,
    model_validator,
)

from whosings.settings import Strict, load


class FrontEndConfig(Strict):
    """From samples to log-mel spectrograms (paper, section 4.1)."""

    any_length: ClassVar[bool] = False
    """Whether its encoders hear segments shorter than ``segment_s`` as they are; else these are repeated."""
    kind: Literal["log-mel"] = "log-mel"
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


class FilterbankConfig(Strict):
    """From samples to Kaldi's log mel filterbank, on which speaker encoders are trained: 25-ms frames every 10 ms.

    Encoders take each bin's mean away, so that a recording's level does not matter.
    """

    any_length: ClassVar[bool] = True
    peak_normalise: ClassVar[bool] = False
    kind: Literal["filterbank"] = "filterbank"
    sample_rate: Literal[16000] = 16000
    """Hz."""
    channels: Literal[1] = 1
    """All channels averaged."""
    segment_s: PositiveFloat = 6.0
    """Seconds a segment."""
    mel_bins: Annotated[int, Field(gt=0, multiple_of=8)] = 80
    window: PositiveInt = 400
    """Samples a frame."""
    hop: PositiveInt = 160
    """Samples between frames."""
    lowest_hz: Annotated[float, Field(ge=0)] = 20.0
    """Where the first filter begins; the last one ends at the Nyquist frequency."""
    preemphasis: Annotated[float, Field(ge=0, lt=1)] = 0.97

    @property
    def samples(self) -> int:
        """Samples a segment."""
        return round(self.segment_s * self.sample_rate)

    @property
    def frames(self) -> int:
        """Frames a segment: those that lie in it whole."""
        return 1 + (self.samples - self.window) // self.hop


def _front_end_kind(value: Any) -> str:
    """Settings and checkpoints of before there were two kinds name none."""
    return str(value.get("kind", "log-mel") if isinstance(value, Mapping) else getattr(value, "kind", "log-mel"))


AnyFrontEnd = Annotated[
    Annotated[FrontEndConfig, Tag("log-mel")] | Annotated[FilterbankConfig, Tag("filterbank")],
    Discriminator(_front_end_kind),
]
"""Either of the two; what says neither is log-mel."""


class TransformerConfig(Strict):
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


class MaskConfig(Strict):
    """What lets the voice through and keeps the band out: a U-Net over the spectrogram."""

    channels: tuple[PositiveInt, PositiveInt, PositiveInt] = (16, 32, 64)
    """Channels of the levels, each with half the bins and frames of the one before."""
    width: PositiveInt = 256
    """Channels of the blocks over time at the bottom."""
    blocks: PositiveInt = 8
    dilations: tuple[PositiveInt, ...] = (1,)
    """Dilations of the blocks, in turn."""
    relative: bool = False
    """Whether levels are seen against the loudest bin, or as they are."""
    weighs_frames: bool = False
    """Whether it also says of each frame whether it is worth hearing."""


class ConvolutionalConfig(Strict):
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


class CampplusConfig(Strict):
    """CAM++: a residual front over frequency, densely connected time-delay layers with context-aware masking
    (arXiv 2303.00332)."""

    kind: Literal["cam++"] = "cam++"
    channels: PositiveInt = 32
    """Channels of the two-dimensional front."""
    width: PositiveInt = 128
    """Channels that enter the dense stages."""
    layers: tuple[PositiveInt, ...] = (12, 24, 16)
    """Layers of each dense stage."""
    dilations: tuple[PositiveInt, ...] = (1, 2, 2)
    """Dilation of each dense stage."""
    growth: PositiveInt = 32
    """Channels that a layer adds."""
    bottleneck: PositiveInt = 128
    """Channels inside a layer."""
    embedding: PositiveInt = 192
    """Dimensions of the embedding."""
    mask: MaskConfig | None = None
    """What keeps the band out of the filterbank first; none unless given."""

    @model_validator(mode="after")
    def _a_dilation_each(self) -> CampplusConfig:
        if len(self.dilations) != len(self.layers):
            raise ValueError(f"dilations ({len(self.dilations)}) must be as many as layers ({len(self.layers)})")
        return self


EncoderConfig = Annotated[TransformerConfig | ConvolutionalConfig | CampplusConfig, Field(discriminator="kind")]


class ProjectorConfig(Strict):
    """Projection head: three linear layers, batch norm and ReLU between them (paper, section 4.1)."""

    layers: tuple[PositiveInt, PositiveInt, PositiveInt] = (2048, 1024, 2048)
    """Outputs of the layers; the authors' code has (1024, 1024, 2048)."""
    last_bias: bool = True
    """False in the authors' code."""


class ModelConfig(Strict):
    """Everything that decides what an encoder computes, and the projector it is trained with."""

    front_end: AnyFrontEnd = FrontEndConfig()
    encoder: EncoderConfig = TransformerConfig()
    projector: ProjectorConfig = ProjectorConfig()

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        wanted = "filterbank" if isinstance(self.encoder, CampplusConfig) else "log-mel"
        if self.front_end.kind != wanted:
            raise ValueError(f"a {self.encoder.kind} encoder needs front_end.kind {wanted}, not {self.front_end.kind}")
        return self


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
    "cam++": ModelConfig(
        front_end=FilterbankConfig(),
        encoder=CampplusConfig(
            mask=MaskConfig(channels=(24, 48, 72), width=320, dilations=(1, 2, 4, 8), relative=True, weighs_frames=True)
        ),
        projector=ProjectorConfig(layers=(512, 512, 512)),
    ),
}
"""Presets: ``small`` is the paper's encoder, ``cam++`` the default's, ``compact`` that of ``fast``, ``tiny`` is for
tests."""


class PairsConfig(Strict):
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


class TrainingConfig(Strict):
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
    max_minutes: PositiveFloat | None = None
    """Stop after the epoch in which one sitting has lasted so long; another sitting goes on. None: no bound."""
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


class HeadConfig(Strict):
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
    """Pairs of each validation track, drawn once a run."""
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


class Settings(Strict):
    """One experiment."""

    model: ModelConfig = ModelConfig()
    pairs: PairsConfig = PairsConfig()
    training: TrainingConfig = TrainingConfig()


def load_settings(path: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """An experiment's settings; see ``whosings.settings.load``."""
    return load(Settings, path, overrides)
