"""Tables on disk: what is written is read, in both formats, in any number of batches; bad tables are told."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whosings.catalogue.table_files import read_table, write_table
from whosings.errors import ManifestError

SCHEMA = pa.schema(
    [("name", pa.string()), ("level", pa.float64()), ("cloned", pa.bool_()), ("targets", pa.list_(pa.string()))]
)
words = st.text(st.characters(exclude_categories=["C"], exclude_characters=";"), min_size=1, max_size=8).filter(
    lambda text: text.strip() == text
)
rows = st.fixed_dictionaries(
    {
        "name": words,
        "level": st.none() | st.floats(-1e6, 1e6),
        "cloned": st.none() | st.booleans(),
        "targets": st.none() | st.lists(words, min_size=1, max_size=3),
    }
)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.lists(rows, max_size=7))
def test_written_is_read(tmp_path: Path, ending: str, table: list, monkeypatch) -> None:
    monkeypatch.setattr("whosings.catalogue.table_files._BATCH", 3)
    path = tmp_path / f"table.{ending}"
    assert write_table(iter(table), SCHEMA, path) == len(table)
    assert read_table(path, SCHEMA, ["name"]).to_pylist() == table


def test_formulas_do_not_reach_spreadsheets_and_are_read_back(tmp_path: Path) -> None:
    names = ["=HYPERLINK(1)", "+1", "-1", "@SUM", "\ta", "'=x", "'t Hof", "plain", "＝1"]
    table = [{"name": name, "level": -1.0, "cloned": None, "targets": [name, "b"]} for name in names]
    path = tmp_path / "table.csv"
    write_table(iter(table), SCHEMA, path)
    cells = [line.split(",")[0].strip('"') for line in path.read_text().splitlines()[1:]]
    assert cells == [f"'{name}" if name not in ("'t Hof", "plain") else name for name in names]
    assert read_table(path, SCHEMA, ["name"]).to_pylist() == table


def test_optional_columns_are_null(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("name\nann\n")
    assert read_table(tmp_path / "table.csv", SCHEMA, ["name"]).to_pylist() == [
        {"name": "ann", "level": None, "cloned": None, "targets": None}
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("name,colour\na,b\n", "unknown column colour"),
        ("level\n1\n", "has no column name"),
        ("name,name\na,b\n", "has column name more than once"),
        ("name,level\na,loud\n", "cannot be read"),
    ],
)
def test_bad_tables(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "table.csv").write_text(content)
    with pytest.raises(ManifestError, match=says):
        read_table(tmp_path / "table.csv", SCHEMA, ["name"])


def test_endings_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"ending \.xlsx"):
        write_table([], SCHEMA, tmp_path / "table.xlsx")
    with pytest.raises(ManifestError, match="no such file"):
        read_table(tmp_path / "none.csv", SCHEMA, [])
    (tmp_path / "table.txt").write_text("")
    with pytest.raises(ManifestError, match=r"ending \.txt"):
        read_table(tmp_path / "table.txt", SCHEMA, [])


def test_an_interrupted_write_leaves_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_table([{"name": "old"}], SCHEMA, path)

    def failing():
        yield {"name": "new"}
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_table(failing(), SCHEMA, path)
    assert [row["name"] for row in read_table(path, SCHEMA, []).to_pylist()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_ids_that_are_numbers_become_text(tmp_path: Path) -> None:
    """NaN among them, as pandas writes a gap, is no value; and text must be UTF-8."""
    path, schema = tmp_path / "t.parquet", pa.schema([("id", pa.string())])
    for ids, want in (([1, 20], ["1", "20"]), ([1.0, float("nan")], ["1", None])):
        pyarrow.parquet.write_table(pa.table({"id": ids}), path)
        assert read_table(path, schema, ["id"])["id"].to_pylist() == want
    bad = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    pyarrow.parquet.write_table(pa.table({"id": bad}), path)
    with pytest.raises(ManifestError, match="Invalid UTF8"):
        read_table(path, schema, ["id"])
