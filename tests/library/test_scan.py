"""A collection is listened to once: whatever moves, is copied, changes, vanishes or cannot be read."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from rich.console import Console

from tests.conftest import singing
from whosings import cli
from whosings.commands.scan import _Stalls
from whosings.console import Report
from whosings.gallery import Gallery
from whosings.library import scan as scanning
from whosings.library import sources
from whosings.library.library_file import Library
from whosings.library.scan import Ear, Scanner, State, missing_files
from whosings.library.sources import in_folder, listed, streamed
from whosings.parallel import Done

RATE = 16_000


@pytest.fixture(scope="module")
def voices():
    """Twelve seconds of each of three generated singers."""
    return [singing(12, seed) for seed in range(3)]


@pytest.fixture
def songs(tmp_path, voices):
    """Three songs in two folders."""
    folder = tmp_path / "songs"
    for place, name in enumerate(("a/one.flac", "a/two.flac", "b/three.flac")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, voices[place], RATE)
    return folder


@pytest.fixture
def scan(run, tiny, tmp_path):
    """Scan in this process; returns (exit code, rows by their path's end, standard error)."""

    def call(source, *words):
        given = ("--library", tmp_path / "l", "--encoder", tiny.folder, "--workers", 0)
        code, out, err = run("scan", source, *given, *words)
        rows = [json.loads(line) for line in out.splitlines()]
        root = str(tmp_path / "songs") + "/"
        return code, {row["path"].removeprefix(root): row for row in rows}, err

    return call


@pytest.fixture
def heard(monkeypatch):
    """Names of the files that are listened to."""
    names = []
    listen = scanning._listen
    monkeypatch.setattr(
        scanning, "_listen", lambda ear, path, here: names.append(Path(path).name) or listen(ear, path, here)
    )
    return names


def states(rows):
    return {name: row["state"] for name, row in rows.items()}


def age(path):
    """Another time of change than before."""
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns - 10**9))


def test_all_is_heard_once_and_kept(songs, scan, heard, tmp_path, tiny, voices):
    code, rows, err = scan(songs)
    assert code == 0 and states(rows) == dict.fromkeys(("a/one.flac", "a/two.flac", "b/three.flac"), "heard")
    assert err.strip() == "3 files: 3 heard"
    assert rows["a/one.flac"]["duration_s"] == pytest.approx(12, abs=0.01) and rows["a/one.flac"]["vocal_s"] > 3
    assert rows["a/one.flac"]["opinion"]["segments"] >= 1
    code, rows, err = scan(songs)
    assert code == 0 and set(states(rows).values()) == {"known"} and err.strip() == "3 files: 3 known"
    assert len(heard) == 3
    with Library(tmp_path / "l") as library:
        track = library.heard(rows["b/three.flac"]["recording"])
        assert track.track_id == str(songs / "b/three.flac")
        expected = tiny.embedder(songs / "b/three.flac")
        assert np.allclose(track.voices[0].mean, expected.vectors.mean(axis=0), atol=1e-5)
        assert track.voices[0].amount == pytest.approx(expected.amount)


def test_answers_are_those_of_identify(songs, scan, run, tiny, tmp_path):
    gallery = ("--gallery", tmp_path / "g", "--encoder", tiny.folder)
    assert run("enrol", "Ann", songs / "a/one.flac", *gallery)[0] == 0
    assert run("enrol", "Bob", songs / "b/three.flac", *gallery)[0] == 0
    _, rows, err = scan(songs, "--gallery", tmp_path / "g")
    files = [songs / name for name in rows]
    answers = json.loads(run("identify", *files, *gallery, "--json")[1])
    for row, answer in zip(rows.values(), answers, strict=True):
        # A kept track has no segments, by which an encoder without short windows tells parts.
        assert row["answer"]["verdict"] == answer["verdict"]
        assert row["answer"]["unknown_probability"] == pytest.approx(answer["unknown_probability"], abs=1e-4)
        assert [v["singer"] for v in row["answer"]["voices"]] == [v["singer"] for v in answer["voices"]]
    assert "3 heard; " in err and "named" in err
    out = run("match", "--library", tmp_path / "l", *gallery, "--json")[1]
    matched = {row["paths"][0]: row["answer"] for row in map(json.loads, out.splitlines())}
    for row in rows.values():
        assert matched[row["path"]]["named"] == row["answer"]["named"]
        assert matched[row["path"]]["verdict"] == row["answer"]["verdict"]


