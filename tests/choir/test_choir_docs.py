"""The commands on docs/choir.md run, with the smallest preset in place of the others."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from whosings import audio
from whosings.audio import write_flac
from whosings.catalogue.manifest import read_manifest
from whosings.choir.build import PUBLISHED
from whosings.choir.conversion import METHODS
from whosings.choir.genres import GENRES
from whosings.choir.plan import PRESETS, make_plan

PAGE = Path(__file__).parents[2] / "docs/choir.md"


def _blocks(language: str) -> str:
    return "".join(re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL))


@pytest.mark.slow
def test_commands(run, quick_choir, tmp_path, monkeypatch):
    """In their order, so that the conversions go into the choir that the first command made."""
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^\$ whosings (.*)", _blocks("console"), re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        words = ["tiny" if word in PRESETS else word for word in shlex.split(command)]
        if "--conversions" in words:
            _convert(tmp_path / "converted", tmp_path / "choir-small")
        code, out, err = run(*words, "--json")
        assert code == 0, (command, err)
        assert json.loads(out)["made"] + json.loads(out)["kept"] >= 12
    clones = [t for t in read_manifest(tmp_path / "choir-small/choir.parquet").tracks if t.clone_method == "rvc"]
    assert [(clone.singer_id, clone.target_singer_ids) for clone in clones] == [("singer-0002", ("singer-0001",))]


def _convert(folder: Path, choir: Path) -> None:
    """What another tool might have made: the vocals backwards."""
    folder.mkdir()
    (folder / "conversions.csv").write_text(_blocks("csv"))
    name, _, _, source = _blocks("csv").splitlines()[1].split(",")
    track = next(t for t in read_manifest(choir / "choir.parquet").tracks if t.track_id == source)
    write_flac(folder / name, audio.load(track.vocals_path).samples[:, ::-1])


@pytest.mark.long
def test_the_whole_way_once_runs_as_it_is_written(tmp_path):
    """From a choir to an answer, by processes of their own, in ten minutes of processor time."""
    pytest.importorskip("lightning")
    commands = re.search(r"^```\n(whosings choir starter.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)[1]
    environment = {**os.environ, "PYTHONPATH": str(PAGE.parents[1])}
    for command in commands.splitlines():
        words = [sys.executable, "-m", *shlex.split(command)]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert used.ru_utime + used.ru_stime < 600  # not by the clock, because the machine may be busy
    assert done.stdout.splitlines()[0].startswith("song-00.flac: singer-0000 (")
    assert (tmp_path / "results/report/report.html").exists()


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_table_of_presets_is_true(name):
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}` | "))
    plan = make_plan(PRESETS[name], bases={"speech": 1000, "diphone": 1000})
    preset, tracks = plan.preset, sum(role.songs for role in plan.cast) + len(plan.clones)
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[7] == f"{tracks:,}" and cells[6] == f"{preset.duration_s:g} s"
    if not cells[3]:  # the same as another preset
        if name != "languages":
            assert [p.singers for p in (preset.closed, preset.train)] == [320, 200]
        return
    songs = sorted({role.songs for role in plan.cast if role.set == "closed"})
    assert cells[2] == f"{preset.closed.singers} x {songs[0]}" + (f" to {songs[-1]}" if songs[1:] else "")
    assert cells[3] == f"{preset.targets} x {preset.clones}"
    assert cells[4] == f"{preset.train.singers} x {preset.train.songs}"
    assert cells[5] == f"{preset.validation.singers} x {preset.validation.songs}"


def test_what_it_says_of_methods_genres_and_checksums_is_true():
    page = PAGE.read_text()
    assert set(re.findall(r"^\| `(\w+)` \| ", page.split("`clone_method`")[1], re.MULTILINE)) >= set(METHODS)
    assert "one of eight genres" in page and len(GENRES) == 8
    assert dict(re.findall(r"^\| `(\S+)` \| `([0-9a-f]{64})` \|", page, re.MULTILINE)) == dict(PUBLISHED)
