"""Ways to find the nearest of very many voices, each as its library's documentation has it, behind one small interface.

A way is built into a folder, opened from there, asked, and changed. All work with unit vectors and inner products, and
on the threads that the process may use: the benchmark pins it to one core.
"""

# ruff: noqa: D102 (`Way` says what each does)

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Ids = NDArray[np.int64]
_BLOCK = 1 << 16
_TRAINED = 40  # voices a list on which an inverted file is trained


class Way(Protocol):
    """One way. ``effort`` is its knob between speed and recall."""

    efforts: tuple[int, ...]
    near: int  # how many are asked for; more than ten where its store rounds, and exact scores order them

    def build(self, vectors: FloatArray, folder: Path) -> None:
        """Make it of rows (voices, dimensions), numbered from 0, in an empty folder."""

    def open(self, folder: Path) -> None:
        """Read it."""

    def ask(self, vector: FloatArray, effort: int) -> Ids:
        """Numbers of the nearest."""

    def add(self, numbers: Ids, vectors: FloatArray) -> None:
        """Take in more."""

    def delete(self, numbers: Ids) -> None:
        """Take out some."""

    def save(self, folder: Path) -> None:
        """Make changes last."""

    def close(self) -> None:
        """Release what is held outside of the process."""


@dataclass
class Exact:
    """A product of matrices in float32: what all others are held against."""

    efforts: tuple[int, ...] = (0,)
    near: int = 10

    def build(self, vectors: FloatArray, folder: Path) -> None:
        np.save(folder / "vectors.npy", vectors)
        np.save(folder / "numbers.npy", np.arange(len(vectors)))

    def open(self, folder: Path) -> None:
        self._vectors, self._numbers = np.load(folder / "vectors.npy"), np.load(folder / "numbers.npy")

    def ask(self, vector: FloatArray, effort: int) -> Ids:
        scores = self._vectors @ vector
        return self._numbers[np.argpartition(-scores, self.near)[: self.near]]

    def add(self, numbers: Ids, vectors: FloatArray) -> None:
        self._vectors = np.concatenate([self._vectors, vectors])
        self._numbers = np.concatenate([self._numbers, numbers])

    def delete(self, numbers: Ids) -> None:
        kept = ~np.isin(self._numbers, numbers)
        self._vectors, self._numbers = self._vectors[kept], self._numbers[kept]

    def save(self, folder: Path) -> None:
        np.save(folder / "vectors.npy", self._vectors)
        np.save(folder / "numbers.npy", self._numbers)

    def close(self) -> None:
        pass


