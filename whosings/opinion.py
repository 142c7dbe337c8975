"""A second opinion beside an answer: does this voice sound resynthesised, or natural, or can neither be said?

Quality triage in the manner of "Not All Deepfakes Are Created Equal: Triaging Audio Forgeries for Robust Deepfake
Singer Identification" (arXiv 2510.17474): vocoders leave traces in what they make; a small network listens for them.

Conventions
-----------
- It listens to the segments that are embedded, at most ``MOST_SEGMENTS`` of them spread over the track; the track's
  logit is their mean.
- Traces are in the fine structure, so the network sees the spectrum of 32-ms frames: its log power, and how phase goes
  on from bin to bin (group delay) and from frame to frame (instantaneous frequency). Loudness does not matter.
- A score is read off the logit by a logistic curve, and is given with what was measured at that score: how many natural
  recordings score as high, and how many processed ones do (``recipes/second_opinion.py``, ``docs/second-opinion.md``).
- An opinion is spoken only beyond thresholds, at which at most ``STATED_RATE`` of the recordings of any group measured
  were on the wrong side. They lie in the weights' file, with the groups and how many recordings each had.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.errors import CheckpointError
from whosings.opinion_rows import Opinion, Sound
from whosings.tensor_file import halved, opened, write_tensors

FORMAT = "whosings-opinion-1"
SHIPPED = "weights/opinion/model.safetensors"
"""In the package's folder."""

MOST_SEGMENTS = 12
"""Segments of a track that are listened to."""
LEAST_S = 1.0
"""Seconds of voice below which there is no opinion."""
STATED_RATE = 0.05
"""Largest share of a measured group that was on the wrong side of a threshold."""

_FFT, _HOP = 512, 160
_FLOOR = 1e-6  # of power, against a segment's mean: 60 dB down
_MEAN, _STD = -6.0, 4.0  # of log powers over that floor
_SILENT = 1e-6  # root mean square


@dataclass(frozen=True)
class MeasuredGroup:
    """Recordings of one kind on which thresholds were chosen.

    Attributes:
        name: what they are.
        natural: whether they are natural or processed.
        recordings: how many.
        wrong: how many of them are called what they are not.
    """

    name: str
    natural: bool
    recordings: int
    wrong: int


@dataclass(frozen=True)
class Spoken:
    """Scores beyond which an opinion is spoken, of recordings with at least so many segments.

    Attributes:
        segments: at least 1.
        resynthesised_from: lowest score that is called resynthesised; None for never.
        natural_to: highest score that is called natural, below the former; None for never.
        groups: what these two were chosen on.
    """

    segments: int
    resynthesised_from: float | None
    natural_to: float | None
    groups: tuple[MeasuredGroup, ...] = ()

    def __post_init__(self) -> None:
        """Refuse scores that are no numbers, or that do not leave room for no opinion.

        Raises:
            ValueError: they are such.
        """
        said = [score for score in (self.natural_to, self.resynthesised_from) if score is not None]
        if not all(map(math.isfinite, said)) or any(low >= high for low, high in pairwise(said)):
            raise ValueError("no thresholds")

    def sound(self, score: float) -> Sound:
        """What is said at a score."""
        if self.resynthesised_from is not None and score >= self.resynthesised_from:
            return Sound.RESYNTHESISED
        if self.natural_to is not None and score <= self.natural_to:
            return Sound.NATURAL
        return Sound.NO_OPINION


