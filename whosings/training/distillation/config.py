"""What can be set of a distillation; the presets that make the encoders that ship are TOML files in ``configs``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from whosings.config import MODELS, ModelConfig
from whosings.settings import Strict, load, merged, settings_file

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Chance = Annotated[float, Field(ge=0, le=1)]


class TermsConfig(Strict):
    """Weights of the loss's terms (``whosings.training.distillation.terms``); 0 leaves one out, and its work undone."""

    share: Weight = 1.0
    """Weight of knowing each bin's share of voice; only where the student has a mask."""
    stay: Weight = 3.0
    """Weight of saying what the teacher says of the voice alone."""
    contrast: Weight = 0.3
    """Weight of finding one's own voice among those of the batch."""
    same_person: Weight = 0.3
    """Weight of finding another clip of one's own person among those of the batch."""

    @property
    def active(self) -> dict[str, float]:
        """Weights that are not 0, by the names of the terms."""
        return {name: weight for name, weight in self.model_dump().items() if weight > 0}


class StageConfig(Strict):
    """One part of a run, whose learning rate warms up and falls to nothing by a cosine."""

    steps: NonNegativeInt
    """0 leaves the stage out."""
    learning_rate: PositiveFloat
    """At its highest."""
    trains: Literal["mask", "encoder", "all"] = "all"
    """Which weights learn: the mask's, those of the encoder behind it, or both; the others stay as they are."""
    warm_up: NonNegativeInt = 50
    """Steps until the learning rate is at its highest."""
    terms: TermsConfig = TermsConfig()
    """What counts in this stage."""


class BeginConfig(Strict):
    """Checkpoints from which the student's weights start; what is not named starts at random."""

    mask: str | None = None
    """Whose mask; its settings must be those of the student's."""
    encoder: str | None = None
    """Whose encoder behind the mask; a last layer of another width is left out."""


class ViewsConfig(Strict):
    """What the student hears, and how much of it at a time."""

    count: PositiveInt = 384
    """Views a step, each of another person as far as the bank has so many."""
    count_on_cpu: PositiveInt = 32
    """The same where there is no GPU."""
    seconds: PositiveFloat = 3.0
    """Length of a view; rounded to one that transforms fast."""
    kinds: tuple[Literal["speech", "sung", "imitation"], ...] = ("speech", "sung")
    """Kinds of clips that take part; an imitation then counts as the person that it imitates."""
    speeds: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1.0, 0.84, 1.0, 1.2)
    """Speeds of voices, pitch and formants with it, in equal parts of a batch; another speed makes another person."""
    band_speeds: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (0.8, 1.0, 1.25)
    """Speeds of bands, likewise."""
    alone: Chance = 0.15
    """Share of views without a band."""
    softest_db: float = -8.0
    """Least level of a voice over its band."""
    loudest_db: float = 14.0
    """Highest level of a voice over its band."""
    guest: Chance = 0.2
    """Share of views over a band in which another voice of the batch is heard, 4 to 15 dB under the voice."""
    pause: Chance = 0.35
    """Share of views whose voice begins late or ends early."""

    @model_validator(mode="after")
    def _levels_in_order(self) -> ViewsConfig:
        if self.softest_db > self.loudest_db:
            raise ValueError(f"softest_db ({self.softest_db}) must not be above loudest_db ({self.loudest_db})")
        return self


class DistillationConfig(Strict):
    """A whole run."""

    kind: Literal["distillation"] = "distillation"
    """Tells these settings from those of contrastive training."""
    model: ModelConfig
    """The student; ``model.preset`` names one of ``whosings.config.MODELS`` from which the rest may differ."""
    teacher: str
    """Checkpoint that says what a voice alone sounds like: a name, a folder, or ``hub:owner/name``."""
    begin_with: BeginConfig = BeginConfig()
    """Where the student's weights come from."""
    stages: dict[str, StageConfig]
    """By name, in their order."""
    views: ViewsConfig = ViewsConfig()
    """What the student hears."""
    temperature: PositiveFloat = 0.07
    """Temperature of ``contrast`` and ``same_person``."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    """Weight decay of AdamW."""
    gradient_norm: PositiveFloat = 1.0
    """Gradients that are longer are cut to this."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides first weights and every step's views."""
    device: str = "auto"
    """auto: a GPU if there is one."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """auto: bf16 where the device computes it natively."""
    compile: bool = False
    """Let torch.compile fuse the student, which takes a minute first and a C++ compiler."""
    keep_every: PositiveInt = 100
    """Steps between two states on disk, from which an interrupted run goes on."""

    @model_validator(mode="before")
    @classmethod
    def _preset_of_model(cls, tree: Any) -> Any:
        model = tree.get("model") if isinstance(tree, Mapping) else None
        if not isinstance(model, Mapping) or "preset" not in model:
            return tree
        name = model["preset"]
        if name not in MODELS:
            raise ValueError(f"model.preset {name} must be one of {', '.join(MODELS)}")
        changes = {key: value for key, value in model.items() if key != "preset"}
        return {**tree, "model": merged(MODELS[name].model_dump(mode="json"), changes)}

    @field_validator("stages")
    @classmethod
    def _some_stage(cls, stages: dict[str, StageConfig]) -> dict[str, StageConfig]:
        if not any(stage.steps for stage in stages.values()):
            raise ValueError("at least one stage must have steps")
        return stages

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.steps for stage in self.stages.values())


def is_distillation(name: str | Path) -> bool:
    """Whether ``--config`` names a preset or a TOML file that says, or whose base says, it is one of distillation.

    Raises:
        ConfigError: no such preset.
    """
    path = settings_file(name)
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return False  # whoever reads it as settings says what is wrong
    if "kind" not in tree and "extends" in tree:
        return is_distillation(path.parent / str(tree["extends"]))
    return tree.get("kind") == "distillation"


def load_distillation(name: str | Path, overrides: Mapping[str, Any] | None = None) -> DistillationConfig:
    """A preset by name, or a TOML file.

    Raises:
        ConfigError: as ``whosings.settings.load``.
    """
    return load(DistillationConfig, name, overrides)
