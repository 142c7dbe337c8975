"""Answers as files for other programs: RTTM, a label track for Audacity, CSV, JSON.

RTTM, labels and CSV hold the voices' spans, in order; a recording without enough singing has none. JSON holds whole
answers, as ``identify --json`` prints them (``docs/answer.schema.json``).

Conventions
-----------
- RTTM has the ``SPEAKER`` lines of NIST's Rich Transcription evaluations. Its fields hold no blanks, and so blanks,
  quotes and angle brackets in names become ``_``. Different names stay different, and unlike what some readers take
  for a missing value.
- A voice of nobody enrolled is called ``somebody else``, and with a number where there are several. One that is only
  worth a look is called ``perhaps`` and the name.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from whosings.answer import Answer, Outcome, Voice
from whosings.console import json_text
from whosings.errors import ConfigError
from whosings.files import write_atomic
from whosings.safe_text import printable, to_cell
from whosings.spans import Span

LABELS = ".txt"
"""Ending of a label track, which holds one recording."""

_COLUMNS = ("recording", "start_s", "stop_s", "voice", "singer", "outcome", "probability", "together")
_APART = re.compile('["<>;]')
# What pandas, by which pyannote reads RTTM, takes for no value.
_MISSING = frozenset(
    (
        "#N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    )
)


@dataclass(frozen=True)
class _Sung:
    """One span of one voice.

    Attributes:
        name: the singer's, or what somebody else is called.
        number: that of the voice, from 1.
    """

    span: Span
    voice: Voice
    name: str
    number: int


def export(answers: Sequence[Answer], path: str | Path) -> None:
    """Write answers to a file whose ending says its format; it is whole, or as it was before.

    Raises:
        ConfigError: the ending names no format, or a label track was asked for several recordings.
    """
    path = Path(path)
    write = FORMATS.get(path.suffix.lower())
    if write is None:
        raise ConfigError(path, "names no format of answers", f"let it end with {' or '.join(FORMATS)}")
    write_atomic(path, write(answers))


def as_rttm(answers: Iterable[Answer]) -> str:
    """``SPEAKER`` lines; a recording is called by its file's name without the ending."""
    lines, recordings = [], _Tokens()
    for number, answer in enumerate(answers):
        recording, singers = recordings.of(Path(answer.track_id).stem, str(number)), _Tokens()
        for sung in _in_order(answer):
            singer = singers.of(sung.name, "" if sung.voice.singer is not None else str(sung.number))
            length = sung.span.stop_s - sung.span.start_s
            lines.append(f"SPEAKER {recording} 1 {sung.span.start_s:.3f} {length:.3f} <NA> <NA> {singer} <NA> <NA>\n")
    return "".join(lines)


def as_labels(answers: Sequence[Answer]) -> str:
    """A label track: start, stop and name of each span, between tabs.

    Raises:
        ConfigError: there are several recordings, whose times one track cannot hold.
    """
    if len(answers) > 1:
        raise ConfigError("a label track", f"holds one recording, not {len(answers)}", "export each by itself")
    return "".join(
        f"{sung.span.start_s:.6f}\t{sung.span.stop_s:.6f}\t{printable(sung.name)}\n"
        for answer in answers
        for sung in _in_order(answer)
    )


def as_csv(answers: Iterable[Answer]) -> str:
    """One row a span; ``singer`` is empty for somebody else, and ``voice`` tells several of them apart."""
    content = io.StringIO()
    table = csv.writer(content, lineterminator="\n")
    table.writerow(_COLUMNS)
    for answer in answers:
        for sung in _in_order(answer):
            table.writerow(
                (
                    to_cell(answer.track_id),
                    f"{sung.span.start_s:.3f}",
                    f"{sung.span.stop_s:.3f}",
                    sung.number,
                    to_cell(sung.voice.singer or ""),
                    sung.voice.outcome.value,
                    f"{sung.voice.probability:.6f}",
                    "yes" if sung.voice.together else "no",
                )
            )
    return content.getvalue()


def as_json(answers: Sequence[Answer]) -> str:
    """What ``identify --json`` prints."""
    return json_text(list(answers)) + "\n"


FORMATS: dict[str, Callable[[Sequence[Answer]], str]] = {
    ".rttm": as_rttm,
    LABELS: as_labels,
    ".csv": as_csv,
    ".json": as_json,
}
"""What makes a file's content, by its ending."""


def _in_order(answer: Answer) -> Iterator[_Sung]:
    strangers = sum(voice.singer is None for voice in answer.voices)
    found, stranger = [], 0
    for number, voice in enumerate(answer.voices, 1):
        stranger += voice.singer is None
        name = voice.singer or ("somebody else" if strangers == 1 else f"somebody else {stranger}")
        if voice.outcome is Outcome.WORTH_A_LOOK:
            name = f"perhaps {name}"
        found += [_Sung(span, voice, name, number) for span in voice.spans]
    yield from sorted(found, key=lambda sung: (sung.span.start_s, sung.number))


class _Tokens:
    """Names as fields without blanks, each with a field of its own."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def of(self, name: str, which: str) -> str:
        """The field of a name; ``which`` tells apart what has one name and is not the same."""
        if (name, which) not in self._known:
            plain = "_".join(_APART.sub("_", printable(name)).split()) or "_"
            if plain in _MISSING:
                plain += "_"
            taken, field, number = set(self._known.values()), plain, 2
            while field in taken:
                field, number = f"{plain}-{number}", number + 1
            self._known[name, which] = field
        return self._known[name, which]
