"""Audio to vocal segments to embeddings: the one inference path.

Evaluation, gallery, command line and service all embed through ``TrackEmbedder``.

Conventions
-----------
- Embeddings are float32 rows of unit length; cosine similarity is a dot product.
- A track is cut into segments of the encoder's length, one every ``hop_s`` seconds; those with singing are embedded.
- A recording shorter than a segment is trimmed of silence and repeated until it fills one, and flagged ``short``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whosings import audio
from whosings.audio import FloatArray
from whosings.encoder.checkpoint import DEFAULT, Checkpoint
from whosings.errors import AudioError, CheckpointError, MissingExtraError, SilentAudioError
from whosings.opinion import SecondOpinion
from whosings.opinion_rows import Opinion
from whosings.progress import Progress, silent, stage
from whosings.segment_embedding import Encoder, SegmentEmbedder, SegmentsToVectors, TrackVectors, Windows
from whosings.spool import STRETCH_S, Cuts, Sound, Spool, pieces
from whosings.vocals.activity import Activity, trim
from whosings.vocals.detector import ActivityDetector

if TYPE_CHECKING:
    import pandas

VOCAL_THRESHOLD = 0.5
"""Least mean vocal probability of a segment that is embedded."""

_SILENT_PEAK = 1e-4  # -80 dBFS
_TAIL_S = 0.1  # a longer rest at the end gets a segment of its own
_MIN_TRIMMED_S = 0.25  # of voice, left of a short recording
_ROUNDING_S = 1e-3
_GROUP = 64  # segments given at once to an embedder that is no ``SegmentEmbedder``


@dataclass(frozen=True)
class Embeddings:
    """What an encoder makes of one track.

    Attributes:
        track_id: the file's path unless named otherwise.
        vectors: float32 (segments, dimensions), unit length; no rows where nobody sings.
        start_s: (segments,) seconds into the track.
        vocal: (segments,) probability that somebody sings.
        segment_s: seconds a segment covers.
        duration_s: length of the track in seconds.
        fingerprint: the encoder's.
        short: the recording was shorter than a segment and has been repeated: expect less of it.
        activity: where in the track somebody sings, by 3-second pieces.
        opinion: how processed the voice sounds, if that was asked for and there is enough of it.
        share: how much of a segment was heard, less than 1 where the recording was shorter than one.
        windows: the same by shorter windows, to tell several voices apart; None where the encoder gives none.
    """

    track_id: str
    vectors: FloatArray
    start_s: NDArray[np.float64]
    vocal: NDArray[np.float64]
    segment_s: float
    duration_s: float
    fingerprint: str
    short: bool
    activity: Activity
    opinion: Opinion | None = None
    share: float = 1.0
    windows: Windows | None = None

    @property
    def amount(self) -> float:
        """How many segments' worth of voice it is."""
        return len(self.vectors) * self.share

    def to_pandas(self) -> pandas.DataFrame:
        """A row a segment: ``track_id``, ``start_s``, ``vocal``, and the vector's numbers as ``0``, ``1``, ...

        Raises:
            MissingExtraError: pandas is not installed.
        """
        MissingExtraError.require("pandas", "a data frame", "notebook")
        import pandas

        about = pandas.DataFrame({"track_id": self.track_id, "start_s": self.start_s, "vocal": self.vocal})
        return about.join(pandas.DataFrame(self.vectors))


