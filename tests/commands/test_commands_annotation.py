"""The verb annotate, as people and programs call it: tags and dumps in, decisions out, and a preparation by them."""

from __future__ import annotations

import gzip
import io
import json
import re
import shlex
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.annotations.test_annotations_deezer import track as deezer_track
from tests.annotations.test_annotations_musicbrainz import ADA, BAND, BEN, person
from tests.annotations.test_annotations_wikidata import entity, results
from whosings.annotations.decision_tables import catalogue_of, read_decisions, read_singers
from whosings.annotations.records import Credit
from whosings.annotations.web import Answer, Web
from whosings.catalogue.manifest import Manifest, Track, read_manifest, write_manifest
from whosings.errors import ServiceBusyError

PAGE = Path(__file__).parents[2] / "docs/annotations.md"
RATE = 16_000
CODE = "GBABC1200034"
PEOPLE = {
    "Ada Moor": person(ADA, "Ada Moor"),
    "Ben Ash": person(BEN, "Ben Ash"),
    "The Band": person(BAND, "x", "Group"),
}
TAGS = {
    "boat.flac": ("Night Boat", "Ada Moor"),
    "day.flac": ("Day Boat", "Ada Moor"),
    "guest.flac": ("Fog (feat. Ben Ash)", "Ada Moor"),
    "band.flac": ("Harbour", "The Band"),
    "nobody.flac": ("Nothing", "No One Known"),
}
SOURCES = ("--musicbrainz-recordings", "recordings.jsonl", "--musicbrainz-artists", "artists.jsonl")


def recorded(number: int, title: str, *names: str, **more: object) -> dict[str, object]:
    """A recording of 12 seconds, as MusicBrainz' dump writes it."""
    credits = [{"name": name, "joinphrase": " & ", "artist": PEOPLE[name]} for name in names]
    mbid = f"bbbbbbbb-0000-4000-8000-{number:012d}"
    return {"id": mbid, "title": title, "length": 12_000, "artist-credit": credits, **more}


def write_lines(path: str, objects: Iterable[Mapping[str, Any]]) -> None:
    Path(path).write_text("".join(json.dumps(tree) + "\n" for tree in objects))


def write_tar(path: str, kind: str, objects: Iterable[Mapping[str, Any]]) -> None:
    """A dump as MusicBrainz publishes it."""
    lines = "".join(json.dumps(tree) + "\n" for tree in objects).encode()
    with tarfile.open(path, "w:xz") as tar:
        member = tarfile.TarInfo(f"mbdump/{kind}")
        member.size = len(lines)
        tar.addfile(member, io.BytesIO(lines))


RECORDINGS = [
    recorded(1, "Night Boat", "Ada Moor", isrcs=[CODE], **{"first-release-date": "2012-03"}),
    recorded(2, "Day Boat", "Ada Moor"),
    recorded(3, "Fog", "Ada Moor"),
    recorded(4, "Harbour", "The Band"),
]


@pytest.fixture
def call(tmp_path, monkeypatch, run):
    """``run`` in a folder that holds small dumps and a table of two tracks."""
    monkeypatch.chdir(tmp_path)
    write_lines("recordings.jsonl", RECORDINGS)
    write_lines("artists.jsonl", PEOPLE.values())
    Path("tracks.csv").write_text(
        f"track_id,title,artist,isrc,duration_s\n1,Night Boat,Ada Moor,{CODE},0:12\n2,Day Boat,Ada Moor,,12\n"
    )
    return run


@pytest.fixture
def songs(tmp_path, choir_folder: Path) -> Path:
    """Generated songs of twelve seconds with ``TAGS``, and one without any."""
    made = sorted((choir_folder / "songs").glob("*/*.flac"))
    folder = tmp_path / "songs"
    folder.mkdir()
    for (name, (title, artist)), song in zip(TAGS.items(), made, strict=False):
        samples, _ = soundfile.read(song)
        with soundfile.SoundFile(folder / name, "w", RATE, 1) as file:
            file.title, file.artist = title, artist
            file.write(samples)
    (folder / "untagged.flac").symlink_to(made[len(TAGS)])
    return folder


def reasons(path: str = "decisions.csv") -> dict[str, str]:
    return {track_id: str(decision.reason) for track_id, decision in read_decisions(path).items()}


# ---------------------------------------- from tags and tables to decisions


