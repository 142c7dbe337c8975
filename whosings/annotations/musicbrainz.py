"""MusicBrainz: recordings by id, ISRC, artist or search, and artists with their links; live or from the JSON dumps.

Facts (MusicBrainz's API pages): one request a second from one address; every request names its sender; over the limit
it answers 503 with ``Retry-After``; lists come in pages of at most 100. The dumps hold one object a line in the same
form as the API's JSON, so both have one reader here, and that is why the API is asked directly: musicbrainzngs keeps
its settings in module globals, reads XML, ignores ``Retry-After`` and takes no cache.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypedDict

from whosings.annotations.dumps import json_lines
from whosings.annotations.names import parse_title
from whosings.annotations.records import (
    ArtistRecord,
    Credit,
    CreditRole,
    Kind,
    Member,
    Source,
    TrackRecord,
    clean_date,
    clean_isrc,
    clean_mbid,
    clean_seconds,
)
from whosings.annotations.track_keys import MayMatch, Said
from whosings.annotations.web import Clock, Pace, Web, WebSettings
from whosings.errors import MalformedAnswerError
from whosings.singer_names import split_featured

ADDRESS = "https://musicbrainz.org/ws/2"
PACE = Pace(1, 1.0)
_PAGE = 100
_RECORDING = "artist-credits isrcs artist-rels"
_KINDS = {"Person": Kind.PERSON, "Group": Kind.GROUP, "Choir": Kind.GROUP, "Orchestra": Kind.OTHER}
_GUESTS_FOLLOW = re.compile(r"\b(feat|ft|featuring)\b", re.IGNORECASE)
_NOT_INSTRUMENTS = frozenset({"original", "eponymous", "founder", "minor"})
_WIKIDATA = re.compile(r"wikidata\.org/(?:wiki|entity)/(Q\d+)")
_DEEZER = re.compile(r"deezer\.com/(?:\w\w/)?artist/(\d+)")
_DISCOGS = re.compile(r"discogs\.com/(?:\w\w/)?artist/(\d+)")


class _Named(TypedDict, total=False):
    """What is wanted of an artist that a line mentions."""

    id: str
    name: str


class _Credited(TypedDict, total=False):
    name: str
    joinphrase: str | None
    artist: _Named


class _Address(TypedDict, total=False):
    resource: str


class _Relation(TypedDict, total=False):
    type: str | None
    direction: str | None
    ended: bool | None
    attributes: list[str] | None
    artist: _Named
    url: _Address


class _Alias(TypedDict, total=False):
    name: str


# The fields of a dump's line that the parsers below look at.
RecordingLine = TypedDict(
    "RecordingLine",
    {
        "id": str,
        "title": str,
        "artist-credit": list[_Credited],
        "relations": list[_Relation] | None,
        "isrcs": list[str] | None,
        "length": int | float | str | None,
        "first-release-date": str | None,
    },
    total=False,
)


class _ArtistLine(TypedDict, total=False):
    id: str
    name: str
    type: str | None
    aliases: list[_Alias] | None
    relations: list[_Relation] | None


class MusicBrainz:
    """Asks MusicBrainz.

    Args:
        settings: contact, cache, retries.
        address: where the API is; a mirror's, or another one in tests.
        pace: raise it only for a mirror of your own.
        clock: replaced in tests.
    """

    source = Source.MUSICBRAINZ

    def __init__(
        self, settings: WebSettings, *, address: str = ADDRESS, pace: Pace = PACE, clock: Clock | None = None
    ) -> None:
        self._web = Web("musicbrainz", pace, settings, clock=clock)
        self._address = address.rstrip("/")

    def find(self, wanted: TrackRecord, limit: int = 5) -> list[TrackRecord]:
        """Recordings that may be ``wanted``: by its id or ISRCs, else up to ``limit`` that a search finds.

        Raises:
            AnnotationError: as ``Web.ask``, or an answer without the documented fields.
        """
        ids = [wanted.musicbrainz_id] if wanted.musicbrainz_id else []
        for isrc in wanted.isrcs if not ids else ():
            tree = self._ask(f"isrc/{isrc}", {})
            if tree is not None:
                ids.extend(_field(hit, "id") for hit in _field(tree, "recordings"))
        if not ids and wanted.credits:
            artist, _ = split_featured(wanted.credits[0].name)
            query = f'recording:"{_quoted(parse_title(wanted.title).base)}" AND artist:"{_quoted(artist)}"'
            hits = islice(self._pages("recordings", "count", {"query": query}, limit), limit)
            ids = [_field(hit, "id") for hit in hits]
        found = (self.recording(mbid) for mbid in dict.fromkeys(ids))
        return [record for record in found if record is not None]

    def recording(self, mbid: str) -> TrackRecord | None:
        """One recording with its credited artists and vocalists; None if there is none."""
        tree = self._ask(f"recording/{mbid}", {"inc": _RECORDING})
        return None if tree is None else parse_recording(tree)

    def recordings_of(self, artist_mbid: str) -> Iterator[TrackRecord]:
        """Every recording that credits the artist, 100 a request, without vocalist relations."""
        query = {"artist": artist_mbid, "inc": "artist-credits isrcs"}
        return map(parse_recording, self._pages("recordings", "recording-count", query, _PAGE))

    def artist(self, mbid: str) -> ArtistRecord | None:
        """One artist with aliases, members and links to the other sources; None if there is none."""
        tree = self._ask(f"artist/{mbid}", {"inc": "aliases artist-rels url-rels"})
        return None if tree is None else parse_artist(tree)

    def close(self) -> None:
        """Close connections and the cache."""
        self._web.close()

    def _ask(self, path: str, params: Mapping[str, str]) -> Any:
        return self._web.ask(f"{self._address}/{path}", {**params, "fmt": "json"}).document

    def _pages(self, key: str, total: str, params: Mapping[str, str], size: int) -> Iterator[Mapping[str, Any]]:
        offset = 0
        while True:
            tree = self._ask("recording", {**params, "limit": str(min(size, _PAGE)), "offset": str(offset)})
            if tree is None:
                return
            page = _field(tree, key)
            yield from page
            offset += len(page)
            if not page or offset >= int(_field(tree, total)):
                return


def parse_recording(tree: Mapping[str, Any]) -> TrackRecord:
    """A recording object as the API and the dump write it.

    Raises:
        MalformedAnswerError: no id, title or artist credit.
    """
    try:
        credits: list[Credit] = []
        role = CreditRole.MAIN
        for part in tree["artist-credit"]:
            credits.append(Credit(part["name"], role, part["artist"]["id"]))
            if (phrase := part.get("joinphrase")) and _GUESTS_FOLLOW.search(phrase):
                role = CreditRole.FEATURED
        for relation in tree.get("relations") or ():
            if "artist" in relation and (vocal := _vocal_role(relation)) is not None:
                credits.append(Credit(relation["artist"]["name"], vocal, relation["artist"]["id"]))
        return TrackRecord(
            source=Source.MUSICBRAINZ,
            source_id=tree["id"],
            title=tree["title"],
            credits=tuple(dict.fromkeys(credits)) if len(credits) > 1 else tuple(credits),
            isrcs=tuple(filter(None, map(clean_isrc, tree.get("isrcs") or ()))),
            duration_s=clean_seconds(tree.get("length"), 0.001),
            musicbrainz_id=clean_mbid(tree["id"]),
            release_date=clean_date(tree.get("first-release-date")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedAnswerError("musicbrainz", f"a recording lacks {error}", "check the format") from error


def parse_artist(tree: Mapping[str, Any]) -> ArtistRecord:
    """An artist object as the API and the dump write it.

    Raises:
        MalformedAnswerError: no id or name.
    """
    try:
        relations = tree.get("relations") or ()
        addresses = [r["url"]["resource"] for r in relations if "url" in r and not r.get("ended")]
        members = tuple(
            Member(r["artist"]["name"], r["artist"]["id"], _sings(r.get("attributes") or ()))
            for r in relations
            if r.get("type") == "member of band" and r.get("direction") == "backward"
        )
        kind = tree.get("type")
        return ArtistRecord(
            source=Source.MUSICBRAINZ,
            source_id=tree["id"],
            name=tree["name"],
            kind=_KINDS.get(kind, Kind.OTHER) if kind else Kind.UNKNOWN,
            aliases=tuple(dict.fromkeys(alias["name"] for alias in tree.get("aliases") or ())),
            musicbrainz_id=clean_mbid(tree["id"]),
            wikidata_id=_linked(addresses, "wikidata.org/", _WIKIDATA),
            deezer_id=_linked(addresses, "deezer.com/", _DEEZER),
            discogs_id=_linked(addresses, "discogs.com/", _DISCOGS),
            members=tuple(dict.fromkeys(members)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedAnswerError("musicbrainz", f"an artist lacks {error}", "check the format") from error


def read_recordings(path: str | Path, may_match: MayMatch | None = None) -> Iterator[TrackRecord]:
    """The recordings of ``recording.tar.xz``, or of a file of such lines.

    Args:
        may_match: leave out those of which it says no (``TrackIndex.may_match``), in a fraction of the time.

    Raises:
        MalformedAnswerError: a line of another form.
    """
    for tree in json_lines(path, RecordingLine):
        if may_match is None or _may_match(tree, may_match):
            yield parse_recording(tree)


def read_artists(path: str | Path) -> Iterator[ArtistRecord]:
    """The artists of ``artist.tar.xz``, or of a file of such lines.

    Raises:
        MalformedAnswerError: a line of another form.
    """
    return map(parse_artist, json_lines(path, _ArtistLine))


def _may_match(tree: Mapping[str, Any], may_match: MayMatch) -> bool:
    try:
        credited = [(part["name"], part["artist"]["id"])[0] for part in tree["artist-credit"]]
        # Guests among the vocalists are featured artists, so all of them are looked for as such.
        credited += [r["artist"]["name"] for r in tree.get("relations") or () if "artist" in r]
        return may_match(Said(tree["title"], credited, (), tree.get("isrcs") or (), tree["id"]))
    except (KeyError, TypeError, AttributeError):
        return True  # what is wrong with it, its parser says


def _vocal_role(relation: Mapping[str, Any]) -> CreditRole | None:
    attributes = set(relation.get("attributes") or ())
    if relation.get("type") == "remixer":
        return CreditRole.REMIXER
    if relation.get("type") != "vocal":
        return None
    if attributes & {"background vocals", "choir vocals"}:
        return CreditRole.BACKING_VOCALS
    return CreditRole.FEATURED if "guest" in attributes else CreditRole.LEAD_VOCALS


def _sings(attributes: Any) -> bool | None:
    """Whether a membership's attributes, which name what a member plays, name singing in front."""
    played = set(attributes) - _NOT_INSTRUMENTS
    front = {name for name in played if "vocals" in name and name not in ("background vocals", "other vocals")}
    return bool(front) if played else None


def _linked(addresses: list[str], site: str, pattern: re.Pattern[str]) -> str | None:
    """The id in the one address of that form; None if there are several, for then one of them is another artist."""
    found = {match[1] for address in addresses if site in address and (match := pattern.search(address))}
    return found.pop() if len(found) == 1 else None


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _field(tree: Any, name: str) -> Any:
    try:
        return tree[name]
    except (KeyError, TypeError) as error:
        raise MalformedAnswerError("musicbrainz", f"an answer lacks {name}", "report it") from error
