"""The log of decisions only grows and tells what was changed; groups of people stand."""

import sqlite3

import pytest

from tests.library.made import Maker
from whosings.errors import LibraryError
from whosings.library.decision_rows import Deed, FoundGroup, VoiceKey
from whosings.library.library_file import Library
from whosings.library.library_rows import LibraryFile

KEYS = [VoiceKey(f"sha-{n}", 0) for n in range(6)]


@pytest.fixture
def library(tmp_path):
    maker = Maker()
    with maker.library(tmp_path / "l") as opened:
        for number in range(6):
            maker.add(opened, str(number), [number])
        yield opened


def test_a_scanned_library_takes_decisions_and_stays_a_library(tmp_path):
    maker = Maker()
    with Library(tmp_path / "l", maker.fingerprint) as plain:
        maker.add(plain, "a", [1])
    with maker.library(tmp_path / "l") as opened:
        opened.log("Ida", Deed.CONFIRM, VoiceKey("sha-a", 0), "/songs/a", "Ann", {})
    with Library(tmp_path / "l") as plain:
        maker.add(plain, "b", [2])
    with maker.library(tmp_path / "l") as opened:
        assert [line.singer for line in opened.decisions()] == ["Ann"]
        assert opened.keys(opened.voices()) == (VoiceKey("sha-a", 0), VoiceKey("sha-b", 0))


def test_the_log_keeps_who_when_and_what_the_model_said(library):
    said = {"probability": 0.25, "terms": {"named_nats": 2.0}, "singer": "Añn\ud800"}
    first = library.log(" Ida ", Deed.REJECT, KEYS[0], "/songs/0", "Ann", said | {"singer": "Añn"})
    second = library.log("Jo", Deed.CONFIRM, KEYS[0], "/songs/0", "Bob", {})
    assert library.decisions() == (first, second)
    assert first.who == "Ida" and first.said["terms"]["named_nats"] == 2.0 and first.said["singer"] == "Añn"
    assert first.decided_at <= second.decided_at and first.decided_at.endswith("+00:00")
    assert library.verdicts() == {KEYS[0]: second}
    with pytest.raises(LibraryError, match="--by NAME"):
        library.log("  ", Deed.CONFIRM, KEYS[0], "", None, {})


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE decisions SET decision = 'confirm' WHERE id = 1",
        "UPDATE decisions SET who = 'Eve' WHERE id = 2",
        "UPDATE decisions SET said = '{\"probability\": 1}' WHERE id = 3",
        "DELETE FROM decisions WHERE id = 2",
        "DELETE FROM decisions WHERE id = 1",
    ],
)
def test_a_log_that_was_changed_is_told(library, change):
    for number in range(3):
        library.log("Ida", Deed.REJECT, KEYS[number], "p", "Ann", {"probability": 0.5})
    with sqlite3.connect(library.path) as other:
        other.execute(change)
    with pytest.raises(LibraryError, match="log of decisions that was changed at line"):
        library.decisions()


def test_computed_groups_are_replaced_and_kept_ones_are_not(library):
    library.store_found([FoundGroup(None, tuple(KEYS[:3])), FoundGroup(None, tuple(KEYS[3:5]))])
    one, two = library.groups()
    assert one.voices == tuple(KEYS[:3]) and not one.kept and not one.by_person
    library.name_group(one.id, "Ann", "Ida", {"encoder": "e"})
    library.store_found([FoundGroup(one.id, (*KEYS[:3], KEYS[5]))])
    (kept,) = library.groups()
    assert kept.id == one.id and kept.name == "Ann" and kept.by_person == frozenset(KEYS[:3])
    assert kept.voices == (*KEYS[:3], KEYS[5])
    library.store_found([])
    (kept,) = library.groups()
    assert kept.voices == tuple(KEYS[:3])
    library.store_found([FoundGroup(None, tuple(KEYS[3:5]))])
    assert library.groups()[1].id > two.id  # an old number never means another group
    with pytest.raises(LibraryError, match=f"no group {two.id}"):
        library.group(two.id)
    (line,) = library.decisions()
    assert line.deed is Deed.NAME and line.singer == "Ann" and line.path == f"group {one.id}"
    assert [key["sha256"] for key in line.said["voices"]] == ["sha-0", "sha-1", "sha-2"]


