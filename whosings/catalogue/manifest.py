"""Tables of singers, tracks and segments: Parquet or CSV, validated, with content hashes and licences.

Conventions
-----------
- Track table: one row per track, columns ``TRACK_COLUMNS``; ``track_id``, ``singer_id`` and ``path`` are required.
- Segment table: ``track_id, start_s, vocal``: a 3-second piece and the probability that somebody sings in it. Its name
  is the track table's with ``.segments`` before the ending: ``songs.parquet`` and ``songs.segments.parquet``.
- Paths are relative to the manifest's folder unless absolute; they may be locations of objects, as ``s3://b/a.flac``,
  and then are text. A manifest may be an object itself.
- Spellings of one singer (``singer_names``) are read as one singer, by the first of them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import inf
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute

from whosings.catalogue.folder_songs import Song, folder_songs
from whosings.catalogue.table_files import check_ending, read_table, rows_of, write_table
from whosings.errors import ManifestError, MissingObjectError
from whosings.singer_names import Spellings
from whosings.storage import fetched, is_remote, joined, local_path, name_of, parent, put, remove

_TRACK_SCHEMA = pa.schema(
    [
        ("track_id", pa.string()),
        ("singer_id", pa.string()),
        ("title", pa.string()),
        ("album", pa.string()),
        ("path", pa.string()),
        ("vocals_path", pa.string()),
        ("instrumental_path", pa.string()),
        ("genre", pa.string()),
        ("language", pa.string()),
        ("release_date", pa.string()),
        ("cloned", pa.bool_()),
        ("target_singer_ids", pa.list_(pa.string())),
        ("clone_method", pa.string()),
        ("instrumental_singer_id", pa.string()),
        ("licence", pa.string()),
        ("sha256", pa.string()),
        ("song", pa.string()),
    ]
)
_SEGMENT_SCHEMA = pa.schema([("track_id", pa.string()), ("start_s", pa.float64()), ("vocal", pa.float64())])
TRACK_COLUMNS: tuple[str, ...] = tuple(_TRACK_SCHEMA.names)
REQUIRED_COLUMNS = ("track_id", "singer_id", "path")


@dataclass(frozen=True, slots=True)
class Track:
    """One row of the track table.

    Attributes:
        path: the mixture: a file, or an object's location as text.
        album: title or id; a singer's tracks with the same text are of one album.
        vocals_path, instrumental_path: its stems, where there are any.
        cloned: whether the voice is a clone; then ``singer_id`` is whose performance was converted, and
            ``target_singer_ids`` are the singers it imitates.
        clone_method: how it was made.
        instrumental_singer_id: who usually sings with the band that plays, where that is known of a clone.
        sha256: of the file at ``path``.
        song: the piece that is sung; a singer's tracks with the same text are of one piece.
    """

    track_id: str
    singer_id: str
    path: Path | str
    title: str | None = None
    album: str | None = None
    vocals_path: Path | str | None = None
    instrumental_path: Path | str | None = None
    genre: str | None = None
    language: str | None = None
    release_date: str | None = None
    cloned: bool = False
    target_singer_ids: tuple[str, ...] = ()
    clone_method: str | None = None
    instrumental_singer_id: str | None = None
    licence: str | None = None
    sha256: str | None = None
    song: str | None = None

    @property
    def file(self) -> Path:
        """The mixture, for what reads files of this machine only.

        Raises:
            StorageError: it is on a store.
        """
        return self.path if isinstance(self.path, Path) else local_path(self.path)


@dataclass(frozen=True, slots=True)
class Piece:
    """One row of the segment table: a 3-second piece of a track."""

    track_id: str
    start_s: float
    vocal: float


@dataclass(frozen=True)
class Manifest:
    """Tracks and their pieces, in the order of the file."""

    tracks: tuple[Track, ...]
    pieces: tuple[Piece, ...] = ()

    @cached_property
    def by_singer(self) -> dict[str, tuple[Track, ...]]:
        """Tracks of each singer, singers in order of appearance."""
        groups: dict[str, list[Track]] = {}
        for track in self.tracks:
            groups.setdefault(track.singer_id, []).append(track)
        return {singer: tuple(tracks) for singer, tracks in groups.items()}

    def missing_audio(self) -> tuple[Path, ...]:
        """Mixtures that are not where the table says, at this moment; objects of stores are not asked for."""
        return tuple(track.file for track in self.tracks if not is_remote(str(track.path)) and not track.file.is_file())

    @cached_property
    def pieces_by_track(self) -> dict[str, tuple[Piece, ...]]:
        """Pieces of each track that has any."""
        groups: dict[str, list[Piece]] = {}
        for piece in self.pieces:
            groups.setdefault(piece.track_id, []).append(piece)
        return {track_id: tuple(pieces) for track_id, pieces in groups.items()}


def open_manifest(path: str | Path) -> Manifest:
    """``from_folder`` for a folder, ``read_manifest`` for a file."""
    folder = not is_remote(str(path)) and local_path(str(path)).is_dir()
    return from_folder(local_path(str(path))) if folder else read_manifest(path)


def read_manifest(path: str | Path) -> Manifest:
    """Read and validate a track table and, if it lies beside it, the segment table.

    Raises:
        ManifestError: missing file, unknown or missing columns, duplicate or empty ids, values of the wrong type.
        StorageError: it is an object, and cannot be fetched.
    """
    location = str(path)
    if not is_remote(location):
        return _read(local_path(location), str(local_path(location).parent))
    try:
        with TemporaryDirectory(prefix="whosings-") as folder:
            here = Path(folder, name_of(location))
            _bring(location, here)
            with suppress(MissingObjectError):
                _bring(joined(parent(location), segments_path(here).name), segments_path(here))
            return _read(here, parent(location))
    except ManifestError as error:
        if Path(error.subject).parent != here.parent:
            raise
        raise error.about(joined(parent(location), Path(error.subject).name)) from error


def _bring(location: str, here: Path) -> None:
    with fetched(location) as copy:
        copy.replace(here)


def _read(path: Path, folder: str) -> Manifest:
    """A table that lies here, and in ``folder`` by right."""
    table = read_table(path, _TRACK_SCHEMA, REQUIRED_COLUMNS)
    for column in REQUIRED_COLUMNS:
        place = pa.compute.index(table[column].fill_null(""), "").as_py()
        if place >= 0:
            raise ManifestError(path, f"row {place + 1} has no {column}", "fill it in or drop the row")
    repeated = [track_id for track_id, count in Counter(table["track_id"].to_pylist()).items() if count > 1]
    if repeated:
        raise ManifestError(path, f"track_id {repeated[0]} occurs more than once", "give each track an id of its own")
    spelt = Spellings()
    tracks = tuple(_track(row, path, folder, spelt) for row in rows_of(table))
    if not tracks:
        raise ManifestError(path, "holds no tracks", "check how it was made")
    segments = segments_path(path)
    if not segments.exists():
        return Manifest(tracks)
    pieces = tuple(Piece(**row) for row in read_table(segments, _SEGMENT_SCHEMA, _SEGMENT_SCHEMA.names).to_pylist())
    known = {track.track_id for track in tracks}
    for piece in pieces:
        # NaN fails every comparison; None is no number
        if piece.start_s is None or piece.vocal is None or not (0 <= piece.start_s < inf and 0 <= piece.vocal <= 1):
            raise ManifestError(
                segments,
                f"has a piece of {piece.track_id} at {piece.start_s} s with vocal {piece.vocal}",
                "start_s is finite and >= 0, vocal is 0 to 1",
            )
        if piece.track_id not in known:
            raise ManifestError(segments, f"track_id {piece.track_id} is not in {path.name}", "make both tables again")
    return Manifest(tracks, pieces)


def write_manifest(manifest: Manifest, path: str | Path) -> None:
    """Write a track table and, if there are pieces, the segment table; by the ending ``.parquet`` or ``.csv``.

    Paths under the manifest's folder are written relative to it, so that the folder can be moved.

    Raises:
        ManifestError: another ending.
    """
    write_tracks(manifest.tracks, manifest.pieces, path)


def write_tracks(tracks: Iterable[Track], pieces: Iterable[Piece], path: str | Path) -> None:
    """As ``write_manifest``, for more tracks and pieces than fit in memory; each is read once, the pieces first.

    Tables of roles and trials beside an older track table of this name are removed: they speak of other tracks.
    """
    location = str(path)
    if not is_remote(location):
        _write(tracks, pieces, local_path(location), "")
        return
    with TemporaryDirectory(prefix="whosings-") as folder:
        here = Path(folder, name_of(location))
        check_ending(here)
        _write(tracks, pieces, here, parent(location) + "/")
        for beside in (segments_path(here), roles_path(here), trials_path(here)):
            place = joined(parent(location), beside.name)
            if beside.exists():
                put(beside, place)
            else:
                remove(place)
        put(here, location)  # the last, for whoever finds it


def _write(tracks: Iterable[Track], pieces: Iterable[Piece], path: Path, store: str) -> None:
    """Tables in files here; of a manifest on a store, ``store`` is the place to which objects are relative."""
    root = _real(path.parent)

    @lru_cache(maxsize=65_536)  # the disk is asked for each part of a path, and tracks share folders
    def located(folder: str) -> str:
        return _real(folder).removeprefix(root)

    def relative(file: Path | str | None) -> str | None:
        if file is None:
            return None
        whole = str(file)
        if is_remote(whole):
            inner = whole.removeprefix(store) if store else whole
            return whole if is_remote(inner) or inner.startswith("/") else inner
        if store:
            return os.path.abspath(whole)  # noqa: PTH100 (text is several times as fast as a Path, for millions)
        linked = os.path.islink(whole)  # noqa: PTH114 (text is several times as fast as a Path, for millions)
        folder, name = os.path.split(os.path.realpath(whole) if linked else whole)
        return located(folder) + name

    segments = segments_path(path)
    if not write_table(_rows(pieces, _SEGMENT_SCHEMA), _SEGMENT_SCHEMA, segments):
        segments.unlink()
    rows = (
        {**row, **{name: relative(row[name]) for name in ("path", "vocals_path", "instrumental_path")}}
        for row in _rows(tracks, _TRACK_SCHEMA)
    )
    roles_path(path).unlink(missing_ok=True)
    trials_path(path).unlink(missing_ok=True)
    write_table(rows, _TRACK_SCHEMA, path)


def from_folder(root: str | Path) -> Manifest:
    """A manifest of a folder's songs that have one singer, as ``folder_songs`` lists them: the path is a track's id.

    Raises:
        ManifestError: no such folder, or no audio files with one singer in it.
        AudioError: a name that is not UTF-8, or a folder that cannot be opened.
    """
    tracks = tuple(track_of(song) for song in folder_songs(root) if len(song.singers) == 1)
    if not tracks:
        raise ManifestError(root, "holds no audio files in folders named by singer", "arrange it as Singer/song.mp3")
    return Manifest(tracks)


def track_of(song: Song) -> Track:
    """A song of a folder as a track; without a singer where it has none, or several."""
    tags = song.tags
    return Track(
        track_id=song.song_id,
        singer_id=song.singers[0] if len(song.singers) == 1 else "",
        path=song.path,
        title=tags.title or song.path.stem,
        album=tags.album,
        genre=tags.genre,
        release_date=tags.year,
    )


def _track(row: dict[str, Any], table: Path, folder: str, spelt: Spellings) -> Track:
    band = row["instrumental_singer_id"]
    values = {
        **row,
        "singer_id": spelt(row["singer_id"], table),
        "cloned": bool(row["cloned"]),
        "target_singer_ids": tuple(spelt(name, table) for name in row["target_singer_ids"] or ()),
        "instrumental_singer_id": spelt(band, table) if band else None,
        "path": _placed(folder, row["path"]),
        "vocals_path": _placed(folder, row["vocals_path"]) if row["vocals_path"] else None,
        "instrumental_path": _placed(folder, row["instrumental_path"]) if row["instrumental_path"] else None,
    }
    return Track(**values)


def _placed(folder: str, name: str) -> Path | str:
    if "://" not in folder and "://" not in name:
        return Path(folder) / name
    place = joined(folder, name)
    return place if is_remote(place) else local_path(place)


def _rows(records: Iterable[Track] | Iterable[Piece], schema: pa.Schema) -> Iterator[dict[str, Any]]:
    values = attrgetter(*schema.names)
    return (dict(zip(schema.names, values(record), strict=True)) for record in records)


def _real(folder: str | Path) -> str:
    """A folder without symbolic links, with a separator at its end."""
    return os.path.realpath(folder).rstrip(os.sep) + os.sep


def segments_path(path: Path) -> Path:
    """Where a track table's segment table lies."""
    return path.with_suffix(f".segments{path.suffix}")


def roles_path(path: Path) -> Path:
    """Where a track table's table of roles lies."""
    return path.with_suffix(f".roles{path.suffix}")


def trials_path(path: Path) -> Path:
    """Where a track table's list of verification trials lies."""
    return path.with_suffix(f".trials{path.suffix}")
