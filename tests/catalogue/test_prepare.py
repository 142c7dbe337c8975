"""Preparation end to end on generated songs: filters, copies, stems, going on after kill -9, growing, bad files."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
import soundfile

from tests.conftest import singing
from whosings import audio
from whosings.catalogue.listing import listing
from whosings.catalogue.manifest import Manifest, Track, read_manifest, write_manifest
from whosings.catalogue.prepare import Prepared, Rules, as_plain, examine, prepare
from whosings.catalogue.track_status import Listed, TrackOutcome
from whosings.choir.band import draw_palette, play
from whosings.choir.score import compose
from whosings.choir.songs import Song
from whosings.errors import (
    AudioError,
    ManifestError,
    MissingFileError,
    SeparationError,
    TooShortError,
    WhosingsError,
)
from whosings.files import content_hash
from whosings.vocals.separation import SeparationJob

RATE = 16_000


def recorded(number: int, song: int) -> Song:
    """Twelve seconds of a voice without rests over a band."""
    rng = np.random.default_rng([5, number, song])
    palette = draw_palette(rng)
    band = play(palette, compose(rng, 12, 60, palette.tempo), rng)[: 12 * RATE]
    voice = singing(12, {(0, 0): 0, (0, 1): 1, (0, 7): 2, (1, 0): 11, (1, 1): 12, (2, 0): 13, (2, 1): 15}[number, song])
    return Song(0.5 * voice, 0.15 * band)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two singers with two songs, one with one, a copy in another format, an instrumental, and files that are none."""
    root = tmp_path_factory.mktemp("library")
    for name, number, songs in (("Ann", 0, 2), ("Bob", 1, 2), ("Cy", 2, 1)):
        for song in range(songs):
            (root / name).mkdir(exist_ok=True)
            made = recorded(number, song)
            soundfile.write(root / name / f"{song}.flac", made.mixture, RATE)
            for kind in ("vocals", "instrumental"):
                stem = root.parent / f"{root.name}-stems" / name / f"{song}.{kind}.flac"
                stem.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(stem, getattr(made, kind), RATE)
    copy, _ = soundfile.read(root / "Ann" / "1.flac", dtype="float32")
    soundfile.write(root / "Bob" / "stolen.mp3", copy[3000:] * 0.5, RATE)
    soundfile.write(root / "Ann" / "band.flac", recorded(0, 7).instrumental, RATE)
    (root / "Cy" / "text.mp3").write_text("not music at all")
    (root / "Cy" / "empty.wav").write_bytes(b"")
    soundfile.write(root / "Cy" / "short.wav", np.full(8000, 0.1), RATE)
    soundfile.write(root / "Cy" / "nan.wav", np.full(RATE * 3, np.nan), RATE, subtype="FLOAT")
    return root


def outcomes(out: Path) -> dict[str, str]:
    rows = pyarrow.csv.read_csv(out / "tracks.csv").to_pylist()
    return {row["track_id"]: row["outcome"] for row in rows}


def everything(folder: Path) -> dict[str, str]:
    """Hash of every file of a result but the journal."""
    files = (p for p in folder.rglob("*") if p.is_file() and "journal" not in p.name and p.name != ".lock")
    return {str(p.relative_to(folder)): content_hash(p) for p in files}


