"""Credits of performers in a file's tags, as people who tag music write them.

| file | where credits stand | what one looks like |
|---|---|---|
| MP3, WAV, AIFF with ID3v2.4 | ``TMCL`` | ``vocals``, ``Ann`` |
| with ID3v2.3 or 2.2, which have no ``TMCL`` | ``IPLS`` or ``IPL`` | ``vocals``, ``Ann`` |
| FLAC, Ogg Vorbis, Opus | ``PERFORMER``, once a credit | ``Ann (vocals)`` |
| M4A, MP4 | ``----:com.apple.iTunes:PERFORMER``, a value a credit | ``Ann (vocals)`` |

Conventions
-----------
- Nothing but these credits changes. Sound, other tags and other performers stay, in ID3, FLAC and Ogg byte for byte.
  In M4A mutagen puts the other atoms into its own order, and turns a genre's number into its name.
- A credit is there already if the tags name the same person for any kind of singing.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whosings.errors import MissingExtraError, TagError
from whosings.library.id3_people import Id3Error, Person, people_of, with_people
from whosings.library.id3_place import Id3Place, put_tag, tag_of
from whosings.singer_names import name_key

VOCALS = "vocals"
"""The role that is written: the word of MusicBrainz, and of Picard."""

_SINGS = re.compile(
    r"\b(vocals?|vocalist|voices?|vox|singers?|singing|sung|gesang|chant|voix|voz|canto|voce)\b", re.IGNORECASE
)
_MP4 = "----:com.apple.iTunes:PERFORMER"
_PERFORMER = "PERFORMER"


@dataclass(frozen=True)
class Credit:
    """One performer.

    Attributes:
        role: what they do, in any language; empty where the tags do not say.
    """

    name: str
    role: str = VOCALS

    @property
    def sings(self) -> bool:
        """Whether the role is one of singing."""
        return bool(_SINGS.search(self.role))

    def __str__(self) -> str:
        """As Vorbis comments have it."""
        return f"{self.name} ({self.role})" if self.role else self.name


def credits_of(path: Path) -> tuple[Credit, ...]:
    """All performers that a file's tags name, in their order.

    Raises:
        TagError: the file cannot be read, holds no tags of a known kind, or damaged ones.
    """
    place = _id3(path)
    if place is not None:
        tag = tag_of(path, place)
        try:
            return tuple(Credit(person.name, person.role) for person in people_of(tag)) if tag else ()
        except Id3Error as error:
            raise _damaged(path, error) from error
    _, values = _opened(path)
    return tuple(_parsed(value) for value in values)


def missing(there: Collection[Credit], wanted: Sequence[Credit]) -> tuple[Credit, ...]:
    """Those who are wanted and not yet credited for singing, each once."""
    known = {name_key(credit.name) for credit in there if credit.sings}
    found = []
    for credit in wanted:
        if name_key(credit.name) not in known:
            known.add(name_key(credit.name))
            found.append(credit)
    return tuple(found)


def write_credits(source: Path, target: Path, add: Sequence[Credit], remove: Collection[Credit] = ()) -> None:
    """Write a copy of a file that has some credits more, and others fewer.

    Args:
        target: another path than ``source``; its ending does not matter.

    Raises:
        TagError: the tags cannot be changed without losing some.
        OSError: the copy cannot be written.
    """
    place = _id3(source)
    if place is not None:
        try:
            tag = with_people(
                tag_of(source, place) if place.size else b"",
                [Person(credit.role, credit.name) for credit in add],
                [Person(credit.role, credit.name) for credit in remove],
            )
            put_tag(source, target, place, tag)
        except Id3Error as error:
            raise _damaged(source, error) from error
        return
    shutil.copyfile(source, target)
    file, values = _opened(target, source)
    gone = {str(credit) for credit in remove}
    kept = [value for value in values if value not in gone] + [str(credit) for credit in add]
    _refuse_loss(file, source)
    before = _others(file)
    _put(file, kept)
    _save(file, target, source)
    file, found = _opened(target, source)
    if found != kept or _others(file) != before:
        raise TagError(source, "would not keep its other tags", "tag it with another program")


def _id3(path: Path) -> Id3Place | None:
    """Where the file has its ID3 tag, or would have it; None where it is of a kind with other tags."""
    try:
        return Id3Place.of(path)
    except Id3Error as error:
        raise _damaged(path, error) from error
    except OSError as error:
        raise TagError(path, f"cannot be read ({error.strerror})", "check the path and its permissions") from error


def _damaged(path: Path, error: Id3Error) -> TagError:
    return TagError(path, str(error), "repair its tags with a tagging program first")


def _opened(path: Path, named: Path | None = None) -> tuple[Any, list[str]]:
    """A file of mutagen's, and its values of PERFORMER."""
    MissingExtraError.require("mutagen", "Tags of FLAC, Ogg and M4A", "tags")
    import mutagen
    from mutagen._vorbis import VComment
    from mutagen.mp4 import MP4

    try:
        with path.open("rb") as stream:  # a path would tell a mere missing file as damage
            file = mutagen.File(stream)
    except OSError as error:
        raise TagError(
            named or path, f"cannot be read ({error.strerror})", "check the path and its permissions"
        ) from error
    except mutagen.MutagenError as error:
        raise TagError(named or path, f"has tags that cannot be read ({error})", "repair them first") from error
    if isinstance(file, MP4):
        return file, [bytes(value).decode(errors="replace") for value in (file.tags or {}).get(_MP4, ())]
    if file is None or not (file.tags is None or isinstance(file.tags, VComment)):
        problem = "is of a kind whose tags are not written"
        raise TagError(named or path, problem, "give MP3, FLAC, Ogg, Opus, M4A, WAV or AIFF")
    return file, [value for key, value in file.tags or () if key.upper() == _PERFORMER]


