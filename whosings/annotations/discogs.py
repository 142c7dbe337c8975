"""Discogs: releases with their credits, artists with their members; live through python3-discogs-client, or the dumps.

Facts (Discogs' API pages): 60 requests a minute with a token, 25 without; searching needs a token; answers carry
``X-Discogs-Ratelimit-Remaining``; over it, 429. The dumps are gzipped XML, one ``release`` or ``artist`` element each;
they are turned into the API's form here, so both have one reader. Discogs knows who sings on a track (roles such as
"Lead Vocals"), not ISRCs. Unlike a release, a track has no id: ours is ``release-position``.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from discogs_client import Client
from discogs_client.exceptions import DiscogsAPIError, HTTPError
from discogs_client.fetchers import Fetcher

from whosings.annotations.dumps import xml_children
from whosings.annotations.names import normalise, parse_title, similarity
from whosings.annotations.records import (
    ArtistRecord,
    Credit,
    CreditRole,
    Kind,
    Member,
    Source,
    TrackRecord,
    clean_date,
    clean_seconds,
)
from whosings.annotations.track_keys import MayMatch, Said
from whosings.annotations.web import Clock, Pace, Web, WebSettings
from whosings.errors import MalformedAnswerError, ServiceRefusalError
from whosings.singer_names import split_featured

ADDRESS = "https://api.discogs.com"
PACE_WITH_TOKEN = Pace(60, 60.0)
PACE_WITHOUT = Pace(25, 60.0)
_ALIKE = 80.0
# Discogs' list of credits: a role is one of these, its detail stands in brackets, and any other is not sung.
_LEAD = frozenset({
    "vocals", "lead vocals", "vocal", "lead vocal", "vocalist", "lead vocalist", "solo vocal", "solo vocals",
    "singer", "sung by", "voice", "rap", "rapper", "mc", "toasting", "scat", "caller", "yodeling", "throat singing",
    "overtone voice", "vocalese", "joik", "soprano vocals", "mezzo-soprano vocals", "alto vocals", "treble vocals",
    "contralto vocals", "countertenor vocals", "tenor vocals", "baritone vocals", "bass-baritone vocals",
    "bass vocals", "featured vocals",
})  # fmt: skip
_BEHIND = frozenset({
    "backing vocals", "background vocals", "backing vocalist", "harmony vocals", "additional vocals",
    "group vocals", "choir", "chorus", "choir vocals", "chorus vocals", "human beatbox", "beatbox", "eefing",
})  # fmt: skip
_TRACK_TEXTS = ("position", "title", "duration")
_ARTIST_TEXTS = ("id", "name", "realname")
_LISTS = frozenset({"artists", "extraartists", "sub_tracks", "members", "namevariations", "groups"})
_GUESTS_FOLLOW = re.compile(r"\s*f(?:ea)?t(?:uring)?\b", re.IGNORECASE)
_CACHED = 65_536  # names and roles come again and again
_SPOKEN_DETAIL = re.compile(r"\[.*\b(spoken|speaking|speech|narrat\w+|sampled?)\b.*\]", re.IGNORECASE)
_BEHIND_DETAIL = re.compile(r"\[.*\b(back(?:ing|ground)|harmony|choir|chorus|additional|group)\b.*\]", re.IGNORECASE)


class Discogs:
    """Asks Discogs.

    Args:
        settings: contact, cache, retries.
        token: a personal access token; without one only ``release`` and ``artist`` work.
        address: where the API is; another one in tests.
        clock: replaced in tests.
    """

    source = Source.DISCOGS

    def __init__(
        self, settings: WebSettings, token: str | None = None, *, address: str = ADDRESS, clock: Clock | None = None
    ) -> None:
        pace = PACE_WITH_TOKEN if token else PACE_WITHOUT
        self._web = Web("discogs", pace, settings, exhausted=_exhausted, clock=clock)
        self._client = _Client(self._web, address, token)
        self._has_token = token is not None

    def find(self, wanted: TrackRecord, limit: int = 3) -> list[TrackRecord]:
        """Tracks with a like title on up to ``limit`` releases that a search finds; none without a token.

        Raises:
            AnnotationError: as ``Web.ask``, or an answer without the documented fields.
        """
        if not self._has_token or not wanted.credits:
            return []
        artist, _ = split_featured(wanted.credits[0].name)
        title = parse_title(wanted.title).base
        hits = self._ask(
            lambda: [
                str(hit.data["id"])
                for hit in islice(self._client.search(type="release", artist=artist, track=title), limit)
            ]
        )
        tracks = (track for release in hits or () for track in self.release(release))
        return [track for track in tracks if similarity(parse_title(track.title).base, title) >= _ALIKE]

    def release(self, release_id: str) -> tuple[TrackRecord, ...]:
        """The tracks of one release; none if there is no such release."""
        tree = self._ask(lambda: _fetched(self._client.release(int(release_id))))
        return () if tree is None else parse_release(tree)

    def artist(self, artist_id: str) -> ArtistRecord | None:
        """One artist; None if there is none."""
        tree = self._ask(lambda: _fetched(self._client.artist(int(artist_id))))
        return None if tree is None else parse_artist(tree)

    def close(self) -> None:
        """Close connections and the cache."""
        self._web.close()

    def _ask(self, call: Any) -> Any:
        try:
            return call()
        except HTTPError as error:
            if error.status_code == 404:
                return None
            raise ServiceRefusalError("discogs", f"refuses ({error})", "check the request") from error
        except (DiscogsAPIError, KeyError, TypeError, ValueError) as error:
            raise MalformedAnswerError("discogs", f"an answer is not as documented ({error})", "report it") from error


def parse_release(tree: Mapping[str, Any]) -> tuple[TrackRecord, ...]:
    """The tracks of a release object as the API writes it.

    Raises:
        MalformedAnswerError: no id or title.
    """
    return tuple(_release_tracks(tree, None))


def _release_tracks(tree: Mapping[str, Any], may_match: MayMatch | None) -> Iterator[TrackRecord]:
    """One after another: what is done with a track may change what ``may_match`` says of the next."""
    try:
        release_id, release_title = tree["id"], tree["title"]
        playable = [track for entry in tree.get("tracklist") or () for track in _tracks(entry)]
        order = [str(track.get("position") or "") for track in playable]
        everywhere = tuple(_main(tree.get("artists") or ()))
        heard = [
            (credits, _covered(str(person.get("tracks") or ""), order))
            for person in tree.get("extraartists") or ()
            if (credits := _extra(person))
        ]
        for number, track in enumerate(playable):
            people = track.get("artists")
            credits = [*(_main(people) if people else everywhere)]
            for person in track.get("extraartists") or ():
                credits.extend(_extra(person))
            for voices, covered in heard:
                if number in covered:
                    credits.extend(voices)
            if may_match is not None and not may_match(_said(track["title"], credits)):
                continue
            yield TrackRecord(
                source=Source.DISCOGS,
                source_id=f"{release_id}-{order[number] or number + 1}",
                title=track["title"],
                credits=tuple(dict.fromkeys(credits)) if len(credits) > 1 else tuple(credits),
                duration_s=clean_seconds(track.get("duration") or None),
                release_date=clean_date(tree.get("released") or tree.get("year")),
                release_title=release_title,
            )
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedAnswerError("discogs", f"a release lacks {error}", "check the format") from error


def parse_artist(tree: Mapping[str, Any]) -> ArtistRecord:
    """An artist object as the API writes it. Who has members is a group; who is in groups or has a real name, a person.

    Raises:
        MalformedAnswerError: no id or name.
    """
    try:
        members = tuple(Member(_plain(m["name"]), str(m["id"])) for m in tree.get("members") or ())
        person = tree.get("groups") or tree.get("realname")
        return ArtistRecord(
            source=Source.DISCOGS,
            source_id=str(tree["id"]),
            name=_plain(tree["name"]),
            kind=Kind.GROUP if members else Kind.PERSON if person else Kind.UNKNOWN,
            aliases=tuple(dict.fromkeys(tree.get("namevariations") or ())),
            discogs_id=str(tree["id"]),
            members=members,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedAnswerError("discogs", f"an artist lacks {error}", "check the format") from error


def read_tracks(path: str | Path, may_match: MayMatch | None = None) -> Iterator[TrackRecord]:
    """The tracks of ``discogs_..._releases.xml.gz``, release by release.

    Args:
        may_match: leave out those of which it says no (``TrackIndex.may_match``), in a fraction of the time.

    Raises:
        MalformedAnswerError: not whole, or of another form.
    """
    for element in xml_children(path, "release"):
        tree = _children(element, {"title", "released"})
        yield from _release_tracks(
            {
                "id": element.get("id"),
                "title": tree.get("title"),
                "released": tree.get("released"),
                "artists": _people(tree.get("artists")),
                "extraartists": _people(tree.get("extraartists")),
                "tracklist": [_track_tree(track) for track in element.iterfind("tracklist/track")],
            },
            may_match,
        )


def read_artists(path: str | Path) -> Iterator[ArtistRecord]:
    """The artists of ``discogs_..._artists.xml.gz``.

    Raises:
        MalformedAnswerError: not whole, or of another form.
    """
    for element in xml_children(path, "artist"):
        tree = _children(element, _ARTIST_TEXTS)
        members = [part for part in tree.get("members", ()) if part.tag in ("id", "name")]
        names = [{"id": part.get("id"), "name": part.text} for part in members if part.tag == "name"]
        # Older dumps give the ids as elements of their own, in the same order.
        ids = [part.text for part in members if part.tag == "id"]
        if len(ids) == len(names):
            names = [{**name, "id": id_} for name, id_ in zip(names, ids, strict=True)]
        yield parse_artist(
            {
                "id": tree.get("id"),
                "name": tree.get("name"),
                "realname": tree.get("realname"),
                "namevariations": [
                    part.text for part in tree.get("namevariations", ()) if part.tag == "name" and part.text
                ],
                "groups": [part.text for part in tree.get("groups", ()) if part.tag == "name"],
                "members": names,
            }
        )


class _Fetcher(Fetcher):  # type: ignore[misc]  # the library is untyped
    """python3-discogs-client over our own front door; the token goes in a header, where the cache does not keep it."""

    def __init__(self, web: Web, token: str | None) -> None:
        self._web = web
        self._headers = {"Authorization": f"Discogs token={token}"} if token else {}

    def fetch(self, client: Any, method: str, url: str, *_: Any, **__: Any) -> Any:
        answer = self._web.ask(url, headers=self._headers)
        return (answer.body if answer.status == 200 else b'{"message": "not found"}'), answer.status


class _Client(Client):  # type: ignore[misc]  # the library is untyped
    def __init__(self, web: Web, address: str, token: str | None) -> None:
        super().__init__(web.user_agent)
        self._base_url = address
        self._fetcher = _Fetcher(web, token)


def _fetched(thing: Any) -> Any:
    thing.refresh()
    return thing.data


def _exhausted(headers: Mapping[str, str]) -> bool:
    return headers.get("X-Discogs-Ratelimit-Remaining") == "0"


def _tracks(entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What is played: headings are left out, parts of a medley stand for themselves."""
    if parts := entry.get("sub_tracks"):
        for part in parts:
            yield {"artists": entry.get("artists"), "extraartists": entry.get("extraartists"), **part}
    elif entry.get("type_", "track") == "track" and entry.get("title"):
        yield entry


