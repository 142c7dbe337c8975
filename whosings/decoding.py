"""Opening a file: what it holds is looked at before a decoder does, which would believe its header.

Only ``whosings.audio`` uses this module; its conventions hold here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from whosings.containers import CutShortError, View, check_ogg, ogg_links, wav_with_its_length
from whosings.decoders import AvSource, FloatArray, SoundFileSource, audio_info, damaged, with_channels
from whosings.errors import AudioError, EmptyAudioError, MissingFileError, TruncatedAudioError, UnreadableAudioError
from whosings.mpeg_frames import mp3_with_its_length, walk_mp3

_UNKNOWN_FRAMES = 1 << 62  # libsndfile's length of a FLAC stream that states none


@contextmanager
def open_source(path: str | Path) -> Iterator[Source]:
    """An open file, closed at the end; whatever a decoder raises becomes an ``AudioError``."""
    path = Path(path)
    try:
        with closing(_open(path)) as source:
            yield source
    except AudioError:
        raise
    except CutShortError as error:
        raise TruncatedAudioError(path, f"was cut short ({error})", "copy or download it again") from error
    except Exception as error:  # decoders raise anything on odd bytes, IndexError included
        raise damaged(path, error) from error


def _open(path: Path) -> Source:
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):
            raise UnreadableAudioError(path, "is a folder or a device, not a file", "name an audio file")
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(path, "no such file", "check the path") from error
    except PermissionError as error:
        raise UnreadableAudioError(path, "may not be read", "check its permissions") from error
    try:
        if status.st_size == 0:
            raise EmptyAudioError(path, "is an empty file", "copy or download it again")
        return _open_container(path, file)
    except BaseException:
        file.close()
        raise


def _open_container(path: Path, file: BinaryIO) -> Source:
    """Look at what the file holds before a decoder does: its header may be wrong, and decoders believe it."""
    start = file.read(4)
    if start == b"OggS":
        return _OggSource(path, file)
    if start == b"RIFF" and (longer := wav_with_its_length(file)):
        return _open_stream(path, longer)
    if not start.startswith((b"RIFF", b"fLaC", b"FORM")) and (
        mp3 := walk_mp3(file, junk=path.suffix.lower() == ".mp3")
    ):
        if not mp3.uniform:
            return AvSource(path, file, "its sampling rate or channel count changes")
        if mp3.header_is_wrong:
            return _open_stream(path, mp3_with_its_length(file, mp3))
    return _open_stream(path, file)


def _open_stream(path: Path, file: BinaryIO | View) -> SoundFileSource | AvSource:
    """A file, or a view of one, by the decoder that reads it."""
    # By name where possible: that is faster, and names that are not UTF-8 go as the system's bytes.
    name = path if os.name == "nt" else os.fsencode(path)
    try:
        sound = soundfile.SoundFile(file if isinstance(file, View) else name)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: an ending of headerless formats, like .raw
        return AvSource(path, file, str(getattr(error, "error_string", "a headerless format")))
    if sound.frames > _UNKNOWN_FRAMES:
        sound.close()
        return AvSource(path, file, "its length is unknown")
    return SoundFileSource(path, file, sound)


class _OggSource:
    """The streams that follow each other in an Ogg file, at the first one's rate and channel count."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._file, self._links = file, ogg_links(file)
        self._parts: list[SoundFileSource | AvSource] = []
        try:
            if len(self._links) == 1:
                self._parts.append(_open_stream(path, file))
            else:
                for link in self._links:
                    self._parts.append(_open_stream(path, View(b"", path.open("rb"), link.first, link.last)))
        except BaseException:
            self.close()
            raise
        infos = [part.info for part in self._parts]
        rate = infos[0].sample_rate
        frames = sum(round(info.frames * rate / info.sample_rate) for info in infos)
        self.info = audio_info(path, rate, infos[0].channels, frames, infos[0].format)

    def blocks(self, frames: int) -> Iterator[FloatArray]:
        for link in self._links:
            check_ogg(self._file, link)
        for part in self._parts:
            yield from self._alike(part, frames)

    def _alike(self, part: SoundFileSource | AvSource, frames: int) -> Iterator[FloatArray]:
        rate, channels = part.info.sample_rate, self.info.channels
        blocks = (with_channels(block, channels) for block in part.blocks(frames))
        if rate == self.info.sample_rate:
            yield from blocks
            return
        resampler = soxr.ResampleStream(rate, self.info.sample_rate, channels, dtype="float32")
        yield from (resampler.resample_chunk(block) for block in blocks)
        yield resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True)

    def read(self, start: int, frames: int) -> FloatArray:
        if len(self._parts) == 1:
            return self._parts[0].read(start, frames)
        return _stretch(self.blocks(_BLOCK), self.info.channels, start, frames)

    def close(self) -> None:
        for part in self._parts:
            part.close()
        self._file.close()


_BLOCK = 1 << 18  # frames


def _stretch(blocks: Iterator[FloatArray], channels: int, start: int, frames: int) -> FloatArray:
    """Part of what is decoded from its beginning."""
    parts, place = [np.zeros((0, channels), np.float32)], 0
    for block in blocks:
        parts.append(block[max(0, start - place) : max(0, start + frames - place)])
        place += block.shape[0]
        if place >= start + frames:
            break
    return np.concatenate(parts)


Source = SoundFileSource | AvSource | _OggSource
