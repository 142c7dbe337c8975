"""Made dumps with the quirks of real ones: what is passed over changes no record, no match and no decision."""

from __future__ import annotations

import json
import lzma
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import joins_before as plain  # noqa: E402
import made_dumps  # noqa: E402

sys.path.remove(str(BENCHMARKS))

from whosings.annotations import discogs, musicbrainz  # noqa: E402
from whosings.annotations.artist_shelf import ArtistShelf  # noqa: E402
from whosings.annotations.artists import ArtistBook  # noqa: E402
from whosings.annotations.decision_tables import catalogue_record, read_catalogue, write_decisions  # noqa: E402
from whosings.annotations.matching import TrackIndex  # noqa: E402
from whosings.annotations.reconcile import reconcile  # noqa: E402
from whosings.annotations.records import ArtistKey, ArtistRecord, Kind, Member, Source, TrackRecord  # noqa: E402
from whosings.annotations.track_keys import KeySketch, keys_of, keys_said  # noqa: E402
from whosings.errors import MalformedAnswerError  # noqa: E402


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> made_dumps.Dumps:
    return made_dumps.make(tmp_path_factory.mktemp("dumps"), made_dumps.World(6_000, 2_500, seed=3), 300)


def test_made_dumps_have_the_quirks_of_real_ones(dumps: made_dumps.Dumps) -> None:
    records = list(plain.recordings(dumps.recordings))
    assert {len(record.credits) for record in records} >= {1, 2, 3, 4, 5}
    assert any(record.duration_s is None for record in records) and any(not r.isrcs for r in records)
    assert any(any(ord(letter) > 0x3000 for letter in record.title) for record in records)
    assert {"[unknown]", "Various Artists"} <= {record.credits[0].name for record in records}
    assert max(map(len, dumps.recording_lines.read_bytes().splitlines())) > 100_000
    artists = list(plain.artists(dumps.artists))
    assert len({record.name for record in artists}) < len(artists)
    assert any(record.members for record in artists) and {record.kind for record in artists} == set(Kind)
    assert any("&" in record.name for record in plain.discogs_artists(dumps.discogs_artists))


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    one, two = (made_dumps.make(tmp_path / name, made_dumps.World(60, 30), 10) for name in "ab")
    assert [path.read_bytes() for path in one.paths if path.suffix != ".gz"] == [
        path.read_bytes() for path in two.paths if path.suffix != ".gz"
    ]


def test_wanted_fields_make_the_same_records(dumps: made_dumps.Dumps) -> None:
    assert list(musicbrainz.read_recordings(dumps.recordings)) == list(plain.recordings(dumps.recordings))
    assert list(musicbrainz.read_artists(dumps.artists)) == list(plain.artists(dumps.artists))
    assert list(discogs.read_tracks(dumps.discogs_releases)) == list(plain.discogs_tracks(dumps.discogs_releases))
    assert list(discogs.read_artists(dumps.discogs_artists)) == list(plain.discogs_artists(dumps.discogs_artists))


def test_decisions_are_the_same(dumps: made_dumps.Dumps, tmp_path: Path) -> None:
    index, before = TrackIndex(tmp_path / "tracks"), plain.PlainIndex(tmp_path / "plain")
    for one in (index, before):
        one.add(read_catalogue(dumps.catalogue))
    index.add(musicbrainz.read_recordings(dumps.recordings, index.may_match), only_related=True)
    index.add(discogs.read_tracks(dumps.discogs_releases, index.may_match), only_related=True)
    before.add(plain.recordings(dumps.recordings), only_related=True)
    before.add(plain.discogs_tracks(dumps.discogs_releases), only_related=True)
    for source in (Source.MUSICBRAINZ, Source.DISCOGS):
        assert list(index.of(source)) == list(before.of(source))
        assert 0 < sum(1 for _ in index.of(source)) < 3_000
    with ArtistShelf() as shelf:
        shelf.add(musicbrainz.read_artists(dumps.artists))
        shelf.add(discogs.read_artists(dumps.discogs_artists))
        book = ArtistBook(shelf.related(index.artists()))
    whole = ArtistBook(chain(plain.artists(dumps.artists), plain.discogs_artists(dumps.discogs_artists)))
    assert len(book) < len(whole)
    made = write_decisions(reconcile(index, book), tmp_path / "new.csv")
    write_decisions(reconcile(before, whole), tmp_path / "old.csv")
    assert len(made.counts) > 8
    assert (tmp_path / "new.csv").read_bytes() == (tmp_path / "old.csv").read_bytes()


def test_readers_ask_with_every_key_that_the_record_will_have(dumps: made_dumps.Dumps) -> None:
    for read, path in (
        (musicbrainz.read_recordings, dumps.recordings),
        (discogs.read_tracks, dumps.discogs_releases),
    ):
        asked: list[set[str]] = []
        records = list(read(path, lambda said, asked=asked: asked.append(keys_said(said)) or True))  # type: ignore
        assert len(records) == len(asked) > 5_000
        assert all(keys_of(record) <= keys for record, keys in zip(records, asked, strict=True))