@pytest.fixture(scope="module")
def done(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(listing(library), tmp_path_factory.mktemp("done") / "out", workers=0)


def test_every_track_has_its_outcome(done: Prepared) -> None:
    assert outcomes(done.folder) == {
        "Ann/0.flac": "kept",
        "Ann/1.flac": "kept",
        "Ann/band.flac": "few vocals",
        "Bob/0.flac": "kept",
        "Bob/1.flac": "kept",
        "Bob/stolen.mp3": "duplicate",
        "Cy/0.flac": "few tracks of the singer",
        "Cy/empty.wav": "unreadable",
        "Cy/nan.wav": "unreadable",
        "Cy/short.wav": "unreadable",
        "Cy/text.mp3": "unreadable",
    }
    assert [(stage.outcome, stage.tracks) for stage in done.stages] == [
        (TrackOutcome.UNREADABLE, 4),
        (TrackOutcome.DUPLICATE, 1),
        (TrackOutcome.FEW_VOCALS, 1),
        (TrackOutcome.FEW_TRACKS, 1),
        (TrackOutcome.KEPT, 4),
    ]
    assert done.listed == 11 and done.kept.singers == 2 and sum(done.vocal_shares) == 7
    assert sorted(Path(error.subject).name for error in done.failures) == [
        "empty.wav",
        "nan.wav",
        "short.wav",
        "text.mp3",
    ]


def test_the_manifest_is_complete_and_moves_with_its_folder(done: Prepared, library: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(done.folder, moved)
    manifest = read_manifest(moved / "manifest.parquet")
    assert [track.track_id for track in manifest.tracks] == ["Ann/0.flac", "Ann/1.flac", "Bob/0.flac", "Bob/1.flac"]
    for track in manifest.tracks:
        assert track.path.resolve().is_relative_to(moved.resolve()) and content_hash(track.path) == track.sha256
        original = audio.load(library / track.track_id).samples
        assert audio.load(track.path).samples == pytest.approx(original, abs=1e-4)
        pieces = manifest.pieces_by_track[track.track_id]
        assert [piece.start_s for piece in pieces] == [3.0 * n for n in range(len(pieces))]
        assert len(pieces) == -(-original.shape[1] // (3 * RATE))


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_change_nothing(done: Prepared, library: Path, tmp_path: Path, workers: int) -> None:
    other = prepare(listing(library), tmp_path / "out", workers=workers)
    assert as_plain(other)["stages"] == as_plain(done)["stages"]
    ours, theirs = everything(other.folder), everything(done.folder)
    assert {k: v for k, v in ours.items() if "summary" not in k} == {
        k: v for k, v in theirs.items() if "summary" not in k
    }


def test_a_second_run_listens_only_to_what_failed(done: Prepared, library: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(done.folder, tmp_path / "out")
    heard: list[str] = []

    def listen(path: Path) -> object:
        heard.append(path.name)
        return examine(path)

    monkeypatch.setattr("whosings.catalogue.prepare.examine", listen)
    monkeypatch.setattr("whosings.audio.flac_writer", lambda *_: pytest.fail("wrote a copy again"))
    again = prepare(listing(library), tmp_path / "out", workers=0)
    assert sorted(heard) == ["empty.wav", "nan.wav", "short.wav", "text.mp3"]
    assert again.stages == done.stages


def test_a_grown_catalogue_only_does_what_is_new(library: Path, tmp_path: Path, monkeypatch) -> None:
    grown = tmp_path / "grown"
    shutil.copytree(library, grown, copy_function=shutil.copy2)
    out = tmp_path / "out"
    prepare(listing(grown), out, workers=0)
    song = recorded(2, 1).mixture
    soundfile.write(grown / "Cy" / "1.flac", song, RATE)
    heard: list[str] = []
    monkeypatch.setattr("whosings.catalogue.prepare.examine", lambda path: (heard.append(path.name), examine(path))[1])
    found = prepare(listing(grown), out, workers=0)
    assert "1.flac" in heard and "0.flac" not in heard
    assert outcomes(out)["Cy/0.flac"] == outcomes(out)["Cy/1.flac"] == "kept" and found.kept.tracks == 6


def test_other_rules_need_no_listening(done: Prepared, library: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(done.folder, tmp_path / "out")
    monkeypatch.setattr(
        "whosings.catalogue.prepare.examine", lambda path: AudioError(path, "was listened to", "do not")
    )
    found = prepare(listing(library), tmp_path / "out", Rules(min_vocal=0.0, min_tracks=1), workers=0)
    assert outcomes(found.folder)["Ann/band.flac"] == outcomes(found.folder)["Cy/0.flac"] == "kept"
    strict = prepare(listing(library), tmp_path / "out", Rules(min_vocal=1.01), workers=0)
    assert strict.manifest is None and strict.kept.tracks == 0
    assert (
        not (strict.folder / "manifest.parquet").exists() and not (strict.folder / "manifest.segments.parquet").exists()
    )


def test_stems_are_made_of_what_is_kept(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = Path("out")  # as people name it
    stems = library.parent / f"{library.name}-stems"
    job = SeparationJob(f"stems:{stems}", out / "stems", "cpu")
    found = prepare(listing(library), out, separation=job, workers=0)
    manifest = read_manifest(out / "manifest.parquet")
    assert len(manifest.tracks) == 4 == found.kept.tracks
    for track in manifest.tracks:
        assert track.vocals_path is not None and track.instrumental_path is not None
        given = stems / Path(track.track_id).with_suffix(".vocals.flac")
        assert audio.load(track.vocals_path).samples == pytest.approx(audio.load(given).samples, abs=1e-3)


def test_sound_beyond_full_scale_is_not_clipped(library: Path, tmp_path: Path) -> None:
    (tmp_path / "songs/Ann").mkdir(parents=True)
    loud = 20 * audio.load(library / "Ann/0.flac").samples
    soundfile.write(tmp_path / "songs/Ann/loud.wav", loud.T, RATE, subtype="FLOAT")
    found = prepare(listing(tmp_path / "songs"), tmp_path / "out", Rules(min_tracks=1), workers=0)
    assert found.manifest is not None
    (track,) = read_manifest(found.manifest).tracks
    assert audio.load(track.path).samples == pytest.approx(loud / np.abs(loud).max(), abs=1e-4)


def test_a_track_that_cannot_be_separated_is_lost_with_its_singer(library: Path, tmp_path: Path) -> None:
    stems, out = tmp_path / "stems", tmp_path / "out"
    shutil.copytree(library.parent / f"{library.name}-stems", stems)
    (stems / "Bob" / "1.vocals.flac").unlink()
    found = prepare(listing(library), out, separation=SeparationJob(f"stems:{stems}", "anywhere", "cpu"), workers=0)
    assert outcomes(out)["Bob/1.flac"] == "not separated" and outcomes(out)["Bob/0.flac"] == "few tracks of the singer"
    assert found.kept.tracks == 2 and any(isinstance(error, SeparationError) for error in found.failures)


def test_a_model_that_is_none_is_told_before_anything_is_done(library: Path, tmp_path: Path) -> None:
    with pytest.raises(SeparationError):
        prepare(listing(library), tmp_path / "out", separation=SeparationJob("none", tmp_path / "stems"), workers=0)
    assert not (tmp_path / "out").exists()


def test_stems_that_a_table_has_are_kept(library: Path, tmp_path: Path) -> None:
    stem = library.parent / f"{library.name}-stems/Ann/0.vocals.flac"
    tracks = tuple(Track(f"t{n}", "Ann", library / f"Ann/{n}.flac", vocals_path=stem) for n in range(2))
    write_manifest(Manifest(tracks), tmp_path / "songs.csv")
    prepare(listing(tmp_path / "songs.csv"), tmp_path / "out", workers=0)
    assert [t.vocals_path for t in read_manifest(tmp_path / "out/manifest.parquet").tracks] == [stem.resolve()] * 2


def test_excluded_tracks_are_told(library: Path, tmp_path: Path) -> None:
    rows = [Listed(Track("x", "", library / "Ann/0.flac"), TrackOutcome.NO_SINGER, "no tag")]
    found = prepare(rows, tmp_path / "out", workers=0)
    assert [(stage.outcome, stage.tracks) for stage in found.stages] == [
        (TrackOutcome.NO_SINGER, 1),
        (TrackOutcome.KEPT, 0),
    ]
    assert outcomes(tmp_path / "out") == {"x": "no singer"}


def test_one_preparation_at_a_time(library: Path, tmp_path: Path) -> None:
    def rows():
        with pytest.raises(ManifestError, match="by another process"):
            prepare([], tmp_path / "out", workers=0)
        yield Listed(Track("x", "Ann", library / "Ann/0.flac"))

    assert prepare(rows(), tmp_path / "out", workers=0).listed == 1
    assert prepare([], tmp_path / "out", workers=0).listed == 0


def test_two_tracks_of_one_id(library: Path, tmp_path: Path) -> None:
    row = Listed(Track("x", "Ann", library / "Ann/0.flac"))
    with pytest.raises(ManifestError, match="occurs twice"):
        prepare([row, row], tmp_path / "out", workers=0)


def test_paths_that_tables_cannot_hold_are_failures(library: Path, tmp_path: Path) -> None:
    """A file name in Latin-1, as old archives have them, and a table with a NUL character."""
    songs = tmp_path / "songs" / "Ann"
    songs.mkdir(parents=True)
    shutil.copy(library / "Ann/0.flac", songs / "good.flac")
    try:
        shutil.copy(library / "Ann/1.flac", os.fsencode(songs) + b"/S\xe4nger.flac")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    refused: list[WhosingsError] = []
    rows = list(listing(tmp_path / "songs", on_refused=refused.append))
    assert ["S\\udce4nger.flac: has a name" in str(error) for error in refused] == [True]
    for name, path in (("nul", "a\0b.flac"), ("latin", os.fsdecode(os.fsencode(songs) + b"/S\xe4nger.flac"))):
        rows.append(Listed(Track(name, "Ann", Path(path))))
    found = prepare(rows, tmp_path / "out", Rules(min_tracks=1), workers=0)
    assert outcomes(found.folder) == {
        "Ann/good.flac": "kept",
        "latin": "unreadable",
        "nul": "unreadable",
    }
    assert ["cannot hold; rename it" in str(error) for error in found.failures] == [True, True]
    assert prepare(rows, tmp_path / "out", Rules(min_tracks=1), workers=0).stages == found.stages


def test_examining_one_file(library: Path) -> None:
    found = examine(library / "Ann/0.flac")
    assert not isinstance(found, AudioError)
    assert found.sha256 == content_hash(library / "Ann/0.flac")
    assert found.vocal > 0.75 and found.pieces.size == -(-found.duration_s // 3) and found.words.any()
    assert isinstance(examine(library / "Cy/short.wav"), TooShortError)


def test_a_file_that_goes_away_while_it_is_read(library: Path, monkeypatch) -> None:
    def gone(path: Path) -> str:
        raise OSError

    monkeypatch.setattr("whosings.catalogue.prepare.content_hash", gone)
    assert isinstance(examine(library / "Ann/0.flac"), MissingFileError)


@pytest.mark.slow
@pytest.mark.parametrize(
    "after", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long), 6]
)
def test_killed_at_any_moment_it_goes_on(done: Prepared, library: Path, tmp_path: Path, after: int) -> None:
    """``kill -9`` once so many tracks are in the journal, then the same command: the result of an uninterrupted run."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "whosings", "prepare", str(library), "--out", str(out), "--workers", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as child:
        while child.poll() is None and _examined(out) < after + 1:
            time.sleep(0.02)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    before = _examined(out)
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1  # four files cannot be used
    assert before <= 7
    ours, theirs = everything(out), everything(done.folder)
    assert {k for k in ours if ".partial" not in k} - {"summary.png"} == set(theirs)
    assert all(ours[name] == theirs[name] for name in theirs if name.endswith((".flac", ".csv", ".parquet")))


def _examined(out: Path) -> int:
    import sqlite3

    try:
        with sqlite3.connect(f"file:{out / 'journal.sqlite'}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT count(*) FROM tracks WHERE sha256 IS NOT NULL").fetchone()[0])
    except sqlite3.Error:
        return 0
