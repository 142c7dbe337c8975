"""Who sings a track, from dumps: records read and tracks decided a second, and memory, as the catalogue grows fourfold.

A made-up catalogue of N tracks and a dump of 3N recordings, through the real index on disk, matching and tables.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import measure

from whosings.annotations.artists import ArtistBook
from whosings.annotations.decision_tables import catalogue_record, write_decisions
from whosings.annotations.matching import TrackIndex
from whosings.annotations.reconcile import reconcile
from whosings.annotations.records import ArtistRecord, Credit, Kind, Source, TrackRecord

LETTERS = "abcdefghijklmnoprstuvw"
TRACKS_AN_ARTIST = 10


def main() -> None:
    given = measure.arguments(__doc__, tracks={"type": int, "default": 10_000})
    small = 500 if given.quick else given.tracks
    costs = [(count, measure.in_child(prepared, count)) for count in (small, 4 * small)]
    measure.table(
        ["tracks", "dump records/s", "decisions/s", "decided", "peak MB"],
        [(count, c.result.read_per_s, c.result.decided_per_s, c.result.decided, c.peak_mb) for count, c in costs],
    )
    (_, first), (_, second) = costs
    measure.finish(
        "annotations",
        given.quick,
        cost_of_a_track_at_4n=first.result.decided_per_s / second.result.decided_per_s,
        dump_records_per_cpu_s=second.result.read_per_s,
        decisions_per_cpu_s=second.result.decided_per_s,
        more_mb_a_thousand_tracks=(second.peak_mb - first.peak_mb) / (3 * small / 1000),
    )


@dataclass(frozen=True)
class Rates:
    """By this process's CPU seconds, which other work on the machine disturbs least."""

    read_per_s: float
    decided_per_s: float
    decided: int


def prepared(count: int) -> Callable[[], Rates]:
    return partial(annotate, count)


def annotate(count: int) -> Rates:
    with tempfile.TemporaryDirectory() as folder:
        index = TrackIndex(Path(folder) / "tracks.sqlite")
        index.add(map(own, range(count)))
        began = time.process_time()
        index.add(map(recording, range(3 * count)), only_related=True)
        read = time.process_time()
        book = ArtistBook(people(3 * count // TRACKS_AN_ARTIST))
        booked = time.process_time()
        summary = write_decisions(reconcile(index, book), Path(folder) / "decisions.parquet")
        decided = time.process_time()
        index.close()
    return Rates(3 * count / (read - began), count / (decided - booked), sum(summary.counts.values()))


def own(n: int) -> TrackRecord:
    isrc = f"GBABC{n:07d}" if n % 2 else None
    return catalogue_record(str(n), words(n, 3), artist(n // TRACKS_AN_ARTIST), isrc=isrc, duration_s=200)


def recording(n: int) -> TrackRecord:
    credit = Credit(artist(n // TRACKS_AN_ARTIST), artist_id=str(n // TRACKS_AN_ARTIST))
    return TrackRecord(Source.MUSICBRAINZ, str(n), words(n, 3), (credit,), (f"GBABC{n:07d}",), 200.5)


def people(count: int) -> Iterator[ArtistRecord]:
    return (ArtistRecord(Source.MUSICBRAINZ, str(n), artist(n), Kind.PERSON) for n in range(count))


def artist(number: int) -> str:
    return words(-number - 1, 2)


def words(seed: int, count: int) -> str:
    dice = random.Random(seed)
    return " ".join("".join(dice.choices(LETTERS, k=dice.randint(3, 8))) for _ in range(count)).title()


if __name__ == "__main__":
    main()
