"""What is published: a wheel that runs by itself, and a source archive whose tests can be collected."""

import re
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
def test_tests_can_be_collected_from_the_source_archive(built: Path, tmp_path: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert not re.search(r"\d+ errors?", done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_metadata_and_readme_are_fit_for_an_index(built: Path) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", *built.iterdir()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
