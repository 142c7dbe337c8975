"""Voices of a library: find, group."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whosings.commands.library_options import (
    LIBRARY,
    GalleryOption,
    LibraryOption,
    OwnEncoder,
    Who,
    library_calibration,
    library_embedder,
    login,
    recording_of,
    required_recording,
)
from whosings.commands.options import GALLERY, Device, FalseAcceptsOption, GalleryFile, Json
from whosings.console import Report, counted, print_json, print_text
from whosings.errors import ConfigError, LibraryError

if TYPE_CHECKING:
    from whosings.heard import HeardTrack, HeardVoice
    from whosings.library.decisions import DecidedLibrary
    from whosings.library.grouping import Group
    from whosings.library.near_search import Searcher
    from whosings.library.search import Match

Number = Annotated[int, typer.Argument(help="Number of a group, as 'whosings group' shows it.", show_default=False)]
_SHOWN = 3  # spans in a line, and recordings where none is likely
_LEAST_SHOWN = 0.01  # probability of a recording that is shown


def _moment(text: str) -> float:
    """Seconds, from '83.5' or '1:23.5'."""
    seconds = math.nan
    try:
        *minutes, rest = text.strip().split(":")
        if len(minutes) < 3 and all(part.isdigit() for part in minutes):
            seconds = float(rest)
            for power, part in enumerate(reversed(minutes), 1):
                seconds += 60**power * int(part)
    except ValueError:
        pass
    if not 0 <= seconds < math.inf:
        raise typer.BadParameter(f"{text} is no moment of a song; write 83.5 or 1:23.5")
    return seconds


def find(
    what: Annotated[str, typer.Argument(help="A song, or the name of an enrolled singer.", show_default=False)],
    library: LibraryOption = LIBRARY,
    gallery: GalleryOption = None,
    start: Annotated[
        float | None,
        typer.Option("--from", parser=_moment, metavar="TIME", help="Look for who sings from here on, as 1:23."),
    ] = None,
    stop: Annotated[
        float | None, typer.Option("--to", parser=_moment, metavar="TIME", help="Look for who sings until here.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of recordings to show of each voice.")] = 20,
    encoder: OwnEncoder = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find the recordings of a library in which a voice sings, the likeliest first.

    A song of the library is not listened to again. Of a song of several voices each is looked for; --from and --to
    choose one.
    """
    from whosings.answer import NOTICE
    from whosings.library.decisions import DecidedLibrary
    from whosings.library.near_search import Searcher
    from whosings.library.search import voices_within

    run = Report()
    with DecidedLibrary(library) as opened:
        asked, recording = _song(opened, what, encoder, device)
        if asked is None:
            if start is not None or stop is not None:
                raise typer.BadParameter("--from and --to choose a voice of a song, and change nothing for a singer")
            found = [_find_singer(run, opened, what, gallery, encoder, top)]
            about: list[HeardVoice | None] = [None]
        else:
            chosen = voices_within(asked, start, stop)
            about = [*chosen]
            searcher = Searcher.of(opened, library_calibration(opened, encoder))
            _tell(run, searcher)
            found = [searcher.voice(voice.mean, voice.amount, top, recording) for voice in chosen]
    if as_json:
        print_json(
            [
                {"asked": what, "spans": voice and voice.spans, "seconds": voice and voice.seconds, "matches": own}
                for voice, own in zip(about, found, strict=True)
            ]
        )
        return
    for voice, own in zip(about, found, strict=True):
        if len(found) > 1 and voice is not None:
            run.out.print(f"the voice in {_spans(voice.spans)}", style="bold", markup=False)
        _print_matches(run, own)
    run.out.print(NOTICE, style="italic", markup=False)


def _song(library: DecidedLibrary, what: str, encoder: str | None, device: str) -> tuple[HeardTrack | None, int | None]:
    """What was heard of a song, and its number in the library if it is there; nothing where it is no song."""
    from whosings.files import content_hash
    from whosings.heard import hear

    recording = recording_of(library, Path(what))
    if recording is not None:
        return library.heard(recording), recording
    if not Path(what).is_file():
        return None, None
    known = library.with_content(content_hash(Path(what)))
    if known is not None:
        return library.heard(known.id), known.id
    embedder = library_embedder(library, encoder, device)
    return hear(embedder(what), library_calibration(library, encoder)), None


