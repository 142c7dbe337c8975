"""Scores to probabilities against closed forms and plain loops."""

import json
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from whosings.calibration import (
    Calibration,
    Logistic,
    best_posteriors,
    calibration_of,
    competitors,
    neighbours_mean,
    same_singer_probability,
    singer_posteriors,
)
from whosings.calibration_fitting import calibrate, fit_logistic, in_places
from whosings.config import FrontEndConfig, ModelConfig, TransformerConfig
from whosings.encoder.checkpoint import SHIPPED, build, load_checkpoint, rewrite_card, save_checkpoint
from whosings.errors import CheckpointError, TrainingError
from whosings.false_accepts import FALSE_ACCEPT_RATE

TINY = ModelConfig(
    front_end=FrontEndConfig(channels=1, segment_s=1.0, mel_bins=32),
    encoder=TransformerConfig(width=8, blocks=1, heads=2, patch=8, embedding=6),
)


def gaussians(same: int, different: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0.6, 0.2, same), rng.normal(0.1, 0.2, different)


# log N(x; m1, s) - log N(x; m0, s) = x (m1 - m0) / s^2 - (m1^2 - m0^2) / (2 s^2)
SLOPE, OFFSET = 0.5 / 0.04, -(0.36 - 0.01) / 0.08


def test_two_gaussians_have_a_known_line():
    line = fit_logistic(*gaussians(20_000, 20_000))
    assert line.scale == pytest.approx(SLOPE, rel=0.04)
    assert line.offset == pytest.approx(OFFSET, rel=0.04)
    scores = np.array([[0.0, 0.35], [0.6, 1.0]])
    np.testing.assert_allclose(line(scores), line.scale * scores + line.offset)


def test_the_number_of_trials_of_a_class_does_not_matter():
    same, different = gaussians(2_000, 20_000)
    line = fit_logistic(same, different)
    assert line.scale == pytest.approx(SLOPE, rel=0.06)
    assert line.offset == pytest.approx(OFFSET, rel=0.06)
    repeated = fit_logistic(np.tile(same, 10), different)
    assert repeated.scale == pytest.approx(line.scale, rel=0.005)
    assert repeated.offset == pytest.approx(line.offset, rel=0.005)


def test_gaussians_of_any_reach_have_a_known_line():
    """Means grow with the reach r, the variance does not: the ratio is r (slope x score + offset r)."""
    rng = np.random.default_rng(1)
    reach = rng.choice([0.3, 0.6, 1.0], 60_000)
    same, different = rng.normal(0.6 * reach, 0.2), rng.normal(0.1 * reach, 0.2)
    line = fit_logistic(same, different, reach, reach)
    assert line.scale == pytest.approx(SLOPE, rel=0.04)
    assert line.offset == pytest.approx(OFFSET, rel=0.04)
    score, r = 0.25, 0.5
    exact = (-((score - 0.6 * r) ** 2) + (score - 0.1 * r) ** 2) / (2 * 0.04)
    assert float(Logistic(SLOPE, OFFSET)(np.array(score), r)) == pytest.approx(exact)
    np.testing.assert_allclose(
        line(same[:5], reach[:5]), [line(np.array(s), r) for s, r in zip(same[:5], reach[:5], strict=True)]
    )


def test_fit_is_the_least_cross_entropy():
    same, different = gaussians(300, 700, seed=3)
    line = fit_logistic(same, different)

    def loss(scale: float, offset: float) -> float:
        return float(
            np.logaddexp(0, -(scale * same + offset)).mean() + np.logaddexp(0, scale * different + offset).mean()
        )

    best = loss(line.scale, line.offset)
    assert best <= loss(line.scale * 1.05, line.offset)
    assert best <= loss(line.scale * 0.95, line.offset)
    assert best <= loss(line.scale, line.offset + 0.1)
    assert best <= loss(line.scale, line.offset - 0.1)


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_the_unit_of_scores_does_not_matter(factor):
    same, different = gaussians(1000, 1000)
    line, scaled = fit_logistic(same, different), fit_logistic(same * factor, different * factor)
    np.testing.assert_allclose(scaled(same * factor), line(same), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("same", "different"),
    [([0.9, 0.8], [0.1, 0.2]), ([1.0], [0.0]), ([1.0], [1.0 - 1e-6]), ([0.9] * 5, [-0.9] * 500)],
)
def test_separated_scores_stay_finite_and_ordered(same, different):
    line = fit_logistic(np.array(same), np.array(different))
    assert math.isfinite(line.scale)
    assert math.isfinite(line.offset)
    assert line.scale > 0
    assert line(np.array(same)).min() > 2
    assert line(np.array(different)).max() < -2
    assert line(np.array(same)).max() < 100


