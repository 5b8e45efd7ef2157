"""The timeline in a real browser: drawn where it says, told by pointer and keys, alive, in its own box."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from scheduled_tasks.models import ProcessKind, Status
from tests.e2e.test_accessibility import themed_page, violations
from tests.e2e.test_languages import mirrored_page
from tests.e2e.test_list import LIST, make_process, make_task
from tests.e2e.test_widths import phone
from tests.factories import make_run

__all__ = ["mirrored_page", "phone", "themed_page"]
pytestmark = pytest.mark.usefixtures("transactional_db")

TIMELINE = f"{LIST}timeline/"
TIP = "#st-tl-tip"


@pytest.fixture
def tasks() -> list[Any]:
    make_process(ProcessKind.BEAT)
    make_process(task_names=["tests.tasks.add"])
    crons = {
        "minutely": "* * * * *",
        "hourly": "30 * * * *",
        "nightly": "0 3 * * *",
        "nightly too": "0 3 * * *",
    }
    found = [make_task(name, cron=cron) for name, cron in crons.items()]
    make_run(found[1], ago=6 * 3600, took=3600)
    make_run(found[1], Status.FAILED, ago=2 * 3600, took=60, error="no")
    return found


def lane(page: Page, name: str) -> Any:
    return page.get_by_role("row", name=name).first


def place(element: Any) -> Any:
    box = element.bounding_box()
    assert box is not None
    return box


def test_now_is_between_what_ran_and_what_is_planned(admin_page: Page, tasks: list[Any]) -> None:
    admin_page.goto(LIST)
    admin_page.get_by_role("link", name="Timeline").click()
    hourly = lane(admin_page, "hourly")
    cell, now = place(hourly.locator("td.st-tl-lane")), place(admin_page.locator(".st-tl-is-now"))
    middle = now["x"] + now["width"] / 2
    ran, failed = (place(hourly.locator(f".b-{kind} a")) for kind in ("ok", "bad"))
    coming = place(hourly.locator(".st-tl-plan path").first)
    assert abs(middle - cell["x"] - cell["width"] / 2) < 4
    assert ran["x"] < failed["x"] < middle <= coming["x"] + 2
    hour = cell["width"] / 48  # of two days
    assert hour - 2 < ran["width"] < hour + 10  # with the line around it
    assert cell["y"] < ran["y"] < ran["y"] + ran["height"] < cell["y"] + cell["height"]
    band = place(lane(admin_page, "minutely").locator(".st-tl-plan path"))
    assert band["width"] > 0.45 * cell["width"]


def test_the_pointer_reads_a_mark_and_opens_its_run(admin_page: Page, tasks: list[Any]) -> None:
    admin_page.goto(TIMELINE)
    failed = place(lane(admin_page, "hourly").locator(".b-bad a"))
    admin_page.mouse.move(failed["x"] + 5, failed["y"] + 4)  # beside it
    expect(admin_page.locator(TIP)).to_contain_text("Failed · 1 m 0 s")
    admin_page.mouse.click(failed["x"] + 5, failed["y"] + 4)
    expect(admin_page.locator(".st-drawer .st-run-body")).to_contain_text("no")
    admin_page.keyboard.press("Escape")
    expect(admin_page.locator(".st-drawer")).to_be_hidden()
    admin_page.mouse.move(5, 5)
    expect(admin_page.locator(TIP)).to_be_hidden()


def test_arrow_keys_go_from_run_to_run(admin_page: Page, tasks: list[Any]) -> None:
    admin_page.goto(TIMELINE)
    admin_page.get_by_role("link", name="hourly").focus()
    admin_page.keyboard.press("ArrowLeft")
    expect(admin_page.locator(TIP)).to_contain_text("Failed")
    admin_page.keyboard.press("ArrowLeft")
    expect(admin_page.locator(TIP)).to_contain_text("Success · 1 h 0 m")
    for _step in range(2):
        admin_page.keyboard.press("ArrowRight")
    expect(admin_page.locator(TIP)).to_contain_text(":30:00 · Planned")
    for _step in range(2):
        admin_page.keyboard.press("ArrowLeft")
    admin_page.keyboard.press("Enter")
    expect(admin_page.locator(".st-drawer .st-run")).to_have_count(2)


def test_it_keeps_itself_up_to_date(admin_page: Page, tasks: list[Any]) -> None:
    admin_page.goto(TIMELINE)
    expect(lane(admin_page, "nightly too").locator(".st-tl-marks a")).to_have_count(0)
    admin_page.locator("[name=day]").fill("2026-01-31")
    before = place(lane(admin_page, "nightly too"))
    make_run(tasks[3], ago=3600, took=60)
    expect(lane(admin_page, "nightly too").locator(".b-ok a")).to_have_count(1)
    assert place(lane(admin_page, "nightly too")) == before
    expect(admin_page.locator("[name=day]")).to_have_value("2026-01-31")


def test_the_search_stays_where_it_is_while_the_counts_change(admin_page: Page, tasks: list[Any]) -> None:
    admin_page.goto(TIMELINE)
    before = place(admin_page.get_by_label("Search tasks"))
    make_run(tasks[0], Status.FAILED, ago=5)
    expect(admin_page.locator("#st-counts")).to_contain_text("2 failing")
    assert place(admin_page.get_by_label("Search tasks")) == before


def test_a_long_name_covers_nothing_on_a_phone(phone: Page) -> None:
    make_process(ProcessKind.BEAT)
    make_task("recording-conversion-of-the-night", cron="0 3 * * *")
    phone.goto(TIMELINE)
    row = lane(phone, "recording")
    link = row.get_by_role("link")
    assert link.evaluate("link => getComputedStyle(link).overflow") == "hidden"
    name, coming = place(link), place(row.locator(".st-tl-fold"))
    assert name["y"] + name["height"] <= coming["y"]
    expect(phone.locator(".st-tl-keys")).to_be_hidden()
    phone.touchscreen.tap(name["x"] + 20, coming["y"] + 8)  # the whole cell is the target
    expect(phone.locator(".st-drawer #st-d-title")).to_be_visible()


@pytest.mark.parametrize("who", ["admin_page", "plain_page"])
def test_windows_and_order_with_and_without_script(
    request: pytest.FixtureRequest, who: str, tasks: list[Any]
) -> None:
    page: Page = request.getfixturevalue(who)
    page.goto(TIMELINE)
    page.get_by_role("link", name="± 6 h").click()
    page.get_by_role("link", name="Name", exact=True).click()
    expect(page.locator(".st-tl tbody tr").first).to_contain_text("hourly")
    page.get_by_label("Day").fill("2026-06-01")
    page.get_by_label("from").fill("02:00")
    page.get_by_label("to", exact=True).fill("04:00")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".st-tl-is-now")).to_have_count(0)
    expect(page.locator(".st-tl-clock").first).to_have_text("02:10")
    expect(page.get_by_role("link", name="Name", exact=True)).to_have_attribute("aria-current", "true")
    page.get_by_label("Search tasks").fill("nightly")
    page.get_by_label("Search tasks").press("Enter")
    expect(page.locator(".st-tl tbody tr")).to_have_count(2)
    expect(page.get_by_label("Day")).to_have_value("2026-06-01")


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_it_is_accessible_and_scrolls_only_in_its_own_box(
    themed_page: Page, tasks: list[Any], width: int
) -> None:
    themed_page.set_viewport_size({"width": width, "height": 800})
    themed_page.goto(TIMELINE)
    expect(themed_page.get_by_role("row", name="nightly too")).to_be_visible()
    assert themed_page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    overflow = themed_page.locator(".st-tl-box").evaluate("box => box.scrollWidth > box.clientWidth")
    assert overflow is (width < 1440)
    expect(themed_page.locator(".st-tl-is-now")).to_be_in_viewport()
    assert violations(themed_page) == []


@pytest.mark.parametrize("fixture", ["phone", "mirrored_page"])
def test_now_is_in_the_middle_of_the_lanes_that_show(
    request: pytest.FixtureRequest, tasks: list[Any], fixture: str
) -> None:
    """Else a phone shows the last hour, and hardly a run: the names cover the others."""
    page: Page = request.getfixturevalue(fixture)
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(TIMELINE)
    now, box = place(page.locator(".st-tl-is-now")), place(page.locator(".st-tl-box"))
    names = place(page.locator("thead .st-tl-name"))
    left, right = box["x"], box["x"] + box["width"]
    if names["x"] < left + 5:
        left += names["width"]
    else:
        right -= names["width"]
    assert abs(now["x"] + now["width"] / 2 - (left + right) / 2) < 4


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_hours_stay_above_the_lanes(admin_page: Page, width: int) -> None:
    for n in range(30):
        make_task(f"task-{n:02}")
    admin_page.set_viewport_size({"width": width, "height": 600})
    admin_page.goto(TIMELINE)
    admin_page.get_by_role("row", name="task-29").scroll_into_view_if_needed()
    expect(admin_page.get_by_role("row", name="task-29")).to_be_in_viewport()
    head = admin_page.locator(".st-tl thead").bounding_box()
    assert head is not None
    assert 0 <= head["y"] < head["y"] + head["height"] <= 600
