"""Speech turned singing: a melody imposed, vowels stretched, consonants and timbre kept.

A singer made this way keeps the voice of a real speaker; another tract length makes another person of it. Analysis is
WORLD's, by pyworld (the ``speech`` extra).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whosings import audio
from whosings.audio import AUDIO_ENDINGS, SAMPLE_RATE, FloatArray
from whosings.choir.expression import Manner, draw_manner, held, sing_line
from whosings.choir.score import Score, compose
from whosings.errors import ConfigError, TooShortError
from whosings.sound.vocoder import BINS, FRAME_RATE, Array, Frames, analyze, resampled, sound, with_tract

_LOWEST, _HIGHEST = 38.0, 76.0  # MIDI numbers of a melody's centre
_LEAST_VOICED = 0.2  # share of frames; less is no speech
_LEAST_S, _MOST_S = 5.0, 60.0  # of one speaker's speech
_LEAST_SYLLABLES = 5
_SHORTEST, _LONGEST_ONSET = 5, 14  # frames of a nucleus, of the consonants before it
_DIP_DB = 3.0  # between two syllables
_MOST_ONSET = 0.4  # share of a note
_EMPTY = 1e-12


@dataclass(frozen=True)
class Speaker:
    """A singer made of one person's speech.

    Attributes:
        frames: the speech, analysed, with loud vowels at a mean power of about 1.
        syllables: (syllables, 3): frames at which the consonants begin, the vowel begins, and it ends.
        centre: comfortable pitch, MIDI number.
    """

    frames: Frames
    syllables: NDArray[np.int64]
    centre: float
    manner: Manner

    def perform(self, score: Score, manner: Manner, rng: np.random.Generator) -> Frames:
        """Sing the syllables in the order in which they were spoken, one a note; which sounds they are is not known."""
        line = sing_line(score, manner, rng)
        places = np.zeros(line.f0.size)
        first = int(rng.integers(len(self.syllables)))
        for number in range(len(score.notes)):
            start, end = int(line.start[number]), int(line.end[number])
            places[start:end] = _places(self.syllables[(first + number) % len(self.syllables)], end - start)
        sung = resampled(self.frames, places)
        rests = (line.note < 0)[:, None]
        envelope = np.where(rests, 0.0, sung.envelope * 10 ** (np.maximum(line.level_db, -120.0)[:, None] / 10))
        voiced = sung.voiced & (line.note >= 0)
        return replace(sung, f0=np.where(voiced, line.f0, 0.0), envelope=envelope)


def find_speakers(folder: str | Path) -> dict[str, tuple[Path, ...]]:
    """Recordings by speaker of a folder ``speaker/*.audio``; speakers with less than five seconds are left out.

    Raises:
        ConfigError: no such folder, or no recordings in folders named by speaker.
        AudioError: a recording cannot be read.
    """
    folder = Path(folder)
    found: dict[str, tuple[Path, ...]] = {}
    for own in sorted(folder.iterdir()) if folder.is_dir() else ():
        files = sorted(path for path in own.glob("*") if path.suffix.lower() in AUDIO_ENDINGS and path.name[0] != ".")
        if files and sum(audio.probe(file).duration_s for file in files) >= _LEAST_S:
            found[own.name] = tuple(files)
    if not found:
        problem = f"holds no speaker with {_LEAST_S:g} s of recordings" if folder.is_dir() else "no such folder"
        raise ConfigError(folder, problem, "arrange it as speaker/recording.wav")
    return found


def read_speaker(files: Sequence[Path], rng: np.random.Generator, tract: float = 1.0) -> Speaker:
    """A singer from recordings of one speaker; at most a minute of them is used.

    Args:
        rng: draws how the singer shapes notes and how much higher than it speaks it sings.
        tract: length against the speaker's own; 0.84 or 1.19 make another person, who sings higher or lower.

    Raises:
        AudioError: a recording cannot be read.
        TooShortError: too little speech for a singer.
    """
    parts: list[FloatArray] = []
    for file in files:
        parts.append(voiced_only(audio.load(file).samples[0]))
        if sum(part.size for part in parts) >= _MOST_S * SAMPLE_RATE:
            break
    speech = np.concatenate(parts)[: round(_MOST_S * SAMPLE_RATE)]
    frames = analyze(speech)
    syllables = _syllables(frames)
    if len(syllables) < _LEAST_SYLLABLES:
        problem = f"holds {len(syllables)} clear syllables, fewer than {_LEAST_SYLLABLES}"
        raise TooShortError(files[0], problem, "give more or cleaner speech of this speaker")
    nuclei = np.concatenate([np.arange(start, end) for _, start, end in syllables])
    frames = _even(replace(frames, envelope=frames.envelope / frames.envelope[nuclei].mean()), syllables)
    if tract != 1.0:
        frames = with_tract(frames, tract)
    spoken = 69 + 12 * float(np.log2(np.median(frames.f0[frames.voiced]) / 440.0))
    centre = spoken + float(rng.uniform(1, 6)) - 12 * float(np.log2(tract))
    return Speaker(frames, syllables, float(np.clip(centre, _LOWEST, _HIGHEST)), draw_manner(rng))


@dataclass(frozen=True)
class Style:
    """How one recording of speech is sung from beginning to end.

    Attributes:
        stretch: times longer that voiced frames become.
        lift: semitones from the speaker's usual pitch to the melody's centre.
        tempo: beats a minute.
        manner: how notes are shaped.
        breath: 0 to 1: how much of the periodic sound becomes noise; 1 is a whisper.
        tract: length of the vocal tract against the speaker's; above 1 the formants fall.
    """

    stretch: float
    lift: float
    tempo: float
    manner: Manner = field(default_factory=Manner)
    breath: float = 0.0
    tract: float = 1.0


def draw_style(rng: np.random.Generator) -> Style:
    """An ordinary way of singing; breath and tract as the speaker's own."""
    return Style(
        stretch=float(rng.uniform(1.3, 2.4)),
        lift=float(rng.uniform(0, 7)),
        tempo=float(rng.uniform(70, 140)),
        manner=draw_manner(rng),
    )


def voiced_only(samples: FloatArray) -> FloatArray:
    """Drop pauses: 30-ms frames more than 35 dB under the loud ones, none within 100 ms of a kept one."""
    frames = samples[: samples.size // 480 * 480].reshape(-1, 480)
    if not frames.size:
        return frames.reshape(-1)
    level = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-10)
    loud = level > np.percentile(level, 90) - 35
    kept = np.convolve(loud, np.ones(7), "same") > 0
    return frames[kept].reshape(-1)


def sing_speech(samples: FloatArray, style: Style, rng: np.random.Generator) -> FloatArray:
    """Turn one recording into singing, from beginning to end.

    Args:
        samples: (samples,) at 16 kHz, of one speaker.

    Returns:
        float32 (samples,), ``style.stretch`` times longer where the speech is voiced; same loudness.

    Raises:
        TooShortError: less than a fifth of it is voiced.
    """
    frames = analyze(samples)
    if frames.voiced.mean() < _LEAST_VOICED:
        raise TooShortError("the speech", "holds too little voiced sound to sing", "use a longer or cleaner recording")
    ends = np.cumsum(np.where(frames.voiced, style.stretch, 1.0))  # consonants keep their length
    index = np.searchsorted(ends, np.arange(0, ends[-1]), side="left").clip(0, len(frames) - 1)
    centre = 69 + 12 * float(np.log2(np.median(frames.f0[frames.voiced]) / 440.0)) + style.lift
    score = compose(rng, index.size / FRAME_RATE, float(np.clip(centre, _LOWEST, _HIGHEST)), style.tempo)
    melody = sing_line(score, style.manner, rng).f0[: index.size]
    sung = frames[index[: melody.size]]
    noise = sung.aperiodicity * (1 - style.breath) + style.breath
    sung = replace(sung, f0=np.where(sung.voiced, melody, 0.0), aperiodicity=noise)
    made = sound(with_tract(sung, style.tract) if style.tract != 1.0 else sung, rng)
    return np.asarray(made * (np.std(samples) / (np.std(made) + 1e-12)), np.float32)


def _syllables(frames: Frames) -> NDArray[np.int64]:
    """Voiced stretches, cut where they are softest between two loud places, each with the consonants before it."""
    power = frames.envelope[:, : BINS // 2].sum(axis=1) + _EMPTY
    window = np.hanning(9)[1:-1]
    level = 10 * np.log10(np.convolve(power, window / window.sum(), "same"))
    floor = np.percentile(level[frames.voiced], 20) - 10 if frames.voiced.any() else np.inf
    core = frames.voiced & (level > floor)
    found: list[tuple[int, int, int]] = []
    before = 0
    for start, end in _runs(core):
        for first, last in _cut(level, start, end):
            if last - first >= _SHORTEST:
                found.append((max(before, first - _LONGEST_ONSET), first, last))
                before = last
    return np.array(found, np.int64).reshape(-1, 3)


def _cut(level: Array, start: int, end: int) -> list[tuple[int, int]]:
    """Parts of a stretch between dips that are deep enough."""
    inside = np.arange(start + 1, end - 1)
    dips = inside[(level[inside] < level[inside - 1]) & (level[inside] <= level[inside + 1])]
    places = [start]
    for dip in dips:
        following = dips[dips > dip]
        last = int(following[0]) if following.size else end
        if min(level[places[-1] : dip].max(), level[dip:last].max()) - level[dip] > _DIP_DB:
            places.append(int(dip))
    return list(zip(places, [*places[1:], end], strict=True))


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _even(frames: Frames, syllables: NDArray[np.int64]) -> Frames:
    """Vowels of the same loudness, each with its own consonants; within 12 dB, so that noise is not made loud."""
    gain = np.zeros(len(frames))
    for first, start, end in syllables:
        loud = 10 * np.log10(frames.envelope[start:end].mean() + _EMPTY)
        gain[first:end] = np.clip(-loud, -12, 12)
    return replace(frames, envelope=frames.envelope * 10 ** (gain[:, None] / 10))


def _places(syllable: NDArray[np.int64], size: int) -> Array:
    """For each frame of a note, the place in the speech: consonants as spoken, the vowel stretched to fill the rest."""
    first, start, end = (int(place) for place in syllable)
    onset = min(start - first, int(_MOST_ONSET * size))
    return np.concatenate([np.arange(start - onset, start, dtype=float), held(start, end, size - onset)])
