"""Training of the network that hears singing: banks, views and their labels, the curve, runs that go on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import RATE, singing
from whosings.errors import TrainingError
from whosings.training.activity import (
    FRAMES,
    VIEW,
    VOICES,
    Bank,
    Batches,
    Clip,
    Judgement,
    View,
    crop,
    draw_band,
    draw_view,
    draw_voice,
    equaliser,
    export,
    filtered,
    fit_curve,
    frame_levels,
    judge,
    low_pass,
    produce_voice,
    train,
    with_rest,
)
from whosings.training.distillation.bank import to_int16
from whosings.vocals.detector import ActivityDetector, ActivityNetwork


def noise(seconds: float, seed: int) -> np.ndarray:
    return to_int16(np.random.default_rng(seed).standard_normal(round(seconds * RATE)))


@pytest.fixture(scope="module")
def bank() -> Bank:
    voices = [Clip("sung", to_int16(singing(7, 1))), Clip("speech", to_int16(singing(4, 2)))]
    return Bank(voices, [Clip("band", noise(8, 3)), Clip("sax", noise(7, 4))])


@pytest.fixture
def folder(bank: Bank, tmp_path: Path) -> Path:
    for name in ("train", "held"):
        bank.save(tmp_path / f"{name}.npz")
    return tmp_path


def test_a_bank_is_loaded_as_it_was_saved(bank: Bank, folder: Path) -> None:
    loaded = Bank.load(folder / "train.npz")
    for kept, found in ((bank.voices, loaded.voices), (bank.bands, loaded.bands)):
        assert [clip.kind for clip in kept] == [clip.kind for clip in found]
        assert all(np.array_equal(a.samples, b.samples) for a, b in zip(kept, found, strict=True))


@pytest.mark.parametrize("content", [None, b"no zip", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_bank(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "train.npz").write_bytes(content)
    with pytest.raises(TrainingError, match="is no bank of voices and bands"):
        Bank.load(tmp_path / "train.npz")


@pytest.mark.parametrize("seconds", [1, 6, 8])
def test_a_crop_is_a_view_and_a_short_clip_is_all_in_it(seconds: int) -> None:
    clip = np.arange(1, seconds * RATE + 1).astype(np.int16)
    view = crop(clip, np.random.default_rng(0))
    assert view.shape == (VIEW,) and view.dtype == np.float32
    if seconds < 6:
        assert np.array_equal(view[view != 0] * 32768, clip)


def test_a_low_pass_is_6_db_down_at_its_frequency() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(VIEW) / RATE).astype(np.float32)
    assert filtered(tone, low_pass(1000)).std() / tone.std() == pytest.approx(0.5, rel=0.01)
    assert np.allclose(filtered(tone, torch.ones(1)), tone, atol=1e-5)


def test_an_equaliser_of_no_deviation_changes_nothing() -> None:
    assert torch.allclose(equaliser(0.0, np.random.default_rng(0)), torch.ones(1))


def test_levels_of_frames() -> None:
    view = np.repeat(np.linspace(0, 1, FRAMES), VIEW // FRAMES).astype(np.float32)
    assert frame_levels(view) == pytest.approx(np.linspace(0, 1, FRAMES), abs=1e-6)


@pytest.mark.parametrize("kind", VOICES)
def test_every_way_of_using_a_voice_is_a_view(bank: Bank, kind: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(4):
        voice = produce_voice(with_rest(draw_voice(bank, kind, rng), rng), rng)
        assert voice.shape == (VIEW,) and voice.dtype == np.float32 and np.isfinite(voice).all() and voice.any()


def test_bands_come_at_one_level(bank: Bank) -> None:
    rng = np.random.default_rng(0)
    assert [draw_band(bank, rng).std() for _ in range(4)] == pytest.approx([1] * 4, abs=1e-3)


def test_frames_are_vocal_where_the_voice_sounds_and_nowhere_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    half = np.concatenate([noise(3, 5), np.zeros(5 * RATE, np.int16)])
    bank = Bank([Clip("sung", half), Clip("speech", half)], [Clip("band", noise(8, 6))])
    monkeypatch.setattr("whosings.training.activity.crop", lambda clip, rng: clip[:VIEW].astype(np.float32) / 32768)
    monkeypatch.setattr("whosings.training.activity.with_rest", lambda voice, rng: voice)
    monkeypatch.setattr("whosings.training.activity.produce_voice", lambda voice, rng: voice)
    vocal = np.stack([draw_view(bank, np.random.default_rng([1, seed])).vocal.numpy() for seed in range(20)])
    sung = vocal[vocal.any(axis=1)]
    assert 4 < len(sung) < 20
    assert sung[:, :59].all() and not sung[:, 66:].any()


def test_batches_are_the_same_for_any_number_of_processes_and_from_any_first(folder: Path) -> None:
    alone = iter(Batches(folder / "train.npz", 1, 2))
    want = [next(alone) for _ in range(3)]
    assert want[0].waves.shape == (2, VIEW) and want[0].vocal.shape == (2, FRAMES)
    loader = torch.utils.data.DataLoader(Batches(folder / "train.npz", 1, 2, 1), None, num_workers=2)
    for expected, found in zip(want[1:], loader, strict=False):
        assert torch.equal(expected.waves, found.waves) and torch.equal(expected.vocal, found.vocal)


def test_the_area_counts_ties_as_half() -> None:
    pytest.importorskip("torchmetrics")
    assert Judgement(np.array([0.1, 0.5, 0.5, 0.9]), np.array([False, False, True, True])).area == 0.875
    rng = np.random.default_rng(0)
    shares, vocal = rng.integers(0, 20, 300) / 20, rng.random(300) < 0.4
    higher, equal = (compare(shares[vocal][:, None], shares[~vocal]) for compare in (np.greater, np.equal))
    assert Judgement(shares, vocal).area == pytest.approx(np.mean(higher + 0.5 * equal), abs=1e-6)


def test_the_curve_is_found_again() -> None:
    rng = np.random.default_rng(0)
    share = rng.uniform(0.01, 0.99, 50_000)
    odds = 1.5 * (np.log(share / (1 - share)) - 0.4)
    found = fit_curve(Judgement(share, rng.random(share.size) < 1 / (1 + np.exp(-odds))))
    assert (found.slope, found.middle) == pytest.approx((1.5, 0.4), abs=0.05)


def test_a_judgement_leaves_the_network_as_it_was() -> None:
    network = ActivityNetwork((4, 8, 8), 16).train()
    vocal = torch.zeros(3, FRAMES)
    vocal[1, :20], vocal[2, :19] = 1, 1  # a third of the first piece, and a little less
    found = judge(network, [View(torch.zeros(3, VIEW), vocal)])
    assert network.training and found.shares.dtype == np.float64
    assert found.vocal.tolist() == [False, False, True, False, False, False]


def test_a_run_that_is_done_stays_and_leaves_other_draws_alone(folder: Path) -> None:
    pytest.importorskip("torchmetrics")
    said: list[str] = []
    before = torch.random.get_rng_state()
    train(folder, 2, 2, 1e-3, 0, 2, said.append)
    train(folder, 2, 2, 1e-3, 0, 2, said.append)
    assert len(said) == 1 and said[0].startswith("2 loss ") and "held-out AUC" in said[0]
    assert torch.equal(before, torch.random.get_rng_state())
    card = export(folder, folder / "made.safetensors", 2, 2, {"name": "small"})
    assert card["steps"] == 2 and ActivityDetector(folder / "made.safetensors").card == card


def test_a_run_without_network_is_not_exported(folder: Path) -> None:
    with pytest.raises(TrainingError, match="holds no network; train one first"):
        export(folder, folder / "made.safetensors", 2, 2, {})
