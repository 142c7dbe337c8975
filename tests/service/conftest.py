"""The real service for tests: ``serving(...)`` starts one, ``served`` is one that is warm and knows two singers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.conftest import RATE, singing
from whosings import audio
from whosings.embedding import TrackEmbedder
from whosings.files import content_hash
from whosings.gallery import Gallery
from whosings.service.tokens import Scope, add_token

_START_S, _STOP_S = 90.0, 45.0


@dataclass(frozen=True)
class Served:
    """A service that runs.

    Attributes:
        address: ``http://127.0.0.1:PORT``, without a slash at the end.
        folder: where it was started; its gallery, library and data are in it, under the names that serve gives them.
        log: what it writes to standard error.
        tokens: by name, where it was started with some.
    """

    address: str
    folder: Path
    log: Path
    process: subprocess.Popen[str]
    tokens: dict[str, str]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Whole lines of its log so far."""
        found = []
        for line in self.log.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                found.append(json.loads(line))
        return found

    def line_of(self, request_id: str) -> dict[str, Any]:
        """The log's line of a request, which is written when its answer is on its way."""
        until = time.monotonic() + 5
        while True:
            for line in self.lines:
                if line["event"] == "request" and line["request_id"] == request_id:
                    return line
            assert time.monotonic() < until, f"no line of request {request_id}"
            time.sleep(0.02)

    @property
    def faults(self) -> list[dict[str, Any]]:
        """What went wrong inside."""
        return [line for line in self.lines if line["event"] == "fault"]


@contextmanager
def serving(
    folder: Path,
    *words: str,
    gallery: Path | None = None,
    tokens: dict[str, tuple[str, ...]] | None = None,
    encoder: str = "fast",
    patch: str = "",
) -> Iterator[Served]:
    """Start ``whosings serve --port 0 --json`` in a folder, yield it when it is ready, and end it as Ctrl-C does.

    Args:
        words: further options, as ``"--set", "upload_bytes=1000"``.
        gallery: one to begin with, which is copied.
        tokens: what to allow, by name: ``{"reader": ("read",)}``; none are asked for unless given.
        patch: Python that runs in every process of the service before anything else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if gallery is not None:
        shutil.copy(gallery, folder / gallery.name)
        words = ("--gallery", gallery.name, *words)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": _path_with(folder, patch)}
    made = {
        name: add_token(folder / "tokens.toml", name, list(map(Scope, may))) for name, may in (tokens or {}).items()
    }
    if made:
        words = ("--tokens", "tokens.toml", *words)
    command = [sys.executable, "-m", "whosings", "serve", "--port", "0", "--json", "--device", "cpu"]
    log = folder / "log.txt"
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [*command, "--encoder", encoder, *words],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, log.read_text()
        served = Served(json.loads(first)["address"].rstrip("/"), folder, log, process, made)
        _wait_until_ready(served)
        yield served
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            assert process.stdout is not None
            process.stdout.close()


def _path_with(folder: Path, patch: str) -> str:
    """PYTHONPATH of a service; Python runs a module ``sitecustomize`` that it finds there, in spawned processes too."""
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    if patch:
        place = folder / "patch"
        place.mkdir()
        (place / "sitecustomize.py").write_text(patch, encoding="utf-8")
        paths.insert(0, str(place))
    return os.pathsep.join(paths)


def _wait_until_ready(served: Served) -> None:
    until = time.monotonic() + _START_S
    while True:
        assert served.process.poll() is None, served.log.read_text()
        try:
            with urlopen(f"{served.address}/readyz", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            assert time.monotonic() < until, served.log.read_text()
            time.sleep(0.05)


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``songs("Ann")``: a FLAC of twelve seconds of a generated singer; ``songs("Ann", 1)`` is another of hers.

    They are made at the first request and kept; never write to them. Ann and Bob are enrolled where ``served`` runs,
    with song 0; nobody else is.
    """
    folder, seeds = tmp_path_factory.mktemp("songs"), {"Ann": 0, "Bob": 1, "Cy": 2, "Dee": 3, "Eve": 4}

    def song(singer: str, number: int = 0, seconds: float = 12.0) -> Path:
        path = folder / f"{singer.lower()}-{number}-{seconds:g}.flac"
        if not path.exists():
            whole = singing((number + 1) * seconds, seeds[singer])
            audio.write_flac(path, whole[None, round(number * seconds * RATE) :])
        return path

    return song


@pytest.fixture(scope="session")
def two_singers(songs: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of the encoder ``fast`` that knows Ann and Bob; never write to it."""
    path = tmp_path_factory.mktemp("two") / "singers.gallery"
    embedder = TrackEmbedder("fast", device="cpu")
    with Gallery(path, embedder.fingerprint, "fast") as gallery:
        for name in ("Ann", "Bob"):
            song = songs(name)
            gallery.add(name, embedder(song), content_hash(song), song)
    return path


@pytest.fixture(scope="session")
def served(two_singers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A warm service that knows Ann and Bob, for tests that leave gallery and library as they were."""
    with serving(tmp_path_factory.mktemp("served"), gallery=two_singers) as found:
        yield found
    assert not found.faults
