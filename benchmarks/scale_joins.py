"""Joins at the size of full dumps: dumps read and matched plainly and as the package does, side by side.

Made dumps (``made_dumps.py``), a catalogue that they know, one process a way and stage. Further readers of JSON lines
and XML show what was chosen from. DuckDB and Polars are asked where they are installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import joins_before as plain
import made_dumps
import measure
from made_dumps import Dumps, World

from whosings.annotations import discogs, musicbrainz
from whosings.annotations.artist_shelf import ArtistShelf
from whosings.annotations.artists import ArtistBook
from whosings.annotations.decision_tables import read_catalogue, write_decisions
from whosings.annotations.dumps import json_lines
from whosings.annotations.matching import TrackIndex
from whosings.annotations.reconcile import reconcile
from whosings.annotations.track_keys import Said, keys_of, keys_said

_COLUMNS = (
    "{'id': 'VARCHAR', 'title': 'VARCHAR', 'length': 'BIGINT', 'isrcs': 'VARCHAR[]', 'first-release-date': 'VARCHAR',"
    " 'artist-credit': 'STRUCT(name VARCHAR, joinphrase VARCHAR, artist STRUCT(id VARCHAR, name VARCHAR))[]',"
    " 'relations': 'STRUCT(type VARCHAR, attributes VARCHAR[], artist STRUCT(id VARCHAR, name VARCHAR))[]'}"
)


def main() -> None:
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    given = measure.arguments(
        __doc__,
        recordings={"type": int, "default": 40_000},
        artists={"type": int, "default": 26_000},
        tracks={"type": int, "default": 4_000, "help": "of the catalogue"},
        dumps={"type": Path, "default": None, "help": "folder of dumps made before, or for those that are made"},
        plain={"choices": ("yes", "no"), "default": "yes", "help": "no: only the package's way, for full dumps"},
    )
    sizes = (2_400, 1_500, 300) if given.quick else (given.recordings, given.artists, given.tracks)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.dumps or Path(temporary) / "dumps"
        made = made_dumps.paths_in(folder)
        if not made.catalogue.exists():
            made = made_dumps.make(folder, World(sizes[0], sizes[1]), sizes[2])
        figures = {**readers(made, sizes), **joiners(made)} if given.plain == "yes" else {}
        figures |= joins(made, Path(temporary), given.plain == "yes")
    measure.finish("scale_joins", given.quick, **figures)


# ---------------------------------------------------------------------- readers


def readers(made: Dumps, sizes: tuple[int, int, int]) -> dict[str, float]:
    """Seconds of each reader over the same lines or elements, and what it keeps in memory."""
    ways: dict[str, tuple[Callable[[Path], Callable[[], int]], Path]] = {
        "lines: json": (lines_json, made.recording_lines),
        "lines: msgspec, wanted fields": (lines_msgspec, made.recording_lines),
        "XML: ElementTree, every event": (xml_events, made.discogs_releases),
        "XML: lxml, wanted children": (xml_lxml, made.discogs_releases),
    }
    for name, module, prepare in (
        ("lines: orjson", "orjson", lines_orjson),
        ("lines: DuckDB to a table", "duckdb", lines_duckdb),
        ("lines: Polars to a frame", "polars", lines_polars),
    ):
        if importlib.util.find_spec(module) is not None:
            ways[name] = (prepare, made.recording_lines)
    costs = {name: measure.in_child(prepare, path) for name, (prepare, path) in sorted(ways.items())}
    counts = {name: cost.result for name, cost in costs.items()}
    assert len({count for name, count in counts.items() if name.startswith("lines")}) == 1, counts
    rows = [(name, cost.seconds, 1e6 * cost.seconds / cost.result, cost.extra_mb) for name, cost in costs.items()]
    measure.table(["reader", "s", "us an entry", "more MB"], rows)
    return {
        "json_over_msgspec": costs["lines: json"].seconds / costs["lines: msgspec, wanted fields"].seconds,
        "elementtree_over_lxml": costs["XML: ElementTree, every event"].seconds
        / costs["XML: lxml, wanted children"].seconds,
    }


def lines_json(path: Path) -> Callable[[], int]:
    return lambda: _each_line(path, json.loads)


def lines_orjson(path: Path) -> Callable[[], int]:
    import orjson

    return lambda: _each_line(path, orjson.loads)


def lines_msgspec(path: Path) -> Callable[[], int]:
    import msgspec

    return lambda: _each_line(path, msgspec.json.Decoder(musicbrainz.RecordingLine).decode)


def _each_line(path: Path, decode: Callable[[bytes], object]) -> int:
    count = 0
    with path.open("rb") as stream:
        for line in stream:
            decode(line)
            count += 1
    return count


def lines_duckdb(path: Path) -> Callable[[], int]:
    import duckdb

    base = duckdb.connect(config={"threads": 1})
    read = f"read_json('{path}', format = 'newline_delimited', columns = {_COLUMNS})"

    def run() -> int:
        base.execute(f"CREATE TABLE recording AS SELECT * FROM {read}")
        row = base.execute("SELECT count(*) FROM recording").fetchone()
        return int(row[0]) if row else 0

    return run


def lines_polars(path: Path) -> Callable[[], int]:
    import polars as pl

    schema = _polars_schema()
    return lambda: pl.read_ndjson(path, schema=schema).height


def _polars_schema() -> Any:
    import polars as pl

    named = pl.Struct({"id": pl.String, "name": pl.String})
    return {
        "id": pl.String, "title": pl.String, "length": pl.Int64, "isrcs": pl.List(pl.String),
        "first-release-date": pl.String,
        "artist-credit": pl.List(pl.Struct({"name": pl.String, "joinphrase": pl.String, "artist": named})),
        "relations": pl.List(pl.Struct({"type": pl.String, "attributes": pl.List(pl.String), "artist": named})),
    }  # fmt: skip


def xml_events(path: Path) -> Callable[[], int]:
    return lambda: sum(1 for _ in plain.elements(path, "release"))


def xml_lxml(path: Path) -> Callable[[], int]:
    from whosings.annotations.dumps import xml_children

    return lambda: sum(1 for _ in xml_children(path, "release"))


# ---------------------------------------------------------------------- who joins


def joiners(made: Dumps) -> dict[str, float]:
    """Seconds and memory of finding the recordings that share a key with the catalogue, from the same lines.

    Keys are names made comparable, which is done by the same Python in each way.
    """
    ways: dict[str, Callable[[Path, Path], Callable[[], int]]] = {"ours": join_ours}
    for name, module, prepare in (("DuckDB", "duckdb", join_duckdb), ("Polars", "polars", join_polars)):
        if importlib.util.find_spec(module) is not None:
            ways[name] = prepare
    costs = {name: measure.in_child(way, made.catalogue, made.recording_lines) for name, way in ways.items()}
    assert len({cost.result for cost in costs.values()}) == 1, {name: cost.result for name, cost in costs.items()}
    rows = [(name, cost.result, cost.seconds, cost.extra_mb) for name, cost in costs.items()]
    measure.table(["who joins recordings with the catalogue", "related", "s", "more MB"], rows)
    ours = costs["ours"].seconds
    return {f"{name}_over_ours": cost.seconds / ours for name, cost in costs.items() if name != "ours"}


def join_ours(catalogue: Path, lines: Path) -> Callable[[], int]:
    def run() -> int:
        with closing(TrackIndex()) as index:
            index.add(read_catalogue(catalogue))
            known = _known(catalogue)

            def is_known(said: Said) -> bool:
                return index.may_match(said) and not known.isdisjoint(keys_said(said))

            return sum(musicbrainz._may_match(tree, is_known) for tree in json_lines(lines, musicbrainz.RecordingLine))

    return run


def join_duckdb(catalogue: Path, lines: Path) -> Callable[[], int]:
    import duckdb
    import pyarrow

    base = duckdb.connect(config={"threads": 1})
    base.create_function(
        "keys_of", _keys, ["VARCHAR", "VARCHAR[]", "VARCHAR[]", "VARCHAR"], "VARCHAR[]", null_handling="special"
    )
    names = (
        'list_concat(list_transform("artist-credit", lambda c: c.name),'
        " list_transform(list_filter(relations, lambda r: r.artist IS NOT NULL), lambda r: r.artist.name))"
    )

    def run() -> int:
        known = pyarrow.table({"key": list(_known(catalogue))})
        base.register("known", known)
        row = base.execute(
            f"SELECT count(DISTINCT id) FROM (SELECT id, unnest(keys_of(title, {names}, isrcs, id)) AS key"
            f" FROM read_json('{lines}', format = 'newline_delimited', columns = {_COLUMNS}))"
            " WHERE key IN (SELECT key FROM known)"
        ).fetchone()
        return int(row[0]) if row else 0

    return run


def join_polars(catalogue: Path, lines: Path) -> Callable[[], int]:
    import polars as pl

    def keys(row: dict[str, Any]) -> list[str]:
        names = [part["name"] for part in row["artist-credit"]]
        names += [part["artist"]["name"] for part in row["relations"] or () if part["artist"]]
        return _keys(row["title"], names, row["isrcs"], row["id"])

    def run() -> int:
        known = pl.LazyFrame({"key": list(_known(catalogue))})
        wanted = pl.struct("title", "artist-credit", "relations", "isrcs", "id")
        found = (
            pl.scan_ndjson(lines, schema=_polars_schema())
            .select("id", key=wanted.map_elements(keys, return_dtype=pl.List(pl.String)))
            .explode("key")
            .join(known, on="key", how="semi")
            .select(pl.col("id").n_unique())
        )
        return int(found.collect(engine="streaming").item())

    return run


def _known(catalogue: Path) -> set[str]:
    return {key for track in read_catalogue(catalogue) for key in keys_of(track)}


def _keys(title: str, names: list[str], isrcs: list[str] | None, mbid: str) -> list[str]:
    return list(keys_said(Said(title, names, (), isrcs or (), mbid)))


# ---------------------------------------------------------------------- joins


@dataclass(frozen=True)
class Stage:
    """One step of annotating, in both ways; both leave the same behind in their own folder."""

    name: str
    before: Callable[[Dumps, Path], int]
    now: Callable[[Dumps, Path], int]


def joins(made: Dumps, folder: Path, with_plain: bool) -> dict[str, float]:
    """Each stage in a process of its own, in turns, and whether the decisions are the same byte for byte."""
    rows, sums, peaks = [], [0.0, 0.0], [0.0, 0.0]
    for stage in STAGES:
        costs = []
        for number, way in enumerate((stage.before, stage.now)):
            if number == 0 and not with_plain:
                costs.append(None)
                continue
            place = folder / ("plain", "now")[number]
            place.mkdir(exist_ok=True)
            cost = measure.in_child(run, way, made, place)
            costs.append(cost)
            sums[number] += cost.seconds
            peaks[number] = max(peaks[number], cost.peak_mb)
        old, new = costs
        assert new is not None
        if old is None:
            rows.append((stage.name, new.result, "", new.seconds, "", "", new.peak_mb, ""))
            continue
        assert stage.name.startswith("artists") or old.result == new.result, (stage.name, old.result, new.result)
        rows.append(
            (stage.name, new.result, old.seconds, new.seconds, old.seconds / new.seconds, old.peak_mb, new.peak_mb,
             old.peak_mb / new.peak_mb)
        )  # fmt: skip
    rows.append(
        ("all", "", sums[0], sums[1], sums[0] / sums[1], peaks[0], peaks[1], peaks[0] / peaks[1])
        if with_plain
        else ("all", "", "", sums[1], "", "", peaks[1], "")
    )
    measure.table(["stage", "entries", "plain s", "now s", "ratio", "plain MB", "now MB", "ratio"], rows)
    figures = {"seconds_now": sums[1], "peak_mb_now": peaks[1]}
    if with_plain:
        same = (folder / "plain/decisions.csv").read_bytes() == (folder / "now/decisions.csv").read_bytes()
        print(f"decisions equal byte for byte: {same}\n")
        assert same
        figures |= {"plain_over_now": sums[0] / sums[1], "decisions_equal": same}
    return figures


def run(way: Callable[[Dumps, Path], int], made: Dumps, place: Path) -> Callable[[], int]:
    return partial(way, made, place)


def catalogue_before(made: Dumps, place: Path) -> int:
    with closing(plain.PlainIndex(place / "tracks.sqlite")) as index:
        return index.add(read_catalogue(made.catalogue))


def catalogue_now(made: Dumps, place: Path) -> int:
    with closing(TrackIndex(place / "tracks.sqlite")) as index:
        return index.add(read_catalogue(made.catalogue))


def recordings_before(made: Dumps, place: Path) -> int:
    with closing(plain.PlainIndex(place / "tracks.sqlite")) as index:
        return index.add(plain.recordings(made.recordings), only_related=True)


def recordings_now(made: Dumps, place: Path) -> int:
    with closing(TrackIndex(place / "tracks.sqlite")) as index:
        return index.add(musicbrainz.read_recordings(made.recordings, index.may_match), only_related=True)


def releases_before(made: Dumps, place: Path) -> int:
    with closing(plain.PlainIndex(place / "tracks.sqlite")) as index:
        return index.add(plain.discogs_tracks(made.discogs_releases), only_related=True)


def releases_now(made: Dumps, place: Path) -> int:
    with closing(TrackIndex(place / "tracks.sqlite")) as index:
        return index.add(discogs.read_tracks(made.discogs_releases, index.may_match), only_related=True)


def decisions_before(made: Dumps, place: Path) -> int:
    with closing(plain.PlainIndex(place / "tracks.sqlite")) as index:
        book = ArtistBook(chain(plain.artists(made.artists), plain.discogs_artists(made.discogs_artists)))
        return sum(write_decisions(reconcile(index, book), place / "decisions.csv").counts.values())


def decisions_now(made: Dumps, place: Path) -> int:
    with closing(TrackIndex(place / "tracks.sqlite")) as index:
        book = _book(index, made)
        return sum(write_decisions(reconcile(index, book), place / "decisions.csv").counts.values())


def artists_before(made: Dumps, place: Path) -> int:
    return len(ArtistBook(chain(plain.artists(made.artists), plain.discogs_artists(made.discogs_artists))))


def artists_now(made: Dumps, place: Path) -> int:
    with closing(TrackIndex(place / "tracks.sqlite")) as index:
        return len(_book(index, made))


def _book(index: TrackIndex, made: Dumps) -> ArtistBook:
    with ArtistShelf() as shelf:
        shelf.add(musicbrainz.read_artists(made.artists))
        shelf.add(discogs.read_artists(made.discogs_artists))
        return ArtistBook(shelf.related(index.artists()))


STAGES = (
    Stage("catalogue", catalogue_before, catalogue_now),
    Stage("recordings", recordings_before, recordings_now),
    Stage("releases", releases_before, releases_now),
    Stage("artists in memory", artists_before, artists_now),
    Stage("artists and decisions", decisions_before, decisions_now),
)


if __name__ == "__main__":
    main()
