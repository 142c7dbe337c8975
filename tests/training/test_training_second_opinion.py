"""Training of the second opinion: banks, ways of processing, pairs with one production, the scale, runs that go on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import RATE, singing
from whosings.errors import TooShortError, TrainingError
from whosings.training.distillation.bank import to_int16
from whosings.training.second_opinion import (
    BAND,
    NATURAL,
    VIEW,
    Bank,
    Clip,
    Kind,
    Pairs,
    Take,
    coded,
    crop,
    export,
    fit_scale,
    hear,
    processed,
    studio,
    train,
)


@pytest.fixture(scope="module")
def bank() -> Bank:
    clips = [Clip(kind, who, to_int16(singing(3, ord(who)))) for who in "ab" for kind in (NATURAL, "x", "y")]
    hiss = np.random.default_rng(0).standard_normal(3 * RATE)
    return Bank([*clips, Clip(NATURAL, "c", to_int16(singing(3, 9))), Clip(BAND, "", to_int16(hiss))])


def test_a_bank_is_loaded_as_it_was_saved(bank: Bank, tmp_path: Path) -> None:
    bank.save(tmp_path / "bank.npz")
    loaded = Bank.load(tmp_path / "bank.npz")
    assert [(c.kind, c.speaker) for c in loaded.clips] == [(c.kind, c.speaker) for c in bank.clips]
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(loaded.clips, bank.clips, strict=True))
    assert len(loaded.of_kind("x")) == 2


@pytest.mark.parametrize("content", [None, b"no zip", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_bank(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "train.npz").write_bytes(content)
    with pytest.raises(TrainingError, match="is no bank of processed voices"):
        Bank.load(tmp_path / "train.npz")


def test_what_is_processed_is_as_loud_as_before_and_no_longer() -> None:
    voice = singing(2)
    made = processed(
        Kind(1, lambda take, rng: np.tile(take.samples, 2) * 7), Take(voice, voice), np.random.default_rng(0)
    )
    assert made.size == voice.size and made.std() == pytest.approx(voice.std(), rel=0.05)
    assert np.corrcoef(made, coded(voice))[0, 1] > 0.99


@pytest.mark.parametrize("made", [np.zeros(0), np.zeros(100), np.full(100, np.nan)])
def test_nothing_is_made_of_too_little(made: np.ndarray) -> None:
    with pytest.raises(TooShortError):
        processed(Kind(1, lambda take, rng: made), Take(singing(1), singing(1)), np.random.default_rng(0))


def test_every_kind_of_processing_keeps_the_length_about() -> None:
    pytest.importorskip("pyworld")
    pytest.importorskip("mido")
    from whosings.choir.voice_bank import KINDS

    assert sum(kind.share for kind in KINDS.values()) == pytest.approx(1)
    take = Take(singing(3, 1), singing(4, 2))
    for name, kind in KINDS.items():
        made = kind.process(take, np.random.default_rng(3))
        assert made.dtype == np.float32 and np.isfinite(made).all() and made.std() > 1e-3, name
        assert 0.7 < made.size / take.samples.size < 1.5 or name == "WORLD, sung", name
        assert not np.array_equal(made[: take.samples.size], take.samples), name


def test_a_crop_avoids_silence_and_repeats_what_is_short() -> None:
    clip = np.concatenate([np.zeros(20 * RATE, np.int16), to_int16(singing(20))])
    rng = np.random.default_rng(0)
    assert np.mean([crop(clip, VIEW, rng).std() > 0.01 for _ in range(40)]) > 0.9
    short = np.arange(5, dtype=np.int16)
    assert np.array_equal(crop(short, 10, rng) * 32768, [0, 1, 2, 3, 4] * 2)


def test_production_follows_from_the_seed_alone() -> None:
    voice, band = singing(2, 1), singing(2, 2)
    again = studio(voice, band, 5)
    assert again.shape == (VIEW,) and np.array_equal(again, studio(voice, band, 5))
    assert not np.array_equal(again, studio(voice, band, 6))
    assert not np.array_equal(again, studio(voice, None, 5))


def test_pairs_are_of_one_speaker_with_one_production(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bytes, int]] = []

    def note(voice: np.ndarray, band: np.ndarray | None, seed: int) -> np.ndarray:
        seen.append((b"" if band is None else band.tobytes(), seed))
        return voice

    monkeypatch.setattr("whosings.training.second_opinion.studio", note)
    pairs = Pairs(bank, 1, left_out=("y",))
    found = pairs.batch(0, 8)
    assert found.waves.shape == (8, VIEW) and found.truth.tolist() == [0, 1] * 4
    assert seen[::2] == seen[1::2] and len({seed for _, seed in seen}) == 4
    again = pairs.batch(0, 8)
    assert torch.equal(found.waves, again.waves)


def test_kinds_that_are_left_out_do_not_train(bank: Bank) -> None:
    only = Bank([clip for clip in bank.clips if clip.kind != "x" or clip.speaker == "a"])
    pairs = Pairs(only, 1, left_out=("y",))
    assert [{clip.speaker for clip in (*natural, *made)} for natural, made in pairs._people] == [{"a"}]


def test_everything_but_bands_is_heard(bank: Bank) -> None:
    found = hear(lambda samples: float(samples.size), bank, produced=False)
    assert {kind: values.tolist() for kind, values in found.items()} == {
        NATURAL: [3 * RATE] * 3, "x": [3 * RATE] * 2, "y": [3 * RATE] * 2,
    }  # fmt: skip
    produced = hear(lambda samples: float(samples.size), bank, produced=True)
    assert all((values == VIEW).all() for values in produced.values())


def test_the_scale_counts_the_worst_group_and_no_alarm_is_impossible() -> None:
    rng = np.random.default_rng(0)
    natural = {"speech": rng.normal(-2, 1, 400), "songs": rng.normal(2, 1, 9)}
    scale = fit_scale(natural, {"speech": rng.normal(2, 1, 200)})
    assert scale.slope == pytest.approx(4, rel=0.2) and scale.middle == pytest.approx(0, abs=0.2)
    assert scale.thresholds[0] == 0 and scale.thresholds[-1] == 1 and len(scale.thresholds) == 51
    half = scale.thresholds.index(0.5)
    heard = [float(np.sum(values >= scale.middle) + 1) / (values.size + 1) for values in natural.values()]
    assert scale.false_alarm[half] == pytest.approx(max(heard), abs=1e-4) and min(scale.false_alarm) > 0


def test_a_run_that_is_done_stays_and_leaves_other_draws_alone(bank: Bank, tmp_path: Path) -> None:
    bank.save(tmp_path / "train.npz")
    said: list[str] = []
    before = torch.random.get_rng_state()
    train(tmp_path, 2, 2, 1e-3, tell=said.append)
    train(tmp_path, 2, 2, 1e-3, tell=said.append)
    assert len(said) == 1 and said[0].startswith("2 loss ")
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_run_without_network_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no network; train one first"):
        export(tmp_path, tmp_path / "made.safetensors", {}, None, {})
