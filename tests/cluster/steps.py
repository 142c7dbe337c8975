"""What the tests of a cluster do in a process of its own, which Ray's settings are given to."""

import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cluster.jobs import half, note_and_square, process_of, rest, tries
from whosings.catalogue.listing import listing
from whosings.catalogue.prepare import Rules, as_plain, prepare
from whosings.choir.build import CHECKSUMS, build
from whosings.choir.plan import Part, Preset, make_plan
from whosings.cluster import RayEngine
from whosings.errors import ClusterError
from whosings.parallel import Done, InHalves, each
from whosings.ray_data import VoicesOfFiles


def is_a_stage_of_ray_data(address: str, songs: str, encoder: str) -> None:
    RayEngine.connect(address)
    import ray

    paths = [{"path": str(path)} for path in sorted(Path(songs).rglob("*.*"))]
    stage: dict[str, Any] = {
        "fn_constructor_kwargs": {"encoder": encoder, "device": "cpu"},
        "batch_size": 3,
        "concurrency": 1,
    }
    rows = ray.data.from_items(paths).map_batches(VoicesOfFiles, **stage).take_all()
    expected = VoicesOfFiles(encoder, "cpu")({"path": [row["path"] for row in paths]}).to_pylist()
    assert sorted(map(repr, rows)) == sorted(map(repr, expected)) and len(rows) == 7


def makes_and_prepares_as_here(address: str, songs: str, folder: str) -> None:
    engine, out = RayEngine.connect(address), Path(folder)
    nobody = Part(0, 0)
    plan = make_plan(Preset("custom", Part(2, 2), nobody, nobody, targets=1, clones=1, duration_s=3.0), 5)
    for name, workers in (("here", 0), ("there", engine)):
        assert not build(plan, out / f"choir-{name}", workers=workers).failures
        prepared = prepare(listing(songs), out / f"prepared-{name}", Rules(min_vocal=0.1), workers=workers)
        assert as_plain(prepared)["stages"] and prepared.manifest is not None
    assert (out / "choir-there" / CHECKSUMS).read_text() == (out / "choir-here" / CHECKSUMS).read_text()
    here, there = (
        sorted(p.name for p in (out / f"prepared-{name}/audio").rglob("*.flac")) for name in ("here", "there")
    )
    assert here == there and len(here) == 3


def says_what_is_wrong(address: str, folder: str) -> None:
    engine, out = RayEngine.connect(address), Path(folder)

    class Elsewhere(type(out)):  # type: ignore[misc]
        def touch(self) -> None:
            """Nobody sees it."""

    with pytest.raises(ClusterError, match=r"is not seen by node .* name a folder that all nodes share"):
        engine.refuse_unshared(Elsewhere(out))
    with pytest.raises(ClusterError, match="cannot begin a process"):
        list(each(_Unknown(), [1], engine))


class _Unknown:
    """No process can open it."""

    def __call__(self, item: int) -> int:
        return item

    def __setstate__(self, state: object) -> None:
        raise ImportError("no such package here")

    def __getstate__(self) -> dict[str, int]:
        return {"needs": 1}


def does_halves_apart(address: str) -> None:
    engine = RayEngine.connect(address, gpus=0.5)
    found = {done.item: done.result for done in each(InHalves(half, rest), range(12), engine)}
    assert found == {n: "none" if n % 3 == 0 else f"1000000 of {n}" for n in range(12)}


def loses_nothing_with_a_process_and_a_node(address: str, second: str, folder: str) -> None:
    engine, out = RayEngine.connect(address), Path(folder, "tries")
    out.mkdir()
    found: dict[int, Done[int, int]] = {}
    for done in each(partial(note_and_square, out), range(30), engine):
        assert done.item not in found  # once
        found[done.item] = done
        if len(found) == 5:
            os.kill(process_of(out, max(found)), signal.SIGKILL)
        if len(found) == 12:
            os.kill(int(second), signal.SIGKILL)
    assert sorted(found) == list(range(30))
    assert found[7].crashed and found[7].result is None and tries(out, 7) in (3, 4)
    assert all(done.result == n * n for n, done in found.items() if n != 7)
    assert np.mean([tries(out, n) for n in found if n != 7]) < 1.5


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