def test_match_writes_a_table_and_lines(songs, scan, run, tiny, tmp_path):
    scan(songs)
    shutil.copy(songs / "a/one.flac", songs / "a/=copy.flac")
    scan(songs)
    gallery = ("--gallery", tmp_path / "g", "--encoder", tiny.folder)
    run("enrol", "=Ann", songs / "a/one.flac", *gallery)
    code, out, err = run("match", "--library", tmp_path / "l", *gallery, "--csv", tmp_path / "t.csv")
    assert code == 0 and err.startswith("3 recordings: ")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "path,recording,verdict,named,worth_a_look,probability" and len(lines) == 5
    found = sum("=Ann" in line for line in lines)
    assert found == sum("'=Ann" in line for line in lines)
    assert len(out.splitlines()) == sum(int(err.split(": ")[1].split(", ")[place].split()[0]) for place in (0, 1))
    code, _, err = run("match", "--library", tmp_path / "none", *gallery)
    assert code == 1 and "no such library" in err


def test_a_moved_file_is_not_heard_again(songs, scan, heard, tmp_path):
    _, before, _ = scan(songs)
    (songs / "c").mkdir()
    (songs / "a/one.flac").rename(songs / "c/first.flac")
    code, rows, err = scan(songs)
    assert code == 0 and len(heard) == 3
    assert rows["c/first.flac"]["state"] == "moved" and rows["c/first.flac"]["moved_from"].endswith("a/one.flac")
    assert rows["c/first.flac"]["recording"] == before["a/one.flac"]["recording"]
    assert "a/one.flac" not in rows and err.strip() == "3 files: 2 known, 1 moved"
    with Library(tmp_path / "l") as library:
        assert len(list(library.files())) == 3


def test_two_files_that_change_places_are_not_heard_again(songs, scan, heard):
    _, before, _ = scan(songs)
    one, two = songs / "a/one.flac", songs / "a/two.flac"
    one.rename(songs / "x")
    two.rename(one)
    (songs / "x").rename(two)
    age(one)
    age(two)
    _, rows, _ = scan(songs)
    assert len(heard) == 3
    assert [rows[n]["recording"] for n in ("a/one.flac", "a/two.flac")] == [
        before[n]["recording"] for n in ("a/two.flac", "a/one.flac")
    ]


def test_a_copy_shares_the_recording(songs, scan, heard):
    _, before, _ = scan(songs)
    shutil.copy(songs / "a/one.flac", songs / "b/again.flac")
    _, rows, _ = scan(songs)
    assert rows["b/again.flac"]["state"] == "copy" and len(heard) == 3
    assert rows["b/again.flac"]["recording"] == before["a/one.flac"]["recording"]
    assert set(states(scan(songs)[1]).values()) == {"known"}


def test_a_changed_file_is_heard_again_and_a_touched_one_is_not(songs, scan, heard, voices, tmp_path):
    _, before, _ = scan(songs)
    age(songs / "a/two.flac")
    soundfile.write(songs / "a/one.flac", voices[0][: 9 * RATE], RATE)
    _, rows, _ = scan(songs)
    assert states(rows) == {"a/one.flac": "changed", "a/two.flac": "known", "b/three.flac": "known"}
    assert heard[3:] == ["one.flac"]
    assert rows["a/one.flac"]["recording"] != before["a/one.flac"]["recording"]
    assert rows["a/one.flac"]["duration_s"] == pytest.approx(9, abs=0.01)


def test_vanished_files_are_told_and_forgotten_on_request(songs, scan, tmp_path):
    scan(songs)
    (songs / "a/one.flac").unlink()
    for _ in range(2):
        code, rows, err = scan(songs)
        assert code == 0 and rows["a/one.flac"] == {"path": str(songs / "a/one.flac"), "state": "missing"}
        assert "1 file is not there any more; --forget-missing forgets" in err
    _, rows, err = scan(songs / "b")
    assert list(rows) == ["b/three.flac"] and "not there" not in err
    _, rows, err = scan(songs, "--forget-missing")
    assert "1 file not there any more, forgotten with 1 recording" in err
    assert "a/one.flac" not in scan(songs)[1]
    with Library(tmp_path / "l") as library:
        assert len(list(library.recordings())) == 2


