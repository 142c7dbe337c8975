"""How the second opinion's network is made: natural speech against the same speech through vocoders.

    python recipes/second_opinion.py bank   --out runs/opinion --speech LIBRISPEECH --singing RAVDESS
    python recipes/second_opinion.py train  --out runs/opinion --steps 450    # run again, it goes on
    python recipes/second_opinion.py export --out runs/opinion --to whosings/weights/opinion/model.safetensors \
        --songs JAMENDOLYRICS
    python recipes/second_opinion.py report --out runs/opinion --weights whosings/weights/opinion/model.safetensors

`LIBRISPEECH` is a folder `speaker/*.{opus,flac,wav}` (CC BY 4.0). Speakers with many recordings train no weights: they
fit the curve from logits to scores, and say how well it works. `RAVDESS` (`singer/*.opus`, singing without a band) and
`JAMENDOLYRICS` (`*.mp3`) train and fit nothing: error rates are measured on them. The kinds of `HELD_OUT` train
nothing, either: they say what to expect of vocoders never heard.

What tells the classes apart must be the vocoder alone. So both are the same speakers; what is resynthesised goes once
more through the codec that the recordings came in; and a pair (a natural and a processed view of one speaker) has the
same speed, equaliser, room, saturation, noise, band, compression and codec, drawn once for both.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from whosings import audio
from whosings.audio import SAMPLE_RATE
from whosings.calibration_fitting import fit_logistic
from whosings.choir import conversion
from whosings.choir.band import draw_palette, play
from whosings.choir.from_speech import draw_style, sing_speech
from whosings.choir.score import compose
from whosings.embedding import TrackEmbedder
from whosings.errors import TooShortError
from whosings.files import atomic, write_atomic
from whosings.metrics import equal_error_rate
from whosings.opinion import ArtefactNetwork, Scale, SecondOpinion, save_opinion
from whosings.sound.batch_effects import codec
from whosings.sound.record_effects import carrier, channel_vocoder
from whosings.sound.vocoder import Frames, analyze, sound
from whosings.spectrogram import htk_filterbank
from whosings.training.contrastive.augment import Chances, produce
from whosings.training.distillation.bank import to_int16
from whosings.training.distillation.state import keep, resume
from whosings.vocals.activity import trim

Samples = NDArray[np.float32]

VIEW = 2 * SAMPLE_RATE
MOST_RECORDINGS = 4  # of a speaker who trains
HELD = 100_000  # seeds from here on are kept apart
NATURAL_S, PROCESSED_S, KINDS_A_SPEAKER, PROCESSED_RECORDINGS = 10, 4, 2, 2


# ---------------------------------------------------------------- vocoders


@dataclass(frozen=True)
class Take:
    """A voice and what is needed to make something else of it."""

    samples: Samples
    other: Samples  # another speaker's voice


def world(take: Take, rng: np.random.Generator) -> Samples:
    """Analysis and synthesis, nothing else: by WORLD itself or with the choir's synthesis."""
    frames = analyze(take.samples)
    return sound(frames, rng) if rng.random() < 0.5 else world_sound(frames)


def world_sound(frames: Frames) -> Samples:
    import pyworld

    arrays = (np.ascontiguousarray(a) for a in (frames.f0, frames.envelope, frames.aperiodicity))
    return np.asarray(pyworld.synthesize(*arrays, SAMPLE_RATE, 10.0), np.float32)


def tuned(take: Take, rng: np.random.Generator) -> Samples:
    """Pitch drawn to semitones, and perhaps transposed."""
    frames = analyze(take.samples)
    voiced = frames.f0 > 0
    pitch = 69 + 12 * np.log2(np.where(voiced, frames.f0, 440) / 440)
    pitch += rng.uniform(0.5, 1) * (np.round(pitch) - pitch) + rng.integers(-4, 5)
    frames = replace(frames, f0=np.where(voiced, 440 * 2 ** ((pitch - 69) / 12), 0.0))
    return sound(frames, rng) if rng.random() < 0.5 else world_sound(frames)


