"""The header in a real browser: counts, search and order, all of them in the address."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from scheduled_tasks.models import ProcessKind, Status, TaskState
from tests.e2e.test_list import LIST, make_process, make_task, refresh, row, toast
from tests.factories import make_run

pytestmark = pytest.mark.usefixtures("transactional_db")


def names(page: Page) -> Locator:
    return page.locator(".st-row .st-c-name a")


def test_counts_are_filters_and_stay_current(admin_page: Page) -> None:
    failing, paused = make_task("failing"), make_task("paused", enabled=False)
    make_run(failing, Status.FAILED)
    admin_page.goto(LIST)
    counts = admin_page.get_by_role("list", name="Filter by state")
    expect(counts).to_contain_text("2 tasks")
    counts.get_by_role("link", name="1 paused").click()
    expect(row(admin_page, failing)).to_have_count(0)
    expect(row(admin_page, paused)).to_be_visible()
    expect(admin_page).to_have_url(re.compile("state=paused"))
    counts.get_by_role("link", name="1 failing").click()
    expect(row(admin_page, failing)).to_be_visible()
    make_run(failing)
    refresh(admin_page)
    expect(row(admin_page, failing)).to_have_count(0)
    admin_page.go_back()
    expect(row(admin_page, paused)).to_be_visible()


def test_search_finds_by_name_and_description(admin_page: Page) -> None:
    make_task("webhooks", description="Retries failed deliveries")
    make_task("purge")
    admin_page.goto(LIST)
    admin_page.keyboard.press("/")
    admin_page.keyboard.type("deliver")
    admin_page.keyboard.press("Enter")
    expect(names(admin_page)).to_have_text(["webhooks"])
    expect(admin_page).to_have_url(re.compile("q=deliver"))
    refresh(admin_page)
    expect(admin_page.locator(".st-row")).to_have_count(1)
    admin_page.get_by_placeholder("Search tasks").fill("nothing like that")
    admin_page.keyboard.press("Enter")
    admin_page.get_by_role("link", name="Show all tasks").click()
    expect(admin_page.locator(".st-row")).to_have_count(2)


def test_failing_and_running_first_is_one_click_away(admin_page: Page) -> None:
    make_process(ProcessKind.BEAT)
    make_process(task_names=["tests.tasks.add"], boot_id="w")
    never, good, failed, runs = (make_task(name) for name in ("a-never", "b-good", "c-failed", "d-runs"))
    make_run(good)
    make_run(failed, Status.FAILED)
    make_run(runs, Status.RUNNING, process_id="w")
    admin_page.goto(LIST)
    expect(names(admin_page)).to_have_text(["a-never", "b-good", "c-failed", "d-runs"])
    admin_page.get_by_role("columnheader", name="Status").get_by_role("link").click()
    expect(names(admin_page)).to_have_text(["c-failed", "d-runs", *[re.compile("a-never|b-good")] * 2])
    address = admin_page.url
    make_run(never, Status.FAILED)
    admin_page.goto(address)
    expect(names(admin_page)).to_have_count(4)
    assert set(names(admin_page).all_text_contents()[:2]) == {"a-never", "c-failed"}


def test_links_of_the_head_stay_where_they_are_while_the_seconds_grow(clocked_page: Page) -> None:
    make_task()
    clocked_page.goto(LIST)
    link = clocked_page.locator(".st-head").get_by_role("link", name="Task runs")
    places = []
    for passed, said in ((4, "4 s ago"), (8, "12 s ago")):
        clocked_page.clock.run_for(passed * 1000)
        expect(clocked_page.locator("[data-st-updated]")).to_have_text(re.compile(rf"\D{said}"))
        places.append(link.bounding_box())
    assert places[0] == places[1]


@pytest.mark.parametrize("address", [LIST, f"{LIST}timeline/"])
def test_a_banner_says_since_when(clocked_page: Page, address: str) -> None:
    make_task()
    make_process(ProcessKind.BEAT, silent=12 * 60)
    clocked_page.goto(address)
    banner = clocked_page.locator(".st-banner").first
    expect(banner).to_contain_text(re.compile(r"Since [\d:]+ \(12 min ago\)\."))
    clocked_page.clock.run_for(60_000)
    expect(banner).to_contain_text("(13 min ago)")


def test_an_open_menu_stays_as_it_is_and_follows_when_it_is_closed(admin_page: Page) -> None:
    task = make_task()
    state = TaskState.objects.filter(pk=TaskState.objects.create(task_id=task.pk, tags="eu").pk)
    admin_page.goto(LIST)
    menu, choice = admin_page.locator("#st-picker-tag"), admin_page.get_by_role("link", name="eu 1")
    menu.locator("summary").click()
    choice.focus()
    make_run(task, Status.FAILED)
    for tags in ("us", ""):
        state.update(tags=tags)
        refresh(admin_page)
        expect(row(admin_page, task).locator(".st-label")).to_have_text([tags] if tags else [])
        expect(admin_page.locator("#st-counts")).to_contain_text("1 failing")
        expect(choice).to_be_focused()
    state.update(tags="us")
    admin_page.keyboard.press("Escape")
    refresh(admin_page)
    expect(menu.locator("li")).to_have_text(["All tags", "us 1"])
    state.update(tags="")
    refresh(admin_page)
    expect(menu).to_have_count(0)


def test_labels_of_a_row_add_to_the_filters(admin_page: Page) -> None:
    task, other = make_task("purge"), make_task("push")
    for each in (task, other):
        make_run(each, Status.FAILED)
    TaskState.objects.create(task_id=task.pk, owner="ops", tags="eu")
    admin_page.goto(f"{LIST}?state=failing")
    admin_page.get_by_placeholder("Search tasks").fill("pu")
    expect(admin_page).to_have_url(re.compile("q=pu"))
    owner, tag = (row(admin_page, task).locator(".st-label").nth(n) for n in (0, 1))
    owner.click()
    expect(row(admin_page, other)).to_have_count(0)
    row(admin_page, task).get_by_role("switch").click()
    expect(toast(admin_page, "purge")).to_be_visible()
    expect(tag).to_have_attribute("href", "?state=failing&owner=ops&q=pu&tag=eu")
    expect(owner).to_have_attribute("aria-current", "true")
