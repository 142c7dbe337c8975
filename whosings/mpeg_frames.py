"""MP3s by the headers of their frames, whatever the header in front of them promises: counted without decoding."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from whosings.containers import WINDOW, View, bytes_at, size_of

_KBITS = {  # (MPEG-1, layer): kbit/s by the header's four bits
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_DECODER_DELAY = 529  # samples, of every decoder of layer 3
_SEARCH = 1 << 16  # bytes after the tags in which the first frame is looked for


@dataclass(frozen=True)
class _Frame:
    """An MPEG audio frame, by its header; lengths in bytes and samples, the rate in Hz."""

    length: int
    samples: int
    rate: int
    layer: int
    mono: bool
    kbits: int

    @property
    def kind(self) -> tuple[int, bool]:
        return self.rate, self.mono


def _frame(head: bytes) -> _Frame | None:
    """What four bytes say as an MPEG audio header; None if they are none, or one of "free" bit rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate_index, kbits_index = head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or layer == 4 or rate_index == 3 or kbits_index in (0, 15):
        return None
    rate = (44100, 48000, 32000)[rate_index] >> (0 if version == 3 else 1 if version == 2 else 2)
    kbits = _KBITS[version == 3, layer][kbits_index]
    samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    slot = 4 if layer == 1 else 1
    length = (samples // 8 * kbits * 1000 // rate // slot + (head[2] >> 1 & 1)) * slot
    return _Frame(length, samples, rate, layer, head[3] >> 6 == 3, kbits)


def _synchronous(window: bytes, at: int, frames: int) -> bool:
    """Whether that many frames of one layer follow each other here."""
    layer = None
    for _ in range(frames):
        frame = _frame(window[at : at + 4])
        if frame is None or frame.layer != (layer or frame.layer):
            return False
        layer, at = frame.layer, at + frame.length
    return True


def _tag_size(head: bytes) -> int:
    """Bytes of the tag that begins with these 32; 0 if none does."""
    if head[:3] == b"TAG":
        return 128
    if head[:3] == b"ID3" and max(head[6:10], default=255) < 128:
        size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        return 10 + size + (10 if head[5] & 0x10 else 0)
    return 32 + int.from_bytes(head[12:16], "little") if head[:8] == b"APETAGEX" else 0


@dataclass(frozen=True)
class Mp3:
    """What an MP3's frames say.

    Attributes:
        first: where the first frame begins, in bytes, whether it holds sound or states the length.
        frames: frames with sound.
        stated: the number of frames by a Xing or Info header; None if it states none.
        has_header: there is such a header, with or without that number.
        uniform: sampling rate and channel count stay the same.
        constant: the bit rate does.
        clean: there is nothing but tags before the first frame.
    """

    first: int
    frames: int
    stated: int | None
    has_header: bool
    uniform: bool
    constant: bool
    clean: bool

    @property
    def header_is_wrong(self) -> bool:
        """Whether a decoder that believes the header, or guesses the length by the first frame, gets it wrong."""
        if self.stated is None:
            return self.has_header or not (self.constant and self.clean)
        return abs(self.frames - self.stated) > 1 or not self.clean


def walk_mp3(file: BinaryIO, junk: bool = False) -> Mp3 | None:
    """Follow the headers of all frames; None if the file does not begin with MPEG audio frames, after tags.

    Args:
        junk: the frames may come after something else. An MP4 may hold such frames as well.

    Raises:
        ValueError: in the middle something is no frame, no tag and no padding of zeros.
    """
    size, first = size_of(file), 0
    while tag := _tag_size(bytes_at(file, first, 32)):
        first += tag
    window = bytes_at(file, first, _SEARCH)
    found = next((m.start() for m in re.finditer(b"\xff", window) if _synchronous(window, m.start(), 4)), None)
    if found is None or (found and not junk) or window[:4] in (b"fLaC", b"RIFF", b"OggS", b"FORM"):
        return None
    first += found
    place = _xing_place(window[found : found + 4])
    xing = window[found + place : found + place + 12]
    has_header = xing[:4] in (b"Xing", b"Info")
    stated = int.from_bytes(xing[8:12], "big") if has_header and xing[7] & 1 else None

    counts: Counter[_Frame] = Counter()
    for frame, number in _frames(file, first, size):
        counts[frame] += number
    head = _frame(window[found : found + 4])
    kinds, rates = {frame.kind for frame in counts}, {frame.kbits for frame in counts}
    assert head is not None
    return Mp3(
        first, sum(counts.values()) - has_header, stated, has_header, len(kinds) == 1, len(rates) == 1, not found
    )


def _frames(file: BinaryIO, at: int, size: int) -> Iterator[tuple[_Frame, int]]:
    """Kinds of frames and how many there are, a window of the file at a time."""
    known: dict[bytes, _Frame | None] = {}
    while at < size:
        window, place = bytes_at(file, at, WINDOW), 0
        counts: Counter[bytes] = Counter()
        frame = None
        while place + 4 <= len(window):
            head = window[place : place + 4]
            frame = known[head] if head in known else known.setdefault(head, _frame(head))
            if frame is None:
                break
            counts[head] += 1
            place += frame.length
        at += place
        if at > size:  # the last frame is cut
            counts[head] -= 1
        yield from ((kind, number) for head, number in counts.items() if number and (kind := known[head]))
        if frame is None or len(window) < 4:
            known.clear()
            at = _next_frame(file, at, size)


def _next_frame(file: BinaryIO, at: int, size: int) -> int:
    """Where frames go on after a tag or zeros; ``size`` if they do not."""
    start = at
    tag = _tag_size(bytes_at(file, at, 32))
    if tag:
        return min(size, at + tag)
    lost, lyrics = False, bytes_at(file, at, 11) == b"LYRICSBEGIN"
    while at < size:
        window = bytes_at(file, at, WINDOW)
        last = len(window) if at + len(window) == size else len(window) - 8192
        for found in re.finditer(b"\xff|ID3|APETAGEX", window):
            place = found.start()
            if place >= last:
                break
            if _tag_size(window[place : place + 32]) if window[place] != 0xFF else _synchronous(window, place, 3):
                if not lyrics and (lost or window[:place].strip(b"\0")):
                    raise ValueError(f"its frames are interrupted at {start / size:.1%} of the file")
                return at + place
        lost = lost or bool(window[:last].strip(b"\0"))
        at += max(1, last)
    return size


def _xing_place(head: bytes) -> int:
    """Where in a frame of MPEG layer 3 a Xing header begins."""
    frame = _frame(head)
    mono, mpeg_1 = bool(frame and frame.mono), head[1] >> 3 & 3 == 3
    return 4 + ((17 if mono else 32) if mpeg_1 else (9 if mono else 17))


def mp3_with_its_length(file: BinaryIO, mp3: Mp3) -> View:
    """The MP3 behind a header that states its length in frames, and in bytes where the file's own did."""
    size = size_of(file)
    head = bytearray(bytes_at(file, mp3.first, 4))
    place = _xing_place(bytes(head))
    if mp3.stated is not None:
        head = bytearray(bytes_at(file, mp3.first, place + 16))
        head[place + 8 : place + 12] = max(mp3.frames, mp3.stated).to_bytes(4, "big")
        if head[place + 7] & 2:
            head[place + 12 : place + 16] = min(size - mp3.first, (1 << 32) - 1).to_bytes(4, "big")
        return View(bytes(head), file, mp3.first + len(head), size)
    head[1] |= 1  # without a checksum
    head[2] = head[2] & 0x0C | 0x90  # a bit rate at which the header has room
    frame = _frame(bytes(head))
    assert frame is not None
    silence = bytes(head).ljust(frame.length, b"\0")
    # Decoders skip their own delay where a header stands, and nothing where none does: they skip a frame of silence.
    skipped = (frame.samples - _DECODER_DELAY << 12).to_bytes(3, "big")
    states = b"Xing" + struct.pack(">II", 1, mp3.frames + 1) + b"LAME3.100" + bytes(12) + skipped
    states = silence[:place] + states + silence[place + len(states) :] + silence
    first = mp3.first
    if mp3.has_header:
        own = _frame(bytes_at(file, first, 4))
        first += own.length if own else 0
    return View(states, file, first, size)
