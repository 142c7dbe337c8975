"""The main job, once through: enrol singers, identify what was held back, say how it went, draw it.

Runs on the small choir of generated singers, with clones of some of them among the probes, or on any folder
``Singer/*.mp3``. Of a singer with several recordings the last ones are held back (or those whose names match a
pattern); a singer with a single recording is enrolled from its first half and identified from its second. Every probe
is answered twice: as it is, and with its own singer left out of the gallery, which ought to give ``unknown``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from whosings import audio
from whosings.answer import Answer
from whosings.audio import SAMPLE_RATE, Segment
from whosings.catalogue.manifest import from_folder
from whosings.choir.build import build
from whosings.choir.cast import draw_singer
from whosings.choir.conversion import WEAK
from whosings.choir.plan import PRESETS, make_plan
from whosings.choir.songs import record
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.errors import AudioError, GalleryError, WhosingsError
from whosings.files import content_hash, write_atomic
from whosings.gallery import Gallery
from whosings.identification import Identifier
from whosings.picture import PictureRow, draw
from whosings.progress import Progress, silent

_CHOIR = "small"  # the preset of the generated demo
_STRANGERS = 2  # generated singers who are never enrolled
_MOST_ROWS = 16  # of the picture
_HELD_BACK = 0.25  # of a singer's recordings, one at least


@dataclass(frozen=True)
class Recording:
    """A file, or a part of it, and who sings.

    Attributes:
        part: ``(first, second)`` half of the file as fractions, or None for the whole.
        singer: the truth; None for somebody who is not enrolled.
        second: who sings, too, in a duet.
        clone: whether ``singer`` is only imitated.
    """

    path: Path
    title: str
    singer: str | None
    part: tuple[float, float] | None = None
    second: str | None = None
    clone: bool = False

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
        names_somebody = bool(self.answer.named)
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
        known = [row for row in self.rows if row.probe.singer is not None and not row.probe.clone]
        clones = [row for row in self.rows if row.probe.clone]
        strangers = [row.answer if row.probe.singer is None else row.as_stranger for row in self.rows]
        foreign = [answer for answer in strangers if answer is not None]
        return {
            "singers": self.singers,
            "probes": len(known),
            "top_1": _rate([row.first for row in known]),
            "named_right": _rate([row.right for row in known]),
            "named_wrong": _rate([bool(row.answer.named) and not row.first for row in known]),
            "clone_probes": len(clones),
            "clones_top_1": _rate([row.first for row in clones]),
            "clones_named_right": _rate([row.right for row in clones]),
            "stranger_probes": len(foreign),
            "strangers_named": _rate([bool(answer.named) for answer in foreign]),
        }


def _rate(hits: Sequence[bool]) -> float | None:
    return float(np.mean(hits)) if hits else None


def run_demo(
    embedder: TrackEmbedder,
    out: str | Path,
    songs: str | Path | None = None,
    probes: str | None = None,
    seed: int = 0,
    workers: int = 0,
    progress: Progress = silent,
) -> DemoReport:
    """Enrol, identify, draw.

    Args:
        out: folder for the gallery, ``answers.json``, ``timeline.png`` and, without ``songs``, the generated songs.
        songs: folder ``Singer/*.mp3`` (any format); None generates singers.
        probes: pattern of file names that are held back, for example ``*-live*``; None as in the module's text.
        seed: decides which singers are generated.
        workers: processes that make them; 0 makes them in this one.
        progress: given a label and a number of steps, returns what is called after each step.

    Raises:
        WhosingsError: nothing can be enrolled or identified.
    """
    out = Path(out)
    if songs is None:
        enrolled, held_back = _generate(out, seed, workers, progress)
    else:
        enrolled, held_back = _divide(Path(songs), probes)
    failures: list[WhosingsError] = []
    channels = embedder.front_end.channels
    path = out / "gallery.db"
    path.unlink(missing_ok=True)  # a demo starts anew
    with Gallery(path, embedder.fingerprint, embedder.name) as gallery:
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
    draw([PictureRow(r.answer, r.probe.sound(channels), r.probe.title, r.right) for r in shown], report.picture)
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
        recordings = [Recording(track.file, track.title or track.track_id, singer) for track in tracks]
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


def _generate(out: Path, seed: int, workers: int, progress: Progress) -> tuple[list[Recording], list[Recording]]:
    """Singers with a song held back each, strangers, a duet, a voice over another singer's band, and clones."""
    preset = PRESETS[_CHOIR]
    built = build(make_plan(preset, seed), out / "choir", workers=workers, progress=progress)
    if built.failures:
        raise built.failures[0]
    tracks = {name: [t for t in own if not t.cloned] for name, own in built.manifest.by_singer.items()}
    names = [name for name in tracks if name.startswith("singer-")]
    enrolled: list[Recording] = []
    held_back: list[Recording] = []
    for name in names[:-_STRANGERS]:
        *known, last = tracks[name]
        enrolled += [Recording(track.file, f"{name}, {track.title}", name) for track in known]
        held_back.append(Recording(last.file, f"{name}, {last.title}", name))
    for name in names[-_STRANGERS:]:
        held_back.append(Recording(tracks[name][-1].file, f"{name}, a stranger", None))
    first, second = (record(draw_singer(seed, number), preset.closed.fewest, preset.duration_s) for number in (1, 2))
    half = round(preset.duration_s / 2 * SAMPLE_RATE)
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
    clones = [track for track in built.manifest.tracks if track.cloned and track.clone_method not in WEAK]
    for number, target in enumerate(dict.fromkeys(clone.target_singer_ids[0] for clone in clones)):
        own = [clone for clone in clones if clone.target_singer_ids == (target,)]
        chosen = own[number % len(own)]  # so that methods and bands take turns
        title = f"{target}, cloned from {chosen.singer_id} ({chosen.clone_method})"
        held_back.append(Recording(chosen.file, title, target, clone=True))
    return enrolled, held_back