def test_scores_that_say_nothing_get_no_weight():
    line = fit_logistic(np.full(7, 0.4), np.full(9, 0.4))
    assert (line.scale, line.offset) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6))
    scores = np.random.default_rng(0).normal(0, 1, 5000)
    assert abs(fit_logistic(scores, scores).scale) < 1e-6


def test_posteriors_against_a_loop():
    llr = np.random.default_rng(0).normal(0, 4, (5, 7))
    for prior in (0.01, 0.5, 0.9):
        got = singer_posteriors(llr, prior)
        for row, out in zip(llr, got, strict=True):
            odds = [math.exp(value) * (1 - prior) / 7 for value in row]
            for k, probability in enumerate(out):
                assert probability == pytest.approx(odds[k] / (sum(odds) + prior), rel=1e-12)
        assert (got.sum(axis=1) < 1).all()
    np.testing.assert_allclose(singer_posteriors(llr[0]), singer_posteriors(llr)[0])
    assert singer_posteriors(llr.astype(np.float32)).dtype == np.float32


def test_rows_of_any_evidence_do_not_disturb_each_other():
    rows = np.array([[900.0, 0.0], [-3.0, 1.0], [-900.0, -950.0]])
    np.testing.assert_allclose(singer_posteriors(rows), [singer_posteriors(row) for row in rows], rtol=1e-12)


def test_where_nobody_is_enrolled_it_is_somebody_else():
    assert singer_posteriors(np.zeros((3, 0))).shape == (3, 0)


def test_no_evidence_leaves_the_prior():
    np.testing.assert_allclose(singer_posteriors(np.zeros(4), 0.2), np.full(4, 0.2))


def test_more_singers_demand_more_of_a_match():
    llr = np.array([3.0])
    before = 1.0
    for count in (1, 2, 10, 100):
        crowd = singer_posteriors(np.concatenate([llr, np.full(count - 1, -20.0)]))
        assert crowd[0] < before
        before = crowd[0]
        assert before == pytest.approx(math.exp(3) / (math.exp(3) + count), rel=1e-6)


@pytest.mark.parametrize(
    ("others", "counted"),
    [
        ([-20.0] * 99, 100),
        ([-20.0] * 9999, 100),  # nobody is like the probe: they do not compete
        ([0.0] * 799, 800),  # as like it as strangers are: all do
        ([0.0] * 9999, 1000),  # up to a thousand
        ([0.0] * 500 + [-20.0] * 9499, 600),
        ([3.0] * 5 + [-20.0] * 20_000, 100 + 5 * math.exp(3)),
    ],
)
def test_those_compete_who_are_as_like_the_probe_as_strangers_are(others, counted):
    llr = np.array([9.0, *others])
    assert competitors(llr) == pytest.approx(counted, rel=1e-3)
    odds = np.exp(llr) / counted  # against even odds of somebody else
    np.testing.assert_allclose(singer_posteriors(llr), odds / (1 + odds.sum()), rtol=1e-3)
    found = best_posteriors(llr[None])
    assert found.probability[0] == pytest.approx(odds[0] / (1 + odds.sum()), rel=1e-3)
    assert found.nobody[0] == pytest.approx(1 / (1 + odds.sum()), rel=1e-3)


@pytest.mark.parametrize("extreme", [-1e6, -800.0, 800.0, 1e6])
def test_extreme_evidence_does_not_overflow(extreme):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        got = singer_posteriors(np.array([extreme, 0.0, 5.0]))
        both = singer_posteriors(np.array([extreme, extreme]))
    assert np.isfinite(got).all()
    assert got.sum() <= 1 + 1e-12
    assert got[0] == pytest.approx(1.0 if extreme > 0 else 0.0)
    np.testing.assert_allclose(both, 0.5 if extreme > 0 else 0.0)


def test_same_singer_probability():
    assert same_singer_probability(0.0) == 0.5
    assert same_singer_probability(math.log(9)) == pytest.approx(0.9)
    assert same_singer_probability(math.log(9), prior=0.1) == pytest.approx(0.5)
    with np.errstate(over="raise"):
        assert same_singer_probability(1e9) == 1.0
        assert same_singer_probability(-1e9) == pytest.approx(0.0)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10])
