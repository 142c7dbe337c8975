"""M4Singer: professional singers with several hundred Mandarin songs, cut into phrases, without a band."""

from __future__ import annotations

import json
import re
from pathlib import Path

from whosings.catalogue.manifest import Track
from whosings.catalogue.open_data.record import OpenDataSet, PassedOver, Place, Reading, composed, read_tree
from whosings.catalogue.protocols import Rules
from whosings.errors import ManifestError

_FORM = "m4singer/Alto-1#SONG/0000.wav"
_FOLDER = re.compile(r"((?:Soprano|Alto|Tenor|Bass)-[0-9]+)#(.+)")
_SEXES = {"Soprano": "female", "Alto": "female", "Tenor": "male", "Bass": "male"}


def sex_of_range(singer_id: str) -> str | None:
    """The sex that the vocal range in a singer's name tells, such as ``Alto-1`` or ``EN-Tenor-1``."""
    return next((sex for name, sex in _SEXES.items() if name in singer_id.split("-")), None)


def read_m4singer(folder: Path) -> Reading:
    """Its phrases; phrases of ``meta.json`` without a file are passed over.

    Raises:
        ManifestError: no such folder, no recording of its form, or ``meta.json`` is not of its form.
        AudioError: a name that is not UTF-8, or a folder that cannot be opened.
    """
    found = read_tree(folder, _track, _FORM)
    table = folder / "meta.json"
    if not table.is_file():
        return found
    there = {track.track_id for track in found.manifest.tracks}
    missed = [
        PassedOver(folder / song / f"{number}.wav", "meta.json lists it, and it is not there")
        for song, _, number in (name.rpartition("#") for name in _listed(table) if composed(name) not in there)
    ]
    return Reading(found.manifest, found.passed_over + tuple(missed))


def _listed(table: Path) -> list[str]:
    try:
        return [str(item["item_name"]) for item in json.loads(table.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ManifestError(table, f"is not a list of objects with item_name ({error})", "get it again") from error


def _track(place: Place) -> Track | str:
    named = _FOLDER.fullmatch(place.folder(1))
    if named is None:
        return "it is not in a folder Singer#Song"
    singer, song = named[1], named[2].strip()
    track_id = f"{place.folder(1)}#{place.stem}"
    return Track(
        track_id, singer, place.path, title=f"{song} {place.stem}", language="zh", licence="CC BY-NC-SA 4.0", song=song
    )


M4SINGER = OpenDataSet(
    name="m4singer",
    title="M4Singer",
    citation="L. Zhang et al.: M4Singer: A Multi-Style, Multi-Singer and Musical Score Provided Mandarin Singing "
    "Corpus. NeurIPS Datasets and Benchmarks 2022",
    licence="CC BY-NC-SA 4.0, with an agreement",
    commercial="no",
    home="github.com/M4Singer/M4Singer",
    size="20 singers, 700 songs, 29.8 h",
    form=_FORM,
    singer="the folder's name before #, such as Alto-1",
    song="the folder's name after #; sung by several singers, it is one song",
    read=read_m4singer,
    rules=Rules("song"),
    checksums="none; make an index",
    unverified="its size, and whether songs of several singers are spelt alike",
    sex_of=sex_of_range,
)
