"""CRC-32C (Castagnoli), the checksum of TensorFlow's files, fast enough in NumPy for tens of megabytes."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # x^32 + x^28 + ... + 1, bits reversed
_LANES = 4096
_MASK_DELTA = 0xA282EAD8

Words = NDArray[np.uint32]


def crc32c(content: bytes) -> int:
    """The checksum as iSCSI and TensorFlow define it: of ``b"123456789"`` it is 0xE3069283."""
    if len(content) < 2 * _LANES:
        register = 0xFFFFFFFF
        table = _table().tolist()
        for byte in content:
            register = table[(register ^ byte) & 0xFF] ^ register >> 8
        return register ^ 0xFFFFFFFF
    # A register that begins as ones is one that begins as zero and reads four bytes complemented. From zero, zeros
    # change nothing: put before the content, they make it as long as equal lanes, which are read side by side.
    steps = -(-len(content) // _LANES)
    lanes = np.zeros(_LANES * steps, np.uint8)
    lanes[-len(content) :] = np.frombuffer(content, np.uint8)
    lanes[-len(content) :][:4] ^= 0xFF
    return int(_joined(_side_by_side(lanes.reshape(_LANES, steps)), steps)) ^ 0xFFFFFFFF


def masked_crc32c(content: bytes) -> int:
    """The checksum as TensorFlow's files store it: rotated and shifted, as what it covers may hold checksums."""
    plain = crc32c(content)
    return ((plain >> 15 | plain << 17) + _MASK_DELTA) & 0xFFFFFFFF


@cache
def _table() -> Words:
    """What reading each byte does to a register of zero."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


def _side_by_side(lanes: NDArray[np.uint8]) -> Words:
    """Registers (lanes,) after each lane of (lanes, bytes), all from zero."""
    table, registers = _table(), np.zeros(len(lanes), np.uint32)
    for column in np.ascontiguousarray(lanes.T):
        registers = table[(registers ^ column) & 0xFF] ^ registers >> 8
    return registers


def _joined(registers: Words, length: int) -> np.uint32:
    """The register after all lanes, each of ``length`` bytes, one after another; their number is a power of two."""
    moved = _zeros_read(length)
    while len(registers) > 1:
        registers = _applied(moved, registers[::2]) ^ registers[1::2]
        moved = _applied(moved, moved)  # twice as many zeros
    result: np.uint32 = registers[0]
    return result


def _zeros_read(count: int) -> Words:
    """What reading so many zero bytes does to a register, as the images (32,) of its bits: a linear map."""
    total = power = np.uint32(1) << np.arange(32, dtype=np.uint32)
    power = _table()[power & 0xFF] ^ power >> 8
    while count:
        if count & 1:
            total = _applied(power, total)
        power = _applied(power, power)
        count >>= 1
    return total


def _applied(images: Words, registers: Words) -> Words:
    """A linear map on registers, bit by bit."""
    result = np.zeros_like(registers)
    for bit, image in enumerate(images):
        result ^= np.where(registers >> np.uint32(bit) & np.uint32(1), image, np.uint32(0))
    return result
