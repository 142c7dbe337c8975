"""The commands and the code on docs/evaluation.md run, on the smallest preset with a tiny encoder and a quick head."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from whosings import gallery_classifier
from whosings.choir.plan import PRESETS, Part, Preset
from whosings.config import HeadConfig

PAGE = Path(__file__).parents[2] / "docs/evaluation.md"


def _blocks(language: str) -> str:
    return "".join(re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL))


@pytest.mark.slow
def test_commands_and_code(run, tiny, choir_in_process, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(PRESETS, "tiny", Preset("tiny", Part(4, 3), Part(0, 0), Part(0, 0), 2, 1, duration_s=4.0))
    monkeypatch.setattr(gallery_classifier, "HeadConfig", lambda: HeadConfig(max_epochs=2))
    commands = re.findall(r"^\$ whosings (.*)", _blocks("console"), re.MULTILINE)
    assert len(commands) == 8
    for command in commands:
        words = shlex.split(command.replace("choir small", "choir tiny").replace("6:14:4", "2:4:2").replace("14", "4"))
        if words[0] in ("evaluate", "enrol"):
            words += ["--encoder", str(tiny.folder)]
        if words[:2] in (["evaluate", "closed"], ["evaluate", "cloned"]):
            words += ["--head", "linear", "--runs", "1"]
        code, _, err = run(*words)
        assert code == 0, (command, err)
    assert (tmp_path / "results/report/report.html").stat().st_size > 100_000
    code = _blocks("python").replace("TrackEmbedder()", f"TrackEmbedder({str(tiny.folder)!r})").replace("=10", "=4")
    exec(compile(code, str(PAGE), "exec"), {})
    assert re.search(r"closed 4 \d\.\d", capsys.readouterr().out)
