"""The network that hears singing: a small convolutional net over the log-mel of a whole track (paper, section 3.1).

Conventions
-----------
- It gives a probability every 50 ms, each from about 1.2 s of sound on both sides; a 3-second piece's probability is
  read from the share of its frames in which somebody sings, through a logistic curve fitted on material that did not
  train (``recipes/vocal_activity.py``).
- Voices are singing, humming, choirs, rap, screams and speech alike. Instruments that imitate a voice are not.
- Loudness does not matter: a track is brought to a common level, and a piece far under its loud ones is silence.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from whosings.audio import SAMPLE_RATE, FloatArray, Segment
from whosings.config import FrontEndConfig
from whosings.errors import CheckpointError
from whosings.files import content_hash
from whosings.progress import Progress, silent, stage
from whosings.spectrogram import LogMel
from whosings.spool import Sound
from whosings.tensor_file import halved, opened, write_tensors
from whosings.vocals.activity import PIECE_S, Activity, audible, piece_levels_db

FORMAT = "whosings-activity-1"
SHIPPED = "weights/activity/model.safetensors"
"""In the package's folder."""

FRONT_END = FrontEndConfig(channels=1, peak_normalise=False)
_STRIDE = 2  # log-mel frames to one of the network's
FRAME_S = FRONT_END.hop * _STRIDE / SAMPLE_RATE
"""Seconds a frame of the network."""

_FRAMES = round(PIECE_S / FRAME_S)  # of a piece
LEVEL = 0.125
"""Root mean square that loud pieces are brought to."""

_MEAN, _STD, _FLOOR = -5.0, 5.0, -12.0  # of log-mels at that level
_QUIET_DB = -45.0  # under the loud pieces: silence
_BLOCK = 2400  # log-mel frames that are in the network at once: a minute
_CONTEXT = 96  # log-mel frames on both sides of a block, more than the network looks at; a multiple of the stride


@dataclass(frozen=True)
class Curve:
    """From the share of sung frames of a piece to a probability: sigmoid(slope * (logit(share) - middle))."""

    slope: float = 1.0
    middle: float = 0.0


