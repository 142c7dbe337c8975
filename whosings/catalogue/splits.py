"""Divisions of a manifest, by singer: training, validation, closed and cloned sets (paper: Data preparation).

Who is drawn by ``divide`` and ``hold_out_singers`` depends on the seed and on the ids, never on the order of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from whosings.catalogue.manifest import Manifest, Piece, Track
from whosings.errors import ConfigError, ManifestError
from whosings.sampling import sort_key

SETS = ("train", "validation", "closed", "cloned")
UNUSED = "unused"


@dataclass(frozen=True)
class Division:
    """Two manifests without a singer in common."""

    kept: Manifest
    held_out: Manifest


@dataclass(frozen=True)
class LeftOut:
    """A singer that is in no set, and why."""

    singer_id: str
    reason: str


@dataclass(frozen=True)
class Sets:
    """A manifest divided as in the paper: no singer is in two of train, validation and closed.

    Attributes:
        train, validation, closed: real tracks only; ``validation`` has the same number of tracks for every singer.
        cloned: tracks that imitate at least one singer of ``closed``.
        unused: every track that is in no other set.
        left_out: singers with real tracks, or imitated by clones, that are in no set.
    """

    train: Manifest
    validation: Manifest
    closed: Manifest
    cloned: Manifest
    unused: Manifest
    left_out: tuple[LeftOut, ...]


def part(manifest: Manifest, names: Iterable[str], roles: Mapping[str, str]) -> dict[str, Manifest]:
    """One manifest for each name and for ``UNUSED``, in the order of the rows, pieces with their tracks.

    Args:
        roles: track id -> one of the names; tracks that are not in it are unused.
    """
    tracks: dict[str, list[Track]] = {name: [] for name in (*names, UNUSED)}
    pieces: dict[str, list[Piece]] = {role: [] for role in tracks}
    for track in manifest.tracks:
        tracks[roles.get(track.track_id, UNUSED)].append(track)
    for piece in manifest.pieces:
        pieces[roles.get(piece.track_id, UNUSED)].append(piece)
    return {name: Manifest(tuple(tracks[name]), tuple(pieces[name])) for name in tracks}


def keep_sung(manifest: Manifest, share: float, vocal: float = 0.5) -> Manifest:
    """Drop tracks with too little singing (paper: 0.75 of the time, 0.5 in the open sets).

    Args:
        share: how much of a track's pieces must be sung, 0 to 1.
        vocal: probability from which a piece counts as sung.

    Raises:
        ManifestError: a track without pieces: whether it is sung is not known; or no track is left.
    """
    roles = {}
    for track in manifest.tracks:
        pieces = manifest.pieces_by_track.get(track.track_id)
        if pieces is None:
            raise ManifestError(f"track {track.track_id}", "has no pieces that say where it is sung", "add them first")
        if sum(piece.vocal >= vocal for piece in pieces) >= share * len(pieces):
            roles[track.track_id] = "sung"
    if not roles:
        raise ManifestError("the manifest", f"has no track that is sung for {share:g} of its pieces", "ask for less")
    return part(manifest, ["sung"], roles)["sung"]


def divide(
    manifest: Manifest,
    closed: float = 0.2,
    validation: float = 0.1,
    *,
    seed: int = 0,
    closed_tracks: int = 7,
    validation_tracks: int = 2,
    train_tracks: int = 2,
) -> Sets:
    """Divide singers into train, validation and closed, and set the clones beside them (paper: Data preparation).

    Singers that clones imitate are in ``closed``; the rest of ``closed`` and ``validation`` are drawn at random.

    Args:
        closed, validation: singers in the set: below 1 a share of those with enough tracks to train, else a number.
        closed_tracks: real tracks that a closed singer has at least.
        validation_tracks: real tracks that a validation singer contributes, drawn at random.
        train_tracks: real tracks that a training singer has at least.

    Raises:
        ConfigError: a size is neither a share nor a whole number.
        ManifestError: the sizes cannot be met, nobody is left to train on, or a clone does not say whom it imitates.
    """
    real = {s: [t for t in tracks if not t.cloned] for s, tracks in manifest.by_singer.items()}
    clones = [track for track in manifest.tracks if track.cloned]
    for clone in clones:
        if not clone.target_singer_ids:
            raise ManifestError(
                f"track {clone.track_id}", "is a clone that does not say whom it imitates", "fill in target_singer_ids"
            )
    targets = {target for clone in clones for target in clone.target_singer_ids}
    able = sum(len(tracks) >= train_tracks for tracks in real.values())

    eligible = {s for s, tracks in real.items() if len(tracks) >= closed_tracks}
    imitated = targets & eligible
    wanted = _size("closed", closed, able)
    if wanted < len(imitated):
        raise ManifestError(
            "the closed set", f"has room for {wanted} singers and clones imitate {len(imitated)}", "ask for more"
        )
    others = _draw("closed", eligible - imitated, wanted - len(imitated), seed, closed_tracks)
    in_closed = imitated | others

    free = real.keys() - in_closed - targets
    eligible = {s for s in free if len(real[s]) >= validation_tracks}
    in_validation = _draw("validation", eligible, _size("validation", validation, able), seed, validation_tracks)
    in_train = {s for s in free - in_validation if len(real[s]) >= train_tracks}
    if not in_train:
        raise ManifestError("the manifest", "leaves no singer to train on", "ask for smaller sets or add singers")

    roles = {track.track_id: "closed" for singer in in_closed for track in real[singer]}
    roles |= {track.track_id: "train" for singer in in_train for track in real[singer]}
    for singer in in_validation:
        drawn = sorted(real[singer], key=lambda track: sort_key(seed, track.track_id))[:validation_tracks]
        roles |= {track.track_id: "validation" for track in drawn}
    roles |= {clone.track_id: "cloned" for clone in clones if in_closed.intersection(clone.target_singer_ids)}
    left_out = [
        LeftOut(singer, f"imitated by clones, with {len(real.get(singer, ()))} of {closed_tracks} real tracks needed")
        for singer in sorted(targets - in_closed)
    ] + [
        LeftOut(singer, f"{len(real[singer])} of {train_tracks} real tracks needed")
        for singer in sorted(free - in_validation - in_train)
        if real[singer]
    ]
    parts = part(manifest, SETS, roles)
    return Sets(
        parts["train"], parts["validation"], parts["closed"], parts["cloned"], parts[UNUSED], left_out=tuple(left_out)
    )


def sample_real(manifest: Manifest, singers: int, tracks: int, seed: int) -> Manifest:
    """At most so many singers and so many tracks of each, at random, clones left out."""
    rng = np.random.default_rng(seed)
    groups = [[track for track in group if not track.cloned] for group in manifest.by_singer.values()]
    groups = [group for group in groups if group]
    chosen = sorted(rng.permutation(len(groups))[:singers])
    return Manifest(tuple(groups[g][t] for g in chosen for t in sorted(rng.permutation(len(groups[g]))[:tracks])))


def hold_out_singers(manifest: Manifest, share: float, seed: int) -> Division:
    """Set a random share of the singers aside, two at least, and two at least stay.

    Args:
        share: how many of the singers with two tracks or more, 0 to 1.

    Raises:
        ManifestError: fewer than four singers have two tracks.
    """
    names = sorted(s for s, tracks in manifest.by_singer.items() if sum(not track.cloned for track in tracks) > 1)
    if len(names) < 4:
        raise ManifestError(
            "the manifest", f"has {len(names)} singers with two tracks, too few to set some aside", "add singers"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    chosen = {names[i] for i in order[: min(len(names) - 2, max(2, round(share * len(names))))]}
    held = {track.track_id: "held out" for track in manifest.tracks if track.singer_id in chosen}
    parts = part(manifest, ["held out"], held)
    return Division(parts[UNUSED], parts["held out"])


def _size(name: str, size: float, able: int) -> int:
    if 0 <= size < 1:
        return round(size * able)
    if not (size >= 1 and size == size // 1):  # NaN and infinity fail a comparison
        raise ConfigError(
            f"{name} = {size:g}", "is no number of singers", "give a share below 1, or a whole number from 1 on"
        )
    return int(size)


def _draw(name: str, eligible: set[str], wanted: int, seed: int, tracks: int) -> set[str]:
    if wanted > len(eligible):
        raise ManifestError(
            f"the {name} set",
            f"needs {wanted} singers and {len(eligible)} more have {tracks} real tracks",
            "ask for fewer singers or add tracks",
        )
    # The set's name is in the key, so that who is drawn for one says nothing about the other.
    return set(sorted(eligible, key=lambda singer: sort_key(seed, f"{name} {singer}"))[:wanted])
