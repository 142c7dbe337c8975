"""Credits written, undone to the byte, after crashes and on full disks."""

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import sys
from pathlib import Path

import pytest

pytest.importorskip("mutagen")

import mutagen

from tests.library.files_with_tags import KINDS, make, sound
from whosings.answer import Outcome
from whosings.errors import TagError
from whosings.library import undo_journal, write_back
from whosings.library.credits import Credit, credits_of
from whosings.library.sung import Sung, SungVoice, Wanted
from whosings.library.undo_journal import UndoJournal, difference, restore
from whosings.library.write_back import planned, undo, write_tags

ALL = Wanted()


def voice(singer, outcome=Outcome.NAMED, probability=0.99, seconds=9.0):
    return SungVoice(singer, outcome, probability, seconds)


def sung(path, *voices, sha256=""):
    return Sung(path, sha256, voices or (voice("Ann"), voice("Bö")))


def state(folder):
    """Each file's content, mode and owner; nothing left beside."""
    return {
        path.name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode), path.stat().st_uid)
        for path in folder.iterdir()
        if path.name not in ("j", "j.lock")
    }


def apply(folder, items, **how):
    failed = []
    with UndoJournal(folder / "j") as journal:
        done = list(write_tags(planned(items, ALL, failed.append), journal, failed.append, **how))
    return done, failed


def undone(folder, **how):
    failed = []
    with UndoJournal(folder / "j") as journal:
        return list(undo(journal, failed.append, **how)), failed


