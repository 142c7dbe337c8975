"""The journal of a preparation: filters against a naive reckoning, changes of files, duplicates, damage."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whosings.catalogue.journal import Journal
from whosings.catalogue.manifest import Track
from whosings.catalogue.track_status import Examination, Listed, Stored, TrackOutcome
from whosings.errors import ManifestError


def words(seed: int, size: int = 1200) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 2**32, size, dtype=np.uint32)


def examination(seed: int, vocal: float = 1.0, sha256: str | None = None) -> Examination:
    pieces = np.array([0.9, 0.1], np.float32)
    return Examination(sha256 or f"sha-{seed}", 6.0, pieces, vocal, words(seed))


def listed(folder: Path, number: int, singer: str = "ann") -> Listed:
    path = folder / f"{number}.wav"
    if not path.exists():
        path.write_bytes(b"x" * (number + 1))
    return Listed(Track(f"t{number}", singer, path, title=f"Song {number}", target_singer_ids=("bob", "cy")))


def run(journal: Journal, rows: list[Listed], found: dict[str, Examination], **rules: float) -> dict[str, TrackOutcome]:
    journal.begin(rows)
    for entry in journal.unexamined():
        journal.examined(entry.number, found[entry.track.track_id])
    for _ in journal.match():
        pass
    journal.decide(**{"min_vocal": 0.75, "min_tracks": 1, **rules})  # type: ignore[arg-type]
    return {entry.track.track_id: entry.outcome for entry in journal.entries()}


@pytest.fixture
def journal(tmp_path: Path):
    with Journal(tmp_path / "out" / "journal.sqlite", "method 1") as journal:
        yield journal


def test_tracks_come_back_as_they_were_given(journal: Journal, tmp_path: Path) -> None:
    rows = [listed(tmp_path, number) for number in range(1200)]  # more than a page
    assert journal.begin(rows) == journal.count_unexamined() == 1200
    assert [entry.track for entry in journal.unexamined()] == [row.track for row in rows]


def test_what_was_found_out_is_kept(tmp_path: Path) -> None:
    path, rows = tmp_path / "journal.sqlite", [listed(tmp_path, number) for number in range(3)]
    with Journal(path, "m") as journal:
        journal.begin(rows)
        journal.examined(1, examination(7, vocal=0.8))
    with Journal(path, "m") as journal:
        journal.begin(rows)
        assert [entry.number for entry in journal.unexamined()] == [2, 3]
        first = next(iter(journal.entries()))
        assert (first.sha256, first.duration_s, first.vocal) == ("sha-7", 6.0, 0.8)
        assert first.pieces.tolist() == pytest.approx([0.9, 0.1])


def test_a_changed_file_is_examined_anew_and_an_unchanged_one_is_not(journal: Journal, tmp_path: Path) -> None:
    rows = [listed(tmp_path, number) for number in range(3)]
    run(journal, rows, {f"t{n}": examination(n) for n in range(3)})
    rows[1].track.path.write_bytes(b"other content")
    journal.begin(rows)
    assert [entry.track.track_id for entry in journal.unexamined()] == ["t1"]


def test_another_detector_examines_everything_anew(tmp_path: Path) -> None:
    path, rows = tmp_path / "journal.sqlite", [listed(tmp_path, number) for number in range(2)]
    with Journal(path, "one") as journal:
        run(journal, rows, {f"t{n}": examination(n) for n in range(2)})
    with Journal(path, "two") as journal:
        journal.begin(rows)
        assert journal.count_unexamined() == 2


def test_unreadable_files_are_tried_again(journal: Journal, tmp_path: Path) -> None:
    rows = [listed(tmp_path, 0)]
    journal.begin(rows)
    journal.settle(1, TrackOutcome.UNREADABLE, "is damaged")
    assert journal.count_unexamined() == 0
    assert [(e.outcome, e.detail) for e in journal.entries()] == [(TrackOutcome.UNREADABLE, "is damaged")]
    journal.begin(rows)
    assert journal.count_unexamined() == 1


def test_excluded_tracks_are_not_listened_to(journal: Journal, tmp_path: Path) -> None:
    rows = [listed(tmp_path, 0), replace(listed(tmp_path, 1), excluded=TrackOutcome.SET_APART, detail="a duet")]
    outcomes = run(journal, rows, {"t0": examination(0)})
    assert outcomes == {"t0": TrackOutcome.KEPT, "t1": TrackOutcome.SET_APART}


def test_duplicates_keep_the_first(journal: Journal, tmp_path: Path) -> None:
    rows = [listed(tmp_path, number) for number in range(4)]
    same = examination(0)
    shifted = replace(examination(9), words=same.words[100:])
    copied = replace(examination(5), sha256=same.sha256)  # one file under two names; it need not be long
    found = {"t0": same, "t1": shifted, "t2": examination(2), "t3": copied}
    outcomes = run(journal, rows, found)
    assert [outcomes[f"t{n}"] for n in range(4)] == [
        TrackOutcome.KEPT,
        TrackOutcome.DUPLICATE,
        TrackOutcome.KEPT,
        TrackOutcome.DUPLICATE,
    ]
    assert {e.detail for e in journal.entries(TrackOutcome.DUPLICATE)} == {"the same recording as t0"}


def parts_of_an_album() -> dict[str, Examination]:
    """An album as one file, its two songs, a copy of one, and a song that is on no album."""
    songs = [words(seed, 900) for seed in range(3)]
    album = np.concatenate([words(9, 50), songs[0], words(8, 60), songs[1]])
    every = {"t0": album, "t1": songs[0], "t2": songs[1], "t3": songs[1][20:], "t4": songs[2]}
    return {name: replace(examination(n), words=found) for n, (name, found) in enumerate(every.items())}


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 0, 2, 4, 3]])
def test_of_a_whole_and_its_parts_the_parts_stay(journal: Journal, tmp_path: Path, order: list[int]) -> None:
    rows = [listed(tmp_path, number) for number in order]
    outcomes = run(journal, rows, parts_of_an_album())
    copy = "t3" if order.index(2) < order.index(3) else "t2"
    assert outcomes == {
        f"t{n}": TrackOutcome.COMPILATION if n == 0
        else TrackOutcome.DUPLICATE if f"t{n}" == copy
        else TrackOutcome.KEPT
        for n in order
    }  # fmt: skip
    (whole,) = journal.entries(TrackOutcome.COMPILATION)
    assert whole.detail in {f"contains all of t{n}" for n in (1, 2, 3)}


def test_a_whole_stays_without_its_parts(journal: Journal, tmp_path: Path) -> None:
    rows, found = [listed(tmp_path, number) for number in range(5)], parts_of_an_album()
    run(journal, rows, found)
    assert run(journal, [rows[0], rows[4]], found) == {"t0": TrackOutcome.KEPT, "t4": TrackOutcome.KEPT}
    rows[0].track.path.write_bytes(b"another recording")
    again = run(journal, rows, {"t0": examination(7)})
    assert again["t0"] is TrackOutcome.KEPT


def test_parts_without_singing_do_not_cost_the_whole(journal: Journal, tmp_path: Path) -> None:
    rows = [listed(tmp_path, number) for number in range(2)]
    found = {"t0": examination(0), "t1": replace(examination(1, vocal=0.1), words=words(0)[:300])}
    assert run(journal, rows, found) == {"t0": TrackOutcome.KEPT, "t1": TrackOutcome.FEW_VOCALS}


def test_one_file_under_two_singers_is_given_to_nobody(journal: Journal, tmp_path: Path) -> None:
    rows = [listed(tmp_path, number, singer) for number, singer in enumerate(["ann", "bob", "bob", "cy"])]
    same = examination(0)
    found = {"t0": same, "t1": same, "t2": replace(same, sha256="a copy in another format"), "t3": examination(3)}
    outcomes = run(journal, rows, found)
    assert list(outcomes.values()) == [
        TrackOutcome.CONFLICT,
        TrackOutcome.CONFLICT,
        TrackOutcome.DUPLICATE,
        TrackOutcome.KEPT,
    ]
    assert [entry.detail for entry in journal.entries(TrackOutcome.CONFLICT)] == [
        "the same file as t1, which is listed for another singer",
        "the same file as t0, which is listed for another singer",
    ]
    assert run(journal, rows[1:], found)["t1"] is TrackOutcome.KEPT


def test_a_journal_from_before_parts_were_told_is_compared_anew(tmp_path: Path) -> None:
    path, rows = tmp_path / "journal.sqlite", [listed(tmp_path, number) for number in range(5)]
    with Journal(path, "m") as journal:
        run(journal, rows, parts_of_an_album())
    with sqlite3.connect(path) as db:
        db.executescript("DROP TABLE parts; UPDATE tracks SET twin = 2 WHERE number = 1")
    db.close()
    with Journal(path, "m") as journal:
        journal.begin(rows)
        assert journal.count_unexamined() == 0
        assert run(journal, rows, {})["t0"] is TrackOutcome.COMPILATION


def test_a_duplicate_takes_the_place_of_a_first_that_went_away(journal: Journal, tmp_path: Path) -> None:
    rows = [listed(tmp_path, number) for number in range(3)]
    found = {f"t{n}": replace(examination(n), words=words(0)) for n in range(3)}
    assert list(run(journal, rows, found).values()) == [
        TrackOutcome.KEPT,
        TrackOutcome.DUPLICATE,
        TrackOutcome.DUPLICATE,
    ]
    assert run(journal, rows[1:], found) == {"t1": TrackOutcome.KEPT, "t2": TrackOutcome.DUPLICATE}
    excluded = [rows[0], replace(rows[1], excluded=TrackOutcome.SET_APART), rows[2]]
    outcomes = run(journal, excluded, found)
    assert outcomes["t1"] is TrackOutcome.SET_APART
    assert sorted([outcomes["t0"], outcomes["t2"]]) == [TrackOutcome.DUPLICATE, TrackOutcome.KEPT]


def test_a_first_that_changed_is_compared_anew(journal: Journal, tmp_path: Path) -> None:
    rows = [listed(tmp_path, number) for number in range(2)]
    run(journal, rows, {f"t{n}": replace(examination(n), words=words(0)) for n in range(2)})
    rows[0].track.path.write_bytes(b"another song")
    assert run(journal, rows, {"t0": examination(5)}) == {"t0": TrackOutcome.KEPT, "t1": TrackOutcome.KEPT}


@settings(deadline=None, max_examples=60)
@given(
    tracks=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 20), st.booleans()), max_size=25),
    min_vocal=st.integers(0, 20),
    min_tracks=st.integers(1, 4),
)
def test_filters_equal_a_naive_reckoning(tmp_path_factory, tracks, min_vocal, min_tracks) -> None:
    folder = tmp_path_factory.mktemp("journal")
    rows = [listed(folder, number, singer) for number, (singer, _, _) in enumerate(tracks)]
    found = {f"t{n}": examination(n, vocal / 20) for n, (_, vocal, _) in enumerate(tracks)}
    with Journal(folder / "journal.sqlite", "m") as journal:
        got = run(journal, rows, found, min_vocal=min_vocal / 20, min_tracks=min_tracks)
        for n, (_, _, lost) in enumerate(tracks):
            if lost and got[f"t{n}"] is TrackOutcome.KEPT:
                journal.settle(n + 1, TrackOutcome.NOT_SEPARATED, "no stems")
        journal.drop_lone(min_tracks)
        got = {entry.track.track_id: entry.outcome for entry in journal.entries()}
        tally = journal.tally()
        shares = journal.vocal_shares(20)
    sung = [n for n, (_, vocal, _) in enumerate(tracks) if vocal >= min_vocal]
    enough = [n for n in sung if sum(tracks[m][0] == tracks[n][0] for m in sung) >= min_tracks]
    stored = [n for n in enough if not tracks[n][2]]
    kept = [n for n in stored if sum(tracks[m][0] == tracks[n][0] for m in stored) >= min_tracks]
    want = {
        f"t{n}": TrackOutcome.FEW_VOCALS if n not in sung
        else TrackOutcome.NOT_SEPARATED if n in enough and n not in stored
        else TrackOutcome.KEPT if n in kept
        else TrackOutcome.FEW_TRACKS
        for n in range(len(tracks))
    }  # fmt: skip
    assert got == want
    for outcome, (count, singers, hours) in tally.items():
        those = [n for n in range(len(tracks)) if want[f"t{n}"] is outcome]
        assert count == len(those) and singers == len({tracks[n][0] for n in those})
        assert hours == pytest.approx(len(those) * 6 / 3600)
    assert shares.tolist() == [sum(min(v, 19) == b for _, v, _ in tracks) for b in range(20)]


def test_places_of_stored_sound(journal: Journal, tmp_path: Path) -> None:
    rows = [listed(tmp_path, 0)]
    run(journal, rows, {"t0": examination(0)})
    where = Stored("audio/a.flac", "f" * 64, "stems/v.flac", None, "demucs")
    journal.stored(1, where)
    assert [entry.stored for entry in journal.entries()] == [where]
    rows[0].track.path.write_bytes(b"changed")
    journal.begin(rows)
    assert [entry.stored for entry in journal.entries()] == [None]


def test_the_same_id_twice(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="track_id t0 occurs twice"):
        journal.begin([listed(tmp_path, 0), listed(tmp_path, 1), listed(tmp_path, 0)])
    assert journal.begin([listed(tmp_path, 0)]) == 1  # nothing of the bad list stays


@pytest.mark.parametrize("content", [b"not a database" * 100, b""])
def test_something_else_than_a_journal(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.sqlite"
    if content:
        path.write_bytes(content)
        with pytest.raises(ManifestError, match="is not a journal"):
            Journal(path, "m")
    else:
        sqlite3.connect(path).execute("CREATE TABLE songs (name)").connection.commit()
        with pytest.raises(ManifestError, match="is not a journal"):
            Journal(path, "m")


def _lock(path: Path) -> sqlite3.Connection:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ("PRAGMA max_page_count = 1", "is full"),
        ("PRAGMA query_only = ON", "readonly"),
        ("PRAGMA busy_timeout = 0", "locked"),
    ],
)
def test_troubles_of_the_disk_are_no_reason_to_remove_the_journal(tmp_path: Path, trouble: str, says: str) -> None:
    path, rows = tmp_path / "journal.sqlite", [listed(tmp_path, number) for number in range(300)]
    with Journal(path, "m") as journal:
        journal.begin(rows[:2])
        journal._db.execute(trouble)
        other = _lock(path) if says == "locked" else None
        changes = {
            "begin": lambda: journal.begin(rows),
            "examined": lambda: journal.examined(1, examination(0)),
            "stored": lambda: journal.stored(1, Stored("a" * 9000, "b", None, None, "c")),
            "settle": lambda: journal.settle(1, TrackOutcome.UNREADABLE, "d" * 9000),
        }
        for change in changes.values():
            with pytest.raises(ManifestError, match=rf"cannot be used now \(.*{says}") as told:
                change()
            assert "remove" not in str(told.value)
        if other is not None:
            other.close()
    with Journal(path, "m") as journal:
        assert journal.begin(rows) == 300


def test_damage_found_while_it_is_used_is_told(tmp_path: Path) -> None:
    path, rows = tmp_path / "journal.sqlite", [listed(tmp_path, number) for number in range(600)]
    with Journal(path, "m") as journal:
        journal.begin(rows)
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    with pytest.raises(ManifestError, match="is damaged"), Journal(path, "m") as journal:
        list(journal.entries())
        journal.begin(rows)
