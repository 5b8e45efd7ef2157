"""The page in admin themes that define none of Django's variables: usable, readable, nothing out of place."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from scheduled_tasks.models import Status
from tests.e2e.conftest import LogIn
from tests.e2e.test_accessibility import violations
from tests.e2e.test_list import LIST, make_task, row
from tests.factories import make_run
from tests.guard import Guarded
from tests.live import ROOT, wait_for

CLIPPED = """() => [...document.querySelectorAll('.st .st-btn, .st-drawer[open] .st-btn')]
    .filter(button => button.checkVisibility() && button.scrollWidth > button.clientWidth)
    .map(button => button.textContent.trim())"""
"""Words of buttons that the theme makes too narrow for them."""


@pytest.fixture(params=["unfold", "jazzmin"])
def site(request: pytest.FixtureRequest, transactional_db: None, logs: Path) -> Iterator[str]:
    """The address of a site in each theme: a process of its own, since a theme is an installed app.

    One per test, since what Django remembers of the database's content types ends with the test.
    """
    theme = request.param
    if importlib.util.find_spec(theme) is None:
        pytest.skip(f"django-{theme} is not installed: pip install -e '.[themes]'")
    url = f"http://localhost:{free_port()}"
    process = serve(theme, url, logs)
    yield url
    process.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def serve(theme: str, url: str, logs: Path) -> Guarded:
    logs.mkdir(parents=True, exist_ok=True)
    address = url.removeprefix("http://")
    arguments = ["runserver", "--insecure", "--noreload", f"--settings=tests.themes.{theme}", address]
    command = [sys.executable, "manage.py", *arguments]
    site = Guarded(command, log=logs / f"{theme}.log", env=dict(os.environ), cwd=ROOT)
    wait_for(lambda: answers(url), message=f"the site in {theme}")
    return site


def answers(url: str) -> bool:
    try:
        return bool(urlopen(f"{url}/admin/login/", timeout=30).status == 200)
    except (URLError, OSError):
        return False


@pytest.fixture
def themed_page(browser: Browser, site: str, admin_user: User, log_in: LogIn) -> Iterator[Page]:
    """A logged-in page of the site."""
    context = browser.new_context(base_url=site, reduced_motion="reduce")
    yield log_in(context, admin_user)
    context.close()


def test_page_is_readable_and_works_in_another_theme(themed_page: Page) -> None:
    task = make_task("webhook-delivery-retry", description="Retries failed deliveries")
    make_run(task, Status.FAILED, error_type="ValueError", error="no luck", traceback="Traceback")
    for scheme, cron, label in [
        ("light", "*/15 * * * *", "Every 15 minutes"),
        ("dark", "0 * * * *", "Hourly"),
    ]:
        themed_page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        edit_and_read(themed_page, task, cron, label)
    for width in (1024, 390):
        themed_page.set_viewport_size({"width": width, "height": 900})
        for url in (LIST, f"{LIST}{task.pk}/change/", f"{LIST}{task.pk}/schedule/"):
            themed_page.goto(url)
            assert themed_page.locator(".st").evaluate("page => page.scrollWidth <= innerWidth"), (url, width)


def test_page_wears_the_colours_and_sizes_of_the_theme(themed_page: Page) -> None:
    task = make_task("webhook-delivery-retry")
    themed_page.goto(LIST)
    assert themed_page.locator(".st-head h1").evaluate("title => getComputedStyle(title).fontSize") == "20px"
    name = row(themed_page, task).get_by_role("link", name=task.name, exact=True)
    colour = name.evaluate("link => getComputedStyle(link).color")
    browsers_own = themed_page.evaluate("""() => {
        const link = Object.assign(document.createElement('a'), {style: 'color: LinkText'});
        return getComputedStyle(document.body.appendChild(link)).color;
    }""")
    assert colour != browsers_own
    sorted_by = themed_page.get_by_role("columnheader", name="Name").get_by_role("link")
    assert sorted_by.bounding_box()["height"] < 24  # the arrow is beside the word


@pytest.mark.parametrize("site", ["grappelli"], indirect=True)
def test_every_button_keeps_its_size_and_place(themed_page: Page) -> None:
    """Not its contrast: the theme's own quiet colour is too pale for small letters."""
    task = make_task()
    make_run(task)
    themed_page.goto(LIST)
    head = themed_page.get_by_role("columnheader", name="Enabled").bounding_box()
    switch = row(themed_page, task).get_by_role("switch").bounding_box()
    assert head is not None
    assert switch is not None
    assert switch["x"] >= head["x"]
    row(themed_page, task).get_by_label("Edit schedule").click()
    expect(themed_page.get_by_label("Cron expression")).to_be_focused()
    assert themed_page.evaluate(CLIPPED) == []
    row(themed_page, task).get_by_label("View history").click()
    drawer = themed_page.get_by_role("dialog")
    drawer.locator(".st-run").get_by_role("button").click()
    expect(drawer.get_by_role("button", name="Retry")).to_be_visible()
    assert themed_page.evaluate(CLIPPED) == []


def edit_and_read(page: Page, task: Any, cron: str, label: str) -> None:
    """Save a schedule and read an error; axe finds nothing serious on the way."""
    page.goto(LIST)
    expect(row(page, task)).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    row(page, task).get_by_label("Edit schedule").click()
    expect(page.get_by_label("Cron expression")).to_be_focused()
    assert page.evaluate(CLIPPED) == []
    field = page.get_by_label("Cron expression")
    field.fill(cron)
    expect(page.locator(".st-preview h3")).to_have_text(label)
    assert violations(page) == []
    field.press("Enter")
    expect(row(page, task).get_by_text(label)).to_be_visible()
    row(page, task).get_by_label("View history").click()
    drawer = page.get_by_role("dialog")
    drawer.locator(".st-run").get_by_role("button").click()
    expect(drawer.locator(".st-errline")).to_contain_text("no luck")
    assert page.evaluate(CLIPPED) == []
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
