"""Training of the second opinion's network (``whosings.opinion``), on natural voices against processed ones.

A run's folder holds the banks ``train.npz``, ``held.npz`` and perhaps ``singing.npz`` (measured only), the views, to go
on from ``state.pt``, and ``heard.json``, what ``export`` measured.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from whosings.encoder.voice_share import VoiceShare
from whosings.errors import TrainingError
from whosings.files import write_atomic
from whosings.opinion import ArtefactNetwork, Scale, SecondOpinion, save_opinion
from whosings.training.opinion_bank import NATURAL, Bank, Tell
from whosings.training.opinion_rates import SPEECH, Heard, Listen, Recording, fit_scale, heard, of_bank, of_files
from whosings.training.opinion_views import Views
from whosings.training.state import keep, resume


def train(
    folder: Path,
    steps: int,
    batch: int,
    peak_rate: float,
    begin: Path | None = None,
    tell: Tell = print,
) -> None:
    """Train a network in a run's folder, or go on where an earlier sitting stopped.

    Args:
        steps: in all; a run that has them already stays as it is.
        batch: views of a step.
        peak_rate: learning rate after the warm-up of 30 steps; from there it falls by a cosine.
        begin: weights of a network that a new run begins with.
        tell: is given a line every fifty steps.

    Raises:
        TrainingError: the views or the state are missing or damaged.
        CheckpointError: ``begin`` is missing or damaged.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ArtefactNetwork()
        if begin is not None:
            network.load_state_dict(SecondOpinion(begin).network.state_dict())
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter faster on CPUs
        optimiser = torch.optim.AdamW(network.parameters(), lr=peak_rate, weight_decay=0.02)
        step = resume(folder / "state.pt", optimiser, network=network)
        views = Views.load(folder)
        began, mean = time.monotonic(), math.nan
        while step < steps:
            rate = min(1.0, (step + 1) / 30) * (0.01 + 0.495 * (1 + math.cos(math.pi * step / steps)))
            for group in optimiser.param_groups:
                group["lr"] = peak_rate * rate
            drawn = views.batch(step, batch)
            loss = F.binary_cross_entropy_with_logits(network(drawn.waves), 0.96 * drawn.truth + 0.02)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            step += 1
            mean = loss.item() if math.isnan(mean) else 0.96 * mean + 0.04 * loss.item()
            if step % 50 == 0 or step == steps:
                tell(f"{step} loss {mean:.4f} {time.monotonic() - began:.0f} s")
                keep(folder / "state.pt", step, optimiser, network=network)


@dataclass(frozen=True)
class Materials:
    """What is measured beside a run's banks: folders, or None where there is nothing.

    Attributes:
        songs: real songs, taken to be natural.
        clones: clones of a choir, one folder a method.
        voices: what speech synthesis made, one folder a system.
    """

    songs: Path | None = None
    clones: Path | None = None
    voices: Path | None = None


SOUND_FILES = ("*.mp3", "*.flac", "*.opus", "*.wav")
CLONES, VOICES = "clones of a choir", "speech synthesis"


def recordings(folder: Path, materials: Materials) -> Iterator[Recording]:
    """All that did not train: held-out speakers, singing, songs, clones, synthetic voices.

    Raises:
        TrainingError: a bank is missing or damaged.
        AudioError: a recording cannot be read.
    """
    alone = VoiceShare().alone
    for name, group in (("held", SPEECH), ("singing", "singing")):
        if (folder / f"{name}.npz").exists():
            yield from of_bank(group, Bank.load(folder / f"{name}.npz"), alone)
    if materials.songs is not None:
        yield from of_files("songs", NATURAL, _sounds(materials.songs))
    for group, parent in ((CLONES, materials.clones), (VOICES, materials.voices)):
        for kind in sorted(p for p in parent.iterdir() if p.is_dir()) if parent is not None else ():
            yield from of_files(group, kind.name, _sounds(kind))


def listener(opinion: SecondOpinion) -> Listen:
    """A recording's segments -> their mean logit."""
    return lambda segments: float(opinion.logits(segments).mean())


def export(folder: Path, to: Path, materials: Materials, facts: dict[str, object]) -> dict[str, object]:
    """Write a run's network as ``SecondOpinion`` reads it, with a scale fitted and measured on what did not train.

    Args:
        facts: what the card should say besides: name, data, licence.

    Returns:
        The card, with the number of steps.

    Raises:
        TrainingError: the run has no network yet, or one of its files is damaged.
        AudioError: a recording cannot be read.
    """
    network = ArtefactNetwork()
    step = resume(folder / "state.pt", torch.optim.AdamW(network.parameters()), network=network)
    if not step:
        raise TrainingError(folder, "holds no network", "train one first")
    save_opinion(folder / "unmeasured.safetensors", network, Scale(), {})
    rows = heard(listener(SecondOpinion(folder / "unmeasured.safetensors")), recordings(folder, materials))
    write_atomic(folder / "heard.json", json.dumps([asdict(row) for row in rows]))
    card = {**facts, "steps": step}
    save_opinion(to, network, fit_scale(rows), card)
    return card


def read_heard(folder: Path) -> list[Heard]:
    """What ``export`` heard.

    Raises:
        TrainingError: nothing yet, or the file is damaged.
    """
    try:
        return [Heard(**row) for row in json.loads((folder / "heard.json").read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(folder / "heard.json", "holds no measurement", "export the run first") from error


def _sounds(folder: Path) -> list[Path]:
    return sorted(path for pattern in SOUND_FILES for path in folder.glob(pattern))