def test_what_cannot_be_used_is_a_row_and_the_rest_goes_on(songs, scan, heard, monkeypatch):
    (songs / "a/broken.mp3").write_bytes(b"no sound" * 100)
    (songs / "a/empty.wav").write_bytes(b"")
    soundfile.write(songs / "b/silent.flac", np.zeros(5 * RATE), RATE)
    code, rows, err = scan(songs)
    assert code == 1 and len(rows) == 6
    assert {name for name, row in rows.items() if row["state"] == "failed"} == {
        "a/broken.mp3", "a/empty.wav", "b/silent.flac",
    }  # fmt: skip
    silent = rows["b/silent.flac"]["error"]
    assert silent == f"{songs}/b/silent.flac: is silent; use a recording in which somebody sings."
    assert err.startswith("6 files: 3 heard, 3 failed") and silent in err
    assert len(heard) == 6
    (songs / "b/silent.flac").rename(songs / "b/quiet.flac")
    code, rows, _ = scan(songs)
    assert code == 1 and len(heard) == 6
    assert rows["b/quiet.flac"]["error"].startswith(f"{songs}/b/quiet.flac: is silent")
    assert "b/silent.flac" not in rows
    scan(songs, "--again")
    assert sorted(heard[6:]) == ["broken.mp3", "empty.wav", "quiet.flac"]


def test_again_keeps_what_is_heard_now(songs, scan, monkeypatch, tmp_path):
    from whosings.errors import UnreadableAudioError

    listen = scanning._listen
    error = UnreadableAudioError("x", "needs a package", "install it")
    monkeypatch.setattr(scanning, "_listen", lambda ear, path, here: error)
    code, rows, _ = scan(songs)
    assert code == 1 and all(row["error"].endswith("needs a package; install it.") for row in rows.values())
    monkeypatch.setattr(scanning, "_listen", listen)
    assert scan(songs)[0] == 1
    code, again, _ = scan(songs, "--again")
    assert code == 0 and [row["recording"] for row in again.values()] == [row["recording"] for row in rows.values()]
    with Library(tmp_path / "l") as library:
        assert len(dict(library.all_heard())) == 3


def test_files_that_vanish_or_change_while_they_are_scanned(songs, scan, monkeypatch, tmp_path):
    listen = scanning._listen

    def meddle(ear, path, here):
        if path.endswith("one.flac"):
            Path(path).unlink()
        track = listen(ear, path, songs / "a/two.flac" if path.endswith("one.flac") else here)
        if path.endswith("three.flac"):
            age(Path(path))
        return track

    monkeypatch.setattr(scanning, "_listen", meddle)
    code, rows, _ = scan(songs)
    assert code == 1 and rows["a/two.flac"]["state"] == "heard"
    assert "vanished while it was scanned" in rows["a/one.flac"]["error"]
    assert "changed while it was read; scan again" in rows["b/three.flac"]["error"]
    with Library(tmp_path / "l") as library:
        assert len(list(library.recordings())) == 1


def test_a_fault_in_one_file_and_a_lack_of_memory_are_not_kept(songs, scan, monkeypatch, tmp_path):
    class Failing:
        def __init__(self, error):
            self.error = error

        def open(self):
            raise self.error

    listen = scanning._listen
    faults = {"one.flac": MemoryError(), "two.flac": ZeroDivisionError("x"), "three.flac": OSError(5, "I/O error")}
    monkeypatch.setattr(scanning, "_listen", lambda ear, path, here: listen(Failing(faults[here.name]), path, here))
    code, rows, _ = scan(songs)
    assert code == 1 and "use fewer --workers" in rows["a/one.flac"]["error"]
    assert "cannot be heard (ZeroDivisionError: x)" in rows["a/two.flac"]["error"]
    with Library(tmp_path / "l") as library:
        assert not list(library.recordings())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_files_and_folders(songs, scan):
    (songs / "a").chmod(0)
    (songs / "b/three.flac").chmod(0)
    code, rows, _ = scan(songs)
    (songs / "a").chmod(0o755)
    assert code == 1 and "cannot be opened" in rows["a"]["error"]
    assert "cannot be read (Permission denied)" in rows["b/three.flac"]["error"]


def test_a_folder_that_cannot_be_opened_is_a_row(songs, scan, monkeypatch):
    real = Path.iterdir

    def refuse(path):
        if path.name == "a":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    code, rows, _ = scan(songs)
    assert code == 1 and list(states(rows).values()) == ["failed", "heard"]
    assert rows["a"]["error"] == f"{songs}/a: cannot be opened (Permission denied); check its permissions."


