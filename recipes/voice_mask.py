"""How the default encoder learns what is voice: mixtures of known parts, of which it gives each bin's share of voice.

    python recipes/voice_mask.py --out runs/default   # after `default_encoder.py bank`; run again, it goes on

A view is some seconds of any voice of the bank over one or two of its bands, at other speeds and through effects of
their own, then through those of a record. The network sees the record; it is told the power of voice and band in each
bin of the log-mel spectrogram. No names and no real singing take part, and bands may be no one's. What it learned is
`out/mask.pt`; `default_encoder.py train` puts it before the encoder.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from on_disk import keep, resume
from together import average, spread
from torch import Tensor
from voice_bank import Bank, crop, paused, played, start, tape

from whosings.audio import SAMPLE_RATE
from whosings.config import MODELS, FrontEndConfig, MaskConfig
from whosings.contrastive.augment import Record, record
from whosings.encoder.masking import VoiceMask
from whosings.spectrogram import LogMel

LOUDEST_DB, SOFTEST_DB = 12.0, -8.0  # of a voice over its band
HEARD = -14.0  # log-mel under which there is nothing to tell


@dataclass(frozen=True)
class Lessons:
    """How long and on how much the mask learns."""

    steps: int = 1100
    views: int = 64
    seconds: float = 2.5
    alone: float = 0.12
    peak_rate: float = 2e-3
    processes: int = 2
    seed: int = 0


def mixtures(bank: Bank, lessons: Lessons, rng: np.random.Generator, views: int) -> Record:
    """Voices over bands that were sped up or slowed down by up to a third, (views, 1, samples)."""
    samples = round(lessons.seconds * SAMPLE_RATE)
    voices, bands = [], []
    for _ in range(views):
        clip = bank.clips[int(rng.integers(len(bank.clips)))]
        voices.append(crop(clip, start(clip, samples, rng), samples, rng))
        bands.append(tape(bank, samples, 0.0, rng))
    level = np.where(rng.random(views) < lessons.alone, np.inf, rng.uniform(SOFTEST_DB, LOUDEST_DB, views))
    return record(paused(tensor(voices), rng), played(tensor(bands), rng), torch.from_numpy(level), rng)


def tensor(waves: list[NDArray[np.float32]]) -> Tensor:
    """(views, 1, samples)"""
    return torch.from_numpy(np.stack(waves))[:, None]


@dataclass(frozen=True)
class Shares:
    """What the network sees, and what it is told.

    Attributes:
        heard: log-mel of the records, as an encoder gets it, (views, 1, 128, frames).
        share: of each bin's power that is voice, 0 to 1.
        audible: 1 where anything is heard, 0 elsewhere.
    """

    heard: Tensor
    share: Tensor
    audible: Tensor

    def loss(self, logits: Tensor) -> Tensor:
        """Cross-entropy between shares and what the network says, over what is heard."""
        each = F.binary_cross_entropy_with_logits(logits, self.share, self.audible, reduction="sum")
        return each / self.audible.sum().clamp(min=1)


@torch.no_grad()
def as_heard(waves: Tensor, front: LogMel) -> Tensor:
    """Log-mel of waves, (views, 1, samples), as an encoder gets it."""
    return front(waves / waves.abs().amax(dim=2, keepdim=True).clamp(min=1e-9))  # as `conform` does


@torch.no_grad()
def shares(made: Record, front: LogMel) -> Shares:
    heard, voice, band = as_heard(made.waves, front), front(made.voice), front(made.band)
    return Shares(heard, torch.sigmoid(voice - band), (heard > HEARD).float())


def learn(rank: int, processes: int, folder: Path, lessons: Lessons) -> None:
    """Train, or go on where ``folder/mask.pt`` stopped."""
    bank = Bank.load(folder)
    torch.manual_seed(lessons.seed)
    config = FrontEndConfig(channels=MODELS["compact"].front_end.channels)
    front, mask = LogMel(config), VoiceMask(MaskConfig(), config)
    optimiser = torch.optim.AdamW(mask.parameters(), lr=lessons.peak_rate, weight_decay=0.01)
    step = resume(folder / "mask.pt", optimiser, mask=mask)
    begin, log = time.monotonic(), []
    while step < lessons.steps:
        rate = min(1.0, (step + 1) / 50) * (0.02 + 0.98 * (1 - step / lessons.steps))
        for group in optimiser.param_groups:
            group["lr"] = lessons.peak_rate * rate
        rng = np.random.default_rng([17, lessons.seed, step, rank])
        told = shares(mixtures(bank, lessons, rng, lessons.views // processes), front)
        loss = told.loss(mask.logits(told.heard))
        optimiser.zero_grad()
        loss.backward()
        average(mask.parameters(), processes)
        torch.nn.utils.clip_grad_norm_(mask.parameters(), 1.0)
        optimiser.step()
        step += 1
        log.append(loss.item())
        if rank == 0 and (step % 50 == 0 or step == lessons.steps):
            print(step, f"{(time.monotonic() - begin) / 60:.1f} min", round(float(np.mean(log[-50:])), 4), flush=True)
            keep(folder / "mask.pt", step, optimiser, mask=mask)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the bank")
    parser.add_argument("--steps", type=int, default=Lessons.steps)
    parser.add_argument("--views", type=int, default=Lessons.views, help="of a step")
    parser.add_argument("--processes", type=int, default=Lessons.processes)
    given = parser.parse_args()
    lessons = Lessons(given.steps, given.views, processes=given.processes)
    spread(lessons.processes, learn, given.out, lessons)


if __name__ == "__main__":
    main()
