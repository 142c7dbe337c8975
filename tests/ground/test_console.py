"""What commands print: failures, exit codes, JSON."""

import io
import json
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from rich.console import Console
from rich.progress import Progress

from whosings import console as console_module
from whosings.console import Report, print_json
from whosings.errors import AudioError, MissingFileError


def report() -> tuple[Report, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    consoles = [Console(file=file, soft_wrap=True, highlight=False) for file in (out, err)]
    return Report(*consoles), out, err


def test_nothing_failed():
    run, out, err = report()
    run.finish()
    assert out.getvalue() == err.getvalue() == ""


@pytest.mark.parametrize(("count", "noun"), [(1, "1 failure:"), (2, "2 failures:")])
def test_failures_are_listed_on_stderr_and_the_exit_code_is_one(count, noun):
    run, out, err = report()
    run.failures += [MissingFileError(f"a{number}.mp3", "no such file", "check the path") for number in range(count)]
    with pytest.raises(typer.Exit) as stop:
        run.finish()
    assert stop.value.exit_code == 1
    assert out.getvalue() == ""
    expected = [noun, *(f"  a{number}.mp3: no such file; check the path." for number in range(count))]
    assert err.getvalue().splitlines() == expected


@pytest.mark.parametrize("name", ["[bold]x[/bold].mp3", "[/]", "a [live].mp3", "x" * 300 + " y", "日本 – é.mp3"])
def test_names_of_files_are_printed_as_they_are(name):
    run, _, err = report()
    run.failures.append(AudioError(name, "is bad", "mend it"))
    with pytest.raises(typer.Exit):
        run.finish()
    assert err.getvalue().splitlines()[1] == f"  {name}: is bad; mend it."


def test_default_consoles_print_emoji_codes_as_they_are(capsys):
    run = Report()
    run.failures.append(AudioError("song:cat:.mp3", "is bad", "mend it"))
    with pytest.raises(typer.Exit):
        run.finish()
    assert "song:cat:.mp3" in capsys.readouterr().err


def test_bars_are_silent_without_a_terminal_and_can_be_stepped():
    run, out, err = report()
    with run.bars() as start:
        step = start("work", 2)
        step()
        step()
    assert out.getvalue() == err.getvalue() == ""


def test_bars_go_to_stderr_on_a_terminal():
    err = io.StringIO()
    run = Report(err=Console(file=err, force_terminal=True, width=100))
    with run.bars() as start:
        step = start("decoding", 2)
        step()
        step()
    assert "decoding" in err.getvalue()
    assert "2/2" in err.getvalue()


@pytest.fixture
def drawn(monkeypatch):
    """What a terminal shows after each of three steps of work that is a part of other work."""

    def draw(seconds_a_step, label="decoding a [live].mp3"):
        now, kept, shown, err = [0.0], [], [], io.StringIO()
        monkeypatch.setattr(console_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
        monkeypatch.setattr(
            console_module,
            "RichProgress",
            lambda *a, **b: kept.append(Progress(*a, **b, auto_refresh=False)) or kept[0],
        )
        run = Report(err=Console(file=err, force_terminal=True, width=120))
        with run.bars() as start:
            start("files", 2)
            step = start(label, 3)
            for _ in range(3):
                now[0] += seconds_a_step
                step()
                before = err.tell()
                kept[0].refresh()
                shown.append(err.getvalue()[before:])
        return shown

    return draw


def test_a_part_that_takes_long_has_a_bar_until_it_is_done(drawn):
    first, second, third = drawn(0.6)
    assert "decoding" not in first and "files" in first
    assert "decoding a [live].mp3" in second and "2/3" in second and "0/2" in second
    assert "decoding" not in third and "files" in third


def test_a_part_that_is_soon_done_has_none(drawn):
    assert not any("decoding" in text for text in drawn(0.3))


def test_a_long_name_leaves_room_for_its_bar(drawn):
    shown = drawn(2.0, "decoding " + "x" * 300)[1]
    assert f"decoding {'x' * 30}…" in shown and "x" * 31 not in shown and "2/3" in shown


class Colour(Enum):
    RED = "red"


class Word(StrEnum):
    YES = "yes"


@dataclass
class Inner:
    path: Path
    colour: Colour


@dataclass
class Outer:
    inner: tuple[Inner, ...]
    word: Word
    array: np.ndarray
    nothing: None = None


def test_json_of_everything(capsys):
    value = Outer((Inner(Path("a/b.mp3"), Colour.RED),), Word.YES, np.arange(4.0).reshape(2, 2))
    print_json({"rows": [value], "count": np.int64(3), "score": np.float32(0.5), "flag": np.bool_(True)})
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("\n") == 1
    assert json.loads(printed.out) == {
        "rows": [
            {
                "inner": [{"path": "a/b.mp3", "colour": "red"}],
                "word": "yes",
                "array": [[0.0, 1.0], [2.0, 3.0]],
                "nothing": None,
            }
        ],
        "count": 3,
        "score": 0.5,
        "flag": True,
    }


def test_json_keeps_letters(capsys):
    print_json({"name": 'Björk "B" [x] 日本'})
    assert capsys.readouterr().out == '{"name": "Björk \\"B\\" [x] 日本"}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("nan"), np.array([1.0, np.nan]), [np.inf]])
def test_json_refuses_what_is_no_number(value, capsys):
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"value": value})
    assert capsys.readouterr().out == ""


def test_json_refuses_the_unknown():
    with pytest.raises(TypeError, match="set has no JSON form"):
        print_json({"value": {1, 2}})
    with pytest.raises(TypeError, match="type has no JSON form"):
        print_json(Outer)


def test_long_tables_are_printed_as_short_ones(capsys, monkeypatch):
    """The quick way says what Rich says, letter by letter; wide letters, markup and escapes included."""
    rows = [("Ann", "1"), ("忌野清志郎", "22"), ("[red]x[/red]", ""), ("\x1b[31mEve", "3"), ("e\u0301", "4:smile:")]
    texts = []
    for long in (len(rows), len(rows) - 1):
        monkeypatch.setattr(console_module, "_LONG", long)
        Report().print_table(("singer", "recordings"), rows)
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert texts[0].count("\n") == len(rows) + 1 and "\x1b" not in texts[0]
