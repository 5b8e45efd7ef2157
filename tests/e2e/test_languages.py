"""The page in other languages: the script's words are the server's, and from right to left it is mirrored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from scheduled_tasks.models import Status
from tests.e2e.conftest import LogIn
from tests.e2e.test_list import LIST, make_task, row
from tests.factories import make_run

EDGES = """(element, part) => {
    const text = [...element.childNodes].find(node => node.nodeType === Node.TEXT_NODE);
    const range = document.createRange();
    const from = text.data.indexOf(part);
    range.setStart(text, from);
    range.setEnd(text, from + part.length);
    const {left, right} = range.getBoundingClientRect();
    return [Math.round(left), Math.round(right)];
}"""
"""Where a part of an element's own text begins and ends, from the left."""

BROKEN_WORDS = """() => {
    const broken = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text; text = walker.nextNode();) {
        const element = text.parentElement;
        const ours = element.closest('.st, .st-drawer[open]') && !element.closest('.visually-hidden, pre');
        if (!ours || !element.checkVisibility()) continue;
        for (const word of text.data.matchAll(/[\\p{L}\\p{N}]+/gu)) {
            const range = document.createRange();
            range.setStart(text, word.index);
            range.setEnd(text, word.index + word[0].length);
            const tops = [...range.getClientRects()].map(part => part.top);
            if (Math.max(...tops) - Math.min(...tops) > 5) broken.push(word[0]);
        }
    }
    return broken;
}"""
"""Words that are on two lines, though nobody wrote a hyphen."""


@pytest.fixture
def mirrored_page(
    browser: Browser, base_url: str, admin_user: User, log_in: LogIn, settings: Any
) -> Iterator[Page]:
    """A logged-in page of somebody who reads from right to left."""
    settings.LANGUAGES = [("ar", "Arabic")]
    size = {"width": 1280, "height": 900}
    context = browser.new_context(base_url=base_url, locale="ar", viewport=size, reduced_motion="reduce")
    yield log_in(context, admin_user)
    context.close()


@pytest.mark.parametrize("width", [1280, 1024, 390])
def test_list_is_mirrored(mirrored_page: Page, width: int) -> None:
    task = make_task("purge-stale-conversations", description="Short")
    for n in range(29):
        make_run(task, ago=900 - n)
    make_run(task, Status.FAILED)
    mirrored_page.set_viewport_size({"width": width, "height": 900})
    mirrored_page.goto(LIST)
    expect(mirrored_page.locator("html")).to_have_attribute("dir", "rtl")
    name = row(mirrored_page, task).locator(".st-c-name")
    cell = name.bounding_box()
    assert cell is not None
    for part, end in ((name.locator(".st-name a"), "conversations"), (name.locator(".st-sub"), "Short")):
        assert part.evaluate(EDGES, end)[1] > cell["x"] + cell["width"] - 12
    strip = row(mirrored_page, task).locator(".st-strip")
    if width != 1024:
        newest, shown = strip.locator(".b-bad").bounding_box(), strip.bounding_box()
        assert newest is not None
        assert shown is not None
        assert shown["x"] + shown["width"] - 5 < newest["x"] + newest["width"] <= shown["x"] + shown["width"]


def test_drawer_is_mirrored(mirrored_page: Page, transactional_db: None) -> None:
    task = make_task(description="A b")
    make_run(task, took=0.034)
    mirrored_page.goto(LIST)
    row(mirrored_page, task).get_by_label("View history").click()
    drawer = mirrored_page.get_by_role("dialog")
    run = drawer.locator(".st-run")
    expect(run).to_be_visible()
    box = drawer.bounding_box()
    assert box is not None
    assert box["x"] == 0
    number, unit = (
        drawer.locator(".st-counts span", has_text="24 h").evaluate(EDGES, n) for n in ("24", "h")
    )
    assert number[1] <= unit[0]
    cell = run.locator(".st-r-dur").bounding_box()
    assert cell is not None
    assert run.locator(".st-r-dur").evaluate(EDGES, "34")[0] < cell["x"] + 20
    chevron = run.locator(".st-started .st-icon")
    assert chevron.evaluate("icon => new DOMMatrix(getComputedStyle(icon).transform).a") == -1


