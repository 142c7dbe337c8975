"""Who sings, written into files: tags with a way back, playlists, a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whosings.commands.library_options import library_embedder
from whosings.commands.options import FalseAcceptsOption, Json, refuse_output
from whosings.console import Report, counted, print_json
from whosings.safe_text import encodable

if TYPE_CHECKING:
    from whosings.library.decisions import DecidedLibrary
    from whosings.library.sung import Sung, Wanted
    from whosings.library.write_back import Change

_JOURNAL = Path("whosings-tags.journal")

Answers = Annotated[
    Path | None,
    typer.Option(
        "--from",
        help="Answers: what 'identify --json' printed, or 'identify --export' wrote as .json or .csv.",
        show_default=False,
    ),
]
LibraryFile = Annotated[
    Path | None,
    typer.Option("--library", "-l", help="Library of a scan, which learns what is written.", show_default=False),
]
GalleryFile = Annotated[
    Path | None, typer.Option("--gallery", "-g", help="Gallery to name the library's voices.", show_default=False)
]
EncoderOption = Annotated[
    str | None,
    typer.Option("--encoder", help="The library's encoder; needed only where it does not ship.", show_default=False),
]
WorthALook = Annotated[
    bool, typer.Option("--worth-a-look", help="Also singers who are only worth a look, and whom nobody has confirmed.")
]
LeastProbability = Annotated[
    float, typer.Option("--least-probability", min=0.0, max=1.0, help="Only singers who are as likely.")
]


def tags(
    source: Answers = None,
    library: LibraryFile = None,
    gallery: GalleryFile = None,
    encoder: EncoderOption = None,
    false_accepts: FalseAcceptsOption = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write; without it, only show what would be written.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be written, as without --apply.")
    ] = False,
    role: Annotated[str, typer.Option(help="What the singers are said to do.")] = "vocals",
    worth_a_look: WorthALook = False,
    least_probability: LeastProbability = 0.0,
    journal: Annotated[Path, typer.Option(help="File that keeps what undoes the changes.")] = _JOURNAL,
    keep_times: Annotated[
        bool, typer.Option("--keep-times", help="Leave the times of the files; music servers then see no change.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Credit singers in the tags of the files they sing in. Nothing is written without --apply.

    Credits are added and none is removed. Sound and other tags stay. If interrupted, rerun the same command to resume.
    """
    from whosings.library.undo_journal import UndoJournal
    from whosings.library.write_back import planned, write_tags

    if apply and dry_run:
        raise typer.BadParameter("--apply writes and --dry-run does not; give one of them")
    if not role.strip() or set(role) & set("()\0"):
        raise typer.BadParameter("a role is a word or two without brackets", param_hint="--role")
    run = Report()
    with _opened(source, library, gallery, encoder, false_accepts) as found:
        wanted = _wanted(worth_a_look, least_probability)
        changes = planned(found.sung, wanted, run.failures.append, role.strip())
        if not apply:
            _show(run, changes, as_json)
            run.finish()
            return
        done = []
        with UndoJournal(journal) as opened:
            for written in write_tags(changes, opened, run.failures.append, keep_times):
                if found.library is not None:
                    _learn(found.library, written.path, written.after)
                names = ", ".join(name for name, _ in written.credits)
                done.append({"path": encodable(written.path), "before": written.before, "after": written.after})
                if not as_json:
                    run.out.print(f"{written.path}: {names}", markup=False)
        if as_json:
            print_json({"applied": True, "files": done, "failed": [str(error) for error in run.failures]})
        else:
            back = f"; undo it with: whosings write undo {journal}" if done else ""
            run.out.print(f"{counted(len(done), 'file')} changed{back}", markup=False)
    run.finish()


def playlists(
    out: Annotated[Path, typer.Option(help="Folder for the playlists.", show_default=False)],
    source: Answers = None,
    library: LibraryFile = None,
    gallery: GalleryFile = None,
    encoder: EncoderOption = None,
    false_accepts: FalseAcceptsOption = None,
    worth_a_look: WorthALook = False,
    least_probability: LeastProbability = 0.0,
    as_json: Json = False,
) -> None:
    """Write an M3U8 playlist for each singer, the likeliest songs first."""
    from whosings.library.playlists import write_playlists

    run = Report()
    wanted = _wanted(worth_a_look, least_probability)
    with _opened(source, library, gallery, encoder, false_accepts) as found:
        written = write_playlists(found.sung, out, wanted, run.failures.append)
    if as_json:
        print_json({"playlists": written, "failed": [str(error) for error in run.failures]})
    else:
        run.out.print(f"{counted(len(written), 'playlist')} in {out}", markup=False)
    run.finish()