def _tell(run: Report, searcher: Searcher) -> None:
    if searcher.told:
        run.err.print(searcher.told, markup=False)


def _find_singer(
    run: Report, library: DecidedLibrary, name: str, gallery: Path | None, encoder: str | None, top: int
) -> tuple[Match, ...]:
    from whosings.gallery import Gallery
    from whosings.library.near_search import Searcher

    if gallery is None and not GALLERY.exists():
        raise ConfigError(name, "is neither a file nor a song of the library", "check the path, or give --gallery FILE")
    with Gallery(GALLERY if gallery is None else gallery) as singers:
        singers.refuse_other(library.fingerprint, library.encoder)
        name = singers.spelling(name)
        enrolled = singers.voices
        if name not in enrolled.names:
            problem = f"is neither a file, nor a song of the library, nor enrolled in {singers.path}"
            raise ConfigError(name, problem, "check the path, or list the names with: whosings gallery list")
        contents = frozenset(track.sha256 for track in singers.tracks_of(name))
    searcher = Searcher.of(library, library_calibration(library, encoder))
    _tell(run, searcher)
    return searcher.singer(enrolled, name, top, contents)


def _print_matches(run: Report, found: tuple[Match, ...]) -> None:
    if not found:
        run.out.print("no other recording of the library has a voice", markup=False)
        return
    likely = [match for match in found if match.probability >= _LEAST_SHOWN] or found[:_SHOWN]
    run.print_table(
        ("one singer with probability", "score", "sings", "where", "recording"),
        [
            (
                f"{100 * match.probability:.1f}%",
                f"{match.score:.2f}",
                f"{match.seconds:.0f} s",
                _spans(match.spans),
                (match.paths[0] if match.paths else f"recording {match.recording}, whose file is gone")
                + (" (enrolled)" if match.enrolled else ""),
            )
            for match in likely
        ],
    )


def group(
    context: typer.Context,
    library: LibraryOption = LIBRARY,
    gallery: GalleryOption = None,
    top: Annotated[int, typer.Option(min=1, help="Number of groups to show; --json tells all.")] = 20,
    encoder: OwnEncoder = None,
    false_accepts: FalseAcceptsOption = None,
    as_json: Json = False,
) -> None:
    """Group the voices of a library that nobody has named, by singer, and show each group with its best clip.

    With a gallery, voices that it names are left out. What a person named, merged or split stays as it is.
    """
    from whosings.gallery import Gallery
    from whosings.gallery_rates import terms_of
    from whosings.library.decisions import DecidedLibrary
    from whosings.library.grouping import regroup

    if context.invoked_subcommand is not None:
        _refuse_before_verb(context)
        return
    run = Report()
    with DecidedLibrary(library) as opened, run.bars() as bars:
        calibration = library_calibration(opened, encoder)
        if gallery is None:
            found = regroup(opened, calibration, progress=bars)
        else:
            with Gallery(gallery) as singers:
                singers.refuse_other(opened.fingerprint, opened.encoder)
                terms = terms_of(calibration, singers, false_accepts)
                found = regroup(opened, calibration, singers.voices, terms, bars)
    if as_json:
        print_json(found)
        return
    _print_groups(run, found[:top])
    if len(found) > top:
        run.out.print(f"and {counted(len(found) - top, 'group')} more; --top shows them")


def show(
    number: Number,
    library: LibraryOption = LIBRARY,
    gallery: GalleryOption = None,
    encoder: OwnEncoder = None,
    as_json: Json = False,
) -> None:
    """Show the recordings of a group, the most typical first."""
    from whosings.gallery import Gallery
    from whosings.library.decisions import DecidedLibrary
    from whosings.library.grouping import described

    run = Report()
    with DecidedLibrary(library) as opened:
        chosen, calibration = opened.group(number), library_calibration(opened, encoder)
        if gallery is None:
            found = described(opened, calibration, only=chosen.id)
        else:
            with Gallery(gallery) as singers:
                singers.refuse_other(opened.fingerprint, opened.encoder)
                found = described(opened, calibration, singers.voices, only=chosen.id)
    if as_json:
        print_json(found[0] if found else None)
        return
    _print_groups(run, found)
    run.print_table(
        ("voice", "sings", "by a person", "recording"),
        [
            (str(one.number + 1), f"{one.seconds:.0f} s", "yes" if one.by_person else "no", one.path or "file is gone")
            for whole in found
            for one in whole.voices
        ],
    )


