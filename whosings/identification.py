"""Probe to answer: who sings, with calibrated probabilities, ``unknown``, or not enough vocals; timeline; verify.

A probe's short windows are grouped by voice first (``whosings.diarization``). A song of one voice is scored as a whole.
Where there are several, each is scored with all that was heard of it, and each is named, or unknown, by itself. A voice
that sings under another one is named where it is found beside it. Whether a voice is named is decided by a false-accept
rate (``Terms``), not by its probability.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from whosings.answer import Answer, Candidate, Outcome, Terms, TimelineSegment, Verdict, Verification, Voice
from whosings.audio import FloatArray
from whosings.calibration import (
    UNKNOWN_PRIOR,
    Calibration,
    calibration_of,
    same_singer_probability,
)
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.enrolled import Voices
from whosings.errors import ConfigError, GalleryError
from whosings.gallery import Gallery
from whosings.gallery_audit import EnrolledVoices
from whosings.gallery_rates import by_probability, terms_of
from whosings.heard import HeardTrack, HeardVoice, hear
from whosings.ranking import Ranking, ReadyVoices, SegmentRanking, by_head, by_voices, under
from whosings.spans import joined

_LEAST_S, _LEAST_SHARE = 5.0, 0.15  # heard of somebody unknown who counts as another voice


class Identifier:
    """Files + gallery -> answers.

    Args:
        gallery: an open gallery.
        embedder: one of the gallery's encoder.
        unknown_prior: probability, before listening, that nobody enrolled sings, between 0 and 1; even odds unless
            given. Where it is given and ``false_accepts`` is not, a singer is named where likelier than somebody else.
            Less finds more singers, and clones of them, and names more strangers.
        false_accepts: share of recordings of somebody who is not enrolled that may be given a name, between 0 and 1;
            1 % unless given. ``Answer.terms`` says on what it was measured.
        calibration: for an embedder that carries none; None takes that of the encoder's checkpoint.

    Raises:
        ConfigError: the prior is no probability, or certain; or no such rate of false accepts was measured.
        GalleryError: the gallery is another encoder's; or it holds nobody, on whose number a rate depends.
        CheckpointError: the encoder carries no calibration, and none is given.
    """

    def __init__(
        self,
        gallery: Gallery,
        embedder: TrackEmbedder,
        unknown_prior: float | None = None,
        calibration: Calibration | None = None,
        false_accepts: float | None = None,
    ) -> None:
        if unknown_prior is not None and not 0 < unknown_prior < 1:
            raise ConfigError("unknown_prior", f"is {unknown_prior:g}", "give a number between 0 and 1")
        gallery.refuse_other(embedder.fingerprint, embedder.name)
        self._gallery, self._embedder = gallery, embedder
        self._unknown_prior = UNKNOWN_PRIOR if unknown_prior is None else unknown_prior
        self._calibration = calibration or calibration_of(embedder.checkpoint)
        self._false_accepts = false_accepts
        self._by_probability = unknown_prior is not None and false_accepts is None
        _ = self.terms
        self._ready: tuple[Voices, ReadyVoices] | None = None
        self._namesakes: tuple[ReadyVoices, dict[str, tuple[str, ...]]] | None = None

    def __call__(self, path: str | Path, top: int = 5) -> Answer:
        """Who sings this file.

        Raises:
            AudioError: the file cannot be used.
            GalleryError: nobody is enrolled.
        """
        return self.answer(self._embedder(path), top)

    @property
    def terms(self) -> Terms:
        """When a name is given, with the gallery as it is."""
        if self._by_probability:
            return by_probability(self._unknown_prior)
        return terms_of(self._calibration, self._gallery, self._false_accepts)

    def answer(self, probe: Embeddings, top: int = 5, leave_out: str | None = None) -> Answer:
        """Who sings a track already embedded.

        Args:
            top: candidates to return.
            leave_out: a singer to treat as not enrolled: how false accepts are measured.

        Raises:
            GalleryError: nobody is enrolled, or nobody but ``leave_out``.
        """
        return self.name(hear(probe, self._calibration), top, leave_out)

    def name(self, track: HeardTrack, top: int = 5, leave_out: str | None = None) -> Answer:
        """Who sings a track whose voices were told apart, now or once: nothing is listened to.

        Without the voices' embeddings a gallery's classifier has no vote.

        Args:
            top, leave_out: as of ``answer``.

        Raises:
            GalleryError: nobody is enrolled, or nobody but ``leave_out``; or the track is another encoder's.
        """
        self._gallery.refuse_other(track.fingerprint)
        if self._gallery.voices.names == (leave_out,):
            raise GalleryError(self._gallery.path, f"holds nobody but {leave_out}", "enrol more singers")
        ready, terms = self._ready_voices(leave_out), self.terms
        names = ready.voices.names
        ranked = [RankedVoice.of(voice, self._rank(voice, ready), names, terms) for voice in track.voices]
        # Of one voice among several too little is heard to find another one under it.
        under = self._under(ranked[0], ready, terms) if len(ranked) == 1 else ()
        return self.with_namesakes(answer_of(track, ranked, tuple(under), terms, top), ready)

    def _rank(self, voice: HeardVoice, ready: ReadyVoices) -> Ranking:
        votes = None if voice.embeddings is None else self._heard_by_head(voice.embeddings, ready.voices)
        ranking = by_voices(voice, ready, self._unknown_prior, with_parts=votes is None)
        return ranking if votes is None else by_head(votes, ranking)

    def _under(self, ranked: RankedVoice, ready: ReadyVoices, terms: Terms) -> Iterator[Voice]:
        """Somebody else who sings under a voice that is named, all of the time; never at less than even odds."""
        heard = ranked.heard
        if ranked.outcome is not Outcome.NAMED or heard.segments is not None:
            return
        found = under(ranked.ranking, ready, heard.amount, self._unknown_prior)
        if found is not None and found.evidence >= max(0.0, terms.look_nats):
            name, outcome = ready.voices.names[found.singer], terms.outcome(found.evidence)
            yield Voice(name, found.probability, outcome, heard.seconds, heard.spans, together=True)

    def _heard_by_head(self, probe: Embeddings, voices: Voices) -> FloatArray | None:
        """Probabilities (segments, singers) by the gallery's fitted head, if there is one."""
        fitted = self._gallery.head
        if fitted is None:
            return None
        place = {name: number for number, name in enumerate(fitted.names)}
        columns = [place[name] for name in voices.names]
        found = fitted.head(torch.from_numpy(probe.vectors)).numpy()[:, columns]
        return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12), np.float32)

    def with_namesakes(self, answer: Answer, ready: ReadyVoices | None = None) -> Answer:
        """The answer with the other names that are likely its singers', too.

        Args:
            ready: among whom; everybody unless given.
        """
        ready = ready or self.ready
        if self._namesakes is None or self._namesakes[0] is not ready:
            self._namesakes = (ready, {})
        known = self._namesakes[1]
        for singer in {voice.singer for voice in answer.voices if voice.singer is not None} - known.keys():
            known[singer] = tuple(pair.second for pair in EnrolledVoices(ready).namesakes(singer))
        voices = (replace(v, namesakes=known.get(v.singer, ()) if v.singer else ()) for v in answer.voices)
        return replace(answer, voices=tuple(voices))

    @property
    def ready(self) -> ReadyVoices:
        """Everybody's voice, ready for comparison.

        Raises:
            GalleryError: nobody is enrolled.
        """
        return self._ready_voices(None)

    @property
    def unknown_prior(self) -> float:
        """Probability, before listening, that nobody enrolled sings."""
        return self._unknown_prior

    def _ready_voices(self, leave_out: str | None) -> ReadyVoices:
        """The gallery's voices ready for comparison, made once for as long as the gallery stays the same."""
        raw = self._gallery.voices
        if leave_out is not None:
            return ReadyVoices.of(raw.without(leave_out), self._calibration)
        if self._ready is None or self._ready[0] is not raw:
            self._ready = (raw, ReadyVoices.of(raw, self._calibration))
        return self._ready[1]


