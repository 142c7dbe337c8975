"""Files and folders that are whole or not there: atomic writes and content hashes."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4
from zlib import crc32

_LONGEST_NAME = 200  # bytes of a file's name that leave room for what is put before it; file systems take 255
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Numbers of the errors for which there is no room."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; when the block ends well, it is synced and takes the name ``path``.

    After an error nothing has changed; after a crash a hidden ``.partial`` file is left beside it until the next write
    to ``path`` from the same machine.
    """
    path = Path(path)
    _refuse_store(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    try:
        yield beside
        _sync(beside)
        beside.replace(path)
        _sync(path.parent)
    except OSError as error:
        _name(error, path)
        raise
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give a new folder beside ``path`` to fill; when the block ends well, it takes the name ``path``.

    A folder that has this name already is replaced. After an error nothing has changed; after a crash a hidden
    ``.partial`` folder is left beside it until the next write to ``path`` from the same machine.
    """
    path = Path(path)
    _refuse_store(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    beside.mkdir()
    try:
        yield beside
        for file in beside.iterdir():
            _sync(file)
        _sync(beside)
        if path.exists():  # a folder takes the name of an empty one only
            old = _beside(path)
            path.replace(old)
            shutil.rmtree(old)
        beside.replace(path)
        _sync(path.parent)
    except OSError as error:
        _name(error, path)
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_atomic(path: str | Path, content: bytes | str) -> None:
    """Replace a file's content, or leave it as it was."""
    with atomic(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


def content_hash(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: no such file, or something else than a file.
    """
    if not Path(path).is_file():
        raise OSError(f"{path} is not a file")  # a device or a pipe would never end
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_if_readable(path: str | Path) -> str:
    """SHA-256 of a file; empty where there is no file that can be read, of which the decoder says what is wrong."""
    try:
        return content_hash(path)
    except OSError:
        return ""


def _refuse_store(path: Path) -> None:
    """A location as ``s3://bucket/key`` that became a path is no file that anybody wants."""
    if path.parts and re.fullmatch(r"[A-Za-z0-9+.-]{2,}:", path.parts[0]) and not Path(path.parts[0]).exists():
        raise OSError(errno.EINVAL, "is on a store, and this writes a file of this machine", str(path))


def _name(error: OSError, path: Path) -> None:
    """Let an error say which file has no room: a write that fails does not."""
    if error.errno in DISK_FULL:
        error.filename = str(path)


def _beside(path: Path) -> Path:
    """A new name beside a path, which says who writes there; what dead processes of this machine left is removed."""
    kept = path.name
    if len(os.fsencode(kept)) > _LONGEST_NAME:
        kept = f"{crc32(os.fsencode(kept)):08x}{path.suffix}"
    left = re.compile(rf"\.partial-{_machine()}-(\d+)-[0-9a-f]{{6}}-{re.escape(kept)}")
    for name in os.listdir(path.parent):  # noqa: PTH208 (a folder may hold very many)
        if (found := left.fullmatch(name)) and not _lives(int(found[1])):
            _remove(path.parent / name)
    # The ending stays: writers choose formats by it.
    return path.with_name(f".partial-{_machine()}-{os.getpid()}-{uuid4().hex[:6]}-{kept}")


def _machine() -> str:
    """By what numbers of processes mean the same; containers may share a name and a disk."""
    try:
        numbered = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        numbered = ""
    return f"{crc32((platform.node() + numbered).encode()):08x}"


def _lives(process: int) -> bool:
    if os.name == "nt":  # where signal 0 is Ctrl+C
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is somebody else's, or cannot be asked for
        pass
    return True


def _remove(path: Path) -> None:
    """Another process may be removing it, too."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
