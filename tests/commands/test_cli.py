"""The real command line, in this process and in children, with a tiny encoder."""

import json
import re
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.conftest import singing
from whosings import __version__, audio
from whosings.catalogue.manifest import Manifest, write_manifest
from whosings.gallery import Gallery

RATE = 16_000


@pytest.fixture
def singers(tmp_path, run, tiny, choir_folder):
    """A gallery of the small choir's first two songs each."""
    gallery = tmp_path / "g"
    for number in range(6):
        songs = [choir_folder / f"songs/singer-{number:04d}/song-0{n}.flac" for n in (0, 1)]
        assert run("enrol", f"singer-{number:04d}", *songs, "-g", gallery, "--encoder", tiny.folder)[0] == 0
    return gallery


def test_help_lists_every_verb(run):
    code, out, _ = run("--help")
    assert code == 0
    verbs = "enrol gallery identify verify activity embed annotate prepare separate import split train calibrate demo"
    for verb in verbs.split():
        assert re.search(rf"^ *{verb} ", out, re.MULTILINE), verb
        code, text, _ = run(verb, *(["fit"] if verb == "gallery" else []), "--help")
        assert code == 0
        assert "--json" in text, verb


def test_help_groups_verbs_and_hides_aliases(run):
    lines = run("--help")[1].splitlines()
    places = [lines.index(f"{title}:") for title in ("Singers", "Catalogues", "Research")]
    assert places == sorted(places)
    assert not any(re.match(r" *(list|remove) ", line) for line in lines)


def test_care_of_a_gallery(run, singers):
    def names():
        return [row["name"] for row in json.loads(run("gallery", "list", "-g", singers, "--json")[1])]

    assert run("gallery", "rename", "singer-0000", "Ann", "-g", singers)[:2] == (0, "singer-0000 is called Ann now\n")
    code, out, _ = run("gallery", "merge", "singer-0001", "Ann", "-g", singers)
    assert (code, out) == (0, "singer-0001 is part of Ann now, who has 4 recordings\n")
    assert run("gallery", "remove", "singer-0002", "-g", singers)[0] == 0
    assert names() == ["Ann", "singer-0003", "singer-0004", "singer-0005"]
    code, out, _ = run("gallery", "check", "-g", singers)
    assert code == 0 and out.endswith("is whole: 4 singers, 10 recordings\n")
    code, _, err = run("gallery", "rename", "nobody", "Eve", "-g", singers)
    assert code == 1 and "nobody named nobody is enrolled; list the names with: whosings gallery list" in err


def test_version(run):
    assert run("--version") == (0, __version__ + "\n", "")


def test_enrol_list_identify_remove(run, singers, tiny, choir_folder):
    code, out, _ = run("list", "-g", singers, "--json")
    rows = json.loads(out)
    assert [row["name"] for row in rows] == [f"singer-{n:04d}" for n in range(6)]
    assert all(row["tracks"] == 2 for row in rows)
    assert "singer-0003" in run("list", "-g", singers)[1]
    probe = choir_folder / "songs/singer-0002/song-02.flac"
    code, out, _ = run("identify", probe, "-g", singers, "--encoder", tiny.folder, "--json", "--top", 3)
    assert code == 0
    (answer,) = json.loads(out)
    assert answer["verdict"] in ("singer", "unknown")
    assert len(answer["top"]) == 3
    assert "not a proof" in answer["notice"]
    assert answer["timeline"][0].keys() == {"start_s", "duration_s", "singer", "probability"}
    code, out, _ = run("identify", probe, "-g", singers, "--encoder", tiny.folder, "--timeline")
    assert "not a proof" in " ".join(out.split())
    assert "song-02.flac" in out
    assert run("remove", "singer-0002", "-g", singers)[0] == 0
    assert "singer-0002" not in run("list", "-g", singers)[1]
    code, _, err = run("remove", "singer-0002", "-g", singers)
    assert code == 1
    assert "nobody named singer-0002" in err


