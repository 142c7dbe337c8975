"""Embeddings as a folder of parts: no row twice, gaps are filled, and nothing of another encoder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.dataset
import pyarrow.parquet
import pytest

from whosings import storage
from whosings.embedding import Embeddings
from whosings.embedding_parts import EmbeddingParts
from whosings.errors import ManifestError
from whosings.vocals.activity import Activity

FINGERPRINT = "a" * 64


def track(number: int, value: float = 0.0) -> Embeddings:
    vectors = np.full((number % 3 + 1, 4), value + number, np.float32)
    starts = np.arange(len(vectors), dtype=np.float64)
    return Embeddings(
        f"t{number}", vectors, starts, starts, 1.0, 9.0, FINGERPRINT, False, Activity(starts, starts, "x")
    )


def fill(folder: Path, numbers: range, content: str = "one", size: int = 4) -> int:
    with EmbeddingParts(f"{folder}/", FINGERPRINT, size) as parts:
        for number in numbers:
            if not parts.holds(f"/{number}", content):
                parts.add(track(number, {"one": 0.0, "two": 100.0}[content]), f"/{number}", content)
        return parts.finish()


def rows(folder: Path) -> list[tuple[str, float, float]]:
    files = sorted(folder.glob("*.parquet"))
    table = pyarrow.dataset.dataset(files).to_table()
    first = [vector[0] for vector in table["embedding"].to_pylist()]
    return sorted(zip(table["source"].to_pylist(), table["start_s"].to_pylist(), map(float, first), strict=True))


def expected(numbers: range, of: dict[int, float] | None = None) -> list[tuple[str, float, float]]:
    return sorted(
        (f"/{n}", float(place), float(n + (of or {}).get(n, 0.0))) for n in numbers for place in range(n % 3 + 1)
    )


def test_rows_are_there_once_and_the_same_is_the_same_file(tmp_path):
    assert fill(tmp_path / "a", range(10)) == len(expected(range(10))) == 19
    assert rows(tmp_path / "a") == expected(range(10))
    assert fill(tmp_path / "b", range(10)) == 19
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()
    }
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "a").iterdir()}
    assert fill(tmp_path / "a", range(10)) == 19
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "a").iterdir()} == before


def test_a_rerun_fills_gaps_of_half_written_and_lost_parts(tmp_path):
    fill(tmp_path, range(12))
    one, two, three = sorted(tmp_path.glob("*.parquet"))
    one.write_bytes(one.read_bytes()[:100])
    two.unlink()
    three.with_suffix(".keys").write_bytes(b"no table")
    (tmp_path / "notes.txt").write_text("somebody's")
    assert fill(tmp_path, range(12)) == len(expected(range(12)))
    assert rows(tmp_path) == expected(range(12)) and (tmp_path / "notes.txt").exists()


def test_a_track_that_changed_takes_the_place_of_itself(tmp_path):
    fill(tmp_path, range(10))
    with EmbeddingParts(str(tmp_path), FINGERPRINT) as parts:
        assert parts.holds("/3", "one") and not parts.holds("/3", "two") and not parts.holds("/77", "one")
    fill(tmp_path, range(3, 5), "two")
    assert rows(tmp_path) == expected(range(10), {3: 100.0, 4: 100.0})
    assert len(list(tmp_path.glob("*.parquet"))) == len(list(tmp_path.glob("*.keys")))


def test_a_track_that_changed_into_one_without_singing_is_there_no_more(tmp_path):
    fill(tmp_path, range(6))
    silent = replace(track(3), vectors=np.zeros((0, 4), np.float32), start_s=np.zeros(0), vocal=np.zeros(0))
    with EmbeddingParts(str(tmp_path), FINGERPRINT) as parts:
        parts.add(silent, "/3", "two")
        assert parts.finish() == len(rows(tmp_path))
    assert rows(tmp_path) == [row for row in expected(range(6)) if row[0] != "/3"]


def test_two_runs_at_once_leave_every_row_once(tmp_path):
    with EmbeddingParts(str(tmp_path), FINGERPRINT, 3) as one, EmbeddingParts(str(tmp_path), FINGERPRINT, 4) as other:
        for number in range(9):
            one.add(track(number), f"/{number}", "one")
            other.add(track(8 - number), f"/{8 - number}", "one")
        other.finish()
        assert one.finish() == len(expected(range(9)))
    assert rows(tmp_path) == expected(range(9))


def test_a_part_that_a_run_beginning_meanwhile_took_away_is_told(tmp_path, monkeypatch):
    def put(path, location):
        storage.put(path, location)
        if location.endswith(".keys"):
            with EmbeddingParts(str(tmp_path), FINGERPRINT):
                """It finds keys without a part."""

    with EmbeddingParts(str(tmp_path), FINGERPRINT) as parts:
        parts.add(track(1), "/1", "one")
        monkeypatch.setattr("whosings.embedding_parts.put", put)
        with pytest.raises(ManifestError, match=r"lacks 1 tracks of this run.*run again"):
            parts.finish()
    monkeypatch.undo()
    assert fill(tmp_path, range(3)) == len(expected(range(3)))


def test_a_run_that_ends_in_the_middle_leaves_whole_parts(tmp_path):
    with pytest.raises(KeyboardInterrupt), EmbeddingParts(str(tmp_path), FINGERPRINT, 4) as parts:
        for number in range(6):
            parts.add(track(number), f"/{number}", "one")
        raise KeyboardInterrupt
    assert rows(tmp_path) == expected(range(6))


def test_another_encoders_rows_are_refused(tmp_path):
    fill(tmp_path, range(2))
    with pytest.raises(ManifestError, match="holds embeddings of encoder aaaaaaaaaaaa, not bbbbbbbbbbbb"):
        EmbeddingParts(str(tmp_path), "b" * 64)


def test_embed_writes_parts_as_it_writes_a_file(run, tiny, small_choir, tmp_path):
    songs = [track.path for track in small_choir.tracks[:3]]
    bad = tmp_path / "bad.mp3"
    bad.write_text("none")
    code, _, err = run("embed", *songs, bad, "--out", f"{tmp_path}/parts/", "--encoder", tiny.folder)
    assert code == 1 and "bad.mp3" in err
    assert run("embed", *songs, "--out", tmp_path / "e.parquet", "--encoder", tiny.folder)[0] == 0
    whole = pyarrow.parquet.read_table(tmp_path / "e.parquet").sort_by(
        [("source", "ascending"), ("start_s", "ascending")]
    )
    parts = pyarrow.dataset.dataset(sorted((tmp_path / "parts").glob("*.parquet"))).to_table()
    assert parts.sort_by([("source", "ascending"), ("start_s", "ascending")]).equals(whole)


def test_embed_takes_folders_and_lists(run, tiny, small_choir, tmp_path):
    songs = sorted(track.path for track in small_choir.tracks[:2])
    folder, names = tmp_path / "songs", tmp_path / "songs.txt"
    folder.mkdir()
    for number, path in enumerate(songs):
        (folder / f"{number}.flac").write_bytes(path.read_bytes())
    names.write_text(f"songs/0.flac\n{folder}/1.flac\n")
    (tmp_path / "empty").mkdir()
    tables = []
    for name, given in (("folder", folder), ("list", names)):
        code, _, err = run(
            "embed", given, tmp_path / "empty", "-o", tmp_path / f"{name}.parquet", "--encoder", tiny.folder
        )
        assert code == 1 and "holds no audio files" in err
        tables.append(pyarrow.parquet.read_table(tmp_path / f"{name}.parquet").sort_by("source"))
    assert set(tables[0]["source"].to_pylist()) == {str(folder / "0.flac"), str(folder / "1.flac")}
    assert tables[0].drop(["track_id"]).equals(tables[1].drop(["track_id"]))