def test_merging_and_splitting(library):
    library.store_found([FoundGroup(None, tuple(KEYS[:2])), FoundGroup(None, tuple(KEYS[2:5]))])
    one, two = (group.id for group in library.groups())
    library.split_group(two, KEYS[4:5], "Ida", {})
    assert library.strangers() == {two: frozenset(KEYS[4:5])}
    library.merge_groups(one, two, "Ida", {})
    (both,) = library.groups()
    assert both.id == two and both.by_person == frozenset(KEYS[:4]) and library.strangers() == {two: {KEYS[4]}}
    for bad in (lambda: library.merge_groups(two, two, "Ida", {}), lambda: library.split_group(two, KEYS[5:], "I", {})):
        with pytest.raises(LibraryError, match="name"):
            bad()
    with pytest.raises(LibraryError, match="nobody else"):
        library.split_group(two, KEYS[:4], "Ida", {})
    assert [line.deed for line in library.decisions()] == [Deed.SPLIT, Deed.MERGE]


def test_a_person_who_merges_takes_back_a_split(library):
    library.store_found([FoundGroup(None, tuple(KEYS[:3]))])
    (one,) = library.groups()
    library.split_group(one.id, KEYS[2:3], "Ida", {})
    library.store_found([FoundGroup(None, (KEYS[2], KEYS[3]))])
    other = next(group for group in library.groups() if not group.kept)
    library.merge_groups(other.id, one.id, "Ida", {})
    assert library.strangers() == {} and library.group(one.id).by_person == frozenset(KEYS[:4])


def test_a_decision_of_another_version_is_told(library):
    class Later:
        value = "sing along"

    library.log("Ida", Later, KEYS[0], "p", None, {})
    with pytest.raises(LibraryError, match=r"line 1 that this version does not know \(sing along\); update"):
        library.decisions()


def test_decisions_follow_a_file_whose_tags_were_changed(library):
    maker = Maker()
    library.store_found([FoundGroup(None, tuple(KEYS[:3]))])
    (group,) = library.groups()
    library.split_group(group.id, KEYS[2:3], "Ida", {})
    line = library.log("Ida", Deed.REJECT, KEYS[0], "/songs/0", "Ann", {})
    for name, singer in (("0", 0), ("2", 2), ("3", 44)):  # the third holds another sound now
        file = next(file for file in library.files() if file.path == f"/songs/{name}")
        library.add(file, f"sha-{name}-tagged", maker.track([singer]))
    assert library.follow_changes() == 2 and library.follow_changes() == 0
    now = [VoiceKey("sha-0-tagged", 0), VoiceKey("sha-2-tagged", 0)]
    assert library.group(group.id).by_person == {now[0], KEYS[1]} and library.strangers() == {group.id: {now[1]}}
    assert library.verdicts() == {now[0]: line}
    file = next(file for file in library.files() if file.path == "/songs/0")
    library.add(file, "sha-0", maker.track([0]))  # the tags are as they were
    assert library.follow_changes() == 1 and library.verdicts() == {KEYS[0]: line}
    assert library.group(group.id).by_person == set(KEYS[:2])


def test_decisions_stay_with_a_file_that_was_rewritten(library):
    library.store_found([FoundGroup(None, tuple(KEYS[:2]))])
    (group,) = library.groups()
    library.name_group(group.id, "Ann", "Ida", {})
    line = library.log("Ida", Deed.CONFIRM, KEYS[0], "/songs/0", "Ann", {})
    file = next(file for file in library.files() if file.path == "/songs/0")
    library.rewritten(file, "sha-0-tagged")
    now = VoiceKey("sha-0-tagged", 0)
    assert library.verdicts() == {now: line} and library.group(group.id).by_person == {now, KEYS[1]}
    assert now in library.keys(library.voices()) and library.follow_changes() == 0
    with pytest.raises(LibraryError, match="has no recording of /songs/none"):
        library.rewritten(LibraryFile("/songs/none", 1, 1), "sha-x")
