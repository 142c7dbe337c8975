"""Galleries of any size: who is named, and which strangers are, with few and with many singers enrolled.

Reads singing (`--singing`, folders singer/*.audio with RAVDESS' names: one sentence is enrolled, 10 s of the other
are asked) or whole songs (`--songs`: 20 seconds are asked, the rest is enrolled), and fills the gallery up with made
voices: speech (`--voices`, folders speaker/*.audio) at ten speeds, and as many more as are missing, drawn from a normal
distribution fitted to those. Of a choir (`--choir`, a folder of `whosings choir`) the training songs are enrolled and
the test songs asked; what is missing is drawn from a normal distribution fitted to its own singers, and where it has
many times ten singers, each ten are a gallery of their own, too. `all compete` shares the prior among all who are
enrolled, as was done before; `as it is` among those who compete. Each probe is asked twice, the second time without its
singer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import measure
import numpy as np
import soxr
import torch
from duets import HALF_S, Singer, from_clips, from_song
from numpy.typing import NDArray

import whosings.calibration
from whosings import audio
from whosings.audio import SAMPLE_RATE, FloatArray, Segment
from whosings.calibration import calibration_of, evidence
from whosings.catalogue.manifest import Manifest
from whosings.catalogue.roles import read_roles
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.enrolled import MeasuredRates, Voices
from whosings.evaluation.corpus import embed_manifest
from whosings.evaluation.verification import _embeddings as stored
from whosings.false_accepts import FalseAccepts
from whosings.gallery import Gallery
from whosings.identification import Identifier
from whosings.ranking import ReadyVoices
from whosings.vocals.detector import ActivityDetector

SIZES = 2, 5, 10, 100, 1000, 10_000
WAYS: dict[str, dict[str, int]] = {
    "all compete": {"COMPETITORS": 10**9, "_MOST_COMPETITORS": 10**9},
    "without a limit": {"_MOST_COMPETITORS": 10**9},
    "as it is": {"COMPETITORS": whosings.calibration.COMPETITORS},
}
"""Which enrolled singers compete for a recording."""
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


@dataclass(frozen=True)
class Crowd:
    """Voices that fill a gallery up: (voices, dimensions), with so many segments each.

    Attributes:
        enrolled: the voices are those who are enrolled already, and only draws from their distribution are others.
    """

    voices: FloatArray
    segments: float = 3.0
    enrolled: bool = False

    def of(self, count: int) -> FloatArray:
        """So many voices: those that were made, in any order, and draws from their distribution."""
        rng, voices = np.random.default_rng(0), self.voices
        mixed = voices[:0] if self.enrolled else voices[rng.permutation(len(voices))[:count]]
        mean, spread = voices.mean(axis=0), np.cov(voices.T) + 1e-6 * np.eye(voices.shape[1])
        more = rng.multivariate_normal(mean, spread, max(0, count - len(mixed)), method="cholesky")
        return np.concatenate([mixed, more]).astype(np.float32)


@dataclass(frozen=True)
class Probe:
    """What is asked, and whose it is."""

    singer: str
    heard: Embeddings


def parts(singer: Singer, embedder: TrackEmbedder, seconds: int) -> list[Embeddings]:
    """What is asked, in parts of so many seconds."""
    size = seconds * SAMPLE_RATE
    wave = singer.asked
    return [
        embedder(Segment(wave[None, first : first + size], 0.0, singer.name))
        for first in range(0, len(wave) - size + 1, size)
    ]


def of_choir(folder: Path, gallery: Gallery, embedder: TrackEmbedder, keep: Path, most: int) -> list[Probe]:
    """Enrols the training songs of a choir's closed singers, and returns their test songs."""
    split = read_roles(folder / "closed.parquet")
    names = sorted(split.test.by_singer)[:most]
    roles = [[track for name in names for track in part.by_singer[name]] for part in (split.train, split.test)]
    tests = {track.track_id for track in roles[1]}
    corpus = embed_manifest(embedder, Manifest((*roles[0], *roles[1])), keep, windows_of=tests).corpus
    segment_s = embedder.front_end.segment_s
    for track in roles[0]:
        gallery.add(track.singer_id, stored(corpus, track.track_id, segment_s), track.track_id)
    return [Probe(track.singer_id, stored(corpus, track.track_id, segment_s)) for track in roles[1]]


