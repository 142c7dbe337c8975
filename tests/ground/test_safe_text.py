"""Text of strangers on terminals, in spreadsheets and on Markdown pages."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whosings.safe_text import from_cell, printable, printable_json, to_cell, to_html, to_markdown

ANY = st.text(st.characters(codec=None, exclude_categories=[]))


@given(ANY)
def test_what_is_printed_can_be_encoded_and_steers_nothing(text):
    shown = printable(text)
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)
    shown.encode()
    assert printable(shown) == shown


@pytest.mark.parametrize("name", ["\x1b]0;x\x07", "a\u202egpj.exe", "a\udce9", "a\u2028b", "\U000e0041"])
def test_hostile_names(name):
    assert printable(name) != name and printable(name).isprintable()


def test_names_of_all_scripts_stay():
    for name in ("Björk", "日本", "می\u200cخواهم", "Ада", "👩\u200d🎤"):
        assert printable(name) == name
    assert printable("a\nb\tc", lines=True) == "a\nb\tc"
    assert printable("a\nb") == "a\\nb"


@given(ANY)
def test_json_says_the_same(text):
    document = printable_json(json.dumps({"name": text}, ensure_ascii=False))
    document.encode()
    assert json.loads(document) == json.loads(json.dumps({"name": text}))


@given(st.one_of(ANY, st.text("'=+-@ a\t", max_size=5)))
def test_cells_are_no_formulas_and_are_read_back(text):
    cell = to_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert from_cell(cell) == text


def test_markdown():
    assert to_markdown("a|b\n<script>[x](y)*") == r"a\|b &lt;script&gt;\[x\]\(y\)\*"
    assert to_markdown("Ada Moor 日本") == "Ada Moor 日本"


def test_html_is_only_text():
    from html import unescape

    evil = "<b onclick='x'>\"&amp;\u202e\x1b[2J\ntwo  lines"
    safe = to_html(evil)
    assert not set("<>\"'\u202e\x1b\n") & set(safe)
    assert unescape(safe) == "<b onclick='x'>\"&amp;\\u202e\\x1b[2J two lines"
