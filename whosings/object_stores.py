"""S3, and whatever else fsspec opens, asked for four things: look, list, read a piece, write.

S3 is asked by requests of its own, through s3fs's connection, because an answer holds more than fsspec hands on:
whether a range is what was asked for, of which version it is, and how it is encrypted.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whosings.errors import ChangedObjectError, MissingExtraError, MissingObjectError, StorageError
from whosings.storage_faults import Answer, TransferError, attempt

_PART = 32 << 20  # bytes that are sent at once; S3 takes parts of 5 MiB and more, 10,000 at most
_MOST_PARTS = 10_000
_PAGE = 1000  # objects that one request lists; no store lists more
_WAIT_S, _LEAST_BYTES_S = 30.0, 20_000.0  # a piece may take so long, and so much longer for what it holds
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class StoredObject:
    """What a store says of an object.

    Attributes:
        size: bytes.
        tag: changes when the object does: its ETag or generation, or else when it was changed by the store's clock.
        md5: of its content, in hexadecimal; empty where the store does not say.
    """

    size: int
    tag: str
    md5: str = ""


@dataclass(frozen=True)
class Piece:
    """Some bytes of an object, and what the store says of the whole."""

    about: StoredObject
    data: bytes


@dataclass(frozen=True)
class Condition:
    """When an object is written: only where there is none, or only over one with this tag; or else always."""

    if_absent: bool = False
    if_tag: str | None = None


class Store(ABC):
    """A bucket's store; objects are named by their whole locations."""

    @abstractmethod
    def look(self, location: str) -> StoredObject:
        """What there is at a location.

        Raises:
            StorageError: nothing, or it cannot be asked for.
        """

    @abstractmethod
    def below(self, location: str) -> Iterator[tuple[str, StoredObject]]:
        """Objects below a location, sorted.

        Raises:
            StorageError: they cannot be listed.
        """

    @abstractmethod
    def read(self, location: str, start: int, stop: int, tag: str | None) -> Piece:
        """Bytes of an object from ``start`` and before ``stop``, or fewer where it ends; ``tag`` is what it must be.

        Raises:
            ChangedObjectError: it is another object by now.
            StorageError: it cannot be read.
        """

    @abstractmethod
    def write(self, file: Path, location: str, condition: Condition) -> StoredObject:
        """Write a file's content as an object, whole or not at all.

        Raises:
            ChangedObjectError: the condition does not hold.
            StorageError: it cannot be written.
        """

    @abstractmethod
    def remove(self, location: str) -> None:
        """Let there be nothing at a location.

        Raises:
            StorageError: it may not be removed.
        """


def open_store(location: str) -> Store:
    """The store of a location.

    Raises:
        MissingExtraError: what opens it is not installed.
        StorageError: nobody knows such stores.
    """
    scheme = _scheme(location)
    MissingExtraError.require("fsspec", "object storage", "scale")
    for package, schemes in (("s3fs", ("s3", "s3a")), ("gcsfs", ("gs", "gcs"))):
        if scheme in schemes:
            MissingExtraError.require(package, "object storage", "scale")
    from fsspec import filesystem, get_filesystem_class
    from fsspec.config import conf

    try:
        get_filesystem_class(scheme)
    except (ValueError, ImportError) as error:
        raise StorageError(
            location, f"nothing here opens {scheme}://", "use s3:// or gs://, or copy it here"
        ) from error
    if scheme not in ("s3", "s3a"):
        return _FsspecStore(attempt(lambda: filesystem(scheme, use_listings_cache=False), location, "opened"))
    given = conf.get("s3", {}).get("config_kwargs", {})
    # One layer retries, and that is ``attempt``.
    config = {"retries": {"total_max_attempts": 1, "mode": "standard"}, **given}
    connected = filesystem("s3", use_listings_cache=False, config_kwargs=config)
    connected.retries = 1
    return _S3Store(connected)


