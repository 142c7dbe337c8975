"""Rows on disk and back, groups, and files that are no results."""

import numpy as np
import pytest

from whosings.errors import EvaluationError
from whosings.evaluation.results import Results, Row, is_done, read_results, run_path, write_run, write_summary


def row(**changes):
    plain = {
        **dict.fromkeys(("model", "head", "predicted", "genre", "language", "clone_method", "source", "owner"), "x"),
        **{"set": "closed", "classes": 10, "run": 0, "probe": "p", "target": "t", "segments": 3, "train_tracks": 4},
        **dict.fromkeys(("rank", "top_1", "top_5", "mean_rank", "mean_top_1", "mean_top_5", "probability"), 0.5),
        **{"source_top_1": float("nan"), "album_shared": None},
    }
    return Row(**{**plain, **changes})


def test_rows_come_back_as_columns(tmp_path):
    rows = [row(probe="é", top_1=1.0, album_shared=True), row(probe="b", source_top_1=0.25, album_shared=False), row()]
    write_run(rows[:2], run_path(tmp_path, "closed-m", 0), "r")
    write_run(rows[2:], run_path(tmp_path, "closed-m", 1), "r")
    results = read_results(tmp_path)
    assert results["probe"].tolist() == ["é", "b", "p"] and results["top_1"].tolist() == [1.0, 0.5, 0.5]
    assert results["album_shared"].tolist() == [True, False, None]
    np.testing.assert_array_equal(np.isnan(results["source_top_1"]), [True, False, True])


def test_rows_are_chosen_and_grouped():
    columns = {"probe": np.array(["a", "b", "c"]), "run": np.array([1, 0, 1]), "set": np.array(["x", "x", "y"])}
    results = Results(columns)
    assert results.where(run=1, set="x")["probe"].tolist() == ["a"]
    grouped = {key: rows["probe"].tolist() for key, rows in results.groups("set", "run")}
    assert grouped == {("x", 0): ["b"], ("x", 1): ["a"], ("y", 1): ["c"]} and list(grouped) == sorted(grouped)


def test_only_the_same_run_counts_as_done(tmp_path):
    path = run_path(tmp_path, "n", 3)
    assert not is_done(path, "r")
    write_run([row()], path, "r")
    assert is_done(path, "r")
    with pytest.raises(EvaluationError, match="holds a run of other tracks"):
        is_done(path, "s")
    path.write_bytes(b"PAR1")
    with pytest.raises(EvaluationError, match="damaged or no table"):
        is_done(path, "r")


def test_folders_without_results(tmp_path):
    with pytest.raises(EvaluationError, match="holds no results; make some"):
        read_results(tmp_path)
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "x-run00.parquet")
    with pytest.raises(EvaluationError, match="is no table of results"):
        read_results(tmp_path)


def test_a_summary_is_plain_json_or_not_there(tmp_path):
    write_summary(tmp_path / "deep/s.json", [{"a": 1.5, "é": None}])
    assert (tmp_path / "deep/s.json").read_text().startswith("[")
    with pytest.raises(ValueError):
        write_summary(tmp_path / "bad.json", {"a": float("nan")})
    assert not (tmp_path / "bad.json").exists()
