"""How the default encoder is made: generated singers and speech turned singing, mashed over generated bands.

    python recipes/default_encoder.py bank   --out runs/default --speech LIBRISPEECH
    python recipes/default_encoder.py train  --out runs/default --steps 1700   # run again, it goes on
    python recipes/default_encoder.py export --out runs/default --speech LIBRISPEECH --to whosings/weights/default

`LIBRISPEECH` is a folder `speaker/*.{opus,flac,wav}` (CC BY 4.0). `bank` makes hours of voices from an hour of speech:
each speaker, also at two other speeds (which makes another person), speaks and sings (WORLD: melody imposed, vowels
stretched, timbre kept); parametric singers join them.
A training view is three seconds of one voice, over a random band or alone, through a random room and equaliser. The
encoder is pulled to another view of the same voice (NT-Xent) and, through a linear layer that is thrown away, to the
embedding that resemblyzer (Apache-2.0) gives of the clean voice. No real singing takes part. `export` calibrates on
speakers and parametric singers that were kept apart, and writes the checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from whosings import audio
from whosings.audio import SAMPLE_RATE
from whosings.choir.band import draw_palette, play
from whosings.choir.conversion import METHODS, gather
from whosings.choir.effects import apply
from whosings.choir.from_speech import draw_style, read_speaker, sing_speech, voiced_only
from whosings.choir.genres import GENRES, draw_chain
from whosings.choir.parametric import draw_voice
from whosings.choir.performer import Performer
from whosings.choir.score import Score, compose
from whosings.choir.soundfont import LEADS, arrange, draw_ensemble, find_soundfont, render
from whosings.choir.vocoder import sound
from whosings.config import MODELS
from whosings.errors import TooShortError

Samples = NDArray[np.int16]
SPEEDS = (1.0, 0.86, 1.16)
TEACHER_DIMENSIONS = 256
MOST_RECORDINGS = 4  # of a speaker who trains
TAUGHT = 2  # clips of a person that the teacher hears: speech and singing, none of them imitated


# ---------------------------------------------------------------- the bank


def to_int16(samples: NDArray[np.float32]) -> Samples:
    return np.round(samples / max(1e-9, float(np.abs(samples).max())) * 32000).astype(np.int16)


def speaker_clips(task: tuple[str, list[str], int]) -> list[tuple[str, Samples]]:
    """All clips of one speaker and of the persons that other speeds make of it.

    Each speaks, sings twice (the speech as it runs, and syllable by syllable), and is imitated in another's song.
    """
    import soxr

    speaker, files, seed = task
    clips = []
    recordings = [audio.load(f).samples[0] for f in files]
    speech = voiced_only(np.concatenate(recordings)[: 40 * SAMPLE_RATE])
    for number, speed in enumerate(SPEEDS):
        rng = np.random.default_rng([seed, number])
        person = speech if speed == 1.0 else soxr.resample(speech, SAMPLE_RATE * speed, SAMPLE_RATE)
        name = f"{speaker}x{speed}"
        clips.append((name, to_int16(person)))
        with suppress(TooShortError):  # hardly any voiced sound
            clips.append((name, to_int16(sing_speech(person[: 14 * SAMPLE_RATE], draw_style(rng), rng))))
        with suppress(TooShortError):
            singer = read_speaker([Path(f) for f in files], rng, 1 / speed)
            clips.append((name, studio(performed(singer, rng), rng)))
            own = gather([singer.perform(score_for(singer, rng), singer.manner, rng)], name)
            other = draw_voice(rng)
            song = other.perform(score_for(other, rng), other.manner, rng)
            method = METHODS[("neighbours", "neighbours", "statistics")[int(rng.integers(3))]]
            clips.append((name, studio(sound(method(song, own), rng), rng)))
    return clips


def score_for(singer: Performer, rng: np.random.Generator) -> Score:
    return compose(rng, 13, singer.centre + float(rng.normal(0, 2)), float(rng.uniform(75, 140)))


def performed(singer: Performer, rng: np.random.Generator) -> NDArray[np.float32]:
    return sound(singer.perform(score_for(singer, rng), singer.manner, rng), rng)


_CHORDS = ((60, 64, 67), (57, 60, 64), (53, 57, 60), (55, 59, 62)) * 4  # for a channel vocoder


def studio(voice: NDArray[np.float32], rng: np.random.Generator) -> Samples:
    """Two voices of five get a genre's effects: corrected, doubled, driven, echoed, rarely vocoded."""
    voice = voiced_only(voice)
    if rng.random() < 0.4:
        chain = draw_chain(GENRES[int(rng.integers(len(GENRES)))], rng)
        voice = apply(chain, voice.astype(np.float64), 0.5, _CHORDS, rng)
    return to_int16(voice)


