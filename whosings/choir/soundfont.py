"""Bands of sampled instruments: arrangements as MIDI, rendered by FluidSynth with a General MIDI soundfont.

FluidSynth (the program ``fluidsynth``) and a soundfont are the user's own: Debian's packages ``fluidsynth`` and
``fluid-soundfont-gm`` (FluidR3, MIT) or ``musescore-general-soundfont`` (MIT). Where they are missing, ``choir.band``
plays. The same seed gives the same MIDI everywhere; the same MIDI and soundfont give the same samples with one version
of FluidSynth.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whosings import audio
from whosings.audio import FloatArray
from whosings.choir.score import Note, Score
from whosings.errors import MissingExtraError, WhosingsError

CHORDS = (*range(0, 8), 10, 11, 12, 15, *range(16, 22), *range(24, 32), 45, 46, 48, 50, 61, 62, 106, 107)
"""General MIDI programs that comp: keys, organs, guitars, plucked strings, brass sections. No voices anywhere."""
BASSES = (32, 33, 34, 35, 36, 37, 38, 39, 43, 58)
PADS = (48, 49, 50, 51, 88, 89, 90, 92, 93, 94, 95, 19)
FIGURES = (0, 4, 8, 9, 11, 12, 13, 24, 25, 27, 28, 46, 80, 81, 84, 98, 99, 104, 105, 107, 108)
LEADS = {
    "saxophone": (64, 65, 66, 67),
    "strings": (40, 41, 42, 110),
    "synth": (80, 81, 82, 83, 84, 86, 87),
    "guitar": (26, 27, 29, 30),
    "wind": (22, 56, 57, 59, 60, 68, 69, 70, 71, 72, 73, 74, 75, 77, 78, 79, 109),
}
"""Programs of solo instruments, by family; they bend and shake their notes as singers do."""

_KITS = (0, 8, 16, 24, 25, 32, 40)
_DRUM_CHANNEL = 9
_TICKS = 480  # a beat
_RATE = 32_000  # Hz that FluidSynth renders at; brought down afterwards, so that nothing folds back
_BEND_SEMITONES = 2.0
_Event = tuple[float, int, Any]  # beat, order within it, MIDI message
_PLACES = (
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/soundfonts/FluidR3_GM.sf2",
    "/usr/share/sounds/sf2/default-GM.sf2",
    "/usr/share/sounds/sf3/default-GM.sf3",
)


@dataclass(frozen=True)
class Ensemble:
    """A band of sampled instruments and its habits.

    Attributes:
        chords, bass, pad, figure, lead: General MIDI programs; None where nobody plays that part.
        kit: drum kit's program; None without drums.
        chord_beats, bass_beats: where in a bar they play.
        kick, snare, hat: beats of a bar on which the drums play.
        octave: transposition of the chords, semitones.
        swing: delay of the off-beats, as a share of a beat.
        reverb, chorus: MIDI levels, 0 to 127.
        levels: loudness of chords, bass, pad, figure, lead and drums, MIDI volumes 0 to 127.
    """

    chords: int
    bass: int | None
    pad: int | None
    figure: int | None
    lead: int | None
    kit: int | None
    chord_beats: tuple[float, ...]
    bass_beats: tuple[float, ...]
    kick: tuple[float, ...]
    snare: tuple[float, ...]
    hat: tuple[float, ...]
    octave: int
    swing: float
    reverb: int
    chorus: int
    levels: tuple[int, int, int, int, int, int]


def draw_ensemble(rng: np.random.Generator, lead: str | None = None) -> Ensemble:
    """A new band.

    Args:
        lead: family of ``LEADS`` that plays a melody where a singer would; None for no lead.
    """

    def one(programs: tuple[int, ...], chance: float = 1.0) -> int | None:
        program = int(programs[int(rng.integers(len(programs)))])
        return program if rng.random() < chance else None

    def beats(*patterns: tuple[float, ...]) -> tuple[float, ...]:
        return patterns[int(rng.integers(len(patterns)))]

    eighths = tuple(np.arange(0, 4, 0.5).tolist())
    chords = one(CHORDS)
    assert chords is not None
    return Ensemble(
        chords=chords,
        bass=one(BASSES, 0.9),
        pad=one(PADS, 0.4),
        figure=one(FIGURES, 0.45),
        lead=one(LEADS[lead]) if lead is not None else None,
        kit=one(_KITS, 0.8),
        chord_beats=beats(
            (0.0,), (0.0, 2.0), (0.0, 1.0, 2.0, 3.0), (1.0, 3.0), (0.5, 1.5, 2.5, 3.5), (0.0, 1.5, 3.0), eighths
        ),
        bass_beats=beats((0.0, 2.0), (0.0, 1.5, 2.0, 3.5), (0.0, 1.0, 2.0, 3.0), eighths, (0.0, 0.75, 2.0, 2.75)),
        kick=beats((0.0, 2.0), (0.0, 1.0, 2.0, 3.0), (0.0, 2.5), (0.0, 1.5, 2.5), (0.0, 0.75, 2.0, 2.75)),
        snare=beats((1.0, 3.0), (2.0,), (1.0, 2.75, 3.0), (0.75, 1.5, 3.0)),
        hat=beats(eighths, tuple(np.arange(0, 4, 0.25).tolist()), (0.0, 1.0, 2.0, 3.0), (0.5, 1.5, 2.5, 3.5), ()),
        octave=int(rng.choice([-12, 0, 0, 12])),
        swing=float(rng.choice([0.0, 0.0, rng.uniform(0.02, 0.16)])),
        reverb=int(rng.integers(0, 100)),
        chorus=int(rng.integers(0, 60)),
        levels=(
            int(rng.integers(60, 105)),
            int(rng.integers(75, 115)),
            int(rng.integers(40, 90)),
            int(rng.integers(50, 95)),
            int(rng.integers(90, 127)),
            int(rng.integers(70, 120)),
        ),
    )


def arrange(ensemble: Ensemble, score: Score, rng: np.random.Generator) -> bytes:
    """The band's parts for a score, as a Standard MIDI File; the score's notes are played by the lead, if there is one.

    Raises:
        MissingExtraError: mido is not installed.
    """
    MissingExtraError.require("mido", "a band of sampled instruments", "choir")
    import mido

    events: list[_Event] = []

    def control(channel: int, program: int, level: int, bank: int | None = None) -> None:
        settings = [(7, level), (91, ensemble.reverb), (93, ensemble.chorus), (10, int(rng.integers(44, 84)))]
        for number, value in settings:
            events.append((0.0, 0, mido.Message("control_change", channel=channel, control=number, value=value)))
        events.append((0.0, 1, mido.Message("program_change", channel=channel, program=program)))

    def play(channel: int, pitch: int, beat: float, length: float, loudness: float) -> None:
        if not 0 <= pitch < 128:
            return
        velocity = int(np.clip(loudness + rng.normal(0, 7), 20, 127))
        start = max(0.0, beat + (ensemble.swing if beat % 1 else 0.0) + rng.normal(0, 0.008))
        events.append((start, 3, mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)))
        events.append((start + length, 2, mido.Message("note_off", channel=channel, note=pitch)))

    level = dict(zip(("chords", "bass", "pad", "figure", "lead", "drums"), ensemble.levels, strict=True))
    parts = {"chords": 0, "bass": 1, "pad": 2, "figure": 3, "lead": 4}
    for part, channel in parts.items():
        program = getattr(ensemble, part)
        if program is not None:
            control(channel, program, level[part])
    if ensemble.kit is not None:
        control(_DRUM_CHANNEL, ensemble.kit, level["drums"])
    steps = [0, 1, 2, 1] if rng.random() < 0.5 else [2, 1, 0, 1]
    for bar, chord in enumerate(score.chords):
        first = 4.0 * bar
        for number, beat in enumerate(ensemble.chord_beats):
            until = ensemble.chord_beats[number + 1] if number + 1 < len(ensemble.chord_beats) else 4.0
            for pitch in chord:
                play(0, pitch + ensemble.octave, first + beat, 0.9 * (until - beat), 78)
        if ensemble.bass is not None:
            for beat in ensemble.bass_beats:
                fifth = 7 if rng.random() < 0.15 else 0
                play(1, chord[0] - 24 + fifth, first + beat, 0.8 * min(1.0, 4.0 - beat), 88)
        if ensemble.pad is not None:
            for pitch in chord:
                play(2, pitch, first, 3.95, 70)
        if ensemble.figure is not None:
            for number, beat in enumerate(np.arange(0, 4, 0.5)):
                play(3, chord[steps[number % 4]] + 12, first + float(beat), 0.45, 72)
        if ensemble.kit is not None:
            fill = bar % 4 == 3 and rng.random() < 0.5
            for pitch, places in ((36, ensemble.kick), (38, ensemble.snare), (42, ensemble.hat)):
                for beat in places:
                    if rng.random() < 0.95:
                        play(_DRUM_CHANNEL, pitch, first + beat, 0.2, 92 if pitch != 42 else 70)
            if bar % 8 == 0:
                play(_DRUM_CHANNEL, 49, first, 1.0, 90)
            for number, beat in enumerate(np.arange(2, 4, 0.25) if fill else ()):
                play(_DRUM_CHANNEL, (50, 50, 48, 48, 45, 45, 43, 43)[number], first + float(beat), 0.2, 90)
    if ensemble.lead is not None:
        for note in score.notes:
            start, length = note.start_s / score.beat_s, note.duration_s / score.beat_s
            play(4, round(note.pitch), start, length, 96)
            events.extend(_expression(4, note, start, score.beat_s, rng))
    return _file(events, score.beat_s)


def render(midi: bytes, soundfont: str | Path) -> FloatArray:
    """Samples of a MIDI file: float32 (samples,), mono at 16 kHz, with a peak of 0.9.

    Raises:
        WhosingsError: FluidSynth is not installed or cannot use the soundfont.
    """
    if shutil.which("fluidsynth") is None:
        raise WhosingsError("the program fluidsynth", "is not installed", "install it, or use the built-in band")
    if not _is_soundfont(Path(soundfont)):  # FluidSynth would silently take another one
        raise WhosingsError(soundfont, "is not a soundfont", "name an .sf2 or .sf3 file")
    with tempfile.TemporaryDirectory() as folder:
        song, out = Path(folder) / "song.mid", Path(folder) / "song.wav"
        song.write_bytes(midi)
        options = ["-ni", "-q", "-g", "0.4", "-r", str(_RATE), "-o", "synth.dynamic-sample-loading=1", "-T", "wav"]
        command = ["fluidsynth", *options, "-F", str(out), str(soundfont), str(song)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not out.exists() or out.stat().st_size < 100:
            said = (done.stderr or done.stdout).strip().splitlines()
            reason = said[-1] if said else "no reason given"
            raise WhosingsError(soundfont, f"FluidSynth cannot render with it ({reason})", "check the file")
        samples = audio.load(out).samples[0]
    return np.asarray(0.9 * samples / max(1e-9, float(np.abs(samples).max())), np.float32)


def find_soundfont() -> Path | None:
    """Where a General MIDI soundfont usually lies; None if there is none, or no FluidSynth."""
    if shutil.which("fluidsynth") is None:
        return None
    return next((Path(place) for place in _PLACES if Path(place).exists()), None)


def _is_soundfont(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"sfbk"


def _expression(channel: int, note: Note, start: float, beat_s: float, rng: np.random.Generator) -> list[_Event]:
    """Pitch bends of a scoop into the note and a vibrato on it, every 25 ms."""
    import mido

    scoop = float(rng.choice([0.0, rng.uniform(-1.5, -0.3)], p=[0.5, 0.5]))
    depth, rate, delay = float(rng.uniform(0, 0.5)), float(rng.uniform(4.5, 6.5)), float(rng.uniform(0.05, 0.35))
    events = []
    for time in np.arange(0.0, note.duration_s, 0.025):
        bend = scoop * np.exp(-time / 0.05)
        bend += depth * np.clip((time - delay) / 0.2, 0, 1) * np.sin(2 * np.pi * rate * time)
        value = int(np.clip(bend / _BEND_SEMITONES * 8192, -8192, 8191))
        events.append((start + time / beat_s, 2, mido.Message("pitchwheel", channel=channel, pitch=value)))
    return events


def _file(events: list[_Event], beat_s: float) -> bytes:
    import mido

    song = mido.MidiFile(ticks_per_beat=_TICKS)
    track = mido.MidiTrack()
    song.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=round(beat_s * 1e6)))
    at = 0
    for beat, _, message in sorted(events, key=lambda event: event[:2]):
        tick = round(beat * _TICKS)
        track.append(message.copy(time=tick - at))
        at = tick
    content = io.BytesIO()
    song.save(file=content)
    return content.getvalue()
