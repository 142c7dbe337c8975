"""The only decoder: any format, any channel count, to float32 at 16 kHz.

Conventions
-----------
- A waveform is a float32 array of shape (channels, samples), 1 or 2 channels, nominal range -1 to 1 (lossy formats may
  overshoot), at ``SAMPLE_RATE``.
- Channels: to 1 channel, all channels are averaged; to 2 channels, mono is duplicated, stereo kept, and more than two
  are averaged and duplicated (surround layouts are not told apart). Where channels cancel each other (opposite phase),
  the first of them stands for their mean: in tenths of a second in which the mean is 30 dB below the channels.
- Times are seconds from the first sample of the file as decoded from its beginning.
- WAV, FLAC, MP3, OGG/Opus and AIFF are read by libsndfile; M4A/AAC, Matroska, WMA and more by FFmpeg through PyAV (the
  ``m4a`` extra). M4A is cut to the length its header states. What an MP3's frames, an Ogg's pages and a WAV's size say
  counts for more than a header: files joined to one are heard to their end, at the first one's rate.
- ``read_segment`` agrees with the same samples of a whole-file decode. It seeks in PCM, FLAC, MP3, OGG/Opus, AAC and
  ALAC, and decodes only the segment and a margin; other codecs, and streams without an index (ADTS), are decoded from
  their start. Largest deviation at full scale 1, of any format: 1e-6 (measured: 4e-7, the resampler's rounding). The
  one exception: an AAC encoder may code a band as "noise", which FFmpeg draws anew on every decode.
- Whatever is wrong with a file, the error is an ``AudioError``. A file that was cut off is told apart where its header
  states a length or its last Ogg page is not whole; other MP3 and raw AAC are then merely shorter. An MP3 or Ogg with
  a gap or with damage in its middle is refused. An Ogg without an end-of-stream mark is not: broadcasts have none.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import gcd, inf
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import soxr

from whosings.containers import ogg_checksum
from whosings.decoders import MARGIN_S, TRUNCATION_TOLERANCE_S
from whosings.decoders import AudioInfo as AudioInfo
from whosings.decoders import FloatArray as FloatArray
from whosings.decoding import Source, open_source
from whosings.errors import (
    AudioError,
    EmptyAudioError,
    NonFiniteAudioError,
    TooLongError,
    TooShortError,
    TruncatedAudioError,
)
from whosings.files import atomic, write_atomic
from whosings.progress import Progress, silent, stage
from whosings.safe_text import encodable

SAMPLE_RATE = 16_000
"""Hz; every waveform in this package (paper, section 4.1)."""

MAX_DURATION_S = 4 * 3600.0
"""Longest file that is decoded whole; about a gigabyte a channel, and twice that while it is put together."""

MIN_DURATION_S = 1.0
"""Shortest recording that is of any use, in seconds."""

AUDIO_ENDINGS = frozenset(
    [".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".mp4", ".aif", ".aiff", ".aifc"]
)
"""Endings taken for audio when a folder is searched; a file named outright may have any."""

Channels = Literal[1, 2]

_OPUS_LEVEL = 0.75  # about 64 kbit/s a channel
_BLOCK_S = 30.0  # seconds decoded at a time
_CANCELLED = 1e-3  # the mean's power against the channels': channels of opposite phase
_AUDIBLE = 1e-6  # mean square
_BLOCK_VALUES = 1 << 24  # and never more than this, whatever rate and channel count a header claims


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
    with open_source(path) as source:
        return source.info


def load(path: str | Path, channels: Channels = 1, track_id: str | None = None) -> Segment:
    """Decode a whole file, block by block, so that memory is bounded by the 16-kHz result.

    Raises:
        AudioError: a subclass says why: missing, empty, unreadable, truncated, too long, NaN.
    """
    with open_source(path) as source:
        parts = [np.zeros((0, channels), np.float32), *_decoded(source, SAMPLE_RATE, channels, _BLOCK_S)]
        return _segment(np.concatenate(parts), 0.0, path, track_id)


def blocks(
    path: str | Path,
    sample_rate: int = SAMPLE_RATE,
    channels: Channels = 1,
    block_s: float = _BLOCK_S,
    progress: Progress = silent,
) -> Iterator[FloatArray]:
    """Decode a file from its start, at any rate, in memory bounded by one block.

    At ``SAMPLE_RATE`` the blocks joined are what ``load`` returns.

    Args:
        sample_rate: Hz, of the result.
        block_s: seconds decoded at a time; blocks differ in length by what the resampler holds back.
        progress: is told of every minute.

    Yields:
        float32 (channels, samples), never empty.

    Raises:
        AudioError: as ``load``; what is wrong far into a file is found when that place is reached.
    """
    with (
        open_source(path) as source,
        stage(progress, f"decoding {Path(path).name}", int(source.info.duration_s // 60)) as step,
    ):
        total = 0
        for block in _decoded(source, sample_rate, channels, block_s):
            if not np.isfinite(block).all():
                raise _not_finite(path)
            total += block.shape[0]
            step(total // sample_rate // 60)
            if block.shape[0]:
                yield np.ascontiguousarray(block.T)
        if total == 0:
            raise _empty(path)


def resampled(
    parts: Iterable[FloatArray], sample_rate: int, to_rate: int = SAMPLE_RATE, channels: Channels = 1
) -> Iterator[FloatArray]:
    """Bring a stream of (channels, samples) from one rate to another, without a delay."""
    for part in _resampled((np.ascontiguousarray(part.T) for part in parts), sample_rate, to_rate, channels):
        if part.shape[0]:
            yield np.ascontiguousarray(part.T)


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
    with open_source(path) as source:
        return _read_segment(source, start_s, duration_s, channels, track_id)


def random_segment(
    path: str | Path,
    duration_s: float,
    rng: np.random.Generator,
    channels: Channels = 1,
    track_id: str | None = None,
) -> Segment:
    """Decode one segment at a uniformly random place; the whole file where it is no longer than ``duration_s``."""
    with open_source(path) as source:
        spare = source.info.frames * SAMPLE_RATE // source.info.sample_rate - _count(source.info, 0.0, duration_s)
        first = int(rng.integers(max(0, spare) + 1))  # a whole sample, so that rounding never reaches past the end
        return _read_segment(source, first / SAMPLE_RATE, duration_s, channels, track_id)


def write_flac(path: str | Path, samples: FloatArray) -> None:
    """Write (channels, samples) at ``SAMPLE_RATE`` as 16-bit FLAC, whole or not at all; beyond -1 to 1 it clips."""
    with flac_writer(path, samples.shape[0]) as write:
        write(samples)


def write_opus(path: str | Path, samples: FloatArray) -> None:
    """Write (channels, samples) at ``SAMPLE_RATE`` as Opus, whole or not at all; one input gives one file."""
    coded = io.BytesIO()
    with soundfile.SoundFile(
        coded, "w", SAMPLE_RATE, samples.shape[0], "OPUS", format="OGG", compression_level=_OPUS_LEVEL
    ) as file:
        # In blocks: libsndfile's Ogg encoders overflow the stack when given minutes at once.
        for first in range(0, samples.shape[1], SAMPLE_RATE):
            file.write(samples.T[first : first + SAMPLE_RATE])
    write_atomic(path, _same_serial(coded.getvalue()))


def refuse_short(subject: str | Path, duration_s: float, remedy: str = "use a longer recording") -> None:
    """Raise ``TooShortError`` for a recording under ``MIN_DURATION_S``."""
    if duration_s < MIN_DURATION_S:
        raise TooShortError(subject, f"lasts {duration_s:.2f} s, less than {MIN_DURATION_S:g}", remedy)


@contextmanager
def flac_writer(path: str | Path, channels: int = 1) -> Iterator[Callable[[FloatArray], None]]:
    """What to call with each (channels, samples) block in turn; the file is as ``write_flac`` makes it, or not there.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
    """
    with atomic(path) as beside, _Output(beside, "w") as output:
        try:
            # The lowest level: 2 % larger than the default's files, and decoded a quarter faster.
            with soundfile.SoundFile(
                output, "w", SAMPLE_RATE, channels, "PCM_16", format="FLAC", compression_level=0.0
            ) as file:
                yield lambda block: file.write(block.T)
        finally:
            if output.failure is not None:
                raise output.failure


class _Output(io.FileIO):
    """A file that remembers why it could not be written: libsndfile does not, and ignores failures at the end."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        written, view = 0, memoryview(data)
        try:
            while self.failure is None and written < len(view):
                written += super().write(view[written:])
        except OSError as error:
            self.failure = error
        return written