def parametric_clips(seed: int) -> list[tuple[str, Samples]]:
    rng = np.random.default_rng([7, seed])
    voice = draw_voice(rng)
    return [(f"parametric-{seed}", studio(performed(voice, rng), rng)) for _ in range(2)]


def band_clip(seed: int) -> Samples:
    """Two bands of three are sampled instruments, one of two of these with a melody instrument."""
    rng = np.random.default_rng([9, seed])
    palette = draw_palette(rng)
    score = compose(rng, 20, 60, palette.tempo)
    soundfont = find_soundfont()
    if soundfont is None or rng.random() < 1 / 3:
        return to_int16(play(palette, score, rng))
    lead = str(rng.choice(sorted(LEADS))) if rng.random() < 0.5 else None
    return to_int16(render(arrange(draw_ensemble(rng, lead), score, rng), soundfont)[: 30 * SAMPLE_RATE])


def teach(clips: list[Samples]) -> NDArray[np.float32]:
    """resemblyzer's embedding of one person, (256,): the mean over clips."""
    torch.set_num_threads(1)
    global _TEACHER
    if _TEACHER is None:
        from resemblyzer import VoiceEncoder

        _TEACHER = VoiceEncoder("cpu", verbose=False)
    heard = [_TEACHER.embed_utterance(at_level(clip)) for clip in clips]
    return np.mean(heard, axis=0).astype(np.float32)


def at_level(clip: Samples) -> NDArray[np.float32]:
    """At most 14 s at -30 dB, the level that the teacher learned at: its input is not logarithmic."""
    samples = clip[: 14 * SAMPLE_RATE].astype(np.float32)
    return samples * np.float32(10 ** (-30 / 20) / np.sqrt(np.mean(samples**2)))


_TEACHER = None  # one a worker process


def speaker_folders(speech: Path, for_training: bool) -> list[Path]:
    """Speakers with many recordings are kept for calibration; the others train."""
    folders = sorted(p for p in speech.iterdir() if p.is_dir())
    return [f for f in folders if (len(list(f.iterdir())) <= MOST_RECORDINGS) == for_training]


def make_bank(speech: Path, out: Path, parametric: int, bands: int, workers: int) -> None:
    tasks = [
        (f.name, sorted(str(p) for p in f.iterdir()), i)
        for i, f in enumerate(speaker_folders(speech, for_training=True))
    ]
    out.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(workers, torch.set_num_threads, (1,)) as pool:
        clips = [c for some in pool.imap(speaker_clips, tasks, 4) for c in some]
        print(f"speech: {len(clips)} clips", flush=True)
        clips += [c for some in pool.imap(parametric_clips, range(parametric), 8) for c in some]
        clips = [(name, clip) for name, clip in clips if clip.size >= 3 * SAMPLE_RATE]
        people: dict[str, list[Samples]] = {}
        for name, clip in clips:
            people.setdefault(name, []).append(clip)
        clips = [(name, clip) for name, own in people.items() for clip in own]
        band = list(pool.imap(band_clip, range(bands), 4))
        print(f"{len(clips)} clips, {sum(c.size for _, c in clips) / SAMPLE_RATE / 3600:.1f} h; teaching", flush=True)
        targets = list(pool.imap(teach, [own[:TAUGHT] for own in people.values()], 8))
    np.savez(
        out / "bank.npz",
        names=np.array([n for n, _ in clips]),
        lengths=np.array([c.size for _, c in clips]),
        samples=np.concatenate([c for _, c in clips]),
        targets=np.stack(targets),
        band=np.concatenate(band),
    )


# ---------------------------------------------------------------- views


@dataclass
class Bank:
    """Voices by identity, their targets, and one long tape of bands."""

    clips: list[Samples]
    people: list[list[int]]
    targets: NDArray[np.float32]
    band: Samples

    @classmethod
    def load(cls, path: Path) -> Bank:
        data = np.load(path)
        clips = np.split(data["samples"], np.cumsum(data["lengths"])[:-1])
        by_name: dict[str, list[int]] = {}
        for index, name in enumerate(data["names"]):
            by_name.setdefault(str(name), []).append(index)
        return cls(clips, list(by_name.values()), data["targets"], data["band"])


