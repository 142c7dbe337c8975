"""Who sings a track, by what others say: annotate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import typer

from whosings.commands.options import Json, refuse_ignored
from whosings.console import Report, counted, print_json
from whosings.errors import AnnotationError, ConfigError, MalformedAnswerError
from whosings.progress import Progress

if TYPE_CHECKING:
    from whosings.annotations.artists import ArtistBook
    from whosings.annotations.decision_tables import Summary
    from whosings.annotations.live import TrackSource
    from whosings.annotations.matching import TrackIndex
    from whosings.annotations.records import ArtistRecord, TrackRecord
    from whosings.annotations.track_keys import MayMatch, Said

T = TypeVar("T")
_COUNTS_FOR = {"contact": ("--live",), "discogs_token": ("--live",), "cache": ("--live",)}


@dataclass(frozen=True)
class _Dump(Generic[T]):
    """A file and what reads it; ``passes_over`` says whether that can be told which entries to leave out."""

    path: Path
    read: Callable[..., Iterator[T]]
    passes_over: bool = False


@dataclass(frozen=True)
class _Row:
    """How many tracks there are of one reason."""

    outcome: str
    reason: str
    tracks: int


@dataclass(frozen=True)
class _Reading:
    """Reads dumps: a damaged one is a failure, nothing of it is used, and the rest goes on."""

    run: Report
    bars: Progress

    def counting(self, label: str, steps: int, items: Iterable[T]) -> Iterator[T]:
        """The items, with a progress bar; 0 steps are an unknown number of them."""
        step = self.bars(label, steps)
        for item in items:
            yield item
            step()

    def read(self, dump: _Dump[T], take: Callable[[Iterator[T]], object], may_match: MayMatch | None = None) -> bool:
        """Hand a dump's records to ``take``; whether the dump was whole."""
        try:
            take(self._some(dump, may_match))
        except MalformedAnswerError as error:
            self.run.failures.append(MalformedAnswerError(dump.path, error.problem, error.remedy))
            return False
        return True

    def _some(self, dump: _Dump[T], may_match: MayMatch | None) -> Iterator[T]:
        step, empty = self.bars(dump.path.name, 0), True

        def looked_at(said: Said) -> bool:
            nonlocal empty
            empty = False
            step()
            return may_match is None or may_match(said)

        if dump.passes_over:
            yield from dump.read(dump.path, looked_at)
        else:
            for record in dump.read(dump.path):
                empty = False
                yield record
                step()
        if empty:
            raise MalformedAnswerError(dump.path, "holds none of what is looked for", "check that it is the right dump")


