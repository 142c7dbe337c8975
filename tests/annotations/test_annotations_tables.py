from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.annotation_service import FakeClock, Service, serving, settings
from whosings.annotations.artists import Singer
from whosings.annotations.decision_tables import (
    DECISION_COLUMNS,
    SINGER_COLUMNS,
    annotated,
    read_catalogue,
    read_singers,
    write_decisions,
    write_singers,
)
from whosings.annotations.deezer import Deezer
from whosings.annotations.discogs import Discogs
from whosings.annotations.live import annotate
from whosings.annotations.musicbrainz import MusicBrainz
from whosings.annotations.reconcile import Decision, DecisionOutcome
from whosings.annotations.records import Credit, CreditRole
from whosings.annotations.verdict import Reason
from whosings.annotations.wikidata import Wikidata
from whosings.catalogue.manifest import Manifest, Piece, Track
from whosings.errors import ManifestError

ADA = Singer("musicbrainz:ada", "Ada Moor", "ada", "Q1", "7", "70")
BEN = Singer("deezer:8", "Ben Ash", deezer_id="8")
DECISIONS = (
    Decision(
        "t1", DecisionOutcome.KEPT, Reason.SOLO, "Why.", (ADA,), ("deezer:1", "x"), "Night Boat", ("C",), "m", "2012"
    ),
    Decision("t2", DecisionOutcome.APART, Reason.DUET, "Why.", (ADA, BEN)),
    Decision("t3", DecisionOutcome.DROPPED, Reason.NO_SOURCE, "No source."),
)
CODE = "GBABC1200034"
MBID = "aaaaaaaa-0000-4000-8000-00000000000a"
SONG = "aaaaaaaa-0000-4000-8000-000000000001"


def test_catalogue(tmp_path):
    path = tmp_path / "tags.csv"
    path.write_text(
        f'track_id,title,artist,isrc,duration_s\n007,Night Boat,Ada feat. Ben,{CODE},3:21\n2,"A, B",Eve,,\n'
    )
    first, second = read_catalogue(path)
    assert (first.source_id, first.isrcs, first.duration_s) == ("007", (CODE,), 201)
    assert first.credits == (Credit("Ada"), Credit("Ben", CreditRole.FEATURED))
    assert (second.title, second.isrcs, second.duration_s) == ("A, B", (), None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("track_id,title\n1,x\n", "no column artist"),
        ("track_id,title,artist\n1,x,\n", "row 1 has no artist"),
        ("track_id,title,artist\n1,x,y\n1,x,y\n", "occurs twice"),
    ],
)
def test_catalogue_that_is_wrong(tmp_path, text, said):
    path = tmp_path / "tags.csv"
    path.write_text(text)
    with pytest.raises(ManifestError, match=said):
        read_catalogue(path)
    with pytest.raises(ManifestError, match="no such file"):
        read_catalogue(tmp_path / "none.csv")


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_decisions_and_their_summary(tmp_path, ending):
    path = tmp_path / f"decisions.{ending}"
    summary = write_decisions(iter(DECISIONS), path)
    assert summary.counts == {Reason.SOLO: 1, Reason.DUET: 1, Reason.NO_SOURCE: 1}
    assert summary.singers == (ADA, BEN)
    table = pyarrow.parquet.read_table(path) if ending == "parquet" else pyarrow.csv.read_csv(path)
    assert tuple(table.column_names) == DECISION_COLUMNS
    rows = table.to_pylist()
    both = ["musicbrainz:ada", "deezer:8"]
    assert rows[1]["singer_ids"] == (both if ending == "parquet" else ";".join(both))
    assert [row["outcome"] for row in rows] == ["kept", "apart", "dropped"]
    assert not list(tmp_path.glob(".partial*"))


def test_no_decisions_and_another_ending(tmp_path):
    assert write_decisions([], tmp_path / "none.parquet").singers == ()
    with pytest.raises(ManifestError, match="ending"):
        write_decisions(DECISIONS, tmp_path / "x.json")


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_singers(tmp_path, ending):
    path = tmp_path / f"singers.{ending}"
    write_singers([ADA, BEN], path)
    assert read_singers(path) == (ADA, BEN)
    assert SINGER_COLUMNS == ("singer_id", "name", "musicbrainz_id", "wikidata_id", "deezer_id", "discogs_id")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("singer_id\nx\n", "no column name"),
        ("singer_id,name,age\nx,y,3\n", "unknown column age"),
        ("singer_id,name\nx,y\nx,z\n", "occurs twice"),
    ],
)
def test_singers_that_are_wrong(tmp_path, text, said):
    path = tmp_path / "singers.csv"
    path.write_text(text)
    with pytest.raises(ManifestError, match=said):
        read_singers(path)


