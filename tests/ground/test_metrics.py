"""Against brute force, closed forms and scikit-free naive loops."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whosings.metrics import (
    calibration_error,
    detection_cost,
    equal_error_rate,
    expected_ranks,
    interval,
    rate_interval,
    reliability,
    top_k_credit,
)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.data())
def test_credits_and_ranks_are_the_mean_over_every_way_to_break_ties(votes, data):
    classes = range(len(votes))
    right = data.draw(st.sets(st.sampled_from(classes), min_size=1, max_size=3))
    places = []
    for order in permutations(classes):  # earlier in the order wins a tie
        ranking = sorted(classes, key=lambda c: (-votes[c], order[c]))
        places.append(min(ranking.index(target) for target in right) + 1)
    row, targets = np.array([votes]), np.isin(classes, list(right))[None]
    assert expected_ranks(row, targets)[0] == pytest.approx(np.mean(places))
    for k in range(1, len(votes) + 2):
        assert top_k_credit(row, targets, k)[0] == pytest.approx(np.mean([place <= k for place in places]))


def test_a_track_without_votes_is_worth_chance():
    assert top_k_credit(np.zeros((1, 50)), np.arange(50)[None] == 3, 5)[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("votes", "targets", "k"),
    [
        ([[np.nan, 1]], [[True, False]], 1),
        ([[1, 2]], [[True, False]], 0),
        ([1, 2], [True, False], 1),
        ([[1, 2]], [[True]], 1),
        ([[1, 2]], [[False, False]], 1),
    ],
)
def test_credits_refuse_what_is_no_vote(votes, targets, k):
    with pytest.raises(ValueError):
        top_k_credit(np.array(votes, float), np.array(targets), k)


def _naive_rates(same, different, threshold):
    return np.mean([s < threshold for s in same]), np.mean([d >= threshold for d in different])


def test_detection_cost_is_the_least_over_all_thresholds():
    rng = np.random.default_rng(0)
    for _ in range(20):
        same, different = rng.normal(1, 1, 15).round(1), rng.normal(0, 1, 25).round(1)
        every = [*same, *different, 99.0]
        costs = [0.05 * m + 0.95 * a for m, a in (_naive_rates(same, different, t) for t in every)]
        assert detection_cost(same, different) == pytest.approx(min(costs) / 0.05)


def test_equal_error_rate_of_two_gaussians():
    """Means 2 apart, unit deviation: both errors are Phi(-1) at the middle."""
    rng = np.random.default_rng(1)
    same, different = rng.normal(2, 1, 200_000), rng.normal(0, 1, 200_000)
    assert equal_error_rate(same, different) == pytest.approx(0.158655, abs=2e-3)


def test_equal_error_rate_lies_between_the_rates_around_it():
    rng = np.random.default_rng(2)
    for _ in range(50):
        same, different = rng.normal(1, 1, 7).round(1), rng.normal(0, 1, 11).round(1)
        found = equal_error_rate(same, different)
        rates = [_naive_rates(same, different, t) for t in sorted({*same, *different, 99.0})]
        assert max(min(r) for r in rates) - 1e-12 <= found <= min(max(r) for r in rates) + 1e-12


@pytest.mark.parametrize(
    ("same", "different", "rate"), [([1, 2], [-1, 0], 0.0), ([0, 0], [1, 1], 1.0), ([1], [1], 0.5)]
)
def test_equal_error_rate_at_the_ends(same, different, rate):
    assert equal_error_rate(np.array(same), np.array(different)) == pytest.approx(rate)


def test_trials_of_both_kinds_are_needed():
    for function in (equal_error_rate, detection_cost):
        with pytest.raises(ValueError, match="one singer and of two"):
            function(np.array([1.0]), np.array([]))
        with pytest.raises(ValueError, match="NaN"):
            function(np.array([np.nan]), np.array([0.0]))
    with pytest.raises(ValueError, match="prior"):
        detection_cost(np.array([1.0]), np.array([0.0]), 1.0)


def test_calibration_error_by_hand():
    probability, right = np.array([0.91, 0.93, 0.15, 1.0]), np.array([1, 0, 0, 1])
    # bins 0.9-1.0: stated 0.9467, true 2/3, three answers; 0.1-0.2: stated 0.15, true 0
    assert calibration_error(probability, right) == pytest.approx((3 * abs(2.84 / 3 - 2 / 3) + 0.15) / 4)
    assert [(b.count, round(b.right, 3)) for b in reliability(probability, right)] == [(1, 0.0), (3, 0.667)]


def test_calibrated_answers_have_little_error():
    rng = np.random.default_rng(3)
    probability = rng.random(100_000)
    assert calibration_error(probability, rng.random(100_000) < probability) < 0.01
    with pytest.raises(ValueError, match="0 to 1"):
        calibration_error(np.array([1.2]), np.array([1]))
    with pytest.raises(ValueError):
        calibration_error(np.array([]), np.array([]))


def test_intervals_are_over_singers():
    """Ten singers of 50 equal tracks each: as uncertain as ten numbers, not as five hundred."""
    rng = np.random.default_rng(4)
    each = rng.normal(0, 1, 10)
    found = interval(np.repeat(each, 50), [f"s{n}" for n in range(10) for _ in range(50)])
    assert found.mean == pytest.approx(each.mean()) and found.count == 500
    half = 1.96 * each.std() / np.sqrt(10)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.15)
    alone = interval(np.repeat(each, 50), [str(n) for n in range(500)])
    assert (alone.high - alone.low) < (found.high - found.low) / 4


def test_intervals_need_values():
    with pytest.raises(ValueError):
        interval(np.array([]), [])


@pytest.mark.parametrize(("count", "trials"), [(0, 13), (1, 13), (13, 13), (30, 3000)])
def test_the_interval_of_a_rate_is_wilsons(count, trials):
    from scipy.stats import binomtest

    expected = binomtest(count, trials).proportion_ci(method="wilson")
    found = rate_interval(count, trials)
    assert (found.mean, found.count) == (count / trials, trials)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert (rate_interval(0, 0).low, rate_interval(0, 0).high) == (0, 1)
