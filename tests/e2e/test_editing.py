"""Notes and intervals edited in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_list import LIST, make_task, row

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