class _S3Store(Store):
    def __init__(self, connected: Any) -> None:
        self._s3 = connected

    def look(self, location: str) -> StoredObject:
        bucket, key = _place(location)
        try:
            return _about(self._ask(location, "read", "head_object", Bucket=bucket, Key=key))
        except StorageError as error:
            if Answer.of(error.__cause__).status not in (400, 403, 404):
                raise
            return self.read(location, 0, 1, None).about  # an answer to HEAD has no body to say why

    def below(self, location: str) -> Iterator[tuple[str, StoredObject]]:
        bucket, key = _place(location, whole=True)
        prefix = f"{key.rstrip('/')}/" if key else ""
        further: dict[str, Any] = {"MaxKeys": _PAGE}
        while True:
            page = self._ask(location, "listed", "list_objects_v2", Bucket=bucket, Prefix=prefix, **further)
            for row in page.get("Contents", ()):
                if not row["Key"].endswith("/"):  # an empty object by which consoles make a folder
                    yield f"{_scheme(location)}://{bucket}/{row['Key']}", _about(row, int(row["Size"]))
            if not page.get("IsTruncated"):
                return
            further |= {"ContinuationToken": page["NextContinuationToken"]}

    def read(self, location: str, start: int, stop: int, tag: str | None) -> Piece:
        return attempt(lambda: self._read(location, start, stop, tag), location, "read")

    def _read(self, location: str, start: int, stop: int, tag: str | None) -> Piece:
        bucket, key = _place(location)
        wanted = {"Bucket": bucket, "Key": key, "Range": f"bytes={start}-{stop - 1}"}
        if tag:
            wanted["IfMatch"] = f'"{tag}"'
        try:
            answer, data = self._run(self._body(wanted))
        except OSError as error:
            if start == 0 and Answer.of(error).status == 416:  # an empty object has no ranges
                return Piece(self.look(location), b"")
            raise
        given = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.get("ContentRange") or "")
        size = int(given[3]) if given else int(answer["ContentLength"])
        first = int(given[1]) if given else 0
        if first != start:
            raise TransferError(f"the store sends bytes from {first}, not {start}")
        until = min(stop, size) if given else size
        if len(data) != until - start:
            raise TransferError(f"the answer ends after {len(data)} of {until - start} bytes")
        about = _about(answer, size)
        if tag and about.tag != tag:
            raise ChangedObjectError(location, "changed while it was read", "run again")
        return Piece(about, data)

    async def _body(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        answer = await asyncio.wait_for(self._s3._call_s3("get_object", **wanted), _WAIT_S)
        try:  # also where bytes come one by one, this ends
            wait_s = _WAIT_S + int(answer["ContentLength"]) / _LEAST_BYTES_S
            return answer, await asyncio.wait_for(answer["Body"].read(), wait_s)
        finally:
            answer["Body"].close()

    def write(self, file: Path, location: str, condition: Condition) -> StoredObject:
        bucket, key = _place(location)
        place: dict[str, Any] = {"Bucket": bucket, "Key": key}
        size = file.stat().st_size
        if size > _PART:
            return self._write_parts(file, location, place, condition, max(_PART, -(-size // _MOST_PARTS)))
        data = file.read_bytes()
        _check(self, location, condition)
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        tag = self._finish(location, md5, "put_object", size, **place, Body=data, **_only(condition))
        return StoredObject(size, tag)

    def _write_parts(
        self, file: Path, location: str, place: dict[str, Any], condition: Condition, most: int
    ) -> StoredObject:
        """In parts, which nobody sees before the last is there; after an error none is left to be paid for."""
        upload = self._ask(location, "written", "create_multipart_upload", **place)["UploadId"]
        upload_of = {**place, "UploadId": upload}
        parts: list[dict[str, Any]] = []
        digests = hashlib.md5(usedforsecurity=False)
        try:
            with file.open("rb") as content:
                while data := content.read(most):
                    sent = {"PartNumber": len(parts) + 1, "Body": data, **upload_of}
                    part = self._ask(location, "written", "upload_part", len(data), **sent)
                    digests.update(hashlib.md5(data, usedforsecurity=False).digest())
                    parts.append({"PartNumber": len(parts) + 1, "ETag": part["ETag"]})
                size = content.tell()
            _check(self, location, condition)
            own = f"{digests.hexdigest()}-{len(parts)}"
            whole = {"MultipartUpload": {"Parts": parts}, **upload_of, **_only(condition)}
            return StoredObject(size, self._finish(location, own, "complete_multipart_upload", 0, **whole))
        except BaseException:
            with suppress(StorageError):
                self._ask(location, "written", "abort_multipart_upload", **upload_of)
            raise

    def remove(self, location: str) -> None:
        bucket, key = _place(location)
        self._ask(location, "removed", "delete_object", Bucket=bucket, Key=key)

    def _finish(self, location: str, own: str, method: str, size: int, **arguments: Any) -> str:
        """Make the request after which an object is there; its tag.

        Where an answer was lost, the next try finds what the one before has done: that is told by its tag. Whether
        there was a try before is not known here, because aiohttp makes one by itself where a connection breaks.
        """

        def once() -> str:
            return str(self._timed(self._s3._call_s3(method, **arguments), size).get("ETag", "")).strip('"')

        try:
            return attempt(once, location, "written")
        except StorageError:
            with suppress(StorageError):
                if self.look(location).tag == own:
                    return own
            raise

    def _ask(self, location: str, action: str, method: str, size: int = 0, **arguments: Any) -> dict[str, Any]:
        def once() -> dict[str, Any]:
            answer: dict[str, Any] = self._timed(self._s3._call_s3(method, **arguments), size)
            return answer

        return attempt(once, location, action)

    def _timed(self, request: Any, size: int) -> Any:
        """The result of a coroutine that sends so many bytes, or an error after a time."""
        return self._run(asyncio.wait_for(request, _WAIT_S + size / _LEAST_BYTES_S))

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """The result of a coroutine, in s3fs's thread."""
        from fsspec.asyn import sync

        async def awaited() -> Any:
            return await coroutine

        return sync(self._s3.loop, awaited)


class _FsspecStore(Store):
    """Any other store, by what all file systems of fsspec have; these retry themselves, too."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def look(self, location: str) -> StoredObject:
        return attempt(lambda: _described(self._opened.info(location), location), location, "read")

    def below(self, location: str) -> Iterator[tuple[str, StoredObject]]:
        found = attempt(lambda: self._opened.find(location.rstrip("/") + "/", detail=True), location, "listed")
        for name in sorted(found):
            if found[name].get("type") == "file" and not name.endswith("/"):
                yield self._opened.unstrip_protocol(name), _described(found[name], location)

    def read(self, location: str, start: int, stop: int, tag: str | None) -> Piece:
        def once() -> Piece:
            about = _described(self._opened.info(location), location)
            if tag and about.tag != tag:
                raise ChangedObjectError(location, "changed while it was read", "run again")
            until = min(stop, about.size)
            data = self._opened.cat_file(location, start, until) if until > start else b""
            if len(data) != until - start:
                raise TransferError(f"the answer ends after {len(data)} of {until - start} bytes")
            if until == about.size and _described(self._opened.info(location), location) != about:
                raise ChangedObjectError(location, "changed while it was read", "run again")
            return Piece(about, data)

        return attempt(once, location, "read")

    def write(self, file: Path, location: str, condition: Condition) -> StoredObject:
        _check(self, location, condition)
        if condition.if_absent:  # some clients, and some stores, heed no mode
            with suppress(MissingObjectError):
                self.look(location)
                raise ChangedObjectError(location, "is there already", "run again with what is there now")
        mode = "create" if condition.if_absent else "overwrite"
        attempt(lambda: self._opened.put_file(str(file), location, mode=mode), location, "written")
        return self.look(location)

    def remove(self, location: str) -> None:
        with suppress(MissingObjectError):
            attempt(lambda: self._opened.rm_file(location), location, "removed")


def _only(condition: Condition) -> dict[str, str]:
    """A condition as S3 has it."""
    if condition.if_absent:
        return {"IfNoneMatch": "*"}
    return {} if condition.if_tag is None else {"IfMatch": f'"{condition.if_tag}"'}


def _check(store: Store, location: str, condition: Condition) -> None:
    """Look before a write that is conditional: some stores heed no condition, or none of an object in parts."""
    if condition.if_tag is not None and store.look(location).tag != condition.if_tag:
        raise ChangedObjectError(location, "was changed by somebody else meanwhile", "run again with what is there now")


def _about(answer: dict[str, Any], size: int | None = None) -> StoredObject:
    """S3's headers of an object, or its row in a listing.

    An ETag that looks like an MD5 is one, unless the object is encrypted with keys of its own.
    """
    tag = str(answer.get("ETag") or answer.get("LastModified") or "").strip('"')
    keyed = answer.get("SSECustomerAlgorithm") or str(answer.get("ServerSideEncryption", "")).startswith("aws:kms")
    md5 = tag if _MD5.fullmatch(tag) and not keyed else ""
    return StoredObject(int(answer["ContentLength"]) if size is None else size, tag, md5)


def _described(info: dict[str, Any], location: str) -> StoredObject:
    if info.get("type") != "file":
        raise StorageError(location, "is a folder", "name an object")
    names = ("ETag", "etag", "generation", "LastModified", "updated", "mtime", "created")
    tag = next((str(info[name]) for name in names if info.get(name)), "")
    md5 = info.get("md5Hash")
    with_md5 = base64.b64decode(md5).hex() if isinstance(md5, str) else ""
    return StoredObject(int(info["size"] or 0), tag, with_md5)


def _scheme(location: str) -> str:
    return location.partition("://")[0].lower()


def _place(location: str, whole: bool = False) -> tuple[str, str]:
    """Bucket and key of a location; ``whole`` lets a bucket stand alone."""
    bucket, _, key = location.partition("://")[2].partition("/")
    if not bucket or not (key or whole):
        raise StorageError(location, "names no object", "write s3://BUCKET/KEY")
    return bucket, key
