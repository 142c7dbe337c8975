"""How the calibration of the encoders that ship is fitted: speakers and generated singers, in made places.

    python recipes/calibrate.py runs/default/last --bank runs/bank   # rewrites the checkpoint's card

The bank's people speak and sing, each recording alone, over one of the bank's bands or through studio effects; long
recordings, and short ones of one to three and a half seconds. They are dealt into places of twenty singers whose
embeddings share a direction (`whosings.calibration_fitting.in_places`), and the threshold of `verify` is set on
strangers of one sex, told by the median pitch of their speech. `benchmarks/real_calibration.py` checks real singers.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from whosings.audio import SAMPLE_RATE, FloatArray, Segment
from whosings.calibration import calibration_of
from whosings.calibration_fitting import calibrate, in_places
from whosings.encoder.checkpoint import load_checkpoint, rewrite_card
from whosings.segment_embedding import SegmentEmbedder
from whosings.sound.vocoder import analyze
from whosings.training.contrastive.augment import Chances, produce
from whosings.training.distillation.bank import Samples, open_bank

MATERIAL = (
    "249 speakers, spoken and turned into singing, and 150 generated singers, alone, over bands and through effects, "
    "from one second on, strangers of one sex and as if of one studio"
)
LONGEST_S, SONGS = 15, 4  # of a recording; that the long ones of a person are joined to
CONDITIONS, SHARES = ("alone", "band", "effects"), (0.4, 0.35, 0.25)
EFFECTS = replace(Chances(), speed=0.0, pitch=0.0, formants=0.0, correction=0.0, vocoder=0.0, phases=0.0)
LOW_HZ, LOW_SUNG_HZ = 155.0, 200.0  # median pitch of speech, and of singers who never speak


@dataclass(frozen=True)
class Heard:
    """One recording: its embeddings and how many segments it is worth."""

    vectors: FloatArray
    amount: float


def heard(embedder: SegmentEmbedder, bands: Samples, rng: np.random.Generator, clip: Samples, short: bool) -> Heard:
    """Embed a clip, or a short stretch of it, in a condition drawn at random."""
    if short:
        length = min(clip.size, int(rng.uniform(1.0, 3.5) * SAMPLE_RATE))
        clip = clip[int(rng.integers(0, clip.size - length + 1)) :][:length]
    voice = clip[: LONGEST_S * SAMPLE_RATE].astype(np.float32) / np.float32(32768)
    condition = rng.choice(CONDITIONS, p=SHARES)
    if condition == "band":
        band = bands[int(rng.integers(0, bands.size - voice.size)) :][: voice.size].astype(np.float32)
        loud = voice[np.abs(voice) > 0.05 * np.abs(voice).max()]
        voice = voice / loud.std() + band / (band.std() + 1e-6) * np.float32(10 ** (-rng.uniform(-4, 10) / 20))
    elif condition == "effects":
        alone = torch.from_numpy(voice)[None, None]
        voice = produce(alone, torch.zeros_like(alone), torch.tensor([torch.inf]), rng, EFFECTS)[0, 0].numpy()
    track, segment_s = Segment((voice / np.abs(voice).max())[None], 0.0, "made"), embedder.front_end.segment_s
    starts = np.arange(0.0, max(track.duration_s - segment_s, 0.0) + 1e-6, segment_s / 2)
    return Heard(embedder.along(track, starts), len(starts) * min(1.0, track.duration_s / segment_s))


def median_pitch(clips: list[Samples]) -> float:
    """Hz, over the first eight seconds of each."""
    f0 = np.concatenate([analyze(clip[: 8 * SAMPLE_RATE].astype(np.float32) / np.float32(32768)).f0 for clip in clips])
    return float(np.median(f0[f0 > 0])) if (f0 > 0).any() else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", type=Path, help="folder of a checkpoint; its card is rewritten")
    parser.add_argument("--bank", type=Path, required=True, help="folder that voice_bank.py wrote")
    parser.add_argument("--rates-only", action="store_true", help="keep the calibration, measure false-accept rates")
    given = parser.parse_args()
    torch.set_num_threads(1)
    bank = open_bank(given.bank)
    listen = partial(heard, SegmentEmbedder(str(given.encoder)), bank.bands, np.random.default_rng(0))
    rng, rows = np.random.default_rng(1), list[tuple[Heard, str, str]]()
    wanted = (bank.kinds != "imitation") & (bank.speeds[bank.persons] == 1.0)
    for person in np.unique(bank.persons[wanted]):
        name, own = bank.people[person], [bank.clip(int(n)) for n in np.flatnonzero(wanted & (bank.persons == person))]
        spoken = [clip.samples for clip in own if clip.kind == "speech"]
        low = LOW_HZ if spoken else LOW_SUNG_HZ
        sex = "low" if median_pitch(spoken or [clip.samples for clip in own]) < low else "high"
        long = [listen(own[n].samples, short=False) for n in rng.permutation(len(own))]
        songs = [long[deal::SONGS] for deal in range(min(SONGS, len(long)))]
        made = [Heard(np.concatenate([h.vectors for h in song]), sum(h.amount for h in song)) for song in songs]
        rows += [(h, name, sex) for h in (*made, *(listen(clip.samples, short=True) for clip in own))]
    tracks, singers, sexes = zip(*rows, strict=True)
    moved, places = in_places([track.vectors for track in tracks], singers)
    checkpoint = load_checkpoint(given.encoder)
    known = calibration_of(checkpoint) if given.rates_only else None
    found = calibrate(moved, singers, MATERIAL, sexes, [track.amount for track in tracks], places, known)
    rewrite_card(given.encoder, {**checkpoint.card, "calibration": found.to_card()})
    print(found.track, found.segment, found.pair, found.threshold, found.noise, found.spread, found.same_trials)


if __name__ == "__main__":
    main()
