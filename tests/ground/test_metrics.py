"""Against brute force, closed forms, scikit-learn and scipy."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whosings.metrics import (
    calibration_error,
    detection_cost,
    eer_interval,
    equal_error_rate,
    expected_ranks,
    interval,
    rate_interval,
    reliability,
    share_interval,
    top_k_credit,
    trial_rate_interval,
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


SHAPE = "^votes and targets are \\(tracks, classes\\), with at least one class$"


@pytest.mark.parametrize(
    ("votes", "targets", "k", "message"),
    [
        ([[np.nan, 1]], [[True, False]], 1, "^votes hold NaN$"),
        ([[1, 2]], [[True, False]], 0, "^k is at least 1$"),
        ([1, 2], [True, False], 1, SHAPE),
        ([[1, 2]], [[True]], 1, SHAPE),
        ([[1, 2]], [[False, False]], 1, "^a track has no target$"),
        (np.zeros((0, 0)), np.zeros((0, 0), bool), 1, SHAPE),
    ],
)
def test_credits_refuse_what_is_no_vote(votes, targets, k, message):
    with pytest.raises(ValueError, match=message):
        top_k_credit(np.array(votes, float), np.array(targets), k)


def test_targets_may_be_ones_and_zeros():
    assert top_k_credit([[3, 1, 2]], [[0, 0, 1]], 2).tolist() == [1.0]


def test_infinite_votes_and_no_tracks():
    votes = np.array([[np.inf, np.inf, 0], [-np.inf, 0, 1], [-np.inf] * 3])
    targets = np.array([[True, False, False]] * 3)
    assert top_k_credit(votes, targets).tolist() == pytest.approx([0.5, 0.0, 1 / 3])
    assert expected_ranks(votes, targets).tolist() == [1.5, 3.0, 2.0]
    for function in (top_k_credit, expected_ranks):
        assert function(np.zeros((0, 3)), np.zeros((0, 3), bool)).shape == (0,)


def _naive_rates(same, different, threshold):
    return np.mean([s < threshold for s in same]), np.mean([d >= threshold for d in different])


def _naive_operating_points(same, different):
    """Miss and false-accept rates of accepting what reaches each score, and of accepting nothing."""
    return [*(_naive_rates(same, different, t) for t in sorted({*same, *different})), (1.0, 0.0)]


def _trials(rng, infinite):
    same, different = rng.normal(1, 1, 15).round(1), rng.normal(0, 1, 25).round(1)
    for scores, sign in ((same, 1), (same, -1), (different, 1), (different, -1)):
        scores[rng.permutation(len(scores))[: infinite * int(rng.integers(0, 6))]] = sign * np.inf
    return same, different


@pytest.mark.parametrize("infinite", [False, True])
@pytest.mark.parametrize("prior", [0.01, 0.05, 0.3, 0.5, 0.7, 0.95])
def test_detection_cost_is_the_least_over_all_thresholds(prior, infinite):
    """Normalised by the cost of always refusing or always accepting, whichever is cheaper (NIST's definition)."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        same, different = _trials(rng, infinite)
        costs = [prior * m + (1 - prior) * a for m, a in _naive_operating_points(same, different)]
        always_refusing, always_accepting = prior * 1.0, (1 - prior) * 1.0
        assert detection_cost(same, different, prior) == pytest.approx(
            min(costs) / min(always_refusing, always_accepting)
        )
    assert detection_cost(np.array([0.0]), np.array([1.0]), prior) == pytest.approx(1)


@pytest.mark.parametrize("infinite", [False, True])
def test_equal_error_rate_against_scikit_learn(infinite):
    """Where the convexly joined operating points of its ROC curve meet the line of equal errors."""
    curves = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(5)
    for _ in range(50):
        same, different = _trials(rng, infinite)
        scores = np.nan_to_num(np.concatenate([same, different]), posinf=1e9, neginf=-1e9)  # it takes finite ones only
        truth = np.repeat([1, 0], [same.size, different.size])
        accepts, hits, _ = curves.roc_curve(truth, scores, drop_intermediate=False)
        # On each straight piece misses fall and false accepts rise: the crossing is the least of the larger error.
        share = np.linspace(0, 1, 2001)[:, None]
        misses, accepts = (share * x[1:] + (1 - share) * x[:-1] for x in (1 - hits, accepts))
        assert equal_error_rate(same, different) == pytest.approx(np.maximum(misses, accepts).min(), abs=1e-3)


@pytest.mark.parametrize(
    ("same", "different", "rate"),
    [
        ([np.inf], [-np.inf], 0.0),
        ([-np.inf], [np.inf], 1.0),
        ([np.inf], [np.inf], 0.5),
        ([-np.inf], [-np.inf], 0.5),
        ([np.inf, np.inf, 0.0], [np.inf, -1.0, -1.0], 1 / 3),
    ],
)
def test_equal_error_rate_of_certain_answers(same, different, rate):
    assert equal_error_rate(np.array(same), np.array(different)) == pytest.approx(rate)


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
        with pytest.raises(ValueError, match=r"^trials of one singer and of two are needed$"):
            function(np.array([1.0]), np.array([]))
        with pytest.raises(ValueError, match=r"^scores hold NaN$"):
            function(np.array([np.nan]), np.array([0.0]))
        with pytest.raises(ValueError, match=r"^scores hold NaN$"):
            function(np.array([1.0]), np.array([0.0, np.nan]))
    for prior in (0.0, 1.0, np.nan):
        with pytest.raises(ValueError, match=r"^the prior lies between 0 and 1$"):
            detection_cost(np.array([1.0]), np.array([0.0]), prior)


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


def test_calibration_error_of_shares_and_of_single_bins():
    """Two answers, half of each right: stated 0.4 and 0.8, in one bin 0.6 against 0.5."""
    probability, right = np.array([0.4, 0.8]), np.array([0.5, 0.5])
    assert calibration_error(probability, right) == pytest.approx((0.1 + 0.3) / 2)
    assert calibration_error(probability, right, bins=1) == pytest.approx(0.1)
    assert reliability(np.array([]), np.array([])) == ()
    assert [b.count for b in reliability([0.11, 0.19, 0.2], [True, False, True])] == [2, 1]  # ten bins unless told
    assert calibration_error([0.11, 0.19], [1, 0]) == pytest.approx(abs(0.15 - 0.5))
    assert [(b.probability, b.count) for b in reliability(np.array([0.0, 0.5, 1.0]), np.ones(3), 2)] == [
        (0.0, 1),
        (0.75, 2),
    ]


@pytest.mark.parametrize(
    ("probability", "right", "bins", "message"),
    [
        ([0.5], [2], 10, "^outcomes are 0 to 1$"),
        ([0.5], [-1], 10, "outcomes are 0 to 1"),
        ([0.5], [np.nan], 10, "outcomes are 0 to 1"),
        ([np.nan], [1], 10, "^probabilities are 0 to 1$"),
        ([-0.1], [1], 10, "probabilities are 0 to 1"),
        ([0.5], [1], 0, "^there is at least 1 bin$"),
        ([0.5, 0.5], [1], 10, "^one probability and one outcome for each answer$"),
        ([[0.5]], [[1]], 10, "one probability and one outcome"),
        ([], [], 10, "^no answers$"),
    ],
)
def test_calibration_error_refuses_what_is_no_outcome(probability, right, bins, message):
    with pytest.raises(ValueError, match=message):
        calibration_error(np.array(probability, float), np.array(right, float), bins)


@pytest.mark.parametrize("count", [1, 8, 60])
def test_share_intervals_of_single_answers_enclose_wilsons_around_its_centre(count):
    stats = pytest.importorskip("scipy.stats")
    names = [str(n) for n in range(count)]
    for right in range(count + 1):
        found = share_interval(np.arange(count) < right, names)
        wilson = stats.binomtest(right, count).proportion_ci(method="wilson")
        assert (found.mean, found.count) == (pytest.approx(right / count), count)
        assert 0 <= found.low <= wilson.low + 1e-9 and wilson.high - 1e-9 <= found.high <= 1
        assert found.high - found.low < 1.25 * (wilson.high - wilson.low) + 0.01
        if found.low > 0 and found.high < 1:
            assert found.low + found.high == pytest.approx(wilson.low + wilson.high)
            assert found.low == pytest.approx(_agresti_coull(right, count, stats), abs=1e-9)


def _agresti_coull(right, count, stats):
    """The lower end, as its authors give it."""
    z = stats.norm.ppf(0.975)
    n, p = count + z**2, (right + z**2 / 2) / (count + z**2)
    return p - z * np.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize(("singers", "each", "alike"), [(6, 1, 0.5), (6, 10, 0.9), (8, 5, 0.3), (30, 10, 0.3)])
def test_share_intervals_hold_for_few_singers_and_high_rates(singers, each, alike):
    """Singers of rates drawn from a beta distribution: at least 19 of 20 intervals hold the rate, or nearly so."""
    names = [str(n) for n in range(singers) for _ in range(each)]
    rng = np.random.default_rng(6)
    for rate in (0.6, 0.9, 0.98):
        own = rng.beta(rate * (1 - alike) / alike, (1 - rate) * (1 - alike) / alike, (400, singers, 1))
        found = [share_interval(one.ravel(), names) for one in rng.random((400, singers, each)) < own]
        assert np.mean([f.low <= rate <= f.high for f in found]) > 0.92
        assert all(f.low <= f.mean <= f.high for f in found)


def test_share_intervals_take_singers_for_the_units():
    """Eight singers, each always right or always wrong: so many answers of theirs say no more than one."""
    right, names = np.array([1, 1, 1, 1, 1, 1, 1, 0.0]), list("abcdefgh")
    once, often = share_interval(right, names), share_interval(np.repeat(right, 50), np.repeat(names, 50).tolist())
    assert (often.low, often.high, often.count) == (pytest.approx(once.low), pytest.approx(once.high), 400)
    apart = share_interval(np.repeat(right, 50), [str(n) for n in range(400)])
    assert apart.high - apart.low < (once.high - once.low) / 4
    uneven = share_interval(np.array([1.0, 1, 1, 1, 0]), ["a", "a", "a", "a", "b"])
    assert uneven.mean == pytest.approx(0.8)


@pytest.mark.parametrize("value", [1.1, -0.1, np.nan, np.inf])
def test_share_intervals_refuse_what_is_no_share(value):
    with pytest.raises(ValueError, match="^values hold NaN$" if np.isnan(value) else "^shares are 0 to 1$"):
        share_interval(np.array([0.5, value]), ["a", "b"])


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


def test_intervals_of_two_singers_are_among_their_draws():
    """Of two singers a quarter of the draws takes the first twice, and a quarter the second twice."""
    found = interval([1, 3, 3, 3], ["a", "b", "b", "b"])
    assert (found.mean, found.low, found.high) == (2.5, 1.0, 3.0)
    rng = np.random.default_rng(8)
    values = rng.normal(size=400)
    names = [str(n) for n in range(400)]
    drawn = rng.choice(values, (20_000, 400)).mean(axis=1)
    found = interval(values, names, draws=20_000)
    assert [found.low, found.high] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.003)
    assert interval(values, names) == interval(values, names) == interval(values, names, 1000, 0)
    assert interval(values, names, seed=1) != interval(values, names)


