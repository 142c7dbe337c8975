"""Embeddings of a run on their way to one Parquet file."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from whosings.embedding import Embeddings
from whosings.errors import ManifestError
from whosings.files import atomic


class EmbeddingStore:
    """Embeddings of a run on their way to one Parquet file; use it as a context manager.

    Columns ``track_id, start_s, vocal, embedding`` (float16, fixed length), the encoder's fingerprint in the metadata.
    Until ``finish``, tracks lie in parts beside the file, so that an interrupted run loses at most one part.

    Args:
        path: the file; one that is there already is extended.

    Raises:
        ManifestError: the file, or a part, is of another encoder or is not a table of embeddings.
    """

    def __init__(self, path: str | Path, fingerprint: str, tracks_a_part: int = 64) -> None:
        self._path, self._fingerprint, self._size = Path(path), fingerprint, tracks_a_part
        self._folder = self._path.with_name(f"{self._path.name}.parts")
        self._waiting: list[Embeddings] = []
        self._tables: list[pa.Table] = []
        self._done: set[str] = set()
        parts = sorted(part for part in self._folder.glob("*.parquet") if part.name[0] != ".")
        for part in [self._path, *parts]:
            if part.exists():
                table = self._read(part)  # a crash while finishing leaves parts that the file holds, too
                names = table["track_id"].to_pylist()
                table = table.filter(pa.array([name not in self._done for name in names], pa.bool_()))
                self._done.update(names)
                self._tables.append(table)

    def __contains__(self, track_id: str) -> bool:
        """Whether the track's embeddings are stored; a track without singing never is."""
        return track_id in self._done

    def add(self, track: Embeddings) -> None:
        """Take a track's embeddings."""
        self._waiting.append(track)
        self._done.add(track.track_id)
        if len(self._waiting) >= self._size:
            self._flush()

    def finish(self) -> int:
        """Write the file, if there is anything to write, and clear the parts away; the number of segments in it."""
        self._flush()
        if not self._tables:
            return 0
        whole = pa.concat_tables(self._tables)
        _write_parquet(whole, self._path)
        if self._folder.exists():
            shutil.rmtree(self._folder)
        return int(whole.num_rows)

    def __enter__(self) -> EmbeddingStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._tables.append(self._table(self._waiting))
            _write_parquet(self._tables[-1], self._folder / f"{time.time_ns():020d}.parquet")
            self._waiting = []

    def _table(self, tracks: Sequence[Embeddings]) -> pa.Table:
        dimensions = tracks[0].vectors.shape[1]
        vectors = [track.vectors.astype(np.float16).reshape(-1) for track in tracks]
        return pa.table(
            {
                "track_id": pa.array([track.track_id for track in tracks for _ in track.start_s], pa.string()),
                "start_s": pa.array([float(s) for track in tracks for s in track.start_s], pa.float64()),
                "vocal": pa.array([float(v) for track in tracks for v in track.vocal], pa.float64()),
                "embedding": pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(vectors)), dimensions),
            }
        ).replace_schema_metadata({"fingerprint": self._fingerprint})

    def _read(self, path: Path) -> pa.Table:
        try:
            table = pa.parquet.read_table(path)
            fingerprint = (table.schema.metadata or {})[b"fingerprint"].decode()
        except (pa.ArrowException, OSError, KeyError) as error:
            raise ManifestError(path, "is not a table of embeddings", "name another file") from error
        if fingerprint != self._fingerprint:
            raise ManifestError(
                path,
                f"holds embeddings of encoder {fingerprint[:12]}, not {self._fingerprint[:12]}",
                "name another file, or that encoder",
            )
        return table


def _write_parquet(table: pa.Table, path: Path) -> None:
    with atomic(path) as beside:
        pa.parquet.write_table(table, beside)
