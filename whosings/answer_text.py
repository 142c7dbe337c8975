"""Answers as plain text: one line for a recording, and the details that are shown on request."""

from __future__ import annotations

from collections.abc import Iterator

from whosings.answer import Answer, Outcome, Verdict, Voice
from whosings.opinion import Opinion

_MOST_SPANS = 6  # of a voice, in a line


def verdict_line(answer: Answer) -> str:
    """The answer in one short line: who is named, who is worth a look, and how likely that is."""
    if answer.verdict is Verdict.NOT_ENOUGH_VOCALS:
        return "not enough vocals"
    if answer.verdict is Verdict.UNKNOWN:
        best = answer.top[0]
        return f"unknown ({answer.unknown_probability:.0%}; nearest {best.singer}, {best.probability:.0%})"
    if answer.verdict is Verdict.WORTH_A_LOOK:
        maybe = (voice for voice in answer.voices if voice.outcome is Outcome.WORTH_A_LOOK)
        return "worth a look: " + " and ".join(f"{voice.singer} ({voice.probability:.0%})" for voice in maybe)
    return " and ".join(map(_voice, answer.voices))


def voice_lines(answer: Answer) -> Iterator[str]:
    """A line for each voice, with the spans in which it is heard."""
    for voice in answer.voices:
        where = ", ".join(f"{clock(span.start_s)}-{clock(span.stop_s)}" for span in voice.spans[:_MOST_SPANS])
        more = f" and {len(voice.spans) - _MOST_SPANS} more" if len(voice.spans) > _MOST_SPANS else ""
        at_once = ", under another voice" if voice.together else ""
        yield f"{_voice(voice)}: {voice.seconds:.0f} s{at_once} ({where}{more})"


def opinion_line(opinion: Opinion) -> str:
    """The second opinion in one line, with its error."""
    return (
        f"second opinion, no verdict: score {opinion.score:.2f} for a processed or cloned sound; "
        f"{opinion.false_alarm:.0%} of natural and {opinion.found:.0%} of processed recordings score as high"
    )


def clock(seconds: float) -> str:
    """Minutes and seconds, to half a second."""
    whole = f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    return f"{whole}.5" if seconds % 1 >= 0.5 else whole


def _voice(voice: Voice) -> str:
    maybe = "perhaps " if voice.outcome is Outcome.WORTH_A_LOOK else ""
    return f"{maybe}{voice.singer or 'somebody else'} ({voice.probability:.0%})"
