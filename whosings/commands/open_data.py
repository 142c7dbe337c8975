"""Public data sets: datasets list, show, index, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whosings.commands.options import DataSetName, Json
from whosings.console import Report, print_json

_MOST = 20  # names of files printed of a kind


def datasets(context: typer.Context, as_json: Json = False) -> None:
    """Public data sets that can be imported and split: what they hold, and what their licences allow."""
    if context.invoked_subcommand is not None:
        return
    from whosings.catalogue.open_data.registry import OPEN_DATA_SETS

    run = Report()
    if as_json:
        print_json([_facts(name) for name in OPEN_DATA_SETS])
        return
    for one in OPEN_DATA_SETS.values():  # lines, which a terminal wraps; a table would be cut
        what = f"{one.title}: {one.size}; {one.licence}; commercial use: {one.commercial}"
        run.out.print(f"{one.name:<14}{what}", markup=False)


def show(
    name: Annotated[DataSetName, typer.Argument(help="The data set's name.")],
    as_json: Json = False,
) -> None:
    """Show one data set: where to get it, how its folder looks, who is a singer, how it is split."""
    run, facts = Report(), _facts(name)
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        run.out.print(f"{key.replace('_', ' ')}: {value}", markup=False)


def index(
    folder: Annotated[Path, typer.Argument(help="The data set's folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Index to write (.json).")],
    as_json: Json = False,
) -> None:
    """Write the size and SHA-256 of each file of a folder into an index, against which copies are checked."""
    from whosings.catalogue.open_data.index import make_index, write_index

    run = Report()
    if out.resolve().is_relative_to(folder.resolve()):
        raise typer.BadParameter(f"{out} lies in {folder} and would be a file of it; give another --out")
    with run.bars() as bars:
        found = make_index(folder, bars)
    write_index(found, out)
    total = sum(file.size or 0 for file in found.values())
    if as_json:
        print_json({"files": len(found), "bytes": total, "index": out})
    else:
        run.out.print(f"{len(found)} files, {total / 1e6:.1f} MB in {out}", markup=False)


def check(
    folder: Annotated[Path, typer.Argument(help="The data set's folder.")],
    against: Annotated[
        Path, typer.Option("--index", "-i", help="An index, or a list of SHA-256 such as the data set publishes.")
    ],
    sizes_only: Annotated[bool, typer.Option("--sizes-only", help="Read no file: quick, and sees less.")] = False,
    as_json: Json = False,
) -> None:
    """Say which files of a folder are missing, changed or extra; exit code 1 if any is missing or changed."""
    from whosings.catalogue.open_data.index import check_index, read_index

    run = Report()
    known = read_index(against)
    with run.bars() as bars:
        found = check_index(folder, known, sizes_only, bars)
    if as_json:
        print_json(found)
    else:
        for kind in ("missing", "changed", "extra"):
            names: tuple[str, ...] = getattr(found, kind)
            for name in names[:_MOST]:
                run.out.print(f"{kind}: {name}", markup=False)
            if len(names) > _MOST:
                run.out.print(f"{kind}: {len(names) - _MOST} more, all of them with --json", markup=False)
        run.out.print(
            f"{found.files} files listed: {len(found.missing)} missing, {len(found.changed)} changed; "
            f"{len(found.extra)} extra",
            markup=False,
        )
    if found.missing or found.changed:
        raise typer.Exit(1)


def _facts(name: str) -> dict[str, object]:
    from whosings.catalogue.open_data.registry import OPEN_DATA_SETS

    one = OPEN_DATA_SETS[name]
    rules = one.rules
    split = (
        f"by {rules.apart}: {rules.test:.0%} to test, {rules.validation:.0%} to validate, the rest to train on; trials"
        if rules.identification
        else "no roles; every two songs are a trial"
    )
    facts: dict[str, object] = {key: getattr(one, key) for key in ("name", "title", "citation", "licence")}
    facts["commercial_use"] = one.commercial
    facts |= {key: getattr(one, key) for key in ("home", "size", "form", "singer", "song")}
    return {**facts, "split": split, "checksums": one.checksums, "not_verified": one.unverified}
