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
  rest is shared evenly by the enrolled singers, so that a larger gallery demands more of a match.
"""

from __future__ import annotations

import math
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
_TRIALS = 200_000  # of different singers and one kind, at most

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

    def reach(self, *segments: NDArray[Any] | float) -> Scores:
        """The share of a score, 0 to 1, that voices of so many segments can reach."""
        return _reach(self.noise, segments)

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

    def least_score(self, reach: float) -> float | None:
        """The pair score that passes the threshold, given the reach; None where a higher score says no more."""
        if self.pair.scale <= 0:
            return None
        return float((self.threshold / reach - self.pair.offset * reach) / self.pair.scale)

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


def _reach(noise: float, segments: Sequence[NDArray[Any] | float]) -> Scores:
    shares = [np.asarray(n) / (np.asarray(n) + noise) for n in segments]
    return np.asarray(np.sqrt(math.prod(shares)))


def fit_logistic(
    same: Array, different: Array, same_reach: Scores | float = 1.0, different_reach: Scores | float = 1.0
) -> Logistic:
    """Logistic regression at even priors, so that its logit is a log-likelihood ratio.

    The two classes weigh the same however many trials they have. A slight pull on the slope keeps perfectly separated
    scores finite.

    Args:
        same, different: scores of trials.
        same_reach, different_reach: of each of them.
    """
    reached = np.concatenate(
        [np.broadcast_to(same_reach, same.shape), np.broadcast_to(different_reach, different.shape)]
    )
    scores = np.concatenate([same, different]) / reached
    labels = np.concatenate([np.ones(same.size), np.zeros(different.size)])
    weights = np.concatenate([np.full(same.size, 0.5 / same.size), np.full(different.size, 0.5 / different.size)])
    mean, deviation = scores.mean(), max(float(scores.std()), 1e-9)
    design = np.stack([(scores - mean) / deviation, np.ones(scores.size)], axis=1) * np.square(reached)[:, None]
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


def calibrate(
    tracks: Sequence[FloatArray], singers: Sequence[str], material: str, alike: Sequence[str] | None = None
) -> Calibration:
    """Fit a calibration on tracks of known singers that the encoder was not trained on.

    Every track is compared with every singer, and so are its segments, one by one; and with every other track. Voices
    are made without one of their singer's tracks, where there are several: the singer's own without the one that is
    compared, others' so that they are of as many. So that long and short recordings are both known, whole tracks are
    compared, then the middle half of their segments, the middle quarter and so on, down to one.

    Args:
        tracks: for each track, unit embeddings (segments, dimensions) in order; tracks without segments are left out.
        singers: who sings each track.
        material: what the tracks are, in words, for the card.
        alike: of each track, what its singer has in common with those who are mistaken for each other most, such as
            the sex; verification's threshold is then set on strangers of one kind, who pass more often than others.

    Raises:
        TrainingError: fewer than two singers with two tracks.
    """
    kinds = [kind for kind, track in zip(alike or ["all"] * len(tracks), tracks, strict=True) if len(track)]
    kept = [(track, singer) for track, singer in zip(tracks, singers, strict=True) if len(track)]
    names = sorted({singer for _, singer in kept})
    who = np.array([names.index(singer) for _, singer in kept], np.int64)
    counts = np.bincount(who, minlength=len(names))
    if (counts >= 2).sum() < 2:
        raise TrainingError("calibration", "needs at least two singers with two tracks each", "add tracks")
    several, rest = counts > 1, np.maximum(1, counts - 1)
    lengths = np.array([len(track) for track, _ in kept])
    means = np.stack([track.mean(axis=0) for track, _ in kept])
    sums = np.stack([means[who == number].sum(axis=0) for number in range(len(names))])
    segments = np.bincount(who, lengths, len(names))
    tracks_of = [np.flatnonzero(who == number) for number in range(len(names))]
    place = [int(np.flatnonzero(tracks_of[singer] == number)[0]) for number, singer in enumerate(who)]
    centre = (sums / counts[:, None]).mean(axis=0)
    draft = Calibration(
        tuple(centre.tolist()), Logistic(1, 0), Logistic(1, 0), Logistic(1, 0), 0, FALSE_ACCEPT_RATE, 0, 0, material, 0
    )
    parts = [_middles(track) for track, _ in kept]
    heard = [draft.centred(np.stack([part.mean(axis=0) for part in of_track])) for of_track in parts]
    by_part: list[FloatArray] = []
    by_segment: list[FloatArray] = []
    enrolled: list[NDArray[Any]] = []
    for number, (track, _) in enumerate(kept):
        left_out = np.array([own[place[number] % len(own)] for own in tracks_of])
        voices = draft.centred((sums - several[:, None] * means[left_out]) / rest[:, None])
        by_part.append(heard[number] @ voices.T)
        by_segment.append(draft.centred(neighbours_mean(track)) @ voices.T)
        enrolled.append(segments - several * lengths[left_out])
    mine = who[:, None] == np.arange(len(names))
    valid = ~mine | several
    opposite = np.stack(enrolled)
    sizes = [np.array([len(part) for part in of_track]) for of_track in parts]
    whose = np.repeat(np.arange(len(kept)), [len(of_track) for of_track in parts])
    owner = np.repeat(np.arange(len(kept)), lengths)
    by_track = _Trials.of(
        np.concatenate(by_part), (np.concatenate(sizes)[:, None], opposite[whose]), mine[whose], valid[whose]
    )
    singly = _Trials.of(np.concatenate(by_segment), (opposite[owner],), mine[owner], valid[owner])
    pairs = _pairs(heard, sizes, who)
    noise = _fit_noise(by_track, pairs)
    line = pairs.line(noise)
    # Just above the first trial that must not pass: with few trials, too, no more than the stated share does.
    near = _pairs(heard, sizes, who, np.unique(kinds, return_inverse=True)[1])
    strangers = np.sort(line(near.scores, near.reach(noise))[~near.same])
    return replace(
        draft,
        track=by_track.line(noise),
        segment=singly.line(noise),
        pair=line,
        threshold=float(np.nextafter(strangers[-1 - int(FALSE_ACCEPT_RATE * strangers.size)], np.inf)),
        same_trials=int(by_track.same.sum()),
        different_trials=int((~by_track.same).sum()),
        noise=noise,
    )


def _middles(track: FloatArray) -> list[FloatArray]:
    """A track, the middle half of its segments, the middle quarter and so on, down to one."""
    sizes = [len(track) >> halved for halved in range(len(track).bit_length())]
    return [track[(len(track) - size) // 2 :][:size] for size in sizes]


@dataclass(frozen=True)
class _Trials:
    """Scores of trials, of how many segments each side was, and whether one singer sang both: all (trials,)."""

    scores: Array
    sides: tuple[Array, ...]
    same: NDArray[np.bool_]

    @classmethod
    def of(
        cls, scores: Scores, sides: tuple[NDArray[Any], ...], same: NDArray[np.bool_], kept: NDArray[np.bool_]
    ) -> _Trials:
        """Those that are ``kept``, and of different singers' no more than ``_TRIALS``, drawn at random."""
        places = np.flatnonzero(kept)
        different = places[~same.ravel()[places]]
        if different.size > _TRIALS:
            drawn = np.random.default_rng(0).choice(different, _TRIALS, replace=False)
            places = np.sort(np.concatenate([places[same.ravel()[places]], drawn]))
        one_each = [np.broadcast_to(side, scores.shape).ravel()[places].astype(np.float64) for side in sides]
        return cls(scores.ravel()[places].astype(np.float64), tuple(one_each), same.ravel()[places])

    def reach(self, noise: float) -> Scores:
        return _reach(noise, self.sides)

    def line(self, noise: float) -> Logistic:
        reach = self.reach(noise)
        return fit_logistic(self.scores[self.same], self.scores[~self.same], reach[self.same], reach[~self.same])

    def loss(self, noise: float) -> float:
        """Cross-entropy (nats) of the line, both kinds of trials weighing the same."""
        llr = self.line(noise)(self.scores, self.reach(noise))
        return float(np.logaddexp(0, -llr[self.same]).mean() + np.logaddexp(0, llr[~self.same]).mean()) / 2


