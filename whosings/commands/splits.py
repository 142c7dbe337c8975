"""Sets of singers and public data sets: split, import."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whosings.commands.options import DataSetName, Json
from whosings.console import Report, print_json

if TYPE_CHECKING:
    from whosings.catalogue.manifest import Manifest
    from whosings.catalogue.open_data.record import PassedOver
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
    protocol: Annotated[
        DataSetName | None,
        typer.Option(help="Roles and trials of a public data set, the same for everyone.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    as_json: Json = False,
) -> None:
    """Divide singers into train, validation and closed sets, and tracks of closed singers into roles.

    With --protocol, a public data set's table or folder gets its fixed split instead: see whosings datasets.
    """
    from whosings.catalogue.manifest import open_manifest, roles_path, segments_path, write_manifest
    from whosings.catalogue.roles import assign_roles, write_roles
    from whosings.catalogue.splits import divide, keep_sung

    if open_set and (closed is not None or validation is not None):
        raise typer.BadParameter("--open-set leaves no closed or validation singers to ask for")
    if protocol is not None:
        if open_set or by_album or sung is not None or closed is not None or validation is not None:
            raise typer.BadParameter("--protocol has rules of its own and takes --seed alone")
        _split_by_protocol(manifest, out, protocol, seed, as_json)
        return
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
    dataset: Annotated[DataSetName, typer.Argument(help="Its name, as whosings datasets lists it.")],
    source: Annotated[
        Path,
        typer.Argument(
            help="The data set's folder; of fma and mtg also tracks.csv, a table such as raw_30s.tsv, or the folder of "
            "the paper's splits, with --audio."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Track table to write (.parquet or .csv), or a folder for it.")
    ],
    audio: Annotated[
        Path | None,
        typer.Option(help="Folder of the audio of fma or mtg, where it lies elsewhere.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn a public data set's folder or metadata, or the paper's split of it, into a track table."""
    from whosings.catalogue.datasets import DATASETS
    from whosings.catalogue.manifest import write_manifest
    from whosings.catalogue.open_data.by_tables import metadata_of
    from whosings.catalogue.open_data.registry import read_dataset
    from whosings.catalogue.paper_splits import read_published
    from whosings.catalogue.roles import write_roles

    out = out if out.suffix else out / f"{dataset}.parquet"
    if source.resolve() == out.resolve():
        raise typer.BadParameter(f"{source} would be overwritten; give another --out")
    if audio is not None and dataset not in DATASETS:
        raise typer.BadParameter(f"--audio is for fma and mtg; {dataset} is one folder")
    run = Report()
    roles: SingerSplit | None = None
    passed_over: tuple[PassedOver, ...] = ()
    if audio is None and dataset in DATASETS and not source.is_dir():
        raise typer.BadParameter(f"{source} is no folder; give the data set's folder, or --audio")
    if audio is None:
        reading = read_dataset(dataset, source)
        whole, passed_over = reading.manifest, reading.passed_over
    elif (table := metadata_of(source, DATASETS[dataset])) is not None:
        whole = DATASETS[dataset].read_metadata(table, audio)
    else:
        roles = read_published(source, audio, DATASETS[dataset])
        whole = roles.whole
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
    _tell_passed_over(run, passed_over)
    more = {"missing": missing, "passed_over": passed_over}
    _report(run, {dataset: whole}, (), dataset, roles, as_json, more)


def _split_by_protocol(source: Path, out: Path, name: str, seed: int, as_json: bool) -> None:
    from whosings.catalogue.manifest import read_manifest, segments_path, write_manifest
    from whosings.catalogue.open_data.registry import OPEN_DATA_SETS, read_dataset
    from whosings.catalogue.protocols import fixed_split
    from whosings.catalogue.roles import write_roles
    from whosings.catalogue.trials import write_trials

    run, table = Report(), out / "open.parquet"
    if source.resolve() == table.resolve():
        raise typer.BadParameter(f"{source} would be overwritten; give another --out")
    if (out / "closed.parquet").exists():
        raise typer.BadParameter(f"{out} holds closed.parquet, which would be evaluated instead; give another --out")
    if source.is_dir():
        reading = read_dataset(name, source)
        whole = reading.manifest
        _tell_passed_over(run, reading.passed_over)
    else:
        whole = read_manifest(source)
    chosen = OPEN_DATA_SETS[name]
    found = fixed_split(whole, chosen.rules, chosen.sex_of, seed)
    segments_path(table).unlink(missing_ok=True)
    write_manifest(whole, table)
    if found.roles is not None:
        write_roles(found.roles, table)
    write_trials(found.trials, table)
    kinds = {
        "same": sum(trial.same_singer for trial in found.trials),
        "different": sum(not trial.same_singer for trial in found.trials),
        "same_sex": sum(trial.same_sex is True for trial in found.trials),
    }
    left_out = () if found.roles is None else found.roles.left_out
    _report(run, {"open": whole}, left_out, "open", found.roles, as_json, {"trials": kinds, "digest": found.digest})
    if not as_json:
        two = f"{kinds['different']} of two" + (f", {kinds['same_sex']} of one sex" if kinds["same_sex"] else "")
        run.out.print(f"trials: {kinds['same']} of one singer, {two}", markup=False)
        run.out.print(f"digest of {name}, seed {seed}: {found.digest}", markup=False)


def _tell_passed_over(run: Report, passed_over: Sequence[PassedOver]) -> None:
    reasons = Counter(one.reason for one in passed_over)
    for reason, count in reasons.most_common():
        first = next(one.path for one in passed_over if one.reason == reason)
        run.err.print(f"{count} passed over: {reason}; the first is {first}", style="yellow", markup=False)


def _report(
    run: Report,
    parts: Mapping[str, Manifest],
    left_out: tuple[LeftOut, ...],
    tested: str,
    roles: SingerSplit | None,
    as_json: bool,
    more: Mapping[str, object] | None = None,
) -> None:
    sets = {name: _count(part) for name, part in parts.items()}
    by_role = {} if roles is None else {role: _count(getattr(roles, role)) for role in ("train", "validation", "test")}
    if as_json:
        print_json({"sets": sets, "roles": by_role, "left_out": left_out, **(more or {})})
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
