"""The page on the service tells the truth: limits as they are, and tests that exist."""

import re
import shutil
from pathlib import Path

from fastapi.routing import APIRoute

from tests.service.conftest import serving
from whosings.service import app as application
from whosings.service.limits import Limits

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/service.md").read_text()


def test_limits_are_told_as_they_are():
    told = {
        name: float(value.replace(",", "")) for name, value in re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", TEXT, re.M)
    }
    assert told == {name: float(value) for name, value in Limits().model_dump().items()}


def test_every_threat_has_tests_that_exist():
    written = "".join(path.read_text() for path in (ROOT / "tests/service").glob("test_*.py"))
    rows = re.findall(r"^\| .* \| .* \| (.*) \|$", TEXT.split("## Security")[1].split("\n## ")[0], re.M)[2:]
    assert len(rows) > 15
    for row in rows:
        names = re.findall(r"`(test_\w+)`", row)
        assert names, row
        assert all(f"def {name}(" in written for name in names), row


def test_every_route_is_told():
    for router in application._ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            place = route.path.split("/{id}")[0]
            assert place in TEXT or place.rsplit("/", 1)[0] in TEXT, route.path


def test_the_block_of_python_runs(tmp_path, songs, monkeypatch, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    for number in (1, 2):
        shutil.copy(songs("Ann", number), tmp_path / f"ann-{number}.flac")
    with serving(tmp_path / "service") as found:
        monkeypatch.chdir(tmp_path)
        exec(block.replace("http://localhost:8765", found.address), {})
    assert capsys.readouterr().out.startswith("singer ['Ann']")
