"""Sets of singers and public data sets: split, import."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from whosings.commands.options import Json
from whosings.console import Report, print_json

if TYPE_CHECKING:
    from whosings.catalogue.manifest import Manifest
    from whosings.catalogue.roles import SingerSplit
    from whosings.catalogue.splits import LeftOut


def split(
    manifest: Annotated[Path, typer.Argument(help="Track table (.parquet or .csv), or a folder Singer/*.mp3.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the sets' tables.")],
    closed: Annotated[float | None, typer.Option(help="Closed singers, as a share below 1 or a number [0.2].")] = None,
    validation: Annotated[float | None, typer.Option(help="Validation singers, likewise [0.1].")] = None,
    open_set: Annotated[bool, typer.Option("--open-set", help="Train no encoder and test every singer.")] = False,
    by_album: Annotated[
        bool, typer.Option("--by-album", help="Test tracks from albums without training tracks.")
    ] = False,
    sung: Annotated[
        float | None, typer.Option(min=0, max=1, help="Drop tracks sung in less than this share of their pieces.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    as_json: Json = False,
) -> None:
    """Divide singers into train, validation and closed sets, and tracks of closed singers into roles."""
    from whosings.catalogue.manifest import open_manifest, roles_path, segments_path, write_manifest
    from whosings.catalogue.roles import assign_roles, write_roles
    from whosings.catalogue.splits import divide, keep_sung

    if open_set and (closed is not None or validation is not None):
        raise typer.BadParameter("--open-set leaves no closed or validation singers to ask for")
    whole = open_manifest(manifest)
    if sung is not None:
        whole = keep_sung(whole, sung)
    left_out: tuple[LeftOut, ...] = ()
    if open_set:
        parts = {"open": whole}
    else:
        sets = divide(whole, 0.2 if closed is None else closed, 0.1 if validation is None else validation, seed=seed)
        parts = {"train": sets.train, "validation": sets.validation, "closed": sets.closed, "cloned": sets.cloned}
        left_out = sets.left_out
    tested = "open" if open_set else "closed"
    # All that can fail has been done before anything is written.
    roles = assign_roles(parts[tested], seed=seed, by_album=by_album) if parts[tested].tracks else None
    files = {name: out / f"{name}.parquet" for name in parts}
    if manifest.resolve() in {path.resolve() for path in files.values()}:
        raise typer.BadParameter(f"{manifest} would be overwritten; give another --out")
    if open_set and (out / "closed.parquet").exists():
        raise typer.BadParameter(f"{out} holds closed.parquet, which would be evaluated instead; give another --out")
    for name, path in files.items():
        for old in (path, segments_path(path), roles_path(path)):
            old.unlink(missing_ok=True)
        if parts[name].tracks:
            write_manifest(parts[name], path)
    if roles is not None:
        write_roles(roles, files[tested])
        left_out += roles.left_out
    _report(Report(), parts, left_out, tested, roles, as_json)


def import_(
    dataset: Annotated[Literal["fma", "mtg"], typer.Argument(help="Free Music Archive, or MTG-Jamendo.")],
    source: Annotated[
        Path, typer.Argument(help="FMA's tracks.csv, a table such as raw_30s.tsv, or the folder of the paper's splits.")
    ],
    audio: Annotated[Path, typer.Option(help="Folder of the data set's audio.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Track table to write (.parquet or .csv).")],
    as_json: Json = False,
) -> None:
    """Turn a public data set's metadata, or the paper's split of it, into a track table."""
    from whosings.catalogue.datasets import DATASETS
    from whosings.catalogue.manifest import write_manifest
    from whosings.catalogue.paper_splits import read_published
    from whosings.catalogue.roles import write_roles

    if source.resolve() == out.resolve():
        raise typer.BadParameter(f"{source} would be overwritten; give another --out")
    run = Report()
    chosen, roles = DATASETS[dataset], None
    if source.is_dir():
        roles = read_published(source, audio, chosen)
        whole = roles.whole
    else:
        whole = chosen.read_metadata(source, audio)
    write_manifest(whole, out)
    if roles is not None:
        write_roles(roles, out)
    missing = whole.missing_audio()
    if missing:
        run.err.print(
            f"{len(missing)} of {len(whole.tracks)} audio files are not there, the first is {missing[0]}",
            style="yellow",
            markup=False,
        )
    _report(run, {dataset: whole}, (), dataset, roles, as_json, missing)


def _report(
    run: Report,
    parts: Mapping[str, Manifest],
    left_out: tuple[LeftOut, ...],
    tested: str,
    roles: SingerSplit | None,
    as_json: bool,
    missing: tuple[Path, ...] | None = None,
) -> None:
    sets = {name: _count(part) for name, part in parts.items()}
    by_role = {} if roles is None else {role: _count(getattr(roles, role)) for role in ("train", "validation", "test")}
    if as_json:
        found = {"sets": sets, "roles": by_role, "left_out": left_out}
        print_json(found if missing is None else {**found, "missing": missing})
        return
    named = sets | {f"{tested}, {role}": counts for role, counts in by_role.items()}
    run.print_table(
        ("set", "singers", "tracks"),
        [(name, str(counts["singers"]), str(counts["tracks"])) for name, counts in named.items()],
    )
    for reason, count in Counter(left.reason for left in left_out).most_common():
        run.out.print(f"{count} left out: {reason}", markup=False)


def _count(part: Manifest) -> dict[str, int]:
    # A cloned track counts for the singers that it imitates.
    singers = {s for t in part.tracks for s in (t.target_singer_ids if t.cloned else (t.singer_id,))}
    return {"singers": len(singers), "tracks": len(part.tracks)}
