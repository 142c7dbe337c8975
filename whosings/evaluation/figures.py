"""The paper's figures 1 to 4, and those of clones, calibration and open sets, from result files; PNG and PDF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from whosings.errors import MissingExtraError
from whosings.evaluation.paper_tables import TRAIN_TRACKS, TableCell, parts, values_of, with_value
from whosings.evaluation.results import Results
from whosings.evaluation.similarity import BARS
from whosings.files import atomic
from whosings.metrics import share_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from whosings.evaluation.careers import Careers

_COLOURS = (
    "#2563eb",
    "#d97706",
    "#059669",
    "#7c3aed",
    "#dc2626",
    "#0891b2",
    "#65a30d",
    "#db2777",
    "#92400e",
    "#1e3a8a",
    "#525252",
    "#f472b6",
)
_GREY = "#9ca3af"
_LEAST_RUNS = 5  # of a violin
_LEAST = 20  # probes of a genre, over all runs together
_SIZE = (9.5, 4.2)


def accuracy_by_classes(results: Results, path: Path) -> list[Path]:
    """Figure 1: top-1 and top-5 against the number of singers, a marker a run and the mean; real left, cloned right."""
    sets = [name for name in ("closed", "fma", "mtg", "cloned-real", "cloned") if (results["set"] == name).any()]
    if not sets:
        return []
    figure = _figure((10.5, 4.4))
    colours = dict(zip((key for key, _ in results.groups("model", "head")), _cycle(), strict=False))
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(sets), sharey=True)), sets, strict=True):
        for key, rows in results.where(set=name).groups("model", "head"):
            colour, (model, head) = colours[key], key
            for column, marker, style in (("top_1", "o", "-"), ("top_5", "s", "--")):
                counts, means = [], []
                for (classes,), own in rows.groups("classes"):
                    runs = [one[column].mean() for _, one in own.groups("run")]
                    axes.plot([classes] * len(runs), runs, marker, color=colour, markersize=3, alpha=0.35, linewidth=0)
                    counts.append(classes)
                    means.append(np.mean(runs))
                axes.plot(counts, means, style, marker=marker, color=colour, markersize=5)
        axes.set_title(
            {"closed": "real singers", "cloned": "their clones", "cloned-real": "cloned singers, real"}.get(name, name)
        )
        axes.set_xlabel("singers")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.set_ylim(0, 1.02)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("accuracy")
    for (model, head), colour in colours.items():
        figure.axes[0].plot([], [], color=colour, label=f"{model}, {head}")
    for style, label in (("o-", "top-1"), ("s--", "top-5")):
        figure.axes[0].plot([], [], style, color=_GREY, label=label)
    figure.axes[0].legend(fontsize=7)
    return _save(figure, path)


def accuracy_by_value(rows: Results, column: str, path: Path) -> list[Path]:
    """Figure 2: top-5 by genre (or language), box plots over runs, for the largest number of singers of a setting."""
    models = [key for key, _ in rows.groups("model")]
    values = [value for value in values_of(rows, column) if len(with_value(rows, column, value)) >= _LEAST]
    if not values:
        return []
    figure = _figure(_SIZE)
    axes = figure.subplots()
    width = 0.8 / len(models)
    for place, (colour, (model,)) in enumerate(zip(_cycle(), models, strict=False)):
        own = rows.where(model=model)
        runs = [[one["top_5"].mean() for _, one in with_value(own, column, v).groups("run")] for v in values]
        at = np.arange(len(values)) + (place - (len(models) - 1) / 2) * width
        shown = axes.boxplot(runs, positions=at, widths=0.85 * width, patch_artist=True, medianprops={"color": "black"})
        for box in shown["boxes"]:
            box.set(facecolor=colour, alpha=0.6)
        axes.plot([], [], "s", color=colour, alpha=0.6, label=model)
    counts = [len(np.unique(with_value(rows, column, value)["probe"])) for value in values]
    axes.set_xticks(range(len(values)), [f"{v}\n{n} tracks" for v, n in zip(values, counts, strict=True)], fontsize=8)
    axes.set_ylabel("top-5")
    axes.set_ylim(0, 1.02)
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(models), fontsize=8)
    return _save(figure, path)


def accuracy_by_train_tracks(results: Results, path: Path) -> list[Path]:
    """Figure 3: top-1 of runs by the number of training tracks a singer, at several numbers of singers.

    Five runs or more that differ are a violin, others a strip of points.
    """
    classes = np.unique(results["classes"])
    chosen = classes[np.unique(np.linspace(0, len(classes) - 1, 3).round().astype(int))]
    figure = _figure(_SIZE)
    axes = figure.subplots()
    names, ticks = [], []
    for group, count in enumerate(chosen):
        for bin_, (low, high) in enumerate(TRAIN_TRACKS):
            tracks = results["train_tracks"]
            own = results.at((results["classes"] == count) & (tracks >= low) & (tracks <= (high or np.inf)))
            runs = [one["top_1"].mean() for _, one in own.groups("run")]
            if not runs:
                continue
            at = group * (len(TRAIN_TRACKS) + 1) + bin_
            colour = _COLOURS[group % len(_COLOURS)]
            if len(runs) >= _LEAST_RUNS and np.ptp(runs) > 0:
                shown: dict[str, Any] = axes.violinplot([runs], positions=[at], showmedians=True)
                shown["bodies"][0].set(facecolor=colour, alpha=0.6)
                for lines in ("cbars", "cmins", "cmaxes", "cmedians"):
                    shown[lines].set_color(colour)
                axes.plot([at] * len(runs), runs, ".", color="black", markersize=3)
            else:  # beside each other, so that equal ones show
                beside = at + 0.12 * (np.arange(len(runs)) - (len(runs) - 1) / 2)
                axes.plot(
                    beside if len(runs) < _LEAST_RUNS else [at] * len(runs), runs, "o", color=colour, markersize=5
                )
            ticks.append(at)
            names.append(f"{low}-{high}" if high else f"{low}+")
        axes.plot([], [], "s", color=_COLOURS[group % len(_COLOURS)], alpha=0.6, label=f"{count} singers")
    axes.set_xticks(ticks, names, fontsize=8)
    axes.set_xlabel("training tracks a singer")
    axes.set_ylabel("top-1")
    axes.set_ylim(0, 1.02)
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(chosen), fontsize=8)
    return _save(figure, path)


def similarity_bars(found: Sequence[dict[str, Any]], path: Path) -> list[Path]:
    """Figure 4: mean cosine of a test track to itself, its stems, the validation track and another singer's track."""
    figure = _figure(_SIZE)
    axes = figure.subplots()
    width = 0.8 / len(found)
    for place, (colour, one) in enumerate(zip(_cycle(), found, strict=False)):
        bars = [one["bars"][bar] for bar in BARS]
        means = np.array([bar["mean"] for bar in bars])
        reach = np.abs(np.array([[bar["low"], bar["high"]] for bar in bars]).T - means)
        at = np.arange(len(BARS)) + (place - (len(found) - 1) / 2) * width
        axes.bar(
            at, means, width, yerr=reach, color=colour, alpha=0.75, label=one["model"], error_kw={"linewidth": 0.8}
        )
    axes.set_xticks(range(len(BARS)), BARS, fontsize=8)
    axes.set_ylabel("mean cosine")
    axes.axhline(0, color="black", linewidth=0.6)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    return _save(figure, path)


