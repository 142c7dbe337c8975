"""From a folder or a list of tracks to a manifest that can train and be evaluated on (paper, section 3.1).

Conventions
-----------
- Filters, in order: a singer is known, and only one (annotations); the file decodes; its recording has not come before;
  somebody sings in at least ``min_vocal`` of it; the singer keeps at least ``min_tracks`` tracks.
- What passes is stored as 16-kHz mono FLAC, with its stems if a separator is named, under names made from content;
  what reaches beyond full scale is stored quieter, and a pair of stems by one gain.
- The journal remembers every track. The same command, run again after an interruption or with more tracks, only does
  what is left; memory is bounded by the longest track in each process.
- The result is ``manifest.parquet`` with its segment table, ``tracks.csv`` with every track and what became of it,
  and ``summary.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout

from whosings import audio
from whosings.catalogue.fingerprint import words_in
from whosings.catalogue.journal import Journal
from whosings.catalogue.manifest import Piece, Track, segments_path, write_tracks
from whosings.catalogue.table_files import write_table
from whosings.catalogue.track_status import Entry, Examination, Listed, Stored, TrackOutcome, storable
from whosings.devices import open_device
from whosings.errors import (
    AudioError,
    ManifestError,
    MissingFileError,
    StorageError,
    UnreadableAudioError,
    WhosingsError,
)
from whosings.files import content_hash, write_atomic
from whosings.parallel import Done, Workers, each, on_cores, refuse_unshared
from whosings.progress import Progress, silent
from whosings.spool import Spool, at_hand, pieces
from whosings.storage import from_root, is_remote
from whosings.vocals.activity import PIECE_S, Activity
from whosings.vocals.detector import shipped_detector
from whosings.vocals.separation import SeparationJob, separate_track

MANIFEST, TRACKS, SUMMARY, JOURNAL = "manifest.parquet", "tracks.csv", "summary.json", "journal.sqlite"
AUDIO, STEMS = "audio", "stems"


_BLOCK_S = 60.0  # of a copy, written at a time
_EVERY_TRACK = pa.schema(
    [
        ("track_id", pa.string()),
        ("singer_id", pa.string()),
        ("title", pa.string()),
        ("path", pa.string()),
        ("outcome", pa.string()),
        ("detail", pa.string()),
        ("duration_s", pa.float64()),
        ("vocal", pa.float64()),
        ("sha256", pa.string()),
    ]
)


@dataclass(frozen=True)
class Rules:
    """What a catalogue is filtered by; the defaults are those of the paper's training set (section 3.1).

    Attributes:
        min_vocal: least share of a track in which somebody sings, 0 to 1.
        min_tracks: least number of usable tracks of a singer.
    """

    min_vocal: float = 0.75
    min_tracks: int = 2


OPEN = Rules(min_vocal=0.5, min_tracks=1)
"""For the open sets FMA and MTG-Jamendo, whose split asks for five tracks a singer afterwards."""


@dataclass(frozen=True)
class Stage:
    """What one filter took.

    Attributes:
        outcome: what became of the tracks it dropped; ``Outcome.KEPT`` on the last row, whose tracks are those left.
        tracks, hours: dropped (or left); hours count what could be decoded.
    """

    outcome: TrackOutcome
    tracks: int
    singers: int
    hours: float


@dataclass(frozen=True)
class Prepared:
    """The result of a preparation.

    Attributes:
        listed: tracks given.
        stages: filters in order, those that took nothing left out, then what is kept.
        vocal_shares: histogram over 20 equal bins of the share of singing of the tracks that could be decoded.
        failures: files that could not be used, and why.
        manifest: the track table; None where nothing is kept.
    """

    listed: int
    stages: tuple[Stage, ...]
    vocal_shares: tuple[int, ...]
    failures: tuple[WhosingsError, ...]
    rules: Rules
    folder: Path
    manifest: Path | None

    @property
    def kept(self) -> Stage:
        """The last row."""
        return self.stages[-1]


def prepare(
    tracks: Iterable[Listed],
    out: str | Path,
    rules: Rules | None = None,
    separation: SeparationJob | None = None,
    workers: Workers = 1,
    progress: Progress = silent,
) -> Prepared:
    """Run the whole preparation, or what is left of it.

    Args:
        out: folder of the result.
        separation: how to make stems, whatever its cache in ``out / STEMS``; None keeps those that the tracks have.
        workers: who works; 0 does so in this process. All see the files and ``out`` under the same paths.

    Raises:
        ManifestError: two tracks have one id; ``out`` holds something else's journal, or another process works there.
        SeparationError, MissingExtraError: there is no such model.
    """
    out, rules = Path(out), rules or Rules()
    refuse_unshared(out, workers)
    if separation is not None:
        separation = replace(separation, cache=(out / STEMS).absolute())  # processes begin in other folders
        separation.open()  # says at once what is wrong with it
    failures: list[WhosingsError] = []
    with _alone(out), Journal(out / JOURNAL, method=shipped_detector().fingerprint) as journal:
        listed = journal.begin(_storable(tracks, progress("listing", 0), failures))
        if journal.unasked:
            first, count = journal.unasked[0], len(journal.unasked)
            problem = f"{first.problem}, so whether it has changed is not known, nor of {count - 1} others"
            failures.append(StorageError(first.subject, problem, first.remedy))
        _examine(journal, workers, progress, failures)
        step = progress("comparing", listed)
        for _ in journal.match():
            step()
        journal.decide(rules.min_vocal, rules.min_tracks)
        _store(journal, out, separation, workers, progress, failures)
        journal.drop_lone(rules.min_tracks)
        manifest = _write(journal, out)
        tally = journal.tally()
        stages = tuple(Stage(outcome, *tally.get(outcome, (0, 0, 0.0))) for outcome in TrackOutcome)
        result = Prepared(
            listed,
            tuple(stage for stage in stages if stage.tracks or stage.outcome is TrackOutcome.KEPT),
            tuple(int(count) for count in journal.vocal_shares(20)),
            tuple(failures),
            rules,
            out,
            manifest,
        )
    write_atomic(out / SUMMARY, json.dumps(as_plain(result), indent=1))
    return result


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Nobody else prepares into this folder meanwhile; the lock of a process that was killed is free."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0):
            yield
    except Timeout:
        raise ManifestError(
            out, "is being prepared by another process", "wait for it, or name another folder"
        ) from None


def as_plain(result: Prepared) -> dict[str, object]:
    """A result for machines."""
    return {
        "listed": result.listed,
        "stages": [
            {"outcome": str(s.outcome), "tracks": s.tracks, "singers": s.singers, "hours": round(s.hours, 4)}
            for s in result.stages
        ],
        "min_vocal": result.rules.min_vocal,
        "min_tracks": result.rules.min_tracks,
        "manifest": None if result.manifest is None else str(result.manifest),
        "failed": [str(error) for error in result.failures],
    }


def examine(path: str | Path) -> Examination | AudioError:
    """Listen to one file, or to an object by its location: what it holds, or why it cannot be used."""
    try:
        with at_hand(path) as here:
            whole, sha256 = Spool(here), content_hash(here)
        audio.refuse_short(path, whole.duration_s, "leave it out of the catalogue")
        activity = shipped_detector().listen(whole)
        return Examination(
            sha256,
            whole.duration_s,
            activity.probability.astype("float32"),
            activity.share(whole.duration_s),
            words_in(whole),
        )
    except AudioError as error:
        return error
    except OSError:  # it was there a moment ago
        return MissingFileError(path, "can no longer be read", "check the disk")


def _storable(tracks: Iterable[Listed], step: Callable[[], None], failures: list[WhosingsError]) -> Iterator[Listed]:
    for listed in map(storable, tracks):
        if listed.excluded is TrackOutcome.UNREADABLE:
            failures.append(UnreadableAudioError(listed.track.path, listed.detail, "rename it"))
        yield listed
        step()


def _examine(journal: Journal, workers: Workers, progress: Progress, failures: list[WhosingsError]) -> None:
    step = progress("listening", journal.count_unexamined())
    for done in each(_examine_entry, _located(journal.unexamined(), workers), on_cores(workers)):
        if isinstance(done.result, Examination):
            journal.examined(done.item.number, done.result)
        else:
            failures.append(_lost(journal, done, TrackOutcome.UNREADABLE))
        step()


def _located(entries: Iterable[Entry], workers: Workers) -> Iterator[Entry]:
    """Entries whose paths do not depend on the folder in which a process began, where an engine works."""
    for entry in entries:
        if not isinstance(workers, int):
            entry = replace(entry, track=replace(entry.track, path=from_root(str(entry.track.path))))
        yield entry


def _examine_entry(entry: Entry) -> Examination | AudioError:
    return examine(entry.track.path)


def _lost(journal: Journal, done: Done[Entry, Any], outcome: TrackOutcome) -> WhosingsError:
    """Why a track could not be worked on, told to the journal."""
    error = done.result
    if not isinstance(error, WhosingsError):
        crashed = "ended the process that worked on it", "replace the file, or give more memory"
        error = WhosingsError(done.item.track.path, *crashed)
    journal.settle(done.item.number, outcome, error.problem)
    return error


def _store(
    journal: Journal,
    out: Path,
    separation: SeparationJob | None,
    workers: Workers,
    progress: Progress,
    failures: list[WhosingsError],
) -> None:
    """Copies and stems of what is kept."""
    kept = journal.tally().get(TrackOutcome.KEPT, (0, 0, 0.0))[0]
    step = progress("storing" if separation is None else "separating", kept)
    method = _method(separation)

    def missing() -> Iterator[Entry]:
        for entry in journal.entries(TrackOutcome.KEPT):
            if _is_stored(entry, out, method):
                step()
            else:
                yield entry

    if separation is None:
        workers = on_cores(workers)
    elif isinstance(workers, int) and open_device(separation.device).type != "cpu":
        workers = min(workers, 1)  # one model fills a GPU
    for done in each(partial(_store_entry, out.absolute(), separation, method), _located(missing(), workers), workers):
        if isinstance(done.result, Stored):
            journal.stored(done.item.number, done.result)
        else:
            failures.append(_lost(journal, done, TrackOutcome.NOT_SEPARATED))
        step()


def _is_stored(entry: Entry, out: Path, method: str) -> bool:
    stored = entry.stored
    if stored is None or stored.method != method:
        return False
    return all((out / name).exists() for name in (stored.path, stored.vocals_path, stored.instrumental_path) if name)


def _method(separation: SeparationJob | None) -> str:
    """What decides how stems sound: other ones are made when it changes."""
    if separation is None:
        return ""
    fingerprint = getattr(separation.open(), "fingerprint", "")  # ready-made stems have one a file
    return f"{separation.spec} {'whole' if separation.whole else 'sung'} {fingerprint}"


def _store_entry(out: Path, separation: SeparationJob | None, method: str, entry: Entry) -> Stored | WhosingsError:
    track = entry.track
    assert entry.sha256 is not None  # it was examined
    name = f"{AUDIO}/{entry.sha256[:2]}/{entry.sha256}.flac"
    vocals = instrumental = None
    try:
        if separation is None and (out / name).exists():
            return Stored(name, content_hash(out / name), None, None, method)
        with at_hand(track.path) as here:
            if is_remote(str(track.path)) and content_hash(here) != entry.sha256:
                raise UnreadableAudioError(track.path, "was changed by somebody else meanwhile", "run again")
            if not (out / name).exists():
                sound = Spool(here)
                peak = max(float(np.abs(piece).max()) for piece in pieces(sound, _BLOCK_S))
                with audio.flac_writer(out / name) as write:
                    for piece in pieces(sound, _BLOCK_S):
                        write(piece / max(1.0, peak))  # FLAC would clip it
            if separation is not None:
                activity = None if separation.whole else activity_of(entry)
                stems = separate_track(here, separation.open(), separation.cache, activity)
                vocals, instrumental = (str(path.relative_to(out)) for path in (stems.vocals, stems.instrumental))
        return Stored(name, content_hash(out / name), vocals, instrumental, method)
    except WhosingsError as error:
        return error


def activity_of(entry: Entry) -> Activity:
    """Where somebody sings, as the journal has it."""
    return Activity(np.arange(entry.pieces.size) * PIECE_S, entry.pieces.astype(np.float64), "network")


def _write(journal: Journal, out: Path) -> Path | None:
    """The tables; where the manifest is, if it holds anything."""
    write_table((_row(entry) for entry in journal.entries()), _EVERY_TRACK, out / TRACKS)
    path = out / MANIFEST
    if TrackOutcome.KEPT not in journal.tally():
        for old in (path, segments_path(path)):
            old.unlink(missing_ok=True)
        return None
    pieces = (
        Piece(entry.track.track_id, number * PIECE_S, float(vocal))
        for entry in journal.entries(TrackOutcome.KEPT)
        for number, vocal in enumerate(entry.pieces)
    )
    write_tracks((_prepared(entry, out) for entry in journal.entries(TrackOutcome.KEPT)), pieces, path)
    return path


def _prepared(entry: Entry, out: Path) -> Track:
    stored = entry.stored
    assert stored is not None  # what is kept is stored
    track = replace(entry.track, path=out / stored.path, sha256=stored.sha256)
    if stored.vocals_path is None or stored.instrumental_path is None:
        return track  # with whatever stems it came with
    return replace(track, vocals_path=out / stored.vocals_path, instrumental_path=out / stored.instrumental_path)


def _row(entry: Entry) -> dict[str, object]:
    return {
        "track_id": entry.track.track_id,
        "singer_id": entry.track.singer_id,
        "title": entry.track.title,
        "path": str(entry.track.path),
        "outcome": str(entry.outcome),
        "detail": entry.detail,
        "duration_s": entry.duration_s,
        "vocal": entry.vocal,
        "sha256": entry.sha256,
    }
