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
from whosings.calibration import (
    Calibration,
    Scores,
    best_posteriors,
    evidence,
    neighbours_mean,
    singer_posteriors,
)
from whosings.embedding import Embeddings
from whosings.enrolled import Voices
from whosings.heard import HeardVoice

LEAST_UNDER = 0.3
"""Least score of a voice under another that is named: on songs of one voice it stayed under 0.26."""

HEARD_UNDER = 0.7
"""Share of its score that a voice keeps under another one."""

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

    def compare(self, means: FloatArray, amounts: NDArray[np.float64]) -> Compared:
        """Recordings' mean embeddings (recordings, dimensions) with every voice.

        Args:
            amounts: (recordings,) how many segments were heard of each.
        """
        scores = self.calibration.centred(means) @ self.voices.vectors.T
        reach = self.calibration.reach(amounts).astype(np.float32)[:, None] * self.reach
        return Compared(scores, self.calibration.track(scores, reach))


@dataclass(frozen=True)
class Compared:
    """Cosines and log-likelihood ratios (nats) of recordings and singers, (recordings, singers) each."""

    scores: FloatArray
    llr: Scores


@dataclass(frozen=True)
class SegmentRanking:
    """Who is likely in each segment, where the segments have to tell voices apart.

    Attributes:
        best: place of the likeliest singer, (segments,).
        likely, nobody: probability of that singer, and of somebody who is not enrolled, (segments,).
        known: segments in which an enrolled singer is likelier than somebody else, (segments,).
    """

    best: NDArray[np.intp]
    likely: Scores
    nobody: Scores
    known: NDArray[np.bool_]

    def named(self, singers: int) -> NDArray[np.intp]:
        """How many segments name each of so many singers, (singers,)."""
        return np.bincount(self.best[self.known], minlength=singers)


@dataclass(frozen=True)
class Ranking:
    """Enrolled singers as one scorer sees them.

    Attributes:
        scores: cosine of the track with each singer's mean voice, (singers,).
        evidence: log-odds (nats) of each singer against somebody who is not enrolled, at even prior odds, (singers,).
        probabilities: that each singer sings the track, (singers,).
        order: places of singers, the best first, (singers,).
        segments: segment by segment; None where short windows tell voices apart.
        others: probability that one of the singers sings who are left out here.
    """

    scores: FloatArray
    evidence: Scores
    probabilities: Scores
    order: NDArray[np.intp]
    segments: SegmentRanking | None = None
    others: float = 0.0

    @property
    def unknown(self) -> float:
        """Probability that nobody enrolled sings."""
        return float(max(0.0, 1 - self.others - self.probabilities.sum()))


def by_voices(voice: HeardVoice, ready: ReadyVoices, unknown_prior: float, with_parts: bool = False) -> Ranking:
    """Rank singers by their mean voices.

    Args:
        with_parts: score a singer on a part of the timeline alone, too, where several voices show. Only without short
            windows.
    """
    calibration, enrolled, reach = ready.calibration, ready.voices.vectors, ready.reach
    probe = voice.segments
    segments = _by_segment(probe, ready, unknown_prior) if probe is not None else None
    compared = ready.compare(voice.mean[None], np.array([voice.amount]))
    scores, llr = compared.scores[0], compared.llr[0]
    if probe is not None and segments is not None and with_parts:
        named = segments.named(len(enrolled))
        parts = np.flatnonzero(named >= max(_PART_SEGMENTS, _PART_SHARE * len(segments.best)))
        # Only where several voices show: segments chosen for their likeness to one singer would flatter that singer.
        for who in parts if len(parts) > 1 else ():
            part = probe.vectors[segments.known & (segments.best == who)]
            score = enrolled[who] @ calibration.centred(part.mean(axis=0))
            alone = calibration.track(score, calibration.reach(len(part) * probe.share) * reach[who])
            if alone > llr[who]:
                scores[who], llr[who] = score, alone
    probabilities = singer_posteriors(llr, unknown_prior)
    return Ranking(scores, evidence(llr), probabilities, np.argsort(-llr, kind="stable"), segments)


def _by_segment(probe: Embeddings, ready: ReadyVoices, unknown_prior: float) -> SegmentRanking:
    scores = ready.calibration.centred(neighbours_mean(probe.vectors)) @ ready.voices.vectors.T
    found = best_posteriors(ready.calibration.segment(scores, ready.reach), unknown_prior)
    return SegmentRanking(found.singer, found.probability, found.nobody, found.probability > found.nobody)


def by_head(heard: FloatArray, ranking: Ranking) -> Ranking:
    """Rank singers by the votes of a fitted head; whether anybody enrolled sings is still the scores' to say.

    Args:
        heard: probabilities by the head, (segments, singers).
    """
    best, means = heard.argmax(axis=1), heard.mean(axis=0)
    votes = np.bincount(best, minlength=len(means))
    order = np.lexsort((-means, -votes))
    shares = np.log(np.maximum(means, 1e-12) / max(float(means[order[0]]), 1e-12))
    segments = ranking.segments
    if segments is not None:
        segments = replace(segments, best=best, likely=(1 - segments.nobody) * heard.max(axis=1))
    return replace(
        ranking,
        evidence=np.asarray(ranking.evidence.max() + np.minimum(shares, 0.0)),
        probabilities=ranking.probabilities.sum() * means,
        order=order,
        segments=segments,
    )


@dataclass(frozen=True)
class Under:
    """Who may sing under the likeliest singer, at the same time.

    Attributes:
        singer: place of the likeliest one.
        evidence: log-odds (nats) against nobody enrolled, at even prior odds.
        probability: with the prior.
    """

    singer: int
    evidence: float
    probability: float


def under(ranking: Ranking, ready: ReadyVoices, amount: float, unknown_prior: float) -> Under | None:
    """Who sings under the likeliest singer; None where nobody shows.

    A mixture of two voices lies between them. What is left of its scores when the first voice is taken away is scored
    as any voice is.

    Args:
        amount: segments that were heard.
    """
    first, enrolled = int(ranking.order[0]), ready.voices.vectors
    if len(enrolled) < 2:
        return None
    likeness = np.clip(enrolled @ enrolled[first], -0.999, 0.999)
    rest = (ranking.scores - likeness * ranking.scores[first]) / np.sqrt(1 - likeness**2)
    reach = ready.calibration.reach(amount) * ready.reach
    llr = np.where(np.arange(len(rest)) == first, -np.inf, ready.calibration.track(rest / HEARD_UNDER, reach))
    llr = np.maximum(llr, -1e3)
    found = np.where(rest < LEAST_UNDER, 0.0, singer_posteriors(llr, unknown_prior))
    second = int(found.argmax())
    if found[second] == 0:
        return None
    return Under(second, float(evidence(llr)[second]), float(found[second]))