@dataclass(frozen=True)
class Scale:
    """From logits to scores, and what was measured at them.

    Attributes:
        slope, middle: score = sigmoid(slope * (logit - middle)).
        thresholds: scores, ascending from 0 to 1.
        false_alarm, found: shares of natural and of processed recordings that score at least as high; false alarms in
            the measured material in which there are most.
        spoken: when an opinion is spoken, by ascending numbers of segments; nothing for never.
    """

    slope: float = 1.0
    middle: float = 0.0
    thresholds: tuple[float, ...] = (0.0, 1.0)
    false_alarm: tuple[float, ...] = (1.0, 0.0)
    found: tuple[float, ...] = (1.0, 0.0)
    spoken: tuple[Spoken, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a scale that cannot be read.

        Raises:
            ValueError: numbers that are not finite, thresholds that do not ascend, shares that are none or too few.
        """
        shares = (*self.false_alarm, *self.found)
        whole = len(self.thresholds) == len(self.false_alarm) == len(self.found) > 0
        ascend = all(low < high for low, high in pairwise(self.thresholds))
        finite = all(map(math.isfinite, (self.slope, self.middle, *self.thresholds)))
        ascend = ascend and all(few.segments < many.segments for few, many in pairwise(self.spoken))
        if not (whole and ascend and finite and all(0 <= share <= 1 for share in shares)):
            raise ValueError("no scale")

    @classmethod
    def read(cls, values: dict[str, Any]) -> Scale:
        """From what ``asdict`` made of one, by way of JSON.

        Raises:
            TypeError, ValueError: it is none.
        """
        spoken = [
            Spoken(**{**one, "groups": tuple(MeasuredGroup(**group) for group in one["groups"])})
            for one in values.get("spoken", ())
        ]
        plain: dict[str, Any] = {key: tuple(own) if isinstance(own, list) else own for key, own in values.items()}
        return cls(**{**plain, "spoken": tuple(spoken)})

    def score(self, logit: float) -> float:
        """0 to 1."""
        return 1 / (1 + math.exp(-min(60.0, max(-60.0, self.slope * (logit - self.middle)))))

    def opinion(self, logit: float, segments: int) -> Opinion:
        """What a mean logit says."""
        score = self.score(logit)
        below = max(0, bisect_right(self.thresholds, score) - 1)  # between two thresholds: the worse of the shares
        above = min(bisect_left(self.thresholds, score), len(self.thresholds) - 1)
        return Opinion(score, self.false_alarm[below], self.found[above], segments, self.sound(score, segments))

    def sound(self, score: float, segments: int) -> Sound:
        """What is said of a recording of so many segments at a score."""
        fitting = [one for one in self.spoken if one.segments <= segments]
        return fitting[-1].sound(score) if fitting else Sound.NO_OPINION


class ArtefactNetwork(nn.Module):
    """Waveforms (batch, samples) at 16 kHz -> logits that they are resynthesised, (batch,)."""

    window: Tensor
    advance: Tensor

    def __init__(self, channels: tuple[int, int, int, int] = (24, 32, 48, 64)) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("window", torch.hann_window(_FFT), persistent=False)
        turns = torch.arange(_FFT // 2) * (_HOP / _FFT)  # of a bin's phase from a frame to the next
        self.register_buffer("advance", torch.polar(torch.ones(_FFT // 2), -2 * math.pi * turns), persistent=False)
        sizes = (5, *channels)
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise(sizes)):
            size, stride = (5, (2, 2)) if number == 0 else (3, (2, 1 + number % 2))
            layers += [
                nn.Conv2d(before, after, size, stride, size // 2, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.maps = nn.Sequential(*layers)
        self.attention = nn.Conv2d(channels[-1], 1, kernel_size=1)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * channels[-1], 1))

    def features(self, waves: Tensor) -> Tensor:
        """(batch, 5, 256, frames): log power, and cosine and sine of both phase differences; the same at any level."""
        waves = waves - waves.mean(dim=1, keepdim=True)
        waves = waves / waves.square().mean(dim=1, keepdim=True).sqrt().clamp(min=_SILENT)
        spectrum = torch.stft(waves, _FFT, _HOP, window=self.window, center=True, return_complex=True)
        now = spectrum[:, :-1, 1:]
        # Frames are known by their middle, which turns every other bin's phase by half a circle.
        along_frequency = -spectrum[:, 1:, 1:] * now.conj()
        along_time = now * spectrum[:, :-1, :-1].conj() * self.advance[:, None]
        power = (now.real.square() + now.imag.square()) / self.window.square().sum()
        phases = [z / (z.abs() + 1e-6) for z in (along_frequency, along_time)]
        level = (torch.log(power + _FLOOR) - _MEAN) / _STD
        return torch.stack([level, *(part for z in phases for part in (z.real, z.imag))], dim=1)

    def forward(self, waves: Tensor) -> Tensor:
        """See the class."""
        maps = self.maps(self.features(waves))
        weights = F.softmax(self.attention(maps).flatten(2), dim=-1)
        flat = maps.flatten(2)
        mean = (flat * weights).sum(dim=-1)
        spread = ((flat - mean[..., None]).square() * weights).sum(dim=-1).clamp(min=1e-6).sqrt()
        logits: Tensor = self.head(torch.cat([mean, spread], dim=1))[:, 0]
        return logits


class SecondOpinion:
    """Sung segments of one track -> an opinion. The weights are read when first needed.

    Args:
        weights: a file that ``save_opinion`` wrote; None takes the one that ships with the package.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        self._path = Path(weights) if weights is not None else Path(str(files("whosings"))) / SHIPPED

    @property
    def card(self) -> dict[str, object]:
        """What the network was made of, and how well it does."""
        return self._ready[2]

    @property
    def network(self) -> ArtefactNetwork:
        """What listens, in evaluation mode."""
        return self._ready[0]

    @property
    def scale(self) -> Scale:
        """What reads its logits."""
        return self._ready[1]

    def __call__(self, segments: Sequence[FloatArray]) -> Opinion | None:
        """What it sounds like; None where there is not enough voice.

        Args:
            segments: (channels, samples) each, at 16 kHz, of one track.

        Raises:
            CheckpointError: the weights are missing, damaged, or something else.
        """
        logits = self.logits(segments)
        return self.scale.opinion(float(logits.mean()), logits.size) if logits.size else None

    @torch.inference_mode()
    def logits(self, segments: Sequence[FloatArray]) -> FloatArray:
        """Scores of the segments listened to, float32 (at most ``MOST_SEGMENTS``,); arguments and errors of a call."""
        long_enough = LEAST_S * SAMPLE_RATE
        # Places, not waveforms: of a long recording each segment is read when it is asked for.
        audible = [n for n, s in enumerate(segments) if s.shape[-1] >= long_enough and float(np.abs(s).max()) > _SILENT]
        if not audible:
            return np.zeros(0, np.float32)
        network = self._ready[0]
        places = np.linspace(0, len(audible) - 1, min(MOST_SEGMENTS, len(audible))).round().astype(int)
        waves = [np.asarray(segments[audible[n]].mean(axis=0), np.float32) for n in places]
        return np.array([float(network(torch.from_numpy(wave)[None])[0]) for wave in waves], np.float32)

    @cached_property
    def _ready(self) -> tuple[ArtefactNetwork, Scale, dict[str, object]]:
        foreign = CheckpointError(self._path, "is not a second opinion's network", "name another file")
        with opened(self._path, FORMAT, foreign) as file:
            network = ArtefactNetwork(tuple(file.header["channels"]))
            network.load_state_dict(file.tensors)
            scale, card = Scale.read(file.header["scale"]), dict(file.header["card"])
        return network.eval().requires_grad_(False), scale, card


def save_opinion(path: str | Path, network: ArtefactNetwork, scale: Scale, card: dict[str, object]) -> None:
    """Write a network in half precision, with its scale and what it was made of."""
    header = {"format": FORMAT, "channels": network.channels, "scale": asdict(scale), "card": card}
    write_tensors(path, header, halved(network.state_dict()))
