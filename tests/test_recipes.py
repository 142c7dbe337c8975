"""The recipes of the small networks, once through on next to nothing."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, singing
from whosings.opinion import SecondOpinion
from whosings.vocals.detector import ActivityDetector

RECIPES = Path(__file__).parent.parent / "recipes"

pytest.importorskip("pyworld")
pytest.importorskip("mido")


def run_recipe(name: str, *words: object) -> str:
    command = [sys.executable, RECIPES / name, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_activity_recipe_from_voices_to_weights(tmp_path: Path) -> None:
    for speaker, files in (("a", 1), ("b", 1), ("held", 5)):
        for number in range(files):
            (tmp_path / "speech" / speaker).mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / f"speech/{speaker}/{number}.flac", singing(5, ord(speaker[0]) + number), RATE)

    def run(*words: object) -> str:
        return run_recipe("vocal_activity.py", *words)

    out = tmp_path / "run"
    run("bank", "--speech", tmp_path / "speech", "--bands", 8, "--workers", 1, "--out", out)
    kinds = np.load(out / "train.npz")["voice-kinds"].tolist()
    assert {"speech", "sung", "parametric"} == set(kinds) and kinds.count("speech") == 2
    said = run("train", "--out", out, "--steps", 2, "--batch", 4, "--held", 8)
    assert "2 loss" in said
    assert run("train", "--out", out, "--steps", 2, "--batch", 4, "--held", 8) == ""  # it is done
    run("train", "--out", out, "--steps", 3, "--batch", 4, "--held", 8)
    run("export", "--out", out, "--batch", 4, "--held", 8, "--to", tmp_path / "made" / "model.safetensors")
    detector = ActivityDetector(tmp_path / "made" / "model.safetensors")
    assert detector.card["steps"] == 3
    cases = run("report", "--out", out, "--views", 2, "--weights", tmp_path / "made" / "model.safetensors")
    assert "humming, a cappella" in cases and re.search(r"silence +0%", cases)
    assert detector(singing(7)[None]).probability.shape == (3,)


@pytest.mark.slow
def test_the_second_opinion_recipe_from_voices_to_weights(tmp_path: Path) -> None:
    for folder, speakers in (("speech", (("a", 1), ("b", 1), ("held", 5))), ("singing", (("x", 5), ("y", 5)))):
        for speaker, files in speakers:
            (tmp_path / folder / speaker).mkdir(parents=True, exist_ok=True)
            for number in range(files):
                sound = singing(6 if folder == "speech" else 2.5, ord(speaker[0]) + number)
                soundfile.write(tmp_path / folder / speaker / f"{number}.flac", sound, RATE)
    (tmp_path / "songs").mkdir()
    soundfile.write(tmp_path / "songs/song.mp3", singing(6), RATE)

    def run(*words: object) -> str:
        return run_recipe("second_opinion.py", *words)

    out, weights = tmp_path / "run", tmp_path / "made/model.safetensors"
    bank = ("bank", "--speech", tmp_path / "speech", "--singing", tmp_path / "singing", "--clips", 1, "--bands", 2)
    run(*bank, "--out", out)
    kinds = set(np.load(out / "held.npz")["kinds"].tolist())
    assert {"natural", "band", "WORLD", "linear prediction"} <= kinds
    assert "linear prediction" not in np.load(out / "train.npz")["kinds"]  # held out altogether
    assert run(*bank, "--out", out) == ""  # it is done
    assert "2 loss" in run("train", "--out", out, "--steps", 2, "--batch", 4)
    assert run("train", "--out", out, "--steps", 2, "--batch", 4) == ""
    run("train", "--out", out, "--steps", 3, "--batch", 4)
    run("export", "--out", out, "--to", weights, "--songs", tmp_path / "songs")
    opinion = SecondOpinion(weights)
    assert opinion.card["steps"] == 3 and opinion([singing(3)[None]]) is not None
    said = run("report", "--out", out, "--weights", weights)
    assert re.search(r"linear prediction \(never trained on\) +AUC [01]\.\d+ +EER", said)
    assert re.search(r"songs: natural \d+% at 0.5 \(1\)", said)
