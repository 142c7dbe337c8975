"""Rows of a gallery and their digests, which tell a changed, missing, added or moved row from what was written.

Digests are SHA-256 and are added modulo 2^256, so that a sum changes with one row and no other row is read. A track's
digest is over all that the row holds. A singer's row holds the sum of its tracks' marks, each a digest over the content
hash and the track's digest, so that both are known to belong together without reading the embeddings. A singer's digest
is over the whole row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from whosings.audio import FloatArray

MODULUS = 1 << 256
"""Sums of digests are taken modulo this."""


@dataclass(frozen=True)
class SingerRow:
    """A singer as the file has it.

    Attributes:
        voice: float32 (dimensions,) as bytes, the sum of the tracks' mean embeddings.
        content: sum of the tracks' marks; 0 in the former format.
        number: that of the row; decided by the name, unless the format is the former one.
    """

    name: str
    tracks: int
    segments: float
    voice: bytes
    content: int
    number: int

    @property
    def vector(self) -> FloatArray:
        """The voice as numbers."""
        return np.frombuffer(self.voice, np.float32)

    @cached_property
    def digest(self) -> int:
        """Over all of it."""
        return digest_of(self.number, self.name, self.tracks, self.segments, self.voice, self.content)

    def changed(
        self, tracks: int, segments: float, voice: FloatArray, content: int, name: str | None = None
    ) -> SingerRow:
        """The row with so many tracks and segments more, a voice and marks added, under another name if given."""
        return singer_row(
            name or self.name,
            self.tracks + tracks,
            self.segments + segments,
            np.asarray(self.vector + voice, np.float32),
            (self.content + content) % MODULUS,
        )


@dataclass(frozen=True)
class TrackRow:
    """A track as the file has it: ``vectors`` float32 (segments, dimensions), ``start_s`` (segments,).

    Attributes:
        singer: number of the singer's row.
        segments: how many it counts for; of a short recording, a part of one.
        mark: what the singer's row adds up.
    """

    singer: int
    number: int
    sha256: str
    segments: float
    source: str
    start_s: FloatArray
    vectors: FloatArray
    mark: int


def digest_of(*fields: object) -> int:
    """SHA-256 over values and where each ends."""
    contents = [field if isinstance(field, bytes) else repr(field).encode() for field in fields]
    whole = b"".join([part for content in contents for part in (b"%d " % len(content), content)])
    return int.from_bytes(hashlib.sha256(whole).digest(), "big")


def singer_row(name: str, tracks: int, segments: float, voice: FloatArray, content: int) -> SingerRow:
    """A row for a name, which decides its number."""
    return SingerRow(name, tracks, float(segments), voice.tobytes(), content, number_of(name))


def number_of(name: str) -> int:
    """The number of a singer's row, 63 bits that the name decides."""
    return digest_of(name) >> 193  # 63 bits


def mark_of(sha256: str, digest: str) -> int:
    """What a singer's row adds up of a track."""
    return digest_of(sha256, digest)


def as_hex(digest: int) -> str:
    """A digest as the file has it."""
    return f"{digest:064x}"


def sealed(facts: Mapping[str, str]) -> dict[str, str]:
    """Facts with a digest over them."""
    rest = {key: value for key, value in facts.items() if key != "digest"}
    return {**rest, "digest": as_hex(digest_of(sorted(rest.items(), key=repr)))}
