"""Tracks on their way into a gallery, many in one transaction, so that few are lost and none waits long.

A transaction waits for the disk, which takes longer than all else. Tracks that come slowly, as they are listened to,
are therefore kept one by one, and tracks that come fast in batches.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from whosings.enrolled import NewTrack
from whosings.errors import GalleryError

if TYPE_CHECKING:
    from whosings.embedding import Embeddings
    from whosings.gallery import Gallery


class Enrolling:
    """Enrols tracks in batches; use it as a context manager.

    A batch is kept as soon as a track comes a second after the last one was kept, or as so many numbers wait. What was
    given is kept when the block ends, after an error, too. A process that is killed loses the waiting batch at most,
    and no track is kept in part.

    Args:
        gallery: where to.
        seconds: after which a track is kept with those that wait.
        most: numbers (segments x dimensions) that may wait; bounds memory.

    Attributes:
        added: singer, as spelt in the gallery, and content hash of each track that is kept and was not there.
        failures: why tracks could not be kept that had been taken.
    """

    def __init__(self, gallery: Gallery, seconds: float = 1.0, most: int = 8_000_000) -> None:
        self._gallery, self._seconds, self._most = gallery, seconds, most
        self._waiting: list[NewTrack] = []
        self._numbers = 0
        self._kept = time.monotonic()
        self.added: set[tuple[str, str]] = set()
        self.failures: list[GalleryError] = []

    def add(self, singer: str, track: Embeddings, sha256: str, source: str | Path | None = None) -> None:
        """Take one track of a singer; as ``Gallery.add``.

        Raises:
            GalleryError: it cannot be enrolled: the embeddings are another encoder's, or hold no vocal segment; or the
                name is no name.
        """
        self._gallery.refuse_unfit(track)
        self._waiting.append(NewTrack(self._gallery.spelling(singer), track, sha256, source))
        self._numbers += track.vectors.size
        if self._numbers >= self._most or time.monotonic() - self._kept >= self._seconds:
            self.keep()

    def keep(self) -> None:
        """Enrol what waits, in one transaction; where that fails, one by one, so that one track costs no other."""
        waiting, self._waiting, self._numbers = self._waiting, [], 0
        if waiting:
            try:
                self._note(waiting, self._gallery.add_many(waiting))
            except GalleryError:
                for new in waiting:
                    try:
                        self._note([new], self._gallery.add_many([new]))
                    except GalleryError as error:
                        self.failures.append(error)
        self._kept = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.keep()

    def _note(self, tracks: list[NewTrack], added: tuple[bool, ...]) -> None:
        for new, is_new in zip(tracks, added, strict=True):
            if is_new:
                self.added.add((self._gallery.spelling(new.singer), new.sha256))
