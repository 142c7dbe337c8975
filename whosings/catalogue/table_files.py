"""Tables on disk: Parquet or CSV by the ending, with a fixed schema, validated when read, written as a stream.

In CSV, lists are separated by ``;`` and booleans are ``true`` or ``false``; an empty cell is no value. An apostrophe
stands before text that a spreadsheet would take for a formula, and is taken away when the table is read. Numbers are
read as text where text is wanted, and NaN among them as no value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from whosings.errors import ManifestError
from whosings.files import atomic
from whosings.safe_text import from_cell, to_cell

_BATCH = 5_000  # rows in memory at a time


def read_table(path: Path, schema: pa.Schema, required: Sequence[str]) -> pa.Table:
    """A Parquet or CSV table with the schema's columns; those that are optional and absent are null.

    Raises:
        ManifestError: missing or unreadable file, unknown, repeated or missing columns, values of the wrong type.
    """
    if not path.exists():
        raise ManifestError(path, "no such file", "check the path")
    check_ending(path)
    try:
        if path.suffix == ".parquet":
            table = pa.parquet.read_table(path)
        else:
            options = pa.csv.ConvertOptions(
                column_types={column.name: column.type for column in _flat(schema)},
                strings_can_be_null=True,
                null_values=[""],  # a song may be called NA
            )
            table = _without_quotes(pa.csv.read_csv(path, convert_options=options))
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(
            path, f"cannot be read ({str(error).splitlines()[0].rstrip('.')})", "correct the table"
        ) from error
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise ManifestError(path, f"has column {twice[0]} more than once", "keep one of them")
    unknown = [name for name in table.column_names if name not in schema.names]
    if unknown:
        raise ManifestError(path, f"unknown column {unknown[0]}", f"the columns are {', '.join(schema.names)}")
    if path.suffix == ".csv":
        for name in _list_columns(schema) & set(table.column_names):
            values = [text.split(";") if text else None for text in table[name].to_pylist()]
            column = pa.array(values, pa.list_(pa.string()))
            table = table.set_column(table.column_names.index(name), name, column)
    for name in required:
        if name not in table.column_names:
            raise ManifestError(path, f"has no column {name}", f"{', '.join(required)} are required")
    for column in schema:
        if column.name not in table.column_names:
            table = table.append_column(column, pa.nulls(table.num_rows, column.type))
    try:
        table = _with_empty_nan(table.select(schema.names), schema).cast(schema)
        table.validate(full=True)  # text may be no UTF-8
        return table
    except (pa.ArrowException, ValueError) as error:
        raise ManifestError(
            path, f"has a column of the wrong type ({str(error).splitlines()[0].rstrip('.')})", "correct the table"
        ) from error


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows by column, made as they are asked for: a million at once are a burden on memory and garbage collection."""
    for batch in table.to_batches(max_chunksize=_BATCH):
        yield from batch.to_pylist()


def write_table(rows: Iterable[Mapping[str, Any]], schema: pa.Schema, path: Path) -> int:
    """Write rows as they come, whole or not at all; how many there were.

    Raises:
        ManifestError: an ending other than ``.parquet`` and ``.csv``.
    """
    check_ending(path)
    csv = path.suffix == ".csv"
    lists = _list_columns(schema)
    waiting, count = iter(rows), 0
    written = _flat(schema) if csv else schema
    writer: Any = pa.csv.CSVWriter if csv else pa.parquet.ParquetWriter
    with atomic(path) as beside, writer(beside, written) as table:
        while batch := list(islice(waiting, _BATCH)):
            if csv:
                batch = [{**row, **{name: ";".join(row.get(name) or ()) or None for name in lists}} for row in batch]
                batch = [{k: to_cell(v) if isinstance(v, str) else v for k, v in row.items()} for row in batch]
            table.write_table(pa.Table.from_pylist(batch, written))
            count += len(batch)
    return count


def check_ending(path: Path) -> None:
    """Refuse a table of another kind than Parquet or CSV.

    Raises:
        ManifestError: the file's ending is neither ``.parquet`` nor ``.csv``.
    """
    if path.suffix not in (".parquet", ".csv"):
        raise ManifestError(path, f"has the ending {path.suffix or '(none)'}", "use .parquet or .csv")


def _without_quotes(table: pa.Table) -> pa.Table:
    """The cells as they were before they were kept from spreadsheets."""
    for place, column in enumerate(table.schema):
        if pa.types.is_string(column.type) and pa.compute.any(pa.compute.starts_with(table[place], "'")).as_py():
            cells = [None if text is None else from_cell(text) for text in table[place].to_pylist()]
            table = table.set_column(place, column.name, pa.array(cells, pa.string()))
    return table


def _with_empty_nan(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Where text is wanted and numbers are given, as pandas makes them of ids with gaps, NaN is no value."""
    for number, column in enumerate(schema):
        if pa.types.is_string(column.type) and pa.types.is_floating(table.schema.field(number).type):
            given = table.column(number)
            kept = pa.compute.if_else(pa.compute.is_nan(given), None, given)
            table = table.set_column(number, column.name, kept)
    return table


def _list_columns(schema: pa.Schema) -> set[str]:
    return {column.name for column in schema if pa.types.is_list(column.type)}


def _flat(schema: pa.Schema) -> pa.Schema:
    """As in CSV, where lists are text."""
    lists = _list_columns(schema)
    return pa.schema([pa.field(c.name, pa.string() if c.name in lists else c.type) for c in schema])
