"""Settings: defaults, files that extend files, overrides, and errors that name the key."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whosings.config import (
    MODELS,
    PROJECTORS,
    ConvolutionalConfig,
    FrontEndConfig,
    ModelConfig,
    Settings,
    TransformerConfig,
    load_settings,
)
from whosings.errors import ConfigError
from whosings.settings import parse, parse_overrides


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refused(path: Path | None, overrides: dict[str, Any] | None, *mentions: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(path, overrides)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    for mention in (str(path) if path else "settings", *mentions):
        assert mention in message


def test_defaults_are_the_paper() -> None:
    settings = load_settings()
    assert settings == Settings()
    front, encoder, training = settings.model.front_end, settings.model.encoder, settings.training
    assert (front.samples, front.frames, front.mel_bins, front.channels) == (96000, 240, 128, 2)
    assert isinstance(encoder, TransformerConfig)
    assert (encoder.width, encoder.blocks, encoder.heads, encoder.embedding) == (384, 12, 6, 2048)
    assert (training.batch_pairs, training.temperature, training.learning_rate) == (128, 0.2, 1e-4)
    assert (training.plateau_epochs, training.plateau_factor, training.stop_epochs) == (25, 0.5, 100)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("sede = 1", "sede"),
        ("[training]\nsede = 1", "training.sede"),
        ("[model.encoder]\nkind = 'transformer'\nwidht = 8", "widht"),
        ("[model.front_end]\nsegments = 1.0", "model.front_end.segments"),
    ],
)
def test_an_unknown_key_is_named_with_its_file(tmp_path: Path, text: str, key: str) -> None:
    refused(written(tmp_path, "run.toml", text), None, "unknown key", key)


def test_an_unknown_override_is_named() -> None:
    refused(None, {"training.sede": 1}, "unknown key training.sede")
    refused(None, {"sede": 1}, "unknown key sede")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.seed", -1),
        ("training.seed", "one"),
        ("training.batch_pairs", 0),
        ("training.temperature", 0.0),
        ("training.plateau_factor", 1.0),
        ("training.precision", "float8"),
        ("pairs.min_vocal", 1.5),
        ("model.front_end.channels", 3),
        ("model.front_end.sample_rate", 44100),
    ],
)
def test_wrong_values_are_refused(key: str, value: object) -> None:
    refused(None, {key: value}, key, "correct the value")


def test_an_override_below_a_value_is_refused() -> None:
    refused(None, {"training.seed": 1, "training.seed.low": 2}, "training.seed.low")


def test_heads_must_divide_width() -> None:
    refused(None, {"model.encoder.kind": "transformer", "model.encoder.heads": 5}, "heads (5) must divide width (384)")
    with pytest.raises(ValueError, match="must divide"):
        TransformerConfig(width=10, heads=4)


def test_bad_toml_and_missing_files(tmp_path: Path) -> None:
    refused(written(tmp_path, "bad.toml", "[training\nseed = 1"), None, "is not TOML")
    refused(tmp_path / "missing.toml", None, "cannot be read")
    refused(tmp_path, None, "cannot be read")
    latin = tmp_path / "latin.toml"
    latin.write_bytes("# für\n".encode("latin-1"))
    refused(latin, None, "is not TOML")


def test_a_file_extends_another_relative_to_itself(tmp_path: Path) -> None:
    written(tmp_path, "base.toml", "[training]\nseed = 1\nbatch_pairs = 64\n[pairs]\nmode = 'vocal'")
    written(tmp_path, "sub/middle.toml", "extends = '../base.toml'\n[training]\nseed = 2")
    leaf = written(tmp_path, "sub/leaf.toml", "extends = 'middle.toml'\n[training]\ntemperature = 0.5")
    settings = load_settings(leaf, {"training.temperature": 0.1})
    got = (settings.training.seed, settings.training.batch_pairs, settings.training.temperature, settings.pairs.mode)
    assert got == (2, 64, 0.1, "vocal")
    refused(written(tmp_path, "lost.toml", "extends = 'nowhere.toml'").with_name("nowhere.toml"), None)
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load_settings(tmp_path / "lost.toml")


def test_a_table_of_another_kind_replaces_the_one_below(tmp_path: Path) -> None:
    written(tmp_path, "base.toml", "[model.encoder]\nkind = 'transformer'\nwidth = 64\nheads = 4\nembedding = 32")
    same = written(tmp_path, "same.toml", "extends = 'base.toml'\n[model.encoder]\nkind = 'transformer'\nblocks = 3")
    assert load_settings(same).model.encoder == TransformerConfig(width=64, heads=4, embedding=32, blocks=3)
    kindless = written(tmp_path, "kindless.toml", "extends = 'base.toml'\n[model.encoder]\nblocks = 3")
    assert load_settings(kindless).model.encoder == load_settings(same).model.encoder
    other = written(
        tmp_path, "other.toml", "extends = 'base.toml'\n[model.encoder]\nkind = 'convolutional'\nblocks = 3"
    )
    assert load_settings(other).model.encoder == ConvolutionalConfig(blocks=3)


def test_overrides_are_toml_or_bare_words() -> None:
    pairs = ["training.seed=3", "training.precision=bf16", "a.list=[1, 2]", "b=true", "c=0.5", 'd="7"', "e=a=b", "f="]
    assert parse_overrides(pairs) == {
        "training.seed": 3,
        "training.precision": "bf16",
        "a.list": [1, 2],
        "b": True,
        "c": 0.5,
        "d": "7",
        "e": "a=b",
        "f": "",
    }
    for bad in ("training.seed", "=3", ""):
        with pytest.raises(ConfigError, match="is not KEY=VALUE"):
            parse_overrides([bad])


@given(seed=st.integers(0, 2**31), temperature=st.floats(1e-6, 1e6))
def test_overrides_keep_numbers(seed: int, temperature: float) -> None:
    overrides = parse_overrides([f"training.seed={seed}", f"training.temperature={temperature!r}"])
    training = load_settings(None, overrides).training
    assert (training.seed, training.temperature) == (seed, temperature)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_presets_survive_json(name: str) -> None:
    config = MODELS[name]
    assert parse(ModelConfig, config.model_dump(mode="json"), "config.json") == config
    assert config.front_end.samples % config.front_end.hop == 0
    # Patches must fit into the spectrogram.
    if isinstance(config.encoder, TransformerConfig):
        assert config.front_end.mel_bins >= config.encoder.patch <= config.front_end.frames


def test_presets_are_what_they_are_called() -> None:
    assert set(MODELS) == {"small", "compact", "tiny", "cam++"}
    assert MODELS["small"] == ModelConfig()
    assert isinstance(MODELS["compact"].encoder, ConvolutionalConfig)
    assert PROJECTORS["paper"].layers == (2048, 1024, 2048) and PROJECTORS["authors-code"].layers == (1024, 1024, 2048)


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        FrontEndConfig().hop = 3  # type: ignore[misc]


def test_parse_names_the_whole_when_there_is_no_key() -> None:
    with pytest.raises(ConfigError, match="the whole"):
        parse(ModelConfig, "text", "config.json")


def test_a_preset_is_known_by_its_name_and_another_name_is_refused() -> None:
    assert load_settings("vocal").pairs.mode == "vocal"
    with pytest.raises(ConfigError, match=r"the preset vocals: does not exist; choose from .*vocal, or name a file"):
        load_settings("vocals")
