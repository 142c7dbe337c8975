"""Other embedders against oracles of their own."""

import numpy as np
import pytest
import soundfile
import torch

from tests.conftest import singing
from whosings.audio import SAMPLE_RATE
from whosings.embedding import TrackEmbedder
from whosings.errors import CheckpointError, EvaluationError
from whosings.evaluation.baselines import MfccStatistics, open_segments, short_name
from whosings.onnx_segments import OnnxSegments
from whosings.segment_embedding import SegmentEmbedder


@pytest.fixture(scope="module")
def segments():
    return [singing(6.0, seed)[None] for seed in range(3)]


def test_mfccs_are_the_cosine_transform_of_the_log_mel(segments):
    """Against SciPy's transform of our spectrogram, and NumPy's statistics."""
    fft = pytest.importorskip("scipy.fft")
    from whosings.spectrogram import LogMel, conform

    embedder = MfccStatistics()
    found = embedder(segments)
    assert found.shape == (3, 80) and found.dtype == np.float32
    waves = torch.from_numpy(np.stack([conform(s, embedder.front_end) for s in segments]))
    log_mel = LogMel(embedder.front_end)(waves)[:, 0].numpy().astype(float)
    cepstra = fft.dct(log_mel, type=2, norm="ortho", axis=1)[:, :20]
    wanted = [f(x, axis=2) for x in (cepstra, np.diff(cepstra, axis=2)) for f in (np.mean, np.std)]
    np.testing.assert_allclose(found, np.concatenate(wanted, axis=1), atol=1e-2)
    assert embedder([]).shape == (0, 80)


def test_they_run_on_whole_tracks(small_choir):
    found = TrackEmbedder(MfccStatistics())(small_choir.tracks[0].path)
    assert found.fingerprint == "mfcc-1" and found.vectors.shape[1] == 80 and len(found.vectors)


class _Means(torch.nn.Module):
    """Means of eight stretches of a segment."""

    def forward(self, waves):
        return waves.reshape(waves.shape[0], 8, -1).mean(dim=2)


def export(path, module, shape=(1, 6 * SAMPLE_RATE)):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    example = torch.zeros(2, *shape[1:])
    axes = {0: torch.export.Dim("batch")}
    torch.onnx.export(module, (example,), path, dynamo=True, dynamic_shapes=(axes,), verbose=False)
    return path


def test_an_onnx_model_embeds_segments(tmp_path, segments):
    path = export(tmp_path / "means.onnx", _Means())
    embedder = open_segments(f"onnx:{path}")
    peak = np.stack([s[0] / np.abs(s[0]).max() for s in segments])
    np.testing.assert_allclose(embedder(segments), peak.reshape(3, 8, -1).mean(axis=2), atol=1e-6)
    assert embedder([]).shape == (0, 8)
    assert embedder.fingerprint == OnnxSegments(path).fingerprint != MfccStatistics.fingerprint


def test_other_onnx_models_are_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(CheckpointError, match=r"nothing\.onnx: cannot be read"):
        open_segments(f"onnx:{tmp_path}/nothing.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(CheckpointError, match="no ONNX model"):
        open_segments(f"onnx:{tmp_path}/text.onnx")
    path = export(tmp_path / "flat.onnx", torch.nn.Flatten(), (1, 2, 6 * SAMPLE_RATE))
    with pytest.raises(CheckpointError, match="other inputs or outputs"):
        open_segments(f"onnx:{path}")


def test_names(tiny):
    assert isinstance(open_segments(str(tiny.folder)), SegmentEmbedder)
    assert [short_name(n) for n in ("default", "mfcc")] == ["default", "mfcc"]
    assert short_name("runs/a/best").startswith("best-") and short_name("runs/a/best") != short_name("runs/b/best")
    assert short_name("onnx:models/x.onnx").startswith("x-")
    with pytest.raises(EvaluationError, match="has no name"):
        open_segments("")


def test_an_onnx_model_enrols_and_says_what_it_lacks(tmp_path, run):
    path = export(tmp_path / "means.onnx", _Means())
    soundfile.write(tmp_path / "a.wav", singing(7.0), SAMPLE_RATE)
    common = (tmp_path / "a.wav", "-g", tmp_path / "g", "--encoder", f"onnx:{path}")
    assert run("enrol", "Ann", *common)[0] == 0
    assert run("embed", tmp_path / "a.wav", "--encoder", f"onnx:{path}", "--out", tmp_path / "e.parquet")[0] == 0
    code, _, err = run("identify", *common)
    assert code == 1 and "means.onnx: carries no calibration" in err
