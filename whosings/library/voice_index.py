"""An index over a library's voices, by the million: which voices are nearest to one, without comparing with all.

It lies in a folder beside the library and holds nothing that the library does not: it can be removed at any time. The
library is the truth. An index names candidates, whose rows are read from the library and scored exactly, so that it
can miss a voice and never change a score.

It is an inverted file of faiss (``voice_lists``). Besides it holds, of a fixed part of all voices drawn by their keys,
the exact means: what the others are like can be estimated from these.

Conventions
-----------
- What lies in lists are means without the mean voice, of unit length, as ``Calibration.centred`` has them.
- A voice is known by its row's number and a digest of its content, because numbers come back.
- ``current.json`` names the files that count, with sizes and checksums, and is replaced at the end of a change. What a
  process left that was killed is not named there, and the next change removes it.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4
from zlib import crc32

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from whosings.audio import FloatArray
from whosings.calibration import Calibration
from whosings.errors import LibraryError, MissingExtraError
from whosings.files import atomic, write_atomic
from whosings.library.library_file import Library
from whosings.library.library_rows import LibraryVoices
from whosings.library.voice_lists import Ids, VoiceLists

WORTH_IT = 100_000
"""Voices from which on an index is worth its upkeep: so many are read in two seconds and compared in a fifth of one."""

SAMPLED = 8192
"""Voices of which the exact means are kept, about."""

_FORMAT = 1
_CURRENT, _LOCK = "current.json", "lock"
_PARTS = ("lists", "voices", "sample")
_LISTS_OF_ROOT = 4  # lists over the root of the number of voices
_TRAINED = 40  # voices a list, from which the centres are learnt
_GROWN = 4  # times as many voices as the centres were learnt for: they are learnt anew
_BLOCK = 1 << 15
_REMAKE = "make it anew: whosings index --anew"
Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Upkeep:
    """What bringing an index up to date did.

    Attributes:
        voices: how many are in it now.
        added, deleted: how many came and went.
        why_anew: why it was made from nothing, as a clause; empty where it was not.
    """

    voices: int
    added: int
    deleted: int
    why_anew: str = ""


@dataclass(frozen=True)
class _About:
    """What ``current.json`` says.

    Attributes:
        encoder: fingerprint of the library's encoder.
        centre: digest of the mean voice that was taken away.
        stamp: of the library's file when it was last compared.
        learnt: voices there were when the lists' centres were learnt.
        files: name, size and CRC-32 of each file, by its part.
    """

    format: int
    encoder: str
    centre: str
    stamp: list[int]
    voices: int
    learnt: int
    files: dict[str, list[Any]]


def index_folder(library: Path) -> Path:
    """Where a library's index lies."""
    return library.with_name(library.name + ".index")


class VoiceIndex:
    """An index that was read.

    Args:
        library: whose voices they are.
        calibration: that of the library's encoder.

    Raises:
        LibraryError: there is none, it is damaged, of another encoder, or of another version.
        MissingExtraError: faiss is not installed.
    """

    def __init__(self, library: Library, calibration: Calibration) -> None:
        MissingExtraError.require("faiss", "an index over voices", "scale")
        self.folder, self._calibration = index_folder(library.path), calibration
        self._about, parts = _read(self.folder)
        for what, own, right in (
            ("encoder", self._about.encoder, library.fingerprint),
            ("mean voice", self._about.centre, _centre(calibration)),
        ):
            if own != right:
                raise LibraryError(self.folder, f"is an index of another {what} than the library's", _REMAKE)
        try:
            self._lists = VoiceLists.from_bytes(parts["lists"])
            voices = np.frombuffer(parts["voices"], np.uint64).reshape(2, -1)
            self.sample = _of_bytes(parts["sample"])
        except (RuntimeError, ValueError) as error:
            raise LibraryError(self.folder, "is damaged (a file is of another kind)", _REMAKE) from error
        self._ids, self._keys = voices[0].astype(np.int64), voices[1].copy()
        if not len(self._lists) == len(self._ids) == self._about.voices:
            raise LibraryError(self.folder, "is damaged (its files do not belong together)", _REMAKE)

    def __len__(self) -> int:
        return len(self._ids)

    def nearest(self, mean: FloatArray, count: int) -> Ids:
        """Rows' numbers of the voices that are likely the nearest, (at most count,), the nearest first.

        Args:
            mean: (dimensions,) mean of unit embeddings.
        """
        return self._lists.nearest(self._calibration.centred(mean[None])[0], count)

    def is_of(self, library: Library) -> bool:
        """Whether the library's file has not changed since the index was last compared with it."""
        return self._about.stamp == _stamp(library)


