"""Care of a gallery: list, show, remove, rename, merge, fit, calibrate, check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whosings.commands.options import (
    GALLERY,
    GalleryFile,
    Json,
    calibration_or_reason,
    open_embedder,
    print_doubts,
)
from whosings.console import Report, counted, print_json, print_text
from whosings.errors import GalleryError

if TYPE_CHECKING:
    from whosings.calibration import Calibration
    from whosings.gallery import Gallery
    from whosings.gallery_rates import Trial

OwnEncoder = Annotated[
    str | None,
    typer.Option("--encoder", help="The gallery's encoder; needed only where it does not ship.", show_default=False),
]
Name = Annotated[str, typer.Argument(help="Name of an enrolled singer.")]


def list_(gallery: GalleryFile = GALLERY, as_json: Json = False) -> None:
    """Show who is enrolled."""
    from whosings.gallery import Gallery

    run = Report()
    with Gallery(gallery) as opened:
        singers = opened.singers()
    if as_json:
        print_json(singers)
        return
    run.print_table(
        ("singer", "recordings", "segments"),
        [(row.name, str(row.tracks), f"{row.segments:.1f}".removesuffix(".0")) for row in singers],
    )


def show(singer: Name, gallery: GalleryFile = GALLERY, as_json: Json = False) -> None:
    """Show what is enrolled of a singer: each recording, where it was, and which parts of it were heard."""
    from whosings.evidence import enrolled_spans, seconds_of
    from whosings.gallery import Gallery

    run = Report()
    with Gallery(gallery) as opened:
        tracks, segment_s = opened.tracks_of(singer), opened.segment_s
    spans = [None if segment_s is None else enrolled_spans(track, segment_s) for track in tracks]
    seconds = [None if parts is None else seconds_of(parts) for parts in spans]
    if as_json:
        print_json(
            [
                {
                    "singer": track.singer,
                    "source": track.source,
                    "sha256": track.sha256,
                    "segments": track.segments,
                    "start_s": track.start_s,
                    "seconds": length,
                    "spans": parts,
                }
                for track, length, parts in zip(tracks, seconds, spans, strict=True)
            ]
        )
        return
    run.print_table(
        ("recording", "segments", "seconds", "heard"),
        [
            (
                track.source,
                f"{track.segments:.1f}".removesuffix(".0"),
                "-" if length is None else f"{length:.0f}",
                "-" if parts is None else ", ".join(map(str, parts)),
            )
            for track, length, parts in zip(tracks, seconds, spans, strict=True)
        ],
    )


def remove(singer: Name, gallery: GalleryFile = GALLERY, as_json: Json = False) -> None:
    """Forget a singer."""
    from whosings.gallery import Gallery

    with Gallery(gallery) as opened:
        opened.remove(singer)
    print_json({"removed": singer}) if as_json else print_text(f"{singer} is removed from {gallery}")


def rename(
    singer: Name,
    name: Annotated[str, typer.Argument(help="The new name.")],
    gallery: GalleryFile = GALLERY,
    as_json: Json = False,
) -> None:
    """Give a singer another name."""
    from whosings.gallery import Gallery

    with Gallery(gallery) as opened:
        opened.rename(singer, name)
    print_json({"renamed": singer, "name": name}) if as_json else print_text(f"{singer} is called {name} now")


def merge(
    singer: Name,
    into: Annotated[str, typer.Argument(help="Singer who gets the recordings.")],
    gallery: GalleryFile = GALLERY,
    as_json: Json = False,
) -> None:
    """Give all recordings of one singer to another."""
    from whosings.gallery import Gallery

    with Gallery(gallery) as opened:
        opened.merge(singer, into)
        into = opened.spelling(into)
        tracks = next(row.tracks for row in opened.singers() if row.name == into)
    if as_json:
        print_json({"merged": singer, "into": into, "recordings": tracks})
    else:
        print_text(f"{singer} is part of {into} now, who has {counted(tracks, 'recording')}")


def fit(
    gallery: GalleryFile = GALLERY,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the held-back tracks and the weights.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a classifier on a gallery; identify uses it if held-back tracks say that it is better."""
    from whosings.gallery import Gallery
    from whosings.gallery_classifier import fit_gallery

    run = Report()
    with Gallery(gallery) as opened, run.bars() as bars:
        found = fit_gallery(opened, seed=seed, progress=bars)
    if as_json:
        print_json(found)
        return
    way = "the classifier from now on" if found.kept else "the mean voices, as before"
    run.out.print(
        f"{counted(found.held_back, 'held-back track')} of {counted(found.singers, 'singer')}: "
        f"classifier {found.head:.1%} right, mean voices {found.voices:.1%}; "
        f"identify uses {way}, until somebody is enrolled or removed"
    )


