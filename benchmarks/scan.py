"""Scanning a collection, against ``identify`` one file after another; what a file costs as a library grows; matching.

``--part speed`` writes generated songs as MP3, FLAC and Opus, and times the program as people run it, with its start:
``scan`` with one and two workers, ``identify`` of all files at once, and ``identify`` once a file. Processor seconds
are those of all processes together. ``--part growth`` adds made recordings and asks for files that are known, in
libraries of more and more rows, and measures the memory of a scan of few and of many files. ``--part match`` matches a
made library against a made gallery.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import measure
import numpy as np
import torch

from whosings.calibration import calibration_of
from whosings.embedding import TrackEmbedder
from whosings.enrolled import Voices
from whosings.gallery import Gallery
from whosings.heard import HeardTrack, HeardVoice
from whosings.identification import Identifier
from whosings.library.library_file import Library
from whosings.library.library_rows import LibraryFile
from whosings.library.matching import Matcher
from whosings.opinion_rows import Opinion
from whosings.spans import Span

PARTS = ("speed", "growth", "match")
FORMATS = ("mp3", "flac", "opus")


def main() -> None:
    given = measure.arguments(
        __doc__,
        part={"choices": PARTS, "default": None},
        songs={"type": int, "default": 12},
        minutes={"type": float, "default": 3.0},
        encoders={"nargs": "+", "default": ["default", "fast"]},
        formats={"nargs": "+", "default": list(FORMATS)},
        tracks={"type": int, "default": 100_000},
        singers={"type": int, "default": 10_000},
    )
    figures: dict[str, float] = {}
    if given.part in (None, "speed"):
        songs, minutes = (3, 0.5) if given.quick else (given.songs, given.minutes)
        formats = ["mp3"] if given.quick else given.formats
        figures |= speed(songs, minutes, formats, given.encoders)
    if given.part in (None, "growth"):
        figures |= growth([1000, 4000] if given.quick else [1000, 10_000, 100_000])
    if given.part in (None, "match"):
        figures |= matching(*((2000, 1000) if given.quick else (given.tracks, given.singers)))
    measure.finish("scan", given.quick, **figures)


# ---------------------------------------------------------------------- speed


def speed(count: int, minutes: float, formats: list[str], encoders: list[str]) -> dict[str, float]:
    """Ratios of wall time by encoder and format: ``identify`` over ``scan``."""
    figures, rows = {}, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for format in formats:
            (folder / format).mkdir()
            for number in range(count):
                song(folder / format / f"{number}.{format}", 60 * minutes, number)
        for encoder in encoders:
            gallery = folder / f"{encoder}.gallery"
            enrolled = next((folder / formats[0]).iterdir())
            run("enrol", "Ann", enrolled, "-g", gallery, "--encoder", encoder)
            for format in formats:
                files = sorted((folder / format).iterdir())
                asked = ("-g", gallery, "--encoder", encoder)
                ways = {
                    "identify, once a file": lambda f=files, a=asked: [run("identify", one, *a) for one in f],
                    "identify, all at once": lambda f=files, a=asked: [run("identify", *f, *a)],
                    "scan, 1 worker": partial(scan, folder, folder / format, asked, 1),
                    "scan, 2 workers": partial(scan, folder, folder / format, asked, 2),
                }
                found = {way: timed(call) for way, call in ways.items()}
                for way, (wall_s, cpu_s) in found.items():
                    rows.append((encoder, format, way, 3600 * count / wall_s, wall_s / count, cpu_s / count))
                wall = {way: seconds[0] for way, seconds in found.items()}
                for other, short in (("identify, once a file", "once_a_file"), ("identify, all at once", "at_once")):
                    figures[f"{encoder}_{format}_over_{short}"] = wall[other] / wall["scan, 2 workers"]
    measure.table(("encoder", "format", "way", "tracks an hour", "s a track", "processor s a track"), rows)
    print(f"{count} songs of {minutes:g} minutes, the start of each program included, {os.cpu_count()} cores\n")
    return figures


def song(path: Path, duration_s: float, seed: int) -> None:
    """A generated song; FLAC with the sound of a CD, too."""
    if path.suffix != ".flac":
        measure.write_song(path, duration_s, seed)
        return
    import soundfile

    whole = path.with_suffix(".mp3")
    measure.write_song(whole, duration_s, seed)
    samples, rate = soundfile.read(whole, dtype="float32")
    soundfile.write(path, samples, rate)
    whole.unlink()


def run(*words: object) -> None:
    """The program as people run it."""
    subprocess.run([sys.executable, "-m", "whosings", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def scan(folder: Path, songs: Path, asked: tuple[object, ...], workers: int) -> None:
    """Into a new library."""
    library = folder / "songs.library"
    library.unlink(missing_ok=True)
    run("scan", songs, "-l", library, *asked, "--workers", workers)


def timed(call: partial[None]) -> tuple[float, float]:
    """Wall and processor seconds of what a call starts."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    call()
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# ---------------------------------------------------------------------- growth


