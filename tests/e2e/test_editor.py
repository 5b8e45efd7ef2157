"""The schedule editor in a real browser: what it says while a person types, and what it never loses."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Locator, Page, Route, expect

from tests.e2e.test_accessibility import violations
from tests.e2e.test_list import LIST, make_task, refresh, row
from tests.live import wait_for

pytestmark = pytest.mark.usefixtures("transactional_db")


def open_editor(page: Page, task: object) -> Locator:
    """The field of the schedule editor of a task."""
    page.goto(LIST)
    row(page, task).get_by_label("Edit schedule").click()
    field = page.get_by_label("Cron expression")
    expect(field).to_be_focused()
    return field


def test_preset_fills_the_field(admin_page: Page) -> None:
    task = make_task()
    field = open_editor(admin_page, task)
    admin_page.get_by_role("button", name="Every 5 minutes").click()
    expect(field).to_have_value("*/5 * * * *")
    expect(field).to_be_focused()
    expect(admin_page.locator(".st-preview h3")).to_have_text("Every 5 minutes")
    admin_page.keyboard.press("Enter")
    expect(row(admin_page, task)).to_contain_text("Every 5 minutes")


def test_zone_moves_the_next_runs(admin_page: Page) -> None:
    task = make_task(zone="UTC")
    open_editor(admin_page, task)
    first = admin_page.locator(".st-preview time").first
    before = first.get_attribute("datetime")
    admin_page.get_by_label("Time zone").select_option("Asia/Tokyo")
    expect(first).not_to_have_attribute("datetime", before or "")
    admin_page.get_by_role("button", name="Save").click()
    expect(row(admin_page, task)).to_contain_text("Asia/Tokyo")
    task.refresh_from_db()
    assert str(task.crontab.timezone) == "Asia/Tokyo"


def test_what_is_typed_while_a_preview_is_under_way_is_checked_too(clocked_page: Page) -> None:
    field = open_editor(clocked_page, make_task())
    held: list[Route] = []
    clocked_page.route("**/preview/**", lambda route: held.append(route), times=1)
    for typed in ("0 5 * * *", "61 5 * * *"):
        field.fill(typed)
        clocked_page.clock.run_for(300)
    wait_for(lambda: (clocked_page.title(), held)[1], message="the first preview's request")
    expect(clocked_page.locator(".st-error")).to_contain_text("61 is out of range")
    held[0].continue_()  # its answer comes too late to count
    clocked_page.clock.run_for(300)
    expect(clocked_page.locator(".st-error")).to_contain_text("61 is out of range")
    expect(field).to_have_attribute("aria-invalid", "true")


@pytest.mark.parametrize(
    ("typed", "notice"),
    [
        ("0 0 13 * 5", "match both the date and the weekday"),
        ("0 0 29 2 0", "more than a year away"),
        ("30 2 * * *", "daylight-saving"),
    ],
)
def test_notices_warn_of_surprises(admin_page: Page, typed: str, notice: str) -> None:
    field = open_editor(admin_page, make_task(cron="0 12 * * *", zone="Europe/Paris"))
    expect(admin_page.locator(".st-notice")).to_have_count(0)
    field.fill(typed)
    expect(admin_page.locator(".st-notice").filter(has_text=notice)).to_be_visible()


def test_losing_the_focus_cancels_no_edit(admin_page: Page) -> None:
    task = make_task()
    field = open_editor(admin_page, task)
    field.fill("0 5 * * *")
    admin_page.get_by_placeholder("Search tasks").click()
    refresh(admin_page)
    expect(field).to_have_value("0 5 * * *")
    expect(field).to_be_visible()


def test_conflict_names_the_person_and_theirs_can_stay(admin_page: Page) -> None:
    task = make_task()
    field = open_editor(admin_page, task)
    field.fill("0 5 * * *")
    anna = Client()
    anna.force_login(User.objects.create_superuser("anna"))
    anna.post(f"{LIST}{task.pk}/schedule/", {"cron": "0 9 * * 1", "zone": "UTC"})
    field.press("Enter")
    conflict = admin_page.locator(".st-conflict")
    expect(conflict).to_contain_text("anna")
    expect(conflict).to_contain_text("0 9 * * 1")
    conflict.get_by_role("link", name="Keep theirs").click()
    expect(admin_page.locator(".st-edit")).to_have_count(0)
    task.refresh_from_db()
    assert task.crontab.hour == "9"


def test_words_are_shown_as_cron_and_saved(admin_page: Page) -> None:
    task = make_task()
    field = open_editor(admin_page, task)
    field.fill("weekdays at 9:30")
    expect(admin_page.locator(".st-stored")).to_have_text("Will be stored as 30 9 * * 1-5")
    expect(admin_page.locator(".st-preview h3")).to_have_text("Weekdays at 9:30 AM")
    assert violations(admin_page) == []
    field.press("Enter")
    expect(row(admin_page, task).locator(".st-c-sched")).to_contain_text("Weekdays at 9:30 AM")
    expect(row(admin_page, task).get_by_label("Edit schedule")).to_be_focused()
    task.refresh_from_db()
    assert (task.crontab.minute, task.crontab.hour, task.crontab.day_of_week) == ("30", "9", "1-5")


def test_words_saved_before_their_preview_are_shown_first(clocked_page: Page) -> None:
    task = make_task()
    field = open_editor(clocked_page, task)
    field.fill("first monday of the month at 6am")
    field.press("Enter")  # while the script still waits for the typing to end
    expect(clocked_page.locator(".st-toast-error")).to_contain_text("stored as 0 6 1-7 * 1: save again")
    expect(clocked_page.locator(".st-stored")).to_contain_text("0 6 1-7 * 1")
    expect(field).to_be_focused()
    expect(field).not_to_have_attribute("aria-invalid", "true")
    field.press("Enter")
    expect(row(clocked_page, task).locator(".st-c-sched")).to_contain_text(
        "First Monday of the month at 6 AM"
    )


def test_refused_words_offer_the_nearest_and_stay(admin_page: Page) -> None:
    field = open_editor(admin_page, make_task())
    field.fill("every other sunday")
    error = admin_page.locator(".st-error")
    expect(error).to_have_text('Cron cannot count weeks. Nearest: "Sundays at midnight".')
    expect(admin_page.locator(".st-stored")).to_have_count(0)
    field.fill("Sundays at midnight")
    expect(error).to_be_hidden()
    expect(admin_page.locator(".st-stored")).to_contain_text("0 0 * * 0")


def test_words_are_saved_without_javascript_once_shown(plain_page: Page) -> None:
    task = make_task()
    plain_page.goto(LIST)
    row(plain_page, task).get_by_label("Edit schedule").click()
    field = plain_page.get_by_label("Cron expression")
    field.fill("1st and 15th at noon")
    plain_page.get_by_role("button", name="Save").click()
    expect(plain_page.locator(".st-stored")).to_have_text("Will be stored as 0 12 1,15 * *")
    expect(field).to_have_value("1st and 15th at noon")
    plain_page.get_by_role("button", name="Save").click()
    expect(row(plain_page, task)).to_contain_text("Monthly on the 1st and 15th at noon")
