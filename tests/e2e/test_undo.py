"""Undo in a message, Restore in the history, and messages that follow the run they tell of."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import ScheduledTask, Status, TaskRun, database_now
from tests.e2e.test_list import LIST, make_task, refresh, row, status, toast
from tests.live import wait_for

pytestmark = pytest.mark.usefixtures("transactional_db")


def is_enabled(task: Any) -> bool:
    return bool(ScheduledTask.objects.get(pk=task.pk).enabled)


def test_undo_in_the_message_puts_the_switch_back(clocked_page: Page) -> None:
    task = make_task()
    clocked_page.goto(LIST)
    switch = row(clocked_page, task).get_by_role("switch")
    switch.click()
    toast(clocked_page, "purge is disabled").get_by_role("button", name="Undo").click()
    expect(toast(clocked_page, "purge is as it was before that change.")).to_be_visible()
    expect(toast(clocked_page, "purge is disabled")).to_have_count(0)
    expect(switch).to_have_attribute("aria-checked", "true")
    assert is_enabled(task)


def test_undo_with_the_keyboard_keeps_the_focus_in_the_messages(clocked_page: Page) -> None:
    task = make_task()
    clocked_page.goto(LIST)
    row(clocked_page, task).get_by_role("switch").press("Enter")
    undo = toast(clocked_page, "purge is disabled").get_by_role("button", name="Undo")
    undo.press("Enter")
    again = toast(clocked_page, "purge is as it was before").get_by_role("button", name="Undo")
    expect(again).to_be_focused()
    again.press("Enter")
    expect(row(clocked_page, task).get_by_role("switch")).to_have_attribute("aria-checked", "false")


def test_undo_and_restore_without_a_script(plain_page: Page) -> None:
    task = make_task()
    plain_page.goto(LIST)
    row(plain_page, task).get_by_role("switch").click()
    toast(plain_page, "purge is disabled").get_by_role("button", name="Undo").click()
    expect(toast(plain_page, "purge is as it was before")).to_be_visible()
    assert is_enabled(task)
    plain_page.goto(f"{LIST}{task.pk}/schedule/")
    plain_page.get_by_label("Cron expression").fill("0 5 * * *")
    plain_page.get_by_role("button", name="Save").click()
    plain_page.goto(f"{LIST}{task.pk}/history/")
    plain_page.get_by_role("button", name="Restore").click()
    expect(toast(plain_page, "purge is as it was before")).to_be_visible()
    assert ScheduledTask.objects.get(pk=task.pk).crontab.hour == "3"


def test_restore_in_the_history_shows_the_new_entry(admin_page: Page) -> None:
    task = make_task()
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("Edit schedule").click()
    admin_page.get_by_label("Cron expression").fill("0 5 * * *")
    admin_page.keyboard.press("Enter")
    expect(toast(admin_page, "purge: Daily at 5 AM.")).to_be_visible()
    admin_page.goto(f"{LIST}{task.pk}/history/")
    admin_page.get_by_role("button", name="Restore").click()
    expect(toast(admin_page, "purge is as it was before")).to_be_visible()
    expect(admin_page.get_by_role("cell", name="Put back: schedule: 0 5 * * * → 0 3 * * *.")).to_be_visible()


def test_undo_of_several_tasks(clocked_page: Page) -> None:
    tasks = [make_task("a"), make_task("b")]
    clocked_page.goto(LIST)
    for task in tasks:
        row(clocked_page, task).get_by_role("checkbox").check()
    clocked_page.locator("#st-bulk").get_by_role("button", name="Disable").click()
    toast(clocked_page, "2 tasks are disabled.").get_by_role("button", name="Undo").click()
    expect(toast(clocked_page, "2 tasks are as they were before.")).to_be_visible()
    for task in tasks:
        expect(row(clocked_page, task).get_by_role("switch")).to_have_attribute("aria-checked", "true")


def test_undo_refuses_when_somebody_else_was_there(clocked_page: Page) -> None:
    task = make_task()
    clocked_page.goto(LIST)
    row(clocked_page, task).get_by_role("switch").click()
    expect(toast(clocked_page, "purge is disabled")).to_be_visible()
    refresh(clocked_page)
    ScheduledTask.objects.filter(pk=task.pk).update(enabled=True)
    toast(clocked_page, "purge is disabled").get_by_role("button", name="Undo").click()
    expect(toast(clocked_page, "Nothing was put back", "alert")).to_be_visible()


@pytest.mark.parametrize(
    ("values", "role", "text"),
    [
        ({"status": Status.SUCCEEDED}, "status", r"purge: Success after .+ s\."),
        (
            {"status": Status.FAILED, "error_type": "app.RatesUnavailable", "error": "no answer"},
            "alert",
            "purge: Failed: RatesUnavailable: no answer",
        ),
    ],
)
def test_message_of_run_now_becomes_the_outcome(
    admin_page: Page, values: dict[str, Any], role: Any, text: str
) -> None:
    task = make_task(queue="nobody-listens")
    admin_page.goto(LIST)
    row(admin_page, task).get_by_role("button", name="Run purge now").click()
    expect(toast(admin_page, "purge is queued.")).to_be_visible()
    admin_page.evaluate("window.box = document.querySelector('.st-toast')")
    refresh(admin_page)
    run, now = TaskRun.objects.get(), database_now()
    TaskRun.objects.update(status=Status.RUNNING, started_at=now)
    expect(toast(admin_page, "purge: Running.")).to_be_visible()
    refresh(admin_page)
    TaskRun.objects.update(finished_at=now, open_since=None, **values)
    told = toast(admin_page, "purge: ", role)
    expect(told).to_have_text(re.compile(text if role == "alert" else "purge: Success after"))
    expect(admin_page.locator(".st-toast:not(template *)")).to_have_count(1)
    assert admin_page.evaluate("box === document.querySelector('.st-toast')")
    expect(status(admin_page, task)).to_have_text("Failed" if role == "alert" else "Success")
    expect(told.get_by_role("link", name="View run")).to_have_attribute(
        "href", f"/admin/scheduled_tasks/taskrun/{run.pk}/change/"
    )


def test_an_outcome_leaves_unless_it_is_bad(clocked_page: Page) -> None:
    good, bad = make_task("good", queue="nobody-listens"), make_task("bad", queue="nobody-listens")
    clocked_page.goto(LIST)
    for task in (good, bad):
        row(clocked_page, task).get_by_role("button", name=f"Run {task.name} now").click()
        expect(toast(clocked_page, f"{task.name} is queued.")).to_be_visible()
    clocked_page.clock.run_for(8_000)
    expect(toast(clocked_page, "is queued.")).to_have_count(2)
    now = database_now()
    TaskRun.objects.update(status=Status.SUCCEEDED, started_at=now, finished_at=now, open_since=None)
    TaskRun.objects.filter(task_id=bad.pk).update(status=Status.LOST)
    wait_for(
        lambda: clocked_page.clock.run_for(1_000) or toast(clocked_page, "bad: Lost", "alert").count(),
        message="the outcome",
    )
    clocked_page.clock.run_for(20_000)
    expect(toast(clocked_page, "good: ")).to_have_count(0)
    expect(toast(clocked_page, "bad: Lost", "alert")).to_be_visible()


def test_run_now_without_the_server_says_so(admin_page: Page) -> None:
    task = make_task()
    admin_page.goto(LIST)
    admin_page.context.set_offline(True)
    row(admin_page, task).get_by_role("button", name="Run purge now").click()
    expect(toast(admin_page, "The server cannot be reached.", "alert")).to_contain_text("try again")
    admin_page.context.set_offline(False)
    assert not TaskRun.objects.exists()


def test_keep_theirs_takes_the_message_of_the_conflict_away(admin_page: Page) -> None:
    task = make_task()
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("Edit schedule").click()
    admin_page.get_by_label("Cron expression").fill("0 5 * * *")
    refresh(admin_page)
    task.crontab.hour = "7"
    task.crontab.save()
    admin_page.keyboard.press("Enter")
    expect(toast(admin_page, "Somebody changed the schedule", "alert")).to_be_visible()
    admin_page.get_by_role("link", name="Keep theirs").click()
    expect(toast(admin_page, "Somebody changed the schedule", "alert")).to_have_count(0)
