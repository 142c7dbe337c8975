"""Singers and their recordings: enrol, identify, verify."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whosings.commands.answer_files import AnswerFiles, EvidenceFolder, ExportFile
from whosings.commands.options import (
    GALLERY,
    Device,
    EncoderName,
    FalseAcceptsOption,
    GalleryFile,
    Json,
    Recordings,
    SingerFromOption,
    UnknownPrior,
    calibration_or_reason,
    embedded,
    here,
    open_embedder,
    place_told,
    print_doubts,
    refuse_output,
)
from whosings.console import Report, counted, print_json, print_text
from whosings.errors import AudioError, GalleryError, StorageError, WhosingsError
from whosings.singer_names import singer_name

if TYPE_CHECKING:
    from whosings.answer import Answer
    from whosings.catalogue.manifest import Track
    from whosings.embedding import TrackEmbedder

_MOST_DRAWN = 30  # rows of a picture
_LEAST_SHOWN = 0.001  # probability of a candidate other than the best


def enrol(
    singer: Annotated[str | None, typer.Argument(help="Name of the singer, unless --from is given.")] = None,
    files: Annotated[
        list[str] | None,
        typer.Argument(help="Recordings of that singer, or s3://BUCKET/FILE.", parser=place_told, metavar="FILES..."),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", help="Folder Singer/*.mp3, or a track table, also of a store.")
    ] = None,
    singer_from: SingerFromOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show who would be enrolled, from what.")] = False,
    gallery: GalleryFile = GALLERY,
    encoder: EncoderName = "default",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Add recordings of a singer (or of every singer in a folder) to a gallery.

    Content that is already enrolled is skipped. If interrupted, rerun the same command to resume.
    """
    from whosings.audio import AUDIO_ENDINGS
    from whosings.catalogue.listing import enrolment
    from whosings.catalogue.manifest import Track
    from whosings.catalogue.track_status import Listed
    from whosings.storage import is_remote

    run = Report()
    if singer is not None and Path(singer).suffix.lower() in AUDIO_ENDINGS:
        raise typer.BadParameter(f"{singer} looks like a recording; name the singer first")
    if singer_from is not None and (source is None or not Path(source).is_dir()):
        raise typer.BadParameter("--singer-from counts for a folder that --from names")
    if source is not None and singer is None:
        listed = enrolment(source, singer_from, run.failures.append)
    elif singer is not None and files and source is None:
        name = singer_name(singer, "enrol", GalleryError)
        listed = tuple(Listed(Track(path, name, path if is_remote(path) else Path(path))) for path in files)
    else:
        raise typer.BadParameter("give a singer's name and files, or --from FOLDER")
    tracks = [row.track for row in listed if row.excluded is None]
    left_out = [_LeftOut(row.track.path, row.detail) for row in listed if row.excluded is not None]
    if dry_run:
        _print_plan(run, tracks, left_out, as_json)
    else:
        _enrol(run, tracks, left_out, gallery, open_embedder(encoder, device), as_json)
    run.finish()


@dataclass(frozen=True)
class _LeftOut:
    """A file that is nobody's, or several people's, and why."""

    path: Path | str
    reason: str


def _print_plan(run: Report, tracks: Sequence[Track], left_out: Sequence[_LeftOut], as_json: bool) -> None:
    singers: dict[str, list[Path | str]] = {}
    for track in tracks:
        singers.setdefault(track.singer_id, []).append(track.path)
    if as_json:
        print_json({"singers": singers, "left_out": left_out, "failed": [str(e) for e in run.failures]})
        return
    run.print_table(
        ("singer", "recordings", "the first"),
        [(name, str(len(paths)), str(paths[0])) for name, paths in singers.items()],
    )
    run.print_table(("left out", "reason"), [(str(left.path), left.reason) for left in left_out])
    run.out.print(f"{counted(len(singers), 'singer')} would be enrolled; nothing is changed")


