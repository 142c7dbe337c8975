"""Random studio effects on a batch of views: all at once in torch, against one view after another with SciPy and soxr.

The usual way does the effects that it has ready-made: speed, equaliser, echo, room, compression, saturation, band
limits, noise, level, each with the same chance. Ours is timed with those alone, with all its effects, and one by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import measure
import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from scipy import signal

from whosings.audio import SAMPLE_RATE
from whosings.training.contrastive.augment import Chances, augment, produce

Array = NDArray[np.float64]
VIEWS, SECONDS, SEED = 128, 3.0, 0
NOTHING = Chances(**dict.fromkeys(vars(Chances()), 0.0))
LEFT_OUT = ("pitch", "formants", "correction", "vocoder", "phases", "codec")


def main() -> None:
    given = measure.arguments(__doc__, threads={"type": int, "default": 1}, device={"default": "cpu"})
    torch.set_num_threads(given.threads)
    views, repeats = (16, 3) if given.quick else (VIEWS, 9)
    rng = np.random.default_rng(SEED)
    waves = voices(views, rng)
    batch = torch.from_numpy(waves[:, None].astype(np.float32)).to(given.device)
    bands, levels = batch.flip(0), torch.zeros(views, device=given.device)
    shared = replace(Chances(), **dict.fromkeys(LEFT_OUT, 0.0))

    def ours(chances: Chances, some: int = views) -> None:
        augment(batch[:some], np.random.default_rng(SEED), chances)
        wait(given.device)

    def over_bands() -> None:
        produce(batch, bands, levels, np.random.default_rng(SEED))
        wait(given.device)

    seconds = measure.interleaved(
        {
            "ours": partial(ours, shared),
            "usual": lambda: [usual(wave, np.random.default_rng([SEED, n]), shared) for n, wave in enumerate(waves)],
            "ours, every effect": partial(ours, Chances()),
            "ours, voices over bands": over_bands,
        },
        repeats,
    )
    few = min(16, views)
    none = processor_s(partial(ours, NOTHING, few), repeats) / few
    alone = {}  # a view that gets the effect
    for name in vars(NOTHING):
        alone[name] = processor_s(partial(ours, replace(NOTHING, **{name: 1.0}), few), repeats) / few - none
    every, over = (processor_s(call, repeats) for call in (partial(ours, Chances()), over_bands))
    print(f"{views} views of {SECONDS:g} s, {given.device}, {given.threads} threads, default chances")
    measure.table(("way", "ms", "ms a view"), [(name, 1e3 * s, 1e3 * s / views) for name, s in seconds.items()])
    rows = [
        (name, chance, 1e3 * alone[name], 1e3 * alone[name] * chance * views)
        for name, chance in vars(Chances()).items()
    ]
    print("Processor time, the least of some calls:")
    measure.table(
        ("effect", "chance", "ms a view", "ms a batch"), [("none", 1.0, 1e3 * none, 1e3 * none * views), *rows]
    )
    measure.finish(
        "augment",
        given.quick,
        time_ratio=seconds["usual"] / seconds["ours"],
        every_effect_s=seconds["ours, every effect"],
        every_effect_processor_s=every,
        over_bands_s=seconds["ours, voices over bands"],
        over_bands_processor_s=over,
    )


def voices(views: int, rng: np.random.Generator) -> Array:
    """Noise with a voice's slope that comes and goes: (views, samples)."""
    noise = signal.lfilter([1.0], [1.0, -0.9], rng.standard_normal((views, round(SECONDS * SAMPLE_RATE))), axis=1)
    swell = np.sin(np.linspace(0, 4 * np.pi, noise.shape[1])) ** 2
    return np.asarray(0.8 * noise * swell / np.abs(noise).max(axis=1, keepdims=True))


def usual(wave: Array, rng: np.random.Generator, chances: Chances) -> Array:
    """One view, effect by effect."""
    samples = wave.size
    if rng.random() < chances.speed:
        wave = np.resize(soxr.resample(wave, SAMPLE_RATE * 2 ** (rng.uniform(-0.7, 0.7) / 12), SAMPLE_RATE), samples)
    if rng.random() < chances.compression:
        follower = np.sqrt(signal.lfilter([0.002], [1.0, -0.998], wave**2))
        over_db = 20 * np.log10(np.maximum(follower, 1e-9) / follower.max()) + rng.uniform(6, 24)
        wave = wave * 10 ** (-np.maximum(over_db, 0) * (1 - 1 / rng.uniform(1.5, 6)) / 20)
    if rng.random() < chances.equaliser:
        knots = np.concatenate([[0], np.geomspace(60, 8000, 9)])
        gains = 10 ** (np.cumsum(rng.normal(0, 2, 10)) / 20)
        wave = signal.fftconvolve(wave, signal.firwin2(1025, knots, gains, fs=SAMPLE_RATE), mode="same")
    if rng.random() < chances.echo:
        delay, level = round(rng.uniform(0.08, 0.45) * SAMPLE_RATE), rng.uniform(0.1, 0.5)
        late = wave.copy()
        for repeat in range(1, 4):
            if repeat * delay < samples:
                late[repeat * delay :] += level**repeat * wave[: -repeat * delay]
        wave = late
    if rng.random() < chances.room:
        length = int(rng.integers(800, 8192))
        tail = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
        tail *= rng.uniform(0.05, 0.6) / np.sqrt(np.sum(tail**2))
        wave = wave + signal.fftconvolve(wave, tail)[:samples]
    if rng.random() < chances.saturation:
        peak, drive = np.abs(wave).max(), rng.uniform(1, 5)
        wave = np.tanh(wave * drive / peak) / np.tanh(drive) * peak
    if rng.random() < chances.low_cut:
        wave = signal.sosfilt(signal.butter(2, rng.uniform(60, 300), "high", fs=SAMPLE_RATE, output="sos"), wave)
    if rng.random() < chances.high_cut:
        wave = signal.sosfilt(signal.butter(16, rng.uniform(3000, 7500), fs=SAMPLE_RATE, output="sos"), wave)
    if rng.random() < chances.noise:
        wave = wave + rng.standard_normal(samples) * np.abs(wave).max() * 10 ** (rng.uniform(-80, -35) / 20)
    if rng.random() < chances.level:
        wave = wave * 10 ** (rng.uniform(-20, 3) / 20)
    return np.asarray(wave / max(1.0, float(np.abs(wave).max())))


def processor_s(call: Callable[[], None], repeats: int) -> float:
    """The least of some calls, in seconds of processor time: small differences drown in other programs' noise."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        seconds.append(time.process_time() - began)
    return min(seconds)


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
