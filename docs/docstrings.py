"""What griffe needs to know of the docstrings: one line may describe several arguments."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_JOINED = re.compile(r"^    (\w+(?:, \w+)+): (.*(?:\n     .*)*)", re.MULTILINE)


class JoinedNames(Extension):
    """Gives each of several names a line of its own: ``same, different: scores of trials.``"""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Before the docstring is parsed."""
        if obj.docstring is not None:
            obj.docstring.value = _JOINED.sub(_apart, obj.docstring.value)


def _apart(joined: re.Match[str]) -> str:
    return "\n".join(f"    {name}: {joined[2]}" for name in joined[1].split(", "))
