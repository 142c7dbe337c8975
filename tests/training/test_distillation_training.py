"""A student learns, goes on where it stopped, and leaves alone what is frozen."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.conftest import RATE
from tests.distillation_fixtures import COMPACT, STUDENT, TEACHER, saved, toy_bank, toy_settings
from whosings.config import MODELS, FrontEndConfig, ModelConfig, TransformerConfig
from whosings.encoder.checkpoint import build, load_checkpoint, save_checkpoint
from whosings.errors import CheckpointError, ConfigError, TrainingError
from whosings.parallel import each
from whosings.spectrogram import open_front_end
from whosings.training.distillation import bank as bank_module
from whosings.training.distillation.bank import export_bank, open_bank
from whosings.training.distillation.config import StageConfig, is_distillation, load_distillation
from whosings.training.distillation.student import Student, Teacher, frame_weights
from whosings.training.distillation.trainer import learning_rate, train
from whosings.training.distillation.views import ViewMaker

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A bank, and a teacher whose embeddings of its people fill the space, as those of a trained one do."""
    home = tmp_path_factory.mktemp("distillation")
    maker = ViewMaker(toy_bank(home / "bank"), toy_settings("").views, 9, CPU)
    checkpoint = load_checkpoint(saved(home / "teacher"))
    front_end, encoder = open_front_end(TEACHER.front_end), checkpoint.encoder
    with torch.no_grad():
        waves = torch.cat([maker(step).voices_alone for step in range(10)])
        said = encoder(front_end(waves[:, None])).double()
        mean, spread = said.mean(dim=0), torch.linalg.inv(torch.linalg.cholesky(said.T.cov()))
        encoder.head.bias.copy_(spread @ (encoder.head.bias - mean))
        encoder.head.weight.copy_(spread @ encoder.head.weight.double())
    save_checkpoint(home / "teacher", TEACHER, encoder, {"name": "teacher"})
    return home


def quiet(line: str) -> None:
    """Nobody listens."""


def distilled(home: Path, out: Path, model: ModelConfig = STUDENT, tell=quiet, **changes: object):
    settings = toy_settings(str(home / "teacher"), model, **changes)
    return train(settings, open_bank(home / "bank"), out, {"name": "toy"}, tell)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder).encoder.state_dict()


TWO_STAGES = {
    "stages": {
        "mask": {"trains": "mask", "steps": 3, "learning_rate": 1e-2, "terms": {"same_person": 0}},
        "none": {"steps": 0, "learning_rate": 1.0},
        "all": {"trains": "all", "steps": 4, "learning_rate": 1e-2},
    },
    "keep_every": 2,
}


@pytest.mark.parametrize("stop", [1, 3])
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(home, tmp_path, stop):
    whole = distilled(home, tmp_path / "whole", **TWO_STAGES)
    lines = []

    def interrupting(line: str) -> None:
        lines.append(line)
        if len(lines) == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distilled(home, tmp_path / "parts", tell=interrupting, **TWO_STAGES)
    torch.rand(stop)  # whatever happens between
    resumed = distilled(home, tmp_path / "parts", tell=interrupting, **TWO_STAGES)
    assert (resumed.steps, resumed.loss) == (7, whole.loss)
    for name, weight in weights_of(whole.last).items():
        assert torch.equal(weight, weights_of(resumed.last)[name]), name
    histories = [json.loads((tmp_path / part / "history.json").read_text()) for part in ("whole", "parts")]
    assert histories[0] == histories[1]
    assert [row["step"] for row in histories[0]] == [1, 2, 3, 4, 5, 6, 7]
    assert [set(row) - {"step", "loss"} for row in histories[0]] == (
        [{"share", "stay", "contrast"}] * 3 + [{"share", "stay", "contrast", "same_person"}] * 4
    )
    assert lines[0].startswith("mask, step 2 of 3: loss ") and lines[0].endswith("views/s")
    distilled(home, tmp_path / "parts", tell=lines.clear, **TWO_STAGES)  # it is done, and tells nothing


