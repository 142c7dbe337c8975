"""One singer's songs, or the clones of one target, as files and rows of tables: the unit of work of a choir."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from whosings import audio
from whosings.catalogue.manifest import Piece, Track
from whosings.choir import conversion, diphone, from_speech
from whosings.choir.cast import Album, Singer, draw_singer
from whosings.choir.external_clones import mix_conversion, read_conversions
from whosings.choir.performer import Performer
from whosings.choir.plan import Clone, Kind, Plan, Role
from whosings.choir.songs import Performance, Song, mix, perform, record
from whosings.errors import WhosingsError
from whosings.files import content_hash
from whosings.vocals.activity import level_activity

_LICENCES: dict[Kind, str] = {
    "parametric": "CC0-1.0",
    "speech": "as the speech it was made from",
    "diphone": "non-commercial (MBROLA)",
}
_STEMS = ("mixture", "vocals", "instrumental")
_BASE = 40  # a stream of random numbers
_ENROLLED = 3  # songs of a target that its clones are made from


@dataclass(frozen=True)
class Material:
    """What a choir is made from beside its own lines.

    Attributes:
        soundfont: that bands play with; None for the built-in band.
        speakers: name and recordings of each speaker.
        voices: diphone voices.
        format: how audio files are coded.
    """

    soundfont: Path | None = None
    speakers: tuple[tuple[str, tuple[Path, ...]], ...] = ()
    voices: tuple[Path, ...] = ()
    format: Literal["flac", "opus"] = "flac"

    def bases(self) -> dict[str, int]:
        """How many there are, as ``make_plan`` takes it."""
        return {"speech": len(self.speakers), "diphone": len(self.voices)}

    def from_root(self) -> Material:
        """The same by paths that do not depend on the folder in which a process began."""
        return Material(
            None if self.soundfont is None else self.soundfont.absolute(),
            tuple((name, tuple(path.absolute() for path in paths)) for name, paths in self.speakers),
            tuple(path.absolute() for path in self.voices),
            self.format,
        )

    def digest(self) -> str:
        """SHA-256 over everything that is heard in the result."""
        found = hashlib.sha256()
        files = [file for _, files in self.speakers for file in files] + list(self.voices)
        for path in ([] if self.soundfont is None else [self.soundfont]) + files:
            found.update(content_hash(path).encode())
        return found.hexdigest()


@dataclass(frozen=True)
class Job:
    """One singer's songs, or, where there are clones, the clones of one target."""

    folder: Path
    plan: Plan
    material: Material
    singer: Role
    clones: tuple[Clone, ...] = ()


@dataclass(frozen=True)
class MadeTracks:
    """What came of a job; ``made`` tracks are new, the others were there."""

    tracks: tuple[Track, ...]
    pieces: tuple[Piece, ...]
    failures: tuple[WhosingsError, ...]
    made: int


def work(job: Job) -> MadeTracks:
    """Make what is missing of a job; errors are returned, the rest goes on."""
    return _made(_clones(job) if job.clones else _songs(job), job.material.format)


def _made(makers: Iterator[tuple[Track, Callable[[], Song]]], format: str) -> MadeTracks:
    """Make what is missing; a track that fails does not keep the others."""
    made = 0
    failures: list[WhosingsError] = []
    tracks: list[Track] = []
    pieces: list[Piece] = []
    for track, make in makers:
        stems = {"mixture": track.path, "vocals": track.vocals_path, "instrumental": track.instrumental_path}
        try:
            if not all(path is not None and Path(path).exists() for path in stems.values()):
                song = make()
                for name, path in stems.items():
                    assert path is not None
                    write = audio.write_flac if format == "flac" else audio.write_opus
                    write(path, getattr(song, name)[None])
                made += 1
            assert track.vocals_path is not None
            heard = level_activity(audio.load(track.vocals_path).samples)
        except WhosingsError as error:
            failures.append(error)
            continue
        tracks.append(replace(track, sha256=content_hash(track.path)))
        pieces += [
            Piece(track.track_id, float(start), round(float(vocal), 3))
            for start, vocal in zip(heard.start_s, heard.probability, strict=True)
        ]
    return MadeTracks(tuple(tracks), tuple(pieces), tuple(failures), made)


def _songs(job: Job) -> Iterator[tuple[Track, Callable[[], Song]]]:
    role, preset, singers = job.singer, job.plan.preset, _Singers(job)
    for number in range(role.songs):
        paths = track_paths(job.folder, "songs", role.name, f"song-{number:02d}.{job.material.format}")
        album = singers.unvoiced(role).album(number)
        track = Track(
            track_id=f"{role.name}/{number:02d}",
            singer_id=role.name,
            path=paths["mixture"],
            title=f"Song {number}" + ("" if album.take.occasion == "studio" else f" ({album.take.occasion})"),
            album=album.title,
            vocals_path=paths["vocals"],
            instrumental_path=paths["instrumental"],
            genre=singers.unvoiced(role).genre.name,
            language=singers.language(role),
            release_date=str(album.year),
            licence=_LICENCES[role.kind],
        )

        def make(number: int = number) -> Song:
            return record(singers[role], number, preset.duration_s, samples=job.material.soundfont)

        yield track, make


