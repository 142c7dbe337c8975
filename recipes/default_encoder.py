"""How the default encoder is made: generated singers and speech turned singing, mashed over generated bands.

    python recipes/default_encoder.py bank   --out runs/default --speech LIBRISPEECH
    python recipes/voice_mask.py             --out runs/default   # run again, it goes on
    python recipes/default_encoder.py train  --out runs/default   # likewise
    python recipes/default_encoder.py export --out runs/default --speech LIBRISPEECH --to whosings/weights/default

`LIBRISPEECH` is a folder `speaker/*.{opus,flac,wav}` (CC BY 4.0). `bank` makes hours of voices from an hour of speech
(`voice_bank.py`). A training view is three seconds of one voice, over a random band or alone, through the effects of
`whosings.contrastive.augment`. A mask, which learned on its own what is voice (`voice_mask.py`), comes first. What the
encoder says of a view is pulled to another view of the same voice (NT-Xent); through a linear layer that is thrown
away, to the person's place among all by the embeddings of resemblyzer (Apache-2.0); with `--kept`, to what the encoder
that it begins with says of the same seconds of the voice alone, and with `--frozen` only the mask learns to bring that
about. No real singing takes part. A GPU is best shared (`--device cuda --processes 14`, a core each). `export` folds a
normalisation of within-class covariance into the last layer, calibrates on speakers and parametric singers that were
kept apart, and writes the checkpoint. `ablations.py` says what each part is worth. How the encoder that ships came
about is in `MODEL_CARD.md`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from on_disk import keep, resume
from together import average, spread
from voice_bank import (
    APART,
    SPEEDS,
    Bank,
    Samples,
    band_clip,
    crop,
    make_bank,
    parametric_clips,
    paused,
    played,
    speaker_clips,
    speaker_folders,
    start,
    tape,
)
from voice_mask import as_heard, shares

from whosings import audio
from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.choir.from_speech import voiced_only
from whosings.config import MODELS, MaskConfig, ModelConfig
from whosings.contrastive.augment import Chances, Record, augment, record
from whosings.contrastive.effects import formants_shifted, resampled
from whosings.contrastive.loss import supcon
from whosings.devices import has_bf16
from whosings.encoder.checkpoint import build, load_checkpoint, rewrite_card, save_checkpoint
from whosings.files import atomic
from whosings.spectrogram import LogMel

PART = 256  # dimensions of the teacher's embeddings, and of ours
NAMED_BY, TOLD_BY = 0.05, 0.1  # temperatures: of naming a person by the teacher's embeddings, of NT-Xent
ALIKE = 24  # nearest persons among whom hard negatives are drawn
GROUP = 4  # persons alike that come together
VARIED_ST, VARIED_FORMANTS = 4.0, 0.15  # most by which voices become others
UNHEARD_BANDS = 60  # that calibrate
SONGS = 3  # of each person who calibrates
EFFECTS = tuple(field.name for field in fields(Chances))


@dataclass(frozen=True)
class Trial:
    """What a run is made of.

    Attributes:
        people, views, seconds: persons in a batch, views of each, length of a view.
        same: whether views of a person are of the very same seconds.
        blocks: of the encoder.
        attentive: whether frames weigh by attention when they are pooled, or all the same.
        loud: share of views over a band.
        shared: voices of a batch behind which one band plays, voices alike among them, so that it tells nothing.
        guest: chance that somebody else is heard in a band, 3 to 15 dB under it.
        hard: chance of a batch whose persons come in groups that the teacher finds alike.
        imitated: chance that one of a person's views is an imitation by somebody else.
        singing: whether sung clips train.
        taught, contrasted: weights of the two losses.
        kept: weight of a loss that pulls a view to what the encoder that training begins with says of the very seconds
            of its voice, alone and without effects or pauses; imitations are left out.
        varied: chance that a voice becomes somebody else's, by speed, formants and an equaliser, before anything is
            said of it; not for losses that go by names.
        masked: whether a mask comes before the encoder: ``mask.pt`` of ``voice_mask.py``, or that which it begins with.
        shared_out: weight of the loss by which the mask goes on learning, with the encoder; without it, it stays.
        frozen: whether the encoder stays as it begins, and only its mask learns.
        without: effects of ``Chances`` that are left out; ``all`` leaves out every one.
        seed: of the first weights and of the order of voices.
    """

    people: int = 64
    views: int = 2
    seconds: float = 3.0
    same: bool = False
    blocks: int = 6
    attentive: bool = True
    loud: float = 0.65
    shared: int = 2
    guest: float = 0.2
    hard: float = 0.3
    imitated: float = 0.5
    singing: bool = True
    taught: float = 1.0
    contrasted: float = 1.0
    kept: float = 0.0
    varied: float = 0.0
    masked: bool = True
    shared_out: float = 2.0
    frozen: bool = False
    without: tuple[str, ...] = ()
    seed: int = 0

    @property
    def chances(self) -> Chances:
        names = EFFECTS if "all" in self.without else self.without
        return replace(Chances(), **dict.fromkeys(names, 0.0))

    def may_train(self, kind: str) -> bool:
        return kind == "speech" or (kind == "sung" and self.singing)


# ---------------------------------------------------------------- views


@dataclass(frozen=True)
class Batch:
    """Views of some persons.

    Attributes:
        records: view by view, (views of each person times persons, 1, samples).
        voices: of which the records are made, alone, alike in shape.
        own: whether these are a person's own, and no imitation, (views of each person times persons,).
        who: places of the persons in ``Batches.people``, (persons,).
    """

    records: Record
    voices: torch.Tensor
    own: torch.Tensor
    who: torch.Tensor


def taught_by(folder: Path, bank: Bank) -> NDArray[np.float32]:
    """What the teacher says of the bank's people, (people, 256), of unit length."""
    return bank.of_people(np.load(folder / "taught.npy"))


