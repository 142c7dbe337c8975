"""What changes within one voice from song to song: breath, brightness, ring, openness, roughness, the larynx's height.

A singer whispers one line and belts the next. None of this makes another person, so that an encoder which is to know
voices has to hear through it. Identity is left alone: the tract's length moves by less than listeners take for another
speaker (5 %; 16 % does make one).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from whosings.choir.expression import Manner
from whosings.sound.vocoder import BINS, FREQUENCIES, Array, Frames, at_bins, with_tract

_FLOOR = 1e-12
_OCTAVES = np.log2(np.maximum(FREQUENCIES, 500.0) / 500.0)
_RING_WIDTH_HZ = 450.0
_OPEN_HZ, _CLOSED_HZ = 900.0, 1800.0  # the jaw moves what is below the first, nothing above the second
_TOP = 0.995  # of aperiodicity


@dataclass(frozen=True)
class Technique:
    """One way of using a voice; the default leaves it as it is.

    Attributes:
        breath: 0 to 1: share of the periodic sound that becomes noise; 1 is a whisper.
        tilt_db: dB an octave above 500 Hz: below 0 soft or falsetto, above 0 belted.
        ring_db: level of a trained voice around 3 kHz.
        open_db: level of the lowest harmonic against the rest: falsetto has much of it, a pressed voice little.
        jaw: frequencies of the lowest resonances against the usual: above 1 the mouth opens wider.
        larynx: length of the tract against the usual; within 5 %.
    """

    breath: float = 0.0
    tilt_db: float = 0.0
    ring_db: float = 0.0
    open_db: float = 0.0
    jaw: float = 1.0
    larynx: float = 1.0

    def reaching(self, share: float) -> Technique:
        """The same, only so far from the usual, 0 to 1."""
        return Technique(
            share * self.breath,
            share * self.tilt_db,
            share * self.ring_db,
            share * self.open_db,
            self.jaw**share,
            self.larynx**share,
        )


def draw_technique(rng: np.random.Generator) -> Technique:
    """How a singer sings one song: four of ten breathy, half of them on the way to falsetto or to a belt."""
    register = float(rng.choice([0.0, 0.0, 0.0, 0.0, -1.0, 1.0, -0.5, 0.5]))  # falsetto to belt
    return Technique(
        breath=float(rng.uniform(0.05, 0.6)) if rng.random() < 0.4 else 0.0,
        tilt_db=float(4.0 * register + rng.normal(0, 1.8)),
        ring_db=float(rng.uniform(0, 12)) if rng.random() < 0.4 else 0.0,
        open_db=float(-5.0 * register + rng.normal(0, 2.0)),
        jaw=float(np.exp(0.05 * max(0.0, register) + rng.normal(0, 0.05))),
        larynx=float(np.clip(np.exp(rng.normal(0, 0.018)), 0.95, 1.05)),
    )


def roughened(manner: Manner, rng: np.random.Generator) -> Manner:
    """A singer's habits in another song: deeper or no vibrato, straight or sliding notes, now and then a growl."""
    return replace(
        manner,
        vibrato_cents=float(rng.choice([0.0, manner.vibrato_cents, rng.uniform(20, 130)])),
        vibrato_hz=float(np.clip(manner.vibrato_hz + rng.normal(0, 0.4), 4.0, 7.5)),
        glide_s=float(rng.choice([0.01, manner.glide_s, rng.uniform(0.02, 0.25)])),
        jitter_cents=float(10 ** rng.uniform(1.2, 1.9)) if rng.random() < 0.12 else manner.jitter_cents,
        accent_db=float(rng.uniform(1, 5)),
    )


def used(frames: Frames, technique: Technique) -> Frames:
    """The same performance by the same singer with another technique; each frame as loud as it was."""
    if technique.larynx != 1.0:
        frames = with_tract(frames, technique.larynx)
    gain_db = technique.tilt_db * _OCTAVES
    gain_db = gain_db + technique.ring_db * np.exp(-0.5 * ((FREQUENCIES - 3000.0) / _RING_WIDTH_HZ) ** 2)
    pitch = np.where(frames.voiced, frames.f0, 1.0)[:, None]
    lowest = np.exp(-0.5 * ((FREQUENCIES - pitch) / (0.4 * pitch)) ** 2) * frames.voiced[:, None]
    lift_db = technique.open_db * lowest
    envelope = _opened(frames.envelope, technique.jaw) * 10 ** ((gain_db + lift_db) / 10)
    loud = frames.envelope.mean(axis=1, keepdims=True)
    envelope *= loud / (envelope.mean(axis=1, keepdims=True) + _FLOOR)
    noise = frames.aperiodicity
    if technique.breath:
        noise = np.minimum(noise * (1 - technique.breath) + technique.breath, _TOP)
    return replace(frames, envelope=envelope, aperiodicity=noise)


def _opened(envelope: Array, jaw: float) -> Array:
    """Envelopes whose lowest resonances are ``jaw`` times as high; above ``_CLOSED_HZ`` nothing moves."""
    if jaw == 1.0:
        return envelope
    share = np.clip((_CLOSED_HZ - FREQUENCIES) / (_CLOSED_HZ - _OPEN_HZ), 0, 1)
    return at_bins(envelope, np.clip(np.arange(BINS) / (1 + (jaw - 1) * share), 0, BINS - 1))
