"""Indexes of libraries: index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whosings.commands.library_options import LIBRARY, OwnEncoder, library_calibration
from whosings.commands.options import Json, on_this_machine
from whosings.console import Report, counted, print_json


def index(
    library: Annotated[  # beside a copy of an object the index would be gone with the copy
        Path, typer.Option("--library", "-l", help="Library file.", parser=on_this_machine, metavar="FILE")
    ] = LIBRARY,
    anew: Annotated[bool, typer.Option("--anew", help="Make it from nothing, whatever is there.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove it: all voices are compared again.")] = False,
    encoder: OwnEncoder = None,
    as_json: Json = False,
) -> None:
    """Make the index by which a large library is found in by voice, or bring it up to date.

    It lies in a folder beside the library and can be made again at any time. 'whosings find' uses it, and brings it up
    to date, in libraries that are large enough.
    """
    from whosings.library.decisions import DecidedLibrary
    from whosings.library.voice_index import bring_up_to_date, index_folder
    from whosings.library.voice_index import remove as remove_index

    if anew and remove:
        raise typer.BadParameter("--anew and --remove contradict each other")
    run = Report()
    with DecidedLibrary(library) as opened:
        folder = index_folder(opened.path)
        if remove:
            remove_index(opened)
            done = None
        else:
            done = bring_up_to_date(opened, library_calibration(opened, encoder), anew)
    if as_json:
        print_json({"index": str(folder), "upkeep": done})
        return
    if done is None:
        run.out.print(f"removed {folder}", markup=False)
        return
    if done.why_anew:
        run.out.print(f"made anew: {done.why_anew}", markup=False)
    changes = f"{done.added} added, {done.deleted} deleted"
    run.out.print(f"{folder}: {counted(done.voices, 'voice')}, {changes}", markup=False)