def _has_comments(file: Any) -> bool:
    """Whether it has Vorbis comments, which are a list; otherwise it is an M4A file with its dictionary."""
    from mutagen.mp4 import MP4

    return not isinstance(file, MP4)


def _refuse_loss(file: Any, path: Path) -> None:
    """Refuse comments that mutagen would not write as it read them.

    What is not UTF-8 becomes a replacement character, and what has no equals sign a comment called ``unknown``.
    """
    for key, value in file.tags or () if _has_comments(file) else ():
        if not isinstance(value, str) or "\ufffd" in value or "?" in key or re.fullmatch(r"unknown\d+", key):
            raise TagError(
                path, "has comments that are not text in UTF-8", "repair its tags with a tagging program first"
            )


def _put(file: Any, values: Sequence[str]) -> None:
    """Give a file these values of PERFORMER; what else it says stays in its order."""
    from mutagen.mp4 import AtomDataType, MP4FreeForm

    if file.tags is None:
        file.add_tags()
    if not _has_comments(file):
        file.tags.pop(_MP4, None)
        if values:
            file.tags[_MP4] = [MP4FreeForm(value.encode(), AtomDataType.UTF8) for value in values]
        return
    spelt = next((key for key, _ in file.tags if key.upper() == _PERFORMER), _PERFORMER)
    places = [place for place, (key, _) in enumerate(file.tags) if key.upper() == _PERFORMER]
    end = places[-1] - len(places) + 1 if places else len(file.tags)  # behind the last of them, once they are gone
    file.tags[:] = [pair for pair in file.tags if pair[0].upper() != _PERFORMER]
    file.tags[end:end] = [(spelt, value) for value in values]


def _save(file: Any, path: Path, named: Path) -> None:
    from mutagen import MutagenError

    try:
        file.save(path)
    except MutagenError as error:
        cause = error.__cause__ or (error.args[0] if error.args else None)
        if isinstance(cause, OSError):  # a full disk
            raise cause from error
        raise TagError(named, f"has tags that cannot be written ({error})", "tag it with another program") from error


def _others(file: Any) -> list[object]:
    """Everything that a file says beside PERFORMER."""
    if not _has_comments(file):
        return [(key, value) for key, value in sorted((file.tags or {}).items()) if key != _MP4]
    comments: list[object] = [pair for pair in file.tags or () if pair[0].upper() != _PERFORMER]
    blocks = getattr(file, "metadata_blocks", ())
    return comments + [block.write() for block in blocks if block is not file.tags and block.code != 1]


def _parsed(value: str) -> Credit:
    """``Ann (vocals)``, with the last brackets for the role, as Picard reads it."""
    depth, text = 0, value.rstrip()
    if text.endswith(")"):
        for place in range(len(text) - 1, 0, -1):
            depth += (text[place] == ")") - (text[place] == "(")
            if not depth:
                name = text[:place].rstrip()
                return Credit(name, text[place + 1 : -1].strip()) if name else Credit(text, "")
    return Credit(text, "")
