"""What a million tracks cost: measured seconds and bytes of a track, times prices that you give.

A track is taken through both halves of a scan on one thread: the half that reads, decodes and hears where somebody
sings, which needs no model, and the half that embeds, compares voices and forms the second opinion, which a GPU may do.
The prediction for a scan by one process is the sum of both. A scan is run, and the ratio of the two is printed: that is
the check of the model. Prices are examples: ``--core-hour``, ``--gpu-hour``, ``--gb-month``, ``--egress-gb`` and
``--thousand-requests`` take yours. On a GPU the second half is not measured here: the table says how many cores feed
one that does ``--gpu-tracks`` a second.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import measure
import scale_engines

from whosings.files import content_hash
from whosings.library.library_file import Library
from whosings.library.scan import Ear

MILLION = 1_000_000


@dataclass(frozen=True)
class Track:
    """What a track takes.

    Attributes:
        first_s, second_s: seconds of one core for each half.
        bytes: of its file.
        kept: bytes of its rows in a library.
    """

    first_s: float
    second_s: float
    bytes: float
    kept: float


def main() -> None:
    price = {"type": float}
    given = measure.arguments(
        __doc__,
        songs={"type": int, "default": 12},
        minutes={"type": float, "default": 3.0},
        encoders={"nargs": "+", "default": ["fast", "default"]},
        **{
            "core-hour": price | {"default": 0.04},
            "gpu-hour": price | {"default": 2.5},
            "gpu-tracks": price | {"default": 20.0},
            "gb-month": price | {"default": 0.023},
            "egress-gb": price | {"default": 0.09},
            "thousand-requests": price | {"default": 0.0004},
        },
    )
    songs, minutes = (3, 0.5) if given.quick else (given.songs, given.minutes)
    figures: dict[str, float] = {}
    halves, checks, costs = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "songs").mkdir()
        for number in range(min(songs, 4)):
            measure.write_song(folder / f"songs/{number}.mp3", 60 * minutes, number)
        scale_engines.copies(folder / "songs", songs)
        for encoder in given.encoders:
            words = ("--workers", "1", "--encoder", encoder)
            run = scale_engines.scan(folder, words, "check")
            with Library(folder / "check.library") as library:
                kept = library.path.stat().st_size / library.count()
            track = taken(sorted((folder / "songs").iterdir()), encoder, kept)
            predicted = track.first_s + track.second_s
            halves.append((encoder, track.first_s, track.second_s, track.bytes / 1e6, track.kept / 1e3))
            checks.append((encoder, predicted, run.steady_s, predicted / run.steady_s))
            figures[f"{encoder}_predicted_over_measured"] = predicted / run.steady_s
            hours = MILLION * predicted / 3600
            gpu_hours = MILLION / given.gpu_tracks / 3600
            feeding = given.gpu_tracks * track.first_s
            read = MILLION * track.bytes / 1e9
            costs.append((encoder, "cores", hours, hours * given.core_hour))
            both = gpu_hours * (given.gpu_hour + feeding * given.core_hour)
            costs.append((encoder, f"a GPU fed by {feeding:.0f} cores", gpu_hours, both))
    measure.table(("encoder", "first half, s", "second half, s", "MB a file", "kB kept"), halves)
    measure.table(("encoder", "predicted s a track", "a scan's, one process", "ratio"), checks)
    print("a million tracks, at the prices given")
    measure.table(("encoder", "on", "hours", "cost"), costs)
    rows = [
        ("reading from the store, a request for each 8 MiB", MILLION / 1000 * given.thousand_requests),
        ("keeping the files a month", read * given.gb_month),
        ("carrying them out of the store's region", read * given.egress_gb),
    ]
    measure.table(("storage", "cost"), rows)
    measure.finish("scale_cost", given.quick, **figures)


def taken(paths: list[Path], encoder: str, kept: float) -> Track:
    """Medians over files, on one thread, after one file that does not count."""
    import torch

    torch.set_num_threads(1)
    listener = Ear(encoder, "cpu").open()
    first, second = [], []
    for path in (paths[0], *paths):
        began = time.perf_counter()
        content_hash(path)
        cut = listener.embedder.cut(path)
        between = time.perf_counter()
        listener(cut)
        first.append(between - began)
        second.append(time.perf_counter() - between)
    size = sum(path.stat().st_size for path in paths) / len(paths)
    return Track(median(first[1:]), median(second[1:]), size, kept)


if __name__ == "__main__":
    main()
