"""From a data set's folder to figures on the command line: datasets, import, split --protocol, evaluate."""

import csv
import json
import re

import pytest
import soundfile

from tests.conftest import RATE, singing
from whosings.catalogue.manifest import read_manifest, trials_path
from whosings.catalogue.open_data.registry import OPEN_DATA_SETS
from whosings.catalogue.roles import read_roles
from whosings.catalogue.trials import read_trials


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Four actors who sing two sentences twice in two moods, as RAVDESS has them, and what else lies there."""
    folder = tmp_path_factory.mktemp("sets") / "songs"
    for actor in range(1, 5):
        place = folder / f"Actor_{actor:02}"
        place.mkdir(parents=True)
        for emotion in (1, 2):
            for statement in (1, 2):
                for take in (1, 2):
                    name = f"03-02-{emotion:02}-01-{statement:02}-{take:02}-{actor:02}.wav"
                    seed = 10 * actor + 4 * emotion + 2 * statement + take
                    soundfile.write(place / name, singing(1.5, seed), RATE)
        (place / "._03-02-01-01-01-01-01.wav").touch()
    (folder / "Actor_01/03-01-01-01-01-01-01.wav").touch()
    return folder


def test_the_whole_way(run, songs, tiny, tmp_path):
    code, out, err = run("import", "ravdess-song", songs, "--out", tmp_path / "tables")
    table = tmp_path / "tables/ravdess-song.parquet"
    assert code == 0 and re.search(r"ravdess-song +4 +32", out), err
    assert "1 passed over: it is spoken; the first is" in err
    assert len(read_manifest(table).tracks) == 32
    code, out, err = run("split", table, "--protocol", "ravdess-song", "--out", tmp_path / "sets")
    assert (code, err) == (0, "")
    digest = re.search(r"digest of ravdess-song, seed 0: ([0-9a-f]{16})$", out.strip())[1]
    assert re.search(r"open, test +4 +16", out) and re.search(r"open, validation +4 +4", out)
    split = read_roles(tmp_path / "sets/open.parquet")
    assert not {t.song for t in split.test.tracks} & {t.song for t in split.train.tracks}
    trials = read_trials(tmp_path / "sets/open.parquet", split.whole)
    same = sum(trial.same_singer for trial in trials)
    assert f"trials: {same} of one singer, {len(trials) - same} of two, 16 of one sex" in out

    # A folder of the set needs no import, and gives the same split.
    code, out, err = run("split", songs, "--protocol", "ravdess-song", "--out", tmp_path / "again", "--json")
    assert code == 0 and json.loads(out)["digest"] == digest and "it is spoken" in err
    assert json.loads(out)["trials"] == {"same": same, "different": len(trials) - same, "same_sex": 16}

    common = (tmp_path / "sets", "--encoder", tiny.folder, "--model", "tiny", "--out", tmp_path / "results")
    code, out, err = run("evaluate", "verification", *common)
    assert code == 0 and f"{same} trials of one singer" in out and "4 singers: EER" in out, err
    assert "at the threshold set for 1%: false accepts" in out and "of one sex" in out
    kept = json.loads((tmp_path / "results/verification-tiny.json").read_text())
    assert kept["same"] == same and 0 <= kept["eer"]["mean"] <= 1
    code, out, err = run("evaluate", "verification", *common, "--json")
    assert code == 0 and json.loads(out) == kept
    # A folder with nothing but such figures has a report, too.
    code, _, err = run("report", tmp_path / "results")
    tables = (tmp_path / "results/report/tables.md").read_text()
    assert code == 0 and "## Verification of a fixed list of trials: tiny" in tables, err
    assert f"{same} trials of one singer" in tables and f"| minDCF, prior 0.05 | {kept['min_dcf']:.3f} |" in tables
    code, out, err = run("evaluate", "closed", *common, "--head", "prototype", "--runs", 1)
    assert code == 0 and re.search(r"closed +tiny +prototype +4 +1 x 16", out), err
    code, out, err = run("evaluate", "product", *common)
    assert code == 0 and "16 + 48 trials" in out, err


def test_a_set_without_roles(run, tiny, songs, tmp_path):
    files = sorted((songs / "Actor_01").glob("03-02-*.wav"))[:2] + sorted((songs / "Actor_02").glob("03-02-*.wav"))[:1]
    folder = tmp_path / "lyrics"
    folder.mkdir()
    with (folder / "JamendoLyrics.csv").open("w", newline="") as file:
        rows = [(path.name, artist) for path, artist in zip(files, ("Ann", "Ann", "Bob"), strict=True)]
        csv.writer(file).writerows([("Filepath", "Artist"), *rows, ("gone.mp3", "Zoë")])
    for path in files:
        (folder / path.name).symlink_to(path)
    code, out, err = run("split", folder, "--protocol", "jamendolyrics", "--out", tmp_path / "sets")
    assert code == 0 and "trials: 1 of one singer, 5 of two\n" in out, err
    words = ("--encoder", "mfcc", "--out", tmp_path / "results")
    code, out, err = run("evaluate", "verification", tmp_path / "sets/open.parquet", *words)
    assert code == 1 and "gone.mp3" in err
    assert "1 trials of one singer, 2 of two, 2 singers: EER" in out and "threshold" not in out
    assert re.search(r"trials left out, with a recording in which nobody is heard +3", out)
    code, _, err = run("evaluate", "closed", tmp_path / "sets", *words)
    assert code == 1 and "roles.parquet: no such file" in err


def test_splits_by_protocol_refuse_what_they_would_spoil(run, songs, tmp_path):
    words = ("--protocol", "ravdess-song", "--out", tmp_path)
    for more in (("--by-album",), ("--open-set",), ("--closed", 3), ("--sung", 0.5)):
        code, _, err = run("split", songs, *words, *more)
        assert code == 2 and "takes --seed alone" in " ".join(err.split())
    code, _, err = run("split", songs, "--protocol", "vocalset", "--out", tmp_path)
    assert code == 1 and "holds no recordings in the form FULL/female1" in err
    assert not list(tmp_path.iterdir())
    assert run("split", songs, *words)[0] == 0 and trials_path(tmp_path / "open.parquet").exists()
    code, _, err = run("split", tmp_path / "open.parquet", *words)
    assert code == 2 and "would be overwritten" in " ".join(err.split())
    (tmp_path / "closed.parquet").touch()
    code, _, err = run("split", songs, *words)
    assert code == 2 and "holds closed.parquet" in " ".join(err.split())


def test_imports_that_make_no_sense(run, songs, tmp_path):
    code, _, err = run("import", "ravdess-song", songs, "--audio", songs, "-o", tmp_path / "x.csv")
    assert code == 2 and "--audio is for fma and mtg" in " ".join(err.split())
    code, _, err = run("import", "mtg", tmp_path / "raw_30s.tsv", "-o", tmp_path / "x.csv")
    assert code == 2 and "is no folder" in " ".join(err.split())
    code, _, err = run("import", "vocalset", tmp_path / "none", "-o", tmp_path / "x.csv")
    assert code == 1 and err.startswith(f"{tmp_path / 'none'}: no such folder")


def test_a_table_in_a_folder_and_audio_elsewhere(run, tmp_path):
    """A clone of MTG-Jamendo's repository: splits of its own lie in data/splits, and no splits of the paper."""
    (tmp_path / "repo/data/splits").mkdir(parents=True)
    line = "track_1\tartist_1\talbum_1\t14/214.mp3\t124.6\tgenre---pop\n"
    head = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
    (tmp_path / "repo/data/raw_30s.tsv").write_text(head + line)
    table = tmp_path / "mtg.parquet"
    code, _, err = run("import", "mtg", tmp_path / "repo", "--audio", tmp_path / "audio", "-o", table)
    assert code == 0 and "1 of 1 audio files are not there" in err
    assert [track.path for track in read_manifest(table).tracks] == [tmp_path / "audio/14/214.mp3"]
    (tmp_path / "repo/splits").mkdir()
    code, _, err = run("import", "mtg", tmp_path / "repo", "--audio", tmp_path / "audio", "-o", table)
    assert code == 1 and "mtg_train_set.json: no such file" in err