def annotate(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(help="Folder of tagged audio, a track table, or a table track_id,title,artist.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Table of decisions to write (.parquet or .csv).")],
    singers: Annotated[
        Path | None, typer.Option(help="Table of the singers to write, too.", show_default=False)
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Ask Deezer, MusicBrainz, Wikidata and, with a token, Discogs.")
    ] = False,
    contact: Annotated[
        str, typer.Option(help="For --live: your e-mail address or web page; services ask for it.", show_default=False)
    ] = "",
    discogs_token: Annotated[
        str, typer.Option(envvar="DISCOGS_TOKEN", help="For --live: personal token.", show_default=False)
    ] = "",
    cache: Annotated[Path, typer.Option(help="For --live: folder that keeps answers for 30 days.")] = Path(
        "annotation-cache"
    ),
    deezer_tracks: Annotated[
        Path | None, typer.Option(help="Deezer's track objects, one a line.", show_default=False)
    ] = None,
    musicbrainz_recordings: Annotated[
        Path | None, typer.Option(help="MusicBrainz' recording.tar.xz.", show_default=False)
    ] = None,
    musicbrainz_artists: Annotated[
        Path | None, typer.Option(help="MusicBrainz' artist.tar.xz.", show_default=False)
    ] = None,
    wikidata_tracks: Annotated[
        Path | None, typer.Option(help="Results of TRACK_QUERY (.json or .csv).", show_default=False)
    ] = None,
    wikidata_artists: Annotated[
        Path | None, typer.Option(help="Results of ARTIST_QUERY (.json or .csv).", show_default=False)
    ] = None,
    discogs_releases: Annotated[Path | None, typer.Option(help="Discogs' releases.xml.gz.", show_default=False)] = None,
    discogs_artists: Annotated[Path | None, typer.Option(help="Discogs' artists.xml.gz.", show_default=False)] = None,
    min_sources: Annotated[int, typer.Option(min=1, help="Sources that must name a singer alone.")] = 1,
    accept_unknown_kind: Annotated[
        bool,
        typer.Option("--accept-unknown-kind", help="Keep artists of whom no source says that they are one person."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Decide which tracks have exactly one lead singer, and who it is, by what music databases say."""
    from whosings.annotations.decision_tables import catalogue_of, write_decisions, write_singers
    from whosings.annotations.matching import TrackIndex
    from whosings.annotations.reconcile import ReconcileRules, reconcile

    refuse_ignored(context, "--live" if live else "dumps", _COUNTS_FOR)
    tracks = _track_dumps(deezer_tracks, musicbrainz_recordings, wikidata_tracks, discogs_releases)
    artists = _artist_dumps(musicbrainz_artists, wikidata_artists, discogs_artists)
    if not (live or tracks):
        remedy = "name a dump, such as --musicbrainz-recordings, or ask the services with --live"
        raise ConfigError("annotate", "is given no source that knows tracks", remedy)
    _check_paths(
        [out] if singers is None else [out, singers],
        source,
        [*(dump.path for dump in tracks), *(dump.path for dump in artists)],
    )
    run, summary = Report(), None
    with ExitStack() as open_ones, run.bars() as bars:
        reading = _Reading(run, bars)
        asked = _services(contact, discogs_token, cache, open_ones) if live else ()
        # SQLite keeps a file without a name on disk where it grows large, and removes it at the end.
        index = open_ones.enter_context(closing(TrackIndex("")))
        listed = index.add(reading.counting("tags", 0, catalogue_of(source, run.failures.append)))
        whole = [
            reading.read(dump, lambda records: index.add(records, only_related=True), index.may_match)
            for dump in tracks
        ]
        if live or any(whole):
            book = _artists(reading, index, listed, asked, artists)
            decisions = reconcile(index, book, ReconcileRules(min_sources, accept_unknown_kind))
            summary = write_decisions(reading.counting("decisions", listed, decisions), out)
            if singers is not None:
                write_singers(summary.singers, singers)
    if as_json:
        print_json(_as_plain(run, summary, listed, out, singers))
    elif summary is not None:
        _print(run, summary, listed, out, singers)
    run.finish()


def _track_dumps(
    deezer_path: Path | None, musicbrainz_path: Path | None, wikidata_path: Path | None, discogs_path: Path | None
) -> list[_Dump[TrackRecord]]:
    """The dumps of tracks that are named, in an order in which each brings ids by which the next one's are found."""
    from whosings.annotations import deezer, discogs, musicbrainz, wikidata

    return [
        *_named(deezer_path, deezer.read_tracks),
        *_named(musicbrainz_path, musicbrainz.read_recordings, passes_over=True),
        *_named(wikidata_path, wikidata.read_tracks),
        *_named(discogs_path, discogs.read_tracks, passes_over=True),
    ]


def _artist_dumps(
    musicbrainz_path: Path | None, wikidata_path: Path | None, discogs_path: Path | None
) -> list[_Dump[ArtistRecord]]:
    from whosings.annotations import discogs, musicbrainz, wikidata

    return [
        *_named(musicbrainz_path, musicbrainz.read_artists),
        *_named(wikidata_path, wikidata.read_artists),
        *_named(discogs_path, discogs.read_artists),
    ]


def _named(path: Path | None, read: Callable[..., Iterator[T]], passes_over: bool = False) -> list[_Dump[T]]:
    return [] if path is None else [_Dump(path, read, passes_over)]


def _check_paths(written: Sequence[Path], source: Path, dumps: Sequence[Path]) -> None:
    """What would fail after hours fails now."""
    from whosings.catalogue.table_files import check_ending

    for path in dumps:
        if not path.exists() or path.is_dir():
            raise AnnotationError(path, "no such file", "check the path")
    taken = {path.resolve() for path in (source, *dumps)}
    for path in written:
        check_ending(path)
        if path.resolve() in taken:
            raise typer.BadParameter(f"{path} would be overwritten; give another name")
        taken.add(path.resolve())


def _services(contact: str, discogs_token: str, cache: Path, open_ones: ExitStack) -> Sequence[TrackSource]:
    from whosings.annotations.deezer import Deezer
    from whosings.annotations.discogs import Discogs
    from whosings.annotations.musicbrainz import MusicBrainz
    from whosings.annotations.web import WebSettings
    from whosings.annotations.wikidata import Wikidata

    if not contact:
        raise ConfigError("--live", "asks services that want to know who asks", "add --contact you@example.org")
    settings = WebSettings(contact, cache)
    deezer, brainz, wikidata = Deezer(settings), MusicBrainz(settings), Wikidata(settings)
    discogs = Discogs(settings, discogs_token or None)
    for service in (deezer, brainz, wikidata, discogs):
        open_ones.callback(service.close)
    return deezer, brainz, wikidata, discogs


def _artists(
    reading: _Reading,
    index: TrackIndex,
    listed: int,
    asked: Sequence[TrackSource],
    dumps: Sequence[_Dump[ArtistRecord]],
) -> ArtistBook:
    """Ask the services for the catalogue's tracks and their artists, then read the dumps of artists."""
    from whosings.annotations.artist_shelf import ArtistShelf
    from whosings.annotations.artists import ArtistBook
    from whosings.annotations.live import annotate as ask
    from whosings.annotations.records import Source

    book = ArtistBook()
    if asked:
        track_done, artist_done = reading.bars("tracks asked for", listed), reading.bars("artists asked for", 0)
        book = ask(
            index.of(Source.CATALOGUE),
            asked,
            index=index,
            progress=lambda _: track_done(),
            artist_progress=lambda _: artist_done(),
            on_malformed=reading.run.failures.append,
        ).book

    with ArtistShelf() as shelf:
        for dump in dumps:
            reading.read(dump, shelf.add)
        for record in shelf.related(chain(index.artists(), list(book.keys()))):
            book.add(record)
    return book


def _rows(summary: Summary) -> list[_Row]:
    from whosings.annotations.reconcile import outcome_of
    from whosings.annotations.verdict import Reason

    return [_Row(outcome_of(reason), reason, summary.counts[reason]) for reason in Reason if reason in summary.counts]


def _as_plain(run: Report, summary: Summary | None, listed: int, out: Path, singers: Path | None) -> dict[str, Any]:
    made = summary is not None
    return {
        "decisions": out if made else None,
        "singers": singers if made else None,
        "tracks": listed,
        "named": len(summary.singers) if summary is not None else 0,
        "reasons": _rows(summary) if summary is not None else [],
        "failed": [str(error) for error in run.failures],
    }


def _print(run: Report, summary: Summary, listed: int, out: Path, singers: Path | None) -> None:
    from whosings.annotations.verdict import Reason

    rows = [(row.outcome, row.reason, str(row.tracks)) for row in _rows(summary)]
    run.print_table(("outcome", "reason", "tracks"), rows)
    if unknown := summary.counts.get(Reason.UNKNOWN_KIND, 0):
        run.out.print(
            f"{counted(unknown, 'track')} by artists of whom no source says that they are one person; "
            "dumps of artists say it, and --accept-unknown-kind does without",
            markup=False,
        )
    places = f"{out}" if singers is None else f"{out}, {counted(len(summary.singers), 'singer')} in {singers}"
    kept = summary.counts.get(Reason.SOLO, 0)
    run.out.print(f"{kept} of {counted(listed, 'track')} with one lead singer; {places}", markup=False)
