"""Metadata of FMA and MTG-Jamendo: small tables of their form, written here."""

import csv
from pathlib import Path

import pytest

from whosings.catalogue.datasets import DATASETS, FMA, MTG, locate_fma, locate_mtg, read_fma, read_mtg
from whosings.catalogue.manifest import Manifest, Piece, Track
from whosings.catalogue.roles import assign_roles
from whosings.catalogue.splits import keep_sung
from whosings.errors import ManifestError

HEAD = [
    ("", "", "track_id"),
    ("album", "date_released", ""),
    ("album", "id", ""),
    ("album", "title", ""),
    ("artist", "id", ""),
    ("artist", "name", ""),
    ("track", "genre_top", ""),
    ("track", "language_code", ""),
    ("track", "license", ""),
    ("track", "title", ""),
]
SONGS = [
    ["2", "2009-01-05 00:00:00", "1", "First, Album", "1", "AWOL", "Hip-Hop", "en", "CC BY", 'Say "Food"\nand eat'],
    ["3", "", "-1", "", "1", "AWOL", "", "", "", ""],
    ["155320", "2009-01-05", "77", "", "24357", "Zwei", "Rock", "de", "CC0", " NA "],
]


def fma(folder: Path, songs: list[list[str]] = SONGS, head: list[tuple[str, str, str]] = HEAD) -> Path:
    path = folder / "tracks.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([*zip(*head, strict=True), *songs])
    return path


def test_fma(tmp_path):
    path = fma(tmp_path)
    assert path.read_text().splitlines()[2] == "track_id" + "," * 9
    root = tmp_path / "fma_full"
    assert read_fma(path, root) == Manifest(
        (
            Track(
                "000002.mp3",
                "1",
                root / "000/000002.mp3",
                title='Say "Food"\nand eat',
                album="First, Album",
                genre="Hip-Hop",
                language="en",
                release_date="2009-01-05",
                licence="CC BY",
            ),
            Track("000003.mp3", "1", root / "000/000003.mp3"),
            Track(
                "155320.mp3",
                "24357",
                root / "155/155320.mp3",
                title="NA",
                album="77",
                genre="Rock",
                language="de",
                release_date="2009-01-05",
                licence="CC0",
            ),
        )
    )


def test_fma_columns_may_stand_anywhere_and_most_may_be_absent(tmp_path):
    order = [0, 9, 4, 3]
    path = fma(tmp_path, [[row[n] for n in order] for row in SONGS], [HEAD[n] for n in order])
    first = read_fma(path, tmp_path).tracks[0]
    assert (first.singer_id, first.album, first.genre) == ("1", "First, Album", None)


