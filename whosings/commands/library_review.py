"""Review of a library: what is worth a look, decisions on it, and their log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from whosings.commands.library_options import (
    LIBRARY,
    LibraryOption,
    OwnEncoder,
    Who,
    library_calibration,
    login,
    required_recording,
)
from whosings.commands.options import GALLERY, FalseAcceptsOption, GalleryFile, Json, refuse_output
from whosings.console import Report, counted, print_json, print_text


def list_(
    library: LibraryOption = LIBRARY,
    gallery: GalleryFile = GALLERY,
    decided: Annotated[bool, typer.Option("--decided", help="Also what was decided, and how.")] = False,
    top: Annotated[int, typer.Option(min=1, help="Number of items to show; --json tells all.")] = 50,
    encoder: OwnEncoder = None,
    false_accepts: FalseAcceptsOption = None,
    as_json: Json = False,
) -> None:
    """Show what is worth a look: voices that are nearly named, and named ones with a near runner-up."""
    from whosings.gallery import Gallery
    from whosings.gallery_rates import terms_of
    from whosings.library.decisions import DecidedLibrary
    from whosings.library.review import Reviewer

    run = Report()
    with DecidedLibrary(library) as opened, Gallery(gallery) as singers:
        singers.refuse_other(opened.fingerprint, opened.encoder)
        calibration = library_calibration(opened, encoder)
        terms = terms_of(calibration, singers, false_accepts)
        found = Reviewer(opened, singers.voices, terms, calibration).queue(decided)
    if as_json:
        print_json(found)
        return
    if not found:
        run.out.print("nothing is worth a look")
        return
    run.print_table(
        ("recording", "voice", "who sings?", "probability", "where", *(("decided",) if decided else ())),
        [
            (
                item.path,
                str(item.voice.number + 1),
                item.why,
                f"{item.said.probability:.1%}",
                ", ".join(map(str, item.spans[:2])),
                *(("" if item.decided is None else f"{item.decided.deed} by {item.decided.who}",) if decided else ()),
            )
            for item in found[:top]
        ],
    )
    if len(found) > top:
        run.out.print(f"and {len(found) - top:,} more; --top shows them")


def decide(
    recording: Annotated[Path, typer.Argument(help="A song of the library.", show_default=False)],
    decision: Annotated[
        Literal["confirm", "reject", "somebody-else", "not-sung"],
        typer.Argument(help="Whether it is the singer whom the list shows; or no voice at all.", show_default=False),
    ],
    singer: Annotated[str | None, typer.Option("--name", help="Who sings, for somebody-else.")] = None,
    voice: Annotated[int | None, typer.Option(min=1, help="Which voice of the song, as the list shows it.")] = None,
    library: LibraryOption = LIBRARY,
    gallery: GalleryFile = GALLERY,
    who: Who = None,
    encoder: OwnEncoder = None,
    false_accepts: FalseAcceptsOption = None,
    as_json: Json = False,
) -> None:
    """Write into the log what you decided on a voice, with what the model says of it now."""
    from whosings.gallery import Gallery
    from whosings.gallery_rates import terms_of
    from whosings.library import review
    from whosings.library.decision_rows import Deed
    from whosings.library.decisions import DecidedLibrary

    decider = login(who)
    with DecidedLibrary(library) as opened, Gallery(gallery) as singers:
        singers.refuse_other(opened.fingerprint, opened.encoder)
        calibration = library_calibration(opened, encoder)
        terms = terms_of(calibration, singers, false_accepts)
        reviewer = review.Reviewer(opened, singers.voices, terms, calibration)
        item = reviewer.item(required_recording(opened, recording), None if voice is None else voice - 1)
        name = None if singer is None else singers.spelling(singer)
        line = review.decide(opened, item, Deed(decision.replace("-", " ")), decider, name)
    if as_json:
        print_json(line)
    else:
        whom = f" {line.singer}" if line.singer else ""
        print_text(f"{recording}, voice {item.voice.number + 1}: {line.deed}{whom}, by {line.who}")


def export(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv or .json file.", show_default=False)],
    library: LibraryOption = LIBRARY,
    as_json: Json = False,
) -> None:
    """Write the log of all decisions to a file: who decided what and when, and what the model said by then."""
    from whosings.library.decisions import DecidedLibrary
    from whosings.library.review import export_decisions

    refuse_output("FILE", path, (".csv", ".json"), [library])
    with DecidedLibrary(library) as opened:
        lines = opened.decisions()
    export_decisions(lines, path)
    if as_json:
        print_json({"written": path, "decisions": len(lines)})
    else:
        print_text(f"{counted(len(lines), 'decision')} in {path}")
