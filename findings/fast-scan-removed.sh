#!/usr/bin/env bash
# Finding: an inverted file of faiss's fast scan answers wrongly once vectors were taken out and others put in.
#
# Packages: faiss-cpu 1.15.1, numpy 2.4.6.
#
# remove_ids works on IVF indexes with 4-bit product quantisation ("PQ192x4fs") and RaBitQ's fast scan ("RaBitQfs"), and
# what is found right after it is right. One would expect that the same vectors, put in again, are found as before, as
# they are where they were only put in twice. Seen, without an error and with the right count of vectors: of the ten
# nearest that the index found before, it finds half to two thirds where lists hold some eighty vectors. The code of a
# vector that comes into a place behind a list's end is merged with what a removed vector left there, so that the
# shorter the lists, the more is lost. Writing and reading does not heal it. IVF indexes with 8 bits a dimension ("SQ8")
# are well. By L2 distances less is lost: a sixth.
#
# So the places behind the lists' ends have to be cleared after a removal, or the index filled anew.
#
# The script fails if any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'faiss-cpu==1.15.1' 'numpy==2.4.6' 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import faiss
import numpy as np

COUNT, DIMENSIONS, LISTS = 20_000, 192, 256
rows = np.random.default_rng(0).standard_normal((COUNT, DIMENSIONS)).astype(np.float32)
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
numbers = np.arange(COUNT)
odd = numbers[1::2]
everywhere = faiss.SearchParametersIVF(nprobe=LISTS)


def nearest(index):
    return index.search(rows[:200], 10, params=everywhere)[1]


def alike(one, other):
    return np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(one.tolist(), other.tolist(), strict=True)])


for kind in ("PQ192x4fs", "RaBitQfs", "SQ8"):
    trained = faiss.index_factory(DIMENSIONS, f"IVF{LISTS},{kind}", faiss.METRIC_INNER_PRODUCT)
    trained.train(rows)
    empty = faiss.serialize_index(trained)

    index = faiss.deserialize_index(empty)
    index.add_with_ids(rows, numbers)
    before = nearest(index)
    assert index.remove_ids(odd) == len(odd)

    half = faiss.deserialize_index(empty)
    half.add_with_ids(rows[::2], numbers[::2])
    removed = alike(nearest(index), nearest(half))
    half.add_with_ids(rows[odd], odd)
    twice = alike(nearest(half), before)

    index.add_with_ids(rows[odd], odd)
    assert index.ntotal == COUNT
    again = alike(nearest(index), before)
    read = alike(nearest(faiss.deserialize_index(faiss.serialize_index(index))), before)
    print(f"{kind}: after removing {removed:.3f}, put in twice {twice:.3f}, removed and put in {again:.3f}, {read:.3f}")
    assert removed > 0.99 and twice == 1.0
    assert again == 1.0 if kind == "SQ8" else again < 0.8
    assert read == again
print("as described")
PYTHON
