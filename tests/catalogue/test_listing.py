"""What a preparation begins with: folders with and without singers' names, tags, tables, annotations."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from whosings.annotations.artists import Singer
from whosings.annotations.decision_tables import with_decisions
from whosings.annotations.reconcile import Decision, DecisionOutcome
from whosings.annotations.verdict import Reason
from whosings.catalogue.listing import folder_tracks, listing
from whosings.catalogue.manifest import Manifest, Track, write_manifest
from whosings.catalogue.track_status import TrackOutcome
from whosings.errors import ManifestError


def song(path: Path, **tags: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", 16_000, 1) as file:
        for name, value in tags.items():
            setattr(file, name, value)
        file.write(np.zeros(1600, np.float32))
    return path


def test_folders_name_singers_and_tags_the_rest(tmp_path: Path) -> None:
    song(tmp_path / "Ann" / "First album" / "one.flac", title="One", album="First", genre="Folk", date="1999")
    song(tmp_path / "Bob" / "two.wav")
    song(tmp_path / "loose.flac", artist="Cy", title="Loose")
    song(tmp_path / "nameless.wav")
    song(tmp_path / ".hidden" / "no.wav")
    (tmp_path / "Ann" / "cover.jpg").write_bytes(b"no audio")
    rows = list(listing(tmp_path))
    assert [row.track.track_id for row in rows] == [
        "Ann/First album/one.flac",
        "Bob/two.wav",
        "loose.flac",
        "nameless.wav",
    ]
    one, two, loose, nameless = (row.track for row in rows)
    assert (one.singer_id, one.title, one.album, one.genre, one.release_date) == ("Ann", "One", "First", "Folk", "1999")
    assert (two.singer_id, two.title, two.album) == ("Bob", "two", None)
    assert (loose.singer_id, loose.title) == ("Cy", "Loose")
    assert nameless.singer_id == "" and rows[3].excluded is TrackOutcome.NO_SINGER
    assert [row.excluded for row in rows[:3]] == [None, None, None]


def test_a_file_that_is_no_audio_is_listed_for_the_decoder_to_judge(tmp_path: Path) -> None:
    for name, content in (("text.mp3", b"not music at all"), ("empty.flac", b""), ("cut.wav", b"RIFF")):
        (tmp_path / "Ann" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "Ann" / name).write_bytes(content)
    assert [track.singer_id for track in folder_tracks(tmp_path)] == ["Ann"] * 3


def test_the_result_is_no_part_of_the_catalogue_and_links_make_no_circles(tmp_path: Path) -> None:
    song(tmp_path / "Ann" / "one.flac")
    song(tmp_path / "prepared" / "audio" / "copy.flac")
    (tmp_path / "Ann" / "all").symlink_to(tmp_path)
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    song(elsewhere / "two.flac")
    (tmp_path / "Bob").symlink_to(elsewhere)
    rows = list(listing(tmp_path, leave_out=tmp_path / "prepared"))
    assert [row.track.track_id for row in rows] == ["Ann/one.flac", "Bob/two.flac"]


@pytest.mark.parametrize("make", [False, True])
def test_no_folder_and_nothing_in_it(tmp_path: Path, make: bool) -> None:
    folder = tmp_path / "songs"
    if make:
        (folder / "Ann").mkdir(parents=True)
        (folder / "Ann" / "notes.txt").write_text("no songs")
    with pytest.raises(ManifestError, match="holds no audio files" if make else "no such"):
        list(listing(folder) if make else folder_tracks(folder))


def test_a_table_is_taken_as_it_is(tmp_path: Path) -> None:
    tracks = tuple(Track(f"t{n}", "ann", tmp_path / f"{n}.wav", album="A") for n in range(3))
    write_manifest(Manifest(tracks), tmp_path / "songs.csv")
    assert [row.track for row in listing(tmp_path / "songs.csv")] == list(tracks)


def test_annotations_keep_one_lead_singer_and_say_why_not(tmp_path: Path) -> None:
    tracks = tuple(Track(f"t{n}", "tag", tmp_path / f"{n}.wav") for n in range(4))
    write_manifest(Manifest(tracks), tmp_path / "songs.parquet")
    ann, bob = Singer("musicbrainz:1", "Ann"), Singer("musicbrainz:2", "Bob")
    decisions = {
        "t0": Decision(
            "t0", DecisionOutcome.KEPT, Reason.SOLO, "Ann sings.", (ann,), title="Song", release_date="2001"
        ),
        "t1": Decision("t1", DecisionOutcome.APART, Reason.DUET, "Ann and Bob sing.", (ann, bob)),
        "t2": Decision("t2", DecisionOutcome.DROPPED, Reason.NO_SOURCE, "No source has it."),
    }
    rows = list(with_decisions(listing(tmp_path / "songs.parquet"), decisions))
    apart = TrackOutcome.SET_APART
    assert [row.excluded for row in rows] == [None, apart, apart, TrackOutcome.NO_SINGER]
    assert (rows[0].track.singer_id, rows[0].track.title, rows[0].track.release_date) == (
        "musicbrainz:1",
        "Song",
        "2001",
    )
    assert rows[1].detail == "Ann and Bob sing"
