"""Voices that nobody has named, grouped by singer; what a person decided stays.

A voice is named where a person decided on it, or where a gallery names it. All others are clustered, and each cluster
of several recordings is a group to listen to: with its best clip, and who it may be by the files' tags and by the
gallery. A group that a person named, merged or split is kept: it may grow, and never loses a voice or joins another
kept one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whosings.answer import Terms
from whosings.calibration import UNKNOWN_PRIOR, Calibration, evidence, singer_posteriors
from whosings.enrolled import Voices
from whosings.library.clustering import clusters
from whosings.library.decision_rows import Decision, Deed, FoundGroup, KeptGroup, LikelyName, VoiceKey
from whosings.library.decisions import DecidedLibrary
from whosings.library.library_rows import LibraryVoices
from whosings.progress import Progress, silent
from whosings.ranking import ReadyVoices
from whosings.singer_names import is_nobody
from whosings.spans import Span

CLIP_S = 8.0
"""Seconds of a group's best clip, where somebody sings for so long."""

LEAST = 2
"""Recordings of a group, unless a person kept it."""

_BLOCK = 1 << 23  # scores at once
_NAMES = 3  # who a group may be, of each kind
_LIKELY = 0.05  # least probability of a singer who is told
_SETTLED = (Deed.CONFIRM, Deed.SOMEBODY_ELSE, Deed.NOT_SUNG)


@dataclass(frozen=True)
class GroupVoice:
    """A voice of a group.

    Attributes:
        path: one of its recording's files; empty where they are gone.
        number: which voice of the recording, counted from 0.
        by_person: somebody put it there or left it there.
    """

    recording: int
    path: str
    number: int
    seconds: float
    by_person: bool


@dataclass(frozen=True)
class Clip:
    """The few seconds of a group by which to know its voice."""

    path: str
    span: Span


@dataclass(frozen=True)
class Group:
    """Voices of one singer.

    Attributes:
        kept: a person named, merged or split it; ``name`` is None where nobody named it.
        recordings, seconds: how many, and how long the voice sings in them together.
        clip: None where the recordings' files are gone.
        likely: by tags first; empty where nothing is known.
        voices: the most typical first.
    """

    id: int
    kept: bool
    name: str | None
    recordings: int
    seconds: float
    clip: Clip | None
    likely: tuple[LikelyName, ...]
    voices: tuple[GroupVoice, ...]


