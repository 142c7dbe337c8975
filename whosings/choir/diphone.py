"""Singers from diphone voices: MBROLA, where a user has installed it (``apt install mbrola mbrola-us1``).

The voices are of real people and for non-commercial use only: never taken by default, never behind a model that ships.
A song's syllables are spoken at a flat pitch, which never fails where melodies sometimes do, and the melody is imposed
afterwards as on speech. Needs the program ``mbrola`` and pyworld (the ``speech`` extra).
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from whosings import audio
from whosings.choir.expression import Line, Manner, draw_manner, held, sing_line
from whosings.choir.score import PHONES, VOWELS, Score
from whosings.errors import MissingFileError, UnreadableAudioError, WhosingsError
from whosings.sound.vocoder import BINS, FRAME_RATE, SILENT, Frames, analyze, resampled, with_tract

FOLDER = Path("/usr/share/mbrola")
_UNUSABLE = ("nl1", "cn1", "nz1", "ar1")  # fail while they speak, or are damaged
# ISO 639 codes of languages, by the first two letters of the voices that the project names otherwise.
_LANGUAGES = {
    "br": "pt",
    "bz": "br",
    "ca": "fr",
    "cn": "zh",
    "cr": "hr",
    "cz": "cs",
    "ee": "et",
    "gr": "el",
    "hb": "he",
    "hn": "ko",
    "ic": "is",
    "in": "hi",
    "ir": "fa",
    "jp": "ja",
    "ma": "ms",
    "mx": "es",
    "nz": "mi",
    "sw": "sv",
    "tl": "te",
    "us": "en",
    "vz": "es",
}
_HEADER = struct.Struct("<6s5shhiihBB")  # magic, version, diphones, 0, sizes of two tables, rate, period, coding
_PAUSE = "_"
_SPOKEN_MS = {"vowel": 220, "consonant": 90, "pause": 60}
_MOST_ONSET = 0.4  # share of a note
_VOICELESS = "sfShtkp"
_LIFT = 2.0  # semitones: people sing above the pitch at which they read
# What a voice may call each sound, in SAMPA: its own names, then what comes nearest.
_NAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "a": (("a", "a:", "A", "A:", "a1"), ("{", "V", "6")),
    "e": (("e", "e:", "e1"), ("E", "EI", "i")),
    "i": (("i", "i:", "i1"), ("I",)),
    "o": (("o", "o:", "o1"), ("O", "@U", "O:")),
    "u": (("u", "u:", "u1"), ("U",)),
    "E": (("E", "E:", "E1"), ("e", "e1", "{")),
    "O": (("O", "O:", "O1"), ("o", "o1", "A", "Q")),
    "y": (("y", "y:", "Y"), ("2", "2:", "u", "u:", "i", "i1")),
    "@": (("@",), ("V", "6", "9", "r=", "e", "e1", "a", "a1")),
    "n": (("n",), ("m",)),
    "m": (("m",), ("n",)),
    "l": (("l",), ("L", "5")),
    "r": (("r", "R", "4"), ("rr", "l")),
    "j": (("j",), ("i", "I", "i1")),
    "w": (("w",), ("v", "u", "U")),
    "s": (("s",), ("z", "S")),
    "f": (("f",), ("v", "s")),
    "S": (("S",), ("C", "s")),
    "h": (("h",), ("x", "H", "X", "f")),
    "z": (("z",), ("s",)),
    "v": (("v",), ("B", "w", "f")),
    "t": (("t",), ("d",)),
    "k": (("k",), ("g", "t")),
    "p": (("p",), ("b",)),
    "d": (("d",), ("D", "t")),
    "g": (("g",), ("G", "k")),
    "b": (("b",), ("B", "p")),
}


def language_of(voice: Path) -> str:
    """ISO 639 code of the language whose sounds a voice has, by its file's name."""
    code = voice.name[:2]
    return _LANGUAGES.get(code, code)


