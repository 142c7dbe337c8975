"""Text of strangers, made safe where people look at it: on a terminal, in a spreadsheet, on a page.

Names, titles and paths come from files that anybody may have made. They may hold characters that steer a terminal, turn
the direction of writing, start a spreadsheet's formula (OWASP, CSV injection) or be markup.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

# Controls, what turns the direction of writing, invisible tags, halves of characters.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
_MARKUP = re.compile(r"[\\`*_{}\[\]()#+!|~$-]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def encodable(name: str | Path) -> str:
    """A name that every table takes: bytes of a file's name that are not UTF-8 are shown as escapes."""
    return str(name).encode(errors="backslashreplace").decode()


def printable(text: str, lines: bool = False) -> str:
    r"""Text for a terminal: what steers one, or cannot be encoded, is shown as an escape such as ``\x1b``.

    Args:
        lines: keep line breaks and tabs.
    """
    kept = "\n\t" if lines else ""
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] in kept else ascii(found[0])[1:-1], text)


def printable_json(document: str) -> str:
    """A JSON document that says the same, with those characters as JSON's own escapes.

    Args:
        document: as ``json.dumps`` writes it without indentation.
    """

    def escape(found: re.Match[str]) -> str:
        units = found[0].encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))

    return _UNPRINTABLE.sub(escape, document)


def to_cell(text: str) -> str:
    """Text for a CSV file: an apostrophe stands before what a spreadsheet would take for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_cell(text: str) -> str:
    """The inverse of ``to_cell``; other text stays as it is."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def to_markdown(text: str) -> str:
    """Text for a Markdown page or the cell of a table in one: no markup, no HTML, one line."""
    flat = printable(" ".join(text.split()))
    return _MARKUP.sub(r"\\\g<0>", re.sub("[&<>]", lambda found: _ENTITIES[found[0]], flat))


def to_html(text: str) -> str:
    """Text for an HTML page, or an attribute of it between quotes: no markup, one line."""
    return escape(printable(" ".join(text.split())))
