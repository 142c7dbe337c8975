"""Answers: who sings a recording, and whether two recordings have one singer.

An answer is an indication, never a proof (paper, section 6): every one carries ``NOTICE``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from html import escape

from whosings.opinion_rows import Opinion
from whosings.spans import Span

NOTICE = (
    "This is an indication from a statistical model, not a proof of who sings; "
    "do not act on it without a person's check."
)

COLOURS = (
    "#0f766e",
    "#c2410c",
    "#4338ca",
    "#a16207",
    "#be185d",
    "#15803d",
    "#0369a1",
    "#7e22ce",
    "#b91c1c",
    "#4d7c0f",
    "#5eead4",
    "#fdba74",
    "#a5b4fc",
    "#fde047",
    "#f9a8d4",
    "#bef264",
)
"""Colours of singers, in the order in which they are shown."""

SOMEBODY_ELSE = "#6b7280"
"""Colour of anybody who is not enrolled."""


class Verdict(StrEnum):
    """How a probe was answered."""

    SINGER = "singer"
    SEVERAL = "several singers"
    WORTH_A_LOOK = "worth a look"
    UNKNOWN = "unknown"
    NOT_ENOUGH_VOCALS = "not enough vocals"


class Outcome(StrEnum):
    """What is said of one voice.

    A voice is ``named`` where so few strangers would reach as much as the answer's ``Terms`` say, and ``worth a look``
    where one stranger in ten may.
    """

    NAMED = "named"
    WORTH_A_LOOK = "worth a look"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Terms:
    """When an answer gives a name.

    Attributes:
        false_accepts: share of recordings of somebody who is not enrolled that are given a name; None where names are
            given to whoever is likelier than somebody else.
        measured_on: on what that rate was measured, in words; empty without a rate.
        named_nats, look_nats: least log-odds (nats, at even prior odds) of a voice that is named, or worth a look.
    """

    false_accepts: float | None
    measured_on: str
    named_nats: float
    look_nats: float

    def outcome(self, evidence: float) -> Outcome:
        """What is said of a voice, given the log-odds (nats) of its likeliest singer."""
        if evidence >= self.named_nats:
            return Outcome.NAMED
        return Outcome.WORTH_A_LOOK if evidence >= self.look_nats else Outcome.UNKNOWN

    def __str__(self) -> str:
        """One sentence."""
        if self.false_accepts is None:
            return "A name is given where it is likelier than somebody who is not enrolled."
        return f"{100 * self.false_accepts:g}% of strangers would be given a name, too ({self.measured_on})."


@dataclass(frozen=True)
class Candidate:
    """One enrolled singer as an answer.

    Attributes:
        score: cosine similarity, -1 to 1.
        probability: that this singer is heard, given the gallery and the prior of an unknown singer.
        share: share of what is sung that names this singer, 0 to 1.
    """

    singer: str
    score: float
    probability: float
    share: float


@dataclass(frozen=True)
class Voice:
    """One voice of a probe, whoever it belongs to.

    Attributes:
        singer: the enrolled singer who is named or worth a look; None for somebody who is not enrolled.
        probability: that it is this singer; that it is nobody enrolled where ``singer`` is None.
        outcome: whether the singer is named.
        seconds: how long it was heard.
        spans: where, to half a second where the encoder gives short windows.
        together: it was heard under another voice, at the same time.
        namesakes: other enrolled names that are likely the singer's, too.
    """

    singer: str | None
    probability: float
    outcome: Outcome
    seconds: float
    spans: tuple[Span, ...]
    together: bool = False
    namesakes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TimelineSegment:
    """One part of the probe, in which one voice sings.

    Attributes:
        start_s, duration_s: seconds.
        singer: the likeliest enrolled singer; None where somebody else is likelier.
        probability: that it is this singer; that it is somebody else where ``singer`` is None.
    """

    start_s: float
    duration_s: float
    singer: str | None
    probability: float


@dataclass(frozen=True, repr=False)
class Answer:
    """Who sings a probe.

    Attributes:
        verdict: see ``Verdict``.
        top: best candidates, best first; kept also when the verdict is ``unknown``, to show what came near. With
            several voices a candidate's numbers are those of the voice that is the likeliest to be theirs, so that
            their probabilities need not sum to 1.
        unknown_probability: that nobody enrolled is heard.
        timeline: what is sung, in order.
        vocal_s: seconds of singing found.
        short: the probe was shorter than a segment.
        terms: when a name is given.
        notice: what an answer is and is not.
        voices: who is heard, the longest heard first; one voice for most songs. Brief passages that are nobody's in
            particular are left out.
        opinion: how processed the voice sounds; it changes nothing else here. None where there are not enough vocals,
            or where the embedder was given no ``SecondOpinion``.
    """

    track_id: str
    verdict: Verdict
    top: tuple[Candidate, ...]
    unknown_probability: float
    timeline: tuple[TimelineSegment, ...]
    duration_s: float
    vocal_s: float
    short: bool
    fingerprint: str
    terms: Terms
    notice: str = NOTICE
    opinion: Opinion | None = None
    voices: tuple[Voice, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """Enrolled singers whom the answer names, the longest heard first."""
        return self._singers(Outcome.NAMED)

    @property
    def worth_a_look(self) -> tuple[str, ...]:
        """Enrolled singers who are worth a look and not named, the longest heard first."""
        return self._singers(Outcome.WORTH_A_LOOK)

    def _singers(self, outcome: Outcome) -> tuple[str, ...]:
        return tuple(v.singer for v in self.voices if v.singer is not None and v.outcome is outcome)

    def __repr__(self) -> str:
        """The verdict in a line; everything else is in the attributes."""
        best = f", {self.top[0].singer} {self.top[0].probability:.0%}" if self.top else ""
        return f"<Answer: {self.verdict}{best}, unknown {self.unknown_probability:.0%}, {self.vocal_s:.0f} s sung>"

    def _repr_html_(self) -> str:
        """A table of candidates and the timeline as a bar, for notebooks."""
        rows = "".join(
            f"<tr><td>{escape(c.singer)}</td><td>{c.probability:.1%}</td><td>{c.score:.2f}</td><td>{c.share:.0%}</td></tr>"
            for c in self.top
        )
        names = list(dict.fromkeys(part.singer for part in self.timeline if part.singer is not None))
        return (
            f"<div><b>{escape(str(self.track_id))}: {self.verdict}</b> (unknown {self.unknown_probability:.0%})"
            f"<table><tr><th>singer</th><th>probability</th><th>score</th><th>share</th></tr>{rows}</table>"
            f"{self._bar(names)}<p><small>{escape(self.notice)}</small></p></div>"
        )

    def _bar(self, names: list[str]) -> str:
        """Who sings when, as SVG; grey is somebody else, and where nothing is drawn nobody sings."""
        if not self.timeline:
            return ""
        parts = []
        for part in self.timeline:
            colour = SOMEBODY_ELSE if part.singer is None else COLOURS[names.index(part.singer) % len(COLOURS)]
            title = f"{part.start_s:.0f} s: {part.singer or 'somebody else'} ({part.probability:.0%})"
            parts.append(
                f'<rect x="{part.start_s:.2f}" width="{part.duration_s:.2f}" height="1" fill="{colour}" '
                f'fill-opacity="{0.3 + 0.4 * part.probability:.2f}"><title>{escape(title)}</title></rect>'
            )
        view = f'viewBox="0 0 {max(self.duration_s, 1e-3):.2f} 1" preserveAspectRatio="none"'
        return f'<svg width="100%" height="24" role="img" {view}>{"".join(parts)}</svg>'


@dataclass(frozen=True)
class Verification:
    """Whether two recordings have one singer.

    Attributes:
        same: as likely as only ``false_accept_rate`` of the calibration's different singers; None where there are not
            enough vocals.
        score: cosine similarity, -1 to 1; None likewise.
        probability: that one singer is heard in both, at even priors; None likewise.
        threshold: the least score that is, for recordings with so much singing; None where there are not enough vocals,
            and where a higher score says no more.
        false_accept_rate: share of pairs of different singers that reach the threshold, and ``measured_on`` what.
        checked: a sentence on the rates that were seen elsewhere; empty where nobody looked.
    """

    first: str
    second: str
    same: bool | None
    score: float | None
    probability: float | None
    threshold: float | None
    false_accept_rate: float
    measured_on: str
    fingerprint: str
    notice: str = NOTICE
    checked: str = ""
