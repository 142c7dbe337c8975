"""What the second opinion costs beside the embedding of a song's segments, and how often two of its networks err.

python benchmarks/opinion.py
python benchmarks/opinion.py --run runs/opinion --songs JAMENDOLYRICS --clones CLONES --voices VOICES --before OLD

The first line measures the cost only. With folders (see `recipes/second_opinion.py`; `--run` holds its banks) the
second one adds a table by group and kind, of long and of shorter recordings. Each network has thresholds of its own, at
which at most 5 % of the natural recordings of any group are called resynthesised; those of the "goal" hold that in
songs and in produced singing alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import measure
import numpy as np
import torch

from whosings.audio import SAMPLE_RATE, Segment
from whosings.choir.cast import draw_singer
from whosings.choir.songs import record
from whosings.embedding import TrackEmbedder
from whosings.opinion import SecondOpinion
from whosings.segment_embedding import SegmentEmbedder
from whosings.training.opinion_rates import LONG, PRODUCED, Heard, by_group, heard, left_out, of_length, thresholds
from whosings.training.second_opinion import Materials, listener, recordings

GOAL = ("songs", "singing" + PRODUCED)


def cost(quick: bool, weights: Path | None) -> float:
    """Print a table; how many times the embedding takes longer."""
    duration_s = 30.0 if quick else 240.0
    whole = Segment(record(draw_singer(0, 0), 0, duration_s).mixture[None], 0.0, "song")
    embedder, opinion = SegmentEmbedder(), SecondOpinion(weights)
    length_s = embedder.front_end.segment_s
    starts = TrackEmbedder(embedder)(whole).start_s
    segments = [np.ascontiguousarray(whole.cut(float(start), length_s).samples) for start in starts]
    seconds = measure.interleaved(
        {"embedding": lambda: embedder(segments), "second opinion": lambda: opinion(segments)}, 5
    )
    rows = [[name, s, s * SAMPLE_RATE / whole.samples.shape[1]] for name, s in seconds.items()]
    measure.table(["step", "seconds", "real-time factor"], rows)
    return seconds["embedding"] / seconds["second opinion"]


def rates(networks: dict[str, list[Heard]], long: bool) -> None:
    """Print what each network says of the recordings of one length, by group and kind."""
    header = ["group", "kind", "recordings"]
    lines: dict[tuple[str, str], list[object]] = {}
    for name, all_rows in networks.items():
        rows = of_length(all_rows, long)
        limits, goal = thresholds(rows), thresholds([row for row in rows if row.group in GOAL])
        header += [f"{name}: resynthesised", f"{name}: at the goal", f"{name}: natural"]
        for group, kind in dict.fromkeys((row.group, row.kind) for row in rows):
            logits = np.array([row.logit for row in rows if (row.group, row.kind) == (group, kind)])
            shares = (logits >= limits.resynthesised, logits >= goal.resynthesised, logits <= limits.natural)
            line = lines.setdefault((group, kind), [group, kind, logits.size])
            line += [f"{np.mean(share):.0%}" for share in shares]
        for group, values in by_group(rows, True).items():
            print(f"{name}: {left_out(rows, group)} of {values.size} of {group}, left out, are called resynthesised")
    measure.table(header, list(lines.values()))


def main() -> None:
    folder: dict[str, type] = {"type": Path}
    given: argparse.Namespace = measure.arguments(
        __doc__, run=folder, songs=folder, clones=folder, voices=folder, before=folder, after=folder
    )
    torch.set_num_threads(1)
    ratio = cost(given.quick, given.after)
    if given.run or given.songs or given.clones or given.voices:
        named = {"before": given.before, "after": given.after} if given.before else {"now": given.after}
        opinions = {name: SecondOpinion(path) for name, path in named.items()}
        networks: dict[str, list[Heard]] = {name: [] for name in named}
        for one in recordings(given.run or Path(), Materials(given.songs, given.clones, given.voices)):
            for name, opinion in opinions.items():
                networks[name] += heard(listener(opinion), [one])
        for long in (False, True):
            print(f"recordings of {LONG} segments and more" if long else "shorter recordings")
            rates(networks, long)
    measure.finish("opinion", given.quick, ratio=ratio)


if __name__ == "__main__":
    main()
