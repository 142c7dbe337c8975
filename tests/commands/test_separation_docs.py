"""The commands and the code on docs/separation.md run, with a tiny untrained model in place of the pretrained ones."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.separation_models import save_safetensors, tiny_demucs
from tests.spleeter_weights import TINY
from whosings import audio, cli

PAGE = Path(__file__).parents[2] / "docs/separation.md"


def _blocks(language: str) -> str:
    return "".join(re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL))


@pytest.fixture
def home(tmp_path, monkeypatch):
    pytest.importorskip("demucs")
    for number, name in enumerate(("song.mp3", "other.mp3", "songs/a.mp3", "songs/b.mp3")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(number).normal(0, 0.1, 3 * 16_000)
        soundfile.write(tmp_path / name, noise, 16_000)
    (tmp_path / "my-model").mkdir()
    save_safetensors(tiny_demucs(), tmp_path / "my-model/tiny.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands(home, capsys):
    commands = re.findall(r"^\$ whosings (.*)", _blocks("console"), re.MULTILINE)
    assert len(commands) == 6
    for command in commands:
        words = [name for word in shlex.split(command) for name in (sorted(map(str, Path().glob(word))) or [word])]
        words = ["demucs:my-model" if word == "demucs:mdx_extra" else word for word in words]
        words = [f"spleeter:{TINY}" if word == "spleeter" else word for word in words]
        words += [] if "--model" in words else ["--model", "demucs:my-model"]
        try:
            cli.main([*words, "--device", "cpu"])
        except SystemExit as end:
            assert not end.code, (command, capsys.readouterr())
    for path in ("stems/song", "stems/a", "stems/b", "quick-stems/song", "other-stems/song", "third-stems/song"):
        assert audio.load(home / f"{path}.vocals.flac").duration_s == pytest.approx(3.0, abs=0.1)
        assert (home / f"{path}.instrumental.flac").is_file()


def test_code(home, capsys):
    exec(compile(_blocks("python"), str(PAGE), "exec"), {})
    printed = capsys.readouterr().out
    assert printed.count("vocals.flac") == 3
    assert "other.mp3 Stems(" in printed
