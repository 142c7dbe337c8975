"""The tracks that a preparation or an enrolment begins with, from a folder of songs or a track table.

Conventions
-----------
- ``folder_songs`` says which files of a folder are songs and who sings them.
- A track without a singer, or of several singers, is listed with the reason; annotations may still name its singer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from whosings.catalogue.folder_songs import OnRefused, SingerFrom, Song, folder_songs, refuse_albums
from whosings.catalogue.manifest import Track, read_manifest, track_of
from whosings.catalogue.track_status import Listed, TrackOutcome
from whosings.errors import ManifestError
from whosings.singer_names import is_nobody
from whosings.storage import ending, is_remote


def listing(
    source: str | Path,
    leave_out: str | Path | None = None,
    singer_from: SingerFrom | None = None,
    on_refused: OnRefused | None = None,
) -> Iterator[Listed]:
    """The tracks of a folder or a track table, in order; a folder's are sorted by path, with it for an id.

    Args:
        source: a folder, or a track table (.parquet or .csv).
        leave_out: a folder whose files are no songs of the catalogue: where the result lies.
        singer_from: what names the singers of a folder's songs; None takes the folder, and the tags of loose files.
        on_refused: called with what cannot be listed; None raises it.

    Raises:
        ManifestError: no such folder or table, nothing in it, or a bad table.
        AudioError: a name that is not UTF-8, or a folder that cannot be opened.
        StorageError: the table is on a store, and cannot be fetched.
    """
    if (folder := Path(source)).is_dir():
        yield from map(_listed_song, folder_songs(folder, leave_out, singer_from, on_refused))
    elif is_remote(str(source)) and ending(str(source)) not in (".parquet", ".csv"):
        raise ManifestError(source, "is no track table", "name a .parquet or .csv that lists the songs on the store")
    else:
        yield from map(_listed_track, read_manifest(source).tracks)


def enrolment(
    source: str | Path, singer_from: SingerFrom | None = None, on_refused: OnRefused | None = None
) -> tuple[Listed, ...]:
    """As ``listing``, for who is to be enrolled; clones are left out.

    Raises:
        ManifestError: as ``listing``, or a folder that looks like one artist's albums where ``singer_from`` is None.
    """
    if not Path(source).is_dir():
        return tuple(listed for listed in listing(source) if not listed.track.cloned)
    songs = tuple(folder_songs(source, None, singer_from, on_refused))
    if singer_from is None:
        refuse_albums(source, songs)
    return tuple(map(_listed_song, songs))


def folder_tracks(root: str | Path, on_refused: OnRefused | None = None) -> Iterator[Track]:
    """The tracks of a folder, whoever sings them.

    Raises:
        ManifestError: no such folder, or no audio files in it.
        AudioError: as ``listing``.
    """
    for song in folder_songs(root, on_refused=on_refused):
        yield track_of(song)


def _listed_song(song: Song) -> Listed:
    if len(song.singers) == 1:
        return Listed(track_of(song))
    return Listed(track_of(song), TrackOutcome.SET_APART if song.singers else TrackOutcome.NO_SINGER, song.detail)


def _listed_track(track: Track) -> Listed:
    if is_nobody(track.singer_id):
        nobody = f"{track.singer_id} is nobody in particular"
        return Listed(replace(track, singer_id=""), TrackOutcome.NO_SINGER, nobody)
    return Listed(track)
