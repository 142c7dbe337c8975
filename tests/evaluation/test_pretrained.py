"""Tiny models with random weights, saved as Hugging Face's library saves them, against that library used by hand."""

import json
import sys
import types

import numpy as np
import pytest
import torch

from whosings.audio import SAMPLE_RATE
from whosings.errors import CheckpointError, MissingExtraError
from whosings.evaluation.baselines import open_segments, short_name

transformers = pytest.importorskip("transformers")

SMALL = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8),
    "conv_stride": (5, 64),
    "conv_kernel": (10, 64),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}


@pytest.fixture
def segments():
    return [0.1 * np.random.default_rng(n).standard_normal((1, 6 * SAMPLE_RATE), dtype=np.float32) for n in range(9)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders with a model each, by what it is; and the models."""
    torch.manual_seed(0)
    root, made = tmp_path_factory.mktemp("hub"), {}
    tdnn = {"tdnn_dim": (16, 32), "tdnn_kernel": (5, 1), "tdnn_dilation": (1, 1), "xvector_output_dim": 12}
    whisper = transformers.WhisperConfig(
        d_model=24,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_mel_bins=20,
        vocab_size=100,
        pad_token_id=0,
        max_source_positions=300,
    )
    for name, model, extractor in (
        (
            "hidden",
            transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**SMALL)),
            transformers.Wav2Vec2FeatureExtractor(),
        ),
        (
            "speaker",
            transformers.WavLMForXVector(transformers.WavLMConfig(**SMALL, **tdnn)),
            transformers.Wav2Vec2FeatureExtractor(),
        ),
        (
            "faster",
            transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**SMALL)),
            transformers.Wav2Vec2FeatureExtractor(sampling_rate=24_000),
        ),
        (
            "decoder",
            transformers.WhisperModel(whisper),
            transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=6),
        ),
    ):
        model.save_pretrained(root / name)
        extractor.save_pretrained(root / name)
        made[name] = model.eval()
    return root, made


def by_hand(model, rate, segments, field, layer=None):
    extractor = transformers.Wav2Vec2FeatureExtractor(sampling_rate=rate)
    with torch.inference_mode():
        found = model(
            **extractor([s[0] for s in segments], sampling_rate=rate, return_tensors="pt"), output_hidden_states=True
        )
    if field == "embeddings":
        return found.embeddings.numpy()
    return (found.last_hidden_state if layer is None else found.hidden_states[layer]).mean(dim=1).numpy()


@pytest.mark.parametrize(
    ("name", "field", "layer"), [("hidden", "", None), ("hidden", "", 1), ("speaker", "embeddings", None)]
)
def test_vectors_are_those_of_the_library(saved, segments, name, field, layer):
    root, models = saved
    embedder = open_segments(f"hf:{root / name}" + ("" if layer is None else f"#{layer}"), "cpu")
    wanted = by_hand(models[name], SAMPLE_RATE, segments, field, layer)
    np.testing.assert_allclose(embedder(segments), wanted, atol=1e-5)
    assert embedder.parameters == sum(p.numel() for p in models[name].parameters())
    assert embedder([]).shape == (0, wanted.shape[1])


def test_audio_is_brought_to_the_models_rate(saved, segments):
    """A tone of 6 s is 6 s of that tone there, too."""
    root, models = saved
    tone = [np.sin(2 * np.pi * 440 * np.arange(6 * rate) / rate)[None].astype(np.float32) for rate in (16_000, 24_000)]
    found = open_segments(f"hf:{root / 'faster'}", "cpu")(tone[:1])
    np.testing.assert_allclose(found, by_hand(models["faster"], 24_000, tone[1:], ""), atol=0.02)


def test_of_a_model_with_a_decoder_the_encoder_listens(saved, segments):
    embedder = open_segments(f"hf:{saved[0] / 'decoder'}", "cpu")
    rows = embedder(segments)
    assert rows.shape == (9, 24) and np.isfinite(rows).all()
    np.testing.assert_allclose(embedder(segments[3:4]), rows[3:4], atol=1e-5)


def test_fingerprints_follow_weights_and_layer(saved, tmp_path):
    folder = saved[0] / "hidden"
    prints = {open_segments(f"hf:{name}", "cpu").fingerprint for name in (folder, f"{folder}#1", saved[0] / "speaker")}
    assert len(prints) == 3
    assert open_segments(f"hf:{folder}", "cpu").fingerprint in prints
    assert short_name("hf:models/wavlm").startswith("wavlm-")


def test_what_cannot_be_used_is_said_in_a_sentence(saved, segments, tmp_path, monkeypatch):
    root, _ = saved
    broken, strange, deaf = tmp_path / "broken", tmp_path / "strange", tmp_path / "deaf"
    for folder in (broken, strange, deaf):
        folder.mkdir()
        for path in (root / "hidden").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    (broken / "model.safetensors").write_bytes(b"no weights")
    (deaf / "preprocessor_config.json").unlink()
    config = json.loads((strange / "config.json").read_text())
    code = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
    (strange / "config.json").write_text(json.dumps({**config, "model_type": "ours", "auto_map": code}))
    for name, words in (
        (tmp_path / "nothing", "is no folder of a Hugging Face model; give one that holds config.json"),
        (broken, "cannot be loaded"),
        (deaf, "deaf: holds no preprocessor_config.json; copy it from where the model is published"),
        ("", "hf:: names no folder; write hf:FOLDER"),
        (strange, f"if you trust the Python code in the folder, name it hf-code:{strange}"),
        (f"{root / 'hidden'}#9", "a layer that it has"),
        (f"{root / 'hidden'}#last", "names a layer that is no number"),
    ):
        with pytest.raises(CheckpointError, match=r"^[^\n]*$") as caught:
            open_segments(f"hf:{name}", "cpu")
        assert words in str(caught.value)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match="rivals"):
        open_segments(f"hf:{root / 'hidden'}", "cpu")


def test_resemblyzer_is_given_whole_segments_at_its_level(segments, monkeypatch):
    """Against a stand-in, because the package does not install everywhere."""

    class Encoder(torch.nn.Linear):
        def __init__(self, device, verbose):
            super().__init__(2, 3)

        def embed_utterance(self, wave):
            return np.full(256, float(np.sqrt(np.mean(wave**2))) * len(wave))

    def louder(wave, level_db, increase_only):
        assert (level_db, increase_only) == (-30.0, True)
        return 2 * wave

    package, part = types.ModuleType("resemblyzer"), types.ModuleType("resemblyzer.audio")
    package.VoiceEncoder, part.normalize_volume = Encoder, louder
    monkeypatch.setitem(sys.modules, "resemblyzer", package)
    monkeypatch.setitem(sys.modules, "resemblyzer.audio", part)
    embedder = open_segments("resemblyzer")
    rows = embedder([segments[0], 0 * segments[0]])
    assert rows[0, 0] == pytest.approx(2 * np.sqrt(np.mean(segments[0] ** 2)) * 6 * SAMPLE_RATE, rel=1e-4)
    assert not rows[1].any() and embedder([]).shape == (0, 256) and embedder.parameters == 9
    monkeypatch.setitem(sys.modules, "resemblyzer", None)
    with pytest.raises(CheckpointError, match="pip install resemblyzer"):
        open_segments("resemblyzer")
