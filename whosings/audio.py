"""The only decoder: any format, any channel count, to float32 at 16 kHz.

Conventions
-----------
- A waveform is a float32 array of shape (channels, samples), 1 or 2 channels, nominal range -1 to 1 (lossy formats may
  overshoot), at ``SAMPLE_RATE``.
- Channels: to 1 channel, all channels are averaged; to 2 channels, mono is duplicated, stereo kept, and more than two
  are averaged and duplicated (surround layouts are not told apart).
- Times are seconds from the first sample of the file as decoded from its beginning.
- WAV, FLAC, MP3, OGG/Opus and AIFF are read by libsndfile; M4A/AAC, Matroska, WMA and more by FFmpeg through PyAV (the
  ``m4a`` extra). M4A is cut to the length its header states. Streams without length and index (ADTS; MP3 of varying
  bit rate without a Xing header, where PyAV is there to count it) are decoded from their start.
- ``read_segment`` seeks: it decodes only the segment and a margin, and agrees with the same samples of a whole-file
  decode. Largest deviation at full scale 1, of any format: 1e-6 (measured: 4e-7, the resampler's rounding). The one
  exception: an AAC encoder may code a band as "noise", which FFmpeg draws anew on every decode.
- Whatever is wrong with a file, the error is an ``AudioError``. A file that was cut off is told apart where its header
  states a length; MP3 without such a header, OGG and raw AAC are then merely shorter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import chain, islice
from math import gcd, inf
from pathlib import Path
from stat import S_ISREG
from typing import Any, Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from whosings.errors import (
    AudioError,
    EmptyAudioError,
    MissingFileError,
    NonFiniteAudioError,
    TooLongError,
    TruncatedAudioError,
    UnreadableAudioError,
)
from whosings.files import atomic

SAMPLE_RATE = 16_000
"""Hz; every waveform in this package (paper, section 4.1)."""

MAX_DURATION_S = 4 * 3600.0
"""Longest file that is decoded whole; keeps memory under a gigabyte a channel."""

AUDIO_ENDINGS = frozenset(
    [".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".mp4", ".aif", ".aiff", ".aifc"]
)
"""Endings taken for audio when a folder is searched; a file named outright may have any."""

Channels = Literal[1, 2]
FloatArray = NDArray[np.float32]

_BLOCK_S = 30.0  # seconds decoded at a time
_BLOCK_VALUES = 1 << 24  # and never more than this, whatever rate and channel count a header claims
_MARGIN_S = 0.25  # seconds decoded around a segment, for the resampling filter and the codec's memory
_TRUNCATION_TOLERANCE_S = 1.0  # MP3 headers may overstate by an encoder's padding
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


@dataclass(frozen=True)
class Segment:
    """A stretch of one track: its samples and where they come from travel together.

    Attributes:
        samples: float32 (channels, samples) at ``SAMPLE_RATE``.
        start_s: start in the track, in seconds.
        track_id: the track it belongs to; the file's path unless a manifest names it.
    """

    samples: FloatArray
    start_s: float
    track_id: str

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return int(self.samples.shape[1]) / SAMPLE_RATE

    def cut(self, start_s: float, duration_s: float) -> Segment:
        """The part that begins ``start_s`` seconds into this one, at most ``duration_s`` long."""
        first = round(start_s * SAMPLE_RATE)
        samples = self.samples[:, first : first + round(duration_s * SAMPLE_RATE)]
        return replace(self, samples=samples, start_s=self.start_s + start_s)


def probe(path: str | Path) -> AudioInfo:
    """Read a file's header.

    Raises:
        MissingFileError, EmptyAudioError, UnreadableAudioError: the file cannot be used; the message says why.
    """
    with _opened(path) as source:
        return source.info


def load(path: str | Path, channels: Channels = 1, track_id: str | None = None) -> Segment:
    """Decode a whole file, block by block, so that memory is bounded by the 16-kHz result.

    Raises:
        AudioError: a subclass says why: missing, empty, unreadable, truncated, too long, NaN.
    """
    with _opened(path) as source:
        _check_duration(source.info, source.info.frames)
        rate = source.info.sample_rate
        resampler = soxr.ResampleStream(rate, SAMPLE_RATE, channels, dtype="float32") if rate != SAMPLE_RATE else None
        parts = [np.zeros((0, channels), np.float32)]
        frames = 0
        for block in source.blocks(min(round(_BLOCK_S * rate), _BLOCK_VALUES // source.info.channels)):
            frames += block.shape[0]
            _check_duration(source.info, frames)
            mixed = _mix(block, channels)
            parts.append(mixed if resampler is None else resampler.resample_chunk(mixed))
        if resampler is not None:
            parts.append(resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True))
        _check_length(source.info, frames)
        return _segment(np.concatenate(parts), 0.0, path, track_id)


def read_segment(
    path: str | Path, start_s: float, duration_s: float, channels: Channels = 1, track_id: str | None = None
) -> Segment:
    """Decode one segment without decoding the file from its start.

    The result has exactly ``round(duration_s * SAMPLE_RATE)`` samples, fewer only where the file ends.

    Args:
        start_s: seconds from the beginning of the file.
        duration_s: seconds.

    Raises:
        AudioError: as ``load``; also when the segment begins at or after the end of the file.
    """
    with _opened(path) as source:
        return _read_segment(source, start_s, duration_s, channels, track_id)


def random_segment(
    path: str | Path,
    duration_s: float,
    rng: np.random.Generator,
    channels: Channels = 1,
    track_id: str | None = None,
) -> Segment:
    """Decode one segment at a uniformly random place; the whole file where it is no longer than ``duration_s``."""
    with _opened(path) as source:
        spare = source.info.frames * SAMPLE_RATE // source.info.sample_rate - _count(source.info, 0.0, duration_s)
        first = int(rng.integers(max(0, spare) + 1))  # a whole sample, so that rounding never reaches past the end
        return _read_segment(source, first / SAMPLE_RATE, duration_s, channels, track_id)


def write_flac(path: str | Path, samples: FloatArray) -> None:
    """Write (channels, samples) at ``SAMPLE_RATE`` as 16-bit FLAC, whole or not at all; beyond -1 to 1 it clips."""
    with atomic(path) as beside:
        soundfile.write(beside, samples.T, SAMPLE_RATE, format="FLAC")


def _read_segment(
    source: _Source, start_s: float, duration_s: float, channels: Channels, track_id: str | None
) -> Segment:
    info = source.info
    count = _count(info, start_s, duration_s)
    first = round(min(start_s, info.duration_s + _TRUNCATION_TOLERANCE_S) * SAMPLE_RATE)
    # Both rates share a grid of `step_in` native frames = `step_out` output samples. Reading from a grid point keeps
    # the resampler's phase, so that the segment is sample-exact with a whole-file decode.
    divisor = gcd(info.sample_rate, SAMPLE_RATE)
    step_in, step_out = info.sample_rate // divisor, SAMPLE_RATE // divisor
    margin = round(_MARGIN_S * SAMPLE_RATE) if info.sample_rate != SAMPLE_RATE else 0
    grid = max(0, first - margin) // step_out
    skip = first - grid * step_out
    frames = -(-(skip + count + margin) // step_out) * step_in
    native = source.read(grid * step_in, frames)
    if native.shape[0] < frames:
        _check_length(info, grid * step_in + native.shape[0])
    mixed = _mix(native, channels)
    if info.sample_rate != SAMPLE_RATE:
        mixed = soxr.resample(mixed, info.sample_rate, SAMPLE_RATE)
    samples = mixed[skip : skip + count]
    if samples.shape[0] == 0 < first:
        raise AudioError(
            info.path, f"ends at {info.duration_s:.2f} s, before {start_s:g} s", "ask for an earlier segment"
        )
    return _segment(samples, first / SAMPLE_RATE, info.path, track_id)


def _count(info: AudioInfo, start_s: float, duration_s: float) -> int:
    """Samples of a segment, refusing what is none."""
    if not (0 <= start_s < inf and 0 < duration_s <= MAX_DURATION_S) or round(duration_s * SAMPLE_RATE) == 0:
        raise AudioError(
            info.path, f"no segment at {start_s:g} s of {duration_s:g} s", "ask for a start >= 0, a length > 0"
        )
    return round(duration_s * SAMPLE_RATE)


def _segment(interleaved: FloatArray, start_s: float, path: str | Path, track_id: str | None) -> Segment:
    """Wrap (samples, channels) as a segment, refusing what no later stage can use."""
    if interleaved.shape[0] == 0:
        raise EmptyAudioError(path, "holds no samples", "replace the file")
    if not np.isfinite(interleaved).all():
        raise NonFiniteAudioError(path, "contains NaN or infinite samples", "export it again from its source")
    samples = np.ascontiguousarray(interleaved.T, dtype=np.float32)
    return Segment(samples, start_s, str(path) if track_id is None else track_id)


def _mix(block: FloatArray, channels: Channels) -> FloatArray:
    """(frames, any) -> (frames, channels); see the module's conventions."""
    if block.shape[1] == channels:
        return block
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused later, in a sentence
        mono = block.mean(axis=1, keepdims=True, dtype=np.float32)
    return mono if channels == 1 else np.repeat(mono, 2, axis=1)


