"""Care of a gallery: list, show, remove, rename, merge, export, import, fit, calibrate, check, sweep."""

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
    refuse_output,
    shipped_calibration,
)
from whosings.console import Report, counted, print_json, print_text
from whosings.errors import GalleryError

if TYPE_CHECKING:
    from whosings.calibration import Calibration
    from whosings.enrolled import EnrolledTrack
    from whosings.gallery import Gallery
    from whosings.gallery_rates import Trial

OwnEncoder = Annotated[
    str | None,
    typer.Option("--encoder", help="The gallery's encoder; needed only where it does not ship.", show_default=False),
]
_SHOWN = 12  # digits of a content hash
_TOLD = 3  # recordings that a message names
Name = Annotated[str, typer.Argument(help="Name of an enrolled singer.")]


def list_(
    part: Annotated[str, typer.Argument(help="Only names that hold this.", show_default=False)] = "",
    gallery: GalleryFile = GALLERY,
    as_json: Json = False,
) -> None:
    """Show who is enrolled."""
    from whosings.gallery import Gallery
    from whosings.singer_names import name_key

    run = Report()
    with Gallery(gallery) as opened:
        singers = [row for row in opened.singers() if name_key(part) in name_key(row.name)]
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
        ("recording", "content", "segments", "seconds", "heard"),
        [
            (
                track.source,
                track.sha256[:_SHOWN],
                f"{track.segments:.1f}".removesuffix(".0"),
                "-" if length is None else f"{length:.0f}",
                "-" if parts is None else ", ".join(map(str, parts)),
            )
            for track, length, parts in zip(tracks, seconds, spans, strict=True)
        ],
    )


def remove(
    singer: Name,
    recording: Annotated[
        str | None,
        typer.Option(
            help="Forget only this recording: its path, file name, or how the hash of its content begins.",
            show_default=False,
        ),
    ] = None,
    gallery: GalleryFile = GALLERY,
    as_json: Json = False,
) -> None:
    """Forget a singer, or one recording; the file holds nothing of it afterwards."""
    from whosings.gallery import Gallery

    with Gallery(gallery) as opened:
        if recording is None:
            opened.remove(singer)
            print_json({"removed": singer}) if as_json else print_text(f"{singer} is removed from {gallery}")
            return
        track = _recording(opened, singer, recording)
        left = len(opened.contents(singer)) - 1
        opened.remove_track(track.singer, track.sha256)
    if as_json:
        found = {"singer": track.singer, "source": track.source, "sha256": track.sha256}
        print_json({"removed_recording": found, "recordings": left, "singer_removed": left == 0})
        return
    rest = f"{counted(left, 'recording')} of {track.singer} are left" if left > 1 else f"1 of {track.singer} is left"
    if left == 0:
        rest = f"it was the last one of {track.singer}, who is removed, too"
    print_text(f"{track.source} is removed from {gallery}; {rest}")


def _recording(gallery: Gallery, singer: str, text: str) -> EnrolledTrack:
    """The one recording of a singer that a text means."""
    from whosings.enrolled_files import recordings_meant

    found = recordings_meant(gallery.tracks_of(singer), text)
    if not found:
        raise GalleryError(text, f"is no recording of {singer}", f"list them with: whosings gallery show {singer}")
    if len(found) > 1:
        which = ", ".join(f"{track.source} ({track.sha256[:_SHOWN]})" for track in found[:_TOLD])
        more = f" and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
        problem = f"means {len(found)} recordings of {singer}: {which}{more}"
        raise GalleryError(text, problem, "name one by its whole path or by the digits behind it")
    return found[0]


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


def export(
    file: Annotated[Path, typer.Argument(help="File to write, *.jsonl.")],
    gallery: GalleryFile = GALLERY,
    as_json: Json = False,
) -> None:
    """Write everyone with all recordings to one file that any program can read."""
    from whosings.gallery import Gallery
    from whosings.gallery_transfer import export_gallery

    refuse_output("FILE", file, (".jsonl",), [gallery])
    with Gallery(gallery) as opened:
        found = export_gallery(opened, file)
    if as_json:
        print_json({"exported": file, "singers": found.singers, "recordings": found.recordings})
        return
    amount = f"{counted(found.singers, 'singer')} with {counted(found.recordings, 'recording')}"
    print_text(f"{file}: {amount}; who has the file has these voices, and where the recordings lie")


def import_(
    file: Annotated[Path, typer.Argument(help="File that gallery export wrote.", readable=False)],
    gallery: GalleryFile = GALLERY,
    as_json: Json = False,
) -> None:
    """Add everyone in an exported file to a gallery, which is made if need be; or, after an error, nobody."""
    from whosings.gallery_transfer import import_gallery

    found = import_gallery(file, gallery)
    if as_json:
        print_json({"singers": found.singers, "recordings": found.recordings, "already_there": found.held})
        return
    already = f"; {found.held} were there already" if found.held else ""
    new = f"{counted(found.recordings, 'recording')} added to {gallery}"
    print_text(f"{new}, {counted(found.singers, 'new singer')}{already}")


def sweep(gallery: GalleryFile = GALLERY, as_json: Json = False) -> None:
    """Rewrite a gallery's file without what older versions, or an interrupted removal, left in it."""
    from whosings.gallery import Gallery

    before = gallery.stat().st_size if gallery.is_file() else 0
    with Gallery(gallery) as opened:
        opened.sweep()
    after = gallery.stat().st_size
    if as_json:
        print_json({"swept": gallery, "bytes_before": before, "bytes": after})
    else:
        print_text(f"{gallery} holds nothing that was removed; {before} bytes before, {after} now")


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
        found, unswept = opened.singers(), opened.unswept
        calibration = _calibration(opened, encoder)
        doubts = calibration if isinstance(calibration, str) else audit(opened, calibration)
    tracks = sum(row.tracks for row in found)
    unchecked = doubts if isinstance(doubts, str) else None
    if as_json:
        whole = {"whole": True, "singers": len(found), "recordings": tracks, "encoder": opened.encoder}
        print_json({**whole, "doubts": None if unchecked else doubts, "unchecked": unchecked, "unswept": unswept})
        return
    print_text(f"{gallery} is whole: {counted(len(found), 'singer')}, {counted(tracks, 'recording')}")
    if unswept:
        left = "a removal was interrupted, so that the file may still hold what was removed"
        run.err.print(f"{left}; run: whosings gallery sweep", style="yellow", markup=False)
    print_doubts(run, doubts)
    if not isinstance(doubts, str) and not doubts.comparable:
        run.err.print("too many singers to tell whether two names are one voice", style="yellow")


def _calibration(gallery: Gallery, encoder: str | None) -> Calibration | str:
    """That of a gallery's encoder, found by its fingerprint among those that ship unless named; or why not."""
    if encoder is not None:
        embedder = open_embedder(encoder, "cpu")
        gallery.refuse_other(embedder.fingerprint, embedder.name)
        return calibration_or_reason(embedder)
    found = shipped_calibration(gallery.fingerprint)
    return found or f"encoder {gallery.encoder or gallery.fingerprint[:12]} does not ship; name it with --encoder"
