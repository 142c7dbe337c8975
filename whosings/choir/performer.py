"""What every kind of generated singer is: somebody who turns a score into frames for the vocoder."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from whosings.choir.expression import Manner
from whosings.choir.score import Score
from whosings.sound.vocoder import Frames


class Performer(Protocol):
    """A singer's voice. ``parametric.Voice``, ``from_speech.Speaker`` and ``diphone.DiphoneVoice`` are performers."""

    @property
    def centre(self) -> float:
        """Comfortable pitch, MIDI number."""
        ...

    @property
    def manner(self) -> Manner:
        """How it usually shapes notes."""
        ...

    def perform(self, score: Score, manner: Manner, rng: np.random.Generator) -> Frames:
        """Sing a score: ``round(score.duration_s * FRAME_RATE)`` frames, silent ones empty (envelope 0) in rests.

        Envelopes are scaled so that a loud vowel's mean power over the bins is about 1.
        """
        ...
