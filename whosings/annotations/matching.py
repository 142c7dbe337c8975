"""The same track in several sources: by MusicBrainz id, by ISRC, or by title, artist and duration.

Conventions
-----------
- Records lie in an SQLite file (in memory for a small catalogue), so that memory stays bounded for millions.
- Shared ids lead on: a track that matches a Deezer track by name is then matched by that track's ISRC.
- An id is believed unless title and artist both contradict it, or the durations do: ISRCs are reused by mistake.
- Without a shared id, titles and artists must be alike, versions (live, remix, ...) equal, and durations close; where a
  duration is missing, titles and artists must be equal. Of each source only the best such record is taken.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from whosings.annotations.names import normalise, parse_title, similarity
from whosings.annotations.records import ArtistKey, CreditRole, Source, TrackRecord
from whosings.annotations.track_keys import KeySketch, Said, keys_of, keys_said
from whosings.errors import AnnotationError
from whosings.singer_names import split_names

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (id INTEGER PRIMARY KEY, source TEXT, source_id TEXT, body TEXT,
    UNIQUE (source, source_id));
CREATE TABLE IF NOT EXISTS key (key INTEGER, id INTEGER, PRIMARY KEY (key, id)) WITHOUT ROWID;
"""
_BATCH = 2000
_WAITING = 200_000  # keys kept to be written in their order, a page of the file once rather than for each
_PAGES_KB = 131_072  # of the file in memory
_MOST = 60


class How(StrEnum):
    """What shows that two records are of one track."""

    ITSELF = "itself"
    MUSICBRAINZ = "MusicBrainz id"
    ISRC = "ISRC"
    NAMES = "names"


@dataclass(frozen=True)
class MatchRules:
    """When two records are of one track.

    Attributes:
        min_title, min_artist: least similarity of names, 0 to 100, without a shared id.
        max_gap_s: greatest difference of durations in seconds, without a shared id.
        max_gap_with_id_s: the same with a shared id.
        contradicts_below: a shared id is not believed if title and artist are both less alike than this.
    """

    min_title: float = 90.0
    min_artist: float = 90.0
    max_gap_s: float = 4.0
    max_gap_with_id_s: float = 20.0
    contradicts_below: float = 50.0


@dataclass(frozen=True)
class Match:
    """A record, and how it was found to be of the track in question."""

    record: TrackRecord
    how: How

    def __str__(self) -> str:
        return str(self.record) if self.how is How.ITSELF else f"{self.record} (by {self.how})"


