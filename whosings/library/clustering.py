"""Voices of many recordings, clustered by singer: average linkage on calibrated scores, for 100,000 voices and more.

What joins two clusters is the mean over their pairs of voices of the log-likelihood ratio (``Calibration.pair``), less
what is asked for. The ratio of a pair is a sum of products, of each voice's embedding and of its reach, and so the mean
over all pairs of two clusters is the same sum of their means. No pair of voices is ever kept: a cluster is one row.

Average linkage is reducible: a cluster that two others become is never nearer to a third than the nearer of both was.
So all pairs that are each other's nearest may be joined at once, only clusters whose nearest one has changed are looked
at again, and a cluster that is near to nobody stays as it is for good (Murtagh, *A survey of recent advances in
hierarchical clustering algorithms*, 1983).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.calibration import Calibration
from whosings.progress import Progress, silent

ASKED_NATS = 2.75
"""Log-likelihood ratio that pairs of one cluster reach on average where much is heard; a choice, as docs/library.md
tells what it does."""

_MORE_NATS = 0.25  # for each tenfold of voices from a hundred on: among more strangers more are alike
_BLOCK = 1 << 24  # scores at once

Places = NDArray[np.intp]


def asked_nats(voices: int) -> float:
    """What pairs of a cluster must reach on average in a library of so many voices, in nats."""
    return ASKED_NATS + _MORE_NATS * max(0.0, math.log10(max(voices, 1) / 100))


def clusters(
    means: FloatArray,
    amounts: NDArray[np.float64],
    calibration: Calibration,
    kept: Places | None = None,
    strangers: Mapping[int, Places] | None = None,
    asked: float | None = None,
    progress: Progress = silent,
) -> Places:
    """A cluster for each voice, (voices,), numbered from 0 in the order of their first voices.

    Args:
        means: (voices, dimensions) mean embeddings.
        amounts: (voices,) how many segments' worth each is of.
        kept: (voices,) groups that stand whatever is heard: voices of one number are one cluster, those of two numbers
            never are; -1 is free.
        strangers: voices that never join a kept group, by its number.
        asked: mean log-likelihood ratio of a cluster's pairs in nats; None takes ``asked_nats``. Of voices of which
            little was heard less is asked, in proportion to their reach.
    """
    if len(means) == 0:
        return np.zeros(0, np.intp)
    found = _Clusters.of(
        means, amounts, calibration, kept if kept is not None else np.full(len(means), -1), strangers or {}
    )
    found.join_all(calibration, asked_nats(len(means)) if asked is None else asked, progress)
    _, first, labels = np.unique(found.of_voice, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[labels], np.intp)


@dataclass
class _Clusters:
    """Clusters as rows.

    Attributes:
        rows: (voices, dimensions + 2) mean over a cluster's voices of embedding times reach, reach squared, and reach.
        counts: (voices,) voices of each; what was joined into another one stays behind unused.
        kept: (voices,) which kept group it is, or -1.
        barred: kept groups that a cluster must not join.
        of_voice: (voices,) the cluster of each voice.
    """

    rows: FloatArray
    counts: NDArray[np.float64]
    kept: Places
    barred: dict[int, set[int]]
    of_voice: Places
    best: Places = field(init=False)
    gain: NDArray[np.float32] = field(init=False)

    @classmethod
    def of(
        cls,
        means: FloatArray,
        amounts: NDArray[np.float64],
        calibration: Calibration,
        kept: Places,
        strangers: Mapping[int, Places],
    ) -> _Clusters:
        reach = np.asarray(calibration.reach(amounts), np.float32)[:, None]
        rows = np.concatenate([calibration.centred(means) * reach, reach**2, reach], axis=1).astype(np.float32)
        barred: dict[int, set[int]] = {}
        for group, places in strangers.items():
            for place in places.tolist():
                barred.setdefault(place, set()).add(group)
        found = cls(rows, np.ones(len(rows)), kept.astype(np.intp), barred, np.arange(len(rows)))
        for group in np.unique(kept[kept >= 0]):
            first, *others = np.flatnonzero(kept == group)
            found._join(np.full(len(others), first), np.array(others, np.intp))
        return found

    def join_all(self, calibration: Calibration, asked: float, progress: Progress) -> None:
        """Join clusters for as long as two are near enough."""
        line = calibration.pair
        weights = np.full(self.rows.shape[1], line.scale, np.float32)
        weights[-2:] = line.offset, -asked
        size = len(self.rows)
        self.best, self.gain = np.full(size, -1, np.intp), np.full(size, -np.inf, np.float32)
        active = np.unique(self.of_voice)
        again, step = active, progress("grouping voices", 0)
        while len(active) > 1:
            self._look(again, active, weights)
            step()
            active = active[self.gain[active] > 0]
            if not len(active):
                return
            nearest = self.best[active]
            mutual = (self.best[nearest] == active) & (active < nearest)
            if mutual.any():
                into, gone = active[mutual], nearest[mutual]
            else:  # rounding made a circle of equals
                top = active[self.gain[active].argmax()]
                into, gone = np.array([top]), self.best[[top]]
            self._join(into, gone)
            changed = np.zeros(size, bool)
            changed[into] = changed[gone] = True
            active = np.setdiff1d(active, gone, assume_unique=True)
            again = active[changed[active] | changed[self.best[active]]]

    def _look(self, some: Places, among: Places, weights: FloatArray) -> None:
        """Find the nearest among clusters for some of them; both ascend."""
        columns = self.rows[among].T
        kept_columns = np.flatnonzero(self.kept[among] >= 0)
        column_of = {int(self.kept[among[place]]): int(place) for place in kept_columns}
        block = max(1, _BLOCK // len(among))
        for first in range(0, len(some), block):
            part = some[first : first + block]
            gains = np.asarray((self.rows[part] * weights) @ columns, np.float32)
            gains[np.arange(len(part)), np.searchsorted(among, part)] = -np.inf
            if column_of:
                gains[np.ix_(np.flatnonzero(self.kept[part] >= 0), kept_columns)] = -np.inf
                self._bar(gains, part, among, column_of)
            best = gains.argmax(axis=1)
            self.best[part], self.gain[part] = among[best], gains[np.arange(len(part)), best]

    def _bar(self, gains: FloatArray, part: Places, among: Places, column_of: Mapping[int, int]) -> None:
        row_of = {int(cluster): row for row, cluster in enumerate(part)}
        for cluster, groups in self.barred.items():
            row = row_of.get(cluster)
            for group in groups & column_of.keys():
                if row is not None:
                    gains[row, column_of[group]] = -np.inf
                kept_row = row_of.get(int(among[column_of[group]]))
                if kept_row is not None:
                    place = int(np.searchsorted(among, cluster))
                    if place < len(among) and among[place] == cluster:
                        gains[kept_row, place] = -np.inf

    def _join(self, into: Places, gone: Places) -> None:
        """Make one cluster of each pair; a cluster may take several, one after the other."""
        moved = np.arange(len(self.rows))
        moved[gone] = into
        self.of_voice = moved[self.of_voice]
        totals = self.rows[gone] * self.counts[gone, None]
        owners = np.unique(into)
        sums = self.rows[owners] * self.counts[owners, None]
        np.add.at(sums, np.searchsorted(owners, into), totals)
        np.add.at(self.counts, into, self.counts[gone])
        self.rows[owners] = (sums / self.counts[owners, None]).astype(np.float32)
        for one, other in zip(into.tolist(), gone.tolist(), strict=True):
            self.kept[one] = max(self.kept[one], self.kept[other])
            if other in self.barred:
                self.barred.setdefault(one, set()).update(self.barred.pop(other))