@pytest.mark.parametrize("trains", ["mask", "encoder"])
def test_what_a_stage_does_not_train_stays_to_the_bit(home, tmp_path, trains):
    begin = saved(tmp_path / "begin", STUDENT, seed=3)
    stages = {"only": {"trains": trains, "steps": 2, "learning_rate": 1e-2}}
    done = distilled(home, tmp_path / "out", stages=stages, begin_with={"mask": begin, "encoder": begin})
    before, after = weights_of(Path(begin)), weights_of(done.last)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("mask.") == (trains == "mask") for name in changed)


def test_weights_that_one_learning_rate_does_not_suit_are_brought_to_one_size(home, tmp_path):
    torch.manual_seed(6)
    skewed = build(STUDENT)
    with torch.no_grad():
        skewed.enter.weight /= 1024
    save_checkpoint(tmp_path / "skewed", STUDENT, skewed, {"name": "skewed"})
    begin = {"mask": str(tmp_path / "skewed"), "encoder": str(tmp_path / "skewed")}
    encoder = Student(toy_settings(str(home / "teacher"), begin_with=begin), 5, bf16=False).encoder
    first, behind = (float(layer.weight.detach().square().mean().sqrt()) for layer in (encoder.front[0], encoder.enter))
    assert 0.25 <= first / behind <= 4
    heard = torch.randn(2, 1, STUDENT.front_end.mel_bins, 90)
    with torch.inference_mode():
        assert torch.equal(encoder.eval()(heard), skewed.eval()(heard))


def test_mask_and_encoder_begin_where_they_are_told_to(home, tmp_path):
    settings = toy_settings(
        str(home / "teacher"),
        begin_with={"mask": saved(tmp_path / "masked", STUDENT, seed=4), "encoder": saved(tmp_path / "plain", seed=5)},
    )
    found = Student(settings, 5, bf16=False).encoder.state_dict()
    mask, encoder = weights_of(tmp_path / "masked"), weights_of(tmp_path / "plain")
    assert all(torch.equal(found[name], mask[name] if name.startswith("mask.") else encoder[name]) for name in found)
    with pytest.raises(TrainingError, match="plain: cannot be where the student's mask begins"):
        Student(toy_settings("x", begin_with={"mask": str(tmp_path / "plain")}), 5, bf16=False)
    with pytest.raises(TrainingError, match="where the student's encoder begins"):
        Student(toy_settings("x", COMPACT, begin_with={"encoder": str(tmp_path / "plain")}), 5, bf16=False)
    with pytest.raises(CheckpointError, match="no checkpoint there"):
        Student(toy_settings("x", begin_with={"encoder": str(tmp_path / "nowhere")}), 5, bf16=False)


def test_the_loss_falls_and_so_does_each_term(home, tmp_path):
    stages = {"all": {"steps": 60, "learning_rate": 1e-2, "warm_up": 5}}
    distilled(home, tmp_path / "out", stages=stages)
    history = json.loads((tmp_path / "out" / "history.json").read_text())
    for name in ("loss", "share", "stay", "contrast"):
        early, late = (np.mean([row[name] for row in part]) for part in (history[:10], history[-10:]))
        assert late < 0.95 * early, name


@pytest.mark.parametrize("masked", [True, False])
def test_a_compact_student_learns_through_a_projector_that_is_thrown_away(home, tmp_path, masked):
    changes = {"embedding": 7} if masked else {"embedding": 7, "mask": None}
    model = COMPACT.model_copy(update={"encoder": COMPACT.encoder.model_copy(update=changes)})
    done = distilled(home, tmp_path / "out", model)
    checkpoint = load_checkpoint(done.last)
    assert checkpoint.config == model and checkpoint.dimensions == 7
    assert ("share" in json.loads((tmp_path / "out" / "history.json").read_text())[0]) == masked
    card = checkpoint.card
    assert (card["name"], card["steps"], card["teacher"]["name"]) == ("toy", 2, "teacher")
    assert card["teacher"]["fingerprint"] == load_checkpoint(home / "teacher").fingerprint
    assert not any("projector" in name for name in weights_of(done.last))
    state = torch.load(tmp_path / "out/state/1-all.pt", weights_only=True)
    assert state["projector"]["weight"].shape == (5, 7)


