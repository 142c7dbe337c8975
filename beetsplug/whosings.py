"""A plugin for beets: who sings each item of a library, as fields to list and to query.

``beet whosings [QUERY]`` listens to items and keeps ``singers``, ``singer_confidence``, ``singer_outcome`` and
``singers_perhaps``. ``docs/plugins.md`` says how to set it up. There is no ``__init__.py`` here: plugins of many
packages share the folder ``beetsplug``.
"""

from __future__ import annotations

import hashlib
import json
import optparse
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beets import ui
from beets.dbcore import types
from beets.plugins import BeetsPlugin

if TYPE_CHECKING:
    from whosings.answer import Answer
    from whosings.gallery import Gallery
    from whosings.identification import Identifier

_HEARD_BY = "singer_heard_by"


@dataclass(frozen=True)
class _Heard:
    """What is kept of an answer.

    Attributes:
        singers: those who are named, the longest heard first.
        perhaps: those who are worth a look.
        confidence: the least probability of those who are named, 0 if nobody is.
    """

    singers: tuple[str, ...]
    perhaps: tuple[str, ...]
    confidence: float
    outcome: str

    @classmethod
    def of(cls, answer: Answer) -> _Heard:
        """Of an answer: its outcome is ``named`` where at least one singer is."""
        named = answer.named
        likely = [voice.probability for voice in answer.voices if voice.singer in named]
        outcome = "named" if named else answer.verdict.value
        return cls(named, answer.worth_a_look, min(likely, default=0.0), outcome)


class WhosingsPlugin(BeetsPlugin):  # type: ignore[misc,unused-ignore]
    """Fields of items, a command, and if wanted a stage of the import."""

    item_types = {  # noqa: RUF012 (beets reads it from the class)
        "singers": types.DelimitedString("; "),
        "singers_perhaps": types.DelimitedString("; "),
        "singer_confidence": types.Float(3),
        "singer_outcome": types.STRING,
    }

    def __init__(self) -> None:
        super().__init__()
        self.config.add(
            {
                "gallery": "",
                "encoder": "default",
                "device": "auto",
                "false_accepts": None,
                "auto": False,
                "force": False,
            }
        )
        if self.config["auto"].get(bool):
            self.import_stages = [self.imported]

    def commands(self) -> Sequence[ui.Subcommand]:
        """``beet whosings``."""
        command = ui.Subcommand("whosings", help="say who sings, by a gallery of voices")
        command.parser.usage = "%prog [options] [QUERY]"
        command.parser.add_option(
            "-p", "--pretend", action="store_true", default=False, help="listen and show who sings, and keep nothing"
        )
        command.parser.add_option(
            "-f",
            "--force",
            action="store_true",
            default=False,
            help="listen again to items that were heard with the same encoder and gallery",
        )
        command.func = self.command
        return [command]

    def command(self, lib: Any, opts: optparse.Values, args: list[str]) -> None:
        """Listen to the items of a query; an item that cannot be used is told, and the rest goes on."""
        force = opts.force or self.config["force"].get(bool)
        failed = self._listen(lib.items(args), force, opts.pretend, show=True)
        if failed:
            raise ui.UserError(f"whosings: could not listen to {failed} {'item' if failed == 1 else 'items'}")

    def imported(self, session: Any, task: Any) -> None:
        """The stage of an import: what cannot be listened to is told, and the import goes on."""
        try:
            self._listen(task.imported_items(), force=False, pretend=False, show=False)
        except ui.UserError as error:
            self._log.error("{}", error)

    def _listen(self, items: Iterable[Any], force: bool, pretend: bool, show: bool) -> int:
        """Listen to items; how many could not be used."""
        from whosings.errors import AudioError, WhosingsError
        from whosings.gallery import Gallery

        gallery = self.config["gallery"].get()
        if not gallery:
            raise ui.UserError(
                "whosings: no gallery is set; add to the configuration: whosings: {gallery: /path/to/singers.gallery}"
            )
        path = Path(self.config["gallery"].as_filename())
        if not path.is_file():
            raise ui.UserError(f"whosings: {path}: no such gallery; make one with: whosings enrol NAME FILES -g {path}")
        failed = 0
        try:
            with Gallery(path) as opened:
                heard_by = self._heard_by(opened)
                todo = [item for item in items if force or item.get(_HEARD_BY) != heard_by]
                if not todo:
                    self._log.info("nothing to listen to: all items were heard with this encoder and gallery")
                    return 0
                identifier, embedder = self._identifier(opened)
                paths = [Path(os.fsdecode(item.path)) for item in todo]
                for item, result in zip(todo, embedder.many(paths), strict=True):
                    if isinstance(result, AudioError):
                        failed += 1
                        self._log.error("{}", result)
                        continue
                    found = _Heard.of(identifier.answer(result))
                    if show:
                        ui.print_(_line(item, found))
                    if not pretend:
                        self._keep(item, found, heard_by)
        except WhosingsError as error:
            raise ui.UserError(f"whosings: {error}") from error
        return failed

    def _identifier(self, gallery: Gallery) -> tuple[Identifier, Any]:
        from whosings.embedding import TrackEmbedder
        from whosings.identification import Identifier
        from whosings.onnx_segments import open_segments

        segments = open_segments(self.config["encoder"].as_str(), self.config["device"].as_str())
        embedder = TrackEmbedder(segments)
        return Identifier(gallery, embedder, false_accepts=self._false_accepts()), embedder

    def _false_accepts(self) -> float | None:
        value = self.config["false_accepts"].get()
        return None if value is None else float(self.config["false_accepts"].get(float))

    def _heard_by(self, gallery: Gallery) -> str:
        """What an answer depends on beside the recording: the encoder, who is enrolled, and when a name is given."""
        voices = gallery.voices
        rates = None if gallery.rates is None else str(gallery.rates)
        terms = [gallery.fingerprint, voices.names, self._false_accepts(), rates]
        digest = hashlib.sha256(json.dumps(terms).encode())
        digest.update(voices.vectors.tobytes() + voices.segments.tobytes())
        return digest.hexdigest()[:16]

    def _keep(self, item: Any, found: _Heard, heard_by: str) -> None:
        item["singers"] = list(found.singers)
        item["singers_perhaps"] = list(found.perhaps)
        item["singer_confidence"] = found.confidence
        item["singer_outcome"] = found.outcome
        item[_HEARD_BY] = heard_by
        item.store()


def _line(item: Any, found: _Heard) -> str:
    from whosings.safe_text import printable

    if found.singers:
        said = f"{', '.join(found.singers)} ({found.confidence:.0%})"
    else:
        said = found.outcome + (f": {', '.join(found.perhaps)}" if found.perhaps else "")
    return printable(f"{item}: {said}")
