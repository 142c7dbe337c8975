"""VocalSet: professional singers, each with the same exercises and three songs in many techniques, without a band."""

from __future__ import annotations

import re

from whosings.catalogue.manifest import Track
from whosings.catalogue.open_data.record import OpenDataSet, Place, read_tree
from whosings.catalogue.protocols import Rules

_FORM = "FULL/female1/arpeggios/belt/f1_arpeggios_belt_c_a.wav"
_SINGER = re.compile(r"(female|male)([0-9]{1,2})", re.IGNORECASE)
_OWN_NAME = re.compile(r"([fm])([0-9]{1,2})_", re.IGNORECASE)
_COPY = re.compile(r"(.+?) ?\([0-9]\)")
_EXCERPTS = ("caro", "dona", "row")
_NOT_SUNG = ("spoken",)


def _track(place: Place) -> Track | str:
    singer, context, technique = (place.folder(above) for above in (3, 2, 1))
    named = _SINGER.fullmatch(singer)
    if named is None:
        return "it is not in folders of singer, context and technique"
    if technique.lower() in _NOT_SUNG:
        return "it is spoken"
    own = _OWN_NAME.match(place.stem)  # several files have no singer in their names
    if own is not None and (own[1].lower(), own[2]) != (named[1][0].lower(), named[2]):
        return "its name and its folder tell two singers"
    copy = _COPY.fullmatch(place.stem)
    if copy is not None and place.path.with_name(copy[1] + place.path.suffix).is_file():
        return "it is a copy"
    words = place.stem.lower().split("_")
    song = next((word for word in _EXCERPTS if word in words), context.lower())
    singer_id = f"{named[1]}{named[2]}".lower()
    track_id = f"{singer_id}/{context}/{technique}/{place.stem}"
    return Track(track_id, singer_id, place.path, title=place.stem, licence="CC BY 4.0", song=song)


VOCALSET = OpenDataSet(
    name="vocalset",
    title="VocalSet",
    citation="J. Wilkins, P. Seetharaman, A. Wahl, B. Pardo: VocalSet: A Singing Voice Dataset. ISMIR 2018",
    licence="CC BY 4.0",
    commercial="yes",
    home="Zenodo, doi:10.5281/zenodo.1193957 (version 1.2: record 1442513)",
    size="20 singers (9 female, 11 male), 10.1 h",
    form=_FORM,
    singer="the folder, female1 to female9 and male1 to male11",
    song="an exercise (arpeggios, scales, long_tones) in all keys, vowels and techniques, or one of the three excerpts",
    read=lambda folder: read_tree(folder, _track, _FORM),
    rules=Rules("song"),
    checksums="MD5 of its archives on Zenodo, none per file; make an index",
    unverified="the number of files, and names in data_by_singer, which version 1.2 has in the place of FULL",
    sex_of=lambda singer: named[1].lower() if (named := _SINGER.fullmatch(singer)) else None,
)
