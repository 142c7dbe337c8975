"""Offline dumps as streams: lines of JSON and elements of XML, compressed or not, in memory bounded by one entry."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tarfile
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from whosings.errors import MalformedAnswerError


@contextmanager
def open_dump(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a dump for reading: plain, ``.gz``, ``.bz2``, ``.xz``, or a tar of these holding one ``mbdump/`` file.

    Raises:
        MalformedAnswerError: missing, damaged or cut short (also while it is read), or a tar without such a file.
    """
    path = Path(path)
    try:
        if ".tar" in path.suffixes or path.suffix == ".tgz":
            with tarfile.open(path, "r|*") as tar:
                for member in tar:
                    stream = tar.extractfile(member) if PurePosixPath(member.name).parent.name == "mbdump" else None
                    if stream is not None:
                        yield stream
                        return
                raise MalformedAnswerError(path, "holds no file in a folder mbdump", "download the dump again")
        opener: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(path.suffix, open)
        with opener(path, "rb") as stream:
            yield stream
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError) as error:
        raise MalformedAnswerError(path, f"cannot be read to its end ({error})", "download the dump again") from error


def json_lines(path: str | Path) -> Iterator[dict[str, Any]]:
    """Each line's object, blank lines left out.

    Raises:
        MalformedAnswerError: a line that is not a JSON object, naming the line; or as ``open_dump``.
    """
    with open_dump(path) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                tree = json.loads(line)
            except ValueError as error:
                raise MalformedAnswerError(path, f"line {number} is not JSON", "download the dump again") from error
            if not isinstance(tree, dict):
                raise MalformedAnswerError(path, f"line {number} is not an object", "check that it is the right dump")
            yield tree


def xml_children(path: str | Path, tag: str) -> Iterator[ElementTree.Element]:
    """Each child ``tag`` of the root element; forgotten once the next is asked for.

    Raises:
        MalformedAnswerError: not XML, or cut short; or as ``open_dump``.
    """
    with open_dump(path) as stream:
        depth = 0
        root: ElementTree.Element | None = None
        try:
            for event, element in ElementTree.iterparse(stream, events=("start", "end")):
                if event == "start":
                    depth += 1
                    root = element if root is None else root
                    continue
                depth -= 1
                if depth == 1 and root is not None:
                    if element.tag == tag:
                        yield element
                    root.clear()
        except ElementTree.ParseError as error:
            raise MalformedAnswerError(path, f"is not whole XML ({error})", "download the dump again") from error