def test_decisions_change_a_manifest():
    tracks = tuple(Track(f"t{n}", "folder name", Path(f"{n}.mp3"), title="Mine") for n in (1, 2, 3, 4))
    pieces = (Piece("t1", 0.0, 0.9), Piece("t2", 0.0, 0.9))
    manifest = annotated(Manifest(tracks, pieces), DECISIONS)
    [track] = manifest.tracks
    assert (track.singer_id, track.title, track.release_date) == ("musicbrainz:ada", "Mine", "2012")
    assert manifest.pieces == pieces[:1]
    with pytest.raises(ManifestError, match="keep none"):
        annotated(Manifest(tracks[1:]), DECISIONS)


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as service:
        yield service


def test_all_four_sources_live(service, tmp_path):
    """A track without ISRC: Deezer's search brings the ISRC, that MusicBrainz' recording, that Wikidata's item."""
    artist = {"id": 7, "name": "Ada Moor", "type": "artist"}
    song = {"id": 1, "title": "Night Boat", "duration": 201, "isrc": CODE, "artist": artist, "type": "track"}
    service.routes["/deezer/search/"] = service.routes["/deezer/search"] = {"data": [song], "total": 1}
    service.routes["/deezer/track/1"] = song | {
        "contributors": [artist | {"role": "Main"}],
        "release_date": "2013-01-01",
    }
    service.routes["/deezer/artist/7"] = artist
    person = {"id": MBID, "name": "Ada Moor", "type": "Person"}
    service.routes[f"/mb/isrc/{CODE}"] = {"recordings": [{"id": SONG}]}
    service.routes[f"/mb/recording/{SONG}"] = {
        "id": SONG, "title": "Night Boat", "length": 201000, "isrcs": [CODE],
        "artist-credit": [{"name": "Ada Moor", "artist": person}],
    }  # fmt: skip
    service.routes[f"/mb/artist/{MBID}"] = person
    asked_queries = []

    def sparql(asked):
        asked_queries.append(asked.form["query"])
        row = {
            "artist": "http://www.wikidata.org/entity/Q1",
            "artistLabel": "Ada Moor",
            "human": "true",
            "sings": "true",
        }
        rows = [row | {"mbid": MBID, "discogs": "70"}] if MBID in asked.form["query"] else []
        return {"results": {"bindings": [{name: {"value": value} for name, value in row.items()} for row in rows]}}

    service.routes["/sparql"] = sparql
    credited = {"name": "Ada Moor", "id": 70}
    service.routes["/discogs/database/search"] = {
        "pagination": {"page": 1, "pages": 1, "per_page": 50, "items": 1, "urls": {}},
        "results": [{"id": 5, "type": "release", "title": "x"}],
    }
    service.routes["/discogs/releases/5"] = {
        "id": 5, "title": "Boats", "artists": [credited], "released": "2012-05-01",
        "tracklist": [{"position": "A1", "title": "Night Boat", "duration": "3:22", "extraartists": [
            credited | {"role": "Vocals"}]}],
    }  # fmt: skip
    service.routes["/discogs/artists/70"] = {"id": 70, "name": "Ada Moor", "realname": "Ada M."}

    def run() -> list[Decision]:
        clock = FakeClock()
        sources = [
            Deezer(settings(tmp_path), address=f"{service.address}/deezer", clock=clock),
            MusicBrainz(settings(tmp_path), address=f"{service.address}/mb", clock=clock),
            Wikidata(settings(tmp_path), address=f"{service.address}/sparql", clock=clock),
            Discogs(settings(tmp_path), "t0ken", address=f"{service.address}/discogs", clock=clock),
        ]
        (tmp_path / "tags.csv").write_text("track_id,title,artist,duration_s\nmine,Night Boat,Ada Moor,200\n")
        seen = []
        found = annotate(read_catalogue(tmp_path / "tags.csv"), sources, progress=seen.append)
        assert len(seen) == 1
        for source in sources:
            source.close()
        return found.decisions()

    [decision] = run()
    assert (decision.outcome, decision.reason) == (DecisionOutcome.KEPT, Reason.SOLO)
    assert decision.explanation == "Ada Moor sings alone, says deezer and musicbrainz and discogs."
    assert decision.singers == (Singer(f"musicbrainz:{MBID}", "Ada Moor", MBID, "Q1", "7", "70"),)
    assert (decision.release_date, decision.isrcs, decision.musicbrainz_id) == ("2012-05-01", (CODE,), SONG)
    assert any(CODE in query for query in asked_queries)
    before = len(service.asked)
    assert run() == [decision]
    assert len(service.asked) == before, "everything came from the cache"
