"""Each singer's tracks as training, validation and test tracks (paper: Singer identification), and their table.

Conventions
-----------
- Table of roles: ``track_id, role``; the role is ``train``, ``validation`` or ``test``, other tracks have no row.
- Its name is the track table's with ``.roles`` before the ending: ``closed.parquet`` and ``closed.roles.parquet``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, permutations
from pathlib import Path

import pyarrow as pa

from whosings.catalogue.manifest import Manifest, Track, read_manifest, roles_path
from whosings.catalogue.splits import UNUSED, LeftOut, part
from whosings.catalogue.table_files import read_table, write_table
from whosings.errors import ManifestError
from whosings.sampling import sort_key

ROLES = ("train", "validation", "test")
_SCHEMA = pa.schema([("track_id", pa.string()), ("role", pa.string())])


@dataclass(frozen=True)
class SingerSplit:
    """For each singer tracks to test, to validate and to train on: of the first two one each by the paper's protocol.

    Attributes:
        train, validation, test: manifests of the same singers.
        unused: tracks in no role: clones, tracks of singers left out, and what would break a split by album.
        left_out: singers in no role.

    Raises:
        ManifestError: a singer without a track in each role, or a track twice.
    """

    train: Manifest
    validation: Manifest
    test: Manifest
    unused: Manifest = field(default=Manifest(()))
    left_out: tuple[LeftOut, ...] = ()

    def __post_init__(self) -> None:
        ids = {role: [track.track_id for track in getattr(self, role).tracks] for role in (*ROLES, UNUSED)}
        repeated = [name for name, count in Counter(chain.from_iterable(ids.values())).items() if count > 1]
        if repeated:
            sets = " and ".join(role for role, names in ids.items() if repeated[0] in names)
            raise ManifestError("the split", f"has track {repeated[0]} more than once, in {sets}", "keep one of them")
        singers = {track.singer_id for role in ROLES for track in getattr(self, role).tracks}
        for role in ROLES:
            counts = Counter(track.singer_id for track in getattr(self, role).tracks)
            for singer in sorted(singers):
                if not counts[singer]:
                    raise ManifestError(
                        "the split",
                        f"has no {role} track of singer {singer}",
                        "give each singer a test track, a validation track and some to train on",
                    )

    @property
    def whole(self) -> Manifest:
        """All tracks, those without a role last."""
        parts = (self.train, self.validation, self.test, self.unused)
        return Manifest(
            tuple(track for manifest in parts for track in manifest.tracks),
            tuple(piece for manifest in parts for piece in manifest.pieces),
        )

    @property
    def album_disjoint(self) -> bool:
        """Whether every album is known, and no singer has tracks of one album in two roles."""
        seen: dict[tuple[str, str], str] = {}
        for role in ROLES:
            for track in getattr(self, role).tracks:
                album = album_key(track)
                if album is None or seen.setdefault((track.singer_id, album), role) != role:
                    return False
        return True


def album_key(track: Track) -> str | None:
    """The album as it is compared, whatever its case and spaces; None if it is not known."""
    return " ".join((track.album or "").casefold().split()) or None


def assign_roles(manifest: Manifest, *, seed: int = 0, by_album: bool = False, min_train: int = 3) -> SingerSplit:
    """One test track, one validation track and the rest to train on, for each singer with enough real tracks.

    The draw depends on the seed and the singer's own track ids only: other singers change nothing.

    Args:
        by_album: test, validation and training tracks come from different albums. The other tracks of the test and
            validation albums are unused, and so is a track without album: it might be of any.
        min_train: training tracks that are left at least, 1 or more.

    Raises:
        ManifestError: no singer has enough tracks or albums.
    """
    key: Callable[[Track], str | None] = album_key if by_album else (lambda track: track.track_id)
    roles: dict[str, str] = {}
    left_out: list[LeftOut] = []
    for singer, tracks in manifest.by_singer.items():
        known = {track.track_id: name for track in tracks if not track.cloned and (name := key(track)) is not None}
        sizes = Counter(known.values())
        # The two smallest albums are the cheapest to set aside.
        if len(known) - sum(sorted(sizes.values())[:2]) < min_train:
            real = sum(not track.cloned for track in tracks)
            few = f"{real} real tracks, and no two of {len(sizes)} known albums can be set aside"
            left_out.append(LeftOut(singer, few if by_album else f"{real} of {min_train + 2} real tracks needed"))
            continue
        for test, validation in permutations(sorted(known, key=lambda track_id: sort_key(seed, track_id)), 2):
            aside = {known[test], known[validation]}
            if len(aside) == 2 and len(known) - sum(sizes[name] for name in aside) >= min_train:
                break
        roles |= {track_id: "train" for track_id, name in known.items() if name not in aside}
        roles |= {test: "test", validation: "validation"}
    if not roles:
        what = "albums" if by_album else "tracks"
        raise ManifestError("the manifest", f"has no singer with enough {what} for a split", f"add {what}")
    return _split(manifest, roles, left_out)


def write_roles(split: SingerSplit, manifest_path: str | Path) -> Path:
    """Write the table of roles beside a track table, in its format.

    Returns:
        The table's path.

    Raises:
        ManifestError: an ending other than ``.parquet`` and ``.csv``.
    """
    path = roles_path(Path(manifest_path))
    rows = [{"track_id": t.track_id, "role": role} for role in ROLES for t in getattr(split, role).tracks]
    write_table(rows, _SCHEMA, path)
    return path


def read_roles(manifest_path: str | Path) -> SingerSplit:
    """A track table with the table of roles beside it.

    Raises:
        ManifestError: a table is missing or malformed, a track is not in the manifest or has two roles, or a singer
            has not the roles that it should.
    """
    manifest, path = read_manifest(manifest_path), roles_path(Path(manifest_path))
    known = {track.track_id: track.singer_id for track in manifest.tracks}
    roles: dict[str, str] = {}
    for row in read_table(path, _SCHEMA, _SCHEMA.names).to_pylist():
        track_id, role = row["track_id"], row["role"]
        if track_id not in known:
            raise ManifestError(path, f"track_id {track_id} is not in {Path(manifest_path).name}", "split it again")
        if role not in ROLES:
            raise ManifestError(path, f"gives track {track_id} the role {role}", f"roles are {', '.join(ROLES)}")
        if track_id in roles:
            raise ManifestError(path, f"has track {track_id} more than once", "keep one of its rows")
        roles[track_id] = role
    placed = {known[track_id] for track_id in roles}
    left_out = [LeftOut(singer, "no roles in the table") for singer in manifest.by_singer if singer not in placed]
    try:
        return _split(manifest, roles, left_out)
    except ManifestError as error:
        raise ManifestError(path, error.problem, error.remedy) from error


def _split(manifest: Manifest, roles: Mapping[str, str], left_out: Iterable[LeftOut]) -> SingerSplit:
    parts = part(manifest, ROLES, roles)
    return SingerSplit(parts["train"], parts["validation"], parts["test"], parts[UNUSED], tuple(left_out))
