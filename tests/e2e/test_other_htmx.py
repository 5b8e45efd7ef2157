"""An htmx on the site's pages, and a URL prefix: the page disturbs nobody, and is not disturbed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.staticfiles import finders
from playwright.sync_api import Page, Request, Route, expect
from pytest_django.live_server_helper import LiveServer

from tests import csp
from tests.e2e.test_list import LIST, make_task, refresh, row

pytestmark = pytest.mark.usefixtures("transactional_db")


THEIRS = """
{% extends "admin/base.html" %}{% load static %}
{% block extrahead %}
  {{ block.super }}
  <meta name="htmx-config" content='{"includeIndicatorStyles": false}'>
  <script src="{% static "django_htmx/FILE" %}" WHEN></script>
{% endblock %}
{% block footer %}<button id="theirs" hx-get="/admin/jsi18n/" hx-target="#answer">Theirs</button>
<button id="lost" hx-get="/admin/nowhere/" hx-target="#answer">Lost</button><p id="answer"></p>{% endblock %}
"""


@pytest.fixture(params=[("htmx-2.min.js", ""), ("htmx-2.min.js", "defer"), ("htmx-4.min.js", "defer")])
def other_htmx(request: pytest.FixtureRequest, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The site's own template brings an htmx, at once or deferred. It does not work under Trusted Types."""
    monkeypatch.setattr(csp, "TRUSTED_TYPES", "")
    file, when = request.param
    theirs = THEIRS.replace("FILE", file).replace("WHEN", when)
    loaders = [
        ("django.template.loaders.locmem.Loader", {"admin/base_site.html": theirs}),
        "django.template.loaders.app_directories.Loader",
    ]
    templates = {**settings.TEMPLATES[0], "APP_DIRS": False}
    templates["OPTIONS"] = {**templates["OPTIONS"], "loaders": loaders}
    settings.TEMPLATES = [templates]


def test_each_request_is_made_once_and_by_its_own(admin_page: Page, other_htmx: None) -> None:
    asked: list[tuple[str, str]] = []

    def note(request: Request) -> None:
        asked.append((request.method, request.url.partition("/admin/")[2].partition("?")[0]))

    task = make_task()
    admin_page.goto(LIST)
    admin_page.on("request", note)
    admin_page.locator("#theirs").click()
    expect(admin_page.locator("#answer")).to_contain_text("django")
    assert asked.count(("GET", "jsi18n/")) == 1
    with admin_page.expect_response("**/nowhere/"):
        admin_page.locator("#lost").click()
    row(admin_page, task).get_by_role("switch").click()
    expect(admin_page.locator(".st-toast")).to_have_count(1)  # ours, and none about their failure
    expect(row(admin_page, task).get_by_role("switch")).to_have_attribute("aria-checked", "false")
    assert [path for method, path in asked if method == "POST"] == [
        f"scheduled_tasks/scheduledtask/{task.pk}/enabled/"
    ]
    row(admin_page, task).get_by_label("Edit schedule").click()
    expect(admin_page.get_by_label("Cron expression")).to_be_focused()
    refresh(admin_page)
    expect(admin_page.get_by_label("Cron expression")).to_be_focused()


def test_the_page_brings_no_htmx_and_no_global_name(admin_page: Page) -> None:
    make_task()
    admin_page.goto("/admin/")
    before = set(admin_page.evaluate("Object.keys(window)"))
    admin_page.goto(LIST)
    assert set(admin_page.evaluate("Object.keys(window)")) <= before


PREFIX = "/intranet"


@pytest.fixture
def bare(live_server: LiveServer, settings: Any) -> Iterator[list[str]]:
    """The site answers below a prefix that a server in front takes away; the paths asked for without it."""
    settings.FORCE_SCRIPT_NAME = PREFIX
    settings.STATIC_URL = "/static/"  # a relative one gets the prefix of whoever asks first, for good
    asked: list[str] = []
    httpd = live_server.thread.httpd
    site = httpd.get_app()

    def front(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if not path.startswith(f"{PREFIX}/"):
            asked.append(path)
        return site({**environ, "PATH_INFO": path.removeprefix(PREFIX)}, start_response)

    httpd.set_app(front)
    yield asked
    httpd.set_app(site)


def serve_static(route: Route) -> None:
    """The server in front has the static files too."""
    name = urlsplit(route.request.url).path.removeprefix("/static/")
    route.fulfill(path=finders.find(name))


def test_behind_a_url_prefix(admin_page: Page, bare: list[str]) -> None:
    task = make_task()
    admin_page.route("**/static/**", serve_static)
    admin_page.goto(f"{PREFIX}{LIST}")
    row(admin_page, task).get_by_role("switch").click()
    expect(row(admin_page, task).get_by_role("switch")).to_have_attribute("aria-checked", "false")
    row(admin_page, task).get_by_label("Edit schedule").click()
    admin_page.get_by_label("Cron expression").fill("0 4 * * *")
    admin_page.keyboard.press("Enter")
    expect(row(admin_page, task).locator(".st-sched")).to_contain_text("Daily at 4 AM")
    refresh(admin_page)
    row(admin_page, task).get_by_label("View history").click()
    expect(admin_page.get_by_role("dialog")).to_contain_text("Success rate")
    admin_page.keyboard.press("Escape")
    admin_page.get_by_role("link", name="Timeline").click()
    expect(admin_page.get_by_role("heading", name="Timeline")).to_be_visible()
    assert [path for path in bare if path != "/favicon.ico"] == []
