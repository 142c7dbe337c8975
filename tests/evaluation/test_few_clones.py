"""Made clones that lie beside their singers: each known one draws the singer's mean towards the others."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation_fixtures import scene
from whosings.catalogue.manifest import Track
from whosings.errors import EvaluationError
from whosings.evaluation.corpus import Corpus
from whosings.evaluation.few_clones import divide_clones, with_known
from whosings.evaluation.paper_tables import lines
from whosings.evaluation.protocol import Setting, enrol, evaluate
from whosings.evaluation.results import read_results


def clone(number, target, source):
    return Track(
        f"c-{target}-{number}",
        source,
        Path(f"c-{target}-{number}.flac"),
        cloned=True,
        target_singer_ids=(target,),
        sha256=f"c-{target}-{number}",
    )


def with_clones(own, made, away):
    """The scene's corpus and clones half way to another direction, which all clones of a singer share."""
    rng = np.random.default_rng(5)
    directions = {target: rng.normal(size=16) for target in {one.target_singer_ids[0] for one in made}}
    tracks, vectors, counts = list(own.corpus.tracks), [own.corpus.vectors], list(np.diff(own.corpus.first))
    for one in made:
        target = one.target_singer_ids[0]
        centre = own.corpus.of(f"{target}/2").mean(axis=0) + away * directions[target] / 4
        rows = centre + 0.05 * rng.normal(size=(5, 16))
        vectors.append((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
        tracks.append(one)
        counts.append(5)
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Corpus(tuple(tracks), np.concatenate(vectors), first, np.zeros(first[-1]), "made")


@pytest.fixture
def made():
    return [clone(n, f"s{t:02d}", f"s{(t + n + 1) % 12:02d}") for t in range(4) for n in range(6)]


def test_known_clones_are_nested_and_no_performer_is_on_both_sides(made):
    own = scene()
    corpus = with_clones(own, made, 1.0)
    pool = enrol(own.split, corpus)
    again = clone(6, "s00", made[0].singer_id)
    few, more = (divide_clones([*made, again], pool, corpus, most) for most in (1, 3))
    assert set(few.known) == {"s00", "s01", "s02", "s03"}
    for target, known in few.known.items():
        assert more.known[target][:1] == known and len(more.known[target]) == 3
        performers = {one.singer_id for one in more.known[target]}
        asked = [one for one in more.asked if one.target_singer_ids == (target,)]
        assert asked and not performers & {one.singer_id for one in asked}
    assert divide_clones(made, pool, corpus, 3) == divide_clones(made[::-1], pool, corpus, 3)
    pools = [with_known(pool, more, number) for number in (0, 2)]
    assert pools[0].singers == pool.singers
    assert pools[1].singers["s01"].train == (*pool.singers["s01"].train, *more.known["s01"][:2])
    assert pools[1].singers["s07"] == pool.singers["s07"]
    with pytest.raises(EvaluationError, match="are too few to know 6 of a singer"):
        divide_clones(made, pool, corpus, 6)
    left = divide_clones([*made[:6], *made[6:9]], pool, corpus, 4).left_out
    assert [one.singer_id for one in left] == ["s01"]


def test_others_are_found_more_often_the_more_are_known(made, tmp_path):
    own = scene(spread=0.2)
    corpus = with_clones(own, made, 3.0)
    pool = enrol(own.split, corpus)
    divided = divide_clones(made, pool, corpus, 3)
    for number in (0, 3):
        setting = Setting(f"cloned+{number}", "made", "prototype", None, runs=2)
        evaluate(setting, with_known(pool, divided, number), corpus, tmp_path, divided.asked)
    found = {line.set: line for line in lines(read_results(tmp_path))}
    assert set(found) == {"cloned+0", "cloned+0-real", "cloned+3", "cloned+3-real"}
    assert found["cloned+0"].probes == found["cloned+3"].probes == len(divided.asked)
    assert found["cloned+3"].top_1.mean > found["cloned+0"].top_1.mean + 0.2
    assert found["cloned+3-real"].top_1.mean > 0.9


@pytest.mark.slow
def test_the_command(run, tiny, choir_folder, small_choir, tmp_path):
    """The choir's clones, of which each singer has few."""
    from whosings.catalogue.manifest import Manifest, write_manifest
    from whosings.catalogue.roles import assign_roles, write_roles

    real = [track for track in small_choir.tracks if not track.cloned]
    folder = tmp_path / "sets"
    folder.mkdir()
    write_manifest(Manifest(tuple(real)), folder / "closed.parquet")
    write_roles(assign_roles(Manifest(tuple(real)), min_train=1), folder / "closed.parquet")
    singers = sorted({track.singer_id for track in real})
    clones = [
        Track(
            f"clone-{number}",
            singers[number + 1],
            next(track.path for track in real if track.singer_id == singers[number + 1]),
            cloned=True,
            target_singer_ids=(singers[0],),
        )
        for number in range(2)
    ]
    write_manifest(Manifest(tuple(clones)), folder / "cloned.parquet")
    words = ["evaluate", "few-clones", str(folder), "--encoder", str(tiny.folder), "--head", "prototype", "--runs", "2"]
    code, out, err = run(*words, "--known", "0,1", "-o", str(tmp_path / "results"), "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [line["set"] for line in found["lines"]] == ["cloned+0", "cloned+0-real", "cloned+1", "cloned+1-real"]
    assert found["targets"] == 1
    assert "clone-1" in (tmp_path / "results/probes.json").read_text()  # so that a report can play it
    code, _, err = run("report", str(tmp_path / "results"))
    assert code == 0, err
    page = (tmp_path / "results/report/report.html").read_text()
    assert "A few clones known" in page and "cloned+1" in page.replace("&#43;", "+")
