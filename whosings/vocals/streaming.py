"""Long files through a model in bounded memory: spans of singing, windows that overlap, cross-fades.

Only spans are run through the model, from a lead before each to a lead after it that is not kept; within a span,
windows lie as demucs lays them over a whole track. Between spans the vocals are zero; each span fades in and out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import inf

import numpy as np

from whosings.audio import FloatArray
from whosings.errors import SeparationError
from whosings.vocals.activity import PIECE_S, Activity
from whosings.vocals.separation_model import Separator, Windows

LEAD_S = 1.0
"""Seconds before and after a span that the model hears and that are not kept."""

FADE_S = 0.02
"""Seconds over which a span fades in and out."""

_SILENCE_S = 10.0  # a block of zeros


@dataclass(frozen=True)
class Span:
    """A stretch of a track, in seconds; ``stop_s`` may lie beyond its end."""

    start_s: float
    stop_s: float


WHOLE = (Span(0.0, inf),)
"""All of a track."""


def sung_spans(
    activity: Activity, threshold: float = 0.5, margin_s: float = 0.5, bridge_s: float = 3.0
) -> tuple[Span, ...]:
    """Stretches to separate: pieces at or above the threshold, with a margin; short gaps are filled.

    Args:
        threshold: probability from which a piece counts as sung.
        margin_s: seconds added on both sides, for notes that begin or end in a neighbouring piece.
        bridge_s: gaps up to this are separated too; less than two leads would cost more than it saves.
    """
    spans: list[Span] = []
    bridge_s = max(bridge_s, 2 * LEAD_S)
    for start_s in activity.start_s[activity.probability >= threshold].tolist():
        span = Span(max(0.0, start_s - margin_s), start_s + PIECE_S + margin_s)
        if spans and span.start_s - spans[-1].stop_s <= bridge_s:
            spans[-1] = Span(spans[-1].start_s, span.stop_s)
        else:
            spans.append(span)
    return tuple(spans)


class Tape:
    """A stream of blocks that can be read from any place that has not been forgotten.

    Args:
        blocks: (channels, samples) each, in order.
    """

    def __init__(self, blocks: Iterator[FloatArray]) -> None:
        self._blocks = blocks
        self._parts: list[FloatArray] = []
        self._first = self._reached = 0
        self.end = inf
        """Samples in all; infinite until the last block has been seen."""

    def fill(self, stop: float) -> None:
        """Decode until sample ``stop`` is there, or the end."""
        while self._reached < stop and self.end == inf:
            block = next(self._blocks, None)
            if block is None:
                self.end = self._reached
            else:
                self._parts.append(block)
                self._reached += block.shape[1]

    def read(self, start: int, stop: int) -> FloatArray:
        """A copy of samples ``start`` to ``stop``, fewer at the end; ``start`` must not be forgotten."""
        self.fill(stop)
        at, found = self._first, []
        for part in self._parts:
            found.append(part[:, max(0, start - at) : max(0, stop - at)])
            at += part.shape[1]
        return np.concatenate(found, axis=1) if found else np.zeros((1, 0), np.float32)

    def forget(self, before: int) -> None:
        """Drop blocks that end at or before this sample, decoding up to it if need be."""
        while True:
            while self._parts and self._first + self._parts[0].shape[1] <= before:
                self._first += self._parts.pop(0).shape[1]
            if self._reached >= before or self.end < inf:
                return
            self.fill(self._reached + 1)


@dataclass(frozen=True)
class _Window:
    """Samples (2, n) of the mixture from sample ``start`` on; ``final``: the run ends with it."""

    start: int
    samples: FloatArray
    final: bool


def vocals_of(mixture: Tape, separator: Separator, spans: tuple[Span, ...] = WHOLE) -> Iterator[FloatArray]:
    """The vocals of a whole track, as a stream of mono blocks.

    Args:
        mixture: stereo at the separator's rate.
        spans: in order, apart by at least two leads, as ``sung_spans`` gives them.

    Yields:
        float32 (1, samples) at the separator's rate; in all as long as the mixture.

    Raises:
        SeparationError: the model gave NaN, infinity or another shape.
        AudioError: from the mixture.
    """
    rate = separator.sample_rate
    lead = max(round(LEAD_S * rate), separator.windows.context)
    position = 0
    for span in spans:
        first, last = round(span.start_s * rate), inf if span.stop_s == inf else round(span.stop_s * rate)
        at = max(0, first - lead)
        yield from _silence(mixture, position, first, at, rate)
        if mixture.end <= first:
            return
        position = first
        for block in _run(mixture, at, last + lead, separator):
            begin, at = at, at + block.shape[1]
            kept = block[:, max(0, first - begin) : max(0, int(min(last, at)) - begin)]
            if kept.shape[1]:
                yield _faded(kept, position, first, last, rate)
                position += kept.shape[1]
    yield from _silence(mixture, position, inf, inf, rate)


def _silence(mixture: Tape, start: int, stop: float, keep: float, rate: int) -> Iterator[FloatArray]:
    """Zeros from ``start`` to ``stop`` or the track's end; the mixture is forgotten but for what is after ``keep``."""
    while start < stop:
        upto = min(start + round(_SILENCE_S * rate), stop)
        mixture.fill(upto)
        upto = int(min(upto, mixture.end))
        if upto <= start:
            return
        mixture.forget(int(min(upto, keep)))
        yield np.zeros((1, upto - start), np.float32)
        start = upto


