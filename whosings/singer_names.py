"""Names of singers: when two texts are one name, which names are nobody's, and credits taken apart.

Conventions
-----------
- Two texts name one singer if they differ only in Unicode form (composed or not), case, blanks, invisible characters,
  or the shape of apostrophes and hyphens. Accents and scripts tell singers apart, and so do compatibility forms.
- The spelling that is met first is kept.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from whosings.errors import ManifestError, WhosingsError

_JOINERS = "\u200c\u200d"  # part of how Persian, Indian languages and emoji are written
# Letters that show nothing, beside the category "format": joiners of graphemes, fillers, variation selectors.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_SHAPES = str.maketrans("’‘ʼ`´＇‐‑‒–—−", "''''''------")
FEATURING = r"(?:feat(?:uring)?|ft)(?:\.\s*|\s+)(?=\S)(?!feat|ft)"
"""Pattern of the word before guests, and the blanks after it."""
_BETWEEN_NAMES = re.compile(
    r"\s*(?:,(?!\s*(?:the|jr|sr)\b)|[;、，；])\s*|\s+(?:&|\+|and|x|×|vs\.?|versus|with)\s+|\s*/\s*", re.IGNORECASE
)
_NOBODY = """
various artists; various; va; unknown artist; unknown; no artist; anonymous; traditional; n a; compilation; compilations
soundtrack; soundtracks; original soundtrack; multiple artists; unknown singer
verschiedene interpreten; verschiedene künstler; diverse interpreten; diverse künstler; diverse; unbekannter interpret
unbekannter künstler; unbekannt; artistes divers; divers artistes; artistes variés; interprètes divers; multi artistes
artiste inconnu; artistes inconnus; inconnu; varios artistas; varios intérpretes; varios; artista desconocido
desconocido; recopilaciones; recopilatorios; artisti vari; aa vv; autori vari; artista sconosciuto; sconosciuto
vários artistas; vários; vários intérpretes; artista desconhecido; desconhecido; coletâneas; diverse artiesten
verschillende artiesten; onbekende artiest; onbekend; verzamelalbums; blandade artister; diverse artister; okänd artist
okänd; ukjent artist; ukjent; diverse kunstnere; blandede kunstnere; ukendt kunstner; ukendt; eri esittäjiä
useita esittäjiä; tuntematon esittäjä; tuntematon artisti; různí interpreti; různí umělci; neznámý interpret
neznámý umělec; różni wykonawcy; różni artyści; nieznany wykonawca; nieznany artysta; składanki; különböző előadók
vegyes előadók; válogatás; ismeretlen előadó; çeşitli sanatçılar; bilinmeyen sanatçı; разные исполнители
различные исполнители; разные артисты; сборник; сборники; неизвестный исполнитель; неизвестный артист; неизвестен
різні виконавці; невідомий виконавець; διάφοροι καλλιτέχνες; διάφοροι; άγνωστος καλλιτέχνης
ヴァリアス アーティスト; ヴァリアス アーティスツ; バリアス アーティスト; オムニバス; コンピレーション
不明なアーティスト; アーティスト不明; 不明; 群星; 华语群星; 華語群星; 合辑; 合輯; 多位艺术家; 多位藝術家; 各种艺术家
各種藝術家; 各种艺人; 未知艺术家; 未知藝術家; 未知艺人; 未知歌手; 佚名; 여러 아티스트; 다양한 아티스트; 여러 가수
알 수 없는 아티스트; 알 수 없는 음악가; 컴필레이션; 모음집
"""


def name_key(name: str) -> str:
    """What two spellings of one name have in common."""
    if not name.isascii():
        name = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
        name = unicodedata.normalize("NFC", _INVISIBLE.sub("", name)).translate(_SHAPES).casefold()
        name = unicodedata.normalize("NFC", name)
    return " ".join(name.replace("`", "'").split()).casefold()


def singer_name(name: str, subject: str | Path, error: type[WhosingsError] = ManifestError) -> str:
    """A name as it is kept and shown: composed, single blanks, nothing invisible but what belongs to its script.

    Args:
        subject: what holds the name, for the message.
        error: the kind of error to raise.

    Raises:
        WhosingsError: the name is empty, or holds control characters or halves of characters.
    """
    kept = (letter for letter in name if letter in _JOINERS or unicodedata.category(letter) != "Cf")
    clean = " ".join(unicodedata.normalize("NFC", "".join(kept)).split())
    if not name_key(clean):
        raise error(subject, "a singer needs a name", "give one")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in clean):
        problem = f"has a singer's name with characters that are no text, {clean!a}"
        raise error(subject, problem, "give the name as plain text in UTF-8")
    return clean


class Spellings:
    """Gives every singer one spelling: the first that is met."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._known: dict[str, str] = {}  # by the text as it is given

    def __call__(self, name: str, subject: str | Path) -> str:
        """The spelling; as ``singer_name``, and raises the same."""
        known = self._known.get(name)
        if known is None:
            clean = singer_name(name, subject)
            known = self._known[name] = self._first.setdefault(name_key(clean), clean)
        return known


