"""The blocks of docs/library.md on voices are run, on a library of made voices."""

import re
import shlex
from pathlib import Path

import pytest

from tests.library.made import Maker
from whosings import cli
from whosings.gallery import Gallery
from whosings.library.decision_rows import Deed

PAGE = (Path(__file__).parents[2] / "docs/library.md").read_text()
MAKER = Maker()


def blocks(section, language):
    text = PAGE[PAGE.index(f"## {section}") :]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Ann and Bob are enrolled; Cy and Dee are not; one voice is between Ann and Bob."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    with MAKER.library("songs.library") as library, Gallery("singers.gallery", MAKER.fingerprint, "default") as gallery:
        folder = str(tmp_path / "music")
        for singer, name in enumerate(("ann", "bob", "cy", "dee")):
            for take in range(1, 5 - (name == "dee")):
                MAKER.add(library, f"{name}-{take}.flac", [singer], take, folder=folder, artists=[name.title()])
        MAKER.add(library, "duet.flac", [0, 1], 9, folder=folder)
        MAKER.add(library, "half.flac", [0.5], 9, folder=folder)
        for singer in (0, 1, *range(50, 60)):
            for take in range(50, 53):
                gallery.add(
                    {0: "Ann", 1: "Bob"}.get(singer, str(singer)), MAKER.embeddings(singer, take), f"{singer}-{take}"
                )
    return tmp_path


@pytest.mark.slow
def test_library_page_on_voices(home, capsys):
    ran = 0
    for section in ("Find by voice", "Groups", "Review"):
        for command in re.findall(r"^\$ whosings (.*)", blocks(section, "console")[0], re.MULTILINE):
            capsys.readouterr()
            try:
                cli.main(shlex.split(command))
            except SystemExit as end:
                assert not end.code, (command, capsys.readouterr())
            assert capsys.readouterr().out, command
            ran += 1
    assert ran == 16
    cli_calibrate = re.search(r"^whosings (gallery calibrate .*)$", PAGE, re.MULTILINE)
    with pytest.raises(SystemExit) as end:
        cli.main(shlex.split(cli_calibrate[1]))
    assert not end.value.code
    with MAKER.library("songs.library") as library, Gallery("singers.gallery") as gallery:
        deeds = [line.deed for line in library.decisions()]
        assert deeds[:3] == [Deed.SPLIT, Deed.MERGE, Deed.NAME] and deeds[-1] is Deed.NOT_SUNG
        assert {"Ann", "Bob", "Cy"} <= set(gallery.voices.names)
    capsys.readouterr()
    exec(compile(blocks("Review", "python")[-1], "library.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "music/ann-2.flac" in printed and "Cy" in printed and "split group" in printed
