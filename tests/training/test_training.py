import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from whosings.catalogue.manifest import Manifest, Track, write_manifest
from whosings.config import ModelConfig, PairsConfig, Settings, TrainingConfig, TransformerConfig
from whosings.encoder.checkpoint import build, load_checkpoint
from whosings.errors import AudioError, TrainingError
from whosings.training.contrastive import trainer
from whosings.training.contrastive.loading import VALIDATION_SEED
from whosings.training.contrastive.loss import nt_xent
from whosings.training.contrastive.pairs import PairDataset, PairSampler
from whosings.training.contrastive.trainer import ContrastiveModule, train
from whosings.training.contrastive.views import assemble, stacked

MODEL = ModelConfig.model_validate(
    {
        "front_end": {"channels": 1, "segment_s": 1.6},
        "encoder": TransformerConfig(width=16, blocks=1, heads=2, embedding=24).model_dump(),
        "projector": {"layers": (16, 16, 16)},
    }
)

# Train in a process of its own: settings, training table, validation table, folder.
_TRAIN = """
import sys, torch
from pathlib import Path
from whosings.catalogue.manifest import read_manifest
from whosings.config import Settings
from whosings.training.contrastive.trainer import train

torch.set_num_threads(1)
settings = Settings.model_validate_json(Path(sys.argv[1]).read_text())
train(settings, read_manifest(sys.argv[2]), read_manifest(sys.argv[3]), sys.argv[4])
"""


def _settings(pairs=None, **changes):
    defaults = {"batch_pairs": 4, "iterations_per_epoch": 2, "max_epochs": 2, "workers": 0, "accelerator": "cpu"}
    chosen = PairsConfig(**(pairs or {}))
    return Settings(model=MODEL, pairs=chosen, training=TrainingConfig(**{**defaults, **changes}))


@pytest.fixture(scope="module")
def halves(small_choir):
    """Training and validation manifests, four singers and two."""
    return Manifest(small_choir.tracks[:12]), Manifest(small_choir.tracks[12:])


def _history(folder):
    """Without the seconds, which only grow."""
    rows = json.loads((folder / "history.json").read_text())
    seconds = [row.pop("seconds") for row in rows]
    assert all(0 < earlier < later for earlier, later in pairwise(seconds))
    return rows


def _weights(folder):
    return load_checkpoint(folder).encoder.state_dict()


def _assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=0, atol=0, msg=name)


def test_defaults_are_the_papers_schedule():
    t = TrainingConfig()
    assert (t.batch_pairs, t.temperature, t.learning_rate, t.adam_eps) == (128, 0.2, 1e-4, 1e-9)
    assert (t.iterations_per_epoch, t.plateau_epochs, t.plateau_factor, t.stop_epochs) == (32, 25, 0.5, 100)


def test_a_run_leaves_what_it_promises(tmp_path, halves):
    result = train(_settings(), *halves, tmp_path, {"name": "test", "licence": "CC0-1.0"})
    assert result.epochs == 2
    assert result.stopped == "max_epochs"
    history = json.loads((tmp_path / "history.json").read_text())
    assert [row["epoch"] for row in history] == [0, 1]
    assert result.best_loss == min(row["val_loss"] for row in history)
    card = load_checkpoint(tmp_path / "best").card
    assert card["pairs"] == "mixture"
    assert card["licence"] == "CC0-1.0"
    assert card["val_loss"] == result.best_loss
    assert load_checkpoint(tmp_path / "last").config == MODEL
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_validation_loss_is_nt_xent_of_the_fixed_pairs(tmp_path, halves):
    settings = _settings(max_epochs=1)
    result = train(settings, *halves, tmp_path)
    module = ContrastiveModule(settings)
    state = torch.load(tmp_path / "state" / "last.ckpt", weights_only=True)
    module.load_state_dict(state["state_dict"])
    module.eval()
    data = PairDataset(PairSampler(halves[1], settings.pairs, VALIDATION_SEED), MODEL.front_end)
    batch = torch.stack([data[0].voices, data[1].voices])
    with torch.no_grad():
        left, right = (module.projector(module.encoder(module.front_end(batch[:, side]))) for side in (0, 1))
    assert result.best_loss == pytest.approx(nt_xent(left, right, 0.2).item(), rel=1e-5)