def test_neighbours_mean_against_a_loop(count):
    rows = np.random.default_rng(count).normal(0, 1, (count, 4)).astype(np.float32)
    got = neighbours_mean(rows)
    assert got.shape == rows.shape
    for i in range(count):
        before, after = rows[max(i - 1, 0)], rows[min(i + 1, count - 1)]
        np.testing.assert_allclose(got[i], (before + rows[i] + after) / 3, atol=1e-6)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def catalogue(
    singers: int, tracks: int, segments: int, spread: float, seed: int = 0, dimensions: int = 16
) -> tuple[list[np.ndarray], list[str]]:
    """Voices around a common centre, as embeddings lie."""
    rng = np.random.default_rng(seed)
    common = 2 * rng.normal(0, 1, dimensions)
    voices = common + rng.normal(0, 1, (singers, dimensions))
    rows = [
        unit(voice + rng.normal(0, spread, dimensions) + rng.normal(0, spread, (segments, dimensions)))
        for voice in voices
        for _ in range(tracks)
    ]
    return rows, [f"s{number}" for number in range(singers) for _ in range(tracks)]


def naive_centre(tracks: list, singers: list[str]) -> np.ndarray:
    """Every singer counts alike, and every track of a singer."""
    means = [track.astype(np.float64).mean(axis=0) for track in tracks]
    own = [[m for m, s in zip(means, singers, strict=True) if s == name] for name in sorted(set(singers))]
    return np.mean([np.mean(m, axis=0) for m in own], axis=0)


def cosine(left: np.ndarray, right: np.ndarray, centre: np.ndarray) -> float:
    a, b = left - centre, right - centre
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def middles(track: np.ndarray) -> list[np.ndarray]:
    """The track, then its middle half and so on; of five segments the third, of four the second and third."""
    found, size = [], len(track)
    while size:
        first = (len(track) - size) // 2
        found.append(track[first : first + size].astype(np.float64))
        size //= 2
    return found


def naive_trials(tracks: list, singers: list[str], leave_out: bool = True) -> tuple[list, list]:
    """(score, segments, segments enrolled) of same-singer and different-singer track trials, as loops."""
    centre = naive_centre(tracks, singers)
    same, different = [], []
    for number, track in enumerate(tracks):
        order = singers[:number].count(singers[number])
        for name in sorted(set(singers)):
            own = name == singers[number]
            others = [t for t, singer in zip(tracks, singers, strict=True) if singer == name]
            if len(others) > 1 and leave_out:
                del others[order % len(others)]
            elif own and leave_out:
                continue
            voice = np.mean([t.astype(np.float64).mean(axis=0) for t in others], axis=0)
            for part in middles(track):
                trial = (cosine(part.mean(axis=0), voice, centre), len(part), sum(map(len, others)))
                (same if own else different).append(trial)
    return same, different


def naive_pairs(tracks: list, singers: list[str]) -> tuple[list, list]:
    """(score, segments, segments) of track against track, each pair once, halved as often on both sides."""
    centre = naive_centre(tracks, singers)
    same, different = [], []
    for i in range(len(tracks)):
        for j in range(i):
            for left, right in zip(middles(tracks[i]), middles(tracks[j]), strict=False):
                trial = (cosine(left.mean(axis=0), right.mean(axis=0), centre), len(left), len(right))
                (same if singers[i] == singers[j] else different).append(trial)
    return same, different


def naive_reach(trials: list, noise: float) -> np.ndarray:
    return np.array([math.sqrt(n / (n + noise)) * math.sqrt(m / (m + noise)) for _, n, m in trials])


def naive_line(trials: tuple[list, list], noise: float) -> Logistic:
    same, different = (np.array([trial[0] for trial in kind]) for kind in trials)
    return fit_logistic(same, different, *(naive_reach(kind, noise) for kind in trials))


def naive_loss(trials: tuple[list, list], noise: float) -> float:
    line, losses = naive_line(trials, noise), []
    for kind, sign in zip(trials, (-1, 1), strict=True):
        losses.append(np.mean([math.log1p(math.exp(sign * ratio)) for ratio in naive_ratios(line, kind, noise)]))
    return float(np.mean(losses))


def naive_ratios(line: Logistic, trials: list, noise: float) -> np.ndarray:
    reaches = naive_reach(trials, noise)
    return np.array([r * (line.scale * t[0] + line.offset * r) for t, r in zip(trials, reaches, strict=True)])


def alike(found: Logistic, expected: Logistic) -> bool:
    return np.allclose((found.scale, found.offset), (expected.scale, expected.offset), rtol=2e-3, atol=1e-3)


UNEVEN = (7, 2, 5, 12)  # segments of a singer's tracks


def uneven(singers: int, spread: float, seed: int = 0) -> tuple[list[np.ndarray], list[str]]:
    tracks, names = catalogue(singers, len(UNEVEN), max(UNEVEN), spread, seed)
    return [track[: UNEVEN[number % len(UNEVEN)]] for number, track in enumerate(tracks)], names


