"""Fixed splits of data sets that others have, too: roles and trials that file names alone decide, and their digest.

Conventions
-----------
- What is sung (``song``) or recorded together (``album``) is never on two sides: a singer's songs or albums are ordered
  by a hash of their names, and the first of them are test, the next validation, the rest training tracks. The same song
  has the same place in every singer's order.
- A singer of two songs has one to test and one to train on, of which single tracks validate. Where the first songs
  leave too little to train on, the order is turned until enough is left.
- Two people who hold the same files get the same digest.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from whosings.catalogue.manifest import Manifest, Track
from whosings.catalogue.roles import ROLES, SingerSplit, album_key
from whosings.catalogue.splits import UNUSED, LeftOut, part
from whosings.catalogue.trials import SexOf, Trial, draw_trials, every_pair
from whosings.errors import ManifestError
from whosings.sampling import sort_key

Apart = Literal["song", "album", "track"]
"""What is never on two sides of a split."""


@dataclass(frozen=True)
class Rules:
    """How a data set is split.

    Attributes:
        apart: what is never on two sides.
        test, validation: share of a singer's songs or albums, one at least.
        min_train: training tracks that a singer has at least.
        identification: False where singers have too few songs for roles: then every two tracks are a trial.
    """

    apart: Apart
    test: float = 0.2
    validation: float = 0.1
    min_train: int = 3
    identification: bool = True


@dataclass(frozen=True)
class FixedSplit:
    """A data set's roles and trials.

    Attributes:
        roles: None where the rules know no identification.
        digest: of the tracks, their singers, roles and trials; 16 hexadecimal digits.
    """

    roles: SingerSplit | None
    trials: tuple[Trial, ...]
    digest: str


def fixed_split(manifest: Manifest, rules: Rules, sex_of: SexOf, seed: int = 0) -> FixedSplit:
    """A manifest split by the rules; other seeds give other splits of the same kind.

    Raises:
        ManifestError: no singer has enough songs or albums, or there are no trials.
    """
    real = tuple(track for track in manifest.tracks if not track.cloned)
    if rules.identification:
        roles = apart_roles(manifest, rules, seed)
        trials = draw_trials(roles.train, roles.test, sex_of, seed)
    else:
        roles, trials = None, every_pair(real, sex_of)
    if not trials:
        raise ManifestError("the manifest", "has no two tracks to compare", "add tracks")
    return FixedSplit(roles, trials, _digest(manifest, roles, trials))


def apart_roles(manifest: Manifest, rules: Rules, seed: int = 0) -> SingerSplit:
    """Each singer's songs or albums as test, validation and training tracks.

    Raises:
        ManifestError: no singer has enough of them.
    """
    key = _KEYS[rules.apart]
    roles: dict[str, str] = {}
    left_out: list[LeftOut] = []
    for singer, tracks in manifest.by_singer.items():
        groups: dict[str, list[str]] = {}
        for track in tracks:
            if not track.cloned and (name := key(track)) is not None:
                groups.setdefault(name, []).append(track.track_id)
        found = _of_one_singer(groups, rules, seed)
        if found is not None:
            roles |= found
        elif len(groups) < 2:
            left_out.append(LeftOut(singer, f"fewer than two known {rules.apart}s"))
        else:
            left_out.append(
                LeftOut(singer, f"fewer than {rules.min_train} training tracks beside other {rules.apart}s")
            )
    if not roles:
        raise ManifestError(
            "the manifest", f"has no singer with two {rules.apart}s and enough tracks for a split", "add tracks"
        )
    parts = part(manifest, ROLES, roles)
    return SingerSplit(parts["train"], parts["validation"], parts["test"], parts[UNUSED], tuple(left_out))


def song_key(track: Track) -> str | None:
    """The song as it is compared, whatever its Unicode form, case and spaces; None if it is not known."""
    return " ".join(unicodedata.normalize("NFC", track.song or "").casefold().split()) or None


_KEYS: dict[Apart, Callable[[Track], str | None]] = {
    "song": song_key,
    "album": album_key,
    "track": lambda track: track.track_id,
}


def _of_one_singer(groups: dict[str, list[str]], rules: Rules, seed: int) -> dict[str, str] | None:
    """Roles by the first order, turned on until there is enough to train on; None where no turn leaves enough."""
    order = sorted(groups, key=lambda name: sort_key(seed, name))
    for turn in range(len(order) if len(order) > 1 else 0):
        found = _in_order(order[turn:] + order[:turn], groups, rules, seed)
        if sum(role == "train" for role in found.values()) >= rules.min_train:
            return found
    return None


def _in_order(order: Sequence[str], groups: dict[str, list[str]], rules: Rules, seed: int) -> dict[str, str]:
    tests = _share(rules.test, len(order))
    held = _share(rules.validation, len(order)) if len(order) > 2 else 0
    places = ["test"] * tests + ["validation"] * held
    found = {
        track_id: role
        for name, role in zip(order, places + ["train"] * (len(order) - len(places)), strict=True)
        for track_id in groups[name]
    }
    if not held:
        rest = sorted((t for t, role in found.items() if role == "train"), key=lambda t: sort_key(seed, t))
        found |= dict.fromkeys(rest[: _share(rules.validation, len(rest))], "validation")
    return found


def _share(share: float, number: int) -> int:
    return max(1, int(share * number + 0.5))


def _digest(manifest: Manifest, roles: SingerSplit | None, trials: Sequence[Trial]) -> str:
    parts = {UNUSED: manifest} if roles is None else {name: getattr(roles, name) for name in (*ROLES, UNUSED)}
    lines = [
        json.dumps([name, track.track_id, track.singer_id]) for name, part_ in parts.items() for track in part_.tracks
    ]
    lines += [json.dumps([t.enrolment, t.probe, t.same_singer, t.same_sex]) for t in trials]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]
