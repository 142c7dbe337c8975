"""Parametric singers: a glottal source and a vocal tract, unlimited identities from seeds, sung in batches.

The source has a tenseness, a register, breath and a corner above which it grows dull; the tract has a length, eight
resonances with a singer's own deviations, an accent that moves each vowel, and consonants. A singer's numbers become
control curves in NumPy and, for a batch at once, envelopes and sound in torch, on a GPU where there is one. Enough to
tell voices apart and to run everything without data; no substitute for real singing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.choir.expression import Line, Manner, draw_manner, sing_line
from whosings.choir.score import CONSONANTS, PHONES, VOWELS, Score
from whosings.sound.vocoder import BINS, FRAME_RATE, FREQUENCIES, HOP, SILENT, Array, Frames, synthesize

_FORMANTS = 8
_COLOURS = 17  # points of a voice's colouring, from 0 to 8 kHz
# The first three formants of an adult of average tract length, Hz.
_VOWEL_HZ = {
    "a": (760, 1280, 2600),
    "e": (430, 2050, 2700),
    "i": (300, 2280, 3000),
    "o": (440, 850, 2550),
    "u": (330, 800, 2400),
    "E": (600, 1800, 2600),
    "O": (580, 950, 2500),
    "y": (300, 1850, 2300),
    "@": (520, 1450, 2500),
}
_CONSONANT_HZ = {
    "n": (270, 1500, 2500),
    "m": (260, 1050, 2250),
    "l": (360, 1250, 2700),
    "r": (380, 1250, 1800),
    "j": (280, 2250, 3000),
    "w": (310, 700, 2300),
}
_LOCUS_HZ = {"labial": (320, 1000, 2350), "dental": (330, 1750, 2650), "velar": (320, 2000, 2500)}
_PLACE = {**dict.fromkeys("pbfv", "labial"), **dict.fromkeys("tdszS", "dental"), **dict.fromkeys("kgh", "velar")}
# Noise of a consonant: its centre against the singer's sibilants, its width in Hz, its level in dB.
_NOISE = {
    "s": (1.0, 900, 0),
    "z": (1.0, 900, -6),
    "S": (0.6, 800, 0),
    "f": (0.8, 2500, -12),
    "v": (0.8, 2500, -16),
    "h": (0.35, 1500, -14),
    "t": (0.85, 1300, -2),
    "d": (0.8, 1300, -8),
    "k": (0.42, 700, -3),
    "g": (0.4, 700, -9),
    "p": (0.25, 1200, -8),
    "b": (0.25, 1200, -12),
}
_VOICED_DB = {"n": -7, "m": -8, "l": -4, "r": -4, "j": -3, "w": -3, "z": -14, "v": -12, "d": -16, "g": -16, "b": -16}
_STOPS = "tkpdgb"
_SECONDS = {**dict.fromkeys("nmlr", 0.08), **dict.fromkeys("jw", 0.07), **dict.fromkeys("sfSh", 0.11)}
_MUTE_DB = -80.0


@dataclass(frozen=True)
class Voice:
    """One singer's voice.

    Attributes:
        centre: comfortable pitch, MIDI number.
        tract: length against the average; above 1 the formants are lower.
        formants: Hz, (phones, 8), rows as ``PHONES``, for this tract.
        bandwidths: Hz, (8,).
        colour: dB added to the envelope at 17 points from 0 to 8 kHz.
        cluster_db: a trained voice's ring at 3 kHz.
        tense_hz: above it the source falls by another 6 dB an octave.
        open_db: level of the lowest harmonic over what the source would give.
        breath_db: aspiration noise against the voice.
        head: MIDI number from which the register is a duller head voice.
        nasality: 0 to 1.
        hiss_hz: centre of the sibilants.
        crisp: length of consonants against the usual.
        manner: how the singer shapes notes.
    """

    centre: float
    tract: float
    formants: Array
    bandwidths: Array
    colour: Array
    cluster_db: float
    tense_hz: float
    open_db: float
    breath_db: float
    head: float
    nasality: float
    hiss_hz: float
    crisp: float
    manner: Manner

    def perform(self, score: Score, manner: Manner, rng: np.random.Generator) -> Frames:
        """A performance for the vocoder, labelled with ``PHONES``."""
        controls = articulate(self, score, sing_line(score, manner, rng))
        f0, envelope, aperiodicity = (tensor[0].numpy() for tensor in envelopes([self], [controls]))
        heard = (controls.labels != SILENT) & (controls.voiced_db > -30)
        return Frames(np.where(heard, f0, 0.0), envelope, aperiodicity, controls.labels)


def draw_voice(rng: np.random.Generator) -> Voice:
    """A new identity. Tract length and pitch go together, loosely, as in people."""
    stature = float(rng.uniform(-1.0, 1.0))  # 1: long tract, low voice
    centre = 57.0 + 1.45 * float(np.clip(-8.5 * stature + rng.normal(0, 2.0), -11, 11))
    tract = float(np.exp(0.15 * stature + rng.normal(0, 0.05)))
    table = np.array([[*_hertz(phone), *(3550.0, 4500.0, 5500.0, 6500.0, 7500.0)] for phone in PHONES])
    accent = np.exp(rng.normal(0, [0.07, 0.07, 0.04, 0.03, 0.02, 0.02, 0.02, 0.02], size=table.shape))
    common = np.exp(rng.normal(0, [0.13, 0.13, 0.07, 0.08, 0.07, 0.05, 0.04, 0.03]))
    return Voice(
        centre=centre,
        tract=tract,
        formants=np.sort(table * accent * common / tract, axis=1),
        bandwidths=np.array([70, 90, 130, 180, 250, 300, 400, 500]) * np.exp(rng.normal(0, 0.35, _FORMANTS)),
        colour=_colour(rng),
        cluster_db=float(rng.uniform(0, 12)),
        tense_hz=float(10 ** rng.uniform(2.6, 3.7)),
        open_db=float(rng.uniform(-4, 8)),
        breath_db=float(rng.uniform(-35, 3)),
        head=centre + float(rng.uniform(0, 9)),
        nasality=float(rng.choice([0.0, 0.0, rng.uniform(0.0, 0.6)])),
        hiss_hz=float(rng.uniform(4200, 7200)),
        crisp=float(rng.uniform(0.7, 1.4)),
        manner=draw_manner(rng),
    )


def blended(voice: Voice, other: Voice, share: float) -> Voice:
    """A voice of which so large a share, 0 to 1, is another's; manner and register included."""

    def between(own: Any, others: Any) -> Any:
        if isinstance(own, Manner):
            parts = {f.name: between(getattr(own, f.name), getattr(others, f.name)) for f in fields(own)}
            return Manner(**parts)
        return (1 - share) * own + share * others

    return Voice(**{f.name: between(getattr(voice, f.name), getattr(other, f.name)) for f in fields(voice)})


