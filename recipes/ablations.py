"""What each part of the default encoder's recipe is worth: small runs that differ in one thing each.

    python recipes/ablations.py --bank runs/default --out runs/ablations   # run again, it goes on
    python benchmarks/real_singing.py --singing RAVDESS --encoders runs/ablations/*

Every run starts from the same random weights, sees the same voices in the same order and has the same number of views;
it is far shorter than the default encoder's training, so that only large differences mean anything. `--only` takes some
of the trials by name.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from default_encoder import Course, Trial, model_config, train, trained

from whosings.encoder.checkpoint import save_checkpoint

WHOLE = Trial(people=32, masked=False)  # the mask is trained apart, and doubles the work
TRIALS = {
    "whole": WHOLE,
    "whole-again": replace(WHOLE, seed=100),  # what chance alone does
    "no-effects": replace(WHOLE, without=("all",)),
    "no-rooms": replace(WHOLE, without=("room", "echo")),
    "no-equaliser": replace(WHOLE, without=("equaliser",)),
    "no-dynamics": replace(WHOLE, without=("compression", "saturation", "level")),
    "no-limits": replace(WHOLE, without=("low_cut", "high_cut", "codec", "noise")),
    "no-shifts": replace(WHOLE, without=("speed", "pitch", "formants")),
    "no-vocoders": replace(WHOLE, without=("vocoder", "phases", "correction")),
    "no-bands": replace(WHOLE, loud=0.0),
    "bands-unshared": replace(WHOLE, shared=1),
    "no-guests": replace(WHOLE, guest=0.0),
    "no-hard-negatives": replace(WHOLE, hard=0.0),
    "no-imitations": replace(WHOLE, imitated=0.0),
    "speech-only": replace(WHOLE, singing=False, imitated=0.0),
    "mask": replace(WHOLE, masked=True),
    "no-naming": replace(WHOLE, taught=0.0),
    "no-contrast": replace(WHOLE, contrasted=0.0),
    "four-views": replace(WHOLE, people=16, views=4),
    "larger-batch": replace(WHOLE, people=64),
    "longer-context": replace(WHOLE, people=21, seconds=4.5),
    "plain-pooling": replace(WHOLE, attentive=False),
    "deeper": replace(WHOLE, blocks=9),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True, help="folder of the default encoder's bank")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200, help="of 64 views; a larger batch gets fewer")
    parser.add_argument("--only", nargs="+", default=list(TRIALS), choices=list(TRIALS), metavar="TRIAL")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--bf16", action="store_true")
    given = parser.parse_args()
    for name in given.only:
        to, trial = given.out / name, TRIALS[name]
        if (to / "model.safetensors").exists():
            continue
        steps = round(given.steps * 64 / (trial.people * trial.views))
        train(given.bank, trial, Course(steps, processes=given.processes, bf16=given.bf16), to)
        encoder = trained(to, trial)
        card = {"name": name, "licence": "Apache-2.0", "steps": steps}
        save_checkpoint(to, model_config(trial), encoder, card, half=True)
        (to / "state.pt").unlink()
        print(name, "done", flush=True)


if __name__ == "__main__":
    main()
