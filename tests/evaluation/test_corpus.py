"""Embedding a manifest: order, stems, resumption, failures, copies."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from whosings.catalogue.manifest import Manifest, Track
from whosings.config import CampplusConfig, FilterbankConfig, ModelConfig
from whosings.embedding import TrackEmbedder
from whosings.encoder.checkpoint import Checkpoint, build
from whosings.errors import EvaluationError, ManifestError
from whosings.evaluation.corpus import embed_manifest, without_copies
from whosings.segment_embedding import Encoder


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


@pytest.fixture(scope="module")
def with_windows():
    """An untrained encoder of another kind than ``tiny``: one that gives short windows."""
    torch.manual_seed(0)
    sizes = {"channels": 4, "width": 8, "layers": (1, 1), "dilations": (1, 1), "growth": 4, "bottleneck": 8}
    config = ModelConfig(
        front_end=FilterbankConfig(mel_bins=16, segment_s=3.0), encoder=CampplusConfig(**sizes, embedding=6)
    )
    return TrackEmbedder(Encoder(Checkpoint(build(config).eval(), config, "made"), "cpu", "float32"))


def test_short_windows_are_kept_of_the_tracks_of_which_they_are_asked(with_windows, manifest, tmp_path, monkeypatch):
    asked, store = [track.track_id for track in manifest.tracks[1:3]], tmp_path / "e.parquet"
    plain = embed_manifest(with_windows, manifest, store).corpus
    assert plain.windows is None and plain.windows_of(asked[0]) is None
    heard = []
    many = TrackEmbedder.many
    monkeypatch.setattr(TrackEmbedder, "many", lambda self, paths: heard.extend(paths) or many(self, paths))
    found = embed_manifest(with_windows, manifest, store, windows_of=asked).corpus
    assert heard == [track.path for track in manifest.tracks[1:3]], "the others are known"
    for track in manifest.tracks:
        alone = with_windows(track.path)
        np.testing.assert_array_equal(found.of(track.track_id), alone.vectors.astype(np.float16))
        windows = found.windows_of(track.track_id)
        assert (windows is None) == (track.track_id not in asked)
        if windows is not None:
            np.testing.assert_array_equal(windows.vectors, alone.windows.vectors.astype(np.float16))
            np.testing.assert_array_equal(windows.start_s, alone.windows.start_s)
            assert windows.vectors.dtype == np.float32 and len(windows.start_s) > len(alone.start_s)
    assert found.windows.vectors.dtype == np.float16
    heard.clear()
    again = embed_manifest(with_windows, manifest, store, windows_of=asked).corpus
    assert not heard
    np.testing.assert_array_equal(again.windows_of(asked[1]).vectors, found.windows_of(asked[1]).vectors)
    other = embed_manifest(with_windows, Manifest(manifest.tracks[:1]), store, windows_of=["nobody's"]).corpus
    assert other.windows is None


def test_an_encoder_without_windows_keeps_none(tiny, manifest, tmp_path):
    asked = [manifest.tracks[0].track_id]
    found = embed_manifest(tiny.embedder, Manifest(manifest.tracks[:1]), tmp_path / "e.parquet", windows_of=asked)
    assert found.corpus.windows is None and [path.name for path in tmp_path.iterdir()] == ["e.parquet"]


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
