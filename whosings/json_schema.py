"""JSON Schemas of what ``identify`` prints and writes, made from the dataclasses themselves.

``docs/answer.schema.json`` and ``docs/evidence.schema.json`` are made by ``python docs/schemas.py``.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from whosings.answer import Answer
from whosings.evidence_rows import EvidenceFile

_ATTRIBUTE = re.compile(r"^    (\w+(?:, \w+)*): (.*(?:\n     .*)*)", re.MULTILINE)  # one line may describe several
_DIALECT = GenerateJsonSchema.schema_dialect


class _AsWritten(GenerateJsonSchema):
    """Every field is always written, and there are no others."""

    def field_is_required(self, *_: Any, **__: Any) -> bool:
        return True

    def dataclass_schema(self, schema: Any) -> dict[str, Any]:
        found = {**super().dataclass_schema(schema), "additionalProperties": False}
        about, _, attributes = str(found.get("description", "")).partition("\n\nAttributes:\n")
        for names, text in _ATTRIBUTE.findall(attributes):
            for name in names.split(", "):
                found["properties"][name]["description"] = " ".join(text.split())
        return {**found, "description": " ".join(about.split())}


def answer_schema() -> dict[str, Any]:
    """Of ``identify --json`` and of ``--export FILE.json``: a list of answers."""
    return _schema(list[Answer], "What whosings identify --json prints")


def evidence_schema() -> dict[str, Any]:
    """Of ``evidence.json`` in the folder of ``--evidence``."""
    return _schema(EvidenceFile, "What whosings identify --evidence writes into evidence.json")


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as its file has it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _schema(of: Any, title: str) -> dict[str, Any]:
    found = TypeAdapter(of).json_schema(mode="serialization", schema_generator=_AsWritten)
    return {"$schema": _DIALECT, "title": title, **found}
