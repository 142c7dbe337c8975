"""Tables from result files, ours beside the paper's; nothing here runs a model.

Figures are shares of probes, 0 to 1: the mean over runs, their standard deviation, and a 95 % interval over singers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whosings.evaluation.results import Results
from whosings.metrics import Interval, share_interval

PUBLISHED: dict[tuple[str, str, int | None], tuple[float | None, float | None]] = {
    ("fma", "CLMR", None): (0.732, 0.736),
    ("fma", "Mixture", None): (0.766, 0.841),
    ("fma", "Hybrid", None): (0.776, 0.851),
    ("fma", "Vocal", None): (0.799, 0.857),
    ("mtg", "CLMR", None): (0.679, 0.680),
    ("mtg", "Mixture", None): (0.785, 0.884),
    ("mtg", "Hybrid", None): (0.793, 0.887),
    ("mtg", "Vocal", None): (0.832, 0.913),
    ("closed", "Mixture", 700): (0.698, None),
    ("closed", "Hybrid", 700): (0.745, None),
    ("closed", "Vocal", 700): (0.809, None),
    ("closed", "Mixture", 400): (None, 0.892),
    ("closed", "Hybrid", 400): (None, 0.901),
    ("closed", "Vocal", 400): (None, 0.932),
    ("cloned", "Mixture", 100): (0.401, None),
    ("cloned", "Hybrid", 100): (0.512, None),
    ("cloned", "Vocal", 100): (0.658, None),
    ("cloned", "Mixture", 800): (0.127, None),
    ("cloned", "Hybrid", 800): (0.153, None),
    ("cloned", "Vocal", 800): (0.334, None),
    ("cloned", "Vocal", 600): (None, 0.723),
}
"""Top-1 and top-5 of the paper (tables 1 to 3): (set, model, classes). Its closed and cloned singers are not public."""

_MARKUP = frozenset("&<>\"'|\\`*_[]~$#")

TRAIN_TRACKS = ((1, 4), (5, 9), (10, 14), (15, 19), (20, None))
"""Bins of training tracks a singer, as in the paper's figure 3, with one for fewer."""


@dataclass(frozen=True)
class Line:
    """One setting's accuracy.

    Attributes:
        top_1, top_5: by majority vote.
        deviation_1, deviation_5: standard deviation over runs.
        mean_top_1, mean_top_5: by mean probability of the segments.
        source_top_1: share of clones attributed to their source; None where no source takes part.
    """

    set: str
    model: str
    head: str
    classes: int
    runs: int
    probes: int
    top_1: Interval
    deviation_1: float
    top_5: Interval
    deviation_5: float
    mean_top_1: float
    mean_top_5: float
    source_top_1: float | None


@dataclass(frozen=True)
class TableCell:
    """Accuracy on a part of the probes, such as a genre."""

    value: str
    top_1: Interval
    top_5: Interval
    source_top_1: float | None


def lines(results: Results) -> tuple[Line, ...]:
    """One line for each set, model, head and number of classes."""
    return tuple(
        Line(
            set=key[0],
            model=key[1],
            head=key[2],
            classes=key[3],
            runs=len(np.unique(rows["run"])),
            probes=len(np.unique(rows["probe"])),
            top_1=_interval(rows, "top_1"),
            deviation_1=_deviation(rows, "top_1"),
            top_5=_interval(rows, "top_5"),
            deviation_5=_deviation(rows, "top_5"),
            mean_top_1=float(rows["mean_top_1"].mean()),
            mean_top_5=float(rows["mean_top_5"].mean()),
            source_top_1=_source(rows),
        )
        for key, rows in results.groups("set", "model", "head", "classes")
    )


def parts(rows: Results, column: str, least: int = 1) -> tuple[TableCell, ...]:
    """Accuracy by the values of a column: genre, language, clone_method, owner, album_shared.

    A probe of several genres (separated by ``;``) counts with each.

    Args:
        rows: results of one setting.
        least: probes of a value, else it is left out (the paper: 100 for genres).
    """
    found = []
    for value in values_of(rows, column):
        own = with_value(rows, column, value)
        if len(np.unique(own["probe"])) >= least:
            found.append(TableCell(value, _interval(own, "top_1"), _interval(own, "top_5"), _source(own)))
    return tuple(found)


