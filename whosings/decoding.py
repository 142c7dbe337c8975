"""Files as native samples: libsndfile for what it reads, FFmpeg through PyAV for the rest.

Only ``whosings.audio`` uses this module; its conventions hold here. A source is an open file that gives its header,
its blocks in order, and reads from any position; frames are native, (frames, channels).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from whosings.errors import AudioError, EmptyAudioError, MissingFileError, UnreadableAudioError

FloatArray = NDArray[np.float32]

MARGIN_S = 0.25
"""Seconds decoded around a segment, for the resampling filter and the codec's memory."""

TRUNCATION_TOLERANCE_S = 1.0
"""Seconds that a header may overstate the length; MP3 headers count an encoder's padding."""

_SAMPLE_RATES = range(1000, 768_001)  # Hz; anything else is a damaged header


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says.

    Attributes:
        duration_s: length in seconds.
        sample_rate: Hz, of the file itself.
        channels: channel count of the file itself.
        frames: samples a channel, of the file itself.
        format: container and codec, as the decoder names them.
    """

    path: Path
    duration_s: float
    sample_rate: int
    channels: int
    frames: int
    format: str


def _info(path: Path, rate: int, channels: int, frames: int, kind: str) -> AudioInfo:
    if rate not in _SAMPLE_RATES or channels < 1:
        raise _damaged(path, f"its header says {channels} channels at {rate} Hz")
    if frames <= 0:
        raise EmptyAudioError(path, "holds no samples", "replace the file")
    return AudioInfo(path, frames / rate, rate, channels, frames, kind)


def _damaged(path: Path, reason: object) -> UnreadableAudioError:
    for name in ("strerror", "error_string"):  # where FFmpeg and libsndfile put the sentence without the path
        reason = getattr(reason, name, reason)
    text = " ".join(str(reason).split()).rstrip(".")
    problem = f"is damaged or cut short ({text})" if text else "is damaged or cut short"
    return UnreadableAudioError(path, problem, "copy or download it again")


@contextmanager
def open_source(path: str | Path) -> Iterator[Source]:
    """An open file, closed at the end; what a decoder raises on bad data becomes an ``AudioError``."""
    path = Path(path)
    try:
        with closing(_open(path)) as source:
            yield source
    except (ArithmeticError, EOFError, MemoryError, OSError, RuntimeError, ValueError) as error:
        raise _damaged(path, error) from error


def _open(path: Path) -> Source:
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):
            raise UnreadableAudioError(path, "is a folder or a device, not a file", "name an audio file")
        path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(path, "no such file", "check the path") from error
    except PermissionError as error:
        raise UnreadableAudioError(path, "may not be read", "check its permissions") from error
    if status.st_size == 0:
        raise EmptyAudioError(path, "is an empty file", "copy or download it again")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: an ending of headerless formats, like .raw
        return _AvSource(path, str(getattr(error, "error_string", "a headerless format")))
    if file.frames > _UNKNOWN_FRAMES:
        file.close()
        return _AvSource(path, "its length is unknown")
    source = _SoundFileSource(path, file)
    if file.format == "MP3" and not _mp3_states_length(path) and find_spec("av"):
        # libsndfile guesses the length from the first frame's bit rate and stops there: far off if the rate varies.
        try:
            counted = _AvSource(path, "its length is unknown")
        except AudioError:
            return source
        guess_fits = abs(counted.info.duration_s - source.info.duration_s) < TRUNCATION_TOLERANCE_S
        (counted if guess_fits else source).close()
        return source if guess_fits else counted
    return source


def _mp3_states_length(path: Path) -> bool:
    """Whether the first frame after an ID3 tag is the header that encoders put there."""
    with path.open("rb") as file:
        start = file.read(10)
        size = sum(byte << shift for byte, shift in zip(start[6:], (21, 14, 7, 0), strict=False))
        file.seek(10 + size if start.startswith(b"ID3") else 0)
        first = file.read(2048)
    return b"Xing" in first or b"Info" in first


_UNKNOWN_FRAMES = 1 << 62  # libsndfile's length of a FLAC stream that states none
_MP3_LEAD = 1152 * 12  # frames that may hold bits of a later one (the reservoir)
_VORBIS_TAIL_S = 9.0  # libsndfile misplaces seeks into the last OGG page, which holds at most 255 packets
_CUT_CHUNK = re.compile(r"(?:data|SSND) : (\d+) \(should be (\d+)\)")
_STREAMED_BYTES = 0x7FFF_0000  # chunk sizes from here on mean "unknown" to programs that write to a pipe


class _SoundFileSource:
    """WAV, FLAC, MP3, OGG and AIFF. Blocks and reads hold native frames, (frames, channels)."""

    def __init__(self, path: Path, file: Any) -> None:
        self._file = file
        frames = file.frames
        # libsndfile silently clips the length of a WAV or AIFF that was cut off; its log tells.
        cut = _CUT_CHUNK.search(file.extra_info)
        if cut and 0 < int(cut[2]) < int(cut[1]) < _STREAMED_BYTES:
            frames = round(frames * int(cut[1]) / int(cut[2]))
        try:
            self.info = _info(path, file.samplerate, file.channels, frames, f"{file.format}/{file.subtype}")
        except AudioError:
            file.close()
            raise

    def blocks(self, frames: int) -> Iterator[FloatArray]:
        while (block := self._read(frames)).shape[0]:
            yield block

    def read(self, start: int, frames: int) -> FloatArray:
        start = min(start, self._file.frames)
        begin = start
        if self._file.format == "MP3":
            begin = max(0, start - _MP3_LEAD)
        elif self._file.subtype == "VORBIS":
            tail = self._file.frames - round(_VORBIS_TAIL_S * self.info.sample_rate)
            begin = min(start, max(0, tail))
        self._file.seek(begin)
        return self._read(start - begin + frames)[start - begin :]

    def _read(self, frames: int) -> FloatArray:
        block: FloatArray = self._file.read(frames, dtype="float32", always_2d=True)
        return block

    def close(self) -> None:
        self._file.close()


_AV_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,tak,tta,wav,wv"
)
"""FFmpeg's other formats are refused: playlists among them would make it open further files."""


