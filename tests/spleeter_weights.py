"""Checkpoints for tests: a tiny one that TensorFlow wrote, and handmade ones in its format."""

from __future__ import annotations

from pathlib import Path

from whosings.vocals.crc32c import masked_crc32c

TINY = Path(__file__).with_name("golden") / "spleeter" / "tiny"
"""Two narrow networks with random weights; see ``make_spleeter.py``."""

PUBLISHED = TINY.with_name("published.npz")
"""What the published weights give."""


def damaged(content: bytes, place: int) -> bytes:
    """With one bit changed."""
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def varint(value: int) -> bytes:
    value %= 2**64
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return varint(8 * number + 2) + varint(len(value)) + value
    return varint(8 * number) + varint(value)


def tensor(
    content: bytes,
    shape: tuple[int, ...],
    kind: int = 1,
    shard: int = 0,
    offset: int = 0,
    size: int | None = None,
    is_sliced: bool = False,
) -> bytes:
    """An index's entry of a tensor with this content; what it says of it can be false."""
    dimensions = b"".join(_field(2, _field(1, size)) for size in shape)
    checksum = varint(8 * 6 + 5) + masked_crc32c(content).to_bytes(4, "little")
    numbers = _field(1, kind) + _field(3, shard) + _field(4, offset)
    numbers += _field(5, len(content) if size is None else size) + checksum
    return numbers + _field(2, dimensions) + (_field(7, b"") if is_sliced else b"")


def handmade(
    folder: Path,
    entries: dict[str, bytes],
    data: bytes,
    shards: int = 1,
    endianness: int = 0,
    compression: int = 0,
    header: bool = True,
) -> Path:
    """Write a checkpoint ``model`` of one block without shared prefixes; the path of its index."""
    rows = {b"": _field(1, shards) + _field(2, endianness)} if header else {}
    rows |= {name.encode(): entry for name, entry in sorted(entries.items())}
    table, handles = b"", []
    for block in (_block(rows), _block({})):
        trailer = bytes([compression])
        handles.append(varint(len(table)) + varint(len(block)))
        table += block + trailer + masked_crc32c(block + trailer).to_bytes(4, "little")
    listing = _block({b"~": handles[0]})
    footer = handles[1] + varint(len(table)) + varint(len(listing))
    table += listing + b"\0" + masked_crc32c(listing + b"\0").to_bytes(4, "little")
    table += footer.ljust(40, b"\0") + 0xDB4775248B80FB57.to_bytes(8, "little")
    (folder / "model.index").write_bytes(table)
    (folder / "model.data-00000-of-00001").write_bytes(data)
    return folder / "model.index"


def _block(rows: dict[bytes, bytes]) -> bytes:
    entries = (varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in rows.items())
    return b"".join(entries) + bytes(4) + (1).to_bytes(4, "little")
