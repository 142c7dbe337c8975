"""Probe to answer: ranked singers with calibrated probabilities, ``unknown``, or not enough vocals; timeline; verify.

How a probe is scored: its mean embedding against each enrolled singer's mean voice, both without the mean voice of many
singers (the calibration's and the gallery's own), by cosine; the score is calibrated for as many segments as were heard
and enrolled, and set against the prior that nobody enrolled is singing. Where a head has been fitted on the gallery,
its segments' votes order the singers and its probabilities share what the scores leave to enrolled ones; whether
anybody enrolled sings is still the scores' to say. Without a head, where good parts of the timeline name different
singers, each is also scored on that part alone, so that both voices of a duet are found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from whosings.answer import Answer, Candidate, TimelineSegment, Verdict, Verification
from whosings.audio import FloatArray
from whosings.calibration import (
    UNKNOWN_PRIOR,
    Calibration,
    Scores,
    best_posteriors,
    calibration_of,
    neighbours_mean,
    same_singer_probability,
    singer_posteriors,
)
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.errors import ConfigError, GalleryError
from whosings.gallery import Gallery, Voices

_PART_SHARE, _PART_SEGMENTS = 0.25, 3  # least part of the timeline on which a singer is scored alone


class Identifier:
    """Files + gallery -> answers.

    Args:
        gallery: an open gallery.
        embedder: of the gallery's encoder.
        unknown_prior: probability, before listening, that nobody enrolled sings, between 0 and 1. Less finds more
            singers, and clones of them, and names more strangers.
        calibration: of an embedder that carries none; None takes that of the encoder's checkpoint.

    Raises:
        ConfigError: the prior is no probability, or certain.
        GalleryError: the gallery is another encoder's.
        CheckpointError: the encoder carries no calibration, and none is given.
    """

    def __init__(
        self,
        gallery: Gallery,
        embedder: TrackEmbedder,
        unknown_prior: float = UNKNOWN_PRIOR,
        calibration: Calibration | None = None,
    ) -> None:
        if not 0 < unknown_prior < 1:
            raise ConfigError("unknown_prior", f"is {unknown_prior:g}", "give a number between 0 and 1")
        gallery.refuse_other(embedder.fingerprint, embedder.name)
        self._gallery, self._embedder, self._unknown_prior = gallery, embedder, unknown_prior
        self._calibration = calibration or calibration_of(embedder.checkpoint)
        self._ready: tuple[Voices, _ReadyVoices] | None = None

    def __call__(self, path: str | Path, top: int = 5) -> Answer:
        """Who sings this file.

        Raises:
            AudioError: the file cannot be used.
            GalleryError: nobody is enrolled.
        """
        return self.answer(self._embedder(path), top)

    def answer(self, probe: Embeddings, top: int = 5, leave_out: str | None = None) -> Answer:
        """Who sings a track already embedded.

        Args:
            leave_out: a singer to treat as not enrolled: how false accepts are measured.

        Raises:
            GalleryError: nobody is enrolled, or nobody but ``leave_out``.
        """
        if self._gallery.voices.names == (leave_out,):
            raise GalleryError(self._gallery.path, f"holds nobody but {leave_out}", "enrol more singers")
        ready = self._ready_voices(leave_out)
        voices = ready.voices
        if len(probe.vectors) == 0:
            return self._reply(probe, Verdict.NOT_ENOUGH_VOCALS, (), 1.0, ())
        heard = self._heard_by_head(probe, voices)
        ranking = _by_voices(probe, ready, self._unknown_prior, with_parts=heard is None)
        if heard is not None:
            ranking = _by_head(heard, ranking)
        shares = ranking.named / len(ranking.best)
        candidates = tuple(
            Candidate(
                voices.names[who],
                float(ranking.scores[who]),
                float(ranking.probabilities[who]),
                float(shares[who]),
            )
            for who in ranking.order[:top]
        )
        unknown = float(max(0.0, 1 - ranking.probabilities.sum()))
        verdict = Verdict.SINGER if candidates[0].probability > unknown else Verdict.UNKNOWN
        return self._reply(probe, verdict, candidates, unknown, _timeline(probe, ranking, voices.names))

    def _heard_by_head(self, probe: Embeddings, voices: Voices) -> FloatArray | None:
        """Probabilities (segments, singers) by the gallery's fitted head, if there is one."""
        fitted = self._gallery.head
        if fitted is None:
            return None
        place = {name: number for number, name in enumerate(fitted.names)}
        columns = [place[name] for name in voices.names]
        found = fitted.head(torch.from_numpy(probe.vectors)).numpy()[:, columns]
        return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12), np.float32)

    def _ready_voices(self, leave_out: str | None) -> _ReadyVoices:
        """The gallery's voices ready for comparison, made once for as long as the gallery stays the same."""
        raw = self._gallery.voices
        if leave_out is not None:
            return _ReadyVoices.of(raw.without(leave_out), self._calibration)
        if self._ready is None or self._ready[0] is not raw:
            self._ready = (raw, _ReadyVoices.of(raw, self._calibration))
        return self._ready[1]

    def _reply(
        self,
        probe: Embeddings,
        verdict: Verdict,
        top: tuple[Candidate, ...],
        unknown: float,
        timeline: tuple[TimelineSegment, ...],
    ) -> Answer:
        return Answer(
            track_id=probe.track_id,
            verdict=verdict,
            top=top,
            unknown_probability=unknown,
            timeline=timeline,
            duration_s=probe.duration_s,
            vocal_s=_covered_s(probe),
            short=probe.short,
            fingerprint=probe.fingerprint,
            opinion=probe.opinion,
        )


