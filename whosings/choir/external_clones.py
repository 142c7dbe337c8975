"""Clones that other tools made (RVC, so-vits-svc, Seed-VC): converted vocals become tracks over the sources' bands.

A folder holds the converted files and ``conversions.csv``, one row a file: ``path`` in the folder, ``method``,
``target_singer_id`` and ``source_track_id``, the track whose vocals were converted. Converted vocals are expected to
keep the source's timing; they get the level of the vocals they replace.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from whosings import audio
from whosings.audio import SAMPLE_RATE
from whosings.catalogue.manifest import Track
from whosings.catalogue.table_files import read_table
from whosings.choir.songs import PEAK, Song, level
from whosings.errors import ManifestError, TruncatedAudioError

CONVERSIONS = "conversions.csv"
_SCHEMA = pa.schema([(name, pa.string()) for name in ("path", "method", "target_singer_id", "source_track_id")])
_TOLERANCE_S = 0.5  # between the lengths of converted and original vocals


@dataclass(frozen=True)
class Conversion:
    """One row: a converted file, how it was made, whom it imitates, and the track that was converted."""

    path: Path
    method: str
    target: str
    source: Track


def read_conversions(folder: str | Path, tracks: tuple[Track, ...]) -> tuple[Conversion, ...]:
    """The folder's table.

    Args:
        tracks: the choir's tracks.

    Raises:
        ManifestError: no table, a row without values, or a row that names a singer or track that the choir has not.
    """
    table = Path(folder) / CONVERSIONS
    known = {track.track_id: track for track in tracks}
    singers = {track.singer_id for track in tracks if not track.cloned}
    conversions = []
    for number, row in enumerate(read_table(table, _SCHEMA, _SCHEMA.names).to_pylist(), start=1):
        for column, value in row.items():
            if not value:
                raise ManifestError(table, f"row {number} has no {column}", "fill it in or drop the row")
        if Path(row["method"]).name != row["method"]:  # it becomes part of a file's name
            raise ManifestError(
                table, f"row {number} has the method {row['method']}, which is no plain name", "rename it"
            )
        if row["target_singer_id"] not in singers:
            problem = f"row {number} names the singer {row['target_singer_id']}, whom the choir has not"
            raise ManifestError(table, problem, "correct it")
        source = known.get(row["source_track_id"])
        if source is None or source.cloned:
            problem = f"row {number} names the song {row['source_track_id']}, which the choir has not"
            raise ManifestError(table, problem, "correct it")
        conversions.append(Conversion(Path(folder) / row["path"], row["method"], row["target_singer_id"], source))
    return tuple(conversions)


def mix_conversion(conversion: Conversion) -> Song:
    """The converted vocals over the source's instrumental.

    Raises:
        AudioError: a file that cannot be read.
        TruncatedAudioError: the converted vocals are much shorter or longer than the original ones.
    """
    source = conversion.source
    assert source.vocals_path is not None and source.instrumental_path is not None  # the choir's tracks have stems
    converted, vocals, instrumental = (
        audio.load(path).samples[0] for path in (conversion.path, source.vocals_path, source.instrumental_path)
    )
    if abs(converted.size - vocals.size) > _TOLERANCE_S * SAMPLE_RATE:
        lengths = (
            f"lasts {converted.size / SAMPLE_RATE:.1f} s and the vocals it replaces {vocals.size / SAMPLE_RATE:.1f} s"
        )
        raise TruncatedAudioError(conversion.path, lengths, "convert the whole file, without changing its length")
    voice = np.pad(converted[: vocals.size], (0, max(0, vocals.size - converted.size)))
    voice = voice * np.float32(level(vocals) / level(voice))
    scale = np.float32(PEAK / max(float(np.abs(part).max()) for part in (voice + instrumental, voice, instrumental)))
    return Song(voice * scale, instrumental * scale)
