"""What a choir will hold, before any of it is made: presets, who is cast, which clones of whom.

Conventions
-----------
- Sets as in the paper: ``closed`` singers are identified and cloned, ``train`` and ``validation`` singers are others.
- A singer's number depends on its set and its place in it, never on the preset: whoever trains on one preset's training
  singers has heard nobody of another's closed set.
- Clones of one target: methods take turns; so does whose instrumental they stand on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Literal

import numpy as np

from whosings.choir.conversion import METHODS
from whosings.choir.takes import EASY, Difficulty
from whosings.errors import ConfigError

Set = Literal["closed", "train", "validation", "guest"]
Kind = Literal["parametric", "speech", "diphone"]
Backing = Literal["closed", "train", "unfamiliar"]

SETS: tuple[Set, ...] = ("closed", "train", "validation")
BACKINGS: tuple[Backing, ...] = ("closed", "train", "unfamiliar")
"""Whose instrumental a clone stands on: a singer's of the closed set or of training, or one never heard."""

TRACTS = (1.0, 0.84, 1.19, 0.71, 1.41)
"""Tract lengths that make as many identities of one speaker or diphone voice."""

_PREFIX: Mapping[Set, str] = {"closed": "singer", "train": "train", "validation": "validation", "guest": "guest"}
_SPAN = 100_000  # singer numbers set aside for each set
_CAST, _CLONES = 30, 31  # streams of random numbers


@dataclass(frozen=True)
class Part:
    """One set of a preset.

    Attributes:
        songs: of each singer; several numbers take turns.
    """

    singers: int
    songs: int | tuple[int, ...]
    kind: Kind = "parametric"

    def songs_of(self, index: int) -> int:
        """How many songs the singer at a place has."""
        return self.songs if isinstance(self.songs, int) else self.songs[index % len(self.songs)]

    @property
    def fewest(self) -> int:
        """Songs of the singer with the fewest."""
        return self.songs if isinstance(self.songs, int) else min(self.songs)


@dataclass(frozen=True)
class Preset:
    """A size of choir.

    Attributes:
        targets: closed singers who are cloned.
        clones: how many clones each of them has.
        duration_s: shortest song.
        difficulty: what makes its singers hard to tell apart. Those of an easy choir are the same in every preset.
    """

    name: str
    closed: Part
    train: Part
    validation: Part
    targets: int
    clones: int
    duration_s: float
    difficulty: Difficulty = field(default=EASY, repr=False)


_NOBODY = Part(0, 0)
_DISCOGRAPHIES = (7, 9, 12, 20)
_HARD = Difficulty(
    families=60,
    likeness=0.2,
    technique=0.5,
    treated=True,
    live=0.12,
    demo=0.08,
    years_apart=(1, 6),
    ageing=1.5,
    earlier=40,
)

PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("tiny", Part(4, 3), Part(2, 2), Part(1, 2), targets=2, clones=3, duration_s=8.0),
        Preset("starter", Part(5, 9), Part(8, 3), Part(4, 3), targets=2, clones=3, duration_s=8.0),
        Preset("small", Part(14, 4), Part(8, 3), Part(4, 2), targets=6, clones=6, duration_s=24.0),
        Preset("medium", Part(64, 5), Part(32, 3), Part(8, 2), targets=32, clones=6, duration_s=24.0),
        Preset("standard", Part(320, 7), Part(200, 4), Part(40, 3), targets=64, clones=6, duration_s=24.0),
        Preset(
            "standard-speech",
            *(Part(320, 7, "speech"), Part(200, 4, "speech"), Part(40, 3, "speech")),
            targets=64,
            clones=6,
            duration_s=24.0,
        ),
        Preset("standard-diphone", Part(320, 7, "diphone"), Part(200, 4), Part(40, 3), 64, 6, 24.0),
        Preset("languages", Part(177, 5, "diphone"), _NOBODY, _NOBODY, targets=0, clones=0, duration_s=12.0),
        Preset("medium-hard", Part(64, 5), Part(32, 3), Part(8, 2), 32, 6, 24.0, _HARD),
        Preset("hard", Part(320, _DISCOGRAPHIES), Part(200, 4), Part(40, 3), 32, 18, 20.0, _HARD),
        Preset("large", Part(1000, 10), Part(2000, 8), Part(200, 3), targets=200, clones=6, duration_s=30.0),
    )
}


@dataclass(frozen=True)
class Role:
    """One singer to be cast.

    Attributes:
        number: the singer's number, unique within a seed.
        base: place of its speaker or diphone voice among those there are; None for a parametric voice.
        tract: length against the base's own.
    """

    set: Set
    number: int
    kind: Kind
    base: int | None
    tract: float
    songs: int

    @property
    def name(self) -> str:
        """The singer's id."""
        return f"{_PREFIX[self.set]}-{self.number % _SPAN:04d}"


