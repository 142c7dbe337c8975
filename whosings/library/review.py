"""What is worth a person's look, decisions on it, and what they say of a gallery's thresholds.

The queue holds voices that are worth a look and voices that are named while another singer is nearly as likely. A
decision takes an item off, for as long as the model says the same of it. The log keeps what the model said by then.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whosings.answer import Outcome, Terms
from whosings.calibration import UNKNOWN_PRIOR, Calibration, best_posteriors, evidence
from whosings.console import json_text
from whosings.enrolled import Voices
from whosings.errors import ConfigError
from whosings.files import write_atomic
from whosings.gallery_rates import Trial
from whosings.library.decision_rows import Decision, Deed, Said, VoiceKey
from whosings.library.decisions import DecidedLibrary
from whosings.ranking import ReadyVoices
from whosings.safe_text import to_cell
from whosings.singer_names import name_key
from whosings.spans import Span

ON_VOICES = (Deed.CONFIRM, Deed.REJECT, Deed.SOMEBODY_ELSE, Deed.NOT_SUNG)
"""What can be decided on a voice."""

_BLOCK = 1 << 23  # scores at once
_COLUMNS = (
    "decided_at",
    "who",
    "decision",
    "recording",
    "sha256",
    "voice",
    "singer",
    "model_singer",
    "model_outcome",
    "model_probability",
    "model_nats",
    "runner_up",
    "runner_up_nats",
    "named_nats",
    "look_nats",
    "false_accepts",
    "measured_on",
    "encoder",
)


@dataclass(frozen=True)
class ReviewItem:
    """A voice that is worth a look.

    Attributes:
        path: one of its recording's files; its content's SHA-256 where they are gone.
        why: in words.
        decided: the last decision on it, if there is any.
    """

    voice: VoiceKey
    path: str
    seconds: float
    spans: tuple[Span, ...]
    said: Said
    why: str
    decided: Decision | None = None


class Reviewer:
    """A library's voices as a gallery names them.

    Args:
        enrolled: the gallery's voices.
        terms: when it gives names.
        calibration: that of the encoder of both.

    Raises:
        LibraryError: the library is damaged.
    """

    def __init__(self, library: DecidedLibrary, enrolled: Voices, terms: Terms, calibration: Calibration) -> None:
        self._library, self._enrolled, self._terms, self._calibration = library, enrolled, terms, calibration
        self._ready = ReadyVoices.of(enrolled, calibration)
        library.follow_changes()
        self._voices = library.voices()
        self._keys = library.keys(self._voices)

    def queue(self, decided: bool = False) -> tuple[ReviewItem, ...]:
        """What is worth a look: the voices nearest to being named first, then the named ones with a near runner-up.

        Args:
            decided: also what was decided, with the decision.
        """
        verdicts = self._library.verdicts()
        found = []
        for place, said in self._all_said():
            if said.outcome is not Outcome.WORTH_A_LOOK and not said.close:
                continue
            last = verdicts.get(self._keys[place])
            if last is None or decided or _asked_anew(last, said):
                found.append((said.outcome is Outcome.NAMED, -said.nats, place, said, last))
        return tuple(self._item(place, said, last) for *_, place, said, last in sorted(found, key=lambda one: one[:3]))

    def item(self, recording: int, number: int | None) -> ReviewItem:
        """One voice of a recording, whether it is worth a look or not.

        Args:
            number: which voice, counted from 0; None takes the only one, or the only one that is worth a look.

        Raises:
            ConfigError: there is no such voice, or it has to be said which.
        """
        own = np.flatnonzero(self._voices.recordings == recording)
        name = next(iter(self._library.paths(recording)), f"recording {recording}")
        if number is None and len(own) > 1:
            likely = [place for place, said in self._said_of(own) if said.outcome is Outcome.WORTH_A_LOOK or said.close]
            if len(likely) != 1:
                raise ConfigError(name, f"has {len(own)} voices", "say which one: --voice 1")
            own = np.array(likely)
        elif number is not None:
            own = own[number : number + 1]
        if not len(own):
            what = "has no voice" if number is None else f"has no voice {number + 1}"
            raise ConfigError(name, what, "look it up with: whosings review list")
        place, said = next(iter(self._said_of(own)))
        return self._item(place, said, self._library.verdicts().get(self._keys[place]))

    def trials(self, leave_out: Collection[str] = frozenset()) -> tuple[Trial, ...]:
        """What decisions say of thresholds: log-odds that voices reach as strangers, and among all with their own.

        A voice that was rejected, or called no voice, is a stranger's. One that is somebody's who is enrolled is asked
        as a stranger's with that singer left out, and as the singer's. All are asked of the gallery as it is now.

        The queue is no sample of strangers, because only those who reached far came into it. So the voices that reached
        too little for it are counted as strangers' too, as many of them as the queue's share that was decided. What
        was named without a near runner-up is seen only if somebody decided on it.

        Args:
            leave_out: contents (SHA-256) that are not asked, because they are enrolled.
        """
        verdicts = self._library.verdicts()
        names = {name_key(name): place for place, name in enumerate(self._enrolled.names)}
        found: list[Trial] = []
        below: list[Trial] = []
        settled = open_ = 0
        for place, said in self._all_said():
            key = self._keys[place]
            line = verdicts.get(key)
            if key.sha256 in leave_out:
                continue
            if said.outcome is Outcome.UNKNOWN and line is None:
                below.append(Trial(f"{key.sha256} {key.number}", said.nats, math.nan, False))
            elif line is None:
                open_ += said.outcome is Outcome.WORTH_A_LOOK or said.close
            else:
                settled += 1
                whose = line.singer if line.deed in (Deed.CONFIRM, Deed.SOMEBODY_ELSE) else None
                found.append(self._trial(place, None if whose is None else names.get(name_key(whose))))
        share = settled / max(1, settled + open_)
        below.sort(key=lambda trial: trial.stranger)
        places = np.linspace(0, max(0, len(below) - 1), round(share * len(below))).round().astype(int)
        return (*found, *(below[place] for place in places.tolist()))

    def _trial(self, place: int, own: int | None) -> Trial:
        mean, amount = self._voices.means[place : place + 1], self._voices.amounts[place : place + 1]
        among_all = evidence(self._ready.compare(mean, amount).llr)[0]
        whose = f"{self._keys[place].sha256} {self._keys[place].number}" if own is None else self._enrolled.names[own]
        if own is None:
            return Trial(whose, float(among_all.max()), math.nan, False)
        stranger = math.nan
        if len(self._enrolled.names) > 1:
            others = ReadyVoices.of(self._enrolled.without(self._enrolled.names[own]), self._calibration)
            stranger = float(evidence(others.compare(mean, amount).llr).max())
        right = int(among_all.argmax()) == own
        return Trial(whose, stranger, float(among_all.max()), right)

    def _all_said(self) -> Iterator[tuple[int, Said]]:
        size = max(1, _BLOCK // len(self._enrolled.names))
        for first in range(0, len(self._keys), size):
            yield from self._said_of(np.arange(first, min(first + size, len(self._keys))))

    def _said_of(self, places: NDArray[np.intp]) -> Iterator[tuple[int, Said]]:
        names = self._enrolled.names
        llr = self._ready.compare(self._voices.means[places], self._voices.amounts[places]).llr
        odds = evidence(llr)
        likely = best_posteriors(llr, UNKNOWN_PRIOR)
        rows = np.arange(len(places))
        best = likely.singer
        nats = odds[rows, best]
        odds[rows, best] = -np.inf
        second = odds.argmax(axis=1)
        for row, place in enumerate(places.tolist()):
            alone = len(names) == 1
            yield (
                place,
                Said(
                    self._library.fingerprint,
                    names[best[row]],
                    self._terms.outcome(float(nats[row])),
                    float(likely.probability[row]),
                    float(nats[row]),
                    None if alone else names[second[row]],
                    None if alone else float(odds[row, second[row]]),
                    self._terms,
                    len(names),
                ),
            )

    def _item(self, place: int, said: Said, last: Decision | None) -> ReviewItem:
        key, recording = self._keys[place], int(self._voices.recordings[place])
        voice = self._library.heard(recording).voices[key.number]
        path = next(iter(self._library.paths(recording)), key.sha256)
        return ReviewItem(key, path, voice.seconds, voice.spans, said, _why(said), last)


def decide(library: DecidedLibrary, item: ReviewItem, deed: Deed, who: str, singer: str | None = None) -> Decision:
    """Write into the log what somebody decided on a voice.

    Args:
        singer: who sings, for ``Deed.SOMEBODY_ELSE``; it need not be somebody who is enrolled.

    Raises:
        ConfigError: it is no decision on a voice, or names a singer where none belongs, or none where one does.
        LibraryError: nobody is named as who decided.
    """
    if deed not in ON_VOICES:
        raise ConfigError(deed.value, "is no decision on a voice", f"say {', '.join(one.value for one in ON_VOICES)}")
    if (singer is not None) != (deed is Deed.SOMEBODY_ELSE):
        problem = "needs the singer's name" if singer is None else "takes no other name"
        raise ConfigError(deed.value, problem, "name who sings with: somebody-else --name NAME")
    about = singer if deed is Deed.SOMEBODY_ELSE else None if deed is Deed.NOT_SUNG else item.said.singer
    return library.log(who, deed, item.voice, item.path, about, asdict(item.said))


def as_csv(lines: Iterable[Decision]) -> str:
    """One row a decision; an apostrophe stands before what a spreadsheet would take for a formula."""
    content = io.StringIO()
    table = csv.writer(content, lineterminator="\n")
    table.writerow(_COLUMNS)
    for line in lines:
        said, terms = line.said, line.said.get("terms") or {}
        voice = ("", "") if line.voice is None else (line.voice.sha256, line.voice.number + 1)
        row: tuple[Any, ...] = (
            line.decided_at,
            line.who,
            line.deed.value,
            line.path,
            *voice,
            line.singer,
            *(said.get(name) for name in ("singer", "outcome", "probability", "nats", "runner_up", "runner_up_nats")),
            *(terms.get(name) for name in ("named_nats", "look_nats", "false_accepts", "measured_on")),
            said.get("encoder"),
        )
        table.writerow([to_cell(cell) if isinstance(cell, str) else cell for cell in row])
    return content.getvalue()


def as_json(lines: Sequence[Decision]) -> str:
    """All that the log holds, as a list."""
    return json_text(list(lines)) + "\n"


def export_decisions(lines: Sequence[Decision], path: Path) -> None:
    """Write the log to a file whose ending says its format; it is whole, or as it was before.

    Raises:
        ConfigError: the ending is neither ``.csv`` nor ``.json``.
    """
    formats = {".csv": as_csv, ".json": as_json}
    write = formats.get(path.suffix.lower())
    if write is None:
        raise ConfigError(path, "names no format of decisions", f"let it end with {' or '.join(formats)}")
    write_atomic(path, write(lines))


def _asked_anew(last: Decision, said: Said) -> bool:
    """Whether what the model says now was not what was rejected."""
    return last.deed is Deed.REJECT and last.singer is not None and name_key(last.singer) != name_key(said.singer)


def _why(said: Said) -> str:
    if said.outcome is Outcome.WORTH_A_LOOK:
        return f"perhaps {said.singer}"
    if said.close:
        return f"{said.singer}, and {said.runner_up} is nearly as likely"
    return said.singer if said.outcome is Outcome.NAMED else "nobody enrolled"