def _decoded(source: Source, sample_rate: int, channels: Channels, block_s: float) -> Iterator[FloatArray]:
    """A whole file in blocks of (samples, channels) at ``sample_rate``."""
    info = source.info
    _check_duration(info, info.frames)
    frames, cell = 0, _cell(info)

    def mixed() -> Iterator[FloatArray]:
        nonlocal frames
        rest = np.zeros((0, info.channels), np.float32)
        for block in source.blocks(max(1, min(round(block_s * info.sample_rate), _BLOCK_VALUES // info.channels))):
            frames += block.shape[0]
            _check_duration(info, frames)
            if info.channels in (1, channels):
                yield _mix(block, channels, cell)
                continue
            block = np.concatenate([rest, block]) if rest.shape[0] else block
            whole = block.shape[0] // cell * cell
            rest = block[whole:]
            yield _mix(block[:whole], channels, cell)
        yield _mix(rest, channels, cell)

    yield from _resampled(mixed(), info.sample_rate, sample_rate, channels)
    _check_length(info, frames)


def _resampled(parts: Iterable[FloatArray], rate: int, to_rate: int, channels: Channels) -> Iterator[FloatArray]:
    """The same for (samples, channels); a block may be empty."""
    if rate == to_rate:
        yield from parts
        return
    resampler = soxr.ResampleStream(rate, to_rate, channels, dtype="float32")
    for part in parts:
        yield resampler.resample_chunk(part)
    yield resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True)


def _read_segment(
    source: Source, start_s: float, duration_s: float, channels: Channels, track_id: str | None
) -> Segment:
    info = source.info
    count = _count(info, start_s, duration_s)
    first = round(min(start_s, info.duration_s + TRUNCATION_TOLERANCE_S) * SAMPLE_RATE)
    # Both rates share a grid of `step_in` native frames = `step_out` output samples. Reading from a grid point keeps
    # the resampler's phase, so that the segment is sample-exact with a whole-file decode.
    divisor = gcd(info.sample_rate, SAMPLE_RATE)
    step_in, step_out = info.sample_rate // divisor, SAMPLE_RATE // divisor
    margin = round(MARGIN_S * SAMPLE_RATE) if info.sample_rate != SAMPLE_RATE else 0
    grid = max(0, first - margin) // step_out
    skip = first - grid * step_out
    frames = -(-(skip + count + margin) // step_out) * step_in
    cell = _cell(info) if info.channels not in (1, channels) else 1
    lead = grid * step_in % cell
    native = source.read(grid * step_in - lead, -(-(lead + frames) // cell) * cell)
    if native.shape[0] < lead + frames:
        _check_length(info, grid * step_in - lead + native.shape[0])
    mixed = _mix(native, channels, cell)[lead : lead + frames]
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
        raise _empty(path)
    if not np.isfinite(interleaved).all():
        raise _not_finite(path)
    samples = np.ascontiguousarray(interleaved.T, dtype=np.float32)
    return Segment(samples, start_s, encodable(path) if track_id is None else track_id)


def _empty(path: str | Path) -> EmptyAudioError:
    return EmptyAudioError(path, "holds no samples", "replace the file")


def _not_finite(path: str | Path) -> NonFiniteAudioError:
    return NonFiniteAudioError(path, "contains NaN or infinite samples", "export it again from its source")


def _cell(info: AudioInfo) -> int:
    """Native frames, counted from the file's first, for which it is decided together whether channels cancel."""
    return max(1, info.sample_rate // 10)


def _mix(block: FloatArray, channels: Channels, cell: int) -> FloatArray:
    """(frames, any) -> (frames, channels); see the module's conventions. The block begins with a cell."""
    if block.shape[1] == channels:
        return block
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused later, in a sentence
        # A matrix product: the mean along a short axis takes ten times as long.
        mono = block @ np.full((block.shape[1], 1), 1 / block.shape[1], np.float32)
        if block.shape[1] > 1:
            starts = np.arange(0, block.shape[0], cell)
            level, left = (np.add.reduceat(np.einsum("ij,ij->i", x, x), starts) for x in (block, mono))
            audible = level > _AUDIBLE * block.shape[1] * cell
            for start in starts[audible & (left < _CANCELLED * level / block.shape[1])]:
                mono[start : start + cell] = block[start : start + cell, :1]
    return mono if channels == 1 else np.repeat(mono, 2, axis=1)


def _check_length(info: AudioInfo, frames: int) -> None:
    missing_s = (info.frames - frames) / info.sample_rate
    if missing_s > TRUNCATION_TOLERANCE_S:
        raise TruncatedAudioError(
            info.path,
            f"ends after {frames / info.sample_rate:.1f} s although its header promises {info.duration_s:.1f} s",
            "copy or download it again",
        )


def _check_duration(info: AudioInfo, frames: int) -> None:
    hours, limit = frames / info.sample_rate / 3600, MAX_DURATION_S / 3600
    if hours > limit:
        raise TooLongError(info.path, f"lasts {hours:.1f} hours, more than {limit:g}", "cut it into shorter files")


def _same_serial(stream: bytes) -> bytes:
    """An Ogg stream with serial number 0, where libsndfile wrote a random one, and the pages' checksums to match."""
    out, at = bytearray(stream), 0
    while at < len(out):
        size = 27 + out[at + 26] + sum(out[at + 27 : at + 27 + out[at + 26]])
        out[at + 14 : at + 18] = out[at + 22 : at + 26] = bytes(4)
        out[at + 22 : at + 26] = ogg_checksum(bytes(out[at : at + size])).to_bytes(4, "little")
        at += size
    return bytes(out)
