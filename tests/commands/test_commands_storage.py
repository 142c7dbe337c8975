"""The product on objects of a store: through the command line, by an S3 server, with faults on the way."""

import csv
import io
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet
import pytest
import soundfile

from tests.conftest import singing
from whosings import object_stores, storage
from whosings.catalogue.journal import Journal
from whosings.catalogue.manifest import Manifest, Piece, Track, read_manifest, segments_path, write_manifest
from whosings.errors import ManifestError, StorageError
from whosings.files import write_atomic
from whosings.library.library_file import Library

RATE = 16_000
NAMES = ("a/one.flac", "a/two.flac", "b/three.wav")


@pytest.fixture(scope="module")
def sounds():
    """Files of three generated singers, as bytes by name."""
    found = {}
    for seed, name in enumerate(NAMES):
        file = io.BytesIO()
        soundfile.write(file, singing(7, seed), RATE, format=Path(name).suffix[1:])
        found[name] = file.getvalue()
    return found


@pytest.fixture
def songs(bucket, sounds):
    """The location of a folder with these, and with what is no song."""
    for name, data in sounds.items():
        bucket.put(f"songs/{name}", data)
    for name in ("cover.jpg", "a/.hidden.flac", "a/", "@eaDir/x.flac"):
        bucket.put(f"songs/{name}", b"")
    bucket.put("songs-of-others/four.flac", sounds[NAMES[0]])
    return f"{bucket.url}/songs"


@pytest.fixture
def scan(run, tiny, tmp_path):
    """Scan in this process; returns (exit code, states by what follows ``songs/``, rows, standard error)."""

    def call(source, *words, library=tmp_path / "l", workers=0):
        code, out, err = run("scan", source, "-l", library, "--encoder", tiny.folder, "--workers", workers, *words)
        rows = [json.loads(line) for line in out.splitlines()]
        return code, {row["path"].partition("/songs/")[2]: row["state"] for row in rows}, rows, err

    return call


def gets(bucket):
    return [asked for asked in bucket.asked("GET") if "list-type" not in asked]


def test_a_folder_on_a_store_is_heard_once(bucket, songs, scan, tmp_path, tiny, sounds):
    code, states, rows, err = scan(songs)
    assert code == 0 and states == dict.fromkeys(NAMES, "heard"), err
    assert [row["path"] for row in rows] == [f"{songs}/{name}" for name in NAMES]
    # One request for each song, and one for a thousand names: before all, and in the end for what is gone.
    assert len(gets(bucket)) == 3 and len(bucket.store.requests) == 5
    with Library(tmp_path / "l") as library:
        (tmp_path / "one.flac").write_bytes(sounds[NAMES[0]])
        track = library.heard(rows[0]["recording"])
        assert track.track_id == f"{songs}/{NAMES[0]}"
        expected = tiny.embedder(tmp_path / "one.flac").vectors.mean(axis=0)
        assert track.voices[0].mean == pytest.approx(expected, abs=1e-5)
    bucket.store.requests.clear()
    code, states, _, _ = scan(songs)
    assert code == 0 and set(states.values()) == {"known"}
    assert len(bucket.store.requests) == 2 and gets(bucket) == []


def test_what_moves_changes_and_goes(bucket, songs, scan, sounds):
    scan(songs)
    bucket.put("songs/a/one.flac", sounds["a/two.flac"])
    bucket.put("songs/c/three.wav", sounds["b/three.wav"])
    bucket.client.delete_object(Bucket=bucket.name, Key="songs/b/three.wav")
    code, states, rows, err = scan(songs, "--forget-missing")
    assert code == 0, err
    assert states == {"a/one.flac": "copy", "a/two.flac": "known", "c/three.wav": "moved"}
    assert rows[2]["moved_from"] == f"{songs}/b/three.wav"
    bucket.client.delete_object(Bucket=bucket.name, Key="songs/c/three.wav")
    code, states, _, err = scan(songs, "--forget-missing")
    assert code == 0 and states["c/three.wav"] == "missing"
    assert "1 file not there any more, forgotten with 1 recording" in err


def test_the_same_bytes_put_again_are_known(bucket, songs, scan, sounds):
    """The store's clock went on, or back: nothing is fetched for that."""
    scan(songs)
    bucket.put("songs/a/one.flac", sounds["a/one.flac"])
    bucket.store.requests.clear()
    assert scan(songs)[1]["a/one.flac"] == "known" and gets(bucket) == []


