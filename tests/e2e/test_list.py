"""The list in a real browser: it stays current and loses nothing a person is doing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from scheduled_tasks.models import Process, ProcessKind, ScheduledTask, Status, TaskRun
from tests.factories import make_process as make_any_process
from tests.factories import make_run
from tests.factories import make_task as make_any_task
from tests.live import Worker, wait_for

LIST = "/admin/scheduled_tasks/scheduledtask/"
SHOW = """() => {
    const before = asked.length;
    document.dispatchEvent(new Event('visibilitychange'));
    return asked.slice(before).some(request => request.isPoll) && asked.length;
}"""
ANSWERED = "count => asked.slice(0, count).every(request => request.isOver || !request.isPoll)"


def make_task(name: str = "purge", **values: Any) -> Any:
    """A task that the worker of the tests knows, should it be running."""
    return make_any_task(name, **{"task": "tests.tasks.add", "args": "[1, 2]", **values})


def make_process(kind: ProcessKind = ProcessKind.WORKER, **values: Any) -> Process:
    """A process that does not fall silent in a test, however slow the machine."""
    return make_any_process(kind, **{"silent": -3600, **values})


def row(page: Page, task: Any) -> Locator:
    return page.locator(f"#st-row-{task.pk}")


def status(page: Page, task: Any) -> Locator:
    return row(page, task).locator(".st-c-status .st-state")


def toast(page: Page, text: str, role: Any = "status") -> Locator:
    """The message at the bottom of the screen that says ``text``; the banners of the page are alerts too."""
    return page.locator("#st-toasts").get_by_role(role).filter(has_text=text)


def refresh(page: Page) -> None:
    """What the clock does every 15 seconds, now: hide the tab and show it again.

    Ends when the page has what is new: a refresh that was under way begins no other, and may know less.
    """
    count = wait_for(lambda: page.evaluate(SHOW), message="the begin of a refresh")
    wait_for(lambda: page.evaluate(ANSWERED, count), message="its answer")


def test_list_refreshes_itself_and_keeps_the_editor_open(admin_page: Page, transactional_db: None) -> None:
    task = make_task("purge-stale-conversations")
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("Edit schedule").click()
    field = admin_page.get_by_label("Cron expression")
    expect(field).to_be_focused()
    field.fill("0 5 * * *")
    make_run(task, Status.FAILED)
    refresh(admin_page)
    expect(status(admin_page, task)).to_have_text("Failed")
    expect(field).to_have_value("0 5 * * *")
    expect(field).to_be_focused()


def test_refresh_keeps_selection_menu_and_focus(admin_page: Page, transactional_db: None) -> None:
    ticked, opened, focused = (make_task(name) for name in ("ticked", "opened", "focused"))
    admin_page.goto(LIST)
    row(admin_page, ticked).get_by_role("checkbox").check()
    row(admin_page, opened).locator("summary").click()
    row(admin_page, focused).get_by_role("switch").focus()
    for task in (ticked, opened, focused):
        make_run(task, Status.FAILED)
    refresh(admin_page)
    for task in (ticked, opened, focused):
        expect(status(admin_page, task)).to_have_text("Failed")
    expect(row(admin_page, ticked).get_by_role("checkbox")).to_be_checked()
    expect(row(admin_page, opened).get_by_role("link", name="Changes")).to_be_visible()
    expect(row(admin_page, focused).get_by_role("switch")).to_be_focused()


def test_the_foot_follows_and_keeps_the_selection(admin_page: Page, transactional_db: None) -> None:
    ticked = make_task("a-ticked")
    admin_page.goto(LIST)
    row(admin_page, ticked).get_by_role("checkbox").check()
    make_task("b-new")
    refresh(admin_page)
    foot = admin_page.locator("#st-bulk")
    expect(foot).to_contain_text("2 scheduled tasks")
    expect(foot).to_contain_text("1 of 2 selected")
    expect(foot.get_by_role("button", name="Disable")).to_be_enabled()
    row(admin_page, ticked).get_by_role("checkbox").uncheck()
    expect(foot.get_by_role("button", name="Disable")).to_be_disabled()


def test_next_runs_turn_grey_when_beat_stops(admin_page: Page, transactional_db: None) -> None:
    task = make_task(cron="0 3 * * *")
    beat = make_process(ProcessKind.BEAT)
    admin_page.goto(LIST)
    colour = "cell => getComputedStyle(cell).color"
    before = row(admin_page, task).locator(".st-c-next").evaluate(colour)
    beat.delete()
    refresh(admin_page)
    expect(admin_page.locator(".st-banner").first).to_contain_text("Beat is not running")
    assert row(admin_page, task).locator(".st-c-next").evaluate(colour) != before


def test_new_and_deleted_tasks_appear_and_go(admin_page: Page, transactional_db: None) -> None:
    old = make_task("a-old")
    admin_page.goto(LIST)
    new = make_task("b-new")
    refresh(admin_page)
    expect(row(admin_page, new)).to_be_visible()
    ScheduledTask.objects.filter(pk=old.pk).delete()
    refresh(admin_page)
    expect(row(admin_page, old)).to_have_count(0)


def test_raw_cron_shows_on_hover_and_on_focus(admin_page: Page, transactional_db: None) -> None:
    task = make_task(cron="*/15 * * * *")
    admin_page.goto(LIST)
    tip = row(admin_page, task).get_by_role("tooltip", include_hidden=True)
    expect(tip).to_be_hidden()
    row(admin_page, task).get_by_text("Every 15 minutes").hover()
    expect(tip).to_be_visible()
    expect(tip).to_have_text("*/15 * * * *")
    admin_page.mouse.move(0, 0)
    expect(tip).to_be_hidden()
    row(admin_page, task).get_by_text("Every 15 minutes").focus()
    expect(tip).to_be_visible()


def test_escape_takes_the_tip_away_until_the_focus_comes_again(admin_page: Page) -> None:
    task = make_task()
    admin_page.goto(LIST)
    tip = row(admin_page, task).get_by_role("tooltip", include_hidden=True)
    label = row(admin_page, task).locator(".st-sched > [tabindex]")
    label.focus()
    expect(tip).to_be_visible()
    admin_page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    expect(label).to_be_focused()
    label.blur()
    label.focus()
    expect(tip).to_be_visible()


def test_edit_saves_with_enter_and_shows_the_new_label(admin_page: Page, transactional_db: None) -> None:
    task = make_task(zone="Europe/Paris")
    admin_page.goto(LIST)
    pencil = row(admin_page, task).get_by_label("Edit schedule")
    pencil.click()
    field = admin_page.get_by_label("Cron expression")
    expect(field).to_be_focused()
    assert field.evaluate("element => element.selectionEnd - element.selectionStart") == len("0 3 * * *")
    admin_page.keyboard.type("0 4 * * 0")
    expect(admin_page.locator(".st-preview h3")).to_have_text("Sundays at 4 AM")
    expect(admin_page.locator(".st-preview li")).to_have_count(5)
    admin_page.keyboard.press("Enter")
    expect(row(admin_page, task).get_by_text("Sundays at 4 AM")).to_be_visible()
    expect(admin_page.locator(".st-edit")).to_have_count(0)
    expect(row(admin_page, task).get_by_label("Edit schedule")).to_be_focused()
    task.refresh_from_db()
    assert task.crontab.hour == "4"


def test_escape_cancels_the_edit(admin_page: Page, transactional_db: None) -> None:
    task = make_task()
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("Edit schedule").click()
    admin_page.get_by_label("Cron expression").fill("0 5 * * *")
    admin_page.keyboard.press("Escape")
    expect(admin_page.locator(".st-edit")).to_have_count(0)
    expect(row(admin_page, task).get_by_label("Edit schedule")).to_be_focused()
    expect(row(admin_page, task).get_by_text("Daily at 3 AM")).to_be_visible()


def test_invalid_cron_is_refused_below_and_keeps_what_was_typed(
    admin_page: Page, transactional_db: None
) -> None:
    task = make_task()
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("Edit schedule").click()
    field = admin_page.get_by_label("Cron expression")
    field.fill("0 24 * * *")
    expect(admin_page.locator(".st-error")).to_contain_text("24 is out of range")
    expect(field).to_have_attribute("aria-invalid", "true")
    field.press("Enter")
    message = toast(admin_page, "not saved", "alert")
    expect(message).to_contain_text("24 is out of range")
    box = message.bounding_box()
    assert box is not None
    assert box["y"] > admin_page.viewport_size["height"] / 2, "the notification is not at the bottom"
    expect(field).to_have_value("0 24 * * *")
    expect(row(admin_page, task).get_by_text("Daily at 3 AM")).to_be_visible()


def test_conflict_says_what_it_is_now_and_offers_both(admin_page: Page, transactional_db: None) -> None:
    task, other = make_task(), make_task("other", cron="0 9 * * 1")
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("Edit schedule").click()
    field = admin_page.get_by_label("Cron expression")
    field.fill("0 5 * * *")
    task.crontab = other.crontab
    task.save()
    field.press("Enter")
    expect(admin_page.locator(".st-conflict")).to_contain_text("0 9 * * 1")
    expect(field).to_have_value("0 5 * * *")
    admin_page.get_by_role("button", name="Save mine").click()
    expect(row(admin_page, task).get_by_text("Daily at 5 AM")).to_be_visible()


def test_switch_disables_and_enables(admin_page: Page, transactional_db: None) -> None:
    task = make_task()
    admin_page.goto(LIST)
    switch = row(admin_page, task).get_by_role("switch")
    expect(switch).to_have_attribute("aria-checked", "true")
    switch.click()
    expect(row(admin_page, task).locator(".st-c-next")).to_contain_text("Paused by admin")
    expect(switch).to_have_attribute("aria-checked", "false")
    task.refresh_from_db()
    assert not task.enabled
    switch.click()
    expect(row(admin_page, task).locator(".st-c-next time")).to_be_visible()
    task.refresh_from_db()
    assert task.enabled


def test_why_a_task_failed_is_whole_on_focus_and_leads_to_the_run(
    admin_page: Page, transactional_db: None
) -> None:
    task = make_task()
    make_run(task, Status.FAILED, error_type="a.RatesUnavailable", error="The source does not answer. " * 5)
    make_run(task, Status.SKIPPED)
    admin_page.goto(LIST)
    why = row(admin_page, task).get_by_role("link", name="RatesUnavailable: The source")
    is_whole = "link => link.scrollWidth <= link.clientWidth && link.scrollHeight <= link.clientHeight"
    assert not why.evaluate(is_whole)
    expect(why).to_have_attribute("title", re.compile("RatesUnavailable: .*answer. The"))
    before = row(admin_page, task).bounding_box()
    row(admin_page, task).get_by_role("switch").focus()
    admin_page.keyboard.press("Tab")
    expect(why).to_be_focused()
    assert why.evaluate(is_whole)
    expect(why).to_be_in_viewport(ratio=1)
    assert row(admin_page, task).bounding_box() == before
    admin_page.keyboard.press("Enter")
    drawer = admin_page.get_by_role("dialog")
    expect(drawer.locator(".st-run-body")).to_contain_text("The source does not answer.")
    admin_page.keyboard.press("Escape")
    expect(why).to_be_focused()


def test_slash_focuses_the_search(admin_page: Page, transactional_db: None) -> None:
    make_task()
    admin_page.goto(LIST)
    admin_page.keyboard.press("/")
    expect(admin_page.get_by_placeholder("Search tasks")).to_be_focused()


def test_expired_login_leads_to_the_login_page(admin_page: Page, transactional_db: None) -> None:
    make_task()
    admin_page.goto(LIST)
    admin_page.context.clear_cookies()
    admin_page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(admin_page.get_by_label("Password")).to_be_visible()


def test_server_error_keeps_the_list_and_says_so(admin_page: Page, transactional_db: None) -> None:
    task = make_task()
    admin_page.goto(LIST)
    admin_page.route("**/rows/**", lambda route: route.fulfill(status=500, body="broken"))
    admin_page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(admin_page.locator("[data-st-updated]")).to_contain_text("Not updated")
    expect(row(admin_page, task)).to_be_visible()


def test_run_now_is_seen_from_queued_to_success(admin_page: Page, worker: Worker, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = make_task(task="tests.tasks.wait_for_file", args=f'["{gate}"]', enabled=False)
    admin_page.goto(LIST)
    row(admin_page, task).get_by_role("button", name="Run purge now").click()
    expect(status(admin_page, task)).to_contain_text("Running")
    expect(toast(admin_page, "purge: Running")).to_be_visible()
    gate.touch()
    expect(row(admin_page, task).locator(".st-c-last time")).to_be_visible()
    expect(row(admin_page, task).locator(".st-c-status")).to_contain_text("Success")
    expect(row(admin_page, task).locator(".st-c-dur")).not_to_contain_text("–")
    run = TaskRun.objects.get()
    assert (run.status, run.actor, run.trigger) == (Status.SUCCEEDED, "admin", "manual")


def test_a_double_click_starts_one_run(admin_page: Page, transactional_db: None) -> None:
    task = make_task(task="tests.tasks.add", args="[1, 2]", queue="nobody-listens")
    admin_page.goto(LIST)
    row(admin_page, task).get_by_role("button", name="Run purge now").dblclick()
    expect(status(admin_page, task)).to_have_text("Queued")
    assert TaskRun.objects.count() == 1


@pytest.mark.parametrize("width", [1440, 390])
def test_menu_is_on_the_screen_wherever_its_row_is(
    admin_page: Page, transactional_db: None, width: int
) -> None:
    tasks = [make_task(f"task-{n:02}") for n in range(20)]
    admin_page.set_viewport_size({"width": width, "height": 700})
    admin_page.goto(LIST)
    for task in tasks[::9]:
        button = row(admin_page, task).locator("summary")
        for block in ("start", "end"):
            button.evaluate("(button, block) => button.scrollIntoView({block})", block)
            button.click()
            menu = row(admin_page, task).locator(".st-menu ul")
            expect(menu).to_be_in_viewport(ratio=1)
            admin_page.keyboard.press("Escape")
            expect(menu).to_be_hidden()


def test_refresh_that_takes_the_last_row_says_that_no_task_matches(
    admin_page: Page, transactional_db: None
) -> None:
    run = make_run(make_task(), Status.RUNNING)
    none = admin_page.get_by_text("No task matches.")
    buttons = admin_page.get_by_role("button", name="Disable")
    admin_page.goto(f"{LIST}?state=running")
    expect(buttons).to_be_visible()
    expect(none).to_be_hidden()
    TaskRun.objects.filter(pk=run.pk).update(status=Status.SUCCEEDED, open_since=None)
    refresh(admin_page)
    expect(none).to_be_visible()
    expect(buttons).to_be_hidden()
    make_run(run.task, Status.RUNNING)
    refresh(admin_page)
    expect(none).to_be_hidden()
    expect(buttons).to_be_visible()
