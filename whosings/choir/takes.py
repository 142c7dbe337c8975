"""How one song was taken: technique, effects, and whether it is a studio recording, a concert or a demo.

In most choirs a singer has one way of singing and one studio, which makes singers easy to tell apart. A ``Difficulty``
takes that away: voices that sound alike, another technique and other effects in every song, as strong as the genre has
them, concerts and demos, and careers over decades.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from whosings.audio import SAMPLE_RATE
from whosings.choir.expression import Manner
from whosings.choir.genres import Genre, draw_chain, draw_manner
from whosings.choir.technique import Technique, draw_technique, roughened, used
from whosings.sound.record_effects import Chain, band_passed, room
from whosings.sound.vocoder import Array, Frames, with_tract

Occasion = Literal["studio", "live", "demo"]


@dataclass(frozen=True)
class Difficulty:
    """What makes the singers of a choir hard to tell apart; by default nothing does.

    Attributes:
        families: groups of voices that sound alike; 0 for none.
        likeness: how much of what sets a voice apart is its family's, 0 to 1.
        technique: how far the techniques of a singer's songs lie apart, 0 to 1.
        treated: each song has effects of its own, as its genre has them.
        live, demo: shares of songs that are recordings of a concert, or demos.
        years_apart: least and most between two albums.
        ageing: how much faster than usual voices age.
        earlier: years by which careers begin earlier than usual, so that long ones end by now.
    """

    families: int = 0
    likeness: float = 0.0
    technique: float = 0.0
    treated: bool = False
    live: float = 0.0
    demo: float = 0.0
    years_apart: tuple[int, int] = (1, 4)
    ageing: float = 1.0
    earlier: int = 0


EASY = Difficulty()
"""Each singer has one technique and one studio."""


@dataclass(frozen=True)
class Take:
    """How one song was sung and recorded; the default changes nothing.

    Attributes:
        chain: effects on the voice; None for the album's.
        shift: formant shifter: length of the tract that is heard against the singer's.
        hall_wet, hall_s: level and decay of the hall around voice and band.
        band_hz: lowest and highest frequency that was recorded.
        noise_db: crowd or hiss against the mixture; -inf for none.
        voice_db: change of the voice's level over the band.
    """

    occasion: Occasion = "studio"
    technique: Technique | None = None
    chain: Chain | None = None
    shift: float = 1.0
    hall_wet: float = 0.0
    hall_s: float = 0.5
    band_hz: tuple[float, float] = (0.0, SAMPLE_RATE / 2)
    noise_db: float = -np.inf
    voice_db: float = 0.0


STUDIO = Take()


@dataclass(frozen=True)
class _Recording:
    """What recordings of one occasion have in common: bounds of each number of a ``Take``.

    Attributes:
        noise_hz: band of the noise.
        balance_db: deviation of the voice's level.
    """

    hall_wet: tuple[float, float]
    hall_s: tuple[float, float]
    lowest_hz: tuple[float, float]
    highest_hz: tuple[float, float]
    noise_db: tuple[float, float]
    noise_hz: tuple[float, float]
    balance_db: float = 0.0


_RECORDINGS: Mapping[Occasion, _Recording] = {
    "live": _Recording((0.3, 1.0), (0.8, 2.5), (60, 200), (5000, 8000), (-30, -12), (150.0, 3000.0), balance_db=2),
    "demo": _Recording((0.05, 0.3), (0.1, 0.5), (80, 300), (3000, 6000), (-35, -18), (500.0, SAMPLE_RATE / 2)),
}


def draw_take(difficulty: Difficulty, genre: Genre, rng: np.random.Generator) -> Take:
    """How one song of a singer of this genre comes about."""
    chance, take = rng.random(), STUDIO
    if difficulty.technique:
        take = replace(take, technique=draw_technique(rng).reaching(difficulty.technique))
    if difficulty.treated:
        shifted = rng.random() < genre.treatment.shifted
        take = replace(
            take,
            chain=draw_chain(genre, rng),
            shift=float(np.exp(rng.choice([-1, 1]) * rng.uniform(0.05, 0.22))) if shifted else 1.0,
            voice_db=float(rng.normal(-genre.treatment.buried_db, 1.5)),
        )
    if chance >= difficulty.live + difficulty.demo:
        return take
    occasion: Occasion = "live" if chance < difficulty.live else "demo"
    usual = _RECORDINGS[occasion]
    return replace(
        take,
        occasion=occasion,
        hall_wet=float(rng.uniform(*usual.hall_wet)),
        hall_s=float(rng.uniform(*usual.hall_s)),
        band_hz=(float(rng.uniform(*usual.lowest_hz)), float(rng.uniform(*usual.highest_hz))),
        noise_db=float(rng.uniform(*usual.noise_db)),
        voice_db=take.voice_db + float(rng.normal(0, usual.balance_db)),
    )


def sung(frames: Frames, take: Take) -> Frames:
    """A performance with the take's technique, and through its formant shifter."""
    frames = frames if take.technique is None else used(frames, take.technique)
    return frames if take.shift == 1.0 else with_tract(frames, take.shift)


def manner_of(take: Take, genre: Genre, usual: Manner, rng: np.random.Generator) -> Manner:
    """A singer's habits in this song."""
    return usual if take.technique is None else draw_manner(genre, roughened(usual, rng), rng)


def captured(voice: Array, music: Array, take: Take, rng: np.random.Generator) -> tuple[Array, Array]:
    """Voice and band as they were recorded: hall, bandwidth, and noise, which goes with the band.

    Args:
        voice, music: (samples,), as loud against each other as they are to be.
    """
    if take.occasion == "studio":
        return voice, music
    voice, music = (band_passed(room(part, take.hall_wet, take.hall_s, rng), *take.band_hz) for part in (voice, music))
    noise = band_passed(rng.standard_normal(voice.size), *_RECORDINGS[take.occasion].noise_hz)
    power = [float(np.mean(part**2)) for part in (voice + music, noise)]
    return voice, music + noise * np.sqrt(power[0] / power[1]) * 10 ** (take.noise_db / 20)
