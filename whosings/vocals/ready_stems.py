"""Ready-made stems: a folder in which a track's vocals already lie, found by the track's path and name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from whosings.audio import AUDIO_ENDINGS, probe
from whosings.errors import SeparationError
from whosings.files import content_hash

_VOCALS = ("vocals", "vocal", "Vocals")
_INSTRUMENTALS = ("instrumental", "no_vocals", "accompaniment", "Instrumental")
_ENDINGS = (".flac", ".wav", *sorted(AUDIO_ENDINGS - {".flac", ".wav"}))
_TOLERANCE_S = 0.5  # by which a stem's length may differ: lossy formats pad


READING = "stems aligned"
"""How stems are read; pairs that were made otherwise are made again."""


@dataclass(frozen=True)
class StemFiles:
    """One track's files; ``instrumental`` is None where only the vocals lie there."""

    vocals: Path
    instrumental: Path | None

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the content of both, and how they are read."""
        hashes = [content_hash(path) if path else "" for path in (self.vocals, self.instrumental)]
        return hashlib.sha256(" ".join([READING, *hashes]).encode()).hexdigest()


@dataclass(frozen=True)
class ReadyStems:
    """A folder of stems.

    For a track ``.../Album/Song.mp3`` these are looked for, first in ``Album`` under the folder, with as many of the
    track's own folders as lead to something, then without: ``Song.vocals.flac``, ``Song_vocals.flac``,
    ``Song_(Vocals).flac``, ``Song/vocals.flac``, and with a folder between, as demucs writes them,
    ``htdemucs/Song/vocals.flac``; each with any audio ending.
    """

    folder: Path
    fingerprint: str = READING

    @property
    def name(self) -> str:
        """The spec that opens it."""
        return f"stems:{self.folder}"

    def find(self, track: str | Path) -> StemFiles:
        """The stems of one track.

        Raises:
            SeparationError: there are none, there are several (demucs models), or their length is another.
            AudioError: the track or a stem cannot be read.
        """
        track = Path(track)
        for place in self._places(track):
            found = list(dict.fromkeys(_candidates(place, track.stem, _VOCALS)))
            if len(found) > 1:
                raise SeparationError(
                    found[0], f"is one of {len(found)} vocal stems for {track.name}", "name the folder of one model"
                )
            if found:
                instrumental = next(_candidates(place, track.stem, _INSTRUMENTALS), None)
                stems = StemFiles(found[0], instrumental)
                _check_lengths(track, stems)
                return stems
        raise SeparationError(
            self.folder / f"{track.stem}.vocals.flac",
            f"no such stem, nor {track.stem}/vocals.wav or another known name",
            "check the folder of stems",
        )

    def _places(self, track: Path) -> Iterator[Path]:
        """Folders to look in, those that repeat the most of the track's own folders first."""
        parents = track.absolute().parent.parts[1:]
        for first in range(len(parents)):
            place = self.folder.joinpath(*parents[first:])
            if place.is_dir():
                yield place
        yield self.folder


def _candidates(place: Path, stem: str, kinds: tuple[str, ...]) -> Iterator[Path]:
    """Files that exist, best layout first; of a name with several endings, the first."""
    subfolders = sorted(inner for inner in place.iterdir() if (inner / stem).is_dir()) if place.is_dir() else []
    bases = [f"{stem}{form}" for kind in kinds for form in (f".{kind}", f"_{kind}", f" ({kind})", f"_({kind})")]
    folders = [place / stem, *(inner / stem for inner in subfolders)]
    for base in [place / name for name in bases]:
        yield from _with_ending(base)
    for folder in folders:
        for kind in kinds:
            yield from _with_ending(folder / kind)


def _with_ending(base: Path) -> Iterator[Path]:
    paths = (base.with_name(base.name + ending) for ending in _ENDINGS)
    first = next((path for path in paths if path.is_file()), None)
    if first is not None:
        yield first


def _check_lengths(track: Path, stems: StemFiles) -> None:
    wanted = probe(track).duration_s
    for path in filter(None, (stems.vocals, stems.instrumental)):
        lasts = probe(path).duration_s
        if abs(lasts - wanted) > _TOLERANCE_S:
            raise SeparationError(
                path, f"lasts {lasts:.1f} s, but {track.name} {wanted:.1f} s", "check that it belongs to this track"
            )
