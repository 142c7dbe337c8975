"""Why an answer names a singer: what matches best, who comes next, and what would change the answer.

Of the gallery only the recordings of the singers who are named are read, so that it takes as long with 10,000 singers
as the ranking does (``benchmarks/gallery.py``).

Conventions
-----------
- A cosine is that of two embeddings without the mean voice, as in ``whosings.ranking``.
- Several voices are told apart by short windows; one voice is compared by whole segments, as it was scored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whosings.answer import Answer, Voice
from whosings.audio import FloatArray
from whosings.calibration import Calibration, Scores
from whosings.embedding import Embeddings
from whosings.enrolled import EnrolledTrack, Voices
from whosings.evidence_rows import Match, RecordingEvidence, RunnerUp, VoiceEvidence
from whosings.gallery import Gallery
from whosings.gallery_audit import EnrolledVoices
from whosings.opinion_rows import Sound
from whosings.ranking import ReadyVoices
from whosings.spans import Span, joined

MOST_MATCHES = 3
"""Enrolled recordings that are shown of a singer."""

_SHORT_S = 10.0  # of singing: below, fewer singers of real recordings are named (docs/answers.md)
_LITTLE_S = 20.0  # enrolled
_CLOSE = 20.0  # times as likely as the runner-up: below, the runner-up is close
_SAME = 0.98  # cosine of passages of one recording; of other recordings of one singer they stay below
_ROUNDING_S = 0.01
_MOST_TIMES = 1000.0  # beyond, a ratio is told as more than that


def enrolled_spans(track: EnrolledTrack, segment_s: float) -> tuple[Span, ...]:
    """Where a recording was heard when it was enrolled.

    Args:
        segment_s: seconds of the encoder's segments.
    """
    length = track.heard_s(segment_s)
    return joined(Span(start, start + length) for start in track.start_s.tolist())


def seconds_of(spans: Iterable[Span]) -> float:
    """How long stretches are together."""
    return sum(span.stop_s - span.start_s for span in spans)


class EvidenceFinder:
    """Answers -> the evidence for each singer whom they name.

    Args:
        gallery: the open gallery that was asked.
        calibration: that of its encoder.
        segment_s: seconds of the encoder's segments.
    """

    def __init__(self, gallery: Gallery, calibration: Calibration, segment_s: float) -> None:
        self._gallery, self._calibration, self._segment_s = gallery, calibration, segment_s
        self._known: tuple[Voices, ReadyVoices, EnrolledVoices] | None = None

    def __call__(self, answer: Answer, probe: Embeddings) -> RecordingEvidence:
        """Evidence for each voice of the answer that has a singer, in the answer's order.

        Args:
            probe: what the answer was made of.

        Raises:
            GalleryError: a singer is not enrolled any more, or the gallery is damaged.
        """
        named = [(voice, voice.singer) for voice in answer.voices if voice.singer is not None]
        voices = tuple(self._of_voice(voice, singer, answer, probe) for voice, singer in named)
        return RecordingEvidence(answer.track_id, voices)

    def _of_voice(self, voice: Voice, singer: str, answer: Answer, probe: Embeddings) -> VoiceEvidence:
        ready, audited = self._ready()
        tracks = self._gallery.tracks_of(singer)
        heard = _passages(voice, answer, probe, self._segment_s)
        mean = ready.calibration.centred(heard.vectors.mean(axis=0))
        matches = sorted(
            (self._match(track, heard, mean, ready.calibration) for track in tracks), key=lambda one: -one.cosine
        )
        compared = ready.compare(heard.vectors.mean(axis=0, keepdims=True), np.array([heard.amount]))
        scores, llr = compared.scores[0], compared.llr[0]
        place = ready.voices.names.index(singer)
        runner_up = None if voice.together else _runner_up(scores, llr, place, ready.voices.names)
        enrolled_s = sum(match.recording_s for match in matches)
        caveats = (
            *_of_what_was_heard(voice, answer),
            *_of_what_is_enrolled(singer, matches, enrolled_s),
            *_of_the_runner_up(singer, runner_up),
            *(f"{misfit}." for misfit in audited.misfits(tracks)),
            *(f"{pair}; if they are, merge the two names." for pair in audited.namesakes(singer)),
        )
        return VoiceEvidence(
            singer,
            voice.outcome,
            voice.probability,
            voice.seconds,
            voice.spans,
            voice.together,
            float(scores[place]),
            len(tracks),
            enrolled_s,
            tuple(matches[:MOST_MATCHES]),
            runner_up,
            caveats,
        )

    def _match(self, track: EnrolledTrack, heard: _Passages, mean: FloatArray, calibration: Calibration) -> Match:
        likeness = calibration.centred(heard.vectors) @ calibration.centred(track.vectors).T
        row, column = np.unravel_index(int(likeness.argmax()), likeness.shape)
        start, length = float(track.start_s[column]), track.heard_s(self._segment_s)
        return Match(
            track.source,
            track.sha256,
            Span(start, start + length),
            Span(float(heard.start_s[row]), float(heard.start_s[row]) + heard.length_s),
            float(likeness[row, column]),
            float(calibration.centred(track.vectors.mean(axis=0)) @ mean),
            seconds_of(enrolled_spans(track, self._segment_s)),
        )

    def _ready(self) -> tuple[ReadyVoices, EnrolledVoices]:
        """Everyone's voice, made ready once for as long as the gallery stays the same."""
        raw = self._gallery.voices
        if self._known is None or self._known[0] is not raw:
            ready = ReadyVoices.of(raw, self._calibration)
            self._known = (raw, ready, EnrolledVoices(ready))
        return self._known[1:]


