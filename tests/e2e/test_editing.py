"""Notes and intervals edited in a real browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django_celery_beat.models import IntervalSchedule
from playwright.sync_api import Locator, Page, expect

from tests.e2e.test_accessibility import violations
from tests.e2e.test_list import LIST, make_task, row, toast

pytestmark = pytest.mark.usefixtures("transactional_db")


def test_the_note_of_a_disabled_task_is_edited_from_its_menu(admin_page: Page) -> None:
    task = make_task(enabled=False)
    admin_page.goto(LIST)
    row(admin_page, task).locator("summary").click()
    row(admin_page, task).get_by_role("link", name="Edit the note").click()
    field = admin_page.get_by_label("Why is it disabled?")
    expect(field).to_be_focused()
    field.fill("waiting for legal")
    admin_page.keyboard.press("Enter")
    expect(row(admin_page, task).locator(".st-c-next")).to_contain_text("waiting for legal")
    expect(admin_page.get_by_role("dialog")).to_be_hidden()


def every(number: int, period: str) -> Any:
    """A task that runs every so often."""
    return make_task(cron=None, interval=IntervalSchedule.objects.create(every=number, period=period))


def open_editor(page: Page, task: Any) -> Locator:
    """The number in the editor of a task's interval."""
    page.goto(LIST)
    row(page, task).get_by_label("Edit schedule").click()
    field = page.get_by_label("Every", exact=True)
    expect(field).to_be_focused()
    return field


def test_an_interval_is_edited_like_a_cron_expression(admin_page: Page) -> None:
    task = every(900, "seconds")
    field = open_editor(admin_page, task)
    expect(field).to_have_value("15")
    expect(admin_page.get_by_label("Unit")).to_have_value("minutes")
    expect(admin_page.locator(".st-preview h3")).to_have_text("Every 15 minutes")
    admin_page.keyboard.type("2")
    admin_page.get_by_label("Unit").select_option("hours")
    expect(admin_page.locator(".st-preview h3")).to_have_text("Every 2 hours")
    expect(admin_page.locator(".st-preview li")).to_have_count(5)
    field.press("Enter")
    expect(admin_page.locator(".st-edit")).to_have_count(0)
    expect(row(admin_page, task).locator(".st-c-sched")).to_contain_text("Every 2 hours")
    expect(row(admin_page, task).get_by_label("Edit schedule")).to_be_focused()
    task.refresh_from_db()
    assert (task.interval.every, task.interval.period) == (2, "hours")


@pytest.mark.parametrize("typed", ["0", "often"])
def test_a_wrong_interval_stays_as_typed(admin_page: Page, typed: str) -> None:
    task = every(5, "minutes")
    field = open_editor(admin_page, task)
    field.fill(typed)
    error = admin_page.locator(".st-error")
    expect(error).to_contain_text("Enter a whole number from 1 to 5256000.")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(admin_page.locator(".st-preview")).to_contain_text("Current schedule: Every 5 minutes")
    field.press("Enter")
    expect(admin_page.locator(".st-toast-error")).to_contain_text("It still runs as before: Every 5 minutes.")
    expect(field).to_have_value(typed)
    field.press("Escape")
    expect(admin_page.locator(".st-edit")).to_have_count(0)
    task.refresh_from_db()
    assert task.interval.every == 5


def test_preset_fills_number_and_unit(admin_page: Page) -> None:
    task = every(5, "minutes")
    field = open_editor(admin_page, task)
    admin_page.get_by_role("button", name="Every 30 seconds").click()
    expect(field).to_have_value("30")
    expect(admin_page.get_by_label("Unit")).to_have_value("seconds")
    expect(admin_page.locator(".st-preview h3")).to_have_text("Every 30 seconds")
    field.press("Enter")
    expect(row(admin_page, task).locator(".st-c-sched")).to_contain_text("Every 30 seconds")


