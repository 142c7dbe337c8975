"""``whosings evaluate`` and ``whosings report`` from the command line, on a small choir with a tiny encoder."""

import json
import re
import shutil

import pyarrow.parquet
import pytest

from whosings.catalogue.manifest import Manifest, write_manifest
from whosings.catalogue.roles import assign_roles, read_roles, write_roles
from whosings.config import HEADS
from whosings.evaluation.results import read_results


@pytest.fixture(scope="module")
def closed(choir_folder, small_choir, tmp_path_factory):
    """A folder as ``choir`` and ``split`` make it; two singers are cloned, by relabelling, which is enough here."""
    from dataclasses import replace

    folder = tmp_path_factory.mktemp("closed")
    write_manifest(small_choir, folder / "closed.parquet")
    write_roles(assign_roles(small_choir, min_train=1), folder / "closed.parquet")
    names = list(small_choir.by_singer)
    clones = [
        replace(
            small_choir.by_singer[names[n]][0],
            track_id=f"clone-{n}",
            cloned=True,
            target_singer_ids=(names[n + 1],),
            clone_method="relabelled",
            instrumental_singer_id=names[n],
        )
        for n in range(2)
    ]
    write_manifest(Manifest(tuple(clones)), folder / "cloned.parquet")
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Where the tests below put their results, in their order."""
    return tmp_path_factory.mktemp("results")


def test_closed_then_cloned_then_the_rest(run, tiny, closed, results):
    common = (closed, "--encoder", tiny.folder, "--model", "tiny", "--out", results, "--runs", 2)
    code, out, err = run("evaluate", "closed", *common, "--head", "linear", "--classes", "4:6:2")
    assert code == 0, err
    assert re.search(r"closed +tiny +linear +4 +2 x \d", out) and re.search(r"closed +tiny +linear +6 +2 x 6", out)
    code, out, err = run("evaluate", "closed", *common, "--head", "linear", "--classes", "4:6:2", "--json")
    assert code == 0 and json.loads(out)["made"] == 0 and len(json.loads(out)["lines"]) == 2
    code, out, err = run("evaluate", "cloned", *common, "--head", "prototype", "--json")
    assert code == 0, err
    assert {line["set"] for line in json.loads(out)["lines"]} == {"closed", "cloned", "cloned-real"}
    clones = read_results(results).where(set="cloned")
    assert len(clones) == 4 and clones["source_top_1"].min() == 1 and clones["top_1"].max() == 0
    assert (clones["owner"] == "source").all()
    code, out, err = run("evaluate", "similarity", *common[:-2])
    assert code == 0 and "instrumental stem" in out, err
    code, out, err = run("evaluate", "product", *common[:-2])
    assert code == 0 and "strangers' probes" in out and re.search(r"[12] clones", out), err
    assert len(json.loads((results / "summary.json").read_text())) == 4


def test_the_product_hears_its_probes_by_short_windows(run, closed, tmp_path):
    """With an encoder that gives them; of what is enrolled none are kept."""
    code, out, err = run("evaluate", "product", closed, "--encoder", "fast", "--out", tmp_path, "--json")
    assert code == 0 and 0 <= json.loads(out)["open_set"]["beside"] <= 1, err
    kept = pyarrow.parquet.read_table(tmp_path / "embeddings-fast-mixture-windows.parquet")
    tests = {track.track_id for track in read_roles(closed / "closed.parquet").test.tracks}
    assert set(kept["track_id"].to_pylist()) == tests | {"clone-0", "clone-1"}


def test_a_report_of_it_all(run, results):
    pytest.importorskip("matplotlib")
    code, out, err = run("report", results, "--json")
    assert code == 0, err
    made = json.loads(out)
    names = {path.rsplit("/", 1)[1] for path in made["figures"]}
    assert {
        "figure1-classes.png",
        "figure1-classes.pdf",
        "figure4-similarity.png",
        "product.png",
        "clones.png",
    } <= names
    page = (results / "report/report.html").read_text()
    assert page.count("data:image/png;base64,") == len(names) / 2
    assert "not a proof of who sings" in page and "relabelled" in page
    assert "| closed | tiny | linear | 4 |" in (results / "report/tables.md").read_text()


def test_a_report_of_nothing(run, tmp_path):
    code, _, err = run("report", tmp_path)
    assert code == 1 and "holds no results; make some: whosings evaluate closed" in err.replace("\n", " ")


def test_the_authors_code_as_an_option(run, tiny, closed, tmp_path, monkeypatch):
    """No probability of 6 outputs of unit length exceeds that of one at 1 and the others a little below 0."""
    for head in ("projector-normalised", "projector-authors-code"):
        monkeypatch.setitem(HEADS, head, HEADS[head].model_copy(update={"max_epochs": 2}))
    words = (closed, "--encoder", tiny.folder, "--model", "tiny", "--out", tmp_path, "--runs", 1)
    for head in ("projector-normalised", "projector-authors-code"):
        code, out, err = run("evaluate", "closed", *words, "--head", head, "--json")
        assert code == 0, err
        assert head in {line["head"] for line in json.loads(out)["lines"]}
    assert read_results(tmp_path)["probability"].max() < 0.4


def test_one_unreadable_file_does_not_stop_it(run, tiny, closed, choir_folder, small_choir, tmp_path):
    moved = tmp_path / "choir"
    shutil.copytree(choir_folder, moved)
    from whosings.catalogue.manifest import read_manifest

    manifest = read_manifest(moved / "choir.parquet")
    write_manifest(manifest, moved / "closed.parquet")
    split = assign_roles(manifest, min_train=1)
    write_roles(split, moved / "closed.parquet")
    split.test.tracks[0].path.write_bytes(b"no sound")
    words = (moved, "--encoder", tiny.folder, "--out", tmp_path / "r", "--runs", 1, "--head", "prototype")
    code, out, err = run("evaluate", "closed", *words)
    assert code == 1 and "1 failure" in err and "0 tracks and 1 singers took no part" in err
    assert re.search(r"prototype +5 +1 x 5", out)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("closed", "FOLDER", "--classes", "9"), 1, "9 classes: do not fit"),
        (("closed", "FOLDER", "--classes", "x:y"), 2, "is not all, 100 or 100:1000:100"),
        (("closed", "nowhere"), 1, "nowhere"),
        (("fma", "FOLDER"), 2, "fma needs --audio"),
        (("cloned", "FOLDER", "--clones", "nowhere.csv"), 1, "nowhere.csv"),
        (("product", "FOLDER", "--encoder", "mfcc"), 1, "carries no calibration"),
        (("closed", "FOLDER", "--head", "none"), 2, "no head none; there are projector"),
        (("closed", "FOLDER", "--model", "runs/best"), 2, "--model runs/best would be part of files' names"),
        (("closed", "FOLDER", "--known", "1"), 2, "--known changes nothing for closed"),
        (("few-clones", "nowhere", "--known", "some"), 2, "some is not a list of numbers such as 0,1,3"),
        (("few-clones", "nowhere", "--classes", "2:4:1"), 2, "few-clones takes one number of singers"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(run, tiny, closed, tmp_path, words, code, message):
    words = [closed if word == "FOLDER" else word for word in words]
    encoder = () if "--encoder" in words else ("--encoder", tiny.folder)
    head = () if "--head" in words or "product" in words else ("--head", "prototype")
    found, _, err = run("evaluate", *words, *encoder, *head, "--out", tmp_path)
    assert found == code and message in err.replace("\n", " ") and "Traceback" not in err


def test_published_splits(run, tiny, choir_folder, small_choir, tmp_path):
    """FMA's form: three singers of the choir under file names of FMA."""
    audio, splits = tmp_path / "audio", tmp_path / "splits/FMA"
    splits.mkdir(parents=True)
    sets = {"train": {}, "val": {}, "test": {}}
    for singer, (name, tracks) in enumerate(list(small_choir.by_singer.items())[:3]):
        for number, (track, which) in enumerate(zip(tracks, sets, strict=True)):
            file_id = f"{1000 * singer + number:06d}.mp3"
            place = audio / file_id[:3] / file_id
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(track.path, place)
            entry = {"file_id": file_id, "vocal_segs": [0]}
            sets[which][name] = {"track": [entry] if which == "train" else entry}
    for which, content in sets.items():
        (splits / f"fma_{which}_set.json").write_text(json.dumps(content))
    words = ("--audio", audio, "--encoder", tiny.folder, "--out", tmp_path / "r", "--runs", 1, "--head", "prototype")
    code, out, err = run("evaluate", "fma", tmp_path, *words)
    assert code == 0, err
    assert re.search(r"fma +\S+ +prototype +3 +1 x 3", out)


