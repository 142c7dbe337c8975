"""The main job, once through: demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whosings.commands.options import Device, EncoderName, Json, open_embedder
from whosings.console import Report, print_json


def demo(
    songs: Annotated[Path | None, typer.Option(help="Folder Singer/*.mp3; singers are generated unless given.")] = None,
    probes: Annotated[
        str | None, typer.Option(help="Pattern of file names to hold back, for example '*live*'.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("demo"),
    encoder: EncoderName = "default",
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the generated singers.")] = 0,
    as_json: Json = False,
) -> None:
    """Enrol singers, identify held-back songs, print a table, draw a timeline."""
    from whosings.answer import NOTICE
    from whosings.answer_text import verdict_line
    from whosings.choir.demo import run_demo
    from whosings.parallel import cores

    run = Report()
    with run.bars() as bars:
        report = run_demo(open_embedder(encoder, device), out, songs, probes, seed, cores(), bars)
    run.failures.extend(report.failures)
    summary = report.summary()
    if as_json:
        print_json({"summary": summary, "picture": str(report.picture), "answers": [row.answer for row in report.rows]})
    else:
        run.print_table(
            ("probe", "answer", "if not enrolled"),
            [
                (
                    row.probe.title,
                    f"{'✓' if row.right else '✗'} {verdict_line(row.answer)}",
                    "" if row.as_stranger is None else row.as_stranger.verdict.value,
                )
                for row in report.rows
            ],
        )
        rate = {key: "-" if value is None else f"{value:.0%}" for key, value in summary.items()}
        clones = (
            f"of {summary['clone_probes']} clones, the imitated singer first {rate['clones_top_1']}, "
            f"named {rate['clones_named_right']}; "
            if summary["clone_probes"]
            else ""
        )
        run.out.print(
            f"\n{report.singers} singers enrolled, {summary['probes']} held-back probes: "
            f"the right singer first {rate['top_1']}, named {rate['named_right']}, "
            f"another named {rate['named_wrong']}; "
            f"{clones}strangers named as somebody {rate['strangers_named']} of {summary['stranger_probes']}\n"
            f"timeline: {report.picture}\n{NOTICE}",
            markup=False,
        )
    run.finish()
