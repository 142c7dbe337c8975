"""Checkpoints: whole or not there, faithful, fingerprinted, and refused when they are anything else."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from whosings.config import (
    CampplusConfig,
    ConvolutionalConfig,
    FilterbankConfig,
    FrontEndConfig,
    MaskConfig,
    ModelConfig,
    ProjectorConfig,
    TransformerConfig,
)
from whosings.encoder import checkpoint as module
from whosings.encoder.checkpoint import build, load_checkpoint, rewrite_card, save_checkpoint
from whosings.errors import CheckpointError

FRONT = FrontEndConfig(channels=1, segment_s=1.0, mel_bins=32)
TRANSFORMER = ModelConfig(front_end=FRONT, encoder=TransformerConfig(width=8, blocks=1, heads=2, patch=8, embedding=6))
CONVOLUTIONAL = ModelConfig(
    front_end=FRONT, encoder=ConvolutionalConfig(stem=(2, 3), width=6, blocks=1, kernel=3, embedding=5)
)
CAMPPLUS = ModelConfig(
    front_end=FilterbankConfig(mel_bins=16),
    encoder=CampplusConfig(channels=2, width=4, layers=(1, 2), dilations=(1, 2), growth=2, bottleneck=4, embedding=5),
)
CARD = {"name": "Ünï", "metrics": {"top_1": 0.5}, "list": [1, None, True]}


def encoder_of(config: ModelConfig, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build(config)


def saved(folder: Path, config: ModelConfig = TRANSFORMER, **options) -> module.Checkpoint:
    return save_checkpoint(folder, config, encoder_of(config), CARD, **options)


def header_of(file: Path) -> dict:
    with safe_open(file, framework="pt") as opened:
        return json.loads(opened.metadata()["whosings"])


def rewrite(file: Path, change) -> None:
    """Pass header and tensors through ``change`` and write them back, as another program would."""
    with safe_open(file, framework="pt") as opened:
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        header = json.loads(opened.metadata()["whosings"])
    change(header, tensors)
    save_file(tensors, file, {"whosings": json.dumps(header)})


def refused(name: str | Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        load_checkpoint(name)
    assert str(caught.value).count("\n") == 0
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("config", [TRANSFORMER, CONVOLUTIONAL], ids=["transformer", "convolutional"])
@torch.no_grad()
def test_round_trip(tmp_path, config):
    encoder = encoder_of(config).eval()
    written = save_checkpoint(tmp_path / "deep" / "c", config, encoder, CARD)
    assert sorted(p.name for p in (tmp_path / "deep" / "c").iterdir()) == ["config.json", "model.safetensors"]
    for name in (tmp_path / "deep" / "c", str(tmp_path / "deep" / "c" / "model.safetensors")):
        loaded = load_checkpoint(name)
        assert loaded.config == config
        assert loaded.card == CARD
        assert loaded.dimensions == config.encoder.embedding
        assert loaded.fingerprint == written.fingerprint
        assert not loaded.encoder.training
        assert not any(weight.requires_grad for weight in loaded.encoder.parameters())
        for key, value in encoder.state_dict().items():
            assert torch.equal(loaded.encoder.state_dict()[key], value)
        items = torch.randn(2, 1, 32, 40)
        assert torch.equal(loaded.encoder(items), encoder(items))


def test_config_json_is_the_header(tmp_path):
    checkpoint = saved(tmp_path)
    text = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert text == header_of(tmp_path / "model.safetensors")
    assert set(text) == {"format", "fingerprint", "model", "card"}
    assert ModelConfig.model_validate(text["model"]) == TRANSFORMER
    assert text["fingerprint"] == checkpoint.fingerprint
    rewrite_card(tmp_path, {"new": 1})
    text = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert text == header_of(tmp_path / "model.safetensors")
    assert text["card"] == {"new": 1}


def test_half_storage(tmp_path):
    encoder = encoder_of(TRANSFORMER)
    full = save_checkpoint(tmp_path / "full", TRANSFORMER, encoder, CARD)
    half = save_checkpoint(tmp_path / "half", TRANSFORMER, encoder, CARD, half=True)
    with safe_open(tmp_path / "half" / "model.safetensors", framework="pt") as opened:
        assert {opened.get_tensor(key).dtype for key in opened.keys()} == {torch.float16}  # noqa: SIM118
    for key, value in half.encoder.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, encoder.state_dict()[key].half().float())
    count = sum(weight.numel() for weight in encoder.parameters())
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[0] - sizes[1] == pytest.approx(2 * count, abs=16)
    assert half.fingerprint != full.fingerprint  # other weights, other embeddings


def test_the_same_content_has_the_same_fingerprint_and_bytes(tmp_path):
    first, second = saved(tmp_path / "a"), saved(tmp_path / "b")
    assert first.fingerprint == second.fingerprint
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("config", [TRANSFORMER, CONVOLUTIONAL, CAMPPLUS], ids=lambda config: config.encoder.kind)
def test_any_single_weight_changes_the_fingerprint(tmp_path, config):
    encoder = encoder_of(config)
    seen = {save_checkpoint(tmp_path, config, encoder, CARD).fingerprint}
    weights = list(encoder.state_dict().values())
    for weight in weights:
        last = (-1,) * weight.ndim
        before = weight[last].item()
        weight[last] = float(np.nextafter(np.float32(before), np.float32(10)))  # the least change there is
        seen.add(save_checkpoint(tmp_path, config, encoder, CARD).fingerprint)
        weight[last] = before
    assert len(seen) == 1 + len(weights)


def changed(settings) -> list:
    """Each field of settings changed in turn."""
    other = {
        "channels": 2 if isinstance(settings, FrontEndConfig) else 3,
        "peak_normalise": False,
        "preemphasis": 0.5,
        "stem": (3, 3),
        "heads": 4,
        "log_offset": 1e-9,
        "sample_rate": None,
        "kind": None,
        "mask": MaskConfig(),
        "layers": (2, 4),
        "dilations": (3, 2),
    }
    for name, value in settings:
        new = other[name] if name in other else value * 2
        if new is not None and not (name == "channels" and isinstance(settings, FilterbankConfig)):
            yield name, settings.model_copy(update={name: new})


@pytest.mark.parametrize("config", [TRANSFORMER, CONVOLUTIONAL, CAMPPLUS], ids=lambda config: config.encoder.kind)
def test_any_field_of_the_configuration_changes_the_fingerprint(config):
    weights = {"w": torch.zeros(3)}
    variants = {"none": config}
    for part in ("front_end", "encoder"):
        for name, settings in changed(getattr(config, part)):
            variants[f"{part}.{name}"] = config.model_copy(update={part: settings})
    fields = len(type(config.front_end).model_fields) + len(type(config.encoder).model_fields)
    # kinds, the sample rate and a filterbank's channels have one value each
    assert len(variants) == 1 + fields - (4 if config is CAMPPLUS else 3)
    assert len({module._fingerprint(variant.model_dump(mode="json"), weights) for variant in variants.values()}) == len(
        variants
    )
    kinds = [
        config.model_copy(update={"encoder": c.encoder}).model_dump(mode="json") for c in (TRANSFORMER, CONVOLUTIONAL)
    ]
    assert module._fingerprint(kinds[0], weights) != module._fingerprint(kinds[1], weights)


def test_names_shapes_and_types_of_weights_count():
    model = TRANSFORMER.model_dump(mode="json")
    base = {"a": torch.zeros(4), "b": torch.zeros(2)}
    others = [
        {"a": torch.zeros(4), "c": torch.zeros(2)},
        {"a": torch.zeros(2, 2), "b": torch.zeros(2)},
        {"a": torch.zeros(4)},
        {"a": torch.zeros(2), "b": torch.zeros(4)},
        {"a": torch.zeros(4), "b": torch.zeros(2, dtype=torch.float64)},
    ]
    assert len({module._fingerprint(model, tensors) for tensors in [base, *others]}) == 6
    backwards = dict(reversed(base.items()))
    assert module._fingerprint(model, backwards) == module._fingerprint(model, base)


def test_neither_card_nor_projector_changes_the_fingerprint(tmp_path):
    encoder = encoder_of(TRANSFORMER)
    one = save_checkpoint(tmp_path, TRANSFORMER, encoder, {})
    projected = TRANSFORMER.model_copy(update={"projector": ProjectorConfig(layers=(3, 3, 3))})
    two = save_checkpoint(tmp_path, projected, encoder, CARD)
    assert one.fingerprint == two.fingerprint
    assert two.config == projected


@pytest.mark.parametrize("half", [False, True])
def test_rewriting_the_card_keeps_weights_and_fingerprint(tmp_path, half):
    before = saved(tmp_path, half=half)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as opened:
        weights = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    rewrite_card(tmp_path, {"calibration": {"threshold": 0.25}})
    after = load_checkpoint(tmp_path)
    assert after.card == {"calibration": {"threshold": 0.25}}
    assert (after.fingerprint, after.config) == (before.fingerprint, before.config)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as opened:
        for key, value in weights.items():
            assert torch.equal(opened.get_tensor(key), value)
            assert opened.get_tensor(key).dtype == value.dtype


def test_rewriting_the_card_of_nothing(tmp_path):
    with pytest.raises(CheckpointError, match="is not a checkpoint's folder"):
        rewrite_card(tmp_path, {})
    assert list(tmp_path.iterdir()) == []


def test_a_card_that_is_no_json_leaves_the_old_checkpoint(tmp_path):
    before = saved(tmp_path)
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, TRANSFORMER, encoder_of(TRANSFORMER, 9), {"path": Path("x")})
    assert load_checkpoint(tmp_path).fingerprint == before.fingerprint
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_missing(tmp_path):
    refused(tmp_path / "nothing", "no checkpoint there")
    refused(tmp_path, "no checkpoint there")
    (tmp_path / "config.json").write_text("{}")
    refused(tmp_path, "no checkpoint there")
    refused("", "no checkpoint there")


def test_no_encoder_ships(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "files", lambda package: tmp_path)
    refused("default", "this encoder does not ship with this installation")
    written = saved(tmp_path / "weights" / "default")
    assert load_checkpoint().fingerprint == written.fingerprint


def test_truncated_anywhere(tmp_path):
    saved(tmp_path)
    file = tmp_path / "model.safetensors"
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    cuts = [0, 1, 7, 8, 9, 100, header - 1, header, header + 1, (header + len(whole)) // 2, len(whole) - 1]
    for cut in cuts:
        file.write_bytes(whole[:cut])
        refused(tmp_path, "is damaged or not a safetensors file")
    file.write_bytes(whole + b"\0")
    refused(tmp_path, "is damaged or not a safetensors file")
    file.write_bytes(whole)
    load_checkpoint(tmp_path)


def test_garbage(tmp_path):
    file = tmp_path / "model.safetensors"
    rng = np.random.default_rng(0)
    for content in (b"hello", b"{}" * 50, bytes(5000), rng.bytes(5000), b"\xff" * 64, b"\x02" + bytes(7) + b"[]"):
        file.write_bytes(content)
        refused(tmp_path, "is damaged or not a safetensors file|another program")


def test_a_pickle_is_never_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    torch.save({"w": torch.zeros(3)}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Bomb()))
    torch.save({"w": torch.zeros(3), "bomb": Bomb()}, tmp_path / "c.pt")
    for name in ("a.pt", "b.pt", "c.pt"):
        refused(tmp_path / name, "is damaged or not a safetensors file")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "metadata",
    [None, {"format": "pt"}, {"whosings": "not json"}, {"whosings": "[1]"}, {"whosings": "3"}, {"whosings": "{}"}],
)
def test_another_programs_safetensors(tmp_path, metadata):
    save_file({"w": torch.zeros(3)}, tmp_path / "model.safetensors", metadata)
    refused(tmp_path, "is a checkpoint of another program's model")


def test_a_future_format(tmp_path):
    saved(tmp_path)
    rewrite(tmp_path / "model.safetensors", lambda header, _: header.update(format="whosings-encoder-2"))
    refused(tmp_path, "has format whosings-encoder-2; update whosings")
    with pytest.raises(CheckpointError, match="update whosings"):
        rewrite_card(tmp_path, {})


@pytest.mark.parametrize("key", ["fingerprint", "model", "card"])
def test_a_header_without(tmp_path, key):
    saved(tmp_path)
    rewrite(tmp_path / "model.safetensors", lambda header, _: header.pop(key))
    refused(tmp_path, "another program's model")


def test_a_tampered_weight(tmp_path):
    saved(tmp_path)
    file = tmp_path / "model.safetensors"
    whole = bytearray(file.read_bytes())
    start = 8 + int.from_bytes(whole[:8], "little")
    for position in (start, (start + len(whole)) // 2, len(whole) - 1):
        flipped = bytearray(whole)
        flipped[position] ^= 1
        file.write_bytes(flipped)
        refused(tmp_path, "does not match its own fingerprint")


def test_a_weight_more_or_less(tmp_path):
    saved(tmp_path / "a")
    rewrite(tmp_path / "a" / "model.safetensors", lambda _, tensors: tensors.pop("class_token"))
    refused(tmp_path / "a", "does not match its own fingerprint")
    saved(tmp_path / "b")
    rewrite(tmp_path / "b" / "model.safetensors", lambda _, tensors: tensors.update(extra=torch.zeros(1)))
    refused(tmp_path / "b", "does not match its own fingerprint")


def test_weights_another_program_stored_as_bfloat16(tmp_path):
    saved(tmp_path)

    def convert(_, tensors):
        tensors.update({key: value.bfloat16() for key, value in tensors.items()})

    rewrite(tmp_path / "model.safetensors", convert)
    refused(tmp_path, "does not match its own fingerprint")


def _another_width(header, tensors):
    header["model"]["encoder"]["width"] = 16


def _another_kind(header, tensors):
    header["model"]["encoder"] = CONVOLUTIONAL.encoder.model_dump(mode="json")


def _another_front_end(header, tensors):
    header["model"]["front_end"] = CAMPPLUS.front_end.model_dump(mode="json")


def test_a_checkpoint_of_another_front_end_is_told_so(tmp_path):
    def forge(header, tensors):
        _another_front_end(header, tensors)
        header["fingerprint"] = module._fingerprint(header["model"], tensors)

    saved(tmp_path)
    rewrite(tmp_path / "model.safetensors", forge)
    refused(tmp_path, "a transformer encoder needs front_end.kind log-mel, not filterbank")


def _more_blocks(header, tensors):
    header["model"]["encoder"]["blocks"] = 2


def test_a_setting_that_came_later_leaves_old_checkpoints_valid(tmp_path):
    def before(header, tensors):
        del header["model"]["encoder"]["mask"], header["model"]["front_end"]["kind"]
        header["fingerprint"] = module._fingerprint(header["model"], tensors)

    save_checkpoint(tmp_path, CONVOLUTIONAL, encoder_of(CONVOLUTIONAL), CARD)
    rewrite(tmp_path / "model.safetensors", before)
    assert load_checkpoint(tmp_path).config == CONVOLUTIONAL


@pytest.mark.parametrize("change", [_another_width, _another_kind, _more_blocks])
def test_a_tampered_architecture(tmp_path, change):
    saved(tmp_path / "a")
    rewrite(tmp_path / "a" / "model.safetensors", change)
    refused(tmp_path / "a", "does not match its own fingerprint")

    def forge(header, tensors):
        change(header, tensors)
        header["fingerprint"] = module._fingerprint(header["model"], tensors)

    saved(tmp_path / "b")
    rewrite(tmp_path / "b" / "model.safetensors", forge)
    refused(tmp_path / "b", "holds weights of another architecture than it names")


@pytest.mark.parametrize(
    "model",
    [
        {"encoder": {"kind": "recurrent"}},
        {"encoder": {"kind": "transformer", "heads": 5, "width": 8}},
        {"encoder": {"kind": "transformer", "surprise": 1}},
        {"front_end": {"hop": 0}},
        {"front_end": 3},
        "text",
        None,
        [],
    ],
)
def test_settings_this_program_does_not_know(tmp_path, model):
    saved(tmp_path)
    rewrite(tmp_path / "model.safetensors", lambda header, _: header.update(model=model))
    refused(tmp_path, "is a checkpoint of another program's model")


# One process imports once, then forks savers that it kills, and looks at what each left behind.
_KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from whosings.config import ModelConfig
from whosings.encoder.checkpoint import build, load_checkpoint, save_checkpoint

torch.set_num_threads(1)
folder, config = Path(sys.argv[1]), ModelConfig.model_validate_json(sys.argv[2])
encoders = []
for seed in (0, 1):
    torch.manual_seed(seed)
    encoders.append(build(config))
known = [save_checkpoint(folder, config, encoder, {"n": n}).fingerprint for n, encoder in enumerate(encoders)]
rng = random.Random(0)
for trial in range(12):
    child = os.fork()
    if child == 0:
        turn = trial
        while True:
            turn += 1
            save_checkpoint(folder, config, encoders[turn % 2], {"n": turn % 2})
    time.sleep(rng.uniform(0.005, 0.06))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the saver ended by itself"
    found = load_checkpoint(folder)
    assert found.fingerprint == known[found.card["n"]], "card and weights are of two saves"
    print(found.card["n"])


def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)


def half_written(path, content, write=Path.write_bytes):
    write(path, content[: len(content) // 2])
    die()


def second_rename(path, target, rename=Path.replace):
    die() if target.name == "config.json" else rename(path, target)


for name, function, expected in (
    ("write_bytes", half_written, known[0]), ("replace", die, known[0]), ("replace", second_rename, known[1])
):
    save_checkpoint(folder, config, encoders[0], {})
    child = os.fork()
    if child == 0:
        setattr(Path, name, function)
        save_checkpoint(folder, config, encoders[1], {})
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the saver did not die"
    assert load_checkpoint(folder).fingerprint == expected, function.__name__
print("done", len(list(folder.glob(".partial-*"))))
"""