def crop(clip: Samples, samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random stretch of a clip."""
    first = int(rng.integers(0, max(1, clip.size - samples)))
    voice = clip[first : first + samples].astype(np.float32) / 32768
    if rng.random() < 0.2:  # a short recording, repeated as inference repeats it
        voice = voice[: int(rng.uniform(0.4, 1.0) * voice.size)]
    return np.resize(voice, samples)


def tape(bank: Bank, samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """One or two random bands at once."""
    band = np.zeros(samples, np.float32)
    for _ in range(int(rng.integers(1, 3))):
        at = int(rng.integers(0, bank.band.size - samples))
        band += bank.band[at : at + samples].astype(np.float32) / 32768
    return band


def produce(voices: torch.Tensor, bands: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """What a studio does to a voice and its band: equalisers, rooms, levels, band limits, saturation, noise.

    All in one pass through the spectral domain, views at once: (views, samples) and the same -> the same.
    """
    views, samples = voices.shape
    size = samples + _ROOM
    voice, band = torch.fft.rfft(voices, size), torch.fft.rfft(bands, size)
    bins = voice.shape[1]
    room = np.zeros((views, _ROOM), np.float32)
    room[:, 0] = 1.0
    for row in room[rng.random(views) < 0.5]:
        length = int(rng.integers(800, _ROOM))
        tail = rng.standard_normal(length, dtype=np.float32) * np.exp(-5 * np.arange(length, dtype=np.float32) / length)
        row[:length] += tail * (rng.uniform(0.05, 0.6) / np.sqrt(np.sum(tail**2)))
    voice *= torch.fft.rfft(torch.from_numpy(room), size) * equaliser(views, bins, 5.0, rng)
    band *= equaliser(views, bins, 8.0, rng)
    level = 10 ** (-rng.uniform(-4, 12, (views, 1)) / 20) * (rng.random((views, 1)) < 0.6)
    mix = voice / (voice.abs().square().mean(1, keepdim=True).sqrt() + 1e-9)
    mix += torch.from_numpy(level.astype(np.float32)) * band / (band.abs().square().mean(1, keepdim=True).sqrt() + 1e-9)
    cut = np.where(rng.random(views) < 0.3, rng.uniform(3000, 7500, views), 8000) / 8000 * bins
    mix *= torch.from_numpy(np.where(np.arange(bins)[None] < cut[:, None], 1.0, 0.01).astype(np.float32))
    waves = torch.fft.irfft(mix, size)[:, :samples]
    waves = waves / (waves.abs().amax(1, keepdim=True) + 1e-9)
    drive = torch.from_numpy(
        np.where(rng.random((views, 1)) < 0.25, rng.uniform(1, 4, (views, 1)), 0.01).astype(np.float32)
    )
    waves = torch.tanh(drive * waves) / torch.tanh(drive)
    noise = torch.from_numpy(rng.standard_normal((views, samples), dtype=np.float32))
    waves = waves + noise * torch.from_numpy((10 ** (rng.uniform(-90, -45, (views, 1)) / 20)).astype(np.float32))
    return waves / (waves.abs().amax(1, keepdim=True) + 1e-9)


_ROOM = 8250  # samples of the longest room; with three seconds a size that transforms fast


def equaliser(views: int, bins: int, deviation_db: float, rng: np.random.Generator) -> torch.Tensor:
    """Smooth random curves, (views, bins)."""
    knots = torch.from_numpy(np.cumsum(rng.normal(0, deviation_db / 3, (views, 9)), axis=1).astype(np.float32))
    curve = F.interpolate(knots[:, None], bins, mode="linear", align_corners=True)[:, 0]
    return 10 ** (curve / 20)


def batch(bank: Bank, people: int, samples: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Two views of each of ``people`` voices, from different clips: (2, people, samples), and who they are (people,).

    Half as many bands as views: each plays behind two voices, so that the band tells nothing.
    """
    chosen = rng.choice(len(bank.people), people, replace=False)
    clips = [rng.permutation(bank.people[p]) for p in chosen]
    voices = [crop(bank.clips[own[side % own.size]], samples, rng) for side in range(2) for own in clips]
    bands = np.stack([tape(bank, samples, rng) for _ in range(people)])
    both = np.concatenate([bands, np.roll(bands, int(rng.integers(1, people)), axis=0)])
    views = produce(torch.from_numpy(np.stack(voices)), torch.from_numpy(both), rng)
    return views.reshape(2, people, samples), torch.from_numpy(chosen)


# ---------------------------------------------------------------- training


def among(taught: torch.Tensor, targets: torch.Tensor, who: torch.Tensor, temperature: float) -> torch.Tensor:
    """Cross-entropy of naming each view's person among all, by likeness to the teacher's embeddings of them."""
    logits = F.normalize(taught, dim=-1) @ F.normalize(targets, dim=-1).T / temperature
    return F.cross_entropy(logits, who)


def train(
    out: Path,
    steps: int,
    people: int,
    peak_rate: float,
    threads: int,
    validate: Path | None,
    bf16: bool = False,
    begin_with: str | None = None,
) -> None:
    from whosings.contrastive.loss import nt_xent
    from whosings.encoder.convolutional import ConvolutionalEncoder
    from whosings.spectrogram import LogMel

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = MODELS["compact"]
    bank = Bank.load(out / "bank.npz")
    front = LogMel(config.front_end)
    encoder = ConvolutionalEncoder(config.encoder, config.front_end)
    to_teacher = torch.nn.Linear(config.encoder.embedding, TEACHER_DIMENSIONS)
    parameters = [*encoder.parameters(), *to_teacher.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=peak_rate, weight_decay=0.02)
    unheard = [band_clip(30_000 + number) for number in range(40)] if validate is not None else []
    targets = torch.from_numpy(bank.targets - bank.targets.mean(axis=0))
    step = 0
    state_path = out / "state.pt"
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        encoder.load_state_dict(state["encoder"])
        to_teacher.load_state_dict(state["to_teacher"])
        optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
    elif begin_with is not None:
        from whosings.encoder.checkpoint import load_checkpoint

        encoder.load_state_dict(load_checkpoint(begin_with).encoder.float().state_dict())
    begin, log = time.monotonic(), []
    while step < steps:
        progress = step / steps
        for group in optimiser.param_groups:
            group["lr"] = (
                peak_rate * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
            )
        waves, who = batch(bank, people, 3 * SAMPLE_RATE, np.random.default_rng([11, step]))
        with torch.no_grad():
            spectrograms = front(waves.reshape(-1, 1, waves.shape[-1]))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            embeddings = encoder(spectrograms)
        embeddings = embeddings.float().reshape(2, people, -1)
        taught = to_teacher(embeddings)
        contrast = nt_xent(F.normalize(embeddings[0], dim=-1), F.normalize(embeddings[1], dim=-1), 0.1)
        distil = (among(taught[0], targets, who, 0.05) + among(taught[1], targets, who, 0.05)) / 2
        loss = contrast + distil
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        step += 1
        log.append((contrast.item(), distil.item()))
        if step % 50 == 0:
            print(
                step,
                f"{(time.monotonic() - begin) / 60:.1f} min",
                np.round(np.mean(log[-50:], axis=0), 3).tolist(),
                flush=True,
            )
        if step % 100 == 0 or step == steps:
            state = {
                "encoder": encoder.state_dict(),
                "to_teacher": to_teacher.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
            }
            torch.save(state, state_path.with_suffix(".new"))
            state_path.with_suffix(".new").rename(state_path)
            if validate is not None:
                print(json.dumps({"step": step, **validation(encoder, front, unheard, validate)}), flush=True)


# ---------------------------------------------------------------- validation on real singing (never trained on)


@torch.inference_mode()
def validation(encoder: torch.nn.Module, front: torch.nn.Module, bands: list[Samples], root: Path) -> dict[str, float]:
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
                    encoder(front(torch.from_numpy(np.stack(s[i : i + 64]).astype(np.float32))[:, None]))
                    for i in range(0, len(s), 64)
                ]
            ),
            dim=-1,
        ).numpy()
        for s in (clean, mixed)
    ]
    encoder.train()
    enrol = what == "01"
    prototypes = np.stack([vectors[0][enrol & (who == s)].mean(axis=0) for s in range(who.max() + 1)])
    right = [float(np.mean((v[~enrol] @ prototypes.T).argmax(axis=1) == who[~enrol])) for v in vectors]
    return {"a_cappella": round(right[0], 3), "over_band": round(right[1], 3)}


