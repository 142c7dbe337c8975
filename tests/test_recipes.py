"""The recipe of the vocal activity network, once through on next to nothing."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, singing
from whosings.vocals.detector import ActivityDetector

RECIPE = Path(__file__).parent.parent / "recipes/vocal_activity.py"

pytest.importorskip("pyworld")
pytest.importorskip("mido")


@pytest.mark.slow
def test_the_activity_recipe_from_voices_to_weights(tmp_path: Path) -> None:
    for speaker, files in (("a", 1), ("b", 1), ("held", 5)):
        for number in range(files):
            (tmp_path / "speech" / speaker).mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / f"speech/{speaker}/{number}.flac", singing(5, ord(speaker[0]) + number), RATE)

    def run(*words: object) -> str:
        done = subprocess.run([sys.executable, RECIPE, *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

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
