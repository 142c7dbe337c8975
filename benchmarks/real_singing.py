"""Real singing: who sings a clip, alone and over a generated band, by any encoder of `whosings evaluate`.

Reads `singer/*.audio` with the names of RAVDESS (the sentence is the fifth number); clips with other names are taken in
turn. Each singer is enrolled with the clips of one sentence and probed with single clips of the other, and with five of
them together, against everybody's mean voice; over a band, the voice is 8 dB above it to 4 dB under it. EER is over all
pairs of probe and singer. A clip in which no singing is heard counts as wrong.
"""

from __future__ import annotations

from pathlib import Path

import measure
import numpy as np
import torch
from numpy.typing import NDArray

from whosings import audio
from whosings.audio import Segment
from whosings.choir.band import draw_palette, play
from whosings.choir.score import compose
from whosings.embedding import TrackEmbedder
from whosings.evaluation.baselines import open_segments
from whosings.evaluation.metrics import equal_error_rate

BANDS, TOGETHER = 40, 5
Array = NDArray[np.float64]


def main() -> None:
    given = measure.arguments(
        __doc__,
        singing={"type": Path, "required": True, "help": "folder singer/*.audio"},
        encoders={"nargs": "+", "default": ["default", "resemblyzer"]},
    )
    torch.set_num_threads(1)
    clips = [(folder.name, path) for folder in sorted(given.singing.iterdir()) for path in sorted(folder.glob("*"))]
    clips = clips[:: 10 if given.quick else 1]
    names = sorted({singer for singer, _ in clips})
    who = np.array([names.index(singer) for singer, _ in clips])
    parts = [path.stem.split("-") for _, path in clips]
    enrolled = np.array([part[4] == "01" if len(part) == 7 else n % 2 == 0 for n, part in enumerate(parts)])
    sounds = {"a cappella": [audio.load(path) for _, path in clips]}
    bands = [band(number) for number in range(BANDS)]
    rng = np.random.default_rng(3)
    sounds["over a band"] = [over(sound, bands[int(rng.integers(BANDS))], rng) for sound in sounds["a cappella"]]
    rows, figures = [], {}
    for name in given.encoders:
        embedder = TrackEmbedder(open_segments(name))
        means = {title: embed(embedder, some) for title, some in sounds.items()}
        for title, vectors in means.items():
            # Enrolled as in life, from what there is: alone for alone, over bands for over bands.
            found = compare(vectors[enrolled], who[enrolled], vectors[~enrolled], who[~enrolled])
            rows.append((title, name, int(enrolled.sum()), int((~enrolled).sum()), *found))
            key = f"{Path(name).name}_{title.replace(' ', '_')}"
            figures |= {f"{key}_top_1": found[0], f"{key}_eer": found[1], f"{key}_five": found[2]}
    measure.table(("material", "encoder", "enrolled", "probes", "top-1", "EER", "five clips together"), rows)
    measure.finish("real_singing", given.quick, singers=len(names), **figures)


def band(seed: int) -> audio.FloatArray:
    """Twenty seconds of a band that no shipped model heard."""
    rng = np.random.default_rng([77, seed])
    palette = draw_palette(rng)
    return play(palette, compose(rng, 20, 60, palette.tempo), rng)


def over(sound: Segment, music: audio.FloatArray, rng: np.random.Generator) -> Segment:
    voice = sound.samples[0]
    first = int(rng.integers(0, music.size - voice.size))
    under = music[first : first + voice.size]
    loud = voice[np.abs(voice) > 0.05 * np.abs(voice).max()]
    ratio_db = rng.uniform(-4, 8)
    mix = voice / np.sqrt(np.mean(loud**2)) + under / (under.std() + 1e-9) * 10 ** (-ratio_db / 20)
    return Segment((mix / np.abs(mix).max()).astype(np.float32)[None], 0.0, sound.track_id)


def embed(embedder: TrackEmbedder, sounds: list[Segment]) -> Array:
    """Mean vectors, of unit length; zeros where nobody is heard."""
    rows = []
    for sound in sounds:
        vectors = embedder(sound).vectors
        mean = vectors.mean(axis=0) if len(vectors) else np.zeros(vectors.shape[1])
        rows.append(mean / max(1e-9, float(np.linalg.norm(mean))))
    return np.array(rows, float)


def compare(known: Array, singer: Array, probes: Array, truth: Array) -> tuple[float, float, float]:
    """(top-1, EER, top-1 of five clips together); the mean voice of all singers is taken away, as the product does."""
    voices = np.array([known[singer == s].mean(axis=0) for s in np.unique(singer)])
    centre = voices.mean(axis=0)
    voices = unit(voices - centre)
    heard = np.linalg.norm(probes, axis=1) > 0
    scores = unit(probes - centre) @ voices.T
    right = heard & (scores.argmax(axis=1) == truth)
    own = np.eye(len(voices), dtype=bool)[truth]
    groups, answers = [], []
    for s in np.unique(truth):
        mine = probes[(truth == s) & heard]
        for first in range(0, len(mine) - TOGETHER + 1, TOGETHER):
            groups.append(mine[first : first + TOGETHER].mean(axis=0))
            answers.append(s)
    five = float(np.mean((unit(np.array(groups) - centre) @ voices.T).argmax(axis=1) == answers)) if groups else np.nan
    return float(right.mean()), equal_error_rate(scores[own], scores[~own]), five


def unit(rows: Array) -> Array:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


if __name__ == "__main__":
    main()
