"""Run now, the strip, the run's own page and the list of all runs, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from scheduled_tasks.models import Overlap, Status, TaskRun, TaskState
from tests.e2e.conftest import LogIn, stop_clock
from tests.e2e.test_list import LIST, make_process, make_task, row, status, toast
from tests.factories import make_run
from tests.live import Worker

pytestmark = pytest.mark.usefixtures("transactional_db")

RUNS = "/admin/scheduled_tasks/taskrun/"


def run_now(page: Page, task: Any) -> None:
    row(page, task).get_by_role("button", name="Run ").click()


def test_progress_is_seen_and_the_last_outcome_stays(
    admin_page: Page, worker: Worker, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    task = make_task(task="tests.tasks.report", args=f'["{gate}", 4]')
    make_run(task, Status.FAILED)
    admin_page.goto(LIST)
    run_now(admin_page, task)
    cell = row(admin_page, task).locator(".st-c-status")
    expect(cell.get_by_role("progressbar")).to_have_attribute("value", "100")
    expect(cell).to_contain_text("last: Failed")
    gate.touch()
    expect(status(admin_page, task)).to_have_text("Success")
    row(admin_page, task).get_by_label("View history").click()
    drawer = admin_page.get_by_role("dialog")
    drawer.locator(".st-run").first.get_by_role("button").click()
    body = drawer.locator(".st-run-body")
    for text in ("step 3", "from the task's logger", "Queue wait", "Worker", "Task id", str(gate)):
        expect(body).to_contain_text(text)
    expect(body).not_to_contain_text("do not keep")


def test_overlap_policy_skips_and_says_so(admin_page: Page) -> None:
    make_process(boot_id="w", task_names=["tests.tasks.add"])
    task = make_task()
    TaskState.objects.update_or_create(task_id=task.pk, defaults={"overlap": Overlap.SKIP})
    make_run(task, Status.RUNNING, process_id="w")
    admin_page.goto(LIST)
    run_now(admin_page, task)
    answer = toast(admin_page, "purge", "alert")
    expect(answer.get_by_role("link", name="View run")).to_be_visible()
    assert TaskRun.objects.count() == 1


def test_task_that_no_worker_knows_is_an_error_and_a_row(admin_page: Page) -> None:
    make_process()
    task = make_task(task="tests.no_worker_knows_it")
    admin_page.goto(LIST)
    run_now(admin_page, task)
    expect(toast(admin_page, "No running worker knows", "alert")).to_be_visible()
    row(admin_page, task).get_by_label("View history").click()
    expect(admin_page.get_by_role("dialog").locator(".st-run")).to_contain_text("No running worker")


def test_two_people_at_once_start_one_run(
    clocked_page: Page, browser: Browser, base_url: str, log_in: LogIn
) -> None:
    task = make_task(queue="nobody-listens")
    context = browser.new_context(base_url=base_url)
    other = stop_clock(log_in(context, User.objects.create_superuser("anna")))
    for page in (clocked_page, other):
        page.goto(LIST)
    for page in (clocked_page, other):
        run_now(page, task)
    started, refused = 0, 0
    for page in (clocked_page, other):  # either may be first at the server
        queued, alert = toast(page, "purge is queued"), toast(page, "purge", "alert")
        expect(queued.or_(alert)).to_be_visible()
        started += queued.count()
        refused += alert.count()
    assert (started, refused) == (1, 1)
    assert TaskRun.objects.filter(status=Status.QUEUED).count() == 1
    context.close()


def test_resent_form_starts_one_run(plain_page: Page) -> None:
    task = make_task(queue="nobody-listens")
    plain_page.goto(LIST)
    run_now(plain_page, task)
    expect(plain_page.get_by_role("status")).to_contain_text("purge is queued")
    plain_page.go_back()
    run_now(plain_page, task)
    expect(plain_page.locator(".st-toast")).to_be_visible()
    assert TaskRun.objects.count() == 1


@pytest.mark.parametrize("from_the_right", [0, 2])
def test_click_on_a_bar_opens_that_run(admin_page: Page, from_the_right: int) -> None:
    task = make_task()
    runs = [make_run(task, Status.FAILED, ago=500 - n, error=f"error of run {n}") for n in range(4)]
    admin_page.goto(LIST)
    strip = row(admin_page, task).locator(".st-strip")
    bar = strip.locator("svg").bounding_box()
    box = strip.bounding_box()
    assert bar is not None
    assert box is not None
    x = bar["x"] + bar["width"] - 1.5 - 4 * from_the_right - box["x"]
    strip.click(position={"x": x, "y": box["height"] / 2})
    drawer = admin_page.get_by_role("dialog")
    expect(drawer.locator(".st-run-body")).to_have_count(1)
    expect(drawer.locator(f"#st-run-body-{runs[-1 - from_the_right].pk}")).to_be_visible()


def test_strip_says_in_words_what_it_shows(admin_page: Page) -> None:
    task = make_task()
    make_run(task)
    make_run(task, Status.FAILED)
    admin_page.goto(LIST)
    strip = row(admin_page, task).locator(".st-strip")
    expect(strip).to_have_attribute("title", "Last 2 runs: 1 Failed, 1 Success")
    strip.press("Enter")
    expect(admin_page.get_by_role("dialog").locator(".st-run")).to_have_count(2)


def test_bulk_actions_on_the_chosen_tasks(admin_page: Page) -> None:
    one, two, three = (make_task(name) for name in ("one", "two", "three"))
    admin_page.goto(LIST)
    button = admin_page.locator("#st-bulk").get_by_role("button", name="Disable")
    expect(button).to_be_disabled()
    for task in (one, two):
        row(admin_page, task).get_by_role("checkbox").check()
    expect(admin_page.get_by_text("2 of 3 selected")).to_be_visible()
    button.click()
    expect(toast(admin_page, "2 tasks are disabled")).to_be_visible()
    for task, is_on in ((one, "false"), (two, "false"), (three, "true")):
        expect(row(admin_page, task).get_by_role("switch")).to_have_attribute("aria-checked", is_on)
    admin_page.get_by_label("Select all tasks").check()
    admin_page.locator("#st-bulk").get_by_role("button", name="Enable").click()
    expect(row(admin_page, one).get_by_role("switch")).to_have_attribute("aria-checked", "true")


def test_drawer_filters_by_status_and_period(admin_page: Page) -> None:
    task = make_task()
    make_run(task, ago=3 * 86_400)
    make_run(task, Status.FAILED)
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("View history").click()
    drawer = admin_page.get_by_role("dialog")
    for fact in ("Success rate", "Median", "p95", "50 %"):
        expect(drawer.locator(".st-facts")).to_contain_text(fact)
    expect(drawer.get_by_role("img", name="Duration of the last runs")).to_be_visible()
    drawer.get_by_role("link", name="Success", exact=True).click()
    expect(drawer.locator(".st-run")).to_have_count(1)
    drawer.get_by_role("link", name="24 h").click()
    expect(drawer.get_by_text("No runs here.")).to_be_visible()
    drawer.get_by_role("link", name="All", exact=True).click()
    expect(drawer.locator(".st-run")).to_have_count(1)
    expect(drawer.locator(".st-run")).to_contain_text("Failed")


def test_copied_traceback_and_permanent_address(admin_page: Page) -> None:
    admin_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    traceback = "Traceback\n  <b>line</b>\nValueError: no"
    run = make_run(make_task(), Status.FAILED, error="no", traceback=traceback)
    admin_page.goto(LIST)
    admin_page.locator(".st-hist").click()
    drawer = admin_page.get_by_role("dialog")
    drawer.locator(".st-run").get_by_role("button").click()
    drawer.get_by_role("button", name="Copy").click()
    expect(toast(admin_page, "Copied")).to_be_visible()
    assert admin_page.evaluate("navigator.clipboard.readText()").strip() == traceback
    drawer.get_by_role("link", name="Link to this run").click()
    expect(admin_page).to_have_url(f"{admin_page.url.partition('/admin')[0]}{RUNS}{run.pk}/change/")
    expect(admin_page.locator(".st-page-run")).to_contain_text("ValueError: no")
    expect(admin_page.get_by_role("link", name="Link to this run")).to_have_count(0)


def test_list_of_all_runs(admin_page: Page) -> None:
    one, two = make_task("one"), make_task("two")
    failed = make_run(one, Status.FAILED, error_type="ValueError", error="no luck", traceback="Traceback")
    for n in range(51):
        make_run(two, ago=5000 + n)
    admin_page.goto(RUNS)
    expect(admin_page.locator(".st-run")).to_have_count(50)
    admin_page.get_by_role("link", name="Older").click()
    expect(admin_page.locator(".st-run")).to_have_count(2)
    admin_page.get_by_role("link", name="Failed", exact=True).click()
    expect(admin_page.locator(".st-run")).to_have_count(1)
    admin_page.locator(f"#st-run-link-{failed.pk}").click()
    expect(admin_page.locator(".st-run-body")).to_contain_text("no luck")
    with admin_page.expect_download() as download:
        admin_page.get_by_role("link", name="CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 2
    assert "no luck" in lines[1]
    admin_page.locator(f"#st-task-of-{failed.pk}").click()
    expect(admin_page.get_by_role("dialog").get_by_role("heading", name="one")).to_be_visible()


def test_details_of_all_runs_have_room(admin_page: Page) -> None:
    make_run(make_task(), Status.FAILED, error_type="ValueError", error="no rates for today " * 9)
    admin_page.set_viewport_size({"width": 1024, "height": 900})
    admin_page.goto(RUNS)
    first = admin_page.locator(".st-run").first
    details = first.locator("td").last.bounding_box()
    assert details is not None
    assert details["width"] > 400
    heads = admin_page.locator(".st-runs thead th:visible")
    expect(heads).to_have_count(5)
    starts = "cells => cells.map(cell => cell.getBoundingClientRect().x)"
    cells = first.locator(":scope > *").evaluate_all(starts)
    assert heads.evaluate_all(starts) == cells[:5]
    first.get_by_role("button").click()
    body = admin_page.locator(".st-run-body td").bounding_box()
    row_box = first.bounding_box()
    assert body is not None
    assert row_box is not None
    assert body["width"] == row_box["width"]
