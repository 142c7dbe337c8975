"""A fixed list of verification trials, scored: error rates of two recordings by different or the same singers.

Conventions
-----------
- A trial compares the mean embeddings of two recordings, as ``verify`` does, by log-likelihood ratio (nats). Encoders
  without calibration are compared by cosine, and have no thresholds.
- Trials with a recording in which nobody is heard to sing are left out, and counted.
- Intervals are by bootstrap over singers, on both sides of a trial (``metrics.eer_interval``,
  ``metrics.trial_rate_interval``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whosings.calibration import Calibration
from whosings.catalogue.trials import Trial
from whosings.errors import EvaluationError
from whosings.evaluation.corpus import Corpus
from whosings.evaluation.protocol import even_rows
from whosings.false_accepts import FALSE_ACCEPT_RATE
from whosings.metrics import Array, Interval, detection_cost, eer_interval, trial_rate_interval

_RATES = (0.001, FALSE_ACCEPT_RATE, 0.1)


@dataclass(frozen=True)
class AtThreshold:
    """What a threshold of the encoder's calibration does on a list.

    Attributes:
        stated: false-accept rate for which the threshold was set, 0 to 1.
        threshold: least log-likelihood ratio (nats) that is accepted.
        false_accepts: share of accepted trials of two singers; None without such trials.
        false_accepts_same_sex: the same of two singers of one sex; None where none are known.
        misses: share of refused trials of one singer; None without such trials.
    """

    stated: float
    threshold: float
    false_accepts: Interval | None
    false_accepts_same_sex: Interval | None
    misses: Interval | None


@dataclass(frozen=True)
class ScoredList:
    """A list's figures.

    Attributes:
        same, different, same_sex: number of trials of one singer, of two, and of two of one sex.
        unheard: trials that were left out.
        singers: how many take part.
        eer: equal error rate; None where there are not trials of both kinds.
        eer_same_sex: the same with those trials of two singers only that are of one sex; None where none are known.
        min_dcf: least normalised detection cost at a prior of 0.05; None as ``eer``.
        thresholds: of the calibration, by the rate that it states; none for encoders without.
    """

    same: int
    different: int
    same_sex: int
    unheard: int
    singers: int
    eer: Interval | None
    eer_same_sex: Interval | None
    min_dcf: float | None
    thresholds: tuple[AtThreshold, ...]


def score_trials(trials: Sequence[Trial], corpus: Corpus, calibration: Calibration | None) -> ScoredList:
    """Score a list.

    Args:
        corpus: its tracks, embedded.
        calibration: the encoder's; None compares by cosine.

    Raises:
        EvaluationError: no trial of which both recordings have singing.
    """
    heard = [trial for trial in trials if trial.enrolment in corpus.place and trial.probe in corpus.place]
    if not heard:
        raise EvaluationError("the trials", "have no two recordings with singing", "check the files")
    singers = {track.track_id: track.singer_id for track in corpus.tracks}
    enrolled, probed = ([singers[getattr(t, side)] for t in heard] for side in ("enrolment", "probe"))
    same = np.array([trial.same_singer for trial in heard])
    alike = np.array([trial.same_sex is True and not trial.same_singer for trial in heard])
    scores = _scores(heard, corpus, calibration)

    def eer(chosen: NDArray[np.bool_]) -> Interval | None:
        if not same.any() or not (chosen & ~same).any():
            return None
        places = np.flatnonzero(chosen | same)
        one, other = ([side[place] for place in places] for side in (enrolled, probed))
        return eer_interval(scores[places], same[places], one, other)

    def share(accepted: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> Interval | None:
        places = np.flatnonzero(chosen)
        if not places.size:
            return None
        one, other = ([side[place] for place in places] for side in (enrolled, probed))
        return trial_rate_interval(accepted[places].astype(float), one, other)

    both = bool(same.any() and not same.all())
    return ScoredList(
        same=int(same.sum()),
        different=int((~same).sum()),
        same_sex=int(alike.sum()),
        unheard=len(trials) - len(heard),
        singers=len({*enrolled, *probed}),
        eer=eer(~same),
        eer_same_sex=eer(alike),
        min_dcf=detection_cost(scores[same], scores[~same]) if both else None,
        thresholds=tuple(
            AtThreshold(
                rate,
                threshold,
                share(scores >= threshold, ~same),
                share(scores >= threshold, alike),
                share(scores < threshold, same),
            )
            for rate, threshold in _thresholds(calibration)
        ),
    )


def scored_from(content: Mapping[str, Any]) -> ScoredList:
    """A list's figures from what ``asdict`` makes of them."""

    def back(value: Any) -> Any:
        return Interval(**value) if isinstance(value, Mapping) else value

    own = {field.name: back(content[field.name]) for field in fields(ScoredList)}
    thresholds = (AtThreshold(**{name: back(value) for name, value in at.items()}) for at in content["thresholds"])
    return ScoredList(**{**own, "thresholds": tuple(thresholds)})


TRIAL_COLUMNS = ("what", "figure")


def trial_cells(scored: ScoredList) -> list[tuple[str, str]]:
    """A list's figures as text, for ``TRIAL_COLUMNS``."""
    trials = f"{scored.same} trials of one singer, {scored.different} of two"
    rows = [(f"{trials}, {scored.singers} singers: EER", _percent(scored.eer))]
    if scored.eer_same_sex is not None:
        rows.append((f"the {scored.same_sex} of two singers of one sex alone: EER", _percent(scored.eer_same_sex)))
    if scored.min_dcf is not None:
        rows.append(("minDCF, prior 0.05", f"{scored.min_dcf:.3f}"))
    for at in scored.thresholds:
        rows.append((f"at the threshold set for {100 * at.stated:g}%: false accepts", _percent(at.false_accepts)))
        if at.false_accepts_same_sex is not None:
            rows.append(("    of one sex", _percent(at.false_accepts_same_sex)))
        rows.append(("    misses", _percent(at.misses)))
    if scored.unheard:
        rows.append(("trials left out, with a recording in which nobody is heard", str(scored.unheard)))
    return rows


def _percent(share: Interval | None) -> str:
    return "-" if share is None else f"{share.mean:.2%} ({share.low:.2%} to {share.high:.2%})"


def _scores(trials: Sequence[Trial], corpus: Corpus, calibration: Calibration | None) -> Array:
    vectors = corpus.vectors if calibration is not None else even_rows(corpus.vectors)
    counts = np.diff(corpus.first)
    means = np.add.reduceat(vectors, corpus.first[:-1], axis=0) / counts[:, None]
    one, other = (np.array([corpus.place[getattr(t, side)] for t in trials]) for side in ("enrolment", "probe"))
    if calibration is None:
        units = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        return np.asarray(np.einsum("td,td->t", units[one], units[other]), float)
    units = calibration.centred(means.astype(np.float32))
    scores = np.asarray(np.einsum("td,td->t", units[one], units[other]), float)
    return calibration.pair(scores, calibration.reach(counts[one], counts[other]))


def _thresholds(calibration: Calibration | None) -> list[tuple[float, float]]:
    if calibration is None:
        return []
    kept = calibration.verifying.rates if calibration.verifying is not None else ()
    rates = {calibration.false_accept_rate, *(rate for rate in _RATES if rate in kept)}
    return [(rate, calibration.verify_threshold(rate)) for rate in sorted(rates)]
