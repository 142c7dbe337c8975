"""Who sings which file, as what writes tags, playlists and tables takes it; and answers that were kept, as that.

Conventions
-----------
- A singer is written who is *named*. Who is only worth a look is nobody's credit, unless somebody asks for it.
- Answers name recordings as they were given. What is no absolute path is looked for from the current folder, and then
  from the folder of the answers.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whosings.answer import Answer, Outcome
from whosings.errors import ManifestError
from whosings.identification import Identifier
from whosings.library.library_file import Library
from whosings.library.matching import Matcher
from whosings.safe_text import from_cell
from whosings.singer_names import singer_name

_COLUMNS = ("recording", "start_s", "stop_s", "voice", "singer", "outcome", "probability")


@dataclass(frozen=True)
class SungVoice:
    """One enrolled singer in a recording.

    Attributes:
        probability: that it is this singer, 0 to 1.
        seconds: how long the voice was heard.
    """

    singer: str
    outcome: Outcome
    probability: float
    seconds: float


@dataclass(frozen=True)
class Sung:
    """One file, and the enrolled singers who are named in it or worth a look.

    Attributes:
        sha256: of the file when it was listened to, in hexadecimal; empty where that is not known, and then whatever
            lies at the path now is taken for the recording.
        duration_s: None where it is not known.
    """

    path: Path
    sha256: str
    voices: tuple[SungVoice, ...]
    duration_s: float | None = None


@dataclass(frozen=True)
class Wanted:
    """Which singers are written.

    Attributes:
        worth_a_look: those who are worth a look, too.
        least_probability: and only those who are as likely, 0 to 1.
    """

    worth_a_look: bool = False
    least_probability: float = 0.0

    def of(self, sung: Sung) -> tuple[SungVoice, ...]:
        """Those of a file, the longest heard first, each once."""
        found: dict[str, SungVoice] = {}
        for voice in sorted(sung.voices, key=lambda voice: -voice.seconds):
            told = voice.outcome is Outcome.NAMED or (self.worth_a_look and voice.outcome is Outcome.WORTH_A_LOOK)
            if told and voice.probability >= self.least_probability:
                found.setdefault(voice.singer, voice)
        return tuple(found.values())


def sung_of(answer: Answer, path: Path, sha256: str = "") -> Sung:
    """What an answer says of a file."""
    voices = (
        SungVoice(voice.singer, voice.outcome, voice.probability, voice.seconds)
        for voice in answer.voices
        if voice.singer is not None
    )
    return Sung(path, sha256, tuple(voices), answer.duration_s)


def sung_in(library: Library, identifier: Identifier) -> Iterator[Sung]:
    """Who sings each file of a library, by a gallery, without listening."""
    for match in Matcher(identifier)(library.all_heard()):
        sha256 = library.recording(match.recording).sha256
        for path in library.paths(match.recording):
            yield sung_of(match.answer, Path(path), sha256)


def read_answers(path: str | Path) -> Iterator[Sung]:
    """What ``identify --json`` printed, or ``identify --export`` wrote as ``.json`` or ``.csv``.

    Raises:
        ManifestError: no such file, or it holds something else.
    """
    path = Path(path)
    read: Callable[[Path, str], Iterable[Sung]] = _from_csv if path.suffix.lower() == ".csv" else _from_json
    try:
        yield from read(path, path.read_text("utf-8-sig"))
    except OSError as error:
        raise ManifestError(path, f"cannot be read ({error.strerror})", "check the path") from error
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "give what identify --json prints, or what identify --export writes as .json or .csv"
        raise ManifestError(path, "does not hold answers of identify", remedy) from error


def _from_json(source: Path, text: str) -> Iterator[Sung]:
    answers = json.loads(text)
    if not isinstance(answers, list):
        raise ValueError("no list")
    answer: dict[str, Any]
    for answer in answers:
        voices = [
            _voice(source, voice["singer"], voice["outcome"], voice["probability"], voice["seconds"])
            for voice in answer["voices"]
            if voice["singer"] is not None
        ]
        yield Sung(_found(source, str(answer["track_id"])), "", tuple(voices), float(answer["duration_s"]))


def _from_csv(source: Path, text: str) -> Iterator[Sung]:
    rows = csv.DictReader(text.splitlines(keepends=True))
    if rows.fieldnames is None or not set(_COLUMNS) <= set(rows.fieldnames):
        raise ValueError("other columns")
    spans: dict[str, dict[str, SungVoice]] = {}
    for row in rows:
        voices = spans.setdefault(from_cell(row["recording"]), {})
        if not row["singer"]:
            continue
        sung_s = float(row["stop_s"]) - float(row["start_s"])
        before = voices[row["voice"]].seconds if row["voice"] in voices else 0.0
        singer, outcome = from_cell(row["singer"]), row["outcome"]
        voices[row["voice"]] = _voice(source, singer, outcome, row["probability"], before + sung_s)
    for recording, voices in spans.items():
        yield Sung(_found(source, recording), "", tuple(voices.values()))


def _voice(source: Path, singer: str, outcome: str, probability: Any, seconds: Any) -> SungVoice:
    return SungVoice(singer_name(singer, source), Outcome(outcome), float(probability), float(seconds))


def _found(source: Path, recording: str) -> Path:
    path = Path(recording)
    beside = source.parent / path
    return beside if not path.exists() and beside.exists() else path
