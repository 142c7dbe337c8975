"""The verbs split and import, and the commands of docs/splits.md."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

from tests.catalogue import test_datasets, test_published
from whosings.catalogue.manifest import Manifest, Piece, Track, read_manifest, write_manifest
from whosings.catalogue.roles import assign_roles, read_roles, write_roles
from whosings.catalogue.splits import divide, keep_sung
from whosings.errors import ManifestError

PAGE = Path(__file__).parents[2] / "docs" / "splits.md"


def catalogue(folder: Path, singers: int = 20, tracks: int = 8) -> Manifest:
    """Singers with tracks on four albums; the last track of each is not sung; two clones of singers 0 and 1."""
    rows = [
        Track(f"{s}/{t}", f"s{s}", folder / f"audio/{s}-{t}.mp3", album=f"{t % 4}")
        for s in range(singers)
        for t in range(tracks)
    ]
    rows += [
        Track(f"clone/{s}", "s9", folder / f"audio/c{s}.mp3", cloned=True, target_singer_ids=(f"s{s}",)) for s in (0, 1)
    ]
    rows.append(Track("once", "lonely", folder / "audio/o.mp3", album="x"))
    pieces = [Piece(row.track_id, n * 3.0, float(row.track_id[-1] != "7" or n == 0)) for row in rows for n in range(3)]
    manifest = Manifest(tuple(rows), tuple(pieces))
    write_manifest(manifest, folder / "songs.parquet")
    return manifest


def test_split(run, tmp_path):
    whole = catalogue(tmp_path)
    code, out, err = run("split", tmp_path / "songs.parquet", "--out", tmp_path / "sets", "--seed", 3)
    assert (code, err) == (0, "")
    sets = divide(whole, seed=3)
    for name in ("train", "validation", "closed", "cloned"):
        assert read_manifest(tmp_path / f"sets/{name}.parquet") == getattr(sets, name)
    expected = assign_roles(sets.closed, seed=3)
    assert read_roles(tmp_path / "sets/closed.parquet") == expected
    assert {path.name for path in (tmp_path / "sets").iterdir()} == {
        f"{name}.{kind}parquet" for name in ("train", "validation", "closed", "cloned") for kind in ("", "segments.")
    } | {"closed.roles.parquet"}
    assert [re.split("  +", line.strip()) for line in out.splitlines()] == [
        ["set", "singers", "tracks"],
        ["train", "14", "112"],
        ["validation", "2", "4"],
        ["closed", "4", "32"],
        ["cloned", "2", "2"],
        ["closed, train", "4", "24"],
        ["closed, validation", "4", "4"],
        ["closed, test", "4", "4"],
        ["1 left out: 1 of 2 real tracks needed"],
    ]


def test_split_as_json(run, tmp_path):
    whole = catalogue(tmp_path)
    words = ["--closed", 5, "--validation", 0.25, "--by-album", "--json"]
    code, out, _ = run("split", tmp_path / "songs.parquet", "-o", tmp_path / "sets", *words)
    assert code == 0
    assert json.loads(out) == {
        "sets": {
            "train": {"singers": 10, "tracks": 80},
            "validation": {"singers": 5, "tracks": 10},
            "closed": {"singers": 5, "tracks": 40},
            "cloned": {"singers": 2, "tracks": 2},
        },
        "roles": {
            "train": {"singers": 5, "tracks": 20},
            "validation": {"singers": 5, "tracks": 5},
            "test": {"singers": 5, "tracks": 5},
        },
        "left_out": [{"singer_id": "lonely", "reason": "1 of 2 real tracks needed"}],
    }
    split = read_roles(tmp_path / "sets/closed.parquet")
    assert split.album_disjoint
    assert split == assign_roles(divide(whole, 5, 0.25).closed, by_album=True)


def test_open_set_of_sung_tracks(run, tmp_path):
    whole = catalogue(tmp_path)
    words = ["--open-set", "--sung", 0.5, "--json"]
    code, out, _ = run("split", tmp_path / "songs.parquet", "-o", tmp_path / "sets", *words)
    assert code == 0
    assert [path.name for path in sorted((tmp_path / "sets").iterdir())] == [
        "open.parquet", "open.roles.parquet", "open.segments.parquet",
    ]  # fmt: skip
    sung = keep_sung(whole, 0.5)
    assert len(sung.tracks) == len(whole.tracks) - 20
    assert read_manifest(tmp_path / "sets/open.parquet") == sung
    found = json.loads(out)
    assert found["roles"]["test"] == {"singers": 20, "tracks": 20}
    assert found["left_out"] == [{"singer_id": "lonely", "reason": "1 of 5 real tracks needed"}]


def test_sets_that_are_empty_now_are_removed(run, tmp_path):
    catalogue(tmp_path)
    sets = tmp_path / "sets"
    assert run("split", tmp_path / "songs.parquet", "-o", sets)[0] == 0
    whole = read_manifest(tmp_path / "songs.parquet")
    write_manifest(Manifest(tuple(t for t in whole.tracks if not t.cloned)), tmp_path / "songs.parquet")
    assert run("split", tmp_path / "songs.parquet", "-o", sets, "--closed", 0, "--validation", 0)[0] == 0
    assert [path.name for path in sets.iterdir()] == ["train.parquet"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--closed", 30], "the closed set: needs 28 singers and 18 more have 7 real tracks"),
        (["--closed", 1], "has room for 1 singers and clones imitate 2"),
        (["--validation", 18], "the validation set: needs 18 singers and 16 more"),
        (["--closed", 2.5], "is no number of singers"),
        (["--sung", 1], ""),
    ],
)
def test_one_sentence_and_nothing_written(run, tmp_path, words, says):
    whole = catalogue(tmp_path)
    if not says:
        write_manifest(Manifest(whole.tracks), tmp_path / "songs.parquet")
        says = "has no pieces that say where it is sung"
    code, out, err = run("split", tmp_path / "songs.parquet", "-o", tmp_path / "sets", *words)
    assert (code, out) == (1, "")
    assert says in err
    assert err.strip().endswith(".")
    assert err.count("\n") == 1
    assert not (tmp_path / "sets").exists()


def test_albums_that_are_not_known(run, tmp_path):
    rows = [f"t{n},s{n // 8},{n}.mp3" for n in range(80)]
    (tmp_path / "m.csv").write_text("\n".join(["track_id,singer_id,path", *rows]))
    code, _, err = run("split", tmp_path / "m.csv", "-o", tmp_path / "sets", "--by-album")
    assert code == 1
    assert "has no singer with enough albums" in err


def test_wrong_usage(run, tmp_path):
    catalogue(tmp_path)
    songs = tmp_path / "songs.parquet"
    assert run("split", songs, "-o", tmp_path / "sets", "--open-set", "--closed", 3)[0] == 2
    assert run("split", songs)[0] == 2
    songs.rename(tmp_path / "train.parquet")
    before = (tmp_path / "train.parquet").read_bytes()
    code, _, err = run("split", tmp_path / "train.parquet", "-o", tmp_path)
    assert code == 2
    assert "would be overwritten" in " ".join(err.split())
    assert (tmp_path / "train.parquet").read_bytes() == before


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_import_published(run, tmp_path, ending):
    test_published.put(tmp_path / "paper", "mtg", test_published.MTG_FILES)
    (tmp_path / "audio/01").mkdir(parents=True)
    (tmp_path / "audio/01/7401.mp3").touch()
    table = tmp_path / f"mtg{ending}"
    words = ["import", "mtg", tmp_path / "paper", "--audio", tmp_path / "audio", "-o", table]
    code, out, err = run(*words)
    assert code == 0
    assert "4 of 5 audio files are not there" in err
    assert [line.split() for line in out.splitlines()][1:] == [
        ["mtg", "1", "5"], ["mtg,", "train", "1", "3"], ["mtg,", "validation", "1", "1"], ["mtg,", "test", "1", "1"],
    ]  # fmt: skip
    split = read_roles(table)
    assert [track.track_id for track in split.test.tracks] == ["03/3.mp3"]
    assert split.test.pieces == (Piece("03/3.mp3", 3.0, 1.0),)
    missing = json.loads(run(*words, "--json")[1])["missing"]
    assert len(missing) == 4
    assert str(tmp_path / "audio/03/3.mp3") in missing


def test_import_metadata(run, tmp_path):
    source = test_datasets.fma(tmp_path)
    table = tmp_path / "fma.parquet"
    code, out, _ = run("import", "fma", source, "--audio", tmp_path / "audio", "-o", table, "--json")
    assert code == 0
    assert json.loads(out)["sets"] == {"fma": {"singers": 2, "tracks": 3}}
    assert json.loads(out)["roles"] == {}
    assert read_manifest(table).tracks[0].album == "First, Album"
    assert not (tmp_path / "fma.roles.parquet").exists()


def test_imports_that_fail(run, tmp_path):
    for source, says in ((tmp_path / "gone.csv", "no such file"), (tmp_path, "no such file")):
        code, out, err = run("import", "fma", source, "--audio", tmp_path, "-o", tmp_path / "fma.parquet")
        assert (code, out) == (1, "")
        assert says in err
    assert run("import", "msd", tmp_path, "--audio", tmp_path, "-o", tmp_path / "x.parquet")[0] == 2
    assert not list(tmp_path.iterdir())


def test_the_page(run, tmp_path, monkeypatch):
    """The commands of docs/splits.md, on a small catalogue and small files of the data sets' form."""
    monkeypatch.chdir(tmp_path)
    catalogue(tmp_path)
    test_published.put(tmp_path / "paper", "fma", test_published.FMA_FILES)
    test_published.put(tmp_path / "paper", "mtg", test_published.MTG_FILES)
    songs = [[str(n), "", str(n % 4), f"Album {n % 4}", str(n // 8), "", "", "", "", "A song"] for n in range(16)]
    test_datasets.fma(tmp_path, songs)
    with (tmp_path / "raw_30s.tsv").open("w", newline="") as file:
        rows = [["t", "artist_1", f"album_{n % 4}", f"{n:02}/{n}.mp3", "60", "genre---pop"] for n in range(8)]
        head = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]
        csv.writer(file, csv.excel_tab).writerows([head, *rows])
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    commands = re.findall(r"^\$ whosings (.*)", "".join(blocks), re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        code, _, err = run(*shlex.split(command))
        assert code == 0, (command, err)
    code = re.search(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert code is not None
    exec(compile(code[1], str(PAGE), "exec"), {})


def test_an_open_set_beside_a_closed_one_is_refused(run, tmp_path):
    """``evaluate`` would read the closed one."""
    catalogue(tmp_path)
    assert run("split", tmp_path / "songs.parquet", "-o", tmp_path / "sets")[0] == 0
    code, _, err = run("split", tmp_path / "songs.parquet", "-o", tmp_path / "sets", "--open-set")
    assert code == 2 and "holds closed.parquet" in " ".join(err.split())


def test_an_import_never_takes_its_source_or_leaves_old_roles(run, tmp_path):
    source = tmp_path / "tracks.csv"
    source.write_text("anything")
    code, _, err = run("import", "fma", source, "--audio", tmp_path, "-o", source)
    assert code == 2 and "would be overwritten" in " ".join(err.split()) and source.read_text() == "anything"
    catalogue(tmp_path)
    songs = tmp_path / "songs.parquet"
    manifest = read_manifest(songs)
    write_roles(assign_roles(manifest), songs)
    assert read_roles(songs).test.tracks
    write_manifest(manifest, songs)
    with pytest.raises(ManifestError, match="no such file"):
        read_roles(songs)
