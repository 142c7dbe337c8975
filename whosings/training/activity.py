"""Training of the network that hears singing (``whosings.vocals.detector``), on voices laid over bands.

Conventions
-----------
- Sound is mono at 16 kHz: int16 in a bank, float32 in a view. A *view* is six seconds, (``VIEW``,).
- Labels are 0 or 1 every 50 ms, (``FRAMES``,): a frame is vocal if the voice sounds there (within 28 dB of its loud
  level) and is not buried under the band (16 dB or more). A 3-second *piece* is vocal if a third of its frames are.
- Everything is drawn from NumPy generators in a fixed order: a seed gives the same views on every machine.
- A run's folder holds the banks ``train.npz`` and ``held.npz``, which share no speaker, score or band, and, to go on
  from, ``state.pt``.
"""

from __future__ import annotations

import math
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from whosings.audio import SAMPLE_RATE
from whosings.errors import MissingExtraError, TrainingError
from whosings.files import atomic
from whosings.spectrogram import LogMel
from whosings.training.state import keep, resume
from whosings.vocals.activity import PIECE_S
from whosings.vocals.detector import FRAME_S, FRONT_END, LEVEL, ActivityNetwork, Curve, save_detector

Samples = NDArray[np.float32]

VIEW = 6 * SAMPLE_RATE
_FRAME, _PIECE_FRAMES = round(FRAME_S * SAMPLE_RATE), round(PIECE_S / FRAME_S)
FRAMES = VIEW // _FRAME
TRANSFORM = 3 << 15  # samples of a Fourier transform: a view and a little more
_VOCAL_SHARE = 1 / 3
_SOUNDS_DB, _BURIED_DB = -28, -16

SUNG, SPOKEN = ("sung", "parametric", "stem"), ("speech",)
"""Kinds of voices in a bank."""
VOICES = {"singing": 0.55, "rap or speech": 0.17, "choir": 0.14, "humming": 0.06, "screams": 0.08}
"""Ways of using a voice, and how often each is drawn."""


@dataclass(frozen=True)
class Clip:
    """A voice (its kind is in ``SUNG`` or ``SPOKEN``) or a band (of any kind): int16 (samples,)."""

    kind: str
    samples: NDArray[np.int16]


@dataclass(frozen=True)
class Bank:
    """Voices and bands from which views are made."""

    voices: Sequence[Clip]
    bands: Sequence[Clip]

    def save(self, path: Path) -> None:
        """Write one ``.npz`` file, whole or not at all."""
        arrays: dict[str, Any] = {}
        for part, clips in (("voice", self.voices), ("band", self.bands)):
            arrays[f"{part}-kinds"] = np.array([clip.kind for clip in clips])
            arrays[f"{part}-lengths"] = [clip.samples.size for clip in clips]
            arrays[f"{part}s"] = np.concatenate([clip.samples for clip in clips])
        with atomic(path) as beside:
            np.savez(beside, **arrays)

    @classmethod
    def load(cls, path: Path) -> Bank:
        """Read what ``save`` wrote.

        Raises:
            TrainingError: the file is missing or damaged.
        """
        found: list[list[Clip]] = []
        try:
            with np.load(path) as data:
                for part in ("voice", "band"):
                    clips = np.split(data[f"{part}s"], np.cumsum(data[f"{part}-lengths"])[:-1])
                    found.append([Clip(str(k), c) for k, c in zip(data[f"{part}-kinds"], clips, strict=True)])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise TrainingError(path, "is no bank of voices and bands", "make one with the recipe") from error
        return cls(*found)

    def voice(self, kinds: tuple[str, ...], rng: np.random.Generator) -> Samples:
        """Draw a view of a voice of one of these kinds."""
        chosen = [clip for clip in self.voices if clip.kind in kinds]
        return crop(chosen[int(rng.integers(len(chosen)))].samples, rng)

    def band(self, rng: np.random.Generator) -> Samples:
        """Draw a view of a band."""
        return crop(self.bands[int(rng.integers(len(self.bands)))].samples, rng)


def crop(clip: NDArray[np.int16], rng: np.random.Generator) -> Samples:
    """Take a view from anywhere in a clip; a shorter clip lies somewhere in silence."""
    if clip.size <= VIEW:
        first = int(rng.integers(0, VIEW - clip.size + 1))
        view = np.pad(clip, (first, VIEW - clip.size - first))
    else:
        first = int(rng.integers(0, clip.size - VIEW))
        view = clip[first : first + VIEW]
    return view.astype(np.float32) / np.float32(32768)


