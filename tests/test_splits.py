"""Divisions by singer."""

from pathlib import Path

import pytest

from whosings.catalogue.manifest import Manifest, Piece, Track
from whosings.catalogue.splits import hold_out_singers
from whosings.errors import ManifestError


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
    with pytest.raises(ManifestError, match=f"has {singers} singers with two tracks"):
        hold_out_singers(manifest(singers, loners=50), 0.5, seed=0)


@pytest.mark.parametrize(("singers", "share"), [(4, 0.9), (10, 1.0)])
def test_somebody_is_always_kept(singers, share):
    assert len(names(hold_out_singers(manifest(singers), share, seed=0).kept)) >= 2