@pytest.mark.parametrize(
    ("kind", "more", "says"),
    [
        (500, {}, "could not be read in 5 tries"),
        ("cut", {}, "could not be read in 5 tries"),
        ("short", {}, "could not be read in 5 tries"),
        ("damaged", {}, "arrived with another MD5"),
        (403, {"code": "AccessDenied"}, "may not be read with these credentials (AccessDenied)"),
    ],
)
def test_a_bad_object_costs_no_other_and_the_next_scan_heals(bucket, songs, scan, kind, more, says):
    bucket.fail(kind, "two.flac", **more)
    code, states, rows, err = scan(songs)
    assert code == 1 and states == {"a/one.flac": "heard", "a/two.flac": "failed", "b/three.wav": "heard"}
    error = next(row["error"] for row in rows if row["state"] == "failed")
    assert error.startswith(f"{songs}/a/two.flac: ") and says in error and error in err
    assert "Traceback" not in err and "not-to-be-shown" not in err + error and "/tmp" not in error
    bucket.store.faults.clear()
    code, states, _, _ = scan(songs)
    assert code == 0 and states == {"a/one.flac": "known", "a/two.flac": "heard", "b/three.wav": "known"}


def test_what_is_no_recording_is_kept_as_such(bucket, songs, scan, sounds):
    """A half-written file is the recording's fault, and not the store's: it is not fetched again."""
    bucket.put("songs/a/two.flac", sounds["a/two.flac"][:30_000])
    for _ in range(2):
        code, states, rows, _ = scan(songs)
        error = next(row["error"] for row in rows if row["state"] == "failed")
        assert code == 1 and states["a/two.flac"] == "failed"
        assert error.startswith(f"{songs}/a/two.flac: ") and "/tmp" not in error
    assert len([asked for asked in gets(bucket) if "two.flac" in asked]) == 1


def test_a_store_that_cannot_be_listed_is_one_sentence(bucket, scan, songs):
    code, _, _, err = scan("s3://no-such-bucket-here/songs")
    assert code == 1 and err.strip() == (
        "s3://no-such-bucket-here/songs/: no such bucket; check its name, and the account or endpoint."
    )
    assert "holds no audio files" in scan(f"{bucket.url}/none")[3]
    bucket.fail(403, "list-type", code="AccessDenied")
    code, _, _, err = scan(songs)
    assert code == 1 and "may not be listed with these credentials (AccessDenied)" in err
    assert run_count(err) == 1


def run_count(err):
    return len(err.strip().splitlines())


@pytest.mark.slow
def test_processes_of_their_own_hear_objects(bucket, songs, scan):
    bucket.fail("cut", "two.flac", times=1)
    code, states, _, err = scan(songs, workers=1)
    assert code == 0 and states == dict.fromkeys(NAMES, "heard"), err


def test_lists_and_tables_name_objects(bucket, songs, scan, tmp_path, sounds):
    (tmp_path / "here.flac").write_bytes(sounds[NAMES[0]])
    (tmp_path / "list.txt").write_text(f"{songs}/a/two.flac\nhere.flac\n{(tmp_path / 'here.flac').as_uri()}\n")
    code, _, rows, err = scan(tmp_path / "list.txt")
    assert code == 0, err
    assert [row["path"] for row in rows] == [f"{songs}/a/two.flac", *[str(tmp_path / "here.flac")] * 2]
    bucket.put("songs/list.m3u8", b"#EXTM3U\na/one.flac\n")
    assert [row["path"] for row in scan(f"{songs}/list.m3u8")[2]] == [f"{songs}/a/one.flac"]
    write_manifest(Manifest((Track("t", "Ann", f"{songs}/b/three.wav"),)), f"{bucket.url}/tables/t.parquet")
    assert [row["path"] for row in scan(f"{bucket.url}/tables/t.parquet")[2]] == [f"{songs}/b/three.wav"]
    assert [row["path"] for row in scan(f"{songs}/a/one.flac")[2]] == [f"{songs}/a/one.flac"]


def test_watching_is_for_folders_here(scan, songs):
    code, _, _, err = scan(songs, "--watch")
    assert code == 2 and "--watch counts for a folder of this machine" in err


# ---------------------------------------------------------------------- libraries and results


