"""The recipes, once through on next to nothing."""

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.conftest import RATE, singing
from whosings.audio import Segment
from whosings.calibration import calibration_of
from whosings.embedding import TrackEmbedder
from whosings.encoder.checkpoint import load_checkpoint
from whosings.opinion import SecondOpinion
from whosings.vocals.detector import ActivityDetector

RECIPES = Path(__file__).parent.parent / "recipes"

pytest.importorskip("pyworld")
pytest.importorskip("mido")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a recipe's command line in this process, which has imported it already; returns what it prints."""
    monkeypatch.syspath_prepend(RECIPES)

    def run(name: str, *words: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        threads = torch.get_num_threads()
        with torch.random.fork_rng():
            importlib.import_module(name).main()
        torch.set_num_threads(threads)
        return capfd.readouterr().out

    return run


@pytest.mark.slow
def test_the_encoder_recipe_from_a_bank_to_a_checkpoint_that_identifies(
    recipe: Callable[..., str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    clips = [np.round(singing(4, seed) * 20_000).astype(np.int16) for seed in range(9)] * 12  # of 36 persons
    np.savez(
        tmp_path / "bank.npz",
        names=[f"person-{n // 3}" for n in range(108)],
        kinds=["speech", "sung", "imitation"] * 36,
        lengths=[clip.size for clip in clips],
    )
    np.save(tmp_path / "voices.npy", np.concatenate(clips))
    np.save(tmp_path / "bands.npy", (rng.normal(size=200_000) * 3000).astype(np.int16))
    np.save(tmp_path / "taught.npy", rng.normal(size=(108, 256)).astype(np.float32))
    mask = ("--out", tmp_path, "--views", 4)
    assert recipe("voice_mask", *mask, "--steps", 1, "--processes", 1).startswith("1 0.")
    assert recipe("voice_mask", *mask, "--steps", 2).startswith("2 0.")
    train = ("train", "--out", tmp_path, "--people", 4, "--begin-with", "default", "--kept", 1, "--shared-out", 0)
    assert recipe("default_encoder", *train, "--steps", 1) == ""
    first = torch.load(tmp_path / "state.pt", weights_only=True)
    recipe("default_encoder", *train, "--steps", 2, "--processes", 2)
    second = torch.load(tmp_path / "state.pt", weights_only=True)
    assert (first["step"], second["step"]) == (1, 2)
    assert not torch.equal(first["to_teacher"]["weight"], second["to_teacher"]["weight"])
    stays = [name for name, weight in first["encoder"].items() if torch.equal(second["encoder"][name], weight)]
    assert stays == [name for name in first["encoder"] if name.startswith("mask.")]
    masks = torch.load(tmp_path / "mask.pt", weights_only=True)["mask"]
    assert all(torch.equal(second["encoder"][f"mask.{name}"], weight) for name, weight in masks.items())
    (tmp_path / "speech" / "a").mkdir(parents=True)
    for number in range(3):
        soundfile.write(tmp_path / f"speech/a/{number}.flac", singing(5, number), RATE)
    made = ("--speech", tmp_path / "speech", "--to", tmp_path / "made", "--parametric", 2, "--batches", 1)
    recipe("default_encoder", "export", "--out", tmp_path, *made)
    assert TrackEmbedder(tmp_path / "made")(Segment(singing(7)[None], 0.0, "song")).vectors.shape[1] == 256
    assert calibration_of(load_checkpoint(tmp_path / "made")).same_trials > 0
    trials = ("four-views", "mask")
    recipe("ablations", "--bank", tmp_path, "--out", tmp_path / "trials", "--steps", 1, "--only", *trials)
    assert sorted(p.parent.name for p in tmp_path.glob("trials/*/model.safetensors")) == sorted(trials)


def test_processes_that_train_together_go_the_way_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(RECIPES)
    from together import spread

    spread(2, _mean_gradient, tmp_path)
    alone = torch.nn.Linear(3, 2, bias=False)
    torch.nn.init.ones_(alone.weight)
    alone(torch.tensor([[1.0, 0.0, 3.0], [1.0, 1.0, 3.0]])).square().sum(dim=1).mean().backward()
    for rank in (0, 1):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt", weights_only=True), alone.weight.grad)


def _mean_gradient(rank: int, processes: int, folder: Path) -> None:
    from together import average

    layer = torch.nn.Linear(3, 2, bias=False)
    torch.nn.init.ones_(layer.weight)
    layer(torch.tensor([[1.0, float(rank), 3.0]])).square().sum().backward()
    average(layer.parameters(), processes)
    torch.save(layer.weight.grad, folder / f"{rank}.pt")


def test_a_frozen_encoder_lets_only_its_mask_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(RECIPES)
    from default_encoder import Course, Trial, begun

    trial, shipped = Trial(frozen=True), load_checkpoint("default").encoder
    encoder = begun(tmp_path, trial, Course(begin_with="default"))
    assert {name.split(".")[0] for name, weight in encoder.named_parameters() if weight.requires_grad} == {"mask"}
    assert all(torch.equal(weight, shipped.state_dict()[name]) for name, weight in encoder.state_dict().items())
    mask = {name: torch.zeros_like(weight) for name, weight in shipped.mask.state_dict().items()}
    torch.save({"mask": mask}, tmp_path / "mask.pt")
    encoder = begun(tmp_path, trial, Course(begin_with="default"))
    assert all(torch.equal(weight, mask[name]) for name, weight in encoder.mask.state_dict().items())
    assert torch.equal(encoder.head.weight, shipped.head.weight)


def test_voices_pause_at_one_end_and_become_others_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(RECIPES)
    from default_encoder import VARIED_ST, varied
    from voice_bank import PAUSES, paused

    pitch, samples = 440.0, RATE
    tones = 0.5 * torch.sin(2 * torch.pi * pitch * torch.arange(samples) / RATE).expand(200, 1, -1) + 0.01
    silent = (paused(tones, np.random.default_rng(0)) == 0)[:, 0]
    share = silent.float().mean(dim=1)
    assert (share > 0).float().mean().item() == pytest.approx(PAUSES, abs=0.1)
    assert share[share > 0].min() > 0.09 and share.max() < 0.61
    assert (silent[:, 0] ^ silent[:, -1])[share > 0].all()
    assert (silent.int().diff(dim=1).abs().sum(dim=1)[share > 0] == 1).all()
    assert not (tones == 0).any()
    torch.testing.assert_close(varied(tones, 0.0, np.random.default_rng(0)), tones, atol=1e-3, rtol=0)
    peaks = torch.fft.rfft(varied(tones, 1.0, np.random.default_rng(0))[:, 0])[:, 50:].abs().argmax(dim=1) + 50
    semitones = 12 * torch.log2(peaks / pitch)
    assert semitones.abs().max() < VARIED_ST + 0.1
    assert semitones.std().item() == pytest.approx(VARIED_ST / 3**0.5, rel=0.15)


def test_varied_voices_are_not_told_apart_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(RECIPES)
    from default_encoder import Course, Trial, train

    with pytest.raises(SystemExit, match="nobody's"):
        train(tmp_path, Trial(varied=0.5, taught=0.0), Course(), tmp_path)
    with pytest.raises(SystemExit, match="begin-with"):
        train(tmp_path, Trial(kept=1.0), Course(), tmp_path)


def test_recorded_music_joins_the_bands_at_full_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(RECIPES)
    from voice_bank import recorded

    piece = singing(2, 1)
    soundfile.write(tmp_path / "piece.flac", np.stack([piece, piece], axis=1), RATE)
    tape = recorded(tmp_path / "piece.flac")
    assert tape.dtype == np.int16
    assert np.abs(tape).max() == 32000
    assert np.corrcoef(tape, piece)[0, 1] > 0.999


@pytest.mark.slow
def test_what_must_not_matter_is_the_same_in_all_directions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(RECIPES)
    from default_encoder import NUISANCES, Batches, normalise
    from voice_bank import Bank

    from whosings.config import MODELS
    from whosings.encoder.checkpoint import build
    from whosings.spectrogram import LogMel

    rng = np.random.default_rng(0)
    clips = [np.round(singing(4, seed) * 20_000).astype(np.int16) for seed in range(9)] * 20
    people = [[3 * n, 3 * n + 1, 3 * n + 2] for n in range(60)]
    taught = rng.normal(size=(60, 256)).astype(np.float32)
    kinds = ["speech", "sung", "imitation"] * 60
    speakers = [f"speaker {n}" for n in range(60)]
    bank = Bank(clips, kinds, people, speakers, (rng.normal(size=200_000) * 3000).astype(np.int16))
    torch.manual_seed(0)
    before, after = build(MODELS["compact"]).eval(), build(MODELS["compact"])
    after.load_state_dict(before.state_dict())
    normalise(after, bank, taught, floor=1e-9, batches=2)
    # The oracle: differences of views, one by one, moved by the matrix that lies between the two last layers.
    moved = torch.linalg.lstsq(before.head.weight.double().T, after.head.weight.double().T).solution.T
    torch.testing.assert_close(after.head.bias.double(), moved @ before.head.bias.double(), atol=1e-3, rtol=1e-3)
    front, total = LogMel(MODELS["compact"].front_end), torch.zeros(256, 256, dtype=torch.float64)
    for trial in NUISANCES:
        drawn = Batches(bank, taught, replace(trial, people=60))
        kind = torch.zeros(256, 256, dtype=torch.float64)
        with torch.no_grad():
            for number in range(2):
                waves = drawn(1_000_000 + number).records.waves
                waves = waves / waves.abs().amax(dim=2, keepdim=True)
                for one, other in zip(*waves.chunk(2), strict=True):
                    pair = before(front(torch.stack([one, other]))).double()
                    difference = pair[0] / pair[0].norm() - pair[1] / pair[1].norm()
                    kind += torch.outer(difference, difference)
        total += kind / kind.trace()
    isotropic = moved @ total @ moved.T
    spread = torch.linalg.eigvalsh(isotropic)
    assert spread.max() / spread.min() < 1.5 < torch.linalg.cond(total)


QUICK = """
from whosings import parallel
from whosings.choir import build
from whosings.choir.plan import PRESETS, Part, Preset
from whosings.cli import main
from whosings.config import HEADS, HeadConfig

PRESETS["tiny"] = Preset("tiny", Part(4, 3), Part(2, 2), Part(1, 2), 2, 1, duration_s=4.0)
HEADS["linear"] = HeadConfig(kind="linear", max_epochs=2)
build.each = lambda work, jobs, workers: parallel.each(work, jobs, 0)
main()
"""


@pytest.mark.slow
def test_the_reproduction_from_a_choir_to_a_report(tmp_path: Path) -> None:
    small = {"PRESET": "tiny", "PAIRS": "vocal", "CLASSES": "4", "RUNS": "1", "EPOCHS": "1", "BATCH": "2"}
    small |= {"MODEL": "tiny", "HELD": "closed"}  # the tiny choir has a single singer for validation
    whosings = tmp_path / "whosings"
    whosings.write_text(f"#!{sys.executable}\n{QUICK}")
    whosings.chmod(0o755)
    env = {**os.environ, **small, "WHOSINGS": str(whosings)}
    done = subprocess.run(
        [RECIPES / "reproduce.sh", tmp_path], env=env, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    tables = (tmp_path / "results" / "report" / "tables.md").read_text()
    assert "vocal" in tables and "prototype" in tables
    assert (tmp_path / "results" / "report" / "report.html").exists()


@pytest.mark.slow
def test_the_activity_recipe_from_voices_to_weights(recipe: Callable[..., str], tmp_path: Path) -> None:
    for speaker, files in (("a", 1), ("b", 1), ("held", 5)):
        for number in range(files):
            (tmp_path / "speech" / speaker).mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / f"speech/{speaker}/{number}.flac", singing(5, ord(speaker[0]) + number), RATE)

    def run(*words: object) -> str:
        return recipe("vocal_activity", *words)

    out = tmp_path / "run"
    run("bank", "--speech", tmp_path / "speech", "--bands", 8, "--workers", 1, "--out", out)
    kinds = np.load(out / "train.npz")["voice-kinds"].tolist()
    assert {"speech", "sung", "parametric"} == set(kinds) and kinds.count("speech") == 2
    said = run("train", "--out", out, "--steps", 2, "--batch", 4, "--held", 8)
    assert "2 loss" in said
    assert run("train", "--out", out, "--steps", 2, "--batch", 4, "--held", 8) == ""  # it is done
    run("train", "--out", out, "--steps", 3, "--batch", 4, "--held", 8)
    run("export", "--out", out, "--batch", 4, "--held", 8, "--to", tmp_path / "made" / "model.safetensors")
    detector = ActivityDetector(tmp_path / "made" / "model.safetensors")
    assert detector.card["steps"] == 3
    cases = run("report", "--out", out, "--views", 2, "--weights", tmp_path / "made" / "model.safetensors")
    assert "humming, a cappella" in cases and re.search(r"silence +0%", cases)
    assert detector(singing(7)[None]).probability.shape == (3,)


@pytest.mark.slow
def test_the_second_opinion_recipe_from_voices_to_weights(recipe: Callable[..., str], tmp_path: Path) -> None:
    for folder, speakers in (("speech", (("a", 1), ("b", 1), ("held", 5))), ("singing", (("x", 5), ("y", 5)))):
        for speaker, files in speakers:
            (tmp_path / folder / speaker).mkdir(parents=True, exist_ok=True)
            for number in range(files):
                sound = singing(6 if folder == "speech" else 2.5, ord(speaker[0]) + number)
                soundfile.write(tmp_path / folder / speaker / f"{number}.flac", sound, RATE)
    (tmp_path / "songs").mkdir()
    soundfile.write(tmp_path / "songs/song.mp3", singing(6), RATE)

    def run(*words: object) -> str:
        return recipe("second_opinion", *words)

    out, weights = tmp_path / "run", tmp_path / "made/model.safetensors"
    bank = ("bank", "--speech", tmp_path / "speech", "--singing", tmp_path / "singing", "--clips", 1, "--bands", 2)
    run(*bank, "--out", out)
    kinds = set(np.load(out / "held.npz")["kinds"].tolist())
    assert {"natural", "band", "WORLD", "linear prediction"} <= kinds
    assert "linear prediction" not in np.load(out / "train.npz")["kinds"]  # held out altogether
    assert run(*bank, "--out", out) == ""  # it is done
    assert "2 loss" in run("train", "--out", out, "--steps", 2, "--batch", 4)
    assert run("train", "--out", out, "--steps", 2, "--batch", 4) == ""
    run("train", "--out", out, "--steps", 3, "--batch", 4)
    run("export", "--out", out, "--to", weights, "--songs", tmp_path / "songs")
    opinion = SecondOpinion(weights)
    assert opinion.card["steps"] == 3 and opinion([singing(3)[None]]) is not None
    said = run("report", "--out", out, "--weights", weights)
    assert re.search(r"linear prediction \(never trained on\) +AUC [01]\.\d+ +EER", said)
    assert re.search(r"songs: natural \d+% at 0.5 \(1\)", said)
