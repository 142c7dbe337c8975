"""Evidence as a folder: pairs of clips to compare by ear, a picture of each answer, and a page that plays them.

The folder holds ``index.html``, ``evidence.json`` (``docs/evidence.schema.json``), a PNG for each recording and two
FLAC files for each match. The page needs no network. It holds its clips and pictures itself up to 8 MB, so that it can
be sent alone; what is beyond that is played from the files beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from whosings.answer import NOTICE, Answer, Outcome, Verdict
from whosings.answer_text import opinion_line, verdict_line
from whosings.clips import as_flac, clip_of, embedded, levelled, player
from whosings.console import json_text
from whosings.enrolled_files import EnrolledFiles
from whosings.errors import AudioError, ConfigError
from whosings.evidence_rows import EvidenceFile, Match, RecordingEvidence, VoiceEvidence
from whosings.files import atomic_folder, write_atomic
from whosings.opinion_rows import opinion_sentence
from whosings.picture import PictureRow, draw
from whosings.safe_text import to_html
from whosings.spans import Span
from whosings.spool import Spool

FORMAT = "whosings-evidence-1"
PAGE, DATA = "index.html", "evidence.json"

_MOST_EMBEDDED = 8_000_000  # bytes of clips and pictures in a page
_MOST_SPANS = 8  # of a voice, in a line
_OF_THE_SYSTEM = frozenset((".DS_Store", "Thumbs.db", "desktop.ini"))  # which file managers leave anywhere
_STYLE = """
:root{color-scheme:light dark;--ground:#fff;--text:#16181d;--soft:#5b6270;--line:#dfe2e8;--card:#f6f7f9;--warn:#8a4b00}
@media (prefers-color-scheme:dark){:root{--ground:#14161a;--text:#e8eaee;--soft:#a3abb9;--line:#343943;--card:#1d2026;
--warn:#f0b66a}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;max-width:62em;margin:0 auto;padding:1em;background:var(--ground);
color:var(--text);overflow-wrap:anywhere}
h1{font-size:1.5em}h2{font-size:1.25em;margin-top:2em;border-top:1px solid var(--line);padding-top:1em}
h3{font-size:1.1em;margin-bottom:.2em}p{margin:.4em 0}.soft{color:var(--soft);font-size:.875em}
.picture{overflow-x:auto}.picture img{display:block;width:100%;min-width:56em;border-radius:6px}
.match{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.8em;margin:.8em 0}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:1em}audio{width:100%;height:2.6em;margin-top:.3em}
ul{padding-left:1.2em}.caveats{color:var(--warn)}
@media (max-width:40em){.pair{grid-template-columns:1fr}}
"""


@dataclass(frozen=True)
class Explained:
    """The answer for a file, with what speaks for it."""

    path: Path
    answer: Answer
    evidence: RecordingEvidence


def refuse_foreign(folder: str | Path) -> None:
    """Check that a folder can be replaced: it is not there, is empty, or holds evidence of before and nothing else.

    Raises:
        ConfigError: it holds something else, or is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(folder, "is a file", "name a folder")
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    own = _OF_THE_SYSTEM.union(_own_files(folder))
    for name in names:
        if name not in own:
            raise ConfigError(folder, f"holds {name}, which would be lost", "name a new folder or an empty one")


def _own_files(folder: Path) -> Iterable[str]:
    """Names of the files that evidence of before says are its own."""
    try:
        said = json.loads((folder / DATA).read_text())
        return [str(name) for name in said["files"]] if said["format"] == FORMAT else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def write_evidence(rows: Sequence[Explained], gallery: str | Path, folder: str | Path) -> Path:
    """Write clips, pictures, data and the page; the page's path. A recording that cannot be played is told there.

    Args:
        gallery: the gallery's file, beside which recordings are looked for, too.
        folder: is replaced as a whole if it holds evidence of before.

    Raises:
        ConfigError: the folder holds other files, see ``refuse_foreign``.
    """
    folder = Path(folder).resolve()
    refuse_foreign(folder)
    with atomic_folder(folder) as beside:
        page = _Page(beside, EnrolledFiles(gallery), len(str(len(rows))))
        for number, row in enumerate(rows, 1):
            page.recording(number, row)
        write_atomic(beside / PAGE, page.whole())
        files = tuple(sorted([DATA, *(path.name for path in beside.iterdir())]))
        written = EvidenceFile(FORMAT, files, tuple(row.evidence for row in rows))
        write_atomic(beside / DATA, json_text(written) + "\n")
    return folder / PAGE


@dataclass(frozen=True)
class _Clip:
    """A file of the folder, and where in its recording it is from."""

    name: str
    content: bytes
    span: Span


class _Page:
    """A page in the making, and the files that it plays."""

    def __init__(self, folder: Path, enrolled: EnrolledFiles, digits: int) -> None:
        self._folder, self._enrolled, self._digits = folder, enrolled, digits
        self._parts: list[str] = []
        self._clips: dict[tuple[str, Path, Span], _Clip] = {}
        self._embedded = 0

    def recording(self, number: int, row: Explained) -> None:
        """Add a recording: its answer, its picture, and each voice that has a singer."""
        label = f"{number:0{self._digits}d}"
        self._parts.append(f"<h2>{to_html(row.path.name)}</h2><p><b>{to_html(verdict_line(row.answer))}</b></p>")
        if row.answer.opinion is not None:
            sentence = opinion_sentence(row.answer.opinion)
            self._parts.append(f"<p>{to_html(sentence)}</p>" if sentence else "")
            self._note(opinion_line(row.answer.opinion))
        try:
            self._picture(label, row)
        except AudioError as error:
            self._note(f"There is no picture, because the recording cannot be read any more ({error}).")
        if not row.evidence.voices:
            self._note(
                "Too little singing was heard to compare it."
                if row.answer.verdict is Verdict.NOT_ENOUGH_VOCALS
                else "Nobody enrolled is named or worth a look, and so there is nothing to compare."
            )
        for place, voice in enumerate(row.evidence.voices, 1):
            self._voice(f"{label}-{place}", voice, row)

    def whole(self) -> str:
        """The page."""
        notice = f"<p>{to_html(NOTICE)}</p>"
        return (
            "<!doctype html><html lang=en><meta charset=utf-8>"
            '<meta name=viewport content="width=device-width,initial-scale=1"><title>Who sings? Evidence</title>'
            f"<style>{_STYLE}</style><h1>Who sings? Evidence</h1>{notice}{''.join(self._parts)}</html>\n"
        )

    def _voice(self, label: str, voice: VoiceEvidence, row: Explained) -> None:
        shown = ", ".join(map(str, voice.spans[:_MOST_SPANS]))
        more = f" and {len(voice.spans) - _MOST_SPANS} more" if len(voice.spans) > _MOST_SPANS else ""
        under = ", under another voice" if voice.together else ""
        maybe = "Worth a look: " if voice.outcome is Outcome.WORTH_A_LOOK else ""
        noun = "recording" if voice.recordings == 1 else "recordings"
        self._parts.append(f"<h3>{maybe}{to_html(voice.singer)}, {voice.probability:.0%}</h3>")
        self._parts.append(f"<p>Heard for {voice.seconds:.0f} s{under}: {shown}{more}.</p>")
        self._parts.append(f"<p>Enrolled with {voice.recordings} {noun}, {voice.enrolled_s:.0f} s of singing.</p>")
        if voice.runner_up is not None:
            second = voice.runner_up
            says = f"{voice.singer} is {second.words} {second.singer}, the runner-up"
            numbers = f"scores {voice.score:.2f} and {second.score:.2f}, margin {second.margin:.2f}"
            self._parts.append(f"<p>{to_html(f'{says} ({numbers}).')}</p>")
        if voice.caveats:
            items = "".join(f"<li>{to_html(caveat)}</li>" for caveat in voice.caveats)
            self._parts.append(
                f"<p>What would change the answer, or speaks against it:</p><ul class=caveats>{items}</ul>"
            )
        for place, match in enumerate(voice.matches, 1):
            self._match(f"{label}-{place}", match, voice, row)

    def _match(self, label: str, match: Match, voice: VoiceEvidence, row: Explained) -> None:
        singer = voice.singer
        heard = self._clip(f"{label}-heard.flac", row.path, match.heard, "In this recording", voice.spans)
        try:
            path = self._enrolled.find(match.source, match.sha256)
            enrolled = self._clip(f"{label}-enrolled.flac", path, match.enrolled, f"{singer}, enrolled")
        except AudioError as error:
            enrolled = _side(f"{singer}, enrolled", match.enrolled, f"<p class=soft>{to_html(str(error))}</p>")
        self._parts.append(
            f"<div class=match><div class=pair>{heard}{enrolled}</div><p class=soft>Similarity {match.cosine:.2f} of "
            f"the two passages, {match.recording_cosine:.2f} of all that was heard of the voice and of the enrolled "
            f"recording: {to_html(match.source)}, {match.recording_s:.0f} s.</p></div>"
        )

    def _clip(self, name: str, path: Path, span: Span, title: str, within: Sequence[Span] = ()) -> str:
        """HTML of one side of a pair, and its file; what several matches share is one file."""
        known = (title, path, span)
        try:
            if known not in self._clips:
                found = clip_of(path, span, within)
                content = as_flac(levelled(found.samples))
                (self._folder / name).write_bytes(content)
                played = Span(found.start_s, found.start_s + found.duration_s)
                self._clips[known] = _Clip(name, content, played)
        except AudioError as error:
            return _side(title, span, f"<p class=soft>{to_html(str(error))}</p>")
        clip = self._clips[known]
        return _side(title, clip.span, player(self._source(clip.name, clip.content, "audio/flac")))

    def _picture(self, label: str, row: Explained) -> None:
        path = self._folder / f"{label}.png"
        draw([PictureRow(row.answer, Spool(row.path), row.path.name)], path)
        source = self._source(path.name, path.read_bytes(), "image/png")
        self._parts.append(f'<div class=picture><img alt="Who sings when, over the waveform" src="{source}"></div>')

    def _note(self, text: str) -> None:
        self._parts.append(f"<p class=soft>{to_html(text)}</p>")

    def _source(self, name: str, content: bytes, kind: str) -> str:
        """An address of a file of the folder: what it holds, as long as the page stays small."""
        address = embedded(content, kind)
        if self._embedded + len(address) > _MOST_EMBEDDED:
            return name
        self._embedded += len(address)
        return address


def _side(title: str, span: Span, inside: str) -> str:
    return f"<div><b>{to_html(title)}</b><br><span class=soft>{span}</span>{inside}</div>"