def test_a_library_may_lie_on_the_store(bucket, songs, scan, run, tmp_path):
    library = f"{bucket.url}/kept/songs.library"
    assert scan(songs, library=library)[0] == 0
    first = bucket.get("kept/songs.library")
    assert first.startswith(b"SQLite format 3")
    bucket.store.requests.clear()
    assert set(scan(songs, library=library)[1].values()) == {"known"}
    assert bucket.asked("PUT") == []  # nothing was changed
    code, _, err = run("match", "-l", f"{bucket.url}/none.library", "-g", tmp_path / "g")
    assert code == 1 and err.startswith(f"{bucket.url}/none.library: no such library")


def test_somebody_else_who_changed_the_library_is_not_overwritten(bucket, songs, scan, monkeypatch, tmp_path):
    library = f"{bucket.url}/songs.library"
    scan(f"{songs}/a/one.flac", library=library)
    monkeypatch.chdir(tmp_path)
    bucket.fail("call", "two.flac", times=1, then=lambda: bucket.put("songs.library", b"theirs"))
    code, states, _, err = scan(songs, library=library)
    assert code == 1 and states["a/two.flac"] == "heard"
    assert bucket.get("songs.library") == b"theirs"
    told = re.search(rf"{library}: was changed by somebody else meanwhile; what was done is kept in (\S+);", err)
    with Library(told[1]) as kept:  # nothing that was heard is lost
        assert kept.count() == 3


def test_embeddings_of_objects_on_the_store(bucket, songs, run, tiny, tmp_path, sounds):
    names = [f"{songs}/{name}" for name in NAMES]
    out = f"{bucket.url}/out/e.parquet"
    (tmp_path / "here.flac").write_bytes(sounds[NAMES[0]])
    bucket.fail(403, "two.flac", code="AccessDenied")
    code, said, err = run("embed", *names, tmp_path / "here.flac", "--out", out, "--encoder", tiny.folder)
    assert code == 1 and "a/two.flac: may not be read" in err and said.strip().endswith(f"in {out}")
    bucket.store.faults.clear()
    code, said, err = run("embed", *names, "--out", out, "--encoder", tiny.folder, "--json")
    assert code == 0 and json.loads(said)["file"] == out, err
    table = pyarrow.parquet.read_table(io.BytesIO(bucket.get("out/e.parquet")))
    rows = table.select(["track_id", "source"]).to_pylist()
    assert {row["source"] for row in rows} == {*names, str(tmp_path / "here.flac")}
    assert {row["track_id"] for row in rows} == {*names, str(tmp_path / "here.flac")}


def test_parts_of_embeddings_on_the_store(bucket, songs, run, tiny):
    words = ("embed", songs, "--out", f"{bucket.url}/parts/", "--encoder", tiny.folder)
    for _ in range(2):
        bucket.store.requests.clear()
        code, _, err = run(*words)
        assert code == 0, err
        asked = [one for one in gets(bucket) if "songs/" in one]
    assert not asked  # what is known by its ETag is not fetched again
    names = {one.location.rpartition("/")[2] for one in storage.listing(f"{bucket.url}/parts")}
    assert len(names) == 2 and {Path(name).suffix for name in names} == {".parquet", ".keys"}
    (part,) = (name for name in names if name.endswith(".parquet"))
    rows = pyarrow.parquet.read_table(io.BytesIO(bucket.get(f"parts/{part}"))).to_pylist()
    assert {row["source"] for row in rows} == {f"{songs}/{name}" for name in NAMES}
    assert all(row["sha256"].startswith("etag:") for row in rows)


def test_who_sings_in_objects(bucket, songs, run, tiny, tmp_path):
    gallery = ("--gallery", tmp_path / "g", "--encoder", tiny.folder)
    code, out, err = run("enrol", "Ann", f"{songs}/a/one.flac", *gallery)
    assert code == 0 and out.startswith("1 recording enrolled"), err
    code, out, err = run("enrol", "Ann", f"{songs}/a/one.flac", *gallery)
    assert "1 already there" in out
    assert f"{songs}/a/one.flac" in run("gallery", "show", "Ann", "--gallery", tmp_path / "g", "--json")[1]
    code, out, err = run("identify", f"{songs}/a/one.flac", f"{songs}/none.flac", *gallery, "--json")
    assert code == 1 and f"{songs}/none.flac: no such object; check the location." in err
    assert [answer["track_id"] for answer in json.loads(out)] == [f"{songs}/a/one.flac"]
    assert run("identify", f"{songs}/a/one.flac", *gallery)[1].startswith("one.flac: ")
    code, out, err = run("verify", f"{songs}/a/one.flac", f"{songs}/a/two.flac", "--encoder", tiny.folder, "--json")
    assert code == 0, err
    code, out, err = run("activity", f"{songs}/b/three.wav", "--json")
    assert json.loads(out)[0]["file"] == f"{songs}/b/three.wav"