def csv_(
    out: Annotated[Path, typer.Option(help="The table, a file that ends with .csv.", show_default=False)],
    source: Answers = None,
    library: LibraryFile = None,
    gallery: GalleryFile = None,
    encoder: EncoderOption = None,
    false_accepts: FalseAcceptsOption = None,
    worth_a_look: WorthALook = False,
    least_probability: LeastProbability = 0.0,
    as_json: Json = False,
) -> None:
    """Write a table with one row for each singer of a file."""
    from whosings.library.playlists import write_table

    run = Report()
    refuse_output("--out", out, (".csv",), filter(None, (source, library, gallery)))
    with _opened(source, library, gallery, encoder, false_accepts) as found:
        rows = write_table(found.sung, out, _wanted(worth_a_look, least_probability))
    if as_json:
        print_json({"table": out, "rows": rows})
    else:
        run.out.print(f"{counted(rows, 'row')} in {out}", markup=False)
    run.finish()


def undo(
    journal: Annotated[Path, typer.Argument(help="Journal of written tags.")],
    changed_too: Annotated[
        bool,
        typer.Option(
            "--changed-too", help="Of files that another program changed since, remove the credits and leave the rest."
        ),
    ] = False,
    library: LibraryFile = None,
    as_json: Json = False,
) -> None:
    """Bring files back to how they were before 'write tags', to the byte."""
    from whosings.errors import TagError
    from whosings.library.decisions import DecidedLibrary
    from whosings.library.undo_journal import UndoJournal
    from whosings.library.write_back import undo as undo_all

    run = Report()
    if not journal.is_file():
        raise TagError(journal, "no such journal", "name the file that 'write tags --apply' named")
    found = []
    with UndoJournal(journal) as opened, nullcontext() if library is None else DecidedLibrary(library) as known:
        for undone in undo_all(opened, run.failures.append, changed_too):
            found.append(undone)
            if known is not None:
                _learn(known, undone.path, undone.sha256)
    exact = sum(undone.exact for undone in found)
    if as_json:
        print_json({"undone": found, "failed": [str(error) for error in run.failures]})
    else:
        rest = f", and the credits removed from {len(found) - exact} more" if exact < len(found) else ""
        run.out.print(f"{counted(exact, 'file')} as before{rest}")
    run.finish()


@dataclass(frozen=True)
class _Opened:
    """Who sings what, and the library that says so, if it is one."""

    sung: Iterable[Sung]
    library: DecidedLibrary | None = None


@contextmanager
def _opened(
    source: Path | None, library: Path | None, gallery: Path | None, encoder: str | None, false_accepts: float | None
) -> Iterator[_Opened]:
    """Open what options name.

    Raises:
        typer.BadParameter: they name neither answers nor a library with a gallery, or both.
    """
    from whosings.gallery import Gallery
    from whosings.identification import Identifier
    from whosings.library.decisions import DecidedLibrary
    from whosings.library.sung import read_answers, sung_in

    if source is not None and library is None and gallery is None:
        yield _Opened(read_answers(source))
    elif source is None and library is not None and gallery is not None:
        with DecidedLibrary(library) as opened, Gallery(gallery) as singers:
            embedder = library_embedder(opened, encoder, "cpu")
            yield _Opened(sung_in(opened, Identifier(singers, embedder, false_accepts=false_accepts)), opened)
    else:
        raise typer.BadParameter("give --from ANSWERS, or --library FILE and --gallery FILE")


def _learn(library: DecidedLibrary, path: Path, sha256: str) -> None:
    """Let a library know the new content of a file; one that it does not know is left to the next scan."""
    known = library.recording_at(str(path))
    if known is not None:
        (file,) = (file for file in library.files(known) if file.path == str(path))
        now = path.stat()
        library.rewritten(replace(file, size=now.st_size, mtime_ns=now.st_mtime_ns), sha256)


def _wanted(worth_a_look: bool, least_probability: float) -> Wanted:
    from whosings.library.sung import Wanted

    return Wanted(worth_a_look, least_probability)


def _show(run: Report, changes: Iterable[Change], as_json: bool) -> None:
    """What would be written, file by file as it is found."""
    files, credits, kept = [], 0, 0
    for change in changes:
        kept += not change.add
        if not change.add:
            continue
        credits += len(change.add)
        likely = {voice.singer: voice.probability for voice in change.voices}
        add = [{"name": c.name, "role": c.role, "probability": likely[c.name]} for c in change.add]
        files.append({"path": encodable(change.path), "add": add})
        if not as_json:
            said = ", ".join(f"{credit} ({likely[credit.name]:.0%})" for credit in change.add)
            run.out.print(f"{change.path}: {said}", markup=False)
    if as_json:
        print_json({"applied": False, "files": files, "failed": [str(error) for error in run.failures]})
        return
    already = f"; {counted(kept, 'file')} have them already" if kept else ""
    total = f"{counted(credits, 'credit')} in {counted(len(files), 'file')} would be added{already}"
    run.out.print(f"{total}; nothing is changed, add --apply to write")