class TrackEmbedder:
    """Files -> embeddings.

    Args:
        segments: what embeds segments, or a checkpoint's name, path or ``hub:owner/name``.
        hop_s: seconds from one segment to the next; None takes half a segment.
        second_opinion: listens to the same segments, if given.
        device: torch device of an encoder that is named; ``"auto"`` takes a GPU if there is one.
    """

    def __init__(
        self,
        segments: SegmentsToVectors | Encoder | str | Path | Checkpoint = DEFAULT,
        hop_s: float | None = None,
        second_opinion: SecondOpinion | None = None,
        device: str = "auto",
    ) -> None:
        if isinstance(segments, str | Path | Checkpoint):
            segments = Encoder(segments, device)
        self.segments: SegmentsToVectors = SegmentEmbedder(segments) if isinstance(segments, Encoder) else segments
        self.front_end = self.segments.front_end
        self._detector, self._second_opinion = ActivityDetector(), second_opinion
        self.hop_s = hop_s if hop_s is not None else self.front_end.segment_s / 2

    @property
    def checkpoint(self) -> Checkpoint:
        """The encoder's checkpoint.

        Raises:
            CheckpointError: the embedder has none, because it is no ``SegmentEmbedder``.
        """
        if not isinstance(self.segments, SegmentEmbedder):
            raise CheckpointError(self.name, "carries no calibration", "give one, or name an encoder of whosings")
        return self.segments.encoder.checkpoint

    @property
    def name(self) -> str:
        """What people call it, for messages."""
        if isinstance(self.segments, SegmentEmbedder):
            return self.segments.encoder.checkpoint.name
        return str(getattr(self.segments, "name", type(self.segments).__name__))

    @property
    def gives_windows(self) -> bool:
        """Whether tracks come with short windows, by which voices are told apart."""
        return isinstance(self.segments, SegmentEmbedder) and self.segments.encoder.pools_windows

    @property
    def fingerprint(self) -> str:
        """That of what embeds the segments."""
        return self.segments.fingerprint

    def __call__(self, track: str | Path | Sound, progress: Progress = silent) -> Embeddings:
        """Embed one track: a file, or samples already decoded.

        Args:
            progress: is told of every minute, or nearly so, as it is decoded, listened to, and embedded.

        Raises:
            AudioError: a subclass says why: missing, unreadable, empty, truncated, silent, too short, too long, NaN.
        """
        return self.embed(self.cut(track, progress), progress)

    def many(
        self, tracks: Iterable[str | Path | Sound], progress: Progress = silent
    ) -> Iterator[Embeddings | AudioError]:
        """Embed tracks in order; what cannot be used comes back as its error, and the work goes on.

        Decoding runs ahead in a thread; no more than a few tracks are in memory at a time.

        Args:
            progress: as of a call; it is told from both threads.
        """
        remaining = iter(tracks)
        with ThreadPoolExecutor(1) as pool:
            ahead: list[Future[Cut]] = [pool.submit(self.cut, track, progress) for track in islice(remaining, 3)]
            while ahead:
                first = ahead.pop(0)
                ahead.extend(pool.submit(self.cut, track, progress) for track in islice(remaining, 1))
                try:
                    yield self.embed(first.result(), progress)
                except AudioError as error:
                    yield error

    def at(self, track: str | Path | Sound, start_s: Iterable[float]) -> FloatArray:
        """Embed given places of a track, whoever sings or does not there: float32 (places, dimensions).

        How a stem is embedded where its mixture is sung.

        Raises:
            AudioError: as calling it; silence is no error here.
        """
        places = np.array(list(start_s), dtype=np.float64)
        return self._listen(self._opened(track, silent), places, silent).segments

    def _opened(self, track: str | Path | Sound, progress: Progress) -> Sound:
        return Spool(track, self.front_end.channels, progress=progress) if isinstance(track, str | Path) else track

    def _listen(self, whole: Sound, start_s: NDArray[np.float64], progress: Progress) -> TrackVectors:
        if isinstance(self.segments, SegmentEmbedder):
            return self.segments.listen(whole, start_s, progress)
        cuts = Cuts(whole, start_s, self.front_end.segment_s)
        # Once where there are no segments: the embedder knows the dimensions.
        groups = [cuts[first : first + _GROUP] for first in range(0, max(1, len(cuts)), _GROUP)]
        found = []
        with stage(progress, f"embedding {Path(whole.track_id).name}", len(groups)) as step:
            for group in groups:
                found.append(self.segments(list(group)))
                step(len(found))
        return TrackVectors(np.concatenate(found), None)

    def cut(self, track: str | Path | Sound, progress: Progress = silent) -> Cut:
        """The first half of embedding a track: what needs no encoder.

        Raises:
            AudioError: as calling it.
        """
        whole = self._opened(track, progress)
        name, duration_s = whole.track_id, whole.duration_s
        audio.refuse_short(name, duration_s)
        if np.max([max(piece.max(), -piece.min()) for piece in pieces(whole, STRETCH_S)]) < _SILENT_PEAK:
            raise SilentAudioError(name, "is silent", "use a recording in which somebody sings")
        activity = self._detector.listen(whole, progress)
        segment_s = self.front_end.segment_s
        short = duration_s < segment_s
        if short:
            voiced = trim(whole.cut(0.0, duration_s).samples)
            start_s = voiced.start / audio.SAMPLE_RATE
            whole = whole.cut(start_s, voiced.stop / audio.SAMPLE_RATE - start_s)
            return Cut(whole, np.zeros(int(whole.duration_s >= _MIN_TRIMMED_S)), duration_s, activity, short)
        starts = np.arange(0.0, duration_s - segment_s + 1e-6, self.hop_s)
        if duration_s - segment_s - starts[-1] > _TAIL_S:  # the end of the track is sung too
            starts = np.append(starts, duration_s - segment_s)
        sung = [activity.of(start, segment_s) >= VOCAL_THRESHOLD for start in starts]
        return Cut(whole, starts[sung], duration_s, activity, short)

    def embed(self, cut: Cut, progress: Progress = silent) -> Embeddings:
        """The second half: what an encoder makes of a track that was cut."""
        length_s, whole = self.front_end.segment_s, cut.whole
        start_s = whole.start_s + cut.start_s
        segment_s = min(length_s, whole.duration_s)
        segments = Cuts(whole, cut.start_s, length_s)
        found = self._listen(whole, cut.start_s, progress)
        return Embeddings(
            track_id=whole.track_id,
            vectors=found.segments,
            start_s=start_s,
            vocal=np.array([cut.activity.of(start, segment_s) for start in start_s], dtype=np.float64),
            segment_s=segment_s,
            duration_s=cut.duration_s,
            fingerprint=self.fingerprint,
            short=cut.short,
            activity=cut.activity,
            opinion=self._second_opinion(segments) if self._second_opinion is not None else None,
            share=min(1.0, whole.duration_s / length_s),
            windows=None if found.windows is None else _sung(found.windows, cut.activity),
        )


@dataclass(frozen=True)
class Cut:
    """A track before it is embedded: all of it, or what is voiced of a short one.

    Attributes:
        whole: decoded; it can be sent to another process.
        start_s: (segments,) where its segments with singing begin, from the beginning of ``whole``.
        duration_s: of the track.
        activity: where in the track somebody sings.
        short: it is shorter than a segment.
    """

    whole: Sound
    start_s: NDArray[np.float64]
    duration_s: float
    activity: Activity
    short: bool


def _sung(windows: Windows, activity: Activity) -> Windows:
    """Those in which somebody sings."""
    sung = [activity.of(float(start), windows.window_s) >= VOCAL_THRESHOLD for start in windows.start_s]
    return replace(windows, vectors=windows.vectors[sung], start_s=windows.start_s[sung])
