"""The real loaders: demucs against small models in its own formats, audio-separator, ready-made stems."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.separation_models import SOURCES, save_safetensors, save_th, tiny_demucs
from whosings import audio
from whosings.errors import ConfigError, MissingExtraError, SeparationError
from whosings.vocals.separation import separate_track
from whosings.vocals.separation_model import Windows
from whosings.vocals.separators import open_separator
from whosings.vocals.streaming import Span, Tape, vocals_of

RATE = 44_100
needs_demucs = pytest.mark.skipif(importlib.util.find_spec("demucs") is None, reason="needs demucs")


def _music(seconds: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (0.1 * np.cumsum(rng.standard_normal((2, round(seconds * RATE))), axis=1) % 1 - 0.5).astype(np.float32)


def _streamed(separator, mixture, *spans) -> np.ndarray:
    blocks = (mixture[:, first : first + 30_000] for first in range(0, mixture.shape[1], 30_000))
    return np.concatenate(list(vocals_of(Tape(blocks), separator, *spans)), axis=1)[0]


# Demucs


@needs_demucs
@pytest.mark.parametrize("kind", ["HTDemucs", "HDemucs"])
@pytest.mark.parametrize("save", [save_safetensors, save_th])
def test_a_local_model_gives_what_demucs_gives(tmp_path, kind, save):
    from demucs.apply import apply_model

    model = tiny_demucs(kind)
    save(model, tmp_path / f"tiny{'.th' if save is save_th else '.safetensors'}")
    separator = open_separator(f"demucs:{tmp_path}", "cpu")
    assert separator.sample_rate == RATE
    assert separator.windows == Windows(2 * RATE, RATE // 2)
    mixture = _music(9.5)
    with torch.no_grad():
        wanted = apply_model(model, torch.from_numpy(mixture)[None], shifts=0, overlap=0.25)[0, -1].mean(0).numpy()
    found = _streamed(separator, mixture)
    assert found.shape == wanted.shape
    end = found.size - 3 * RATE  # demucs ends with windows that are padded, ours with a whole one
    np.testing.assert_allclose(found[:end], wanted[:end], atol=1e-6 * np.abs(wanted).max() + 1e-7)
    assert np.abs(wanted).max() > 1e-4


@needs_demucs
def test_batches_of_windows_change_nothing(tmp_path):
    from dataclasses import replace

    save_safetensors(tiny_demucs(), tmp_path / "tiny.safetensors")
    separator = open_separator(f"demucs:{tmp_path}", "cpu")
    batched = replace(separator, windows=replace(separator.windows, batch=4))
    mixture = _music(9.5)
    one = _streamed(separator, mixture)
    np.testing.assert_allclose(_streamed(batched, mixture), one, atol=1e-5 * np.abs(one).max())


@needs_demucs
def test_a_span_is_what_the_whole_track_gives_within_the_models_context(tmp_path):
    """Windows lie elsewhere, so that the two differ as two runs of demucs with other shifts do."""
    save_safetensors(tiny_demucs(), tmp_path / "tiny.safetensors")
    separator = open_separator(f"demucs:{tmp_path}", "cpu")
    mixture = _music(12)
    whole, part = _streamed(separator, mixture), _streamed(separator, mixture, (Span(4.0, 8.0),))
    shifted = _streamed(separator, mixture[:, RATE // 3 :])
    inside = slice(5 * RATE, 7 * RATE)
    shift_error = np.std(shifted[5 * RATE - RATE // 3 : 7 * RATE - RATE // 3] - whole[inside])
    assert np.std(part[inside] - whole[inside]) < 2 * shift_error
    assert np.corrcoef(part[inside], whole[inside])[0, 1] > 0.98
    assert not part[: 4 * RATE].any()
    assert not part[8 * RATE :].any()


@needs_demucs
def test_a_model_that_fails_is_an_error_of_one_track(tmp_path):
    save_safetensors(tiny_demucs(), tmp_path / "tiny.safetensors")
    separator = open_separator(f"demucs:{tmp_path}", "cpu")
    with pytest.raises(SeparationError, match=r"demucs:.*failed \(Given length 132300"):
        separator(_music(3)[None])  # longer than a window


@needs_demucs
def test_a_bag_runs_only_models_that_have_a_say(tmp_path):
    models = [tiny_demucs("HDemucs", seed) for seed in range(3)]
    for number, model in enumerate(models):
        save_safetensors(model, tmp_path / f"m{number}.safetensors")
    bag = {"models": ["m0", "m1", "m2"], "weights": [[1, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 3]], "segment": 1.5}
    (tmp_path / "bag.yaml").write_text(json.dumps(bag))
    separator = open_separator(f"demucs:{tmp_path}", "cpu")
    assert [part.weight for part in separator.parts] == [1, 3]
    assert separator.windows.length == round(1.5 * RATE)
    mixture = _music(1.5)
    with torch.no_grad():
        one, two = (model(torch.from_numpy(mixture)[None])[0, -1].numpy() for model in models[1:])
    np.testing.assert_allclose(separator(mixture[None])[0], (one + 3 * two) / 4, atol=1e-6)


@needs_demucs
def test_fingerprints_tell_what_decides(tmp_path):
    def fingerprint(name, seed, save=save_safetensors, **bag):
        folder = tmp_path / name
        folder.mkdir()
        save(tiny_demucs(seed=seed), folder / f"m{'.th' if save is save_th else '.safetensors'}")
        if bag:
            (folder / "bag.yaml").write_text(json.dumps({"models": ["m"], **bag}))
        return open_separator(f"demucs:{folder}", "cpu").fingerprint

    first = fingerprint("first", 0)
    assert fingerprint("same", 0) == fingerprint("pickled", 0, save_th) == first
    assert len({first, fingerprint("other", 1), fingerprint("shorter", 0, segment=1.5)}) == 3


@needs_demucs
def test_safetensors_come_before_pickles(tmp_path):
    save_safetensors(tiny_demucs(), tmp_path / "m.safetensors")
    (tmp_path / "m.th").write_bytes(b"not a model")
    assert open_separator(f"demucs:{tmp_path}", "cpu").parts


class _Harmful:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


@needs_demucs
def test_a_pickle_that_runs_code_is_refused(tmp_path):
    model, target = tiny_demucs(), tmp_path / "harmed"
    args, kwargs = model._init_args_kwargs
    harmful = {"klass": type(model), "args": args, "kwargs": kwargs, "state": _Harmful(target)}
    torch.save(harmful, tmp_path / "m.th")
    with pytest.raises(SeparationError, match="could run code"):
        open_separator(f"demucs:{tmp_path}", "cpu")
    assert not target.exists()


@needs_demucs
@pytest.mark.parametrize(
    "card",
    [
        {"klass": "subprocess.Popen"},
        {"klass": "demucs.htdemucs.HTDemucs", "structure": json.dumps({"_list": [{"_class": "os.system"}]})},
        {},
    ],
)
def test_a_model_file_that_names_another_class_is_refused(tmp_path, card):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "m.safetensors", {"args": '["true"]', "kwargs": "{}", **card})
    with pytest.raises(SeparationError, match="is not a demucs model"):
        open_separator(f"demucs:{tmp_path}", "cpu")


def _cut(folder: Path) -> None:
    path = folder / "m.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


@needs_demucs
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_cut, "cannot be loaded"),
        (lambda folder: (folder / "m.safetensors").unlink(), "holds no models"),
        (lambda folder: save_safetensors(tiny_demucs(), folder / "n.safetensors"), "holds 2 models and no bag"),
        (lambda folder: [(folder / f"{name}.yaml").touch() for name in "ab"], "2 bags"),
        (lambda folder: (folder / "a.yaml").write_text("models: [m, other]"), "no such model file"),
        (lambda folder: (folder / "a.yaml").write_text("other: 1"), "lists no models"),
        (lambda folder: (folder / "a.yaml").write_text("models: ["), "cannot be loaded"),
        (lambda folder: (folder / "a.yaml").write_text("models: [m]\nweights: [[1, 1, 1, 0]]"), "no weight"),
        (lambda folder: (folder / "a.yaml").write_text("models: [m]\nweights: [[1]]"), "cannot be loaded"),
    ],
)
def test_a_folder_that_cannot_be_loaded(tmp_path, spoil, message):
    save_safetensors(tiny_demucs(), tmp_path / "m.safetensors")
    spoil(tmp_path)
    with pytest.raises(SeparationError, match=message) as caught:
        open_separator(f"demucs:{tmp_path}", "cpu")
    assert str(caught.value).count("\n") == 0


@needs_demucs
def test_a_damaged_pickle_is_told_by_its_checksum(tmp_path):
    path = save_th(tiny_demucs(), tmp_path / "m.th")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(SeparationError, match="checksum"):
        open_separator(f"demucs:{tmp_path}", "cpu")


@needs_demucs
def test_a_model_without_vocals(tmp_path):
    from demucs.hdemucs import HDemucs

    save_safetensors(HDemucs(SOURCES[:3], channels=4, segment=2), tmp_path / "m.safetensors")
    with pytest.raises(SeparationError, match="no vocals"):
        open_separator(f"demucs:{tmp_path}", "cpu")


@needs_demucs
def test_without_a_network(monkeypatch):
    """Demucs asks the hub, then its old store; both fail as they do on a machine without a network."""

    def unreachable(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("demucs.hf.get_hf_model", unreachable)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", unreachable)
    with pytest.raises(SeparationError, match=r"demucs:mdx_extra: cannot be downloaded.*Demucs-mdx_extra"):
        open_separator("demucs:mdx_extra", "cpu")


@needs_demucs
@pytest.mark.parametrize("name", ["no-such", "demucs_unittest", "hf://somebody/model", "somebody/model", "./nowhere"])
def test_names_that_are_no_pretrained_model(name):
    with pytest.raises(SeparationError, match="no such"):
        open_separator(f"demucs:{name}", "cpu")


@pytest.mark.parametrize(("spec", "extra"), [("demucs", "separate"), ("audio-separator:a.onnx", "separate-better")])
def test_a_missing_package_names_its_extra(monkeypatch, spec, extra):
    monkeypatch.setattr("whosings.errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=rf"whosings\[{extra}\]"):
        open_separator(spec, "cpu")


@pytest.mark.parametrize("spec", ["", "other", "audio-separator", "stems", "none:x", "other:2stems"])
def test_specs_that_name_nothing(spec):
    with pytest.raises(SeparationError, match="no such separation model"):
        open_separator(spec, "cpu")


def test_a_device_that_is_not_there():
    with pytest.raises(ConfigError, match="device nonsense"):
        open_separator("demucs", "nonsense")


def test_none():
    assert open_separator("none") is None


# audio-separator


def _list_models(folder: Path, **models: dict[str, object]) -> None:
    """The package's list of models, with nothing in it but these."""
    kinds = ["vr", "mdx", "mdx_download_vip", "demucs", "mdx23c", "mdx23c_download_vip", "roformer"]
    lists = {(kind if kind.endswith("vip") else f"{kind}_download") + "_list": {} for kind in kinds}
    (folder / "download_checks.json").write_text(json.dumps({**lists, **models}))


