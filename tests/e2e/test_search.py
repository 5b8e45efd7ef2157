"""The search of the list in a real browser: it lists as one types."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import TaskState
from tests.e2e.test_list import LIST, make_task, row
from tests.e2e.test_live import POLL

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture
def tasks() -> list[Any]:
    """Three tasks; the last one has a note."""
    made = [make_task("a-backup"), make_task("b-nightly"), make_task("c-paused", enabled=False)]
    TaskState.objects.create(task_id=made[-1].pk, pause_note="Waits for legal")
    return made


def shown(page: Page, *tasks: Any) -> None:
    """Wait until these rows are listed in this order."""
    names = [re.compile(f"^\\s*{task.name}") for task in tasks]
    expect(page.locator("#st-rows .st-c-name")).to_have_text(names)


def test_list_follows_what_one_types(admin_page: Page, tasks: list[Any]) -> None:
    backup, nightly, paused = tasks
    admin_page.goto(f"{LIST}?o=1")
    admin_page.evaluate("window.stays = true")
    field = admin_page.get_by_role("searchbox", name="Search tasks")
    clear = admin_page.get_by_role("button", name="Clear search")
    expect(clear).to_be_hidden()
    field.press_sequentially("nigh")
    shown(admin_page, nightly)
    expect(field).to_be_focused()
    expect(admin_page.locator("#st-bulk [aria-live]")).to_contain_text("1 scheduled task")
    assert admin_page.url.endswith("?o=1&q=nigh")
    for link in ("1 task", "Next run"):
        expect(admin_page.get_by_role("link", name=link)).to_have_attribute("href", re.compile("q=nigh"))
    field.fill("legal")
    shown(admin_page, paused)
    row(admin_page, paused).get_by_role("checkbox").check()
    field.fill("no such task")
    expect(admin_page.get_by_text("No task matches.")).to_be_hidden()  # somebody is at a row
    shown(admin_page, paused)
    row(admin_page, paused).get_by_role("checkbox").uncheck()
    clear.click()
    shown(admin_page, backup, nightly, paused)
    expect(field).to_be_focused()
    expect(clear).to_be_hidden()
    assert admin_page.url.endswith("?o=1")
    assert admin_page.evaluate("window.stays")


def test_search_waits_for_a_pause_and_enter_does_not(clocked_page: Page, tasks: list[Any]) -> None:
    clocked_page.goto(LIST)
    clocked_page.keyboard.press("/")
    clocked_page.keyboard.type("nigh")
    clocked_page.clock.run_for(200)
    assert clocked_page.evaluate("asked.length") == 0
    with clocked_page.expect_response(POLL):
        clocked_page.clock.run_for(100)
    shown(clocked_page, tasks[1])
    clocked_page.keyboard.type("x")
    with clocked_page.expect_response(POLL):
        clocked_page.keyboard.press("Enter")
    shown(clocked_page)
    clocked_page.reload()
    shown(clocked_page)
    clocked_page.get_by_role("button", name="Clear search").click()
    shown(clocked_page, *tasks)


def test_search_without_a_script(plain_page: Page, tasks: list[Any]) -> None:
    plain_page.goto(f"{LIST}?o=-1")
    plain_page.get_by_role("searchbox").fill("legal")
    plain_page.keyboard.press("Enter")
    shown(plain_page, tasks[2])
    plain_page.get_by_role("button", name="Clear search").click()
    shown(plain_page, *reversed(tasks))
