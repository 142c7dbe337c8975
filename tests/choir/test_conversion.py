"""Conversion: the target's timbre, the source's melody and loudness; nearest neighbours against a naive search."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from whosings.choir.cast import draw_singer
from whosings.choir.conversion import METHODS, cepstra, degraded, gather, neighbours, statistics
from whosings.choir.songs import perform
from whosings.errors import TooShortError
from whosings.sound.vocoder import BINS, FREQUENCIES, SILENT, Frames


@pytest.fixture(scope="module")
def singers() -> list[list[Frames]]:
    """Three songs by each of four singers."""
    return [[perform(draw_singer(11, n), k, 8.0).frames for k in range(3)] for n in range(4)]


def mean_cepstrum(frames: Frames) -> np.ndarray:
    """Up to 4 kHz, where every method leaves something."""
    heard = frames.envelope[frames.voiced] * np.where(FREQUENCIES > 4000, 1e-6, 1.0)
    return cepstra(heard).mean(axis=0)


def tones(levels: np.ndarray, labels: np.ndarray, f0: float = 100.0) -> Frames:
    """Frames that differ by a tilt only, so that the nearest one is known."""
    octaves = np.log2(np.maximum(FREQUENCIES, 60) / 1000)
    envelope = 10 ** (levels[:, None] * octaves / 10)
    return Frames(np.full(levels.size, f0), envelope, np.full(envelope.shape, 0.2), labels.astype(np.int64))


@pytest.mark.parametrize("method", METHODS)
def test_a_clone_is_nearer_to_its_target_than_to_its_source(method, singers):
    nearer = []
    for source, target in permutations(range(4), 2):
        clone = METHODS[method](singers[source][2], gather(singers[target][:2], "somebody"))
        to_target, to_source = (
            np.linalg.norm(mean_cepstrum(clone) - mean_cepstrum(singers[n][0])) for n in (target, source)
        )
        nearer.append(to_target < to_source)
    assert np.mean(nearer) > 0.8


@pytest.mark.parametrize("method", METHODS)
def test_melody_timing_loudness_and_words_are_the_sources(method, singers):
    source = singers[0][2]
    clone = METHODS[method](source, gather(singers[2][:2], "somebody"))
    assert len(clone) == len(source)
    assert np.array_equal(clone.voiced, source.voiced) and np.array_equal(clone.labels, source.labels)
    ratio = np.unique(np.round(np.log2(clone.f0[clone.voiced] / source.f0[source.voiced]), 9))
    assert ratio.size == 1 and ratio[0] == round(ratio[0])  # whole octaves
    loud = source.envelope.mean(axis=1) > 1e-3
    change = 10 * np.log10(clone.envelope[loud].mean(axis=1) / source.envelope[loud].mean(axis=1))
    assert np.abs(change).max() < 0.01
    assert np.isfinite(clone.envelope).all() and (clone.envelope >= 0).all()
    assert clone.aperiodicity.min() >= 0 and clone.aperiodicity.max() <= 1


def test_an_octave_is_chosen_that_suits_the_target():
    low, high = (tones(np.zeros(400), np.zeros(400), hertz) for hertz in (100.0, 410.0))
    clone = neighbours(low, gather([high], "somebody"))
    np.testing.assert_allclose(clone.f0, 400.0)
    assert np.allclose(neighbours(low, gather([replace(low, f0=low.f0 * 1.3)], "somebody")).f0, 100.0)


def test_neighbours_are_those_that_a_naive_search_finds(singers):
    source, target = singers[0][2], gather(singers[1][:2], "somebody")
    rng = np.random.default_rng(0)
    clone = neighbours(source, target, k=4)
    mine = cepstra(source.envelope)
    for_scale = mine[(source.envelope.mean(axis=1) > 1e-3) & source.voiced]
    pool = target.frames.voiced
    theirs = (target.cepstra - target.cepstra[pool].mean(axis=0)) / target.cepstra[pool].std(axis=0)
    agree = []
    loud = np.flatnonzero(source.voiced & (source.envelope.mean(axis=1) > 0.05))
    for frame in rng.choice(loud, 40, replace=False):
        own = (mine[frame] - for_scale.mean(axis=0)) / for_scale.std(axis=0)
        same = np.flatnonzero(pool & (target.frames.labels == source.labels[frame]))
        same = same if same.size >= 20 else np.flatnonzero(pool)
        nearest = same[np.argsort(np.linalg.norm(theirs[same] - own, axis=1))[:4]]
        expected = np.exp(np.log(target.frames.envelope[nearest] + 1e-12).mean(axis=0))
        expected *= source.envelope[frame].mean() / expected.mean()
        agree.append(np.allclose(clone.envelope[frame], expected, rtol=1e-3))
    # The scale is estimated over slightly other frames here, which may change a neighbour now and then.
    assert np.mean(agree) > 0.85


def test_phonemes_are_replaced_by_the_same_phonemes_where_they_are_known():
    labels = np.repeat([0, 1], 200)
    target = tones(np.where(labels == 0, -6.0, 6.0), labels)
    source = tones(np.where(labels == 0, 3.0, -3.0), labels)  # by sound alone, the other phoneme would be taken
    kept = neighbours(source, gather([target], "somebody"))
    slope = np.log(kept.envelope[:, 400] / kept.envelope[:, 100])
    assert (slope[labels == 0] < 0).all() and (slope[labels == 1] > 0).all()
    unknown = neighbours(replace(source, labels=np.full(400, SILENT)), gather([target], "somebody"))
    slope = np.log(unknown.envelope[:, 400] / unknown.envelope[:, 100])
    assert (slope[labels == 0] > 0).all() and (slope[labels == 1] < 0).all()


def test_statistics_become_the_targets(singers):
    target = gather(singers[3][:2], "somebody")
    clone = statistics(singers[0][2], target)
    made = cepstra(clone.envelope[clone.voiced])
    wanted = target.cepstra[target.frames.voiced]
    before = cepstra(singers[0][2].envelope[singers[0][2].voiced])
    for moment in (np.mean, np.std):
        off, was = (np.abs(moment(c, axis=0) - moment(wanted, axis=0)).mean() for c in (made, before))
        assert off < 0.35 * was


def test_a_degraded_clone_is_band_limited_and_held(singers):
    clone = degraded(singers[0][2], gather(singers[1][:2], "somebody"))
    sung = clone.envelope[clone.voiced]
    assert sung[:, FREQUENCIES > 4100].max() < 1e-2 * sung.max()
    shapes = clone.envelope / clone.envelope.mean(axis=1, keepdims=True)
    held = np.isclose(shapes[1::3][: len(shapes) // 3], shapes[::3][: len(shapes) // 3]).all(axis=1)
    assert held.mean() > 0.6


def test_the_same_gives_the_same(singers):
    for method in METHODS.values():
        first, again = (method(singers[0][2], gather(singers[1][:2], "somebody")) for _ in range(2))
        assert np.array_equal(first.envelope, again.envelope)


def test_silence_stays_silent():
    silent = Frames(np.zeros(50), np.zeros((50, BINS)), np.ones((50, BINS)), np.full(50, SILENT))
    target = gather([tones(np.zeros(400), np.zeros(400))], "somebody")
    for method in METHODS.values():
        assert not method(silent, target).envelope.any()


def test_too_little_of_a_target_is_refused():
    with pytest.raises(TooShortError, match="singer-0003"):
        gather([tones(np.zeros(200), np.zeros(200))], "singer-0003")


def test_cepstra_are_a_cosine_transform_of_log_bands():
    rng = np.random.default_rng(0)
    envelope = np.exp(rng.normal(0, 0.1, (3, BINS)).cumsum(axis=1))
    np.testing.assert_allclose(cepstra(7.0 * envelope), cepstra(envelope), atol=1e-6)  # loudness is left out
    flat = cepstra(np.ones((1, BINS)))
    np.testing.assert_allclose(flat, 0, atol=1e-6)
