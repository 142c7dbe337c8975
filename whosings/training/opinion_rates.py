"""What the second opinion says of recordings that did not train it: error rates by group, thresholds, the scale.

Conventions
-----------
- A *group* is a kind of material: held-out speech, singing, whole songs, clones, as recorded or produced (with a
  studio's effects, bands and codecs). Its recordings are natural or processed.
- A *long* recording has at least ``LONG`` segments, and a network's mean over them varies less: it has thresholds of
  its own.
- Logits are what a network says of a recording. A threshold is a logit here, and a score in a ``Scale``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from whosings import audio
from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.calibration_fitting import fit_logistic
from whosings.config import AnyFrontEnd
from whosings.embedding import TrackEmbedder
from whosings.encoder.checkpoint import DEFAULT, load_checkpoint
from whosings.opinion import STATED_RATE, MeasuredGroup, Scale, Spoken
from whosings.training.opinion_bank import AGAIN, BAND, NATURAL, Bank
from whosings.training.opinion_views import VIEW, crop, studio

PRODUCED = ", produced"
"""Ends the name of a group that went through a studio's effects."""
SPEECH = "speech"
"""The group on which the curve from logits to scores is fitted."""

LONG = 4

_PRODUCTIONS = 2  # long ones of a natural voice
_BANDED = 0.4  # of produced recordings
_GRID = 51
_MARGIN = 0.01  # logits

Array = NDArray[np.float64]
Listen = Callable[[Sequence[FloatArray]], float]
"""Segments of one recording, (channels, samples) each -> a logit."""


@dataclass(frozen=True)
class Heard:
    """What was said of one recording.

    Attributes:
        kind: ``NATURAL``, or how it was processed.
        who: the speaker, singer or song, whose recordings belong together.
        segments: how many it has.
    """

    group: str
    kind: str
    who: str
    logit: float
    segments: int = 1

    @property
    def natural(self) -> bool:
        """Whether it was natural."""
        return self.kind == NATURAL


@dataclass(frozen=True)
class Recording:
    """A recording to be listened to: its segments, (channels, samples) each, and what it is."""

    group: str
    kind: str
    who: str
    segments: Sequence[FloatArray]


def of_bank(group: str, bank: Bank, alone: Callable[[Tensor], Tensor] | None = None) -> Iterator[Recording]:
    """A bank's clips, each as it is, up to three seconds, and as a view with a studio's effects and bands.

    After them come long productions: views of one voice, natural or of one kind, with the same effects.

    Args:
        alone: see ``whosings.training.opinion_views.studio``.
    """
    bands = bank.of_kind(BAND)
    for number, clip in enumerate(bank.clips):
        if clip.kind in (BAND, AGAIN):
            continue
        rng = np.random.default_rng([76, number, 0])
        plain = crop(clip.samples, min(clip.samples.size, 3 * SAMPLE_RATE), rng)
        yield Recording(group, clip.kind, clip.speaker, [plain[None]])
        band = crop(bands[int(rng.choice(len(bands)))].samples, VIEW, rng) if rng.random() < _BANDED else None
        made = studio(crop(clip.samples, VIEW, rng), band, int(rng.integers(1 << 31)), alone)
        yield Recording(group + PRODUCED, clip.kind, clip.speaker, [made[None]])

    yield from _long_productions(group, bank, alone)


def _long_productions(group: str, bank: Bank, alone: Callable[[Tensor], Tensor] | None) -> Iterator[Recording]:
    bands = bank.of_kind(BAND)
    voices: dict[tuple[str, str], list[FloatArray]] = {}
    for clip in bank.clips:
        if clip.kind not in (BAND, AGAIN):
            voices.setdefault((clip.kind, clip.speaker), []).extend(_views(clip.samples))
    for number, ((kind, who), views) in enumerate(voices.items()):
        for production in range((_PRODUCTIONS if kind == NATURAL else 1) if len(views) >= LONG else 0):
            rng = np.random.default_rng([79, number, production])
            band, seed = bands[int(rng.choice(len(bands)))].samples, int(rng.integers(1 << 31))
            banded = rng.random() < _BANDED
            chosen = [views[place] for place in rng.permutation(len(views))[:LONG]]
            produced = [studio(view, crop(band, VIEW, rng) if banded else None, seed, alone)[None] for view in chosen]
            yield Recording(group + PRODUCED, kind, who, produced)


