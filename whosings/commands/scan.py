"""Libraries: scan."""

from __future__ import annotations

import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whosings.commands.engines import AddressOption, EngineOption, GpusOption, WorkersOption, open_workers, seen_by_all
from whosings.commands.library import answer_row, group_of
from whosings.commands.library_options import LIBRARY, GalleryOption, LibraryOption
from whosings.commands.options import Device, EncoderName, FalseAcceptsOption
from whosings.console import Report, counted, json_text
from whosings.errors import WhosingsError

if TYPE_CHECKING:
    from whosings.library.library_file import Library
    from whosings.library.scan import Listener, Scanned, Scanner
    from whosings.library.scan_metrics import ScanMetrics
    from whosings.library.sources import Paths

_MOST_LISTED = 20  # failures in the end; each one is a row before
_STALL_S = 300.0  # without a result, after which files that are being read are told
_MOST_TOLD = 5


def scan(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|LIST|-",
            help="A folder of songs, a track table or text file of paths, s3://BUCKET/FOLDER, or - for paths on "
            "standard input.",
            show_default=False,
        ),
    ],
    library: LibraryOption = LIBRARY,
    gallery: GalleryOption = None,
    encoder: EncoderName = "default",
    device: Device = "auto",
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    gpus: GpusOption = 0.0,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with new and changed files until interrupted.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Try files again that could not be used.")] = False,
    forget_missing: Annotated[
        bool, typer.Option("--forget-missing", help="Forget files that are not there any more.")
    ] = False,
    false_accepts: FalseAcceptsOption = None,
    metrics: Annotated[
        int | None,
        typer.Option(
            "--metrics", min=1, max=65535, metavar="PORT", help="Answer Prometheus at this port.", show_default=False
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object a line, on a terminal, too.", show_default=False)
    ] = False,
) -> None:
    """Listen to every file once, and keep all that was heard: one line a file as it is done.

    Lines are for people on a terminal, and JSON objects elsewhere. Files that are known are not heard again, also if
    they moved. If interrupted, rerun the same command to resume.
    """
    from whosings.library.library_file import Library
    from whosings.library.scan import Ear, Scanner
    from whosings.library.scan_metrics import serve_metrics
    from whosings.library.sources import folder_of
    from whosings.parallel import cores, processes

    folder = folder_of(source)
    for option, given in (("--watch", watch), ("--forget-missing", forget_missing)):
        if given and folder is None:
            raise typer.BadParameter(f"{option} counts for a folder")
    if watch and not isinstance(folder, Path):
        raise typer.BadParameter("--watch counts for a folder of this machine; scan a store again now and then")
    run = Report()
    who = open_workers(engine, address, gpus, workers, cores(), device)
    ear = Ear(seen_by_all(encoder, who), device)
    listener = ear.open()
    embedder = listener.embedder
    with Library(library, embedder.fingerprint, embedder.name, embedder.front_end.segment_s) as opened:
        rows = _Rows(run, opened, gallery, listener, false_accepts, run.out.is_terminal and not as_json)
        waiting: deque[WhosingsError] = deque()
        gone = _Gone(opened, folder, forget_missing)
        paths = _paths(source, folder, watch, waiting.append, lambda: rows.all_missing(gone))
        scanner = Scanner(opened, ear, who, again)
        serving: AbstractContextManager[ScanMetrics | None] = nullcontext()
        if metrics is not None:
            serving = serve_metrics(metrics, lambda: len(scanner.running), lambda: processes(who))
        total = 0 if watch or folder is None or not run.err.is_terminal else _count(folder)
        try:
            with (
                serving as told,
                closing(rows),
                run.bars() as bars,
                closing(scanner(paths, skip_known=watch)) as found,
                _Stalls(run, scanner) as stalls,
            ):
                step = bars("scanning", total)
                for scanned in found:
                    stalls.go_on()
                    while waiting:
                        rows.refused(waiting.popleft())
                    if scanned is not None:
                        rows.add(scanned)
                        if told is not None:
                            told.count(scanned, *_listened(opened, scanned))
                        step()
                while waiting:
                    rows.refused(waiting.popleft())
        except KeyboardInterrupt:
            if not watch:
                raise
        if not watch:
            rows.all_missing(gone)
        rows.finish(gone)


def _listened(library: Library, scanned: Scanned) -> tuple[float, float]:
    """Seconds of a recording, and of singing in it, if it was heard now."""
    from whosings.library.scan import State

    if scanned.recording is None or scanned.state not in (State.HEARD, State.CHANGED):
        return 0.0, 0.0
    about = library.recording(scanned.recording)
    return about.duration_s, about.vocal_s


class _Stalls:
    """Says on standard error which files are being read where nothing was done for minutes: a disk or network hangs."""

    def __init__(self, run: Report, scanner: Scanner) -> None:
        self._run, self._scanner = run, scanner
        self._ended, self._moved = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Stalls:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._moved.set()
        self._thread.join()

    def go_on(self) -> None:
        """Something was done."""
        self._moved.set()

    def _watch(self) -> None:
        while not self._ended.is_set():
            moved = self._moved.wait(_STALL_S)
            self._moved.clear()
            if not moved and (running := self._scanner.running):
                names = ", ".join(running[:_MOST_TOLD])
                text = (
                    f"nothing was done for {_STALL_S / 60:g} minutes while reading {names}; is a disk or network slow?"
                )
                self._run.err.print(text, style="yellow", markup=False)


