"""The code keeps to the house as docs/architecture.md lists it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LISTED = re.findall(r"^(whosings/\S+\.py)\s", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
ROWS = {path.removesuffix(".py").replace("/", "."): row for row, path in enumerate(LISTED)}
MOST_LINES = 400


def _modules():
    files = (p.relative_to(ROOT) for p in (ROOT / "whosings").rglob("*.py"))
    return [p for p in files if p.name != "__init__.py"]


def _imports(path):
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in ROWS else node.module for name in names)


def test_every_module_is_listed_and_every_row_exists():
    assert sorted(str(p) for p in _modules()) == sorted(LISTED)


def test_modules_import_only_from_rows_above():
    wrong = []
    for path in _modules():
        own = ROWS[str(path).removesuffix(".py").replace("/", ".")]
        for name in _imports(path):
            if name.startswith("whosings.") and ROWS.get(name, len(ROWS)) >= own:
                wrong.append(f"{path} imports {name}")
    assert not wrong


def test_each_folder_is_one_room_and_no_room_stands_twice():
    folders = [path.split("/")[1] for path in LISTED if path.count("/") > 1]
    runs = [folder for folder, before in zip(folders, ["", *folders], strict=False) if folder != before]
    assert len(runs) == len(set(runs))


def test_packages_hold_no_code_of_their_own():
    for path in (ROOT / "whosings").rglob("*/__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, path
        assert isinstance(body[0], ast.Expr), path


def test_no_file_is_too_long_or_vaguely_named():
    for path in _modules():
        assert len((ROOT / path).read_text().splitlines()) <= MOST_LINES, path
        assert path.stem not in {"utils", "util", "helpers", "misc", "common"}, path


def test_nothing_is_computed_at_import():
    """Importing the package must not load torch: that is the price of `whosings --version`."""
    import subprocess
    import sys

    code = "import sys, whosings; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
