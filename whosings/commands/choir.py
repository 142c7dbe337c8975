"""The open benchmark: choir."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from whosings.commands.engines import AddressOption, EngineOption, WorkersOption, open_workers
from whosings.commands.options import Json
from whosings.console import Report, print_json
from whosings.errors import ConfigError

if TYPE_CHECKING:
    from whosings.choir.jobs import Material


def choir(
    preset: Annotated[
        str,
        typer.Argument(
            help="Preset: tiny (for a look), starter (every step in minutes), small, medium, standard, "
            "standard-speech, standard-diphone, languages, medium-hard and hard (singers who are hard to tell apart) "
            "or large."
        ),
    ] = "small",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the result. If interrupted, rerun to resume.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    band: Annotated[
        str, typer.Option(help="builtin, a soundfont file to play with FluidSynth, or auto: the one that is installed.")
    ] = "builtin",
    speech: Annotated[Path | None, typer.Option(help="Folder speaker/*.audio, for standard-speech.")] = None,
    conversions: Annotated[
        Path | None, typer.Option(help="Folder of vocals that other tools converted, with conversions.csv.")
    ] = None,
    format: Annotated[Literal["flac", "opus"], typer.Option(help="Format of the audio files, 16 kHz.")] = "flac",
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    as_json: Json = False,
) -> None:
    """Generate an open benchmark from a seed: singers, their songs with stems, and clones of them."""
    from whosings.choir.build import build
    from whosings.choir.contact_sheet import counts, show
    from whosings.choir.plan import PRESETS, make_plan
    from whosings.parallel import cores

    if preset not in PRESETS:
        raise typer.BadParameter(f"no preset {preset}; there are {', '.join(PRESETS)}")
    run, folder = Report(), out or Path(f"choir-{preset}")
    material = _material(preset, band, speech, format)
    plan = make_plan(PRESETS[preset], seed, material.bases())
    who = open_workers(engine, address, 0.0, workers, cores())
    with run.bars() as bars:
        built = build(plan, folder, material, who, conversions, bars)
    sheet, page = show(built.manifest, folder)
    run.failures.extend(built.failures)
    clones = sum(track.cloned for track in built.manifest.tracks)
    if as_json:
        print_json(
            {
                "manifest": built.path,
                "tracks": len(built.manifest.tracks),
                "clones": clones,
                "made": built.made,
                "kept": built.kept,
                "digest": built.digest,
                "published": built.published,
                "counts": counts(built.manifest),
                "sheet": sheet,
                "page": page,
            }
        )
    else:
        run.print_table(
            ("set", "singers", "tracks"),
            [(size.name, str(size.singers), str(size.tracks)) for size in built.sets],
        )
        said = {True: "as published", False: "not the published ones, see docs/choir.md", None: built.digest[:12]}
        run.out.print(
            f"{built.made} tracks made, {built.kept} kept; checksums: {said[built.published]}\n"
            f"{built.path}, {sheet}, {page}",
            markup=False,
        )
    run.finish()


def _material(preset: str, band: str, speech: Path | None, format: Literal["flac", "opus"]) -> Material:
    from whosings.choir.diphone import find_voices
    from whosings.choir.from_speech import find_speakers
    from whosings.choir.jobs import Material
    from whosings.choir.plan import PRESETS, needs
    from whosings.choir.soundfont import find_soundfont

    kinds = needs(PRESETS[preset])
    if "speech" in kinds and speech is None:
        raise ConfigError(f"the preset {preset}", "is made from speech", "name a folder with --speech")
    soundfont = {"builtin": None, "auto": find_soundfont()}.get(band, Path(band))
    return Material(
        soundfont,
        tuple(find_speakers(speech).items()) if speech is not None and "speech" in kinds else (),
        find_voices() if "diphone" in kinds else (),
        format,
    )
