"""Clusters of voices against scipy's average linkage, and against what a person decided."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from whosings.calibration import Calibration, Logistic
from whosings.library import clustering
from whosings.library.clustering import asked_nats, clusters

CALIBRATION = Calibration((0.01,) * 32, *[Logistic(11.0, -4.5)] * 3, 2.0, 0.01, 9, 9, "made", 0.2)


def voices(singers, songs, seed=0, noise=0.6):
    """Means, amounts and singers of voices around centres that are known."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(singers), songs)
    centres = rng.standard_normal((singers, 32))
    means = centres[truth] + noise * rng.standard_normal((len(truth), 32))
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    order = rng.permutation(len(truth))
    return means[order].astype(np.float32), rng.uniform(0.3, 40, len(truth)), truth[order]


def as_scipy(means, amounts, asked):
    """Average linkage of all pairs' ratios less what is asked for, cut where the mean is 0."""
    pairs = CALIBRATION.ratios(means, amounts, means, amounts)
    gain = pairs.llr - asked * pairs.reach
    return fcluster(linkage(squareform(100 - gain, checks=False), "average"), 100, "distance")


def same_partition(one, other):
    return np.array_equal(one[:, None] == one, other[:, None] == other)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("block", [7, 1 << 24])
def test_it_is_average_linkage_whatever_the_blocks(seed, block, monkeypatch):
    monkeypatch.setattr(clustering, "_BLOCK", block)
    means, amounts, _ = voices(20, 6, seed, noise=1.2)  # so noisy that singers mix
    for asked in (0.5, 1.5, 3.0):
        found = clusters(means, amounts, CALIBRATION, asked=asked)
        assert same_partition(found, as_scipy(means, amounts, asked))
        assert 1 < found.max() + 1 < len(means)
        assert found[0] == 0 and found.max() + 1 == len(np.unique(found))


def test_clear_voices_are_clustered_by_singer():
    means, amounts, truth = voices(40, 5, noise=0.4)
    assert same_partition(clusters(means, amounts, CALIBRATION), truth)


def test_equal_voices_are_one_cluster_and_nothing_is_none():
    means = np.repeat(voices(3, 1)[0], 5, axis=0)
    found = clusters(means, np.full(15, 9.0), CALIBRATION)
    assert found.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert clusters(means[:1], np.ones(1), CALIBRATION).tolist() == [0]
    assert clusters(means[:0], np.ones(0), CALIBRATION).size == 0


def test_a_voice_of_many_songs_takes_nobody_in():
    """One singer with most of the recordings, and forty with one each."""
    many, amounts, _ = voices(1, 300, 1, noise=0.4)
    few, more, _ = voices(40, 1, 2)
    found = clusters(np.concatenate([many, few]), np.concatenate([amounts, more]), CALIBRATION)
    assert len(set(found[:300])) == 1 and len(set(found[300:])) == 40


def test_kept_groups_stay_together_and_apart():
    means, amounts, truth = voices(10, 4, noise=0.4)
    kept = np.full(40, -1)
    of_two = np.flatnonzero((truth == 0) | (truth == 1))
    kept[of_two[:4]] = 7  # whatever they are: a person said so
    half = np.flatnonzero(truth == 2)
    kept[half[:2]], kept[half[2:]] = 8, 9  # of one voice, and two groups for a person
    found = clusters(means, amounts, CALIBRATION, kept)
    assert len(set(found[of_two[:4]])) == 1
    assert len(set(found[half[:2]])) == len(set(found[half[2:]])) == 1 and len(set(found[half])) == 2
    for singer in range(3, 10):
        assert len(set(found[truth == singer])) == 1


def test_a_stranger_never_joins_the_group_it_was_taken_out_of():
    means, amounts, truth = voices(6, 5, noise=0.4)
    own = np.flatnonzero(truth == 3)
    kept = np.full(30, -1)
    kept[own[1:3]] = 2
    found = clusters(means, amounts, CALIBRATION, kept, {2: own[:1]})
    assert found[own[0]] not in found[own[1:3]]
    free = clusters(means, amounts, CALIBRATION, kept)
    assert len(set(free[own])) == 1
    alone = clusters(means, amounts, CALIBRATION, kept, {2: own[[0, 3, 4]]})
    assert alone[own[0]] == alone[own[3]] == alone[own[4]] != alone[own[1]]  # they are still one voice


def test_more_is_asked_among_more_strangers():
    assert asked_nats(1) == asked_nats(100) == clustering.ASKED_NATS < asked_nats(1000) < asked_nats(100_000)
