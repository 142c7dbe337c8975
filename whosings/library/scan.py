"""Files into a library: each content is listened to once, by several processes, and all that was heard is kept.

A file is one of this machine, or an object of a store, named by its location.

A file that has neither changed nor moved is known by its path, size and time, and is not opened. Any other file is
known by its content. What could not be read, because a disk or a right is in the way, is not kept, and is tried again
by the next scan; what was read and holds no usable recording is kept with the reason.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from whosings.calibration import Calibration, calibration_of
from whosings.catalogue.folder_songs import read_tags
from whosings.embedding import Cut, TrackEmbedder
from whosings.errors import (
    AudioError,
    MissingFileError,
    MissingObjectError,
    StorageError,
    UnreadableAudioError,
    WhosingsError,
)
from whosings.files import content_hash, hash_if_readable
from whosings.heard import HeardTrack, hear
from whosings.library.library_file import Library
from whosings.library.library_rows import LibraryFile
from whosings.onnx_segments import open_segments
from whosings.opinion import SecondOpinion
from whosings.parallel import Done, Finished, InHalves, Workers, answered_here, each
from whosings.spool import Spool
from whosings.storage import Listed, Signature, fetched_as, is_remote, local_path, signature, walk

Made = TypeVar("Made")

_GONE = (FileNotFoundError, NotADirectoryError)
_TRY_AGAIN = "scan again"
_AT_REST_S = 2.0  # a file of a watched folder that changed less long ago may still be written


class State(StrEnum):
    """What a scan did with a file."""

    HEARD = "heard"
    CHANGED = "changed"
    KNOWN = "known"
    MOVED = "moved"
    COPY = "copy"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True)
class Scanned:
    """What is known of a file after a scan.

    Attributes:
        path: absolute, or a location.
        state: heard now, or heard again because it changed, or known before: at this path, at another one that is gone,
            or at another one that is there, too. Or it could not be used, or is not there any more.
        recording: its number in the library; None where nothing is kept.
        error: why it could not be used.
        moved_from: where it was.
    """

    path: str
    state: State
    recording: int | None = None
    error: WhosingsError | None = None
    moved_from: str | None = None


@dataclass(frozen=True)
class Ear:
    """Who listens: an encoder by name, on a torch device."""

    encoder: str = "default"
    device: str = "auto"

    def open(self) -> Listener:
        """Load it; once a process."""
        return _listener(self)


@dataclass(frozen=True)
class Listener:
    """An embedder and what reads its scores."""

    embedder: TrackEmbedder
    calibration: Calibration

    def __call__(self, cut: Cut) -> HeardTrack:
        """What is heard of a file that is decoded and cut, without embeddings.

        Raises:
            AudioError: it cannot be used.
        """
        track = hear(self.embedder.embed(cut), self.calibration)
        return replace(track, voices=tuple(replace(voice, embeddings=None) for voice in track.voices))


@lru_cache(maxsize=1)
def _listener(ear: Ear) -> Listener:
    embedder = TrackEmbedder(open_segments(ear.encoder, ear.device), second_opinion=SecondOpinion())
    return Listener(embedder, calibration_of(embedder.checkpoint))


@dataclass(frozen=True)
class _Wanted:
    """Whether some content is to be listened to, because a library does not know it: whoever listens asks that."""

    library: Path
    again: bool

    def __call__(self, sha256: str) -> bool:
        with Library(self.library) as library:
            known = library.with_content(sha256)
        return known is None or (known.error is not None and self.again)


@dataclass(frozen=True)
class _Decoded:
    """A file that is not known, read to its end."""

    file: LibraryFile
    sha256: str
    cut: Cut


@dataclass(frozen=True)
class _Found:
    """What a process found out about a file.

    Attributes:
        file: None where it could not be read; then ``heard`` says why.
        heard: None where nothing was listened to.
    """

    file: LibraryFile | None
    sha256: str
    heard: HeardTrack | WhosingsError | None


Given = Path | str | Listed | None
"""A file to scan, by its path or location; None where there is none for now."""

_Item = str | None | Done[str | None, _Found | Scanned]
"""What ``each`` is given: a path, or what is done already, or that there is nothing for now (``Done`` of None)."""


class Scanner:
    """Paths -> what is known of each, in the order in which they are done.

    Args:
        library: of the ear's encoder, open for writing.
        workers: who listens; 0 does so in this process.
        again: try what could not be used again.
    """

    def __init__(self, library: Library, ear: Ear, workers: Workers, again: bool = False) -> None:
        self._library, self._ear, self._workers, self._again = library, ear, workers, again
        self._running: set[str] = set()

    @property
    def running(self) -> tuple[str, ...]:
        """Files that were given to processes and are not done, sorted."""
        return tuple(sorted(self._running.copy()))

    def __call__(self, paths: Iterable[Given], skip_known: bool = False) -> Generator[Scanned | None, None, None]:
        """Scan files; None comes where there is nothing for now, as in ``paths``.

        Args:
            skip_known: say nothing of files that are known at their paths, and nothing again of files that failed and
                have not changed: of a folder that is watched.

        Raises:
            LibraryError: the library cannot be written; what came before is in it.
        """
        failed: dict[str, Signature] = {}
        jobs = self._changed(paths, failed) if skip_known else self._jobs(paths)
        wanted = answered_here(_Wanted(self._library.path.resolve(), self._again), self._workers)
        listen: InHalves[str | None, _Decoded, _Found | Scanned] = InHalves(
            partial(_read, self._ear, wanted), partial(_hear, self._ear)
        )
        for done in each(listen, jobs, self._workers):
            if done.item is None:
                yield done.result if isinstance(done.result, Scanned) else None
                continue
            scanned = self._keep(done.item, done.result)
            self._running.discard(done.item)
            if skip_known and scanned.state is State.FAILED and scanned.recording is None:
                failed[scanned.path] = _signature(scanned.path)
            if not (skip_known and scanned.state is State.KNOWN):
                yield scanned

    def _jobs(self, paths: Iterable[Given]) -> Iterator[_Item]:
        for given in paths:
            path = None if given is None else _place(given)
            known = None if path is None else self._without_reading(path, given)
            yield Done(None, known) if path is None or known is not None else self._given(path)

    def _changed(self, paths: Iterable[Given], failed: dict[str, Signature]) -> Iterator[_Item]:
        """Of a folder that is looked through again and again: what is new, at rest, and not being heard now."""
        for given in paths:
            if given is None:
                yield Done(None, None)
                continue
            path = _place(given)
            found = _signature(path)
            if path in self._running or failed.get(path) == found or _is_young(found):
                continue
            if self._without_reading(path, given) is None:
                yield self._given(path)

    def _given(self, path: str) -> str:
        self._running.add(path)
        return path

    def _without_reading(self, path: str, given: Given) -> Scanned | None:
        try:
            path.encode()
        except UnicodeEncodeError:
            error = UnreadableAudioError(path, "has a name that is not UTF-8", "rename it")
            return Scanned(error.subject, State.FAILED, error=error)
        found = given.signature if isinstance(given, Listed) else _signature(path)
        if found == _NONE:
            return None  # a process says what is wrong with it
        known = self._library.known(path, found.size, found.mark)
        if known is None or (known.error is not None and self._again):
            return None
        problem = known.error_of(path)
        return Scanned(path, State.KNOWN if problem is None else State.FAILED, known.id, problem)

    def _keep(self, path: str, found: _Found | Scanned | None) -> Scanned:
        if found is None:  # its process died, twice
            crashed = AudioError(path, "ends the process that reads it", "check the file, or use fewer --workers")
            return Scanned(path, State.FAILED, error=crashed)
        assert isinstance(found, _Found)
        library, file = self._library, found.file
        if file is None:
            assert isinstance(found.heard, WhosingsError)
            return Scanned(path, State.FAILED, error=found.heard)
        before = library.recording_at(file.path)
        known = library.with_content(found.sha256)
        heard, moved_from = found.heard, None
        if isinstance(heard, HeardTrack | AudioError) and (known is None or (known.error is not None and self._again)):
            recording = library.add(file, found.sha256, heard, again=self._again)
            state = State.HEARD if before is None else State.CHANGED
        else:
            if known is None:  # somebody forgot it meanwhile
                return Scanned(path, State.FAILED, error=_unsteady(path))
            recording = known.id
            others = [path for path in library.paths(recording) if path != file.path]
            moved_from = None if before == recording else next(filter(is_gone, others), None)
            library.add_file(file, recording, moved_from)
            state = State.COPY if others and moved_from is None else State.MOVED
            if before == recording:
                state = State.KNOWN
        problem = library.recording(recording).error_of(file.path)
        return Scanned(file.path, state if problem is None else State.FAILED, recording, problem, moved_from)


def is_gone(path: str) -> bool:
    """Whether there is no such file; a file that cannot be asked for is not gone."""
    try:
        signature(path)
    except (*_GONE, MissingObjectError):
        return True
    except (OSError, StorageError):
        pass
    return False


def missing_files(library: Library, folder: Path | str) -> Iterator[str]:
    """Files of a library that are no more, of those that were below a folder or location.

    Raises:
        StorageError: the location cannot be listed.
    """
    root = os.path.join(_place(folder), "")  # noqa: PTH118 (as paths are kept)
    there = frozenset(walk(root)) if is_remote(root) else None  # a request for a thousand, rather than for each
    for file in library.files():
        if file.path.startswith(root) and (is_gone(file.path) if there is None else file.path not in there):
            yield file.path


def _place(given: Path | str | Listed) -> str:
    """How a file is told and kept: its absolute path, or its location."""
    text = given.location if isinstance(given, Listed) else str(given)
    return text if is_remote(text) else os.path.abspath(local_path(text))  # noqa: PTH100 (links stay as they are)


_NONE = Signature(-1, -1)


def _signature(path: str) -> Signature:
    """What changes when a file does; ``_NONE`` where it cannot be asked for."""
    try:
        return signature(path)
    except (OSError, StorageError):
        return _NONE


def _is_young(found: Signature) -> bool:
    """Whether somebody may still be writing a file."""
    return 0 <= time.time() - found.mark / 1e9 < _AT_REST_S


def _unsteady(path: str) -> AudioError:
    return UnreadableAudioError(path, "changed while it was read", _TRY_AGAIN)


def _read(ear: Ear, wanted: Callable[[str], bool], path: str | None) -> _Decoded | Finished[_Found | Scanned]:
    """Who is this file, and if nobody knows, what is in it? The half that needs the file."""
    assert path is not None
    try:
        with fetched_as(path) as (here, before):
            return _read_here(ear, wanted, path, here, before)
    except StorageError as error:
        return Finished(_Found(None, "", error))
    except OSError as error:
        return Finished(_Found(None, "", _unreadable(path, error)))


def _read_here(
    ear: Ear, wanted: Callable[[str], bool], path: str, here: Path, before: Signature
) -> _Decoded | Finished[_Found | Scanned]:
    """The same, of a file, or of an object's copy ``here``, which is whole and of one version."""
    sha256 = content_hash(here)
    cut = _listen(ear, path, here) if wanted(sha256) else None
    problem = cut if isinstance(cut, WhosingsError) else None
    changed = not is_remote(path) and _signature(path) != before
    if changed or (problem is not None and _is_passing(problem, str(here), sha256)):
        error_now = None if is_gone(path) else problem
        return Finished(_Found(None, "", error_now or _vanished_or_changed(path)))
    tags = {name: value for name, value in asdict(read_tags(here)).items() if value}
    file = LibraryFile(path, before.size, before.mark, tags)
    return _Decoded(file, sha256, cut) if isinstance(cut, Cut) else Finished(_Found(file, sha256, problem))


