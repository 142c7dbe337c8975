"""Tables around reconciliation: the catalogue's tags in; decisions and singers out; decisions applied to a manifest.

Conventions
-----------
- Parquet or CSV by the ending; in CSV, lists are separated by ``;``.
- The singer table is ``SINGER_COLUMNS``; the decisions' table ``DECISION_COLUMNS``, one row a track.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from whosings.catalogue.annotations.artists import Singer
from whosings.catalogue.annotations.names import split_featured
from whosings.catalogue.annotations.reconcile import Decision, Outcome
from whosings.catalogue.annotations.records import (
    Credit,
    Role,
    Source,
    TrackRecord,
    clean_isrc,
    clean_mbid,
    clean_seconds,
)
from whosings.catalogue.annotations.verdict import Reason
from whosings.catalogue.manifest import Manifest
from whosings.errors import ManifestError
from whosings.files import atomic

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
_BATCH = 5_000


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
    """A track of one's own by its tags; "A feat. B" is taken apart, ids of a wrong form are left out."""
    main, featured = split_featured(artist)
    code = clean_isrc(isrc)
    return TrackRecord(
        source=Source.CATALOGUE,
        source_id=track_id,
        title=title,
        credits=(Credit(main), *(Credit(name, Role.FEATURED) for name in featured)),
        isrcs=(code,) if code else (),
        duration_s=clean_seconds(duration_s) if duration_s is not None else None,
        musicbrainz_id=clean_mbid(musicbrainz_id),
    )


def read_catalogue(path: str | Path) -> tuple[TrackRecord, ...]:
    """The tags of one's own tracks: columns ``CATALOGUE_COLUMNS``, the first three required.

    Raises:
        ManifestError: missing file, missing columns, an empty or repeated ``track_id``, no title or artist.
    """
    rows = _read(Path(path), CATALOGUE_COLUMNS[:3])
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


def write_decisions(decisions: Iterable[Decision], path: str | Path) -> Summary:
    """Write decisions as they come, 5,000 in memory at a time, and sum them up.

    Raises:
        ManifestError: an ending other than ``.parquet`` and ``.csv``.
    """
    path = Path(path)
    _check_ending(path)
    counts: Counter[Reason] = Counter()
    singers: dict[str, Singer] = {}
    waiting = iter(decisions)
    schema = _DECISIONS if path.suffix == ".parquet" else pa.schema([(name, _TEXT) for name in DECISION_COLUMNS])
    with atomic(path) as beside:
        writer: Any = pa.parquet.ParquetWriter if path.suffix == ".parquet" else pa.csv.CSVWriter
        with writer(beside, schema) as table:
            while batch := list(islice(waiting, _BATCH)):
                for decision in batch:
                    counts[decision.reason] += 1
                    singers.update((s.singer_id, s) for s in decision.singers if s.singer_id not in singers)
                rows = [_row(decision, path.suffix == ".csv") for decision in batch]
                table.write_table(pa.Table.from_pylist(rows, schema))
    return Summary(dict(counts), tuple(singers.values()))


def write_singers(singers: Iterable[Singer], path: str | Path) -> None:
    """Write the singer table.

    Raises:
        ManifestError: an ending other than ``.parquet`` and ``.csv``.
    """
    path = Path(path)
    _check_ending(path)
    schema = pa.schema([(name, _TEXT) for name in SINGER_COLUMNS])
    table = pa.Table.from_pylist([asdict(singer) for singer in singers], schema)
    with atomic(path) as beside:
        (pa.parquet.write_table if path.suffix == ".parquet" else pa.csv.write_csv)(table, beside)


def read_singers(path: str | Path) -> tuple[Singer, ...]:
    """Read the singer table.

    Raises:
        ManifestError: missing file or column, unknown column, an empty or repeated ``singer_id``.
    """
    rows = _read(Path(path), SINGER_COLUMNS[:2])
    for row in rows:
        if unknown := set(row) - set(SINGER_COLUMNS):
            raise ManifestError(path, f"unknown column {min(unknown)}", f"the columns are {', '.join(SINGER_COLUMNS)}")
    singers = tuple(Singer(**row) for row in rows)
    ids = [singer.singer_id for singer in singers]
    if None in ids or len(set(ids)) < len(ids):
        raise ManifestError(path, "a singer_id is missing or occurs twice", "give each singer an id of their own")
    return singers


def annotated(manifest: Manifest, decisions: Iterable[Decision]) -> Manifest:
    """The manifest's kept tracks, with their singers' ids and what the sources add; the other tracks are left out.

    Raises:
        ManifestError: no track is kept.
    """
    kept = {decision.track_id: decision for decision in decisions if decision.outcome is Outcome.KEPT}
    tracks = tuple(
        replace(
            track,
            singer_id=kept[track.track_id].singers[0].singer_id,
            title=track.title or kept[track.track_id].title,
            release_date=track.release_date or kept[track.track_id].release_date,
        )
        for track in manifest.tracks
        if track.track_id in kept
    )
    if not tracks:
        raise ManifestError("annotations", "keep none of the manifest's tracks", "see the decisions' reasons")
    return Manifest(tracks, tuple(piece for piece in manifest.pieces if piece.track_id in kept))


def _row(decision: Decision, flat: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
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
    if flat:
        row = {name: ";".join(value) or None if isinstance(value, list) else value for name, value in row.items()}
    return row


def _check_ending(path: Path) -> None:
    if path.suffix not in (".parquet", ".csv"):
        raise ManifestError(path, f"has the ending {path.suffix or '(none)'}", "use .parquet or .csv")


def _read(path: Path, required: Iterable[str]) -> list[dict[str, Any]]:
    if not path.exists():
        raise ManifestError(path, "no such file", "check the path")
    _check_ending(path)
    try:
        if path.suffix == ".parquet":
            table = pa.parquet.read_table(path)
        else:
            with path.open(encoding="utf-8") as file:
                header = file.readline().strip().replace('"', "").split(",")
            options = pa.csv.ConvertOptions(column_types=dict.fromkeys(header, _TEXT), strings_can_be_null=True)
            table = pa.csv.read_csv(path, convert_options=options)
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise ManifestError(path, f"cannot be read ({first})", "correct the table") from error
    for name in required:
        if name not in table.column_names:
            raise ManifestError(path, f"has no column {name}", f"{', '.join(required)} are required")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
