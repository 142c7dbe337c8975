"""A journal of changed files, with what undoes each change to the byte.

A file before and after its tags were written differs in a few short stretches, because the sound is the same. The
journal keeps those as they were, and the SHA-256 of the whole file before and after. It is a text file of one JSON
object a line. A line is on the disk before the file is changed, and so after a crash at any moment each file is either
as it was or can be brought back.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from whosings.errors import TagError

_FORMAT = "whosings tag journal 1"
_BLOCK = 1 << 20  # bytes that are read at once
_STEP = 4096  # bytes that are compared at once


@dataclass(frozen=True)
class Piece:
    """A stretch of an old file: one of the new file, or what the new file does not have.

    Attributes:
        start, length: where it is in the new file, in bytes; nothing where ``old`` says it.
    """

    start: int = 0
    length: int = 0
    old: bytes = b""


Patch = tuple[Piece, ...]
"""What turns a new file into the old one: the old one's pieces in their order."""


@dataclass(frozen=True)
class Written:
    """One file that was changed.

    Attributes:
        path: absolute.
        before, after: SHA-256 of the file, in hexadecimal.
        credits: what was added, as text.
        mtime_ns: the time of its last change before, where that was kept.
    """

    path: Path
    before: str
    after: str
    patch: Patch
    credits: tuple[tuple[str, str], ...]
    mtime_ns: int | None = None


class UndoJournal:
    """Use it as a context manager; only one process writes at a time.

    Raises:
        TagError: the file is something else, is damaged, or is in use.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = FileLock(f"{self.path}.lock", timeout=0)
        self._lines = 0

    def __enter__(self) -> UndoJournal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise TagError(self.path, "is in use by another process", "wait until that has ended") from error
        try:
            self._drop_torn_line()
            self._lines = sum(1 for _ in self._read())
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # while it is held: whoever makes it anew finds nobody writing any more
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    def add(self, written: Written) -> None:
        """Note what is about to be changed; it is on the disk when this returns."""
        row = {
            **asdict(written),
            "path": os.fsencode(written.path).decode("utf-8", "surrogateescape"),
            "patch": [_packed(piece.old) if piece.old else [piece.start, piece.length] for piece in written.patch],
        }
        self._append(row)

    def undone(self, number: int) -> None:
        """Note that a change is undone, by its number in ``pending``."""
        self._append({"undone": number})

    def pending(self) -> Iterator[tuple[int, Written]]:
        """Changes that are not undone, the last first, with their numbers; one is in memory at a time.

        Raises:
            TagError: the journal is damaged.
        """
        places: dict[int, int] = {}
        for number, (place, row) in enumerate(self._read()):
            if "undone" in row:
                places.pop(row["undone"], None)
            elif "path" in row:
                places[number] = place
        for number, place in reversed(places.items()):
            with self.path.open("rb") as file:
                file.seek(place)
                line = file.readline()
            try:
                written = _written(json.loads(line))
            except (KeyError, TypeError, ValueError, zlib.error) as error:
                raise self._damaged() from error
            yield number, written

    def _append(self, row: dict[str, Any]) -> None:
        lines = [row] if self._lines else [{"format": _FORMAT}, row]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        with self.path.open("ab") as file:
            end = file.tell()
            try:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                error.filename = str(self.path)
                with suppress(OSError):
                    file.truncate(end)
                raise
        self._lines += len(lines)

    def _read(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each line, and where it begins."""
        place = 0
        try:
            with self.path.open("rb") as file:
                for line in file:
                    row = json.loads(line)
                    if not place and row.get("format") != _FORMAT:
                        raise self._damaged()
                    yield place, row
                    place += len(line)
        except FileNotFoundError:
            return
        except (ValueError, AttributeError) as error:
            raise self._damaged() from error

    def _drop_torn_line(self) -> None:
        """What a crash left of a line says nothing: its file was not changed yet."""
        if not self.path.exists():
            return
        header = (json.dumps({"format": _FORMAT}) + "\n").encode()
        with self.path.open("rb+") as file:
            start = file.read(len(header))
            if start != header[: len(start)]:  # somebody else's file stays as it is
                raise self._damaged()
            file.truncate(_after_last_newline(file))

    def _damaged(self) -> TagError:
        return TagError(self.path, "is damaged, or no journal of written tags", "name another file")


