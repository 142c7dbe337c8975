"""The site builds without a warning, and its notebooks run from top to bottom."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WRITES = {
    "figure-1": ("figure-1.png", "figure-1.pdf"),
    "own-encoder": ("bands.gallery",),
    "tag-a-library": ("who-sings.csv", "Bob.m3u"),
}


def _run(code: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="needs the docs extra")
    pytest.importorskip("mkdocstrings", reason="needs the docs extra")
    folder = tmp_path_factory.mktemp("site")
    code = f"from mkdocs.__main__ import cli; cli(['build', '--strict', '--site-dir', {str(folder)!r}])"
    done = _run(code, ROOT, NO_MKDOCS_2_WARNING="1")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_every_page_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    pages |= {Path("notebooks") / f"{path.stem}.html" for path in NOTEBOOKS}
    pages |= {Path(name) for name in ("index.html", "model-card.html", "changelog.html", "CITATION.cff")}
    assert not {page for page in pages if not (site / page).exists()}
    assert not list(site.rglob("*.py"))
    html = "".join(page.read_text() for page in site.rglob("*.html"))
    assert not re.findall(r'<(?:script|link|img|iframe)\b[^>]* (?:src|href)="(?:https?:)?//', html)


@pytest.mark.slow
def test_links_lead_to_pages_and_not_to_files_of_the_repository(site: Path) -> None:
    for page in site.rglob("*.html"):
        links = re.findall(r'href="(?!https?:|mailto:|/|#)([^"#]+)', page.read_text())
        assert not [link for link in links if not (page.parent / link).exists()], page


@pytest.mark.slow
def test_the_reference_tells_arguments_that_share_a_line_apart(site: Path) -> None:
    page = (site / "api/calibration.html").read_text()
    assert all(f"<code>{name}</code>" in page for name in ("same", "different", "same_reach", "different_reach"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_valid_and_hold_no_outputs(path: Path) -> None:
    notebook = json.loads(path.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    cells = notebook["cells"]
    assert 6 <= len(cells) <= 12 and len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        code: dict[str, object] = {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
        rest = {key: cell[key] for key in cell if key not in ("cell_type", "id", "metadata", "source")}
        assert cell["cell_type"] in ("code", "markdown") and cell["source"] and rest == code


@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    done = _run(code, tmp_path, MPLBACKEND="agg")
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / name).stat().st_size for name in WRITES[path.stem])