def values_of(rows: Results, column: str) -> list[str]:
    """Values that occur in a column, in alphabetical order; unknown ones left out."""
    return sorted({value for cell in rows[column].tolist() for value in _values(cell)})


def with_value(rows: Results, column: str, value: str) -> Results:
    """Rows that have a value in a column, alone or among several."""
    return rows.at(np.array([value in _values(cell) for cell in rows[column].tolist()], bool))


def _values(cell: object) -> list[str]:
    return [] if cell is None else [part.strip() for part in str(cell).split(";") if part.strip()]


def by_train_tracks(rows: Results) -> tuple[TableCell, ...]:
    """Accuracy by the target's number of training tracks, in the bins of ``TRAIN_TRACKS``."""
    found = []
    for low, high in TRAIN_TRACKS:
        counts = rows["train_tracks"]
        own = rows.at((counts >= low) & (counts <= (high or np.inf)))
        if len(own):
            name = f"{low}-{high}" if high else f"{low}+"
            found.append(TableCell(name, _interval(own, "top_1"), _interval(own, "top_5"), _source(own)))
    return tuple(found)


def escaped(text: str) -> str:
    """Text that is only text both in HTML and in a cell or heading of Markdown: one line, markup as character codes."""
    return "".join(f"&#{ord(letter)};" if letter in _MARKUP else letter for letter in " ".join(text.split()))


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of plain texts."""
    ruled = [[*map(escaped, columns)], ["---"] * len(columns), *([*map(escaped, row)] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in ruled) + "\n"


def line_cells(line: Line) -> tuple[str, ...]:
    """A line as text, for ``LINE_COLUMNS``."""
    published = PUBLISHED.get((line.set, line.model.capitalize(), line.classes))
    if line.set in ("fma", "mtg"):
        published = PUBLISHED.get((line.set, line.model.capitalize(), None))
    return (
        line.set,
        line.model,
        line.head,
        str(line.classes),
        f"{line.runs} x {line.probes}",
        spread(line.top_1, line.deviation_1 if line.runs > 1 else None),
        spread(line.top_5, line.deviation_5 if line.runs > 1 else None),
        f"{line.mean_top_1:.1%} / {line.mean_top_5:.1%}",
        "" if line.source_top_1 is None else f"{line.source_top_1:.1%}",
        "" if published is None else " / ".join("-" if p is None else f"{p:.1%}" for p in published),
    )


LINE_COLUMNS = (
    "set",
    "model",
    "head",
    "singers",
    "runs x probes",
    "top-1 by vote",
    "top-5 by vote",
    "top-1 / top-5 by mean",
    "source named",
    "paper, top-1 / top-5",
)


def part_cells(part: TableCell) -> tuple[str, ...]:
    """A part as text: value, probes, top-1, top-5, source named."""
    source = "" if part.source_top_1 is None else f"{part.source_top_1:.1%}"
    return part.value, str(part.top_1.count), spread(part.top_1), spread(part.top_5), source


def spread(found: Interval, deviation: float | None = None) -> str:
    """``81.2% (77.0-85.1)``, with the deviation over runs if there is one."""
    runs = "" if deviation is None else f" ± {100 * deviation:.1f}"
    return f"{found.mean:.1%}{runs} ({100 * found.low:.1f}-{100 * found.high:.1f})"


def _interval(rows: Results, column: str) -> Interval:
    return share_interval(rows[column], rows["target"].tolist())


def _deviation(rows: Results, column: str) -> float:
    return float(np.std([own[column].mean() for _, own in rows.groups("run")]))


def _source(rows: Results) -> float | None:
    named = rows["source_top_1"]
    named = named[~np.isnan(named)]
    return float(named.mean()) if named.size else None
