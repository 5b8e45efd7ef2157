"""The browser of the end-to-end tests, logged in to a live server on the run's own database."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.signals import request_finished, request_started
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, BrowserType, ConsoleMessage, Error, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests import browser as chromium
from tests.live import wait_for

LogIn = Callable[[BrowserContext, User], Page]

PATIENCE = 45_000
"""Milliseconds: longer than the page's slowest poll, on a machine that is busy with other things."""

RECORD_REQUESTS = """{
    window.asked = [];
    const {open} = XMLHttpRequest.prototype;
    XMLHttpRequest.prototype.open = function (method, url) {
        const isPoll = url.includes('/rows/') || (method === 'GET' && url.includes('/incident/'));
        const request = {isPoll, xhr: this, isOver: false};
        this.addEventListener('loadend', () => { request.isOver = true; });
        asked.push(request);
        open.call(this, method, url);
    };
}"""
"""Fills ``asked`` with the requests of the page's script; over once it has the answer."""

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def browser_type_launch_args(
    browser_type_launch_args: dict[str, Any], browser_type: BrowserType
) -> dict[str, Any]:
    """Launch the Chromium that is there; without one skip, or fail when REQUIRE_BROWSER is set."""
    path = chromium.executable(browser_type.executable_path)
    if path is None:
        give_up = pytest.fail if os.environ.get("REQUIRE_BROWSER") else pytest.skip
        give_up(chromium.MISSING)
    return {**browser_type_launch_args, "executable_path": path, "args": chromium.switches()}


@pytest.fixture(scope="session")
def base_url(live_server: LiveServer) -> str:
    """Makes ``page.goto("/admin/")`` reach the live server."""
    return live_server.url


class InFlight:
    """Requests that the live server is answering."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def start(self, **signal: Any) -> None:
        self.threads.append(threading.get_ident())

    def finish(self, **signal: Any) -> None:
        if threading.get_ident() in self.threads:
            self.threads.remove(threading.get_ident())


@pytest.fixture
def calm_server(live_server: LiveServer) -> Iterator[None]:
    """Ends only when no request is under way, which would otherwise meet the next test's database."""
    ContentType.objects.clear_cache()
    under_way = InFlight()
    request_started.connect(under_way.start)
    request_finished.connect(under_way.finish)
    yield
    wait_for(lambda: not under_way.threads, message="the end of all requests")
    request_started.disconnect(under_way.start)
    request_finished.disconnect(under_way.finish)


@pytest.fixture
def log_in(live_server: LiveServer, calm_server: None) -> Iterator[LogIn]:
    """Call it with a browser context and a user: gives a page of that context, logged in.

    The test fails at its end when a script of the page raised an error, or when the page wanted what the
    strict policy of :mod:`tests.csp` forbids.
    """
    errors: list[Error | str] = []
    pages: list[Page] = []

    def listen(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            errors.append(message.text)

    def open_page(context: BrowserContext, user: User) -> Page:
        client = Client()
        client.force_login(user)
        cookie = client.cookies["sessionid"]
        context.add_cookies([{"name": "sessionid", "value": cookie.value, "url": live_server.url}])
        page = context.new_page()
        pages.append(page)
        page.set_default_timeout(PATIENCE)
        page.set_default_navigation_timeout(PATIENCE)
        page.add_init_script(RECORD_REQUESTS)
        page.on("pageerror", lambda error: errors.append(error))
        page.on("console", listen)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not errors, f"errors in the page's scripts: {errors}"


@pytest.fixture
def admin_page(context: BrowserContext, admin_user: User, log_in: LogIn) -> Page:
    """A page of a browser in which the superuser is logged in."""
    return log_in(context, admin_user)


def stop_clock(page: Page) -> Page:
    """The page, whose clock stands still until ``page.clock.run_for(milliseconds)`` lets time pass."""
    now = datetime.now()
    page.clock.install(time=now)
    page.clock.pause_at(now + timedelta(seconds=1))
    return page


@pytest.fixture
def clocked_page(admin_page: Page) -> Page:
    """The same with a clock that stands still: ``page.clock.run_for(milliseconds)`` lets time pass."""
    return stop_clock(admin_page)


@pytest.fixture
def plain_page(browser: Browser, base_url: str, admin_user: User, log_in: LogIn) -> Iterator[Page]:
    """A logged-in page of a browser with JavaScript off."""
    context = browser.new_context(java_script_enabled=False, base_url=base_url)
    yield log_in(context, admin_user)
    context.close()
