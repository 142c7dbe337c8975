"""One training step of the paper's size: seconds, peak memory, share of the device's peak; plain, in chunks, compiled.

Small encoder, 128 pairs of 6-second segments: log-mel, forward, NT-Xent, backward, Adam. Each way runs in a process of
its own, once; on GPUs, and compiled, after three steps that do not count. The share is that of matrix products and
convolutions a second, counted once, in what the device reaches in one large matrix product of the same precision.
``--quick`` takes the tiny encoder.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import measure
import torch
from torch.utils.flop_counter import FlopCounterMode

from whosings.config import MODELS, Settings, TrainingConfig

CHUNK = 16
WAYS: dict[str, tuple[str, int, bool]] = {
    "plain float32": ("float32", 0, False),
    "plain bf16": ("bf16", 0, False),
    "chunked float32": ("float32", CHUNK, False),
    "chunked bf16": ("bf16", CHUNK, False),
    "compiled bf16": ("bf16", 0, True),
}


def main() -> None:
    given = measure.arguments(
        __doc__,
        threads={"type": int, "default": 2},
        ways={"nargs": "+", "choices": list(WAYS), "default": [way for way in WAYS if "compiled" not in way]},
        preset={"choices": list(MODELS), "default": "small"},
        device={"choices": ["cpu", "cuda"], "default": "cpu"},
    )
    preset = "tiny" if given.quick else given.preset
    operations = step_operations(preset)
    peak = {precision: matrix_rate(precision, given.device, given.threads) for precision in ("float32", "bf16")}
    costs: dict[str, measure.Cost] = {}
    shares: dict[str, float] = {}
    for name in given.ways:
        costs[name] = measure.in_child(prepare, preset, *WAYS[name], given.threads, given.device)
        seconds = costs[name].result[1]
        shares[name] = operations / seconds / peak[WAYS[name][0]]
        print(f"{name}: {seconds:.3g} s, {shares[name]:.0%} of peak, {costs[name].extra_mb / 1e3:.2f} GB", flush=True)
    default = TrainingConfig()
    usual = ("bf16" if default.precision == "bf16" else "float32", CHUNK, False)  # what "auto" means on a CPU
    rows: list[list[object]] = []
    figures: dict[str, float] = {}
    for name, cost in costs.items():
        loss, seconds = cost.result
        figures[name.replace(" ", "_") + "_peak_share"] = shares[name]
        note = "default on CPUs" if WAYS[name] == usual else ""
        rows.append([name, seconds, 2 * default.batch_pairs / seconds, shares[name], cost.extra_mb / 1e3, loss, note])
    where = f"{given.device}, {given.threads} threads"
    print(f"{preset} encoder, {default.batch_pairs} pairs, chunks of {CHUNK} views, {where}")
    measure.table(["way", "seconds", "segments/s", "share of peak", "extra memory GB", "loss", ""], rows)
    for name, cost in costs.items():
        figures[name.replace(" ", "_") + "_s"] = cost.result[1]
        figures[name.replace(" ", "_") + "_mb"] = cost.extra_mb
    for precision in ("float32", "bf16"):
        plain, chunked = costs.get(f"plain {precision}"), costs.get(f"chunked {precision}")
        if plain is not None and chunked is not None:
            figures[f"memory_ratio_{precision}"] = plain.extra_mb / chunked.extra_mb
            figures[f"time_ratio_{precision}"] = plain.result[1] / chunked.result[1]
    measure.finish("training_step", given.quick, preset=preset, **figures)


def prepare(
    preset: str, precision: str, chunk: int, compiled: bool, threads: int, device: str
) -> Callable[[], tuple[float, float]]:
    """For a process of its own: a module and a batch; the step that is measured returns its loss and its seconds."""
    from whosings.training.contrastive.trainer import ContrastiveModule

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    settings = Settings(model=MODELS[preset], training=TrainingConfig(chunk=chunk, compile=compiled))
    module = ContrastiveModule(settings).train().to(device)
    optimizer = module.configure_optimizers()["optimizer"]
    front_end = settings.model.front_end
    batch = torch.randn(settings.training.batch_pairs, 2, front_end.channels, front_end.samples, device=device)

    def step() -> tuple[float, float]:
        began = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            optimizer.zero_grad()
            views = batch.transpose(0, 1).flatten(0, 1)
            loss = module._whole(views) if chunk == 0 else module._chunked(views, chunk)
            optimizer.step()
        return float(loss), time.perf_counter() - began  # reading the loss waits for the device

    for _ in range(3 if compiled or device != "cpu" else 0):
        step()
    return step


def step_operations(preset: str) -> float:
    """Floating-point operations of one step: forward and backward of the whole batch, without doing parts twice."""
    from whosings.encoder.checkpoint import build

    config = MODELS[preset]
    views = torch.randn(4, config.front_end.channels, config.front_end.mel_bins, config.front_end.frames)
    encoder = build(config).train()
    with FlopCounterMode(display=False) as counter:
        encoder(views).sum().backward()
    return counter.get_total_flops() * 2 * TrainingConfig().batch_pairs / len(views)


def matrix_rate(precision: str, device: str, threads: int) -> float:
    """Operations a second of a large matrix product, the best of several."""
    torch.set_num_threads(threads)
    size = 8192 if device == "cuda" else 2048
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        (left @ right)[0, 0].item()
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


if __name__ == "__main__":
    main()
