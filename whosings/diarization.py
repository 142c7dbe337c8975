"""Which voice sings when: short windows of one recording, grouped by voice, whoever the voices belong to.

Windows are clustered by average linkage on their cosines. Then a few rounds sharpen the groups: each voice's mean is
taken where no other voice is near, voices that are alike are joined, and a Viterbi path, which pays for every change,
gives each window to a voice.

Conventions
-----------
- A window belongs to the moment in its middle, so that changes of voice are as fine as the windows are close.
- Windows are unit vectors without the mean voice of many singers (``Calibration.centred``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.calibration import unit_rows
from whosings.spans import Span

_APART = 0.5  # mean cosine of two groups' windows below which they are two voices
_ALIKE = 0.65  # cosine of two voices' means above which they are one
_CHANGE = 0.3  # what a change of voice costs, in cosines
_LEAST_S = 3.0  # of a group that may be a voice
_ROUNDS = 3
_MOST = 2000  # windows that are clustered at once: memory and time grow with their square


@dataclass(frozen=True)
class VoiceWindows:
    """The windows of one voice.

    Attributes:
        places: which windows, ascending, (windows,).
        clear: those of them that hold no change of voice; all where every one does.
    """

    places: NDArray[np.intp]
    clear: NDArray[np.intp]


def diarize(
    windows: FloatArray, start_s: NDArray[np.float64], window_s: float, hop_s: float
) -> tuple[VoiceWindows, ...]:
    """Group the windows of a recording by voice, the voice with the most of them first.

    Args:
        windows: (windows, dimensions).
        start_s: (windows,) ascending, in seconds.
        window_s: length of a window.
        hop_s: seconds from one window to the next where they are close.

    Returns:
        Every window belongs to one voice. Without windows there is no voice.
    """
    if len(windows) == 0:
        return ()
    labels = np.concatenate(list(_clusters(windows)))
    for _ in range(_ROUNDS):
        means = _joined(_means(windows, labels, start_s, window_s, _LEAST_S / hop_s))
        labels = _path(windows @ means.T, np.diff(start_s) <= 2 * hop_s + 1e-6)
    clear = _clear(labels, start_s, window_s / 2)
    voices = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        kept = own[clear[own]]
        voices.append(VoiceWindows(own, kept if len(kept) else own))
    return tuple(sorted(voices, key=lambda voice: -len(voice.places)))


def spans(start_s: NDArray[np.float64], places: NDArray[np.intp], window_s: float, hop_s: float) -> tuple[Span, ...]:
    """Where some of the windows are, as stretches without gaps.

    A window stands for its middle. The first and the last one of what is sung without a rest stand for all that they
    hold, because no other window does.

    Args:
        start_s: starts of all windows, (windows,), ascending.
        places: which of them, ascending.
        hop_s: how much of the recording a window stands for.
    """
    if len(places) == 0:
        return ()
    gap = np.diff(start_s) > hop_s + 1e-6
    after_rest, before_rest = np.append(True, gap), np.append(gap, True)
    breaks = (np.diff(places) > 1) | gap[places[:-1]]
    firsts, lasts = places[np.append(True, breaks)], places[np.append(breaks, True)]
    margin = (window_s - hop_s) / 2
    begin = start_s[firsts] + np.where(after_rest[firsts], 0.0, margin)
    end = start_s[lasts] + window_s - np.where(before_rest[lasts], 0.0, margin)
    return tuple(Span(float(one), float(other)) for one, other in zip(begin, end, strict=True))


def _clusters(windows: FloatArray) -> Iterator[NDArray[np.intp]]:
    """A label a window; labels of one part of a long recording do not come up in another."""
    from scipy.cluster.hierarchy import fcluster, linkage

    used = 0
    parts = np.array_split(windows, -(-len(windows) // _MOST))
    for part in parts:
        found = np.ones(1, np.intp)
        if len(part) > 1:
            found = fcluster(linkage(part, "average", metric="cosine"), 1 - _APART, "distance")
        yield found + used
        used += int(found.max())


def _means(
    windows: FloatArray, labels: NDArray[np.intp], start_s: NDArray[np.float64], window_s: float, least: float
) -> FloatArray:
    """Unit means of groups of at least so many windows, (groups, dimensions); of all windows where no group is."""
    clear = _clear(labels, start_s, window_s / 2)
    means = []
    for label in np.unique(labels):
        own = labels == label
        if own.sum() >= least:
            kept = own & clear
            means.append(windows[kept if kept.sum() > 1 else own].mean(axis=0))
    return unit_rows(np.stack(means or [windows.mean(axis=0)]))


def _joined(means: FloatArray) -> FloatArray:
    """Voices, of which the most alike are joined for as long as they are alike enough."""
    while len(means) > 1:
        likeness = means @ means.T - 2 * np.eye(len(means), dtype=np.float32)
        first, second = np.unravel_index(int(likeness.argmax()), likeness.shape)
        if likeness[first, second] < _ALIKE:
            break
        joined = unit_rows(means[first] + means[second])
        means = np.concatenate([np.delete(means, [first, second], axis=0), joined[None]])
    return means


def _path(scores: FloatArray, close: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The best sequence of voices; a change costs less where windows are not ``close``, (windows - 1,).

    Args:
        scores: (windows, voices).
    """
    best = np.array(scores[0], np.float64)
    came_from = np.empty((len(scores), scores.shape[1]), np.intp)
    for place in range(1, len(scores)):
        cost = _CHANGE if close[place - 1] else _CHANGE / 3
        leader = int(best.argmax())
        stays = best >= best[leader] - cost
        came_from[place] = np.where(stays, np.arange(len(best)), leader)
        best = np.where(stays, best, best[leader] - cost) + scores[place]
    labels = np.empty(len(scores), np.intp)
    labels[-1] = best.argmax()
    for place in range(len(scores) - 1, 0, -1):
        labels[place - 1] = came_from[place, labels[place]]
    return labels


def _clear(labels: NDArray[np.intp], start_s: NDArray[np.float64], reach_s: float) -> NDArray[np.bool_]:
    """Windows without one of another voice within ``reach_s`` on either side, (windows,)."""
    clear = np.ones(len(labels), bool)
    changes = np.flatnonzero(np.diff(labels))
    for change in changes:
        last, first = start_s[change], start_s[change + 1]
        if first - last <= reach_s + 1e-6:
            clear[(start_s >= first - reach_s - 1e-6) & (start_s <= last + reach_s + 1e-6)] = False
    return clear