def test_tables_are_put(bucket, songs, scan, run, tiny, tmp_path):
    scan(songs)
    gallery = ("--gallery", tmp_path / "g", "--encoder", tiny.folder)
    run("enrol", "Ann", f"{songs}/a/one.flac", *gallery)
    code, _, err = run("match", "-l", tmp_path / "l", *gallery, "--csv", f"{bucket.url}/r/songs.csv")
    assert code == 0, err
    rows = list(csv.DictReader(io.StringIO(bucket.get("r/songs.csv").decode())))
    assert [row["path"] for row in rows] == [f"{songs}/{name}" for name in NAMES]


def test_a_song_of_a_library_is_named_by_its_location(songs, scan, run, tiny, tmp_path):
    assert scan(songs)[0] == 0
    code, out, err = run("find", f"{songs}/a/one.flac", "-l", tmp_path / "l", "--encoder", tiny.folder, "--json")
    assert code == 0, err
    found = {path for match in json.loads(out)[0]["matches"] for path in match["paths"]}
    assert found == {f"{songs}/{name}" for name in NAMES[1:]}


def test_an_option_for_files_here_says_so(run, tmp_path, monkeypatch):
    """And makes no folder that is called ``s3:``."""
    monkeypatch.chdir(tmp_path)
    code, _, err = run("gallery", "list", "--gallery", "s3://bucket/a.gallery")
    assert code == 2 and "s3://bucket/a.gallery is on a store" in err
    code, _, err = run("index", "--library", "s3://bucket/songs.library")
    assert code == 2 and "s3://bucket/songs.library is on a store" in " ".join(err.split())
    code, _, err = run("serve", "--library", "s3://bucket/a.library")
    assert code == 2 and "is on a store" in err
    with pytest.raises(OSError, match="is on a store"):
        write_atomic(Path("s3://bucket/a.txt"), b"")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- manifests


def manifest_of(*tracks):
    return Manifest(tuple(tracks), (Piece(tracks[0].track_id, 0.0, 0.5),))


def test_manifests_on_the_store(bucket, tmp_path):
    table = f"{bucket.url}/t/songs.parquet"
    inside, outside = f"{bucket.url}/t/audio/a b.flac", "s3://elsewhere/b.flac"
    first = Track("1", "Ann", inside, vocals_path=f"{bucket.url}/t/stems/v.flac")
    second, third = Track("2", "Bob", outside), Track("3", "Bob", tmp_path / "c.flac")
    bucket.put("t/songs.roles.parquet", b"of other tracks")
    given = manifest_of(first, second, third)
    write_manifest(given, table)
    assert read_manifest(table) == given
    kept = pyarrow.parquet.read_table(io.BytesIO(bucket.get("t/songs.parquet"))).to_pylist()
    assert [row["path"] for row in kept] == ["audio/a b.flac", outside, str(tmp_path / "c.flac")]
    assert sorted(storage.walk(f"{bucket.url}/t")) == [table, f"{bucket.url}/t/songs.segments.parquet"]
    write_manifest(Manifest((second,)), table)  # pieces of former tracks go
    assert read_manifest(table) == Manifest((second,))
    # The same table here.
    write_manifest(given, tmp_path / "t.csv")
    assert read_manifest((tmp_path / "t.csv").as_uri()) == given
    assert segments_path(tmp_path / "t.csv").exists()


