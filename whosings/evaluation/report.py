"""One page to read: tables and figures of a folder of results, with what they mean; needs no network to be opened."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from whosings.errors import EvaluationError
from whosings.evaluation import figures
from whosings.evaluation.careers import CAREER_COLUMNS, career_cells, careers_from
from whosings.evaluation.leaderboard import LEADERBOARD_COLUMNS, leaderboard, read_costs, standing_cells
from whosings.evaluation.paper_tables import (
    LINE_COLUMNS,
    by_train_tracks,
    escaped,
    line_cells,
    lines,
    part_cells,
    parts,
    text_table,
)
from whosings.evaluation.results import ProbeFile, Results, probe_files, read_results
from whosings.evaluation.trial_lists import TRIAL_COLUMNS, scored_from, trial_cells
from whosings.evaluation.wrong_answers import EXCERPTS, WrongAnswer, excerpt, wrong_answers
from whosings.files import write_atomic

_Made = TypeVar("_Made")
_NOTICE = (
    "Accuracies are of a statistical model on these recordings. An answer on another recording is an indication, not a "
    "proof of who sings."
)
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:95em;margin:2em auto;padding:0 1em;color:#111}"
    "table{border-collapse:collapse;margin:1em 0;font-size:13px}td,th{padding:.25em .7em;border-bottom:1px solid #ddd;"
    "text-align:left;vertical-align:top;overflow-wrap:break-word;max-width:24em}img{max-width:100%}"
    ".scroll{overflow-x:auto}p.note{color:#555}audio{width:16em;height:2em}"
)
_PART_COLUMNS = ("", "answers", "top-1 by vote", "top-5 by vote", "source named")
_ANALYSES = (
    ("genre", "By genre"),
    ("language", "By language"),
    ("album_shared", "By whether the singer also trains with the probe's album"),
)
_WRONG_COLUMNS = ("probe", "singer", "named", "wrong in", "place of the singer", "probability of the singer")
_MOST_WRONG = 50  # rows of a table of wrong answers
_CLONE_ANALYSES = (("clone_method", "Clones by method"), ("owner", "Clones by whose band plays"))


@dataclass(frozen=True)
class ReportFiles:
    """What was written."""

    page: Path
    tables: Path
    figures: tuple[Path, ...]


def write_report(folder: str | Path, out: str | Path) -> ReportFiles:
    """Tables (tables.md), figures (PNG and PDF) and the page that holds them (report.html).

    Raises:
        EvaluationError: no results.
        MissingExtraError: matplotlib is not installed.
    """
    folder, out = Path(folder), Path(out)
    similarities, products = (_read_all(folder, name, dict) for name in ("similarity", "product"))
    careers = _read_all(folder, "careers", careers_from)
    scored = _read_all(folder, "verification", lambda content: (content["model"], scored_from(content)))
    try:
        results = read_results(folder)
    except EvaluationError:
        if not (similarities or products or careers or scored):
            raise
        results = None
    page, tables, pictures, files = _Page(), [], list[Path](), probe_files(folder)

    def show(title: str, made: list[Path], note: str) -> None:
        if made:
            pictures.extend(made)
            page.picture(title, made[0], note)

    def tell(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        if rows:
            tables.append(f"## {escaped(title)}\n\n{text_table(columns, rows)}")
            page.table(title, columns, rows)

    def list_wrong(title: str, found: Sequence[WrongAnswer]) -> None:
        shown = found[:_MOST_WRONG]
        rows = [_wrong_cells(one) for one in shown]
        if rows:
            title = f"{title} ({len(found)}, the first {len(rows)})" if len(found) > len(rows) else title
            tables.append(f"## {escaped(title)}\n\n{text_table(_WRONG_COLUMNS, rows)}")
            page.table(title, _WRONG_COLUMNS, rows, [page.excerpt(one.probe, files) for one in shown])

    if results is not None:
        note = "Mean over runs ± deviation over runs (95 % interval over singers); ties broken by chance on average."
        standings = leaderboard(results, read_costs(folder))
        tell("Leaderboard", LEADERBOARD_COLUMNS, [standing_cells(one) for one in standings])
        if standings:
            page.note(
                "At the largest number of singers at which all were evaluated, by vote (95 % interval over singers). "
                "Seconds are of a processor, to embed a minute of singing, on the machine that evaluated it."
            )
        tell("Accuracy", LINE_COLUMNS, [line_cells(line) for line in lines(results)])
        page.note(note)
        made = figures.accuracy_by_classes(results, out / "figure1-classes")
        show("Accuracy by number of singers", made, "One marker a run, lines join the means (the paper's figure 1).")
        _real(results, out, tell, show)
        _clones(results, out, tell, show)
        if any(name.startswith("cloned+") for name in results["set"].tolist()):
            made = figures.few_clones(results, out / "few-clones")
            show("A few clones known", made, "The same clones are asked whatever the number that is known.")
        _wrong(results, list_wrong)
    if similarities:
        made = figures.similarity_bars(similarities, out / "figure4-similarity")
        note = (
            "Mean cosine over all pairs of segments (the paper's figure 4). An encoder whose bar for the instrumental "
            "stem is above that for the validation track listens to the band."
        )
        show("What the encoder listens to", made, note)
    if careers:
        made = figures.careers(careers, out / "careers")
        show("Years between enrolment and probe", made, "Singers are enrolled with their first album.")
        for one in careers:
            cells = [career_cells(part) for part in one.bins]
            tell(f"Years between enrolment and probe: {one.model}", CAREER_COLUMNS, cells)
    for model, one_list in scored:
        tell(f"Verification of a fixed list of trials: {model}", TRIAL_COLUMNS, trial_cells(one_list))
    if products:
        made = figures.product_figure(products, out / "product")
        show("What identify and verify say", made, "Points on the diagonal mean what they say; their size is how many.")
        tell("Open set", _OPEN_COLUMNS, [_open_cells(one) for one in products])
    write_atomic(out / "tables.md", "# Results\n\n" + "\n".join(tables) + f"\n{_NOTICE}\n")
    write_atomic(out / "report.html", page.whole())
    return ReportFiles(out / "report.html", out / "tables.md", tuple(pictures))


_OPEN_COLUMNS = (
    "model",
    "EER",
    "minDCF",
    "false accepts (stated)",
    "enrolled: right / another / unknown",
    "strangers named",
    "clones: target / source named",
    "calibration error",
)


def _open_cells(one: dict[str, Any]) -> tuple[str, ...]:
    trials, found = one["trials"], one["open_set"]
    clones = ""
    if found["clones_right"] is not None:
        clones = f"{found['clones_right']:.1%} / {found['clones_source']:.1%} of {found['clones']}"
    return (
        one["model"],
        f"{trials['eer']:.1%}",
        f"{trials['min_dcf']:.3f}",
        f"{trials['false_accept_rate']:.1%} ({trials['stated_false_accept_rate']:.0%})",
        f"{found['right']:.1%} / {found['another']:.1%} / {found['unknown']:.1%} of {found['enrolled']}",
        f"{found['strangers_named']:.1%} of {found['strangers']}",
        clones,
        f"{found['calibration_error']:.3f}",
    )


def _real(results: Results, out: Path, tell: Any, show: Any) -> None:
    """Analyses of real probes, at the largest number of singers of each set."""
    for name in ("closed", "fma", "mtg"):
        rows = results.where(set=name)
        if not len(rows):
            continue
        largest = rows.where(classes=int(rows["classes"].max()))
        singers = f"{name}, {int(rows['classes'].max())} singers"
        made = figures.accuracy_by_value(largest, "genre", out / f"figure2-genre-{name}")
        show(f"By genre: {singers}", made, "Boxes over runs (the paper's figure 2).")
        made = figures.accuracy_by_train_tracks(rows, out / f"figure3-tracks-{name}")
        show(
            f"By training tracks: {name}",
            made,
            "A point a run, and violins where five runs or more differ (the paper's figure 3).",
        )
        for (model, head), own in largest.groups("model", "head"):
            for column, title in _ANALYSES:
                cells = [part_cells(part) for part in parts(own, column)]
                tell(f"{title}: {model}, {head}, {singers}", _PART_COLUMNS, cells if len(cells) > 1 else [])
            cells = [part_cells(part) for part in by_train_tracks(own)]
            tell(f"By training tracks: {model}, {head}, {singers}", _PART_COLUMNS, cells if len(cells) > 1 else [])


def _clones(results: Results, out: Path, tell: Any, show: Any) -> None:
    rows = results.where(set="cloned")
    if not len(rows):
        return
    least = int(rows["classes"].min())
    rows = rows.where(classes=least)
    made = figures.clone_bars(rows, out / "clones")
    show(
        f"Clones among {least} singers", made, "How often the vote names the target, and the singer who was converted."
    )
    for (model, head), own in rows.groups("model", "head"):
        for column, title in _CLONE_ANALYSES:
            tell(
                f"{title}: {model}, {head}, {least} singers", _PART_COLUMNS, [part_cells(p) for p in parts(own, column)]
            )


def _wrong(results: Results, list_wrong: Any) -> None:
    """Wrong answers of every model, at the largest number of singers of each set."""
    for (name, model, head), rows in results.groups("set", "model", "head"):
        classes = int(rows["classes"].max())
        list_wrong(
            f"Wrong answers: {name}, {model}, {head}, {classes} singers", wrong_answers(rows.where(classes=classes))
        )


def _wrong_cells(one: WrongAnswer) -> tuple[str, ...]:
    wrong = f"{one.wrong} of {one.runs} runs"
    return one.probe, one.target, one.named, wrong, f"{one.rank:.1f}", f"{one.probability:.1%}"


def _read_all(folder: Path, name: str, made: Callable[[dict[str, Any]], _Made]) -> list[_Made]:
    found = []
    for path in sorted(folder.glob(f"{name}-*.json")):
        try:
            one = json.loads(path.read_text(encoding="utf-8"))
            found.append(made({**one, "model": path.stem.removeprefix(f"{name}-")}))
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise EvaluationError(path, "is damaged", "make it again") from error
    return found


class _Page:
    """A page in the making."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._heard: set[str] = set()

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        excerpts: Sequence[str] = (),
    ) -> None:
        """Add a table of texts.

        Args:
            excerpts: HTML of one more cell of each row.
        """

        def line(cells: Sequence[str], tag: str, more: Sequence[str]) -> str:
            return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in (*map(escaped, cells), *more)) + "</tr>"

        ends = [[cell] for cell in excerpts] or [[] for _ in rows]
        head = line(columns, "th", ["excerpt"] if excerpts else [])
        body = head + "".join(line(row, "td", end) for row, end in zip(rows, ends, strict=True))
        self._parts.append(f"<h2>{escaped(title)}</h2><div class=scroll><table>{body}</table></div>")

    def excerpt(self, probe: str, files: Mapping[str, ProbeFile]) -> str:
        """HTML with which to hear a probe: each is on the page once, and ``EXCERPTS`` are in all."""
        if probe in self._heard:
            return "see above"
        if len(self._heard) == EXCERPTS:
            return f"the page holds {EXCERPTS}"
        cell = excerpt(probe, files)
        if cell.startswith("<audio"):
            self._heard.add(probe)
        return cell

    def picture(self, title: str, path: Path, note: str) -> None:
        data = base64.b64encode(path.read_bytes()).decode()
        alt = escaped(title)
        self._parts.append(f'<h2>{alt}</h2><img alt="{alt}" src="data:image/png;base64,{data}">')
        self.note(note)

    def note(self, text: str) -> None:
        self._parts.append(f"<p class=note>{escaped(text)}</p>")

    def whole(self) -> str:
        return (
            "<!doctype html><html lang=en><meta charset=utf-8><title>Who sings? Results</title>"
            f"<style>{_STYLE}</style><h1>Who sings? Results</h1><p>{_NOTICE}</p>{''.join(self._parts)}</html>\n"
        )