def answer_of(
    track: HeardTrack, ranked: Sequence[RankedVoice], under: Sequence[Voice], terms: Terms, top: int
) -> Answer:
    """The answer, given who each voice is.

    Args:
        ranked: the track's voices; none where there are not enough vocals.
        under: who sings under them.
        top: candidates to return.
    """
    if not ranked:
        return _reply(track, terms, Verdict.NOT_ENOUGH_VOCALS)
    voices = [*_voices(ranked), *under]
    return replace(
        _reply(track, terms, _verdict(voices)),
        top=_candidates(ranked, voices, top),
        unknown_probability=math.prod(voice.unknown for voice in ranked),
        timeline=_timeline(ranked, voices),
        voices=tuple(voices),
    )


def _reply(track: HeardTrack, terms: Terms, verdict: Verdict) -> Answer:
    """An answer without voices."""
    return Answer(
        track_id=track.track_id,
        verdict=verdict,
        top=(),
        unknown_probability=1.0,
        timeline=(),
        duration_s=track.duration_s,
        vocal_s=track.vocal_s,
        short=track.short,
        fingerprint=track.fingerprint,
        terms=terms,
        opinion=track.opinion,
    )


@dataclass(frozen=True)
class RankedVoice:
    """A voice with what is known of it: ``singer`` is None where the outcome is unknown.

    Attributes:
        names: of the singers who are ranked.
    """

    heard: HeardVoice
    ranking: Ranking
    names: tuple[str, ...]
    singer: str | None
    outcome: Outcome

    @classmethod
    def of(cls, heard: HeardVoice, ranking: Ranking, names: tuple[str, ...], terms: Terms) -> RankedVoice:
        """Say who it is, where the terms allow it."""
        best = int(ranking.order[0])
        outcome = terms.outcome(float(ranking.evidence[best]))
        return cls(heard, ranking, names, None if outcome is Outcome.UNKNOWN else names[best], outcome)

    @property
    def unknown(self) -> float:
        """Probability that it is nobody enrolled."""
        return self.ranking.unknown

    @property
    def voice(self) -> Voice:
        """As an answer has it, with the probability that it is this singer, or somebody else."""
        best = float(self.ranking.probabilities[self.ranking.order[0]])
        probability = self.unknown if self.singer is None else best
        return Voice(self.singer, probability, self.outcome, self.heard.seconds, self.heard.spans)