def test_a_file_that_ends_its_process_is_a_row_and_is_tried_again(songs, scan, monkeypatch, tmp_path):
    def crash(function, items, workers):
        for item in items:
            crashed = str(item).endswith("two.flac")
            yield Done(item, None, True) if crashed else item if isinstance(item, Done) else Done(item, function(item))

    monkeypatch.setattr(scanning, "each", crash)
    code, rows, _ = scan(songs)
    assert code == 1 and list(states(rows).values()) == ["heard", "failed", "heard"]
    assert "ends the process that reads it" in rows["a/two.flac"]["error"]
    monkeypatch.undo()
    assert states(scan(songs)[1])["a/two.flac"] == "heard"


def test_a_library_of_another_encoder_is_refused(songs, scan, run, tmp_path):
    scan(songs / "b")
    code, _, err = run("scan", songs, "--library", tmp_path / "l", "--encoder", "fast", "--workers", 0)
    assert code == 1 and "was made with encoder tiny" in err and len(err.strip().splitlines()) == 1


def test_a_full_disk_ends_the_scan_in_one_sentence_and_loses_nothing(songs, scan, monkeypatch, tmp_path):
    scan(songs / "b")
    keep = Library._put_recording

    def full(self, sha256, heard, number):
        self._db.execute(f"PRAGMA max_page_count = {self._db.execute('PRAGMA page_count').fetchone()[0]}")
        self._db.execute("CREATE TABLE big (x)")
        return keep(self, sha256, heard, number)

    monkeypatch.setattr(Library, "_put_recording", full)
    code, rows, err = scan(songs / "a")
    assert code == 1 and rows == {} and "full" in err and "free some space" in err
    monkeypatch.undo()
    assert set(states(scan(songs)[1]).values()) == {"heard", "known"}


def test_lists(songs, scan, tmp_path, voices):
    (tmp_path / "list.txt").write_text("songs/a/one.flac\n\nsongs/b/three.flac\r\nsongs/none.mp3\n")
    code, rows, _ = scan(tmp_path / "list.txt")
    assert code == 1 and list(states(rows).values()) == ["heard", "heard", "failed"]
    assert "no such file" in rows["none.mp3"]["error"]
    (tmp_path / "list.m3u8").write_text("#EXTM3U\nsongs/a/two.flac\n")
    assert states(scan(tmp_path / "list.m3u8")[1]) == {"a/two.flac": "heard"}
    (tmp_path / "table.csv").write_text("track_id,singer_id,path\n1,Ann,songs/a/one.flac\n")
    assert states(scan(tmp_path / "table.csv")[1]) == {"a/one.flac": "known"}
    assert states(scan(songs / "a/one.flac")[1]) == {"a/one.flac": "known"}
    assert "is a folder" in scan_one(scan, tmp_path, "songs/a")["error"]


