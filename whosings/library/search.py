"""Find by voice: the recordings of a library in which a voice sings, the likeliest first.

Probabilities are of "one singer", under a prior that grows more cautious with the library: before anything is compared,
one of the voices that compete is the singer's, as ``competing`` counts them. A library of few voices has as many
competitors as voices. In a large one those count who are like the voice, so that a large library asks for a closer
match and never for an impossible one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.calibration import COMPETITORS, Calibration, Scores, same_singer_probability
from whosings.enrolled import Voices
from whosings.errors import AudioError
from whosings.heard import HeardTrack, HeardVoice
from whosings.library.library_file import Library
from whosings.library.library_rows import LibraryVoices
from whosings.ranking import ReadyVoices
from whosings.spans import Span

_MOST_NATS = 80.0  # whose exponential is a number in single precision
_BLOCK = 1 << 16  # voices at once


@dataclass(frozen=True)
class Match:
    """A recording of the library in which a voice may sing.

    Attributes:
        recording: its number in the library.
        sha256: of its content.
        paths: where it is, in order; none where its files are gone.
        voice: which of its voices that is, counted from 0, the longest heard first.
        probability: that it is the voice that was asked for.
        nats: the log-odds of that before the prior: how many times likelier the score is of one singer than of two.
        score: cosine similarity, -1 to 1.
        seconds, spans: how long that voice sings there, and where.
        enrolled: this very recording is among the singer's in the gallery.
    """

    recording: int
    sha256: str
    paths: tuple[str, ...]
    voice: int
    probability: float
    nats: float
    score: float
    seconds: float
    spans: tuple[Span, ...]
    enrolled: bool = False


@dataclass(frozen=True)
class Likeness:
    """How like a voice all voices of a library are, (voices,) each: cosines, and log-likelihood ratios in nats."""

    scores: Scores
    llr: Scores


def competing(llr: Scores) -> float:
    """How many voices of a library compete with a voice's own singer: all in a small one, and at least a hundred.

    Likelihood ratios of strangers are 1 on average and sum to about their number. Where the sum is less, most of the
    library is less like the voice than strangers are, and counts for less. Voices that are likelier the singer's than
    all before them together are not strangers, and do not count.

    Args:
        llr: (voices,) log-likelihood ratios of a voice with all others.
    """
    ordered = np.sort(np.asarray(llr, np.float64))
    ratios = np.exp(np.clip(ordered, -_MOST_NATS, _MOST_NATS))
    so_far = min(COMPETITORS, len(ordered)) + np.concatenate([[0.0], np.cumsum(ratios)])
    own = np.flatnonzero(ratios > so_far[:-1])
    return float(max(1.0, min(len(ordered), so_far[own[0]] if len(own) else so_far[-1])))


def competing_in_part(near: Scores, sample: Scores, others: int) -> float:
    """The same where only some ratios are known: those of the nearest voices, and of a part of all others.

    Each voice of the part stands for as many of the others as it is a share of them. The estimate is right on average,
    and more often too low than too high, because few of the others count for much.

    Args:
        near: (near,) log-likelihood ratios of the nearest.
        sample: (sampled,) those of voices that are not among the nearest, drawn without regard to likeness.
        others: how many voices are not among the nearest.
    """
    weights = np.concatenate([np.ones(len(near)), np.full(len(sample), others / max(1, len(sample)))])
    ordered = np.argsort(llr := np.concatenate([near, sample]).astype(np.float64), kind="stable")
    ratios, weights = np.exp(np.clip(llr[ordered], -_MOST_NATS, _MOST_NATS)), weights[ordered]
    count = len(near) + others
    so_far = min(COMPETITORS, count) + np.concatenate([[0.0], np.cumsum(weights * ratios)])
    own = np.flatnonzero(ratios > so_far[:-1])
    return float(max(1.0, min(count, so_far[own[0]] if len(own) else so_far[-1])))


def like_voice(voices: LibraryVoices, mean: FloatArray, amount: float, calibration: Calibration) -> Likeness:
    """All voices of a library against one that was heard.

    Args:
        mean: (dimensions,) mean of unit embeddings.
        amount: segments' worth of it.
        calibration: that of the library's encoder.
    """
    one, heard = mean[None], np.array([amount])

    def compare(means: FloatArray, amounts: NDArray[np.float64]) -> Likeness:
        found = calibration.ratios(means, amounts, one, heard)
        return Likeness(found.scores[:, 0], found.llr[:, 0])

    return _in_blocks(voices, compare)


def like_singer(voices: LibraryVoices, enrolled: Voices, singer: str, calibration: Calibration) -> Likeness:
    """All voices of a library against an enrolled singer.

    Raises:
        KeyError: nobody of that name is enrolled.
    """
    if singer not in enrolled.names:
        raise KeyError(singer)
    place = enrolled.names.index(singer)
    ready = ReadyVoices.of(enrolled, calibration)
    one = Voices((singer,), ready.voices.vectors[place : place + 1], enrolled.segments[place : place + 1])
    alone = ReadyVoices(one, ready.calibration, ready.reach[place : place + 1])

    def compare(means: FloatArray, amounts: NDArray[np.float64]) -> Likeness:
        found = alone.compare(means, amounts)
        return Likeness(found.scores[:, 0], found.llr[:, 0])

    return _in_blocks(voices, compare)


def _in_blocks(voices: LibraryVoices, compare: Callable[[FloatArray, NDArray[np.float64]], Likeness]) -> Likeness:
    if len(voices.ids) == 0:  # whose means have no dimensions
        return Likeness(np.zeros(0), np.zeros(0))
    starts = range(0, len(voices.ids), _BLOCK)
    parts = [compare(voices.means[first:][:_BLOCK], voices.amounts[first:][:_BLOCK]) for first in starts]
    scores, llr = (np.concatenate([getattr(part, name) for part in parts]) for name in ("scores", "llr"))
    return Likeness(np.asarray(scores, np.float64), np.asarray(llr, np.float64))


def matches(
    library: Library,
    voices: LibraryVoices,
    likeness: Likeness,
    top: int,
    leave_out: int | None = None,
    enrolled: frozenset[str] = frozenset(),
) -> tuple[Match, ...]:
    """The likeliest recordings, each by its likeliest voice.

    Args:
        voices: those of ``library``.
        likeness: of all of them.
        top: how many.
        leave_out: a recording that is not told, because it is what was asked with.
        enrolled: contents (SHA-256) that are enrolled of the singer who was asked for.
    """
    others = _others(voices, leave_out)
    if not others.any():
        return ()
    compete = competing(likeness.llr[others])
    return _told(library, voices, likeness, compete, top, leave_out, enrolled)


def matches_near(
    library: Library,
    near: LibraryVoices,
    likeness: Likeness,
    compete: float,
    top: int,
    leave_out: int | None = None,
    enrolled: frozenset[str] = frozenset(),
) -> tuple[Match, ...]:
    """The likeliest recordings among those of some voices, as ``matches`` tells them of all.

    Args:
        near: voices of ``library``, all that may be likely.
        likeness: of these.
        compete: how many voices compete, of all that the library has.
    """
    return _told(library, near, likeness, compete, top, leave_out, enrolled)


def _others(voices: LibraryVoices, leave_out: int | None) -> NDArray[np.bool_]:
    return np.asarray(voices.recordings != (-1 if leave_out is None else leave_out))


def _told(
    library: Library,
    voices: LibraryVoices,
    likeness: Likeness,
    compete: float,
    top: int,
    leave_out: int | None,
    enrolled: frozenset[str],
) -> tuple[Match, ...]:
    others, prior = _others(voices, leave_out), 1 / (1 + compete)
    found: list[Match] = []
    told: set[int] = set()
    for place in np.lexsort((voices.ids, -likeness.llr)):
        recording = int(voices.recordings[place])
        if not others[place] or recording in told:
            continue
        told.add(recording)
        number = library.number_of(int(voices.ids[place]))
        voice = library.heard(recording).voices[number]
        nats, sha256 = float(likeness.llr[place]), library.recording(recording).sha256
        found.append(
            Match(
                recording,
                sha256,
                library.paths(recording),
                number,
                same_singer_probability(nats, prior),
                nats,
                float(likeness.scores[place]),
                voice.seconds,
                voice.spans,
                sha256 in enrolled,
            )
        )
        if len(found) >= top:
            break
    return tuple(found)


def voices_within(track: HeardTrack, start_s: float | None, stop_s: float | None) -> tuple[HeardVoice, ...]:
    """Whom to look for: all voices of a recording, or the one that is heard longest between two moments.

    Raises:
        AudioError: nobody sings there.
    """
    if not track.voices:
        raise AudioError(track.track_id, "holds too little singing to look for", "name another recording")
    if start_s is None and stop_s is None:
        return track.voices
    start, stop = start_s or 0.0, track.duration_s if stop_s is None else stop_s
    heard = [overlap_s(voice.spans, start, stop) for voice in track.voices]
    if max(heard) <= 0:
        where = "name moments at which somebody sings: whosings identify --timeline"
        raise AudioError(track.track_id, f"has nobody who sings in {Span(start, stop)}", where)
    return (track.voices[int(np.argmax(heard))],)


def overlap_s(spans: Sequence[Span], start_s: float, stop_s: float) -> float:
    """Seconds of spans that lie between two moments."""
    return sum(max(0.0, min(span.stop_s, stop_s) - max(span.start_s, start_s)) for span in spans)
