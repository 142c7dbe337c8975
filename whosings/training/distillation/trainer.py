"""A student learns to say of voices over bands what a teacher says of them alone.

What a run leaves in its folder:

- ``last/``: the student as a checkpoint, written after each stage.
- ``state/``: everything needed to go on; the same command, run again, resumes from it. A run that was interrupted ends
  with the weights of one that was not (on a CPU to the bit, on a GPU as far as the GPU repeats itself).
- ``history.json``: what the terms were, step by step.
- ``settings.json``: what the run is made of.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from whosings.devices import has_bf16, open_device
from whosings.encoder.checkpoint import save_checkpoint
from whosings.errors import TrainingError
from whosings.files import write_atomic
from whosings.training.distillation.bank import Bank
from whosings.training.distillation.config import DistillationConfig, StageConfig
from whosings.training.distillation.student import Student, Teacher
from whosings.training.distillation.views import ViewMaker
from whosings.training.state import keep, resume

_RECENT = 100  # steps over which a loss is told
_TOLD_EVERY = 20  # steps
_FREE = {"device", "precision", "compile", "keep_every"}  # settings that may change between sittings


@dataclass(frozen=True)
class DistillationResult:
    """How a run ended.

    Attributes:
        last: folder of the student.
        loss: mean of the last hundred steps of the last stage.
        steps: in all, earlier sittings included.
    """

    last: Path
    loss: float
    steps: int


def train(
    settings: DistillationConfig,
    bank: Bank,
    out: str | Path,
    facts: dict[str, Any] | None = None,
    tell: Callable[[str], None] = print,
) -> DistillationResult:
    """Train a student, or go on where an earlier sitting in ``out`` stopped.

    Args:
        facts: what the checkpoint's card should say besides: name, data, licence.
        tell: is given a line now and then.

    Raises:
        TrainingError: the teacher is missing, the student cannot learn in this way, the bank has too few people, the
            folder holds a run with other settings, or the loss is no longer finite.
        CheckpointError: a checkpoint to begin with is missing or damaged.
        ConfigError: there is no such device.
    """
    out, device = Path(out), open_device(settings.device)
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and has_bf16(device))
    teacher = Teacher(settings.teacher, bf16).to(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        student = Student(settings, teacher.checkpoint.dimensions, bf16)
    student = student.to(device).train()
    run = _Run(settings, student, teacher, ViewMaker(bank, settings.views, settings.seed, device), out, tell)
    _claim(out, settings, bank)
    card = {
        **(facts or {}),
        "teacher": {"name": teacher.checkpoint.name, "fingerprint": teacher.checkpoint.fingerprint},
        "distillation": settings.model_dump(mode="json", exclude={"model"}),
    }
    stages = [(number, name) for number, (name, stage) in enumerate(settings.stages.items()) if stage.steps]
    with _fastest_kernels():
        for number, name in stages:
            if run.learn(number, name) or (number, name) == stages[-1]:
                facts = {**card, "steps": len(run.history)}
                save_checkpoint(out / "last", settings.model, student.encoder, facts)
    last = settings.stages[stages[-1][1]].steps  # other stages have other terms
    losses = [row["loss"] for row in run.history[-min(last, _RECENT) :]]
    return DistillationResult(out / "last", sum(losses) / len(losses), len(run.history))


class _Run:
    """A student on its way through the stages, and the steps behind it.

    Attributes:
        history: a row a step: its number, the loss, each term.
    """

    def __init__(
        self,
        settings: DistillationConfig,
        student: Student,
        teacher: Teacher,
        maker: ViewMaker,
        out: Path,
        tell: Callable[[str], None],
    ) -> None:
        self._settings, self._student, self._teacher, self._maker = settings, student, teacher, maker
        self._out, self._tell = out, tell
        self._pending: list[dict[str, Tensor]] = []
        self.history: list[dict[str, float]] = []
        written = out / "history.json"
        if written.exists():
            self.history = json.loads(written.read_text())

    def learn(self, number: int, name: str) -> bool:
        """One stage, from where it was left; returns whether there was anything left to do."""
        settings, stage = self._settings, self._settings.stages[name]
        weights = self._student.parts(stage.trains)
        self._student.requires_grad_(False)
        for weight in weights:
            weight.requires_grad_(True)
        optimiser = torch.optim.AdamW(weights, lr=stage.learning_rate, weight_decay=settings.weight_decay)
        parts: dict[str, nn.Module] = {"encoder": self._student.encoder, "projector": self._student.projector}
        state = self._out / "state" / f"{number + 1}-{name}.pt"
        done = resume(state, optimiser, next(self._student.parameters()).device, **parts)
        first = sum(earlier.steps for earlier in list(settings.stages.values())[:number])
        if done < stage.steps:
            del self.history[first + done :]  # what came after the last state comes again
        began = time.monotonic()
        for step in range(done, stage.steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(stage, step)
            loss = self._loss(first + step, stage)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights, settings.gradient_norm)
            optimiser.step()
            last = step + 1 == stage.steps
            kept = last or (step + 1) % settings.keep_every == 0
            told = kept or (step + 1) % _TOLD_EVERY == 0
            if told:
                self._note(stage)
            if kept:
                write_atomic(self._out / "history.json", json.dumps(self.history))
                keep(state, step + 1, optimiser, **parts)
            if told:
                speed = (step + 1 - done) * self._maker.count / (time.monotonic() - began)
                self._tell(f"{name}, step {step + 1} of {stage.steps}: {self._recent(first)}; {speed:.3g} views/s")
        return done < stage.steps

    def _loss(self, step: int, stage: StageConfig) -> Tensor:
        """Loss of one step: the sum of all terms by their weights."""
        active = stage.terms.active
        views = self._maker(step, with_others="same_person" in active)
        told, told_of_others = self._teacher(views.voices_alone), None
        if views.others_alone is not None:
            told_of_others = self._teacher(views.others_alone)
        found = self._student(views, told, told_of_others, active, self._settings.temperature)
        if not found:
            raise TrainingError("a stage", "has no term with a weight", "set one in the stage's terms")
        self._pending.append({term: value.detach() for term, value in found.items()})
        return torch.stack([active[term] * value for term, value in found.items()]).sum()

    def _note(self, stage: StageConfig) -> None:
        """Rows of the steps since the last time: only here does anything wait for the device."""
        active = stage.terms.active
        values = torch.stack([torch.stack(list(row.values())) for row in self._pending]).double().tolist()
        for row, names in zip(values, self._pending, strict=True):
            terms = dict(zip(names, row, strict=True))
            step = len(self.history) + 1
            loss = sum(active[term] * value for term, value in terms.items())
            if not math.isfinite(loss):
                remedy = "lower the stage's learning_rate, and begin anew in another folder"
                raise TrainingError(self._out, f"the loss of step {step} is not finite", remedy)
            self.history.append({"step": step, "loss": loss, **terms})
        self._pending.clear()

    def _recent(self, first: int) -> str:
        """Means over the last steps of a stage."""
        rows = self.history[first:][-_RECENT:]
        names = [name for name in rows[-1] if name != "step"]
        return ", ".join(f"{name} {sum(row[name] for row in rows) / len(rows):.4f}" for name in names)


@contextmanager
def _fastest_kernels() -> Iterator[None]:
    """Let cuDNN try which kernels are fast: it pays, because shapes do not change from step to step."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def learning_rate(stage: StageConfig, step: int) -> float:
    """Learning rate of a step of a stage, counted from 0: it rises in a straight line and falls by half a cosine."""
    rise = min(1.0, (step + 1) / max(1, stage.warm_up))
    return stage.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / stage.steps))


def _claim(out: Path, settings: DistillationConfig, bank: Bank) -> None:
    """A folder belongs to one run on one bank; where and how fast it goes may change between sittings."""
    held = {"clips": int(bank.lengths.size), "samples": int(bank.voices.size), "bands": int(bank.bands.size)}
    text = json.dumps({"settings": settings.model_dump(mode="json", exclude=_FREE), "bank": held}, indent=2) + "\n"
    written = out / "settings.json"
    if written.exists() and written.read_text() != text and any(out.glob("state/*.pt")):
        problem = "holds a run with other settings or another bank"
        raise TrainingError(out, problem, "use another folder, or what that run had")
    write_atomic(written, text)