def _main(people: Sequence[Mapping[str, Any]]) -> Iterator[Credit]:
    role = CreditRole.MAIN
    for person in people:
        yield Credit(_plain(person["name"]), role, _id(person))
        if (join := person.get("join")) and _GUESTS_FOLLOW.match(str(join)):
            role = CreditRole.FEATURED


def _extra(person: Mapping[str, Any]) -> list[Credit]:
    """One credit for each of the person's roles that is about a voice."""
    roles = _voices_of(str(person.get("role") or ""))
    return [Credit(_plain(person["name"]), role, _id(person)) for role in roles]


@lru_cache(maxsize=_CACHED)
def _voices_of(roles: str) -> tuple[CreditRole, ...]:
    """What a person's roles say of the voice; a role's detail stands in brackets."""
    found = []
    for text in re.split(r",\s*(?![^\[]*\])", roles):
        if re.match(r"featuring\b", text.strip(), re.IGNORECASE):
            found.append(CreditRole.FEATURED)
        elif re.match(r"(re)?mix(ed by)?\b", text.strip(), re.IGNORECASE) and "remix" in text.lower():
            found.append(CreditRole.REMIXER)
        elif (voice := _voice_of(text)) is not None:
            found.append(voice)
    return tuple(found)


def _said(title: str, credits: Sequence[Credit]) -> Said:
    front = (CreditRole.MAIN, CreditRole.FEATURED)
    return Said(title, [c.name for c in credits if c.role in front], [c.name for c in credits if c.role not in front])


