from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Iterator

import pytest

from tests.annotation_service import FakeClock, Reply, settings
from whosings.annotations.decision_tables import catalogue_record
from whosings.annotations.discogs import Discogs, parse_artist, parse_release, read_artists, read_tracks
from whosings.annotations.records import Credit, CreditRole, Kind, Member
from whosings.errors import MalformedAnswerError, ServiceBusyError, ServiceRefusalError


def person(id_: int, name: str, role: str = "", tracks: str = "", join: str = "") -> dict[str, object]:
    return {"id": id_, "name": name, "anv": "", "join": join, "role": role, "tracks": tracks, "resource_url": ""}


def release(id_: int = 500) -> dict[str, object]:
    return {
        "id": id_, "title": "Boats", "year": 2012, "released": "2012-03-00", "status": "Accepted",
        "artists": [person(70, "Ada Moor (2)")],
        "extraartists": [
            person(71, "Ben Ash", "Backing Vocals, Guitar [Acoustic, Electric]", "A1 to B1"),
            person(72, "Cy Orr", "Producer"),
            person(73, "Dee", "Vocals [Additional]", "B1"),
        ],
        "tracklist": [
            {"position": "", "type_": "heading", "title": "Side A", "duration": ""},
            {"position": "A1", "type_": "track", "title": "Night Boat", "duration": "3:21",
             "extraartists": [person(70, "Ada Moor (2)", "Lead Vocals")]},
            {"position": "A2", "type_": "track", "title": "Day Boat", "duration": "",
             "artists": [person(70, "Ada Moor (2)", join="Feat."), person(74, "Eve*")]},
            {"position": "", "type_": "index", "title": "Medley", "sub_tracks": [
                {"position": "B1", "type_": "track", "title": "Part One", "duration": "1:02:03",
                 "extraartists": [person(75, "Fay", "Featuring"), person(76, "Gus", "Remix, Mixed By")]},
            ]},
            {"position": "B2", "type_": "track", "title": "Night Train", "duration": "2:00"},
        ],
    }  # fmt: skip


XML = """<releases>
<release id="500" status="Accepted"><images/><artists><artist><id>70</id><name>Ada Moor (2)</name><anv></anv>
<join></join><role></role><tracks></tracks></artist></artists><title>Boats</title><released>2012-03-00</released>
<extraartists>
<artist><id>71</id><name>Ben Ash</name><role>Backing Vocals, Guitar [Acoustic, Electric]</role><tracks>A1 to B1</tracks>
</artist><artist><id>72</id><name>Cy Orr</name><role>Producer</role></artist>
<artist><id>73</id><name>Dee</name><role>Vocals [Additional]</role><tracks>B1</tracks></artist></extraartists>
<tracklist>
<track><position></position><title></title><duration></duration></track>
<track><position>A1</position><title>Night Boat</title><duration>3:21</duration><extraartists>
<artist><id>70</id><name>Ada Moor (2)</name><role>Lead Vocals</role></artist></extraartists></track>
<track><position>A2</position><title>Day Boat</title><duration></duration><artists>
<artist><id>70</id><name>Ada Moor (2)</name><join>Feat.</join></artist><artist><id>74</id><name>Eve*</name></artist>
</artists></track>
<track><position></position><title>Medley</title><sub_tracks><track><position>B1</position><title>Part One</title>
<duration>1:02:03</duration><extraartists><artist><id>75</id><name>Fay</name><role>Featuring</role></artist>
<artist><id>76</id><name>Gus</name><role>Remix, Mixed By</role></artist></extraartists></track></sub_tracks></track>
<track><position>B2</position><title>Night Train</title><duration>2:00</duration></track>
</tracklist></release>
</releases>
"""


@pytest.fixture
def discogs(service, tmp_path, clock) -> Iterator[Discogs]:
    discogs = Discogs(settings(tmp_path), "t0ken", address=service.address, clock=clock)
    yield discogs
    discogs.close()


