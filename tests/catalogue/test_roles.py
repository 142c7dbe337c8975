"""Each singer's tracks in roles: one to test, one to validate, the rest to train on."""

from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from whosings.catalogue.manifest import Manifest, Piece, Track, write_manifest
from whosings.catalogue.roles import SingerSplit, album_key, assign_roles, read_roles, write_roles
from whosings.errors import ManifestError

ROLES = ("train", "validation", "test", "unused")


def catalogue(albums: dict[str, list[str | None]], clones: int = 0) -> Manifest:
    """Singers with one track for each album named, two pieces a track; the first singer has the clones."""
    tracks = [
        Track(f"{singer}/{n}", singer, Path(f"{singer}{n}.wav"), album=album)
        for singer, named in albums.items()
        for n, album in enumerate(named)
    ]
    tracks += [replace(tracks[0], track_id=f"clone/{n}", cloned=True, target_singer_ids=("x",)) for n in range(clones)]
    return Manifest(tuple(tracks), tuple(Piece(track.track_id, s, 1.0) for s in (0.0, 3.0) for track in tracks))


def plain(**counts: int) -> Manifest:
    return catalogue({singer: [None] * count for singer, count in counts.items()})


def roles(split: SingerSplit) -> dict[str, str]:
    pairs = [(track.track_id, role) for role in ROLES for track in getattr(split, role).tracks]
    assert len(dict(pairs)) == len(pairs), "a track has two roles"
    return dict(pairs)


def names(part: Manifest) -> set[str]:
    return {track.singer_id for track in part.tracks}


album = st.sampled_from([None, "", " ", "a", "A", " a ", "b", "c", "c  d", "C d"])
discographies = st.dictionaries(
    st.sampled_from("uvwxyz"), st.lists(album, min_size=1, max_size=12), min_size=1, max_size=5
)


@given(albums=discographies, by_album=st.booleans(), clones=st.integers(0, 2), seed=st.integers(0, 5))
def test_the_protocols_rules_hold(albums, by_album, clones, seed):
    whole = catalogue(albums, clones)
    try:
        split = assign_roles(whole, seed=seed, by_album=by_album)
    except ManifestError:
        assume(False)
    found = roles(split)
    assert found.keys() == {track.track_id for track in whole.tracks}
    assert all(found[track.track_id] == "unused" for track in whole.tracks if track.cloned)
    assert names(split.train) == names(split.validation) == names(split.test)
    assert names(whole) - names(split.test) == {left.singer_id for left in split.left_out}
    for part in (split.validation, split.test):
        assert set(Counter(track.singer_id for track in part.tracks).values()) == {1}
    assert min(Counter(track.singer_id for track in split.train.tracks).values()) >= 3
    if not by_album:
        real = Counter(track.singer_id for track in whole.tracks if not track.cloned)
        assert names(split.test) == {singer for singer, count in real.items() if count >= 5}
        used = sum(role != "unused" for role in found.values())
        assert used == sum(real[singer] for singer in names(split.test)), "all their real tracks have roles"
    for role in ROLES:
        part = getattr(split, role)
        assert part.tracks == tuple(track for track in whole.tracks if found[track.track_id] == role)
        assert part.pieces == tuple(piece for piece in whole.pieces if found[piece.track_id] == role)


def _divisible(albums: list[str]) -> bool:
    """Whether two albums can be set aside and three tracks left, by trying every two."""
    return any(
        sum(album not in aside for album in albums) >= 3 and len(set(aside)) == 2 for aside in combinations(albums, 2)
    )


@given(albums=discographies, seed=st.integers(0, 5))
def test_albums_are_never_divided(albums, seed):
    clean = {s: [" ".join((a or "").lower().split()) for a in named] for s, named in albums.items()}
    able = {singer for singer, named in clean.items() if _divisible([album for album in named if album])}
    if not able:
        with pytest.raises(ManifestError) as caught:
            assign_roles(catalogue(albums), seed=seed, by_album=True)
        assert str(caught.value) == "the manifest: has no singer with enough albums for a split; add albums."
        return
    split = assign_roles(catalogue(albums), seed=seed, by_album=True)
    assert names(split.test) == able
    assert split.album_disjoint
    found = roles(split)
    for singer in able:
        of = {role: set() for role in ROLES}
        for number, album in enumerate(clean[singer]):
            of[found[f"{singer}/{number}"]].add(album)
        known = [of[role] for role in ("train", "validation", "test")]
        assert all("" not in albums for albums in known), "an unknown album might be any"
        assert not any(one & other for one, other in combinations(known, 2))
        assert of["unused"] <= of["validation"] | of["test"] | {""}, "what could be trained on is"


