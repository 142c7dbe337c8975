"""A gallery as lines of JSON, which anybody can read, and whose damage is told.

The first line says what it is. Each singer has a line, followed by one for each recording. The last line holds the
SHA-256 of all lines before it. Numbers of embeddings are little-endian and in Base64 (RFC 4648), so that they are kept
to the bit. ``docs/formats.md`` describes the fields.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError

from whosings.audio import FloatArray
from whosings.enrolled import EnrolledTrack, WholeSinger
from whosings.errors import GalleryError
from whosings.gallery_file import voice_fits
from whosings.singer_names import singer_name

_LONGEST = 1 << 25  # bytes of a line: a day of singing in 512 dimensions
_MOST_TEXT = 1 << 15


def _decoded(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("should be text in Base64")
    return base64.b64decode(text, validate=True)


_Bytes = Annotated[bytes, BeforeValidator(_decoded)]
_Text = Annotated[str, Field(max_length=_MOST_TEXT)]
_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Header(_Line):
    """The first line: of which encoder the embeddings are.

    Attributes:
        segment_s: seconds of a segment, where the gallery knows.
    """

    whosings: Literal["gallery"] = "gallery"
    format: Literal[1] = 1
    fingerprint: Annotated[str, Field(min_length=1, max_length=_MOST_TEXT)]
    encoder: _Text
    segment_s: Annotated[FiniteFloat, Field(gt=0)] | None


class _Singer(_Line):
    singer: _Text
    recordings: Annotated[int, Field(ge=1)]
    segments: Annotated[FiniteFloat, Field(gt=0)]
    voice: _Bytes


class _Recording(_Line):
    recording: Annotated[str, Field(min_length=1, max_length=_MOST_TEXT)]
    source: _Text
    segments: Annotated[FiniteFloat, Field(gt=0)]
    start_s: _Bytes
    embeddings: _Bytes


class _End(_Line):
    singers: Annotated[int, Field(ge=0)]
    recordings: Annotated[int, Field(ge=0)]
    sha256: _Digest


_L = TypeVar("_L", bound=_Line)


class LineWriter:
    """Writes a gallery to a file that is open.

    Attributes:
        singers, recordings: how many were written.
    """

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file, self._digest = file, hashlib.sha256()
        self.singers = self.recordings = 0
        self._write(header.model_dump())

    def write(self, whole: WholeSinger) -> None:
        """Add a singer with all recordings."""
        voice = _text(whole.voice.astype("<f4"))
        singer = {"singer": whole.name, "recordings": whole.recordings, "segments": whole.segments, "voice": voice}
        self._write(singer)
        self.singers += 1
        for track in whole.tracks:
            self._write(
                {
                    "recording": track.sha256,
                    "source": track.source,
                    "segments": track.segments,
                    "start_s": _text(track.start_s.astype("<f4")),
                    "embeddings": _text(track.vectors.astype("<f2")),
                }
            )
            self.recordings += 1

    def end(self) -> None:
        """Write the last line."""
        counts = {"singers": self.singers, "recordings": self.recordings}
        self._write({**counts, "sha256": self._digest.hexdigest()})

    def _write(self, fields: dict[str, object]) -> None:
        line = json.dumps(fields, allow_nan=False).encode() + b"\n"
        self._digest.update(line)
        self._file.write(line)


class LineReader:
    """Reads what ``LineWriter`` wrote, and nothing else.

    Nothing counts until ``singers`` has come to its end, because the digest stands there.

    Args:
        path: the file's, for messages.

    Attributes:
        header: the first line.

    Raises:
        GalleryError: the file is something else, or damaged; every method raises it, too.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path, self._digest, self._number = file, path, hashlib.sha256(), 0
        foreign = GalleryError(path, "is no exported gallery", "name a file that whosings gallery export wrote")
        try:
            line = self._next()
        except GalleryError as error:
            raise foreign from error
        if not line.startswith(b'{"whosings": "gallery"'):
            raise foreign
        if b'"format": 1,' not in line[:_MOST_TEXT]:
            raise GalleryError(path, "is an exported gallery of another format", "update whosings")
        self.header = self._parsed(Header, line)

    def singers(self) -> Generator[WholeSinger]:
        """Everyone; the tracks of each must be taken before the next singer."""
        singers = recordings = 0
        while True:
            before, line = self._digest.hexdigest(), self._next()
            if not line.startswith(b'{"singer"'):
                break
            found = self._parsed(_Singer, line)
            name = singer_name(found.singer, self._path, GalleryError)
            voice = self._numbers(found.voice, "<f4").astype(np.float32)
            if voice.size == 0:
                raise self._wrong("its voice has no numbers")
            yield WholeSinger(name, found.recordings, found.segments, voice, self._tracks(found, name, voice))
            singers, recordings = singers + 1, recordings + found.recordings
        end = self._parsed(_End, line)
        if (end.singers, end.recordings, end.sha256) != (singers, recordings, before) or self._file.read(1):
            raise self._damaged("its lines do not match the digest at its end")

    def _tracks(self, singer: _Singer, name: str, voice: FloatArray) -> Iterator[EnrolledTrack]:
        total, segments = np.zeros(voice.size, np.float64), 0.0
        for _ in range(singer.recordings):
            found = self._parsed(_Recording, self._next())
            starts = self._numbers(found.start_s, "<f4").astype(np.float32)
            numbers = self._numbers(found.embeddings, "<f2").astype(np.float32)
            if len(starts) == 0 or numbers.size != len(starts) * voice.size:
                raise self._wrong("its embeddings are not as many as its starts")
            if found.segments > len(starts):
                raise self._wrong("it counts for more segments than it has")
            vectors = numbers.reshape(len(starts), -1)
            total, segments = total + vectors.mean(axis=0), segments + found.segments
            yield EnrolledTrack(name, found.recording, vectors, found.segments, found.source, starts)
        if not voice_fits(voice, total, singer.recordings) or singer.segments > segments * (1 + 1e-6):
            raise self._wrong(f"the voice of {name} is not that of the recordings")

    def _next(self) -> bytes:
        try:
            line = self._file.readline(_LONGEST + 1)
        except OSError as error:
            raise GalleryError(self._path, f"cannot be read ({error.strerror})", "check the file") from error
        self._number += 1
        if not line.endswith(b"\n"):
            if len(line) > _LONGEST:
                raise self._wrong("it is too long")
            raise self._damaged("its end is missing")
        self._digest.update(line)
        return line

    def _parsed(self, kind: type[_L], line: bytes) -> _L:
        try:
            return kind.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise self._wrong(f"{place}: {first['msg'].lower()}" if place else first["msg"].lower()) from error

    def _numbers(self, content: bytes, kind: str) -> NDArray[np.floating]:
        if len(content) % np.dtype(kind).itemsize:
            raise self._wrong("its numbers are incomplete")
        numbers: NDArray[np.floating] = np.frombuffer(content, kind)
        if not np.isfinite(numbers).all():
            raise self._wrong("it has embeddings that are no numbers")
        return numbers

    def _wrong(self, reason: str) -> GalleryError:
        return self._damaged(f"line {self._number}: {reason}")

    def _damaged(self, reason: str) -> GalleryError:
        return GalleryError(self._path, f"is damaged or was edited ({reason})", "export the gallery again")


def _text(numbers: NDArray[np.floating]) -> str:
    return base64.b64encode(numbers.tobytes()).decode()