@pytest.fixture
def half(tmp_path):
    """An MDX-Net model that gives half of its input, with the lists that the package wants beside it."""
    pytest.importorskip("audio_separator")
    onnx = pytest.importorskip("onnx")
    from onnx import helper

    bins = 2048
    ends = [helper.make_tensor_value_info(name, 1, ["b", 4, bins, 256]) for name in ("input", "output")]
    factor = helper.make_tensor("half", 1, [1], [0.5])
    node = helper.make_node("Mul", ["input", "half"], ["output"])
    graph = helper.make_graph([node], "half", ends[:1], ends[1:], [factor])
    path = tmp_path / "half.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    _list_models(tmp_path, mdx_download_list={"MDX-Net Model: half": path.name})
    (tmp_path / "vr_model_data.json").write_text("{}")
    card = {"compensate": 1.0, "mdx_dim_f_set": bins, "mdx_dim_t_set": 8, "mdx_n_fft_scale_set": 4096}
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    (tmp_path / "mdx_model_data.json").write_text(json.dumps({md5: {**card, "primary_stem": "Vocals"}}))
    return path


def test_audio_separator_through_its_real_loader(half):
    separator = open_separator(f"audio-separator:{half}", "cpu")
    time = np.arange(5 * RATE) / RATE
    mixture = np.stack([0.3 * np.sin(2 * np.pi * 440 * time), 0.2 * np.sin(2 * np.pi * 600 * time)]).astype(np.float32)
    for loudness in (1, 0.01, 4):  # the package scales by peaks
        given = (loudness * mixture)[None]
        found = separator(given)
        assert found.shape == given.shape
        inner = slice(RATE // 2, -RATE // 2)
        np.testing.assert_allclose(found[..., inner], given[..., inner] / 2, atol=2e-4 * loudness)
    assert separator.fingerprint == open_separator(f"audio-separator:{half}", "cpu").fingerprint


def test_audio_separator_separates_a_track(half, tmp_path):
    path = tmp_path / "song.wav"
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(4 * RATE) / RATE)
    soundfile.write(path, tone, RATE)
    stems = separate_track(path, open_separator(f"audio-separator:{half}", "cpu"), tmp_path / "cache")
    vocals, mixture = audio.load(stems.vocals).samples[0], audio.load(path).samples[0]
    np.testing.assert_allclose(vocals[8000:-8000], mixture[8000:-8000] / 2, atol=1e-3)


