"""The terms of a step's loss, each by its name.

Conventions
-----------
- Embeddings are of unit length, (views, dimensions), float32.
- All terms are means over the batch: cross-entropies in nats, ``stay`` one minus a cosine.
- ``alike`` says which views are of one person, bool (views, views): those are no wrong answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_AUDIBLE = 11.5  # nepers of power under the loudest bin (50 dB)
_FAINT = 0.1  # weight of what is fainter
_NEVER = -1e4


@dataclass(frozen=True)
class Outputs:
    """All that the terms of one step look at.

    Attributes:
        student: embeddings of the records.
        teacher: embeddings of the voices alone.
        teacher_of_others: embeddings of another clip of each person; None where no term needs them.
        log_odds: by the student's mask, (views, channels, bins, frames); None of a student without one.
        record, voice, band: log energies by the student's front end, alike in shape.
        alike: which views are of one person.
    """

    student: Tensor
    teacher: Tensor
    teacher_of_others: Tensor | None
    log_odds: Tensor | None
    record: Tensor
    voice: Tensor
    band: Tensor
    alike: Tensor


def compute(outputs: Outputs, active: Mapping[str, float], temperature: float) -> dict[str, Tensor]:
    """Each term that has a weight, by name; ``share`` only where there is a mask.

    Args:
        active: weights by name, as ``TermsConfig.active``.
        temperature: that of ``contrast`` and ``same_person``.
    """
    found: dict[str, Tensor] = {}
    if "share" in active and outputs.log_odds is not None:
        found["share"] = share(outputs.log_odds, outputs.record, outputs.voice, outputs.band)
    if "stay" in active:
        found["stay"] = stay(outputs.student, outputs.teacher)
    if "contrast" in active:
        found["contrast"] = contrast(outputs.student, outputs.teacher, outputs.alike, temperature)
    if "same_person" in active and outputs.teacher_of_others is not None:
        found["same_person"] = same_person(outputs.student, outputs.teacher_of_others, outputs.alike, temperature)
    return found


def share(log_odds: Tensor, record: Tensor, voice: Tensor, band: Tensor) -> Tensor:
    """How well the mask knows what share of each bin's power is voice: cross-entropy.

    Bins more than 50 dB under the loudest of their record weigh a tenth.

    Args:
        log_odds: (views, channels, bins, frames).
        record, voice, band: log energies, alike in shape.
    """
    truth = torch.sigmoid(voice - band)
    audible = record > record.amax(dim=(1, 2, 3), keepdim=True) - _AUDIBLE
    weight = _FAINT + (1 - _FAINT) * audible
    return F.binary_cross_entropy_with_logits(log_odds.float(), truth, weight, reduction="sum") / weight.sum()


def stay(student: Tensor, teacher: Tensor) -> Tensor:
    """How far the student is from what the teacher says of the same seconds of the voice alone: one minus the cosine.

    No names are needed, so that voices of unknown people serve as well.
    """
    return 1 - (student * teacher).sum(dim=1).mean()


def contrast(student: Tensor, teacher: Tensor, alike: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding, by cosine, one's own voice among all voices of the batch (InfoNCE).

    It keeps voices apart where ``stay`` would be content with what all of them have in common.
    """
    own = torch.eye(len(student), dtype=torch.bool, device=student.device)
    scores = (student @ teacher.T / temperature).masked_fill(alike & ~own, _NEVER)
    return F.cross_entropy(scores, torch.arange(len(student), device=student.device))


def same_person(student: Tensor, teacher_of_others: Tensor, alike: Tensor, temperature: float) -> Tensor:
    """As ``contrast``, against another clip of each person: what stays from song to song."""
    return contrast(student, teacher_of_others, alike, temperature)