@dataclass(frozen=True)
class _Passages:
    """Passages of a probe in which one voice sings: float32 (passages, dimensions), their starts and their length.

    Attributes:
        amount: how many segments' worth of voice they are.
    """

    vectors: FloatArray
    start_s: NDArray[np.float64]
    length_s: float
    amount: float


def _passages(voice: Voice, answer: Answer, probe: Embeddings, segment_s: float) -> _Passages:
    """All segments of a song of one voice; else the short windows that lie within the voice's spans."""
    others = [one for one in answer.voices if not one.together and one.singer != voice.singer and not voice.together]
    whole = _Passages(probe.vectors, probe.start_s, segment_s * min(1.0, probe.share), probe.amount)
    windows = probe.windows
    if not others or windows is None or len(windows.vectors) == 0:
        return whole
    middles = windows.start_s + windows.window_s / 2
    inside = _within(windows.start_s, windows.window_s, voice.spans)
    own = inside if inside.any() else _within(middles, 0.0, voice.spans)
    if not own.any():
        return whole
    amount = 2 * voice.seconds / segment_s  # segments overlap by half: so many would have been heard of it
    return _Passages(windows.vectors[own], windows.start_s[own], windows.window_s, amount)


def _within(start_s: NDArray[np.float64], length_s: float, spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Which passages lie within one of the spans, (passages,)."""
    begin, end = (np.array(edges) for edges in zip(*((s.start_s, s.stop_s) for s in spans), strict=True))
    starts = start_s[:, None]
    inside = (starts >= begin - _ROUNDING_S) & (starts + length_s <= end + _ROUNDING_S)
    return np.asarray(inside.any(axis=1))


def _runner_up(scores: FloatArray, llr: Scores, place: int, names: Sequence[str]) -> RunnerUp | None:
    if len(scores) < 2:
        return None
    second = int(np.where(np.arange(len(llr)) == place, -np.inf, llr).argmax())
    # Both have the same prior, so that the ratio of their probabilities is that of their likelihoods.
    times = math.exp(min(700.0, float(llr[place] - llr[second])))
    name, score = names[second], float(scores[second])
    return RunnerUp(name, score, float(scores[place]) - score, times, _in_words(times))


def _in_words(times: float) -> str:
    """A ratio of probabilities for a sentence: "X is ... Y"."""
    if times < 1:
        return "less likely than"
    if times < 1.5:
        return "hardly more likely than"
    if times > _MOST_TIMES:
        return f"more than {_MOST_TIMES:,.0f} times as likely as"
    return f"about {float(f'{times:.2g}'):,g} times as likely as"


def _of_what_was_heard(voice: Voice, answer: Answer) -> Iterator[str]:
    if answer.short:
        yield "The recording is shorter than one segment; with a longer one the answer may be another."
    elif voice.seconds < _SHORT_S:
        yield f"Only {voice.seconds:.0f} s of this voice were heard; with more of it the answer may be another."
    if voice.together:
        yield "The voice was found under another one; where it sings alone the answer may be another."
    opinion = answer.opinion
    if opinion is not None and opinion.sound is Sound.RESYNTHESISED:
        yield "The voice sounds resynthesised; without the effects, or if it is a clone, the answer may be another."


def _of_what_is_enrolled(singer: str, matches: Sequence[Match], enrolled_s: float) -> Iterator[str]:
    best = matches[0]
    if best.cosine > _SAME:
        yield (
            f"A passage is the same as one of {best.source}, so that this match says little: leave that recording out "
            "to hear what others say."
        )
    if len(matches) == 1:
        yield f"Only one recording of {singer} is enrolled; with others of other songs the answer may be another."
    if enrolled_s < _LITTLE_S:
        yield f"Only {enrolled_s:.0f} s of {singer} are enrolled; with more the answer may be another."


def _of_the_runner_up(singer: str, runner_up: RunnerUp | None) -> Iterator[str]:
    if runner_up is not None and runner_up.times < _CLOSE:
        yield f"The runner-up is close: {singer} is {runner_up.words} {runner_up.singer}."
