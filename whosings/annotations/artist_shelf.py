"""Artists of whole dumps, on disk, of which only those come to memory that tracks could be by.

Conventions
-----------
- An artist is related to those whom its record names, as links or members, and to those whose records name it as a
  link; and so on. Whoever is left out changes no decision on the tracks: no chain of records leads to them.
- In memory an artist takes some 20 bytes, and 16 for everyone whom its record names.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from whosings.annotations.records import ArtistKey, ArtistRecord

_Keys = NDArray[np.int64]


class ArtistShelf:
    """Use it as a context manager: it holds a file without a name."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="whosings-artists-")  # noqa: SIM115
        self._ends = array("q", [0])
        # Keys as 64-bit hashes: two artists with one hash would only bring one too many.
        self._named = array("q")  # whom each record names, itself first, then links, then members
        self._named_ends = array("q", [0])
        self._links = array("b")  # whether the one who is named leads to the record

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def add(self, records: Iterable[ArtistRecord]) -> int:
        """Add all records, or none if reading them fails; how many there were."""
        begun = len(self)
        encode = msgspec.json.Encoder().encode
        self._file.seek(self._ends[-1])
        try:
            for record in records:
                end = self._ends[-1] + self._file.write(encode(record))
                links = record.links
                self._named.append(_number(record.key))
                self._named.extend(map(_number, links))
                self._named.extend(
                    _number(ArtistKey(record.source, m.artist_id)) for m in record.members if m.artist_id is not None
                )
                self._links.extend(
                    [1] * (1 + len(links)) + [0] * (len(self._named) - len(self._links) - 1 - len(links))
                )
                self._named_ends.append(len(self._named))
                self._ends.append(end)
        except BaseException:
            del self._ends[begun + 1 :], self._named_ends[begun + 1 :]
            del self._named[self._named_ends[-1] :], self._links[self._named_ends[-1] :]
            raise
        return len(self) - begun

    def related(self, keys: Iterable[ArtistKey]) -> Iterator[ArtistRecord]:
        """The records of these artists and of all who are related to them, in the order added."""
        wanted = self._closure(np.unique(np.fromiter(map(_number, keys), np.int64)))
        decoder = msgspec.json.Decoder(ArtistRecord)
        self._file.flush()
        for number in wanted.tolist():
            self._file.seek(self._ends[number])
            yield decoder.decode(self._file.read(self._ends[number + 1] - self._ends[number]))

    def _closure(self, known: _Keys) -> NDArray[np.intp]:
        """Numbers of the records that are reached from these keys, in order."""
        named = np.frombuffer(self._named, np.int64) if self._named else np.zeros(0, np.int64)
        ends = np.frombuffer(self._named_ends, np.int64)
        leads = np.flatnonzero(np.frombuffer(self._links, np.int8)) if self._links else np.zeros(0, np.intp)
        leads = leads[np.argsort(named[leads], kind="stable")]
        by_key, taken = named[leads], np.zeros(len(self), bool)
        fresh = known
        while fresh.size:
            places = leads[_ranges(np.searchsorted(by_key, fresh), np.searchsorted(by_key, fresh, "right"))]
            records = np.unique(np.searchsorted(ends, places, "right") - 1)
            records = records[~taken[records]]
            taken[records] = True
            found = np.unique(named[_ranges(ends[records], ends[records + 1])])
            fresh = found[~_among(found, known)]
            known = np.union1d(known, fresh)
        return np.flatnonzero(taken)


def _number(key: ArtistKey) -> int:
    return hash(str(key))


def _ranges(first: NDArray[np.intp], stop: NDArray[np.intp]) -> NDArray[np.intp]:
    """All numbers of all ranges, one range after another."""
    sizes = stop - first
    total = int(sizes.sum())
    return np.arange(total) + np.repeat(first - np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes)


def _among(values: _Keys, ordered: _Keys) -> NDArray[np.bool_]:
    if not ordered.size:
        return np.zeros(values.size, bool)
    places = np.minimum(np.searchsorted(ordered, values), ordered.size - 1)
    return np.asarray(ordered[places] == values)
