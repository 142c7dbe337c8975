"""The network that hears singing: its conventions on built networks, and what the shipped one hears."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import singing
from whosings import audio
from whosings.audio import SAMPLE_RATE
from whosings.choir.band import draw_palette, play
from whosings.choir.cast import draw_singer
from whosings.choir.score import compose
from whosings.choir.songs import record
from whosings.errors import CheckpointError
from whosings.vocals.activity import PIECE_S
from whosings.vocals.detector import (
    FRAME_S,
    SHIPPED,
    ActivityDetector,
    ActivityNetwork,
    Curve,
    probability,
    save_detector,
)

SONGS = Path(__file__).parents[3] / "shared/data/jamendolyrics"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def detector() -> ActivityDetector:
    return ActivityDetector()


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> ActivityDetector:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("detector") / "model.safetensors"
    save_detector(path, ActivityNetwork((4, 8, 8), 16), Curve(2.0, -0.5), {"name": "untrained"})
    return ActivityDetector(path)


def playing(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    palette = draw_palette(rng)
    return play(palette, compose(rng, seconds, 60, palette.tempo), rng)[: round(seconds * SAMPLE_RATE)]


def test_the_network_gives_a_frame_for_two_of_the_spectrogram() -> None:
    network = ActivityNetwork((4, 8, 8), 16).eval()
    assert network(torch.zeros(3, 1, 128, 240)).shape == (3, 120)
    assert pytest.approx(0.05) == FRAME_S


def test_a_level_anywhere_in_the_spectrum_changes_nothing() -> None:
    """Zero-mean kernels: a constant added to the log-mel disappears, but at the borders."""
    torch.manual_seed(0)
    network = ActivityNetwork((4, 8, 8), 16).eval()
    log_mel = torch.rand(1, 1, 128, 400) * 4
    first = network.stem[0](log_mel)[..., 2:-2, 2:-2]
    louder = network.stem[0](log_mel + 3.0)[..., 2:-2, 2:-2]
    assert torch.allclose(first, louder, atol=1e-4)


@pytest.mark.parametrize("seconds", [1.0, 2.9, 61.3, 187.05])
def test_blocks_give_what_one_pass_gives(untrained: ActivityDetector, seconds: float, monkeypatch) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, (1, round(seconds * SAMPLE_RATE))).astype(np.float32)
    in_blocks = untrained.frames(samples)
    monkeypatch.setattr("whosings.vocals.detector._BLOCK", 1 << 20)
    assert in_blocks == pytest.approx(untrained.frames(samples), abs=2e-4)
    assert in_blocks.size == pytest.approx(seconds / FRAME_S, abs=1)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 3.0, 10.0, 10.01, 62.5])
def test_pieces_are_those_of_the_level_rule(untrained: ActivityDetector, seconds: float) -> None:
    from whosings.vocals.activity import level_activity

    samples = np.random.default_rng(0).normal(0, 0.1, (2, round(seconds * SAMPLE_RATE))).astype(np.float32)
    found = untrained(samples)
    assert np.array_equal(found.start_s, level_activity(samples).start_s)
    assert found.probability.shape == found.start_s.shape and found.method == "network"
    assert ((found.probability >= 0) & (found.probability <= 1)).all()


def test_the_curve_in_closed_form() -> None:
    shares = np.array([0.0, 0.25, 0.5, 1.0])
    want = 1 / (1 + np.exp(-2.0 * (np.log([1e-4 / (1 - 1e-4), 1 / 3, 1.0, (1 - 1e-4) / 1e-4]) - 0.5)))
    assert probability(shares, Curve(2.0, 0.5)) == pytest.approx(want)


def test_a_voice_a_band_and_both(detector: ActivityDetector) -> None:
    voices = [detector(singing(20, seed)[None]).probability.mean() for seed in range(4)]
    bands = [detector(playing(20, seed)[None]).probability.mean() for seed in range(4)]
    songs = [detector(record(draw_singer(9, n), n, 20).mixture[None]).probability.mean() for n in range(4)]
    assert min(voices) > 0.8 and np.mean(bands) < 0.2 and np.mean(songs) > 0.8


def test_it_hears_when_the_voice_comes_in(detector: ActivityDetector) -> None:
    voice = np.concatenate([np.zeros(12 * SAMPLE_RATE, np.float32), singing(18)])
    band = playing(30)
    mixture = voice / voice.std() + 0.7 * band / band.std()
    found = detector((mixture / np.abs(mixture).max())[None]).probability
    assert found[:3].max() < 0.5 < found[5:9].min()


def test_loudness_does_not_matter(detector: ActivityDetector) -> None:
    song = record(draw_singer(9, 0), 0, 20).mixture[None]
    want = detector(song).probability
    for gain in (0.01, 0.3, 1.5):
        assert detector(song * np.float32(gain)).probability == pytest.approx(want, abs=0.02)


@pytest.mark.parametrize("level", [0.0, 1e-5])
def test_silence_and_hiss_are_no_singing(detector: ActivityDetector, level: float) -> None:
    samples = np.random.default_rng(0).normal(0, 1, (1, 10 * SAMPLE_RATE)).astype(np.float32) * np.float32(level)
    assert (detector(samples).probability < 0.05).all()


def test_silence_between_songs(detector: ActivityDetector) -> None:
    voice = singing(9)
    quiet = np.random.default_rng(0).normal(0, 1e-5, 9 * SAMPLE_RATE).astype(np.float32)
    found = detector(np.concatenate([voice, quiet, voice])[None]).probability
    assert found[3:6].max() < 0.05 and found[:3].min() > 0.5


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = ActivityNetwork((4, 8, 8), 16)
    save_detector(tmp_path / "a.safetensors", network, Curve(1.5, 0.25), {"name": "a", "steps": 3})
    loaded = ActivityDetector(tmp_path / "a.safetensors")
    assert loaded.card == {"name": "a", "steps": 3}
    for name, value in network.state_dict().items():
        assert torch.allclose(loaded._network.state_dict()[name].float(), value.float(), rtol=1e-3, atol=1e-4)
    save_detector(tmp_path / "b.safetensors", network, Curve(1.5, 0.5), {"name": "a", "steps": 3})
    assert ActivityDetector(tmp_path / "b.safetensors").fingerprint != loaded.fingerprint


@pytest.mark.parametrize("kind", ["missing", "text", "another model", "cut short"])
def test_a_file_that_is_no_detector(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.safetensors"
    shipped = (ROOT / "whosings" / SHIPPED).read_bytes()
    content = {
        "text": b"no weights",
        "another model": (ROOT / "whosings/weights/default/model.safetensors").read_bytes(),
        "cut short": shipped[: len(shipped) // 2],
    }
    if kind in content:
        path.write_bytes(content[kind])
    with pytest.raises(CheckpointError, match=r"is not a vocal activity network|has format"):
        ActivityDetector(path)


def test_the_shipped_network_is_small_and_says_what_it_was_made_of(detector: ActivityDetector) -> None:
    assert (ROOT / "whosings" / SHIPPED).stat().st_size < 500_000
    assert "LibriSpeech" in str(detector.card["data"]) and detector.card["licence"] == "Apache-2.0"


@pytest.mark.slow
@pytest.mark.skipif(not SONGS.is_dir(), reason="needs real songs with the times of their words")
def test_real_songs(detector: ActivityDetector) -> None:
    """AUC over all pieces of real songs, counted pair by pair; the goal is 0.90."""
    scores, truth = [], []
    for path in sorted(SONGS.glob("*.mp3")):
        found = detector(audio.load(path).samples)
        sung = np.zeros(round(100 * PIECE_S) * (found.start_s.size + 1), bool)
        with (SONGS / "words" / f"{path.stem}.csv").open() as file:
            for row in csv.DictReader(file):
                sung[round(100 * float(row["word_start"])) : round(100 * float(row["word_end"]))] = True
        size = round(100 * PIECE_S)
        scores.append(found.probability)
        truth.append(np.array([sung[n * size : (n + 1) * size].mean() >= 1 / 3 for n in range(found.start_s.size)]))
    score, sings = np.concatenate(scores), np.concatenate(truth)
    above = score[sings][:, None] > score[~sings][None]
    assert above.mean() >= 0.90
