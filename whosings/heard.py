"""What was heard of each voice of a recording: all that naming it needs, and little enough to be kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.calibration import Calibration
from whosings.diarization import VoiceWindows, diarize, spans
from whosings.embedding import Embeddings
from whosings.opinion_rows import Opinion
from whosings.segment_embedding import Windows
from whosings.spans import Span, joined


@dataclass(frozen=True)
class HeardVoice:
    """What was heard of one voice, whoever it belongs to.

    Attributes:
        mean: (dimensions,) float32, the mean of its embeddings, which are of unit length.
        amount: how many segments' worth of voice that is.
        spans: where, in order.
        seconds: how long.
        embeddings: what it is the mean of; None where that was not kept.
    """

    mean: FloatArray
    amount: float
    spans: tuple[Span, ...]
    seconds: float
    embeddings: Embeddings | None = None

    @classmethod
    def of(cls, embeddings: Embeddings, where: tuple[Span, ...], seconds: float) -> HeardVoice:
        """A voice with its embeddings."""
        return cls(embeddings.vectors.mean(axis=0), float(embeddings.amount), where, seconds, embeddings)

    @property
    def segments(self) -> Embeddings | None:
        """Segments that have to tell voices apart, because there are no short windows; None where there are."""
        return self.embeddings if self.embeddings is not None and self.embeddings.windows is None else None


@dataclass(frozen=True)
class HeardTrack:
    """A recording by voices.

    Attributes:
        voices: the one with the most windows first; none where there are not enough vocals.
        duration_s: seconds of the recording.
        vocal_s: seconds of singing found.
        short: it is shorter than a segment.
        fingerprint: that of the encoder.
        opinion: how processed it sounds, if anybody listened for that.
    """

    track_id: str
    voices: tuple[HeardVoice, ...]
    duration_s: float
    vocal_s: float
    short: bool
    fingerprint: str
    opinion: Opinion | None = None


def hear(probe: Embeddings, calibration: Calibration) -> HeardTrack:
    """Tell the voices of a recording apart by its short windows; where there are none, it has one voice at most."""
    return HeardTrack(
        probe.track_id,
        tuple(_voices(probe, calibration)) if len(probe.vectors) else (),
        probe.duration_s,
        _covered_s(probe),
        probe.short,
        probe.fingerprint,
        probe.opinion,
    )


def _voices(probe: Embeddings, calibration: Calibration) -> Iterable[HeardVoice]:
    windows = probe.windows
    if windows is None or len(windows.vectors) == 0:
        whole = joined(Span(start, start + probe.segment_s) for start in probe.start_s.tolist())
        yield HeardVoice.of(probe, whole, _covered_s(probe))
        return
    found = diarize(calibration.centred(windows.vectors), windows.start_s, windows.window_s, windows.hop_s)
    for voice in found:
        own = spans(windows.start_s, voice.places, windows.window_s, windows.hop_s)
        seconds = sum(span.stop_s - span.start_s for span in own)
        yield HeardVoice.of(probe if len(found) == 1 else _of_one(voice, probe, windows), own, seconds)


def _of_one(voice: VoiceWindows, probe: Embeddings, windows: Windows) -> Embeddings:
    """What was heard of one voice, by its clear windows."""
    return replace(
        probe,
        vectors=windows.vectors[voice.clear],
        start_s=windows.start_s[voice.clear],
        # Segments overlap by half: so many would have been heard of this voice.
        share=2 * len(voice.places) * windows.hop_s / probe.segment_s / len(voice.clear),
    )


def _covered_s(probe: Embeddings) -> float:
    """Seconds of the probe that at least one sung segment covers."""
    if len(probe.start_s) == 0:
        return 0.0
    gaps: NDArray[np.float64] = np.minimum(np.diff(probe.start_s, append=np.inf), probe.segment_s)
    return float(gaps.sum())


def sound_alike(one: HeardTrack, other: HeardTrack) -> bool:
    """Whether two recordings hold the same sound: their voices were heard alike, to rounding."""
    return len(one.voices) == len(other.voices) > 0 and all(
        left.spans == right.spans and np.allclose(left.mean, right.mean, atol=1e-3)
        for left, right in zip(one.voices, other.voices, strict=True)
    )
