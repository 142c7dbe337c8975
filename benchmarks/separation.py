"""Separating only where somebody sings, against the whole track; and memory at 4 and at 60 minutes.

The model is an HTDemucs of full size with random weights: its cost does not depend on them. A 4-minute song is sung in
every other half-minute; the hour is that song over and over, sung in one half-minute of each quarter of an hour, as
how much is sung does not matter for memory. One torch thread.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import measure
import numpy as np
import soundfile
import torch

from whosings import audio
from whosings.vocals.activity import PIECE_S, Activity
from whosings.vocals.separation import Stems, separate_track
from whosings.vocals.separators import open_separator
from whosings.vocals.streaming import Span, sung_spans

SOURCES = ["drums", "bass", "other", "vocals"]
FULL = {"segment": 7.8, "bottom_channels": 512}  # as the published htdemucs: 41 million weights
QUICK = {"segment": 7.8, "channels": 4, "dconv_comp": 2, "t_layers": 1, "t_heads": 2, "bottom_channels": 16}
STRETCH_S = 30.0
CONTEXT_S = 1.0  # left out at a span's ends when both ways are compared


def main() -> None:
    given = measure.arguments(__doc__)
    song_s, hour_s = (60.0, 600.0) if given.quick else (240.0, 3600.0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = save_model(folder / "model", QUICK if given.quick else FULL)
        song = measure.write_song(folder / "song.mp3", song_s)
        hour = repeated(song, folder / "hour.flac", hour_s)
        half, rarely = sung_in_turn(song_s, 2), sung_in_turn(hour_s, 30)
        whole = measure.in_child(prepared, model, song, folder / "whole", None)
        part = measure.in_child(prepared, model, song, folder / "part", half)
        long = measure.in_child(prepared, model, hour, folder / "long", rarely)
        difference_db = difference(whole.result, part.result, sung_spans(half))
    rows = [
        [name, cost.result.duration_s, cost.result.separated_s, cost.seconds, cost.peak_mb]
        for name, cost in (("whole song", whole), ("where it is sung", part), ("an hour, rarely sung", long))
    ]
    measure.table(["what", "lasts s", "separated s", "took s", "peak MB"], rows)
    print(f"inside spans, both ways differ by {difference_db:.1f} dB of the vocals (random weights)\n")
    measure.finish(
        "separation",
        given.quick,
        ratio=whole.seconds / part.seconds,
        sung_share=part.result.separated_s / part.result.duration_s,
        real_time_factor=whole.seconds / song_s,
        peak_mb=part.peak_mb,
        peak_mb_hour=long.peak_mb,
        difference_db=difference_db,
    )


def save_model(folder: Path, settings: dict[str, float]) -> Path:
    """A folder that ``demucs:FOLDER`` opens."""
    from demucs.htdemucs import HTDemucs
    from safetensors.torch import save_file

    torch.manual_seed(0)
    folder.mkdir()
    card = {"klass": "demucs.htdemucs.HTDemucs", "args": json.dumps([SOURCES]), "kwargs": json.dumps(settings)}
    weights = {name: tensor.contiguous() for name, tensor in HTDemucs(SOURCES, **settings).state_dict().items()}
    save_file(weights, folder / "random.safetensors", card)
    return folder


def repeated(song: Path, path: Path, duration_s: float) -> Path:
    """The song over and over, in the same rate and channels, block by block."""
    info = audio.probe(song)
    left = round(duration_s * info.sample_rate)
    with soundfile.SoundFile(path, "w", info.sample_rate, 2) as file:
        while left > 0:
            for block in audio.blocks(song, info.sample_rate, 2):
                file.write(block.T[:left])
                left = max(0, left - block.shape[1])
    return path


def sung_in_turn(duration_s: float, turns: int) -> Activity:
    """Sung in the first of every so many stretches."""
    start_s = np.arange(0, duration_s, PIECE_S)
    return Activity(start_s, (start_s // STRETCH_S % turns == 0).astype(float), "given")


def prepared(model: Path, song: Path, cache: Path, activity: Activity | None) -> Callable[[], Stems]:
    torch.set_num_threads(1)
    separator = open_separator(f"demucs:{model}", "cpu")
    return partial(separate_track, song, separator, cache, activity)


def difference(whole: Stems, part: Stems, spans: tuple[Span, ...]) -> float:
    """Energy of what differs between both ways' vocals, relative to the vocals, inside spans, in dB."""
    one, other = (audio.load(stems.vocals).samples[0] for stems in (whole, part))
    inside = np.zeros(one.size, bool)
    for span in spans:
        inside[round((span.start_s + CONTEXT_S) * 16_000) : round((span.stop_s - CONTEXT_S) * 16_000)] = True
    return float(10 * np.log10(np.mean((one - other)[inside] ** 2) / np.mean(one[inside] ** 2)))


if __name__ == "__main__":
    main()
