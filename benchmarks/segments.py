"""Random 6-second segments of a 4-minute file, against one ffprobe and one ffmpeg process a segment.

The usual way has ``-ss`` after ``-i``: ffmpeg decodes from the start of the file and throws away what comes before.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import measure
import numpy as np

from whosings.audio import SAMPLE_RATE, FloatArray, probe, random_segment, read_segment

SEGMENT_S = 6.0
SEVERAL = 4
ENDINGS = {"MP3 192 kbit/s": ".mp3", "OGG Vorbis": ".ogg", "Opus": ".opus", "prepared FLAC": ".flac"}
MP3, FLAC = "MP3 192 kbit/s", "prepared FLAC"


def main() -> None:
    given = measure.arguments(__doc__)
    measure.need_ffmpeg()
    ours_rng, usual_rng = np.random.default_rng(1), np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        duration_s = 60.0 if given.quick else 240.0
        files = {name: measure.write_song(Path(folder) / f"a{ending}", duration_s) for name, ending in ENDINGS.items()}
        ways: dict[str, Callable[[], object]] = {}
        for name, path in files.items():
            ways[f"ours {name}"] = partial(several, random_segment, path, ours_rng)
            ways[f"usual {name}"] = partial(ffmpeg_random_segment, path, SEGMENT_S, usual_rng)
        seconds = measure.interleaved(ways, repeats=5 if given.quick else 15)
        fast = {name: seconds[f"ours {name}"] / SEVERAL for name in files}
        slow = {name: seconds[f"usual {name}"] for name in files}
        agreement = {name: _agreement(path, duration_s / 2) for name, path in files.items()}
    rows = [
        [name, 1e3 * fast[name], 1e3 * slow[name], slow[name] / fast[name], slow[MP3] / fast[name], agreement[name]]
        for name in files
    ]
    measure.table(["format", "ours ms", "usual ms", "ratio", "usual MP3 / ours", "correlation"], rows)
    measure.finish(
        "segments",
        given.quick,
        mp3_ratio=slow[MP3] / fast[MP3],
        prepared_ratio=slow[MP3] / fast[FLAC],
        prepared_ratio_same_file=slow[FLAC] / fast[FLAC],
        vorbis_ratio=slow["OGG Vorbis"] / fast["OGG Vorbis"],
        opus_ratio=slow["Opus"] / fast["Opus"],
    )


def several(segment: Callable[..., object], path: Path, rng: np.random.Generator) -> None:
    """A few segments: one is too short to time after another process has had the caches."""
    for _ in range(SEVERAL):
        segment(path, SEGMENT_S, rng)


def ffmpeg_random_segment(path: Path, duration_s: float, rng: np.random.Generator) -> FloatArray:
    """The usual way: (samples,) of a random place."""
    ask = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path)]
    total_s = float(subprocess.run(ask, capture_output=True, check=True).stdout)
    return ffmpeg_segment(path, rng.uniform(0, total_s - duration_s), duration_s)


def ffmpeg_segment(path: Path, start_s: float, duration_s: float) -> FloatArray:
    """(samples,) at 16 kHz, by a process that decodes the file from its start."""
    decode = ["ffmpeg", "-v", "error", "-i", str(path), "-ss", str(start_s), "-t", str(duration_s)]
    form = ["-f", "f32le", "-ac", "1", "-ar", str(SAMPLE_RATE), "-"]
    return np.frombuffer(subprocess.run([*decode, *form], capture_output=True, check=True).stdout, np.float32)


def _agreement(path: Path, start_s: float) -> float:
    """Correlation of both ways' samples at one place."""
    assert probe(path).duration_s > start_s + SEGMENT_S
    ours, usual = read_segment(path, start_s, SEGMENT_S).samples[0], ffmpeg_segment(path, start_s, SEGMENT_S)
    count = min(ours.size, usual.size)
    return float(np.corrcoef(ours[:count], usual[:count])[0, 1])


if __name__ == "__main__":
    main()
