"""Encoders of all kinds in one table: accuracy with intervals, size, and what a minute of music costs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from whosings.audio import SAMPLE_RATE
from whosings.errors import EvaluationError
from whosings.evaluation.paper_tables import Line, lines, spread
from whosings.evaluation.results import Results, write_summary
from whosings.segment_embedding import SegmentEmbedder, SegmentsToVectors

_COST = "encoder"
_TIMED_S = 60.0
_REPEATS = 3


@dataclass(frozen=True)
class EncoderCost:
    """What an embedder costs.

    Attributes:
        fingerprint: the embedder's.
        dimensions: of an embedding.
        parameters: numbers it has learned; None where it does not say.
        seconds_a_minute: processor seconds to embed a minute of singing in segments side by side, decoding and
            vocal activity left out; the least of three tries on the machine that evaluated it.
        segment_s: seconds a segment.
    """

    fingerprint: str
    dimensions: int
    parameters: int | None
    seconds_a_minute: float
    segment_s: float


@dataclass(frozen=True)
class Standing:
    """One encoder with one kind of head.

    Attributes:
        real: on the real tracks of the closed set, None where it was not evaluated there.
        cloned: on clones, likewise.
    """

    model: str
    head: str
    real: Line | None
    cloned: Line | None
    cost: EncoderCost | None


def measure_cost(segments: SegmentsToVectors) -> EncoderCost:
    """Embed a minute of noise, which takes as long as singing."""
    length = round(segments.front_end.segment_s * SAMPLE_RATE)
    rng = np.random.default_rng(0)
    count = max(1, round(_TIMED_S * SAMPLE_RATE / length))
    waves = [0.1 * rng.standard_normal((1, length), dtype=np.float32) for _ in range(count)]
    vectors, spent = segments(waves[:1]), []
    for _ in range(_REPEATS):
        begin = time.process_time()
        segments(waves)
        spent.append(time.process_time() - begin)
    minutes = count * length / SAMPLE_RATE / 60
    return EncoderCost(
        segments.fingerprint,
        vectors.shape[1],
        _parameters(segments),
        min(spent) / minutes,
        segments.front_end.segment_s,
    )


def note_cost(folder: Path, name: str, segments: SegmentsToVectors) -> None:
    """Measure it and keep it in a folder of results, unless that is there."""
    path = folder / f"{_COST}-{name}.json"
    known = read_costs(folder).get(name)
    if known is None or known.fingerprint != segments.fingerprint:
        write_summary(path, asdict(measure_cost(segments)))


def read_costs(folder: str | Path) -> dict[str, EncoderCost]:
    """What ``note_cost`` kept, by model.

    Raises:
        EvaluationError: a file is damaged.
    """
    found = {}
    for path in sorted(Path(folder).glob(f"{_COST}-*.json")):
        try:
            found[path.stem.removeprefix(f"{_COST}-")] = EncoderCost(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise EvaluationError(path, "is damaged", "delete it, and evaluate again") from error
    return found


def leaderboard(results: Results, costs: Mapping[str, EncoderCost]) -> tuple[Standing, ...]:
    """Every model and head, the best on clones first, then the best on real tracks.

    Lines are of the largest number of singers at which all models of a set were evaluated, so that they compare.
    """
    found: dict[tuple[str, str], dict[str, Line]] = {}
    for name in ("closed", "cloned"):
        of_set = lines(results.where(set=name))
        models = {line.model for line in of_set}
        numbers = [{line.classes for line in of_set if line.model == model} for model in models]
        shared = set.intersection(*numbers) if numbers else set()
        for line in of_set:
            if shared and line.classes == max(shared):
                found.setdefault((line.model, line.head), {})[name] = line
    standings = [
        Standing(model, head, own.get("closed"), own.get("cloned"), costs.get(model))
        for (model, head), own in found.items()
    ]
    return tuple(sorted(standings, key=lambda one: (-_top(one.cloned), -_top(one.real), one.model, one.head)))


LEADERBOARD_COLUMNS = (
    "model",
    "head",
    "clones, top-1",
    "clones, top-5",
    "source named",
    "real, top-1",
    "real, top-5",
    "singers",
    "dimensions",
    "parameters",
    "seconds a minute",
)


def standing_cells(one: Standing) -> tuple[str, ...]:
    """A standing as text, for ``LEADERBOARD_COLUMNS``."""
    cost, singers = one.cost, {line.classes for line in (one.cloned, one.real) if line is not None}
    source = one.cloned.source_top_1 if one.cloned is not None else None
    return (
        one.model,
        one.head,
        *(("", "") if one.cloned is None else (spread(one.cloned.top_1), spread(one.cloned.top_5))),
        "" if source is None else f"{source:.1%}",
        *(("", "") if one.real is None else (spread(one.real.top_1), spread(one.real.top_5))),
        " / ".join(str(number) for number in sorted(singers)),
        *(("", "", "") if cost is None else _cost_cells(cost)),
    )


def _cost_cells(cost: EncoderCost) -> Sequence[str]:
    size = "" if cost.parameters is None else f"{cost.parameters / 1e6:.1f} M"
    return str(cost.dimensions), size, f"{cost.seconds_a_minute:.2f}"


def _parameters(segments: SegmentsToVectors) -> int | None:
    if isinstance(segments, SegmentEmbedder):
        return sum(weight.numel() for weight in segments.encoder.checkpoint.encoder.parameters())
    found = getattr(segments, "parameters", None)
    return int(found) if isinstance(found, int) else None


def _top(line: Line | None) -> float:
    return -1.0 if line is None else line.top_1.mean
