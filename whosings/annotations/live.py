"""Asking the sources for a small catalogue, track by track; for more than some ten thousand tracks use the dumps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from whosings.annotations.artists import ArtistBook
from whosings.annotations.matching import TrackIndex
from whosings.annotations.reconcile import Decision, ReconcileRules, reconcile
from whosings.annotations.records import ArtistRecord, Source, TrackRecord


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
) -> Annotations:
    """Ask every source for every track and for the artists of what matched.

    Interrupted work is taken up by running it again: what was answered comes from the cache.

    Args:
        tracks: of one's own (``tables.read_catalogue``).
        sources: in the order asked; best Deezer, MusicBrainz, Wikidata, Discogs, for the first bring ISRCs and ids by
            which the others find more.
        index: where to put the records; in memory if None.
        progress: called after each track.

    Raises:
        AnnotationError: a source cannot be asked.
    """
    index = index or TrackIndex()
    tracks = tuple(tracks)
    index.add(tracks)
    wanted_artists: dict[Source, dict[str, None]] = {source.source: {} for source in sources}
    for track in tracks:
        for source in sources:
            index.add(source.find(_with_ids(track, index)))
        for match in index.matches(track):
            ids = wanted_artists.get(match.record.source, {})
            ids.update((credit.artist_id, None) for credit in match.record.credits if credit.artist_id)
        if progress is not None:
            progress(track)
    book = ArtistBook()
    for source in sources:
        for artist_id in wanted_artists[source.source]:
            if (record := source.artist(artist_id)) is not None:
                book.add(record)
    for source in sources:
        if isinstance(source, ArtistLinks):
            for of in (Source.MUSICBRAINZ, Source.DEEZER, Source.DISCOGS):
                for record in source.artists(wanted_artists.get(of, {}), of):
                    book.add(record)
    return Annotations(index, book)


def _with_ids(track: TrackRecord, index: TrackIndex) -> TrackRecord:
    """The track with the ids that its matches so far bring."""
    records = [match.record for match in index.matches(track)]
    mbids = [record.musicbrainz_id for record in records if record.musicbrainz_id]
    isrcs = dict.fromkeys(isrc for record in records for isrc in record.isrcs)
    return replace(track, isrcs=tuple(isrcs), musicbrainz_id=mbids[0] if mbids else None)
