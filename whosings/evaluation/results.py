"""Results on disk: one Parquet file a run, one row a probe; tables and figures read nothing else.

Conventions
-----------
- ``rank``, ``top_1`` and ``top_5`` are by majority vote of segments, the paper's rule, ties broken by chance on
  average; ``mean_rank``, ``mean_top_1`` and ``mean_top_5`` are by the mean probability of segments.
- ``probability`` is the mean probability of the best target.
- ``source_top_1`` is the chance that the vote names the singer whose performance was converted; NaN where that singer
  is not among the classes, and for real tracks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from whosings.errors import EvaluationError
from whosings.files import atomic, write_atomic


@dataclass(frozen=True)
class Row:
    """One probe of one run.

    Attributes:
        probe: track id.
        target: singer id; several of a duet are joined by ``;``.
        predicted: by majority vote; of several first ones the alphabetically first.
        segments: number of segments that voted.
        train_tracks: number of the target's training tracks.
        album_shared: whether the target trains with tracks of the probe's album; None where it is not known.
        source: the singer whose performance was converted to a clone; empty for real tracks.
        owner: whose band plays in a clone: ``source``, ``enrolled`` (another of the classes), ``other``, or empty.
    """

    set: str
    model: str
    head: str
    classes: int
    run: int
    probe: str
    target: str
    predicted: str
    rank: float
    top_1: float
    top_5: float
    mean_rank: float
    mean_top_1: float
    mean_top_5: float
    probability: float
    segments: int
    train_tracks: int
    album_shared: bool | None
    genre: str
    language: str
    clone_method: str
    source: str
    source_top_1: float
    owner: str


_PROBES = "probes.json"
_TYPES = {"str": pa.string(), "int": pa.int32(), "float": pa.float32(), "bool | None": pa.bool_()}
_SCHEMA = pa.schema([(field.name, _TYPES[str(field.type)]) for field in fields(Row)])


@dataclass(frozen=True)
class Results:
    """Rows as columns.

    Attributes:
        columns: (rows,) each, named as the fields of ``Row``.
    """

    columns: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.columns["probe"])

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.columns[column]

    def where(self, **values: Any) -> Results:
        """Rows in which each column has the value."""
        kept = np.ones(len(self), bool)
        for name, value in values.items():
            kept &= self.columns[name] == value
        return self.at(kept)

    def at(self, mask: NDArray[np.bool_]) -> Results:
        """Rows of a mask."""
        return Results({name: column[mask] for name, column in self.columns.items()})

    def groups(self, *names: str) -> Iterator[tuple[tuple[Any, ...], Results]]:
        """Rows by the values of some columns, in their order."""
        keys = list(zip(*(self.columns[name].tolist() for name in names), strict=True))
        for key in sorted(set(keys), key=lambda k: tuple((str(type(v)), v) for v in k)):
            yield key, self.at(np.array([k == key for k in keys]))


def run_path(folder: Path, name: str, run: int) -> Path:
    """Where a run's rows lie."""
    return folder / f"{name}-run{run:02d}.parquet"


def write_run(rows: Sequence[Row], path: Path, recipe: str) -> None:
    """Write a run's rows.

    Args:
        recipe: what they depend on, as a digest.
    """
    table = pa.Table.from_pylist([vars(row) for row in rows], _SCHEMA).replace_schema_metadata({"recipe": recipe})
    with atomic(path) as beside:
        pa.parquet.write_table(table, beside)


def is_done(path: Path, recipe: str) -> bool:
    """Whether a run's rows are there.

    Raises:
        EvaluationError: rows of something else are.
    """
    if not path.exists():
        return False
    found = (_schema(path).metadata or {}).get(b"recipe", b"").decode()
    if found != recipe:
        problem = "holds a run of other tracks, another encoder or other settings"
        raise EvaluationError(path, problem, "name another folder, or delete it")
    return True


def read_results(folder: str | Path) -> Results:
    """Every run in a folder.

    Raises:
        EvaluationError: there is none, or a file is no run.
    """
    paths = sorted(path for path in Path(folder).glob("*-run*.parquet") if path.name[0] != ".")
    if not paths:
        raise EvaluationError(folder, "holds no results", "make some: whosings evaluate closed")
    tables = []
    for path in paths:
        if _schema(path).names != _SCHEMA.names:
            raise EvaluationError(path, "is no table of results", "move it away")
        tables.append(pa.parquet.read_table(path))
    whole = pa.concat_tables([table.replace_schema_metadata(None) for table in tables])
    return Results({name: whole[name].to_numpy(zero_copy_only=False) for name in whole.column_names})


@dataclass(frozen=True)
class ProbeFile:
    """Where a probe can be heard.

    Attributes:
        path: the recording, as an absolute path.
        start_s: where its first sung segment begins, in seconds.
    """

    path: str
    start_s: float


def note_probes(folder: Path, probes: Mapping[str, ProbeFile]) -> None:
    """Add to ``probes.json`` in a folder of results where the recordings of these track ids lie.

    Raises:
        EvaluationError: the file is there and damaged.
    """
    known = {**probe_files(folder), **probes}
    write_summary(folder / _PROBES, {name: asdict(known[name]) for name in sorted(known)})


def probe_files(folder: Path) -> dict[str, ProbeFile]:
    """What ``note_probes`` noted; nothing where it noted nothing.

    Raises:
        EvaluationError: the file is damaged.
    """
    path = folder / _PROBES
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return {name: ProbeFile(str(one["path"]), float(one["start_s"])) for name, one in content.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise EvaluationError(path, "is damaged", "delete it, and evaluate again") from error


def write_summary(path: Path, summary: Any) -> None:
    """Plain values as JSON."""
    write_atomic(path, json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _schema(path: Path) -> pa.Schema:
    try:
        return pa.parquet.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise EvaluationError(path, "is damaged or no table of results", "delete it") from error
