"""What the second opinion costs: a 4-minute song through the network beside the embedding of its segments.

python benchmarks/opinion.py
"""

from __future__ import annotations

import measure
import numpy as np
import torch

from whosings.audio import SAMPLE_RATE, Segment
from whosings.choir.cast import draw_singer
from whosings.choir.songs import record
from whosings.embedding import TrackEmbedder
from whosings.opinion import SecondOpinion
from whosings.segment_embedding import SegmentEmbedder


def main() -> None:
    options = measure.arguments(__doc__)
    torch.set_num_threads(1)
    duration_s = 30.0 if options.quick else 240.0
    whole = Segment(record(draw_singer(0, 0), 0, duration_s).mixture[None], 0.0, "song")
    embedder, opinion = SegmentEmbedder(), SecondOpinion()
    length_s = embedder.front_end.segment_s
    starts = TrackEmbedder(embedder)(whole).start_s
    segments = [np.ascontiguousarray(whole.cut(float(start), length_s).samples) for start in starts]
    seconds = measure.interleaved(
        {"embedding": lambda: embedder(segments), "second opinion": lambda: opinion(segments)}, 5
    )
    rows = [[name, s, s * SAMPLE_RATE / whole.samples.shape[1]] for name, s in seconds.items()]
    measure.table(["step", "seconds", "real-time factor"], rows)
    measure.finish("opinion", options.quick, ratio=seconds["embedding"] / seconds["second opinion"])


if __name__ == "__main__":
    main()
