"""A few seconds of a recording, to be heard in a page: FLAC, which every browser of today plays."""

from __future__ import annotations

import base64
import io

import numpy as np
import soundfile

from whosings.audio import SAMPLE_RATE, FloatArray

_LEVEL = 0.1  # root mean square of a levelled clip: -20 dBFS
_PEAK = 0.98
_SILENT = 1e-6


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
