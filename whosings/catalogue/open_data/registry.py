"""All data sets by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from whosings.catalogue.manifest import Manifest
from whosings.catalogue.open_data.artist20 import ARTIST20
from whosings.catalogue.open_data.by_tables import OPEN_FMA, OPEN_MTG
from whosings.catalogue.open_data.gtsinger import GTSINGER
from whosings.catalogue.open_data.jamendo_lyrics import JAMENDO_LYRICS
from whosings.catalogue.open_data.m4singer import M4SINGER
from whosings.catalogue.open_data.ravdess import RAVDESS
from whosings.catalogue.open_data.record import OpenDataSet, Reading
from whosings.catalogue.open_data.vocalset import VOCALSET
from whosings.errors import ManifestError
from whosings.singer_names import Spellings

_ALL = (VOCALSET, M4SINGER, GTSINGER, RAVDESS, ARTIST20, JAMENDO_LYRICS, OPEN_MTG, OPEN_FMA)
OPEN_DATA_SETS: dict[str, OpenDataSet] = {one.name: one for one in _ALL}


def read_dataset(name: str, folder: str | Path) -> Reading:
    """A data set's folder, with what was passed over. Spellings of one singer are one, as in tables that are read.

    Raises:
        ManifestError: no such data set or folder, or a folder of another form.
        AudioError: a name that is not UTF-8, or a folder that cannot be opened.
    """
    if name not in OPEN_DATA_SETS:
        raise ManifestError(name, "is no data set known here", f"name one of {', '.join(OPEN_DATA_SETS)}")
    folder, spelt = Path(folder), Spellings()
    found = OPEN_DATA_SETS[name].read(folder)
    tracks = (replace(track, singer_id=spelt(track.singer_id, folder)) for track in found.manifest.tracks)
    return replace(found, manifest=Manifest(tuple(tracks), found.manifest.pieces))


def load_dataset(name: str, folder: str | Path) -> Manifest:
    """A data set's folder as a manifest: ``load_dataset("vocalset", "VocalSet")``; raises as ``read_dataset``."""
    return read_dataset(name, folder).manifest
