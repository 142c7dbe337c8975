"""Divisions by singer."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from whosings.catalogue.manifest import Manifest, Piece, Track
from whosings.catalogue.splits import LeftOut, Sets, divide, hold_out_singers, keep_sung, sample_real
from whosings.errors import ConfigError, ManifestError


def manifest(singers: int, tracks: int = 3, loners: int = 0) -> Manifest:
    rows = [Track(f"{s}/{t}", f"singer {s}", Path(f"{s}-{t}.wav")) for t in range(tracks) for s in range(singers)]
    rows += [Track(f"loner/{s}", f"loner {s}", Path(f"l{s}.wav")) for s in range(loners)]
    pieces = [Piece(row.track_id, start, 0.5) for start in (0.0, 3.0) for row in rows]
    return Manifest(tuple(rows), tuple(pieces))


def names(part: Manifest) -> set[str]:
    return {track.singer_id for track in part.tracks}


@pytest.mark.parametrize(("share", "expected"), [(0.0, 2), (0.1, 2), (0.25, 5), (0.5, 10)])
def test_disjoint_singers_and_nothing_lost(share, expected):
    whole = manifest(20, loners=3)
    division = hold_out_singers(whole, share, seed=1)
    assert len(names(division.held_out)) == expected
    assert names(division.kept) | names(division.held_out) == names(whole)
    assert not names(division.kept) & names(division.held_out)
    assert len(division.kept.tracks) + len(division.held_out.tracks) == len(whole.tracks)


def test_singers_with_one_track_are_never_held_out():
    for seed in range(20):
        held = hold_out_singers(manifest(4, loners=30), 0.5, seed).held_out
        assert not any(name.startswith("loner") for name in names(held))


def test_pieces_follow_their_tracks_in_order():
    whole = manifest(6)
    division = hold_out_singers(whole, 0.3, seed=0)
    for part in (division.kept, division.held_out):
        ids = {track.track_id for track in part.tracks}
        assert part.pieces == tuple(piece for piece in whole.pieces if piece.track_id in ids)
        assert part.tracks == tuple(track for track in whole.tracks if track.singer_id in names(part))
        assert len(part.pieces) == 2 * len(part.tracks) > 0


def test_the_seed_decides_and_the_order_of_rows_does_not():
    whole = manifest(20)
    first = hold_out_singers(whole, 0.3, seed=5)
    assert hold_out_singers(whole, 0.3, seed=5) == first
    backwards = Manifest(whole.tracks[::-1], whole.pieces[::-1])
    assert names(hold_out_singers(backwards, 0.3, seed=5).held_out) == names(first.held_out)
    drawn = {frozenset(names(hold_out_singers(whole, 0.3, seed).held_out)) for seed in range(10)}
    assert len(drawn) > 5


def test_every_singer_can_be_held_out():
    seen = set().union(*(names(hold_out_singers(manifest(6), 0.3, seed).held_out) for seed in range(40)))
    assert seen == names(manifest(6))


@pytest.mark.parametrize("singers", [0, 1, 3])
def test_too_few_singers(singers):
    with pytest.raises(ManifestError) as caught:
        hold_out_singers(manifest(singers, loners=50), 0.5, seed=0)
    problem = f"has {singers} singers with two tracks, too few to set some aside"
    assert str(caught.value) == f"the manifest: {problem}; add singers."


@pytest.mark.parametrize(("singers", "share"), [(4, 0.9), (10, 1.0)])
def test_two_singers_are_always_kept(singers, share):
    assert len(names(hold_out_singers(manifest(singers), share, seed=0).kept)) == 2


def test_two_tracks_of_a_singer_are_enough():
    assert len(names(hold_out_singers(manifest(4, tracks=2), 0.5, seed=0).held_out)) == 2


def test_singers_are_held_out_with_their_clones_which_count_for_no_tracks():
    clones = catalogue([2, 2, 2, 2, 1], [[0]])  # the clone is by singer 0
    held = [hold_out_singers(clones, 0.5, seed).held_out for seed in range(20)]
    assert set().union(*map(names, held)) == set("0123")
    assert {("0" in names(part)) == any(t.cloned for t in part.tracks) for part in held} == {True}
    with pytest.raises(ManifestError, match="has 3 singers with two tracks"):
        hold_out_singers(catalogue([1, 2, 2, 2], [[1]]), 0.5, seed=0)


# A sample


def test_a_sample_has_so_many_singers_and_tracks_and_no_clones():
    whole = catalogue([5, 1, 0, 4, 3], [[1], [3]])
    ids = [track.track_id for track in whole.tracks]
    seen: Counter[str] = Counter()
    for seed in range(200):
        drawn = sample_real(whole, 2, 3, seed)
        assert sample_real(whole, 2, 3, seed) == drawn
        assert [ids.index(track.track_id) for track in drawn.tracks] == sorted(
            ids.index(t.track_id) for t in drawn.tracks
        )
        counts = Counter(track.singer_id for track in drawn.tracks)
        assert len(counts) == 2 and all(count == min(3, [5, 1, 0, 4, 3][int(s)]) for s, count in counts.items())
        seen.update(track.track_id for track in drawn.tracks)
    # Each of four singers is in half of the samples, and each track of a singer in as many.
    for singer, number in (("0", 5), ("1", 1), ("3", 4), ("4", 3)):
        shares = [seen[f"{singer}/{n}"] / 200 for n in range(number)]
        assert shares == pytest.approx([0.5 * min(1, 3 / number)] * number, abs=0.13)
    assert sample_real(whole, 9, 9, seed=0).tracks == tuple(track for track in whole.tracks if not track.cloned)


# Train, validation, closed, cloned

SETS = ("train", "validation", "closed", "cloned", "unused")


def catalogue(counts: list[int], clones: Sequence[Sequence[int]] = ()) -> Manifest:
    """Singer ``n`` with ``counts[n]`` real tracks of two pieces; one clone by singer 0 for each list of targets."""
    tracks = [Track(f"{s}/{t}", str(s), Path(f"{s}-{t}.wav")) for s, n in enumerate(counts) for t in range(n)]
    tracks += [
        Track(f"clone/{c}", "0", Path("c.wav"), cloned=True, target_singer_ids=tuple(map(str, targets)))
        for c, targets in enumerate(clones)
    ]
    pieces = [Piece(track.track_id, start, 0.5) for start in (0.0, 3.0) for track in tracks]
    return Manifest(tuple(tracks), tuple(pieces))


def placed(sets: Sets) -> dict[str, str]:
    """Track id -> set, for every track of every set."""
    pairs = [(track.track_id, name) for name in SETS for track in getattr(sets, name).tracks]
    assert len(dict(pairs)) == len(pairs), "a track is in two sets"
    return dict(pairs)


@st.composite
def catalogues(draw):
    counts = draw(st.lists(st.integers(0, 12), min_size=1, max_size=25))
    singer = st.integers(0, len(counts))  # the last one has no tracks at all
    return catalogue(counts, draw(st.lists(st.lists(singer, min_size=1, max_size=2), max_size=4)))


@given(
    whole=catalogues(),
    closed=st.one_of(st.floats(0, 0.6), st.integers(1, 5)),
    validation=st.one_of(st.floats(0, 0.4), st.integers(1, 5)),
    seed=st.integers(0, 5),
)
def test_the_rules_of_the_paper_hold(whole, closed, validation, seed):
    try:
        sets = divide(whole, closed, validation, seed=seed)
    except ManifestError:
        assume(False)
    found = placed(sets)
    assert found.keys() == {track.track_id for track in whole.tracks}

    real = Counter(track.singer_id for track in whole.tracks if not track.cloned)
    targets = {target for track in whole.tracks for target in track.target_singer_ids}
    able = sum(count >= 2 for count in real.values())
    for size, name in ((closed, "closed"), (validation, "validation")):
        assert len(names(getattr(sets, name))) == (round(size * able) if size < 1 else size)
    assert names(sets.train)
    assert not names(sets.train) & names(sets.validation)
    assert not (names(sets.train) | names(sets.validation)) & names(sets.closed)
    assert not (names(sets.train) | names(sets.validation)) & targets
    assert all(not track.cloned for name in SETS[:3] for track in getattr(sets, name).tracks)
    for singer in names(sets.train) | names(sets.closed):
        home = {name for track, name in found.items() if track.startswith(f"{singer}/")}
        assert home in ({"train"}, {"closed"}), "all real tracks of a singer are in its set"
    assert all(real[singer] >= 2 for singer in names(sets.train))
    assert all(real[singer] >= 7 for singer in names(sets.closed))
    assert {target for target in targets if real[target] >= 7} <= names(sets.closed)
    assert set(Counter(track.singer_id for track in sets.validation.tracks).values()) <= {2}
    for track in whole.tracks:
        if track.cloned:
            scored = bool(names(sets.closed) & set(track.target_singer_ids))
            assert found[track.track_id] == ("cloned" if scored else "unused")

    somewhere = names(sets.train) | names(sets.validation) | names(sets.closed)
    assert sorted(left.singer_id for left in sets.left_out) == sorted((set(real) | targets) - somewhere)
    for name in SETS:
        part = getattr(sets, name)
        assert part.tracks == tuple(track for track in whole.tracks if found[track.track_id] == name)
        assert part.pieces == tuple(piece for piece in whole.pieces if found[piece.track_id] == name)


@given(whole=catalogues(), seed=st.integers(0, 5), shuffle=st.randoms())
def test_sets_do_not_depend_on_the_order_of_rows(whole, seed, shuffle):
    try:
        sets = divide(whole, 0.3, 0.2, seed=seed)
    except ManifestError:
        assume(False)
    rows, pieces = list(whole.tracks), list(whole.pieces)
    shuffle.shuffle(rows)
    shuffle.shuffle(pieces)
    again = divide(Manifest(tuple(rows), tuple(pieces)), 0.3, 0.2, seed=seed)
    assert placed(again) == placed(sets)
    assert again.left_out == sets.left_out


def test_the_seed_draws_the_sets():
    whole = catalogue([8] * 20)
    drawn = [divide(whole, 5, 5, seed=seed) for seed in range(40)]
    assert divide(whole, 5, 5, seed=3) == drawn[3]
    for name in ("train", "validation", "closed"):
        assert len({frozenset(names(getattr(sets, name))) for sets in drawn}) > 30
        assert set().union(*(names(getattr(sets, name)) for sets in drawn)) == names(whole)
    # Validation draws which two of eight tracks, too.
    assert len({t.track_id[-2:] for sets in drawn for t in sets.validation.tracks}) == 8


def test_draws_are_the_same_on_every_machine():
    sets = divide(catalogue([8] * 10), 2, 2, seed=0)
    assert (sorted(names(sets.closed)), sorted(t.track_id for t in sets.validation.tracks)) == (
        ["3", "5"],
        ["2/2", "2/3", "4/0", "4/2"],
    )


def test_singers_that_fit_nowhere_are_listed():
    sets = divide(catalogue([9, 9, 1, 0, 6, 3], [[0], [4], [7, 4], [3, 1]]), 2, 0)
    assert names(sets.closed) == {"0", "1"}
    assert names(sets.train) == {"5"}
    assert [track.track_id for track in sets.cloned.tracks] == ["clone/0", "clone/3"]
    assert sets.left_out == (
        LeftOut("3", "imitated by clones, with 0 of 7 real tracks needed"),
        LeftOut("4", "imitated by clones, with 6 of 7 real tracks needed"),
        LeftOut("7", "imitated by clones, with 0 of 7 real tracks needed"),
        LeftOut("2", "1 of 2 real tracks needed"),
    )


def test_other_rules():
    sets = divide(catalogue([3, 3, 4, 4]), 1, 1, closed_tracks=4, validation_tracks=3, train_tracks=3)
    assert (len(sets.closed.tracks), len(sets.validation.tracks)) == (4, 3)
    assert len(names(sets.train)) == 2
    sets = divide(catalogue([8, 8, 2, 2, 2]), 1, 3)  # two tracks are enough to validate
    assert {len(names(part)) for part in (sets.closed, sets.train)} == {1} and len(names(sets.validation)) == 3


FEWER = "ask for fewer singers or add tracks"
NOBODY = "the manifest: leaves no singer to train on; ask for smaller sets or add singers."


@pytest.mark.parametrize(
    ("counts", "clones", "sizes", "says"),
    [
        ([8] * 5 + [6] * 9, [], (6, 0), f"the closed set: needs 6 singers and 5 more have 7 real tracks; {FEWER}."),
        ([8] * 5, [[0], [1]], (1, 0), "the closed set: has room for 1 singers and clones imitate 2; ask for more."),
        ([8] * 5, [[0]], (6, 0), f"the closed set: needs 5 singers and 4 more have 7 real tracks; {FEWER}."),
        ([8] * 5, [], (2, 4), f"the validation set: needs 4 singers and 3 more have 2 real tracks; {FEWER}."),
        ([8] * 5, [], (2, 3), NOBODY),
        ([1, 1], [], (0, 0), NOBODY),
    ],
)
def test_sizes_that_cannot_be_met(counts, clones, sizes, says):
    with pytest.raises(ManifestError) as caught:
        divide(catalogue(counts, clones), *sizes)
    assert str(caught.value) == says


def test_a_fifth_is_closed_and_a_tenth_validates_where_nobody_says_more():
    whole = catalogue([8] * 20)
    sets = divide(whole)
    assert (len(names(sets.closed)), len(names(sets.validation)), len(names(sets.train))) == (4, 2, 14)
    assert placed(sets) == placed(divide(whole, 4, 2, seed=0)) != placed(divide(whole, 4, 2, seed=1))


@pytest.mark.parametrize("size", [-0.1, -1, 1.5, math.nan, math.inf])
def test_sizes_that_are_none(size):
    for name, sizes in (("closed", (size, 0)), ("validation", (0, size))):
        with pytest.raises(ConfigError) as caught:
            divide(catalogue([8] * 5), *sizes)
        remedy = "give a share below 1, or a whole number from 1 on"
        assert str(caught.value) == f"{name} = {size:g}: is no number of singers; {remedy}."


def test_a_clone_says_whom_it_imitates():
    with pytest.raises(ManifestError) as caught:
        divide(catalogue([8] * 5, [[]]), 1, 1)
    problem = "is a clone that does not say whom it imitates"
    assert str(caught.value) == f"track clone/0: {problem}; fill in target_singer_ids."


# Tracks with enough singing


def test_keep_sung_against_a_count_by_hand():
    vocal = {"all": [0.5, 0.9, 1.0, 0.7], "three": [0.5, 0.6, 0.49, 1.0], "half": [1.0, 1.0, 0.0, 0.0], "none": [0.2]}
    tracks = tuple(Track(name, "s", Path(f"{name}.wav")) for name in vocal)
    whole = Manifest(tracks, tuple(Piece(name, 3.0 * n, v) for name in vocal for n, v in enumerate(vocal[name])))
    for share, expected in ((0, 4), (0.5, 3), (0.75, 2), (0.76, 1), (1.0, 1)):
        kept = keep_sung(whole, share)
        assert [track.track_id for track in kept.tracks] == list(vocal)[:expected]
        assert kept.pieces == tuple(piece for piece in whole.pieces if piece.track_id in list(vocal)[:expected])
    assert [track.track_id for track in keep_sung(whole, 0.5, vocal=0.9).tracks] == ["all", "half"]


def test_keep_sung_does_not_guess():
    whole = catalogue([2])
    with pytest.raises(ManifestError) as caught:
        keep_sung(replace(whole, pieces=whole.pieces[:1]), 0.5)
    assert str(caught.value) == "track 0/1: has no pieces that say where it is sung; add them first."
    with pytest.raises(ManifestError) as caught:
        keep_sung(replace(whole, pieces=tuple(replace(piece, vocal=0.0) for piece in whole.pieces)), 0.75)
    assert str(caught.value) == "the manifest: has no track that is sung for 0.75 of its pieces; ask for less."


def test_sets_are_the_documented_ones():
    assert tuple(field.name for field in fields(Sets)) == (*SETS, "left_out")