@dataclass(frozen=True)
class Controls:
    """What an articulating singer does, one row a frame.

    Attributes:
        f0: Hz, (frames,), everywhere.
        formants: Hz, (frames, 8).
        voiced_db, noise_db: level of voice and of a consonant's noise, (frames,).
        noise_hz, noise_width: centre and width of that noise, (frames,).
        labels: index into ``PHONES``, (frames,); ``SILENT`` in rests.
    """

    f0: Array
    formants: Array
    voiced_db: Array
    noise_db: Array
    noise_hz: Array
    noise_width: Array
    labels: NDArray[np.int64]


def articulate(voice: Voice, score: Score, line: Line) -> Controls:
    """Words become movements of the tract: each syllable's consonants and vowel, joined by glides."""
    frames = line.f0.size
    labels = np.full(frames, SILENT, np.int64)
    muted = np.zeros(frames, bool)  # closures of stops
    for number, note in enumerate(score.notes):
        first, last = int(line.start[number]), int(line.end[number])
        labels[first:last] = PHONES.index(note.vowel)
        for consonant, at_end in ((note.consonant, False), (note.coda, True)):
            length = min(_length(voice, consonant), int(0.4 * (last - first)))
            if consonant and length:
                begin = last - length if at_end else first
                labels[begin : begin + length] = PHONES.index(consonant)
                if consonant in _STOPS:
                    muted[begin : begin + length - min(2, length - 1)] = True
    sung = np.flatnonzero(labels != SILENT)
    if sung.size == 0:
        flat = np.full(frames, _MUTE_DB)
        shapes = np.tile(voice.formants[VOWELS.index("@") : VOWELS.index("@") + 1], (frames, 1))
        return Controls(line.f0, shapes, flat, flat, flat + 5000, flat + 1000, labels)
    held = labels[sung[np.clip(np.searchsorted(sung, np.arange(frames)), 0, sung.size - 1)]]
    voiced = np.array([0.0 if phone in VOWELS else _VOICED_DB.get(phone, _MUTE_DB) for phone in PHONES])
    noises = np.array([_NOISE.get(phone, (0.5, 1000, _MUTE_DB)) for phone in PHONES], dtype=float)
    level = np.where(labels == SILENT, _MUTE_DB, np.maximum(line.level_db, _MUTE_DB))
    return Controls(
        f0=line.f0,
        formants=np.exp(_glide(np.log(voice.formants[held]), 7)),
        voiced_db=_glide(np.maximum(voiced[held], -40), 3) + level + np.where(voiced[held] <= _MUTE_DB, -40, 0),
        noise_db=np.where(muted, _MUTE_DB, noises[held, 2] + level),
        noise_hz=noises[held, 0] * voice.hiss_hz,
        noise_width=noises[held, 1],
        labels=labels,
    )


