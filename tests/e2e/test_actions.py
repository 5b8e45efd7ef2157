"""Actions on several tasks without a reload."""

from __future__ import annotations

import pytest
from playwright.sync_api import Dialog, Page, expect

from scheduled_tasks.models import Status, TaskRun
from tests.e2e.test_list import LIST, make_task, row, status, toast
from tests.factories import make_run
from tests.live import wait_for

pytestmark = pytest.mark.usefixtures("transactional_db")


def test_selected_tasks_are_disabled_and_enabled_without_a_reload(admin_page: Page) -> None:
    chosen, other = [make_task("a"), make_task("b")], make_task("c")
    admin_page.goto(f"{LIST}?o=1")
    admin_page.evaluate("window.stays = true")
    for task in chosen:
        row(admin_page, task).get_by_role("checkbox").check()
    for action, checked, said in (
        ("Disable", "false", "2 tasks are disabled."),
        ("Enable", "true", "2 tasks are enabled."),
    ):
        admin_page.locator("#st-bulk").get_by_role("button", name=action).click()
        expect(admin_page.locator(".st-toast").filter(has_text=said)).to_be_visible()
        for task in chosen:
            expect(row(admin_page, task).get_by_role("switch")).to_have_attribute("aria-checked", checked)
            expect(row(admin_page, task).get_by_role("checkbox")).to_be_checked()
        expect(row(admin_page, other).get_by_role("checkbox")).not_to_be_checked()
        expect(admin_page.locator("[data-st-selected]")).to_have_text("2 of 3 selected")
    assert admin_page.evaluate("window.stays")


def test_run_now_of_several_tasks_asks_and_keeps_the_place(admin_page: Page) -> None:
    tasks = [make_task(name, queue="nobody-listens") for name in ("a", "b", "c")]
    admin_page.goto(f"{LIST}?o=1")
    for task in tasks[:2]:
        row(admin_page, task).get_by_role("checkbox").check()
    button = admin_page.locator("#st-bulk").get_by_role("button", name="Run now")
    question = admin_page.get_by_role("dialog", name="Run 2 tasks now?")
    button.click()
    expect(question.get_by_role("button", name="Run now")).to_be_focused()
    expect(question.get_by_role("listitem")).to_have_text(["a", "b"])
    admin_page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    expect(button).to_be_focused()
    assert not TaskRun.objects.exists()
    button.click()
    question.get_by_role("button", name="Run now").click()
    expect(toast(admin_page, "2 tasks are queued.")).to_be_visible()
    expect(question).to_be_hidden()
    for task in tasks[:2]:
        expect(status(admin_page, task)).to_have_text("Queued")
    assert TaskRun.objects.count() == 2


def test_run_now_of_several_tasks_asks_without_a_script(plain_page: Page) -> None:
    task = make_task("a", queue="nobody-listens")
    plain_page.goto(f"{LIST}?o=1")
    row(plain_page, task).get_by_role("checkbox").check()
    plain_page.locator("#st-bulk").get_by_role("button", name="Run now").click()
    expect(plain_page.get_by_role("heading", name="Run 1 task now?")).to_be_visible()
    plain_page.get_by_role("button", name="Run now").click()
    expect(toast(plain_page, "1 task is queued.")).to_be_visible()
    expect(status(plain_page, task)).to_have_text("Queued")
    assert plain_page.url.endswith("?o=1")


@pytest.mark.parametrize("leave", ["sort", "filter"])
def test_typed_text_is_not_thrown_away_by_another_order_or_filter(admin_page: Page, leave: str) -> None:
    task = make_task()
    make_task("paused", enabled=False)
    link = {
        "sort": admin_page.get_by_role("columnheader", name="Next run").get_by_role("link"),
        "filter": admin_page.get_by_role("link", name="1 paused"),
    }[leave]
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    admin_page.on("dialog", stay)
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("Edit schedule").click()
    field = admin_page.get_by_label("Cron expression")
    field.fill("0 5 * * *")
    link.click(no_wait_after=True)
    wait_for(lambda: admin_page.evaluate("1") and asked, message="a question")
    expect(field).to_have_value("0 5 * * *")
    assert asked == ["beforeunload"]
    field.fill(f"{task.crontab.minute} {task.crontab.hour} * * *")
    link.click()
    expect(admin_page.locator(".st-edit")).to_have_count(0)
    assert asked == ["beforeunload"]


def test_a_refusal_among_several_is_told(admin_page: Page) -> None:
    blocked = make_task("blocked")
    make_run(blocked, Status.RUNNING)
    admin_page.goto(LIST)
    row(admin_page, blocked).get_by_role("checkbox").check()
    admin_page.locator("#st-bulk").get_by_role("button", name="Run now").click()
    admin_page.get_by_role("dialog").get_by_role("button", name="Run now").click()
    expect(toast(admin_page, "blocked was not started", "alert")).to_be_visible()
