"""One training step of the paper's size: seconds and peak memory, plain and in chunks, float32 and bf16.

Small encoder, 128 pairs of 6-second segments: log-mel, forward, NT-Xent, backward, Adam. Each way runs once, in a
process of its own. ``--quick`` takes the tiny encoder.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import measure
import torch

from whosings.config import MODELS, Settings, TrainingConfig

CHUNK = 16
WAYS: dict[str, tuple[str, int]] = {
    "plain float32": ("float32", 0),
    "plain bf16": ("bf16", 0),
    "chunked float32": ("float32", CHUNK),
    "chunked bf16": ("bf16", CHUNK),
}


def main() -> None:
    given = measure.arguments(
        __doc__,
        threads={"type": int, "default": 2},
        ways={"nargs": "+", "choices": list(WAYS), "default": list(WAYS)},
        preset={"choices": list(MODELS), "default": "small"},
    )
    preset = "tiny" if given.quick else given.preset
    costs: dict[str, measure.Cost] = {}
    for name in given.ways:
        costs[name] = measure.in_child(prepare, preset, *WAYS[name], given.threads)
        print(f"{name}: {costs[name].result[1]:.1f} s, {costs[name].extra_mb / 1e3:.2f} GB", flush=True)
    default = TrainingConfig()
    usual = ("bf16" if default.precision == "bf16" else "float32", CHUNK)  # what "auto" means on a CPU
    rows: list[list[object]] = []
    for name, cost in costs.items():
        loss, seconds = cost.result
        rows.append([name, seconds, cost.extra_mb / 1e3, loss, "default on CPUs" if WAYS[name] == usual else ""])
    print(f"{preset} encoder, {default.batch_pairs} pairs, chunks of {CHUNK} views, {given.threads} threads")
    measure.table(["way", "seconds", "extra memory GB", "loss", ""], rows)
    figures: dict[str, float] = {}
    for name, cost in costs.items():
        figures[name.replace(" ", "_") + "_s"] = cost.result[1]
        figures[name.replace(" ", "_") + "_mb"] = cost.extra_mb
    for precision in ("float32", "bf16"):
        plain, chunked = costs.get(f"plain {precision}"), costs.get(f"chunked {precision}")
        if plain is not None and chunked is not None:
            figures[f"memory_ratio_{precision}"] = plain.extra_mb / chunked.extra_mb
            figures[f"time_ratio_{precision}"] = plain.result[1] / chunked.result[1]
    measure.finish("training_step", given.quick, preset=preset, **figures)


def prepare(preset: str, precision: str, chunk: int, threads: int) -> Callable[[], tuple[float, float]]:
    """For a process of its own: a module and a batch; the step that is measured returns its loss and its seconds."""
    from whosings.contrastive.training import ContrastiveModule

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    settings = Settings(model=MODELS[preset], training=TrainingConfig(chunk=chunk))
    module = ContrastiveModule(settings).train()
    optimizer = module.configure_optimizers()["optimizer"]
    front_end = settings.model.front_end
    batch = torch.randn(settings.training.batch_pairs, 2, front_end.channels, front_end.samples)

    def step() -> tuple[float, float]:
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            optimizer.zero_grad()
            views = batch.transpose(0, 1).flatten(0, 1)
            loss = module._whole(views) if chunk == 0 else module._chunked(views, chunk)
            optimizer.step()
        return float(loss), time.perf_counter() - began

    return step


if __name__ == "__main__":
    main()