def test_a_track_may_be_related_by_the_one_before_it_on_its_release(tmp_path: Path) -> None:
    def person(number: int, name: str, join: str = "") -> str:
        return f"<artist><id>{number}</id><name>{name}</name><join>{join}</join></artist>"

    path = tmp_path / "releases.xml"
    path.write_text(
        "<releases><release id='1'><title>x</title><tracklist>"
        f"<track><position>1</position><title>Night Boat</title><artists>{person(1, 'Ada', 'feat.')}{person(2, 'Ben')}"
        "</artists></track>"
        f"<track><position>2</position><title>Nightfall</title><artists>{person(2, 'Ben')}</artists></track>"
        f"<track><position>3</position><title>Other</title><artists>{person(2, 'Ben')}</artists></track>"
        "</tracklist></release></releases>"
    )
    index = TrackIndex()
    index.add([catalogue_record("t", "Night Boat", "Ada")])
    assert index.add(discogs.read_tracks(path, index.may_match), only_related=True) == 2


def test_an_index_that_is_opened_again_passes_over_nothing_that_it_knows(
    dumps: made_dumps.Dumps, tmp_path: Path
) -> None:
    with_all = TrackIndex(tmp_path / "tracks")
    with_all.add(read_catalogue(dumps.catalogue))
    with_all.close()
    again = TrackIndex(tmp_path / "tracks")
    added = again.add(musicbrainz.read_recordings(dumps.recordings, again.may_match), only_related=True)
    before = plain.PlainIndex()
    before.add(read_catalogue(dumps.catalogue))
    assert added == before.add(plain.recordings(dumps.recordings), only_related=True) > 100


