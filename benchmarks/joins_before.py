"""Dumps read and matched plainly: json, ElementTree, every entry made a record, every key asked of the database.

How it was done before the ways of ``whosings.annotations`` that pass over fields and entries: the base of
``scale_joins.py``, and what their results are compared with in tests. Names are compared without the caches.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from whosings.annotations import discogs, musicbrainz
from whosings.annotations.matching import TrackIndex
from whosings.annotations.names import normalise, parse_title
from whosings.annotations.records import ArtistRecord, Credit, CreditRole, Source, TrackRecord
from whosings.singer_names import split_featured, split_names

_FRONT = (CreditRole.MAIN, CreditRole.FEATURED)


def lines(archive: Path) -> Iterator[dict[str, Any]]:
    """Objects of an archive of MusicBrainz, whole."""
    with tarfile.open(archive, "r|*") as tar:
        for member in tar:
            if member.name.startswith("mbdump/"):
                stream = tar.extractfile(member)
                assert stream is not None
                yield from map(json.loads, stream)


def recordings(archive: Path) -> Iterator[TrackRecord]:
    return map(musicbrainz.parse_recording, lines(archive))


def artists(archive: Path) -> Iterator[ArtistRecord]:
    return map(musicbrainz.parse_artist, lines(archive))


def elements(path: Path, tag: str) -> Iterator[ElementTree.Element]:
    """Children of the root, by events of every element."""
    with gzip.open(path) as stream:
        depth, root = 0, None
        for event, element in ElementTree.iterparse(stream, events=("start", "end")):
            if event == "start":
                depth, root = depth + 1, element if root is None else root
                continue
            depth -= 1
            if depth == 1 and root is not None:
                if element.tag == tag:
                    yield element
                root.clear()


def discogs_tracks(path: Path) -> Iterator[TrackRecord]:
    for element in elements(path, "release"):
        tree = {
            "id": element.get("id"),
            "title": element.findtext("title"),
            "released": element.findtext("released"),
            "artists": _people(element.find("artists")),
            "extraartists": _people(element.find("extraartists")),
            "tracklist": [_track(track) for track in element.iterfind("tracklist/track")],
        }
        yield from discogs.parse_release(tree)


def discogs_artists(path: Path) -> Iterator[ArtistRecord]:
    for element in elements(path, "artist"):
        members = [{"id": name.get("id"), "name": name.text} for name in element.iterfind("members/name")]
        ids = [id_.text for id_ in element.iterfind("members/id")]
        if len(ids) == len(members):
            members = [{**member, "id": id_} for member, id_ in zip(members, ids, strict=True)]
        yield discogs.parse_artist(
            {
                "id": element.findtext("id"),
                "name": element.findtext("name"),
                "realname": element.findtext("realname"),
                "namevariations": [name.text for name in element.iterfind("namevariations/name") if name.text],
                "groups": [name.text for name in element.iterfind("groups/name")],
                "members": members,
            }
        )


def keys_of(track: TrackRecord) -> frozenset[int]:
    """The keys of a record as the index's file holds them."""
    plain = normalise.__wrapped__
    keys = [f"isrc {isrc}" for isrc in track.isrcs]
    if track.musicbrainz_id:
        keys.append(f"mbid {track.musicbrainz_id}")
    base = parse_title.__wrapped__(track.title).base
    names = {plain(c.name) for c in track.credits if c.role in _FRONT}
    names |= {plain(n) for c in track.credits for n in split_names(split_featured(c.name)[0])}
    for name in names:
        keys += [f"artist {name}\n{base[:3]}", f"title {base}\n{name[:3]}"]
    digests = (hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys)
    return frozenset(int.from_bytes(digest, "big", signed=True) for digest in digests)


class PlainIndex(TrackIndex):
    """Asks the database of every record, and writes its keys one after another."""

    def add(self, records: Iterable[TrackRecord], *, only_related: bool = False) -> int:
        """As ``TrackIndex.add``."""
        added = 0
        with self._base:
            for record in records:
                keys = keys_of(record)
                if only_related and not self._known(keys):
                    continue
                body = json.dumps(asdict(record), ensure_ascii=False, separators=(",", ":"))
                cursor = self._base.execute(
                    "INSERT OR IGNORE INTO record (source, source_id, body) VALUES (?, ?, ?)",
                    (record.source, record.source_id, body),
                )
                if cursor.rowcount:
                    added += 1
                    self._base.executemany(
                        "INSERT OR IGNORE INTO key VALUES (?, ?)", [(key, cursor.lastrowid) for key in keys]
                    )
        return added

    def _known(self, keys: frozenset[int]) -> bool:
        query = f"SELECT 1 FROM key WHERE key IN ({','.join('?' * len(keys))}) LIMIT 1"
        return self._base.execute(query, tuple(keys)).fetchone() is not None

    def _sharing(self, keys: tuple[int, ...]) -> list[TrackRecord]:
        query = (
            "SELECT body FROM record WHERE id IN "
            f"(SELECT id FROM key WHERE key IN ({','.join('?' * len(keys))})) ORDER BY id"
        )
        return [record_of(body) for (body,) in self._base.execute(query, keys)]


def record_of(body: str) -> TrackRecord:
    tree = json.loads(body)
    tree["source"] = Source(tree["source"])
    tree["credits"] = tuple(Credit(c["name"], CreditRole(c["role"]), c["artist_id"]) for c in tree["credits"])
    tree["isrcs"] = tuple(tree["isrcs"])
    return TrackRecord(**tree)


def _people(parent: ElementTree.Element | None) -> list[dict[str, Any]]:
    return [] if parent is None else [{part.tag: part.text for part in person} for person in parent]


def _track(track: ElementTree.Element) -> dict[str, Any]:
    tree: dict[str, Any] = {name: track.findtext(name) for name in ("position", "title", "duration")}
    for name in ("artists", "extraartists"):
        if people := _people(track.find(name)):
            tree[name] = people
    if parts := [_track(part) for part in track.iterfind("sub_tracks/track")]:
        tree["sub_tracks"] = parts
    return tree
