"""Wikidata: who is a person, who sings, ids in the other sources, tracks by ISRC; live (SPARQLWrapper) or from files.

Facts (Wikidata's query service pages): 60 seconds of computing a minute for each client, at most 60 seconds a query,
five queries at once; 429 with ``Retry-After`` beyond that, and a day's ban for who goes on; a User-Agent with a
contact. Items used: P434 MusicBrainz artist, P2722 Deezer artist, P1953 Discogs artist, P4404 MusicBrainz recording,
P1243 ISRC, P175 performer, P2047 duration, P577 date, P31 instance of, P106 occupation, P412 voice type, P1303
instrument, P463 and P527 membership.

Files are what the query service lets one download for ``ARTIST_QUERY`` and ``TRACK_QUERY``: JSON results or CSV, one
row for each combination of values. Rows of one item should be neighbours (the queries sort them).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from email.message import Message
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.response import addinfourl

from SPARQLWrapper import JSON, POST, SPARQLWrapper

from whosings.annotations.dumps import open_dump
from whosings.annotations.records import (
    ArtistRecord,
    Credit,
    Kind,
    Member,
    Source,
    TrackRecord,
    clean_date,
    clean_isrc,
    clean_mbid,
    clean_seconds,
)
from whosings.annotations.web import Clock, Pace, Web, WebSettings
from whosings.errors import MalformedAnswerError

T = TypeVar("T")

ADDRESS = "https://query.wikidata.org/sparql"
PACE = Pace(1, 1.0)
_BATCH = 50
_LABELS = 'SERVICE wikibase:label { bd:serviceParam wikibase:language "mul,en". }'
_SINGS = """{
    {someone} wdt:P106/wdt:P279* ?voice. VALUES ?voice { wd:Q177220 wd:Q2643890 wd:Q2252262 }
  } UNION { {someone} wdt:P412 ?voice } UNION { {someone} wdt:P1303 wd:Q17172850 }"""
_ARTIST_QUERY = (
    """SELECT ?artist ?artistLabel ?human ?ensemble ?sings ?plays ?mbid ?deezer ?discogs
  ?member ?memberLabel ?memberSings WHERE {
  {chosen}
  BIND(EXISTS { ?artist wdt:P31 wd:Q5 } AS ?human)
  BIND(EXISTS { ?artist wdt:P31/wdt:P279* wd:Q2088357 } AS ?ensemble)
  BIND(EXISTS {artist_sings} AS ?sings)
  BIND(EXISTS { ?artist wdt:P106 ?job. VALUES ?job {
    wd:Q130857 wd:Q183945 wd:Q36834 wd:Q158852 wd:Q486748 wd:Q386854 wd:Q1259917 wd:Q855091 } } AS ?plays)
  OPTIONAL { ?artist wdt:P434 ?mbid }
  OPTIONAL { ?artist wdt:P2722 ?deezer }
  OPTIONAL { ?artist wdt:P1953 ?discogs }
  OPTIONAL {
    { ?artist wdt:P527 ?member } UNION { ?member wdt:P463 ?artist }
    ?member wdt:P31 wd:Q5.
    BIND(EXISTS {member_sings} AS ?memberSings)
  }
  {labels}
} ORDER BY ?artist""".replace("{artist_sings}", "{ " + _SINGS.replace("{someone}", "?artist") + " }")
    .replace("{member_sings}", "{ " + _SINGS.replace("{someone}", "?member") + " }")
    .replace("{labels}", _LABELS)
)
_TRACK_QUERY = """SELECT ?track ?trackLabel ?performer ?performerLabel ?isrc ?mbid ?seconds ?date WHERE {
  {chosen}
  ?track wdt:P175 ?performer.
  OPTIONAL { ?track wdt:P1243 ?isrc }
  OPTIONAL { ?track wdt:P4404 ?mbid }
  OPTIONAL { ?track p:P2047/psn:P2047/wikibase:quantityAmount ?seconds }
  OPTIONAL { ?track wdt:P577 ?date }
  {labels}
} ORDER BY ?track""".replace("{labels}", _LABELS)
ARTIST_QUERY = _ARTIST_QUERY.replace("{chosen}", "?artist wdt:P434 [].")
"""Every artist with a MusicBrainz id: too much for the public service in one query, meant for a copy of Wikidata."""
TRACK_QUERY = _TRACK_QUERY.replace("{chosen}", "?track wdt:P1243 [].")
"""Every item with an ISRC."""


class Wikidata:
    """Asks Wikidata's query service.

    Args:
        settings: contact, cache, retries.
        address: where the SPARQL endpoint is; another one in tests.
        clock: replaced in tests.
    """

    source = Source.WIKIDATA

    def __init__(self, settings: WebSettings, *, address: str = ADDRESS, clock: Clock | None = None) -> None:
        self._web = Web("wikidata", PACE, settings, clock=clock)
        self._address = address

    def find(self, wanted: TrackRecord) -> list[TrackRecord]:
        """Items with the ISRCs or the MusicBrainz id of ``wanted``; names are not searched for.

        Raises:
            AnnotationError: as ``Web.ask``, or an answer without the documented fields.
        """
        found = list(self._select(_TRACK_QUERY, "track", "wdt:P1243", wanted.isrcs, _tracks))
        if not found and wanted.musicbrainz_id:
            found = list(self._select(_TRACK_QUERY, "track", "wdt:P4404", [wanted.musicbrainz_id], _tracks))
        return found

    def artist(self, item: str) -> ArtistRecord | None:
        """One artist by item; None if there is no such item."""
        return next(iter(self.artists([item], Source.WIKIDATA)), None)

    def artists(self, ids: Iterable[str], of: Source) -> Iterator[ArtistRecord]:
        """The artists that have these ids in a source, 50 a query.

        Args:
            ids: artists' ids in ``of``.
            of: Wikidata itself, MusicBrainz, Deezer or Discogs.
        """
        properties = {
            Source.WIKIDATA: "",
            Source.MUSICBRAINZ: "wdt:P434",
            Source.DEEZER: "wdt:P2722",
            Source.DISCOGS: "wdt:P1953",
        }
        return self._select(_ARTIST_QUERY, "artist", properties[of], sorted(set(ids)), _artists)

    def close(self) -> None:
        """Close connections and the cache."""
        self._web.close()

    def _select(
        self,
        query: str,
        subject: str,
        path: str,
        ids: Sequence[str],
        read: Callable[[Iterable[Mapping[str, str]]], Iterator[T]],
    ) -> Iterator[T]:
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            if path:
                values = " ".join(json.dumps(id_) for id_ in batch)
                chosen = f"VALUES ?given {{ {values} }} ?{subject} {path} ?given."
            else:
                values = " ".join(f"wd:{id_}" for id_ in batch if re.fullmatch(r"Q\d+", id_))
                chosen = f"VALUES ?{subject} {{ {values} }} ?{subject} wdt:P31 []."
            wrapper = _Wrapper(self._web, self._address)
            wrapper.setQuery(query.replace("{chosen}", chosen))
            wrapper.setReturnFormat(JSON)
            wrapper.setMethod(POST)
            wrapper.setOnlyConneg(True)
            try:
                found = wrapper.queryAndConvert()
            except TypeError as error:
                raise MalformedAnswerError("wikidata", "an answer holds no results", "report it") from error
            yield from read(_bindings(found))


def read_artists(path: str | Path) -> Iterator[ArtistRecord]:
    """Artists from the results of ``ARTIST_QUERY``: ``.json`` or ``.csv``, compressed or not.

    Raises:
        MalformedAnswerError: a file of another form.
    """
    return _artists(_rows(path, "artist"))


def read_tracks(path: str | Path) -> Iterator[TrackRecord]:
    """Tracks from the results of ``TRACK_QUERY``: ``.json`` or ``.csv``, compressed or not.

    Raises:
        MalformedAnswerError: a file of another form.
    """
    return _tracks(_rows(path, "track"))


class _Wrapper(SPARQLWrapper):
    """SPARQLWrapper over our own front door: it builds requests and converts answers, ``Web`` sends them."""

    def __init__(self, web: Web, address: str) -> None:
        super().__init__(address, agent=web.user_agent)
        self._web = web

    def _query(self) -> tuple[Any, str]:
        request = self._createRequest()
        form = cast(bytes, request.data).decode("ascii")
        answer = self._web.ask(request.full_url, form=form, headers=dict(request.header_items()))
        if answer.status != 200:
            raise MalformedAnswerError(request.full_url, "there is no query service", "check its address")
        headers = Message()
        headers["Content-Type"] = answer.headers.get("Content-Type", "application/sparql-results+json")
        return addinfourl(io.BytesIO(answer.body), headers, request.full_url, 200), self.returnFormat


def _bindings(tree: Any) -> Iterator[Mapping[str, str]]:
    try:
        for row in tree["results"]["bindings"]:
            yield {name: cell["value"] for name, cell in row.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedAnswerError("wikidata", f"results lack {error}", "check the format") from error


def _rows(path: str | Path, subject: str) -> Iterator[Mapping[str, str]]:
    with open_dump(path) as stream:
        if ".csv" in Path(path).suffixes:
            table = csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8", newline=""))
            try:
                if subject not in (table.fieldnames or ()):
                    raise MalformedAnswerError(path, f"has no column {subject}", "export the documented query")
                for row in table:
                    yield {name: value for name, value in row.items() if name and value}
            except (UnicodeDecodeError, csv.Error) as error:
                raise MalformedAnswerError(path, f"is not CSV ({error})", "export it again") from error
        else:
            try:
                tree = json.load(stream)
            except ValueError as error:
                raise MalformedAnswerError(path, "is not JSON", "export it again") from error
            yield from _bindings(tree)


def _artists(rows: Iterable[Mapping[str, str]]) -> Iterator[ArtistRecord]:
    for item, group in groupby(rows, key=lambda row: _item(row, "artist")):
        lines = list(group)
        members = [
            # That no occupation says so does not mean that a member does not sing.
            Member(line.get("memberLabel", ""), _item(line, "member"), _true(line, "memberSings") or None)
            for line in lines
            if line.get("member")
        ]
        first = lines[0]
        human, ensemble = _true(first, "human"), _true(first, "ensemble")
        if human and ensemble:
            kind = Kind.UNKNOWN
        elif human or ensemble:
            kind = Kind.PERSON if human else Kind.GROUP
        else:
            kind = Kind.OTHER
        yield ArtistRecord(
            source=Source.WIKIDATA,
            source_id=item,
            name=first.get("artistLabel", item),
            kind=kind,
            sings=True if _true(first, "sings") else False if _true(first, "plays") else None,
            musicbrainz_id=clean_mbid(_only(lines, "mbid")),
            wikidata_id=item,
            deezer_id=_only(lines, "deezer"),
            discogs_id=_only(lines, "discogs"),
            members=tuple(dict.fromkeys(members)),
        )


def _tracks(rows: Iterable[Mapping[str, str]]) -> Iterator[TrackRecord]:
    for item, group in groupby(rows, key=lambda row: _item(row, "track")):
        lines = list(group)
        credits = (Credit(line.get("performerLabel", ""), artist_id=_item(line, "performer")) for line in lines)
        dates = sorted(filter(None, (clean_date(line.get("date")) for line in lines)))
        isrcs = filter(None, (clean_isrc(line.get("isrc")) for line in lines))
        yield TrackRecord(
            source=Source.WIKIDATA,
            source_id=item,
            title=lines[0].get("trackLabel", item),
            credits=tuple(dict.fromkeys(credits)),
            isrcs=tuple(dict.fromkeys(isrcs)),
            duration_s=clean_seconds(_only(lines, "seconds")),
            musicbrainz_id=clean_mbid(_only(lines, "mbid")),
            release_date=dates[0] if dates else None,
        )


def _item(row: Mapping[str, str], name: str) -> str:
    found = re.search(r"(Q\d+)$", row.get(name, ""))
    if found is None:
        raise MalformedAnswerError("wikidata", f"a row has no item in {name}", "export the documented query")
    return found[1]


def _true(row: Mapping[str, str], name: str) -> bool:
    return row.get(name) in ("true", "1")


def _only(rows: Iterable[Mapping[str, str]], name: str) -> str | None:
    """The one value of a column; None if there are several, for then one of them is of something else."""
    found = {value for row in rows if (value := row.get(name))}
    return found.pop() if len(found) == 1 else None
