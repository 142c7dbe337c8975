"""The verb prepare, as people and programs call it."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import singing
from whosings.annotations.artists import Singer
from whosings.annotations.decision_tables import write_decisions
from whosings.annotations.reconcile import Decision, DecisionOutcome
from whosings.annotations.verdict import Reason
from whosings.catalogue.manifest import Manifest, Track, from_folder, read_manifest, write_manifest


@pytest.fixture
def call(tmp_path, monkeypatch, run):
    """``run`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return run


def test_a_folder_becomes_a_manifest_and_a_picture(call, choir_folder: Path) -> None:
    code, out, _ = call("prepare", choir_folder / "songs", "--min-vocal", 0, "--workers", 1)
    assert code == 0
    assert "18 of 18 tracks in prepared/manifest.parquet; prepared/summary.png" in out
    assert len(read_manifest("prepared/manifest.parquet").by_singer) == 6
    assert Path("prepared/summary.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(Path("prepared/summary.json").read_text())["listed"] == 18


def test_json_and_failures(call, tmp_path: Path, choir_folder: Path) -> None:
    songs = tmp_path / "songs"
    for name in ("singer-0000", "singer-0001"):
        (songs / name).mkdir(parents=True)
        for song in sorted((choir_folder / "songs" / name).glob("*.flac"))[:2]:
            (songs / name / song.name).symlink_to(song)
    (songs / "singer-0000" / "bad.mp3").write_text("no music")
    code, out, err = call("prepare", songs, "--out", "made", "--min-vocal", 0, "--workers", 1, "--json")
    found = json.loads(out)
    assert code == 1 and "1 failure" in err and "bad.mp3" in err
    assert [(s["outcome"], s["tracks"]) for s in found["stages"]] == [("unreadable", 1), ("kept", 4)]
    assert found["manifest"] == "made/manifest.parquet" and len(found["failed"]) == 1


def test_open_sets_keep_half_sung_tracks_and_single_ones(call, tmp_path: Path) -> None:
    (tmp_path / "songs/Ann").mkdir(parents=True)
    half = np.concatenate([singing(12), np.zeros(6 * 16_000)])
    soundfile.write(tmp_path / "songs/Ann/half.flac", half, 16_000)
    code, out, _ = call("prepare", "songs", "--workers", 1)
    assert code == 0 and "nothing is kept of 1 tracks" in out and "few vocals" in out
    code, out, _ = call("prepare", "songs", "--open", "--workers", 1)
    assert code == 0 and "1 of 1 tracks in" in out
    code, out, _ = call("prepare", "songs", "--open", "--min-tracks", 2, "--workers", 1)
    assert code == 0 and "1 would be kept with --min-tracks 1" in out


def test_annotations_name_the_singer(call, tmp_path: Path, choir_folder: Path) -> None:
    songs = sorted((choir_folder / "songs/singer-0000").glob("*.flac"))
    (tmp_path / "songs").mkdir()
    for song in songs:
        (tmp_path / "songs" / song.name).symlink_to(song)
    ann = Singer("musicbrainz:1", "Ann")
    kept = [Decision(song.name, DecisionOutcome.KEPT, Reason.SOLO, "Ann sings.", (ann,)) for song in songs[:2]]
    apart = Decision(
        songs[2].name, DecisionOutcome.APART, Reason.DUET, "Two sing.", (ann, Singer("musicbrainz:2", "Bob"))
    )
    write_decisions([*kept, apart], "decisions.csv")
    code, out, _ = call("prepare", "songs", "--annotations", "decisions.csv", "--min-vocal", 0, "--workers", 1)
    assert code == 0 and "not one lead singer" in out
    assert [t.singer_id for t in read_manifest("prepared/manifest.parquet").tracks] == ["musicbrainz:1"] * 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "no such file"),
        (["."], "holds no audio files"),
        ([".", "--separate", "stems:nowhere"], "nowhere"),
        ([".", "--annotations", "none.csv"], "none.csv: no such file"),
    ],
)
def test_wrong_input_is_one_sentence(call, words: list[str], says: str) -> None:
    code, _, err = call("prepare", *words)
    assert code == 1 and says in err and len(err.strip().splitlines()) == 1


def test_the_commands_of_the_page(call, tmp_path: Path, choir_folder: Path) -> None:
    (tmp_path / "songs").symlink_to(choir_folder / "songs")
    write_manifest(from_folder(choir_folder / "songs"), tmp_path / "songs.parquet")
    page = (Path(__file__).parents[2] / "docs/prepare.md").read_text()
    commands = re.findall(r"^\$ whosings (.*)", page, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        code, out, err = call(*shlex.split(command), "--workers", 1)
        assert code == 0, (out, err)
    for folder in ("prepared", "evaluation", "strict"):
        assert {"tracks.csv", "summary.png", "summary.json", "journal.sqlite"} <= {
            path.name for path in Path(folder).iterdir()
        }
    assert read_manifest("evaluation/manifest.parquet").pieces


def test_a_result_is_no_source_of_itself(call, tmp_path: Path) -> None:
    write_manifest(Manifest((Track("a", "Ann", tmp_path / "a.flac"),)), "prepared/manifest.parquet")
    code, _, err = call("prepare", "prepared/manifest.parquet")
    assert code == 2 and "would be overwritten" in " ".join(err.split())
    assert len(read_manifest("prepared/manifest.parquet").tracks) == 1