def test_bad_manifests_are_named_by_their_location(bucket):
    table = bucket.put("t/songs.csv", b"track_id,singer_id,path,moon\n1,Ann,a.flac,x\n")
    with pytest.raises(ManifestError, match=f"^{table}: unknown column moon"):
        read_manifest(table)
    bucket.put("t/songs.csv", b"track_id,singer_id,path\n1,Ann,a.flac\n")
    bucket.put("t/songs.segments.csv", b"track_id,start_s,vocal\n2,0.0,0.5\n")
    with pytest.raises(ManifestError, match=rf"^{bucket.url}/t/songs.segments.csv: "):
        read_manifest(table)
    bucket.put("t/songs.parquet", b"PAR1 half-written")
    with pytest.raises(ManifestError, match=rf"^{bucket.url}/t/songs.parquet: cannot be read"):
        read_manifest(f"{bucket.url}/t/songs.parquet")
    with pytest.raises(StorageError, match="no such object"):
        read_manifest(f"{bucket.url}/t/none.parquet")


def tables_of(folder):
    """Tracks that were listed, by id, without where they lay; what lies in a preparation's folder, by name."""
    with (folder / "tracks.csv").open() as file:
        rows = {row["track_id"]: {**row, "path": ""} for row in csv.DictReader(file)}
    sound = {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.flac"))}
    return rows, sound


def singers(place, names=NAMES):
    """A table's tracks, in a folder here or on a store."""
    return Manifest(tuple(Track(name, "Bob" if "b/" in name else "Ann", f"{place}/{name}") for name in names))


ALL = ("--min-tracks", 1, "--min-vocal", 0, "--workers", 0, "--json")


def test_a_catalogue_on_the_store_is_prepared_as_here(bucket, songs, run, tmp_path, sounds):
    for name, data in sounds.items():
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / name).write_bytes(data)
    write_manifest(singers(tmp_path / "here"), tmp_path / "here.parquet")
    write_manifest(singers(songs), f"{bucket.url}/t/there.parquet")
    assert run("prepare", tmp_path / "here.parquet", "--out", tmp_path / "one", *ALL)[0] == 0
    there = ("prepare", f"{bucket.url}/t/there.parquet", "--out", tmp_path / "two", *ALL)
    bucket.store.reset()
    code, out, err = run(*there)
    assert code == 0 and json.loads(out)["stages"][-1]["tracks"] == 3, err
    assert tables_of(tmp_path / "two") == tables_of(tmp_path / "one")
    assert {track.track_id for track in read_manifest(tmp_path / "two/manifest.parquet").tracks} == set(NAMES)
    heard = [asked for asked in gets(bucket) if "/songs/" in asked]
    assert len(heard) == 6, "each is fetched to be heard, and to be stored"
    bucket.store.reset()
    assert run(*there)[0] == 0 and not [asked for asked in gets(bucket) if "/songs/" in asked]
    bucket.put(f"songs/{NAMES[1]}", sounds[NAMES[2]])
    bucket.store.reset()
    code, out, _ = run(*there)
    assert code == 0 and json.loads(out)["stages"][0]["outcome"] == "conflicting singers"
    assert {asked.partition("/songs/")[2] for asked in gets(bucket) if "/songs/" in asked} == {NAMES[1]}


def test_stems_of_a_catalogue_on_the_store(bucket, songs, run, tmp_path, sounds):
    (tmp_path / "stems/a").mkdir(parents=True)
    names = (f"a/{10 * 'a long name of a song '}.flac", *NAMES[1:])
    bucket.put(f"songs/{names[0]}", sounds[NAMES[0]])
    sounds = {**sounds, names[0]: sounds[NAMES[0]]}
    for name in names[:2]:
        sound, rate = soundfile.read(io.BytesIO(sounds[name]))
        soundfile.write(tmp_path / "stems" / f"{name.removesuffix('.flac')}.vocals.flac", sound / 2, rate)
    write_manifest(singers(songs, names), f"{bucket.url}/t.parquet")
    words = ("prepare", f"{bucket.url}/t.parquet", "--out", tmp_path / "p", "--separate", f"stems:{tmp_path / 'stems'}")
    code, out, err = run(*words, *ALL)
    assert code == 1 and json.loads(out)["stages"][-1]["tracks"] == 2
    assert "three.vocals.flac: no such stem" in err and err.count("\n") == 2
    for track in read_manifest(tmp_path / "p/manifest.parquet").tracks:
        ours, _ = soundfile.read(track.vocals_path)
        right, _ = soundfile.read(io.BytesIO(sounds[track.track_id]))
        assert abs(ours - right / 2).max() < 1e-3