def test_lines_of_tracks_and_pairs_against_loops():
    tracks, singers = uneven(10, 1.2)
    found = calibrate(tracks, singers, "toy")
    by_track, pairs = naive_trials(tracks, singers), naive_pairs(tracks, singers)
    assert (found.same_trials, found.different_trials) == tuple(map(len, by_track))
    # 7, 3, 1; 2, 1; 5, 2, 1; 12, 6, 3, 1
    assert len(by_track[0]) == 10 * (3 + 2 + 3 + 4)
    assert alike(found.track, naive_line(by_track, found.noise))
    assert alike(found.pair, naive_line(pairs, found.noise))
    assert found.material == "toy"
    assert found.track.scale > 1


def test_the_noise_explains_the_trials_about_best():
    rng = np.random.default_rng(1)
    tracks = [
        (voice + rng.normal(0, 1.2, (length, 6))).astype(np.float32)
        for voice in rng.normal(0, 1, (15, 6))
        for length in UNEVEN
    ]
    singers = [str(number) for number in range(15) for _ in UNEVEN]
    by_track, pairs = naive_trials(tracks, singers), naive_pairs(tracks, singers)
    found = calibrate(tracks, singers, "").noise
    losses = {noise: naive_loss(by_track, noise) + naive_loss(pairs, noise) for noise in (0, 0.3, 1, 2, 4, 8, found)}
    assert losses[found] <= 1.011 * min(losses.values())
    assert losses[found] < 0.99 * losses[0]


def test_strangers_are_drawn_where_there_are_very_many(monkeypatch):
    tracks, singers = uneven(12, 1.2)
    whole = calibrate(tracks, singers, "")
    monkeypatch.setattr("whosings.calibration_fitting._TRIALS", 700)
    some = calibrate(tracks, singers, "")
    assert (some.same_trials, some.different_trials) == (whole.same_trials, 700)
    assert whole.different_trials == 12 * 12 * 11
    assert some.track.scale == pytest.approx(whole.track.scale, rel=0.25)
    assert some.least_score(1.0) == pytest.approx(whole.least_score(1.0), abs=0.1)


@pytest.mark.parametrize("noise", [0.5, 2.0, 6.0])
def test_the_noise_is_that_of_the_segments(noise):
    """Voices and what differs from segment to segment are both normal: their variances say what the noise is."""
    rng = np.random.default_rng(0)
    voices = rng.normal(0, 1, (80, 6))
    tracks = [voice + rng.normal(0, math.sqrt(noise), (16, 6)) for voice in voices for _ in range(3)]
    found = calibrate([track.astype(np.float32) for track in tracks], [str(n) for n in range(80) for _ in range(3)], "")
    assert noise / 2.5 < found.noise < 2.5 * noise


def test_where_all_are_as_long_nothing_is_said_of_noise():
    tracks, singers = catalogue(8, 3, 1, 1.0)
    found = calibrate(tracks, singers, "")
    assert found.noise == 0
    assert alike(found.track, naive_line(naive_trials(tracks, singers), 0))


def test_a_track_is_never_compared_with_itself():
    """Two tracks of a singer lie on opposite sides of the centre: only a voice made of the track itself matches it."""
    common, own, aside = np.eye(9)[0], np.eye(9)[1:5], np.eye(9)[5:]
    tracks = [
        unit(np.tile(2 * common + step, (3, 1))) for k in range(4) for step in (own[k], -0.5 * own[k] + 0.5 * aside[k])
    ]
    singers = [name for name in "abcd" for _ in range(2)]
    same, different = (np.mean([trial[0] for trial in kind]) for kind in naive_trials(tracks, singers))
    assert same < different
    same, different = (np.mean([trial[0] for trial in kind]) for kind in naive_trials(tracks, singers, leave_out=False))
    assert same > different + 0.3
    found = calibrate(tracks, singers, "")
    assert found.track.scale < 0
    assert found.segment.scale < 0


def test_lone_tracks_and_empty_tracks():
    tracks, singers = catalogue(6, 2, 4, 0.5)
    lone, empty = unit(np.random.default_rng(1).normal(0, 1, (3, 16))), np.zeros((0, 16), np.float32)
    found = calibrate([*tracks, lone, empty], [*singers, "lone", "s0"], "")
    trials = naive_trials([*tracks, lone], [*singers, "lone"])
    # Four segments make three parts, three make two; the lone singer's track has nothing of its own to compare with.
    assert (found.same_trials, found.different_trials) == tuple(map(len, trials)) == (12 * 3, 12 * 3 * 6 + 2 * 6)
    assert alike(found.track, naive_line(trials, found.noise))