def _faded(block: FloatArray, at: int, first: int, last: float, rate: int) -> FloatArray:
    """A block that lies at sample ``at`` of a span, faded where the span begins or ends within the track."""
    place, fade = np.arange(at, at + block.shape[1]), FADE_S * rate
    gain = np.minimum((last - place) / fade, (place - first) / fade if first > 0 else inf)
    return block * np.clip(gain, 0.0, 1.0).astype(np.float32)


def _run(mixture: Tape, first: int, last: float, separator: Separator) -> Iterator[FloatArray]:
    """Mono vocals from sample ``first`` to ``last`` or the end, without gaps, as windows come out of the model."""
    settings = separator.windows
    ramp = (np.arange(settings.fade, dtype=np.float32) + 1) / (settings.fade + 1)
    windows = _cut(mixture, first, last, settings)
    held, held_at = np.zeros((1, 0), np.float32), first  # the end of the last window, to be faded into the next
    while batch := list(islice(windows, settings.batch)):
        for window, vocals in zip(batch, _separated(batch, separator), strict=True):
            body = vocals[:, held_at - window.start :]
            if held.shape[1]:
                body[:, : settings.fade] = held * (1 - ramp) + body[:, : settings.fade] * ramp
            if window.final:
                yield body
                return
            keep = body.shape[1] - settings.context - settings.fade
            yield body[:, :keep]
            held, held_at = body[:, keep : keep + settings.fade], held_at + keep


def _cut(mixture: Tape, first: int, last: float, settings: Windows) -> Iterator[_Window]:
    """Windows of one length (unless the run is shorter); the last one is moved back to end with the run."""
    start = first
    while True:
        mixture.fill(start + settings.length + 1)
        stop = min(last, mixture.end)
        final = start + settings.length >= stop
        if final:
            start = max(first, int(stop) - settings.length)
        if stop <= start:
            return
        yield _Window(start, mixture.read(start, int(min(start + settings.length, stop))), final)
        if final:
            return
        mixture.forget(start)
        start += settings.length - settings.overlap


def _separated(batch: list[_Window], separator: Separator) -> Iterator[FloatArray]:
    """Mono vocals of each window; digital silence holds none, and is not given to the model."""
    heard = [window.samples for window in batch if window.samples.any()]
    vocals = separator(np.stack(heard)) if heard else np.zeros((0, 2, 0), np.float32)
    if heard and vocals.shape != (len(heard), *heard[0].shape):
        raise SeparationError(separator.name, f"gave vocals of shape {vocals.shape}", "use another model")
    if not np.isfinite(vocals).all():
        raise SeparationError(separator.name, "gave NaN or infinite samples", "use another model or device")
    mono = iter(vocals.mean(axis=1, keepdims=True, dtype=np.float32))
    for window in batch:
        yield next(mono) if window.samples.any() else np.zeros((1, window.samples.shape[1]), np.float32)