def test_killed_while_saving(tmp_path):
    command = [sys.executable, "-c", _KILLER, str(tmp_path), CONVOLUTIONAL.model_dump_json()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    *rows, end = done.stdout.splitlines()
    assert len(rows) == 12
    assert end.startswith("done")
    assert int(end.split()[1]) >= 1  # what a kill in the middle leaves behind does no harm until the next save
    last = saved(tmp_path)
    assert load_checkpoint(tmp_path).fingerprint == last.fingerprint


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """An empty hub cache, and no network."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return cache


def publish(cache: Path, owner: str, name: str, folder: Path, files: tuple[str, ...] = ("model.safetensors",)) -> None:
    """Lay out a cached repository as huggingface_hub does."""
    revision = "0123456789abcdef0123456789abcdef01234567"
    repository = cache / f"models--{owner}--{name}"
    snapshot = repository / "snapshots" / revision
    for directory in (repository / "refs", repository / "blobs", snapshot):
        directory.mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    for number, file in enumerate(files):
        blob = repository / "blobs" / f"{number:064x}"
        shutil.copy(folder / file, blob)
        (snapshot / file).symlink_to(Path("../../blobs") / blob.name)


def test_from_the_hubs_cache(tmp_path, hub):
    written = saved(tmp_path / "c")
    publish(hub, "some-owner", "a.model_1", tmp_path / "c")
    loaded = load_checkpoint("hub:some-owner/a.model_1")
    assert loaded.fingerprint == written.fingerprint
    assert loaded.card == CARD


def test_a_path_never_asks_the_hub(tmp_path, hub, monkeypatch):
    saved(tmp_path / "c")
    publish(hub, "owner", "name", tmp_path / "c")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_: pytest.fail("the hub was asked"))
    refused("owner/name", "no checkpoint there")  # perhaps a folder, mistyped
    local = save_checkpoint(tmp_path / "owner" / "name", TRANSFORMER, encoder_of(TRANSFORMER, 5), {})
    assert load_checkpoint("owner/name").fingerprint == local.fingerprint


def test_a_damaged_file_in_the_hubs_cache(tmp_path, hub):
    saved(tmp_path / "c")
    file = tmp_path / "c" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    publish(hub, "owner", "name", tmp_path / "c")
    refused("hub:owner/name", "is damaged")


def test_not_in_the_hubs_cache_and_offline(tmp_path, hub):
    refused("hub:owner/name", "is not cached, and no hub answers")
    saved(tmp_path / "c")
    publish(hub, "owner", "name", tmp_path / "c", files=("config.json",))
    refused("hub:owner/name", "is not cached, and no hub answers")


@pytest.mark.parametrize("name", ["ow ner/na me", "a--b/c", "-a/b", "owner/name?"])
def test_no_hub_id(hub, name):
    refused(f"hub:{name}", "is not a model on the hub")
