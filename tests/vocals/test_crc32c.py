"""The checksum against published values and against its definition, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from whosings.vocals.crc32c import crc32c, masked_crc32c


def _by_definition(content: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("content", "wanted"),  # RFC 3720, appendix B.4
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_published_values(content, wanted):
    assert crc32c(content) == wanted


@pytest.mark.parametrize("length", [1, 3, 8191, 8192, 8193, 12_288, 40_001])
def test_any_length(length):
    content = np.random.default_rng(length).bytes(length)
    assert crc32c(content) == _by_definition(content)


def test_every_bit_counts():
    content = bytearray(np.random.default_rng(0).bytes(20_000))
    plain = crc32c(bytes(content))
    for place in (0, 3, 4, 9_999, 19_999):
        content[place] ^= 0x10
        assert crc32c(bytes(content)) != plain
        content[place] ^= 0x10


def test_as_it_is_stored():
    assert masked_crc32c(b"123456789") == (((0xE3069283 >> 15) | (0xE3069283 << 17)) + 0xA282EAD8) % 2**32
