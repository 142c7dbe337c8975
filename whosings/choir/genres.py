"""Genres: how songs are built, who plays, and what the studio does to voices.

Folk, country, jazz and soul leave voices nearly as they are; pop, rock, hip-hop and electronic music treat them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from whosings.choir.band import Palette, draw_palette
from whosings.choir.expression import Manner
from whosings.choir.score import Form
from whosings.choir.soundfont import Ensemble, draw_ensemble
from whosings.sound.record_effects import Chain


@dataclass(frozen=True)
class Treatment:
    """What studios do to voices: the chance of each effect on a singer, and the most room, 0 to 1.

    Only where every song is treated anew (``takes``) do these count: ``shifted``, the chance of a formant shifter, and
    ``buried_db``, how much lower than usual the voice is mixed.
    """

    corrected: float = 0.0
    driven: float = 0.0
    doubled: float = 0.0
    echoed: float = 0.0
    vocoded: float = 0.0
    wet: float = 0.3
    shifted: float = 0.0
    buried_db: float = 0.0


@dataclass(frozen=True)
class Genre:
    """Habits of a genre.

    Attributes:
        form: how its songs are built; the language is the singer's.
        tempo: lowest and highest, beats a minute.
        chords, basses, kits: General MIDI programs.
        drums: chance of a drummer.
        sustain_s: shortest and longest decay of the built-in band's chords.
    """

    name: str
    form: Form
    tempo: tuple[float, float]
    chords: tuple[int, ...]
    basses: tuple[int, ...]
    kits: tuple[int, ...]
    drums: float
    sustain_s: tuple[float, float]
    treatment: Treatment


_EVEN, _LONG, _SHORT = (0.5, 1.0, 1.0, 2.0), (1.0, 1.0, 2.0, 2.0, 3.0), (0.5, 0.5, 0.5, 1.0)

GENRES = (
    Genre(
        "folk",
        Form(_EVEN, leap=2, reach=8),
        tempo=(75, 125),
        chords=(24, 25, 46, 105, 21),
        basses=(32, 43),
        kits=(0, 40),
        drums=0.3,
        sustain_s=(0.5, 1.5),
        treatment=Treatment(doubled=0.1, wet=0.25),
    ),
    Genre(
        "country",
        Form(_EVEN, leap=3, reach=9, minor=0.15),
        tempo=(85, 140),
        chords=(25, 27, 0, 105),
        basses=(32, 33),
        kits=(0, 16),
        drums=0.8,
        sustain_s=(0.4, 1.2),
        treatment=Treatment(corrected=0.1, driven=0.05, doubled=0.2, echoed=0.2, wet=0.25),
    ),
    Genre(
        "jazz",
        Form((0.5, 0.5, 1.0, 1.5, 3.0), leap=3, reach=10),
        tempo=(70, 150),
        chords=(0, 1, 26, 11),
        basses=(32, 43),
        kits=(32, 40),
        drums=0.7,
        sustain_s=(0.4, 2.0),
        treatment=Treatment(),
    ),
    Genre(
        "soul",
        Form((0.5, 0.5, 1.0, 1.5, 2.0), leap=3, reach=10),
        tempo=(65, 115),
        chords=(4, 16, 17, 61, 0),
        basses=(33, 34),
        kits=(0, 8),
        drums=0.9,
        sustain_s=(0.3, 2.0),
        treatment=Treatment(corrected=0.05, driven=0.1, doubled=0.3, echoed=0.1),
    ),
    Genre(
        "pop",
        Form(leap=2, reach=9),
        tempo=(85, 130),
        chords=(0, 4, 5, 27, 48, 50),
        basses=(33, 38, 39),
        kits=(8, 25, 24),
        drums=0.95,
        sustain_s=(0.3, 3.0),
        treatment=Treatment(
            corrected=0.5, driven=0.2, doubled=0.5, echoed=0.5, vocoded=0.02, wet=0.4, shifted=0.1, buried_db=1.0
        ),
    ),
    Genre(
        "rock",
        Form(_EVEN, leap=3, reach=10, minor=0.5),
        tempo=(95, 165),
        chords=(27, 28, 29, 30, 18),
        basses=(33, 34),
        kits=(16, 0),
        drums=1.0,
        sustain_s=(0.4, 2.0),
        treatment=Treatment(corrected=0.1, driven=0.6, doubled=0.4, echoed=0.3, wet=0.35, buried_db=3.0),
    ),
    Genre(
        "hip-hop",
        Form(_SHORT, leap=1, reach=5, monotone=0.6, breath=0.8, minor=0.7),
        tempo=(70, 105),
        chords=(4, 5, 45, 50, 11),
        basses=(38, 39),
        kits=(25, 24),
        drums=1.0,
        sustain_s=(0.2, 2.0),
        treatment=Treatment(corrected=0.5, driven=0.4, doubled=0.6, echoed=0.4, vocoded=0.03, wet=0.2, shifted=0.3),
    ),
    Genre(
        "electronic",
        Form(_LONG, leap=2, reach=8, minor=0.6),
        tempo=(100, 145),
        chords=(50, 62, 81, 90, 5),
        basses=(38, 39),
        kits=(24, 25),
        drums=1.0,
        sustain_s=(0.1, 4.0),
        treatment=Treatment(
            corrected=0.6, driven=0.2, doubled=0.4, echoed=0.6, vocoded=0.12, wet=0.5, shifted=0.6, buried_db=3.0
        ),
    ),
)


def draw_band(genre: Genre, rng: np.random.Generator) -> tuple[Palette, Ensemble]:
    """A band of the genre, for the built-in instruments and for sampled ones."""
    plays = rng.random() < genre.drums
    palette = draw_palette(rng)
    low, high = np.log(genre.sustain_s)
    palette = replace(
        palette,
        tempo=float(rng.uniform(*genre.tempo)),
        chord_decay_s=float(np.exp(rng.uniform(low, high))),
        drums=max(0.3, palette.drums) if plays else 0.0,
    )
    ensemble = draw_ensemble(rng)
    return palette, replace(
        ensemble,
        chords=int(rng.choice(genre.chords)),
        bass=None if ensemble.bass is None else int(rng.choice(genre.basses)),
        kit=int(rng.choice(genre.kits)) if plays else None,
    )


def draw_chain(genre: Genre, rng: np.random.Generator) -> Chain:
    """A singer's habitual effects."""
    usual = genre.treatment
    driven, doubled, echoed, vocoded = rng.random(4) < (usual.driven, usual.doubled, usual.echoed, usual.vocoded)
    return Chain(
        drive_db=float(rng.uniform(3, 14)) if driven else 0.0,
        double_db=float(rng.uniform(-12, -2)) if doubled else -np.inf,
        bands=int(rng.integers(16, 29)) if vocoded else 0,
        echo_db=float(rng.uniform(-18, -7)) if echoed else -np.inf,
        wet=float(rng.uniform(0.02, usual.wet)),
        room_s=float(rng.uniform(0.2, 1.4)),
        tilt_db=float(rng.normal(0, 2.5)),
    )


def draw_manner(genre: Genre, usual: Manner, rng: np.random.Generator) -> Manner:
    """A singer's habits as its records have them: with the genre's chance, a pitch corrector's steps."""
    if rng.random() >= genre.treatment.corrected:
        return usual
    return replace(usual, glide_s=0.01, scoop_cents=0.0, vibrato_cents=0.2 * usual.vibrato_cents, drift_cents=1.0)