@dataclass(frozen=True)
class Clone:
    """One clone to be made.

    Attributes:
        number: among those of its target.
        source: whose performance is converted.
        song: which of the source's songs.
        owner: whose band plays: the source's as on the record, or a guest's.
    """

    target: Role
    number: int
    method: str
    backing: Backing
    source: Role
    song: int
    owner: Role


@dataclass(frozen=True)
class Plan:
    """A whole choir to be made."""

    preset: Preset
    seed: int
    cast: tuple[Role, ...]
    clones: tuple[Clone, ...]


def needs(preset: Preset) -> set[Kind]:
    """Kinds of singers that a preset takes beside parametric ones."""
    return {part.kind for part in _parts(preset).values() if part.singers} - {"parametric"}


def make_plan(preset: Preset, seed: int = 0, bases: Mapping[str, int] | None = None) -> Plan:
    """Cast singers and clones; the same for the same arguments.

    Args:
        bases: how many speakers (``speech``) and diphone voices (``diphone``) there are. Sets share none of them.

    Raises:
        ConfigError: too few speakers or voices, or more targets than closed singers.
    """
    if preset.targets > preset.closed.singers:
        raise ConfigError(f"the preset {preset.name}", "clones more singers than it has", "ask for fewer targets")
    places = {kind: _divide(preset, kind, (bases or {}).get(kind, 0), seed) for kind in sorted(needs(preset))}
    cast: list[Role] = []
    for name, part in _parts(preset).items():
        for index in range(part.singers):
            own = places[part.kind][name] if part.kind in places else None
            cast.append(
                Role(
                    name,
                    SETS.index(name) * _SPAN + index,
                    part.kind,
                    None if own is None else own[index % len(own)],
                    1.0 if own is None else TRACTS[index // len(own)],
                    part.songs_of(index),
                )
            )
    return Plan(preset, seed, tuple(cast), tuple(_clones(preset, seed, cast)))


def _parts(preset: Preset) -> dict[Set, Part]:
    return {"closed": preset.closed, "train": preset.train, "validation": preset.validation}


def _divide(preset: Preset, kind: Kind, bases: int, seed: int) -> dict[Set, list[int]]:
    """Speakers or voices of each set, in proportion to its singers."""
    wanted = {name: part.singers for name, part in _parts(preset).items() if part.kind == kind and part.singers}
    least = sum(ceil(singers / len(TRACTS)) for singers in wanted.values())
    if bases < least:
        what, remedy = (
            ("speakers", "give a larger folder of speech")
            if kind == "speech"
            else ("diphone voices", "install more of the mbrola packages, or take the preset standard")
        )
        raise ConfigError(f"the preset {preset.name}", f"needs {least} {what} and there are {bases}", remedy)
    order = np.random.default_rng([seed, _CAST]).permutation(bases).tolist()
    divided: dict[Set, list[int]] = {}
    left = sum(wanted.values())
    for name, singers in wanted.items():
        later = sum(ceil(other / len(TRACTS)) for others, other in wanted.items() if others not in (*divided, name))
        share = min(singers, max(ceil(singers / len(TRACTS)), min(len(order) - later, len(order) * singers // left)))
        divided[name], order = order[:share], order[share:]
        left -= singers
    return divided


def _clones(preset: Preset, seed: int, cast: list[Role]) -> list[Clone]:
    by_set: dict[Set, list[Role]] = {name: [role for role in cast if role.set == name] for name in SETS}
    methods = list(METHODS)
    clones: list[Clone] = []
    for place, target in enumerate(by_set["closed"][: preset.targets]):
        rng = np.random.default_rng([seed, _CLONES, target.number])
        for number in range(preset.clones):
            backing = BACKINGS[(number + number // len(methods) + place) % len(BACKINGS)]
            guest = Role("guest", len(SETS) * _SPAN + len(clones), "parametric", None, 1.0, 1)
            pool = by_set["train" if backing == "train" else "closed"]
            others = [role for role in pool if role != target and (role.base is None or role.base != target.base)]
            others = others or [guest]
            source = others[int(rng.integers(len(others)))]
            # Over an unfamiliar band, every other performance is a newcomer's.
            if backing == "unfamiliar" and (number + place) % 2:
                source = guest
            owner = guest if backing == "unfamiliar" else source
            song = int(rng.integers(source.songs))
            method = methods[number % len(methods)]
            clones.append(Clone(target, number, method, backing, source, song, owner))
    return clones
