"""Answers as a picture: who sings when, over the sound itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from whosings.answer import COLOURS, NOTICE, SOMEBODY_ELSE, Answer, TimelineSegment
from whosings.answer_text import verdict_line
from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.files import atomic
from whosings.spool import Sound

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NO_VOICE = "#d6dae0"
_COLUMNS = 1200  # of the picture's waveform
_LONGEST = 44  # letters of a name or title
_LETTERS_A_ROW = 220  # of a label, over the width of the picture
_NEAR_S = 1.0  # rest between two spans that have one label


@dataclass(frozen=True)
class PictureRow:
    """One row of the picture.

    Attributes:
        sound: the probe.
        right: whether the answer is right, where that is known.
    """

    answer: Answer
    sound: Sound
    title: str
    right: bool | None = None


def draw(rows: Sequence[PictureRow], path: str | Path) -> None:
    """Write a PNG with one waveform a row, coloured by the singer of each moment; all rows share one time axis.

    Where several voices sing, their spans are labelled with names if there is room. A moment's colour is that of the
    likeliest singer among the segments that cover it; the more certain, the stronger. Grey is somebody unknown, light
    grey is no singing.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    names = list(dict.fromkeys(s.singer for row in rows for s in row.answer.timeline if s.singer is not None))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    legend = [Patch(color=colour, label=_brief(name)) for name, colour in list(colours.items())[:12]]
    legend += [Patch(color=SOMEBODY_ELSE, label="somebody else"), Patch(color=_NO_VOICE, label="no singing found")]
    longest = max(len(str(patch.get_label())) for patch in legend)
    longest_s = max(row.answer.duration_s for row in rows)
    with matplotlib.rc_context({"text.parse_math": False}):  # a singer may be called Ca$h
        figure = Figure(figsize=(11, 1.0 + 1.15 * len(rows)), layout="constrained")
        strips = figure.subplots(len(rows), 1, squeeze=False, sharex=True)[:, 0]
        for axes, row in zip(strips, rows, strict=True):
            _draw_row(axes, row, colours)
            _label_spans(axes, row.answer, longest_s)
        strips[-1].set_xlim(0, longest_s)
        strips[-1].set_xlabel("seconds")
        columns = max(1, min(7, len(legend), 170 // (8 + longest)))
        figure.legend(handles=legend, loc="outside upper center", ncols=columns, frameon=False, fontsize=8)
        figure.supxlabel(NOTICE, fontsize=7, color=SOMEBODY_ELSE)
        with atomic(path) as beside:
            figure.savefig(beside, dpi=130)


def _brief(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _draw_row(axes: Axes, row: PictureRow, colours: dict[str, str]) -> None:
    from matplotlib.collections import PolyCollection

    low, high = _envelope(row.sound)
    edges = np.linspace(0, row.answer.duration_s, len(low) + 1)
    shades = [_shade(row.answer.timeline, centre, colours) for centre in (edges[:-1] + edges[1:]) / 2]
    boxes = [
        [(x0, y0), (x0, y1), (x1, y1), (x1, y0)] for x0, x1, y0, y1 in zip(edges, edges[1:], low, high, strict=False)
    ]
    axes.add_collection(PolyCollection(boxes, facecolors=shades, linewidths=0))
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
    axes.set_title(
        f"{_brief(row.title)}  →  {verdict_line(row.answer)}",
        loc="left",
        fontsize=9,
        color="#b91c1c" if row.right is False else "black",
    )


def _label_spans(axes: Axes, answer: Answer, longest_s: float) -> None:
    """Names over what they sing, where several voices sing."""
    stretches: list[TimelineSegment] = []
    for part in answer.timeline:
        last = stretches[-1] if stretches else None
        if last is not None and last.singer == part.singer and part.start_s <= last.start_s + last.duration_s + _NEAR_S:
            stretches[-1] = replace(last, duration_s=part.start_s + part.duration_s - last.start_s)
        else:
            stretches.append(part)
    if len({part.singer for part in stretches}) < 2:
        return  # the title says it
    for part in stretches:
        name = _brief(part.singer or "somebody else")
        if part.duration_s / longest_s * _LETTERS_A_ROW >= len(name):
            middle = part.start_s + part.duration_s / 2
            box = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1.5}
            axes.text(middle, 0.78, name, ha="center", va="center", fontsize=7, bbox=box, clip_on=True)


def _shade(timeline: Sequence[TimelineSegment], second: float, colours: dict[str, str]) -> tuple[str, float]:
    """(colour, opacity) of one moment."""
    over = [s for s in timeline if s.start_s <= second < s.start_s + s.duration_s]
    if not over:
        return _NO_VOICE, 1.0
    weight: dict[str | None, float] = {}
    for segment in over:
        weight[segment.singer] = weight.get(segment.singer, 0.0) + segment.probability
    who = max(weight, key=lambda name: weight[name])
    return colours[who] if who is not None else SOMEBODY_ELSE, 0.35 + 0.65 * min(1.0, weight[who] / len(over))


def _envelope(sound: Sound) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest sample of each column, scaled to -1..1; a column at a time is in memory."""
    samples = round(sound.duration_s * SAMPLE_RATE)
    edges = np.linspace(0, samples, min(_COLUMNS, samples) + 1).astype(int) / SAMPLE_RATE
    columns = [sound.cut(begin, end - begin).samples.mean(axis=0) for begin, end in pairwise(edges.tolist())]
    low, high = (np.array([f(column) for column in columns], np.float32) for f in (np.min, np.max))
    peak = max(1e-9, float(-low.min()), float(high.max()))
    return low / peak, high / peak
