"""Names of uploads: what strangers call their files, made fit for a folder and for answers."""

from __future__ import annotations

import re
import unicodedata

_LONGEST_ENDING = 8  # bytes
_MOST_BYTES = 150  # file systems take 255, and endings are added while a file is written
_UNFIT = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\u200e\u200f\u202a-\u202e\u2066-\u2069]')
_NAMELESS = "recording"


def safe_name(given: str | None) -> str:
    """The last part of a name without what steers terminals, folders and directions of writing; never empty.

    It is 150 bytes long at most, and its ending is kept.
    """
    last = re.split(r"[/\\]", given or "")[-1]
    text = unicodedata.normalize("NFC", last.encode("utf-8", "replace").decode("utf-8"))
    text = _UNFIT.sub("", text).strip().rstrip(". ")
    stem, dot, ending = text.rpartition(".")
    if not dot or not 0 < len(ending.encode()) <= _LONGEST_ENDING or not ending.isalnum():
        stem, dot, ending = text, "", ""
    stem = stem.lstrip(". ").encode()[: _MOST_BYTES - len(ending.encode()) - 1].decode("utf-8", "ignore").strip()
    return f"{stem or _NAMELESS}{dot}{ending}"
