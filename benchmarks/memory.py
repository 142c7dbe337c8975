"""Long recordings: peak memory and time of embedding a file that is read in pieces, against one decoded whole.

The usual way decodes the file into memory, listens for singing, and embeds its segments from there. Both ways run in
processes of their own, on files of each length (44.1 kHz, stereo, a sung minute repeated), and must agree.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import measure
import numpy as np
import soundfile

from whosings import audio
from whosings.audio import FloatArray
from whosings.embedding import TrackEmbedder


def main() -> None:
    given = measure.arguments(
        __doc__,
        encoder={"default": "default"},
        minutes={"nargs": "+", "type": int, "default": [10, 60, 180]},
        formats={"nargs": "+", "choices": ["flac", "mp3"], "default": ["flac"], "help": "an MP3 takes long to write"},
    )
    figures: dict[str, float] = {}
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        minute = measure.write_song(Path(folder) / "minute.mp3", 60.0)
        for minutes in [2, 5] if given.quick else given.minutes:
            for kind in given.formats:
                path = _repeated(minute, minutes, Path(folder) / f"{minutes}.{kind}")
                whole, ours = (measure.in_child(way, given.encoder, path) for way in (decoded_whole, in_pieces))
                path.unlink()
                agree = float(np.abs(whole.result - ours.result).max())
                rows += [
                    [f"{minutes} min {kind}", way, cost.peak_mb, cost.extra_mb, cost.seconds, agree]
                    for way, cost in (("whole", whole), ("in pieces", ours))
                ]
                name = f"{kind}_{minutes}_min"
                figures[f"{name}_peak_mb"] = ours.peak_mb
                figures[f"{name}_less_memory"] = whole.peak_mb / ours.peak_mb
                figures[f"{name}_less_beyond_the_models"] = whole.extra_mb / ours.extra_mb
                figures[f"{name}_time_over_whole"] = ours.seconds / whole.seconds
    measure.table(["file", "way", "peak MB", "beyond the models", "seconds", "largest difference"], rows)
    measure.finish("memory", given.quick, **figures)


def decoded_whole(encoder: str, path: Path) -> Callable[[], FloatArray]:
    """The usual way."""
    embed = TrackEmbedder(encoder)
    return lambda: embed(audio.load(path, embed.front_end.channels)).vectors


def in_pieces(encoder: str, path: Path) -> Callable[[], FloatArray]:
    """Ours."""
    embed = TrackEmbedder(encoder)
    return lambda: embed(path).vectors


def _repeated(minute: Path, minutes: int, path: Path) -> Path:
    """A minute again and again."""
    samples, rate = soundfile.read(minute, dtype="float32")
    kind = {".mp3": ("MP3", None), ".flac": ("FLAC", "PCM_16")}[path.suffix]
    with soundfile.SoundFile(path, "w", rate, 2, kind[1], format=kind[0]) as file:
        for _ in range(minutes):
            file.write(samples)
    return path


if __name__ == "__main__":
    main()
