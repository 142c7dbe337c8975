"""What one source's record says of who sings: one lead singer, several, a band, or nothing certain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from whosings.annotations.artists import Artist, ArtistBook, Singer
from whosings.annotations.matching import Match
from whosings.annotations.names import normalise, parse_title, similarity
from whosings.annotations.records import ArtistKey, Credit, CreditRole, Kind, Source, TrackRecord
from whosings.singer_names import is_nobody, split_names

ALIKE = 92.0
"""Similarity from which two names on one recording are one artist's."""
_SUNG_BY_NOBODY = frozenset({"instrumental", "karaoke"})


class Reason(StrEnum):
    """Why a track is kept, kept apart or dropped."""

    SOLO = "solo"
    FEATURE = "feature"
    DUET = "duet"
    OTHER_VOICE = "other voice"
    BAND = "band"
    INSTRUMENTAL = "instrumental"
    NOT_A_SINGER = "not a singer"
    KIND_CONFLICT = "person or group"
    CONFLICT = "sources disagree"
    UNKNOWN_KIND = "unknown kind"
    NAME_ONLY = "name only"
    NO_ARTIST = "no artist"
    TOO_FEW_SOURCES = "too few sources"
    NO_SOURCE = "no source"


SEVERAL = (Reason.FEATURE, Reason.DUET, Reason.OTHER_VOICE, Reason.BAND)
"""Reasons for which a track is kept apart, the weightiest first."""


@dataclass(frozen=True)
class Statement:
    """What one record says.

    Attributes:
        singers: the one lead singer, or everyone who may be heard in front.
        explicit: whether the singer is credited for the voice, beyond being the main artist.
    """

    record: TrackRecord
    reason: Reason
    singers: tuple[Singer, ...] = ()
    explicit: bool = False

    @property
    def names(self) -> str:
        """The singers' names, for a sentence."""
        return ", ".join(singer.name for singer in self.singers) or "nobody by name"


class Reader:
    """Reads the statements of one track's records.

    Args:
        book: artists of all sources.
        matches: the track's records; a credit without an artist's id takes that of the same name on another record.
    """

    def __init__(self, book: ArtistBook, matches: Sequence[Match]) -> None:
        self._book = book
        self._known: dict[str, ArtistKey] = {}
        for match in matches:
            for credit in match.record.credits:
                key = self._key(match.record.source, credit)
                if key is not None:
                    self._known.setdefault(normalise(credit.name), key)

    def read(self, record: TrackRecord) -> Statement:
        """What the record says."""
        title = parse_title(record.title)
        if title.versions & _SUNG_BY_NOBODY:
            return Statement(record, Reason.INSTRUMENTAL)
        named = [credit for credit in record.credits if not is_nobody(credit.name)]
        mains = self._artists(record, named, CreditRole.MAIN)
        leads = self._artists(record, named, CreditRole.LEAD_VOCALS)
        credited = [normalise(credit.name) for credit in named]
        guests = self._artists(record, named, CreditRole.FEATURED) + [
            self._artist(record, Credit(name))
            for name in title.featured
            if not any(similarity(normalise(name), other) >= ALIKE for other in credited)
        ]
        if guests:
            return Statement(record, Reason.FEATURE, self._voices([*mains, *guests], certain=leads), bool(leads))
        if leads:
            return self._with_leads(record, mains, leads)
        if len(mains) > 1:
            return Statement(record, Reason.DUET, self._voices(mains))
        return self._alone(record, mains[0]) if mains else Statement(record, Reason.NO_ARTIST)

    def _with_leads(self, record: TrackRecord, mains: list[Artist], leads: list[Artist]) -> Statement:
        voices = self._voices((), certain=leads)
        ids = {main.singer.singer_id for main in mains}
        if any(main.kind in (Kind.GROUP, Kind.OTHER) for main in mains):
            return Statement(record, Reason.BAND, voices, True)
        if len(leads) > 1:
            return Statement(record, Reason.DUET, voices, True)
        lead = leads[0]
        if mains and lead.singer.singer_id not in ids:
            return Statement(record, Reason.OTHER_VOICE, voices, True)
        if lead.kinds_disagree:
            return Statement(record, Reason.KIND_CONFLICT, voices, True)
        return Statement(record, Reason.NAME_ONLY if _nameless(lead) else Reason.SOLO, voices, True)

    def _alone(self, record: TrackRecord, artist: Artist) -> Statement:
        """One main artist and no more is said."""
        singers = (artist.singer,)
        if artist.kinds_disagree:
            return Statement(record, Reason.KIND_CONFLICT, singers)
        if artist.kind in (Kind.GROUP, Kind.OTHER):
            return Statement(record, Reason.BAND, self._book.voices(artist))
        if artist.kind is Kind.UNKNOWN:
            if len(split_names(artist.singer.name)) > 1:
                return Statement(record, Reason.DUET, singers)
            return Statement(record, Reason.NAME_ONLY if _nameless(artist) else Reason.UNKNOWN_KIND, singers)
        return Statement(record, Reason.NOT_A_SINGER if artist.sings is False else Reason.SOLO, singers)

    def _voices(self, artists: Iterable[Artist], certain: Sequence[Artist] = ()) -> tuple[Singer, ...]:
        """Who may be heard: groups by their known singers; people unless known not to sing; who is ``certain`` to."""
        heard: dict[str, Singer] = {}
        for artist in (*artists, *certain):
            if artist.kind is Kind.GROUP:
                singers = self._book.voices(artist) or (artist.singer,)
            else:
                singers = () if artist.sings is False and artist not in certain else (artist.singer,)
            heard.update((singer.singer_id, singer) for singer in singers)
        return tuple(heard.values())

    def _artists(self, record: TrackRecord, credits: Iterable[Credit], role: CreditRole) -> list[Artist]:
        found = [self._artist(record, credit) for credit in credits if credit.role is role]
        return list({artist.singer.singer_id: artist for artist in found}.values())

    def _artist(self, record: TrackRecord, credit: Credit) -> Artist:
        key = self._key(record.source, credit)
        if key is None:
            name = normalise(credit.name)
            key = self._known.get(name) or next(
                (known for other, known in self._known.items() if similarity(name, other) >= ALIKE), None
            )
        if key is None:
            return Artist(Singer(f"name:{normalise(credit.name)}", credit.name))
        return self._book.artist(key, credit.name)

    def _key(self, source: Source, credit: Credit) -> ArtistKey | None:
        if credit.artist_id is None or source is Source.CATALOGUE:
            return None
        key = ArtistKey(source, credit.artist_id)
        return None if self._book.is_mixed(key) else key


def _nameless(artist: Artist) -> bool:
    return artist.singer.singer_id.startswith("name:")
