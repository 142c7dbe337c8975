"""The command line. Verbs read as the task; every one takes ``--json``.

Exit codes: 0 all went well; 1 something could not be done (each failure is listed, the rest went on); 2 wrong usage.
Results go to standard output, progress and failures to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from whosings import __version__
from whosings.commands import choir, demo, evaluation, preparation, separation, singers, splits, tracks, training
from whosings.console import Report
from whosings.errors import WhosingsError

_VERBS: dict[str, Callable[..., None]] = {
    "enrol": singers.enrol,
    "list": singers.list_,
    "remove": singers.remove,
    "identify": singers.identify,
    "verify": singers.verify,
    "gallery": singers.gallery,
    "activity": tracks.activity,
    "embed": tracks.embed,
    "prepare": preparation.prepare,
    "separate": separation.separate,
    "import": splits.import_,
    "split": splits.split,
    "train": training.train,
    "calibrate": training.calibrate,
    "evaluate": evaluation.evaluate,
    "report": evaluation.report,
    "choir": choir.choir,
    "demo": demo.demo,
}


def build_app() -> typer.Typer:
    """All verbs as one application."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback()(_main)
    for name, verb in _VERBS.items():
        app.command(name)(verb)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Who sings? Singer identification for real recordings and for cloned voices."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: typed errors become one sentence and exit code 1; ``--debug`` shows where they came from."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        build_app()(words)
    except WhosingsError as error:
        if "--debug" in words:
            raise
        Report().err.print(str(error), style="red", markup=False)
        sys.exit(1)
    except OSError as error:  # an output that cannot be written, a full disk
        if "--debug" in words:
            raise
        place = f"{error.filename}: " if error.filename else ""
        Report().err.print(f"{place}{error.strerror or error}; check the path.", style="red", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
