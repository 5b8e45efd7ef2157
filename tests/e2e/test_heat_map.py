"""The calendar of a task's days in the drawer: a click or a key away from a day's runs."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import Status
from tests.e2e.test_accessibility import themed_page, violations
from tests.e2e.test_list import LIST, make_task, refresh, row
from tests.factories import make_run

__all__ = ["themed_page"]
pytestmark = pytest.mark.usefixtures("transactional_db")

DAY = 86_400


def test_a_day_filters_the_runs_by_click_and_by_key(themed_page: Page) -> None:
    task = make_task()
    for ago in (9, 9, 4):
        make_run(task, ago=ago * DAY)
    make_run(task, Status.FAILED, ago=2 * DAY, error="no")
    themed_page.goto(LIST)
    row(themed_page, task).get_by_role("link", name=task.name, exact=True).click()
    runs, days = themed_page.locator(".st-drawer .st-run"), themed_page.locator(".st-heat-days a")
    expect(runs).to_have_count(4)
    expect(days).to_have_count(3)
    expect(days.last).to_have_class("b-bad")
    make_run(task, ago=1)
    refresh(themed_page)
    expect(runs).to_have_count(5)
    expect(days).to_have_count(3)  # a refresh keeps them
    assert violations(themed_page) == []
    days.first.click()
    expect(runs).to_have_count(2)
    expect(days).to_have_count(4)
    expect(days.first).to_have_attribute("aria-current", "date")
    days.last.focus()
    themed_page.keyboard.press("ArrowLeft")
    expect(days.nth(2)).to_be_focused()
    themed_page.keyboard.press("Enter")
    expect(runs).to_have_count(1)
    themed_page.get_by_role("link", name="show all").click()
    expect(runs).to_have_count(5)
    expect(days).to_have_count(4)
    expect(themed_page.locator(".st-heat [aria-current]")).to_have_count(0)
