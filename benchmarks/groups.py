"""Groups of voices that nobody named: purity and completeness, and what they cost.

Made voices are drawn from normal distributions between and within singers, singers having one to three hundred songs
(`--singing` and `--speech`, folders singer/*.audio, are real ones, each file a recording). Purity is the share of a
recording's group that has its singer, completeness the share of its singer's recordings that are in its group, both
averaged over recordings (B-cubed, Bagga and Baldwin 1998). `ranked` is the share of right ones among as many best
matches of a recording as its singer has other recordings.
"""

from __future__ import annotations

import time
from pathlib import Path

import measure
import numpy as np
import torch
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.calibration import Calibration, calibration_of
from whosings.embedding import TrackEmbedder
from whosings.encoder.checkpoint import load_checkpoint
from whosings.errors import AudioError
from whosings.heard import hear
from whosings.library.clustering import clusters

SIZES = 100, 1000, 10_000, 100_000
WITHIN = 0.45  # spread within a singer over that between singers: cosines of about 0.83, as generated songs have
MOST_SONGS = 300


def made(count: int, dimensions: int, calibration: Calibration) -> tuple[FloatArray, NDArray[np.float64], NDArray]:
    """Means, amounts and singers of so many voices."""
    rng = np.random.default_rng(count)
    songs = np.minimum(rng.pareto(1.0, count) + 1, MOST_SONGS).astype(int)
    singers = np.repeat(np.arange(count), songs)[:count]
    # Few directions carry most of what tells voices apart, as in real embeddings: strangers are alike at times.
    scale = np.exp(-np.arange(dimensions) / 24)
    centres = rng.standard_normal((singers.max() + 1, dimensions)) * scale
    rest = WITHIN * rng.standard_normal((count, dimensions)) * scale
    means = np.asarray(calibration.centre) + 0.1 * (centres[singers] + rest)
    return means.astype(np.float32), rng.uniform(5, 60, count), singers


def real(folder: Path, each: int, embedder: TrackEmbedder) -> tuple[FloatArray, NDArray[np.float64], NDArray]:
    """The same of the longest heard voices of real recordings, of each singer at most so many."""
    calibration = calibration_of(embedder.checkpoint)
    files = [sorted(singer.iterdir()) for singer in sorted(folder.iterdir()) if singer.is_dir()]
    # Spread over all that there is: RAVDESS' clips are in the order of emotions.
    paths = [path for own in files for path in own[:: max(1, len(own) // each)][:each]]
    heard = [
        (path.parent.name, hear(found, calibration).voices)
        for path, found in zip(paths, embedder.many(paths), strict=True)
        if not isinstance(found, AudioError)
    ]
    kept = [(name, voices[0]) for name, voices in heard if voices]
    means, amounts = np.stack([voice.mean for _, voice in kept]), np.array([voice.amount for _, voice in kept])
    return means, amounts, np.unique([name for name, _ in kept], return_inverse=True)[1]


def agreement(found: NDArray, truth: NDArray) -> tuple[float, float]:
    """Purity and completeness."""
    pairs = found.astype(np.int64) * (truth.max() + 1) + truth
    _, place, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    both = counts[place]
    return float(np.mean(both / np.bincount(found)[found])), float(np.mean(both / np.bincount(truth)[truth]))


def ranked(means: FloatArray, amounts: NDArray[np.float64], truth: NDArray, calibration: Calibration) -> float:
    """Share of right ones among the best matches."""
    shares = []
    for place in np.random.default_rng(0).permutation(len(truth))[:300]:
        others = np.flatnonzero(np.arange(len(truth)) != place)
        own = truth[others] == truth[place]
        if own.any():
            llr = calibration.ratios(means[others], amounts[others], means[[place]], amounts[[place]]).llr[:, 0]
            shares.append(own[np.argsort(-llr)[: own.sum()]].mean())
    return float(np.mean(shares)) if shares else float("nan")


def main() -> None:
    given = measure.arguments(
        __doc__,
        singing={"type": Path, "help": "folder singer/*.audio of singing"},
        speech={"type": Path, "help": "folder speaker/*.audio of speech"},
        each={"type": int, "default": 14, "help": "recordings of a singer"},
        most={"type": int, "default": 100_000, "help": "made voices"},
        encoder={"default": "default"},
    )
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(given.encoder)
    calibration = calibration_of(checkpoint)
    rows: list[list[object]] = []
    figures: dict[str, float] = {}
    sets = []
    for folder in (given.singing, given.speech):
        if folder is not None:
            sets.append((folder.name, lambda folder=folder: real(folder, given.each, TrackEmbedder(given.encoder))))
    for size in SIZES[: 2 if given.quick else None]:
        if size <= given.most:
            sets.append(("made", lambda size=size: made(size, checkpoint.dimensions, calibration)))
    for name, read in sets:
        means, amounts, truth = read()
        started = time.process_time()
        found = clusters(means, amounts, calibration)
        seconds = time.process_time() - started
        purity, completeness = agreement(found, truth)
        right = ranked(means, amounts, truth, calibration)
        rows.append(
            [name, len(truth), truth.max() + 1, found.max() + 1, *(f"{x:.3f}" for x in (purity, completeness, right))]
        )
        rows[-1].append(f"{seconds:.1f}")
        figures |= {f"purity_{name}_{len(truth)}": purity, f"completeness_{name}_{len(truth)}": completeness}
    header = ["voices", "recordings", "singers", "groups", "purity", "completeness", "ranked", "busy s"]
    measure.table(header, rows)
    measure.finish("groups", given.quick, **figures)


if __name__ == "__main__":
    main()