def scan_one(scan, tmp_path, line):
    (tmp_path / "one.txt").write_text(line + "\n")
    (row,) = scan(tmp_path / "one.txt")[1].values()
    return row


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none", None, "cannot be read"),
        ("empty.txt", b"\n", "holds no paths"),
        ("bin.txt", b"\xff\xfe\x00a", "is no list of paths"),
    ],
)
def test_bad_lists(scan, tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, rows, err = scan(tmp_path / name)
    assert code == 1 and not rows and says in err and len(err.strip().splitlines()) == 1


def test_wrong_usage(scan, run, tmp_path, songs):
    assert scan("-", "--watch")[0] == 2 and scan(tmp_path / "l.txt", "--forget-missing")[0] == 2
    (tmp_path / "nothing").mkdir()
    code, _, err = scan(tmp_path / "nothing")
    assert code == 1 and "holds no audio files" in err


def test_a_name_that_is_not_utf8_is_told(songs, scan, tmp_path):
    name = os.fsencode(songs) + b"/a/\xff.flac"
    with open(name, "wb") as file:  # noqa: PTH123
        file.write((songs / "a/one.flac").read_bytes())
    code, rows, _ = scan(songs)
    assert code == 1 and any("not UTF-8" in row.get("error", "") for row in rows.values())


def test_a_stream_gives_each_path_as_it_comes():
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream:
        paths = streamed(stream)
        os.write(write, b"/a.mp3\n")
        assert next(path for path in paths if path is not None) == Path("/a.mp3")
        assert next(paths) is None
        os.write(write, b"/b \xff.mp3\r\n\n")
        assert os.fsencode(next(path for path in paths if path is not None)) == b"/b \xff.mp3"
        os.close(write)
        assert [path for path in paths if path is not None] == []


def test_watching_hears_what_is_new_and_at_rest_once(songs, tiny, tmp_path, heard, voices, monkeypatch):
    monkeypatch.setattr(sources, "_LEAST_BETWEEN_S", 0.0)
    monkeypatch.setattr(sources, "_TIMES_WALK", 0.0)
    monkeypatch.setattr(scanning, "_AT_REST_S", 0.0)
    rounds, found = 0, []

    def act_after_a_round():
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            soundfile.write(songs / "new.flac", voices[0][: 8 * RATE], RATE)
            (songs / "broken.mp3").write_bytes(b"no")
            monkeypatch.setattr(scanning, "_AT_REST_S", 1e9)  # whatever changed in the last thirty years is young
        elif rounds == 2:
            assert len(heard) == 3
            monkeypatch.setattr(scanning, "_AT_REST_S", 0.0)
        elif rounds == 4:
            raise KeyboardInterrupt

    with Library(tmp_path / "l", tiny.embedder.fingerprint) as library:
        scanner = Scanner(library, Ear(str(tiny.folder)), 0)
        with pytest.raises(KeyboardInterrupt):
            for scanned in scanner(sources.watched(songs, found.append, act_after_a_round), skip_known=True):
                if scanned is not None:
                    found.append((Path(scanned.path).name, scanned.state))
    assert found[:3] == [(name, State.HEARD) for name in ("one.flac", "two.flac", "three.flac")]
    assert found[3:] == [("broken.mp3", State.FAILED), ("new.flac", State.HEARD)]


def test_watching_ends_well_when_interrupted(songs, scan, monkeypatch):
    def interrupted(folder, on_refused, on_round):
        yield from sources.in_folder(folder, on_refused)
        (songs / "a/one.flac").unlink()
        on_round()
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "watched", interrupted)
    monkeypatch.setattr(scanning, "_AT_REST_S", 0.0)
    code, rows, err = scan(songs, "--watch")
    assert code == 0 and rows["a/one.flac"]["state"] == "missing"
    assert err.startswith("3 files: 3 heard\n1 file is not there any more")


def test_missing_files_are_those_below_the_folder(songs, scan, tmp_path):
    scan(songs)
    (songs / "a/one.flac").unlink()
    with Library(tmp_path / "l") as library:
        assert list(missing_files(library, songs)) == [str(songs / "a/one.flac")]
        assert list(missing_files(library, songs / "b")) == []
        library.add_file(next(library.files()), 1)
        (tmp_path / "songs-2").mkdir()
        assert list(missing_files(library, tmp_path / "song")) == []


@pytest.mark.slow
def test_two_processes_hear_all(songs, tiny, tmp_path):
    with Library(tmp_path / "l", tiny.embedder.fingerprint) as library:
        found = [row for row in Scanner(library, Ear(str(tiny.folder)), 2)(in_folder(songs, print)) if row is not None]
        assert sorted(Path(row.path).name for row in found) == ["one.flac", "three.flac", "two.flac"]
        assert {row.state for row in found} == {State.HEARD} and len(list(library.recordings())) == 3
    assert list(listed(songs / "a/one.flac")) == [songs / "a/one.flac"]


