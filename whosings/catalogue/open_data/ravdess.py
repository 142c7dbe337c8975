"""The songs of RAVDESS: actors who sing two sentences in several emotions, without a band."""

from __future__ import annotations

import re

from whosings.catalogue.manifest import Track
from whosings.catalogue.open_data.record import OpenDataSet, Place, read_tree
from whosings.catalogue.protocols import Rules

_FORM = "Actor_01/03-02-01-01-01-01-01.wav"
_CODES = re.compile(r"([0-9]{2})-([0-9]{2})-([0-9]{2})-([0-9]{2})-([0-9]{2})-([0-9]{2})-([0-9]{2})")
_EMOTIONS = {"01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry", "06": "fearful"}
_INTENSITIES = {"01": "normal", "02": "strong"}
_SINGER = re.compile(r"actor-([0-9]{2})")


def _track(place: Place) -> Track | str:
    codes = _CODES.fullmatch(place.stem)
    if codes is None:
        return "its name is not seven numbers"
    modality, channel, emotion, intensity, statement, repetition, actor = codes.groups()
    if modality != "03":
        return "it is video"
    if channel != "02":
        return "it is spoken"
    mood = f"{_EMOTIONS.get(emotion, emotion)}, {_INTENSITIES.get(intensity, intensity)}"
    return Track(
        place.stem,
        f"actor-{actor}",
        place.path,
        title=f"statement {int(statement)}, {mood}, take {int(repetition)}",
        language="en",
        licence="CC BY-NC-SA 4.0",
        song=f"statement {int(statement)}",
    )


def _sex(singer_id: str) -> str | None:
    named = _SINGER.fullmatch(singer_id)
    return None if named is None else "male" if int(named[1]) % 2 else "female"


RAVDESS = OpenDataSet(
    name="ravdess-song",
    title="RAVDESS, songs",
    citation="S. R. Livingstone, F. A. Russo: The Ryerson Audio-Visual Database of Emotional Speech and Song "
    "(RAVDESS). PLoS ONE 13(5): e0196391, 2018",
    licence="CC BY-NC-SA 4.0; commercial licences are sold",
    commercial="no",
    home="Zenodo, doi:10.5281/zenodo.1188976, Audio_Song_Actors_01-24.zip",
    size="23 actors (none is actor 18), 1,012 clips",
    form=_FORM,
    singer="the last number of a file's name; odd ones are male, even ones female",
    song="one of the two sentences, so one of them is tested and the other one trains",
    read=lambda folder: read_tree(folder, _track, _FORM),
    rules=Rules("song"),
    checksums="MD5 of its archives on Zenodo, none per file; make an index",
    unverified="checked on 1,009 of the 1,012 clips",
    sex_of=_sex,
)
