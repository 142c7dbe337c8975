"""Libraries of made voices, whose singers are known, for the encoder that ships: nothing is listened to."""

from dataclasses import dataclass, field

import numpy as np

from whosings.calibration import Calibration, calibration_of
from whosings.embedding import Embeddings
from whosings.encoder.checkpoint import load_checkpoint
from whosings.heard import HeardTrack, HeardVoice
from whosings.library.decisions import DecidedLibrary
from whosings.library.library_rows import LibraryFile
from whosings.spans import Span
from whosings.vocals.activity import Activity

SEGMENT_S = 6.0


@dataclass
class Maker:
    """Makes voices of numbered singers around directions of their own."""

    calibration: Calibration = field(default_factory=lambda: calibration_of(load_checkpoint("default")))
    fingerprint: str = field(default_factory=lambda: load_checkpoint("default").fingerprint)

    def mean(self, singer: float, take: int, noise: float = 0.4):
        """(dimensions,) float32; of a singer between two numbers the voice lies between theirs."""
        low, share = int(singer), singer - int(singer)
        first, second = (self._direction([7, number]) for number in (low, low + 1))
        rest = self._direction([8, round(100 * singer), take])
        mixed = np.sqrt(1 - share) * first + np.sqrt(share) * second + noise * rest
        return (np.asarray(self.calibration.centre) + 0.3 * mixed / np.linalg.norm(mixed)).astype(np.float32)

    def _direction(self, seed):
        found = np.random.default_rng(seed).standard_normal(len(self.calibration.centre))
        return found / np.linalg.norm(found)

    def voice(self, singer, take=0, noise=0.4, amount=9.0):
        spans = (Span(1.0, 4.0), Span(10.0, 22.0))
        return HeardVoice(self.mean(singer, take, noise), amount, spans, 15.0)

    def track(self, singers, take=0, noise=0.4):
        """What was heard of a recording with a voice of each singer."""
        voices = tuple(self.voice(singer, take, noise) for singer in singers)
        return HeardTrack("made", voices, 30.0, 15.0 * len(voices), False, self.fingerprint)

    def add(self, library, name, singers, take=0, noise=0.4, folder="/songs", **tags):
        """Put a recording into a library; its content and its path are told by its name."""
        file = LibraryFile(f"{folder}/{name}", 1, 1, tags)
        return library.add(file, f"sha-{name}", self.track(singers, take, noise))

    def library(self, path):
        return DecidedLibrary(path, self.fingerprint, "default", SEGMENT_S)

    def embeddings(self, singer, take, segments=9):
        """As a gallery takes them: so many segments with the mean of that take."""
        vectors = np.repeat(self.mean(singer, take)[None], segments, axis=0)
        starts = 3.0 * np.arange(segments)
        activity = Activity(starts, np.ones(segments), "made")
        return Embeddings(
            f"{singer}-{take}", vectors, starts, np.ones(segments), SEGMENT_S, 30.0, self.fingerprint, False, activity
        )
