"""Embeddings of a run on their way to one Parquet file."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from whosings.embedding import Embeddings
from whosings.errors import ManifestError
from whosings.files import atomic


@dataclass(frozen=True)
class StoredTrack:
    """A track with its name in the table, its source, and the hash of the content."""

    track: Embeddings
    name: str
    source: str
    sha256: str


class EmbeddingStore:
    """Embeddings of a run on their way to one Parquet file; use it as a context manager.

    Columns ``track_id, sha256, source, start_s, vocal, embedding`` (float16, fixed length), the encoder's fingerprint
    in the metadata. A track is known by its content's hash and its source, the file's absolute path: a file that was
    replaced is embedded again in the place of the old one, and two files that were given by one name are two tracks.
    Until ``finish``, tracks lie in parts beside the file, so that an interrupted run loses at most one part.

    Args:
        path: the file; one that is there already is extended.

    Raises:
        ManifestError: the file, or a part, is of another encoder or is not a table of embeddings.
    """

    def __init__(self, path: str | Path, fingerprint: str, tracks_a_part: int = 64) -> None:
        self._path, self._fingerprint, self._size = Path(path), fingerprint, tracks_a_part
        self._folder = self._path.with_name(f"{self._path.name}.parts")
        self._waiting: list[StoredTrack] = []
        self._tables: list[pa.Table] = []
        self._done: dict[str, str] = {}  # content hash by source
        self._owner: dict[str, str] = {}  # source by name
        parts = sorted(part for part in self._folder.glob("*.parquet") if part.name[0] != ".")
        for part in [self._path, *parts]:
            if part.exists():
                table = self._read(part)
                rows = zip(*(table[name].to_pylist() for name in ("source", "sha256", "track_id")), strict=True)
                for source, sha256, name in dict.fromkeys(rows):
                    self._forget(source)  # a crash while finishing leaves parts that the file holds, too
                    self._done[source], self._owner[name] = sha256, source
                self._tables.append(table)

    def holds(self, source: str | Path, sha256: str) -> bool:
        """Whether the embeddings of a source with this content are stored; a track without singing never is."""
        return self._done.get(str(source)) == sha256

    def add(self, track: Embeddings, source: str | Path, sha256: str) -> None:
        """Take a track's embeddings; its name becomes its source where that of another one has the name.

        Args:
            source: what tells it from all others: the file's absolute path, or its id in a catalogue.
            sha256: of the content.
        """
        place = str(source)
        name = track.track_id if self._owner.get(track.track_id, place) == place else place
        self._forget(place)
        self._waiting.append(StoredTrack(track, name, place, sha256))
        self._done[place], self._owner[name] = sha256, place
        if len(self._waiting) >= self._size:
            self._flush()

    def _forget(self, source: str) -> None:
        if source in self._done:
            self._tables = [table.filter(pc.field("source") != source) for table in self._tables]
            self._waiting = [one for one in self._waiting if one.source != source]

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
            self._tables.append(embedding_table(self._waiting, self._fingerprint))
            _write_parquet(self._tables[-1], self._folder / f"{time.time_ns():020d}.parquet")
            self._waiting = []

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
        if not {"track_id", "sha256", "source"} <= set(table.column_names):
            problem = "does not say which files its embeddings are of, as older versions wrote it"
            raise ManifestError(path, problem, "embed again into another file")
        return table


def embedding_table(stored: Sequence[StoredTrack], fingerprint: str) -> pa.Table:
    """Tracks as rows, a segment each, with the columns of ``EmbeddingStore``."""
    dimensions = stored[0].track.vectors.shape[1]
    vectors = [one.track.vectors.astype(np.float16).reshape(-1) for one in stored]

    def repeated(name: str) -> pa.Array:
        return pa.array([getattr(one, name) for one in stored for _ in one.track.start_s], pa.string())

    return pa.table(
        {
            "track_id": repeated("name"),
            "sha256": repeated("sha256"),
            "source": repeated("source"),
            "start_s": pa.array([float(s) for one in stored for s in one.track.start_s], pa.float64()),
            "vocal": pa.array([float(v) for one in stored for v in one.track.vocal], pa.float64()),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(vectors)), dimensions),
        }
    ).replace_schema_metadata({"fingerprint": fingerprint})


def _write_parquet(table: pa.Table, path: Path) -> None:
    with atomic(path) as beside:
        pa.parquet.write_table(table, beside)
