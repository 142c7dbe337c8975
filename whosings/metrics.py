"""Figures of merit for identification, verification and calibration.

Conventions
-----------
- A *vote* of a track: counts of its segments' answers by class, or any score by class; the highest is the best.
- Ties are broken by chance, and ``top_k_credit`` says what that gives on average. No order of classes helps anybody.
- A *trial* compares two recordings; ``same`` and ``different`` are the scores of trials of one singer and of two.
- Scores may be infinite, as log-likelihood ratios of certain answers are. NaN is refused.
- Rates are 0 to 1. Intervals are 95 % and take singers as the independent units, because a singer's tracks are alike.

Metrics
-------
``top_k_credit``, ``expected_ranks``, ``equal_error_rate``, ``detection_cost``, ``calibration_error``, ``reliability``,
``share_interval``, ``rate_interval``, ``interval``, ``eer_interval``, ``trial_rate_interval``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

_NORMAL_QUANTILE = 1.959963984540054  # of 97.5 %


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram: answers of similar probability."""

    probability: float
    right: float
    count: int


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float
    count: int


def top_k_credit(votes: Array, targets: NDArray[np.bool_], k: int = 1) -> Array:
    """Chance that a target is among the ``k`` best, ties broken by chance.

    Args:
        votes: (tracks, classes).
        targets: (tracks, classes) true for the classes that are right: one, or several of a duet; at least one.

    Returns:
        (tracks,) 0 to 1.

    Raises:
        ValueError: shapes that do not fit, a track without target, ``k`` below 1, NaN.
    """
    if k < 1:
        raise ValueError("k is at least 1")
    better, tied, right = _places(votes, targets)
    missed = np.ones(len(better))
    for draw in range(k):  # places that are left for the tied ones are filled one by one
        drawn = np.maximum(draw - better, 0)
        open_ = draw >= better
        wrong = np.clip(tied - right - drawn, 0, None)
        missed *= np.where(open_, wrong / np.maximum(tied - drawn, 1), 1.0)
    return 1 - missed


def expected_ranks(votes: Array, targets: NDArray[np.bool_]) -> Array:
    """Place of the best target, 1 the first; the mean place where it is tied. Arguments as of ``top_k_credit``."""
    better, tied, right = _places(votes, targets)
    return better + (tied + 1) / (right + 1)


def equal_error_rate(same: Array, different: Array) -> float:
    """Rate at which as many trials of one singer are refused as trials of two are accepted.

    Between two thresholds the two rates are read off the line that joins them.

    Raises:
        ValueError: no trials of one kind, or NaN.
    """
    return _crossing(*_rates(same, different))


def _crossing(misses: Array, accepts: Array) -> float:
    # Misses rise and false accepts fall with the threshold: the crossing lies where their difference changes sign.
    gap = misses - accepts  # from -1, where all trials are accepted, to 1, where none is
    after = int(np.argmax(gap >= 0))
    before = after - 1
    weight = -gap[before] / (gap[after] - gap[before])
    return float(misses[before] + weight * (misses[after] - misses[before]))


def detection_cost(same: Array, different: Array, prior: float = 0.05) -> float:
    """Least normalised detection cost (minDCF) over all thresholds, both errors costing the same.

    Args:
        prior: probability that a trial is of one singer. The cost is divided by that of the better system that does
            not listen: always refusing up to a prior of one half, always accepting above.

    Raises:
        ValueError: no trials of one kind, NaN, or a prior that is not between 0 and 1.
    """
    if not 0 < prior < 1:
        raise ValueError("the prior lies between 0 and 1")
    misses, accepts = _rates(same, different)
    return float(np.min(prior * misses + (1 - prior) * accepts) / min(prior, 1 - prior))


def reliability(probability: Array, right: Array, bins: int = 10) -> tuple[Bin, ...]:
    """Answers by probability: what was stated and what came true, in bins of equal width; empty ones are left out.

    Args:
        probability: (answers,) stated.
        right: (answers,) whether each was right, or the share of it that was, 0 to 1.
        bins: number of bins, at least 1.

    Raises:
        ValueError: shapes that do not fit, or a probability, an outcome or a number of bins out of its range.
    """
    probability, right = np.asarray(probability, float), np.asarray(right, float)
    if probability.shape != right.shape or probability.ndim != 1:
        raise ValueError("one probability and one outcome for each answer")
    if bins < 1:
        raise ValueError("there is at least 1 bin")
    if not _are_shares(probability):
        raise ValueError("probabilities are 0 to 1")
    if not _are_shares(right):
        raise ValueError("outcomes are 0 to 1")
    place = np.minimum((probability * bins).astype(int), bins - 1)
    return tuple(
        Bin(float(probability[place == b].mean()), float(right[place == b].mean()), int((place == b).sum()))
        for b in np.unique(place)
    )


