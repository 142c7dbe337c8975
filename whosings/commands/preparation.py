"""Catalogues: prepare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whosings.commands.engines import AddressOption, EngineOption, GpusOption, WorkersOption, open_workers, seen_by_all
from whosings.commands.options import Device, Json, SingerFromOption, on_this_machine, place_told
from whosings.console import Report, print_json

if TYPE_CHECKING:
    from whosings.catalogue.prepare import Prepared


def prepare(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder of songs (Singer/song.mp3, or tagged), or a track table, whose tracks may lie on a store.",
            parser=place_told,
            metavar="SOURCE",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder for the result. If interrupted, rerun to resume.",
            parser=on_this_machine,
            metavar="FOLDER",
        ),
    ] = Path("prepared"),
    open_sets: Annotated[
        bool,
        typer.Option("--open", help="For evaluation: keep tracks that are half sung, and singers with a single track."),
    ] = False,
    min_vocal: Annotated[
        float | None, typer.Option(min=0, max=1, help="Minimum share of a track that is sung; 0.75, with --open 0.5.")
    ] = None,
    min_tracks: Annotated[
        int | None, typer.Option(min=1, help="Minimum number of usable tracks of a singer; 2, with --open 1.")
    ] = None,
    separate: Annotated[
        str,
        typer.Option(
            help="Stems by demucs, demucs:NAME, spleeter, spleeter:FILE, audio-separator:FILE, stems:FOLDER, or none."
        ),
    ] = "none",
    whole: Annotated[bool, typer.Option("--whole", help="Separate whole tracks, not only sung passages.")] = False,
    annotations: Annotated[
        Path | None,
        typer.Option(
            help="Decisions on who sings (.parquet or .csv); keeps tracks with one lead singer.",
            parser=on_this_machine,
            metavar="FILE",
        ),
    ] = None,
    singer_from: SingerFromOption = None,
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    gpus: GpusOption = 0.0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Filter a catalogue to tracks that can train: decodable, no duplicates, sung, with enough tracks a singer."""
    from whosings.annotations.decision_tables import read_decisions, with_decisions
    from whosings.catalogue.listing import listing
    from whosings.catalogue.prepare import MANIFEST, OPEN, Rules, as_plain
    from whosings.catalogue.prepare import prepare as run_preparation
    from whosings.catalogue.prepare_figure import draw
    from whosings.parallel import cores
    from whosings.storage import is_remote
    from whosings.vocals.separation import SeparationJob

    if not is_remote(source) and Path(source).resolve() == (out / MANIFEST).resolve():
        raise typer.BadParameter(f"{source} would be overwritten; give another --out")
    run = Report()
    tracks = listing(source, out, singer_from, run.failures.append)
    if annotations is not None:
        tracks = with_decisions(tracks, read_decisions(annotations))
    who = open_workers(engine, address, gpus, workers, cores(), device)
    job = None if separate == "none" else SeparationJob(seen_by_all(separate, who), out, device, whole)
    usual = OPEN if open_sets else Rules()
    rules = Rules(
        usual.min_vocal if min_vocal is None else min_vocal, usual.min_tracks if min_tracks is None else min_tracks
    )
    with run.bars() as bars:
        result = run_preparation(tracks, out, rules, job, who, bars)
    picture = out / "summary.png"
    draw(result, picture)
    run.failures.extend(result.failures)
    if as_json:
        print_json({**as_plain(result), "picture": str(picture)})
    else:
        _print(run, result, picture)
    run.finish()


def _print(run: Report, result: Prepared, picture: Path) -> None:
    rows = [(str(s.outcome), f"{s.tracks}", f"{s.singers}", f"{s.hours:.2f}") for s in result.stages]
    run.print_table(("what became of them", "tracks", "singers", "hours"), rows)
    if result.manifest is None:
        run.out.print(
            f"nothing is kept of {result.listed} tracks; {result.folder / 'tracks.csv'} says why", markup=False
        )
        lone = [stage for stage in result.stages if stage.outcome == "few tracks of the singer"]
        if lone:
            run.out.print(f"{lone[0].tracks} would be kept with --min-tracks 1", markup=False)
    else:
        run.out.print(f"{result.kept.tracks} of {result.listed} tracks in {result.manifest}; {picture}", markup=False)