def _paths(
    source: str,
    folder: Path | str | None,
    watch: bool,
    on_refused: Callable[[WhosingsError], object],
    on_round: Callable[[], object],
) -> Paths:
    from whosings.library.sources import in_folder, listed, on_store, streamed, watched

    if source == "-":
        return streamed(sys.stdin.buffer)
    if isinstance(folder, str):
        return on_store(folder)
    if folder is not None:
        return watched(folder, on_refused, on_round) if watch else in_folder(folder, on_refused)
    return listed(source)


def _count(folder: Path | str) -> int:
    """How many files there are; 0 where nobody knows."""
    from whosings.catalogue.folder_songs import audio_files

    if isinstance(folder, str):
        return 0
    return sum(1 for _ in audio_files(folder, None, lambda error: None))


class _Gone:
    """Files of a folder that are no more: told once, and forgotten if that was asked for."""

    def __init__(self, library: Library, folder: Path | str | None, forget: bool) -> None:
        self._library, self._folder, self._forget = library, folder, forget
        self._told: set[str] = set()
        self.recordings = 0

    @property
    def files(self) -> int:
        """How many were told."""
        return len(self._told)

    def __call__(self) -> Iterator[str]:
        """Those that were not told before."""
        from whosings.library.scan import missing_files

        if self._folder is None:
            return
        found = [path for path in missing_files(self._library, self._folder) if path not in self._told]
        if self._forget:
            self._library.forget_files(found)
            self.recordings += self._library.forget_missing()
        self._told.update(found)
        yield from found

    def __str__(self) -> str:
        files = counted(self.files, "file")
        if self._forget:
            return f"{files} not there any more, forgotten with {counted(self.recordings, 'recording')}"
        are = "is" if self.files == 1 else "are"
        return f"{files} {are} not there any more; --forget-missing forgets what was heard of them"


class _Rows:
    """Prints a row a file: JSON where a program reads it, a line where a person does."""

    def __init__(
        self,
        run: Report,
        library: Library,
        gallery: Path | None,
        listener: Listener,
        false_accepts: float | None,
        plain: bool,
    ) -> None:
        from whosings.gallery import Gallery
        from whosings.identification import Identifier

        self._run, self._library, self._plain = run, library, plain
        self._gallery = None if gallery is None else Gallery(gallery)
        self._identifier = None
        if self._gallery is not None:
            self._identifier = Identifier(self._gallery, listener.embedder, None, listener.calibration, false_accepts)
            _ = self._identifier.ready  # a gallery of nobody is told before the work
        self._counts: Counter[str] = Counter()
        self._failed: list[str] = []

    def close(self) -> None:
        """Release the gallery."""
        if self._gallery is not None:
            self._gallery.close()

    def add(self, scanned: Scanned) -> None:
        """Print what is known of a file."""
        from whosings.answer_text import verdict_line

        row: dict[str, Any] = {"path": scanned.path, "state": scanned.state}
        line = ""
        if scanned.moved_from is not None:
            row["moved_from"] = scanned.moved_from
        if scanned.recording is not None:
            about = self._library.recording(scanned.recording)
            row |= {"recording": about.id, "sha256": about.sha256}
            if scanned.error is None:
                row |= {"duration_s": about.duration_s, "vocal_s": about.vocal_s, "opinion": about.opinion}
                line = f"{about.vocal_s:.0f} s sung"
        if scanned.error is not None:
            self._fail(row, scanned.error)
            return
        self._counts["files"] += 1
        self._counts[str(scanned.state)] += 1
        if self._identifier is not None and scanned.recording is not None:
            answer = self._identifier.name(self._library.heard(scanned.recording))
            self._counts[group_of(answer)] += 1
            row["answer"], line = answer_row(answer), verdict_line(answer)
        self._print(row, f"{scanned.path}: {line} ({scanned.state})")

    def refused(self, error: WhosingsError) -> None:
        """Print what could not be looked into."""
        self._fail({"path": error.subject, "state": "failed"}, error)

    def all_missing(self, gone: _Gone) -> None:
        """Print which files are no more."""
        for path in gone():
            self._print({"path": path, "state": "missing"}, f"{path}: not there any more")

    def finish(self, gone: _Gone) -> None:
        """Print the sum of all rows, and exit with 1 if something failed."""
        counts, failed = self._counts, self._counts["failed"]
        states = [f"{counts[name]:,} {name}" for name in ("heard", "changed", "known", "moved", "copy") if counts[name]]
        text = f"{counted(counts['files'] + failed, 'file')}: {', '.join(states) or 'none used'}"
        if failed:
            text += f", {failed:,} failed"
        if self._identifier is not None:
            groups = ("named", "worth a look", "unknown", "no vocals")
            text += f"; {', '.join(f'{counts[name]:,} {name}' for name in groups)}"
        self._run.err.print(text, markup=False)
        if gone.files:
            self._run.err.print(str(gone), style="yellow", markup=False)
        if failed:
            for line in self._failed:
                self._run.err.print(f"  {line}", markup=False, style="red")
            if failed > len(self._failed):
                self._run.err.print(f"  and {failed - len(self._failed):,} more, each in a row above")
            raise typer.Exit(1)

    def _fail(self, row: dict[str, Any], error: WhosingsError) -> None:
        self._counts["failed"] += 1
        if len(self._failed) < _MOST_LISTED:
            self._failed.append(str(error))
        self._print({**row, "error": str(error)}, str(error))

    def _print(self, row: dict[str, Any], line: str) -> None:
        if self._plain:
            self._run.out.print(line, markup=False)
        else:
            typer.echo(json_text(row))
