"""Kept voices of a library enrolled in a gallery, without listening again.

A gallery compares mean voices and how much was heard of each recording, and a library keeps exactly these. So a singer
who is enrolled from a library has the same voice in the gallery as one whose files are enrolled. What a library does
not keep is the passages of a recording: such a recording is one passage in a gallery, the longest span of the voice.
Evidence then plays that one, and a fitted classifier sees a recording as one example. To have the passages, enrol the
files: ``whosings enrol``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from whosings.embedding import Embeddings
from whosings.gallery import Gallery
from whosings.heard import HeardTrack, HeardVoice
from whosings.library.decision_rows import VoiceKey
from whosings.library.decisions import DecidedLibrary
from whosings.vocals.activity import Activity


@dataclass(frozen=True)
class Enrolment:
    """How many recordings were enrolled, were enrolled already, and are no longer in the library."""

    added: int
    skipped: int
    missing: int


def enrol_voices(library: DecidedLibrary, gallery: Gallery, singer: str, keys: Iterable[VoiceKey]) -> Enrolment:
    """Enrol voices of a library as a singer's; several of one recording count as one.

    Raises:
        GalleryError: the gallery is another encoder's, or the name is no name.
        LibraryError: the library is damaged.
    """
    gallery.refuse_other(library.fingerprint, library.encoder)
    by_content: dict[str, list[int]] = {}
    for key in sorted(set(keys)):
        by_content.setdefault(key.sha256, []).append(key.number)
    added = skipped = missing = 0
    for sha256, numbers in by_content.items():
        recording = library.with_content(sha256)
        if recording is None or recording.error is not None:
            missing += 1
            continue
        track = library.heard(recording.id)
        voices = [track.voices[number] for number in numbers if number < len(track.voices)]
        if not voices:
            missing += 1
        elif gallery.add(singer, kept_embeddings(track, voices, library.segment_s), sha256, track.track_id):
            added += 1
        else:
            skipped += 1
    return Enrolment(added, skipped, missing)


def kept_embeddings(track: HeardTrack, voices: list[HeardVoice], segment_s: float | None) -> Embeddings:
    """One or more voices of a recording, which are one singer's, as a gallery takes them: their mean as one row.

    The row is a mean of unit vectors and so shorter than one. Its length tells how steady the voice is, and the mean of
    a singer's recordings depends on it.
    """
    amounts = np.array([voice.amount for voice in voices])
    mean = np.average([voice.mean for voice in voices], axis=0, weights=amounts)
    longest = max((span for voice in voices for span in voice.spans), key=lambda span: span.stop_s - span.start_s)
    whole_s = track.duration_s if segment_s is None else min(segment_s, track.duration_s)
    start_s = min(longest.start_s, max(0.0, track.duration_s - whole_s))
    return Embeddings(
        track_id=track.track_id,
        vectors=np.asarray(mean, np.float32)[None],
        start_s=np.array([start_s]),
        vocal=np.ones(1),
        segment_s=whole_s,
        duration_s=track.duration_s,
        fingerprint=track.fingerprint,
        short=track.short or segment_s is None,  # a gallery believes the segments of others
        activity=Activity(np.zeros(0), np.zeros(0), "kept"),
        share=float(amounts.sum()),
    )
