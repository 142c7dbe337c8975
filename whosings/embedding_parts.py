"""Embeddings of a catalogue as a folder of Parquet parts, here or on a store: no row twice, and gaps are filled.

Conventions
-----------
- A part holds some hundred tracks, with the columns of ``EmbeddingStore``. Its name is a hash of what it holds: the
  encoder, and each track's source and content. Whoever writes the same writes the same name.
- Beside a part lies a small table of its tracks, ``NAME.keys``, which is written before it and taken away before it. A
  part counts when both are there and it is as long as the table says. What does not count is removed, and made anew.
- A track that changed, or that two runs wrote at once, is taken out of all parts but one. Clocks play no role.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from whosings.embedding import Embeddings
from whosings.embedding_store import StoredTrack, embedding_table
from whosings.errors import ManifestError
from whosings.storage import REQUESTS, fetched, is_remote, joined, listing, local_path, name_of, put, remove

KEYS = ".keys"
_NAME = re.compile(r"[0-9a-f]{64}[.](parquet|keys)")


@dataclass(frozen=True)
class _Part:
    """A part by its tracks: content by source."""

    name: str
    tracks: dict[str, str] = field(repr=False)


class EmbeddingParts:
    """Embeddings on their way to a folder of parts; use it as a context manager.

    Args:
        folder: path or location; parts that are there are extended.
        fingerprint: the encoder's.
        tracks_a_part: a run that is killed loses as many at most; memory holds as many.

    Raises:
        ManifestError: the folder holds embeddings of another encoder.
        StorageError, OSError: it cannot be read.
    """

    def __init__(self, folder: str, fingerprint: str, tracks_a_part: int = 256) -> None:
        self._folder = folder if is_remote(folder) else str(local_path(folder))
        self._fingerprint, self._size = fingerprint, tracks_a_part
        self._waiting: dict[str, StoredTrack] = {}
        self._parts: dict[str, _Part] = {}
        self._where: dict[str, str] = {}  # name of the part, by source
        self._segments: dict[str, int] = {}  # by name of the part
        self._written: set[str] = set()  # sources, by this run
        if not is_remote(self._folder):
            local_path(self._folder).mkdir(parents=True, exist_ok=True)
        self._look()

    def holds(self, source: str | Path, content: str) -> bool:
        """Whether the embeddings of a source with this content are stored; a track without singing never is."""
        part = self._where.get(str(source))
        return part is not None and self._parts[part].tracks[str(source)] == content

    def add(self, track: Embeddings, source: str | Path, content: str) -> None:
        """Take a track's embeddings.

        Args:
            source: what tells it from all others: the file's absolute path, or its location.
            content: hash of the content.
        """
        source = str(source)
        if len(track.vectors):
            self._waiting[source] = StoredTrack(track, track.track_id, source, content)
        else:  # nor does what it held before count
            self._waiting.pop(source, None)
            self._written.discard(source)
            if source in self._where:
                self._take_out(self._where[source], {source})
        if len(self._waiting) >= self._size:
            self._flush()

    def finish(self) -> int:
        """Write what waits, take out what another run wrote, too, and count the segments in the folder.

        Raises:
            ManifestError: another run took a part for half written while this one wrote it.
        """
        self._flush()
        self._look()
        if lost := self._written - set(self._where):
            problem = f"lacks {len(lost)} tracks of this run, which another one took away half written"
            raise ManifestError(self._folder, problem, "run again when that has ended")
        return sum(self._segments.values())

    def __enter__(self) -> EmbeddingParts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()

    def _at(self, name: str) -> str:
        return joined(self._folder, name)

    def _look(self) -> None:
        """What there is: whole parts are known, what is none is removed, and tracks that are there twice lose one."""
        sizes = {name_of(one.location): one.signature.size for one in listing(self._folder)}
        sizes = {name: size for name, size in sizes.items() if _NAME.fullmatch(name)}
        self._parts, self._where, self._segments = {}, {}, {}
        names = sorted(name.removesuffix(KEYS) for name in sizes if name.endswith(KEYS))
        with ThreadPoolExecutor(REQUESTS) as pool:
            keys = dict(zip(names, pool.map(self._keys, names), strict=True))
        whole = {name: table for name, table in keys.items() if sizes.get(f"{name}.parquet") == _size(table)}
        for name in sorted({name.partition(".")[0] for name in sizes} - set(whole)):
            self._remove(name)
        doubles: dict[str, set[str]] = defaultdict(set)
        for name, table in whole.items():
            self._know(name, table)
            for source in self._parts[name].tracks:
                if self._where.setdefault(source, name) != name:
                    doubles[name].add(source)
        for name, sources in doubles.items():
            self._take_out(name, sources)

    def _keys(self, name: str) -> pa.Table | None:
        """A part's tracks; None where they cannot be read.

        Raises:
            ManifestError: they are another encoder's.
        """
        with fetched(self._at(name + KEYS)) as path:
            try:
                table = pa.parquet.read_table(path)
                fingerprint = table.schema.metadata[b"fingerprint"].decode()
                int(table.schema.metadata[b"size"])
            except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
                return None
        if fingerprint != self._fingerprint:
            raise ManifestError(
                self._folder,
                f"holds embeddings of encoder {fingerprint[:12]}, not {self._fingerprint[:12]}",
                "name another folder, or that encoder",
            )
        return table

    def _know(self, name: str, table: pa.Table) -> None:
        self._parts[name] = _Part(name, dict(zip(*(table[c].to_pylist() for c in ("source", "sha256")), strict=True)))
        self._segments[name] = int(table.schema.metadata[b"segments"])

    def _flush(self) -> None:
        if not self._waiting:
            return
        stale: dict[str, set[str]] = defaultdict(set)
        for source, track in self._waiting.items():
            if source in self._where and not self.holds(source, track.sha256):
                stale[self._where[source]].add(source)
        for name, sources in stale.items():  # before what is new: two of one source would look alike
            self._take_out(name, sources)
        ordered = [self._waiting[source] for source in sorted(self._waiting)]
        self._write(embedding_table(ordered, self._fingerprint))
        self._written |= set(self._waiting)
        self._waiting = {}

    def _take_out(self, name: str, sources: set[str]) -> None:
        """The part without some tracks, in the place of the part."""
        with fetched(self._at(f"{name}.parquet")) as path:
            table = pa.parquet.read_table(path)
        left = table.filter(pc.invert(pc.is_in(table["source"], pa.array(sorted(sources)))))
        if left.num_rows:
            self._write(left)
        self._remove(name)

    def _write(self, table: pa.Table) -> None:
        tracks = dict(zip(table["source"].to_pylist(), table["sha256"].to_pylist(), strict=True))
        name = _digest(self._fingerprint, tracks.items())
        keys = pa.table({"source": list(tracks), "sha256": list(tracks.values())})
        with tempfile.TemporaryDirectory(prefix="whosings-") as folder:
            part, beside = Path(folder, "part"), Path(folder, "keys")
            pa.parquet.write_table(table, part)
            sizes = {"size": str(part.stat().st_size), "segments": str(table.num_rows)}
            keys = keys.replace_schema_metadata({"fingerprint": self._fingerprint, **sizes})
            pa.parquet.write_table(keys, beside)
            put(beside, self._at(name + KEYS))
            put(part, self._at(f"{name}.parquet"))
        self._know(name, keys)
        self._where |= dict.fromkeys(tracks, name)

    def _remove(self, name: str) -> None:
        remove(self._at(name + KEYS))
        remove(self._at(f"{name}.parquet"))
        self._segments.pop(name, None)
        for source in self._parts.pop(name, _Part(name, {})).tracks:
            if self._where.get(source) == name:
                del self._where[source]


def _size(keys: pa.Table | None) -> int:
    return -1 if keys is None else int(keys.schema.metadata[b"size"])


def _digest(fingerprint: str, tracks: Iterable[tuple[str, str]]) -> str:
    digest = hashlib.sha256(fingerprint.encode())
    for source, content in sorted(tracks):
        digest.update(f"\0{source}\0{content}".encode())
    return digest.hexdigest()
