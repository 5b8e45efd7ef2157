"""The browser of the end-to-end tests, logged in to a live server on the run's own database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import BrowserContext, BrowserType, ConsoleMessage, Error, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests import browser as chromium

LogIn = Callable[[BrowserContext, User], Page]

expect.set_options(timeout=20_000)


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


@pytest.fixture
def log_in(live_server: LiveServer) -> Iterator[LogIn]:
    """Call it with a browser context and a user: gives a page of that context, logged in.

    The test fails at its end when a script of the page raised an error, or when the page wanted what the
    strict policy of :mod:`tests.csp` forbids.
    """
    errors: list[Error | str] = []

    def listen(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            errors.append(message.text)

    def open_page(context: BrowserContext, user: User) -> Page:
        client = Client()
        client.force_login(user)
        cookie = client.cookies["sessionid"]
        context.add_cookies([{"name": "sessionid", "value": cookie.value, "url": live_server.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(error))
        page.on("console", listen)
        return page

    yield open_page
    assert not errors, f"errors in the page's scripts: {errors}"


@pytest.fixture
def admin_page(context: BrowserContext, admin_user: User, log_in: LogIn) -> Page:
    """A page of a browser in which the superuser is logged in."""
    return log_in(context, admin_user)
