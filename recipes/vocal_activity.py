"""How the vocal activity network is made: generated voices over generated bands, labelled by their stems.

    python recipes/vocal_activity.py bank   --out runs/activity --speech LIBRISPEECH --soundfont FluidR3_GM.sf2
    python recipes/vocal_activity.py train  --out runs/activity --steps 6000    # run again, it goes on
    python recipes/vocal_activity.py export --out runs/activity --to whosings/weights/activity/model.safetensors
    python recipes/vocal_activity.py report --out runs/activity --weights whosings/weights/activity/model.safetensors

`LIBRISPEECH` is a folder `speaker/*.{opus,flac,wav}` (CC BY 4.0); `--soundfont` may be given several times (FluidR3 and
MuseScore General, both MIT); `--stems TABLE` adds the stems of any track table. No real song takes part.

Six seconds at a time, a voice (sung, spoken, hummed, screamed, a choir, doubled, in a room or a hall, with echoes,
compressed, for a while or throughout) is laid over a band (or none, or noise), or there is only the band: with
saxophones, strings, winds, guitars and synthesizers that bend and shake a melody as singers do. A frame of 50 ms is
vocal if the voice's stem sounds there and is not buried under the band's. Speakers with many recordings, other scores
and other bands are kept apart: they fit the curve from shares of frames to probabilities, and say how well it works.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from whosings import audio
from whosings.audio import SAMPLE_RATE
from whosings.catalogue.manifest import read_manifest
from whosings.choir.band import draw_palette, play
from whosings.choir.expression import Manner
from whosings.choir.from_speech import Style, sing_speech, voiced_only
from whosings.choir.parametric import draw_voice, sing
from whosings.choir.score import compose
from whosings.choir.soundfont import LEADS, arrange, draw_ensemble, render
from whosings.errors import TooShortError
from whosings.spectrogram import LogMel
from whosings.training.distillation.bank import to_int16
from whosings.training.distillation.state import keep, resume
from whosings.vocals.detector import FRAME_S, FRONT_END, LEVEL, ActivityDetector, ActivityNetwork, Curve, save_detector

Samples = NDArray[np.float32]
Clip = tuple[str, NDArray[np.int16]]

VIEW_S, PIECE_FRAMES = 6.0, 60
VIEW = round(VIEW_S * SAMPLE_RATE)
FRAME = round(FRAME_S * SAMPLE_RATE)
SIZE = 3 << 15  # samples of a transform: a view and a little more
FREQUENCY = torch.linspace(0, SAMPLE_RATE / 2, SIZE // 2 + 1)
SUNG_SHARE = 1 / 3  # of a piece, from which it is vocal
MOST_RECORDINGS = 4  # of a speaker who trains
HELD = 100_000  # seeds from here on are kept apart
SUNG, SPOKEN = ("sung", "parametric", "stem"), ("speech",)


# ---------------------------------------------------------------- the bank


def draw_wide_style(rng: np.random.Generator) -> Style:
    """Anything a voice does: slow and fast, low and falsetto, hard-tuned and sliding, breathy, of other tracts."""
    return Style(
        stretch=float(rng.uniform(1.0, 3.0)),
        lift=float(rng.uniform(-2, 14)),
        tempo=float(rng.uniform(60, 160)),
        manner=Manner(
            glide_s=float(rng.choice([0.01, 0.05, 0.1, 0.2])),
            vibrato_hz=float(rng.uniform(4, 7)),
            vibrato_cents=float(rng.uniform(0, 80)),
        ),
        breath=float(rng.choice([0, 0, rng.uniform(0, 0.6)])),
        tract=float(np.exp(rng.normal(0, 0.1))),
    )


def speaker_clips(task: tuple[int, list[str]]) -> list[Clip]:
    """A speaker as recorded, and singing four times."""
    seed, files = task
    speech = np.concatenate([audio.load(file).samples[0] for file in files])[: 40 * SAMPLE_RATE]
    clips = [("speech", to_int16(speech))]
    voice = voiced_only(speech)
    for number in range(4):
        rng = np.random.default_rng([50, seed, number])
        first = int(rng.integers(0, max(1, voice.size - 16 * SAMPLE_RATE)))
        style = draw_wide_style(rng)
        try:
            clips.append(("sung", to_int16(sing_speech(voice[first : first + 16 * SAMPLE_RATE], style, rng))))
        except TooShortError:
            continue
    return clips


def parametric_clip(seed: int) -> Clip:
    rng = np.random.default_rng([51, seed])
    voice = draw_voice(rng)
    score = compose(rng, 14, voice.centre + rng.normal(0, 2), rng.uniform(70, 140))
    return "parametric", to_int16(sing(voice, score, rng))


def band_clip(task: tuple[int, str, str]) -> Clip:
    """A band: "band", "lead" (somebody plays a melody), "solo" (hardly anybody else does), or the NumPy one."""
    seed, kind, soundfont = task
    rng = np.random.default_rng([52, seed, len(kind), len(soundfont)])
    if kind == "numpy":
        palette = draw_palette(rng)
        return kind, to_int16(play(palette, compose(rng, 30, 60, palette.tempo), rng))
    family = list(LEADS)[seed % len(LEADS)] if kind != "band" else None
    score = compose(rng, 40, float(rng.uniform(52, 76)), float(rng.uniform(65, 165)))
    band = draw_ensemble(rng, family)
    if kind == "solo":
        levels = (int(rng.choice([1, 40])), *band.levels[1:])
        band = replace(band, bass=None, pad=None, figure=None, kit=None, levels=levels)
    return family or kind, to_int16(render(arrange(band, score, rng), soundfont))


def stem_clips(table: Path) -> tuple[list[Clip], list[Clip]]:
    """Voices and bands of tracks that have stems."""
    voices: list[Clip] = []
    bands: list[Clip] = []
    for track in read_manifest(table).tracks:
        for path, clips in ((track.vocals_path, voices), (track.instrumental_path, bands)):
            if path is not None:
                clips.append(("stem", to_int16(audio.load(path).samples[0])))
    return voices, bands


def make_bank(speech: Path, soundfonts: list[str], stems: list[Path], out: Path, bands: int, workers: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    folders = sorted(p for p in speech.iterdir() if p.is_dir())
    for name, offset, count in (("train", 0, bands), ("held", HELD, max(8, bands // 10))):
        chosen = [f for f in folders if (name == "train") == (len(list(f.iterdir())) <= MOST_RECORDINGS)]
        people = [(offset + i, sorted(str(p) for p in f.iterdir())) for i, f in enumerate(chosen)]
        shares = {"band": count // 2, "lead": count // 2, "solo": count // 8}
        jobs = [(offset + i, kind, font) for font in soundfonts for kind, n in shares.items() for i in range(n)]
        jobs += [(offset + i, "numpy", "") for i in range(count // 8)]
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            voices = [clip for clips in pool.imap(speaker_clips, people, 4) for clip in clips]
            voices += list(pool.imap(parametric_clip, range(offset, offset + count // 4), 4))
            print(f"{name}: {len(voices)} voices", flush=True)
            played = list(pool.imap(band_clip, jobs, 4))
            print(f"{name}: {len(played)} bands", flush=True)
        for table in stems if name == "train" else []:
            more_voices, more_bands = stem_clips(table)
            voices, played = voices + more_voices, played + more_bands
        Bank([k for k, _ in voices], [c for _, c in voices], [k for k, _ in played], [c for _, c in played]).save(
            out / f"{name}.npz"
        )


@dataclass(frozen=True)
class Bank:
    """Voices and bands with their kinds."""

    voice_kinds: list[str]
    voices: list[NDArray[np.int16]]
    band_kinds: list[str]
    bands: list[NDArray[np.int16]]

    def save(self, path: Path) -> None:
        np.savez(
            path,
            **{"voice-kinds": np.array(self.voice_kinds), "voice-lengths": [c.size for c in self.voices],
               "voices": np.concatenate(self.voices), "band-kinds": np.array(self.band_kinds),
               "band-lengths": [c.size for c in self.bands], "bands": np.concatenate(self.bands)},
        )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> Bank:
        data = np.load(path)
        voices = np.split(data["voices"], np.cumsum(data["voice-lengths"])[:-1])
        bands = np.split(data["bands"], np.cumsum(data["band-lengths"])[:-1])
        return cls([str(k) for k in data["voice-kinds"]], voices, [str(k) for k in data["band-kinds"]], bands)

    def voice(self, kinds: tuple[str, ...], rng: np.random.Generator) -> Samples:
        """Six seconds of a voice of one of these kinds."""
        chosen = [i for i, kind in enumerate(self.voice_kinds) if kind in kinds]
        return crop(self.voices[chosen[int(rng.integers(len(chosen)))]], rng)

    def band(self, rng: np.random.Generator) -> Samples:
        """Six seconds of a band."""
        return crop(self.bands[int(rng.integers(len(self.bands)))], rng)


def crop(clip: NDArray[np.int16], rng: np.random.Generator) -> Samples:
    """Six seconds from anywhere in a clip; a shorter one lies somewhere in silence."""
    if clip.size <= VIEW:
        view = np.zeros(VIEW, np.float32)
        first = int(rng.integers(0, VIEW - clip.size + 1))
        view[first : first + clip.size] = clip
        return view / np.float32(32768)
    first = int(rng.integers(0, clip.size - VIEW))
    return clip[first : first + VIEW].astype(np.float32) / np.float32(32768)


# ---------------------------------------------------------------- what studios do


def filtered(samples: Samples, response: torch.Tensor) -> Samples:
    spectrum = torch.fft.rfft(torch.from_numpy(np.ascontiguousarray(samples, np.float32)), SIZE)
    return np.asarray(torch.fft.irfft(spectrum * response, SIZE)[:VIEW].numpy())


def equaliser(deviation_db: float, rng: np.random.Generator) -> torch.Tensor:
    knots = np.cumsum(rng.normal(0, deviation_db / 3, 9))
    curve = torch.from_numpy((knots - knots.mean()).astype(np.float32))
    return 10 ** (F.interpolate(curve[None, None], FREQUENCY.numel(), mode="linear", align_corners=True)[0, 0] / 20)


def room(rng: np.random.Generator) -> torch.Tensor:
    """From a booth to a cathedral: the direct sound and a decaying tail."""
    length = int(SAMPLE_RATE * rng.uniform(0.1, 2.5))
    tail = rng.standard_normal(length, dtype=np.float32) * np.exp(-6 * np.arange(length, dtype=np.float32) / length)
    spectrum = torch.fft.rfft(torch.from_numpy(tail / np.sqrt(np.sum(tail**2))), SIZE)
    if rng.random() < 0.5:
        spectrum = spectrum * torch.exp(-FREQUENCY / 8000 * rng.uniform(0, 5))
    return 1 + spectrum * 10 ** (rng.uniform(-20, -2) / 20)


def echoes(rng: np.random.Generator) -> torch.Tensor:
    delay, gain = rng.uniform(0.15, 0.5), rng.uniform(0.2, 0.5)
    return (
        1 + gain * torch.exp(-2j * math.pi * FREQUENCY * delay) + gain**2 * torch.exp(-4j * math.pi * FREQUENCY * delay)
    )


def below(hertz: float) -> torch.Tensor:
    return 1 / (1 + (FREQUENCY / hertz) ** 4)


def levels(samples: Samples) -> Samples:
    """Root mean square of each frame."""
    return np.sqrt(np.mean(samples.reshape(-1, FRAME) ** 2, axis=1) + 1e-14)


VOICES = {"singing": 0.55, "rap or speech": 0.17, "choir": 0.14, "humming": 0.06, "screams": 0.08}
"""Ways of using a voice, and how often each is drawn."""


def draw_voice_view(bank: Bank, rng: np.random.Generator, kind: str) -> Samples:
    """Six seconds of a voice, used in one of the ways of ``VOICES``."""
    if kind == "singing":
        voice = bank.voice(SUNG, rng)
    elif kind == "rap or speech":
        voice = bank.voice(SPOKEN, rng)
    elif kind == "choir":
        voice = sum(bank.voice(SUNG, rng) * np.float32(rng.uniform(0.4, 1)) for _ in range(int(rng.integers(2, 6))))
    elif kind == "humming":
        voice = filtered(bank.voice(SUNG, rng), below(float(rng.uniform(300, 900))))
    else:
        voice = bank.voice(SUNG + SPOKEN, rng)
        voice = np.tanh(voice / (np.abs(voice).max() + 1e-6) * np.float32(rng.uniform(5, 40)))
    if rng.random() < 0.3:  # doubled
        delay = int(rng.uniform(0.01, 0.04) * SAMPLE_RATE)
        voice[delay:] = voice[delay:] + np.float32(rng.uniform(0.3, 0.9)) * voice[:-delay]
    return np.asarray(voice, np.float32)


def with_rest(voice: Samples, rng: np.random.Generator) -> Samples:
    """Only for a while, or with a rest, in half of the cases."""
    if rng.random() < 0.45:
        first, last = sorted((rng.uniform(0, VIEW, 2)).astype(int))
        inside = np.zeros(VIEW, np.float32)
        inside[first:last] = 1
        gate = np.convolve(inside, np.ones(800, np.float32) / 800, "same")
        voice = voice * (gate if rng.random() < 0.5 else 1 - gate)
    return np.asarray(voice, np.float32)


def produce_voice(voice: Samples, rng: np.random.Generator) -> Samples:
    response = equaliser(6, rng).to(torch.complex64)
    if rng.random() < 0.6:
        response = response * room(rng)
    if rng.random() < 0.15:
        response = response * echoes(rng)
    if rng.random() < 0.5:
        response = response * (1 - below(float(rng.uniform(60, 250))))
    voice = filtered(voice, response)
    if rng.random() < 0.5:  # compression
        smooth = np.convolve(levels(voice), np.ones(5) / 5, "same")
        voice = voice * np.repeat((smooth + 0.05 * smooth.max()) ** -rng.uniform(0.2, 0.7), FRAME).astype(np.float32)
    return voice


def draw_band_view(bank: Bank, rng: np.random.Generator) -> Samples:
    band = bank.band(rng)
    if rng.random() < 0.2:
        band = band + np.float32(rng.uniform(0.3, 1)) * bank.band(rng)
    if rng.random() < 0.25:  # amplifiers
        band = np.tanh(band * np.float32(10 ** (rng.uniform(0, 30) / 20)))
    response = equaliser(9, rng).to(torch.complex64)
    if rng.random() < 0.3:
        response = response * room(rng)
    if rng.random() < 0.15:
        response = response * below(float(rng.uniform(600, 4000)))
    band = filtered(band, response)
    if rng.random() < 0.15:  # ducked under the bass drum
        period, depth = rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.9)
        time_s = (np.arange(VIEW) / SAMPLE_RATE + rng.random()) % period
        band = band * (1 - depth * np.exp(-4 * time_s / period)).astype(np.float32)
    return np.asarray(band / (band.std() + 1e-6), np.float32)


def example(bank: Bank, rng: np.random.Generator) -> tuple[Samples, Samples]:
    """(mixture (VIEW,), vocal or not for each frame)."""
    alone = rng.random() < 0.1
    band = np.zeros(VIEW, np.float32) if alone else draw_band_view(bank, rng)
    if alone and rng.random() < 0.3:
        band = rng.standard_normal(VIEW, dtype=np.float32) * np.float32(10 ** rng.uniform(-4, -1))
    sung = np.zeros(VIEW // FRAME, np.float32)
    mixture = band
    if rng.random() < 0.6:
        kind = str(rng.choice(list(VOICES), p=list(VOICES.values())))
        voice = produce_voice(with_rest(draw_voice_view(bank, rng, kind), rng), rng)
        frames = levels(voice)
        loud = float(np.percentile(frames, 95)) + 1e-9
        heard = frames > loud * 10 ** (-28 / 20)
        voice = voice / loud
        if not alone:
            voice = voice * np.float32(10 ** (rng.uniform(-10, 10) / 20))
            heard &= levels(voice) > 10 ** (-16 / 20) * levels(band)
        sung = (np.convolve(heard, np.ones(5), "same") >= 2).astype(np.float32)
        mixture = voice + band
    if rng.random() < 0.3:
        mixture = np.tanh(mixture / (np.abs(mixture).max() + 1e-6) * np.float32(rng.uniform(1, 5)))
    response = equaliser(5, rng)
    if rng.random() < 0.3:
        response = torch.where(rng.uniform(3500, 7800) < FREQUENCY, 0.003 * response, response)
    mixture = filtered(mixture, response)
    mixture = mixture / (np.sqrt(np.mean(mixture**2)) + 1e-5) * LEVEL * 10 ** (rng.uniform(-14, 4) / 20)
    hiss = rng.standard_normal(VIEW, dtype=np.float32) * 10 ** (rng.uniform(-95, -50) / 20)
    return np.asarray(mixture + hiss, np.float32), sung


class Views(torch.utils.data.IterableDataset[tuple[torch.Tensor, torch.Tensor]]):
    """Batches of examples, numbered from ``first`` on, the same for any number of loading processes."""

    def __init__(self, bank: Path, seed: int, batch: int, first: int = 0) -> None:
        self.bank, self.seed, self.batch, self.first = bank, seed, batch, first

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        bank = Bank.load(self.bank)
        worker: Any = torch.utils.data.get_worker_info()
        number, step = (self.first + worker.id, worker.num_workers) if worker else (self.first, 1)
        while True:
            rng = np.random.default_rng([self.seed, number])
            views = [example(bank, rng) for _ in range(self.batch)]
            yield tuple(torch.from_numpy(np.stack(part)) for part in zip(*views, strict=True))  # type: ignore[misc]
            number += step


# ---------------------------------------------------------------- training


def train(out: Path, steps: int, batch: int, peak_rate: float, workers: int, threads: int, held: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network, log_mel = ActivityNetwork(), LogMel(FRONT_END)
    optimiser = torch.optim.AdamW(network.parameters(), lr=peak_rate, weight_decay=0.02)
    step = resume(out / "state.pt", optimiser, network=network)
    judged = held_back(out, batch, held)
    views = iter(
        torch.utils.data.DataLoader(
            Views(out / "train.npz", 1, batch, step), None, num_workers=workers, prefetch_factor=4
        )
    )
    began, mean = time.monotonic(), math.nan
    while step < steps:
        rate = min(1.0, (step + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))
        for group in optimiser.param_groups:
            group["lr"] = peak_rate * rate
        waves, sung = next(views)
        with torch.no_grad():
            spectrograms = log_mel(waves[:, None])
        loss = F.binary_cross_entropy_with_logits(network(spectrograms), 0.98 * sung + 0.01)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
        if step % 500 == 0 or step == steps:
            shares, truth = pieces_of(network, judged)
            print(
                f"{step} loss {mean:.4f} held-out AUC {auc(shares, truth):.4f} {time.monotonic() - began:.0f} s",
                flush=True,
            )
            keep(out / "state.pt", step, optimiser, network=network)


def held_back(out: Path, batch: int, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Views of voices and bands that do not train."""
    views = iter(Views(out / "held.npz", 2, batch))
    return [next(views) for _ in range(count // batch)]


def pieces_of(
    network: ActivityNetwork, views: list[tuple[torch.Tensor, torch.Tensor]]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(share of sung frames as heard, whether it is vocal) for each piece."""
    log_mel = LogMel(FRONT_END)
    was_training = network.training
    network.eval()
    shares, truth = [], []
    with torch.inference_mode():
        for waves, sung in views:
            heard = torch.sigmoid(network(log_mel(waves[:, None])))
            shares.append(heard.reshape(-1, PIECE_FRAMES).mean(1).double().numpy())
            truth.append(sung.reshape(-1, PIECE_FRAMES).mean(1).numpy() >= SUNG_SHARE)
    network.train(was_training)
    return np.concatenate(shares), np.concatenate(truth)


def auc(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Chance that a vocal piece scores higher than another one."""
    higher = scores[truth][:, None] > scores[~truth][None]
    equal = scores[truth][:, None] == scores[~truth][None]
    return float(np.mean(higher + 0.5 * equal))


def fit_curve(shares: NDArray[np.float64], truth: NDArray[np.bool_]) -> Curve:
    """Logistic regression of the truth on the logit of the share, by Newton's method."""
    share = np.clip(shares, 1e-4, 1 - 1e-4)
    design = np.stack([np.log(share / (1 - share)), np.ones(share.size)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ weights))
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
        weights = weights + np.linalg.solve(hessian, design.T @ (truth - p))
    return Curve(float(weights[0]), float(-weights[1] / weights[0]))


def report(out: Path, weights: Path, views: int) -> None:
    """How often hard cases that did not train are heard as singing, piece by piece, at the shipped threshold."""
    torch.set_num_threads(1)
    bank, detector = Bank.load(out / "held.npz"), ActivityDetector(weights)
    rng = np.random.default_rng(3)

    def heard(make: Callable[[], Samples]) -> str:
        found = [detector(make()[None]).probability >= 0.5 for _ in range(views)]
        return f"{np.mean(found):.0%}"

    def voiced(kind: str) -> Samples:
        while True:  # all of it voiced: the clips have rests, too
            voice = produce_voice(draw_voice_view(bank, rng, kind), rng)
            frames = levels(voice)
            if np.mean(frames > np.percentile(frames, 95) * 10 ** (-28 / 20)) > 0.8:
                return voice / np.float32(voice.std())

    def over_band(kind: str) -> Samples:
        band = draw_band_view(bank, rng)
        return (voiced(kind) * np.float32(10 ** (rng.uniform(-3, 6) / 20)) + band) * np.float32(0.1)

    def cathedral() -> Samples:
        tail = rng.standard_normal(SAMPLE_RATE * 3) * np.exp(-np.arange(SAMPLE_RATE * 3) / SAMPLE_RATE / 0.45)
        response = torch.fft.rfft(torch.from_numpy((tail / np.sqrt(np.sum(tail**2))).astype(np.float32)), SIZE)
        return np.float32(0.1) * filtered(voiced("singing"), response)

    print("heard as singing, of pieces with a voice (over a band at -3 to 6 dB unless said)")
    for kind in VOICES:
        print(f"  {kind:28} {heard(lambda kind=kind: over_band(kind))}")
        print(f"  {kind + ', a cappella':28} {heard(lambda kind=kind: voiced(kind) * np.float32(0.1))}")
    print(f"  {'a cathedral, a cappella':28} {heard(cathedral)}")
    print("heard as singing, of pieces without one")
    for kind in dict.fromkeys(bank.band_kinds):
        clips = [clip for name, clip in zip(bank.band_kinds, bank.bands, strict=True) if name == kind]
        print(f"  {kind:28} {heard(lambda clips=clips: crop(clips[int(rng.integers(len(clips)))], rng))}")
    print(f"  {'silence':28} {heard(lambda: np.zeros(VIEW, np.float32))}")
    print(f"  {'noise':28} {heard(lambda: rng.standard_normal(VIEW, dtype=np.float32) * np.float32(0.1))}")


def export(out: Path, to: Path, batch: int, held: int) -> None:
    state = torch.load(out / "state.pt", weights_only=True)
    network = ActivityNetwork()
    network.load_state_dict(state["network"])
    shares, truth = pieces_of(network.eval(), held_back(out, batch, held))
    card = {
        "name": "activity",
        "data": "LibriSpeech (CC BY 4.0) spoken and turned into singing, parametric singers; bands rendered with "
        "FluidR3 GM and MuseScore General (MIT), generated bands",
        "licence": "Apache-2.0",
        "steps": state["step"],
        "held_out_auc": round(auc(shares, truth), 4),
    }
    save_detector(to, network, fit_curve(shares, truth), card)
    print(json.dumps(card, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    bank = commands.add_parser("bank")
    bank.add_argument("--speech", type=Path, required=True)
    bank.add_argument("--soundfont", action="append", default=[], help="an .sf2 or .sf3 file; may be repeated")
    bank.add_argument("--stems", type=Path, action="append", default=[], help="a track table with stems")
    bank.add_argument("--bands", type=int, default=800, help="bands of each soundfont, about")
    bank.add_argument("--workers", type=int, default=2)
    learn = commands.add_parser("train")
    learn.add_argument("--steps", type=int, default=6000)
    learn.add_argument("--peak-rate", type=float, default=2e-3)
    learn.add_argument("--workers", type=int, default=1)
    learn.add_argument("--threads", type=int, default=1)
    give = commands.add_parser("export")
    give.add_argument("--to", type=Path, required=True)
    tell = commands.add_parser("report")
    tell.add_argument("--weights", type=Path, required=True)
    tell.add_argument("--views", type=int, default=100, help="of each case")
    for command in (bank, learn, give, tell):
        command.add_argument("--out", type=Path, required=True)
    for command in (learn, give):
        command.add_argument("--batch", type=int, default=32)
        command.add_argument("--held", type=int, default=640, help="views that do not train, to judge by")
    options = parser.parse_args()
    if options.command == "bank":
        make_bank(options.speech, options.soundfont, options.stems, options.out, options.bands, options.workers)
    elif options.command == "train":
        train(
            options.out, options.steps, options.batch, options.peak_rate, options.workers, options.threads, options.held
        )
    elif options.command == "export":
        export(options.out, options.to, options.batch, options.held)
    else:
        report(options.out, options.weights, options.views)


if __name__ == "__main__":
    main()