def test_audio_separator_with_a_roformer(tmp_path):
    pytest.importorskip("audio_separator")
    from audio_separator.separator.uvr_lib_v5.roformer.mel_band_roformer import MelBandRoformer

    shape = {"dim": 16, "depth": 1, "stereo": True, "num_bands": 20, "dim_head": 8, "heads": 2, "stft_hop_length": 441}
    shape |= {"time_transformer_depth": 1, "freq_transformer_depth": 1, "flash_attn": False, "stft_n_fft": 2048}
    torch.manual_seed(0)
    torch.save(MelBandRoformer(**shape).state_dict(), tmp_path / "mel_band_roformer.ckpt")
    card = {
        "audio": {"chunk_size": 2 * RATE, "dim_f": 1024, "hop_length": 441, "num_channels": 2, "sample_rate": RATE},
        "model": shape,
        "training": {"instruments": ["vocals", "other"], "target_instrument": "vocals"},
        "inference": {"batch_size": 1, "dim_t": 201, "num_overlap": 2},
    }
    (tmp_path / "tiny.yaml").write_text(json.dumps(card))
    _list_models(tmp_path, roformer_download_list={"Roformer Model: tiny": {"mel_band_roformer.ckpt": "tiny.yaml"}})
    separator = open_separator(f"audio-separator:{tmp_path / 'mel_band_roformer.ckpt'}", "cpu")
    mixture = _music(3)[None]
    once = separator(mixture)
    assert once.shape == mixture.shape
    assert np.abs(once).max() > 1e-4
    np.testing.assert_allclose(separator(mixture / 4), once / 4, atol=0.01 * np.abs(once).max())


