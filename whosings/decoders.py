"""Files as native samples: libsndfile for what it reads, FFmpeg through PyAV for the rest.

A source is an open file that gives its header,
its blocks in order, and reads from any position; frames are native, (frames, channels).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from whosings.containers import STREAMED_BYTES, View, size_of
from whosings.errors import AudioError, EmptyAudioError, UnreadableAudioError

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


def audio_info(path: Path, rate: int, channels: int, frames: int, kind: str) -> AudioInfo:
    """A header that makes sense, or an ``AudioError``."""
    if rate not in _SAMPLE_RATES or channels < 1:
        raise damaged(path, f"its header says {channels} channels at {rate} Hz")
    if frames <= 0:
        raise EmptyAudioError(path, "holds no samples", "replace the file")
    return AudioInfo(path, frames / rate, rate, channels, frames, kind)


def damaged(path: Path, reason: object) -> UnreadableAudioError:
    """The error for a file that a decoder, or what looks at it before, gives up."""
    for name in ("strerror", "error_string"):  # where FFmpeg and libsndfile put the sentence without the path
        reason = getattr(reason, name, reason)
    text = " ".join(str(reason).split()).rstrip(".")
    problem = f"is damaged or cut short ({text})" if text else "is damaged or cut short"
    return UnreadableAudioError(path, problem, "copy or download it again")


_MP3_LEAD = 1152 * 12  # frames that may hold bits of a later one (the reservoir)
_VORBIS_TAIL_S = 9.0  # libsndfile misplaces seeks into the last OGG page, which holds at most 255 packets
_CUT_CHUNK = re.compile(r"(?:data|SSND) : (\d+) \(should be (\d+)\)")


class SoundFileSource:
    """WAV, FLAC, MP3, OGG and AIFF. Blocks and reads hold native frames, (frames, channels)."""

    def __init__(self, path: Path, opened: BinaryIO | View, file: Any) -> None:
        self._opened, self._file = opened, file
        frames = file.frames
        # libsndfile silently clips the length of a WAV or AIFF that was cut off; its log tells.
        cut = _CUT_CHUNK.search(file.extra_info)
        if cut and 0 < int(cut[2]) < int(cut[1]) < STREAMED_BYTES:
            frames = round(frames * int(cut[1]) / int(cut[2]))
        try:
            self.info = audio_info(path, file.samplerate, file.channels, frames, f"{file.format}/{file.subtype}")
        except AudioError:
            file.close()
            raise

    def blocks(self, frames: int) -> Iterator[FloatArray]:
        """The whole file, about ``frames`` frames at a time."""
        while (block := self._read(frames)).shape[0]:
            yield block

    def read(self, start: int, frames: int) -> FloatArray:
        """Frames from any position on; fewer where the file ends."""
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
        """Close the file."""
        self._file.close()
        self._opened.close()


_AV_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,tak,tta,wav,wv"
)
"""FFmpeg's other formats are refused: playlists among them would make it open further files."""


_SEEKABLE = frozenset({"aac", "alac", "mp3", "mp3float"})
"""Codecs whose frames have one size and a short memory; others are decoded from their start."""


class AvSource:
    """M4A/AAC and the rest, through PyAV. Positions are counted from the first sample of a whole-file decode."""

    def __init__(self, path: Path, file: BinaryIO | View, sndfile_says: str) -> None:
        self._opened: BinaryIO | View = file
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
            name = str(path.absolute())
            if isinstance(file, View) or not name.isascii():  # FFmpeg wants UTF-8, which not every name is
                file.seek(0)
                self._opened = file if isinstance(file, View) else View(b"", file, 0, size_of(file))
            source = self._opened if isinstance(self._opened, View) else name
            self._container: Any = av.open(source, options=options, metadata_errors="ignore")
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
        codec = self._stream.codec_context.name
        self._indexed = kind.startswith(("mov", "matroska", "asf"))
        self._seeks = self._indexed and codec in _SEEKABLE
        self._exact = kind.startswith("mov") and self._stream.duration is not None
        if self._exact:
            duration = self._stream.duration * self._stream.time_base
        elif self._indexed:
            duration = (self._container.duration or 0) / 1e6
        else:  # FFmpeg would guess it from the bit rate
            duration = sum((p.duration or 0) * p.time_base for p in self._container.demux(self._stream) if p.size)
            self._container.seek(0)
        self.info = audio_info(path, rate, channels, round(duration * rate), f"{kind}/{codec}")

    def _decoded(self, start: int) -> Iterator[tuple[int, Any]]:
        """(position, FFmpeg frame) from near ``start`` on; leading encoder delay has negative positions."""
        rate, time_base = self.info.sample_rate, self._stream.time_base
        decoding = self._container.decode(self._stream)
        head = list(islice(decoding, 2))
        opening = round((head[0].pts or 0) * time_base * rate) if head else 0
        origin, position = max(0, opening), min(0, opening)
        if start > 0 and self._seeks and len(head) == 2:
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
        place = None
        for position, samples in self._converted(start):
            place = position if place is None else place
            kept = samples[: max(0, self.info.frames - place)] if self._exact else samples
            yield place, with_channels(kept, self.info.channels)
            place += samples.shape[0]

    def _converted(self, start: int) -> Iterator[tuple[int, FloatArray]]:
        kind = None
        resampler: Any = None
        for position, decoded in self._decoded(start):
            ready: list[Any] = []
            if kind != (kind := (decoded.sample_rate, decoded.layout.name, decoded.format.name)):
                ready = resampler.resample(None) if resampler else []
                resampler = self._av.AudioResampler(format="fltp", rate=self.info.sample_rate)
            for frame in (*ready, *resampler.resample(decoded)):
                yield position, frame.to_ndarray().T.astype(np.float32, copy=False)

    def blocks(self, frames: int) -> Iterator[FloatArray]:
        """The whole file, about ``frames`` frames at a time."""
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
        """Frames from any position on; fewer where the file ends."""
        parts = [np.zeros((0, self.info.channels), np.float32)]
        for position, samples in self._frames(max(0, start - round(MARGIN_S * self.info.sample_rate))):
            parts.append(samples[max(0, start - position) : max(0, start + frames - position)])
            if position + samples.shape[0] >= start + frames:
                break
        return np.concatenate(parts)

    def close(self) -> None:
        """Close the file."""
        self._container.close()
        self._opened.close()


def with_channels(block: FloatArray, channels: int) -> FloatArray:
    """(frames, channels) where a file's channel count changes on its way: averaged and duplicated."""
    if block.shape[1] == channels:
        return block
    return np.repeat(block.mean(axis=1, keepdims=True), channels, axis=1)