class ActivityNetwork(nn.Module):
    """Log-mel (batch, 1, mel_bins, frames) at ``LEVEL`` -> logits of singing (batch, frames // 2)."""

    def __init__(self, channels: tuple[int, int, int] = (24, 48, 64), width: int = 128) -> None:
        super().__init__()
        self.channels, self.width = channels, width
        first, second, third = channels
        self.stem = nn.Sequential(
            _ZeroMean(1, first, 5, stride=(2, _STRIDE), padding=2, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=(2, 1), padding=1, bias=False),
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.Conv2d(second, third, 3, stride=(2, 1), padding=1, bias=False),
            nn.BatchNorm2d(third),
            nn.ReLU(),
            nn.Conv2d(third, third, 3, stride=(2, 1), padding=1, groups=third, bias=False),
            nn.BatchNorm2d(third),
            nn.ReLU(),
        )
        self.drop = nn.Dropout(0.2)
        self.merge = nn.Conv1d(third * (FRONT_END.mel_bins // 16), width, kernel_size=1)
        self.norm = nn.BatchNorm1d(width)
        self.blocks = nn.ModuleList(_Block(width, dilation) for dilation in (1, 2, 4))
        self.head = nn.Conv1d(width, 1, kernel_size=1)

    def forward(self, log_mel: Tensor) -> Tensor:
        """See the class."""
        maps = self.stem((log_mel.clamp(min=_FLOOR) - _MEAN) / _STD)
        maps = F.relu(self.norm(self.merge(self.drop(maps.flatten(1, 2)))))
        for block in self.blocks:
            maps = block(maps)
        logits: Tensor = self.head(self.drop(maps))[:, 0]
        return logits


class _ZeroMean(nn.Conv2d):
    """Kernels whose weights sum to zero: a change of level, anywhere in the spectrum, changes nothing.

    Schlüter and Lehner, "Zero-mean convolutions for level-invariant singing voice detection" (ISMIR 2018).
    """

    def forward(self, maps: Tensor) -> Tensor:
        kernels = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return F.conv2d(maps, kernels, None, self.stride, self.padding)


class _Block(nn.Module):
    """(batch, width, frames) -> the same: depthwise over time, pointwise, with a residual."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 7, padding=3 * dilation, dilation=dilation, groups=width)
        self.norm = nn.BatchNorm1d(width)
        self.pointwise = nn.Conv1d(width, width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        change: Tensor = F.relu(self.pointwise(F.relu(self.norm(self.depthwise(maps)))))
        return maps + change


class ActivityDetector:
    """Waveforms of whole tracks -> where somebody sings.

    Args:
        weights: a file that ``save_detector`` wrote; None takes the one that ships with the package.

    Raises:
        CheckpointError: missing, damaged, or something else.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        path = Path(weights) if weights is not None else Path(str(files("whosings"))) / SHIPPED
        foreign = CheckpointError(path, "is not a vocal activity network", "name another file")
        with opened(path, FORMAT, foreign) as file:
            self._network = ActivityNetwork(tuple(file.header["channels"]), file.header["width"])
            self._network.load_state_dict(file.tensors)
            self._curve = Curve(**file.header["curve"])
            self.card: dict[str, object] = file.header["card"]
        self._network.eval().requires_grad_(False)
        self._log_mel = LogMel(FRONT_END)
        self.fingerprint = content_hash(path)
        """Hash of the file: what judged a piece."""

    def frames(self, samples: FloatArray) -> FloatArray:
        """Probability of singing every 50 ms: (frames,).

        Args:
            samples: (channels, samples) at 16 kHz, of a whole track.
        """
        sound = Segment(samples, 0.0, "")
        return self._frames(sound, _loud_db(piece_levels_db(sound)), silent)

    @torch.inference_mode()
    def _frames(self, sound: Sound, loud_db: float, progress: Progress) -> FloatArray:
        gain = np.float32(LEVEL / max(10 ** (loud_db / 20), 1e-4))
        hop, least = FRONT_END.hop, 2 * FRONT_END.fft_size
        total = -(-round(sound.duration_s * SAMPLE_RATE) // (hop * _STRIDE)) * _STRIDE  # the last one padded
        found = []
        with stage(progress, f"listening to {Path(sound.track_id).name}", -(-total // _BLOCK)) as step:
            for first in range(0, total, _BLOCK):
                begin, end = max(0, first - _CONTEXT), min(total, first + _BLOCK + _CONTEXT)
                size = min(max((end - begin) * hop, least), max(total * hop, least) - begin * hop)
                mono = sound.cut(begin * hop / SAMPLE_RATE, size / SAMPLE_RATE).samples.mean(axis=0)
                wave = torch.from_numpy(np.pad(np.asarray(mono, np.float32) * gain, (0, size - mono.size)))
                logits = self._network(self._log_mel(wave[None, None]))[0]
                skip, frames = (first - begin) // _STRIDE, (min(total, first + _BLOCK) - first) // _STRIDE
                found.append(torch.sigmoid(logits[skip : skip + frames]).numpy())
                step(len(found))
        return np.concatenate(found)

    def __call__(self, samples: FloatArray) -> Activity:
        """Judge the pieces of a whole track.

        Args:
            samples: (channels, samples) at 16 kHz.
        """
        return self.listen(Segment(samples, 0.0, ""))

    def listen(self, sound: Sound, progress: Progress = silent) -> Activity:
        """Judge the pieces of a whole track, of which no more than a minute is in memory at a time.

        Args:
            progress: is told of every minute.
        """
        level = piece_levels_db(sound)
        loud_db = _loud_db(level)
        frames = self._frames(sound, loud_db, progress)
        shares = np.array([frames[n * _FRAMES : (n + 1) * _FRAMES].mean() for n in range(level.size)], np.float64)
        found = audible(level, loud_db + _QUIET_DB) * probability(shares, self._curve)
        return Activity(np.arange(level.size) * PIECE_S, found, "network")


@lru_cache(maxsize=1)
def shipped_detector() -> ActivityDetector:
    """The detector that ships, one a process: loading it takes longer than listening to a song."""
    return ActivityDetector()


def _loud_db(level_db: NDArray[np.float64]) -> float:
    """Level of a track's loud pieces."""
    return float(np.percentile(level_db, 95))


def probability(shares: NDArray[np.float64], curve: Curve) -> NDArray[np.float64]:
    """Shares of sung frames, 0 to 1, through a curve."""
    shares = np.clip(shares, 1e-4, 1 - 1e-4)
    return np.asarray(1 / (1 + np.exp(-curve.slope * (np.log(shares / (1 - shares)) - curve.middle))))


def save_detector(path: str | Path, network: ActivityNetwork, curve: Curve, card: dict[str, object]) -> None:
    """Write a network in half precision, with its curve and what it was made of."""
    about = {"channels": network.channels, "width": network.width, "curve": asdict(curve)}
    write_tensors(path, {"format": FORMAT, **about, "card": card}, halved(network.state_dict()))
