"""What the second opinion costs beside the embedding of a song's segments, and how often two of its networks err.

python benchmarks/opinion.py
python benchmarks/opinion.py --run runs/opinion --songs JAMENDOLYRICS --clones CLONES --voices VOICES --before OLD

The first line measures the cost only. With folders (see `recipes/second_opinion.py`; `--run` holds its banks) the
second one adds a table by group and kind. Each network has thresholds of its own, at which at most 5 % of the natural
recordings of any group are called resynthesised; "goal" is the same over songs and produced singing alone.
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
from whosings.encoder.voice_share import VoiceShare
from whosings.opinion import SecondOpinion
from whosings.segment_embedding import SegmentEmbedder
from whosings.training.opinion_rates import PRODUCED, Heard, heard, left_out, thresholds
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
    share, heard_part = VoiceShare(), [torch.from_numpy(segment) for segment in segments[:12]]
    seconds = measure.interleaved(
        {
            "embedding": lambda: embedder(segments),
            "second opinion": lambda: opinion(segments),
            "the mask on its segments": lambda: [share(segment) for segment in heard_part],
        },
        5,
    )
    rows = [[name, s, s * SAMPLE_RATE / whole.samples.shape[1]] for name, s in seconds.items()]
    measure.table(["step", "seconds", "real-time factor"], rows)
    return seconds["embedding"] / seconds["second opinion"]


def rates(networks: dict[str, list[Heard]]) -> None:
    """Print what each network calls resynthesised and natural, by group and kind."""
    header = ["group", "kind", "recordings"]
    columns = []
    for name, rows in networks.items():
        header += [f"{name}: resynthesised", f"{name}: at the goal", f"{name}: natural"]
        goal = thresholds([row for row in rows if row.group in GOAL])
        columns.append((rows, thresholds(rows), goal))
    lines: list[list[object]] = []
    for group, kind in dict.fromkeys((row.group, row.kind) for row in columns[0][0]):
        line: list[object] = [group, kind]
        for rows, limits, goal in columns:
            logits = np.array([row.logit for row in rows if (row.group, row.kind) == (group, kind)])
            shares = (logits >= limits.resynthesised, logits >= goal.resynthesised, logits <= limits.natural)
            line += [*([logits.size] if len(line) == 2 else []), *(f"{np.mean(wrong):.0%}" for wrong in shares)]
        lines.append(line)
    measure.table(header, lines)
    for name, rows in networks.items():
        for group in dict.fromkeys(row.group for row in rows if row.natural):
            count = sum(row.natural and row.group == group for row in rows)
            print(f"{name}: {left_out(rows, group)} of {count} natural recordings of {group} left out are called so")


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
        rates(networks)
    measure.finish("opinion", given.quick, ratio=ratio)


if __name__ == "__main__":
    main()
