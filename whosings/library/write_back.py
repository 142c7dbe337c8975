"""Credits of singers written into files: planned, shown, done, noted, and undone.

Each file is changed by itself. A copy beside it gets the credits, the journal notes how to undo it, and the copy takes
the file's name. After a crash at any moment a file is as it was or as it was to become, and doing the same again does
the rest. What cannot be written is told, and the rest goes on.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from whosings.errors import TagError
from whosings.files import DISK_FULL, atomic, content_hash
from whosings.library.credits import VOCALS, Credit, credits_of, missing, write_credits
from whosings.library.sung import Sung, SungVoice, Wanted
from whosings.library.undo_journal import UndoJournal, Written, difference, restore

OnFailed = Callable[[TagError], object]
"""Called with what cannot be written or undone; the rest goes on."""


@dataclass(frozen=True)
class Change:
    """What is to be written into one file.

    Attributes:
        path: where it lies, without symbolic links.
        add: credits that its tags lack, none if it has them all.
        voices: the singers they are of, with their probabilities.
    """

    path: Path
    sha256: str
    add: tuple[Credit, ...]
    voices: tuple[SungVoice, ...]


@dataclass(frozen=True)
class Undone:
    """One file that is as it was before, or lacks the credits again that it had been given.

    Attributes:
        exact: it is so to the byte; False where another program had changed it since.
        former, sha256: SHA-256 of the file until now, and now.
    """

    path: Path
    exact: bool
    former: str
    sha256: str


def planned(sung: Iterable[Sung], wanted: Wanted, on_failed: OnFailed, role: str = VOCALS) -> Iterator[Change]:
    """What would be written, file by file; nothing is changed.

    Args:
        role: what the singers are said to do.
    """
    for item in sung:
        voices = wanted.of(item)
        if not voices:
            continue
        try:
            path = item.path.resolve(strict=True)
            add = missing(credits_of(path), [Credit(voice.singer, role) for voice in voices])
        except OSError as error:
            on_failed(TagError(item.path, f"cannot be read ({error.strerror})", "check the path and its permissions"))
        except TagError as error:
            on_failed(error)
        else:
            yield Change(path, item.sha256, add, voices)


def write_tags(
    changes: Iterable[Change], journal: UndoJournal, on_failed: OnFailed, keep_times: bool = False
) -> Iterator[Written]:
    """Write credits, file by file; files that have them all are left alone.

    The content of a file is another one afterwards, and so is its SHA-256: who keeps files by content is told both.

    Args:
        keep_times: leave the time of the last change as it is. Programs that look for it will not see the change.
    """
    for change in changes:
        if not change.add:
            continue
        try:
            yield _write(change, journal, keep_times)
        except TagError as error:
            on_failed(error)
        except OSError as error:
            on_failed(_in_words(error, change.path))


def undo(journal: UndoJournal, on_failed: OnFailed, changed_too: bool = False) -> Iterator[Undone]:
    """Bring back the files of a journal, the last one first.

    Args:
        changed_too: of files that another program has changed since, remove the credits, and leave the rest.
    """
    for number, written in journal.pending():
        try:
            found = _undo(written, changed_too)
            journal.undone(number)
        except TagError as error:
            on_failed(error)
        except OSError as error:
            on_failed(_in_words(error, written.path))
        else:
            if found is not None:
                yield found


def _write(change: Change, journal: UndoJournal, keep_times: bool) -> Written:
    path, before = change.path, _writable(change.path)
    sha256 = content_hash(path)
    if change.sha256 and sha256 != change.sha256:
        raise TagError(path, "is not the file that was listened to", "listen to it again")
    with atomic(path) as beside:
        write_credits(path, beside, change.add)
        after = content_hash(beside)
        mtime_ns = before.st_mtime_ns if keep_times else None
        credits = tuple((credit.name, credit.role) for credit in change.add)
        written = Written(path, sha256, after, difference(path, beside), credits, mtime_ns)
        _take_over(path, beside, before, mtime_ns)
        _refuse_changed(path, before)
        journal.add(written)
    return written


def _undo(written: Written, changed_too: bool) -> Undone | None:
    """None where the file is as it was already: a crash came between the note and the change."""
    path, before = written.path, _writable(written.path)
    sha256 = content_hash(path)
    if sha256 == written.before:
        return None
    exact = sha256 == written.after
    if not exact and not changed_too:
        remedy = "add --changed-too, which removes the credits and leaves the rest"
        raise TagError(path, "was changed by another program since", remedy)
    with atomic(path) as beside:
        if exact:
            restore(path, written.patch, beside)
        else:
            write_credits(path, beside, (), [Credit(name, role) for name, role in written.credits])
        now = content_hash(beside)
        if exact and now != written.before:
            raise TagError(path, "cannot be brought back, because the journal is damaged", "use a backup")
        _take_over(path, beside, before, written.mtime_ns if exact else None)
        _refuse_changed(path, before)
    return Undone(path, exact, sha256, now)


def _writable(path: Path) -> os.stat_result:
    """What the file system says of a file that may be written.

    Raises:
        TagError: it is protected against that.
        OSError: there is no such file.
    """
    found = path.stat()
    if not found.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(path, os.W_OK):
        raise TagError(path, "is read-only", "allow writing to it")
    return found


def _take_over(path: Path, beside: Path, before: os.stat_result, mtime_ns: int | None) -> None:
    """Give the copy what the file system knows of the file: mode, owner, attributes, and times if wanted."""
    now = beside.stat()
    shutil.copystat(path, beside)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        with suppress(PermissionError):  # only an administrator may give files away
            os.chown(beside, before.st_uid, before.st_gid)
            beside.chmod(stat.S_IMODE(before.st_mode))  # which a change of owner clears in part
    os.utime(beside, ns=(before.st_atime_ns, now.st_mtime_ns if mtime_ns is None else mtime_ns))


def _refuse_changed(path: Path, before: os.stat_result) -> None:
    now = path.stat()
    if (now.st_mtime_ns, now.st_size, now.st_ino) != (before.st_mtime_ns, before.st_size, before.st_ino):
        raise TagError(path, "was changed by another program while it was written", "run the same command again")


def _in_words(error: OSError, path: Path) -> TagError:
    if error.errno in DISK_FULL:
        return TagError(path, "cannot be written, because there is no room", "make room and run the same command again")
    remedy = "check its permissions, and those of its folder"
    return TagError(path, f"cannot be written ({error.strerror or error})", remedy)
