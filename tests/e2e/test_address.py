"""The open drawer in the page's address, in a real browser: Back, Forward, a reload, a copied address."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import Status
from tests.e2e.test_drawer import open_drawer
from tests.e2e.test_list import LIST, make_process, make_task, refresh, row, status
from tests.factories import make_run

FILTERED = f"{LIST}?q=purge&o=1"
LENGTH = "history.length"


@pytest.fixture
def task(transactional_db: None) -> Any:
    make_process(task_names=["tests.tasks.add"])
    task = make_task("purge")
    make_run(task, Status.FAILED, error_type="ValueError", error="broken")
    return task


def test_back_closes_the_drawer_and_forward_opens_it(admin_page: Page, base_url: str, task: Any) -> None:
    drawer = open_drawer(admin_page, task, FILTERED)
    expect(admin_page).to_have_url(f"{base_url}{FILTERED}#task={task.pk}")
    admin_page.go_back()
    expect(drawer).to_be_hidden()
    expect(admin_page).to_have_url(f"{base_url}{FILTERED}")
    expect(row(admin_page, task)).to_be_visible()
    admin_page.go_forward()
    expect(drawer.get_by_role("heading", name="purge")).to_be_visible()
    expect(admin_page).to_have_url(f"{base_url}{FILTERED}#task={task.pk}")


@pytest.mark.parametrize("way", ["button", "outside", "Escape"])
def test_closing_leaves_address_and_history_as_they_were(
    admin_page: Page, base_url: str, task: Any, way: str
) -> None:
    drawer = open_drawer(admin_page, task, FILTERED)
    length = admin_page.evaluate(LENGTH)
    for _ in range(2):
        if way == "button":
            drawer.get_by_role("button", name="Close").click()
        elif way == "outside":
            admin_page.mouse.click(100, 300)
        else:
            admin_page.keyboard.press("Escape")
        expect(admin_page).to_have_url(f"{base_url}{FILTERED}")
        expect(drawer).to_be_hidden()
        row(admin_page, task).get_by_label("View history").click()
        expect(drawer.get_by_role("heading", name="purge")).to_be_visible()
    assert admin_page.evaluate(LENGTH) == length


def test_another_drawer_is_opened_while_the_first_is_left(admin_page: Page, base_url: str, task: Any) -> None:
    other = make_task("purge-too")
    open_drawer(admin_page, task, FILTERED)
    again = f"""() => {{
        const open = () => document.querySelector("#st-hist-{other.pk}").click();
        document.querySelector("#st-drawer").addEventListener("close", open, {{once: true}});
        document.querySelector("#st-drawer [data-st-close-drawer]").click();
    }}"""
    admin_page.evaluate(again)
    drawer = admin_page.get_by_role("dialog")
    expect(drawer.get_by_role("heading", name="purge-too")).to_be_visible()
    expect(admin_page).to_have_url(f"{base_url}{FILTERED}#task={other.pk}")
    admin_page.go_back()
    expect(drawer).to_be_hidden()
    expect(admin_page).to_have_url(f"{base_url}{FILTERED}")


def test_reload_opens_the_drawer_again_and_the_list_goes_on(
    admin_page: Page, base_url: str, task: Any
) -> None:
    open_drawer(admin_page, task, FILTERED)
    admin_page.reload()
    drawer = admin_page.get_by_role("dialog")
    expect(drawer.get_by_role("heading", name="purge")).to_be_visible()
    make_run(task, Status.SUCCEEDED, ago=1)
    refresh(admin_page)
    expect(drawer.locator(".st-run")).to_have_count(2)
    expect(status(admin_page, task)).to_have_text("Success")
    admin_page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(admin_page).to_have_url(f"{base_url}{FILTERED}")


def test_copied_address_opens_the_same_run(admin_page: Page, base_url: str, task: Any) -> None:
    for n in range(25):
        make_run(task, ago=30 - n)
    admin_page.set_viewport_size({"width": 1440, "height": 900})
    admin_page.goto(LIST)
    strip = row(admin_page, task).locator(".st-strip").bounding_box()
    assert strip is not None
    admin_page.mouse.click(strip["x"] + strip["width"] - 4 * 25 - 2, strip["y"] + 15)
    expect(admin_page.get_by_role("dialog").locator(".st-run-body")).to_contain_text("broken")
    address = admin_page.url
    colleague = admin_page.context.new_page()
    colleague.goto(address)
    drawer = colleague.get_by_role("dialog")
    expect(drawer.locator(".st-run-body")).to_contain_text("broken")
    drawer.get_by_role("button", name="Close").click()
    expect(drawer).to_be_hidden()
    expect(colleague).to_have_url(f"{base_url}{LIST}")
    colleague.close()


def test_address_of_a_task_that_is_gone_shows_the_list(admin_page: Page, base_url: str, task: Any) -> None:
    admin_page.goto(f"{LIST}#task=999999")
    expect(admin_page.get_by_role("alert").filter(has_text="no longer exists")).to_be_visible()
    expect(admin_page.get_by_role("dialog")).to_be_hidden()
    expect(admin_page).to_have_url(f"{base_url}{LIST}")


@pytest.mark.parametrize("hash_", ["#task=x", "#task=1/../../../", "#task=1&run=x", "#task=//evil.example/1"])
def test_other_addresses_open_nothing(admin_page: Page, task: Any, hash_: str) -> None:
    admin_page.goto(f"{LIST}{hash_}")
    expect(row(admin_page, task)).to_be_visible()
    refresh(admin_page)
    expect(admin_page.get_by_role("dialog")).to_be_hidden()


def test_drawer_of_the_list_of_runs_is_in_its_address_too(admin_page: Page, base_url: str, task: Any) -> None:
    runs = "/admin/scheduled_tasks/taskrun/?status=failed"
    admin_page.goto(runs)
    admin_page.locator(".st-r-name a").click()
    drawer = admin_page.get_by_role("dialog")
    expect(drawer.get_by_role("heading", name="purge")).to_be_visible()
    expect(admin_page).to_have_url(f"{base_url}{runs}#task={task.pk}")
    admin_page.reload()
    expect(drawer.get_by_role("heading", name="purge")).to_be_visible()


def test_without_javascript_the_link_leads_to_the_task(plain_page: Page, base_url: str, task: Any) -> None:
    plain_page.goto(FILTERED)
    row(plain_page, task).get_by_label("View history").click()
    expect(plain_page).to_have_url(f"{base_url}{LIST}{task.pk}/change/")
    expect(plain_page.get_by_role("heading", name="purge")).to_be_visible()
