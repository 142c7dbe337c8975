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
import multiprocessing
from functools import partial
from pathlib import Path

import torch
from vocal_activity_cases import report

from whosings.choir import voice_bank as made
from whosings.training import activity

MOST_RECORDINGS = 4  # of a speaker who trains
HELD = 100_000  # seeds from here on are kept apart
FACTS: dict[str, object] = {
    "name": "activity",
    "data": "LibriSpeech (CC BY 4.0) spoken and turned into singing, parametric singers; bands rendered with "
    "FluidR3 GM and MuseScore General (MIT), generated bands",
    "licence": "Apache-2.0",
}


def make_bank(given: argparse.Namespace) -> None:
    given.out.mkdir(parents=True, exist_ok=True)
    folders = sorted(p for p in given.speech.iterdir() if p.is_dir())
    for name, offset, count in (("train", 0, given.bands), ("held", HELD, max(8, given.bands // 10))):
        chosen = [f for f in folders if (name == "train") == (len(list(f.iterdir())) <= MOST_RECORDINGS)]
        people = [(offset + i, sorted(str(p) for p in f.iterdir())) for i, f in enumerate(chosen)]
        shares = {"band": count // 2, "lead": count // 2, "solo": count // 8}
        jobs = [(offset + i, kind, font) for font in given.soundfont for kind, n in shares.items() for i in range(n)]
        jobs += [(offset + i, "numpy", "") for i in range(count // 8)]
        with multiprocessing.get_context("spawn").Pool(given.workers) as pool:
            voices = [clip for clips in pool.imap(made.wide_speaker_clips, people, 4) for clip in clips]
            voices += pool.imap(made.dry_parametric_clip, range(offset, offset + count // 4), 4)
            print(f"{name}: {len(voices)} voices", flush=True)
            bands = list(pool.imap(made.arranged_clip, jobs, 4))
            print(f"{name}: {len(bands)} bands", flush=True)
        for table in given.stems if name == "train" else []:
            stems = made.stems_of(table)
            voices, bands = [*voices, *stems.voices], [*bands, *stems.bands]
        activity.Bank(voices, bands).save(given.out / f"{name}.npz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    bank, learn, give, tell = (commands.add_parser(name) for name in ("bank", "train", "export", "report"))
    bank.add_argument("--speech", type=Path, required=True)
    bank.add_argument("--soundfont", action="append", default=[], help="an .sf2 or .sf3 file; may be repeated")
    bank.add_argument("--stems", type=Path, action="append", default=[], help="a track table with stems")
    bank.add_argument("--bands", type=int, default=800, help="bands of each soundfont, about")
    bank.add_argument("--workers", type=int, default=2)
    learn.add_argument("--steps", type=int, default=6000)
    learn.add_argument("--peak-rate", type=float, default=2e-3)
    learn.add_argument("--workers", type=int, default=1)
    learn.add_argument("--threads", type=int, default=1)
    give.add_argument("--to", type=Path, required=True)
    tell.add_argument("--weights", type=Path, required=True)
    tell.add_argument("--views", type=int, default=100, help="of each case")
    for command in (bank, learn, give, tell):
        command.add_argument("--out", type=Path, required=True)
    for command in (learn, give):
        command.add_argument("--batch", type=int, default=32)
        command.add_argument("--held", type=int, default=640, help="views that do not train, to judge by")
    given = parser.parse_args()
    if given.command == "bank":
        make_bank(given)
    elif given.command == "train":
        torch.set_num_threads(given.threads)
        say = partial(print, flush=True)
        activity.train(given.out, given.steps, given.batch, given.peak_rate, given.workers, given.held, say)
    elif given.command == "export":
        print(json.dumps(activity.export(given.out, given.to, given.batch, given.held, FACTS), indent=1))
    else:
        torch.set_num_threads(1)
        report(given.out, given.weights, given.views)


if __name__ == "__main__":
    main()
