"""Tables around reconciliation: the catalogue's tags in; decisions and singers out; decisions applied to a manifest.

Conventions
-----------
- Parquet or CSV by the ending; in CSV, lists are separated by ``;``.
- The singer table is ``SINGER_COLUMNS``; the decisions' table ``DECISION_COLUMNS``, one row a track.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from whosings.annotations.artists import Singer
from whosings.annotations.reconcile import Decision, DecisionOutcome
from whosings.annotations.records import (
    Credit,
    CreditRole,
    Source,
    TrackRecord,
    clean_isrc,
    clean_mbid,
    clean_seconds,
)
from whosings.annotations.verdict import Reason
from whosings.catalogue.folder_songs import OnRefused, read_tags, whole_names
from whosings.catalogue.listing import folder_tracks
from whosings.catalogue.manifest import Manifest, Track, read_manifest
from whosings.catalogue.table_files import read_table, write_table
from whosings.catalogue.track_status import Listed, TrackOutcome
from whosings.errors import ManifestError
from whosings.singer_names import billing, split_featured

SINGER_COLUMNS = tuple(field.name for field in fields(Singer))
CATALOGUE_COLUMNS = ("track_id", "title", "artist", "isrc", "duration_s", "musicbrainz_id")
_TEXT = pa.string()
_DECISIONS = pa.schema(
    [
        ("track_id", _TEXT),
        ("outcome", _TEXT),
        ("reason", _TEXT),
        ("explanation", _TEXT),
        ("singer_ids", pa.list_(_TEXT)),
        ("singer_names", pa.list_(_TEXT)),
        ("title", _TEXT),
        ("isrcs", pa.list_(_TEXT)),
        ("musicbrainz_id", _TEXT),
        ("release_date", _TEXT),
        ("evidence", pa.list_(_TEXT)),
    ]
)
DECISION_COLUMNS: tuple[str, ...] = tuple(_DECISIONS.names)
_SINGERS = pa.schema([(name, _TEXT) for name in SINGER_COLUMNS])
_CATALOGUE = pa.schema([(name, _TEXT) for name in CATALOGUE_COLUMNS])


@dataclass(frozen=True)
class Summary:
    """How many tracks there are of each reason, and every singer named, in order of appearance."""

    counts: Mapping[Reason, int]
    singers: tuple[Singer, ...]


def catalogue_record(
    track_id: str,
    title: str,
    artist: str,
    *,
    isrc: str | None = None,
    duration_s: float | str | None = None,
    musicbrainz_id: str | None = None,
) -> TrackRecord:
    """A track of one's own by its tags; "A feat. B" is taken apart, ids of a wrong form are left out.

    Without an artist, only ids can find the track in a source.
    """
    main, featured = split_featured(artist)
    code = clean_isrc(isrc)
    return TrackRecord(
        source=Source.CATALOGUE,
        source_id=track_id,
        title=title,
        credits=(*((Credit(main),) if main else ()), *(Credit(name, CreditRole.FEATURED) for name in featured)),
        isrcs=(code,) if code else (),
        duration_s=clean_seconds(duration_s) if duration_s is not None else None,
        musicbrainz_id=clean_mbid(musicbrainz_id),
    )


def read_catalogue(path: str | Path) -> tuple[TrackRecord, ...]:
    """The tags of one's own tracks: columns ``CATALOGUE_COLUMNS``, the first three required.

    Raises:
        ManifestError: missing file, missing columns, an empty or repeated ``track_id``, no title or artist.
    """
    rows = read_table(Path(path), _CATALOGUE, CATALOGUE_COLUMNS[:3]).to_pylist()
    seen: set[str] = set()
    for number, row in enumerate(rows, start=1):
        for column in CATALOGUE_COLUMNS[:3]:
            if not row[column]:
                raise ManifestError(path, f"row {number} has no {column}", "fill it in or drop the row")
        if row["track_id"] in seen:
            raise ManifestError(path, f"track_id {row['track_id']} occurs twice", "give each track an id of its own")
        seen.add(row["track_id"])
    return tuple(
        catalogue_record(
            row["track_id"],
            row["title"],
            row["artist"],
            isrc=row.get("isrc"),
            duration_s=row.get("duration_s"),
            musicbrainz_id=row.get("musicbrainz_id"),
        )
        for row in rows
    )


def catalogue_of(source: str | Path, on_refused: OnRefused | None = None) -> Iterator[TrackRecord]:
    """The tracks of a folder of audio files, of a track table, or of a table with a column ``artist``.

    A folder's and a track table's tracks have the ids by which a preparation knows them.

    Args:
        on_refused: called with files that cannot be listed; None raises it.

    Raises:
        ManifestError: no such folder or table, nothing in it, or a bad table.
        AudioError: a file's name is not UTF-8, or a folder cannot be opened.
    """
    source = Path(source)
    if source.is_dir():
        yield from map(tagged_record, folder_tracks(source, on_refused))
    elif "artist" in _columns(source):
        yield from read_catalogue(source)
    else:
        yield from map(tagged_record, read_manifest(source).tracks)


def tagged_record(track: Track) -> TrackRecord:
    """A track by the tags of its file: artists, ISRC, duration, MusicBrainz id.

    Where the file tells no artist, ``singer_id`` stands in: the folder's name, or what the table says. The table's
    title comes before the file's.
    """
    tags = read_tags(track.file, duration=True)
    folder = Path(track.track_id).parts[0] if track.track_id else ""
    said = billing(tags.artists, whole=whole_names(folder, track.file.parent, tags))
    mains = said.mains or (() if said.guests or not track.singer_id else (track.singer_id,))
    record = catalogue_record(
        track.track_id,
        track.title or tags.title or track.file.stem,
        "",
        isrc=tags.isrc,
        duration_s=tags.duration_s,
        musicbrainz_id=tags.musicbrainz_id,
    )
    credits = (*map(Credit, mains), *(Credit(name, CreditRole.FEATURED) for name in said.guests))
    return replace(record, credits=credits)


def write_decisions(decisions: Iterable[Decision], path: str | Path) -> Summary:
    """Write decisions as they come, 5,000 in memory at a time, and sum them up.

    Raises:
        ManifestError: an ending other than ``.parquet`` and ``.csv``.
    """
    counts: Counter[Reason] = Counter()
    singers: dict[str, Singer] = {}

    def rows() -> Iterator[dict[str, Any]]:
        for decision in decisions:
            counts[decision.reason] += 1
            singers.update((s.singer_id, s) for s in decision.singers if s.singer_id not in singers)
            yield _row(decision)

    write_table(rows(), _DECISIONS, Path(path))
    return Summary(dict(counts), tuple(singers.values()))


def read_decisions(path: str | Path) -> dict[str, Decision]:
    """Read the decisions' table, by track id.

    Raises:
        ManifestError: missing file, unknown or missing columns, a repeated ``track_id``, an unknown outcome or reason,
            or a kept track without exactly one singer.
    """
    found: dict[str, Decision] = {}
    for row in read_table(Path(path), _DECISIONS, _DECISIONS.names[:6]).to_pylist():
        track_id = row["track_id"]
        if not track_id or track_id in found:
            raise ManifestError(path, f"track_id {track_id or '(none)'} is missing or occurs twice", "make it again")
        try:
            outcome, reason = DecisionOutcome(row["outcome"]), Reason(row["reason"])
        except ValueError as error:
            raise ManifestError(path, f"track {track_id}: {error}", "make the table again") from error
        ids, names = row["singer_ids"] or [], row["singer_names"] or []
        if len(ids) != len(names) or (outcome is DecisionOutcome.KEPT and len(ids) != 1):
            raise ManifestError(path, f"track {track_id} is {outcome} with {len(ids)} singers", "make the table again")
        found[track_id] = Decision(
            track_id,
            outcome,
            reason,
            row["explanation"] or "",
            tuple(Singer(singer_id, name) for singer_id, name in zip(ids, names, strict=True)),
            tuple(row["evidence"] or ()),
            row["title"] or "",
            tuple(row["isrcs"] or ()),
            row["musicbrainz_id"],
            row["release_date"],
        )
    return found


def write_singers(singers: Iterable[Singer], path: str | Path) -> None:
    """Write the singer table.

    Raises:
        ManifestError: an ending other than ``.parquet`` and ``.csv``.
    """
    write_table((asdict(singer) for singer in singers), _SINGERS, Path(path))


def read_singers(path: str | Path) -> tuple[Singer, ...]:
    """Read the singer table.

    Raises:
        ManifestError: missing file or column, unknown column, an empty or repeated ``singer_id``.
    """
    singers = tuple(Singer(**row) for row in read_table(Path(path), _SINGERS, SINGER_COLUMNS[:2]).to_pylist())
    ids = [singer.singer_id for singer in singers]
    if None in ids or len(set(ids)) < len(ids):
        raise ManifestError(path, "a singer_id is missing or occurs twice", "give each singer an id of their own")
    return singers


def annotated(manifest: Manifest, decisions: Iterable[Decision]) -> Manifest:
    """The manifest's kept tracks, with their singers' ids and what the sources add; the other tracks are left out.

    Raises:
        ManifestError: no track is kept.
    """
    kept = {decision.track_id: decision for decision in decisions if decision.outcome is DecisionOutcome.KEPT}
    tracks = tuple(applied(kept[track.track_id], track) for track in manifest.tracks if track.track_id in kept)
    if not tracks:
        raise ManifestError("annotations", "keep none of the manifest's tracks", "see the decisions' reasons")
    return Manifest(tracks, tuple(piece for piece in manifest.pieces if piece.track_id in kept))


def with_decisions(tracks: Iterable[Listed], decisions: Mapping[str, Decision]) -> Iterator[Listed]:
    """The tracks of a preparation with what was decided on who sings them.

    Args:
        decisions: by track id. A track that is not among them, or that was not kept, is set apart with the reason.
    """
    for listed in tracks:
        decision = decisions.get(listed.track.track_id)
        if decision is None:
            yield Listed(listed.track, TrackOutcome.NO_SINGER, "the annotations do not know it")
        elif decision.outcome is not DecisionOutcome.KEPT:
            yield Listed(listed.track, TrackOutcome.SET_APART, decision.explanation.rstrip("."))
        else:
            yield Listed(applied(decision, listed.track))


def applied(decision: Decision, track: Track) -> Track:
    """A kept track with its singer's id and what the sources add."""
    return replace(
        track,
        singer_id=decision.singers[0].singer_id,
        title=track.title or decision.title or None,
        release_date=track.release_date or decision.release_date,
    )


def _columns(path: Path) -> list[str]:
    """The names in a table's head; none where it cannot be read, and then its reader says why."""
    try:
        if path.suffix == ".parquet":
            return list(pyarrow.parquet.read_schema(path).names)
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, ValueError, csv.Error):
        return []


def _row(decision: Decision) -> dict[str, Any]:
    return {
        "track_id": decision.track_id,
        "outcome": str(decision.outcome),
        "reason": str(decision.reason),
        "explanation": decision.explanation,
        "singer_ids": [singer.singer_id for singer in decision.singers],
        "singer_names": [singer.name for singer in decision.singers],
        "title": decision.title,
        "isrcs": list(decision.isrcs),
        "musicbrainz_id": decision.musicbrainz_id,
        "release_date": decision.release_date,
        "evidence": list(decision.evidence),
    }
