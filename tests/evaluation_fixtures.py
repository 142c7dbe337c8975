"""Made corpora for evaluation tests: clouds of unit vectors around singers, with manifests to match."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whosings.catalogue.manifest import Manifest, Track
from whosings.catalogue.roles import SingerSplit
from whosings.evaluation.corpus import Corpus


@dataclass(frozen=True)
class Scene:
    """Singers with roles, clones of some, and everything embedded."""

    split: SingerSplit
    clones: tuple[Track, ...]
    corpus: Corpus


def scene(singers: int = 12, train: int = 3, clones: int = 4, spread: float = 0.3, seed: int = 0) -> Scene:
    """Each clone sounds like its target, by half like its source; singer n clones singer n + 1 over its own band."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(singers, 16))
    tracks: list[Track] = []
    clouds: list[np.ndarray] = []

    def add(track: Track, centre: np.ndarray) -> Track:
        tracks.append(track)
        clouds.append(centre + spread * rng.normal(size=(int(rng.integers(4, 9)), 16)))
        return track

    def named(number: int, song: int) -> Track:
        name = f"s{number:02d}"
        return Track(
            f"{name}/{song}",
            name,
            Path(f"{name}-{song}.flac"),
            album=f"album {song // 2}",
            genre=("folk", "rock")[number % 2],
            language="qaa",
            sha256=f"{number}-{song}",
        )

    parts: dict[str, list[Track]] = {"train": [], "validation": [], "test": []}
    for number in range(singers):
        for song in range(train + 2):
            role = ("test", "validation", "train")[min(song, 2)]
            parts[role].append(add(named(number, song), centres[number]))
    made = []
    for number in range(clones):
        source, target = number, number + 1
        clone = Track(
            f"clone-{number}",
            f"s{source:02d}",
            Path(f"clone-{number}.flac"),
            cloned=True,
            target_singer_ids=(f"s{target:02d}",),
            clone_method=("neighbours", "statistics")[number % 2],
            instrumental_singer_id=(f"s{source:02d}", "s09", "stranger")[number % 3],
            sha256=f"clone-{number}",
        )
        made.append(add(clone, centres[target] + 0.5 * centres[source]))
    lengths = [len(cloud) for cloud in clouds]
    vectors = np.concatenate(clouds)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    corpus = Corpus(
        tuple(tracks),
        vectors.astype(np.float32),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([3.0 * np.arange(length) for length in lengths]),
        "made",
    )
    return Scene(SingerSplit(*(Manifest(tuple(parts[role])) for role in parts)), tuple(made), corpus)