def _hear(ear: Ear, decoded: _Decoded) -> _Found:
    """The half that needs the model."""
    path, sha256 = decoded.file.path, decoded.sha256
    heard = _attempt(path, lambda: ear.open()(decoded.cut))
    if isinstance(heard, WhosingsError) and _is_passing(heard, path, sha256):
        return _Found(None, "", heard)
    return _Found(decoded.file, sha256, heard)


def _listen(ear: Ear, path: str, here: Path) -> Cut | WhosingsError:
    def decode() -> Cut:
        embedder = ear.open().embedder
        return embedder.cut(Spool(here, embedder.front_end.channels, path))

    return _attempt(path, decode)


def _attempt(path: str, listen: Callable[[], Made]) -> Made | WhosingsError:
    try:
        return listen()
    except WhosingsError as error:
        return error.about(path)
    except MemoryError:
        return AudioError(path, "needs more memory than there is", "use fewer --workers")
    except Exception as error:  # one file of many: whatever is wrong with it, the others are heard
        return AudioError(path, f"cannot be heard ({type(error).__name__}: {error})", "report it with the file")


def _is_passing(error: WhosingsError, path: str, sha256: str) -> bool:
    """Whether an error is not the recording's: then it is not kept."""
    if type(error) is AudioError or not isinstance(error, AudioError) or isinstance(error, MissingFileError):
        return True
    return hash_if_readable(path) != sha256


def _vanished_or_changed(path: str) -> AudioError:
    return _missing(path) if is_gone(path) else _unsteady(path)


def _missing(path: str) -> AudioError:
    return MissingFileError(path, "no such file, or it vanished while it was scanned", "check the path")


def _unreadable(path: str, error: OSError) -> AudioError:
    if isinstance(error, _GONE) or is_gone(path):
        return _missing(path)
    if os.path.isdir(path):  # noqa: PTH112 (the path is text)
        return UnreadableAudioError(path, "is a folder", "scan it by itself")
    return UnreadableAudioError(path, f"cannot be read ({error.strerror or error})", f"check it, and {_TRY_AGAIN}")