def _voice_of(text: str) -> CreditRole | None:
    """What a role says of the voice; None of what is not sung: speech, teaching, writing and work on recordings."""
    role = " ".join(re.sub(r"\[.*?\]", " ", text).casefold().split())
    if role in _BEHIND or (role in _LEAD and _BEHIND_DETAIL.search(text)):
        return CreditRole.BACKING_VOCALS
    return CreditRole.LEAD_VOCALS if role in _LEAD and not _SPOKEN_DETAIL.search(text) else None


def _covered(positions: str, order: Sequence[str]) -> Container[int]:
    """The numbers of the tracks that "A1, B2 to B4" names; no positions: the whole release."""
    if not positions.strip():
        return range(len(order))
    found: set[int] = set()
    for part in positions.split(","):
        first, *last = (end.strip() for end in re.split(r"\s+to\s+", part.strip()))
        ends = [order.index(end) for end in (first, *last) if end in order]
        if len(ends) == 1 + len(last):
            found.update(range(ends[0], ends[-1] + 1))
    return found


def _children(element: Any, texts: Container[str]) -> dict[str, Any]:
    """The first child of each tag: the text of those in ``texts``, the element of lists."""
    found: dict[str, Any] = {}
    for child in element:
        tag = child.tag
        if tag in found:
            continue
        if tag in texts:
            found[tag] = child.text or ""
        elif tag in _LISTS:
            found[tag] = child
    return found


def _people(parent: Any) -> list[dict[str, Any]]:
    return [] if parent is None else [{part.tag: part.text for part in person} for person in parent]


def _track_tree(track: Any) -> dict[str, Any]:
    found = _children(track, _TRACK_TEXTS)
    tree: dict[str, Any] = {name: found.get(name) for name in _TRACK_TEXTS}
    for name in ("artists", "extraartists"):
        if people := _people(found.get(name)):
            tree[name] = people
    if (parts := found.get("sub_tracks")) is not None and len(parts):
        tree["sub_tracks"] = [_track_tree(part) for part in parts.iterchildren("track")]
    return tree


@lru_cache(maxsize=_CACHED)
def _plain(name: str) -> str:
    """A name without the number that tells namesakes apart."""
    return re.sub(r"\s*\(\d+\)$|\*$", "", name) or normalise(name)


def _id(person: Mapping[str, Any]) -> str | None:
    return str(person["id"]) if str(person.get("id") or "0") != "0" else None
