"""When two texts are one name, whose names are nobody's, and credits taken apart."""

import unicodedata
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whosings.errors import GalleryError, ManifestError
from whosings.singer_names import Spellings, billing, featured_in_title, is_nobody, name_key, singer_name


@pytest.mark.parametrize(
    "other",
    [
        unicodedata.normalize("NFD", "Éva O'Moor-Ash"),
        "ÉVA O'MOOR-ASH",
        "  Éva   O'Moor-Ash\u00a0",
        "Éva\u200b O'Moor-Ash\ufeff",
        "Éva\tO'Moor-Ash\n",
        "\u202aÉva O'Moor-Ash\u202c",
        "Éva O’Moor‐Ash",
        "É\u034fva O'Moor-Ash",
    ],
)
def test_one_name_however_it_is_written(other):
    assert name_key(other) == name_key("Éva O'Moor-Ash")
    spelt = Spellings()
    assert spelt("Éva O'Moor-Ash", "m.csv") == spelt(other, "m.csv") == "Éva O'Moor-Ash"


@pytest.mark.parametrize("pair", [("Eva", "Éva"), ("Ada", "Аda"), ("Ada 2", "Ada ²"), ("Ada", "Ada 2"), ("デ", "テ")])
def test_people_who_differ(pair):
    assert name_key(pair[0]) != name_key(pair[1])


def test_the_spelling_belongs_to_its_script():
    persian = "می\u200cخواهم"
    assert singer_name(persian, "x") == persian
    assert name_key(persian) == name_key(persian.replace("\u200c", ""))


@pytest.mark.parametrize("name", ["Ada\x00Ben", "\x1b[31mAda", "Ada\x9b", "va\udce9"])
def test_what_is_no_text_is_a_sentence(name):
    with pytest.raises(GalleryError, match="no text") as caught:
        singer_name(name, "g", GalleryError)
    assert str(caught.value).isascii() and str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["", " \t", "\u200b", "\ufe0f", "\u3164"])
def test_no_name(name):
    with pytest.raises(ManifestError, match="needs a name"):
        singer_name(name, "m.csv")


@given(st.text())
def test_keys_are_stable(text):
    key = name_key(text)
    assert name_key(key) == key
    assert name_key(unicodedata.normalize("NFD", text)) == key


@pytest.mark.parametrize(
    "name",
    [
        "Various Artists",
        "VARIOUS ARTISTS",
        "V.A.",
        "VA",
        "Various",
        "Compilations",
        "[unknown]",
        "Unknown Artist",
        "Verschiedene Interpreten",
        "Artistes divers",
        "Varios Artistas",
        "Artisti Vari",
        "AA.VV.",
        "Vários Artistas",
        "Diverse Artiesten",
        "Blandade Artister",
        "ヴァリアス・アーティスト",
        "群星",
        "여러 아티스트",
        "Разные исполнители",
        "Różni wykonawcy",
        "N/A",
    ],
)
def test_nobody(name):
    assert is_nobody(name) and is_nobody(unicodedata.normalize("NFD", name))


@pytest.mark.parametrize("name", ["Ada Moor", "Various Cruelties", "Unknown Mortal Orchestra", "Vanessa", "", "群"])
def test_somebody(name):
    assert not is_nobody(name)


@pytest.mark.parametrize(
    ("credits", "singers"),
    [
        (["Ada feat. Ben", "Ada", "Ben"], {"Ada", "Ben"}),
        (["Ada & Ben", "Ada", "Ben"], {"Ada", "Ben"}),
        (["Ada\0Ben"], {"Ada", "Ben"}),
        (["Ada", "ADA "], {"Ada"}),
        *(([f"Ada {word} Ben"], {"Ada", "Ben"}) for word in ("ft.", "featuring", "&", "with", "x", "vs.", "; ", "×")),
        (["Ada, Ben & Cy"], {"Ada", "Ben", "Cy"}),
        (["Tyler, The Creator"], {"Tyler, The Creator"}),
        (["Malcolm X"], {"Malcolm X"}),
        (["Little Feat"], {"Little Feat"}),
        (["Various Artists", "Ada"], {"Ada"}),
        ([], set()),
    ],
)
def test_credits_do_not_depend_on_their_order(credits, singers):
    for order in permutations(credits):
        assert {name.casefold() for name in billing(order).singers} == {name.casefold() for name in singers}


@pytest.mark.parametrize(
    ("credits", "whole", "singers"),
    [
        (["Simon & Garfunkel"], ["Simon and Garfunkel"], ("Simon & Garfunkel",)),
        (["Simon", "Garfunkel", "Simon & Garfunkel"], ["Simon & Garfunkel"], ("Simon & Garfunkel",)),
        (["Earth, Wind & Fire"], ["Earth, Wind & Fire"], ("Earth, Wind & Fire",)),
        (["Earth, Wind & Fire feat. Ada"], ["Earth, Wind & Fire"], ("Earth, Wind & Fire", "Ada")),
        (["AC/DC"], ["AC_DC"], ("AC/DC",)),
        (["Simon & Garfunkel"], [], ("Simon", "Garfunkel")),
    ],
)
def test_names_that_look_like_several(credits, whole, singers):
    assert billing(credits, whole=whole).singers == singers


def test_guests_in_titles():
    assert featured_in_title("Fog (feat. Ben & Cy) [Live]") == ("Ben", "Cy")
    assert featured_in_title("Fog ft. Jean-Luc - Remix") == ("Jean-Luc",)
    assert featured_in_title("Home (With You)") == featured_in_title("Defeat") == ()
    assert billing(["Ada"], "Fog (feat. Ben)").singers == ("Ada", "Ben")
