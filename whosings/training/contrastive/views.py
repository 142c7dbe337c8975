"""From what workers read to what the encoder hears: voices and bands apart become views, changed at random or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from whosings.config import AnyFrontEnd, PairsConfig
from whosings.training.contrastive.augment import Chances, augment, produce


@dataclass(frozen=True)
class Sources:
    """What the views of one pair are made of; of a batch, with one more dimension in front.

    Attributes:
        voices: (2, channels, samples): what both views are cut from; where there are bands, voices alone.
        singers: number of the singer, ().
        bands: to lay under the voices, like them in shape; None where views are no mashups.
        voice_db: (2,): level of each voice over its band; inf for no band.
    """

    voices: Tensor
    singers: Tensor
    bands: Tensor | None = None
    voice_db: Tensor | None = None

    def __len__(self) -> int:
        return len(self.voices)

    def to(self, device: torch.device) -> Sources:
        """A copy on a device; the trainer calls it."""
        bands, levels = (None if part is None else part.to(device) for part in (self.bands, self.voice_db))
        return Sources(self.voices.to(device), self.singers.to(device), bands, levels)


def stacked(pairs: Sequence[Sources]) -> Sources:
    """Pairs as a batch."""
    first = pairs[0]
    if first.bands is None:
        return Sources(torch.stack([pair.voices for pair in pairs]), torch.stack([pair.singers for pair in pairs]))
    columns = zip(*((p.voices, p.singers, p.bands, p.voice_db) for p in pairs), strict=True)
    return Sources(*(torch.stack(column) for column in columns))


def usual_chances(config: PairsConfig) -> Chances:
    """Chances for a mode's views; pitch correction is for voices alone."""
    return Chances() if config.mode in ("vocal", "mashup") else Chances(correction=0.0)


def assemble(
    batch: Sources, front_end: AnyFrontEnd, rng: np.random.Generator | None = None, chances: Chances | None = None
) -> Tensor:
    """Views of a batch of pairs, on its device.

    Args:
        rng: what changes are drawn from; None changes nothing.
        chances: how likely each change is.

    Returns:
        (2 * pairs, channels, samples): all left views, then all right ones, with a peak of 1 where the front end says
        so (silence stays silent).
    """
    views = _sides(batch.voices)
    if batch.bands is not None and batch.voice_db is not None:
        nothing = Chances(**dict.fromkeys(vars(Chances()), 0.0))
        generator, chosen = (np.random.default_rng(0), nothing) if rng is None else (rng, chances)
        views = produce(views, _sides(batch.bands), _sides(batch.voice_db), generator, chosen)
    elif rng is not None:
        views = augment(views, rng, chances)
    if not front_end.peak_normalise:
        return views
    peak = views.abs().amax((1, 2), keepdim=True)
    return views / torch.where(peak > 0, peak, torch.ones_like(peak))


def _sides(pairs: Tensor) -> Tensor:
    return pairs.transpose(0, 1).flatten(0, 1)
