from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from rdflib import Graph
from rdflib.plugins.sparql import prepareQuery

from tests.annotation_service import Reply, settings
from whosings.annotations.decision_tables import catalogue_record
from whosings.annotations.records import Credit, Kind, Member, Source
from whosings.annotations.wikidata import ARTIST_QUERY, TRACK_QUERY, Wikidata, read_artists, read_tracks
from whosings.errors import MalformedAnswerError, ServiceRefusalError

ADA = "aaaaaaaa-0000-4000-8000-00000000000a"
SONG = "aaaaaaaa-0000-4000-8000-000000000001"
PREFIXES = """
PREFIX wd: <http://www.wikidata.org/entity/>
PREFIX wdt: <http://www.wikidata.org/prop/direct/>
PREFIX p: <http://www.wikidata.org/prop/>
PREFIX psn: <http://www.wikidata.org/prop/statement/value-normalized/>
PREFIX wikibase: <http://wikiba.se/ontology#>
PREFIX bd: <http://www.bigdata.com/rdf#>
PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
"""
LABELS = 'SERVICE wikibase:label { bd:serviceParam wikibase:language "mul,en". }'


def results(*rows: dict[str, str]) -> dict[str, object]:
    def cell(value: str) -> dict[str, str]:
        return {"type": "uri" if value.startswith("http") else "literal", "value": value}

    bindings = [{name: cell(value) for name, value in row.items()} for row in rows]
    return {"head": {"vars": sorted({name for row in rows for name in row})}, "results": {"bindings": bindings}}


def entity(item: str) -> str:
    return f"http://www.wikidata.org/entity/{item}"


SINGER = {
    "artist": entity("Q1"), "artistLabel": "Ada Moor", "human": "true", "ensemble": "false", "sings": "true",
    "plays": "true", "mbid": ADA, "deezer": "7", "discogs": "70",
}  # fmt: skip
BAND = {"artist": entity("Q2"), "artistLabel": "The Band", "human": "false", "ensemble": "true", "sings": "false"}
BAND_ROWS = (
    BAND | {"member": entity("Q1"), "memberLabel": "Ada Moor", "memberSings": "true", "discogs": "80"},
    BAND | {"member": entity("Q3"), "memberLabel": "Ben Ash", "memberSings": "false", "discogs": "81"},
)
TRACK_ROWS = (
    {
        "track": entity("Q9"), "trackLabel": "Night Boat", "performer": entity("Q1"), "performerLabel": "Ada Moor",
        "isrc": "GBABC1200034", "mbid": SONG, "seconds": "201", "date": "2012-03-04T00:00:00Z",
    },
    {
        "track": entity("Q9"), "trackLabel": "Night Boat", "performer": entity("Q3"), "performerLabel": "Ben Ash",
        "isrc": "GBABC1200034", "mbid": SONG, "seconds": "201", "date": "2011-01-01T00:00:00Z",
    },
)  # fmt: skip


@pytest.fixture
def wikidata(service, tmp_path, clock) -> Iterator[Wikidata]:
    wikidata = Wikidata(settings(tmp_path), address=f"{service.address}/sparql", clock=clock)
    yield wikidata
    wikidata.close()


SPARQL = {"Content-Type": "application/sparql-results+json;charset=utf-8"}


def test_artists_by_musicbrainz_id(service, wikidata):
    service.routes["/sparql"] = Reply(results(SINGER, *BAND_ROWS), headers=SPARQL)
    first, second = wikidata.artists([ADA], Source.MUSICBRAINZ)
    assert (first.source_id, first.kind, first.sings) == ("Q1", Kind.PERSON, True)
    assert (first.musicbrainz_id, first.deezer_id, first.discogs_id) == (ADA, "7", "70")
    assert (second.kind, second.sings) == (Kind.GROUP, None)
    assert second.members == (Member("Ada Moor", "Q1", True), Member("Ben Ash", "Q3"))
    assert second.discogs_id is None, "two values: one of them is another artist's"
    [asked] = service.asked
    assert f'VALUES ?given {{ "{ADA}" }} ?artist wdt:P434 ?given.' in asked.form["query"]
    assert "tests@example.org" in asked.headers["User-Agent"]
    assert "sparql-results+json" in asked.headers["Accept"]
    assert len(list(wikidata.artists([ADA], Source.MUSICBRAINZ))) == 2
    assert len(service.asked) == 1


def test_fifty_artists_a_query(service, wikidata, clock):
    service.routes["/sparql"] = results()
    assert list(wikidata.artists([str(number) for number in range(120)], Source.DEEZER)) == []
    assert len(service.asked) == 3 and clock.slept == [1.0, 1.0]
    assert all("wdt:P2722" in asked.form["query"] for asked in service.asked)


def test_one_artist_by_item(service, wikidata):
    service.routes["/sparql"] = lambda asked: results(SINGER) if "wd:Q1 }" in asked.form["query"] else results()
    record = wikidata.artist("Q1")
    assert record is not None and record.name == "Ada Moor"
    assert wikidata.artist("Q7") is None
    assert wikidata.artist('Q1" } DROP') is None