def test_release_with_roles(service, discogs):
    service.routes["/releases/500"] = release()
    first, second, third, fourth = discogs.release("500")
    assert (first.source_id, first.title, first.duration_s) == ("500-A1", "Night Boat", 201.0)
    assert (first.release_title, first.release_date) == ("Boats", "2012-03")
    assert first.credits == (
        Credit("Ada Moor", CreditRole.MAIN, "70"),
        Credit("Ada Moor", CreditRole.LEAD_VOCALS, "70"),
        Credit("Ben Ash", CreditRole.BACKING_VOCALS, "71"),
    )
    assert second.credits[:2] == (Credit("Ada Moor", CreditRole.MAIN, "70"), Credit("Eve", CreditRole.FEATURED, "74"))
    assert second.duration_s is None
    assert (third.title, third.duration_s) == ("Part One", 3723.0)
    assert third.credits == (
        Credit("Ada Moor", CreditRole.MAIN, "70"),
        Credit("Fay", CreditRole.FEATURED, "75"),
        Credit("Gus", CreditRole.REMIXER, "76"),
        Credit("Ben Ash", CreditRole.BACKING_VOCALS, "71"),
        Credit("Dee", CreditRole.BACKING_VOCALS, "73"),
    )
    assert fourth.credits == (Credit("Ada Moor", CreditRole.MAIN, "70"),)


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        *((role, CreditRole.LEAD_VOCALS) for role in (
            "Vocals", "Lead Vocals", "Rap", "MC", "Toasting", "Scat", "Voice", "Solo Vocal", "Soprano Vocals",
            "Vocals [All Songs]", "Lead Vocals [Uncredited]", "Guitar, Vocals", "Yodeling",
        )),
        *((role, CreditRole.BACKING_VOCALS) for role in (
            "Backing Vocals", "Harmony Vocals", "Choir", "Chorus", "Human Beatbox", "Vocals [Backing]",
            "Vocals [Additional]", "Vocals [Choir]",
        )),
        *((role, None) for role in (
            "Vocal Coach", "Vocal Arrangement", "Voice Actor", "Vocal Producer", "Vocal Editor", "Narrator",
            "Spoken Word", "Vocals [Spoken Word]", "Choirmaster", "Chorus Master", "Speech", "Dialogue",
            "Recorded By [Vocals]", "Producer [Vocal Producer]", "Vocoder", "Talkbox", "Performer",
        )),
    ],
)  # fmt: skip
def test_roles_of_discogs_list(role, expected):
    tree = {"id": 1, "title": "x", "tracklist": [{"title": "y", "extraartists": [person(7, "Ada", role)]}]}
    (track,) = parse_release(tree)
    assert [credit.role for credit in track.credits] == ([] if expected is None else [expected])


def test_search_takes_like_titles_of_the_first_releases(service, discogs):
    def search(asked):
        page = int(asked.query["page"])
        results = [{"id": 500 + page, "type": "release", "title": "Ada Moor - Boats"}]
        return {"pagination": {"page": page, "pages": 9, "per_page": 1, "items": 9, "urls": {}}, "results": results}

    service.routes["/database/search"] = search
    service.routes.update({f"/releases/{id_}": release(id_) for id_ in range(500, 510)})
    wanted = catalogue_record("t", "Night Boat (Remastered)", "Ada Moor feat. X")
    found = discogs.find(wanted, limit=2)
    assert [record.source_id for record in found] == ["501-A1", "502-A1"]
    query = service.asked[0].query
    assert (query["type"], query["artist"], query["track"]) == ("release", "Ada Moor", "night boat")
    assert service.asked[0].headers["Authorization"] == "Discogs token=t0ken"
    before = len(service.asked)
    assert discogs.find(wanted, limit=2) == found and len(service.asked) == before


def test_without_a_token_nothing_is_searched(service, tmp_path):
    discogs = Discogs(settings(tmp_path), address=service.address, clock=FakeClock())
    assert discogs.find(catalogue_record("t", "Night Boat", "Ada Moor")) == []
    service.routes["/releases/500"] = release()
    assert len(discogs.release("500")) == 4
    assert [asked.path for asked in service.asked] == ["/releases/500"]
    assert "Authorization" not in service.asked[0].headers


