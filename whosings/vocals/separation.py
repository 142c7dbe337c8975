"""Tracks to vocal and instrumental stems: streamed, in a cache by content, by any number of processes.

Stems are mono 16-bit FLAC at 16 kHz, as long as ``audio.load`` makes the track; their sum is the mixture (ready-made
instrumentals excepted), times one gain below 1 where a stem would reach beyond full scale. A cache holds a folder for
each pair, named by a hash of the track's content, the separator's fingerprint and the spans: a pair is there or not,
and one that was damaged is made again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain, repeat
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from filelock import FileLock

from whosings import audio
from whosings.audio import SAMPLE_RATE, FloatArray
from whosings.errors import SeparationError, WhosingsError
from whosings.files import atomic_folder, content_hash, write_atomic
from whosings.parallel import Workers, each, refuse_unshared
from whosings.spool import Spool
from whosings.vocals.activity import Activity
from whosings.vocals.alignment import Remainder, aligned, lag_of
from whosings.vocals.detector import shipped_detector
from whosings.vocals.ready_stems import ReadyStems, StemFiles
from whosings.vocals.separation_model import Separator
from whosings.vocals.separators import open_separator
from whosings.vocals.streaming import WHOLE, Span, Tape, sung_spans, vocals_of

VOCALS, INSTRUMENTAL = "vocals.flac", "instrumental.flac"

_FORMAT = 1  # of the stems; another number makes every pair anew
_CARD = "stems.json"
_BLOCK_S = 10.0


@dataclass(frozen=True)
class Stems:
    """One track's pair of stems.

    Attributes:
        vocals, instrumental: 16-kHz mono FLAC files.
        duration_s: length of the track in seconds.
        separated_s: how much of it a model has separated; elsewhere the vocals are silent.
        gain: by which both were multiplied so that neither clips, at most 1.
        new: whether they were made now, not found in the cache.
    """

    vocals: Path
    instrumental: Path
    duration_s: float
    separated_s: float
    gain: float
    new: bool


def separate_track(
    path: str | Path, separator: Separator | ReadyStems, cache: str | Path, activity: Activity | None = None
) -> Stems:
    """Separate one track, unless the cache holds its stems; memory does not grow with its length.

    Args:
        separator: from ``open_separator``, one a process.
        cache: folder; any number of processes may use it at once.
        activity: where somebody sings; only these pieces are separated. Without it, the whole track.

    Raises:
        AudioError: the track cannot be used; ``TooShortError`` under ``audio.MIN_DURATION_S``.
        SeparationError: the model gave no usable output, or a ready-made stem is missing or another track's.
        OSError: the cache cannot be written.
    """
    path = Path(path)
    duration_s = audio.probe(path).duration_s
    audio.refuse_short(path, duration_s)
    if isinstance(separator, ReadyStems):
        found = separator.find(path)
        with _entry(Path(cache), _key(path, found.fingerprint, ())) as folder:
            return _held(folder) or _made(folder, path, _aligned(found.vocals, path), found, ())
    spans = WHOLE if activity is None else sung_spans(activity)
    with _entry(Path(cache), _key(path, separator.fingerprint, spans)) as folder:
        return _held(folder) or _made(folder, path, _split(path, separator, spans), None, spans)


@dataclass(frozen=True)
class SeparationJob:
    """What a worker process is given: it opens the model once and then takes any number of tracks.

    Attributes:
        spec: see ``open_separator``.
        cache: folder of stems.
        whole: separate all of a track, not only where somebody sings.
    """

    spec: str
    cache: str | Path
    device: str = "auto"
    whole: bool = False

    def open(self) -> Separator | ReadyStems:
        """This process's model.

        Raises:
            SeparationError, MissingExtraError, ConfigError: as ``open_separator``; also for the spec ``none``.
        """
        separator = _opened(self.spec, self.device)
        if separator is None:
            raise SeparationError(self.spec, "separates nothing", "name a model")
        return separator

    def __call__(self, path: str | Path) -> Stems:
        """As ``separate_track``; the activity is judged here."""
        separator = self.open()
        judged = not self.whole and not isinstance(separator, ReadyStems)
        activity = shipped_detector().listen(Spool(path)) if judged else None
        return separate_track(path, separator, self.cache, activity)


@dataclass(frozen=True)
class StemOutcome:
    """What became of one track: its stems, or why there are none."""

    path: Path
    result: Stems | WhosingsError


def separate_many(paths: Sequence[Path], job: SeparationJob, workers: Workers = 1) -> Iterator[StemOutcome]:
    """Separate tracks, in any order, in this process or in several of one torch thread each; all see the cache.

    Raises:
        SeparationError, MissingExtraError, ConfigError: the model cannot be opened. What is wrong with single tracks
            is an outcome.
    """
    job.open()
    refuse_unshared(Path(job.cache), workers)
    job = replace(job, cache=Path(job.cache).absolute())  # a cluster's processes begin in other folders
    paths = [path.absolute() for path in paths] if not isinstance(workers, int) else paths
    for done in each(partial(_attempt, job), paths, 0 if workers == 1 else workers):
        yield done.result or StemOutcome(done.item, _ended(done.item))


def _ended(subject: str | Path) -> SeparationError:
    return SeparationError(subject, "a worker process was ended (out of memory?)", "run again with fewer workers")


def _attempt(job: SeparationJob, path: Path) -> StemOutcome:
    try:
        return StemOutcome(path, job(path))
    except WhosingsError as error:
        return StemOutcome(path, error)


@lru_cache(maxsize=1)
def _opened(spec: str, device: str) -> Separator | ReadyStems | None:
    """One model a process, whichever tracks it is given."""
    return open_separator(spec, device)


def _key(path: Path, fingerprint: str, spans: tuple[Span, ...]) -> str:
    decides = [_FORMAT, content_hash(path), fingerprint, [[span.start_s, span.stop_s] for span in spans]]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


@contextmanager
def _entry(cache: Path, key: str) -> Iterator[Path]:
    """The folder of a pair, for this process alone; a killed process gives it free and leaves only what is removed."""
    folder, locks = cache / key[:2] / key, cache / ".locks"
    folder.parent.mkdir(parents=True, exist_ok=True)
    locks.mkdir(exist_ok=True)
    with FileLock(locks / key[:4]):  # not one for each pair: lock files stay, and there are millions of pairs
        for left in folder.parent.glob(f".partial-*-{key}"):
            shutil.rmtree(left, ignore_errors=True)
        yield folder


def _held(folder: Path) -> Stems | None:
    """The pair in a cache's folder, unless it is not there or its files are not as they were written."""
    try:
        card = json.loads((folder / _CARD).read_text())
        if any(content_hash(folder / name) != card["sha256"][name] for name in (VOCALS, INSTRUMENTAL)):
            return None
        duration_s, separated_s, gain = float(card["duration_s"]), float(card["separated_s"]), card.get("gain", 1.0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Stems(folder / VOCALS, folder / INSTRUMENTAL, duration_s, separated_s, gain, new=False)


def _made(
    folder: Path, path: Path, vocals: Iterator[FloatArray], given: StemFiles | None, spans: tuple[Span, ...]
) -> Stems:
    """Write a pair and its card."""
    with atomic_folder(folder) as beside:
        written = _write(beside, path, vocals, given)
        duration_s = written.samples / SAMPLE_RATE
        separated_s = sum(min(span.stop_s, duration_s) - min(span.start_s, duration_s) for span in spans)
        sha256 = {name: content_hash(beside / name) for name in (VOCALS, INSTRUMENTAL)}
        card = {"duration_s": duration_s, "separated_s": separated_s, "gain": written.gain, "sha256": sha256}
        write_atomic(beside / _CARD, json.dumps(card))
    return Stems(folder / VOCALS, folder / INSTRUMENTAL, duration_s, separated_s, written.gain, new=True)


@dataclass(frozen=True)
class _Written:
    """Length of a pair in samples, and what both stems were multiplied by."""

    samples: int
    gain: float


def _write(folder: Path, path: Path, vocals: Iterator[FloatArray], given: StemFiles | None) -> _Written:
    """Both files, as long as the mixture; at first as they are, since their peak is known only at the end."""
    mixture, remainder = Tape(audio.blocks(path, block_s=_BLOCK_S)), Remainder()
    instrumental = None if given is None or given.instrumental is None else Tape(_aligned(given.instrumental, path))
    position, peak = 0, 1.0
    silence = repeat(np.zeros((1, round(_BLOCK_S * SAMPLE_RATE)), np.float32))
    with TemporaryFile(dir=folder) as pairs:
        for block in chain(vocals, silence):  # two resamplers may differ by a sample at the end
            mixed = mixture.read(position, position + block.shape[1])
            if mixed.shape[1] == 0:
                break
            block = block[:, : mixed.shape[1]]
            rest = mixed - block
            if instrumental is not None:
                held = instrumental.read(position, position + mixed.shape[1])
                rest = np.pad(held, ((0, 0), (0, mixed.shape[1] - held.shape[1])))
                instrumental.forget(position)
            remainder.add(mixed, block, rest)
            pair = np.concatenate([block, rest])
            peak = max(peak, float(np.abs(pair).max()))
            pairs.write(pair.T.tobytes())
            position += mixed.shape[1]
            mixture.forget(position)
        if given is not None:
            remainder.check(path, given.vocals, given.instrumental)
        pairs.seek(0)
        _write_scaled(folder, pairs, 1 / peak)
    return _Written(position, 1 / peak)


def _write_scaled(folder: Path, pairs: IO[bytes], gain: float) -> None:
    """From a file of float32 (samples, 2) to both stems."""
    size = round(_BLOCK_S * SAMPLE_RATE) * 2 * np.dtype(np.float32).itemsize
    with audio.flac_writer(folder / VOCALS) as write_vocals, audio.flac_writer(folder / INSTRUMENTAL) as write_rest:
        while content := pairs.read(size):
            pair = np.float32(gain) * np.frombuffer(content, np.float32).reshape(-1, 2).T
            write_vocals(pair[:1])
            write_rest(pair[1:])


def _aligned(stem: Path, track: Path) -> Iterator[FloatArray]:
    return aligned(stem, lag_of(stem, track), _BLOCK_S)


def _split(path: Path, separator: Separator, spans: tuple[Span, ...]) -> Iterator[FloatArray]:
    """Vocals at 16 kHz by a model; at silence the model is not asked."""
    mixture = Tape(audio.blocks(path, separator.sample_rate, channels=2, block_s=_BLOCK_S))
    return audio.resampled(vocals_of(mixture, separator, spans), separator.sample_rate)
