"""The main job, once through: demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from whosings.commands.options import Device, EncoderName, Json, open_embedder
from whosings.console import Report, print_json


def demo(
    songs: Annotated[Path | None, typer.Option(help="Folder Singer/*.mp3; else singers are generated.")] = None,
    probes: Annotated[str | None, typer.Option(help="Pattern of file names to hold back, as '*live*'.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for what is made.")] = Path("demo"),
    encoder: EncoderName = "default",
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the generated singers.")] = 0,
    as_json: Json = False,
) -> None:
    """Enrol singers, identify held-back songs, print a table, draw a timeline."""
    from whosings.demo import run_demo
    from whosings.identification import NOTICE
    from whosings.picture import verdict_line

    run = Report()
    with run.bars() as bars:
        report = run_demo(open_embedder(encoder, device), out, songs, probes, seed, bars)
    run.failures.extend(report.failures)
    summary = report.summary()
    if as_json:
        print_json({"summary": summary, "picture": str(report.picture), "answers": [row.answer for row in report.rows]})
    else:
        table = Table(box=None, padding=(0, 2))
        for column in ("probe", "answer", "if not enrolled"):
            table.add_column(column, no_wrap=True)
        for row in report.rows:
            stranger = "" if row.as_stranger is None else row.as_stranger.verdict.value
            table.add_row(row.probe.title, f"{'✓' if row.right else '✗'} {verdict_line(row.answer)}", stranger)
        run.out.print(table)
        run.out.print(
            f"\n{summary['singers']:.0f} singers enrolled, {summary['probes']:.0f} held-back probes: "
            f"the right singer first {summary['top_1']:.0%}, named {summary['named_right']:.0%}, "
            f"another named {summary['named_wrong']:.0%}; "
            f"strangers named as somebody {summary['strangers_named']:.0%} of {summary['stranger_probes']:.0f}\n"
            f"timeline: {report.picture}\n{NOTICE}",
            markup=False,
        )
    run.finish()
