"""A toy bank, and tiny encoders that teach and learn."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tests.conftest import RATE
from whosings.config import (
    CampplusConfig,
    ConvolutionalConfig,
    FilterbankConfig,
    FrontEndConfig,
    MaskConfig,
    ModelConfig,
)
from whosings.encoder.checkpoint import build, save_checkpoint
from whosings.training.distillation.bank import Bank, Clip, open_bank, to_int16, write_bank
from whosings.training.distillation.config import DistillationConfig

MASK = MaskConfig(channels=(2, 3, 4), width=8, blocks=1, relative=True, weighs_frames=True)
TEACHER = ModelConfig(
    front_end=FilterbankConfig(mel_bins=16),
    encoder=CampplusConfig(channels=4, width=8, layers=(2, 2), dilations=(1, 2), growth=4, bottleneck=8, embedding=5),
)
STUDENT = TEACHER.model_copy(update={"encoder": TEACHER.encoder.model_copy(update={"mask": MASK})})
COMPACT = ModelConfig(
    front_end=FrontEndConfig(channels=1, segment_s=1.0, mel_bins=32),
    encoder=ConvolutionalConfig(stem=(2, 3), width=6, blocks=1, kernel=3, embedding=5, mask=MASK),
)


def tone(hertz: float, seconds: float) -> NDArray[np.float64]:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def voice(person: int, number: int, seconds: float) -> NDArray[np.int16]:
    """Harmonics under one resonance, where the person's is, on a pitch that changes from clip to clip."""
    pitch, centre = 150.0 + 17 * number, 400.0 * 1.3**person
    harmonics = np.arange(1, 40) * pitch
    harmonics = harmonics[harmonics < RATE / 2]
    gains = 0.01 + np.exp(-(np.log(harmonics / centre) ** 2) * 8)
    return to_int16(sum(gain * tone(hertz, seconds) for hertz, gain in zip(harmonics, gains, strict=True)))


def toy_clips(people: int = 4, clips: int = 2, seconds: float = 1.5) -> list[Clip]:
    return [
        Clip(f"person-{person}", "sung" if number else "speech", voice(person, number, seconds + 0.25 * number))
        for person in range(people)
        for number in range(clips)
    ]


def toy_bank(folder: Path, people: int = 4) -> Bank:
    noise = np.random.default_rng(0).normal(size=4 * RATE)
    write_bank(folder, toy_clips(people), [to_int16(noise[:RATE]), to_int16(noise[RATE:])])
    return open_bank(folder)


def saved(folder: Path, config: ModelConfig = TEACHER, seed: int = 0) -> str:
    torch.manual_seed(seed)
    save_checkpoint(folder, config, build(config), {"name": folder.name})
    return str(folder)


def toy_settings(teacher: str, model: ModelConfig = STUDENT, **changes: object) -> DistillationConfig:
    """Half-second views, six of them, one stage of two steps unless told otherwise."""
    tree = {
        "model": model.model_dump(mode="json"),
        "teacher": teacher,
        "stages": {"all": {"steps": 2, "learning_rate": 1e-3}},
        "views": {"count_on_cpu": 6, "seconds": 0.5},
        "device": "cpu",
        "precision": "float32",
        **changes,
    }
    return DistillationConfig.model_validate(tree)
