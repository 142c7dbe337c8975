"""Enrolled singers ranked for one voice: by their mean voices, or by the votes of a fitted head.

A voice's mean embedding is scored against each enrolled singer's mean voice by cosine, both without the mean voice of
many singers (the calibration's and the gallery's own). The score is calibrated for as many segments as were heard and
enrolled, and set against the prior that nobody enrolled is singing. Where a head has been fitted on the gallery, its
segments' votes order the singers and its probabilities share what the scores leave to enrolled ones; whether anybody
enrolled sings is still the scores' to say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.calibration import Calibration, Scores, best_posteriors, neighbours_mean, singer_posteriors
from whosings.embedding import Embeddings
from whosings.gallery import Voices

LEAST_UNDER = 0.3
"""Least score of a voice under another that is named: on songs of one voice it stayed under 0.26."""

_HEARD_UNDER = 0.7  # share of its score that a voice keeps under another one
_PART_SHARE, _PART_SEGMENTS = 0.25, 3  # least part of the segments on which a singer is scored alone


@dataclass(frozen=True)
class ReadyVoices:
    """Enrolled voices without the mean voice, and the calibration that takes it away from probes, too.

    Attributes:
        reach: how far each voice reaches, (singers,), in single precision as scores are: doubles take twice as long.
    """

    voices: Voices
    calibration: Calibration
    reach: FloatArray

    @classmethod
    def of(cls, raw: Voices, calibration: Calibration) -> ReadyVoices:
        """Make them ready."""
        adapted = calibration.adapted(raw.vectors)
        reach = adapted.reach(raw.segments).astype(np.float32)
        return cls(replace(raw, vectors=adapted.centred(raw.vectors)), adapted, reach)


@dataclass(frozen=True)
class Ranking:
    """Enrolled singers as one scorer sees them.

    Attributes:
        best: place of the likeliest singer of each segment, (segments,).
        likely, nobody: probability of that singer, and of somebody who is not enrolled, (segments,).
        known: segments in which an enrolled singer is likelier than somebody else, (segments,).
        scores: cosine of the track with each singer's mean voice, (singers,).
        probabilities: that each singer sings the track, (singers,).
        order: places of singers, the best first, (singers,).
    """

    best: NDArray[np.intp]
    likely: Scores
    nobody: Scores
    known: NDArray[np.bool_]
    scores: FloatArray
    probabilities: Scores
    order: NDArray[np.intp]

    @property
    def named(self) -> NDArray[np.intp]:
        """How many segments name each singer, (singers,)."""
        return np.bincount(self.best[self.known], minlength=len(self.scores))


def by_voices(probe: Embeddings, ready: ReadyVoices, unknown_prior: float, with_parts: bool) -> Ranking:
    """Rank singers by their mean voices.

    Args:
        with_parts: score a singer on a part of the timeline alone, too, where several voices show.
    """
    calibration, enrolled, reach = ready.calibration, ready.voices.vectors, ready.reach
    by_segment = calibration.centred(neighbours_mean(probe.vectors)) @ enrolled.T
    found = best_posteriors(calibration.segment(by_segment, reach), unknown_prior)
    scores = enrolled @ calibration.centred(probe.vectors.mean(axis=0))
    llr = calibration.track(scores, calibration.reach(probe.amount) * reach)
    known = found.probability > found.nobody
    named = np.bincount(found.singer[known], minlength=len(enrolled))
    parts = np.flatnonzero(named >= max(_PART_SEGMENTS, _PART_SHARE * len(found.singer)))
    # Only where several voices show: segments chosen for their likeness to one singer would flatter that singer.
    for who in parts if with_parts and len(parts) > 1 else ():
        part = probe.vectors[known & (found.singer == who)]
        score = enrolled[who] @ calibration.centred(part.mean(axis=0))
        alone = calibration.track(score, calibration.reach(len(part) * probe.share) * reach[who])
        if alone > llr[who]:
            scores[who], llr[who] = score, alone
    probabilities = singer_posteriors(llr, unknown_prior)
    order = np.argsort(-llr, kind="stable")
    return Ranking(found.singer, found.probability, found.nobody, known, scores, probabilities, order)


def by_head(heard: FloatArray, ranking: Ranking) -> Ranking:
    """Rank singers by the votes of a fitted head; whether anybody enrolled sings is still the scores' to say.

    Args:
        heard: probabilities by the head, (segments, singers).
    """
    best, means = heard.argmax(axis=1), heard.mean(axis=0)
    votes = np.bincount(best, minlength=len(means))
    return replace(
        ranking,
        best=best,
        likely=(1 - ranking.nobody) * heard.max(axis=1),
        probabilities=ranking.probabilities.sum() * means,
        order=np.lexsort((-means, -votes)),
    )


def under(ranking: Ranking, ready: ReadyVoices, amount: float, unknown_prior: float) -> Scores:
    """Probabilities, (singers,), that each enrolled singer sings under the likeliest one, at the same time.

    A mixture of two voices lies between them. What is left of its scores when the first voice is taken away is scored
    as any voice is.

    Args:
        amount: segments that were heard.
    """
    first, enrolled = int(ranking.order[0]), ready.voices.vectors
    if len(enrolled) < 2:
        return np.zeros(len(enrolled))
    likeness = np.clip(enrolled @ enrolled[first], -0.999, 0.999)
    rest = (ranking.scores - likeness * ranking.scores[first]) / np.sqrt(1 - likeness**2)
    reach = ready.calibration.reach(amount) * ready.reach
    llr = np.where(np.arange(len(rest)) == first, -np.inf, ready.calibration.track(rest / _HEARD_UNDER, reach))
    return np.where(rest < LEAST_UNDER, 0.0, singer_posteriors(np.maximum(llr, -1e3), unknown_prior))
