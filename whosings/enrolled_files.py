"""Where an enrolled recording lies now: found by where it was, and known by its content.

Galleries keep where a recording lay when it was enrolled; those made before whosings 0.3 keep the path as it was typed.
Recordings that moved together with the gallery, or with the folder in which the command runs, are found by the end of
their path. Whatever is found is the recording only if its SHA-256 is that of the enrolled one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from whosings.enrolled import EnrolledTrack
from whosings.errors import AudioError, MissingFileError, UnreadableAudioError
from whosings.files import hash_if_readable

_SHA256 = re.compile("([0-9a-f]{64})(:.*)?")  # the demo adds which half of a recording it was

_LEAST = 4  # digits of a hash that are taken for one


def recordings_meant(tracks: Collection[EnrolledTrack], text: str) -> tuple[EnrolledTrack, ...]:
    """The enrolled recordings that somebody may mean.

    Args:
        text: a path where one lay when it was enrolled or where it lies now, the end of such a path (its name), or how
            the content's SHA-256 begins (four digits at least).

    Returns:
        those with that very path or content, if there are any, and otherwise all that agree.
    """
    path, content = Path(text), hash_if_readable(text)
    same = tuple(track for track in tracks if track.source in (text, str(path.absolute())) or track.sha256 == content)
    if same:
        return same
    parts, digits = path.parts, text.lower() if len(text) >= _LEAST else None

    def agrees(track: EnrolledTrack) -> bool:
        by_hash = digits is not None and track.sha256.startswith(digits)
        return by_hash or (parts != () and Path(track.source).parts[-len(parts) :] == parts)

    return tuple(track for track in tracks if agrees(track))


class EnrolledFiles:
    """Finds the files of enrolled recordings; what was found is remembered.

    Args:
        gallery: the gallery's file.
    """

    def __init__(self, gallery: str | Path) -> None:
        self._bases = (Path.cwd(), Path(gallery).absolute().parent)
        self._known: dict[tuple[str, str], Path | AudioError] = {}

    def find(self, source: str, sha256: str) -> Path:
        """The file of a recording.

        Args:
            source, sha256: what the gallery says of it.

        Raises:
            MissingFileError: it is not there any more.
            UnreadableAudioError: another file has its name now, or there is no content hash to know it by.
        """
        key = (source, sha256)
        if key not in self._known:
            self._known[key] = self._look(source, sha256)
        found = self._known[key]
        if isinstance(found, AudioError):
            raise found
        return found

    def _look(self, source: str, sha256: str) -> Path | AudioError:
        content = _SHA256.fullmatch(sha256)
        if content is None:
            remedy = "enrol it with the command line, which keeps one"
            return UnreadableAudioError(source, "was enrolled without a hash of its content", remedy)
        changed = False
        for path in dict.fromkeys(self._places(Path(source))):
            if found := hash_if_readable(path):
                if found == content[1]:
                    return path
                changed = True
        if changed:
            return UnreadableAudioError(source, "has changed since it was enrolled", "bring back the former file")
        return MissingFileError(source, "is not where it was when it was enrolled", "bring it back there")

    def _places(self, source: Path) -> Iterator[Path]:
        yield from (base / source for base in self._bases)  # the path itself, if it is absolute
        parts = source.parts[1:] if source.is_absolute() else source.parts
        for first in range(len(parts)):
            yield from (base.joinpath(*parts[first:]) for base in self._bases)