def test_audio_separator_with_a_damaged_file(half):
    half.write_bytes(half.read_bytes()[:-3])
    with pytest.raises(SeparationError, match="cannot be loaded"):
        open_separator(f"audio-separator:{half}", "cpu")


# Ready-made stems


def _stem(path: Path, seconds: float = 3.0, level: float = 0.25) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(round(seconds * 16_000), level), 16_000)
    return path


@pytest.mark.parametrize(
    "layout",
    [
        "Song.vocals.flac",
        "Song_vocals.wav",
        "Song_(Vocals).wav",
        "Song/vocals.wav",
        "Song/vocals.mp3",
        "htdemucs/Song/vocals.flac",
        "Band/Album/Song.vocals.flac",
        "Album/Song/vocals.wav",
        "Album/mdx_extra/Song/vocals.wav",
    ],
)
def test_known_layouts_of_stems(tmp_path, layout):
    track = _stem(tmp_path / "music/Band/Album/Song.flac", level=0.5)
    wanted = _stem(tmp_path / "stems" / layout)
    _stem(tmp_path / "stems/Other.vocals.wav")
    separator = open_separator(f"stems:{tmp_path / 'stems'}")
    found = separator.find(track)
    assert (found.vocals, found.instrumental) == (wanted, None)
    stems = separate_track(track, separator, tmp_path / "cache")
    assert audio.load(stems.vocals).samples.mean() == pytest.approx(0.25, abs=1e-2)
    assert audio.load(stems.instrumental).samples.mean() == pytest.approx(0.25, abs=1e-2)
    assert audio.load(stems.vocals).duration_s == 3.0
    assert stems.separated_s == 0