def _voices(ranked: Sequence[RankedVoice]) -> list[Voice]:
    """One voice for each singer who is named, and others that are heard for long enough."""
    total = sum(voice.heard.seconds for voice in ranked)
    least = max(_LEAST_S, _LEAST_SHARE * total)
    found: dict[str, Voice] = {}
    unknown = []
    for one in sorted((each.voice for each in ranked), key=lambda voice: voice.outcome is not Outcome.NAMED):
        if one.singer is None:
            unknown.append(one)
        elif one.singer in found:
            known = found[one.singer]
            probability, seconds = max(known.probability, one.probability), known.seconds + one.seconds
            spans_of_both = joined((*known.spans, *one.spans))
            found[one.singer] = replace(known, probability=probability, seconds=seconds, spans=spans_of_both)
        else:
            found[one.singer] = one
    everybody = sorted((*found.values(), *unknown), key=lambda voice: -voice.seconds)
    kept = [voice for voice in everybody if voice.outcome is Outcome.NAMED or voice.seconds >= least]
    return kept or everybody[:1]


def _verdict(voices: Sequence[Voice]) -> Verdict:
    outcomes = {voice.outcome for voice in voices}
    if Outcome.NAMED in outcomes:
        return Verdict.SINGER if len(voices) == 1 else Verdict.SEVERAL
    return Verdict.WORTH_A_LOOK if Outcome.WORTH_A_LOOK in outcomes else Verdict.UNKNOWN