@given(
    albums=discographies,
    more=st.dictionaries(st.sampled_from("ABC"), st.lists(album, min_size=1, max_size=8)),
    by_album=st.booleans(),
    shuffle=st.randoms(),
)
def test_other_singers_and_the_order_of_rows_change_nothing(albums, more, by_album, shuffle):
    try:
        split = assign_roles(catalogue(albums), seed=1, by_album=by_album)
    except ManifestError:
        assume(False)
    rows = list(catalogue(albums | more).tracks)
    shuffle.shuffle(rows)
    again = roles(assign_roles(Manifest(tuple(rows)), seed=1, by_album=by_album))
    assert {track: role for track, role in again.items() if track[0] in albums} == roles(split)


def test_a_singers_name_changes_nothing():
    whole = plain(ann=6)
    renamed = Manifest(tuple(replace(track, singer_id="zoe") for track in whole.tracks))
    assert roles(assign_roles(renamed, seed=4)) == roles(assign_roles(whole, seed=4))


def test_the_test_track_is_the_same_by_album_where_it_can_be():
    whole = catalogue({singer: [str(n) for n in range(7)] for singer in "uvwxyz"})
    assert roles(assign_roles(whole, by_album=True)) == roles(assign_roles(whole))


def test_the_seed_draws_the_tracks():
    whole = plain(ann=6, bob=6)
    splits = [assign_roles(whole, seed=seed) for seed in range(60)]
    assert assign_roles(whole, seed=7) == splits[7]
    assert assign_roles(whole) == splits[0] != splits[1]
    for role in ("validation", "test"):
        assert {t.track_id for split in splits for t in getattr(split, role).tracks} == {
            track.track_id for track in whole.tracks
        }


def test_draws_are_the_same_on_every_machine():
    split = assign_roles(plain(ann=6, bob=6), seed=0)
    assert [track.track_id for track in (*split.test.tracks, *split.validation.tracks)] == [
        "ann/3",
        "bob/1",
        "ann/1",
        "bob/3",
    ]


def test_a_large_album_is_not_set_aside():
    for seed in range(20):
        split = assign_roles(catalogue({"ann": ["long"] * 9 + ["single", "other"]}), seed=seed, by_album=True)
        assert {track.album for track in split.train.tracks} == {"long"}


def test_singers_left_out_are_listed():
    split = assign_roles(plain(ann=5, bob=4, cy=1))
    assert [(left.singer_id, left.reason) for left in split.left_out] == [
        ("bob", "4 of 5 real tracks needed"),
        ("cy", "1 of 5 real tracks needed"),
    ]
    albums = {"ann": ["a", "b", "c", "c", "c"], "bob": ["a"] * 9 + ["b"] * 9, "cy": [None] * 9}
    split = assign_roles(catalogue(albums), by_album=True)
    assert [(left.singer_id, left.reason) for left in split.left_out] == [
        ("bob", "18 real tracks, and no two of 2 known albums can be set aside"),
        ("cy", "9 real tracks, and no two of 0 known albums can be set aside"),
    ]


def test_fewer_tracks_to_train_on():
    assert len(assign_roles(plain(ann=3, bob=2), min_train=1).train.tracks) == 1
    with pytest.raises(ManifestError) as caught:
        assign_roles(plain(ann=4))
    assert str(caught.value) == "the manifest: has no singer with enough tracks for a split; add tracks."


def test_album_disjoint_is_read_off_the_tracks():
    tracks = [Track(str(n), "s", Path("x.wav"), album=name) for n, name in enumerate(["a", "b", "c"])]

    def disjoint(*rows: Track) -> bool:
        return SingerSplit(*(Manifest((row,)) for row in rows)).album_disjoint

    assert disjoint(*tracks)
    assert not disjoint(tracks[0], replace(tracks[1], album=" A"), tracks[2])
    assert not disjoint(tracks[0], tracks[1], replace(tracks[2], album="B"))
    assert not disjoint(tracks[0], tracks[1], replace(tracks[2], album=None))