@dataclass(frozen=True)
class _ReadyVoices:
    """Enrolled voices without the mean voice, and the calibration that takes it away from probes, too.

    Attributes:
        reach: of each voice, (singers,), single in precision as scores are: doubles would take twice as long.
    """

    voices: Voices
    calibration: Calibration
    reach: FloatArray

    @classmethod
    def of(cls, raw: Voices, calibration: Calibration) -> _ReadyVoices:
        adapted = calibration.adapted(raw.vectors)
        reach = adapted.reach(raw.segments).astype(np.float32)
        return cls(replace(raw, vectors=adapted.centred(raw.vectors)), adapted, reach)


@dataclass(frozen=True)
class _Ranking:
    """Enrolled singers as one scorer sees them.

    Attributes:
        best: place of the likeliest singer of each segment, (segments,).
        likely, nobody: probability of that singer, and of somebody who is not enrolled, (segments,).
        known: segments in which an enrolled singer is likelier than somebody else, (segments,).
        scores: cosine of the track with each singer's mean voice, (singers,).
        probabilities: of each singer for the track, (singers,).
        order: places of singers, the best first, (singers,).
    """

    best: NDArray[np.intp]
    likely: Scores
    nobody: Scores
    known: NDArray[np.bool_]
    scores: FloatArray
    probabilities: Scores
    order: NDArray[np.intp]

    @property
    def named(self) -> NDArray[np.intp]:
        """How many segments name each singer, (singers,)."""
        return np.bincount(self.best[self.known], minlength=len(self.scores))


