"""Do stated probabilities and error rates hold on real singing? No encoder or calibration was fitted on it.

Reads `singer/*.audio` with the names of RAVDESS: the sentence is the fifth number, the actor the last one (odd: male,
even: female). `verify`: each clip of one sentence against each of the other, single clips and five together, at the
threshold that ships. `identify`: everybody is enrolled with clips of one sentence, one clip or five are asked, with the
own singer enrolled and left out. A reliability plot's bins say how often the stated probability came true. Conditions:
as recorded; through effects; over a band (see `real_singing.py`).
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import measure
import numpy as np
import torch
from numpy.typing import NDArray
from real_singing import BAND_S, BANDS, band, over, through

from whosings import audio
from whosings.calibration import calibration_of
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.gallery import Gallery
from whosings.identification import Identifier
from whosings.metrics import Bin, equal_error_rate, reliability

TOGETHER = 5
LEAST_IN_A_BIN = 20
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Side:
    """Recordings to compare, each one clip or several of one singer."""

    heard: list[Embeddings]
    who: Places

    @classmethod
    def of(cls, clips: list[Embeddings], who: Places, together: int) -> Side:
        """Clips of a singer in groups, in their order; what is left over is left out."""
        heard, singers = [], []
        for singer in np.unique(who):
            own = [clip for clip, whose in zip(clips, who, strict=True) if whose == singer and len(clip.vectors)]
            for first in range(0, len(own) - together + 1, together):
                heard.append(joined(own[first : first + together]))
                singers.append(singer)
        return cls(heard, np.array(singers))


def joined(clips: list[Embeddings]) -> Embeddings:
    """Clips as one recording."""
    first = clips[0]
    starts = np.arange(sum(len(clip.vectors) for clip in clips)) * first.segment_s
    return replace(
        first,
        vectors=np.concatenate([clip.vectors for clip in clips]),
        start_s=starts,
        vocal=np.concatenate([clip.vocal for clip in clips]),
        duration_s=float(len(starts) * first.segment_s),
        share=sum(clip.amount for clip in clips) / len(starts),
    )


def verification(known: Side, asked: Side, embedder: TrackEmbedder, male: NDArray[np.bool_]) -> dict[str, float]:
    """Error rates at the threshold that ships."""
    calibration = calibration_of(embedder.checkpoint)
    sides = [
        (np.stack([e.vectors.mean(axis=0) for e in s.heard]), np.array([e.amount for e in s.heard]))
        for s in (asked, known)
    ]
    llr = calibration.ratios(*sides[0], *sides[1]).llr
    same = asked.who[:, None] == known.who
    alike = ~same & (male[asked.who][:, None] == male[known.who])
    return {
        "eer": equal_error_rate(llr[same], llr[~same]),
        "strangers_pass": float(np.mean(llr[~same] >= calibration.threshold)),
        "same_sex_pass": float(np.mean(llr[alike] >= calibration.threshold)),
        "missed": float(np.mean(llr[same] < calibration.threshold)),
    }


def identification(known: Side, asked: Side, embedder: TrackEmbedder) -> tuple[dict[str, float], tuple[Bin, ...]]:
    """What is named, right or wrong, with the own singer enrolled and not."""
    with tempfile.TemporaryDirectory() as folder, Gallery(Path(folder) / "g", embedder.fingerprint) as gallery:
        for number, (clip, who) in enumerate(zip(known.heard, known.who, strict=True)):
            gallery.add(f"{who:02d}", clip, str(number))
        identifier = Identifier(gallery, embedder)
        right, another, strangers, stated, true = [], [], [], [], []
        for clip, who in zip(asked.heard, asked.who, strict=True):
            name = f"{who:02d}"
            answer = identifier.answer(clip)
            named = answer.named[0] if answer.named else None
            right.append(named == name)
            another.append(named not in (None, name))
            stranger = identifier.answer(clip, leave_out=name)
            strangers.append(bool(stranger.named))
            stated += [1 - answer.unknown_probability, 1 - stranger.unknown_probability]
            true += [True, False]
    shares = {"named_right": np.mean(right), "named_wrong": np.mean(another), "strangers_named": np.mean(strangers)}
    return {name: float(share) for name, share in shares.items()}, reliability(np.array(stated), np.array(true))


def main() -> None:
    given = measure.arguments(
        __doc__,
        singing={"type": Path, "required": True, "help": "folder singer/*.audio with RAVDESS' names"},
        encoders={"nargs": "+", "default": ["default", "fast"]},
    )
    torch.set_num_threads(1)
    paths = [path for folder in sorted(given.singing.iterdir()) for path in sorted(folder.glob("*"))]
    paths = paths[:: 4 if given.quick else 1]
    parts = [path.stem.split("-") for path in paths]
    actors = sorted({part[6] for part in parts})
    who = np.array([actors.index(part[6]) for part in parts])
    male = np.array([int(actor) % 2 == 1 for actor in actors])
    first = np.array([part[4] == "01" for part in parts])
    alone = [audio.load(path) for path in paths]
    rng = np.random.default_rng(3)
    bands = [band(number, BAND_S) for number in range(BANDS)]
    sounds = {
        "as recorded": alone,
        "through effects": [through(clip, rng) for clip in alone],
        "over a band": [over(clip, bands[int(rng.integers(BANDS))], rng) for clip in alone],
    }
    rows, named, plots, figures = [], [], [], {}
    for name in given.encoders:
        embedder = TrackEmbedder(name)
        for condition, clips in sounds.items():
            heard = [embedder(clip) for clip in clips]
            for together in (1, TOGETHER):
                known = Side.of([e for e, one in zip(heard, first, strict=True) if one], who[first], together)
                asked = Side.of([e for e, one in zip(heard, first, strict=True) if not one], who[~first], together)
                found = verification(known, asked, embedder, male)
                answers, bins = identification(known, asked, embedder)
                rows.append((name, condition, together, *found.values()))
                named.append((name, condition, together, *answers.values()))
                plots += [
                    (name, condition, together, f"{b.probability:.2f}", f"{b.right:.2f}", b.count)
                    for b in bins
                    if b.count >= LEAST_IN_A_BIN
                ]
                key = f"{Path(name).name}_{condition.replace(' ', '_')}_{together}"
                figures |= {f"{key}_{what}": value for what, value in {**found, **answers}.items()}
    measure.table(("encoder", "condition", "clips", "EER", "strangers pass", "of one sex", "missed"), rows)
    measure.table(("encoder", "condition", "clips", "named right", "named wrong", "strangers named"), named)
    measure.table(("encoder", "condition", "clips", "stated", "observed", "answers"), plots)
    measure.finish("real_calibration", given.quick, **figures)


if __name__ == "__main__":
    main()
