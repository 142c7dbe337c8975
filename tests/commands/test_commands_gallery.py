"""Doubts about who is enrolled, on the command line: voices are embeddings, so that their truth is known."""

import json
from dataclasses import replace
from pathlib import Path
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


def test_one_recording_is_removed(run, enrol, tmp_path):
    gallery = tmp_path / "g"
    shown = json.loads(run("gallery", "show", "Ann", "-g", gallery, "--json")[1])
    digits = shown[1]["sha256"][:12]
    assert digits in run("gallery", "show", "Ann", "-g", gallery)[1].splitlines()[2].split()
    code, out, _ = run("gallery", "remove", "ann", "--recording", "0-0.flac", "-g", gallery)
    assert (code, out) == (0, f"{tmp_path}/0-0.flac is removed from {gallery}; 3 recordings of Ann are left\n")
    code, out, _ = run("gallery", "remove", "Ann", "--recording", digits, "-g", gallery, "--json")
    assert code == 0 and json.loads(out) == {
        "removed_recording": {"singer": "Ann", "source": shown[1]["source"], "sha256": shown[1]["sha256"]},
        "recordings": 2, "singer_removed": False,
    }  # fmt: skip
    code, _, err = run("gallery", "remove", "Ann", "--recording", "1-0.flac", "-g", gallery)
    assert (code, err) == (1, "1-0.flac: is no recording of Ann; list them with: whosings gallery show Ann.\n")
    with Gallery(gallery) as opened:
        opened.add("Ann", track([0] * 8, 1), "a" * 64, "/x/0-2.flac")
    code, _, err = run("gallery", "remove", "Ann", "--recording", "0-2.flac", "-g", gallery)
    one = next(row["sha256"][:12] for row in shown if row["source"].endswith("0-2.flac"))
    both = f"{tmp_path}/0-2.flac ({one}), /x/0-2.flac (aaaaaaaaaaaa)"
    remedy = "name one by its whole path or by the digits behind it"
    assert (code, err) == (1, f"0-2.flac: means 2 recordings of Ann: {both}; {remedy}.\n")
    with Gallery(gallery) as opened:
        first, second, last = (row.sha256 for row in opened.tracks_of("Ann"))
        opened.remove_track("Ann", first)
    for sha256, rest in ((second, "1 of Ann is left"), (last, "it was the last one of Ann, who is removed, too")):
        code, out, _ = run("gallery", "remove", "Ann", "--recording", sha256, "-g", gallery)
        assert code == 0 and out.endswith(f"; {rest}\n")
    assert "Ann" not in run("gallery", "list", "-g", gallery)[1]
    assert run("gallery", "check", "-g", gallery, "--encoder", "ear")[1].endswith("7 singers, 28 recordings\n")


def test_a_gallery_goes_out_and_in_again(run, enrol, tmp_path):
    gallery, file = tmp_path / "g", tmp_path / "e.jsonl"
    code, out, _ = run("gallery", "export", file, "-g", gallery)
    told = "who has the file has these voices, and where the recordings lie"
    assert (code, out) == (0, f"{file}: 8 singers with 32 recordings; {told}\n")
    code, out, _ = run("gallery", "import", file, "-g", tmp_path / "new")
    assert (code, out) == (0, f"32 recordings added to {tmp_path}/new, 8 new singers\n")
    lists = [run("gallery", "list", "-g", path, "--json")[1] for path in (gallery, tmp_path / "new")]
    assert lists[0] == lists[1]
    run("gallery", "remove", "Ann", "-g", gallery)
    code, out, _ = run("gallery", "import", file, "-g", gallery)
    assert (code, out) == (0, f"4 recordings added to {gallery}, 1 new singer; 28 were there already\n")
    code, out, _ = run("gallery", "import", file, "-g", gallery, "--json")
    assert code == 0 and json.loads(out) == {"singers": 0, "recordings": 0, "already_there": 32}
    code, out, _ = run("gallery", "export", file, "-g", gallery, "--json")
    assert code == 0 and json.loads(out) == {"exported": str(file), "singers": 8, "recordings": 32}
    file.write_text("hello\n")
    code, _, err = run("gallery", "import", file, "-g", gallery)
    assert code == 1
    assert err == f"{file}: is no exported gallery; name a file that whosings gallery export wrote.\n"
    assert run("gallery", "export", tmp_path / "e.txt", "-g", gallery)[0] == 2
    code, _, err = run("gallery", "export", file, "-g", tmp_path / "gone")
    assert code == 1 and "no such gallery" in err and file.read_text() == "hello\n"


def test_names_are_listed_by_a_part(run, enrol, tmp_path):
    def names(*part):
        return [row["name"] for row in json.loads(run("gallery", "list", *part, "-g", tmp_path / "g", "--json")[1])]

    assert len(names()) == 8 and names("Y") == ["Cy", "Fay"] and names("an") == ["Ann"] and names("x") == []
    code, out, _ = run("list", "HAL", "-g", tmp_path / "g")
    assert code == 0 and [line.split() for line in out.splitlines()] == [
        ["singer", "recordings", "segments"], ["Hal", "4", "32"],
    ]  # fmt: skip


def test_what_an_interrupted_removal_left_is_told_and_swept(run, enrol, tmp_path, monkeypatch):
    gallery = tmp_path / "g"
    with Gallery(gallery) as opened:
        monkeypatch.setattr(opened, "sweep", lambda: None)
        opened.remove("Ann")
    code, _, err = run("gallery", "check", "-g", gallery, "--encoder", "ear")
    assert code == 0 and err == (
        "a removal was interrupted, so that the file may still hold what was removed; run: whosings gallery sweep\n"
    )
    assert json.loads(run("gallery", "check", "-g", gallery, "--encoder", "ear", "--json")[1])["unswept"] is True
    size = gallery.stat().st_size
    code, out, _ = run("gallery", "sweep", "-g", gallery, "--json")
    swept = json.loads(out)
    assert code == 0 and swept["bytes_before"] == size > swept["bytes"] == gallery.stat().st_size
    code, out, _ = run("gallery", "sweep", "-g", gallery)
    assert code == 0 and out.startswith(f"{gallery} holds nothing that was removed; ")
    assert run("gallery", "check", "-g", gallery, "--encoder", "ear")[2] == ""
    code, _, err = run("gallery", "sweep", "-g", tmp_path / "gone")
    assert code == 1 and "no such gallery" in err


def test_an_interrupted_enrolment_goes_on_where_it_stopped(run, enrol, ear, tmp_path):
    class Tired(Ear):
        def many(self, paths, progress=None):
            for number, result in enumerate(super().many(paths, progress)):
                if number == 2:
                    raise KeyboardInterrupt
                heard.append(result.track_id)
                yield result

    heard, well = [], ear.now
    songs = [f"20-{number}.flac" for number in range(5)]
    ear.now = Tired(well.checkpoint)
    assert enrol("Ida", *songs)[0] == 130
    with Gallery(tmp_path / "g") as opened:
        assert [Path(row.source).name for row in opened.tracks_of("Ida")] == heard == songs[:2]
    ear.now = well
    code, out, _ = enrol("Ida", *songs)
    assert code == 0 and out.startswith("3 recordings enrolled, 2 already there; 9 singers")
