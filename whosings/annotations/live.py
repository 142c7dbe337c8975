"""Asking the sources for a small catalogue, track by track; for more than some ten thousand tracks use the dumps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar, runtime_checkable

from whosings.annotations.artists import ArtistBook
from whosings.annotations.matching import TrackIndex
from whosings.annotations.reconcile import Decision, ReconcileRules, reconcile
from whosings.annotations.records import ArtistKey, ArtistRecord, Source, TrackRecord
from whosings.errors import MalformedAnswerError

T = TypeVar("T")


class TrackSource(Protocol):
    """A source that can be asked, such as ``Deezer`` or ``MusicBrainz``."""

    source: Source

    def find(self, wanted: TrackRecord) -> list[TrackRecord]:
        """Tracks that may be ``wanted``."""

    def artist(self, artist_id: str) -> ArtistRecord | None:
        """An artist of this source."""


@runtime_checkable
class ArtistLinks(Protocol):
    """A source that knows artists by their ids elsewhere, many at a time, such as ``Wikidata``."""

    def artists(self, ids: Iterable[str], of: Source) -> Iterable[ArtistRecord]:
        """The artists that have these ids in a source."""


@dataclass(frozen=True)
class Annotations:
    """Everything the sources said, ready for ``reconcile``."""

    index: TrackIndex
    book: ArtistBook

    def decisions(self, rules: ReconcileRules | None = None) -> list[Decision]:
        """What becomes of each track of the catalogue."""
        return list(reconcile(self.index, self.book, rules))


def annotate(
    tracks: Iterable[TrackRecord],
    sources: Sequence[TrackSource],
    *,
    index: TrackIndex | None = None,
    progress: Callable[[TrackRecord], None] | None = None,
    artist_progress: Callable[[ArtistKey], None] | None = None,
    on_malformed: Callable[[MalformedAnswerError], None] | None = None,
) -> Annotations:
    """Ask every source for every track and for the artists of what matched.

    Interrupted work is taken up by running it again: what was answered comes from the cache.

    Args:
        tracks: one's own (``tables.read_catalogue``).
        sources: in the order asked; best Deezer, MusicBrainz, Wikidata, Discogs, for the first bring ISRCs and ids by
            which the others find more.
        index: where to put the records; in memory if None.
        progress: called after each track.
        artist_progress: called after each artist.
        on_malformed: called with an answer that is not in the documented format, which then counts as none. Without it
            the first such answer is raised.

    Raises:
        AnnotationError: a source cannot be asked.
    """
    index = index or TrackIndex()
    tracks = tuple(tracks)

    def answered(subject: str, ask: Callable[[], T], otherwise: T) -> T:
        try:
            return ask()
        except MalformedAnswerError as error:
            if on_malformed is None:
                raise
            on_malformed(MalformedAnswerError(f"{subject} ({error.subject})", error.problem, error.remedy))
            return otherwise

    index.add(tracks)
    wanted_artists: dict[Source, dict[str, None]] = {source.source: {} for source in sources}
    for track in tracks:
        for source in sources:
            wanted = _with_ids(track, index)
            index.add(answered(track.source_id, partial(source.find, wanted), []))
        for match in index.matches(track):
            ids = wanted_artists.get(match.record.source, {})
            ids.update((credit.artist_id, None) for credit in match.record.credits if credit.artist_id)
        if progress is not None:
            progress(track)
    book = ArtistBook()
    for source in sources:
        for artist_id in wanted_artists[source.source]:
            key = ArtistKey(source.source, artist_id)
            if (record := answered(str(key), partial(source.artist, artist_id), None)) is not None:
                book.add(record)
            if artist_progress is not None:
                artist_progress(key)
    for source in sources:
        if isinstance(source, ArtistLinks):
            for of in (Source.MUSICBRAINZ, Source.DEEZER, Source.DISCOGS):
                linked = source.artists(wanted_artists.get(of, {}), of)
                for record in answered(f"artists of {of}", partial(list, linked), []):
                    book.add(record)
    return Annotations(index, book)


def _with_ids(track: TrackRecord, index: TrackIndex) -> TrackRecord:
    """The track with the ids that its matches so far bring."""
    records = [match.record for match in index.matches(track)]
    mbids = [record.musicbrainz_id for record in records if record.musicbrainz_id]
    isrcs = dict.fromkeys(isrc for record in records for isrc in record.isrcs)
    return replace(track, isrcs=tuple(isrcs), musicbrainz_id=mbids[0] if mbids else None)
