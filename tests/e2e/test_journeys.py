"""Whole journeys: with the keyboard alone, without JavaScript."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from scheduled_tasks.models import Status, TaskRun
from tests.e2e.test_list import LIST, make_task, row, status
from tests.factories import make_run
from tests.live import Worker


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_keyboard_alone_edits_runs_and_reads_an_error(admin_page: Page, worker: Worker) -> None:
    task = make_task(task="tests.tasks.fail", args='["no luck today"]')
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("Edit schedule").focus()
    press(admin_page, "Enter")
    expect(admin_page.get_by_label("Cron expression")).to_be_focused()
    admin_page.keyboard.type("*/15 * * * *")
    press(admin_page, "Enter")
    expect(row(admin_page, task).get_by_text("Every 15 minutes")).to_be_visible()
    expect(row(admin_page, task).get_by_label("Edit schedule")).to_be_focused()
    row(admin_page, task).get_by_role("button", name="Run purge now").focus()
    press(admin_page, "Enter")
    expect(status(admin_page, task)).to_have_text("Failed")
    row(admin_page, task).get_by_label("View history").focus()
    press(admin_page, "Enter")
    drawer = admin_page.get_by_role("dialog")
    run = drawer.locator(".st-run").get_by_role("button")
    run.focus()
    press(admin_page, "Enter")
    expect(drawer.locator(".st-errline")).to_contain_text("no luck today")
    expect(drawer.locator("pre").first).to_contain_text("Traceback")
    press(admin_page, "Escape")
    expect(drawer).to_be_hidden()
    expect(row(admin_page, task).get_by_label("View history")).to_be_focused()


def test_focus_stays_in_the_open_drawer(admin_page: Page, transactional_db: None) -> None:
    task = make_task()
    make_run(task)
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("View history").click()
    drawer = admin_page.get_by_role("dialog")
    expect(drawer.locator(".st-run")).to_be_visible()
    for _step in range(30):
        press(admin_page, "Tab")
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
    expect(page.get_by_role("status")).to_contain_text("purge is queued")
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


def test_without_javascript_bulk_actions_work(plain_page: Page, transactional_db: None) -> None:
    one, two = make_task("one"), make_task("two")
    plain_page.goto(LIST)
    row(plain_page, one).get_by_role("checkbox").check()
    plain_page.get_by_role("button", name="Disable", exact=True).click()
    expect(plain_page.get_by_role("status")).to_contain_text("1 task is disabled")
    one.refresh_from_db()
    two.refresh_from_db()
    assert (one.enabled, two.enabled) == (False, True)


def test_menu_skips_resets_and_runs_with_arguments(admin_page: Page, worker: Worker) -> None:
    task = make_task(args="[1, 2]")
    admin_page.goto(LIST)
    menu = row(admin_page, task).locator("summary")
    menu.click()
    row(admin_page, task).get_by_role("button", name="Skip next run").click()
    expect(row(admin_page, task).locator(".st-c-next")).to_contain_text("will be skipped")
    expect(menu).to_be_focused()
    menu.click()
    row(admin_page, task).get_by_role("link", name="Run with arguments").click()
    drawer = admin_page.get_by_role("dialog")
    field = drawer.get_by_label("Arguments", exact=True)
    expect(field).to_have_value("[1, 2]")
    field.fill("[20, ")
    drawer.get_by_role("button", name="Run now").click()
    expect(admin_page.get_by_role("alert").filter(has_text="must be a list in JSON")).to_be_visible()
    field.fill("[20, 22]")
    drawer.get_by_role("button", name="Run now").click()
    expect(drawer).to_be_hidden()
    expect(status(admin_page, task)).to_have_text("Success")
    assert TaskRun.objects.get().summary_data == "42"


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
    drawer.get_by_role("button", name="Cancel run").click()
    expect(newest).to_contain_text("Cancelled")
