"""Offline dumps as streams: lines of JSON and elements of XML, compressed or not, in memory bounded by one entry."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO, Any

from whosings.errors import MalformedAnswerError, MissingExtraError

MissingExtraError.require("msgspec", "reading dumps", "annotate")
MissingExtraError.require("lxml", "reading dumps", "annotate")

import msgspec  # noqa: E402
from lxml import etree  # noqa: E402

_READ = 1 << 18  # bytes of an archive asked for at once
_XML = 1 << 15  # bytes of XML whose elements are in memory at a time


@contextmanager
def open_dump(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a dump for reading: plain, ``.gz``, ``.bz2``, ``.xz``, or a tar of these holding one ``mbdump/`` file.

    Raises:
        MalformedAnswerError: missing, damaged or cut short (also while it is read), or a tar without such a file.
    """
    path = Path(path)
    opener: Any = {".gz": gzip.open, ".tgz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(path.suffix, open)
    try:
        with opener(path, "rb") as packed:
            if ".tar" not in path.suffixes and path.suffix != ".tgz":
                yield packed
                return
            # Not as tarfile's stream, which copies all it holds for each of the small pieces that lines are read in.
            with tarfile.open(fileobj=packed, mode="r:") as tar:
                for member in tar:
                    stream = tar.extractfile(member) if PurePosixPath(member.name).parent.name == "mbdump" else None
                    if stream is not None:
                        yield BufferedReader(stream.raw, _READ)  # type: ignore[attr-defined]
                        return
                raise MalformedAnswerError(path, "holds no file in a folder mbdump", "download the dump again")
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError) as error:
        raise MalformedAnswerError(path, f"cannot be read to its end ({error})", "download the dump again") from error


def json_lines(path: str | Path, form: Any = dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each line's object, blank lines left out.

    Args:
        form: type of an object, such as a ``TypedDict`` of the fields that are wanted: others are passed over, several
            times as fast as reading them. A line that does not have this form is read whole.

    Raises:
        MalformedAnswerError: a line that is not a JSON object, naming the line; or as ``open_dump``.
    """
    decode = msgspec.json.Decoder(form).decode
    with open_dump(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                tree = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                if not line.strip():
                    continue
                tree = _whole(line, path, number)
            yield tree


def xml_children(path: str | Path, tag: str) -> Iterator[Any]:
    """Each child ``tag`` of the root element, as lxml has them; forgotten once the next is asked for.

    Raises:
        MalformedAnswerError: not XML, cut short, or with a document type, which dumps do not have; or as ``open_dump``.
    """
    with open_dump(path) as stream:
        try:
            yield from _children(stream, path, tag)
        except etree.XMLSyntaxError as error:
            raise MalformedAnswerError(path, f"is not whole XML ({error})", "download the dump again") from error


def _children(stream: IO[bytes], path: str | Path, tag: str) -> Iterator[Any]:
    # Texts of dumps are longer than lxml allows by itself, and with that it no longer bounds what entities grow to.
    options: Any = {"huge_tree": True, "resolve_entities": False, "remove_comments": True, "remove_pis": True}
    begin = etree.XMLPullParser(events=("start",), **options)
    head = b""
    while not (first := next(begin.read_events(), None)):
        chunk = stream.read(_XML)
        if not chunk:
            begin.close()  # says what is missing
        head += chunk
        begin.feed(chunk)
    if first[1].getroottree().docinfo.doctype:
        raise MalformedAnswerError(path, "has a document type", "check that it is the right dump")
    parser = etree.XMLPullParser(events=("start", "end"), tag=(first[1].tag, tag), **options)
    root: Any = None
    while head:
        parser.feed(head)
        for event, element in parser.read_events():
            if root is None:
                root = element
            elif event == "end" and element.getparent() is root and element.tag == tag:
                yield element
        del root[:-1]  # what is whole; the last child may go on
        head = stream.read(_XML)
    parser.close()


def _whole(line: bytes, path: str | Path, number: int) -> dict[str, Any]:
    """A line with all that it holds, as Python's own reader takes it, which is laxer in numbers and text."""
    try:
        tree = json.loads(line)
    except ValueError as error:
        raise MalformedAnswerError(path, f"line {number} is not JSON", "download the dump again") from error
    if not isinstance(tree, dict):
        raise MalformedAnswerError(path, f"line {number} is not an object", "check that it is the right dump")
    return tree