@pytest.mark.parametrize(
    "singers",
    [
        [],
        ["a"],
        ["a", "a", "b"],
        ["a", "a", "b", "c", "d"],
    ],
)
def test_too_few_singers_with_two_tracks(singers):
    tracks = [unit(np.random.default_rng(k).normal(0, 1, (2, 8))) for k in range(len(singers))]
    with pytest.raises(TrainingError, match="at least two singers with two tracks"):
        calibrate(tracks, singers, "")


@pytest.mark.parametrize("seed", [0, 1])
def test_the_threshold_lets_pass_what_it_says(seed):
    tracks, singers = uneven(20, 0.9, seed)
    found = calibrate(tracks, singers, "")
    _, different = naive_pairs(tracks, singers)
    assert found.false_accept_rate == FALSE_ACCEPT_RATE == 0.01 and found.threshold > 0
    assert found.strangers == len(different)
    passed = np.mean(naive_ratios(found.pair, different, found.noise) >= found.threshold)
    assert abs(passed - 0.01) <= 1.5 / len(different)  # one trial, and rounding


def test_the_threshold_keeps_its_promise_on_few_trials():
    again, names = catalogue(8, 2, 3, 0.9)
    found = calibrate(again, names, "")
    _, different = naive_pairs(again, names)
    assert np.mean(naive_ratios(found.pair, different, found.noise) > found.threshold + 1e-4) <= 0.01


