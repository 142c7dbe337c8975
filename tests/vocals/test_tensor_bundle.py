"""The reader of TensorFlow's checkpoints: against one that TensorFlow wrote, against damage, and handmade ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.spleeter_weights import TINY, damaged, handmade, tensor
from whosings.errors import SeparationError
from whosings.vocals.tensor_bundle import TensorBundle

DATA = "model.data-00000-of-00001"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "tiny"))


def test_what_tensorflow_wrote_is_read_to_the_bit():
    bundle = TensorBundle(TINY / "model.index")
    held = np.load(TINY.with_suffix(".npz"))
    names = set(held.files) - {"vocals"}
    assert set(bundle.entries) == names
    assert len(names) == 148
    for name in names:
        found = bundle.read(name)
        assert found.dtype == held[name].dtype
        np.testing.assert_array_equal(found, held[name])


def test_damage_to_the_index_is_told_or_changes_nothing(folder):
    path = folder / "model.index"
    whole, entries = path.read_bytes(), TensorBundle(path).entries
    told = 0
    for place in [*range(0, len(whole) - 48, 23), *range(len(whole) - 48, len(whole))]:
        path.write_bytes(damaged(whole, place))
        try:
            assert TensorBundle(path).entries == entries
        except SeparationError as error:
            told += 1
            assert str(error).startswith(f"{path}: is damaged")
    assert told > len(whole) // 23 - 2  # the footer's padding and the block that says nothing may change
    for length in (0, 47, 48, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(SeparationError, match=r"model\.index: is damaged"):
            TensorBundle(path)


def test_damage_to_the_data_is_told_with_the_tensor(folder):
    path = folder / DATA
    whole, bundle = path.read_bytes(), TensorBundle(folder / "model.index")
    name = "conv2d_3/kernel"
    entry = bundle.entries[name]
    path.write_bytes(damaged(whole, entry.offset + entry.size - 1))
    with pytest.raises(SeparationError, match=rf"{DATA}: is damaged \(conv2d_3/kernel does not match"):
        bundle.read(name)
    assert bundle.read("conv2d/bias").shape == (2,)
    path.write_bytes(whole[: entry.offset + entry.size - 1])
    with pytest.raises(SeparationError, match="shorter than its index says"):
        bundle.read(name)
    path.unlink()
    with pytest.raises(SeparationError, match=rf"{DATA}: is missing.*put it beside model\.index"):
        bundle.read(name)
    path.mkdir()
    with pytest.raises(SeparationError, match=r"cannot be read|shorter"):
        bundle.read(name)


def test_what_is_not_there(folder):
    with pytest.raises(SeparationError, match=r"none\.index: there is no such file"):
        TensorBundle(folder / "none.index")
    with pytest.raises(SeparationError, match="cannot be read"):
        TensorBundle(folder)
    with pytest.raises(SeparationError, match="holds no tensor other"):
        TensorBundle(folder / "model.index").read("other")
    with (folder / "model.index").open("wb") as file:
        file.truncate(20_000_000)
    with pytest.raises(SeparationError, match="is damaged, or no index"):
        TensorBundle(folder / "model.index")


# Handmade


def test_a_handmade_checkpoint_is_read(tmp_path):
    content = np.arange(6, dtype="<f4")
    index = handmade(tmp_path, {"x": tensor(content.tobytes(), (2, 3)), "none": tensor(b"", (0, 4))}, content.tobytes())
    bundle = TensorBundle(index)
    np.testing.assert_array_equal(bundle.read("x"), content.reshape(2, 3))
    assert bundle.read("none").shape == (0, 4)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"shape": (2, 4)}, "says of x what cannot be"),
        ({"shape": (2**40, 2**40)}, "says of x what cannot be"),
        ({"size": 2**50, "shape": (2**48,)}, "shorter than its index says"),
        ({"offset": 2**62}, "shorter than its index says"),
        ({"shard": 1}, "says of x what cannot be"),
        ({"kind": 7}, "in a form that is not read"),
        ({"is_sliced": True}, "in a form that is not read"),
        ({"shape": (2, -3)}, "is damaged, or no index"),
        ({"offset": -1}, "is damaged, or no index"),
    ],
)
def test_entries_that_cannot_be_believed(tmp_path, changes, problem):
    content = np.arange(6, dtype="<f4").tobytes()
    entry = tensor(content, **{"shape": (2, 3), **changes})
    with pytest.raises(SeparationError, match=problem):
        TensorBundle(handmade(tmp_path, {"x": entry}, content)).read("x")


@pytest.mark.parametrize("changes", [{"compression": 1}, {"endianness": 1}, {"shards": 0}, {"header": False}])
def test_tables_that_are_not_read(tmp_path, changes):
    with pytest.raises(SeparationError, match="is damaged, or no index"):
        TensorBundle(handmade(tmp_path, {"x": tensor(b"", (0,))}, b"", **changes))