def test_tracks_by_isrc_else_by_musicbrainz_id(service, wikidata):
    def answer(asked):
        return results(*TRACK_ROWS) if SONG in asked.form["query"] else results()

    service.routes["/sparql"] = answer
    wanted = catalogue_record("t", "x", "y", isrc="GBABC1200034", musicbrainz_id=SONG)
    [record] = wikidata.find(wanted)
    assert record.credits == (Credit("Ada Moor", artist_id="Q1"), Credit("Ben Ash", artist_id="Q3"))
    assert (record.isrcs, record.duration_s, record.release_date) == (("GBABC1200034",), 201.0, "2011-01-01")
    assert record.musicbrainz_id == SONG
    assert len(service.asked) == 2
    assert wikidata.find(catalogue_record("t", "x", "y")) == []
    assert len(service.asked) == 2


def test_busy_as_documented(service, wikidata, clock):
    service.routes["/sparql"] = [Reply("Too Many Requests", 429, {"Retry-After": "42"}), Reply(results(SINGER))]
    assert wikidata.artist("Q1") is not None
    assert clock.slept == [42.0]


def test_banned(service, wikidata):
    service.routes["/sparql"] = Reply("You have been banned until tomorrow", 403)
    with pytest.raises(ServiceRefusalError, match="banned"):
        wikidata.artist("Q1")


@pytest.mark.parametrize("answer", ["<html>", {"head": {}}, [], Reply("gone", 404), results({"artistLabel": "x"})])
def test_answers_of_another_form(service, wikidata, answer):
    service.routes["/sparql"] = answer if isinstance(answer, Reply) else Reply(answer)
    with pytest.raises(MalformedAnswerError):
        wikidata.artist("Q1")


def test_result_files(tmp_path):
    (tmp_path / "artists.json").write_text(json.dumps(results(SINGER, *BAND_ROWS)))
    names = list(dict.fromkeys(name for row in (SINGER, *BAND_ROWS) for name in row))
    lines = [",".join(names)] + [",".join(row.get(name, "") for name in names) for row in (SINGER, *BAND_ROWS)]
    (tmp_path / "artists.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "tracks.json").write_text(json.dumps(results(*TRACK_ROWS)))
    assert list(read_artists(tmp_path / "artists.json")) == list(read_artists(tmp_path / "artists.csv"))
    assert [len(record.credits) for record in read_tracks(tmp_path / "tracks.json")] == [2]
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "other.json").write_text("{")
    for name in ("other.csv", "other.json"):
        with pytest.raises(MalformedAnswerError, match=name):
            list(read_artists(tmp_path / name))


def test_queries_are_sparql():
    for query in (ARTIST_QUERY, TRACK_QUERY):
        prepareQuery(PREFIXES + query)


TRIPLES = """
@prefix wd: <http://www.wikidata.org/entity/> .
@prefix wdt: <http://www.wikidata.org/prop/direct/> .
@prefix p: <http://www.wikidata.org/prop/> .
@prefix psn: <http://www.wikidata.org/prop/statement/value-normalized/> .
@prefix wikibase: <http://wikiba.se/ontology#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
wd:Q488205 wdt:P279 wd:Q177220 .
wd:Q215380 wdt:P279 wd:Q2088357 .
wd:Q1 wdt:P31 wd:Q5 ; wdt:P106 wd:Q488205, wd:Q486748 ; wdt:P434 "m1" ; wdt:P2722 "7" ; wdt:P463 wd:Q2 .
wd:Q2 wdt:P31 wd:Q215380 ; wdt:P434 "m2" .
wd:Q3 wdt:P31 wd:Q5 ; wdt:P106 wd:Q130857 ; wdt:P434 "m3" .
wd:Q4 wdt:P31 wd:Q5 ; wdt:P412 wd:Q30903 ; wdt:P434 "m4" .
wd:Q9 wdt:P1243 "GBABC1200034" ; wdt:P175 wd:Q1 ; p:P2047 [ psn:P2047 [ wikibase:quantityAmount 201 ] ] .
wd:Q1 rdfs:label "Ada" . wd:Q2 rdfs:label "Band" . wd:Q9 rdfs:label "Boat" .
"""


def selected(query: str, names: str) -> list[dict[str, str]]:
    """What the query finds in ``TRIPLES``, with labels read as triples instead of by Wikidata's own service."""
    graph = Graph().parse(data=TRIPLES, format="turtle")
    labels = " ".join(f"OPTIONAL {{ ?{name} rdfs:label ?{name}Label }}" for name in names.split())
    assert LABELS in query
    return json.loads(graph.query(PREFIXES + query.replace(LABELS, labels)).serialize(format="json"))["results"][
        "bindings"
    ]


def test_artist_query_on_triples(tmp_path):
    rows = selected(ARTIST_QUERY, "artist member")
    (tmp_path / "artists.json").write_text(json.dumps({"results": {"bindings": rows}}))
    found = {record.source_id: record for record in read_artists(tmp_path / "artists.json")}
    assert {item: (record.kind, record.sings) for item, record in found.items()} == {
        "Q1": (Kind.PERSON, True),
        "Q2": (Kind.GROUP, None),
        "Q3": (Kind.PERSON, False),
        "Q4": (Kind.PERSON, True),
    }
    assert found["Q1"].deezer_id == "7"
    assert found["Q2"].members == (Member("Ada", "Q1", True),)


def test_track_query_on_triples(tmp_path):
    rows = selected(TRACK_QUERY, "track performer")
    (tmp_path / "tracks.json").write_text(json.dumps({"results": {"bindings": rows}}))
    [record] = read_tracks(tmp_path / "tracks.json")
    assert (record.title, record.duration_s, record.credits[0].name) == ("Boat", 201.0, "Ada")
