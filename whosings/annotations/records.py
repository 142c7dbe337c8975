"""What one source says of one track or one artist: the records that all sources are read into.

Conventions
-----------
- Durations are seconds; dates are ISO 8601, cut short where the source knows only the year or the month.
- ISRCs have no hyphens and are upper case; MusicBrainz ids are lower case.
- An artist id is the source's own: a Deezer or Discogs number as text, a MusicBrainz id, a Wikidata item (``Q...``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from whosings.errors import MissingExtraError

MissingExtraError.require("msgspec", "reading what sources say", "annotate")

import msgspec  # noqa: E402

_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}\d{7}")
_MBID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


class Source(StrEnum):
    """Who says it. ``CATALOGUE`` is the owner of the tracks: file names and tags."""

    CATALOGUE = "catalogue"
    MUSICBRAINZ = "musicbrainz"
    WIKIDATA = "wikidata"
    DEEZER = "deezer"
    DISCOGS = "discogs"


class Kind(StrEnum):
    """What an artist is: one voice, several, or neither (a character, an orchestra)."""

    PERSON = "person"
    GROUP = "group"
    OTHER = "other"
    UNKNOWN = "unknown"


class CreditRole(StrEnum):
    """What an artist does on a track. ``LEAD_VOCALS`` is an explicit credit for singing, beyond being a main artist."""

    MAIN = "main"
    FEATURED = "featured"
    LEAD_VOCALS = "lead vocals"
    BACKING_VOCALS = "backing vocals"
    REMIXER = "remixer"


@dataclass(frozen=True, slots=True)
class ArtistKey:
    """An artist as one source knows it."""

    source: Source
    artist_id: str

    def __str__(self) -> str:
        return f"{self.source}:{self.artist_id}"


@dataclass(frozen=True, slots=True)
class Credit:
    """One artist on one track; ``artist_id`` is None where the source gives only a name."""

    name: str
    role: CreditRole = CreditRole.MAIN
    artist_id: str | None = None


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """What a source says of a track.

    Attributes:
        source_id: the track's id in the source; for the catalogue, the manifest's ``track_id``.
        isrcs: recording codes; a source may know several for one recording.
        duration_s: seconds.
        musicbrainz_id: the recording's id there.
        release_date: date of the first release the source knows.
        release_title: title of the album or single.
    """

    source: Source
    source_id: str
    title: str
    credits: tuple[Credit, ...]
    isrcs: tuple[str, ...] = ()
    duration_s: float | None = None
    musicbrainz_id: str | None = None
    release_date: str | None = None
    release_title: str | None = None

    def __str__(self) -> str:
        return f"{self.source}:{self.source_id}"

    def to_json(self) -> str:
        """One line of JSON; ``from_json`` reads it back."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, line: str) -> TrackRecord:
        """The record that ``to_json`` wrote."""
        return _decoder().decode(line)


@cache
def _decoder() -> msgspec.json.Decoder[TrackRecord]:
    return msgspec.json.Decoder(TrackRecord)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a group; ``sings`` is None where the source does not say."""

    name: str
    artist_id: str | None = None
    sings: bool | None = None


@dataclass(frozen=True, slots=True)
class ArtistRecord:
    """What a source says of an artist.

    Attributes:
        sings: whether the source calls the artist a singer (of a person); None where it does not say.
        aliases: other names.
        musicbrainz_id, wikidata_id, deezer_id, discogs_id: the same artist elsewhere, by this source.
        members: who belongs to a group.
    """

    source: Source
    source_id: str
    name: str
    kind: Kind = Kind.UNKNOWN
    sings: bool | None = None
    aliases: tuple[str, ...] = ()
    musicbrainz_id: str | None = None
    wikidata_id: str | None = None
    deezer_id: str | None = None
    discogs_id: str | None = None
    members: tuple[Member, ...] = ()

    @property
    def key(self) -> ArtistKey:
        """The artist in its own source."""
        return ArtistKey(self.source, self.source_id)

    @property
    def links(self) -> tuple[ArtistKey, ...]:
        """The artist in the other sources."""
        ids = {
            Source.MUSICBRAINZ: self.musicbrainz_id,
            Source.WIKIDATA: self.wikidata_id,
            Source.DEEZER: self.deezer_id,
            Source.DISCOGS: self.discogs_id,
        }
        return tuple(ArtistKey(source, id_) for source, id_ in ids.items() if id_ and source != self.source)


def clean_isrc(text: object) -> str | None:
    """An ISRC in its plain form, ``CCXXXYYNNNNN``, or None if the text is none (ISO 3901)."""
    code = str(text or "")
    if not _ISRC.fullmatch(code):
        code = re.sub(r"[\s-]", "", code).upper()
    return code if _ISRC.fullmatch(code) else None


def clean_mbid(text: object) -> str | None:
    """A MusicBrainz id in its plain form, or None if the text is none."""
    mbid = str(text or "").strip().lower()
    return mbid if _MBID.fullmatch(mbid) else None


def clean_date(text: object) -> str | None:
    """``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD`` ; unknown parts may be zeros; None without a year."""
    found = _DATE.match(str(text)) if text else None
    if not found or found[1] == "0000":
        return None
    parts = [found[1]]
    for part in found.groups()[1:]:
        if part in (None, "00"):
            break
        parts.append(part)
    return "-".join(parts)


def clean_seconds(value: Any, scale: float = 1.0) -> float | None:
    """A positive number of seconds, or None: ``value`` is a number, text of one, or ``m:ss``/``h:mm:ss``.

    Args:
        value: the source's duration.
        scale: seconds a unit, 0.001 for milliseconds.
    """
    try:
        seconds = 0.0
        for part in str(value).split(":"):
            seconds = seconds * 60 + float(part)
    except ValueError:
        return None
    return seconds * scale if 0 < seconds < float("inf") else None