@pytest.mark.parametrize(
    ("language", "ago", "took", "updated"),
    [
        ("de", "vor 3 h", "1,5 s", "Aktualisiert vor"),
        ("fr", "il y a 3 h", "1,5 s", "Actualisé il y a"),
        ("es", "hace 3 h", "1,5 s", "Actualizado hace"),
    ],
)
def test_script_speaks_the_readers_language(
    browser: Browser,
    base_url: str,
    admin_user: User,
    log_in: LogIn,
    language: str,
    ago: str,
    took: str,
    updated: str,
) -> None:
    task = make_task()
    make_run(task, ago=3 * 3600 + 600, took=1.5)
    context = browser.new_context(base_url=base_url, locale=language)
    page = log_in(context, admin_user)
    page.goto(LIST)
    expect(page.locator("[data-st-updated]")).to_contain_text(updated)
    expect(row(page, task).locator(".st-c-last time")).to_have_text(ago)
    expect(row(page, task).locator(".st-c-dur")).to_contain_text(took)
    context.close()


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_states_and_icons_stay_where_they_belong(
    browser: Browser, base_url: str, admin_user: User, log_in: LogIn, language: str
) -> None:
    tasks = [make_task("never"), make_task("manual")]
    make_run(tasks[1], ago=55 * 60, trigger="manual", actor="anna")
    context = browser.new_context(base_url=base_url, locale=language, reduced_motion="reduce")
    page = log_in(context, admin_user)
    for width in (1440, 1280, 1024, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(LIST)
        states = page.locator(".st-c-status")
        assert not states.evaluate_all("all => all.some(each => each.scrollWidth > each.clientWidth)"), width
        last = row(page, tasks[1]).locator(".st-c-last")
        time, icon = (last.locator(part).first.bounding_box() for part in ("time", ".st-icon"))
        assert time is not None
        assert icon is not None
        assert icon["y"] < time["y"] + time["height"], width
    context.close()


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_who_started_a_run_has_room(
    browser: Browser, base_url: str, admin_user: User, log_in: LogIn, language: str
) -> None:
    task = make_task()
    make_run(task, trigger="manual", actor="admin")
    size = {"width": 1024, "height": 900}
    context = browser.new_context(base_url=base_url, locale=language, viewport=size, reduced_motion="reduce")
    page = log_in(context, admin_user)
    page.goto(f"{LIST}{task.pk}/change/")
    whole = "text => text.scrollWidth <= text.clientWidth"
    assert page.locator(".st-r-trig .st-one").evaluate(whole)
    page.goto(LIST)
    row(page, task).locator(".st-hist").click()
    assert page.locator("#st-drawer .st-r-trig .st-one").evaluate(whole)
    context.close()


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_ways_to_export_stand_beside_the_title(
    browser: Browser, base_url: str, admin_user: User, log_in: LogIn, language: str
) -> None:
    context = browser.new_context(base_url=base_url, locale=language, reduced_motion="reduce")
    page = log_in(context, admin_user)
    page.goto(f"{LIST}../taskrun/")
    for width in (1440, 1024, 390):
        page.set_viewport_size({"width": width, "height": 900})
        title = page.locator(".st-head h1").bounding_box()
        assert title is not None
        for name in ("CSV", "JSON"):
            box = page.get_by_role("link", name=name).bounding_box()
            assert box is not None
            assert title["y"] < box["y"] + box["height"] / 2 < title["y"] + title["height"], width
    context.close()


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_no_word_is_broken(
    browser: Browser, base_url: str, admin_user: User, log_in: LogIn, language: str
) -> None:
    task = make_task()
    for status in Status:
        make_run(task, status, ago=300000)
    context = browser.new_context(base_url=base_url, locale=language, reduced_motion="reduce")
    page = log_in(context, admin_user)
    for width in (1440, 1024, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for path in ("../taskrun/", "timeline/", f"{task.pk}/change/", ""):
            page.goto(f"{LIST}{path}")
            assert page.evaluate(BROKEN_WORDS) == [], (width, path)
        row(page, task).locator(".st-hist").click()
        page.locator("#st-drawer .st-run").last.get_by_role("button").click()
        expect(page.locator("#st-drawer .st-run-body")).to_be_visible()
        assert page.evaluate(BROKEN_WORDS) == [], width
    context.close()


def test_a_broken_word_would_be_noticed(admin_page: Page, transactional_db: None) -> None:
    make_task("x" * 200)
    admin_page.goto(LIST)
    assert "x" * 200 in admin_page.evaluate(BROKEN_WORDS)
