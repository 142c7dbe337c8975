"""The same artist in several sources: links are followed, and links that contradict each other are refused.

Conventions
-----------
- Two artists are one if a source says so (MusicBrainz' links, Wikidata's ids) or if the same recording names both.
- No artist has two ids in one source: a link that would give it two is refused, and the first one stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from whosings.annotations.records import ArtistKey, ArtistRecord, Kind, Member, Source

_PREFERENCE = (Source.MUSICBRAINZ, Source.WIKIDATA, Source.DEEZER, Source.DISCOGS)
_MIXED_AT_LEAST = 2
_MIXED_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Singer:
    """One row of the singer table. ``singer_id`` is ``source:id`` of the first source that knows the singer."""

    singer_id: str
    name: str
    musicbrainz_id: str | None = None
    wikidata_id: str | None = None
    deezer_id: str | None = None
    discogs_id: str | None = None


@dataclass(frozen=True, slots=True)
class Artist:
    """An artist as all sources together know it.

    Attributes:
        kinds_disagree: whether one source says person and another group; ``kind`` is then unknown.
        sings: whether any source calls the artist a singer.
    """

    singer: Singer
    kind: Kind = Kind.UNKNOWN
    kinds_disagree: bool = False
    sings: bool | None = None


class ArtistBook:
    """Artists of all sources, joined as they are added.

    Args:
        records: what the sources say; of contradicting links the earlier record's is kept.
    """

    def __init__(self, records: Iterable[ArtistRecord] = ()) -> None:
        self._records: dict[ArtistKey, ArtistRecord] = {}
        self._above: dict[ArtistKey, ArtistKey] = {}
        self._ids: dict[ArtistKey, dict[Source, str]] = {}
        self._mixed: set[ArtistKey] = set()
        self.refused: list[tuple[ArtistKey, ArtistKey]] = []
        for record in records:
            self.add(record)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: ArtistKey) -> bool:
        return key in self._records

    def keys(self) -> Iterator[ArtistKey]:
        """Every artist of whom a record speaks: itself, links, members; some of them more than once."""
        for key, record in self._records.items():
            yield key
            yield from record.links
            yield from (ArtistKey(key.source, m.artist_id) for m in record.members if m.artist_id is not None)

    def add(self, record: ArtistRecord) -> None:
        """Add what a source says of an artist; a second record of the same artist adds to the first."""
        known = self._records.get(record.key)
        self._records[record.key] = record if known is None else _merged(known, record)
        for key in record.links:
            if not self.link(record.key, key):
                self.refused.append((record.key, key))

    def link(self, one: ArtistKey, other: ArtistKey) -> bool:
        """Make two artists one; False, and nothing done, if that would give it two ids in one source."""
        first, second = self._top(one), self._top(other)
        if first == second:
            return True
        ids, more = self._ids[first], self._ids[second]
        if any(ids.get(source, id_) != id_ for source, id_ in more.items()):
            return False
        if len(more) > len(ids):
            first, second = second, first
        self._above[second] = first
        self._ids[first] |= self._ids.pop(second)
        return True

    def learn(self, evidence: Counter[tuple[ArtistKey, ArtistKey]]) -> None:
        """Link artists whom recordings name alike, the best supported pair first.

        A Deezer or Discogs page that recordings attribute to several artists of that name is marked as mixed: at least
        two recordings and a tenth of those for the artist it is linked to contradict the link.

        Args:
            evidence: pairs of artists of two sources and how many recordings name both.
        """
        accepted: Counter[ArtistKey] = Counter()
        for (one, other), count in sorted(
            evidence.items(), key=lambda item: (-item[1], str(item[0][0]), str(item[0][1]))
        ):
            if self.link(one, other):
                accepted.update({one: count, other: count})
                continue
            for page in (one, other):
                if page.source in (Source.DEEZER, Source.DISCOGS) and count >= max(
                    _MIXED_AT_LEAST, _MIXED_SHARE * accepted[page]
                ):
                    self._mixed.add(page)

    def is_mixed(self, key: ArtistKey) -> bool:
        """Whether a page is known to mix several artists of one name."""
        return key in self._mixed

    def artist(self, key: ArtistKey, name: str) -> Artist:
        """All that is known of an artist; ``name`` stands in where no source's record is there."""
        ids = self._ids[self._top(key)]
        keys = [ArtistKey(source, ids[source]) for source in _PREFERENCE if source in ids]
        records = [self._records[k] for k in keys if k in self._records]
        kinds = {record.kind for record in records} - {Kind.UNKNOWN}
        disagree = {Kind.PERSON, Kind.GROUP} <= kinds
        opinions = {record.sings for record in records} - {None}
        return Artist(
            singer=Singer(
                singer_id=str(keys[0]),
                name=records[0].name if records else name,
                musicbrainz_id=ids.get(Source.MUSICBRAINZ),
                wikidata_id=ids.get(Source.WIKIDATA),
                deezer_id=ids.get(Source.DEEZER),
                discogs_id=ids.get(Source.DISCOGS),
            ),
            kind=Kind.UNKNOWN if disagree or not kinds else kinds.pop() if len(kinds) == 1 else Kind.OTHER,
            kinds_disagree=disagree,
            sings=True if True in opinions else False if opinions else None,
        )

    def voices(self, group: Artist) -> tuple[Singer, ...]:
        """The members of a group who are known to sing in front."""
        said: dict[str, Singer] = {}
        for record, member in self._memberships(group):
            if member.artist_id is None:
                continue
            person = self.artist(ArtistKey(record.source, member.artist_id), member.name)
            if member.sings or (member.sings is None and person.sings):
                said.setdefault(person.singer.singer_id, person.singer)
        return tuple(said.values())

    def _memberships(self, group: Artist) -> Iterable[tuple[ArtistRecord, Member]]:
        singer = group.singer
        ids = (singer.musicbrainz_id, singer.wikidata_id, singer.deezer_id, singer.discogs_id)
        for source, id_ in zip(_PREFERENCE, ids, strict=True):
            record = self._records.get(ArtistKey(source, id_)) if id_ else None
            for member in record.members if record else ():
                assert record is not None
                yield record, member

    def _top(self, key: ArtistKey) -> ArtistKey:
        if key not in self._above:
            self._above[key] = key
            self._ids[key] = {key.source: key.artist_id}
            return key
        while (above := self._above[key]) != key:
            self._above[key] = self._above[above]
            key = above
        return key


def _merged(known: ArtistRecord, more: ArtistRecord) -> ArtistRecord:
    return ArtistRecord(
        source=known.source,
        source_id=known.source_id,
        name=known.name,
        kind=known.kind if known.kind != Kind.UNKNOWN else more.kind,
        sings=known.sings if known.sings else more.sings if more.sings is not None else known.sings,
        aliases=tuple(dict.fromkeys(known.aliases + more.aliases)),
        musicbrainz_id=known.musicbrainz_id or more.musicbrainz_id,
        wikidata_id=known.wikidata_id or more.wikidata_id,
        deezer_id=known.deezer_id or more.deezer_id,
        discogs_id=known.discogs_id or more.discogs_id,
        members=tuple(dict.fromkeys(known.members + more.members)),
    )
