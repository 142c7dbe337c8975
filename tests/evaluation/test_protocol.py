"""Runs on made embeddings with known answers; leaks; resumption; rows against votes counted again."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation_fixtures import scene
from whosings.catalogue.manifest import Manifest
from whosings.catalogue.roles import SingerSplit
from whosings.config import HEADS, HeadConfig
from whosings.errors import EvaluationError
from whosings.evaluation import protocol
from whosings.evaluation.protocol import Setting, enrol, evaluate
from whosings.evaluation.results import read_results, run_path

HEAD, NEAREST = "quick", "prototype"
QUICK = HeadConfig(hidden=(32, 16), iterations_per_epoch=8, max_epochs=10, precision="float32")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Heads that are small and soon trained."""
    heads = {
        "quick": QUICK,
        "quick-linear": QUICK.model_copy(update={"kind": "linear"}),
        "prototype": HEADS["prototype"],
    }
    monkeypatch.setattr(protocol, "HEADS", heads)


def run(folder, made, **changes):
    setting = Setting(**{"set": "closed", "model": "made", "head": HEAD, "classes": None, "runs": 3, **changes})
    clones = made.clones if setting.set == "cloned" else ()
    count = evaluate(setting, enrol(made.split, made.corpus), made.corpus, folder, clones)
    return count, read_results(folder)


@pytest.mark.parametrize("head", [HEAD, NEAREST, "quick-linear"])
def test_separable_singers_are_all_found(tmp_path, head):
    _, results = run(tmp_path, scene(), head=head)
    assert len(results) == 36 and results["top_1"].min() == 1 and results["rank"].max() == 1
    assert (results["predicted"] == results["target"]).all()


@pytest.mark.parametrize("head", [HEAD, NEAREST])
def test_every_run_and_every_track_is_counted(tmp_path, head):
    made, done = scene(), {}

    def progress(label, steps):
        done[label] = [0, steps]
        return lambda: done[label].__setitem__(0, done[label][0] + 1)

    pool = enrol(made.split, made.corpus, progress)
    evaluate(Setting("closed", "m", head, None, runs=3, together=2), pool, made.corpus, tmp_path, progress=progress)
    assert done["looking for copies"] == [60, 60] and done["closed, 12 singers"] == [3, 3]
    assert head == NEAREST or done["epochs of 1 heads"][0] > 0


def test_random_embeddings_are_named_at_chance(tmp_path):
    _, results = run(tmp_path, scene(singers=40, clones=0, spread=1e4), head=NEAREST, runs=1)
    assert 0 <= results["top_1"].mean() < 0.15 and 0.02 < results["top_5"].mean() < 0.3


def test_singers_are_drawn_anew_each_run_and_the_same_again(tmp_path):
    _, results = run(tmp_path / "a", scene(), classes=6, head=NEAREST)
    drawn = [set(rows["target"]) for _, rows in results.groups("run")]
    assert all(len(names) == 6 for names in drawn) and drawn[0] != drawn[1]
    _, again = run(tmp_path / "b", scene(), classes=6, head=NEAREST)
    assert [set(rows["target"]) for _, rows in again.groups("run")] == drawn


def test_runs_go_on_where_they_stopped_with_the_same_result(tmp_path):
    made = scene(spread=1.2)
    assert run(tmp_path / "once", made)[0] == 3
    assert run(tmp_path / "twice", made, runs=1, together=1)[0] == 1
    assert run(tmp_path / "twice", made, together=1)[0] == 2
    for number in range(3):
        name = Setting("closed", "made", HEAD, None).name
        once, twice = (run_path(tmp_path / folder, name, number).read_bytes() for folder in ("once", "twice"))
        assert once == twice
    assert run(tmp_path / "once", made)[0] == 0


@pytest.mark.parametrize("change", ["head", "vectors", "tracks"])
def test_results_of_something_else_are_not_taken_over(tmp_path, change, monkeypatch):
    made = scene()
    run(tmp_path, made, runs=1)
    if change == "head":
        monkeypatch.setattr(protocol, "HEADS", {"quick": QUICK.model_copy(update={"batch": 10})})
    if change == "vectors":
        made = replace(made, corpus=replace(made.corpus, vectors=made.corpus.vectors * np.float32(0.999)))
    if change == "tracks":
        train = Manifest(made.split.train.tracks[:-1])
        made = replace(made, split=replace(made.split, train=train))
    with pytest.raises(EvaluationError, match="other tracks, another encoder or other settings"):
        run(tmp_path, made, runs=1)