def growth(sizes: list[int]) -> dict[str, float]:
    """What one more file costs, and the memory of a scan, by the number of rows."""
    rows, known_ms = [], []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "songs.library"
        done = 0
        for size in sizes:
            with Library(path, "0" * 64) as library:
                library._db.execute("PRAGMA synchronous = OFF")  # these need not survive a crash
                for number in range(done, size):
                    library.add(file(number), f"{number:064x}", made(number, 192))
            done = size
            with Library(path) as library:
                count = 300
                began = time.perf_counter()
                for number in range(size, size + count):
                    library.add(file(number), f"{number:064x}", made(number, 192))
                add_ms = 1000 * (time.perf_counter() - began) / count
                done += count
                began = time.perf_counter()
                for number in range(0, size, max(1, size // count)):
                    assert library.known(file(number).path, 1, number)
                known_ms.append(1000 * (time.perf_counter() - began) / count)
            cost = measure.in_child(read_all, path)
            rows.append((f"{size:,}", add_ms, known_ms[-1], path.stat().st_size / size / 1e3, cost.extra_mb))
        few, many = (measure.in_child(known_files, Path(name) / str(n), n) for n in (sizes[0], sizes[-1]))
    measure.table(("recordings", "ms to add one", "ms to know one", "kB each", "MB to read all, in turn"), rows)
    print(f"A scan of {sizes[0]:,} known files: {few.extra_mb:.1f} MB more than before it, {sizes[-1]:,}: ", end="")
    print(f"{many.extra_mb:.1f} MB; {1000 * many.seconds / sizes[-1]:.2f} ms a file\n")
    return {
        "known_ms_growth": known_ms[-1] / known_ms[0],
        "scan_known_ms": 1000 * many.seconds / sizes[-1],
        "scan_mb_more": many.extra_mb - few.extra_mb,
    }


def read_all(path: Path) -> partial[int]:
    """Everything that was heard, one recording after another."""
    library = Library(path)
    return partial(lambda: sum(1 for _ in library.all_heard()))


def known_files(folder: Path, count: int) -> partial[int]:
    """A scan of a folder of files that are all known."""
    from whosings.library.scan import Ear, Scanner
    from whosings.library.sources import in_folder

    folder.mkdir()
    library = Library(folder / "l", "0" * 64)
    library._db.execute("PRAGMA synchronous = OFF")
    for number in range(count):
        place = folder / f"{number % 100:02d}" / f"{number}.mp3"
        place.parent.mkdir(exist_ok=True)
        place.touch()
        found = place.stat()
        row = LibraryFile(str(place), found.st_size, found.st_mtime_ns, {})
        library.add(row, f"{number:064x}", made(number, 192))
    scanner = Scanner(library, Ear(), 1)
    return partial(lambda: sum(row is not None for row in scanner(in_folder(folder, print))))


def file(number: int) -> LibraryFile:
    return LibraryFile(f"/music/{number % 997:03d}/{number}.mp3", 1, number, {"title": f"Song {number}"})


def made(number: int, dimensions: int, voice: np.ndarray | None = None, fingerprint: str = "0" * 64) -> HeardTrack:
    """What may be heard of a song; every fourth has two voices."""
    rng = np.random.default_rng([5, number])
    voices = []
    for _ in range(1 + (number % 4 == 0)):
        mean = rng.standard_normal(dimensions).astype(np.float32) / np.sqrt(dimensions, dtype=np.float32)
        if voice is not None:
            mean = voice + np.float32(0.7) * mean
        spans = tuple(Span(12.5 * place, 12.5 * place + 9) for place in range(12))
        voices.append(HeardVoice(mean / np.linalg.norm(mean) * np.float32(0.9), 30.0, spans, 108.0))
    return HeardTrack(f"{number}", tuple(voices), 180.0, 108.0, False, fingerprint, Opinion(0.2, 0.3, 0.9, 12))


# ---------------------------------------------------------------------- matching


def matching(tracks: int, singers: int) -> dict[str, float]:
    """Two in three tracks are of enrolled singers."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "songs.library"
        embedder = TrackEmbedder("default", device="cpu")
        dimensions = len(calibration_of(embedder.checkpoint).centre)
        voices = np.random.default_rng(0).standard_normal((singers, dimensions)).astype(np.float32)
        voices /= np.linalg.norm(voices, axis=1, keepdims=True)
        with Library(path, embedder.fingerprint) as library:
            library._db.execute("PRAGMA synchronous = OFF")
            for number in range(tracks):
                voice = voices[number % singers] if number % 3 else None
                library.add(file(number), f"{number:064x}", made(number, dimensions, voice, embedder.fingerprint))
        cost = measure.in_child(match_all, path, voices)
        wall_s, cpu_s, named = cost.result
        few = Made(voices, embedder.fingerprint)
        identifier = Identifier(few, embedder)
        with Library(path) as library:
            some = [track for _, (_, track) in zip(range(200), library.all_heard(), strict=False)]
        began = time.perf_counter()
        for track in some:
            identifier.name(track)
        one_s = (time.perf_counter() - began) / len(some)
    rows = [("in blocks", wall_s, cpu_s, 1e3 * wall_s / tracks), ("one by one", one_s * tracks, None, 1e3 * one_s)]
    measure.table(("way", "s for all", "processor s", "ms a track"), rows)
    print(f"{tracks:,} tracks, {singers:,} singers, {named:,} named; {cost.extra_mb:.0f} MB\n")
    return {"match_s": wall_s, "match_processor_s": cpu_s, "match_over_one_by_one": one_s * tracks / wall_s}


class Made(Gallery):
    """A gallery without a file: to enrol 10,000 singers takes minutes."""

    head = None
    rates = None

    def __init__(self, voices: np.ndarray, fingerprint: str) -> None:
        names = tuple(f"singer {number:05d}" for number in range(len(voices)))
        self.path, self.fingerprint, self.encoder = Path("made"), fingerprint, ""
        self.voices = Voices(names, voices, np.full(len(voices), 60.0))


def match_all(path: Path, voices: np.ndarray) -> partial[tuple[float, float, int]]:
    """Everything from the library's file to answers."""
    torch.set_num_threads(os.cpu_count() or 1)
    embedder = TrackEmbedder("default", device="cpu")
    matcher = Matcher(Identifier(Made(voices, embedder.fingerprint), embedder))
    return partial(asked, matcher, path)


def asked(matcher: Matcher, path: Path) -> tuple[float, float, int]:
    began, cpu = time.perf_counter(), time.process_time()
    with Library(path) as library:
        named = sum(bool(found.answer.named) for found in matcher(library.all_heard()))
    return time.perf_counter() - began, time.process_time() - cpu, named


if __name__ == "__main__":
    main()
