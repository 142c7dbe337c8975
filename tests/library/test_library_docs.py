"""What docs/library.md shows is run, with a small encoder."""

import io
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from tests.conftest import singing

PAGE = (Path(__file__).parents[2] / "docs/library.md").read_text().split("\n## Find by voice")[0]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder as the page has it."""
    (tmp_path / "songs").mkdir()
    for seed, name in enumerate(("ann", "bob")):
        for song in (1, 2):
            soundfile.write(tmp_path / f"songs/{name}-{song}.flac", singing(8 + song, seed), 16_000)
    (tmp_path / "list.txt").write_text("songs/ann-1.flac\nsongs/bob-2.flac\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_and_python_run(home, run, tiny, monkeypatch, capsys):
    commands = re.findall(r"^\$ (.*)", PAGE, re.MULTILINE)
    assert len(commands) == 8
    for command in commands:
        given, _, own = command.rpartition(" | ")
        if given:
            stdin = SimpleNamespace(buffer=io.BytesIO(shlex.split(given)[-1].encode() + b"\n"))
            monkeypatch.setattr(sys, "stdin", stdin)
        own = re.sub(r"(--false-accepts) \S+", r"\1 20%", own)  # the only rate that so small a calibration states
        words = [*shlex.split(own)[1:], "--encoder", tiny.folder]
        code, out, err = run(*words, *(["--workers", 0] if words[0] == "scan" else []))
        assert code == 0, (command, err)
        if given:
            assert '"state": "known"' in out and out.count("\n") == 1
    assert (home / "who-sings.csv").read_text().count("\n") == 5
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(block.replace("library.encoder", repr(str(tiny.folder))), "library.md", "exec"), {})
    assert capsys.readouterr().out.count("songs/") == 4