def two_sexes(seed: int) -> tuple[list[np.ndarray], list[str], list[str]]:
    """Forty singers with three tracks of four segments, half of them of each sex, who share a direction."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(2, 24))
    tracks, singers, sexes = [], [], []
    for number in range(40):
        voice = 1.2 * shared[number % 2] + rng.normal(size=24)
        for _ in range(3):
            tracks.append(unit(voice + 0.8 * rng.normal(size=(4, 24))).astype(np.float32))
            singers.append(f"singer {number:02d}")
            sexes.append("fm"[number % 2])
    return tracks, singers, sexes


def test_the_threshold_keeps_its_promise_among_singers_alike():
    tracks, singers, sexes = two_sexes(0)
    found = {name: calibrate(tracks, singers, "made", kinds) for name, kinds in (("any", None), ("sex", sexes))}
    means, sizes = np.stack([track.mean(axis=0) for track in tracks]), np.full(len(tracks), 4)
    strangers = np.array(singers)[:, None] != np.array(singers)
    near = strangers & (np.array(sexes)[:, None] == np.array(sexes))
    passed = {
        name: [np.mean(one.ratios(means, sizes, means, sizes).llr[some] >= one.threshold) for some in (strangers, near)]
        for name, one in found.items()
    }
    assert passed["any"][1] > 1.5 * passed["any"][0] > 0  # of one sex more pass
    assert passed["sex"][1] < passed["any"][1]
    assert found["sex"].track == found["any"].track and found["sex"].pair == found["any"].pair


def test_ratios_are_scores_of_centred_means_through_the_pairs_line():
    rng = np.random.default_rng(3)
    left, right = rng.normal(size=(3, 2)).astype(np.float32), rng.normal(size=(2, 2)).astype(np.float32)
    made = made_of()
    found = made.ratios(left, np.array([1, 4, 2]), right, np.array([3, 8]))
    for row, (one, n) in enumerate(zip(left, (1, 4, 2), strict=True)):
        for column, (other, m) in enumerate(zip(right, (3, 8), strict=True)):
            score = float(made.centred(one) @ made.centred(other))
            reach = math.sqrt(n / (n + made.noise) * m / (m + made.noise))
            assert found.scores[row, column] == pytest.approx(score, abs=1e-6)
            assert found.reach[row, column] == pytest.approx(reach)
            line = made.pair
            assert found.llr[row, column] == pytest.approx(reach * (line.scale * score + line.offset * reach), abs=1e-4)
    assert {part.dtype for part in (found.scores, found.reach, found.llr)} == {np.dtype(np.float64)}


def test_places_share_a_direction_and_calibrate_apart():
    tracks, singers, _ = two_sexes(1)
    moved, places = in_places(tracks, singers, longest=0.8, size=10)
    assert sorted(set(places)) == ["0", "1", "2", "3"]
    assert [len({s for s, p in zip(singers, places, strict=True) if p == place}) for place in set(places)] == [10] * 4
    np.testing.assert_allclose([np.linalg.norm(track, axis=1).max() for track in moved], 1, atol=1e-6)
    shift = {
        place: np.mean([m.mean(0) - t.mean(0) for m, t, p in zip(moved, tracks, places, strict=True) if p == place], 0)
        for place in set(places)
    }
    assert max(np.linalg.norm(one) for one in shift.values()) > 0.1
    apart, together = calibrate(moved, singers, "made", places=places), calibrate(moved, singers, "made")
    assert apart.different_trials < together.different_trials and apart.same_trials == together.same_trials
    means, sizes = np.stack([track.mean(axis=0) for track in moved]), np.full(len(moved), 4)
    near = (np.array(places)[:, None] == np.array(places)) & (np.array(singers)[:, None] != np.array(singers))
    passed = {
        c.threshold: np.mean(c.ratios(means, sizes, means, sizes).llr[near] >= c.threshold) for c in (apart, together)
    }
    assert passed[apart.threshold] <= passed[together.threshold]


def test_singers_alike_make_scores_count_for_less():
    rng = np.random.default_rng(0)
    made = replace(made_of(), spread=0.2, centre=(0.0,) * 16)
    apart = unit(np.eye(16)[:12]).astype(np.float32)
    alike = unit(np.repeat(rng.normal(size=(3, 16)), 4, axis=0) + 0.3 * rng.normal(size=(12, 16))).astype(np.float32)
    for voices, less in ((apart, False), (alike, True)):
        found = made.adapted(voices)
        centred = found.centred(voices)
        scores = [float(centred[a] @ centred[b]) for a in range(12) for b in range(12) if a < b]
        likely = (45 * 0.2**2 + sum(s * s for s in scores)) / (45 + len(scores))
        share = min(1.0, 0.2 / likely**0.5) ** 0.75
        assert (share < 0.9) == less
        assert found.track.scale == pytest.approx(share * made.track.scale, rel=1e-5)
        assert found.segment.scale == pytest.approx(share * made.segment.scale, rel=1e-5)
        assert found.pair == made.pair and found.track.offset == made.track.offset
    assert made.adapted(alike[:1]).track == made.track  # one voice tells nothing
    assert replace(made, spread=0.0).adapted(alike).track == made.track


def test_the_mean_voice_moves_to_the_gallery_and_a_large_one_is_sampled(monkeypatch):
    rng = np.random.default_rng(0)
    made = replace(made_of(), track=Logistic(4, 1), segment=Logistic(3, 2), spread=0.1, centre=(0.5, 0.0, -0.5))
    voices = unit(rng.normal(size=(12, 3)))
    for most, sample in ((1000, voices), (12, voices), (5, voices[[0, 3, 6, 9]])):
        monkeypatch.setattr("whosings.calibration._MOST_VOICES", most)
        found = made.adapted(voices)
        np.testing.assert_allclose(found.centre, (voices.sum(axis=0) + 10 * np.array(made.centre)) / 22, atol=1e-6)
        rest = sample - np.array(found.centre)
        rest /= np.linalg.norm(rest, axis=1, keepdims=True)
        squares = [float(a @ b) ** 2 for number, a in enumerate(rest) for b in rest[:number]]
        share = (0.1 / math.sqrt((45 * 0.1**2 + sum(squares)) / (45 + len(squares)))) ** 0.75
        assert found.track.scale == pytest.approx(4 * share, rel=1e-4) and share < 0.7
        assert found.segment.scale == pytest.approx(3 * share, rel=1e-4)
        assert found.centred(voices.astype(np.float64)).dtype == np.float32


def test_short_recordings_count_for_what_they_are_worth():
    tracks, singers = uneven(12, 0.5)
    worth = [0.25 * len(track) for track in tracks]
    whole, less = calibrate(tracks, singers, "made"), calibrate(tracks, singers, "made", amounts=worth)
    assert whole == calibrate(tracks, singers, "made", amounts=[float(len(track)) for track in tracks])
    # A quarter of the segments, with a quarter of the noise, has the same reach.
    assert less.reach(1.0) == pytest.approx(whole.reach(4.0), abs=0.12)


def made_of(noise: float = 2.0, scale: float = 30.0) -> Calibration:
    return Calibration((0.0,), Logistic(1, 0), Logistic(1, 0), Logistic(scale, -15), 1.5, 0.01, 1, 1, "", noise)


def test_reach_grows_with_what_was_heard():
    found = made_of(noise=2)
    assert found.reach(2) == pytest.approx(math.sqrt(1 / 2))
    assert found.reach(2, 6) == pytest.approx(math.sqrt(1 / 2 * 3 / 4))
    np.testing.assert_allclose(found.reach(np.array([2, 6]), 2), [1 / 2, math.sqrt(3 / 8)])
    assert found.reach(10**6, 10**6) == pytest.approx(1, abs=1e-5)
    assert made_of(noise=0).reach(1, 1) == 1


def test_the_least_score_has_the_thresholds_likelihood_ratio():
    found = made_of()
    for reach in (0.3, 0.7, 1.0):
        assert float(found.pair(found.least_score(reach), reach)) == pytest.approx(1.5)
    assert found.least_score(1.0) == pytest.approx(16.5 / 30)
    assert found.least_score(0.5) == pytest.approx((3 + 7.5) / 30)
    assert made_of(scale=0.5).least_score(1.0) == pytest.approx(16.5 / 0.5)  # scores of any unit


@pytest.mark.parametrize("scale", [0.0, -3.0])
def test_there_is_no_least_score_where_scores_say_nothing(scale):
    assert made_of(scale=scale).least_score(0.5) is None


def test_best_posteriors_say_what_all_posteriors_say():
    llr = np.random.default_rng(0).normal(-3, 4, (50, 17))
    whole = singer_posteriors(llr)
    best = best_posteriors(llr)
    np.testing.assert_array_equal(best.singer, whole.argmax(axis=1))
    np.testing.assert_allclose(best.probability, whole.max(axis=1), rtol=1e-9)
    np.testing.assert_allclose(best.nobody, 1 - whole.sum(axis=1), rtol=1e-6, atol=1e-12)
    extreme = best_posteriors(np.array([[900.0, -900.0], [-900.0, -950.0]], np.float32))
    np.testing.assert_allclose(extreme.probability, [1, 0], atol=1e-6)
    np.testing.assert_allclose(extreme.nobody, [0, 1], atol=1e-6)


def individual_segments(tracks: list, singers: list[str], found: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Scores of single segments, as identification makes them, against voices without their track."""
    names = sorted(set(singers))
    means = np.stack([track.mean(axis=0) for track in tracks])
    same, different = [], []
    for number, track in enumerate(tracks):
        rows = found.centred(neighbours_mean(track))
        for name in names:
            kept = [k for k in range(len(tracks)) if singers[k] == name and k != number]
            scores = rows @ found.centred(means[kept].mean(axis=0))
            (same if name == singers[number] else different).append(scores)
    return np.concatenate(same).astype(np.float64), np.concatenate(different).astype(np.float64)


