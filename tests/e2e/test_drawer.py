"""The history drawer in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from scheduled_tasks.models import Status, TaskRun
from tests.e2e.test_list import LIST, make_task, row, toast
from tests.factories import make_run

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1, in x\nValueError: <b>no</b>'


@pytest.fixture
def task(transactional_db: None) -> Any:
    task = make_task("webhook-delivery-retry")
    make_run(
        task, Status.FAILED, ago=20, error_type="ValueError", error="<b>no</b>" * 100, traceback=TRACEBACK
    )
    make_run(task, Status.SUCCEEDED, ago=10, summary='{"delivered": 12, "gave_up": 1}')
    return task


def open_drawer(page: Page, task: Any, list_url: str = LIST) -> Locator:
    """The drawer of the task's history, opened from the list at this address."""
    page.goto(list_url)
    row(page, task).get_by_label("View history").click()
    drawer = page.get_by_role("dialog")
    expect(drawer.get_by_role("heading", name=task.name)).to_be_visible()
    return drawer


def test_drawer_lists_runs_with_their_details(admin_page: Page, task: Any) -> None:
    drawer = open_drawer(admin_page, task)
    for head in ("Started", "Status", "Trigger", "Duration", "Details"):
        expect(drawer.get_by_role("columnheader", name=head)).to_be_visible()
    runs = drawer.locator(".st-run")
    expect(runs).to_have_count(2)
    expect(runs.nth(0)).to_contain_text("delivered: 12 · gave up: 1")
    expect(runs.nth(1)).to_contain_text("ValueError: <b>no</b>")


@pytest.mark.parametrize("width", [1440, 390])
def test_description_is_read_in_full_and_leaves_the_screen(admin_page: Page, task: Any, width: int) -> None:
    task.description = " ".join(f"Sentence {number} of many." for number in range(600))
    task.save()
    admin_page.set_viewport_size({"width": width, "height": 700})
    drawer = open_drawer(admin_page, task)
    description = drawer.locator(".st-about").get_by_text("Sentence 599 of many.")
    expect(description).to_be_visible()
    drawer.locator(".st-run").last.scroll_into_view_if_needed()
    expect(description).not_to_be_in_viewport(ratio=0.5)
    expect(drawer.locator(".st-run").last).to_be_in_viewport()
    expect(drawer.get_by_role("heading", name="webhook-delivery-retry")).to_be_in_viewport()
    top = drawer.locator(".st-d-head").bounding_box()
    assert top is not None
    assert top["height"] < 200


def test_error_is_read_in_full(admin_page: Page, task: Any) -> None:
    drawer = open_drawer(admin_page, task)
    drawer.locator(".st-run").nth(1).get_by_role("button").click()
    body = drawer.locator(".st-run-body")
    expect(body.locator(".st-errline")).to_contain_text("<b>no</b>" * 100)
    expect(body.locator("pre").first).to_contain_text("Traceback (most recent call last)")
    drawer.locator(".st-run").nth(1).get_by_role("button").click()
    expect(body).to_have_count(0)


def test_open_run_is_as_wide_as_the_runs(admin_page: Page, task: Any) -> None:
    drawer = open_drawer(admin_page, task)
    drawer.locator(".st-run").first.get_by_role("button").click()
    expect(drawer.locator(".st-run-body")).to_be_visible()
    boxes = [drawer.locator(each).first.bounding_box() for each in (".st-run", ".st-run-body", "thead tr")]
    assert len({box["width"] for box in boxes if box}) == 1


@pytest.mark.parametrize("way", ["button", "outside", "Escape"])
def test_drawer_closes_and_gives_the_focus_back(admin_page: Page, task: Any, way: str) -> None:
    drawer = open_drawer(admin_page, task)
    if way == "button":
        drawer.get_by_role("button", name="Close").click()
    elif way == "outside":
        admin_page.mouse.click(100, 300)
    else:
        admin_page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(row(admin_page, task).get_by_label("View history")).to_be_focused()


def test_more_than_twenty_runs_have_pages(admin_page: Page, task: Any) -> None:
    for n in range(20):
        make_run(task, ago=1000 + n)
    drawer = open_drawer(admin_page, task)
    expect(drawer.locator(".st-run")).to_have_count(20)
    drawer.get_by_role("link", name="Next page").click()
    expect(drawer.locator(".st-run")).to_have_count(2)
    expect(drawer.locator(".st-pager")).to_contain_text("21–22 of 22 runs")