@lru_cache(maxsize=1)
def _frequencies() -> Tensor:
    return torch.linspace(0, SAMPLE_RATE / 2, TRANSFORM // 2 + 1)


def filtered(view: Samples, response: Tensor) -> Samples:
    """Apply a frequency response (``TRANSFORM // 2 + 1``,), 0 to 8 kHz, to a view."""
    spectrum = torch.fft.rfft(torch.from_numpy(np.ascontiguousarray(view, np.float32)), TRANSFORM)
    return np.asarray(torch.fft.irfft(spectrum * response, TRANSFORM)[:VIEW].numpy())


def equaliser(deviation_db: float, rng: np.random.Generator) -> Tensor:
    """Draw the frequency response of an equaliser: a random walk over nine knots."""
    knots = np.cumsum(rng.normal(0, deviation_db / 3, 9))
    curve = torch.from_numpy((knots - knots.mean()).astype(np.float32))[None, None]
    return torch.pow(10, F.interpolate(curve, TRANSFORM // 2 + 1, mode="linear", align_corners=True)[0, 0] / 20)


def room(rng: np.random.Generator) -> Tensor:
    """Draw the frequency response of a room, from a booth to a cathedral: the direct sound and a decaying tail."""
    length = int(SAMPLE_RATE * rng.uniform(0.1, 2.5))
    tail = rng.standard_normal(length, dtype=np.float32) * np.exp(-6 * np.arange(length, dtype=np.float32) / length)
    spectrum: Tensor = torch.fft.rfft(torch.from_numpy(tail / np.sqrt(np.sum(tail**2))), TRANSFORM)
    if rng.random() < 0.5:
        spectrum = spectrum * torch.exp(-_frequencies() / 8000 * rng.uniform(0, 5))
    return 1 + spectrum * float(10 ** (rng.uniform(-20, -2) / 20))


def echoes(rng: np.random.Generator) -> Tensor:
    """Draw the frequency response of two echoes."""
    delay, gain = rng.uniform(0.15, 0.5), rng.uniform(0.2, 0.5)
    first, second = (torch.exp(turns * math.pi * _frequencies() * delay) for turns in (-2j, -4j))
    return 1 + gain * first + gain**2 * second


def low_pass(hertz: float) -> Tensor:
    """Give the frequency response of a low pass, 6 dB down at ``hertz``."""
    return 1 / (1 + (_frequencies() / hertz) ** 4)


def frame_levels(view: Samples) -> Samples:
    """Root mean square of each frame, (``FRAMES``,)."""
    return np.asarray(np.sqrt(np.mean(view.reshape(-1, _FRAME) ** 2, axis=1) + 1e-14))


@dataclass(frozen=True)
class View:
    """Records of six seconds, float32 (..., ``VIEW``), and where somebody sings in them, 0 or 1, (..., ``FRAMES``)."""

    waves: Tensor
    vocal: Tensor


def draw_voice(bank: Bank, kind: str, rng: np.random.Generator) -> Samples:
    """Draw a view of a voice that is used in one of the ways of ``VOICES``."""
    if kind == "singing":
        voice = bank.voice(SUNG, rng)
    elif kind == "rap or speech":
        voice = bank.voice(SPOKEN, rng)
    elif kind == "choir":
        singers = range(int(rng.integers(2, 6)))
        voice = np.sum([bank.voice(SUNG, rng) * np.float32(rng.uniform(0.4, 1)) for _ in singers], axis=0)
    elif kind == "humming":
        voice = filtered(bank.voice(SUNG, rng), low_pass(float(rng.uniform(300, 900))))
    else:
        voice = bank.voice(SUNG + SPOKEN, rng)
        voice = np.tanh(voice / (np.abs(voice).max() + 1e-6) * np.float32(rng.uniform(5, 40)))
    if rng.random() < 0.3:  # doubled
        delay = int(rng.uniform(0.01, 0.04) * SAMPLE_RATE)
        voice[delay:] = voice[delay:] + np.float32(rng.uniform(0.3, 0.9)) * voice[:-delay]
    return np.asarray(voice, np.float32)


def with_rest(voice: Samples, rng: np.random.Generator) -> Samples:
    """Let a voice sound only for a while, or with a rest, in nearly half of the cases."""
    if rng.random() >= 0.45:
        return voice
    first, last = sorted(rng.uniform(0, VIEW, 2).astype(int))
    inside = np.zeros(VIEW, np.float32)
    inside[first:last] = 1
    gate = np.convolve(inside, np.ones(800, np.float32) / 800, "same")
    return np.asarray(voice * (gate if rng.random() < 0.5 else 1 - gate), np.float32)


def produce_voice(voice: Samples, rng: np.random.Generator) -> Samples:
    """Draw what a studio does to a voice: equaliser, room, echoes, low cut, compression."""
    response = equaliser(6, rng).to(torch.complex64)
    if rng.random() < 0.6:
        response = response * room(rng)
    if rng.random() < 0.15:
        response = response * echoes(rng)
    if rng.random() < 0.5:
        response = response * (1 - low_pass(float(rng.uniform(60, 250))))
    voice = filtered(voice, response)
    if rng.random() >= 0.5:
        return voice
    smooth = np.convolve(frame_levels(voice), np.ones(5) / 5, "same")  # compression
    return voice * np.repeat((smooth + 0.05 * smooth.max()) ** -rng.uniform(0.2, 0.7), _FRAME).astype(np.float32)


def draw_band(bank: Bank, rng: np.random.Generator) -> Samples:
    """Draw a view of one or two bands with what a studio does to them, at a standard deviation of 1."""
    band = bank.band(rng)
    if rng.random() < 0.2:
        band = band + np.float32(rng.uniform(0.3, 1)) * bank.band(rng)
    if rng.random() < 0.25:  # amplifiers
        band = np.tanh(band * np.float32(10 ** (rng.uniform(0, 30) / 20)))
    response = equaliser(9, rng).to(torch.complex64)
    if rng.random() < 0.3:
        response = response * room(rng)
    if rng.random() < 0.15:
        response = response * low_pass(float(rng.uniform(600, 4000)))
    band = filtered(band, response)
    if rng.random() < 0.15:  # ducked under the bass drum
        period, depth = rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.9)
        time_s = (np.arange(VIEW) / SAMPLE_RATE + rng.random()) % period
        band = band * (1 - depth * np.exp(-4 * time_s / period)).astype(np.float32)
    return np.asarray(band / (band.std() + 1e-6), np.float32)


def draw_view(bank: Bank, rng: np.random.Generator) -> View:
    """Draw a record: a voice over a band, a band alone, or a voice over silence or noise."""
    alone = rng.random() < 0.1
    band = np.zeros(VIEW, np.float32) if alone else draw_band(bank, rng)
    if alone and rng.random() < 0.3:
        band = rng.standard_normal(VIEW, dtype=np.float32) * np.float32(10 ** rng.uniform(-4, -1))
    vocal, wave = np.zeros(FRAMES, np.float32), band
    if rng.random() < 0.6:
        kind = str(rng.choice(list(VOICES), p=list(VOICES.values())))
        voice = produce_voice(with_rest(draw_voice(bank, kind, rng), rng), rng)
        levels = frame_levels(voice)
        loud = float(np.percentile(levels, 95)) + 1e-9
        heard = levels > loud * 10 ** (_SOUNDS_DB / 20)
        voice = voice / loud
        if not alone:
            voice = voice * np.float32(10 ** (rng.uniform(-10, 10) / 20))
            heard &= frame_levels(voice) > 10 ** (_BURIED_DB / 20) * frame_levels(band)
        vocal = (np.convolve(heard, np.ones(5), "same") >= 2).astype(np.float32)
        wave = voice + band
    if rng.random() < 0.3:
        wave = np.tanh(wave / (np.abs(wave).max() + 1e-6) * np.float32(rng.uniform(1, 5)))
    response = equaliser(5, rng)
    if rng.random() < 0.3:
        response = torch.where(rng.uniform(3500, 7800) < _frequencies(), 0.003 * response, response)
    wave = filtered(wave, response)
    wave = wave / (np.sqrt(np.mean(wave**2)) + 1e-5) * LEVEL * 10 ** (rng.uniform(-14, 4) / 20)
    hiss = rng.standard_normal(VIEW, dtype=np.float32) * 10 ** (rng.uniform(-95, -50) / 20)
    return View(torch.from_numpy(np.asarray(wave + hiss, np.float32)), torch.from_numpy(vocal))


class Batches(torch.utils.data.IterableDataset[View]):
    """Batches of ``size`` views without end, numbered from ``first`` on, the same for any number of processes.

    Each process opens the bank, a file that ``Bank.save`` wrote, for itself.
    """

    def __init__(self, bank: Path, seed: int, size: int, first: int = 0) -> None:
        self._bank, self._seed, self._size, self._first = bank, seed, size, first

    def __iter__(self) -> Iterator[View]:
        bank = Bank.load(self._bank)
        worker: Any = torch.utils.data.get_worker_info()
        number, step = (self._first + worker.id, worker.num_workers) if worker else (self._first, 1)
        while True:
            rng = np.random.default_rng([self._seed, number])
            views = [draw_view(bank, rng) for _ in range(self._size)]
            yield View(torch.stack([view.waves for view in views]), torch.stack([view.vocal for view in views]))
            number += step


def train(
    folder: Path, steps: int, batch: int, peak_rate: float, workers: int, held: int, tell: Callable[[str], None] = print
) -> None:
    """Train a network in a run's folder, or go on where an earlier sitting stopped.

    Args:
        steps: in all; a run that has them already stays as it is.
        batch: views of a step.
        peak_rate: learning rate after the warm-up of 100 steps; from there it falls by a cosine.
        workers: processes that draw views; 0 draws them in this one.
        held: about how many views that do not train judge the network.
        tell: is given a line now and then.

    Raises:
        TrainingError: a bank or the state is missing or damaged.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, log_mel = ActivityNetwork(), LogMel(FRONT_END)
        optimiser = torch.optim.AdamW(network.parameters(), lr=peak_rate, weight_decay=0.02)
        step = resume(folder / "state.pt", optimiser, network=network)
        judged = held_back(folder, batch, held)
        drawn, ahead = Batches(folder / "train.npz", 1, batch, step), 4 if workers else None
        batches = iter(torch.utils.data.DataLoader(drawn, None, num_workers=workers, prefetch_factor=ahead))
        began, mean = time.monotonic(), math.nan
        while step < steps:
            rate = min(1.0, (step + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))
            for group in optimiser.param_groups:
                group["lr"] = peak_rate * rate
            given = next(batches)
            with torch.no_grad():
                spectrograms = log_mel(given.waves[:, None])
            loss = F.binary_cross_entropy_with_logits(network(spectrograms), 0.98 * given.vocal + 0.01)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            step += 1
            mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
            if step % 500 == 0 or step == steps:
                area = judge(network, judged).area
                tell(f"{step} loss {mean:.4f} held-out AUC {area:.4f} {time.monotonic() - began:.0f} s")
                keep(folder / "state.pt", step, optimiser, network=network)


@dataclass(frozen=True)
class Judgement:
    """What a network says of pieces: their shares of sung frames, float64 (pieces,), and whether they are vocal."""

    shares: NDArray[np.float64]
    vocal: NDArray[np.bool_]

    @property
    def area(self) -> float:
        """Chance, 0 to 1, that a vocal piece has a higher share than another one: the area under the ROC curve.

        Raises:
            MissingExtraError: torchmetrics is not installed.
        """
        MissingExtraError.require("torchmetrics", "measuring a network", "train")
        from torchmetrics.functional.classification import binary_auroc

        return float(binary_auroc(torch.from_numpy(self.shares), torch.from_numpy(self.vocal).long()))


def held_back(folder: Path, batch: int, count: int) -> list[View]:
    """Draw about ``count`` views, in batches, from the run's voices and bands that do not train."""
    batches = iter(Batches(folder / "held.npz", 2, batch))
    return [next(batches) for _ in range(count // batch)]


def judge(network: ActivityNetwork, batches: Sequence[View]) -> Judgement:
    """Let a network listen to the pieces of views; it is left in the mode, training or not, in which it was."""
    log_mel, was_training = LogMel(FRONT_END), network.training
    network.eval()
    with torch.inference_mode():
        heard = torch.cat([torch.sigmoid(network(log_mel(batch.waves[:, None]))) for batch in batches])
    network.train(was_training)
    truth = torch.cat([batch.vocal for batch in batches])
    shares, vocal = (frames.reshape(-1, _PIECE_FRAMES).mean(1) for frames in (heard, truth))
    return Judgement(shares.double().numpy(), vocal.numpy() >= _VOCAL_SHARE)


def fit_curve(judged: Judgement) -> Curve:
    """Fit a logistic regression of what is vocal on the logit of the share, by Newton's method."""
    share = np.clip(judged.shares, 1e-4, 1 - 1e-4)
    design = np.stack([np.log(share / (1 - share)), np.ones(share.size)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ weights))
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
        weights = weights + np.linalg.solve(hessian, design.T @ (judged.vocal - p))
    return Curve(float(weights[0]), float(-weights[1] / weights[0]))


def export(folder: Path, to: Path, batch: int, held: int, facts: dict[str, object]) -> dict[str, object]:
    """Write a run's network as ``ActivityDetector`` reads it, with a curve fitted on what did not train.

    Args:
        batch, held: as of ``train``.
        facts: what the card should say besides: name, data, licence.

    Returns:
        The card, with the number of steps and the held-out area under the ROC curve.

    Raises:
        TrainingError: the run has no network yet, or one of its files is damaged.
    """
    network = ActivityNetwork()
    step = resume(folder / "state.pt", torch.optim.AdamW(network.parameters()), network=network)
    if not step:
        raise TrainingError(folder, "holds no network", "train one first")
    judged = judge(network.eval(), held_back(folder, batch, held))
    card = {**facts, "steps": step, "held_out_auc": round(judged.area, 4)}
    save_detector(to, network, fit_curve(judged), card)
    return card
