"""Training of the second opinion's network (``whosings.opinion``), on natural voices against processed ones.

Conventions
-----------
- Sound is mono at 16 kHz: int16 in a bank, float32 elsewhere. A *view* is two seconds, (``VIEW``,).
- Only the processing must tell the classes apart: both are the same speakers, what is processed goes once more through
  the codec of the recordings, and the two views of a pair, natural and processed, are produced alike.
- Logits are what a network says of clips, float64 (clips,), by kind or by group (speech, singing, songs).
- A run's folder holds the banks ``train.npz``, ``held.npz`` and perhaps ``singing.npz`` (measured only), to go on from
  ``state.pt``, and ``heard.json``, the logits that ``export`` measured.
"""

from __future__ import annotations

import json
import math
import time
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from whosings import audio
from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.calibration_fitting import fit_logistic
from whosings.embedding import TrackEmbedder
from whosings.errors import TooShortError, TrainingError
from whosings.files import atomic, write_atomic
from whosings.opinion import ArtefactNetwork, Scale, SecondOpinion, save_opinion
from whosings.sound.batch_effects import codec
from whosings.training.contrastive.augment import Chances, produce
from whosings.training.distillation.bank import to_int16
from whosings.training.state import keep, resume
from whosings.vocals.activity import trim

VIEW = 2 * SAMPLE_RATE
NATURAL, BAND, AGAIN = "natural", "band", "natural, coded again"
"""Kinds of clips that are not processed."""
HELD = 100_000
"""Seeds of what does not train begin here."""

_MOST_RECORDINGS = 4  # of a speaker who trains
_NATURAL_S, _PROCESSED_S, _KINDS_A_SPEAKER, _PROCESSED_RECORDINGS = 10, 4, 2, 2

Logits = dict[str, NDArray[np.float64]]
Listen = Callable[[FloatArray], float]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Take:
    """A voice, and another speaker's voice to make something else of it: float32 (samples,) each."""

    samples: FloatArray
    other: FloatArray


Process = Callable[[Take, np.random.Generator], FloatArray]
"""What resynthesises a take; it may raise ``TooShortError``."""


@dataclass(frozen=True)
class Kind:
    """A way of processing, and how often it is drawn for training; 0 holds it out, to be measured only."""

    share: float
    process: Process


@dataclass(frozen=True)
class Clip:
    """What a recording is (``NATURAL``, ``BAND``, ``AGAIN``, or a kind of processing) and who speaks ("" of bands)."""

    kind: str
    speaker: str
    samples: NDArray[np.int16]


@dataclass(frozen=True)
class Bank:
    """Clips of natural and of processed voices, and of bands."""

    clips: Sequence[Clip]

    def save(self, path: Path) -> None:
        """Write one ``.npz`` file, whole or not at all."""
        kinds, speakers = [clip.kind for clip in self.clips], [clip.speaker for clip in self.clips]
        samples = [clip.samples for clip in self.clips]
        with atomic(path) as beside:
            sizes, joined = [own.size for own in samples], np.concatenate(samples)
            np.savez(beside, kinds=np.array(kinds), speakers=np.array(speakers), sizes=sizes, clips=joined)

    @classmethod
    def load(cls, path: Path) -> Bank:
        """Read what ``save`` wrote.

        Raises:
            TrainingError: the file is missing or damaged.
        """
        try:
            with np.load(path) as data:
                samples = np.split(data["clips"], np.cumsum(data["sizes"])[:-1])
                rows = zip(data["kinds"], data["speakers"], samples, strict=True)
                return cls([Clip(str(kind), str(speaker), own) for kind, speaker, own in rows])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise TrainingError(path, "is no bank of processed voices", "make one with the recipe") from error

    def of_kind(self, kind: str) -> list[Clip]:
        """Clips of one kind."""
        return [clip for clip in self.clips if clip.kind == kind]


def coded(samples: FloatArray) -> FloatArray:
    """Send a voice once more through Opus, about as the recordings came."""
    wave = torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None, None]
    return np.asarray(codec(wave, np.array([True]), np.array([0.87]))[0, 0].numpy())


