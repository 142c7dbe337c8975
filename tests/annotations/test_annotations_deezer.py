from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.annotation_service import Reply, settings
from whosings.annotations.decision_tables import catalogue_record
from whosings.annotations.deezer import PACE, Deezer, parse_track, read_tracks
from whosings.annotations.records import Credit, CreditRole, Source
from whosings.errors import MalformedAnswerError, ServiceBusyError, ServiceRefusalError

NO_DATA = {"error": {"type": "DataException", "message": "no data", "code": 800}}
TOO_FAST = {"error": {"type": "Exception", "message": "Quota limit exceeded", "code": 4}}


def track(id_: int, **more: object) -> dict[str, object]:
    return {
        "id": id_, "readable": True, "title": "Night Boat (feat. Ben Ash)", "title_short": "Night Boat",
        "isrc": "GBABC1200034", "duration": 201, "release_date": "2012-03-04", "type": "track",
        "contributors": [
            {"id": 7, "name": "Ada Moor", "type": "artist", "role": "Main"},
            {"id": 8, "name": "Ben Ash", "type": "artist", "role": "Featured"},
        ],
        "artist": {"id": 7, "name": "Ada Moor", "type": "artist"},
        "album": {"id": 70, "title": "Boats", "type": "album"},
        **more,
    }  # fmt: skip


@pytest.fixture
def deezer(service, tmp_path, clock) -> Iterator[Deezer]:
    deezer = Deezer(settings(tmp_path), address=service.address, clock=clock)
    yield deezer
    deezer.close()


def test_track_by_isrc(service, deezer):
    service.routes["/track/isrc:GBABC1200034"] = track(1)
    wanted = catalogue_record("t", "Night Boat", "Ada Moor", isrc="gb-abc-12-00034")
    [record] = deezer.find(wanted)
    assert (record.source, record.source_id, record.title) == (Source.DEEZER, "1", "Night Boat (feat. Ben Ash)")
    assert record.credits == (Credit("Ada Moor", CreditRole.MAIN, "7"), Credit("Ben Ash", CreditRole.FEATURED, "8"))
    assert (record.isrcs, record.duration_s, record.release_date) == (("GBABC1200034",), 201.0, "2012-03-04")
    assert record.release_title == "Boats"
    assert deezer.find(wanted) == [record]
    assert len(service.asked) == 1
    assert "whosings/" in service.asked[0].headers["User-Agent"]


def test_search_follows_pages_and_fetches_whole_tracks(service, deezer):
    def search(asked):
        start = int(asked.query.get("index", 0))
        hits = [{"id": id_, "title": "Night Boat", "type": "track"} for id_ in (1, 2, 3, 4)][start : start + 2]
        following = f"{service.address}/search?q=x&index={start + 2}" if start < 2 else None
        return {"data": hits, "total": 4, **({"next": following} if following else {})}

    service.routes["/search/"] = service.routes["/search"] = search
    for id_ in (1, 2, 3, 4):
        service.routes[f"/track/{id_}"] = track(id_)
    found = deezer.find(catalogue_record("t", 'Night "Boat"', "Ada Moor feat. Ben Ash"), limit=3)
    assert [record.source_id for record in found] == ["1", "2", "3"]
    assert service.asked[0].query["q"] == 'artist:"Ada Moor" track:"night boat"'
    assert len(service.asked) == 5


def test_an_unknown_isrc_leads_to_a_search(service, deezer):
    service.routes["/track/isrc:GBABC1200034"] = NO_DATA
    service.routes["/search/"] = service.routes["/search"] = {"data": [], "total": 0}
    assert deezer.find(catalogue_record("t", "Night Boat", "Ada Moor", isrc="GBABC1200034")) == []
    assert len(service.asked) == 2


@pytest.mark.parametrize("reply", [Reply(NO_DATA), Reply("gone", 404)])
def test_what_is_unknown_is_none(service, deezer, reply):
    service.routes["/artist/9"] = reply
    assert deezer.artist("9") is None


def test_artist(service, deezer):
    service.routes["/artist/7"] = {"id": 7, "name": "Ada Moor", "nb_album": 3, "type": "artist"}
    record = deezer.artist("7")
    assert record is not None and (record.name, record.deezer_id, record.kind) == ("Ada Moor", "7", "unknown")


def test_quota_with_status_200_is_waited_out_and_not_cached(service, deezer, clock):
    service.routes["/track/1"] = [Reply(TOO_FAST), Reply(TOO_FAST), Reply(track(1))]
    record = deezer.track("1")
    assert record is not None and record.source_id == "1"
    assert len(clock.slept) == 2
    assert deezer.track("1") == record and len(service.asked) == 3


def test_quota_for_good(service, deezer):
    service.routes["/track/1"] = TOO_FAST
    with pytest.raises(ServiceBusyError, match="quota"):
        deezer.track("1")


def test_other_errors_are_refusals(service, deezer):
    service.routes["/track/1"] = {"error": {"type": "ParameterException", "message": "Wrong parameter", "code": 500}}
    with pytest.raises(ServiceRefusalError, match="Wrong parameter"):
        deezer.track("1")


@pytest.mark.parametrize("answer", ["<html>", "[1]", '{"id": 1, "type": "track", "title": "x"}', '{"x": 1}'])
def test_answers_of_another_form(service, deezer, answer):
    service.routes["/track/1"] = answer
    with pytest.raises(MalformedAnswerError):
        deezer.track("1")


def test_keeps_fifty_requests_in_five_seconds(service, deezer, clock):
    service.routes.update({f"/artist/{i}": {"id": i, "name": "x", "type": "artist"} for i in range(60)})
    for i in range(60):
        deezer.artist(str(i))
    assert (PACE.requests, PACE.seconds) == (50, 5.0)
    assert clock.slept == [5.0]


def test_tracks_kept_as_lines(tmp_path):
    path = tmp_path / "deezer.jsonl"
    path.write_text(json.dumps(track(1)) + "\n\n" + json.dumps(track(2, contributors=[])) + "\n")
    first, second = read_tracks(path)
    assert first.credits[1].role is CreditRole.FEATURED
    assert second.credits == (Credit("Ada Moor", CreditRole.MAIN, "7"),)
    with pytest.raises(MalformedAnswerError, match="artist"):
        parse_track({"id": 1, "title": "x"})