def test_bad_objects_of_a_catalogue_cost_no_other(bucket, songs, run, tmp_path, sounds):
    bucket.put("songs/bad.flac", b"no music")
    write_manifest(singers(songs, (*NAMES, "bad.flac", "none.flac")), f"{bucket.url}/t.parquet")
    words = ("prepare", f"{bucket.url}/t.parquet", "--out", tmp_path / "p", *ALL)
    bucket.fail(403, of=NAMES[0])
    code, out, err = run(*words)
    assert code == 1 and json.loads(out)["stages"][-1]["tracks"] == 2
    for name, says in ((NAMES[0], "may not be read"), ("bad.flac", "is not audio"), ("none.flac", "no such object")):
        (line,) = [line for line in err.splitlines() if f"{songs}/{name}: " in line]
        assert says in line and "/tmp" not in line.replace(songs, "")
    bucket.store.reset()
    code, out, err = run(*words)
    assert code == 1 and json.loads(out)["stages"][-1]["tracks"] == 3 and NAMES[0] not in err
    kept = tables_of(tmp_path / "p")
    bucket.fail(500)
    table = tmp_path / "t.parquet"
    write_manifest(singers(songs), table)
    code, out, err = run("prepare", table, "--out", tmp_path / "p", *ALL)
    assert code == 1 and err.count("\n") == 2, "nobody says that anything changed, and that is told once"
    assert "so whether it has changed is not known, nor of 2 others" in err
    rows = {name: row for name, row in kept[0].items() if name in NAMES}
    assert tables_of(tmp_path / "p") == (rows, kept[1])


def test_an_object_that_changes_between_hearing_and_storing_is_told(bucket, songs, run, tmp_path, sounds, monkeypatch):
    write_manifest(singers(songs), f"{bucket.url}/t.parquet")
    words = ("prepare", f"{bucket.url}/t.parquet", "--out", tmp_path / "p", *ALL)
    original = Journal.match

    def match(journal):
        bucket.put(f"songs/{NAMES[1]}", sounds[NAMES[0]])
        return original(journal)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "match", match)
        code, _, err = run(*words)
    assert code == 1 and f"{songs}/{NAMES[1]}: was changed by somebody else meanwhile" in err
    code, out, _ = run(*words)
    assert code == 0 and json.loads(out)["stages"][0]["outcome"] == "duplicate"


def test_without_room_for_temporary_files_a_song_is_told(bucket, songs, run, tmp_path, monkeypatch):
    write_manifest(singers(songs), tmp_path / "t.parquet")
    original, calls = TemporaryDirectory, []

    def full(**given):
        calls.append(given)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return original(**given)

    monkeypatch.setattr("whosings.storage.tempfile.TemporaryDirectory", full)
    code, out, err = run("prepare", tmp_path / "t.parquet", "--out", tmp_path / "p", *ALL)
    assert code == 1 and json.loads(out)["stages"][-1]["tracks"] == 2
    assert "two.flac: does not fit into /" in err and "free some space, or set TMPDIR to a larger disk." in err


def test_another_detector_listens_anew_though_the_store_does_not_say(bucket, songs, run, tmp_path):
    write_manifest(singers(songs), tmp_path / "t.parquet")
    words = ("prepare", tmp_path / "t.parquet", "--out", tmp_path / "p", *ALL)
    assert run(*words)[0] == 0
    with Journal(tmp_path / "p/journal.sqlite", "another detector"):
        pass
    bucket.fail(403, of="HEAD")
    bucket.store.requests.clear()
    run(*words)
    assert {asked.partition("/songs/")[2] for asked in gets(bucket) if "/songs/" in asked} == set(NAMES)


def test_what_prepare_takes_from_a_store(bucket, songs, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("prepare", songs)
    assert code == 1 and songs in err and "track table" in err
    for option in ("--out", "--annotations"):
        code, _, err = run("prepare", f"{bucket.url}/t.parquet", option, f"{bucket.url}/t.csv")
        assert code == 2 and "this takes a file of this machine" in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "s3:").exists()


def test_no_copy_is_left(bucket, songs, scan, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    bucket.fail("cut", "two.flac")
    scan(songs, library=f"{bucket.url}/l")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_pieces_of_a_song(bucket, songs, scan, monkeypatch):
    monkeypatch.setattr(storage, "_PIECE", 50_000)
    monkeypatch.setattr(object_stores, "_PAGE", 2)
    code, states, _, err = scan(songs)
    assert code == 0 and states == dict.fromkeys(NAMES, "heard"), err
