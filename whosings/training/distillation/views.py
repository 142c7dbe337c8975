"""From a bank to batches of views: the same seconds of a voice alone and as a record has them.

Conventions
-----------
- Everything is made where the bank's arrays lie, in few large operations: on a GPU they are copied there once, on a CPU
  they stay on disk.
- What is drawn depends on the seed and the number of the step alone, so that a run that was interrupted goes on as if
  it had not been.
- A voice is varied in speed, pitch and formants together. The teacher hears the voice as varied, because that makes
  another person.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from whosings.audio import SAMPLE_RATE
from whosings.devices import usable
from whosings.errors import TrainingError
from whosings.sound import batch_effects as effects
from whosings.training.distillation.bank import Bank
from whosings.training.distillation.config import ViewsConfig
from whosings.training.distillation.draw import Draw

_TAIL_S = 1.0  # of rooms and echoes
_ALIKE = math.log(1.1)  # speeds nearer than this do not make two persons


@dataclass(frozen=True)
class _Chances:
    """Chances of effects on a voice, a band or a record."""

    equaliser: float
    room: float
    echo: float
    saturation: float


_VOICE = _Chances(equaliser=0.6, room=0.5, echo=0.12, saturation=0.2)
_BAND = _Chances(equaliser=0.5, room=0.2, echo=0.0, saturation=0.0)
_RECORD_SATURATION, _LOW_PASS = 0.2, 0.25
_EQUALISER_DB, _KNOTS = 9.0, 9  # most at a knot, and number of knots
_DRIVE = (1.0, 5.0)
_EDGE_HZ = (3000.0, 8000.0)
_GUEST_DB = (4.0, 15.0)  # under the voice
_NOISE_DB = (25.0, 65.0)  # likewise
_PAUSE = (0.15, 0.65)  # of a view
_SECOND_BAND = 0.3  # chance


@dataclass(frozen=True)
class Views:
    """One batch; waves are float32 (views, samples) at 16 kHz.

    Attributes:
        records: what is heard, with a peak of 1.
        voices, bands: the voice and everything else, as they are in the record before what is done to the whole.
        voices_alone: the same seconds of the voices, varied, without effects, pauses or bands, with a peak of 1.
        others_alone: another clip of each person under the same variation; None where it was not asked for.
        people: numbers of the speakers, (views,).
        varied_by: how much faster than its speaker a voice is in all, (views,).
    """

    records: Tensor
    voices: Tensor
    bands: Tensor
    voices_alone: Tensor
    others_alone: Tensor | None
    people: Tensor
    varied_by: Tensor

    @property
    def alike(self) -> Tensor:
        """Which views are of one person, bool (views, views): of one speaker, at nearly the same speed."""
        speeds = self.varied_by.log()
        return (self.people[:, None] == self.people) & ((speeds[:, None] - speeds).abs() < _ALIKE)


class ViewMaker:
    """Step number -> views.

    Raises:
        TrainingError: no two speakers of the bank have clips of the kinds that take part.
        ConfigError: the device cannot hold the bank.
    """

    def __init__(self, bank: Bank, config: ViewsConfig, seed: int, device: torch.device) -> None:
        self._config, self._seed, self._device = config, seed, device
        self.count = config.count_on_cpu if device.type == "cpu" else config.count
        """Views a step."""
        self.samples = effects.fast_length(config.seconds * SAMPLE_RATE)
        """Length of a view."""
        clips = np.flatnonzero(np.isin(bank.kinds, config.kinds))
        clips = clips[np.argsort(bank.persons[clips], kind="stable")]
        persons, first, many = np.unique(bank.persons[clips], return_index=True, return_counts=True)
        speakers = np.unique([bank.speakers[person] for person in persons], return_inverse=True)[1]
        if speakers.max(initial=0) < 1:
            kinds = " or ".join(config.kinds)
            raise TrainingError("the bank of voices", f"has fewer than two people with {kinds} clips", "add people")
        with usable(device):
            self._voices, self._bands = (torch.from_numpy(array).to(device) for array in (bank.voices, bank.bands))
            self._offsets, self._lengths, self._first, self._many, self._speakers, self._speeds = (
                torch.from_numpy(table).to(device)
                for table in (
                    *(bank.offsets[clips], bank.lengths[clips], first.astype(np.int64), many.astype(np.int64)),
                    *(speakers.astype(np.int64), bank.speeds[persons].astype(np.float32)),
                )
            )

    @torch.no_grad()
    def __call__(self, step: int, with_others: bool = True) -> Views:
        """The views of a step.

        Args:
            with_others: whether ``others_alone`` is made, too; everything else is the same without.
        """
        draw = Draw(self._seed, step, self._device)
        people = self._people(draw)
        parts = self._parts(self._config.speeds)
        place = draw.below(self._many[people])
        alone = self._crops(self._first[people] + place, parts, draw)
        voices, sounding = self._sung(alone, draw)
        bands = self._played(alone, effects.level(voices) / sounding.sqrt(), draw)
        scale = 1 / (voices + bands).abs().amax(dim=1, keepdim=True).clamp(min=1e-6)
        voices, bands = voices * scale, bands * scale
        records = self._recorded(voices + bands, draw)
        others = None
        if with_others:
            further = 1 + draw.below((self._many[people] - 1).clamp(min=1))
            others = self._crops(self._first[people] + (place + further) % self._many[people], parts, draw)
        ratios = torch.cat([torch.full((length,), ratio) for ratio, length in parts]).to(self._device)
        return Views(records, voices, bands, alone, others, self._speakers[people], self._speeds[people] * ratios)

    def _people(self, draw: Draw) -> Tensor:
        """Everybody once before anybody twice, (views,)."""
        known = len(self._many)
        return torch.cat([draw.order(known) for _ in range(-(-self.count // known))])[: self.count]

    def _parts(self, speeds: tuple[float, ...]) -> list[tuple[float, int]]:
        """Speeds, and how many views in a row have each."""
        bounds = [number * self.count // len(speeds) for number in range(len(speeds) + 1)]
        return [(speed, high - low) for speed, low, high in zip(speeds, bounds[:-1], bounds[1:], strict=True)]

    def _crops(self, clips: Tensor, parts: list[tuple[float, int]], draw: Draw) -> Tensor:
        """A stretch of each clip, which begins again where the clip ends, at the speeds of the batch's parts."""
        found, first = [], 0
        for ratio, many in parts:
            own = clips[first : first + many]
            length = effects.fast_length(self.samples * ratio)
            begin = draw.below((self._lengths[own] - length).clamp(min=1))
            place = (begin[:, None] + torch.arange(length, device=self._device)) % self._lengths[own][:, None]
            found.append(self._at_speed(self._voices[place + self._offsets[own][:, None]]))
            first += many
        return torch.cat(found)

    def _at_speed(self, raw: Tensor) -> Tensor:
        return effects.peak_normalised(effects.stretched(raw.float() / 32768, self.samples))

    def _sung(self, alone: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """Voices as a studio has them, some with a pause; and the share of each that sounds, (views, 1)."""
        rows = draw.rows(self._config.pause, len(alone))
        share = torch.zeros(len(alone), 1, device=self._device)
        share[rows] = draw.uniform(*_PAUSE, len(rows), 1)
        late = draw.uniform(0, 1, len(alone), 1) < 0.5
        return self._produced(effects.paused(alone, share, late), _VOICE, draw), 1 - share

    def _played(self, alone: Tensor, voice_level: Tensor, draw: Draw) -> Tensor:
        """All that is not the voice: one or two bands, a guest, noise; at their levels."""
        count, config = len(alone), self._config
        tapes = []
        for ratio, many in self._parts(config.band_speeds):
            length = effects.fast_length(self.samples * ratio)
            bounds = torch.full((2 * many,), max(1, len(self._bands) - length), device=self._device)
            place = draw.below(bounds)[:, None] + torch.arange(length, device=self._device)
            one, other = self._at_speed(self._bands[place % len(self._bands)]).chunk(2)
            second = draw.uniform(0, 1, many, 1) * (draw.uniform(0, 1, many, 1) < _SECOND_BAND)
            tapes.append(one + second * other)
        # Shuffled, because otherwise speeds of bands and of voices would go together.
        bands = self._produced(torch.cat(tapes)[draw.order(count)], _BAND, draw)
        under = effects.amplitude(-draw.uniform(config.softest_db, config.loudest_db, count, 1))
        bands = bands * (under * voice_level / effects.level(bands))
        rows = draw.rows(config.guest, count)
        guests = alone[(rows + 1) % count]
        under = effects.amplitude(-draw.uniform(*_GUEST_DB, len(rows), 1))
        bands[rows] += guests * (under * voice_level[rows] / effects.level(guests))
        bands[draw.rows(config.alone, count)] = 0.0
        under = effects.amplitude(-draw.uniform(*_NOISE_DB, count, 1))
        return bands + draw.noise(count, self.samples) * (under * voice_level)

    def _produced(self, waves: Tensor, chances: _Chances, draw: Draw) -> Tensor:
        """Equaliser, room and echo in one pass, then saturation."""
        count = len(waves)
        tail = round(_TAIL_S * SAMPLE_RATE)
        size = effects.fast_length(self.samples + tail)
        spectrum = torch.fft.rfft(waves, size)
        rows = draw.rows(chances.equaliser, count)
        _on(rows, spectrum, lambda some: some * _equaliser(draw, len(some), size))
        rows = draw.rows(chances.room, count)
        _on(rows, spectrum, lambda some: some * (1 + _room(draw, len(some), size, tail)))
        rows = draw.rows(chances.echo, count)
        _on(rows, spectrum, lambda some: some * (1 + _echo(draw, len(some), size)))
        waves = torch.fft.irfft(spectrum, size)[:, : self.samples]
        rows = draw.rows(chances.saturation, count)
        _on(rows, waves, lambda some: effects.saturated(some, draw.uniform(*_DRIVE, len(some), 1)))
        return waves

    def _recorded(self, waves: Tensor, draw: Draw) -> Tensor:
        """What happens to the whole."""
        rows = draw.rows(_RECORD_SATURATION, len(waves))
        _on(rows, waves, lambda some: effects.saturated(some, draw.uniform(*_DRIVE, len(some), 1)))
        rows = draw.rows(_LOW_PASS, len(waves))
        _on(rows, waves, lambda some: effects.low_passed(some, draw.uniform(*_EDGE_HZ, len(some), 1)))
        return effects.peak_normalised(waves)


def _equaliser(draw: Draw, count: int, size: int) -> Tensor:
    """Smooth random gains, (count, bins) of a transform of ``size`` samples."""
    knots_db = draw.uniform(-_EQUALISER_DB, _EQUALISER_DB, count, _KNOTS)
    return effects.equaliser(knots_db, size, knots_db)


def _room(draw: Draw, count: int, size: int, tail: int) -> Tensor:
    """What a room adds to the direct sound, (count, bins) complex.

    Decays by 60 dB take 0.15 to 1.95 s, short ones most often. The first reflection is 5 to 45 ms late, and all of
    them together are 2 to 20 dB under the direct sound.

    Args:
        tail: samples after which a room is silent.
    """
    decay = 0.15 + 1.8 * draw.uniform(0, 1, count, 1).square()
    late = draw.uniform(0.005, 0.045, count, 1)
    noise, wet = draw.noise(count, tail), effects.amplitude(draw.uniform(-20, -2, count, 1))
    response = effects.reverberation(noise, decay * SAMPLE_RATE, wet, late * SAMPLE_RATE)
    added: Tensor = torch.fft.rfft(response, size)
    return added


def _echo(draw: Draw, count: int, size: int) -> Tensor:
    """What a doubled voice or a short echo adds: the sound again 15 to 300 ms later, (count, bins) complex."""
    late = torch.exp(draw.uniform(math.log(0.015), math.log(0.3), count, 1)) * SAMPLE_RATE
    return effects.echo(late.round(), draw.uniform(0.3, 0.7, count, 1), size, late)


def _on(rows: Tensor, batch: Tensor, effect: Callable[[Tensor], Tensor]) -> None:
    """An effect on some rows, in place; transforms of no rows are an error."""
    if len(rows):
        batch[rows] = effect(batch[rows])
