"""Find by voice in a library of any size: by comparing with all of its voices, or with those that an index names.

With an index, the few hundred nearest voices are read from the library and scored exactly, and so what is told of them
is what comparing with all would tell. How many voices compete is estimated: exactly for these, and for all others from
a fixed sample, each voice of which stands for as many others (``search.competing_in_part``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.calibration import Calibration
from whosings.enrolled import Voices
from whosings.errors import LibraryError, MissingExtraError
from whosings.library.library_file import Library
from whosings.library.library_rows import LibraryVoices
from whosings.library.search import (
    Likeness,
    Match,
    competing_in_part,
    like_singer,
    like_voice,
    matches,
    matches_near,
)
from whosings.library.voice_index import WORTH_IT, VoiceIndex, bring_up_to_date, index_folder

NEAR = 512
"""Voices that an index is asked for, at least: by cosine, of which the likeliest ten are told by far more than that."""

_SLOW = "All voices are compared, which is slow in so large a library; make an index on this machine: whosings index."
_OF_EACH = 8  # voices an index is asked for, for each recording that is to be told


@dataclass(frozen=True)
class Searcher:
    """Answers to "where does this voice sing?" over one library.

    Attributes:
        index: of the library as it is now; None compares with all voices.
        told: a sentence for people on why an index is not used where it would be worth it; empty otherwise.
    """

    library: Library
    calibration: Calibration
    index: VoiceIndex | None = None
    told: str = ""

    @classmethod
    def of(cls, library: Library, calibration: Calibration, worth_it: int | None = None) -> Searcher:
        """With the library's index where it has one, brought up to date, and where the library is large enough.

        Args:
            calibration: that of the library's encoder.
            worth_it: voices from which on an index is used; ``WORTH_IT`` unless given.
        """
        if library.count_voices() < (WORTH_IT if worth_it is None else worth_it):
            return cls(library, calibration)
        if not index_folder(library.path).is_dir():
            return cls(library, calibration, None, _SLOW)
        try:
            index = VoiceIndex(library, calibration)
            if not index.is_of(library):
                bring_up_to_date(library, calibration, may_learn=False)
                index = VoiceIndex(library, calibration)
            return cls(library, calibration, index)
        except (LibraryError, MissingExtraError, OSError) as error:
            return cls(library, calibration, None, f"All voices are compared: {error}")

    def voice(self, mean: FloatArray, amount: float, top: int, leave_out: int | None = None) -> tuple[Match, ...]:
        """Recordings in which a voice sings that was heard, as ``search.matches`` tells them.

        Args:
            mean: (dimensions,) mean of unit embeddings.
            amount: segments' worth of it.
            leave_out: a recording that is not told, because it is what was asked with.
        """

        def compare(voices: LibraryVoices) -> Likeness:
            return like_voice(voices, mean, amount, self.calibration)

        return self._found(mean, compare, top, leave_out, frozenset())

    def singer(self, enrolled: Voices, singer: str, top: int, contents: frozenset[str]) -> tuple[Match, ...]:
        """Recordings in which an enrolled singer sings.

        Args:
            contents: (SHA-256) that are enrolled of the singer.

        Raises:
            KeyError: nobody of that name is enrolled.
        """
        if singer not in enrolled.names:
            raise KeyError(singer)

        def compare(voices: LibraryVoices) -> Likeness:
            return like_singer(voices, enrolled, singer, self.calibration)

        mean = enrolled.vectors[enrolled.names.index(singer)]
        return self._found(mean, compare, top, None, contents)

    def _found(
        self,
        mean: FloatArray,
        compare: Callable[[LibraryVoices], Likeness],
        top: int,
        leave_out: int | None,
        contents: frozenset[str],
    ) -> tuple[Match, ...]:
        if self.index is None:
            voices = self.library.voices()
            return matches(self.library, voices, compare(voices), top, leave_out, contents)
        asked = max(NEAR, _OF_EACH * top)
        near = self.library.voices_of(self.index.nearest(mean, asked).tolist())
        likeness = compare(near)
        sample = self.index.sample
        own = near.recordings == (-1 if leave_out is None else leave_out)
        rest = ~np.isin(sample.ids, near.ids)
        others = len(self.index) - len(near.ids)
        if leave_out is not None:
            rest &= sample.recordings != leave_out
            others -= len(self.library.heard(leave_out).voices) - int(own.sum())
        compete = competing_in_part(likeness.llr[~own], compare(_some(sample, rest)).llr, others)
        return matches_near(self.library, near, likeness, compete, top, leave_out, contents)


def _some(voices: LibraryVoices, kept: NDArray[np.bool_]) -> LibraryVoices:
    return LibraryVoices(
        voices.ids[kept], voices.recordings[kept], voices.means[kept], voices.amounts[kept], voices.seconds[kept]
    )