def test_data_sets_are_listed_and_shown(run):
    code, out, _ = run("datasets")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == list(OPEN_DATA_SETS)
    code, out, _ = run("datasets", "--json")
    assert code == 0 and {one["name"]: one["commercial_use"] for one in json.loads(out)}["vocalset"] == "yes"
    code, out, _ = run("datasets", "show", "artist20")
    assert code == 0 and re.search("^split: by album: 20% to test, 10% to validate", out, re.MULTILINE)
    code, out, _ = run("datasets", "show", "jamendolyrics", "--json")
    assert code == 0 and json.loads(out)["split"].startswith("no roles")


def test_copies_are_checked(run, tmp_path):
    folder, kept = tmp_path / "set", tmp_path / "index.json"
    folder.mkdir()
    for n in range(25):
        (folder / f"{n:02}.wav").write_bytes(bytes([n]))
    code, out, _ = run("datasets", "index", folder, "--out", kept)
    assert code == 0 and out == f"25 files, 0.0 MB in {kept}\n"
    code, out, _ = run("datasets", "check", folder, "--index", kept)
    assert (code, out) == (0, "25 files listed: 0 missing, 0 changed; 0 extra\n")
    (folder / "00.wav").write_bytes(b"x")
    (folder / "new.wav").touch()
    for n in range(2, 25):
        (folder / f"{n:02}.wav").unlink()
    code, out, _ = run("datasets", "check", folder, "--index", kept)
    lines = out.splitlines()
    assert code == 1 and lines[0] == "missing: 02.wav" and "missing: 3 more, all of them with --json" in lines
    assert lines[-3:] == ["changed: 00.wav", "extra: new.wav", "25 files listed: 23 missing, 1 changed; 1 extra"]
    code, out, _ = run("datasets", "check", folder, "--index", kept, "--sizes-only", "--json")
    assert code == 1 and json.loads(out)["changed"] == [] and len(json.loads(out)["missing"]) == 23
    code, _, err = run("datasets", "index", folder, "--out", folder / "index.json")
    assert code == 2 and "would be a file of it" in " ".join(err.split())
