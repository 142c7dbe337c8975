"""The split files that the paper's authors published for FMA and MTG-Jamendo, in and out.

Conventions
-----------
- One JSON file a set, ``splits/FMA/fma_{train,val,test}_set.json`` and
  ``splits/mtg-jamendo-dataset/mtg_{train,val,test}_set.json``: ``{artist: tracks}``.
- A track is ``{"file_id": "000002.mp3", "vocal_segs": [0, 3, 12]}``: where its sung 3-second pieces begin, in seconds.
- Tracks are a list in ``train`` and a single one in ``val`` and ``test``; FMA has them under one more key, ``track``.
- Only sung pieces are listed; a piece that is not listed is not sung, and gets no row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whosings.catalogue.datasets import FMA, MTG, DataSet
from whosings.catalogue.manifest import Manifest, Piece, Track
from whosings.catalogue.roles import ROLES, SingerSplit
from whosings.errors import ManifestError
from whosings.files import write_atomic

_SETS = {"train": "train", "validation": "val", "test": "test"}
_FOLDERS = {FMA.name: "FMA", MTG.name: "mtg-jamendo-dataset"}
_LONGEST_S = 1e6  # a start beyond it is no time in a track


def read_published(folder: str | Path, audio_root: str | Path, dataset: DataSet) -> SingerSplit:
    """A published split with its audio's places. Other keys than the documented ones are ignored.

    Args:
        folder: holds ``splits/``, or is ``splits`` itself.
        audio_root: folder of the data set; files need not be there, see ``Manifest.missing_audio``.

    Raises:
        ManifestError: a file is missing, not JSON or not of the form; a track is listed twice; an artist is not in
            all three sets.
    """
    folder, root = Path(folder), Path(audio_root)
    inner = folder if folder.name == "splits" else folder / "splits"

    def read(name: str) -> Manifest:
        path = _file(inner, dataset, name)
        tracks: list[Track] = []
        pieces: list[Piece] = []
        for artist, value in _artists(path).items():
            for entry in _entries(path, artist, value, dataset, name):
                file_id, starts = _entry(path, artist, entry, dataset)
                tracks.append(Track(file_id, artist, dataset.locate(root, file_id)))
                pieces += [Piece(file_id, start, 1.0) for start in starts]
        return Manifest(tuple(tracks), tuple(pieces))

    train, validation, test = (read(name) for name in ROLES)
    try:
        return SingerSplit(train, validation, test)
    except ManifestError as error:
        raise ManifestError(inner / _FOLDERS[dataset.name], error.problem, error.remedy) from error


def write_published(split: SingerSplit, folder: str | Path, dataset: DataSet) -> None:
    """Write a split in the published form, under ``folder / "splits"``; pieces of ``vocal`` 0.5 and more are listed.

    Raises:
        ManifestError: a track id is not one of the data set's file names, a track has no sung piece, or a singer has
            several test or validation tracks.
    """
    contents: dict[Path, str] = {}
    for name in ROLES:
        artists: dict[str, Any] = {}
        part: Manifest = getattr(split, name)
        for singer, tracks in part.by_singer.items():
            if len(tracks) > 1 and name != "train":
                raise ManifestError(
                    f"singer {singer}", f"has {len(tracks)} {name} tracks, and the form has place for one", "keep one"
                )
            entries = []
            for track in tracks:
                starts = [p.start_s for p in part.pieces_by_track.get(track.track_id, ()) if p.vocal >= 0.5]
                if not dataset.file_id.fullmatch(track.track_id):
                    raise ManifestError(
                        f"track {track.track_id}", f"has no file name of {dataset.name} for its id", "rename it"
                    )
                if not starts:
                    raise ManifestError(f"track {track.track_id}", "has no sung piece to list", "add its pieces")
                entries.append({"file_id": track.track_id, "vocal_segs": starts})
            value = entries if name == "train" else entries[0]
            artists[singer] = {"track": value} if dataset is FMA else value
        contents[_file(Path(folder) / "splits", dataset, name)] = json.dumps(artists, ensure_ascii=False)
    for path, content in contents.items():
        write_atomic(path, content)


def _file(splits: Path, dataset: DataSet, name: str) -> Path:
    return splits / _FOLDERS[dataset.name] / f"{dataset.name}_{_SETS[name]}_set.json"


def _artists(path: Path) -> Mapping[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise ManifestError(path, f"has {key} more than once in one place", "keep one of them")
            found[key] = value
        return found

    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
    except FileNotFoundError:
        raise ManifestError(path, "no such file", "give the folder that holds splits/") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(path, f"is not JSON ({error})", "get it again") from error
    if not isinstance(content, dict) or not content:
        raise ManifestError(path, "is not an object with artists for keys", "get it again")
    return content


def _entries(path: Path, artist: str, value: Any, dataset: DataSet, name: str) -> list[Any]:
    if dataset is FMA:
        value = value.get("track") if isinstance(value, dict) else None
    wanted = list if name == "train" else dict
    if not artist or not isinstance(value, wanted) or not value:
        what = "a list of tracks" if name == "train" else "one track"
        raise ManifestError(path, f"has not {what} for artist {artist}", "get it again")
    return value if isinstance(value, list) else [value]


def _entry(path: Path, artist: str, entry: Any, dataset: DataSet) -> tuple[str, list[float]]:
    file_id = entry.get("file_id") if isinstance(entry, dict) else None
    if not isinstance(file_id, str) or not dataset.file_id.fullmatch(file_id):
        raise ManifestError(
            path, f"has a track of artist {artist} with file_id {file_id}", f"{dataset.name} has no such file name"
        )
    starts = entry.get("vocal_segs")
    if not isinstance(starts, list) or not starts:
        raise ManifestError(path, f"has no list vocal_segs for {file_id} of artist {artist}", "get it again")
    for start in starts:
        # bool is an int in Python; NaN fails every comparison
        if isinstance(start, bool) or not isinstance(start, int | float) or not 0 <= start <= _LONGEST_S:
            raise ManifestError(
                path, f"has a piece of {file_id} of artist {artist} at {start!r:.40}", "starts are seconds from 0 on"
            )
    return file_id, [float(start) for start in starts]
