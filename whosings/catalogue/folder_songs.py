"""Songs in a folder: which files they are, what their tags say, and who sings them by folder and tags.

Conventions
-----------
- In a folder ``Singer/**/song.mp3`` the first folder names the singer; of files that lie in the folder itself the tags
  do. ``SingerFrom`` says it otherwise.
- Tags that name several people make a song of several singers, whoever the folder names.
- Hidden files and what systems put into folders (``@eaDir``, ``$RECYCLE.BIN``, ``lost+found``) are no songs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tinytag import TinyTag, TinyTagException

from whosings.audio import AUDIO_ENDINGS
from whosings.errors import AudioError, ManifestError, UnreadableAudioError, WhosingsError
from whosings.singer_names import Spellings, billing, is_nobody, letters_of

SingerFrom = Literal["folder", "tag", "albumartist"]
"""What names a song's singer: the first folder whatever the tags say, the artist in the tags, or the album's artist."""

OnRefused = Callable[[WhosingsError], object]
"""Called with what cannot be listed; the rest goes on."""

_OF_SYSTEMS = frozenset(
    {"@eadir", "@recycle", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycler", "lost+found", "__macosx"}
    | {"system volume information", "network trash folder", "temporary items"}
)


@dataclass(frozen=True)
class SongTags:
    """What a file says of itself; None or nothing where it does not.

    Attributes:
        artists: values of ARTIST and ARTISTS. Which of the two a value comes from is not known.
    """

    artists: tuple[str, ...] = ()
    album_artist: str | None = None
    title: str | None = None
    album: str | None = None
    genre: str | None = None
    year: str | None = None
    isrc: str | None = None
    musicbrainz_id: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class Song:
    """One file of a folder.

    Attributes:
        song_id: its path from the folder.
        singers: one name, several, or none.
        detail: one clause on why it is not one.
    """

    song_id: str
    path: Path
    tags: SongTags
    singers: tuple[str, ...]
    detail: str = ""


def read_tags(path: Path, duration: bool = False) -> SongTags:
    """A file's tags; nothing of a file that is none or is damaged, as the decoder says later what is wrong with it."""
    try:
        tags = TinyTag.get(path, duration=duration)
    except (TinyTagException, OSError, ValueError):
        return SongTags()

    def text(value: object) -> str | None:
        return None if value is None else str(value).split("\0")[0].strip() or None

    def other(*names: str) -> str | None:
        return next((found for name in names for value in tags.other.get(name) or () if (found := text(value))), None)

    return SongTags(
        artists=tuple(filter(None, (tags.artist or "", *(tags.other.get("artist") or ())))),
        album_artist=text(tags.albumartist),
        title=text(tags.title),
        album=text(tags.album),
        genre=text(tags.genre),
        year=text(tags.year),
        isrc=other("isrc"),
        # Vorbis comments and MP4 boxes; their "release track id" is another thing.
        musicbrainz_id=other("musicbrainz_trackid", "musicbrainz track id"),
        duration_s=tags.duration,
    )


def folder_songs(
    root: str | Path,
    leave_out: str | Path | None = None,
    singer_from: SingerFrom | None = None,
    on_refused: OnRefused | None = None,
) -> Iterator[Song]:
    """Every song below a folder, sorted by path. A large library is never a list in memory.

    Args:
        leave_out: a folder that is not entered.
        singer_from: None takes the folder, and the tags of files that lie in none.
        on_refused: None raises what cannot be listed.

    Raises:
        ManifestError: no such folder, or no audio files in it.
        AudioError: a name that is not UTF-8, or a folder that cannot be opened.
    """
    root = Path(root)
    if not root.is_dir():
        raise ManifestError(root, "no such folder", "check the path")
    spelt, found = Spellings(), False
    for path in audio_files(root, None if leave_out is None else Path(leave_out), on_refused):
        found = True
        song_id, tags = path.relative_to(root), read_tags(path)
        singers, detail = _singers(song_id, root, tags, singer_from)
        try:
            singers = tuple(spelt(name, path) for name in singers)
        except ManifestError as error:
            singers, detail = (), error.problem
        yield Song(str(song_id), path, tags, singers, detail)
    if not found:
        raise ManifestError(root, "holds no audio files", "name a folder of songs")


