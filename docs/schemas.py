"""Writes the JSON Schemas beside this file anew: ``python docs/schemas.py``, after a change of what is printed."""

from __future__ import annotations

from pathlib import Path

from whosings.files import write_atomic
from whosings.json_schema import answer_schema, evidence_schema, schema_text

if __name__ == "__main__":
    folder = Path(__file__).parent
    write_atomic(folder / "answer.schema.json", schema_text(answer_schema()))
    write_atomic(folder / "evidence.schema.json", schema_text(evidence_schema()))
