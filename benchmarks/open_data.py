"""Reading a data set's folder and splitting it by its fixed protocol: seconds and memory, by number of tracks.

Made folders and tables have the form and the size of M4Singer and MTG-Jamendo; ``--mtg`` takes a real folder of tables.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure

from whosings.catalogue.open_data.registry import OPEN_DATA_SETS, read_dataset
from whosings.catalogue.protocols import fixed_split

SINGERS, SONGS, PHRASES = 20, 35, 30
ARTISTS, TRACKS = 3_565, 15


def main() -> None:
    given = measure.arguments(__doc__, mtg={"type": Path, "help": "folder with raw_30s.tsv, or data/raw_30s.tsv"})
    share = 10 if given.quick else 1
    rows, ratios = [], {}
    with tempfile.TemporaryDirectory() as folder:
        sets = {"m4singer": m4singer(Path(folder) / "m4singer", SONGS // share)}
        sets["mtg"] = given.mtg or mtg(Path(folder) / "mtg", ARTISTS // share)
        for name, place in sets.items():
            read, split = (measure.in_child(work, name, place) for work in (reading, splitting))
            tracks, singers, trials, digest = split.result
            rows.append((name, tracks, singers, trials, read.seconds, split.seconds, split.peak_mb, digest))
            ratios[f"{name}_ms_a_thousand_tracks"] = 1e6 * (read.seconds + split.seconds) / tracks
    headings = ("set", "tracks", "with roles", "trials", "reading s", "splitting s", "peak MB", "digest")
    measure.table(headings, rows)
    measure.finish("open_data", given.quick, **ratios)


def reading(name: str, folder: Path) -> Callable[[], int]:
    """What is measured: a folder into a manifest."""
    return lambda: len(read_dataset(name, folder).manifest.tracks)


def splitting(name: str, folder: Path) -> Callable[[], Any]:
    """What is measured: a manifest into roles and trials."""
    manifest, known = read_dataset(name, folder).manifest, OPEN_DATA_SETS[name]

    def split() -> tuple[int, int, int, str]:
        found = fixed_split(manifest, known.rules, known.sex_of)
        assert found.roles is not None
        return len(manifest.tracks), len(found.roles.test.by_singer), len(found.trials), found.digest

    return split


def m4singer(folder: Path, songs: int) -> Path:
    """Empty files in M4Singer's form."""
    for singer in range(SINGERS):
        for song in range(songs):
            place = folder / f"{('Alto', 'Tenor', 'Bass', 'Soprano')[singer % 4]}-{singer}#歌{song}"
            place.mkdir(parents=True)
            for phrase in range(PHRASES):
                (place / f"{phrase:04}.wav").touch()
    return folder


def mtg(folder: Path, artists: int) -> Path:
    """A table in MTG-Jamendo's form."""
    folder.mkdir(parents=True)
    with (folder / "raw_30s.tsv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, csv.excel_tab)
        table.writerow(("TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"))
        for artist in range(artists):
            for track in range(TRACKS):
                number = artist * TRACKS + track
                album = f"album_{artist}_{track % 3}"
                path = f"{number % 100:02}/{number}.mp3"
                table.writerow((f"track_{number}", f"artist_{artist}", album, path, "180.0", "genre---pop"))
    return folder


if __name__ == "__main__":
    main()
