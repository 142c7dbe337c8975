"""The published schemas are those of the code, and say of every field what it is."""

from dataclasses import fields
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from tests.product.test_exports import DUET
from whosings.answer import Answer, Candidate, Voice
from whosings.exports import as_json
from whosings.json_schema import answer_schema, evidence_schema, schema_text

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("name", "made"), [("answer", answer_schema), ("evidence", evidence_schema)])
def test_the_published_schema_is_up_to_date(name, made):
    published = (DOCS / f"{name}.schema.json").read_text()
    assert published == schema_text(made()), "run: python docs/schemas.py"
    Draft202012Validator.check_schema(made())


def test_fields_are_all_there_and_required():
    found = answer_schema()["$defs"]
    for of in (Answer, Candidate, Voice):
        names = [field.name for field in fields(of)]
        assert list(found[of.__name__]["properties"]) == names == found[of.__name__]["required"]
        assert "Attributes" not in found[of.__name__]["description"]
    assert found["Voice"]["properties"]["spans"]["description"].startswith("where, to half a second")
    assert found["Voice"]["properties"]["singer"]["anyOf"] == [{"type": "string"}, {"type": "null"}]


def test_what_is_not_an_answer_is_refused():
    import json

    validator = Draft202012Validator(answer_schema())
    (good,) = json.loads(as_json([DUET]))
    validator.validate([good])
    for bad in ({**good, "more": 1}, {**good, "verdict": "perhaps"}, {**good, "voices": [{"singer": "Ann"}]}, good):
        with pytest.raises(ValidationError):
            validator.validate(bad if bad is good else [bad])
    del good["notice"]
    with pytest.raises(ValidationError):
        validator.validate([good])