def test_enrol_from_a_folder_and_again(run, tmp_path, tiny, choir_folder):
    gallery = tmp_path / "g"
    words = ("enrol", "--from", choir_folder / "songs", "-g", gallery, "--encoder", tiny.folder, "--json")
    doubts = {"misfits": [], "duplicates": [], "comparable": False}  # an untrained encoder's ratios are small
    rest = {"singers": 6, "left_out": [], "doubts": doubts, "failed": []}
    assert json.loads(run(*words)[1]) == {"added": 18, "skipped": 0, **rest}
    rest["doubts"] = {**doubts, "comparable": True}  # of what was added, nothing
    assert json.loads(run(*words)[1]) == {"added": 0, "skipped": 18, **rest}


def test_enrol_from_a_manifest_leaves_clones_out(run, tmp_path, tiny, small_choir):
    from dataclasses import replace

    tracks = (replace(small_choir.tracks[0], cloned=True), *small_choir.tracks[1:4])
    write_manifest(Manifest(tracks), tmp_path / "m.csv")
    code, out, _ = run("enrol", "--from", tmp_path / "m.csv", "-g", tmp_path / "g", "--encoder", tiny.folder, "--json")
    assert code == 0
    assert json.loads(out)["added"] == 3


def _library(folder, choir_folder):
    """A song of one singer, one of two, one of nobody; titles and artists in tags."""
    songs = sorted((choir_folder / "songs/singer-0000").glob("*.flac"))
    names = ("Ada/one.flac", "Ada"), ("Ada/two.flac", "Ada feat. Ben"), ("Various Artists/three.flac", "Cy")
    for (name, artist), song in zip(names, songs, strict=True):
        samples, rate = soundfile.read(song)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with soundfile.SoundFile(folder / name, "w", rate, 1) as file:
            file.artist = artist
            file.write(samples)
    return folder


def test_enrol_leaves_out_several_singers_and_nobody(run, tmp_path, tiny, choir_folder):
    folder, gallery = _library(tmp_path / "lib", choir_folder), tmp_path / "g"
    words = ("enrol", "--from", folder, "-g", gallery, "--encoder", tiny.folder)
    code, out, _ = run(*words, "--dry-run", "--json")
    plan = json.loads(out)
    assert code == 0 and not gallery.exists()
    assert plan["singers"] == {"Ada": [str(folder / "Ada/one.flac")]}
    assert [left["reason"] for left in plan["left_out"]] == [
        "the tags name several singers: Ada, Ben",
        "Various Artists is nobody in particular",
    ]
    code, out, _ = run(*words, "--dry-run")
    assert code == 0 and "1 singer would be enrolled; nothing is changed" in out
    code, out, err = run(*words)
    assert code == 0 and "1 recording enrolled; 1 singer" in out and "1 left out: Various Artists" in err
    assert json.loads(run(*words, "--singer-from", "folder", "--json")[1])["added"] == 1, "the guest's song, too"
    assert json.loads(run(*words, "--singer-from", "tag", "--json")[1])["singers"] == 2
    assert run("enrol", "Ada", folder / "Ada/one.flac", "--singer-from", "tag", "-g", gallery)[0] == 2


def test_one_singer_however_the_name_is_typed(run, tmp_path, tiny, choir_folder):
    songs, gallery = sorted((choir_folder / "songs/singer-0000").glob("*.flac")), tmp_path / "g"
    for name, song in zip(("\u00c9va  Moor", "E\u0301va Moor\u200b", "\u00c9VA MOOR"), songs, strict=True):
        assert run("enrol", name, song, "-g", gallery, "--encoder", tiny.folder)[0] == 0
    assert [row["name"] for row in json.loads(run("gallery", "list", "-g", gallery, "--json")[1])] == ["\u00c9va Moor"]
    assert run("gallery", "rename", "\u00e9va moor", "Eva M.", "-g", gallery)[0] == 0
    assert run("gallery", "remove", "eva m.", "-g", gallery)[0] == 0
    code, _, err = run("enrol", "\x1b[31mEva", songs[0], "-g", gallery, "--encoder", tiny.folder)
    assert code == 1 and "no text" in err and "\x1b" not in err