def _in_child(words, out):
    """The command line in a copy of this process, which has torch loaded."""
    with out.open("w") as file:
        os.dup2(file.fileno(), 1)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 (pytest's own is captured)
    cli.main(words)


def _kill_until_done(words, out, kills, seed, start):
    """Scan, killed at random moments after something was heard; the rows that each run printed.

    Args:
        start: begins a scan; what it returns can be killed and joined.
    """
    rng = np.random.default_rng(seed)
    runs = []
    for attempt in range(kills + 1):
        out.write_text("")
        process = start(words, out)
        while attempt < kills and process.is_alive() and '"heard"' not in out.read_text():
            time.sleep(0.01)
        if attempt < kills:
            time.sleep(float(rng.uniform(0, 1.0)))
            process.kill()
        process.join()
        runs.append([json.loads(line) for line in out.read_text().split("\n")[:-1]])
    return runs


def _whole(runs, songs, folder, fingerprint):
    paths = sorted(map(str, songs.rglob("*.flac")))
    assert sorted(row["path"] for row in runs[-1]) == paths
    heard = [row["sha256"] for rows in runs for row in rows if row["state"] == "heard"]
    assert len(heard) == len(set(heard))
    told = {row["path"] for rows in runs[:-1] for row in rows}
    assert told <= {row["path"] for row in runs[-1] if row["state"] == "known"}
    with Library(folder / "l", fingerprint) as library:
        assert [file.path for file in library.files()] == paths
        recordings = list(library.recordings())
        assert len(recordings) == len(paths)
        assert library._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {library.paths(number)[0]: track for number, track in library.all_heard()}


def _many(folder, count):
    voice = singing(8, 1)
    folder.mkdir()
    for number in range(count):
        soundfile.write(folder / f"{number:03d}.flac", voice * (1 - 0.005 * number), RATE)
    return folder


def test_kill_9_loses_nothing_and_doubles_nothing(tmp_path, tiny):
    songs = _many(tmp_path / "songs", 8)
    words = ["scan", songs, "-l", tmp_path / "l", "--encoder", tiny.folder, "--workers", 0]

    def start(words, out):
        process = get_context("fork").Process(target=_in_child, args=(list(map(str, words)), out))
        process.start()
        return process

    runs = _kill_until_done(words, tmp_path / "out", 2, 0, start)
    tracks = _whole(runs, songs, tmp_path, tiny.embedder.fingerprint)
    path, track = next(iter(tracks.items()))
    assert np.allclose(track.voices[0].mean, tiny.embedder(path).vectors.mean(axis=0), atol=1e-5)


class _Program:
    """The program as people run it, with processes of its own."""

    def __init__(self, words, out):
        with out.open("w") as file:
            words = [sys.executable, "-m", "whosings", *map(str, words)]
            self._process = subprocess.Popen(words, stdout=file, stderr=subprocess.PIPE)

    def is_alive(self):
        return self._process.poll() is None

    def kill(self):
        self._process.kill()

    def join(self):
        self._process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, pytest.param(8, marks=pytest.mark.long)])
def test_kills_lose_nothing_and_double_nothing(tmp_path, tiny, kills):
    songs = _many(tmp_path / "songs", 40)
    words = ["scan", songs, "-l", tmp_path / "l", "--encoder", tiny.folder, "--workers", 1]
    runs = _kill_until_done(words, tmp_path / "out", kills, 1, _Program)
    assert len(_whole(runs, songs, tmp_path, tiny.embedder.fingerprint)) == 40


@pytest.mark.slow
def test_a_stream_is_answered_before_it_ends(songs, tiny, tmp_path):
    words = [sys.executable, "-m", "whosings", "scan", "-", "-l", tmp_path / "l", "--encoder", tiny.folder]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(list(map(str, words)), text=True, **streams) as process:
        for name, state in (("a/one.flac", "heard"), ("a/none.flac", "failed"), ("a/one.flac", "known")):
            process.stdin.write(f"{songs / name}\n")
            process.stdin.flush()
            row = json.loads(process.stdout.readline())
            assert (row["path"], row["state"]) == (str(songs / name), state)
        out, err = process.communicate()
    assert process.returncode == 1 and not out and err.startswith("3 files: 1 heard, 1 known, 1 failed")


def test_a_gallery_of_nobody_is_told_before_the_work(songs, scan, tiny, tmp_path, heard):
    Gallery(tmp_path / "g", tiny.embedder.fingerprint).close()
    code, rows, err = scan(songs, "--gallery", tmp_path / "g")
    assert code == 1 and "nobody is enrolled" in err and not rows and not heard


@pytest.mark.parametrize(("running", "told"), [(("/far/a.mp3", "/far/b.mp3"), True), ((), False)])
def test_files_that_hang_are_told(monkeypatch, running, told):
    """Nothing is told of a stream that has no paths for now."""
    monkeypatch.setattr("whosings.commands.scan._STALL_S", 0.05)
    err = io.StringIO()
    run = Report(err=Console(file=err, soft_wrap=True))
    with _Stalls(run, SimpleNamespace(running=running)) as stalls:
        stalls.go_on()
        end = time.monotonic() + 5
        while told and not err.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.1)
    said = "while reading /far/a.mp3, /far/b.mp3; is a disk or network slow?"
    assert (said in err.getvalue()) is told and bool(err.getvalue()) is told
