"""Fitting a calibration: trials among recordings of known singers, and what their scores are worth.

The conventions are those of ``whosings.calibration``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.calibration import (
    Array,
    Calibration,
    Logistic,
    Scores,
    evidence,
    likeness,
    neighbours_mean,
    reach_of,
)
from whosings.errors import TrainingError
from whosings.false_accepts import FALSE_ACCEPT_RATE, TRIALS_A_RATE, FalseAccepts

_TRIALS = 200_000  # of different singers and one kind, at most
_FEW, _DRAWS = (1, 2, 5, 10), 10  # singers of small galleries, and how many of these are drawn in a place


def fit_logistic(
    same: Array, different: Array, same_reach: Scores | float = 1.0, different_reach: Scores | float = 1.0
) -> Logistic:
    """Logistic regression at even priors, so that its logit is a log-likelihood ratio.

    The two classes weigh the same however many trials they have. A slight pull on the slope keeps perfectly separated
    scores finite.

    Args:
        same, different: scores of trials.
        same_reach, different_reach: the reach of each of them.
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


def calibrate(
    tracks: Sequence[FloatArray],
    singers: Sequence[str],
    material: str,
    alike: Sequence[str] | None = None,
    amounts: Sequence[float] | None = None,
    places: Sequence[str] | None = None,
    known: Calibration | None = None,
) -> Calibration:
    """Fit a calibration on tracks of known singers that the encoder was not trained on.

    Every track is compared with every singer of its place, and so are its segments, one by one; and with every other
    track there. Voices are made without one of their singer's tracks, where there are several: the singer's own without
    the one that is compared, others' so that they are of as many. So that long and short recordings are both known,
    whole tracks are compared, then the middle half of their segments, the middle quarter and so on, down to one.

    The false-accept rate that is stated is ``FALSE_ACCEPT_RATE``, or what the pairs of strangers can show where they
    are fewer than three over that rate. The threshold is never under 0 nats. For other rates, those pairs' ratios are
    kept, and so is what ``identify`` would find for whole tracks whose singer is left out of the place's gallery.

    Args:
        tracks: for each track, unit embeddings (segments, dimensions) in order; tracks without segments are left out.
        singers: who sings each track.
        material: what the tracks are, in words, for the card.
        alike: for each track, what its singer has in common with those who are mistaken for each other most, such as
            the sex; verification's threshold is then set on strangers of one kind, who pass more often than others.
        amounts: for each track, how many segments' worth of voice it is; as many as it has segments unless given.
        places: for each track, what its recordings share that is not the singer, such as the studio; one and the same
            unless given. A place is what a gallery will be: its singers are told apart, its own mean voice is known.
        known: a calibration that stays as it is; only its tables of false-accept rates are measured on the tracks.

    Raises:
        TrainingError: fewer than two singers with two tracks.
    """
    kept = [number for number, track in enumerate(tracks) if len(track)]
    own_tracks, who_sings = [tracks[number] for number in kept], [singers[number] for number in kept]
    kinds, where = (
        np.unique([given[number] for number in kept] if given else [""] * len(kept), return_inverse=True)[1]
        for given in (alike, places)
    )
    lengths = np.array([len(track) for track in own_tracks])
    worth = lengths if amounts is None else np.array([amounts[number] for number in kept])
    names = sorted(set(who_sings))
    who = np.array([names.index(singer) for singer in who_sings], np.int64)
    counts = np.bincount(who, minlength=len(names))
    if (counts >= 2).sum() < 2:
        raise TrainingError("calibration", "needs at least two singers with two tracks each", "add tracks")
    several, rest = counts > 1, np.maximum(1, counts - 1)
    means = np.stack([track.mean(axis=0) for track in own_tracks])
    sums = np.stack([means[who == number].sum(axis=0) for number in range(len(names))])
    voices = np.asarray(sums / counts[:, None], np.float32)
    segments = np.bincount(who, worth, len(names))
    tracks_of = [np.flatnonzero(who == number) for number in range(len(names))]
    order = [int(np.flatnonzero(tracks_of[singer] == number)[0]) for number, singer in enumerate(who)]
    # A singer belongs to the place of the first track.
    homes = np.array([where[own[0]] for own in tracks_of])
    one = Logistic(1, 0)
    draft = Calibration(tuple(voices.mean(axis=0).tolist()), one, one, one, 0, FALSE_ACCEPT_RATE, 0, 0, material, 0)
    found = [likeness(draft.adapted(voices[homes == place]).centred(voices[homes == place])) for place in set(where)]
    pairs_in_all = max(1, sum(pairs for _, pairs in found))
    draft = replace(draft, spread=math.sqrt(sum(square * pairs for square, pairs in found) / pairs_in_all))
    if known is not None:
        draft = replace(known, track=one, segment=one)
    galleries = {place: draft.adapted(voices[homes == place]) for place in set(where)}
    parts = [_middles(track) for track in own_tracks]
    part_means = [np.stack([part.mean(axis=0) for part in of_track]) for of_track in parts]
    by_part: list[FloatArray] = []
    by_segment: list[FloatArray] = []
    enrolled: list[NDArray[Any]] = []
    for number, track in enumerate(own_tracks):
        gallery = galleries[where[number]]
        left_out = np.array([own[order[number] % len(own)] for own in tracks_of])
        others = gallery.centred((sums - several[:, None] * means[left_out]) / rest[:, None])
        by_part.append(gallery.track.scale * (gallery.centred(part_means[number]) @ others.T))
        by_segment.append(gallery.segment.scale * (gallery.centred(neighbours_mean(track)) @ others.T))
        enrolled.append(segments - several * worth[left_out])
    mine = who[:, None] == np.arange(len(names))
    valid = (~mine | several) & (where[:, None] == homes)
    opposite = np.stack(enrolled)
    share = worth / lengths
    sizes = [share[number] * np.array([len(part) for part in of_track]) for number, of_track in enumerate(parts)]
    whose = np.repeat(np.arange(len(own_tracks)), [len(of_track) for of_track in parts])
    owner = np.repeat(np.arange(len(own_tracks)), lengths)
    by_track = _Trials.of(
        np.concatenate(by_part), (np.concatenate(sizes)[:, None], opposite[whose]), mine[whose], valid[whose]
    )
    singly = _Trials.of(np.concatenate(by_segment), (opposite[owner],), mine[owner], valid[owner])
    heard = [draft.centred(rows) for rows in part_means]
    pairs = _pairs(heard, sizes, who, where)
    noise = _fit_noise(by_track, pairs) if known is None else known.noise
    line = pairs.line(noise) if known is None else known.pair
    near = _pairs(heard, sizes, who, where * (kinds.max() + 1) + kinds)
    strangers = np.sort(line(near.scores, near.reach(noise))[~near.same])
    # Just above the first trial that must not pass; and never where one singer is the less likely explanation.
    first = float(np.nextafter(strangers[-1 - int(FALSE_ACCEPT_RATE * strangers.size)], np.inf))
    threshold = max(0.0, first)
    track_line = by_track.line(noise) if known is None else known.track
    # Of a track its whole: with less to hear, fewer strangers are taken for somebody.
    alone = [
        track_line(by_part[number][0], reach_of(noise, (sizes[number][0], opposite[number])))[
            valid[number] & ~mine[number]
        ]
        for number in range(len(own_tracks))
    ]
    named = np.array([evidence(llr).max() for llr in alone if llr.size])
    typical = int(np.median([valid[number].sum() for number in range(len(own_tracks))]))
    verifying, naming = FalseAccepts.measured(strangers), FalseAccepts.measured(named, typical)
    made = known or replace(
        draft,
        track=track_line,
        segment=singly.line(noise),
        pair=line,
        threshold=threshold,
        false_accept_rate=min(0.99, max(FALSE_ACCEPT_RATE, TRIALS_A_RATE / strangers.size)),
        same_trials=int(by_track.same.sum()),
        different_trials=int((~by_track.same).sum()),
        noise=noise,
        strangers=int(strangers.size),
        passed=int((strangers >= threshold).sum()),
    )
    recordings = _Recordings(means, worth, who, where)
    few = tuple(_in_few(made, voices, segments, homes, recordings))
    return replace(made, verifying=verifying, naming=naming, naming_few=few)


