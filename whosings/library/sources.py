"""Where a scan's files come from: a folder, once or watched, a place on a store, a list, a stream of paths."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import BinaryIO

from whosings.audio import AUDIO_ENDINGS
from whosings.catalogue.folder_songs import OnRefused, audio_files, is_of_systems
from whosings.catalogue.manifest import read_manifest
from whosings.errors import ManifestError, WhosingsError
from whosings.storage import Listed, ending, fetched, is_remote, joined, listing, local_path, parent

_TABLES = (".csv", ".parquet")
_PLAYLISTS = (".m3u", ".m3u8")
_TICK_S = 0.1  # how long a source that has nothing waits before it says so
_LEAST_BETWEEN_S, _TIMES_WALK = 2.0, 10.0  # a watched folder is looked through again after so many times what it took

Paths = Iterator[Path | str | Listed | None]
"""Files to scan, by paths or locations; None where there is none for now."""


def folder_of(source: str) -> Path | str | None:
    """The folder, or the place on a store, that is named; None where it is a list, a table or a recording.

    What has no ending of these is a folder on a store, which has no folders.
    """
    if not is_remote(source):
        return path if (path := local_path(source)).is_dir() else None
    return None if ending(source) in AUDIO_ENDINGS or is_list(source) else source


def is_list(source: str) -> bool:
    """Whether a file or an object is a table, a list or a playlist, by its ending."""
    return ending(source) in (*_TABLES, *_PLAYLISTS, ".txt")


def listed(source: Path | str) -> Paths:
    """Paths of a track table, of a text file with one path a line, or of a playlist; relative ones from its folder.

    Raises:
        ManifestError: it cannot be read, or holds no paths.
        StorageError: it is an object, and cannot be fetched.
    """
    kind, folder = ending(str(source)), parent(str(source))
    if kind in AUDIO_ENDINGS:
        yield source
        return
    if kind in _TABLES:
        for track in read_manifest(source).tracks:
            yield track.path
        return
    empty = True
    try:
        with fetched(str(source)) as here, here.open(encoding="utf-8-sig") as lines:
            for line in lines:
                name = line.rstrip("\r\n")
                if "\0" in name:
                    raise ManifestError(source, "is no list of paths", "write one path a line, or name a folder")
                if name.strip() and not (kind in _PLAYLISTS and name.startswith("#")):
                    empty = False
                    place = joined(folder, name)
                    yield place if is_remote(place) else local_path(place)
    except UnicodeDecodeError as error:
        raise ManifestError(source, "is no list of paths", "write one path a line, in UTF-8") from error
    except OSError as error:
        raise ManifestError(source, f"cannot be read ({error.strerror})", "check the path") from error
    if empty:
        raise ManifestError(source, "holds no paths", "write one path a line")


def in_folder(folder: Path, on_refused: OnRefused) -> Paths:
    """Audio files below a folder, by name.

    Raises:
        ManifestError: no such folder, or no audio files in it.
    """
    if not folder.is_dir():
        raise ManifestError(folder, "no such folder or list", "check the path")
    found = False
    for path in audio_files(folder, None, on_refused):
        found = True
        yield path
    if not found:
        raise ManifestError(folder, "holds no audio files", "name a folder of songs")


def on_store(location: str) -> Paths:
    """Audio objects below a location, by name, with what the listing says of each.

    Raises:
        StorageError: it cannot be listed.
        ManifestError: there are none.
    """
    root = location.rstrip("/") + "/"
    found = False
    for one in listing(root):
        names = one.location.removeprefix(root).split("/")
        if ending(one.location) in AUDIO_ENDINGS and not any(map(is_of_systems, names)):
            found = True
            yield one
    if not found:
        raise ManifestError(location, "holds no audio files", "name a folder of songs")


def watched(folder: Path, on_refused: OnRefused, on_round: Callable[[], object]) -> Paths:
    """The same, again and again: whoever scans knows which files are new.

    Args:
        on_round: called when the folder has been looked through.
    """
    told: set[str] = set()

    def refused(error: WhosingsError) -> None:
        if str(error) not in told:
            told.add(str(error))
            on_refused(error)

    while True:
        began = time.monotonic()
        yield from audio_files(folder, None, refused)
        on_round()
        took = time.monotonic() - began
        until = time.monotonic() + max(_LEAST_BETWEEN_S, _TIMES_WALK * took)
        while time.monotonic() < until:
            yield None
            time.sleep(_TICK_S)


def streamed(stream: BinaryIO) -> Paths:
    """Paths of a stream, one a line, as they come."""
    lines: Queue[bytes | None] = Queue(100)

    def read() -> None:
        for line in stream:
            lines.put(line)
        lines.put(None)

    # Whoever waits for a line cannot be interrupted by a result that is ready: so a thread waits.
    Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=_TICK_S)
        except Empty:
            yield None
            continue
        if line is None:
            return
        if name := line.rstrip(b"\r\n"):
            place = os.fsdecode(name)
            yield place if is_remote(place) else local_path(place)