def clone_bars(clones: Results, path: Path) -> list[Path]:
    """Clones by method and by whose band plays: how often the target is named, and the source."""
    columns = [c for c in ("clone_method", "owner") if any(clones[c].tolist())]
    if not columns:
        return []
    models = [model for (model,), _ in clones.groups("model")]
    figure = _figure((10.5, 3.0 + 1.2 * len(models)))
    grid = figure.subplots(len(models), len(columns), sharey=True, squeeze=False)
    for row, model in zip(grid, models, strict=True):
        for axes, column in zip(row, columns, strict=True):
            _clone_bars(axes, parts(clones.where(model=model), column))
            axes.set_title(f"{model}: by {'method' if column == 'clone_method' else 'whose band plays'}", fontsize=9)
    grid[0, 0].legend(fontsize=8)
    return _save(figure, path)


def few_clones(results: Results, path: Path) -> list[Path]:
    """Clones named right against the number of clones that were known, and the same singers' real tracks."""
    models = sorted({(model, head) for (model, head), _ in results.groups("model", "head")})
    figure = _figure((6.4, 4.0))
    axes, numbers = figure.subplots(), set[int]()
    for (model, head), colour in zip(models, _cycle(), strict=False):
        for real, style in (("", "-"), ("-real", ":")):
            points = []
            for name in dict.fromkeys(results["set"].tolist()):
                rows = results.where(set=name, model=model, head=head)
                if name.startswith("cloned+") and name.endswith("-real") == bool(real) and len(rows):
                    number = int(name.removeprefix("cloned+").removesuffix("-real"))
                    found = share_interval(rows["top_1"], rows["target"].tolist())
                    points.append((number, found.mean, found.mean - found.low, found.high - found.mean))
            if points:
                at, mean, below, above = zip(*sorted(points), strict=True)
                numbers |= set(at)
                label = f"{model}, {head}: {'real tracks' if real else 'clones'}"
                axes.errorbar(at, mean, [below, above], marker="o", ls=style, color=colour, capsize=3, label=label)
    axes.set(xlabel="known clones of each singer", ylabel="top-1 by vote", ylim=(0, 1.02), xticks=sorted(numbers))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    return _save(figure, path)


