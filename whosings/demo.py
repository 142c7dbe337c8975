"""The main job, once through: enrol singers, identify what was held back, say how it went, draw it.

Runs on generated singers, or on any folder ``Singer/*.mp3``. Of a singer with several recordings the last ones are held
back (or those whose names match a pattern); a singer with a single recording is enrolled from its first half and
identified from its second. Every probe is answered twice: as it is, and with its own singer left out of the gallery,
which ought to give ``unknown``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from whosings import audio
from whosings.audio import SAMPLE_RATE, Segment
from whosings.catalogue.manifest import from_folder
from whosings.choir.songs import draw_singer, record, write_choir
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.errors import AudioError, GalleryError, WhosingsError
from whosings.files import content_hash, write_atomic
from whosings.gallery import Gallery
from whosings.identification import Answer, Identifier, Verdict
from whosings.picture import Scene, draw

_SINGERS, _SONGS, _SONG_S = 12, 3, 30.0  # of the generated demo
_STRANGERS = 2  # generated singers who are never enrolled
_MOST_ROWS = 14  # of the picture
_HELD_BACK = 0.25  # of a singer's recordings, one at least


@dataclass(frozen=True)
class Recording:
    """A file, or a part of it, and who sings.

    Attributes:
        part: ``(first, second)`` half of the file as fractions, or None for the whole.
        singer: the truth; None for somebody who is not enrolled.
        second: who sings, too, in a duet.
    """

    path: Path
    title: str
    singer: str | None
    part: tuple[float, float] | None = None
    second: str | None = None

    def sound(self, channels: audio.Channels) -> Segment:
        """Decode it."""
        whole = audio.load(self.path, channels)
        if self.part is None:
            return whole
        first, last = (fraction * whole.duration_s for fraction in self.part)
        return whole.cut(first, last - first)


@dataclass(frozen=True)
class DemoRow:
    """One probe.

    Attributes:
        answer: with every enrolled singer.
        as_stranger: with the probe's own singer left out; None for somebody not enrolled anyway, a duet, or where only
            one singer is enrolled.
    """

    probe: Recording
    answer: Answer
    as_stranger: Answer | None

    @property
    def first(self) -> bool:
        """Whether the right singer ranks first, named or not."""
        return bool(self.answer.top) and self.answer.top[0].singer in (self.probe.singer, self.probe.second)

    @property
    def right(self) -> bool:
        """Whether the answer names the right singer, or nobody where nobody enrolled sings."""
        names_somebody = self.answer.verdict is Verdict.SINGER
        return not names_somebody if self.probe.singer is None else names_somebody and self.first


@dataclass(frozen=True)
class DemoReport:
    """How a demo went.

    Attributes:
        failures: recordings that could not be used; the rest went on.
        picture: the PNG.
    """

    singers: int
    rows: tuple[DemoRow, ...]
    failures: tuple[WhosingsError, ...]
    gallery: Path
    picture: Path

    def summary(self) -> dict[str, float | None]:
        """Counts, and rates among them: of enrolled singers' probes and of probes whose singer is not enrolled."""
        known = [row for row in self.rows if row.probe.singer is not None]
        strangers = [row.answer if row.probe.singer is None else row.as_stranger for row in self.rows]
        foreign = [answer for answer in strangers if answer is not None]
        return {
            "singers": self.singers,
            "probes": len(known),
            "top_1": _rate([row.first for row in known]),
            "named_right": _rate([row.right for row in known]),
            "named_wrong": _rate([row.answer.verdict is Verdict.SINGER and not row.first for row in known]),
            "stranger_probes": len(foreign),
            "strangers_named": _rate([answer.verdict is Verdict.SINGER for answer in foreign]),
        }


def _rate(hits: Sequence[bool]) -> float | None:
    return float(np.mean(hits)) if hits else None


