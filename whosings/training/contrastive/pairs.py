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
  nothing: half of the time the same seconds of one band play behind different singers of a batch. Seven bands of ten
  are transposed to the voice's key; the others may clash, and one voice of ten stays alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import float32, from_numpy, stack, tensor
from torch.utils.data import Dataset

from whosings import audio
from whosings.audio import FloatArray, Segment
from whosings.catalogue.manifest import Manifest, Track
from whosings.config import AnyFrontEnd, PairsConfig
from whosings.errors import AudioError, TrainingError
from whosings.sound.harmony import MOST_SEMITONES, transposed, transposition
from whosings.spectrogram import conform
from whosings.storage import local_path
from whosings.training.contrastive.views import Sources

_NEIGHBOURS = 4  # pairs that may share a band
_VOICE_DB = (-4.0, 8.0)  # of a voice over a band
_IN_KEY = 0.7  # chance that a band is transposed to fit
_ALONE = 0.1  # chance that a voice has no band


@dataclass(frozen=True)
class View:
    """Where one side of a pair is cut from.

    Attributes:
        stem: ``"mixture"`` or ``"vocal"``.
        start_s: seconds; None draws anywhere in the file with ``seed``.
        band: whose instrumental plays; None leaves the stem alone.
        band_seed: draws its place in the file.
        in_key: the band is transposed to the voice's key.
        voice_db: level of the stem over the band.
    """

    track: Track
    stem: str
    start_s: float | None
    seed: tuple[int, ...]
    band: Track | None = None
    band_seed: tuple[int, ...] = ()
    in_key: bool = False
    voice_db: float = math.inf

    @property
    def path(self) -> Path:
        """The file that holds the stem."""
        if self.stem == "vocal":
            assert self.track.vocals_path is not None  # PairSampler admits no other
            return local_path(str(self.track.vocals_path))
        return self.track.file


@dataclass(frozen=True)
class Pair:
    """Two views of one singer, from different songs; of one song in the mode ``track``.

    Attributes:
        singer: the singer's number, in the mode ``track`` the track's.
    """

    left: View
    right: View
    singer: int


