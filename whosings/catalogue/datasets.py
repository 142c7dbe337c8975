"""Free Music Archive and MTG-Jamendo: where they keep their audio, and their own metadata as a manifest.

Track ids are the data sets' file names (``000002.mp3``, ``14/214.mp3``), as in the paper's published splits.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from whosings.catalogue.manifest import Manifest, Track
from whosings.errors import ManifestError

_GENRE = "genre---"


@dataclass(frozen=True)
class DataSet:
    """A public data set.

    Attributes:
        name: ``fma`` or ``mtg``.
        file_id: what its file names look like.
        locate: audio root, file name -> where the file is.
        read_metadata: its own table, audio root -> a manifest without pieces.
    """

    name: str
    file_id: re.Pattern[str]
    locate: Callable[[Path, str], Path]
    read_metadata: Callable[[Path, Path], Manifest]


def locate_fma(root: Path, file_id: str) -> Path:
    """``000002.mp3`` lies in the folder of its first three digits."""
    return root / file_id[:3] / file_id


def locate_mtg(root: Path, file_id: str) -> Path:
    """``14/214.mp3`` as it stands, or ``14/214.low.mp3`` (the archive ``audio-low``) if only that is there."""
    plain = root / file_id
    low = plain.with_suffix(".low.mp3")
    return low if low.is_file() and not plain.is_file() else plain


def read_fma(table: str | Path, audio_root: str | Path) -> Manifest:
    """FMA's ``tracks.csv``: three header rows (group, field, ``track_id``), one row a track, the id first.

    The artist is taken for the singer; the album is its title, or its id if it has none.

    Args:
        audio_root: the folder that holds ``000/``, ``001/``...; files need not be there.

    Raises:
        ManifestError: the file is missing, not of that form, or holds no track or one twice.
    """
    table, root = Path(table), Path(audio_root)
    tracks: list[Track] = []
    with _rows(table, csv.excel) as rows:
        groups, names, ids = (next(rows, []) for _ in range(3))
        columns = {column: place for place, column in enumerate(zip(groups, names, strict=False))}
        if ids[:1] != ["track_id"] or ("artist", "id") not in columns:
            raise ManifestError(
                table, "has not the three header rows of tracks.csv with artist id", "give FMA's tracks.csv"
            )
        for number, row in enumerate(rows, start=4):
            if len(row) != len(groups) or not re.fullmatch(r"[0-9]{1,6}", row[0]):
                raise ManifestError(table, f"row {number} is not a track with {len(groups)} columns", "get it again")

            def cell(group: str, name: str, row: Sequence[str] = row) -> str | None:
                return row[columns[group, name]].strip() or None if (group, name) in columns else None

            file_id, artist, album = f"{int(row[0]):06}.mp3", cell("artist", "id"), cell("album", "id")
            if artist is None:
                raise ManifestError(table, f"row {number} has no artist id", "drop the row")
            tracks.append(
                Track(
                    file_id,
                    artist,
                    locate_fma(root, file_id),
                    title=cell("track", "title"),
                    # Tracks of no album have -1 for its id.
                    album=cell("album", "title") or (None if album is None or album.startswith("-") else album),
                    genre=cell("track", "genre_top"),
                    language=cell("track", "language_code"),
                    release_date=(cell("album", "date_released") or "")[:10] or None,
                    licence=cell("track", "license"),
                )
            )
    return _manifest(table, tracks)


def read_mtg(table: str | Path, audio_root: str | Path) -> Manifest:
    """MTG-Jamendo's ``raw_30s.tsv``, ``autotagging.tsv`` and their like: five columns, then any number of tags.

    The artist is taken for the singer; several genres are joined by ``;``.

    Args:
        audio_root: the folder that holds ``00/`` to ``99/``; files need not be there.

    Raises:
        ManifestError: the file is missing, not of that form, or holds no track or one twice.
    """
    table, root = Path(table), Path(audio_root)
    tracks: list[Track] = []
    with _rows(table, csv.excel_tab) as rows:
        if next(rows, []) != ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]:
            raise ManifestError(table, "has not the columns TRACK_ID to TAGS", "give a table such as raw_30s.tsv")
        for number, row in enumerate(rows, start=2):
            if len(row) < 5 or not row[1] or not MTG.file_id.fullmatch(row[3]):
                raise ManifestError(table, f"row {number} is not a track with an artist and a path", "get it again")
            genres = [tag.removeprefix(_GENRE) for tag in row[5:] if tag.startswith(_GENRE)]
            path = locate_mtg(root, row[3])
            tracks.append(Track(row[3], row[1], path, album=row[2] or None, genre=";".join(genres) or None))
    return _manifest(table, tracks)


@contextmanager
def _rows(table: Path, dialect: type[csv.Dialect]) -> Iterator[Iterator[list[str]]]:
    try:
        with table.open(encoding="utf-8", newline="") as file:
            yield csv.reader(file, dialect)
    except FileNotFoundError:
        raise ManifestError(table, "no such file", "check the path") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(table, f"cannot be read ({error})", "get it again") from error


def _manifest(table: Path, tracks: Sequence[Track]) -> Manifest:
    if not tracks:
        raise ManifestError(table, "holds no tracks", "check how it was made")
    seen: set[str] = set()
    for track in tracks:
        if track.track_id in seen:
            raise ManifestError(table, f"has track {track.track_id} more than once", "keep one of its rows")
        seen.add(track.track_id)
    return Manifest(tuple(tracks))


FMA = DataSet("fma", re.compile(r"[0-9]{6}\.mp3"), locate_fma, read_fma)
MTG = DataSet("mtg", re.compile(r"[0-9]{2}/[0-9]+\.mp3"), locate_mtg, read_mtg)
DATASETS = {dataset.name: dataset for dataset in (FMA, MTG)}
