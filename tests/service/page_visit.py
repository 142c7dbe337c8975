"""A real service and a real browser for tests of the page."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import JSHandle, Locator, Page

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
"""Of Chromium: in containers, and with nothing that asks the network."""
_REFUSED = "Failed to load resource"  # what Chromium writes of any answer that is no success
_DROP = """(element, files) => {
  const carried = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    carried.items.add(new File([bytes], name));
  }
  for (const kind of ["dragenter", "dragover", "drop"]) {
    element.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
  }
}"""


@dataclass(frozen=True)
class Service:
    """A service that runs in a process of its own, with all that it keeps in one folder."""

    address: str
    folder: Path
    token: str | None = None

    def client(self) -> httpx2.Client:
        """What asks it."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return httpx2.Client(base_url=self.address, headers=headers, timeout=60)

    def enrol(self, singer: str, *paths: Path) -> None:
        """Enrol recordings, with their sound."""
        with self.client() as client:
            for path in paths:
                form = {"singer": singer, "keep": "true"}
                client.post("/v1/enrol", data=form, files={"file": (path.name, path.read_bytes())}).raise_for_status()

    def keep(self, path: Path, name: str = "") -> int:
        """Put a recording into the library; its number."""
        with self.client() as client:
            sent = client.post("/v1/library", files={"file": (name or path.name, path.read_bytes())}).raise_for_status()
            found = sent.json()
            while "recording" not in found:  # a job
                time.sleep(0.1)
                job = client.get(f"/v1/jobs/{found['id']}").raise_for_status().json()
                assert job["error"] is None, job
                found = job["result"] or found
            return int(found["recording"])


@contextmanager
def served(folder: Path, *options: str, token: str | None = None) -> Iterator[Service]:
    """``whosings serve`` with a gallery and a library of its own, from the command line."""
    places = ["--gallery", folder / "g.gallery", "--library", folder / "l.library", "--data", folder / "data"]
    command = [sys.executable, "-m", "whosings", "serve", "--port", "0", "--json", *map(str, places), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            assert told, (folder / "log").read_text()
            service = Service(json.loads(told)["address"], folder, token)
            _wait_until_ready(service)
            yield service
        finally:
            process.terminate()
            process.wait(20)


def _wait_until_ready(service: Service, most_s: float = 30.0) -> None:
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        try:
            if httpx2.get(f"{service.address}readyz").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("the service does not get ready")


@dataclass
class Visit:
    """A page in a browser, and what went wrong in it.

    Attributes:
        refusals: requests of this visit may be refused, which Chromium writes into its console.
    """

    page: Page
    refusals: bool = False
    wrong: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def watch(self, address: str) -> None:
        """Note errors, dialogs of scripts, and requests to other places than the service."""

        def of_console(message: Any) -> None:
            if message.type == "error" and not (self.refusals and message.text.startswith(_REFUSED)):
                self.wrong.append(message.text)

        def of_request(request: Any) -> None:
            if not request.url.startswith((address, "blob:", "data:")):
                self.wrong.append(f"asks {request.url}")

        self.page.on("console", of_console)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", of_request)
        self.page.on("dialog", lambda dialog: (self.wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))

    def play(self, button: Locator) -> float:
        """Press a button that plays, and wait until its sound goes on; where that is, in seconds."""
        of_button = "(button) => (button.closest('clip-player') ?? document.querySelector('song-player')).audio"
        handle = button.element_handle()
        assert handle is not None
        button.click()
        return self.goes_on(handle.evaluate_handle(of_button))

    def goes_on(self, audio: JSHandle) -> float:
        """Wait until a sound goes on; where it is, in seconds."""
        self.page.wait_for_function("(audio) => !audio.paused && audio.currentTime > 0.05", arg=audio, timeout=5000)
        before = float(audio.evaluate("(audio) => audio.currentTime"))
        later = "([audio, before]) => audio.currentTime > before + 0.1"
        self.page.wait_for_function(later, arg=[audio, before], timeout=5000)
        return before

    def song(self) -> JSHandle:
        """The sound of the song that is shown."""
        return self.page.evaluate_handle("document.querySelector('song-player').audio")

    def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def drop(place: Locator, paths: Sequence[Path]) -> None:
    """Drop files on an element."""
    files = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
    place.evaluate(_DROP, files)
