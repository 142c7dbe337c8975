"""Looked-up words of many fingerprints in a database, asked and written for a page of tracks at once.

Conventions
-----------
- Table ``words (word, track, place)``, in this order on disk. A page's words are asked for and written in it, so that a
  part of the file is met once a page rather than once a word.
- What a track sees is what it would see if tracks were compared and written one by one: ``MOST_SIGHTINGS`` of a word,
  those of the lowest tracks, among them the page's tracks before it that were written.
"""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Sequence
from itertools import islice
from sqlite3 import Connection

import numpy as np

from whosings.catalogue.fingerprint import Sighting, Words, landmarks

MOST_SIGHTINGS = 64
"""Of one word: a word that so many tracks have says nothing, and looking stays cheap."""
SCHEMA = (
    "CREATE TABLE words (word INTEGER, track INTEGER, place INTEGER, PRIMARY KEY (word, track, place)) WITHOUT ROWID"
)
_ASK = f"""
SELECT seen.word, seen.track, seen.place FROM json_each(?) AS wanted CROSS JOIN words AS seen
    ON seen.word = wanted.value AND seen.track <= ifnull((SELECT track FROM words AS last
        WHERE last.word = wanted.value ORDER BY track, place LIMIT 1 OFFSET {MOST_SIGHTINGS - 1}), 9223372036854775807)
"""
_ASKED = 50_000  # words a question


class WordPage:
    """The words of some tracks that are compared one after another.

    Args:
        base: a database with the table.
        tracks: number and fingerprint of each, in the order of the comparison.
    """

    def __init__(self, base: Connection, tracks: Sequence[tuple[int, Words]]) -> None:
        self._base = base
        self._marks = {number: (places := landmarks(words), words[places]) for number, words in tracks}
        every = np.concatenate([values for _, values in self._marks.values()] or [np.zeros(0, np.uint32)])
        wanted, counts = np.unique(every, return_counts=True)
        self._seen: dict[int, list[tuple[int, int]]] = {word: [] for word in wanted[counts > 1].tolist()}
        for first in range(0, wanted.size, _ASKED):
            for word, track, place in base.execute(_ASK, (json.dumps(wanted[first : first + _ASKED].tolist()),)):
                self._seen.setdefault(word, []).append((track, place))
        self._shared = np.fromiter(self._seen, np.uint32, len(self._seen))
        self._shared.sort()
        self._kept: list[int] = []

    def sightings(self, track: int) -> list[tuple[int, Sighting]]:
        """Where else the track's looked-up words are: (place in the track, sighting), by place and track."""
        return [
            (place, Sighting(other, there))
            for place, word in self._shared_marks(track)
            for other, there in islice(self._seen[word], MOST_SIGHTINGS)
        ]

    def keep(self, track: int) -> None:
        """Let the tracks after it see its words."""
        self._kept.append(track)
        for place, word in self._shared_marks(track):
            insort(self._seen[word], (track, place))

    def write(self) -> None:
        """Write the words of the tracks that were kept."""
        if not self._kept:
            return
        words = np.concatenate([self._marks[track][1] for track in self._kept])
        places = np.concatenate([self._marks[track][0] for track in self._kept])
        tracks = np.repeat(self._kept, [self._marks[track][0].size for track in self._kept])
        order = np.lexsort((places, tracks, words))
        rows = zip(words[order].tolist(), tracks[order].tolist(), places[order].tolist(), strict=True)
        self._base.executemany("INSERT OR IGNORE INTO words VALUES (?, ?, ?)", rows)

    def _shared_marks(self, track: int) -> list[tuple[int, int]]:
        """Place and word of those that another track of the page or the table may have."""
        places, words = self._marks[track]
        if not self._shared.size:
            return []
        at = np.minimum(np.searchsorted(self._shared, words), self._shared.size - 1)
        found = self._shared[at] == words
        return list(zip(places[found].tolist(), words[found].tolist(), strict=True))


def forget(base: Connection, track: int, words: Words) -> None:
    """Remove a track's words."""
    rows = [(int(words[place]), track, int(place)) for place in landmarks(words)]
    base.executemany("DELETE FROM words WHERE word = ? AND track = ? AND place = ?", rows)