def is_nobody(name: str) -> bool:
    """Whether the name stands for nobody in particular, in any of twenty languages: "Various Artists", "[unknown]"."""
    return letters_of(name) in _nobody()


def split_featured(text: str) -> tuple[str, tuple[str, ...]]:
    """``"A feat. B & C"`` -> ``("A", ("B", "C"))``; the part before is left whole, for "&" may belong to a name."""
    head, *tail = re.split(rf"\s[(\[]?{FEATURING}", text.strip(), maxsplit=1, flags=re.IGNORECASE)
    return head, split_names(tail[0].rstrip(")]")) if tail else ()


def featured_in_title(title: str) -> tuple[str, ...]:
    """``"Song (feat. B & C) [Live]"`` -> ``("B", "C")``."""
    found = re.findall(rf"(?:[(\[]\s*|\s){FEATURING}((?:(?!\s-\s)[^()\[\]])+)", title, flags=re.IGNORECASE)
    return tuple(dict.fromkeys(name for names in found for name in split_names(names)))


def split_names(text: str) -> tuple[str, ...]:
    """Every name in a list of names: commas, ";", "&", "and", "x", "vs.", "with"."""
    parts = _BETWEEN_NAMES.split(text.strip())
    return tuple(part for part in (part.strip() for part in parts) if part)


@dataclass(frozen=True)
class Billing:
    """Who is credited for a song.

    Attributes:
        mains: names up front; "A & B" is one of them, as it may be a name, unless A and B are named elsewhere.
        guests: who is featured.
        known: letters of names that are whole although they look like several.
    """

    mains: tuple[str, ...] = ()
    guests: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()

    @property
    def singers(self) -> tuple[str, ...]:
        """Everybody who is named, each once."""
        names = [
            part for main in self.mains for part in ((main,) if letters_of(main) in self.known else split_names(main))
        ]
        return tuple({name_key(name): name for name in (*names, *self.guests)}.values())


def billing(credits: Iterable[str], title: str = "", whole: Iterable[str] = ()) -> Billing:
    """Read all credits of a song together; their order changes nothing but the order of names.

    Args:
        credits: values of the tags ARTIST and ARTISTS, whichever holds which; NUL bytes separate several in one.
        title: may say who is featured.
        whole: names that are no list of names, such as the album's artist "Simon & Garfunkel".
    """
    known = frozenset(letters_of(name) for name in whole if name)
    heads: dict[str, str] = {}
    guests = {name_key(name): name for name in featured_in_title(title)}
    for value in (part.strip() for credit in credits for part in credit.split("\0")):
        head, more = (value, ()) if letters_of(value) in known else split_featured(value)
        if name_key(head) and not is_nobody(head):
            heads.setdefault(name_key(head), head)
        guests.update((name_key(name), name) for name in more if name_key(name))
    listed = {key: frozenset(map(name_key, split_names(head))) for key, head in heads.items()}
    wholes = {key for key, head in heads.items() if len(listed[key]) > 1 and letters_of(head) in known}
    parts = frozenset().union(*(listed[key] for key in wholes))
    for key in [key for key in heads if key not in wholes]:
        others = (heads.keys() | guests.keys()) - {key}
        if key in guests or key in parts or (len(listed[key]) > 1 and listed[key] <= others):
            del heads[key]
    return Billing(tuple(heads.values()), tuple(guests.values()), known)


@cache
def _nobody() -> frozenset[str]:
    return frozenset(letters_of(name) for name in re.split("[;\n]", _NOBODY) if name.strip())


def letters_of(text: str) -> str:
    """A name's letters and digits only, without accents and case: "AC/DC" and a folder "AC_DC" have the same."""
    plain = unicodedata.normalize("NFKD", text.replace("&", " and ").replace("+", " and ")).casefold()
    return "".join(letter for letter in plain if letter.isalnum()) or text.strip()
