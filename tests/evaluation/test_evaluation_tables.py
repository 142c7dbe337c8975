"""Tables against sums made by hand from known rows."""

import numpy as np
import pytest

from tests.evaluation.test_results import row
from whosings.evaluation.paper_tables import (
    LINE_COLUMNS,
    PUBLISHED,
    by_train_tracks,
    line_cells,
    lines,
    part_cells,
    parts,
    text_table,
)
from whosings.evaluation.results import Results, Row


def results(rows):
    return Results({name: np.array([getattr(one, name) for one in rows]) for name in Row.__dataclass_fields__})


def some():
    made = []
    for run in range(2):
        for number in range(6):
            made.append(
                row(
                    run=run,
                    probe=f"p{number}",
                    target=f"t{number}",
                    top_1=float(number < 3 + run),
                    top_5=1.0,
                    mean_top_1=0.25,
                    mean_top_5=0.75,
                    genre=("folk", "rock", "")[number % 3],
                    train_tracks=3 + 4 * number,
                    source_top_1=0.5 if number == 0 else float("nan"),
                )
            )
    return results(made)


def test_a_line_is_the_mean_over_runs():
    (line,) = lines(some())
    assert (line.runs, line.probes, line.classes) == (2, 6, 10)
    assert line.top_1.mean == pytest.approx((3 / 6 + 4 / 6) / 2) and line.deviation_1 == pytest.approx(1 / 12)
    assert line.top_5.mean == 1 and line.deviation_5 == 0
    assert (line.mean_top_1, line.mean_top_5, line.source_top_1) == (0.25, 0.75, 0.5)
    assert line.top_1.low <= line.top_1.mean <= line.top_1.high
    cells = line_cells(line)
    assert len(cells) == len(LINE_COLUMNS)
    assert cells[4] == "2 x 6" and cells[5].startswith("58.3% ± 8.3 (") and cells[8] == "50.0%" and cells[9] == ""


def test_few_right_answers_are_not_certain_and_one_run_has_no_deviation():
    (line,) = lines(results([row(probe=f"p{n}", target=f"t{n}", top_1=1.0) for n in range(8)]))
    assert line_cells(line)[5] == "100.0% (62.8-100.0)"


def test_parts_by_value_leave_out_what_is_not_known_or_rare():
    found = parts(some(), "genre")
    assert [part.value for part in found] == ["folk", "rock"]
    assert found[0].top_1.mean == pytest.approx((1 + 0 + 1 + 1) / 4) and found[0].top_1.count == 4
    assert part_cells(found[0])[0] == "folk" and part_cells(found[1])[4] == ""
    assert parts(some(), "genre", least=3) == ()
    assert [
        part.value for part in parts(results([row(album_shared=True), row(album_shared=None)]), "album_shared")
    ] == ["True"]


def test_a_track_of_two_genres_counts_with_both():
    found = parts(results([row(genre="folk; rock", top_1=1.0), row(genre="rock", top_1=0.0)]), "genre")
    assert [(part.value, part.top_1.mean) for part in found] == [("folk", 1.0), ("rock", 0.5)]


def test_training_tracks_fall_into_the_papers_bins():
    """3, 7, 11, 15, 19, 23 tracks."""
    assert [part.value for part in by_train_tracks(some())] == ["1-4", "5-9", "10-14", "15-19", "20+"]
    assert [part.top_1.count for part in by_train_tracks(some())] == [2, 2, 2, 4, 2]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"set": "closed", "model": "vocal", "classes": 700}, "80.9% / -"),
        ({"set": "mtg", "model": "hybrid", "classes": 572}, "79.3% / 88.7%"),
        ({"set": "closed", "model": "default", "classes": 700}, ""),
    ],
)
def test_the_papers_figures_stand_beside_ours(values, text):
    assert line_cells(lines(results([row(**values)]))[0])[9] == text


def test_published_figures_are_shares():
    for pair in PUBLISHED.values():
        assert any(pair) and all(value is None or 0.1 < value < 1 for value in pair)


def test_a_table_as_text():
    assert text_table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
