"""Doubts about who is enrolled, on the command line: voices are embeddings, so that their truth is known."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.product.test_identification import embedder, track  # noqa: F401
from whosings.calibration import Logistic, calibration_of
from whosings.commands import gallery as gallery_commands
from whosings.commands import singers
from whosings.errors import CheckpointError
from whosings.gallery import Gallery


class Ear:
    """Embeds a file as its name says: ``PLACE-SEED.flac``, where the place is that of the voice."""

    def __init__(self, checkpoint, name="ear"):
        self._checkpoint, self.fingerprint, self.name = checkpoint, checkpoint.fingerprint, name

    @property
    def checkpoint(self):
        if self._checkpoint.card is None:
            raise CheckpointError(self.name, "carries no calibration", "give one, or name an encoder of whosings")
        return self._checkpoint

    def many(self, paths, progress):
        for path in paths:
            singer, seed = map(int, path.stem.split("-"))
            yield track([singer] * 8, 100 * singer + seed, name=path.name)


@pytest.fixture
def ear(embedder, monkeypatch):  # noqa: F811
    """Given to both commands in the place of any encoder; ``ear.now`` can be exchanged."""
    held = SimpleNamespace(now=Ear(embedder.checkpoint))
    for module in (singers, gallery_commands):
        monkeypatch.setattr(module, "open_embedder", lambda *_: held.now)
    return held


@pytest.fixture
def enrol(run, ear, tmp_path):
    def call(name, *recordings, options=()):
        for recording in recordings:
            (tmp_path / recording).write_text(recording)
        paths = [tmp_path / recording for recording in recordings]
        return run("enrol", name, *paths, "-g", tmp_path / "g", *options)

    for singer, name in enumerate(("Ann", "Bob", "Cy", "Di", "Eve", "Fay", "Gus", "Hal")):
        assert call(name, *(f"{singer}-{number}.flac" for number in range(4)))[2] == ""
    return call


def test_an_unlike_recording_is_told_as_it_is_enrolled(run, enrol, tmp_path):
    code, out, err = enrol("ann", "1-7.flac")
    assert code == 0 and out.startswith("1 recording enrolled; 8 singers")
    assert err == f"{tmp_path}/1-7.flac sounds unlike Ann's other 4 recordings; most like Bob\n"
    assert enrol("Ann", "0-8.flac")[2] == "", "what was told before is not told again"
    code, out, err = enrol("Di", "30-0.flac", options=["--json"])
    (misfit,) = json.loads(out)["doubts"]["misfits"]
    assert (code, err) == (0, "") and misfit["nats"] > 4.6
    assert misfit["recording"] == str(tmp_path / "30-0.flac") and misfit["singer"] == "Di" and misfit["like"] is None
    code, out, err = run("gallery", "check", "-g", tmp_path / "g", "--encoder", "ear")
    assert code == 0 and out.endswith("is whole: 8 singers, 35 recordings\n")
    assert err.splitlines() == [
        f"{tmp_path}/1-7.flac sounds unlike Ann's other 5 recordings; most like Bob",
        f"{tmp_path}/30-0.flac sounds unlike Di's other 4 recordings; like nobody enrolled",
    ]


def test_a_second_name_for_a_voice_is_told(run, enrol, tmp_path):
    code, _, err = enrol("Annie", "0-9.flac")
    assert code == 0 and err == "Ann and Annie sound like one singer\n"
    code, out, _ = run("gallery", "check", "-g", tmp_path / "g", "--encoder", "ear", "--json")
    found = json.loads(out)
    assert code == 0 and found["whole"] and found["unchecked"] is None and found["doubts"]["misfits"] == []
    assert [(pair["first"], pair["second"]) for pair in found["doubts"]["duplicates"]] == [("Ann", "Annie")]


def test_a_gallery_too_large_for_duplicates_is_told(run, enrol, ear, tmp_path):
    """A calibration whose best ratio cannot outweigh the number of singers."""
    checkpoint = ear.now.checkpoint
    weak = replace(calibration_of(checkpoint), track=Logistic(9, -3.0)).to_card()
    ear.now = Ear(replace(checkpoint, card={"calibration": weak}))
    assert enrol("Annie", "0-9.flac")[2] == ""
    code, _, err = run("gallery", "check", "-g", tmp_path / "g", "--encoder", "ear")
    assert code == 0 and "too many singers to tell whether two names are one voice" in err


def test_an_encoder_without_calibration_is_told(run, enrol, ear, tmp_path):
    ear.now = Ear(replace(ear.now.checkpoint, card=None), "model.onnx")
    code, _, err = enrol("Ann", "1-7.flac")
    assert code == 0 and err.startswith("not checked whether recordings fit their singers: model.onnx: carries no")
    code, out, err = run("gallery", "check", "-g", tmp_path / "g", "--encoder", "onnx:model.onnx")
    assert code == 0 and "is whole" in out and "not checked whether recordings fit" in err
    assert json.loads(enrol("Ann", "1-8.flac", options=["--json"])[1])["doubts"] is None


def test_a_gallery_is_checked_with_the_encoder_that_ships_or_is_named(run, enrol, tmp_path, ear):
    gallery = tmp_path / "g"
    code, out, err = run("gallery", "check", "-g", gallery)
    assert code == 0 and "is whole" in out and "encoder ear does not ship; name it with --encoder" in err
    found = json.loads(run("gallery", "check", "-g", gallery, "--json")[1])
    assert found["doubts"] is None and "does not ship" in found["unchecked"]
    ear.now = Ear(replace(ear.now.checkpoint, fingerprint="d" * 64), "another")
    code, _, err = run("gallery", "check", "-g", gallery, "--encoder", "another")
    assert code == 1 and "was made with encoder ear" in err


def test_a_shipped_encoder_is_found_by_its_fingerprint(run, tmp_path):
    from tests.product.test_gallery import made
    from whosings.encoder.checkpoint import load_checkpoint

    fingerprint = load_checkpoint("fast").fingerprint
    with Gallery(tmp_path / "g", fingerprint) as opened:
        opened.add("Ann", made(1, dimensions=load_checkpoint("fast").dimensions, fingerprint=fingerprint), "1")
    code, out, err = run("gallery", "check", "-g", tmp_path / "g", "--json")
    assert code == 0 and json.loads(out)["doubts"] == {"misfits": [], "duplicates": [], "comparable": True}, err
