"""Positive pairs: two segments with vocals from two different songs of one singer (paper, section 4.2), or of one song.

Conventions
-----------
- Pairs are numbered 0, 1, 2, ... without end, and pair ``i`` of a seed is always the same pair, whoever draws it: so
  any number of workers and processes share a stream, and training resumes at a number.
- Singers come in rounds: each round is a random order of all of them, so that a batch holds a singer twice, a false
  negative, only where two rounds meet.
- Modes: ``mixture`` draws both views from mixtures, ``vocal`` both from vocal stems, ``hybrid`` each view from either
  with even chance, which gives all four pairings. ``track`` draws both from one mixture and knows no singers; its
  rounds are of tracks. ``mashup`` puts each vocal stem over the instrumental of another singer, so that the band tells
  nothing: half of the time one band plays behind different singers of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor, from_numpy, stack
from torch.utils.data import Dataset

from whosings import audio
from whosings.audio import FloatArray, Segment
from whosings.catalogue.manifest import Manifest, Track
from whosings.config import FrontEndConfig, PairsConfig
from whosings.contrastive.augment import augment
from whosings.errors import AudioError, TrainingError
from whosings.spectrogram import conform

_NEIGHBOURS = 4  # pairs that may share a band
_VOICE_DB = (-4.0, 8.0)  # of a voice over a band
_SILENT = 1e-6


@dataclass(frozen=True)
class View:
    """Where one side of a pair is cut from.

    Attributes:
        stem: ``"mixture"`` or ``"vocal"``.
        start_s: seconds; None draws anywhere in the file with ``seed``.
        augmented: changed at random, with ``seed``, see ``augment``.
        band: whose instrumental is added, at a place drawn with ``seed``; None leaves the stem alone.
        voice_db: level of the stem over it.
    """

    track: Track
    stem: str
    start_s: float | None
    seed: tuple[int, ...]
    augmented: bool = False
    band: Track | None = None
    voice_db: float = 0.0

    @property
    def path(self) -> Path:
        """The file that holds the stem."""
        if self.stem == "vocal":
            assert self.track.vocals_path is not None  # PairSampler admits no other
            return self.track.vocals_path
        return self.track.path


@dataclass(frozen=True)
class Pair:
    """Two views of one singer, from different songs; of one song in the mode ``track``."""

    left: View
    right: View


class PairSampler:
    """Draws pairs from a manifest, by number.

    Args:
        manifest: cloned tracks are left out: only real recordings train (paper, section 4.2).

    Raises:
        TrainingError: no singer has two usable tracks, or a needed vocal stem is missing from the manifest.
    """

    def __init__(self, manifest: Manifest, config: PairsConfig, seed: int) -> None:
        self._config = config
        self._seed = seed
        self._starts: dict[str, list[float]] = {}
        singers: list[tuple[Track, ...]] = []
        for tracks in manifest.by_singer.values():
            usable = tuple(track for track in tracks if not track.cloned and self._usable(track, manifest))
            if config.mode == "track":
                singers += [(track,) for track in usable]
            elif len(usable) >= 2:
                singers.append(usable)
        if not singers:
            few = "track that holds" if config.mode == "track" else "singer with two tracks that hold"
            raise TrainingError("the manifest", f"has no {few} vocals", "add tracks")
        self._singers = singers
        self._bands = [track for tracks in singers for track in tracks if track.instrumental_path is not None]
        if config.mode == "mashup" and not self._bands:
            remedy = "separate the tracks first, or train with mixture pairs"
            raise TrainingError("the manifest", "has no instrumental_path, which mashup pairs need", remedy)

    @property
    def singers(self) -> int:
        """Singers with at least two usable tracks; in the mode ``track`` usable tracks."""
        return len(self._singers)

    def pair(self, number: int) -> Pair:
        """Pair ``number`` of this sampler's seed."""
        turn, place = divmod(number, len(self._singers))
        order = np.random.default_rng([self._seed, 0, turn]).permutation(len(self._singers))
        tracks = self._singers[int(order[place])]
        rng = np.random.default_rng([self._seed, 1, number])
        first, second = rng.choice(len(tracks), size=2, replace=False) if len(tracks) > 1 else (0, 0)
        return Pair(self._view(tracks[first], rng, number, 0), self._view(tracks[second], rng, number, 1))

    def _usable(self, track: Track, manifest: Manifest) -> bool:
        if self._config.mode in ("vocal", "hybrid", "mashup") and track.vocals_path is None:
            raise TrainingError(
                f"track {track.track_id}",
                f"has no vocals_path, which {self._config.mode} pairs need",
                "separate it first, or train with mixture pairs",
            )
        pieces = manifest.pieces_by_track.get(track.track_id)
        if pieces is None:
            return True
        self._starts[track.track_id] = [p.start_s for p in pieces if p.vocal >= self._config.min_vocal]
        return bool(self._starts[track.track_id])

    def _view(self, track: Track, rng: np.random.Generator, number: int, side: int) -> View:
        mode = self._config.mode
        if mode == "hybrid":
            stem = "vocal" if rng.random() < 0.5 else "mixture"
        else:
            stem = "mixture" if mode == "track" else "vocal" if mode == "mashup" else mode
        starts = self._starts.get(track.track_id)
        start = None if starts is None else starts[int(rng.integers(len(starts)))]
        view = View(track, stem, start, (self._seed, 2, number, side), self._config.augment)
        return view if mode != "mashup" else self._over_a_band(view, rng, number, side)

    def _over_a_band(self, view: View, rng: np.random.Generator, number: int, side: int) -> View:
        """Another singer's band behind the voice; with even chance one that plays behind neighbouring pairs, too."""
        shared = rng.random() < 0.5
        draw = np.random.default_rng([self._seed, 3, number // _NEIGHBOURS, side]) if shared else rng
        first = int(draw.integers(len(self._bands)))
        others = (self._bands[(first + step) % len(self._bands)] for step in range(len(self._bands)))
        band = next((track for track in others if track.singer_id != view.track.singer_id), None)
        return replace(view, band=band, voice_db=float(rng.uniform(*_VOICE_DB)))


def read_view(view: View, front_end: FrontEndConfig) -> FloatArray:
    """Decode a view as the encoder will see it: (channels, samples), see ``conform``.

    Raises:
        AudioError: the file cannot be used; the message names it.
    """
    segment: Segment
    if view.start_s is None:
        rng = np.random.default_rng(view.seed)
        segment = audio.random_segment(view.path, front_end.segment_s, rng, front_end.channels)
    else:
        # A piece near the end: step back, so that a whole segment is read.
        last = max(0.0, audio.probe(view.path).duration_s - front_end.segment_s)
        segment = audio.read_segment(view.path, min(view.start_s, last), front_end.segment_s, front_end.channels)
    samples = segment.samples
    if view.band is not None and view.band.instrumental_path is not None:
        rng = np.random.default_rng([*view.seed, 2])
        band = audio.random_segment(view.band.instrumental_path, front_end.segment_s, rng, front_end.channels)
        samples = _mixed(samples, band.samples, view.voice_db)
    if view.augmented:
        samples = augment(from_numpy(samples)[None], np.random.default_rng([*view.seed, 1]))[0].numpy()
    return conform(samples, front_end)


def _mixed(voice: FloatArray, band: FloatArray, voice_db: float) -> FloatArray:
    """A voice over a band: levels are those of what sounds; the shorter of the two is repeated."""
    channels, length = max(voice.shape[0], band.shape[0]), max(voice.shape[1], band.shape[1])
    voice, band = (
        np.tile(part, (channels // part.shape[0], -(-length // part.shape[1])))[:, :length] for part in (voice, band)
    )
    gain = _level(voice) / max(_level(band), _SILENT) * 10 ** (-voice_db / 20)
    return np.asarray(voice + np.float32(gain) * band, np.float32)


def _level(samples: FloatArray) -> float:
    """Root of the mean power within 40 dB of the peak."""
    loud = samples[np.abs(samples) > 0.01 * np.abs(samples).max()]
    return float(np.sqrt(np.mean(loud**2))) if loud.size else 0.0


class PairDataset(Dataset[Tensor | AudioError]):
    """Pair number -> tensor (2, channels, samples): left view, right view; or the error, for the reader to raise."""

    def __init__(self, sampler: PairSampler, front_end: FrontEndConfig) -> None:
        self._sampler = sampler
        self._front_end = front_end

    def __getitem__(self, number: int) -> Tensor | AudioError:
        pair = self._sampler.pair(number)
        try:
            return stack([from_numpy(read_view(view, self._front_end)) for view in (pair.left, pair.right)])
        except AudioError as error:  # a worker process would flatten it to text
            return error
