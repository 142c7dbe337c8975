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

from whosings.answer import Answer, Candidate, TimelineSegment, Verdict, Verification
from whosings.audio import FloatArray
from whosings.calibration import (
    UNKNOWN_PRIOR,
    Calibration,
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
        self._ready: tuple[Voices, _Scene] | None = None

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
        scene = self._scene(leave_out)
        voices, calibration = scene.voices, scene.calibration
        if not voices.names:
            raise GalleryError(self._gallery.path, f"holds nobody but {leave_out}", "enrol more singers")
        if len(probe.vectors) == 0:
            return self._reply(probe, Verdict.NOT_ENOUGH_VOCALS, (), 1.0, ())
        enrolled, reach = voices.vectors, scene.reach
        by_segment = calibration.centred(neighbours_mean(probe.vectors)) @ enrolled.T
        found = best_posteriors(calibration.segment(by_segment, reach), self._unknown_prior)
        best, likely, nobody = found.singer, found.probability, found.nobody
        known = likely > nobody
        heard = self._by_head(probe, voices)
        if heard is not None:
            best, likely = heard.argmax(axis=1), (1 - nobody) * heard.max(axis=1)
        timeline = tuple(
            TimelineSegment(
                float(start_s),
                probe.segment_s,
                voices.names[who] if sure else None,
                float(likely[number] if sure else nobody[number]),
            )
            for number, (start_s, who, sure) in enumerate(zip(probe.start_s, best, known, strict=True))
        )
        scores = enrolled @ calibration.centred(probe.vectors.mean(axis=0))
        llr = calibration.track(scores, calibration.reach(probe.amount) * reach)
        named = np.bincount(best[known], minlength=len(voices.names))
        parts = np.flatnonzero(named >= max(_PART_SEGMENTS, _PART_SHARE * len(best)))
        # Only where several voices show: segments chosen for their likeness to one singer would flatter that singer.
        for who in parts if len(parts) > 1 and heard is None else ():
            part = probe.vectors[known & (best == who)]
            score = enrolled[who] @ calibration.centred(part.mean(axis=0))
            alone = calibration.track(score, calibration.reach(len(part) * probe.share) * reach[who])
            if alone > llr[who]:
                scores[who], llr[who] = score, alone
        probabilities = singer_posteriors(llr, self._unknown_prior)
        order = np.argsort(-llr, kind="stable")[:top]
        if heard is not None:
            votes, means = np.bincount(best, minlength=len(voices.names)), heard.mean(axis=0)
            probabilities = probabilities.sum() * means
            order = np.lexsort((-means, -votes))[:top]
        candidates = tuple(
            Candidate(voices.names[who], float(scores[who]), float(probabilities[who]), float(named[who] / len(best)))
            for who in order
        )
        unknown = float(max(0.0, 1 - probabilities.sum()))
        verdict = Verdict.SINGER if candidates[0].probability > unknown else Verdict.UNKNOWN
        return self._reply(probe, verdict, candidates, unknown, timeline)

    def _by_head(self, probe: Embeddings, voices: Voices) -> FloatArray | None:
        """Probabilities (segments, singers) by the gallery's fitted head, if there is one."""
        fitted = self._gallery.head
        if fitted is None:
            return None
        place = {name: number for number, name in enumerate(fitted.names)}
        columns = [place[name] for name in voices.names]
        found = fitted.head(torch.from_numpy(probe.vectors)).numpy()[:, columns]
        return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12), np.float32)

    def _scene(self, leave_out: str | None) -> _Scene:
        """The gallery's voices ready for comparison, made once for as long as the gallery stays the same."""
        raw = self._gallery.voices
        if leave_out is not None:
            return _Scene.of(raw.without(leave_out), self._calibration)
        if self._ready is None or self._ready[0] is not raw:
            self._ready = (raw, _Scene.of(raw, self._calibration))
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
class _Scene:
    """Enrolled voices without the mean voice, and the calibration that takes it away from probes, too.

    Attributes:
        reach: of each voice, (singers,), single in precision as scores are: doubles would take twice as long.
    """

    voices: Voices
    calibration: Calibration
    reach: FloatArray

    @classmethod
    def of(cls, raw: Voices, calibration: Calibration) -> _Scene:
        adapted = calibration.adapted(raw.vectors)
        reach = adapted.reach(raw.segments).astype(np.float32)
        return cls(replace(raw, vectors=adapted.centred(raw.vectors)), adapted, reach)


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
        )


def _covered_s(probe: Embeddings) -> float:
    """Seconds of the probe that at least one sung segment covers."""
    if len(probe.start_s) == 0:
        return 0.0
    gaps = np.minimum(np.diff(probe.start_s, append=np.inf), probe.segment_s)
    return float(gaps.sum())