def bring_up_to_date(library: Library, calibration: Calibration, anew: bool = False, may_learn: bool = True) -> Upkeep:
    """Make a library's index what the library is now: new voices come in, forgotten ones go; or make one.

    One that is damaged, or of another encoder or library, is made anew.

    Args:
        anew: make it from nothing.
        may_learn: it may be made, which takes minutes where there are a million voices.

    Raises:
        LibraryError: the library has no voices, or the index would have to be made and may not.
        MissingExtraError: faiss is not installed.
    """
    MissingExtraError.require("faiss", "an index over voices", "scale")
    folder = index_folder(library.path)
    folder.mkdir(exist_ok=True)
    with FileLock(folder / _LOCK):
        stamp = _stamp(library)  # first: what changes meanwhile is found the next time
        why, index = ("it was asked for" if anew else ""), None
        if not anew:
            try:
                index = VoiceIndex(library, calibration)
            except LibraryError as error:
                if not may_learn:
                    raise
                why = error.problem
        if index is not None and index._about.stamp == stamp:
            return Upkeep(len(index), 0, 0)
        ids, keys = _keys(library)
        if len(ids) == 0:
            raise LibraryError(library.path, "has no voices to index", "scan songs first")
        if index is not None:
            done = _changed(index, library, calibration, ids, keys, stamp)
            if done is not None:
                return done
            why = "most of the library has changed"
            if not may_learn:
                raise LibraryError(folder, f"does not fit any more ({why})", _REMAKE)
        lists = _learnt(library, calibration, ids)
        _put(lists, library, calibration, ids)
        _write(folder, library, calibration, lists, ids, keys, stamp, len(ids))
        return Upkeep(len(ids), len(ids), 0, why)


def remove(library: Library) -> None:
    """Remove a library's index, if there is one.

    Raises:
        OSError: it cannot be removed.
    """
    if (folder := index_folder(library.path)).exists():
        shutil.rmtree(folder)


def _changed(
    index: VoiceIndex, library: Library, calibration: Calibration, ids: Ids, keys: Keys, stamp: list[int]
) -> Upkeep | None:
    """Take in what is new and take out what is gone; None where so much is that centres must be learnt anew."""
    place = np.searchsorted(index._ids, ids)
    held = np.zeros(len(ids), bool)
    inside = place < len(index)
    held[inside] = (index._ids[place[inside]] == ids[inside]) & (index._keys[place[inside]] == keys[inside])
    new, gone = ids[~held], np.setdiff1d(index._ids, ids[held], assume_unique=True)
    learnt = index._about.learnt
    if len(ids) > _GROWN * learnt or len(ids) * _GROWN < learnt or len(gone) > len(index) / 2:
        return None
    index._lists.remove(gone)
    _put(index._lists, library, calibration, new)
    _write(index.folder, library, calibration, index._lists, ids, keys, stamp, learnt)
    return Upkeep(len(ids), len(new), len(gone))