def test_files_that_may_not_be_read_are_failures_among_others(run, tmp_path, tiny, choir_folder, singers, monkeypatch):
    import os

    song = choir_folder / "songs/singer-0000/song-00.flac"
    locked = tmp_path / "locked.flac"
    locked.write_bytes(b"no audio")
    monkeypatch.setattr(os, "access", lambda path, *_, **__: Path(path) != locked)
    for words in (
        ["identify", locked, song, "-g", singers],
        ["enrol", "Eve", locked, song, "-g", singers],
        ["embed", locked, song, "-o", tmp_path / "e.parquet"],
    ):
        code, out, err = run(*words, "--encoder", tiny.folder, "--json")
        assert code == 1 and "1 failure:" in err and out, words


def test_hostile_names_do_not_reach_the_terminal(run, tmp_path, tiny, choir_folder, singers):
    song = tmp_path / "a\x1b[2J\u202eb.flac"
    song.symlink_to(choir_folder / "songs/singer-0000/song-00.flac")
    gone = tmp_path / "gone\x1b[2J\udce9.flac"
    for json_ in ([], ["--json"]):
        code, out, err = run("identify", song, gone, "-g", singers, "--encoder", tiny.folder, *json_)
        assert code == 1 and "gone" in err
        assert not {"\x1b", "\u202e", "\udce9"} & set(out + err)
    code, out, err = run("activity", song, gone)
    assert not {"\x1b", "\u202e", "\udce9"} & set(out + err)


def test_identify_draws(run, singers, tiny, choir_folder, tmp_path):
    probe = choir_folder / "songs/singer-0002/song-02.flac"
    code, _, _ = run("identify", probe, "-g", singers, "--encoder", tiny.folder, "--picture", tmp_path / "p.png")
    assert code == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_never_replaces_what_is_read(run, singers, tiny, choir_folder, tmp_path):
    probe = tmp_path / "song.png"  # a name that lies does not matter to decoders
    probe.write_bytes((choir_folder / "songs/singer-0002/song-02.flac").read_bytes())
    before = probe.read_bytes()
    for picture, says in ((probe, "also an input"), (tmp_path / "p.jpg", "should end with .png"), (tmp_path, ".png")):
        code, out, err = run("identify", probe, "-g", singers, "--encoder", tiny.folder, "--picture", picture)
        assert code == 2 and says in err and out == ""
    assert probe.read_bytes() == before


def test_verify(run, tiny, choir_folder):
    files = [choir_folder / f"songs/singer-000{n}/song-00.flac" for n in (0, 1)]
    code, out, _ = run("verify", files[0], files[0], "--encoder", tiny.folder, "--json")
    assert code == 0
    result = json.loads(out)
    assert result["same"] is True
    assert result["score"] == pytest.approx(1, abs=1e-4)
    assert "not a proof" in result["notice"]
    code, out, _ = run("verify", *files, "--encoder", tiny.folder)
    assert code == 0
    assert re.search(r"(one singer|different singers): probability", out)


def test_activity(run, choir_folder, tmp_path):
    quiet = np.concatenate([np.zeros(6 * RATE), singing(6)])
    soundfile.write(tmp_path / "a.wav", quiet, RATE)
    code, out, _ = run("activity", tmp_path / "a.wav", "--json")
    assert code == 0
    (row,) = json.loads(out)
    assert row["method"] == "network"
    assert [p > 0.5 for p in row["probability"]] == [False, False, True, True]
    assert "50% sung" in run("activity", tmp_path / "a.wav")[1]


def test_activity_refuses_what_is_too_short(run, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(1), RATE)
    code, _, err = run("activity", tmp_path / "a.wav")
    assert code == 1 and "lasts 0.00 s, less than 1" in err