def processed(kind: Kind, take: Take, rng: np.random.Generator) -> FloatArray:
    """Process a voice; the result is as loud as before, and went through the codec that LibriSpeech came in.

    Raises:
        TooShortError: there is too little voice for this kind.
    """
    made = kind.process(take, rng)[: take.samples.size]
    if not made.size or not np.isfinite(made).all() or made.std() < 1e-6:
        raise TooShortError("the voice", "is too soft or too short", "use another one")
    return coded(made * np.float32(take.samples.std() / made.std()))


def speech_clips(speech: Path, kinds: Mapping[str, Kind], train: bool, tell: Tell = print) -> Iterator[Clip]:
    """Make clips of speakers who train, or of those who do not, because they have many recordings.

    Args:
        speech: a folder ``speaker/recording``, of more than one speaker.
        kinds: by name; who trains gets two drawn by their shares, who does not gets all.
        tell: is given a line every twenty speakers.

    Raises:
        AudioError: a recording cannot be read.
    """
    folders = {p.name: sorted(p.iterdir()) for p in sorted(speech.iterdir()) if p.is_dir()}
    people = [who for who, found in folders.items() if (len(found) <= _MOST_RECORDINGS) == train]
    names = [name for name, kind in kinds.items() if kind.share]
    shares = np.array([kinds[name].share for name in names])
    for number, who in enumerate(people):
        rng = np.random.default_rng([70, (0 if train else HELD) + number])
        other = audio.load(folders[people[number - 1]][0]).samples[0]
        for place, file in enumerate(folders[who]):
            voice = audio.load(file).samples[0][: _NATURAL_S * SAMPLE_RATE]
            yield Clip(NATURAL, who, to_int16(voice))
            drawn = [str(name) for name in rng.choice(names, _KINDS_A_SPEAKER, False, p=shares / sum(shares))]
            for name in () if place >= _PROCESSED_RECORDINGS else drawn if train else kinds:
                first = int(rng.integers(0, max(1, voice.size - _PROCESSED_S * SAMPLE_RATE)))
                take = Take(voice[first : first + _PROCESSED_S * SAMPLE_RATE], other)
                with suppress(TooShortError):
                    yield Clip(name, who, to_int16(processed(kinds[name], take, rng)))
        if number % 20 == 19:
            tell(f"{'train' if train else 'held'}: {number + 1} of {len(people)} speakers")


def singing_clips(folder: Path, kinds: Mapping[str, Kind], clips: int) -> Iterator[Clip]:
    """Make clips of real singing, to measure on: natural, coded again, and of all kinds.

    Args:
        folder: ``singer/recording``, of more than one singer.
        clips: how many clips of each singer are processed; four times as many are natural.

    Raises:
        AudioError: a recording cannot be read.
    """
    singers = {p.name: sorted(p.iterdir()) for p in sorted(folder.iterdir()) if p.is_dir()}
    names = list(singers)
    for number, who in enumerate(names):
        rng = np.random.default_rng([75, number])
        order = rng.permutation(len(singers[who]))
        other = np.concatenate([audio.load(file).samples[0] for file in singers[names[number - 1]][:4]])
        for place, file in enumerate(singers[who][n] for n in order[: 4 * clips]):
            whole = audio.load(file).samples
            voice = whole[0, trim(whole)]
            yield Clip(NATURAL, who, to_int16(voice))
            yield Clip(AGAIN, who, to_int16(coded(voice)))
            for name in kinds if place < clips else ():
                with suppress(TooShortError):
                    yield Clip(name, who, to_int16(processed(kinds[name], Take(voice, other), rng)))


