"""Whole journeys: with the keyboard alone, without JavaScript."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery import current_app
from playwright.sync_api import Locator, Page, expect

from scheduled_tasks.models import Status, TaskRun
from scheduled_tasks.reading.machinery import Machinery
from tests.e2e.test_list import LIST, make_task, row, status, toast
from tests.factories import make_run
from tests.live import Worker, wait_for


def tab_to(page: Page, target: Locator, key: str = "Tab") -> None:
    """Press Tab or another key, as a person without a mouse does, until ``target`` has the focus."""
    for _step in range(60):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press(key)
    raise AssertionError(f"60 times {key} do not lead to {target}")


def test_keyboard_alone_edits_runs_and_reads_an_error(admin_page: Page, worker: Worker) -> None:
    page = admin_page
    task = make_task(task="tests.tasks.fail", args='["no luck today"]')
    page.goto(LIST)
    pencil = row(page, task).get_by_label("Edit schedule")
    page.keyboard.press("/")
    tab_to(page, pencil)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Cron expression")).to_be_focused()
    page.keyboard.type("*/15 * * * *")
    page.keyboard.press("Enter")
    expect(row(page, task).get_by_text("Every 15 minutes")).to_be_visible()
    expect(pencil).to_be_focused()

    tab_to(page, row(page, task).get_by_role("button", name="Run purge now"))
    page.keyboard.press("Enter")
    expect(status(page, task)).to_have_text("Failed")
    history = row(page, task).get_by_role("link", name="purge", exact=True)
    tab_to(page, history, "Shift+Tab")
    page.keyboard.press("Enter")
    drawer = page.get_by_role("dialog")
    run = drawer.locator(".st-run").get_by_role("button")
    expect(run).to_be_visible()
    tab_to(page, run)
    page.keyboard.press("Enter")
    expect(drawer.locator(".st-errline")).to_contain_text("no luck today")
    expect(drawer.locator(".st-run-body pre").first).to_contain_text("Traceback")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(history).to_be_focused()


def test_menu_works_with_the_keyboard(admin_page: Page, transactional_db: None) -> None:
    task = make_task()
    admin_page.goto(LIST)
    menu = row(admin_page, task).locator("summary")
    admin_page.keyboard.press("/")
    tab_to(admin_page, menu)
    admin_page.keyboard.press("Enter")
    note = row(admin_page, task).get_by_role("link", name="Disable with a note")
    tab_to(admin_page, note, "ArrowDown")
    admin_page.keyboard.press("Escape")
    expect(note).to_be_hidden()
    expect(menu).to_be_focused()
    admin_page.keyboard.press("Enter")
    tab_to(admin_page, note, "ArrowDown")
    admin_page.keyboard.press("Enter")
    expect(admin_page.get_by_label("Why is it disabled?")).to_be_focused()
    admin_page.keyboard.press("Escape")
    expect(menu).to_be_focused()


def test_everything_that_has_the_focus_shows_it(admin_page: Page, transactional_db: None) -> None:
    make_run(make_task())
    admin_page.goto(LIST)
    admin_page.keyboard.press("/")
    for _step in range(12):
        admin_page.keyboard.press("Tab")
        outline = admin_page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", admin_page.evaluate("document.activeElement.outerHTML")


def test_focus_stays_in_the_open_drawer(admin_page: Page, transactional_db: None) -> None:
    task = make_task()
    make_run(task)
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("View history").click()
    drawer = admin_page.get_by_role("dialog")
    expect(drawer.locator(".st-run")).to_be_visible()
    for _step in range(30):
        admin_page.keyboard.press("Tab")
        inside = drawer.evaluate("drawer => drawer.contains(document.activeElement)")
        assert inside or admin_page.evaluate("document.activeElement === document.body")


def test_without_javascript_everything_works_as_forms_and_pages(plain_page: Page, worker: Worker) -> None:
    page = plain_page
    task = make_task(task="tests.tasks.fail", args='["no luck today"]', description="Deletes old rows")
    for _run in range(21):
        make_run(task)
    page.goto(LIST)
    expect(row(page, task)).to_contain_text("Deletes old rows")
    row(page, task).get_by_role("switch").click()
    expect(page.get_by_role("status")).to_contain_text("purge is disabled")
    expect(row(page, task).get_by_role("switch")).to_have_attribute("aria-checked", "false")

    row(page, task).get_by_label("Edit schedule").click()
    page.get_by_label("Cron expression").fill("0 24 * * *")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("24 is out of range")
    expect(page.get_by_label("Cron expression")).to_have_value("0 24 * * *")
    page.get_by_role("button", name="Hourly").click()
    expect(page.locator(".st-preview h3")).to_have_text("Hourly")
    page.get_by_role("button", name="Save").click()
    expect(row(page, task)).to_contain_text("Hourly")

    row(page, task).get_by_role("button", name="Run purge now").click()
    expect(page.locator(".st-toast")).to_contain_text("purge")  # queued, or the outcome already
    page.get_by_role("link", name="View run").click()
    while page.locator(".st-page-run .st-errline").count() == 0:
        page.reload()
    expect(page.locator(".st-errline")).to_contain_text("no luck today")

    page.get_by_role("link", name="All runs of this task").click()
    expect(page.locator(".st-pager")).to_contain_text("1–20 of 22 runs")
    page.get_by_role("link", name="Next page").click()
    expect(page.locator(".st-run")).to_have_count(2)
    page.locator(".st-run .st-started").first.click()
    expect(page.locator(".st-run-body")).to_be_visible()


def test_without_javascript_the_menu_works(plain_page: Page, worker: Worker) -> None:
    page = plain_page
    task = make_task()
    wait_for(lambda: Machinery.read().signature_of(task.task), message="a worker that tells of its tasks")
    page.goto(LIST)
    menu = row(page, task).locator("summary")
    menu.click()
    row(page, task).get_by_role("button", name="Skip next run").click()
    expect(row(page, task)).to_contain_text("will be skipped")
    menu.click()
    row(page, task).get_by_role("link", name="Run with arguments").click()
    page.get_by_label("x", exact=True).fill("twenty")
    page.get_by_label("y", exact=True).fill("22")
    page.get_by_role("button", name="Edit as JSON").click()
    expect(page.get_by_text("Enter a number.")).to_be_visible()
    page.get_by_label("x", exact=True).fill("20")
    page.get_by_role("button", name="Edit as JSON").click()
    arguments = page.get_by_label("Arguments", exact=True)
    expect(arguments).to_have_value("[20.0, 22.0]")
    arguments.fill("[20, ")
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_text("must be a JSON list")).to_be_visible()
    expect(arguments).to_have_value("[20, ")
    arguments.fill("[20, 23]")
    page.get_by_role("button", name="Edit in fields").click()
    expect(page.get_by_label("y", exact=True)).to_have_value("23")
    page.get_by_role("button", name="Run now").click()
    expect(page.locator(".st-toast")).to_contain_text("purge")
    menu.click()
    row(page, task).get_by_role("link", name="Disable with a note").click()
    page.get_by_label("Why is it disabled?").fill("waiting for legal")
    page.get_by_role("button", name="Disable").click()
    expect(row(page, task)).to_contain_text("waiting for legal")


def test_without_javascript_runs_are_found_retried_and_cancelled(
    plain_page: Page, transactional_db: None
) -> None:
    page = plain_page
    task = make_task(queue="nobody-listens")
    make_run(task, Status.FAILED, error="no luck today", args="[1, 2]")
    page.goto(f"{LIST}?q=nothing")
    page.get_by_role("link", name="Show all tasks").click()
    page.get_by_role("link", name="1 failing").click()
    row(page, task).get_by_label("View history").click()
    page.get_by_role("link", name="Failed", exact=True).click()
    page.locator(".st-run .st-started").click()
    expect(page.locator(".st-errline")).to_contain_text("no luck today")
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("status")).to_contain_text("queued again")
    page.get_by_role("link", name="View run").click()
    page.get_by_role("button", name="Cancel run").click()
    expect(page.get_by_role("status")).to_contain_text("purge: Cancelled by admin.")
    page.goto("/admin/scheduled_tasks/taskrun/")
    expect(page.locator(".st-run")).to_have_count(2)
    expect(page.locator(".st-run").first).to_contain_text("Cancelled")
    expect(page.locator(".st-run").first).to_contain_text("by admin")


def test_without_javascript_bulk_actions_work(plain_page: Page, transactional_db: None) -> None:
    one, two = make_task("one"), make_task("two")
    plain_page.goto(LIST)
    row(plain_page, one).get_by_role("checkbox").check()
    plain_page.get_by_role("button", name="Disable", exact=True).click()
    expect(plain_page.get_by_role("status")).to_contain_text("1 task is disabled")
    one.refresh_from_db()
    two.refresh_from_db()
    assert (one.enabled, two.enabled) == (False, True)


def test_form_whose_run_was_refused_starts_another(
    admin_page: Page, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(args="[1, 2]")
    admin_page.goto(LIST)
    row(admin_page, task).locator("summary").click()
    row(admin_page, task).get_by_role("link", name="Run with arguments").click()
    drawer = admin_page.get_by_role("dialog")
    with monkeypatch.context() as patched:
        patched.setattr(current_app.conf, "broker_write_url", "redis://127.0.0.1:9/0")
        drawer.get_by_role("button", name="Run now").click()
        expect(toast(admin_page, "The broker could not be reached", "alert")).to_be_visible()
    drawer.get_by_role("button", name="Run now").click()
    expect(drawer).to_be_hidden()
    expect(status(admin_page, task)).to_have_text("Success")
    assert list(TaskRun.objects.order_by("pk").values_list("status", flat=True)) == ["missed", "succeeded"]


def test_menu_skips_resets_and_runs_with_arguments(admin_page: Page, worker: Worker) -> None:
    task = make_task(args="[1, 2]")
    wait_for(lambda: Machinery.read().signature_of(task.task), message="a worker that tells of its tasks")
    admin_page.goto(LIST)
    menu = row(admin_page, task).locator("summary")
    menu.click()
    row(admin_page, task).get_by_role("button", name="Skip next run").click()
    expect(row(admin_page, task).locator(".st-c-next")).to_contain_text("will be skipped")
    expect(menu).to_be_focused()
    menu.click()
    row(admin_page, task).get_by_role("link", name="Run with arguments").click()
    drawer = admin_page.get_by_role("dialog")
    field = drawer.get_by_label("x", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_value("1")
    field.fill("twenty")
    drawer.get_by_role("button", name="Run now").click()
    expect(drawer.get_by_text("Enter a number.")).to_be_visible()
    expect(field).to_be_focused()
    field.fill("20")
    drawer.get_by_label("y", exact=True).fill("22")
    drawer.get_by_role("button", name="Edit as JSON").press("Enter")
    expect(drawer.get_by_label("Arguments", exact=True)).to_have_value("[20.0, 22.0]")
    drawer.get_by_role("button", name="Edit in fields").press("Enter")
    expect(drawer.get_by_label("y", exact=True)).to_have_value("22.0")
    drawer.get_by_role("button", name="Run now").click()
    expect(drawer).to_be_hidden()
    expect(status(admin_page, task)).to_have_text("Success")
    assert TaskRun.objects.get().summary_data == "42.0"


def test_menu_disables_with_a_note(admin_page: Page, transactional_db: None) -> None:
    task = make_task()
    admin_page.goto(LIST)
    row(admin_page, task).locator("summary").click()
    row(admin_page, task).get_by_role("link", name="Disable with a note").click()
    admin_page.get_by_label("Why is it disabled?").fill("waiting for legal")
    admin_page.keyboard.press("Enter")
    expect(row(admin_page, task).locator(".st-c-next")).to_contain_text("waiting for legal")
    expect(admin_page.get_by_role("dialog")).to_be_hidden()


def test_retry_and_cancel_from_the_drawer(admin_page: Page, worker: Worker, tmp_path: Path) -> None:
    task = make_task(task="tests.tasks.wait_for_file", args=f'["{tmp_path / "never"}"]')
    make_run(task, Status.FAILED, args=f'["{tmp_path / "never"}"]')
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("View history").click()
    drawer = admin_page.get_by_role("dialog")
    drawer.locator(".st-run").get_by_role("button").click()
    drawer.get_by_role("button", name="Retry").click()
    newest = drawer.locator(".st-run").first
    expect(newest).to_contain_text("Running")
    expect(newest).to_contain_text("by admin")
    newest.get_by_role("button").click()
    drawer.get_by_role("table").get_by_role("button", name="Cancel run").click()
    expect(newest).to_contain_text("Cancelled")
