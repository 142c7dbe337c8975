"""Galleries of any size: who is named, and which strangers are, with few and with many singers enrolled.

Reads singing (`--singing`, folders singer/*.audio with RAVDESS' names: one sentence is enrolled, 10 s of the other
are asked) or whole songs (`--songs`: 20 seconds are asked, the rest is enrolled), and fills the gallery up with made
voices: speech (`--voices`, folders speaker/*.audio) at ten speeds, and as many more as are missing, drawn from a normal
distribution fitted to those. `all compete` shares the prior among all who are enrolled, as was done before; `as it is`
among those who compete. Each probe is asked twice, the second time without its singer.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import measure
import numpy as np
import soxr
import torch
from duets import HALF_S, Singer, from_clips, from_song
from numpy.typing import NDArray

import whosings.calibration
from whosings import audio
from whosings.audio import SAMPLE_RATE, FloatArray, Segment
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.enrolled import Voices
from whosings.gallery import Gallery
from whosings.identification import Identifier
from whosings.vocals.detector import ActivityDetector

SIZES = 10, 100, 1000, 10_000
SPEEDS = (0.76, 0.82, 0.88, 0.94, 1.0, 1.06, 1.13, 1.2, 1.28, 1.36)
PART_S = 10


def made_voices(folder: Path, embedder: TrackEmbedder, most: int, keep: Path | None) -> FloatArray:
    """Mean embeddings, (voices, dimensions)."""
    if keep is not None and keep.exists():
        return np.asarray(np.load(keep)["v"], np.float32)
    means = []
    for speaker in sorted(path for path in folder.iterdir() if path.is_dir()):
        wave = audio.load(sorted(speaker.glob("*"))[0]).samples[0, : 14 * SAMPLE_RATE]
        for speed in SPEEDS:
            other = soxr.resample(wave, SAMPLE_RATE * speed, SAMPLE_RATE)
            starts = np.arange(0, max(1e-3, len(other) / SAMPLE_RATE - 6), 3.0)[:3]
            means.append(embedder.at(Segment(other[None], 0.0, speaker.name), starts).mean(axis=0))
        if len(means) >= most:
            break
    if keep is not None:
        np.savez(keep, v=np.stack(means))
    return np.stack(means)


def filled(voices: FloatArray, count: int) -> FloatArray:
    """So many voices: those that were made, in any order, and draws from their distribution."""
    rng = np.random.default_rng(0)
    mixed = voices[rng.permutation(len(voices))[:count]]
    mean, spread = voices.mean(axis=0), np.cov(voices.T) + 1e-6 * np.eye(voices.shape[1])
    more = rng.multivariate_normal(mean, spread, max(0, count - len(mixed)), method="cholesky")
    return np.concatenate([mixed, more]).astype(np.float32)


def parts(singer: Singer, embedder: TrackEmbedder, seconds: int) -> list[Embeddings]:
    """What is asked, in parts of so many seconds."""
    size = seconds * SAMPLE_RATE
    wave = singer.asked
    return [
        embedder(Segment(wave[None, first : first + size], 0.0, singer.name))
        for first in range(0, len(wave) - size + 1, size)
    ]


def shares(
    identifier: Identifier, probes: list[tuple[str, Embeddings]], voices: Voices, gallery: Gallery
) -> list[NDArray[np.bool_]]:
    """Of each probe: whether it is named right, wrongly, and, without its singer, at all."""
    gallery.__dict__["voices"] = voices  # the gallery's own, among made ones
    named = [(name, identifier.answer(probe).named) for name, probe in probes]
    strangers = [identifier.answer(probe, leave_out=name).named for name, probe in probes]
    return [
        np.array([name in found for name, found in named]),
        np.array([bool(set(found) - {name}) for name, found in named]),
        np.array([bool(found) for found in strangers]),
    ]


def main() -> None:
    given = measure.arguments(
        __doc__,
        singing={"type": Path, "help": "folder singer/*.audio with RAVDESS' names"},
        songs={"type": Path, "help": "folder of whole songs"},
        voices={"type": Path, "required": True, "help": "folder speaker/*.audio of speech"},
        keep={"type": Path, "help": "file that keeps the made voices"},
        encoder={"default": "default"},
    )
    torch.set_num_threads(1)
    embedder, detector = TrackEmbedder(given.encoder), ActivityDetector()
    made = made_voices(given.voices, embedder, 100 if given.quick else 10_000, given.keep)
    for folder, read, seconds in (
        (given.songs, lambda path: from_song(path, detector), HALF_S),
        (given.singing, from_clips, PART_S),
    ):
        if folder is None:
            continue
        paths = [path for path in sorted(folder.iterdir()) if path.is_dir() or path.suffix in audio.AUDIO_ENDINGS]
        singers = [read(path) for path in paths if path.name != "words"]
        probes = [(singer.name, part) for singer in singers for part in parts(singer, embedder, seconds)]
        print(f"\n{folder.name}: {len(singers)} singers, {len(probes)} probes")
        rows: list[list[object]] = []
        with tempfile.TemporaryDirectory() as place, Gallery(Path(place) / "g", embedder.fingerprint) as gallery:
            for singer in singers:
                gallery.add(singer.name, embedder(Segment(singer.enrolled[None], 0.0, singer.name)), singer.name)
            own = gallery.voices
            for size in SIZES:
                more = filled(made, max(0, size - len(own.names)))
                names = (*own.names, *(f"~ made {number:05d}" for number in range(len(more))))
                vectors = np.concatenate([own.vectors, more])
                all_of_them = replace(
                    own, names=names, vectors=vectors, segments=np.append(own.segments, np.full(len(more), 3.0))
                )
                for way, least in (("all compete", 10**9), ("as it is", whosings.calibration.COMPETITORS)):
                    kept, whosings.calibration.COMPETITORS = whosings.calibration.COMPETITORS, least
                    found = shares(Identifier(gallery, embedder), probes, all_of_them, gallery)
                    whosings.calibration.COMPETITORS = kept
                    rows.append([f"{len(names):,}", way, *(f"{share.mean():.0%}" for share in found)])
        measure.table(("enrolled", "way", "named right", "somebody else", "strangers named"), rows)


if __name__ == "__main__":
    main()
