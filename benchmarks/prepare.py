"""Preparing a catalogue: tracks a minute by stage and in all, on 1 and 2 workers; what one more track costs.

An added track must cost the same however large the catalogue is. Separation, of vocal pieces only and of whole tracks,
is measured by ``separation.py``.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import measure
import numpy as np
import soundfile

from whosings import audio
from whosings.catalogue.fingerprint import words_of
from whosings.catalogue.journal import Journal
from whosings.catalogue.listing import listing
from whosings.catalogue.manifest import Track
from whosings.catalogue.prepare import Rules, prepare
from whosings.catalogue.track_status import Examination, Listed
from whosings.choir.cast import draw_singer
from whosings.choir.songs import record
from whosings.files import content_hash
from whosings.vocals.detector import ActivityDetector


def write_library(folder: Path, tracks: int, duration_s: float) -> None:
    """MP3s of generated songs, two a singer."""
    for number in range(tracks):
        path = folder / f"singer-{number // 2}" / f"{number % 2}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        song = record(draw_singer(1, number // 2), number % 2, duration_s)
        stereo = np.stack([song.mixture, song.vocals + 0.7 * song.instrumental], axis=1)
        soundfile.write(path, stereo, audio.SAMPLE_RATE, bitrate_mode="CONSTANT", compression_level=0.4)


def by_stage(library: Path) -> list[list[object]]:
    """Seconds of each step for the mean track, one after another in this process."""
    detector, paths = ActivityDetector(), sorted(library.rglob("*.mp3"))
    spent = dict.fromkeys(("hash", "decode to 16 kHz", "vocal activity", "fingerprint", "write FLAC"), 0.0)
    for path in paths:
        clock = [time.perf_counter()]

        def lap(name: str, clock: list[float] = clock) -> None:
            clock.append(time.perf_counter())
            spent[name] += clock[-1] - clock[-2]

        content_hash(path)
        lap("hash")
        whole = audio.load(path).samples
        lap("decode to 16 kHz")
        detector(whole)
        lap("vocal activity")
        words_of(whole)
        lap("fingerprint")
        audio.write_flac(library.parent / "one.flac", whole)
        lap("write FLAC")
    return [[name, seconds / len(paths), 60 * len(paths) / seconds] for name, seconds in spent.items()]


def cost_of_one_more(sizes: list[int], out: Path) -> dict[int, float]:
    """Seconds to compare a new track with a catalogue of made-up fingerprints, by its size: median of 20."""
    costs = {}
    rng = np.random.default_rng(0)
    for size in sizes:
        path = out / f"{size}.sqlite"
        with Journal(path, "made up") as journal:
            rows = [Listed(Track(f"t{n}", f"s{n // 2}", out / f"{n}.mp3")) for n in range(size + 21)]
            journal.begin(rows[:size])
            for number in range(1, size + 1):
                journal.examined(number, made_up(rng, number))
            for _ in journal.match():
                pass
            journal.begin(rows)
            for number in range(size + 1, size + 22):
                journal.examined(number, made_up(rng, number))
            laps, began = [], time.perf_counter()
            for _ in journal.match():
                laps.append(time.perf_counter() - began)
                began = time.perf_counter()
            costs[size] = float(np.median(laps[1:]))
        path.unlink()
    return costs


def made_up(rng: np.random.Generator, number: int) -> Examination:
    """A four-minute track's."""
    words = rng.integers(1, 2**32, 7500, dtype=np.uint32)
    return Examination(f"{number:064x}", 240.0, np.ones(80, np.float32), 1.0, words)


def main() -> None:
    options = measure.arguments(__doc__)
    tracks, duration_s = (4, 20.0) if options.quick else (48, 180.0)
    folder = Path(tempfile.mkdtemp())
    try:
        library = folder / "library"
        write_library(library, tracks, duration_s)
        print(f"{tracks} MP3s of {duration_s:.0f} s")
        measure.table(["step", "seconds a track", "tracks a minute"], by_stage(library))
        runs: dict[str, float] = {}
        everything = Rules(min_vocal=0.0, min_tracks=1)
        for workers in (1, 2):
            began = time.perf_counter()
            found = prepare(listing(library), folder / f"out-{workers}", everything, workers=workers)
            runs[f"all, {workers} workers"] = time.perf_counter() - began
            assert found.kept.tracks == tracks, found.stages
            began = time.perf_counter()
            prepare(listing(library), folder / f"out-{workers}", everything, workers=workers)
            runs[f"again, nothing new, {workers} workers"] = time.perf_counter() - began
        measure.table(["run", "seconds", "tracks a minute"], [[n, s, 60 * tracks / s] for n, s in runs.items()])
        sizes = [100, 400] if options.quick else [500, 2_000, 8_000]
        costs = cost_of_one_more(sizes, folder)
        print("comparing one more track with a catalogue")
        measure.table(["tracks in it", "milliseconds"], [[size, 1000 * cost] for size, cost in costs.items()])
    finally:
        shutil.rmtree(folder)
    measure.finish(
        "prepare",
        options.quick,
        tracks_a_minute_1=60 * tracks / runs["all, 1 workers"],
        tracks_a_minute_2=60 * tracks / runs["all, 2 workers"],
        growth_ratio=costs[sizes[-1]] / costs[sizes[0]],
    )


if __name__ == "__main__":
    main()