def calibration_error(probability: Array, right: Array, bins: int = 10) -> float:
    """Expected calibration error: the mean distance between stated and true, bins weighing by their answers.

    Raises:
        ValueError: as ``reliability``; or no answers.
    """
    found = reliability(probability, right, bins)
    if not found:
        raise ValueError("no answers")
    return sum(b.count * abs(b.probability - b.right) for b in found) / sum(b.count for b in found)


def share_interval(values: Array, singers: Sequence[str]) -> Interval:
    """Mean of shares with its 95 % interval over singers; it holds for few singers and for rates near 0 or 1.

    This is the Agresti-Coull interval with singers in the place of trials: about two singers with nothing but right
    answers and two with nothing but wrong ones are added, and the mean's standard error is that of a mean over singers.
    With one answer of 0 or 1 for each singer it has the centre of Wilson's interval and encloses it.

    Args:
        values: (answers,) 0 to 1: whether each was right, or the chance that it is.
        singers: who sings each.

    Raises:
        ValueError: no answers, lengths that differ, or a value outside 0 to 1.
    """
    totals, counts = _by_singer(values, singers)
    if not _are_shares(np.asarray(values)):
        raise ValueError("shares are 0 to 1")
    added = _NORMAL_QUANTILE**2  # singers, half of them with right answers; each with the mean number of answers
    size = counts.mean()
    middle = (totals.sum() + size * added / 2) / (size * (counts.size + added))
    spread = ((totals - middle * counts) ** 2).sum() + size**2 * added / 2 * (middle**2 + (1 - middle) ** 2)
    reach = _NORMAL_QUANTILE * np.sqrt(spread) / (size * (counts.size + added))
    mean = totals.sum() / counts.sum()
    return Interval(float(mean), max(0.0, float(middle - reach)), min(1.0, float(middle + reach)), int(counts.sum()))


def interval(values: Array, singers: Sequence[str], draws: int = 1000, seed: int = 0) -> Interval:
    """Mean of any values, such as cosines, with its 95 % interval by bootstrap over singers.

    Args:
        values: (tracks,).
        singers: who sings each. Intervals of fewer than about ten singers are too narrow.

    Raises:
        ValueError: no tracks, lengths that differ, or NaN.
    """
    totals, counts = _by_singer(values, singers)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, counts.size, (draws, counts.size))
    means = totals[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(np.mean(values)), float(low), float(high), int(counts.sum()))


