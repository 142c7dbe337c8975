"""Hard cases for the vocal activity network: how often it hears singing in voices and bands that did not train.

`python recipes/vocal_activity.py report` prints them, piece by piece, at the threshold that ships.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from whosings.audio import SAMPLE_RATE
from whosings.training.activity import (
    TRANSFORM,
    VIEW,
    VOICES,
    Bank,
    Samples,
    crop,
    draw_band,
    draw_voice,
    filtered,
    frame_levels,
    produce_voice,
)
from whosings.vocals.detector import ActivityDetector

LEVEL = np.float32(0.1)


def report(out: Path, weights: Path, views: int) -> None:
    bank, detector = Bank.load(out / "held.npz"), ActivityDetector(weights)
    rng = np.random.default_rng(3)

    def tell(name: str, make: Callable[[], Samples]) -> None:
        found = [detector(make()[None]).probability >= 0.5 for _ in range(views)]
        print(f"  {name:28} {np.mean(found):.0%}")

    print("heard as singing, of pieces with a voice (over a band at -3 to 6 dB unless said)")
    for kind in VOICES:
        tell(kind, partial(over_band, bank, kind, rng))
        tell(f"{kind}, a cappella", partial(a_cappella, bank, kind, rng))
    tell("a cathedral, a cappella", partial(in_a_cathedral, bank, rng))
    print("heard as singing, of pieces without one")
    for kind in dict.fromkeys(clip.kind for clip in bank.bands):
        tell(kind, partial(played, bank, kind, rng))
    tell("silence", lambda: np.zeros(VIEW, np.float32))
    tell("noise", lambda: rng.standard_normal(VIEW, dtype=np.float32) * LEVEL)


def voiced(bank: Bank, kind: str, rng: np.random.Generator) -> Samples:
    """A voice that sounds nearly throughout, at a standard deviation of 1: clips have rests, too."""
    while True:
        voice = produce_voice(draw_voice(bank, kind, rng), rng)
        levels = frame_levels(voice)
        if np.mean(levels > np.percentile(levels, 95) * 10 ** (-28 / 20)) > 0.8:
            return np.asarray(voice / np.float32(voice.std()))


def over_band(bank: Bank, kind: str, rng: np.random.Generator) -> Samples:
    band = draw_band(bank, rng)
    return (voiced(bank, kind, rng) * np.float32(10 ** (rng.uniform(-3, 6) / 20)) + band) * LEVEL


def a_cappella(bank: Bank, kind: str, rng: np.random.Generator) -> Samples:
    return voiced(bank, kind, rng) * LEVEL


def in_a_cathedral(bank: Bank, rng: np.random.Generator) -> Samples:
    time_s = np.arange(SAMPLE_RATE * 3) / SAMPLE_RATE
    tail = rng.standard_normal(time_s.size) * np.exp(-time_s / 0.45)
    response = torch.fft.rfft(torch.from_numpy((tail / np.sqrt(np.sum(tail**2))).astype(np.float32)), TRANSFORM)
    return LEVEL * filtered(voiced(bank, "singing", rng), response)


def played(bank: Bank, kind: str, rng: np.random.Generator) -> Samples:
    clips = [clip for clip in bank.bands if clip.kind == kind]
    return crop(clips[int(rng.integers(len(clips)))].samples, rng)
