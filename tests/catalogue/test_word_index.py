"""Words of a page of tracks at once, against one track and one word after another, and landmarks against a sort."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from whosings.catalogue import journal as journal_module
from whosings.catalogue.fingerprint import Sighting, landmarks
from whosings.catalogue.journal import Journal
from whosings.catalogue.manifest import Track
from whosings.catalogue.track_status import Examination, Listed
from whosings.catalogue.word_index import MOST_SIGHTINGS, SCHEMA, WordPage, forget


def words(rng: np.random.Generator, size: int, kinds: int) -> np.ndarray:
    """So few kinds that many tracks share a word, and some words are in every track; 0 is silence."""
    common = rng.integers(0, 4, size) == 0
    return np.where(common, rng.integers(0, 3, size), rng.integers(0, kinds, size)).astype(np.uint32)


def one_by_one(base: sqlite3.Connection, number: int, found: np.ndarray, keep: bool) -> list[tuple[int, Sighting]]:
    """As it is said: each word asked for by itself, then written."""
    seen = [
        (int(place), Sighting(track, there))
        for place in landmarks(found)
        for track, there in base.execute(
            "SELECT track, place FROM words WHERE word = ? ORDER BY track, place LIMIT ?",
            (int(found[place]), MOST_SIGHTINGS),
        )
    ]
    if keep:
        rows = [(int(found[place]), number, int(place)) for place in landmarks(found)]
        base.executemany("INSERT OR IGNORE INTO words VALUES (?, ?, ?)", rows)
    return seen


@pytest.mark.parametrize("seed", range(3))
def test_a_page_sees_what_tracks_one_by_one_would(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plain, paged = sqlite3.connect(":memory:"), sqlite3.connect(":memory:")
    for base in (plain, paged):
        base.execute(SCHEMA)
    numbers = rng.permutation(60).tolist()  # later pages have lower numbers, too
    for first in range(0, 60, 20):
        tracks = [(n, words(rng, int(rng.integers(1, 900)), 5_000)) for n in sorted(numbers[first : first + 20])]
        page = WordPage(paged, tracks)
        for number, found in tracks:
            keep = bool(rng.integers(4))
            assert page.sightings(number) == one_by_one(plain, number, found, keep)
            if keep:
                page.keep(number)
        page.write()
        gone, its_words = tracks[int(rng.integers(20))]
        forget(paged, gone, its_words)
        plain.execute("DELETE FROM words WHERE track = ?", (gone,))
        every = "SELECT * FROM words ORDER BY 1, 2, 3"
        assert paged.execute(every).fetchall() == plain.execute(every).fetchall()


def test_nothing_to_look_up() -> None:
    base = sqlite3.connect(":memory:")
    base.execute(SCHEMA)
    page = WordPage(base, [(1, np.zeros(0, np.uint32)), (2, np.zeros(9, np.uint32))])
    assert page.sightings(1) == page.sightings(2) == []
    page.keep(1)
    page.write()


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 700, 20_000])
def test_landmarks_are_the_first_of_the_other_order(size: int) -> None:
    rng = np.random.default_rng(size)
    for kinds in (3, 400, 2**32):
        found = rng.integers(0, kinds, size).astype(np.uint32)
        order = sorted(range(size), key=lambda place: (int(found[place]) * 2654435761 % 2**32, place))
        order = [place for place in order if found[place]]
        assert landmarks(found).tolist() == sorted(order[: max(512, len(order) // 16)])


@pytest.mark.parametrize("compared", [1, 7, 2_000])
def test_twins_and_parts_do_not_depend_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compared: int
) -> None:
    monkeypatch.setattr(journal_module, "_COMPARED", compared)
    rng = np.random.default_rng(1)
    songs = [rng.integers(1, 2**32, 900, dtype=np.uint32) for _ in range(12)]
    copies = [song[20:] ^ (rng.random(880) < 0.3).astype(np.uint32) for song in songs[::2]]
    prints = [*songs, *copies, np.concatenate(songs[:3]), songs[4][:300], *songs[5:7]]
    with Journal(tmp_path / "journal.sqlite", "m") as journal:
        journal.begin(Listed(Track(f"t{n}", "ann", tmp_path / f"{n}")) for n in range(len(prints)))
        for entry, found in zip(list(journal.unexamined()), prints, strict=True):
            sha = f"sha {entry.number if entry.number < len(prints) else 6}"
            journal.examined(entry.number, Examination(sha, 1.0, np.ones(1, np.float32), 1.0, found))
        assert sum(1 for _ in journal.match()) == len(prints)
        twins = dict(journal._db.execute("SELECT number, twin FROM tracks WHERE twin IS NOT NULL"))
        parts = set(journal._db.execute("SELECT part, whole FROM parts"))
    assert twins == {13: 1, 14: 3, 15: 5, 16: 7, 17: 9, 18: 11, 21: 6, 22: 6}
    assert parts == {(1, 19), (2, 19), (3, 19), (20, 5)}


def test_a_journal_of_before_loses_the_index_that_nothing_asks(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite", "m") as journal:
        journal._db.execute("CREATE INDEX words_of ON words (track)")
    with Journal(tmp_path / "journal.sqlite", "m") as journal:
        assert not journal._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'words_of'").fetchall()
