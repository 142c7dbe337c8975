"""What the paper leaves open: a few clones known, and years between enrolment and probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from whosings.console import Report, print_json

if TYPE_CHECKING:
    from whosings.catalogue.manifest import Track
    from whosings.evaluation.corpus import Corpus
    from whosings.evaluation.protocol import Setting, SingerPool


def few_clones(
    run: Report,
    out: Path,
    setting: Setting,
    pool: SingerPool,
    corpus: Corpus,
    clones: Sequence[Track],
    known: Sequence[int],
    device: str,
    as_json: bool,
) -> None:
    """Evaluate with so many known clones of each target, one number after the other.

    Args:
        setting: all but the set.
    """
    from whosings.evaluation.few_clones import divide_clones, with_known
    from whosings.evaluation.paper_tables import LINE_COLUMNS, line_cells, lines
    from whosings.evaluation.protocol import evaluate
    from whosings.evaluation.results import read_results, write_summary

    divided = divide_clones(clones, pool, corpus, max(known), setting.seed)
    for number in known:
        with run.bars() as bars:
            own = replace(setting, set=f"cloned+{number}")
            evaluate(own, with_known(pool, divided, number), corpus, out, divided.asked, device, bars)
    found = [line for line in lines(read_results(out)) if line.set.startswith("cloned+")]
    write_summary(out / f"few-clones-{setting.model}.json", [asdict(line) for line in found])
    if as_json:
        print_json({"lines": found, "targets": len(divided.known), "left_out": divided.left_out})
        return
    run.print_table(LINE_COLUMNS, [line_cells(line) for line in found])
    run.out.print(f"{len(divided.asked)} clones of {len(divided.known)} singers asked", markup=False)
    for one in divided.left_out:
        run.err.print(f"  {one.singer_id}: {one.reason}", markup=False)


def careers(run: Report, out: Path, name: str, tracks: Sequence[Track], corpus: Corpus, as_json: bool) -> None:
    """Ask later tracks of singers who are enrolled with their first album."""
    from whosings.evaluation.careers import CAREER_COLUMNS, career_cells
    from whosings.evaluation.careers import careers as measure
    from whosings.evaluation.results import write_summary

    found = measure(name, tracks, corpus)
    write_summary(out / f"careers-{name}.json", asdict(found))
    if as_json:
        print_json(found)
    else:
        run.print_table(CAREER_COLUMNS, [career_cells(one) for one in found.bins])


def numbers(text: str) -> tuple[int, ...]:
    """``0,1,3,10``."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise typer.BadParameter(f"{text} is not a list of numbers such as 0,1,3")
    return tuple(sorted({int(part) for part in parts}))
