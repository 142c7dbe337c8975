"""A few seconds of a recording, to be heard in a page: FLAC, which every browser of today plays."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from whosings import audio
from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.spans import Span

_LEVEL = 0.1  # root mean square of a levelled clip: -20 dBFS
_PEAK = 0.98
_SILENT = 1e-6
_LEAST_S, _MOST_S = 3.0, 6.0  # of a clip


def clip_of(path: Path, span: Span, within: Sequence[Span] = ()) -> audio.Segment:
    """The middle of a passage, 3 to 6 seconds, with some of what is around where it is shorter; less in a short file.

    Args:
        within: where the voice sings; a clip stays in the one of these that holds the passage, if there is room.

    Raises:
        AudioError: the file cannot be read.
    """
    middle, duration = (span.start_s + span.stop_s) / 2, audio.probe(path).duration_s
    around = next((one for one in within if one.start_s <= middle <= one.stop_s), span)
    length = min(_MOST_S, max(_LEAST_S, around.stop_s - around.start_s))
    if around.stop_s - around.start_s < length:
        around = Span(0.0, duration)
    start = max(around.start_s, min(middle - length / 2, around.stop_s - length))
    return audio.read_segment(path, max(0.0, min(start, duration - length)), length)


def levelled(samples: FloatArray) -> FloatArray:
    """Samples brought to -20 dBFS (root mean square), or as near as their peak allows; silence stays silent."""
    power, peak = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))), float(np.abs(samples).max())
    if power < _SILENT:
        return samples
    return np.asarray(samples * min(_LEVEL / power, _PEAK / peak), np.float32)


def as_flac(samples: FloatArray) -> bytes:
    """Samples (channels, samples) at ``SAMPLE_RATE`` as a FLAC file of one channel."""
    content = io.BytesIO()
    soundfile.write(content, samples.mean(axis=0), SAMPLE_RATE, format="FLAC")
    return content.getvalue()


def embedded(content: bytes, kind: str) -> str:
    """A file as an address that holds it, for the ``src`` of an element.

    Args:
        kind: its MIME type.
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def player(source: str) -> str:
    """HTML that plays a sound.

    Args:
        source: address of the sound, without markup.
    """
    return f'<audio controls preload=none src="{source}"></audio>'