def test_a_failed_dump_leaves_nothing_in_the_index(dumps: made_dumps.Dumps, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar.xz"
    cut.write_bytes(dumps.recordings.read_bytes()[:-5_000])
    index = TrackIndex()
    index.add(read_catalogue(dumps.catalogue))
    with pytest.raises(MalformedAnswerError, match="to its end"):
        index.add(musicbrainz.read_recordings(cut, index.may_match), only_related=True)
    assert list(index.of(Source.MUSICBRAINZ)) == []
    index.add([TrackRecord(Source.DEEZER, "1", "x", ())])
    assert len(index.matches(next(iter(index.of(Source.CATALOGUE))))) == 1


LINE = {"id": "a", "title": "t", "artist-credit": [{"name": "n", "artist": {"id": "b"}}]}


@pytest.mark.parametrize(
    "text",
    [
        '{"length": NaN, ',
        '{"length": true, ',
        '{"length": [1], ',
        '{"length": "3:20", ',
        '{"length": 12345678901234567890123, ',
        '{"isrcs": ["GBABC1200034", 7, null], ',
        '{"isrcs": {"GBABC1200034": 1}, ',
        '{"relations": [{"type": "vocal", "attributes": null, "artist": {"id": "c", "name": "v"}}], ',
        '{"relations": [{"type": "vocal", "artist": null}], ',
        '{"relations": [{"type": 3, "artist": {"id": "c"}}], ',
        '{"relations": [{"type": "vocal", "artist": {"id": "c"}}], ',
        '{"first-release-date": 1987, ',
        '{"first-release-date": "1987-02-00", "length": 1e3, "unknown": {"deep": [{}]}, ',
        '{"id": 7, "tags": "\\ud800", ',
        '{"title": null, ',
        '{"artist-credit": [{"name": "n", "joinphrase": null, "artist": {"id": 5}}], "x": ',
        '{"x": {"id": 1}}',
        '{"x": ',
        "[]",
        "7",
    ],
)
def test_lines_of_another_form_are_read_as_before(tmp_path: Path, text: str) -> None:
    line = text + json.dumps(LINE)[1:] if text.endswith(", ") else text + "1}" if text.endswith(": ") else text
    path = tmp_path / "recording"
    path.write_text(line + "\n \n")

    def plainly() -> list[TrackRecord]:
        tree = json.loads(line)
        if not isinstance(tree, dict):
            raise MalformedAnswerError(path, "line 1 is not an object", "")
        return [musicbrainz.parse_recording(tree)]

    for may_match in (None, lambda said: True):
        try:
            expected = plainly()
        except MalformedAnswerError as error:
            with pytest.raises(MalformedAnswerError) as caught:
                list(musicbrainz.read_recordings(path, may_match))
            assert caught.value.problem == error.problem
        else:
            assert list(musicbrainz.read_recordings(path, may_match)) == expected


def test_damage_is_told_with_its_line_or_changes_nothing_that_is_read(dumps: made_dumps.Dumps, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = dumps.recording_lines.read_bytes().splitlines(keepends=True)[:400]
    for trial in range(120):
        number = int(rng.integers(len(lines)))
        damaged = bytearray(lines[number])
        damaged[rng.integers(len(damaged) - 1)] = rng.choice(list(b'"{}[],:\\x\x00\xff'))
        path = tmp_path / f"{trial}"
        path.write_bytes(b"".join([*lines[:number], bytes(damaged), *lines[number + 1 :]]))
        try:
            tree = json.loads(bytes(damaged))
        except ValueError:
            tree = None
        if tree is None:
            try:
                assert len(list(musicbrainz.read_recordings(path))) == len(lines)
            except MalformedAnswerError as error:
                assert f"line {number + 1} " in error.problem
        elif isinstance(tree, dict):
            try:
                expected = musicbrainz.parse_recording(tree)
            except MalformedAnswerError:
                with pytest.raises(MalformedAnswerError):
                    list(musicbrainz.read_recordings(path))
            else:
                assert list(musicbrainz.read_recordings(path))[number] == expected


def test_xml_that_is_no_dump(tmp_path: Path) -> None:
    path = tmp_path / "releases.xml"
    for text, said in (
        ("", "whole XML"),
        ("<releases>", "whole XML"),
        ("<releases><release id='1'><title>x</release></releases>", "whole XML"),
        ("<!DOCTYPE r [<!ENTITY a 'b'>]><releases><release id='1'><title>&a;</title></release></releases>", "type"),
    ):
        path.write_text(text)
        with pytest.raises(MalformedAnswerError, match=said):
            list(discogs.read_tracks(path))
    path.write_text("<!-- made --><releases><!-- x --><label><release id='2'/></label></releases>")
    assert list(discogs.read_tracks(path)) == []


def test_archive_that_is_cut_within_its_lines(tmp_path: Path, dumps: made_dumps.Dumps) -> None:
    path = tmp_path / "cut.tar.xz"
    path.write_bytes(lzma.compress(lzma.decompress(dumps.artists.read_bytes())[:200_000]))
    with pytest.raises(MalformedAnswerError):
        list(musicbrainz.read_artists(path))


# The shelf


def closure(records: list[ArtistRecord], keys: set[ArtistKey]) -> list[ArtistRecord]:
    """By sets, over and over."""
    known, taken = set(keys), set()
    while True:
        size = len(known)
        for number, record in enumerate(records):
            if {record.key, *record.links} & known:
                taken.add(number)
                known |= {record.key, *record.links}
                known |= {ArtistKey(record.source, m.artist_id) for m in record.members if m.artist_id is not None}
        if len(known) == size:
            return [records[number] for number in sorted(taken)]


@pytest.mark.parametrize("seed", range(20))
def test_shelf_gives_whoever_is_reached(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sources = (Source.MUSICBRAINZ, Source.DISCOGS)
    records = [
        ArtistRecord(
            sources[n % 2], str(rng.integers(80)), f"n{n}", discogs_id=str(rng.integers(90)) if n % 5 == 0 else None,
            members=tuple(Member("m", str(rng.integers(80)) if m else None) for m in range(rng.integers(3))),
        )
        for n in range(60)
    ]  # fmt: skip
    keys = {ArtistKey(sources[n % 2], str(rng.integers(80))) for n in range(int(rng.integers(4)))}
    with ArtistShelf() as shelf:
        assert shelf.add(records[:30]) == 30
        with pytest.raises(ZeroDivisionError):
            shelf.add(record if n < 5 else 1 / 0 for n, record in enumerate(records))  # type: ignore[misc]
        assert (shelf.add(records[30:]), len(shelf)) == (30, 60)
        assert list(shelf.related(keys)) == closure(records, keys)


def test_an_empty_shelf() -> None:
    with ArtistShelf() as shelf:
        assert list(shelf.related([ArtistKey(Source.DISCOGS, "1")])) == []


# The sketch


def test_sketch_never_misses_and_seldom_errs() -> None:
    sketch = KeySketch()
    keys = [f"isrc {number}" for number in range(400_000)]
    for start in range(0, len(keys), 1000):
        sketch.add(keys[start : start + 1000])
    assert all(sketch.any([key]) for key in keys)
    assert sum(sketch.any([f"title {number}"]) for number in range(20_000)) < 600
    assert not sketch.full
    sketch.add(map(str, range(200_000)))
    assert sketch.full
    sketch.grow()
    assert not sketch.full and not sketch.any(keys[:1000])


def test_keys_are_those_of_before(dumps: made_dumps.Dumps) -> None:
    from whosings.annotations.matching import _numbers

    for record in chain(plain.recordings(dumps.recordings), plain.discogs_tracks(dumps.discogs_releases)):
        assert frozenset(_numbers(keys_of(record))) == plain.keys_of(record)
