"""Stems: separate."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from whosings.commands.engines import AddressOption, EngineOption, GpusOption, open_workers, seen_by_all
from whosings.commands.options import Device, Files, Json
from whosings.console import Report, print_json
from whosings.errors import SeparationError
from whosings.files import atomic

_CACHE = ".cache"


def separate(
    files: Files,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for NAME.vocals.flac and NAME.instrumental.flac.")],
    model: Annotated[
        str,
        typer.Option(
            help="demucs, demucs:NAME or FOLDER, spleeter, spleeter:FILE or FOLDER, audio-separator:FILE, stems:FOLDER."
        ),
    ] = "demucs",
    whole: Annotated[bool, typer.Option("--whole", help="Separate whole tracks, not only sung passages.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes, each of which loads the model: one unless given, or all of a cluster's cores.",
            show_default=False,
        ),
    ] = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    gpus: GpusOption = 0.0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Separate vocal and instrumental stems into 16-kHz FLAC. If interrupted, rerun to resume."""
    from whosings.vocals.separation import SeparationJob, Stems, separate_many

    run = Report()
    rows: list[dict[str, Any]] = []
    bases = _bases(run, list(dict.fromkeys(files)), out)
    who = open_workers(engine, address, gpus, workers, 1, device)
    job = SeparationJob(seen_by_all(model, who), out / _CACHE, device, whole)
    with run.bars() as bars:
        step = bars("separating", len(bases))
        for outcome in separate_many(list(bases), job, who):
            if isinstance(outcome.result, Stems):
                rows.append({"file": str(outcome.path), **_publish(outcome.result, bases[outcome.path])})
            else:
                run.failures.append(outcome.result)
            step()
    if as_json:
        print_json({"tracks": rows, "failed": [str(error) for error in run.failures]})
    else:
        run.print_table(
            ("track", "vocals", "separated", "of"),
            [
                (Path(r["file"]).name, r["vocals"], f"{r['separated_s']:.0f} s", f"{r['duration_s']:.0f} s")
                for r in rows
            ],
        )
    run.finish()


def _bases(run: Report, files: list[Path], out: Path) -> dict[Path, Path]:
    """Where each track's stems go, without their ending: folders are kept below the one that all tracks share."""
    shared = Path(os.path.commonpath([path.absolute().parent for path in files]))
    bases: dict[Path, Path] = {}
    for path in files:
        base = out / path.absolute().relative_to(shared).with_suffix("")
        if base in bases.values():
            run.failures.append(
                SeparationError(path, "has the name of another track in its folder", "separate it to another --out")
            )
        else:
            bases[path] = base
    return bases


def _publish(stems: Any, base: Path) -> dict[str, Any]:
    """Give a cached pair its track's name: a second name of the same file, or a copy where the disk has no such."""
    named: dict[str, Any] = {"duration_s": stems.duration_s, "separated_s": stems.separated_s, "new": stems.new}
    for kind in ("vocals", "instrumental"):
        cached: Path = getattr(stems, kind)
        named[kind] = str(base.with_name(f"{base.name}.{kind}.flac"))
        if not (Path(named[kind]).exists() and cached.samefile(named[kind])):
            with atomic(named[kind]) as beside:
                try:
                    beside.hardlink_to(cached)
                except OSError:
                    shutil.copyfile(cached, beside)
    return named