def test_every_kind_is_written_and_undone_to_the_byte(tmp_path):
    files = [make(tmp_path, name) for name in KINDS]
    files[0].chmod(0o640)
    before, sounds = state(tmp_path), [sound(path) for path in files]
    items = [sung(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    done, failed = apply(tmp_path, items)
    assert not failed and [written.path for written in done] == files
    for path, written, item in zip(files, done, items, strict=True):
        assert {Credit("Ann"), Credit("Bö")} <= set(credits_of(path))
        assert written.before == item.sha256
        assert written.after == hashlib.sha256(path.read_bytes()).hexdigest() != written.before
        assert sum(len(piece.old) for piece in written.patch) < 20_000, "the journal holds no sound"
    assert [sound(path) for path in files] == sounds
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o640
    assert apply(tmp_path, items) == ([], []), "a second time there is nothing to do"
    found, failed = undone(tmp_path)
    assert not failed and [one.path for one in found] == files[::-1] and all(one.exact for one in found)
    assert state(tmp_path) == before
    assert undone(tmp_path) == ([], [])


def test_comments_that_need_another_page_of_ogg(tmp_path):
    """mutagen then numbers all later pages anew, so that the file changes throughout, and still it comes back."""
    path = make(tmp_path, "a.ogg")
    file = mutagen.File(path)
    file["lyrics"] = ["la " * 1250]
    file.save(padding=lambda info: 0)
    before, heard = state(tmp_path), sound(path)
    names = [voice(f"Singer {number:030}") for number in range(30)]
    (written,), failed = apply(tmp_path, [sung(path, *names)])
    assert not failed and sound(path) == heard and len(credits_of(path)) == 31
    assert sum(len(piece.old) for piece in written.patch) > path.stat().st_size / 2
    undone(tmp_path)
    assert state(tmp_path) == before


def test_who_is_written(tmp_path):
    path = make(tmp_path, "23.mp3")
    voices = (
        voice("Ann", probability=0.7),
        voice("Bob", seconds=20.0),
        voice("Bob", seconds=3.0),
        voice("Eve", Outcome.WORTH_A_LOOK),
    )
    item = sung(path, *voices)

    def names(wanted):
        return [credit.name for change in planned([item], wanted, pytest.fail) for credit in change.add]

    assert names(ALL) == ["Bob", "Ann"]
    assert names(Wanted(least_probability=0.9)) == ["Bob"]
    assert names(Wanted(worth_a_look=True)) == ["Bob", "Ann", "Eve"]
    assert list(planned([sung(path, voice("Eve", Outcome.UNKNOWN))], Wanted(True), pytest.fail)) == []


def test_times(tmp_path):
    path = make(tmp_path, "24.mp3")
    os.utime(path, ns=(10**18, 10**18))
    apply(tmp_path, [sung(path)])
    assert path.stat().st_mtime_ns > 10**18
    undone(tmp_path)
    os.utime(path, ns=(10**18, 10**18))
    apply(tmp_path, [sung(path)], keep_times=True)
    assert path.stat().st_mtime_ns == 10**18 and len(credits_of(path)) == 4
    os.utime(path)
    undone(tmp_path)
    assert path.stat().st_mtime_ns == 10**18 and len(credits_of(path)) == 2


def test_what_cannot_be_written_is_told_and_the_rest_goes_on(tmp_path):
    good, locked, other = (make(tmp_path, name) for name in ("24.mp3", "23.mp3", "a.flac"))
    link = tmp_path / "link.mp3"
    link.symlink_to(good)
    locked.chmod(0o444)
    noise = tmp_path / "noise.mp3"
    noise.write_bytes(b"ID3\x09\0\0\0\0\0\x01xyz")
    items = [sung(tmp_path / "gone.mp3"), sung(noise), sung(locked), sung(other, sha256="0" * 64), sung(link)]
    before = state(tmp_path)
    done, failed = apply(tmp_path, items)
    assert [written.path for written in done] == [good] and link.is_symlink()
    said = [str(error) for error in failed]
    for text in ("gone.mp3: cannot be read", "noise.mp3: is of version 2.9", "23.mp3: is read-only"):
        assert any(text in line for line in said), said
    assert any("a.flac: is not the file that was listened to; listen to it again." in line for line in said)
    assert len(said) == 4 and state(tmp_path).keys() == before.keys()
    assert state(tmp_path)["a.flac"] == before["a.flac"]


def test_a_full_disk_changes_nothing(tmp_path, monkeypatch):
    first, second = make(tmp_path, "24.mp3"), make(tmp_path, "a.flac")
    before = state(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(write_back.shutil, "copystat", full)
        done, failed = apply(tmp_path, [sung(first), sung(second)])
    assert (
        done == []
        and [str(error).split(": ")[1] for error in failed]
        == ["cannot be written, because there is no room; make room and run the same command again."] * 2
    )
    assert state(tmp_path) == before
    with monkeypatch.context() as patch:  # where the journal has no room, the file is not changed either
        patch.setattr(undo_journal.os, "fsync", full)
        done, failed = apply(tmp_path, [sung(first)])
    assert done == [] and len(failed) == 1 and state(tmp_path) == before
    assert len(apply(tmp_path, [sung(first), sung(second)])[0]) == 2
    undone(tmp_path)
    assert state(tmp_path) == before


def _write_and_die(folder, stop):
    """In a child: write, and be killed before the line of that number; how many lines there were, if it lived."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        steps = 0

        def trace(frame, *_):
            nonlocal steps
            if "whosings" in frame.f_code.co_filename:
                steps += 1
                if steps == stop:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        apply(folder, [sung(path) for path in sorted(folder.glob("2*.mp3"))])
        sys.settrace(None)
        os.write(writer, str(steps).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        steps = told.read()
    assert (os.waitpid(child, 0)[1] == signal.SIGKILL) == (not steps)
    return int(steps or 0)


@pytest.mark.slow
def test_kill_9_at_any_moment(tmp_path):
    """Each file is as before or as written, whatever line the process died at; the same again does the rest."""
    home, whole = tmp_path / "home", tmp_path / "whole"
    home.mkdir()
    for name in ("24.mp3", "23.mp3"):
        make(home, name)
    before = state(home)
    shutil.copytree(home, whole)
    steps, after = _write_and_die(whole, 0), state(whole)
    assert steps > 200
    for place in {round(1 + (steps - 1) * n / 79) for n in range(80)}:
        folder = tmp_path / f"at-{place}"
        shutil.copytree(home, folder)
        assert _write_and_die(folder, place) == 0
        now = {name: found for name, found in state(folder).items() if not name.startswith(".partial")}
        assert now.keys() == before.keys()
        assert all(now[name] in (before[name], after[name]) for name in now), place
        assert apply(folder, [sung(folder / name) for name in before])[1] == []
        assert state(folder) == after, place
        assert undone(folder)[1] == [] and state(folder) == before, place


def test_a_torn_line_of_a_journal_says_nothing(tmp_path):
    path = make(tmp_path, "24.mp3")
    before = state(tmp_path)
    apply(tmp_path, [sung(path)])
    whole = (tmp_path / "j").read_bytes()
    written = path.read_bytes()
    for length in (0, 5, whole.index(b"\n") + 1, len(whole) - 1):
        (tmp_path / "j").write_bytes(whole[:length])
        assert undone(tmp_path) == ([], []) and path.read_bytes() == written
        assert (tmp_path / "j").read_bytes() in (b"", whole[: whole.index(b"\n") + 1])
    (tmp_path / "j").write_bytes(whole)
    undone(tmp_path)
    assert state(tmp_path) == before


@pytest.mark.parametrize("content", [b"dear diary", b"dear diary\n", b'{"format": "other"}\n', b"[]\n", b"\xff\n"])
def test_a_file_of_somebody_else_is_no_journal_and_stays(tmp_path, content):
    (tmp_path / "j").write_bytes(content)
    with pytest.raises(TagError, match="no journal of written tags"), UndoJournal(tmp_path / "j"):
        pass
    assert (tmp_path / "j").read_bytes() == content


def test_only_one_process_writes(tmp_path):
    with UndoJournal(tmp_path / "j"), pytest.raises(TagError, match="in use"), UndoJournal(tmp_path / "j"):
        pass


def test_damage_in_a_journal_is_told(tmp_path):
    path = make(tmp_path, "24.mp3")
    apply(tmp_path, [sung(path)])
    written = path.read_bytes()
    first, second = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    row = json.loads(second)
    row["patch"] = row["patch"][::-1]
    (tmp_path / "j").write_bytes(first + json.dumps(row).encode() + b"\n")
    found, failed = undone(tmp_path)
    assert found == [] and "the journal is damaged" in str(failed[0]) and path.read_bytes() == written
    row["patch"] = ["no"]
    (tmp_path / "j").write_bytes(first + json.dumps(row).encode() + b"\n")
    with pytest.raises(TagError, match="is damaged"):
        undone(tmp_path)


@pytest.mark.parametrize("name", ["24.mp3", "23.mp3", "a.flac"])
def test_a_file_that_another_program_changed_since_loses_the_credits_alone(tmp_path, name):
    path = make(tmp_path, name)
    apply(tmp_path, [sung(path)])
    file = mutagen.File(path, easy=True)
    file["album"] = ["New"]
    file.save()
    changed = path.read_bytes()
    found, failed = undone(tmp_path)
    assert found == [] and "was changed by another program since; add --changed-too" in str(failed[0])
    assert path.read_bytes() == changed
    (one,), failed = undone(tmp_path, changed_too=True)
    assert not failed and not one.exact
    assert mutagen.File(path, easy=True)["album"] == ["New"]
    assert {credit.name for credit in credits_of(path)} == ({"Gil"} if name == "a.flac" else {"Gil", "Pat"})


def test_a_file_that_changes_while_it_is_written_stays(tmp_path, monkeypatch):
    path = make(tmp_path, "24.mp3")
    real = write_back.difference

    def meanwhile(old, new):
        path.write_bytes(b"other")
        return real(old, new)

    monkeypatch.setattr(write_back, "difference", meanwhile)
    done, failed = apply(tmp_path, [sung(path)])
    assert done == [] and "while it was written" in str(failed[0]) and path.read_bytes() == b"other"


def test_a_name_as_long_as_names_can_be(tmp_path):
    path = make(tmp_path, "24.mp3").rename(tmp_path / ("é" * 125 + ".mp3"))
    assert len(os.fsencode(path.name)) == 254
    before = state(tmp_path)
    assert len(apply(tmp_path, [sung(path)])[0]) == 1
    undone(tmp_path)
    assert state(tmp_path) == before


@pytest.mark.parametrize(
    "new", [b"", b"a", b"same", b"sXme", b"samesame", b"sa", b"me", b"aXXme" * 99, b"same" * 700_000]
)
def test_differences_restore(tmp_path, new):
    for number, old in enumerate((b"", b"same", b"samme", b"same" * 700_000)):
        one, two, back = (tmp_path / f"{number}{name}" for name in "abc")
        one.write_bytes(old)
        two.write_bytes(new)
        restore(two, difference(one, two), back)
        assert back.read_bytes() == old


def test_differences_are_small(tmp_path):
    """A header that changes, a stretch that grows in the middle, another that shrinks."""
    old = bytes(random.Random(1).randbytes(3_000_000))
    one, two, back = (tmp_path / name for name in "abc")
    one.write_bytes(old)
    grown = b"head" + old[4:1_234_567] + b"more" * 999 + old[1_234_567:]
    shrunk = b"head" + old[4:1_234_567] + old[1_239_999:]
    for new in (grown, shrunk, old[:-1], old[1:], old + b"end", b"start" + old, old):
        two.write_bytes(new)
        patch = difference(one, two)
        restore(two, patch, back)
        assert back.read_bytes() == old
        assert sum(len(piece.old) for piece in patch) <= 20_000 * (new != old)


def test_folders_of_others_are_left(tmp_path):
    """A folder that nobody may write to: one sentence, and the file stays."""
    if os.geteuid() == 0:
        pytest.skip("an administrator may write anywhere")
    path = make(tmp_path, "24.mp3")
    tmp_path.chmod(0o555)
    try:
        done, failed = apply(Path(os.environ.get("TMPDIR", "/tmp")), [sung(path)])
    finally:
        tmp_path.chmod(0o755)
    assert done == [] and "cannot be written" in str(failed[0])