def test_embed_goes_on_where_it_stopped(run, tmp_path, tiny, choir_folder):
    files = sorted((choir_folder / "songs").glob("*/song-00.flac"))
    out = tmp_path / "e.parquet"
    first = json.loads(run("embed", *files[:3], "-o", out, "--encoder", tiny.folder, "--json")[1])
    second = json.loads(run("embed", *files, "-o", out, "--encoder", tiny.folder, "--json")[1])
    assert second["segments"] > first["segments"] > 0
    assert second["fingerprint"] == tiny.embedder.checkpoint.fingerprint


def test_embed_writes_parquet_and_nothing_else(run, tmp_path, tiny, choir_folder):
    song = tmp_path / "song.parquet"
    song.write_bytes((choir_folder / "songs/singer-0000/song-00.flac").read_bytes())
    for out, says in ((tmp_path / "e.csv", "should end with .parquet"), (song, "also an input")):
        code, _, err = run("embed", song, "-o", out, "--encoder", tiny.folder)
        assert code == 2 and says in " ".join(err.split())


def test_train_then_use(run, tmp_path, choir_folder):
    out = tmp_path / "run"
    words = ["train", choir_folder / "choir.parquet", "-o", out, "--model", "tiny", "--pairs", "hybrid"]
    settings = {"batch_pairs": 3, "iterations_per_epoch": 2, "max_epochs": 2, "workers": 0, "accelerator": "cpu"}
    for key, value in settings.items():
        words += ["--set", f"training.{key}={value}"]
    code, text, err = run(*words, "--set", "training.max_minutes=1e-6")
    assert code == 0 and "after 1 epochs" in text and "time is over; rerun the same command to go on" in text, err
    code, text, err = run(*words, "--json")
    assert code == 0, err
    result = json.loads(text)
    assert result["epochs"] == 2
    assert result["calibrated"] is True
    gallery = tmp_path / "g"
    assert run("enrol", "--from", choir_folder / "songs", "-g", gallery, "--encoder", out / "best")[0] == 0
    probe = choir_folder / "songs/singer-0002/song-02.flac"
    code, text, _ = run("identify", probe, "-g", gallery, "--encoder", out / "best", "--json")
    assert json.loads(text)[0]["top"]


def test_calibrate(run, tiny, choir_folder, tmp_path):
    import shutil

    shutil.copytree(tiny.folder, tmp_path / "m")
    code, out, _ = run(
        "calibrate", tmp_path / "m", "--from", choir_folder / "choir.parquet", "--stem", "vocal", "--json"
    )
    assert code == 0
    assert json.loads(out)["same_trials"] == 18 * 4  # of eight segments or more: whole, halved and so on
    code, _, err = run("calibrate", tmp_path / "none", "--from", choir_folder / "choir.parquet")
    assert code == 1
    assert "is not a checkpoint's folder" in err


def test_demo_on_a_folder(run, tmp_path, tiny, choir_folder):
    code, out, _ = run("demo", "--songs", choir_folder / "songs", "-o", tmp_path / "d", "--encoder", tiny.folder)
    assert code == 0
    assert "6 singers enrolled, 6 held-back probes" in " ".join(out.split())
    assert (tmp_path / "d/timeline.png").exists()


def test_wrong_usage_exits_with_2(run, tmp_path):
    for words in (
        ["identify"],
        ["enrol", "Ann"],
        ["sing"],
        ["enrol", "Ann", "a.mp3", "--from", tmp_path],
        ["enrol", "a.mp3", "b.mp3"],
    ):
        code, _, err = run(*words)
        assert code == 2, words
        assert err


def test_outputs_that_cannot_be_written_are_a_sentence(run, tmp_path, tiny, choir_folder):
    (tmp_path / "file").touch()
    song = choir_folder / "songs/singer-0000/song-00.flac"
    code, _, err = run("embed", song, "-o", tmp_path / "file" / "e.parquet", "--encoder", tiny.folder)
    assert code == 1
    assert "check the path" in err
    assert "Traceback" not in err
    code, _, err = run("embed", song, "-o", tmp_path / "e.parquet", "--encoder", tiny.folder, "--device", "warp")
    assert code == 1
    assert "device warp: cannot be used here" in err