# ---------------------------------------------------------------- calibration and export


def unheard_tracks(speech: Path, parametric: int) -> list[tuple[str, NDArray[np.float32]]]:
    """(person, 12 s or more) of voices that did not train: speaking and singing, alone and over a band."""
    rng = np.random.default_rng(13)
    tracks: list[tuple[str, NDArray[np.float32]]] = []
    for number, folder in enumerate(speaker_folders(speech, for_training=False)):
        files = sorted(str(f) for f in folder.iterdir())
        for part in range(4):
            for name, clip in speaker_clips((folder.name, files[part::4], 1000 * number + part)):
                tracks.append((name, clip.astype(np.float32) / 32768))
    for seed in range(10_000, 10_000 + parametric):
        tracks += [(name, clip.astype(np.float32) / 32768) for name, clip in parametric_clips(seed)]
    mixed = []
    for number, (name, voice) in enumerate(tracks):
        if voice.size < 4 * SAMPLE_RATE:
            continue
        if rng.random() < 0.5:
            band = np.resize(band_clip(20_000 + number).astype(np.float32) / 32768, voice.size)
            voice = voice / voice.std() + 10 ** (-rng.uniform(0, 9) / 20) * band / band.std()
        mixed.append((name, voice / np.abs(voice).max()))
    return mixed