def eer_interval(
    scores: Array,
    same: NDArray[np.bool_],
    enrolled: Sequence[str],
    probed: Sequence[str],
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Equal error rate of a list of trials with its 95 % interval by bootstrap over singers.

    A draw takes as many singers as there are, with repetition. A trial counts as often as both of its singers were
    drawn together: the product of their numbers, or the number of the one who sings both. Draws without trials of both
    kinds are left out. Where no threshold errs, or each always does, every draw would say the same, and the interval is
    ``share_interval``'s with the probes' singers as units.

    Args:
        scores: (trials,), one at least of each kind.
        same: (trials,) whether one singer sings both recordings.
        enrolled, probed: who sings each side. Intervals of fewer than about ten singers are too narrow.

    Raises:
        ValueError: lengths that differ, no trials of one kind, or NaN.
    """
    scores, same = np.asarray(scores, float), np.asarray(same, bool)
    if not scores.shape == same.shape == (len(enrolled),) == (len(probed),):
        raise ValueError("one score, one kind and two singers for each trial")
    found = equal_error_rate(scores[same], scores[~same])
    if found in (0, 1):
        return share_interval(np.full(scores.size, found), probed)
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    weights = _trials_drawn(enrolled, probed, draws, seed)
    drawn = (_weighted_eer(w[order] * same[order], w[order] * ~same[order], first) for w in weights)
    return _between(found, [rate for rate in drawn if rate is not None], scores.size)


def trial_rate_interval(
    outcomes: Array, enrolled: Sequence[str], probed: Sequence[str], draws: int = 1000, seed: int = 0
) -> Interval:
    """Share of trials with an outcome, such as false accepts, with its 95 % interval by bootstrap over singers.

    Where all trials have one outcome, every draw would say the same, and the interval is ``share_interval``'s with the
    probes' singers as units: it says how little so few singers show.

    Args:
        outcomes: (trials,) 0 or 1.
        enrolled, probed: as of ``eer_interval``.

    Raises:
        ValueError: no trials, lengths that differ, or another outcome.
    """
    outcomes = np.asarray(outcomes, float)
    if not outcomes.size or not outcomes.shape == (len(enrolled),) == (len(probed),):
        raise ValueError("one outcome and two singers for each trial, and at least one")
    if not np.isin(outcomes, (0, 1)).all():
        raise ValueError("outcomes are 0 or 1")
    if outcomes.min() == outcomes.max():
        return share_interval(outcomes, probed)
    weights = _trials_drawn(enrolled, probed, draws, seed)
    rates = [float(weight @ outcomes / weight.sum()) for weight in weights if weight.any()]
    return _between(float(outcomes.mean()), rates, outcomes.size)


def _trials_drawn(enrolled: Sequence[str], probed: Sequence[str], draws: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """How often each trial counts in each draw of singers."""
    names, who = np.unique(np.asarray([*enrolled, *probed]), return_inverse=True)
    one, other = who[: len(enrolled)], who[len(enrolled) :]
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        drawn = np.bincount(rng.integers(0, names.size, names.size), minlength=names.size)
        yield np.where(one == other, drawn[one], drawn[one] * drawn[other])


def _between(found: float, drawn: Sequence[float], count: int) -> Interval:
    """An interval that holds what was found, too; from 0 to 1 where no draw had trials."""
    low, high = np.percentile(drawn, [2.5, 97.5]) if drawn else (0.0, 1.0)
    return Interval(found, min(float(low), found), max(float(high), found), count)


def _weighted_eer(same: NDArray[np.intp], different: NDArray[np.intp], first: NDArray[np.intp]) -> float | None:
    """Equal error rate of trials in ascending order that count so often; None without trials of one kind.

    Args:
        first: where each new score begins.
    """
    if not same.sum() or not different.sum():
        return None
    before = [np.concatenate([[0], np.cumsum(counts)]) for counts in (same, different)]
    places = np.append(first, same.size)  # at last a threshold above every score
    misses, accepts = before[0][places] / before[0][-1], 1 - before[1][places] / before[1][-1]
    return _crossing(misses, accepts)


def _by_singer(values: Array, singers: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Sum and number of each singer's values."""
    values = np.asarray(values, float)
    if values.size == 0 or values.shape != (len(singers),):
        raise ValueError("one singer for each value, and at least one")
    if np.isnan(values).any():
        raise ValueError("values hold NaN")
    _, who = np.unique(np.asarray(singers), return_inverse=True)
    return np.bincount(who, values).astype(float), np.bincount(who)


def _are_shares(values: Array) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def rate_interval(count: int, trials: int) -> Interval:
    """A rate with Wilson's 95 % interval where ``count`` of ``trials`` were seen; from 0 to 1 without trials."""
    if trials == 0:
        return Interval(float("nan"), 0.0, 1.0, 0)
    z, rate = _NORMAL_QUANTILE, count / trials
    middle, half = rate + z**2 / (2 * trials), z * math.sqrt(rate * (1 - rate) / trials + (z / (2 * trials)) ** 2)
    whole = 1 + z**2 / trials
    return Interval(rate, max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole), trials)


def _places(votes: Array, targets: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """How many classes beat the best target, how many tie with it, itself included, and how many of these are right."""
    votes, targets = np.asarray(votes), np.asarray(targets, bool)
    if votes.ndim != 2 or targets.shape != votes.shape or not votes.shape[1]:
        raise ValueError("votes and targets are (tracks, classes), with at least one class")
    if np.isnan(votes).any():
        raise ValueError("votes hold NaN")
    if not targets.any(axis=1).all():
        raise ValueError("a track has no target")
    best = np.where(targets, votes, -np.inf).max(axis=1, keepdims=True)
    tied = votes == best
    return (votes > best).sum(axis=1) * 1.0, tied.sum(axis=1) * 1.0, (tied & targets).sum(axis=1) * 1.0


def _rates(same: Array, different: Array) -> tuple[Array, Array]:
    """Miss and false-accept rates at every threshold that changes one, from accepting all trials to refusing all."""
    same, different = np.sort(np.asarray(same, float)), np.sort(np.asarray(different, float))
    if not same.size or not different.size:
        raise ValueError("trials of one singer and of two are needed")
    if np.isnan(same).any() or np.isnan(different).any():
        raise ValueError("scores hold NaN")
    thresholds = np.unique(np.concatenate([same, different]))
    misses = np.searchsorted(same, thresholds, side="left") / same.size
    accepts = 1 - np.searchsorted(different, thresholds, side="left") / different.size
    return np.append(misses, 1.0), np.append(accepts, 0.0)  # at last a threshold that even infinity does not reach
