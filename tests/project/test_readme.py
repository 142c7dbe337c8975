"""Every block of the README and of the how-to pages is run, and what it says it prints is what it prints."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.conftest import singing
from whosings import cli
from whosings.catalogue.manifest import read_manifest
from whosings.choir.build import write_choir
from whosings.choir.cast import draw_singer
from whosings.choir.songs import record
from whosings.config import Settings, load_settings
from whosings.settings import preset_names, settings_file
from whosings.training.distillation.config import is_distillation

ROOT = Path(__file__).parents[2]
SMALL = {
    "model": ["--model", "tiny"],
    "settings": [
        "--set", "training.batch_pairs=2", "--set", "training.iterations_per_epoch=1", "--set", "training.max_epochs=1",
        "--set", "training.workers=0", "--set", "training.accelerator=cpu",
    ],
}  # fmt: skip


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def _same_but_for_numbers(expected: str, printed: str) -> None:
    """Words must be equal, numbers near: they differ in the last digits between machines."""
    number = re.compile(r"\d+(?:\.\d+)?%?")
    assert number.sub("#", expected).split() == number.sub("#", printed).split()
    for wanted, got in zip(number.findall(expected), number.findall(printed), strict=True):
        apart = 2.0 if wanted.endswith("%") else 0.05
        assert float(got.strip("%")) == pytest.approx(float(wanted.strip("%")), abs=apart)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the files that the pages speak of: songs of two generated singers."""
    home = tmp_path_factory.mktemp("home")
    for name, number in (("ann", 0), ("bob", 1)):
        for song in range(3):
            mixture = record(draw_singer(6, number), song, 20).mixture
            soundfile.write(home / f"{name}-{song + 1}.flac", mixture, 16_000)
    return home


