"""Responses held against the OpenAPI document of the service that gave them."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import jsonschema


class Document:
    """The document of a service; ``plain`` is its JSON."""

    def __init__(self, address: str) -> None:
        self.plain: dict[str, Any] = httpx2.get(f"{address}/openapi.json").json()
        self.operations: dict[str, dict[str, Any]] = {
            operation["operationId"]: operation for ways in self.plain["paths"].values() for operation in ways.values()
        }

    def operation_of(self, method: str, path: str) -> dict[str, Any]:
        """The operation of a request; fixed paths come before those with values in them."""
        for template in sorted(self.plain["paths"], key=lambda one: one.count("{")):
            pattern = re.sub(r"\{\w+\}", "[^/]+", template)
            if method.lower() in self.plain["paths"][template] and re.fullmatch(pattern, path):
                found: dict[str, Any] = self.plain["paths"][template][method.lower()]
                return found
        raise AssertionError(f"no operation for {method} {path}")

    def check(self, response: httpx2.Response) -> dict[str, Any]:
        """The operation of a response, whose status, media type and form are documented."""
        operation = self.operation_of(response.request.method, response.request.url.path)
        label = f"{operation['operationId']} ({response.status_code})"
        told = operation["responses"].get(str(response.status_code))
        assert told is not None, f"{label}: not documented"
        for name in told.get("headers", {}):
            assert name in response.headers, f"{label}: no header {name}"
        if response.status_code == 204:
            assert "content" not in told and not response.read()
            return operation
        kind = response.headers["content-type"].partition(";")[0]
        assert kind in told["content"], f"{label}: {kind} is not documented"
        if kind.endswith("json"):
            response.read()
            self.valid(response.json(), told["content"][kind]["schema"])
        return operation

    def valid(self, value: Any, schema: dict[str, Any]) -> None:
        """Raise unless a value is of a form."""
        whole = {**schema, "components": self.plain["components"]}
        jsonschema.validate(value, whole, jsonschema.Draft202012Validator)