def test_the_segment_line_is_calibrated_for_single_segments():
    rng = np.random.default_rng(0)
    voices = rng.normal(0, 1, (40, 16))
    tracks = [unit(voice + rng.normal(0, 3.0, (30, 16))) for voice in voices for _ in range(2)]
    singers = [f"s{number}" for number in range(40) for _ in range(2)]
    found = calibrate(tracks, singers, "")
    scores = individual_segments(tracks, singers, found)
    best = fit_logistic(*scores)
    # Own voices are of 30 segments, all others of 60.
    for kind, enrolled in zip(scores, (30, 60), strict=True):
        mean = np.array(kind.mean())
        assert float(found.segment(mean, found.reach(enrolled))) == pytest.approx(float(best(mean)), rel=0.15)


def test_what_all_voices_share_is_taken_away():
    tracks, singers = catalogue(20, 3, 4, 0.5)
    found = calibrate(tracks, singers, "")
    centre = np.mean([track.mean(axis=0) for track in tracks], axis=0)
    np.testing.assert_allclose(found.centre, centre, atol=1e-5)
    assert np.linalg.norm(centre) > 0.5  # there is something to take away
    rows = found.centred(np.stack([track.mean(axis=0) for track in tracks]))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.linalg.norm(rows.mean(axis=0)) < 0.2
    np.testing.assert_allclose(found.centred(tracks[0][0]), found.centred(tracks[0])[0], atol=1e-6)
    assert not found.centred(np.asarray(found.centre, np.float32)).any()


def test_singers_count_alike_in_the_centre_however_many_tracks_they_have():
    tracks, singers = catalogue(4, 2, 3, 0.1)
    more = [*tracks, *[tracks[0]] * 10]
    names = [*singers, *[singers[0]] * 10]
    voices = [np.mean([t.mean(axis=0) for t, s in zip(more, names, strict=True) if s == n], axis=0) for n in set(names)]
    np.testing.assert_allclose(calibrate(more, names, "").centre, np.mean(voices, axis=0), atol=1e-5)


def test_through_a_checkpoints_card(tmp_path):
    tracks, singers = catalogue(6, 2, 4, 0.5, dimensions=6)
    found = calibrate(tracks, singers, "generated, two songs a singer")
    bare = save_checkpoint(tmp_path, TINY, build(TINY), {"name": "x"})
    with pytest.raises(CheckpointError, match=r"carries no calibration.*whosings calibrate"):
        calibration_of(bare)
    rewrite_card(tmp_path, {**bare.card, "calibration": found.to_card()})
    assert calibration_of(load_checkpoint(tmp_path)) == found


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"calibration": None},
        {"calibration": {}},
        {"calibration": {"centre": [0.0]}},
        {"calibration": {"track": 3}},
        {"calibration": 3},
        {"calibration": "text"},
    ],
)
def test_a_card_without_calibration(card):
    with pytest.raises(CheckpointError) as caught:
        calibration_of(SimpleNamespace(card=card, fingerprint="f" * 64, dimensions=2))
    problem = "carries no calibration, so its scores have no meaning as probabilities"
    assert str(caught.value) == f"encoder ffffffffffff: {problem}; run: whosings calibrate."