def test_python_blocks_print_what_they_say(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    blocks = _blocks("README.md", "python")
    assert blocks
    for block in blocks:
        capsys.readouterr()
        exec(compile(block, "README.md", "exec"), {})
        said = "".join(re.findall(r"# → (.*\n)", block))
        _same_but_for_numbers(said, capsys.readouterr().out)


def test_console_blocks_print_what_they_say(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    ran = 0
    for block in _blocks("README.md", "console"):
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            words = shlex.split(command)
            if words[0] != "whosings":
                continue
            capsys.readouterr()
            try:
                cli.main(words[1:])
            except SystemExit as end:
                assert not end.code, command
            _same_but_for_numbers(output, capsys.readouterr().out)
            ran += 1
    assert ran >= 3


def test_vocal_activity_page(home, monkeypatch, capsys):
    """Its commands and its Python, on a song that somebody sings throughout."""
    monkeypatch.chdir(home)
    Path("song.mp3").unlink(missing_ok=True)
    soundfile.write("song.mp3", singing(12), 16_000)
    commands = re.findall(r"^\$ whosings (.*)", "".join(_blocks("docs/vocal-activity.md", "console")), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        with pytest.raises(SystemExit) as end:
            cli.main(shlex.split(command))
        assert not end.value.code
    assert "100% sung" in capsys.readouterr().out
    (block,) = _blocks("docs/vocal-activity.md", "python")
    exec(compile(block, "vocal-activity.md", "exec"), {})
    assert "[0. 3. 6. 9.]" in capsys.readouterr().out


def test_second_opinion_page(home, monkeypatch, capsys):
    """Its commands and its Python, on the README's songs."""
    monkeypatch.chdir(home)
    commands = re.findall(r"^\$ whosings (.*)", "".join(_blocks("docs/second-opinion.md", "console")), re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        with pytest.raises(SystemExit) as end:
            cli.main(shlex.split(command))
        assert not end.value.code
    printed = capsys.readouterr().out
    assert "second opinion, no verdict" in printed and '"opinion": {"score"' in printed
    (block,) = _blocks("docs/second-opinion.md", "python")
    exec(compile(block, "second-opinion.md", "exec"), {})
    assert 0 <= float(capsys.readouterr().out.split()[0]) <= 1


@pytest.mark.slow
def test_answers_page(home, monkeypatch, capsys):
    """Its commands and its Python, on the README's songs."""
    monkeypatch.chdir(home)
    commands = re.findall(r"^\$ whosings (.*)", "".join(_blocks("docs/answers.md", "console")), re.MULTILINE)
    assert len(commands) == 12
    for command in commands:
        with pytest.raises(SystemExit) as end:
            cli.main(shlex.split(command))
        assert not end.value.code, (command, capsys.readouterr())
    capsys.readouterr()
    assert Path("why/1-1-1-enrolled.flac").exists() and "Ann" in Path("why/index.html").read_text()
    assert (
        all(Path(f"answers.{kind}").stat().st_size for kind in ("rttm", "csv", "json")) and Path("labels.txt").exists()
    )
    (block,) = _blocks("docs/answers.md", "python")
    exec(compile(block, "answers.md", "exec"), {})
    assert re.match(r"Ann \d+:\d\d\.\d-\d+:\d\d\.\d ", capsys.readouterr().out)


@pytest.mark.slow
def test_plugins_page(home, monkeypatch, capsys):
    """Its commands, on copies of the README's songs: what is written and undone leaves them as they were."""
    pytest.importorskip("mutagen")
    monkeypatch.chdir(home)
    before = {path.name: path.read_bytes() for path in home.glob("*.flac")}
    commands = re.findall(r"^\$ whosings (.*)", "".join(_blocks("docs/plugins.md", "console")), re.MULTILINE)
    assert len(commands) == 8
    for command in commands:
        with pytest.raises(SystemExit) as end:
            cli.main(shlex.split(command))
        assert not end.value.code, (command, capsys.readouterr())
    printed = capsys.readouterr().out
    assert "ann-3.flac: Ann (vocals) (" in printed and "2 files as before" in printed
    assert {path.name: path.read_bytes() for path in home.glob("*.flac")} == before
    assert "../ann-3.flac" in Path("playlists/Ann.m3u8").read_text()
    assert Path("singers.csv").read_text().count("named") == 2


def test_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= named <= targets
    assert "make test" in (ROOT / ".ci/run").read_text()


def test_training_page(tmp_path, monkeypatch, capsys):
    """The commands of docs/training.md, with a tiny model and few steps added."""
    write_choir(tmp_path, singers=6, songs=2, duration_s=4.0)
    (tmp_path / "choir.parquet").rename(tmp_path / "songs.parquet")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "new-song.mp3").symlink_to(tmp_path / "songs/singer-0000/song-00.flac")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^\$ whosings (.*)", "".join(_blocks("docs/training.md", "console")), re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        words = shlex.split(command)
        if words[0] == "train":
            words += SMALL["model"] + SMALL["settings"]
        try:
            cli.main(words)
        except SystemExit as end:
            assert not end.code, (command, capsys.readouterr())
    assert read_manifest("songs.parquet").tracks


def test_base_configuration_is_the_default():
    base = load_settings("base")
    assert base == Settings()


@pytest.mark.parametrize(
    "path", [settings_file(name) for name in preset_names() if not is_distillation(name)], ids=lambda p: p.stem
)
def test_configurations_hold_only_what_differs(path):
    import tomllib

    settings = load_settings(path)
    if path.stem in ("mixture", "vocal", "hybrid"):
        assert settings.pairs.mode == path.stem
        assert settings.model == Settings().model
    if path.stem == "compact":
        from whosings.config import MODELS

        assert settings.model == MODELS["compact"]
    if path.stem != "base":
        own = tomllib.loads(path.read_text())
        parent = load_settings(path.parent / own.pop("extends")).model_dump(mode="json")
        for section, values in own.items():
            assert values != parent.get(section), section


def test_public_face_imports_fast():
    code = "import whosings; print(whosings.__all__)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "identify" in printed
