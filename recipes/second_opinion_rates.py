"""What the second opinion's network does with everything that did not train it.

`python recipes/second_opinion.py report` prints it from what `export` heard: AUC, equal error rate and shares that
score 0.5 or more, for each material and kind.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import binary_auroc

from whosings.choir.voice_bank import KINDS
from whosings.metrics import equal_error_rate
from whosings.opinion import SecondOpinion


def area(processed: NDArray[np.float64], natural: NDArray[np.float64]) -> float:
    """Chance that a processed clip scores higher than a natural one."""
    truth = torch.cat([torch.ones(processed.size, dtype=torch.long), torch.zeros(natural.size, dtype=torch.long)])
    return float(binary_auroc(torch.from_numpy(np.concatenate([processed, natural])), truth))


def report(out: Path, weights: Path) -> None:
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
            note = " (never trained on)" if kind in KINDS and not KINDS[kind].share else ""
            figures = f"AUC {area(values, natural):.3f}  EER {equal_error_rate(values, natural):.1%}"
            print(f"  {kind + note:38} {figures}  at 0.5: {np.mean(values >= scale.middle):.0%}")
    rows = list(zip(scale.thresholds, scale.false_alarm, scale.found, strict=True))[::10]
    print("at a score of", *(f"{t:.1f}: {alarm:.0%} of natural, {hits:.0%} of processed;" for t, alarm, hits in rows))
