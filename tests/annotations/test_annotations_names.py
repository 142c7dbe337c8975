from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whosings.annotations.names import normalise, parse_title, similarity
from whosings.annotations.records import (
    Credit,
    CreditRole,
    Source,
    TrackRecord,
    clean_date,
    clean_isrc,
    clean_mbid,
    clean_seconds,
)
from whosings.singer_names import is_nobody, split_featured, split_names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Beyoncé", "BEYONCE"),
        ("The Band", "Band, The"),
        ("Florence + The Machine", "Florence & the Machine"),
        ("Ada Moor (2)", "Ada Moor"),
        ("Eve*", "Eve"),
        ("Guns N’ Roses", "Guns N' Roses"),
        ("Straße", "STRASSE"),
        ("坂本 九", "坂本　九"),
    ],
)
def test_normalise_makes_these_equal(one, other):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(("one", "other"), [("Мария", "Марина"), ("!!!", "???"), ("The The", "The Band"), ("A", "B")])
def test_normalise_keeps_these_apart(one, other):
    assert normalise(one) != normalise(other)


@pytest.mark.parametrize(
    ("text", "base", "versions", "featured"),
    [
        ("Night Boat", "night boat", set(), ()),
        ("Night Boat (feat. Ben Ash & Cy)", "night boat", set(), ("Ben Ash", "Cy")),
        ("Night Boat ft. Ben Ash", "night boat", set(), ("Ben Ash",)),
        ("Night Boat [Featuring Ben Ash] (Live)", "night boat", {"live"}, ("Ben Ash",)),
        ("Night Boat - Live at the Pier / 1999", "night boat", {"live"}, ()),
        ("Night Boat - Remastered 2011", "night boat", set(), ()),
        ("Night Boat (2009 Digital Remaster)", "night boat", set(), ()),
        ("Night Boat (Acoustic Version)", "night boat", {"acoustic"}, ()),
        ("Night Boat (Ada's Version)", "night boat", {"adas version"}, ()),
        ("Night Boat (Album Version)", "night boat", set(), ()),
        ("Night Boat (Cy Orr Remix)", "night boat", {"remix"}, ()),
        ("Night Boat (Karaoke)", "night boat", {"karaoke"}, ()),
        ("Live and Let Live", "live and let live", set(), ()),
        ("(I Can See) The Sea", "i can see the sea", set(), ()),
        ("Home (With You)", "home", set(), ()),
        ("Left - Right", "left right", set(), ()),
        ("Defeat", "defeat", set(), ()),
    ],
)
def test_titles(text, base, versions, featured):
    title = parse_title(text)
    assert (title.base, set(title.versions), title.featured) == (base, versions, featured)


def test_artists_taken_apart():
    assert split_featured("Ada & Eve feat. Ben, Cy & Dee") == ("Ada & Eve", ("Ben", "Cy", "Dee"))
    assert split_featured("Ada (ft. Ben)") == ("Ada", ("Ben",))
    assert split_featured("Little Feat") == ("Little Feat", ())
    assert split_featured("Little Feat feat. Ben") == ("Little Feat", ("Ben",))
    assert split_featured("Ada ft.Ben") == ("Ada", ("Ben",))
    assert split_names("Ada, Ben & Cy x Dee vs. Eve") == ("Ada", "Ben", "Cy", "Dee", "Eve")
    assert split_names("Alexander") == ("Alexander",)


def test_nobody_in_particular():
    assert all(map(is_nobody, ["Various Artists", "[unknown]", "Various", "[no artist]"]))
    assert not is_nobody("Ada Moor")


def test_similarity():
    assert similarity("night boat", "night boat") == 100
    assert similarity("moor ada", "ada moor") == 100
    assert similarity("night boat", "night boot") >= 90
    assert similarity("night boat", "day train") < 60


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_any_text_can_be_read(text):
    normalise(text)
    parse_title(text)
    split_featured(text)
    split_names(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("gb-abc-12-00034", "GBABC1200034"),
        ("GBABC120003", None),
        ("", None),
        (None, None),
        ("GB ABC1200034", "GBABC1200034"),
    ],
)
def test_isrc(text, code):
    assert clean_isrc(text) == code


def test_other_fields():
    assert clean_mbid("AAAAAAAA-0000-4000-8000-000000000001") == "aaaaaaaa-0000-4000-8000-000000000001"
    assert clean_mbid("x") is None
    dates = [
        "2012-03-04",
        "2012-03-00",
        "2012",
        "2012-00-00",
        "0000-00-00",
        "",
        None,
        "2012-03-04T00:00:00Z",
        "May 2012",
    ]
    expected = ["2012-03-04", "2012-03", "2012", "2012", None, None, None, "2012-03-04", None]
    assert [clean_date(date) for date in dates] == expected
    seconds = [clean_seconds(value) for value in ("3:21", "1:00:00", 201, "201.5", "", "x", 0, -3, None, "nan")]
    assert seconds == [201, 3600, 201, 201.5, None, None, None, None, None, None]
    assert clean_seconds(201400, 0.001) == pytest.approx(201.4)


def test_a_record_survives_as_a_line():
    record = TrackRecord(
        Source.DEEZER,
        "1",
        "Nächte",
        (Credit("A", CreditRole.FEATURED, "7"),),
        ("GBABC1200034",),
        2.5,
        None,
        "2012",
        "B",
    )
    assert TrackRecord.from_json(record.to_json()) == record