def test_a_card_with_a_field_too_many_or_too_few():
    whole = Calibration((0.0, 1.0), Logistic(2, 1), Logistic(3, 1), Logistic(4, 1), 0.5, 0.01, 3, 4, "m", 2.0)
    for change in ({"extra": 1}, {"threshold": None}, {"noise": None}):
        card = {**whole.to_card(), **change}
        card = {key: value for key, value in card.items() if value is not None}
        with pytest.raises(CheckpointError, match="carries no calibration"):
            calibration_of(SimpleNamespace(card={"calibration": card}, fingerprint="f" * 64, dimensions=2))
    assert (
        calibration_of(SimpleNamespace(card={"calibration": whole.to_card()}, fingerprint="f", dimensions=2)) == whole
    )


GOOD = Calibration((0.0, 1.0), Logistic(2, 1), Logistic(3, 1), Logistic(4, 1), 0.5, 0.01, 3, 4, "m", 2.0, 0.1)


AGAIN = "copy or download it again, or run: whosings calibrate."


def read(card):
    return calibration_of(SimpleNamespace(card={"calibration": card}, fingerprint="f" * 64, dimensions=2))


def test_one_changed_digit_of_a_card_is_told():
    """Of every number: its last digit, as text, is another one."""
    text = json.dumps(GOOD.to_card())
    assert read(json.loads(text)) == GOOD
    seen = 0
    for match in re.finditer(r"\d+(?=[,}\]])", text):
        place = match.end() - 1
        changed = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
        with pytest.raises(CheckpointError) as caught:
            read(json.loads(changed))
        assert (
            str(caught.value) == f"encoder ffffffffffff: carries a calibration that does not match its digest; {AGAIN}"
        )
        seen += 1
    assert seen > 15


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"centre": (0.0,)}, "a mean voice of 1 numbers, not 2"),
        ({"centre": ()}, "no mean voice and a mean voice of 0 numbers, not 2"),
        ({"centre": (0.0, math.nan)}, "numbers that are none"),
        ({"centre": (0.0, "1")}, "numbers that are none"),
        ({"track": Logistic(math.inf, 0)}, "numbers that are none"),
        ({"pair": Logistic(2, None)}, "numbers that are none"),
        ({"threshold": "2"}, "numbers that are none"),
        ({"noise": -0.1}, "a negative noise or spread"),
        ({"spread": -1.0}, "a negative noise or spread"),
        ({"false_accept_rate": 0.0}, "a false-accept rate that is none"),
        ({"false_accept_rate": 1}, "a false-accept rate that is none"),
        ({"same_trials": -1}, "counts that are none"),
        ({"different_trials": 2.5}, "counts that are none"),
        ({"strangers": -1}, "counts that are none"),
        ({"strangers": 3, "passed": 4}, "counts that are none"),
        ({"material": 3}, "words that are none"),
        ({"checked": None}, "words that are none"),
    ],
)
@pytest.mark.parametrize("with_digest", [False, True])
def test_what_no_calibration_holds_is_refused_with_and_without_a_digest(change, says, with_digest):
    card = replace(GOOD, **change).to_card()
    if not with_digest:
        del card["digest"]
    with pytest.raises(CheckpointError) as caught:
        read(card)
    assert str(caught.value) == f"encoder ffffffffffff: carries a calibration with {says}; {AGAIN}"


def test_the_least_that_a_calibration_holds():
    least = replace(GOOD, centre=(0.0,), noise=0.0, spread=0.0, same_trials=0, different_trials=0, material="")
    assert least.faults() == []
    assert replace(least, strangers=4, passed=4).faults() == []


def test_cards_of_before_there_were_digests_are_read():
    card = {k: v for k, v in GOOD.to_card().items() if k not in ("digest", "strangers", "passed", "checked", "spread")}
    assert read(card) == replace(GOOD, spread=0.0)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_calibrations_have_digests(name):
    checkpoint = load_checkpoint(name)
    assert "digest" in checkpoint.card["calibration"]
    assert calibration_of(checkpoint).faults() == []


def test_few_trials_promise_no_more_than_they_show():
    tracks, singers = catalogue(3, 2, 1, 0.2)
    found = calibrate(tracks, singers, "")
    assert found.strangers == 12 and found.passed == 0
    assert found.false_accept_rate == 3 / 12 and found.threshold >= 0
    assert found.faults() == []