def test_intervals_need_values():
    for function in (interval, share_interval):
        for values, singers in (([], []), ([1.0], []), ([[1.0]], ["a"]), ([np.nan], ["a"])):
            message = "^values hold NaN$" if singers and np.ndim(values) == 1 else "^one singer for each value, and at"
            with pytest.raises(ValueError, match=message):
                function(np.array(values, float), singers)


@pytest.mark.parametrize(("count", "trials"), [(0, 13), (1, 13), (13, 13), (30, 3000)])
def test_the_interval_of_a_rate_is_wilsons(count, trials):
    from scipy.stats import binomtest

    expected = binomtest(count, trials).proportion_ci(method="wilson")
    found = rate_interval(count, trials)
    assert (found.mean, found.count) == (count / trials, trials)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert (rate_interval(0, 0).low, rate_interval(0, 0).high) == (0, 1)


def trials_of(rng, singers, per_singer=6, spread=1.0):
    """Trials of every two singers, with scores that depend on both of them."""
    voice = rng.normal(0, spread, singers)
    rows = []
    for a in range(singers):
        rows += [(2 + voice[a] + rng.normal(), True, a, a) for _ in range(per_singer)]
        rows += [(voice[a] + voice[b] + rng.normal() - 1, False, a, b) for b in range(singers) if b != a]
    scores, same, one, other = zip(*rows, strict=True)
    return np.array(scores), np.array(same), [f"s{n}" for n in one], [f"s{n}" for n in other]


