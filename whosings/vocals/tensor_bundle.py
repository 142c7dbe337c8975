"""TensorFlow's checkpoints (tensor bundles, "V2") as arrays: an index and shards of data, both with checksums.

The index is a table of sorted keys in the form of LevelDB: blocks of entries, of which each shares a prefix with the
one before it, a block that lists the blocks, and a footer. Its values are protocol buffers: under the empty key a
header, and for each tensor where it lies in which shard. Nothing that a file says is believed before it was checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whosings.errors import SeparationError
from whosings.vocals.crc32c import masked_crc32c

_FOOTER = 48  # bytes: two handles, padded, and the magic number
_MAGIC = 0xDB4775248B80FB57
_TRAILER = 5  # bytes after a block: compression, checksum
_MOST_INDEX = 16_000_000  # bytes; a model's index takes kilobytes
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
_COPY_AGAIN = "copy or download it again"


@dataclass(frozen=True)
class BundleEntry:
    """Where a tensor lies.

    Attributes:
        kind: TensorFlow's number of its type.
        shape: of the tensor.
        shard: number of the file of data.
        offset, size: in bytes, in that file.
        checksum: masked CRC-32C of these bytes.
        is_sliced: whether it is stored in pieces, which are not read here.
    """

    kind: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int
    is_sliced: bool


class TensorBundle:
    """A checkpoint's tensors, read one by one.

    Args:
        index: the file ``NAME.index``; beside it lie ``NAME.data-00000-of-00001`` and so on.

    Raises:
        SeparationError: the index is missing, damaged, or of something else.
    """

    def __init__(self, index: Path) -> None:
        self._index = index
        try:
            if index.stat().st_size > _MOST_INDEX:
                raise ValueError("too large")
            found = dict(_entries_of_table(index.read_bytes()))
            self._shards = _shards(found.pop(b""))
            self.entries = {key.decode(): _entry(value) for key, value in found.items()}
        except FileNotFoundError as error:
            raise SeparationError(index, "there is no such file", "name a folder with a checkpoint in it") from error
        except OSError as error:
            raise SeparationError(index, f"cannot be read ({error.strerror})", "check its permissions") from error
        except (ValueError, LookupError) as error:
            raise SeparationError(index, "is damaged, or no index of a TensorFlow checkpoint", _COPY_AGAIN) from error

    def read(self, name: str) -> NDArray[np.generic]:
        """One tensor, as its bytes were written.

        Raises:
            SeparationError: no such tensor, one of a type or form that is not read here, or its shard is missing,
                shorter than the index says, or damaged.
        """
        if name not in self.entries:
            raise SeparationError(self._index, f"holds no tensor {name}", "use the checkpoint of another model")
        entry = self.entries[name]
        if entry.is_sliced or entry.kind not in _TYPES:
            raise SeparationError(self._index, f"holds {name} in a form that is not read", "save the checkpoint anew")
        kind = np.dtype(_TYPES[entry.kind])
        if prod(entry.shape) * kind.itemsize != entry.size or entry.shard >= self._shards:
            raise SeparationError(self._index, f"says of {name} what cannot be", _COPY_AGAIN)
        content = self._content(self._shard(entry.shard), entry, name)
        return np.frombuffer(content, kind).reshape(entry.shape)

    def _shard(self, number: int) -> Path:
        return self._index.with_name(f"{self._index.stem}.data-{number:05d}-of-{self._shards:05d}")

    def _content(self, shard: Path, entry: BundleEntry, name: str) -> bytes:
        try:
            if shard.stat().st_size < entry.offset + entry.size:  # before that much memory is asked for
                raise SeparationError(shard, "is shorter than its index says", _COPY_AGAIN)
            with shard.open("rb") as file:
                file.seek(entry.offset)
                content = file.read(entry.size)
        except FileNotFoundError as error:
            remedy = f"put it beside {self._index.name}"
            raise SeparationError(shard, "is missing, although the checkpoint's index names it", remedy) from error
        except OSError as error:
            raise SeparationError(shard, f"cannot be read ({error.strerror})", "check its permissions") from error
        if len(content) != entry.size or masked_crc32c(content) != entry.checksum:
            raise SeparationError(shard, f"is damaged ({name} does not match its checksum)", _COPY_AGAIN)
        return content


# The table


def _entries_of_table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values, in order."""
    footer = content[-_FOOTER:]
    if len(footer) < _FOOTER or int.from_bytes(footer[-8:], "little") != _MAGIC:
        raise ValueError("no footer")
    handles = _Reader(footer)
    handles.varint(), handles.varint()  # of a block that says nothing here
    for _, handle in _entries_of_block(content, handles):
        yield from _entries_of_block(content, _Reader(handle))