def _by_voices(probe: Embeddings, ready: _ReadyVoices, unknown_prior: float, with_parts: bool) -> _Ranking:
    """Rank singers by their mean voices.

    Args:
        with_parts: score a singer on a part of the timeline alone, too, where several voices show.
    """
    calibration, enrolled, reach = ready.calibration, ready.voices.vectors, ready.reach
    by_segment = calibration.centred(neighbours_mean(probe.vectors)) @ enrolled.T
    found = best_posteriors(calibration.segment(by_segment, reach), unknown_prior)
    scores = enrolled @ calibration.centred(probe.vectors.mean(axis=0))
    llr = calibration.track(scores, calibration.reach(probe.amount) * reach)
    known = found.probability > found.nobody
    named = np.bincount(found.singer[known], minlength=len(enrolled))
    parts = np.flatnonzero(named >= max(_PART_SEGMENTS, _PART_SHARE * len(found.singer)))
    # Only where several voices show: segments chosen for their likeness to one singer would flatter that singer.
    for who in parts if with_parts and len(parts) > 1 else ():
        part = probe.vectors[known & (found.singer == who)]
        score = enrolled[who] @ calibration.centred(part.mean(axis=0))
        alone = calibration.track(score, calibration.reach(len(part) * probe.share) * reach[who])
        if alone > llr[who]:
            scores[who], llr[who] = score, alone
    probabilities = singer_posteriors(llr, unknown_prior)
    order = np.argsort(-llr, kind="stable")
    return _Ranking(found.singer, found.probability, found.nobody, known, scores, probabilities, order)


def _by_head(heard: FloatArray, ranking: _Ranking) -> _Ranking:
    """Rank singers by the votes of a fitted head; whether anybody enrolled sings is still the scores' to say.

    Args:
        heard: probabilities by the head, (segments, singers).
    """
    best, means = heard.argmax(axis=1), heard.mean(axis=0)
    votes = np.bincount(best, minlength=len(means))
    return replace(
        ranking,
        best=best,
        likely=(1 - ranking.nobody) * heard.max(axis=1),
        probabilities=ranking.probabilities.sum() * means,
        order=np.lexsort((-means, -votes)),
    )


def _timeline(probe: Embeddings, ranking: _Ranking, names: tuple[str, ...]) -> tuple[TimelineSegment, ...]:
    rows = zip(probe.start_s, ranking.best, ranking.known, ranking.likely, ranking.nobody, strict=True)
    return tuple(
        TimelineSegment(float(start_s), probe.segment_s, names[who], float(likely))
        if sure
        else TimelineSegment(float(start_s), probe.segment_s, None, float(nobody))
        for start_s, who, sure, likely, nobody in rows
    )


class Verifier:
    """Pairs of files -> one singer or not.

    Args:
        calibration: as of an ``Identifier``.

    Raises:
        CheckpointError: the encoder carries no calibration, and none is given.
    """

    def __init__(self, embedder: TrackEmbedder, calibration: Calibration | None = None) -> None:
        self._embedder = embedder
        self._calibration = calibration or calibration_of(embedder.checkpoint)

    def __call__(self, first: str | Path, second: str | Path) -> Verification:
        """Whether two files have one singer.

        Raises:
            AudioError: a file cannot be used.
        """
        return self.compare(self._embedder(first), self._embedder(second))

    def compare(self, first: Embeddings, second: Embeddings) -> Verification:
        """Whether two recordings, already embedded, have one singer."""
        calibration = self._calibration
        score = probability = same = threshold = None
        if len(first.vectors) and len(second.vectors):
            left, right = (side.vectors.mean(axis=0, keepdims=True) for side in (first, second))
            found = calibration.ratios(left, np.array([first.amount]), right, np.array([second.amount]))
            score, reach, llr = (float(value[0, 0]) for value in (found.scores, found.reach, found.llr))
            probability, same = same_singer_probability(llr), llr >= calibration.threshold
            threshold = calibration.least_score(reach)
        return Verification(
            first.track_id,
            second.track_id,
            same,
            score,
            probability,
            threshold,
            calibration.false_accept_rate,
            calibration.material,
            self._embedder.fingerprint,
            checked=calibration.checked,
        )


def _covered_s(probe: Embeddings) -> float:
    """Seconds of the probe that at least one sung segment covers."""
    if len(probe.start_s) == 0:
        return 0.0
    gaps = np.minimum(np.diff(probe.start_s, append=np.inf), probe.segment_s)
    return float(gaps.sum())
