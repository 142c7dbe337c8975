"""Tokens: who may do what. The file keeps their SHA-256 only."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field

from whosings.errors import ConfigError
from whosings.files import write_atomic
from whosings.settings import Strict, parse

_PREFIX = "whosings_"  # by which scanners of leaked secrets know one


class Scope(StrEnum):
    """What a token allows."""

    READ = "read"
    ENROL = "enrol"
    REVIEW = "review"


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: the token's; empty where the service knows no tokens.
        may: what is allowed.
    """

    name: str
    may: frozenset[Scope]


EVERYBODY = Caller("", frozenset(Scope))
"""Whoever asks a service without tokens, which listens on this machine alone."""


class _Row(Strict):
    name: str = Field(min_length=1, max_length=100)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    may: list[Literal["read", "enrol", "review"]] = Field(min_length=1)


class _File(Strict):
    token: list[_Row] = Field(default_factory=list)


@dataclass(frozen=True)
class _Token:
    caller: Caller
    sha256: str


class Tokens:
    """The tokens of a file.

    Args:
        path: a TOML file with a table ``[[token]]`` for each: ``name``, ``sha256`` of the token, and ``may``.

    Raises:
        ConfigError: it cannot be read, holds none, or a name twice.
    """

    def __init__(self, path: Path) -> None:
        rows = _read(path)
        if not rows:
            raise ConfigError(path, "holds no token", "add one: whosings serve --add-token NAME")
        self._tokens = tuple(_Token(Caller(row.name, frozenset(map(Scope, row.may))), row.sha256) for row in rows)

    def caller(self, token: str) -> Caller | None:
        """Whose token it is; None where it is nobody's. It takes as long whatever the token is."""
        given, found = _sha256(token), None
        for known in self._tokens:
            if hmac.compare_digest(known.sha256, given):
                found = known.caller
        return found


def add_token(path: Path, name: str, may: Collection[Scope]) -> str:
    """Make a token, and keep its SHA-256 in a file, which is made where there is none; the token.

    Raises:
        ConfigError: the file is not one of tokens, or knows the name.
    """
    rows = _read(path) if path.exists() else []
    if any(row.name == name for row in rows):
        raise ConfigError(path, f"has a token of {name}", "choose another name, or take its lines out first")
    token = _PREFIX + secrets.token_urlsafe(32)
    allowed = sorted(scope.value for scope in may)
    row = parse(_Row, {"name": name, "sha256": _sha256(token), "may": allowed}, "the token")
    text = path.read_text(encoding="utf-8").rstrip() + "\n\n" if path.exists() else ""
    names = ", ".join(f'"{scope}"' for scope in row.may)
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    write_atomic(path, f'{text}[[token]]\nname = "{quoted}"\nsha256 = "{row.sha256}"\nmay = [{names}]\n')
    path.chmod(0o600)
    return token


def _read(path: Path) -> list[_Row]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(path, f"cannot be read ({error.strerror})", "check the path and its permissions") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path, f"is no file of tokens ({error})", "correct the file") from error
    rows = parse(_File, tree, str(path)).token
    names = [row.name for row in rows]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(path, f"has two tokens of {twice}", "give each token a name of its own")
    return rows


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