def test_a_tagged_folder_is_decided_on_and_prepared_by(call, songs: Path) -> None:
    code, out, err = call("annotate", "songs", "--out", "decisions.parquet", "--singers", "singers.csv", *SOURCES)
    assert code == 0, err
    assert "2 of 6 tracks with one lead singer; decisions.parquet, 2 singers in singers.csv" in out
    assert re.search(r"kept +solo +2 ", out) and re.search(r"dropped +no source +2 ", out)
    assert reasons("decisions.parquet") == {
        "boat.flac": "solo",
        "day.flac": "solo",
        "guest.flac": "feature",
        "band.flac": "band",
        "nobody.flac": "no source",
        "untagged.flac": "no source",
    }
    assert {singer.name for singer in read_singers("singers.csv")} == {"Ada Moor", "Ben Ash"}
    code, out, err = call("prepare", "songs", "--annotations", "decisions.parquet", "--min-vocal", 0, "--workers", 1)
    assert code == 0, err
    kept = read_manifest("prepared/manifest.parquet").tracks
    assert [(t.track_id, t.singer_id) for t in kept] == [(f"{n}.flac", f"musicbrainz:{ADA}") for n in ("boat", "day")]
    assert kept[0].release_date == "2012-03"


def test_a_table_of_titles_and_artists(call) -> None:
    code, out, _ = call("annotate", "tracks.csv", "--out", "decisions.csv", *SOURCES)
    assert code == 0 and "2 of 2 tracks" in out
    assert reasons() == {"1": "solo", "2": "solo"}
    assert read_decisions("decisions.csv")["1"].evidence == (
        "musicbrainz:bbbbbbbb-0000-4000-8000-000000000001 (by ISRC)",
    )


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_track_table_with_and_without_tagged_files(call, songs: Path, ending: str) -> None:
    """The file's artist comes before the table's singer, who stands in where there is no file."""
    tracks = (
        Track("t1", "somebody", songs / "boat.flac"),
        Track("t2", "Ada Moor", songs / "gone.flac", title="Day Boat"),
        Track("t3", "s0017", songs / "gone.flac", title="Day Boat"),
    )
    write_manifest(Manifest(tracks), f"songs.{ending}")
    code, _, err = call("annotate", f"songs.{ending}", "--out", "decisions.csv", *SOURCES)
    assert code == 0, err
    assert reasons() == {"t1": "solo", "t2": "solo", "t3": "no source"}


def test_ids_and_several_artists_are_read_from_tags(tmp_path: Path) -> None:
    def frame(name: str, text: str) -> bytes:
        content = b"\x00" + text.encode("latin-1")
        return name.encode() + len(content).to_bytes(4, "big") + b"\x00\x00" + content

    frames = b"".join([
        frame("TIT2", "Night Boat"), frame("TPE1", "Ada Moor\0Ben Ash"), frame("TSRC", "GB-ABC-12-00034"),
        frame("TXXX", "MusicBrainz Release Track Id\0" + BEN),
    ])  # fmt: skip
    size = bytes(len(frames) >> shift & 127 for shift in (21, 14, 7, 0))
    (tmp_path / "Some Folder").mkdir()
    (tmp_path / "Some Folder/boat.mp3").write_bytes(b"ID3\x03\x00\x00" + size + frames)
    (tmp_path / "Some Folder/Plain Song.mp3").write_bytes(b"no tags")
    plain, tagged = catalogue_of(tmp_path)
    assert (tagged.source_id, tagged.title, tagged.isrcs) == ("Some Folder/boat.mp3", "Night Boat", (CODE,))
    assert tagged.credits == (Credit("Ada Moor"), Credit("Ben Ash"))
    assert tagged.musicbrainz_id is None
    assert (plain.title, plain.credits, plain.duration_s) == ("Plain Song", (Credit("Some Folder"),), None)


def test_json(call) -> None:
    code, out, _ = call("annotate", "tracks.csv", "-o", "d.parquet", "--singers", "s.parquet", "--json", *SOURCES)
    assert code == 0
    assert json.loads(out) == {
        "decisions": "d.parquet",
        "singers": "s.parquet",
        "tracks": 2,
        "named": 1,
        "reasons": [{"outcome": "kept", "reason": "solo", "tracks": 2}],
        "failed": [],
    }


# ---------------------------------------- several sources


def test_sources_that_disagree(call) -> None:
    """Another singer drops a track, a guest sets it apart; where they agree, the singer has one id."""
    rows = [
        {"track": entity("Q9"), "trackLabel": "Night Boat", "performer": entity("Q3"), "performerLabel": "Ben Ash",
         "isrc": CODE},
    ]  # fmt: skip
    Path("wikidata-tracks.json").write_text(json.dumps(results(*rows)))
    singer = {"artist": entity("Q3"), "artistLabel": "Ben Ash", "human": "true", "sings": "true", "mbid": BEN}
    Path("wikidata-artists.json").write_text(json.dumps(results(singer)))
    write_lines("deezer.jsonl", [deezer_track(5, title="Day Boat", isrc="GBABC1200099", duration=12)])
    words = (
        "annotate", "tracks.csv", "-o", "decisions.csv", *SOURCES, "--wikidata-tracks", "wikidata-tracks.json",
        "--wikidata-artists", "wikidata-artists.json", "--deezer-tracks", "deezer.jsonl",
    )  # fmt: skip
    code, out, err = call(*words)
    assert code == 0, err
    assert "0 of 2 tracks with one lead singer" in out
    assert reasons() == {"1": "sources disagree", "2": "feature"}
    first, second = read_decisions("decisions.csv").values()
    assert "musicbrainz says Ada Moor" in first.explanation and "wikidata says Ben Ash" in first.explanation
    assert second.explanation.startswith("A guest is featured, says deezer: Ada Moor, Ben Ash")


