"""Verification trials: which two recordings are compared, and whether one singer sings both; drawn by hash, in a table.

Conventions
-----------
- Table of trials: ``enrolment, probe, same_singer, same_sex``; the first two are track ids, ``same_sex`` is empty where
  the sex of either singer is not known.
- Its name is the track table's with ``.trials`` before the ending: ``open.parquet`` and ``open.trials.parquet``.
- A draw depends on the seed and on the ids of singers and tracks, never on the order of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from itertools import combinations
from pathlib import Path

import pyarrow as pa

from whosings.catalogue.manifest import Manifest, Track, trials_path
from whosings.catalogue.table_files import read_table, write_table
from whosings.errors import ManifestError
from whosings.sampling import draw, sort_key

SexOf = Callable[[str], str | None]
"""A singer's sex by singer id, in any words; None where it is not known."""

_SCHEMA = pa.schema(
    [("enrolment", pa.string()), ("probe", pa.string()), ("same_singer", pa.bool_()), ("same_sex", pa.bool_())]
)
_REQUIRED = ("enrolment", "probe", "same_singer")
_PROBES = 20  # of a singer
_ALL_PROBES = 2000  # about as many of all singers together, one of each singer at least
_TARGETS = 5  # of a probe
_IMPOSTORS = 10  # of a probe, half of them of its singer's sex


@dataclass(frozen=True, slots=True)
class Trial:
    """Two recordings to be compared.

    Attributes:
        enrolment, probe: track ids.
        same_sex: whether both singers are of one sex, where that is known.
    """

    enrolment: str
    probe: str
    same_singer: bool
    same_sex: bool | None = None


def draw_trials(enrolments: Manifest, probes: Manifest, sex_of: SexOf, seed: int = 0) -> tuple[Trial, ...]:
    """Trials between two parts of a set, say its training and its test tracks.

    Up to 20 probes of a singer (fewer of each where there are more than a hundred singers) meet up to 5 enrolments of
    their own singer, and one each of up to 10 other singers, half of whom are of the same sex where that is known.
    """
    own = {singer: sorted(tracks, key=_id) for singer, tracks in enrolments.by_singer.items()}
    names = sorted(own)
    sexes = {name: sex_of(name) for name in {*names, *probes.by_singer}}
    by_sex: dict[str | None, list[str]] = {}
    for name in names:
        by_sex.setdefault(sexes[name], []).append(name)
    most = min(_PROBES, max(1, _ALL_PROBES // max(1, len(probes.by_singer))))
    found: list[Trial] = []
    for singer in sorted(probes.by_singer):
        tracks = sorted(probes.by_singer[singer], key=lambda track: sort_key(seed, track.track_id))[:most]
        alike = [name for name in by_sex[sexes[singer]] if name != singer] if sexes[singer] and singer in own else []
        others = [name for name in names if name != singer and (not alike or sexes[name] != sexes[singer])]
        for probe in tracks:
            name = probe.track_id
            mine = own.get(singer, [])
            found += [Trial(mine[n].track_id, name, True, None) for n in draw(seed, f"{name} own", len(mine), _TARGETS)]
            some = [alike[n] for n in draw(seed, f"{name} alike", len(alike), _IMPOSTORS // 2)]
            some += [others[n] for n in draw(seed, f"{name} other", len(others), _IMPOSTORS - len(some))]
            for other in some:
                (place,) = draw(seed, f"{name} {other}", len(own[other]), 1)
                found.append(Trial(own[other][place].track_id, name, False, _alike(sexes[singer], sexes[other])))
    return tuple(found)


def every_pair(tracks: Sequence[Track], sex_of: SexOf) -> tuple[Trial, ...]:
    """Each two tracks once: for sets so small that no draw is needed."""
    return tuple(
        Trial(one.track_id, other.track_id, True)
        if one.singer_id == other.singer_id
        else Trial(one.track_id, other.track_id, False, _alike(sex_of(one.singer_id), sex_of(other.singer_id)))
        for one, other in combinations(sorted(tracks, key=_id), 2)
    )


def write_trials(trials: Sequence[Trial], manifest_path: str | Path) -> Path:
    """Write the table of trials beside a track table, in its format.

    Returns:
        The table's path.

    Raises:
        ManifestError: an ending other than ``.parquet`` and ``.csv``.
    """
    path = trials_path(Path(manifest_path))
    write_table((dict(zip(_SCHEMA.names, astuple(trial), strict=True)) for trial in trials), _SCHEMA, path)
    return path


def read_trials(manifest_path: str | Path, manifest: Manifest) -> tuple[Trial, ...]:
    """The table of trials beside a track table.

    Raises:
        ManifestError: the table is missing, malformed or empty, names a track that is not in the manifest, or
            contradicts it on whether one singer sings both tracks.
    """
    path = trials_path(Path(manifest_path))
    if not path.exists():
        raise ManifestError(path, "no such table of trials", "make it: whosings split --protocol")
    singers = {track.track_id: track.singer_id for track in manifest.tracks}
    trials = tuple(Trial(**row) for row in read_table(path, _SCHEMA, _REQUIRED).to_pylist())
    if not trials:
        raise ManifestError(path, "holds no trials", "split it again")
    for trial in trials:
        for name in (trial.enrolment, trial.probe):
            if name not in singers:
                raise ManifestError(path, f"track_id {name} is not in {Path(manifest_path).name}", "split it again")
        if trial.same_singer is not (singers[trial.enrolment] == singers[trial.probe]):
            raise ManifestError(
                path, f"contradicts the track table on who sings {trial.enrolment} and {trial.probe}", "split it again"
            )
    return trials


def _id(track: Track) -> str:
    return track.track_id


def _alike(one: str | None, other: str | None) -> bool | None:
    return None if one is None or other is None else one == other