def export(out: Path, speech: Path, to: Path) -> None:
    from whosings.calibration import calibrate
    from whosings.embedding import TrackEmbedder
    from whosings.encoder.checkpoint import build, rewrite_card, save_checkpoint

    torch.set_num_threads(2)
    state = torch.load(out / "state.pt", weights_only=True)
    encoder = build(MODELS["compact"])
    encoder.load_state_dict(state["encoder"])
    card = {
        "name": "default",
        "pairs": "mashup",
        "data": "LibriSpeech (CC BY 4.0) spoken and turned into singing, parametric singers, generated bands; "
        "distilled from resemblyzer (Apache-2.0)",
        "licence": "Apache-2.0",
        "steps": state["step"],
    }
    save_checkpoint(to, MODELS["compact"], encoder, card, half=True)
    embedder = TrackEmbedder(to)
    kept = out / "unheard.npz"
    if not kept.exists():
        made = unheard_tracks(speech, parametric=40)
        np.savez(kept, names=[name for name, _ in made], **{str(n): voice for n, (_, voice) in enumerate(made)})
    held = np.load(kept)
    tracks = [(str(name), held[str(number)]) for number, name in enumerate(held["names"])]
    vectors = [embedder(audio.Segment(voice[None].astype(np.float32), 0.0, name)).vectors for name, voice in tracks]
    material = "held-out speakers, spoken and turned into singing, and parametric singers, alone and over bands"
    calibration = calibrate(vectors, [name for name, _ in tracks], material)
    rewrite_card(to, {**card, "calibration": calibration.to_card()})
    print(calibration.track, calibration.segment, calibration.threshold, calibration.same_trials)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    bank = commands.add_parser("bank")
    bank.add_argument("--speech", type=Path, required=True)
    bank.add_argument("--parametric", type=int, default=300)
    bank.add_argument("--bands", type=int, default=300)
    bank.add_argument("--workers", type=int, default=2)
    learn = commands.add_parser("train")
    learn.add_argument("--steps", type=int, default=3000)
    learn.add_argument("--people", type=int, default=64, help="voices in a batch")
    learn.add_argument("--peak-rate", type=float, default=2e-3)
    learn.add_argument("--threads", type=int, default=2)
    learn.add_argument("--bf16", action="store_true", help="matrix products in bf16, where the processor has them")
    learn.add_argument("--begin-with", help="a checkpoint to go on from, as default")
    learn.add_argument("--validate", type=Path, help="folder singer/*.opus of real singing, RAVDESS file names")
    give = commands.add_parser("export")
    give.add_argument("--speech", type=Path, required=True)
    give.add_argument("--to", type=Path, required=True)
    for command in (bank, learn, give):
        command.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "bank":
        make_bank(options.speech, options.out, options.parametric, options.bands, options.workers)
    elif options.command == "export":
        export(options.out, options.speech, options.to)
    else:
        keys = ("out", "steps", "people", "peak_rate", "threads", "validate", "bf16", "begin_with")
        train(**{key: getattr(options, key) for key in keys})


if __name__ == "__main__":
    main()
