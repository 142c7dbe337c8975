"""Choirs on disk: one seed, the same bytes, in any number of processes; resumed, checked, described in tables."""

import hashlib
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from whosings.audio import SAMPLE_RATE
from whosings.catalogue.manifest import read_manifest
from whosings.catalogue.roles import read_roles
from whosings.choir import jobs
from whosings.choir.build import CHECKSUMS, MANIFEST, PUBLISHED, RECIPE, build, write_choir
from whosings.choir.cast import draw_singer
from whosings.choir.jobs import Material
from whosings.choir.plan import Part, Preset, make_plan
from whosings.choir.songs import record
from whosings.errors import ConfigError, TooShortError

PRESET = Preset("custom", Part(3, 3), Part(1, 1), Part(1, 1), targets=2, clones=3, duration_s=3.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A choir, made once and not to be changed."""
    return build(make_plan(PRESET, 5), tmp_path_factory.mktemp("made"))


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_track_has_files_stems_and_a_row(made):
    read = read_manifest(made.path)
    assert made.made == len(read.tracks) == 3 * 3 + 1 + 1 + 2 * 3 and made.kept == 0 and not made.failures
    for track in read.tracks:
        mixture, vocals, instrumental = (
            soundfile.read(path)[0] for path in (track.path, track.vocals_path, track.instrumental_path)
        )
        assert soundfile.info(track.path).samplerate == SAMPLE_RATE and mixture.ndim == 1
        np.testing.assert_allclose(vocals + instrumental, mixture, atol=2 / 32768)
        assert hashlib.sha256(track.path.read_bytes()).hexdigest() == track.sha256
        assert track.genre and track.language and track.title and track.licence == "CC0-1.0"
    real = [track for track in read.tracks if not track.cloned]
    assert all(track.album and 1975 <= int(track.release_date) < 2030 for track in real)
    assert [track.track_id for track in real][:4] == [f"singer-0000/0{n}" for n in range(3)] + ["singer-0001/00"]


def test_songs_are_those_that_singers_record(made):
    for track in made.manifest.tracks[:4]:
        name, number = track.track_id.split("/")
        expected = record(draw_singer(5, int(name.removeprefix("singer-"))), int(number), 3.0)
        np.testing.assert_allclose(soundfile.read(track.vocals_path)[0], expected.vocals, atol=1 / 32768)


def test_clones_name_target_source_method_and_band(made):
    plan = make_plan(PRESET, 5)
    clones = [track for track in made.manifest.tracks if track.cloned]
    assert [(c.target_singer_ids, c.singer_id, c.clone_method, c.instrumental_singer_id, c.title) for c in clones] == [
        ((c.target.name,), c.source.name, c.method, c.owner.name, f"Song {c.song}") for c in plan.clones
    ]


def test_a_clone_over_the_sources_band_has_exactly_that_instrumental(made):
    """But for the balance: band over band, scaled."""
    tracks = {track.track_id: track for track in made.manifest.tracks}
    seen = 0
    for clone in (c for c in made.manifest.tracks if c.cloned and c.instrumental_singer_id == c.singer_id):
        song = tracks.get(f"{clone.singer_id}/{int(clone.title.split()[1]):02d}")
        if song is None:
            continue
        ours, theirs = (soundfile.read(path)[0] for path in (clone.instrumental_path, song.instrumental_path))
        assert np.corrcoef(ours, theirs)[0, 1] > 0.999
        voices = [soundfile.read(path)[0] for path in (clone.vocals_path, song.vocals_path)]
        assert np.corrcoef(*voices)[0, 1] < 0.95
        seen += 1
    assert seen >= 2


def test_sets_have_tables_and_the_closed_one_roles(made):
    folder = made.path.parent
    sizes = {size.name: (size.singers, size.tracks) for size in made.sets}
    assert sizes == {"closed": (3, 9), "train": (1, 1), "validation": (1, 1), "cloned": (2, 6)}
    for name, (_, tracks) in sizes.items():
        assert len(read_manifest(folder / f"{name}.parquet").tracks) == tracks
    split = read_roles(folder / "closed.parquet")
    assert [len(part.tracks) for part in (split.train, split.validation, split.test)] == [3, 3, 3]


def test_pieces_say_where_somebody_sings(made):
    for track in made.manifest.tracks:
        pieces = made.manifest.pieces_by_track[track.track_id]
        vocals = soundfile.read(track.vocals_path)[0]
        assert len(pieces) == -(-vocals.size // (3 * SAMPLE_RATE))
        assert max(piece.vocal for piece in pieces) > 0.9


def test_the_checksums_are_of_every_audio_file_and_sha256sum_reads_them(made):
    folder = made.path.parent
    lines = (folder / CHECKSUMS).read_text()
    assert hashlib.sha256(lines.encode()).hexdigest() == made.digest
    listed = {line.split("  ")[1] for line in lines.splitlines()}
    assert listed == {str(path.relative_to(folder)) for path in folder.rglob("*.flac")}
    done = subprocess.run(["sha256sum", "--check", "--quiet", CHECKSUMS], cwd=folder, check=False)
    assert done.returncode == 0


def test_two_processes_make_the_same_as_one(made, tmp_path):
    again = build(make_plan(PRESET, 5), tmp_path, workers=2)
    assert again.digest == made.digest
    assert hashes(tmp_path) == hashes(made.path.parent)


def test_what_is_missing_is_made_again_and_the_rest_is_kept(tmp_path):
    plan = make_plan(replace(PRESET, closed=Part(2, 1), targets=1), 3)
    first = build(plan, tmp_path)
    before = hashes(tmp_path)
    for name in list(before)[:: len(before) // 7]:
        (tmp_path / name).unlink()
    whole = [t for t in first.manifest.tracks if all(p.exists() for p in (t.path, t.vocals_path, t.instrumental_path))]
    kept = whole[0].path
    stamp = kept.stat().st_mtime_ns
    again = build(plan, tmp_path)
    assert hashes(tmp_path) == before and again.digest == first.digest
    assert kept.stat().st_mtime_ns == stamp
    assert 0 < again.made < first.made and again.made + again.kept == first.made


def test_a_folder_keeps_to_what_it_was_begun_with(tmp_path):
    plan = make_plan(replace(PRESET, closed=Part(1, 1), targets=0), 3)
    build(plan, tmp_path)
    with pytest.raises(ConfigError, match=r"holds another choir \(seed, plan differ\)"):
        build(replace(plan, seed=4), tmp_path)
    with pytest.raises(ConfigError, match="format differ"):
        build(plan, tmp_path, Material(format="opus"))
    (tmp_path / RECIPE).write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        build(plan, tmp_path)


def test_a_folder_can_be_moved(tmp_path):
    write_choir(tmp_path / "a", singers=1, songs=1, duration_s=2.0)
    (tmp_path / "a").rename(tmp_path / "b")
    track = read_manifest(tmp_path / "b" / MANIFEST).tracks[0]
    assert all(path.exists() for path in (track.path, track.vocals_path, track.instrumental_path))


def test_opus_is_smaller_and_the_same_every_time(tmp_path):
    plan = make_plan(replace(PRESET, closed=Part(1, 1), train=Part(0, 0), validation=Part(0, 0), targets=0), 3)
    flac, first, again = (
        build(plan, tmp_path / name, Material(format=format))
        for name, format in (("flac", "flac"), ("a", "opus"), ("b", "opus"))
    )
    assert first.digest == again.digest != flac.digest
    sizes = [built.manifest.tracks[0].path.stat().st_size for built in (flac, first)]
    assert sizes[1] < 0.5 * sizes[0]
    ours, theirs = (soundfile.read(built.manifest.tracks[0].path)[0] for built in (flac, first))
    assert abs(ours.size - theirs.size) < 100
    assert np.corrcoef(ours[: theirs.size], theirs[: ours.size])[0, 1] > 0.9


def test_a_track_that_fails_is_named_and_the_rest_is_there(tmp_path, monkeypatch):
    whole = jobs.record

    def fails(singer, number, *rest, **options):
        if singer.name == "singer-0001":
            raise TooShortError(singer.name, "cannot be sung", "sing something else")
        return whole(singer, number, *rest, **options)

    monkeypatch.setattr(jobs, "record", fails)
    plan = make_plan(replace(PRESET, targets=0), 3)
    built = build(plan, tmp_path)
    assert [failure.subject for failure in built.failures] == ["singer-0001"] * 3
    assert {track.singer_id for track in built.manifest.tracks} == {
        "singer-0000",
        "singer-0002",
        "train-0000",
        "validation-0000",
    }
    monkeypatch.undo()
    assert len(build(plan, tmp_path).manifest.tracks) == 11


def test_nothing_made_at_all_is_an_error(tmp_path, monkeypatch):
    def fails(singer, *rest, **options):
        raise TooShortError(singer.name, "cannot be sung", "sing something else")

    monkeypatch.setattr(jobs, "record", fails)
    with pytest.raises(TooShortError, match="singer-0000"):
        build(make_plan(replace(PRESET, targets=0), 3), tmp_path)


def test_progress_is_told_for_every_job(tmp_path):
    told = []

    def bar(label, steps):
        told.append((label, steps))
        return lambda: told.append(label)

    build(make_plan(replace(PRESET, closed=Part(2, 1), targets=1), 3), tmp_path, progress=bar)
    assert told == [("singing", 5), *["singing"] * 5]


def test_a_write_choir_is_a_choir_without_clones(tmp_path):
    made = write_choir(tmp_path, singers=2, songs=2, duration_s=2.0, seed=3)
    assert {singer: len(tracks) for singer, tracks in made.by_singer.items()} == {"singer-0000": 2, "singer-0001": 2}
    assert json.loads((tmp_path / RECIPE).read_text())["preset"] == "custom"


def test_published_digests_are_of_presets():
    assert all(len(digest) == 64 for digest in PUBLISHED.values())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_is_one_sentence_and_what_was_made_is_kept(tmp_path, workers):
    """Without room for the longest of the files."""
    plan = make_plan(replace(PRESET, targets=0, closed=Part(2, 2), duration_s=3.0), 3)
    build(plan, tmp_path)
    longest = max((tmp_path / "songs").rglob("*.flac"), key=lambda path: path.stat().st_size)
    limit = longest.stat().st_size - 1
    before = hashes(tmp_path)
    longest.unlink()
    code = (
        "import pickle, resource, sys\n"
        "from whosings.choir.build import build\n"
        "if __name__ == '__main__':\n"
        f"    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))\n"
        "    try:\n"
        f"        build(pickle.load(sys.stdin.buffer), {str(tmp_path)!r}, workers={workers})\n"
        "    except OSError as error:\n"
        "        print(error)\n"
    )
    script = tmp_path / "make.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script], input=pickle.dumps(plan), capture_output=True, check=True)
    assert done.stdout.decode() == f"[Errno 27] File too large: '{longest}'\n"
    script.unlink()
    again = build(plan, tmp_path)
    assert (again.made, again.kept) == (1, 5) and hashes(tmp_path) == before


def test_who_works_is_told_of_material_from_the_root(tmp_path, monkeypatch):
    """The processes of a cluster begin in other folders."""

    def each(work, given, workers):
        raise InterruptedError(*{path for job in given for path in (job.material.soundfont, *job.material.voices)})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("whosings.choir.build.each", each)
    Path("band.sf2").write_bytes(b"")
    nobody = Part(0, 0)
    plan = make_plan(Preset("custom", Part(1, 1), nobody, nobody, targets=0, clones=0, duration_s=3.0), 1)
    with pytest.raises(InterruptedError) as caught:
        build(plan, "made", Material(Path("band.sf2"), voices=(Path("band.sf2"),)))
    assert caught.value.args == (tmp_path / "band.sf2",)