def _entries_of_block(content: bytes, handle: _Reader) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the block at a handle: its offset and its size without the trailer."""
    offset, size = handle.varint(), handle.varint()
    block, trailer = content[offset : offset + size], content[offset + size : offset + size + _TRAILER]
    if len(block) != size or len(trailer) != _TRAILER or size < 4:
        raise ValueError("a block beyond the end")
    if masked_crc32c(block + trailer[:1]) != int.from_bytes(trailer[1:], "little"):
        raise ValueError("a block that does not match its checksum")
    if trailer[0]:
        raise ValueError("a compressed block")
    restarts = int.from_bytes(block[-4:], "little")
    reader, key = _Reader(block[: max(0, size - 4 * (restarts + 1))]), b""
    while not reader.is_done:
        shared, own, length = reader.varint(), reader.varint(), reader.varint()
        if shared > len(key):
            raise ValueError("a key that shares what is not there")
        key = key[:shared] + reader.take(own)
        yield key, reader.take(length)


# Protocol buffers


class _Reader:
    """Bytes that are read once, from the front."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    @property
    def is_done(self) -> bool:
        return self._at >= len(self._content)

    def take(self, count: int) -> bytes:
        taken = self._content[self._at : self._at + count]
        if len(taken) != count:
            raise ValueError("the end, too early")
        self._at += count
        return taken

    def varint(self) -> int:
        value = 0
        for shift in range(0, 64, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number without an end")

    def fields(self) -> Iterator[tuple[int, int | bytes]]:
        """Numbers and values of a message's fields."""
        while not self.is_done:
            number, wire = divmod(self.varint(), 8)
            if wire == 0:
                yield number, self.varint()
            elif wire == 2:
                yield number, self.take(self.varint())
            elif wire in (1, 5):
                yield number, int.from_bytes(self.take(8 if wire == 1 else 4), "little")
            else:
                raise ValueError("a field of no known type")


def _numbers(fields: Iterable[tuple[int, int | bytes]], **wanted: int) -> dict[str, int]:
    """Fields that are whole numbers, by name; what is left out is zero, and of what is repeated the last one counts."""
    last = dict(fields)
    found = {name: last.get(number, 0) for name, number in wanted.items()}
    numbers = {name: value for name, value in found.items() if isinstance(value, int) and value < 2**63}
    if len(numbers) < len(wanted):
        raise ValueError("a field of another type, or a negative number")
    return numbers


def _parts(fields: Iterable[tuple[int, int | bytes]], wanted: int) -> Iterator[_Reader]:
    """Fields that are messages themselves, one after another."""
    for number, value in fields:
        if number == wanted:
            if isinstance(value, int):
                raise ValueError("a field of another type")
            yield _Reader(value)


def _shards(header: bytes) -> int:
    """How many files of data there are."""
    found = _numbers(_Reader(header).fields(), shards=1, endianness=2)
    if found["endianness"] or not 0 < found["shards"] < 100_000:
        raise ValueError("big-endian, or without data")
    return found["shards"]


def _entry(content: bytes) -> BundleEntry:
    fields = list(_Reader(content).fields())
    shape = tuple(
        _numbers(dimension.fields(), size=1)["size"]
        for dimensions in _parts(fields, 2)
        for dimension in _parts(dimensions.fields(), 2)
    )
    is_sliced = any(number == 7 for number, _ in fields)
    return BundleEntry(
        shape=shape, is_sliced=is_sliced, **_numbers(fields, kind=1, shard=3, offset=4, size=5, checksum=6)
    )
