"""Scores to probabilities, and thresholds with a stated false-accept rate.

Conventions
-----------
- A score is the cosine similarity of two voices after the mean voice, ``centre``, has been taken away.
- A calibrated score is a log-likelihood ratio in nats: log p(score | same singer) - log p(score | different singers).
- With a prior it becomes a probability. For identification the prior of "nobody enrolled" is ``unknown_prior``, the
  rest is shared evenly by the enrolled singers, so that a larger gallery demands more of a match.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.encoder.checkpoint import Checkpoint
from whosings.errors import CheckpointError, TrainingError

UNKNOWN_PRIOR = 0.5
"""Prior probability that the singer of a probe is not enrolled."""

FALSE_ACCEPT_RATE = 0.01
"""Share of different-singer trials that verification's threshold lets pass."""

_CENTRE_WEIGHT = 10

Array = NDArray[np.float64]
Scores = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Logistic:
    """A line from score to log-likelihood ratio (nats)."""

    scale: float
    offset: float

    def __call__(self, scores: Scores) -> Scores:
        """Log-likelihood ratios of scores."""
        return self.scale * scores + self.offset


@dataclass(frozen=True)
class Calibration:
    """How one encoder's scores are read.

    Attributes:
        centre: (dimensions,) mean of unit embeddings over many voices.
        track: for the mean embedding of a track against a singer's.
        segment: for a single segment, averaged with its neighbours, against a singer's.
        pair: for the mean embedding of a track against another track's.
        threshold: pair score at which ``false_accept_rate`` of different-singer pairs pass.
        same_trials, different_trials: how many trials it was fitted on.
        material: what these were, in words.
    """

    centre: tuple[float, ...]
    track: Logistic
    segment: Logistic
    pair: Logistic
    threshold: float
    false_accept_rate: float
    same_trials: int
    different_trials: int
    material: str

    def centred(self, vectors: FloatArray | Array) -> FloatArray:
        """Rows without the mean voice, of unit length; an all-zero row stays zero."""
        rest = np.asarray(vectors, np.float32) - np.asarray(self.centre, np.float32)
        return np.asarray(rest / np.maximum(np.linalg.norm(rest, axis=-1, keepdims=True), 1e-9), np.float32)

    def adapted(self, voices: FloatArray) -> Calibration:
        """The same for a gallery of these voices (singers, dimensions): its own mean voice counts, too.

        Recordings of one kind (a studio, a language, a style) share what is not the singer. The more singers, the
        better their mean shows it: this calibration's centre weighs as much as ``_CENTRE_WEIGHT`` of them.
        """
        total = voices.sum(axis=0) + _CENTRE_WEIGHT * np.asarray(self.centre, np.float32)
        return replace(self, centre=tuple((total / (len(voices) + _CENTRE_WEIGHT)).tolist()))

    def to_card(self) -> dict[str, Any]:
        """As plain values, for a checkpoint's card."""
        return asdict(self)


def calibration_of(checkpoint: Checkpoint) -> Calibration:
    """The calibration that a checkpoint carries.

    Raises:
        CheckpointError: it carries none.
    """
    try:
        values = dict(checkpoint.card["calibration"])
        return Calibration(
            **{
                **values,
                "centre": tuple(values["centre"]),
                "track": Logistic(**values["track"]),
                "segment": Logistic(**values["segment"]),
                "pair": Logistic(**values["pair"]),
            }
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"encoder {checkpoint.fingerprint[:12]}",
            "carries no calibration, so its scores have no meaning as probabilities",
            "run: whosings calibrate",
        ) from error


@dataclass(frozen=True)
class BestPosteriors:
    """The likeliest singer of each row, its probability, and that of somebody else."""

    singer: NDArray[np.intp]
    probability: Scores
    nobody: Scores


def fit_logistic(same: Array, different: Array) -> Logistic:
    """Logistic regression at even priors, so that its logit is a log-likelihood ratio.

    The two classes weigh the same however many trials they have. A slight pull on the slope keeps perfectly separated
    scores finite.

    Args:
        same, different: scores of trials.
    """
    scores = np.concatenate([same, different])
    labels = np.concatenate([np.ones(same.size), np.zeros(different.size)])
    weights = np.concatenate([np.full(same.size, 0.5 / same.size), np.full(different.size, 0.5 / different.size)])
    mean, deviation = scores.mean(), max(float(scores.std()), 1e-9)
    design = np.stack([(scores - mean) / deviation, np.ones(scores.size)], axis=1)
    pull = np.array([1e-4, 0.0])
    line = np.zeros(2)
    for _ in range(100):
        fitted = 1 / (1 + np.exp(-np.clip(design @ line, -40, 40)))
        gradient = design.T @ (weights * (fitted - labels)) + pull * line
        hessian = (design * (weights * fitted * (1 - fitted))[:, None]).T @ design + np.diag(pull + 1e-12)
        step = np.linalg.solve(hessian, gradient)
        # Newton may overshoot where the classes hardly overlap.
        line = line - step * min(1.0, 3.0 / max(1e-9, float(np.abs(step).max())))
        if float(np.abs(step).max()) < 1e-9:
            break
    return Logistic(float(line[0] / deviation), float(line[1] - line[0] * mean / deviation))


