"""What is published: a wheel that runs by itself, and a source archive whose tests can be collected."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from whosings import __version__

ROOT = Path(__file__).parents[2]
SOURCES = ("whosings", "beetsplug", "tests", "docs", "recipes", "benchmarks", "notebooks", "findings", ".ci")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both archives, made from a copy of the tree."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, tree)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, tree]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_the_wheel_holds_all_that_is_read_when_it_runs(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.name.startswith(f"whosings-{__version__}-") and wheel.stat().st_size < 40e6
    names = set(zipfile.ZipFile(wheel).namelist())
    here = {p.relative_to(ROOT).as_posix() for p in (ROOT / "whosings").rglob("*") if p.is_file()}
    assert {name for name in here if "__pycache__" not in name} <= names
    assert "beetsplug/whosings.py" in names and "beetsplug/__init__.py" not in names, "many packages share the folder"
    assert not any(name.startswith(("tests", "docs", "recipes", "benchmarks")) for name in names)


@pytest.mark.slow
def test_the_source_archive_holds_what_its_tests_read(built: Path) -> None:
    """All that git knows of the folders that tests read: so they run from the archive as from a checkout."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("needs a checkout")
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        held = {name.partition("/")[2] for name in file.getnames()}
    folders = ("tests/", "docs/", "recipes/", "benchmarks/", "findings/", "notebooks/", "whosings/", "beetsplug/")
    assert {name for name in listed.stdout.splitlines() if name.startswith(folders)} <= held


@pytest.mark.slow
def test_metadata_and_readme_are_fit_for_an_index(built: Path) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", *built.iterdir()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
