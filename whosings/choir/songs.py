"""Songs of generated singers as files with stems and a manifest: for the demo, for tests and for first trainings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whosings import audio
from whosings.audio import FloatArray
from whosings.catalogue.manifest import Manifest, Track, write_manifest
from whosings.choir.band import Palette, draw_palette, play
from whosings.choir.score import compose
from whosings.choir.voice import Voice, draw_voice, sing
from whosings.files import content_hash

MANIFEST = "choir.parquet"


@dataclass(frozen=True)
class Singer:
    """A generated singer: a voice and the band it usually sings with."""

    name: str
    voice: Voice
    palette: Palette


@dataclass(frozen=True)
class Song:
    """Stems and mixture of one song: float32 (samples,) at 16 kHz, peaks at most 0.95."""

    mixture: FloatArray
    vocals: FloatArray
    instrumental: FloatArray


def draw_singer(seed: int, number: int) -> Singer:
    """Singer ``number`` of a seed; the same on every machine."""
    rng = np.random.default_rng([seed, 0, number])
    return Singer(f"singer-{number:03d}", draw_voice(rng), draw_palette(rng))


def record(singer: Singer, seed: int, number: int, duration_s: float, voice_db: float = 3.0) -> Song:
    """Song ``number`` of a singer.

    Args:
        duration_s: at least; songs end with a bar.
        voice_db: level of the voice over the band.
    """
    rng = np.random.default_rng([seed, 1, int(singer.name.removeprefix("singer-")), number])
    score = compose(
        rng, duration_s, singer.voice.centre + rng.normal(0, 1.5), singer.palette.tempo * float(rng.uniform(0.9, 1.1))
    )
    voice, band = sing(singer.voice, score, rng), play(singer.palette, score, rng)
    loudness = [np.sqrt(np.mean(stem[np.abs(stem) > 0.01] ** 2) + 1e-12) for stem in (voice, band)]
    band = band * np.float32(loudness[0] / loudness[1] * 10 ** (-voice_db / 20))
    scale = np.float32(0.95 / max(np.abs(voice + band).max(), np.abs(voice).max(), np.abs(band).max()))
    return Song((voice + band) * scale, voice * scale, band * scale)


def write_choir(
    folder: str | Path,
    singers: int,
    songs: int,
    duration_s: float,
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> Manifest:
    """Write ``Singer/song.flac`` with stems beside it, and a manifest; files that are already there are kept.

    Args:
        progress: called after each song.
    """
    folder = Path(folder)
    tracks: list[Track] = []
    for singer_number in range(singers):
        singer = draw_singer(seed, singer_number)
        for number in range(songs):
            base = folder / "songs" / singer.name / f"song-{number:02d}.flac"
            stems = folder / "stems" / singer.name
            paths = {
                "mixture": base,
                "vocals": stems / f"song-{number:02d}.vocals.flac",
                "instrumental": stems / f"song-{number:02d}.instrumental.flac",
            }
            if not all(path.exists() for path in paths.values()):
                song = record(singer, seed, number, duration_s)
                for stem, path in paths.items():
                    audio.write_flac(path, getattr(song, stem)[None])
            tracks.append(
                Track(
                    track_id=f"{singer.name}/{number:02d}",
                    singer_id=singer.name,
                    path=base,
                    title=f"Song {number}",
                    vocals_path=paths["vocals"],
                    instrumental_path=paths["instrumental"],
                    licence="CC0-1.0",
                    sha256=content_hash(base),
                )
            )
            progress()
    manifest = Manifest(tuple(tracks))
    write_manifest(manifest, folder / MANIFEST)
    return manifest