@dataclass
class Faiss:
    """faiss by a factory string; ``{lists}`` is about eight times the root of the number of voices."""

    factory: str
    efforts: tuple[int, ...]
    near: int = 10
    knob: str = "nprobe"

    def build(self, vectors: FloatArray, folder: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        lists = 1 << max(4, round(np.log2(4 * np.sqrt(len(vectors)))))
        index = faiss.index_factory(vectors.shape[1], self.factory.format(lists=lists), faiss.METRIC_INNER_PRODUCT)
        rng = np.random.default_rng(0)
        sample = np.sort(rng.permutation(len(vectors))[: _TRAINED * lists])
        index.train(np.ascontiguousarray(vectors[sample]))
        for first in range(0, len(vectors), _BLOCK):
            block = np.ascontiguousarray(vectors[first : first + _BLOCK])
            self._put(index, np.arange(first, first + len(block)), block)
        faiss.write_index(index, str(folder / "index"))

    def open(self, folder: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self._index = faiss.read_index(str(folder / "index"))
        self._parameters = {"nprobe": faiss.SearchParametersIVF, "efSearch": faiss.SearchParametersHNSW}[self.knob]

    def ask(self, vector: FloatArray, effort: int) -> Ids:
        given = None if effort == 0 else self._parameters(**{self.knob: effort})
        return self._index.search(vector[None], self.near, params=given)[1][0]

    def add(self, numbers: Ids, vectors: FloatArray) -> None:
        self._put(self._index, numbers, vectors)

    def _put(self, index: Any, numbers: Ids, vectors: FloatArray) -> None:
        if self.knob == "efSearch":  # it numbers by itself
            index.add(vectors)
        else:
            index.add_with_ids(vectors, numbers)

    def delete(self, numbers: Ids) -> None:
        if self.knob == "efSearch":
            raise NotImplementedError("faiss takes nothing out of its graphs")
        self._index.remove_ids(numbers)

    def save(self, folder: Path) -> None:
        import faiss

        faiss.write_index(self._index, str(folder / "index"))

    def close(self) -> None:
        pass


@dataclass
class Usearch:
    """usearch's graph, with vectors of some type."""

    dtype: str
    near: int = 10
    efforts: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)

    def build(self, vectors: FloatArray, folder: Path) -> None:
        from usearch.index import Index

        index = Index(ndim=vectors.shape[1], metric="ip", dtype=self.dtype, connectivity=16, expansion_add=128)
        for first in range(0, len(vectors), _BLOCK):
            block = np.asarray(vectors[first : first + _BLOCK])
            index.add(np.arange(first, first + len(block)), block, threads=1)
        index.save(str(folder / "index"))

    def open(self, folder: Path) -> None:
        from usearch.index import Index

        self._index = Index.restore(str(folder / "index"))

    def ask(self, vector: FloatArray, effort: int) -> Ids:
        self._index.expansion_search = effort
        return np.asarray(self._index.search(vector, self.near, threads=1).keys, np.int64)

    def add(self, numbers: Ids, vectors: FloatArray) -> None:
        self._index.add(numbers, vectors, threads=1)

    def delete(self, numbers: Ids) -> None:
        self._index.remove(numbers)

    def save(self, folder: Path) -> None:
        self._index.save(str(folder / "index"))

    def close(self) -> None:
        pass


@dataclass
class Hnswlib:
    """hnswlib's graph in float32."""

    near: int = 10
    efforts: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)

    def build(self, vectors: FloatArray, folder: Path) -> None:
        import hnswlib

        index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        index.init_index(max_elements=len(vectors) + 10_000, ef_construction=128, M=16)
        for first in range(0, len(vectors), _BLOCK):
            block = np.asarray(vectors[first : first + _BLOCK])
            index.add_items(block, np.arange(first, first + len(block)), num_threads=1)
        index.save_index(str(folder / "index"))
        (folder / "dimensions").write_text(str(vectors.shape[1]))

    def open(self, folder: Path) -> None:
        import hnswlib

        self._index = hnswlib.Index(space="ip", dim=int((folder / "dimensions").read_text()))
        self._index.load_index(str(folder / "index"))

    def ask(self, vector: FloatArray, effort: int) -> Ids:
        self._index.set_ef(effort)
        return self._index.knn_query(vector, self.near, num_threads=1)[0][0].astype(np.int64)

    def add(self, numbers: Ids, vectors: FloatArray) -> None:
        self._index.resize_index(self._index.get_current_count() + len(numbers))
        self._index.add_items(vectors, numbers, num_threads=1)

    def delete(self, numbers: Ids) -> None:
        for number in numbers:
            self._index.mark_deleted(number)

    def save(self, folder: Path) -> None:
        self._index.save_index(str(folder / "index"))

    def close(self) -> None:
        pass


