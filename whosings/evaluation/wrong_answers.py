"""Wrong answers of result files, each with a few seconds of the recording where it is still there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from whosings.audio import read_segment
from whosings.clips import as_flac, embedded, player
from whosings.errors import AudioError
from whosings.evaluation.results import ProbeFile, Results

EXCERPTS = 20
"""How many a page holds at most: as FLAC in Base64 each takes about 0.1 MB."""

_EXCERPT_S = 5.0


@dataclass(frozen=True)
class WrongAnswer:
    """One probe that the vote named wrongly in at least one run.

    Attributes:
        probe: track id.
        target: the singer; several of a duet are joined by ``;``.
        named: the wrong singer whom the vote named most often.
        wrong, runs: number of runs that named a wrong singer, and of all runs with this probe.
        rank: mean place of the target by vote, 1 the first.
        probability: mean probability of the target, 0 to 1.
    """

    probe: str
    target: str
    named: str
    wrong: int
    runs: int
    rank: float
    probability: float


def wrong_answers(rows: Results) -> tuple[WrongAnswer, ...]:
    """Probes that were named wrongly, the most often and the most confidently wrong ones first.

    Args:
        rows: results of one setting.
    """
    found = []
    for (probe, target), own in rows.groups("probe", "target"):
        named = Counter(name for name in own["predicted"].tolist() if name not in target.split(";"))
        if named:
            found.append(
                WrongAnswer(
                    probe,
                    target,
                    min(named, key=lambda name: (-named[name], name)),
                    named.total(),
                    len(own),
                    float(own["rank"].mean()),
                    float(own["probability"].mean()),
                )
            )
    return tuple(sorted(found, key=lambda one: (-one.wrong / one.runs, one.probability, one.probe, one.target)))


def excerpt(probe: str, files: Mapping[str, ProbeFile]) -> str:
    """The first sung seconds of a probe as HTML: an audio element that holds them, or a phrase that says why not."""
    file = files.get(probe)
    if file is None:
        return "its file is not noted"
    try:
        samples = read_segment(file.path, file.start_s, _EXCERPT_S).samples
    except AudioError:
        return "its file is missing or cannot be read"
    return player(embedded(as_flac(samples), "audio/flac"))