def envelopes(
    voices: Sequence[Voice],
    controls: Sequence[Controls],
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float64,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pitch, envelope and aperiodicity of a batch, as ``vocoder.synthesize`` takes them; controls of one length."""

    def stacked(rows: Sequence[Array]) -> torch.Tensor:
        return torch.from_numpy(np.stack(rows)).to(device, dtype)

    def each(name: str) -> torch.Tensor:
        return stacked([np.asarray(getattr(voice, name), float) for voice in voices])

    f0 = stacked([c.f0 for c in controls])
    frequency = torch.from_numpy(FREQUENCIES).to(device, dtype)
    formants = stacked([c.formants for c in controls])
    # A resonance as wide as its pitch is high cannot be told from a narrower one, and sounds harsh.
    widths = torch.maximum(each("bandwidths")[:, None], 0.25 * f0[..., None] * (formants < 1200))
    tract = torch.ones((*f0.shape, BINS), dtype=dtype, device=device)
    for number in range(_FORMANTS):
        ratio = frequency / formants[..., number, None]
        tract /= (1 - ratio**2) ** 2 + (ratio * (widths[..., number] / formants[..., number])[..., None]) ** 2
    corner, length = each("tense_hz")[:, None], each("tract")[:, None, None]
    semitones = 69 + 12 * torch.log2(f0 / 440.0)
    head = torch.sigmoid(semitones - each("head")[:, None])
    voiced_db = stacked([c.voiced_db for c in controls])
    corner = corner * 2.0 ** (-1.2 * head + 0.12 * voiced_db.clamp(-12, 6))
    source = 1 / ((1 + (frequency / f0[..., None]) ** 2) * (1 + (frequency / corner[..., None]) ** 2))
    source *= _lift(each("open_db")[:, None, None], f0[..., None], 0.4 * f0[..., None], frequency)
    colour = stacked([np.interp(FREQUENCIES, np.linspace(0, 8000, _COLOURS), voice.colour) for voice in voices])
    shape = tract * 10 ** (colour[:, None] / 10)
    shape *= _lift(each("cluster_db")[:, None, None], 3000 / length, 450.0, frequency)
    nasality = each("nasality")[:, None, None]
    shape *= _lift(5 * nasality, 260 / length, 90.0, frequency) * _lift(-11 * nasality, 850 / length, 260.0, frequency)
    power = shape * source
    # Vowels are about equally loud whatever their formants: by the power that the harmonics meet, which for a high note
    # is far from the mean over all frequencies.
    nearest = f0[..., None] * torch.round(frequency / f0[..., None]).clamp(min=1)
    met = (1 - (frequency - nearest).abs() / FREQUENCIES[1]).clamp(min=0)
    scale = met.sum(dim=-1, keepdim=True) / (power * met).sum(dim=-1, keepdim=True).clamp(min=1e-12)
    periodic = power * scale * _power(voiced_db)
    air = (frequency / 2500) ** 2 / (1 + (frequency / 2500) ** 2)
    breathy = shape / shape.mean(dim=-1, keepdim=True) * air
    breathy *= _power(voiced_db + each("breath_db")[:, None] + 4 * head)
    centre, width = (stacked([getattr(c, name) for c in controls])[..., None] for name in ("noise_hz", "noise_width"))
    hiss = torch.exp(-0.5 * ((frequency - centre) / width) ** 2) * _power(stacked([c.noise_db for c in controls]))
    rough = breathy + hiss
    envelope = periodic + rough
    return f0, envelope, torch.sqrt(rough / (envelope + 1e-30))


def sing_batch(
    voices: Sequence[Voice],
    scores: Sequence[Score],
    rngs: Sequence[np.random.Generator],
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float64,
) -> torch.Tensor:
    """Many voices at once, each its own score of the same length; dry.

    Returns:
        (voices, samples) at 16 kHz, on the device, not normalised.
    """
    controls = [
        articulate(voice, score, sing_line(score, voice.manner, rng))
        for voice, score, rng in zip(voices, scores, rngs, strict=True)
    ]
    f0, envelope, aperiodicity = envelopes(voices, controls, device, dtype)
    noise = torch.from_numpy(np.stack([rng.standard_normal(f0.shape[1] * HOP) for rng in rngs])).to(device, dtype)
    return synthesize(f0, envelope, aperiodicity, noise)


def sing(voice: Voice, score: Score, rng: np.random.Generator) -> FloatArray:
    """One voice sings a score: float32 (samples,) at 16 kHz with a peak of 0.9; silence if the score has no notes."""
    line = sing_batch([voice], [score], [rng])[0].numpy()
    peak = max(1e-9, float(np.abs(line).max())) if score.notes else np.inf
    return np.asarray(0.9 * line / peak, np.float32)


def _hertz(phone: str) -> tuple[int, int, int]:
    return _VOWEL_HZ.get(phone) or _CONSONANT_HZ.get(phone) or _LOCUS_HZ[_PLACE[phone]]


def _length(voice: Voice, consonant: str) -> int:
    return round(voice.crisp * _SECONDS.get(consonant, 0.06) * FRAME_RATE) if consonant else 0


def _colour(rng: np.random.Generator) -> Array:
    """Two random curves, rough and smooth, and a dip of the side cavities above 4 kHz."""
    walk = np.cumsum(rng.normal(0, 2.2, _COLOURS))
    points = np.linspace(0, 8, _COLOURS)
    walk += np.interp(points, [0.0, 1.0, 2.0, 3.0, 4.5, 8.0], rng.normal(0, 8, 6))
    dip = -rng.uniform(0, 14) * np.exp(-0.5 * ((points - rng.uniform(3.8, 5.5)) / 0.4) ** 2)
    return np.asarray(walk - walk.mean() + dip)


def _glide(values: Array, frames: int) -> Array:
    """Smooth along the first axis by a window of so many frames."""
    window = np.hanning(frames + 2)[1:-1]
    window /= window.sum()
    padded = np.pad(values, [(frames // 2, frames // 2), *[(0, 0)] * (values.ndim - 1)], "edge")
    return np.asarray(sum(w * padded[i : i + len(values)] for i, w in enumerate(window)))


def _lift(
    decibels: torch.Tensor, centre: torch.Tensor, width: torch.Tensor | float, frequency: torch.Tensor
) -> torch.Tensor:
    """A bump (or dip) of power around a frequency."""
    return 10 ** (decibels * torch.exp(-0.5 * ((frequency - centre) / width) ** 2) / 10)


def _power(decibels: torch.Tensor) -> torch.Tensor:
    return (10 ** (decibels / 10))[..., None]


assert set(_PLACE) | set(_CONSONANT_HZ) == set(CONSONANTS[1:])
