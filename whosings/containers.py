"""What a file holds, whatever its header promises: Ogg pages and RIFF chunks, found without decoding.

Damage is a ``ValueError`` with a clause that says what it is. ``whosings.decoding`` names the file.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO

WINDOW = 1 << 20
"""Bytes read at a time."""

_TAG = re.compile(rb"ID3[^\xff]{3}|TAG|APETAGEX")


class CutShortError(ValueError):
    """The file ends before what it holds does."""


class View(io.RawIOBase):
    """Bytes of one's own, then a stretch of a file, as one file to read. Closing it closes the file."""

    def __init__(self, head: bytes, file: BinaryIO, first: int, last: int) -> None:
        self._head, self._file, self._first, self._at = head, file, first, 0
        self._size = len(head) + last - first

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The place, in bytes of the view."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, and return it."""
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as there are bytes, and return how many there were."""
        wanted = max(0, min(len(buffer), self._size - self._at))
        found = self._head[self._at : self._at + wanted]
        if not found:
            self._file.seek(self._first + self._at - len(self._head))
            found = self._file.read(wanted)
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def size_of(file: BinaryIO) -> int:
    """Bytes in an open file."""
    return file.seek(0, io.SEEK_END)


def bytes_at(file: BinaryIO, place: int, size: int) -> bytes:
    """Up to ``size`` bytes from a place on."""
    file.seek(place)
    return file.read(size)


# Ogg


@dataclass(frozen=True)
class OggLink:
    """One of the streams that follow each other in an Ogg file: its place in bytes."""

    first: int
    last: int


def ogg_links(file: BinaryIO) -> list[OggLink]:
    """The streams of an Ogg file, by the headers of its pages; streams side by side (a film's) are one link.

    Raises:
        ValueError: pages are missing, or something is no page.
    """
    size, at = size_of(file), 0
    links: list[int] = []
    numbers: dict[int, int] = {}
    opening = False
    heads: set[int] = set()  # streams of which only the headers were seen
    while at < size:
        head = bytes_at(file, at, 27 + 255)
        if head[:4] != b"OggS" or len(head) < 28:
            if links and not _more_pages(file, at, size):
                break
            raise ValueError(f"its pages are interrupted at {at / size:.1%} of the file")
        serial, number = struct.unpack_from("<II", head, 14)
        if head[5] & 2:
            if not opening:
                links.append(at)
                numbers.clear()
            opening = True
            heads.add(serial)
        else:
            opening = False
            # A recording of a broadcast begins with the headers and goes on with wherever the broadcast is.
            if serial in numbers and number != numbers[serial] + 1 and serial not in heads:
                raise ValueError(f"pages are missing at {at / size:.1%} of the file")
        granule = struct.unpack_from("<q", head, 6)[0]
        if granule > 0:
            heads.discard(serial)
        numbers[serial] = number
        at += 27 + head[26] + sum(head[27 : 27 + head[26]])
    if at > size:
        raise CutShortError("it ends within a page")
    return [OggLink(first, last) for first, last in zip(links, [*links[1:], at], strict=True)]


def _more_pages(file: BinaryIO, at: int, size: int) -> bool:
    """Whether pages follow what is none; at the end of a file that is some tag."""
    while at < size:
        window = bytes_at(file, at, WINDOW)
        if b"OggS\0" in window:
            return True
        at += max(1, len(window) - 4) if len(window) == WINDOW else len(window)
    return False


def check_ogg(file: BinaryIO, link: OggLink) -> None:
    """Compare the checksum of each page.

    Raises:
        ValueError: a page is damaged; decoders would leave it out without a word.
    """
    at = link.first
    while at < link.last:
        head = bytes_at(file, at, 27 + 255)
        size = 27 + head[26] + sum(head[27 : 27 + head[26]])
        page = bytes_at(file, at, size)
        if ogg_checksum(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[22:26], "little"):
            raise ValueError(f"a page is damaged at {(at - link.first) / (link.last - link.first):.1%} of its stream")
        at += size


def ogg_checksum(page: bytes) -> int:
    """CRC-32 with Ogg's bit order: zlib's runs the other way, starts from ones and inverts what comes out."""
    mirrored = page.translate(bytes(int(f"{value:08b}"[::-1], 2) for value in range(256)))
    # Starting from zero is starting from ones with the first four bytes inverted.
    first = bytes(value ^ 0xFF for value in mirrored[:4])
    found = zlib.crc32(mirrored[4:], zlib.crc32(first)) ^ 0xFFFFFFFF
    return int(f"{found:032b}"[::-1], 2)


# WAV

STREAMED_BYTES = 0x7FFF_0000
"""Chunk sizes from here on mean "unknown" to programs that write to a pipe."""


def wav_with_its_length(file: BinaryIO) -> View | None:
    """A WAV behind a header that states its length, where its own does not: it was piped, or is over 4 GiB.

    Returns:
        None where the header is right, or overstates the length, which a decoder finds.

    Raises:
        ValueError: sound goes on where the header says that it ends.
    """
    size, at, byte_rate = size_of(file), 12, 0
    while (chunk := bytes_at(file, at, 20))[:4] != b"data":
        if len(chunk) < 8:
            return None
        if chunk[:4] == b"fmt ":
            byte_rate = int.from_bytes(chunk[16:20], "little")
        length = int.from_bytes(chunk[4:8], "little")
        at += 8 + length + length % 2
    stated, first = int.from_bytes(chunk[4:8], "little"), at + 8
    more = size - first - stated
    if more <= (byte_rate if stated else 0) or byte_rate == 0:
        return None
    wraps = more >> 32
    if not wraps and _no_sound(file, first + stated, size):
        return None
    if wraps:
        true = stated + (wraps << 32)
    elif stated == 0 or stated >= STREAMED_BYTES:
        true = stated + more
    else:
        stated_s, more_s = stated / byte_rate, more / byte_rate
        raise ValueError(f"its header states {stated_s:.1f} s of sound, and {more_s:.1f} s more follow")
    before = bytes_at(file, 12, at - 12)
    sizes = struct.pack("<QQQI", 4 + 36 + len(before) + 8 + true, true, 0, 0)
    head = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<I", len(sizes)) + sizes + before + b"data\xff\xff\xff\xff"
    return View(head, file, first, first + true)


def _no_sound(file: BinaryIO, start: int, size: int) -> bool:
    """Whether what follows the sound is chunks, tags or zeros."""
    if _TAG.match(bytes_at(file, start, 8)):
        return True
    for at in (start, start + start % 2):  # an odd chunk is padded, by most programs
        while (chunk := bytes_at(file, at, 8)) and len(chunk) == 8 and re.fullmatch(rb"[ -~]{4}", chunk[:4]):
            length = int.from_bytes(chunk[4:], "little")
            at += 8 + length + length % 2
        if size <= at <= size + 1 or (at > start and size - at < 8):
            return True
    file.seek(start)
    return not any(block.strip(b"\0") for block in iter(lambda: file.read(WINDOW), b""))
