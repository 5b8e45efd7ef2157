"""The list of all runs in a real browser: it keeps up, filters and retries, and loses nothing."""

from __future__ import annotations

import re

import pytest
from django.utils.timezone import localtime
from playwright.sync_api import Page, expect

from scheduled_tasks.models import Status, TaskRun
from tests.e2e.test_list import make_task, toast
from tests.factories import make_run
from tests.live import wait_for

pytestmark = pytest.mark.usefixtures("transactional_db")

RUNS = "/admin/scheduled_tasks/taskrun/"
REFRESH = "document.dispatchEvent(new Event('visibilitychange'))"
IDLE = "asked.every(request => request.isOver)"


def refresh(page: Page) -> None:
    """Let the page ask now, and wait until it has taken in the answer."""
    wait_for(lambda: page.evaluate(IDLE), message="the answers before")
    page.evaluate(REFRESH)
    wait_for(lambda: page.evaluate(IDLE), message="its answer")


def test_the_list_keeps_up_and_keeps_what_is_open(admin_page: Page) -> None:
    task = make_task()
    failed = make_run(task, Status.FAILED, error="no luck", traceback="Traceback")
    admin_page.goto(RUNS)
    link = admin_page.locator(f"#st-run-link-{failed.pk}")
    link.click()
    expect(admin_page.locator(f"#st-run-body-{failed.pk}")).to_contain_text("no luck")
    link.focus()
    new = make_run(task, Status.RUNNING)
    refresh(admin_page)
    line = admin_page.locator(f"#st-run-{new.pk}")
    expect(line).to_contain_text("Running")
    expect(admin_page.locator(".st-totals")).to_contain_text("2 runs")
    expect(admin_page.locator(f"#st-run-body-{failed.pk}")).to_contain_text("no luck")
    expect(link).to_be_focused()
    # While a run is open it asks each second.
    TaskRun.objects.filter(pk=new.pk).update(status=Status.SUCCEEDED, open_since=None)
    expect(line).to_contain_text("Success")
    link.click()
    expect(admin_page.locator(f"#st-run-body-{failed.pk}")).to_have_count(0)
    refresh(admin_page)
    expect(admin_page.locator(f"#st-run-body-{failed.pk}")).to_have_count(0)


def test_a_day_that_is_being_chosen_survives_a_refresh(admin_page: Page) -> None:
    task = make_task()
    make_run(task)
    old = make_run(task, ago=10 * 86_400)
    admin_page.goto(RUNS)
    day = f"{localtime(old.queued_at):%Y-%m-%d}"
    admin_page.get_by_label("to", exact=True).fill(day)
    make_run(task)
    refresh(admin_page)
    expect(admin_page.locator(".st-run")).to_have_count(3)
    admin_page.get_by_role("button", name="Show").click()
    expect(admin_page.locator(".st-run")).to_have_count(1)
    assert f"to={day}" in admin_page.url
    admin_page.get_by_role("link", name="Any time").click()
    expect(admin_page.locator(".st-run")).to_have_count(3)


def test_failed_runs_by_error_are_retried_after_a_question(admin_page: Page) -> None:
    one, two = (make_task(name, queue="nobody-listens") for name in ("one", "two"))
    for task in (one, two):
        make_run(task, Status.FAILED, error_type="app.RatesUnavailable", args="[1, 2]")
    make_run(one, Status.FAILED, error_type="ValueError")
    admin_page.goto(RUNS)
    admin_page.get_by_role("link", name="Failed", exact=True).click()
    errors = admin_page.get_by_role("list", name="Filter by error")
    expect(errors).to_contain_text("RatesUnavailable ×2")
    errors.get_by_role("link", name="RatesUnavailable").click()
    expect(admin_page.locator(".st-run")).to_have_count(2)
    retry = admin_page.get_by_role("link", name="Retry all 2 failed runs")
    retry.click()
    question = admin_page.get_by_role("dialog", name="Retry 2 failed runs?")
    expect(question.get_by_role("button", name="Retry")).to_be_focused()
    expect(question.get_by_role("listitem")).to_have_text(["one", "two"])
    admin_page.keyboard.press("Escape")
    expect(retry).to_be_focused()
    retry.click()
    question.get_by_role("button", name="Retry").click()
    expect(toast(admin_page, "2 runs are queued again.")).to_be_visible()
    expect(question).to_be_hidden()
    assert set(TaskRun.objects.filter(status=Status.QUEUED).values_list("name", flat=True)) == {"one", "two"}


def test_each_reason_why_runs_are_not_retried_is_told_once_and_stays(admin_page: Page) -> None:
    task = make_task()
    make_run(task, Status.RUNNING, process_id="w")
    for _n in range(3):
        make_run(task, Status.FAILED)
    admin_page.goto(f"{RUNS}?status=failed")
    admin_page.get_by_role("link", name="Retry all 3 failed runs").click()
    admin_page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(admin_page.get_by_role("alert").filter(has_text="runs may not overlap")).to_have_count(1)
    expect(admin_page.locator(".st-toast")).to_have_count(1)


def test_failed_runs_are_retried_without_a_script(plain_page: Page) -> None:
    make_run(make_task(queue="nobody-listens"), Status.FAILED, args="[1, 2]")
    plain_page.goto(f"{RUNS}?status=failed")
    plain_page.get_by_role("link", name="Retry 1 failed run").click()
    plain_page.get_by_role("button", name="Retry").click()
    expect(toast(plain_page, "1 run is queued again.")).to_be_visible()
    expect(plain_page).to_have_url(re.compile(r"taskrun/\?status=failed$"))


def test_retry_of_one_run_is_told_to_its_end(admin_page: Page) -> None:
    run = make_run(make_task(queue="nobody-listens"), Status.FAILED, args="[1, 2]")
    admin_page.goto(RUNS)
    admin_page.locator(f"#st-run-link-{run.pk}").click()
    admin_page.get_by_role("button", name="Retry").click()
    expect(toast(admin_page, "purge is queued again.")).to_be_visible()
    wait_for(lambda: TaskRun.objects.filter(status=Status.QUEUED).exists(), message="the new run")
    wait_for(lambda: admin_page.evaluate(IDLE), message="the answers before")
    TaskRun.objects.filter(status=Status.QUEUED).update(status=Status.EXPIRED, open_since=None)
    expect(toast(admin_page, "purge: Expired", "alert")).to_be_visible()