@dataclass(frozen=True)
class DiphoneVoice:
    """A singer made of an installed voice.

    Attributes:
        path: its database.
        diphones: pairs of sounds that it has.
        hertz: its own pitch.
        tract: length against its own; 0.84 or 1.19 make another person of it.
    """

    path: Path
    diphones: frozenset[tuple[str, str]]
    hertz: float
    manner: Manner
    tract: float = 1.0

    @property
    def centre(self) -> float:
        """Comfortable pitch, MIDI number."""
        return 69 + _LIFT + 12 * float(np.log2(self.hertz / self.tract / 440.0))

    @cached_property
    def names(self) -> dict[str, str]:
        """What the voice calls each of ``PHONES``."""
        has = {sound for pair in self.diphones for sound in pair}
        return {phone: next(name for name in (*own, *near) if name in has) for phone, (own, near) in _NAMES.items()}

    @property
    def substitutions(self) -> tuple[str, ...]:
        """Sounds that the voice has not, and sings as the nearest one."""
        return tuple(phone for phone, name in self.names.items() if name not in _NAMES[phone][0])

    def perform(self, score: Score, manner: Manner, rng: np.random.Generator) -> Frames:
        """A performance for the vocoder, labelled with ``PHONES``.

        Raises:
            WhosingsError: mbrola is not installed or fails.
        """
        line = sing_line(score, manner, rng)
        spoken = [phone for note in score.notes for phone in (note.consonant, note.vowel, note.coda) if phone]
        size = line.f0.size
        if not spoken:
            return Frames(np.zeros(size), np.zeros((size, BINS)), np.ones((size, BINS)), np.full(size, SILENT))
        frames, begins = self._speak(spoken)
        places, labels = _places(score, line, spoken, begins)
        sung = resampled(frames, places)
        voiced = (labels != SILENT) & ~np.isin(labels, [PHONES.index(phone) for phone in _VOICELESS])
        level = np.where(labels == SILENT, 0.0, 10 ** (np.maximum(line.level_db, -120.0) / 10))
        vowels = np.isin(frames.labels, range(len(VOWELS)))
        envelope = sung.envelope * (level / frames.envelope[vowels].mean())[:, None]
        made = replace(sung, f0=np.where(voiced, line.f0, 0.0), envelope=envelope, labels=labels)
        return with_tract(made, self.tract) if self.tract != 1.0 else made

    def _speak(self, phones: list[str]) -> tuple[Frames, list[tuple[int, int]]]:
        """Sounds one after another at the voice's own pitch; first and last frame of each."""
        lines, spans, at = [f"{_PAUSE} {_SPOKEN_MS['pause']} 50 {self.hertz:.1f}"], [], _SPOKEN_MS["pause"]
        before = _PAUSE
        for phone in phones:
            name = self.names[phone]
            if (before, name) not in self.diphones and before != _PAUSE:
                lines.append(f"{_PAUSE} {_SPOKEN_MS['pause']}")  # a breath where the voice cannot join them
                at += _SPOKEN_MS["pause"]
            length = _SPOKEN_MS["vowel" if phone in VOWELS else "consonant"]
            lines.append(f"{name} {length} 50 {self.hertz:.1f}")
            spans.append((at, at + length))
            at, before = at + length, name
        lines.append(f"{_PAUSE} {_SPOKEN_MS['pause']}")
        samples = _run(self.path, "\n".join(lines) + "\n", (at + _SPOKEN_MS["pause"]) / 1000)
        labels = np.full(samples.size * FRAME_RATE // audio.SAMPLE_RATE, SILENT)
        frames_of = [(round(first / 1000 * FRAME_RATE), round(last / 1000 * FRAME_RATE)) for first, last in spans]
        for phone, (first, last) in zip(phones, frames_of, strict=True):
            labels[first:last] = PHONES.index(phone)
        voiceless = np.isin(labels, [SILENT, *(PHONES.index(phone) for phone in _VOICELESS)])
        frames = analyze(samples, np.where(voiceless, 0.0, self.hertz))
        return replace(frames, labels=labels), frames_of


def find_voices(folder: Path = FOLDER) -> tuple[Path, ...]:
    """Databases of installed voices that have the sounds of our scores; none where the program mbrola is missing."""
    if shutil.which("mbrola") is None or not folder.is_dir():
        return ()
    found = (own / own.name for own in sorted(folder.iterdir()) if own.name not in _UNUSABLE)
    return tuple(path for path in found if path.is_file() and _can_sing(path))


def _can_sing(path: Path) -> bool:
    try:
        open_voice(path, np.random.default_rng(0))
    except UnreadableAudioError:
        return False
    return True


def open_voice(path: Path, rng: np.random.Generator, tract: float = 1.0) -> DiphoneVoice:
    """A voice from its database.

    Args:
        rng: draws how the singer shapes notes.

    Raises:
        MissingFileError: no such file.
        UnreadableAudioError: not an MBROLA database, or one without the sounds of our scores.
    """
    if not path.is_file():
        raise MissingFileError(path, "no such file", "install the voice's package")
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size or head[:6] != b"MBROLA":
            raise UnreadableAudioError(path, "is no MBROLA voice", "install the voice's package again")
        _, _, count, _, _, _, rate, period, _ = _HEADER.unpack(head)
        diphones = frozenset(_pairs(file.read(64 * (count & 0xFFFF)), count & 0xFFFF))
    voice = DiphoneVoice(path, diphones, (rate & 0xFFFF) / max(1, period), draw_manner(rng), tract)
    has = {sound for pair in diphones for sound in pair}
    missing = [phone for phone, (own, near) in _NAMES.items() if not has.intersection((*own, *near))]
    if missing:
        raise UnreadableAudioError(path, f"has no sound for {', '.join(missing)}", "take another voice")
    return voice


def _pairs(table: bytes, count: int) -> Iterator[tuple[str, str]]:
    """Names of the diphones: two strings that end with 0, then four bytes of where they are."""
    at = 0
    for _ in range(count):
        names = []
        for _ in range(2):
            end = table.find(b"\0", at)
            if end < 0:
                return
            names.append(table[at:end].decode("latin-1"))
            at = end + 1
        at += 4
        yield names[0], names[1]


def _run(voice: Path, pho: str, duration_s: float) -> audio.FloatArray:
    if shutil.which("mbrola") is None:
        raise WhosingsError("the program mbrola", "is not installed", "install it, or take other singers")
    with tempfile.TemporaryDirectory() as folder:
        text, out = Path(folder) / "song.pho", Path(folder) / "song.wav"
        text.write_text(pho, encoding="latin-1")
        done = subprocess.run(["mbrola", "-e", str(voice), str(text), str(out)], capture_output=True, check=False)
        # After some errors it leaves a file that ends early.
        samples = audio.load(out).samples[0] if done.returncode == 0 and out.exists() else np.zeros(0, np.float32)
    if samples.size < 0.98 * duration_s * audio.SAMPLE_RATE:
        said = done.stderr.decode("latin-1").strip().splitlines()
        reason = said[-1] if said else f"exit status {done.returncode}"
        raise WhosingsError(voice, f"mbrola cannot sing with it ({reason})", "take another voice")
    return np.asarray(samples, np.float32)


def _places(score: Score, line: Line, spoken: list[str], spans: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """For each frame of the song the place in what was spoken, and the sound."""
    places, labels = np.zeros(line.f0.size), np.full(line.f0.size, SILENT)
    number = 0
    for place, note in enumerate(score.notes):
        start, end = int(line.start[place]), int(line.end[place])
        sounds = [phone for phone in (note.consonant, note.vowel, note.coda) if phone]
        own = spans[number : number + len(sounds)]
        number += len(sounds)
        lengths = [
            0 if phone in VOWELS else min(last - first, int(_MOST_ONSET * (end - start)))
            for phone, (first, last) in zip(sounds, own, strict=True)
        ]
        rest = max(0, end - start - sum(lengths))
        at = start
        for phone, (first, last), length in zip(sounds, own, lengths, strict=True):
            size = rest if phone in VOWELS else length
            where = held(first, last, size) if phone in VOWELS else first + np.arange(size, dtype=float)
            places[at : at + size], labels[at : at + size] = where, PHONES.index(phone)
            at += size
    return places, labels
