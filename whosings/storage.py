"""Locations, here or on an object store: ``s3://bucket/key``, ``gs://bucket/key``, ``file:///path`` or plain paths.

An object is fetched whole or not at all: what arrives is as long as the store said, of one version, and has the MD5
that the store gives, where it gives one. It is put likewise. A location is text: a ``Path`` would make ``s3:/`` of it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from whosings.errors import ChangedObjectError, MissingObjectError, StorageError, WhosingsError
from whosings.files import DISK_FULL, atomic, hash_if_readable
from whosings.object_stores import Condition, Store, StoredObject, open_store

REQUESTS = 16
"""Requests that a store is asked at once, where many small ones are."""

_PIECE = 8 << 20  # bytes that are asked for at once
_NAME = 255  # bytes of a name on a disk
_DAMAGED_TRIES = 3  # of a whole object whose content is not what the store says
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_SECRET = re.compile(r"://[^/@]*:[^/@]*@")


@dataclass(frozen=True)
class Signature:
    """What changes when a file or an object does.

    Attributes:
        size: bytes.
        mark: of a file the time of its last change, in nanoseconds; of an object a number below 2**63 made of ``tag``,
            and not of a clock, because the clocks of machines differ.
        tag: an object's ETag or generation, as the store has it; empty for a file.
    """

    size: int
    mark: int
    tag: str = ""


@dataclass(frozen=True)
class Listed:
    """An object of a listing, of which the listing says already what else would take a request."""

    location: str
    signature: Signature


def is_remote(location: str) -> bool:
    """Whether a text names an object of a store, rather than a file here."""
    found = _SCHEME.match(location)
    return found is not None and found[1].lower() not in ("file", "local")


def local_path(location: str) -> Path:
    """The path of a file here, named by a path or by ``file:///``.

    Raises:
        StorageError: it is on a store, or on another machine.
    """
    if is_remote(location):
        raise StorageError(location, "is not on this machine", "name a file here")
    if not _SCHEME.match(location):
        return Path(location)
    parts = urlsplit(location, allow_fragments=False)
    if parts.netloc not in ("", "localhost"):
        raise StorageError(location, "is on another machine", "write file:///PATH, with three slashes")
    text = parts.path + (f"?{parts.query}" if parts.query else "")
    return Path(unquote(text, errors="surrogateescape"))


def from_root(location: str) -> str:
    """A location, or the absolute path of a file here: what a process that began in another folder can open."""
    return location if is_remote(location) else str(local_path(location).absolute())


def joined(folder: str, name: str) -> str:
    """A name as it stands in a table or list: whole, or relative to the place where that lies."""
    if is_remote(name) or _SCHEME.match(name):
        return name
    if not is_remote(folder):
        return str(local_path(folder) / name)
    if name.startswith("/"):
        return name  # a file here
    return f"{folder.rstrip('/')}/{name}"


def parent(location: str) -> str:
    """The place in which something lies."""
    return location.rpartition("/")[0] if is_remote(location) else str(local_path(location).parent)


def name_of(location: str) -> str:
    """The last part of a location."""
    return location.rpartition("/")[2] if is_remote(location) else local_path(location).name


def ending(location: str) -> str:
    """The ending of a location's name, in lower case and with its dot; empty where it has none."""
    return PurePosixPath(name_of(location)).suffix.lower()


def signature(location: str) -> Signature:
    """What changes when a location's content does.

    Raises:
        OSError: there is no such file.
        StorageError: there is no such object, or it cannot be asked for.
    """
    if is_remote(location):
        return _signature(_store(location).look(location))
    found = local_path(location).stat()
    return Signature(found.st_size, found.st_mtime_ns)


def content_mark(location: str) -> str:
    """What changes when a location's content does, and with nothing else: a file's SHA-256, an object's ETag.

    Empty where it cannot be read; whoever reads it hears why.
    """
    if not is_remote(location):
        return hash_if_readable(local_path(location))
    try:
        return f"etag:{signature(location).tag}"
    except StorageError:
        return ""


def listing(location: str) -> Iterator[Listed]:
    """Everything below a location, sorted: of S3 a page at a time.

    Raises:
        OSError: there is no such folder.
        StorageError: it cannot be listed.
    """
    if is_remote(location):
        for found, about in _store(location).below(location):
            yield Listed(found, _signature(about))
        return
    for path in sorted(path for path in local_path(location).rglob("*") if path.is_file()):
        yield Listed(str(path), signature(str(path)))


def walk(location: str) -> Iterator[str]:
    """Locations of everything below one, sorted.

    Raises:
        OSError, StorageError: as ``listing``.
    """
    return (found.location for found in listing(location))


@contextmanager
def fetched(location: str) -> Iterator[Path]:
    """A file with a location's content, under its names: itself, or one that is there as long as the block runs.

    Raises:
        ChangedObjectError: it changed while it was read.
        StorageError: it cannot be had whole.
    """
    with fetched_as(location) as (path, _):
        yield path


