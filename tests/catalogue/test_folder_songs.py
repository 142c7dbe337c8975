"""Songs of folders: which files they are, and who sings them by folders and by tags of real files."""

import os
from itertools import permutations
from pathlib import Path

import pytest

from whosings.catalogue.folder_songs import Song, folder_songs, read_tags
from whosings.catalogue.listing import enrolment, folder_tracks, listing
from whosings.catalogue.manifest import from_folder, read_manifest
from whosings.catalogue.track_status import TrackOutcome
from whosings.errors import ManifestError, UnreadableAudioError


def flac(path: Path, *comments: tuple[str, str]) -> Path:
    """A FLAC header with Vorbis comments in this order, by the format's own words."""
    fields = [f"{name}={value}".encode() for name, value in comments]
    block = (0).to_bytes(4, "little") + len(fields).to_bytes(4, "little")
    block += b"".join(len(field).to_bytes(4, "little") + field for field in fields)
    info = (
        bytes([0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0]) + ((16000 << 44) | (15 << 36) | 1600).to_bytes(8, "big") + bytes(16)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"fLaC\x00" + len(info).to_bytes(3, "big") + info + b"\x84" + len(block).to_bytes(3, "big") + block
    )
    return path


def mp3(path: Path, **frames: str) -> Path:
    """ID3v2.4 frames, values separated by NUL bytes."""
    content = b""
    for name, text in frames.items():
        body = b"\x03" + text.encode()
        content += name.encode() + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = bytes(len(content) >> shift & 127 for shift in (21, 14, 7, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"ID3\x04\0\0" + size + content)
    return path


def only(root: Path, **how: object) -> Song:
    (song,) = folder_songs(root, **how)  # type: ignore[arg-type]
    return song


COMMENTS = (("ARTIST", "Ada feat. Ben"), ("ARTISTS", "Ada"), ("ARTISTS", "Ben"))


@pytest.mark.parametrize("order", permutations(COMMENTS))
def test_the_order_of_tags_says_nothing(tmp_path: Path, order: tuple[tuple[str, str], ...]) -> None:
    flac(tmp_path / "song.flac", *order)
    song = only(tmp_path)
    assert set(song.singers) == {"Ada", "Ben"} and "several singers" in song.detail
    (listed,) = listing(tmp_path)
    assert (listed.excluded, listed.track.singer_id) == (TrackOutcome.SET_APART, "")
    with pytest.raises(ManifestError, match="holds no audio"):
        from_folder(tmp_path)


def test_several_values_in_one_frame(tmp_path: Path) -> None:
    path = mp3(tmp_path / "song.mp3", TPE1="Ada\0Ben", TXXX="ARTISTS\0Ada\0Ben", TIT2="Fog")
    assert "Ada\0Ben" in read_tags(path).artists, "tinytag splits text frames and not TXXX"
    assert set(only(tmp_path).singers) == {"Ada", "Ben"}


def test_a_folder_names_its_singer_unless_the_tags_name_several(tmp_path: Path) -> None:
    mp3(tmp_path / "Ada" / "one.mp3", TPE1="Ada Moor")
    mp3(tmp_path / "Ada" / "two.mp3", TPE1="Ada feat. Ben")
    mp3(tmp_path / "Ada" / "three.mp3", TPE1="Ada", TIT2="Fog (feat. Ben)")
    mp3(tmp_path / "Simon & Garfunkel" / "four.mp3", TPE1="Simon & Garfunkel")
    mp3(tmp_path / "five.mp3", TPE1="Earth, Wind & Fire", TPE2="Earth, Wind & Fire")
    singers = {song.song_id: song.singers for song in folder_songs(tmp_path)}
    assert singers == {
        "Ada/one.mp3": ("Ada",),
        "Ada/two.mp3": ("Ada", "Ben"),
        "Ada/three.mp3": ("Ada", "Ben"),
        "Simon & Garfunkel/four.mp3": ("Simon & Garfunkel",),
        "five.mp3": ("Earth, Wind & Fire",),
    }
    forced = {song.song_id: song.singers for song in folder_songs(tmp_path, singer_from="folder")}
    assert forced["Ada/two.mp3"] == ("Ada",) and forced["five.mp3"] == ()
    assert {song.singers for song in folder_songs(tmp_path, singer_from="tag")} >= {("Ada Moor",)}
    album = {song.song_id: song.singers for song in folder_songs(tmp_path, singer_from="albumartist")}
    assert album["five.mp3"] == ("Earth, Wind & Fire",) and album["Ada/one.mp3"] == ()


def test_nobody_sings_compilations(tmp_path: Path) -> None:
    mp3(tmp_path / "Compilations" / "one.mp3", TPE1="Ada")
    mp3(tmp_path / "Verschiedene Interpreten" / "two.mp3", TPE1="Ada & Ben")
    mp3(tmp_path / "three.mp3", TPE1="Various Artists")
    assert [row.excluded for row in listing(tmp_path)] == [TrackOutcome.NO_SINGER] * 3
    assert "Compilations is nobody in particular" in [row.detail for row in listing(tmp_path)]
    assert only(tmp_path / "Compilations", singer_from="tag").singers == ("Ada",)


def test_what_systems_leave_behind_is_no_song_and_all_readers_agree(tmp_path: Path) -> None:
    (tmp_path / "Ada").mkdir()
    (tmp_path / "Ada" / "one.mp3").touch()
    for folder in ("@eaDir", ".AppleDouble", "$RECYCLE.BIN", "#recycle", "lost+found", "__MACOSX"):
        for place in (tmp_path / folder, tmp_path / "Ada" / folder):
            place.mkdir()
            (place / "no.mp3").touch()
    (tmp_path / "System Volume Information").mkdir()
    (tmp_path / "System Volume Information" / "no.mp3").touch()
    expected = ["Ada/one.mp3"]
    assert [track.track_id for track in from_folder(tmp_path).tracks] == expected
    assert [track.track_id for track in folder_tracks(tmp_path)] == expected
    assert [row.track.track_id for row in listing(tmp_path)] == expected
    assert [row.track.track_id for row in enrolment(tmp_path)] == expected


def test_spellings_of_folders_and_tables_are_one_singer(tmp_path: Path) -> None:
    for folder in ("E\u0301va", "\u00c9VA ", "\u00c9va"):
        mp3(tmp_path / "songs" / folder / f"{len(folder)}.mp3")
    mp3(tmp_path / "songs" / "loose.mp3", TPE1="\u00e9va\u200b")
    assert len(from_folder(tmp_path / "songs").by_singer) == 1
    (tmp_path / "m.csv").write_text("track_id,singer_id,path\n1,E\u0301va,a.mp3\n2,\u00c9VA,b.mp3\n3,\u00c9va,c.mp3\n")
    assert list(read_manifest(tmp_path / "m.csv").by_singer) == ["\u00c9va"]


def test_a_name_that_is_no_text_is_no_singer(tmp_path: Path) -> None:
    mp3(tmp_path / "song.mp3", TPE1="\x1b[31mAda")
    song = only(tmp_path)
    assert song.singers == () and "no text" in song.detail


def test_a_file_name_that_is_not_utf8_is_a_failure_among_others(tmp_path: Path) -> None:
    (tmp_path / "Ada").mkdir()
    (tmp_path / "Ada" / "one.mp3").touch()
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/Ada/b\xe9.mp3")).touch()
    except OSError:
        pytest.skip("this file system keeps names as text")
    failures: list[Exception] = []
    rows = list(listing(tmp_path, on_refused=failures.append))
    assert [row.track.track_id for row in rows] == ["Ada/one.mp3"]
    assert len(failures) == 1 and "not UTF-8" in str(failures[0])
    with pytest.raises(UnreadableAudioError):
        list(listing(tmp_path))


def test_albums_of_one_artist_are_no_singers(tmp_path: Path) -> None:
    artist = tmp_path / "lib" / "Ada Moor"
    for album in ("First", "Second"):
        mp3(artist / album / "song.mp3", TPE1="Ada Moor")
    with pytest.raises(ManifestError, match="looks like albums of one artist: the tags name Ada Moor"):
        enrolment(artist)
    assert {row.track.singer_id for row in enrolment(artist, "tag")} == {"Ada Moor"}
    assert {row.track.singer_id for row in enrolment(artist, "folder")} == {"First", "Second"}
    assert {row.track.singer_id for row in enrolment(tmp_path / "lib")} == {"Ada Moor"}
    mp3(artist / "Second" / "cover.mp3", TPE1="Ben Ash")
    with pytest.raises(ManifestError, match="looks like albums"):
        enrolment(artist)
    mp3(tmp_path / "lib" / "Ben Ash" / "song.mp3", TPE1="Ben Ash")
    assert len(enrolment(tmp_path / "lib")) == 4
