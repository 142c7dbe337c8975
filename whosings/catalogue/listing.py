"""The tracks that a preparation begins with, from a folder of songs or a track table.

Conventions
-----------
- In a folder ``Singer/**/song.mp3`` the first folder names the singer; of files that lie in the folder itself the tag
  "artist" does, and without one the singer is unknown.
- Titles, albums, genres and years come from the files' tags where there are any.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tinytag import TinyTag, TinyTagException

from whosings.catalogue.manifest import Track, audio_files, read_manifest
from whosings.catalogue.track_status import Listed, TrackOutcome
from whosings.errors import ManifestError


def listing(source: str | Path, leave_out: str | Path | None = None) -> Iterator[Listed]:
    """The tracks of a folder or a track table, in order.

    Args:
        source: a folder, or a track table (.parquet or .csv).
        leave_out: a folder whose files are no songs of the catalogue: where the result lies.

    Raises:
        ManifestError: no such folder or table, nothing in it, or a bad table.
    """
    source = Path(source)
    tracks = folder_tracks(source, leave_out) if source.is_dir() else iter(read_manifest(source).tracks)
    yield from map(_listed, tracks)


def folder_tracks(root: str | Path, leave_out: str | Path | None = None) -> Iterator[Track]:
    """Every audio file below a folder, hidden ones left out, sorted by path; its id is the path from the folder.

    Raises:
        ManifestError: no such folder, or no audio files in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise ManifestError(root, "no such folder", "check the path")
    found = False
    for path in audio_files(root, None if leave_out is None else Path(leave_out)):
        found = True
        yield _tagged(path, root)
    if not found:
        raise ManifestError(root, "holds no audio files", "name a folder of songs")


def _tagged(path: Path, root: Path) -> Track:
    relative = path.relative_to(root)
    try:
        tags: TinyTag | None = TinyTag.get(path, duration=False)
    except (TinyTagException, OSError, ValueError):  # the decoder says later what is wrong with the file
        tags = None

    def tag(name: str) -> str | None:
        value = getattr(tags, name, None)
        return str(value).strip() or None if value is not None else None

    singer = relative.parts[0] if len(relative.parts) > 1 else tag("artist") or ""
    return Track(
        track_id=str(relative),
        singer_id=singer,
        path=path,
        title=tag("title") or path.stem,
        album=tag("album"),
        genre=tag("genre"),
        release_date=tag("year"),
    )


def _listed(track: Track) -> Listed:
    if track.singer_id:
        return Listed(track)
    return Listed(track, TrackOutcome.NO_SINGER, "no folder, tag or table names the singer")
