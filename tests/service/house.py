"""A service in this process, with a gallery of generated singers and the encoder that ships."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soundfile
from starlette.testclient import TestClient

from tests.conftest import RATE, singing
from whosings.service.app import build_app
from whosings.service.desk import Desk
from whosings.service.limits import Limits, Places
from whosings.service.telemetry import Telemetry
from whosings.service.tokens import Tokens

ADDRESS = "http://localhost:8765"


@dataclass
class House:
    """A running service: what asks it, and what lies behind it."""

    client: TestClient
    desk: Desk
    places: Places
    log: io.StringIO = field(default_factory=io.StringIO)

    def lines(self) -> list[dict[str, Any]]:
        """Its log."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def send(self, route: str, path: Path, name: str = "", field: str = "file", **form: str):
        """Send a recording."""
        files = {field: (name or path.name, path.read_bytes())}
        return self.client.post(route, files=files, data=form)

    def clean(self) -> bool:
        """Whether nothing is left of requests that are over."""
        return not any(self.places.work.iterdir())


@contextmanager
def house(folder: Path, tokens: Path | None = None, **limits: Any) -> Iterator[House]:
    """Start a service, and stop it."""
    log = io.StringIO()
    telemetry = Telemetry(log)
    places = Places(folder / "singers.gallery", folder / "songs.library", folder / "data")
    desk = Desk(places, Limits(decoders=1, listeners=1, **limits), "default", "cpu", telemetry)
    app = build_app(desk, telemetry, None if tokens is None else Tokens(tokens))
    with TestClient(app, ADDRESS, raise_server_exceptions=False) as client:
        yield House(client, desk, places, log)


def write_songs(folder: Path, singers: int = 2, takes: int = 3, seconds: float = 8.0) -> dict[str, list[Path]]:
    """Songs of generated singers, each a part of one long song: by name of the singer."""
    songs: dict[str, list[Path]] = {}
    for number in range(singers):
        whole = singing(seconds * takes, seed=number + 1)
        size = round(seconds * RATE)
        for take in range(takes):
            path = folder / f"{chr(97 + number)}-{take + 1}.flac"
            soundfile.write(path, whole[take * size : (take + 1) * size], RATE)
            songs.setdefault(f"Singer {chr(65 + number)}", []).append(path)
    return songs