class PairSampler:
    """Draws pairs from a manifest, by number.

    Args:
        manifest: cloned tracks are left out unless ``pairs.clones`` is set (paper, section 4.2).

    Raises:
        TrainingError: no singer has two usable tracks, or a needed vocal stem is missing from the manifest.
    """

    def __init__(self, manifest: Manifest, config: PairsConfig, seed: int) -> None:
        self._config = config
        self._seed = seed
        self._starts: dict[str, list[float]] = {}
        singers: list[tuple[Track, ...]] = []
        for tracks in tracks_by_voice(manifest, config.clones).values():
            usable = tuple(track for track in tracks if self._usable(track, manifest))
            if config.mode == "track":
                singers += [(track,) for track in usable]
            elif len(usable) >= 2:
                singers.append(usable)
        if not singers:
            few = "track that holds" if config.mode == "track" else "singer with two tracks that hold"
            raise TrainingError("the manifest", f"has no {few} vocals", "add tracks")
        self._singers = singers
        real = [track for tracks in singers for track in tracks if not track.cloned]
        self._bands = [track for track in real if track.instrumental_path is not None]
        if config.mode == "mashup" and not self._bands:
            remedy = "separate the tracks first, or train with mixture pairs"
            raise TrainingError("the manifest", "has no instrumental_path, which mashup pairs need", remedy)

    @property
    def singers(self) -> int:
        """Singers with at least two usable tracks; in the mode ``track`` usable tracks."""
        return len(self._singers)

    @property
    def mashups(self) -> bool:
        """Whether views may have bands."""
        return self._config.mode == "mashup"

    def pair(self, number: int) -> Pair:
        """Pair ``number`` of this sampler's seed."""
        turn, place = divmod(number // self._config.pairs_per_singer, len(self._singers))
        singer = int(np.random.default_rng([self._seed, 0, turn]).permutation(len(self._singers))[place])
        tracks = self._singers[singer]
        rng = np.random.default_rng([self._seed, 1, number])
        first, second = rng.choice(len(tracks), size=2, replace=False) if len(tracks) > 1 else (0, 0)
        left, right = self._view(tracks[first], rng, number, 0), self._view(tracks[second], rng, number, 1)
        if self._config.mode == "mashup":
            left = self._over_a_band(left, rng, number, 0, None)
            right = self._over_a_band(right, rng, number, 1, left.band)
        return Pair(left, right, singer)

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
        return View(track, stem, start, (self._seed, 2, number, side))

    def _over_a_band(self, view: View, rng: np.random.Generator, number: int, side: int, other: Track | None) -> View:
        """Another singer's band behind the voice, and not the ``other`` view's; with even chance the same seconds of it
        play behind neighbouring pairs, too."""
        alone, shared, in_key = rng.random() < _ALONE, rng.random() < 0.5, bool(rng.random() < _IN_KEY)
        voice_db = float(rng.uniform(*_VOICE_DB))
        if alone:
            return view
        # The pairs of one singer that follow each other do not share: the band would tell who it is.
        singers, own = divmod(number, self._config.pairs_per_singer)
        seed = (self._seed, 3, singers // _NEIGHBOURS, own, side) if shared else (self._seed, 4, number, side)
        first = int(np.random.default_rng(seed).integers(len(self._bands)))
        around = (self._bands[(first + step) % len(self._bands)] for step in range(len(self._bands)))
        foreign = (track for track in around if track.singer_id not in _singers_in(view.track))
        band = next(foreign, None)
        if band is not None and band == other:  # unless it is the only one
            band = next(foreign, band)
        if band is None:
            return view
        return replace(view, band=band, band_seed=(*seed, 1), in_key=in_key, voice_db=voice_db)


def tracks_by_voice(manifest: Manifest, clones: bool) -> dict[str, tuple[Track, ...]]:
    """Tracks of each singer whose voice is heard on them: real ones and, if asked for, clones of exactly one target."""
    groups: dict[str, list[Track]] = {}
    for track in manifest.tracks:
        if not track.cloned:
            groups.setdefault(track.singer_id, []).append(track)
        elif clones and len(track.target_singer_ids) == 1:
            groups.setdefault(track.target_singer_ids[0], []).append(track)
    return {singer: tuple(tracks) for singer, tracks in groups.items()}


def read_voice(view: View, front_end: AnyFrontEnd) -> FloatArray:
    """Decode a view without its band: (channels, samples), see ``conform``.

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
    return conform(segment.samples, front_end)


def read_band(view: View, voice: FloatArray, front_end: AnyFrontEnd) -> FloatArray:
    """Decode a view's band, transposed where it is to fit the voice: (channels, samples); silence where there is none.

    Raises:
        AudioError: the file cannot be used; the message names it.
    """
    if view.band is None or view.band.instrumental_path is None:
        return np.zeros_like(voice)
    longest_s = front_end.segment_s * 2 ** (MOST_SEMITONES / 12)  # to be shortened where it is transposed
    rng = np.random.default_rng(view.band_seed)
    samples = audio.random_segment(view.band.instrumental_path, longest_s, rng, front_end.channels).samples
    if view.in_key:
        samples = transposed(samples, transposition(voice, samples))
    return conform(samples, front_end)


def _singers_in(track: Track) -> tuple[str | None, ...]:
    """Whose bands tell something of a track."""
    return (track.singer_id, track.instrumental_singer_id, *track.target_singer_ids)


class PairDataset(Dataset[Sources | AudioError]):
    """Pair number -> sources of its views, left and right; or the error, for the reader to raise."""

    def __init__(self, sampler: PairSampler, front_end: AnyFrontEnd) -> None:
        self._sampler = sampler
        self._front_end = front_end

    def __getitem__(self, number: int) -> Sources | AudioError:
        pair = self._sampler.pair(number)
        views = (pair.left, pair.right)
        try:
            voices = [read_voice(view, self._front_end) for view in views]
            singer, heard = tensor(pair.singer), stack([from_numpy(voice) for voice in voices])
            if not self._sampler.mashups:
                return Sources(heard, singer)
            bands = [
                from_numpy(read_band(view, voice, self._front_end)) for view, voice in zip(views, voices, strict=True)
            ]
            return Sources(heard, singer, stack(bands), tensor([view.voice_db for view in views], dtype=float32))
        except AudioError as error:  # a worker process would flatten it to text
            return error
