"""Options and look-ups that the verbs of a library share."""

from __future__ import annotations

import getpass
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whosings.commands.options import on_this_machine, open_embedder, place_of, shipped_calibration, worked_on_here
from whosings.errors import ConfigError, LibraryError

if TYPE_CHECKING:
    from whosings.calibration import Calibration
    from whosings.embedding import TrackEmbedder
    from whosings.library.decisions import DecidedLibrary
    from whosings.library.library_file import Library

LibraryOption = Annotated[
    Path,
    typer.Option(
        "--library",
        "-l",
        help="Library file, or s3://BUCKET/FILE.",
        parser=place_of,
        callback=worked_on_here,
        metavar="FILE",
    ),
]
GalleryOption = Annotated[
    Path | None,
    typer.Option("--gallery", "-g", help="Gallery file.", show_default=False, parser=on_this_machine, metavar="FILE"),
]
TableFile = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        help="Write a row a file to this CSV file, or s3://BUCKET/FILE.",
        show_default=False,
        parser=place_of,
        callback=worked_on_here,
        metavar="FILE",
    ),
]

LIBRARY = Path("songs.library")
OwnEncoder = Annotated[
    str | None,
    typer.Option("--encoder", help="The library's encoder; needed only where it does not ship.", show_default=False),
]
Who = Annotated[str | None, typer.Option("--by", help="Who decides; your login unless given.", show_default=False)]


def library_calibration(library: Library, encoder: str | None) -> Calibration:
    """That of a library's encoder, found by its fingerprint among those that ship unless named.

    Raises:
        LibraryError: it does not ship, or the named one is another one.
        CheckpointError: the encoder carries no calibration.
    """
    from whosings.calibration import calibration_of

    found = shipped_calibration(library.fingerprint) if encoder is None else None
    return found or calibration_of(library_embedder(library, encoder, "cpu").checkpoint)


def library_embedder(library: Library, encoder: str | None, device: str) -> TrackEmbedder:
    """The encoder that listened to a library.

    Raises:
        LibraryError: the named one is another one.
    """
    embedder = open_embedder(encoder or library.encoder, device)
    library.refuse_other(embedder.fingerprint, embedder.name)
    return embedder


def recording_of(library: DecidedLibrary, path: Path) -> int | None:
    """The recording of a file by its path; None where the library does not know it, or it has changed since."""
    if not path.exists():
        location = re.sub("^([A-Za-z][A-Za-z0-9+.-]+):/", r"\1://", str(path))  # which as a path has one slash less
        return library.file_named(path) or library.file_named(location)
    about = path.stat()
    for name in (str(path), str(path.absolute())):
        found = library.known(name, about.st_size, about.st_mtime_ns)
        if found is not None:
            return found.id
    return None


def required_recording(library: DecidedLibrary, path: Path) -> int:
    """The recording of a file by its path or its content.

    Raises:
        LibraryError: it is not in the library.
    """
    from whosings.files import content_hash

    found = recording_of(library, path)
    if found is None and path.is_file():
        known = library.with_content(content_hash(path))
        found = None if known is None else known.id
    if found is None:
        raise LibraryError(path, f"is not in the library {library.path}", "scan it first: whosings scan")
    return found


def login(who: str | None) -> str:
    """Who decides.

    Raises:
        ConfigError: nobody is named, and the system does not say.
    """
    try:
        return getpass.getuser() if who is None else who
    except (KeyError, OSError, ImportError) as error:
        raise ConfigError("who decides", "is kept, and the system does not say", "give your name: --by NAME") from error