def crop(clip: NDArray[np.int16], size: int, rng: np.random.Generator) -> FloatArray:
    """Take ``size`` samples of a clip in which something sounds; a short clip is repeated."""
    whole = np.tile(clip, -(-size // clip.size)).astype(np.float32) / np.float32(32768)
    for _ in range(5):
        first = int(rng.integers(0, whole.size - size + 1))
        view = whole[first : first + size]
        if view.std() > 0.6 * whole.std():
            break
    return view


def studio(voice: FloatArray, band: FloatArray | None, seed: int) -> FloatArray:
    """Produce a voice, alone or over a band, all (``VIEW``,), as the seed alone says; nothing resynthesises it."""
    rng = np.random.default_rng([72, seed])
    chances = Chances(noise=0.4, echo=0.1, codec=0.5, pitch=0, formants=0, correction=0, vocoder=0, phases=0)
    over_db = torch.tensor([np.inf if band is None else rng.uniform(-3, 15)])
    loud, quiet = (
        torch.from_numpy(part / np.float32(np.abs(part).max() + 1e-6))[None, None]
        for part in (voice, np.zeros_like(voice) if band is None else band)
    )
    return np.asarray(produce(loud, quiet, over_db, rng, chances)[0, 0].numpy())


@dataclass(frozen=True)
class Batch:
    """Views: waves (views, ``VIEW``), and 1 for processed and 0 for natural (views,), float32."""

    waves: Tensor
    truth: Tensor


class Pairs:
    """Draws views in pairs of one speaker with the same production, in numbered batches.

    Args:
        left_out: kinds that do not take part.
    """

    def __init__(self, bank: Bank, seed: int, left_out: Sequence[str] = ()) -> None:
        self._seed, self._bands = seed, bank.of_kind(BAND)
        natural: dict[str, list[Clip]] = {}
        made: dict[str, list[Clip]] = {}
        for clip in bank.clips:
            if clip.kind not in (BAND, *left_out):
                (natural if clip.kind == NATURAL else made).setdefault(clip.speaker, []).append(clip)
        self._people = [(natural[who], made[who]) for who in sorted(made)]

    def batch(self, number: int, size: int) -> Batch:
        """Draw a batch of ``size`` views, an even number."""
        rng = np.random.default_rng([74, self._seed, number])
        waves: list[FloatArray] = []
        truth: list[float] = []
        for _ in range(size // 2):
            pair = self._people[int(rng.integers(len(self._people)))]
            seed, band = int(rng.integers(1 << 31)), None
            if rng.random() < 0.4:
                band = crop(self._bands[int(rng.integers(len(self._bands)))].samples, VIEW, rng)
            for clips in pair:
                clip = clips[int(rng.integers(len(clips)))]
                waves.append(studio(crop(clip.samples, VIEW, rng), band, seed))
                truth.append(float(clip.kind != NATURAL))
        return Batch(torch.from_numpy(np.stack(waves)), torch.tensor(truth))


def train(
    folder: Path, steps: int, batch: int, peak_rate: float, left_out: Sequence[str] = (), tell: Tell = print
) -> None:
    """Train a network in a run's folder, or go on where an earlier sitting stopped.

    Args:
        steps: in all; a run that has them already stays as it is.
        batch: views of a step.
        peak_rate: learning rate after the warm-up of 30 steps; from there it falls by a cosine.
        left_out: kinds that do not train.
        tell: is given a line every fifty steps.

    Raises:
        TrainingError: the bank or the state is missing or damaged.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ArtefactNetwork()
        optimiser = torch.optim.AdamW(network.parameters(), lr=peak_rate, weight_decay=0.02)
        step = resume(folder / "state.pt", optimiser, network=network)
        pairs = Pairs(Bank.load(folder / "train.npz"), 1, left_out)
        began, mean = time.monotonic(), math.nan
        while step < steps:
            rate = min(1.0, (step + 1) / 30) * (0.01 + 0.495 * (1 + math.cos(math.pi * step / steps)))
            for group in optimiser.param_groups:
                group["lr"] = peak_rate * rate
            views = pairs.batch(step, batch)
            loss = F.binary_cross_entropy_with_logits(network(views.waves), 0.96 * views.truth + 0.02)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            step += 1
            mean = loss.item() if math.isnan(mean) else 0.96 * mean + 0.04 * loss.item()
            if step % 50 == 0 or step == steps:
                tell(f"{step} loss {mean:.4f} {time.monotonic() - began:.0f} s")
                keep(folder / "state.pt", step, optimiser, network=network)


def hear(listen: Listen, bank: Bank, produced: bool) -> Logits:
    """Measure logits by kind: of up to three seconds of a clip as it is, or of views with effects and bands."""
    bands = bank.of_kind(BAND)
    found: dict[str, list[float]] = {}
    for number, clip in enumerate(bank.clips):
        if clip.kind == BAND:
            continue
        rng = np.random.default_rng([76, number, 0])
        if produced:
            band = crop(bands[int(rng.choice(len(bands)))].samples, VIEW, rng) if rng.random() < 0.4 else None
            samples = studio(crop(clip.samples, VIEW, rng), band, int(rng.integers(1 << 31)))
        else:
            samples = crop(clip.samples, min(clip.samples.size, 3 * SAMPLE_RATE), rng)
        found.setdefault(clip.kind, []).append(listen(samples))
    return {kind: np.array(logits) for kind, logits in found.items()}


def fit_scale(natural: Logits, made: Logits) -> Scale:
    """Fit a logistic regression on the group "speech", both classes weighing the same; measure shares at 51 scores.

    False alarms are those of the group in which there are most, and count one recording more than was seen: no error
    rate is reported as nothing.
    """
    line = fit_logistic(made["speech"], natural["speech"])
    curve = Scale(line.scale, -line.offset / line.scale)
    grid = np.linspace(0, 1, 51)

    def shares(logits: NDArray[np.float64], more: int) -> NDArray[np.float64]:
        scores = np.array([curve.score(v) for v in logits])
        return np.asarray(((scores[None] >= grid[:, None]).sum(axis=1) + more) / (scores.size + more))

    alarm = np.max([shares(values, 1) for values in natural.values()], axis=0)
    hits = np.mean([shares(values, 0) for values in made.values()], axis=0)
    thresholds, false_alarm, found = (tuple(round(float(v), 4) for v in values) for values in (grid, alarm, hits))
    return replace(curve, thresholds=thresholds, false_alarm=false_alarm, found=found)


def _songs(opinion: SecondOpinion, songs: Path) -> Logits:
    """Mean logits of real songs, a folder's ``*.mp3``, of the segments that are embedded; by title, (1,) each."""
    embedder, heard = TrackEmbedder(), Logits()
    for path in sorted(songs.glob("*.mp3")):
        whole = audio.load(path)
        found = embedder(whole)
        logits = opinion.logits([whole.cut(float(start), found.segment_s).samples for start in found.start_s])
        if logits.size:
            heard[path.stem] = logits.astype(np.float64).mean(keepdims=True)
    return heard


def export(
    folder: Path, to: Path, kinds: Mapping[str, Kind], songs: Path | None, facts: dict[str, object]
) -> dict[str, object]:
    """Write a run's network as ``SecondOpinion`` reads it, with a scale fitted and measured on what did not train.

    Args:
        kinds: ways of processing, by name.
        songs: folder of real songs ``*.mp3``, taken to be natural; measured only.
        facts: what the card should say besides: name, data, licence.

    Returns:
        The card, with the numbers of steps and of recordings measured.

    Raises:
        TrainingError: the run has no network yet, or one of its files is damaged.
        AudioError: a song cannot be read.
    """
    network = ArtefactNetwork()
    step = resume(folder / "state.pt", torch.optim.AdamW(network.parameters()), network=network)
    if not step:
        raise TrainingError(folder, "holds no network", "train one first")
    save_opinion(folder / "unmeasured.safetensors", network, Scale(), {})
    opinion = SecondOpinion(folder / "unmeasured.safetensors")
    heard = _materials(lambda samples: float(opinion.logits([samples[None]])[0]), folder)
    if songs is not None:
        titles = _songs(opinion, songs)
        heard["songs"] = {NATURAL: np.concatenate(list(titles.values())), **titles}
    write_atomic(folder / "heard.json", json.dumps(heard, default=np.ndarray.tolist))
    natural, made = _by_group(heard, (NATURAL,)), _by_group(heard, kinds)
    measured = {g: {"natural": v.size, "processed": made.get(g, v[:0]).size} for g, v in natural.items()}
    card = {**facts, "steps": step, "measured_on": measured}
    save_opinion(to, network, fit_scale(natural, made), card)
    return card


def _materials(listen: Listen, folder: Path) -> dict[str, Logits]:
    """What the network says of everything that did not train it."""
    found: dict[str, Logits] = {}
    for name, group in (("held", "speech"), ("singing", "singing")):
        if (folder / f"{name}.npz").exists():
            bank = Bank.load(folder / f"{name}.npz")
            found[f"{group}, as recorded"] = hear(listen, bank, produced=False)
            found[f"{group}, with effects and bands"] = hear(listen, bank, produced=True)
    return found


def _by_group(heard: Mapping[str, Logits], kinds: Collection[str]) -> Logits:
    """Logits of some kinds by group: speech, singing, songs."""
    found: dict[str, list[float]] = {}
    for material, logits in heard.items():
        for kind, values in logits.items():
            if kind in kinds:
                found.setdefault(material.split(",")[0], []).extend(values)
    return {group: np.array(values) for group, values in found.items()}
