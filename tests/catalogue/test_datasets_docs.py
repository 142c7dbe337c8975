"""docs/datasets.md says what the records say, and its commands and code run."""

import re
import shlex
from pathlib import Path

import pytest

from whosings.catalogue.open_data.registry import OPEN_DATA_SETS

PAGE = Path(__file__).parents[2] / "docs/datasets.md"


def test_the_table_is_the_records():
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \| (.+?) \| (yes|no|by track) \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [
        (one.name, f"{one.title}: {one.size}", one.licence, one.commercial) for one in OPEN_DATA_SETS.values()
    ]


def test_commands_and_code(run, tmp_path, monkeypatch, capsys):
    """But for evaluate, which needs recordings; the commands before it make what it reads."""
    monkeypatch.chdir(tmp_path)
    exercises = {"arpeggios": "belt", "scales": "straight", "long_tones": "trill"}
    made = [f"VocalSet/FULL/{who}/{what}/{how}/x_{n}.wav" for who in ("female1", "male1", "male2")
            for what, how in exercises.items() for n in range(3)]  # fmt: skip
    made += [f"ravdess-song/03-02-01-01-0{song}-0{take}-0{actor}.wav" for song in (1, 2) for take in range(1, 6)
             for actor in (1, 2)]  # fmt: skip
    for name in made:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    text = PAGE.read_text()
    blocks = "".join(re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    commands = [shlex.split(line) for line in re.findall(r"^\$ whosings (.*)", blocks, re.MULTILINE)]
    assert len(commands) == 11 and [words[0] for words in commands].count("evaluate") == 4
    for words in commands:
        if words[0] == "evaluate":
            assert (tmp_path / words[2] / "open.trials.parquet").exists()
            continue
        code, _, err = run(*words)
        assert code == 0, (words, err)
    assert (tmp_path / "ravdess/open.roles.parquet").exists()
    block = re.search(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    exec(compile(block[1], str(PAGE), "exec"), {})
    assert re.fullmatch(r"3 singers, \d+ trials, digest [0-9a-f]{16}\n", capsys.readouterr().out)


@pytest.mark.parametrize("name", OPEN_DATA_SETS)
def test_every_set_can_be_shown(run, name):
    code, out, _ = run("datasets", "show", name)
    assert code == 0 and OPEN_DATA_SETS[name].home in out
