"""False-accept rates of a gallery: how often somebody who is not enrolled is given a name, measured on who is.

Each singer is left out in turn, and all enrolled recordings of that singer are asked as those of a stranger, among the
voices of a gallery without that singer. Recordings that are asked for their own singer are held back from the mean
voice. A classifier that was fitted on the gallery has no say, because it never decides whether anybody enrolled sings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whosings.answer import Terms
from whosings.calibration import UNKNOWN_PRIOR, Calibration, Scores, evidence
from whosings.enrolled import EnrolledTrack, MeasuredRates
from whosings.errors import GalleryError
from whosings.false_accepts import FALSE_ACCEPT_RATE, RATES, FalseAccepts, look_rate
from whosings.gallery import Gallery
from whosings.metrics import Interval, rate_interval
from whosings.progress import Progress, silent
from whosings.ranking import ReadyVoices

_LEAST_SINGERS = 10
_READ = 500  # singers whose recordings are in memory at once


@dataclass(frozen=True)
class RateRow:
    """What one threshold does in a gallery.

    Attributes:
        rate: the rate that is asked for.
        measured_on: which threshold it is, the model's or the gallery's.
        nats: the threshold.
        strangers: share of recordings whose singer is left out that are given a name.
        interval: the singers' share of which that is, as an interval with 95 % confidence.
        right, wrong: shares of held-back recordings of enrolled singers that are given the right name, and another one;
            None where no singer has two recordings.
    """

    rate: float
    measured_on: str
    nats: float
    strangers: float
    interval: Interval
    right: float | None
    wrong: float | None


@dataclass(frozen=True)
class GalleryRates:
    """What was measured: ``rates`` to be kept in the gallery, and a table of thresholds."""

    rates: MeasuredRates
    rows: tuple[RateRow, ...]
    held_back: int


@dataclass(frozen=True)
class Trial:
    """What one recording reaches, in nats.

    Attributes:
        singer: whose it is; any text that other people's have not, where nobody knows.
        stranger: as a stranger's; nan where it cannot be asked so.
        own: among all with its singer's others; nan where there are none.
        right: the singer is the likeliest then.
    """

    singer: str
    stranger: float
    own: float
    right: bool


def measure_rates(
    gallery: Gallery, calibration: Calibration, progress: Progress = silent, reviewed: Sequence[Trial] = ()
) -> GalleryRates:
    """Ask every enrolled recording with its singer left out, and with the singer's other recordings.

    Args:
        reviewed: more trials, of recordings on which people decided.

    Raises:
        GalleryError: fewer than ten singers are enrolled.
    """
    names = gallery.voices.names
    if len(names) < _LEAST_SINGERS:
        remedy = f"enrol {_LEAST_SINGERS} singers or more"
        raise GalleryError(gallery.path, f"has too few singers ({len(names)}) to measure a rate on", remedy)
    asked = _Asked.of([*_ask(gallery, calibration, progress), *reviewed])
    strangers = asked.stranger[np.isfinite(asked.stranger)]
    rates = MeasuredRates(len(names), len(strangers), FalseAccepts.measured(strangers))
    model = calibration.naming
    known = [rate for rate in RATES if model is not None and model.states(rate)]
    rows = [asked.row(rate, "the model", calibration.naming_threshold(rate, len(names))) for rate in known]
    own = zip(rates.naming.rates, rates.naming.nats, strict=True)
    rows += [asked.row(rate, "this gallery", nats) for rate, nats in own]
    return GalleryRates(rates, tuple(rows), int(np.isfinite(asked.own).sum()))


def terms_of(calibration: Calibration, gallery: Gallery, false_accepts: float | None) -> Terms:
    """When names are given: by a rate that was measured on the gallery if it was, else on the model's material.

    Args:
        false_accepts: the rate; None takes 1 %, and if that was not measured, even odds.

    Raises:
        ConfigError: no such rate was measured.
        CheckpointError: no rate was measured at all.
    """
    rate = FALSE_ACCEPT_RATE if false_accepts is None else false_accepts
    own, model = gallery.rates, calibration.naming
    if own is not None and own.naming.states(rate):
        return Terms(rate, str(own), own.naming.threshold(rate), own.naming.threshold(look_rate(rate)))
    if false_accepts is None and (model is None or not model.states(rate)):
        return by_probability(UNKNOWN_PRIOR)
    few = "" if own is None else f"; your {own.singers} singers are too few to measure it"
    singers = len(gallery.voices.names) if model is not None else 0
    thresholds = (calibration.naming_threshold(some, singers) for some in (rate, look_rate(rate)))
    return Terms(rate, f"on the model's calibration set{few}", *thresholds)


def by_probability(unknown_prior: float) -> Terms:
    """Names are given to whoever is likelier than somebody who is not enrolled."""
    nats = math.log(unknown_prior / (1 - unknown_prior))
    return Terms(None, "", nats, nats)


@dataclass(frozen=True)
class _Asked:
    """Trials of all recordings, (recordings,) each."""

    singer: NDArray[np.intp]
    stranger: NDArray[np.float64]
    own: NDArray[np.float64]
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, found: Sequence[Trial]) -> _Asked:
        _, singer = np.unique([one.singer for one in found], return_inverse=True)
        stranger, own = (np.array([getattr(one, name) for one in found]) for name in ("stranger", "own"))
        return cls(singer, stranger, own, np.array([one.right for one in found]))

    def row(self, rate: float, measured_on: str, nats: float) -> RateRow:
        asked = np.isfinite(self.stranger)
        named, held = self.stranger[asked] >= nats, self.own[np.isfinite(self.own)]
        # Recordings of one singer are no independent trials: the interval counts singers.
        singers = np.unique(self.singer[asked])
        share = float(np.mean(named))
        interval = rate_interval(round(share * len(singers)), len(singers))
        right = wrong = None
        if held.size:
            own_right = self.right[np.isfinite(self.own)]
            right, wrong = (float(np.mean((held >= nats) & side)) for side in (own_right, ~own_right))
        return RateRow(rate, measured_on, nats, share, interval, right, wrong)


def _ask(gallery: Gallery, calibration: Calibration, progress: Progress) -> Iterator[Trial]:
    raw = gallery.voices
    everybody = ReadyVoices.of(raw, calibration)
    step = progress("leaving out singers", len(raw.names))
    for first in range(0, len(raw.names), _READ):
        some = raw.names[first : first + _READ]
        by_singer: dict[str, list[EnrolledTrack]] = {name: [] for name in some}
        for track in gallery.tracks(frozenset(some)):
            by_singer[track.singer].append(track)
        for place, name in enumerate(some, first):
            tracks = by_singer[name]
            means = np.stack([track.vectors.mean(axis=0) for track in tracks])
            amounts = np.array([track.segments for track in tracks])
            left_out = ReadyVoices.of(raw.without(name), calibration)
            strangers = evidence(left_out.compare(means, amounts).llr).max(axis=1)
            among_all = evidence(_held_back(everybody, place, raw.segments[place], means, amounts))
            best, own = among_all.argmax(axis=1), among_all.max(axis=1)
            for row, stranger in enumerate(strangers):
                yield Trial(name, float(stranger), float(own[row]), bool(best[row] == place))
            step()


def _held_back(
    everybody: ReadyVoices, place: int, segments: float, means: NDArray[np.float32], amounts: NDArray[np.float64]
) -> Scores:
    """Log-likelihood ratios of a singer's recordings, each held back from the own voice; nan if it is the only one."""
    llr = np.array(everybody.compare(means, amounts).llr, np.float64)
    if len(means) == 1:
        return np.full_like(llr, np.nan)
    calibration = everybody.calibration
    others = calibration.centred((means.sum(axis=0) - means) / (len(means) - 1))
    scores = (calibration.centred(means) * others).sum(axis=1)
    reach = calibration.reach(amounts, np.maximum(segments - amounts, 1e-9))
    llr[:, place] = calibration.track(scores, reach)
    return llr
