"""What is known of an open data set: where it comes from, what may be done with it, how its folder is read.

Conventions
-----------
- Ids of tracks are made of names inside the set alone, in composed Unicode (NFC) and without the file's ending: a copy
  that lies elsewhere, came from a Mac or has another audio format has the same ids.
- What is not read is passed over with a reason, never in silence; hidden files, such as a Mac's ``._`` files, and
  folders of systems (``__MACOSX``) are no part of a set.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from whosings.catalogue.folder_songs import audio_files
from whosings.catalogue.manifest import Manifest, Track
from whosings.catalogue.protocols import Rules
from whosings.catalogue.trials import SexOf
from whosings.errors import ManifestError

Commercial = Literal["yes", "no", "by track"]
"""Whether the licence allows commercial use; ``by track`` where each recording has a licence of its own."""


@dataclass(frozen=True)
class PassedOver:
    """A file that is no track of the set, or one that is missed."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Reading:
    """A folder as it was read."""

    manifest: Manifest
    passed_over: tuple[PassedOver, ...] = ()


def _unknown(singer_id: str) -> str | None:
    return None


@dataclass(frozen=True)
class OpenDataSet:
    """One data set.

    Attributes:
        name: as the command line spells it.
        home: where researchers get it.
        size: how much it holds, as it is published.
        form: how its folder looks; ``/`` between folders.
        singer: what is taken for a singer.
        song: what is taken for one song or album, of which no part is on two sides of a split.
        read: its folder, into tracks.
        rules: its fixed split.
        checksums: which are published, in words.
        unverified: what of this record was not checked against the set itself, in words.
        sex_of: singer id -> ``female`` or ``male``, where the set says so.
    """

    name: str
    title: str
    citation: str
    licence: str
    commercial: Commercial
    home: str
    size: str
    form: str
    singer: str
    song: str
    read: Callable[[Path], Reading] = field(repr=False)
    rules: Rules
    checksums: str
    unverified: str
    sex_of: SexOf = field(default=_unknown, repr=False)


@dataclass(frozen=True)
class Place:
    """Where a recording lies.

    Attributes:
        parts: names of all folders above the file, and its own without its ending, in composed Unicode.
        inside: how many of the folders lie inside the one that was named.
    """

    path: Path
    parts: tuple[str, ...]
    inside: int

    def folder(self, above: int) -> str:
        """Name of the folder so many steps above the file, 1 the nearest; empty where there is none."""
        return self.parts[-1 - above] if above < len(self.parts) else ""

    @property
    def stem(self) -> str:
        """Name of the file without its ending."""
        return self.parts[-1]


def read_tree(root: Path, parse: Callable[[Place], Track | str], form: str) -> Reading:
    """Every recording below a folder, sorted by id.

    Args:
        parse: a recording's track, or the reason why it is none. Of two with one id the first path is kept.
        form: what the folder should look like, for the error.

    Raises:
        ManifestError: no such folder, or no recording of that form in it.
        AudioError: a name that is not UTF-8, or a folder that cannot be opened.
    """
    if not root.is_dir():
        raise ManifestError(root, "no such folder", "check the path")
    # Names of the folder itself count, too, where a part of a set is named: English/EN-Alto-1 of GTSinger, say.
    above = root.resolve().parts[1:]
    tracks: dict[str, Track] = {}
    passed_over: list[PassedOver] = []
    for path in audio_files(root):
        inside = path.relative_to(root)
        parts = tuple(composed(name) for name in (*above, *inside.parent.parts, inside.stem))
        found = parse(Place(path, parts, len(inside.parts) - 1))
        if isinstance(found, Track) and found.track_id in tracks:
            found = f"another file is {found.track_id}, too"
        if isinstance(found, Track):
            tracks[found.track_id] = found
        else:
            passed_over.append(PassedOver(path, found))
    if not tracks:
        raise ManifestError(root, f"holds no recordings in the form {form}", "name the data set's folder")
    return Reading(Manifest(tuple(tracks[name] for name in sorted(tracks))), tuple(passed_over))


def composed(name: str) -> str:
    """A name in composed Unicode: a Mac's disks give it in pieces."""
    return unicodedata.normalize("NFC", name)