@contextmanager
def fetched_as(location: str) -> Iterator[tuple[Path, Signature]]:
    """The same, with the signature of what was fetched."""
    if not is_remote(location):
        yield local_path(location), signature(location)
        return
    names = [name for name in location.partition("://")[2].split("/") if name not in ("", ".", "..")]
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="whosings-"))
            path = Path(folder, *map(_short, names or ["object"]))
            path.parent.mkdir(parents=True, exist_ok=True)
            about = _download(_store(location), location, path)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            problem = f"does not fit into {tempfile.gettempdir()}"
            raise StorageError(location, problem, "free some space, or set TMPDIR to a larger disk") from error
        yield path, _signature(about)


def _short(name: str) -> str:
    """A name as a disk can have it; a store's may be longer."""
    return name.encode()[-_NAME:].decode(errors="ignore")


def put(path: str | Path, location: str, if_absent: bool = False, if_unchanged: Signature | None = None) -> Signature:
    """Write a file's content to a location, whole or not at all; its new signature.

    Args:
        if_absent: only where there is nothing; on S3 and Google's store this is certain, whoever else writes.
        if_unchanged: only over what has this signature; on S3 this is certain, elsewhere it is looked up before.

    Raises:
        ChangedObjectError: the condition does not hold.
        StorageError: it cannot be written.
    """
    if is_remote(location):
        tag = None if if_unchanged is None else if_unchanged.tag
        return _signature(_store(location).write(Path(path), location, Condition(if_absent, tag)))
    target = local_path(location)
    there = signature(location) if target.exists() else None
    if (if_absent and there is not None) or (if_unchanged is not None and there != if_unchanged):
        raise ChangedObjectError(location, "was changed by somebody else meanwhile", "run again with what is there now")
    with atomic(target) as beside:
        shutil.copyfile(path, beside)
    return signature(location)


@contextmanager
def working_copy(location: str) -> Iterator[Path]:
    """A file here in the place of an object that needs a disk; what became of it is put when the block ends.

    Also after an error, as a file here would keep what was done before it. Nothing is put where nothing was changed. A
    file of this machine is used as it is.

    Raises:
        StorageError: the object cannot be had, or somebody else changed it meanwhile, or it cannot be put: then what
            was done is kept in a file here, which the error names.
    """
    if not is_remote(location):
        yield local_path(location)
        return
    with tempfile.TemporaryDirectory(prefix="whosings-") as folder:
        path = Path(folder, name_of(location)[-100:] or "object")
        before = None
        try:
            with fetched_as(location) as (here, before):
                here.replace(path)
        except MissingObjectError:
            pass
        was = hash_if_readable(path)
        try:
            yield path
        except WhosingsError as error:
            raise (error.about(location) if error.subject == str(path) else error) from error
        finally:
            if path.exists() and hash_if_readable(path) != was:
                _put_back(path, location, before)


def _put_back(path: Path, location: str, before: Signature | None) -> None:
    try:
        put(path, location, if_absent=before is None, if_unchanged=before)
    except StorageError as error:
        kept = Path.cwd() / f"{path.stem}.kept-{uuid4().hex[:6]}{path.suffix}"
        with atomic(kept) as beside:
            shutil.copyfile(path, beside)
        raise type(error)(location, error.problem, f"what was done is kept in {kept}; {error.remedy}") from error


def write_bytes(location: str, data: bytes, if_absent: bool = False) -> Signature:
    """The same, of some bytes."""
    with tempfile.TemporaryDirectory(prefix="whosings-") as folder:
        path = Path(folder, "object")
        path.write_bytes(data)
        return put(path, location, if_absent)


def remove(location: str) -> None:
    """Let there be nothing at a location.

    Raises:
        OSError, StorageError: it may not be removed.
    """
    if is_remote(location):
        _store(location).remove(location)
    else:
        local_path(location).unlink(missing_ok=True)


def _store(location: str) -> Store:
    if _SECRET.search(location):
        shown = _SECRET.sub("://***@", location)
        raise StorageError(shown, "holds a password", "give credentials as docs/storage.md says, not in locations")
    return open_store(location)


def _signature(about: StoredObject) -> Signature:
    digest = hashlib.sha256(about.tag.encode()).digest()
    return Signature(about.size, int.from_bytes(digest[:8]) >> 1, about.tag)


def _download(store: Store, location: str, path: Path) -> StoredObject:
    """Fetch an object piece by piece; pieces are of one version."""
    for left in reversed(range(_DAMAGED_TRIES)):
        digest = hashlib.md5(usedforsecurity=False)
        with path.open("wb") as file:
            piece = store.read(location, 0, _PIECE, None)
            about = piece.about
            while True:
                file.write(piece.data)
                digest.update(piece.data)
                if (done := file.tell()) >= about.size:
                    break
                piece = store.read(location, done, done + _PIECE, about.tag)
        if not about.md5 or digest.hexdigest() == about.md5:
            return about
        if not left:
            problem = f"arrived with another MD5 than the store gives, {_DAMAGED_TRIES} times"
            raise StorageError(location, problem, "check the object, and what stands between here and the store")
    raise AssertionError("unreachable")
