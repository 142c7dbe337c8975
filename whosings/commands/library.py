"""Libraries: match."""

from __future__ import annotations

import csv
from collections import Counter
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whosings.commands.library_options import LIBRARY, LibraryOption, TableFile, library_embedder
from whosings.commands.options import GALLERY, FalseAcceptsOption, GalleryFile, Json, refuse_output
from whosings.console import Report, counted, json_text

if TYPE_CHECKING:
    from whosings.answer import Answer

_COLUMNS = ("path", "recording", "verdict", "named", "worth_a_look", "probability")


def match(
    library: LibraryOption = LIBRARY,
    gallery: GalleryFile = GALLERY,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder", help="The library's encoder; needed only where it does not ship.", show_default=False
        ),
    ] = None,
    false_accepts: FalseAcceptsOption = None,
    table: TableFile = None,
    as_json: Json = False,
) -> None:
    """Say who sings every song of a library, without listening: after singers were enrolled or removed.

    With --json one document a line. Otherwise a line for each song in which somebody is named or worth a look.
    """
    from whosings.answer_text import verdict_line
    from whosings.files import atomic
    from whosings.gallery import Gallery
    from whosings.identification import Identifier
    from whosings.library.library_file import Library
    from whosings.library.matching import Matcher
    from whosings.safe_text import printable

    run = Report()
    if table is not None:
        refuse_output("--csv", table, (".csv",), [library, gallery])
    counts: Counter[str] = Counter()
    with (
        Library(library) as opened,
        Gallery(gallery) as singers,
        atomic(table) if table is not None else nullcontext() as beside,
        beside.open("w", newline="", encoding="utf-8") if beside is not None else nullcontext() as file,
        run.bars() as bars,
    ):
        embedder = library_embedder(opened, encoder, "cpu")
        matcher = Matcher(Identifier(singers, embedder, false_accepts=false_accepts))
        step = bars("matching", opened.count())
        write = None if file is None else csv.writer(file, lineterminator="\n")
        if write is not None:
            write.writerow(_COLUMNS)
        for found in matcher(opened.all_heard()):
            paths, answer = opened.paths(found.recording), found.answer
            counts[group_of(answer)] += 1
            if write is not None:
                write.writerows(_cells(path, found.recording, answer) for path in paths)
            if as_json:
                typer.echo(json_text({"recording": found.recording, "paths": paths, "answer": answer_row(answer)}))
            elif answer.named or answer.worth_a_look:
                typer.echo(printable(f"{answer.track_id}: {verdict_line(answer)}"))
            step()
    groups = ("named", "worth a look", "unknown", "no vocals")
    total = counted(sum(counts.values()), "recording")
    run.err.print(f"{total}: {', '.join(f'{counts[name]:,} {name}' for name in groups)}", markup=False)


def answer_row(answer: Answer) -> dict[str, Any]:
    """An answer in short, as rows have it."""
    return {
        "verdict": answer.verdict,
        "named": answer.named,
        "worth_a_look": answer.worth_a_look,
        "unknown_probability": answer.unknown_probability,
        "voices": answer.voices,
    }


def group_of(answer: Answer) -> str:
    """The answer's place in a summary."""
    from whosings.answer import Verdict

    if answer.named:
        return "named"
    return "no vocals" if answer.verdict is Verdict.NOT_ENOUGH_VOCALS else str(answer.verdict)


def _cells(path: str, recording: int, answer: Answer) -> tuple[str, ...]:
    from whosings.safe_text import to_cell

    likely = max((voice.probability for voice in answer.voices if voice.singer is not None), default=None)
    names = ("; ".join(named) for named in (answer.named, answer.worth_a_look))
    probability = "" if likely is None else f"{likely:.4f}"
    return (to_cell(path), str(recording), str(answer.verdict), *map(to_cell, names), probability)