def calibrate(
    gallery: GalleryFile = GALLERY,
    library: Annotated[
        Path | None,
        typer.Option("--library", "-l", help="Library whose reviewed voices count, too.", show_default=False),
    ] = None,
    encoder: OwnEncoder = None,
    as_json: Json = False,
) -> None:
    """Measure how often strangers are given a name in this gallery; identify uses the thresholds from then on.

    Each singer is left out in turn, and the recordings that are enrolled are asked as those of a stranger. With a
    library, voices on which somebody decided are asked, too: what was rejected is a stranger's.
    """
    from whosings.gallery import Gallery
    from whosings.gallery_rates import measure_rates

    run = Report()
    with Gallery(gallery) as opened:
        calibration = _calibration(opened, encoder)
        if isinstance(calibration, str):
            raise GalleryError(gallery, f"cannot be calibrated: {calibration}", "name an encoder with a calibration")
        with run.bars() as bars:
            reviewed = () if library is None else _reviewed(library, opened, calibration)
            found = measure_rates(opened, calibration, bars, reviewed)
        opened.keep_rates(found.rates)
    if as_json:
        print_json(found)
        return
    run.print_table(
        ("strangers may pass", "threshold of", "strangers named", "own singer named", "another one named"),
        [
            (
                f"{100 * row.rate:g}%",
                row.measured_on,
                f"{row.strangers:.1%} ({row.interval.low:.1%} to {row.interval.high:.1%})",
                "-" if row.right is None else f"{row.right:.1%}",
                "-" if row.wrong is None else f"{row.wrong:.1%}",
            )
            for row in found.rows
        ],
    )
    strangers = counted(found.rates.recordings, "recording")
    least = found.rates.naming.rates[:1]
    stated = f"from {100 * least[0]:g}% on" if least else "none: enrol more recordings"
    run.out.print(
        f"{counted(found.rates.singers, 'singer')} left out in turn, {strangers} asked as strangers', "
        f"{found.held_back} held back from their own singer; rates that this gallery can state: {stated}"
    )


def _reviewed(library: Path, gallery: Gallery, calibration: Calibration) -> tuple[Trial, ...]:
    """Trials from what people decided on a library's voices."""
    from whosings.gallery_rates import terms_of
    from whosings.library.decisions import DecidedLibrary
    from whosings.library.review import Reviewer

    with DecidedLibrary(library) as opened:
        gallery.refuse_other(opened.fingerprint, opened.encoder)
        contents = {track.sha256 for track in gallery.tracks()}
        return Reviewer(opened, gallery.voices, terms_of(calibration, gallery, None), calibration).trials(contents)


def check(
    gallery: GalleryFile = GALLERY,
    encoder: OwnEncoder = None,
    as_json: Json = False,
) -> None:
    """Say whether a gallery's file is whole, which recordings fit ill, and which names are likely one voice."""
    from whosings.gallery import Gallery
    from whosings.gallery_audit import audit

    run = Report()
    with Gallery(gallery) as opened:
        opened.check()
        found = opened.singers()
        calibration = _calibration(opened, encoder)
        doubts = calibration if isinstance(calibration, str) else audit(opened, calibration)
    tracks = sum(row.tracks for row in found)
    unchecked = doubts if isinstance(doubts, str) else None
    if as_json:
        whole = {"whole": True, "singers": len(found), "recordings": tracks, "encoder": opened.encoder}
        print_json({**whole, "doubts": None if unchecked else doubts, "unchecked": unchecked})
        return
    print_text(f"{gallery} is whole: {counted(len(found), 'singer')}, {counted(tracks, 'recording')}")
    print_doubts(run, doubts)
    if not isinstance(doubts, str) and not doubts.comparable:
        run.err.print("too many singers to tell whether two names are one voice", style="yellow")


def _calibration(gallery: Gallery, encoder: str | None) -> Calibration | str:
    """That of a gallery's encoder, found by its fingerprint among those that ship unless named; or why not."""
    from whosings.calibration import calibration_of
    from whosings.encoder.checkpoint import SHIPPED, load_checkpoint

    if encoder is not None:
        embedder = open_embedder(encoder, "cpu")
        gallery.refuse_other(embedder.fingerprint, embedder.name)
        return calibration_or_reason(embedder)
    for checkpoint in map(load_checkpoint, SHIPPED):
        if checkpoint.fingerprint == gallery.fingerprint:
            return calibration_of(checkpoint)
    return f"encoder {gallery.encoder or gallery.fingerprint[:12]} does not ship; name it with --encoder"