def sung(take: Take, rng: np.random.Generator) -> Samples:
    return sing_speech(take.samples, draw_style(rng), rng)


def converted(method: str) -> Callable[[Take, np.random.Generator], Samples]:
    def convert(take: Take, rng: np.random.Generator) -> Samples:
        target = conversion.gather([analyze(take.other)], "the target")
        return sound(conversion.METHODS[method](analyze(take.samples), target), rng)

    return convert


def from_mel(samples: Samples, rounds: int) -> Samples:
    """80 mel bands, and phases from nothing by so many rounds of fast Griffin-Lim (Perraudin et al., 2013)."""
    size, hop = 1024, 256
    window, filters = torch.hann_window(size), htk_filterbank(size, 80, SAMPLE_RATE)
    wave = torch.from_numpy(samples)
    mel = torch.stft(wave, size, hop, window=window, return_complex=True).abs().T @ filters
    magnitude = (mel @ torch.linalg.pinv(filters)).clamp(min=1e-6).T
    generator = torch.Generator().manual_seed(samples.size)
    phase = torch.polar(torch.ones_like(magnitude), 2 * math.pi * torch.rand(magnitude.shape, generator=generator))
    before = torch.zeros_like(phase)
    for _ in range(rounds):
        made = torch.istft(magnitude * phase, size, hop, window=window, length=wave.numel())
        again = torch.stft(made, size, hop, window=window, return_complex=True)
        ahead = again + 0.99 * (again - before)
        phase, before = ahead / (ahead.abs() + 1e-9), again
    return torch.istft(magnitude * phase, size, hop, window=window, length=wave.numel()).numpy()


def griffin_lim(take: Take, rng: np.random.Generator) -> Samples:
    return from_mel(take.samples, int(rng.integers(16, 48)))


def random_phase(take: Take, rng: np.random.Generator) -> Samples:
    return from_mel(take.samples, int(rng.integers(0, 3)))


