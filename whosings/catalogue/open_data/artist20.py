"""Artist20: six studio albums of each of twenty artists, with bands."""

from __future__ import annotations

import re

from whosings.catalogue.manifest import Track
from whosings.catalogue.open_data.record import OpenDataSet, Place, read_tree
from whosings.catalogue.protocols import Rules

_FORM = "artist20/mp3s-32k/ARTIST/ALBUM/01-TITLE.mp3"
_ROOTS = ("mp3s-32k", "artist20")
_NUMBER = re.compile(r"[0-9]{1,3}[-_. ]+")


def _track(place: Place) -> Track | str:
    artist, album = place.folder(2), place.folder(1)
    if place.inside < 2 or artist in _ROOTS:  # any name may be an artist's: only what is inside the folder counts
        return "it is not in folders of artist and album"
    title = _NUMBER.sub("", place.stem, count=1).replace("_", " ").strip() or place.stem
    return Track(
        f"{artist}/{album}/{place.stem}",
        artist,
        place.path,
        title=title,
        album=album.replace("_", " "),
        licence="all rights reserved",
    )


ARTIST20 = OpenDataSet(
    name="artist20",
    title="Artist20",
    citation="D. Ellis: Classifying Music Audio with Timbral and Chroma Features. ISMIR 2007",
    licence="none: commercial records, for research",
    commercial="no",
    home="labrosa.ee.columbia.edu/projects/artistid",
    size="20 artists, 120 albums, 1,413 tracks",
    form=_FORM,
    singer="the artist's folder",
    song="an album: one of six tests, one validates, four train, as in most of the literature since 2019",
    read=lambda folder: read_tree(folder, _track, _FORM),
    rules=Rules("album"),
    checksums="none; make an index",
    unverified="which album is whose test is drawn here; the set's own lists (three, one and two albums) are not read",
)
