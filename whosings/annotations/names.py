"""Titles and artists' names as people write them: made comparable, taken apart, compared.

Conventions
-----------
- A normalised text has no accents, case or punctuation; scores run from 0 to 100 (100: equal when normalised).
- A version is what makes a recording of the same song another recording: live, remix, demo, a re-recording. Remasters,
  mono mixes and bonus tracks are editions of one recording and are not told apart.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from whosings.errors import MissingExtraError
from whosings.singer_names import FEATURING, featured_in_title

MissingExtraError.require("rapidfuzz", "comparing titles and names", "annotate")

from rapidfuzz import fuzz  # noqa: E402

_VERSIONS = {
    "live": "live", "concert": "live", "unplugged": "acoustic", "acoustic": "acoustic", "remix": "remix",
    "mix": "remix", "rmx": "remix", "dub": "remix", "rework": "remix", "bootleg": "remix", "mashup": "remix",
    "demo": "demo", "rehearsal": "demo", "outtake": "take", "take": "take", "alternate": "take",
    "alternative": "take", "instrumental": "instrumental", "karaoke": "karaoke", "playback": "karaoke",
    "cappella": "a cappella", "acapella": "a cappella", "cover": "cover", "edit": "edit", "extended": "extended",
    "reprise": "reprise", "session": "session", "sessions": "session", "orchestral": "orchestral",
    "symphonic": "orchestral", "slowed": "slowed", "nightcore": "sped up", "sped": "sped up",
    "rerecorded": "rerecorded",
}  # fmt: skip
_NAMESAKE = re.compile(r"\s*\(\d+\)\s*$|\*$")
_APOSTROPHE = re.compile(r"['’`´]")
_WORD = re.compile(r"[^\W_]+")
_PARTS = re.compile(r"[(\[]| - |\bf(?:ea)?t", re.IGNORECASE)
_CACHED = 65_536  # names come again and again, in dumps as in catalogues
_EDITIONS = re.compile(
    r"\b(?:remaster(?:ed|ing)?|mono|stereo|explicit|clean|bonus track|album version|single version|lp version"
    r"|original version|original mix|(?:\d{4} )?digital remaster|deluxe|anniversary edition)\b"
)


@dataclass(frozen=True, slots=True)
class Title:
    """A title taken apart: the song's normalised name, which version it is, and who is said to be featured."""

    base: str
    versions: frozenset[str]
    featured: tuple[str, ...]


@lru_cache(maxsize=_CACHED)
def normalise(text: str) -> str:
    """Comparable text: no accents, case, punctuation or leading article, nor Discogs' number for namesakes."""
    given = text = text.strip()
    if text.endswith(("*", ")")):
        text = _NAMESAKE.sub("", text)
    if text[-5:].lower() == ", the":
        text = "the " + text[:-5]
    text = text.replace("&", " and ").replace("+", " and ").casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text).casefold()
        text = "".join(letter for letter in text if not unicodedata.combining(letter))
    words = _WORD.findall(_APOSTROPHE.sub("", text))
    return " ".join(words[1:] if len(words) > 1 and words[0] == "the" else words) or given


@lru_cache(maxsize=_CACHED)
def parse_title(text: str) -> Title:
    """Take a title apart, by its brackets, its last " - " and its "feat."."""
    if text.isalnum() or not _PARTS.search(text):
        return Title(normalise(text), frozenset(), ())
    versions: set[str] = set()

    def consider(part: str) -> bool:
        """Whether the part says who is featured, which version or which edition, and so is no part of the name."""
        # "(with you)" is too often a lyric to count as a credit.
        if re.match(rf"\s*({FEATURING}|with\s)\s*(.+)", part, re.IGNORECASE):
            return True
        plain = normalise(part)
        rest = _EDITIONS.sub(" ", plain)
        found = {_VERSIONS[word] for word in rest.split() if word in _VERSIONS}
        if not found and re.search(r"\bversion\b", rest):
            found = {rest.strip()}
        versions.update(found)
        return bool(found) or rest != plain

    bare = re.sub(r"[(\[]([^()\[\]]*)[)\]]", lambda m: " " if consider(m[1]) else m[0], text)
    inline = re.search(rf"\s{FEATURING}([^-()\[\]]+)", bare, re.IGNORECASE)
    if inline:
        bare = bare[: inline.start()] + bare[inline.end() :]
    while " - " in bare:
        head, _, tail = bare.rpartition(" - ")
        if not head.strip() or not consider(tail):
            break
        bare = head
    base = normalise(bare) or normalise(text)
    return Title(base, frozenset(versions), featured_in_title(text))


def similarity(one: str, other: str) -> float:
    """How alike two normalised texts are, the order of words aside; 0 to 100."""
    if one == other:
        return 100.0
    return float(max(fuzz.ratio(one, other), fuzz.token_sort_ratio(one, other)))
