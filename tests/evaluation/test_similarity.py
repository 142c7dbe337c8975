"""Figure 4's cosines against a loop over all pairs, and an encoder that hears nothing but the band."""

from itertools import product

import numpy as np
import pytest

from whosings import audio
from whosings.catalogue.manifest import Manifest
from whosings.catalogue.roles import assign_roles
from whosings.embedding import TrackEmbedder
from whosings.errors import EvaluationError
from whosings.evaluation.corpus import embed_manifest
from whosings.evaluation.protocol import enrol
from whosings.evaluation.similarity import BARS, similarities


@pytest.fixture(scope="module")
def ready(tiny, small_choir, tmp_path_factory):
    corpus = embed_manifest(tiny.embedder, small_choir, tmp_path_factory.mktemp("s") / "e.parquet").corpus
    return corpus, enrol(assign_roles(small_choir, min_train=1), corpus)


def test_bars_are_means_over_all_pairs(tiny, ready):
    corpus, pool = ready
    steps = []
    found = similarities("tiny", tiny.embedder, pool.singers, corpus, lambda: steps.append(1))
    assert list(found.bars) == list(BARS) and len(steps) == len(pool.singers)
    wanted = {"itself": [], "vocal stem": [], "validation track": []}
    for singer in pool.singers.values():
        own = corpus.of(singer.test[0].track_id)
        starts = tiny.embedder(singer.test[0].path).start_s
        whole = audio.load(singer.test[0].vocals_path, tiny.embedder.front_end.channels)
        stem = tiny.embedder.segments([whole.cut(s, 3.0).samples for s in starts])
        for bar, other in zip(wanted, (own, stem, corpus.of(singer.validation[0].track_id)), strict=True):
            wanted[bar].append(np.mean([a @ b for a, b in product(own, other)]))
    for bar, values in wanted.items():
        assert found.bars[bar].mean == pytest.approx(np.mean(values), abs=2e-3)
    assert found.bars["itself"].mean > found.bars["another singer"].mean


class _Band(TrackEmbedder):
    """Hears the instrumental whatever it is given: the vocal stem is nothing to it."""

    def at(self, track, start_s):
        vectors = super().at(track, start_s)
        return vectors if "instrumental" in str(track) else np.roll(-vectors, 1, axis=1)


def test_an_encoder_that_hears_the_band_shows(tiny, ready):
    corpus, pool = ready
    found = similarities("band", _Band(tiny.folder), pool.singers, corpus).bars
    assert found["instrumental stem"].mean > found["vocal stem"].mean


def test_two_singers_and_stems_are_needed(tiny, ready, small_choir, tmp_path):
    corpus, pool = ready
    name = next(iter(pool.singers))
    with pytest.raises(EvaluationError, match="need two singers"):
        similarities("x", tiny.embedder, {name: pool.singers[name]}, corpus)
    from dataclasses import replace

    bare = Manifest(tuple(replace(track, instrumental_path=None) for track in small_choir.tracks))
    with pytest.raises(EvaluationError, match="has no instrumental_path"):
        similarities("x", tiny.embedder, enrol(assign_roles(bare, min_train=1), corpus).singers, corpus)