def name(
    number: Number,
    singer: Annotated[str, typer.Argument(metavar="NAME", help="Who sings.", show_default=False)],
    library: LibraryOption = LIBRARY,
    gallery: GalleryFile = GALLERY,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Say who sings in a group, and enrol its voices in a gallery; nothing is listened to."""
    from whosings.gallery import Gallery
    from whosings.library.decisions import DecidedLibrary
    from whosings.library.enrolment import enrol_voices

    decider = login(who)
    with DecidedLibrary(library) as opened:
        chosen = opened.group(number)
        with Gallery(gallery, opened.fingerprint, opened.encoder) as singers:
            singer = singers.spelling(singer)
            found = enrol_voices(opened, singers, singer, chosen.voices)
        opened.name_group(number, singer, decider, {"encoder": opened.fingerprint})
    if as_json:
        print_json({"group": number, "name": singer, "enrolled": found})
        return
    already = f", {found.skipped} already there" if found.skipped else ""
    print_text(f"group {number} is {singer}: {counted(found.added, 'recording')} enrolled in {gallery}{already}")


def merge(
    number: Number,
    into: Annotated[int, typer.Argument(help="Number of the group that gets its voices.", show_default=False)],
    library: LibraryOption = LIBRARY,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Say that two groups are one singer's."""
    from whosings.library.decisions import DecidedLibrary

    decider = login(who)
    with DecidedLibrary(library) as opened:
        opened.merge_groups(number, into, decider, {"encoder": opened.fingerprint})
        voices = len(opened.group(into).voices)
    if as_json:
        print_json({"merged": number, "into": into, "voices": voices})
    else:
        print_text(f"group {number} is part of group {into} now, which has {counted(voices, 'voice')}")


def split(
    number: Number,
    songs: Annotated[list[Path], typer.Argument(metavar="SONG...", help="Songs of the group.", show_default=False)],
    voice: Annotated[
        int | None, typer.Option(min=1, help="Only this voice of the songs; all of the group unless given.")
    ] = None,
    library: LibraryOption = LIBRARY,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Say that songs, or one voice of them, are not the singer of a group; the rest of it stays together."""
    from whosings.library.decisions import DecidedLibrary

    decider = login(who)
    with DecidedLibrary(library) as opened:
        contents = {opened.recording(required_recording(opened, song)).sha256 for song in songs}
        out = [
            key
            for key in opened.group(number).voices
            if key.sha256 in contents and (voice is None or key.number == voice - 1)
        ]
        if missing := contents - {key.sha256 for key in out}:
            names = [
                str(song) for song in songs if opened.recording(required_recording(opened, song)).sha256 in missing
            ]
            raise LibraryError(names[0], f"is not in group {number}", f"see who is: whosings group show {number}")
        opened.split_group(number, out, decider, {"encoder": opened.fingerprint})
        left = len(opened.group(number).voices)
    if as_json:
        print_json({"split": number, "out": len(out), "voices": left})
    else:
        print_text(f"{counted(len(out), 'voice')} taken out of group {number}, which has {counted(left, 'voice')} now")


def _refuse_before_verb(context: typer.Context) -> None:
    for parameter in context.params:
        source = context.get_parameter_source(parameter)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"write options after the verb: whosings group {context.invoked_subcommand} ...")


def _print_groups(run: Report, found: tuple[Group, ...]) -> None:
    if not found:
        run.out.print("no voice that nobody has named is in several recordings", markup=False)
        return
    run.print_table(
        ("group", "singer", "recordings", "sings", "best clip"),
        [
            (
                str(one.id),
                one.name or _likely(one),
                str(one.recordings),
                f"{one.seconds:.0f} s",
                "files are gone" if one.clip is None else f"{one.clip.path} {one.clip.span}",
            )
            for one in found
        ],
    )


def _likely(one: Group) -> str:
    names = [f"{likely.name} ({likely.share:.0%}, {likely.source})" for likely in one.likely]
    return f"perhaps {', '.join(names)}" if names else "nobody knows"


def _spans(spans: tuple[object, ...]) -> str:
    more = f" and {len(spans) - _SHOWN} more" if len(spans) > _SHOWN else ""
    return ", ".join(map(str, spans[:_SHOWN])) + more
