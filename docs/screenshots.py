"""Takes the pictures of README and docs from a running demonstration: ``python -m docs.screenshots``."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from os import environ
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

from example_project import broker
from tests import browser

ROOT = Path(__file__).parent.parent
IMAGES = Path(__file__).with_name("images")
PATIENCE = 120
"""Seconds to wait for the demonstration's page, and for the first runs."""

SIZE = {"width": 1440, "height": 1000}


@contextmanager
def demonstration(home: Path) -> Iterator[str]:
    """A demonstration of its own; the address of its site."""
    log = home / "log"
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603 - of this repository
            [sys.executable, "manage.py", "demo", "--port", str(broker.free_port())],
            cwd=ROOT,
            env={**environ, "DEMO_DIR": str(home / "data")},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _address(process, log)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"The page is ready: (http://\S+?)/admin/", log.read_text()):
            return found[1]
        time.sleep(0.2)
    raise RuntimeError(f"The demonstration has not started:\n{log.read_text()}")


def take(page: Page) -> None:
    """All pictures, of a site on which a job has just failed and its incident is open."""
    page.goto("/admin/login/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", "admin")
    page.click("[type=submit]")
    page.goto("/admin/scheduled-tasks/")
    _row(page, "exchange-rate-sync").get_by_role("button", name="Run exchange-rate-sync now").click()
    _row(page, "exchange-rate-sync").locator(".st-mark").wait_for()
    page.reload()  # without the messages of what was done
    page.screenshot(path=IMAGES / "list-light.png", full_page=True)
    page.get_by_role("link", name="webhook-delivery-retry", exact=True).click()
    page.locator("#st-d-title").wait_for()
    page.screenshot(path=IMAGES / "drawer-light.png")
    page.goto("/admin/scheduled_tasks/scheduledtask/timeline/")
    page.screenshot(path=IMAGES / "timeline-light.png", full_page=True)
    page.goto("/admin/scheduled_tasks/incident/")
    page.get_by_role("link", name="exchange-rate-sync").first.click()
    page.screenshot(path=IMAGES / "incident-light.png", full_page=True)


def _row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def main() -> None:
    """Take every picture anew; it takes about two minutes."""
    with (
        tempfile.TemporaryDirectory(prefix="demo-") as home,
        demonstration(Path(home)) as site,
        sync_playwright() as playwright,
    ):
        chromium = playwright.chromium
        path = browser.executable(chromium.executable_path)
        window = chromium.launch(executable_path=path, args=browser.switches())
        page = window.new_page(base_url=site, viewport=SIZE, color_scheme="light")
        page.set_default_timeout(PATIENCE * 1000)
        take(page)
        window.close()


if __name__ == "__main__":
    main()