def _views(clip: NDArray[np.int16]) -> list[FloatArray]:
    """A clip's views one after another; of a short clip the one there is, repeated."""
    whole = np.tile(clip, -(-VIEW // clip.size) if clip.size < VIEW else 1).astype(np.float32) / np.float32(32768)
    return [whole[first : first + VIEW] for first in range(0, whole.size - VIEW + 1, VIEW)]


def of_files(group: str, kind: str, paths: Iterable[Path]) -> Iterator[Recording]:
    """Whole recordings by the segments that a track's embedder would hear; what holds no voice is left out.

    Raises:
        AudioError: a recording cannot be read.
    """
    cutter = TrackEmbedder(_Nothing())
    for path in paths:
        whole = audio.load(path)
        found = cutter(whole)
        segments = [whole.cut(float(start), found.segment_s).samples for start in found.start_s]
        if segments:
            yield Recording(group, kind, path.stem, segments)


def heard(listen: Listen, recordings: Iterable[Recording]) -> list[Heard]:
    """Listen to recordings."""
    return [Heard(one.group, one.kind, one.who, listen(one.segments), len(one.segments)) for one in recordings]


@dataclass(frozen=True)
class Thresholds:
    """Logits from which a voice is called resynthesised, and down to which natural; infinite where never."""

    resynthesised: float
    natural: float


def thresholds(rows: Sequence[Heard], rate: float = STATED_RATE) -> Thresholds:
    """The thresholds at which, of each group, at most ``rate`` of the recordings are on the wrong side.

    The natural one stays below the other.
    """
    alarm = max((_beyond(values, rate) for values in by_group(rows, True).values()), default=np.inf)
    miss = min((-_beyond(-values, rate) for values in by_group(rows, False).values()), default=-np.inf)
    return Thresholds(alarm, min(miss, alarm - _MARGIN))


def by_group(rows: Sequence[Heard], natural: bool) -> dict[str, Array]:
    """Logits of the natural, or of the processed recordings, by group."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.natural == natural:
            found.setdefault(row.group, []).append(row.logit)
    return {group: np.array(values) for group, values in found.items()}


def left_out(rows: Sequence[Heard], group: str) -> int:
    """How many natural recordings of a group are called resynthesised where their own singer's chose no threshold.

    Args:
        rows: all short, or all long.
    """
    wrong = 0
    for who in sorted({row.who for row in rows if row.group == group and row.natural}):
        own = [row for row in rows if row.who == who and row.group.split(",")[0] == group.split(",")[0]]
        limit = thresholds([row for row in rows if row not in own]).resynthesised
        wrong += sum(row.logit >= limit for row in own if row.natural and row.group == group)
    return wrong


def fit_scale(rows: Sequence[Heard]) -> Scale:
    """Fit a logistic regression on speech, both classes weighing the same; measure shares at 51 scores, and thresholds.

    False alarms are those of the group in which there are most, and count one recording more than was seen: no error
    rate is reported as nothing.
    """
    natural, made = by_group(rows, True), by_group(rows, False)
    line = fit_logistic(
        *(np.concatenate([v for group, v in own.items() if group.startswith(SPEECH)]) for own in (made, natural))
    )
    curve = Scale(line.scale, -line.offset / line.scale)
    grid = np.linspace(0, 1, _GRID)

    def shares(logits: Array, more: int) -> Array:
        scores = np.array([curve.score(v) for v in logits])
        return np.asarray(((scores[None] >= grid[:, None]).sum(axis=1) + more) / (scores.size + more))

    alarm = np.max([shares(values, 1) for values in natural.values()], axis=0)
    hits = np.mean([shares(values, 0) for values in made.values()], axis=0)
    levels, false_alarm, found = (tuple(round(float(v), 4) for v in values) for values in (grid, alarm, hits))
    spoken = [
        _spoken(curve, least, own)
        for least in (1, LONG)
        for own in [of_length(rows, least == LONG)]
        if by_group(own, True) and by_group(own, False)
    ]
    return replace(
        curve,
        thresholds=levels,
        false_alarm=false_alarm,
        found=found,
        spoken=tuple(spoken),
    )


def of_length(rows: Sequence[Heard], long: bool) -> list[Heard]:
    """Long recordings, or the others."""
    return [row for row in rows if (row.segments >= LONG) == long]


def _spoken(curve: Scale, segments: int, rows: Sequence[Heard]) -> Spoken:
    """The thresholds of recordings of one length, as scores."""
    said = thresholds(rows)
    natural_to, resynthesised_from = (curve.score(v) for v in (said.natural, said.resynthesised))
    groups = [
        MeasuredGroup(group, natural, values.size, int(wrong.sum()))
        for natural in (True, False)
        for group, values in by_group(rows, natural).items()
        for wrong in [values >= said.resynthesised if natural else values <= said.natural]
    ]
    lowest = natural_to if natural_to < resynthesised_from else None
    return Spoken(segments, resynthesised_from, lowest, tuple(groups))


def _beyond(values: Array, rate: float) -> float:
    """The lowest threshold that at most ``rate`` of the values reach, and a margin for what machines round."""
    allowed = int(np.floor(rate * values.size + 1e-9))
    return float(np.sort(values)[values.size - 1 - allowed]) + _MARGIN


class _Nothing:
    """Embeds nothing: to cut a track as the default encoder would have it cut."""

    fingerprint = name = "nothing"

    def __init__(self) -> None:
        self.front_end: AnyFrontEnd = load_checkpoint(DEFAULT).config.front_end

    def __call__(self, waveforms: Sequence[FloatArray]) -> FloatArray:
        return np.zeros((len(waveforms), 1), np.float32)