def test_the_encoder_is_compiled_where_settings_say_so(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    ContrastiveModule(_settings())
    assert compiled == []
    ContrastiveModule(_settings(compile=True))
    assert compiled == ["SpectrogramTransformer"]


class _Doubled(torch.nn.Module):
    """The front end always computes in float32; the rest here in float64."""

    def __init__(self, front_end):
        super().__init__()
        self.front_end = front_end.float()

    def forward(self, views):
        return self.front_end(views).double()


@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_chunks_give_the_gradients_of_the_whole_batch(halves, chunk):
    settings = _settings()
    data = PairDataset(PairSampler(halves[0], settings.pairs, 0), MODEL.front_end)
    gradients = []
    for size in (0, chunk):
        torch.manual_seed(0)
        module = ContrastiveModule(settings).double()
        module.front_end = _Doubled(module.front_end)
        views = assemble(stacked([data[n] for n in range(4)]), MODEL.front_end)
        loss = module._whole(views) if size == 0 else module._chunked(views, size)
        gradients.append((loss, {name: p.grad for name, p in module.named_parameters()}))
    (loss, whole), (chunked_loss, chunked) = gradients
    torch.testing.assert_close(loss, chunked_loss)
    for name, gradient in whole.items():
        assert gradient.abs().sum() > 0 or name.endswith("k_proj.bias"), name
        torch.testing.assert_close(chunked[name], gradient, rtol=1e-6, atol=1e-10, msg=name)


AUGMENTED = {"mode": "mashup", "augment": True}


@pytest.mark.parametrize("pairs", [{}, AUGMENTED])
def test_resumed_run_equals_an_uninterrupted_one(tmp_path, halves, pairs):
    train(_settings(pairs, max_epochs=4), *halves, tmp_path / "whole")
    train(_settings(pairs, max_epochs=2), *halves, tmp_path / "parts")
    short = train(_settings(pairs, max_epochs=4, max_minutes=1e-6), *halves, tmp_path / "parts")
    assert (short.stopped, short.epochs) == ("max_minutes", 3)
    result = train(_settings(pairs, max_epochs=4, workers=1), *halves, tmp_path / "parts")
    assert (result.stopped, result.epochs) == ("max_epochs", 4)
    _assert_same(_weights(tmp_path / "whole" / "last"), _weights(tmp_path / "parts" / "last"))
    _assert_same(_weights(tmp_path / "whole" / "best"), _weights(tmp_path / "parts" / "best"))
    histories = [_history(tmp_path / name) for name in ("whole", "parts")]
    assert histories[0] == histories[1]


def test_training_views_are_augmented_anew_each_step_and_validation_never(tmp_path, halves, monkeypatch):
    heard = {"training": [], "validation": []}

    def listen(module, views):
        heard["training" if module.training else "validation"].append(views.clone())
        return embed(module, views)

    embed = ContrastiveModule._embed
    monkeypatch.setattr(ContrastiveModule, "_embed", listen)
    monkeypatch.setattr(PairSampler, "pair", lambda self, number, pair=PairSampler.pair: pair(self, 0))
    for name, pairs in (("plain", {}), ("changed", {"augment": True})):
        train(_settings(pairs, max_epochs=1), *halves, tmp_path / name)
    plain, changed = heard["training"][:2], heard["training"][2:]
    torch.testing.assert_close(plain[0], plain[1])
    assert (changed[0] - changed[1]).abs().amax((1, 2)).min() > 1e-3
    assert (changed[0] - plain[0]).abs().amax((1, 2)).min() > 1e-3
    torch.testing.assert_close(*heard["validation"])


def test_supervised_loss_trains_with_the_singers_of_the_batch(tmp_path, halves, monkeypatch):
    seen = []
    original = trainer.supcon
    monkeypatch.setattr(trainer, "supcon", lambda *given: seen.append(given[2]) or original(*given))
    train(_settings({"pairs_per_singer": 2}, loss="supcon", max_epochs=1, workers=1), *halves, tmp_path)
    assert [singers.tolist() for singers in seen[:2]] == [
        [s, s, t, t] for s, _, t, _ in map(torch.Tensor.tolist, seen[:2])
    ]
    assert seen[-1].tolist() != [] and len(set(seen[-1].tolist())) == 2, "validation: one pair a singer"


@pytest.mark.parametrize(("own", "first"), [(1e-9, False), (1e9, True)])
def test_of_several_processes_the_first_ones_clock_counts(own, first):
    strategy = SimpleNamespace(broadcast=lambda mine: first)
    ended = SimpleNamespace(current_epoch=0, max_epochs=5, should_stop=False, strategy=strategy)
    clock = trainer._Clock(own)
    clock.on_fit_start(ended, None)
    clock.on_train_epoch_end(ended, None)
    assert ended.should_stop is clock.rang is first


@pytest.mark.slow
def test_killed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, halves):
    for manifest, name in zip(halves, ("train", "validation"), strict=True):
        write_manifest(manifest, tmp_path / f"{name}.csv")
    settings = _settings(max_epochs=7)
    toml = tmp_path / "settings.json"
    toml.write_text(settings.model_dump_json())
    run = [sys.executable, "-c", _TRAIN, toml, tmp_path / "train.csv", tmp_path / "validation.csv"]
    subprocess.run([*run, tmp_path / "whole"], check=True, capture_output=True)
    kills, rng = 0, np.random.default_rng(0)
    history = tmp_path / "killed" / "history.json"
    for _ in range(20):
        process = subprocess.Popen([*run, tmp_path / "killed"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        before = len(json.loads(history.read_text())) if history.exists() else 0
        while process.poll() is None and kills < 2:
            now = len(json.loads(history.read_text())) if history.exists() else 0
            if now > before:  # it has come further than the last time: kill it somewhere in the next epoch
                time.sleep(float(rng.uniform(0, 0.3)))
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.02)
        process.communicate()
        if process.returncode == 0:
            break
    assert process.returncode == 0
    assert kills == 2
    _assert_same(_weights(tmp_path / "whole" / "last"), _weights(tmp_path / "killed" / "last"))


@pytest.mark.long
def test_two_processes_train_as_one(tmp_path, halves):
    """Same pairs, loss of the whole batch, averaged gradients: the weights of one process, but for rounding.

    Batch norm is left out: on CPUs it sees each process's half of the batch. Adam's epsilon is large, so that steps are
    in proportion to gradients and rounding is not blown up to a whole step.
    """
    for manifest, name in zip(halves, ("train", "validation"), strict=True):
        write_manifest(manifest, tmp_path / f"{name}.csv")
    script = tmp_path / "run.py"
    script.write_text("import torch\ntorch.nn.BatchNorm1d = lambda width: torch.nn.Identity()\n" + _TRAIN)
    for devices in (1, 2):
        settings = tmp_path / f"{devices}.json"
        settings.write_text(
            _settings(max_epochs=3, devices=devices, adam_eps=1e-2, learning_rate=1e-2).model_dump_json()
        )
        arguments = [script, settings, tmp_path / "train.csv", tmp_path / "validation.csv", tmp_path / f"run{devices}"]
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, timeout=300)
    one, two = (_weights(tmp_path / f"run{devices}" / "last") for devices in (1, 2))
    torch.manual_seed(0)
    start = build(MODEL).state_dict()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=3e-5, msg=name)
    assert max((one[name] - start[name]).abs().max() for name in one) > 1e-3, "large steps against that tolerance"
    histories = [_history(tmp_path / f"run{n}") for n in (1, 2)]
    for left, right in zip(*histories, strict=True):
        assert left == pytest.approx(right, abs=1e-4)


