"""Find by voice in a library of very many voices: by its index, against comparing with all of them.

A library of made voices (``scale_index.made``) is written, indexed, and asked with recordings that are not in it, half
of singers who are, half of strangers. Told are the time and memory of both ways, how many of the ten likeliest
recordings of comparing with all the index's way tells, too, and how far its probabilities are off: all that is
estimated is how many voices compete.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import measure
import numpy as np
import scale_index
import torch

from whosings.calibration import calibration_of
from whosings.encoder.checkpoint import load_checkpoint
from whosings.heard import HeardVoice
from whosings.library.decisions import DecidedLibrary
from whosings.library.library_rows import of_voice
from whosings.library.near_search import Searcher
from whosings.library.search import like_voice, matches
from whosings.library.voice_index import VoiceIndex, bring_up_to_date, index_folder
from whosings.spans import Span

TOP = 10
_ROWS = 10_000


def write(library: DecidedLibrary, vectors: np.ndarray, amounts: np.ndarray, centre: np.ndarray, first: int) -> None:
    """Put recordings of one voice each into a library, many in one transaction."""
    spans = (Span(3.0, 60.0), Span(70.0, 100.0))
    for start in range(0, len(vectors), _ROWS):
        recordings, files, voices = [], [], []
        for place in range(start, min(start + _ROWS, len(vectors))):
            number, mean = first + place + 1, (centre + 0.9 * vectors[place]).astype(np.float32)
            recordings.append((number, f"{number:064x}", 180.0, 87.0, 0, None, None, "2026-01-01T00:00:00+00:00"))
            files.append((f"/songs/{number}.mp3", number, 1, 1, "{}"))
            voices.append((number, number, 0, *of_voice(HeardVoice(mean, float(amounts[place]), spans, 87.0))))
        with library._transaction():
            library._db.executemany("INSERT INTO recordings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", recordings)
            library._db.executemany("INSERT INTO files VALUES (?, ?, ?, ?, ?)", files)
            library._db.executemany("INSERT INTO voices VALUES (?, ?, ?, ?, ?, ?, ?)", voices)


def main() -> None:
    given = measure.arguments(
        __doc__,
        voices={"type": int, "default": 1_000_000, "help": "voices in the library"},
        queries={"type": int, "default": 200, "help": "recordings to ask with"},
        folder={"type": Path, "help": "where to work; a temporary folder unless given"},
    )
    torch.set_num_threads(1)
    count = min(given.voices, 20_000) if given.quick else given.voices
    checkpoint = load_checkpoint("default")
    calibration = calibration_of(checkpoint)
    made = scale_index.made(count + scale_index.CHANGED, given.queries)
    rng = np.random.default_rng(2)
    amounts = rng.lognormal(2.3, 0.9, len(made.vectors)).clip(0.4, 120)  # segments: a clip to a long song, median 10
    asked_amounts = rng.lognormal(2.3, 0.9, given.queries).clip(0.4, 120)
    centre = np.asarray(calibration.centre)
    figures: dict[str, float | str | bool | None] = {"voices": count}
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        path = Path(name) / "songs.library"
        with DecidedLibrary(path, checkpoint.fingerprint, "default", 6.0) as library:
            write(library, made.vectors[:count], amounts, centre, 0)

            def timed(what: str, call):
                began = time.perf_counter()
                found = call()
                figures[what] = time.perf_counter() - began
                print(f"{what}: {figures[what]:.3f}", flush=True)
                return found

            timed("make_s", lambda: bring_up_to_date(library, calibration))
            size = sum(file.stat().st_size for file in index_folder(path).iterdir())
            figures |= {"index_bytes_a_voice": size / count, "library_bytes_a_voice": path.stat().st_size / count}
            print({key: figures[key] for key in ("index_bytes_a_voice", "library_bytes_a_voice")}, flush=True)
            timed("nothing_new_s", lambda: bring_up_to_date(library, calibration))
            before = measure._memory_mb("VmRSS")
            index = timed("open_s", lambda: VoiceIndex(library, calibration))
            figures["ram_bytes_a_voice"] = 1e6 * (measure._memory_mb("VmRSS") - before) / count
            voices = timed("read_all_s", library.voices)
            near = Searcher(library, calibration, index)
            asked = (centre + 0.9 * made.queries).astype(np.float32)
            rows = []
            for mean, amount in zip(asked, asked_amounts, strict=True):
                # Processor time, which other programs disturb less.
                began = time.process_time()
                right = matches(library, voices, like_voice(voices, mean, amount, calibration), TOP)
                middle = time.process_time()
                named = index.nearest(mean, 512)
                candidates = time.process_time()
                library.voices_of(named.tolist())
                read = time.process_time()
                found = near.voice(mean, amount, TOP)
                whole = time.process_time()
                same = {one.recording for one in right} & {one.recording for one in found}
                best = [one.recording for one in right[:1]] == [one.recording for one in found[:1]]
                odds = [np.log(one[0].probability / (1 - one[0].probability)) for one in (right, found)]
                compete = odds[0] - right[0].nats, odds[1] - found[0].nats  # minus the logarithm of who competes
                times = [
                    1e3 * (b - a) for a, b in ((began, middle), (middle, candidates), (candidates, read), (read, whole))
                ]
                rows.append(
                    [
                        len(same) / TOP,
                        best,
                        compete[0] - compete[1],
                        found[0].probability - right[0].probability,
                        *times,
                    ]
                )
            table = np.array(rows, float)
            half = len(table) // 2
            figures |= {
                "recall_known": table[:half, 0].mean(),
                "recall_strangers": table[half:, 0].mean(),
                "best_same": table[:, 1].mean(),
                "log_compete_median": np.median(table[:, 2]),
                "log_compete_least": table[:, 2].min(),
                "log_compete_most": table[:, 2].max(),
                "too_low": (table[:, 2] < 0).mean(),
                "probability_off_most": np.abs(table[:, 3]).max(),
            }
            for place, way in enumerate(("exact_ms", "index_ms", "read_ms", "find_ms"), 4):
                figures[way], figures[f"{way}_p99"] = np.percentile(table[:, place], [50, 99])
            write(library, made.vectors[count:], amounts[count:], centre, count)
            library.forget_files(f"/songs/{number}.mp3" for number in rng.choice(count, 1000, replace=False) + 1)
            timed("forget_s", library.forget_missing)
            done = timed("update_s", lambda: bring_up_to_date(library, calibration))
            print(done, flush=True)
    figures = {key: float(value) if isinstance(value, np.floating) else value for key, value in figures.items()}
    measure.table(["figure", "value"], [[key, value] for key, value in figures.items()])
    measure.finish("scale_find", given.quick, **figures)


if __name__ == "__main__":
    main()
