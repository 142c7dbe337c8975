"""The published split files: read, refused, written again."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whosings.catalogue.datasets import FMA, MTG
from whosings.catalogue.manifest import Manifest, Piece, Track
from whosings.catalogue.paper_splits import read_published, write_published
from whosings.catalogue.roles import ROLES, assign_roles
from whosings.errors import ManifestError

FILES = {
    "fma": "splits/FMA/fma_{}_set.json",
    "mtg": "splits/mtg-jamendo-dataset/mtg_{}_set.json",
}
SETS = {"train": "train", "validation": "val", "test": "test"}


def entry(file_id: str, *starts: float) -> dict:
    return {"file_id": file_id, "vocal_segs": list(starts)}


FMA_FILES = {
    "train": {
        "Ann": {"track": [entry("000002.mp3", 0, 3, 12), entry("155320.mp3", 6.5), entry("000005.mp3", 0)]},
        "Bob é": {"track": [entry("000010.mp3", 0), entry("000011.mp3", 3), entry("000012.mp3", 3)]},
    },
    "val": {"Ann": {"track": entry("000003.mp3", 30)}, "Bob é": {"track": entry("000013.mp3", 0)}},
    "test": {"Ann": {"track": entry("000004.mp3", 9)}, "Bob é": {"track": entry("000014.mp3", 0, 3)}},
}
MTG_FILES = {
    "train": {"artist_1": [entry("00/7400.mp3", 3), entry("01/7401.mp3", 0), entry("99/1399.mp3", 0)]},
    "val": {"artist_1": entry("02/7402.mp3", 3, 6)},
    "test": {"artist_1": entry("03/3.mp3", 3)},
}


def put(folder: Path, dataset: str, files: dict) -> Path:
    for name, content in files.items():
        path = folder / FILES[dataset].format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def test_fma(tmp_path):
    root = tmp_path / "fma_full"
    split = read_published(put(tmp_path, "fma", FMA_FILES), root, FMA)
    assert [(t.track_id, t.singer_id, t.path) for t in split.train.tracks] == [
        ("000002.mp3", "Ann", root / "000/000002.mp3"),
        ("155320.mp3", "Ann", root / "155/155320.mp3"),
        ("000005.mp3", "Ann", root / "000/000005.mp3"),
        ("000010.mp3", "Bob é", root / "000/000010.mp3"),
        ("000011.mp3", "Bob é", root / "000/000011.mp3"),
        ("000012.mp3", "Bob é", root / "000/000012.mp3"),
    ]
    assert split.train.pieces[:4] == (
        Piece("000002.mp3", 0.0, 1.0),
        Piece("000002.mp3", 3.0, 1.0),
        Piece("000002.mp3", 12.0, 1.0),
        Piece("155320.mp3", 6.5, 1.0),
    )
    assert [t.track_id for t in split.validation.tracks] == ["000003.mp3", "000013.mp3"]
    assert [t.track_id for t in split.test.tracks] == ["000004.mp3", "000014.mp3"]
    assert split.test.pieces == (
        Piece("000004.mp3", 9.0, 1.0), Piece("000014.mp3", 0.0, 1.0), Piece("000014.mp3", 3.0, 1.0),
    )  # fmt: skip
    assert not split.unused.tracks
    assert read_published(tmp_path / "splits", root, FMA) == split


def test_mtg_and_which_audio_is_missing(tmp_path):
    for name in ("00/7400.low.mp3", "01/7401.mp3", "01/7401.low.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    split = read_published(put(tmp_path, "mtg", MTG_FILES), tmp_path, MTG)
    assert [t.path.relative_to(tmp_path).as_posix() for t in split.train.tracks] == [
        "00/7400.low.mp3", "01/7401.mp3", "99/1399.mp3",
    ]  # fmt: skip
    assert split.whole.missing_audio() == tuple(tmp_path / n for n in ("99/1399.mp3", "02/7402.mp3", "03/3.mp3"))


def test_other_keys_are_ignored(tmp_path):
    more = copy.deepcopy(FMA_FILES)
    more["train"]["Ann"]["albums"] = 3
    more["test"]["Ann"]["track"]["title"] = "Song"
    assert read_published(put(tmp_path / "a", "fma", more), tmp_path, FMA) == read_published(
        put(tmp_path / "b", "fma", FMA_FILES), tmp_path, FMA
    )


# Out and in again


@pytest.mark.parametrize(("dataset", "files"), [(FMA, FMA_FILES), (MTG, MTG_FILES)], ids=["fma", "mtg"])
def test_files_survive(tmp_path, dataset, files):
    split = read_published(put(tmp_path / "a", dataset.name, files), tmp_path, dataset)
    write_published(split, tmp_path / "b", dataset)
    for name, content in files.items():
        path = tmp_path / "b" / FILES[dataset.name].format(name)
        assert json.loads(path.read_text(encoding="utf-8")) == content
        assert list(json.loads(path.read_text(encoding="utf-8"))) == list(content), "artists keep their order"
    assert read_published(tmp_path / "b", tmp_path, dataset) == split


@settings(max_examples=30, deadline=None)
@given(
    singers=st.dictionaries(st.text(min_size=1, max_size=8), st.integers(3, 6), min_size=1, max_size=4),
    starts=st.lists(st.floats(0, 1e5), min_size=1, max_size=4),
    fma=st.booleans(),
)
def test_any_split_survives(tmp_path_factory, singers, starts, fma):
    folder = tmp_path_factory.mktemp("any")
    dataset = FMA if fma else MTG
    file_ids = iter(f"{n:06}.mp3" if fma else f"{n:02}/{n}.mp3" for n in range(99))
    tracks = tuple(
        Track(file_id := next(file_ids), singer, dataset.locate(folder, file_id))
        for singer, count in singers.items()
        for _ in range(count)
    )
    pieces = tuple(Piece(track.track_id, start, 1.0) for track in tracks for start in starts)
    split = assign_roles(Manifest(tracks, pieces), min_train=1)
    write_published(split, folder, dataset)
    assert read_published(folder, folder, dataset) == split


def test_only_sung_pieces_are_written(tmp_path):
    split = read_published(put(tmp_path / "a", "mtg", MTG_FILES), tmp_path, MTG)
    quiet = Piece("03/3.mp3", 6.0, 0.49)
    louder = replace(split, test=replace(split.test, pieces=(*split.test.pieces, quiet)))
    write_published(louder, tmp_path / "b", MTG)
    assert read_published(tmp_path / "b", tmp_path, MTG) == split


def test_splits_that_cannot_be_written(tmp_path):
    split = read_published(put(tmp_path / "a", "mtg", MTG_FILES), tmp_path, MTG)
    for target, dataset, says in (
        (split, FMA, "track 00/7400.mp3: has no file name of fma"),
        (replace(split, test=Manifest(split.test.tracks)), MTG, "track 03/3.mp3: has no sung piece"),
        (
            replace(split, test=Manifest((*split.test.tracks, replace(split.test.tracks[0], track_id="99/99.mp3")))),
            MTG,
            "has 2 test tracks, and the form has place for one",
        ),
    ):
        with pytest.raises(ManifestError, match=says):
            write_published(target, tmp_path / "b", dataset)
        assert not (tmp_path / "b").exists()


# Refused, naming file and artist


def refused(folder: Path, files: dict, file: str, *mentions: str, dataset=FMA) -> None:
    put(folder, dataset.name, files)
    with pytest.raises(ManifestError) as caught:
        read_published(folder, folder, dataset)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    assert message.startswith(str(folder / FILES[dataset.name].format(file) if "/" not in file else folder / file))
    for mention in mentions:
        assert mention in message


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_missing_files(tmp_path, name):
    refused(tmp_path, {other: FMA_FILES[other] for other in FMA_FILES if other != name}, name, "no such file")


@pytest.mark.parametrize("content", ["", "{", '{"a": }', "[" * 100_000, "9" * 5000])
def test_files_that_are_not_json(tmp_path, content):
    refused(tmp_path, {**FMA_FILES, "val": content}, "val", "is not JSON")


@pytest.mark.parametrize("content", ["[]", "3", "{}", "null"])
def test_files_that_are_not_of_artists(tmp_path, content):
    refused(tmp_path, {**FMA_FILES, "val": content}, "val", "artists for keys")


def test_bytes_that_are_not_text(tmp_path):
    put(tmp_path, "fma", FMA_FILES)
    (tmp_path / FILES["fma"].format("val")).write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError, match="is not JSON"):
        read_published(tmp_path, tmp_path, FMA)


@pytest.mark.parametrize(
    "value",
    [None, [], "x", {"track": None}, {"track": []}, {"track": entry("000002.mp3", 0)}, {"tracks": []}, [entry("0", 0)]],
)
def test_wrong_shapes_in_fma_train(tmp_path, value):
    files = {**FMA_FILES, "train": {**FMA_FILES["train"], "Ann": value}}
    refused(tmp_path, files, "train", "has not a list of tracks for artist Ann")


@pytest.mark.parametrize("name", ["val", "test"])
@pytest.mark.parametrize("value", [None, entry("000002.mp3", 0), {"track": [entry("000002.mp3", 0)]}, {"track": {}}])
def test_wrong_shapes_in_fma_val_and_test(tmp_path, name, value):
    files = {**FMA_FILES, name: {**FMA_FILES[name], "Ann": value}}
    refused(tmp_path, files, name, "has not one track for artist Ann")


@pytest.mark.parametrize(
    ("name", "value"),
    [("train", {"track": [entry("00/1.mp3", 0)]}), ("train", entry("00/1.mp3", 0)), ("test", [entry("00/1.mp3", 0)])],
)
def test_wrong_shapes_in_mtg(tmp_path, name, value):
    refused(tmp_path, {**MTG_FILES, name: {"artist_1": value}}, name, "for artist artist_1", dataset=MTG)


@pytest.mark.parametrize("file_id", [None, 2, "", "2.mp3", "000002.wav", "../../02.mp3", "00/2.mp3", ["000002.mp3"]])
def test_wrong_file_names(tmp_path, file_id):
    files = {**FMA_FILES, "test": {**FMA_FILES["test"], "Ann": {"track": {"file_id": file_id, "vocal_segs": [0]}}}}
    refused(tmp_path, files, "test", "artist Ann with file_id", str(file_id))


@pytest.mark.parametrize("starts", [None, [], 3, {"0": 1}])
def test_no_list_of_pieces(tmp_path, starts):
    track = {"file_id": "000004.mp3", "vocal_segs": starts}
    refused(tmp_path, {**FMA_FILES, "test": {"Ann": {"track": track}}}, "test", "000004.mp3 of artist Ann")


@pytest.mark.parametrize(
    "start", ["-3", "-1e-9", "NaN", "Infinity", "-Infinity", '"3"', "true", "null", "[3]", "1e400", "9" * 400]
)
def test_starts_that_are_no_seconds(tmp_path, start):
    text = f'{{"Ann": {{"track": {{"file_id": "000004.mp3", "vocal_segs": [0, {start}]}}}}}}'
    refused(tmp_path, {**FMA_FILES, "test": text}, "test", "a piece of 000004.mp3 of artist Ann at")


def test_a_track_twice(tmp_path):
    folder = "splits/FMA"
    for name, says in (("train", "in train;"), ("val", "in train and validation"), ("test", "in train and test")):
        files = copy.deepcopy(FMA_FILES)
        track = files[name]["Bob é"]
        track["track"] = [*track["track"], entry("000002.mp3", 0)] if name == "train" else entry("000002.mp3", 0)
        refused(tmp_path, files, folder, "has track 000002.mp3 more than once", says)


def test_an_artist_is_in_every_file(tmp_path):
    for name in FMA_FILES:
        files = copy.deepcopy(FMA_FILES)
        del files[name]["Bob é"]
        long = next(role for role in ROLES if SETS[role] == name)
        refused(tmp_path, files, "splits/FMA", f"has no {long} track of singer Bob é")


def test_an_artist_twice_in_a_file(tmp_path):
    track = json.dumps({"track": entry("000004.mp3", 0)})
    refused(tmp_path, {**FMA_FILES, "test": f'{{"Ann": {track}, "Ann": {track}}}'}, "test", "has Ann more than once")