def _learnt(library: Library, calibration: Calibration, ids: Ids) -> VoiceLists:
    """Empty lists around centres that were learnt from some of the voices."""
    count = 1 << max(0, round(math.log2(_LISTS_OF_ROOT * math.sqrt(len(ids)))))
    count = max(1, min(count, len(ids) // _TRAINED))
    chosen = np.sort(np.random.default_rng(0).permutation(ids)[: _TRAINED * count])
    return VoiceLists.learn(
        count, np.concatenate([calibration.centred(block.means) for block in _blocks(library, chosen)])
    )


def _put(lists: VoiceLists, library: Library, calibration: Calibration, ids: Ids) -> None:
    for block in _blocks(library, ids):
        lists.add(block.ids, calibration.centred(block.means))


def _blocks(library: Library, ids: Ids) -> Iterator[LibraryVoices]:
    for first in range(0, len(ids), _BLOCK):
        block = library.voices_of(ids[first : first + _BLOCK].tolist())
        if len(block.ids):
            yield block


def _keys(library: Library) -> tuple[Ids, Keys]:
    """All voices' numbers, ascending, and digests of their keys."""
    ids, keys = [], bytearray()
    for number, text in library.voice_keys():
        ids.append(number)
        keys += hashlib.blake2b(text.encode(), digest_size=8).digest()
    return np.array(ids, np.int64), np.frombuffer(bytes(keys), np.uint64)


def _sampled(library: Library, ids: Ids, keys: Keys) -> bytes:
    """Rows of the voices whose keys are the lowest: of the same library always the same, whatever came and went."""
    chosen = ids[np.argsort(keys, kind="stable")[:SAMPLED]]
    found = library.voices_of(chosen.tolist())
    held = BytesIO()
    np.savez(held, **{field.name: getattr(found, field.name) for field in fields(found)})
    return held.getvalue()


def _of_bytes(held: bytes) -> LibraryVoices:
    with np.load(BytesIO(held), allow_pickle=False) as found:
        return LibraryVoices(**{name: found[name] for name in found.files})


def _write(
    folder: Path,
    library: Library,
    calibration: Calibration,
    lists: VoiceLists,
    ids: Ids,
    keys: Keys,
    stamp: list[int],
    learnt: int,
) -> None:
    """Write new files beside those that count, let them count, and remove all others."""
    if len(lists) != len(ids):
        raise LibraryError(library.path, "was changed while it was read", "run the same command again")
    parts = {
        "lists": lists.to_bytes(),
        "voices": np.stack([ids.astype(np.uint64), keys]).tobytes(),
        "sample": _sampled(library, ids, keys),
    }
    turn, files = uuid4().hex[:8], {}
    for part, content in parts.items():
        name = f"{part}-{turn}"
        with atomic(folder / name) as beside:
            beside.write_bytes(content)
        files[part] = [name, len(content), crc32(content)]
    about = _About(_FORMAT, library.fingerprint, _centre(calibration), stamp, len(ids), learnt, files)
    write_atomic(folder / _CURRENT, json.dumps(asdict(about)))
    kept = {_CURRENT, _LOCK, *(name for name, *_ in files.values())}
    for file in folder.iterdir():
        if file.name not in kept:
            file.unlink(missing_ok=True)


def _about(folder: Path) -> _About:
    if not (folder / _CURRENT).is_file():
        raise LibraryError(folder, "there is no index", "make one: whosings index")
    try:
        said = json.loads((folder / _CURRENT).read_text())
        if said.get("format") != _FORMAT:
            raise LibraryError(folder, f"is an index of format {said.get('format')}, not {_FORMAT}", _REMAKE)
        about = _About(**said)
        sizes = [(str(about.files[part][0]), int(about.files[part][1]), int(about.files[part][2])) for part in _PARTS]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise LibraryError(folder, f"is damaged ({_CURRENT} cannot be read)", _REMAKE) from error
    return replace(about, files=dict(zip(_PARTS, map(list, sizes), strict=True)))


def _read(folder: Path) -> tuple[_About, dict[str, bytes]]:
    """What counts, checked, though another process may be bringing it up to date."""
    while True:
        about = _about(folder)
        try:
            return about, _parts(folder, about)
        except LibraryError:
            if _about(folder) == about:
                raise


def _parts(folder: Path, about: _About) -> dict[str, bytes]:
    """Contents of the files that count, checked: faiss believes what it reads."""
    found = {}
    for part, (name, size, checksum) in about.files.items():
        path = folder / Path(name).name
        content = path.read_bytes() if path.is_file() else b""
        if len(content) != size or crc32(content) != checksum:
            raise LibraryError(folder, f"is damaged ({name} is not what was written)", _REMAKE)
        found[part] = content
    return found


def _centre(calibration: Calibration) -> str:
    return hashlib.sha256(np.asarray(calibration.centre, np.float64).tobytes()).hexdigest()


def _stamp(library: Library) -> list[int]:
    """What differs after each change of a library's file: size, time, and the count of changes that SQLite keeps."""
    about = library.path.stat()
    with library.path.open("rb") as file:
        header = file.read(28)
    return [about.st_size, about.st_mtime_ns, int.from_bytes(header[24:28], "big")]