def _enrol(
    run: Report,
    tracks: Sequence[Track],
    left_out: Sequence[_LeftOut],
    gallery: Path,
    embedder: TrackEmbedder,
    as_json: bool,
) -> None:
    from whosings.enrolling import Enrolling
    from whosings.files import content_hash
    from whosings.gallery import Gallery
    from whosings.gallery_audit import audit
    from whosings.storage import fetched

    failed = 0
    calibration = calibration_or_reason(embedder)
    with Gallery(gallery, embedder.fingerprint, embedder.name) as opened:
        hashes: dict[str, str] = {}
        for track in tracks:
            try:
                with fetched(str(track.path)) as file:
                    hashes[str(track.path)] = content_hash(file)
            except (OSError, StorageError):
                hashes[str(track.path)] = ""  # the decoder says what is wrong with it
        held = {name: opened.contents(name) for name in {track.singer_id for track in tracks}}
        todo = [track for track in tracks if hashes[str(track.path)] not in held[track.singer_id]]
        with Enrolling(opened) as enrolling:
            for track, result in zip(todo, embedded(run, embedder, [t.path for t in todo], "enrolling"), strict=True):
                try:
                    if isinstance(result, AudioError):
                        raise result
                    enrolling.add(track.singer_id, result, hashes[str(track.path)], _kept(track.path))
                except WhosingsError as error:
                    run.failures.append(error)
                    failed += 1
        run.failures += enrolling.failures
        failed += len(enrolling.failures)
        added = enrolling.added
        singers = len(opened.singers())
        doubts = calibration if isinstance(calibration, str) else audit(opened, calibration, added)
    skipped = len(tracks) - len(added) - failed
    if as_json:
        found = {"added": len(added), "skipped": skipped, "singers": singers, "left_out": left_out}
        checked = None if isinstance(doubts, str) else doubts
        print_json({**found, "doubts": checked, "failed": [str(e) for e in run.failures]})
        return
    already = f", {skipped} already there" if skipped else ""
    run.out.print(
        f"{counted(len(added), 'recording')} enrolled{already}; {counted(singers, 'singer')} in {gallery}", markup=False
    )
    for reason, count in Counter(left.reason for left in left_out).most_common():
        run.err.print(f"{count} left out: {reason}", style="yellow", markup=False)
    print_doubts(run, doubts)


def _kept(path: Path | str) -> Path | str:
    """Where a recording lies, for whoever looks for it from elsewhere."""
    return path.absolute() if isinstance(path, Path) else path


