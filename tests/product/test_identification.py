"""Answers on embeddings whose truth is known by construction."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

import whosings
from tests.product.test_gallery import made
from whosings import ranking
from whosings.answer import NOTICE, Verdict
from whosings.calibration import Calibration, Logistic, best_posteriors, calibration_of
from whosings.calibration_fitting import calibrate
from whosings.config import MODELS
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.encoder.checkpoint import Checkpoint, build, load_checkpoint
from whosings.errors import CheckpointError, ConfigError, GalleryError
from whosings.evaluation.verification import open_set
from whosings.gallery import Gallery
from whosings.identification import Identifier, Verifier
from whosings.vocals.activity import Activity

DIMENSIONS = 64
PRINT = "c" * 64
VOICES = np.random.default_rng(0).standard_normal((40, DIMENSIONS))
OFFSET = 0.8 * np.random.default_rng(1).standard_normal(DIMENSIONS)  # what all voices share


def track(singers, seed, noise=0.9, name=None, voices=VOICES):
    """A track whose segments are sung by the given singers, in order."""
    rng = np.random.default_rng([7, seed])
    rows = voices[list(singers)] + OFFSET + noise * rng.standard_normal((len(singers), DIMENSIONS))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    starts = np.arange(len(singers)) * 3.0
    activity = Activity(starts, np.ones(len(singers)), "level")
    return Embeddings(
        name or f"{seed}.mp3", vectors, starts, np.ones(len(singers)), 6.0, starts[-1] + 6, PRINT, False, activity
    )


KNOWN = Calibration(
    (0.0,) * DIMENSIONS, Logistic(30, -15), Logistic(20, -8), Logistic(35, -18), 1.0, 0.01, 1, 1, "made", 2.0
)


def calibrated(calibration):
    """An embedder that only carries this calibration."""
    config = MODELS["tiny"]
    return TrackEmbedder(Checkpoint(build(config), config, PRINT, {"calibration": calibration.to_card()}))


@pytest.fixture(scope="module")
def embedder():
    """An embedder that only carries a calibration, fitted on singers 20-39."""
    tracks = [track([singer] * 10, 1000 + singer * 5 + n).vectors for singer in range(20, 40) for n in range(4)]
    calibration = calibrate(tracks, [str(singer) for singer in range(20, 40) for _ in range(4)], "made")
    return calibrated(calibration)


@pytest.fixture
def gallery(tmp_path):
    with Gallery(tmp_path / "g", PRINT) as opened:
        for singer in range(10):
            for number in range(3):
                opened.add(f"singer {singer}", track([singer] * 10, singer * 10 + number), f"{singer}{number}")
        yield opened


@pytest.fixture
def identifier(gallery, embedder):
    return Identifier(gallery, embedder)


def test_enrolled_singers_are_named_with_confidence(identifier):
    for singer in range(10):
        answer = identifier.answer(track([singer] * 8, 500 + singer))
        assert answer.verdict is Verdict.SINGER
        assert answer.top[0].singer == f"singer {singer}"
        assert answer.top[0].probability > 0.9
        assert answer.top[0].share > 0.7
        assert len(answer.top) == 5


def test_strangers_are_unknown(identifier):
    verdicts = [identifier.answer(track([singer] * 8, 600 + singer)).verdict for singer in range(10, 20)]
    assert verdicts.count(Verdict.UNKNOWN) >= 9


def test_leaving_a_singer_out_equals_not_enrolling(identifier, gallery):
    probe = track([3] * 8, 503)
    without = identifier.answer(probe, leave_out="singer 3")
    assert without.verdict is Verdict.UNKNOWN
    gallery.remove("singer 3")
    again = identifier.answer(probe)
    assert again == without


def test_probabilities_are_a_distribution(identifier):
    for seed in range(20):
        answer = identifier.answer(track([seed] * 6, 700 + seed), top=10)
        assert sum(c.probability for c in answer.top) + answer.unknown_probability == pytest.approx(1)
        assert [c.score for c in answer.top] == sorted((c.score for c in answer.top), reverse=True)
        assert all(-1.001 <= c.score <= 1.001 for c in answer.top)


def test_probabilities_are_calibrated_where_the_model_holds(embedder, tmp_path):
    """Noisy probes of enrolled and unknown singers, half and half: of answers near p, about p are right."""
    stated, right = [], []
    with Gallery(tmp_path / "g", PRINT) as gallery:
        for singer in range(10):
            gallery.add(f"singer {singer}", track([singer] * 20, singer), str(singer))
        identifier = Identifier(gallery, embedder)
        for number in range(600):
            singer = number % 20
            answer = identifier.answer(track([singer] * 10, 5000 + number))
            best = answer.top[0]
            stated.append(best.probability)
            right.append(best.singer == f"singer {singer}")
    assert np.mean(stated) == pytest.approx(np.mean(right), abs=0.06)


def test_scores_against_a_naive_loop(identifier, gallery, embedder):
    from whosings.calibration import calibration_of

    probe = track([2] * 8, 502)
    calibration = calibration_of(embedder.checkpoint)
    voices = gallery.voices.vectors
    # The calibration's centre counts as ten singers, the gallery's ten as one each.
    centre = (np.array(calibration.centre) * 10 + voices.sum(axis=0)) / (10 + len(voices))

    def unit(v):
        return (v - centre) / np.linalg.norm(v - centre)

    answer = identifier.answer(probe, top=10)
    mean = unit(probe.vectors.mean(axis=0))
    for candidate in answer.top:
        if candidate.share >= 0.25:
            continue  # also scored on its own part
        number = gallery.voices.names.index(candidate.singer)
        assert candidate.score == pytest.approx(float(unit(gallery.voices.vectors[number]) @ mean), abs=1e-5)


def test_timeline_of_a_duet_shows_two(identifier):
    answer = identifier.answer(track([1] * 10 + [4] * 10, 800))
    names = [segment.singer for segment in answer.timeline]
    assert names[:8].count("singer 1") >= 7
    assert names[12:].count("singer 4") >= 7
    assert {c.singer for c in answer.top[:2]} == {"singer 1", "singer 4"}
    assert all(c.score > 0.7 for c in answer.top[:2]), "each is scored on the part that is theirs"
    assert answer.verdict is Verdict.SINGER


def test_timeline_marks_a_stranger_in_between(identifier):
    answer = identifier.answer(track([1] * 8 + [15] * 8 + [1] * 8, 801))
    names = [segment.singer for segment in answer.timeline]
    assert names[10:14].count(None) >= 3
    assert names[:6].count("singer 1") >= 5


def test_timeline_carries_times_and_probabilities(identifier):
    answer = identifier.answer(track([1] * 5, 802))
    assert [s.start_s for s in answer.timeline] == [0, 3, 6, 9, 12]
    assert all(s.duration_s == 6.0 for s in answer.timeline)
    assert all(0 <= s.probability <= 1 for s in answer.timeline)
    assert answer.vocal_s == 18.0


def test_no_singing_is_not_unknown(identifier):
    answer = identifier.answer(made(1, segments=0, dimensions=DIMENSIONS, fingerprint=PRINT))
    assert answer.verdict is Verdict.NOT_ENOUGH_VOCALS
    assert answer.top == ()
    assert answer.timeline == ()
    assert answer.vocal_s == 0.0


def test_every_answer_says_that_it_proves_nothing(identifier, embedder):
    assert identifier.answer(track([1] * 5, 1)).notice == NOTICE
    assert Verifier(embedder).compare(track([1] * 5, 1), track([1] * 5, 2)).notice == NOTICE
    assert "not a proof" in NOTICE


def test_a_larger_gallery_asks_for_more(embedder, tmp_path):
    probe = track([0] * 4, 900, noise=2.5)
    crowd = np.random.default_rng(2).standard_normal((199, DIMENSIONS))
    probabilities = []
    for size in (2, 200):
        with Gallery(tmp_path / str(size), PRINT) as gallery:
            gallery.add("target", track([0] * 10, 1), "t")
            for number in range(size - 1):
                gallery.add(f"other {number:03d}", track([number] * 10, number, voices=crowd), str(number))
            answer = Identifier(gallery, embedder).answer(probe, top=300)
            probabilities.append(next(c.probability for c in answer.top if c.singer == "target"))
    assert probabilities[1] < probabilities[0]


def test_verification(embedder):
    verifier = Verifier(embedder)
    same = [verifier.compare(track([s] * 8, s), track([s] * 8, 300 + s)) for s in range(20)]
    other = [
        verifier.compare(track([s] * 8, s), track([(s + d) % 20] * 8, 300 + s))
        for s in range(20)
        for d in (1, 2, 3, 4, 5)
    ]
    assert np.mean([r.same for r in same]) > 0.9
    assert np.mean([r.same for r in other]) < 0.08
    assert min(r.probability for r in same) > max(0.01, np.median([r.probability for r in other]))
    nothing = verifier.compare(track([1] * 5, 1), made(1, segments=0, dimensions=DIMENSIONS, fingerprint=PRINT))
    assert (nothing.same, nothing.score, nothing.probability, nothing.threshold) == (None, None, None, None)


def test_refusals(gallery, embedder, tmp_path):
    config = MODELS["tiny"]
    other = TrackEmbedder(Checkpoint(build(config), config, "d" * 64, dict(embedder.checkpoint.card)))
    with pytest.raises(GalleryError, match=r"was made with encoder .*cccccccccccc, not encoder .*dddddddddddd"):
        Identifier(gallery, other)
    bare = TrackEmbedder(Checkpoint(build(config), config, PRINT, {}))
    with pytest.raises(CheckpointError, match="carries no calibration"):
        Identifier(gallery, bare)
    with Gallery(tmp_path / "empty", PRINT) as empty, pytest.raises(GalleryError, match="nobody is enrolled"):
        Identifier(empty, embedder).answer(track([1], 1))


def repeated(track, times):
    """A track whose segments are heard so often: the same mean, and more of it."""
    count = len(track.vectors) * times
    starts = np.arange(count) * 3.0
    return replace(track, vectors=np.tile(track.vectors, (times, 1)), start_s=starts, vocal=np.ones(count))


def test_more_singing_asks_for_a_higher_score(known, tmp_path):
    near, far = track([1] * 2, 7, noise=1.5), track([30] * 2, 8)
    with Gallery(tmp_path / "g", PRINT) as gallery:
        for singer in range(3):
            gallery.add(f"singer {singer}", track([singer] * 9, singer), str(singer))
        answers = [[Identifier(gallery, known).answer(repeated(p, n)) for n in (1, 3, 9)] for p in (near, far)]
    for first, *others in answers:
        for other in others:
            assert [c.score for c in other.top] == pytest.approx([c.score for c in first.top], abs=1e-5)
    for unknown in ([answer.unknown_probability for answer in some] for some in answers):
        assert unknown[0] < unknown[1] < unknown[2]
    assert [answers[0][0].verdict, answers[1][0].verdict] == [Verdict.SINGER, Verdict.UNKNOWN]
    verified = [Verifier(known).compare(repeated(near, n), track([1] * 2, 9)) for n in (1, 3, 9)]
    assert verified[0].score == pytest.approx(verified[2].score)
    assert verified[0].threshold < verified[1].threshold < verified[2].threshold


@pytest.mark.parametrize("prior", [0.01, 0.1, 0.9])
def test_the_prior_moves_odds_and_nothing_else(known, gallery, prior):
    probe = track([1] * 6, 11, noise=2.0)
    even, moved = Identifier(gallery, known).answer(probe), Identifier(gallery, known, prior).answer(probe)
    assert [(c.singer, c.score) for c in moved.top] == [(c.singer, c.score) for c in even.top]
    odds = [c.probability / a.unknown_probability for a in (even, moved) for c in a.top[:3]]
    np.testing.assert_allclose(np.array(odds[3:]) / odds[:3], (1 - prior) / prior, rtol=1e-3)
    named = [sum(part.singer is not None for part in answer.timeline) for answer in (moved, even)]
    assert named[0] >= named[1] if prior < 0.5 else named[0] <= named[1]


@pytest.mark.parametrize("prior", [0, 1, -0.1, 1.5, float("nan")])
def test_a_prior_that_is_no_probability(known, gallery, prior):
    with pytest.raises(ConfigError, match=r"unknown_prior: is .*; give a number between 0 and 1"):
        Identifier(gallery, known, prior)


def test_the_prior_is_even_wherever_nobody_sets_it():
    from whosings.commands.evaluation import evaluate
    from whosings.commands.singers import identify

    for function in (whosings.identify, identify, evaluate, Identifier, open_set):
        assert inspect.signature(function).parameters["unknown_prior"].default is None


def test_scores_stay_single_in_precision(identifier, monkeypatch):
    """Large galleries are compared twice as fast."""
    seen = []
    monkeypatch.setattr(ranking, "best_posteriors", lambda *of: seen.append(of[0].dtype) or best_posteriors(*of))
    identifier.answer(track([1] * 8, 1))
    assert seen == [np.float32]


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_verification_with_scores_that_say_nothing(scale):
    encoder = calibrated(replace(KNOWN, pair=Logistic(scale, -1.0)))
    found = Verifier(encoder).compare(track([1] * 5, 1), track([1] * 5, 2))
    assert found.threshold is None and found.score is not None
    assert found.same is False


@pytest.fixture
def known():
    return calibrated(KNOWN)


def test_the_score_that_counts_depends_on_what_was_heard_and_enrolled(known, tmp_path):
    """Against a loop over the definition, with singers enrolled from one, four and sixteen segments."""
    probe = track([1] * 6, 7, noise=2.0)
    with Gallery(tmp_path / "g", PRINT) as gallery:
        for singer, length in enumerate((1, 4, 16)):
            gallery.add(f"singer {singer}", track([singer] * length, singer, 2.0), str(singer))
        answer = Identifier(gallery, known).answer(probe)
    assert all(candidate.share < 0.25 for candidate in answer.top if candidate.singer != "singer 1")
    odds = {}
    for candidate in answer.top:
        enrolled = (1, 4, 16)[int(candidate.singer[-1])]
        reach = np.sqrt(6 / 8) * np.sqrt(enrolled / (enrolled + 2))
        odds[candidate.singer] = np.exp(reach * (30 * candidate.score - 15 * reach)) / 3
    for candidate in answer.top:
        expected = odds[candidate.singer] / (1 + sum(odds.values()))
        assert candidate.probability == pytest.approx(expected, rel=1e-4)
    assert answer.unknown_probability == pytest.approx(1 / (1 + sum(odds.values())), rel=1e-4)
    found = Verifier(known).compare(probe, track([1] * 2, 8, noise=2.0))
    reach = np.sqrt(6 / 8) * np.sqrt(2 / 4)
    assert found.threshold == pytest.approx(KNOWN.least_score(reach))
    assert found.probability == pytest.approx(1 / (1 + np.exp(-reach * (35 * found.score - 18 * reach))))
    assert found.same == (found.score >= found.threshold)


@pytest.mark.parametrize("name", ["default", "fast"])
def test_encoders_that_ship_say_what_passes_on_real_singers(name):
    calibration = calibration_of(load_checkpoint(name))
    assert "real singers who took no part" in calibration.checked
    verifier = Verifier(calibrated(replace(KNOWN, checked="Elsewhere more pass.")))
    assert verifier.compare(track([3] * 5, 1), track([3] * 5, 2)).checked == "Elsewhere more pass."


def test_a_named_singer_who_is_enrolled_twice(known, gallery):
    for number in range(3):
        gallery.add("singer 3, too", track([3] * 10, 900 + number), f"too {number}")
    answer = Identifier(gallery, known).answer(track([3] * 8, 503))
    named = {"singer 3", "singer 3, too"}
    assert set(answer.named) < named and {*answer.named, *answer.voices[0].namesakes} == named
    other = Identifier(gallery, known).answer(track([4] * 8, 504))
    assert other.named == ("singer 4",) and other.voices[0].namesakes == ()