def test_eer_intervals_are_those_of_trials_that_are_repeated():
    """The oracle repeats each trial as often as its singers were drawn, and asks equal_error_rate."""
    rng = np.random.default_rng(3)
    scores, same, one, other = trials_of(rng, 12)
    found = eer_interval(scores, same, one, other, draws=200, seed=5)
    assert found.mean == equal_error_rate(scores[same], scores[~same]) and found.count == len(scores)
    names = sorted(set(one))
    draws, rates = np.random.default_rng(5), []
    for _ in range(200):
        drawn = np.bincount(draws.integers(0, 12, 12), minlength=12)
        count = dict(zip(names, drawn, strict=True))
        times = [count[a] if a == b else count[a] * count[b] for a, b in zip(one, other, strict=True)]
        again, kinds = np.repeat(scores, times), np.repeat(same, times)
        if kinds.any() and not kinds.all():
            rates.append(equal_error_rate(again[kinds], again[~kinds]))
    assert [found.low, found.high] == pytest.approx(np.percentile(rates, [2.5, 97.5]), abs=1e-12)
    assert found.low < found.mean < found.high


def test_eer_intervals_count_singers_and_not_trials():
    rng = np.random.default_rng(4)
    few, many = (trials_of(rng, singers) for singers in (12, 48))
    wide, narrow = (eer_interval(*trials, draws=200) for trials in (few, many))
    assert narrow.high - narrow.low < 0.7 * (wide.high - wide.low)
    twice = [np.concatenate([part, part]) for part in few]
    found = eer_interval(*twice, draws=200)
    assert (found.mean, found.low, found.high) == pytest.approx((wide.mean, wide.low, wide.high))


