"""What a screen, a phone and a sheet of paper have room for."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, BrowserContext, Page, expect

from scheduled_tasks.models import ProcessKind, Status
from tests.e2e.conftest import LogIn
from tests.e2e.test_list import LIST, make_process, make_task, row
from tests.factories import make_run

PHONE = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Mobile Safari/537.36"
)
DESCRIPTION = "Compares every wallet's balance with its ledger and corrects what drifted. " * 4
IN_SIGHT = """() => [...document.querySelectorAll('.st-row')].filter(
    row => row.getBoundingClientRect().bottom <= innerHeight).length"""
TAB_STOPS = """row => [...row.querySelectorAll('a[href]')].filter(
    link => link.tabIndex >= 0 && link.checkVisibility()).map(link => link.href)"""

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def phone(browser: Browser, base_url: str, admin_user: User, log_in: LogIn) -> Any:
    size = {"width": 390, "height": 844}
    context = browser.new_context(base_url=base_url, viewport=size, user_agent=PHONE, is_mobile=True)
    yield log_in(context, admin_user)
    context.close()


def lefts(page: Page, selector: str) -> set[int]:
    return {round(each.bounding_box()["x"]) for each in page.locator(selector).all()}


def test_fourteen_tasks_in_sight_and_the_head_stays(admin_page: Page) -> None:
    tasks = [make_task(f"task-{n:02}", cron="0 9 * * 1-5" if n % 2 else "* * * * *") for n in range(40)]
    for kind in ProcessKind:
        make_process(kind, task_names=["tests.tasks.add"])
    admin_page.set_viewport_size({"width": 1440, "height": 900})
    admin_page.goto(LIST)
    assert admin_page.evaluate(IN_SIGHT) >= 14
    assert len(lefts(admin_page, ".st-pencil")) == 1
    head = admin_page.locator("#st-table thead tr")
    row(admin_page, tasks[-1]).scroll_into_view_if_needed()
    assert admin_page.evaluate("scrollY") > 200
    assert head.bounding_box()["y"] == 0
    above = row(admin_page, tasks[-14]).locator(".st-name a")
    above.focus()
    assert above.bounding_box()["y"] >= head.bounding_box()["height"]


def test_a_long_description_takes_two_lines(admin_page: Page) -> None:
    task = make_task(description=DESCRIPTION)
    admin_page.goto(LIST)
    text = row(admin_page, task).locator(".st-c-name .st-sub")
    assert text.bounding_box()["height"] == 32
    expect(text).to_have_attribute("title", DESCRIPTION)


def test_a_phone_lists_first_what_fails_and_sorts_otherwise(phone: Page) -> None:
    calm, failing = make_task("a-calm-one"), make_task("z-failing")
    make_run(failing, Status.FAILED, ago=5)
    phone.goto(LIST)
    names = phone.locator(".st-row .st-name a")
    expect(names).to_have_text([failing.name, calm.name])
    heads = phone.get_by_role("columnheader").get_by_role("link")
    expect(heads).to_have_text(["Name", "Next run", "Last run", "Duration", "Status"])
    heads.first.click()
    expect(names).to_have_text([calm.name, failing.name])
    assert phone.evaluate("document.documentElement.scrollWidth") == 390


def test_a_wide_screen_lists_by_name(admin_page: Page) -> None:
    calm, failing = make_task("a-calm-one"), make_task("z-failing")
    make_run(failing, Status.FAILED, ago=5)
    admin_page.goto(LIST)
    expect(admin_page.locator(".st-row .st-name a")).to_have_text([calm.name, failing.name])


def test_a_phone_shows_what_is_saved_above_the_button(phone: Page) -> None:
    task = make_task()
    phone.goto(LIST)
    row(phone, task).get_by_label("Edit schedule").click()
    preview, save = phone.locator(".st-preview"), phone.get_by_role("button", name="Save")
    bottom = preview.bounding_box()["y"] + preview.bounding_box()["height"]
    assert bottom <= save.bounding_box()["y"]


def test_paper_shows_one_table(admin_page: Page) -> None:
    make_run(make_task(), Status.FAILED, ago=5)
    admin_page.goto(LIST)
    admin_page.emulate_media(media="print")
    admin_page.set_viewport_size({"width": 718, "height": 1000})  # A4 between its margins
    heads = [head for head in admin_page.locator("thead th").all() if head.is_visible()]
    words = [head.inner_text().strip().lower() for head in heads]
    assert words == ["name", "schedule", "next run", "last run", "duration", "status"]
    assert admin_page.locator(":is(button, input, summary, #header, #nav-sidebar):visible").count() == 0
    assert admin_page.locator("#st-table").bounding_box()["width"] > 600
    assert admin_page.evaluate("document.documentElement.scrollWidth") == 718


def test_arrows_go_round_in_a_menu_and_tab_leaves_it(admin_page: Page) -> None:
    task = make_task()
    admin_page.goto(LIST)
    menu = row(admin_page, task).locator(".st-menu")
    menu.locator("summary").press("Enter")
    items = menu.locator("ul").locator("a, button")
    focused = admin_page.locator(":focus")
    for key, index in [("ArrowDown", 0), ("ArrowDown", 1), ("End", -1), ("ArrowDown", 0), ("ArrowUp", -1)]:
        focused.press(key)
        expect(items.nth(index)).to_be_focused()
    focused.press("Tab")
    expect(menu.locator("ul")).to_be_hidden()
    expect(menu.locator("summary")).not_to_be_focused()


def test_one_tab_stop_for_each_target_of_a_row(admin_page: Page) -> None:
    task = make_task()
    make_run(task, Status.FAILED, ago=5, error_type="ValueError", error="no")
    admin_page.goto(LIST)
    targets = row(admin_page, task).evaluate(TAB_STOPS)
    assert len(targets) == len(set(targets)) >= 3


def test_who_may_only_look_has_nothing_to_tick(
    context: BrowserContext, log_in: LogIn, settings: Any, django_user_model: Any
) -> None:
    settings.SCHEDULED_TASKS = {"ACCESS_POLICY": "tests.admin.test_matrix.only_view"}
    task = make_task()
    page = log_in(context, django_user_model.objects.create_superuser("vera"))
    page.goto(LIST)
    expect(row(page, task)).to_be_visible()
    expect(page.get_by_role("checkbox")).to_have_count(0)


@pytest.mark.parametrize(
    ("cron", "every", "unit"),
    [("*/10 * * * *", "10", "minutes"), ("0 9 * * 1-5", "1", "days"), ("0 */6 * * *", "6", "hours")],
)
def test_the_interval_editor_opens_filled(admin_page: Page, cron: str, every: str, unit: str) -> None:
    task = make_task(cron=cron)
    admin_page.goto(LIST)
    row(admin_page, task).get_by_label("Edit schedule").click()
    admin_page.get_by_role("button", name="Interval", exact=True).click()
    field = admin_page.locator("[name=every]")
    expect(field).to_have_value(every)
    expect(admin_page.locator("[name=unit]")).to_have_value(unit)
    expect(admin_page.locator(".st-edit .st-error")).to_be_hidden()
