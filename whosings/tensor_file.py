"""Tensors in one safetensors file, with a JSON header that says what they are; never pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from whosings.errors import WhosingsError
from whosings.files import write_atomic


@dataclass(frozen=True)
class TensorFile:
    """A file that was read: ``header`` describes its ``tensors``, which have names."""

    header: dict[str, Any]
    tensors: dict[str, Tensor]


def write_tensors(path: str | Path, header: dict[str, Any], tensors: Mapping[str, Tensor], **layout: Any) -> str:
    """Write a file, or leave the one that is there.

    Args:
        header: it names the file's ``format``.
        layout: how ``json.dumps`` writes the header.

    Returns:
        The header as it was written.
    """
    text = json.dumps(header, **layout)
    write_atomic(path, packed(tensors, {"whosings": text}))
    return text


@contextmanager
def opened(path: Path, name: str, foreign: WhosingsError, damaged: WhosingsError | None = None) -> Iterator[TensorFile]:
    """Read a file of the format ``name``, and let a block make something of it.

    Raises:
        WhosingsError: ``damaged`` (``foreign`` if that is None), if the file is missing or no whole safetensors file;
            ``foreign``, if it has no header or one the block cannot use; one of its class, if it has another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            header = json.loads((file.metadata() or {})["whosings"])
        if header["format"] != name:
            raise type(foreign)(path, f"has format {header['format']}", "update whosings")
        yield TensorFile(header, tensors)
    except (SafetensorError, OSError) as error:
        raise damaged or foreign from error
    except (LookupError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise foreign from error


def packed(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """Give the content of a safetensors file with these tensors, which may be on any device."""
    return bytes(save({name: value.cpu().contiguous() for name, value in tensors.items()}, metadata))


def unpacked(content: bytes) -> dict[str, Tensor]:
    """Give back the tensors that ``packed`` was given."""
    return dict(load(content))


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round floating-point numbers to float16; whole numbers stay."""
    return {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
