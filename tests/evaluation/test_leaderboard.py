"""Standings of made results with known shares, and costs that are kept once."""

import json

import numpy as np
import pytest

from tests.evaluation.test_evaluation_tables import results
from tests.evaluation.test_results import row
from whosings.errors import EvaluationError
from whosings.evaluation.baselines import MfccStatistics
from whosings.evaluation.leaderboard import (
    LEADERBOARD_COLUMNS,
    leaderboard,
    measure_cost,
    note_cost,
    read_costs,
    standing_cells,
)


def made():
    """Models right in 1, 2 and 3 of 4 clones, and in 3, 2 and 1 real tracks; one was also asked with 20 singers."""
    rows = []
    for place, model in enumerate(("low", "middle", "high"), 1):
        for number in range(4):
            common = {"model": model, "probe": f"p{number}", "target": f"t{number}"}
            rows.append(row(set="cloned", top_1=float(number < place), source_top_1=float(number == 3), **common))
            rows.append(row(set="closed", top_1=float(number < 4 - place), **common))
            if model == "high":
                rows.append(row(set="closed", classes=20, top_1=0.0, **common))
    return results(rows)


def test_the_best_on_clones_stands_first_and_numbers_of_singers_are_the_same():
    standings = leaderboard(made(), {})
    assert [one.model for one in standings] == ["high", "middle", "low"]
    assert [one.cloned.top_1.mean for one in standings] == [0.75, 0.5, 0.25]
    assert [one.real.top_1.mean for one in standings] == [0.25, 0.5, 0.75]
    assert {one.real.classes for one in standings} == {10}
    cells = standing_cells(standings[0])
    assert len(cells) == len(LEADERBOARD_COLUMNS) and cells[2].startswith("75.0%") and cells[4] == "25.0%"
    assert cells[-3:] == ("", "", "")


def test_a_model_that_took_part_in_one_set_is_listed_with_what_there_is():
    rows = made()
    rows = rows.at((rows["set"] == "closed") | (rows["model"] != "low"))
    low = leaderboard(rows, {})[-1]
    assert low.model == "low" and low.cloned is None and low.real.top_1.mean == 0.75
    assert standing_cells(low)[2:5] == ("", "", "")


class Slow(MfccStatistics):
    """Counts what it embeds."""

    parameters = 1_500_000
    seen = 0

    def __call__(self, waveforms):
        Slow.seen += sum(samples.shape[1] for samples in waveforms)
        return np.zeros((len(waveforms), 7), np.float32)


def test_a_cost_is_of_a_minute_and_measured_once(tmp_path):
    cost = measure_cost(Slow())
    assert Slow.seen == (3 * 60 + 6) * 16_000
    assert (cost.dimensions, cost.parameters, cost.segment_s) == (7, 1_500_000, 6.0) and cost.seconds_a_minute >= 0
    note_cost(tmp_path, "slow", Slow())
    first = Slow.seen
    note_cost(tmp_path, "slow", Slow())
    assert Slow.seen == first
    kept = read_costs(tmp_path)["slow"]
    assert standing_cells(leaderboard(made(), {"high": kept})[0])[-3:-1] == ("7", "1.5 M")
    path = tmp_path / "encoder-slow.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fingerprint": "another"}))
    note_cost(tmp_path, "slow", Slow())
    assert Slow.seen > first and read_costs(tmp_path)["slow"].fingerprint == Slow().fingerprint
    path.write_text("{")
    with pytest.raises(EvaluationError, match=r"is damaged; delete it, and evaluate again"):
        read_costs(tmp_path)