def _check_length(info: AudioInfo, frames: int) -> None:
    missing_s = (info.frames - frames) / info.sample_rate
    if missing_s > _TRUNCATION_TOLERANCE_S:
        raise TruncatedAudioError(
            info.path,
            f"ends after {frames / info.sample_rate:.1f} s although its header promises {info.duration_s:.1f} s",
            "copy or download it again",
        )


def _check_duration(info: AudioInfo, frames: int) -> None:
    hours, limit = frames / info.sample_rate / 3600, MAX_DURATION_S / 3600
    if hours > limit:
        raise TooLongError(info.path, f"lasts {hours:.1f} hours, more than {limit:g}", "cut it into shorter files")


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
def _opened(path: str | Path) -> Iterator[_Source]:
    """An open file, closed at the end; what a decoder raises on bad data becomes an ``AudioError``."""
    path = Path(path)
    try:
        with closing(_open(path)) as source:
            yield source
    except (ArithmeticError, EOFError, MemoryError, OSError, RuntimeError, ValueError) as error:
        raise _damaged(path, error) from error


def _open(path: Path) -> _Source:
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
        guess_fits = abs(counted.info.duration_s - source.info.duration_s) < _TRUNCATION_TOLERANCE_S
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
        for position, samples in self._frames(max(0, start - round(_MARGIN_S * self.info.sample_rate))):
            parts.append(samples[max(0, start - position) : max(0, start + frames - position)])
            if position + samples.shape[0] >= start + frames:
                break
        return np.concatenate(parts)

    def close(self) -> None:
        self._container.close()


_Source = _SoundFileSource | _AvSource