def run_demo(
    embedder: TrackEmbedder,
    out: str | Path,
    songs: str | Path | None = None,
    probes: str | None = None,
    seed: int = 0,
    progress: Callable[[str, int], Callable[[], None]] = lambda label, steps: lambda: None,
) -> DemoReport:
    """Enrol, identify, draw.

    Args:
        out: folder for the gallery, ``answers.json``, ``timeline.png`` and, without ``songs``, the generated songs.
        songs: folder ``Singer/*.mp3`` (any format); None generates singers.
        probes: pattern of file names that are held back, for example ``*-live*``; None as in the module's text.
        seed: of the generated singers.
        progress: given a label and a number of steps, returns what is called after each step.

    Raises:
        WhosingsError: nothing can be enrolled or identified.
    """
    out = Path(out)
    if songs is None:
        enrolled, held_back = _generate(out, seed, progress("singing", (_SINGERS + _STRANGERS) * _SONGS))
    else:
        enrolled, held_back = _divide(Path(songs), probes)
    failures: list[WhosingsError] = []
    channels = embedder.front_end.channels
    path = out / "gallery.db"
    path.unlink(missing_ok=True)  # a demo starts anew
    with Gallery(path, embedder.checkpoint.fingerprint) as gallery:
        step = progress("enrolling", len(enrolled))
        for recording, result in _embed(embedder, enrolled, failures):
            try:
                assert recording.singer is not None  # only known singers are enrolled
                gallery.add(recording.singer, result, f"{content_hash(recording.path)}:{recording.part}")
            except GalleryError as error:
                failures.append(error)
            step()
        if not gallery.singers() and failures:
            raise failures[0]
        identifier = Identifier(gallery, embedder)
        known = set(gallery.voices.names)
        step = progress("identifying", len(held_back))
        rows: list[DemoRow] = []
        for recording, result in _embed(embedder, held_back, failures):
            truth = recording.singer if recording.singer in known else None
            alone = truth is not None and recording.second is None and len(known) > 1
            stranger = identifier.answer(result, leave_out=truth) if alone else None
            rows.append(DemoRow(recording, identifier.answer(result), stranger))
            step()
    if not rows:
        raise failures[0] if failures else GalleryError(songs or out, "holds nothing to identify", "add recordings")
    report = DemoReport(len(known), tuple(rows), tuple(failures), path, out / "timeline.png")
    shown = (
        rows
        if len(rows) <= _MOST_ROWS
        else [rows[i] for i in np.linspace(0, len(rows) - 1, _MOST_ROWS).round().astype(int)]
    )
    draw([Scene(r.answer, r.probe.sound(channels), r.probe.title, r.right) for r in shown], report.picture)
    write_atomic(
        out / "answers.json",
        json.dumps({"summary": report.summary(), "answers": [asdict(r.answer) for r in rows]}, indent=1),
    )
    return report


def _embed(
    embedder: TrackEmbedder, recordings: list[Recording], failures: list[WhosingsError]
) -> Iterator[tuple[Recording, Embeddings]]:
    for recording in recordings:
        try:
            whole = recording.part is None
            yield recording, embedder(recording.path if whole else recording.sound(embedder.front_end.channels))
        except AudioError as error:
            failures.append(error)


def _divide(folder: Path, probes: str | None) -> tuple[list[Recording], list[Recording]]:
    enrolled: list[Recording] = []
    held_back: list[Recording] = []
    for singer, tracks in from_folder(folder).by_singer.items():
        recordings = [Recording(track.path, track.title or track.track_id, singer) for track in tracks]
        if probes is not None:
            chosen = [fnmatch(recording.path.name, probes) for recording in recordings]
        else:
            kept = len(recordings) - max(1, int(_HELD_BACK * len(recordings)))
            chosen = [number >= kept for number in range(len(recordings))]
        if len(recordings) == 1 and probes is None:
            only = recordings[0]
            enrolled.append(Recording(only.path, only.title, singer, (0.0, 0.5)))
            held_back.append(Recording(only.path, only.title, singer, (0.5, 1.0)))
            continue
        enrolled += [recording for recording, probe in zip(recordings, chosen, strict=True) if not probe]
        held_back += [recording for recording, probe in zip(recordings, chosen, strict=True) if probe]
    return enrolled, held_back


def _generate(out: Path, seed: int, step: Callable[[], None]) -> tuple[list[Recording], list[Recording]]:
    """Singers with a song held back each, strangers, a duet, and a voice over another singer's band."""
    manifest = write_choir(out / "choir", _SINGERS + _STRANGERS, _SONGS, _SONG_S, seed, step)
    names = list(manifest.by_singer)
    enrolled: list[Recording] = []
    held_back: list[Recording] = []
    for number, name in enumerate(names):
        *known, last = manifest.by_singer[name]
        stranger = number >= _SINGERS
        if not stranger:
            enrolled += [Recording(track.path, f"{name}, {track.title}", name) for track in known]
        held_back.append(
            Recording(last.path, f"{name}, {'a stranger' if stranger else last.title}", None if stranger else name)
        )
    first, second = (record(draw_singer(seed, number), seed, _SONGS, _SONG_S) for number in (1, 2))
    half = round(_SONG_S / 2 * SAMPLE_RATE)
    duet = np.concatenate([first.mixture[:half], second.mixture[:half]])
    length = min(first.vocals.size, second.instrumental.size)
    borrowed = first.vocals[:length] + second.instrumental[:length]
    for title, samples, other in (
        (f"a duet: {names[1]}, then {names[2]}", duet, names[2]),
        (f"{names[1]} over the band of {names[2]}", borrowed, None),
    ):
        path = out / "choir" / "specials" / f"{title.replace(' ', '-').replace(':', '').replace(',', '')}.flac"
        audio.write_flac(path, samples[None])
        held_back.append(Recording(path, title, names[1], second=other))
    return enrolled, held_back
