"""JamendoLyrics: whole songs with bands in four languages, with the times of their words."""

from __future__ import annotations

import csv
from pathlib import Path

from whosings.catalogue.manifest import Manifest, Track
from whosings.catalogue.open_data.record import OpenDataSet, PassedOver, Reading, composed
from whosings.catalogue.protocols import Rules
from whosings.errors import ManifestError

_TABLES = ("JamendoLyrics.csv", "songs.csv")
_AUDIO = ("mp3", "")
_COLUMNS = ("Filepath", "Artist")
_LANGUAGES = {"english": "en", "french": "fr", "german": "de", "spanish": "es"}


def read_jamendo_lyrics(folder: Path) -> Reading:
    """Its songs by ``JamendoLyrics.csv``; the audio lies in ``mp3`` or beside the table, or is not there yet.

    Raises:
        ManifestError: no such folder or table, or the table is not of its form or empty.
    """
    table = next((folder / name for name in _TABLES if (folder / name).is_file()), None)
    if table is None:
        problem = "holds no JamendoLyrics.csv" if folder.is_dir() else "no such folder"
        raise ManifestError(folder, problem, "name the data set's folder")
    there = {
        composed(path.name): path
        for part in reversed(_AUDIO)  # what lies in mp3 counts first
        if (folder / part).is_dir()
        for path in (folder / part).iterdir()
        if not path.name.startswith(".")
    }
    tracks: dict[str, Track] = {}
    passed_over: list[PassedOver] = []
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(table, f"cannot be read ({error})", "get it again") from error
    for number, row in enumerate(rows, start=2):
        name, artist = (composed((row.get(column) or "").strip()) for column in _COLUMNS)
        if not name or not artist or Path(name).name != name:
            raise ManifestError(table, f"row {number} has no Filepath and Artist", "get it again")
        track = _track(row, name, artist, there.get(name, folder / name))
        if track.track_id in tracks:
            passed_over.append(PassedOver(track.file, "the table names it twice"))
        else:
            tracks[track.track_id] = track
    if not tracks:
        raise ManifestError(table, "holds no songs", "get it again")
    return Reading(Manifest(tuple(tracks[name] for name in sorted(tracks))), tuple(passed_over))


def _track(row: dict[str, str], name: str, artist: str, path: Path) -> Track:
    licence = " ".join((row.get("LicenseType") or "").split())
    title = (row.get("Title") or "").strip()
    return Track(
        Path(name).stem,
        artist,
        path,
        title=title or None,
        genre=(row.get("Genre") or "").strip() or None,
        language=_LANGUAGES.get((row.get("Language") or "").strip().casefold()),
        licence=f"CC {licence}" if licence.startswith("BY") else licence or None,
        song=title or Path(name).stem,
    )


JAMENDO_LYRICS = OpenDataSet(
    name="jamendolyrics",
    title="JamendoLyrics MultiLang",
    citation="S. Durand, D. Stoller, S. Ewert: Similarity-based Audio-Lyrics Alignment of Multiple Languages. ICASSP "
    "2023, arXiv:2306.07744",
    licence="Creative Commons, a licence a song",
    commercial="by track",
    home="github.com/f90/jamendolyrics",
    size="79 songs of 75 artists",
    form="JamendoLyrics.csv, mp3/TITLE_-_ARTIST.mp3",
    singer="the artist; songs marked Polyphonic have several voices at once",
    song="a song; as nearly all artists have one, there are trials and no roles",
    read=read_jamendo_lyrics,
    rules=Rules("track", identification=False),
    checksums="none per file; make an index",
    unverified="the audio of 69 of the 79 songs; its description says 80",
)
