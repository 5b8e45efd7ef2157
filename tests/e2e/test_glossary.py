"""The words of the page, told beside it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_accessibility import violations
from tests.e2e.test_list import LIST, make_task

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_question_mark_tells_every_word(admin_page: Page, scheme: str, width: int) -> None:
    make_task()
    admin_page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    admin_page.set_viewport_size({"width": width, "height": 900})
    admin_page.goto(LIST)
    search = admin_page.get_by_role("searchbox", name="Search tasks")
    search.press("?")
    expect(search).to_have_value("?")
    expect(admin_page.locator("#st-drawer")).to_be_hidden()
    search.blur()
    admin_page.keyboard.press("?")
    drawer = admin_page.locator("#st-drawer")
    expect(drawer.get_by_role("heading", name="What the words mean")).to_be_visible()
    expect(drawer.get_by_text("Its worker stopped before it finished.")).to_be_attached()
    assert drawer.evaluate("drawer => drawer.scrollWidth <= drawer.clientWidth")
    assert violations(admin_page) == []
    admin_page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    admin_page.get_by_role("link", name="What the words mean").click()
    expect(drawer.get_by_text("Its worker stopped before it finished.")).to_be_attached()


def test_without_javascript_it_is_a_page(plain_page: Page) -> None:
    make_task()
    plain_page.goto(LIST)
    plain_page.get_by_role("link", name="What the words mean").click()
    expect(plain_page.get_by_role("heading", name="What the words mean")).to_be_visible()
    expect(plain_page.get_by_text("Its worker stopped before it finished.")).to_be_visible()
