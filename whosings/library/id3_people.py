"""People in an ID3v2 tag, with every other frame of it byte for byte as it was.

mutagen rewrites a whole tag: frames that occur twice become one, text is encoded anew, ID3v2.2 becomes another version,
and ID3v1 is written over. Here one frame changes, and the padding behind the frames takes it up where it is large
enough.

Conventions
-----------
- ID3v2.4 has ``TMCL`` for musicians (and ``TIPL`` for everybody else). ID3v2.3 and 2.2 have only ``IPLS`` and ``IPL``,
  which hold both. All are lists of an involvement and a name in turn. All are read in every version, because taggers
  mix them.
- A tag keeps its version. What an extended header or a footer says would no longer be true, and so both are left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

_HEADER = 10
_PADDING = 2048  # bytes, in a tag that has to grow
_MOST = 1 << 28  # bytes that the size of a tag can say
_READ = {2: (b"IPL",), 3: (b"IPLS", b"TMCL", b"TIPL"), 4: (b"TMCL", b"TIPL", b"IPLS")}
_WRITTEN = {2: b"IPL", 3: b"IPLS", 4: b"TMCL"}
_CODECS = ("latin-1", "utf-16", "utf-16-be", "utf-8")


class Id3Error(Exception):
    """Why a tag cannot be used, as a clause."""


@dataclass(frozen=True)
class Person:
    """One entry of a list of people: what somebody did, and a name."""

    role: str
    name: str


@dataclass(frozen=True)
class _Frame:
    """One frame as it stands in the file: ``raw`` is all of it, ``body`` what comes after its header."""

    name: bytes
    raw: bytes
    body: bytes
    flags: int


@dataclass(frozen=True)
class _Tag:
    """A tag taken apart; ``safe_sizes`` says whether sizes of frames have seven bits a byte, as ID3v2.4 wants it."""

    version: int
    revision: int
    unsynchronised: bool
    experimental: bool
    frames: tuple[_Frame, ...]
    safe_sizes: bool


def tag_size(start: bytes) -> int:
    """Bytes of the tag that a file begins with, 0 if there is none.

    Args:
        start: the first ten bytes of the file.
    """
    if len(start) < _HEADER or start[:3] != b"ID3" or any(byte & 0x80 for byte in start[6:10]):
        return 0
    return _HEADER + _safe(start[6:10]) + (_HEADER if start[3] == 4 and start[5] & 0x10 else 0)


def people_of(tag: bytes) -> tuple[Person, ...]:
    """The people that a tag names, in its order.

    Raises:
        Id3Error: the tag is damaged, or of a form that is not read.
    """
    taken = _take_apart(tag)
    return tuple(
        person for frame in taken.frames if frame.name in _READ[taken.version] for person in _listed(taken, frame)
    )


def with_people(tag: bytes, add: Sequence[Person], remove: Collection[Person] = ()) -> bytes:
    """The tag with some people more and others fewer; an empty ``tag`` makes a new one of ID3v2.4.

    The size stays where the padding allows it.

    Raises:
        Id3Error: the tag is damaged, of a form that is not read, or would become too large.
    """
    taken = _take_apart(tag) if tag else _Tag(4, 0, False, False, (), True)
    frames: list[_Frame] = []
    left = list(add)
    for frame in taken.frames:
        if frame.name in _READ[taken.version]:
            before = _listed(taken, frame)
            after = [person for person in before if person not in remove]
            if left and frame.name == _WRITTEN[taken.version]:
                after, left = after + left, []
            if not after:
                continue
            if after != before:
                frame = _frame(taken, frame.name, after, _content(taken, frame)[0])
        frames.append(frame)
    if left:
        frames.append(_frame(taken, _WRITTEN[taken.version], left, None))
    return _put_together(replace(taken, frames=tuple(frames)), len(tag))


def _take_apart(tag: bytes) -> _Tag:
    version, revision, flags = tag[3], tag[4], tag[5]
    if version not in _READ:
        raise Id3Error(f"is of version 2.{version}")
    if version == 2 and flags & 0x40:
        raise Id3Error("is compressed")
    unsynchronised = bool(flags & 0x80)
    body = tag[_HEADER : _HEADER + _safe(tag[6:10])]
    if unsynchronised and version < 4:  # of the tag as a whole; it is written without
        body, unsynchronised = body.replace(b"\xff\x00", b"\xff"), False
    if version > 2 and flags & 0x40:
        size = _safe(body[:4]) if version == 4 else int.from_bytes(body[:4]) + 4
        body = body[size:]
    # iTunes wrote plain sizes into ID3v2.4: what fits is right.
    for safe_sizes in (True, False) if version == 4 else (False,):
        frames = _frames(version, body, safe_sizes)
        if frames is not None:
            return _Tag(version, revision, unsynchronised, bool(version > 2 and flags & 0x20), frames, safe_sizes)
    raise Id3Error("has frames that do not fit into it")


def _frames(version: int, body: bytes, safe_sizes: bool) -> tuple[_Frame, ...] | None:
    """The frames before the padding; None where the sizes lead somewhere else."""
    long, header = (3, 6) if version == 2 else (4, 10)
    frames, place = [], 0
    while place + header <= len(body) and body[place]:
        name = body[place : place + long]
        if not re.fullmatch(rb"[A-Z0-9 ]+", name):
            return None
        said = body[place + long : place + 2 * long]
        size = _safe(said) if safe_sizes else int.from_bytes(said)
        stop = place + header + size
        if stop > len(body) or (safe_sizes and any(byte & 0x80 for byte in said)):
            return None
        flags = 0 if version == 2 else int.from_bytes(body[place + 8 : place + 10])
        frames.append(_Frame(name, body[place:stop], body[place + header : stop], flags))
        place = stop
    return None if body[place:].strip(b"\0") else tuple(frames)


def _content(tag: _Tag, frame: _Frame) -> bytes:
    """What a frame holds: the number of its encoding, and text."""
    body = frame.body
    if tag.version == 4:
        if frame.flags & 0x0C:
            raise Id3Error(f"has a compressed or encrypted frame {frame.name.decode()}")
        body = body[(4 if frame.flags & 0x01 else 0) + (1 if frame.flags & 0x40 else 0) :]
        if frame.flags & 0x02 or tag.unsynchronised:
            body = body.replace(b"\xff\x00", b"\xff")
    elif tag.version == 3:
        if frame.flags & 0xC0:
            raise Id3Error(f"has a compressed or encrypted frame {frame.name.decode()}")
        body = body[1 if frame.flags & 0x20 else 0 :]
    return body


def _listed(tag: _Tag, frame: _Frame) -> list[Person]:
    body = _content(tag, frame)
    if not body:
        return []
    try:
        text = body[1:].decode(_CODECS[body[0]])
    except (UnicodeDecodeError, IndexError) as error:
        raise Id3Error(f"has a frame {frame.name.decode()} that is no text") from error
    words = [word.lstrip("\ufeff") for word in text.split("\0")]
    return [Person(role, name) for role, name in zip(words[::2], words[1::2], strict=False) if role or name]


def _frame(tag: _Tag, name: bytes, people: Sequence[Person], encoding: int | None) -> _Frame:
    """A new frame in the encoding of the one before, if that can say it."""
    words = [word for person in people for word in (person.role, person.name)]
    wanted = 3 if tag.version == 4 else 0
    code = wanted if encoding is None or encoding >= len(_CODECS) else encoding
    try:
        body = _text(code, words)
    except UnicodeEncodeError:
        body = _text(3 if tag.version == 4 else 1, words)
    if tag.unsynchronised:  # of an ID3v2.4 frame by itself
        body = re.sub(rb"\xff(?=[\xe0-\xff\x00]|\Z)", b"\xff\x00", body)
    size = len(body)
    if tag.version == 2:
        head = name + size.to_bytes(3)
    else:
        flags = 0x0002 if tag.unsynchronised else 0
        head = name + (_to_safe(size) if tag.safe_sizes else size.to_bytes(4)) + flags.to_bytes(2)
    return _Frame(name, head + body, body, 0)


def _text(code: int, words: Sequence[str]) -> bytes:
    ended = [f"{word}\0" for word in words]
    if code == 1:  # each string has a mark of its own
        return b"\1" + b"".join(b"\xff\xfe" + word.encode("utf-16-le") for word in ended)
    return bytes([code]) + "".join(ended).encode(_CODECS[code])


def _put_together(tag: _Tag, size_before: int) -> bytes:
    frames = b"".join(frame.raw for frame in tag.frames)
    size = max(size_before - _HEADER, len(frames))
    if len(frames) > size_before - _HEADER:
        size += _PADDING
    if size >= _MOST:
        raise Id3Error("would become larger than a tag can be")
    flags = (0x80 if tag.unsynchronised else 0) | (0x20 if tag.experimental else 0)
    return bytes((*b"ID3", tag.version, tag.revision, flags)) + _to_safe(size) + frames.ljust(size, b"\0")


def _safe(four: bytes) -> int:
    return sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(reversed(four)))


def _to_safe(number: int) -> bytes:
    return bytes((number >> shift) & 0x7F for shift in (21, 14, 7, 0))
