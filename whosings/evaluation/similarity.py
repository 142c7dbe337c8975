"""Whether an encoder follows the voice or the band: cosines between a test track and its own stems (paper: figure 4).

Conventions
-----------
- The similarity of two recordings is the mean cosine over all pairs of their segments, -1 to 1: of unit vectors, the
  product of their means.
- Stems are embedded at the places where the mixture is sung.
- ``model_input`` is what the encoder is meant for: the test track and the validation track are read from that stem.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from whosings.audio import FloatArray
from whosings.catalogue.manifest import Track
from whosings.embedding import TrackEmbedder
from whosings.errors import EvaluationError
from whosings.evaluation.corpus import Corpus
from whosings.evaluation.protocol import PoolSinger
from whosings.metrics import Interval, interval

BARS = ("itself", "vocal stem", "instrumental stem", "validation track", "another singer")


@dataclass(frozen=True)
class Similarities:
    """Mean similarity of test tracks to each of ``BARS``, with intervals over singers."""

    model: str
    bars: Mapping[str, Interval]


def similarities(
    model: str,
    embedder: TrackEmbedder,
    singers: Mapping[str, PoolSinger],
    corpus: Corpus,
    progress: Callable[[], None] = lambda: None,
) -> Similarities:
    """Figure 4's bars for one encoder.

    Args:
        singers: two or more singers whose test tracks have stems; of several tracks in a role the first counts.
        corpus: their tracks, embedded by the same embedder.
        progress: called after each singer.

    Raises:
        EvaluationError: fewer than two singers, or a test track without stems.
        AudioError: a stem cannot be read.
    """
    names = sorted(singers)
    if len(names) < 2:
        raise EvaluationError("similarities", "need two singers", "give more of them")
    found: dict[str, list[float]] = {bar: [] for bar in BARS}
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        test = singers[name].test[0]
        own = corpus.of(test.track_id)
        sung = corpus.start_s[corpus.first[corpus.place[test.track_id]] :][: len(own)]
        parts = {
            "itself": own,
            "vocal stem": embedder.at(_stem(test, "vocals_path"), sung),
            "instrumental stem": embedder.at(_stem(test, "instrumental_path"), sung),
            "validation track": corpus.of(singers[name].validation[0].track_id),
            "another singer": corpus.of(singers[other].test[0].track_id),
        }
        for bar, vectors in parts.items():
            found[bar].append(_mean_cosine(own, vectors))
        progress()
    return Similarities(model, {bar: interval(np.array(values), names) for bar, values in found.items()})


def _stem(track: Track, name: str) -> str:
    path = getattr(track, name)
    if path is None:
        raise EvaluationError(f"track {track.track_id}", f"has no {name}", "separate it first")
    return str(path)


def _mean_cosine(left: FloatArray, right: FloatArray) -> float:
    means = [(v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12)).mean(axis=0) for v in (left, right)]
    return float(means[0] @ means[1])