def test_artists(service, discogs):
    service.routes["/artists/80"] = {
        "id": 80, "name": "The Band (3)", "namevariations": ["Band"], "urls": [],
        "members": [{"id": 70, "name": "Ada Moor (2)", "active": True}],
    }  # fmt: skip
    record = discogs.artist("80")
    assert record is not None
    assert (record.name, record.kind, record.aliases) == ("The Band", Kind.GROUP, ("Band",))
    assert record.members == (Member("Ada Moor", "70"),)
    assert discogs.artist("81") is None and discogs.release("81") == ()
    assert parse_artist({"id": 1, "name": "x", "realname": "X Y"}).kind is Kind.PERSON
    assert parse_artist({"id": 1, "name": "x"}).kind is Kind.UNKNOWN


def test_quota_used_up_closes_the_minute(service, discogs, clock):
    service.routes["/releases/500"] = Reply(release(), headers={"X-Discogs-Ratelimit-Remaining": "0"})
    service.routes["/releases/501"] = release(501)
    discogs.release("500")
    assert clock.slept == []
    discogs.release("501")
    assert clock.slept == [60.0]


def test_too_many_requests(service, discogs, clock):
    busy = {"message": "You are making requests too quickly."}
    service.routes["/releases/500"] = [Reply(busy, 429, {"Retry-After": "9"}), Reply(release())]
    assert len(discogs.release("500")) == 4 and clock.slept == [9.0]
    service.routes["/releases/501"] = Reply(busy, 429)
    with pytest.raises(ServiceBusyError, match="discogs"):
        discogs.release("501")


def test_bad_token(service, discogs):
    service.routes["/database/search"] = Reply({"message": "Invalid consumer token."}, 401)
    with pytest.raises(ServiceRefusalError, match="Invalid consumer token"):
        discogs.find(catalogue_record("t", "a", "b"))


@pytest.mark.parametrize("answer", ["<html>", "[]", {"id": 500, "tracklist": [{"title": "x"}]}])
def test_answers_of_another_form(service, discogs, answer):
    service.routes["/releases/500"] = Reply(answer)
    with pytest.raises(MalformedAnswerError):
        discogs.release("500")


def test_dump_says_the_same_as_the_api(tmp_path):
    (tmp_path / "releases.xml").write_text(XML)
    (tmp_path / "releases.xml.gz").write_bytes(gzip.compress(XML.encode()))
    expected = parse_release(release())
    assert tuple(read_tracks(tmp_path / "releases.xml")) == expected
    assert tuple(read_tracks(tmp_path / "releases.xml.gz")) == expected


@pytest.mark.parametrize("ids", ["<id>70</id>", ""])
def test_dump_of_artists_old_and_new(tmp_path, ids):
    path = tmp_path / "artists.xml"
    path.write_text(
        f"<artists><artist><id>80</id><name>The Band</name><members>{ids}<name id='70'>Ada</name></members></artist>"
        "<artist><id>70</id><name>Ada</name><groups><name id='80'>The Band</name></groups>"
        "<namevariations><name>A.</name></namevariations></artist></artists>"
    )
    band, ada = read_artists(path)
    assert band.members == (Member("Ada", "70"),)
    assert (ada.kind, ada.aliases) == (Kind.PERSON, ("A.",))


def test_dump_is_read_in_bounded_memory(tmp_path):
    one = XML.removeprefix("<releases>\n").removesuffix("</releases>\n")

    def peak(count: int) -> int:
        path = tmp_path / f"{count}.xml.gz"
        with gzip.open(path, "wt", compresslevel=1) as file:
            file.write("<releases>" + one * count + "</releases>")
        tracemalloc.start()
        assert sum(1 for _ in read_tracks(path)) == 4 * count
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(300) < peak(60) + 200_000


def test_dump_cut_short(tmp_path):
    path = tmp_path / "releases.xml"
    path.write_text(XML[:-30])
    with pytest.raises(MalformedAnswerError, match="whole XML"):
        list(read_tracks(path))
