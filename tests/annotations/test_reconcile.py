"""Hand-written cases: what the sources say, and what must become of the track."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from whosings.annotations.artists import ArtistBook
from whosings.annotations.decision_tables import catalogue_record
from whosings.annotations.matching import How, TrackIndex
from whosings.annotations.reconcile import Decision, DecisionOutcome, ReconcileRules, reconcile
from whosings.annotations.records import (
    ArtistKey,
    ArtistRecord,
    Credit,
    CreditRole,
    Kind,
    Member,
    Source,
    TrackRecord,
)
from whosings.annotations.verdict import Reason

MAIN, FEATURED, LEAD, BACKING = CreditRole.MAIN, CreditRole.FEATURED, CreditRole.LEAD_VOCALS, CreditRole.BACKING_VOCALS
DEEZER, BRAINZ, WIKIDATA, DISCOGS = Source.DEEZER, Source.MUSICBRAINZ, Source.WIKIDATA, Source.DISCOGS
CODE, OTHER_CODE = "GBABC1200034", "GBABC1299999"
SONG, OTHER_SONG = "aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"
NAMES = {"ada": "Ada Moor", "ben": "Ben Ash", "band": "The Band", "cy": "Cy Orr", "dj": "DJ Dee", "choir": "Sea Choir"}


def credit(who: str, role: CreditRole = MAIN) -> Credit:
    return Credit(NAMES.get(who, who), role, who)


def said(source: Source, id_: str, *credits: Credit, title: str = "Night Boat", **more: object) -> TrackRecord:
    more.setdefault("duration_s", 201.0)
    return TrackRecord(source, id_, title, credits, **more)  # type: ignore[arg-type]


def known(source: Source, who: str, kind: Kind = Kind.UNKNOWN, **more: object) -> ArtistRecord:
    return ArtistRecord(source, who, NAMES.get(who, who), kind, **more)  # type: ignore[arg-type]


PEOPLE = (
    known(BRAINZ, "ada", Kind.PERSON, deezer_id="ada", discogs_id="ada"),
    known(BRAINZ, "ben", Kind.PERSON, deezer_id="ben", discogs_id="ben"),
    known(BRAINZ, "cy", Kind.PERSON, deezer_id="cy"),
    known(BRAINZ, "dj", Kind.PERSON, deezer_id="dj"),
    known(
        BRAINZ, "band", Kind.GROUP, deezer_id="band",
        members=(Member("Ada Moor", "ada", True), Member("Cy Orr", "cy", False), Member("Ben Ash", "ben")),
    ),
    known(WIKIDATA, "ada", Kind.PERSON, sings=True, musicbrainz_id="ada"),
    known(WIKIDATA, "dj", Kind.PERSON, sings=False, musicbrainz_id="dj"),
)  # fmt: skip


def decided(
    *records: TrackRecord,
    mine: TrackRecord | None = None,
    people: Iterable[ArtistRecord] = PEOPLE,
    rules: ReconcileRules | None = None,
) -> Decision:
    index = TrackIndex()
    index.add([mine or catalogue_record("t1", "Night Boat", "Ada Moor", isrc=CODE, duration_s=200)])
    index.add(records)
    [decision] = reconcile(index, ArtistBook(people), rules)
    assert decision.track_id == "t1"
    return decision


def singers(decision: Decision) -> list[str]:
    return [singer.name for singer in decision.singers]


# One lead singer


def test_two_sources_agree():
    decision = decided(
        said(DEEZER, "1", credit("ada"), isrcs=(CODE,), release_date="2013-01-01"),
        said(BRAINZ, SONG, credit("ada"), isrcs=(CODE,), musicbrainz_id=SONG, release_date="2012"),
    )
    assert (decision.outcome, decision.reason) == (DecisionOutcome.KEPT, Reason.SOLO)
    assert decision.explanation == "Ada Moor sings alone, says deezer and musicbrainz."
    [singer] = decision.singers
    assert (singer.singer_id, singer.musicbrainz_id, singer.deezer_id) == ("musicbrainz:ada", "ada", "ada")
    assert decision.evidence == ("deezer:1 (by ISRC)", f"musicbrainz:{SONG} (by ISRC)")
    assert (decision.musicbrainz_id, decision.isrcs, decision.release_date) == (SONG, (CODE,), "2012")


def test_backing_vocals_and_remixers_do_not_count():
    decision = decided(
        said(DISCOGS, "5-A1", credit("ada"), credit("ben", BACKING), credit("cy", CreditRole.REMIXER)),
    )
    assert decision.reason is Reason.SOLO


def test_explicit_lead_among_two_main_artists():
    decision = decided(said(BRAINZ, SONG, credit("ada"), credit("dj"), credit("ada", LEAD), isrcs=(CODE,)))
    assert (decision.outcome, singers(decision)) == (DecisionOutcome.KEPT, ["Ada Moor"])


def test_missing_isrc_is_matched_by_names():
    mine = catalogue_record("t1", "Night Boat (Remastered 2011)", "ADA MOOR", duration_s=203)
    decision = decided(said(BRAINZ, SONG, credit("ada"), isrcs=(CODE,)), mine=mine)
    assert decision.reason is Reason.SOLO
    assert decision.evidence == (f"musicbrainz:{SONG} (by names)",)


def test_ids_lead_on_from_a_match_by_names():
    mine = catalogue_record("t1", "Night Boats", "Ada Moor", duration_s=200)
    decision = decided(
        said(DEEZER, "1", credit("ada"), isrcs=(CODE,)),
        said(BRAINZ, SONG, credit("ada"), title="Nachtboot", isrcs=(CODE,), musicbrainz_id=SONG),
        said(WIKIDATA, "Q9", credit("ada"), title="Nachtboot", musicbrainz_id=SONG, duration_s=None),
        mine=mine,
    )
    assert decision.reason is Reason.SOLO
    assert [text.split(" (")[1] for text in decision.evidence] == ["by names)", "by ISRC)", "by MusicBrainz id)"]


# Same title, other recordings


def test_same_title_by_another_artist_is_no_match():
    decision = decided(said(BRAINZ, SONG, credit("ben")), mine=catalogue_record("t1", "Night Boat", "Ada Moor"))
    assert (decision.outcome, decision.reason) == (DecisionOutcome.DROPPED, Reason.NO_SOURCE)
    assert decision.explanation == "No source has this track."


@pytest.mark.parametrize(
    ("title", "duration_s"), [("Night Boat (Live)", 201.0), ("Night Boat", 260.0), ("Night Boat (Live)", 260.0)]
)
def test_a_live_version_is_another_recording(title, duration_s):
    mine = catalogue_record("t1", "Night Boat", "Ada Moor", duration_s=200)
    decision = decided(said(BRAINZ, SONG, credit("ada"), title=title, duration_s=duration_s), mine=mine)
    assert decision.reason is Reason.NO_SOURCE


def test_live_matches_live_and_the_best_is_taken():
    mine = catalogue_record("t1", "Night Boat - Live at the Pier", "Ada Moor", duration_s=260)
    decision = decided(
        said(BRAINZ, SONG, credit("ada"), isrcs=(CODE,)),
        said(BRAINZ, OTHER_SONG, credit("ada"), title="Night Boat (live)", duration_s=263.0),
        said(BRAINZ, "3", credit("ada"), title="Night Boat (live)", duration_s=260.5),
        mine=mine,
    )
    assert decision.evidence == ("musicbrainz:3 (by names)",)


def test_without_durations_names_must_be_equal():
    mine = catalogue_record("t1", "Night Boat", "Ada Moor")
    assert decided(said(BRAINZ, SONG, credit("ada")), mine=mine).reason is Reason.SOLO
    assert decided(said(BRAINZ, SONG, credit("ada"), title="Night Boats"), mine=mine).reason is Reason.NO_SOURCE


def test_an_isrc_used_twice_is_not_believed():
    decision = decided(said(DEEZER, "1", credit("ben"), title="Quarter Past Dawn", isrcs=(CODE,)))
    assert decision.reason is Reason.NO_SOURCE
    decision = decided(said(DEEZER, "1", credit("ada"), isrcs=(CODE,), duration_s=400.0))
    assert decision.reason is Reason.NO_SOURCE


def test_a_translated_title_with_the_same_isrc_is_believed():
    assert decided(said(BRAINZ, SONG, credit("ada"), title="夜の船", isrcs=(CODE,))).reason is Reason.SOLO


# Several voices


def test_feature_by_the_sources():
    decision = decided(said(DEEZER, "1", credit("ada"), credit("ben", FEATURED), isrcs=(CODE,)))
    assert (decision.outcome, decision.reason) == (DecisionOutcome.APART, Reason.FEATURE)
    assert singers(decision) == ["Ada Moor", "Ben Ash"]
    assert decision.explanation == "A guest is featured, says deezer: Ada Moor, Ben Ash."


def test_one_source_with_a_feature_outweighs_one_without():
    decision = decided(
        said(DEEZER, "1", credit("ada"), isrcs=(CODE,)),
        said(BRAINZ, SONG, credit("ada"), credit("ben", FEATURED), isrcs=(CODE,)),
    )
    assert decision.reason is Reason.FEATURE
    assert decision.explanation.endswith("Ada Moor, Ben Ash, though deezer names Ada Moor alone.")


@pytest.mark.parametrize(
    ("title", "artist"), [("Night Boat (feat. Ben Ash)", "Ada Moor"), ("Night Boat", "Ada Moor feat. Ben Ash")]
)
def test_feature_in_the_tags_alone(title, artist):
    mine = catalogue_record("t1", title, artist, isrc=CODE)
    decision = decided(said(BRAINZ, SONG, credit("ada"), isrcs=(CODE,)), mine=mine)
    assert (decision.outcome, singers(decision)) == (DecisionOutcome.APART, ["Ada Moor", "Ben Ash"])
    assert "says catalogue" in decision.explanation


def test_feature_in_the_title_that_is_credited_is_not_counted_twice():
    decision = decided(
        said(DEEZER, "1", credit("ada"), credit("ben", FEATURED), title="Night Boat (feat. Ben Ash)", isrcs=(CODE,))
    )
    assert len(decision.singers) == 2


def test_duet():
    mine = catalogue_record("t1", "Night Boat", "Ada Moor & Ben Ash", duration_s=200)
    decision = decided(said(BRAINZ, SONG, credit("ada"), credit("ben")), mine=mine)
    assert (decision.outcome, decision.reason) == (DecisionOutcome.APART, Reason.DUET)
    assert singers(decision) == ["Ada Moor", "Ben Ash"]


def test_duet_known_only_as_one_name():
    mine = catalogue_record("t1", "Night Boat", "Ada Moor & Ben Ash", duration_s=200)
    decision = decided(said(DEEZER, "1", Credit("Ada Moor & Ben Ash", MAIN, "999")), mine=mine)
    assert decision.reason is Reason.DUET


def test_two_lead_vocalists():
    decision = decided(said(BRAINZ, SONG, credit("ada"), credit("ada", LEAD), credit("ben", LEAD), isrcs=(CODE,)))
    assert (decision.reason, singers(decision)) == (Reason.DUET, ["Ada Moor", "Ben Ash"])


def test_producer_as_main_artist_with_anothers_voice():
    decision = decided(said(BRAINZ, SONG, credit("dj"), credit("ada", LEAD), isrcs=(CODE,)))
    assert (decision.outcome, decision.reason, singers(decision)) == (
        DecisionOutcome.APART,
        Reason.OTHER_VOICE,
        ["Ada Moor"],
    )


def test_producer_with_a_feature_is_no_singer():
    decision = decided(said(BRAINZ, SONG, credit("dj"), credit("ada", FEATURED), isrcs=(CODE,)))
    assert (decision.reason, singers(decision)) == (Reason.FEATURE, ["Ada Moor"])


# Bands


def test_band_lists_the_singer_it_is_known_for():
    mine = catalogue_record("t1", "Night Boat", "The Band", isrc=CODE)
    decision = decided(said(DEEZER, "1", credit("band"), isrcs=(CODE,)), mine=mine)
    assert (decision.outcome, decision.reason, singers(decision)) == (DecisionOutcome.APART, Reason.BAND, ["Ada Moor"])


def test_band_with_this_tracks_singer_credited():
    mine = catalogue_record("t1", "Night Boat", "The Band", isrc=CODE)
    decision = decided(said(BRAINZ, SONG, credit("band"), credit("ben", LEAD), isrcs=(CODE,)), mine=mine)
    assert (decision.reason, singers(decision)) == (Reason.BAND, ["Ben Ash"])


def test_choirs_and_characters_are_no_single_voice():
    people = [known(BRAINZ, "choir", Kind.OTHER)]
    decision = decided(said(BRAINZ, SONG, credit("choir"), isrcs=(CODE,)), people=people)
    assert (decision.outcome, decision.reason, decision.singers) == (DecisionOutcome.APART, Reason.BAND, ())


def test_band_in_one_source_and_its_singer_in_another():
    records = (
        said(BRAINZ, SONG, credit("band"), isrcs=(CODE,)),
        said(WIKIDATA, "Q9", credit("ada"), isrcs=(CODE,)),
    )
    decision = decided(*records)
    assert (decision.reason, singers(decision)) == (Reason.BAND, ["Ada Moor"])
    decision = decided(records[0], said(WIKIDATA, "Q9", credit("dj", LEAD), isrcs=(CODE,)))
    assert decision.reason is Reason.CONFLICT


# Nobody certain


@pytest.mark.parametrize("title", ["Night Boat (Instrumental)", "Night Boat [Karaoke Version]"])
def test_nobody_sings(title):
    mine = catalogue_record("t1", title, "Ada Moor", isrc=CODE)
    decision = decided(said(BRAINZ, SONG, credit("ada"), isrcs=(CODE,)), mine=mine)
    assert (decision.outcome, decision.reason) == (DecisionOutcome.DROPPED, Reason.INSTRUMENTAL)
    assert "catalogue" in decision.explanation


def test_known_for_other_things_than_singing():
    decision = decided(said(BRAINZ, SONG, credit("dj"), isrcs=(CODE,)))
    assert (decision.outcome, decision.reason) == (DecisionOutcome.DROPPED, Reason.NOT_A_SINGER)
    assert decided(said(BRAINZ, SONG, credit("dj"), credit("dj", LEAD), isrcs=(CODE,))).reason is Reason.SOLO


def test_sources_name_different_singers():
    decision = decided(
        said(DEEZER, "1", credit("ada"), isrcs=(CODE,)), said(BRAINZ, SONG, credit("ben"), isrcs=(CODE,))
    )
    assert (decision.outcome, decision.reason) == (DecisionOutcome.DROPPED, Reason.CONFLICT)
    assert "deezer says Ada Moor" in decision.explanation and "musicbrainz says Ben Ash" in decision.explanation


def test_person_or_group():
    people = (known(BRAINZ, "ada", Kind.PERSON), known(WIKIDATA, "q", Kind.GROUP, musicbrainz_id="ada"))
    decision = decided(said(BRAINZ, SONG, credit("ada"), isrcs=(CODE,)), people=people)
    assert (decision.outcome, decision.reason) == (DecisionOutcome.DROPPED, Reason.KIND_CONFLICT)


def test_nobody_knows_whether_it_is_one_person():
    record = said(DEEZER, "1", credit("ada"), isrcs=(CODE,))
    decision = decided(record, people=())
    assert (decision.outcome, decision.reason) == (DecisionOutcome.DROPPED, Reason.UNKNOWN_KIND)
    decision = decided(record, people=(), rules=ReconcileRules(accept_unknown_kind=True))
    assert decision.reason is Reason.SOLO


def test_no_artist_and_name_only():
    various = said(DISCOGS, "5-A1", Credit("Various", MAIN, "194"), isrcs=(CODE,))
    assert decided(various).reason is Reason.NO_ARTIST
    nameless = said(DISCOGS, "5-A1", Credit("Ada Moor"), isrcs=(CODE,))
    assert decided(nameless).reason is Reason.NAME_ONLY


def test_a_name_without_id_takes_the_id_of_the_same_name():
    decision = decided(
        said(DISCOGS, "5-A1", Credit("Ada  Moor"), isrcs=(CODE,)), said(BRAINZ, SONG, credit("ada"), isrcs=(CODE,))
    )
    assert decision.explanation == "Ada Moor sings alone, says discogs and musicbrainz."


def test_more_sources_can_be_asked_for():
    rules = ReconcileRules(min_sources=2)
    one, two = said(DEEZER, "1", credit("ada"), isrcs=(CODE,)), said(BRAINZ, SONG, credit("ada"), isrcs=(CODE,))
    decision = decided(one, rules=rules)
    assert (decision.outcome, decision.reason) == (DecisionOutcome.DROPPED, Reason.TOO_FEW_SOURCES)
    assert decided(one, two, rules=rules).reason is Reason.SOLO


# Artists across sources


def test_one_singer_has_one_id_even_where_no_source_links_them():
    """A recording that both sources know teaches that two ids are one singer, for the tracks that only one knows."""
    index = TrackIndex()
    index.add(catalogue_record(f"t{n}", f"Song {n} of Many", "Ada Moor", isrc=f"GBABC120000{n}") for n in range(3))
    index.add(
        said(DEEZER, str(n), Credit("Ada Moor", MAIN, "7"), title=f"Song {n} of Many", isrcs=(f"GBABC120000{n}",))
        for n in range(3)
    )
    index.add([said(BRAINZ, SONG, credit("ada"), title="Song 2 of Many", isrcs=("GBABC1200002",))])
    decisions = list(reconcile(index, ArtistBook([known(BRAINZ, "ada", Kind.PERSON)])))
    assert {decision.reason for decision in decisions} == {Reason.SOLO}
    assert {singer.singer_id for decision in decisions for singer in decision.singers} == {"musicbrainz:ada"}


def test_a_page_that_mixes_two_artists_of_one_name():
    index = TrackIndex()
    index.add(catalogue_record(f"t{n}", f"Song {n} of Many", "Ada Moor", isrc=f"GBABC120000{n}") for n in range(6))
    index.add(
        said(DEEZER, str(n), Credit("Ada Moor", MAIN, "7"), title=f"Song {n} of Many", isrcs=(f"GBABC120000{n}",))
        for n in range(6)
    )
    for n, who in enumerate(["ada", "ada", "ada", "ada-2", "ada-2"]):
        made = Credit("Ada Moor", MAIN, who)
        index.add([said(BRAINZ, str(n), made, title=f"Song {n} of Many", isrcs=(f"GBABC120000{n}",))])
    people = [ArtistRecord(BRAINZ, who, "Ada Moor", Kind.PERSON) for who in ("ada", "ada-2")]
    decisions = {decision.track_id: decision for decision in reconcile(index, ArtistBook(people))}
    assert [decisions[f"t{n}"].singers[0].singer_id for n in range(5)] == ["musicbrainz:ada"] * 3 + [
        "musicbrainz:ada-2"
    ] * 2
    assert decisions["t5"].reason is Reason.NAME_ONLY


def test_links_that_contradict_are_refused():
    book = ArtistBook(
        [known(BRAINZ, "ada", discogs_id="1"), known(WIKIDATA, "q", musicbrainz_id="ben", discogs_id="1")]
    )
    assert book.refused == [(ArtistKey(WIKIDATA, "q"), ArtistKey(DISCOGS, "1"))]
    assert book.artist(ArtistKey(DISCOGS, "1"), "x").singer.musicbrainz_id == "ada"


def test_tracks_of_a_source_itself_can_be_decided_on():
    index = TrackIndex()
    index.add([said(DEEZER, "1", credit("ada"), isrcs=(CODE,)), said(BRAINZ, SONG, credit("ada"), isrcs=(CODE,))])
    [decision] = reconcile(index, ArtistBook(PEOPLE), of=DEEZER)
    assert (decision.track_id, decision.reason) == ("deezer:1", Reason.SOLO)
    assert decision.evidence == ("deezer:1", f"musicbrainz:{SONG} (by ISRC)")


# The index


def test_index_on_disk_keeps_only_what_is_related(tmp_path):
    path = tmp_path / "tracks.sqlite"
    index = TrackIndex(path)
    assert index.add([catalogue_record("t1", "Night Boat", "Ada Moor", isrc=CODE)]) == 1
    records = [
        said(BRAINZ, SONG, credit("ada"), isrcs=(CODE,), musicbrainz_id=SONG),
        said(BRAINZ, "other", credit("ben"), title="Something Else"),
    ]
    assert index.add(records, only_related=True) == 1
    assert index.add(records, only_related=True) == 0
    index.close()
    index = TrackIndex(path)
    assert [record.source_id for record in index.of(BRAINZ)] == [SONG]
    [track] = index.of(Source.CATALOGUE)
    assert [match.how for match in index.matches(track)] == [How.ITSELF, How.ISRC]
