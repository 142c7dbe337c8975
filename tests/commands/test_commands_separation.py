"""``whosings separate``: the real command with a tiny untrained demucs, and a tiny Spleeter."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import singing
from tests.separation_models import save_safetensors, tiny_demucs
from tests.spleeter_weights import TINY
from whosings import audio


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("demucs")
    folder = tmp_path_factory.mktemp("model")
    save_safetensors(tiny_demucs(), folder / "tiny.safetensors")
    return ["--model", f"demucs:{folder}", "--device", "cpu"]


def _song(path: Path, seconds: float = 3.0, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, singing(seconds, seed), 16_000)
    return path


def test_stems_lie_where_they_are_asked_for(tmp_path, run, model):
    song, out = _song(tmp_path / "song.wav"), tmp_path / "stems"
    code, printed, _ = run("separate", song, "--out", out, *model)
    assert code == 0
    assert "song.vocals.flac" in printed
    vocals, rest = (audio.load(out / f"song.{kind}.flac").samples for kind in ("vocals", "instrumental"))
    np.testing.assert_allclose(vocals + rest, audio.load(song).samples, atol=2 / 32768)
    again = tmp_path / "again"
    code, printed, _ = run("separate", song, "--out", again, "--model", f"stems:{out}", "--json")
    assert code == 0
    np.testing.assert_array_equal(audio.load(again / "song.vocals.flac").samples, vocals)


def test_failures_are_listed_and_the_rest_goes_on(tmp_path, run, model):
    songs = [_song(tmp_path / f"{n}.wav", seed=n) for n in range(2)]
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no audio")
    short = _song(tmp_path / "short.wav", 0.5)
    words = ["separate", songs[0], bad, short, songs[1], "-o", tmp_path / "out", "--whole", "--json", *model]
    code, printed, err = run(*words)
    found = json.loads(printed)
    assert code == 1
    assert [row["file"] for row in found["tracks"]] == [str(song) for song in songs]
    assert all(row["new"] and Path(row["vocals"]).is_file() and row["separated_s"] == 3 for row in found["tracks"])
    assert len(found["failed"]) == 2
    assert "2 failures" in err
    assert "bad.wav" in err
    code, printed, _ = run(*words, "--workers", 2)  # run again, it goes on
    assert code == 1
    assert not any(row["new"] for row in json.loads(printed)["tracks"])


def test_names_that_meet(tmp_path, run, model):
    songs = [_song(tmp_path / album / "01.wav", seed=number) for number, album in enumerate("ab")]
    twin = _song(tmp_path / "a/01.flac", seed=3)
    code, printed, err = run("separate", *songs, songs[0], twin, "-o", tmp_path / "out", "--json", *model)
    assert code == 1
    assert [Path(row["vocals"]).relative_to(tmp_path) for row in json.loads(printed)["tracks"]] == [
        Path("out/a/01.vocals.flac"),
        Path("out/b/01.vocals.flac"),
    ]
    assert "01.flac: has the name of another track" in err


def test_a_changed_model_replaces_the_stems(tmp_path, run, model):
    song, out, other = _song(tmp_path / "song.wav"), tmp_path / "out", tmp_path / "other"
    run("separate", song, "-o", out, *model)
    before = (out / "song.vocals.flac").read_bytes()
    other.mkdir()
    save_safetensors(tiny_demucs(seed=1), other / "m.safetensors")
    assert run("separate", song, "-o", out, "--model", f"demucs:{other}", "--device", "cpu")[0] == 0
    changed = (out / "song.vocals.flac").read_bytes()
    assert changed != before
    run("separate", song, "-o", out, *model)
    assert (out / "song.vocals.flac").read_bytes() == before


@pytest.mark.parametrize(
    ("spec", "message"),
    [("other", "no such separation model"), ("none", "separates nothing"), ("stems:x", "not a folder")],
)
def test_models_that_cannot_be(tmp_path, run, spec, message):
    code, out, err = run("separate", _song(tmp_path / "a.wav"), "-o", tmp_path / "out", "--model", spec)
    assert (code, out) == (1, "")
    assert message in err
    assert err.strip().count("\n") == 0


def test_spleeter(tmp_path, run):
    song, out = _song(tmp_path / "song.wav"), tmp_path / "stems"
    words = ["separate", song, "--out", out, "--whole", "--json", "--device", "cpu"]
    code, printed, _ = run(*words, "--model", f"spleeter:{TINY}")
    assert code == 0
    assert json.loads(printed)["tracks"][0]["new"]
    vocals, rest = (audio.load(out / f"song.{kind}.flac").samples for kind in ("vocals", "instrumental"))
    np.testing.assert_allclose(vocals + rest, audio.load(song).samples, atol=2 / 32768)
    assert 0.01 < vocals.std() < audio.load(song).samples.std()
    code, printed, err = run(*words, "--model", f"spleeter:{tmp_path}")
    assert (code, printed) == (1, "")
    assert "holds no checkpoints" in err
    assert err.strip().count("\n") == 0
