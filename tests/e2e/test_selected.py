"""Selected text survives refreshes, and text is copied also where the browser offers no clipboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import Status
from tests.e2e.test_list import LIST, make_task, refresh, row, status, toast
from tests.factories import make_run

pytestmark = pytest.mark.usefixtures("transactional_db")

SELECT = "cell => getSelection().selectAllChildren(cell)"
SELECTED = "getSelection().toString()"
ANSWERED = """asked.filter(({isPoll, xhr}) => isPoll && xhr.status === 200)
    .map(({xhr}) => xhr.response.querySelector('#st-bulk, .st-counts') !== null)"""


def test_selected_text_of_a_row_survives_a_refresh(admin_page: Page) -> None:
    task, other = make_task(), make_task("other")
    make_run(task, Status.FAILED, error_type="ValueError", error="no luck")
    admin_page.goto(LIST)
    cell = status(admin_page, task)
    cell.evaluate(SELECT)
    for each in (task, other):
        make_run(each, Status.SUCCEEDED)
    refresh(admin_page)
    expect(status(admin_page, other)).to_have_text("Success")
    assert admin_page.evaluate(SELECTED).strip() == "Failed"
    admin_page.evaluate("getSelection().removeAllRanges()")
    refresh(admin_page)
    expect(cell).to_have_text("Success")


def test_a_row_in_use_makes_no_refresh_a_full_answer(admin_page: Page) -> None:
    task = make_task()
    make_run(task, Status.FAILED)
    admin_page.goto(LIST)
    refresh(admin_page)
    row(admin_page, task).get_by_label("More actions").click()
    make_run(task, Status.SUCCEEDED)
    for _time in range(3):
        refresh(admin_page)
    first, _changed, *later = admin_page.evaluate(ANSWERED)
    assert first
    assert later
    assert not any(later)


def test_copy_without_a_clipboard(admin_page: Page) -> None:
    admin_page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    make_run(make_task(), Status.FAILED, error="no", traceback="Traceback\nValueError: no")
    admin_page.goto(LIST)
    admin_page.locator(".st-hist").click()
    drawer = admin_page.get_by_role("dialog")
    drawer.locator(".st-run").get_by_role("button").click()
    drawer.get_by_role("button", name="Copy").click()
    expect(toast(admin_page, "Copied")).to_be_visible()
    admin_page.keyboard.press("Escape")
    search = admin_page.get_by_role("searchbox", name="Search tasks")
    search.focus()
    admin_page.keyboard.press("Control+v")
    expect(search).to_have_value("Traceback ValueError: no")
