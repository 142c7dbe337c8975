"""Whether a copy of a data set is whole: sizes and SHA-256 of its files, made once, kept and checked.

Conventions
-----------
- An index is JSON: ``{"kind": "whosings index", "version": 1, "files": {path: {"size": bytes, "sha256": hex}}}``. Paths
  are relative to the folder, with ``/``, in composed Unicode.
- Lists as ``sha256sum`` writes them are read, too: they have no sizes.
- Hidden files and folders of systems (``__MACOSX``) are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from whosings.catalogue.open_data.record import composed
from whosings.errors import ManifestError
from whosings.files import content_hash, write_atomic
from whosings.progress import Progress, silent

_KIND = "whosings index"
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *]?(.+)")


@dataclass(frozen=True)
class IndexedFile:
    """What is known of a file; ``size`` in bytes, None where a list has no sizes."""

    size: int | None
    sha256: str


@dataclass(frozen=True)
class Checked:
    """How a folder differs from an index; paths as in the index, sorted.

    Attributes:
        files: how many the index lists.
    """

    files: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]


def make_index(folder: str | Path, progress: Progress = silent) -> dict[str, IndexedFile]:
    """Every file below a folder, read once.

    Raises:
        ManifestError: no such folder, no file in it, or two names that are one in composed Unicode.
    """
    there = _files(Path(folder))
    step = progress("reading files", len(there))
    found = {}
    for name in sorted(there):
        found[name] = IndexedFile(there[name].stat().st_size, content_hash(there[name]))
        step()
    return found


def write_index(index: Mapping[str, IndexedFile], path: str | Path) -> None:
    """Write an index; the same files give the same bytes."""
    files = {name: asdict(index[name]) for name in sorted(index)}
    content = {"kind": _KIND, "version": 1, "files": files}
    write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_index(path: str | Path) -> dict[str, IndexedFile]:
    """An index, or a list as ``sha256sum`` writes it.

    Raises:
        ManifestError: the file is missing, empty, or neither of the two.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ManifestError(path, "no such file", "make it: whosings datasets index") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(path, f"cannot be read ({error})", "make it again") from error
    found = dict(_listed(path, text) if _LINE.match(text) else _indexed(path, text))
    if not found:
        raise ManifestError(path, "lists no files", "make it again")
    return found


def check_index(
    folder: str | Path, index: Mapping[str, IndexedFile], sizes_only: bool = False, progress: Progress = silent
) -> Checked:
    """Compare a folder with an index.

    Args:
        sizes_only: read no file, which takes seconds rather than hours, and misses changes of the same length.

    Raises:
        ManifestError: no such folder, or two names that are one in composed Unicode.
    """
    there = _files(Path(folder), empty=True)
    step = progress("checking files", len(index))
    changed = []
    for name in sorted(index.keys() & there.keys()):
        if not _is_as_known(there[name], index[name], sizes_only):
            changed.append(name)
        step()
    missing, extra = sorted(index.keys() - there.keys()), sorted(there.keys() - index.keys())
    return Checked(len(index), tuple(missing), tuple(changed), tuple(extra))


def _is_as_known(path: Path, known: IndexedFile, sizes_only: bool) -> bool:
    if known.size is not None and path.stat().st_size != known.size:
        return False
    return sizes_only or content_hash(path) == known.sha256


def _files(folder: Path, empty: bool = False) -> dict[str, Path]:
    if not folder.is_dir():
        raise ManifestError(folder, "no such folder", "check the path")
    found: dict[str, Path] = {}
    for path in _below(folder):
        name = composed(path.relative_to(folder).as_posix())
        if name in found:
            raise ManifestError(path, "has the name of another file but for its Unicode form", "keep one of them")
        found[name] = path
    if not found and not empty:
        raise ManifestError(folder, "holds no files", "check the path")
    return found


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.casefold() == "__macosx":
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)
        elif path.is_file():
            yield path


def _listed(path: Path, text: str) -> Iterator[tuple[str, IndexedFile]]:
    for number, line in enumerate(text.splitlines(), start=1):
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise ManifestError(path, f"line {number} is not a SHA-256 and a path", "get it again")
        yield composed(found[2].strip().removeprefix("./")), IndexedFile(None, found[1].lower())


def _indexed(path: Path, text: str) -> Iterator[tuple[str, IndexedFile]]:
    try:
        content: Any = json.loads(text)
        if content["kind"] != _KIND or content["version"] != 1:
            raise ValueError("another kind or version")
        for name, values in content["files"].items():
            size, digest = values["size"], values["sha256"]
            if not (size is None or type(size) is int) or not re.fullmatch("[0-9a-f]{64}", digest):
                raise ValueError(f"of {name}")
            yield composed(name), IndexedFile(size, digest)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ManifestError(
            path, f"is neither an index nor a list of SHA-256 ({error})", "make it: whosings datasets index"
        ) from error
