"""What a second opinion says of a voice: natural, resynthesised, or neither. See ``whosings.opinion``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CAUTION = (
    "This is no verdict: studio pitch correction, vocoder effects and unusual recordings sound processed too, "
    "and good clones may not."
)


class Sound(StrEnum):
    """What a second opinion says of a voice."""

    RESYNTHESISED = "resynthesised"
    NATURAL = "natural"
    NO_OPINION = "no opinion"


@dataclass(frozen=True)
class Opinion:
    """How processed a voice sounds; an indication beside an identity, which it never changes.

    Attributes:
        score: 0 (as natural voices sound) to 1 (as resynthesised ones do); see ``docs/second-opinion.md`` for what
            it is worth.
        false_alarm: share of natural recordings that score as high or higher, in the measured material where it is
            largest (at high scores: real songs).
        found: share of the processed recordings measured that score as high or higher.
        segments: how many were listened to.
        sound: what is said of it; no opinion where the score lies between the thresholds.
        caution: what it cannot tell.
    """

    score: float
    false_alarm: float
    found: float
    segments: int
    sound: Sound = Sound.NO_OPINION
    caution: str = CAUTION


def opinion_sentence(opinion: Opinion) -> str:
    """One sentence for people, which accuses nobody; "" where there is no opinion."""
    return _SENTENCES.get(opinion.sound, "")


_SENTENCES = {
    Sound.RESYNTHESISED: "The voice sounds resynthesised, as it does after studio processing or in a clone.",
    Sound.NATURAL: "The voice sounds natural, though a good clone may sound natural, too.",
}
