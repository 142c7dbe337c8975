"""Tensors with a header: faithful, whole or unchanged, and refused in the caller's sentences."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from whosings.errors import CheckpointError, GalleryError
from whosings.tensor_file import halved, opened, packed, unpacked, write_tensors

HEADER = {"format": "thing-1", "z": [1, None, True], "a": "Ünï"}
TENSORS = {
    "half": torch.arange(6).reshape(2, 3).half(),
    "count": torch.tensor(1 << 40),
    "empty": torch.zeros(0, 4),
    "turned": torch.arange(6.0).reshape(2, 3).T,
}
FOREIGN = CheckpointError("this file", "is no thing", "name another")
DAMAGED = CheckpointError("this file", "is broken", "copy it again")


def refused(path: Path, what: CheckpointError, damaged: CheckpointError | None = DAMAGED) -> None:
    with pytest.raises(CheckpointError) as caught, opened(path, "thing-1", FOREIGN, damaged):
        pytest.fail("was read")
    assert caught.value is what
    assert caught.value.__cause__ is not None


def test_round_trip(tmp_path: Path) -> None:
    text = write_tensors(tmp_path / "deep" / "t", HEADER, TENSORS)
    with opened(tmp_path / "deep" / "t", "thing-1", FOREIGN) as file:
        assert file.header == HEADER
        assert file.tensors.keys() == TENSORS.keys()
        for name, value in TENSORS.items():
            assert torch.equal(file.tensors[name], value) and file.tensors[name].dtype == value.dtype
    with safe_open(tmp_path / "deep" / "t", framework="pt") as other:
        assert other.metadata() == {"whosings": text} == {"whosings": json.dumps(HEADER)}


def test_the_header_is_laid_out_as_asked(tmp_path: Path) -> None:
    text = write_tensors(tmp_path / "t", HEADER, TENSORS, indent=2, sort_keys=True)
    assert text == json.dumps(HEADER, indent=2, sort_keys=True)


@pytest.mark.parametrize(
    ("header", "tensors", "error"),
    [
        ({"format": "thing-1", "a": Path("x")}, TENSORS, TypeError),
        ({"format": "thing-1", "a": float("nan")}, TENSORS, ValueError),
        (HEADER, {"a": 3}, AttributeError),
    ],
)
def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, header, tensors, error) -> None:
    write_tensors(tmp_path / "t", HEADER, TENSORS)
    before = (tmp_path / "t").read_bytes()
    with pytest.raises(error):
        write_tensors(tmp_path / "t", header, tensors, allow_nan=False)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("t", before)]


def test_files_that_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "t"
    refused(path, DAMAGED)
    refused(path, FOREIGN, damaged=None)
    refused(tmp_path, DAMAGED)
    write_tensors(path, HEADER, TENSORS)
    whole = path.read_bytes()
    for size in (0, 7, 8, 60, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(path, DAMAGED)
        refused(path, FOREIGN, damaged=None)


@pytest.mark.parametrize("text", [None, "no json", "[1]", "3", "{}", '"text"', "null"])
def test_files_of_others(tmp_path: Path, text: str | None) -> None:
    save_file(TENSORS | {"turned": torch.zeros(1)}, tmp_path / "t", {"pt": "x"} if text is None else {"whosings": text})
    refused(tmp_path / "t", FOREIGN)


def test_another_format(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t", {**HEADER, "format": "thing-2"}, TENSORS)
    said = r"t: has format thing-2; update whosings\.$"
    for kind in (CheckpointError, GalleryError):
        with pytest.raises(kind, match=said), opened(tmp_path / "t", "thing-1", kind("t", "is none", "go")):
            pytest.fail("was read")


@pytest.mark.parametrize("error", [KeyError, TypeError, ValueError, RuntimeError])
def test_a_header_or_weights_that_the_block_cannot_use(tmp_path: Path, error: type[Exception]) -> None:
    write_tensors(tmp_path / "t", HEADER, TENSORS)
    with pytest.raises(CheckpointError, match="is no thing"), opened(tmp_path / "t", "thing-1", FOREIGN, DAMAGED):
        raise error


def test_the_blocks_own_errors_stay(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t", HEADER, TENSORS)
    for error in (CheckpointError("t", "is of another architecture", "go"), ZeroDivisionError()):
        with pytest.raises(type(error)) as caught, opened(tmp_path / "t", "thing-1", FOREIGN, DAMAGED):
            raise error
        assert caught.value is error


def test_packed() -> None:
    back = unpacked(packed(TENSORS))
    assert all(torch.equal(back[name], value) for name, value in TENSORS.items())
    assert packed(back) == packed(TENSORS)


def test_halved() -> None:
    half = halved(TENSORS)
    assert {name: value.dtype for name, value in half.items()} == {
        "half": torch.float16,
        "count": torch.int64,
        "empty": torch.float16,
        "turned": torch.float16,
    }
    assert torch.equal(half["turned"].float(), TENSORS["turned"]) and half["count"] == TENSORS["count"]
