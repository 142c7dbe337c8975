"""Embedding a manifest: order, stems, resumption, failures, copies."""

from dataclasses import replace

import numpy as np
import pytest

from whosings.catalogue.manifest import Manifest, Track
from whosings.errors import EvaluationError, ManifestError
from whosings.evaluation.corpus import embed_manifest, without_copies


@pytest.fixture(scope="module")
def manifest(small_choir):
    return Manifest(small_choir.tracks[:5])


def test_rows_are_what_the_embedder_gives_in_the_manifests_order(tiny, manifest, tmp_path):
    found = embed_manifest(tiny.embedder, manifest, tmp_path / "e.parquet")
    assert found.failures == found.unsung == () and found.corpus.tracks == manifest.tracks
    for track in manifest.tracks:
        alone = tiny.embedder(track.path)
        np.testing.assert_array_equal(found.corpus.of(track.track_id), alone.vectors.astype(np.float16))
        first = found.corpus.first[found.corpus.place[track.track_id]]
        np.testing.assert_array_equal(found.corpus.start_s[first : first + len(alone.start_s)], alone.start_s)
    rows = found.corpus.rows([manifest.tracks[3], Track("x", "x", tmp_path)], [7, 8])
    assert rows.label.tolist() == [7, 8] and rows.length[1] == 0
    np.testing.assert_array_equal(
        found.corpus.vectors[rows.start[0] : rows.start[0] + rows.length[0]],
        found.corpus.of(manifest.tracks[3].track_id),
    )


def test_it_goes_on_and_reads_in_any_order(tiny, manifest, tmp_path):
    store = tmp_path / "e.parquet"
    embed_manifest(tiny.embedder, Manifest(manifest.tracks[2:4]), store)
    steps = []
    found = embed_manifest(tiny.embedder, manifest, store, progress=lambda: steps.append(1)).corpus
    assert len(steps) == 5
    again = embed_manifest(tiny.embedder, Manifest(manifest.tracks[::-1]), store).corpus
    assert again.tracks == manifest.tracks[::-1]
    for track in manifest.tracks:
        np.testing.assert_array_equal(found.of(track.track_id), again.of(track.track_id))


def test_vocal_stems(tiny, manifest, tmp_path):
    found = embed_manifest(tiny.embedder, Manifest(manifest.tracks[:1]), tmp_path / "v.parquet", "vocal").corpus
    alone = tiny.embedder(manifest.tracks[0].vocals_path).vectors
    np.testing.assert_array_equal(found.of(manifest.tracks[0].track_id), alone.astype(np.float16))
    without = Manifest((replace(manifest.tracks[0], vocals_path=None),))
    with pytest.raises(EvaluationError, match="has no vocals_path; separate it"):
        embed_manifest(tiny.embedder, without, tmp_path / "w.parquet", "vocal")


def test_failures_are_listed_and_the_rest_goes_on(tiny, manifest, tmp_path):
    lost = replace(manifest.tracks[0], track_id="lost", path=tmp_path / "lost.flac")
    band = replace(manifest.tracks[1], track_id="band", path=manifest.tracks[1].instrumental_path)
    found = embed_manifest(tiny.embedder, Manifest((lost, band, manifest.tracks[2])), tmp_path / "e.parquet")
    assert {track.track_id for track in found.corpus.tracks} - {"band"} == {manifest.tracks[2].track_id}
    assert "lost.flac" in str(found.failures[0])
    assert len(found.failures) == 1 and ("band" in found.corpus.place) == (found.unsung == ())
    with pytest.raises(EvaluationError, match="no track with singing"):
        embed_manifest(tiny.embedder, Manifest((lost,)), tmp_path / "f.parquet")


def test_a_store_of_another_embedder_is_refused(tiny, manifest, tmp_path):
    from whosings.embedding import TrackEmbedder
    from whosings.evaluation.baselines import MfccStatistics

    embed_manifest(tiny.embedder, Manifest(manifest.tracks[:1]), tmp_path / "e.parquet")
    with pytest.raises(ManifestError, match="another file, or that encoder"):
        embed_manifest(TrackEmbedder(MfccStatistics()), Manifest(manifest.tracks[:1]), tmp_path / "e.parquet")


def test_copies_of_later_sets_are_found_by_content(tiny, manifest, tmp_path):
    corpus = embed_manifest(tiny.embedder, manifest, tmp_path / "e.parquet").corpus
    copy = tmp_path / "copy.flac"
    copy.write_bytes(manifest.tracks[4].path.read_bytes())
    train = (manifest.tracks[0], replace(manifest.tracks[1], path=copy, sha256=None))
    assert without_copies([Manifest(train), Manifest(manifest.tracks[3:5])], corpus) == {manifest.tracks[1].track_id}
    assert without_copies([Manifest(train), Manifest(manifest.tracks[2:4])], corpus) == set()