def difference(old: Path, new: Path) -> Patch:
    """What turns the new file into the old one; only what differs is held in memory.

    Up to some place the old file is compared with the new one from their starts, and behind it from their ends. The
    place is the one that leaves the least to be kept.
    """
    with old.open("rb") as first, new.open("rb") as second:
        size = first.seek(0, 2)
        shift = second.seek(0, 2) - size
        from_start, from_end = _same(first, second, size, 0), _same(first, second, size, shift)
        best = cost = from_end.count(False)
        split = 0
        for number, (before, behind) in enumerate(zip(from_start, from_end, strict=True), 1):
            cost += behind - before
            if cost < best:
                best, split = cost, number
        pieces: list[Piece] = []
        for number, same in enumerate(from_start[:split] + from_end[split:]):
            start = number * _STEP
            length = min(_STEP, size - start)
            if same:
                piece = Piece(start + (shift if number >= split else 0), length)
            else:
                first.seek(start)
                piece = Piece(old=first.read(length))
            if pieces and (joined := _joined(pieces[-1], piece)) is not None:
                pieces[-1] = joined
            else:
                pieces.append(piece)
        return tuple(pieces)


def restore(new: Path, patch: Patch, target: Path) -> None:
    """Write the old file to ``target``."""
    with new.open("rb") as file, target.open("wb") as out:
        for piece in patch:
            out.write(piece.old)
            file.seek(piece.start)
            left = piece.length
            while left and (block := file.read(min(left, _BLOCK))):
                out.write(block)
                left -= len(block)


def _same(first: IO[bytes], second: IO[bytes], size: int, shift: int) -> list[bool]:
    """Which steps of the first file are in the second one, so many bytes further on."""
    found: list[bool] = []
    for start in range(0, size, _BLOCK):
        length = min(_BLOCK, size - start)
        first.seek(start)
        second.seek(max(0, start + shift))
        one = first.read(length)
        other = b"\0" * min(length, max(0, -start - shift)) + second.read(max(0, length + min(0, start + shift)))
        steps = range(0, length, _STEP)
        if one == other and start + shift >= 0:
            found += [True] * len(steps)
        else:
            found += [
                one[place : place + _STEP] == other[place : place + _STEP] and start + place + shift >= 0
                for place in steps
            ]
    return found


def _joined(one: Piece, other: Piece) -> Piece | None:
    """Two pieces as one, where the second follows the first."""
    if one.old and other.old:
        return Piece(old=one.old + other.old)
    if not one.old and not other.old and one.start + one.length == other.start:
        return Piece(one.start, one.length + other.length)
    return None


def _packed(content: bytes) -> str:
    return base64.b85encode(zlib.compress(content)).decode()


def _after_last_newline(file: IO[bytes]) -> int:
    place = file.seek(0, 2)
    while place:
        size = min(_BLOCK, place)
        file.seek(place - size)
        if (found := file.read(size).rfind(b"\n")) >= 0:
            return place - size + found + 1
        place -= size
    file.seek(0)
    return 0


def _written(row: dict[str, Any]) -> Written:
    return Written(
        Path(os.fsdecode(row["path"].encode("utf-8", "surrogateescape"))),
        row["before"],
        row["after"],
        tuple(
            Piece(old=zlib.decompress(base64.b85decode(piece)))
            if isinstance(piece, str)
            else Piece(int(piece[0]), int(piece[1]))
            for piece in row["patch"]
        ),
        tuple((name, role) for name, role in row["credits"]),
        row["mtime_ns"],
    )