def mtg(folder: Path, *rows: str, head: str = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS") -> Path:
    path = folder / "raw_30s.tsv"
    path.write_text("".join(f"{row}\n" for row in (head, *rows)), encoding="utf-8")
    return path


def test_mtg(tmp_path):
    (tmp_path / "14").mkdir()
    (tmp_path / "14/214.low.mp3").touch()
    path = mtg(
        tmp_path,
        "track_0000214\tartist_000014\talbum_000031\t14/214.mp3\t124.6\tgenre---punkrock",
        'track_1400000\tartist_000014\t\t00/1400000.mp3\t99.0\tgenre---pop\tgenre---"folk\tinstrument---voice',
        "track_0000007\tartist_000015\talbum_000001\t07/7.mp3\t99.0",
    )
    assert read_mtg(path, tmp_path).tracks == (
        Track("14/214.mp3", "artist_000014", tmp_path / "14/214.low.mp3", album="album_000031", genre="punkrock"),
        Track("00/1400000.mp3", "artist_000014", tmp_path / "00/1400000.mp3", genre='pop;"folk'),
        Track("07/7.mp3", "artist_000015", tmp_path / "07/7.mp3", album="album_000001"),
    )


def test_places_of_audio(tmp_path):
    assert locate_fma(tmp_path, "012345.mp3") == tmp_path / "012/012345.mp3"
    plain, low = tmp_path / "00/7400.mp3", tmp_path / "00/7400.low.mp3"
    assert locate_mtg(tmp_path, "00/7400.mp3") == plain
    low.parent.mkdir()
    low.touch()
    assert locate_mtg(tmp_path, "00/7400.mp3") == low
    plain.touch()
    assert locate_mtg(tmp_path, "00/7400.mp3") == plain


def test_data_sets_by_name():
    assert DATASETS == {"fma": FMA, "mtg": MTG}
    assert (FMA.locate, MTG.locate, FMA.read_metadata, MTG.read_metadata) == (
        locate_fma, locate_mtg, read_fma, read_mtg,
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["../7.mp3", "00/../../7.mp3", "/etc/passwd", "000002.wav", "٠٠٠٠٠٢.mp3", "000002.mp3\n"]
)
def test_file_names_cannot_leave_the_audio_root(name):
    assert not FMA.file_id.fullmatch(name)
    assert not MTG.file_id.fullmatch(name)


def test_the_papers_kind_of_split_from_metadata(tmp_path):
    """Singers with five tracks that are sung for half of their time; artist 3 loses one of five."""
    songs = [
        [str(100 * artist + n), "", "1", f"Album {n}", str(artist), "", "", "", "", ""]
        for artist, count in ((1, 6), (2, 5), (3, 5), (4, 4))
        for n in range(count)
    ]
    whole = read_fma(fma(tmp_path, songs), tmp_path)
    pieces = [
        Piece(track.track_id, 3.0 * n, float(n < (1 if track.track_id == "000304.mp3" else 2)))
        for track in whole.tracks
        for n in range(4)
    ]
    split = assign_roles(keep_sung(Manifest(whole.tracks, tuple(pieces)), 0.5))
    assert [track.singer_id for track in split.test.tracks] == ["1", "2"]
    assert [track.singer_id for track in split.train.tracks] == ["1"] * 4 + ["2"] * 3
    assert {left.singer_id for left in split.left_out} == {"3", "4"}
    assert len(split.test.pieces) == 8


@pytest.mark.parametrize(
    ("songs", "head", "says"),
    [
        (SONGS, [*HEAD[:4], *HEAD[5:], ("artist", "tags", "")], "three header rows"),
        (SONGS, [("", "", "id"), *HEAD[1:]], "three header rows"),
        ([*SONGS, ["7", "1"]], HEAD, "row 7 is not a track with 10 columns"),
        ([["x", *SONGS[0][1:]]], HEAD, "row 4 is not a track"),
        ([["-2", *SONGS[0][1:]]], HEAD, "row 4 is not a track"),
        ([[*SONGS[0][:4], " ", *SONGS[0][5:]]], HEAD, "row 4 has no artist id"),
        ([*SONGS, SONGS[0]], HEAD, "has track 000002.mp3 more than once"),
        ([], HEAD, "holds no tracks"),
    ],
)
def test_fma_tables_that_are_none(tmp_path, songs, head, says):
    path = fma(tmp_path, songs, head)
    with pytest.raises(ManifestError, match=says) as caught:
        read_fma(path, tmp_path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["t\ta\tb\t14/214.mp3"], "row 2 is not a track"),
        (["t\t\tb\t14/214.mp3\t1.0"], "row 2 is not a track"),
        (["t\ta\tb\t../214.mp3\t1.0"], "row 2 is not a track"),
        ([""], "row 2 is not a track"),
        (["t\ta\tb\t14/214.mp3\t1.0", "u\ta\tb\t14/214.mp3\t1.0"], "has track 14/214.mp3 more than once"),
        ([], "holds no tracks"),
    ],
)
def test_mtg_tables_that_are_none(tmp_path, rows, says):
    with pytest.raises(ManifestError, match=says):
        read_mtg(mtg(tmp_path, *rows), tmp_path)


@pytest.mark.parametrize("read", [read_fma, read_mtg])
def test_files_that_are_no_tables(tmp_path, read):
    for content, says in ((None, "no such file"), (b"", "has not the"), (b"\xff\xfe\x00", "cannot be read")):
        path = tmp_path / "table"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ManifestError, match=says) as caught:
            read(path, tmp_path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ManifestError, match="cannot be read"):
        read(tmp_path, tmp_path)
    with pytest.raises(ManifestError, match="has not the"):
        read(mtg(tmp_path, head="TRACK_ID\tPATH"), tmp_path)