def test_an_interval_becomes_a_cron_expression_and_back(admin_page: Page) -> None:
    task = every(5, "minutes")
    open_editor(admin_page, task)
    admin_page.get_by_role("button", name="Cron expression", exact=True).click()
    cron = admin_page.get_by_label("Cron expression")
    expect(cron).to_be_focused()
    cron.fill("0 4 * * *")
    cron.press("Enter")
    expect(row(admin_page, task).locator(".st-c-sched")).to_contain_text("Daily at 4 AM")
    row(admin_page, task).get_by_label("Edit schedule").click()
    admin_page.get_by_role("button", name="Interval", exact=True).click()
    field = admin_page.get_by_label("Every", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_value("1")  # day, the distance of its runs
    field.fill("3")
    field.press("Enter")
    expect(row(admin_page, task).locator(".st-c-sched")).to_contain_text("Every 3 days")


def test_an_interval_is_edited_without_javascript(plain_page: Page) -> None:
    task = every(5, "minutes")
    plain_page.goto(LIST)
    row(plain_page, task).get_by_label("Edit schedule").click()
    field = plain_page.get_by_label("Every", exact=True)
    field.fill("often")
    plain_page.get_by_role("button", name="Save").click()
    expect(plain_page.locator(".st-error")).to_contain_text("Enter a whole number")
    expect(field).to_have_value("often")
    field.fill("7")
    plain_page.get_by_label("Unit").select_option("days")
    plain_page.get_by_role("button", name="Save").click()
    expect(row(plain_page, task).locator(".st-c-sched")).to_contain_text("Every 7 days")
    row(plain_page, task).get_by_label("Edit schedule").click()
    plain_page.get_by_role("button", name="Cron expression", exact=True).click()
    plain_page.get_by_label("Cron expression").fill("0 4 * * *")
    plain_page.get_by_role("button", name="Save").click()
    expect(row(plain_page, task).locator(".st-c-sched")).to_contain_text("Daily at 4 AM")


def test_a_schedule_becomes_a_single_time_and_each_kind_keeps_what_was_typed(admin_page: Page) -> None:
    task = make_task()
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("Edit schedule").click()
    admin_page.get_by_label("Cron expression").fill("15 4 * * *")
    admin_page.get_by_role("button", name="Once", exact=True).click()
    words = admin_page.get_by_label("or in words")
    words.fill("tomorrow 9:00")
    expect(admin_page.locator(".st-preview h3")).to_contain_text("Once, ")
    expect(admin_page.get_by_label("Date and time")).to_have_value("")
    admin_page.get_by_role("button", name="Cron expression", exact=True).click()
    expect(admin_page.get_by_label("Cron expression")).to_have_value("15 4 * * *")
    admin_page.get_by_role("button", name="Once", exact=True).click()
    expect(words).to_have_value("tomorrow 9:00")
    words.press("Enter")
    expect(row(admin_page, task).locator(".st-c-sched")).to_contain_text("09:00")


def test_run_once_from_the_rows_menu(admin_page: Page) -> None:
    task = make_task()
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("More actions").click()
    row(admin_page, task).get_by_role("link", name="Run once at…").click()
    drawer = admin_page.locator("#st-drawer")
    drawer.get_by_label("or in words").fill("yesterday")
    drawer.get_by_role("button", name="Schedule the run").click()
    expect(drawer.locator("#st-error-new")).to_contain_text("This is no time.")
    drawer.get_by_label("or in words").fill("tomorrow 9:00")
    expect(drawer.locator(".st-preview")).to_contain_text(re.compile(r"09:00 \w+\s+in \d+ (h|min)"))
    expect(drawer.locator("#st-error-new")).to_be_hidden()
    assert violations(admin_page) == []
    drawer.get_by_role("button", name="Schedule the run").click()
    expect(drawer).to_be_hidden()
    copy = admin_page.locator(".st-row").filter(has_text="purge, once on")
    expect(copy).to_contain_text("Once, ")
    toast(admin_page, "was added: Once, ").get_by_role("button", name="Undo").click()
    expect(toast(admin_page, "was deleted.")).to_be_visible()
    expect(copy).to_have_count(0)
    toast(admin_page, "was deleted.").get_by_role("button", name="Undo").click()
    expect(toast(admin_page, "is back: Once, ")).to_be_visible()
    toast(admin_page, "is back: Once, ").get_by_role("button", name="Undo").click()
    expect(copy).to_have_count(0)


def test_run_once_without_javascript(plain_page: Page) -> None:
    task = make_task()
    plain_page.goto(f"{LIST}{task.pk}/once/")
    plain_page.get_by_role("button", name="Tomorrow 9:00").click()
    expect(plain_page.locator(".st-preview")).to_contain_text("09:00")
    plain_page.get_by_role("button", name="Schedule the run").click()
    expect(plain_page.locator(".st-row").filter(has_text="purge, once on")).to_contain_text("Once, ")