def test_the_teacher_does_not_listen_to_silence(home):
    spectrogram = torch.zeros(2, 1, 16, 40)
    spectrogram[0, ..., 30:] = -12.0
    assert frame_weights(spectrogram)[0].tolist() == pytest.approx([1.001] * 30 + [0.001] * 10)
    assert frame_weights(spectrogram)[1].tolist() == pytest.approx([1.001] * 40)
    teacher = Teacher(str(home / "teacher"), bf16=False)
    plain, clip = load_checkpoint(home / "teacher").encoder, open_bank(home / "bank").clip(0)
    waves = torch.from_numpy(np.pad(clip.samples[:RATE], (0, RATE)) / np.float32(32768))[None]
    heard = teacher.front_end(waves[:, None])
    weighted = plain.pooled(plain.heard(heard, frame_weights(heard)))
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(teacher(waves), weighted).item() == pytest.approx(1, abs=1e-5)
    assert cosine(teacher(waves), plain(heard)).item() < 0.99
    assert teacher(waves).norm().item() == pytest.approx(1)


def test_an_encoder_with_a_mask_can_teach():
    teacher = Teacher("default", bf16=False)
    wave = torch.randn(2, RATE, generator=torch.Generator().manual_seed(0))
    assert teacher(wave).shape == (2, teacher.checkpoint.dimensions)


def test_the_learning_rate_warms_up_and_falls_to_nothing():
    stage = StageConfig(steps=100, learning_rate=2.0, warm_up=10)
    rates = [learning_rate(stage, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.2) and max(rates) < 2.0 and rates.index(max(rates)) == 9
    assert rates[50] == pytest.approx(1.0) and rates[99] == pytest.approx(1 + math.cos(math.pi * 0.99))


def test_what_cannot_work_is_said_in_a_sentence(home, tmp_path):
    with pytest.raises(TrainingError, match=r"the teacher nobody: no checkpoint there; name a checkpoint"):
        train(toy_settings("nobody"), open_bank(home / "bank"), tmp_path / "a", tell=quiet)
    transformer = ModelConfig(
        front_end=FrontEndConfig(channels=1), encoder=TransformerConfig(width=8, blocks=1, heads=2, embedding=5)
    )
    with pytest.raises(TrainingError, match="a transformer encoder: cannot be a student"):
        distilled(home, tmp_path / "b", transformer)
    with pytest.raises(TrainingError, match="needs a student with one"):
        distilled(home, tmp_path / "c", TEACHER, stages={"mask": {"trains": "mask", "steps": 1, "learning_rate": 1}})
    nothing = {"share": 0, "stay": 0, "contrast": 0, "same_person": 0}
    with pytest.raises(TrainingError, match="no term with a weight"):
        distilled(home, tmp_path / "d", stages={"all": {"steps": 1, "learning_rate": 1, "terms": nothing}})
    distilled(home, tmp_path / "e")
    with pytest.raises(TrainingError, match="holds a run with other settings"):
        distilled(home, tmp_path / "e", seed=1)
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


def test_a_loss_that_is_not_finite_names_its_step_and_spoils_no_state(home, tmp_path):
    stages = {"all": {"steps": 6, "learning_rate": 1e30, "warm_up": 0}}
    with pytest.raises(TrainingError, match=r"the loss of step [2345] is not finite"):
        distilled(home, tmp_path / "out", stages=stages, keep_every=1)
    state = torch.load(tmp_path / "out/state/1-all.pt", weights_only=True)
    assert state["step"] < 5


def test_a_damaged_state_is_said_to_be_one(home, tmp_path):
    distilled(home, tmp_path / "out")
    (tmp_path / "out/state/1-all.pt").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="is damaged or of another model"):
        distilled(home, tmp_path / "out")