def test_debug_shows_where_an_error_came_from(tmp_path):
    words = [sys.executable, "-m", "whosings", "list", "-g", tmp_path / "gone"]
    plain = subprocess.run(words, capture_output=True, text=True, check=False)
    assert plain.returncode == 1
    assert plain.stderr.strip().count("\n") == 0
    assert "Traceback" not in plain.stderr
    debug = subprocess.run([*words[:3], "--debug", *words[3:]], capture_output=True, text=True, check=False)
    assert debug.returncode == 1
    assert "Traceback" in debug.stderr


# ---------------------------------------- bad input: each a sentence, an exit code, nothing lost


def _bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    noise = (0.3 * np.random.default_rng(0).standard_normal(4 * RATE)).astype(np.float32)
    whole = folder / "whole.flac"
    soundfile.write(whole, noise, RATE)
    made: dict[str, tuple[Path, str]] = {"missing": (folder / "missing.mp3", "no such file")}

    def put(name: str, content: bytes, says: str) -> None:
        path = folder / name
        path.write_bytes(content)
        made[name] = (path, says)

    def sound(name: str, samples: np.ndarray, says: str, **keywords) -> None:
        soundfile.write(folder / name, samples, RATE, **keywords)
        made[name] = (folder / name, says)

    put("empty.mp3", b"", "is an empty file")
    put("text.mp3", b"la la la\n" * 50, "is not audio")
    put("noise.ogg", np.random.default_rng(1).bytes(4000), "is not audio")
    put("truncated.flac", whole.read_bytes()[: whole.stat().st_size // 2], "truncated.flac")
    sound("silent.wav", np.zeros(3 * RATE), "is silent")
    sound("short.wav", noise[: RATE // 2], "lasts 0.50 s")
    sound("nan.wav", np.where(np.arange(noise.size) == 99, np.nan, noise), "NaN", subtype="FLOAT")
    with wave.open(str(folder / "nothing.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
    made["nothing.wav"] = (folder / "nothing.wav", "holds no samples")
    album = folder / "album"
    album.mkdir()
    shutil.copy(folder / "text.mp3", album)
    made["folder"] = (album, "is a folder")
    return made


BAD = [
    "missing",
    "empty.mp3",
    "text.mp3",
    "noise.ogg",
    "truncated.flac",
    "silent.wav",
    "short.wav",
    "nan.wav",
    "nothing.wav",
    "folder",
]


@pytest.mark.parametrize("kind", BAD)
def test_bad_audio_is_named_and_the_rest_goes_on(run, tmp_path, tiny, choir_folder, kind):
    path, says = _bad_files(tmp_path)[kind]
    good = choir_folder / "songs/singer-0002/song-02.flac"
    gallery = tmp_path / "g"
    code, out, err = run("enrol", "Ann", path, good, "-g", gallery, "--encoder", tiny.folder)
    assert code == 1
    assert says in err
    assert path.name in err
    assert "Traceback" not in err
    assert "1 recording enrolled" in out
    with Gallery(gallery) as opened:
        assert opened.singers()[0].tracks == 1
    code, out, err = run("identify", path, good, "-g", gallery, "--encoder", tiny.folder, "--json")
    assert code == 1
    assert len(json.loads(out)) == 1, "the good file is answered"
    assert says in err
    code, out, err = run("embed", path, good, "-o", tmp_path / "e.parquet", "--encoder", tiny.folder)
    assert code == 1
    assert ("is not audio" if kind == "folder" else says) in err, "embed takes a folder's recordings"
    assert (tmp_path / "e.parquet").exists()
    assert run("embed", path, "-o", tmp_path / "none.parquet", "--encoder", tiny.folder)[0] == 1
    assert not (tmp_path / "none.parquet").exists()
    if kind not in ("silent.wav", "short.wav"):
        code, out, err = run("activity", path, good)
        assert code == 1
        assert good.name in out


def test_huge_file(run, tmp_path, tiny, monkeypatch, choir_folder):
    monkeypatch.setattr(audio, "MAX_DURATION_S", 5.0)
    code, _, err = run(
        "enrol", "Ann", choir_folder / "songs/singer-0002/song-02.flac", "-g", tmp_path / "g", "--encoder", tiny.folder
    )
    assert code == 1
    assert "cut it into shorter files" in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("track_id,singer_id,path,mood\na,s,x.wav,sad\n", "unknown column mood"),
        ("track_id,singer_id,path\na,s,x.wav\na,s,y.wav\n", "track_id a occurs more than once"),
        ("track_id,path\na,x.wav\n", "has no column singer_id"),
        ("track_id,singer_id,path\n", "holds no tracks"),
    ],
)
def test_bad_manifests(run, tmp_path, tiny, text, says):
    path = tmp_path / "m.csv"
    path.write_text(text)
    for words in (
        ["enrol", "--from", path, "-g", tmp_path / "g", "--encoder", tiny.folder],
        ["train", path, "-o", tmp_path / "run", "--model", "tiny"],
    ):
        code, _, err = run(*words)
        assert code == 1
        assert says in err
        assert "m.csv" in err


def test_training_lists_every_missing_file_before_it_starts(run, tmp_path, choir_folder):
    rows = [f"t{n},s{n // 2},gone-{n}.wav" for n in range(12)]
    (tmp_path / "m.csv").write_text("\n".join(["track_id,singer_id,path", *rows]))
    code, _, err = run("train", tmp_path / "m.csv", "-o", tmp_path / "run", "--model", "tiny")
    assert code == 1
    assert all(f"gone-{n}.wav" in err for n in range(12))
    assert not (tmp_path / "run").exists()


def test_bad_settings(run, tmp_path, choir_folder):
    manifest = choir_folder / "choir.parquet"
    for words, says in (
        (["--set", "training.tempo=3"], "unknown key training.tempo"),
        (["--set", "training.seed=many"], "training.seed"),
        (["--set", "nonsense"], "is not KEY=VALUE"),
        (["--model", "huge"], "no such preset"),
        (["--config", tmp_path / "gone.toml"], "cannot be read"),
    ):
        code, _, err = run("train", manifest, "-o", tmp_path / "run", *words)
        assert code == 1
        assert says in err


def test_bad_encoders(run, tmp_path, tiny, choir_folder, singers):
    probe = choir_folder / "songs/singer-0002/song-02.flac"
    torch.save({"a": 1}, tmp_path / "model.pt")
    (tmp_path / "broken").mkdir()
    whole = (tiny.folder / "model.safetensors").read_bytes()
    (tmp_path / "broken" / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    for name, says in (
        (tmp_path / "gone", "no checkpoint there"),
        (tmp_path / "model.pt", "is damaged or not a safetensors file"),
        (tmp_path / "broken", "is damaged or not a safetensors file"),
    ):
        code, _, err = run("identify", probe, "-g", singers, "--encoder", name)
        assert code == 1
        assert says in err


def test_another_encoders_gallery(run, tmp_path, singers, tiny, choir_folder):
    from whosings.config import MODELS
    from whosings.encoder.checkpoint import build, save_checkpoint

    torch.manual_seed(1)
    save_checkpoint(tmp_path / "other", MODELS["tiny"], build(MODELS["tiny"]), dict(tiny.embedder.checkpoint.card))
    probe = choir_folder / "songs/singer-0002/song-02.flac"
    before = singers.read_bytes()
    for words in (["identify", probe], ["enrol", "Zoe", probe]):
        code, _, err = run(*words, "-g", singers, "--encoder", tmp_path / "other")
        assert code == 1
        assert "was made with encoder" in err
    assert singers.read_bytes() == before


def test_bad_galleries(run, tmp_path, tiny, choir_folder):
    probe = choir_folder / "songs/singer-0002/song-02.flac"
    (tmp_path / "text").write_text("hello " * 200)
    for name, says in (("gone", "no such gallery"), ("text", "is damaged or not a gallery")):
        code, _, err = run("identify", probe, "-g", tmp_path / name, "--encoder", tiny.folder)
        assert code == 1
        assert says in err