def singer_posteriors(llr: Scores, unknown_prior: float = UNKNOWN_PRIOR) -> Scores:
    """Probabilities of each enrolled singer; what is missing to 1 is the probability of somebody else.

    Args:
        llr: (..., singers) log-likelihood ratios of one probe (or several, row by row); the result has their precision.
    """
    logits = llr + float(np.log((1 - unknown_prior) / max(1, llr.shape[-1])))
    nobody = float(np.log(unknown_prior))
    top = np.maximum(logits.max(axis=-1, keepdims=True, initial=nobody), nobody)
    odds = np.exp(logits - top)
    odds /= odds.sum(axis=-1, keepdims=True) + np.exp(nobody - top)
    return np.asarray(odds)


def best_posteriors(llr: Scores, unknown_prior: float = UNKNOWN_PRIOR) -> BestPosteriors:
    """What ``singer_posteriors`` says of each row's likeliest singer; far cheaper for large galleries.

    Args:
        llr: (rows, singers) log-likelihood ratios, at least one singer.
    """
    best = llr.argmax(axis=1)
    top = llr[np.arange(len(llr)), best]
    total = np.exp(llr - top[:, None]).sum(axis=1)  # relative to the best singer's odds
    nobody = np.exp(-np.clip(top + np.log((1 - unknown_prior) / unknown_prior / llr.shape[1]), -80, 80))
    return BestPosteriors(best, 1 / (total + nobody), nobody / (total + nobody))


def same_singer_probability(llr: float, prior: float = 0.5) -> float:
    """Probability that two recordings have one singer."""
    return float(1 / (1 + np.exp(-np.clip(llr + np.log(prior / (1 - prior)), -700, 700))))


def neighbours_mean(vectors: FloatArray) -> FloatArray:
    """Each row averaged with the one before and the one after: segments overlap, and singers stay for a while.

    The first and the last row count twice in their own means.
    """
    padded = np.concatenate([vectors[:1], vectors, vectors[-1:]])
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3 if len(vectors) else vectors


def calibrate(tracks: Sequence[FloatArray], singers: Sequence[str], material: str) -> Calibration:
    """Fit a calibration on tracks of known singers that the encoder was not trained on.

    Every track is compared with every singer, whose voice is made from that singer's other tracks, and with every other
    track.

    Args:
        tracks: for each track, unit embeddings (segments, dimensions); tracks without segments are left out.
        singers: who sings each track.
        material: what the tracks are, in words, for the card.

    Raises:
        TrainingError: fewer than two singers with two tracks.
    """
    kept = [(track, singer) for track, singer in zip(tracks, singers, strict=True) if len(track)]
    names = sorted({singer for _, singer in kept})
    who = np.array([names.index(singer) for _, singer in kept], np.int64)
    counts = np.bincount(who, minlength=len(names))
    if (counts >= 2).sum() < 2:
        raise TrainingError("calibration", "needs at least two singers with two tracks each", "add tracks")
    means = np.stack([track.mean(axis=0) for track, _ in kept])
    sums = np.stack([means[who == number].sum(axis=0) for number in range(len(names))])
    centre = (sums / counts[:, None]).mean(axis=0)
    draft = Calibration(
        tuple(centre.tolist()), Logistic(1, 0), Logistic(1, 0), Logistic(1, 0), 0.0, FALSE_ACCEPT_RATE, 0, 0, material
    )
    by_track: list[FloatArray] = []
    by_segment: list[FloatArray] = []
    for number, (track, _) in enumerate(kept):
        prototypes = sums / counts[:, None]
        if counts[who[number]] > 1:
            prototypes[who[number]] = (sums[who[number]] - means[number]) / (counts[who[number]] - 1)
        voices = draft.centred(prototypes)
        by_track.append(voices @ draft.centred(means[number]))
        by_segment.append(draft.centred(neighbours_mean(track)) @ voices.T)
    mine = np.zeros((len(kept), len(names)), bool)
    mine[np.arange(len(kept)), who] = True
    valid = ~mine | (counts[who] > 1)[:, None]
    track_scores = np.stack(by_track).astype(np.float64)
    segment_scores = np.concatenate(by_segment).astype(np.float64)
    owner = np.repeat(np.arange(len(kept)), [len(scores) for scores in by_segment])
    same, different = track_scores[mine & valid], track_scores[~mine]
    voices = draft.centred(means)
    pair_scores = (voices @ voices.T).astype(np.float64)
    once, alike = np.triu(np.ones(pair_scores.shape, bool), 1), who[:, None] == who[None]
    pair_same, pair_different = pair_scores[once & alike], pair_scores[once & ~alike]
    return Calibration(
        centre=draft.centre,
        track=fit_logistic(same, different),
        segment=fit_logistic(segment_scores[(mine & valid)[owner]], segment_scores[~mine[owner]]),
        pair=fit_logistic(pair_same, pair_different),
        # Just above the first trial that must not pass: with few trials, too, no more than the stated share does.
        threshold=float(
            np.nextafter(np.sort(pair_different)[-1 - int(FALSE_ACCEPT_RATE * pair_different.size)], np.inf)
        ),
        false_accept_rate=FALSE_ACCEPT_RATE,
        same_trials=int((mine & valid).sum()),
        different_trials=int((~mine).sum()),
        material=material,
    )
