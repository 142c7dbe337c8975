"""Deezer: tracks by ISRC or by search, artists by id, through deezer-python.

Facts (Deezer's API pages): 50 requests in 5 seconds; over it, a 200 answer carries ``{"error": {"code": 4}}``; an
unknown id gives error 800, also with status 200; no key is needed for the catalogue. Deezer knows each contributor's
role (Main, Featured) and the ISRC, but not whether an artist is one person or a band.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import deezer
import httpx
from deezer.exceptions import DeezerAPIException, DeezerErrorResponse, DeezerNotFoundError

from whosings.annotations.dumps import json_lines
from whosings.annotations.names import parse_title
from whosings.annotations.records import (
    ArtistRecord,
    Credit,
    CreditRole,
    Source,
    TrackRecord,
    clean_date,
    clean_isrc,
    clean_seconds,
)
from whosings.annotations.web import Clock, Pace, Web, WebSettings
from whosings.errors import MalformedAnswerError, ServiceRefusalError
from whosings.singer_names import split_featured

ADDRESS = "https://api.deezer.com"
PACE = Pace(50, 5.0)
_BUSY_CODES = (4, 700)
_UNKNOWN_ID = 800


class Deezer:
    """Asks Deezer.

    Args:
        settings: contact, cache, retries.
        address: where the API is; another one in tests.
        clock: replaced in tests.
    """

    source = Source.DEEZER

    def __init__(self, settings: WebSettings, *, address: str = ADDRESS, clock: Clock | None = None) -> None:
        self._web = Web("deezer", PACE, settings, too_fast=_says_too_fast, clock=clock)
        self._client = _Client(self._web, address)

    def find(self, wanted: TrackRecord, limit: int = 5) -> list[TrackRecord]:
        """Tracks that may be ``wanted``: those with its ISRCs, else up to ``limit`` that a search finds.

        Raises:
            AnnotationError: as ``Web.ask``, or an answer without the documented fields.
        """
        found = [self.track(f"isrc:{isrc}") for isrc in wanted.isrcs]
        if not any(found) and wanted.credits:
            artist, _ = split_featured(wanted.credits[0].name)
            query = {"artist": artist.replace('"', " "), "track": parse_title(wanted.title).base}
            hits = self._ask(lambda: [hit.id for hit in islice(self._client.search(**query), limit)]) or []
            found = [self.track(str(hit)) for hit in hits]
        return [record for record in found if record is not None]

    def track(self, track_id: str) -> TrackRecord | None:
        """One track by its id, or by ``isrc:`` and its ISRC; None if Deezer has none."""
        tree = self._ask(lambda: self._client.get_track(track_id).as_dict())
        return None if tree is None else parse_track(tree)

    def artist(self, artist_id: str) -> ArtistRecord | None:
        """One artist by id; None if Deezer has none."""
        tree = self._ask(lambda: self._client.get_artist(artist_id).as_dict())
        return None if tree is None else parse_artist(tree)

    def close(self) -> None:
        """Close connections and the cache."""
        self._web.close()

    def _ask(self, call: Any) -> Any:
        """The call's result, or None where Deezer knows no such thing."""
        try:
            return call()
        except DeezerNotFoundError:
            return None
        except DeezerErrorResponse as error:
            said = error.json_data["error"]
            if _error_code(error.json_data) == _UNKNOWN_ID:
                return None
            raise ServiceRefusalError("deezer", f"refuses ({said})", "check the request") from error
        except (DeezerAPIException, AttributeError, KeyError, TypeError, ValueError) as error:
            raise MalformedAnswerError("deezer", f"an answer is not as documented ({error})", "report it") from error


def parse_track(tree: Mapping[str, Any]) -> TrackRecord:
    """A track object as the API writes it.

    Raises:
        MalformedAnswerError: no id, title or artist.
    """
    try:
        people = tree.get("contributors") or [tree["artist"]]
        credits = tuple(
            Credit(
                person["name"],
                CreditRole.FEATURED if person.get("role") == "Featured" else CreditRole.MAIN,
                str(person["id"]),
            )
            for person in people
        )
        return TrackRecord(
            source=Source.DEEZER,
            source_id=str(tree["id"]),
            title=tree["title"],
            credits=credits,
            isrcs=tuple(filter(None, [clean_isrc(tree.get("isrc"))])),
            duration_s=clean_seconds(tree.get("duration")),
            release_date=clean_date(tree.get("release_date")),
            release_title=(tree.get("album") or {}).get("title"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedAnswerError("deezer", f"a track lacks {error}", "check the format") from error


def parse_artist(tree: Mapping[str, Any]) -> ArtistRecord:
    """An artist object as the API writes it.

    Raises:
        MalformedAnswerError: no id or name.
    """
    try:
        return ArtistRecord(Source.DEEZER, str(tree["id"]), tree["name"], deezer_id=str(tree["id"]))
    except (KeyError, TypeError) as error:
        raise MalformedAnswerError("deezer", f"an artist lacks {error}", "check the format") from error


def read_tracks(path: str | Path) -> Iterator[TrackRecord]:
    """Track objects, one a line, as a catalogue's owner keeps them; Deezer publishes no dump.

    Raises:
        MalformedAnswerError: a line of another form.
    """
    return map(parse_track, json_lines(path))


class _Client(deezer.Client):  # type: ignore[misc]  # the library is untyped
    """deezer-python over our own front door: it builds requests and reads answers, ``Web`` sends them."""

    def __init__(self, web: Web, address: str) -> None:
        super().__init__()
        self.base_url = address
        self._web = web

    def send(self, request: httpx.Request, **_: Any) -> httpx.Response:
        answer = self._web.ask(str(request.url))
        return httpx.Response(
            answer.status, headers={"Content-Type": "application/json"}, content=answer.body, request=request
        )


def _error_code(tree: Any) -> int | None:
    error = tree.get("error") if isinstance(tree, dict) else None
    return error.get("code") if isinstance(error, dict) else None


def _says_too_fast(tree: Any) -> bool:
    return _error_code(tree) in _BUSY_CODES
