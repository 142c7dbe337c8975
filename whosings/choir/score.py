"""Songs as scores: key, chords, a melody in a singer's range, invented lyrics, phrases, rests and a refrain."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

VOWELS = ("a", "e", "i", "o", "u", "E", "O", "y", "@")
CONSONANTS = ("", "n", "m", "l", "r", "j", "w", "s", "f", "S", "h", "z", "v", "t", "k", "p", "d", "g", "b")
PHONES = (*VOWELS, *CONSONANTS[1:])
"""Every sound; its place here is the label of its frames."""

LANGUAGES = ("qaa", "qab", "qac", "qad", "qae", "qaf")
"""Invented languages, under codes that ISO 639-2 keeps for private use."""

_MODES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
_PROGRESSIONS = (
    (0, 4, 5, 3),
    (0, 5, 3, 4),
    (0, 3, 4, 4),
    (5, 3, 0, 4),
    (0, 2, 3, 4),
    (0, 6, 5, 4),
    (3, 4, 0, 0),
    (0, 0, 3, 4),
)
_BEATS_A_BAR = 4
_PHRASE_BARS = 2
_CODAS = ("n", "m", "l", "r", "s", "t")


@dataclass(frozen=True)
class Note:
    """One sung syllable.

    Attributes:
        start_s, duration_s: seconds.
        pitch: MIDI number, 69 is 440 Hz.
        vowel: one of ``VOWELS``.
        consonant, coda: keys of ``CONSONANTS``; they open and close the syllable.
    """

    start_s: float
    duration_s: float
    pitch: float
    vowel: str
    consonant: str
    coda: str = ""


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


@dataclass(frozen=True)
class Form:
    """How songs are built.

    Attributes:
        lengths: how long notes may be, in beats; those named more than once are likelier.
        leap: largest step, in degrees of the scale.
        reach: semitones from the centre to the ends of the melody's range.
        monotone: chance that a note repeats the one before.
        breath: chance of a rest at a phrase's end.
        minor: chance of a minor key.
        language: one of ``LANGUAGES``.
    """

    lengths: tuple[float, ...] = (0.5, 0.5, 1.0, 1.0, 1.5, 2.0, 3.0)
    leap: int = 2
    reach: int = 9
    monotone: float = 0.15
    breath: float = 0.6
    minor: float = 0.4
    language: str = "qaa"


def compose(
    rng: np.random.Generator, duration_s: float, centre: float, tempo: float, form: Form | None = None
) -> Score:
    """A song of at least ``duration_s`` seconds.

    Phrases of two bars; the last half of the song brings back phrases of its refrain, words and all.

    Args:
        centre: MIDI number around which the melody moves.
        tempo: beats a minute.
    """
    form = form or Form()
    beat_s = 60.0 / tempo
    bars = max(1, int(np.ceil(duration_s / (_BEATS_A_BAR * beat_s))))
    scale = _MODES["minor" if rng.random() < form.minor else "major"]
    tonic = int(rng.integers(55, 67))
    verse, refrain = (_PROGRESSIONS[int(i)] for i in rng.integers(len(_PROGRESSIONS), size=2))
    ladder = np.array([tonic + 12 * octave + step for octave in range(-4, 5) for step in scale])
    ladder.sort()
    ladder = ladder[np.abs(ladder - centre) <= form.reach]
    speech = _Language(form.language)
    phrases: dict[str, list[Note]] = {}
    notes: list[Note] = []
    for number in range(-(-bars // _PHRASE_BARS)):
        within = number % 8
        section = "refrain" if within >= 4 else "verse"
        name = f"{section} {(0, 1, 0, 2)[within % 4]}"
        tune = phrases.get(name)
        if tune is None:
            tune = phrases[name] = _phrase(rng, ladder, centre + (2 if section == "refrain" else 0), form, speech)
        elif section == "verse":  # another verse: the same tune with other words
            tune = [speech.worded(note, rng) for note in tune]
        first = number * _PHRASE_BARS * _BEATS_A_BAR
        notes += [
            replace(note, start_s=(first + note.start_s) * beat_s, duration_s=note.duration_s * beat_s)
            for note in tune
            if first + note.start_s < bars * _BEATS_A_BAR - 0.2
        ]
    end = bars * _BEATS_A_BAR * beat_s
    notes = [replace(note, duration_s=min(note.duration_s, end - note.start_s)) for note in notes]
    chords = tuple(
        tuple(tonic + scale[(degree + step) % 7] + 12 * ((degree + step) // 7) for step in (0, 2, 4))
        for degree in ((refrain if bar % 16 >= 8 else verse)[bar % 4] for bar in range(bars))
    )
    return Score(tuple(notes), chords, beat_s)


def _phrase(rng: np.random.Generator, ladder: np.ndarray, centre: float, form: Form, speech: _Language) -> list[Note]:
    """Two bars; starts and durations in beats."""
    beats = float(_PHRASE_BARS * _BEATS_A_BAR)
    end = beats - (float(rng.choice([0.5, 1.0, 1.5])) if rng.random() < form.breath else 0.0)
    beat = float(rng.choice([0.0, 0.0, 0.5]))
    middle = int(np.abs(ladder - centre).argmin())
    place = int(np.clip(middle + rng.integers(-2, 3), 0, len(ladder) - 1))
    notes: list[Note] = []
    while beat < end - 0.2:
        length = min(float(rng.choice(form.lengths)), end - beat)
        if rng.random() >= form.monotone:
            pull = int(np.sign(middle - place)) if rng.random() < 0.35 else 0
            step = np.clip(rng.integers(-form.leap, form.leap + 1) + pull, -form.leap, form.leap)
            place = int(np.clip(place + step, 0, len(ladder) - 1))
        note = Note(beat, length * float(rng.uniform(0.9, 1.0)), float(ladder[place]), "", "")
        notes.append(speech.worded(note, rng))
        beat += length
    return notes


class _Language:
    """Which sounds an invented language has, and how often: always the same for one code."""

    def __init__(self, code: str) -> None:
        rng = np.random.default_rng([26, LANGUAGES.index(code)])
        others = rng.permutation(np.arange(5, len(VOWELS)))[: int(rng.integers(0, 4))]
        self._vowels = [*VOWELS[:5], *(VOWELS[i] for i in sorted(others))]
        self._vowel_chance = rng.dirichlet(np.full(len(self._vowels), 6.0))
        heard = rng.random(len(CONSONANTS)) < 0.75
        heard[:3] = True
        self._consonants = [c for c, used in zip(CONSONANTS, heard, strict=True) if used]
        self._consonant_chance = rng.dirichlet(np.full(len(self._consonants), 3.0))
        self._closed = float(rng.uniform(0.0, 0.4))

    def worded(self, note: Note, rng: np.random.Generator) -> Note:
        """The note with another syllable."""
        return replace(
            note,
            vowel=str(rng.choice(self._vowels, p=self._vowel_chance)),
            consonant=str(rng.choice(self._consonants, p=self._consonant_chance)),
            coda=str(rng.choice(_CODAS)) if rng.random() < self._closed else "",
        )