EACH = "give each singer a test track, a validation track and some to train on"
ONE = "keep one of them"


@pytest.mark.parametrize(
    ("written", "compared"),
    [(None, None), ("", None), (" \t", None), ("  Die  STRASSE ", "die strasse"), ("Große", "grosse")],
)
def test_albums_are_compared_whatever_their_case_and_blanks(written, compared):
    assert album_key(Track("t", "s", Path("t.wav"), album=written)) == compared


def test_a_singer_may_have_several_test_and_validation_tracks():
    good = assign_roles(plain(ann=6, bob=6))
    more, *rest = good.train.tracks
    split = replace(
        good,
        train=Manifest(tuple(rest)),
        test=Manifest((*good.test.tracks, more)),
    )
    assert len(split.test.by_singer[more.singer_id]) == 2 and len(split.whole.tracks) == 12


def test_a_split_that_is_none():
    good = assign_roles(plain(ann=5, bob=5))
    test, validation = good.test.tracks, good.validation.tracks
    for changes, says in (
        ({"test": test[:1]}, f"has no test track of singer bob; {EACH}"),
        ({"train": good.train.tracks[:3]}, f"has no train track of singer bob; {EACH}"),
        ({"validation": validation[:0]}, f"has no validation track of singer ann; {EACH}"),
        ({"test": validation}, f"has track {validation[0].track_id} more than once, in validation and test; {ONE}"),
        ({"unused": test}, f"has track {test[0].track_id} more than once, in test and unused; {ONE}"),
        ({"train": (*good.train.tracks, good.train.tracks[0])}, f"has track ann/0 more than once, in train; {ONE}"),
    ):
        with pytest.raises(ManifestError) as caught:
            replace(good, **{name: Manifest(tracks) for name, tracks in changes.items()})
        assert str(caught.value) == f"the split: {says}."


# The table


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_round_trip(tmp_path, ending):
    whole = plain(ann=6, bob=2)
    whole = replace(whole, tracks=tuple(replace(track, path=tmp_path / track.path) for track in whole.tracks))
    split = assign_roles(whole)
    write_manifest(whole, tmp_path / f"closed{ending}")
    assert write_roles(split, tmp_path / f"closed{ending}") == tmp_path / f"closed.roles{ending}"
    again = read_roles(str(tmp_path / f"closed{ending}"))
    assert [getattr(again, role) for role in ROLES] == [getattr(split, role) for role in ROLES]
    assert [(left.singer_id, left.reason) for left in again.left_out] == [("bob", "no roles in the table")]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("t9,test", "track_id t9 is not in m.csv; split it again"),
        ("t0,best", "gives track t0 the role best; roles are train, validation, test"),
        ("t0,", "gives track t0 the role None; roles are train, validation, test"),
        ("t0,test\nt0,train", "has track t0 more than once; keep one of its rows"),
        ("t0,test\nt1,validation", f"has no train track of singer ann; {EACH}"),
    ],
)
def test_tables_that_are_none(tmp_path, rows, says):
    (tmp_path / "m.csv").write_text("track_id,singer_id,path\n" + "".join(f"t{n},ann,{n}.mp3\n" for n in range(5)))
    with pytest.raises(ManifestError, match=r"m\.roles\.csv: no such file"):
        read_roles(tmp_path / "m.csv")
    (tmp_path / "m.roles.csv").write_text(f"track_id,role\n{rows}\n")
    with pytest.raises(ManifestError) as caught:
        read_roles(tmp_path / "m.csv")
    assert str(caught.value) == f"{tmp_path / 'm.roles.csv'}: {says}."


def test_the_whole():
    split = assign_roles(plain(ann=6, bob=2))
    assert Counter(split.whole.tracks) == Counter(plain(ann=6, bob=2).tracks)
    assert Counter(split.whole.pieces) == Counter(plain(ann=6, bob=2).pieces)
    assert split.whole.tracks[-2:] == split.unused.tracks
