"""Digests as anybody would take them: files of today are to be read tomorrow."""

import hashlib

import numpy as np
import pytest

from whosings.gallery_rows import MODULUS, as_hex, digest_of, mark_of, number_of, sealed, singer_row


def sha256(content: bytes) -> int:
    return int(hashlib.sha256(content).hexdigest(), 16)


def test_a_digest_is_over_each_value_and_its_length():
    assert digest_of() == sha256(b"")
    assert digest_of(b"\x00\xff") == sha256(b"2 \x00\xff")
    assert digest_of("Ann", 12, 0.5, b"xyz", None) == sha256(b"5 'Ann'2 123 0.53 xyz4 None")
    assert digest_of("é") == sha256(b"4 '\xc3\xa9'")
    assert digest_of(b"ab", b"c") != digest_of(b"a", b"bc")
    assert digest_of("1") != digest_of(1)


def test_a_name_decides_the_number_of_its_row():
    assert number_of("Ann") == sha256(b"5 'Ann'") // 2**193
    numbers = {number_of(f"singer {n}") for n in range(1000)}
    assert len(numbers) == 1000
    assert 2**62 < max(numbers) < 2**63 and min(numbers) >= 0  # SQLite's integers are below 2^63


def test_a_mark_binds_content_and_digest():
    assert mark_of("aa", "bb") == sha256(b"4 'aa'4 'bb'")


@pytest.mark.parametrize("digest", [0, 255, MODULUS - 1])
def test_digests_are_kept_as_64_hexadecimal_digits(digest):
    assert len(as_hex(digest)) == 64
    assert int(as_hex(digest), 16) == digest


def test_facts_are_sealed_whatever_their_order_and_seal():
    seal = as_hex(sha256(b"24 [('a', 'x'), ('b', 'y')]"))
    for facts in ({"a": "x", "b": "y"}, {"b": "y", "a": "x"}, {"digest": "old", "b": "y", "a": "x"}):
        assert sealed(facts) == {"a": "x", "b": "y", "digest": seal}
    assert "digest" in sealed({"a": "x", None: "y"})  # a damaged file may hold anything


def test_a_row_changes_by_what_comes_and_goes():
    start = singer_row("Ann", 2, 7, np.array([1.0, -2.0], np.float32), MODULUS - 5)
    assert (start.name, start.tracks, start.segments, start.content) == ("Ann", 2, 7.0, MODULUS - 5)
    assert start.number == number_of("Ann") and isinstance(start.segments, float)
    assert start.voice == np.array([1.0, -2.0], "<f4").tobytes()
    assert start.digest == digest_of(start.number, "Ann", 2, 7.0, start.voice, MODULUS - 5)

    more = start.changed(1, 2.5, np.array([0.25, 1.0]), 8)
    assert (more.name, more.tracks, more.segments, more.content) == ("Ann", 3, 9.5, 3)  # 2^256 - 5 + 8
    assert more.vector.tolist() == [1.25, -1.0] and more.vector.dtype == np.float32
    assert more.changed(-1, -2.5, np.array([-0.25, -1.0]), -8) == start

    renamed = start.changed(0, 0.0, np.zeros(2), 0, "Zoe")
    assert renamed == singer_row("Zoe", 2, 7.0, start.vector, MODULUS - 5)
    assert renamed.number == number_of("Zoe")