class TrackIndex:
    """Track records of all sources.

    Args:
        path: the file; None keeps it in memory. An existing file is opened and added to.
        rules: when two records are of one track.

    Raises:
        AnnotationError: the file is not such an index.
    """

    def __init__(self, path: str | Path | None = None, rules: MatchRules | None = None) -> None:
        self._rules = rules or MatchRules()
        try:
            self._base = sqlite3.connect(str(path) if path is not None else ":memory:")
            # Made anew from the dumps after a crash, so not worth waiting for the disk.
            self._base.execute("PRAGMA synchronous = OFF")
            self._base.execute(f"PRAGMA cache_size = -{_PAGES_KB}")
            self._base.executescript(_SCHEMA)
            self._waiting: dict[int, list[int]] = {}
            self._sketch = KeySketch()
            self._sketch_all()
        except sqlite3.Error as error:
            raise AnnotationError(path or "index", f"cannot be opened ({error})", "name another file") from error

    def add(self, records: Iterable[TrackRecord], *, only_related: bool = False) -> int:
        """Add records; one that is there already stays as it is.

        Args:
            records: what any source says.
            only_related: leave out what shares no id and no name with what is there. For dumps: first the catalogue,
                then Deezer, MusicBrainz, Wikidata and Discogs, since each may bring ids for the next.

        Returns:
            How many were added.
        """
        added = 0
        try:
            with self._base:
                for record in records:
                    keys = keys_of(record)
                    if only_related and not self._any(keys):
                        continue
                    row = (record.source, record.source_id, record.to_json())
                    cursor = self._base.execute(
                        "INSERT OR IGNORE INTO record (source, source_id, body) VALUES (?, ?, ?)", row
                    )
                    if cursor.rowcount:
                        added += 1
                        self._keep(keys, cursor.lastrowid or 0)
                self._write_keys()
        finally:
            self._waiting.clear()
        return added

    def may_match(self, said: Said) -> bool:
        """Whether a dump's entry may share an id or a name with what is there: for readers, before ``add``.

        It is never wrong where it says no.
        """
        return self._sketch.any(keys_said(said))

    def artists(self) -> Iterator[ArtistKey]:
        """Every artist whom records of the sources credit, as often as they do."""
        for (body,) in self._base.execute("SELECT body FROM record WHERE source != ?", (Source.CATALOGUE,)):
            record = TrackRecord.from_json(body)
            for credit in record.credits:
                if credit.artist_id is not None:
                    yield ArtistKey(record.source, credit.artist_id)

    def of(self, source: Source) -> Iterator[TrackRecord]:
        """Every record of a source, in the order added."""
        last = 0
        query = "SELECT id, body FROM record WHERE source = ? AND id > ? ORDER BY id LIMIT ?"
        while rows := self._base.execute(query, (source, last, _BATCH)).fetchall():
            for number, body in rows:
                last = number
                yield TrackRecord.from_json(body)

    def matches(self, track: TrackRecord) -> tuple[Match, ...]:
        """The records of the same track, itself first."""
        found = {str(track): Match(track, How.ITSELF)}
        waiting = [track]
        by_name: dict[Source, tuple[float, TrackRecord]] = {}
        while waiting and len(found) < _MOST:
            near = waiting.pop()
            for other in self._sharing(_numbers(keys_of(near))):
                if str(other) in found:
                    continue
                how = _shared_id(near, other)
                if how is not None and self._believable(track, other):
                    found[str(other)] = Match(other, how)
                    waiting.append(other)
                elif near is track and other.source != track.source:
                    score = self._by_name(track, other)
                    if score is not None and score > by_name.get(other.source, (0.0, track))[0]:
                        by_name[other.source] = (score, other)
            if not waiting:
                sources = {match.record.source for match in found.values()}
                for source, (_, other) in by_name.items():
                    if source not in sources:
                        found[str(other)] = Match(other, How.NAMES)
                        waiting.append(other)
                by_name = {}
        return tuple(found.values())

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def _any(self, keys: set[str]) -> bool:
        if not self._sketch.any(keys):
            return False
        numbers = _numbers(keys)
        if any(number in self._waiting for number in numbers):
            return True
        query = f"SELECT 1 FROM key WHERE key IN ({','.join('?' * len(numbers))}) LIMIT 1"
        return self._base.execute(query, numbers).fetchone() is not None

    def _keep(self, keys: set[str], record: int) -> None:
        for number in _numbers(keys):
            self._waiting.setdefault(number, []).append(record)
        if len(self._waiting) >= _WAITING:
            self._write_keys()
        self._sketch.add(keys)
        if self._sketch.full:
            self._sketch.grow()
            self._sketch_all()

    def _write_keys(self) -> None:
        rows = ((key, record) for key in sorted(self._waiting) for record in self._waiting[key])
        self._base.executemany("INSERT OR IGNORE INTO key VALUES (?, ?)", rows)
        self._waiting.clear()

    def _sketch_all(self) -> None:
        for (body,) in self._base.execute("SELECT body FROM record"):
            self._sketch.add(keys_of(TrackRecord.from_json(body)))

    def _sharing(self, keys: tuple[int, ...]) -> list[TrackRecord]:
        query = (
            "SELECT body FROM record WHERE id IN "
            f"(SELECT id FROM key WHERE key IN ({','.join('?' * len(keys))})) ORDER BY id"
        )
        return [TrackRecord.from_json(body) for (body,) in self._base.execute(query, keys)]

    def _believable(self, one: TrackRecord, other: TrackRecord) -> bool:
        gap = _gap_s(one, other)
        if gap is not None and gap > self._rules.max_gap_with_id_s:
            return False
        title = similarity(parse_title(one.title).base, parse_title(other.title).base)
        floor = self._rules.contradicts_below
        return title >= floor or artist_similarity(one, other) >= floor

    def _by_name(self, one: TrackRecord, other: TrackRecord) -> float | None:
        """How alike two records are, or None if they are not of one track."""
        first, second = parse_title(one.title), parse_title(other.title)
        if first.versions != second.versions:
            return None
        title, artist = similarity(first.base, second.base), artist_similarity(one, other)
        gap = _gap_s(one, other)
        if gap is None:
            return 190.0 if title == artist == 100.0 else None
        if title < self._rules.min_title or artist < self._rules.min_artist or gap > self._rules.max_gap_s:
            return None
        # All else equal, the record that credits as many artists is the better one.
        return title + artist - gap - 3.0 * (len(_names(one)) != len(_names(other)))


def artist_similarity(one: TrackRecord, other: TrackRecord) -> float:
    """How alike the artists are: the best pair of main or featured names, or all names together; 0 to 100."""
    first, second = _names(one), _names(other)
    if not first or not second:
        return 0.0
    together = similarity(_together(one), _together(other))
    return max(together, *(similarity(a, b) for a in first for b in second))


def _names(track: TrackRecord) -> frozenset[str]:
    return frozenset(normalise(c.name) for c in track.credits if c.role in (CreditRole.MAIN, CreditRole.FEATURED))


def _together(track: TrackRecord) -> str:
    """Every single name, so that "A & B" as one name is like A and B as two."""
    names = (
        normalise(n)
        for c in track.credits
        if c.role in (CreditRole.MAIN, CreditRole.FEATURED)
        for n in split_names(c.name)
    )
    return " ".join(sorted(set(names)))


def _gap_s(one: TrackRecord, other: TrackRecord) -> float | None:
    if one.duration_s is None or other.duration_s is None:
        return None
    return abs(one.duration_s - other.duration_s)


def _shared_id(one: TrackRecord, other: TrackRecord) -> How | None:
    if one.musicbrainz_id and one.musicbrainz_id == other.musicbrainz_id:
        return How.MUSICBRAINZ
    return How.ISRC if set(one.isrcs) & set(other.isrcs) else None


def _numbers(keys: Iterable[str]) -> tuple[int, ...]:
    """Keys as the file holds them."""
    digests = (hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys)
    return tuple(int.from_bytes(digest, "big", signed=True) for digest in digests)