def careers(found: Sequence[Careers], path: Path) -> list[Path]:
    """Accuracy against the years between enrolment and probe, a line a model."""
    figure = _figure((6.4, 4.0))
    axes = figure.subplots()
    for one, colour in zip(found, _cycle(), strict=False):
        shares = [part.top_1 for part in one.bins]
        mean = np.array([share.mean for share in shares])
        reach = [mean - [share.low for share in shares], [share.high for share in shares] - mean]
        names = [f"{part.years}\n{part.top_1.count} tracks" for part in one.bins]
        axes.errorbar(names, mean, np.maximum(reach, 0), marker="o", color=colour, capsize=3, label=one.model)
    axes.set(xlabel="years since the enrolled album", ylabel="top-1", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return _save(figure, path)


def product_figure(found: Sequence[dict[str, Any]], path: Path) -> list[Path]:
    """Reliability of stated probabilities, and verification trials with the shipped threshold."""
    figure = _figure((10.5, 3.6 * len(found)))
    grid = figure.subplots(len(found), 2, squeeze=False)
    for (left, right), one in zip(grid, found, strict=True):
        bins = one["open_set"]["bins"]
        left.plot([0, 1], [0, 1], color=_GREY, linewidth=1)
        sizes = [20 + 200 * b["count"] / sum(c["count"] for c in bins) for b in bins]
        left.scatter([b["probability"] for b in bins], [b["right"] for b in bins], sizes, color=_COLOURS[0], alpha=0.7)
        left.set(
            xlabel="stated probability of the best candidate", ylabel="share right", xlim=(0, 1), ylim=(-0.02, 1.02)
        )
        error = one["open_set"]["calibration_error"]
        left.set_title(f"{one['model']}: reliability, half of the singers enrolled; error {error:.3f}", fontsize=9)
        trials = one["trials"]
        edges = np.histogram_bin_edges([*trials["same"], *trials["different"]], 60)
        for name, colour in (("different", _GREY), ("same", _COLOURS[0])):
            label = f"{'one singer' if name == 'same' else 'two singers'} ({len(trials[name])})"
            right.hist(trials[name], edges, density=True, color=colour, alpha=0.6, label=label)
        right.axvline(trials["threshold"], color="black", linewidth=1, label="shipped threshold")
        right.set(xlabel="log-likelihood ratio (nats)", yticks=[])
        right.set_title(f"{one['model']}: verification, EER {trials['eer']:.1%}", fontsize=9)
        right.legend(fontsize=7)
    return _save(figure, path)


def _clone_bars(axes: Axes, found: Sequence[TableCell]) -> None:
    at = np.arange(len(found))
    for place, (name, colour) in enumerate((("target named", _COLOURS[0]), ("source named", _COLOURS[4]))):
        values = [part.top_1.mean if place == 0 else part.source_top_1 or 0.0 for part in found]
        axes.bar(at + (place - 0.5) * 0.4, values, 0.4, color=colour, alpha=0.75, label=name)
    axes.set_xticks(at, [f"{part.value}\n{part.top_1.count} answers" for part in found], fontsize=8)
    axes.set_ylim(0, 1.02)
    axes.grid(axis="y", alpha=0.3)


def _cycle() -> list[str]:
    return list(_COLOURS) * 8


def _figure(size: tuple[float, float]) -> Figure:
    MissingExtraError.require("matplotlib", "figures", "picture")
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _save(figure: Figure, path: Path) -> list[Path]:
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a genre may be called R$B
    made = []
    save: Callable[..., None] = figure.savefig
    for ending, extra in ((".png", {"dpi": 130}), (".pdf", {"metadata": {"CreationDate": None}})):
        with atomic(path.with_suffix(ending)) as beside, suppress(UserWarning):
            save(beside, **extra)
        made.append(path.with_suffix(ending))
    return made
