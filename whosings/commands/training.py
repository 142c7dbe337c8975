"""Encoders: train, calibrate."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from whosings.commands.options import Json, embedded
from whosings.config import MODELS, PROJECTORS, load_settings
from whosings.console import Report, print_json
from whosings.errors import AudioError, ConfigError, TrainingError
from whosings.metrics import rate_interval
from whosings.settings import parse_overrides

_CALIBRATION_SINGERS, _CALIBRATION_TRACKS = 300, 10  # at most: enough for a few numbers, and bounded work


def train(
    manifest: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Track table (.parquet or .csv), a folder Singer/*.mp3, or for distillation a bank."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the run. If interrupted, rerun to resume.")],
    validation: Annotated[
        Path | None, typer.Option(help="Track table of other singers; a tenth of the singers is held out unless given.")
    ] = None,
    pairs: Annotated[
        Literal["mixture", "vocal", "hybrid", "mashup", "track"] | None,
        typer.Option(
            help="Which stems make a pair; mashup: voices over others' bands; track: two segments of one mixture."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help=f"Preset: {', '.join(MODELS)}.")] = None,
    projector: Annotated[str | None, typer.Option(help=f"Preset: {', '.join(PROJECTORS)}.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Preset (mixture, vocal, hybrid, mashup, clmr, starter; default and fast distil), or a TOML file."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting, for example training.seed=3.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train an encoder on positive pairs, calibrate it on the validation singers, and save the best."""
    from whosings.catalogue.manifest import open_manifest
    from whosings.catalogue.splits import hold_out_singers
    from whosings.training.distillation.config import is_distillation

    if config is not None and is_distillation(config):
        given = {"--validation": validation, "--pairs": pairs, "--model": model, "--projector": projector}
        for option, value in given.items():
            if value is not None:
                raise ConfigError(
                    option, "has no meaning in a distillation", "leave it out, or set what you mean by --set"
                )
        _distil(manifest, out, config, settings or [], as_json)
        return
    overrides: dict[str, Any] = {} if pairs is None else {"pairs.mode": pairs}
    for key, name, presets in (("model", model, MODELS), ("model.projector", projector, PROJECTORS)):
        if name is not None:
            if name not in presets:
                raise ConfigError(
                    f"--{key.split('.')[-1]} {name}", "no such preset", f"choose from {', '.join(presets)}"
                )
            overrides[key] = presets[name].model_dump(mode="json")
    chosen = load_settings(config, {**overrides, **parse_overrides(settings or [])})
    from whosings.training.contrastive.loading import check_files
    from whosings.training.contrastive.trainer import train as fit

    for name in ("lightning.pytorch", "lightning.fabric"):  # after the import, which sets their levels
        logging.getLogger(name).setLevel(logging.WARNING)

    run = Report()
    tracks = open_manifest(manifest)
    held = None if validation is None else open_manifest(validation)
    if held is None:
        division = hold_out_singers(tracks, 0.1, chosen.training.seed)
        tracks, held = division.kept, division.held_out
    for error in check_files(tracks, chosen.pairs.mode) + check_files(held, chosen.pairs.mode):
        run.failures.append(error)
    if run.failures:
        run.err.print("training did not start: repair these files or drop their rows", style="bold red")
        run.finish()
    pairable = sum(len(songs) > 1 for songs in tracks.by_singer.values())
    if pairable < chosen.training.batch_pairs:
        run.err.print(
            f"{pairable} singers for batches of {chosen.training.batch_pairs} pairs: a singer occurs several times in "
            "a batch and counts as its own negative; a smaller training.batch_pairs avoids that",
            style="yellow",
        )
    result = fit(chosen, tracks, held, out, {"name": out.name, "data": str(manifest.name)})
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return  # one of several training processes: the first one calibrates and reports
    try:
        _calibrate(
            run,
            str(result.best),
            None,
            held,
            f"validation singers of {manifest.name}",
            "vocal" if chosen.pairs.mode == "vocal" else "mixture",
        )
        calibrated = True
    except TrainingError as error:
        run.err.print(f"not calibrated: {error}", style="yellow", markup=False)
        calibrated = False
    if as_json:
        print_json({**asdict(result), "calibrated": calibrated})
    else:
        run.out.print(
            f"best validation loss {result.best_loss:.4f} after {result.epochs} epochs: {result.best}", markup=False
        )
        if result.stopped == "max_minutes":
            run.out.print("the sitting's time is over; rerun the same command to go on", markup=False)
    run.finish()


