"""How a command reports: results to standard output, progress and failures to standard error, JSON for machines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from whosings.errors import WhosingsError
from whosings.progress import Progress
from whosings.safe_text import printable, printable_json

_UNBOUNDED = 1000  # letters a line
_LABEL = 40  # letters of a bar's label
_AT_ONCE_S = 1.0  # for which nobody needs a bar
_LONG = 1000  # rows of a table that is printed the quick way


class _SafeConsole(Console):
    """A console whose texts cannot steer the terminal: names in them come from files of strangers."""

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(printable(text, lines=True), **how)


def _console(stderr: bool) -> Console:
    console = _SafeConsole(stderr=stderr, soft_wrap=True, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED  # what is piped on is never cut to a screen's width
    return console


@dataclass
class Report:
    """One command's output and what failed on the way; failures do not stop the work."""

    out: Console = field(default_factory=lambda: _console(False))
    err: Console = field(default_factory=lambda: _console(True))
    failures: list[WhosingsError] = field(default_factory=list)

    @contextmanager
    def bars(self) -> Iterator[Progress]:
        """Progress bars on standard error, if that is a terminal: (label, steps) -> what to call after each step.

        0 steps are an unknown number of them. What begins before another bar is full is a part of that work: its bar
        shows once it has taken a second, and goes when it is full.
        """
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with RichProgress(
            TextColumn("{task.description}", markup=False),
            *columns,
            console=self.err,
            transient=True,
            disable=not self.err.is_terminal,
        ) as progress:

            def start(label: str, steps: int) -> Callable[[], None]:
                part = not progress.finished
                task = progress.add_task(_brief(printable(label)), total=steps or None, visible=not part)
                return _part(progress, task, steps) if part else lambda: progress.advance(task)

            yield start

    def print_table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A plain table, one line a row; the cells are text, not markup."""
        cells = [[printable(cell) for cell in row] for row in rows]
        if len(cells) > _LONG:
            self._print_long_table(columns, cells)
            return
        table = Table(box=None, padding=(0, 2))
        for column in columns:
            table.add_column(column, no_wrap=True)
        for row in cells:
            table.add_row(*map(escape, row))
        self.out.print(table)

    def _print_long_table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """The same text, but that no cell is cut to the screen's width; Rich takes seconds for 10,000 rows."""
        widths = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]

        def line(row: Sequence[str]) -> str:
            return "".join(f"  {cell}{' ' * (w - cell_len(cell))}  " for cell, w in zip(row, widths, strict=True))

        self.out.print(line(columns), style="bold", markup=False)
        self.out.out("\n".join(map(line, rows)), highlight=False)

    def finish(self) -> None:
        """List the failures, and exit with 1 if there are any."""
        if self.failures:
            noun = "failure" if len(self.failures) == 1 else "failures"
            self.err.print(f"{len(self.failures)} {noun}:", style="bold red")
            for error in self.failures:
                self.err.print(f"  {printable(str(error))}", markup=False)
            raise typer.Exit(1)


def _part(progress: RichProgress, task: TaskID, steps: int) -> Callable[[], None]:
    """What to call after each step of work that is a part of other work, and may be done in no time."""
    began, done = time.monotonic(), 0

    def step() -> None:
        nonlocal done
        done += 1
        if done == steps:
            progress.remove_task(task)
        else:
            progress.update(task, advance=1, visible=time.monotonic() - began >= _AT_ONCE_S)

    return step


def _brief(label: str) -> str:
    """A label that leaves room for its bar."""
    return label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…"


def print_json(value: Any) -> None:
    """One JSON document on standard output; dataclasses, arrays, paths and enumerations included."""
    typer.echo(json_text(value))


def json_text(value: Any) -> str:
    """One JSON document in a line, as ``print_json`` prints it."""
    return printable_json(json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False))


def print_text(text: str) -> None:
    """Plain lines on standard output."""
    typer.echo(printable(text, lines=True))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def counted(number: int, noun: str) -> str:
    """A number and its noun, as ``1 recording`` and ``2 recordings``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
