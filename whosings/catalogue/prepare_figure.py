"""A preparation as a picture: how many tracks each filter took, and how much singing there was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from whosings.catalogue.prepare import Prepared
from whosings.catalogue.track_status import TrackOutcome
from whosings.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT, _TAKEN, _FAILED = "#0f766e", "#d6a77a", "#b91c1c"
_FAILURES = (TrackOutcome.UNREADABLE, TrackOutcome.NOT_SEPARATED)


def draw(prepared: Prepared, path: str | Path) -> None:
    """Write a PNG: the tracks left after each filter on the left, the shares of singing on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.9 + 0.42 * len(prepared.stages)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_filters(left, prepared)
    _draw_shares(right, prepared)
    with atomic(path) as beside:
        figure.savefig(beside, dpi=130)


def _draw_filters(axes: Axes, prepared: Prepared) -> None:
    from matplotlib.ticker import MaxNLocator

    remaining = prepared.listed
    labels = [f"listed: {remaining:,}"]
    axes.barh(0, remaining, color=_LEFT)
    for row, stage in enumerate(prepared.stages[:-1], start=1):
        remaining -= stage.tracks
        axes.barh(row, remaining, color=_LEFT)
        axes.barh(row, stage.tracks, left=remaining, color=_FAILED if stage.outcome in _FAILURES else _TAKEN)
        labels.append(f"{stage.outcome}: −{stage.tracks:,}")
    kept = prepared.kept
    row = len(prepared.stages)
    axes.barh(row, kept.tracks, color=_LEFT)
    labels.append(f"kept: {kept.tracks:,}")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, max(1, prepared.listed))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("tracks")
    singers = "1 singer" if kept.singers == 1 else f"{kept.singers:,} singers"
    length = f"{60 * kept.hours:.0f} min" if kept.hours < 1 else f"{kept.hours:,.1f} hours"
    axes.set_title(
        f"{kept.tracks:,} of {prepared.listed:,} tracks kept: {singers}, {length}",
        loc="left",
        fontsize=10,
    )
    axes.spines[["top", "right"]].set_visible(False)


def _draw_shares(axes: Axes, prepared: Prepared) -> None:
    from matplotlib.ticker import MaxNLocator

    counts = prepared.vocal_shares
    width = 1 / len(counts)
    least = prepared.rules.min_vocal
    colours = [_LEFT if (number + 0.5) * width >= least else _TAKEN for number in range(len(counts))]
    axes.bar([(number + 0.5) * width for number in range(len(counts))], counts, width * 0.92, color=colours)
    axes.axvline(least, color="black", linewidth=1)
    axes.annotate(
        f" at least {least:.0%}", (least, 1.0), xycoords=("data", "axes fraction"), fontsize=8,
        va="bottom", ha="center", annotation_clip=False,
    )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("share of a track with singing")
    axes.set_ylabel("tracks")
    axes.set_title("")
    axes.spines[["top", "right"]].set_visible(False)
