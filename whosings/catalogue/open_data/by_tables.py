"""FMA and MTG-Jamendo as data sets: their folders hold a table and the audio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whosings.catalogue.datasets import FMA, MTG, DataSet
from whosings.catalogue.open_data.record import OpenDataSet, Reading
from whosings.catalogue.protocols import Rules
from whosings.errors import ManifestError

_TABLES = {
    FMA.name: ("tracks.csv", "fma_metadata/tracks.csv"),
    MTG.name: ("raw_30s.tsv", "data/raw_30s.tsv", "autotagging.tsv", "data/autotagging.tsv"),
}
_AUDIO = {
    FMA.name: ("fma_full", "fma_large", "fma_medium", "fma_small"),
    MTG.name: ("raw_30s/audio", "raw_30s/audio-low", "audio", "audio-low"),
}


def table_of(folder: Path, dataset: DataSet) -> Path | None:
    """The table of a data set's folder; None where there is none."""
    return next((folder / name for name in _TABLES[dataset.name] if (folder / name).is_file()), None)


def metadata_of(source: Path, dataset: DataSet) -> Path | None:
    """The table that is named, or that lies in the folder that is named; None for a folder of the paper's splits."""
    if not source.is_dir():
        return source
    return None if source.name == "splits" or (source / "splits").is_dir() else table_of(source, dataset)


def read_folder(folder: Path, dataset: DataSet) -> Reading:
    """A folder with the data set's table, and its audio in a folder by its published name or in the folder itself.

    Raises:
        ManifestError: no such folder, no table in it, or the table is not of its form.
    """
    table = table_of(folder, dataset)
    if table is None:
        names: Sequence[str] = _TABLES[dataset.name]
        raise ManifestError(
            folder,
            f"holds none of {', '.join(names)}" if folder.is_dir() else "no such folder",
            "name the data set's folder, or its table and --audio",
        )
    audio = next((folder / name for name in _AUDIO[dataset.name] if (folder / name).is_dir()), folder)
    return Reading(dataset.read_metadata(table, audio))


OPEN_FMA = OpenDataSet(
    name=FMA.name,
    title="Free Music Archive",
    citation="M. Defferrard, K. Benzi, P. Vandergheynst, X. Bresson: FMA: A Dataset for Music Analysis. ISMIR 2017",
    licence="metadata CC BY 4.0; audio by its artists, a licence a track",
    commercial="by track",
    home="github.com/mdeff/fma",
    size="16,341 artists, 106,574 tracks, 343 days",
    form="fma_metadata/tracks.csv, fma_full/000/000002.mp3",
    singer="the artist's id: bands, and records without singing, are among them",
    song="an album; tracks without one are in no role",
    read=lambda folder: read_folder(folder, FMA),
    rules=Rules("album"),
    checksums="SHA-1 of its archives: fma_metadata.zip f0df49ffe5f2a6008d7dc83c6915b31835dfe733, fma_small.zip "
    "ade154f733639d52e35e32f5593efe5be76c6d70, fma_medium.zip c67b69ea232021025fca9231fc1c7c1a063ab50b, fma_large.zip "
    "497109f4dd721066b5ce5e5f250ec604dc78939e, fma_full.zip 0f0ace23fbe9ba30ecb7e95f763e435ea802b8ab",
    unverified="its tables were not read whole here",
)
OPEN_MTG = OpenDataSet(
    name=MTG.name,
    title="MTG-Jamendo",
    citation="D. Bogdanov, M. Won, P. Tovstogan, A. Porter, X. Serra: The MTG-Jamendo Dataset for Automatic Music "
    "Tagging. ICML 2019",
    licence="metadata CC BY-NC-SA 4.0; audio Creative Commons, a licence a track (audio_licenses.txt)",
    commercial="by track",
    home="github.com/MTG/mtg-jamendo-dataset, doi:10.5281/zenodo.3826813",
    size="3,565 artists, 55,701 tracks",
    form="data/raw_30s.tsv, 14/214.mp3 or 14/214.low.mp3",
    singer="the artist's id: bands, and records without singing, are among them",
    song="an album",
    read=lambda folder: read_folder(folder, MTG),
    rules=Rules("album"),
    checksums="SHA-256 of each file in its repository, data/download/raw_30s_audio_sha256_tracks.txt; check reads it",
    unverified="the audio, and 176 of the 55,701 rows of raw_30s.tsv",
)
