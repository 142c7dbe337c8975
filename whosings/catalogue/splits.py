"""Divisions of a manifest, by singer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whosings.catalogue.manifest import Manifest
from whosings.errors import ManifestError


@dataclass(frozen=True)
class Division:
    """Two manifests without a singer in common."""

    kept: Manifest
    held_out: Manifest


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
        share: of the singers with two tracks or more, 0 to 1.

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

    def only(held: bool) -> Manifest:
        tracks = tuple(track for track in manifest.tracks if (track.singer_id in chosen) == held)
        ids = {track.track_id for track in tracks}
        return Manifest(tracks, tuple(piece for piece in manifest.pieces if piece.track_id in ids))

    return Division(only(False), only(True))