def test_discogs_alone(call) -> None:
    release = (
        "<releases><release id='5'><title>Boats</title><artists><artist><id>70</id><name>Ada Moor (2)</name></artist>"
        "</artists><tracklist><track><position>A1</position><title>Night Boat</title><duration>0:12</duration></track>"
        "</tracklist></release></releases>"
    )
    artist = "<artists><artist><id>70</id><name>Ada Moor (2)</name><realname>Ada M.</realname></artist></artists>"
    Path("releases.xml.gz").write_bytes(gzip.compress(release.encode()))
    Path("artists.xml.gz").write_bytes(gzip.compress(artist.encode()))
    words = ("annotate", "tracks.csv", "-o", "decisions.csv", "--discogs-releases", "releases.xml.gz")
    assert call(*words, "--discogs-artists", "artists.xml.gz")[0] == 0
    assert reasons() == {"1": "solo", "2": "no source"}
    assert read_decisions("decisions.csv")["1"].singers[0].singer_id == "discogs:70"
    code, _, err = call(*words, "--discogs-artists", "releases.xml.gz")  # the wrong one of the two
    assert code == 1 and "releases.xml.gz: holds none of what is looked for" in err


def test_how_strict_to_be(call) -> None:
    words = ("annotate", "tracks.csv", "-o", "decisions.csv", "--musicbrainz-recordings", "recordings.jsonl")
    code, out, _ = call(*words)
    assert code == 0 and "2 tracks by artists of whom no source says that they are one person" in out
    assert set(reasons().values()) == {"unknown kind"}
    code, out, _ = call(*words, "--accept-unknown-kind")
    assert code == 0 and "2 of 2 tracks" in out
    assert call(*words, *SOURCES[2:], "--min-sources", 2)[0] == 0
    assert set(reasons().values()) == {"too few sources"}


# ---------------------------------------- what goes wrong


def damage(path: str) -> None:
    """Compressed lines whose second half is no longer what a packer wrote."""
    lines = b"".join(json.dumps(tree).encode() + b"\n" for tree in RECORDINGS)
    Path(path).write_bytes(gzip.compress(lines) + gzip.compress(lines)[:10] + b"\xff" * 100)


def test_a_damaged_dump_is_named_and_the_others_are_used(call) -> None:
    lines = json.dumps(deezer_track(5, title="Night Boat", duration=12)) + "\n{broken\n"
    Path("deezer.jsonl").write_text(lines)
    Path("wikidata.csv").write_bytes(b"artist,artistLabel\nhttp://www.wikidata.org/entity/Q1,\xff\xfe\n")
    words = ("annotate", "tracks.csv", "-o", "decisions.csv", *SOURCES, "--deezer-tracks", "deezer.jsonl", "--json")
    code, out, err = call(*words, "--wikidata-artists", "wikidata.csv")
    found = json.loads(out)
    assert code == 1 and "2 failures" in err and "Traceback" not in err
    assert found["failed"][0] == "deezer.jsonl: line 2 is not JSON; download the dump again."
    assert found["failed"][1].startswith("wikidata.csv: is not CSV")
    assert found["decisions"] == "decisions.csv"
    assert reasons() == {"1": "solo", "2": "solo"}, "the guest of the damaged dump's whole line is not used either"


def test_nothing_is_written_when_no_dump_of_tracks_is_whole(call) -> None:
    damage("recordings.gz")
    Path("decisions.csv").write_text("what was there")
    words = ("annotate", "tracks.csv", "-o", "decisions.csv", "--musicbrainz-recordings", "recordings.gz")
    code, out, err = call(*words, *SOURCES[2:])
    assert code == 1 and out == "" and "recordings.gz: cannot be read to its end" in err
    code, out, _ = call(*words, "--json")
    assert code == 1 and json.loads(out)["decisions"] is None and len(json.loads(out)["failed"]) == 1
    assert Path("decisions.csv").read_text() == "what was there"