def named_by(voices: LibraryVoices, ready: ReadyVoices, terms: Terms) -> NDArray[np.bool_]:
    """Which voices of a library a gallery names, (voices,)."""
    named = np.zeros(len(voices.ids), bool)
    size = max(1, _BLOCK // len(ready.voices.names))
    for first in range(0, len(named), size):
        some = slice(first, first + size)
        found = evidence(ready.compare(voices.means[some], voices.amounts[some]).llr)
        named[some] = found.max(axis=1) >= terms.named_nats
    return named


def settled(verdicts: dict[VoiceKey, Decision], keys: Sequence[VoiceKey]) -> NDArray[np.bool_]:
    """Which voices a person named, or called no voice, (voices,)."""
    return np.array([key in verdicts and verdicts[key].deed in _SETTLED for key in keys], bool)


def regroup(
    library: DecidedLibrary,
    calibration: Calibration,
    enrolled: Voices | None = None,
    terms: Terms | None = None,
    progress: Progress = silent,
) -> tuple[Group, ...]:
    """Group the voices that nobody has named, and keep the groups in the library; the largest first.

    A group that holds most of a former one has its number.

    Args:
        calibration: that of the library's encoder.
        enrolled, terms: a gallery's voices, and when it names one; its singers' voices are left out.

    Raises:
        LibraryError: the library is damaged, or cannot be written.
    """
    library.follow_changes()
    voices = library.voices()
    keys = library.keys(voices)
    place = {key: number for number, key in enumerate(keys)}
    before = library.groups()
    kept = np.full(len(keys), -1, np.intp)
    for group in (group for group in before if group.kept):
        kept[[place[key] for key in group.by_person if key in place]] = group.id
    named = settled(library.verdicts(), keys)
    if enrolled is not None and terms is not None:
        named |= named_by(voices, ReadyVoices.of(enrolled, calibration), terms)
    chosen = np.flatnonzero(~named | (kept >= 0))
    position = {int(number): row for row, number in enumerate(chosen)}
    strangers = {
        group: np.array([position[place[key]] for key in sorted(out) if place.get(key) in position], np.intp)
        for group, out in library.strangers().items()
    }
    labels = clusters(
        voices.means[chosen], voices.amounts[chosen], calibration, kept[chosen], strangers, progress=progress
    )
    found = _numbered([tuple(keys[number] for number in own) for own in _members(chosen, labels)], before)
    library.store_found(found)
    return described(library, calibration, enrolled)


def described(
    library: DecidedLibrary, calibration: Calibration, enrolled: Voices | None = None, only: int | None = None
) -> tuple[Group, ...]:
    """The groups as the library has them, the one with the most recordings first.

    Args:
        enrolled: a gallery's voices, among whom likely names are looked for.
        only: the number of one group.
    """
    voices = library.voices()
    place = {key: number for number, key in enumerate(library.keys(voices))}
    ready = None if enrolled is None else ReadyVoices.of(enrolled, calibration)
    found = []
    for group in (group for group in library.groups() if only is None or group.id == only):
        own = {place[key]: key for key in group.voices if key in place}
        if own:
            found.append(_describe(library, group, own, voices, calibration, ready))
    return tuple(sorted(found, key=lambda group: (-group.recordings, -group.seconds, group.id)))


def _describe(
    library: DecidedLibrary,
    group: KeptGroup,
    keys: dict[int, VoiceKey],
    voices: LibraryVoices,
    calibration: Calibration,
    ready: ReadyVoices | None,
) -> Group:
    own = np.array(list(keys), np.intp)
    centred, reach = calibration.centred(voices.means[own]), calibration.reach(voices.amounts[own])
    # The most typical voice of which much was heard.
    typical = (centred @ (centred * reach[:, None]).mean(axis=0)) * reach
    members, clip = [], None
    for number in own[np.argsort(-typical, kind="stable")].tolist():
        key, recording = keys[number], int(voices.recordings[number])
        path = next(iter(library.paths(recording)), "")
        seconds = float(voices.seconds[number])
        members.append(GroupVoice(recording, path, key.number, seconds, key in group.by_person))
        if clip is None and path:
            clip = Clip(path, best_span(library.heard(recording).voices[key.number].spans))
    recordings = list(dict.fromkeys(member.recording for member in members))
    likely = [*_by_tags(library, recordings), *(() if ready is None else _by_gallery(voices, own, ready))]
    seconds = float(voices.seconds[own].sum())
    return Group(group.id, group.kept, group.name, len(recordings), seconds, clip, tuple(likely), tuple(members))


def best_span(spans: Sequence[Span], most_s: float = CLIP_S) -> Span:
    """The middle of the longest span, at most so long."""
    longest = max(spans, key=lambda span: span.stop_s - span.start_s)
    middle, half = (longest.start_s + longest.stop_s) / 2, min(most_s, longest.stop_s - longest.start_s) / 2
    return Span(middle - half, middle + half)


def _members(chosen: NDArray[np.intp], labels: NDArray[np.intp]) -> Iterator[list[int]]:
    order = np.argsort(labels, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        yield chosen[own].tolist()


def _numbered(found: Sequence[tuple[VoiceKey, ...]], before: Sequence[KeptGroup]) -> list[FoundGroup]:
    """Groups with the number of the former group of which they hold most; a kept group stays itself."""
    former = {key: group.id for group in before for key in group.voices}
    kept = {key: group.id for group in before if group.kept for key in group.by_person}
    kept_ids, used, numbered = set(kept.values()), set(kept.values()), []
    for own in sorted(found, key=lambda own: (-len(own), own)):
        whole = next((kept[key] for key in own if key in kept), None)
        if whole is None and len({key.sha256 for key in own}) < LEAST:
            continue
        if whole is None:
            counts = Counter(former[key] for key in own if key in former and former[key] not in kept_ids)
            whole = next((number for number, _ in counts.most_common() if number not in used), None)
            if whole is not None:
                used.add(whole)
        numbered.append(FoundGroup(whole, own))
    return numbered


def _by_tags(library: DecidedLibrary, recordings: Sequence[int]) -> Iterator[LikelyName]:
    """Artists whom the tags of the recordings' files name, the most frequent first."""
    counts: Counter[str] = Counter()
    for recording in recordings:
        artists: set[str] = set()
        for file in library.files(recording):
            said = file.tags.get("artists") or [file.tags.get("album_artist")]
            artists |= {name for name in said if isinstance(name, str) and name and not is_nobody(name)}
        counts.update(artists)
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_NAMES]:
        yield LikelyName(name, "tags", count / len(recordings))


def _by_gallery(voices: LibraryVoices, own: NDArray[np.intp], ready: ReadyVoices) -> Iterator[LikelyName]:
    """Enrolled singers by all that was heard of the group."""
    mean, amount = voices.means[own].mean(axis=0, keepdims=True), voices.amounts[own].sum(keepdims=True)
    probabilities = singer_posteriors(ready.compare(mean, amount).llr, UNKNOWN_PRIOR)[0]
    for best in np.argsort(-probabilities, kind="stable")[:_NAMES].tolist():
        if probabilities[best] >= _LIKELY:
            yield LikelyName(ready.voices.names[best], "gallery", float(probabilities[best]))