@dataclass(frozen=True)
class _Recordings:
    """Mean embeddings (recordings, dimensions), how many segments each is worth, who sings, and the place."""

    means: FloatArray
    worth: NDArray[Any]
    who: NDArray[np.int64]
    where: NDArray[Any]


def _in_few(
    made: Calibration, voices: FloatArray, segments: NDArray[Any], homes: NDArray[Any], asked: _Recordings
) -> Iterator[FalseAccepts]:
    """What strangers of a place reach in galleries of a few of its singers, drawn at random."""
    rng = np.random.default_rng(0)
    for size in _FEW:
        reached = []
        for place in np.unique(homes):
            own = np.flatnonzero(homes == place)
            for _ in range(_DRAWS if len(own) > size else 0):
                some = rng.choice(own, size, replace=False)
                gallery = made.adapted(voices[some])
                rows = np.flatnonzero((asked.where == place) & ~np.isin(asked.who, some))
                scores = gallery.centred(asked.means[rows]) @ gallery.centred(voices[some]).T
                llr = gallery.track(scores, gallery.reach(asked.worth[rows][:, None], segments[some]))
                reached.append(evidence(llr).max(axis=1))
        if reached:
            yield FalseAccepts.measured(np.concatenate(reached), size)


def in_places(
    tracks: Sequence[FloatArray], singers: Sequence[str], longest: float = 0.8, size: int = 20, seed: int = 0
) -> tuple[list[FloatArray], list[str]]:
    """Tracks as if their singers had been recorded in different places, twenty in each; and which place that is.

    Recordings of one studio, language or style share a direction of embeddings. Voices of one corpus do not show how
    far that goes between corpora: here each place's is drawn like the direction of a voice, and its length evenly up to
    ``longest``. (Generated singers are 0.5 from speakers who sing.)
    """
    rng = np.random.default_rng(seed)
    names = sorted(set(singers))
    rng.shuffle(names)
    place_of = {name: number // size for number, name in enumerate(names)}
    rows = np.concatenate(list(tracks))
    spread = np.linalg.cholesky(np.cov(rows.T) + 1e-9 * np.eye(rows.shape[1]))
    moved = []
    offsets: dict[int, Any] = {}
    for place in range(-(-len(names) // size)):
        drawn = spread @ rng.normal(size=rows.shape[1])
        offsets[place] = drawn / np.linalg.norm(drawn) * longest * rng.random()
    for track, singer in zip(tracks, singers, strict=True):
        shifted = track + offsets[place_of[singer]]
        moved.append(np.asarray(shifted / np.linalg.norm(shifted, axis=1, keepdims=True), np.float32))
    return moved, [str(place_of[singer]) for singer in singers]


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
        return reach_of(noise, self.sides)

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
    kinds: NDArray[Any],
) -> _Trials:
    """Every pair of tracks, both whole, both halved and so on: voices (parts, dimensions) of so many segments each.

    Args:
        kinds: the tracks' kinds; only pairs of one kind are wanted.
    """
    found = []
    for halved in range(max(len(of_track) for of_track in sizes)):
        kept = [number for number, of_track in enumerate(sizes) if len(of_track) > halved]
        voices = np.stack([heard[number][halved] for number in kept])
        size, singer = np.array([sizes[number][halved] for number in kept]), who[kept]
        once = np.triu(np.ones((len(kept), len(kept)), bool), 1) & (kinds[kept][:, None] == kinds[kept])
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