def test_a_line_of_another_form_names_the_file(call) -> None:
    code, _, err = call("annotate", "tracks.csv", "-o", "d.csv", "--musicbrainz-recordings", "artists.jsonl")
    assert code == 1 and "artists.jsonl: a recording lacks 'artist-credit'; check the format." in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tracks.csv", "-o", "d.csv"], "annotate: is given no source that knows tracks"),
        (["tracks.csv", "-o", "d.csv", *SOURCES[2:]], "is given no source that knows tracks"),
        (["tracks.csv", "-o", "d.csv", "--live"], "--live: asks services that want to know who asks"),
        (["tracks.csv", "-o", "d.csv", "--live", "--contact", "me"], "is neither an e-mail address nor a web page"),
        (["tracks.csv", "-o", "d.csv", "--deezer-tracks", "gone.jsonl"], "gone.jsonl: no such file"),
        (["gone.csv", "-o", "d.csv", *SOURCES], "gone.csv: no such file"),
        ([".", "-o", "d.csv", *SOURCES], "holds no audio files"),
        (["artists.jsonl", "-o", "d.csv", *SOURCES], "artists.jsonl: has the ending .jsonl"),
        (["tracks.csv", "-o", "d.json", *SOURCES], "d.json: has the ending .json; use .parquet or .csv"),
    ],
)
def test_wrong_input_is_one_sentence(call, words: list[str], says: str) -> None:
    code, _, err = call("annotate", *words)
    assert code == 1 and says in err and len(err.strip().splitlines()) == 1
    assert not Path("d.csv").exists()


@pytest.mark.parametrize("words", [["-o", "tracks.csv"], ["-o", "d.csv", "--singers", "d.csv"]])
def test_inputs_are_not_overwritten(call, words: list[str]) -> None:
    before = Path("tracks.csv").read_text()
    code, _, err = call("annotate", "tracks.csv", *words, *SOURCES)
    assert code == 2 and "would be overwritten" in err
    assert Path("tracks.csv").read_text() == before and not Path("d.csv").exists()


def test_an_option_without_effect_is_refused(call) -> None:
    code, _, err = call("annotate", "tracks.csv", "-o", "d.csv", "--contact", "me@example.org", *SOURCES)
    assert code == 2 and "--contact changes nothing for dumps; it counts for --live" in err


# ---------------------------------------- live, without a network


def answers(monkeypatch: pytest.MonkeyPatch, known: Mapping[str, Any]) -> list[str]:
    """Answer by the first piece of an address that is known, and else that there is nothing; what was asked."""
    asked: list[str] = []
    nothing = {"results": {"bindings": []}, "data": [], "count": 0, "recordings": []}

    def ask(self: Web, url: str, *_: object, **__: object) -> Answer:
        asked.append(url)
        found = next((answer for piece, answer in known.items() if piece in url), nothing)
        if isinstance(found, Exception):
            raise found
        return Answer(200, {"Content-Type": "application/sparql-results+json"}, json.dumps(found).encode(), False)

    monkeypatch.setattr(Web, "ask", ask)
    return asked


KNOWN = {f"artist/{ADA}": PEOPLE["Ada Moor"], **{f"recording/{tree['id']}": tree for tree in RECORDINGS}}
LIVE = ("annotate", "tracks.csv", "-o", "decisions.csv", "--live", "--contact", "tests@example.org")


def test_live_with_a_dump(call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dump brings the recordings, the services their artists."""
    asked = answers(monkeypatch, {**KNOWN, "deezer.com/track": {"error": {"code": 800}}})
    code, out, err = call(*LIVE, *SOURCES[:2])
    assert code == 0, err
    assert "2 of 2 tracks" in out and Path("annotation-cache/deezer.sqlite").exists()
    assert any(f"track/isrc:{CODE}" in url for url in asked)
    assert not any("discogs" in url for url in asked), "Discogs is not searched without a token"


def test_an_answer_of_another_form_costs_only_itself(call, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, {**KNOWN, "deezer.com/track": {"strange": 1}})
    code, _, err = call(*LIVE, *SOURCES[:2], "--cache", "kept")
    assert code == 1 and "1 failure" in err and "  1 (deezer): " in err
    assert reasons() == {"1": "solo", "2": "solo"} and Path("kept").is_dir()


def test_a_service_that_fails_ends_the_work_before_anything_is_written(call, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, {"musicbrainz": ServiceBusyError("musicbrainz", "is busy", "try again later")})
    code, _, err = call(*LIVE)
    assert code == 1 and err.strip() == "musicbrainz: is busy; try again later."
    assert not Path("decisions.csv").exists()


def test_the_commands_of_the_page(call, songs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, KNOWN)
    write_tar("recording.tar.xz", "recording", RECORDINGS)
    write_tar("artist.tar.xz", "artist", PEOPLE.values())
    commands = re.findall(r"^\$ whosings (.*)", PAGE.read_text(), re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        more = ("--min-vocal", 0, "--workers", 1) if command.startswith("prepare") else ()
        code, out, err = call(*shlex.split(command), *more)
        assert code == 0, (out, err)
    assert len(read_manifest("prepared/manifest.parquet").tracks) == 2
