"""Actions on several tasks without a reload."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import Status
from tests.e2e.test_list import LIST, make_task, row, toast
from tests.factories import make_run

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


def test_a_refusal_among_several_is_told(admin_page: Page) -> None:
    blocked = make_task("blocked")
    make_run(blocked, Status.RUNNING)
    admin_page.goto(LIST)
    row(admin_page, blocked).get_by_role("checkbox").check()
    admin_page.locator("#st-bulk").get_by_role("button", name="Run now").click()
    expect(toast(admin_page, "blocked was not started", "alert")).to_be_visible()
