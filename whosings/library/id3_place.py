"""Where files keep an ID3v2 tag: in front of an MP3, or in a chunk of a WAV or AIFF file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from whosings.library.id3_people import Id3Error, tag_size

_LARGEST = 2**32 - 1
_OWN = frozenset((b"id3 ", b"ID3 "))


@dataclass(frozen=True)
class Id3Place:
    """Where a tag is, or would be.

    Attributes:
        chunked: it lies in a chunk.
        big: numbers of chunks have their highest byte first, as in AIFF.
        start, size: bytes of the file that the tag takes; of a chunk with its header and padding byte. ``size`` is 0
            where there is none.
        form_size: bytes that the file's outermost chunk holds.
    """

    chunked: bool
    big: bool
    start: int
    size: int
    form_size: int = 0

    @property
    def order(self) -> Literal["big", "little"]:
        """The order of bytes in numbers of chunks."""
        return "big" if self.big else "little"

    @classmethod
    def of(cls, path: Path) -> Id3Place | None:
        """Look for it; None where the file is of another kind.

        Raises:
            Id3Error: the file is damaged, or has tags of another kind, which a new ID3v2 tag would hide.
            OSError: the file cannot be read.
        """
        with path.open("rb") as file:
            start = file.read(16)
            kind = start[:4] + start[8:12]
            if kind == b"RIFFWAVE" or kind in (b"FORMAIFF", b"FORMAIFC"):
                return _chunk(file, big=kind[:1] == b"F")
            if start[:4] in (b"RF64", b"BW64"):
                raise Id3Error("is a WAV file of more than 4 GB, which is not written")
            size = tag_size(start)
            file.seek(size)
            then = file.read(4)
            if then == b"fLaC" or not (size or _is_mpeg(then, path)):
                return None
            if _is_adts(then):
                return None
            if not size:
                _refuse_hiding(file)
            return cls(False, False, 0, size)


def tag_of(path: Path, place: Id3Place) -> bytes:
    """The tag's bytes, empty where there is none."""
    if not place.size:
        return b""
    with path.open("rb") as file:
        file.seek(place.start)
        content = file.read(place.size)
    if not place.chunked:
        return content
    tag = content[8 : 8 + int.from_bytes(content[4:8], place.order)]
    if tag_size(tag[:10]) != len(tag):
        tag = tag[: tag_size(tag[:10])]
    return tag


def put_tag(source: Path, target: Path, place: Id3Place, tag: bytes) -> None:
    """Write a copy of a file that has another tag; everything else is byte for byte the same, but for sizes.

    Raises:
        Id3Error: the file would become too large for its kind.
        OSError: the copy cannot be written.
    """
    order = place.order
    with source.open("rb") as old, target.open("wb") as new:
        if place.chunked:
            with source.open("rb") as file:
                file.seek(place.start)
                name = file.read(4) if place.size else b"ID3 " if place.big else b"id3 "
            tag = name + len(tag).to_bytes(4, order) + tag + b"\0" * (len(tag) % 2)
            # A last chunk of an odd size may lack its padding byte.
            odd = b"\0" if not place.size and place.start == 8 + place.form_size and place.form_size % 2 else b""
            tag = odd + tag
            form_size = place.form_size - place.size + len(tag)
            if form_size > _LARGEST:
                raise Id3Error("would become larger than its kind of file can be")
            new.write(old.read(4) + form_size.to_bytes(4, order))
            old.seek(8)
        left = place.start - old.tell()
        while left and (block := old.read(min(left, 1 << 20))):
            new.write(block)
            left -= len(block)
        new.write(tag)
        old.seek(place.start + place.size)
        shutil.copyfileobj(old, new, 1 << 20)


def _chunk(file: IO[bytes], big: bool) -> Id3Place:
    """The chunk that holds a tag, or the place behind the last one."""
    order: Literal["big", "little"] = "big" if big else "little"
    file.seek(4)
    form_size = int.from_bytes(file.read(4), order)
    end = 8 + form_size
    file.seek(0, 2)
    if form_size in (0, _LARGEST) or end > file.tell():
        raise Id3Error("says another size than it has")
    others = []
    for name, start, size in _chunks(file, end, order):
        if name in _OWN:
            return Id3Place(True, big, start, min(8 + size + size % 2, end - start), form_size)
        file.seek(start + 8)
        others.append((name, file.read(4)))
    if any(name == b"LIST" and kind == b"INFO" for name, kind in others) and not big:
        raise Id3Error("has only INFO tags, which ID3 tags would hide")
    return Id3Place(True, big, end, 0, form_size)


def _chunks(file: IO[bytes], end: int, order: Literal["big", "little"]) -> Iterator[tuple[bytes, int, int]]:
    place = 12
    while place + 8 <= end:
        file.seek(place)
        head = file.read(8)
        size = int.from_bytes(head[4:], order)
        yield head[:4], place, size
        place += 8 + size + size % 2
    if place > end + 1:
        raise Id3Error("has chunks that do not fit into it")


def _is_mpeg(start: bytes, path: Path) -> bool:
    """Whether a file without a tag is an MP3: by its first frame, or by its name where something precedes that."""
    synchronised = len(start) > 1 and start[0] == 0xFF and start[1] & 0xE0 == 0xE0
    return (synchronised and not _is_adts(start)) or path.suffix.lower() == ".mp3"


def _is_adts(start: bytes) -> bool:
    """Whether a frame is of AAC without a container, which has no layer."""
    return len(start) > 1 and start[0] == 0xFF and start[1] & 0xF6 == 0xF0


def _refuse_hiding(file: IO[bytes]) -> None:
    """Players read the first kind of tags that a file has, in the order ID3v2, APEv2, ID3v1."""
    length = file.seek(0, 2)
    file.seek(max(0, length - 160))
    end = file.read()
    if end[-128:-125] == b"TAG":
        raise Id3Error("has only tags of ID3v1 or APE, which ID3v2 tags would hide")
    if end[-32:-24] == b"APETAGEX":
        raise Id3Error("has only tags of APE, which ID3v2 tags would hide")
