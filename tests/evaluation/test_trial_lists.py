"""Lists of trials against scores counted by hand."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from tests.evaluation.test_verification import embedder
from tests.evaluation_fixtures import scene
from whosings.calibration import calibration_of
from whosings.catalogue.trials import Trial, every_pair
from whosings.errors import EvaluationError
from whosings.evaluation.protocol import enrol
from whosings.evaluation.trial_lists import score_trials, scored_from
from whosings.evaluation.verification import trials as product_trials
from whosings.metrics import equal_error_rate


def test_a_list_of_the_products_trials_has_the_products_figures():
    """Each test track against each validation track is what ``evaluate product`` compares."""
    made = scene(singers=10, spread=0.6)
    used = embedder(made)
    listed = [
        Trial(v.track_id, t.track_id, v.singer_id == t.singer_id, None)
        for t in made.split.test.tracks
        for v in made.split.validation.tracks
    ]
    wanted = product_trials(enrol(made.split, made.corpus), made.corpus, used)
    found = score_trials(listed, made.corpus, calibration_of(used.checkpoint))
    assert (found.same, found.different, found.same_sex, found.unheard, found.singers) == (10, 90, 0, 0, 10)
    assert found.eer.mean == pytest.approx(wanted.eer, abs=1e-9) and found.eer_same_sex is None
    assert found.min_dcf == pytest.approx(wanted.min_dcf, abs=1e-9)
    (at,) = [one for one in found.thresholds if one.stated == wanted.stated_false_accept_rate]
    assert at.threshold == wanted.threshold and at.false_accepts_same_sex is None
    assert at.false_accepts.mean == pytest.approx(wanted.false_accept_rate)
    assert at.misses.mean == pytest.approx(wanted.miss_rate)
    assert [one.stated for one in found.thresholds] == sorted(one.stated for one in found.thresholds)
    assert scored_from(json.loads(json.dumps(asdict(found)))) == found


def test_cosines_without_calibration_and_one_sex():
    made = scene(singers=6, spread=0.6)
    tracks = made.split.test.tracks + made.split.validation.tracks
    listed = every_pair(tracks, lambda singer: "fm"[int(singer[1:]) % 2])
    found = score_trials(listed, made.corpus, None)
    means = {t.track_id: made.corpus.of(t.track_id).mean(axis=0) for t in tracks}

    def cosine(trial):
        one, other = means[trial.enrolment], means[trial.probe]
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    same = [cosine(t) for t in listed if t.same_singer]
    different = [cosine(t) for t in listed if not t.same_singer]
    alike = [cosine(t) for t in listed if t.same_sex]
    assert found.thresholds == () and (found.same, found.different, found.same_sex) == (6, 60, 24) == (
        len(same), len(different), len(alike),
    )  # fmt: skip
    assert found.eer.mean == pytest.approx(equal_error_rate(np.array(same), np.array(different)))
    assert found.eer_same_sex.mean == pytest.approx(equal_error_rate(np.array(same), np.array(alike)))


def test_vectors_without_unit_length_are_standardised():
    made = scene(singers=6, spread=0.6)
    scaled = replace(made.corpus, vectors=made.corpus.vectors * np.array([1000.0] + [1.0] * 15, np.float32))
    listed = every_pair(made.split.test.tracks + made.split.validation.tracks, lambda singer: None)
    assert score_trials(listed, scaled, None).eer.mean < 0.2  # by plain cosines one dimension would decide


def test_trials_that_cannot_be_heard_are_counted():
    made = scene(singers=4, clones=0)
    one, other = (made.split.test.tracks[n].track_id for n in (0, 1))
    found = score_trials([Trial(one, other, False), Trial(one, "silent", True)], made.corpus, None)
    assert (found.same, found.different, found.unheard) == (0, 1, 1)
    assert found.eer is found.min_dcf is found.eer_same_sex is None
    used = calibration_of(embedder(made).checkpoint)
    found = score_trials([Trial(one, other, False)], made.corpus, used)
    assert all(at.misses is None and not math.isnan(at.false_accepts.mean) for at in found.thresholds)
    with pytest.raises(EvaluationError, match="have no two recordings with singing"):
        score_trials([Trial(one, "silent", True)], made.corpus, None)
