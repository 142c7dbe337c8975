"""Do stated probabilities and error rates hold on real singing? No encoder or calibration was fitted on it.

Reads `singer/*.audio` with the names of RAVDESS: the sentence is the fifth number, the actor the last one (odd: male,
even: female). `verify`: each clip of one sentence against each of the other, single clips and five together, at the
threshold that ships. `identify`: everybody is enrolled with clips of one sentence, one clip or five are asked, with the
own singer enrolled and left out. A reliability plot's bins say how often the stated probability came true. Conditions:
as recorded; through effects; over a band (see `real_singing.py`).
"""

from __future__ import annotations

import tempfile
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import measure
import numpy as np
import torch
from numpy.typing import NDArray
from real_singing import BAND_S, BANDS, band, over, through

from whosings import audio
from whosings.answer import Answer
from whosings.calibration import calibration_of
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.gallery import Gallery
from whosings.identification import Identifier
from whosings.metrics import Bin, equal_error_rate, reliability

TOGETHER = 5
LEAST_IN_A_BIN = 20
RATES = (0.001, 0.01, 0.05)
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
    begins = np.cumsum([0.0, *(clip.duration_s for clip in clips)])
    pairs = [(clip.windows, begin) for clip, begin in zip(clips, begins, strict=False) if clip.windows is not None]
    windows = None
    if pairs:
        at = np.concatenate([begin + one.start_s for one, begin in pairs])
        windows = replace(pairs[0][0], vectors=np.concatenate([one.vectors for one, _ in pairs]), start_s=at)
    return replace(
        first,
        windows=windows,
        vectors=np.concatenate([clip.vectors for clip in clips]),
        start_s=starts,
        vocal=np.concatenate([clip.vocal for clip in clips]),
        duration_s=float(len(starts) * first.segment_s),
        share=sum(clip.amount for clip in clips) / len(starts),
    )


@dataclass(frozen=True)
class Passed:
    """Shares at one threshold of ``verify``: strangers, and those of one sex, who pass; pairs of one singer missed."""

    rate: str
    strangers: float
    of_one_sex: float
    missed: float


def verification(
    known: Side, asked: Side, embedder: TrackEmbedder, male: NDArray[np.bool_]
) -> tuple[float, list[Passed]]:
    """Equal error rate, and shares at the thresholds that ship."""
    calibration = calibration_of(embedder.checkpoint)
    sides = [
        (np.stack([e.vectors.mean(axis=0) for e in s.heard]), np.array([e.amount for e in s.heard]))
        for s in (asked, known)
    ]
    llr = calibration.ratios(*sides[0], *sides[1]).llr
    same = asked.who[:, None] == known.who
    alike = ~same & (male[asked.who][:, None] == male[known.who])
    found = []
    for rate in RATES:
        least = calibration.verify_threshold(rate)
        shares = (np.mean(llr[~same] >= least), np.mean(llr[alike] >= least), np.mean(llr[same] < least))
        found.append(Passed(f"{100 * rate:g} %", *map(float, shares)))
    return equal_error_rate(llr[same], llr[~same]), found


@dataclass(frozen=True)
class Named:
    """Shares of probes.

    Attributes:
        way: the false-accept rate that was stated, or even odds.
        right, wrong: of enrolled singers that are given the right name, and another one.
        look: of enrolled singers that are named right or worth a look under the right name.
        strangers, strangers_look: of singers who are left out that are given a name, and that are that or worth a look.
    """

    way: str
    right: float
    wrong: float
    look: float
    strangers: float
    strangers_look: float


def identification(known: Side, asked: Side, embedder: TrackEmbedder) -> tuple[list[Named], tuple[Bin, ...]]:
    """What is named, right or wrong, with the own singer enrolled and not; and how often probabilities came true."""
    with tempfile.TemporaryDirectory() as folder, Gallery(Path(folder) / "g", embedder.fingerprint) as gallery:
        for number, (clip, who) in enumerate(zip(known.heard, known.who, strict=True)):
            gallery.add(f"{who:02d}", clip, str(number))
        even = Identifier(gallery, embedder, 0.5)
        ways = {"even odds": even.terms}
        for rate in RATES:
            ways[f"{100 * rate:g} %"] = Identifier(gallery, embedder, false_accepts=rate).terms
        names = [f"{who:02d}" for who in asked.who]
        answers = [even.answer(clip) for clip in asked.heard]
        strangers = [even.answer(clip, leave_out=name) for clip, name in zip(asked.heard, names, strict=True)]
    stated = [1 - answer.unknown_probability for answer in (*answers, *strangers)]
    right = np.array([answer.top[0].singer == name for answer, name in zip(answers, names, strict=True)])
    own, others = (np.array([nats(answer) for answer in some]) for some in (answers, strangers))
    found = [
        Named(
            way,
            float(np.mean((own >= terms.named_nats) & right)),
            float(np.mean((own >= terms.named_nats) & ~right)),
            float(np.mean((own >= terms.look_nats) & right)),
            float(np.mean(others >= terms.named_nats)),
            float(np.mean(others >= terms.look_nats)),
        )
        for way, terms in ways.items()
    ]
    return found, reliability(np.array(stated), np.repeat([True, False], len(names)))


def nats(answer: Answer) -> float:
    """Log-odds of the best singer against somebody else, at even odds, which is what thresholds are for."""
    return float(np.log(answer.top[0].probability / max(answer.unknown_probability, 1e-12)))


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
                eer, passed = verification(known, asked, embedder, male)
                answers, bins = identification(known, asked, embedder)
                rows += [(name, condition, together, eer, *astuple(row)) for row in passed]
                named += [(name, condition, together, *astuple(answer)) for answer in answers]
                plots += [
                    (name, condition, together, f"{b.probability:.2f}", f"{b.right:.2f}", b.count)
                    for b in bins
                    if b.count >= LEAST_IN_A_BIN
                ]
                key = f"{Path(name).name}_{condition.replace(' ', '_')}_{together}"
                figures |= {f"{key}_eer": eer}
                figures |= {f"{key}_strangers_pass_at_{row.rate}": row.strangers for row in passed}
                figures |= {f"{key}_strangers_named_at_{answer.way}": answer.strangers for answer in answers}
    measure.table(("encoder", "condition", "clips", "EER", "rate", "strangers pass", "of one sex", "missed"), rows)
    heads = ("rate", "named right", "named wrong", "with worth a look", "strangers named", "with worth a look")
    measure.table(("encoder", "condition", "clips", *heads), named)
    measure.table(("encoder", "condition", "clips", "stated", "observed", "answers"), plots)
    measure.finish("real_calibration", given.quick, **figures)


if __name__ == "__main__":
    main()
