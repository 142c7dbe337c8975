"""The OpenAPI document: what FastAPI cannot know of the routes is added to what it makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from whosings.console import json_text
from whosings.service.examples import ANSWERS, BODIES

SOUND_KINDS = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".mp4": "audio/mp4",
    ".aac": "audio/aac",
    ".aif": "audio/aiff",
    ".aiff": "audio/aiff",
}
"""Media types of recordings by the endings of their names."""

ANY_KIND = "application/octet-stream"

_RETRY = {
    "description": "Seconds after which the request may succeed.",
    "schema": {"type": "integer", "minimum": 0},
}
_PLACE = {"description": "Where to ask for the job.", "schema": {"type": "string"}}
_REQUEST = {"description": "By which the service's log has the request.", "schema": {"type": "string"}}
_HEADERS = {"202": {"Location": _PLACE}, "429": {"Retry-After": _RETRY}, "503": {"Retry-After": _RETRY}}


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """A document with what callers should know besides: tokens, headers, media types of uploads, examples."""
    schemas = document["components"]["schemas"]
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = []
    for operation in _operations(document):
        for kind, body in operation.get("requestBody", {}).get("content", {}).items():
            name = body["schema"]["$ref"].rpartition("/")[2]
            if kind == "multipart/form-data":
                body["encoding"] = _encoding(schemas[name])
            elif name in BODIES:
                body["example"] = BODIES[name]
        for status in _never(operation):
            operation["responses"].pop(status, None)
        for status, response in operation["responses"].items():
            response["headers"] = {"X-Request-Id": _REQUEST, **_HEADERS.get(status, {})}
            for content in response.get("content", {}).values():
                name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
                if name in ANSWERS:
                    content["example"] = json.loads(json_text(ANSWERS[name]))
    return document


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for ways in document["paths"].values():
        yield from ways.values()


def _never(operation: dict[str, Any]) -> set[str]:
    """Statuses that an operation cannot have, whatever all of them are said to have."""
    never = set() if operation.get("security") else {"401", "403"}
    if "multipart/form-data" not in operation.get("requestBody", {}).get("content", {}):
        never.add("415")
    if "requestBody" not in operation:
        never |= {"408"} if "416" in operation["responses"] else {"400", "408"}  # a range may be of no form, too
        never |= set() if operation.get("parameters") else {"422"}
    return never


def _encoding(schema: dict[str, Any]) -> dict[str, Any]:
    """Media types of the files in a form."""
    kinds = ", ".join(sorted({*SOUND_KINDS.values(), ANY_KIND}))
    files = (name for name, part in schema["properties"].items() if "contentMediaType" in part)
    return {name: {"contentType": kinds} for name in files}
