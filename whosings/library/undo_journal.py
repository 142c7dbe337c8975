"""A journal of changed files, with what undoes each change to the byte.

A file before and after its tags were written differs in one stretch, which is short, because the sound is the same. The
journal keeps that stretch as it was, and the SHA-256 of the whole file before and after. It is a text file of one JSON
object a line. A line is on the disk before the file is changed, and so after a crash at any moment each file is either
as it was or can be brought back.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from whosings.errors import TagError

_FORMAT = "whosings tag journal 1"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Patch:
    """The stretch in which two files differ.

    Attributes:
        start: bytes that are the same before it.
        old: the stretch in the old file.
        new_length: its length in the new file, in bytes.
    """

    start: int
    old: bytes
    new_length: int


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
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)

    def add(self, written: Written) -> None:
        """Note what is about to be changed; it is on the disk when this returns."""
        row = {
            **asdict(written),
            "path": os.fsencode(written.path).decode("utf-8", "surrogateescape"),
            "patch": {
                "start": written.patch.start,
                "old": base64.b85encode(zlib.compress(written.patch.old)).decode(),
                "new_length": written.patch.new_length,
            },
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
    """What turns the new file into the old one. Only the differing stretch is held in memory."""
    with old.open("rb") as first, new.open("rb") as second:
        lengths = first.seek(0, 2), second.seek(0, 2)
        shortest = min(lengths)
        start = _alike(first, second, shortest, None)
        tail = _alike(first, second, shortest - start, lengths)
        first.seek(start)
        return Patch(start, first.read(lengths[0] - start - tail), lengths[1] - start - tail)


def restore(new: Path, patch: Patch, target: Path) -> None:
    """Write the old file to ``target``."""
    with new.open("rb") as file, target.open("wb") as out:
        left = patch.start
        while left and (block := file.read(min(left, _BLOCK))):
            out.write(block)
            left -= len(block)
        out.write(patch.old)
        file.seek(patch.start + patch.new_length)
        while block := file.read(_BLOCK):
            out.write(block)


def _alike(first: IO[bytes], second: IO[bytes], most: int, lengths: tuple[int, int] | None) -> int:
    """Bytes that two files have in common, from the start, or before their ends."""
    found = 0
    while found < most:
        size = min(_BLOCK, most - found)
        blocks = []
        for file, length in zip((first, second), lengths or (0, 0), strict=True):
            file.seek(length - found - size if lengths else found)
            blocks.append(file.read(size))
        if blocks[0] == blocks[1]:
            found += size
            continue
        if lengths:
            blocks = [block[::-1] for block in blocks]
        return found + bisect_left(range(size), True, key=lambda n: blocks[0][: n + 1] != blocks[1][: n + 1])
    return found


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
    patch = row["patch"]
    return Written(
        Path(os.fsdecode(row["path"].encode("utf-8", "surrogateescape"))),
        row["before"],
        row["after"],
        Patch(patch["start"], zlib.decompress(base64.b85decode(patch["old"])), patch["new_length"]),
        tuple((name, role) for name, role in row["credits"]),
        row["mtime_ns"],
    )