def test_drawer_is_live_while_open(admin_page: Page, task: Any) -> None:
    run = make_run(task, Status.RUNNING, ago=5)
    drawer = open_drawer(admin_page, task)
    drawer.locator(".st-run").nth(2).get_by_role("button").click()
    expect(drawer.locator(".st-run-body")).to_be_visible()
    expect(drawer.locator(".st-run").first).to_contain_text("Running")
    TaskRun.objects.filter(pk=run.pk).update(
        status=Status.SUCCEEDED, finished_at=run.started_at, open_since=None
    )
    expect(drawer.locator(".st-run").first).to_contain_text("Success")
    expect(drawer.locator(".st-run-body")).to_be_visible()


def test_focus_on_a_run_stays_when_a_newer_run_comes(admin_page: Page, task: Any) -> None:
    drawer = open_drawer(admin_page, task)
    first = drawer.locator(".st-run").first.get_by_role("button")
    first.click()
    expect(drawer.locator(".st-run-body")).to_be_visible()
    first.focus()
    focused = admin_page.evaluate("document.activeElement.id")
    make_run(task, Status.RUNNING)
    expect(drawer.locator(".st-run").first).to_contain_text("Running")
    assert admin_page.evaluate("document.activeElement.id") == focused
    expect(drawer.locator(".st-run-body")).to_be_visible()


def test_space_presses_what_is_called_a_button(admin_page: Page, task: Any) -> None:
    drawer = open_drawer(admin_page, task)
    drawer.locator(".st-run").first.get_by_role("button").focus()
    admin_page.keyboard.press("Space")
    expect(drawer.locator(".st-run-body")).to_be_visible()


def test_drawer_opened_for_another_task_while_the_first_still_loads(admin_page: Page, task: Any) -> None:
    other = make_task("other")
    held: list[Route] = []
    admin_page.route(f"**/{task.pk}/change/", lambda route: held.append(route))
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("View history").click()
    drawer = admin_page.get_by_role("dialog")
    expect(drawer).to_contain_text("Loading")
    admin_page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    row(admin_page, other).get_by_label("View history").click()
    expect(drawer).to_contain_text("Loading")
    held[0].continue_()
    expect(drawer.get_by_role("heading", name="other")).to_be_visible()


def test_failed_page_load_keeps_the_drawer(admin_page: Page, task: Any) -> None:
    drawer = open_drawer(admin_page, task)
    admin_page.route("**/change/**", lambda route: route.fulfill(status=500, body="broken"))
    drawer.get_by_role("link", name="Failed", exact=True).click()
    expect(toast(admin_page, "error (500)", "alert")).to_be_visible()
    expect(drawer.locator(".st-run")).to_have_count(2)


BAR = 4
"""Pixels from one bar of the list to the next."""


@pytest.mark.parametrize(("width", "fast"), [(1440, False), (1440, True), (1240, False)])
def test_bar_tells_its_run_and_opens_it_whichever_page_it_is_on(
    admin_page: Page, transactional_db: None, width: int, fast: bool
) -> None:
    task = make_task("webhook-delivery-retry")
    runs = [
        make_run(task, Status.FAILED, ago=1000 - n, took=3, error_type="ValueError", error=f"no {n}")
        for n in range(40)
    ]
    admin_page.set_viewport_size({"width": width, "height": 700})
    back = 24 if width == 1440 else 12
    run = runs[-1 - back]
    admin_page.goto(LIST)
    strip = row(admin_page, task).locator(".st-strip")
    box = strip.bounding_box()
    assert box is not None
    place = (box["x"] + box["width"] - BAR * back - 2, box["y"] + 15)
    if not fast:
        admin_page.mouse.move(*place)
        tip = row(admin_page, task).locator(".st-bars .st-tip:visible")
        expect(tip).to_contain_text("Failed · 3.0 s")
        expect(tip).to_contain_text(f"ValueError: no {39 - back}")
    admin_page.mouse.click(*place)
    drawer = admin_page.get_by_role("dialog")
    expect(drawer.locator(f"#st-run-body-{run.pk}")).to_be_in_viewport()
    expect(drawer.locator(f"#st-run-{run.pk}")).to_be_in_viewport(ratio=1)


def test_bar_of_the_chart_tells_its_run_and_opens_it(admin_page: Page, task: Any) -> None:
    for n in range(30):
        make_run(task, ago=9 - n / 10)
    drawer = open_drawer(admin_page, task)
    first = drawer.locator(".st-chart .st-bars a").first
    first.hover()
    tip = drawer.locator(".st-bars .st-tip:visible")
    expect(tip).to_contain_text("ValueError: <b>no</b>")
    expect(tip).to_be_in_viewport(ratio=1)
    first.click()
    expect(drawer.locator(".st-run-body .st-errline")).to_be_in_viewport()
