from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Iterator
from importlib.metadata import version

import pytest

from tests.annotation_service import Reply, settings
from whosings.annotations.decision_tables import catalogue_record
from whosings.annotations.musicbrainz import MusicBrainz, parse_artist, read_artists, read_recordings
from whosings.annotations.records import Credit, CreditRole, Kind, Member
from whosings.errors import MalformedAnswerError, ServiceBusyError

SONG = "aaaaaaaa-0000-4000-8000-000000000001"
ADA = "aaaaaaaa-0000-4000-8000-00000000000a"
BEN = "aaaaaaaa-0000-4000-8000-00000000000b"
BAND = "aaaaaaaa-0000-4000-8000-00000000000c"


def person(mbid: str, name: str, kind: str | None = "Person") -> dict[str, object]:
    return {"id": mbid, "name": name, "sort-name": name, "type": kind, "disambiguation": ""}


def recording(mbid: str = SONG, **more: object) -> dict[str, object]:
    return {
        "id": mbid, "title": "Night Boat", "length": 201400, "video": False, "disambiguation": "",
        "isrcs": ["GBABC1200034", "wrong"], "first-release-date": "2012-03",
        "artist-credit": [
            {"name": "Ada", "joinphrase": " & ", "artist": person(ADA, "Ada Moor")},
            {"name": "The Band", "joinphrase": " feat. ", "artist": person(BAND, "The Band", "Group")},
            {"name": "Ben Ash", "joinphrase": "", "artist": person(BEN, "Ben Ash")},
        ],
        "relations": [
            {"type": "vocal", "target-type": "artist", "direction": "backward", "attributes": ["lead vocals"],
             "artist": person(ADA, "Ada Moor")},
            {"type": "vocal", "target-type": "artist", "attributes": ["background vocals"],
             "artist": person(BEN, "Ben Ash")},
            {"type": "vocal", "attributes": ["guest", "lead vocals"], "artist": person(BEN, "Ben Ash")},
            {"type": "instrument", "attributes": ["guitar"], "artist": person(BEN, "Ben Ash")},
            {"type": "performance", "target-type": "work", "work": {"id": "w", "title": "Night Boat"}},
        ],
        **more,
    }  # fmt: skip


def artist() -> dict[str, object]:
    return {
        **person(BAND, "The Band", "Group"),
        "aliases": [{"name": "Band, The", "locale": None}, {"name": "Bandet"}],
        "relations": [
            {"type": "wikidata", "target-type": "url", "url": {"resource": "https://www.wikidata.org/wiki/Q42"}},
            {"type": "discogs", "url": {"resource": "https://www.discogs.com/artist/4242"}},
            {"type": "free streaming", "url": {"resource": "https://www.deezer.com/artist/77"}},
            {"type": "free streaming", "ended": True, "url": {"resource": "https://www.deezer.com/artist/78"}},
            {"type": "member of band", "direction": "backward", "attributes": ["lead vocals", "original"],
             "artist": person(ADA, "Ada Moor")},
            {"type": "member of band", "direction": "backward", "attributes": ["guitar", "background vocals"],
             "artist": person(BEN, "Ben Ash")},
            {"type": "member of band", "direction": "backward", "attributes": [], "artist": person(SONG, "Cy Orr")},
            {"type": "member of band", "direction": "forward", "artist": person(SONG, "A Supergroup", "Group")},
        ],
    }  # fmt: skip


@pytest.fixture
def brainz(service, tmp_path, clock) -> Iterator[MusicBrainz]:
    brainz = MusicBrainz(settings(tmp_path), address=f"{service.address}/ws/2/", clock=clock)
    yield brainz
    brainz.close()


def test_recording_with_vocalists(service, brainz):
    service.routes[f"/ws/2/recording/{SONG}"] = recording()
    record = brainz.recording(SONG)
    assert record is not None
    assert record.credits == (
        Credit("Ada", CreditRole.MAIN, ADA),
        Credit("The Band", CreditRole.MAIN, BAND),
        Credit("Ben Ash", CreditRole.FEATURED, BEN),
        Credit("Ada Moor", CreditRole.LEAD_VOCALS, ADA),
        Credit("Ben Ash", CreditRole.BACKING_VOCALS, BEN),
    )
    assert (record.isrcs, record.duration_s, record.release_date) == (("GBABC1200034",), 201.4, "2012-03")
    assert record.musicbrainz_id == SONG
    asked = service.asked[0]
    assert asked.query == {"inc": "artist-credits isrcs artist-rels", "fmt": "json"}
    assert asked.headers["User-Agent"] == f"whosings/{version('whosings')} ( tests@example.org )"


def test_finds_by_isrc_then_caches(service, brainz, clock):
    service.routes["/ws/2/isrc/GBABC1200034"] = {"isrc": "GBABC1200034", "recordings": [{"id": SONG, "title": "x"}]}
    service.routes[f"/ws/2/recording/{SONG}"] = recording()
    wanted = catalogue_record("t", "Night Boat", "Ada", isrc="GBABC1200034")
    assert [record.source_id for record in brainz.find(wanted)] == [SONG]
    assert len(service.asked) == 2 and clock.slept == [1.0]
    assert len(brainz.find(wanted)) == 1
    assert len(service.asked) == 2


