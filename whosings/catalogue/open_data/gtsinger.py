"""GTSinger: professional singers in nine languages, each song with and without a technique, without a band."""

from __future__ import annotations

import re

from whosings.catalogue.manifest import Track
from whosings.catalogue.open_data.m4singer import sex_of_range
from whosings.catalogue.open_data.record import OpenDataSet, Place, read_tree
from whosings.catalogue.protocols import Rules

_FORM = "English/EN-Alto-1/Breathy/SONG/Control_Group/0000.wav"
_SINGER = re.compile(r"([A-Z]{2})-(?:Soprano|Alto|Tenor|Bass)-[0-9]+")
_LANGUAGES = {
    "ZH": "Chinese",
    "EN": "English",
    "JA": "Japanese",
    "KO": "Korean",
    "RU": "Russian",
    "ES": "Spanish",
    "FR": "French",
    "DE": "German",
    "IT": "Italian",
}


def _track(place: Place) -> Track | str:
    singer, technique, song, group = (place.folder(above).strip() for above in (4, 3, 2, 1))
    named = _SINGER.fullmatch(singer)
    if named is None:
        return "it is not in folders of singer, technique, song and group"
    if "speech" in group.lower():
        return "it is spoken"
    language = _LANGUAGES.get(named[1], named[1])
    return Track(
        "#".join((language, singer, technique, song, group, place.stem)),
        singer,
        place.path,
        title=f"{song} {place.stem}, {group}",
        language=named[1].lower(),
        licence="CC BY-NC-SA 4.0",
        song=song,
    )


GTSINGER = OpenDataSet(
    name="gtsinger",
    title="GTSinger",
    citation="Y. Zhang et al.: GTSinger: A Global Multi-Technique Singing Corpus with Realistic Music Scores for All "
    "Singing Tasks. NeurIPS Datasets and Benchmarks 2024",
    licence="CC BY-NC-SA 4.0, with an agreement",
    commercial="no",
    home="huggingface.co/datasets/GTSinger/GTSinger",
    size="20 singers, 9 languages, 80.6 h sung",
    form=_FORM,
    singer="the folder, such as EN-Alto-1",
    song="the song's folder, whatever the technique and the group; speech is left out",
    read=lambda folder: read_tree(folder, _track, _FORM),
    rules=Rules("song"),
    checksums="none in the repository; make an index",
    unverified="the number of files; names of singers but those in the published description",
    sex_of=sex_of_range,
)
