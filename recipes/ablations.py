"""What each part of the default encoder's recipe is worth: small runs that differ in one thing each.

    python recipes/ablations.py --bank runs/default --out runs/ablations   # run again, it goes on
    python benchmarks/real_singing.py --singing RAVDESS --encoders runs/ablations/*

Every run starts from the same random weights, sees the same voices in the same order and has the same number of views;
it is far shorter than the default encoder's training, so that only large differences mean anything. `--only` takes some
of the trials by name.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from default_encoder import Course, Trial, encoder_config, train
from voice_bank import Bank

from whosings.config import MODELS
from whosings.encoder.checkpoint import save_checkpoint

TRIALS = {
    "whole": Trial(people=32),
    "no-effects": Trial(people=32, without=("all",)),
    "no-rooms": Trial(people=32, without=("room", "echo")),
    "no-equaliser": Trial(people=32, without=("equaliser",)),
    "no-dynamics": Trial(people=32, without=("compression", "saturation", "level")),
    "no-limits": Trial(people=32, without=("low_cut", "high_cut", "codec", "noise")),
    "no-shifts": Trial(people=32, without=("speed", "pitch", "formants")),
    "no-vocoders": Trial(people=32, without=("vocoder", "phases", "correction")),
    "no-bands": Trial(people=32, loud=0.0),
    "bands-unshared": Trial(people=32, shared=False),
    "no-guests": Trial(people=32, guest=0.0),
    "no-hard-negatives": Trial(people=32, hard=0.0),
    "no-imitations": Trial(people=32, imitations=False),
    "speech-only": Trial(people=32, singing=False),
    "no-teacher": Trial(people=32, taught=0.0),
    "no-contrast": Trial(people=32, contrasted=0.0),
    "four-views": Trial(people=16, views=4),
    "larger-batch": Trial(people=64),
    "longer-context": Trial(people=21, seconds=4.5),
    "band-apart": Trial(people=32, apart=1.0),
    "deeper": Trial(people=32, blocks=9),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True, help="folder of the default encoder's bank")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200, help="of 64 views; a larger batch gets fewer")
    parser.add_argument("--only", nargs="+", default=list(TRIALS), choices=list(TRIALS), metavar="TRIAL")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true")
    given = parser.parse_args()
    bank = Bank.load(given.bank / "bank.npz")
    for name in given.only:
        to, trial = given.out / name, TRIALS[name]
        if (to / "model.safetensors").exists():
            continue
        steps = round(given.steps * 64 / (trial.people * trial.views))
        course = Course(steps, threads=given.threads, bf16=given.bf16)
        encoder = train(bank, trial, course, to)
        config = MODELS["compact"].model_copy(update={"encoder": encoder_config(trial)})
        save_checkpoint(to, config, encoder, {"name": name, "licence": "Apache-2.0", "steps": steps}, half=True)
        (to / "state.pt").unlink()
        print(name, "done", flush=True)


if __name__ == "__main__":
    main()