def test_finds_by_search_when_the_isrc_is_unknown(service, brainz):
    service.routes["/ws/2/recording"] = {"count": 1, "offset": 0, "recordings": [{"id": SONG, "score": 100}]}
    service.routes[f"/ws/2/recording/{SONG}"] = recording()
    found = brainz.find(catalogue_record("t", 'Say "Boat" (Live)', "Ada feat. Ben", isrc="GBABC1299999"))
    assert len(found) == 1
    assert service.asked[0].path == "/ws/2/isrc/GBABC1299999"
    assert service.asked[1].query["query"] == 'recording:"say boat" AND artist:"Ada"'


def test_pages_of_an_artists_recordings(service, brainz, clock):
    everything = [recording(f"aaaaaaaa-0000-4000-8000-{number:012d}") for number in range(230)]

    def browse(asked):
        start = int(asked.query["offset"])
        page = everything[start : start + int(asked.query["limit"])]
        return {"recording-count": 230, "recording-offset": start, "recordings": page}

    service.routes["/ws/2/recording"] = browse
    assert len(list(brainz.recordings_of(ADA))) == 230
    assert [asked.query["offset"] for asked in service.asked] == ["0", "100", "200"]
    assert clock.slept == [1.0, 1.0]


def test_busy_as_documented(service, brainz, clock):
    busy = {"error": "Your requests are exceeding the allowable rate limit.", "help": "..."}
    service.routes[f"/ws/2/recording/{SONG}"] = [Reply(busy, 503, {"Retry-After": "4"}), Reply(recording())]
    assert brainz.recording(SONG) is not None
    assert clock.slept == [4.0]
    service.routes[f"/ws/2/recording/{ADA}"] = Reply(busy, 503)
    with pytest.raises(ServiceBusyError, match="musicbrainz"):
        brainz.recording(ADA)


def test_unknown_recording(service, brainz):
    assert brainz.recording(SONG) is None
    assert brainz.find(catalogue_record("t", "x", "y", musicbrainz_id=SONG)) == []


def test_artist_with_links_and_members(service, brainz):
    service.routes[f"/ws/2/artist/{BAND}"] = artist()
    record = brainz.artist(BAND)
    assert record is not None
    assert (record.kind, record.wikidata_id, record.discogs_id, record.deezer_id) == (Kind.GROUP, "Q42", "4242", "77")
    assert record.aliases == ("Band, The", "Bandet")
    assert record.members == (Member("Ada Moor", ADA, True), Member("Ben Ash", BEN, False), Member("Cy Orr", SONG))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("Person", "person"), ("Choir", "group"), ("Orchestra", "other"), ("Character", "other"), (None, "unknown")],
)
def test_kinds(kind, expected):
    assert parse_artist(person(ADA, "Ada", kind)).kind == expected


def test_two_pages_of_one_site_are_no_link():
    tree = person(ADA, "Ada") | {
        "relations": [
            {"type": "discogs", "url": {"resource": "https://www.discogs.com/artist/1"}},
            {"type": "discogs", "url": {"resource": "https://www.discogs.com/artist/2"}},
        ]
    }
    assert parse_artist(tree).discogs_id is None


@pytest.mark.parametrize("answer", ["<html>", "[]", {"id": SONG}, {"id": SONG, "title": "x", "artist-credit": [{}]}])
def test_answers_of_another_form(service, brainz, answer):
    service.routes[f"/ws/2/recording/{SONG}"] = Reply(answer)
    with pytest.raises(MalformedAnswerError):
        brainz.recording(SONG)


def test_dump_plain_compressed_and_as_published(tmp_path):
    lines = "".join(json.dumps(recording()) + "\n" for _ in range(3)).encode()
    (tmp_path / "plain.jsonl").write_bytes(lines)
    (tmp_path / "lines.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "lines.xz").write_bytes(lzma.compress(lines))
    with tarfile.open(tmp_path / "recording.tar.xz", "w:xz") as tar:
        for name, content in (("TIMESTAMP", b"2024-01-01"), ("mbdump/recording", lines)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    for name in ("plain.jsonl", "lines.gz", "lines.xz", "recording.tar.xz"):
        assert [record.source_id for record in read_recordings(tmp_path / name)] == [SONG] * 3


def test_dump_of_artists(tmp_path):
    (tmp_path / "artist").write_text(json.dumps(artist()))
    assert [record.name for record in read_artists(tmp_path / "artist")] == ["The Band"]


def test_dumps_that_are_damaged(tmp_path):
    lines = (json.dumps(recording()) + "\n").encode() * 50
    (tmp_path / "cut.gz").write_bytes(gzip.compress(lines)[:-20])
    (tmp_path / "cut.xz").write_bytes(lzma.compress(lines)[:-20])
    (tmp_path / "bad.jsonl").write_bytes(lines + b'{"id": \n')
    (tmp_path / "list.jsonl").write_text("[1]\n")
    with tarfile.open(tmp_path / "empty.tar.xz", "w:xz"):
        pass
    for name, said in (
        ("cut.gz", "to its end"),
        ("cut.xz", "to its end"),
        ("bad.jsonl", "line 51"),
        ("list.jsonl", "line 1"),
        ("empty.tar.xz", "mbdump"),
        ("none.gz", "none.gz"),
    ):
        with pytest.raises(MalformedAnswerError, match=said):
            list(read_recordings(tmp_path / name))