@dataclass
class Lance:
    """A table of LanceDB with an index of some kind."""

    kind: str
    near: int = 50
    efforts: tuple[int, ...] = (8, 16, 32, 64, 128, 256)

    def build(self, vectors: FloatArray, folder: Path) -> None:
        import lancedb
        from lancedb.index import HnswSq, IvfPq

        lists = 1 << max(2, round(np.log2(np.sqrt(len(vectors)))))
        blocks = (
            self._rows(np.arange(len(vectors))[first:][:_BLOCK], vectors) for first in range(0, len(vectors), _BLOCK)
        )
        table = lancedb.connect(folder).create_table("voices", blocks)
        if self.kind == "IVF_PQ":
            config = IvfPq(distance_type="dot", num_partitions=lists, num_sub_vectors=vectors.shape[1] // 2)
        else:
            config = HnswSq(distance_type="dot", num_partitions=1, m=16, ef_construction=128)
        table.create_index("vector", config=config)

    @staticmethod
    def _rows(numbers: Ids, vectors: FloatArray) -> Any:
        import pyarrow

        own = np.asarray(vectors[numbers[0] : numbers[-1] + 1] if len(vectors) > len(numbers) else vectors)
        column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(own.ravel()), own.shape[1])
        return pyarrow.record_batch([pyarrow.array(numbers), column], ["id", "vector"])

    def open(self, folder: Path) -> None:
        import lancedb

        self._table = lancedb.connect(folder).open_table("voices")

    def ask(self, vector: FloatArray, effort: int) -> Ids:
        query = self._table.search(vector).distance_type("dot").limit(self.near).select(["id"])
        query = query.nprobes(effort) if self.kind == "IVF_PQ" else query.ef(max(effort, self.near))
        return query.to_arrow()["id"].to_numpy()

    def add(self, numbers: Ids, vectors: FloatArray) -> None:
        import pyarrow

        self._table.add(pyarrow.Table.from_batches([self._rows(numbers, vectors)]))

    def delete(self, numbers: Ids) -> None:
        self._table.delete(f"id IN ({', '.join(map(str, numbers))})")

    def save(self, folder: Path) -> None:
        self._table.optimize()

    def close(self) -> None:
        pass


@dataclass
class Pgvector:
    """A table of a private PostgreSQL server with an index of pgvector.

    Args:
        programs: folder with initdb and pg_ctl.
        kind: hnsw or ivfflat.
        column: vector or halfvec.
    """

    programs: Path
    kind: str
    column: str
    near: int = 10
    efforts: tuple[int, ...] = (10, 20, 40, 80, 160, 320, 640)
    _server: Path | None = field(default=None, init=False)

    def build(self, vectors: FloatArray, folder: Path) -> None:
        self._start(folder)
        with self._db.cursor() as cursor:
            cursor.execute("CREATE EXTENSION vector")
            cursor.execute(f"CREATE TABLE voices (id bigint, vector {self.column}({vectors.shape[1]}))")
        self._copy(np.arange(len(vectors)), vectors)
        lists = 1 << max(2, round(np.log2(2 * np.sqrt(len(vectors)))))
        options = f"lists = {lists}" if self.kind == "ivfflat" else "m = 16, ef_construction = 64"
        self._db.execute("SET maintenance_work_mem = '3GB'")
        self._db.execute(
            f"CREATE INDEX nearest ON voices USING {self.kind} (vector {self.column}_ip_ops) WITH ({options})"
        )
        self._db.execute("CREATE UNIQUE INDEX ON voices (id)")
        self._db.execute("ANALYZE voices")
        self.close()

    def open(self, folder: Path) -> None:
        self._start(folder)
        self._db.execute("SET enable_seqscan = off")

    def ask(self, vector: FloatArray, effort: int) -> Ids:
        knob = "ivfflat.probes" if self.kind == "ivfflat" else "hnsw.ef_search"
        if effort != self._effort:
            self._db.execute(f"SET {knob} = {max(effort, self.near) if self.kind == 'hnsw' else effort}")
            self._effort = effort
        text = "[" + ",".join(map("{:.7g}".format, vector)) + "]"
        order = f"ORDER BY vector <#> %s::{self.column} LIMIT {self.near}"
        rows = self._db.execute(f"SELECT id FROM voices {order}", (text,), prepare=True).fetchall()
        return np.array([number for (number,) in rows], np.int64)

    def add(self, numbers: Ids, vectors: FloatArray) -> None:
        self._copy(numbers, vectors)

    def delete(self, numbers: Ids) -> None:
        self._db.execute("DELETE FROM voices WHERE id = ANY(%s)", (numbers.tolist(),))

    def save(self, folder: Path) -> None:
        self._db.execute("CHECKPOINT")

    def sizes(self) -> tuple[int, int]:
        """Bytes of the table and of the index of vectors."""
        return self._db.execute("SELECT pg_table_size('voices'), pg_relation_size('nearest')").fetchone()

    def close(self) -> None:
        self._db.close()
        self._run("pg_ctl", "-D", str(self._server), "-m", "fast", "-w", "stop")

    def _copy(self, numbers: Iterable[int], vectors: FloatArray) -> None:
        with self._db.cursor() as cursor, cursor.copy("COPY voices (id, vector) FROM STDIN") as copy:
            for number, vector in zip(numbers, vectors, strict=True):
                copy.write_row((int(number), "[" + ",".join(map("{:.7g}".format, vector)) + "]"))

    def _start(self, folder: Path) -> None:
        import psycopg

        self._server, new, self._effort = folder / "data", not (folder / "data").exists(), -1
        if new:
            if os.geteuid() == 0:
                shutil.chown(folder, "postgres")
            self._run("initdb", "-D", str(self._server), "-A", "trust", "-U", "postgres")
            # What queries read is to lie in memory, as it does in the other ways.
            settings = {"shared_buffers": "2GB", "listen_addresses": "''", "unix_socket_directories": f"'{folder}'"}
            settings |= {"max_parallel_workers": "0", "max_parallel_maintenance_workers": "0", "max_wal_size": "'8GB'"}
            with (self._server / "postgresql.conf").open("a") as file:
                file.writelines(f"{key} = {value}\n" for key, value in settings.items())
        self._run("pg_ctl", "-D", str(self._server), "-l", str(folder / "log"), "-w", "start")
        self._db = psycopg.connect(f"host={folder} user=postgres dbname=postgres", autocommit=True)

    def _run(self, program: str, *given: str) -> None:
        other = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # it refuses to run as root
        command = [*other, str(self.programs / program), *given]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, cwd="/")