def _pairs(
    heard: Sequence[FloatArray],
    sizes: Sequence[NDArray[Any]],
    who: NDArray[np.int64],
    kinds: NDArray[Any] | None = None,
) -> _Trials:
    """Every pair of tracks, both whole, both halved and so on: voices (parts, dimensions) of so many segments each.

    Args:
        kinds: of the tracks; only pairs of one kind are wanted.
    """
    found = []
    for halved in range(max(len(of_track) for of_track in sizes)):
        kept = [number for number, of_track in enumerate(sizes) if len(of_track) > halved]
        voices = np.stack([heard[number][halved] for number in kept])
        size, singer = np.array([sizes[number][halved] for number in kept]), who[kept]
        once = np.triu(np.ones((len(kept), len(kept)), bool), 1)
        if kinds is not None:
            once &= kinds[kept][:, None] == kinds[kept]
        found.append(_Trials.of(voices @ voices.T, (size[:, None], size), singer[:, None] == singer, once))
    sides = tuple(np.concatenate(side) for side in zip(*(part.sides for part in found), strict=True))
    return _Trials(
        np.concatenate([part.scores for part in found]), sides, np.concatenate([part.same for part in found])
    )


def _fit_noise(*trials: _Trials) -> float:
    """The least noise with which all trials are explained as well as with any, to a hundredth of the cross-entropy.

    Where trials are told apart without error at any length they say little of it, and it matters little.
    """
    candidates = (0.0, *np.geomspace(0.1, 10, 21).tolist())
    losses = np.array([sum(some.loss(noise) for some in trials) for noise in candidates])
    return float(candidates[int(np.argmax(losses <= 1.01 * losses.min()))])
