"""Tables of trials, and draws by hash."""

import csv
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whosings.catalogue.manifest import Manifest, Track, trials_path, write_manifest
from whosings.catalogue.trials import Trial, draw_trials, read_trials, write_trials
from whosings.errors import ManifestError
from whosings.sampling import draw

TRACKS = Manifest(tuple(Track(f"{who}{n}", who, Path(f"{who}{n}.wav")) for who in "ab" for n in range(3)))
TRIALS = (
    Trial("a0", "a1", True),
    Trial("a0", "b1", False, True),
    Trial("b0", "a1", False, False),
    Trial("b0", "a2", False),
)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_what_is_written_is_read(tmp_path, ending):
    table = tmp_path / f"open.{ending}"
    write_manifest(TRACKS, table)
    assert write_trials(TRIALS, table) == trials_path(table) == tmp_path / f"open.trials.{ending}"
    assert read_trials(table, TRACKS) == TRIALS
    write_manifest(TRACKS, table)  # another table of tracks: the trials speak of the old one
    assert not trials_path(table).exists()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "holds no trials"),
        ([("a0", "c0", "false")], "track_id c0 is not in open.csv"),
        ([("a0", "a1", "false")], "contradicts the track table on who sings a0 and a1"),
        ([("a0", "b1", "true")], "contradicts the track table on who sings a0 and b1"),
        ([("a0", "b1", "")], "contradicts the track table on who sings a0 and b1"),
        ([("a0", "b1", "perhaps")], "wrong type|cannot be read"),
    ],
)
def test_tables_that_are_wrong(tmp_path, lines, says):
    with (tmp_path / "open.trials.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("enrolment", "probe", "same_singer"), *lines])
    with pytest.raises(ManifestError, match=says):
        read_trials(tmp_path / "open.csv", TRACKS)


def test_a_missing_table(tmp_path):
    with pytest.raises(ManifestError, match="no such table of trials; make it"):
        read_trials(tmp_path / "open.csv", TRACKS)


def test_a_singer_who_has_no_enrolment_is_an_impostor_alone():
    rows = TRACKS.tracks
    found = draw_trials(Manifest(rows[:3]), Manifest(rows[3:]), lambda singer: "female")
    assert Counter((t.same_singer, t.same_sex) for t in found) == {(False, True): 3}


@given(st.integers(0, 3), st.text(max_size=3), st.integers(1, 40), st.integers(0, 50))
def test_draws_are_different_numbers_below_a_bound(seed, name, below, number):
    found = draw(seed, name, below, number)
    assert len(found) == len(set(found)) == min(number, below)
    assert all(0 <= value < below for value in found)
    assert draw(seed, name, below, number) == found


def test_every_number_is_drawn_as_often():
    counts = Counter(value for name in range(3000) for value in draw(0, str(name), 10, 3))
    assert len(counts) == 10 and all(abs(count - 900) < 4 * (3000 * 0.3 * 0.7) ** 0.5 for count in counts.values())
    assert draw(0, "x", 10, 3) != draw(1, "x", 10, 3)
