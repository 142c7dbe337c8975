"""How the second opinion's network is made: natural speech against the same speech through vocoders.

    python recipes/second_opinion.py bank   --out runs/opinion --speech LIBRISPEECH --singing RAVDESS
    python recipes/second_opinion.py views  --out runs/opinion --pairs 1400      # run again, it goes on
    python recipes/second_opinion.py train  --out runs/opinion --steps 450       # likewise
    python recipes/second_opinion.py export --out runs/opinion --to whosings/weights/opinion/model.safetensors \
        --songs JAMENDOLYRICS --clones CLONES --voices VOICES
    python recipes/second_opinion.py report --out runs/opinion

`LIBRISPEECH` is a folder `speaker/*.{opus,flac,wav}` (CC BY 4.0). Speakers with many recordings train no weights: they
fit the curve from logits to scores, and say how well it works. The rest is measured only: `RAVDESS`
(`singer/*.opus`, singing without a band), `JAMENDOLYRICS` (`*.mp3`, taken to be natural), `CLONES` (`method/*.flac`,
clones of a choir) and `VOICES` (`system/*.wav`, what speech synthesis made). The kinds of processing that are never
drawn (`whosings.choir.resynthesis.KINDS`) train nothing, either: they say what to expect of vocoders never heard.

What tells the classes apart must be the vocoder alone. So both are the same speakers; what is resynthesised goes once
more through the codec that the recordings came in; and a pair (a natural and a processed view of one speaker) shares
all that a studio does, drawn once for both (`whosings/training/opinion_views.py`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import torch
from second_opinion_rates import report

from whosings.choir.resynthesis import KINDS
from whosings.choir.voice_bank import short_band
from whosings.encoder.voice_share import VoiceShare
from whosings.training.distillation.bank import to_int16
from whosings.training.opinion_bank import BAND, HELD, Bank, Clip, singing_clips, speech_clips
from whosings.training.opinion_views import Pairs, make_views
from whosings.training.second_opinion import Materials, export, read_heard, train

FACTS: dict[str, object] = {
    "name": "opinion",
    "data": "LibriSpeech (CC BY 4.0) as recorded and through vocoders, over generated bands",
    "licence": "Apache-2.0",
}
tell = partial(print, flush=True)


def bands(first: int, count: int) -> Iterator[Clip]:
    for seed in range(first, first + count):
        yield Clip(BAND, "", to_int16(short_band(seed)))


def save(path: Path, voices: Iterable[Clip], music: Iterable[Clip]) -> None:
    """What is there already stays."""
    if not path.exists():
        Bank([*voices, *music]).save(path)


def make_bank(given: argparse.Namespace) -> None:
    given.out.mkdir(parents=True, exist_ok=True)
    for name, first in (("train", 0), ("held", HELD)):
        clips = speech_clips(given.speech, KINDS, train=name == "train", tell=tell)
        save(given.out / f"{name}.npz", clips, bands(first, given.bands))
    if given.singing is not None:
        save(given.out / "singing.npz", singing_clips(given.singing, KINDS, given.clips), bands(HELD, 20))


def make_pairs(given: argparse.Namespace) -> None:
    pairs = Pairs(Bank.load(given.out / "train.npz"), 1, given.leave_out, VoiceShare().alone)
    make_views(given.out, pairs, given.pairs, tell)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    bank, views, learn, give, say = (
        commands.add_parser(name) for name in ("bank", "views", "train", "export", "report")
    )
    bank.add_argument("--speech", type=Path, required=True)
    bank.add_argument("--singing", type=Path, help="folder singer/*.opus; measured only")
    bank.add_argument("--clips", type=int, default=1, help="of each singer that are processed")
    bank.add_argument("--bands", type=int, default=60)
    views.add_argument("--pairs", type=int, default=1400)
    views.add_argument("--leave-out", action="append", default=[], choices=list(KINDS), help="a kind not to train on")
    learn.add_argument("--steps", type=int, default=450)
    learn.add_argument("--batch", type=int, default=32)
    learn.add_argument("--peak-rate", type=float, default=3e-3)
    learn.add_argument("--begin", type=Path, help="weights that a new run begins with")
    give.add_argument("--to", type=Path, required=True)
    give.add_argument("--songs", type=Path, help="folder of real songs; measured only")
    give.add_argument("--clones", type=Path, help="folder method/file of a choir's clones; measured only")
    give.add_argument("--voices", type=Path, help="folder system/file of synthetic voices; measured only")
    for command in (bank, views, learn, give, say):
        command.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if given.command == "bank":
        make_bank(given)
        return
    torch.set_num_threads(1)
    if given.command == "views":
        make_pairs(given)
    elif given.command == "train":
        train(given.out, given.steps, given.batch, given.peak_rate, given.begin, tell)
    elif given.command == "export":
        materials = Materials(given.songs, given.clones, given.voices)
        print(json.dumps(export(given.out, given.to, materials, FACTS), indent=1))
    else:
        report(read_heard(given.out))


if __name__ == "__main__":
    main()