def _distil(source: Path, out: Path, config: Path, settings: list[str], as_json: bool) -> None:
    """Distil a student from a teacher on a bank of voices and bands, which is one way to ``train``."""
    from whosings.parallel import cores
    from whosings.training.distillation.bank import import_bank, open_bank
    from whosings.training.distillation.config import load_distillation
    from whosings.training.distillation.trainer import train as fit

    run = Report()
    chosen = load_distillation(config, parse_overrides(settings))
    bank = source
    if (source / "voices").is_dir():
        bank = out / "bank"
        if not (bank / "bank.npz").exists():
            imported = import_bank(source, bank, cores())
            run.failures.extend(imported.failures)
            run.err.print(f"{imported.clips} clips decoded into {bank}", markup=False)
    facts = {"name": out.name, "data": source.name}
    result = fit(chosen, open_bank(bank), out, facts, lambda line: run.err.print(line, markup=False))
    if as_json:
        print_json(asdict(result))
    else:
        run.out.print(f"mean loss {result.loss:.4f} at the end of {result.steps} steps: {result.last}", markup=False)
    run.finish()


def calibrate(
    encoder: Annotated[str, typer.Argument(help="Checkpoint folder, whose card is rewritten; with --out, any name.")],
    source: Annotated[
        Path,
        typer.Option("--from", help="Folder Singer/*.mp3 or track table of singers the encoder was not trained on."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for a copy of the encoder that carries the calibration."),
    ] = None,
    stem: Annotated[Literal["mixture", "vocal"], typer.Option(help="Which of a track's files to use.")] = "mixture",
    as_json: Json = False,
) -> None:
    """Fit probabilities and thresholds on singers that the encoder does not know.

    An encoder that ships is copied: name a folder with --out, and name that folder with --encoder from then on. A
    gallery of the encoder goes on working with the copy.
    """
    from whosings.catalogue.manifest import open_manifest
    from whosings.encoder.checkpoint import SHIPPED

    if out is None and encoder in SHIPPED:
        raise typer.BadParameter(f"{encoder} ships with whosings and is not changed; name a folder with --out")
    run = Report()
    manifest = open_manifest(source)
    found = _calibrate(run, encoder, out, manifest, source.name, stem)
    if as_json:
        print_json({key: value for key, value in found.items() if key != "centre"})
    else:
        run.out.print(
            f"calibrated on {found['same_trials']} same-singer and {found['different_trials']} different-singer "
            f"trials; threshold {found['threshold']:.2f} nats for {found['false_accept_rate']:.0%} false accepts"
        )
        seen = rate_interval(found["passed"], found["strangers"])
        run.out.print(
            f"{found['passed']} of {found['strangers']} pairs of different singers pass it: "
            f"{seen.low:.1%} to {seen.high:.1%}, with 95 % confidence, if the pairs were independent"
        )
    run.finish()


def _calibrate(run: Report, encoder: str, out: Path | None, manifest: Any, material: str, stem: str) -> dict[str, Any]:
    from whosings.calibration_fitting import calibrate as fit
    from whosings.catalogue.splits import sample_real
    from whosings.embedding import TrackEmbedder
    from whosings.encoder.checkpoint import copy_with_card, load_checkpoint, local_folder, rewrite_card

    checkpoint = load_checkpoint(encoder if out is not None else local_folder(encoder))
    if not material.startswith("validation") and checkpoint.card.get("data") == material:
        run.err.print(
            f"{encoder} was trained on {material}: its rates on singers that it knows are no rates for others",
            style="yellow",
            markup=False,
        )
    manifest = sample_real(manifest, _CALIBRATION_SINGERS, _CALIBRATION_TRACKS, seed=0)
    paths = [track.vocals_path if stem == "vocal" and track.vocals_path else track.path for track in manifest.tracks]
    heard, singers = [], []
    for track, result in zip(
        manifest.tracks, embedded(run, TrackEmbedder(checkpoint), paths, "calibrating"), strict=True
    ):
        if isinstance(result, AudioError):
            run.failures.append(result)
        else:
            heard.append(result)
            singers.append(track.singer_id)
    vectors, amounts = [track.vectors for track in heard], [track.amount for track in heard]
    found = fit(vectors, singers, material, amounts=amounts).to_card()
    card = {**checkpoint.card, "calibration": found}
    if out is not None:
        copy_with_card(encoder, out, card)
    else:
        rewrite_card(encoder, card)
    return found