def test_a_device_that_is_not_here_is_a_sentence_whatever_embeds(run, closed, tmp_path):
    code, _, err = run("evaluate", "closed", closed, "--encoder", "mfcc", "--device", "warp", "--out", tmp_path / "r")
    assert code == 1 and "device warp: cannot be used here; use cpu or auto" in " ".join(err.split())
    assert not (tmp_path / "r").exists()


def test_weak_clones_take_part_if_asked_for(run, tiny, closed, tmp_path):
    from dataclasses import replace

    from whosings.catalogue.manifest import read_manifest

    one, other = read_manifest(closed / "cloned.parquet").tracks
    weak = replace(other, clone_method="statistics")
    write_manifest(Manifest((one, weak)), tmp_path / "clones.parquet")
    words = (closed, "--encoder", tiny.folder, "--model", "tiny", "--runs", 1, "--head", "prototype", "--clones")
    for number, options in enumerate(((), ("--weak-clones",))):
        out = tmp_path / f"results-{number}"
        code, _, err = run("evaluate", "cloned", *words, tmp_path / "clones.parquet", "--out", out, *options)
        assert code == 0, err
        assert len(read_results(out).where(set="cloned")) == 1 + number


@pytest.mark.parametrize(
    ("what", "words", "places"),
    [
        ("similarity", ("--runs", 3), "closed, cloned, fma, mtg"),
        ("closed", ("--unknown-prior", 0.2), "product"),
        ("product", ("--head", "linear"), "closed, cloned, fma, mtg"),
        ("closed", ("--weak-clones",), "cloned, product"),
        ("cloned", ("--audio", "."), "fma, mtg"),
    ],
)
def test_options_that_an_analysis_ignores_are_refused(run, tmp_path, what, words, places):
    code, _, err = run("evaluate", what, tmp_path, "--encoder", "mfcc", *words)
    said = " ".join(err.replace("│", " ").split())
    assert code == 2
    assert f"{words[0]} changes nothing for {what}; it counts for {places}" in said
