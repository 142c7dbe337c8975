"""A choir to look at and to listen to: a contact sheet of spectrograms and a page with players."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from whosings import audio
from whosings.audio import SAMPLE_RATE
from whosings.catalogue.manifest import Manifest, Track
from whosings.config import FrontEndConfig
from whosings.files import atomic, write_atomic
from whosings.spectrogram import LogMel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHEET, PAGE = "contact-sheet.png", "listen.html"
_SINGERS = 6  # shown of the closed set
_CLONES = 9
_SHOWN_S = 10.0
_RANGE_DB = 70.0
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#1f2937}
table{border-collapse:collapse;margin:.5rem 0 2rem}
td,th{padding:.25rem .8rem .25rem 0;text-align:left;vertical-align:top}
th{font-weight:600;border-bottom:1px solid #d1d5db}audio{width:15rem;height:2rem}img{max-width:100%}
small{color:#6b7280}
"""


@dataclass(frozen=True)
class _Cell:
    caption: str
    path: Path


@dataclass(frozen=True)
class _Row:
    title: str
    cells: tuple[_Cell, ...]


def show(manifest: Manifest, folder: str | Path) -> tuple[Path, Path]:
    """Write the contact sheet (PNG) and the listening page (HTML) into the choir's folder.

    Returns:
        Paths of the sheet and the page.
    """
    folder = Path(folder)
    singers, clones = _rows(manifest)
    _draw((*singers[:4], *clones[:6]), folder / SHEET)
    write_atomic(folder / PAGE, _page(manifest, singers, clones, folder))
    return folder / SHEET, folder / PAGE


def counts(manifest: Manifest) -> dict[str, Mapping[str, int]]:
    """How many tracks there are by genre, language, decade, and clones by method and by whose band plays."""
    real = [track for track in manifest.tracks if not track.cloned]
    clones = [track for track in manifest.tracks if track.cloned]
    return {
        "genre": Counter(str(track.genre) for track in real),
        "language": Counter(str(track.language) for track in real),
        "decade": Counter(f"{str(track.release_date)[:3]}0s" for track in real),
        "clones by method": Counter(str(track.clone_method) for track in clones),
        "clones by band": Counter(_backing(track) for track in clones),
    }


def _backing(clone: Track) -> str:
    owner = str(clone.instrumental_singer_id)
    if owner.startswith("guest"):
        return "an unfamiliar band"
    return "a training singer's band" if owner.startswith("train") else "a closed singer's band"


def _rows(manifest: Manifest) -> tuple[list[_Row], list[_Row]]:
    songs = {track.track_id: track for track in manifest.tracks if not track.cloned}
    by_singer: dict[str, list[Track]] = {}
    for track in songs.values():
        by_singer.setdefault(track.singer_id, []).append(track)
    singers = [
        _Row(
            f"{name}: {tracks[0].genre}, {tracks[0].language}",
            tuple(
                _Cell(f"{track.title}, {what}", Path(path))
                for track in (tracks[0], tracks[-1])
                for what, path in (("vocals", track.vocals_path), ("mixture", track.path))
                if path is not None
            ),
        )
        for name, tracks in list(by_singer.items())[:_SINGERS]
    ]
    clones = []
    found: dict[tuple[str | None, str], Track] = {}
    for track in manifest.tracks:
        if track.cloned:
            found.setdefault((track.clone_method, _backing(track)), track)
    for (method, backing), clone in list(found.items())[:_CLONES]:
        target = by_singer[clone.target_singer_ids[0]][0]
        source = next((track for track in by_singer.get(clone.singer_id, ()) if track.title == clone.title), None)
        cells = [_Cell("the source's vocals", Path(source.vocals_path))] if source and source.vocals_path else []
        if clone.vocals_path and target.vocals_path:
            cells += [
                _Cell("clone, vocals", Path(clone.vocals_path)),
                _Cell("clone, mixture", clone.file),
                _Cell("the target's vocals", Path(target.vocals_path)),
            ]
        clones.append(_Row(f"{target.singer_id} cloned by {method} over {backing}", tuple(cells)))
    return singers, clones


def _draw(rows: Sequence[_Row], path: Path) -> None:
    from matplotlib.figure import Figure

    columns = max(len(row.cells) for row in rows)
    figure = Figure(figsize=(3.6 * columns, 1.75 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    front_end = LogMel(FrontEndConfig())
    for row, places in zip(rows, grid, strict=True):
        for number, axes in enumerate(places):
            if number < len(row.cells):
                _draw_cell(axes, row.cells[number], front_end)
            else:
                axes.set_axis_off()
        places[0].set_title(row.title, loc="left", fontsize=9, fontweight="bold", pad=16)
    with atomic(path) as beside:
        figure.savefig(beside, dpi=110)


def _draw_cell(axes: Axes, cell: _Cell, front_end: LogMel) -> None:
    samples = audio.load(cell.path).samples[:, : round(_SHOWN_S * SAMPLE_RATE)]
    with torch.inference_mode():
        mel = front_end(torch.from_numpy(samples)[None])[0, 0].numpy() * (10 / np.log(10))
    seconds = samples.shape[1] / SAMPLE_RATE
    axes.imshow(
        np.clip(mel, mel.max() - _RANGE_DB, None),
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(0, seconds, 0, 1),
    )
    axes.set_yticks([])
    axes.tick_params(labelsize=6)
    axes.text(0.0, 1.03, cell.caption, transform=axes.transAxes, fontsize=7, color="#4b5563")


def _page(manifest: Manifest, singers: Sequence[_Row], clones: Sequence[_Row], folder: Path) -> str:
    def players(rows: Sequence[_Row]) -> str:
        lines = []
        for row in rows:
            cells = "".join(
                f"<td><small>{escape(cell.caption)}</small><br>"
                f'<audio controls preload="none" src="{escape(_link(cell.path, folder))}"></audio></td>'
                for cell in row.cells
            )
            lines.append(f"<tr><td><b>{escape(row.title)}</b></td>{cells}</tr>")
        return f"<table>{''.join(lines)}</table>"

    statistics = ""
    for name, found in counts(manifest).items():
        listed = ", ".join(f"{key} {count}" for key, count in sorted(found.items())) or "none"
        statistics += f"<tr><th>{escape(name)}</th><td>{escape(listed)}</td></tr>"
    real = [track for track in manifest.tracks if not track.cloned]
    singing, copies = len({track.singer_id for track in real}), len(manifest.tracks) - len(real)
    size = f"{singing} singers, {len(real)} songs, {copies} clones"
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>A choir of generated singers</title><style>{_STYLE}</style>
<h1>A choir of generated singers</h1>
<p>{size}. Nobody here is a real singer: generated voices test a method, they are no substitute for real recordings.</p>
<table>{statistics}</table>
<h2>Singers</h2>{players(singers)}
<h2>Clones</h2>{players(clones) if clones else "<p>none</p>"}
<h2>Spectrograms</h2><p><small>Mel bands from 0 to 8 kHz over the first ten seconds.</small></p>
<img src="{SHEET}" alt="spectrograms of the rows above">
</html>
"""


def _link(path: Path, folder: Path) -> str:
    return path.resolve().relative_to(folder.resolve()).as_posix()