def test_cloned_singers_always_take_part_and_real_tracks_are_scored_beside(tmp_path):
    _, results = run(tmp_path, scene(), set="cloned", classes=6, head=NEAREST)
    for _, rows in results.groups("run"):
        assert {"s01", "s02", "s03", "s04"} <= set(rows.where(set="cloned-real")["target"])
        clones = rows.where(set="cloned")
        assert sorted(clones["probe"]) == [f"clone-{n}" for n in range(4)]
        assert list(clones["target"]) == ["s01", "s02", "s03", "s04"] and clones["top_1"].min() == 1
        enrolled = set(rows.where(set="cloned-real")["target"])
        for source, named, owner, number in zip(
            clones["source"], clones["source_top_1"], clones["owner"], range(4), strict=True
        ):
            assert source == f"s{number:02d}"
            assert np.isnan(named) == (source not in enrolled) and not named > 0
            assert owner == ("source", "enrolled" if "s09" in enrolled else "other", "other")[number % 3]
    assert (results.where(set="cloned-real")["source"] == "").all()


def test_a_clone_of_two_may_be_named_as_either(tmp_path):
    made = scene()
    both = replace(made.clones[0], target_singer_ids=("s07", "s01", "nobody"))
    corpus = replace(made.corpus, tracks=tuple(both if t == made.clones[0] else t for t in made.corpus.tracks))
    _, results = run(tmp_path, replace(made, clones=(both,), corpus=corpus), set="cloned", classes=8, head=NEAREST)
    clones = results.where(set="cloned")
    assert (clones["target"] == "s01;s07").all() and clones["top_1"].min() == 1 and (clones["train_tracks"] == 6).all()


def test_album_and_training_tracks_are_told(tmp_path):
    """Songs 0 and 1 are on the first album, training begins with song 2; with song 1 moved there it is shared."""
    made = scene()
    _, results = run(tmp_path / "a", made, head=NEAREST, runs=1)
    assert not any(results["album_shared"]) and (results["train_tracks"] == 3).all()
    train = Manifest(
        tuple(replace(t, album=" ALBUM  0") if t.singer_id == "s03" else t for t in made.split.train.tracks)
    )
    _, results = run(tmp_path / "b", replace(made, split=replace(made.split, train=train)), head=NEAREST, runs=1)
    assert [target for target, shared in zip(results["target"], results["album_shared"], strict=True) if shared] == [
        "s03"
    ]


@pytest.mark.parametrize("role", ["test", "validation"])
def test_no_copy_of_a_test_or_validation_track_trains(role, monkeypatch):
    """Rows of all data are looked up: none belongs to a held-out track or to its copy."""
    made = scene()
    held = getattr(made.split, role).tracks[4]
    copied = next(t for t in made.split.train.tracks if t.singer_id == "s07")
    train = tuple(replace(t, sha256=held.sha256) if t == copied else t for t in made.split.train.tracks)
    split = replace(made.split, train=Manifest(train))
    pool = enrol(split, made.corpus)
    setting = Setting("closed", "made", HEAD, None)
    singers = protocol._draw(setting, pool, (), 0)
    data = protocol._head_data(setting, singers, made.corpus, 0)
    starts = {int(made.corpus.first[place]): name for name, place in made.corpus.place.items()}
    trained = {starts[start] for start in data.train.start.tolist()}
    validated = {starts[start] for start in data.validation.start.tolist()}
    held_out = {t.track_id for t in (*split.validation.tracks, *split.test.tracks)}
    assert copied.track_id not in trained and not trained & held_out
    assert trained == {t.track_id for t in train} - {copied.track_id}
    assert validated == {t.track_id for t in split.validation.tracks}


def test_a_copy_of_a_test_track_does_not_validate_either():
    made = scene()
    held = made.split.test.tracks[0]
    validation = tuple(
        replace(t, sha256=held.sha256) if t.singer_id == "s05" else t for t in made.split.validation.tracks
    )
    pool = enrol(replace(made.split, validation=Manifest(validation)), made.corpus)
    assert "s05" not in pool.singers
    assert [(one.singer_id, "validation" in one.reason) for one in pool.left_out] == [("s05", True)]


