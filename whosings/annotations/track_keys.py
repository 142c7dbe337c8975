"""What records of the same track have in common, and a quick answer to whether a record may have anything in common.

Conventions
-----------
- A key is a text: an id, or one name whole and the start of the other. Records of one track share at least one.
- ``KeySketch`` is a Bloom filter: it may take a key for one of those added (about one in a hundred), and never the
  other way round. Dumps hold millions of entries that a catalogue does not know, and nearly all of them end there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from whosings.annotations.names import normalise, parse_title
from whosings.annotations.records import CreditRole, TrackRecord, clean_isrc, clean_mbid
from whosings.singer_names import split_featured, split_names

_CACHED = 65_536
_BITS_A_KEY = 16
_FIRST_BITS = 23  # a megabyte


@dataclass(frozen=True, slots=True)
class Said:
    """What a dump's entry says, before it is made a record, by which it can be passed over.

    Attributes:
        title, isrcs, musicbrainz_id: as the source writes them.
        credited: names of main and featured artists.
        others: names of all who are credited for anything else.
    """

    title: str
    credited: Iterable[str]
    others: Iterable[str] = ()
    isrcs: Iterable[object] = ()
    musicbrainz_id: object = None


MayMatch = Callable[[Said], bool]
"""Whether an entry may have something in common with the tracks that are looked for; readers leave out the others."""


def keys_of(track: TrackRecord) -> set[str]:
    """The keys of a record."""
    keys = _named(
        track.title,
        (c.name for c in track.credits if c.role in (CreditRole.MAIN, CreditRole.FEATURED)),
        (c.name for c in track.credits if c.role not in (CreditRole.MAIN, CreditRole.FEATURED)),
    )
    keys.update(f"isrc {isrc}" for isrc in track.isrcs)
    if track.musicbrainz_id:
        keys.add(f"mbid {track.musicbrainz_id}")
    return keys


def keys_said(said: Said) -> set[str]:
    """The keys that the record of an entry would have."""
    keys = _named(said.title, said.credited, said.others)
    keys.update(f"isrc {isrc}" for isrc in map(clean_isrc, said.isrcs) if isrc)
    if mbid := clean_mbid(said.musicbrainz_id):
        keys.add(f"mbid {mbid}")
    return keys


def _named(title: str, credited: Iterable[str], others: Iterable[str]) -> set[str]:
    base = parse_title(title).base
    start = base[:3]
    keys: set[str] = set()
    for name in credited:
        for plain in _searched(name, True):
            keys.add(f"artist {plain}\n{start}")
            keys.add(f"title {base}\n{plain[:3]}")
    for name in others:
        for plain in _searched(name, False):
            keys.add(f"artist {plain}\n{start}")
            keys.add(f"title {base}\n{plain[:3]}")
    return keys


@lru_cache(maxsize=_CACHED)
def _searched(name: str, whole: bool) -> tuple[str, ...]:
    """The names under which an artist may stand elsewhere: each of a list of names, and where asked for the list."""
    parts = (normalise(part) for part in split_names(split_featured(name)[0]))
    return tuple(dict.fromkeys((normalise(name), *parts) if whole else parts))


class KeySketch:
    """The keys of many records in about two bytes each."""

    def __init__(self) -> None:
        self._count = 0
        self._resize(_FIRST_BITS)

    @property
    def full(self) -> bool:
        """Whether so many keys were added that it should be made anew, larger."""
        return self._count * _BITS_A_KEY > self._mask + 1

    def grow(self) -> None:
        """Forget all keys and make room for four times as many; they are to be added again."""
        self._count = 0
        self._resize((self._mask + 1).bit_length() + 1)

    def add(self, keys: Iterable[str]) -> None:
        """Add keys."""
        bits, mask = self._bits, self._mask
        for key in keys:
            # Both halves of Python's own hash of a text, which is computed once and stays with it.
            number = hash(key)
            one, other = number & mask, (number >> 31) & mask
            bits[one >> 3] |= 1 << (one & 7)
            bits[other >> 3] |= 1 << (other & 7)
            self._count += 1

    def any(self, keys: Iterable[str]) -> bool:
        """Whether any of the keys may have been added."""
        bits, mask = self._bits, self._mask
        for key in keys:
            number = hash(key)
            one = number & mask
            if bits[one >> 3] >> (one & 7) & 1:
                other = (number >> 31) & mask
                if bits[other >> 3] >> (other & 7) & 1:
                    return True
        return False

    def _resize(self, power: int) -> None:
        self._mask = (1 << power) - 1
        self._bits = bytearray(1 << (power - 3))
