"""What the second opinion's network does with everything that did not train it.

`python recipes/second_opinion.py report` prints it from what `export` heard, and `python benchmarks/opinion.py` for two
networks: false alarms by group with their intervals, and, at the thresholds, what is found of each kind.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whosings.choir.resynthesis import KINDS
from whosings.metrics import rate_interval
from whosings.training.opinion_rates import LONG, Heard, by_group, left_out, of_length, thresholds


def report(rows: Sequence[Heard]) -> None:
    for long in (False, True):
        own = of_length(rows, long)
        if own:
            print(f"recordings of {LONG} segments and more" if long else f"recordings of less than {LONG} segments")
            _report(own)


def _report(rows: Sequence[Heard]) -> None:
    limits = thresholds(rows)
    print("natural, called resynthesised: at the threshold, and where their own singer or song did not choose it")
    for group, values in by_group(rows, True).items():
        wrong, alone = int(np.sum(values >= limits.resynthesised)), left_out(rows, group)
        rate = rate_interval(alone, values.size)
        spread = f"{wrong} and {alone} of {values.size} ({rate.low:.0%} to {rate.high:.0%})"
        print(f"  {group:28} {spread:28} called natural: {np.mean(values <= limits.natural):.0%}")
    print("processed, called resynthesised; and called natural")
    for group, kind in dict.fromkeys((row.group, row.kind) for row in rows if not row.natural):
        logits = np.array([row.logit for row in rows if (row.group, row.kind) == (group, kind)])
        note = " (never trained on)" if kind not in KINDS or not KINDS[kind].share else ""
        found, missed = np.mean(logits >= limits.resynthesised), np.mean(logits <= limits.natural)
        print(f"  {group:20} {kind + note:42} {found:4.0%}  {missed:4.0%}  of {logits.size}")