def test_singers_without_singing_are_left_out_with_a_reason():
    made = scene()
    silent = {"s02/0", "s04/1", "s06/2", "s06/3", "s06/4", "s08/2"}
    kept = [number for number, track in enumerate(made.corpus.tracks) if track.track_id not in silent]
    first = made.corpus.first
    corpus = replace(
        made.corpus,
        tracks=tuple(made.corpus.tracks[n] for n in kept),
        vectors=np.concatenate([made.corpus.vectors[first[n] : first[n + 1]] for n in kept]),
        first=np.concatenate([[0], np.cumsum([first[n + 1] - first[n] for n in kept])]),
    )
    pool = enrol(made.split, corpus)
    assert {one.singer_id for one in pool.left_out} == {"s02", "s04", "s06"}
    assert len(pool.singers["s08"].train) == 2
    split = SingerSplit(*(Manifest(getattr(made.split, role).tracks[:0]) for role in ("train", "validation", "test")))
    with pytest.raises(EvaluationError, match="no singer with embeddings"):
        enrol(split, corpus)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 13}, "13 classes: do not fit, 2 to 12 singers can take part"),
        ({"classes": 1}, "1 classes: do not fit, 2 to 12 singers can take part"),
        ({"set": "cloned", "classes": 3}, "3 classes: do not fit, 4 to 12"),
    ],
)
def test_numbers_of_singers_that_do_not_fit(tmp_path, changes, message):
    with pytest.raises(EvaluationError) as caught:
        run(tmp_path, scene(), **changes)
    assert message in str(caught.value)


@pytest.mark.parametrize("classes", [None, 1])
def test_one_singer_is_no_measurement(tmp_path, classes):
    """The only class is always right."""
    with pytest.raises(EvaluationError, match=r"accuracy: cannot be measured with one singer.*; give two or more\."):
        run(tmp_path, scene(singers=1, clones=0), classes=classes)
    assert not list(tmp_path.iterdir())


def test_clones_of_nobody():
    made = scene()
    strangers = tuple(replace(clone, target_singer_ids=("nobody",)) for clone in made.clones)
    with pytest.raises(EvaluationError, match="imitate nobody"):
        evaluate(Setting("cloned", "m", NEAREST, 6), enrol(made.split, made.corpus), made.corpus, None, strangers)


def test_vectors_of_other_lengths_are_standardised(tmp_path):
    """One feature a thousand times as large as the others says nothing; standardised, the others are heard."""
    made = scene()
    noise = 1000 * np.random.default_rng(0).normal(size=(len(made.corpus.vectors), 1)).astype(np.float32)
    vectors = np.concatenate([made.corpus.vectors, noise], axis=1)
    _, results = run(tmp_path, replace(made, corpus=replace(made.corpus, vectors=vectors)), head=NEAREST, runs=1)
    assert results["top_1"].mean() > 0.9


def several(made):
    """The scene's split with two training tracks of each singer moved to test and to validate."""
    whole = made.split.train
    moved = {singer: tracks[:2] for singer, tracks in whole.by_singer.items()}
    gone = {track.track_id for tracks in moved.values() for track in tracks}
    return SingerSplit(
        Manifest(tuple(track for track in whole.tracks if track.track_id not in gone)),
        Manifest((*made.split.validation.tracks, *(tracks[0] for tracks in moved.values()))),
        Manifest((*made.split.test.tracks, *(tracks[1] for tracks in moved.values()))),
    )


@pytest.mark.parametrize("head", [HEAD, NEAREST])
def test_singers_may_have_several_test_and_validation_tracks(tmp_path, head):
    made = scene(train=5)
    split = several(made)
    made = replace(made, split=split)
    _, results = run(tmp_path, made, head=head, runs=1)
    assert sorted(results["probe"]) == sorted(track.track_id for track in split.test.tracks) and len(results) == 24
    singer = {track.track_id: track.singer_id for track in split.test.tracks}
    assert list(results["target"]) == [singer[probe] for probe in results["probe"]] and results["top_1"].min() == 1
    data = protocol._head_data(
        Setting("closed", "m", head, None), list(enrol(split, made.corpus).singers.values()), made.corpus, 0
    )
    assert np.bincount(data.validation.label).tolist() == [2] * 12


def test_of_several_test_tracks_those_that_are_heard_count():
    made = scene(train=5)
    split = several(made)
    silent = split.test.tracks[0]
    heard = tuple(track for track in made.corpus.tracks if track != silent)
    place = [made.corpus.place[track.track_id] for track in heard]
    length = [int(made.corpus.first[n + 1] - made.corpus.first[n]) for n in place]
    corpus = replace(made.corpus, tracks=heard, first=np.concatenate([[0], np.cumsum(length)]))
    pool = enrol(split, corpus)
    assert silent.singer_id in pool.singers and not pool.left_out
    assert silent not in pool.singers[silent.singer_id].test and len(pool.singers[silent.singer_id].test) == 1
