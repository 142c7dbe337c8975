"""Making a planned choir: files, tables and checksums, in any number of processes, going on where it stopped.

A folder holds ``songs/`` and ``clones/`` (mixtures), ``stems/``, ``choir.parquet`` with every track, a table for each
set with the roles of the closed singers' tracks, ``SHA256SUMS`` over the audio, and ``choir.json``: what it is made
from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from whosings.catalogue.manifest import Manifest, write_manifest
from whosings.catalogue.roles import assign_roles, write_roles
from whosings.catalogue.splits import SETS as DIVISION
from whosings.catalogue.splits import part
from whosings.choir.jobs import Job, MadeTracks, Material, outside, track_paths, work
from whosings.choir.plan import Part, Plan, Preset, make_plan
from whosings.choir.takes import EASY
from whosings.errors import ConfigError, WhosingsError
from whosings.files import content_hash, write_atomic
from whosings.parallel import Workers, each, refuse_unshared
from whosings.progress import Progress, silent

MANIFEST, CHECKSUMS, RECIPE = "choir.parquet", "SHA256SUMS", "choir.json"
PUBLISHED: Mapping[str, str] = {
    "tiny": "816b4b3e80a1215e8a2c3e9b71427ffa3f3dbbd59532e374d0d8a194675233e6",
    "small": "5cbb50b95fcabf31d94a3d8533f80d1b6496c475514ed7ec83a3fc374d1058ea",
    "standard": "8eaccab43ffd1410783b2863cff9bc6a0d650a2ad62d93450d871daca8782889",
}
"""Digests of presets with seed 0, the built-in band and FLAC, as made with the versions that docs/choir.md names."""


@dataclass(frozen=True)
class SetSize:
    """How much one set holds; of clones, the singers are those they imitate."""

    name: str
    singers: int
    tracks: int


@dataclass(frozen=True)
class Built:
    """What came of it.

    Attributes:
        manifest: every track that was made.
        path: its table.
        sets: how much each holds.
        failures: what could not be made; the rest is there.
        made, kept: tracks made now, and found from an earlier run.
        digest: SHA-256 of ``SHA256SUMS``, which lists what was made from the seed, not what other tools made.
        published: whether the digest is the published one; None where none is.
    """

    manifest: Manifest
    path: Path
    sets: tuple[SetSize, ...]
    failures: tuple[WhosingsError, ...]
    made: int
    kept: int
    digest: str
    published: bool | None


def build(
    plan: Plan,
    folder: str | Path,
    material: Material | None = None,
    workers: Workers = 0,
    conversions: str | Path | None = None,
    progress: Progress = silent,
) -> Built:
    """Make a choir, or what is still missing of it.

    Args:
        workers: who makes them; 0 does so in this process. The files are the same.
        conversions: folder of clones that other tools made, see ``outside``.
        progress: given a label and a number of steps, returns what is called after each step.

    Raises:
        ConfigError: the folder holds another choir.
        ManifestError: the table of conversions is not as it should be.
        WhosingsError: nothing at all could be made.
    """
    folder, material = Path(folder).resolve(), (material or Material()).from_root()
    refuse_unshared(folder, workers)
    _claim(folder, plan, material)
    jobs = [Job(folder, plan, material, role) for role in plan.cast]
    for target in dict.fromkeys(clone.target for clone in plan.clones):
        jobs.append(Job(folder, plan, material, target, tuple(c for c in plan.clones if c.target == target)))
    step = progress("singing", len(jobs))
    found: dict[tuple[str, bool], MadeTracks] = {}
    for done in each(work, jobs, workers):
        job = done.item
        crashed = WhosingsError(job.singer.name, "could not be made, its process died", "run the command again")
        found[job.singer.name, bool(job.clones)] = done.result or MadeTracks((), (), (crashed,), 0)
        step()
    results = [found[job.singer.name, bool(job.clones)] for job in jobs]
    if conversions is not None:
        known = tuple(track for result in results for track in result.tracks)
        results.append(outside(conversions, folder, material.format, known))
    failures = tuple(failure for result in results for failure in result.failures)
    tracks = tuple(track for result in results for track in result.tracks)
    if not tracks:
        raise failures[0]
    whole = Manifest(tracks, tuple(piece for result in results for piece in result.pieces))
    write_manifest(whole, folder / MANIFEST)
    sets = _write_sets(whole, plan, folder)
    made = sum(result.made for result in results)
    digest = _write_checksums(folder, plan, material)
    expected = PUBLISHED.get(plan.preset.name) if plan.seed == 0 and material == Material() else None
    published = None if expected is None else digest == expected
    return Built(whole, folder / MANIFEST, sets, failures, made, len(tracks) - made, digest, published)


def write_choir(folder: str | Path, singers: int, songs: int, duration_s: float, seed: int = 0) -> Manifest:
    """A choir of parametric singers without clones, in this process: ``build`` with a preset made for the occasion."""
    nobody = Part(0, 0)
    preset = Preset("custom", Part(singers, songs), nobody, nobody, targets=0, clones=0, duration_s=duration_s)
    return build(make_plan(preset, seed), folder).manifest


def audio_files(plan: Plan, folder: Path, format: str) -> Iterator[Path]:
    """Every audio file that a plan stands for."""
    for role in plan.cast:
        for number in range(role.songs):
            yield from track_paths(folder, "songs", role.name, f"song-{number:02d}.{format}").values()
    for clone in plan.clones:
        yield from track_paths(folder, "clones", clone.target.name, f"clone-{clone.number:02d}.{format}").values()


def _claim(folder: Path, plan: Plan, material: Material) -> None:
    """Say what the folder is for; refuse one that is for something else."""
    said = {
        "preset": plan.preset.name,
        "seed": plan.seed,
        "plan": hashlib.sha256(repr(plan).encode()).hexdigest(),
        "material": material.digest(),
        "band": "built in" if material.soundfont is None else material.soundfont.name,
        "format": material.format,
    }
    if plan.preset.difficulty != EASY:
        said["difficulty"] = repr(plan.preset.difficulty)
    path = folder / RECIPE
    if path.exists():
        try:
            before = json.loads(path.read_text())
        except ValueError as error:
            raise ConfigError(path, "is damaged", "delete it, or take another folder") from error
        if before != said:
            changed = ", ".join(key for key in {**before, **said} if before.get(key) != said.get(key))
            raise ConfigError(folder, f"holds another choir ({changed} differ)", "take another folder or delete it")
    write_atomic(path, json.dumps(said, indent=1) + "\n")


def _write_sets(whole: Manifest, plan: Plan, folder: Path) -> tuple[SetSize, ...]:
    """A table for each set, and the roles of the closed singers' tracks."""
    of = {role.name: role.set for role in plan.cast}
    roles = {t.track_id: "cloned" if t.cloned else of[t.singer_id] for t in whole.tracks}
    sizes = []
    for name, manifest in part(whole, DIVISION, roles).items():
        if not manifest.tracks:
            continue
        path = folder / f"{name}.parquet"
        write_manifest(manifest, path)
        if name == "closed" and plan.preset.closed.fewest >= 3:
            write_roles(assign_roles(manifest, seed=plan.seed, min_train=1), path)
        singers = {s for t in manifest.tracks for s in (t.target_singer_ids if t.cloned else (t.singer_id,))}
        sizes.append(SetSize(name, len(singers), len(manifest.tracks)))
    return tuple(sizes)


def _write_checksums(folder: Path, plan: Plan, material: Material) -> str:
    """The lines that ``sha256sum --check`` reads; returns their own SHA-256."""
    files = sorted(path for path in audio_files(plan, folder, material.format) if path.exists())
    lines = "".join(f"{content_hash(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    write_atomic(folder / CHECKSUMS, lines)
    return hashlib.sha256(lines.encode()).hexdigest()