def phase_vocoder(take: Take, rng: np.random.Generator) -> Samples:
    """Stretched in the spectral domain (Flanagan and Golden, 1966), and mostly brought back to length: transposed."""
    size, hop = int(rng.choice([512, 1024, 2048])), 4
    hop = size // hop
    window, rate = torch.hann_window(size), float(2 ** (rng.choice([-1, 1]) * rng.uniform(0.8, 5) / 12))
    spectrum = torch.stft(torch.from_numpy(take.samples), size, hop, window=window, return_complex=True)
    places = torch.arange(0, spectrum.shape[1] - 2, rate)
    low = places.long()
    part = (places - low)[None]
    magnitude = (1 - part) * spectrum[:, low].abs() + part * spectrum[:, low + 1].abs()
    expected = 2 * math.pi * hop / size * torch.arange(size // 2 + 1)[:, None]
    turn = spectrum[:, low + 1].angle() - spectrum[:, low].angle() - expected
    turn = turn - 2 * math.pi * torch.round(turn / (2 * math.pi)) + expected
    phase = torch.cumsum(torch.cat([spectrum[:, :1].angle(), turn[:, :-1]], dim=1), dim=1)
    made = torch.istft(torch.polar(magnitude, phase), size, hop, window=window).numpy()
    return soxr.resample(made, SAMPLE_RATE, SAMPLE_RATE * rate) if rng.random() < 0.75 else made


def channels(take: Take, rng: np.random.Generator) -> Samples:
    """A studio's vocoder: the voice's bands on chords, or on noise."""
    dry = take.samples.astype(np.float64)
    root = rng.integers(50, 66, 8)
    chords = [[int(r), int(r) + int(rng.choice([3, 4])), int(r) + 7] for r in root]
    other = rng.standard_normal(dry.size) if rng.random() < 0.3 else carrier(chords, 1.5, dry.size)
    return np.asarray(channel_vocoder(dry, other, int(rng.integers(12, 40))), np.float32)


def linear_prediction(take: Take, rng: np.random.Generator) -> Samples:
    """Pulses or noise through an all-pole filter, as in LPC-10."""
    size, hop, order = 512, 128, int(rng.integers(12, 22))
    f0 = np.repeat(analyze(take.samples).f0, SAMPLE_RATE // 100)[: take.samples.size]
    wave = take.samples[: f0.size].astype(np.float64)
    phase = np.cumsum(f0 / SAMPLE_RATE)
    pulses = np.diff(np.floor(phase), prepend=0.0) * np.sqrt(SAMPLE_RATE / np.maximum(f0, 50))
    source = np.where(f0 > 0, pulses, rng.standard_normal(f0.size))
    window, out = np.hanning(size + 1)[:-1], np.zeros(wave.size)
    for first in range(0, wave.size - size, hop):
        frame = wave[first : first + size] * window
        lags = np.fft.irfft(np.abs(np.fft.rfft(frame, 2 * size)) ** 2)[: order + 1]
        lags[0] = lags[0] * 1.0001 + 1e-9
        rows = lags[np.abs(np.subtract.outer(np.arange(order), np.arange(order)))]
        filter_ = np.concatenate([[1.0], -np.linalg.solve(rows, lags[1:])])
        shaped = np.fft.rfft(source[first : first + size] * window, 2 * size) / np.fft.rfft(filter_, 2 * size)
        made = np.fft.irfft(shaped)[:size] * window
        out[first : first + size] += made * np.sqrt(np.sum(frame**2) / (np.sum(made**2) + 1e-9))
    return out.astype(np.float32)


KINDS: Mapping[str, tuple[float, Callable[[Take, np.random.Generator], Samples]]] = {
    "WORLD": (0.13, world),
    "WORLD, pitch corrected": (0.1, tuned),
    "WORLD, sung": (0.07, sung),
    "conversion, neighbours": (0.08, converted("neighbours")),
    "conversion, statistics": (0.08, converted("statistics")),
    "conversion, degraded": (0.04, converted("degraded")),
    "Griffin-Lim of 80 mels": (0.2, griffin_lim),
    "80 mels, random phase": (0.06, random_phase),
    "phase vocoder": (0.16, phase_vocoder),
    "channel vocoder": (0.08, channels),
    "linear prediction": (0.0, linear_prediction),
}
"""Ways of processing, and how often each is drawn for training."""
HELD_OUT = tuple(kind for kind, (share, _) in KINDS.items() if share == 0)


# ---------------------------------------------------------------- the bank


def coded(samples: Samples) -> Samples:
    """Once more through Opus, about as the recordings came."""
    wave = torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None, None]
    return np.asarray(codec(wave, np.array([True]), np.array([0.87]))[0, 0].numpy())


def processed(kind: str, take: Take, rng: np.random.Generator) -> Samples:
    """Through a vocoder, as loud as before, and through the codec that LibriSpeech came in.

    Raises:
        TooShortError: too little voice for this kind.
    """
    made = KINDS[kind][1](take, rng)[: take.samples.size]
    if not made.size or not np.isfinite(made).all() or made.std() < 1e-6:
        raise TooShortError("the voice", "is too soft or too short", "use another one")
    return coded(made * np.float32(take.samples.std() / made.std()))


@dataclass(frozen=True)
class Bank:
    """Clips with the speaker and the kind of each ("natural", "band", or one of ``KINDS``)."""

    kinds: list[str]
    speakers: list[str]
    clips: list[NDArray[np.int16]]

    def save(self, path: Path) -> None:
        sizes, joined = [clip.size for clip in self.clips], np.concatenate(self.clips)
        with atomic(path) as beside:
            np.savez(beside, kinds=np.array(self.kinds), speakers=np.array(self.speakers), sizes=sizes, clips=joined)

    @classmethod
    def load(cls, path: Path) -> Bank:
        data = np.load(path)
        clips = np.split(data["clips"], np.cumsum(data["sizes"])[:-1])
        return cls([str(k) for k in data["kinds"]], [str(s) for s in data["speakers"]], clips)

    def where(self, speaker: str, natural: bool) -> list[int]:
        return [
            n
            for n, (kind, who) in enumerate(zip(self.kinds, self.speakers, strict=True))
            if who == speaker and (kind == "natural") == natural
        ]


def make_bank(speech: Path, out: Path, bands: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    folders = {p.name: sorted(p.iterdir()) for p in sorted(speech.iterdir()) if p.is_dir()}
    names, shares = [k for k in KINDS if k not in HELD_OUT], [s for s, _ in KINDS.values() if s]
    for name, offset in (("train", 0), ("held", HELD)):
        if (out / f"{name}.npz").exists():
            continue
        people = [who for who, found in folders.items() if (len(found) <= MOST_RECORDINGS) == (name == "train")]
        rows: list[tuple[str, str, Samples]] = []
        for number, who in enumerate(people):
            rng = np.random.default_rng([70, offset + number])
            other = audio.load(folders[people[number - 1]][0]).samples[0]
            for place, file in enumerate(folders[who]):
                voice = audio.load(file).samples[0][: NATURAL_S * SAMPLE_RATE]
                rows.append(("natural", who, voice))
                drawn = list(rng.choice(names, KINDS_A_SPEAKER, False, p=np.array(shares) / sum(shares)))
                for kind in () if place >= PROCESSED_RECORDINGS else drawn if name == "train" else KINDS:
                    first = int(rng.integers(0, max(1, voice.size - PROCESSED_S * SAMPLE_RATE)))
                    take = Take(voice[first : first + PROCESSED_S * SAMPLE_RATE], other)
                    try:
                        rows.append((str(kind), who, processed(str(kind), take, rng)))
                    except TooShortError:
                        continue
            if number % 20 == 19:
                print(f"{name}: {number + 1} of {len(people)} speakers", flush=True)
        rows += [("band", "", band(number)) for number in range(offset, offset + bands)]
        save_rows(rows, out / f"{name}.npz")


def band(seed: int) -> Samples:
    rng = np.random.default_rng([71, seed])
    palette = draw_palette(rng)
    return play(palette, compose(rng, 20, 60, palette.tempo), rng)


def save_rows(rows: Sequence[tuple[str, str, Samples]], path: Path) -> None:
    Bank([r[0] for r in rows], [r[1] for r in rows], [to_int16(r[2]) for r in rows]).save(path)


def make_singing(folder: Path, out: Path, clips: int) -> None:
    """Real singing and what vocoders make of it, to report on."""
    if (out / "singing.npz").exists():
        return
    rows: list[tuple[str, str, Samples]] = []
    singers = {p.name: sorted(p.iterdir()) for p in sorted(folder.iterdir()) if p.is_dir()}
    names = list(singers)
    for number, who in enumerate(names):
        rng = np.random.default_rng([75, number])
        order = rng.permutation(len(singers[who]))
        target = [audio.load(file).samples[0] for file in singers[names[number - 1]][:4]]
        for place, file in enumerate(singers[who][n] for n in order[: 4 * clips]):
            whole = audio.load(file).samples
            voice = whole[0, trim(whole)]
            rows.append(("natural", who, voice))
            rows.append(("natural, coded again", who, coded(voice)))
            for kind in KINDS if place < clips else ():
                try:
                    rows.append((kind, who, processed(kind, Take(voice, np.concatenate(target)), rng)))
                except TooShortError:
                    continue
    rows += [("band", "", band(number)) for number in range(HELD, HELD + 20)]
    save_rows(rows, out / "singing.npz")


# ---------------------------------------------------------------- what studios do, to both


def crop(clip: NDArray[np.int16], size: int, rng: np.random.Generator) -> Samples:
    """Part of a clip in which something sounds; a short clip is repeated."""
    whole = np.tile(clip, -(-size // clip.size)).astype(np.float32) / np.float32(32768)
    for _ in range(5):
        first = int(rng.integers(0, whole.size - size + 1))
        view = whole[first : first + size]
        if view.std() > 0.6 * whole.std():
            break
    return view


def studio(voice: Samples, band: Samples | None, seed: int) -> Samples:
    """A view (VIEW,): what happens is drawn from the seed alone, whatever the voice is; nothing resynthesises it."""
    rng = np.random.default_rng([72, seed])
    chances = Chances(noise=0.4, echo=0.1, codec=0.5, pitch=0, formants=0, correction=0, vocoder=0, phases=0)
    over_db = torch.tensor([np.inf if band is None else rng.uniform(-3, 15)])
    loud, quiet = (
        torch.from_numpy(part / np.float32(np.abs(part).max() + 1e-6))[None, None]
        for part in (voice, np.zeros_like(voice) if band is None else band)
    )
    return np.asarray(produce(loud, quiet, over_db, rng, chances)[0, 0].numpy())


class Pairs:
    """Views with labels, in pairs of one speaker with the same production; batches are numbered."""

    def __init__(self, bank: Bank, seed: int, left_out: Sequence[str] = ()) -> None:
        self.bank, self.seed = bank, seed
        self.bands = [n for n, kind in enumerate(bank.kinds) if kind == "band"]
        people = sorted(set(bank.speakers) - {""})
        made = {who: [n for n in bank.where(who, False) if bank.kinds[n] not in left_out] for who in people}
        self.people = [(bank.where(who, True), made[who]) for who in people if made[who]]

    def batch(self, number: int, size: int) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
        """(waves (size, VIEW), 1 for processed (size,), kind of each)."""
        rng = np.random.default_rng([74, self.seed, number])
        waves, kinds = [], []
        for _ in range(size // 2):
            natural, made = self.people[int(rng.integers(len(self.people)))]
            seed, band = int(rng.integers(1 << 31)), None
            if rng.random() < 0.4:
                band = crop(self.bank.clips[self.bands[int(rng.integers(len(self.bands)))]], VIEW, rng)
            for choice in (natural, made):
                index = choice[int(rng.integers(len(choice)))]
                waves.append(studio(crop(self.bank.clips[index], VIEW, rng), band, seed))
                kinds.append(self.bank.kinds[index])
        truth = torch.tensor([float(kind != "natural") for kind in kinds])
        return torch.from_numpy(np.stack(waves)), truth, kinds


# ---------------------------------------------------------------- training


def train(out: Path, steps: int, batch: int, peak_rate: float, left_out: Sequence[str]) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = ArtefactNetwork()
    optimiser = torch.optim.AdamW(network.parameters(), lr=peak_rate, weight_decay=0.02)
    step = resume(out / "state.pt", optimiser, network=network)
    pairs = Pairs(Bank.load(out / "train.npz"), 1, left_out)
    began, mean = time.monotonic(), math.nan
    while step < steps:
        rate = min(1.0, (step + 1) / 30) * (0.01 + 0.495 * (1 + math.cos(math.pi * step / steps)))
        for group in optimiser.param_groups:
            group["lr"] = peak_rate * rate
        waves, truth, _ = pairs.batch(step, batch)
        loss = F.binary_cross_entropy_with_logits(network(waves), 0.96 * truth + 0.02)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        mean = loss.item() if math.isnan(mean) else 0.96 * mean + 0.04 * loss.item()
        if step % 50 == 0 or step == steps:
            print(f"{step} loss {mean:.4f} {time.monotonic() - began:.0f} s", flush=True)
            keep(out / "state.pt", step, optimiser, network=network)


# ---------------------------------------------------------------- how well it works


Heard = dict[str, NDArray[np.float64]]


def hear(listen: Callable[[Samples], float], bank: Bank, produced: bool, views: int) -> Heard:
    """Logits of a bank's clips by kind: as they are (three seconds of them), or as views with effects and bands."""
    bands = [n for n, kind in enumerate(bank.kinds) if kind == "band"]
    found: dict[str, list[float]] = {}
    for number, (kind, clip) in enumerate(zip(bank.kinds, bank.clips, strict=True)):
        for view in range(0 if kind == "band" else views):
            rng = np.random.default_rng([76, number, view])
            if produced:
                band = crop(bank.clips[int(rng.choice(bands))], VIEW, rng) if rng.random() < 0.4 else None
                samples = studio(crop(clip, VIEW, rng), band, int(rng.integers(1 << 31)))
            else:
                samples = crop(clip, min(clip.size, 3 * SAMPLE_RATE), rng)
            found.setdefault(kind, []).append(listen(samples))
    return {kind: np.array(logits) for kind, logits in found.items()}


def area(processed_: NDArray[np.float64], natural: NDArray[np.float64]) -> float:
    """Chance that a processed clip scores higher than a natural one."""
    higher, equal = (compare(processed_[:, None], natural[None]) for compare in (np.greater, np.equal))
    return float(np.mean(higher + 0.5 * equal))


def materials(listen: Callable[[Samples], float], out: Path) -> dict[str, Heard]:
    """What the network says of everything that did not train it."""
    banks = {name: Bank.load(out / f"{name}.npz") for name in ("held", "singing") if (out / f"{name}.npz").exists()}
    ways = {"as recorded": (False, 1), "with effects and bands": (True, 1)}
    return {
        f"{'speech' if name == 'held' else 'singing'}, {way}": hear(listen, bank, *how)
        for name, bank in banks.items()
        for way, how in ways.items()
    }


def by_class(heard: Mapping[str, Heard]) -> tuple[Heard, Heard]:
    """Logits of what is natural and of what is processed, by group: speech, singing, songs."""
    natural: dict[str, list[float]] = {}
    made: dict[str, list[float]] = {}
    for material, kinds in heard.items():
        for kind, logits in kinds.items():
            if kind == "natural" or kind in KINDS:
                side = natural if kind == "natural" else made
                side.setdefault(material.split(",")[0], []).extend(logits)
    return {k: np.array(v) for k, v in natural.items()}, {k: np.array(v) for k, v in made.items()}


def fit_scale(natural: Heard, made: Heard) -> Scale:
    """Logistic regression on speech, both classes weighing the same; then shares.

    False alarms are those of the group in which there are most, and count one recording more than was seen: no error
    rate is reported as nothing.
    """
    line = fit_logistic(made["speech"], natural["speech"])
    curve = Scale(line.scale, -line.offset / line.scale)
    grid = np.linspace(0, 1, 51)

    def shares(logits: NDArray[np.float64], more: int) -> NDArray[np.float64]:
        scores = np.array([curve.score(v) for v in logits])
        return ((scores[None] >= grid[:, None]).sum(axis=1) + more) / (scores.size + more)

    alarm = np.max([shares(values, 1) for values in natural.values()], axis=0)
    hits = np.mean([shares(values, 0) for values in made.values()], axis=0)
    rounded = (tuple(round(float(v), 4) for v in values) for values in (grid, alarm, hits))
    return replace(curve, **dict(zip(("thresholds", "false_alarm", "found"), rounded, strict=True)))


def songs_heard(opinion: SecondOpinion, songs: Path) -> Heard:
    """Mean logits of real songs, of the segments that are embedded; by title."""
    embedder, heard = TrackEmbedder(), {}
    for path in sorted(songs.glob("*.mp3")):
        whole = audio.load(path)
        found = embedder(whole)
        logits = opinion.logits([whole.cut(float(start), found.segment_s).samples for start in found.start_s])
        if logits.size:
            heard[path.stem] = logits.astype(np.float64).mean(keepdims=True)
    return heard


def export(out: Path, to: Path, songs: Path | None) -> None:
    torch.set_num_threads(1)
    state = torch.load(out / "state.pt", weights_only=True)
    network = ArtefactNetwork()
    network.load_state_dict(state["network"])
    save_opinion(out / "unmeasured.safetensors", network, Scale(), {})
    opinion = SecondOpinion(out / "unmeasured.safetensors")
    heard = materials(lambda samples: float(opinion.logits([samples[None]])[0]), out)
    if songs is not None:
        titles = songs_heard(opinion, songs)
        heard["songs"] = {"natural": np.concatenate(list(titles.values())), **titles}
    write_atomic(out / "heard.json", json.dumps(heard, default=np.ndarray.tolist))
    natural, made = by_class(heard)
    card = {
        "name": "opinion",
        "data": "LibriSpeech (CC BY 4.0) as recorded and through vocoders, over generated bands",
        "licence": "Apache-2.0",
        "steps": state["step"],
        "measured_on": {group: {"natural": v.size, "processed": made[group].size if group in made else 0}
                        for group, v in natural.items()},
    }  # fmt: skip
    save_opinion(to, network, fit_scale(natural, made), card)
    print(json.dumps(card, indent=1))


def report(out: Path, weights: Path) -> None:
    """AUC, equal error rate and shares that score 0.5 or more, for each material and kind that ``export`` heard."""
    scale = SecondOpinion(weights).scale
    for material, lists in json.loads((out / "heard.json").read_text()).items():
        kinds = {kind: np.array(logits) for kind, logits in lists.items()}
        natural = kinds.pop("natural")
        print(f"{material}: natural {np.mean(natural >= scale.middle):.0%} at 0.5 ({natural.size})")
        every = [values for kind, values in kinds.items() if kind in KINDS]
        for kind, values in {**({"all processed": np.concatenate(every)} if every else {}), **kinds}.items():
            if not every:
                said = scale.opinion(float(values[0]), 1)
                print(f"  {kind[:36]:38} score {said.score:.2f}  natural as high {said.false_alarm:.0%}")
                continue
            note = " (never trained on)" if kind in HELD_OUT else ""
            figures = f"AUC {area(values, natural):.3f}  EER {equal_error_rate(values, natural):.1%}"
            print(f"  {kind + note:38} {figures}  at 0.5: {np.mean(values >= scale.middle):.0%}")
    rows = list(zip(scale.thresholds, scale.false_alarm, scale.found, strict=True))[::10]
    print("at a score of", *(f"{t:.1f}: {alarm:.0%} of natural, {hits:.0%} of processed;" for t, alarm, hits in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    bank = commands.add_parser("bank")
    bank.add_argument("--speech", type=Path, required=True)
    bank.add_argument("--singing", type=Path, help="folder singer/*.opus; measured only")
    bank.add_argument("--clips", type=int, default=1, help="of each singer that are processed")
    bank.add_argument("--bands", type=int, default=60)
    learn = commands.add_parser("train")
    learn.add_argument("--steps", type=int, default=450)
    learn.add_argument("--batch", type=int, default=32)
    learn.add_argument("--peak-rate", type=float, default=3e-3)
    learn.add_argument("--leave-out", action="append", default=[], choices=list(KINDS), help="a kind not to train on")
    give = commands.add_parser("export")
    give.add_argument("--to", type=Path, required=True)
    give.add_argument("--songs", type=Path, help="folder of real songs *.mp3; measured only")
    tell = commands.add_parser("report")
    tell.add_argument("--weights", type=Path, required=True)
    for command in (bank, learn, give, tell):
        command.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "bank":
        make_bank(options.speech, options.out, options.bands)
        if options.singing is not None:
            make_singing(options.singing, options.out, options.clips)
    elif options.command == "train":
        train(options.out, options.steps, options.batch, options.peak_rate, options.leave_out)
    elif options.command == "export":
        export(options.out, options.to, options.songs)
    else:
        report(options.out, options.weights)


if __name__ == "__main__":
    main()