class Batches:
    """Draws batches by number; mixes and effects are made on the device.

    Attributes:
        people: numbers of the persons that take part.
    """

    def __init__(self, bank: Bank, taught: NDArray[np.float32], trial: Trial, device: str = "cpu") -> None:
        self._bank, self._trial, self._device = bank, trial, device
        self._clips = [[c for c in own if trial.may_train(bank.kinds[c])] for own in bank.people]
        self._imitations = [[c for c in own if bank.kinds[c] == "imitation"] for own in bank.people]
        self.people = np.array([n for n, own in enumerate(self._clips) if own])
        if len({bank.speakers[n] for n in self.people}) < trial.people:
            raise SystemExit(f"the bank has too few speakers for batches of {trial.people}: give fewer --people")
        centred = taught[self.people] - taught.mean(axis=0)
        centred /= np.linalg.norm(centred, axis=1, keepdims=True)
        self._alike = np.argsort(-(centred @ centred.T), axis=1)[:, 1 : ALIKE + 1]

    def __call__(self, number: int) -> Batch:
        """Views of a person come from different clips, where it has as many."""
        trial, bank = self._trial, self._bank
        rng = np.random.default_rng([11 + trial.seed, number])
        samples = round(trial.seconds * SAMPLE_RATE)
        places = self._choose(rng)
        clips = [self._drawn(int(person), rng) for person in self.people[places]]
        stretches: list[tuple[int, int]] = []
        voices, own = [], []
        for view in range(trial.views):
            for place, some in enumerate(clips):
                if view and trial.same:
                    clip, first = stretches[place]
                else:
                    clip = int(some[view % some.size])
                    first = start(bank.clips[clip], samples, rng)
                    stretches.append((clip, first))
                own.append(bank.kinds[clip] != "imitation")
                voices.append(crop(bank.clips[clip], first, samples, rng))
        count = len(voices)
        different = max(2, count // trial.shared)
        tapes = np.stack([tape(bank, samples, trial.guest, rng) for _ in range(different)])
        turn = int(rng.integers(1, different)) * np.arange(trial.views)[:, None]
        who_plays = ((np.arange(trial.people) * different // trial.people + turn) % different).ravel()
        level = np.where(rng.random(count) < trial.loud, rng.uniform(-5, 12, count), np.inf).astype(np.float32)
        device = self._device
        backing = played(torch.from_numpy(tapes)[:, None].to(device), rng)[torch.from_numpy(who_plays)]
        loud = torch.from_numpy(np.stack(voices))[:, None].to(device)
        if trial.varied:
            loud = varied(loud, trial.varied, rng)
        return Batch(
            record(paused(loud, rng), backing, torch.from_numpy(level), rng, trial.chances),
            loud,
            torch.tensor(own, device=device),
            torch.from_numpy(places).to(device),
        )

    def _drawn(self, person: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """A person's clips in random order, now and then an imitation first."""
        own = rng.permutation(self._clips[person])
        others = self._imitations[person]
        if others and rng.random() < self._trial.imitated:
            return np.concatenate([[rng.choice(others)], own])
        return own

    def _choose(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """Places in ``people``; no speaker twice, whatever the speed."""
        hard = rng.random() < self._trial.hard
        found: dict[str, int] = {}
        while len(found) < self._trial.people:
            first = int(rng.integers(self.people.size))
            others = rng.choice(self._alike[first], GROUP - 1, replace=False).tolist() if hard else []
            for place in (first, *others):
                found.setdefault(self._bank.speakers[self.people[place]], place)
        return np.array(list(found.values())[: self._trial.people])


def varied(voices: torch.Tensor, chance: float, rng: np.random.Generator) -> torch.Tensor:
    """Voices of which some became somebody else's, (voices, 1, samples)."""
    count = len(voices)
    drawn = rng.random(count) < chance
    speed = 2 ** (drawn * rng.uniform(-VARIED_ST, VARIED_ST, count) / 12)
    formants = np.exp(drawn * rng.uniform(-VARIED_FORMANTS, VARIED_FORMANTS, count))
    voices = formants_shifted(resampled(voices, speed), formants)
    return augment(voices, rng, Chances(**dict.fromkeys(EFFECTS, 0.0) | {"equaliser": chance}))


# ---------------------------------------------------------------- training


def among(taught: torch.Tensor, targets: torch.Tensor, who: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of naming each view's person among all, by likeness to the teacher's embeddings of them."""
    logits = F.normalize(taught, dim=-1) @ F.normalize(targets, dim=-1).T / NAMED_BY
    return F.cross_entropy(logits, who)


def model_config(trial: Trial) -> ModelConfig:
    """The compact model, with the trial's depth and mask."""
    compact = MODELS["compact"]
    changes = {"blocks": trial.blocks, "mask": MaskConfig() if trial.masked else None}
    return compact.model_copy(update={"encoder": compact.encoder.model_copy(update=changes)})


@dataclass(frozen=True)
class Course:
    """How long and how fast a run goes."""

    steps: int = 3200
    peak_rate: float = 1.2e-3
    processes: int = 1
    bf16: bool = False
    device: str = "cpu"
    begin_with: str | None = None
    validate: Path | None = None


def train(folder: Path, trial: Trial, course: Course, out: Path) -> None:
    """Train on the bank in ``folder``, or go on where ``out/state.pt`` stopped."""
    out.mkdir(parents=True, exist_ok=True)
    if trial.kept and course.begin_with is None:
        raise SystemExit("nothing to stay near to: give --begin-with, or no --kept")
    if trial.varied and (trial.contrasted or trial.taught):
        raise SystemExit("varied voices are nobody's: give --contrasted 0 --taught 0, or no --varied")
    spread(course.processes, learn, folder, trial, course, out)


def begun(folder: Path, trial: Trial, course: Course) -> torch.nn.Module:
    """The encoder before its first step."""
    encoder = build(model_config(trial))
    before = {} if course.begin_with is None else load_checkpoint(course.begin_with).encoder.state_dict()
    encoder.load_state_dict(encoder.state_dict() | before)
    learned = folder / "mask.pt"
    if trial.masked and (learned.exists() or not any(name.startswith("mask.") for name in before)):
        encoder.mask.load_state_dict(torch.load(learned, map_location="cpu", weights_only=True)["mask"])
    encoder.requires_grad_(not trial.frozen)
    if trial.masked:
        encoder.mask.requires_grad_(trial.shared_out > 0)
    if not trial.attentive:
        for weight in encoder.pool.attention.parameters():
            weight.requires_grad_(False).zero_()
    return encoder.to(course.device)


def learn(rank: int, processes: int, folder: Path, trial: Trial, course: Course, out: Path) -> None:
    """One of the processes that train together, each on batches of its own."""
    torch.manual_seed(trial.seed)
    device = course.device
    bank = Bank.load(folder)
    taught = taught_by(folder, bank)
    batches = Batches(bank, taught, trial, device)
    front = LogMel(MODELS["compact"].front_end).to(device)
    encoder = begun(folder, trial, course)
    before = load_checkpoint(course.begin_with, device).encoder if trial.kept and course.begin_with else None
    to_teacher = torch.nn.Linear(PART, PART).to(device)
    parameters = [p for p in (*encoder.parameters(), *to_teacher.parameters()) if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=course.peak_rate, weight_decay=0.02)
    unheard = [band_clip(30_000 + number) for number in range(40)] if course.validate is not None and not rank else []
    targets = torch.from_numpy(taught[batches.people] - taught.mean(axis=0)).to(device)
    step = resume(out / "state.pt", optimiser, device, encoder=encoder, to_teacher=to_teacher)
    if course.steps == 0:
        keep(out / "state.pt", step, optimiser, encoder=encoder, to_teacher=to_teacher)
    begin, log = time.monotonic(), []
    bf16 = course.bf16 and has_bf16(torch.device(device))
    warm_up = min(100, max(1, course.steps // 10))
    while step < course.steps:
        decay = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / course.steps))
        for group in optimiser.param_groups:
            group["lr"] = course.peak_rate * min(1.0, (step + 1) / warm_up) * decay
        batch = batches(step * processes + rank)
        told = shares(batch.records, front)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
            logits = encoder.mask.logits(told.heard) if trial.masked else None
            mask = 0.0 if logits is None else encoder.mask.log_share(logits)
            embeddings = encoder.embedded(told.heard + mask)
        embedded = F.normalize(embeddings.float(), dim=1)
        who = batch.who.repeat(trial.views)
        losses = dict.fromkeys(("contrast", "naming", "keeping", "sharing"), torch.zeros((), device=device))
        if trial.contrasted:
            half = len(embedded) // 2
            losses["contrast"] = supcon(embedded[:half], embedded[half:], who[:half], TOLD_BY, gather=False)
        if trial.taught:
            losses["naming"] = among(to_teacher(embedded), targets, who)
        if before is not None:
            with torch.no_grad():
                said = F.normalize(before(as_heard(batch.voices, front)), dim=1)
            losses["keeping"] = 1 - (embedded * said).sum(dim=1)[batch.own].mean()
        if logits is not None and trial.shared_out:
            losses["sharing"] = told.loss(logits.float())
        weights = (trial.contrasted, trial.taught, trial.kept, trial.shared_out)
        loss = sum((w * one for w, one in zip(weights, losses.values(), strict=True)), torch.zeros((), device=device))
        optimiser.zero_grad()
        loss.backward()
        average(parameters, processes)
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        step += 1
        log.append([one.item() for one in losses.values()])
        if rank == 0 and step % 50 == 0:
            minutes = (time.monotonic() - begin) / 60
            means = dict(zip(losses, np.round(np.mean(log[-50:], axis=0), 3).tolist(), strict=True))
            print(step, f"{minutes:.1f} min", means, flush=True)
        if rank == 0 and (step % 100 == 0 or step == course.steps):
            keep(out / "state.pt", step, optimiser, encoder=encoder, to_teacher=to_teacher)
            if course.validate is not None:
                found = validation(encoder, front, unheard, course.validate, device)
                print(json.dumps({"step": step, **found}), flush=True)


def trained(out: Path, trial: Trial) -> torch.nn.Module:
    """The encoder that ``train`` left."""
    encoder = build(model_config(trial))
    encoder.load_state_dict(torch.load(out / "state.pt", map_location="cpu", weights_only=True)["encoder"])
    return encoder


# ---------------------------------------------------------------- validation on real singing (never trained on)


@torch.inference_mode()
def validation(
    encoder: torch.nn.Module, front: torch.nn.Module, bands: list[Samples], root: Path, device: str = "cpu"
) -> dict[str, float]:
    """Nearest singer across sentences, top-1, a cappella and over bands that do not train, on `singer/*.opus`."""
    encoder.eval()
    rng = np.random.default_rng(5)
    clean, mixed, singers, sentence = [], [], [], []
    for number, folder in enumerate(sorted(p for p in root.iterdir() if p.is_dir())):
        files = sorted(folder.iterdir())
        for file in files[:: max(1, len(files) // 12)]:
            samples = voiced_only(audio.load(file).samples[0])
            if samples.size < SAMPLE_RATE // 2:
                continue
            voice = np.resize(samples, 3 * SAMPLE_RATE)
            tape = bands[len(clean) % len(bands)]
            at = int(rng.integers(0, tape.size - voice.size))
            band = tape[at : at + voice.size].astype(np.float32)
            clean.append(voice / np.abs(voice).max())
            mix = voice / voice.std() + 0.8 * band / (band.std() + 1e-6)
            mixed.append(mix / np.abs(mix).max())
            singers.append(number)
            sentence.append(file.name.split("-")[4])
    who, what = np.array(singers), np.array(sentence)
    vectors = [
        F.normalize(
            torch.cat(
                [
                    encoder(front(torch.from_numpy(np.stack(s[i : i + 64]).astype(np.float32)).to(device)[:, None]))
                    for i in range(0, len(s), 64)
                ]
            ),
            dim=-1,
        )
        .cpu()
        .numpy()
        for s in (clean, mixed)
    ]
    encoder.train()
    enrol = what == "01"
    prototypes = np.stack([vectors[0][enrol & (who == s)].mean(axis=0) for s in range(who.max() + 1)])
    right = [float(np.mean((v[~enrol] @ prototypes.T).argmax(axis=1) == who[~enrol])) for v in vectors]
    return {"a_cappella": round(right[0], 3), "over_band": round(right[1], 3)}


# ---------------------------------------------------------------- calibration and export


@cache
def unheard_band(number: int) -> Samples:
    return band_clip(20_000 + number)


def unheard_tracks(speech: Path, parametric: int) -> list[tuple[str, NDArray[np.float32]]]:
    """(person, recording) of voices that did not train: speaking and singing, alone and over a band.

    They sing plainly and themselves: fitted on whispers, growls and clips, probabilities gave every other stranger of
    real singing a name, and fitted on imitations some more than without.
    """
    rng = np.random.default_rng(13)
    tracks: list[tuple[str, NDArray[np.float32]]] = []
    nearly = tuple(f"x{speed}" for speed in SPEEDS[APART:])
    folders = speaker_folders(speech, for_training=False)
    others = [sorted(str(f) for f in folder.iterdir()) for folder in folders]
    for number, folder in enumerate(folders):
        files = others[number]
        parts = min(4, len(files) // 2)
        for part in range(parts):
            task = (folder.name, files[part::parts], others[number - 1], 1000 * number + part)
            made = [clip for clip in speaker_clips(task, plain=True) if not clip.person.endswith(nearly)]
            tracks += [(clip.person, clip.samples.astype(np.float32) / 32768) for clip in made]
    for seed in range(10_000, 10_000 + parametric):
        tracks += [
            (clip.person, clip.samples.astype(np.float32) / 32768) for clip in parametric_clips(seed, plain=True)
        ]
    mixed = []
    for number, (name, voice) in enumerate(tracks):
        if voice.size < 4 * SAMPLE_RATE:
            continue
        if rng.random() < 0.5:
            band = np.resize(unheard_band(number % UNHEARD_BANDS).astype(np.float32) / 32768, voice.size)
            voice = voice / voice.std() + 10 ** (-rng.uniform(0, 9) / 20) * band / band.std()
        mixed.append((name, voice / np.abs(voice).max()))
    return mixed


# Bands more often, and behind more voices, than in training.
_OFTEN = Trial(loud=0.75, shared=8, hard=0.5)
NUISANCES = (
    replace(_OFTEN, imitated=0.0),
    replace(_OFTEN, imitated=1.0),
    replace(_OFTEN, same=True, loud=1.0, without=("all",)),
)
"""What must not matter, each as much: clip, band and effects; who performs; the band alone."""


@torch.inference_mode()
def normalise(encoder: torch.nn.Module, bank: Bank, taught: NDArray[np.float32], floor: float, batches: int) -> None:
    """Within-class covariance normalisation (Hatch, Kajarekar, Stolcke 2006), folded into the last layer.

    Directions in which views of one voice differ little then weigh more in a cosine. ``floor``, as a share of the mean
    variance, bounds by how much; of each of the ``NUISANCES`` so many batches are drawn.
    """
    front = LogMel(MODELS["compact"].front_end)
    encoder.eval()
    within = torch.zeros(PART, PART, dtype=torch.float64)
    for trial in NUISANCES:
        drawn = Batches(bank, taught, replace(trial, people=min(trial.people, len(set(bank.speakers)))))
        differences = []
        for number in range(batches):
            views = encoder(as_heard(drawn(1_000_000 + number).records.waves, front))
            one, other = F.normalize(views, dim=1).chunk(2)
            differences.append(one - other)
        joined = torch.cat(differences).double()
        within += joined.T @ joined / joined.square().sum()
    variances, directions = torch.linalg.eigh(within / within.trace() * PART)
    scaled = (directions * (variances + floor).rsqrt() @ directions.T).float()
    encoder.head.weight.copy_(scaled @ encoder.head.weight)
    encoder.head.bias.copy_(scaled @ encoder.head.bias)


def in_songs(vectors: Sequence[FloatArray], names: Sequence[str]) -> tuple[list[FloatArray], list[str]]:
    """Each person's recordings, in random order, dealt into ``SONGS`` tracks.

    As they are, the short ones are sung and the long ones spoken: how scores grow with the number of segments would not
    show. (In a real song neighbouring segments overlap; here, at the joins, they do not.)
    """
    rng = np.random.default_rng(0)
    songs: list[FloatArray] = []
    singers: list[str] = []
    for person in sorted(set(names)):
        own = rng.permutation([number for number, name in enumerate(names) if name == person])
        for deal in range(min(SONGS, len(own))):
            songs.append(np.concatenate([vectors[number] for number in own[deal::SONGS]]))
            singers.append(person)
    return songs, singers


def export(out: Path, speech: Path, to: Path, parametric: int, floor: float, batches: int) -> None:
    from whosings.calibration import calibrate
    from whosings.embedding import TrackEmbedder

    torch.set_num_threads(1)  # two on a busy machine are far slower
    config = model_config(Trial())
    encoder = trained(out, Trial())
    bank = Bank.load(out)
    if batches:
        normalise(encoder, bank, taught_by(out, bank), floor, batches)
    card = {
        "name": "default",
        "pairs": "mashup",
        "data": "LibriSpeech (CC BY 4.0) spoken and turned into singing, parametric singers, generated bands, recorded "
        "music (CC BY 3.0, MIT, public domain); distilled from resemblyzer (Apache-2.0)",
        "licence": "Apache-2.0",
        "steps": torch.load(out / "state.pt", map_location="cpu", weights_only=True)["step"],
    }
    save_checkpoint(to, config, encoder, card, half=True)
    embedder = TrackEmbedder(to)
    apart = out / "unheard.npz"
    if not apart.exists():
        made = unheard_tracks(speech, parametric)
        with atomic(apart) as beside:
            np.savez(beside, names=[name for name, _ in made], **{str(n): voice for n, (_, voice) in enumerate(made)})
    held = np.load(apart)
    tracks = [(str(name), held[str(number)]) for number, name in enumerate(held["names"])]
    vectors = [embedder(audio.Segment(voice[None].astype(np.float32), 0.0, name)).vectors for name, voice in tracks]
    material = "held-out speakers, spoken and turned into singing, and parametric singers, alone and over bands"
    calibration = calibrate(*in_songs(vectors, [name for name, _ in tracks]), material)
    rewrite_card(to, {**card, "calibration": calibration.to_card()})
    print(calibration.track, calibration.segment, calibration.pair, calibration.threshold, calibration.noise)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    bank = commands.add_parser("bank")
    bank.add_argument("--speech", type=Path, required=True)
    bank.add_argument("--parametric", type=int, default=300)
    bank.add_argument("--bands", type=int, default=300)
    bank.add_argument("--soundfont", type=Path, nargs="+", default=[], help="that play the bands in turn")
    bank.add_argument(
        "--music", type=Path, nargs="+", default=[], help="recordings without singing that join the bands"
    )
    bank.add_argument("--workers", type=int, default=2)
    course = commands.add_parser("train")
    course.add_argument("--steps", type=int, default=Course.steps, help="0 keeps what it begins with")
    course.add_argument("--people", type=int, default=Trial.people, help="voices in a batch")
    course.add_argument("--peak-rate", type=float, default=Course.peak_rate)
    course.add_argument("--processes", type=int, default=1, help="that train together, each on as many voices")
    course.add_argument("--bf16", action="store_true", help="products in bf16, where the device has them")
    course.add_argument("--device", default="cpu", help="cuda: mixes, effects, spectrograms and encoder on a GPU")
    course.add_argument("--kept", type=float, default=Trial.kept, help="weight of staying near what it begins with")
    course.add_argument(
        "--taught", type=float, default=Trial.taught, help="weight of naming persons as the teacher does"
    )
    course.add_argument("--contrasted", type=float, default=Trial.contrasted, help="weight of NT-Xent")
    course.add_argument("--imitated", type=float, default=Trial.imitated, help="chance of an imitation")
    course.add_argument("--varied", type=float, default=Trial.varied, help="chance that a voice becomes another's")
    course.add_argument("--loud", type=float, default=Trial.loud, help="share of views over a band")
    course.add_argument("--without", nargs="+", default=[], choices=["all", *EFFECTS], help="effects")
    course.add_argument("--frozen", action="store_true", help="the encoder stays, only its mask learns")
    course.add_argument("--shared-out", type=float, default=Trial.shared_out, help="weight of the mask's own loss")
    course.add_argument("--begin-with", help="a checkpoint to go on from, as default")
    course.add_argument("--validate", type=Path, help="folder singer/*.opus of real singing, RAVDESS file names")
    give = commands.add_parser("export")
    give.add_argument("--speech", type=Path, required=True)
    give.add_argument("--to", type=Path, required=True)
    give.add_argument("--parametric", type=int, default=40, help="parametric singers that calibrate")
    give.add_argument("--floor", type=float, default=0.3, help="of the normalisation, a share of the mean variance")
    give.add_argument(
        "--batches", type=int, default=40, help="of each nuisance, that it is measured on; 0 leaves it out"
    )
    for command in (bank, course, give):
        command.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "bank":
        found = (options.speech, options.out, options.parametric, options.bands, options.workers)
        make_bank(*found, options.soundfont, options.music)
    elif options.command == "export":
        export(options.out, options.speech, options.to, options.parametric, options.floor, options.batches)
    else:
        plan = Course(**{field.name: getattr(options, field.name) for field in fields(Course)})
        chosen = ("people", "loud", "varied", "kept", "taught", "contrasted", "imitated", "frozen", "shared_out")
        trial = Trial(**{name: getattr(options, name) for name in chosen}, without=tuple(options.without))
        train(options.out, trial, plan, options.out)


if __name__ == "__main__":
    main()