def _candidates(ranked: Sequence[RankedVoice], voices: Sequence[Voice], top: int) -> tuple[Candidate, ...]:
    """The best candidates of all voices: those who are named first, by how long they are heard."""
    total = max(sum(voice.heard.seconds for voice in ranked), 1e-9)
    named = {voice.singer: voice for voice in voices if voice.singer is not None}
    found: dict[str, Candidate] = {}
    for voice in ranked:
        segments = voice.ranking.segments
        by_segment = None if segments is None else segments.named(len(voice.names)) / len(segments.best)
        for place in voice.ranking.order[: top + len(named)]:
            name = voice.names[place]
            probability = float(voice.ranking.probabilities[place])
            if name in named and named[name].together:
                probability = max(probability, named[name].probability)
            if by_segment is not None and len(ranked) == 1:
                share = float(by_segment[place])
            else:
                share = named[name].seconds / total if name in named else 0.0
            if name not in found or probability > found[name].probability:
                found[name] = Candidate(name, float(voice.ranking.scores[place]), probability, share)
    if len(ranked) == 1 and len(named) < 2:
        return tuple(found.values())[:top]
    places = {name: place for place, name in enumerate(named)}
    ordered = sorted(found.values(), key=lambda one: (places.get(one.singer, len(places)), -one.probability))
    return tuple(ordered[:top])


def _timeline(ranked: Sequence[RankedVoice], voices: Sequence[Voice]) -> tuple[TimelineSegment, ...]:
    """Who sings when, by voice; by segment where the voices are not told apart."""
    segments, ranking = ranked[0].heard.segments, ranked[0].ranking.segments
    if segments is not None and ranking is not None:
        return tuple(_by_segment(segments, ranking, ranked[0].names))
    told = {voice.singer for voice in voices}
    named = [(voice.spans, voice.singer, voice.probability) for voice in voices if voice.singer and not voice.together]
    others = [
        (voice.heard.spans, None, voice.unknown) for voice in ranked if voice.singer is None or voice.singer not in told
    ]
    parts = [
        TimelineSegment(span.start_s, span.stop_s - span.start_s, singer, probability)
        for spans_of, singer, probability in (*named, *others)
        for span in spans_of
    ]
    return tuple(sorted(parts, key=lambda part: part.start_s))


def _by_segment(probe: Embeddings, ranking: SegmentRanking, names: tuple[str, ...]) -> Iterator[TimelineSegment]:
    rows = zip(probe.start_s, ranking.best, ranking.known, ranking.likely, ranking.nobody, strict=True)
    for start_s, who, sure, likely, nobody in rows:
        name, probability = (names[who], likely) if sure else (None, nobody)
        yield TimelineSegment(float(start_s), probe.segment_s, name, float(probability))


class Verifier:
    """Pairs of files -> one singer or not.

    Args:
        calibration: as of an ``Identifier``.
        false_accepts: share of pairs of different singers that may pass, between 0 and 1; None takes that for which the
            calibration was made, which is 1 %.

    Raises:
        CheckpointError: the encoder carries no calibration, and none is given, or it says nothing of such rates.
        ConfigError: no such rate was measured.
    """

    def __init__(
        self, embedder: TrackEmbedder, calibration: Calibration | None = None, false_accepts: float | None = None
    ) -> None:
        self._embedder = embedder
        self._calibration = calibration or calibration_of(embedder.checkpoint)
        self._false_accepts = self._calibration.false_accept_rate if false_accepts is None else false_accepts
        self._threshold = self._calibration.verify_threshold(self._false_accepts)

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
            probability, same = same_singer_probability(llr), llr >= self._threshold
            threshold = calibration.least_score(reach, self._threshold)
        return Verification(
            first.track_id,
            second.track_id,
            same,
            score,
            probability,
            threshold,
            self._false_accepts,
            calibration.material,
            self._embedder.fingerprint,
            checked=calibration.checked if self._false_accepts == calibration.false_accept_rate else "",
        )