def _singers(song_id: Path, root: Path, tags: SongTags, singer_from: SingerFrom | None) -> tuple[tuple[str, ...], str]:
    folder = song_id.parts[0] if len(song_id.parts) > 1 else ""
    credited = billing(tags.artists, tags.title or "", whole_names(folder, root, tags)).singers
    by_tag = credited or tags.artists[:1]
    by_folder = (folder,) if folder or singer_from == "folder" else by_tag
    named = {"tag": by_tag, "albumartist": (tags.album_artist or "",)}.get(singer_from or "", by_folder)
    if singer_from != "folder" and len(credited) > 1 and not all(map(is_nobody, named)):
        return credited, f"the tags name several singers: {', '.join(credited)}"
    if not any(named):
        return (), "no folder, tag or table names the singer"
    if is_nobody(named[0]):
        return (), f"{named[0]} is nobody in particular"
    return named, ""


def whole_names(folder: str, root: Path, tags: SongTags) -> tuple[str, ...]:
    """Names that are one although they may look like several: of folders, and the album's artist."""
    return folder, root.resolve().name, tags.album_artist or ""


def refuse_albums(root: str | Path, songs: Sequence[Song]) -> None:
    """Refuse one artist's folder of albums, whose subfolders would be taken for singers.

    Raises:
        ManifestError: the tags name one artist, and no subfolder has that name.
    """
    root = Path(root).resolve()
    inside = [song for song in songs if len(Path(song.song_id).parts) > 1]
    folders = {letters_of(Path(song.song_id).parts[0]) for song in inside}
    named: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for song in inside:
        artist = song.tags.album_artist or next(iter(billing(song.tags.artists).mains), "")
        if artist and not is_nobody(artist):
            named.setdefault(letters_of(artist), artist)
            counts[letters_of(artist)] += 1
    most = next((name for name, _ in counts.most_common(1)), None)
    if most is not None and most not in folders and (len(counts) == 1 or most == letters_of(root.name)):
        raise ManifestError(
            root,
            f"looks like albums of one artist: the tags name {named[most]}, and the subfolders have other names",
            "name the folder above it, or add --singer-from tag, or --singer-from folder if each subfolder is a singer",
        )


def audio_files(folder: Path, leave_out: Path | None = None, on_refused: OnRefused | None = None) -> Iterator[Path]:
    """Audio files below a folder, each folder in the order of its names; links back to a parent are not followed.

    Args:
        leave_out: a folder that is not entered.
        on_refused: None raises what cannot be listed.

    Raises:
        AudioError: a name that is not UTF-8, or a folder that cannot be opened.
    """
    avoided = {folder.resolve(), *(() if leave_out is None else (leave_out.resolve(),))}
    yield from _below(folder, avoided, on_refused or _raise)


def is_of_systems(name: str) -> bool:
    """Whether a file or folder is hidden, or one that systems make beside songs."""
    return name.startswith(".") or name.casefold() in _OF_SYSTEMS


def _below(folder: Path, avoided: set[Path], on_refused: OnRefused) -> Iterator[Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        on_refused(AudioError(folder, f"cannot be opened ({error.strerror})", "check its permissions"))
        return
    for path in paths:
        if is_of_systems(path.name):
            continue
        if path.is_dir():
            if (real := path.resolve()) not in avoided:
                yield from _below(path, avoided | {real}, on_refused)
        elif path.suffix.lower() in AUDIO_ENDINGS:
            try:
                str(path).encode()
            except UnicodeEncodeError:
                on_refused(UnreadableAudioError(path, "has a name that is not UTF-8", "rename it"))
            else:
                yield path


def _raise(error: WhosingsError) -> None:
    raise error
