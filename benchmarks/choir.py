"""Making a choir: seconds of audio per processor second by stage, one worker against two, size on disk.

The vocoder is set beside WORLD's synthesis (pyworld), the usual way to make sound of such frames.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import measure
import numpy as np
import torch

from whosings import audio
from whosings.choir.build import build
from whosings.choir.cast import draw_singer
from whosings.choir.conversion import METHODS, gather
from whosings.choir.jobs import Material
from whosings.choir.plan import Part, Preset, make_plan
from whosings.choir.songs import Performance, Song, accompany, mix, perform, produce
from whosings.choir.soundfont import find_soundfont
from whosings.sound.vocoder import FRAME_RATE, sound

SONG_S = 24.0


def main() -> None:
    given = measure.arguments(__doc__)
    torch.set_num_threads(1)
    singers = 3 if given.quick else 12
    songs = [perform(draw_singer(0, number), 0, SONG_S) for number in range(singers)]
    made = [mix(song, song.frames, song.album) for song in songs]
    heard_s = sum(song.score.duration_s for song in songs)
    rows = {name: heard_s / processor_s(work) for name, work in stages(songs, made).items()}
    measure.table(("stage", "s of audio per processor s"), list(rows.items()))

    ratio = None
    if find_spec("pyworld"):
        seconds = measure.interleaved(
            {"ours": lambda: synthesize(songs[0]), "WORLD": lambda: synthesize_by_world(songs[0])},
            3 if given.quick else 9,
        )
        ratio = seconds["WORLD"] / seconds["ours"]
        measure.table(("synthesis of one song", "s"), list(seconds.items()))

    parts = (Part(2, 2), Part(0, 0), Part(0, 0)) if given.quick else (Part(16, 3), Part(0, 0), Part(0, 0))
    plan = make_plan(Preset("timed", *parts, targets=1 if given.quick else 8, clones=2, duration_s=SONG_S))
    speeds: dict[int, float] = {}
    sizes: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            began = time.perf_counter()
            built = build(plan, Path(folder) / str(workers), workers=workers)
            speeds[workers] = len(built.manifest.tracks) / (time.perf_counter() - began) * 60
        opus = build(plan, Path(folder) / "opus", Material(format="opus"), workers=2)
        for name, result in (("flac", built), ("opus", opus)):
            files = list(result.path.parent.rglob(f"*.{name}"))
            minutes = sum(audio.probe(track.path).duration_s for track in result.manifest.tracks) / 60
            sizes[name] = sum(path.stat().st_size for path in files) / 1e6 / minutes
    measure.table(("workers", "tracks a minute"), list(speeds.items()))
    measure.table(("format", "MB a minute, three stems"), list(sizes.items()))
    steps = ("perform", "synthesize", "band", "produce", "encode")
    measure.finish(
        "choir",
        given.quick,
        song_s_per_processor_s=1 / sum(1 / rows[name] for name in steps),
        synthesis_times_faster_than_world=ratio,
        tracks_a_minute_1=speeds[1],
        tracks_a_minute_2=speeds[2],
        flac_mb_a_minute=sizes["flac"],
        opus_mb_a_minute=sizes["opus"],
    )


def stages(songs: list[Performance], made: list[Song]) -> dict[str, Callable[[], object]]:
    """Each stage's work for all songs."""
    voices = [synthesize(song) for song in songs]
    bands = [accompany(song.album, song.score, song.seed) for song in songs]
    target = gather([songs[0].frames], "the first singer")
    work: dict[str, Callable[[], object]] = {
        "perform": lambda: [perform(song.singer, 0, SONG_S) for song in songs],
        "synthesize": lambda: [synthesize(song) for song in songs],
        "band": lambda: [accompany(song.album, song.score, song.seed) for song in songs],
        "produce": lambda: [
            produce(voice, band, song.album, song.score, song.seed, 2.0)
            for song, voice, band in zip(songs, voices, bands, strict=True)
        ],
        "encode": partial(encode, made),
    }
    for name, convert in METHODS.items():
        work[f"convert: {name}"] = lambda convert=convert: [convert(song.frames, target) for song in songs]  # type: ignore[misc]
    soundfont = find_soundfont()
    if soundfont is not None and find_spec("mido"):
        work["band, FluidSynth"] = lambda: [accompany(s.album, s.score, s.seed, soundfont) for s in songs]
    return work


def encode(songs: list[Song]) -> None:
    """Mixture and stems as FLAC."""
    with tempfile.TemporaryDirectory() as folder:
        for song in songs:
            for stem in ("mixture", "vocals", "instrumental"):
                audio.write_flac(Path(folder) / f"{stem}.flac", getattr(song, stem)[None])


def synthesize(song: Performance) -> audio.FloatArray:
    return sound(song.frames, np.random.default_rng(0))


def synthesize_by_world(song: Performance) -> object:
    import pyworld

    frames = song.frames
    return pyworld.synthesize(
        frames.f0,
        np.ascontiguousarray(frames.envelope + 1e-12),
        np.ascontiguousarray(frames.aperiodicity),
        audio.SAMPLE_RATE,
        1000 / FRAME_RATE,
    )


def processor_s(work: Callable[[], object]) -> float:
    """Processor seconds of one call, its child processes included."""

    def spent() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in used)

    work()
    before = spent()
    work()
    return spent() - before


if __name__ == "__main__":
    main()