_PROBES = (8, 16, 32, 64, 96, 128, 192, 256, 384, 512)
_GRAPH = (32, 64, 128, 256, 512, 1024)


def ways(postgres: Path | None) -> Mapping[str, Callable[[], Way]]:
    """All of them by name.

    Args:
        postgres: folder with PostgreSQL's programs; None leaves pgvector out.
    """
    found: dict[str, Callable[[], Way]] = {
        "exact float32": Exact,
        "faiss flat fp16": lambda: Faiss("IDMap2,SQfp16", (0,), 20),
        "faiss flat int8": lambda: Faiss("IDMap2,SQ8", (0,), 50),
        "faiss IVF float32": lambda: Faiss("IVF{lists},Flat", _PROBES),
        "faiss IVF int8": lambda: Faiss("IVF{lists},SQ8", _PROBES, 50),
        "faiss IVF 4 bits": lambda: Faiss("IVF{lists},SQ4", _PROBES, 100),
        "faiss IVF PQ 192x4 fast": lambda: Faiss("IVF{lists},PQ192x4fs", _PROBES, 512),
        "faiss IVF PQ 96x4 fast": lambda: Faiss("IVF{lists},PQ96x4fs", _PROBES, 512),
        "faiss IVF RaBitQ fast": lambda: Faiss("IVF{lists},RaBitQfs", _PROBES, 1024),
        "faiss HNSW float32": lambda: Faiss("HNSW16,Flat", _GRAPH, 10, "efSearch"),
        "faiss HNSW int8": lambda: Faiss("HNSW16,SQ8", _GRAPH, 50, "efSearch"),
        "usearch f32": lambda: Usearch("f32"),
        "usearch f16": lambda: Usearch("f16", 20),
        "usearch bf16": lambda: Usearch("bf16", 50),
        "usearch i8": lambda: Usearch("i8", 50),
        "hnswlib float32": Hnswlib,
        "LanceDB IVF_PQ": lambda: Lance("IVF_PQ", 200),
        "LanceDB HNSW_SQ": lambda: Lance("HNSW_SQ", 50, (50, 100, 200, 400, 800)),
    }
    if postgres is not None:
        found["pgvector HNSW vector"] = lambda: Pgvector(postgres, "hnsw", "vector")
        found["pgvector HNSW halfvec"] = lambda: Pgvector(postgres, "hnsw", "halfvec", 20)
        found["pgvector IVF vector"] = lambda: Pgvector(postgres, "ivfflat", "vector")
    return found