def test_the_tracks_own_album_comes_first(tmp_path):
    track = _stem(tmp_path / "music/Album/01.flac")
    _stem(tmp_path / "stems/01.vocals.flac")
    wanted = _stem(tmp_path / "stems/Album/01.vocals.flac")
    assert open_separator(f"stems:{tmp_path / 'stems'}").find(track).vocals == wanted


@pytest.mark.parametrize("seconds", [2.8, 3.0, 3.3])
def test_a_ready_made_instrumental_is_taken_as_it_is(tmp_path, seconds):
    track = _stem(tmp_path / "Song.flac", level=0.5)
    _stem(tmp_path / "stems/Song/vocals.wav", seconds)
    _stem(tmp_path / "stems/Song/no_vocals.wav", seconds, level=0.125)
    stems = separate_track(track, open_separator(f"stems:{tmp_path / 'stems'}"), tmp_path / "cache")
    rest = audio.load(stems.instrumental)
    assert rest.duration_s == 3.0
    np.testing.assert_allclose(rest.samples[0, : round(16_000 * min(seconds, 3))], 0.125, atol=1e-3)
    assert not rest.samples[0, round(16_000 * seconds) :].any()


def test_another_stem_is_another_pair(tmp_path):
    track, stem = _stem(tmp_path / "Song.flac"), _stem(tmp_path / "stems/Song.vocals.flac")
    separator = open_separator(f"stems:{tmp_path / 'stems'}")
    first = separate_track(track, separator, tmp_path / "cache")
    assert not separate_track(track, separator, tmp_path / "cache").new
    _stem(stem, level=0.1)
    second = separate_track(track, separator, tmp_path / "cache")
    assert second.new
    assert second.vocals != first.vocals


def test_stems_that_cannot_be_used(tmp_path):
    track = _stem(tmp_path / "Song.flac")
    folder = tmp_path / "stems"
    with pytest.raises(SeparationError, match="not a folder"):
        open_separator(f"stems:{folder}")
    folder.mkdir()
    separator = open_separator(f"stems:{folder}")
    with pytest.raises(SeparationError, match=r"stems/Song\.vocals\.flac: no such stem"):
        separator.find(track)
    _stem(folder / "htdemucs/Song/vocals.wav")
    _stem(folder / "mdx_extra/Song/vocals.wav")
    with pytest.raises(SeparationError, match="one of 2 vocal stems"):
        separator.find(track)
    _stem(folder / "mdx_extra/Song/vocals.wav", 9.0)
    with pytest.raises(SeparationError, match=r"lasts 9\.0 s, but Song\.flac 3\.0 s"):
        open_separator(f"stems:{folder / 'mdx_extra'}").find(track)
