"""The Chromium of the end-to-end tests: where it is, and how to get one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium found: install one, or say where it is in TEST_CHROMIUM"
SWITCHES = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


def executable(own: str) -> str | None:
    """Path of the Chromium to use, or None: ``TEST_CHROMIUM``, Playwright's ``own``, or one on the PATH."""
    named = os.environ.get("TEST_CHROMIUM")
    if named:
        return named
    if os.path.exists(own):
        return own
    return next(filter(None, map(shutil.which, NAMES)), None)


def switches() -> list[str]:
    """Command line switches: nothing from the network, and no sandbox for root, who cannot have one."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return [*SWITCHES, *(["--no-sandbox"] if root else [])]


def make_ready() -> None:
    """Install a Chromium when there is none; says so when that fails too."""
    if executable(playwrights_own()):
        return
    ways = [[sys.executable, "-m", "playwright", "install", "chromium-headless-shell"]]
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        ways.append(["apt-get", "update", "-q"])
        ways += [
            ["apt-get", "install", "-q", "-y", "--no-install-recommends", package]
            for package in ("chromium-headless-shell", "chromium")
        ]
    for command in ways:
        print(f"No Chromium for the browser tests: trying {' '.join(command)}", flush=True)
        subprocess.run(command, check=False, stdin=subprocess.DEVNULL, timeout=900)
        if executable(playwrights_own()):
            return
    print(f"Browser tests cannot run: {MISSING}", flush=True)


def playwrights_own() -> str:
    """Where Playwright's own Chromium is once it has been installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return playwright.chromium.executable_path
