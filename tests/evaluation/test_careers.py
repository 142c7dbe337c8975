"""Made singers whose voices move a known way every year."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from whosings.catalogue.manifest import Manifest, Track, write_manifest
from whosings.catalogue.roles import assign_roles, write_roles
from whosings.errors import EvaluationError
from whosings.evaluation.careers import CAREER_COLUMNS, SAME_ALBUM, career_cells, careers, careers_from
from whosings.evaluation.corpus import Corpus
from whosings.evaluation.report import write_report

SINGERS, YEARS = 6, (2000, 2000, 2004, 2009, 2030)


def made(angle=0.0):
    """Singer n begins at axis n and turns so many radians a year towards axis n + 1."""
    tracks, vectors = [], []
    for singer in range(SINGERS):
        for number, year in enumerate(YEARS):
            turned = angle * (year - 2000)
            vector = np.zeros(SINGERS, np.float32)
            vector[singer], vector[(singer + 1) % SINGERS] = np.cos(turned), np.sin(turned)
            name = f"s{singer}/{number}"
            tracks.append(
                Track(name, f"s{singer}", Path(f"{name}.flac"), album=f"album of {year}", release_date=f"{year}-05-01")
            )
            vectors += [vector, vector]
    first = np.arange(len(tracks) + 1) * 2
    return tracks, Corpus(tuple(tracks), np.stack(vectors), first, np.zeros(len(vectors)), "made")


def test_a_voice_that_does_not_change_is_always_known():
    tracks, corpus = made()
    found = careers("made", tracks, corpus)
    assert (found.model, found.enrolled) == ("made", SINGERS)
    assert [(one.years, one.top_1.count, one.singers) for one in found.bins] == [
        (SAME_ALBUM, 6, 6),
        ("3-5", 6, 6),
        ("6-10", 6, 6),
        ("21+", 6, 6),
    ]
    assert all(one.top_1.mean == 1 and one.cosine == pytest.approx(1) and one.others == 0 for one in found.bins)


def test_a_voice_that_turns_is_another_singers_after_so_many_years():
    """Half way, at 45 degrees, both are as near; after 30 years at 3 degrees a year, it is the next singer's place."""
    tracks, corpus = made(np.radians(3))
    by_years = {one.years: one for one in careers("made", tracks, corpus).bins}
    assert by_years["3-5"].top_1.mean == by_years["6-10"].top_1.mean == 1
    assert by_years["21+"].top_1.mean == 0
    assert by_years["6-10"].cosine == pytest.approx(np.cos(np.radians(27)), abs=1e-6)
    assert by_years["21+"].others == pytest.approx(1)
    assert len(career_cells(by_years["21+"])) == len(CAREER_COLUMNS)


def test_tracks_without_a_year_and_singers_of_one_album_are_passed_over():
    tracks, corpus = made()
    dated = [replace(track, release_date=None) if track.track_id == "s1/4" else track for track in tracks]
    dated = [replace(track, release_date="2000", album="one") if track.singer_id == "s2" else track for track in dated]
    found = careers("made", dated, corpus)
    assert found.enrolled == 5
    assert found.bins[-1].top_1.count == 4
    with pytest.raises(EvaluationError, match="need two singers with tracks of several years; give release dates"):
        careers("made", [replace(track, release_date=None) for track in tracks], corpus)


def test_vectors_without_unit_length_are_standardised():
    tracks, corpus = made()
    shifted = replace(corpus, vectors=corpus.vectors * np.array([1000.0] + [1.0] * (SINGERS - 1), np.float32) + 500)
    assert all(one.cosine > one.others + 0.5 for one in careers("made", tracks, shifted).bins)


def test_files_of_results_are_read_back_and_damaged_ones_named(tmp_path):
    tracks, corpus = made(np.radians(3))
    found = careers("made", tracks, corpus)
    written = json.dumps(asdict(found))
    assert careers_from(json.loads(written)) == found
    path = tmp_path / "careers-made.json"
    for damaged in (written[:-9], "[]", '{"model": "made"}', written.replace('"mean"', '"median"')):
        path.write_text(damaged)
        with pytest.raises(EvaluationError, match=r"careers-made.json: is damaged; make it again"):
            write_report(tmp_path, tmp_path / "report")


@pytest.mark.slow
def test_the_command(run, tiny, small_choir, tmp_path):
    whole = Manifest(
        tuple(
            replace(track, release_date=str(2000 + number), album=f"album {number}")
            for number, track in enumerate(track for track in small_choir.tracks if not track.cloned)
        )
    )
    table = tmp_path / "closed.parquet"
    write_manifest(whole, table)
    write_roles(assign_roles(whole, min_train=1), table)
    words = ["evaluate", "careers", str(table), "--encoder", str(tiny.folder), "-o", str(tmp_path / "results")]
    code, out, err = run(*words, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["bins"] and found == json.loads((tmp_path / "results" / f"careers-{found['model']}.json").read_text())
    code, _, err = run("report", str(tmp_path / "results"))
    assert code == 0, err
    tables = (tmp_path / "results/report/tables.md").read_text()
    assert "| years apart |" in tables and (tmp_path / "results/report/careers.png").exists()
    code, _, err = run(*words, "--head", "linear")
    assert code == 2 and "changes nothing for careers" in " ".join(err.replace("│", " ").split())
