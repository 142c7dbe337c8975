"""Voices in lists around some thousands of centres: an inverted file of faiss, four bits a dimension.

A question looks through the lists with the nearest centres, 32 voices at a time. Four bits do not tell the nearest ten
from the next, so ask for some hundreds, and score these exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray

_PROBED, _LEAST_PROBED = 8, 256  # lists that a question looks through, over the root of their number; and at the least
_LEAST_LEARNT = 624  # rows from which faiss learns the sixteen values of a dimension without a warning
Ids = NDArray[np.int64]


@dataclass
class VoiceLists:
    """Rows of unit length by their numbers.

    Attributes:
        index: faiss's.
    """

    index: Any

    @classmethod
    def learn(cls, count: int, rows: FloatArray) -> VoiceLists:
        """Empty lists.

        Args:
            count: of lists.
            rows: (rows, dimensions) from which centres and steps are learnt, of unit length; 40 a list are enough.
        """
        import faiss

        dimensions = rows.shape[1]
        index = faiss.index_factory(dimensions, f"IVF{count},PQ{dimensions}x4fs", faiss.METRIC_INNER_PRODUCT)
        with _one_thread():
            index.train(np.resize(rows, (max(len(rows), _LEAST_LEARNT), dimensions)))
        return cls(index)

    @classmethod
    def from_bytes(cls, content: bytes) -> VoiceLists:
        """Lists as ``to_bytes`` gave them, and no others: faiss believes what it reads.

        Raises:
            RuntimeError: it is something else.
        """
        import faiss

        index = faiss.deserialize_index(np.frombuffer(content, np.uint8))
        if not isinstance(index, faiss.IndexIVFPQFastScan):
            raise RuntimeError(f"a {type(index).__name__}, not voices in lists")
        return cls(index)

    def to_bytes(self) -> bytes:
        """All of it."""
        import faiss

        return bytes(faiss.serialize_index(self.index).tobytes())

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def nearest(self, row: FloatArray, count: int) -> Ids:
        """Numbers of the rows that are likely the nearest by cosine, (at most count,), the nearest first.

        Args:
            row: (dimensions,).
        """
        import faiss

        probed = min(self.index.nlist, max(_LEAST_PROBED, _PROBED * math.isqrt(self.index.nlist)))
        given = faiss.SearchParametersIVF(nprobe=probed)
        with _one_thread():
            found = self.index.search(row[None], min(count, len(self)), params=given)[1][0]
        return np.asarray(found[found >= 0], np.int64)

    def add(self, ids: Ids, rows: FloatArray) -> None:
        """Take rows in, (rows, dimensions)."""
        with _one_thread():
            self.index.add_with_ids(rows, ids)

    def remove(self, ids: Ids) -> None:
        """Take rows out, and what they leave behind.

        faiss 1.15.1 leaves their codes behind the lists' ends, and merges the code of a row that is added with what
        lies in its place, so that neither is found again. Nor should bytes of a voice stay that was forgotten.
        """
        import faiss

        if not len(ids):
            return
        with _one_thread():
            self.index.remove_ids(ids)
        lists, nothing = faiss.downcast_InvertedLists(self.index.invlists), np.zeros(self.index.code_size, np.uint8)
        for number in range(self.index.nlist):
            held = lists.list_size(number)
            blocks = -(-held // lists.n_per_block)
            if held % lists.n_per_block:
                packed = faiss.rev_swig_ptr(lists.get_codes(number), blocks * lists.block_size)
                for place in range(held, blocks * lists.n_per_block):
                    lists.packer.pack_1(nothing, place, packed.reshape(blocks, lists.block_size))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let faiss use as many threads as PyTorch does: it takes all cores otherwise, and one question needs one."""
    import faiss
    import torch

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(torch.get_num_threads())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
