"""Trials and open sets against scores counted by hand, with a calibration of known meaning."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.evaluation_fixtures import scene
from whosings.calibration import calibration_of, same_singer_probability
from whosings.calibration_fitting import calibrate
from whosings.embedding import Embeddings
from whosings.evaluation.corpus import Corpus
from whosings.evaluation.protocol import enrol
from whosings.evaluation.verification import open_set, trials
from whosings.identification import Verifier
from whosings.sampling import sort_key
from whosings.vocals.activity import Activity


def embedder(made, seed=99):
    """What the evaluation needs of an embedder: its calibration, on other singers, and its segment's length."""
    other = scene(singers=30, clones=0, spread=0.6, seed=seed).corpus
    tracks = [other.vectors[a:b] for a, b in zip(other.first, other.first[1:], strict=False)]
    card = {"calibration": calibrate(tracks, [track.singer_id for track in other.tracks], "made").to_card()}
    checkpoint = SimpleNamespace(card=card, fingerprint="made", name="made", dimensions=other.vectors.shape[1])
    front_end = SimpleNamespace(segment_s=6.0)
    return SimpleNamespace(checkpoint=checkpoint, fingerprint="made", name="made", front_end=front_end)


def test_trials_are_all_pairs_of_test_and_validation_tracks():
    made = scene(singers=8, spread=0.6)
    used = embedder(made)
    found = trials(enrol(made.split, made.corpus), made.corpus, used)
    assert len(found.same) == 8 and len(found.different) == 56
    calibration = calibration_of(used.checkpoint)
    centre = np.array(calibration.centre)

    def voice(track):
        vector = made.corpus.of(track.track_id).mean(axis=0) - centre
        return vector / np.linalg.norm(vector)

    def ratio(one, other):
        reach = calibration.reach(*(len(made.corpus.of(side.track_id)) for side in (one, other)))
        return float(calibration.pair(voice(one) @ voice(other), reach))

    tests, held = made.split.test.tracks, made.split.validation.tracks
    same = sorted(ratio(t, v) for t, v in zip(tests, held, strict=True))
    np.testing.assert_allclose(found.same, same, atol=1e-4)
    assert found.threshold == calibration.threshold
    assert found.miss_rate == np.mean(np.array(found.same) < found.threshold)
    assert found.false_accept_rate == np.mean(np.array(found.different) >= found.threshold)
    assert found.stated_false_accept_rate == 0.01 and found.eer < 0.1


def test_trials_say_what_verify_says():
    made = scene(singers=6, spread=0.6)
    used = embedder(made)

    def embeddings(track):
        vectors = made.corpus.of(track.track_id)
        starts = 3.0 * np.arange(len(vectors))
        activity = Activity(starts, np.ones(len(vectors)), "level")
        last = float(starts[-1]) + 6.0
        return Embeddings(track.track_id, vectors, starts, np.ones(len(vectors)), 6.0, last, "made", False, activity)

    verifier = Verifier(used)
    pairs = zip(made.split.test.tracks, made.split.validation.tracks, strict=True)
    said = sorted(verifier.compare(embeddings(t), embeddings(v)).probability for t, v in pairs)
    found = trials(enrol(made.split, made.corpus), made.corpus, used)
    np.testing.assert_allclose([same_singer_probability(llr) for llr in found.same], said, atol=1e-6)


def test_an_open_set_of_clear_voices():
    made = scene(singers=12, spread=0.2)
    found = open_set(enrol(made.split, made.corpus), made.corpus, embedder(made), made.clones)
    assert (found.enrolled, found.strangers) == (6, 6)
    assert found.right == 1 and found.another == found.unknown == 0 and found.strangers_named == 0
    assert 0 < found.clones <= 4 and found.clones_source == 0
    assert sum(b.count for b in found.bins) == 12 and found.calibration_error < 0.2


def test_probes_are_heard_by_their_windows_where_they_were_kept():
    """Each test track holds a second voice, the next singer's, for a third of its windows: one and a half minutes."""
    made, rng = scene(singers=12, spread=0.2), np.random.default_rng(3)
    tests = made.split.test.tracks
    rows = []
    for number in range(len(tests)):
        own, guest = (made.corpus.of(tests[place % 12].track_id).mean(axis=0) for place in (number, number + 1))
        cloud = np.repeat([own, guest], (120, 60), axis=0) + 0.02 * rng.standard_normal((180, 16))
        rows.append(cloud / np.linalg.norm(cloud, axis=1, keepdims=True))
    windows = Corpus(
        tests,
        np.concatenate(rows).astype(np.float16),
        np.arange(len(tests) + 1) * 180,
        np.tile(0.5 * np.arange(180), len(tests)),
        "made",
    )
    pool, used = enrol(made.split, made.corpus), embedder(made)
    without = open_set(pool, made.corpus, used)
    found = open_set(pool, replace(made.corpus, windows=windows), used)
    assert without.beside == 0 and without.right == found.right == 1
    order = sorted(pool.singers, key=lambda name: sort_key(0, name))
    enrolled = set(order[:6])
    both = [{f"s{number:02d}", f"s{(number + 1) % 12:02d}"} <= enrolled for number in range(12)]
    assert found.beside == sum(both) / 6 > 0


def test_voices_that_are_all_alike_are_unknown():
    made = scene(singers=12, spread=100.0)
    found = open_set(enrol(made.split, made.corpus), made.corpus, embedder(made))
    assert found.clones == 0 and found.clones_right is None and found.clones_source is None
    assert found.right + found.another + found.unknown == pytest.approx(1)
    assert found.unknown > 0.5 > found.strangers_named


def test_the_seed_draws_who_is_enrolled():
    made = scene(singers=12, spread=0.9)
    pool = enrol(made.split, made.corpus)
    one, again, other = (open_set(pool, made.corpus, embedder(made), seed=seed) for seed in (0, 0, 5))
    assert one == again != other


def test_a_lower_prior_of_strangers_names_more():
    made = scene(singers=12, spread=1.2)
    pool, used = enrol(made.split, made.corpus), embedder(made)
    even, low = (open_set(pool, made.corpus, used, unknown_prior=prior) for prior in (0.5, 0.001))
    assert (even.unknown_prior, low.unknown_prior) == (0.5, 0.001)
    assert low.unknown < even.unknown and low.strangers_named >= even.strangers_named
