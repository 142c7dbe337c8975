"""Songs as scores: key, chords, a melody in a singer's range, syllables, phrases and rests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VOWELS = ("a", "e", "i", "o", "u")
CONSONANTS = ("", "n", "s", "t", "m", "l", "f", "d")

_MODES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
_PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 4), (5, 3, 0, 4), (0, 2, 3, 4), (0, 6, 5, 4))
_BEATS_A_BAR = 4
_REACH = 16  # semitones from the centre to the ends of a singer's range


@dataclass(frozen=True)
class Note:
    """One sung syllable.

    Attributes:
        start_s, duration_s: seconds.
        pitch: MIDI number, 69 is 440 Hz.
        vowel: one of ``VOWELS``.
        consonant: one of ``CONSONANTS``; it opens the syllable.
    """

    start_s: float
    duration_s: float
    pitch: float
    vowel: str
    consonant: str


@dataclass(frozen=True)
class Score:
    """A song before anyone sings it.

    Attributes:
        chords: for each bar, the MIDI numbers of its triad around middle C.
        beat_s: seconds a beat; a bar has four.
    """

    notes: tuple[Note, ...]
    chords: tuple[tuple[int, ...], ...]
    beat_s: float

    @property
    def duration_s(self) -> float:
        """Seconds, in whole bars."""
        return len(self.chords) * _BEATS_A_BAR * self.beat_s


def compose(rng: np.random.Generator, duration_s: float, centre: float, tempo: float) -> Score:
    """A song of at least ``duration_s`` seconds.

    Args:
        centre: MIDI number around which the melody moves.
        tempo: beats a minute.
    """
    beat_s = 60.0 / tempo
    bars = max(1, int(np.ceil(duration_s / (_BEATS_A_BAR * beat_s))))
    scale = _MODES["major" if rng.random() < 0.6 else "minor"]
    tonic = int(rng.integers(55, 67))
    progression = _PROGRESSIONS[int(rng.integers(len(_PROGRESSIONS)))]
    chords = tuple(
        tuple(tonic + scale[(degree + step) % 7] + 12 * ((degree + step) // 7) for step in (0, 2, 4))
        for degree in (progression[bar % len(progression)] for bar in range(bars))
    )
    ladder = np.array([tonic + 12 * octave + step for octave in range(-4, 5) for step in scale])
    ladder.sort()
    ladder = ladder[np.abs(ladder - centre) <= _REACH]
    notes: list[Note] = []
    place = int(np.abs(ladder - centre).argmin())
    for bar in range(bars):
        if (bar % 4 == 3 and rng.random() < 0.4) or (bar > 0 and rng.random() < 0.05):
            continue  # a breath between phrases
        beat = 0.0
        while beat < _BEATS_A_BAR - 0.25:
            length = float(rng.choice([0.5, 0.5, 1.0, 1.0, 1.5, 2.0, 3.0]))
            length = min(length, _BEATS_A_BAR - beat)
            pull = np.sign(np.abs(ladder - centre).argmin() - place) if rng.random() < 0.35 else 0
            place = int(np.clip(place + rng.integers(-2, 3) + pull, 0, len(ladder) - 1))
            if rng.random() > 0.08:
                notes.append(
                    Note(
                        (bar * _BEATS_A_BAR + beat) * beat_s,
                        length * beat_s * float(rng.uniform(0.85, 1.0)),
                        float(ladder[place]),
                        VOWELS[int(rng.integers(len(VOWELS)))],
                        CONSONANTS[int(rng.integers(len(CONSONANTS)))],
                    )
                )
            beat += length
    if not notes:
        notes.append(Note(0.0, beat_s * 2, float(ladder[place]), "a", ""))
    return Score(tuple(notes), chords, beat_s)
