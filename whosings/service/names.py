"""Names of uploads: what strangers call their files, made fit for a folder and for answers."""

from __future__ import annotations

import re
import unicodedata

_LONGEST_ENDING = 8  # bytes
_MOST_BYTES = 150  # file systems take 255, and endings are added while a file is written
_UNFIT = re.compile(r'[/\\:*?"<>|]')
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # of Unicode: controls, directions, line breaks
_JOINERS = "\u200c\u200d"  # part of how some scripts are written
_EDGES = f" \u00a0\u3000.{_JOINERS}"  # never at an end of a name
_NAMELESS = "recording"


def safe_name(given: str | None) -> str:
    """The last part of a name without what steers terminals, folders and directions of writing; never empty.

    It is 150 bytes long at most, and its ending is kept.
    """
    last = re.split(r"[/\\]", given or "")[-1]
    text = unicodedata.normalize("NFC", last.encode("utf-8", "replace").decode("utf-8"))
    seen = (letter for letter in text if letter in _JOINERS or unicodedata.category(letter) not in _UNSEEN)
    text = _UNFIT.sub("", "".join(seen)).rstrip(_EDGES)
    stem, dot, ending = text.rpartition(".")
    if not dot or not 0 < len(ending.encode()) <= _LONGEST_ENDING or not ending.isalnum():
        stem, dot, ending = text, "", ""
    stem = stem.strip(_EDGES).encode()[: _MOST_BYTES - len(ending.encode()) - 1].decode("utf-8", "ignore").strip(_EDGES)
    return f"{stem or _NAMELESS}{dot}{ending}"
