"""A Chromium to test the page in: found, or installed where that can be done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SYSTEM = "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium"


def find() -> str | None:
    """The path of a Chromium on this machine; None where there is none."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def install() -> None:
    """Get one: Playwright's own, or the system's package where we are root; say so where neither can be had."""
    if find() is not None:
        return
    ways = [f"{sys.executable} -m playwright install chromium-headless-shell chromium"]
    if os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get"):
        ways.insert(0, f"(apt-get update -qq; {_SYSTEM})")
    for way in ways:
        done = subprocess.run(way, shell=True, capture_output=True, text=True, check=False)
        if done.returncode == 0 and find() is not None:
            return
    print("no Chromium could be installed: the tests of the page are skipped", file=sys.stderr)


if __name__ == "__main__" and sys.argv[1:] == ["--install"]:
    install()