def _clones(job: Job) -> Iterator[tuple[Track, Callable[[], Song]]]:
    preset, singers = job.plan.preset, _Singers(job)
    target = job.singer
    known: list[conversion.TargetVoice] = []

    def song_of(role: Role, number: int) -> Performance:
        return perform(singers[role], number, preset.duration_s)

    for clone in job.clones:
        paths = track_paths(job.folder, "clones", target.name, f"clone-{clone.number:02d}.{job.material.format}")
        source, owner = singers.unvoiced(clone.source), singers.unvoiced(clone.owner)
        # Over its own instrumental a performance keeps its record's sound; over another band it gets that one's.
        album = source.album(clone.song) if clone.owner == clone.source else owner.album(0)
        track = Track(
            track_id=f"{target.name}/clone-{clone.number:02d}",
            singer_id=clone.source.name,
            path=paths["mixture"],
            title=f"Song {clone.song}",
            vocals_path=paths["vocals"],
            instrumental_path=paths["instrumental"],
            genre=source.genre.name,
            language=singers.language(clone.source),
            cloned=True,
            target_singer_ids=(target.name,),
            clone_method=clone.method,
            instrumental_singer_id=clone.owner.name,
            licence=_LICENCES[max((target.kind, clone.source.kind), key=list(_LICENCES).index)],
        )

        def make(clone: Clone = clone, album: Album = album) -> Song:
            if not known:
                songs = [song_of(target, number) for number in range(min(_ENROLLED, target.songs))]
                known.append(conversion.gather([song.frames for song in songs], target.name))
            song = song_of(clone.source, clone.song)
            converted = conversion.METHODS[clone.method](song.frames, known[0])
            return mix(song, converted, album, samples=job.material.soundfont)

        yield track, make


def outside(folder: str | Path, choir: Path, format: str, tracks: tuple[Track, ...]) -> MadeTracks:
    """Clones that other tools made, over the choir's instrumentals.

    Raises:
        ManifestError: the table of conversions is not as it should be.
    """

    def makers() -> Iterator[tuple[Track, Callable[[], Song]]]:
        for row in read_conversions(folder, tracks):
            name = f"{row.method}-{row.path.stem}"
            paths = track_paths(choir, "clones", row.target, f"{name}.{format}")
            track = replace(
                row.source,
                track_id=f"{row.target}/{name}",
                path=paths["mixture"],
                album=None,
                vocals_path=paths["vocals"],
                instrumental_path=paths["instrumental"],
                release_date=None,
                cloned=True,
                target_singer_ids=(row.target,),
                clone_method=row.method,
                instrumental_singer_id=row.source.singer_id,
                licence=None,
            )
            yield track, partial(mix_conversion, row)

    return _made(makers(), format)


class _Singers:
    """Singers of a job, drawn when they are first needed: analysing a speaker takes seconds."""

    def __init__(self, job: Job) -> None:
        self._plan, self._material = job.plan, job.material
        self._known: dict[Role, Singer] = {}

    def __getitem__(self, role: Role) -> Singer:
        if role not in self._known:
            self._known[role] = self._draw(role, self._performer(role))
        return self._known[role]

    def unvoiced(self, role: Role) -> Singer:
        """The singer's career; the voice may be another's."""
        return self._known.get(role) or self._draw(role, None)

    def language(self, role: Role) -> str:
        """Of the words, which are invented; or, of a diphone voice, that whose sounds it has."""
        if role.kind == "diphone" and role.base is not None:
            return diphone.language_of(self._material.voices[role.base])
        return self.unvoiced(role).language

    def _draw(self, role: Role, performer: Performer | None) -> Singer:
        return draw_singer(self._plan.seed, role.number, performer, role.name, self._plan.preset.difficulty)

    def _performer(self, role: Role) -> Performer | None:
        if role.base is None:
            return None
        rng = np.random.default_rng([self._plan.seed, role.number, _BASE])
        if role.kind == "speech":
            _, files = self._material.speakers[role.base]
            return from_speech.read_speaker(files, rng, role.tract)
        return diphone.open_voice(self._material.voices[role.base], rng, role.tract)


def track_paths(folder: Path, kind: str, singer: str, file: str) -> dict[str, Path]:
    """Where a track's mixture and stems lie; ``kind`` is ``songs`` or ``clones``."""
    name = Path(file)
    stems = folder / "stems" / singer
    return {"mixture": folder / kind / singer / file} | {
        stem: stems / f"{name.stem}.{stem}{name.suffix}" for stem in _STEMS[1:]
    }
