"""The command line. Verbs read as the task; every one takes ``--json``.

Exit codes: 0 all went well; 1 something could not be done (each failure is listed, the rest went on); 2 wrong usage.
Results go to standard output, progress and failures to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from whosings import __version__
from whosings.commands import (
    annotation,
    choir,
    demo,
    evaluation,
    gallery,
    library,
    library_index,
    library_review,
    library_voices,
    open_data,
    preparation,
    scan,
    separation,
    serve,
    singers,
    splits,
    tracks,
    training,
    write,
)
from whosings.console import Report
from whosings.errors import WhosingsError
from whosings.files import DISK_FULL
from whosings.safe_text import printable

Verb = Callable[..., None]

_GROUPS: dict[str, dict[str, Verb]] = {
    "Singers": {
        "enrol": singers.enrol,
        "identify": singers.identify,
        "verify": singers.verify,
        "activity": tracks.activity,
        "embed": tracks.embed,
        "demo": demo.demo,
    },
    "Libraries": {
        "scan": scan.scan,
        "match": library.match,
        "find": library_voices.find,
        "index": library_index.index,
        "serve": serve.serve,
    },
    "Catalogues": {
        "annotate": annotation.annotate,
        "prepare": preparation.prepare,
        "separate": separation.separate,
        "split": splits.split,
        "import": splits.import_,
    },
    "Research": {
        "train": training.train,
        "calibrate": training.calibrate,
        "evaluate": evaluation.evaluate,
        "report": evaluation.report,
        "choir": choir.choir,
    },
}
_OF_A_GALLERY: dict[str, Verb] = {
    "list": gallery.list_,
    "show": gallery.show,
    "remove": gallery.remove,
    "rename": gallery.rename,
    "merge": gallery.merge,
    "export": gallery.export,
    "import": gallery.import_,
    "fit": gallery.fit,
    "calibrate": gallery.calibrate,
    "check": gallery.check,
    "sweep": gallery.sweep,
}
_OF_GROUPS: dict[str, Verb] = {
    "show": library_voices.show,
    "name": library_voices.name,
    "merge": library_voices.merge,
    "split": library_voices.split,
}
_OF_A_REVIEW: dict[str, Verb] = {
    "list": library_review.list_,
    "decide": library_review.decide,
    "export": library_review.export,
}
_OF_FILES: dict[str, Verb] = {
    "tags": write.tags,
    "playlists": write.playlists,
    "csv": write.csv_,
    "undo": write.undo,
}
_OF_DATA_SETS: dict[str, Verb] = {
    "show": open_data.show,
    "index": open_data.index,
    "check": open_data.check,
}
_ALSO = {"Singers": ("gallery",), "Libraries": ("group", "review", "write"), "Catalogues": ("datasets",)}
"""Verbs with verbs of their own, by where help lists them."""
_ALIASES = ("list", "remove")  # of a gallery's verbs, which once stood alone


class _Grouped(TyperGroup):
    """Help that lists verbs by what they are for; the types are those of the Click inside Typer 0.29."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, verbs in _GROUPS.items():
            names = [*verbs, *_ALSO.get(title, ())]
            commands = [(name, self.commands[name].get_short_help_str(80)) for name in names]
            with formatter.section(title):
                formatter.write_dl(commands)


def build_app() -> typer.Typer:
    """All verbs as one application."""
    plain: dict[str, Any] = {"no_args_is_help": True, "rich_markup_mode": None}
    app = typer.Typer(cls=_Grouped, add_completion=False, pretty_exceptions_enable=False, **plain)
    app.callback()(_main)
    for verbs in _GROUPS.values():
        for name, verb in verbs.items():
            app.command(name)(verb)
    care = f"Care of a gallery: {', '.join(_OF_A_GALLERY)}."
    of_a_gallery = typer.Typer(help=care, **plain)
    for name, verb in _OF_A_GALLERY.items():
        of_a_gallery.command(name)(verb)
        if name in _ALIASES:
            app.command(name, hidden=True)(verb)
    app.add_typer(of_a_gallery, name="gallery")
    groups = typer.Typer(invoke_without_command=True, **{**plain, "no_args_is_help": False})
    groups.callback()(library_voices.group)
    review = typer.Typer(help=f"What is worth a look in a library: {', '.join(_OF_A_REVIEW)}.", **plain)
    files = typer.Typer(help=f"Who sings, written into files: {', '.join(_OF_FILES)}.", **plain)
    sets = typer.Typer(invoke_without_command=True, **{**plain, "no_args_is_help": False})
    sets.callback()(open_data.datasets)
    verbs_of = (
        (groups, _OF_GROUPS, "group"),
        (review, _OF_A_REVIEW, "review"),
        (files, _OF_FILES, "write"),
        (sets, _OF_DATA_SETS, "datasets"),
    )
    for part, parts, name in verbs_of:
        for word, verb in parts.items():
            part.command(word)(verb)
        app.add_typer(part, name=name)
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what the terminal's encoding lacks is no reason to end
            stream.reconfigure(errors="backslashreplace")
    try:
        build_app()(words)
    except WhosingsError as error:
        if "--debug" in words:
            raise
        Report().err.print(printable(str(error)), style="red", markup=False)
        sys.exit(1)
    except OSError as error:  # an output that cannot be written, a full disk
        if "--debug" in words:
            raise
        place = f"{error.filename}: " if error.filename else ""
        remedy = "make room there and run the same command again" if error.errno in DISK_FULL else "check the path"
        Report().err.print(f"{place}{error.strerror or error}; {remedy}.", style="red", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
