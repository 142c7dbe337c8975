"""Who sings what as files for players and spreadsheets: an M3U8 playlist a singer, and one CSV table.

Conventions
-----------
- Playlists are extended M3U in UTF-8, and name files by their paths from the folder of the playlists where these lie
  on one disk.
- A playlist that is not of whosings is never replaced.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from whosings.errors import TagError
from whosings.files import write_atomic
from whosings.library.sung import Sung, SungVoice, Wanted
from whosings.safe_text import printable, to_cell
from whosings.singer_names import name_key

_MADE = "#WHOSINGS"
_UNFIT = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_LONGEST_NAME = 200  # bytes
_COLUMNS = ("path", "singer", "outcome", "probability", "seconds", "sha256")


@dataclass(frozen=True)
class _Track:
    path: Path
    voice: SungVoice
    duration_s: float | None


def write_playlists(
    sung: Iterable[Sung], folder: str | Path, wanted: Wanted, on_failed: Callable[[TagError], object]
) -> tuple[Path, ...]:
    """Write a playlist for each singer, the likeliest songs first.

    Args:
        on_failed: called with what no playlist can name; the rest goes on.

    Raises:
        TagError: a file of this name is there and is not of whosings.
        OSError: the folder cannot be written to.
    """
    folder = Path(folder)
    singers: dict[str, list[_Track]] = {}
    spelt: dict[str, str] = {}
    for item in sung:
        voices = wanted.of(item)
        if voices and re.search("[\r\n]", str(item.path)):
            problem = "has a line break in its name, and a playlist has one line a file"
            on_failed(TagError(printable(str(item.path)), problem, "rename it"))
            continue
        for voice in voices:
            singer = spelt.setdefault(name_key(voice.singer), voice.singer)
            singers.setdefault(singer, []).append(_Track(item.path, voice, item.duration_s))
    names = _file_names(singers)
    for singer in singers:
        _refuse_foreign(folder / names[singer])
    written = []
    for singer, tracks in singers.items():
        path = folder / names[singer]
        ranked = sorted(tracks, key=lambda track: (-track.voice.probability, str(track.path)))
        lines = ["#EXTM3U", f"{_MADE} {printable(singer)}", f"#PLAYLIST:{printable(singer)}"]
        for track in ranked:
            length = -1 if track.duration_s is None else round(track.duration_s)
            lines.append(f"#EXTINF:{length},{printable(track.path.stem)}")
            lines.append(_entry(track.path, folder))
        content = "\n".join(lines) + "\n"
        write_atomic(path, content.encode("utf-8", "surrogateescape"))
        written.append(path)
    return tuple(written)


def write_table(sung: Iterable[Sung], path: str | Path, wanted: Wanted) -> int:
    """Write one row a singer of a file; the number of rows.

    Raises:
        OSError: the table cannot be written.
    """
    content, rows = io.StringIO(), 0
    table = csv.writer(content, lineterminator="\n")
    table.writerow(_COLUMNS)
    for item in sung:
        for voice in wanted.of(item):
            name, singer = to_cell(_text(item.path)), to_cell(voice.singer)
            numbers = (f"{voice.probability:.6f}", f"{voice.seconds:.3f}")
            table.writerow((name, singer, voice.outcome.value, *numbers, item.sha256))
            rows += 1
    write_atomic(path, content.getvalue())
    return rows


def _entry(path: Path, folder: Path) -> str:
    """A line that names a file. One that begins with a sign of a comment gets a dot before it."""
    try:
        found = os.path.relpath(path.absolute(), folder.absolute())
    except ValueError:  # on another disk of Windows
        found = str(path.absolute())
    return f"./{found}" if found.startswith(("#", " ")) else found


def _text(path: Path) -> str:
    return str(path).encode(errors="backslashreplace").decode()


def _file_names(singers: Iterable[str]) -> dict[str, str]:
    """A name for each singer's playlist that every file system takes, each another one."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for singer in singers:
        plain = _UNFIT.sub("_", printable(singer)).strip(" .") or "_"
        plain = plain.encode()[:_LONGEST_NAME].decode(errors="ignore")
        if _RESERVED.fullmatch(plain):
            plain += "_"
        name, number = plain, 2
        while name.casefold() in taken:
            name, number = f"{plain} ({number})", number + 1
        taken.add(name.casefold())
        names[singer] = f"{name}.m3u8"
    return names


def _refuse_foreign(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except FileNotFoundError:
        return
    if f"\n{_MADE} ".encode() not in start:
        raise TagError(path, "is there already and is no playlist of whosings", "move it, or name another folder")
