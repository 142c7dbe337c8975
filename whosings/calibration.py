"""Scores to probabilities, and thresholds with a stated false-accept rate.

Conventions
-----------
- A score is the cosine similarity of two voices after the mean voice, ``centre``, has been taken away.
- A voice is a mean of segments (of several tracks: a mean of their means, for which all their segments count), and what
  differs from segment to segment attenuates scores: for voices of n and m segments by their *reach*, sqrt(n / (n +
  noise)) sqrt(m / (m + noise)). Scores of one singer and those of strangers shrink alike, so that the more is heard,
  the higher a good score is.
- A calibrated score is a log-likelihood ratio in nats: log p(score | same singer) - log p(score | different singers).
- With a prior it becomes a probability. For identification the prior of "nobody enrolled" is ``unknown_prior``, the
  rest is shared evenly by the enrolled singers who compete for a probe (``competitors``), so that a larger gallery
  demands more of a match.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.encoder.checkpoint import Checkpoint
from whosings.errors import CheckpointError
from whosings.false_accepts import FalseAccepts

UNKNOWN_PRIOR = 0.5
"""Prior probability that the singer of a probe is not enrolled."""

_CENTRE_WEIGHT = 10
_SPREAD_WEIGHT = 45  # pairs: ten voices make as many
_SPREAD_POWER = 0.75  # 1 names too few singers over a band, 0.5 too many strangers (benchmarks/real_calibration.py)
COMPETITORS = 100
"""Enrolled singers who count as competitors for a probe at the least, where there are so many."""

_MOST_COMPETITORS = 1000
_MOST_NATS = 80.0  # whose exponential is a number in single precision
_MOST_VOICES = 1000  # whose likeness is looked at

Array = NDArray[np.float64]
Scores = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Logistic:
    """A line from score to log-likelihood ratio (nats), for voices of any reach.

    Where scores of both kinds are normal, of one variance and with means that grow with the reach r, the ratio is
    r (scale score + offset r): with less to hear, fewer nats.
    """

    scale: float
    offset: float

    def __call__(self, scores: Scores, reach: Scores | float = 1.0) -> Scores:
        """Log-likelihood ratios of scores."""
        return np.asarray(reach * (self.scale * scores + self.offset * reach))


@dataclass(frozen=True)
class Calibration:
    """How one encoder's scores are read.

    Attributes:
        centre: (dimensions,) mean of unit embeddings over many voices.
        track: for the mean embedding of a track against a singer's.
        segment: for a single segment, averaged with its neighbours, against a singer's.
        pair: for the mean embedding of a track against another track's.
        threshold: log-likelihood ratio (nats) that ``false_accept_rate`` of strangers' pairs, of all lengths, reach; of
            strangers alike, where it was known who are.
        same_trials, different_trials: how many trials it was fitted on.
        material: what these were, in words.
        noise: variance among segments of one singer over that among singers, as far as scores show it; with 0, the
            number of segments does not matter.
        spread: root mean square of the scores among voices of different singers of one place; 0 where that is not
            known.
        strangers, passed: pairs of different singers on which the threshold was set, and how many of them reach it; 0
            where that was not kept.
        checked: a sentence on the rates that were seen where it was not fitted; empty where nobody looked.
        verifying: thresholds of two recordings by false-accept rate, on the same pairs as ``threshold``.
        naming: thresholds of ``evidence`` by the rate at which recordings of somebody who is not enrolled reach it.
        naming_few: the same in galleries of fewer singers, ascending by their number: of few the common voice is not
            known, and strangers who share it reach further.
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
    noise: float
    spread: float = 0.0
    checked: str = ""
    strangers: int = 0
    passed: int = 0
    verifying: FalseAccepts | None = None
    naming: FalseAccepts | None = None
    naming_few: tuple[FalseAccepts, ...] = ()

    def reach(self, *segments: NDArray[Any] | float) -> Scores:
        """The share of a score, 0 to 1, that voices of so many segments can reach."""
        return reach_of(self.noise, segments)

    def ratios(
        self, left: FloatArray, left_segments: NDArray[Any], right: FloatArray, right_segments: NDArray[Any]
    ) -> Pairs:
        """Mean embeddings of recordings (n, dimensions) against those of others (m, dimensions).

        Args:
            left_segments, right_segments: (n,) and (m,), how many each is the mean of.
        """
        scores = np.asarray(self.centred(left) @ self.centred(right).T, np.float64)
        reach = self.reach(np.asarray(left_segments)[:, None], np.asarray(right_segments))
        return Pairs(scores, reach, self.pair(scores, reach))

    def verify_threshold(self, false_accepts: float) -> float:
        """The log-likelihood ratio (nats) of two recordings that so many pairs of strangers reach.

        Raises:
            CheckpointError: this calibration does not say it.
        """
        if false_accepts == self.false_accept_rate:
            return self.threshold
        if self.verifying is None:
            raise CheckpointError(
                "the encoder",
                f"carries no threshold for a false-accept rate but {100 * self.false_accept_rate:g}%",
                "calibrate it again: whosings calibrate",
            )
        return max(0.0, self.verifying.threshold(false_accepts))

    def naming_threshold(self, false_accepts: float, singers: int) -> float:
        """The log-odds (nats) that so many recordings of strangers reach in a gallery of so many singers.

        Raises:
            ConfigError: no such rate was measured.
            CheckpointError: no rate was.
        """
        if self.naming is None:
            remedy = "leave --false-accepts out, or calibrate the encoder, or the gallery: whosings gallery calibrate"
            raise CheckpointError("the encoder", "carries no rates of false accepts", remedy)
        few = (one for one in self.naming_few if one.states(false_accepts) and one.singers < self.naming.singers)
        tables = (*few, self.naming)
        nats = [one.threshold(false_accepts) for one in tables]
        return float(np.interp(np.log(max(1, singers)), np.log([max(1, one.singers) for one in tables]), nats))

    def least_score(self, reach: float, threshold: float | None = None) -> float | None:
        """The pair score that passes a threshold (nats), given the reach; None where a higher score says no more."""
        if self.pair.scale <= 0:
            return None
        threshold = self.threshold if threshold is None else threshold
        return float((threshold / reach - self.pair.offset * reach) / self.pair.scale)

    def centred(self, vectors: FloatArray | Array) -> FloatArray:
        """Rows without the mean voice, of unit length; an all-zero row stays zero."""
        rest = np.asarray(vectors, np.float32) - np.asarray(self.centre, np.float32)
        return unit_rows(rest)

    def adapted(self, voices: FloatArray) -> Calibration:
        """The same for a gallery of these voices (singers, dimensions), for its tracks and segments.

        Recordings of one kind (a studio, a language, a style) share what is not the singer. The more singers, the
        better their mean shows it: this calibration's centre weighs as much as ``_CENTRE_WEIGHT`` of them. Where the
        gallery's singers are more alike than those of the calibration, scores count for less, nearly in proportion.
        """
        total = voices.sum(axis=0) + _CENTRE_WEIGHT * np.asarray(self.centre, np.float32)
        moved = replace(self, centre=tuple((total / (len(voices) + _CENTRE_WEIGHT)).tolist()))
        found, pairs = likeness(moved.centred(voices[:: -(-len(voices) // _MOST_VOICES)]))
        if not self.spread or not pairs:
            return moved
        known = self.spread**2
        likely = (_SPREAD_WEIGHT * known + pairs * found) / (_SPREAD_WEIGHT + pairs)
        share = math.sqrt(known / max(known, likely)) ** _SPREAD_POWER
        track, segment = (replace(line, scale=share * line.scale) for line in (moved.track, moved.segment))
        return replace(moved, track=track, segment=segment)

    def faults(self) -> list[str]:
        """What cannot be in a calibration, as clauses; empty where all is well."""
        lines = (self.track, self.segment, self.pair)
        counts = (self.same_trials, self.different_trials, self.strangers, self.passed)
        numbers = (*self.centre, *(n for line in lines for n in (line.scale, line.offset)), self.noise, self.spread)
        rules = {
            "numbers that are none": all(map(_is_number, (*numbers, self.threshold, self.false_accept_rate))),
            "counts that are none": all(isinstance(n, int) and n >= 0 for n in counts)
            and self.passed <= self.strangers,
            "words that are none": isinstance(self.material, str) and isinstance(self.checked, str),
        }
        if all(rules.values()):
            rules = {
                "no mean voice": len(self.centre) > 0,
                "a negative noise or spread": self.noise >= 0 and self.spread >= 0,
                "a false-accept rate that is none": 0 < self.false_accept_rate < 1,
            }
        known = (self.verifying, self.naming, *self.naming_few)
        tables = [fault for table in known if table is not None for fault in table.faults()]
        return [*(what for what, well in rules.items() if not well), *tables]

    def to_card(self) -> dict[str, Any]:
        """As plain values with a digest over them, for a checkpoint's card."""
        values = asdict(self)
        return {**values, "digest": _digest(values)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def calibration_of(checkpoint: Checkpoint) -> Calibration:
    """The calibration that a checkpoint carries, checked; cards of before there were digests have none.

    Raises:
        CheckpointError: it carries none, or a damaged one.
    """
    subject = f"encoder {checkpoint.fingerprint[:12]}"
    remedy = "copy or download it again, or run: whosings calibrate"
    try:
        values = dict(checkpoint.card["calibration"])
        digest = values.pop("digest", None)
        found = Calibration(
            **{
                **values,
                "centre": tuple(values["centre"]),
                "track": Logistic(**values["track"]),
                "segment": Logistic(**values["segment"]),
                "pair": Logistic(**values["pair"]),
                **{key: FalseAccepts.of(values[key]) for key in ("verifying", "naming") if values.get(key)},
                "naming_few": tuple(map(FalseAccepts.of, values.get("naming_few", ()))),
            }
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            subject,
            "carries no calibration, so its scores have no meaning as probabilities",
            "run: whosings calibrate",
        ) from error
    if digest not in (None, _digest(values)):
        raise CheckpointError(subject, "carries a calibration that does not match its digest", remedy)
    faults = found.faults()
    if len(found.centre) != checkpoint.dimensions:
        faults.append(f"a mean voice of {len(found.centre)} numbers, not {checkpoint.dimensions}")
    if faults:
        raise CheckpointError(subject, f"carries a calibration with {' and '.join(faults)}", remedy)
    return found


@dataclass(frozen=True)
class Pairs:
    """Recordings compared with others, all (n, m): cosines, their reach, log-likelihood ratios in nats."""

    scores: Array
    reach: Scores
    llr: Scores


@dataclass(frozen=True)
class BestPosteriors:
    """The likeliest singer of each row, its probability, and that of somebody else."""

    singer: NDArray[np.intp]
    probability: Scores
    nobody: Scores


def unit_rows(vectors: FloatArray) -> FloatArray:
    """Rows (..., dimensions) of unit length; an all-zero row stays zero."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9), np.float32)


def likeness(centred: FloatArray) -> tuple[float, int]:
    """Mean square of the scores among different voices (voices, dimensions), and how many pairs there are."""
    scores = np.asarray(centred @ centred.T, np.float64)
    pairs = len(centred) * (len(centred) - 1) // 2
    return float((np.square(scores).sum() - np.square(np.diag(scores)).sum()) / max(1, 2 * pairs)), pairs


def reach_of(noise: float, segments: Sequence[NDArray[Any] | float]) -> Scores:
    """See ``Calibration.reach``."""
    shares = [np.asarray(n) / (np.asarray(n) + noise) for n in segments]
    return np.asarray(np.sqrt(math.prod(shares)))


def competitors(llr: Scores) -> Scores:
    """How many enrolled singers count as competitors for probes, (...,): at most all, and 100 to 1,000 of many.

    Likelihood ratios of strangers are 1 on average. Those of all singers but the best sum to about their number.
    Where the sum is far less, most of a large gallery is less like the probe than strangers are. If all of them
    counted, nobody could be named in such a gallery. Beyond a thousand they count for no more, because ratios are on a
    line with the scores, which understates the few highest (docs/answers.md).

    Args:
        llr: (..., singers) log-likelihood ratios, at least one singer.
    """
    best = llr.max(axis=-1)
    return _competitors(llr.shape[-1], best, np.exp(llr - best[..., None]).sum(axis=-1))


def evidence(llr: Scores) -> Scores:
    """Log-odds (nats) of each singer against somebody who is not enrolled, at even prior odds, (..., singers).

    It depends on no other prior, so that false-accept rates can be stated for it.

    Args:
        llr: (..., singers) log-likelihood ratios of probes for each singer, at least one.
    """
    return np.asarray(llr - np.asarray(np.log(competitors(llr)), llr.dtype)[..., None])


def _competitors(singers: int, best: Scores, total: Scores) -> Scores:
    """The same from the best ratio and the sum of all odds relative to the best one's."""
    others = np.exp(np.minimum(best, _MOST_NATS)) * np.maximum(total - 1, 0)
    return np.asarray(np.minimum(min(singers, _MOST_COMPETITORS), COMPETITORS + others))


def singer_posteriors(llr: Scores, unknown_prior: float = UNKNOWN_PRIOR) -> Scores:
    """Probabilities of each enrolled singer; what is missing to 1 is the probability of somebody else.

    Args:
        llr: (..., singers) log-likelihood ratios of one probe (or several, row by row); the result has their precision.
    """
    if not llr.shape[-1]:
        return llr
    logits = evidence(llr) + np.asarray(np.log(1 - unknown_prior), llr.dtype)
    nobody = float(np.log(unknown_prior))
    top = logits.max(axis=-1, keepdims=True, initial=nobody)
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
    count = _competitors(llr.shape[1], top, total)
    nobody = np.exp(-np.clip(top + np.log((1 - unknown_prior) / unknown_prior / count), -80, 80))
    return BestPosteriors(best, 1 / (total + nobody), nobody / (total + nobody))


@dataclass(frozen=True)
class FewPosteriors:
    """What ``evidence`` and ``singer_posteriors`` say of each row's best few singers, (rows, few) each.

    Attributes:
        others: probability that it is one of all other singers, (rows,).
    """

    evidence: Scores
    probabilities: Scores
    others: Scores


def few_posteriors(llr: Scores, total: Scores, singers: int, unknown_prior: float = UNKNOWN_PRIOR) -> FewPosteriors:
    """The same without everybody's ratios.

    Args:
        llr: (rows, few) log-likelihood ratios of the best few singers, the best first.
        total: (rows,) the sum of all singers' odds over the best one's.
        singers: how many they all are.
    """
    found = llr - np.log(_competitors(singers, llr[:, 0], total))[:, None]
    logits, nobody = found + math.log(1 - unknown_prior), math.log(unknown_prior)
    top = np.maximum(logits[:, :1], nobody)
    everybody = np.exp(logits[:, 0] - top[:, 0]) * total
    whole = everybody + np.exp(nobody - top[:, 0])
    probabilities = np.exp(logits - top) / whole[:, None]
    return FewPosteriors(found, probabilities, np.maximum(everybody / whole - probabilities.sum(axis=1), 0.0))


def same_singer_probability(llr: float, prior: float = 0.5) -> float:
    """Probability that two recordings have one singer."""
    return float(1 / (1 + np.exp(-np.clip(llr + np.log(prior / (1 - prior)), -700, 700))))


def neighbours_mean(vectors: FloatArray) -> FloatArray:
    """Each row averaged with the one before and the one after: segments overlap, and singers stay for a while.

    The first and the last row count twice in their own means.
    """
    padded = np.concatenate([vectors[:1], vectors, vectors[-1:]])
    mean: FloatArray = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    return mean
