"""Tables of tracks and pieces: round trips, validation, folders."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whosings.catalogue.manifest import (
    TRACK_COLUMNS,
    Manifest,
    Piece,
    Track,
    from_folder,
    open_manifest,
    read_manifest,
    write_manifest,
)
from whosings.errors import ManifestError

ENDINGS = [".parquet", ".csv"]


def full(folder: Path) -> Manifest:
    """Every column filled, and every optional one empty."""
    first = Track(
        "t1", "s1", folder / "a" / "song.mp3", 'Say "no"; twice, please', "Live, 1999", folder / "a" / "vocals.flac",
        folder / "a" / "band.flac", "rock", "pt-BR", "1999-12-31", True, ("s2", "s3"), "CC-BY-4.0", "ab" * 32,
    )  # fmt: skip
    bare = Track("t2", "s2", folder / "b.flac")
    same_singer = Track("t3", "s1", folder / "c.flac", title="Línea", target_singer_ids=("s9",))
    pieces = (Piece("t1", 0.0, 0.25), Piece("t3", 0.0, 1.0), Piece("t1", 3.0, 1 / 3))
    return Manifest((first, bare, same_singer), pieces)


def refused(path: Path, *mentions: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    message = str(caught.value)
    assert message.endswith(".") and not message.endswith("..") and "\n" not in message
    for mention in mentions:
        assert mention in message


@pytest.mark.parametrize("ending", ENDINGS)
def test_round_trip(tmp_path: Path, ending: str) -> None:
    path, manifest = tmp_path / f"songs{ending}", full(tmp_path)
    write_manifest(manifest, path)
    again = read_manifest(path)
    assert again == manifest
    assert {file.name for file in tmp_path.iterdir()} == {f"songs{ending}", f"songs.segments{ending}"}
    assert open_manifest(str(path)) == manifest


@pytest.mark.parametrize("ending", ENDINGS)
def test_round_trip_without_pieces(tmp_path: Path, ending: str) -> None:
    path, manifest = tmp_path / f"songs{ending}", Manifest(full(tmp_path).tracks[1:2])
    write_manifest(manifest, path)
    assert read_manifest(path) == manifest
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


name = st.text("abcäß-_.0123456789 ", min_size=1, max_size=12).map(lambda s: "x" + " ".join(s.split()))


@settings(max_examples=30, deadline=None)
@given(
    ids=st.lists(name, min_size=1, max_size=4, unique=True),
    title=st.none() | name,
    album=st.none() | name,
    targets=st.lists(name.filter(lambda s: ";" not in s), max_size=3),
    cloned=st.booleans(),
    ending=st.sampled_from(ENDINGS),
)
def test_any_table_survives(
    tmp_path_factory: pytest.TempPathFactory,
    ids: list[str],
    title: str | None,
    album: str | None,
    targets: list[str],
    cloned: bool,
    ending: str,
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    manifest = Manifest(
        tuple(
            Track(i, f"singer {i}", folder / i, title, album, cloned=cloned, target_singer_ids=tuple(targets))
            for i in ids
        )
    )
    write_manifest(manifest, folder / f"songs{ending}")
    assert read_manifest(folder / f"songs{ending}") == manifest


@pytest.mark.parametrize("ending", ENDINGS)
def test_ids_of_digits_stay_text(tmp_path: Path, ending: str) -> None:
    manifest = Manifest((Track("007", "0042", tmp_path / "1.mp3", title="99", release_date="1999"),))
    write_manifest(manifest, tmp_path / f"songs{ending}")
    assert read_manifest(tmp_path / f"songs{ending}") == manifest


@pytest.mark.parametrize("ending", ENDINGS)
def test_paths_move_with_the_folder(tmp_path: Path, ending: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    outside = tmp_path / "elsewhere" / "song.mp3"
    write_manifest(Manifest((Track("t1", "s", here / "a.mp3"), Track("t2", "s", outside))), here / f"songs{ending}")
    shutil.move(here, there)
    tracks = read_manifest(there / f"songs{ending}").tracks
    assert (tracks[0].path, tracks[1].path) == (there / "a.mp3", outside)


def test_links_are_written_as_what_they_lead_to(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (there / "song.mp3").touch()
    (here / "link.mp3").symlink_to(there / "song.mp3")
    (here / "folder").symlink_to(there)
    (tmp_path / "again").symlink_to(here)
    files = ["link.mp3", "folder/song.mp3", "own.mp3", "gone/own.mp3", "../again/own.mp3"]
    table = tmp_path / "again" / "songs.parquet"
    write_manifest(Manifest(tuple(Track(name, "s", here / name) for name in files)), table)
    outside = str(there / "song.mp3")
    written = pa.parquet.read_table(table)["path"].to_pylist()
    assert written == [outside, outside, "own.mp3", "gone/own.mp3", "own.mp3"]


def test_grouping(tmp_path: Path) -> None:
    manifest = full(tmp_path)
    first, bare, same_singer = manifest.tracks
    assert list(manifest.by_singer.items()) == [("s1", (first, same_singer)), ("s2", (bare,))]
    assert manifest.pieces_by_track == {"t1": (manifest.pieces[0], manifest.pieces[2]), "t3": (manifest.pieces[1],)}


def test_missing_audio(tmp_path: Path) -> None:
    (tmp_path / "here.mp3").touch()
    (tmp_path / "folder.mp3").mkdir()
    files = [tmp_path / name for name in ("gone.mp3", "here.mp3", "folder.mp3")]
    manifest = Manifest(tuple(Track(path.stem, "s", path) for path in files))
    assert manifest.missing_audio() == (files[0], files[2])
    files[0].touch()
    assert manifest.missing_audio() == (files[2],)


# Tables by hand


def csv(folder: Path, *lines: str, name: str = "songs.csv") -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_required_columns_are_enough(tmp_path: Path) -> None:
    path = csv(tmp_path, "path,singer_id,track_id", "a.mp3,ann,1", "b.mp3,bob,2")
    assert read_manifest(path).tracks == (Track("1", "ann", tmp_path / "a.mp3"), Track("2", "bob", tmp_path / "b.mp3"))


def test_booleans_and_lists_in_csv(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "track_id,singer_id,path,cloned,target_singer_ids",
        "1,a,x.mp3,true,b;c",
        "2,a,y.mp3,false,",
        "3,a,z.mp3,,d",
    )
    got = [(track.cloned, track.target_singer_ids) for track in read_manifest(path).tracks]
    assert got == [(True, ("b", "c")), (False, ()), (False, ("d",))]


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    head = "track_id,singer_id,path"
    refused(csv(tmp_path, head + ",singer", "1,a,x.mp3,b"), "unknown column singer", "songs.csv")
    for missing in ("track_id", "singer_id", "path"):
        columns = [column for column in head.split(",") if column != missing]
        refused(csv(tmp_path, ",".join(columns), "1,2"), f"has no column {missing}")
    refused(csv(tmp_path, head, "1,a,x.mp3", "2,a,y.mp3", "1,b,z.mp3"), "track_id 1 occurs more than once")
    refused(csv(tmp_path, head, "1,a,x.mp3", ",a,y.mp3"), "row 2 has no track_id")
    refused(csv(tmp_path, head, "1,,x.mp3"), "row 1 has no singer_id")
    refused(csv(tmp_path, head, "1,a,"), "row 1 has no path")
    refused(csv(tmp_path, head + ",cloned", "1,a,x.mp3,maybe"), "songs.csv", "maybe")
    refused(csv(tmp_path, head), "holds no tracks")
    refused(csv(tmp_path, head, "1,a"), "cannot be read")
    refused(csv(tmp_path), "cannot be read")
    refused(tmp_path / "missing.csv", "no such file")
    refused(csv(tmp_path, head, "1,a,x.mp3", name="songs.xlsx"), "has the ending .xlsx")
    refused(csv(tmp_path, head, "1,a,x.mp3", name="songs"), "has the ending (none)")
    refused(csv(tmp_path, "not", "parquet", name="songs.parquet"), "cannot be read")


def test_wrong_types_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "songs.parquet"
    good = {"track_id": ["1"], "singer_id": ["a"], "path": ["x.mp3"]}
    for column, value in (("target_singer_ids", "b"), ("cloned", "maybe"), ("title", [{"de": "Lied"}])):
        pa.parquet.write_table(pa.table({**good, column: [value]}), path)
        refused(path, "wrong type", "songs.parquet")
    # Numbers where ids belong are taken as text.
    pa.parquet.write_table(pa.table({**good, "track_id": [7]}), path)
    assert read_manifest(path).tracks[0].track_id == "7"


def test_an_empty_parquet_table(tmp_path: Path) -> None:
    path = tmp_path / "songs.parquet"
    pa.parquet.write_table(
        pa.table({name: pa.array([], pa.string()) for name in ("track_id", "singer_id", "path")}), path
    )
    refused(path, "holds no tracks")


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    folder = tmp_path / "songs.parquet"
    folder.mkdir()
    refused(folder, "songs.parquet")


@pytest.mark.parametrize("ending", ENDINGS)
def test_pieces_of_an_unknown_track(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"songs{ending}"
    manifest = Manifest(full(tmp_path).tracks, (Piece("t1", 0.0, 1.0), Piece("t7", 0.0, 1.0)))
    write_manifest(manifest, path)
    refused(path, "track_id t7 is not in", f"songs.segments{ending}")


def test_segment_tables_are_validated(tmp_path: Path) -> None:
    path = csv(tmp_path, "track_id,singer_id,path", "1,a,x.mp3")
    refused_by = [
        ("track_id,start_s", "1,0"),
        ("track_id,start_s,vocal,note", "1,0,1,x"),
        ("track_id,start_s,vocal", "1,zero,1"),
    ]
    for (head, row), mention in zip(refused_by, ("no column vocal", "unknown column note", "zero"), strict=True):
        csv(tmp_path, head, row, name="songs.segments.csv")
        refused(path, "songs.segments.csv", mention)


@pytest.mark.parametrize("ending", [".xlsx", ""])
def test_other_endings_are_not_written(tmp_path: Path, ending: str) -> None:
    with pytest.raises(ManifestError, match="ending"):
        write_manifest(full(tmp_path), tmp_path / f"songs{ending}")
    assert list(tmp_path.iterdir()) == []


def test_the_columns_are_the_documented_ones() -> None:
    assert TRACK_COLUMNS == (
        "track_id", "singer_id", "title", "album", "path", "vocals_path", "instrumental_path", "genre", "language",
        "release_date", "cloned", "target_singer_ids", "clone_method", "instrumental_singer_id", "licence", "sha256",
        "song",
    )  # fmt: skip


# What once went wrong


@pytest.mark.parametrize("word", ["NA", "null", "nan"])
def test_words_like_na_stay_text_in_csv(tmp_path: Path, word: str) -> None:
    manifest = Manifest((Track("1", "ann", tmp_path / "a.mp3", title=word),))
    write_manifest(manifest, tmp_path / "songs.csv")
    assert read_manifest(tmp_path / "songs.csv") == manifest


@pytest.mark.parametrize("ending", ENDINGS)
def test_pieces_that_are_gone_do_not_come_back(tmp_path: Path, ending: str) -> None:
    path, manifest = tmp_path / f"songs{ending}", full(tmp_path)
    write_manifest(manifest, path)
    write_manifest(Manifest(manifest.tracks), path)
    assert read_manifest(path).pieces == ()


def test_a_column_twice(tmp_path: Path) -> None:
    refused(csv(tmp_path, "track_id,track_id,singer_id,path", "1,1,a,x.mp3"), "songs.csv", "track_id")


@pytest.mark.parametrize("row", ["1,0,", "1,,0.5", "1,0,1.5", "1,-3,0.5", "1,0,nan", "1,inf,0.5"])
def test_segment_values_must_make_sense(tmp_path: Path, row: str) -> None:
    path = csv(tmp_path, "track_id,singer_id,path", "1,a,x.mp3")
    csv(tmp_path, "track_id,start_s,vocal", row, name="songs.segments.csv")
    refused(path, "songs.segments.csv")


def test_from_folder_leaves_out_hidden_files(tmp_path: Path) -> None:
    for file in ("Ann/one.mp3", "Ann/.partial-0badcafe-two.mp3", "Ann/._one.mp3"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert [track.track_id for track in from_folder(tmp_path).tracks] == ["Ann/one.mp3"]


# Folders


def test_from_folder(tmp_path: Path) -> None:
    for file in ("Ann/one.mp3", "Ann/live/two.FLAC", "Bob/three.m4a", "Bob/cover.jpg", "loose.mp3", "Empty/readme.txt"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    (tmp_path / "Bob" / "folder.mp3").mkdir()
    manifest = open_manifest(tmp_path)
    assert manifest == from_folder(str(tmp_path))
    assert [(track.singer_id, track.track_id, track.title) for track in manifest.tracks] == [
        ("Ann", "Ann/live/two.FLAC", "two"),
        ("Ann", "Ann/one.mp3", "one"),
        ("Bob", "Bob/three.m4a", "three"),
    ]
    assert all(track.path == tmp_path / track.track_id for track in manifest.tracks)


def test_folders_without_songs(tmp_path: Path) -> None:
    (tmp_path / "loose.mp3").touch()
    for folder, mention in (
        (tmp_path, "holds no audio"),
        (tmp_path / "no", "no such folder"),
        (tmp_path / "loose.mp3", "no such folder"),
    ):
        with pytest.raises(ManifestError, match=mention):
            from_folder(folder)
