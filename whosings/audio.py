"""The only decoder: any format, any channel count, to float32 at 16 kHz.

Conventions
-----------
- A waveform is a float32 array of shape (channels, samples), 1 or 2 channels, nominal range -1 to 1 (lossy formats may
  overshoot), at ``SAMPLE_RATE``.
- Channels: to 1 channel, all channels are averaged; to 2 channels, mono is duplicated, stereo kept, and more than two
  are averaged and duplicated (surround layouts are not told apart).
- Times are seconds from the first sample of the file as decoded from its beginning.
- WAV, FLAC, MP3, OGG/Opus and AIFF are read by libsndfile. M4A/AAC and whatever else FFmpeg knows are read by PyAV (the
  ``m4a`` extra).
- ``read_segment`` seeks: it decodes only the segment and a margin, and agrees with the same samples of a whole-file
  decode. Largest deviation at full scale 1, as the tests hold it: WAV, FLAC, AIFF 1e-6; OGG Vorbis and Opus 2e-3;
  MP3 1e-3; M4A/AAC 2e-3.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path
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

SAMPLE_RATE = 16_000
"""Hz; every waveform in this package (paper, section 4.1)."""

MAX_DURATION_S = 4 * 3600.0
"""Longest file that is decoded whole; keeps memory under a gigabyte a channel."""

AUDIO_ENDINGS = frozenset(".wav .flac .mp3 .ogg .oga .opus .m4a .aac .mp4 .aif .aiff .aifc".split())
"""Endings taken for audio when a folder is searched; a file named outright may have any."""

Channels = Literal[1, 2]
FloatArray = NDArray[np.float32]

_BLOCK_S = 30.0  # seconds decoded at a time
_MARGIN_S = 0.25  # seconds decoded around a segment, for the resampling filter and the codec's memory
_TRUNCATION_TOLERANCE_S = 1.0  # MP3 headers may overstate by an encoder's padding


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
        return self.samples.shape[1] / SAMPLE_RATE

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
    with closing(_open(path)) as source:
        return source.info


def load(path: str | Path, channels: Channels = 1, track_id: str | None = None) -> Segment:
    """Decode a whole file, block by block, so that memory is bounded by the 16-kHz result.

    Raises:
        AudioError: a subclass says why: missing, empty, unreadable, truncated, too long, NaN.
    """
    with closing(_open(path)) as source:
        if source.info.duration_s > MAX_DURATION_S:
            raise TooLongError(
                path, f"lasts {source.info.duration_s / 3600:.1f} hours, more than {MAX_DURATION_S / 3600:.0f}", "cut it into shorter files"
            )
        rate = source.info.sample_rate
        resampler = soxr.ResampleStream(rate, SAMPLE_RATE, channels, dtype="float32") if rate != SAMPLE_RATE else None
        parts: list[FloatArray] = []
        frames = 0
        for block in source.blocks(round(_BLOCK_S * rate)):
            frames += block.shape[0]
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
    with closing(_open(path)) as source:
        return _read_segment(source, start_s, duration_s, channels, track_id)


def random_segment(
    path: str | Path,
    duration_s: float,
    rng: np.random.Generator,
    channels: Channels = 1,
    track_id: str | None = None,
) -> Segment:
    """Decode one segment at a uniformly random place; the whole file where it is no longer than ``duration_s``."""
    with closing(_open(path)) as source:
        last = max(0.0, source.info.duration_s - duration_s)
        return _read_segment(source, float(rng.uniform(0.0, last)), duration_s, channels, track_id)


def _read_segment(
    source: _Source, start_s: float, duration_s: float, channels: Channels, track_id: str | None
) -> Segment:
    info = source.info
    if start_s < 0 or duration_s <= 0:
        raise AudioError(info.path, f"a segment at {start_s:g} s of {duration_s:g} s", "ask for a start >= 0 and a length > 0")
    first, count = round(start_s * SAMPLE_RATE), round(duration_s * SAMPLE_RATE)
    # Both rates share a grid of `step_in` native frames = `step_out` output samples. Reading from a grid point keeps
    # the resampler's phase, so that the segment is sample-exact with a whole-file decode.
    divisor = gcd(info.sample_rate, SAMPLE_RATE)
    step_in, step_out = info.sample_rate // divisor, SAMPLE_RATE // divisor
    margin = round(_MARGIN_S * SAMPLE_RATE) if info.sample_rate != SAMPLE_RATE else 0
    grid = max(0, first - margin) // step_out
    skip = first - grid * step_out
    frames = -(-(skip + count + margin) // step_out) * step_in
    native = source.read(grid * step_in, frames)
    mixed = _mix(native, channels)
    if info.sample_rate != SAMPLE_RATE:
        mixed = soxr.resample(mixed, info.sample_rate, SAMPLE_RATE)
    samples = mixed[skip : skip + count]
    if samples.shape[0] == 0:
        raise AudioError(
            info.path, f"no samples at {start_s:g} s (the file lasts {info.duration_s:.2f} s)", "ask for an earlier segment"
        )
    return _segment(samples, first / SAMPLE_RATE, info.path, track_id)


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


class _Source:
    """An open file: its header, blocks in order, and reads from any frame. Frames are native, (frames, channels)."""

    info: AudioInfo

    def blocks(self, frames: int) -> Iterator[FloatArray]:
        raise NotImplementedError

    def read(self, start: int, frames: int) -> FloatArray:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def _open(path: str | Path) -> _Source:
    path = Path(path)
    if not path.exists():
        raise MissingFileError(path, "no such file", "check the path")
    if path.is_dir():
        raise UnreadableAudioError(path, "is a folder", "name an audio file")
    if path.stat().st_size == 0:
        raise EmptyAudioError(path, "is an empty file", "copy or download it again")
    try:
        return _SoundFileSource(path)
    except soundfile.LibsndfileError as error:
        sndfile_says = str(error.error_string)
    return _AvSource(path, sndfile_says)


class _SoundFileSource(_Source):
    def __init__(self, path: Path) -> None:
        self._file = soundfile.SoundFile(path)
        rate, frames = self._file.samplerate, self._file.frames
        self.info = AudioInfo(
            path, frames / rate, rate, self._file.channels, frames, f"{self._file.format}/{self._file.subtype}"
        )
        if frames == 0:
            self.close()
            raise EmptyAudioError(path, "holds no samples", "replace the file")

    def blocks(self, frames: int) -> Iterator[FloatArray]:
        while True:
            block = self._read(frames)
            if block.shape[0] == 0:
                return
            yield block

    def read(self, start: int, frames: int) -> FloatArray:
        start = min(start, self.info.frames)
        if self._file.format == "MP3":
            # mpg123 needs the bit reservoir of earlier frames: begin some frames early and throw them away.
            lead = min(start, _MP3_LEAD)
            self._seek(start - lead)
            return self._read(frames + lead)[lead:]
        self._seek(start)
        return self._read(frames)

    def _seek(self, frame: int) -> None:
        try:
            self._file.seek(frame)
        except soundfile.LibsndfileError as error:
            raise _damaged(self.info.path, str(error.error_string)) from error

    def _read(self, frames: int) -> FloatArray:
        try:
            block: FloatArray = self._file.read(frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise _damaged(self.info.path, str(error.error_string)) from error
        return block

    def close(self) -> None:
        self._file.close()


_MP3_LEAD = 1152 * 12


class _AvSource(_Source):
    """M4A/AAC and the rest, through PyAV. Positions come from the packets' time stamps, never from counting."""

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
        try:
            self._container = av.open(str(path), metadata_errors="ignore")
        except (av.FFmpegError, ValueError) as error:
            raise UnreadableAudioError(path, "is not audio in any known format", "check the file") from error
        if not self._container.streams.audio:
            self._container.close()
            raise UnreadableAudioError(path, "holds no audio stream", "name an audio file")
        self._stream = self._container.streams.audio[0]
        rate, channels = self._stream.rate, self._stream.channels
        if self._stream.duration is not None and self._stream.time_base is not None:
            duration = float(self._stream.duration * self._stream.time_base)
        else:
            duration = (self._container.duration or 0) / 1e6
        self.info = AudioInfo(
            path, duration, rate, channels, round(duration * rate), f"{self._container.format.name}/{self._stream.codec_context.name}"
        )

    def _frames(self) -> Iterator[tuple[int, FloatArray]]:
        """(first native frame, samples) from the current position on; leading encoder delay has negative positions."""
        resampler = self._av.AudioResampler(format="fltp", rate=self.info.sample_rate)
        try:
            for decoded in self._container.decode(self._stream):
                position = 0 if decoded.pts is None else round(float(decoded.pts * decoded.time_base) * self.info.sample_rate)
                for frame in resampler.resample(decoded):
                    yield position, frame.to_ndarray().T.astype(np.float32, copy=False)
                    position += frame.samples
        except self._av.FFmpegError as error:
            raise _damaged(self.info.path, str(error)) from error

    def blocks(self, frames: int) -> Iterator[FloatArray]:
        held: list[FloatArray] = []
        count = 0
        for position, samples in self._frames():
            samples = samples[max(0, -position) :]
            held.append(samples)
            count += samples.shape[0]
            if count >= frames:
                yield np.concatenate(held)
                held, count = [], 0
        if held:
            yield np.concatenate(held)

    def read(self, start: int, frames: int) -> FloatArray:
        lead = round(_MARGIN_S * self.info.sample_rate)
        time_base: Any = self._stream.time_base
        target = max(0, start - lead) / self.info.sample_rate
        if start > lead:
            self._container.seek(int(target / float(time_base)), stream=self._stream, backward=True)
        result = np.zeros((frames, self.info.channels), np.float32)
        filled = 0
        for position, samples in self._frames():
            offset = position - start
            if offset >= frames:
                break
            here = samples[max(0, -offset) : frames - offset]
            at = max(0, offset)
            result[at : at + here.shape[0]] = here
            if here.shape[0]:
                filled = at + here.shape[0]
        return result[:filled]

    def close(self) -> None:
        self._container.close()


def _damaged(path: Path, decoder_says: str) -> UnreadableAudioError:
    return UnreadableAudioError(path, f"is damaged ({decoder_says.rstrip('.')})", "copy or download it again")