def identify(
    files: Recordings,
    gallery: GalleryFile = GALLERY,
    encoder: EncoderName = "default",
    device: Device = "auto",
    top: Annotated[int, typer.Option(min=1, help="Number of candidates to show with --verbose, and in JSON.")] = 5,
    false_accepts: FalseAcceptsOption = None,
    unknown_prior: UnknownPrior = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show candidates, voices and their times.")] = False,
    timeline: Annotated[bool, typer.Option("--timeline", help="Show who sings when, part by part.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Draw the timelines into this PNG file.")] = None,
    evidence: EvidenceFolder = None,
    export: ExportFile = None,
    as_json: Json = False,
) -> None:
    """Say who sings: enrolled singers who are named or worth a look, 'unknown', or 'not enough vocals'."""
    from whosings.answer_text import verdict_line
    from whosings.gallery import Gallery
    from whosings.identification import Identifier
    from whosings.opinion import SecondOpinion
    from whosings.picture import PictureRow, draw
    from whosings.spool import Spool
    from whosings.storage import name_of

    run = Report()
    local = here(files)
    if evidence is not None and len(local) < len(files):
        raise typer.BadParameter("evidence is of files of this machine; copy them here", param_hint="--evidence")
    if picture is not None:
        refuse_output("--picture", picture, (".png",), [*local, gallery])
    besides = AnswerFiles(evidence, export, local, gallery, picture)
    embedder = open_embedder(encoder, device, SecondOpinion())
    answers: list[tuple[str, Answer]] = []
    with Gallery(gallery) as opened:
        identifier = Identifier(opened, embedder, unknown_prior, false_accepts=false_accepts)
        besides.open(opened, embedder)
        for path, result in zip(files, embedded(run, embedder, files, "identifying"), strict=True):
            if isinstance(result, AudioError):
                run.failures.append(result)
                continue
            answer = identifier.answer(result, top)
            answers.append((path, answer))
            besides.add(run, Path(path), answer, result)
            if not as_json:
                run.out.print(f"{name_of(path)}: {verdict_line(answer)}", style="bold", markup=False)
                _print_details(run, answer, verbose, timeline)
    if as_json:
        print_json([answer for _, answer in answers])
    elif answers:
        run.out.print(str(answers[0][1].terms), style="italic", markup=False)
        run.out.print(answers[0][1].notice, style="italic", markup=False)
    if picture is not None and answers:
        drawn = answers[:_MOST_DRAWN]
        if len(answers) > len(drawn):
            run.err.print(f"the picture shows the first {len(drawn)} of {len(answers)} recordings", style="yellow")
        draw([PictureRow(answer, Spool(path), name_of(path)) for path, answer in drawn], picture)
    besides.write(run, quiet=as_json)
    run.finish()


def _print_details(run: Report, answer: Answer, verbose: bool, timeline: bool) -> None:
    from whosings.answer_text import opinion_line, voice_lines
    from whosings.opinion_rows import opinion_sentence

    if answer.opinion is not None and (sentence := opinion_sentence(answer.opinion)):
        run.out.print(f"  {sentence}")
    if verbose or len(answer.voices) > 1:
        for line in voice_lines(answer):
            run.out.print(f"  {line}", markup=False)
    if verbose:
        rows = [
            (c.singer, f"{c.probability:.1%}", f"{c.score:.2f}", f"{c.share:.0%}")
            for place, c in enumerate(answer.top)
            if place == 0 or c.probability >= _LEAST_SHOWN
        ]
        run.print_table(("singer", "sings here with probability", "score", "share of the singing"), rows)
        if answer.opinion is not None:
            run.out.print(f"  {opinion_line(answer.opinion)}")
    for voice in answer.voices:
        for other in voice.namesakes:
            text = f"  {voice.singer} and {other} sound like one singer; if they are, merge the names"
            run.out.print(text, style="yellow", markup=False)
    if answer.short:
        run.out.print("  short recording: expect less certainty")
    for s in answer.timeline if timeline else ():
        run.out.print(f"  {s.start_s:7.1f} s  {s.singer or 'somebody else'} ({s.probability:.0%})", markup=False)


def verify(
    first: Annotated[str, typer.Argument(help="First recording.")],
    second: Annotated[str, typer.Argument(help="Recording to compare it with.")],
    encoder: EncoderName = "default",
    device: Device = "auto",
    false_accepts: FalseAcceptsOption = None,
    as_json: Json = False,
) -> None:
    """Say whether two recordings have the same singer."""
    from whosings.identification import Verifier

    result = Verifier(open_embedder(encoder, device), false_accepts=false_accepts)(first, second)
    if as_json:
        print_json(result)
    elif result.same is None or result.score is None:
        print_text("not enough vocals to compare")
    else:
        says = "one singer" if result.same else "not certain enough to call it one singer"
        least = "none" if result.threshold is None else f"{result.threshold:.2f}"
        lines = (
            f"{says}: probability {result.probability:.1%} at even odds, score {result.score:.2f} (threshold {least})",
            f"The threshold lets {100 * result.false_accept_rate:g}% of pairs of different singers pass, "
            f"measured on {result.measured_on}.",
            result.checked,
            result.notice,
        )
        print_text("\n".join(line for line in lines if line))