class _AvSource:
    """M4A/AAC and the rest, through PyAV. Positions are counted from the first sample of a whole-file decode."""

    def __init__(self, path: Path, sndfile_says: str) -> None:
        try:
            import av
        except ImportError:
            raise UnreadableAudioError(
                path,
                f"is not audio that libsndfile can read ({sndfile_says.rstrip('.')})",
                "check the file, or for M4A/AAC run: pip install 'whosings[m4a]'",
            ) from None
        self._av = av
        options = {"protocol_whitelist": "file", "format_whitelist": _AV_FORMATS}
        try:
            self._container: Any = av.open(str(path.absolute()), options=options, metadata_errors="ignore")
        except (av.FFmpegError, ValueError) as error:
            raise self._unknown(path) from error
        try:
            self._inspect(path)
        except Exception as error:  # whatever FFmpeg makes of odd bytes
            self._container.close()
            raise error if isinstance(error, AudioError) else self._unknown(path) from error

    @staticmethod
    def _unknown(path: Path) -> UnreadableAudioError:
        return UnreadableAudioError(path, "is not audio in any known format, or was cut short", "check the file")

    def _inspect(self, path: Path) -> None:
        streams: Any = [s for s in self._container.streams.audio if s.codec_context is not None]
        if not streams:
            raise UnreadableAudioError(path, "holds no audio that FFmpeg can decode", "name an audio file")
        self._stream = streams[0]
        kind, rate, channels = self._container.format.name, self._stream.rate or 0, self._stream.channels
        self._indexed = kind.startswith(("mov", "matroska", "asf"))
        self._exact = kind.startswith("mov") and self._stream.duration is not None
        if self._exact:
            duration = self._stream.duration * self._stream.time_base
        elif self._indexed:
            duration = (self._container.duration or 0) / 1e6
        else:  # FFmpeg would guess it from the bit rate
            duration = sum((p.duration or 0) * p.time_base for p in self._container.demux(self._stream) if p.size)
            self._container.seek(0)
        codec = self._stream.codec_context.name
        self.info = _info(path, rate, channels, round(duration * rate), f"{kind}/{codec}")

    def _decoded(self, start: int) -> Iterator[tuple[int, Any]]:
        """(position, FFmpeg frame) from near ``start`` on; leading encoder delay has negative positions."""
        rate, time_base = self.info.sample_rate, self._stream.time_base
        decoding = self._container.decode(self._stream)
        head = list(islice(decoding, 2))
        opening = round((head[0].pts or 0) * time_base * rate) if head else 0
        origin, position = max(0, opening), min(0, opening)
        if start > 0 and self._indexed and len(head) == 2:
            self._container.seek(int((start + origin) / rate / time_base), stream=self._stream, backward=True)
            decoding = self._container.decode(self._stream)
            # Time stamps in milliseconds are too coarse; frames of one size say where this one really begins.
            grid, size = position + head[0].samples, head[1].samples
            head = list(islice(decoding, 1))
            if not head or head[0].pts is None:
                return
            position = round(head[0].pts * time_base * rate) - origin
            if time_base * rate > 1:
                position = grid + round((position - grid) / size) * size
        for frame in chain(head, decoding):
            yield position, frame
            position += frame.samples

    def _frames(self, start: int = 0) -> Iterator[tuple[int, FloatArray]]:
        """(position, samples) from near native frame ``start`` on."""
        resampler = self._av.AudioResampler(format="fltp", rate=self.info.sample_rate)
        try:
            for position, decoded in self._decoded(start):
                for frame in resampler.resample(decoded):
                    samples = frame.to_ndarray().T.astype(np.float32, copy=False)
                    if samples.shape[1] != self.info.channels:
                        raise _damaged(self.info.path, "its channel count changes")
                    yield position, samples[: max(0, self.info.frames - position)] if self._exact else samples
        except self._av.FFmpegError as error:
            raise _damaged(self.info.path, error) from error

    def blocks(self, frames: int) -> Iterator[FloatArray]:
        held: list[FloatArray] = []
        count = 0
        for position, samples in self._frames():
            held.append(samples[max(0, -position) :])
            count += held[-1].shape[0]
            if count >= frames:
                yield np.concatenate(held)
                held, count = [], 0
        if held:
            yield np.concatenate(held)

    def read(self, start: int, frames: int) -> FloatArray:
        parts = [np.zeros((0, self.info.channels), np.float32)]
        for position, samples in self._frames(max(0, start - round(MARGIN_S * self.info.sample_rate))):
            parts.append(samples[max(0, start - position) : max(0, start + frames - position)])
            if position + samples.shape[0] >= start + frames:
                break
        return np.concatenate(parts)

    def close(self) -> None:
        self._container.close()


Source = _SoundFileSource | _AvSource