def test_plateau_halves_the_learning_rate_and_patience_stops(tmp_path, halves, monkeypatch):
    monkeypatch.setattr(ContrastiveModule, "validation_step", lambda self, b, i: self.log("val_loss", 1.0))
    settings = _settings(max_epochs=50, plateau_epochs=1, stop_epochs=5, iterations_per_epoch=1)
    result = train(settings, *halves, tmp_path)
    assert result.stopped == "patience"
    assert result.epochs == 6
    assert train(settings, *halves, tmp_path) == result, "a finished run stays finished"
    state = torch.load(tmp_path / "state" / "last.ckpt", weights_only=True)
    assert state["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(1e-4 / 4)


def test_training_learns_to_tell_generated_singers_apart(tmp_path, halves):
    settings = _settings(max_epochs=16, iterations_per_epoch=16, learning_rate=4e-3)
    train(settings, *halves, tmp_path)
    history = json.loads((tmp_path / "history.json").read_text())
    assert np.mean([epoch["train_loss"] for epoch in history[-4:]]) < 0.75 * history[0]["train_loss"]


def test_refusals(tmp_path, halves):
    kept, held = halves
    with pytest.raises(TrainingError, match="shares singer singer-000"):
        train(_settings(), kept, kept, tmp_path)
    clone = replace(kept.tracks[0], track_id="clone", cloned=True, target_singer_ids=(held.tracks[0].singer_id,))
    with pytest.raises(TrainingError, match=f"shares singer {held.tracks[0].singer_id}"):
        train(_settings({"clones": True}), Manifest((*kept.tracks, clone)), held, tmp_path)
    with pytest.raises(TrainingError, match="not a multiple of 3 devices"):
        train(_settings(devices=3), kept, held, tmp_path)
    train(_settings(max_epochs=1), kept, held, tmp_path)
    with pytest.raises(TrainingError, match="holds a run with other settings"):
        train(_settings(max_epochs=1, seed=1), kept, held, tmp_path)
    with pytest.raises(TrainingError, match="other settings or tracks"):
        train(_settings(max_epochs=1), Manifest(kept.tracks[3:]), held, tmp_path)
    with pytest.raises(TrainingError, match="a single singer"):
        train(_settings(max_epochs=1), kept, Manifest(held.tracks[:3]), tmp_path / "other")


def test_a_loss_that_is_no_longer_finite_stops_the_run(tmp_path, halves, monkeypatch):
    monkeypatch.setattr(ContrastiveModule, "validation_step", lambda self, b, i: self.log("val_loss", float("nan")))
    with pytest.raises(TrainingError, match="no longer finite"):
        train(_settings(), *halves, tmp_path)


def test_a_file_that_breaks_during_training_is_named(tmp_path, halves):
    broken = tmp_path / "broken.flac"
    broken.write_text("not audio")
    manifest = Manifest(tuple(Track(f"t{n}", f"s{n // 2}", broken) for n in range(8)))
    with pytest.raises(AudioError, match=r"broken\.flac"):
        train(_settings(workers=1), manifest, halves[1], tmp_path / "run")


def test_bf16_is_for_gpus_unless_asked_for():
    assert trainer._use_bf16(_settings(precision="bf16"))
    assert not trainer._use_bf16(_settings(precision="float32"))
    assert trainer._use_bf16(_settings(accelerator="auto")) == (
        torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    )


def test_bf16_trains(tmp_path, halves):
    result = train(_settings(precision="bf16", max_epochs=1), *halves, tmp_path)
    assert np.isfinite(result.best_loss)
    assert Settings(pairs=PairsConfig()).training.precision == "auto"