def test_eer_of_trials_that_are_told_apart_says_how_little_few_singers_show():
    names, others = ["a", "b", "c"] * 2, ["a", "b", "c", "b", "c", "a"]
    scores, same = np.array([3.0, 4.0, 5.0, 0.0, 1.0, 2.0]), np.array([True] * 3 + [False] * 3)
    for sign, share in ((1, 0.0), (-1, 1.0)):
        found = eer_interval(sign * scores, same, names, others)
        assert found == share_interval(np.full(6, share), others) and found.mean == share
        assert found.high - found.low > 0.3


def test_rate_intervals_of_trials():
    rng = np.random.default_rng(6)
    scores, _, one, other = trials_of(rng, 15)
    accepted = (scores >= 1).astype(float)
    found = trial_rate_interval(accepted, one, other, draws=400)
    assert found.mean == accepted.mean() and found.low < found.mean < found.high
    assert found == trial_rate_interval(accepted, one, other, draws=400)
    # The same share of every singer leaves nothing to the draw but how singers meet.
    alone = np.array([0.0, 1.0] * 10)
    names = [f"s{n // 2}" for n in range(20)]
    level = trial_rate_interval(alone, names, names)
    assert (level.low, level.high) == pytest.approx((0.5, 0.5))
    # Where nothing passes, the interval says how little so few singers show.
    none = trial_rate_interval(np.zeros(20), names, names[::-1])
    assert none == share_interval(np.zeros(20), names[::-1]) and none.high > 0.2


@pytest.mark.parametrize("extreme", [-np.inf, np.inf])
def test_trials_may_have_infinite_scores(extreme):
    scores, same = np.array([extreme, 1.0, 0.0, extreme]), np.array([True, True, False, False])
    found = eer_interval(scores, same, ["a", "b", "a", "b"], ["a", "b", "b", "a"], draws=50)
    assert found.mean == equal_error_rate(scores[same], scores[~same]) and found.low <= found.mean <= found.high


def test_trials_that_do_not_fit():
    same = np.array([True, False])
    for scores, one in (([1.0], ["a", "b"]), ([1.0, 2.0], ["a"])):
        with pytest.raises(ValueError, match="one score, one kind and two singers for each trial"):
            eer_interval(np.array(scores), same, one, ["a", "b"])
    with pytest.raises(ValueError, match="trials of one singer and of two are needed"):
        eer_interval(np.ones(2), np.array([True, True]), ["a", "b"], ["a", "b"])
    for outcomes, one in (([], []), ([1.0], ["a", "b"])):
        with pytest.raises(ValueError, match="one outcome and two singers for each trial"):
            trial_rate_interval(np.array(outcomes), one, one)
    with pytest.raises(ValueError, match="outcomes are 0 or 1"):
        trial_rate_interval(np.array([0.5, 1.0]), ["a", "b"], ["a", "b"])