def by_size(own: Voices, size: int) -> list[Voices]:
    """All of the singers, or, where they are many times that, groups of so many."""
    if len(own.names) < 4 * size:
        return [own]
    parts = np.array_split(np.arange(len(own.names)), len(own.names) // size)
    return [Voices(tuple(own.names[n] for n in part), own.vectors[part], own.segments[part]) for part in parts]


def rows(gallery: Gallery, embedder: TrackEmbedder, probes: list[Probe], crowd: Crowd) -> Iterator[list[object]]:
    """A table: galleries of each size, with either way of competing."""
    own = gallery.voices
    for size in SIZES:
        for way, limits in WAYS.items():
            found = []
            for group in by_size(own, size):
                more = crowd.of(max(0, size - len(group.names)))
                enrolled = Voices(
                    (*group.names, *(f"~ made {number:05d}" for number in range(len(more)))),
                    np.concatenate([group.vectors, more]),
                    np.append(group.segments, np.full(len(more), crowd.segments)),
                )
                asked = [probe for probe in probes if probe.singer in group.names]
                with mock.patch.multiple(whosings.calibration, **limits):
                    found.append(shares(Identifier(gallery, embedder), asked, enrolled, gallery))
            means = (np.concatenate(column).mean() for column in zip(*found, strict=True))
            yield [f"{len(enrolled.names):,}", way, *(f"{mean:.0%}" for mean in means)]
        if len(by_size(own, size)) == 1:
            yield from measured(gallery, embedder, asked, enrolled)


def measured(
    gallery: Gallery, embedder: TrackEmbedder, probes: list[Probe], enrolled: Voices
) -> Iterator[list[object]]:
    """The same at a rate of 5 %, with the model's threshold, and with one measured on what the singers enrolled."""
    calibration, strangers = calibration_of(embedder.checkpoint), []
    for singer in {probe.singer for probe in probes}:
        tracks = gallery.tracks_of(singer)
        means = np.stack([track.vectors.mean(axis=0) for track in tracks])
        others = ReadyVoices.of(enrolled.without(singer), calibration)
        amounts = np.array([track.segments for track in tracks])
        strangers += evidence(others.compare(means, amounts).llr).max(axis=1).tolist()
    rates = MeasuredRates(len(enrolled.names), len(strangers), FalseAccepts.measured(np.array(strangers)))
    for way, kept in (("5 %, the model's", None), ("5 %, measured on it", rates)):
        gallery.__dict__["rates"] = kept
        found = shares(Identifier(gallery, embedder, false_accepts=0.05), probes, enrolled, gallery)
        yield [f"{len(enrolled.names):,}", way, *(f"{column.mean():.0%}" for column in found)]
    gallery.__dict__["rates"] = None


def shares(identifier: Identifier, probes: list[Probe], voices: Voices, gallery: Gallery) -> list[NDArray[np.bool_]]:
    """Of each probe: whether it is named right, wrongly, and, without its singer, at all."""
    gallery.__dict__["voices"] = voices  # the gallery's own, among made ones
    named = [(probe.singer, identifier.answer(probe.heard).named) for probe in probes]
    strangers = [identifier.answer(probe.heard, leave_out=probe.singer).named for probe in probes]
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
        voices={"type": Path, "help": "folder speaker/*.audio of speech; for singing and songs"},
        keep={"type": Path, "help": "file that keeps the made voices"},
        choir={"type": Path, "help": "folder of a choir, with closed.parquet"},
        store={"type": Path, "help": "Parquet file that keeps the choir's embeddings"},
        singers={"type": int, "default": 1000, "help": "most singers of the choir"},
        encoder={"default": "default"},
    )
    torch.set_num_threads(1)
    embedder, detector = TrackEmbedder(given.encoder), ActivityDetector()
    columns = ("enrolled", "way", "named right", "somebody else", "strangers named")
    if given.choir is not None:
        with tempfile.TemporaryDirectory() as place, Gallery(Path(place) / "g", embedder.fingerprint) as gallery:
            store = given.store or Path(place) / "choir.parquet"
            probes = of_choir(given.choir, gallery, embedder, store, 10 if given.quick else given.singers)
            own = gallery.voices
            print(f"\n{given.choir.name}: {len(own.names)} singers, {len(probes)} probes")
            crowd = Crowd(own.vectors, float(np.median(own.segments)), enrolled=True)
            measure.table(columns, list(rows(gallery, embedder, probes, crowd)))
    if given.voices is None:
        return
    crowd = Crowd(made_voices(given.voices, embedder, 100 if given.quick else 10_000, given.keep))
    for folder, read, seconds in (
        (given.songs, lambda path: from_song(path, detector), HALF_S),
        (given.singing, from_clips, PART_S),
    ):
        if folder is None:
            continue
        paths = [path for path in sorted(folder.iterdir()) if path.is_dir() or path.suffix in audio.AUDIO_ENDINGS]
        singers = [read(path) for path in paths if path.name != "words"]
        probes = [Probe(singer.name, part) for singer in singers for part in parts(singer, embedder, seconds)]
        print(f"\n{folder.name}: {len(singers)} singers, {len(probes)} probes")
        with tempfile.TemporaryDirectory() as place, Gallery(Path(place) / "g", embedder.fingerprint) as gallery:
            for singer in singers:
                gallery.add(singer.name, embedder(Segment(singer.enrolled[None], 0.0, singer.name)), singer.name)
            measure.table(columns, list(rows(gallery, embedder, probes, crowd)))


if __name__ == "__main__":
    main()
