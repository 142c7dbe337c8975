"""Settings with types, from TOML files and the command line; an unknown key is an error.

Conventions
-----------
- A preset is a file of the folder ``configs`` of the package, and is named by its stem: ``vocal``.
- A file may begin with ``extends = "base.toml"`` (relative to itself) and then hold only what differs.
- Overrides are dotted: ``{"training.seed": 3}``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from whosings.errors import ConfigError

T = TypeVar("T", bound=BaseModel)


class Strict(BaseModel):
    """Base of all settings: frozen, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def preset_names() -> tuple[str, ...]:
    """What can be named instead of a file."""
    folder = files("whosings") / "configs"
    return tuple(sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml")))


def settings_file(name: str | Path) -> Path:
    """The TOML file of a preset, or a file by its path.

    Raises:
        ConfigError: a name without an ending that is no preset.
    """
    path = Path(name)
    if path.suffix or len(path.parts) > 1:
        return path
    if (presets := preset_names()) and str(name) not in presets:
        raise ConfigError(f"the preset {name}", "does not exist", f"choose from {', '.join(presets)}, or name a file")
    return Path(str(files("whosings"))) / "configs" / f"{name}.toml"


def load(model: type[T], path: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> T:
    """Read settings of one kind.

    Args:
        path: TOML file or name of a preset; None for the defaults.
        overrides: dotted key -> value, applied last.

    Raises:
        ConfigError: missing file, bad TOML, unknown key, wrong type or value.
    """
    tree = _read(settings_file(path)) if path is not None else {}
    subject = str(path) if path is not None else "settings"
    for dotted, value in (overrides or {}).items():
        *parents, leaf = dotted.split(".")
        node = tree
        for parent in parents:
            child = node.setdefault(parent, {})
            if not isinstance(child, dict):
                raise ConfigError(subject, f"{parent} in {dotted} is a value, not a table", "check the key")
            node = child
        node[leaf] = value
    return parse(model, tree, subject)


def parse(model: type[T], tree: Any, subject: str) -> T:
    """Validate a tree of plain values as ``model``.

    Raises:
        ConfigError: naming the first key that is wrong.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = _dotted(first["loc"], tree) or "the whole"
        if first["type"] == "extra_forbidden":
            raise ConfigError(subject, f"unknown key {key}", "remove it or correct its name") from error
        raise ConfigError(subject, f"{key}: {first['msg'].lower()}", "correct the value") from error


def _dotted(place: tuple[int | str, ...], tree: Any) -> str:
    """A key as its writer knows it: without the names of kinds that pydantic puts between."""
    keys = []
    for number, part in enumerate(place):
        if isinstance(tree, Mapping) and part not in tree and number + 1 < len(place):
            continue
        keys.append(str(part))
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return ".".join(keys)


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """``["training.seed=3"]`` -> ``{"training.seed": 3}``; values are TOML, bare words are strings."""
    overrides: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise ConfigError(pair, "is not KEY=VALUE", "write for example training.seed=3")
        try:
            overrides[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            overrides[key] = text
    return overrides


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(path, "cannot be read", "check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path, f"is not TOML ({error})", "correct the file") from error
    parent = tree.pop("extends", None)
    return tree if parent is None else merged(_read(path.parent / str(parent)), tree)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others over them: tables within tables are changed in turn, unless they become another kind."""
    made = dict(base)
    for key, value in over.items():
        below = made.get(key)
        # A table of another kind replaces the one below: its keys mean something else.
        if isinstance(below, Mapping) and isinstance(value, Mapping) and value.get("kind") in (None, below.get("kind")):
            made[key] = merged(below, value)
        else:
            made[key] = value
    return made
