"""What ``identify`` writes besides its answers: evidence to listen to, and exports for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whosings.commands.options import refuse_output
from whosings.console import Report
from whosings.errors import ConfigError, WhosingsError

if TYPE_CHECKING:
    from whosings.answer import Answer
    from whosings.embedding import Embeddings, TrackEmbedder
    from whosings.evidence import EvidenceFinder
    from whosings.evidence_page import Explained
    from whosings.gallery import Gallery

EvidenceFolder = Annotated[
    Path | None,
    typer.Option("--evidence", help="Folder for clips to compare by ear, pictures, and a page that plays them."),
]
ExportFile = Annotated[
    Path | None,
    typer.Option("--export", help="Write answers to FILE: .rttm, .txt (Audacity labels), .csv or .json."),
]


class AnswerFiles:
    """Collects answers, and writes what was asked for.

    Args:
        inputs: the recordings.
        gallery: its file.
        picture: what ``--picture`` names.

    Raises:
        typer.BadParameter: an output is of no format, or would replace something else.
    """

    def __init__(
        self, evidence: Path | None, export: Path | None, inputs: Sequence[Path], gallery: Path, picture: Path | None
    ) -> None:
        from whosings.evidence_page import refuse_foreign
        from whosings.exports import FORMATS, LABELS

        self._evidence, self._export, self._gallery = evidence, export, gallery
        self._answers: list[Answer] = []
        self._explained: list[Explained] = []
        self._finder: EvidenceFinder | None = None
        if export is not None:
            refuse_output("--export", export, tuple(FORMATS), [*inputs, gallery])
            if export.suffix.lower() == LABELS and len(inputs) > 1:
                raise typer.BadParameter(
                    f"a label track holds one recording, not {len(inputs)}; export each by itself",
                    param_hint="--export",
                )
        if evidence is not None:
            try:
                refuse_foreign(evidence)
            except ConfigError as error:
                raise typer.BadParameter(str(error), param_hint="--evidence") from error
            for path in (*inputs, gallery, *filter(None, (export, picture))):
                if path.absolute().resolve().is_relative_to(evidence.resolve()):
                    raise typer.BadParameter(
                        f"{path} lies in the folder {evidence}, which is replaced; name another",
                        param_hint="--evidence",
                    )

    def open(self, gallery: Gallery, embedder: TrackEmbedder) -> None:
        """Get ready to find evidence in a gallery, if it was asked for."""
        if self._evidence is not None:
            from whosings.calibration import calibration_of
            from whosings.evidence import EvidenceFinder

            calibration = calibration_of(embedder.checkpoint)
            self._finder = EvidenceFinder(gallery, calibration, embedder.front_end.segment_s)

    def add(self, run: Report, path: Path, answer: Answer, probe: Embeddings) -> None:
        """Take an answer; evidence that cannot be found is a failure among others."""
        from whosings.evidence_page import Explained
        from whosings.evidence_rows import RecordingEvidence

        if self._export is not None:
            self._answers.append(answer)
        if self._finder is not None:
            try:
                found = self._finder(answer, probe)
            except WhosingsError as error:
                run.failures.append(error)
                found = RecordingEvidence(answer.track_id, ())
            self._explained.append(Explained(path, answer, found))

    def write(self, run: Report, quiet: bool) -> None:
        """Write the files, if there was any answer.

        Args:
            quiet: do not say where they are.
        """
        from whosings.evidence_page import write_evidence
        from whosings.exports import export

        if self._export is not None and self._answers:
            export(self._answers, self._export)
        if self._evidence is not None and self._explained:
            page = write_evidence(self._explained, self._gallery, self._evidence)
            if not quiet:
                run.out.print(f"evidence: {page}", markup=False)