def test_presets_are_the_models_that_ship(tmp_path):
    default, fast = load_distillation("default"), load_distillation("fast")
    assert default.model == MODELS["cam++"]
    assert (default.views.count, default.views.seconds) == (384, 3.0)
    assert [(stage.trains, stage.learning_rate) for stage in default.stages.values()] == [("mask", 2e-3), ("all", 2e-4)]
    assert list(default.stages["mask"].terms.active) == ["share", "stay", "contrast"]
    assert fast.teacher == "default" and fast.model.encoder.embedding == default.model.encoder.embedding == 192
    assert fast.model.encoder.model_copy(update={"embedding": 256, "mask": None}) == MODELS["compact"].encoder
    assert fast.model.encoder.mask is not None
    changed = load_distillation("default", {"model.encoder.mask.width": 8, "stages.all.steps": 0})
    assert changed.model.encoder.mask.width == 8 and changed.model.encoder.mask.blocks == 8 and changed.steps == 1500
    assert is_distillation("fast") and not is_distillation("mixture")
    (tmp_path / "own.toml").write_text('kind = "distillation"\n')
    (tmp_path / "more.toml").write_text('extends = "own.toml"\nseed = 3\n')
    assert is_distillation(tmp_path / "more.toml") and not is_distillation(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"model\.preset large must be one of"):
        load_distillation("default", {"model.preset": "large"})
    with pytest.raises(ConfigError, match="at least one stage must have steps"):
        load_distillation("default", {"stages.mask.steps": 0, "stages.all.steps": 0})


TINY = (
    *("model.front_end.mel_bins=16", "model.encoder.channels=4", "model.encoder.width=8", "model.encoder.layers=[2,2]"),
    *("model.encoder.dilations=[1,2]", "model.encoder.growth=4", "model.encoder.bottleneck=8"),
    *("model.encoder.embedding=5", "model.encoder.mask.channels=[2,3,4]", "model.encoder.mask.width=8"),
    *("model.encoder.mask.blocks=1", "views.count_on_cpu=4", "views.seconds=0.5", "device=cpu"),
    *("stages.mask.steps=1", "stages.all.steps=1"),
)


def sets(*pairs: str) -> list[str]:
    return [word for pair in pairs for word in ("--set", pair)]


def test_the_command_from_a_bank_to_a_checkpoint(home, tmp_path, run):
    of_teacher = (f"teacher={home / 'teacher'}", f"begin_with.encoder={home / 'teacher'}")
    words = ("train", home / "bank", "--config", "default", "--out", tmp_path / "out", *sets(*TINY, *of_teacher))
    code, out, err = run(*words, "--json")
    assert code == 0, err
    assert json.loads(out)["steps"] == 2 and "mask, step 1 of 1: loss" in err
    assert load_checkpoint(tmp_path / "out/last").dimensions == 5
    code, out, err = run(*words)
    assert (code, err) == (0, "") and re_said(out, "at the end of 2 steps")
    for extra, said in (
        (("--pairs", "vocal"), "--pairs: has no meaning in a distillation"),
        (sets("stages.all.lr=1"), "unknown key stages.all.lr"),
        (sets("teacher=nobody"), "the teacher nobody: no checkpoint there"),
    ):
        code, out, err = run(*words, *extra)
        assert code != 0 and said in " ".join(err.split())
    code, out, err = run("train", tmp_path, "--config", "default", "--out", tmp_path / "no", *sets(*TINY))
    assert code != 0 and "Traceback" not in err


def re_said(text: str, words: str) -> bool:
    return words in " ".join(text.split())


def test_the_command_from_a_folder_of_files_names_the_bad_ones_and_goes_on(home, tmp_path, run, monkeypatch):
    # Processes of their own take seconds to start, and have a test of their own.
    monkeypatch.setattr(bank_module, "each", lambda work, items, workers: each(work, items, 0))
    export_bank(open_bank(home / "bank"), tmp_path / "files", workers=0)
    (tmp_path / "files/voices/person-0/bad.flac").write_bytes(b"nothing")
    soundfile.write(tmp_path / "files/bands/extra.wav", np.full(RATE, 0.5), RATE)
    own = tmp_path / "own.toml"
    own.write_text(toy_toml(home / "teacher"))
    code, out, err = run("train", tmp_path / "files", "--config", own, "--out", tmp_path / "out")
    assert code == 1 and "8 clips decoded" in err and "1 failure:" in err and "bad.flac" in err
    assert re_said(out, "at the end of 1 steps")
    assert open_bank(tmp_path / "out/bank").bands.size == 5 * RATE


def toy_toml(teacher: Path) -> str:
    return f"""
kind = "distillation"
teacher = "{teacher}"
device = "cpu"
views = {{ count_on_cpu = 4, seconds = 0.5 }}
stages.all = {{ steps = 1, learning_rate = 1e-3 }}
[model]
preset = "compact"
encoder = {{ embedding = 5, stem = [2, 3], width = 8, blocks = 1 }}
"""
