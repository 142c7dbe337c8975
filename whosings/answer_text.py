"""Answers as plain text: one line for a recording, and the details that are shown on request."""

from __future__ import annotations

from collections.abc import Iterator

from whosings.answer import Answer, Outcome, Verdict, Voice
from whosings.opinion_rows import Opinion


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
        at_once = ", under another voice" if voice.together else ""
        yield f"{_voice(voice)}: {voice.seconds:.0f} s{at_once} ({times(voice)})"


def opinion_line(opinion: Opinion) -> str:
    """The second opinion in one line, with its error."""
    return (
        f"second opinion, no verdict: score {opinion.score:.2f} for a processed or cloned sound; "
        f"{opinion.false_alarm:.0%} of natural and {opinion.found:.0%} of processed recordings score as high"
    )


def times(voice: Voice, most: int = 6) -> str:
    """Where a voice is heard, the first spans of it."""
    more = f" and {len(voice.spans) - most} more" if len(voice.spans) > most else ""
    return ", ".join(map(str, voice.spans[:most])) + more


def _voice(voice: Voice) -> str:
    maybe = "perhaps " if voice.outcome is Outcome.WORTH_A_LOOK else ""
    return f"{maybe}{voice.singer or 'somebody else'} ({voice.probability:.0%})"
