"""One step of distillation, by part: views, teacher, forward, backward; views a second of the encoders that ship.

Each preset of ``whosings train`` with each of its stages, in float32 and, where the device has it, in bf16; medians of
several steps. The teacher of ``default`` has the published encoder's size and random weights, which cost the same; so
does a bank of noise, for which ``--bank`` takes a real one. ``--quick`` takes few views of one second.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import measure
import numpy as np
import torch

from whosings.config import MODELS
from whosings.devices import has_bf16
from whosings.encoder.checkpoint import build, save_checkpoint
from whosings.training.distillation.bank import Bank, Clip, open_bank, to_int16, write_bank
from whosings.training.distillation.config import DistillationConfig, StageConfig, load_distillation
from whosings.training.distillation.student import Student, Teacher
from whosings.training.distillation.views import ViewMaker

PEOPLE, CLIP_S, BANDS_S = 64, 10, 300
PARTS = ("views", "teacher", "forward", "backward")


@dataclass
class Stopwatch:
    """Seconds of each part of each step."""

    device: torch.device
    seconds: dict[str, list[float]]

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure what is done in a block; on a GPU, until it is done there."""
        began = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds[name].append(time.perf_counter() - began)


def main() -> None:
    given = measure.arguments(
        __doc__,
        bank={"type": Path, "help": "folder of a bank"},
        device={"choices": ["cpu", "cuda"], "default": "cpu"},
        views={"type": int, "help": "a step; else those of the preset"},
        steps={"type": int, "default": 5},
        threads={"type": int, "default": 1},
        compile={"action": "store_true", "help": "with torch.compile"},
    )
    torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    changes: dict[str, object] = {"compile": given.compile}
    views = 4 if given.quick else given.views
    if views is not None:
        changes |= {"views.count": views, "views.count_on_cpu": views}
    if given.quick:
        changes["views.seconds"] = 1.0
    rows: list[list[object]] = []
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        bank = open_bank(given.bank) if given.bank is not None else generated(Path(folder))
        for preset in ("default", "fast"):
            teacher = plain_encoder(Path(folder) / "plain") if preset == "default" else "default"
            begin = {"begin_with.encoder": teacher} if preset == "default" else {}
            settings = load_distillation(preset, {**changes, **begin, "teacher": teacher})
            maker = ViewMaker(bank, settings.views, 0, device)
            for name, stage in settings.stages.items():
                for precision in ("float32", "bf16")[: 1 + has_bf16(device)]:
                    step = prepared(settings, stage, maker, device, precision == "bf16")
                    watch = Stopwatch(device, {part: [] for part in PARTS})
                    for number in range(1 + given.steps):
                        step(number, watch)
                    found = [median(watch.seconds[part][1:]) for part in PARTS]  # the first step prepares things
                    rate = maker.count / sum(found)
                    rows.append([f"{preset}, {name}, {precision}", rate, sum(found), *found])
                    figures[f"{preset}_{name}_{precision}_views_per_s"] = rate
                    print(f"{preset}, {name}, {precision}: {rate:.3g} views/s", flush=True)
    print(f"{maker.count} views of {maker.samples / 16_000:g} s, {given.device}, {given.threads} threads")
    measure.table(["preset, stage, precision", "views/s", "step s", *(f"{part} s" for part in PARTS)], rows)
    measure.finish("distillation_step", given.quick, views=float(maker.count), **figures)


def prepared(
    settings: DistillationConfig, stage: StageConfig, maker: ViewMaker, device: torch.device, bf16: bool
) -> Callable[[int, Stopwatch], None]:
    """One step of a stage, its optimiser included in what is called backward."""
    torch.manual_seed(0)
    teacher = Teacher(settings.teacher, bf16).to(device)
    student = Student(settings, teacher.checkpoint.dimensions, bf16).to(device).train().requires_grad_(False)
    weights = student.parts(stage.trains)
    for weight in weights:
        weight.requires_grad_(True)
    optimiser = torch.optim.AdamW(weights, lr=1e-6)
    active = stage.terms.active

    def step(number: int, watch: Stopwatch) -> None:
        with watch.part("views"):
            views = maker(number, with_others="same_person" in active)
        with watch.part("teacher"):
            told = teacher(views.voices_alone)
            of_others = None if views.others_alone is None else teacher(views.others_alone)
        with watch.part("forward"):
            terms = student(views, told, of_others, active, settings.temperature)
            loss = torch.stack([active[name] * value for name, value in terms.items()]).sum()
        with watch.part("backward"):
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, settings.gradient_norm)
            optimiser.step()

    return step


def plain_encoder(folder: Path) -> str:
    """CAM++ without a mask, with random weights."""
    torch.manual_seed(0)
    masked = MODELS["cam++"]
    config = masked.model_copy(update={"encoder": masked.encoder.model_copy(update={"mask": None})})
    save_checkpoint(folder, config, build(config), {"name": "plain"})
    return str(folder)


def generated(folder: Path) -> Bank:
    """A bank of noise."""
    rng = np.random.default_rng(0)
    clips = [Clip(f"p{n // 2}", "sung", to_int16(rng.normal(size=CLIP_S * 16_000))) for n in range(2 * PEOPLE)]
    write_bank(folder, clips, [to_int16(rng.normal(size=BANDS_S * 16_000))])
    return open_bank(folder)


if __name__ == "__main__":
    main()
